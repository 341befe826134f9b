# SPDX-License-Identifier: BSD-2-Clause
"""Our halves and DPDK's in each other's places.

Four role combinations (driver/device) over a real vhost-user socket between two processes, one
queue pair of 1024 descriptors, the driver on one core and the device on another, polling, in five
modes and each direction. dpdk/dpdk is what the others are compared with. The four are up at the same
time and take turns (turns.py). Our half of a pair is who is asked for the count, with the time;
of DPDK's pair it is the driver.

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
import signal
import sys
import time

import children
import dpdk_programs
import own
from measure import ROOT, LeftOut, one_line
from own import ECHO, TO_DEVICE, TO_DRIVER
from turns import Contender, Group, Running

PART = "peers"
FIELDS = ("size", "mode", "direction", "combination")

# How each driver is brought to use a mode: the options of DPDK's, the features of ours. DPDK's asks
# for no offload unless its program does, and what a device has to look at depends on that; so ours
# asks for none either.
NO_OFFLOADS = ",-csum,-guest_csum"
MODES = {
    "split": ("in_order=0", "-ring_packed,-in_order" + NO_OFFLOADS),
    "split-no-mergeable": ("in_order=0,mrg_rxbuf=0",
                           "-ring_packed,-in_order,-mrg_rxbuf" + NO_OFFLOADS),
    "split-in-order": ("in_order=1", "-ring_packed,+in_order" + NO_OFFLOADS),
    "packed": ("packed_vq=1,in_order=0", "+ring_packed,-in_order" + NO_OFFLOADS),
    "packed-in-order": ("packed_vq=1,in_order=1,vectorized=1",
                        "+ring_packed,+in_order" + NO_OFFLOADS),
}
COMBINATIONS = ("dpdk/dpdk", "dpdk/ours", "ours/dpdk", "ours/ours")
OURS = COMBINATIONS[1:]
SIZES = (64, 1518)

# Of which queue our device's count is asked for.
BY_DEVICE = {TO_DEVICE: "tx", TO_DRIVER: "rx", ECHO: "rx"}

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


class Half:
    """One that is up. `count()` returns frames and when there were so many, in nanoseconds."""

    def __init__(self, pid, count):
        self.pid, self.count = pid, count


class Testpmds:
    """DPDK's halves as testpmd has them."""

    DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "flowgen"}
    DEVICE = {TO_DEVICE: "rxonly", TO_DRIVER: "txonly", ECHO: "io"}

    def __init__(self, testpmd):
        self.testpmd = testpmd
        self.needed = testpmd.MEMORY_MIB

    @contextlib.contextmanager
    def _half(self, role, path, mode, options, size, direction):
        with self.testpmd.Testpmd(role, path, mode, options, size,
                                  eal=dpdk_programs.WIDEST) as half:
            half.wait_ready().start()

            def count():
                frames = half.statistics()[own.COUNTED[direction]]
                return frames, time.monotonic_ns()  # it does not say when

            yield Half(half.process.pid, count)

    def device(self, path, size, direction):
        return self._half("device", path, self.DEVICE[direction], "", size, direction)

    def driver(self, path, size, mode, direction):
        return self._half("driver", path, self.DRIVER[direction], MODES[mode][0], size, direction)


class Ends:
    """DPDK's halves that do the work of ours."""

    DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "echo"}
    DEVICE = {TO_DEVICE: "rxonly", TO_DRIVER: "txonly"}

    def __init__(self, process, cpus, directory):
        self.process, self.cpus = process, cpus
        self.program = dpdk_programs.compile_program("ends", directory)
        self.needed = dpdk_programs.MEMORY_MIB

    @contextlib.contextmanager
    def _half(self, cpu, port, mode, size):
        words = dpdk_programs.command(self.program, cpu, port, "--mode", mode, "--size", size)
        field = "sent" if mode == "txonly" else "received"
        try:
            with self.process.Process(words) as half:
                half.wait_for("^ready$", 30)

                def count():
                    start = len(half.stdout.text)
                    half.signal(signal.SIGUSR1)
                    answer = json.loads(half.wait_for("^{.*}$", 10, start=start).group())
                    return answer[field], answer["ns"]

                yield Half(half.pid, count)
        finally:
            dpdk_programs.forget(words)

    def device(self, path, size, direction):
        return self._half(self.cpus[1], dpdk_programs.device_port(path), self.DEVICE[direction],
                          size)

    def driver(self, path, size, mode, direction):
        return self._half(self.cpus[0], dpdk_programs.driver_port(path, MODES[mode][0]),
                          self.DRIVER[direction], size)


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

    def _find_memory(self, halves):
        free = self.testpmd.free_mib()
        if free < halves.needed:
            raise LeftOut("%d MiB of huge pages are free, DPDK's half needs %d" % (
                free, halves.needed))

    def _our_device(self, stack, size, direction):
        device = own.start_device(stack, self.paths.VIODUCT, self.cpus[1], direction, size)

        def count():
            answer = device.ask()
            return (answer["devices"][0]["queues"][0][BY_DEVICE[direction]]["packets"],
                    answer["ns"])

        return Half(device.pid, count), device.sockets[0]

    def _their_device(self, stack, halves, size, direction):
        self._find_memory(halves)
        directory = self.paths.scratch()
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        path = os.path.join(directory, "s")
        return stack.enter_context(halves.device(path, size, direction)), path

    def _our_driver(self, stack, path, size, mode, direction):
        driver, count = own.start_driver(stack, self.paths.VIODUCT, self.cpus[0], path, direction,
                                         size, "--features", MODES[mode][1])
        return Half(driver.pid, count)

    def start(self, stack, size, mode, direction, combination, dpdk=TESTPMD):
        """Brings both halves up; `dpdk`: the kind of its."""
        driver, device = combination.split("/")
        theirs = self.halves[dpdk]
        if device == "ours":
            serving, path = self._our_device(stack, size, direction)
        else:
            serving, path = self._their_device(
                stack, self.halves[TESTPMD] if direction == ECHO else theirs, size, direction)
        if driver == "ours":
            driving = self._our_driver(stack, path, size, mode, direction)
        else:
            self._find_memory(theirs)
            driving = stack.enter_context(theirs.driver(path, size, mode, direction))
        count = serving.count if combination == "dpdk/ours" else driving.count
        children.wait_for(lambda: count()[0] > 0, "frames")
        return Running((driving.pid, serving.pid), count)


def left_out(name, reason):
    """A group that says why others are missing."""
    def start(stack):
        raise LeftOut(reason)

    return Group(PART, name, [Contender("", None, start)])


def groups_of(peers, options):
    def contender(dpdk, *key):
        return Contender(key[-1], key, lambda stack: peers.start(stack, *key, dpdk))

    found, missing = [], {}
    for size in options.peer_sizes:
        dpdk = dpdk_of(size, options.dpdk)
        try:
            peers.provide(dpdk)
        except LeftOut as reason:
            missing.setdefault(str(reason), []).append(str(size))
            continue
        found += [Group(PART, "%d %s, %s" % (size, mode, direction),
                        [contender(dpdk, size, mode, direction, combination)
                         for combination in COMBINATIONS])
                  for mode in options.modes for direction in options.directions]
    return found + [left_out("%s bytes" % ",".join(sizes), reason)
                    for reason, sizes in missing.items()]


def groups(options):
    return groups_of(Peers(), options)
