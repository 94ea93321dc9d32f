"""A login provider inside the test: it publishes keys, answers /userinfo, and signs whatever token a test wants (with the
openssl command), good or forged. For tests of the mapping server alone."""
import base64
import http.server
import json
import subprocess
import threading
import time
import uuid
from pathlib import Path


def b64(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, input=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=input, capture_output=True, check=True).stdout


class Key:
    def __init__(self, folder, kid):
        self.kid, self.path = kid, Path(folder) / f"{kid}.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        modulus = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
        self.n = bytes.fromhex(modulus)

    def jwk(self):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": b64(self.n), "e": "AQAB"}

    def sign(self, text):
        return openssl("dgst", "-sha256", "-sign", self.path, input=text)


class TokenIssuer:
    def __init__(self, folder, audience, client_id="pail"):
        self.audience, self.client_id = audience, client_id
        self.key = Key(folder, "k1")
        self.published = [self.key]
        self.userinfo = {}  # by token
        self.clock_ahead_s = 0  # before this machine's
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    self.reply(200, {"issuer": outer.url, "jwks_uri": f"{outer.url}jwks",
                                     "userinfo_endpoint": f"{outer.url}userinfo"})
                elif self.path == "/jwks":
                    self.reply(200, {"keys": [key.jwk() for key in outer.published]})
                elif self.path == "/userinfo":
                    answer = outer.userinfo.get(self.headers["authorization"].removeprefix("Bearer "))
                    self.reply(200 if answer else 401, answer or {})
                else:
                    self.reply(404, {})

            def reply(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, timestamp=None):
                return super().date_time_string((timestamp or time.time()) + outer.clock_ahead_s)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def token(self, subject="ann", email=..., key=None, header=None, **claims):
        """email None: the token has none. A claim that is None is left out."""
        now = int(time.time()) + self.clock_ahead_s
        body = {"iss": self.url, "sub": subject, "aud": [self.audience, f"{self.url}userinfo"], "azp": self.client_id,
                "iat": now, "exp": now + 3600, "jti": uuid.uuid4().hex}
        if email is ...:
            email = f"{subject}@example.com"
        if email:
            body.update({"https://pail.example/email": email, "https://pail.example/email_verified": True})
        body.update(claims)
        body = {name: value for name, value in body.items() if value is not None}
        key = key or self.key
        text = b64({"alg": "RS256", "typ": "JWT", "kid": key.kid, **(header or {})}) + "." + b64(body)
        return f"{text}.{b64(key.sign(text.encode()))}"
