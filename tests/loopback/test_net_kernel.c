/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segmentation and checksums against Linux's own: a frame goes with its net header into one tap,
 * over a bridge, and out of another one that takes no offloads, so that the kernel has to cut it
 * up and to complete its checksums. What comes out has to be, byte for byte, what vio_gso_next()
 * and vio_frame_complete_csum() make of the same frame.
 *
 * Everything is in a network namespace of this process. Where none may be made, or there is no tap
 * or bridge, the test is skipped and says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "base/endian.h"
#include "netframe.h"

#define TAP_MTU	   65521 /* the most that a tap takes; what is not cut has to get through as well */
#define PIECES_MAX 40
#define ROUNDS	   150

static int in = -1, out = -1;
static struct netframe built;

/* ---- The surroundings ------------------------------------------------------------------------ */

static void put_line(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		perror(path);
	close(fd);
}

/* A network namespace: as root, or else inside a user namespace in which we are. */
static bool enter_namespace(void)
{
	char map[64];

	if (unshare(CLONE_NEWNET) == 0)
		return true;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	put_line("/proc/self/setgroups", "deny");
	put_line("/proc/self/uid_map", map);
	return true;
}

static struct ifreq request(const char *name)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	return ifr;
}

/* A tap whose frames have a 12-byte little-endian net header, without any offload; or -1. */
static int open_tap(const char *name)
{
	struct ifreq ifr = request(name);
	int size = VIO_NET_HDR_SIZE, yes = 1;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    ioctl(fd, TUNSETVNETLE, &yes) || ioctl(fd, TUNSETOFFLOAD, 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The largest MTU, and up. A tap's queue of 500 has room for all segments of one of our frames. */
static int bring_up(int sock, const char *name)
{
	struct ifreq ifr = request(name);

	ifr.ifr_mtu = TAP_MTU;
	if (ioctl(sock, SIOCSIFMTU, &ifr))
		return -1;
	ifr.ifr_flags = IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr);
}

static int join(int sock, const char *bridge, const char *port)
{
	struct ifreq ifr = request(bridge);

	ifr.ifr_ifindex = (int)if_nametoindex(port);
	return ioctl(sock, SIOCBRADDIF, &ifr);
}

/* NULL, or what can't be had here. */
static const char *set_up(void)
{
	int sock;

	if (!enter_namespace())
		return "network namespaces";
	/* The kernel has nothing to say on these interfaces itself. */
	put_line("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	put_line("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	in = open_tap("in");
	out = open_tap("out");
	if (in < 0 || out < 0)
		return "tap interfaces with a net header";
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return "sockets";
	if (ioctl(sock, SIOCBRADDBR, "bridge"))
		return "bridges";
	if (join(sock, "bridge", "in") || join(sock, "bridge", "out") || bring_up(sock, "in") ||
	    bring_up(sock, "out") || bring_up(sock, "bridge"))
		return "interfaces that can be set up";
	close(sock);
	return NULL;
}

/* ---- Through the kernel ---------------------------------------------------------------------- */

/* Whether the kernel took the frame. */
static bool send_frame(const uint8_t *bytes, uint32_t len, const struct vio_net_meta *meta)
{
	uint8_t header[VIO_NET_HDR_SIZE];
	struct iovec iov[2] = { { header, sizeof(header) }, { (void *)(uintptr_t)bytes, len } };

	vio_net_hdr_encode(header, sizeof(header), false, meta);
	if (writev(in, iov, 2) == (ssize_t)(sizeof(header) + len))
		return true;
	assert_int_equal(errno, EINVAL);
	return false;
}

/* The next of our frames, into @bytes; its length. Anybody else's is passed over. */
static uint32_t receive_frame(uint8_t bytes[NETFRAME_MAX], struct vio_net_meta *meta)
{
	static const uint8_t ours[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t header[VIO_NET_HDR_SIZE];
	struct iovec iov[2] = { { header, sizeof(header) }, { bytes, NETFRAME_MAX } };
	struct pollfd ready = { .fd = out, .events = POLLIN };

	for (;;) {
		ssize_t got;

		assert_int_equal(poll(&ready, 1, 10000), 1);
		got = readv(out, iov, 2);
		assert_true(got >= (ssize_t)sizeof(header) + VIO_ETH_HLEN);
		if (memcmp(bytes + 6, ours, 6))
			continue;
		vio_net_hdr_decode(header, sizeof(header), false, meta);
		return (uint32_t)got - VIO_NET_HDR_SIZE;
	}
}

/* Follows a frame, so that the end of its segments is known without waiting for nothing. */
static const uint8_t marker[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 'e', 'n', 'd' };

/* The kernel gives each fragmented IPv6 datagram an identification of its own, and so do we. */
static void neutralise_id(const struct netframe *f, uint8_t *bytes)
{
	if (f->spec.gso_type == VIO_NET_HDR_GSO_UDP && f->spec.ipv6 &&
	    f->len - f->split > f->spec.gso_size)
		vio_put_be32(bytes + f->split + 4, 0);
}

/* The next frame that has to come out: the next segment, or the whole frame, once. */
static bool make_next(struct vio_gso *gso, struct vio_frame *f, uint8_t *to, uint32_t *len,
		      unsigned index)
{
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[PIECES_MAX + 2];
	struct vio_frame made = *f;

	if (f->meta.gso_type) {
		if (vio_gso_next(gso, &made, scratch, iov + 1, PIECES_MAX + 1) != 1)
			return false;
	} else {
		if (index)
			return false;
		assert_int_equal(vio_frame_complete_csum(&made, scratch, iov + 1, PIECES_MAX + 1),
				 0);
	}
	*len = netframe_flatten(&made, to);
	return true;
}

/* Sends built[] and compares; false when the kernel does not take such frames. */
static bool compare_with_kernel(uint64_t *seed)
{
	static uint8_t theirs[NETFRAME_MAX], mine[NETFRAME_MAX];
	struct vio_net_meta none = { 0 }, meta;
	struct vio_gso gso = { 0 };
	struct vio_frame *f;
	uint32_t len = 0;
	unsigned i;

	if (!send_frame(built.bytes, built.len, &built.meta))
		return false;
	assert_true(send_frame(marker, sizeof(marker), &none));

	f = netframe_scatter(built.bytes, built.len, &built.meta,
			     netframe_between(seed, 1, PIECES_MAX), seed);
	if (f->meta.gso_type)
		assert_int_equal(vio_gso_init(&gso, f), 0);
	for (i = 0; make_next(&gso, f, mine, &len, i); i++) {
		assert_int_equal(receive_frame(theirs, &meta), len);
		assert_int_equal(meta.flags & VIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(meta.gso_type, VIO_NET_HDR_GSO_NONE);
		neutralise_id(&built, theirs);
		neutralise_id(&built, mine);
		assert_memory_equal(theirs, mine, len);
	}
	assert_true(i > 0);
	assert_int_equal(receive_frame(theirs, &meta), sizeof(marker));
	assert_memory_equal(theirs, marker, sizeof(marker));
	netframe_free(f);
	return true;
}

static void check_type(uint8_t gso_type, unsigned rounds)
{
	uint64_t seed = 113u + gso_type;
	unsigned i;

	for (i = 0; i < rounds; i++) {
		struct netframe_spec spec = netframe_random_gso(gso_type, &seed);

		if (gso_type == VIO_NET_HDR_GSO_UDP) {
			/*
			 * What Linux does with sizes that no offset can say is nobody's model.
			 * With extension headers it differs from RFC 8200, 4.5: their bytes go into
			 * the offsets of later fragments.
			 */
			spec.gso_size &= 0xfff8;
			spec.hop_by_hop = false;
			spec.destination = false;
		}
		netframe_build(&built, &spec, &seed);
		if (!compare_with_kernel(&seed)) {
			assert_int_equal(i, 0); /* all or none */
			print_message("this kernel does not take such frames from a tap\n");
			skip();
		}
	}
}

static void test_tcpv4(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV4, ROUNDS);
}

static void test_tcpv4_ecn(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN, ROUNDS);
}

static void test_tcpv6(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV6, ROUNDS);
}

static void test_tcpv6_ecn(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN, ROUNDS);
}

static void test_uso(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_UDP_L4, ROUNDS);
}

static void test_ufo(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_UDP, ROUNDS);
}

/* No segmentation, only the checksum left to do. */
static void test_checksum(void **state)
{
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP };
	uint64_t seed = 127;
	unsigned i;

	(void)state;
	for (i = 0; i < 3 * ROUNDS; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i % 3], &seed);

		spec.gso_type = VIO_NET_HDR_GSO_NONE;
		spec.gso_size = 0;
		netframe_build(&built, &spec, &seed);
		assert_true(compare_with_kernel(&seed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),  cmocka_unit_test(test_tcpv4),
		cmocka_unit_test(test_tcpv4_ecn), cmocka_unit_test(test_tcpv6),
		cmocka_unit_test(test_tcpv6_ecn), cmocka_unit_test(test_uso),
		cmocka_unit_test(test_ufo),
	};
	const char *missing = set_up();

	if (missing) {
		printf("skipped: this needs %s (%s)\n", missing, strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests_name("net_kernel", tests, NULL, NULL);
}
