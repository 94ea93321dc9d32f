"""Logging in, staying logged in and logging out: npm oidc-provider shaped like Auth0, real Chromium, real gnome-keyring."""
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib import browser_chromium
from lib import issuer as issuer_module
from lib.login_server import claims_of
from lib.login_world import AUDIENCE
from lib.processes import PATIENCE, wait_until

def port_is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def nothing_kept(person):
    """Whether no account and no secret is in the person's state."""
    found = [path for path in person.state.rglob("*") if path.is_file() and path.name in ("account.json", "current")]
    return not found and not list(person.state.rglob("*.secret"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_person_logs_in_with_chromium(world, person, chromium, dark):
    here, ann, browser = world(), person("ann"), chromium(dark=dark)
    process, url = here.begin(ann, "--vault=file")
    browser_chromium.log_in(browser, url, "ann")
    assert browser.text("h1") == "You are logged in"
    assert "ann@example.com" in browser.text("main")
    assert browser.is_dark() == dark
    if os.environ.get("CHECK_SCREENSHOTS"):
        browser.screenshot(Path(os.environ["CHECK_SCREENSHOTS"]) / f"login-success-{'dark' if dark else 'light'}.png")
    assert process.wait(PATIENCE) == 0, process.text()
    assert "ann@example.com" in process.text() and "pail-test-bucket" in process.text()
    assert here.issuer.url in process.text(), "the issuer is shown"
    who = json.loads(ann.pail("whoami", "--json").out)
    assert who["email"] == "ann@example.com" and who["login"] == "good"
    assert who["bucket"]["name"] == "pail-test-bucket"
    claims = claims_of(here.server.tokens[-1])
    assert AUDIENCE in claims["aud"] and claims["sub"] == "ann"
    again = ann.pail("login", here.server.url)
    assert "Already logged in" in again.out and "--another" in again.out and "authorize" not in again.out
    assert not port_is_open(here.ports[0])


def begin_by_code(here, person, *options):
    """pail login; the address and the code that it printed."""
    here.logins += 1
    process = person.start("login", here.server.url, *options, "--vault=file", log=f"login-{here.issuer.port}-{here.logins}",
                           env={"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": "", "SSH_CONNECTION": "10.0.0.2 50000 10.0.0.1 22"})
    url = process.wait_for(r"(http://127\.0\.0\.1:\d+/activate)\s").group(1)
    return process, url, process.wait_for(r"type this code there:\s+(\S+)").group(1)


@pytest.mark.parametrize("options", [["--device"], []], ids=["asked for", "over ssh"])
def test_a_code_that_is_typed_on_another_device(world, person, options):
    here, ann = world(), person("ann")
    process, url, code = begin_by_code(here, ann, *options)
    assert not any(port_is_open(port) for port in here.ports), "nobody comes back to this machine"
    page = issuer_module.walk(url, "ann", code=code)
    assert "success" in page.lower(), page[-800:]
    assert process.wait(PATIENCE) == 0, process.text()
    assert "ann@example.com" in process.text() and "pail-test-bucket" in process.text()
    assert json.loads(ann.pail("whoami", "--json").out)["login"] == "good"
    assert AUDIENCE in claims_of(here.server.tokens[-1])["aud"]
    assert here.count("token urn:ietf:params:oauth:grant-type:device_code") == 1
    assert "device_code" not in process.text(), "only the code that is typed is shown"


def test_a_code_that_is_declined(world, person):
    here, ann = world(), person("ann")
    process, url, code = begin_by_code(here, ann, "--device")
    issuer_module.walk(url, "ann", code=code, decline=True)
    assert process.wait(PATIENCE) == 5
    assert "declined" in process.text()
    assert nothing_kept(ann)


def test_a_code_and_control_c(world, person):
    here, ann = world(), person("ann")
    process, _, _ = begin_by_code(here, ann, "--device")
    process.signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130, process.text()
    assert nothing_kept(ann)


def test_several_accounts_side_by_side(world, person):
    here, there, someone = world(), world(), person("ann")
    here.log_in(someone)
    there.log_in(someone, "bob")
    here.log_in(someone, "eve", "--vault=file", "--another")
    accounts = json.loads(someone.pail("whoami", "--all", "--json").out)
    assert {(a["email"], a["server"]) for a in accounts} == {
        ("ann@example.com", here.server.url), ("bob@example.com", there.server.url), ("eve@example.com", here.server.url)}
    assert [a["email"] for a in accounts if a["current"]] == ["eve@example.com"]
    assert all(a["login"] == "good" for a in accounts)
    assert "from now on" in someone.pail("login", "bob@example.com").out
    assert json.loads(someone.pail("whoami", "--json").out)["email"] == "bob@example.com"
    assert "several accounts match" in someone.pail("login", here.server.url, code=1).err
    lines = someone.pail("whoami", "--all").out.splitlines()
    assert len(lines) == 3 and [line for line in lines if line.startswith("*")][0].split()[2] == "bob@example.com"
    someone.pail("logout")
    assert "--all" in someone.pail("whoami", code=3).err
    someone.pail("logout", "ann@example.com")
    assert json.loads(someone.pail("whoami", "eve@example.com", "--json").out)["login"] == "good"


def test_declining_on_the_page_is_told_in_both_places(world, person, chromium):
    here, ann, browser = world(), person("ann"), chromium()
    process, url = here.begin(ann, "--vault=file")
    browser.go(url)
    browser.click("a[href$='/abort']")
    browser.find("main#failure")
    assert browser.text("h1") == "You are not logged in"
    assert "declined" in browser.text("main")
    if os.environ.get("CHECK_SCREENSHOTS"):
        browser.screenshot(Path(os.environ["CHECK_SCREENSHOTS"]) / "login-failure.png")
    assert process.wait(PATIENCE) == 5, process.text()
    assert "declined" in process.text()
    assert nothing_kept(ann)


def test_a_web_page_that_calls_the_port_changes_nothing(world, person, chromium):
    """A page of another origin posts, fetches and navigates frames to the callback while a login waits."""
    here, ann, browser = world(), person("ann"), chromium()
    process, url = here.begin(ann, "--vault=file")
    callback = f"http://127.0.0.1:{here.ports[0]}/callback?code=stolen&state=guessed"
    browser.go(f"{here.server.url}/")  # another origin
    results = browser.run_async("""
        const [url, done] = arguments, results = [];
        const ask = options => fetch(url, options).then(r => results.push(r.type + r.status), e => results.push("refused"));
        const form = document.createElement("form"), frame = document.createElement("iframe");
        frame.name = "frame";
        Object.assign(form, {action: url, method: "post", target: "frame"});
        document.body.append(frame, form);
        form.submit();
        Promise.all([ask({}), ask({mode: "no-cors"}), ask({method: "POST", mode: "no-cors", body: "x"})])
            .then(() => setTimeout(() => done(results), 300));""", callback)
    assert "refused" in results, "a page of another origin can read the answer"
    assert not any(result.endswith("200") for result in results), results
    browser.go(callback)
    assert "does not belong to the login" in browser.text("body")
    assert process.running()
    browser_chromium.log_in(browser, url, "ann")
    assert browser.text("h1") == "You are logged in"
    assert process.wait(PATIENCE) == 0, process.text()


def test_the_browser_is_opened_for_the_person(world, person, tmp_path):
    here, ann = world(), person("ann")
    heard = tmp_path / "heard"
    program = tmp_path / "browser"
    program.write_text(f"#!/bin/sh\nprintf %s \"$1\" >{heard}.new && mv {heard}.new {heard}\n")
    program.chmod(0o755)
    process = ann.start("login", here.server.url, "--vault=file", env={"BROWSER": str(program)})
    wait_until(heard.exists, "the browser")
    url = heard.read_text()
    assert url in process.text(), "the address is printed as well"
    issuer_module.walk(url, "ann")
    assert process.wait(PATIENCE) == 0, process.text()


def test_interrupting_leaves_nothing_behind(world, person):
    here, ann = world(), person("ann")
    process, _ = here.begin(ann, "--vault=file")
    assert port_is_open(here.ports[0])
    process.signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130, process.text()
    assert "cancelled" in process.text()
    assert not port_is_open(here.ports[0])
    assert nothing_kept(ann)
    assert not (ann.state / "vault").exists()


def test_two_people_at_once_and_all_ports_taken(world, person):
    here = world()
    people = [person(f"p{number}") for number in range(4)]
    logins = [here.begin(each, "--vault=file") for each in people[:3]]
    assert [f"%3A{port}%2F" in url for port, (_, url) in zip(here.ports, logins)] == [True] * 3
    refused = people[3].pail("login", here.server.url, "--no-browser", "--vault=file", code=1)
    assert "in use" in refused.err and str(here.ports[2]) in refused.err
    for number, (process, url) in enumerate(logins):
        issuer_module.walk(url, f"p{number}")
        assert process.wait(PATIENCE) == 0, process.text()
    assert json.loads(people[1].pail("whoami", "--json").out)["email"] == "p1@example.com"


def test_a_code_is_good_once(world, person):
    """The answer comes again after the login: nobody listens, and the issuer honours the code no more."""
    here, ann = world(), person("ann")
    process, url = here.begin(ann, "--vault=file")
    opener = urllib.request.build_opener()
    heard = []
    issuer_module.walk(url, "ann", on_callback=heard.append)
    assert process.wait(PATIENCE) == 0, process.text()
    callback = heard[0]
    with pytest.raises(urllib.error.URLError):
        opener.open(callback, timeout=PATIENCE)
    second, _ = here.begin(person("bob"), "--vault=file")
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(callback, timeout=PATIENCE)  # the state of another attempt
    assert refused.value.code == 400
    second.signal(signal.SIGINT)
    second.wait(PATIENCE)


def test_twenty_processes_refresh_once(world, person):
    here, ann = world(access_ttl_s=10), person("ann")
    here.log_in(ann)
    wait_until(lambda: _life_is_over(here), "the token to grow old")
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda _: ann.pail("whoami", "--json", code=None), range(20)))
    assert [r.code for r in results] == [0] * 20, results
    assert here.count("token refresh_token") == 1
    assert "refused" not in here.issuer.process.text(), "an old refresh token was used"


