# SPDX-License-Identifier: BSD-2-Clause
"""What many queue pairs cost, and many ports.

Pairs: the same two cores serve 1 to 16 of them; a frame must not cost more. Ports: one process
serves 1 to 64 devices, each with a driver that has brought its queues up and then fallen silent
(it is stopped, so that it takes nothing from the machine). An idle port may cost memory only:
processor time, context switches and system calls of the process are counted over some seconds. A
thread that never switches makes no system call that waits; strace, where it is, sees the others.
Memory is the anonymous part of Pss: program text is shared with every process that runs it, and the
guest's memory is the guest's.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from measure import MAC, Cell, LeftOut, one_line, run_json

QUEUES = "queues"
FIELDS = ("pairs", "direction")
PAIRS = (1, 2, 4, 8, 16)
PORTS = (1, 8, 64)
DIRECTIONS = {"driver to device": ("txonly", "null,read=on"),
              "device to driver": ("rxonly", "source,size=64")}
PATIENCE = 30  # seconds to wait for anything

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For children: nobody else would end one that is stopped."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A `vioduct device` of ours, with a socket for each of its devices."""

    def __init__(self, options, descriptions, core=None):
        self.directory = tempfile.mkdtemp(prefix="vio-bench-", dir="/tmp")
        self.sockets = []
        arguments = [] if core is None else ["taskset", "-c", str(core)]
        arguments += [options.vioduct, "device", "--json", "--workers", "1"]
        for number, description in enumerate(descriptions):
            self.sockets.append(os.path.join(self.directory, "s%d" % number))
            arguments += ["--"] if number else []
            arguments += ["--socket-path", self.sockets[-1], *map(str, description)]
        self.log = open(os.path.join(self.directory, "log"), "w+")
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=die_with_parent)
        self.pid = self.process.pid

    def __enter__(self):
        wait_for(lambda: self.said().count("listening on") == len(self.sockets) or self.ended(),
                 "the devices to listen")
        return self

    def said(self):
        with open(self.log.name) as file:
            return file.read()

    def ended(self):
        if self.process.poll() is not None:
            raise LeftOut("vioduct device: " + one_line(self.said()))

    def counters(self):
        """What it counts, by device (SIGUSR1)."""
        self.process.send_signal(signal.SIGUSR1)
        text = self.process.stdout.readline()
        while True:
            try:
                return json.loads(text)["devices"]
            except ValueError:
                line = self.process.stdout.readline()
                if not line:
                    raise LeftOut("vioduct device gives no counters") from None
                text += line

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def wait_for(condition, what):
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise LeftOut("waited in vain for " + what)
        time.sleep(0.01)


# ---- Queue pairs ------------------------------------------------------------------------------

def queue_cells(options):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise LeftOut("queue pairs: one core only")

    def measure(pairs, direction):
        mode, backend = DIRECTIONS[direction]
        device = ["--backend", backend, "--queue-pairs", pairs, "--mac", MAC]
        with Server(options, [device], cores[1]) as server:
            done = run_json(["taskset", "-c", cores[0], options.vioduct, "bench", "driver",
                             "--via", "vhost-user:" + server.sockets[0], "--mode", mode,
                             "--seconds", options.seconds, "--queue-pairs", pairs, "--json"])
        return {(pairs, direction): done["mpps"]}

    def cell(pairs, direction):
        return Cell(QUEUES, "%d pairs, %s" % (pairs, direction),
                    lambda: measure(pairs, direction))

    return [cell(pairs, direction) for pairs in PAIRS for direction in DIRECTIONS]


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


class Silent:
    """Our drivers on every port of a server, each stopped once its queues are up."""

    def __init__(self, options, server):
        self.options, self.server, self.drivers = options, server, []

    def __enter__(self):
        try:
            for number, path in enumerate(self.server.sockets):
                self.drivers.append(subprocess.Popen(
                    [self.options.vioduct, "bench", "driver", "--via", "vhost-user:" + path,
                     "--mode", "rxonly", "--seconds", "3600", "--patience", "3600"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, preexec_fn=die_with_parent))
                # A driver's first kick comes when all else is done.
                wait_for(lambda: self.server.counters()[number]["queues"][0]["rx"]["kicks"] > 0,
                         "a driver on port %d" % number)
                self.drivers[-1].send_signal(signal.SIGSTOP)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for driver in self.drivers:
            driver.kill()
            driver.wait()


def idle(options, ports, seconds):
    """{what: value} of a process with so many idle ports."""
    with Server(options, [["--backend", "null"]] * ports) as server, Silent(options, server):
        time.sleep(0.5)
        spent, switched = processor_seconds(server.pid), switches(server.pid)
        time.sleep(seconds)
        return {
            "ports": ports,
            "seconds": seconds,
            "processor_seconds": processor_seconds(server.pid) - spent,
            "context_switches": switches(server.pid) - switched,
            "system_calls": system_calls(server.pid, seconds),
            "own_kib": memory(server.pid),
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
