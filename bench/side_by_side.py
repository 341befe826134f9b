# SPDX-License-Identifier: BSD-2-Clause
"""Our halves and DPDK's in each other's places.

Four role combinations (driver/device) over a real vhost-user socket between two processes, one
queue pair of 1024 descriptors, the driver on one core and the device on another, polling, in five
modes and each direction. dpdk/dpdk is what the others are compared with.

DPDK's halves come in two kinds:

    testpmd    what everybody measures with; it writes the first 42 bytes of a frame that it sends
               and reads none of one that it receives: for 64 bytes, where that is little less
    same-work  bench/dpdk/ends.c, which writes and reads every byte, as our halves do: for all that
               is larger

Echo: DPDK's driver originates frames and ends those that come back (testpmd's flowgen, or ends.c),
which is what ours does. A device that forwards has nothing to do with what is in a frame: of both
kinds it is testpmd that forwards its only port to itself, and ours has the back end `loop`.

Needs what testpmd needs: root, hugepages, two cores; for ends.c DPDK's headers.
"""

import atexit
import contextlib
import json
import os
import shutil
import sys
import time

import dpdk_programs
from measure import MAC, ROOT, Cell, LeftOut, one_line

PART = "peers"
FIELDS = ("size", "mode", "direction", "combination")

# How each driver is brought to use a mode: the options of DPDK's, the features of ours.
MODES = {
    "split": ("in_order=0", "-ring_packed,-in_order"),
    "split-no-mergeable": ("in_order=0,mrg_rxbuf=0", "-ring_packed,-in_order,-mrg_rxbuf"),
    "split-in-order": ("in_order=1", "-ring_packed,+in_order"),
    "packed": ("packed_vq=1,in_order=0", "+ring_packed,-in_order"),
    "packed-in-order": ("packed_vq=1,in_order=1,vectorized=1", "+ring_packed,+in_order"),
}
TO_DEVICE, TO_DRIVER, ECHO = DIRECTIONS = ("driver to device", "device to driver", "echo")
COMBINATIONS = ("dpdk/dpdk", "dpdk/ours", "ours/dpdk", "ours/ours")
OURS = COMBINATIONS[1:]
SIZES = (64, 1518)
SETTLE = 0.3

# Direction: what each half does. Mode of our driver, back end of our device.
OUR_DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "echo"}
OUR_DEVICE = {TO_DEVICE: "null,read=on", TO_DRIVER: "source,size=%d", ECHO: "loop"}

# Kinds of DPDK's halves, and what they do to a frame.
TESTPMD, SAME_WORK = DPDK = ("testpmd", "same-work")
WORK = {TESTPMD: "DPDK's halves are testpmd: its sender writes the first 42 bytes of a frame, its "
                 "receiver reads none; ours\nwrite and read every byte, which tells the more the "
                 "larger the frames are.",
        SAME_WORK: "The same work: DPDK's halves (bench/dpdk/ends.c) write every byte of a frame "
                   "that they send, and copy out and\nread every byte of one that they receive, as "
                   "ours do. Devices that echo forward: testpmd, and our loop."}
HARDLY_MORE = 64  # bytes, of which testpmd's sender leaves few unwritten


def dpdk_of(size, wanted=None):
    """Which kind of DPDK's halves is used for frames of a size."""
    return wanted or (TESTPMD if size <= HARDLY_MORE else SAME_WORK)


class Testpmds:
    """DPDK's halves as testpmd has them."""

    DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "flowgen"}
    DEVICE = {TO_DEVICE: "rxonly", TO_DRIVER: "txonly", ECHO: "io"}

    def __init__(self, testpmd):
        self.testpmd = testpmd

    def device(self, path, size, direction):
        return self.testpmd.Testpmd("device", path, self.DEVICE[direction], packet_size=size,
                                    eal=dpdk_programs.WIDEST)

    @staticmethod
    def wait_for_device(serving):
        serving.wait_ready().start()

    def driver(self, path, size, mode, direction, seconds):
        with self.testpmd.Testpmd("driver", path, self.DRIVER[direction], MODES[mode][0], size,
                                  eal=dpdk_programs.WIDEST) as driver:
            driver.wait_ready().start()
            field = "tx_packets" if direction == TO_DEVICE else "rx_packets"
            measured = self.rate(lambda: driver.statistics()[field], seconds)
            driver.stop()
            driver.quit()
        return measured

    @staticmethod
    def rate(counter, seconds):
        """Mpps of a counter that is read twice."""
        time.sleep(SETTLE)
        first, start = counter(), time.monotonic()
        time.sleep(seconds)
        last, end = counter(), time.monotonic()
        return (last - first) / (end - start) / 1e6


