"""No account reaches another. Eve, who knows everything about the victim's files but what is in them (bucket, prefix, keys, version
ids, upload ids, tokens), tries each operation that can be granted, in each way that somebody has thought of, in both layouts on
both kinds of store. The rule is one for all: nothing of the victim's is read, changed, listed or deleted, nothing of hers turns
up in Eve's files or outside everybody's, and no stranger can read anything. Requests go out byte for byte, not normalised."""
import base64
import contextlib
import hashlib
import itertools
import json
import re
import sqlite3
import time
import urllib.parse
import uuid

import pytest

from lib.processes import PATIENCE, Process
from lib.scene import Embedded, Scene
from lib.server import MappingServer
from lib.server_client import send, send_pairs, send_raw
from lib.server_tokens import TokenIssuer

LIFE_S = 60
ALL_USERS = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'


class Place(Scene):
    """One store and one mapping server for all tests of a layout."""

    def __init__(self, kind, layout, folder, build, store, closing):
        self.kind, self.layout = kind, layout
        self.numbers, self.prefixes, self.pair = itertools.count(1), [], None

        def tokens(audience):
            issuer = TokenIssuer(folder, audience)
            closing.callback(issuer.close)
            return issuer

        def server(*arguments, **more):
            made = MappingServer(build, folder / "server", *arguments, **more)
            closing.callback(made.close)
            return made
        super().__init__(tokens, server, store, store__layout=layout, store__grant_life_s=LIFE_S,
                         server__log="info")
        self.start()

    def person(self, subject, prefix=None):
        client = super().person(subject)
        if self.layout == "prefix" and prefix:  # the server's own never begin with one another: these do
            with contextlib.closing(sqlite3.connect(self.server.folder / "accounts.db", timeout=PATIENCE)) as database, database:
                database.execute("UPDATE account SET prefix=? WHERE email=?", (prefix, f"{subject}@example.com"))
            client = super().person(subject)
        client.prefix = client.session().json["bucket"]["prefix"]
        self.prefixes.append(client.prefix)
        return client

    def strays(self, bucket):
        """Keys that are nobody's."""
        return [key for key in self.store.list(bucket) if not key.startswith(tuple(self.prefixes))]


@pytest.fixture(scope="module", params=["embedded-bucket", "embedded-prefix", "ceph-bucket", "ceph-prefix"])
def place(request, module_root, build):
    kind, layout = request.param.split("-")
    folder = module_root / request.param
    folder.mkdir()
    with contextlib.ExitStack() as closing:
        def start(*arguments, log):
            process = Process(arguments, folder / log)
            closing.callback(process.end)
            return process
        store = request.getfixturevalue("ceph") if kind == "ceph" else Embedded(start, build, folder)
        made = Place(kind, layout, folder, build, store, closing)
        made.early = Pair(made)
        made.early_grants = made.early.own_grants()
        made.early_at = time.time()
        yield made


@pytest.fixture
def pair(place, request):
    """The same two for test after test, until one fails; what Eve has is made anew each time."""
    if not place.pair:
        place.pair = Pair(place)
    place.pair.renew()
    yield place.pair
    if getattr(request.node, "failed", False):
        place.pair = None


def text_of(name, reply):
    return re.search(rf"<{name}>(.+?)</{name}>", reply.body.decode()).group(1)


def complete_body(etag):
    return f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>".encode()


