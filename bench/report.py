# SPDX-License-Identifier: BSD-2-Clause
"""What is printed: a table for each part, and how far the targets are met."""

import statistics

import counts
import own
import scale
import side_by_side as peers
import turns
from measure import geomean

# Packed in order is left out of this one: there DPDK has its vectors, and the ratio is to its best.
TWICE = ("split", "split-no-mergeable", "split-in-order", "packed")
IDLE_KIB = 64


# ---- Targets ----------------------------------------------------------------------------------

def at_least(name, value, wanted):
    return {"target": name, "value": value, "wanted": wanted, "reached": value / wanted}


def at_most(name, value, wanted):
    return {"target": name, "value": value, "wanted": wanted,
            "reached": wanted / value if value > wanted else 1.0}


def verdict(target):
    return "met" if target["reached"] >= 1 else "%.2f of it" % target["reached"]


def peer_ratios(samples, combination, size, modes=peers.MODES, directions=own.WAYS):
    """{(mode, direction): ratio to DPDK's pair} of those that were measured."""
    found = {}
    for mode in modes:
        for direction in directions:
            ratio = samples.ratio(peers.PART, (size, mode, direction, combination),
                                  peers.PART, (size, mode, direction, "dpdk/dpdk"))
            if ratio is not None:
                found[mode, direction] = ratio
    return found


def cells_at_least(name, ratios, wanted):
    """A target that every cell is to meet: the worst one tells."""
    if not ratios:
        return []
    worst = min(ratios, key=ratios.get)
    target = at_least("%s: each of %d cells at least %gx" % (name, len(ratios), wanted),
                      ratios[worst], wanted)
    missed = sum(ratio < wanted for ratio in ratios.values())
    if missed:
        target["worst"] = "%s, %s" % worst
        target["missed"] = missed
    return [target]


def half_targets(samples, dpdk):
    """Each of our halves in the place of DPDK's."""
    found = []
    for combination in ("dpdk/ours", "ours/dpdk"):
        ratios, name = peer_ratios(samples, combination, 64), combination + as_told(dpdk, 64)
        found += cells_at_least(name, ratios, 1)
        if ratios:
            found.append(at_least("%s: geometric mean at least 1.3x" % name,
                                  geomean(list(ratios.values())), 1.3))
    return found


def as_told(dpdk, size):
    """Of which work by DPDK's halves something tells; `dpdk`: their kind by size."""
    return ", same work" if dpdk.get(size) == peers.SAME_WORK else ""


def pair_targets(samples, dpdk):
    """Both halves ours."""
    found = cells_at_least("ours/ours" + as_told(dpdk, 64),
                           peer_ratios(samples, "ours/ours", 64, TWICE), 2)
    found += cells_at_least("ours/ours, 1518 bytes" + as_told(dpdk, 1518),
                            peer_ratios(samples, "ours/ours", 1518), 1.3)
    for direction in own.WAYS:
        ours = samples.median(own.SIZE, 64, direction)
        best = [value for value in (samples.median(peers.PART, 64, mode, direction, "dpdk/dpdk")
                                    for mode in peers.MODES) if value]
        if ours and best:
            found.append(at_least("ours, defaults, %s: 1.2x DPDK's best mode" % direction,
                                  ours / max(best), 1.2))
        for size, share in ((64, 0.7), (1518, 0.8)):
            ratio = samples.ratio(own.SIZE, (size, direction), own.SIZE, (size, own.BARE))
            if ratio is not None:
                found.append(at_least("ours, defaults, %s, %d bytes: %g of the limit" % (
                    direction, size, share), ratio, share))
    return found


def latency_targets(samples, trips):
    found = []
    ratios = {(row["mode"], "ours/ours"): row["p99_to_dpdk"] for row in trips
              if row["pair"] == "ours/ours" and "p99_to_dpdk" in row}
    for (mode, _), ratio in ratios.items():
        found.append(at_most("echo p99, polling, %s: no higher than DPDK's pair" % mode, ratio, 1))
    ratio = samples.ratio(own.LATENCY, ("interrupts", 64, "p99_ns"),
                          own.LATENCY, ("bare eventfds", 64, "p99_ns"))
    if ratio is not None:
        found.append(at_most("echo p99, interrupts: under 2x the bare eventfds", ratio, 2))
    return found


def tap_ratios(taps):
    """[(work, ours by the better of DPDK's ways, wanted)] of what tap_compare.py wrote."""
    found = []
    for work, cells in (taps or {}).get("results", {}).items():
        rates = {name: statistics.median(sample["rate"] for sample in samples)
                 for name, samples in cells.items()}
        theirs = max(rate for name, rate in rates.items() if name != "ours")
        if theirs:
            found.append((work, rates["ours"] / theirs, taps["targets"][work]))
    return found


