/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio net header: its bytes, and what either side may claim in it. */
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

#include "netframe.h"

#define F(name) (UINT64_C(1) << VIO_NET_F_##name)
#define TX_ALL	(F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_UFO) | F(HOST_USO) | F(HOST_ECN))
#define RX_ALL                                                                          \
	(F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_UFO) | F(GUEST_USO4) | \
	 F(GUEST_USO6) | F(GUEST_ECN) | F(RSC_EXT))

static const struct vio_net_meta sample = {
	.flags = VIO_NET_HDR_F_NEEDS_CSUM,
	.gso_type = VIO_NET_HDR_GSO_TCPV4,
	.hdr_len = 0x0136,
	.gso_size = 0x05a8,
	.csum_start = 0x0122,
	.csum_offset = 0x0210,
	.num_buffers = 0x0304,
};

static void test_wire_bytes(void **state)
{
	static const uint8_t little[12] = { 1,	  1,	0x36, 0x01, 0xa8, 0x05,
					    0x22, 0x01, 0x10, 0x02, 0x04, 0x03 };
	static const uint8_t big[12] = { 1,    1,    0x01, 0x36, 0x05, 0xa8,
					 0x01, 0x22, 0x02, 0x10, 0x03, 0x04 };
	uint8_t wire[12];

	(void)state;
	vio_net_hdr_encode(wire, 12, false, &sample);
	assert_memory_equal(wire, little, 12);
	vio_net_hdr_encode(wire, 12, true, &sample);
	assert_memory_equal(wire, big, 12);
}

/* S1, S3: a prefix of one layout, zeros behind what is known, nothing written beyond the length. */
static void test_wire_lengths(void **state)
{
	static const size_t lengths[] = { 10, 12, 20, 24, 32 };
	struct vio_net_meta back;
	uint8_t wire[40];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(wire, 0xee, sizeof(wire));
		vio_net_hdr_encode(wire, lengths[i], false, &sample);
		for (n = 12; n < sizeof(wire); n++)
			assert_int_equal(wire[n], n < lengths[i] ? 0 : 0xee);
		memset(&back, 0xff, sizeof(back));
		vio_net_hdr_decode(wire, lengths[i], false, &back);
		assert_int_equal(back.gso_size, sample.gso_size);
		assert_int_equal(back.csum_offset, sample.csum_offset);
		assert_int_equal(back.num_buffers, lengths[i] < 12 ? 0 : sample.num_buffers);
	}
}

static enum vio_drop tx_refused(struct vio_net_meta meta, uint32_t len, uint64_t features)
{
	enum vio_drop why = VIO_DROP_NR;

	assert_int_equal(vio_net_check_tx(&meta, len, features, &why), -EINVAL);
	return why;
}

static struct vio_net_meta tx_taken(struct vio_net_meta meta, uint32_t len, uint64_t features)
{
	enum vio_drop why = VIO_DROP_NR;

	assert_int_equal(vio_net_check_tx(&meta, len, features, &why), 0);
	assert_int_equal(why, VIO_DROP_NR);
	return meta;
}

static enum vio_drop rx_refused(struct vio_net_meta meta, uint32_t len, uint64_t features)
{
	enum vio_drop why = VIO_DROP_NR;

	assert_int_equal(vio_net_check_rx(&meta, len, features, &why), -EINVAL);
	return why;
}

static struct vio_net_meta rx_taken(struct vio_net_meta meta, uint32_t len, uint64_t features)
{
	enum vio_drop why = VIO_DROP_NR;

	assert_int_equal(vio_net_check_rx(&meta, len, features, &why), 0);
	return meta;
}

static void test_tx_lengths(void **state)
{
	struct vio_net_meta none = { 0 };

	(void)state;
	assert_int_equal(tx_refused(none, 0, TX_ALL), VIO_DROP_SHORT);
	assert_int_equal(tx_refused(none, 13, TX_ALL), VIO_DROP_SHORT);
	tx_taken(none, 14, 0);
	tx_taken(none, 65589, 0);
	assert_int_equal(tx_refused(none, 65590, 0), VIO_DROP_TOO_BIG);
	assert_int_equal(tx_refused(none, UINT32_MAX, 0), VIO_DROP_TOO_BIG);
}

