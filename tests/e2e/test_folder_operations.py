"""Every row of filesystem.md's table "Operations", on the real kernel FUSE, looked at from inside and in the bucket."""
import fcntl
import mmap
import os
import socket
import stat
import subprocess
import sys
import time

import pytest

from lib import files
from lib.files import error_of, pattern
from lib.processes import PATIENCE, wait_until


def one_mount(stack):
    """For all tests of a kind of store; each test works in a folder of its own."""
    person = stack.person("ann")
    person.mount()
    yield stack, person
    person.umount()
    assert not files.conflict_copies(person.home)


@pytest.fixture(scope="module", params=["embedded", "ceph"])
def place(request, module_stacks):
    yield from one_mount(module_stacks(request.param))


@pytest.fixture
def folder(place, request):
    _, person = place
    folder = person.folder / request.node.name.split("[")[0]
    folder.mkdir()
    return folder


@pytest.fixture
def bucket(place, folder):
    """{name below the test's folder: bytes} once everything is sent."""
    stack, person = place

    def look():
        person.sync()
        prefix = f"{folder.name}/"
        return {key[len(prefix):]: body for key, body in stack.s3.contents(stack.bucket_of(person), prefix).items()
                if key != prefix}
    return look


@pytest.fixture
def head(place, folder):
    stack, person = place
    return lambda name: stack.s3.head(stack.bucket_of(person), f"{folder.name}/{name}").headers


@pytest.fixture
def put(place, folder):
    """Puts an object as somebody else would, into the test's folder; visible when the listing is no longer trusted."""
    stack, person = place

    def act(name, body, **headers):
        stack.s3.put(stack.bucket_of(person), f"{folder.name}/{name}", body, headers=headers)
    return act


def seen(path):
    """Waits until the mount has heard of it."""
    wait_until(lambda: os.path.lexists(path), f"{path} to appear", step=0.2)
    return path


# read, mmap

def test_reads_at_any_offset(folder, put):
    data = pattern(3_000_001)
    put("big", data)
    with open(seen(folder / "big"), "rb", buffering=0) as file:
        for at, size in ((0, 10), (2_999_990, 100), (1_500_000, 70_000), (3_000_001, 5), (9_000_000, 5), (4095, 2)):
            assert os.pread(file.fileno(), size, at) == data[at:at + size]
    assert (folder / "big").read_bytes() == data


def test_mmap_reads(folder, put):
    data = pattern(1_000_000)
    put("mapped", data)
    # In a process of its own: a page that is waited for holds Python's lock, and the proxy that brings it is here.
    code = """import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
    sys.stdout.buffer.write(view[777_777:777_900] + view[:])"""
    done = subprocess.run([sys.executable, "-c", code, seen(folder / "mapped")], capture_output=True, timeout=PATIENCE)
    assert done.stdout == data[777_777:777_900] + data, done.stderr


def test_sniffing_the_type_fetches_little(folder, put, place):
    stack, _ = place
    put("film.mkv", pattern(6_000_000))
    seen(folder / "film.mkv")
    before = len(stack.proxy.requests("GET", "film.mkv"))
    received = stack.proxy.bytes_sent(f"{folder.name}/film.mkv")
    with open(folder / "film.mkv", "rb", buffering=0) as file:
        assert file.read(16 << 10) == pattern(16 << 10)
    assert len(stack.proxy.requests("GET", "film.mkv")) - before <= 1
    assert stack.proxy.bytes_sent(f"{folder.name}/film.mkv") - received <= 256 << 10


# write, append, truncate, fallocate, mmap write, random write on big files

def test_write_and_append(folder, bucket):
    with open(folder / "file", "wb") as file:
        file.write(b"one")
    with open(folder / "file", "ab") as file:
        file.write(b"two")
    assert (folder / "file").read_bytes() == b"onetwo"
    assert bucket() == {"file": b"onetwo"}


