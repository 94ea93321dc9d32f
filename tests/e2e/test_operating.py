"""What an operator meets: removing somebody with all their files, kills in the middle of a first login, crowds, a store that others
have changed behind the server's back, storage keys that are replaced, a store that is away, a database of an earlier version."""
import concurrent.futures
import contextlib
import datetime
import errno
import http.server
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

from lib.faultproxy import Rule, answer, hold, stall
from lib.issuer import walk
from lib.person import Person
from lib.ports import free_port
from lib.processes import PATIENCE, Process, wait_until
from lib.resign import Resigner
from lib.scene import Scene, metrics_of, shown, users, value_of
from lib.server_client import Client, send

BUCKET = r"^/pail-[a-z2-7]{20}(-\d+)?(\?|/|$)"  # an account's, not the probe's


class ProxiedScene(Scene):
    """The server reaches its store through a proxy that misbehaves on demand."""

    def __init__(self, tokens, server, store, faultproxy, **settings):
        self.proxy = faultproxy(store.settings["endpoint"])
        if "role_arn" not in store.settings:  # the embedded store answers its own address only
            self.proxy.rewrite = Resigner(store.s3, self.proxy.url.split("://")[1])
        else:
            settings["store__sts_endpoint"] = store.settings["endpoint"]
        port = free_port()
        self.issuer = tokens(f"http://127.0.0.1:{port}")
        self.store = store.s3
        self.server = server({**store.settings, "endpoint": self.proxy.url}, self.issuer.url, port=port, **settings)
        self.url = self.server.url


@pytest.fixture(params=["embedded", "ceph"])
def proxied(request, tokens, server, faultproxy):
    return ProxiedScene(tokens, server, request.getfixturevalue(request.param), faultproxy).start()


@pytest.fixture
def proxied_embedded(embedded, tokens, server, faultproxy):
    return ProxiedScene(tokens, server, embedded, faultproxy).start()


@contextlib.contextmanager
def accounts(scene):
    """The server's database, from outside."""
    with contextlib.closing(sqlite3.connect(scene.server.folder / "accounts.db", timeout=PATIENCE)) as database, database:
        yield database


def unseen(scene):
    """Everybody was last seen an hour ago: their next session is one at which the bucket is looked at."""
    with accounts(scene) as database:
        database.execute("UPDATE account SET seen = seen - 3600")


# Removing somebody with their files

def fill(scene, bucket, versions):
    """Files, older versions, delete markers, an open upload, and a key that no XML can hold."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: scene.store.put(bucket, f"folder/file {n // 2} é&<", b"x"), range(versions)))
    scene.store.delete(bucket, "folder/file 0 é&<")
    scene.store.put(bucket, "control\x01", b"x")
    upload = scene.store.create_upload(bucket, "large")
    scene.store.create_upload(bucket, "a b+c%20d")
    scene.store.call("PUT", bucket, "large", query={"partNumber": 1, "uploadId": upload}, body=b"part")


def test_an_account_is_removed_with_all_its_files(each_scene):
    ann, bob = each_scene.person("ann"), each_scene.person("bob")
    fill(each_scene, ann.bucket, 1050)
    each_scene.store.put(bob.bucket, "k", b"bob's")
    done = users(each_scene, "remove", "ann@example.com", "--delete-bucket", "--confirm", ann.bucket)
    assert "versions and uploads deleted" in done
    assert ann.bucket not in each_scene.store.buckets()
    assert [user["email"] for user in json.loads(users(each_scene, "list", "--json"))] == ["bob@example.com"]
    assert each_scene.store.get(bob.bucket, "k").body == b"bob's"
    again = each_scene.person("ann")
    assert again.bucket == ann.bucket and each_scene.store.versions(again.bucket) == []


def test_nothing_is_deleted_without_the_name_typed(scene):
    ann = scene.person("ann")
    scene.store.put(ann.bucket, "k", b"x")
    command = ("remove", "ann@example.com", "--delete-bucket")
    assert f"--confirm {ann.bucket}" in users(scene, *command, code=2)
    assert "nothing was deleted" in users(scene, *command, "--confirm", ann.bucket + "x", code=1)
    assert "nothing was deleted" in users(scene, *command, "--confirm", "", code=1)
    users(scene, "remove", "ann@example.com", "--confirm", ann.bucket, code=2)
    users(scene, "suspend", "ann@example.com", "--delete-bucket", code=2)
    assert "nobody" in users(scene, "remove", "nobody", "--delete-bucket", "--confirm", ann.bucket, code=1)
    assert ann.session().status == 200 and scene.store.get(ann.bucket, "k").body == b"x"


def at_terminal(arguments, typed, timeout=PATIENCE):
    """Runs a program at a terminal of its own and answers its question; its exit code, and what it said."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(arguments[0], [str(word) for word in arguments])
    said = b""
    try:
        with contextlib.suppress(OSError):  # the terminal ends with the program
            while b"to go on: " not in said:
                said += os.read(terminal, 4096)
            os.write(terminal, typed.encode() + b"\n")
            while data := os.read(terminal, 4096):
                said += data
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()
    finally:
        os.close(terminal)


