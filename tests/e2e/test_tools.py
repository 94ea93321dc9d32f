"""The test tools themselves: a proxy that does not break things, or a check that sees nothing, would make tests lie."""
import http.client
import subprocess
import threading
import time

import pytest

from lib import faultproxy as fault
from lib import processes
from lib.processes import PATIENCE, Process


def ask(proxy, method, path, body=None, timeout=PATIENCE):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def echo():
    """A server that remembers what it was sent."""
    import http.server
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.path, self.headers["Host"], body))
            self.send_response(200)
            self.send_header("Content-Length", "10000")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"x" * 10000)
        do_GET = do_PUT = do_HEAD = do_POST = answer

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.seen = seen
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_proxy_passes_everything_on(faultproxy, echo):
    proxy = faultproxy(echo.url)
    assert ask(proxy, "PUT", "/b/k?x=1", b"y" * 3_000_000) == (200, b"x" * 10000)
    assert ask(proxy, "HEAD", "/b/k") == (200, b"")
    assert [(m, p, h, len(b)) for m, p, h, b in echo.seen] == [
        ("PUT", "/b/k?x=1", f"127.0.0.1:{proxy.port}", 3_000_000), ("HEAD", "/b/k", f"127.0.0.1:{proxy.port}", 0)]
    assert proxy.requests("PUT") == [("PUT", "/b/k?x=1")]


def test_proxy_misbehaves_as_told(faultproxy, echo):
    proxy = faultproxy(echo.url)
    proxy.add(fault.Rule(fault.reset(), method="GET", path="reset"))
    proxy.add(fault.Rule(fault.answer(503, "SlowDown"), path="busy", skip=1, times=2))
    proxy.add(fault.Rule(fault.cut(5000), path="cut"))
    proxy.add(fault.Rule(fault.lose(), path="lost"))
    proxy.add(fault.Rule(fault.then_error(500, "InternalError"), path="done"))
    proxy.add(fault.Rule(fault.delay(0.5), path="slow"))
    proxy.add(fault.Rule(fault.reset_in_body(1000), path="half"))
    with pytest.raises(ConnectionResetError):
        ask(proxy, "GET", "/reset")
    assert ask(proxy, "GET", "/reset")[0] == 200  # only once
    assert [ask(proxy, "GET", "/busy")[0] for _ in range(4)] == [200, 503, 503, 200]
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(proxy, "GET", "/cut")
    assert len(broken.value.partial) == 5000
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(proxy, "PUT", "/lost", b"kept")
    assert echo.seen[-1][1:2] == ("/lost",) and echo.seen[-1][3] == b"kept"
    status, body = ask(proxy, "PUT", "/done", b"kept too")
    assert (status, echo.seen[-1][3]) == (500, b"kept too") and b"InternalError" in body
    before = time.monotonic()
    assert ask(proxy, "GET", "/slow")[0] == 200 and time.monotonic() - before >= 0.5
    count = len(echo.seen)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(proxy, "PUT", "/half", b"z" * 100_000)
    assert len(echo.seen) == count


def test_proxy_stalls_until_released(faultproxy, echo):
    proxy, release = faultproxy(echo.url), threading.Event()
    proxy.add(fault.Rule(fault.stall(release), path="stall", times=None))
    threads = [threading.Thread(target=lambda: pytest.raises(Exception, ask, proxy, "GET", "/stall", None, 20))
               for _ in range(20)]
    for thread in threads:
        thread.start()
    processes.wait_until(lambda: len(proxy.requests("GET", "stall")) == 20)
    assert ask(proxy, "GET", "/other")[0] == 200  # the others do not notice
    assert not echo.seen[:-1]
    release.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


def test_cable_pulled_and_put_back(faultproxy, echo):
    proxy = faultproxy(echo.url)
    assert ask(proxy, "GET", "/a")[0] == 200
    proxy.network(False)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(proxy, "GET", "/b")
    proxy.network(True)
    assert ask(proxy, "GET", "/c")[0] == 200
    assert [path for _, path, _, _ in echo.seen] == ["/a", "/c"]


def test_far_wire_is_as_far_as_told(farwire, faultproxy, echo):
    class Wire:
        port = farwire(int(echo.url.rsplit(":", 1)[1]), rtt_ms=100, mb_per_s=1)

    def took(*request):
        before = time.monotonic()
        assert ask(Wire, *request)[0] == 200
        return time.monotonic() - before
    assert 0.2 <= min(took("GET", "/x") for _ in range(5)) < 0.6  # one round trip to connect, one to ask
    assert 1.0 <= min(took("PUT", "/x", b"y" * 1_000_000) for _ in range(3)) < 2.5
    assert echo.seen[-1][3] == b"y" * 1_000_000


def test_daemons_that_leave_their_group_are_found(root):
    """What the leftover check stands on."""
    before = set(processes.descendants())
    subprocess.run(["sh", "-c", "setsid sleep 300 & :"], check=True)
    left = set(processes.descendants()) - before
    assert len(left) == 1
    processes.wait_until(lambda: processes.command_line(*left) == "sleep 300", "setsid to become sleep")
    processes.kill_tree(left)
    assert set(processes.descendants()) <= before


def test_a_program_that_ends_is_told_with_its_log(root):
    process = Process(["sh", "-c", "echo said; exit 3"], root / "x.log")
    with pytest.raises(AssertionError, match="ended with 3"):
        process.wait_for("never")
    assert process.text() == "said\n"


def test_requests_are_signed_anew_for_another_host(faultproxy, ceph):
    from lib.resign import Resigner
    from lib.s3 import S3
    ceph.s3.call("PUT", "resigned")
    proxy = faultproxy(ceph.s3.endpoint)
    seen = proxy.url.split("://")[1]
    proxy.rewrite = Resigner(ceph.s3, seen)
    there = S3(proxy.url, ceph.s3.access_key, ceph.s3.secret_key)
    there.put("resigned", "a b/ü", b"hello")  # signed in the header, for the proxy's host
    url = ceph.s3.presign("GET", "resigned", "a b/ü", endpoint=proxy.url)
    assert ask(proxy, "GET", url[len(proxy.url):]) == (200, b"hello")
    assert ask(proxy, "GET", url[len(proxy.url):].replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"))[0] == 403
    wrong = S3(proxy.url, ceph.s3.access_key, "not the secret")
    assert wrong.get("resigned", "a b/ü", good=None).status == 403
    there.delete("resigned", "a b/ü")
    ceph.s3.call("DELETE", "resigned")


def test_ceph_answers_our_small_client(ceph):
    s3 = ceph.s3
    s3.call("PUT", "tools-test")
    awkward = "a b/+ü%2F?&=~'(1).txt"
    etag = s3.put("tools-test", awkward, b"hello").etag
    assert s3.list("tools-test") == {awkward: (5, etag)}
    assert s3.get("tools-test", awkward).body == b"hello"
    assert s3.get("tools-test", "absent", good=None).status == 404
    s3.delete("tools-test", awkward)
    assert s3.list("tools-test") == {} and "tools-test" in s3.buckets()
    s3.call("DELETE", "tools-test")