def _life_is_over(here):
    """80 % of the last token's life has passed, counted from its receipt: iat is in whole seconds, up to one before it."""
    claims = claims_of(here.server.tokens[-1])
    return time.time() > claims["iat"] + 0.8 * (claims["exp"] - claims["iat"]) + 1.5


def test_rotation_goes_on_for_many_refreshes(world, person):
    here, ann = world(access_ttl_s=2), person("ann")
    here.log_in(ann)
    for _ in range(4):
        wait_until(lambda: _life_is_over(here), "the token to grow old")
        ann.pail("whoami")
    assert here.count("token refresh_token") >= 4
    assert len(set(here.server.tokens)) >= 5
    assert "refused" not in here.issuer.process.text()


def test_offline_is_not_a_reason_to_log_in_again(world, person):
    here, ann = world(access_ttl_s=2), person("ann")
    here.log_in(ann)
    wait_until(lambda: _life_is_over(here), "the token to grow old")
    time.sleep(1)
    here.issuer.close()
    offline = ann.pail("whoami", code=4)
    assert "not reachable" in offline.err and "pail login" not in offline.err
    assert json.loads(ann.pail("whoami", "--json", code=4).out)["login"] == "offline"
    here.issuer = here.start_issuer(here.issuer.port)
    ended = ann.pail("whoami", code=3)  # the new one knows nothing of the login: invalid_grant
    assert "pail login" in ended.err
    assert json.loads(ann.pail("whoami", "--json", code=3).out)["login"] == "ended"
    here.log_in(ann)
    ann.pail("whoami")


