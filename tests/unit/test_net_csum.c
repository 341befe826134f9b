/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum: against one that adds byte by byte, and each variant against the others. */
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

#include "base/endian.h"
#include "base/simd.h"
#include "net/csum.h"
#include "netframe.h"

static uint8_t bytes[NETFRAME_MAX];

static void fill(uint64_t *seed)
{
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)netframe_random(seed);
}

/* What a checksum is in memory, as a number. */
static uint16_t folded(uint64_t sum)
{
	uint16_t check = vio_csum_fold(sum);

	return vio_be16(check);
}

/* RFC 1071, 3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum up to ddf2. */
static void test_rfc_example(void **state)
{
	static const uint8_t example[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(folded(vio_csum_add(example, 8, 0)), (uint16_t)~0xddf2);
	assert_int_equal(folded(vio_csum_add(NULL, 0, 0)), 0xffff);
	assert_int_equal(folded(vio_csum_add("\x12", 1, 0)), (uint16_t)~0x1200);
}

/* Every length around what the variants take at once, at every alignment. */
static void check_variant(vio_csum_fn *variant)
{
	uint64_t seed = 3;
	unsigned len, at;

	fill(&seed);
	for (len = 0; len < 600; len++) {
		for (at = 0; at < 33; at++)
			assert_int_equal(folded(variant(bytes + at, len, 0)),
					 netframe_plain_check(bytes + at, len, 0));
	}
	assert_int_equal(folded(variant(bytes, 65535, 0)), netframe_plain_check(bytes, 65535, 0));
	/* Carries everywhere, and a sum that is about to overflow when it comes in. */
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(folded(variant(bytes, sizeof(bytes), 0)), 0);
	assert_int_equal(folded(variant(bytes, sizeof(bytes), UINT64_MAX)), 0);
	bytes[999] = 0xfe;
	assert_int_equal(folded(variant(bytes, 1000, UINT64_MAX)),
			 netframe_plain_check(bytes, 1000, 0));
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(folded(variant(bytes, sizeof(bytes), 0)), 0xffff);
}

static void test_scalar(void **state)
{
	(void)state;
	check_variant(vio_csum_scalar);
}

/* What is chosen at each level, and with each of them what everybody calls. */
static void test_levels(void **state)
{
	const enum vio_simd best = vio_simd_force(VIO_SIMD_LEVELS - 1);
	unsigned level;

	(void)state;
	for (level = 0; level < VIO_SIMD_LEVELS; level++) {
		vio_csum_fn *variant;

		if (vio_simd_force((enum vio_simd)level) != (enum vio_simd)level)
			continue;
		variant = vio_csum_long();
		assert_true((variant == vio_csum_scalar) == (level == VIO_SIMD_SCALAR));
		check_variant(variant);
		check_variant(vio_csum_add);
	}
	assert_int_equal(vio_simd_force(VIO_SIMD_LEVELS - 1), best);
}

/* Pieces may end anywhere, also in the middle of a word; where they are cut changes nothing. */
static void test_pieces(void **state)
{
	static const struct vio_net_meta none;
	uint64_t seed = 5;
	unsigned round;

	(void)state;
	fill(&seed);
	for (round = 0; round < 3000; round++) {
		uint32_t total = netframe_between(&seed, 1, 2000);
		uint32_t off = netframe_between(&seed, 0, total);
		uint32_t len = netframe_between(&seed, 0, total - off);
		struct vio_frame *f = netframe_scatter(bytes, total, &none,
						       netframe_between(&seed, 1, 20), &seed);

		assert_int_equal(folded(vio_csum_iov(f->iov, f->iovcnt, off, len, 0)),
				 netframe_plain_check(bytes + off, len, 0));
		assert_int_equal(folded(vio_csum_iov(f->iov, f->iovcnt, off, len,
						     vio_csum_add("\xab\xcd", 2, 0))),
				 netframe_plain_check(bytes + off, len, 0xabcd));
		netframe_free(f);
	}
}

/* More asked for than there is: the sum of what there is. */
static void test_pieces_end_early(void **state)
{
	struct vio_iov iov[2] = { { bytes, 3 }, { bytes + 3, 4 } };
	uint64_t seed = 7;

	(void)state;
	fill(&seed);
	assert_int_equal(folded(vio_csum_iov(iov, 2, 0, 100, 0)),
			 netframe_plain_check(bytes, 7, 0));
	assert_int_equal(folded(vio_csum_iov(iov, 2, 8, 100, 0)), 0xffff);
	assert_int_equal(folded(vio_csum_iov(iov, 0, 0, 100, 0)), 0xffff);
}

static void test_pseudo_header(void **state)
{
	uint8_t ipv4[20] = { 0x45 }, ipv6[40] = { 0x60 };
	uint64_t seed = 9;
	unsigned i;

	(void)state;
	for (i = 8; i < 40; i++)
		ipv6[i] = (uint8_t)netframe_random(&seed);
	memcpy(ipv4 + 12, ipv6 + 8, 8);
	assert_int_equal(folded(vio_csum_pseudo(ipv4, 4, 17, 0x1234)),
			 netframe_plain_check(ipv4 + 12, 8, 17 + 0x1234));
	assert_int_equal(folded(vio_csum_pseudo(ipv6, 6, 6, 0x10002)),
			 netframe_plain_check(ipv6 + 8, 32, 6 + 3));
}

/* ---- vio_frame_complete_csum() --------------------------------------------------------------- */

static struct netframe built;

/* Completes @f's checksum; the bytes that are then the frame are in bytes[]. */
static int complete(struct vio_frame *f, uint8_t *scratch, struct vio_iov *iov, unsigned niov)
{
	int err = vio_frame_complete_csum(f, scratch, iov, niov);
	uint32_t done = 0;
	unsigned i;

	for (i = 0; i < f->iovcnt && !err; i++) {
		memcpy(bytes + done, f->iov[i].base, f->iov[i].len);
		done += (uint32_t)f->iov[i].len;
	}
	return err;
}

/* Plain frames and GSO frames come out with the checksum of all their bytes. */
static void test_complete(void **state)
{
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP_L4, VIO_NET_HDR_GSO_UDP };
	uint64_t seed = 13;
	unsigned round;

	(void)state;
	for (round = 0; round < 2000; round++) {
		struct netframe_spec spec = netframe_random_gso(types[round % 4], &seed);
		uint8_t scratch[VIO_HDR_SCRATCH];
		struct vio_iov iov[64];
		struct vio_frame *f, now;

		if (round % 8 < 4)
			spec.gso_type = VIO_NET_HDR_GSO_NONE;
		spec.payload %= 3000;
		netframe_build(&built, &spec, &seed);
		/* Whatever a sender took for the length of a segment doesn't matter. */
		if (spec.gso_type)
			built.bytes[built.meta.csum_start + built.meta.csum_offset] ^= 0x5a;
		f = netframe_scatter(built.bytes, built.len, &built.meta,
				     netframe_between(&seed, 1, 60), &seed);
		now = *f;
		assert_int_equal(complete(&now, scratch, iov + 1, 61), 0);
		assert_int_equal(now.len, built.len);
		assert_int_equal(now.meta.flags, 0);
		assert_int_equal(now.meta.gso_type, spec.gso_type);
		assert_int_equal(now.meta.gso_size, spec.gso_size);
		assert_ptr_equal(now.iov[0].base, scratch);
		vio_put_be16(built.bytes + built.meta.csum_start + built.meta.csum_offset,
			     netframe_transport_check(&built, built.bytes, built.len));
		assert_memory_equal(bytes, built.bytes, built.len);
		netframe_free(f);
	}
}

