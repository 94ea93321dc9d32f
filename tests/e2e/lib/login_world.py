"""What a login needs: an issuer like Auth0, the place of a mapping server, and the ports where the browser comes back."""
from . import issuer as issuer_module
from .login_server import LoginServer
from .ports import login_ports
from .processes import PATIENCE

AUDIENCE = "https://pail.example/api"


class World:
    """An issuer, a mapping server's place, and the ports between."""

    def __init__(self, make_issuer, access_ttl_s=300):
        self.ports = login_ports()
        self.make_issuer, self.access_ttl_s, self.logins = make_issuer, access_ttl_s, 0
        self.issuer = self.start_issuer()
        self.server = LoginServer(self.issuer.url, self.ports, audience=AUDIENCE)

    def start_issuer(self, port=None):
        return self.make_issuer(AUDIENCE, access_ttl_s=self.access_ttl_s, port=port, loopback_ports=self.ports)

    def count(self, line):
        return self.issuer.process.text().splitlines().count(line)

    def begin(self, person, *options, env=None):
        """pail login, and the address that it printed."""
        self.logins += 1
        process = person.start("login", self.server.url, "--no-browser", *options, env=env, log=f"login-{self.issuer.port}-{self.logins}")
        url = process.wait_for(r"(http://127\.0\.0\.1:\d+/authorize\S*)").group(1)
        return process, url

    def log_in(self, person, name="ann", *options, env=None):
        process, url = self.begin(person, *(options or ("--vault=file",)), env=env)
        page = issuer_module.walk(url, name)
        assert 'id="success"' in page, page[-800:]
        assert process.wait(PATIENCE) == 0, process.text()
        return process
