"""What is measured: Pail, and the peers that are installed. Each mounts a bucket afresh, cold, and takes it away again."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
from lib import mounts as mount_table  # noqa: E402
from lib.processes import alive, wait_until  # noqa: E402


def drop_kernel_cache():
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")


def pin(pid, core):
    if core is not None:
        subprocess.run(["taskset", "-acp", str(core), str(pid)], capture_output=True)


def peak_memory(pid):
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return None


class PailMount:
    name = "pail"

    def __init__(self, person, core):
        self.person, self.core, self.folder, self.pid = person, core, person.folder, None
        self.peak = 0.0

    def mount(self, *options, cold=True):
        """cold: nothing known from before. Seconds until it can be used."""
        if cold:
            for known in ("tree.db*", "spool", "session.json"):
                for path in self.person.state.glob(f"*/{known}"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.rmtree(self.person.cache, ignore_errors=True)
        drop_kernel_cache()
        before = time.monotonic()
        self.person.mount(*options)
        seconds = time.monotonic() - before
        self.pid = self.person.mount_pids()[0]
        pin(self.pid, self.core)
        return seconds

    def sync(self):
        self.person.sync(timeout=1800)

    def umount(self):
        self.peak = max(self.peak, peak_memory(self.pid) or 0)
        self.person.umount(timeout=1800)


class PeerMount:
    """s3fs or rclone with their own keys, straight at the store."""

    def __init__(self, name, s3, endpoint, bucket, scratch, core):
        self.name, self.s3, self.endpoint, self.bucket, self.core = name, s3, endpoint, bucket, core
        self.scratch = Path(scratch) / name
        self.folder = self.scratch / "mount"
        self.cache = self.scratch / "cache"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process, self.peak = None, 0.0

    def command(self):
        if self.name == "s3fs":
            keys = self.scratch / "passwd"
            keys.write_text(f"{self.s3.access_key}:{self.s3.secret_key}\n")
            keys.chmod(0o600)
            return ["s3fs", self.bucket, str(self.folder), "-f", "-o", f"url={self.endpoint}", "-o", "use_path_request_style",
                    "-o", f"passwd_file={keys}", "-o", f"tmpdir={self.scratch}", "-o", "multireq_max=32"]
        settings = self.scratch / "rclone.conf"
        settings.write_text(f"[s]\ntype=s3\nprovider=Ceph\naccess_key_id={self.s3.access_key}\n"
                            f"secret_access_key={self.s3.secret_key}\nendpoint={self.endpoint}\n")
        return ["rclone", "mount", f"s:{self.bucket}", str(self.folder), "--config", str(settings), "--vfs-cache-mode", "full",
                "--cache-dir", str(self.cache), "--transfers", "32", "--vfs-write-back", "0s"]

    def mount(self, *_, cold=True):
        if cold:
            shutil.rmtree(self.cache, ignore_errors=True)
        drop_kernel_cache()
        before = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)
        wait_until(lambda: mount_table.is_mounted(self.folder), 30, f"{self.name} to mount")
        os.listdir(self.folder)
        pin(self.process.pid, self.core)
        return time.monotonic() - before

    def sync(self):
        """s3fs sends at close; rclone at unmount or soon after: its queue is empty when nothing is dirty in the cache."""
        if self.name == "rclone":
            meta = self.cache / "vfsMeta"
            wait_until(lambda: not any(b'"Dirty": true' in f.read_bytes() for f in meta.rglob("*") if f.is_file()), 600,
                       "rclone's uploads", step=0.05)

    def umount(self):
        self.peak = max(self.peak, peak_memory(self.process.pid) or 0)
        subprocess.run(["fusermount3", "-u", str(self.folder)], capture_output=True)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        mount_table.detach_all(self.folder)
        assert not alive(self.process.pid)


def installed_peers():
    return [name for name in ("s3fs", "rclone") if shutil.which(name)]
