# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest on the user-mode network: DHCP, ping, TCP both ways, a forwarded port; as a modern
device, as a legacy one, and with two queue pairs."""

import hashlib
import re
import socket

import pytest

from lib import paths, traffic
from lib.process import poll
from lib.rig import UserRig, configured, ping
from lib.vioduct import new_drops

MIB = 1 << 20
SIZE = 16 * MIB


@pytest.fixture(scope="module", params=["modern", "legacy", "packed", "two-pairs"])
def rig(request, image):
    yield from configured(UserRig(image, request.param))


def test_dhcp_gives_the_usual_address(rig):
    assert re.search(r"address 10\.0\.2\.15/\S+ router 10\.0\.2\.2 dns 10\.0\.2\.3", rig.lease), \
        rig.lease


def test_form_is_the_one_asked_for(rig):
    """The guest's driver sees the interface that the form stands for."""
    version_1 = rig.guest.run("cut -c 33 /sys/bus/virtio/devices/virtio0/features")
    assert version_1.strip() == ("0" if rig.form == "legacy" else "1")
    queues = rig.guest.run("ls -d /sys/class/net/eth0/queues/rx-* | wc -l")
    # QEMU's own user-mode network has one pair, whatever is asked for.
    assert int(queues) == (2 if rig.form == "two-pairs" and rig.device else 1)
    assert rig.guest.run("cat /sys/class/net/eth0/carrier").strip() == "1"
    assert rig.guest.run("cat /sys/class/net/eth0/address").strip() == "52:54:00:12:34:56"


def test_gateway_answers_pings_of_many_sizes(rig):
    for size in (0, 1, 56, 1000, 1472):
        ping(rig.guest, "10.0.2.2", count=1, size=size)
    ping(rig.guest, "10.0.2.2", count=3)


def test_gateway_answers_over_ipv6(rig):
    poll(lambda: rig.guest.succeeds("ip -6 address show dev eth0 | grep 'inet6 fec0:' | "
                                    "grep -q -v tentative && ip -6 route | grep -q default"),
         20, "the guest has no IPv6 address from the router's advertisement", interval=0.5)
    output, status = rig.guest.result(rig.guest.start("ping6 -c 3 -W 5 fec0::2"), 30)
    assert status == 0, output


def test_download_is_unchanged(rig):
    files = traffic.Files()
    try:
        digest = files.add("block", SIZE)
        before = rig.snapshot()
        got = rig.guest.run("wget -q -O - http://10.0.2.2:%d/block | sha256sum" % files.port,
                            timeout=120)
        after = rig.snapshot()
        assert got.split()[0] == digest
        if before:
            assert new_drops(before, after) == {}
            assert after.total("rx", "bytes") - before.total("rx", "bytes") > SIZE
    finally:
        files.close()


def test_upload_is_unchanged(rig):
    receiver = traffic.Receiver()
    try:
        before = rig.snapshot()
        sent = rig.guest.run("head -c %d /dev/urandom >/tmp/up && sha256sum /tmp/up" % (SIZE))
        rig.guest.run("nc 10.0.2.2 %d </tmp/up; rm /tmp/up" % receiver.port, timeout=120)
        digest, size = receiver.next()
        after = rig.snapshot()
        assert (digest, size) == (sent.split()[0], SIZE)
        if before:
            assert new_drops(before, after) == {}
            assert after.total("tx", "bytes") - before.total("tx", "bytes") > SIZE
    finally:
        receiver.close()


def test_two_pairs_carry_several_streams(rig):
    """Eight connections at once, each with its own content; with two pairs both receive queues
    and both transmit queues move frames."""
    files = traffic.Files()
    try:
        digests = [files.add("block%d" % number, 2 * MIB) for number in range(8)]
        command = "for n in 0 1 2 3 4 5 6 7; do (wget -q -O - http://10.0.2.2:%d/block$n | " \
            "sha256sum >/tmp/d$n) & done; wait; cat /tmp/d?" % files.port
        got = [line.split()[0] for line in rig.guest.run(command, timeout=120).splitlines()]
        assert got == digests
    finally:
        files.close()
    counters = rig.snapshot()
    if counters and rig.form == "two-pairs":
        assert all(count > 0 for count in counters.per_queue("tx", "packets")), counters.document


def test_forwarded_port_reaches_the_guest(rig):
    rig.guest.run("head -c %d /dev/urandom >/tmp/page; (httpd -f -p 8080 -h /tmp & echo $! "
                  ">/tmp/httpd.pid); true" % (4 * MIB))
    try:
        expected = rig.guest.run("sha256sum /tmp/page").split()[0]
        poll(lambda: rig.guest.succeeds("netstat -ltn | grep -q :8080"), 10,
             "no httpd in the guest")
        with socket.create_connection(("127.0.0.1", rig.forwarded_port), 20) as connection:
            connection.settimeout(60 * paths.PATIENCE)
            connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            answer = b""
            while True:
                data = connection.recv(1 << 16)
                if not data:
                    break
                answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        assert hashlib.sha256(body).hexdigest() == expected
    finally:
        rig.guest.run("kill $(cat /tmp/httpd.pid); rm -f /tmp/page", check=False)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["from-guest", "to-guest"])
def test_a_minute_of_tcp_drops_nothing(rig, reverse):
    with traffic.Iperf3Server() as server:
        rig.check_minute(server, rig.far, reverse)
