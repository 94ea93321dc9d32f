#!/usr/bin/python3
"""Checks the house: floors, third-party headers, first lines, top level, nothing of one machine, what the READMEs name.
`check.py ROOT`.

The tables say the same as the design's: what each floor may include, and the only files for each library's headers.
"""
import re
import subprocess
import sys
from pathlib import Path

TOP = {"fs", "auth", "s3", "include", "tests", "packaging", "meson.build", "README.md", "LICENSE"}
TOP_DOT = {".ci", ".clang-format", ".clang-tidy", ".editorconfig", ".gitignore"}
INPUTS = "tests/fuzz/corpus/"  # bytes as a parser gets them
NOT_OURS = {".git", ".cache", ".venv", "compile_commands.json"}  # never committed; .gitignore has them

# Floor (longest folder first when looked up) -> prefixes that its includes may have.
FLOORS = {
    "include/base": ["base/"],
    "include/auth": ["base/", "auth/"],
    "include/s3": ["base/", "s3/", "auth/fetch.h"],
    "auth": ["base/", "auth/"],
    "s3": ["base/", "s3/", "auth/fetch.h"],
    "s3/server": ["base/", "s3/server/", "auth/verify.h", "auth/fetch.h", "s3/sign.h", "s3/wire.h", "s3/transfer.h",
                  "s3/listing.h", "s3/checksum.h", "s3/status.h", "s3/store.h", "s3/address.h", "s3/mint.h", "s3/policy.h"],
    "s3/embedded": ["base/", "s3/embedded/", "s3/sign.h", "s3/wire.h", "s3/checksum.h", "s3/crc.h", "s3/listing.h",
                    "s3/listing_walk.h", "s3/store.h", "s3/server/http.h"],
    "fs": ["base/", "auth/", "s3/", "fs/"],
    "fs/tree": ["base/", "fs/tree/"],
    "fs/content": ["base/", "fs/content/"],
    "fs/sync": ["base/", "s3/store.h", "s3/mapping.h", "fs/tree/", "fs/content/", "fs/sync/"],
    "fs/core": ["base/", "fs/core/", "fs/tree/", "fs/content/", "fs/sync/"],
    "fs/fuse": ["base/", "fs/fuse/", "fs/core/", "fs/tree/", "fs/content/", "fs/sync/"],
    "fs/control": ["base/", "fs/control/", "fs/core/", "fs/tree/", "fs/content/", "fs/sync/"],
    "fs/cli": ["base/", "auth/", "s3/mapping.h", "s3/store.h", "s3/wire.h", "fs/cli/", "fs/mount.h", "fs/control/"],
}

# What of a floor stays closed although a prefix above would let it in.
CLOSED = {
    "s3": ["s3/server/", "s3/embedded/"],  # the client links no server code
    "fs": ["s3/server/", "s3/embedded/"],
}

# The two files that put pail-server together, and what they may include besides.
COMPOSERS = {
    "s3/server/main.c": ["s3/embedded/demo.h"],
    "s3/embedded/demo.c": ["s3/server/config.h", "s3/server/server.h", "s3/server/users.h"],
}

# auth/fetch.h is for these files of s3 only.
FETCHERS = {"s3/mapping.c", "s3/grants.c", "include/s3/mapping.h", "s3/grants.h", "s3/http_store.c",
            "include/s3/http_store.h"}

# Library -> (how its headers are named, the files that may include them).
LIBRARIES = {
    "cJSON": (r"cjson/|cJSON", {"include/base/json.c"}),
    "curl": (r"curl/", {"auth/fetch.c", "s3/transfer.c"}),
    "OpenSSL": (r"openssl/", {"auth/pkce.c", "auth/jwt.c", "auth/jwks.c", "s3/sign.c", "s3/checksum.c",
                              "s3/server/provision.c", "s3/embedded/issuer_key.c"}),
    "libsecret": (r"libsecret/|glib|gio/", {"auth/vault_secret.c", "fs/notification.c"}),
    "expat": (r"expat", {"s3/listing.c"}),
    "sqlite3": (r"sqlite3", {"fs/tree/*", "s3/server/users_database.h", "s3/embedded/catalog.c"}),
    "libfuse": (r"fuse", {"fs/fuse/*"}),
    "libmicrohttpd": (r"microhttpd", {"s3/server/http.c"}),
    "GnuTLS": (r"gnutls/", {"s3/server/certificate.c"}),
    "libqrencode": (r"qrencode", {"fs/cli/qr.c"}),
    "libinih": (r"ini\.h", {"s3/server/config.c"}),
}

