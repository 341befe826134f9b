#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""./dev bench: measures everything that can be measured here, says what it left out.

Machines are shared and noisy, so an absolute figure means little: everything is run in turns, round
by round, and looked at as ratios of medians in one run. In sizes, peers and queues, what is compared
is up at the same time, and takes turns of %g s: %d for each second of each round, 20 by default.
How much of the cores was ours is looked at between turns. Instructions per frame are the repeatable
second witness.

parts:
  sizes    our driver and our device in two processes, and what two cores hand over at best, by
           size of frame
  rings    the rings alone, in two threads
  counts   instructions per frame of every path (callgrind)
  peers    our halves and DPDK's in each other's places
  latency  round trips, polling and asleep, beside the bare eventfd and DPDK's pair
  tap      our device with a tap, and testpmd with net_tap
  queues   a frame's cost by number of queue pairs on the same two cores
  ports    what idle ports cost
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cores  # noqa: E402
import counts  # noqa: E402
import measure  # noqa: E402
import own  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import side_by_side as peers  # noqa: E402
import turns  # noqa: E402

# Parts that are made of cells, and the fields of their keys.
CELLS = {own.RINGS: (own.ring_cells, own.FIELDS[own.RINGS]),
         own.LATENCY: (own.latency_cells, own.FIELDS[own.LATENCY])}
# Likewise, of groups.
GROUPS = {own.SIZE: (own.size_groups, own.FIELDS[own.SIZE]),
          peers.PART: (peers.groups, peers.FIELDS),
          scale.QUEUES: (scale.queue_groups, scale.FIELDS)}
PARTS = ("sizes", "rings", "counts", "peers", "latency", "tap", "queues", "ports")


def words(known, convert=str):
    """A type for argparse: words of a list, separated by commas."""
    def parse(text):
        found = tuple(text.split(","))
        wrong = [word for word in found if word not in map(str, known)]
        if wrong:
            raise argparse.ArgumentTypeError("%s: expected some of %s" % (
                wrong[0], ",".join(map(str, known))))
        return tuple(map(convert, found))
    return parse


def numbers(least, most):
    def parse(text):
        found = text.split(",")
        for word in found:
            if not re.fullmatch(r"\d+", word) or not least <= int(word) <= most:
                raise argparse.ArgumentTypeError("%s: expected numbers from %d to %d" % (
                    word, least, most))
        return tuple(map(int, found))
    return parse


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench",
                                     description=__doc__ % (turns.LENGTH, turns.A_SECOND),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="one short round of fewer sizes: whether it works, not how fast")
    parser.add_argument("--parts", type=words(PARTS), metavar="PART[,PART…]", default=PARTS,
                        help="default: all")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float,
                        help="of each run, or for that many turns a round; default 1")
    parser.add_argument("--sizes", type=numbers(60, 65535), metavar="N[,N…]",
                        help="for sizes; default %s" % ",".join(map(str, own.SIZES)))
    parser.add_argument("--peer-sizes", type=numbers(60, 1518), metavar="N[,N…]",
                        help="for peers; default %s" % ",".join(map(str, peers.SIZES)))
    parser.add_argument("--modes", type=words(peers.MODES), metavar="MODE[,MODE…]",
                        default=tuple(peers.MODES), help="for peers; default: all five")
    parser.add_argument("--directions", type=words(own.DIRECTIONS), default=None,
                        metavar="WAY[,WAY…]", help="for peers; default: both and echo")
    parser.add_argument("--dpdk", choices=peers.DPDK,
                        help="for peers: what DPDK's halves are; default testpmd up to %d bytes, "
                        "the same work as ours above" % peers.HARDLY_MORE)
    parser.add_argument("--json", metavar="FILE", help="default BUILD/bench/bench.json")
    parser.add_argument("--svg", metavar="FILE", help="default BUILD/bench/bench.svg")
    parser.add_argument("--build", metavar="BUILD", default=os.path.join(measure.ROOT, "build"),
                        help="where the programs were built; default build")
    parser.add_argument("--check", action="store_true",
                        help="count instructions; fail when a path takes over 5%% more than "
                        "bench/BASELINE.md says")
    parser.add_argument("--baseline", action="store_true",
                        help="count instructions and write bench/BASELINE.md")
    parser.add_argument("--baseline-file", metavar="FILE", default=counts.BASELINE,
                        help="for these two: another file")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: must be at least 1")
    if options.seconds is not None and not 0.05 <= options.seconds <= 60:
        parser.error("--seconds: must be between 0.05 and 60")
    fill_in(options)
    return options


