"""Quotas, on both stores: what a grant takes is counted whatever the client says, a race at the edge gets what fits, and to a person it is a full disk
that goes on by itself when there is room."""
import concurrent.futures
import errno
import json
import os
import subprocess
import time

import pytest

from lib.processes import PATIENCE, wait_until
from lib.scene import Scene, shown, users

MIB = 1 << 20


@pytest.fixture(params=["embedded", "ceph"])
def scene(request, tokens, server):
    """A server that gives each new account 10 MiB."""
    return Scene(tokens, server, request.getfixturevalue(request.param), store__quota="10 MiB").start()


def ask(client, item, patience=40):
    """A grant, asked for as Pail's client does: again while the server is busy counting."""
    until = time.monotonic() + patience
    while True:
        grant = client.grant(**item)
        if grant.get("error", {}).get("code") != "busy" or time.monotonic() > until:
            return grant
        time.sleep(0.3)


def count_anew(scene, client):
    """The count of the first session may have ended before somebody else wrote to the bucket, and the next would be in minutes."""
    scene.server.process.stop()
    scene.server.start()
    client.session()


def code_of(grant):
    return grant.get("error", {}).get("code")


def put(client, key, size):
    grant = ask(client, dict(op="put", key=key, size=size))
    if code_of(grant):
        return code_of(grant)
    assert client.use(grant, b"x" * size).status == 200
    return None


def held(scene, bucket):
    return sum(len(body) for body in scene.store.contents(bucket).values())


# What a grant takes

def test_new_accounts_have_the_quota_of_the_settings(scene):
    ann = scene.person()
    assert ann.session().json["quota"] == {"limit": 10 * MIB, "used": 0}
    assert put(ann, "a", 3 * MIB) is None
    assert ann.session().json["quota"]["used"] == 3 * MIB
    assert shown(scene)["quota"] == 10 * MIB
    lines = users(scene, "list")
    assert lines.rstrip().endswith("of 10.0 MiB"), lines