def test_append_by_two_at_once(folder, bucket):
    one, two = (os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
    for i in range(50):
        os.write(one, b"%03d one\n" % i)
        os.write(two, b"%03d two\n" % i)
    os.close(one)
    os.close(two)
    lines = (folder / "log").read_text().splitlines()
    assert lines == [f"{i:03d} {who}" for i in range(50) for who in ("one", "two")]
    assert bucket()["log"].decode().splitlines() == lines


def test_truncate_shorter_and_longer(folder, bucket):
    (folder / "file").write_bytes(pattern(100_000))
    os.truncate(folder / "file", 50_000)
    os.truncate(folder / "file", 80_000)
    assert (folder / "file").read_bytes() == pattern(50_000) + bytes(30_000)
    assert bucket()["file"] == pattern(50_000) + bytes(30_000)


def test_truncate_of_what_is_only_in_the_bucket(folder, bucket, put):
    put("old", pattern(200_000))
    with open(seen(folder / "old"), "r+b") as file:
        file.truncate(150_001)
    assert (folder / "old").stat().st_size == 150_001
    assert bucket()["old"] == pattern(150_001)
    with open(folder / "old", "wb"):
        pass
    assert bucket()["old"] == b""


def test_fallocate(folder, bucket):
    with open(folder / "file", "w+b") as file:
        file.write(b"x" * 1000)
        file.flush()
        files.fallocate(file.fileno(), 0, 0, 5000)
        assert os.fstat(file.fileno()).st_size == 5000
        files.fallocate(file.fileno(), files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 100, 200)
    expected = b"x" * 100 + bytes(200) + b"x" * 700 + bytes(4000)
    assert (folder / "file").read_bytes() == expected
    assert bucket()["file"] == expected


def test_mmap_writes(folder, bucket):
    data = bytearray(pattern(300_000))
    (folder / "file").write_bytes(data)
    (folder / "file").read_bytes()  # or a page that is waited for would hold the lock that the proxy here needs
    with open(folder / "file", "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        for at in (0, 123_456, 299_990):
            view[at:at + 10] = b"mmap-write"
            data[at:at + 10] = b"mmap-write"
        view.flush()
    assert (folder / "file").read_bytes() == data
    assert bucket()["file"] == data


def test_random_writes_in_a_big_object(folder, bucket, put):
    data = bytearray(pattern(20_000_000))
    put("big", bytes(data))
    with open(seen(folder / "big"), "r+b", buffering=0) as file:
        for at in (0, 7_654_321, 19_999_995, 20_000_100):
            os.pwrite(file.fileno(), b"CHANGED", at)
            data[len(data):] = bytes(max(0, at + 7 - len(data)))
            data[at:at + 7] = b"CHANGED"
        assert os.pread(file.fileno(), 100, 7_654_300) == data[7_654_300:7_654_400]
    assert (folder / "big").read_bytes() == data
    assert bucket()["big"] == data


# create, O_EXCL, open of a file being written, unlink while open, dup/fork with two closes

def test_exclusive_create(folder):
    os.close(os.open(folder / "once", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    assert error_of(os.open, folder / "once", os.O_CREAT | os.O_EXCL | os.O_WRONLY) == "EEXIST"


def test_an_open_file_is_seen_by_others_while_written(folder):
    with open(folder / "growing", "wb", buffering=0) as file:
        for i in range(1, 6):
            file.write(b"x" * 1000)
            assert (folder / "growing").stat().st_size == 1000 * i
            assert len((folder / "growing").read_bytes()) == 1000 * i


def test_unlink_while_open(folder, bucket):
    with open(folder / "gone", "w+b") as file:
        file.write(b"still here")
        file.flush()
        os.unlink(folder / "gone")
        assert not (folder / "gone").exists() and os.listdir(folder) == []
        file.seek(0)
        assert file.read() == b"still here"
        file.write(b" and growing")
        file.flush()
        assert os.fstat(file.fileno()).st_size == 22 and os.fstat(file.fileno()).st_nlink == 0
        (folder / "gone").write_bytes(b"another")
    assert bucket() == {"gone": b"another"}


def test_unlink_while_open_of_what_is_only_in_the_bucket(folder, bucket, put):
    put("old", pattern(5_000_000))
    with open(seen(folder / "old"), "rb") as file:
        os.unlink(folder / "old")
        assert file.read() == pattern(5_000_000)
    assert bucket() == {}


def test_two_closes_after_dup_and_fork(folder, bucket):
    fd = os.open(folder / "shared", os.O_WRONLY | os.O_CREAT)
    child = os.fork()
    if not child:
        os.write(fd, b"child")
        os.close(fd)
        os._exit(0)
    os.waitpid(child, 0)
    other = os.dup(fd)
    os.close(fd)
    os.write(other, b" parent")
    os.close(other)
    assert bucket() == {"shared": b"child parent"}


def test_open_for_writing_without_a_write_changes_nothing(folder, bucket, place):
    stack, _ = place
    (folder / "same").write_bytes(b"kept")
    bucket()
    before = len(stack.proxy.requests("PUT", f"{folder.name}/same"))
    with open(folder / "same", "r+b"):
        pass
    assert bucket()["same"] == b"kept"
    assert len(stack.proxy.requests("PUT", f"{folder.name}/same")) == before


# a file written and still open

def test_an_open_file_reaches_the_bucket_at_sync(folder, bucket):
    with open(folder / "open", "wb", buffering=0) as file:
        file.write(b"part one")
        assert bucket() == {"open": b"part one"}
        file.write(b", part two")
    assert bucket() == {"open": b"part one, part two"}


@pytest.mark.slow
def test_an_open_file_that_rests_is_sent(folder, place):
    stack, person = place
    with open(folder / "resting", "wb", buffering=0) as file:
        file.write(b"rests")
        end = time.monotonic() + 30
        key = f"{folder.name}/resting"
        while key not in stack.s3.list(stack.bucket_of(person), key):
            assert time.monotonic() < end, "10 s without a write, and not sent after 30 s"
            time.sleep(0.5)


# rename

def test_rename_over_a_file(folder, bucket):
    (folder / "a").write_bytes(b"new")
    (folder / "b").write_bytes(b"old")
    bucket()
    with open(folder / "b", "rb") as reader:
        os.rename(folder / "a", folder / "b")
        assert reader.read() == b"old"
    assert sorted(os.listdir(folder)) == ["b"] and (folder / "b").read_bytes() == b"new"
    assert bucket() == {"b": b"new"}


def test_rename_of_a_folder_with_everything_in_it(folder, bucket):
    for i in range(30):
        path = folder / "from" / f"sub{i % 3}" / f"{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % i)
    bucket()
    os.rename(folder / "from", folder / "to")
    assert sorted(os.listdir(folder)) == ["to"] and (folder / "to/sub1/1").read_bytes() == b"1"
    (folder / "to/sub1/1").write_bytes(b"changed")
    objects = {k: v for k, v in bucket().items() if not k.endswith("/")}
    assert objects == {f"to/sub{i % 3}/{i}": b"changed" if i == 1 else b"%d" % i for i in range(30)}


def test_rename_into_a_full_folder_and_into_itself(folder):
    (folder / "a/inner").mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / "b/file").write_bytes(b"")
    assert error_of(os.rename, folder / "a", folder / "b") in ("ENOTEMPTY", "EEXIST")
    assert error_of(os.rename, folder / "a", folder / "a/inner/x") == "EINVAL"
    assert error_of(os.rename, folder / "b/file", folder / "a") == "EISDIR"
    assert error_of(os.rename, folder / "a", folder / "b/file") == "ENOTDIR"
    os.rename(folder / "b", folder / "c")
    (folder / "b").mkdir()
    os.rename(folder / "a", folder / "b")  # an empty one is replaced
    assert sorted(os.listdir(folder)) == ["b", "c"]


def test_rename_noreplace_and_exchange(folder, bucket):
    (folder / "a").write_bytes(b"was a")
    (folder / "b").write_bytes(b"was b")
    bucket()
    assert error_of(files.renameat2, folder / "a", folder / "b", files.RENAME_NOREPLACE) == "EEXIST"
    files.renameat2(folder / "a", folder / "b", files.RENAME_EXCHANGE)
    assert (folder / "a").read_bytes() == b"was b" and (folder / "b").read_bytes() == b"was a"
    files.renameat2(folder / "b", folder / "c", files.RENAME_NOREPLACE)
    assert bucket() == {"a": b"was b", "c": b"was a"}


def test_chain_and_cycle_of_renames(folder, bucket):
    for name in "abc":
        (folder / name).write_bytes(name.encode())
    bucket()
    os.rename(folder / "a", folder / "t")
    os.rename(folder / "b", folder / "a")
    os.rename(folder / "c", folder / "b")
    os.rename(folder / "t", folder / "c")
    assert bucket() == {"a": b"b", "b": b"c", "c": b"a"}


# temp-file-and-rename saving

def test_saving_by_a_temp_file_is_one_put(folder, bucket, place):
    stack, _ = place
    (folder / "report.odt").write_bytes(b"version 1")
    bucket()
    stack.proxy.forget()
    (folder / ".~lock.report.odt#").write_bytes(b"me")
    (folder / "lu12345.tmp").write_bytes(b"version 2")
    os.rename(folder / "lu12345.tmp", folder / "report.odt")
    os.unlink(folder / ".~lock.report.odt#")
    assert bucket() == {"report.odt": b"version 2"}
    changing = [path.split("?")[0].rsplit("/", 1)[1] for method, path in stack.proxy.requests("PUT|POST|DELETE")]
    assert changing == ["report.odt"], changing


# rm -r

def test_rm_r_is_batched(folder, bucket, place):
    stack, _ = place
    for i in range(300):
        (folder / f"{i:03d}").write_bytes(b"x")
    assert len(bucket()) == 300
    stack.proxy.forget()
    for i in range(300):
        os.unlink(folder / f"{i:03d}")
    assert bucket() == {}
    deletes = len(stack.proxy.requests("DELETE")) + len(stack.proxy.requests("POST", r"\?.*delete"))
    assert deletes <= 20, f"{deletes} requests to delete 300 files"


def test_rmdir(folder, bucket):
    (folder / "a/b").mkdir(parents=True)
    assert error_of(os.rmdir, folder / "a") == "ENOTEMPTY"
    (folder / "a/b/file").write_bytes(b"x")
    bucket()
    os.unlink(folder / "a/b/file")
    assert (folder / "a/b").is_dir()  # the last file does not take the folder with it
    os.rmdir(folder / "a/b")
    os.rmdir(folder / "a")
    assert bucket() == {} and os.listdir(folder) == []


# symlink, chmod, chown, utimens, xattrs: kept, and restored on another machine

@pytest.mark.slow
def test_attributes_are_restored_on_another_machine(folder, place):
    stack, person = place
    (folder / "file").write_bytes(b"content")
    os.symlink("file", folder / "link")
    os.symlink("/nowhere/é", folder / "dangling")
    (folder / "sub").mkdir()
    os.chmod(folder / "file", 0o4751)
    os.chmod(folder / "sub", 0o700)
    os.utime(folder / "file", ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    os.setxattr(folder / "file", "user.note", "grün".encode())
    os.setxattr(folder / "file", "user.empty", b"")
    os.setxattr(folder / "file", "user.raw", bytes(range(200)))
    person.sync()

    def check(place):
        st = (place / "file").stat()
        assert oct(st.st_mode) == oct(0o104751) and st.st_mtime_ns == 1_500_000_000_987_654_321
        assert os.readlink(place / "link") == "file" and (place / "link").read_bytes() == b"content"
        assert os.readlink(place / "dangling") == "/nowhere/é"
        assert oct((place / "sub").stat().st_mode) == oct(0o40700)
        assert os.getxattr(place / "file", "user.note") == "grün".encode()
        assert os.getxattr(place / "file", "user.empty") == b""
        assert os.getxattr(place / "file", "user.raw") == bytes(range(200))
        assert {"user.note", "user.empty", "user.raw"} <= set(os.listxattr(place / "file"))
    check(folder)
    other = stack.person("ann", machine=f"-{folder.name}")
    other.mount()
    check(other.folder / folder.name)
    other.umount()


def test_metadata_changes_keep_content_and_type(folder, bucket, put, head):
    put("photo.bin", pattern(1000), **{"content-type": "image/x-test", "cache-control": "max-age=5",
                                       "x-amz-meta-theirs": "kept"})
    seen(folder / "photo.bin")
    os.chmod(folder / "photo.bin", 0o640)
    os.setxattr(folder / "photo.bin", "user.mine", b"1")
    assert bucket()["photo.bin"] == pattern(1000)
    headers = head("photo.bin")
    assert (headers["content-type"], headers["cache-control"]) == ("image/x-test", "max-age=5")
    assert headers["x-amz-meta-theirs"] == "kept" and headers["x-amz-meta-mode"] == str(0o100640)


def test_chown_is_kept_but_the_owner_shown_is_who_mounted(folder, bucket, head):
    (folder / "file").write_bytes(b"x")
    os.chown(folder / "file", 1234, 4321)
    bucket()
    headers = head("file")
    assert (headers["x-amz-meta-uid"], headers["x-amz-meta-gid"]) == ("1234", "4321")
    assert (folder / "file").stat().st_uid == os.geteuid()


def test_removing_xattrs_and_those_that_are_not_ours(folder):
    path = folder / "file"
    path.write_bytes(b"x")
    os.setxattr(path, "user.a", b"1")
    assert error_of(os.setxattr, path, "user.a", b"2", os.XATTR_CREATE) == "EEXIST"
    assert error_of(os.setxattr, path, "user.b", b"2", os.XATTR_REPLACE) == "ENODATA"
    os.removexattr(path, "user.a")
    assert error_of(os.getxattr, path, "user.a") == "ENODATA" and error_of(os.removexattr, path, "user.a") == "ENODATA"
    for name in ("security.capability", "system.posix_acl_access", "trusted.x"):
        assert error_of(os.getxattr, path, name) in ("ENOTSUP", "EOPNOTSUPP"), name
        assert error_of(os.setxattr, path, name, b"\1\0\0\2" + bytes(16)) in ("ENOTSUP", "EOPNOTSUPP", "EINVAL"), name


def test_too_much_metadata_is_refused(folder):
    (folder / "file").write_bytes(b"x")
    assert error_of(os.setxattr, folder / "file", "user.huge", b"y" * 3000) in ("ENOSPC", "E2BIG")
    assert error_of(os.getxattr, folder / "file", "user.huge") == "ENODATA"


def test_setting_times_to_now_and_size_keeps_nanoseconds(folder):
    path = folder / "file"
    path.write_bytes(b"x")
    before = time.time_ns()
    os.utime(path)
    assert abs(path.stat().st_mtime_ns - before) < 5_000_000_000
    os.utime(path, ns=(1, 999_999_999))
    assert path.stat().st_mtime_ns == 999_999_999


# hard link, mknod

def test_what_s3_cannot_hold_is_refused(folder):
    (folder / "file").write_bytes(b"x")
    assert error_of(os.link, folder / "file", folder / "hard") == "EPERM"
    assert error_of(os.mkfifo, folder / "fifo") == "EPERM"
    assert error_of(os.mknod, folder / "device", stat.S_IFBLK | 0o600, os.makedev(7, 200)) == "EPERM"
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(folder)
        try:
            assert error_of(sock.bind, "sock") == "EPERM"
        finally:
            os.chdir("/")
    assert os.listdir(folder) == ["file"]


# flock, fcntl locks

def test_locks_hold_among_processes_of_this_machine(folder):
    path = folder / "lock"
    path.write_bytes(b"x" * 100)
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert subprocess.run(["flock", "-n", path, "true"]).returncode == 1
        fcntl.flock(file, fcntl.LOCK_UN)
        assert subprocess.run(["flock", "-n", path, "true"]).returncode == 0
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)
        child = os.fork()
        if not child:
            with open(path, "r+b") as other:
                os._exit(0 if error_of(fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5) == "EAGAIN" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# statfs

def test_free_space_is_never_nothing(folder):
    st = os.statvfs(folder)
    assert st.f_bavail > 0 and st.f_blocks >= st.f_bavail and st.f_namemax == 255


# copy_file_range, SEEK_DATA/SEEK_HOLE, O_DIRECT, O_TMPFILE

def test_copy_file_range(folder, bucket):
    (folder / "from").write_bytes(pattern(3_000_000))
    bucket()
    with open(folder / "from", "rb") as source, open(folder / "to", "wb") as target:
        left = 3_000_000
        while left:
            left -= os.copy_file_range(source.fileno(), target.fileno(), left)
    assert bucket()["to"] == pattern(3_000_000)


def test_seek_data_and_hole(folder):
    with open(folder / "file", "wb") as file:
        file.write(b"x" * 10_000)
    with open(folder / "file", "rb") as file:
        assert os.lseek(file.fileno(), 5, os.SEEK_DATA) == 5
        assert os.lseek(file.fileno(), 5, os.SEEK_HOLE) == 10_000
        assert error_of(os.lseek, file.fileno(), 10_000, os.SEEK_DATA) == "ENXIO"


def test_o_direct_and_o_tmpfile(folder, bucket):
    fd = os.open(folder / "direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    with mmap.mmap(-1, 8192) as buffer:
        buffer.write(pattern(8192))
        assert os.writev(fd, [buffer]) == 8192
        assert os.preadv(fd, [buffer], 4096) == 4096 and buffer[:4096] == pattern(8192)[4096:]
    os.close(fd)
    assert bucket()["direct"] == pattern(8192)
    assert error_of(os.open, folder, os.O_TMPFILE | os.O_RDWR) in ("EOPNOTSUPP", "ENOTSUP", "EISDIR", "none")


# names and keys

def test_awkward_names(folder, bucket):
    names = ["a b", "+plus", "100%25", "ümlaut", "emoji 😀", "quote'\"", "back\\slash", "new\nline", "?&=#;", "~tilde",
             "x" * 255, "ü" * 127, ".hidden", "trailing.", "a:b", "-rf", "*", "<xml>&amp;"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    assert sorted(os.listdir(folder)) == sorted(names)
    assert bucket() == {name: name.encode() for name in names}
    for name in names:
        os.unlink(folder / name)
    assert bucket() == {}


def test_names_that_s3_cannot_hold(folder, place):
    _, person = place
    most = 1024 - len(person.status()["prefix"])
    assert error_of(open, os.fsencode(folder) + b"/bad\xff", "wb") == "EILSEQ"
    assert error_of(os.mkdir, os.fsencode(folder) + b"/bad\xff") == "EILSEQ"
    assert error_of(open, folder / ("x" * 256), "wb") == "ENAMETOOLONG"
    deep = folder
    while len(str(deep.relative_to(folder.parent))) < most - 252:
        deep = deep / ("d" * 240)
        deep.mkdir()
    room = most - len(os.fsencode(deep.relative_to(folder.parent))) - 1
    (deep / ("f" * room)).write_bytes(b"just fits")
    assert error_of(open, deep / ("f" * (room + 1)), "wb") == "ENAMETOOLONG"
    assert error_of(os.rename, folder / ("d" * 240), folder / ("d" * 241)) == "ENAMETOOLONG"
    assert (deep / ("f" * room)).read_bytes() == b"just fits"


def test_objects_of_others_just_work(folder, put):
    put("by/others/file.txt", b"theirs")
    put("folder/", b"")
    put("marker-with-bytes/", b"odd")
    seen(folder / "by")
    assert (folder / "by/others/file.txt").read_bytes() == b"theirs"
    assert (folder / "folder").is_dir() and os.listdir(folder / "folder") == []
    assert (folder / "marker-with-bytes").is_dir()
    assert error_of(os.rmdir, folder / "marker-with-bytes") != "none"


def test_keys_that_cannot_be_files(folder, put):
    put("x", b"the object")
    put("x/inside", b"the folder has the name")
    put("empty//segment", b"hidden")
    put("plain", b"")
    seen(folder / "plain")
    names = set(os.listdir(folder))
    assert {"x", "x (object)", "plain"} <= names
    assert (folder / "x").is_dir() and (folder / "x (object)").read_bytes() == b"the object"
    assert (folder / "x/inside").read_bytes() == b"the folder has the name"
    assert os.listdir(folder / "empty") == []
    assert error_of(os.rmdir, folder / "empty") == "ENOTEMPTY"


def test_content_type_is_set_by_the_name(folder, bucket, head):
    for name in ("page.html", "photo.jpg", "data.unknownext"):
        (folder / name).write_bytes(b"x")
    bucket()
    assert head("page.html")["content-type"].startswith("text/html")
    assert head("photo.jpg")["content-type"] == "image/jpeg"
    assert head("data.unknownext")["content-type"] in ("application/octet-stream", "binary/octet-stream")


def test_a_folder_made_here_is_there_for_others(folder, bucket):
    (folder / "made").mkdir()
    assert bucket() == {"made/": b""}


def test_a_change_from_outside_shows(folder, put):
    (folder / "file").write_bytes(b"mine")
    subprocess.run(["sync", "-f", folder], check=False)
    put("other", b"first")
    assert seen(folder / "other").read_bytes() == b"first"
    inode = (folder / "other").stat().st_ino
    time.sleep(1.1)  # S3's times are whole seconds
    put("other", b"second, longer")
    wait_until(lambda: (folder / "other").read_bytes() == b"second, longer", "the new version to show", step=0.3)
    assert (folder / "other").stat().st_ino != inode  # an inode never changes version from outside


def test_permissions_are_checked(folder):
    (folder / "secret").write_bytes(b"x")
    os.chmod(folder / "secret", 0o600)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", folder / "secret"],
                          capture_output=True, text=True)
    assert done.returncode != 0  # the mount is private to who mounted
