"""A person at this machine: a home, XDG folders, an environment, and the pail command in it."""
import json
import os
import signal
import subprocess
from pathlib import Path

from . import mounts
from .processes import PATIENCE, Process, alive, wait_until


class Result:
    def __init__(self, done, arguments):
        self.code, self.out, self.err, self.arguments = done.returncode, done.stdout, done.stderr, arguments

    def __repr__(self):
        return f"`pail {' '.join(self.arguments)}` -> {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Person:
    def __init__(self, name, root, build):
        self.name, self.build = name, build
        self.home = Path(root) / name
        self.folder = self.home / "Pail"
        self.logs = self.home / "logs"
        for folder in (self.home, self.folder, self.logs, self.runtime):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.env = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "USER": name,
            "XDG_STATE_HOME": str(self.home / "state"), "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_DATA_HOME": str(self.home / "data"), "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_RUNTIME_DIR": str(self.runtime), "TERM": "dumb",
        }
        for passed_on in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if passed_on in os.environ:
                self.env[passed_on] = os.environ[passed_on]

    @property
    def runtime(self):
        return self.home / "run"

    @property
    def state(self):
        return self.home / "state" / "pail"

    @property
    def cache(self):
        return self.home / "cache" / "pail"

    def pail(self, *arguments, code=0, timeout=PATIENCE, input=None, env=None):
        """Runs a command to its end; the exit code must be `code` (None: any)."""
        arguments = [str(a) for a in arguments]
        done = subprocess.run([self.build.pail, *arguments], capture_output=True, text=True, timeout=timeout,
                              input=input, stdin=subprocess.DEVNULL if input is None else None,
                              env={**self.env, **(env or {})}, cwd=self.home, start_new_session=True)
        result = Result(done, arguments)
        assert code is None or result.code == code, result
        return result

    def start(self, *arguments, env=None, log=None):
        """Runs a command beside the test."""
        log = self.logs / f"{log or arguments[0]}.log"
        return Process([self.build.pail, *arguments], log, env={**self.env, **(env or {})}, cwd=self.home)

    def mount(self, *options, folder=None, env=None, timeout=PATIENCE):
        """`pail mount` in the background; returns the folder."""
        folder = Path(folder or self.folder)
        if not mounts.is_mounted(folder):  # a dead mount cannot even be looked at
            folder.mkdir(parents=True, exist_ok=True)
        self.pail("mount", folder, *options, env=env, timeout=timeout)
        assert mounts.is_mounted(folder), f"{folder} is not mounted although `pail mount` returned"
        return folder

    def umount(self, folder=None, *options, timeout=PATIENCE):
        folder = Path(folder or self.folder)
        result = self.pail("umount", *options, folder, timeout=timeout)
        assert not mounts.is_mounted(folder)
        self.wait_ended()
        return result

    def status(self, *more):
        return json.loads(self.pail("status", "--json", *more).out)

    def sync(self, path=None, timeout=PATIENCE, code=0):
        return self.pail("sync", path or self.folder, timeout=timeout, code=code)

    def mount_pids(self):
        """The processes of this person that run `pail mount` or `pail demo` (their runtime folder is open to root only,
        so the command line and the environment decide)."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                exe = os.readlink(f"/proc/{entry}/exe")
                environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(exe) == "pail" and f"HOME={self.home}".encode() in environment and alive(int(entry)):
                found.append(int(entry))
        return found

    def wait_ended(self):
        wait_until(lambda: not self.mount_pids(), f"the end of {self.name}'s pail processes")

    def kill9(self):
        """A crash of everything of pail that this person runs; the dead mounts are left as they are."""
        pids = self.mount_pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not any(alive(pid) for pid in pids), "death")
        return pids
