"""No secret shows: not in what programs print and log at debug level, not on disk outside the vault, not in a command line or an
environment, and not in a core. Client and server, while they work and while things fail."""
import base64
import contextlib
import hashlib
import json
import os
import re
import resource
import signal
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from lib import faultproxy as fault
from lib import issuer as issuer_module
from lib import mounts
from lib.processes import PATIENCE, Process, descendants, wait_until
from lib.server_client import send

DEBUG = {"PAIL_LOG": "debug"}


class Watcher:
    """What all processes below this one have had in their command lines and environments."""

    def __init__(self):
        self.seen, self.over = set(), threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.over.is_set():
            for pid, name in descendants().items():
                for what in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add((f"{what} of {name}", Path(f"/proc/{pid}/{what}").read_bytes()))
            self.over.wait(0.05)

    def close(self):
        self.over.set()
        self.thread.join()


def vault_of(person):
    return next(person.state.glob("vault/*.secret"))


def tokens_of(person):
    kept = json.loads(vault_of(person).read_text())
    return {"access token": kept["access_token"], "refresh token": kept["refresh_token"]}


def log_in(stack, person, name):
    """The address that was printed, and the code that came back."""
    process = person.start("login", stack.url, "--no-browser", "--vault=file", env=DEBUG, log="login")
    url = process.wait_for(r"(https?://127\.0\.0\.1:\d+/\S*authorize\S*)").group(1)
    heard = []
    issuer_module.walk(url, name, on_callback=heard.append)
    assert process.wait(PATIENCE) == 0, process.text()
    answer = urllib.parse.urlsplit(heard[0])
    return url, dict(urllib.parse.parse_qsl(answer.query))["code"]


def make_it_old(person):
    """As if hours had passed: the next command has to refresh."""
    path = vault_of(person)
    kept = json.loads(path.read_text())
    kept["obtained"] -= 100_000
    path.write_text(json.dumps(kept))


def work_and_fail(stack, person):
    person.mount(env=DEBUG)
    folder = person.folder
    (folder / "small").write_bytes(b"x" * 1000)
    (folder / "large").write_bytes(os.urandom(20 << 20))
    (folder / "sub").mkdir()
    person.sync()
    os.rename(folder / "small", folder / "sub" / "moved")
    for act in (fault.answer(500, "InternalError"), fault.answer(403, "AccessDenied"), fault.reset(), fault.cut(3)):
        stack.proxy.add(fault.Rule(act, times=2))
    (folder / "again").write_bytes(b"y" * 100_000)
    person.sync(code=None)
    stack.proxy.clear()
    os.unlink(folder / "large")
    person.sync()
    person.umount()
    person.pail("mount", folder, env=DEBUG)
    assert (folder / "again").read_bytes() == b"y" * 100_000
    person.pail("status", "--json", env=DEBUG)


def everything_below(*folders, besides):
    for top in folders:
        for path in Path(top).rglob("*"):
            if path.is_file() and path.name not in besides and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    yield str(path), path.read_bytes()


def reveals_verifier(challenge, text):
    """Whether a word of it is the verifier that this challenge was made from (RFC 7636 4.2)."""
    def hashed(word):
        return base64.urlsafe_b64encode(hashlib.sha256(word).digest()).rstrip(b"=")
    return any(hashed(word) == challenge for word in set(re.findall(rb"[A-Za-z0-9._~-]{43,128}", text)))