class Pair:
    """own and foreign: what Eve's keys begin with, and what leads to the victim's from where Eve's lie."""

    def __init__(self, place):
        self.place, number = place, next(place.numbers)
        self.victim = place.person(f"victim{number}", f"acct{number}x/")
        self.eve = place.person(f"eve{number}", f"acct{number}/")
        self.own = self.eve.prefix
        self.foreign = self.victim.prefix or f"{self.victim.bucket}/"
        self.secret, self.hidden = f"secret-{uuid.uuid4().hex}", f"hidden-{uuid.uuid4().hex}"
        self._fill(self.victim, self.secret.encode())
        self.renew()
        self.before = self.snapshot()

    def renew(self):
        for key in self.place.store.list(self.eve.bucket, self.own):
            self.place.store.delete(self.eve.bucket, key)
        self._fill(self.eve, b"mine")

    def _fill(self, who, content):
        at, who.size = who.prefix, len(content)
        for key in ("file", "file", "sub/one", *([self.hidden] if who is self.victim else [])):
            assert who.do(content, op="put", key=at + key, size=len(content),
                          headers={"x-amz-meta-note": content.decode()}).status == 200
        who.version = who.do(op="head", key=f"{at}file").headers["x-amz-version-id"]
        who.upload = text_of("UploadId", who.do(op="create", key=f"{at}up"))
        who.etag = who.do(content, op="part", key=f"{at}up", upload=who.upload, first=1, count=1,
                          size=len(content)).headers["etag"]
        who.page_token = text_of("NextContinuationToken", who.do(op="list", prefix=at, max_keys=1))

    def snapshot(self):
        """All that the victim has: every version with its bytes, and the open upload with its parts."""
        store, bucket, at = self.place.store, self.victim.bucket, self.victim.prefix
        versions = [(key, version, latest, marker, None if marker else store.get(bucket, key, query={"versionId": version}).body)
                    for key, version, latest, marker in store.versions(bucket, at)]
        return versions, store.parts(bucket, f"{at}up", self.victim.upload)

    def attempt(self, item, body=None, then=None):
        """Asks for a grant; if there is one, uses it as it is, or as then(grant, body) does."""
        reply = self.eve.ask("POST", "/v1/grants", {"items": [item]})
        if reply.status != 200 or "error" in reply.json["grants"][0]:
            return [reply]
        grant = reply.json["grants"][0]
        return [reply, then(grant, body) if then else self.eve.use(grant, body)]

    def assert_unharmed(self, replies):
        for what, reply in replies:
            told = reply.body.decode("latin-1") + str(reply.headers)
            assert self.secret not in told and self.hidden not in told, f"told by {what}: {reply}"
        assert self.snapshot() == self.before, f"changed by one of {[what for what, _ in replies]}"
        store, eve, victim = self.place.store, self.eve, self.victim
        for key in store.list(eve.bucket, eve.prefix):
            assert self.secret.encode() not in store.get(eve.bucket, key, good=None).body, f"{key} has the victim's bytes"
        if self.place.layout == "prefix":
            assert not self.place.strays(eve.bucket)
        self.assert_nothing_is_public(eve, victim)

    def assert_nothing_is_public(self, *people):
        for who in people:
            url = f"{self.place.store.endpoint}/{who.bucket}"
            for key in self.place.store.list(who.bucket, who.prefix):
                path = urllib.parse.quote(key, safe="/-_.~")
                assert send("GET", f"{url}/{path}").status in (400, 403, 404), f"strangers can read {key}"
            for query in ("", f"?list-type=2&prefix={who.prefix}", "?versions", "?uploads"):
                assert send("GET", url + query).status in (400, 403, 404), f"strangers can list {query}"
            assert send("PUT", f"{url}/{who.prefix}file", {}, b"forged").status in (400, 403, 404), "strangers can write"

    # What can be asked for, with this key as its target and all that is known of the victim's upload.

    def item(self, op, key, who=None):
        who = who or self.victim
        upload = {"upload": who.upload}
        more = {
            "put": {"size": 6},
            "copy": {"source": f"{self.own}file", "directive": "COPY"},
            "part": {**upload, "first": 1, "count": 1, "size": 6},
            "part_copy": {**upload, "number": 1, "source": f"{self.own}file", "range": "bytes=0-3"},
            "complete": {**upload, "total": who.size},
            "abort": upload,
            "list_parts": upload,
        }.get(op, {})
        if op == "delete_many":
            return {"op": op, "keys": [{"key": key}]}
        if op in ("list", "list_versions"):
            return {"op": op, "prefix": key, **more}
        return {"op": op, "key": key, **more}

    def body(self, op, who=None):
        return {"put": b"forged", "part": b"forged", "complete": complete_body((who or self.victim).etag)}.get(op)

    def own_grants(self):
        """[(op, grant, body)]: one of each, for Eve's own files, which serve as they are."""
        eve, at = self.eve, self.own
        made = eve.do(op="create", key=f"{at}more")
        fresh = text_of("UploadId", made)
        etag = eve.do(b"forged", op="part", key=f"{at}more", upload=fresh, first=1, count=1, size=6).headers["etag"]
        spare = text_of("UploadId", eve.do(op="create", key=f"{at}spare"))
        items = [
            {"op": "get", "key": f"{at}file"}, {"op": "head", "key": f"{at}file"}, {"op": "put", "key": f"{at}new", "size": 6},
            {"op": "copy", "key": f"{at}copy", "source": f"{at}file", "directive": "COPY"},
            {"op": "create", "key": f"{at}created"},
            {"op": "part", "key": f"{at}up", "upload": eve.upload, "first": 2, "count": 1, "size": 6},
            {"op": "part_copy", "key": f"{at}up", "upload": eve.upload, "number": 3, "source": f"{at}file", "range": "bytes=0-3"},
            {"op": "complete", "key": f"{at}more", "upload": fresh, "total": 6},
            {"op": "abort", "key": f"{at}spare", "upload": spare}, {"op": "list_parts", "key": f"{at}up", "upload": eve.upload},
            {"op": "list", "prefix": at}, {"op": "list_versions", "prefix": at},
            {"op": "delete", "key": f"{at}nothing"}, {"op": "delete_many", "keys": [{"key": f"{at}nothing"}]},
        ]
        bodies = {"put": b"forged", "part": b"forged", "complete": complete_body(etag)}
        grants = eve.grants(*items)
        assert not [grant for grant in grants if "error" in grant]
        return [(item["op"], grant, bodies.get(item["op"])) for item, grant in zip(items, grants)]


