"""Fixtures of the end-to-end tests. Every process and mount belongs to a fixture; what one leaves behind is a failure."""
import contextlib
import functools
import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from lib import browser_chromium, login_keyring, mounts, processes
from lib import ceph as ceph_module
from lib import issuer as issuer_module
from lib.browser_chromium import Chromium
from lib.build import Build
from lib.faultproxy import FaultProxy
from lib.login_keyring import Keyring
from lib.login_world import World
from lib.person import Person
from lib.ports import free_port
from lib.processes import Process
from lib.scene import Embedded, Scene
from lib.server import MappingServer
from lib.server_tokens import TokenIssuer
from lib.stack import CephStack, EmbeddedStack


def pytest_configure(config):
    processes.become_subreaper()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background inherits it ignored, and so would ^C of a test
    config.addinivalue_line("markers", "slow: over 20 seconds; `packaging/check quick` leaves it out")
    config.addinivalue_line("markers", "threads: for the thread sanitizer's pass")
    if os.geteuid():
        raise pytest.UsageError("the end-to-end tests mount and isolate: run them as root, or through packaging/check")


@pytest.fixture(scope="session")
def build():
    return Build()


@pytest.fixture(scope="session")
def session_root():
    """A short path: a Unix socket's name holds 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pail-e2e-", dir=os.environ.get("CHECK_TMP")))
    yield folder
    left = mounts.detach_all(folder)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"still mounted at the end: {left}"


_numbers = itertools.count(1)


@contextlib.contextmanager
def own_folder(session_root, failed):
    """A folder for a test or a module. Afterwards no process of it may live and nothing may be mounted."""
    folder = session_root / f"{next(_numbers):03d}"
    folder.mkdir(mode=0o755)
    before = set(processes.descendants())
    yield folder
    left_mounted = mounts.mounted_below(folder)
    mounts.detach_all(folder)
    left = processes.left_running(before)
    processes.kill_tree(left)
    if failed() and os.environ.get("CHECK_KEEP_FAILED"):
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if not failed():
        assert not left_mounted, f"left mounted: {left_mounted}"
        assert not left, f"left running: {left}"


@pytest.fixture
def root(session_root, request):
    with own_folder(session_root, lambda: getattr(request.node, "failed", False)) as folder:
        yield folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        item.failed = True
        folder = item.funcargs.get("root") or item.funcargs.get("module_root")
        if call.when == "call" and folder:
            report.sections.append(("logs", _logs_of(folder)))


def _logs_of(folder, each=4000):
    mounted, texts = set(mounts.mounted_below(folder)), []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(place, name) not in mounted]
        for name in names:
            path = Path(place, name)
            if name == "log" or path.suffix == ".log":
                text = path.read_text(errors="replace")
                texts.append(f"--- {path.relative_to(folder)}\n{text[-each:]}")
    return "\n".join(sorted(texts))


@pytest.fixture
def start(root):
    """start(program, ...) runs something beside the test and ends it afterwards."""
    started = []

    def run(*arguments, log=None, **more):
        process = Process(arguments, root / (log or f"{Path(str(arguments[0])).name}-{len(started)}.log"), **more)
        started.append(process)
        return process
    yield run
    for process in reversed(started):
        process.end()


@pytest.fixture
def person(root, build):
    """person(name) makes one; whatever they have mounted is gone afterwards."""
    made = []

    def make(name="ann"):
        made.append(Person(name, root, build))
        return made[-1]
    yield make
    for each in made:
        end_person(each)


def end_person(each):
    """Takes a person's mounts away by force and ends what is still at work for them."""
    mounts.detach_all(each.home)
    processes.kill_tree(each.mount_pids(), patience=10)


@pytest.fixture(scope="session")
def ceph(session_root):
    if not ceph_module.installed():
        pytest.skip("Ceph is not installed (packages ceph-mon ceph-mgr ceph-osd radosgw)")
    before = set(processes.descendants())
    gateway = ceph_module.Ceph(session_root / "ceph")
    processes.shared |= set(processes.descendants()) - before
    yield gateway
    gateway.down()


def issuers(root, closing):
    """issuer(audience, ...) starts a login provider shaped like Auth0."""
    if not issuer_module.node() or not issuer_module.folder():
        pytest.skip("node with oidc-provider is not installed (packaging/check installs it)")

    def make(audience, **more):
        made = issuer_module.Issuer(root / f"issuer-{next(_numbers)}.log", audience, **more)
        closing.callback(made.close)
        return made
    return make


