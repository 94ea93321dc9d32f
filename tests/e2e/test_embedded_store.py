"""The embedded store by itself: what S3's documents say of each request, asked for over HTTP."""
import base64
import concurrent.futures
import datetime
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import zlib

import pytest

from lib.processes import PATIENCE, Process, wait_until
from lib.s3 import S3

MIB = 1 << 20


class Store:
    def __init__(self, root, build, folder="store"):
        self.root, self.build, self.folder = root, build, root / folder
        self.process = None
        self.starts = 0

    def start(self):
        self.starts += 1
        log = self.root / f"store-{self.starts}.log"
        # Its standard input is ours: it ends with us.
        self.process = Process([self.build.folder / "tests/unit/embedded/store_alone", self.folder], log,
                               stdin=subprocess.PIPE)
        told = json.loads(self.process.wait_for(r"^(\{.*\})$").group(1))
        self.endpoint = told["endpoint"]
        self.s3 = S3(told["endpoint"], told["access_key"], told["secret_key"], told["region"])
        return self

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.popen.wait()

    def stop(self):
        if self.process.popen.poll() is None:
            self.process.popen.stdin.close()
            assert self.process.popen.wait(PATIENCE) == 0, self.process.text()

    def files(self):
        return sorted(p.name for p in (self.folder / "objects").rglob("*") if p.is_file())


@pytest.fixture
def store(root, build):
    store = Store(root, build).start()
    yield store
    store.stop()
    assert "ERROR: " not in store.process.text() and "runtime error" not in store.process.text(), store.process.text()


@pytest.fixture
def bucket(store):
    store.s3.call("PUT", "bucket")
    return Bucket(store.s3, "bucket")


class Bucket:
    def __init__(self, s3, name):
        self.s3, self.name = s3, name

    def call(self, method, key="", query=None, headers=None, body=b"", good=None):
        return self.s3.call(method, self.name, key, query, headers, body, good)

    def put(self, key, body=b"", **headers):
        answer = self.call("PUT", key, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body)
        assert answer.status == 200, answer
        return answer

    def get(self, key, query=None, **headers):
        return self.call("GET", key, query, {k.replace("_", "-"): v for k, v in headers.items()})

    def keys(self, **query):
        xml = self.call("GET", query={"list-type": "2", **{k.replace("_", "-"): v for k, v in query.items()}}).body.decode()
        return re.findall(r"<Contents><Key>(.*?)</Key>", xml), re.findall(r"<CommonPrefixes><Prefix>(.*?)</Prefix>", xml), xml


def code(answer):
    found = re.search(rb"<Code>(\w+)</Code>", answer.body)
    return answer.status, found.group(1).decode() if found else None


def md5(body):
    return hashlib.md5(body).hexdigest()


def text(xml, name):
    return re.findall(rf"<{name}>(.*?)</{name}>", xml.decode() if isinstance(xml, bytes) else xml)


# --- put, get, head, delete ---

AWKWARD = ["a b", "a+b", "a%2Fb", "a//b", "a/../b", "/lead", "ümläut/日本", "x" * 1024, "?q=1&x", "<&>\"'", "tab\t.", "end/"]


def test_bytes_and_headers_come_back(bucket):
    for key in AWKWARD:
        body = key.encode() * 3
        answer = bucket.put(key, body, content_type="text/x-test", cache_control="no-cache", x_amz_meta_one="1",
                            content_disposition="inline", content_language="de", expires="Thu, 01 Jan 2037 00:00:00 GMT",
                            content_encoding="gzip,aws-chunked")
        assert answer.etag == md5(body)
        for method in ("GET", "HEAD"):
            answer = bucket.call(method, key)
            assert answer.status == 200 and answer.etag == md5(body), key
            assert answer.body == (body if method == "GET" else b"")
            assert int(answer.headers["content-length"]) == len(body)
            assert answer.headers["content-type"] == "text/x-test" and answer.headers["x-amz-meta-one"] == "1"
            assert answer.headers["content-encoding"] == "gzip" and answer.headers["content-language"] == "de"
            assert answer.headers["last-modified"] and answer.headers["accept-ranges"] == "bytes"
    xml = bucket.call("GET", query={"list-type": "2", "encoding-type": "url"}).body.decode()
    listed = [urllib.parse.unquote(k) for k in text(xml, "Key")]
    assert listed == sorted(AWKWARD, key=lambda k: k.encode())


def test_what_is_not_there_is_said_so(bucket, store):
    assert code(bucket.get("none")) == (404, "NoSuchKey")
    assert bucket.call("HEAD", "none").status == 404
    assert code(store.s3.call("GET", "nobucket", "x", good=None)) == (404, "NoSuchBucket")
    assert code(store.s3.call("PUT", "nobucket", "x", good=None)) == (404, "NoSuchBucket")
    assert bucket.call("DELETE", "none").status == 204
    assert code(bucket.call("PUT", "k" * 1025)) == (400, "KeyTooLongError")
    assert code(bucket.call("PATCH", "x")) == (405, "MethodNotAllowed")


def test_overwriting_and_deleting_frees_the_files(bucket, store):
    big = os.urandom(300_000)
    bucket.put("k", big)
    before = store.files()
    assert len(before) == 1
    bucket.put("k", os.urandom(300_000))
    assert len(store.files()) == 1 and store.files() != before
    assert bucket.call("DELETE", "k").status == 204
    assert store.files() == []


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_ranges(bucket, size):
    body = os.urandom(size)
    bucket.put("k", body)
    for header, first, last in [("bytes=0-0", 0, 0), ("bytes=1-", 1, size - 1), (f"bytes=5-{size + 99}", 5, size - 1),
                                ("bytes=-3", max(size - 3, 0), size - 1), (f"bytes=-{size + 5}", 0, size - 1),
                                ("bytes=100-70000", 100, min(70_000, size - 1))]:
        answer = bucket.get("k", range=header)
        if first >= size:
            assert code(answer) == (416, "InvalidRange"), header
            assert answer.headers["content-range"] == f"bytes */{size}"
        else:
            assert answer.status == 206 and answer.body == body[first:last + 1], header
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
    for header in ("bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"):
        answer = bucket.get("k", range=header)
        assert answer.status == 200 and answer.body == body, header


