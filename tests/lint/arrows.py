#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the arrows of the house: which folder may include which.

Every file belongs to one part, found by its path. MAY says which parts a part may include
directly; what those sit on is allowed as well, so the table has the arrows only as the
architecture draws them. Every #include of one of our own headers is an edge, looked up here; an
edge that the table does not have is printed with its file and line, and the exit status is 1.
"""

import os
import re
import sys

# Public headers that sit below everything and know nothing of virtio.
BASE_HEADERS = {"export.h", "host.h", "mem.h"}

# The part of every other public header; virtio_*.h are chapters of virtio.h.
PUBLIC = {
    "virtio.h": "wire layouts",
    "features.h": "wire layouts",
    "frame.h": "wire layouts",
    "ring.h": "ring",
    "driver.h": "driver",
    "driver_linux.h": "driver on linux",
    "device.h": "device",
    "device_linux.h": "device on linux",
    "backend.h": "backend",
    "port.h": "port",
}

# First match wins. Files ending in _linux of a freestanding part may use the part's transports.
FOLDERS = [
    (r"src/base/", "base"),
    (r"src/mem/", "mem"),
    (r"src/ring/", "ring"),
    (r"src/net/", "net"),
    (r"src/wire/", "wire"),
    (r"src/driver/transport\.h$", "driver ops"),
    (r"src/driver/(transport|bus)/", "driver transport"),
    (r"src/driver/[^/]*_linux\.[ch]$", "driver on linux"),
    (r"src/driver/", "driver"),
    (r"src/device/transport\.h$", "device ops"),
    (r"src/device/transport/", "device transport"),
    (r"src/device/[^/]*_linux\.[ch]$", "device on linux"),
    (r"src/device/", "device"),
    (r"src/backend/", "backend"),
    (r"src/port/", "port"),
    (r"tools/", "tools"),
    (r"adapters/", "tools"),
    (r"examples/", "examples"),
    (r"bench/", "tests"),
    (r"tests/", "tests"),
]

MAY = {
    "base": set(),
    "wire layouts": {"base"},
    "mem": {"base"},
    "ring": {"mem", "wire layouts"},
    "net": {"base", "wire layouts"},
    "wire": {"mem", "wire layouts"},
    "driver ops": {"ring", "net", "public driver"},
    "driver": {"ring", "net", "driver ops", "public driver"},
    "public driver": {"ring", "wire layouts"},
    "driver transport": {"driver ops", "wire", "mem", "public driver on linux"},
    "public driver on linux": {"public driver"},
    "driver on linux": {"driver", "driver transport"},
    "device ops": {"ring", "net", "public device"},
    "device": {"ring", "net", "device ops", "public device"},
    # The device half calls back ends through their contract, never by their sources.
    "public device": {"ring", "wire layouts", "public backend"},
    "device transport": {"device ops", "wire", "mem", "public device on linux"},
    "public device on linux": {"public device"},
    "device on linux": {"device", "device transport"},
    "public backend": {"wire layouts"},
    "backend": {"net", "public backend"},
    "public port": {"public device on linux", "public backend"},
    "port": {"device on linux", "backend", "public port"},
    "tools": {"port", "driver on linux", "device on linux", "backend"},
    "examples": {"public port", "public driver on linux", "public device on linux",
                 "public backend"},
    "tests": {"tools"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<(vioduct/[^>]+)>)')
WITH_PUBLIC_HALF = {"driver", "driver on linux", "device", "device on linux", "backend", "port"}


def closure():
    """All the parts that each part may include, with what those sit on."""
    reach = {}

    def walk(part):
        if part not in reach:
            reach[part] = {part}
            for below in MAY[part]:
                reach[part] |= walk(below)
        return reach[part]

    for part in MAY:
        walk(part)
    return reach


def part_of(path):
    """The part that a file of the tree belongs to, or None."""
    if path.startswith("include/vioduct/"):
        name = os.path.basename(path)
        if name in BASE_HEADERS:
            return "base"
        part = PUBLIC.get(re.sub(r"^virtio_\w+", "virtio", name))
        return "public " + part if part in WITH_PUBLIC_HALF else part
    for pattern, part in FOLDERS:
        if re.match(pattern, path):
            return part
    return None


def resolve(path, quoted, angled):
    """The included file's path in the tree, or None when it is not ours."""
    if angled:
        return "include/" + angled
    for folder in (os.path.dirname(path), "src", "include", "tests", "tests/lib"):
        candidate = os.path.normpath(os.path.join(folder, quoted))
        if os.path.exists(candidate):
            return candidate
    return None


def check(path, reach):
    """The violations in one file, as printable lines."""
    part = part_of(path)
    if part is None:
        return ["%s:1: belongs to no part: add it to tests/lint/arrows.py" % path]
    faults = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = resolve(path, *match.groups())
            where = "%s:%d: " % (path, number)
            if target is None or not os.path.exists(target):
                faults.append(where + "not found in the tree: " + line.strip())
            elif part_of(target) is None:
                faults.append(where + target + " belongs to no part: add it to "
                              "tests/lint/arrows.py")
            elif part_of(target) not in reach[part]:
                faults.append(where + "%s must not include %s (%s)"
                              % (part, part_of(target), target))
    return faults


def main():
    reach = closure()
    assert not any(p.startswith("device") for p in reach["driver on linux"])
    assert not any(p.startswith("driver") for p in reach["device on linux"])
    faults = []
    for top in ("include", "src", "tools", "adapters", "examples", "tests", "bench"):
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.endswith((".c", ".h")) and not path.startswith("tests/lint/"):
                    faults += check(path, reach)
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
