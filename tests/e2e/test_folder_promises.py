"""filesystem.md's promises 1 to 7: what survives what, and what never hangs."""
import collections
import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from lib import faultproxy as fault
from lib import files, mounts
from lib.files import error_of, pattern
from lib.processes import PATIENCE, wait_until


@pytest.fixture
def mounted(stack):
    person = stack.person("ann")
    person.mount()
    return stack, person, person.folder


def idle(person):
    unsent = person.status()["unsent"]
    return not unsent["files"] and not unsent["deletes"]


def objects(stack, person):
    return {k: v for k, v in stack.s3.contents(person.bucket_name).items() if not k.endswith("/")}


def short(body):
    return body if body == "gone" else f"{len(body)}:{hashlib.sha256(body).hexdigest()[:8]}"


def versions_of(stack, person, name):
    found = []
    for key, version, _, marker in stack.s3.versions(person.bucket_name, name):
        if key == name:
            answer = None if marker else stack.s3.get(person.bucket_name, name, query={"versionId": version})
            found.append((version, "marker") if marker else (short(answer.body), dict(answer.headers)))
    return found


def test_nothing_closed_is_lost_by_a_kill(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    os.listdir(folder)  # offline, only what is known can be changed
    stack.proxy.network(False)  # so that nothing has left when the process dies
    (folder / "sub").mkdir()
    for i in range(50):
        (folder / "sub" / f"{i}").write_bytes(pattern(1000 * i, seed=i))
    os.rename(folder / "sub/7", folder / "seven")
    os.unlink(folder / "sub/8")
    os.symlink("seven", folder / "link")
    os.chmod(folder / "sub/9", 0o640)
    expected = files.snapshot(folder)
    person.kill9()
    stack.proxy.network(True)
    person.mount()  # cleans up the dead mount
    assert files.snapshot(folder) == expected
    person.sync()
    contents = objects(stack, person)
    assert contents["seven"] == pattern(7000, seed=7) and "sub/8" not in contents
    assert {k for k in contents if k.startswith("sub/")} == {f"sub/{i}" for i in range(50) if i not in (7, 8)}
    assert not files.conflict_copies(folder)
    person.umount()


def test_fsync_of_an_open_file_survives_a_kill(mounted):
    stack, person, folder = mounted
    os.listdir(folder)
    stack.proxy.network(False)
    fd = os.open(folder / "database", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"committed")
    os.fsync(fd)
    person.kill9()
    error_of(os.close, fd)
    stack.proxy.network(True)
    person.mount()
    assert (folder / "database").read_bytes() == b"committed"
    person.umount()


@pytest.mark.slow
def test_twenty_crashes_under_load(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    rng = random.Random(int(os.environ.get("CHECK_SEED", "0")) or time.time_ns())
    seed = rng.getrandbits(32)
    print(f"CHECK_SEED for this run: {seed}")
    rng.seed(seed)
    closed = {}  # what close returned for, by path; "gone" for an unlink that returned
    history = collections.defaultdict(list)  # of each path, for the message of a failure
    for crash in range(20):
        stop = threading.Event()

        def load(worker):
            mine = random.Random(seed * 100 + crash * 10 + worker)
            number = 0
            while not stop.is_set():
                number += 1
                name = f"w{worker}-{mine.randrange(30)}"
                doing[worker] = name
                try:
                    if mine.random() < 0.15 and closed.get(name, "gone") != "gone":
                        os.unlink(folder / name)
                        closed[name] = "gone"
                        history[name].append((crash, "unlinked"))
                    else:
                        body = pattern(mine.randrange(200_000), seed=(crash, worker, number))
                        history[name].append((crash, "writes", short(body)))
                        with open(folder / name, "wb") as file:
                            file.write(body)
                        closed[name] = body
                        history[name].append((crash, "closed"))
                except OSError:
                    return
                doing[worker] = None
        doing = {}
        threads = [threading.Thread(target=load, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3 + rng.random())
        person.kill9()
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a file operation hangs after the mount's process died"
        person.mount()
        unsure = {name for name in doing.values() if name}
        for name, body in closed.items():
            if name in unsure:
                continue
            there = (folder / name).read_bytes() if (folder / name).exists() else "gone"
            assert there == body, f"crash {crash}: {name} is {short(there)}, not what close returned for: {history[name]}"
        for name in unsure:
            closed[name] = (folder / name).read_bytes() if (folder / name).exists() else "gone"
            history[name].append((crash, "unsure", short(closed[name])))
    person.sync(timeout=300)
    sent = objects(stack, person)
    wrong = {name: (short(sent.get(name, "gone")), history[name], versions_of(stack, person, name))
             for name, body in closed.items() if sent.get(name, "gone") != body}
    assert not wrong, f"the bucket has other bytes than the folder: {wrong}"
    more = {name: (short(sent[name]), history[name], versions_of(stack, person, name)) for name in set(sent) - set(closed)}
    assert not more, f"the bucket has more than the folder: {more}"
    assert not files.conflict_copies(folder), "one machine, and a conflict copy"
    person.umount()


def test_unmounting_returns_at_once_and_the_rest_is_sent(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    release = threading.Event()
    stack.proxy.add(fault.Rule(fault.stall(release), method="PUT", times=None))
    for i in range(10):
        (folder / f"{i}").write_bytes(pattern(1000, seed=i))
    subprocess.run(["fusermount3", "-u", folder], check=True, timeout=PATIENCE)
    assert not mounts.is_mounted(folder)
    assert person.mount_pids(), "the process ended with files unsent"
    stack.proxy.clear()
    release.set()
    person.wait_ended()
    assert objects(stack, person) == {f"{i}": pattern(1000, seed=i) for i in range(10)}


def test_the_next_mount_takes_over_from_the_one_that_is_sending(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    release = threading.Event()
    stack.proxy.add(fault.Rule(fault.stall(release), method="PUT", times=None))
    (folder / "unsent").write_bytes(b"taken over")
    subprocess.run(["umount", folder], check=True)
    first = person.mount_pids()
    person.mount()
    assert (folder / "unsent").read_bytes() == b"taken over"
    wait_until(lambda: len(person.mount_pids()) == 1, "the first process to let go")
    assert person.mount_pids() != first
    stack.proxy.clear()
    release.set()
    person.sync()
    assert objects(stack, person) == {"unsent": b"taken over"}
    person.umount()


def test_sync_by_an_attribute(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    (folder / "file").write_bytes(b"x")
    os.setxattr(folder, "user.pail.sync", b"1")
    assert objects(stack, person) == {"file": b"x"}
    assert os.getxattr(folder / "file", "user.pail.state") == b"synced"
    person.umount()


def test_durable_bucket(stack):
    person = stack.person("ann")
    person.mount("-o", "durable=bucket")
    person.bucket_name = stack.bucket_of(person)
    (person.folder / "file").write_bytes(b"x" * 1000)
    assert objects(stack, person) == {"file": b"x" * 1000}
    stack.proxy.add(fault.Rule(fault.answer(403, "AccessDenied"), method="PUT", times=None))
    fd = os.open(person.folder / "refused", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"y")
    assert error_of(os.fsync, fd) == "EACCES"
    assert error_of(os.close, fd) == "EACCES"
    stack.proxy.clear()
    person.sync()
    person.umount()


def test_offline_and_back(mounted):
    stack, person, folder = mounted
    person.bucket_name = stack.bucket_of(person)
    stack.s3.put(person.bucket_name, "never-read", pattern(100_000))
    (folder / "cached").write_bytes(pattern(300_000))
    (folder / "sub").mkdir()
    person.sync()
    wait_until(lambda: "never-read" in os.listdir(folder), "never-read")
    assert (folder / "cached").read_bytes() == pattern(300_000)
    stack.proxy.network(False)
    before = time.monotonic()
    assert error_of((folder / "never-read").read_bytes) in ("EHOSTUNREACH", "EIO", "ETIMEDOUT")
    assert time.monotonic() - before < 60
    before = time.monotonic()
    assert error_of((folder / "never-read").read_bytes) == "EHOSTUNREACH"
    assert time.monotonic() - before < 15, "offline is known, and the second one waited all the same"
    assert {"cached", "never-read", "sub"} <= set(os.listdir(folder))
    assert (folder / "cached").read_bytes() == pattern(300_000)
    assert not (folder / "absent").exists()
    (folder / "written-offline").write_bytes(b"goes later")
    os.rename(folder / "cached", folder / "sub/moved")
    assert person.status()["network"] == "offline" and person.status()["why"]
    result = person.sync(code=None, timeout=PATIENCE)
    assert result.code in (4, 7) and result.err
    stack.proxy.network(True)
    wait_until(lambda: idle(person), "what was written offline to go up by itself")
    assert person.status()["network"] == "online"
    assert (folder / "never-read").read_bytes() == pattern(100_000)
    assert objects(stack, person) == {"never-read": pattern(100_000), "sub/moved": pattern(300_000),
                                      "written-offline": b"goes later"}
    person.umount()


def test_listing_after_a_remount_needs_no_network(mounted):
    stack, person, folder = mounted
    for i in range(100):
        (folder / f"{i}").write_bytes(b"x")
    person.umount()
    stack.proxy.network(False)
    person.mount()
    assert len(os.listdir(folder)) == 100 and (folder / "5").stat().st_size == 1
    assert (folder / "5").read_bytes() == b"x"
    stack.proxy.network(True)
    person.umount()


def test_the_mount_goes_on_without_the_server(mounted):
    stack, person, folder = mounted
    (folder / "before").write_bytes(b"x")
    person.sync()
    stack.server_stop()
    assert os.listdir(folder) == ["before"] and (folder / "before").read_bytes() == b"x"
    (folder / "during").write_bytes(b"y")
    stack.server_start()
    wait_until(lambda: idle(person), "the work to go on")
    person.umount()


def test_failures_after_close_stay_visible(mounted):
    stack, person, folder = mounted
    stack.proxy.add(fault.Rule(fault.answer(403, "AccessDenied", "no such luck"), method="PUT", path="refused", times=None))
    (folder / "refused").write_bytes(b"kept here")
    (folder / "fine").write_bytes(b"goes")
    wait_until(lambda: any(f["error"] for f in person.status()["unsent"]["list"]), "the error in the status")
    listed = person.status()["unsent"]["list"]
    assert [f["path"].lstrip("/") for f in listed if f["error"]] == ["refused"]
    assert os.getxattr(folder / "refused", "user.pail.state") == b"error"
    assert "refused" in person.pail("status").out
    assert person.sync(code=None).code in (5, 7)
    assert (folder / "refused").read_bytes() == b"kept here"
    stack.proxy.clear()
    person.sync(timeout=PATIENCE)
    assert os.getxattr(folder / "refused", "user.pail.state") == b"synced"
    person.umount()


def test_an_emptied_cache_is_no_harm(mounted):
    stack, person, folder = mounted
    data = pattern(5_000_000)
    (folder / "file").write_bytes(data)
    person.sync()
    assert (folder / "file").read_bytes() == data
    subprocess.run(["rm", "-rf", person.cache], check=True)
    with open(folder / "file", "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert file.read() == data
    person.umount()
    subprocess.run(["rm", "-rf", person.cache], check=True)
    person.mount()
    assert (folder / "file").read_bytes() == data
    person.umount()


def test_a_damaged_cache_is_a_miss(mounted):
    stack, person, folder = mounted
    data = pattern(2_000_000)
    stack.s3.put(stack.bucket_of(person), "file", data)
    wait_until(lambda: (folder / "file").exists())
    assert (folder / "file").read_bytes() == data
    person.umount()
    damaged = 0
    for path in person.cache.rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            with open(path, "r+b") as file:
                file.seek(50_000)
                file.write(b"DAMAGE")
            damaged += 1
    assert damaged, "no cache file was found to damage"
    person.mount()
    assert (folder / "file").read_bytes() == data
    person.umount()


@pytest.mark.slow
def test_a_large_upload_goes_on_after_a_kill(mounted):
    stack, person, folder = mounted
    bucket = stack.bucket_of(person)
    size = 160 << 20
    stack.proxy.add(fault.Rule(fault.delay(0.5), method="PUT", times=None))
    with open(folder / "huge", "wb") as file:
        for i in range(size >> 20):
            file.write(pattern(1 << 20, seed=i))
    digest = files.digest(folder / "huge")
    wait_until(lambda: len(stack.proxy.requests("PUT", "partNumber")) >= 4, "some parts under way")
    time.sleep(1)
    person.kill9()
    first = stack.proxy.requests("PUT", "partNumber")
    uploads = {p.split("uploadId=")[1].split("&")[0] for _, p in first}
    stack.proxy.forget()
    person.mount()
    person.sync(timeout=300)
    again = stack.proxy.requests("PUT", "partNumber")
    assert {p.split("uploadId=")[1].split("&")[0] for _, p in again} <= uploads, "a new upload was begun"
    assert len(again) < size / (8 << 20), "every part was sent again"
    assert stack.s3.list(bucket)["huge"][0] == size
    subprocess.run(["rm", "-rf", person.cache], check=True)
    assert files.digest(folder / "huge") == digest
    person.umount()


def test_ctrl_c_ends_a_stalled_read(mounted):
    stack, person, folder = mounted
    release = threading.Event()
    stack.s3.put(stack.bucket_of(person), "stalled", pattern(1_000_000))
    wait_until(lambda: (folder / "stalled").exists())
    (folder / "stalled").stat()
    stack.proxy.add(fault.Rule(fault.stall(release), method="GET", path="/stalled", times=None))
    cat = subprocess.Popen(["cat", folder / "stalled"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    assert cat.poll() is None
    cat.send_signal(signal.SIGINT)
    cat.wait(20)  # the read itself would give up after 30
    release.set()
    stack.proxy.clear()
    assert (folder / "stalled").read_bytes() == pattern(1_000_000)
    person.umount()


def test_two_hundred_stalled_reads_do_not_hold_up_a_listing(mounted):
    stack, person, folder = mounted
    bucket, release = stack.bucket_of(person), threading.Event()
    for i in range(200):
        stack.s3.put(bucket, f"many/{i:03d}", pattern(50_000, seed=i))
    (folder / "other").mkdir()
    (folder / "other/file").write_bytes(b"x")
    person.sync()
    wait_until(lambda: (folder / "many").exists() and len(os.listdir(folder / "many")) == 200)
    for i in range(200):
        (folder / "many" / f"{i:03d}").stat()
    stack.proxy.add(fault.Rule(fault.stall(release), method="GET", path=r"/many/\d", times=None))
    results = {}

    def read(i):
        try:
            results[i] = (folder / "many" / f"{i:03d}").read_bytes()
        except OSError as error:
            results[i] = error
    threads = [threading.Thread(target=read, args=(i,)) for i in range(200)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    assert not results
    before = time.monotonic()
    assert len(os.listdir(folder / "many")) == 200 and os.listdir(folder / "other") == ["file"]
    assert (folder / "other/file").read_bytes() == b"x"
    (folder / "other/new").write_bytes(b"written meanwhile")
    assert (folder / "many/199").stat().st_size == 50_000
    took = time.monotonic() - before
    assert took < 15, f"a listing, a read and a write beside 200 stalled reads took {took:.1f} s"
    release.set()
    stack.proxy.clear()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    good = sum(results[i] == pattern(50_000, seed=i) for i in range(200))
    assert good + sum(isinstance(r, OSError) for r in results.values()) == 200 and good > 150
    person.umount()


def test_status_tells_everything(mounted):
    stack, person, folder = mounted
    (folder / "file").write_bytes(b"x" * 5000)
    status = person.status()
    assert status["email"] == "ann@example.com" and status["folder"] == str(folder) and status["network"] == "online"
    assert {"account", "bucket", "unsent", "cache", "problems"} <= set(status)
    text = person.pail("status").out
    for word in (status["email"], status["bucket"], str(folder), "online"):
        assert word in text, f"{word} is not in\n{text}"
    person.sync()
    assert person.status()["unsent"]["files"] == 0
    json.dumps(status)
    person.umount()


def test_sync_names_what_cannot_be_sent_and_why(mounted):
    """The bucket is deleted behind everybody's back."""
    stack, person, folder = mounted
    bucket = stack.bucket_of(person)
    (folder / "known").mkdir()
    person.sync()
    for key, version, *_ in stack.s3.versions(bucket):
        stack.s3.call("DELETE", bucket, key, query={"versionId": version})
    stack.s3.call("DELETE", bucket)
    (folder / "known/letter").write_bytes(b"kept")
    failed = person.sync(code=7)
    assert "known/letter: the bucket is not there any more" in failed.err and "nothing is lost" in failed.err
    assert (folder / "known/letter").read_bytes() == b"kept"
    person.pail("umount", "--now", folder)
    person.kill9()  # it would go on trying
    with_empty_cache = stack.person("ann", machine="two")
    with_empty_cache.mount()
    with pytest.raises(OSError) as unknown:
        os.listdir(with_empty_cache.folder)
    assert unknown.value.errno == errno.EIO
    with_empty_cache.umount()
