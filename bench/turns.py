# SPDX-License-Identifier: BSD-2-Clause
"""What is compared is up at the same time and takes very short turns.

A machine's cores change their speed for seconds at a time, so that whoever is measured for a while
and then ended is measured by luck. A *group* is a set of contenders that are compared with each
other: a driver and its device each, or one process. All of them are started first; between its turns a
contender is stopped, the driver first, and continued for each, the device first. Every round gives
each one turn, in an order that is reversed from round to round. A turn gives one sample: frames by
the time between two readings of the same counter, after a moment in which caches get warm.

Which pages of memory a process gets makes some percent of difference too, for as long as it lives. So
a group is started anew for each quarter of the turns.

A contender that fails is named and ended, and the others go on.
"""

import contextlib
import os
import signal
import subprocess
import time

from measure import LeftOut, one_line

LENGTH = 0.08  # seconds of a turn
SETTLE = 0.04  # seconds before
PATIENCE = 2   # seconds in which a frame has to arrive
A_SECOND = 4   # turns for each second of each round that was asked for
STARTS = 4     # of each group, if there are turns for as many
FAILURES = (LeftOut, AssertionError, OSError, ValueError, KeyError, subprocess.SubprocessError)


def number_of(rounds, seconds):
    """How many turns each contender has: as many in either order."""
    return 2 * max(1, round(A_SECOND * rounds * seconds / 2))


def told(samples, part):
    """For a heading: how many turns of which length."""
    most = max((len(samples.parts[part][key]) for key in samples.keys(part)), default=0)
    return "%d turns of %g s" % (most, LENGTH)


class Running:
    """A contender that is up. `pids`: the driver's, then the device's, or one; they are children.
    `count()` returns (frames, nanoseconds of the monotonic clock)."""

    def __init__(self, pids, count):
        self.pids, self.count = pids, count

    def stop(self):
        """Returns when nothing of it runs any more."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        names = ("driver", "device") if len(self.pids) == 2 else ("process",)
        for name, pid in zip(names, self.pids):
            state = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if state.si_code != os.CLD_STOPPED:
                raise LeftOut("the %s has ended" % name)

    def resume(self):
        for pid in reversed(self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def turn(self):
        """Mpps."""
        self.resume()
        time.sleep(SETTLE)
        first, start = last, end = self.count()
        # A machine may take a core away for longer than that.
        while last == first and end - start < PATIENCE * 1e9:
            time.sleep(LENGTH)
            last, end = self.count()
        self.stop()
        if last == first:
            raise LeftOut("no frame arrived in %g s" % PATIENCE)
        return (last - first) * 1e3 / (end - start)


class Contender:
    """`start(stack)` brings it up, leaves all that is to be undone with the stack, and returns what
    is Running. `key`: of its samples."""

    def __init__(self, name, key, start):
        self.name, self.key, self.start = name, key, start


class Group:
    def __init__(self, part, name, contenders):
        self.part, self.name, self.contenders = part, name, contenders


class _Place:
    """A contender's in its group."""

    def __init__(self, group, contender):
        self.contender = contender
        self.name = "%s %s" % (group.part, ", ".join(filter(None, (group.name, contender.name))))
        self.stack = contextlib.ExitStack()
        self.running = None

    def open(self):
        self.running = self.contender.start(self.stack)
        # Whoever is to end has to run.
        self.stack.callback(self.running.resume)
        self.running.stop()

    def close(self):
        with contextlib.suppress(*FAILURES):
            self.stack.close()


class _Turns:
    """The turns of one group, of all its contenders but those that have failed."""

    def __init__(self, group, samples, left_out, failed):
        self.group, self.samples, self.left_out, self.failed = group, samples, left_out, failed
        self.places = [_Place(group, contender) for contender in group.contenders
                       if contender not in failed]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with contextlib.ExitStack() as everyone:
            for place in self.places:
                everyone.callback(place.close)

    def attempt(self, place, action):
        """Whoever fails is ended."""
        try:
            return action()
        except FAILURES as reason:
            self.places.remove(place)
            self.failed.add(place.contender)
            self.left_out.append("%s: %s" % (place.name, one_line(reason)))
            place.close()
            return None

    def start(self):
        for place in self.places[:]:
            self.attempt(place, place.open)

    def round(self, backwards):
        for place in self.places[::-1] if backwards else self.places[:]:
            value = self.attempt(place, place.running.turn)
            if value is not None:
                self.samples.add(self.group.part, place.contender.key, value)


def run_groups(groups, turns, samples, left_out, progress, look=None):
    """One group after the other, each with so many turns for every contender, shared among its starts.
    `look()` is called after each round, when everybody is stopped."""
    progress.begin()
    each = min(STARTS, turns)
    starts, failed = [(group, start) for group in groups for start in range(each)], set()
    for index, (group, start) in enumerate(starts):
        def show(text, done):
            progress.show("%s %s: %s" % (group.part, group.name, text),
                          (index + done) / len(starts))

        mine = range(start, turns, each)
        with _Turns(group, samples, left_out, failed) as taking:
            show("starts", 0)
            taking.start()
            for count, number in enumerate(mine):
                show("turn %d of %d" % (number + 1, turns), count / len(mine))
                taking.round(backwards=(count + start) % 2 == 1)
                if look:
                    look()
    progress.clear()
