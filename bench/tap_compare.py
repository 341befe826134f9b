#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Our tap back end against DPDK's way to a tap, on the same two cores, in one run.

    tap_compare.py [--rounds 5] [--seconds 0.5] [--only NAME,…] [--json FILE]

The same front end, testpmd's virtio-user driver on the first core, is served on the second core by
either of

    ours    vioduct device --backend tap
    dpdk    testpmd with net_vhost and net_tap, forwarding between them

with one queue pair of 1024 descriptors, in a network namespace made for it:

    64 out      64-byte frames from the driver (txonly), counted by the tap interface
    64 in       64-byte frames sent to the tap by the kernel, taken by the driver (rxonly)
    64k out     TCP frames of 64596 bytes that the driver offers with TSO (45 segments):
                copies of one frame, through testpmd's csum engine
    64k in      such frames sent to the tap by the kernel, to a driver that takes large ones

What goes in is laid into the tap's queue while the device is paused, and the rate at which the
device then takes it out again is measured, so that the sender needs no core of its own. A pause is
a stopped process for ours and stopped forwarding for testpmd, whose main thread gets a signal for
every frame that arrives: it is done with them before the clock runs. Frames that the driver did not
get are counted and printed.

net_tap has no net header, so it cuts large frames going out by itself (its TSO) and the kernel cuts
those coming in; nor does it take an MTU above 1500, with which 64 KiB could pass as a plain frame.

All stand ready at the same time and take turns of a tenth of a second or of one filling, the others
being stopped, since a machine's speed changes by the second; a process of the idle class keeps
either core from falling asleep between the turns. So compare medians, or 90th percentiles, not single
samples.

For 64 bytes there is a third one, a loop of write() or read() on a tap and nothing else: what the
kernel leaves to whoever takes one frame in a call.

    bare    no virtio, no driver, no copy but the kernel's

Needs root, hugepages, two cores, testpmd and a C compiler; says so when one is missing.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import struct
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from _pytest.outcomes import Skipped  # noqa: E402

from lib import netns, paths, testpmd  # noqa: E402
from lib.process import Process, poll, run  # noqa: E402
from lib.testpmd import Testpmd  # noqa: E402
from lib.vioduct import Device  # noqa: E402

TAP = "vtap0"
MSS = 1434  # net_tap cuts nothing whose headers and payload exceed its MTU of 1500
HEADERS = 66  # Ethernet, IPv4, TCP with timestamps
SEGMENTS = 45
LARGE = HEADERS + SEGMENTS * MSS
MEMORY_MIB = 512
QUEUE = 100000  # frames that the tap holds for a paused device
# Most frames are laid in for 64 in; 64k in has as many bytes as memory allows easily.
FILL = {"64 in": 40000, "64k in": 1200}
# How many times DPDK's rate is asked of ours.
TARGETS = {"64 out": 1.2, "64 in": 1.2, "64k out": 1.5, "64k in": 1.5}
DESCRIPTORS = 1024
SETTLE = 0.3
TURN = 0.1  # seconds of a run outward
FILLINGS = 3  # in a round
TRIES = 3  # a machine may take a core away for as long as a filling lasts: none of it is seen then

