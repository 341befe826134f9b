/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * H6, H7, H9, H16: net headers and frames made by somebody who means harm. Whatever comes, the
 * answer is -EINVAL or well-formed frames; nothing outside the frame is read (the sanitizers see
 * to that: each piece is an allocation of its own) and work stays in proportion to the frame.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "net/parse.h"
#include "netframe.h"

#define PIECES_MAX 40

static const uint8_t gso_types[] = { VIO_NET_HDR_GSO_TCPV4,
				     VIO_NET_HDR_GSO_TCPV6,
				     VIO_NET_HDR_GSO_UDP,
				     VIO_NET_HDR_GSO_UDP_L4,
				     VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
				     VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN };
static struct netframe built;

/* Reads every byte, so that a reference to what isn't ours shows; returns how many there were. */
static uint32_t touch(const struct vio_frame *f)
{
	static volatile uint8_t sink;
	uint32_t len = 0;
	size_t k;
	unsigned i;

	for (i = 0; i < f->iovcnt; i++) {
		for (k = 0; k < f->iov[i].len; k++)
			sink ^= ((const uint8_t *)f->iov[i].base)[k];
		len += (uint32_t)f->iov[i].len;
	}
	(void)sink;
	return len;
}

/* Cuts @f as far as @limit segments; returns how many there were, or -EINVAL. */
static int cut(const struct vio_frame *f, unsigned limit)
{
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[PIECES_MAX + 2];
	uint64_t payload = 0;
	struct vio_frame out;
	struct vio_gso gso;
	unsigned count = 0;
	int got;

	if (vio_gso_init(&gso, f))
		return -EINVAL;
	assert_true(gso.hdr_len <= f->len);
	while ((got = vio_gso_next(&gso, &out, scratch, iov + 1, f->iovcnt + 1u)) == 1) {
		assert_int_equal(touch(&out), out.len);
		assert_true(out.len >= gso.hdr_len);
		assert_int_equal(out.meta.gso_type, VIO_NET_HDR_GSO_NONE);
		payload += out.len - gso.hdr_len;
		if (++count == limit)
			return (int)count;
	}
	assert_int_equal(got, 0);
	assert_int_equal(count, gso.segments);
	/* IPv6 fragments bring 8 bytes of header each. */
	if (count == 1 || payload != (uint64_t)(f->len - gso.hdr_len) + 8u * count)
		assert_int_equal(payload, f->len - gso.hdr_len);
	return (int)count;
}

/* Both things that are done to a frame; returns whether it could be cut. */
static bool torment(const uint8_t *bytes, uint32_t len, const struct vio_net_meta *meta,
		    uint64_t *seed)
{
	struct vio_frame *f =
		netframe_scatter(bytes, len, meta, netframe_between(seed, 1, PIECES_MAX), seed);
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[PIECES_MAX + 2];
	struct vio_frame completed = *f;
	int count = 0;

	if (meta->gso_type)
		count = cut(f, 200);
	if (vio_frame_complete_csum(&completed, scratch, iov + 1, f->iovcnt + 1u) == 0)
		assert_int_equal(completed.iovcnt ? touch(&completed) : 0, len);
	netframe_free(f);
	return count > 0;
}

/* H6: every length of net header, none of which is read beyond. */
static void test_h06_short_headers(void **state)
{
	struct vio_net_meta meta;
	size_t len;

	(void)state;
	for (len = 0; len <= 32; len++) {
		uint8_t *wire = malloc(len ? len : 1);

		memset(wire, 0xff, len ? len : 1);
		vio_net_hdr_decode(wire, len, false, &meta);
		assert_int_equal(meta.flags, len > 0 ? 0xff : 0);
		assert_int_equal(meta.num_buffers, len >= 12 ? 0xffff : len == 11 ? 0xff : 0);
		vio_net_hdr_encode(wire, len, true, &meta);
		free(wire);
	}
}

