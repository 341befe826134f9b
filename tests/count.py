#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Counts the outcomes of a test run: prints `passed failed skipped`.

usage: count.py meson LOG.json | count.py pytest REPORT.xml

A cmocka program counts as its cases; any other program is one test. A cmocka program that ends
badly although none of its cases failed (a crash, a leak found at exit, a timeout) is one failure
more. A log that does not exist or cannot be read is one failure.
"""

import json
import re
import sys
import xml.etree.ElementTree

CASES = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.M),
    "failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.M),
    "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.M),
}
STARTED = re.compile(r"^\[ +OK +\]", re.M)


def meson_program(run):
    """Passed, failed, skipped of one program of a meson log."""
    output = run.get("stdout", "") + "\n" + run.get("stderr", "")
    passed, failed, skipped = (sum(int(n) for n in CASES[kind].findall(output))
                               for kind in ("passed", "failed", "skipped"))
    if run["result"] == "SKIP":
        return 0, 0, max(skipped, 1)
    if run["result"] not in ("OK", "EXPECTEDFAIL"):
        return max(passed, len(STARTED.findall(output))), max(failed, 1), skipped
    return (passed, failed, skipped) if passed + skipped else (1, 0, 0)


def meson(path):
    with open(path, encoding="utf-8") as log:
        return [sum(column) for column in zip((0, 0, 0), *(
            meson_program(json.loads(line)) for line in log))]


def pytest(path):
    total = [0, 0, 0]
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        tests, failures, errors, skipped = (int(suite.get(name, 0)) for name in (
            "tests", "failures", "errors", "skipped"))
        total[0] += max(tests - failures - errors - skipped, 0)
        total[1] += failures + errors
        total[2] += skipped
    return total


if __name__ == "__main__":
    try:
        counts = {"meson": meson, "pytest": pytest}[sys.argv[1]](sys.argv[2])
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as error:
        print("count.py: %s" % error, file=sys.stderr)
        counts = [0, 1, 0]
    print(*counts)
