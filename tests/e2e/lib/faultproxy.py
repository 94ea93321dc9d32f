"""An HTTP proxy between client and store that misbehaves on demand.

It listens in place of the store and passes everything on unchanged (the Host header too, which is signed). A test adds
rules; each request is held against them in order, and the first that matches, and is not used up, acts:

    proxy.add(Rule(method="PUT", path=r"/photo", act=reset(), times=2))

What an action can be: reset, stall (until released), delay, answer (an HTTP answer instead of the store's), cut (the
answer's body ends early), lose (the store does it, the answer is lost), late (the answer waits), hold (until the client is gone).
"""
import asyncio
import re
import socket
import struct
import threading

from .ports import free_port
from .processes import PATIENCE

LIMIT = 1 << 20


class Rule:
    """One way to misbehave. skip: matching requests that pass before it acts; times: how often it acts (None: always)."""

    def __init__(self, act, method=None, path=None, skip=0, times=1, share=None):
        self.act, self.method, self.path = act, method, path and re.compile(path)
        self.skip, self.times, self.share = skip, times, share
        self.seen = self.acted = 0

    def takes(self, method, path, random):
        if (self.method and method not in self.method.split("|")) or (self.path and not self.path.search(path)):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.acted >= self.times):
            return False
        if self.share is not None and random.random() >= self.share:
            return False
        self.acted += 1
        return True


class Exchange:
    """One request on one connection, as an action sees it."""

    def __init__(self, proxy, head, client_reader, client_writer):
        self.proxy, self.head, self.reader, self.writer = proxy, head, client_reader, client_writer
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ", 2)
        self.headers = {}
        for line in lines:
            if ":" in line:
                name, value = line.split(":", 1)
                self.headers[name.strip().lower()] = value.strip()
        self.body_left = int(self.headers.get("content-length", 0))

    def reset(self):
        """RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read_request(self):
        """Swallows the request's body, asking for it first if the client waits for 100."""
        if self.headers.get("expect", "").lower() == "100-continue" and self.body_left:
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.body_left:
            data = await self.reader.read(min(self.body_left, 1 << 16))
            if not data:
                raise ConnectionError
            self.body_left -= len(data)

    async def answer(self, status, body=b"", headers=None):
        await self.read_request()
        lines = [f"HTTP/1.1 {status} Test", f"Content-Length: {len(body)}", "Content-Type: application/xml"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if self.method == "HEAD" else body))
        await self.writer.drain()
        return True


def reset():
    async def act(exchange):
        exchange.reset()
        return False
    return act


def reset_in_body(after):
    """The connection breaks after `after` bytes of the request's body."""
    async def act(exchange):
        if exchange.headers.get("expect", "").lower() == "100-continue":
            exchange.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        left = min(after, exchange.body_left)
        while left > 0:
            data = await exchange.reader.read(left)
            if not data:
                break
            left -= len(data)
        exchange.reset()
        return False
    return act


def stall(event=None, seconds=3600):
    """Nothing comes until the event (a threading.Event) is set or the seconds are over; then the connection closes."""
    async def act(exchange):
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not (event and event.is_set()):
            await asyncio.sleep(0.02)
        exchange.reset()
        return False
    return act


def delay(seconds):
    async def act(exchange):
        await asyncio.sleep(seconds)
        return await exchange.proxy.forward(exchange)
    return act


def late(seconds):
    """The store acts at once; its answer comes late."""
    async def act(exchange):
        return await exchange.proxy.forward(exchange, before_answer=lambda: asyncio.sleep(seconds))
    return act


def answer(status, code=None, message="made by a test", headers=None):
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode() if code else b""

    async def act(exchange):
        return await exchange.answer(status, body, headers)
    return act


def cut(after):
    """The answer's body ends after `after` bytes although its length promised more."""
    async def act(exchange):
        return await exchange.proxy.forward(exchange, cut_after=after)
    return act


def lose():
    """The store does what was asked; the client never hears of it."""
    async def act(exchange):
        return await exchange.proxy.forward(exchange, lose=True)
    return act


def then_error(status, code):
    """The store does what was asked; the client is told that it failed."""
    async def act(exchange):
        await exchange.proxy.forward(exchange, swallow=True)
        return await exchange.answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())
    return act


def hold(reached, answered=False):
    """Sets the event `reached` when the request has come, or, with `answered`, when the store has done it; then nothing moves until
    the client is gone. For killing it at that very point."""
    async def client_gone(exchange):
        reached.set()
        while not exchange.reader.at_eof():
            await asyncio.sleep(0.005)

    async def act(exchange):
        if answered:
            await exchange.proxy.forward(exchange, before_answer=lambda: client_gone(exchange), lose=True)
        else:
            await client_gone(exchange)
        return False
    return act


