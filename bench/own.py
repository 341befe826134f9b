# SPDX-License-Identifier: BSD-2-Clause
"""Our two halves alone: driver and device in two processes by size of frame, in turns with what two
cores can hand over at most (turns.py); the rings in two threads, and round trips."""

import os
import re
import subprocess

from children import Device, Driver, Limit, wait_for
from measure import MAC, Cell, LeftOut, one_line, run_json
from turns import Contender, Group, Running

SIZES = (64, 128, 256, 512, 1024, 1518, 9000)
SIZE, RINGS, LATENCY = "sizes", "rings", "latency"
FIELDS = {SIZE: ("size", "direction"), RINGS: ("mode", "row"), LATENCY: ("mode", "size", "value")}

# Mode of the driver, back end of the device, and what the driver counts.
TO_DEVICE, TO_DRIVER, ECHO = DIRECTIONS = ("driver to device", "device to driver", "echo")
WAYS = (TO_DEVICE, TO_DRIVER)
MODES = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "echo"}
BACKENDS = {TO_DEVICE: "null,read=on", TO_DRIVER: "source,size=%d", ECHO: "loop"}
COUNTED = {TO_DEVICE: "tx_packets", TO_DRIVER: "rx_packets", ECHO: "rx_packets"}

ETHERNET, ORDINARY = 14, 1514  # bytes of a header, and of a frame for which no MTU need be told

# Buffers that have room for any frame, as a ring's; and frames side by side, which no ring can do.
BARE, PACKED = "two-core limit", "limit, packed"
LIMITS = {BARE: "buffers", PACKED: "packed"}

RING_MODES = ("split", "packed", "split-in-order", "packed-in-order")
TIMES = ("p50_ns", "p99_ns", "p99.9_ns")


def vioduct(options, *arguments):
    return run_json([options.vioduct, "bench", *arguments, "--rounds", 1, "--seconds",
                     options.seconds, "--json"])["results"]


def two_cores(what):
    """The driver's and the device's."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise LeftOut("%s: one core only" % what)
    return cores[:2]


def start_device(stack, program, core, direction, size, *options):
    backend = BACKENDS[direction]
    room = ["--mtu", size - ETHERNET] if size > ORDINARY else []
    return stack.enter_context(Device(program, [
        ["--mac", MAC, "--backend", backend % size if "%" in backend else backend, *room,
         *options]], core))


def start_driver(stack, program, core, path, direction, size, *options):
    """With the function that counts."""
    driver = stack.enter_context(Driver(program, path, MODES[direction], "--size", size, *options,
                                        core=core))
    return driver, lambda: driver.count(COUNTED[direction])


def start_halves(stack, program, cores, direction, size, pairs=1):
    """A process and a core each, with default options."""
    each = ["--queue-pairs", pairs]
    device = start_device(stack, program, cores[1], direction, size, *each)
    driver, count = start_driver(stack, program, cores[0], device.sockets[0], direction, size,
                                 *each)
    wait_for(lambda: count()[0] > 0, "frames")
    return Running((driver.pid, device.pid), count)


# ---- By size, with what two cores can do at most ------------------------------------------------

def start_limit(stack, program, kind, size):
    limit = stack.enter_context(Limit(program, kind, size))
    wait_for(lambda: limit.count("frames")[0] > 0, "frames")
    return Running((limit.pid,), lambda: limit.count("frames"))


def size_groups(options):
    cores = two_cores("driver, device and limit")

    def limit(name, size):
        return Contender(name, (size, name), lambda stack: start_limit(
            stack, options.vioduct, LIMITS[name], size))

    def halves(direction, size):
        return Contender(direction, (size, direction), lambda stack: start_halves(
            stack, options.vioduct, cores, direction, size))

    return [Group(SIZE, "%d bytes" % size, [limit(name, size) for name in LIMITS] +
                  [halves(direction, size) for direction in DIRECTIONS])
            for size in options.sizes]


# ---- The rings alone --------------------------------------------------------------------------

ROW = re.compile(r"^(\S.*?) {2,}(%s)? +([\d.]+) +[\d.]+$" % "|".join(RING_MODES), re.M)


def parse_rings(text):
    """{(mode, row): Mpps} of what bench_ring prints; the mode of the bare limit is ""."""
    return {(mode, row): float(mpps) for row, mode, mpps in ROW.findall(text)}


def ring_cells(options):
    two_cores("the rings in two threads")

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
