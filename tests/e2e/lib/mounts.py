"""What is mounted, and taking it away."""
import os
import re
import subprocess
from pathlib import Path


def _unescape(text):
    return re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), text)


def mounted_below(folder):
    """Mount points at or below a folder, deepest first."""
    folder = str(folder)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = _unescape(line.split()[4])
        if point == folder or point.startswith(folder + "/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)


def is_mounted(folder):
    return str(folder) in mounted_below(folder)


def kind_of(folder):
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if _unescape(line.split()[4]) == str(folder):
            return line.split(" - ")[1].split()[0]
    return None


def detach_all(folder):
    """Lazily unmounts everything below; for teardown, so that nothing can hang."""
    gone = mounted_below(folder)
    for point in gone:
        if subprocess.run(["umount", "-l", point], capture_output=True).returncode:
            subprocess.run(["fusermount3", "-uz", point], capture_output=True)
    return gone


def detach_dead(folder):
    """Only mounts whose program is gone."""
    for point in mounted_below(folder):
        try:
            os.statvfs(point)
        except OSError:
            detach_all(point)


def mount_tmpfs(folder, size):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], check=True)