def test_the_name_is_asked_for_at_a_terminal(scene):
    ann = scene.person("ann")
    scene.store.put(ann.bucket, "k", b"x")
    command = [scene.server.build.pail if scene.server.build.pail.exists() else scene.server.build.server]
    command += ["users", "remove", "ann@example.com", "--delete-bucket", "--config", scene.server.config] \
        if command[0].name == "pail" else ["--config", scene.server.config, "users", "remove", "ann@example.com", "--delete-bucket"]
    code, said = at_terminal(command, "yes")
    assert code == 1 and "every file" in said and ann.bucket in said and "nothing was deleted" in said
    assert scene.store.get(ann.bucket, "k").body == b"x"
    code, said = at_terminal(command, ann.bucket)
    assert code == 0, said
    assert ann.bucket not in scene.store.buckets()


@pytest.mark.parametrize("tag, expected", [(None, "no tag"), ("0" * 64, "somebody else's")])
def test_a_bucket_that_is_not_ours_is_not_deleted(scene, tag, expected):
    ann = scene.person("ann")
    scene.store.put(ann.bucket, "k", b"x")
    if tag:
        body = f"<Tagging><TagSet><Tag><Key>pail-account</Key><Value>{tag}</Value></Tag></TagSet></Tagging>"
        scene.store.call("PUT", ann.bucket, query={"tagging": ""}, body=body.encode())
    else:
        scene.store.call("DELETE", ann.bucket, query={"tagging": ""})
    said = users(scene, "remove", "ann@example.com", "--delete-bucket", "--confirm", ann.bucket, code=1)
    assert expected in said and "nothing was deleted" in said
    assert scene.store.get(ann.bucket, "k").body == b"x" and shown(scene)["state"] == "ready"


@pytest.mark.parametrize("answered", [False, True])
def test_a_removal_that_was_killed_goes_on(proxied, answered):
    """kill -9 at each of its requests in turn: meanwhile nobody can log in to the account, and in the end nothing is left."""
    number = 0
    while True:
        number += 1
        who = f"gone-{number}"
        person = proxied.person(who)
        for key in ("a", "a", "b"):
            proxied.store.put(person.bucket, key, b"x")
        proxied.store.create_upload(person.bucket, "large")
        command = ["remove", f"{who}@example.com", "--delete-bucket", "--confirm", person.bucket]
        reached = threading.Event()
        proxied.proxy.add(Rule(hold(reached, answered), path=BUCKET, skip=number - 1))
        process = Process([proxied.server.build.server, "--config", proxied.server.config, "users", *command],
                          proxied.server.folder / f"removal-{number}.log")
        wait_until(lambda: reached.is_set() or not process.running(), f"request {number}, or the end")
        process.kill()
        proxied.proxy.clear()
        if not reached.is_set():
            break
        state = [user["state"] for user in json.loads(users(proxied, "list", "--json"))]
        if state == ["removing"]:
            reply = proxied.client(who).session()
            assert reply.status == 403 and b"is being removed" in reply.body
        else:
            assert state == ["ready"] and number <= 2, "until it was known to be ours, nothing had begun"
        users(proxied, *command)
        assert person.bucket not in proxied.store.buckets() and users(proxied, "list") == ""
    assert number > 6, "there are more requests than that"
    assert "removing" not in users(proxied, "list")


