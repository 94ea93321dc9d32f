"""A store that cuts, stalls, lies and answers errors: nothing is lost, nothing hangs, and one machine never makes a conflict
copy."""
import os
import subprocess
import time

import pytest

from lib import faultproxy as fault
from lib import files
from lib.files import pattern
from lib.processes import wait_until

ONCE = [
    ("reset", fault.reset()), ("reset in the body", fault.reset_in_body(2000)), ("500", fault.answer(500, "InternalError")),
    ("503", fault.answer(503, "SlowDown")), ("429", fault.answer(429, "TooManyRequests")), ("lost answer", fault.lose()),
    ("500 after it was done", fault.then_error(500, "InternalError")), ("409", fault.answer(409, "OperationAborted")),
    ("400 timeout", fault.answer(400, "RequestTimeout")), ("expired", fault.answer(403, "AccessDenied", "Request has expired")),
    ("200 with an error", fault.answer(200, "InternalError")), ("late", fault.late(2)),
]
TIMES = {"expired": 1}  # a new grant is asked for once; refused again, it is an answer


@pytest.fixture
def mounted(stack):
    person = stack.person("ann")
    person.mount()
    yield stack, person, person.folder
    stack.proxy.clear()
    person.umount()


def check(stack, person, expected):
    person.sync(timeout=240)
    found = {k: v for k, v in stack.s3.contents(stack.bucket_of(person)).items() if not k.endswith("/")}
    assert {k: len(v) for k, v in found.items()} == {k: len(v) for k, v in expected.items()}
    assert found == expected
    assert not files.conflict_copies(person.folder)


@pytest.mark.parametrize("name, act", ONCE, ids=[name for name, _ in ONCE])
def test_one_fault_while_writing(mounted, name, act):
    stack, person, folder = mounted
    if name == "200 with an error":
        pytest.skip("a 200 with an error body exists for copy and complete only; see the tests of those")
    (folder / "replaced").write_bytes(b"old")
    person.sync()
    stack.proxy.add(fault.Rule(act, method="PUT", path="/new", times=TIMES.get(name, 2)))
    stack.proxy.add(fault.Rule(act, method="PUT", path="/replaced", times=TIMES.get(name, 2)))
    (folder / "new").write_bytes(pattern(10_000))
    (folder / "replaced").write_bytes(b"new content")
    check(stack, person, {"new": pattern(10_000), "replaced": b"new content"})


@pytest.mark.parametrize("name, act", ONCE, ids=[name for name, _ in ONCE])
def test_one_fault_while_moving_and_deleting(mounted, name, act):
    stack, person, folder = mounted
    for each in ("moved", "gone"):
        (folder / each).write_bytes(pattern(3000, seed=each))
    person.sync()
    stack.proxy.add(fault.Rule(act, method="PUT", path="/to", times=TIMES.get(name, 2)))
    if name != "200 with an error":
        stack.proxy.add(fault.Rule(act, method="DELETE", times=TIMES.get(name, 2)))
        stack.proxy.add(fault.Rule(act, method="POST", path="delete", times=TIMES.get(name, 2)))
    os.rename(folder / "moved", folder / "to")
    os.unlink(folder / "gone")
    check(stack, person, {"to": pattern(3000, seed="moved")})


READ = [(n, a) for n, a in ONCE if n not in ("reset in the body", "200 with an error", "409", "400 timeout")] + \
       [("cut", fault.cut(100_000)), ("cut at the start", fault.cut(0))]


@pytest.mark.parametrize("name, act", READ, ids=[name for name, _ in READ])
def test_one_fault_while_reading(mounted, name, act):
    stack, person, folder = mounted
    data = pattern(2_000_000)
    stack.s3.put(stack.bucket_of(person), "theirs", data)
    wait_until(lambda: (folder / "theirs").exists())
    stack.proxy.add(fault.Rule(act, method="GET", path="/theirs", times=TIMES.get(name, 2)))
    assert (folder / "theirs").read_bytes() == data


@pytest.mark.slow
@pytest.mark.parametrize("name, act", ONCE, ids=[name for name, _ in ONCE])
def test_one_fault_in_a_multipart_upload(mounted, name, act):
    stack, person, folder = mounted
    data = pattern(40 << 20)
    if name == "200 with an error":
        stack.proxy.add(fault.Rule(act, method="POST", path="uploadId="))
    else:
        stack.proxy.add(fault.Rule(act, method="PUT", path="partNumber=2"))
        stack.proxy.add(fault.Rule(act, method="POST", path=r"uploads"))
        stack.proxy.add(fault.Rule(act, method="POST", path="uploadId="))
    (folder / "big").write_bytes(data)
    check(stack, person, {"big": data})


@pytest.mark.slow
def test_a_bad_network_all_the_time(mounted):
    """One request in eight goes wrong in some way, while files are made, changed, moved, removed and read back."""
    stack, person, folder = mounted
    for act in (fault.reset(), fault.answer(503, "SlowDown"), fault.lose(), fault.cut(10), fault.then_error(500, "InternalError")):
        stack.proxy.add(fault.Rule(act, times=None, share=0.025))
    expected = {}
    for i in range(60):
        name = f"{i % 17:02d}"
        body = pattern(i * 977, seed=i)
        (folder / name).write_bytes(body)
        expected[name] = body
        if i % 7 == 3:
            os.rename(folder / name, folder / f"moved-{i}")
            expected[f"moved-{i}"] = expected.pop(name)
        if i % 11 == 5:
            gone = sorted(expected)[i % len(expected)]
            os.unlink(folder / gone)
            del expected[gone]
        time.sleep(0.05)
    wait_until(lambda: person.pail("sync", folder, code=None, timeout=240).code == 0, "sync on a bad network", 300)
    subprocess.run(["rm", "-rf", person.cache], check=True)
    for name, body in expected.items():
        assert (folder / name).read_bytes() == body, name
    stack.proxy.clear()
    check(stack, person, expected)


def test_a_stalled_store_gives_up_at_the_deadline(stack):
    person = stack.person("ann")
    person.mount("-o", "timeout=3")
    folder = person.folder
    stack.s3.put(stack.bucket_of(person), "theirs", pattern(1000))
    wait_until(lambda: (folder / "theirs").exists())
    (folder / "theirs").stat()
    stack.proxy.add(fault.Rule(fault.stall(), method="GET", path="/theirs", times=None))
    before = time.monotonic()
    error = files.error_of((folder / "theirs").read_bytes)
    assert error in ("EHOSTUNREACH", "ETIMEDOUT", "EIO") and time.monotonic() - before < 25  # not the default's 30
    stack.proxy.clear()
    wait_until(lambda: files.error_of((folder / "theirs").read_bytes) == "none", "the store to be found again")
    person.umount()