def url_of(grant):
    return grant["url"] if "url" in grant else grant["urls"][0]


def with_url(grant, url):
    return {**{name: value for name, value in grant.items() if name != "urls"}, "url": url}


def body_of(grant, body):
    if body is None and "body" in grant:
        return grant["body"].encode()
    return b"" if body is None and grant["method"] in ("PUT", "POST") else body


OPERATIONS = ["get", "head", "put", "copy", "create", "part", "part_copy", "complete", "abort", "list_parts", "list", "list_versions",
              "delete", "delete_many"]


@pytest.mark.parametrize("op", OPERATIONS)
def test_each_attempt_is_one_that_works_for_its_owner(pair, op):
    """Otherwise the refusals below would prove nothing."""
    at = pair.victim.prefix
    key = {"list": at, "list_versions": at, "copy": f"{at}copy"}.get(op, f"{at}up" if "upload" in pair.item(op, "k") else f"{at}file")
    item = pair.item(op, key)
    if "source" in item:
        item["source"] = f"{at}file"
    item.update({"size": len(pair.secret)} if op == "put" else {})
    reply = pair.victim.do(pair.secret.encode() if op == "put" else pair.body(op), **item)
    pair.place.pair = None  # the next test gets another victim
    assert reply.status in (200, 204), reply


# By key: {O} own prefix, {V} the way to the victim's files, {B} the victim's bucket, {H} the store's host

KEYS = {
    "as it is": "{V}file",
    "one up": "{O}../{V}file",
    "two up": "{O}../../{V}file",
    "up in the middle": "{O}x/../../{V}file",
    "a dot before": "{O}./../{V}file",
    "dots encoded": "{O}%2e%2e/{V}file",
    "slash encoded": "{O}..%2f{V}file",
    "all encoded": "{O}%2e%2e%2f{V}file",
    "encoded twice": "{O}%252e%252e%252f{V}file",
    "encoded from the front": "%2e%2e%2f{V}file",
    "a leading slash": "/{V}file",
    "two leading slashes": "//{V}file",
    "a slash behind the own": "{O}/{V}file",
    "two behind the own": "{O}//../{V}file",
    "a dot behind the own": "{O}./{V}file",
    "the bucket before": "{B}/{V}file",
    "the bucket and a slash before": "/{B}/{V}file",
    "an address": "http://{H}/{B}/{V}file",
    "an ARN": "arn:aws:s3:::{B}/{V}file",
    "a version behind": "{O}file?versionId={version}",
    "a version encoded behind": "{O}file%3FversionId={version}",
    "the other's with a version": "{V}file?versionId={version}",
    "a prefix parameter": "{O}?prefix={V}",
    "a fragment": "{O}#/../{V}file",
    "a backslash": "{O}..\\{V}file",
    "wide dots": "{O}．．／{V}file",
    "a line break": "{O}\r\nx-amz-copy-source: /{B}/{V}file",
    "a tab": "{O}\t../{V}file",
    "nothing": "",
    "only a slash": "/",
    "only dots": "..",
    "the own prefix alone": "{O}",
    "the own prefix without its slash": "{o}",
    "the other's prefix alone": "{V}",
    "only up": "{O}../",
}


def filled(pair, form):
    return form.format(O=pair.own, o=pair.own[:-1], V=pair.foreign, B=pair.victim.bucket, H=pair.place.store.host,
                       version=pair.victim.version)


@pytest.mark.parametrize("op", OPERATIONS)
def test_by_key(pair, op):
    replies = []
    for name, form in KEYS.items():
        replies += [(name, reply) for reply in pair.attempt(pair.item(op, filled(pair, form)), pair.body(op))]
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("op", ["copy", "part_copy"])
@pytest.mark.parametrize("version", [False, True])
def test_by_source(pair, op, version):
    replies, at = [], pair.own
    for name, form in KEYS.items():
        item = pair.item(op, f"{at}up" if op == "part_copy" else f"{at}loot", pair.eve)
        item["source"] = filled(pair, form)
        if version:
            item["source_version"] = pair.victim.version
        if op == "copy":
            item["directive"] = "REPLACE"
        replies += [(name, reply) for reply in pair.attempt(item)]
        if op == "copy":
            replies.append((name, pair.eve.do(op="get", key=f"{at}loot")))
    if op == "part_copy":
        replies += assemble(pair)
    pair.assert_unharmed(replies)