def test_a_removal_ends_when_the_account_is_resumed(proxied_embedded):
    scene = proxied_embedded
    ann = scene.person("ann")
    scene.store.put(ann.bucket, "k", b"x")
    release = threading.Event()
    rule = scene.proxy.add(Rule(stall(release), method="POST", path=BUCKET))
    command = ["users", "remove", "ann@example.com", "--delete-bucket", "--confirm", ann.bucket]
    process = Process([scene.server.build.server, "--config", scene.server.config, *command], scene.server.folder / "removal.log")
    wait_until(lambda: rule.acted, "the removal to be under way")
    assert shown(scene)["state"] == "removing"
    users(scene, "suspend", "ann@example.com")
    assert shown(scene)["state"] == "removing", "a removal is more than that"
    users(scene, "resume", "ann@example.com")
    release.set()
    assert process.wait(PATIENCE) == 1 and "was resumed meanwhile" in process.text()
    assert scene.client("ann").session().status == 200 and ann.bucket in scene.store.buckets()


def test_in_a_shared_bucket_only_the_accounts_own_files_go(scene):
    ann = scene.person("ann")
    with accounts(scene) as database:
        database.execute("UPDATE account SET prefix = 'ann/'")
    for key in ("ann/k", "ann/folder/l", "anna/k", "k"):
        scene.store.put(ann.bucket, key, b"x")
    kept = scene.store.create_upload(ann.bucket, "anna/large")
    command = ("remove", "ann@example.com", "--delete-bucket", "--confirm")
    assert "nothing was deleted" in users(scene, *command, ann.bucket, code=1)
    said = users(scene, *command, f"{ann.bucket}/ann/", code=1)
    assert re.search(r"say it again in 1[67] minutes", said), "what was signed before lives for 15"
    assert set(scene.store.list(ann.bucket)) == {"anna/k", "k"} and shown(scene)["state"] == "removing"
    scene.store.put(ann.bucket, "ann/late", b"by a URL from before")
    with accounts(scene) as database:
        database.execute("UPDATE account SET suspended = suspended - 1100")
    users(scene, *command, f"{ann.bucket}/ann/")
    assert set(scene.store.list(ann.bucket)) == {"anna/k", "k"} and users(scene, "list") == ""
    assert scene.store.parts(ann.bucket, "anna/large", kept) == []


# What an operator sees of the accounts

def test_every_login_of_an_account_is_shown(scene):
    ann = scene.person("ann")
    refused = Client(scene.url, scene.issuer.token("github|7", email="ann@example.com")).session()
    assert refused.status == 403 and f"pail users link 'ann@example.com' '{scene.issuer.url}' 'github|7'" in refused.json["error"]["message"]
    said = users(scene, "link", "ann@example.com", scene.issuer.url.rstrip("/"), "github|7", code=2)
    assert "is not this server's login provider" in said and scene.issuer.url in said
    users(scene, "link", "ann@example.com", scene.issuer.url, "github|7")
    linked = Client(scene.url, scene.issuer.token("github|7", email="ann@example.com")).session()
    assert linked.status == 200 and linked.json["bucket"]["name"] == ann.bucket
    assert [each["subject"] for each in shown(scene)["identities"]] == ["ann", "github|7"]
    text = users(scene, "show", "ann@example.com")
    assert "subject    ann\n" in text and "subject    github|7\n" in text
    assert "identities" not in json.loads(users(scene, "list", "--json"))[0]


# First logins: kills, crowds

def is_arranged(store, bucket):
    get = lambda what: store.call("GET", bucket, query={what: ""}).body.decode()
    assert "<Status>Enabled</Status>" in get("versioning")
    assert "<DaysAfterInitiation>7</DaysAfterInitiation>" in get("lifecycle")
    assert "<RestrictPublicBuckets>true<" in get("publicAccessBlock")
    assert re.search(r"<Key>pail-account</Key><Value>[0-9a-f]{64}</Value>", get("tagging"))


@pytest.mark.slow
@pytest.mark.parametrize("answered", [False, True])
def test_a_first_login_killed_at_each_of_its_requests(proxied, answered):
    """kill -9 before the store has done the nth request, or after it has and before that was recorded, for every n. The next
    start takes it up by itself."""
    before, made, number = set(proxied.store.buckets()), [], 0
    while True:
        number += 1
        who, reached = f"killed-{number}", threading.Event()
        client = proxied.client(who)
        proxied.proxy.add(Rule(hold(reached, answered), path=BUCKET, skip=number - 1))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            session = pool.submit(client.session)
            wait_until(lambda: reached.is_set() or session.done(), f"request {number}, or the end")
            if reached.is_set():
                proxied.server.process.kill()
            proxied.proxy.clear()
            with contextlib.suppress(OSError):
                session.result()
        if not reached.is_set():
            break
        proxied.server.start()
        wait_until(lambda: shown(proxied, f"{who}@example.com")["state"] == "ready", "what was begun to be taken up")
        reply = client.session()
        assert reply.status == 200, reply
        made.append(reply.json["bucket"]["name"])
        is_arranged(proxied.store, made[-1])
    assert number > 10, "there are more requests than that"
    assert len(set(made)) == len(made) == number - 1
    assert not [name for name in made if re.search(r"-\d+$", name)], "no other name was needed"
    assert len(set(proxied.store.buckets()) - before) == number, "and one of the last login, which nobody killed"


