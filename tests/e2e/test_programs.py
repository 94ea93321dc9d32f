"""Programs as people use them, in the folder: git, sqlite3, rsync, tar, vim, sed, make."""
import os
import shutil
import subprocess

import pytest

from lib import files
from lib.processes import PATIENCE


@pytest.fixture(scope="module", params=["embedded", "ceph"])
def place(request, module_stacks):
    stack = module_stacks(request.param)
    person = stack.person("ann")
    person.mount()
    yield stack, person
    assert not files.conflict_copies(person.folder)
    person.umount()


@pytest.fixture
def folder(place, request):
    _, person = place
    folder = person.folder / request.node.name.split("[")[0]
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def run(place):
    _, person = place
    environment = {**person.env, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "a@example.com",
                   "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "a@example.com"}

    def act(*arguments, cwd, code=0, timeout=300, input=None):
        done = subprocess.run([str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout,
                              env=environment, input=input)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout
    return act


def remounted(place):
    """Everything sent, and read again from the bucket."""
    _, person = place
    person.umount()
    shutil.rmtree(person.cache, ignore_errors=True)
    person.mount()


@pytest.mark.slow
def test_git(place, folder, run, tmp_path):
    origin = tmp_path / "origin"
    origin.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=origin)
    for i in range(120):
        (origin / f"file{i}.txt").write_text(f"{i}\n" * i)
    run("git", "add", ".", cwd=origin)
    run("git", "commit", "-q", "-m", "first", cwd=origin)
    run("git", "clone", "-q", "--no-hardlinks", origin, folder / "clone", cwd=folder)
    clone = folder / "clone"
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    (clone / "new.txt").write_text("new\n")
    run("git", "add", ".", cwd=clone)
    run("git", "commit", "-q", "-m", "second", cwd=clone)
    run("git", "checkout", "-q", "-b", "side", "HEAD~1", cwd=clone)
    (clone / "file3.txt").write_text("side\n")
    run("git", "commit", "-q", "-am", "third", cwd=clone)
    run("git", "merge", "-q", "-m", "merge", "main", cwd=clone)
    run("git", "gc", "-q", cwd=clone)
    run("git", "fsck", "--strict", cwd=clone)
    remounted(place)
    run("git", "fsck", "--strict", cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    assert run("git", "rev-list", "--count", "HEAD", cwd=clone).strip() == "4"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite(place, folder, run, mode):
    database = folder / f"{mode}.db"
    run("sqlite3", database, f"PRAGMA journal_mode={mode}; CREATE TABLE t(a INTEGER PRIMARY KEY, b);", cwd="/")
    for i in range(10):
        run("sqlite3", database, f"BEGIN; INSERT INTO t(b) SELECT hex(randomblob(50)) FROM generate_series(1,200); "
                                 f"UPDATE t SET b='{i}' WHERE a%7=0; COMMIT;", cwd="/")
    two = [subprocess.Popen(["sqlite3", "-cmd", ".timeout 20000", database,
                             "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<300) "
                             f"INSERT INTO t(b) SELECT 'writer {w} '||x FROM n;"], stderr=subprocess.PIPE) for w in (1, 2)]
    for process in two:
        assert process.wait(PATIENCE) == 0, process.stderr.read()
    count = run("sqlite3", database, "SELECT count(*) FROM t; PRAGMA integrity_check;", cwd="/").split()
    assert count == ["2600", "ok"]
    remounted(place)
    assert run("sqlite3", database, "SELECT count(*) FROM t; PRAGMA integrity_check;", cwd="/").split() == count


def make_tree(folder):
    (folder / "a/b").mkdir(parents=True)
    for i in range(40):
        (folder / ("a" if i % 2 else "a/b") / f"f{i}").write_bytes(files.pattern(i * 500, seed=i))
    os.symlink("f1", folder / "a/link")
    os.chmod(folder / "a/f1", 0o755)


def test_rsync_twice(place, folder, run, tmp_path):
    make_tree(tmp_path / "source")
    target = folder / "copy"
    run("rsync", "-a", "--delete", f"{tmp_path}/source/", f"{target}/", cwd="/")
    assert run("rsync", "-ai", "--delete", f"{tmp_path}/source/", f"{target}/", cwd="/") == "", "the second sent something"
    assert files.snapshot(target, times=True) == files.snapshot(tmp_path / "source", times=True)
    remounted(place)
    assert run("rsync", "-ai", "--delete", f"{tmp_path}/source/", f"{target}/", cwd="/") == "", "after a remount"
    assert run("rsync", "-aic", "--delete", f"{tmp_path}/source/", f"{target}/", cwd="/") == "", "by checksums"


def test_tar(folder, run, tmp_path):
    make_tree(tmp_path / "source")
    run("tar", "--format=posix", "-C", tmp_path / "source", "-cf", folder / "all.tar", ".", cwd="/")
    (folder / "out").mkdir()
    run("tar", "-C", folder / "out", "-xpf", folder / "all.tar", cwd="/")
    assert files.snapshot(folder / "out", times=True) == files.snapshot(tmp_path / "source", times=True)


def test_vim(place, folder, run):
    stack, person = place
    (folder / "notes.txt").write_text("first\n")
    person.sync()
    stack.proxy.forget()
    run("vim", "-u", "NONE", "-N", "-es", "-c", "set backup writebackup", "-c", "normal Gosecond", "-c", "wq", folder / "notes.txt",
        cwd=folder, input="")
    assert (folder / "notes.txt").read_text() == "first\nsecond\n"
    person.sync()
    key = f"{folder.name}/notes.txt"
    assert stack.s3.get(stack.bucket_of(person), key).body == b"first\nsecond\n"
    assert not [k for k in stack.s3.list(stack.bucket_of(person), f"{folder.name}/") if k.endswith((".swp", "4913"))]


def test_sed_in_place(place, folder, run):
    _, person = place
    (folder / "config").write_text("a=1\nb=2\n")
    run("sed", "-i", "s/b=2/b=3/", folder / "config", cwd=folder)
    assert (folder / "config").read_text() == "a=1\nb=3\n" and os.listdir(folder) == ["config"]


def test_make_of_a_c_project(folder, run):
    (folder / "Makefile").write_text("CFLAGS=-O1\nprog: main.o util.o\n\t$(CC) -o $@ $^\n")
    (folder / "util.h").write_text("int twice(int);\n")
    (folder / "util.c").write_text('#include "util.h"\nint twice(int x) { return 2 * x; }\n')
    (folder / "main.c").write_text('#include "util.h"\nint main(void) { return twice(21); }\n')
    run("make", "-j2", "CC=gcc", cwd=folder)
    run("./prog", cwd=folder, code=42)
    assert "up to date" in run("make", "CC=gcc", cwd=folder)
    (folder / "util.c").write_text('#include "util.h"\nint twice(int x) { return 3 * x; }\n')
    run("make", "CC=gcc", cwd=folder)
    run("./prog", cwd=folder, code=63)
