"""Every row of filesystem.md's table "Two writers": two mounts of one bucket, on a store with all conditions and on one
with hardly any. Whatever happens, every version can be found afterwards."""
import contextlib
import os
import subprocess
import time

import pytest

from lib.files import conflict_copies, pattern
from lib.processes import PATIENCE, wait_until


@pytest.fixture
def two(stack):
    """The same person at two machines, both mounted; listings are trusted for one second."""
    machines = []
    for name in ("-one", "-two"):
        person = stack.person("ann", machine=name)
        person.mount("-o", "fresh=1")
        os.listdir(person.folder)  # offline, only what is known can be changed
        machines.append(person)
    yield machines
    for person in machines:
        sent(person)
        person.umount()


def until(condition, what):
    """A file may be away for a moment."""
    def holds():
        with contextlib.suppress(OSError):
            return condition()
    wait_until(holds, what, step=0.2)


def shared(two, name, body):
    """A file that both machines know, with this content in the bucket."""
    one, other = two
    path = one.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    one.sync()
    until(lambda: (other.folder / name).read_bytes() == body, f"{name} on the other machine")
    return one.folder / name, other.folder / name


class Apart:
    """While inside, neither machine hears of the other: what both do is based on what they knew before."""

    def __init__(self, stack):
        self.stack = stack

    def __enter__(self):
        self.stack.proxy.network(False)

    def __exit__(self, *_):
        self.stack.proxy.network(True)


def sent(person):
    """Online again is found out within seconds, not at once."""
    until(lambda: person.pail("sync", person.folder, code=None, timeout=PATIENCE).code == 0, f"{person.name} sync")


def settle(two):
    """Both have sent all of theirs and heard all of the other's."""
    for _ in range(2):
        for person in two:
            sent(person)
    time.sleep(1.5)


def everything(person):
    """{path: content} of a whole mount, as it is once it agrees with itself twice."""
    def look():
        found = {}
        for place, _, names in os.walk(person.folder):
            for name in names:
                path = os.path.join(place, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, person.folder)] = file.read()
        return found
    last = look()
    for _ in range(20):
        time.sleep(1.2)
        now = look()
        if now == last:
            return now
        last = now
    return last


def same_on_both(two):
    until(lambda: everything(two[0]) == everything(two[1]), "both machines show the same")
    return everything(two[0])


def test_content_against_content(stack, two):
    here, there = shared(two, "report.txt", b"base")
    with Apart(stack):
        there.write_bytes(b"theirs")
        here.write_bytes(b"ours")
    sent(two[1])
    settle(two)
    found = same_on_both(two)
    assert sorted(found.values()) == [b"ours", b"theirs"], found
    assert set(found) >= {"report.txt"} and len(found) == 2
    copy = next(name for name in found if name != "report.txt")
    assert copy.startswith("report (conflict ") and copy.endswith(").txt"), copy


def test_new_content_against_new_content(stack, two):
    with Apart(stack):
        (two[0].folder / "new.txt").write_bytes(b"from one")
        (two[1].folder / "new.txt").write_bytes(b"from two")
    settle(two)
    found = same_on_both(two)
    assert sorted(found.values()) == [b"from one", b"from two"] and "new.txt" in found


def test_equal_content_is_never_a_conflict(stack, two):
    here, there = shared(two, "same.txt", b"base")
    with Apart(stack):
        here.write_bytes(b"the same")
        there.write_bytes(b"the same")
    settle(two)
    assert same_on_both(two) == {"same.txt": b"the same"}


def test_metadata_against_content(stack, two):
    here, there = shared(two, "script.sh", b"base")
    with Apart(stack):
        os.chmod(here, 0o755)
        there.write_bytes(b"their new content")
    sent(two[1])
    settle(two)
    assert same_on_both(two) == {"script.sh": b"their new content"}
    for path in (here, there):
        until(lambda p=path: p.stat().st_mode & 0o777 == 0o755, f"mode of {path}")


def test_content_against_deleted(stack, two):
    here, there = shared(two, "kept.txt", b"base")
    with Apart(stack):
        here.write_bytes(b"ours lives on")
        there.unlink()
    sent(two[1])
    settle(two)
    assert same_on_both(two) == {"kept.txt": b"ours lives on"}