# `bare` is the loop without a device, `awake` keeps a core busy while nobody wants it. The rest is
# the kernel's side: `fill` sends frames to the interface (plain ones past its
# queueing discipline, where large ones can't be cut); `rate` waits
# for the word, then measures how fast the interface's counter runs between a tenth and nine tenths
# of what is expected, or for a time.
HELPER = r"""
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char name[IFNAMSIZ];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct sample {
	double at;
	unsigned long long packets, bytes;
};

/* received: what the kernel got from the device, else what it handed over. */
static struct sample take(int received)
{
	unsigned long long v[10];
	struct sample s = { 0 };
	FILE *f = fopen("/proc/net/dev", "r");
	char line[512], *p;

	while (f && fgets(line, sizeof(line), f)) {
		for (p = line; *p == ' '; p++)
			continue;
		if (strncmp(p, name, strlen(name)) != 0 || p[strlen(name)] != ':')
			continue;
		sscanf(p + strlen(name) + 1, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu",
		       &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9]);
		s.bytes = v[received ? 0 : 8];
		s.packets = v[received ? 1 : 9];
	}
	s.at = now();
	if (f)
		fclose(f);
	return s;
}

static void report(struct sample a, struct sample b)
{
	printf("rate %.9f %llu %llu\n", b.at - a.at, b.packets - a.packets, b.bytes - a.bytes);
	fflush(stdout);
}

static void fill(long count, size_t len, unsigned mss)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_halen = 6 };
	static unsigned char bytes[sizeof(struct virtio_net_hdr) + 66000];
	struct virtio_net_hdr *hdr = (void *)bytes;
	unsigned char *frame = bytes + sizeof(*hdr);
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
	size_t skip = mss ? 0 : sizeof(*hdr);
	struct mmsghdr m[64];
	struct iovec iov;

	for (size_t i = 0; i < len; i++) /* in hexadecimal */
		if (scanf("%2hhx", &frame[i]) != 1)
			exit(2);
	at.sll_ifindex = (int)if_nametoindex(name);
	at.sll_protocol = htons(ETH_P_IP);
	if (bind(fd, (void *)&at, sizeof(at)) < 0 ||
	    setsockopt(fd, SOL_PACKET, mss ? PACKET_VNET_HDR : PACKET_QDISC_BYPASS, &on,
		       sizeof(on)) < 0) {
		perror("packet socket");
		exit(1);
	}
	if (mss)
		*hdr = (struct virtio_net_hdr){ VIRTIO_NET_HDR_F_NEEDS_CSUM,
						VIRTIO_NET_HDR_GSO_TCPV4, 66, (unsigned short)mss,
						34, 16 };
	iov = (struct iovec){ bytes + skip, len + sizeof(*hdr) - skip };
	memset(m, 0, sizeof(m));
	for (int i = 0; i < 64; i++) {
		m[i].msg_hdr.msg_iov = &iov;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while (count > 0) {
		int n = sendmmsg(fd, m, count < 64 ? (unsigned)count : 64, 0);

		if (n <= 0) {
			perror("sendmmsg");
			exit(1);
		}
		count -= n;
	}
	printf("filled\n");
	fflush(stdout);
}

static void bare(int out)
{
	static unsigned char bytes[2048];
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), size = 12;

	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) {
		perror(name);
		exit(1);
	}
	for (int i = 0; out && i < 64; i++)
		scanf("%2hhx", &bytes[size + i]);
	while (out)
		(void)!write(fd, bytes, (size_t)size + 64);
	for (;;)
		(void)!read(fd, bytes, sizeof(bytes));
}

int main(int argc, char **argv)
{
	struct sched_param none = { 0 };
	struct timespec step = { 0, 200000 };
	struct sample start, a, b;
	double limit;
	char line[8];

	if (!strcmp(argv[1], "awake")) {
		if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
			return 1;
		for (;;)
			continue;
	}
	strcpy(name, argv[2]);
	if (!strcmp(argv[1], "bare"))
		bare(!strcmp(argv[3], "out"));
	if (!strcmp(argv[1], "rate")) {
		a = take(1);
		usleep((useconds_t)(atof(argv[3]) * 1e6));
		report(a, take(1));
		return argc < 0;
	}
	fill(atol(argv[3]), (size_t)atol(argv[4]), (unsigned)atoi(argv[5]));
	start = take(0);
	limit = now() + 20;
	scanf("%7s", line);
	do {
		nanosleep(&step, NULL);
		a = take(0);
	} while (a.packets - start.packets < (unsigned long long)atol(argv[6]) / 10 &&
		 a.at < limit);
	do {
		nanosleep(&step, NULL);
		b = take(0);
	} while (b.packets - start.packets < (unsigned long long)atol(argv[6]) * 9 / 10 &&
		 b.at < limit);
	report(a, b);
	return 0;
}
"""


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_frame(length):
    """From 10.9.0.1 to 10.9.0.2, with the pseudo header's sum for a checksum."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length - 14, 1, 0, 64, 6, 0,
                     bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2]))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    pseudo = ip[12:20] + struct.pack("!BBH", 0, 6, length - 34)
    tcp = struct.pack("!HHIIBBHHH", 4000, 4001, 1, 1, 8 << 4, 0x10, 1000,
                      ~checksum(pseudo) & 0xffff, 0) + b"\1\1\x08\x0a" + bytes(8)
    return (b"\x02\0\0\0\0\x01" b"\x02\0\0\0\0\x02" b"\x08\0" + ip + tcp).ljust(length, b"v")[:length]


def write_capture(path, frame):
    with open(path, "wb") as handle:
        handle.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 1 << 18, 1))
        handle.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


class Pmd(Testpmd):
    """testpmd with any ports; the methods are those of the class that has one."""

    _serial = 0

    def __init__(self, role, devices, arguments, inside=None):
        cores = paths.cpus()[:2]
        if role == "driver":
            cores.reverse()
        Pmd._serial += 1
        self.role = role
        self.prefix = "viotap%d-%d" % (os.getpid(), Pmd._serial)
        words = ["stdbuf", "-oL", "dpdk-testpmd", "-l", "%d,%d" % tuple(cores), "--main-lcore",
                 cores[0], "--file-prefix", self.prefix, "-m", MEMORY_MIB, "--no-pci",
                 "--single-file-segments"]
        for device in devices:
            words += ["--vdev", device]
        words += ["--", "-i", "--nb-cores=1", "--txd=%d" % DESCRIPTORS, "--rxd=%d" % DESCRIPTORS]
        self.process = Process(words + arguments, netns=inside)

    def configure(self, port, offloads):
        """Before the start: "tx_offload tcp_tso" and the like."""
        self.command("port stop %d" % port, r"Done")
        for offload in offloads:
            self.process.say("port config %d %s on\n" % (port, offload))
        self.command("port start %d" % port, r"Done")


# ------------------------------------------------------------------------------------------
# The two devices


class Ours:
    def __init__(self, path, work, inside, helper):
        self.device = Device(["--socket-path", path, "--backend", "tap,name=%s" % TAP],
                             netns=inside, prefix=["taskset", "-c", str(paths.cpus()[1])])
        self.device.wait_listening()
        self.process = self.device.process

    def pause(self):
        self.device.process.signal(signal.SIGSTOP)

    def resume(self):
        self.device.process.signal(signal.SIGCONT)

    def end(self):
        self.resume()
        self.device.end()


class Dpdk:
    def __init__(self, path, work, inside, helper):
        large = work.startswith("64k")
        vhost = "net_vhost0,iface=%s,queues=1" % path
        if large:
            # With the old flags a frame keeps its segment size on the way to net_tap.
            vhost += ",tso=1,legacy-ol-flags=1"
        self.pmd = Pmd("device", [vhost, "net_tap0,iface=" + TAP],
                       ["--no-flush-rx", "--tx-offloads=0", "--total-num-mbufs=32768",
                        "--forward-mode=io"], inside)
        self.process = self.pmd.process
        self.pmd.wait_ready()
        if large:
            self.pmd.configure(0, ["tx_offload multi_segs"])
            self.pmd.configure(1, ["tx_offload " + name for name in (
                "multi_segs", "ipv4_cksum", "tcp_cksum", "tcp_tso")])
        self.pmd.start()

    def pause(self):
        self.pmd.command("stop", r"Done\.")

    def resume(self):
        self.pmd.process.say("start\n")

    def end(self):
        self.pmd.end()


class Bare:
    def __init__(self, path, work, inside, helper):
        self.process = Process(["taskset", "-c", paths.cpus()[1], helper, "bare", TAP,
                                work.split()[1]], netns=inside)
        self.process.say(tcp_frame(64).hex() + "\n")

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def end(self):
        self.process.kill()


DEVICES = {"dpdk": Dpdk, "ours": Ours, "bare": Bare}


# ------------------------------------------------------------------------------------------
# The front end


def driver(path, work, directory):
    """The same for both devices; ready to start."""
    port = "net_virtio_user0,path=%s,queues=1,queue_size=%d,mac=02:00:00:00:00:01" % (
        path, DESCRIPTORS)
    ports, arguments = [port], ["--total-num-mbufs=32768"]
    if work == "64k out":
        capture = os.path.join(directory, "frame.pcap")
        write_capture(capture, tcp_frame(LARGE))
        ports.append("net_pcap0,rx_pcap=%s,infinite_rx=1" % capture)
        arguments = ["--total-num-mbufs=3072", "--mbuf-size=65535"]
    mode = {"64 out": "txonly", "64k out": "csum"}.get(work, "rxonly")
    pmd = Pmd("driver", ports, arguments + ["--tx-offloads=0", "--txpkts=64",
                                            "--forward-mode=" + mode])
    pmd.wait_ready()
    if work == "64k out":
        pmd.command("port stop 0", r"Done")
        pmd.process.say("csum set tcp hw 0\ntso set %d 0\n" % MSS)
        pmd.configure(0, ["tx_offload multi_segs", "tx_offload tcp_cksum", "tx_offload tcp_tso"])
    elif work == "64k in":
        pmd.configure(0, ["rx_offload " + name for name in ("scatter", "tcp_cksum", "tcp_lro")])
    pmd.start()
    return pmd


# ------------------------------------------------------------------------------------------
# Measuring


def outward(helper, inside):
    done = inside.run(["taskset", "-c", paths.cpus()[0], helper, "rate", TAP, TURN])
    return parse(done.stdout), 0.0


def inward(helper, inside, work, device, front, cut):
    """Fills the paused device's tap, and times how it empties. @cut: the kernel cuts the frames."""
    count, length, mss = FILL[work], 64, 0
    if work == "64k in":
        length, mss = LARGE, MSS
    before = front.statistics() if front else None
    device.pause()
    expected = count * SEGMENTS if cut else count
    kernel = Process(["taskset", "-c", paths.cpus()[0], helper, "fill", TAP, count, length, mss,
                      expected], netns=inside)
    with kernel:
        kernel.say(tcp_frame(length).hex() + "\n")
        kernel.wait_for("filled", 20)
        time.sleep(SETTLE)
        device.resume()
        kernel.say("go\n")
        seconds, packets, size = parse_words(kernel.wait_for(r"rate (\S+) (\d+) (\d+)\n", 30))
        time.sleep(SETTLE)
    got = expected
    if front:
        got = front.statistics()["rx_packets"] - before["rx_packets"]
    return (seconds, packets, size), max(0, expected - got) / expected


