"""The mapping server's place in tests that are about logging in only: it names issuer, client, audience and ports, and
answers /v1/session to any bearer token, which it keeps for the test to look at."""
import base64
import http.server
import json
import threading


class LoginServer:
    """configuration: members that replace those of the usual answer. session_status: what /v1/session answers."""

    def __init__(self, issuer, ports, audience=None, client_id="pail", **configuration):
        self.tokens, self.requests, self.session_status = [], [], 200
        self.refusal = "not today"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append(self.path)
                known = self.path == "/.well-known/pail-configuration"
                self.reply(200 if known else 404, outer.configuration if known else {"error": {"code": "not_found"}})

            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.requests.append(self.path)
                outer.tokens.append(self.headers.get("authorization", "").removeprefix("Bearer "))
                self.reply(outer.session_status, outer.session())

            def reply(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.configuration = {
            "version": 1, "issuer": issuer, "client_id": client_id, "audience": audience or self.url,
            "scopes": ["openid", "offline_access", "email", "profile"], "loopback_ports": ports, "modes": ["presigned"],
            **configuration,
        }
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def session(self):
        if self.session_status >= 400:
            return {"error": {"code": "denied", "message": self.refusal}}
        claims = claims_of(self.tokens[-1])
        return {
            "account": "a1", "email": claims.get("https://pail.example/email", "nobody@example.com"),
            "bucket": {"name": "pail-test-bucket", "prefix": "", "region": "us-east-1",
                       "endpoint": "http://127.0.0.1:9", "style": "path", "versioning": True, "versioned_at": 1},
            "quota": {"limit": 0, "used": 0}, "features": {}, "server_time": 1,
        }

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def claims_of(token):
    """What a JWT says; nothing is verified."""
    part = token.split(".")[1] if token.count(".") == 2 else "e30"
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
