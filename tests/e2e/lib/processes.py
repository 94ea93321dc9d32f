"""Processes of a test: each in its own group, with its log, and all of them gone at the end.

The test process is a subreaper: a daemon that leaves its group comes back to us as a child and is found.
"""
import ctypes
import os
import re
import signal
import subprocess
import time
from pathlib import Path

# The proxies run in threads of the test. A vfork holds Python's lock until the child's chdir into a mount is over, which may
# need a proxy: then nothing moves any more.
subprocess._USE_VFORK = False

PR_SET_CHILD_SUBREAPER = 36

shared = set()  # pids that belong to the whole session, and to no test


def become_subreaper():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _parents():
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            name = stat[stat.index("(") + 1:stat.rindex(")")]
            state, parent = stat[stat.rindex(")") + 2:].split()[:2]
            table[int(entry)] = (int(parent), name, state)
    return table


def descendants(root=None):
    """{pid: name} of all live processes below root (this one), zombies not counted."""
    root = root or os.getpid()
    table = _parents()
    found, grew = {}, True
    while grew:
        grew = False
        for pid, (parent, name, state) in table.items():
            if pid not in found and (parent == root or parent in found):
                found[pid] = (name, state)
                grew = True
    return {pid: name for pid, (name, state) in found.items() if state != "Z"}


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


PATIENCE = 120  # seconds that what has to come may take: machines that run tests are shared, and may stand still for a while


def wait_until(condition, what="condition", timeout=PATIENCE, step=0.02):
    """Calls condition until it is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        time.sleep(step)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def reap():
    """Collects daemons that ended as our children."""
    for pid, (parent, _, state) in _parents().items():
        if parent == os.getpid() and state == "Z" and pid not in Process.known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def left_running(before, grace=15):
    """{pid: command line} of what has been started since and is still there; what is on its way out gets a moment."""
    end = time.monotonic() + grace
    while True:
        reap()
        left = {pid: command_line(pid) for pid in set(descendants()) - before - shared}
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def kill_tree(pids, patience=5):
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
        end = time.monotonic() + patience
        while any(alive(pid) for pid in pids) and time.monotonic() < end:
            reap()
            time.sleep(0.02)
        if not any(alive(pid) for pid in pids):
            return


class Process:
    """A program that runs beside the test, in its own process group, writing to a log file."""

    known = set()  # pids that a Process waits for by itself

    def __init__(self, arguments, log, env=None, cwd=None, stdin=subprocess.DEVNULL, preexec_fn=None):
        self.log = Path(log)
        self.arguments = [str(a) for a in arguments]
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.arguments, stdout=out, stderr=subprocess.STDOUT, stdin=stdin, env=env,
                                          cwd=cwd, start_new_session=True, preexec_fn=preexec_fn)
        self.pid = self.popen.pid
        Process.known.add(self.pid)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern, timeout=PATIENCE):
        """The match of a pattern in the log; the log is in the error if it does not come."""
        def look():
            found = re.search(pattern, self.text(), re.M)
            if not found and self.popen.poll() is not None:
                found = re.search(pattern, self.text(), re.M)
                if not found:
                    raise AssertionError(f"{self.arguments[0]} ended with {self.popen.returncode}:\n{self.text()}")
            return found
        try:
            return wait_until(look, pattern, timeout)
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} from {' '.join(self.arguments)} in {timeout} s:\n{self.text()}") from None

    def wait(self, timeout=PATIENCE):
        return self.popen.wait(timeout)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """SIGKILL to the whole group, as a crash would have it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(PATIENCE)

    def stop(self, timeout=PATIENCE):
        """SIGTERM, and its exit code; SIGKILL is a failure of the test."""
        if self.running():
            self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.arguments[0]} did not end within {timeout} s of SIGTERM:\n{self.text()}") from None

    def end(self):
        """For teardown: whatever it takes."""
        try:
            self.stop(10)
        except AssertionError:
            pass
        Process.known.discard(self.pid)
