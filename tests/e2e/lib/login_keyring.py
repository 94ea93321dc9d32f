"""A D-Bus session with an unlocked gnome-keyring in it, for a person."""
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .processes import Process, wait_until

SUPPRESSIONS = Path(__file__).resolve().parents[2] / "sanitizers" / "libsecret.supp"


def missing():
    return next((name for name in ("dbus-daemon", "dbus-send", "gnome-keyring-daemon") if not shutil.which(name)), None)


class Keyring:
    """env: what a program needs to find it. The keyring's password is "keyring"."""

    def __init__(self, person):
        self.person = person
        address = f"unix:path={person.runtime}/bus"
        lsan = ":".join(filter(None, [os.environ.get("LSAN_OPTIONS"), f"print_suppressions=0:suppressions={SUPPRESSIONS}"]))
        self.env = {"DBUS_SESSION_BUS_ADDRESS": address, "LSAN_OPTIONS": lsan}
        self.whole = whole = {**person.env, **self.env}
        self.bus = Process(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"],
                           person.logs / "dbus.log", env=whole)
        wait_until(lambda: (person.runtime / "bus").exists(), "the bus")
        self.daemons = []
        self.start()

    def start(self):
        """Unlocked; in the place of one that is there."""
        before = self.owner()
        command = "printf keyring | exec gnome-keyring-daemon --foreground --replace --unlock --components=secrets"
        self.daemons.append(Process(["sh", "-c", command], self.person.logs / "keyring.log", env=self.whole))
        wait_until(lambda: self.owner() not in (None, before), "the keyring")

    def owner(self):
        """The process that serves org.freedesktop.secrets; None without one."""
        done = subprocess.run(["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                               "org.freedesktop.DBus.GetConnectionUnixProcessID", "string:org.freedesktop.secrets"],
                              env=self.whole, capture_output=True, text=True)
        found = re.search(r"uint32 (\d+)", done.stdout)
        return int(found.group(1)) if found else None

    def kill(self):
        """As a crash would; the bus then starts another one, locked, when somebody asks."""
        os.kill(self.owner(), signal.SIGKILL)
        wait_until(lambda: not self.daemons[-1].running(), "the end of the keyring")

    def close(self):
        for each in self.daemons:
            each.end()
        self.bus.end()
