"""A client of the mapping server, as bare as it gets: one request a call, and using a grant as it was given."""
import http.client
import json
import urllib.parse

from .processes import PATIENCE


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]

    def __repr__(self):
        return f"HTTP {self.status} {self.body[:2000]!r}"


def send(method, url, headers=None, body=None, timeout=PATIENCE):
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    return send_pairs(method, url, list(sent.items()), body, timeout)


def send_pairs(method, url, headers, body=None, timeout=PATIENCE):
    """headers as pairs, sent in this order, the same name twice if need be."""
    parts = urllib.parse.urlsplit(url)
    return send_raw(parts.netloc, method, url[len(f"{parts.scheme}://{parts.netloc}"):], headers, body, timeout)


def send_raw(place, method, target, headers, body=None, timeout=PATIENCE):
    """To HOST:PORT, with a target that nothing normalises, and a Host header of its own if there is one."""
    names = [name.lower() for name, _ in headers]
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        headers = [*headers, ("content-length", str(len(body)))]
    connection = http.client.HTTPConnection(place, timeout=timeout)
    try:
        connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


class Client:
    def __init__(self, url, token):
        self.url, self.token = url, token

    def ask(self, method, path, document=None, body=None, token=...):
        token = self.token if token is ... else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if document is not None:
            body = json.dumps(document).encode()
        return send(method, self.url + path, headers, body)

    def session(self):
        return self.ask("POST", "/v1/session", {})

    def grants(self, *items):
        reply = self.ask("POST", "/v1/grants", {"items": list(items)})
        assert reply.status == 200, reply
        return reply.json["grants"]

    def grant(self, **item):
        return self.grants(item)[0]

    def use(self, grant, body=None, extra=None, number=0, **more):
        """Sends what a grant says, with further headers."""
        assert "error" not in grant, grant
        url = grant["url"] if "url" in grant else grant["urls"][number]
        last = "urls" in grant and number == len(grant["urls"]) - 1 and "last_headers" in grant
        headers = {**grant["last_headers" if last else "headers"], **(extra or {})}
        if "body" in grant and body is None:
            body = grant["body"].encode()
        if body is None and grant["method"] in ("PUT", "POST"):
            body = b""
        return send(grant["method"], url, headers, body, **more)

    def do(self, body=None, extra=None, **item):
        return self.use(self.grant(**item), body, extra)
