"""The mapping server with a store and the test's own issuer: for tests that talk to it themselves."""
import json
import subprocess

from .ports import free_port
from .processes import PATIENCE
from .s3 import S3
from .server_client import Client, send


class Embedded:
    """The store of `pail-server --demo`, with its own keys; its mapping server and issuer are not used here."""

    def __init__(self, start, build, root):
        process = start(build.server, "--demo", "--keep", root / "demo", log="demo.log")
        told = json.loads(process.wait_for(r'^(\{"url".*\})$').group(1))
        kept = json.loads((root / "demo" / "demo.json").read_text())
        self.demo_url = told["url"]
        self.settings = {"endpoint": told["store"], "access_key": kept["access_key"], "secret_key": kept["secret_key"],
                         "region": "us-east-1"}
        self.s3 = S3(told["store"], kept["access_key"], kept["secret_key"])


class Scene:
    """A store, an issuer and a mapping server."""

    def __init__(self, tokens, server, store, **settings):
        port = free_port()
        self.issuer = tokens(f"http://127.0.0.1:{port}")
        self.store = store.s3
        self.server = server(store.settings, self.issuer.url, port=port, **settings)
        self.url = self.server.url

    def start(self):
        self.server.start()
        return self

    def client(self, subject="ann", **claims):
        return Client(self.url, self.issuer.token(subject, **claims))

    def person(self, subject="ann"):
        """Somebody with a bucket."""
        client = self.client(subject)
        reply = client.session()
        assert reply.status in (200, 201), reply
        client.bucket = reply.json["bucket"]["name"]
        return client


def users(scene, *arguments, code=0):
    """What `pail-server users` says, of the server of a scene or a stack."""
    done = subprocess.run([scene.server.build.server, "--config", scene.server.config, "users", *arguments],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def shown(scene, who="ann@example.com"):
    """An account, as `users show` has it."""
    return json.loads(users(scene, "show", who, "--json"))


def metrics_of(scene, **headers):
    reply = send("GET", f"{scene.url}/metrics", headers)
    assert reply.status == 200, reply
    return reply.body.decode()


def value_of(text, name):
    return int([line.split()[1] for line in text.splitlines() if line.split()[0] == name][0])
