/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's side of a tap, for tests of the back end: a network namespace of the test's own, and
 * packet sockets on its interfaces.
 */
#ifndef TEST_BACKEND_TAP_H
#define TEST_BACKEND_TAP_H

#include "backend_sink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/endian.h"
#include "mem/map_linux.h"
#include "netframe.h"

#define PROTOCOL 0x88b5 /* of numbered_frame() */

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			print_message("%s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* A namespace of our own, quiet: without IPv6 the kernel sends nothing by itself. */
static inline const char *enter_namespace(void)
{
	unsigned uid = (unsigned)getuid();
	char map[32];

	if (unshare(CLONE_NEWNET) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			return "no network namespace";
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_text("/proc/self/uid_map", map);
	}
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return "no /dev/net/tun";
	write_text("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return NULL;
}

static inline int ioctl_ifr(unsigned long request, struct ifreq *ifr)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	ret = ioctl(sock, request, ifr);
	close(sock);
	return ret;
}

static inline unsigned interface_flags(const char *name)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl_ifr(SIOCGIFFLAGS, &ifr), 0);
	return (unsigned short)ifr.ifr_flags;
}

static inline int interface_mtu(const char *name)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl_ifr(SIOCGIFMTU, &ifr), 0);
	return ifr.ifr_mtu;
}

static inline void set_up(const char *name, bool up)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl_ifr(SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl_ifr(SIOCSIFFLAGS, &ifr), 0);
}

/* The kernel's side of interface @name: frames of our protocol, or of IP with @offloads. */
static inline int packet_socket(const char *name, uint16_t protocol, bool offloads)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(protocol));
	int on = 1;

	assert_true(fd >= 0);
	if (offloads)
		assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static inline struct vio_backend *open_quiet(const char *spec, unsigned pairs,
					     struct vio_error *err)
{
	struct vio_backend_config config = backend_config(pairs);
	struct vio_backend *be = NULL;

	vio_backend_open(spec, &config, &be, err);
	return be;
}

/* Waits until pair @pair can be served, and serves it until @n frames are there. */
static inline void receive_until(struct vio_backend *be, unsigned pair, struct guest *g, unsigned n)
{
	struct pollfd fd = { be->ops->fd(be, pair), POLLIN, 0 };

	while (g->num_got < n) {
		if (be->ops->receive(be, pair, 64) == 0)
			assert_int_equal(poll(&fd, 1, 10000), 1);
	}
}

static inline void kernel_sends(int fd, uint32_t len, uint32_t number)
{
	uint8_t bytes[4000];

	numbered_frame(bytes, len, number);
	assert_int_equal(send(fd, bytes, len, 0), len);
}

static inline void kernel_sends_large(int fd, const struct netframe *f)
{
	uint8_t header[10];
	struct iovec iov[2] = { { header, 10 }, { (void *)(uintptr_t)f->bytes, f->len } };

	vio_net_hdr_encode(header, sizeof(header), false, &f->meta);
	assert_int_equal(writev(fd, iov, 2), f->len + 10);
}

/* A large TCP frame with everything still to do. */
static inline void build_large(struct netframe *f, uint8_t gso, uint32_t payload)
{
	struct netframe_spec spec = {
		.ipv6 = gso == VIO_NET_HDR_GSO_TCPV6,
		.payload = payload,
		.gso_type = gso,
		.gso_size = 1400,
		.needs_csum = true,
		.tcp_flags = 0x10,
	};
	uint64_t seed = 11;

	netframe_build(f, &spec, &seed);
	f->meta.hdr_len = (uint16_t)f->payload_at;
}

/* The tap t0, the kernel's side of it, and a guest with @buffers of @len bytes that has started. */
struct tap {
	struct vio_backend *be;
	int fd;
	struct guest g;
};

static inline void tap_open(struct tap *t, unsigned buffers, uint32_t len, bool joins)
{
	t->be = open_backend("tap,name=t0", 1);
	t->fd = packet_socket("t0", PROTOCOL, false);
	guest_init(&t->g, buffers, len, joins);
	start_one(t->be, &t->g);
}

static inline void tap_close(struct tap *t)
{
	close(t->fd);
	vio_backend_close(t->be);
	guest_exit(&t->g);
}

/* The guest got frames 0 to @n - 1 of kernel_sends(), each once, whole, in order; none was dropped. */
static inline void expect_received(const struct guest *g, unsigned n, uint32_t (*len)(unsigned i))
{
	uint8_t bytes[4000];

	assert_int_equal(g->num_got, n);
	for (unsigned i = 0; i < n; i++) {
		numbered_frame(bytes, len(i), i);
		assert_int_equal(g->got[i].len, len(i));
		assert_memory_equal(g->got[i].bytes, bytes, g->got[i].len);
		assert_int_equal(g->got[i].meta.flags, 0);
	}
	for (unsigned i = 0; i < VIO_DROP_NR; i++)
		assert_int_equal(g->drops[i], 0);
}

/* @n frames to a guest whose buffers have @size bytes; it begins without any. What it receives, gives
 * and else does in each round, from 1, is @round's affair. */
static inline void receive_in_rounds(uint32_t size, unsigned n, uint32_t (*len)(unsigned i),
				     void (*round)(struct tap *t, unsigned round))
{
	struct tap t;

	tap_open(&t, 0, size, true);
	for (unsigned i = 0; i < n; i++)
		kernel_sends(t.fd, len(i), i);
	for (unsigned i = 1; t.g.num_got < n; i++) {
		assert_true(i < 100000);
		round(&t, i);
	}
	expect_received(&t.g, n, len);
	tap_close(&t);
}

#endif
