"""Random operations against a plain folder, then again after a remount with an empty cache and from a second mount."""
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib import files, mounts

sys.path.insert(0, str(Path(__file__).parent.parent / "model"))
import model  # noqa: E402

SECONDS = float(os.environ.get("CHECK_MODEL_SECONDS", "60"))
SEED = int(os.environ.get("CHECK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def same(mount, plain, when):
    here, there = model.describe_tree(mount), model.describe_tree(plain)
    different = [k for k in sorted(set(here) | set(there)) if here.get(k) != there.get(k)]
    assert not different, f"seed {SEED}, {when}: " + "; ".join(
        f"{k}: mount {here.get(k)}, plain {there.get(k)}" for k in different[:5])


@pytest.mark.slow
@pytest.mark.threads
@pytest.mark.parametrize("kind", ["embedded", "ceph"])
def test_model(kind, stacks, root):
    print(f"CHECK_SEED={SEED} for this run")
    stack = stacks(kind)
    person = stack.person("ann")
    person.mount()
    plain = root / "plain"
    mounts.mount_tmpfs(plain, "1G")  # a file system with user attributes and nanoseconds
    try:
        if files.error_of(os.setxattr, plain, "user.test", b"1") != "none":
            subprocess.run(["umount", plain], check=True)  # an older kernel's tmpfs has none
        else:
            os.removexattr(plain, "user.test")
        steps = model.Model(person.folder, plain, SEED).run(SECONDS)
        print(f"{steps} steps")
        assert steps > SECONDS * 20, f"only {steps} steps in {SECONDS} s"
        same(person.folder, plain, "at the end")
        person.sync(timeout=300)
        person.umount(timeout=300)
        shutil.rmtree(person.cache, ignore_errors=True)
        person.mount()
        same(person.folder, plain, "after a remount with an empty cache")
        second = stack.person("ann", machine="-second")
        second.mount()
        time.sleep(1)
        same(second.folder, plain, "from a second mount")
        for each in (person, second):
            assert not files.conflict_copies(each.folder)
            each.umount()
    finally:
        mounts.detach_all(plain)
