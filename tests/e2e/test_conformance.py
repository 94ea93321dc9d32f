"""The conformance suite of the store interface through the real mapping server: on the embedded store, which honours
every condition, and on Ceph RGW, which honours hardly any and signs with a role."""
import json
import re
import subprocess

import pytest

from lib.processes import Process
from lib.ports import free_port
from lib.server_tokens import TokenIssuer
from lib.server import MappingServer
from lib.issuer import CLIENT_ID


def embedded_settings(root, build, closing):
    keep = root / "demo"
    demo = Process([build.server, "--demo", "--keep", keep], root / "demo.log")
    closing.callback(demo.end)
    told = json.loads(demo.wait_for(r'^(\{"url".*\})$').group(1))
    kept = json.loads((keep / "demo.json").read_text())
    return {"endpoint": told["store"], "access_key": kept["access_key"], "secret_key": kept["secret_key"],
            "region": "us-east-1"}


@pytest.mark.parametrize("layout", ["bucket", "prefix"])
@pytest.mark.parametrize("kind", ["embedded", pytest.param("ceph", marks=pytest.mark.slow)])
def test_conformance(kind, layout, root, build, closing, request):
    settings = (request.getfixturevalue("ceph").settings if kind == "ceph" else embedded_settings(root, build, closing))
    port = free_port()
    issuer = TokenIssuer(root, f"http://127.0.0.1:{port}", CLIENT_ID)
    closing.callback(issuer.close)
    server = MappingServer(build, root / "server", settings, issuer.url, port=port, store__layout=layout)
    closing.callback(server.close)
    server.start()
    token = root / "token"
    token.write_text(issuer.token("ann"))
    done = subprocess.run([build.folder / "tests" / "conformance" / "conformance", "--server", server.url,
                           "--token-file", token], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    text = done.stdout + done.stderr
    passed = int(re.search(r"PASSED  \] (\d+) test", text).group(1))
    skipped = set(re.findall(r"this store has not (\w+)", text))
    session = json.loads(re.search(r"^session: (.*)$", text, re.M).group(1))
    assert re.fullmatch(r"[a-z2-7]{20}/" if layout == "prefix" else "", session["bucket"]["prefix"])
    if kind == "embedded":
        assert not skipped and passed >= 47
        assert all(value for name, value in session["features"].items()), session["features"]
    else:
        assert skipped == {"put_if_absent", "put_if_match", "complete_if_absent", "complete_if_match", "complete_size",
                           "copy_if_absent", "copy_if_match", "copy_source_if_match", "delete_if_match",
                           "delete_many_if_match"}
        assert passed >= 36
