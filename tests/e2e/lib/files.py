"""File operations that Python has no function for, and small helpers for trees."""
import ctypes
import errno
import hashlib
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE, FALLOC_ZERO_RANGE = 1, 2, 8, 16


def _check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(old, new, flags):
    _check(_libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def fallocate(fd, mode, offset, size):
    _check(_libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)))


def error_of(function, *arguments, **more):
    """The name of the errno that a call fails with; "none" when it does not."""
    try:
        function(*arguments, **more)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "none"


def pattern(size, seed=0):
    """Bytes that differ at every place and for each seed; cheap to make."""
    block = hashlib.sha256(str(seed).encode()).digest() * 32
    numbered = bytearray()
    for i in range(-(-size // 1024)):
        numbered += i.to_bytes(8, "little") + block[8:]
    return bytes(numbered[:size])


def digest(path):
    value = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            value.update(piece)
    return value.hexdigest()


def snapshot(folder, times=False):
    """{relative path: what it is} of a whole tree, for comparing two."""
    found = {}
    folder = Path(folder)
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(place, name)
            st = path.lstat()
            kind = ("link", os.readlink(path)) if path.is_symlink() else \
                ("folder",) if path.is_dir() else ("file", st.st_size, digest(path))
            more = () if path.is_symlink() else (oct(st.st_mode & 0o7777),)
            if times and kind[0] == "file":
                more += (st.st_mtime_ns,)
            found[str(path.relative_to(folder))] = kind + more
    return found


def conflict_copies(folder):
    return [str(p) for p in Path(folder).rglob("*") if " (conflict " in p.name]
