#!/usr/bin/python3
"""Sees a sanitizer find a planted bug: `check.py PROGRAM KIND`, or `check.py PROGRAM instrumented SANITIZERS`."""
import os
import subprocess
import sys

REPORTS = {
    "address": "AddressSanitizer: heap-use-after-free",
    "leak": "LeakSanitizer: detected memory leaks",
    "undefined": "signed integer overflow",
    "race": "ThreadSanitizer: data race",
}


def planted(program, kind):
    environment = {k: v for k, v in os.environ.items() if not k.endswith("SAN_OPTIONS")}
    done = subprocess.run([program, kind], capture_output=True, text=True, env=environment)
    assert done.returncode != 0, f"the {kind} bug ended with 0: the sanitizer is not on\n{done.stderr}"
    assert REPORTS[kind] in done.stderr, f"no report of {kind}:\n{done.stderr}"


def instrumented(program, sanitizers):
    symbols = subprocess.run(["nm", "-D", program], capture_output=True, text=True, check=True).stdout
    symbol = "__tsan_init" if "thread" in sanitizers else "__asan_init"
    assert symbol in symbols, f"{program} has no {symbol}: it is not instrumented"


if __name__ == "__main__":
    if sys.argv[2] == "instrumented":
        instrumented(sys.argv[1], sys.argv[3])
    else:
        planted(sys.argv[1], sys.argv[2])
