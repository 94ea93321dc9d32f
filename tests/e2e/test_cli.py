"""The command line itself: help, exit codes, JSON, and that each wrong thing says what to do."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lib import mounts
from lib.processes import PATIENCE, wait_until

COMMANDS = ["login", "logout", "whoami", "mount", "umount", "status", "sync", "demo", "serve", "users"]
MAN = Path(__file__).parents[2] / "packaging" / "man" / "pail.1"


def test_help_of_everything(person):
    ann = person()
    overview = ann.pail("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", overview, re.M), f"{command} is not in the overview"
        text = ann.pail(command, "--help").out
        assert text.startswith(f"Usage: pail {command}") and "Examples:\n" in text and f"  pail {command}" in text
        assert ann.pail("help", command).out == text
    assert ann.pail("--version").out.startswith("pail ")
    assert ann.pail(code=2).err == overview


def test_options_are_in_the_help_and_the_man_page_has_every_exit_code():
    codes = (Path(__file__).parents[2] / "fs" / "cli" / "exit_code.h").read_text()
    numbers = set(re.findall(r"CLI_EXIT_\w+ = (\d+)", codes))
    section = MAN.read_text().split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert numbers == set(re.findall(r"^\.B (\d+)$", section, re.M))


@pytest.mark.parametrize("typed, meant", [("moutn", "mount"), ("mnt", "mount"), ("stauts", "status"), ("unmount", "umount"),
                                          ("log-in", "login"), ("whoam", "whoami"), ("snyc", "sync"), ("dmeo", "demo")])
def test_a_mistyped_command_suggests_the_right_one(person, typed, meant):
    result = person().pail(typed, code=2)
    assert f"pail {meant}" in result.err and result.out == ""


def test_nothing_works_before_login_and_each_says_so(person):
    ann = person()
    for command, code in (("mount", 3), ("whoami", 3), ("logout", None)):
        result = ann.pail(command, code=code)
        assert "pail login" in result.err, result
    assert ann.pail("umount", code=None).code == 6
    assert ann.pail("status", code=None).err


def test_unknown_options_and_surplus_arguments(person):
    ann = person()
    for arguments in (["mount", "--fast"], ["status", "--jsn"], ["sync", "a", "b"], ["umount", "a", "b"], ["mount", "-o"],
                      ["login"], ["login", "http://a", "http://b"]):
        result = ann.pail(*arguments, code=2)
        assert "--help" in result.err, result


def test_unknown_mount_options_are_named(person):
    result = person().pail("mount", "-o", "rw,frsh=5", code=2)
    assert "frsh" in result.err


def test_wrong_servers(person):
    ann = person()
    result = ann.pail("login", "http://127.0.0.1:9", "--vault=file", "--no-browser", code=4)
    assert "127.0.0.1:9" in result.err
    result = ann.pail("login", "http://drive.example.com", "--vault=file", "--no-browser", code=None)
    assert result.code != 0 and "https" in result.err  # plain http beyond loopback


def test_no_keyring_is_found_out_before_the_browser(stack, person):
    ann = person("nokeyring")
    result = ann.pail("login", stack.url, "--no-browser", code=None, env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"})
    assert result.code != 0 and "--vault=file" in result.err and "authorize" not in result.out + result.err


def test_whoami_and_logout(stack):
    ann = stack.person("ann")
    text = ann.pail("whoami").out
    assert "ann@example.com" in text and stack.url in text
    who = json.loads(ann.pail("whoami", "--json").out)
    assert "ann@example.com" in json.dumps(who)
    ann.pail("logout")
    assert ann.pail("whoami", code=3).err
    assert ann.pail("mount", code=3).err


def test_mount_on_wrong_places(stack):
    ann = stack.person("ann")
    full = ann.home / "full"
    full.mkdir()
    (full / "file").write_text("x")
    assert "not empty" in ann.pail("mount", full, code=1).err
    assert "mkdir" in ann.pail("mount", ann.home / "absent", code=1).err
    assert ann.pail("mount", full / "file", code=1).err
    ann.mount()
    again = ann.pail("mount", ann.folder)
    assert "already" in again.out
    ann.umount()
    assert ann.pail("umount", ann.folder, code=6).err
    assert "in the bucket" not in ann.pail("sync", ann.folder, code=6).err


def test_mounting_again_after_a_crash(stack):
    ann = stack.person("ann")
    ann.pail("mount")
    ann.kill9()
    wait_until(lambda: not answers(ann.folder), "the kernel's last answer from its cache")
    ann.pail("mount")
    assert mounts.kind_of(ann.folder) == "fuse.pail" and answers(ann.folder)
    ann.umount()


@pytest.mark.parametrize("fresh", ["0", "60"])  # the first access that hangs is another one
def test_mounting_again_while_it_dies(stack, fresh):
    ann = stack.person("ann")
    ann.mount("-o", f"fresh={fresh}")
    (ann.folder / "here").write_text("x")
    assert answers(ann.folder)
    dying = ann.mount_pids()
    for pid in dying:
        os.kill(pid, signal.SIGSTOP)
    again = ann.start("mount", ann.folder)
    time.sleep(1)  # it asks the folder now
    for pid in dying:
        os.kill(pid, signal.SIGKILL)
    assert again.wait(PATIENCE) == 0
    assert (ann.folder / "here").read_text() == "x"
    ann.umount()


def answers(folder):
    try:
        return bool(os.stat(folder))
    except OSError:
        return False


def test_mount_like_fstab(stack, build, tmp_path):
    """mount(8) finds mount.fuse3, which starts `pail SOURCE FOLDER -o OPTIONS` by the name in the type."""
    ann = stack.person("ann")
    done = subprocess.run([build.pail, "ann@example.com", ann.folder, "-o", "rw,_netdev,nofail,x-systemd.automount,fresh=9"],
                          env=ann.env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert mounts.kind_of(ann.folder) == "fuse.pail"
    ann.umount()


def test_sync_shows_progress_on_a_terminal_only(stack):
    ann = stack.person("ann")
    ann.mount()
    from lib import faultproxy as fault
    stack.proxy.add(fault.Rule(fault.delay(1.5), method="PUT", times=None))
    (ann.folder / "file").write_bytes(b"x" * 3_000_000)
    assert ann.sync().err == ""
    (ann.folder / "file2").write_bytes(b"x" * 3_000_000)
    leader, follower = pty.openpty()
    process = subprocess.Popen([ann.build.pail, "sync", ann.folder], stdout=follower, stderr=follower, stdin=follower,
                               env={**ann.env, "TERM": "xterm"})
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            shown += os.read(leader, 4096)
        except OSError:
            break
    assert process.wait(PATIENCE) == 0
    os.close(leader)
    assert b"\r[" in shown and b"MiB" in shown, shown
    ann.umount()


def test_umount_waits_and_now_does_not(stack):
    from lib import faultproxy as fault
    ann = stack.person("ann")
    bucket = None
    for option in ([], ["--now"]):
        ann.mount()
        bucket = bucket or stack.bucket_of(ann)
        stack.proxy.clear()
        stack.proxy.add(fault.Rule(fault.delay(2), method="PUT", times=None))
        name = f"file{len(option)}"
        (ann.folder / name).write_bytes(b"x")
        ann.pail("umount", *option, ann.folder)
        sent = name in stack.s3.list(bucket, name)
        assert sent == (not option)
        ann.wait_ended()
        assert name in stack.s3.list(bucket, name)


def test_completing_login_in_a_second_is_told_who(stack):
    ann = stack.person("ann")
    again = ann.pail("login", stack.url, "--vault=file", "--no-browser")
    assert "ann@example.com" in again.out + again.err  # already logged in, says so and exits 0
