# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest in QEMU whose shell the test drives over the serial console.

One boot serves many commands: the guest's init reads `ID COMMAND` lines and answers between
markers (tests/guest/init). The processor is emulated, so a guest runs everywhere; it is slow, and
the limits are wide. The network device always has vectors=0: QEMU 7.2 crashes in its MSI-X masks
when a vhost-user device starts on an emulated processor.
"""

import json
import os
import re
import shutil
import socket

import pytest

from . import paths
from .process import Ended, Process, poll, run

BOOT_SECONDS = 90

# The guest's command that gets its address by DHCP and prints the lease.
DHCP = "udhcpc -i eth0 -n -q -t 10 -T 2 -s /usr/share/udhcpc/default.script"

# The forms in which a guest can see the device: what is set on virtio-net-pci.
FORMS = {
    "modern": {},
    "legacy": {"disable-modern": "on", "disable-legacy": "off"},
    "two-pairs": {"mq": "on"},
    "packed": {"packed": "on"},
    # No offload and no mergeable buffer: the guest makes and checks every checksum itself.
    "bare": {"csum": "off", "gso": "off", "guest_csum": "off", "guest_tso4": "off",
             "guest_tso6": "off", "guest_ecn": "off", "guest_ufo": "off", "host_tso4": "off",
             "host_tso6": "off", "host_ecn": "off", "host_ufo": "off", "mrg_rxbuf": "off"},
}


def pairs_of(form):
    return 2 if form == "two-pairs" else 1


class Image:
    """The guest's kernel and initramfs, built at first use."""

    def __init__(self):
        paths.tool("qemu-system-x86_64")
        built = run([os.path.join(paths.ROOT, "tests", "guest", "build.sh"),
                     paths.guest_directory()], check=False, timeout=300)
        if built.returncode != 0:
            pytest.skip(built.stderr.strip() or "the guest image could not be built")
        self.kernel, self.initramfs = built.stdout.split()


def vhost_user(path, pairs=1, server=False, reconnect=0):
    """QEMU's end of a vhost-user socket: it connects, or listens when `server`."""
    chardev = "socket,id=c0,path=%s" % path
    if server:
        chardev += ",server=on,wait=off"
    if reconnect:
        chardev += ",reconnect=%d" % reconnect
    netdev = "vhost-user,id=n0,chardev=c0"
    if pairs > 1:
        netdev += ",queues=%d" % pairs
    return ["-chardev", chardev, "-netdev", netdev]


def qemu_tap(name, pairs=1):
    """QEMU's own tap back end, data path in QEMU."""
    netdev = "tap,id=n0,ifname=%s,script=no,downscript=no,vhost=off" % name
    if pairs > 1:
        netdev += ",queues=%d" % pairs
    return ["-netdev", netdev]


def qemu_user(forward=None):
    """QEMU's own user-mode network; forward is (host port, guest port)."""
    netdev = "user,id=n0"
    if forward:
        netdev += ",hostfwd=tcp:127.0.0.1:%d-10.0.2.15:%d" % forward
    return ["-netdev", netdev]


class Guest:
    def __init__(self, image, network, form="modern", mac="52:54:00:12:34:56", memory=256,
                 processors=None, netns=None, directory=None, properties=None):
        self.directory = directory or paths.scratch()
        self._own_directory = directory is None
        self.qmp_path = os.path.join(self.directory, "qmp-%d" % id(self))
        self.console_log = os.path.join(self.directory, "console.log")
        self._next = 0
        self._qmp = None
        device = dict(FORMS[form], **(properties or {}))
        if form == "packed" and not _has_property("packed"):
            pytest.skip("this QEMU has no packed rings")
        text = "virtio-net-pci,netdev=n0,mac=%s,romfile=,vectors=0" % mac
        text += "".join(",%s=%s" % pair for pair in sorted(device.items()))
        self.process = Process(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
             "-machine", "q35,accel=tcg,memory-backend=m", "-cpu", "max",
             "-m", memory, "-smp", processors or pairs_of(form),
             "-object", "memory-backend-memfd,id=m,size=%dM,share=on" % memory]
            + network
            + ["-device", text, "-kernel", image.kernel, "-initrd", image.initramfs,
               "-append", "console=ttyS0 quiet panic=-1 rcupdate.rcu_expedited=1",
               "-serial", "stdio", "-monitor", "none", "-no-reboot",
               "-qmp", "unix:%s,server=on,wait=off" % self.qmp_path],
            netns=netns, log=self.console_log)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        """Until the modules are in; returns the list of the guest's interfaces."""
        try:
            found = self.process.wait_for(r"^@@ready (\S+) (.*)$", BOOT_SECONDS)
        except Ended:
            raise AssertionError("QEMU ended: status %s\n%s\n%s" % (
                self.process.wait(5), self.process.stderr.text, self.process.stdout.text))
        assert "@@insmod-failed" not in self.process.stdout.text, self.process.stdout.text
        return found.group(2).split()

    def start(self, command):
        """Send a command; returns its id for result()."""
        assert "\n" not in command and len(command) < 4000
        self._next += 1
        identity = "c%d" % self._next
        self.process.say("%s %s\n" % (identity, command))
        return identity

    def result(self, identity, timeout=60):
        """(output, status) of a command."""
        pattern = re.compile(r"^@@begin %s\n(.*?)\n?^@@end %s (\d+)$" % (identity, identity),
                             re.M | re.S)

        def done(text):
            # The kernel's tty may add a carriage return before each newline.
            return pattern.search(text.replace("\r", ""))

        found = self.process.stdout.wait(done, timeout, "result of the guest's command")
        return found.group(1), int(found.group(2))

    def run(self, command, timeout=60, check=True):
        """Run a command in the guest and return what it printed."""
        output, status = self.result(self.start(command), timeout)
        if check and status != 0:
            raise AssertionError("guest: %s: exit %d\n%s" % (command, status, output))
        return output

    def succeeds(self, command, timeout=60):
        return self.result(self.start(command), timeout)[1] == 0

    def qmp(self, command, **arguments):
        """One command to QEMU's own monitor."""
        if self._qmp is None:
            poll(lambda: os.path.exists(self.qmp_path), 10, "no QMP socket")
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.qmp_path)
            self._qmp = connection.makefile("rw")
            self._qmp.readline()
            self._ask({"execute": "qmp_capabilities"})
        return self._ask({"execute": command, "arguments": arguments})

    def _ask(self, message):
        self._qmp.write(json.dumps(message) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "return" in answer or "error" in answer:
                assert "error" not in answer, answer
                return answer["return"]

    def poweroff(self):
        """The guest ends by itself, its driver having had the time to."""
        if self.process.running():
            self.process.say("z ip link set eth0 down; poweroff -f\n")
            assert self.process.wait(30) == 0

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.end()
        if self._qmp:
            self._qmp.close()
            self._qmp = None
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def _has_property(name):
    shown = run(["qemu-system-x86_64", "-device", "virtio-net-pci,help"], check=False).stdout
    return re.search(r"^\s+%s=" % name, shown, re.M) is not None
