"""Credentials mode on Ceph RGW's STS: keys that the server lends, what they reach, who gets none, and mounts that sign by
themselves."""
import contextlib
import functools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import urllib.request

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from lib import files
from lib.ports import free_port
from lib.processes import PATIENCE, wait_until
from lib.server_client import Client, send
from lib.server_tokens import TokenIssuer
from lib.stack import CephStack

TAKE_ON = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/pail"]}, "Action": ["sts:AssumeRole"]}


class Scene:
    """An issuer and a mapping server before a store."""

    def __init__(self, root, closing, server, settings, **more):
        port = free_port()
        self.issuer = TokenIssuer(root, f"http://127.0.0.1:{port}")
        closing.callback(self.issuer.close)
        self.server = server(settings, self.issuer.url, port=port, **more)
        self.url = self.server.url

    def modes(self):
        return send("GET", f"{self.url}/.well-known/pail-configuration").json["modes"]

    def person(self, subject="ann"):
        client = Client(self.url, self.issuer.token(subject))
        reply = client.session()
        assert reply.status in (200, 201), reply
        client.bucket = reply.json["bucket"]
        return client

    def change(self, sql, *values):
        """In the accounts, as an administrator's command would; the server notices within its memory of tokens."""
        with contextlib.closing(sqlite3.connect(self.server.folder / "accounts.db", timeout=PATIENCE)) as database, database:
            assert database.execute(sql, values).rowcount == 1

    def check(self):
        return subprocess.run([self.server.build.server, "--check", "--config", self.server.config], capture_output=True,
                              text=True, timeout=PATIENCE)


@pytest.fixture
def make_scene(root, closing, server):
    return functools.partial(Scene, root, closing, server)


@pytest.fixture
def scene(make_scene, ceph):
    made = make_scene(ceph.settings, store__offer_credentials="yes")
    made.server.start()
    return made


def lend(client):
    return client.ask("GET", "/v1/credentials")


def aws(service, endpoint, keys):
    """botocore, with what a person holds in their hand. Its queries go without a charset, which Ceph 16 does not read."""
    client = botocore.session.Session().create_client(
        service, region_name="us-east-1", endpoint_url=endpoint, aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"], aws_session_token=keys["session_token"],
        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}))
    if service != "s3":
        client.meta.events.register("before-call", lambda params, **_: params["headers"].update(
            {"Content-Type": "application/x-www-form-urlencoded"}))
    return client


# What the server lends

def test_the_keys_come_as_the_contract_says(scene):
    assert scene.modes() == ["presigned", "credentials"]
    reply = lend(scene.person())
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"
    keys = reply.json
    assert set(keys) == {"access_key_id", "secret_access_key", "session_token", "expires_in", "by_grant", "server_time"}
    assert 600 < keys["expires_in"] <= 900
    assert keys["by_grant"] == ["delete_many", "part_copy"]  # Ceph 16 denies these to keys with a session policy
    log = scene.server.text()
    assert not any(keys[name] in log for name in ("access_key_id", "secret_access_key", "session_token"))


def test_two_people_get_different_keys_and_one_of_them_the_same(scene):
    ann, bob = scene.person("ann"), scene.person("bob")
    first, again, other = lend(ann).json, lend(ann).json, lend(bob).json
    assert first["access_key_id"] == again["access_key_id"] != other["access_key_id"]


def test_nobody_else_gets_any(scene):
    client = scene.person()
    assert client.ask("GET", "/v1/credentials", token=None).status == 401
    assert client.ask("GET", "/v1/credentials", token="nonsense").status == 401
    assert client.ask("POST", "/v1/credentials", {}).status == 405
    stranger = Client(scene.url, scene.issuer.token("stranger"))  # logged in, without an account yet
    reply = lend(stranger)
    assert reply.status == 404 and reply.code == "not_found"


def test_an_account_with_a_quota_and_one_that_is_suspended(scene):
    ann, bob = scene.person("ann"), scene.person("bob")
    assert lend(ann).status == lend(bob).status == 200
    scene.change("UPDATE account SET quota = 1000000000 WHERE email = ?", "ann@example.com")
    subprocess.run([scene.server.build.server, "--config", scene.server.config, "users", "suspend", "bob@example.com"],
                   check=True, capture_output=True)
    fresh = Client(scene.url, scene.issuer.token("ann", jti="fresh"))  # no token that is remembered with its account
    counted = lend(fresh)
    assert counted.status == 403 and counted.code == "quota" and "quota" in counted.json["error"]["message"]
    denied = lend(Client(scene.url, scene.issuer.token("bob", jti="fresh")))
    assert denied.status == 403 and denied.code == "denied" and "suspended" in denied.json["error"]["message"]
    assert "url" in fresh.grant(op="get", key="k")  # grants serve as ever


