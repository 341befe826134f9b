#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Guest iperf3 through our back ends against QEMU's own, on this machine, now.

    compare.py [--rounds 5] [--seconds 3] [--form modern] [--backends tap,user] [--json FILE]

For each back end two guests of the same image are up at the same time: one on `vioduct device`
with `tap` or `user`, one on QEMU's `-netdev tap` (vhost=off) or `-netdev user`; vectors=0 on all.
They are measured in turn, ours, QEMU's, ours, QEMU's, so that what else the machine does falls on
both; the medians are compared, and the spread is shown. Exit 0 when ours is nowhere slower.
"""

import argparse
import json
import os
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from _pytest.outcomes import Skipped  # noqa: E402

from lib import paths, traffic  # noqa: E402
from lib.guest import FORMS, Image  # noqa: E402
from lib.rig import TapRig, UserRig  # noqa: E402
from lib.vioduct import new_drops  # noqa: E402

DIRECTIONS = (("from guest", False), ("to guest", True))


class Contender:
    """One guest on one back end, with the iperf3 server at its far side."""

    def __init__(self, kind, image, form, reference):
        self.rig = {"tap": TapRig, "user": UserRig}[kind](image, form, reference)
        try:
            self.rig.configure()
            self.server = traffic.Iperf3Server(
                netns=self.rig.inside if kind == "tap" else None,
                address=self.rig.near if kind == "tap" else "127.0.0.1")
            self.address = self.rig.near if kind == "tap" else self.rig.far
        except BaseException:
            self.rig.close()
            raise

    def measure(self, seconds, reverse):
        return traffic.iperf3(self.rig.guest, self.server, self.address, seconds, reverse)[0]

    def close(self):
        self.server.process.end()
        self.rig.close()


def compare(kind, image, options):
    """Returns a list of results, one a direction."""
    contenders = {}
    try:
        for name, reference in (("ours", False), ("qemu", True)):
            contenders[name] = Contender(kind, image, options.form, reference)
        before = contenders["ours"].rig.snapshot()
        results = []
        for direction, reverse in DIRECTIONS:
            samples = {name: [] for name in contenders}
            for contender in contenders.values():
                contender.measure(1, reverse)  # caches and windows warm
            for _ in range(options.rounds):
                for name, contender in contenders.items():
                    samples[name].append(contender.measure(options.seconds, reverse))
            results.append(judge(kind, direction, options.form, samples))
            print(row(results[-1]), flush=True)
        drops = new_drops(before, contenders["ours"].rig.snapshot())
        if drops:
            print("      our device dropped frames: %s" % drops)
        for result in results:
            result["drops"] = drops
        return results
    finally:
        for contender in contenders.values():
            contender.close()


def judge(kind, direction, form, samples):
    median = {name: statistics.median(values) for name, values in samples.items()}
    return {"backend": kind, "direction": direction, "form": form, "samples_bps": samples,
            "median_bps": median, "ratio": median["ours"] / median["qemu"]}


def row(result):
    def shown(name):
        values = result["samples_bps"][name]
        return "%8.3f (%.3f-%.3f)" % (result["median_bps"][name] / 1e9, min(values) / 1e9,
                                      max(values) / 1e9)

    return "%-5s %-11s %-24s %-24s %6.2f" % (result["backend"], result["direction"],
                                            shown("ours"), shown("qemu"), result["ratio"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--form", choices=sorted(FORMS), default="modern")
    parser.add_argument("--backends", default="tap,user")
    parser.add_argument("--json", metavar="FILE", help="write the samples there")
    options = parser.parse_args()
    kinds = options.backends.split(",")
    if set(kinds) - {"tap", "user"}:
        parser.error("--backends: expected tap, user or both, got %s" % options.backends)
    if not os.access(paths.VIODUCT, os.X_OK):
        parser.error("no program at %s" % paths.VIODUCT)
    results = []
    image = Image()
    print("Gbit/s, median of %d interleaved runs of %d s (least-most); guest form: %s" % (
        options.rounds, options.seconds, options.form))
    print("%-5s %-11s %-24s %-24s %6s" % ("", "", "    ours", "    QEMU's own", "ratio"))
    for kind in kinds:
        try:
            results += compare(kind, image, options)
        except Skipped as reason:
            print("%-5s left out: %s" % (kind, reason.msg))
    if options.json:
        with open(options.json, "w") as handle:
            json.dump(results, handle, indent=1)
            handle.write("\n")
    return 0 if all(result["ratio"] >= 1 for result in results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Skipped as reason:
        print("compare: %s" % reason.msg, file=sys.stderr)
        sys.exit(1)