def fill_in(options):
    """What --quick makes less of, unless it was asked for by itself."""
    quick = options.quick
    options.rounds = options.rounds or (1 if quick else 5)
    options.seconds = options.seconds or (0.2 if quick else 1.0)
    options.sizes = options.sizes or ((64, 1518) if quick else own.SIZES)
    options.peer_sizes = options.peer_sizes or ((64,) if quick else peers.SIZES)
    options.directions = options.directions or (own.WAYS if quick else own.DIRECTIONS)
    options.turns = turns.number_of(options.rounds, options.seconds)
    options.build = os.path.abspath(options.build)
    options.vioduct = os.environ["VIODUCT"] = os.path.join(options.build, "vioduct")
    options.bench_ring = os.path.join(options.build, "bench", "bench_ring")
    options.json = options.json or os.path.join(options.build, "bench", "bench.json")
    options.svg = options.svg or os.path.join(options.build, "bench", "bench.svg")


# ---- The record of instructions ---------------------------------------------------------------

def check(options, progress):
    """Exit status of --check."""
    try:
        with open(options.baseline_file) as file:
            totals, built_with = counts.from_markdown(file.read())
    except OSError as error:
        sys.exit("bench: %s: %s; ./dev bench --baseline writes it" % (options.baseline_file,
                                                                      error.strerror))
    results = counts.count(options.build, progress)
    faults, better = counts.compare(results, totals), counts.improved(results, totals)
    now = counts.compiler(options.build)
    if now != built_with:
        print("bench: the baseline was counted with %s, this is %s" % (built_with, now))
    for fault in faults:
        print("bench: " + fault)
    if better:
        print("bench: %d paths take far less than the baseline says: ./dev bench --baseline keeps "
              "them there" % len(better))
    print("bench: %d paths, %d over the baseline by more than %d%% or unknown" % (
        len(totals), len(faults), round((counts.ALLOWED - 1) * 100)))
    return 1 if faults else 0


def write_baseline(options, progress):
    results = counts.count(options.build, progress)
    with open(options.baseline_file, "w") as file:
        file.write(counts.to_markdown(results, counts.compiler(options.build)))
    print("bench: %d paths written to %s" % (len(results), os.path.relpath(options.baseline_file)))
    return 0


# ---- Measuring --------------------------------------------------------------------------------

def collect(kinds, options, left_out):
    """The cells, or groups, of all parts wanted."""
    found = []
    for part, (make, _) in kinds.items():
        if part not in options.parts:
            continue
        try:
            found += make(options)
        except measure.LeftOut as reason:
            left_out.append("%s: %s" % (part, reason))
    return found


class Taken:
    """All that was measured; what was not wanted or not possible is empty."""

    def __init__(self):
        self.samples = measure.Samples()
        self.cores = None  # what Cores has seen
        self.dpdk = {}     # peers: the kind of DPDK's halves, by size
        self.counted = {}  # instructions per frame, by path and folder
        self.trips = []    # rows of latency.py
        self.taps = None   # the document of tap_compare.py
        self.ports = []
        self.targets = []
        self.left_out = []


def program(name, options, *arguments):
    """The command line of another program of bench, with the options that all take."""
    return [sys.executable, os.path.join(measure.ROOT, "bench", name), "--rounds",
            str(options.rounds), "--seconds", str(options.seconds), *arguments]


def trips_of_peers(options):
    """Round trips through DPDK's pair and mixed ones."""
    document = measure.run_json(program("latency.py", options, "--json"), timeout=1200)
    return document["results"], document["left_out"]


