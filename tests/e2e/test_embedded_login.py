"""The demo's login issuer, asked over HTTP as a browser and as programs do: who gets in, and which tokens they get."""
import base64
import hashlib
import http.client
import html
import json
import re
import secrets
import stat
import time
import urllib.parse
import urllib.request

import pytest

from lib.processes import PATIENCE, Process

CALLBACK = "http://127.0.0.1:47831/callback"


class Demo:
    def __init__(self, root, build, *more):
        self.root, self.build, self.keep, self.more = root, build, root / "demo", more
        self.starts = 0

    def start(self):
        self.starts += 1
        self.process = Process([self.build.server, "--demo", "--keep", self.keep, *self.more], self.root / f"demo-{self.starts}.log")
        told = json.loads(self.process.wait_for(r'^(\{"url".*\})$').group(1))
        self.url, self.issuer, self.store = told["url"], told["issuer"], told["store"]
        self.secret = (self.keep / "login-secret").read_text()
        return self

    def stop(self):
        assert self.process.stop() == 0, self.process.text()

    def ask(self, method, path, form=None, headers=None, host=None):
        """(status, headers, body); path may be a whole URL of the issuer."""
        parts = urllib.parse.urlsplit(path if "://" in path else self.issuer.rstrip("/") + path)
        body = urllib.parse.urlencode(form) if isinstance(form, dict) else form
        sent = {"Host": host or parts.netloc, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.issuer).netloc, timeout=PATIENCE)
        try:
            connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def token(self, **form):
        status, _, body = self.ask("POST", "/oauth/token", {"client_id": "pail-demo", **form})
        return status, json.loads(body)

    def parameters(self, verifier, **more):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {"response_type": "code", "client_id": "pail-demo", "redirect_uri": CALLBACK, "audience": self.url,
                  "scope": "openid email offline_access", "state": "st&te", "nonce": "n0nce", "code_challenge": challenge,
                  "code_challenge_method": "S256", **more}
        return {k: v for k, v in wanted.items() if v is not None}

    def page(self, verifier, **more):
        return self.ask("POST", "/authorize", {**self.parameters(verifier, **more), "secret": self.secret})

    def code(self, email="ann@example.com", verifier=None):
        """(code, verifier) of a login."""
        verifier = verifier or secrets.token_urlsafe(48)
        status, _, page = self.page(verifier)
        assert status == 200, page
        status, headers, body = self.ask("POST", "/login", {"attempt": handle(page), "email": email})
        assert status == 303, body
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(headers["location"]).query)
        assert headers["location"].startswith(CALLBACK + "?") and query["state"] == ["st&te"] and query["iss"] == [self.issuer]
        return query["code"][0], verifier

    def log_in(self, email="ann@example.com"):
        code, verifier = self.code(email)
        status, tokens = self.token(grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=verifier)
        assert status == 200, tokens
        return tokens


def handle(page):
    return html.unescape(re.search(r'name="attempt" value="([^"]+)"', page).group(1))


def claims(token):
    header, body, _ = (part + "=" * (-len(part) % 4) for part in token.split("."))
    return json.loads(base64.urlsafe_b64decode(header)), json.loads(base64.urlsafe_b64decode(body))


@pytest.fixture(scope="module")
def demo(module_root, build):
    demo = Demo(module_root, build).start()
    yield demo
    demo.stop()


@pytest.fixture
def own_demo(root, build):
    demo = Demo(root, build).start()
    yield demo
    demo.process.end()


def test_discovery_names_itself_and_everything_it_can(demo):
    status, headers, body = demo.ask("GET", "/.well-known/openid-configuration")
    told = json.loads(body)
    assert status == 200 and told["issuer"] == demo.issuer and demo.issuer.endswith("/")
    assert told["code_challenge_methods_supported"] == ["S256"] and told["authorization_response_iss_parameter_supported"] is True
    key, = json.loads(demo.ask("GET", told["jwks_uri"])[2])["keys"]
    assert key["kty"] == "RSA" and key["alg"] == "RS256" and len(key["n"]) > 300 and "d" not in key
    assert not any(name.startswith("access-control-") for name in headers)


def test_tokens_have_auth0s_shape(demo):
    tokens = demo.log_in("Ann@Example.com")
    assert tokens["token_type"] == "Bearer" and tokens["expires_in"] == 3600
    header, access = claims(tokens["access_token"])
    assert header["alg"] == "RS256" and header["typ"] == "JWT" and header["kid"]
    assert access["iss"] == demo.issuer and access["aud"] == [demo.url, demo.issuer + "userinfo"]
    assert access["azp"] == "pail-demo" and access["email"] == "ann@example.com" and access["email_verified"] is True
    assert access["exp"] - access["iat"] == 3600 and "nonce" not in access
    identity = claims(tokens["id_token"])[1]
    assert identity["aud"] == "pail-demo" and identity["nonce"] == "n0nce" and identity["sub"] == access["sub"]
    assert claims(demo.log_in("bob@example.com")["access_token"])[1]["sub"] != access["sub"]
    assert claims(demo.log_in("ann@example.com")["access_token"])[1]["sub"] == access["sub"]


