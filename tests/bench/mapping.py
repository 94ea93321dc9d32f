"""The mapping server's figures: what one core does for it, beside what OpenSSL and a bare libmicrohttpd do in the same run.

The server has core 0, whoever asks it core 1. On a shared machine seconds say little, so rates are told by the seconds of CPU
that the server took (user and system): what a core of its own would do. Only waiting times (p50, p99) are the clock's.
"""
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import uuid
from pathlib import Path

from mounts import pin
from lib.ports import free_port
from lib.processes import Process
from lib.server import MappingServer
from lib.server_client import Client
from lib.server_tokens import TokenIssuer

HERE = Path(__file__).parent
CLIENT_CORE = 1 if os.cpu_count() > 1 else 0
ROUNDS = 3  # a rate is that of the best: neighbours only ever make it less
FULL = {"seconds": 3, "people": 1000, "accounts": 100_000, "idle": 5_000}
SHORT = {"seconds": 1, "people": 50, "accounts": 10_000, "idle": 5_000}


def cpu_seconds(pid):
    """Of all threads, those that ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return None


class MappingBench:
    """A mapping server of its own before the service's store, and tokens for whoever is wanted."""

    def __init__(self, store, build, yardstick, scratch, short):
        self.__dict__.update(SHORT if short else FULL)
        self.yardstick, self.folder = yardstick, Path(scratch) / "mapping"
        self.folder.mkdir(parents=True)
        port = free_port()
        self.issuer = TokenIssuer(self.folder, f"http://127.0.0.1:{port}")
        self.server = MappingServer(build, self.folder / "server", store, self.issuer.url, port=port, server__log="info",
                                    server__connections="10000", server__requests_per_account=0,
                                    server__grants_per_account=0)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.server.close()
        self.issuer.close()

    def start(self):
        self.server.start()
        self.pid = self.server.process.pid
        pin(self.pid, 0)

    def restart(self):
        assert self.server.process.stop() == 0, self.server.text()
        self.start()

    def tokens(self, subjects):
        path = self.folder / f"tokens-{uuid.uuid4().hex}"
        path.write_text("".join(f"{self.issuer.token(subject)}\n" for subject in subjects))
        return path

    def ask(self, url, tokens, body, pid, connections, pause_ms=0):
        """What wrk tells of the best round, and what the process would answer in a second of CPU."""
        rounds = [self.ask_once(url, tokens, body, pid, connections, pause_ms) for _ in range(ROUNDS)]
        best = min(rounds, key=lambda told: told["p99_ms"])
        return {**best, "rate": max(told["answers"] / told["cpu_s"] for told in rounds)}

    def ask_once(self, url, tokens, body, pid, connections, pause_ms):
        file = self.folder / f"body-{uuid.uuid4().hex}"
        file.write_text(body)
        before = cpu_seconds(pid)
        done = subprocess.run(["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--timeout",
                               "60s", "-s", HERE / "ask.lua", url, "--", tokens, file, str(pause_ms)],
                              capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        told["cpu_s"] = max(cpu_seconds(pid) - before, 1e-3)
        assert not told["refused"] and not told["broken"] and told["answers"], told
        return told

    def ask_grants(self, tokens, items, connections, **more):
        return self.ask(f"{self.server.url}/v1/grants", tokens, json.dumps({"items": items}), self.pid, connections, **more)

    def person(self, subject="bench"):
        """Tokens of somebody with a bucket."""
        reply = Client(self.server.url, self.issuer.token(subject)).session()
        assert reply.status in (200, 201), reply
        return self.tokens([subject])


def key(number):
    return f"Photos/2024/Summer holidays/IMG_{number:05d}.jpg"


def get_item(number):
    return {"op": "get", "key": key(number)}


def put_item(number):
    return {"op": "put", "key": key(number), "size": 4096,
            "headers": {"x-amz-meta-mtime": "1719400000.123456789", "x-amz-meta-mode": "33188", "content-type": "image/jpeg"}}


def measure_yardsticks(bench):
    done = [subprocess.run(["taskset", "-c", "0", bench.yardstick, "hmac", "0.5"], capture_output=True, text=True, check=True)
            for _ in range(ROUNDS)]
    yield "hmac", "OpenSSL, HMAC-SHA256 of 512 bytes", max(float(each.stdout) for each in done), "a CPU second", None
    port = free_port()
    server = Process([bench.yardstick, "constant", port], bench.folder / "constant.log")
    try:
        server.wait_for("^listening")
        pin(server.pid, 0)
        told = bench.ask(f"http://127.0.0.1:{port}/", bench.tokens(["nobody"]), json.dumps({"items": [get_item(1)]}), server.pid, 32)
    finally:
        server.end()
    yield "constant", "libmicrohttpd, a constant", told["rate"], "a CPU second", None


def measure_batches(bench):
    tokens = bench.person()
    kinds = {"get": [get_item(n) for n in range(1000)], "put": [put_item(n) for n in range(1000)],
             "part": [{"op": "part", "key": key(1), "upload": "2~" + "u" * 32, "first": 1, "count": 1000, "size": 8 << 20}]}
    for name, items in kinds.items():
        told = bench.ask_grants(tokens, items, 2)
        yield f"batch_{name}", f"batches of 1,000, {name}", 1000 * told["rate"], "URLs a CPU second", 100_000


def measure_single(bench):
    tokens = bench.person()
    told = bench.ask_grants(tokens, [get_item(1)], 32)
    yield "single", "single requests", told["rate"], "a CPU second", 5_000
    told = bench.ask_grants(tokens, [get_item(1)], 50, pause_ms=20)
    rate = told["answers"] / told["seconds"]
    yield "single_p50", f"the same at {rate:,.0f} a second, p50", told["p50_ms"], "ms", None
    yield "single_p99", f"the same at {rate:,.0f} a second, p99", told["p99_ms"], "ms", -5


def measure_first_logins(bench):
    clients = [Client(bench.server.url, bench.issuer.token(f"first{n}")) for n in range(bench.people)]
    before, cpu_before = time.monotonic(), cpu_seconds(bench.pid)
    with concurrent.futures.ThreadPoolExecutor(16) as many:
        replies = list(many.map(Client.session, clients))
    seconds, cpu = time.monotonic() - before, cpu_seconds(bench.pid) - cpu_before
    assert all(reply.status == 201 for reply in replies), replies[0]
    yield "first_logins", f"first logins, {bench.people:,}", bench.people / cpu, "a CPU second", 200
    yield "first_logins_wall", "the same with the store's work", bench.people / seconds, "a second", None


def fill_accounts(bench):
    """Written straight into the database: to make as many buckets would take hours, and sessions do not look at them."""
    bench.server.process.stop()
    now = int(time.time())
    with contextlib.closing(sqlite3.connect(bench.server.folder / "accounts.db")) as database, database:
        base = 1 + database.execute("SELECT ifnull(max(id), 0) FROM account").fetchone()[0]
        rows = range(base, base + bench.accounts)
        database.executemany(
            "INSERT INTO account(id, name, email, bucket, prefix, region, mark, state, created, seen, versioned_at)"
            " VALUES(?, ?, ?, ?, '', 'us-east-1', ?, 3, ?, ?, ?)",
            ((i, f"a{i:020d}", f"known{i - base}@example.com", f"pail-{i:020d}", f"{i:064x}", now, now, now - 3600) for i in rows))
        database.executemany("INSERT INTO identity(issuer, subject, account) VALUES(?, ?, ?)",
                             ((bench.issuer.url, f"known{i - base}", i) for i in rows))
    bench.start()


def measure_sessions(bench):
    fill_accounts(bench)
    step = bench.accounts // 200
    tokens = bench.tokens(f"known{n * step}" for n in range(200))
    told = bench.ask(f"{bench.server.url}/v1/session", tokens, "{}", bench.pid, 1)
    yield "session_p50", f"session, {bench.accounts:,} accounts, p50", told["p50_ms"], "ms", -2
    yield "session", "the same", told["rate"], "a CPU second", None


def measure_idle(bench):
    """Each connection has had an answer, and stays open."""
    bench.restart()
    request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{bench.server.port}\r\n\r\n".encode()
    with contextlib.ExitStack() as opened:
        for _ in range(bench.idle):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", bench.server.port), 30))
            connection.sendall(request)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200"), "a connection was not answered"
        yield "idle", f"memory with {bench.idle:,} idle connections", resident_mib(bench.pid), "MiB", -64


PARTS = {"yardsticks": measure_yardsticks, "batches": measure_batches, "single": measure_single, "first_logins": measure_first_logins,
         "sessions": measure_sessions, "idle": measure_idle}


def reached(value, target):
    """A target below 0 is one from above."""
    return value >= target if target > 0 else value <= -target


def print_figure(figure, yardsticks):
    value, line = figure["value"], ""
    if figure["key"].startswith("batch_") and "hmac" in yardsticks:
        line = f"  ({value / yardsticks['hmac']:.2f} x HMAC)"
    if figure["key"] == "single" and "constant" in yardsticks:
        line = f"  ({value / yardsticks['constant']:.2f} x constant)"
    if figure["target"]:
        line += f"  target {abs(figure['target']):,}: {'reached' if reached(value, figure['target']) else 'MISSED'}"
    text = f"{value:12,.0f}" if value >= 100 else f"{value:12.2f}"
    print(f"    {figure['label']:44} {text} {figure['unit']}{line}", flush=True)


def measure(bench, wanted):
    """All figures, printed as they come."""
    if not shutil.which("wrk"):
        print("\nThe mapping server is not measured: wrk (Debian's package) is missing")
        return []
    figures = []
    print("\nThe mapping server")
    for name, part in PARTS.items():
        if wanted and name not in wanted:
            continue
        for key_, label, value, unit, target in part(bench):
            figures.append({"key": key_, "label": label, "value": value, "unit": unit, "target": target})
            print_figure(figures[-1], {f["key"]: f["value"] for f in figures})
    return figures
