"""Who sees what: one person at two machines, and two people."""
import os
import subprocess

from lib import files
from lib.processes import PATIENCE, wait_until


def test_the_same_person_from_a_second_machine_sees_the_same(stack):
    one, two = stack.person("ann"), stack.person("ann", machine="-2")
    one.mount()
    (one.folder / "letters").mkdir()
    (one.folder / "letters/first.txt").write_text("dear Bob")
    one.sync()
    two.mount()
    assert stack.bucket_of(one) == stack.bucket_of(two)
    assert (two.folder / "letters/first.txt").read_text() == "dear Bob"
    (two.folder / "answer.txt").write_text("from two")
    two.sync()
    wait_until(lambda: (one.folder / "answer.txt").exists(), "the other's file")
    for person in (one, two):
        person.umount()


def test_another_person_gets_another_bucket_and_sees_nothing(stack):
    ann, bob = stack.person("ann"), stack.person("bob")
    ann.mount()
    bob.mount()
    (ann.folder / "private").write_text("only Ann's")
    ann.sync()
    assert stack.bucket_of(ann) != stack.bucket_of(bob)
    assert os.listdir(bob.folder) == []
    (bob.folder / "private").write_text("Bob's own")
    bob.sync()
    assert (ann.folder / "private").read_text() == "only Ann's"
    for person in (ann, bob):
        person.umount()


def test_an_address_that_is_not_verified_is_refused(ceph_stack, person):
    from lib import issuer as issuer_module
    someone = person("someone")
    process = someone.start("login", ceph_stack.url, "--no-browser", "--vault=file")
    url = process.wait_for(r"(http://127\.0\.0\.1:\d+/\S*authorize\S*)").group(1)
    page = issuer_module.walk(url, "unverified-eve")
    assert process.wait(PATIENCE) != 0
    assert "verif" in (process.text() + page).lower()


def test_state_and_cache_are_private_to_the_user(stack):
    ann = stack.person("ann")
    ann.mount()
    (ann.folder / "file").write_bytes(files.pattern(100_000))
    ann.sync()
    for top in (ann.state, ann.cache):
        for place, folders, names in os.walk(top):
            assert os.stat(place).st_mode & 0o077 == 0, place
            for name in names:
                path = os.path.join(place, name)
                assert os.lstat(path).st_mode & 0o077 == 0 or os.stat(place).st_mode & 0o077 == 0, path
    listing = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", ann.folder], capture_output=True)
    assert listing.returncode != 0
    ann.umount()


def test_no_secret_in_logs_arguments_or_environment(stack):
    ann = stack.person("ann")
    ann.mount()
    (ann.folder / "file").write_bytes(b"x" * 100)
    ann.sync()
    texts = {}
    for pid in ann.mount_pids():
        texts[f"cmdline {pid}"] = open(f"/proc/{pid}/cmdline").read()
        texts[f"environ {pid}"] = open(f"/proc/{pid}/environ").read()
    for log in [*ann.home.rglob("*.log"), *ann.state.rglob("log")]:
        texts[str(log)] = log.read_text(errors="replace")
    for where, text in texts.items():
        for secret in ("X-Amz-Signature=", "refresh_token", "Bearer ", "eyJ", "code_verifier"):
            assert secret not in text, f"{secret} in {where}"
    ann.umount()