def test_conditions_of_reading(bucket):
    etag = bucket.put("k", b"hello").headers["etag"]
    assert bucket.get("k", if_match=etag).status == 200
    assert bucket.get("k", if_match=etag.strip('"')).status == 200
    assert bucket.get("k", if_match=f'"x", {etag}').status == 200
    assert code(bucket.get("k", if_match='"other"')) == (412, "PreconditionFailed")
    assert bucket.get("k", if_none_match=etag).status == 304
    assert bucket.get("k", if_none_match="*").status == 304
    assert bucket.get("k", if_none_match='"other"').status == 200
    modified = bucket.get("k").headers["last-modified"]
    assert bucket.get("k", if_modified_since=modified).status == 304
    assert bucket.get("k", if_unmodified_since=modified).status == 200
    assert bucket.get("k", if_modified_since="Thu, 01 Jan 1970 00:00:01 GMT").status == 200
    assert bucket.get("k", if_unmodified_since="Thu, 01 Jan 1970 00:00:01 GMT").status == 412
    assert bucket.get("k", range="bytes=0-1", if_range=etag).status == 206
    assert bucket.get("k", range="bytes=0-1", if_range='"other"').status == 200


def test_overrides_of_answers(bucket, store):
    bucket.put("k", b"hello", content_type="text/a")
    answer = bucket.get("k", {"response-content-type": "text/b", "response-content-disposition": "attachment"})
    assert answer.headers["content-type"] == "text/b" and answer.headers["content-disposition"] == "attachment"


# --- conditions of writing ---

def test_conditions_of_put(bucket):
    assert code(bucket.call("PUT", "k", headers={"if-match": '"x"'}, body=b"1")) == (404, "NoSuchKey")
    etag = bucket.put("k", b"1", if_none_match="*").headers["etag"]
    assert code(bucket.call("PUT", "k", headers={"if-none-match": "*"}, body=b"2")) == (412, "PreconditionFailed")
    assert code(bucket.call("PUT", "k", headers={"if-match": '"x"'}, body=b"2")) == (412, "PreconditionFailed")
    assert bucket.get("k").body == b"1"
    etag = bucket.put("k", b"2", if_match=etag).headers["etag"]
    bucket.put("k", b"3", if_match=etag.strip('"'))
    assert bucket.get("k").body == b"3"


def test_one_of_many_puts_at_once_wins(bucket):
    for number in range(5):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            key = f"race-{number}"
            answers = list(pool.map(lambda i: bucket.call("PUT", key, headers={"if-none-match": "*"}, body=b"%d" % i), range(8)))
        won = [i for i, answer in enumerate(answers) if answer.status == 200]
        assert len(won) == 1 and {a.status for a in answers} == {200, 412}
        assert bucket.get(key).body == b"%d" % won[0]


def test_conditions_of_delete(bucket):
    etag = bucket.put("k", b"1").headers["etag"]
    assert code(bucket.call("DELETE", "k", headers={"if-match": '"x"'})) == (412, "PreconditionFailed")
    assert code(bucket.call("DELETE", "none", headers={"if-match": '"x"'})) == (404, "NoSuchKey")
    assert bucket.get("k").status == 200
    assert bucket.call("DELETE", "k", headers={"if-match": etag}).status == 204
    assert bucket.get("k").status == 404


def delete_body(items, quiet=False):
    objects = "".join(f"<Object><Key>{key}</Key>{''.join(f'<{n}>{v}</{n}>' for n, v in more.items())}</Object>"
                      for key, more in items)
    return f"<Delete>{'<Quiet>true</Quiet>' if quiet else ''}{objects}</Delete>".encode()


