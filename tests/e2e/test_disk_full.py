"""A full disk, where the spool and where the cache is: ENOSPC to the writer, and nothing acknowledged is lost."""
import os
import shutil

import pytest

from lib import faultproxy as fault
from lib import files, mounts
from lib.files import pattern
from lib.processes import PATIENCE, wait_until


@pytest.fixture
def small(stack):
    """Somebody whose state folder (the spool) or cache is on a small disk."""
    people = []

    def make(which, size):
        person = stack.person("ann")
        place = person.home / which
        kept = person.home / "kept"
        if place.exists():
            shutil.move(place, kept)
        mounts.mount_tmpfs(place, size)
        if kept.exists():
            shutil.copytree(kept, place, dirs_exist_ok=True, symlinks=True)
        people.append(person)
        person.mount()
        return person
    yield make
    for person in people:
        if mounts.is_mounted(person.folder):
            person.umount()


def test_spool_full(stack, small):
    person = small("state", "96M")
    os.listdir(person.folder)
    folder = person.folder
    stack.proxy.network(False)
    closed, error = {}, "none"
    for i in range(200):
        body = pattern(1 << 20, seed=i)
        try:
            with open(folder / f"{i:03d}", "wb", buffering=0) as file:
                file.write(body)
                os.fsync(file.fileno())
            closed[f"{i:03d}"] = body
        except OSError as failed:
            error = failed.errno
            break
    assert error == 28, f"{len(closed)} MiB went in, and the error was {error}"
    assert 5 < len(closed) < 90
    for name, body in closed.items():
        assert (folder / name).read_bytes() == body
    stack.proxy.network(True)
    wait_until(lambda: person.pail("sync", folder, code=None, timeout=PATIENCE).code == 0, "sync", 240)
    contents = stack.s3.contents(stack.bucket_of(person))
    assert {name: contents.get(name) == body for name, body in closed.items()} == dict.fromkeys(closed, True)
    (folder / "after").write_bytes(b"room again")
    person.sync()
    assert stack.s3.get(stack.bucket_of(person), "after").body == b"room again"
    assert not files.conflict_copies(folder)


def test_cache_full(stack, small):
    person = small("cache", "96M")
    folder, bucket = person.folder, stack.bucket_of(person)
    bodies = {f"{i}": pattern(20 << 20, seed=i) for i in range(8)}
    for name, body in bodies.items():
        stack.s3.put(bucket, name, body)
    wait_until(lambda: set(bodies) <= set(os.listdir(folder)))
    for _ in range(2):
        for name, body in bodies.items():
            assert (folder / name).read_bytes() == body
    (folder / "written").write_bytes(b"x" * 1000)
    person.sync()
    assert stack.s3.get(bucket, "written").body == b"x" * 1000


def test_store_full(stack, small):
    """507 and QuotaExceeded of the store: told, kept, sent when there is room."""
    person = stack.person("ann")
    person.mount()
    stack.proxy.add(fault.Rule(fault.answer(507, "InsufficientStorage"), method="PUT", times=None))
    (person.folder / "kept").write_bytes(b"kept here")
    wait_until(lambda: any(f["error"] for f in person.status()["unsent"]["list"]), "the error in the status")
    assert (person.folder / "kept").read_bytes() == b"kept here"
    stack.proxy.clear()
    person.sync(timeout=PATIENCE)
    assert stack.s3.get(stack.bucket_of(person), "kept").body == b"kept here"
    person.umount()
