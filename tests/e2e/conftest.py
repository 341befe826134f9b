# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the end-to-end tests.

    /usr/bin/python3 -m pytest tests/e2e

VIODUCT                 the program under test (default build/vioduct)
VIO_E2E_LONG=1          also the long runs: 60 s of iperf3, 10^7 frames
VIO_E2E_REFERENCE=qemu  the guest tests against QEMU's own back ends instead of ours
VIO_E2E_PATIENCE=N      multiplies every limit, for slow machines
VIO_GUEST_DIR           where the guest image is kept (default: beside the program)
"""

import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import paths  # noqa: E402
from lib.guest import Image  # noqa: E402


def end_in_order(*unused):
    """Ended from outside, the fixtures still remove what they made; timeout(1) signals twice."""
    signal.signal(signal.SIGTERM, lambda *unused: None)
    raise KeyboardInterrupt


def pytest_configure(config):
    signal.signal(signal.SIGTERM, end_in_order)
    config.addinivalue_line("markers", "long: runs only with VIO_E2E_LONG=1")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "long" in item.keywords and not paths.LONG:
            item.add_marker(pytest.mark.skip(reason="a long run: VIO_E2E_LONG=1"))


@pytest.fixture(autouse=True, scope="session")
def program():
    """A missing peer is a reason to skip; a missing program is a failure."""
    assert paths.REFERENCE or os.access(paths.VIODUCT, os.X_OK), "no program at " + paths.VIODUCT


@pytest.fixture
def ours():
    if paths.REFERENCE:
        pytest.skip("about our program only")


@pytest.fixture(scope="session")
def image():
    return Image()


@pytest.fixture
def scratch():
    directory = paths.scratch()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
