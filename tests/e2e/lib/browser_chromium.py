"""Debian's Chromium without a screen, driven through chromedriver by the W3C WebDriver protocol."""
import base64
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from .ports import free_port
from .processes import PATIENCE, Process, wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--window-size=900,700"]


def missing():
    """What is not installed, or None."""
    return next((name for name in ("chromedriver", "chromium") if not shutil.which(name)), None)


class Chromium:
    """A browser with a profile of its own below folder. dark: the person prefers dark pages."""

    def __init__(self, folder, dark=False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        env = {**os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"),
               "XDG_CACHE_HOME": str(self.folder / "cache"), "TMPDIR": str(self.folder), "no_proxy": "127.0.0.1"}
        env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self.driver = Process(["chromedriver", f"--port={port}"], self.folder / "chromedriver.log", env=env)
        self.url = f"http://127.0.0.1:{port}"
        self.session = None
        try:
            wait_until(self._ready, "chromedriver")
            flags = [*FLAGS, f"--user-data-dir={self.folder / 'profile'}"]
            if dark:
                flags.append("--force-dark-mode")
            wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")}}
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, timeout=PATIENCE)
            self.session = answer["sessionId"]
            if dark:
                self._command("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
                    "features": [{"name": "prefers-color-scheme", "value": "dark"}]}})
        except BaseException:
            self.close()
            raise

    def _ready(self):
        try:
            return self._ask("GET", "/status")["ready"]
        except OSError:
            return False

    def _ask(self, method, path, body=None, timeout=PATIENCE):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode(errors='replace')[:500]}") from None

    def _command(self, method, path, body=None):
        return self._ask(method, f"/session/{self.session}{path}", body)

    def go(self, url):
        self._command("POST", "/url", {"url": url})

    @property
    def address(self):
        return self._command("GET", "/url")

    @property
    def title(self):
        return self._command("GET", "/title")

    def find(self, css, timeout=PATIENCE):
        """The first element, waited for."""
        end = time.monotonic() + timeout
        while True:
            try:
                return self._command("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
            except RuntimeError:
                if time.monotonic() > end:
                    raise AssertionError(f"no {css} on {self.address}: {self.text('body')[:500]}") from None
                time.sleep(0.05)

    def text(self, css):
        element = self._command("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
        return self._command("GET", f"/element/{element}/text")

    def type(self, css, text):
        self._command("POST", f"/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self._command("POST", f"/element/{self.find(css)}/click", {})

    def click_if_there(self, css):
        """False: it is not, or went while it was clicked, because the page is on its way to another."""
        try:
            element = self._command("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]
            self._command("POST", f"/element/{element}/click", {})
            return True
        except RuntimeError:
            return False

    def run(self, script, *arguments):
        return self._command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """The script calls its last argument with the result."""
        return self._command("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def luminance(self, name):
        """Of a colour of the page's body, 0 to 255."""
        colour = self.run("return getComputedStyle(document.body)[arguments[0]]", name)
        red, green, blue = (int(part) for part in colour[colour.index("(") + 1:-1].split(",")[:3])
        return 0.3 * red + 0.59 * green + 0.11 * blue

    def is_dark(self):
        """Light letters on dark ground, or the other way round; anything between is a failure."""
        back, text = self.luminance("backgroundColor"), self.luminance("color")
        assert (back < 60 and text > 180) or (back > 200 and text < 90), (back, text)
        return back < text

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self._command("GET", "/screenshot")))

    def close(self):
        try:
            if self.session:
                self._command("DELETE", "")
        except (RuntimeError, OSError):
            pass
        self.driver.end()


def log_in(browser, url, name, password="secret"):
    """Walks the issuer's pages as a person does, to the page at the end, which it waits for."""
    browser.go(url)
    browser.type("input[name=login]", name)
    browser.type("input[name=password]", password)
    browser.click("button[type=submit]")
    browser.find("button[type=submit]:not([name=login])")
    end = time.monotonic() + 30
    while "/interaction/" in browser.address and time.monotonic() < end:
        if not browser.click_if_there("button[type=submit]"):
            time.sleep(0.05)
    return browser.find("main")
