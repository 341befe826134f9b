# SPDX-License-Identifier: BSD-2-Clause
"""Either end dies (kill -9) or ends in order, comes back on the same socket, and traffic goes on
without anything else being restarted."""

import os

import pytest

from lib import netns, paths, testpmd, traffic, vioduct
from lib.guest import DHCP, Guest, vhost_user
from lib.process import Process, poll
from lib.rig import GUEST_MAC, ping
from lib.testpmd import Testpmd
from lib.vioduct import Device

pytestmark = pytest.mark.usefixtures("ours")


def user_device(path):
    return Device(["--socket-path", path, "--backend", "user", "--mac", GUEST_MAC])


def test_guest_goes_on_when_its_device_restarts(image, scratch):
    path = os.path.join(scratch, "s")
    files = traffic.Files()
    device = user_device(path).wait_listening()
    try:
        digest = files.add("block", 4 << 20)
        download = "wget -q -O - http://10.0.2.2:%d/block | sha256sum" % files.port
        with Guest(image, vhost_user(path, reconnect=1), mac=GUEST_MAC) as guest:
            guest.wait_ready()
            guest.run(DHCP, timeout=40)
            assert guest.run(download).split()[0] == digest
            for end in (Device.kill, Device.stop):
                # In the middle of a stream of pings.
                running = guest.start("ping -c 1000 -W 1 10.0.2.2 >/tmp/ping & echo $!")
                pid = guest.result(running)[0].strip()
                end(device)
                poll(lambda: guest.run("cat /sys/class/net/eth0/carrier", check=False).strip()
                     == "0", 20, "the guest does not see that its device is gone", 0.2)
                # The killed one's socket lies there still: the new one takes its place.
                device = user_device(path).wait_listening()
                poll(lambda: guest.succeeds("ping -c 1 -W 1 10.0.2.2"), 30,
                     "the guest does not reach its gateway again", 0.2)
                guest.run("kill %s" % pid)
                ping(guest, "10.0.2.2")
                assert guest.run(download).split()[0] == digest
                assert device.snapshot().devices[0]["connections"] >= 1
            device.stop()
    finally:
        device.end()
        files.close()


def test_new_guest_on_the_same_device(image, scratch):
    path = os.path.join(scratch, "s")
    with user_device(path) as device:
        device.wait_listening()
        for end in (Guest.kill, Guest.poweroff):
            with Guest(image, vhost_user(path), mac=GUEST_MAC) as guest:
                guest.wait_ready()
                guest.run(DHCP, timeout=40)
                guest.start("ping -c 1000 -W 1 10.0.2.2 >/tmp/ping &")
                ping(guest, "10.0.2.2")
                before = device.snapshot().devices[0]["disconnects"]
                end(guest)
                poll(lambda: device.snapshot().devices[0]["disconnects"] > before, 10,
                     "the device does not see that its guest is gone", 0.1)
        counters = device.stop()
    assert counters.devices[0]["connections"] == 2
    assert counters.devices[0]["disconnects"] == 2