def tap_targets(taps):
    return [at_least("tap, %s: %gx DPDK's net_vhost and net_tap" % (work, wanted), ratio, wanted)
            for work, ratio, wanted in tap_ratios(taps)]


def scale_targets(samples, ports):
    found = []
    for direction in own.WAYS:
        ratio = samples.ratio(scale.QUEUES, (1, direction), scale.QUEUES, (16, direction))
        if ratio is not None:
            found.append(at_most("16 queue pairs, %s: a frame costs at most 1.1x that of one" %
                                 direction, ratio, 1.1))
    if ports and ports[-1]["ports"] > 1:
        row = ports[-1]
        quiet = row["system_calls"] if row["system_calls"] is not None else row["context_switches"]
        found.append({"target": "%d idle ports: no system call" % row["ports"], "value": quiet,
                      "wanted": 0, "reached": 1.0 if quiet == 0 else 0.0})
        if "own_kib_each" in row:
            found.append(at_most("%d idle ports: at most %d KiB each" % (row["ports"], IDLE_KIB),
                                 row["own_kib_each"], IDLE_KIB))
    return found


def targets(taken):
    """Of all that was measured."""
    return (half_targets(taken.samples, taken.dpdk) + pair_targets(taken.samples, taken.dpdk) +
            latency_targets(taken.samples, taken.trips) + tap_targets(taken.taps) +
            scale_targets(taken.samples, taken.ports))


# ---- Tables -----------------------------------------------------------------------------------

def title(text):
    print("\n%s\n%s" % (text, "-" * len(text)))


def row(first, width, fields, each=13):
    print(("%-*s" % (width, first) + "".join("%*s" % (each, field) for field in fields)).rstrip())


def number(value, pattern="%.2f"):
    return pattern % value if value is not None else "-"


def spread_text(spread):
    return "%.2f (%.2f-%.2f)" % tuple(spread) if spread else "-"


def measured_sizes(samples):
    return sorted({key[0] for key in samples.keys(own.SIZE)})


def sizes_table(samples):
    sizes = measured_sizes(samples)
    if not sizes:
        return
    title("Two cores: the bare limit, and our driver and device by size of frame (Mpps, medians of "
          "%s; share of the limit)" % turns.told(samples, own.SIZE))
    row("bytes", 8, [own.BARE, own.PACKED] +
        [text for way in own.DIRECTIONS for text in (way, "share")], 21)
    for size in sizes:
        fields = [spread_text(samples.spread(own.SIZE, size, kind)) for kind in own.LIMITS]
        for direction in own.DIRECTIONS:
            fields += [spread_text(samples.spread(own.SIZE, size, direction)),
                       number(samples.ratio(own.SIZE, (size, direction),
                                            own.SIZE, (size, own.BARE)))]
        row(str(size), 8, fields, 21)


def rings_table(samples):
    keys = samples.keys(own.RINGS)
    if not keys:
        return
    cycles = own.cycles_per_second()
    title("The rings alone, two threads, 64 bytes (Mpps)")
    print("Cycles per frame: the processor's nominal frequency by the median, of either core.")
    row("mode", 18, ["Mpps", "cycles"], 24)
    for mode, name in keys:
        mpps = samples.median(own.RINGS, mode, name)
        row("%-18s%-32s" % (mode, name), 50,
            [spread_text(samples.spread(own.RINGS, mode, name)),
             number(cycles / mpps / 1e6 if cycles else None, "%.0f")], 22)


def counts_table(results):
    if not results:
        return
    title("Instructions per frame, by source folder")
    width = max(map(len, results)) + 1
    row("path", width, ("total",) + counts.FOLDERS, 9)
    for name, folders in results.items():
        row(name, width, ["%.1f" % counts.total(folders)] +
            [number(folders.get(folder), "%.1f") for folder in counts.FOLDERS], 9)