class Ends:
    """DPDK's halves that do the work of ours."""

    DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "echo"}
    DEVICE = {TO_DEVICE: "rxonly", TO_DRIVER: "txonly"}

    def __init__(self, process, cpus, directory):
        self.process, self.cpus = process, cpus
        self.program = dpdk_programs.compile_program("ends", directory)

    @contextlib.contextmanager
    def device(self, path, size, direction):
        words = dpdk_programs.command(self.program, self.cpus[1], dpdk_programs.device_port(path),
                                      "--mode", self.DEVICE[direction], "--size", size)
        try:
            with self.process.Process(words) as serving:
                yield serving
        finally:
            dpdk_programs.forget(words)

    @staticmethod
    def wait_for_device(serving):
        serving.wait_for("^ready$", 30)

    def driver(self, path, size, mode, direction, seconds):
        """Mpps that it reports of itself."""
        words = dpdk_programs.command(
            self.program, self.cpus[0], dpdk_programs.driver_port(path, MODES[mode][0]),
            "--mode", self.DRIVER[direction], "--size", size, "--warm-up", SETTLE,
            "--seconds", seconds)
        try:
            done = self.process.run(words, timeout=seconds + 60)
        finally:
            dpdk_programs.forget(words)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return found["packets"] / found["seconds"] / 1e6


class Peers:
    """What the end-to-end tests know of testpmd and of processes, loaded once it is wanted."""

    def __init__(self):
        sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
        try:
            from _pytest.outcomes import Skipped
            from lib import paths, process, testpmd, vioduct
        except ImportError as reason:
            raise LeftOut("the tests' Python modules: %s" % reason) from None
        self.paths, self.process, self.testpmd, self.vioduct = paths, process, testpmd, vioduct
        self.cpus = paths.cpus()
        try:
            testpmd.hugepages()
        except Skipped as reason:
            raise LeftOut("DPDK's halves: %s" % one_line(reason)) from None
        self.halves = {TESTPMD: Testpmds(testpmd)}

    def provide(self, dpdk):
        """Gets DPDK's halves of a kind ready for use."""
        if dpdk not in self.halves:
            directory = self.paths.scratch()
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            self.halves[dpdk] = Ends(self.process, self.cpus, directory)

    def our_driver(self, path, size, mode, direction, seconds):
        """Mpps that our driver reports of itself."""
        done = self.process.run(
            ["taskset", "-c", self.cpus[0], self.paths.VIODUCT, "bench", "driver", "--via",
             "vhost-user:" + path, "--mode", OUR_DRIVER[direction], "--seconds", seconds, "--size",
             size, "--features", MODES[mode][1], "--json"], timeout=seconds + 60)
        return json.loads(done.stdout)["mpps"]

    def our_device(self, path, size, direction):
        backend = OUR_DEVICE[direction]
        return self.vioduct.Device(
            ["--socket-path", path, "--mac", MAC, "--backend",
             backend % size if "%" in backend else backend] +
            (["--mtu", size - 14] if size > 1518 else []),
            prefix=["taskset", "-c", str(self.cpus[1])])

    def measure(self, size, mode, direction, combination, seconds, dpdk=TESTPMD):
        """Mpps; `dpdk`: the kind of its halves."""
        driver, device = combination.split("/")
        theirs = self.halves[dpdk]
        forwarding = self.halves[TESTPMD] if direction == ECHO else theirs
        directory = self.paths.scratch()
        path = os.path.join(directory, "s")
        make = forwarding.device if device == "dpdk" else self.our_device
        run = theirs.driver if driver == "dpdk" else self.our_driver
        try:
            with make(path, size, direction) as serving:
                if device == "dpdk":
                    forwarding.wait_for_device(serving)
                else:
                    serving.wait_listening()
                mpps = run(path, size, mode, direction, seconds)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if mpps <= 0:
            raise LeftOut("no frame arrived")
        return mpps


def left_out(name, reason):
    """A cell that says why others are missing."""
    def measure():
        raise LeftOut(reason)

    return Cell(PART, name, measure)


def cells_of(peers, options):
    def cell(dpdk, *key):
        return Cell(PART, "%d %s, %s, %s" % key,
                    lambda: {key: peers.measure(*key, options.seconds, dpdk)})

    found, missing = [], {}
    for size in options.peer_sizes:
        dpdk = dpdk_of(size, options.dpdk)
        try:
            peers.provide(dpdk)
        except LeftOut as reason:
            missing.setdefault(str(reason), []).append(str(size))
            continue
        found += [cell(dpdk, size, mode, direction, combination) for mode in options.modes
                  for direction in options.directions for combination in COMBINATIONS]
    return found + [left_out("%s bytes" % ",".join(sizes), reason)
                    for reason, sizes in missing.items()]


def cells(options):
    return cells_of(Peers(), options)
