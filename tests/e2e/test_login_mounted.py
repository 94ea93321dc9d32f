"""What a mount does when its login ends, when the keyring goes away, and when somebody logs out under it."""
import json
import os
import subprocess
import urllib.parse
import urllib.request

from lib import files
from lib import issuer as issuer_module
from lib.processes import PATIENCE, Process, wait_until

TTL_S = 4


def log_in(stack, person, vault, env):
    person.logins = getattr(person, "logins", 0) + 1
    process = person.start("login", stack.url, "--no-browser", f"--vault={vault}", env=env, log=f"login-{person.logins}")
    url = process.wait_for(r"(https?://127\.0\.0\.1:\d+/\S*authorize\S*)").group(1)
    issuer_module.walk(url, person.name)
    assert process.wait(PATIENCE) == 0, process.text()
    stack.age_buckets()


def wait_for_network(person, state):
    wait_until(lambda: person.status()["network"] == state, f"the network to be {state}")
    return person.status()


def write_until(person, state):
    """Goes on writing files until the mount says that; what it told then, and the files' names. A token lives on for a while."""
    names = []

    def told():
        names.append(f"written-{len(names)}")
        (person.folder / names[-1]).write_text(names[-1])
        status = person.status()
        return status["network"] == state and status
    return wait_until(told, f"the network to be {state}", step=0.3), names


def revoke(stack, person):
    """As an administrator, or the person at another machine, may do."""
    token = json.loads(next(person.state.glob("vault/*.secret")).read_text())["refresh_token"]
    body = urllib.parse.urlencode({"client_id": issuer_module.CLIENT_ID, "token": token}).encode()
    urllib.request.urlopen(f"{stack.issuer.url}oauth/revoke", body, timeout=PATIENCE).read()


def notes(monitor):
    return monitor.text().count("member=Notify")


def test_a_login_that_ends_is_told_once_while_the_mount_goes_on(stacks, person, keyring, root):
    stack, ann = stacks("embedded", access_ttl_s=TTL_S), person("ann")
    stack.people.append(ann)
    ring = keyring(ann)
    monitor = Process(["dbus-monitor", "--session", "interface='org.freedesktop.Notifications'"], root / "notes.log", env=ring.whole)
    try:
        log_in(stack, ann, "file", ring.env)
        ann.mount(env=ring.env)
        (ann.folder / "before").write_bytes(files.pattern(100_000))
        ann.sync()
        monitor.wait_for("member=NameAcquired|string \"")
        revoke(stack, ann)
        status, names = write_until(ann, "login required")
        assert "pail login" in status["why"], status
        assert "login required" in ann.pail("status").out
        wait_until(lambda: notes(monitor), "a note on the desktop")
        assert "pail login" in monitor.text()
        assert (ann.folder / "before").read_bytes() == files.pattern(100_000)
        assert (ann.folder / names[-1]).read_text() == names[-1]
        asked = stack.issuer.process.text().count("refused refresh_token")
        pause = Process(["sleep", "8"], root / "pause.log")  # several probes
        pause.wait(PATIENCE)
        pause.end()
        assert stack.issuer.process.text().count("refused refresh_token") == asked <= 2, "it goes on asking with a dead login"
        assert notes(monitor) == 1
        log_in(stack, ann, "file", ring.env)
        wait_for_network(ann, "online")
        ann.sync()
        bucket = stack.bucket_of(ann)
        assert set(stack.s3.list(bucket)) >= {"before", *names}
        assert notes(monitor) == 1
        ann.umount()
    finally:
        monitor.end()


def test_the_keyring_goes_away_and_comes_back(stacks, person, keyring):
    stack, ann = stacks("embedded", access_ttl_s=TTL_S), person("ann")
    stack.people.append(ann)
    ring = keyring(ann)
    log_in(stack, ann, "secret-service", ring.env)
    ann.mount(env=ring.env)
    (ann.folder / "before").write_text("1")
    ann.sync()
    ring.kill()
    status, names = write_until(ann, "offline")
    assert "keyring" in status["why"] and "pail login" not in status["why"], status
    assert (ann.folder / "before").read_text() == "1"
    ring.start()
    wait_for_network(ann, "online")
    ann.sync()
    assert set(stack.s3.list(stack.bucket_of(ann))) >= {"before", *names}
    ring.close()  # the whole session bus: somebody logs out of the desktop, and the mount stays
    status, names = write_until(ann, "offline")
    assert "keyring" in status["why"], status
    assert (ann.folder / names[-1]).read_text() == names[-1]
    ann.pail("umount", "--now", ann.folder)


def test_logging_out_under_a_mount(embedded_stack):
    """Refused while it is mounted, and while something is unsent; with --force nothing that was written is lost."""
    stack = embedded_stack
    ann = stack.person("ann")
    ann.mount()
    (ann.folder / "sent").write_text("1")
    ann.sync()
    refused = ann.pail("logout", code=7)
    assert "pail umount" in refused.err and str(ann.folder) in refused.err
    stack.proxy.network(False)
    (ann.folder / "unsent").write_text("precious")
    ann.kill9()
    subprocess.run(["umount", "-l", ann.folder], check=True)
    refused = ann.pail("logout", code=7)
    assert "changes" in refused.err and "--force" in refused.err
    assert json.loads(ann.pail("whoami", "--json").out)["login"] == "good"
    assert "Logged out" in ann.pail("logout", "--force").out
    stack.proxy.network(True)
    log_in(stack, ann, "file", {})
    ann.mount()
    assert (ann.folder / "unsent").read_text() == "precious"
    ann.sync()
    bucket = stack.bucket_of(ann)
    assert set(stack.s3.list(bucket)) >= {"sent", "unsent"}
    (ann.folder / "last").write_text("2")
    ann.sync()
    ann.pail("logout", "--force")
    assert (ann.folder / "last").read_text() == "2", "the mount is still there"
    ann.umount()
    assert os.listdir(ann.folder) == []
