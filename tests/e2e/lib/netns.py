# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces: made with random names, so that runs side by side do not meet, and removed
with everything in them."""

import os
import secrets

import pytest

from . import paths
from .process import run


class Namespace:
    def __init__(self):
        paths.root_needed("network namespaces")
        paths.tool("ip")
        self.name = "vio-" + secrets.token_hex(4)
        run(["ip", "netns", "add", self.name])
        entered = self.run(["true"], check=False)
        if entered.returncode:
            # A container may give us root and yet no mounts.
            self.remove()
            pytest.skip("network namespaces can't be entered: " + entered.stderr.strip())
        self.run(["ip", "link", "set", "lo", "up"])
        # Router solicitations and the like would be counted among a test's own frames.
        for which in ("all", "default"):
            self.sysctl("net/ipv6/conf/%s/disable_ipv6" % which, "1")

    def __str__(self):
        return self.name

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.remove()

    def run(self, arguments, **options):
        return run(arguments, netns=self.name, **options)

    def sysctl(self, name, value):
        self.run(["sh", "-c", 'echo "$1" > "/proc/sys/$2"', "sysctl", value, name])

    def address(self, interface, address):
        self.run(["ip", "address", "add", address, "dev", interface])
        self.run(["ip", "link", "set", "dev", interface, "up"])

    def mtu(self, interface, size):
        self.run(["ip", "link", "set", "dev", interface, "mtu", size])

    def veth(self, mine, other, its):
        """A cable from this namespace's interface `mine` to the other namespace's `its`."""
        self.run(["ip", "link", "add", mine, "type", "veth", "peer", "name", its,
                  "netns", str(other)])

    def interface_exists(self, interface):
        return self.run(["ip", "link", "show", "dev", interface], check=False).returncode == 0

    def remove(self):
        if os.path.exists("/run/netns/%s" % self.name):
            run(["ip", "netns", "delete", self.name], check=False)
