#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Round trips of one frame through our halves and DPDK's in each other's places, polling.

Four combinations (driver/device) over a real vhost-user socket, the driver on one core and the
device on another. One frame is under way at a time; its way through the driver, to the device that
sends it back, and out of the driver again is what counts. Our driver is `vioduct bench driver` with
`--mode latency`; DPDK's is bench/dpdk/echo.c, which is compiled when it is wanted and has frames
and histogram in common with ours. Devices: testpmd, whose vhost port forwards to itself (or swaps
addresses), and our back end `loop`.

Combinations take turns, round by round; medians, and their ratio to dpdk/dpdk, are what to look at.
Needs what testpmd needs (root, hugepages, two cores) and DPDK's headers; without, it says so.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dpdk_programs import WIDEST, command, compile_program, driver_port, forget  # noqa: E402
from measure import LeftOut, Progress, one_line  # noqa: E402
from side_by_side import MODES, Peers  # noqa: E402

COMBINATIONS = ("dpdk/dpdk", "ours/dpdk", "dpdk/ours", "ours/ours")
VALUES = ("p50_ns", "p99_ns", "p99.9_ns", "max_ns")
POLL_US = 1000000


class Trips:
    def __init__(self, options, peers, directory):
        self.options, self.peers, self.directory = options, peers, directory
        self.echo = compile_program("echo", directory)

    def device(self, kind, path):
        if kind == "dpdk":
            return self.peers.testpmd.Testpmd("device", path, self.options.forward,
                                              packet_size=self.options.size, eal=WIDEST)
        return self.peers.vioduct.Device(
            ["--socket-path", path, "--backend", "loop"],
            options=["--busy-poll", POLL_US, "--workers", 1],
            prefix=["taskset", "-c", self.peers.cpus[1]])

    def our_driver(self, path, mode):
        return ["taskset", "-c", self.peers.cpus[0], self.peers.paths.VIODUCT, "bench", "driver",
                "--via", "vhost-user:" + path, "--mode", "latency", "--seconds",
                self.options.seconds, "--size", self.options.size, "--features", MODES[mode][1],
                "--json"]

    def dpdk_driver(self, path, mode):
        return command(self.echo, self.peers.cpus[0], driver_port(path, MODES[mode][0]),
                       "--seconds", self.options.seconds, "--size", self.options.size)

    def measure(self, mode, combination):
        """What the driver prints of itself."""
        driver, device = combination.split("/")
        path = os.path.join(self.directory, "s")
        with self.device(device, path) as serving:
            if device == "dpdk":
                serving.wait_ready().start()
            else:
                serving.wait_listening()
            theirs = driver == "dpdk"
            words = (self.dpdk_driver if theirs else self.our_driver)(path, mode)
            try:
                done = self.peers.process.run(words, timeout=self.options.seconds + 60)
            finally:
                if theirs:
                    forget(words)
        if os.path.exists(path):
            os.unlink(path)
        return json.loads(done.stdout.strip().splitlines()[-1])


def spread(samples, value):
    values = [sample[value] for sample in samples]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rows(taken, options):
    found = []
    for mode in options.modes:
        base = taken.get((mode, "dpdk/dpdk"))
        for combination in COMBINATIONS:
            samples = taken.get((mode, combination))
            if not samples:
                continue
            row = {"pair": combination, "mode": mode, "size": options.size}
            row.update({value: spread(samples, value) for value in VALUES})
            if base:
                for value in VALUES[:3]:
                    row[value.replace("_ns", "_to_dpdk")] = round(
                        row[value]["median"] / spread(base, value)["median"], 3)
            found.append(row)
    return found


def table(found, options):
    print("round trips of %d bytes in ns, polling: medians of %d interleaved rounds of %g s "
          "(p99: least-most); ratio of p99 to dpdk/dpdk" % (options.size, options.rounds,
                                                            options.seconds))
    print("%-20s%-12s%8s%24s%10s%12s%8s" % ("mode", "pair", "p50", "p99", "p99.9", "max", "ratio"))
    for row in found:
        middle = row["p99_ns"]
        print("%-20s%-12s%8.0f%24s%10.0f%12.0f%8s" % (
            row["mode"], row["pair"], row["p50_ns"]["median"],
            "%.0f (%.0f-%.0f)" % (middle["median"], middle["min"], middle["max"]),
            row["p99.9_ns"]["median"], row["max_ns"]["max"],
            "%.2f" % row["p99_to_dpdk"] if "p99_to_dpdk" in row else ""))


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--modes", default="split,packed", help="some of " + ",".join(MODES))
    parser.add_argument("--forward", choices=("io", "macswap"), default="io",
                        help="what testpmd does with a frame")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    options.modes = options.modes.split(",")
    unknown = set(options.modes) - set(MODES)
    if unknown:
        parser.error("--modes: %s: expected some of %s" % (unknown.pop(), ", ".join(MODES)))
    if options.rounds < 1 or options.seconds <= 0 or not 60 <= options.size <= 1514:
        parser.error("expected at least one round, some seconds, and a size from 60 to 1514")
    return options


def run(options, peers, directory):
    """The samples, by mode and combination, and what is missing of them."""
    trips, progress, taken, left_out = Trips(options, peers, directory), Progress(), {}, []
    for number in range(options.rounds):
        for mode in options.modes:
            for combination in COMBINATIONS:
                progress.show("round %d of %d: %s, %s" % (number + 1, options.rounds, mode,
                                                          combination))
                try:
                    taken.setdefault((mode, combination), []).append(
                        trips.measure(mode, combination))
                except (LeftOut, AssertionError, OSError, ValueError, KeyError,
                        subprocess.SubprocessError) as reason:
                    left_out.append("%s, %s: %s" % (mode, combination, one_line(reason)))
    progress.clear()
    return taken, left_out


def main():
    options = parse()
    directory = None
    try:
        peers = Peers()
        directory = peers.paths.scratch()
        taken, left_out = run(options, peers, directory)
    except LeftOut as reason:
        print("latency: left out: %s; `vioduct bench latency` measures ours alone" % reason,
              file=sys.stderr)
        return 1 if options.json else 0
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)
    found = rows(taken, options)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "seconds": options.seconds, "results": found,
                          "left_out": left_out}))
    else:
        table(found, options)
        for line in left_out:
            print("left out: " + line)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
