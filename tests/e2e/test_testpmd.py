# SPDX-License-Identifier: BSD-2-Clause
"""DPDK on either side: its virtio-user driver on our device, our driver on its vhost device.
Every run is counted on both sides, and what can be is compared byte by byte."""

import os
import time

import pytest

from lib import netns, paths, testpmd, traffic, vioduct
from lib.process import poll
from lib.testpmd import Testpmd
from lib.vioduct import Device

FRAMES = int(os.environ.get("VIO_E2E_FRAMES", "1000000"))
MANY = [pytest.param(FRAMES, id="frames"),
        pytest.param(10 ** 7, id="ten-million", marks=pytest.mark.long)]
RING = 1024


@pytest.fixture(autouse=True)
def pages():
    testpmd.hugepages()


def seconds_for(frames):
    return 60 + frames / 50000


# The driver's own variants choose its data path: by default mergeable and in order where offered.
@pytest.mark.parametrize("options, size", [
    ("", 64), ("", 1500), ("in_order=0", 64), ("mrg_rxbuf=0", 64), ("mrg_rxbuf=0,in_order=0", 1500),
    ("mrg_rxbuf=0,in_order=0,vectorized=1", 64), ("packed_vq=1", 64), ("packed_vq=1,in_order=0", 64),
    ("packed_vq=1,mrg_rxbuf=0,vectorized=1", 64),
])
def test_transmitted_frames_are_all_counted(scratch, options, size):
    transmit(scratch, FRAMES // 5, size, options)


def test_both_pairs_transmit(scratch):
    counters = transmit(scratch, FRAMES // 5, 64, "", pairs=2)
    assert all(count > FRAMES // 50 for count in counters.per_queue("tx", "packets"))


@pytest.mark.long
def test_ten_million_transmitted_frames_are_all_counted(scratch):
    transmit(scratch, 10 ** 7, 64, "")


def transmit(scratch, frames, size, options, pairs=1):
    path = os.path.join(scratch, "s")
    with Device(["--socket-path", path, "--backend", "null", "--queue-pairs", pairs]) as device:
        device.wait_listening()
        with Testpmd("driver", path, "txonly", options, size, pairs=pairs) as driver:
            driver.wait_ready().start()
            poll(lambda: driver.statistics()["tx_packets"] >= frames, seconds_for(frames),
                 "%d frames were not sent" % frames, 0.1)
            sent = driver.stop()
            # What testpmd counts is in the ring; the device takes it out.
            poll(lambda: device.snapshot().total("tx", "packets") >= sent["tx_packets"], 10,
                 "the device has not taken out all that was sent", 0.1)
            driver.quit()
        counters = device.stop()
    assert counters.total("tx", "packets") == sent["tx_packets"]
    assert counters.total("tx", "bytes") == sent["tx_bytes"] == sent["tx_packets"] * size
    assert counters.drops() == {}
    return counters


@pytest.mark.parametrize("options", ["", "packed_vq=1", "packed_vq=1,in_order=0",
                                     "packed_vq=1,mrg_rxbuf=0,vectorized=1"])
@pytest.mark.parametrize("size", [64, 1514])
@pytest.mark.parametrize("frames", MANY)
def test_generated_frames_are_all_received(scratch, frames, size, options):
    path = os.path.join(scratch, "s")
    rate = "" if frames > 10 ** 6 else ",rate=200000"
    with Device(["--socket-path", path, "--backend", "source,size=%d%s" % (size, rate)]) as device:
        device.wait_listening()
        with Testpmd("driver", path, "rxonly", options) as driver:
            driver.wait_ready().start()
            poll(lambda: driver.statistics()["rx_packets"] >= frames, seconds_for(frames),
                 "%d frames were not received" % frames, 0.1)
            received = driver.stop()
            driver.quit()
        counters = device.stop()
    # Frames that were in the ring when the driver stopped reading are ours alone.
    missing = counters.total("rx", "packets") - received["rx_packets"]
    assert 0 <= missing <= RING, (counters.document, received)
    assert received["rx_bytes"] == received["rx_packets"] * size
    assert received["rx_errors"] == 0


def test_frames_echoed_by_the_device_come_back(scratch):
    """A few bursts go round between testpmd in io mode and our `loop`."""
    path = os.path.join(scratch, "s")
    with Device(["--socket-path", path, "--backend", "loop"]) as device:
        device.wait_listening()
        with Testpmd("driver", path, "io") as driver:
            driver.wait_ready().start(first=True)
            poll(lambda: driver.statistics()["rx_packets"] >= FRAMES, seconds_for(FRAMES),
                 "the frames stopped going round", 0.1)
            driver.stop()
            driver.quit()
        counters = device.stop()
    assert counters.drops() == {}
    assert counters.total("rx", "packets") >= FRAMES
    # Each came in before it went out; what had no way back at the end is in the loop.
    assert 0 <= counters.total("tx", "packets") - counters.total("rx", "packets") <= 2 * RING


def swapped_through_tap(scratch, options, mtu, longest, count, **more):
    """Frames go through our tap to testpmd's driver, which swaps the addresses; each is awaited and
    compared byte by byte."""
    path = os.path.join(scratch, "s")
    with netns.Namespace() as inside, \
            Device(["--socket-path", path, "--backend", "tap,name=vtap0" +
                    (",mtu=%d" % mtu if mtu else "")] + (["--mtu", mtu] if mtu else []),
                   netns=inside) as device:
        device.wait_listening()
        traffic.wait_for_interface(inside, "vtap0")
        inside.run(["ip", "link", "set", "vtap0", "up"])
        with Testpmd("driver", path, "macswap", options, frame_max=longest + 4) as driver:
            driver.wait_ready().start()
            wire = traffic.RawSocket(inside, "vtap0")
            try:
                count = swap(wire, count, longest=longest, **more)
            finally:
                wire.close()
            statistics = driver.stop()
            driver.quit()
        counters = device.stop()
    assert statistics["rx_packets"] >= count and statistics["tx_packets"] >= count
    assert counters.drops() == {}


@pytest.mark.parametrize("options", ["", "packed_vq=1", "packed_vq=1,in_order=0"])
def test_swapped_frames_come_back_unchanged(scratch, options):
    """Frames of all sizes."""
    swapped_through_tap(scratch, options, None, 1514, FRAMES // 50)


@pytest.mark.parametrize("options", ["", "mrg_rxbuf=0", "mrg_rxbuf=0,in_order=0", "packed_vq=1",
                                     "packed_vq=1,mrg_rxbuf=0",
                                     "packed_vq=1,mrg_rxbuf=0,in_order=0"])
def test_swapped_jumbo_frames_come_back_unchanged(scratch, options):
    """The same with frames of up to 9014 bytes, in buffers that hold them where none are merged."""
    swapped_through_tap(scratch, options, 9000, 9014, FRAMES // 200, window=8)


def swap(wire, frames, window=32, longest=1514):
    """Send numbered frames, a window at a time, and expect each back in order."""
    mine, its = b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x01"
    # The first frames may meet a driver that is not reading yet: one is sent until it comes back.
    limit = time.monotonic() + 20 * paths.PATIENCE
    probe = traffic.numbered_frame(0, 60, its, mine)
    while True:
        wire.send(probe)
        if wire.receive(1) == mine + its + probe[12:]:
            break
        assert time.monotonic() < limit, "nothing comes back"
    while wire.receive(1) is not None:
        pass
    number = 0
    while number < frames:
        sent = []
        for _ in range(window):
            sent.append(traffic.numbered_frame(number, 60 + number * 7 % (longest - 59), its,
                                               mine))
            wire.send(sent[-1])
            number += 1
        for frame in sent:
            got = wire.receive(10 * paths.PATIENCE)
            assert got is not None, "frame lost near number %d" % number
            assert got == mine + its + frame[12:], "frame changed near number %d" % number
    return number


def test_capture_shows_what_was_sent(scratch):
    """`pcap` in front of `null`: the file holds testpmd's frames, whole, with right checksums."""
    path, capture = os.path.join(scratch, "s"), os.path.join(scratch, "out.pcapng")
    with Device(["--socket-path", path, "--backend", "pcap,file=%s,next=null" % capture]) as device:
        device.wait_listening()
        with Testpmd("driver", path, "rxonly", packet_size=200) as driver:
            driver.wait_ready()
            # tx_first sends one burst in any mode: a known few.
            driver.start("io", first=True)
            poll(lambda: driver.statistics()["tx_packets"] >= 32, 10, "the burst was not sent")
            sent = driver.stop()
            driver.quit()
        counters = device.stop()
    assert counters.total("tx", "packets") == sent["tx_packets"]
    assert traffic.count_frames(capture, "frame.len == 200") == sent["tx_packets"]
    assert traffic.count_frames(capture, "udp and ip.checksum.status == Good") \
        == sent["tx_packets"]


# Our driver on testpmd's device.

def start_device(scratch, mode, options="", size=64, frame_max=1518):
    path = os.path.join(scratch, "s")
    device = Testpmd("device", path, mode, options, size, frame_max=frame_max).wait_ready()
    return path, device


@pytest.mark.parametrize("frames", MANY)
@pytest.mark.parametrize("size", [64, 1514])
def test_our_driver_sends_to_testpmd(scratch, frames, size):
    path, device = start_device(scratch, "rxonly")
    with device:
        device.start()
        result = vioduct.bench_driver(path, "txonly", frames, size, timeout=seconds_for(frames))
        assert result["tx_packets"] >= frames
        poll(lambda: device.statistics()["rx_packets"] >= result["tx_packets"], 10,
             "testpmd has not received all that was sent", 0.1)
        got = device.stop()
    assert got["rx_packets"] == result["tx_packets"]
    assert got["rx_bytes"] == result["tx_packets"] * size
    assert result["lost"] == 0 and result["corrupt"] == 0


@pytest.mark.parametrize("frames", MANY)
@pytest.mark.parametrize("size", [64, 1500])
def test_our_driver_receives_from_testpmd(scratch, frames, size):
    path, device = start_device(scratch, "txonly", size=size)
    with device:
        device.start()
        result = vioduct.bench_driver(path, "rxonly", frames, size, timeout=seconds_for(frames))
        device.stop()
    assert result["rx_packets"] >= frames
    assert result["corrupt"] == 0


@pytest.mark.parametrize("frames", MANY)
@pytest.mark.parametrize("size", [64, 1514])
def test_our_driver_has_its_frames_swapped_and_unchanged(scratch, frames, size):
    path, device = start_device(scratch, "macswap")
    with device:
        device.start()
        result = vioduct.bench_driver(path, "macswap-check", frames, size, verify=True,
                                      timeout=seconds_for(frames))
        device.stop()
    assert result["tx_packets"] >= frames
    assert result["rx_packets"] == result["tx_packets"]
    assert result["lost"] == 0 and result["corrupt"] == 0


@pytest.mark.parametrize("features", ["+mrg_rxbuf", "-mrg_rxbuf",
                                      "-mrg_rxbuf,+guest_csum,+guest_tso4",
                                      "-mrg_rxbuf,-ring_packed,-in_order"])
def test_our_driver_has_its_jumbo_frames_swapped_and_unchanged(scratch, features):
    path, device = start_device(scratch, "macswap", frame_max=9018)
    with device:
        device.start()
        result = vioduct.bench_driver(path, "macswap-check", FRAMES // 10, 9000, verify=True,
                                      features=features, timeout=seconds_for(FRAMES))
        device.stop()
    assert result["rx_packets"] == result["tx_packets"] >= FRAMES // 10
    assert result["lost"] == 0 and result["corrupt"] == 0


def test_our_ping_is_answered_by_testpmd(scratch):
    path, device = start_device(scratch, "icmpecho")
    with device:
        device.start()
        result = vioduct.ping(path, "192.0.2.2", count=5, address="192.0.2.1/24")
        device.stop()
    assert result["received"] == result["transmitted"] == 5, result


def test_testpmd_connects_to_our_listening_driver(scratch):
    """vhost's client mode: our driver owns the socket."""
    path = os.path.join(scratch, "s")
    with Testpmd("device", path, "macswap", "client=1") as device:
        device.wait_ready().start()
        result = vioduct.bench_driver(path, "macswap-check", 10000, 64, verify=True, server=True)
        device.stop()
    assert result["rx_packets"] == result["tx_packets"] >= 10000
    assert result["corrupt"] == 0


def test_probe_shows_testpmds_device(scratch):
    path, device = start_device(scratch, "rxonly")
    with device:
        shown = vioduct.tool(["probe", "vhost-user:" + path])
    assert "VIRTIO_F_VERSION_1" in str(shown), shown