def servers(root, build, closing):
    """server(store, issuer_url, ...) makes a mapping server's settings; .start() runs it."""
    def make(store, issuer_url, **more):
        made = MappingServer(build, root / f"server-{next(_numbers)}", store, issuer_url, **more)
        closing.callback(made.close)
        return made
    return make


def proxies(closing):
    """faultproxy(target) puts a misbehaving HTTP proxy before a store or server."""
    def make(target, **more):
        made = FaultProxy(target, **more)
        closing.callback(made.close)
        return made
    return make


@pytest.fixture
def closing():
    """An ExitStack: what is given to its callback() runs after the test."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def issuer(root, closing):
    return issuers(root, closing)


@pytest.fixture
def server(root, build, closing):
    return servers(root, build, closing)


@pytest.fixture
def faultproxy(closing):
    return proxies(closing)


@pytest.fixture
def farwire(start, build):
    """farwire(target_port, rtt_ms, mb_per_s) returns the port of a wire of that length."""
    def make(target_port, rtt_ms=30, mb_per_s=80):
        port = free_port()
        start(build.farwire, port, target_port, rtt_ms, mb_per_s, log=f"farwire-{port}.log").wait_for("^farwire on")
        return port
    return make


def make_stack(kind, root, build, closing, request, **issuer_options):
    root = root / kind
    root.mkdir(exist_ok=True)
    kind, _, layout = kind.partition("-")
    more = {"layout": layout} if layout else {}
    make_issuer = functools.partial(issuers(root, closing), **issuer_options)
    if kind == "ceph":
        stack = CephStack(root, build, request.getfixturevalue("ceph"), make_issuer,
                          servers(root, build, closing), proxies(closing), **more)
    else:
        stack = EmbeddedStack(root, build, make_issuer, servers(root, build, closing), proxies(closing), **more)
    closing.callback(stack.close)
    return stack


@pytest.fixture
def stacks(root, build, closing, request):
    """stacks("ceph") or stacks("embedded"): a store, a login, a mapping server, and a proxy before the store; with "-prefix"
    behind, one bucket for all. More is for the login provider, access_ttl_s say."""
    return lambda kind, **more: make_stack(kind, root, build, closing, request, **more)


@pytest.fixture(params=["embedded", "ceph"])
def stack(request, stacks):
    """Both kinds of store, one after the other: with all conditions, and with hardly any."""
    return stacks(request.param)


@pytest.fixture
def embedded_stack(stacks):
    return stacks("embedded")


@pytest.fixture
def ceph_stack(stacks):
    return stacks("ceph")


@pytest.fixture(scope="module")
def module_root(session_root):
    with own_folder(session_root, lambda: False) as folder:
        yield folder


@pytest.fixture(scope="module")
def module_stacks(module_root, build, request):
    """Like stacks, once for all tests of a file."""
    with contextlib.ExitStack() as closing:
        yield lambda kind: make_stack(kind, module_root, build, closing, request)


@pytest.fixture
def world(issuer):
    made = []

    def make(**more):
        made.append(World(issuer, **more))
        return made[-1]
    yield make
    for each in made:
        each.server.close()


@pytest.fixture
def chromium(root):
    if browser_chromium.missing():
        pytest.skip(f"{browser_chromium.missing()} is not installed")
    opened = []

    def make(**more):
        opened.append(Chromium(root / f"chromium-{len(opened)}", **more))
        return opened[-1]
    yield make
    for each in opened:
        each.close()


@pytest.fixture
def keyring():
    if login_keyring.missing():
        pytest.skip(f"{login_keyring.missing()} is not installed")
    made = []

    def make(person):
        made.append(Keyring(person))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def tokens(root):
    """tokens(audience) starts an issuer inside the test."""
    made = []

    def make(audience):
        made.append(TokenIssuer(root, audience))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def embedded(start, build, root):
    return Embedded(start, build, root)


@pytest.fixture
def scene(tokens, server, embedded):
    return Scene(tokens, server, embedded).start()


@pytest.fixture
def ceph_scene(tokens, server, ceph):
    return Scene(tokens, server, ceph).start()


@pytest.fixture(params=["embedded", "ceph"])
def each_scene(request, tokens, server):
    """What must hold on a store that does everything, and on one that obeys what is added to a grant."""
    return Scene(tokens, server, request.getfixturevalue(request.param)).start()