def test_logging_out_revokes_and_wipes(world, person):
    here, ann = world(), person("ann")
    here.log_in(ann)
    secret = json.loads(next(ann.state.glob("vault/*.secret")).read_text())
    assert "Logged out" in ann.pail("logout").out
    assert nothing_kept(ann)
    wait_until(lambda: here.count("revoked") == 1, "revocation")
    body = f"grant_type=refresh_token&client_id=pail&refresh_token={secret['refresh_token']}".encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{here.issuer.url}oauth/token", body, timeout=PATIENCE)
    assert "invalid_grant" in refused.value.read().decode()
    assert "pail login" in ann.pail("whoami", code=3).err
    assert ann.pail("logout", code=None).code != 0


def test_logging_out_does_not_drop_what_is_unsent(world, person):
    here, ann = world(), person("ann")
    here.log_in(ann)
    account = json.loads(ann.pail("whoami", "--json").out)["id"]
    spool = ann.state / account / "spool"
    spool.mkdir()
    (spool / "1").write_text("precious")
    refused = ann.pail("logout", code=7)
    assert "--force" in refused.err
    ann.pail("whoami")
    ann.pail("logout", "--force")
    assert (spool / "1").read_text() == "precious"


def test_the_keyring_holds_the_login(world, person, keyring):
    here, ann = world(), person("ann")
    ring = keyring(ann)
    here.log_in(ann, "ann", "--vault=secret-service", env=ring.env)
    assert json.loads(ann.pail("whoami", "--json", env=ring.env).out)["login"] == "good"
    assert not list(ann.state.rglob("*.secret"))
    token = here.server.tokens[-1]
    for path in ann.home.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
    ring.close()
    closed = ann.pail("whoami", code=None, env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"})
    assert closed.code == 4 and "keyring" in closed.err
    assert "pail login" not in closed.err


def test_no_keyring_is_found_out_before_the_browser(world, person):
    here, ann = world(), person("ann")
    refused = ann.pail("login", here.server.url, code=1, env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"})
    assert "--vault=file" in refused.err
    assert "authorize" not in refused.out
    assert nothing_kept(ann)


def test_a_vault_that_others_can_read_is_refused(world, person):
    here, ann = world(), person("ann")
    here.log_in(ann)
    (ann.state / "vault").chmod(0o755)
    refused = ann.pail("whoami", code=None)
    assert refused.code != 0 and "open to other users" in refused.err


def test_secrets_show_nowhere(world, person):
    """Not in arguments, environment, messages or files outside the vault. test_secrets.py looks at a whole day's work, and for cores."""
    here, ann = world(access_ttl_s=2), person("ann")
    process, url = here.begin(ann, "--vault=file")
    for name in ("cmdline", "environ"):
        text = Path(f"/proc/{process.pid}/{name}").read_bytes()
        assert b"state=" not in text and b"code_" not in text
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    issuer_module.walk(url, "ann")
    assert process.wait(PATIENCE) == 0
    wait_until(lambda: _life_is_over(here), "the token to grow old")
    shown = ann.pail("whoami")
    secrets = json.loads(next(ann.state.glob("vault/*.secret")).read_text())
    wanted = [secrets["access_token"], secrets["refresh_token"], *here.server.tokens]
    texts = {"login": process.text(), "whoami": shown.out + shown.err}
    texts |= {str(path): path.read_text(errors="replace") for path in ann.home.rglob("*")
              if path.is_file() and path.suffix != ".secret"}
    for secret in wanted:
        for where, text in texts.items():
            assert secret not in text, where


@pytest.mark.parametrize("options", [(), ("--no-browser",), ("--device",)])
def test_a_strange_server_that_names_another_companys_login(world, person, tmp_path, options):
    """It would get a token that is good at the other company. Refused before a browser opens or the issuer is asked."""
    here, ann = world(), person("ann")
    here.server.configuration.update(issuer="https://login.bank.example/", audience="https://api.bank.example")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" >> {opened}\n")
    browser.chmod(0o755)
    result = ann.pail("login", here.server.url, "--vault=file", *options, env={"BROWSER": str(browser), "DISPLAY": ":9"}, code=5)
    assert "token meant for https://api.bank.example" in result.err and "https://login" not in result.out, result
    assert not opened.exists() and not here.server.tokens and nothing_kept(ann)
    here.server.configuration.update(issuer=here.issuer.url, audience=AUDIENCE)
    here.log_in(ann)  # the same, honest


def test_a_server_that_gives_no_bucket_is_told(world, person):
    here, ann = world(), person("ann")
    here.server.session_status = 403
    process, url = here.begin(ann, "--vault=file")
    issuer_module.walk(url, "ann")
    assert process.wait(PATIENCE) == 5, process.text()
    assert "you are logged in, but" in process.text()


def test_wrong_addresses_say_what_to_do(person):
    ann = person("ann")
    for wrong, code, says in (("http://drive.example.com", 1, "https://drive.example.com"), ("127.0.0.1:1", 4, "pail login http://127.0.0.1:1"),
                              ("https://no-such-host.invalid", 4, "name"), ("ftp://x", 1, "address of a Pail server")):
        result = ann.pail("login", wrong, "--vault=file", code=code)
        assert says in result.err, result
    assert "which server" in ann.pail("login", code=2).err
    assert "vault" in ann.pail("login", "x.example", "--vault=paper", code=2).err
    assert nothing_kept(ann)


def test_a_certificate_out_of_its_time_asks_about_the_clock(person, root):
    """Seen from a clock that is days ahead, each good certificate is one that has expired."""
    for arguments in (["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                       "-keyout", root / "key.pem", "-out", root / "request.pem"],
                      ["x509", "-req", "-in", root / "request.pem", "-signkey", root / "key.pem", "-days", "-1", "-copy_extensions", "copy",
                       "-out", root / "cert.pem"]):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(root / "cert.pem", root / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError), listener.accept()[0] as plain:
                context.wrap_socket(plain, server_side=True).close()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        refused = person("ann").pail("login", url, "--vault=file", "--ca-file", root / "cert.pem", code=4)
        thread.join(10)
    assert "expired" in refused.err and "Is this machine's clock right?" in refused.err and time.strftime("%Y", time.gmtime()) in refused.err