def test_the_mapping_server_takes_them(demo):
    tokens = demo.log_in()
    request = urllib.request.Request(demo.url + "/v1/session", method="POST", data=b"{}", headers={
        "Authorization": "Bearer " + tokens["access_token"], "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        session = json.load(answer)
    assert session["email"] == "ann@example.com" and session["bucket"]["endpoint"] == demo.store
    assert session["features"]["put_if_absent"] and session["features"]["delete_many_if_match"], session
    assert all(session["features"].values()), session["features"]


def test_userinfo(demo):
    tokens = demo.log_in()
    status, _, body = demo.ask("GET", "/userinfo", headers={"Authorization": "Bearer " + tokens["access_token"]})
    assert status == 200 and json.loads(body)["email"] == "ann@example.com"
    forged = tokens["access_token"][:-3] + ("AAA" if not tokens["access_token"].endswith("AAA") else "BBB")
    for token in (forged, tokens["id_token"], "x.y.z", "", tokens["refresh_token"]):
        assert demo.ask("GET", "/userinfo", headers={"Authorization": "Bearer " + token})[0] == 401
    assert demo.ask("GET", "/userinfo")[0] == 401


# --- who gets the page ---

def test_without_the_secret_there_is_no_page(demo):
    query = urllib.parse.urlencode(demo.parameters("v" * 43))
    for more in ("", "&secret=", "&secret=" + "0" * 64, "&ticket=", "&ticket=" + "0" * 64):
        status, _, page = demo.ask("GET", "/authorize?" + query + more)
        assert status == 403 and "<form" not in page
        assert demo.ask("POST", "/authorize", query + more)[0] == 403
    for form in ({"attempt": "0" * 64, "email": "ann@example.com"}, {"email": "ann@example.com"}, {}):
        assert demo.ask("POST", "/login", form)[0] == 400
    for form in ({}, {"secret": "x"}):
        assert demo.ask("POST", "/ticket", form)[0] == 403


def test_a_ticket_is_good_once(demo):
    ticket = json.loads(demo.ask("POST", "/ticket", {"secret": demo.secret})[2])["ticket"]
    query = urllib.parse.urlencode({**demo.parameters("v" * 43), "ticket": ticket})
    status, headers, page = demo.ask("GET", "/authorize?" + query)
    assert status == 200 and handle(page)
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert demo.ask("GET", "/authorize?" + query)[0] == 403


def test_other_hosts_and_pages_get_nothing(demo):
    port = urllib.parse.urlsplit(demo.issuer).port
    for host in ("evil.example", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"[::1]:{port}"):
        for method, path, form in (("GET", "/.well-known/openid-configuration", None), ("POST", "/ticket", {"secret": demo.secret}),
                                   ("POST", "/oauth/token", {"grant_type": "refresh_token"})):
            assert demo.ask(method, path, form, host=host)[0] == 403, host
    status, headers, _ = demo.ask("OPTIONS", "/oauth/token", headers={"Origin": "https://evil.example"})
    assert status == 405 and not any(name.startswith("access-control-") for name in headers)


def test_foreign_callbacks_and_clients_get_a_page_and_no_redirect(demo):
    for more in ({"redirect_uri": "https://evil.example/callback"}, {"redirect_uri": "http://127.0.0.1:47831/callback/../x"},
                 {"redirect_uri": "http://127.0.0.1:47831.evil.example/callback"}, {"redirect_uri": "http://localhost:47831/callback"},
                 {"redirect_uri": "http://127.0.0.1:80/callback"}, {"redirect_uri": None}, {"client_id": "other"}, {"client_id": None}):
        status, headers, page = demo.page("v" * 43, **more)
        assert status == 400 and "location" not in headers and "<form" not in page, more


@pytest.mark.parametrize("more,error", [({"response_type": "token"}, "unsupported_response_type"), ({"code_challenge": None}, "invalid_request"),
                                        ({"code_challenge_method": "plain"}, "invalid_request"), ({"scope": "email"}, "invalid_scope"),
                                        ({"audience": "https://other.example"}, "access_denied"), ({"audience": None}, "access_denied")])
def test_wrong_requests_are_told_to_the_program(demo, more, error):
    status, headers, _ = demo.page("v" * 43, **more)
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(headers["location"]).query)
    assert status == 303 and headers["location"].startswith(CALLBACK) and query["error"] == [error] and query["state"] == ["st&te"]


def test_the_page_asks_again_for_what_is_no_address(demo):
    page = demo.page("v" * 43)[2]
    login = handle(page)
    for wrong in ("", "ann", "@x", "a@", "a@b@c", "a b@c", "<script>@x", "ü@x", "a@" + "x" * 254, "a\n@b"):
        status, _, again = demo.ask("POST", "/login", {"attempt": login, "email": wrong})
        assert status == 422 and handle(again) == login and "<script>@x" not in again, wrong
    assert demo.ask("POST", "/login", {"attempt": login, "email": "ann@example.com"})[0] == 303
    assert demo.ask("POST", "/login", {"attempt": login, "email": "ann@example.com"})[0] == 400


# --- codes and refresh tokens ---

def test_codes_are_bound_to_their_program(demo):
    good = {"grant_type": "authorization_code", "redirect_uri": CALLBACK}
    for wrong in ({"code_verifier": "w" * 43}, {"code_verifier": None}, {"redirect_uri": "http://127.0.0.1:47832/callback"}):
        code, verifier = demo.code()
        form = {**good, "code": code, "code_verifier": verifier, **wrong}
        status, told = demo.token(**{k: v for k, v in form.items() if v is not None})
        assert status == 403 and told["error"] == "invalid_grant"
        status, told = demo.token(**good, code=code, code_verifier=verifier)
        assert status == 403, "a code that was tried is used up"
    assert demo.token(**good, code="0" * 64, code_verifier="v" * 43)[0] == 403
    code, verifier = demo.code()
    assert demo.token(**good, code=code, code_verifier=verifier, client_id="other")[1]["error"] == "invalid_client"


def test_a_code_used_twice_ends_its_session(demo):
    code, verifier = demo.code()
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code": code, "code_verifier": verifier}
    status, tokens = demo.token(**form)
    assert status == 200
    assert demo.token(**form)[0] == 403
    assert demo.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])[0] == 403