def patient(client):
    """A session as a client asks for it: 503 with Retry-After is asked again."""
    end = time.monotonic() + 300
    while True:
        reply = client.session()
        if reply.status != 503 or time.monotonic() > end:
            return reply
        time.sleep(int(reply.headers["retry-after"]))


@pytest.mark.slow
def test_first_logins_of_a_thousand_people_at_once(each_scene):
    before = set(each_scene.store.buckets())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda n: each_scene.client(f"person-{n}"), range(1000)))
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(patient, clients))
    assert {reply.status for reply in replies} <= {200, 201}
    names = {reply.json["bucket"]["name"] for reply in replies}
    assert len(names) == 1000 and {reply.json["email"] for reply in replies} == {f"person-{n}@example.com" for n in range(1000)}
    assert set(each_scene.store.buckets()) - before == names
    text = metrics_of(each_scene)
    assert value_of(text, "pail_buckets_made_total") == 1000 and value_of(text, "pail_accounts_unfinished") == 0
    for name in sorted(names)[:20]:
        is_arranged(each_scene.store, name)
    assert not [line for line in text.splitlines() if 'status="500"' in line and not line.endswith(" 0")]


# A bucket that somebody deleted

def empty(store, bucket):
    for key, version, _, _ in store.versions(bucket):
        store.call("DELETE", bucket, key, query={"versionId": version})


def test_a_bucket_that_was_deleted_is_not_made_anew_by_itself(each_scene):
    ann, bob = each_scene.person("ann"), each_scene.person("bob")
    each_scene.store.put(ann.bucket, "k", b"x")
    empty(each_scene.store, ann.bucket)
    each_scene.store.call("DELETE", ann.bucket)
    unseen(each_scene)
    for _ in range(2):
        reply = ann.session()
        assert reply.status == 403 and b"your bucket is gone" in reply.body, reply
    reply = each_scene.client("ann").ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}]})
    assert reply.status == 403 and b"your bucket is gone" in reply.body
    assert ann.bucket not in each_scene.store.buckets() and bob.session().status == 200
    assert shown(each_scene)["state"] == "missing" and "missing  " in users(each_scene, "show", "ann@example.com")
    assert f"pail users new-bucket {shown(each_scene)['account']}" in each_scene.server.text()
    text = metrics_of(each_scene)
    assert value_of(text, "pail_accounts_missing") == 1 and value_of(text, "pail_buckets_gone_total") == 1
    users(each_scene, "new-bucket", "ann@example.com")
    reply = ann.session()
    assert reply.status == 200 and reply.json["bucket"]["name"] == ann.bucket
    is_arranged(each_scene.store, ann.bucket)
    assert value_of(metrics_of(each_scene), "pail_accounts_missing") == 0
    assert "is there" in users(each_scene, "new-bucket", "ann@example.com", code=1)


def test_a_deleted_bucket_that_comes_back_is_found(scene):
    ann = scene.person("ann")
    tag = scene.store.call("GET", ann.bucket, query={"tagging": ""}).body
    scene.store.call("DELETE", ann.bucket)
    unseen(scene)
    assert ann.session().status == 403
    scene.store.call("PUT", ann.bucket)
    scene.store.call("PUT", ann.bucket, query={"tagging": ""}, body=tag.replace(b'<?xml version="1.0" encoding="UTF-8"?>', b""))
    assert ann.session().status == 200 and shown(scene)["state"] == "ready"
    scene.store.call("PUT", ann.bucket, query={"tagging": ""},
                     body=re.sub(rb"<Value>\w+", b"<Value>other", tag.replace(b'<?xml version="1.0" encoding="UTF-8"?>', b"")))
    unseen(scene)
    assert ann.session().status == 403 and "another tag" in scene.server.text()