/* H7: every place for a checksum in a small frame, and those that wrap 16 bits. */
static void test_h07_checksum_offsets(void **state)
{
	static const uint8_t frame[80];
	uint64_t seed = 71;
	unsigned start, offset, i;

	(void)state;
	for (start = 0; start < 90; start++) {
		for (offset = 0; offset < 90; offset++) {
			uint32_t len = netframe_between(&seed, 14, 80);
			struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
						     .csum_start = (uint16_t)start,
						     .csum_offset = (uint16_t)offset };
			enum vio_drop why;
			int err = vio_net_check_tx(&meta, len, vio_feature(VIO_NET_F_CSUM), &why);

			assert_int_equal(err, start + offset + 2 <= len ? 0 : -EINVAL);
			/* Also unchecked: whoever forgets the check loses a frame, no more. */
			torment(frame, len, &meta, &seed);
		}
	}
	for (i = 0; i < 200; i++) {
		struct vio_net_meta meta = {
			.flags = VIO_NET_HDR_F_NEEDS_CSUM,
			.csum_start = (uint16_t)netframe_between(&seed, 0xffc0, 0xffff),
			.csum_offset = (uint16_t)netframe_between(&seed, 0, 0xffff)
		};
		enum vio_drop why;

		assert_int_equal(
			vio_net_check_tx(&meta, 65535, vio_feature(VIO_NET_F_CSUM), &why),
			(unsigned)meta.csum_start + meta.csum_offset + 2 <= 65535 ? 0 : -EINVAL);
		torment(frame, 80, &meta, &seed);
	}
}

/* H7: headers of pure noise before frames that are right. */
static void test_h07_random_headers(void **state)
{
	uint64_t seed = 73;
	unsigned round;

	(void)state;
	for (round = 0; round < 4000; round++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[round % 6], &seed);
		uint8_t wire[VIO_NET_HDR_SIZE];
		struct vio_net_meta meta;
		enum vio_drop why = VIO_DROP_NR;
		unsigned i;

		spec.payload %= 3000;
		netframe_build(&built, &spec, &seed);
		for (i = 0; i < sizeof(wire); i++)
			wire[i] = (uint8_t)netframe_random(&seed);
		if (round % 2)
			wire[1] = spec.gso_type;
		if (round % 4 == 3)
			wire[4] = wire[5] = 0;
		vio_net_hdr_decode(wire, sizeof(wire), false, &meta);
		torment(built.bytes, built.len, &meta, &seed);
		if (vio_net_check_tx(&meta, built.len, netframe_random(&seed), &why) == 0)
			torment(built.bytes, built.len, &meta, &seed);
		else
			assert_true(why < VIO_DROP_NR);
	}
}

/* H7: a segment of one byte is allowed; there are as many as there is payload, and no more. */
static void test_h07_gso_size(void **state)
{
	uint64_t seed = 79;
	unsigned i, size;

	(void)state;
	for (i = 0; i < sizeof(gso_types); i++) {
		for (size = 0; size < 20; size++) {
			struct netframe_spec spec = netframe_random_gso(gso_types[i], &seed);
			bool ufo = spec.gso_type == VIO_NET_HDR_GSO_UDP;
			struct vio_frame *f;
			uint32_t part, step;
			int count;

			spec.payload = 1000;
			spec.gso_size = (uint16_t)size;
			netframe_build(&built, &spec, &seed);
			f = netframe_scatter(built.bytes, built.len, &built.meta, PIECES_MAX,
					     &seed);
			part = ufo ? built.len - built.split : 1000;
			step = ufo ? size & ~7u : size;
			count = cut(f, UINT16_MAX);
			if (step == 0)
				assert_int_equal(count, -EINVAL);
			else
				assert_int_equal(count, (part + step - 1) / step);
			netframe_free(f);
		}
	}
}

