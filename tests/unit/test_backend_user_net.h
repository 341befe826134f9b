/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the user back end share: a guest on it, made by hand, and its frames. */
#ifndef TEST_BACKEND_USER_NET_H
#define TEST_BACKEND_USER_NET_H

#include "backend_sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/endian.h"

#define GUEST_IP 0x0a00020f
#define HOST_IP	 0x0a000202
static const uint8_t gateway_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };
static uint8_t out[70000];

static inline uint32_t add_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline void put_ethernet(uint16_t type)
{
	memcpy(out, gateway_mac, 6);
	memcpy(out + 6, guest_mac, 6);
	vio_put_be16(out + 12, type);
}

/* Headers around @len bytes of transport at out + 34, whose checksum field is at @at in it. */
static inline uint32_t put_ip(uint8_t protocol, uint32_t from, uint32_t to, uint32_t len,
			      uint32_t at)
{
	uint8_t *ip = out + 14;
	uint32_t pseudo = 0;

	put_ethernet(0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	vio_put_be16(ip + 2, (uint16_t)(20 + len));
	ip[8] = 64;
	ip[9] = protocol;
	vio_put_be32(ip + 12, from);
	vio_put_be32(ip + 16, to);
	vio_put_be16(ip + 10, (uint16_t)~add_sum(ip, 20, 0));
	if (protocol != 1)
		pseudo = add_sum(ip + 12, 8, protocol + len);
	vio_put_be16(ip + 20 + at, 0);
	vio_put_be16(ip + 20 + at, (uint16_t)~add_sum(ip + 20, len, pseudo));
	return 34 + len;
}

struct net {
	struct vio_backend *be;
	struct guest g[4];
	unsigned pairs;
	unsigned seen[4]; /* frames that the test has looked at */
};

static inline void net_open(struct net *n, const char *spec, unsigned pairs)
{
	struct vio_sink *sinks[4];

	n->be = open_backend(spec, pairs);
	n->pairs = pairs;
	for (unsigned i = 0; i < pairs; i++) {
		guest_init(&n->g[i], GUEST_QUEUE, 2048, false);
		sinks[i] = &n->g[i].sink;
		n->seen[i] = 0;
	}
	assert_int_equal(n->be->ops->start(n->be, sinks, pairs), 0);
}

static inline void net_close(struct net *n)
{
	n->be->ops->stop(n->be);
	vio_backend_close(n->be);
	for (unsigned i = 0; i < n->pairs; i++)
		guest_exit(&n->g[i]);
}

static inline void net_send(struct net *n, unsigned pair, uint32_t len)
{
	struct sent_frame s;

	sent_init(&s, out, len, len < 8 ? 1 : 1 + len % 8);
	assert_int_equal(n->be->ops->send(n->be, pair, &s.frame, 1), 1);
	memset(s.bytes, 0xee, len); /* the guest's again */
	sent_exit(&s);
}

/* Waits until a pair or @extra (-1: none) has something; returns how many of them have. */
static inline int net_poll(struct net *n, int extra, int ms)
{
	struct pollfd fds[5] = { { extra, POLLIN, 0 } };

	for (unsigned i = 0; i < n->pairs; i++)
		fds[1 + i] = (struct pollfd){ n->be->ops->fd(n->be, i), POLLIN, 0 };
	return poll(fds, 1 + n->pairs, ms);
}

/* One round of a worker: serve all pairs, and sleep when there is nothing to do. */
static inline void net_work(struct net *n, int extra)
{
	bool work = false;

	for (unsigned i = 0; i < n->pairs; i++)
		work |= n->be->ops->receive(n->be, i, 64) != 0;
	for (unsigned i = 0; i < n->pairs && !work; i++)
		work = n->be->ops->arm(n->be, i);
	if (!work)
		assert_true(net_poll(n, extra, 20000) > 0);
}

/* The next frame for @pair. */
static inline struct got_frame *net_next(struct net *n, unsigned pair)
{
	while (n->g[pair].num_got == n->seen[pair])
		net_work(n, -1);
	return &n->g[pair].got[n->seen[pair]++];
}

/* The next frame of IP protocol @protocol; others (ARP) are answered or passed over. */
static inline struct got_frame *net_next_ip(struct net *n, unsigned pair, uint8_t protocol)
{
	for (;;) {
		struct got_frame *f = net_next(n, pair);

		if (vio_get_be16(f->bytes + 12) == 0x0800 && f->bytes[23] == protocol) {
			assert_int_equal(add_sum(f->bytes + 14, 20, 0), 0xffff);
			return f;
		}
		if (vio_get_be16(f->bytes + 12) == 0x0806 && vio_get_be16(f->bytes + 20) == 1 &&
		    vio_get_be32(f->bytes + 38) == GUEST_IP) {
			memcpy(out, f->bytes, 42);
			memcpy(out, f->bytes + 6, 6);
			memcpy(out + 6, guest_mac, 6);
			out[21] = 2;
			memcpy(out + 22, guest_mac, 6);
			memcpy(out + 28, f->bytes + 38, 4);
			memcpy(out + 32, f->bytes + 22, 10);
			net_send(n, pair, 42);
		}
	}
}

static inline void announce(struct net *n, unsigned pair)
{
	put_ethernet(0x0806);
	memset(out, 0xff, 6);
	memcpy(out + 14, (uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, 1 }, 8);
	memcpy(out + 22, guest_mac, 6);
	vio_put_be32(out + 28, GUEST_IP);
	memset(out + 32, 0, 6);
	vio_put_be32(out + 38, HOST_IP);
	net_send(n, pair, 42);
}

#endif