def test_a_hundred_at_the_edge_stay_within_the_quota(scene):
    ann = scene.person()
    assert put(ann, "there", MIB // 2) is None

    def one(number):
        return ask(ann, dict(op="put", key=f"n{number}", size=MIB))
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        grants = list(pool.map(one, range(100)))
    good = [grant for grant in grants if "error" not in grant]
    assert len(good) == 9 and {code_of(grant) for grant in grants if "error" in grant} == {"quota"}
    for grant in good:
        assert ann.use(grant, b"x" * MIB).status == 200
    assert held(scene, ann.bucket) == 9 * MIB + MIB // 2
    grants = ann.grants(*[dict(op="put", key=f"m{number}", size=100 << 10) for number in range(100)])  # in one batch
    assert sum("error" not in grant for grant in grants) == 5
    refused = next(grant for grant in grants if "error" in grant)["error"]
    assert "of 10.0 MiB are used" in refused["message"] and "administrator" in refused["message"]


def test_the_same_file_again_and_again_at_the_edge(scene):
    ann = scene.person()
    assert put(ann, "most", 8 * MIB) is None
    assert put(ann, "saved", 3 * MIB // 2) is None
    for _ in range(5):
        assert put(ann, "saved", 3 * MIB // 2) is None
    assert put(ann, "saved", 5 * MIB // 2) == "quota"
    assert ann.session().json["quota"]["used"] <= 10 * MIB


def test_room_that_was_made_is_used_at_once(scene):
    ann = scene.person()
    assert put(ann, "first", 6 * MIB) is None
    assert put(ann, "second", 6 * MIB) == "quota"
    assert ann.do(op="delete", key="first").status == 204
    assert put(ann, "second", 6 * MIB) is None


def test_a_copy_takes_what_its_source_has(scene):
    ann = scene.person()
    assert put(ann, "small", 100) is None
    assert put(ann, "large", 6 * MIB) is None
    copy = dict(op="copy", key="copy", source="large", directive="COPY")
    assert code_of(ask(ann, copy)) == "quota"
    assert code_of(ask(ann, dict(copy, source="none"))) == "not_found"
    grant = ask(ann, dict(copy, source="small"))
    scene.store.put(ann.bucket, "small", b"y" * 9 * MIB)  # it grows after it was granted: the grant is for what it was
    assert ann.use(grant).status in (200, 412)
    assert len(scene.store.contents(ann.bucket).get("copy", b"x" * 100)) == 100
    users(scene, "quota", "ann@example.com", "100MiB")
    wait_until(lambda: code_of(ann.grant(**copy)) is None, "the server to follow the new quota")
    assert ann.use(ask(ann, copy)).status == 200
    assert len(scene.store.get(ann.bucket, "copy").body) == 6 * MIB


def create(client, key):
    reply = client.do(b"", op="create", key=key)
    return reply.body.decode().split("<UploadId>")[1].split("<")[0]


def test_an_upload_takes_what_its_parts_have(scene):
    ann = scene.person()
    upload = create(ann, "big")
    run = dict(op="part", key="big", upload=upload, first=1, count=2, size=5 * MIB, last_size=4 * MIB)
    assert code_of(ask(ann, dict(run, count=3))) == "quota"
    grant = ask(ann, run)
    tags = [ann.use(grant, b"p" * 5 * MIB, number=0).headers["etag"], ann.use(grant, b"p" * 4 * MIB, number=1).headers["etag"]]
    assert put(ann, "other", 2 * MIB) == "quota"
    assert code_of(ask(ann, dict(op="part", key="big", upload=upload, first=3, count=1, size=2 * MIB))) == "quota"
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
    done = ann.use(ask(ann, dict(op="complete", key="big", upload=upload, total=9 * MIB)),
                   f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode())
    assert done.status == 200, done
    assert len(scene.store.get(ann.bucket, "big").body) == 9 * MIB
    wait_until(lambda: put(ann, "other", MIB) is None, "the last MiB")
    assert put(ann, "more", 1000) == "quota"


def test_an_upload_of_another_day_is_taken_at_its_end(scene):
    """Parts that came before the server began, whose total the client makes small."""
    ann = scene.person()
    upload = scene.store.create_upload(ann.bucket, "big")
    for number in (1, 2):
        scene.store.call("PUT", ann.bucket, "big", query={"partNumber": str(number), "uploadId": upload}, body=b"p" * 6 * MIB)
    grant = ask(ann, dict(op="complete", key="big", upload=upload, total=1))
    assert code_of(grant) == "quota", grant


def test_unfinished_uploads_of_awkward_names_are_counted(scene):
    ann = scene.person()
    for key in ("a b", "100%+é", "q?x=#&<>", "tab\there"):
        upload = scene.store.create_upload(ann.bucket, key)
        scene.store.call("PUT", ann.bucket, key, query={"partNumber": "1", "uploadId": upload}, body=b"p" * MIB)
    count_anew(scene, ann)
    assert put(ann, "a b", MIB) is None
    wait_until(lambda: shown(scene)["used_old"] == 4 * MIB, "the count")


def test_old_versions_have_a_limit_of_their_own(scene):
    ann = scene.person()
    for _ in range(4):  # 12 MiB of older versions, put by others, and then 4 that are current
        scene.store.put(ann.bucket, "saved", b"x" * 4 * MIB)
    count_anew(scene, ann)
    wait_until(lambda: shown(scene)["used_old"] == 12 * MIB, "the count")
    grant = ask(ann, dict(op="put", key="new", size=1000))
    assert code_of(grant) == "quota" and "older versions" in grant["error"]["message"]
    kept = shown(scene)
    assert (kept["used"], kept["used_old"]) == (4 * MIB, 12 * MIB) and kept["counted"]
    assert "12.0 MiB of 10.0 MiB" in users(scene, "show", "ann@example.com")
    assert code_of(ask(ann, dict(op="delete", key="saved"))) is None
    assert ann.do(op="get", key="saved").status == 200


def test_a_restart_forgets_nothing(scene):
    ann = scene.person()
    assert put(ann, "a", 6 * MIB) is None
    assert code_of(ask(ann, dict(op="put", key="coming", size=3 * MIB))) is None
    assert scene.server.process.stop() == 0
    assert shown(scene)["used"] == 9 * MIB
    scene.server.start()
    assert ann.session().json["quota"]["used"] == 9 * MIB


def test_operators_change_a_quota(scene):
    scene.person()
    for wrong in ("lots", "-1", "0", "1.5G", ""):
        assert "10 GiB" in users(scene, "quota", "ann@example.com", wrong, code=2)
    assert "there is no account" in users(scene, "quota", "bob@example.com", "1G", code=1)
    users(scene, "quota", "ann@example.com", "1 GiB")
    assert shown(scene)["quota"] == 1 << 30
    users(scene, "quota", shown(scene)["account"], "none")
    assert shown(scene)["quota"] == 0
    assert "none" in users(scene, "show", "ann@example.com")


# What a person sees

def give(stack, size):
    """A quota for everybody who is there, as an operator gives it."""
    for account in json.loads(users(stack, "list", "--json")):
        users(stack, "quota", account["email"], size)


@pytest.fixture
def person(stack):
    """Somebody with 20 MiB, mounted."""
    made = stack.person("ann")
    give(stack, "20MiB")
    stack.server_stop()  # so that the quota holds from the first moment of the test
    stack.server_start()
    made.mount()
    yield made
    if os.path.ismount(made.folder):
        give(stack, "none")
        made.pail("sync", made.folder, code=None, timeout=PATIENCE)
        made.umount()


def free_of(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def test_a_full_quota_in_the_middle_of_a_copy(stack, person, root):
    source = root / "source"
    source.mkdir()
    for number in range(100):
        (source / f"{number:02d}").write_bytes(os.urandom(MIB))
    folder, bucket = person.folder, stack.bucket_of(person)
    assert free_of(folder)[1] == 20 * MIB
    copied = subprocess.run(f"for f in {source}/*; do cp $f {folder}/ || exit 1; sleep 0.2; done", shell=True,
                            capture_output=True, text=True, timeout=PATIENCE)
    assert copied.returncode == 1 and "No space left on device" in copied.stderr, copied
    names = [name for name in sorted(os.listdir(folder)) if (folder / name).stat().st_size == MIB]
    assert 20 <= len(names) < 100
    for name in names:
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    wait_until(lambda: free_of(folder)[0] < MIB, "df to be full")
    kept = person.status()
    assert kept["quota"]["full"] and kept["quota"]["limit"] == 20 * MIB
    assert any("administrator" in (file["error"] or "") for file in kept["unsent"]["list"]), kept["unsent"]
    shown_to_person = person.pail("status").out
    assert "full" in shown_to_person and "remove files" in shown_to_person
    synced = person.pail("sync", folder, code=None, timeout=PATIENCE)
    waiting = [file["path"] for file in person.status()["unsent"]["list"]]
    assert synced.code != 0 and "quota" in synced.err and any(path in synced.err for path in waiting), (synced, waiting)
    held_there = stack.s3.contents(bucket)
    assert sum(map(len, held_there.values())) == 20 * MIB
    subprocess.run(["cp", source / "99", folder / "00"], check=True, timeout=PATIENCE)  # in place of what is there: it fits
    person.pail("sync", folder / "00", timeout=PATIENCE)
    assert stack.s3.get(bucket, "00").body == (source / "99").read_bytes()
    full_sized = next(name for name in waiting if (folder / name).stat().st_size == MIB)
    subprocess.run(["cp", source / "98", folder / full_sized], check=True, timeout=PATIENCE)  # and of what waits, here
    assert (folder / full_sized).read_bytes() == (source / "98").read_bytes()
    for name in [name for name, body in held_there.items() if body][:15]:
        os.unlink(folder / name)
    for name in os.listdir(folder):  # what cp began and could not write
        if (folder / name).stat().st_size != MIB:
            os.unlink(folder / name)
    left = set(os.listdir(folder))
    wait_until(lambda: set(stack.s3.list(bucket)) == left, "what waited to go up by itself")
    person.sync()
    wait_until(lambda: not person.status()["quota"]["full"], "the status to be fine again")
    (folder / "after").write_bytes(b"room again")
    person.sync()
    assert stack.s3.get(bucket, "after").body == b"room again"


def test_more_quota_lets_everything_up(stack, person):
    folder, bucket = person.folder, stack.bucket_of(person)
    body = os.urandom(30 * MIB)  # larger than the quota, and sent in parts
    (folder / "large").write_bytes(body)
    wait_until(lambda: any(file["error"] for file in person.status()["unsent"]["list"]), "the refusal")
    with pytest.raises(OSError) as refused:
        wait_until(lambda: (folder / "more").write_bytes(b"x") is None, "")
        (folder / "more").write_bytes(b"x")
    assert refused.value.errno == errno.ENOSPC
    assert (folder / "large").read_bytes() == body
    give(stack, "1GiB")
    wait_until(lambda: person.pail("sync", folder, code=None, timeout=PATIENCE).code == 0, "sync")
    assert stack.s3.get(bucket, "large").body == body
    (folder / "more").write_bytes(b"x")
    person.sync()
    wait_until(lambda: free_of(folder)[1] == 1 << 30, "df to show it")
