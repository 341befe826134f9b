# SPDX-License-Identifier: BSD-2-Clause
"""What every part of the bench stands on: cells and rounds, medians, and children that speak JSON.

A part that measures speed is made of cells, or of groups (turns.py). A cell runs once a round and
gives one sample for each of its keys; all cells of all parts take their turn in every round, so that
what else the machine does falls on all of them, and only ratios of medians are worth a look. A cell
that fails is named and the rest goes on: half a table is better than none.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time

# A driver's address: without one our device's source would send to all.
MAC = "02:76:64:01:00:00"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class LeftOut(Exception):
    """A part, or a piece of one, that can't be measured here; says why."""


class Cell:
    """`measure()` returns {key: sample}; `key` is a tuple, whose fields the part names."""

    def __init__(self, part, name, measure):
        self.part, self.name, self.measure = part, name, measure


class Samples:
    """All samples, by part and key."""

    def __init__(self):
        self.parts = {}

    def add(self, part, key, value):
        self.parts.setdefault(part, {}).setdefault(key, []).append(value)

    def keys(self, part):
        return list(self.parts.get(part, {}))

    def spread(self, part, *key):
        """(median, least, most), or None when there is no sample."""
        values = self.parts.get(part, {}).get(key)
        if not values:
            return None
        return statistics.median(values), min(values), max(values)

    def median(self, part, *key):
        spread = self.spread(part, *key)
        return spread[0] if spread else None

    def ratio(self, part, key, base_part, base_key):
        """Of two medians, or None."""
        value, base = self.median(part, *key), self.median(base_part, *base_key)
        return value / base if value is not None and base else None


def geomean(values):
    """None of no values."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Progress:
    """One line on standard error that changes; where that is no terminal, a line now and then."""

    EACH = 20  # seconds

    def __init__(self, stream=sys.stderr):
        self.stream = stream
        self.live = stream.isatty()
        self.began = self.shown = time.monotonic()

    def begin(self):
        """What is estimated begins here."""
        self.began = time.monotonic()

    def show(self, text, done=None):
        """`done`: the fraction that is over, for an estimate of the rest."""
        now = time.monotonic()
        if done and now - self.began > 5:
            text += ", %d s left" % ((now - self.began) * (1 - done) / done)
        if self.live:
            self.stream.write("\r\033[K" + text[:100])
        elif now - self.shown > self.EACH:
            self.stream.write("bench: " + text + "\n")
            self.shown = now
        self.stream.flush()

    def clear(self):
        if self.live:
            self.stream.write("\r\033[K")
            self.stream.flush()


def run_rounds(cells, rounds, samples, left_out, progress):
    """Every cell once a round. A cell that failed is not tried again."""
    failed = set()
    progress.begin()
    for number in range(rounds):
        for index, cell in enumerate(cells):
            if cell in failed:
                continue
            progress.show("round %d of %d: %s %s" % (number + 1, rounds, cell.part, cell.name),
                          (number * len(cells) + index) / (rounds * len(cells)))
            try:
                for key, value in cell.measure().items():
                    samples.add(cell.part, key, value)
            except (LeftOut, AssertionError, OSError, ValueError, KeyError,
                    subprocess.SubprocessError) as reason:
                failed.add(cell)
                left_out.append("%s %s: %s" % (cell.part, cell.name, one_line(reason)))
    progress.clear()


def one_line(reason):
    """What an exception has to say, cut to a line."""
    lines = str(reason).strip().splitlines()
    return (lines[-1] if lines else type(reason).__name__)[:200]


def run_json(arguments, timeout=120):
    """Runs a program that prints one JSON document. What it says on failure is the reason."""
    arguments = [str(word) for word in arguments]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
    except OSError as error:
        raise LeftOut(str(error)) from None
    except subprocess.TimeoutExpired:
        raise LeftOut("%s: no end within %d s" % (" ".join(arguments), timeout)) from None
    if done.returncode != 0:
        raise LeftOut("%s: exit %d: %s" % (os.path.basename(arguments[0]), done.returncode,
                                           one_line(done.stderr or done.stdout)))
    return json.loads(done.stdout)
