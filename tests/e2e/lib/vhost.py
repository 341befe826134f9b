# SPDX-License-Identifier: BSD-2-Clause
"""Just enough of a vhost-user front end to shake hands, to hand over memory, and to break off in
the middle of a message."""

import array
import os
import socket
import struct

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_KICK, SET_VRING_CALL = 8, 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 15, 16, 17

VERSION = 1
REPLY = 4
F_PROTOCOL_FEATURES = 1 << 30
F_VERSION_1 = 1 << 32


def message(request, payload=b"", flags=VERSION):
    return struct.pack("<III", request, flags, len(payload)) + payload


def memory_table(size, guest_address=0, user_address=0x7f0000000000):
    return struct.pack("<II", 1, 0) + struct.pack("<QQQQ", guest_address, size, user_address, 0)


class FrontEnd:
    def __init__(self, where):
        """`where`: the path of a socket, or a connected one."""
        if isinstance(where, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.connect(where)
        else:
            self.socket = where
        self.socket.settimeout(20)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def send(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], ancillary)

    def ask(self, request, payload=b""):
        """Send a request that is answered with 64 bits; returns them."""
        self.send(message(request, payload))
        head = self._receive(12)
        answered, flags, size = struct.unpack("<III", head)
        assert answered == request and flags & 7 == VERSION | REPLY, (answered, flags)
        assert size == 8, size
        return struct.unpack("<Q", self._receive(8))[0]

    def _receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError("the device closed the connection")
            data += part
        return data

    def handshake(self):
        """Owner and features; returns the features offered."""
        features = self.ask(GET_FEATURES)
        self.send(message(SET_OWNER))
        if features & F_PROTOCOL_FEATURES:
            self.ask(GET_PROTOCOL_FEATURES)
        return features

    def close(self):
        self.socket.close()


def memory_file(size=1 << 20):
    """A file descriptor of shared memory; the caller closes it."""
    handle = os.memfd_create("vio-e2e")
    os.ftruncate(handle, size)
    return handle
