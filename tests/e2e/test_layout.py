"""layout = prefix: one bucket for all, made once whatever happens, a layout that changes, and the folder as it is elsewhere: the
tests of the folder and some of two writers run here once more, below a prefix."""
import concurrent.futures
import re
import sqlite3
import subprocess
import urllib.error
import urllib.request
from contextlib import closing as closed

import pytest

from lib.ports import free_port
from lib.processes import PATIENCE, Process, wait_until
from lib.resign import Resigner
from lib.scene import Embedded, Scene
from lib.server_client import send
from lib.server_tokens import TokenIssuer
from test_folder_operations import *  # noqa: F403
from test_folder_operations import one_mount
from test_people import test_another_person_gets_another_bucket_and_sees_nothing as test_another_person_sees_nothing  # noqa: F401
from test_people import test_the_same_person_from_a_second_machine_sees_the_same  # noqa: F401
from test_two_writers import (test_content_against_content, test_deleted_against_content,  # noqa: F401
                              test_folder_moved_against_key_added, test_renamed_against_changed, two)


@pytest.fixture(scope="module", params=["embedded-prefix", "ceph-prefix"])
def place(request, module_stacks):
    yield from one_mount(module_stacks(request.param))


@pytest.fixture(params=["embedded-prefix", "ceph-prefix"])
def stack(request, stacks):
    return stacks(request.param)


@pytest.fixture
def make(root, server, start, build, closing, request):
    """make("embedded" or "ceph", setting=value, ...): a server that is not started yet."""
    def tokens(audience):
        issuer = TokenIssuer(root, audience)
        closing.callback(issuer.close)
        return issuer
    stores = {}

    def made(kind, **settings):
        if kind not in stores:
            stores[kind] = request.getfixturevalue("ceph") if kind == "ceph" else Embedded(start, build, root)
        return Scene(tokens, server, stores[kind], **{f"store__{name}": value for name, value in settings.items()})
    return made


kinds = pytest.mark.parametrize("kind", ["embedded", "ceph"])


def set_up(scene, **settings):
    """Changes settings of the store; the next start has them."""
    text = scene.server.config.read_text()
    for name, value in settings.items():
        text = re.sub(rf"(?m)^{name} = .*\n", "", text).replace("[store]\n", f"[store]\n{name} = {value}\n")
    scene.server.config.write_text(text)


def check(scene):
    done = subprocess.run([scene.server.build.server, "--config", scene.server.config, "--check"], capture_output=True, text=True,
                          timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def assert_arranged(scene, bucket):
    get = lambda what: scene.store.call("GET", bucket, query={what: ""}).body.decode()
    assert "<Status>Enabled</Status>" in get("versioning")
    assert "<NoncurrentDays>30</NoncurrentDays>" in get("lifecycle")
    assert re.search(r"<Key>pail-account</Key><Value>[0-9a-f]{64}</Value>", get("tagging"))
    assert "<RestrictPublicBuckets>true<" in get("publicAccessBlock")
    assert send("GET", f"{scene.store.endpoint}/{bucket}").status == 403


def place_of(client):
    reply = client.session()
    assert reply.status in (200, 201), reply
    bucket = reply.json["bucket"]
    return bucket["name"], bucket["prefix"]


@kinds
def test_each_person_gets_a_prefix_of_the_one_bucket(make, kind):
    scene = make(kind, layout="prefix").start()
    first = scene.client("ann").session()
    assert first.status == 201 and first.json["bucket"]["versioning"] and first.json["bucket"]["versioned_at"] > 0
    (bucket, ann), (same, bob) = place_of(scene.client("ann")), place_of(scene.client("bob"))
    assert bucket == same and ann != bob
    assert all(re.fullmatch(r"[a-z2-7]{20}/", prefix) for prefix in (ann, bob))
    assert_arranged(scene, bucket)


@pytest.mark.slow
@kinds
def test_a_thousand_first_logins_at_once(make, kind):
    """900 of one person, and one each of 100 people."""
    scene = make(kind, layout="prefix").start()
    before = set(scene.store.buckets())
    clients = [scene.client(f"rush{number}") for number in range(100)]
    one = scene.client("rush")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda client: client.session(), [one] * 450 + clients + [one] * 450))
    assert {reply.status for reply in replies} == {200, 201}
    assert sum(reply.status == 201 for reply in replies) == 101
    assert len({reply.json["bucket"]["prefix"] for reply in replies}) == 101
    assert len({reply.json["bucket"]["name"] for reply in replies}) == 1
    assert set(scene.store.buckets()) == before


@pytest.mark.slow
@kinds
def test_killed_anywhere_in_its_first_start_there_is_one_bucket(make, kind):
    """kill -9 after each request that makes and arranges the shared bucket (the log tells of each), then a start to the end."""
    scene = make(kind, layout="prefix", shared_bucket="first-of-all").start()
    scene.server.process.end()
    before = set(scene.store.buckets())
    for number in range(1, 11):
        name = f"killed-{free_port()}-{number}"
        set_up(scene, shared_bucket=name)
        log = scene.server.folder / f"killed-{number}.log"
        process = Process([scene.server.build.server, "--config", scene.server.config], log)
        wait_until(lambda: log.read_text().count(f"/{name}") >= number or not process.running(), "its requests")
        process.kill()
        scene.server.start()
        assert place_of(scene.client(f"killed-{number}"))[0] == name
        assert_arranged(scene, name)
        scene.server.process.end()
    assert len(set(scene.store.buckets()) - before) == 10