def test_the_daily_look_finds_it_too(scene):
    ann = scene.person("ann")
    scene.server.process.stop()
    scene.store.call("DELETE", ann.bucket)
    with accounts(scene) as database:
        assert database.execute("UPDATE fact SET recorded = recorded - 90000 WHERE name = 'looked'").rowcount == 1
    scene.server.start()
    wait_until(lambda: shown(scene)["state"] == "missing", "the look")


def test_a_person_whose_bucket_is_gone_is_told_so(embedded_stack):
    """A machine that had it goes on with what it has, and says so in its log; a login on another says so at once."""
    stack = embedded_stack
    ann = stack.person("ann")
    folder = ann.mount()
    (folder / "file").write_bytes(b"still here")
    ann.sync()
    bucket = stack.bucket_of(ann)
    empty(stack.s3, bucket)
    stack.s3.call("DELETE", bucket)
    unseen(stack)
    login = Person("ann-2", stack.root, stack.build).start("login", stack.url, "--no-browser", "--vault=file")
    walk(login.wait_for(r"(https?://127\.0\.0\.1:\d+/\S*authorize\S*)").group(1), "ann")
    login.wait(PATIENCE)
    assert "your bucket is gone from the store" in login.text() and "ask your administrator" in login.text()
    assert (folder / "file").read_bytes() == b"still here"
    ann.umount()
    ann.mount()
    assert "your bucket is gone from the store" in "".join(path.read_text() for path in ann.home.rglob("log"))
    assert bucket not in stack.s3.buckets()


def test_no_file_is_taken_for_deleted_when_its_whole_bucket_is(stack):
    """To HEAD, a store says the same of both."""
    ann, other = stack.person("ann"), stack.person("ann", "-2")
    here, there = ann.mount(), other.mount("-o", "attrs=listing")
    (here / "known").write_bytes(b"1")
    (here / "moved").write_bytes(b"2")
    ann.sync()
    wait_until(lambda: sorted(os.listdir(there)) == ["known", "moved"], "the names on the other machine")
    bucket = stack.bucket_of(ann)
    empty(stack.s3, bucket)
    stack.s3.call("DELETE", bucket)
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            (there / "known").read_bytes()
        assert caught.value.errno == errno.EIO, caught.value
    os.rename(here / "moved", here / "renamed")
    said = ann.sync(code=7).err
    assert "renamed" in said and "the bucket is not there any more" in said, said
    assert (here / "renamed").read_bytes() == b"2" and sorted(os.listdir(here)) == ["known", "renamed"]


# A bucket that somebody opened

def test_public_access_that_was_opened_by_hand_is_closed_again(ceph_scene):
    ann = ceph_scene.person("ann")
    store = ceph_scene.store
    store.put(ann.bucket, "k", b"secret")
    store.call("DELETE", ann.bucket, query={"publicAccessBlock": ""})
    store.call("PUT", ann.bucket, query={"acl": ""}, headers={"x-amz-acl": "public-read"})
    assert send("GET", f"{store.endpoint}/{ann.bucket}").status == 200, "it is open now"
    unseen(ceph_scene)
    assert ann.session().status == 200
    wait_until(lambda: "was closed again" in ceph_scene.server.text(), "the look")
    assert send("GET", f"{store.endpoint}/{ann.bucket}").status == 403
    assert "<RestrictPublicBuckets>true<" in store.call("GET", ann.bucket, query={"publicAccessBlock": ""}).body.decode()
    assert value_of(metrics_of(ceph_scene), "pail_buckets_closed_total") == 1


def test_a_public_policy_is_taken_back(ceph_scene):
    ann = ceph_scene.person("ann")
    store = ceph_scene.store
    store.put(ann.bucket, "k", b"secret")
    store.call("DELETE", ann.bucket, query={"publicAccessBlock": ""})
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [
        f"arn:aws:s3:::{ann.bucket}", f"arn:aws:s3:::{ann.bucket}/*"]}]}
    store.call("PUT", ann.bucket, query={"policy": ""}, body=json.dumps(policy).encode())
    assert send("GET", f"{store.endpoint}/{ann.bucket}/k").status == 200, "it is open now"
    unseen(ceph_scene)
    assert ann.session().status == 200
    wait_until(lambda: "was closed again" in ceph_scene.server.text(), "the look")
    assert send("GET", f"{store.endpoint}/{ann.bucket}/k").status == 403
    if store.call("GET", ann.bucket, query={"policy": ""}, good=None).status == 404:
        assert "which is taken back" in ceph_scene.server.text(), "whoever wrote it finds it in the log"
    ann.do(b"x", op="put", key="l", size=1)


