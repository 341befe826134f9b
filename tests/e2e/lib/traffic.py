# SPDX-License-Identifier: BSD-2-Clause
"""Traffic with known content: servers on loopback, iperf3, captures, frames from a raw socket."""

import hashlib
import http.server
import json
import os
import select
import socket
import socketserver
import struct
import threading
import time

import pytest

from . import paths
from .process import Process, poll, run


class _Reuse(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Files:
    """An HTTP server on loopback that hands out blocks of random bytes by name."""

    def __init__(self):
        self.blocks = {}
        blocks = self.blocks

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = blocks.get(self.path.lstrip("/"))
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *unused):
                pass

        self._server = _Reuse(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name, size):
        """Returns the SHA-256 of the new block."""
        self.blocks[name] = os.urandom(size)
        return hashlib.sha256(self.blocks[name]).hexdigest()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Receiver:
    """A TCP server on loopback that hashes what each connection sends until its end."""

    def __init__(self):
        self.received = []
        self._arrived = threading.Condition()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                digest, size = hashlib.sha256(), 0
                while True:
                    data = self.request.recv(1 << 16)
                    if not data:
                        break
                    digest.update(data)
                    size += len(data)
                with outer._arrived:
                    outer.received.append((digest.hexdigest(), size))
                    outer._arrived.notify_all()

        self._server = _Reuse(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self, timeout=60):
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.received, timeout * paths.PATIENCE), \
                "nothing arrived"
            return self.received.pop(0)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Iperf3Server:
    def __init__(self, netns=None, address="127.0.0.1"):
        paths.tool("iperf3")
        self.port = free_port()
        self.process = Process(["iperf3", "-s", "-B", address, "-p", self.port, "--forceflush"],
                               netns=netns)
        self.process.wait_for("Server listening")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.end()


def iperf3(guest, server, address, seconds=3, reverse=False, streams=1, extra=""):
    """The guest's iperf3 client for so many seconds; `reverse` is towards the guest. Returns
    (bits per second as received, retransmits of the sender where it knows them)."""
    command = "iperf3 -J -c %s -p %d -t %d -P %d %s %s" % (
        address, server.port, seconds, streams, "-R" if reverse else "", extra)
    output = guest.run(command, timeout=seconds + 60)
    report = json.loads(output)
    assert "error" not in report, report["error"]
    return (report["end"]["sum_received"]["bits_per_second"],
            report["end"]["sum_sent"].get("retransmits", 0))


class Capture:
    """tcpdump on an interface of a namespace, into a file."""

    def __init__(self, netns, interface, path, expression=""):
        paths.tool("tcpdump")
        self.path = path
        # -Z root: keep the user, so that the file may lie in a private directory.
        self.process = Process(
            ["tcpdump", "-i", interface, "-w", path, "-U", "-s", "0", "-B", "16384", "-Z", "root"]
            + expression.split(), netns=netns)
        self.process.wait_for("listening on", stream="stderr")

    def stop(self):
        """Returns (frames captured, frames that the capture itself lost)."""
        self.process.signal(2)
        self.process.wait(20)
        numbers = {}
        for line in self.process.stderr.text.splitlines():
            words = line.split()
            if len(words) > 1 and words[0].isdigit():
                numbers[" ".join(words[1:])] = int(words[0])
        lost = sum(count for name, count in numbers.items() if name.startswith("packets dropped")
                   or name == "packet dropped by kernel")
        return numbers.get("packets captured", numbers.get("packet captured", 0)), lost

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.end()


def count_frames(path, display_filter):
    """How many frames of a capture a Wireshark display filter matches, checksums verified."""
    paths.tool("tshark")
    found = run(["tshark", "-n", "-r", path, "-o", "ip.check_checksum:TRUE",
                 "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
                 "-Y", display_filter, "-T", "fields", "-e", "frame.number"], timeout=120)
    return len(found.stdout.split())


class RawSocket:
    """Frames straight into and out of an interface of a namespace."""

    def __init__(self, netns, interface):
        # A socket belongs to the namespace of the thread that makes it, for good.
        box = {}

        def make():
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            with open("/run/netns/%s" % netns) as handle:
                if libc.setns(handle.fileno(), 0) != 0:
                    box["error"] = OSError(ctypes.get_errno(), "setns")
                    return
            box["socket"] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            box["socket"].bind((interface, 0))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if "error" in box:
            raise box["error"]
        self._socket = box["socket"]
        for option in (socket.SO_RCVBUF, 33):  # 33: SO_RCVBUFFORCE
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
            except OSError:
                pass
        self._socket.setblocking(False)

    def send(self, frame):
        while True:
            try:
                self._socket.send(frame)
                return
            except (BlockingIOError, OSError) as error:
                if getattr(error, "errno", None) not in (11, 105):  # EAGAIN, ENOBUFS
                    raise
                select.select([], [self._socket], [], 1)

    def receive(self, timeout):
        """One frame that came in (not one that this machine sent), or None."""
        limit = time.monotonic() + timeout
        while True:
            left = limit - time.monotonic()
            if left < 0 or not select.select([self._socket], [], [], left)[0]:
                return None
            frame, address = self._socket.recvfrom(1 << 17)
            if address[2] != socket.PACKET_OUTGOING:
                return frame

    def close(self):
        self._socket.close()


def numbered_frame(number, size, destination=b"\x02\0\0\0\0\x01", source=b"\x02\0\0\0\0\x02"):
    """A frame of an experimental type whose content is told by its number."""
    body = struct.pack(">HI", 0x88b5, number)
    seed = hashlib.sha256(struct.pack(">I", number)).digest()
    return (destination + source + body + seed * (size // 32 + 1))[:size]


def wait_for_interface(netns, name, timeout=10):
    poll(lambda: netns.interface_exists(name), timeout, "no interface %s" % name)


def need_scapy():
    return pytest.importorskip("scapy.all")
