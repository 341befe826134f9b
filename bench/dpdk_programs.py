# SPDX-License-Identifier: BSD-2-Clause
"""The DPDK programs of bench/dpdk, compiled where they are wanted: the build of the project needs
no DPDK and knows nothing of them.

    echo  round trips of DPDK's driver (latency.py)
    ends  DPDK's driver or device, doing to frames what ours do (side_by_side.py)
"""

import contextlib
import glob
import itertools
import os
import shutil
import subprocess

from measure import ROOT, LeftOut, one_line

# What every program consists of beside its own file, and what these need in turn.
OWN = ("bench/dpdk/port.c",)
PROJECT = ("tools/bench_frame.c", "tools/bench_stat.c", "src/net/csum.c", "src/base/copy.c",
           "src/base/simd.c")
FLAGS = ("-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Iinclude", "-Isrc")
PACKAGES = ("libdpdk", "jansson")

# DPDK's programs may use the widest vectors that there are: without, its driver has none for a
# packed ring.
WIDEST = ("--force-max-simd-bitwidth=512",)
MEMORY_MIB = 128
_numbers = itertools.count(1)


def compiler():
    return (os.environ.get("CC") or "cc").split()


def first_error(text):
    """What a compiler or linker says went wrong, without all that follows from it."""
    found = [line for line in text.splitlines() if "error" in line or "undefined" in line]
    return one_line(found[0] if found else text)


def compile_program(name, directory):
    """The path of bench/dpdk/NAME.c as a program, which is put into a directory."""
    program = os.path.join(directory, name)
    try:
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", *PACKAGES],
                               capture_output=True, text=True)
    except OSError as error:
        raise LeftOut("DPDK's headers: %s" % error) from None
    if flags.returncode != 0:
        raise LeftOut("DPDK's headers: " + one_line(flags.stderr or flags.stdout))
    command = compiler() + [*FLAGS, "-o", program, "bench/dpdk/%s.c" % name, *OWN, *PROJECT,
                            *flags.stdout.split()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError as error:
        raise LeftOut("bench/dpdk/%s.c: %s" % (name, error)) from None
    if done.returncode != 0:
        raise LeftOut("bench/dpdk/%s.c does not compile: %s" % (name, first_error(done.stderr)))
    return program


def driver_port(path, options):
    return "net_virtio_user0,path=%s,queues=1,queue_size=1024,%s" % (path, options)


def device_port(path):
    return "net_vhost0,iface=%s,queues=1" % path


def command(program, cpu, port, *arguments):
    """The command line of a program on one core, with one port."""
    words = (program, "-l", cpu, "--file-prefix", "vio-%s%d-%d" % (
        os.path.basename(program), os.getpid(), next(_numbers)), "-m", MEMORY_MIB, "--no-pci",
        "--single-file-segments", "--log-level", "error", "--no-telemetry", *WIDEST, "--vdev", port,
        "--", *arguments)
    return [str(word) for word in words]


def forget(words):
    """Removes what a program, called by these words, leaves behind when it has ended."""
    prefix = words[words.index("--file-prefix") + 1]
    shutil.rmtree(os.path.join("/var/run/dpdk", prefix), ignore_errors=True)
    for path in glob.glob("/dev/hugepages/%smap_*" % prefix):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
