# SPDX-License-Identifier: BSD-2-Clause
"""Instructions per frame of every path, by callgrind, and the record that they are held to.

A path is a command line of bench_ring (the ring alone) or bench_path (driver and device joined in
one thread) that moves a given number of frames. Each is run with FRAMES and with half of them; the
difference belongs to the frames alone, set-up and end fall out. The bench programs' own work falls
out too. What is left is counted by the source folder that the instruction comes from; inlined code
of src/base and of public headers counts for the function that it is part of.

The same program executes the same instructions each time, so a difference is a change of the code,
of the compiler or of the processor's kind (vectors of another width), never of the day.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import tempfile

from measure import ROOT, LeftOut, one_line

FRAMES = 16384
ALLOWED = 1.05  # of the baseline, before a check fails
BASELINE = os.path.join(ROOT, "bench", "BASELINE.md")
FORMATS = ("split", "packed", "split-in-order", "packed-in-order")
FOLDERS = ("ring", "driver", "device", "backend", "net", "mem", "base", "libc")


def paths():
    """{name: words of the command line, the program first}"""
    found = {}
    for name in FORMATS:
        for pieces in (1, 2):
            for direction in ("tx", "rx"):
                label = "ring %s, %s, %d %s" % (direction, name, pieces,
                                                "piece" if pieces == 1 else "pieces")
                found[label] = ["bench_ring", "--mode", name, "--pieces", str(pieces)] + \
                    (["--in"] if direction == "rx" else [])
    for path in ("tx", "rx", "echo"):
        for name in FORMATS:
            for level, mergeable in (("avx2", True), ("avx2", False), ("scalar", True)):
                label = "%s, %s, %s%s" % (path, name, level,
                                          "" if mergeable else ", no mergeable")
                found[label] = ["bench_path", "--path", path, "--mode", name, "--level", level] + \
                    ([] if mergeable else ["--no-mergeable"])
    return found


# ---- callgrind --------------------------------------------------------------------------------

NAME = re.compile(r"(\w+)=\((\d+)\)(?: (.*))?$")


def folder_of(file):
    """The folder below src, "bench", or None for what is neither."""
    found = re.search(r"(?:^|/)src/(\w+)/[^/]+(?:/[^/]+)*$", file)
    if found:
        return found.group(1)
    if re.search(r"(?:^|/)bench/[^/]+$", file):
        return "bench"
    return "include" if re.search(r"(?:^|/)include/vioduct/", file) else None


def parse(lines):
    """{folder: instructions} of a callgrind output; what is not ours is "libc". A function's own
    instructions only, so each is counted once."""
    names = {}  # (kind, number): name; a name is written out the first time only
    kinds = {"fl": "file", "fi": "file", "fe": "file", "cfi": "file", "cfl": "file"}
    home = current = ""  # file of the function; file that the instruction comes from
    counts, inclusive = {}, False
    for line in lines:
        found = NAME.match(line)
        if found:
            word, number, name = found.groups()
            key = (kinds.get(word, word[-2:]), number)
            if name is not None:
                names[key] = name
            if word == "fl":
                home = current = names[key]
            elif word in ("fi", "fe"):
                current = names[key]
            elif word == "fn":
                current = home
        elif line.startswith("calls="):
            inclusive = True  # the next line is the cost of the callee
        elif line[:1] in "0123456789+-*" and line.strip():
            if not inclusive:
                folder = attribute(folder_of(current), folder_of(home))
                counts[folder] = counts.get(folder, 0) + int(line.split()[1])
            inclusive = False
    return counts


def attribute(folder, home):
    if home == "bench":
        return "bench"
    if folder in ("base", "include", None):
        folder = home
    return {"include": "base", None: "libc"}.get(folder, folder)


def profile(command, build, directory):
    """{folder: instructions} of one run."""
    handle, out = tempfile.mkstemp(dir=directory)
    os.close(handle)
    program = os.path.join(build, "bench", command[0])
    done = subprocess.run(["valgrind", "--quiet", "--tool=callgrind",
                           "--callgrind-out-file=" + out, program] + command[1:],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    if done.returncode != 0:
        os.unlink(out)
        raise LeftOut("%s: exit %d: %s" % (" ".join(command), done.returncode,
                                           one_line(done.stderr)))
    with open(out) as file:
        counts = parse(file)
    os.unlink(out)
    return counts


def per_frame(command, build, directory):
    """{folder: instructions per frame}, without the bench program's own."""
    whole = profile(command + ["--count", str(2 * FRAMES)], build, directory)
    half = profile(command + ["--count", str(FRAMES)], build, directory)
    counts = {folder: (whole[folder] - half.get(folder, 0)) / FRAMES
              for folder in whole if folder != "bench"}
    return {folder: counts[folder] for folder in FOLDERS + tuple(sorted(set(counts) - set(FOLDERS)))
            if counts.get(folder, 0) >= 0.05}


