"""What the browser shows at the end of a login: each page in light and dark, in real Chromium.

With CHECK_SCREENSHOTS=FOLDER each page is kept there as a picture, to be looked at."""
import json
import os
import urllib.parse
from pathlib import Path

import pytest

from lib import browser_chromium
from lib.processes import PATIENCE, Process, wait_until

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\"> & \"more\""

pytestmark = pytest.mark.skipif(browser_chromium.missing() is not None, reason="chromium and chromium-driver are not installed")


@pytest.fixture(params=["light", "dark"])
def browser(request, chromium):
    made = chromium(dark=request.param == "dark")
    made.look = request.param
    return made


def look_at(browser, name):
    """The checks that hold for every page of ours; and its picture, where they are wanted."""
    assert browser.is_dark() == (browser.look == "dark")
    assert "taken over" not in browser.title and browser.title.endswith(" - Pail")
    assert browser.run("return document.scripts.length + document.images.length") == 0
    wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], "the page can be moved sideways"
    if os.environ.get("CHECK_SCREENSHOTS"):
        browser.screenshot(Path(os.environ["CHECK_SCREENSHOTS"]) / f"{name}-{browser.look}.png")


def callback(url, **parameters):
    """Where the issuer would send the browser, with these parameters."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    given = {"state": query["state"], **parameters}
    return f"{query['redirect_uri']}?{urllib.parse.urlencode({k: v for k, v in given.items() if v is not None})}"


def test_success(world, person, browser):
    here, ann = world(), person("ann")
    process, url = here.begin(ann, "--vault=file")
    browser_chromium.log_in(browser, url, "ann")
    assert browser.text("main#success h1") == "You are logged in"
    assert "ann@example.com" in browser.text("main")
    look_at(browser, "success")
    assert process.wait(PATIENCE) == 0, process.text()


def failures(here):
    """What the answer says, and what the page must say."""
    ours = {"iss": here.issuer.url}
    return [
        ("declined", {**ours, "error": "access_denied", "error_description": "the person said no"}, "declined", 5),
        ("issuer-error", {**ours, "error": "server_error", "error_description": SCRIPT}, SCRIPT, 5),
        ("long-error", {**ours, "error": "invalid_request", "error_description": "Overlong" * 200}, "OverlongOverlong", 5),
        ("expired-code", {**ours, "code": "a-code-that-was-used-or-is-too-old"}, "refused the login", 5),
        ("other-issuer", {"code": "x", "iss": "https://evil.example/"}, "is not from", 5),
    ]


@pytest.mark.parametrize("number", range(5), ids=["declined", "issuer's error", "long error", "expired code", "other issuer"])
def test_failures(world, person, browser, number):
    here, ann = world(), person("ann")
    name, answer, says, code = failures(here)[number]
    process, url = here.begin(ann, "--vault=file")
    browser.go(callback(url, **answer))
    assert browser.text("main#failure h1") == "You are not logged in"
    assert says in browser.text("main"), browser.text("main")
    look_at(browser, name)
    assert process.wait(PATIENCE) == code, process.text()
    assert not list(ann.state.rglob("*.secret")) and not (ann.state / "current").exists()


def test_answers_that_do_not_count(world, person, browser):
    """The state of an earlier attempt, none at all, another path: the login goes on."""
    here, ann = world(), person("ann")
    first, expired = here.begin(ann, "--vault=file")
    first.signal(2)
    assert first.wait(PATIENCE) == 130
    process, url = here.begin(ann, "--vault=file")
    answer = callback(expired, code="x", iss=here.issuer.url)
    for name, address, says in (("expired-attempt", answer, "an earlier attempt"),
                                ("wrong-state", callback(url, code="x", state=SCRIPT), "does not belong to the login"),
                                ("without-state", callback(url, code="x", state=None), "does not belong to the login"),
                                ("other-path", answer.replace("/callback", "/" + urllib.parse.quote(SCRIPT)), "only hears the end")):
        browser.go(address)
        assert says in browser.text("main#failure"), (name, browser.text("main"))
        look_at(browser, name)
        assert process.running()
    browser_chromium.log_in(browser, url, "ann")
    assert browser.text("main#success h1") == "You are logged in"
    assert process.wait(PATIENCE) == 0, process.text()


def test_a_server_that_refuses(world, person, browser):
    here, ann = world(), person("ann")
    here.server.session_status = 403
    here.server.refusal = f"this account is suspended {SCRIPT}"
    process, url = here.begin(ann, "--vault=file")
    browser_chromium.log_in(browser, url, "ann")
    assert browser.text("main#failure h1") == "You are logged in, but have no bucket"
    assert "The mapping server answered 403: this account is suspended" in browser.text("main")
    look_at(browser, "server-refused")
    assert process.wait(PATIENCE) == 5, process.text()
    assert "this account is suspended" in process.text()


def test_the_issuer_of_the_demo(root, build, browser, closing):
    """Its login page, an address that is none, a page without its ticket, and one that was used."""
    keep = root / "demo"
    process = Process([build.server, "--demo", "--keep", keep], root / "demo.log")
    closing.callback(process.end)
    told = json.loads(process.wait_for(r'^(\{"url".*\})$').group(1))
    issuer, secret = told["issuer"], (keep / "login-secret").read_text()
    query = {"response_type": "code", "client_id": "pail-demo", "redirect_uri": "http://127.0.0.1:47831/callback", "audience": told["url"],
             "scope": "openid email offline_access", "state": SCRIPT, "nonce": "n", "code_challenge": "v" * 43,
             "code_challenge_method": "S256", "login_hint": f"ann@example.com\"{SCRIPT}"}
    address = f"{issuer}authorize?{urllib.parse.urlencode({**query, 'secret': secret})}"
    browser.go(address)
    assert browser.text("h1") == "Sign in to Pail"
    look_at(browser, "demo-login")
    browser.run("document.querySelector('#email').type = 'text'; document.querySelector('#email').value = arguments[0]", SCRIPT)
    browser.click("#go")
    browser.find("[role=alert]")
    assert "not an email address" in browser.text("[role=alert]")
    look_at(browser, "demo-no-address")
    browser.go(f"{issuer}authorize?{urllib.parse.urlencode(query)}")
    assert "without its ticket" in browser.text("h1")
    look_at(browser, "demo-no-ticket")
    browser.go(f"{issuer}authorize?{urllib.parse.urlencode({**query, 'secret': secret, 'client_id': SCRIPT})}")
    assert "not a login of Pail" in browser.text("h1")
    look_at(browser, "demo-foreign")
    browser.go(address)
    browser.run("document.querySelector('[name=attempt]').value = document.querySelector('#email').value = 'ann@example.com'")
    browser.click("#go")
    wait_until(lambda: browser.title.startswith("This login has ended"), "the page of an attempt that is over")
    look_at(browser, "demo-ended")