def assemble(pair):
    """What has come into Eve's own upload is completed, for all to see."""
    etags = pair.place.store.parts(pair.eve.bucket, f"{pair.own}up", pair.eve.upload)
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(etags, 1))
    done = pair.eve.do(f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode(), op="complete", key=f"{pair.own}up",
                       upload=pair.eve.upload, total=0)
    return [("complete", done), ("get", pair.eve.do(op="get", key=f"{pair.own}up"))]


# What is no text at all, or none that S3 takes

MALFORMED = {
    "NUL": b'"{O}..\\u0000/{V}file"', "raw NUL": b'"{O}..\x00/{V}file"', "overlong slash": b'"{O}..\xc0\xaf{V}file"',
    "overlong dots": b'"{O}\xc0\xae\xc0\xae/{V}file"', "a lone surrogate": b'"{O}\\ud800/{V}file"',
    "a lone low surrogate": b'"{O}\\udc00{V}file"', "a surrogate in UTF-8": b'"{O}\xed\xa0\x80{V}file"', "no UTF-8": b'"{O}\xff{V}file"',
    "1,025 bytes": b'"{O}' + b"../" * 342 + b'{V}file"', "a number": b"7", "null": b"null", "true": b"true", "a list": b'["{V}file"]',
    "an object": b'{{"key":"{V}file"}}',
}


@pytest.mark.parametrize("op", OPERATIONS)
def test_what_is_no_key_gets_no_grant(pair, op):
    replies = []
    fields = ["prefix"] if op.startswith("list") and op != "list_parts" else ["key"]
    fields += ["source"] if op in ("copy", "part_copy") else []
    for name, value in MALFORMED.items():
        value = value.replace(b"{O}", pair.own.encode()).replace(b"{V}", pair.foreign.encode())
        value = value.replace(b"{{", b"{").replace(b"}}", b"}")
        for field in fields:
            item = json.dumps({**pair.item(op, f"{pair.own}file"), **({field: "HERE"} if op != "delete_many" else {})})
            item = item.replace(f'"key": "{pair.own}file"', '"key": "HERE"') if field == "key" else item
            assert '"HERE"' in item
            reply = pair.eve.ask("POST", "/v1/grants", body=b'{"items":[' + item.encode().replace(b'"HERE"', value) + b"]}")
            assert reply.status == 422 or reply.status == 200 and "error" in reply.json["grants"][0], (name, field, reply)
            replies.append((f"{name} as {field}", reply))
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("op", OPERATIONS)
def test_another_bucket_cannot_be_named(pair, op):
    """Fields, parameters and headers that some server might listen to."""
    at, replies = pair.own, []
    item = pair.item(op, at if op in ("list", "list_versions") else f"{at}file", pair.eve)
    for field in ("bucket", "account", "email", "owner", "host", "endpoint", "region", "user"):
        grant = pair.eve.grant(**item, **{field: pair.victim.bucket})
        assert grant["error"]["code"] == "bad_item", (field, grant)
    for name in ("x-pail-bucket", "x-pail-account", "x-amz-bucket", "x-forwarded-user", "x-remote-user", "x-original-url",
                 "x-rewrite-url", "x-forwarded-host", "x-http-method-override", "host"):
        reply = send("POST", f"{pair.eve.url}/v1/grants?bucket={pair.victim.bucket}",
                     {"Authorization": f"Bearer {pair.eve.token}", name: pair.victim.bucket}, json.dumps({"items": [item]}).encode())
        replies.append((name, reply))
        if reply.status == 200:
            assert "error" not in reply.json["grants"][0]
            url = url_of(reply.json["grants"][0])
            assert url.startswith(f"{pair.place.store.endpoint}/{pair.eve.bucket}"), (name, url)
    pair.assert_unharmed(replies)


# Ids that are somebody else's

UPLOADS = ["{upload}", "{upload}&uploadId={upload}", "{upload}%00", "../{V}up.{upload}", "{upload}/../../{V}up", "{V}up", "?{upload}"]


