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


def failure_of_program(entry):
    """Its failed cmocka tests and what they said, or how it ended."""
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    said = re.findall(r"^\[ +ERROR +\] --- (.*)$", text, re.M)
    tests = list(dict.fromkeys(re.findall(r"^\[ +FAILED +\] (\w+)$", text, re.M)))
    return f"{entry['name']}: {' '.join(tests) or entry['result']}: {'; '.join(said)[:300]}"


def read_meson(log):
    """(counts, lines about failures)"""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    counts = [count_program(entry) for entry in entries]
    return counts, [failure_of_program(entry) for entry, count in zip(entries, counts) if count[1]]


def failures_of_pytest(root):
    for case in root.iter("testcase"):
        for found in (*case.findall("failure"), *case.findall("error")):
            yield f"{case.get('classname')}::{case.get('name')}: {' '.join((found.get('message') or '').split())[:600]}"


def count_pytest(root):
    for suite in root.iter("testsuite"):
        total, errors, failures, skipped = (int(suite.get(k, 0)) for k in ("tests", "errors", "failures", "skipped"))
        yield max(total - errors - failures - skipped, 0), errors + failures, skipped


def read_pytest(report):
    root = ElementTree.parse(report).getroot()
    return list(count_pytest(root)), list(failures_of_pytest(root))


def main():
    folder, broken = Path(sys.argv[1]), int(sys.argv[2])
    passed, failed, skipped = 0, broken, 0
    told = []
    for file in sorted(folder.iterdir()):
        counts, failures = [], []
        if file.suffix == ".json":
            counts, failures = read_meson(file)
        elif file.suffix == ".xml":
            counts, failures = read_pytest(file)
        elif file.suffix == ".failed" and not file.with_suffix(".json").exists():
            counts = [(0, 1, 0)]
        sums = [sum(column) for column in zip(*counts)] if counts else [0, 0, 0]
        if file.suffix != ".failed":
            print(f"   {file.stem + file.suffix:12} {sums[0]:5} passed {sums[1]:4} failed {sums[2]:4} skipped")
        passed, failed, skipped = passed + sums[0], failed + sums[1], skipped + sums[2]
        told += [f"   FAILED {file.stem}: {line}" for line in failures]
    for line in told:
        print(line)
    if broken:
        print(f"   {'steps':12} {0:5} passed {broken:4} failed")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