# Where it is not offered

def test_it_is_off_by_default(make_scene, ceph):
    scene = make_scene(ceph.settings)
    scene.server.start()
    assert scene.modes() == ["presigned"]
    reply = lend(scene.person())
    assert reply.status == 404 and reply.code == "not_offered"


def test_without_a_role_it_is_a_wrong_setting(make_scene, ceph):
    settings = {name: value for name, value in ceph.settings.items() if name != "role_arn"}
    done = make_scene(settings, store__offer_credentials="yes").check()
    assert done.returncode == 2
    assert 'offer_credentials = "yes" needs role_arn' in done.stdout + done.stderr


def test_a_role_that_its_own_keys_can_take_on_is_not_lent(make_scene, ceph):
    """They would leave their session policy behind, and reach every bucket."""
    loose = ceph.make_role("loose", TAKE_ON)
    scene = make_scene({**ceph.settings, "role_arn": loose}, store__offer_credentials="yes")
    scene.server.start()
    assert scene.modes() == ["presigned"]
    client = scene.person()
    reply = lend(client)
    assert reply.status == 404 and reply.code == "not_offered"
    assert client.do(op="put", key="k", size=1, body=b"x").status == 200
    assert re.search("Temporary keys are not offered: .*take on the role anew", scene.server.text())
    done = scene.check()
    assert done.returncode and "temporary keys for clients: " in done.stdout
    assert "offer_credentials" in done.stdout and "sts:AssumeRole" in done.stdout
    assert scene.server.process.stop() == 0
    ceph.admin("role", "modify", "--role-name=loose", "--assume-role-policy-doc=" + json.dumps(
        {"Version": "2012-10-17", "Statement": [TAKE_ON, {**TAKE_ON, "Effect": "Deny", "Principal": {"AWS": [loose]}}]}))
    scene.server.start()  # once it is mended, the next start sees it
    assert scene.modes() == ["presigned", "credentials"]
    done = scene.check()
    assert done.returncode == 0 and "temporary keys for clients: fine" in done.stdout, done


# What the keys reach

def own_uses(s3, bucket):
    """All that they are for."""
    version = s3.put_object(Bucket=bucket, Key="own/file", Body=b"mine")["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="own/file")["Body"].read() == b"mine"
    assert s3.get_object(Bucket=bucket, Key="own/file", VersionId=version)["Body"].read() == b"mine"
    assert s3.list_objects_v2(Bucket=bucket, Prefix="own/")["KeyCount"] == 1
    assert s3.list_object_versions(Bucket=bucket)["Versions"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="own/big")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="own/big", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    assert s3.list_parts(Bucket=bucket, Key="own/big", UploadId=upload)["Parts"]
    s3.complete_multipart_upload(Bucket=bucket, Key="own/big", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="own/never")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="own/never", UploadId=upload)
    s3.delete_object(Bucket=bucket, Key="own/big")
    return version


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status in (403, 405), f"{call.__name__} {arguments}: {caught.value}"


def test_the_keys_reach_one_account_only(scene, ceph):
    ann, bob = scene.person("ann"), scene.person("bob")
    own, other = ann.bucket["name"], bob.bucket["name"]
    ceph.s3.put(other, "own/file", b"bob's")
    keys = lend(ann).json
    s3, sts, iam = (aws(service, ceph.settings["endpoint"], keys) for service in ("s3", "sts", "iam"))
    version = own_uses(s3, own)

    refused(s3.get_object, Bucket=other, Key="own/file")
    refused(s3.head_object, Bucket=other, Key="own/file")
    refused(s3.put_object, Bucket=other, Key="own/new", Body=b"x")
    refused(s3.put_object, Bucket=other, Key="own/file", Body=b"x")
    refused(s3.delete_object, Bucket=other, Key="own/file")
    refused(s3.copy_object, Bucket=own, Key="own/stolen", CopySource=f"{other}/own/file")
    refused(s3.copy_object, Bucket=other, Key="own/given", CopySource=f"{own}/own/file")
    refused(s3.create_multipart_upload, Bucket=other, Key="own/new")
    upload = s3.create_multipart_upload(Bucket=own, Key="own/parts")["UploadId"]
    refused(s3.upload_part_copy, Bucket=own, Key="own/parts", UploadId=upload, PartNumber=1,
            CopySource=f"{other}/own/file")
    for listing in (s3.list_objects_v2, s3.list_objects, s3.list_object_versions, s3.list_multipart_uploads, s3.head_bucket):
        refused(listing, Bucket=other)
    for prefix in ("", "own/", own):
        refused(s3.list_objects_v2, Bucket=other, Prefix=prefix)
    refused(s3.list_buckets)
    refused(s3.create_bucket, Bucket=f"{own[:-3]}new")
    refused(s3.delete_bucket, Bucket=other)
    refused(s3.delete_bucket, Bucket=own)
    refused(s3.delete_object, Bucket=own, Key="own/file", VersionId=version)
    for bucket in (own, other):
        settings_are_closed(s3, bucket)

    refused(sts.assume_role, RoleArn=ceph.settings["role_arn"], RoleSessionName="again")
    refused(sts.get_session_token)
    trust = json.dumps({"Version": "2012-10-17", "Statement": [TAKE_ON]})
    refused(iam.create_role, RoleName="mine", AssumeRolePolicyDocument=trust)
    refused(iam.update_assume_role_policy, RoleName="pail", PolicyDocument=trust)
    refused(iam.put_role_policy, RoleName="pail", PolicyName="more", PolicyDocument=trust)
    refused(iam.put_user_policy, UserName="pail", PolicyName="more", PolicyDocument=trust)

    assert ceph.s3.get(other, "own/file").body == b"bob's" and set(ceph.s3.contents(other)) == {"own/file"}
    assert version in {each.get("VersionId") for each in
                       aws("s3", ceph.settings["endpoint"], keys).list_object_versions(Bucket=own)["Versions"]}


