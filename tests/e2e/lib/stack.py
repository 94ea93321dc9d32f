"""A whole service for a test: store, login, mapping server, and people who are logged in to it."""
import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

from . import issuer as issuer_module
from . import mounts
from .person import Person
from .ports import free_port, login_ports
from .processes import PATIENCE, Process, kill_tree
from .resign import Resigner
from .s3 import S3, Below


class Stack:
    """kind: "ceph" or "embedded". s3 sees all of the store; proxy stands before it and misbehaves on demand."""

    def __init__(self, root, build):
        self.root, self.build = root, build
        self.people = []

    def login(self, person, name):
        """The real PKCE login; the test walks the pages in the browser's place."""
        process = person.start("login", self.url, "--no-browser", "--vault=file", log=f"login-{name}")
        url = process.wait_for(r"(https?://127\.0\.0\.1:\d+/\S*authorize\S*)").group(1)
        issuer_module.walk(url, name)
        assert process.wait(PATIENCE) == 0, process.text()
        return person

    def person(self, name="ann", machine=""):
        """Somebody who is logged in. The same name on another machine is another set of folders."""
        person = Person(name + machine, self.root, self.build)
        person.account = name
        self.people.append(person)
        self.login(person, name)
        self.age_buckets()
        return person

    def age_buckets(self):
        """Versioning was turned on an hour ago: in the first 15 minutes a missing key is asked again, and no delete."""

    def bucket_of(self, person):
        """Known while it is mounted."""
        status = person.status()
        return Below(status["bucket"], status["prefix"])

    def close(self):
        for person in self.people:
            mounts.detach_all(person.home)
            kill_tree(person.mount_pids(), patience=15)


class ServedStack(Stack):
    """A store behind a proxy, an issuer like Auth0 and a mapping server of our own."""

    def __init__(self, root, build, settings, proxy, make_issuer, make_server, proofs, layout):
        super().__init__(root, build)
        self.proxy = proxy
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        loopback_ports = login_ports()
        self.issuer = make_issuer(self.url, loopback_ports=loopback_ports)
        self.server = make_server(settings, self.issuer.url, port=port, public_endpoint=proxy.url, store__layout=layout,
                                  login__loopback_ports=" ".join(map(str, loopback_ports)))
        self.reuse_proof(Path(proofs) / f"proven-{self.kind}-{layout}.db")
        self.server.start()

    def reuse_proof(self, template):
        """Proving the store takes seconds and is the same for every server of a store: its database begins with it."""
        if not template.exists():
            self.server.start()
            assert self.server.process.stop() == 0, self.server.text()
            shutil.copy(self.server.folder / "accounts.db", template)
        shutil.copy(template, self.server.folder / "accounts.db")

    def age_buckets(self):
        with contextlib.closing(sqlite3.connect(self.server.folder / "accounts.db", timeout=PATIENCE)) as database, database:
            database.execute("UPDATE account SET versioned_at = versioned_at - 3600 WHERE versioned_at > 3600")

    def server_stop(self):
        assert self.server.process.stop() == 0, self.server.text()

    def server_start(self):
        self.server.start()


class CephStack(ServedStack):
    kind = "ceph"

    def __init__(self, root, build, ceph, make_issuer, make_server, make_proxy, layout="bucket"):
        self.ceph, self.s3 = ceph, ceph.s3
        super().__init__(root, build, ceph.settings, make_proxy(ceph.settings["endpoint"]), make_issuer, make_server,
                         ceph.folder, layout)


class EmbeddedStack(ServedStack):
    """The store of `pail-server --demo`. It answers its own address only, so the proxy signs anew for it."""

    kind = "embedded"

    def __init__(self, root, build, make_issuer, make_server, make_proxy, layout="bucket"):
        keep = Path(root) / "demo"
        self.demo = Process([build.server, "--demo", "--keep", keep], Path(root) / "demo.log")
        try:
            told = json.loads(self.demo.wait_for(r'^(\{"url".*\})$').group(1))
            kept = json.loads((keep / "demo.json").read_text())
            self.s3 = S3(told["store"], kept["access_key"], kept["secret_key"])
            proxy = make_proxy(told["store"])
            proxy.rewrite = Resigner(self.s3, proxy.url.split("://")[1])
            settings = {"endpoint": told["store"], "access_key": kept["access_key"], "secret_key": kept["secret_key"],
                        "region": "us-east-1"}
            super().__init__(root, build, settings, proxy, make_issuer, make_server, root, layout)
        except BaseException:
            self.demo.end()
            raise

    def close(self):
        super().close()
        self.demo.end()
