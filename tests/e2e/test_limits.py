"""The mapping server among people who ask too much, too slowly, or with bad tokens; behind a real nginx; and with a TLS certificate
that changes while it runs. 127.0.0.2 and its like are other addresses on the same loopback; 127.0.0.1 is a trusted proxy's."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from lib.ports import free_port
from lib.processes import PATIENCE, Process, wait_until
from lib.scene import Scene
from lib.server_client import Client, Reply, send

PLACE = Path(__file__).resolve().parents[2] / "packaging" / "examples"


class From(Client):
    """A client at an address."""

    def __init__(self, url, token, address):
        super().__init__(url, token)
        self.address = address

    def ask(self, method, path, document=None, body=None, token=..., headers=None):
        token = self.token if token is ... else token
        headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        if document is not None:
            body = json.dumps(document).encode()
        netloc = urllib.parse.urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(netloc, timeout=PATIENCE, source_address=(self.address, 0))
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def granted(self, count=1):
        return self.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": f"k{i}"} for i in range(count)]})


@pytest.fixture
def limited(tokens, server, embedded):
    """limited(name=value, ...) is a scene whose server has these settings of [server]."""
    return lambda **settings: Scene(tokens, server, embedded,
                                    **{f"server__{name}": value for name, value in settings.items()}).start()


def at(scene, address, subject="ann"):
    """Somebody with a bucket whose token is known."""
    client = From(scene.url, scene.issuer.token(subject), address)
    assert client.session().status in (200, 201)
    return client


def metric(scene, line):
    text = send("GET", f"{scene.url}/metrics").body.decode()
    return int(re.search(rf"^{re.escape(line)} (\d+)$", text, re.M).group(1))


# Asking too often

def test_an_account_that_asks_too_often_waits_and_nobody_else(limited):
    scene = limited(requests_per_account=1)
    ann, bob = at(scene, "127.0.0.2", "ann"), at(scene, "127.0.0.2", "bob")
    replies = [ann.granted() for _ in range(20)]
    late = [reply for reply in replies if reply.status == 429]
    assert 5 <= len(late) <= 10 and {reply.status for reply in replies} == {200, 429}
    assert late[0].code == "busy" and "account" in late[0].json["error"]["message"]
    assert bob.granted().status == 200
    elsewhere = From(scene.url, ann.token, "127.0.0.3")
    assert elsewhere.granted().status == 429 or metric(scene, 'pail_refusals_total{code="account_requests"}') >= len(late)
    time.sleep(int(late[-1].headers["retry-after"]))
    assert ann.granted().status == 200
    assert metric(scene, 'pail_refusals_total{code="account_requests"}') >= len(late)
    assert 'account=a' in scene.server.text() and "held back" in scene.server.text()


def test_grants_count_by_their_urls(limited):
    scene = limited(grants_per_account=10)
    ann, bob = at(scene, "127.0.0.2", "ann"), at(scene, "127.0.0.2", "bob")
    assert ann.granted(1000).status == 200  # one whole batch always passes
    reply = ann.granted(500)
    assert reply.status == 429 and 40 <= int(reply.headers["retry-after"]) <= 50, reply
    part = {"op": "part", "key": "k", "upload": "u", "first": 1, "count": 900, "size": 1}
    assert ann.ask("POST", "/v1/grants", {"items": [part]}).status == 429
    assert ann.ask("POST", "/v1/grants", {"items": []}).status == 200
    assert bob.granted(1000).status == 200
    assert metric(scene, 'pail_refusals_total{code="account_grants"}') == 2


def test_an_address_that_asks_too_often_waits_and_people_there_do_not(limited):
    scene = limited(requests_per_address=1)
    ann = at(scene, "127.0.0.2")
    look = lambda address, **more: send_from(scene, address, "/.well-known/pail-configuration", **more)
    replies = [look("127.0.0.2") for _ in range(20)]
    assert {reply.status for reply in replies} == {200, 429}
    assert int(replies[-1].headers["retry-after"]) >= 1 or replies[-1].status == 200
    assert all(ann.granted().status == 200 for _ in range(30)), "whoever is known counts for the account only"
    assert all(ann.session().status == 200 for _ in range(10))
    assert look("127.0.0.3").status == 200
    wait_until(lambda: look("127.0.0.2").status == 429, "the limit to hold again")
    assert look("127.0.0.2", forwarded="203.0.113.9").status == 429, "nobody believes what a stranger forwards"
    assert metric(scene, 'pail_refusals_total{code="address_requests"}') >= 2


def send_from(scene, address, path, forwarded=None):
    return From(scene.url, None, address).ask("GET", path, headers={"X-Forwarded-For": forwarded} if forwarded else {})


def test_a_trusted_proxy_asks_for_many(limited):
    scene = limited(requests_per_address=1)
    look = lambda forwarded: send_from(scene, "127.0.0.1", "/.well-known/pail-configuration", forwarded).status
    assert {look("203.0.113.1") for _ in range(20)} == {200, 429}
    assert look("203.0.113.2") == 200
    assert look("203.0.113.1, 203.0.113.3") == 200, "the rightmost one counts"
    wait_until(lambda: look("203.0.113.200, 203.0.113.1") == 429, "the limit to hold again")
    assert {look("2001:db8:1:2::1") if number % 2 else look("2001:db8:1:2:3::") for number in range(20)} == {200, 429}
    assert look("2001:db8:1:3::1") == 200, "another /64"
    assert all(look(None) == 200 for _ in range(30)), "a proxy that does not say for whom it asks"


def test_a_flood_of_bad_tokens_takes_nothing_from_good_people(limited):
    scene = limited(failures_per_address=5)
    ann = at(scene, "127.0.0.2")
    ended, statuses, stop = [], {}, threading.Event()

    def flood(number):
        while not stop.is_set():
            token = ann.token[:-6] + f"{number:06d}" if number % 2 else f"nonsense{number}"
            status = From(scene.url, token, "127.0.0.2").session().status
            statuses[status] = statuses.get(status, 0) + 1
        ended.append(number)
    threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: statuses.get(429, 0) > 20, "bad tokens to be held back")
        for _ in range(20):
            assert ann.granted().status == 200 and ann.session().status == 200
        assert at(scene, "127.0.0.3", "bob").granted().status == 200, "a new login from elsewhere"
        fresh = From(scene.url, scene.issuer.token("cem"), "127.0.0.2").session()
        assert fresh.status == 429 and int(fresh.headers["retry-after"]) >= 1, fresh
        assert "bad logins" in fresh.json["error"]["message"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {401, 429} and statuses[401] < 5 + 8 + 20, statuses
    assert metric(scene, 'pail_refusals_total{code="token"}') == statuses[401]
    assert metric(scene, 'pail_refusals_total{code="address_failures"}') > 20


def test_a_mount_waits_as_long_as_it_is_told_and_loses_nothing(embedded_stack):
    """A hundred files, of somebody who may ask five times in two seconds."""
    config = embedded_stack.server.config
    config.write_text(config.read_text().replace("[server]\n", "[server]\nrequests_per_account = 1\n"))
    embedded_stack.server_stop()
    embedded_stack.server_start()
    ann = embedded_stack.person()
    folder = ann.mount()
    for number in range(40):
        Path(folder, f"f{number}").write_text(f"{number}")
        ann.sync(timeout=300) if number % 4 == 3 else None
    ann.sync(timeout=300)
    kept = embedded_stack.s3.contents(embedded_stack.bucket_of(ann))
    assert kept == {f"f{number}": str(number).encode() for number in range(40)}
    assert "account_requests" in embedded_stack.server.text(), "it was never too often"
    ann.umount()


# Too slow, too many, too large

class Slow:
    """200 clients of one address at once, each slow in its own way, that come again when they are sent away."""

    def __init__(self, scene, token, address):
        self.port, self.address, self.stop = int(scene.url.rsplit(":", 1)[1]), address, threading.Event()
        bearer = f"Authorization: Bearer {token}\r\n"
        grants = json.dumps({"items": [{"op": "get", "key": "x" * 700 + str(i)} for i in range(900)]})
        whole = f"POST /v1/grants HTTP/1.1\r\nHost: h\r\n{bearer}Content-Length: {len(grants)}\r\n\r\n"
        self.ways = [
            b"",
            b"POST /v1/gr",
            b"POST /v1/grants HTTP/1.1\r\nHost: h\r\nX-",
            f"POST /v1/grants HTTP/1.1\r\nHost: h\r\n{bearer}Content-Length: 1000000\r\n\r\n{{".encode(),
            f"POST /v1/session HTTP/1.1\r\nHost: h\r\n{bearer}Transfer-Encoding: chunked\r\n\r\n".encode(),
            (whole + grants).encode(),  # and the answer is not read
        ]
        self.came = 0
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(8)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        """25 connections, one byte now and then on each."""
        with contextlib.ExitStack() as stack:
            open_ones = {}
            while not self.stop.wait(0.05):
                for each in range(25):
                    connection = open_ones.get(each) or self.connect(stack, self.ways[(number + each) % len(self.ways)])
                    try:
                        connection.send(b"a" if (number + each) % len(self.ways) in (1, 2, 3) else b"")
                        open_ones[each] = connection
                    except OSError:
                        connection.close()
                        open_ones.pop(each, None)

    def connect(self, stack, text):
        connection = stack.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        with contextlib.suppress(OSError):
            connection.bind((self.address, 0))
            connection.connect(("127.0.0.1", self.port))
            self.came += 1
            connection.sendall(text)
        return connection

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_others_do_not_notice_200_slow_clients(limited):
    scene = limited(connections_per_address=60, connections=200, request_s=2, idle_s=5)
    eve, ann = at(scene, "127.0.0.2", "eve"), at(scene, "127.0.0.3", "ann")
    slow = Slow(scene, eve.token, "127.0.0.2")
    try:
        closed = lambda reason: metric(scene, f'pail_connections_closed_total{{reason="{reason}"}}')
        wait_until(lambda: closed("address") > 100, "connections of one address to be too many")
        for number in range(60):
            assert ann.granted().status == 200
            assert ann.session().status == 200
        assert at(scene, "127.0.0.4", "bob").granted().status == 200, "a first login"
        assert metric(scene, "pail_connections") < 80
        wait_until(lambda: closed("slow") > 20, "slow ones to be cut off")
    finally:
        slow.end()
    wait_until(lambda: metric(scene, "pail_connections") < 10, "all of them to be gone")
    assert wait_until(lambda: eve.granted().status == 200, "the address to be let in again")


def test_headers_and_bodies_have_their_size(limited):
    scene = limited()
    ann = at(scene, "127.0.0.2")
    raw = lambda text: raw_status(scene, text)
    many = "".join(f"X-{i}: y\r\n" for i in range(5000))
    assert raw(f"GET /healthz HTTP/1.1\r\nHost: h\r\n{many}\r\n") in (431, 400, None)
    assert raw(f"GET /healthz HTTP/1.1\r\nHost: h\r\nX: {'y' * 40000}\r\n\r\n") in (431, 400, None)
    assert raw(f"GET /{'y' * 40000} HTTP/1.1\r\nHost: h\r\n\r\n") in (414, 400, None)
    assert raw(f"POST /v1/grants HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ann.token}\r\nContent-Length: 99999999\r\n\r\n") == 413
    assert ann.ask("POST", "/v1/session", body=b" " * 70000).status == 413
    assert ann.granted().status == 200


def raw_status(scene, text):
    """None: it was closed without an answer."""
    with socket.create_connection(("127.0.0.1", int(scene.url.rsplit(":", 1)[1])), timeout=PATIENCE) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(text.encode())
            answer = connection.recv(100)
            return int(answer.split()[1]) if answer else None


# The log

def test_each_request_has_a_line_by_which_it_can_be_found(limited):
    scene = limited(log_format="json")
    ann = at(scene, "127.0.0.2")
    fine = ann.granted()
    wrong = ann.ask("POST", "/v1/grants?X-Amz-Signature=secret", {"items": [{"op": "get", "key": "secret-key"}], "more": 1})
    assert wrong.status == 422 and wrong.headers["x-request-id"] == wrong.json["error"]["request_id"]
    ann.ask("GET", "/secret-path/with?a=query")

    def lines():
        rows = [json.loads(line) for line in scene.server.text().splitlines() if line.startswith("{")]
        return {row["request"]: row for row in rows if row["message"] == "Request"}
    wait_until(lambda: any(row["status"] == 404 for row in lines().values()), "the last request to be in the log")
    row = lines()[fine.headers["x-request-id"]]
    assert row["method"] == "POST" and row["path"] == "/v1/grants" and row["status"] == 200 and row["ms"] >= 0
    assert row["address"] == "127.0.0.2" and re.fullmatch(r"a[a-z0-9]+", row["account"]) and row["level"] == "debug"
    assert lines()[wrong.headers["x-request-id"]]["status"] == 422
    text = scene.server.text()
    for secret in ("secret", ann.token, "query"):
        assert secret not in text.replace("ann@example.com", ""), secret
    assert "ann@example.com" not in json.dumps(row)


def test_a_person_can_name_the_request_that_failed(embedded_stack):
    ann = embedded_stack.person()
    subprocess.run([embedded_stack.server.build.server, "--config", embedded_stack.server.config, "users", "suspend",
                    "ann@example.com"], check=True, timeout=PATIENCE)
    embedded_stack.server_stop()
    embedded_stack.server_start()
    shown = ann.pail("whoami", code=None)
    found = re.search(r"\(request ([0-9a-f]{16})\)", shown.out + shown.err)
    assert found, shown
    assert found.group(1) in embedded_stack.server.text()


# Behind a proxy

@pytest.fixture
def nginx(start, root):
    """nginx(server_port) runs packaging/examples/nginx.conf before it, without TLS; its URL."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        pytest.skip("nginx is not installed (package nginx-light)")

    def run(server_port):
        port = free_port()
        site = (PLACE / "nginx.conf").read_text()
        site = site.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8470", f"127.0.0.1:{server_port}")
        site = re.sub(r".*ssl_certificate.*\n", "", site)
        folder = root / "nginx"
        folder.mkdir()
        places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/pid; error_log stderr; user root;\nevents {{}}\n"
                                           f"http {{\naccess_log off;\n{places}{site}}}\n")
        process = start(program, "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf", log="nginx.log")
        url = f"http://127.0.0.1:{port}"

        def answers():
            assert process.running(), process.text()
            with contextlib.suppress(OSError):
                return send("GET", f"{url}/healthz").status == 200
        wait_until(answers, "nginx to answer")
        return url
    return run