@pytest.mark.parametrize("op", ["part", "part_copy", "complete", "abort", "list_parts"])
def test_by_upload_id(pair, op):
    replies = []
    for form, key in itertools.product(UPLOADS, (f"{pair.own}up", f"{pair.own}file", f"{pair.own}../{pair.foreign}up")):
        item = {**pair.item(op, key), "upload": form.format(upload=pair.victim.upload, V=pair.foreign)}
        for reply in pair.attempt(item, pair.body(op)):
            assert reply.status >= 400 or op == "abort" or b"grants" in reply.body[:20], (item, reply)
            replies.append((f"{op} {form} at {key}", reply))
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("op", ["get", "head", "copy", "part_copy"])
def test_by_version_id(pair, op):
    """The same name, in Eve's own place, with the victim's version."""
    at, replies = pair.own, []
    _, old, *_ = [version for version in pair.place.store.versions(pair.victim.bucket, f"{pair.victim.prefix}file")][1]
    for version, key in itertools.product((pair.victim.version, old, f"{old}&versionId={old}", f"../{pair.foreign}file"),
                                          ("file", "nothing", "sub/one")):
        if op in ("get", "head"):
            item = {"op": op, "key": at + key, "version": version}
        else:
            item = {**pair.item(op, f"{at}up" if op == "part_copy" else f"{at}loot", pair.eve), "source": at + key,
                    "source_version": version}
        for reply in pair.attempt(item):
            assert reply.status >= 400 or b"grants" in reply.body[:20], (item, reply)
            replies.append((f"{version} of {key}", reply))
    pair.assert_unharmed(replies)


def test_a_version_is_never_deleted(pair):
    at, replies = pair.own, []
    for item in ({"op": "delete", "key": f"{at}file", "version": pair.victim.version},
                 {"op": "delete", "key": f"{at}file", "versionId": pair.victim.version},
                 {"op": "delete_many", "keys": [{"key": f"{at}file", "version": pair.victim.version}]},
                 {"op": "delete_many", "keys": [{"key": f"{at}file", "VersionId": pair.victim.version}]}):
        grant = pair.eve.grant(**item)
        assert grant["error"]["code"] == "bad_item", item
        replies.append((str(item), pair.eve.ask("POST", "/v1/grants", {"items": [item]})))
    pair.assert_unharmed(replies)


# Listings

PREFIXES = ["", "/", "//", "{V}", "{V}file", "{v}", "{o}", "{O}", "{O}../{V}", "{O}..%2F{V}", "{O}/", "/{V}", "*", "{O}*", "{O}\n{V}",
            "{B}/{V}", "{O}&prefix={V}", "{O}#"]


@pytest.mark.parametrize("op", ["list", "list_versions"])
def test_by_list_prefix(pair, op):
    replies = []
    values = [form.format(O=pair.own, o=pair.own[:-1], V=pair.foreign, v=pair.foreign[:-1], B=pair.victim.bucket) for form in PREFIXES]
    for prefix, delimiter, most in itertools.product([None, *values], (None, "/"), (None, 1)):
        item = {name: value for name, value in {"op": op, "prefix": prefix, "delimiter": delimiter, "max_keys": most}.items()
                if value is not None}
        replies += [(str(item), reply) for reply in pair.attempt(item)]
    for delimiter in ("a", "//", "", "\n", 7):
        assert pair.eve.grant(op=op, prefix=pair.own, delimiter=delimiter)["error"]["code"] == "bad_item", delimiter
    pair.assert_unharmed(replies)


def test_by_the_place_where_a_list_goes_on(pair):
    """Tokens and markers say where a page begins; whose keys it shows, the prefix alone."""
    at, victim, replies = pair.own, pair.victim, []
    keys = ["!", f"{pair.foreign}file", f"{victim.prefix}file", victim.prefix, victim.prefix[:-1] or "!", f"{at}../{pair.foreign}"]
    for place in keys:
        for item in ({"op": "list", "start_after": place}, {"op": "list", "token": place},
                     {"op": "list_versions", "key_marker": place},
                     {"op": "list_versions", "key_marker": place, "version_marker": victim.version}):
            replies += [(str(item), reply) for reply in pair.attempt({**item, "prefix": at})]
    for token in (victim.page_token, victim.version, victim.upload, base64.b64encode(keys[1].encode()).decode()):
        for delimiter in ({}, {"delimiter": "/"}):
            replies += [(token, reply) for reply in pair.attempt({"op": "list", "prefix": at, "token": token, **delimiter})]
    pair.assert_unharmed(replies)


# delete_many: the body is the request

