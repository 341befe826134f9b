/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzzers share.
 *
 * A fuzzer is a program whose input is a string of bytes that libFuzzer makes up, guided by which
 * code an input reaches. Ours read it as a script: a byte chooses a step, the bytes after it say
 * how. Most steps do what a peer that means well does, because bytes alone would hardly ever get
 * past the first check; the others scribble over whatever the peer shares with us. A script that
 * ends early reads zeros from there on, so that every input means something.
 *
 * A run has no effect on the next one, reads no clock that matters and waits for nobody. What must
 * hold is said with check(); what must not be touched is memory of its own, so that the address
 * sanitizer sees it.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <vioduct/frame.h>
#include <vioduct/host.h>
#include <vioduct/virtio.h>

#include "../lib/check.h"
#include "base/bits.h"
#include "base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* A number of @bytes bytes. */
static inline uint64_t fuzz_uint(struct fuzz_input *in, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | fuzz_u8(in);
	return value;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	return (uint16_t)fuzz_uint(in, 2);
}

/* Copies up to @n bytes; those that are missing are left as they are. Returns how many there were. */
static inline size_t fuzz_copy(struct fuzz_input *in, void *to, size_t n)
{
	n = vio_min(n, in->left);
	if (n > 0)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

/* An ordinary process's host, but silent. */
static inline const struct vio_host *fuzz_host(void)
{
	static struct vio_host host;

	if (!host.alloc) {
		host = *vio_host_linux(VIO_LOG_ERROR);
		host.log = NULL;
	}
	return &host;
}

/* Reads both ends of a piece; what lies between is then in the same mapping or allocation. */
static inline void fuzz_touch(const void *p, size_t len)
{
	static volatile uint8_t sink;

	if (len == 0)
		return;
	sink ^= *(const uint8_t *)p;
	sink ^= ((const uint8_t *)p)[len - 1];
	(void)sink;
}

/* How many of the lowest descriptors are open. */
static inline unsigned fuzz_open_fds(void)
{
	struct pollfd fds[128];
	unsigned open = 0;

	for (unsigned i = 0; i < vio_array_size(fds); i++)
		fds[i] = (struct pollfd){ .fd = (int)i };
	poll(fds, vio_array_size(fds), 0);
	for (unsigned i = 0; i < vio_array_size(fds); i++)
		open += !(fds[i].revents & POLLNVAL);
	return open;
}

/* Any net header whatsoever. */
static inline struct vio_net_meta fuzz_meta(struct fuzz_input *in)
{
	return (struct vio_net_meta){
		.flags = fuzz_u8(in),
		.gso_type = fuzz_u8(in),
		.hdr_len = fuzz_u16(in),
		.gso_size = fuzz_u16(in),
		.csum_start = fuzz_u16(in),
		.csum_offset = fuzz_u16(in),
		.num_buffers = fuzz_u8(in),
	};
}

/* What a checked net header may say of a frame of @len bytes; its user trusts it (frame.h). */
static inline void fuzz_check_meta(const struct vio_net_meta *m, uint32_t len)
{
	const uint8_t flags = VIO_NET_HDR_F_NEEDS_CSUM | VIO_NET_HDR_F_DATA_VALID;

	check((m->flags & ~flags) == 0);
	check(m->hdr_len <= len);
	if (m->flags & VIO_NET_HDR_F_NEEDS_CSUM)
		check((uint32_t)m->csum_start + m->csum_offset + 2 <= len);
	if (m->gso_type != VIO_NET_HDR_GSO_NONE)
		check(m->gso_size > 0);
}

#define FUZZ_HEADERS_MAX (18 + 40 + 8 + 60)

static inline uint32_t fuzz_ip(uint8_t *to, bool ipv6, uint8_t protocol)
{
	if (!ipv6) {
		to[0] = 0x45;
		to[9] = protocol;
		return 20;
	}
	to[0] = 0x60;
	to[6] = protocol;
	return 40;
}

/*
 * Headers of a packet that can be cut and needs its checksum, with a net header that fits, in all
 * the kinds there are; then changed in up to three bytes. Returns their length.
 */
static inline uint32_t fuzz_headers(struct fuzz_input *in, uint8_t to[FUZZ_HEADERS_MAX],
				    struct vio_net_meta *meta)
{
	uint8_t kind = fuzz_u8(in), changes = fuzz_u8(in) & 3;
	bool vlan = kind & 1, ipv6 = kind & 2, udp = kind & 4;
	uint32_t at = 12;

	memset(to, 0, FUZZ_HEADERS_MAX);
	*meta = (struct vio_net_meta){ .gso_size = fuzz_u16(in) };
	if (vlan) {
		vio_put_be16(to + at, 0x8100);
		at += 4;
	}
	vio_put_be16(to + at, ipv6 ? 0x86dd : 0x0800);
	at += 2;
	at += fuzz_ip(to + at, ipv6, udp ? 17 : 6);
	meta->csum_start = (uint16_t)at;
	meta->csum_offset = udp ? 6 : 16;
	meta->flags = kind & 8 ? VIO_NET_HDR_F_NEEDS_CSUM : 0;
	if (udp)
		meta->gso_type = kind & 16 ? VIO_NET_HDR_GSO_UDP : VIO_NET_HDR_GSO_UDP_L4;
	else
		meta->gso_type = ipv6 ? VIO_NET_HDR_GSO_TCPV6 : VIO_NET_HDR_GSO_TCPV4;
	if (!udp)
		to[at + 12] = 0x50;
	at += udp ? 8 : 20;
	if (kind & 32)
		meta->gso_type = VIO_NET_HDR_GSO_NONE;
	else if (kind & 64)
		meta->gso_type |= VIO_NET_HDR_GSO_ECN;
	meta->hdr_len = (uint16_t)at;
	while (changes-- > 0) {
		uint32_t where = fuzz_u8(in) % FUZZ_HEADERS_MAX;

		to[where] = fuzz_u8(in);
	}
	/* What follows the transport header may be options. */
	return kind & 128 ? FUZZ_HEADERS_MAX : at;
}

#endif