/* Without NEEDS_CSUM the offsets are not used; unknown flags and the device's are ignored. */
static void test_tx_normalises(void **state)
{
	struct vio_net_meta meta = { .flags = 0xf6,
				     .hdr_len = 200,
				     .gso_size = 7,
				     .csum_start = 9999,
				     .csum_offset = 9999,
				     .num_buffers = 3 };

	(void)state;
	meta = tx_taken(meta, 60, 0);
	assert_int_equal(meta.flags, 0);
	assert_int_equal(meta.csum_start, 0);
	assert_int_equal(meta.csum_offset, 0);
	assert_int_equal(meta.gso_size, 0);
	assert_int_equal(meta.num_buffers, 0);
	assert_int_equal(meta.hdr_len, 60);
}

static void test_tx_checksum(void **state)
{
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .csum_start = 34,
				     .csum_offset = 16 };

	(void)state;
	assert_int_equal(tx_refused(meta, 60, 0), VIO_DROP_BAD_HEADER);
	assert_int_equal(tx_refused(meta, 60, TX_ALL & ~F(CSUM)), VIO_DROP_BAD_HEADER);
	meta = tx_taken(meta, 60, F(CSUM));
	assert_int_equal(meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(meta.csum_start, 34);
	assert_int_equal(meta.csum_offset, 16);

	tx_taken(meta, 52, F(CSUM));
	assert_int_equal(tx_refused(meta, 51, F(CSUM)), VIO_DROP_BAD_CSUM);
	meta.csum_start = 0xffff;
	meta.csum_offset = 0xffff; /* wraps in 16 bits to an offset that would be inside */
	assert_int_equal(tx_refused(meta, 60, F(CSUM)), VIO_DROP_BAD_CSUM);
	assert_int_equal(tx_refused(meta, 65589, F(CSUM)), VIO_DROP_BAD_CSUM);

	meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_UDP_TUNNEL_CSUM };
	assert_int_equal(tx_refused(meta, 60, TX_ALL), VIO_DROP_BAD_HEADER);
}

static void test_tx_gso_needs_its_feature(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t features; /* all of them needed */
	} types[] = {
		{ VIO_NET_HDR_GSO_TCPV4, F(HOST_TSO4) },
		{ VIO_NET_HDR_GSO_TCPV6, F(HOST_TSO6) },
		{ VIO_NET_HDR_GSO_UDP, F(HOST_UFO) },
		{ VIO_NET_HDR_GSO_UDP_L4, F(HOST_USO) },
		{ VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN, F(HOST_TSO4) | F(HOST_ECN) },
		{ VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN, F(HOST_TSO6) | F(HOST_ECN) },
	};
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_size = 1448,
				     .csum_start = 34,
				     .csum_offset = 16 };
	size_t i;
	int bit;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		meta.gso_type = types[i].type;
		meta.gso_size = 1448;
		meta = tx_taken(meta, 9000, F(CSUM) | types[i].features);
		assert_int_equal(meta.gso_type, types[i].type);
		assert_int_equal(meta.gso_size, 1448);
		for (bit = 0; bit < 64; bit++)
			if (types[i].features >> bit & 1)
				assert_int_equal(tx_refused(meta, 9000,
							    TX_ALL & ~(UINT64_C(1) << bit)),
						 VIO_DROP_BAD_GSO);
		meta.gso_size = 1;
		tx_taken(meta, 9000, TX_ALL);
		meta.gso_size = 0;
		assert_int_equal(tx_refused(meta, 9000, TX_ALL), VIO_DROP_BAD_GSO);
	}
}

/* Every type that is not one: unknown, tunnels, ECN without TCP. */
static void test_tx_gso_other_types(void **state)
{
	static const uint8_t known[] = { 0, 1, 3, 4, 5, 0x81, 0x84 };
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_size = 1448,
				     .csum_start = 34,
				     .csum_offset = 16 };
	unsigned type;

	(void)state;
	for (type = 0; type < 256; type++) {
		meta.gso_type = (uint8_t)type;
		if (memchr(known, (int)type, sizeof(known)))
			tx_taken(meta, 9000, UINT64_MAX);
		else
			assert_int_equal(tx_refused(meta, 9000, UINT64_MAX), VIO_DROP_BAD_GSO);
	}
}