def test_a_deletion_with_another_body(pair):
    at, victim = pair.own, pair.victim
    grant = pair.eve.grant(op="delete_many", keys=[{"key": f"{at}file"}])
    assert victim.bucket not in grant["url"] or pair.place.layout == "prefix"
    one = f"<Object><Key>{at}file</Key></Object>"
    assert one in grant["body"]
    target = f"{victim.prefix}sub/one"
    bodies = [grant["body"].replace(one, new) for new in (
        f"<Object><Key>{target}</Key></Object>", f"{one}<Object><Key>{target}</Key></Object>",
        f"<Object><Key>{target}</Key><VersionId>{victim.version}</VersionId></Object>",
        f"<Object><Key>{at}file</Key><VersionId>{pair.eve.version}</VersionId></Object>",
        f"<Object><Key>{at}../{pair.foreign}file</Key></Object>")]
    replies = []
    for body in map(str.encode, bodies):
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        sha256 = hashlib.sha256(body).hexdigest()
        for extra in ({}, {"content-md5": md5}, {"content-md5": md5, "x-amz-content-sha256": sha256},
                      {"content-md5": md5, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}):
            reply = pair.eve.use(grant, body, extra=extra)
            assert reply.status in (400, 403), (body, extra, reply)
            replies.append((f"{body} {list(extra)}", reply))
        url = grant["url"].replace(pair.eve.bucket, victim.bucket)
        reply = send("POST", url, {**grant["headers"], "content-md5": md5}, body)
        assert reply.status in (400, 403), reply
    assert pair.place.store.get(pair.eve.bucket, f"{at}file", query={"versionId": pair.eve.version}).body == b"mine"
    pair.assert_unharmed(replies)


def test_a_deletion_whose_keys_speak_xml(pair):
    at, victim, replies = pair.own, pair.victim, []
    target = f"<Object><Key>{victim.prefix}file</Key>"
    for key in (f"{at}a</Key></Object>{target}</Object>", f"{at}a</Key></Object>{target}<VersionId>{victim.version}</VersionId></Object>",
                f"{at}&lt;/Key&gt;", f"{at}]]></Key>{target}", f"{at}<!-- ", f"{at}&#47;..&#47;{pair.foreign}file"):
        for item in ({"key": key}, {"key": f"{at}a", "etag": f"e</ETag></Object>{target}<ETag>e"},
                     {"key": f"{at}a", "etag": f"e</ETag><VersionId>{victim.version}</VersionId>"}):
            replies += [(str(item), reply) for reply in pair.attempt({"op": "delete_many", "keys": [item]})]
    pair.assert_unharmed(replies)


# A grant of Eve's own, changed afterwards. {S} is the victim's file as a copy source