def parse_words(found):
    return float(found.group(1)), int(found.group(2)), int(found.group(3))


def parse(text):
    return parse_words(re.search(r"rate (\S+) (\d+) (\d+)", text))


class Contender:
    """A device and its driver in a namespace of their own; stopped when nobody measures them."""

    def __init__(self, work, name, helper):
        self.work, self.name, self.helper = work, name, helper
        self.directory = paths.scratch()
        self.inside = self.device = self.front = None
        try:
            self._start(os.path.join(self.directory, "s"))
        except BaseException:
            self.end()
            raise

    def _start(self, path):
        self.inside = netns.Namespace()
        self.device = DEVICES[self.name](path, self.work, self.inside, self.helper)
        poll(lambda: self.inside.interface_exists(TAP), 10, "no interface")
        self.inside.run(["ip", "link", "set", "dev", TAP, "up", "txqueuelen", QUEUE])
        if self.name != "bare":
            self.front = driver(path, self.work, self.directory)
        self._send(signal.SIGSTOP)

    def _send(self, number):
        for part in (self.front, self.device):
            if part is not None:
                part.process.signal(number)

    def measure(self):
        """(Mpps or Gbit/s, share of frames lost)"""
        for _ in range(TRIES):
            packets, value = self._measure()
            if packets > 0:
                return value
        raise AssertionError("%s, %s: nothing arrived" % (self.work, self.name))

    def _measure(self):
        """How many packets were seen to move, and what measure() returns."""
        self._send(signal.SIGCONT)
        if self.work.endswith("out"):
            time.sleep(TURN / 2)
            (seconds, packets, size), lost = outward(self.helper, self.inside)
        else:
            cut = self.work == "64k in" and self.name == "dpdk"
            (seconds, packets, size), lost = inward(self.helper, self.inside, self.work,
                                                    self.device, self.front, cut)
        self._send(signal.SIGSTOP)
        if self.work.startswith("64k"):
            return packets, (size * 8 / seconds / 1e9, lost)
        return packets, (packets / seconds / 1e6, lost)

    def end(self):
        self._send(signal.SIGCONT)
        for part in (self.front, self.device):
            if part is not None:
                part.end()
        if self.inside is not None:
            self.inside.remove()
        shutil.rmtree(self.directory, ignore_errors=True)


