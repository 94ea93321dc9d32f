"""The mapping server under test, with settings for a store and a login provider."""
import os
import urllib.error
import urllib.request
from pathlib import Path

from .issuer import CLIENT_ID
from .ports import free_port
from .processes import Process, wait_until


class MappingServer:
    def __init__(self, build, folder, store, issuer_url, audience=None, public_endpoint=None, port=None, **settings):
        """store: endpoint, access_key, secret_key, region, role_arn, as Ceph's settings have them."""
        self.build, self.folder = build, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "server.ini"
        values = {
            "server": {"listen": f"127.0.0.1:{self.port}", "public_url": self.url, "database": self.folder / "accounts.db",
                       "log": "debug"},
            "login": {"issuer": issuer_url, "audience": audience or self.url, "client_id": CLIENT_ID,
                      "email_claims": "https://pail.example/email email"},
            "store": {"endpoint": store["endpoint"], "region": store["region"], "credentials": "settings",
                      "access_key_id": store["access_key"], "secret_access_key": store["secret_key"]},
        }
        if store.get("role_arn"):
            values["store"]["role_arn"] = store["role_arn"]
        if public_endpoint:
            values["store"]["public_endpoint"] = public_endpoint
        for name, value in settings.items():
            section, name = name.split("__")
            values[section][name] = value
        self.config.write_text("".join(f"[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) + "\n"
                                       for section, rows in values.items()))
        self.config.chmod(0o600)
        self.process = None

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PAIL_", "AWS_"))}
        self.process = Process([self.build.server, "--config", self.config], self.folder / "server.log", env=env)
        wait_until(self.ready, f"pail-server to be ready ({self.folder / 'server.log'})")
        return self

    def ready(self):
        assert self.process.running(), f"pail-server ended:\n{self.process.text()}"
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def text(self):
        return (self.folder / "server.log").read_text(errors="replace")

    def close(self):
        if self.process:
            self.process.end()