@kinds
def test_a_changed_layout_is_for_new_accounts(make, kind):
    scene = make(kind).start()
    ann = scene.client("ann")
    own = place_of(ann)
    assert own[1] == ""
    ann.do(b"before", op="put", key="file", size=6)
    scene.server.process.end()
    set_up(scene, layout="prefix")
    code, said = check(scene)
    assert code == 0 and re.search(r"layout = prefix: new accounts get a prefix of the bucket \S+; 1 keep a bucket of their own", said), said
    scene.server.start()
    assert place_of(ann) == own and ann.do(op="get", key="file").body == b"before"
    bob = scene.client("bob")
    bucket, prefix = place_of(bob)
    assert bucket != own[0] and prefix
    bob.do(b"below", op="put", key=f"{prefix}file", size=5)
    scene.server.process.end()
    set_up(scene, layout="bucket")
    code, said = check(scene)
    assert code == 0 and "layout = bucket: new accounts get a bucket of their own; 1 keep their prefix" in said, said
    scene.server.start()
    assert place_of(bob) == (bucket, prefix) and bob.do(op="get", key=f"{prefix}file").body == b"below"
    assert "error" in bob.grant(op="get", key="file") and place_of(ann) == own
    assert place_of(scene.client("carl"))[1] == ""


@kinds
def test_a_bucket_that_is_named_must_be_new_or_empty(make, kind):
    name = f"named-{free_port()}"
    scene = make(kind, layout="prefix", shared_bucket=name)
    scene.store.call("PUT", name)
    scene.store.put(name, "somebody", b"else's")
    code, said = check(scene)
    assert code == 1 and f'shared_bucket = "{name}"' in said and "name an empty one" in said, said
    process = Process([scene.server.build.server, "--config", scene.server.config], scene.server.folder / "refused.log")
    assert process.wait(PATIENCE) == 1 and f'shared_bucket = "{name}"' in process.text()
    assert scene.store.contents(name) == {"somebody": b"else's"}
    scene.store.delete(name, "somebody")
    scene.start()
    assert place_of(scene.client("ann"))[0] == name


def test_a_shared_bucket_that_was_opened_by_hand_is_closed_at_the_next_start(make):
    scene = make("ceph", layout="prefix").start()
    bucket, prefix = place_of(scene.client("ann"))
    scene.store.put(bucket, prefix + "secret", b"ann's")
    scene.server.process.end()
    scene.store.call("DELETE", bucket, query={"publicAccessBlock": ""})
    scene.store.call("PUT", bucket, query={"acl": ""}, headers={"x-amz-acl": "public-read"})
    assert listed_by_anybody(scene.store.endpoint, bucket) == 200
    scene.start()
    assert listed_by_anybody(scene.store.endpoint, bucket) == 403
    assert f"shared bucket {bucket} was open to others" in scene.server.text()


def listed_by_anybody(endpoint, bucket):
    try:
        return urllib.request.urlopen(f"{endpoint}/{bucket}").status
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_store_that_climbs_with_dots_is_refused(make, faultproxy, server):
    """A store that keeps files in folders, so to speak: the proxy takes the dots away and signs anew."""
    scene = make("embedded", layout="prefix")
    proxy = faultproxy(scene.store.endpoint)
    resign = Resigner(scene.store, proxy.url.split("://")[1])

    def without_dots(text):
        return re.sub(r"/[^/ ?]+/\.\.(?=/)", "", text)

    proxy.rewrite = lambda head: resign(head, without_dots)
    set_up(scene, endpoint=proxy.url)
    code, said = check(scene)
    assert code == 1 and "a/../b" in said and proxy.url in said, said


@kinds
def test_an_installation_that_lost_its_database(make, kind):
    scene = make(kind, layout="prefix").start()
    ann = scene.client("ann")
    where = place_of(ann)
    ann.do(b"still there", op="put", key=f"{where[1]}file", size=11)
    scene.server.process.end()
    for path in scene.server.folder.glob("accounts.db*"):
        path.unlink()
    scene.server.start()
    assert place_of(ann) == where and ann.do(op="get", key=f"{where[1]}file").body == b"still there"


def test_the_store_down_at_a_later_start(make, faultproxy):
    scene = make("embedded", layout="prefix").start()
    where = place_of(scene.client("ann"))
    scene.server.process.end()
    proxy = faultproxy(scene.store.endpoint)
    proxy.network(False)
    with closed(sqlite3.connect(scene.server.folder / "accounts.db")) as database, database:
        database.execute("UPDATE fact SET name=replace(name, ?, ?)", (scene.store.endpoint, proxy.url))
    set_up(scene, endpoint=proxy.url)
    scene.server.start()
    assert "was ready before" in scene.server.text()
    assert place_of(scene.client("ann")) == where and place_of(scene.client("bob"))[0] == where[0]
