#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Our halves and DPDK's in each other's places, in one run.

    side_by_side.py [--rounds 5] [--seconds 1] [--size 64] [--modes split,…] [--json FILE]

Four role combinations (driver, device) over a real vhost-user socket between two processes, one
queue pair of 1024 descriptors, the driver on one core and the device on another, polling:

    dpdk/dpdk   dpdk/ours   ours/dpdk   ours/ours

in both directions, interleaved: each round measures every combination once, so that what else the
machine does falls on all. Medians are compared with dpdk/dpdk. Needs what testpmd needs (root,
hugepages, two cores); without, it says so.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from _pytest.outcomes import Skipped  # noqa: E402

from lib import paths, testpmd  # noqa: E402
from lib.process import run  # noqa: E402
from lib.testpmd import Testpmd  # noqa: E402
from lib.vioduct import Device  # noqa: E402

# How each driver is brought to use a mode: the options of DPDK's, the features of ours.
MODES = {
    "split": ("in_order=0", "-ring_packed,-in_order"),
    "split-no-mergeable": ("in_order=0,mrg_rxbuf=0", "-ring_packed,-in_order,-mrg_rxbuf"),
    "split-in-order": ("in_order=1", "-ring_packed"),
    "packed": ("packed_vq=1,in_order=0", "-in_order"),
    "packed-in-order": ("packed_vq=1,in_order=1,vectorized=1", "+in_order"),
}
DIRECTIONS = ("driver to device", "device to driver")
COMBINATIONS = ("dpdk/dpdk", "dpdk/ours", "ours/dpdk", "ours/ours")
SETTLE = 0.3


def rate(counter, seconds):
    """Mpps of a counter that is read twice."""
    time.sleep(SETTLE)
    first, start = counter(), time.monotonic()
    time.sleep(seconds)
    last, end = counter(), time.monotonic()
    return (last - first) / (end - start) / 1e6


def our_driver(path, direction, options, mode):
    """Mpps that our driver reports of itself."""
    moves = "txonly" if direction == DIRECTIONS[0] else "rxonly"
    done = run(["taskset", "-c", paths.cpus()[0], paths.VIODUCT, "bench", "driver", "--via",
                "vhost-user:" + path, "--mode", moves, "--seconds", options.seconds, "--size",
                options.size, "--features", MODES[mode][1], "--json"], timeout=60)
    return json.loads(done.stdout)["mpps"]


def dpdk_driver(path, direction, options, mode):
    sends = direction == DIRECTIONS[0]
    with Testpmd("driver", path, "txonly" if sends else "rxonly", MODES[mode][0],
                 options.size) as driver:
        driver.wait_ready().start()
        field = "tx_packets" if sends else "rx_packets"
        measured = rate(lambda: driver.statistics()[field], options.seconds)
        driver.stop()
        driver.quit()
    return measured


def measure(combination, direction, mode, options):
    driver, device = combination.split("/")
    directory = paths.scratch()
    path = os.path.join(directory, "s")
    try:
        if device == "ours":
            kind = "null" if direction == DIRECTIONS[0] else "source,size=%d" % options.size
            serving = Device(["--socket-path", path, "--backend", kind],
                             prefix=["taskset", "-c", str(paths.cpus()[1])])
        else:
            serving = Testpmd("device", path,
                              "rxonly" if direction == DIRECTIONS[0] else "txonly",
                              packet_size=options.size)
        with serving:
            if device == "ours":
                serving.wait_listening()
            else:
                serving.wait_ready().start()
            if driver == "ours":
                return our_driver(path, direction, options, mode)
            return dpdk_driver(path, direction, options, mode)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def table(results, options):
    print("%d-byte frames; Mpps, median of %d interleaved runs of %g s (least-most); ratio to "
          "dpdk/dpdk" % (options.size, options.rounds, options.seconds))
    print(("%-20s%-18s" % ("mode", "direction") +
           "".join("%-25s" % name for name in COMBINATIONS)).rstrip())
    for (mode, direction), cells in results.items():
        base = statistics.median(cells["dpdk/dpdk"])
        line = "%-20s%-18s" % (mode, direction)
        for name in COMBINATIONS:
            samples = cells[name]
            middle = statistics.median(samples)
            line += "%-25s" % ("%5.1f (%.1f-%.1f) %4.2f" % (middle, min(samples), max(samples),
                                                            middle / base))
        print(line.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--json", metavar="FILE", help="write the samples there")
    options = parser.parse_args()
    unknown = set(options.modes.split(",")) - set(MODES)
    if unknown:
        parser.error("--modes: %s: expected some of %s" % (unknown.pop(), ", ".join(MODES)))
    try:
        testpmd.hugepages()
    except Skipped as reason:
        print("left out: DPDK's halves: %s; `vioduct bench` measures ours alone" % reason)
        return 0
    results = {}
    for number in range(options.rounds):
        for mode in options.modes.split(","):
            for direction in DIRECTIONS:
                cells = results.setdefault((mode, direction), {})
                for name in COMBINATIONS:
                    print("\rround %d of %d: %-20s%-18s%-12s" % (
                        number + 1, options.rounds, mode, direction, name), end="",
                        file=sys.stderr, flush=True)
                    cells.setdefault(name, []).append(measure(name, direction, mode, options))
    print("\r" + " " * 72 + "\r", end="", file=sys.stderr)
    table(results, options)
    if options.json:
        with open(options.json, "w") as handle:
            json.dump([{"mode": mode, "direction": direction, "mpps": cells}
                       for (mode, direction), cells in results.items()], handle, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