/* A UDP checksum that comes out as 0 would mean that there is none. */
static void test_complete_udp_zero(void **state)
{
	struct netframe_spec spec = { .udp = true, .payload = 2, .needs_csum = true };
	uint8_t scratch[VIO_HDR_SCRATCH];
	uint64_t seed = 17;
	struct vio_frame *f, now;
	struct vio_iov iov[4];
	uint16_t check;

	(void)state;
	netframe_build(&built, &spec, &seed);
	/* With these two bytes as their own complement the sum has all bits set. */
	memset(built.bytes + built.payload_at, 0, 2);
	check = netframe_transport_check(&built, built.bytes, built.len);
	vio_put_be16(built.bytes + built.payload_at, check);
	assert_int_equal(netframe_transport_check(&built, built.bytes, built.len), 0);

	f = netframe_scatter(built.bytes, built.len, &built.meta, 1, &seed);
	now = *f;
	assert_int_equal(complete(&now, scratch, iov + 1, 3), 0);
	assert_int_equal(vio_get_be16(bytes + built.l4 + 6), 0xffff);
	now = *f;
	now.meta.gso_type = VIO_NET_HDR_GSO_UDP_L4;
	assert_int_equal(complete(&now, scratch, iov + 1, 3), 0);
	assert_int_equal(vio_get_be16(bytes + built.l4 + 6), 0xffff);
	netframe_free(f);
}