def test_behind_nginx(limited, nginx):
    scene = limited(requests_per_address=1, connections_per_address=10)
    through = nginx(scene.server.port)
    ann = From(through, scene.issuer.token("ann"), "127.0.0.3")
    assert ann.session().status == 201
    assert ann.granted(1000).status == 200
    large = ann.ask("POST", "/v1/grants", {"items": [{"op": "get", "key": "k" * 1000 + str(i)} for i in range(900)]})
    assert large.status == 200 and len(large.body) > 1 << 20
    stranger = lambda address, **headers: From(through, None, address).ask(
        "GET", "/.well-known/pail-configuration", headers=headers).status
    assert {stranger("127.0.0.4") for _ in range(20)} == {200, 429}
    assert stranger("127.0.0.5") == 200
    wait_until(lambda: stranger("127.0.0.4", **{"X-Forwarded-For": "203.0.113.1"}) == 429, "nobody to be fooled")
    with contextlib.ExitStack() as stack:  # more than one address may have, all through the proxy's
        for number in range(30):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", int(through.rsplit(":", 1)[1]))))
            connection.sendall(f"POST /v1/grants HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ann.token}\r\n"
                               "Content-Length: 900000\r\n\r\n{".encode())
        assert ann.granted().status == 200
    assert send("GET", f"{through}/metrics").status == 404
    assert " address=127.0.0.3 " in scene.server.text()