/* H9: frames of every odd size, of zeros and of the beginning of something that is right. */
static void test_h09_sizes(void **state)
{
	static const uint32_t sizes[] = { 0,  1,  12, 13,   14,	   15,	  18,	 22,	33,
					  34, 53, 54, 1514, 65535, 65562, 65589, 65590, 65601 };
	static const uint8_t zeros[NETFRAME_MAX];
	uint64_t seed = 83;
	unsigned i, type;

	(void)state;
	for (type = 0; type < sizeof(gso_types); type++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[type], &seed);

		spec.payload = 65000;
		netframe_build(&built, &spec, &seed);
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct vio_net_meta meta = built.meta;
			enum vio_drop why = VIO_DROP_NR;
			int err = vio_net_check_tx(&meta, sizes[i], UINT64_MAX, &why);

			if (sizes[i] < 14 || sizes[i] > 65589)
				assert_int_equal(why,
						 sizes[i] < 14 ? VIO_DROP_SHORT : VIO_DROP_TOO_BIG);
			assert_int_equal(err != 0, why != VIO_DROP_NR);
			torment(zeros, sizes[i], &built.meta, &seed);
			torment(built.bytes, sizes[i], &built.meta, &seed);
		}
	}
}

/* A length that the pieces don't hold is nobody's to read. */
static void test_frame_longer_than_its_pieces(void **state)
{
	struct netframe_spec spec = { .payload = 500,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 100,
				      .needs_csum = true };
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[8];
	uint64_t seed = 89;
	struct vio_frame *f;
	uint32_t more;

	(void)state;
	netframe_build(&built, &spec, &seed);
	for (more = 1; more < 200; more += 13) {
		f = netframe_scatter(built.bytes, built.len, &built.meta, 3, &seed);
		f->len += more;
		assert_int_equal(cut(f, 100), -EINVAL);
		assert_int_equal(vio_frame_complete_csum(f, scratch, iov + 1, 7), -EINVAL);
		f->iovcnt = 0;
		assert_int_equal(cut(f, 100), -EINVAL);
		assert_int_equal(vio_frame_complete_csum(f, scratch, iov + 1, 7), -EINVAL);
		f->iovcnt = 3;
		netframe_free(f);
	}
}

/* H16: right frames cut short at each byte of their headers. */
static void test_h16_truncated(void **state)
{
	uint64_t seed = 97;
	unsigned round;
	uint32_t len;

	(void)state;
	for (round = 0; round < 60; round++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[round % 6], &seed);

		spec.payload = 4;
		netframe_build(&built, &spec, &seed);
		for (len = 0; len < built.payload_at; len++)
			assert_false(torment(built.bytes, len, &built.meta, &seed));
		assert_true(torment(built.bytes, built.payload_at, &built.meta, &seed));
	}
}

/* H16: each byte of the headers lies: lengths, versions, protocols, next headers, types. */
static void test_h16_lying_headers(void **state)
{
	static const uint8_t values[] = { 0,	0x01, 0x0f, 0x2c, 0x2b, 0x33, 0x3c, 0x40,
					  0x4f, 0x50, 0x60, 0x81, 0x88, 0xf0, 0xff };
	uint64_t seed = 101;
	unsigned round, v;
	uint32_t at;

	(void)state;
	for (round = 0; round < 30; round++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[round % 6], &seed);

		spec.payload = netframe_between(&seed, 0, 60);
		netframe_build(&built, &spec, &seed);
		for (at = 12; at < built.payload_at; at++) {
			uint8_t right = built.bytes[at];

			for (v = 0; v < sizeof(values); v++) {
				built.bytes[at] = values[v];
				torment(built.bytes, built.len, &built.meta, &seed);
			}
			built.bytes[at] = right;
		}
	}
}

/* H16: several bytes lie at once, and much of what follows is noise. */
static void test_h16_noise(void **state)
{
	uint64_t seed = 103;
	unsigned round, i, cuts = 0;

	(void)state;
	for (round = 0; round < 20000; round++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[round % 6], &seed);

		spec.payload = netframe_between(&seed, 0, 700);
		netframe_build(&built, &spec, &seed);
		for (i = netframe_between(&seed, 1, 6); i; i--)
			built.bytes[netframe_between(&seed, 12, built.payload_at)] =
				(uint8_t)netframe_random(&seed);
		cuts += torment(built.bytes, built.len, &built.meta, &seed);
	}
	assert_true(cuts > 100 && cuts < 20000);
}