def taps_of_peers(options):
    with tempfile.NamedTemporaryFile("r", prefix="vio-bench-") as file:
        # It fails when a target is missed: that is told from what it wrote.
        done = subprocess.run(program("tap_compare.py", options, "--json", file.name),
                              capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=1200)
        text = file.read()
    if not text:
        raise measure.LeftOut(measure.one_line(done.stdout if done.returncode == 0 else
                                               done.stderr))
    return json.loads(text)


def machine():
    try:
        with open("/proc/cpuinfo") as file:
            name = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    except OSError:
        name = None
    return {"processor": name.group(1) if name else platform.machine(),
            "cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def as_document(options, taken):
    document = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds,
                "turns": {"number": options.turns, "seconds": turns.LENGTH},
                "additions_per_cycle": taken.cores}
    for part, (_, fields) in {**CELLS, **GROUPS}.items():
        unit = "nanoseconds" if part == own.LATENCY else "mpps"
        rows = []
        for key, values in taken.samples.parts.get(part, {}).items():
            median, least, most = taken.samples.spread(part, *key)
            rows.append(dict(zip(fields, key), **{unit: {
                "median": median, "min": least, "max": most, "samples": values}}))
        document[part] = rows
    for line in document[peers.PART]:
        line["dpdk"] = taken.dpdk[line["size"]]
    document["instructions_per_frame"] = [
        {"path": name, "total": round(counts.total(folders), 1),
         "folders": {folder: round(value, 1) for folder, value in folders.items()}}
        for name, folders in taken.counted.items()]
    document.update({"latency_peers": taken.trips, "tap": taken.taps, "idle_ports": taken.ports,
                     "targets": taken.targets, "left_out": taken.left_out})
    return document


def write(path, text):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def whole_parts(options, taken, progress):
    """The parts that are not made of cells."""
    def attempt(part, measured):
        if part not in options.parts:
            return
        progress.show(part)
        try:
            measured()
        except (measure.LeftOut, OSError, ValueError, KeyError,
                subprocess.SubprocessError) as reason:
            taken.left_out.append("%s: %s" % (part, measure.one_line(reason)))
        progress.clear()

    def latency():
        taken.trips, missing = trips_of_peers(options)
        taken.left_out += ["latency: " + line for line in missing]

    def tap():
        taken.taps = taps_of_peers(options)

    def ports():
        taken.ports = scale.idle_ports(options, taken.left_out, progress)

    def instructions():
        taken.counted = counts.count(options.build, progress, left_out=taken.left_out)

    attempt("latency", latency)
    attempt("tap", tap)
    attempt("ports", ports)
    attempt("counts", instructions)


def take_turns(options, taken, progress):
    """The parts that are made of groups."""
    groups = collect(GROUPS, options, taken.left_out)
    if not groups:
        return
    with cores.Cores(options.build, sorted(os.sched_getaffinity(0))[:2]) as watched:
        turns.run_groups(groups, options.turns, taken.samples, taken.left_out, progress,
                         watched.look)
    taken.cores = watched.seen()
    if watched.fault:
        taken.left_out.append("cores: " + watched.fault)


def run(options, progress):
    taken = Taken()
    taken.dpdk = {size: peers.dpdk_of(size, options.dpdk) for size in options.peer_sizes}
    measure.run_rounds(collect(CELLS, options, taken.left_out), options.rounds, taken.samples,
                       taken.left_out, progress)
    take_turns(options, taken, progress)
    whole_parts(options, taken, progress)
    taken.targets = report.targets(taken)
    report.show(options, taken)
    write(options.json, json.dumps(as_document(options, taken), indent=1) + "\n")
    drawing = plot.draw(taken.samples, taken.counted, taken.dpdk)
    if drawing:
        write(options.svg, drawing)
    print("\n%s%s" % (os.path.relpath(options.json),
                      ", " + os.path.relpath(options.svg) if drawing else ""))
    return 0


def main():
    options = parse(sys.argv[1:])
    progress = measure.Progress()
    try:
        if options.check:
            return check(options, progress)
        if options.baseline:
            return write_baseline(options, progress)
        return run(options, progress)
    except (measure.LeftOut, subprocess.SubprocessError) as reason:
        progress.clear()
        print("bench: %s" % reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.clear()
        return 130


if __name__ == "__main__":
    sys.exit(main())