def count(build, progress, only=None, left_out=None):
    """{path: {folder: instructions per frame}}. `only`: a word that the paths' names contain."""
    if shutil.which("valgrind") is None:
        raise LeftOut("valgrind is not installed")
    chosen = {name: command for name, command in paths().items() if not only or only in name}
    results = {}
    with tempfile.TemporaryDirectory() as directory, \
            concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        waiting = {name: pool.submit(per_frame, command, build, directory)
                   for name, command in chosen.items()}
        for number, (name, result) in enumerate(waiting.items()):
            progress.show("counting instructions: " + name, number / len(waiting))
            try:
                results[name] = result.result()
            except (LeftOut, OSError, subprocess.SubprocessError) as reason:
                if left_out is None:
                    raise
                left_out.append("instructions of %s: %s" % (name, one_line(reason)))
    progress.clear()
    return results


def total(folders):
    return sum(folders.values())


# ---- The record -------------------------------------------------------------------------------

HEAD = """# Instructions per frame

What a 64-byte frame costs in each path, in instructions of the library, counted by callgrind:
`./dev bench --baseline` writes this file, `./dev bench --check` counts again and fails when a path
takes over %d%% more than is written here.

The ring rows are the ring alone, both sides, with descriptors of one or two pieces. The others are
the driver and the device joined in one thread, in bursts of 32: tx is driver to back end `null`,
rx is back end `source` to driver, echo is there and back through `loop`. Columns are the source
folders that the instructions come from; libc is mostly memcpy. The ring rows are counted with the
best vectors that callgrind knows, AVX2; the others say theirs.

Counted with %s.

"""


def compiler(build):
    """The compiler that built a bench program, as it signs it."""
    try:
        with open(os.path.join(build, "bench", "bench_ring"), "rb") as file:
            found = re.search(rb"GCC: \([^)\0]*\) [\d.]+|clang version [\d.]+", file.read())
        return found.group(0).decode() if found else "an unknown compiler"
    except OSError:
        return "an unknown compiler"


def to_markdown(results, built_with):
    width = max(map(len, results))
    lines = ["| %-*s | %7s |" % (width, "path", "total") +
             "".join(" %7s |" % folder for folder in FOLDERS),
             "|" + "-" * (width + 2) + "|" + "--------:|" * (len(FOLDERS) + 1)]
    for name, folders in results.items():
        lines.append("| %-*s | %7.1f |" % (width, name, total(folders)) +
                     "".join(" %7s |" % ("%.1f" % folders[folder] if folder in folders else "")
                             for folder in FOLDERS))
    return HEAD % (round((ALLOWED - 1) * 100), built_with) + "\n".join(lines) + "\n"


def from_markdown(text):
    """({path: total}, compiler) of what to_markdown() wrote."""
    found = re.search(r"^Counted with (.*)\.$", text, re.M)
    totals = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.strip("|").split("|")]
        if line.startswith("|") and len(fields) > 2 and re.fullmatch(r"\d+\.\d", fields[1]):
            totals[fields[0]] = float(fields[1])
    return totals, found.group(1) if found else None


def compare(results, totals):
    """Lines about paths that grew by more than is allowed, or that the record lacks."""
    faults = []
    for name, folders in results.items():
        now = total(folders)
        if name not in totals:
            faults.append("%s: not in the baseline (%.1f now)" % (name, now))
        elif now > totals[name] * ALLOWED:
            faults.append("%s: %.1f instructions per frame, %.1f in the baseline: %+.1f%%" % (
                name, now, totals[name], (now / totals[name] - 1) * 100))
    return faults + ["%s: in the baseline, but not counted" % name
                     for name in totals if name not in results]


def improved(results, totals):
    """Paths that shrank by as much: the record no longer holds them to what they are."""
    return [name for name, folders in results.items()
            if name in totals and total(folders) * ALLOWED < totals[name]]