def settings_are_closed(s3, bucket):
    public = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}]})
    refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read")
    refused(s3.get_bucket_acl, Bucket=bucket)
    refused(s3.put_object_acl, Bucket=bucket, Key="own/file", ACL="public-read")
    refused(s3.put_bucket_policy, Bucket=bucket, Policy=public)
    refused(s3.delete_bucket_policy, Bucket=bucket)
    refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    refused(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={
        "Rules": [{"ID": "x", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 1}}]})
    refused(s3.delete_bucket_lifecycle, Bucket=bucket)
    refused(s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": [{"Key": "pail-account", "Value": "mine"}]})
    refused(s3.put_public_access_block, Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": False})
    refused(s3.delete_public_access_block, Bucket=bucket)
    refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})


def test_a_public_access_list_opens_nothing(scene, ceph):
    ann = scene.person()
    s3 = aws("s3", ceph.settings["endpoint"], lend(ann).json)
    with contextlib.suppress(botocore.exceptions.ClientError):  # whether it is taken is the store's business
        s3.put_object(Bucket=ann.bucket["name"], Key="open", Body=b"x", ACL="public-read")
    assert send("GET", f"{ceph.settings['endpoint']}/{ann.bucket['name']}/open").status in (403, 404)


# The client

@pytest.mark.slow
def test_conformance(scene, root, build):
    token = root / "token"
    token.write_text(scene.issuer.token("ann"))
    done = subprocess.run([build.folder / "tests" / "conformance" / "conformance", "--server", scene.url,
                           "--token-file", token, "--mode", "credentials"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert int(re.search(r"PASSED  \] (\d+) test", done.stdout + done.stderr).group(1)) >= 36
    assert granted(scene.url) <= {"delete_many", "part_copy"}


def granted(url):
    """The operations that the server has signed so far."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE) as reply:
        text = reply.read().decode()
    return {op for op, count in re.findall(r'^pail_grants_total\{op="(\w+)"\} (\d+)$', text, re.M) if int(count)}


@pytest.fixture
def stack(root, build, ceph, issuer, server, faultproxy, closing, request):
    """A whole service; its server lends keys unless the test says otherwise."""
    folder = root / "ceph"
    folder.mkdir()
    settings = getattr(request, "param", {"store__offer_credentials": "yes"})
    made = CephStack(folder, build, ceph, issuer, functools.partial(server, **settings), faultproxy)
    closing.callback(made.close)
    return made


def work_in(folder):
    """What people do; returns what must be there at the end."""
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_bytes(b"first")
    (folder / "notes" / "a.txt").write_bytes(b"second, and longer")
    os.rename(folder / "notes" / "a.txt", folder / "notes" / "b.txt")
    (folder / "big").write_bytes(files.pattern(80 << 20, 1))  # beyond what one part takes
    shutil.copyfile(folder / "notes" / "b.txt", folder / "copy with a space & more+%.txt")
    many = folder / "many"
    many.mkdir()
    for number in range(60):
        (many / f"{number:03d}").write_bytes(b"%d" % number)
    os.rename(many, folder / "renamed")
    gone = folder / "gone"
    gone.mkdir()
    for number in range(40):
        (gone / f"{number}").write_bytes(b"x")


def test_a_mount_that_signs_by_itself(stack):
    ann = stack.person()
    folder = ann.mount("--mode=credentials")
    assert ann.status()["mode"] == "credentials" and "mode_why" not in ann.status()
    assert "credentials: signed on this machine" in ann.pail("status").out
    work_in(folder)
    ann.sync()
    shutil.rmtree(folder / "gone")
    with open(folder / "big", "r+b") as big:  # a change in the middle of something big
        big.seek(40 << 20)
        big.write(b"changed")
    ann.sync()
    expected = {**{f"renamed/{n:03d}": b"%d" % n for n in range(60)}, "notes/b.txt": b"second, and longer",
                "copy with a space & more+%.txt": b"second, and longer"}
    contents = stack.s3.contents(stack.bucket_of(ann))
    assert {key: body for key, body in contents.items() if not key.endswith("/") and key != "big"} == expected
    big = bytearray(files.pattern(80 << 20, 1))
    big[40 << 20:(40 << 20) + 7] = b"changed"
    assert contents["big"] == bytes(big)
    ann.umount()
    shutil.rmtree(ann.cache)
    folder = ann.mount("-o", "mode=credentials")  # as in fstab; and everything comes from the bucket
    assert (folder / "big").read_bytes() == bytes(big)
    assert sorted(os.listdir(folder / "renamed")) == [f"{n:03d}" for n in range(60)]
    assert granted(stack.url) <= {"delete_many", "part_copy"}
    ann.umount()
    secrets_show_nowhere(stack, ann)


def secrets_show_nowhere(stack, ann):
    """Neither keys nor signed addresses, in any log or on disk."""
    for place in (ann.home, stack.server.folder):
        for path in place.rglob("*"):
            if path.is_file() and path.name != "server.ini":
                data = path.read_bytes()
                assert b"X-Amz-Signature" not in data and b"secret_access_key" not in data, path
                assert b"session_token" not in data and b"X-Amz-Security-Token" not in data, path


def test_two_people_side_by_side(stack):
    ann, bob = stack.person("ann"), stack.person("bob")
    for person in (ann, bob):
        (person.mount("--mode=credentials") / "name").write_text(person.name)
        person.sync()
    for person in (ann, bob):
        assert stack.s3.contents(stack.bucket_of(person)) == {"name": person.name.encode()}
        person.umount()


@pytest.mark.parametrize("stack", [{}], indirect=True)
def test_a_server_that_does_not_offer_it_is_said_at_once(stack):
    ann = stack.person()
    done = ann.pail("mount", ann.folder, "--mode=credentials", code=2)
    assert "does not offer --mode=credentials" in done.err and not ann.mount_pids()
    assert "presigned or credentials" in ann.pail("mount", ann.folder, "--mode=keys", code=2).err
    ann.mount()
    assert ann.status()["mode"] == "presigned"
    ann.umount()


def test_an_account_with_a_quota_is_served_by_grants(stack):
    ann = stack.person()
    ann.mount()  # its bucket is made
    ann.umount()
    with contextlib.closing(sqlite3.connect(stack.server.folder / "accounts.db", timeout=PATIENCE)) as database, database:
        assert database.execute("UPDATE account SET quota = 1000000000").rowcount == 1
    stack.server_stop()
    stack.server_start()  # it remembers nobody
    folder = ann.mount("--mode=credentials")
    (folder / "file").write_bytes(b"counted")
    ann.sync()
    status = ann.status()
    assert status["mode"] == "presigned" and "quota" in status["mode_why"]
    assert "presigned: by the server; " in ann.pail("status").out
    assert stack.s3.contents(stack.bucket_of(ann)) == {"file": b"counted"}
    assert "put" in granted(stack.url)
    ann.umount()


def test_a_mount_starts_without_the_server_and_signs_when_it_is_back(stack):
    ann = stack.person()
    folder = ann.mount("--mode=credentials")
    assert os.listdir(folder) == []  # known from here on
    ann.umount()
    stack.server_stop()
    ann.mount("--mode=credentials")
    (folder / "later").write_bytes(b"written while it was away")
    assert ann.status()["mode_why"]
    stack.server_start()
    wait_until(lambda: stack.s3.contents(stack.bucket_of(ann)) == {"later": b"written while it was away"}, "the upload")
    assert ann.status()["mode"] == "credentials" and "mode_why" not in ann.status()
    assert granted(stack.url) == set()
    ann.umount()


def test_keys_last_while_the_server_is_away(stack):
    """Grants would have to be asked for; with keys at hand nothing is."""
    ann = stack.person()
    folder = ann.mount("--mode=credentials")
    (folder / "before").write_bytes(b"1")
    ann.sync()
    stack.server_stop()
    (folder / "after").write_bytes(b"2")
    ann.sync()
    assert stack.s3.contents(stack.bucket_of(ann)) == {"before": b"1", "after": b"2"}
    stack.server_start()
    ann.umount()
