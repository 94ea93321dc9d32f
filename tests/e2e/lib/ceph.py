"""A real S3 server for the tests: Ceph's RADOS gateway, in memory, on loopback."""
import json
import shutil
import subprocess
from pathlib import Path

from .ports import free_block
from .processes import PATIENCE
from .s3 import S3

TOOL = Path(__file__).parent.parent / "tools" / "ceph-rgw"


def installed():
    return all(shutil.which(program) for program in ("ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "radosgw-admin"))


class Ceph:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = free_block(3)
        done = subprocess.run([TOOL, "up", self.folder, str(self.port)], capture_output=True, text=True, timeout=180)
        log = self.folder / "up.log"
        assert done.returncode == 0, f"ceph-rgw up: {done.stderr}\n{log.read_text() if log.exists() else ''}"
        self.settings = dict(line.split("=", 1) for line in done.stdout.split())
        self.s3 = S3(self.settings["endpoint"], self.settings["access_key"], self.settings["secret_key"],
                     self.settings["region"])

    def admin(self, *arguments):
        subprocess.run(["radosgw-admin", "-c", self.folder / "ceph.conf", "-n", "client.rgw", *arguments],
                       capture_output=True, check=True, timeout=PATIENCE)

    def make_role(self, name, *trust):
        """A role that may do everything with buckets, to be taken on as these statements say; its ARN."""
        self.admin("role", "create", f"--role-name={name}",
                   "--assume-role-policy-doc=" + json.dumps({"Version": "2012-10-17", "Statement": trust}))
        self.admin("role-policy", "put", f"--role-name={name}", "--policy-name=all", "--policy-doc=" + json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}]}))
        return f"arn:aws:iam:::role/{name}"

    def gateway_pid(self):
        return int((self.folder / "client.rgw.pid").read_text())

    def down(self):
        subprocess.run([TOOL, "down", self.folder], timeout=PATIENCE, check=True)
        shutil.rmtree(self.folder, ignore_errors=True)