def test_secrets_show_nowhere(embedded_stack, person):
    stack, ann = embedded_stack, person("ann")
    watcher = Watcher()
    try:
        url, code = log_in(stack, ann, "ann")
        stack.age_buckets()
        secrets = {"code": code, **{f"first {name}": value for name, value in tokens_of(ann).items()}}
        make_it_old(ann)
        ann.pail("whoami", env=DEBUG)
        renewed = tokens_of(ann)
        assert renewed["refresh token"] != secrets["first refresh token"], "it was not refreshed"
        secrets |= renewed
        make_it_old(ann)
        said = [ann.pail(command, env=DEBUG) for command in ("whoami", "login")]
        secrets |= {f"last {name}": value for name, value in tokens_of(ann).items()}
        work_and_fail(stack, ann)
        send("POST", f"{stack.url}/v1/session", {"Authorization": f"Bearer {renewed['access token']}x"}, b"{}")
        send("POST", f"{stack.url}/v1/grants", {"Authorization": f"Bearer {renewed['access token']}"}, b"no json")
        texts = {f"output of {' '.join(one.arguments)}": (one.out + one.err).encode() for one in said}
        texts |= dict(everything_below(ann.state, ann.home, besides={vault_of(ann).name}))
        said = ann.pail("logout", "--force", env=DEBUG)
        texts["output of logout"] = (said.out + said.err).encode()
        ann.umount()
    finally:
        watcher.close()
    texts |= {f"{path} (at the end)": text for path, text in everything_below(ann.home, besides=set())}
    texts |= dict(everything_below(stack.root, besides={"server.ini", "demo.json", "login-secret"}))
    texts |= {f"{name} {number}": text for number, (name, text) in enumerate(watcher.seen)}
    asked = [urllib.parse.parse_qs(urllib.parse.urlsplit(path).query) for _, path in stack.proxy.requests()]
    signatures = {query["X-Amz-Signature"][0] for query in asked if "X-Amz-Signature" in query}
    assert len(signatures) > 5 and len(texts) > 20
    secrets |= {f"signature {number}": value for number, value in enumerate(signatures)}
    secrets["the store's key"] = stack.server.config.read_text().split("secret_access_key = ")[1].split()[0]
    challenge = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["code_challenge"][0].encode()
    for where, text in texts.items():
        for name, secret in secrets.items():
            assert secret.encode() not in text, f"{name} in {where}"
        assert not reveals_verifier(challenge, text), f"the verifier in {where}"
    assert any(b"pail: debug: " in text for where, text in texts.items() if "server.log" not in where), "nothing was logged at debug level"
    assert b"debug" in (stack.server.folder / "server.log").read_bytes()


def test_the_search_finds_a_verifier():
    verifier = b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    assert reveals_verifier(b"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", b"code_verifier=" + verifier + b"&x")
    assert not reveals_verifier(b"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", b"code_verifier=" + verifier[1:] + b"&x")


@contextlib.contextmanager
def cores_wanted():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield before[1] != 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def core_limit(pid):
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size"))
    return line.split()[4:6]


def die(pid, folders):
    """Kills it as a fault of its own would, and says which cores are there then."""
    own = Path(os.readlink(f"/proc/{pid}/cwd"))
    os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z",
               f"the end of {pid}")
    for folder in folders:
        mounts.detach_dead(folder)  # they cannot be looked into
    found = {path for folder in folders for path in folder.rglob("core*")} | set(own.glob("core*"))
    return [path for path in found if path.is_file()]


def test_no_core_is_left(embedded_stack, person, root, build):
    """Login, mount and server, each where cores are allowed. A program that does not mind shows that one would be found."""
    untouched = {name: f"{os.environ.get(name, '')}:handle_segv=0" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
    stack = embedded_stack
    ann = stack.person("ann")
    stack.server_stop()
    with cores_wanted() as possible:
        os.environ.update(untouched)
        try:
            stack.server_start()
        finally:
            for name in untouched:
                os.environ.pop(name)
        control = Process(["sleep", "600"], root / "control.log", cwd=ann.home)
        ann.mount(env=untouched)
        login = person("bob").start("login", stack.url, "--no-browser", "--vault=file", env=untouched)
        login.wait_for(r"Waiting for the browser")
    mount, = ann.mount_pids()
    found = die(control.pid, [ann.home])
    plain = not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/"))
    assert len(found) == 1 or not plain or not possible
    for core in found:
        core.unlink()
    control.end()
    for pid in (login.pid, mount, stack.server.process.pid):
        assert core_limit(pid) == ["0", "0"], pid
        assert die(pid, [root, ann.home]) == [], pid