HEADERS = [
    ("x-amz-copy-source", "{S}"), ("X-Amz-Copy-Source", "{S}"), ("x-amz-copy-source", "{S}?versionId={version}"),
    ("x-amz-copy-source-range", "bytes=0-5"), ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-acl", "public-read"), ("x-amz-acl", "public-read-write"), ("x-amz-acl", "bucket-owner-full-control"),
    ("x-amz-grant-read", ALL_USERS), ("x-amz-grant-read-acp", ALL_USERS), ("x-amz-grant-write-acp", ALL_USERS),
    ("x-amz-grant-full-control", ALL_USERS), ("x-amz-grant-write", ALL_USERS),
    ("x-amz-tagging", "public=yes"), ("x-amz-website-redirect-location", "/{B}/{V}file"), ("x-amz-storage-class", "GLACIER"),
    ("x-amz-security-token", "another"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", "20300101T000000Z"),
    ("x-amz-bypass-governance-retention", "true"), ("x-amz-expected-bucket-owner", "pail"), ("x-amz-mfa", "1 1"),
    ("x-rgw-object-append", "true"), ("x-amz-server-side-encryption", "AES256"),
    ("authorization", "AWS4-HMAC-SHA256 Credential=x/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"),
    ("x-http-method-override", "DELETE"), ("x-forwarded-host", "{B}.{H}"), ("x-original-url", "/{B}/{V}file"),
    ("range", "bytes=0-99999"), ("if-match", "*"), ("expect", "100-continue"),
]


@pytest.mark.parametrize("name, value", HEADERS)
def test_a_header_added_to_a_grant(pair, name, value):
    value = value.format(S=f"/{pair.victim.bucket}/{pair.victim.prefix}file", B=pair.victim.bucket, V=pair.victim.prefix,
                         H=pair.place.store.host, version=pair.victim.version)
    replies = []
    for way in ("replaced", "before", "behind", "joined"):
        for op, grant, body in pair.own_grants():
            if way == "joined" and name.lower() not in grant["headers"]:
                continue
            headers = [(key, what) for key, what in grant["headers"].items() if way != "replaced" or key != name.lower()]
            if way == "joined":
                headers = [(key, f"{what}, {value}" if key == name.lower() else what) for key, what in headers]
            else:
                headers = [(name, value), *headers] if way == "before" else [*headers, (name, value)]
            replies.append((f"{op}, {way}", send_pairs(grant["method"], url_of(grant), headers, body_of(grant, body))))
        replies += [("copy", pair.eve.do(op="get", key=f"{pair.own}{key}")) for key in ("copy", "new", "more")]
    replies += assemble(pair)
    pair.assert_unharmed(replies)


PARAMETERS = [
    "acl", "tagging", "policy", "uploads", "delete", "versions", "versionId={version}", "location", "torrent", "website", "lifecycle",
    "prefix={V}", "prefix=", "list-type=1", "list-type=2&prefix={V}", "delimiter=", "uploadId={upload}", "partNumber=1&uploadId={upload}",
    "response-content-type=text/html", "start-after=", "continuation-token={token}", "key-marker=", "marker=", "x-amz-acl=public-read",
    "x-amz-copy-source={S}", "X-Amz-Expires=604800", "X-Amz-SignedHeaders=host", "X-Amz-Security-Token=x", "X-Amz-Date=20300101T000000Z",
    "AWSAccessKeyId=x&Signature=x&Expires=4000000000", "append&position=0",
]


def names_in(query):
    return {each.partition("=")[0] for each in query.split("&")}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_query_parameter_added_to_a_grant(pair, parameter):
    """Refused; but of one that is there twice Ceph takes the first, for the signature too, and does what the grant says."""
    quote = lambda text: urllib.parse.quote(text, safe="")
    parameter = parameter.format(version=quote(pair.victim.version), V=quote(pair.victim.prefix), upload=quote(pair.victim.upload),
                                 token=quote(pair.victim.page_token), S=quote(f"/{pair.victim.bucket}/{pair.victim.prefix}file"))
    replies = []
    for op, grant, body in pair.own_grants():
        url = url_of(grant)
        path, _, query = url.partition("?")
        for changed in (f"{url}&{parameter}", f"{path}?{parameter}&{query}"):
            reply = pair.eve.use(with_url(grant, changed), body)
            assert reply.status >= 400 or names_in(parameter) & names_in(query), f"{op} with {parameter}: {reply}"
            replies.append((op, reply))
    pair.assert_unharmed(replies)


def test_a_value_of_the_query_changed(pair):
    """Each value of each grant in turn becomes what would reach further."""
    quote = lambda text: urllib.parse.quote(text, safe="")
    further = {"prefix": [pair.victim.prefix, "", pair.own[:-1]], "uploadId": [pair.victim.upload], "partNumber": ["1", "9"],
               "X-Amz-Expires": ["604800", "999999999"], "X-Amz-Date": ["20300101T000000Z"], "X-Amz-SignedHeaders": ["host"],
               "X-Amz-Security-Token": ["", "another"], "max-keys": ["1"], "list-type": ["1"], "encoding-type": [""]}
    replies, changed_one = [], set()
    for op, grant, body in pair.own_grants():
        path, _, query = url_of(grant).partition("?")
        pairs = [each.partition("=")[::2] for each in query.split("&")]
        for at, (name, value) in enumerate(pairs):
            for new in [quote(new) for new in further.get(name, [])] + ([None] if name.startswith("X-Amz") else []):
                if new == value:
                    continue
                left = [f"{n}={v}" for n, v in pairs[:at]] + ([] if new is None else [f"{name}={new}"]) + \
                       [f"{n}={v}" for n, v in pairs[at + 1:]]
                reply = pair.eve.use(with_url(grant, f"{path}?{'&'.join(left)}"), body)
                assert reply.status >= 400, f"{op} with {name}={new}: {reply}"
                replies.append((f"{op} {name}={new}", reply))
                changed_one.add(name)
    assert {"prefix", "uploadId", "partNumber", "X-Amz-Expires", "X-Amz-Date"} <= changed_one | ({"prefix"} if not pair.own else set())
    pair.assert_unharmed(replies)


PATHS = ["/{B}/{V}file", "/{B}/{O}../{V}file", "/{E}/{O}../{F}file", "/{E}/{O}%2e%2e/{F}file", "/{E}/{O}..%2f{F}file", "/{E}/../{B}/{V}file",
         "/{E}//../{B}/{V}file", "/%2e%2e/{B}/{V}file", "//{B}/{V}file", "/./{B}/{V}file", "/{B}%2F{V}file", "/{E}/..%5c{B}/{V}file",
         "/{B}/{V}", "/{B}", "/{B}/", "/", "", "{A}/{B}/{V}file", "/{E}/{O}file/../../{F}file", "/{E};/{B}/{V}file", "/{E}/{O}..;/{F}file"]


@pytest.mark.parametrize("form", PATHS)
def test_another_path_in_a_grant(pair, form):
    store = pair.place.store
    path = form.format(B=pair.victim.bucket, E=pair.eve.bucket, O=pair.own, V=pair.victim.prefix, F=pair.foreign, A=store.endpoint)
    replies = []
    for op, grant, body in pair.own_grants():
        query = url_of(grant).partition("?")[2]
        if url_of(grant) == f"{store.endpoint}{path}?{query}":
            continue
        target = f"{path}?{query}"
        sent = body_of(grant, body)
        headers = [("host", store.host), *((n, v) for n, v in grant["headers"].items() if n != "host")]
        reply = send_raw(store.host, grant["method"], target, headers, sent)
        assert reply.status >= 400, f"{op} at {target}: {reply}"
        replies.append((f"{op} at {path}", reply))
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("host", ["{B}.{H}", "{B}", "{B}.s3.amazonaws.com", "127.0.0.1", "evil.example", "{H}@{B}"])
def test_another_host_in_a_grant(pair, host):
    store, replies = pair.place.store, []
    host = host.format(B=pair.victim.bucket, H=store.host)
    for op, grant, body in pair.own_grants():
        own, query = url_of(grant)[len(store.endpoint):].split("?", 1)
        for path in (own, f"/{pair.victim.prefix}file", f"/{pair.victim.bucket}/{pair.victim.prefix}file"):
            headers = [("host", host), *((n, v) for n, v in grant["headers"].items() if n != "host")]
            reply = send_raw(store.host, grant["method"], f"{path}?{query}", headers, body_of(grant, body))
            assert reply.status >= 400 or path == own, f"{op} at {host}{path}: {reply}"
            replies.append((f"{op} at {host}{path}", reply))
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "COPY"])
def test_another_method_with_a_grant(pair, method):
    replies, eve_before = [], pair.place.store.contents(pair.eve.bucket, pair.own)
    grants = pair.own_grants()
    for op, grant, body in grants:
        if grant["method"] == method:
            continue
        sent = body_of(grant, body) if method in ("PUT", "POST") else None
        reply = send(method, url_of(grant), grant["headers"] if method in ("PUT", "POST") else {}, sent)
        if method in ("PUT", "POST", "DELETE", "PATCH", "COPY"):
            assert reply.status >= 400, f"{method} with the grant of {op}: {reply}"
        replies.append((f"{method} with the grant of {op}", reply))
    assert pair.place.store.contents(pair.eve.bucket, pair.own) == eve_before
    pair.assert_unharmed(replies)


