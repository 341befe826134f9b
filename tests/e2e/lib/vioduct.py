# SPDX-License-Identifier: BSD-2-Clause
"""The program under test."""

import json
import os
import re
import signal

from . import paths
from .process import Process, run


class Counters:
    """What a device process printed about itself: {"devices": [{"socket", "connections",
    "disconnects", "queues": [{"pair", "rx": {...}, "tx": {...}}]}]}."""

    def __init__(self, document):
        self.document = document
        self.devices = document["devices"]

    def total(self, direction, field, device=0):
        """Sum over the queues; directions as the driver names them (rx: into the guest)."""
        return sum(queue[direction][field] for queue in self.devices[device]["queues"])

    def per_queue(self, direction, field, device=0):
        return [queue[direction][field] for queue in self.devices[device]["queues"]]

    def drops(self, device=0):
        """{"rx reason": n} of all that is not zero."""
        found = {}
        for queue in self.devices[device]["queues"]:
            for direction in ("rx", "tx"):
                for reason, count in queue[direction]["drops"].items():
                    if count:
                        key = "%s %s" % (direction, reason)
                        found[key] = found.get(key, 0) + count
        return found


def new_drops(before, after, device=0):
    """The drops of a time between two snapshots."""
    earlier = before.drops(device)
    return {key: count - earlier.get(key, 0) for key, count in after.drops(device).items()
            if count != earlier.get(key, 0)}


class Device:
    """A running `vioduct device`. `descriptions` is one list of options, or several for several
    devices in one process; each names its --socket-path."""

    def __init__(self, *descriptions, netns=None, prefix=(), options=(), pass_fds=(), log=None):
        arguments = list(prefix) + [paths.VIODUCT, "device", "--json"] + list(options)
        self.sockets = []
        for number, description in enumerate(descriptions):
            if number:
                arguments.append("--")
            description = [str(word) for word in description]
            arguments += description
            if "--socket-path" in description:
                self.sockets.append(description[description.index("--socket-path") + 1])
        self.process = Process(arguments, netns=netns, log=log, pass_fds=pass_fds)
        self.counters = None
        self._read = 0

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.end()

    @property
    def pid(self):
        return self.process.pid

    def wait_listening(self, timeout=10):
        """Until every socket is served (with --client: is sought). Signals are heeded from then."""
        for path in self.sockets:
            self.process.wait_for(r"^(listening on|connecting to) %s$" % re.escape(path), timeout,
                                  "stderr")
        return self

    def snapshot(self):
        """The counters now, without ending (SIGUSR1)."""
        self.process.signal(signal.SIGUSR1)
        return self._next_object()

    def stop(self, timeout=10):
        """SIGTERM: drains, prints its counters, exits 0."""
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        assert status == 0, "vioduct device: exit %s\n%s" % (status, self.process.stderr.text)
        self.counters = self._next_object()
        return self.counters

    def _next_object(self):
        decoder = json.JSONDecoder()

        def parse(text):
            rest = text[self._read:]
            skipped = len(rest) - len(rest.lstrip())
            try:
                document, end = decoder.raw_decode(rest.lstrip())
            except ValueError:
                return None
            return document, self._read + skipped + end

        document, self._read = self.process.stdout.wait(parse, 10, "counters as JSON")
        return Counters(document)

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.end()


def remove_socket(path):
    """What a killed process leaves behind."""
    if os.path.exists(path):
        os.unlink(path)


def tool(arguments, timeout=60, check=True, netns=None):
    """Run a subcommand with --json; returns the document that it printed."""
    done = run([paths.VIODUCT] + [str(word) for word in arguments] + ["--json"],
               timeout=timeout, check=check, netns=netns)
    return json.loads(done.stdout)


def ping(path, target, count=5, server=False, address=None, check=True, timeout=60):
    """`vioduct ping`: our driver on a vhost-user socket."""
    arguments = ["ping", "--via", "vhost-user:" + path, "-c", count]
    if server:
        arguments.append("--server")
    if address:
        arguments += ["--address", address]
    return tool(arguments + [target], timeout=timeout, check=check)


def bench_driver(path, mode, frames, size=64, verify=False, server=False, timeout=120,
                 features=""):
    """`vioduct bench driver`: our driver, counting and checking."""
    via = "vhost-user:" + path + (",server" if server else "")
    arguments = ["bench", "driver", "--via", via, "--mode", mode, "--frames", frames,
                 "--size", size]
    if verify:
        arguments.append("--verify")
    if features:
        arguments += ["--features", features]
    return tool(arguments, timeout=timeout)
