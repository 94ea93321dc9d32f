"""The yardstick: the same work done by raw HTTP (rawhttp.c) on pre-signed URLs, against the same store in the same run."""
import os
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PART = 16 << 20


class Raw:
    """endpoint: where the client sends its requests, which may be a far wire before the store that s3 talks to."""

    def __init__(self, program, s3, endpoint, scratch, core=None):
        self.program, self.s3, self.endpoint, self.scratch, self.core = program, s3, endpoint, Path(scratch), core

    def url(self, method, bucket, key="", query=None, headers=None):
        return self.s3.presign(method, bucket, key, query, headers, endpoint=self.endpoint)

    def perform(self, connections, requests):
        """requests: (method, url, headers, body, out). Seconds from the first to the last."""
        lines = "".join("\t".join((method, url, "|".join(headers) or "-", body or "-", out or "-")) + "\n"
                        for method, url, headers, body, out in requests)
        pin = ["taskset", "-c", str(self.core)] if self.core is not None else []
        done = subprocess.run([*pin, str(self.program), str(connections)], input=lines, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    def read(self, bucket, key, size, connections):
        """The whole object into one file: by one GET, or by ranges over many connections."""
        out = self.scratch / "raw.out"
        out.unlink(missing_ok=True)
        url = self.url("GET", bucket, key)
        step = size if connections == 1 else 8 << 20
        seconds = self.perform(connections, [
            ("GET", url, [f"Range: bytes={at}-{min(at + step, size) - 1}"], None, f"{out}@{at}") for at in range(0, size, step)])
        assert out.stat().st_size == size
        out.unlink()
        return seconds

    def write(self, bucket, key, file, connections):
        """A multipart upload of a file, creating and completing included."""
        size = os.path.getsize(file)
        before = time.monotonic()
        upload = self.s3.create_upload(bucket, key)
        self.perform(connections, [
            ("PUT", self.url("PUT", bucket, key, {"partNumber": number, "uploadId": upload}), [],
             f"{file}@{at}+{min(PART, size - at)}", None)
            for number, at in enumerate(range(0, size, PART), 1)])
        self.s3.complete_upload(bucket, key, upload, self.s3.parts(bucket, key, upload))
        return time.monotonic() - before

    def put_many(self, bucket, keys, file, size, connections):
        return self.perform(connections, [("PUT", self.url("PUT", bucket, key), [], f"{file}@0+{size}", None) for key in keys])

    def get_many(self, bucket, keys, connections):
        return self.perform(connections, [("GET", self.url("GET", bucket, key), [], None, None) for key in keys])

    def head_many(self, bucket, keys, connections):
        return self.perform(connections, [("HEAD", self.url("HEAD", bucket, key), [], None, None) for key in keys])

    def random_reads(self, bucket, key, offsets, size):
        url = self.url("GET", bucket, key)
        return self.perform(1, [("GET", url, [f"Range: bytes={at}-{at + size - 1}"], None, None) for at in offsets])

    def copy_many(self, bucket, pairs, connections):
        requests = []
        for source, key in pairs:
            headers = {"x-amz-copy-source": f"/{bucket}/{source}"}
            requests.append(("PUT", self.url("PUT", bucket, key, headers=headers),
                             [f"{k}: {v}" for k, v in headers.items()], None, None))
        return self.perform(connections, requests)

    def list(self, bucket, prefix):
        """Flat ListObjectsV2 pages, one after the other, as their tokens force."""
        out = self.scratch / "page.xml"
        seconds, token, count = 0.0, None, 0
        while True:
            query = {"list-type": "2", "prefix": prefix, "max-keys": "1000"}
            if token:
                query["continuation-token"] = token
            out.unlink(missing_ok=True)
            seconds += self.perform(1, [("GET", self.url("GET", bucket, query=query), [], None, f"{out}@0")])
            tree = ElementTree.parse(out).getroot()
            fields = {e.tag.split("}")[-1]: e.text for e in tree}
            count += sum(e.tag.endswith("Contents") for e in tree)
            token = fields.get("NextContinuationToken")
            if fields.get("IsTruncated") != "true":
                return seconds, count

    def delete_many(self, bucket, keys):
        """Batches of 1,000; signed in the header, since the body must be bound."""
        before = time.monotonic()
        for at in range(0, len(keys), 1000):
            self.s3.delete_many(bucket, keys[at:at + 1000])
        return time.monotonic() - before