/* S20 and 5.1.9.2: segmentation asks for the checksum too, except UFO of a datagram without. */
static void test_tx_gso_needs_checksum(void **state)
{
	struct vio_net_meta meta = { .gso_type = VIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 };

	(void)state;
	assert_int_equal(tx_refused(meta, 9000, TX_ALL), VIO_DROP_BAD_GSO);
	meta.gso_type = VIO_NET_HDR_GSO_UDP_L4;
	assert_int_equal(tx_refused(meta, 9000, TX_ALL), VIO_DROP_BAD_GSO);
	meta.flags = VIO_NET_HDR_F_DATA_VALID;
	assert_int_equal(tx_refused(meta, 9000, TX_ALL), VIO_DROP_BAD_GSO);
	meta.flags = 0;
	meta.gso_type = VIO_NET_HDR_GSO_UDP;
	tx_taken(meta, 9000, TX_ALL);
}

/* The legacy bit for everything counts in the legacy interface only, and not for USO. */
static void test_tx_legacy_gso(void **state)
{
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN,
				     .gso_size = 1448,
				     .csum_start = 54,
				     .csum_offset = 16 };
	uint64_t legacy = F(CSUM) | F(GSO);

	(void)state;
	tx_taken(meta, 9000, legacy);
	assert_int_equal(tx_refused(meta, 9000, legacy | vio_feature(VIO_F_VERSION_1)),
			 VIO_DROP_BAD_GSO);
	meta.gso_type = VIO_NET_HDR_GSO_UDP_L4;
	assert_int_equal(tx_refused(meta, 9000, legacy), VIO_DROP_BAD_GSO);
}

static void test_rx_flags(void **state)
{
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_DATA_VALID, .num_buffers = 2 };

	(void)state;
	assert_int_equal(rx_refused(meta, 13, RX_ALL), VIO_DROP_SHORT);
	assert_int_equal(rx_refused(meta, 65590, RX_ALL), VIO_DROP_TOO_BIG);

	/* A tap says what it knows to whoever reads: information, not an offload. */
	assert_int_equal(rx_taken(meta, 60, 0).flags, 0);
	meta = rx_taken(meta, 60, F(GUEST_CSUM));
	assert_int_equal(meta.flags, VIO_NET_HDR_F_DATA_VALID);
	assert_int_equal(meta.num_buffers, 2);

	meta.flags = 0xf2;
	assert_int_equal(rx_taken(meta, 60, RX_ALL).flags, VIO_NET_HDR_F_DATA_VALID);

	meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				      .csum_start = 34,
				      .csum_offset = 6 };
	assert_int_equal(rx_refused(meta, 60, 0), VIO_DROP_BAD_HEADER);
	assert_int_equal(rx_taken(meta, 60, F(GUEST_CSUM)).csum_start, 34);
	assert_int_equal(rx_refused(meta, 41, F(GUEST_CSUM)), VIO_DROP_BAD_CSUM);
}

static void test_rx_gso(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t any, also;
	} types[] = {
		{ VIO_NET_HDR_GSO_TCPV4, F(GUEST_TSO4), 0 },
		{ VIO_NET_HDR_GSO_TCPV6, F(GUEST_TSO6), 0 },
		{ VIO_NET_HDR_GSO_UDP, F(GUEST_UFO), 0 },
		{ VIO_NET_HDR_GSO_UDP_L4, F(GUEST_USO4), 0 },
		{ VIO_NET_HDR_GSO_UDP_L4, F(GUEST_USO6), 0 },
		{ VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN, F(GUEST_TSO4), F(GUEST_ECN) },
	};
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_size = 1448,
				     .csum_start = 34,
				     .csum_offset = 6 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		meta.gso_type = types[i].type;
		rx_taken(meta, 9000, F(GUEST_CSUM) | types[i].any | types[i].also);
		assert_int_equal(rx_refused(meta, 9000, F(GUEST_CSUM) | types[i].also),
				 VIO_DROP_BAD_GSO);
		if (types[i].also)
			assert_int_equal(rx_refused(meta, 9000, F(GUEST_CSUM) | types[i].any),
					 VIO_DROP_BAD_GSO);
	}
	meta.gso_type = VIO_NET_HDR_GSO_TCPV4;
	meta.flags = 0;
	assert_int_equal(rx_refused(meta, 9000, RX_ALL), VIO_DROP_BAD_GSO);
	meta.flags = VIO_NET_HDR_F_DATA_VALID;
	rx_taken(meta, 9000, RX_ALL);
	meta.gso_size = 0;
	assert_int_equal(rx_refused(meta, 9000, RX_ALL), VIO_DROP_BAD_GSO);
	meta.gso_size = 1448;
	meta.gso_type = VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_UDP_TUNNEL_IPV4;
	assert_int_equal(rx_refused(meta, 9000, UINT64_MAX), VIO_DROP_BAD_GSO);
}

