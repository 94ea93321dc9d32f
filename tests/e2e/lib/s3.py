"""A small S3 client for looking at a store from outside: SigV4 in the header, path style, one connection a call."""
import base64
import datetime
import hashlib
import hmac
import html
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

from .processes import PATIENCE


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def etag(self):
        return self.headers.get("etag", "").strip('"')

    def __repr__(self):
        return f"HTTP {self.status} {self.body[:500]!r}"


def _strip(tag):
    return tag.split("}")[-1]


class Below(str):
    """A bucket's name with the prefix that an account has in it: S3 below takes and tells keys without the prefix."""

    def __new__(cls, name, prefix):
        made = super().__new__(cls, name)
        made.prefix = prefix
        return made

    def __eq__(self, other):
        return str(self) == str(other) and self.prefix == _prefix(other)

    def __ne__(self, other):  # str has its own
        return not self == other

    __hash__ = str.__hash__


def _prefix(bucket):
    return getattr(bucket, "prefix", "")


class S3:
    def __init__(self, endpoint, access_key, secret_key, region="us-east-1"):
        self.endpoint, self.access_key, self.secret_key, self.region = endpoint, access_key, secret_key, region
        self.host = endpoint.split("://")[1]

    def _signature(self, day, text):
        key = ("AWS4" + self.secret_key).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def call(self, method, bucket="", key="", query=None, headers=None, body=b"", good=(200, 204)):
        if isinstance(key, str):
            key = key.encode()
        key = key and _prefix(bucket).encode() + key
        path = "/" + bucket + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        names = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(str(v), safe='-_.~')}"
                         for k, v in sorted((query or {}).items()))
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        sent = {k.lower(): v for k, v in (headers or {}).items()}
        sent.update({"host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": digest})
        signed = ";".join(sorted(sent))
        canonical = "\n".join([method, path, names, *(f"{k}:{sent[k].strip()}" for k in sorted(sent)), "", signed, digest])
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        sent["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={signed}, "
                                 f"Signature={self._signature(stamp[:8], text)}")
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            connection.request(method, path + ("?" + names if names else ""), body=body, headers=sent)
            reply = connection.getresponse()
            answer = Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()
        assert good is None or answer.status in good, f"{method} {path}?{names}: {answer}"
        return answer

    def presign(self, method, bucket, key="", query=None, headers=None, endpoint=None, expires_s=3600):
        """A signed URL; headers given here must be sent. endpoint: where it will be asked instead (a proxy)."""
        host = (endpoint or self.endpoint).split("://")[1]
        key = key and _prefix(bucket) + key
        path = "/" + bucket + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        sent = {**{k.lower(): v for k, v in (headers or {}).items()}, "host": host}
        signed = ";".join(sorted(sent))
        values = {**(query or {}), "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access_key}/{scope}",
                  "X-Amz-Date": stamp, "X-Amz-Expires": str(expires_s), "X-Amz-SignedHeaders": signed}
        names = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(str(v), safe='-_.~')}"
                         for k, v in sorted(values.items()))
        canonical = "\n".join([method, path, names, *(f"{k}:{sent[k]}" for k in sorted(sent)), "", signed,
                               "UNSIGNED-PAYLOAD"])
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        return f"http://{host}{path}?{names}&X-Amz-Signature={self._signature(stamp[:8], text)}"

    def delete_many(self, bucket, keys):
        items = "".join(f"<Object><Key>{html.escape(_prefix(bucket) + key)}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{items}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        return self.call("POST", bucket, query={"delete": ""}, body=body, headers={"Content-MD5": digest})

    def create_upload(self, bucket, key):
        tree = ElementTree.fromstring(self.call("POST", bucket, key, query={"uploads": ""}).body)
        return next(e.text for e in tree.iter() if _strip(e.tag) == "UploadId")

    def complete_upload(self, bucket, key, upload, etags):
        parts = "".join(f"<Part><PartNumber>{i}</PartNumber><ETag>{etag}</ETag></Part>" for i, etag in enumerate(etags, 1))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return self.call("POST", bucket, key, query={"uploadId": upload}, body=body)

    def parts(self, bucket, key, upload):
        """ETags by number."""
        tree = ElementTree.fromstring(self.call("GET", bucket, key, query={"uploadId": upload}).body)
        found = [{_strip(e.tag): e.text for e in part} for part in tree.iter() if _strip(part.tag) == "Part"]
        return [p["ETag"] for p in sorted(found, key=lambda p: int(p["PartNumber"]))]

    def get(self, bucket, key, **more):
        return self.call("GET", bucket, key, **more)

    def head(self, bucket, key, **more):
        return self.call("HEAD", bucket, key, **more)

    def put(self, bucket, key, body, **more):
        return self.call("PUT", bucket, key, body=body, **more)

    def delete(self, bucket, key, **more):
        return self.call("DELETE", bucket, key, **more)

    def buckets(self):
        tree = ElementTree.fromstring(self.call("GET").body)
        return [e.text for e in tree.iter() if _strip(e.tag) == "Name"]

    def _pages(self, bucket, query, marker):
        while True:
            tree = ElementTree.fromstring(self.call("GET", bucket, query=query).body)
            yield tree
            following = {_strip(e.tag): e.text for e in tree}
            if following.get("IsTruncated") != "true":
                return
            query = {**query, **marker(following)}

    def list(self, bucket, prefix=""):
        """{key: (size, etag)} of what is current."""
        found = {}
        query = {"list-type": "2", "prefix": _prefix(bucket) + prefix, "encoding-type": "url"}
        for tree in self._pages(bucket, query, lambda f: {"continuation-token": f["NextContinuationToken"]}):
            for item in tree:
                if _strip(item.tag) == "Contents":
                    fields = {_strip(e.tag): e.text or "" for e in item}
                    found[urllib.parse.unquote(fields["Key"]).removeprefix(_prefix(bucket))] = (int(fields["Size"]), fields["ETag"].strip('"'))
        return found

    def versions(self, bucket, prefix=""):
        """[(key, version, is_latest, is_marker)], newest first for each key."""
        found = []
        query = {"versions": "", "prefix": _prefix(bucket) + prefix, "encoding-type": "url"}
        for tree in self._pages(bucket, query, lambda f: {"key-marker": urllib.parse.unquote(f["NextKeyMarker"]),
                                                          "version-id-marker": f.get("NextVersionIdMarker", "")}):
            for item in tree:
                if _strip(item.tag) in ("Version", "DeleteMarker"):
                    fields = {_strip(e.tag): e.text or "" for e in item}
                    found.append((urllib.parse.unquote(fields["Key"]).removeprefix(_prefix(bucket)), fields["VersionId"], fields["IsLatest"] == "true",
                                  _strip(item.tag) == "DeleteMarker"))
        return found

    def contents(self, bucket, prefix=""):
        """{key: bytes} of everything current: for small buckets."""
        return {key: self.get(bucket, key).body for key in self.list(bucket, prefix)}
