"""A login provider shaped like Auth0 (npm oidc-provider), and a person who walks its pages without a browser."""
import html
import http.cookiejar
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .ports import free_port
from .processes import PATIENCE, Process

CLIENT_ID = "pail"


def node():
    return os.environ.get("CHECK_NODE") or shutil.which("node")


def folder():
    """tests/e2e/issuer as packaging/check has copied it beside its node_modules, or None."""
    where = os.environ.get("CHECK_ISSUER")
    return Path(where) if where and Path(where, "node_modules", "oidc-provider").is_dir() else None


class Issuer:
    """namespace: of the email claims. Its users are whoever logs in; "unverified..." has no verified address."""

    def __init__(self, log, audience, namespace="https://pail.example", access_ttl_s=300, port=None, loopback_ports=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.audience, self.namespace = audience, namespace
        program = next(folder().glob("*issuer*.mjs"))
        env = {**os.environ, "ACCESS_TTL_S": str(access_ttl_s), "NODE_NO_WARNINGS": "1"}
        if loopback_ports:
            env["LOOPBACK_PORTS"] = ",".join(map(str, loopback_ports))
        self.process = Process([node(), program, str(self.port), audience, namespace, CLIENT_ID], log, env=env)
        self.process.wait_for(r"^issuer http")

    def close(self):
        self.process.end()


def _fields(page):
    for tag in re.findall(r"<(?:input|button)[^>]*>", page):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)\s*=\s*"([^"]*)"', tag)}
        if "name" in attributes:
            yield attributes["name"], attributes.get("value", "")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, on_callback):
        self.on_callback = on_callback

    def redirect_request(self, request, reply, code, message, headers, url):
        if "/callback" in url:
            self.on_callback(url)
        return super().redirect_request(request, reply, code, message, headers, url)


def walk(url, login, password="secret", code=None, decline=False, on_callback=lambda url: None):
    """Opens a login address, fills in what each page asks for, and returns the last page's text (the client's own, or
    with a code for another device the issuer's). on_callback(url) is called when the browser is sent back to the client."""
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(strict_ns_domain=0))
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), urllib.request.ProxyHandler({}),
                                         _Redirects(on_callback))
    reply = opener.open(url, timeout=PATIENCE)
    for _ in range(8):
        page, here = reply.read().decode(errors="replace"), reply.geturl()
        form = re.search(r"<form[^>]*>", page)
        if not form or "/callback" in here:
            return page
        action = re.search(r'action="([^"]*)"', form.group(0))
        target = urllib.parse.urljoin(here, html.unescape(action.group(1)) if action else here)
        values = dict(_fields(page))
        declining = values.pop("abort", None) and decline
        if declining:
            values["abort"] = "yes"
        for name, value in (("login", login), ("email", login), ("password", password), ("user_code", code)):
            if name in values:
                values[name] = value
        reply = opener.open(target, urllib.parse.urlencode(values).encode(), timeout=PATIENCE)
        if declining:
            return reply.read().decode(errors="replace")
    raise AssertionError(f"the login did not end: {here}\n{page[:2000]}")