# Storage keys

def radosgw(ceph, *arguments):
    subprocess.run(["radosgw-admin", "-c", ceph.folder / "ceph.conf", "-n", "client.rgw", *arguments], check=True,
                   capture_output=True, timeout=PATIENCE)


def make_key(ceph, name):
    radosgw(ceph, "key", "create", "--uid=pail", "--key-type=s3", f"--access-key={name}", f"--secret={name}-secret")


def write_profile(path, name):
    """As an operator's tool would: beside, then renamed over."""
    new = path.with_suffix(".new")
    new.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {name}-secret\n")
    new.rename(path)


def start_with_keys_from(scene, source, **environment):
    scene.server.config.write_text(re.sub(r"credentials = settings\naccess_key_id = .*\nsecret_access_key = .*\n",
                                          f"credentials = {source}\n", scene.server.config.read_text()))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "AWS_"))}
    scene.server.process = Process([scene.server.build.server, "--config", scene.server.config],
                                   scene.server.folder / "server.log", env={**env, **environment})
    wait_until(scene.server.ready, "pail-server to be ready")


@pytest.mark.slow
def test_keys_that_are_replaced_in_their_file_are_read_again(tokens, server, ceph, root, closing):
    scene, profile = Scene(tokens, server, ceph), root / "credentials"
    for name in ("KEYONE", "KEYTWO"):
        make_key(ceph, name)
        closing.callback(subprocess.run, ["radosgw-admin", "-c", ceph.folder / "ceph.conf", "-n", "client.rgw", "key", "rm",
                                          "--uid=pail", "--key-type=s3", f"--access-key={name}"], capture_output=True)
    write_profile(profile, "KEYONE")
    start_with_keys_from(scene, "profile", AWS_SHARED_CREDENTIALS_FILE=str(profile))
    ann = scene.person("ann")
    write_profile(profile, "KEYTWO")
    radosgw(ceph, "key", "rm", "--uid=pail", "--key-type=s3", "--access-key=KEYONE")
    assert scene.person("bob").bucket, "a first login goes on with the new keys"
    delete = ann.grant(op="delete_many", keys=[{"key": "k"}])
    assert "KEYTWO" in delete["headers"]["authorization"]
    radosgw(ceph, "key", "rm", "--uid=pail", "--key-type=s3", "--access-key=KEYTWO")  # now there are none that are good
    reply = scene.client("eve").session()
    assert reply.status == 503 and "retry-after" in reply.headers and b"administrator" in reply.body
    # this store says no more than AccessDenied, which could be about anything: the server's own bucket tells, asked every 30 s
    wait_until(lambda: send("GET", f"{scene.url}/readyz").status == 503, "the refusal to be noticed")
    assert b"storage keys" in send("GET", f"{scene.url}/readyz").body
    wait_until(lambda: "refuses the storage keys, which come from the profile" in scene.server.text(), "the log")
    text = metrics_of(scene)
    assert value_of(text, "pail_storage_keys_refused") == 1 and value_of(text, 'pail_store_requests_total{outcome="keys"}') > 0
    make_key(ceph, "KEYTWO")
    assert scene.client("eve").session().status in (200, 201)
    assert send("GET", f"{scene.url}/readyz").status == 200 and value_of(metrics_of(scene), "pail_storage_keys_refused") == 0


def test_keys_that_stand_in_the_settings_want_a_restart(tokens, server, embedded, faultproxy):
    proxied = ProxiedScene(tokens, server, embedded, faultproxy).start()
    proxied.proxy.add(Rule(answer(403, "InvalidAccessKeyId"), path=BUCKET, times=None))
    assert proxied.client("ann").session().status == 503
    assert "the settings: give the server the new ones and restart it" in proxied.server.text()
    assert send("GET", f"{proxied.url}/readyz").status == 503


def test_a_clock_that_the_store_refuses_is_named(tokens, server, embedded, faultproxy):
    proxied = ProxiedScene(tokens, server, embedded, faultproxy).start()
    proxied.proxy.add(Rule(answer(403, "RequestTimeTooSkewed"), path=BUCKET, times=None))
    assert proxied.client("ann").session().status >= 500
    assert "this machine's clock is not the store's" in proxied.server.text()


