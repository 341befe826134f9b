# SPDX-License-Identifier: BSD-2-Clause
"""A guest on a network, through our device or (VIO_E2E_REFERENCE=qemu) through QEMU's own back
end, and what the tests ask of both.

UserRig: the user-mode network; the far side is this machine's loopback at 10.0.2.2.

TapRig: the tap's namespace `near` has 10.77.0.1 and routes to the namespace `far`, 10.78.0.2, over
a veth pair. The veth's near end has its offloads off, so that what leaves towards `far` is what a
wire would carry: segments no larger than the MTU, every checksum finished. A capture in `far` then
shows whether the offload requests that came through our device were right.
"""

import os
import shutil

from . import netns, paths, traffic
from .guest import DHCP, Guest, pairs_of, qemu_tap, qemu_user, vhost_user
from .vioduct import Device, new_drops

GUEST_MAC = "52:54:00:12:34:56"


class Rig:
    form = "modern"
    device = None
    guest = None

    def _start_guest(self, image, network, **options):
        self.guest = Guest(image, network, form=self.form, mac=GUEST_MAC,
                           directory=self.directory, **options)
        self.guest.wait_ready()

    def snapshot(self):
        """Counters of our device; None with QEMU's own back end, which has none to show."""
        return self.device.snapshot() if self.device else None

    def check_minute(self, server, address, reverse):
        """A minute of TCP, in which our device drops nothing."""
        before = self.snapshot()
        rate, _ = traffic.iperf3(self.guest, server, address, 60, reverse)
        after = self.snapshot()
        print("%s %s: %.2f Gbit/s"
              % (self.form, "to guest" if reverse else "from guest", rate / 1e9))
        assert rate > 0
        if before:
            assert new_drops(before, after) == {}

    def close(self):
        if self.guest:
            self.guest.end()
        if self.device:
            self.device.end()
        shutil.rmtree(self.directory, ignore_errors=True)


class UserRig(Rig):
    far = "10.0.2.2"
    lease = None  # what configure() was told

    def __init__(self, image, form, reference=paths.REFERENCE, device_options=()):
        self.form = form
        self.directory = paths.scratch()
        self.forwarded_port = traffic.free_port()
        try:
            if reference:
                network = qemu_user((self.forwarded_port, 8080))
            else:
                path = os.path.join(self.directory, "s")
                self.device = Device(
                    ["--socket-path", path, "--backend",
                     "user,hostfwd=tcp:127.0.0.1:%d-10.0.2.15:8080" % self.forwarded_port,
                     "--mac", GUEST_MAC, "--queue-pairs", pairs_of(form)] + list(device_options))
                self.device.wait_listening()
                network = vhost_user(path, pairs_of(form))
            self._start_guest(image, network)
        except BaseException:
            self.close()
            raise

    def configure(self):
        """The guest's address by DHCP."""
        self.lease = self.guest.run(DHCP, timeout=40)


class TapRig(Rig):
    near = "10.77.0.1"
    far = "10.78.0.2"
    guest_address = "10.77.0.2"
    tap = "vtap0"

    def __init__(self, image, form, reference=paths.REFERENCE, device_options=(), memory=256):
        paths.root_needed("a tap in a network namespace")
        if not os.path.exists("/dev/net/tun"):
            import pytest
            pytest.skip("no /dev/net/tun")
        paths.tool("ethtool")
        self.form = form
        self.directory = paths.scratch()
        self.namespaces = []
        try:
            self.inside = netns.Namespace()
            self.namespaces.append(self.inside)
            self.outside = netns.Namespace()
            self.namespaces.append(self.outside)
            self._cable()
            if reference:
                self._start_guest(image, qemu_tap(self.tap, pairs_of(form)), netns=self.inside,
                                  memory=memory)
                self._join_tap()
            else:
                path = os.path.join(self.directory, "s")
                self.device = Device(
                    ["--socket-path", path, "--backend", "tap,name=" + self.tap,
                     "--mac", GUEST_MAC, "--queue-pairs", pairs_of(form)] + list(device_options),
                    netns=self.inside)
                self.device.wait_listening()
                self._join_tap()
                self._start_guest(image, vhost_user(path, pairs_of(form)), memory=memory)
        except BaseException:
            self.close()
            raise

    def _cable(self):
        self.inside.veth("vnear", self.outside, "vfar")
        self.inside.address("vnear", "10.78.0.1/24")
        self.outside.address("vfar", self.far + "/24")
        self.outside.run(["ip", "route", "add", "default", "via", "10.78.0.1"])
        self.inside.sysctl("net/ipv4/ip_forward", "1")
        for namespace, interface in ((self.inside, "vnear"), (self.outside, "vfar")):
            namespace.run(["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off",
                           "gro", "off"])

    def _join_tap(self):
        traffic.wait_for_interface(self.inside, self.tap)
        self.inside.address(self.tap, self.near + "/24")

    def configure(self):
        self.guest.run("ip address add %s/24 dev eth0 && ip link set eth0 up && "
                       "ip route add default via %s" % (self.guest_address, self.near))

    def mtu(self, size):
        for namespace, interface in ((self.inside, self.tap), (self.inside, "vnear"),
                                     (self.outside, "vfar")):
            namespace.mtu(interface, size)
        self.guest.run("ip link set eth0 mtu %d" % size)

    def ping_from_near(self, count=3, size=56):
        """The namespace's own kernel pings the guest."""
        done = self.inside.run([paths.tool("busybox"), "ping", "-c", count, "-W", "2", "-s", size,
                                self.guest_address], check=False)
        assert done.returncode == 0 and " 0% packet loss" in done.stdout, done.stdout

    def close(self):
        super().close()
        for namespace in self.namespaces:
            namespace.remove()


def configured(rig):
    """For a fixture: a rig that is configured, and closed at the end."""
    try:
        rig.configure()
        yield rig
    finally:
        rig.close()


def ping(guest, address, count=3, size=56, wait=2):
    """Pings from the guest; every one must be answered."""
    output, status = guest.result(guest.start(
        "ping -c %d -W %d -s %d %s" % (count, wait, size, address)), count + 30)
    assert status == 0 and " 0% packet loss" in output, output
