# SPDX-License-Identifier: BSD-2-Clause
"""Our two halves alone: the bare limit of two cores, driver and device in two processes by size of
frame, the rings in two threads, and round trips."""

import os
import re
import subprocess

from measure import Cell, LeftOut, one_line, run_json

SIZES = (64, 128, 256, 512, 1024, 1518, 9000)
LIMIT, BOTH, RINGS, LATENCY = "limit", "sizes", "rings", "latency"
FIELDS = {LIMIT: ("limit", "size"), BOTH: ("size", "direction"), RINGS: ("mode", "row"),
          LATENCY: ("mode", "size", "value")}
RING_MODES = ("split", "packed", "split-in-order", "packed-in-order")
TIMES = ("p50_ns", "p99_ns", "p99.9_ns")


def vioduct(options, *arguments):
    return run_json([options.vioduct, "bench", *arguments, "--rounds", 1, "--seconds",
                     options.seconds, "--json"])["results"]


def by_size(part, words, samples_of):
    """Cells of a `vioduct bench` subcommand, one for each size of frame."""
    def cells(options):
        def cell(size):
            return Cell(part, "%d bytes" % size, lambda: {
                key: mpps["median"] for row in vioduct(options, *words, "--size", size)
                for key, mpps in samples_of(row)})

        return [cell(size) for size in options.sizes]
    return cells


# Buffers that have room for any frame, as a ring's; and frames side by side, which no ring can do.
BARE, PACKED = "two-core limit", "limit, packed"
limit_cells = by_size(LIMIT, ("limit",), lambda row: [((BARE, row["size"]), row["mpps"]),
                                                      ((PACKED, row["size"]),
                                                       row["packed"]["mpps"])])
both_cells = by_size(BOTH, ("--no-limit",),
                     lambda row: [((row["size"], row["direction"]), row["mpps"])])


# ---- The rings alone --------------------------------------------------------------------------

ROW = re.compile(r"^(\S.*?) {2,}(%s)? +([\d.]+) +[\d.]+$" % "|".join(RING_MODES), re.M)


def parse_rings(text):
    """{(mode, row): Mpps} of what bench_ring prints; the mode of the bare limit is ""."""
    return {(mode, row): float(mpps) for row, mode, mpps in ROW.findall(text)}


def ring_cells(options):
    if len(os.sched_getaffinity(0)) < 2:
        raise LeftOut("the rings in two threads: one core only")

    def measure(mode):
        # A slice of some ten million frames a second each.
        frames = max(1 << 20, int(options.seconds * 8e6))
        done = subprocess.run([options.bench_ring, "--rounds", "1", "--frames", str(frames),
                               "--mode", mode], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        rows = parse_rings(done.stdout)
        if done.returncode != 0 or not rows:
            raise LeftOut("bench_ring: " + one_line(done.stderr or done.stdout))
        return {key: value for key, value in rows.items() if key[0]}

    def cell(mode):
        return Cell(RINGS, mode, lambda: measure(mode))

    return [cell(mode) for mode in RING_MODES]


def cycles_per_second():
    """The processor's nominal frequency, at which its time stamp counter runs; None if it does not
    say."""
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        return None
    found = re.search(r"^model name.*@ *([\d.]+) *GHz", text, re.M)
    if found:
        return float(found.group(1)) * 1e9
    found = re.search(r"^cpu MHz\s*: ([\d.]+)", text, re.M)
    return float(found.group(1)) * 1e6 if found else None


# ---- Round trips ------------------------------------------------------------------------------

def latency_cells(options):
    def measure():
        return {(row["mode"], row["size"], value): row[value]["median"]
                for row in vioduct(options, "latency") for value in TIMES}

    return [Cell(LATENCY, "", measure)]