def test_tcp_connection_outlives_a_killed_device(image, scratch):
    """The tap is persistent and keeps its network's state: one TCP connection of the guest's
    carries its bytes through the death of the device, each once and unchanged."""
    paths.root_needed("a tap in a network namespace")
    path = os.path.join(scratch, "s")
    # Lines of numbers: what is lost, repeated or out of order shows.
    numbers = 400000
    expected = "".join("%d\n" % number for number in range(1, numbers + 1)).encode()
    received = os.path.join(scratch, "received")
    with netns.Namespace() as inside:
        inside.run(["ip", "tuntap", "add", "vtap0", "mode", "tap"])
        inside.address("vtap0", "10.77.0.1/24")

        def start():
            return Device(["--socket-path", path, "--backend", "tap,name=vtap0", "--mac",
                           GUEST_MAC], netns=inside).wait_listening()

        device = start()
        try:
            with Guest(image, vhost_user(path, reconnect=1), mac=GUEST_MAC) as guest, \
                    Process(["sh", "-c", 'exec busybox nc -l -p 5555 >"$0"', received],
                            netns=inside) as receiver:
                guest.wait_ready()
                guest.run("ip address add 10.77.0.2/24 dev eth0 && ip link set eth0 up")
                poll(lambda: "5555" in inside.run(["ss", "-ltn"]).stdout, 10, "nc does not listen")
                sending = guest.start("seq 1 %d | nc 10.77.0.1 5555" % numbers)
                poll(lambda: os.path.getsize(received) > len(expected) // 16, 60, "nothing arrives")
                device.kill()
                assert os.path.getsize(received) < len(expected), "the device died too late"
                device = start()
                guest.result(sending, 120)
                receiver.wait(60)
                with open(received, "rb") as handle:
                    assert handle.read() == expected
        finally:
            device.end()


def test_testpmd_driver_dies_and_another_comes(scratch):
    testpmd.hugepages()
    path = os.path.join(scratch, "s")
    with Device(["--socket-path", path, "--backend", "null"]) as device:
        device.wait_listening()
        seen = 0
        for _ in range(3):
            with Testpmd("driver", path, "txonly") as driver:
                driver.wait_ready().start()
                poll(lambda: device.snapshot().total("tx", "packets") > seen + 100000, 30,
                     "no traffic from this driver", 0.1)
                driver.kill()
            counters = device.snapshot()
            seen = counters.total("tx", "packets")
        poll(lambda: device.snapshot().devices[0]["disconnects"] == 3, 10,
             "not every disconnect was seen")
        assert device.stop().devices[0]["connections"] == 3


def test_device_reconnects_to_a_listening_testpmd_driver(scratch):
    """testpmd listens (server=1), our device connects (--client): the device dies and is started
    anew, then the driver dies and is started anew while the device waits for it."""
    testpmd.hugepages()
    path = os.path.join(scratch, "s")

    def start_device():
        return Device(["--client", "--socket-path", path, "--backend", "null"]).wait_listening()

    def flows(device):
        start = device.snapshot().total("tx", "packets")
        poll(lambda: device.snapshot().total("tx", "packets") > start + 100000, 30,
             "no traffic", 0.1)

    device = None
    try:
        with Testpmd("driver", path, "txonly", "server=1") as driver:
            # It waits for its first device before it takes commands.
            poll(lambda: os.path.exists(path), 20, "testpmd does not listen")
            device = start_device()
            driver.wait_ready().start()
            flows(device)
            device.kill()
            device = start_device()
            flows(device)
            driver.kill()
        vioduct.remove_socket(path)
        with Testpmd("driver", path, "txonly", "server=1") as driver:
            driver.wait_ready().start()
            flows(device)
            driver.quit()
        device.stop()
    finally:
        if device:
            device.end()


def ping_process(path, count, *options):
    return Process([paths.VIODUCT, "ping", "--via", "vhost-user:" + path, "-c", count,
                    *options])


ANSWER = r"(?:seq|bytes from)[^\n]*\n"


def answers(process):
    return process.stdout.text.count("seq=") or process.stdout.text.count("bytes from")


def test_our_driver_goes_on_when_the_device_restarts(scratch):
    path = os.path.join(scratch, "s")
    device = Device(["--socket-path", path, "--backend", "user"]).wait_listening()
    try:
        with ping_process(path, 60, "10.0.2.2") as pings:
            poll(lambda: answers(pings) >= 2, 20, "no answer to ping", 0.1)
            device.kill()
            device = Device(["--socket-path", path, "--backend", "user"]).wait_listening()
            before = answers(pings)
            poll(lambda: answers(pings) >= before + 2, 30, "no answer after the restart", 0.1)
    finally:
        device.end()


def test_our_driver_goes_on_when_testpmds_device_restarts(scratch):
    testpmd.hugepages()
    path = os.path.join(scratch, "s")
    device = Testpmd("device", path, "icmpecho").wait_ready()
    try:
        device.start()
        with ping_process(path, 60, "--address", "192.0.2.1/24", "192.0.2.2") as pings:
            poll(lambda: answers(pings) >= 2, 20, "no answer to ping", 0.1)
            device.kill()
            vioduct.remove_socket(path)
            device = Testpmd("device", path, "icmpecho").wait_ready()
            device.start()
            before = answers(pings)
            poll(lambda: answers(pings) >= before + 2, 30, "no answer after the restart", 0.1)
    finally:
        device.end()


def test_our_listening_driver_takes_the_restarted_device(scratch):
    path = os.path.join(scratch, "s")
    with ping_process(path, 60, "--server", "10.0.2.2") as pings:
        poll(lambda: os.path.exists(path), 10, "the driver does not listen")
        for _ in range(2):
            device = Device(["--client", "--socket-path", path, "--backend", "user"])
            try:
                before = answers(pings)
                poll(lambda: answers(pings) >= before + 2, 30, "no answer to ping", 0.1)
            finally:
                device.kill()


def test_killed_drivers_leave_the_device_in_order(scratch):
    """Our driver is killed in the middle of an echo, ten times; the eleventh finds all in order."""
    path = os.path.join(scratch, "s")
    with Device(["--socket-path", path, "--backend", "loop"]) as device:
        device.wait_listening()
        for number in range(10):
            with Process([paths.VIODUCT, "bench", "driver", "--via", "vhost-user:" + path,
                          "--mode", "echo", "--frames", 10 ** 9, "--json"]) as driver:
                seen = device.snapshot().total("tx", "packets")
                poll(lambda: device.snapshot().total("tx", "packets") > seen + 1000, 20,
                     "driver %d moves nothing" % number)
                driver.kill()
        result = vioduct.bench_driver(path, "echo", 20000, 256, verify=True)
        assert result["lost"] == 0 and result["corrupt"] == 0
        assert result["rx_packets"] == result["tx_packets"] >= 20000
        assert device.stop().devices[0]["connections"] == 11