def refresh(demo, token):
    return demo.token(grant_type="refresh_token", refresh_token=token)


def test_refresh_tokens_rotate(demo):
    first = demo.log_in()["refresh_token"]
    status, second = refresh(demo, first)
    assert status == 200 and second["refresh_token"] != first
    assert claims(second["access_token"])[1]["email"] == "ann@example.com"
    status, again = refresh(demo, first)  # its answer was lost, say: a few seconds long that is fine
    assert status == 200
    for token in (second["refresh_token"], again["refresh_token"]):
        assert refresh(demo, token)[0] == 200
    for wrong in ("", "x", first + "x", first[:-1], "0" * 32 + "." + "0" * 64):
        assert refresh(demo, wrong)[1]["error"] == "invalid_grant"


@pytest.mark.slow
def test_an_old_refresh_token_ends_the_family(demo):
    first = demo.log_in()["refresh_token"]
    second = refresh(demo, first)[1]["refresh_token"]
    time.sleep(12)
    assert refresh(demo, first)[0] == 403
    assert refresh(demo, second)[1]["error"] == "invalid_grant"


def test_a_forged_token_of_a_session_ends_it(demo):
    token = demo.log_in()["refresh_token"]
    family = token.split(".")[0]
    assert refresh(demo, family + "." + "0" * 64)[0] == 403
    assert refresh(demo, token)[0] == 403


def test_revoking(demo):
    token = demo.log_in()["refresh_token"]
    assert demo.ask("POST", "/oauth/revoke", {"client_id": "pail-demo", "token": token})[0] == 200
    assert refresh(demo, token)[0] == 403
    assert demo.ask("POST", "/oauth/revoke", {"client_id": "pail-demo", "token": "unknown"})[0] == 200
    assert demo.ask("POST", "/oauth/revoke", {"token": token})[0] == 401


def test_without_offline_access_there_is_no_refresh_token(demo):
    verifier = secrets.token_urlsafe(48)
    page = demo.page(verifier, scope="openid email")[2]
    headers = demo.ask("POST", "/login", {"attempt": handle(page), "email": "ann@example.com"})[1]
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(headers["location"]).query)["code"][0]
    status, tokens = demo.token(grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=verifier)
    assert status == 200 and "refresh_token" not in tokens


# --- what it keeps ---

def test_nothing_secret_lies_open(demo):
    token = demo.log_in()["refresh_token"]
    assert stat.S_IMODE(demo.keep.stat().st_mode) == 0o700
    for path in demo.keep.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path}: {mode:o}"
        if path.is_file() and path.name not in ("login-secret", "demo.json"):
            data = path.read_bytes()
            assert demo.secret.encode() not in data and token.split(".")[1].encode() not in data, path
    assert demo.secret not in demo.process.text() and token not in demo.process.text()


def test_sessions_keys_and_addresses_survive_kill(own_demo):
    tokens = own_demo.log_in()
    before = (own_demo.url, own_demo.issuer, own_demo.store, own_demo.ask("GET", "/.well-known/jwks.json")[2])
    own_demo.process.popen.kill()
    own_demo.process.popen.wait()
    own_demo.start()
    assert before == (own_demo.url, own_demo.issuer, own_demo.store, own_demo.ask("GET", "/.well-known/jwks.json")[2])
    assert refresh(own_demo, tokens["refresh_token"])[0] == 200
    page = own_demo.page("v" * 43)[2]
    assert 'value="ann@example.com"' in page, "who came last need not type it again"
    own_demo.stop()


def test_the_life_of_tokens_can_be_set(root, build):
    demo = Demo(root, build, "--token-life", "7").start()
    assert demo.log_in()["expires_in"] == 7
    demo.stop()
