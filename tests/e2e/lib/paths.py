# SPDX-License-Identifier: BSD-2-Clause
"""Where things are, and what this machine has."""

import os
import shutil
import tempfile

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
VIODUCT = os.path.abspath(os.environ.get("VIODUCT", os.path.join(ROOT, "build", "vioduct")))

# The same tests against QEMU's own back ends instead of ours: tells a fault of the program from
# a fault of the test or of the machine.
REFERENCE = os.environ.get("VIO_E2E_REFERENCE", "") == "qemu"
LONG = os.environ.get("VIO_E2E_LONG", "") not in ("", "0")

# Machines that emulate a processor while something else builds can be slow: every limit in these
# tests is a multiple of this.
PATIENCE = float(os.environ.get("VIO_E2E_PATIENCE", "1"))

os.environ["PATH"] += ":/usr/sbin:/sbin"


def tool(name):
    """The path of a program, or the test is skipped with its name."""
    path = shutil.which(name)
    if path is None:
        pytest.skip("%s is not installed" % name)
    return path


def root_needed(why):
    if os.geteuid() != 0:
        pytest.skip("needs root: %s" % why)


def guest_directory():
    """Where the guest image is kept between runs: beside the program, in the build directory."""
    chosen = os.environ.get("VIO_GUEST_DIR")
    if chosen:
        return chosen
    return os.path.join(os.path.dirname(VIODUCT), "guest")


def scratch():
    """A directory whose path is short enough for a socket's name (108 bytes)."""
    return tempfile.mkdtemp(prefix="vio-e2e-", dir="/tmp")


def cpus():
    return sorted(os.sched_getaffinity(0))