/* S21: counters of coalesced segments are never offsets. */
static void test_rx_rsc(void **state)
{
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM | VIO_NET_HDR_F_RSC_INFO,
				     .gso_type = VIO_NET_HDR_GSO_TCPV4,
				     .gso_size = 1448,
				     .csum_start = 60000,
				     .csum_offset = 60000 };
	struct vio_net_meta got = rx_taken(meta, 9000, RX_ALL);

	(void)state;
	assert_int_equal(got.flags, VIO_NET_HDR_F_DATA_VALID);
	assert_int_equal(got.csum_start, 0);
	assert_int_equal(got.csum_offset, 0);
	assert_int_equal(got.gso_type, VIO_NET_HDR_GSO_TCPV4);

	assert_int_equal(rx_refused(meta, 9000, RX_ALL & ~F(RSC_EXT)), VIO_DROP_BAD_HEADER);
	meta.gso_type = VIO_NET_HDR_GSO_NONE;
	assert_int_equal(rx_refused(meta, 9000, RX_ALL), VIO_DROP_BAD_HEADER);
	meta.flags = VIO_NET_HDR_F_RSC_INFO;
	got = rx_taken(meta, 9000, 0);
	assert_int_equal(got.flags, 0);
	assert_int_equal(got.csum_start, 0);
}

/* What passed once passes again unchanged: everything is in its normal form. */
static void test_checks_are_idempotent(void **state)
{
	uint64_t seed = 11;
	unsigned i, taken = 0;

	(void)state;
	for (i = 0; i < 200000; i++) {
		uint64_t features = netframe_random(&seed) << 32 | netframe_random(&seed);
		struct vio_net_meta meta = {
			.flags = (uint8_t)(netframe_random(&seed) & 7),
			.gso_type = (uint8_t)(netframe_random(&seed) & 0x85),
			.gso_size = (uint16_t)netframe_between(&seed, 0, 3),
			.hdr_len = (uint16_t)netframe_random(&seed),
			.csum_start = (uint16_t)netframe_between(&seed, 0, 60),
			.csum_offset = (uint16_t)netframe_between(&seed, 0, 20),
		};
		uint32_t len = netframe_between(&seed, 10, 100);
		struct vio_net_meta again;
		enum vio_drop why = VIO_DROP_NR;
		int (*check)(struct vio_net_meta *, uint32_t, uint64_t, enum vio_drop *) =
			i % 2 ? vio_net_check_tx : vio_net_check_rx;

		if (check(&meta, len, features, &why)) {
			assert_true(why < VIO_DROP_NR);
			continue;
		}
		again = meta;
		assert_int_equal(check(&again, len, features, &why), 0);
		assert_memory_equal(&again, &meta, sizeof(meta));
		assert_true(meta.hdr_len <= len);
		assert_true(!!meta.gso_type == !!meta.gso_size);
		assert_true(!(meta.flags & VIO_NET_HDR_F_NEEDS_CSUM) ||
			    meta.csum_start + meta.csum_offset + 2u <= len);
		taken++;
	}
	assert_true(taken > 10000);
}

static void test_drop_names(void **state)
{
	unsigned why, other;

	(void)state;
	assert_string_equal(vio_drop_name(VIO_DROP_BAD_HEADER), "bad_header");
	assert_string_equal(vio_drop_name(VIO_DROP_NR), "?");
	assert_string_equal(vio_drop_name((enum vio_drop) - 1), "?");
	for (why = 0; why < VIO_DROP_NR; why++)
		for (other = 0; other < why; other++)
			assert_string_not_equal(vio_drop_name((enum vio_drop)why),
						vio_drop_name((enum vio_drop)other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire_bytes),
		cmocka_unit_test(test_wire_lengths),
		cmocka_unit_test(test_tx_lengths),
		cmocka_unit_test(test_tx_normalises),
		cmocka_unit_test(test_tx_checksum),
		cmocka_unit_test(test_tx_gso_needs_its_feature),
		cmocka_unit_test(test_tx_gso_other_types),
		cmocka_unit_test(test_tx_gso_needs_checksum),
		cmocka_unit_test(test_tx_legacy_gso),
		cmocka_unit_test(test_rx_flags),
		cmocka_unit_test(test_rx_gso),
		cmocka_unit_test(test_rx_rsc),
		cmocka_unit_test(test_checks_are_idempotent),
		cmocka_unit_test(test_drop_names),
	};

	return cmocka_run_group_tests_name("net_hdr", tests, NULL, NULL);
}
