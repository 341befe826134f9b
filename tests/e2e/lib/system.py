# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel tells about a running process."""

import os
import re
import time

import pytest

from . import paths
from .process import Process


def descriptors(pid):
    """What each open file descriptor refers to, sorted; numbers of sockets left out of account."""
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append(re.sub(r"\[\d+\]", "", os.readlink("/proc/%d/fd/%s" % (pid, name))))
        except FileNotFoundError:
            pass
    return sorted(found)


def mappings(pid):
    """What each mapping is of: file names, and "anonymous" for the rest."""
    found = []
    with open("/proc/%d/maps" % pid) as handle:
        for line in handle:
            words = line.split(None, 5)
            found.append(words[5].strip() if len(words) > 5 else "anonymous")
    return sorted(found)


def _rollup(pid):
    """Bytes by the kernel's names."""
    values = {}
    with open("/proc/%d/smaps_rollup" % pid) as handle:
        for line in handle:
            words = line.split()
            if words[-1] == "kB":
                values[words[0].rstrip(":")] = int(words[1]) * 1024
    return values


def memory(pid):
    """(proportional, private) resident bytes."""
    values = _rollup(pid)
    return values["Pss"], values["Private_Clean"] + values["Private_Dirty"]


def own_memory(pid):
    """Resident bytes of the process, without what is the guests'."""
    values = _rollup(pid)
    return values["Pss"] - values["Pss_Shmem"]


def sanitized(pid):
    return any(re.search(r"lib(a|t|ub|l)san", name) for name in mappings(pid))


def system_calls(pid, seconds):
    """What strace sees of all threads in so many seconds of an idle process, as lines. strace's
    arrival interrupts a waiting call once; what that causes is left out."""
    paths.tool("strace")
    with Process(["strace", "-f", "-p", pid]) as tracer:
        try:
            tracer.wait_for(r"attached", 10, "stderr")
        except AssertionError:
            pytest.skip("strace may not attach here: " + tracer.stderr.text.strip())
        time.sleep(1)  # the interrupted calls are entered again
        before = tracer.stderr.text
        time.sleep(seconds)
        after = tracer.stderr.text
        assert tracer.running(), after
    return after[len(before):].splitlines()
