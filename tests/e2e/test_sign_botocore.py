"""Our signatures against those of botocore, the AWS SDK's own, for keys and parameters of every awkward kind."""
import datetime
import json
import subprocess
import urllib.parse

import pytest

botocore_auth = pytest.importorskip("botocore.auth", reason="botocore is not installed (packaging/check installs it)")
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

from lib.processes import PATIENCE

ACCESS, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "a/long+token=="

KEYS = [
    "plain", "with space", "a+b", "a%2Fb", "a//b", "a/../b", "./a/./b/..", "ümläut/日本語/🪣", "/leading", "//two",
    "x" * 1024, "é" * 512, "tilde~and-dots._", "all!\"#$%&'()*,:;<=>?@[\\]^`{|}", "tab\tnew\nline", "trailing/", "?query=1",
]
QUERIES = [
    [],
    [["uploadId", "a/b+c=d&e f~"], ["partNumber", "12"]],
    [["list-type", "2"], ["prefix", "ann/ü %"], ["delimiter", "/"], ["encoding-type", "url"]],
    [["uploads", ""]],
    [["B", "2"], ["a", "1"], ["A", "3"], ["a-b", "4"], ["a0", "5"]],
]
HEADERS = [
    [],
    [["x-amz-meta-a", "one  two   three "], ["content-length", "17"]],
    [["x-amz-copy-source", "bucket/a%3Fb%20c"], ["x-amz-copy-source-if-match", '"0123"'], ["x-amz-meta-b", "v"]],
]


@pytest.fixture(scope="module")
def sign(build):
    process = subprocess.Popen([build.folder / "tests" / "unit" / "s3" / "sign_tool"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def ask(**told):
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    yield ask
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()


def seconds(stamp):
    return int(datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp())


def botocore_request(method, host, key, query, headers):
    url = host + "/bucket/" + urllib.parse.quote(key, safe="-._~/")
    names = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in query)
    return AWSRequest(method=method, url=url + ("?" + names if names else ""), headers=dict(headers))


def parameters(url):
    """What is signed with: the path as it stands, and each parameter."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc, parts.path, sorted(parts.query.split("&"))


CASES = [(key, QUERIES[0], HEADERS[0]) for key in KEYS] + [("k ü", query, headers) for query in QUERIES for headers in HEADERS]


@pytest.mark.parametrize("token", [None, TOKEN], ids=["long-lived", "temporary"])
@pytest.mark.parametrize("host", ["https://s3.eu-central-1.amazonaws.com", "http://127.0.0.1:7480"])
def test_urls_are_those_of_botocore(sign, host, token):
    for key, query, headers in CASES:
        request = botocore_request("PUT", host, key, query, headers)
        botocore_auth.S3SigV4QueryAuth(Credentials(ACCESS, SECRET, token), "s3", "eu-central-1", expires=900).add_auth(request)
        theirs = parameters(request.url)
        stamp = next(v for v in theirs[3] if v.startswith("X-Amz-Date=")).split("=")[1]
        ours = sign(method="PUT", scheme_host=host, path="/bucket/" + key, query=query, headers=headers, time=seconds(stamp),
                    access_key=ACCESS, secret_key=SECRET, session_token=token, region="eu-central-1", expires=900)
        assert parameters(ours["url"]) == theirs, key


@pytest.mark.parametrize("token", [None, TOKEN], ids=["long-lived", "temporary"])
def test_headers_are_those_of_botocore(sign, token):
    host = "https://s3.eu-central-1.amazonaws.com"
    for key, query, headers in CASES:
        request = botocore_request("POST", host, key, query, headers)
        request.data = b"the body"
        auth = botocore_auth.S3SigV4Auth(Credentials(ACCESS, SECRET, token), "s3", "eu-central-1")
        request.context["payload_signing_enabled"] = True
        auth.add_auth(request)
        given = {k.lower(): v for k, v in request.headers.items()}
        signed = given["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        ours = sign(method="POST", scheme_host=host, path="/bucket/" + key, query=query,
                    headers=[[n, given[n]] for n in signed if n not in
                             ("host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token")],
                    time=seconds(given["x-amz-date"]), access_key=ACCESS, secret_key=SECRET, session_token=token,
                    region="eu-central-1", payload=given["x-amz-content-sha256"])
        assert ours["date"] == given["x-amz-date"]
        assert ours["authorization"].replace(",", ", ") == given["authorization"].replace(", ", ",").replace(",", ", "), key
