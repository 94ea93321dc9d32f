"""Store, login, mapping server and a person who is logged in, near or far, for the bench."""
import json
import os
import time
from pathlib import Path

from mounts import pin
from lib.build import Build
from lib.ceph import Ceph
from lib import issuer as issuer_module
from lib.issuer import Issuer
from lib.person import Person
from lib.ports import free_port
from lib.processes import Process
from lib.s3 import S3
from lib.server import MappingServer
from lib.stack import Stack


class Service(Stack):
    """endpoint: where clients reach the store. s3 reaches it near, always: it prepares and checks."""

    def __init__(self, arguments, folder):
        os.environ["CHECK_BUILD"] = str(arguments.build)
        folder.mkdir(parents=True)
        super().__init__(folder, Build())
        self.arguments, self.closing = arguments, []

    def __enter__(self):
        try:
            getattr(self, f"start_{self.arguments.store}")()
            self.person = Stack.person(self, "ann")
            self.person.mount()
            self.bucket = self.bucket_of(self.person)
            self.person.umount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.close()
        for close in reversed(self.closing):
            close()

    def login_afresh(self):
        """Somebody new logs in and mounts: seconds from the browser's answer to the end of each."""
        person = Person("newcomer", self.root, self.build)
        self.people.append(person)
        answered = []
        process = person.start("login", self.url, "--no-browser", "--vault=file")
        url = process.wait_for(r"(https?://127\.0\.0\.1:\d+/\S*authorize\S*)", 30).group(1)
        issuer_module.walk(url, "newcomer", on_callback=lambda url: answered.append(time.monotonic()))
        assert process.wait(60) == 0, process.text()
        logged_in = time.monotonic()
        person.mount()
        mounted = time.monotonic()
        person.umount()
        return logged_in - answered[0], mounted - answered[0]

    def wire(self, port):
        """The port itself, or that of a wire before it."""
        if not self.arguments.far:
            return port
        far = free_port()
        process = Process([self.build.farwire, far, port, self.arguments.rtt_ms, self.arguments.mb_per_s],
                          Path(self.root) / f"farwire-{far}.log")
        process.wait_for("^farwire on")
        self.closing.append(process.end)
        return far

    def start_ceph(self):
        ceph = Ceph(Path(self.root) / "ceph")
        self.closing.append(ceph.down)
        for pid in [int(f.read_text()) for f in ceph.folder.glob("*.pid")]:
            pin(pid, 0)
        self.s3 = ceph.s3
        self.endpoint = f"http://127.0.0.1:{self.wire(ceph.port)}"
        self.start_server(ceph.settings)

    def start_embedded(self):
        """A wire before it would have another address than the store answers to: the embedded store is measured near only."""
        assert not self.arguments.far, "the embedded store answers its own address only: measure it near"
        keep = Path(self.root) / "demo"
        demo = Process([self.build.server, "--demo", "--keep", keep], Path(self.root) / "demo.log")
        self.closing.append(demo.end)
        told = json.loads(demo.wait_for(r'^(\{"url".*\})$', 30).group(1))
        kept = json.loads((keep / "demo.json").read_text())
        pin(demo.pid, 0)
        self.endpoint = told["store"]
        self.s3 = S3(self.endpoint, kept["access_key"], kept["secret_key"])
        self.start_server({"endpoint": self.endpoint, "access_key": kept["access_key"], "secret_key": kept["secret_key"],
                           "region": "us-east-1"})

    def start_server(self, store):
        self.store = store
        port = free_port()
        self.url = f"http://127.0.0.1:{self.wire(port)}"
        issuer = Issuer(Path(self.root) / "issuer.log", self.url)
        self.closing.append(issuer.close)
        server = MappingServer(self.build, Path(self.root) / "server", store, issuer.url, audience=self.url, port=port,
                               public_endpoint=self.endpoint, server__public_url=self.url, server__log="info",
                               server__requests_per_account=0, server__grants_per_account=0)
        server.start()
        self.closing.append(server.close)
        pin(server.process.pid, 0)