@pytest.mark.parametrize("op", ["put", "part"])
def test_another_length_than_the_signed_one(pair, op):
    replies = []
    for size in (0, 1, 5, 7, 100_000):
        grant, _ = [(grant, body) for each, grant, body in pair.own_grants() if each == op][0]
        reply = send("PUT", url_of(grant), {**grant["headers"], "content-length": str(size)}, b"x" * size)
        assert reply.status in (400, 403), (size, reply)
        replies.append((str(size), reply))
        headers = [(n, v) for n, v in grant["headers"].items() if n != "content-length"]
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size) if size else b"0\r\n\r\n"
        for more in ([], [("content-length", "6")]):
            reply = send_raw(pair.place.store.host, "PUT", url_of(grant)[len(pair.place.store.endpoint):],
                             [*headers, ("transfer-encoding", "chunked"), *more], chunks)
            assert reply.status >= 400, (size, more, reply)
            replies.append((f"{size} in chunks", reply))
    pair.assert_unharmed(replies)


def test_a_grant_of_the_past(place):
    """Taken when the tests began: it has ended meanwhile, or is waited for."""
    pair = place.early
    time.sleep(max(0, place.early_at + LIFE_S + 2 - time.time()))
    replies = []
    for op, grant, body in place.early_grants:
        if op == "delete_many":  # signed in the header, where S3 itself sets the end: 15 minutes
            continue
        ended = url_of(grant)
        for url in (ended, ended.replace(f"X-Amz-Expires={LIFE_S}", "X-Amz-Expires=86400"), f"{ended}&X-Amz-Expires=86400",
                    ended.replace("?", "?X-Amz-Expires=86400&")):
            reply = pair.eve.use(with_url(grant, url), body)
            assert reply.status in (400, 403), f"{op}: {reply}"
            replies.append((op, reply))
    pair.assert_unharmed(replies)
