"""Random operations by several threads on a mount and on a plain folder, compared after each step.

Each thread has a folder of its own, so that what must come out is certain; files stay open over many steps, also while they
are renamed and removed. `Model(mount, plain, seed).run(seconds)` raises Difference with the step and the seed.
"""
import errno
import mmap
import os
import random
import shutil
import stat
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
from lib import files  # noqa: E402

NAMES = ["a", "b", "c", "d", "e.txt", "ü f", "dir1", "dir2", "dir3"]
MAX_SIZE = 400_000
MAX_OPEN = 6


class Difference(AssertionError):
    pass


def outcome(function, *arguments):
    """What a call gives, as something that can be compared."""
    try:
        return function(*arguments)
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error.errno))
        return "ENOTEMPTY" if name == "EEXIST" and function.__name__ in ("rename", "rmdir") else name


class Worker:
    """One thread: the same calls on both sides. A path is relative to both tops."""

    def __init__(self, tops, seed):
        self.tops = [Path(top) for top in tops]
        self.random = random.Random(seed)
        self.open = []  # (description, fd on the mount, fd on the plain side, may write)
        self.steps, self.last = 0, []
        for top in self.tops:
            top.mkdir()

    def path(self):
        depth = self.random.choice((1, 1, 1, 2, 2, 3))
        return "/".join(self.random.choice(NAMES[-3:]) for _ in range(depth - 1)) + ("/" if depth > 1 else "") + \
            self.random.choice(NAMES)

    def data(self):
        size = int(self.random.random() ** 4 * 100_000)
        return files.pattern(size, seed=self.random.random())

    def both(self, what, function, *arguments):
        """arguments: values, or callables that make one from a top."""
        results = [outcome(function, *(a(top) if callable(a) else a for a in arguments)) for top in self.tops]
        return self.agree(what, *results)

    def both_open(self, what, function, pair, *arguments):
        return self.agree(what, *(outcome(function, fd, *arguments) for fd in pair))

    def agree(self, what, here, plain):
        self.last = self.last[-30:] + [what]
        if here != plain:
            def short(v):
                return repr(v) if len(repr(v)) < 200 else f"{repr(v)[:200]}... ({len(v)})"
            raise Difference(f"step {self.steps}, {what}: mount {short(here)}, plain {short(plain)}\nbefore: {self.last}")
        return here

    def step(self):
        self.steps += 1
        names, weights = zip(*ACTIONS)
        getattr(self, self.random.choices(names, weights)[0])()

    # whole files

    def write_file(self):
        path, data = self.path(), self.data()

        def write(place):
            with open(place, "wb", buffering=0) as file:
                file.write(data)
                return len(data)
        self.both(f"write {path} {len(data)}", write, lambda t: t / path)

    def read_file(self):
        path = self.path()

        def read(place):
            with open(place, "rb", buffering=0) as file:
                return file.read()
        self.both(f"read {path}", read, lambda t: t / path)

    def append(self):
        path, data = self.path(), self.data()[:5000]

        def write(place):
            fd = os.open(place, os.O_WRONLY | os.O_APPEND)
            try:
                return os.write(fd, data)
            finally:
                os.close(fd)
        self.both(f"append {path} {len(data)}", write, lambda t: t / path)

    def create_exclusive(self):
        path = self.path()

        def create(place):
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        self.both(f"create {path}", create, lambda t: t / path)

    def truncate(self):
        path, size = self.path(), self.random.randrange(MAX_SIZE)
        self.both(f"truncate {path} {size}", os.truncate, lambda t: t / path, size)

    def save_by_rename(self):
        path, data = self.path(), self.data()
        temp = path + ".tmp~"

        def save(top):
            with open(top / temp, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.rename(top / temp, top / path)
            except OSError:
                os.unlink(top / temp)
                raise
        self.both(f"save {path} {len(data)}", save, lambda t: t)

    def map_and_write(self):
        path, at = self.path(), self.random.random()

        def write(place):
            with open(place, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                if size < 100:
                    return size
                with mmap.mmap(file.fileno(), 0) as view:
                    offset = int(at * (size - 50))
                    view[offset:offset + 20] = b"written by the map!!"
                    return view[max(0, offset - 10):offset + 40]
        self.both(f"mmap {path}", write, lambda t: t / path)

    def copy_range(self):
        source, target, at = self.path(), self.path(), self.random.randrange(20_000)

        def copy(top):
            with open(top / source, "rb") as a, open(top / target, "r+b") as b:
                if os.path.samestat(os.fstat(a.fileno()), os.fstat(b.fileno())):
                    return "same"
                left, size = 30_000, 0
                while left and (n := os.copy_file_range(a.fileno(), b.fileno(), left, at + size, size)):
                    left, size = left - n, size + n
                return size
        self.both(f"copy_file_range {source} {target}", copy, lambda t: t)

    # names

    def rename(self):
        old, new = self.path(), self.path()
        self.both(f"rename {old} {new}", os.rename, lambda t: t / old, lambda t: t / new)

    def rename_flags(self):
        old, new = self.path(), self.path()
        flag = self.random.choice((files.RENAME_NOREPLACE, files.RENAME_EXCHANGE))
        if flag == files.RENAME_EXCHANGE and not all((self.tops[1] / p).is_file() for p in (old, new)):
            return  # promised for files
        self.both(f"renameat2 {old} {new} {flag}", files.renameat2, lambda t: t / old, lambda t: t / new, flag)

    def unlink(self):
        path = self.path()
        self.both(f"unlink {path}", os.unlink, lambda t: t / path)

    def make_folder(self):
        path = self.path()
        self.both(f"mkdir {path}", os.mkdir, lambda t: t / path)

    def remove_folder(self):
        path = self.path()
        self.both(f"rmdir {path}", os.rmdir, lambda t: t / path)

    def remove_tree(self):
        path = self.path()

        def rmtree(place):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
        self.both(f"rm -r {path}", rmtree, lambda t: t / path)

    def link(self):
        target, path = self.path(), self.path()
        self.both(f"symlink {target} {path}", os.symlink, target, lambda t: t / path)
        self.both(f"readlink {path}", os.readlink, lambda t: t / path)

    def list_folder(self):
        path = self.random.choice(["."] + NAMES[-3:])

        def names(place):
            return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in os.scandir(place))
        self.both(f"list {path}", names, lambda t: t / path)

    # attributes

    def mode(self):
        path, mode = self.path(), self.random.choice((0o644, 0o600, 0o755, 0o4711, 0o444))

        def chmod(place):
            if place.is_symlink():
                return None
            return os.chmod(place, mode | (0o700 if place.is_dir() else 0))
        self.both(f"chmod {path} {mode:o}", chmod, lambda t: t / path)

    def times(self):
        path, when = self.path(), self.random.randrange(1 << 60)

        def utime(place):
            os.utime(place, ns=(when, when), follow_symlinks=False)
            return place.lstat().st_mtime_ns
        self.both(f"utime {path} {when}", utime, lambda t: t / path)

    def attribute(self):
        path, name = self.path(), f"user.{self.random.choice('abc')}"
        value = self.data()[:self.random.randrange(60)]
        if self.random.random() < 0.3:
            self.both(f"removexattr {path} {name}", os.removexattr, lambda t: t / path, name)
        else:
            self.both(f"setxattr {path} {name}", os.setxattr, lambda t: t / path, name, value)
            self.both(f"getxattr {path} {name}", os.getxattr, lambda t: t / path, name)

    def look(self):
        path = self.path()

        def describe(place):
            st = place.lstat()
            return oct(st.st_mode), st.st_size if not stat.S_ISDIR(st.st_mode) else 0
        self.both(f"stat {path}", describe, lambda t: t / path)

    # files that stay open

    def open_one(self):
        if len(self.open) >= MAX_OPEN:
            return self.close_one()
        path, write = self.path(), self.random.random() < 0.6
        flags = os.O_RDWR | (os.O_CREAT if self.random.random() < 0.5 else 0) if write else os.O_RDONLY
        fds = [outcome(os.open, top / path, flags, 0o644) for top in self.tops]
        kinds = [f if isinstance(f, str) else "open" for f in fds]
        if kinds == ["open", "open"]:
            if stat.S_ISDIR(os.fstat(fds[0]).st_mode):
                os.close(fds[0])
                os.close(fds[1])
            else:
                self.open.append((path, *fds, write))
        self.agree(f"open {path} {flags:o}", *kinds)

    def pick_open(self, writing=False):
        ready = [o for o in self.open if o[3] or not writing]
        return self.random.choice(ready) if ready else None

    def write_open(self):
        if not (one := self.pick_open(writing=True)):
            return
        at, data = self.random.randrange(MAX_SIZE), self.data()[:20_000]
        self.both_open(f"pwrite {one[0]} {at}+{len(data)}", os.pwrite, one[1:3], data, at)

    def read_open(self):
        if one := self.pick_open():
            at, size = self.random.randrange(MAX_SIZE), self.random.randrange(1, 100_000)
            self.both_open(f"pread {one[0]} {at}+{size}", os.pread, one[1:3], size, at)

    def resize_open(self):
        if one := self.pick_open(writing=True):
            size = self.random.randrange(MAX_SIZE)
            self.both_open(f"ftruncate {one[0]} {size}", os.ftruncate, one[1:3], size)

    def allocate_open(self):
        if not (one := self.pick_open(writing=True)):
            return
        mode = self.random.choice((0, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE))
        at, size = self.random.randrange(MAX_SIZE // 2), self.random.randrange(1, 50_000)
        self.both_open(f"fallocate {one[0]} {mode} {at}+{size}", files.fallocate, one[1:3], mode, at, size)

    def sync_open(self):
        if one := self.pick_open(writing=True):
            self.both_open(f"fsync {one[0]}", os.fsync, one[1:3])

    def duplicate_open(self):
        if one := self.pick_open():
            pair = [os.dup(fd) for fd in one[1:3]]
            self.both_open(f"close of a dup {one[0]}", os.close, pair)

    def close_one(self):
        if self.open:
            one = self.open.pop(self.random.randrange(len(self.open)))
            self.both_open(f"close {one[0]}", os.close, one[1:3])

    def compare_trees(self):
        trees = [describe_tree(top) for top in self.tops]
        if trees[0] != trees[1]:
            keys = [k for k in sorted(set(trees[0]) | set(trees[1])) if trees[0].get(k) != trees[1].get(k)]
            raise Difference(f"after step {self.steps} the trees differ: " +
                             "; ".join(f"{k}: mount {trees[0].get(k)}, plain {trees[1].get(k)}" for k in keys[:5]) +
                             f"\nbefore: {self.last}")

    def close_all(self):
        while self.open:
            self.close_one()


ACTIONS = [("write_file", 12), ("read_file", 12), ("append", 5), ("create_exclusive", 4), ("truncate", 4), ("save_by_rename", 5),
           ("map_and_write", 3), ("copy_range", 3), ("rename", 9), ("rename_flags", 3), ("unlink", 7), ("make_folder", 6),
           ("remove_folder", 3), ("remove_tree", 1), ("link", 3), ("list_folder", 5), ("mode", 3), ("times", 3),
           ("attribute", 3), ("look", 6), ("open_one", 6), ("write_open", 8), ("read_open", 8), ("resize_open", 3),
           ("allocate_open", 2), ("sync_open", 2), ("duplicate_open", 1), ("close_one", 5), ("compare_trees", 1)]


def describe_tree(top):
    """Everything that must be the same: kinds, sizes, contents, modes, link targets, user attributes."""
    found = files.snapshot(top)
    for path in list(found):
        place = Path(top, path)
        if not place.is_symlink():
            found[path] += tuple(sorted((n, os.getxattr(place, n)) for n in os.listxattr(place)
                                        if n.startswith("user.") and not n.startswith("user.pail.")))
    return found


class Model:
    def __init__(self, mount, plain, seed, threads=3):
        self.seed = seed
        self.workers = [Worker((Path(mount) / f"worker{i}", Path(plain) / f"worker{i}"), seed * 1000 + i)
                        for i in range(threads)]
        self.errors = []

    def run(self, seconds):
        """Steps done by all threads."""
        end = time.monotonic() + seconds

        def work(worker):
            try:
                while time.monotonic() < end and not self.errors:
                    worker.step()
                worker.close_all()
                worker.compare_trees()
            except BaseException as error:
                self.errors.append(error)
        threads = [threading.Thread(target=work, args=(worker,)) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise Difference(f"seed {self.seed}: {self.errors[0]}") from self.errors[0]
        return sum(worker.steps for worker in self.workers)


def try_on_plain_folders():
    """The model against itself: two plain folders must never differ."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        for side in ("a", "b"):
            Path(folder, side).mkdir()
        print(Model(Path(folder, "a"), Path(folder, "b"), int(sys.argv[1])).run(float(sys.argv[2])), "steps")


if __name__ == "__main__":
    try_on_plain_folders()