def test_deleted_against_content(stack, two):
    here, there = shared(two, "back.txt", b"base")
    with Apart(stack):
        here.unlink()
        there.write_bytes(b"theirs comes back")
    sent(two[1])
    settle(two)
    assert same_on_both(two) == {"back.txt": b"theirs comes back"}


def test_renamed_against_changed(stack, two):
    here, there = shared(two, "a.txt", b"base")
    with Apart(stack):
        os.rename(here, two[0].folder / "b.txt")
        there.write_bytes(b"their change")
    sent(two[1])
    settle(two)
    found = same_on_both(two)
    assert b"their change" in found.values(), found
    assert found.get("b.txt") == b"their change", found


def test_renamed_against_created(stack, two):
    here, there = shared(two, "a.txt", b"ours, renamed")
    with Apart(stack):
        os.rename(here, two[0].folder / "b.txt")
        (two[1].folder / "b.txt").write_bytes(b"theirs, created")
    sent(two[1])
    settle(two)
    found = same_on_both(two)
    assert found["b.txt"] == b"theirs, created", found
    assert sorted(found.values()) == [b"ours, renamed", b"theirs, created"], found


def test_folder_moved_against_key_added(stack, two):
    shared(two, "folder/old.txt", b"old")
    with Apart(stack):
        os.rename(two[0].folder / "folder", two[0].folder / "moved")
        (two[1].folder / "folder/new.txt").write_bytes(b"new")
    sent(two[1])
    settle(two)
    assert same_on_both(two) == {"moved/old.txt": b"old", "folder/new.txt": b"new"}


def test_an_open_file_goes_on_as_ours(stack, two):
    here, there = shared(two, "open.txt", b"base")
    with open(here, "r+b", buffering=0) as file:
        with Apart(stack):
            file.write(b"OURS")
            there.write_bytes(b"theirs")
        sent(two[1])
        settle(two)
        file.seek(0, os.SEEK_END)
        file.write(b" and more")
    settle(two)
    found = same_on_both(two)
    assert sorted(found.values()) == [b"OURS and more", b"theirs"], found


def test_a_reader_keeps_its_version(stack, two):
    here, there = shared(two, "long.bin", pattern(2_000_000, seed="old"))
    with open(here, "rb", buffering=0) as file:
        assert file.read(100) == pattern(100, seed="old")
        there.write_bytes(pattern(2_000_000, seed="new"))
        sent(two[1])
        until(lambda: here.read_bytes() == pattern(2_000_000, seed="new"), "the new version by its name")
        file.seek(1_999_000)
        try:
            rest = file.read()
        except OSError as error:
            assert error.errno == 116, error  # ESTALE: no longer to be had, and never bytes of another version
        else:
            assert rest == pattern(2_000_000, seed="old")[1_999_000:]


@pytest.mark.slow
def test_a_hundred_clashes_at_once(stack, two):
    one, other = two
    names = [f"{i:03d}.txt" for i in range(100)]
    for name in names:
        (one.folder / name).write_bytes(b"base " + name.encode())
    one.sync()
    until(lambda: sorted(os.listdir(other.folder)) == names, "all names on the other machine")
    for name in names:
        assert (other.folder / name).read_bytes()
    with Apart(stack):
        for person, word in ((one, b"one "), (other, b"two ")):
            for name in names:
                (person.folder / name).write_bytes(word + name.encode())
    settle(two)
    found = same_on_both(two)
    expected = sorted(word + name.encode() for name in names for word in (b"one ", b"two "))
    assert sorted(found.values()) == expected
    assert set(names) <= set(found) and len(conflict_copies(one.folder)) == 100


def test_the_user_is_told(stack, two):
    here, there = shared(two, "told.txt", b"base")
    with Apart(stack):
        there.write_bytes(b"theirs")
        here.write_bytes(b"ours")
    settle(two)
    same_on_both(two)
    assert sum(p.status()["conflicts"] for p in two) >= 1
    assert any("conflict" in p.pail("status").out.lower() for p in two)


def test_second_mount_of_the_same_state_is_refused(stack):
    person = stack.person("ann")
    person.mount()
    second = person.home / "second"
    second.mkdir()
    result = person.pail("mount", second, code=None)
    assert result.code != 0 and "mounted already" in result.err and str(second) not in subprocess.check_output(["mount"], text=True)
    person.umount()