SYSTEM = re.compile(
    r"(?:assert|complex|ctype|errno|float|inttypes|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef"
    r"|stdint|stdio|stdlib|stdnoreturn|string|strings|time|wchar|wctype|threads|alloca|dirent|dlfcn|endian|err|fcntl|fnmatch"
    r"|ftw|getopt|glob|grp|ifaddrs|langinfo|libgen|mntent|netdb|poll|pthread|pwd|regex|resolv|sched|semaphore|spawn"
    r"|syslog|termios|unistd|utime|arm_acle|iconv|link|malloc|features|ucontext|utmp"
    r"|sys/[a-z_0-9]+|net/[a-z_]+|netinet/[a-z_0-9]+|arpa/[a-z]+|linux/[a-z_0-9]+|asm/[a-z]+|nmmintrin|immintrin)\.h$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:home|Users|root|work|build|tmp/build)[-\w]*/[\w.-]+")
REGISTRY = re.compile("|".join(re.escape(".".join(words)) for words in (
    ("registry", "npmjs", "org"), ("pypi", "org"), ("files", "pythonhosted", "org"), ("deb", "debian", "org"),
    ("proxy", "golang", "org"), ("crates", "io"), ("static", "crates", "io"), ("security", "debian", "org"))))


def floor_of(path):
    """The floor that a file of the house belongs to, or None (tests, packaging)."""
    best = None
    for floor in FLOORS:
        if path.startswith(floor + "/") and (best is None or len(floor) > len(best)):
            best = floor
    return best


def matches(path, allowed):
    return any(path == a or (a.endswith("*") and path.startswith(a[:-1])) for a in allowed)


def check_own_include(path, floor, name):
    if name in COMPOSERS.get(path, []):
        return None
    if any(name.startswith(closed) for closed in CLOSED.get(floor, [])):
        return f"{path}: {floor} may not include \"{name}\": the client knows no server code"
    if not any(name == p or (p.endswith("/") and name.startswith(p)) for p in FLOORS[floor]):
        return f"{path}: {floor} may not include \"{name}\": it stands above, or is not this floor's to know"
    if name == "auth/fetch.h" and floor in ("s3", "include/s3") and path not in FETCHERS:
        return f"{path}: only mapping and grants may include \"auth/fetch.h\""
    return None


def check_outside_include(path, name):
    if SYSTEM.match(name):
        return None
    for library, (pattern, files) in LIBRARIES.items():
        if re.match(pattern, name):
            source = path[:-2] + ".c"  # a module's private header may name the library's types
            return None if matches(path, files) or matches(source, files) else f"{path}: <{name}> ({library}) belongs in {', '.join(sorted(files))}"
    return f"{path}: <{name}> is of no library that the house has"


def check_includes(path, text):
    floor = floor_of(path)
    if floor is None:
        return
    for kind, name in INCLUDE.findall(text):
        found = check_own_include(path, floor, name) if kind == '"' else check_outside_include(path, name)
        if found:
            yield found


def check_text(path, text):
    if path.endswith((".c", ".h")) and not text.startswith("/* "):
        yield f"{path}: the first line must say what the file is for"
    if path.endswith(".h") and "#pragma once" not in text:
        yield f"{path}: a header needs #pragma once"
    as_it_came = path.startswith(INPUTS)
    if re.search(r"[ \t]+$", text, re.M) and not path.endswith(".md") and not as_it_came:
        yield f"{path}: white space at the end of a line"
    if not text.endswith("\n") and text and not as_it_came:
        yield f"{path}: no newline at the end"
    for pattern, what in ((MACHINE_PATH, "a path of one machine"), (REGISTRY, "a package registry's host")):
        found = pattern.search(text)
        if found:
            yield f"{path}: {what}: {found.group(0)}"