class RoleOfTheMachine:
    """The metadata service of a container: its keys end soon; it can be away."""

    def __init__(self, settings):
        self.settings, self.life_s, self.away, self.asked = settings, 4, False, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=outer.life_s)
                body = json.dumps({"AccessKeyId": outer.settings["access_key"], "SecretAccessKey": outer.settings["secret_key"],
                                   "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
                self.send_response(500 if outer.away else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def test_keys_that_have_ended_and_cannot_be_renewed(tokens, server, embedded, closing):
    scene, role = Scene(tokens, server, embedded), RoleOfTheMachine(embedded.settings)
    closing.callback(role.close)
    start_with_keys_from(scene, "container", AWS_CONTAINER_CREDENTIALS_FULL_URI=role.url)
    ann, wanted = scene.person("ann"), {"items": [{"op": "get", "key": "k"}]}
    grant = ann.grant(op="get", key="k")
    assert grant["expires_in"] <= 4, "a URL lives no longer than the keys that sign it"
    role.away = True
    reply = wait_until(lambda: (r := ann.ask("POST", "/v1/grants", wanted)).status != 200 and r, "the end of the keys")
    assert reply.status == 503 and "retry-after" in reply.headers and b"cannot be signed right now" in reply.body
    assert "could not be renewed" in scene.server.text()
    assert value_of(metrics_of(scene), "pail_signing_failures_total") >= 1
    role.away, role.life_s = False, 3600
    assert ann.ask("POST", "/v1/grants", wanted).status == 200
    asked = role.asked
    assert ann.ask("POST", "/v1/grants", wanted).status == 200 and role.asked == asked, "good ones are kept"


# A store that is away, or slow

def test_a_store_that_is_away(proxied_embedded):
    scene = proxied_embedded
    ann = scene.person("ann")
    unseen(scene)
    scene.proxy.network(False)
    reply = scene.client("new").session()
    assert reply.status == 503 and "retry-after" in reply.headers and b"the store does not answer" in reply.body
    assert ann.session().status == 200, "whose bucket is made gets its answer: the mount waits for the store by itself"
    assert ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}]}).status == 200
    text = metrics_of(scene)
    assert value_of(text, "pail_store_up") == 0 and value_of(text, 'pail_store_requests_total{outcome="offline"}') >= 4
    assert value_of(text, "pail_accounts_unfinished") == 1 and value_of(text, "pail_bucket_failures_total") == 1
    ready = send("GET", f"{scene.url}/readyz")
    assert ready.status == 200 and b"the store does not answer" in ready.body
    scene.proxy.network(True)
    assert scene.client("new").session().status == 200
    assert value_of(metrics_of(scene), "pail_store_up") == 1


def test_nobody_waits_twice_for_a_store_that_stalls(proxied_embedded):
    scene = proxied_embedded
    ann, bob = scene.person("ann"), scene.person("bob")
    unseen(scene)
    release = threading.Event()
    scene.proxy.add(Rule(stall(release), path=BUCKET, times=None))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(ann.session)
        wait_until(lambda: first.done() or value_of(metrics_of(scene), "pail_store_up") == 0, "the stall to be noticed")
        assert bob.session().status == 200
        assert not first.done(), "which was still waiting"
        release.set()
        assert first.result().status == 200


# The accounts' file

@pytest.fixture
def small_disk(root):
    """A disk of 1 MiB."""
    folder = root / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(path):
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_keeps_nobody_out_who_has_an_account(tokens, server, embedded, small_disk):
    scene = Scene(tokens, server, embedded, server__database=small_disk / "accounts.db").start()
    ann = scene.person("ann")
    with contextlib.closing(sqlite3.connect(small_disk / "accounts.db", timeout=PATIENCE)) as database, database:
        database.execute("UPDATE account SET seen = seen - 3600")
    fill_disk(small_disk / "filler")
    assert ann.session().status == 200 and ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}]}).status == 200
    assert "could not be noted" in scene.server.text()
    reply = scene.client("new").session()
    assert reply.status == 503 and "retry-after" in reply.headers, reply
    assert "the disk is full; make room" in scene.server.text()
    assert value_of(metrics_of(scene), "pail_database_failures_total") == 1
    (small_disk / "filler").unlink()
    assert scene.client("new").session().status == 201
    scene.server.process.end()


