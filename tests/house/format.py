#!/usr/bin/python3
"""Every C file is as clang-format with our .clang-format leaves it: `format.py ROOT CLANG_FORMAT`."""
import subprocess
import sys
from pathlib import Path

from check import our_files


def main():
    root, program = Path(sys.argv[1]).resolve(), sys.argv[2]
    files = [path for path in our_files(root) if path.endswith((".c", ".h"))]
    done = subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=1", *files], cwd=root, capture_output=True, text=True)
    print(done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
