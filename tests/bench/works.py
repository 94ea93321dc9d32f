"""The works of the bench. Each prepares its objects, does the raw yardstick, then the same through a mount."""
import os
import random
import shutil
import subprocess
import time
from pathlib import Path


def timed(function, *arguments):
    before = time.monotonic()
    function(*arguments)
    return time.monotonic() - before


def read_file(path, block=1 << 20):
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.read(fd, block):
            pass
    finally:
        os.close(fd)


def write_file(path, source, size):
    with open(source, "rb") as data, open(path, "wb", buffering=0) as to:
        left = size
        while left:
            piece = data.read(min(1 << 20, left))
            to.write(piece)
            left -= len(piece)


def run_ls(folder):
    subprocess.run(["ls", "-l", str(folder)], stdout=subprocess.DEVNULL, check=True, env={**os.environ, "LC_ALL": "C"})


def run_find(folder, count):
    done = subprocess.run(["find", str(folder), "-type", "f"], capture_output=True, text=True, check=True)
    found = done.stdout.count("\n")
    assert found == count, f"find saw {found} of {count} files in {folder}"


class Work:
    """key: prefix of its objects. prepare and raw happen once, mounted once for each mount."""
    name = "?"
    target = None  # of the first issue: "most" as a multiple of the raw time

    def __init__(self, bench):
        self.bench = bench
        self.prefix = type(self).__name__.lower()

    def prepare(self):
        pass

    def raw(self):
        """{label: seconds}, the best of which is what a target refers to."""
        return {}

    def mounted(self, mount):
        """{label: seconds}."""
        raise NotImplementedError


class ReadBig(Work):
    name = "read {big}"
    target = 2.0

    def prepare(self):
        self.bench.raw.write(self.bench.bucket, f"{self.prefix}/big", self.bench.big_file, 4)

    def raw(self):
        key, size = f"{self.prefix}/big", self.bench.big_size
        return {"one connection": self.bench.raw.read(self.bench.bucket, key, size, 1),
                "eight": self.bench.raw.read(self.bench.bucket, key, size, 8)}

    def mounted(self, mount):
        mount.mount()
        cold = timed(read_file, mount.folder / self.prefix / "big")
        mount.umount()
        mount.mount(cold=False)
        again = timed(read_file, mount.folder / self.prefix / "big")
        mount.umount()
        return {"cold": cold, "again, after a remount": again}


class WriteBig(Work):
    name = "write {big}, until in the bucket"
    target = 2.0

    def prepare(self):
        """The first upload finds memory that the machine has already; those after it must get theirs from the host."""
        self.bench.raw.write(self.bench.bucket, f"{self.prefix}/warm", self.bench.big_file, 4)

    def raw(self):
        return {"one connection": self.bench.raw.write(self.bench.bucket, f"{self.prefix}/raw1", self.bench.big_file, 1),
                "four": self.bench.raw.write(self.bench.bucket, f"{self.prefix}/raw4", self.bench.big_file, 4)}

    def mounted(self, mount):
        mount.mount()
        folder = mount.folder / self.prefix
        folder.mkdir(exist_ok=True)
        before = time.monotonic()
        write_file(folder / mount.name, self.bench.big_file, self.bench.big_size)
        closed = time.monotonic() - before
        mount.sync()
        done = time.monotonic() - before
        mount.umount()
        size, _ = self.bench.s3.list(self.bench.bucket, f"{self.prefix}/{mount.name}")[f"{self.prefix}/{mount.name}"]
        assert size == self.bench.big_size
        return {"in the bucket": done, "close returns": closed}


class CreateSmall(Work):
    name = "create {small} x 4 KiB"
    target = 3.0

    def raw(self):
        keys = [f"{self.prefix}/raw/{i:05d}" for i in range(self.bench.small)]
        return {"one connection": self.bench.raw.put_many(self.bench.bucket, keys, self.bench.big_file, 4096, 1),
                "32": self.bench.raw.put_many(self.bench.bucket, keys, self.bench.big_file, 4096, 32)}

    def mounted(self, mount):
        mount.mount()
        folder = mount.folder / self.prefix / mount.name
        folder.mkdir(parents=True)
        data = Path(self.bench.big_file).open("rb").read(4096)
        before = time.monotonic()
        for i in range(self.bench.small):
            with open(folder / f"{i:05d}", "wb", buffering=0) as to:
                to.write(data)
        closed = time.monotonic() - before
        mount.sync()
        done = time.monotonic() - before
        mount.umount()
        here = self.bench.s3.list(self.bench.bucket, f"{self.prefix}/{mount.name}/")
        assert sum(size == 4096 for size, _ in here.values()) == self.bench.small
        return {"in the bucket": done, "close returns": closed}