/* H16: headers longer than the private copy, made of extension headers that are right. */
static void test_h16_headers_beyond_the_copy(void **state)
{
	struct netframe_spec spec = { .ipv6 = true,
				      .payload = 2000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV6,
				      .gso_size = 100,
				      .needs_csum = true };
	uint64_t seed = 107;
	unsigned units;

	(void)state;
	for (units = 1; units < 200; units++) {
		uint32_t l4 = 54 + units * 8;
		unsigned type;

		for (type = 0; type < 2; type++) {
			bool udp = type == 1;
			uint32_t end = l4 + (udp ? 8 + 8 : 20);
			bool cut_it;

			spec.udp = udp;
			spec.gso_type = udp ? VIO_NET_HDR_GSO_UDP : VIO_NET_HDR_GSO_TCPV6;
			netframe_build(&built, &spec, &seed);
			built.bytes[20] = 60;
			built.bytes[54] = udp ? VIO_IPPROTO_UDP : VIO_IPPROTO_TCP;
			built.bytes[55] = (uint8_t)(units - 1);
			built.bytes[l4 + 12] = 0x50;
			cut_it = torment(built.bytes, built.len, &built.meta, &seed);
			assert_int_equal(cut_it, end <= VIO_HDR_SCRATCH);
		}
	}
}

/*
 * The sender writes into the frame after it was looked at: the segments' headers are what was
 * checked. Their payload is the sender's to spoil.
 */
static void test_h05_headers_change(void **state)
{
	static uint8_t want[NETFRAME_MAX];
	uint64_t seed = 109;
	unsigned round;

	(void)state;
	for (round = 0; round < 60; round++) {
		struct netframe_spec spec = netframe_random_gso(gso_types[round % 6], &seed);
		bool ufo = spec.gso_type == VIO_NET_HDR_GSO_UDP;
		uint8_t scratch[VIO_HDR_SCRATCH];
		struct vio_iov iov[PIECES_MAX + 2];
		struct vio_frame *f, out;
		struct vio_gso gso;
		unsigned i;

		spec.payload = 500;
		spec.gso_size = (uint16_t)netframe_between(&seed, 100, 600);
		netframe_build(&built, &spec, &seed);
		f = netframe_scatter(built.bytes, built.len, &built.meta, PIECES_MAX, &seed);
		assert_int_equal(vio_gso_init(&gso, f), 0);
		for (i = 0; i < f->iovcnt; i++)
			memset(f->iov[i].base, 0xff, f->iov[i].len);
		for (i = 0; i < gso.segments; i++) {
			assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, PIECES_MAX + 1),
					 1);
			assert_int_equal(netframe_segment(&built, i, want), out.len);
			/* Up to the transport header nothing depends on the payload, except the
			 * identification that IPv6 fragments get. */
			assert_memory_equal(scratch, want, ufo ? built.split : built.l4);
		}
		netframe_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h05_headers_change),
		cmocka_unit_test(test_h06_short_headers),
		cmocka_unit_test(test_h07_checksum_offsets),
		cmocka_unit_test(test_h07_random_headers),
		cmocka_unit_test(test_h07_gso_size),
		cmocka_unit_test(test_h09_sizes),
		cmocka_unit_test(test_frame_longer_than_its_pieces),
		cmocka_unit_test(test_h16_truncated),
		cmocka_unit_test(test_h16_lying_headers),
		cmocka_unit_test(test_h16_noise),
		cmocka_unit_test(test_h16_headers_beyond_the_copy),
	};

	return cmocka_run_group_tests_name("net_frames", tests, NULL, NULL);
}