class FaultProxy:
    def __init__(self, target, port=None, seed=1, rewrite=None):
        import random
        self.target_host, target_port = target.split("://")[-1].split(":")
        self.target_port = int(target_port)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rules, self.log, self.sent, self.random = [], [], {}, random.Random(seed)
        self.rewrite = rewrite  # what becomes of a request's head on its way to the store
        self.cut_off = False  # like a pulled cable: connections break and none is accepted
        self._lock = threading.Lock()
        self._open = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE)

    def add(self, rule):
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self._lock:
            self.rules.clear()

    def requests(self, method=None, path=None):
        """(method, path) of what was asked so far."""
        with self._lock:
            return [(m, p) for m, p in self.log
                    if (not method or m in method.split("|")) and (not path or re.search(path, p))]

    def bytes_sent(self, path):
        """Bytes of answers' bodies to GET requests whose path has this text in it."""
        with self._lock:
            return sum(size for p, size in self.sent.items() if path in p)

    def forget(self):
        """Starts the log anew."""
        with self._lock:
            self.log.clear()
            self.sent.clear()

    def network(self, there):
        """Pulls the cable, or puts it back."""
        self.cut_off = not there
        if not there:
            self._loop.call_soon_threadsafe(self._break_all)

    def _break_all(self):
        for writer in list(self._open):
            writer.transport.abort()

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, started):
        asyncio.set_event_loop(self._loop)

        async def serve():
            self._stop = asyncio.Event()
            server = await asyncio.start_server(self._client, "127.0.0.1", self.port, limit=LIMIT, backlog=1024)
            started.set()
            await self._stop.wait()
            server.close()
            self._break_all()
        self._loop.run_until_complete(serve())

    async def _client(self, reader, writer):
        if self.cut_off:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not await self._one(Exchange(self, head[:-4], reader, writer)):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, exchange):
        act = None
        with self._lock:
            self.log.append((exchange.method, exchange.path))
            for rule in self.rules:
                if rule.takes(exchange.method, exchange.path, self.random):
                    act = rule.act
                    break
        return await (act(exchange) if act else self.forward(exchange))

    async def _upload(self, exchange, up):
        while exchange.body_left:
            data = await exchange.reader.read(min(exchange.body_left, 1 << 18))
            if not data:
                up.transport.abort()
                return
            exchange.body_left -= len(data)
            up.write(data)
            await up.drain()

    async def forward(self, exchange, before_answer=None, cut_after=None, lose=False, swallow=False):
        """Passes one request on over a connection of its own and its answer back; False ends the client's connection."""
        try:
            down, up = await asyncio.open_connection(self.target_host, self.target_port, limit=LIMIT)
        except OSError:
            exchange.reset()
            return False
        self._open.add(up)
        upload = None
        try:
            up.write((self.rewrite(exchange.head) if self.rewrite else exchange.head) + b"\r\n\r\n")
            upload = asyncio.ensure_future(self._upload(exchange, up))
            while True:
                head = await down.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ", 2)[1])
                if status >= 200:
                    break
                exchange.writer.write(head)
            if before_answer:
                await before_answer()
            body_complete = upload.done() and not exchange.body_left
            if lose or swallow:
                await self._pass_body(exchange.method, status, head, down, None, None)
                if lose:
                    exchange.reset()
                return swallow
            exchange.writer.write(head)
            whole = await self._pass_body(exchange.method, status, head, down, exchange.writer, cut_after,
                                          exchange.path.split("?")[0] if exchange.method == "GET" else None)
            await exchange.writer.drain()
            return whole and (body_complete or not exchange.body_left)
        finally:
            if upload and not upload.done():
                upload.cancel()
            self._open.discard(up)
            up.close()

    def _count(self, path, size):
        if path:
            with self._lock:
                self.sent[path] = self.sent.get(path, 0) + size

    async def _pass_body(self, method, status, head, down, to, cut_after, counted=None):
        fields = {line.split(b":", 1)[0].strip().lower(): line.split(b":", 1)[1].strip()
                  for line in head.split(b"\r\n")[1:] if b":" in line}
        if method == "HEAD" or status in (204, 304):
            return True
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            return await self._pass_chunks(down, to, cut_after)
        left = int(fields[b"content-length"]) if b"content-length" in fields else None
        sent = 0
        while left is None or left:
            data = await down.read(1 << 18 if left is None else min(left, 1 << 18))
            if not data:
                return False
            left = None if left is None else left - len(data)
            if to and cut_after is not None and sent + len(data) > cut_after:
                to.write(data[:cut_after - sent])
                await to.drain()
                return False
            sent += len(data)
            self._count(counted, len(data))
            if to:
                to.write(data)
                await to.drain()
        return True

    async def _pass_chunks(self, down, to, cut_after):
        sent = 0
        while True:
            line = await down.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = await down.readexactly(size + 2)
            sent += size
            if cut_after is not None and sent > cut_after:
                return False
            if to:
                to.write(line + data)
                await to.drain()
            if not size:
                return True