class ReadSmall(Work):
    name = "read those {small}, cold"
    target = 3.0

    def keys(self):
        return [f"{self.prefix}/{i:05d}" for i in range(self.bench.small)]

    def prepare(self):
        self.bench.raw.put_many(self.bench.bucket, self.keys(), self.bench.big_file, 4096, 16)

    def raw(self):
        return {"one connection": self.bench.raw.get_many(self.bench.bucket, self.keys(), 1),
                "32": self.bench.raw.get_many(self.bench.bucket, self.keys(), 32)}

    def mounted(self, mount):
        mount.mount()
        folder = mount.folder / self.prefix

        def read_all():
            for name in sorted(os.listdir(folder)):
                read_file(folder / name)
        seconds = timed(read_all)
        mount.umount()
        return {"cold": seconds}


class ListFolder(Work):
    name = "ls -l, {wide} files"
    target = 6.0

    def prepare(self):
        keys = [f"{self.prefix}/{i:06d}" for i in range(self.bench.wide)]
        self.bench.raw.put_many(self.bench.bucket, keys, self.bench.big_file, 1, 16)

    def raw(self):
        pages, count = self.bench.raw.list(self.bench.bucket, f"{self.prefix}/")
        assert count == self.bench.wide
        keys = [f"{self.prefix}/{i:06d}" for i in range(self.bench.wide)]
        heads = self.bench.raw.head_many(self.bench.bucket, keys, 32)
        return {"pages": pages, "pages and heads": pages + heads}

    def mounted(self, mount):
        result = {}
        if mount.name == "pail":
            mount.mount("-o", "attrs=listing")
            result["cold, attrs=listing"] = timed(run_ls, mount.folder / self.prefix)
            mount.umount()
        mount.mount()
        result["cold"] = timed(run_ls, mount.folder / self.prefix)
        result["again"] = timed(run_ls, mount.folder / self.prefix)
        mount.umount()
        if mount.name == "pail":
            mount.mount(cold=False)
            result["after a remount"] = timed(run_ls, mount.folder / self.prefix)
            mount.umount()
        return result


class FindTree(Work):
    name = "find, {deep} files in {folders} folders"

    def prepare(self):
        each = self.bench.deep // self.bench.folders
        keys = [f"{self.prefix}/{d // 50:03d}/{d:05d}/{i:03d}" for d in range(self.bench.folders) for i in range(each)]
        self.bench.raw.put_many(self.bench.bucket, keys, self.bench.big_file, 1, 16)

    def raw(self):
        seconds, count = self.bench.raw.list(self.bench.bucket, f"{self.prefix}/")
        assert count == self.bench.deep
        return {"flat pages": seconds}

    def mounted(self, mount):
        mount.mount()
        cold = timed(run_find, mount.folder / self.prefix, self.bench.deep)
        again = timed(run_find, mount.folder / self.prefix, self.bench.deep)
        mount.umount()
        return {"cold": cold, "again": again}


class RandomReads(Work):
    name = "{random} random reads of 4 KiB in {big}"

    def prepare(self):
        self.bench.raw.write(self.bench.bucket, f"{self.prefix}/big", self.bench.big_file, 4)
        rng = random.Random(5)
        self.offsets = [rng.randrange(self.bench.big_size >> 12) << 12 for _ in range(self.bench.random)]

    def raw(self):
        return {"one connection": self.bench.raw.random_reads(self.bench.bucket, f"{self.prefix}/big", self.offsets, 4096)}

    def mounted(self, mount):
        mount.mount()
        fd = os.open(mount.folder / self.prefix / "big", os.O_RDONLY)
        before = time.monotonic()
        found = [os.pread(fd, 4096, at) for at in self.offsets]
        seconds = time.monotonic() - before
        os.close(fd)
        with open(self.bench.big_file, "rb") as source:
            assert found == [os.pread(source.fileno(), 4096, at) for at in self.offsets], "other bytes than were stored"
        mount.umount()
        return {"cold": seconds}


