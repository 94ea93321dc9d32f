"""The mapping server alone, on the embedded store and on Ceph RGW: sessions, every grant used for real, what a grant cannot reach, first logins at
once, kills, and an orderly end. Tokens are the test's own."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lib.ports import free_port
from lib.processes import PATIENCE, Process, wait_until
from lib.scene import Scene, metrics_of, users, value_of
from lib.server_client import Client, send


# Sessions

def test_the_configuration_names_what_a_login_needs(scene):
    document = send("GET", f"{scene.url}/.well-known/pail-configuration").json
    assert document["version"] == 1 and document["modes"] == ["presigned"]
    assert document["issuer"] == scene.issuer.url and document["audience"] == scene.url
    assert document["client_id"] == "pail" and document["loopback_ports"] == [47831, 47832, 47833]
    assert "offline_access" in document["scopes"]


def test_the_first_session_makes_a_bucket_and_later_ones_find_it(each_scene):
    first = each_scene.client().session()
    assert first.status == 201, first
    again = each_scene.client().session()
    assert again.status == 200
    assert {**first.json, "server_time": 0} == {**again.json, "server_time": 0}
    document = first.json
    bucket = document["bucket"]
    assert document["email"] == "ann@example.com" and document["account"].startswith("a")
    assert re.fullmatch(r"pail-[a-z2-7]{20}", bucket["name"])
    assert bucket["prefix"] == "" and bucket["style"] == "path" and bucket["versioning"] is True
    assert abs(bucket["versioned_at"] - time.time()) < 60 and abs(document["server_time"] - time.time()) < 60
    assert document["quota"] == {"limit": 0, "used": 0}
    assert each_scene.client("bob").session().json["bucket"]["name"] != bucket["name"]
    assert bucket["name"] in each_scene.store.buckets()


def test_the_bucket_is_arranged(each_scene):
    name = each_scene.person().bucket
    get = lambda what: each_scene.store.call("GET", name, query={what: ""}).body.decode()
    assert "<Status>Enabled</Status>" in get("versioning")
    lifecycle = get("lifecycle")
    assert "<NoncurrentDays>30</NoncurrentDays>" in lifecycle and "<DaysAfterInitiation>7</DaysAfterInitiation>" in lifecycle
    assert re.search(r"<Key>pail-account</Key><Value>[0-9a-f]{64}</Value>", get("tagging"))
    block = get("publicAccessBlock")
    assert all(f"<{flag}>true<" in block for flag in ("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"))
    assert send("GET", f"{each_scene.store.endpoint}/{name}").status == 403


def test_features_are_what_this_store_does(ceph_scene):
    features = ceph_scene.client().session().json["features"]
    assert len(features) == 15
    # Ceph 16 with versions: takes and ignores nearly every condition and checksum
    assert {name for name, holds in features.items() if holds} == {"content_md5", "quoted_etag"}


def test_the_embedded_store_does_everything(scene):
    assert all(scene.client().session().json["features"].values())


def test_without_versions_on_a_store_that_has_all_conditions(tokens, server, embedded):
    scene = Scene(tokens, server, embedded, store__keep_versions_d=0).start()
    bucket = scene.client().session().json["bucket"]
    assert bucket["versioning"] is False and bucket["versioned_at"] == 0


def test_without_versions_conditions_that_are_missing_keep_the_server_from_starting(tokens, server, ceph):
    scene = Scene(tokens, server, ceph, store__keep_versions_d=0)
    done = subprocess.run([scene.server.build.server, "--config", scene.server.config], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode and "keep_versions_d" in done.stderr and "keep versions" in done.stderr


def test_without_a_role_the_server_does_not_start_on_a_store_that_obeys_added_headers(tokens, server, ceph):
    settings = {name: value for name, value in ceph.settings.items() if name != "role_arn"}
    port = free_port()
    issuer = tokens(f"http://127.0.0.1:{port}")
    without = server(settings, issuer.url, port=port)
    done = subprocess.run([without.build.server, "--config", without.config], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "role_arn" in done.stderr and "x-amz-" in done.stderr


# Who may

def test_refusals_of_tokens(scene):
    def status(token):
        return Client(scene.url, token).session().status
    good = scene.issuer.token()
    assert status(good) == 201
    assert scene.client().ask("POST", "/v1/session", {}, token=None).status == 401
    assert status("nonsense") == 401
    assert status(good[:-4] + "AAAA") == 401
    assert status(scene.issuer.token(exp=int(time.time()) - 100)) == 401
    assert status(scene.issuer.token(aud="https://other.example")) == 401
    assert status(scene.issuer.token(azp="evil")) == 401
    assert status("x" * 6000) == 401
    try:
        assert status("x" * 20000) == 431
    except ConnectionError:
        pass  # it closes without reading the rest
    reply = Client(scene.url, scene.issuer.token("eve", **{"https://pail.example/email_verified": False})).session()
    assert reply.status == 403 and reply.code == "denied" and "verified" in reply.json["error"]["message"]
    assert re.fullmatch(r"[0-9a-f]{16}", reply.json["error"]["request_id"])
    assert reply.json["error"]["request_id"] in scene.server.text()


def test_an_unknown_key_is_not_a_401(scene):
    scene.person()
    token = scene.issuer.token(header={"kid": "another"})
    first = Client(scene.url, token).session()
    assert first.status in (401, 503)
    second = Client(scene.url, token).session()
    assert second.status == 503 and int(second.headers["retry-after"]) >= 1


@pytest.mark.parametrize("ahead_s, says", [(3600, "60 minutes behind"), (-7200, "120 minutes ahead of")])
def test_a_clock_that_is_wrong_is_named(tokens, server, embedded, ahead_s, says):
    """Not 401, which would send people to a login that cannot help."""
    scene = Scene(tokens, server, embedded)
    scene.issuer.clock_ahead_s = ahead_s
    scene.start()
    reply = scene.client().session()
    assert reply.status == 503 and says in reply.json["error"]["message"] and int(reply.headers["retry-after"]) >= 1, reply
    seconds = int(re.search(rf"clock is (\d+) seconds {says.split(' ', 2)[2]}", scene.server.text())[1])
    assert abs(seconds - abs(ahead_s)) <= 30  # Date has whole seconds, and the answer was on its way for some
    expired = Client(scene.url, scene.issuer.token(exp=1_700_000_000)).session()
    assert expired.status == 401, expired


def test_the_email_comes_from_userinfo_once(scene):
    token = scene.issuer.token("una", email=None)
    client = Client(scene.url, token)
    assert client.session().status == 401  # the issuer knows nothing of that token
    scene.issuer.userinfo[token] = {"sub": "una", "email": "una@example.com", "email_verified": False}
    assert client.session().status == 403
    scene.issuer.userinfo[token] = {"sub": "una", "email": "Una@Example.com", "email_verified": True}
    assert client.session().json["email"] == "una@example.com"
    asked = scene.issuer.requests.count("/userinfo")
    assert Client(scene.url, scene.issuer.token("una", email=None)).session().status == 200
    assert scene.issuer.requests.count("/userinfo") == asked


def test_another_subject_with_a_known_email_is_refused_until_it_is_linked(scene):
    bucket = scene.person("ann").bucket
    other = scene.client("github|ann", email="ann@example.com")
    reply = other.session()
    assert reply.status == 403
    command = re.search(r"pail users link '(\S+)' '(\S+)' '(\S+)'", reply.json["error"]["message"]).groups()
    subprocess.run([scene.server.build.server, "--config", scene.server.config, "users", "link", *command], check=True,
                   timeout=PATIENCE)
    assert other.session().json["bucket"]["name"] == bucket


def test_identity_email_links_a_second_login_of_the_same_issuer(tokens, server, embedded):
    scene = Scene(tokens, server, embedded, login__identity="email").start()
    ann = scene.person("ann")
    ann.do(b"mine", op="put", key="k", size=4)
    again = scene.client("github|ann", email="Ann@Example.com")
    assert again.session().status == 200 and again.session().json["bucket"]["name"] == ann.bucket
    assert again.do(op="get", key="k").body == b"mine"
    assert "linked" in scene.server.text()
    shown = json.loads(users(scene, "list", "--json"))
    assert [user["email"] for user in shown] == ["ann@example.com"]
    for name, claims in {"unverified": {"https://pail.example/email_verified": False}, "a text": {"https://pail.example/email_verified": "true"},
                         "missing": {"https://pail.example/email_verified": None}}.items():
        eve = scene.client(f"eve|{name}", email="ann@example.com", **claims)
        assert eve.session().status in (401, 403), name
        assert eve.ask("POST", "/v1/grants", {"items": []}).status in (403, 404), name
    assert scene.person("bob").bucket != ann.bucket


def test_identity_email_never_links_across_issuers(tokens, server, embedded):
    """The operator changes the issuer: who comes with a known email from there is somebody else until linked by hand."""
    scene = Scene(tokens, server, embedded, login__identity="email").start()
    ann = scene.person("ann")
    scene.server.process.end()
    other = tokens(scene.url)
    text = scene.server.config.read_text()
    scene.server.config.write_text(text.replace(f"issuer = {scene.issuer.url}", f"issuer = {other.url}"))
    scene.server.start()
    for subject in ("ann", "eve"):
        reply = Client(scene.url, other.token(subject, email="ann@example.com")).session()
        assert reply.status == 403 and "pail users link" in reply.json["error"]["message"], reply
    assert ann.session().status == 401
    users(scene, "link", "ann@example.com", other.url, "ann")
    assert Client(scene.url, other.token("ann")).session().json["bucket"]["name"] == ann.bucket
    assert Client(scene.url, other.token("eve", email="ann@example.com")).session().status == 200, "the same issuer now"


def test_grants_need_a_session_first(scene):
    reply = scene.client("nobody").ask("POST", "/v1/grants", {"items": []})
    assert reply.status == 404 and reply.code == "not_found"


# Grants, used

AWKWARD = ["plain.txt", "a b", "a+b", "100%", "%2F", "a//b", "../up", "a/../b", "ä/ö€😀", "/leading", "q?versionId=1&x=#",
           "'\"<>&", "~-._", "k" * 1024, "é" * 512, "back\\slash", "tab\there", "end/"]


def test_every_operation_on_awkward_keys(each_scene):
    ann = each_scene.person()
    for key in AWKWARD:
        body = key.encode()
        assert ann.do(body, op="put", key=key, size=len(body)).status == 200, key
        assert ann.do(op="get", key=key).body == body, key
        head = ann.do(op="head", key=key)
        assert head.status == 200 and int(head.headers["content-length"]) == len(body), key
        assert ann.do(op="copy", key="copy", source=key, directive="COPY").status == 200, key
        assert ann.do(op="get", key="copy").body == body, key
        version = head.headers["x-amz-version-id"]
        assert ann.do(op="get", key=key, version=version).body == body, key
        assert ann.do(op="copy", key="copy", source=key, source_version=version, directive="REPLACE",
                      headers={"x-amz-meta-a": "b"}).status == 200, key
    assert set(each_scene.store.list(ann.bucket)) == {*AWKWARD, "copy"}
    grant = ann.grant(op="delete_many", keys=[{"key": key} for key in AWKWARD[:9]])
    assert ann.use(grant).status == 200
    for key in AWKWARD[9:]:
        assert ann.do(op="delete", key=key).status == 204, key
    assert set(each_scene.store.list(ann.bucket)) == {"copy"}


def test_multipart_from_create_to_complete(each_scene):
    ann = each_scene.person()
    part = b"p" * (5 << 20)
    ann.do(part, op="put", key="source", size=len(part))
    created = ann.do(op="create", key="big", headers={"x-amz-meta-mode": "33188", "content-type": "text/x-c"})
    upload = re.search(r"<UploadId>(.+?)</UploadId>", created.body.decode()).group(1)
    run = ann.grant(op="part", key="big", upload=upload, first=1, count=2, size=len(part))
    last = ann.grant(op="part", key="big", upload=upload, first=4, count=1, size=3)
    etags = {1: ann.use(run, part, number=0).headers["etag"], 2: ann.use(run, part, number=1).headers["etag"]}
    copied = ann.do(op="part_copy", key="big", upload=upload, number=3, source="source", range=f"bytes=0-{len(part) - 1}")
    etags[3] = re.search(r"<ETag>(.+?)</ETag>", copied.body.decode()).group(1)
    etags[4] = ann.use(last, b"end").headers["etag"]
    listed = ann.do(op="list_parts", key="big", upload=upload, marker="2").body.decode()
    assert re.findall(r"<PartNumber>(\d)", listed) == ["3", "4"]
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in sorted(etags.items()))
    done = ann.do(f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode(), op="complete", key="big",
                  upload=upload, total=3 * len(part) + 3)
    assert done.status == 200, done
    head = ann.do(op="head", key="big")
    assert int(head.headers["content-length"]) == 3 * len(part) + 3
    assert head.headers["x-amz-meta-mode"] == "33188" and head.headers["content-type"] == "text/x-c"
    upload = re.search(r"<UploadId>(.+?)</UploadId>", ann.do(op="create", key="x").body.decode()).group(1)
    assert ann.do(op="abort", key="x", upload=upload).status == 204
    assert ann.do(op="list_parts", key="x", upload=upload).status == 404


def test_listings_page_by_page(each_scene):
    ann = each_scene.person()
    for name in ("a/1", "a/2", "b", "c d", "e"):
        ann.do(b"", op="put", key=name, size=0)
    first = ann.do(op="list", prefix="", delimiter="/", max_keys=2).body.decode()
    assert re.search(r"<CommonPrefixes><Prefix>a(/|%2F)</Prefix>", first) and "<Key>b</Key>" in first
    token = re.search(r"<NextContinuationToken>(.+?)<", first).group(1)
    second = ann.do(op="list", prefix="", delimiter="/", max_keys=2, token=token).body.decode()
    assert re.findall(r"<Key>(.+?)</Key>", second) == ["c%20d", "e"]
    after = ann.do(op="list", prefix="", start_after="b").body.decode()
    assert re.findall(r"<Key>(.+?)</Key>", after) == ["c%20d", "e"]
    assert ann.do(op="delete", key="b").status == 204
    versions = ann.do(op="list_versions", prefix="b").body.decode()
    assert versions.count("<Version>") == 1 and versions.count("<DeleteMarker>") == 1


def test_the_signed_length_is_the_only_one(each_scene):
    ann = each_scene.person()
    grant = ann.grant(op="put", key="k", size=5)
    wrong = send("PUT", grant["url"], {"content-length": "6"}, b"123456")
    assert wrong.status == 403, wrong
    assert ann.use(grant, b"12345").status == 200


def test_one_get_grant_serves_ranges_and_conditions(each_scene):
    ann = each_scene.person()
    ann.do(b"0123456789", op="put", key="k", size=10)
    grant = ann.grant(op="get", key="k")
    assert ann.use(grant, extra={"Range": "bytes=3-5"}).body == b"345"
    assert ann.use(grant, extra={"If-None-Match": ann.use(grant).headers["etag"]}).status == 304


# Batches

def test_items_fail_alone_and_in_order(scene):
    ann = scene.person()
    grants = ann.grants({"op": "get", "key": "a"}, {"op": "get", "key": ""}, {"op": "nothing"}, 7,
                        {"op": "put", "key": "b", "size": 1, "headers": {"x-amz-acl": "public-read"}},
                        {"op": "head", "key": "c"})
    assert ["error" in grant for grant in grants] == [False, True, True, True, True, False]
    assert {grant["error"]["code"] for grant in grants if "error" in grant} == {"bad_item"}
    assert grants[5]["method"] == "HEAD" and "/c?" in grants[5]["url"]


def test_the_limits_of_a_batch(scene):
    ann = scene.person()
    assert len(ann.grants(*[{"op": "get", "key": f"k{i}"} for i in range(1000)])) == 1000
    assert ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}] * 1001}).status == 413
    part = {"op": "part", "key": "k", "upload": "u", "first": 1, "count": 1000, "size": 1}
    assert len(ann.grant(**part)["urls"]) == 1000
    assert ann.ask("POST", "/v1/grants", {"items": [part, {"op": "get", "key": "k"}]}).status == 413
    reply = ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k" * 1024}] * 999 + [{"op": "x" * 200000}]})
    assert reply.status == 413 and reply.code == "too_large"
    assert ann.ask("POST", "/v1/grants", body=b"{").status == 422
    assert ann.ask("POST", "/v1/grants", {"items": [], "more": 1}).status == 422
    assert ann.ask("POST", "/v1/grants", {}).status == 422
    assert ann.ask("POST", "/v1/grants", body=b'{"items":[{"op":"get","key":"a\\u0000b"}]}').status == 422
    assert ann.ask("POST", "/v1/grants", body=b'{"items":[{"op":"get","key":"a\xffb"}]}').status == 422
    assert ann.ask("POST", "/v1/grants", {"items": []}).json == {"grants": []}


def test_what_does_not_fit_in_four_mebibytes_is_asked_again(each_scene):
    ann = each_scene.person()
    # a key of 330 characters that becomes three times as long in a URL, and a session token: well over 4 KiB each... in all
    keys = [f"{i:04d}" + "ä" * 450 for i in range(1000)]
    body = json.dumps({"items": [{"op": "get", "key": key} for key in keys]}, ensure_ascii=False).encode()
    assert len(body) < 1 << 20
    reply = ann.ask("POST", "/v1/grants", body=body)
    assert reply.status == 200 and len(reply.body) <= 4 << 20
    grants = reply.json["grants"]
    again = [key for key, grant in zip(keys, grants) if "error" in grant]
    assert len(grants) == 1000
    if again:  # how long this store's session tokens are decides
        assert {grant["error"]["code"] for grant in grants if "error" in grant} == {"again"}
        assert "url" in ann.grant(op="get", key=again[0])


def test_small_requests_pass_between_the_slices_of_big_ones(scene):
    ann, done = scene.person(), threading.Event()
    big = [{"op": "get", "key": f"{i:04d}" + "x" * 500} for i in range(1000)]

    def flood():
        while not done.is_set():
            ann.grants(*big)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        floods = [pool.submit(flood) for _ in range(6)]
        took = []
        for _ in range(50):
            began = time.monotonic()
            assert "url" in ann.grant(op="get", key="k")
            took.append(time.monotonic() - began)
        done.set()
        for each in floods:
            each.result()
    assert sorted(took)[25] < 0.5, took


# First logins, kills

def test_a_thousand_first_logins_of_one_person_make_one_bucket(each_scene):
    before = set(each_scene.store.buckets())
    token = each_scene.issuer.token("rush")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: Client(each_scene.url, token).session(), range(1000)))
    assert {reply.status for reply in replies} == {200, 201}
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len({reply.json["bucket"]["name"] for reply in replies}) == 1
    assert len(set(each_scene.store.buckets()) - before) == 1


def test_killed_anywhere_in_a_first_login_there_is_one_bucket(each_scene):
    """kill -9 at times spread over a first login; after the next start the same login finds its one bucket, arranged."""
    before = set(each_scene.store.buckets())
    for number in range(12):
        token = each_scene.issuer.token(f"killed-{number}")
        thread = threading.Thread(target=lambda: _session_or_nothing(each_scene.url, token))
        thread.start()
        time.sleep(number * 0.004)
        each_scene.server.process.kill()
        thread.join()
        each_scene.server.start()
    for number in range(12):
        name = each_scene.person(f"killed-{number}").bucket
        assert "<Status>Enabled</Status>" in each_scene.store.call("GET", name, query={"versioning": ""}).body.decode()
        assert "pail-account" in each_scene.store.call("GET", name, query={"tagging": ""}).body.decode()
    assert len(set(each_scene.store.buckets()) - before) == 12


def _session_or_nothing(url, token):
    try:
        Client(url, token).session()
    except OSError:
        pass


def test_the_store_down_at_a_first_login(tokens, server, ceph, faultproxy):
    proxy = faultproxy(ceph.settings["endpoint"])
    settings = {**ceph.settings, "endpoint": proxy.url}
    port = free_port()
    issuer = tokens(f"http://127.0.0.1:{port}")
    mapping = server(settings, issuer.url, port=port, store__sts_endpoint=ceph.settings["endpoint"]).start()
    client = Client(mapping.url, issuer.token("ann"))
    proxy.network(False)
    reply = client.session()
    assert reply.status == 503 and "retry-after" in reply.headers, reply
    assert ceph.settings["endpoint"].split("//")[1] not in reply.body.decode(), "inner addresses stay inside"
    proxy.network(True)
    assert client.session().status in (200, 201)


# Running it

def test_an_orderly_end(scene):
    """SIGTERM during first logins: each that is under way gets its answer, and the process ends with 0."""
    issued = [scene.issuer.token(f"late-{number}") for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = [pool.submit(Client(scene.url, token).session) for token in issued]
        time.sleep(0.03)
        os.kill(scene.server.process.pid, signal.SIGTERM)
        answered = []
        for reply in replies:
            try:
                answered.append(reply.result().status)
            except OSError:
                pass  # came after the listener was closed
    assert scene.server.process.wait(PATIENCE) == 0
    assert set(answered) <= {200, 201, 503} and 201 in answered, answered
    scene.server.start()
    assert all(Client(scene.url, token).session().status in (200, 201) for token in issued)


def test_nothing_secret_is_logged(each_scene):
    ann = each_scene.person()
    ann.do(b"x", op="put", key="k", size=1)
    ann.grant(op="delete_many", keys=[{"key": "k"}])
    Client(each_scene.url, ann.token + "x").session()
    text = each_scene.server.text()
    for secret in (ann.token, ann.token.split(".")[2], "X-Amz-Signature", "Signature=", each_scene.store.secret_key,
                   "Security-Token", "SessionToken"):
        assert secret not in text, secret
    environment = Path(f"/proc/{each_scene.server.process.pid}/cmdline").read_bytes().decode()
    assert each_scene.store.secret_key not in environment


def test_sd_notify(scene, root, build):
    path = root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(60)
        scene.server.process.end()
        env = {**{k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "AWS_"))}, "NOTIFY_SOCKET": str(path)}
        process = Process([build.server, "--config", scene.server.config], root / "notified.log", env=env)
        try:
            assert listener.recv(100) == b"READY=1"
            assert send("GET", f"{scene.url}/healthz").status == 200
            os.kill(process.pid, signal.SIGTERM)
            assert listener.recv(100) == b"STOPPING=1"
            assert process.wait(PATIENCE) == 0
        finally:
            process.end()


def test_users_list_and_show(scene):
    bucket = scene.person("ann").bucket
    scene.person("bob")
    listed = json.loads(users(scene, "list", "--json"))
    assert [user["email"] for user in listed] == ["ann@example.com", "bob@example.com"]
    assert listed[0]["bucket"] == bucket and listed[0]["state"] == "ready"
    assert users(scene, "list").splitlines()[0].split("\t")[:3] == ["ann@example.com", "ready", bucket]
    assert json.loads(users(scene, "show", "ANN@example.com", "--json"))["subject"] == "ann"
    assert "bucket     " + bucket in users(scene, "show", "ann@example.com")
    assert "nobody@example.com" in users(scene, "show", "nobody@example.com", code=1)
    users(scene, "frobnicate", code=2)


def test_a_suspended_account_is_cut_off_and_comes_back(scene):
    ann, bob = scene.person("ann"), scene.person("bob")
    wanted = {"items": [{"op": "get", "key": "k"}]}
    users(scene, "suspend", "ann@example.com")
    assert json.loads(users(scene, "show", "ann@example.com", "--json"))["state"] == "suspended"
    assert ann.session().status == 403
    reply = ann.ask("POST", "/v1/grants", wanted)
    fresh = scene.client("ann").ask("POST", "/v1/grants", wanted)
    assert fresh.status == 403 and reply.status == 403 and b"suspended" in fresh.body
    assert bob.ask("POST", "/v1/grants", wanted).status == 200
    users(scene, "resume", "ann@example.com")
    assert ann.session().status == 200
    assert "nobody@example.com" in users(scene, "suspend", "nobody@example.com", code=1)


def test_an_account_that_was_removed_gets_its_bucket_back(scene):
    ann = scene.person("ann")
    users(scene, "remove", "ann@example.com")
    assert users(scene, "list") == ""
    again = scene.person("ann")
    assert again.bucket == ann.bucket


def test_a_backup_while_the_server_runs(scene, root):
    ann = scene.person("ann")
    users(scene, "backup", str(root / "copy.db"))
    scene.person("bob")
    scene.server.process.end()
    for name in ("accounts.db-wal", "accounts.db-shm"):
        (scene.server.folder / name).unlink(missing_ok=True)
    (root / "copy.db").replace(scene.server.folder / "accounts.db")
    assert [u["email"] for u in json.loads(users(scene, "list", "--json"))] == ["ann@example.com"]
    assert json.loads(users(scene, "show", "ann@example.com", "--json"))["bucket"] == ann.bucket


def test_a_restored_backup_knows_its_people_and_finds_the_others_again(scene, root):
    """As README says: stop, copy, remove what SQLite keeps beside it, start."""
    before = scene.person("ann").bucket
    users(scene, "backup", str(root / "copy.db"))
    after = scene.person("bob").bucket
    assert scene.server.process.stop() == 0
    database = scene.server.folder / "accounts.db"
    shutil.copy(root / "copy.db", database)
    for beside in ("-wal", "-shm"):
        Path(f"{database}{beside}").unlink(missing_ok=True)
    scene.server.start()
    known = scene.client("ann").session()
    assert known.status == 200 and known.json["bucket"]["name"] == before
    found = scene.client("bob").session()
    assert found.status == 201 and found.json["bucket"]["name"] == after


def test_metrics_for_operators(scene):
    ann = scene.person("ann")
    ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k"}, {"op": "get", "key": "l"}, {"op": "fly", "key": "k"}]})
    send("POST", f"{scene.url}/v1/session", {"Authorization": "Bearer nonsense"}, b"{}")
    text = metrics_of(scene)
    assert value_of(text, 'pail_requests_total{path="session",status="201"}') == 1
    assert value_of(text, 'pail_requests_total{path="session",status="401"}') == 1
    assert value_of(text, 'pail_grants_total{op="get"}') == 2
    assert value_of(text, 'pail_refusals_total{code="bad_item"}') == 1
    assert value_of(text, 'pail_refusals_total{code="token"}') == 1
    assert value_of(text, "pail_buckets_made_total") == 1 and value_of(text, "pail_ready") == 1
    assert 0 <= value_of(text, "pail_jwks_age_seconds") < 3600
    for secret in ("ann", "example.com", ann.bucket):
        assert secret not in text
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=text.encode(), check=True, capture_output=True)


def test_metrics_are_not_for_everybody(tokens, server, embedded, scene):
    assert send("GET", f"{scene.url}/metrics", {"X-Forwarded-For": "203.0.113.9"}).status == 404
    assert send("GET", f"{scene.url}/metrics", {"Via": "1.1 proxy"}).status == 404
    assert send("GET", f"{embedded.demo_url}/metrics").status == 404, "other users of the machine are on loopback too"
    elsewhere = Scene(tokens, server, embedded, server__metrics_from="203.0.113.9").start()
    assert send("GET", f"{elsewhere.url}/metrics").status == 404


def test_other_paths_and_methods(scene):
    assert send("GET", f"{scene.url}/nothing").status == 404
    assert send("GET", f"{scene.url}/v1/session").status == 405
    assert send("POST", f"{scene.url}/healthz", {}, b"").status == 405
    assert send("HEAD", f"{scene.url}/healthz").status == 200
    assert send("GET", f"{scene.url}/readyz").status == 200


@pytest.mark.filterwarnings("ignore:.*TLSv1_1.*:DeprecationWarning")
def test_tls(tokens, server, embedded, root):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", root / "key.pem", "-out", root / "cert.pem"],
                   check=True, capture_output=True)
    port = free_port()
    issuer = tokens(f"https://127.0.0.1:{port}")
    mapping = server(embedded.settings, issuer.url, port=port, audience=issuer.audience,
                     server__tls_certificate=root / "cert.pem", server__tls_key=root / "key.pem",
                     server__public_url=f"https://127.0.0.1:{port}")
    process = Process([mapping.build.server, "--config", mapping.config], root / "tls.log")
    try:
        process.wait_for("Listening")
        import ssl
        import urllib.request
        context = ssl.create_default_context(cafile=root / "cert.pem")
        request = urllib.request.Request(f"https://127.0.0.1:{port}/v1/session", b"{}", method="POST",
                                         headers={"Authorization": f"Bearer {issuer.token('tls')}"})
        with urllib.request.urlopen(request, context=context, timeout=PATIENCE) as reply:
            assert reply.status == 201
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(root / "cert.pem")
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            with socket.create_connection(("127.0.0.1", port)) as plain:
                old.wrap_socket(plain, server_hostname="127.0.0.1")
    finally:
        process.end()


# Settings

@pytest.mark.parametrize("changed, expected", [
    ({"endpoint": "nonsense"}, 'endpoint = "nonsense"'),
    ({"endpoint": "http://127.0.0.1:1"}, "store:"),
    ({"secret_key": "wrong"}, "store:"),
])
def test_check_names_what_is_wrong(tokens, server, embedded, changed, expected):
    port = free_port()
    issuer = tokens(f"http://127.0.0.1:{port}")
    mapping = server({**embedded.settings, **changed}, issuer.url, port=port)
    done = subprocess.run([mapping.build.server, "--check", "--config", mapping.config], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode
    assert expected in done.stdout + done.stderr, done


def test_check_says_what_the_store_honours(ceph_scene):
    done = subprocess.run([ceph_scene.server.build.server, "--check", "--config", ceph_scene.server.config], capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == 0, done
    assert "login provider: fine" in done.stdout and "store: fine" in done.stdout
    assert "the store honours: content_md5" in done.stdout and "role's keys" in done.stdout


def test_no_core_is_left(scene, root):
    os.kill(scene.server.process.pid, signal.SIGABRT)  # a sanitizer would take SIGSEGV for its own
    wait_until(lambda: not scene.server.process.running(), "the end of pail-server")
    assert not list(scene.server.folder.rglob("core*")) and not list(root.rglob("core*"))