def delete_many(bucket, items, quiet=False, **headers):
    body = delete_body(items, quiet)
    return bucket.call("POST", query={"delete": ""}, body=body, headers=headers or {
        "content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()})


def test_delete_many(bucket):
    etags = {key: bucket.put(key, key.encode()).etag for key in ("a", "b", "c", "d")}
    answer = delete_many(bucket, [("a", {}), ("b", {"ETag": etags["b"]}), ("c", {"ETag": "wrong"}), ("none", {}),
                                  ("gone", {"ETag": "x"})])
    assert answer.status == 200, answer
    assert re.findall(r"<Deleted><Key>(.*?)</Key></Deleted>", answer.body.decode()) == ["a", "b", "none"]
    assert re.findall(r"<Error><Key>(.*?)</Key><Code>(.*?)</Code>", answer.body.decode()) == [
        ("c", "PreconditionFailed"), ("gone", "NoSuchKey")]
    assert bucket.keys()[0] == ["c", "d"]
    assert "<Deleted>" not in delete_many(bucket, [("c", {})], quiet=True).body.decode()
    assert code(delete_many(bucket, [("d", {})], x_none="1")) == (400, "InvalidRequest")
    assert code(delete_many(bucket, [], **{"content-md5": base64.b64encode(hashlib.md5(b"other").digest()).decode()})) == (
        400, "BadDigest")
    assert code(delete_many(bucket, [])) == (400, "MalformedXML")
    assert code(delete_many(bucket, [(f"k{i}", {}) for i in range(1001)])) == (400, "MalformedXML")
    body = b"<!DOCTYPE x [<!ENTITY a 'b'>]><Delete><Object><Key>&a;</Key></Object></Delete>"
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert code(bucket.call("POST", query={"delete": ""}, headers={"content-md5": digest}, body=body)) == (400, "MalformedXML")
    assert bucket.keys()[0] == ["d"]


# --- checksums ---

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "big")


CHECKSUMS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": crc32c,
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


@pytest.mark.parametrize("kind", CHECKSUMS)
def test_checksums_are_checked_kept_and_told(bucket, kind):
    body = b"checked " * 500
    value = base64.b64encode(CHECKSUMS[kind](body)).decode()
    name = f"x-amz-checksum-{kind}"
    answer = bucket.call("PUT", "k", headers={name: value}, body=body)
    assert answer.status == 200 and answer.headers[name] == value
    told = bucket.get("k", x_amz_checksum_mode="ENABLED").headers
    assert told[name] == value and told["x-amz-checksum-type"] == "FULL_OBJECT"
    assert name not in bucket.get("k").headers and name not in bucket.get("k", x_amz_checksum_mode="ENABLED", range="bytes=0-3").headers
    wrong = base64.b64encode(CHECKSUMS[kind](b"other")).decode()
    assert code(bucket.call("PUT", "k", headers={name: wrong}, body=b"x")) == (400, "BadDigest")
    assert code(bucket.call("PUT", "k", headers={name: "AAA="}, body=b"x")) == (400, "InvalidDigest")
    assert bucket.get("k").body == body


def test_md5_and_sha256_are_checked(bucket, store):
    right = base64.b64encode(hashlib.md5(b"1").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"2").digest()).decode()
    assert bucket.call("PUT", "k", headers={"content-md5": right}, body=b"1").status == 200
    assert code(bucket.call("PUT", "k", headers={"content-md5": wrong}, body=b"1")) == (400, "BadDigest")
    assert code(bucket.call("PUT", "k", headers={"content-md5": "?"}, body=b"1")) == (400, "InvalidDigest")
    url = store.s3.presign("PUT", "bucket", "k", headers={"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()})
    assert raw(store, "PUT", url, {"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}, b"1")[0] == 403
    assert bucket.get("k").body == b"1"


def raw(store, method, url, headers=None, body=b"", host=None):
    """A request exactly as told: (status, headers, body)."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(store.endpoint).netloc, timeout=PATIENCE)
    try:
        connection.putrequest(method, parts.path + ("?" + parts.query if parts.query else ""), skip_host=True,
                              skip_accept_encoding=True)
        connection.putheader("Host", host or parts.netloc)
        if body is not None and not any(k.lower() == "content-length" for k in (headers or {})):
            connection.putheader("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


# --- signatures and who may ask ---

def test_only_signed_requests_for_this_host_are_answered(bucket, store):
    bucket.put("k", b"secret")
    url = store.s3.presign("GET", "bucket", "k")
    assert raw(store, "GET", url)[::2] == (200, b"secret")
    assert raw(store, "GET", f"{store.endpoint}/bucket/k")[0] == 403
    assert raw(store, "GET", url.replace("/k?", "/other?"))[0] == 403
    assert raw(store, "HEAD", url)[0] == 403
    assert raw(store, "GET", url + "&versionId=null")[0] == 403
    for host in ("evil.example", "localhost:" + url.split(":")[2].split("/")[0], "127.0.0.1"):
        assert raw(store, "GET", url, host=host)[0] == 403
        other = store.s3.presign("GET", "bucket", "k", endpoint=f"http://{host}")
        assert raw(store, "GET", other, host=host)[0] == 403
    expired = store.s3.presign("GET", "bucket", "k", expires_s=-5)
    assert raw(store, "GET", expired)[0] in (400, 403)
    for answer in (raw(store, "GET", url, {"Origin": "https://evil.example"}), raw(store, "OPTIONS", url)):
        assert not any(name.startswith("access-control-") for name in answer[1])
    with pytest.raises(AssertionError):
        S3(store.endpoint, store.s3.access_key, "guess", store.s3.region).call("GET", "bucket", "k")
    with pytest.raises(AssertionError):
        S3(store.endpoint, "OTHER", store.s3.secret_key, store.s3.region).call("GET", "bucket", "k")


def test_amz_headers_that_were_not_signed_are_refused(bucket, store):
    bucket.put("mine", b"mine")
    bucket.put("other", b"other")
    url = store.s3.presign("PUT", "bucket", "mine")
    for name, value in (("x-amz-copy-source", "/bucket/other"), ("x-amz-acl", "public-read"), ("X-Amz-Meta-A", "1"),
                        ("x-amz-storage-class", "STANDARD_IA")):
        assert raw(store, "PUT", url, {name: value})[0] == 403, name
    assert bucket.get("mine").body == b"mine"
    assert raw(store, "PUT", url, {"If-Match": '"x"'})[0] == 412
    assert raw(store, "PUT", url, {"Content-Type": "text/plain"}, b"new")[0] == 200


def test_acls_and_unknown_subresources_are_refused(bucket):
    assert code(bucket.call("PUT", "k", headers={"x-amz-acl": "public-read"}, body=b"1")) == (400, "AccessControlListNotSupported")
    assert bucket.call("PUT", "k", headers={"x-amz-acl": "private"}, body=b"1").status == 200
    for query in ("acl", "tagging", "retention", "legal-hold", "restore", "torrent", "attributes"):
        assert code(bucket.call("PUT", "k", query={query: ""}, body=b"overwritten")) == (501, "NotImplemented"), query
    assert bucket.get("k").body == b"1"


# --- bodies in chunks ---

def chunks(body, size, trailer=None):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))
    return framed + b"0\r\n" + (b"%s:%s\r\n" % trailer if trailer else b"") + b"\r\n"


def put_chunked(store, body, framed, kind="crc32", value=None, decoded=None):
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "content-encoding": "aws-chunked",
               "x-amz-decoded-content-length": str(len(body) if decoded is None else decoded), "x-amz-trailer": f"x-amz-checksum-{kind}"}
    # A signature in the query with these headers signed; UNSIGNED-PAYLOAD's place is taken by the header's value.
    s3 = store.s3
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "host": s3.host, "x-amz-date": stamp}
    signed = ";".join(sorted(sent))
    canonical = "\n".join(["PUT", "/bucket/k", "", *(f"{k}:{sent[k]}" for k in sorted(sent)), "", signed, headers["x-amz-content-sha256"]])
    scope = f"{stamp[:8]}/{s3.region}/s3/aws4_request"
    string = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    del sent["host"]
    sent["authorization"] = (f"AWS4-HMAC-SHA256 Credential={s3.access_key}/{scope}, SignedHeaders={signed}, "
                             f"Signature={s3._signature(stamp[:8], string)}")
    return raw(store, "PUT", f"{store.endpoint}/bucket/k", sent, framed)


def test_chunked_bodies_with_a_trailing_checksum(bucket, store):
    body = os.urandom(200_000)
    right = base64.b64encode(CHECKSUMS["crc32"](body))
    name = b"x-amz-checksum-crc32"
    assert put_chunked(store, body, chunks(body, 65_536, (name, right)))[0] == 200
    assert bucket.get("k").body == body and "content-encoding" not in bucket.get("k").headers
    assert bucket.get("k", x_amz_checksum_mode="ENABLED").headers["x-amz-checksum-crc32"] == right.decode()
    for framed, decoded in ((chunks(body, 65_536, (name, b"AAAAAA==")), None), (chunks(body, 65_536), None),
                            (chunks(body, 65_536, (name, right)), 5), (chunks(body[:-1], 65_536, (name, right)), None),
                            (chunks(body, 65_536, (name, right))[:-90_000], None), (b"zz\r\n" + body, None),
                            (b"7fffffffffffffff\r\n" + body, None), (b"", None),
                            (chunks(body, 65_536, (name, right)) + b"more", None)):
        assert put_chunked(store, body, framed, decoded=decoded)[0] == 400
    assert bucket.get("k").body == body


def test_a_cut_body_changes_nothing(bucket, store):
    bucket.put("k", b"old")
    url = store.s3.presign("PUT", "bucket", "k")
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"x" * 200_000)
    connection.close()
    assert bucket.get("k").body == b"old"
    assert store.files() == []


# --- copies ---

def test_copies(bucket):
    etag = bucket.put("a ü/?x", b"body", content_type="text/a", x_amz_meta_m="1").headers["etag"]
    source = "/bucket/" + urllib.parse.quote("a ü/?x", safe="/")
    answer = bucket.call("PUT", "b", headers={"x-amz-copy-source": source})
    assert answer.status == 200 and text(answer.body, "ETag") == [etag.replace('"', "&quot;")]
    assert bucket.get("b").body == b"body" and bucket.get("b").headers["x-amz-meta-m"] == "1"
    answer = bucket.call("PUT", "b", headers={"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE",
                                              "content-type": "text/b", "x-amz-meta-n": "2"})
    told = bucket.get("b").headers
    assert told["content-type"] == "text/b" and told["x-amz-meta-n"] == "2" and "x-amz-meta-m" not in told
    assert code(bucket.call("PUT", "b", headers={"x-amz-copy-source": "bucket/b"})) == (400, "InvalidRequest")
    assert bucket.call("PUT", "b", headers={"x-amz-copy-source": "bucket/b", "x-amz-metadata-directive": "REPLACE"}).status == 200
    assert bucket.get("b").body == b"body"
    assert code(bucket.call("PUT", "c", headers={"x-amz-copy-source": "bucket/none"})) == (404, "NoSuchKey")
    assert code(bucket.call("PUT", "c", headers={"x-amz-copy-source": "none/none"})) == (404, "NoSuchBucket")


def test_conditions_of_copies(bucket):
    etag = bucket.put("a", b"1").headers["etag"]
    other = bucket.put("b", b"2").headers["etag"]

    def copy(**headers):
        return code(bucket.call("PUT", "b", headers={"x-amz-copy-source": "bucket/a",
                                                     **{k.replace("_", "-"): v for k, v in headers.items()}}))
    for headers in ({"x_amz_copy_source_if_match": other}, {"x_amz_copy_source_if_none_match": etag}, {"if_none_match": "*"},
                    {"if_match": etag}, {"x_amz_copy_source_if_modified_since": "Thu, 01 Jan 2037 00:00:00 GMT"},
                    {"x_amz_copy_source_if_unmodified_since": "Thu, 01 Jan 1970 00:00:01 GMT"}):
        assert copy(**headers) == (412, "PreconditionFailed"), headers
        assert bucket.get("b").body == b"2"
    assert copy(x_amz_copy_source_if_match=etag, if_match=other)[0] == 200
    assert bucket.get("b").body == b"1"


def test_copies_share_bytes_and_outlive_their_source(bucket, store):
    body = os.urandom(500_000)
    bucket.put("a", body)
    assert bucket.call("PUT", "b", headers={"x-amz-copy-source": "bucket/a"}).status == 200
    assert len(store.files()) == 1
    bucket.call("DELETE", "a")
    assert bucket.get("b").body == body and len(store.files()) == 1
    bucket.call("DELETE", "b")
    assert store.files() == []


# --- listings ---

def test_listing_with_delimiter_prefix_and_pages(bucket):
    keys = ["a", "a/1", "a/2", "a/b/1", "a0", "b/", "b/1", "c", "ä/1", "z/1", "z/2"]
    for key in keys:
        bucket.put(key, b"1")
    assert bucket.keys()[0] == sorted(keys, key=lambda k: k.encode())
    assert bucket.keys(delimiter="/")[:2] == (["a", "a0", "c"], ["a/", "b/", "z/", "ä/"])
    assert bucket.keys(delimiter="/", prefix="a/")[:2] == (["a/1", "a/2"], ["a/b/"])
    assert bucket.keys(prefix="b/")[:2] == (["b/", "b/1"], [])
    assert bucket.keys(prefix="nothing")[:2] == ([], [])
    assert bucket.keys(start_after="a/2")[0] == ["a/b/1", "a0", "b/", "b/1", "c", "z/1", "z/2", "ä/1"]
    assert bucket.keys(delimiter="/", start_after="a/1")[:2] == (["a0", "c"], ["a/", "b/", "z/", "ä/"])
    assert bucket.keys(delimiter="b")[:2] == (["a", "a/1", "a/2", "a0", "c", "z/1", "z/2", "ä/1"], ["a/b", "b"])
    for delimiter in ("", "/"):
        for size in (1, 2, 3):
            query = {"delimiter": delimiter} if delimiter else {}
            whole, seen, token = bucket.keys(**query)[:2], ([], []), None
            for _ in range(20):
                found = bucket.keys(max_keys=size, **query, **({"continuation_token": token} if token else {}))
                assert len(found[0]) + len(found[1]) <= size
                assert text(found[2], "KeyCount") == [str(len(found[0]) + len(found[1]))]
                seen[0].extend(found[0])
                seen[1].extend(found[1])
                token = (text(found[2], "NextContinuationToken") or [None])[0]
                assert (text(found[2], "IsTruncated") == ["true"]) == (token is not None)
                if not token:
                    break
            assert seen == whole, (delimiter, size)
    assert bucket.keys(max_keys=0)[:2] == ([], [])
    assert code(bucket.call("GET", query={"list-type": "2", "continuation-token": "!"})) == (400, "InvalidArgument")
    assert code(bucket.call("GET", query={"list-type": "2", "max-keys": "x"})) == (400, "InvalidArgument")


def test_the_old_listing(bucket):
    for key in ("a", "b/1", "b/2", "c"):
        bucket.put(key, b"1")
    seen, marker = [], ""
    for _ in range(10):
        xml = bucket.call("GET", query={"delimiter": "/", "max-keys": "1", "marker": marker}).body.decode()
        seen += text(xml, "Key") + re.findall(r"<CommonPrefixes><Prefix>(.*?)</Prefix>", xml)
        if text(xml, "IsTruncated") == ["false"]:
            break
        marker = text(xml, "NextMarker")[0]
    assert seen == ["a", "b/", "c"]


def test_a_thousand_keys_a_page(bucket):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: bucket.put(f"k{i:04d}"), range(1005)))
    found = bucket.keys()
    assert len(found[0]) == 1000 and text(found[2], "IsTruncated") == ["true"]
    rest = bucket.keys(continuation_token=text(found[2], "NextContinuationToken")[0])
    assert rest[0] == [f"k{i:04d}" for i in range(1000, 1005)]


# --- versions ---

def enable(bucket, status="Enabled"):
    body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
    assert bucket.call("PUT", query={"versioning": ""}, body=body).status == 200


def versions(bucket, **query):
    xml = bucket.call("GET", query={"versions": "", **query}).body.decode()
    rows = re.findall(r"<(Version|DeleteMarker)><Key>(.*?)</Key><VersionId>(.*?)</VersionId><IsLatest>(.*?)</IsLatest>", xml)
    return [(kind == "DeleteMarker", key, version, latest == "true") for kind, key, version, latest in rows], xml


def test_versions(bucket):
    bucket.put("k", b"0")
    assert text(bucket.call("GET", query={"versioning": ""}).body, "Status") == []
    enable(bucket)
    assert text(bucket.call("GET", query={"versioning": ""}).body, "Status") == ["Enabled"]
    one = bucket.put("k", b"1").headers["x-amz-version-id"]
    two = bucket.put("k", b"2").headers["x-amz-version-id"]
    assert bucket.get("k").body == b"2" and bucket.get("k").headers["x-amz-version-id"] == two
    assert bucket.get("k", {"versionId": one}).body == b"1"
    assert bucket.get("k", {"versionId": "null"}).body == b"0"
    assert code(bucket.get("k", {"versionId": "0" * 32})) == (404, "NoSuchVersion")
    deleted = bucket.call("DELETE", "k")
    marker = deleted.headers["x-amz-version-id"]
    assert deleted.headers["x-amz-delete-marker"] == "true"
    gone = bucket.get("k")
    assert code(gone) == (404, "NoSuchKey") and gone.headers["x-amz-delete-marker"] == "true"
    assert code(bucket.get("k", {"versionId": marker})) == (405, "MethodNotAllowed")
    assert bucket.keys()[0] == []
    assert versions(bucket)[0] == [(True, "k", marker, True), (False, "k", two, False), (False, "k", one, False),
                                   (False, "k", "null", False)]
    bucket.put("k", b"back", if_none_match="*")  # a delete marker is nothing
    latest = versions(bucket)[0][0][2]
    assert bucket.call("DELETE", "k", {"versionId": latest}).headers["x-amz-version-id"] == latest
    removed = bucket.call("DELETE", "k", {"versionId": marker})
    assert removed.headers["x-amz-delete-marker"] == "true"
    assert bucket.get("k").body == b"2"
    copied = bucket.call("PUT", "c", headers={"x-amz-copy-source": f"bucket/k?versionId={one}"})
    assert copied.headers["x-amz-copy-source-version-id"] == one and bucket.get("c").body == b"1"


def test_suspended_versioning(bucket):
    enable(bucket)
    one = bucket.put("k", b"1").headers["x-amz-version-id"]
    enable(bucket, "Suspended")
    assert "x-amz-version-id" not in bucket.put("k", b"2").headers
    bucket.put("k", b"3")
    assert [row[2] for row in versions(bucket)[0]] == ["null", one]
    bucket.call("DELETE", "k")
    assert versions(bucket)[0] == [(True, "k", "null", True), (False, "k", one, False)]


def test_versions_in_pages(bucket):
    enable(bucket)
    for key in ("a", "b", "c/1", "c/2"):
        for number in range(3):
            bucket.put(key, b"%d" % number)
    whole = versions(bucket)[0]
    assert len(whole) == 12 and [row[1] for row in whole] == sorted(row[1] for row in whole)
    for size in (1, 2, 5):
        seen, query = [], {}
        for _ in range(20):
            rows, xml = versions(bucket, **{"max-keys": str(size)}, **query)
            seen += rows
            if text(xml, "IsTruncated") == ["false"]:
                break
            query = {"key-marker": text(xml, "NextKeyMarker")[0], "version-id-marker": text(xml, "NextVersionIdMarker")[0]}
        assert seen == whole, size
    xml = versions(bucket, delimiter="/")[1]
    assert re.findall(r"<CommonPrefixes><Prefix>(.*?)</Prefix>", xml) == ["c/"]


def test_many_deletes_with_versions(bucket):
    enable(bucket)
    old = bucket.put("a", b"1").headers["x-amz-version-id"]
    bucket.put("a", b"2")
    answer = delete_many(bucket, [("a", {"VersionId": old}), ("a", {})]).body.decode()
    assert text(answer, "VersionId") == [old] and text(answer, "DeleteMarker") == ["true"]
    assert [row[0] for row in versions(bucket)[0]] == [True, False]


# --- multipart ---

def create(bucket, key, **headers):
    answer = bucket.call("POST", key, {"uploads": ""}, {k.replace("_", "-"): v for k, v in headers.items()})
    assert answer.status == 200, answer
    return text(answer.body, "UploadId")[0]


def part(bucket, key, upload, number, body, **headers):
    return bucket.call("PUT", key, {"partNumber": number, "uploadId": upload},
                       {k.replace("_", "-"): v for k, v in headers.items()}, body)


def complete(bucket, key, upload, parts, **headers):
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts)
    return bucket.call("POST", key, {"uploadId": upload}, {k.replace("_", "-"): v for k, v in headers.items()},
                       f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>".encode())


def test_multipart(bucket, store):
    bodies = [os.urandom(5 * MIB), os.urandom(5 * MIB + 3), os.urandom(1000)]
    upload = create(bucket, "big", content_type="text/big", x_amz_meta_m="1")
    etags = {}
    for number in (3, 1, 2, 7):
        answer = part(bucket, "big", upload, number, bodies[min(number, 3) - 1])
        assert answer.status == 200 and answer.etag == md5(bodies[min(number, 3) - 1])
        etags[number] = answer.headers["etag"]
    assert bucket.get("big").status == 404
    xml = bucket.call("GET", "big", {"uploadId": upload, "max-parts": "2"}).body.decode()
    assert text(xml, "PartNumber") == ["1", "2"] and text(xml, "NextPartNumberMarker") == ["2"] and text(xml, "IsTruncated") == ["true"]
    xml = bucket.call("GET", "big", {"uploadId": upload, "part-number-marker": "2"}).body.decode()
    assert text(xml, "PartNumber") == ["3", "7"] and text(xml, "Size") == ["1000", "1000"]
    good = [(n, etags[n]) for n in (1, 2, 3)]
    assert code(complete(bucket, "big", upload, [good[1], good[0]])) == (400, "InvalidPartOrder")
    assert code(complete(bucket, "big", upload, [(1, '"wrong"')])) == (400, "InvalidPart")
    assert code(complete(bucket, "big", upload, [(4, etags[1])])) == (400, "InvalidPart")
    assert code(complete(bucket, "big", upload, [(3, etags[3]), (7, etags[7])])) == (400, "EntityTooSmall")
    assert code(complete(bucket, "big", upload, [])) == (400, "MalformedXML")
    assert code(complete(bucket, "big", upload, good, x_amz_mp_object_size="5")) == (400, "InvalidRequest")
    assert code(complete(bucket, "big", upload, good, if_match='"x"')) == (404, "NoSuchKey")
    total = sum(map(len, bodies))
    answer = complete(bucket, "big", upload, good, x_amz_mp_object_size=str(total), if_none_match="*")
    assert answer.status == 200, answer
    whole = b"".join(bodies)
    etag = hashlib.md5(b"".join(hashlib.md5(b).digest() for b in bodies)).hexdigest() + "-3"
    told = bucket.get("big")
    assert told.body == whole and told.etag == etag and told.headers["x-amz-meta-m"] == "1"
    assert len(store.files()) == 2  # the small last part is in the index; part 7 is gone
    for first, last in ((5 * MIB - 2, 5 * MIB + 2), (0, total - 1), (10 * MIB, total - 1), (total - 5, total - 1), (17, 17)):
        assert bucket.get("big", range=f"bytes={first}-{last}").body == whole[first:last + 1]
    second = bucket.get("big", {"partNumber": 2})
    assert second.status == 206 and second.body == bodies[1] and second.headers["x-amz-mp-parts-count"] == "3"
    assert code(bucket.get("big", {"partNumber": 4})) == (416, "InvalidRange")
    assert code(complete(bucket, "big", upload, good)) == (404, "NoSuchUpload")
    bucket.call("DELETE", "big")
    assert store.files() == []


def test_parts_are_replaced_and_aborted(bucket, store):
    upload = create(bucket, "k")
    part(bucket, "k", upload, 1, os.urandom(6 * MIB))
    part(bucket, "k", upload, 1, os.urandom(6 * MIB))
    assert len(store.files()) == 1
    xml = bucket.call("GET", query={"uploads": ""}).body.decode()
    assert text(xml, "UploadId") == [upload] and text(xml, "Key") == ["k"]
    assert code(part(bucket, "k", upload, 0, b"")) == (400, "InvalidArgument")
    assert code(part(bucket, "k", upload, 10_001, b"")) == (400, "InvalidArgument")
    assert code(part(bucket, "other", upload, 1, b"x")) == (404, "NoSuchUpload")
    assert bucket.call("DELETE", "k", {"uploadId": upload}).status == 204
    assert store.files() == [] and code(bucket.call("DELETE", "k", {"uploadId": upload})) == (404, "NoSuchUpload")


def test_uploads_are_listed_in_pages(bucket):
    made = [(key, create(bucket, key)) for key in ("a/1", "a/2", "b", "b", "c")]
    made.sort()
    seen, query = [], {}
    for _ in range(10):
        xml = bucket.call("GET", query={"uploads": "", "max-uploads": "2", **query}).body.decode()
        seen += list(zip(text(xml, "Key"), text(xml, "UploadId")))
        if text(xml, "IsTruncated") == ["false"]:
            break
        query = {"key-marker": text(xml, "NextKeyMarker")[0], "upload-id-marker": text(xml, "NextUploadIdMarker")[0]}
    assert seen == made
    xml = bucket.call("GET", query={"uploads": "", "delimiter": "/"}).body.decode()
    assert text(xml, "Key") == ["b", "b", "c"] and re.findall(r"<CommonPrefixes><Prefix>(.*?)</Prefix>", xml) == ["a/"]
    xml = bucket.call("GET", query={"uploads": "", "prefix": "b"}).body.decode()
    assert text(xml, "Key") == ["b", "b"]


def test_copied_parts(bucket):
    source = os.urandom(12 * MIB)
    etag = bucket.put("source", source).headers["etag"]
    upload = create(bucket, "k")

    def copy(number, first=None, last=None, **more):
        headers = {"x-amz-copy-source": "bucket/source", **{k.replace("_", "-"): v for k, v in more.items()}}
        if first is not None:
            headers["x-amz-copy-source-range"] = f"bytes={first}-{last}"
        return bucket.call("PUT", "k", {"partNumber": number, "uploadId": upload}, headers)
    etags = []
    for number, (first, last) in enumerate(((1, 6 * MIB), (0, 5 * MIB - 1), (100, 199)), 1):
        answer = copy(number, first, last, x_amz_copy_source_if_match=etag)
        assert answer.status == 200, answer
        etags.append((number, text(answer.body, "ETag")[0].replace("&quot;", '"')))
    assert code(copy(4, 0, 12 * MIB)) == (400, "InvalidArgument")
    assert code(copy(4, x_amz_copy_source_if_match='"x"')) == (412, "PreconditionFailed")
    assert code(copy(4, x_amz_copy_source_if_none_match=etag)) == (412, "PreconditionFailed")
    assert complete(bucket, "k", upload, etags).status == 200
    bucket.call("DELETE", "source")
    assert bucket.get("k").body == source[1:6 * MIB + 1] + source[:5 * MIB] + source[100:200]
    assert bucket.call("PUT", "copy", headers={"x-amz-copy-source": "bucket/k"}).status == 200
    bucket.call("DELETE", "k")
    assert bucket.get("copy", range="bytes=6291455-6291457").body == source[6 * MIB:6 * MIB + 1] + source[:2]


def test_checksums_of_multipart(bucket):
    bodies = [b"a" * (5 * MIB), b"b" * 777]
    for full in (False, True):
        upload = create(bucket, "k", x_amz_checksum_algorithm="CRC32", **({"x_amz_checksum_type": "FULL_OBJECT"} if full else {}))
        values = [base64.b64encode(CHECKSUMS["crc32"](b)).decode() for b in bodies]
        parts = [(i, part(bucket, "k", upload, i, b, x_amz_checksum_crc32=v).headers["etag"])
                 for i, (b, v) in enumerate(zip(bodies, values), 1)]
        assert complete(bucket, "k", upload, parts, **({"x_amz_checksum_type": "FULL_OBJECT", "x_amz_checksum_crc32": "AAAAAA=="} if full else {})).status == (400 if full else 200)
        if full:
            assert complete(bucket, "k", upload, parts, x_amz_checksum_type="FULL_OBJECT").status == 200
        told = bucket.get("k", x_amz_checksum_mode="ENABLED").headers
        composite = base64.b64encode(CHECKSUMS["crc32"](b"".join(CHECKSUMS["crc32"](b) for b in bodies))).decode() + "-2"
        whole = base64.b64encode(CHECKSUMS["crc32"](b"".join(bodies))).decode()
        assert told["x-amz-checksum-crc32"] == (whole if full else composite)
        assert told["x-amz-checksum-type"] == ("FULL_OBJECT" if full else "COMPOSITE")


def test_a_download_goes_on_while_its_object_is_replaced(bucket, store):
    bodies = [os.urandom(5 * MIB) for _ in range(4)]
    upload = create(bucket, "k")
    parts = [(i, part(bucket, "k", upload, i, b).headers["etag"]) for i, b in enumerate(bodies, 1)]
    assert complete(bucket, "k", upload, parts).status == 200
    parts = urllib.parse.urlsplit(store.s3.presign("GET", "bucket", "k"))
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    first = answer.read(1000)
    bucket.put("k", b"new")
    assert bucket.get("k").body == b"new"
    assert first + answer.read() == b"".join(bodies)
    connection.close()
    wait_until(lambda: store.files() == [], "the old parts' files to go")


# --- buckets and their settings ---

def test_buckets(store):
    s3 = store.s3
    for name in ("ab", "UPPER", "a..b", "-ab", "ab-", "a_b", "x" * 64):
        assert code(s3.call("PUT", name, good=None)) == (400, "InvalidBucketName"), name
    assert s3.call("PUT", "one", good=None).status == 200
    assert code(s3.call("PUT", "one", good=None)) == (409, "BucketAlreadyOwnedByYou")
    body = b"<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>"
    assert code(s3.call("PUT", "two", body=body % b"mars-1", good=None)) == (400, "InvalidLocationConstraint")
    assert s3.call("PUT", "two", body=body % s3.region.encode()).status == 200
    assert text(s3.call("GET").body, "Name") == ["one", "two"]
    assert s3.call("HEAD", "one").headers["x-amz-bucket-region"] == s3.region
    assert s3.region in s3.call("GET", "one", query={"location": ""}).body.decode()
    s3.call("PUT", "two", "k")
    assert code(s3.call("DELETE", "two", good=None)) == (409, "BucketNotEmpty")
    s3.call("DELETE", "two", "k")
    assert s3.call("DELETE", "two").status == 204 and s3.call("HEAD", "two", good=None).status == 404


@pytest.mark.parametrize("name,tag,missing", [
    ("lifecycle", "LifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    ("publicAccessBlock", "PublicAccessBlockConfiguration", "NoSuchPublicAccessBlockConfiguration"),
    ("ownershipControls", "OwnershipControls", "OwnershipControlsNotFoundError"),
    ("encryption", "ServerSideEncryptionConfiguration", "ServerSideEncryptionConfigurationNotFoundError"),
    ("tagging", "Tagging", "NoSuchTagSet"), ("cors", "CORSConfiguration", "NoSuchCORSConfiguration")])
def test_settings_are_kept(bucket, name, tag, missing):
    assert code(bucket.call("GET", query={name: ""})) == (404, missing)
    body = f"<{tag}><Some>thing</Some></{tag}>".encode()
    assert bucket.call("PUT", query={name: ""}, body=body).status in (200, 204)
    assert bucket.call("GET", query={name: ""}).body == body
    for bad in (b"", b"<Other/>", b"<" + tag.encode()):
        assert code(bucket.call("PUT", query={name: ""}, body=bad)) == (400, "MalformedXML")
    assert bucket.call("DELETE", query={name: ""}).status == 204
    assert code(bucket.call("GET", query={name: ""})) == (404, missing)


# --- what survives ---

def test_everything_survives_a_restart(store, bucket):
    enable(bucket)
    body = os.urandom(400_000)
    bucket.put("big", body, x_amz_meta_m="1")
    bucket.put("small", b"s")
    upload = create(bucket, "up")
    etag = part(bucket, "up", upload, 1, body).headers["etag"]
    before = versions(bucket)[0]
    store.stop()
    store.start()
    again = Bucket(store.s3, "bucket")
    assert versions(again)[0] == before
    assert again.get("big").body == body and again.get("big").headers["x-amz-meta-m"] == "1"
    assert complete(again, "up", upload, [(1, etag)]).status == 200 and again.get("up").body == body


def test_what_was_answered_survives_kill(root, build):
    store = Store(root, build).start()
    Bucket(store.s3, "bucket").s3.call("PUT", "bucket")
    kept = {}
    for round_ in range(3):
        bucket = Bucket(store.s3, "bucket")
        stop = False

        def write(worker):
            number = 0
            while not stop:
                key, body = f"{worker}/{round_}-{number}", os.urandom(100 if number % 2 else 200_000)
                try:
                    if bucket.call("PUT", key, body=body).status == 200:
                        kept[key] = body
                except (OSError, http.client.HTTPException):
                    return
                number += 1
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(write, worker) for worker in range(4)]
            time.sleep(0.7)
            store.kill()
            stop = True
            for job in jobs:
                job.result()
        store.start()
    bucket = Bucket(store.s3, "bucket")
    assert len(kept) > 20
    for key, body in kept.items():
        assert bucket.get(key).body == body, key
    listed, more = [], {}
    while True:
        found = bucket.keys(**more)
        listed += found[0]
        if not text(found[2], "NextContinuationToken"):
            break
        more = {"continuation_token": text(found[2], "NextContinuationToken")[0]}
    for key in set(listed) - set(kept):  # done, but the answer was lost: whole all the same
        answer = bucket.get(key)
        assert answer.etag == md5(answer.body)
    large = sum(int(bucket.call("HEAD", key).headers["content-length"]) > 65_536 for key in listed)
    wait_until(lambda: len(store.files()) == large, "files of killed uploads to go")
    assert list((store.folder / "new").iterdir()) == []
    store.stop()


def test_a_folder_serves_one_store(store, root, build):
    second = subprocess.run([build.folder / "tests/unit/embedded/store_alone", store.folder], capture_output=True, text=True,
                            timeout=PATIENCE)
    assert second.returncode == 1 and "in use" in second.stderr


# --- the client's store, straight against it ---

FEATURES = ["put_if_absent", "put_if_match", "complete_if_absent", "complete_if_match", "complete_size", "copy_if_absent",
            "copy_if_match", "copy_source_if_match", "part_copy_source_if_match", "delete_if_match", "delete_many_if_match",
            "content_md5", "quoted_etag"]


@pytest.mark.parametrize("versions_on", [False, True], ids=["without versions", "with versions"])
def test_conformance(store, build, versions_on):
    done = subprocess.run([build.folder / "tests/conformance/conformance_direct", store.endpoint, store.s3.access_key,
                           store.s3.secret_key, store.s3.region, "conforms", *FEATURES, *(["versions"] if versions_on else [])],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"PASSED  \] \d\d test", done.stdout + done.stderr)


# --- other people's programs ---

def environment(store):
    return {"PATH": os.environ["PATH"], "HOME": str(store.root), "AWS_ACCESS_KEY_ID": store.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": store.s3.secret_key, "AWS_DEFAULT_REGION": store.s3.region, "AWS_EC2_METADATA_DISABLED": "true"}


def make_tree(folder):
    (folder / "d/e f").mkdir(parents=True)
    (folder / "d/ü+%2F.txt").write_text("awkward")
    (folder / "empty").write_bytes(b"")
    (folder / "big").write_bytes(os.urandom(20 * MIB))
    for number in range(30):
        (folder / "d/e f" / f"{number}").write_bytes(os.urandom(number * 700))


def same(a, b):
    return subprocess.run(["diff", "-r", a, b], capture_output=True).returncode == 0


@pytest.mark.skipif(not shutil.which("aws"), reason="the aws command is not installed")
def test_aws_s3_sync(store, root):
    make_tree(root / "from")

    def aws(*arguments):
        done = subprocess.run(["aws", "--endpoint-url", store.endpoint, "s3", *map(str, arguments)], capture_output=True, text=True,
                              env=environment(store), timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout
    aws("mb", "s3://synced")
    aws("sync", root / "from", "s3://synced/x")
    assert aws("sync", root / "from", "s3://synced/x").strip() == ""
    aws("sync", "s3://synced/x", root / "to")
    assert same(root / "from", root / "to")
    aws("mv", "s3://synced/x/big", "s3://synced/y")
    assert "20971520 y" in aws("ls", "s3://synced/")
    aws("rm", "--recursive", "s3://synced/")
    aws("rb", "s3://synced")


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
def test_rclone(store, root):
    make_tree(root / "from")
    store.s3.call("PUT", "cloned")
    config = root / "rclone.conf"
    config.write_text(f"[x]\ntype = s3\nprovider = Other\naccess_key_id = {store.s3.access_key}\n"
                      f"secret_access_key = {store.s3.secret_key}\nregion = {store.s3.region}\nendpoint = {store.endpoint}\n")

    def rclone(*arguments):
        done = subprocess.run(["rclone", "--config", config, "--s3-chunk-size", "5M", "--s3-upload-cutoff", "10M", *map(str, arguments)],
                              capture_output=True, text=True, env=environment(store), timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout
    rclone("copy", root / "from", "x:cloned/z")
    rclone("check", root / "from", "x:cloned/z")
    rclone("move", "x:cloned/z/d", "x:cloned/w")
    rclone("copy", "x:cloned/w", root / "to")
    assert same(root / "from/d", root / "to")


@pytest.mark.skipif(not shutil.which("s3fs"), reason="s3fs is not installed")
def test_s3fs(store, root):
    make_tree(root / "from")
    store.s3.call("PUT", "mounted")
    keys = root / "keys"
    keys.write_text(f"{store.s3.access_key}:{store.s3.secret_key}")
    keys.chmod(0o600)
    folder = root / "mount"
    folder.mkdir()
    process = Process(["s3fs", "mounted", folder, "-f", "-o", f"url={store.endpoint},use_path_request_style,passwd_file={keys},"
                       f"endpoint={store.s3.region}"], root / "s3fs.log", env=environment(store))
    try:
        wait_until(lambda: os.path.ismount(folder), "the mount")
        subprocess.run(["cp", "-r", f"{root}/from", folder], check=True)
        assert same(root / "from", folder / "from")
        os.rename(folder / "from/big", folder / "big")
        assert (folder / "big").read_bytes() == (root / "from/big").read_bytes()
    finally:
        subprocess.run(["fusermount", "-u", folder])
        process.end()