class RenameFolder(Work):
    name = "rename a folder of {small}"

    def keys(self, name):
        return [f"{self.prefix}/{name}/{i:05d}" for i in range(self.bench.small)]

    def fill(self, name):
        self.bench.raw.put_many(self.bench.bucket, self.keys(name), self.bench.big_file, 4096, 16)

    def raw(self):
        self.fill("raw")
        copies = self.bench.raw.copy_many(self.bench.bucket, list(zip(self.keys("raw"), self.keys("raw-moved"))), 32)
        return {"32": copies + self.bench.raw.delete_many(self.bench.bucket, self.keys("raw"))}

    def mounted(self, mount):
        self.fill(mount.name)
        mount.mount()
        run_ls(mount.folder / self.prefix / mount.name)
        before = time.monotonic()
        os.rename(mount.folder / self.prefix / mount.name, mount.folder / self.prefix / f"{mount.name}-moved")
        returned = time.monotonic() - before
        mount.sync()
        done = time.monotonic() - before
        mount.umount()
        here = self.bench.s3.list(self.bench.bucket, f"{self.prefix}/{mount.name}")
        assert sum(k.startswith(f"{self.prefix}/{mount.name}-moved/0") for k in here) == self.bench.small
        return {"done": done, "returns": returned}


class RemoveTree(Work):
    name = "rm -r of {remove}"

    def keys(self, name):
        return [f"{self.prefix}/{name}/{i // 200:02d}/{i:05d}" for i in range(self.bench.remove)]

    def fill(self, name):
        self.bench.raw.put_many(self.bench.bucket, self.keys(name), self.bench.big_file, 64, 16)

    def raw(self):
        self.fill("raw")
        return {"batches": self.bench.raw.delete_many(self.bench.bucket, self.keys("raw"))}

    def mounted(self, mount):
        self.fill(mount.name)
        mount.mount()
        before = time.monotonic()
        shutil.rmtree(mount.folder / self.prefix / mount.name)
        returned = time.monotonic() - before
        mount.sync()
        done = time.monotonic() - before
        mount.umount()
        assert not self.bench.s3.list(self.bench.bucket, f"{self.prefix}/{mount.name}/")
        return {"done": done, "returns": returned}


class NoWire(Work):
    """What a FUSE server that does nothing needs for the same calls: the yardstick of what needs no wire."""
    name = "an empty FUSE server, for comparison"

    def mounted(self, mount):
        if mount.name != "pail":
            return {}
        with self.bench.empty_server() as folder:
            data = bytes(4096)

            def create():
                for i in range(self.bench.small):
                    with open(folder / "scratch" / f"{i:05d}", "wb", buffering=0) as to:
                        to.write(data)

            def unlink():
                for i in range(self.bench.small):
                    os.unlink(folder / "scratch" / f"{i:05d}")
            return {f"create {self.bench.small} x 4 KiB": timed(create), f"unlink {self.bench.small}": timed(unlink),
                    f"read {self.bench.big}": timed(read_file, folder / "big"),
                    f"ls -l {self.bench.wide}": timed(run_ls, folder / "wide"),
                    f"find {self.bench.deep}": timed(run_find, folder / "deep", self.bench.deep)}


class FirstLook(Work):
    """Not a race with raw HTTP: how soon a person sees their files."""
    name = "pail mount to first ls, {known} names known"

    def prepare(self):
        each = self.bench.known // 100
        keys = [f"{self.prefix}/{d:03d}/{i:05d}" for d in range(100) for i in range(each)]
        self.bench.raw.put_many(self.bench.bucket, keys, self.bench.big_file, 1, 16)

    def mounted(self, mount):
        if mount.name != "pail":
            return {}
        mount.mount("-o", "attrs=listing")
        run_find(mount.folder / self.prefix, self.bench.known // 100 * 100)
        mount.umount()
        before = time.monotonic()
        mount.mount("-o", "attrs=listing", cold=False)
        run_ls(mount.folder / self.prefix)
        seconds = time.monotonic() - before
        mount.umount()
        return {"seconds": seconds}


class LoginToFolder(Work):
    """Of somebody new, whose bucket is made by the way; the target is a second, near."""
    name = "pail login, from the browser's answer on"

    def mounted(self, mount):
        if mount.name != "pail":
            return {}
        logged_in, mounted = self.bench.service.login_afresh()
        return {"logged in": logged_in, "mounted": mounted}


class UploadHuge(Work):
    """Memory, not time: an upload far beyond the memory budget."""
    name = "memory while uploading {huge}, MiB"

    def mounted(self, mount):
        if mount.name != "pail":
            return {}
        mount.mount()
        folder = mount.folder / self.prefix
        folder.mkdir(exist_ok=True)
        with open(folder / "huge", "wb") as to:
            to.truncate(self.bench.huge_size)
            for at in range(0, self.bench.huge_size, 256 << 20):
                to.seek(at)
                to.write(os.urandom(1 << 20))
        mount.sync()
        mount.umount()
        return {"MiB": mount.peak}


ALL = [NoWire, ReadBig, WriteBig, CreateSmall, ReadSmall, ListFolder, FindTree, RandomReads, RenameFolder, RemoveTree, FirstLook,
       LoginToFolder, UploadHuge]
