# SPDX-License-Identifier: BSD-2-Clause
"""What many queue pairs cost, and many ports.

Pairs: the same two cores serve 1 to 16 of them, in turns (turns.py); a frame must not cost more.
Ports: one process serves 1 to 64 devices, each with a driver that has brought its queues up and then
fallen silent (it is stopped, so that it takes nothing from the machine). An idle port may cost
memory only: processor time, context switches and system calls of the process are counted over some
seconds. A thread that never switches makes no system call that waits; strace, where it is, sees the
others. Memory is the anonymous part of Pss: program text is shared with every process that runs it,
and the guest's memory is the guest's.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import own
from children import Device, Driver, wait_for
from measure import LeftOut, one_line
from turns import Contender, Group

QUEUES = "queues"
FIELDS = ("pairs", "direction")
PAIRS = (1, 2, 4, 8, 16)
PORTS = (1, 8, 64)


# ---- Queue pairs ------------------------------------------------------------------------------

def queue_groups(options):
    cores = own.two_cores("queue pairs")

    def contender(pairs, direction):
        return Contender("%d pairs" % pairs, (pairs, direction), lambda stack: own.start_halves(
            stack, options.vioduct, cores, direction, 64, pairs))

    return [Group(QUEUES, direction, [contender(pairs, direction) for pairs in PAIRS])
            for direction in own.WAYS]


# ---- Idle ports -------------------------------------------------------------------------------

def read(path):
    with open(path) as file:
        return file.read()


def processor_seconds(pid):
    fields = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid):
    """Context switches of all threads."""
    return sum(int(count) for thread in os.listdir("/proc/%d/task" % pid)
               for count in re.findall(r"ctxt_switches:\s+(\d+)",
                                       read("/proc/%d/task/%s/status" % (pid, thread))))


def memory(pid):
    """KiB of anonymous memory."""
    return int(re.search(r"^Pss_Anon:\s+(\d+) kB", read("/proc/%d/smaps_rollup" % pid),
                         re.M).group(1))


def system_calls(pid, seconds):
    """How many calls the process makes in so long, or None without strace. Being traced interrupts
    what waits, so the count begins when that is over."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile("r", prefix="vio-bench-") as log:
        tracer = subprocess.Popen(["strace", "-f", "-q", "-o", log.name, "-p", str(pid)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: tracer.poll() is not None or all(
                "TracerPid:\t%d\n" % tracer.pid in
                read("/proc/%d/task/%s/status" % (pid, thread))
                for thread in os.listdir("/proc/%d/task" % pid)), "strace")
            time.sleep(0.5)
            before = len(log.read().splitlines())
            time.sleep(seconds)
            after = before + len(log.read().splitlines())
        finally:
            tracer.send_signal(signal.SIGINT)
            said = tracer.communicate()[1]
    if "attach" in said and "Operation not permitted" in said:
        return None
    return after - before


@contextlib.contextmanager
def silent_drivers(options, device):
    """Our drivers on every port of a device, each stopped once its queues are up."""
    with contextlib.ExitStack() as drivers:
        for number, path in enumerate(device.sockets):
            driver = drivers.enter_context(Driver(options.vioduct, path, "rxonly"))
            # A driver's first kick comes when all else is done.
            wait_for(lambda: device.counters()[number]["queues"][0]["rx"]["kicks"] > 0,
                     "a driver on port %d" % number)
            driver.process.send_signal(signal.SIGSTOP)
        yield


def idle(options, ports, seconds):
    """{what: value} of a process with so many idle ports."""
    with Device(options.vioduct, [["--backend", "null"]] * ports) as device, \
            silent_drivers(options, device):
        time.sleep(0.5)
        spent, switched = processor_seconds(device.pid), switches(device.pid)
        time.sleep(seconds)
        return {
            "ports": ports,
            "seconds": seconds,
            "processor_seconds": processor_seconds(device.pid) - spent,
            "context_switches": switches(device.pid) - switched,
            "system_calls": system_calls(device.pid, seconds),
            "own_kib": memory(device.pid),
        }


def idle_ports(options, left_out, progress):
    """One row for each number of ports; own_kib_each compares with the first."""
    rows = []
    for ports in PORTS[:2] if options.quick else PORTS:
        progress.show("%d idle ports" % ports)
        try:
            row = idle(options, ports, 1 if options.quick else 3)
        except (LeftOut, OSError, KeyError) as reason:
            left_out.append("%d idle ports: %s" % (ports, one_line(reason)))
            continue
        if rows and rows[0]["ports"] < ports:
            row["own_kib_each"] = ((row["own_kib"] - rows[0]["own_kib"]) /
                                   (ports - rows[0]["ports"]))
        rows.append(row)
    progress.clear()
    return rows
