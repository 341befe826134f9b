# SPDX-License-Identifier: BSD-2-Clause
"""Our own two halves, and the limit of two cores, as processes that are asked, while they run, what
they have counted.

Each question is a SIGUSR1, each answer a line of JSON with the time at which it was true ("ns", the
monotonic clock), so it does not matter how soon the answer comes. A child dies with its parent, also
one that is stopped.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from measure import LeftOut, one_line

PATIENCE = 30  # seconds to wait for anything
AGAIN = 0.05  # seconds after which somebody is asked again who may not have listened
FOR_EVER, AN_HOUR = 86400, 3600

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For children: nobody else would end one that is stopped."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prepare():
    die_with_parent()
    # Nobody is to die of a question that comes before it listens.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def wait_for(condition, what):
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise LeftOut("waited in vain for " + what)
        time.sleep(0.01)


class Child:
    """A process that answers SIGUSR1. Use as a context manager."""

    def __init__(self, name, arguments, core=None):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="vio-bench-", dir="/tmp")
        self._log = os.path.join(self.directory, "log")
        self._text = b""
        pinned = [] if core is None else ["taskset", "-c", core]
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(
                [str(word) for word in [*pinned, *arguments(self.directory)]],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, preexec_fn=_prepare)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.directory, ignore_errors=True)

    def said(self):
        """On standard error."""
        with open(self._log) as file:
            return file.read()

    def check(self):
        if self.process.poll() is not None:
            raise LeftOut("%s: %s" % (self.name, one_line(self.said() or "it ended")))

    def _line(self, seconds):
        """The next line of standard output, or None when there is none within so long."""
        limit = time.monotonic() + seconds
        while b"\n" not in self._text:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                self.process.wait(PATIENCE)
                self.check()
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line

    def ask(self):
        """What it has counted by now."""
        asked = time.monotonic_ns()
        while time.monotonic_ns() - asked < PATIENCE * 1e9:
            self.process.send_signal(signal.SIGUSR1)
            line = self._line(AGAIN)
            while line is not None:
                try:
                    answer = json.loads(line)
                except ValueError:
                    raise LeftOut("%s says: %s" % (self.name, one_line(
                        self.said() or line.decode(errors="replace")))) from None
                # Not to a question of before that was asked twice.
                if answer["ns"] >= asked:
                    return answer
                line = self._line(AGAIN)
        raise LeftOut("%s gives no counters" % self.name)


class Device(Child):
    """`vioduct device`, with a socket for each of its devices."""

    def __init__(self, vioduct, descriptions, core=None):
        self.sockets = []

        def arguments(directory):
            words = [vioduct, "device", "--json", "--workers", "1"]
            for number, description in enumerate(descriptions):
                self.sockets.append(os.path.join(directory, "s%d" % number))
                words += ["--"] if number else []
                words += ["--socket-path", self.sockets[-1], *description]
            return words

        super().__init__("vioduct device", arguments, core)

    def __enter__(self):
        try:
            wait_for(self._listening, "the devices to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _listening(self):
        self.check()
        return self.said().count("listening on") == len(self.sockets)

    def counters(self):
        """What it counts, by device."""
        return self.ask()["devices"]


class Answering(Child):
    """A subject of `vioduct bench` that goes on for as long as anybody wants to know."""

    def __init__(self, vioduct, *words, core=None):
        super().__init__("vioduct bench " + words[0], lambda _: [vioduct, "bench", *words], core)

    def count(self, field):
        """A count, and when it was that."""
        answer = self.ask()
        return answer[field], answer["ns"]


class Driver(Answering):
    """Our driver, on a device's socket."""

    def __init__(self, vioduct, path, mode, *options, core=None):
        super().__init__(vioduct, "driver", "--via", "vhost-user:" + path, "--mode", mode,
                         "--seconds", FOR_EVER, "--patience", FOR_EVER, *options, core=core)


class Limit(Answering):
    """Two cores, the first two there are, that hand over frames of a size and do nothing else."""

    def __init__(self, vioduct, kind, size):
        super().__init__(vioduct, "limit", "--kind", kind, "--size", size, "--rounds", 24,
                         "--seconds", AN_HOUR)
