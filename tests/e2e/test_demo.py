"""`pail demo`: everything on this machine, with one command, and again the next day."""
import html
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from lib import browser_chromium, mounts
from lib import issuer as issuer_module
from lib.browser_chromium import Chromium
from lib.processes import PATIENCE, alive, wait_until


class Demo:
    """A demo of one person; what it keeps is in their data folder."""

    def __init__(self, person):
        self.person, self.starts = person, 0
        self.keep = person.home / "data/pail/demo"

    def begin(self, *arguments, env=None):
        self.starts += 1
        self.process = self.person.start("demo", self.person.folder, *arguments, env=env, log=f"demo-{self.starts}")
        return self

    def start(self, *arguments, env=None):
        """With --email unless told otherwise; returns when the folder is there."""
        self.begin(*(arguments or ("--email", "ann@example.com")), env=env)
        return self.wait_mounted()

    def wait_mounted(self):
        self.process.wait_for(r"is the bucket of")
        assert mounts.is_mounted(self.person.folder)
        return self

    @property
    def settings(self):
        return json.loads((self.keep / "demo.json").read_text())

    def server_pid(self):
        """The pail-server below the demo."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid), "-x", "pail-server"], capture_output=True, text=True)
        return int(children.stdout)

    def end(self, how="umount"):
        server = self.server_pid()
        if how == "umount":
            self.person.pail("umount", self.person.folder, timeout=PATIENCE)
        else:
            os.kill(self.process.pid, how)
        assert self.process.wait(PATIENCE) == 0, self.process.text()
        assert not alive(server) and not mounts.is_mounted(self.person.folder)


@pytest.fixture
def demo(person):
    made = Demo(person())
    yield made
    mounts.detach_all(made.person.home)
    if made.starts:
        made.process.end()


@pytest.mark.parametrize("how", ["umount", signal.SIGINT, signal.SIGTERM], ids=["umount", "^C", "SIGTERM"])
def test_what_was_put_there_is_there_the_next_time(demo, how):
    demo.start()
    folder = demo.person.folder
    (folder / "d").mkdir()
    (folder / "d/ü.txt").write_text("hello")
    (folder / "big").write_bytes(os.urandom(3 << 20))
    kept = (folder / "big").read_bytes()
    demo.end(how)
    assert list(folder.iterdir()) == []
    shutil.rmtree(demo.person.cache, ignore_errors=True)
    demo.start()
    assert (folder / "d/ü.txt").read_text() == "hello" and (folder / "big").read_bytes() == kept
    status = demo.person.status()
    assert not status.get("unsent", {}).get("files"), status
    demo.end()


def test_another_person_has_another_bucket(demo):
    demo.start("--email", "ann@example.com")
    (demo.person.folder / "anns").write_text("1")
    demo.end()
    demo.start("--email", "bob@example.com")
    assert list(demo.person.folder.iterdir()) == []
    demo.end()
    demo.start("--email", "Ann@Example.com")
    assert [p.name for p in demo.person.folder.iterdir()] == ["anns"]
    demo.end()


def test_the_printed_address_logs_in_once(demo):
    demo.begin("--no-browser")
    url = demo.process.wait_for(r"(http://127\.0\.0\.1:\d+/authorize\S+)").group(1)
    assert "ticket=" in url
    page = issuer_module.walk(url, "carl@example.com")
    assert 'id="success"' in page, page[-500:]
    demo.wait_mounted()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=PATIENCE)
    assert refused.value.code == 403
    demo.end()
    demo.begin("--no-browser").wait_mounted()  # still logged in: no page at all
    assert "authorize" not in demo.process.text()
    demo.end()


def opened_page(demo, root):
    """Starts a demo whose browser is a script; the file that it was told to open."""
    script, told = root / "browser", root / "told"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{told}.new" && mv "{told}.new" "{told}"\n')
    script.chmod(0o755)
    demo.begin(env={"BROWSER": str(script)})
    wait_until(told.exists, "the browser")
    url = told.read_text().strip()
    assert url.startswith("file:///")
    return demo.keep / "login.html", url


def test_the_browser_opens_a_page_that_only_its_owner_can_read(demo, root):
    page, url = opened_page(demo, root)
    secret = (demo.keep / "login-secret").read_text()
    assert urllib.parse.unquote(url) == f"file://{page}" and secret not in url
    assert stat.S_IMODE(page.stat().st_mode) == 0o600 and stat.S_IMODE(demo.keep.stat().st_mode) == 0o700
    text = page.read_text()
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', text))
    assert html.unescape(fields["secret"]) == secret
    target = html.unescape(re.search(r'action="([^"]+)"', text).group(1))
    answer = urllib.request.urlopen(target, urllib.parse.urlencode({k: html.unescape(v) for k, v in fields.items()}).encode(), timeout=PATIENCE)
    attempt = re.search(r'name="attempt" value="([^"]+)"', answer.read().decode()).group(1)
    done = urllib.request.urlopen(urllib.parse.urljoin(target, "/login"),
                                  urllib.parse.urlencode({"attempt": attempt, "email": "dora@example.com"}).encode(), timeout=PATIENCE)
    assert 'id="success"' in done.read().decode()
    demo.wait_mounted()
    assert not page.exists() and secret not in demo.process.text()
    demo.end()


@pytest.mark.skipif(browser_chromium.missing(), reason="chromium and chromium-driver are not installed")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_work_in_a_real_browser(demo, root, closing, dark):
    _, url = opened_page(demo, root)
    browser = Chromium(root / "chromium", dark)
    closing.callback(browser.close)
    browser.go(url)
    wait_until(lambda: "Sign in to Pail" in browser.title, "the login page")
    browser.type("#email", "eve@example.com")
    browser.click("#go")
    wait_until(lambda: "You are logged in" in browser.title, "the last page")
    demo.wait_mounted()
    demo.end()


def test_the_issuers_port_may_be_taken_later(demo):
    demo.start()
    (demo.person.folder / "f").write_text("1")
    before = demo.settings
    demo.end()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", before["issuer_port"]))
        other.listen()
        demo.start()
        assert demo.settings["issuer_port"] != before["issuer_port"]
        assert (demo.person.folder / "f").read_text() == "1"
        demo.end()
    demo.start()
    assert (demo.person.folder / "f").read_text() == "1"
    demo.end()


def test_ports_are_kept_and_can_be_chosen(demo):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    demo.start("--email", "ann@example.com", "--port", str(port))
    before = demo.settings
    assert before["server_port"] == port
    demo.end()
    demo.start()
    assert demo.settings == before
    demo.end()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        result = demo.person.pail("demo", demo.person.folder, "--port", port, "--email", "ann@example.com", code=None)
        assert result.code != 0 and f"port {port} is in use" in result.err, result


def test_one_demo_at_a_time_for_one_folder(demo):
    demo.start()
    result = demo.person.pail("demo", demo.person.home / "Other", "--email", "ann@example.com", code=None)
    assert result.code != 0 and "is running" in result.err, result
    assert mounts.is_mounted(demo.person.folder)
    demo.end()


def test_wrong_wishes_are_told(demo):
    for arguments, text in ((("--email", "nobody"), "not an email address"), (("--port", "x"), "--port is a number"),
                            (("--port", "70000"), "--port is a number"), (("a", "b"), "more than one folder"), (("--wrong",), "wrong")):
        folder = () if "b" in arguments else (demo.person.folder,)
        result = demo.person.pail("demo", *folder, *arguments, code=None)
        assert result.code not in (0, None) and text in result.err, result
    assert not mounts.is_mounted(demo.person.folder)


def test_a_folder_that_is_not_empty_is_left_alone(demo):
    (demo.person.folder / "mine").write_text("precious")
    result = demo.person.pail("demo", demo.person.folder, "--email", "ann@example.com", code=None)
    assert result.code != 0 and "not empty" in result.err
    assert (demo.person.folder / "mine").read_text() == "precious"


def test_killed_it_leaves_nothing_running_and_loses_nothing(demo):
    demo.start()
    server = demo.server_pid()
    for number in range(20):
        (demo.person.folder / f"f{number}").write_text(str(number) * 1000)
    os.kill(demo.process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(server) and not demo.person.mount_pids(), "the end of its children")
    demo.start()
    for number in range(20):
        assert (demo.person.folder / f"f{number}").read_text() == str(number) * 1000
    demo.person.sync()
    demo.end()


def test_a_server_that_ends_is_told(demo):
    demo.start()
    os.kill(demo.server_pid(), signal.SIGKILL)
    demo.process.wait(PATIENCE)
    assert "server has ended" in demo.process.text() and not mounts.is_mounted(demo.person.folder)