def compare(work, helper, options):
    """{name: [(rate, share of frames lost)]}"""
    names = [name for name in DEVICES if name != "bare" or work.startswith("64 ")]
    turns = options.rounds * (
        max(1, round(options.seconds / TURN)) if work.endswith("out") else FILLINGS)
    contenders = []
    samples = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        for core in paths.cpus()[:2]:
            stack.enter_context(Process(["taskset", "-c", core, helper, "awake"]))
        for name in names:
            contenders.append(Contender(work, name, helper))
            stack.callback(contenders[-1].end)
        for turn in range(turns):
            print("\r%s: turn %d of %d " % (work, turn + 1, turns), end="", file=sys.stderr,
                  flush=True)
            for contender in contenders if turn % 2 else reversed(contenders):
                samples[contender.name].append(contender.measure())
    return samples


def ninth(rates):
    """The 90th percentile."""
    return sorted(rates)[int(len(rates) * 0.9)]


def table(results):
    print("median, 90th percentile (least-most) of short turns")
    met = True
    for work, cells in results.items():
        unit = "Gbit/s" if work.startswith("64k") else "Mpps"
        rates = {name: [rate for rate, _ in samples] for name, samples in cells.items()}
        for name, samples in cells.items():
            lost = statistics.median(lost for _, lost in samples)
            print("%-9s%-6s%7.3f, %.3f (%.3f-%.3f) %s%s" % (
                work, name, statistics.median(rates[name]), ninth(rates[name]), min(rates[name]),
                max(rates[name]), unit,
                "   %.1f%% of the frames lost" % (lost * 100) if lost > 0.0005 else ""))
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["dpdk"])
        met = met and ratio >= TARGETS[work]
        print("%-9sratio %.2f, %.2f at the 90th, target %.1f: %s" % (
            work, ratio, ninth(rates["ours"]) / ninth(rates["dpdk"]), TARGETS[work],
            "met" if ratio >= TARGETS[work] else "MISSED"))
    return met