def check_says(scene, *arguments):
    done = subprocess.run([scene.server.build.server, "--config", scene.server.config, *arguments], capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == 1, done
    return done.stdout + done.stderr


def test_a_disk_that_cannot_be_written(tokens, server, embedded, small_disk):
    scene = Scene(tokens, server, embedded, server__database=small_disk / "accounts.db").start()
    scene.server.process.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for arguments in ([], ["--check"], ["users", "list"]):
        said = check_says(scene, *arguments)
        assert str(small_disk / "accounts.db") in said and "Read-only" in said


def test_a_file_that_is_damaged_or_of_a_newer_version(scene):
    for number in range(30):
        scene.person(f"person-{number}")
    scene.server.process.stop()
    path = scene.server.folder / "accounts.db"
    good = path.read_bytes()
    with accounts(scene) as database:
        database.execute("PRAGMA user_version = 999")
    assert "newer version of Pail" in check_says(scene) and "newer version" in check_says(scene, "users", "list")
    path.write_bytes(good[:3 * 4096] + b"\xa5" * 3 * 4096 + good[6 * 4096:])
    said = check_says(scene)
    assert "database" in said and "damaged" in said and "pail users backup" in said
    path.write_bytes(b"nothing of the kind, but long enough" * 100)
    assert "damaged" in check_says(scene)
    path.write_bytes(good)
    scene.server.start()
    assert scene.client("person-0").session().status == 200


def test_a_backup_restores_on_another_machine(tokens, server, embedded, root):
    """Made while people log in for the first time; those who came after it find their buckets again, by the tag."""
    scene = Scene(tokens, server, embedded).start()
    made = {}

    def login(number):
        made[number] = scene.person(f"person-{number}").bucket
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        logins = [pool.submit(login, number) for number in range(40)]
        wait_until(lambda: len(made) >= 5, "the first of them")
        users(scene, "backup", str(root / "copy.db"))
        for each in logins:
            each.result()
    scene.server.process.stop()
    other = server(embedded.settings, scene.issuer.url, port=scene.server.port)
    (root / "copy.db").rename(other.folder / "accounts.db")
    scene.server = other
    other.start()
    known = len(json.loads(users(scene, "list", "--json")))
    assert 5 <= known <= 40
    for number, bucket in made.items():
        assert scene.person(f"person-{number}").bucket == bucket
    assert len([name for name in scene.store.buckets() if re.search(BUCKET, f"/{name}")]) == 40


# Metrics

def check_exposition(text):
    """Prometheus' text format 0.0.4, as strictly as its own linter looks at it."""
    kinds, samples = {}, {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE") and rest
            if what == "TYPE":
                assert name not in kinds, f"{name} stands twice"
                kinds[name] = rest
            continue
        name, labels, value = re.fullmatch(r'([a-z_]+)(?:\{([^}]*)\})? (-?[0-9.]+)', line).groups()
        family = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        assert family in kinds and (family == list(kinds)[-1]), f"{name} stands outside its family"
        assert (kinds[family] == "counter") == name.endswith("_total"), name
        assert (name, labels) not in samples, f"{line} stands twice"
        samples[name, labels] = float(value)
    for family in [name for name, kind in kinds.items() if kind == "histogram"]:
        rows = {}
        for (name, labels), value in samples.items():
            if name == f"{family}_bucket":
                rest, le = re.fullmatch(r'(?:(.*),)?le="(.*)"', labels).groups()
                rows.setdefault(rest, []).append((float(le.replace("+Inf", "inf")), value))
        for rest, row in rows.items():
            assert row == sorted(row) and [v for _, v in row] == sorted(v for _, v in row) and row[-1][0] == float("inf")
            assert samples[f"{family}_count", rest] == row[-1][1] and (f"{family}_sum", rest) in samples
    return samples


def used(scene):
    ann = scene.person("ann")
    ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}, {"op": "fly", "key": "k"}]})
    send("POST", f"{scene.url}/v1/session", {"Authorization": "Bearer nonsense"}, b"{}")
    return metrics_of(scene)


def test_metrics_are_what_prometheus_reads(scene):
    samples = check_exposition(used(scene))
    assert samples["pail_provision_seconds_count", None] == 1
    assert samples["pail_store_request_seconds_count", None] == sum(
        value for (name, _), value in samples.items() if name == "pail_store_requests_total") > 12
    assert samples["pail_store_up", None] == 1


def test_promtool_finds_nothing(scene):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not in PATH (Debian: prometheus; packaging/check takes it out of there)")
    done = subprocess.run(["promtool", "check", "metrics"], input=used(scene), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


# Running it under systemd

def test_the_unit_is_hardened(build):
    """systemd's own measure, from 0 (nothing is left open) to 10."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
                           build.folder / "packaging" / "pail-server.service"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout).group(1))
    assert exposure < 2.0
