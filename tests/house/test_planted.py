#!/usr/bin/python3
"""Plants one offence of each kind in a small copy of a house and sees that check.py names it, and nothing else."""
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).with_name("check.py")
FINE = {
    "include/base/text.h": "/* Text. */\n#pragma once\n",
    "include/base/json.c": "/* JSON. */\n#include <cjson/cJSON.h>\n#include <string.h>\n",
    "s3/grants.c": '/* Grants. */\n#include "auth/fetch.h"\n#include "base/text.h"\n#include "s3/wire.h"\n',
    "fs/tree/tree.c": '/* Tree. */\n#include "base/text.h"\n#include "fs/tree/tree.h"\n#include <sqlite3.h>\n',
    "fs/mount.c": '/* Mount. */\n#include "auth/session.h"\n#include "fs/tree/tree.h"\n#include "s3/http_store.h"\n',
    "README.md": "# Pail\n",
    "fs/cli/mount.c": '/* Mounts. */\nstatic const struct command mount = {.name = "mount"};\n',
    "s3/server/config.c": '/* Settings. */\nstatic const struct setting settings[] = {{"store", "style"}};\n',
    "s3/server/role.c": '/* A role. */\nstatic const char policy[] = "[\\"s3:GetObject\\"]";\n',
}
HOST = ".".join(["registry", "npmjs", "org"])
PLANTED = [
    ("fs/tree/up.c", '/* Up. */\n#include "fs/sync/sync.h"\n', "fs/tree may not include"),
    ("fs/content/up.c", '/* Up. */\n#include "s3/store.h"\n', "fs/content may not include"),
    ("include/base/up.h", '/* Up. */\n#pragma once\n#include "auth/session.h"\n', "include/base may not include"),
    ("auth/up.c", '/* Up. */\n#include "s3/store.h"\n', "auth may not include"),
    ("s3/store.c", '/* Up. */\n#include "auth/fetch.h"\n', "only mapping and grants"),
    ("s3/client.c", '/* Up. */\n#include "s3/server/http.h"\n', "knows no server code"),
    ("fs/client.c", '/* Up. */\n#include "s3/embedded/store.h"\n', "knows no server code"),
    ("s3/embedded/up.c", '/* Up. */\n#include "s3/server/users.h"\n', "s3/embedded may not include"),
    ("auth/token.c", "/* JSON. */\n#include <cjson/cJSON.h>\n", "belongs in include/base/json.c"),
    ("fs/sync/curl.c", "/* curl. */\n#  include <curl/curl.h>\n", "belongs in auth/fetch.c, s3/transfer.c"),
    ("fs/sync/kernel.c", "/* FUSE. */\n#include <fuse3/fuse_lowlevel.h>\n", "belongs in fs/fuse/*"),
    ("fs/cli/pages.c", "/* New. */\n#include <zlib.h>\n", "of no library that the house has"),
    ("fs/silent.c", "#include <string.h>\n", "first line must say"),
    ("fs/twice.h", "/* A header. */\n", "needs #pragma once"),
    ("fs/path.c", '/* A path. */\nstatic const char p[] = "' + "/ho" + 'me/ann/pail";\n', "a path of one machine"),
    ("packaging/host", f"npm --registry https://{HOST}\n", "a package registry's host"),
    ("docs/page.md", "# Page\n", "does not belong in the top level"),
    ("fs/blob.c", "/* \0 */\n", "a binary file"),
    ("fs/README.md", "A promise: `test_of_nothing`.\n", "there is no test test_of_nothing"),
    ("README.md", "# Pail\n\nSee [this](packaging/gone.md).\n", "there is no packaging/gone.md"),
    ("README.md", "# Pail\n\n`style = path`, `stile = path`\n", "there is no setting stile"),
    ("README.md", "# Pail\n\n```\npail mount\npail amount\n```\n", "there is no command pail amount"),
    ("packaging/examples/role-policy.json", '{"Action": ["s3:GetObject", "s3:PutBucketPolicy"]}\n',
     "s3:PutBucketPolicy is not asked for"),
    ("fs/spaces.c", "/* Spaces. */ \n", "white space at the end"),
]


def run(files):
    with tempfile.TemporaryDirectory(prefix="pail-house-") as folder:
        for path, text in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)


def main():
    clean = run(FINE)
    assert clean.returncode == 0, clean.stdout
    for path, text, expected in PLANTED:
        result = run({**FINE, path: text})
        lines = result.stdout.splitlines()
        assert result.returncode == 1 and expected in result.stdout, f"not found: {path}: {expected}\n{result.stdout}"
        assert len(lines) == 2, f"more than the planted one:\n{result.stdout}"
    print(f"{len(PLANTED)} planted, {len(PLANTED)} found")


if __name__ == "__main__":
    main()