def build_helper(directory):
    source, program = os.path.join(directory, "helper.c"), os.path.join(directory, "helper")
    with open(source, "w") as handle:
        handle.write(HELPER)
    run([paths.tool("cc"), "-O2", "-w", "-D_GNU_SOURCE", "-o", program, source])
    return program


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round outward")
    parser.add_argument("--only", default=",".join(TARGETS), help="64 out,64 in,64k out,64k in")
    parser.add_argument("--json", metavar="FILE", help="write the samples there")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(TARGETS)
    if unknown:
        parser.error("--only: %s: expected some of %s" % (unknown.pop(), ", ".join(TARGETS)))
    directory = paths.scratch()
    try:
        testpmd.hugepages(3 * MEMORY_MIB)
        paths.tool("ip")
        helper = build_helper(directory)
        results = {work: compare(work, helper, options) for work in options.only.split(",")}
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    except Skipped as reason:
        print("left out: %s" % reason)
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    met = table(results)
    if options.json:
        with open(options.json, "w") as handle:
            json.dump({
                "targets": TARGETS,
                "results": {work: {name: [{"rate": rate, "lost": lost} for rate, lost in samples]
                                   for name, samples in cells.items() if name != "bare"}
                            for work, cells in results.items()},
                "bare": {work: statistics.median(rate for rate, _ in cells["bare"])
                         for work, cells in results.items() if "bare" in cells},
            }, handle, indent=1)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
