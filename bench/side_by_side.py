# SPDX-License-Identifier: BSD-2-Clause
"""Our halves and DPDK's in each other's places.

Four role combinations (driver/device) over a real vhost-user socket between two processes, one
queue pair of 1024 descriptors, the driver on one core and the device on another, polling, in five
modes and each direction. dpdk/dpdk is what the others are compared with.

Echo: DPDK's driver originates frames and ends those that come back (testpmd's flowgen), which is
what ours does; DPDK's device forwards its only port to itself, ours has the back end `loop`.

Needs what testpmd needs: root, hugepages, two cores.
"""

import json
import os
import shutil
import sys
import time

from measure import ROOT, Cell, LeftOut, one_line

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

# Direction: what each half does. testpmd's modes; mode of our driver, back end of our device.
DPDK_DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "flowgen"}
DPDK_DEVICE = {TO_DEVICE: "rxonly", TO_DRIVER: "txonly", ECHO: "io"}
OUR_DRIVER = {TO_DEVICE: "txonly", TO_DRIVER: "rxonly", ECHO: "echo"}
OUR_DEVICE = {TO_DEVICE: "null,read=on", TO_DRIVER: "source,size=%d", ECHO: "loop"}


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

    def rate(self, counter, seconds):
        """Mpps of a counter that is read twice."""
        time.sleep(SETTLE)
        first, start = counter(), time.monotonic()
        time.sleep(seconds)
        last, end = counter(), time.monotonic()
        return (last - first) / (end - start) / 1e6

    def our_driver(self, path, size, mode, direction, seconds):
        """Mpps that our driver reports of itself."""
        done = self.process.run(
            ["taskset", "-c", self.cpus[0], self.paths.VIODUCT, "bench", "driver", "--via",
             "vhost-user:" + path, "--mode", OUR_DRIVER[direction], "--seconds", seconds, "--size",
             size, "--features", MODES[mode][1], "--json"], timeout=60)
        return json.loads(done.stdout)["mpps"]

    def dpdk_driver(self, path, size, mode, direction, seconds):
        with self.testpmd.Testpmd("driver", path, DPDK_DRIVER[direction], MODES[mode][0],
                                  size) as driver:
            driver.wait_ready().start()
            field = "tx_packets" if direction == TO_DEVICE else "rx_packets"
            measured = self.rate(lambda: driver.statistics()[field], seconds)
            driver.stop()
            driver.quit()
        return measured

    def device(self, kind, path, size, direction):
        """The device's process."""
        if kind == "dpdk":
            return self.testpmd.Testpmd("device", path, DPDK_DEVICE[direction], packet_size=size)
        backend = OUR_DEVICE[direction]
        return self.vioduct.Device(
            ["--socket-path", path, "--backend", backend % size if "%" in backend else backend] +
            (["--mtu", size - 14] if size > 1518 else []),
            prefix=["taskset", "-c", str(self.cpus[1])])

    def measure(self, size, mode, direction, combination, seconds):
        driver, device = combination.split("/")
        directory = self.paths.scratch()
        path = os.path.join(directory, "s")
        try:
            with self.device(device, path, size, direction) as serving:
                if device == "dpdk":
                    serving.wait_ready().start()
                else:
                    serving.wait_listening()
                run = self.our_driver if driver == "ours" else self.dpdk_driver
                mpps = run(path, size, mode, direction, seconds)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if mpps <= 0:
            raise LeftOut("no frame arrived")
        return mpps


def cells(options):
    peers = Peers()

    def cell(*key):
        return Cell(PART, "%d %s, %s, %s" % key,
                    lambda: {key: peers.measure(*key, options.seconds)})

    return [cell(size, mode, direction, combination)
            for size in options.peer_sizes for mode in options.modes
            for direction in options.directions for combination in COMBINATIONS]
