# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest on a tap in a network namespace: ping, iperf3 both ways, jumbo frames, segmentation
offload on and off, and every checksum verified on the far side of a cable that does no offload."""

import json
import os

import pytest

from lib import traffic
from lib.rig import TapRig, configured, ping
from lib.vioduct import new_drops

SECONDS = 3
CAPTURED_BYTES = 4 << 20


@pytest.fixture(scope="module", params=["modern", "legacy", "packed", "two-pairs"])
def rig(request, image):
    yield from configured(TapRig(image, request.param))


@pytest.fixture(scope="module")
def bare(image):
    yield from configured(TapRig(image, "bare"))


def bad_checksums(path):
    return traffic.count_frames(path, "ip.checksum.status == Bad or tcp.checksum.status == Bad or "
                                      "udp.checksum.status == Bad or icmp.checksum.status == Bad")


def guest_checksum_errors(guest):
    """What the guest's own stack found wrong: (TCP InCsumErrors, IP InHdrErrors)."""
    table = {}
    lines = guest.run("cat /proc/net/snmp").splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        kind = names.split(":")[0]
        table[kind] = dict(zip(names.split()[1:], map(int, values.split()[1:])))
    return table["Tcp"]["InCsumErrors"], table["Ip"]["InHdrErrors"]


def transfer(rig, reverse, port, streams=2):
    """CAPTURED_BYTES of iperf3 between the guest and `far`, captured in `far`; checks what arrived
    on the cable and returns the counters before and after."""
    capture_file = os.path.join(rig.directory, "far.pcap")
    with traffic.Iperf3Server(netns=rig.outside, address=rig.far) as server, \
            traffic.Capture(rig.outside, "vfar", capture_file, "tcp") as capture:
        before = rig.snapshot()
        rig.guest.run("iperf3 -J -c %s -p %d -n %d -P %d %s" % (
            rig.far, server.port, CAPTURED_BYTES, streams, "-R" if reverse else ""), timeout=90)
        after = rig.snapshot()
        frames, _ = capture.stop()
    assert frames > CAPTURED_BYTES / 1460 / 2, "the capture is not of the transfer"
    assert bad_checksums(capture_file) == 0
    good = traffic.count_frames(capture_file, "ip.src == %s and tcp.checksum.status == Good"
                                % rig.guest_address)
    assert good > 0, "no frame of the guest's was judged"
    assert traffic.count_frames(capture_file, "frame.len > 1514") == 0
    os.unlink(capture_file)
    return before, after


def test_ping_both_ways_with_many_sizes(rig):
    before = rig.snapshot()
    for size in (0, 1, 56, 1000, 1472, 4000):
        ping(rig.guest, rig.far, count=1, size=size)
    rig.ping_from_near()
    after = rig.snapshot()
    if before:
        assert new_drops(before, after) == {}


@pytest.mark.parametrize("reverse", [False, True], ids=["from-guest", "to-guest"])
@pytest.mark.parametrize("offload", ["on", "off"])
def test_checksums_are_right_on_the_cable(rig, offload, reverse):
    """With offload on, the guest leaves segments and checksums to us and we to the tap; with it
    off, frames must pass as they are. Either way the cable carries finished frames."""
    rig.guest.run("ethtool -K eth0 tso %s gso %s tx %s" % (offload, offload, offload))
    try:
        before, after = transfer(rig, reverse, None)
    finally:
        rig.guest.run("ethtool -K eth0 tx on tso on gso on")
    assert guest_checksum_errors(rig.guest) == (0, 0)
    if before is None:
        return
    assert new_drops(before, after) == {}
    if not reverse:
        packets = after.total("tx", "packets") - before.total("tx", "packets")
        mean = (after.total("tx", "bytes") - before.total("tx", "bytes")) / packets
        if offload == "on":
            assert mean > 1600, "the guest was offered no segmentation offload"
        else:
            assert mean < 1600


@pytest.mark.parametrize("reverse", [False, True], ids=["from-guest", "to-guest"])
def test_guest_without_any_offload_verifies_every_checksum(bare, reverse):
    """This guest has neither CSUM nor GUEST_CSUM nor mergeable buffers, while the tap's side may
    hand us unfinished segments: what reaches the guest must be finished in software."""
    features = bare.guest.run("cat /sys/bus/virtio/devices/virtio0/features").strip()
    assert features[0] == "0" and features[1] == "0" and features[15] == "0", features
    before, after = transfer(bare, reverse, None)
    assert guest_checksum_errors(bare.guest) == (0, 0)
    # From the tap's own namespace segments come unfinished and large: the veth is not between.
    with traffic.Iperf3Server(netns=bare.inside, address=bare.near) as server:
        rate, _ = traffic.iperf3(bare.guest, server, bare.near, 2, reverse)
    assert rate > 0
    assert guest_checksum_errors(bare.guest) == (0, 0)
    if before is not None:
        assert new_drops(before, after) == {}


@pytest.mark.parametrize("reverse", [False, True], ids=["from-guest", "to-guest"])
def test_iperf3(rig, reverse):
    with traffic.Iperf3Server(netns=rig.inside, address=rig.near) as server:
        before = rig.snapshot()
        rate, _ = traffic.iperf3(rig.guest, server, rig.near, SECONDS, reverse, streams=2)
        after = rig.snapshot()
    print("%s %s: %.2f Gbit/s" % (rig.form, "to guest" if reverse else "from guest", rate / 1e9))
    assert rate > 10e6
    if before is None:
        return
    assert new_drops(before, after) == {}
    if rig.form == "two-pairs":
        assert all(count > 0 for count in after.per_queue("tx", "packets")), after.document


def test_udp_datagrams_arrive(rig):
    """Datagrams as large as segments, so that UDP is fragmented or segmented as was negotiated;
    slow enough that nobody may lose one."""
    with traffic.Iperf3Server(netns=rig.outside, address=rig.far) as server:
        for size in (64, 1400, 8000):
            output = rig.guest.run("iperf3 -J -u -b 2M -l %d -c %s -p %d -t 1"
                                   % (size, rig.far, server.port), timeout=60)
            total = json.loads(output[output.index("{"):])["end"]["sum"]
            assert total["packets"] > 10 and total["lost_packets"] == 0, total


def test_jumbo_frames(rig):
    before = rig.snapshot()
    rig.mtu(9000)
    try:
        fragments = rig.guest.run("grep Ip: /proc/net/snmp | tail -n 1 | awk '{print $NF}'")
        ping(rig.guest, rig.near, count=3, size=8972)
        rig.ping_from_near(size=8972)
        assert rig.guest.run("grep Ip: /proc/net/snmp | tail -n 1 | awk '{print $NF}'") \
            == fragments, "the guest fragmented: the frames were not jumbo frames"
        rig.guest.run("ethtool -K eth0 tso off gso off")
        for reverse in (False, True):
            with traffic.Iperf3Server(netns=rig.outside, address=rig.far) as server:
                rate, _ = traffic.iperf3(rig.guest, server, rig.far, 1, reverse)
            assert rate > 0
        after = rig.snapshot()
        if before:
            assert new_drops(before, after) == {}
    finally:
        rig.mtu(1500)
        rig.guest.run("ethtool -K eth0 tso on gso on")


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["from-guest", "to-guest"])
def test_a_minute_of_tcp_drops_nothing(rig, reverse):
    with traffic.Iperf3Server(netns=rig.inside, address=rig.near) as server:
        rig.check_minute(server, rig.near, reverse)