def peers_table(samples, dpdk):
    keys = samples.keys(peers.PART)
    if not keys:
        return
    for size in sorted({key[0] for key in keys}):
        title("Side by side, %d bytes%s: driver/device (Mpps, medians of %s, least-most, ratio to "
              "dpdk/dpdk)" % (size, as_told(dpdk, size), turns.told(samples, peers.PART)))
        row("mode, direction", 39, peers.COMBINATIONS, 26)
        for mode, direction in dict.fromkeys((key[1], key[2]) for key in keys if key[0] == size):
            fields = []
            for combination in peers.COMBINATIONS:
                key = (size, mode, direction, combination)
                ratio = samples.ratio(peers.PART, key, peers.PART, key[:3] + ("dpdk/dpdk",))
                fields.append("%s %5s" % (spread_text(samples.spread(peers.PART, *key)),
                                          number(ratio)))
            row("%-20s%s" % (mode, direction), 39, fields, 26)
        for name, ways in (("two directions", own.WAYS), ("echo", (own.ECHO,))):
            means = [geomean(list(peer_ratios(samples, combination, size,
                                              directions=ways).values()))
                     for combination in peers.OURS]
            if any(means):
                row("geometric mean, " + name, 39, [""] + [number(mean) for mean in means], 26)
        print(peers.WORK[dpdk[size]])


def latency_table(samples, trips):
    keys = samples.keys(own.LATENCY)
    if not keys and not trips:
        return
    title("Round trips of one 64-byte frame (microseconds)")
    row("", 32, [value.replace("_ns", "") for value in own.TIMES] + ["p99 to DPDK's"], 26)
    for mode in dict.fromkeys(key[0] for key in keys):
        row("ours, " + mode if mode != "bare eventfds" else mode, 32, [
            spread_text([each / 1000 for each in samples.spread(own.LATENCY, mode, 64, value)])
            for value in own.TIMES], 26)
    for line in trips:
        row("%-20s%s" % (line["mode"], line["pair"]), 32, [
            spread_text([line[value][each] / 1000 for each in ("median", "min", "max")])
            for value in own.TIMES] + [number(line.get("p99_to_dpdk"))], 26)


def tap_table(taps):
    if not taps:
        return
    title("Tap: our device, and testpmd between net_vhost and net_tap, under the same driver")
    names = sorted({name for cells in taps["results"].values() for name in cells}, reverse=True)
    row("", 12, names + ["ours by the best"], 26)
    ratios = {work: ratio for work, ratio, _ in tap_ratios(taps)}
    for work, cells in taps["results"].items():
        rates = [[sample["rate"] for sample in cells.get(name, [])] for name in names]
        row(work, 12, [spread_text((statistics.median(each), min(each), max(each)) if each else
                                   None) for each in rates] + [number(ratios.get(work))], 26)
    print("64 bytes in Mpps, 64 KiB in Gbit/s")


def queues_table(samples):
    keys = samples.keys(scale.QUEUES)
    if not keys:
        return
    title("Queue pairs on the same two cores, 64 bytes (Mpps, medians of %s; a frame's cost by that "
          "of one pair)" % turns.told(samples, scale.QUEUES))
    row("pairs", 8, [text for way in own.WAYS for text in (way, "cost")], 26)
    for pairs in sorted({key[0] for key in keys}):
        fields = []
        for direction in own.WAYS:
            fields += [spread_text(samples.spread(scale.QUEUES, pairs, direction)),
                       number(samples.ratio(scale.QUEUES, (1, direction),
                                            scale.QUEUES, (pairs, direction)))]
        row(str(pairs), 8, fields, 26)


def ports_table(ports):
    if not ports:
        return
    title("Idle ports in one process, each with a silent driver")
    row("ports", 8, ["CPU s", "of s", "switches", "calls", "KiB", "KiB each"])
    for line in ports:
        row(str(line["ports"]), 8, [
            number(line["processor_seconds"]), number(line["seconds"], "%d"),
            line["context_switches"], number(line["system_calls"], "%d"), line["own_kib"],
            number(line.get("own_kib_each"), "%.1f")])


def targets_table(found):
    if not found:
        return
    title("Targets")
    for target in found:
        print("%-66s %8.2f  %s%s" % (
            target["target"], target["value"], verdict(target),
            " (%s; %d missed)" % (target["worst"], target["missed"]) if "worst" in target else ""))
    print("%d of %d met" % (sum(target["reached"] >= 1 for target in found), len(found)))


def show(options, taken):
    print("medians of %d interleaved rounds of %g s (least-most), where nothing else is said" % (
        options.rounds, options.seconds))
    if taken.cores:
        print("between turns the cores did %.1f additions a cycle (%.1f-%.1f); one that another hardware "
              "thread is busy on does half of what it does alone" % (
                  taken.cores["median"], taken.cores["min"], taken.cores["max"]))
    sizes_table(taken.samples)
    rings_table(taken.samples)
    counts_table(taken.counted)
    peers_table(taken.samples, taken.dpdk)
    latency_table(taken.samples, taken.trips)
    tap_table(taken.taps)
    queues_table(taken.samples)
    ports_table(taken.ports)
    targets_table(taken.targets)
    for line in taken.left_out:
        print("left out: " + line)
