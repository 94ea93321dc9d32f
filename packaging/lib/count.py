#!/usr/bin/python3
"""Adds up what meson's logs and pytest's reports tell: `count.py FOLDER BROKEN` prints the last lines of a check: how many of
each, every failure in a line, and the sum.

Each cmocka test counts; a program that ended without telling its tests counts as one. BROKEN is the number of steps that
failed outside any test. The exit code is 0 only when something passed and nothing failed.
"""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def count_program(entry):
    """(passed, failed, skipped) of one program that meson ran."""
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    told = {word: sum(int(n) for n in re.findall(rf"\[  {word} *\] (\d+) test\(s\)", text))
            for word in ("PASSED", "FAILED", "SKIPPED")}
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    if entry["result"] == "SKIP":
        return 0, 0, 1
    if not any(told.values()):
        return (1, 0, 0) if good else (0, 1, 0)
    failed = told["FAILED"] or (0 if good else 1)
    return told["PASSED"], failed, told["SKIPPED"]


def failures_of_program(entry):
    """Its failed cmocka tests and what they said, or how it ended."""
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    said = re.findall(r"^\[ +ERROR +\] --- (.*)$", text, re.M)
    tests = list(dict.fromkeys(re.findall(r"^\[ +FAILED +\] (\w+)$", text, re.M)))
    if count_program(entry)[1]:
        yield f"{entry['name']}: {' '.join(tests) or entry['result']}: {'; '.join(said)[:300]}"


def failures_of_meson(log):
    for line in log.read_text().splitlines():
        yield from failures_of_program(json.loads(line))


def failures_of_pytest(report):
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            for found in case.findall(kind):
                yield f"{case.get('classname')}::{case.get('name')}: {' '.join((found.get('message') or '').split())[:600]}"


def count_meson(log):
    for line in log.read_text().splitlines():
        yield count_program(json.loads(line))


def count_pytest(report):
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total, errors, failures, skipped = (int(suite.get(k, 0)) for k in ("tests", "errors", "failures", "skipped"))
        yield max(total - errors - failures - skipped, 0), errors + failures, skipped


def main():
    folder, broken = Path(sys.argv[1]), int(sys.argv[2])
    passed, failed, skipped = 0, broken, 0
    for file in sorted(folder.iterdir()):
        counts = []
        if file.suffix == ".json":
            counts = list(count_meson(file))
        elif file.suffix == ".xml":
            counts = list(count_pytest(file))
        elif file.suffix == ".failed" and not file.with_suffix(".json").exists():
            counts = [(0, 1, 0)]
        sums = [sum(column) for column in zip(*counts)] if counts else [0, 0, 0]
        if file.suffix != ".failed":
            print(f"   {file.stem + file.suffix:12} {sums[0]:5} passed {sums[1]:4} failed {sums[2]:4} skipped")
        passed, failed, skipped = passed + sums[0], failed + sums[1], skipped + sums[2]
    for file in sorted(folder.iterdir()):
        told = failures_of_meson(file) if file.suffix == ".json" else failures_of_pytest(file) if file.suffix == ".xml" else ()
        for line in told:
            print(f"   FAILED {file.stem}: {line}")
    if broken:
        print(f"   {'steps':12} {0:5} passed {broken:4} failed")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
