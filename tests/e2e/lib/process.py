# SPDX-License-Identifier: BSD-2-Clause
"""Child processes: what they print is collected as it comes, a test waits for what they say, and
each is ended by its own pid, also when the test itself is killed (PR_SET_PDEATHSIG)."""

import ctypes
import os
import re
import signal
import subprocess
import threading
import time

from . import paths

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Ended(AssertionError):
    """The process ended while something was still expected of it."""


def poll(condition, timeout, what, interval=0.02):
    """Ask until the answer is true; for states of the system that send no event."""
    limit = time.monotonic() + timeout * paths.PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > limit:
            raise AssertionError("after %.0f s: %s" % (timeout * paths.PATIENCE, what))
        time.sleep(interval)


class Output:
    """One stream of a process, gathered by a thread."""

    def __init__(self, stream, log=None):
        self.text = ""
        self.ended = False
        self._log = log
        self._stream = stream
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self):
        while True:
            data = os.read(self._stream.fileno(), 65536)
            with self._changed:
                if not data:
                    self.ended = True
                    self._changed.notify_all()
                    return
                text = data.decode("utf-8", "replace")
                self.text += text
                self._changed.notify_all()
            if self._log:
                self._log.write(text)
                self._log.flush()

    def wait(self, test, timeout, what):
        """Wait until test(text) is true, and return what it returned."""
        limit = time.monotonic() + timeout * paths.PATIENCE
        with self._changed:
            while True:
                answer = test(self.text)
                if answer:
                    return answer
                if self.ended:
                    raise Ended("ended before %s; it said:\n%s" % (what, self.text[-4000:]))
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("no %s within %.0f s; it said:\n%s"
                                         % (what, timeout * paths.PATIENCE, self.text[-4000:]))
                self._changed.wait(left)

    def join(self, timeout):
        self._thread.join(timeout)


class Process:
    """A running program. Use as a context manager, or call end()."""

    def __init__(self, arguments, netns=None, log=None, pass_fds=(), env=None, cwd=None):
        if netns is not None:
            arguments = ["ip", "netns", "exec", str(netns)] + list(arguments)
        self.arguments = [str(argument) for argument in arguments]
        self._log = open(log, "a") if log else None
        self.started = time.monotonic()
        self._popen = subprocess.Popen(
            self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=_die_with_parent, pass_fds=pass_fds,
            env=None if env is None else dict(os.environ, **env), cwd=cwd)
        self.pid = self._popen.pid
        self.stdout = Output(self._popen.stdout, self._log)
        self.stderr = Output(self._popen.stderr, self._log)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def say(self, text):
        try:
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise Ended("%s ended; it said:\n%s%s" % (
                self.arguments[0], self.stdout.text[-4000:], self.stderr.text[-4000:]))

    def wait_for(self, pattern, timeout=10, stream="stdout", start=0):
        """Wait for a regular expression in what the program prints after character `start`."""
        output = getattr(self, stream)
        compiled = re.compile(pattern, re.M)
        return output.wait(lambda text: compiled.search(text, start), timeout,
                           "%r from %s" % (pattern, os.path.basename(self.arguments[0])))

    def running(self):
        return self._popen.poll() is None

    @property
    def status(self):
        return self._popen.poll()

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        """As a crash would: at once, with nothing said to anybody."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, timeout=30):
        """Wait for the end; returns the exit status, negative for a signal."""
        try:
            status = self._popen.wait(timeout * paths.PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s (pid %d) still runs after %.0f s; it said:\n%s%s" % (
                " ".join(self.arguments), self.pid, timeout * paths.PATIENCE,
                self.stdout.text[-4000:], self.stderr.text[-4000:])) from None
        self.stdout.join(5)
        self.stderr.join(5)
        return status

    def end(self, timeout=5):
        """SIGTERM, then SIGKILL for who does not listen."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.wait(timeout)
            except AssertionError:
                self.kill()
        if self._popen.stdin and not self._popen.stdin.closed:
            try:
                self._popen.stdin.close()
            except BrokenPipeError:
                pass
        self.stdout.join(5)
        self.stderr.join(5)
        if self._log:
            self._log.close()
            self._log = None


def run(arguments, netns=None, timeout=60, check=True, input=None, env=None):
    """Run a program to its end; returns subprocess.CompletedProcess with text."""
    if netns is not None:
        arguments = ["ip", "netns", "exec", str(netns)] + list(arguments)
    arguments = [str(argument) for argument in arguments]
    done = subprocess.run(arguments, capture_output=True, timeout=timeout * paths.PATIENCE,
                          text=True, input=input, errors="replace",
                          stdin=None if input is not None else subprocess.DEVNULL,
                          env=None if env is None else dict(os.environ, **env))
    if check and done.returncode != 0:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(arguments), done.returncode,
                                                    done.stdout, done.stderr))
    return done
