# SPDX-License-Identifier: BSD-2-Clause
"""How much of the two cores is ours while the bench runs: what a virtual machine takes for a core may
be one of two threads of it, and does half of its work when the other one is busy. Nobody tells, but
additions do (bench_cores.c): they are looked at between turns, and the report says what was seen."""

import os
import statistics
import subprocess

from measure import one_line


class Cores:
    """Use as a context manager. `look()` is for between turns. `seen()` is {"median", "min", "max"} of
    additions a cycle, or None when there was no look. `fault`: why it looks no more, or ""."""

    def __init__(self, build, numbers):
        self.fault, self._values, self._process = "", [], None
        try:
            self._process = subprocess.Popen(
                [os.path.join(build, "bench", "bench_cores"), *map(str, numbers)], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            self.fault = "bench_cores: %s" % error.strerror

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._process:
            self._process.communicate()

    def look(self):
        if self.fault:
            return
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            self._values += [float(word) for word in line.split()]
        else:
            self.fault = one_line(self._process.stderr.read() or "bench_cores: it ended")

    def seen(self):
        if not self._values:
            return None
        return {"median": statistics.median(self._values), "min": min(self._values),
                "max": max(self._values)}
