# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's testpmd as the other half: its virtio-user driver against our device, its vhost device
under our driver. It is driven by commands on its standard input.

Needs root and hugepages, which are reserved where the machine has room for them, and given back when
the tests end.
"""

import atexit
import contextlib
import glob
import os
import re
import shutil

import pytest

from . import paths
from .process import Process, run

PAGE_MIB = 2
WANTED_PAGES = 1024
PAGES_FILE = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
FREE_FILE = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
MOUNT = "/dev/hugepages"
MEMORY_MIB = 256


def hugepages(needed=MEMORY_MIB):
    """Mount hugetlbfs and reserve up to WANTED_PAGES; fewer where memory is short, but as many MiB
    as are needed."""
    paths.root_needed("testpmd's hugepages")
    paths.tool("dpdk-testpmd")
    if len(paths.cpus()) < 2:
        pytest.skip("testpmd needs two cores")
    if not os.path.exists(PAGES_FILE):
        pytest.skip("this kernel has no 2 MiB pages")
    os.makedirs(MOUNT, exist_ok=True)
    if not os.path.ismount(MOUNT):
        if run(["mount", "-t", "hugetlbfs", "none", MOUNT], check=False).returncode != 0:
            pytest.skip("hugetlbfs cannot be mounted here")
        atexit.register(run, ["umount", MOUNT], check=False)
    have = _pages()
    if have < WANTED_PAGES:
        atexit.register(_reserve, have)
        # A quarter of what is free at most: the rest of the machine needs some too.
        affordable = have + _available_mib() // 4 // PAGE_MIB
        _reserve(min(WANTED_PAGES, affordable))
    if _pages() * PAGE_MIB < needed:
        pytest.skip("%d pages of 2 MiB are too few for testpmd" % _pages())


def _reserve(pages):
    with open(PAGES_FILE, "w") as handle:
        handle.write(str(pages))


def _pages(file=PAGES_FILE):
    with open(file) as handle:
        return int(handle.read())


def free_mib():
    """Of huge pages that nobody uses."""
    return _pages(FREE_FILE) * PAGE_MIB


def _available_mib():
    with open("/proc/meminfo") as handle:
        return int(re.search(r"MemAvailable:\s+(\d+)", handle.read()).group(1)) // 1024


def forget(prefix):
    """Removes what a DPDK process leaves under its name when it has ended: two megabytes, and its
    huge pages if somebody had to end it."""
    shutil.rmtree(os.path.join("/var/run/dpdk", prefix), ignore_errors=True)
    for path in glob.glob(os.path.join(MOUNT, prefix + "map_*")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


class Testpmd:
    """One testpmd with one port, for frames of up to frame_max bytes. Sockets: it connects as a
    driver, listens as a device, and the other way round with server=1 or client=1 among the
    options. `eal`: further options of DPDK itself."""

    __test__ = False
    _number = 0

    def __init__(self, role, path, mode="io", queue_options="", packet_size=64, log=None,
                 descriptors=1024, pairs=1, frame_max=1518, eal=()):
        cores = paths.cpus()[:2]
        if role == "driver":
            cores.reverse()
            device = "net_virtio_user0,path=%s,queues=%d,queue_size=%d" % (path, pairs,
                                                                                  descriptors)
        else:
            device = "net_vhost0,iface=%s,queues=%d" % (path, pairs)
        if queue_options:
            device += "," + queue_options
        Testpmd._number += 1
        prefix = "vio%d-%d" % (os.getpid(), Testpmd._number)
        self.prefix = prefix
        self.role = role
        # Line-buffered, so that what it says is seen when it says it.
        self.process = Process(
            ["stdbuf", "-oL", "dpdk-testpmd", "-l", "%d,%d" % tuple(cores),
             "--main-lcore", cores[0], "--file-prefix", prefix, "-m", MEMORY_MIB, "--no-pci",
             "--single-file-segments", *eal, "--vdev", device, "--", "-i", "--nb-cores=1",
             "--txd=%d" % descriptors, "--rxd=%d" % descriptors, "--rxq=%d" % pairs,
             "--txq=%d" % pairs, "--txpkts=%d" % packet_size, "--forward-mode=" + mode]
            + self._buffers(frame_max), log=log)

    @staticmethod
    def _buffers(frame_max):
        """Each holds a frame: without merging, DPDK's driver posts nothing else."""
        if frame_max <= 1518:
            return ["--total-num-mbufs=32768"]
        return ["--total-num-mbufs=8192", "--max-pkt-len=%d" % frame_max,
                "--mbuf-size=%d" % (frame_max + 256)]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def wait_ready(self):
        """Until it takes commands: a driver has then negotiated with its device."""
        self.process.say("show config fwd\n")
        self.process.wait_for(r"packet forwarding - ports=", 30)
        return self

    def wait_link(self, timeout=30):
        """Device: until a driver has brought the queues up."""
        assert self.role == "device"
        self.process.wait_for(r"virtio is now ready for processing", timeout, "stderr")

    def command(self, text, pattern, timeout=20):
        start = len(self.process.stdout.text)
        self.process.say(text + "\n")
        return self.process.wait_for(pattern, timeout, start=start)

    def start(self, mode=None, first=False):
        if mode:
            self.command("set fwd " + mode, r"Set %s packet forwarding mode" % mode)
        self.command("start tx_first" if first else "start", r"packets/burst=")

    def stop(self):
        """Stop forwarding; returns the statistics."""
        self.command("stop", r"Accumulated forward statistics.*\n.*\n.*\n.*\n(?:.*\n)*?Done\.")
        return self.statistics()

    def statistics(self):
        found = self.command("show port stats 0", r"RX-packets: (\d+) +RX-missed: (\d+) +"
                             r"RX-bytes: +(\d+)\s+RX-errors: (\d+)\s+RX-nombuf: +(\d+)\s+"
                             r"TX-packets: (\d+) +TX-errors: (\d+) +TX-bytes: +(\d+)")
        names = ("rx_packets", "rx_missed", "rx_bytes", "rx_errors", "rx_nombuf", "tx_packets",
                 "tx_errors", "tx_bytes")
        return dict(zip(names, map(int, found.groups())))

    def quit(self):
        """An orderly end: the driver hands back its queues, the device closes its socket."""
        self.process.say("quit\n")
        assert self.process.wait(30) == 0, self.process.stderr.text

    def kill(self):
        self.process.kill()

    def end(self):
        if self.process.running():
            try:
                self.process.say("quit\n")
                self.process.wait(5)
            except AssertionError:
                pass
        self.process.end()
        forget(self.prefix)