# TLS

class Certificates:
    def __init__(self, folder):
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"

    def write(self, name, days=30, key=None):
        """A certificate for 127.0.0.1 and a name, in the files of the settings."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}", "-days", str(days), "-keyout",
                        key or self.key, "-out", self.chain], check=True, capture_output=True)
        return ssl.PEM_cert_to_DER_cert(self.chain.read_text())


class SecureConnection:
    """Stays open."""

    def __init__(self, port):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        self.shown = self.socket.getpeercert(binary_form=True)

    def works(self):
        self.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = b""
        while b'"ok"}' not in answer:
            piece = self.socket.recv(4096)
            if not piece:
                return False
            answer += piece
        return answer.startswith(b"HTTP/1.1 200")


@pytest.fixture
def secure(tokens, server, embedded, root, closing):
    """A server with TLS that tells what systemd would hear."""
    files = Certificates(root)
    first = files.write("first.example")
    scene = Scene(tokens, server, embedded, server__tls_certificate=files.chain, server__tls_key=files.key, server__public_url="https://127.0.0.1")
    scene.server.url = scene.url = f"https://127.0.0.1:{scene.server.port}"
    listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    listener.bind(str(root / "notify"))
    listener.settimeout(60)
    env = {**{k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "AWS_"))}, "NOTIFY_SOCKET": str(root / "notify")}
    scene.server.process = Process([server_program(scene), "--config", scene.server.config], scene.server.folder / "server.log", env=env)
    assert listener.recv(200) == b"READY=1"
    scene.files, scene.first, scene.heard = files, first, lambda: listener.recv(200).decode()
    return scene


def server_program(scene):
    return scene.server.build.server


def reload(scene):
    scene.server.process.signal(signal.SIGHUP)
    began = scene.heard()
    assert began.startswith("RELOADING=1\nMONOTONIC_USEC=") and scene.heard() == "READY=1"
    assert abs(int(began.split("=")[-1]) / 1e6 - time.monotonic()) < 60


def test_a_renewed_certificate_is_taken_up_without_closing_anything(secure):
    old = SecureConnection(secure.server.port)
    assert old.shown == secure.first and old.works()
    second = secure.files.write("second.example")
    assert SecureConnection(secure.server.port).shown == secure.first, "not before it is told"
    reload(secure)
    newer = SecureConnection(secure.server.port)
    assert newer.shown == second and newer.works() and old.works()
    secure.files.write("third.example", key=secure.files.key.with_suffix(".other"))  # does not fit
    reload(secure)
    assert SecureConnection(secure.server.port).shown == second
    assert re.search(r"error: The TLS certificate is not renewed.*do not fit together", secure.server.text())
    secure.files.chain.unlink()
    reload(secure)
    assert SecureConnection(secure.server.port).shown == second and old.works() and newer.works()
    third = secure.files.write("third.example", days=3)
    reload(secure)
    assert SecureConnection(secure.server.port).shown == third
    assert "it ends in 2 days" in secure.server.text() or "it ends in 3 days" in secure.server.text()


def test_the_log_level_is_read_again(secure):
    said = lambda: secure.server.text().count("path=/healthz")
    assert SecureConnection(secure.server.port).works()
    wait_until(lambda: said() == 1, "the request to be in the log")
    config = secure.server.config
    config.write_text(config.read_text().replace("log = debug", "log = warning"))
    reload(secure)
    assert SecureConnection(secure.server.port).works()
    config.write_text(config.read_text().replace("log = warning", "log = louder"))
    reload(secure)
    assert "louder" in secure.server.text()
    config.write_text(config.read_text().replace("log = louder", "log = debug"))
    reload(secure)
    assert SecureConnection(secure.server.port).works()
    wait_until(lambda: said() == 2, "the last request to be in the log, and the one before not")


def test_check_looks_at_the_certificate(secure):
    def check(code):
        done = subprocess.run([server_program(secure), "--config", secure.server.config, "--check"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == code, done
        return done.stdout + done.stderr
    text = check(0)
    assert "TLS certificate: fine" in text and "warning: [server] tls_certificate" not in text
    secure.files.write("soon.example", days=10)
    assert re.search(r"warning: \[server\] tls_certificate = .*: it ends in (9|10) days, on 20\d\d-\d\d-\d\d: renew it", check(0))
    config = secure.server.config
    config.write_text(config.read_text().replace("public_url = https://127.0.0.1", "public_url = https://drive.example.com"))
    assert "it is not for drive.example.com" in check(0)
    secure.files.write("other.example", key=secure.files.key.with_suffix(".other"))
    assert "do not fit together" in check(1)