def our_files(root):
    """Tracked files and new ones that git does not ignore; in a plain copy, all files."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                            capture_output=True)
    if listed.returncode == 0:
        return sorted(p for p in listed.stdout.decode().split("\0") if p and (root / p).is_file())
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def check_top(files):
    top = {path.split("/")[0] for path in files}
    for name in sorted(top - TOP - TOP_DOT - NOT_OURS):
        yield f"{name}: does not belong in the top level"


def check_named_tests(root, files):
    """The tables of fs/README.md name tests; each must be there."""
    page = root / "fs/README.md"
    if not page.is_file():
        return
    sources = [path for path in files if path.startswith("tests/") and path.endswith((".py", ".c"))]
    known = {name for path in sources
             for name in re.findall(r"^(?:def|static void) (test_\w+)\(", (root / path).read_text(errors="replace"), re.M)}
    for name in sorted(set(re.findall(r"`(test_\w+)`", page.read_text())) - known):
        yield f"fs/README.md: there is no test {name}"


def texts(root, files, folder):
    return "".join((root / path).read_text(errors="replace") for path in files if re.match(folder + r".*\.c$", path))


def check_named_files(root, files):
    """What README.md links to, and the examples that it names."""
    text = (root / "README.md").read_text(errors="replace") if "README.md" in files else ""
    for name in sorted(set(re.findall(r"\]\(([\w./-]+)\)|(?<!/)\b(packaging/examples/[\w.-]+)", text))):
        path = "".join(name)
        if not (root / path).exists():
            yield f"README.md: there is no {path}"


def check_named_words(root, files):
    """The settings (`name = value`) and the commands that README.md names."""
    text = (root / "README.md").read_text(errors="replace") if "README.md" in files else ""
    settings = set(re.findall(r'\{"(?:server|login|store)", "(\w+)"', texts(root, files, "s3/server/config")))
    for name in sorted(set(re.findall(r"`(\w+) = [^`]*`", text)) - settings):
        yield f"README.md: there is no setting {name}"
    commands = set(re.findall(r'\.name = "(\w+)"', texts(root, files, "fs/cli/"))) | {"COMMAND"}
    for name in sorted(set(re.findall(r"(?:^|`|sudo )pail ([a-zA-Z]\w*)", text, re.M)) - commands):
        yield f"README.md: there is no command pail {name}"


def check_role(root, files):
    """The role's example gives what the server's session policies ask for: AWS grants what is in both."""
    path = "packaging/examples/role-policy.json"
    if path not in files:
        return
    asked = set(re.findall(r'\\"(s3:[A-Z]\w+)\\"', texts(root, files, "s3/")))
    given = set(re.findall(r'"(s3:[A-Z]\w+)"', (root / path).read_text()))
    for action in sorted(asked ^ given):
        yield f"{path}: {action} is {'missing' if action in asked else 'not asked for by any session policy'}"


def check_root(root):
    files = our_files(root)
    yield from check_top(files)
    yield from check_named_tests(root, files)
    yield from check_named_files(root, files)
    yield from check_named_words(root, files)
    yield from check_role(root, files)
    for path in files:
        if path.split("/")[0] in NOT_OURS:
            continue
        data = (root / path).read_bytes()
        if b"\0" in data:
            if not path.startswith("tests/") and not path.endswith(".png"):
                yield f"{path}: a binary file"
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError:
            yield f"{path}: not UTF-8"
            continue
        yield from check_text(path, text)
        if path.endswith((".c", ".h")):
            yield from check_includes(path, text)


def main():
    root = Path(sys.argv[1]).resolve()
    found = list(check_root(root))
    for line in found:
        print(line)
    print(f"house: {len(found)} found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