/* Offsets need not be even, nor mean a protocol; the field may lie at the copy's very end. */
static void test_complete_anywhere(void **state)
{
	uint64_t seed = 19;
	unsigned round;

	(void)state;
	for (round = 0; round < 2000; round++) {
		uint16_t start = (uint16_t)netframe_between(&seed, 0, 400);
		uint16_t offset = (uint16_t)netframe_between(&seed, 0, 110);
		uint32_t len = netframe_between(&seed, start + offset + 2u, 1500);
		struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
					     .csum_start = start,
					     .csum_offset = offset };
		uint8_t scratch[VIO_HDR_SCRATCH], before[1500];
		struct vio_iov iov[16];
		struct vio_frame *f, now;
		uint16_t want;

		fill(&seed);
		memcpy(before, bytes, sizeof(before));
		want = netframe_plain_check(bytes + start, len - start, 0);
		if (want == 0 && offset == 6)
			want = 0xffff;
		f = netframe_scatter(bytes, len, &meta, netframe_between(&seed, 1, 14), &seed);
		now = *f;
		assert_int_equal(complete(&now, scratch, iov + 1, 15), 0);
		vio_put_be16(before + start + offset, want);
		assert_memory_equal(bytes, before, len);
		netframe_free(f);
	}
}

static void test_complete_refuses(void **state)
{
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 500 };
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov pieces[3] = { { bytes, 0 }, { bytes, 20 }, { bytes + 20, 1000 } };
	struct vio_frame f = { .iov = pieces + 1, .iovcnt = 2, .len = 1020, .meta = meta }, now;
	struct vio_iov iov[4];

	(void)state;
	f.meta.csum_offset = 10;
	now = f;
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 3), 0);
	now = f;
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 0), -E2BIG);
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 1), -E2BIG);
	f.meta.csum_offset = 11;
	now = f;
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 3), -EINVAL);
	assert_memory_equal(&now, &f, sizeof(f));
	now.len = 30;
	now.meta.csum_start = 30;
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 3), -EINVAL);
	now.meta.flags = 0;
	assert_int_equal(vio_frame_complete_csum(&now, scratch, iov + 1, 0), 0);
	assert_ptr_equal(now.iov, pieces + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_example),
		cmocka_unit_test(test_scalar),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_pieces_end_early),
		cmocka_unit_test(test_pseudo_header),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_complete_udp_zero),
		cmocka_unit_test(test_complete_anywhere),
		cmocka_unit_test(test_complete_refuses),
	};

	return cmocka_run_group_tests_name("net_csum", tests, NULL, NULL);
}
