/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding headers and cutting GSO frames, against segments made the slow way. */
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
#include "net/parse.h"
#include "netframe.h"

#define PIECES_MAX 64

static struct netframe built;

/* ---- Parsing --------------------------------------------------------------------------------- */

static void test_parse_finds_headers(void **state)
{
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP };
	uint64_t seed = 23;
	unsigned round;

	(void)state;
	for (round = 0; round < 500; round++) {
		struct netframe_spec spec = netframe_random_gso(types[round % 3], &seed);
		struct vio_headers h;
		uint8_t *exact;
		uint32_t len;

		spec.payload = 10;
		netframe_build(&built, &spec, &seed);
		assert_int_equal(vio_parse(built.bytes, built.l4, &h), 0);
		assert_int_equal(h.l3, built.l3);
		assert_int_equal(h.l4, built.l4);
		assert_int_equal(h.split, built.split);
		assert_int_equal(h.version, spec.ipv6 ? 6 : 4);
		assert_int_equal(h.protocol, spec.udp ? 17 : 6);
		assert_false(h.fragment);
		/* Cut anywhere before, it is refused, and nothing behind the cut is read. */
		for (len = 0; len < built.l4; len++) {
			exact = malloc(len ? len : 1);
			memcpy(exact, built.bytes, len);
			assert_int_equal(vio_parse(exact, len, &h), -EINVAL);
			free(exact);
		}
	}
}

static void test_parse_refuses(void **state)
{
	struct netframe_spec v4 = { .payload = 10 }, v6 = { .ipv6 = true, .payload = 10 };
	uint64_t seed = 29;
	struct vio_headers h;
	uint8_t frame[200];

	(void)state;
	netframe_build(&built, &v4, &seed);
	memcpy(frame, built.bytes, built.len);
	frame[14] = 0x44; /* a header of 16 bytes */
	assert_int_equal(vio_parse(frame, built.len, &h), -EINVAL);
	frame[14] = 0x4f; /* of 60, beyond the frame */
	assert_int_equal(vio_parse(frame, 60, &h), -EINVAL);
	frame[14] = 0x65; /* another version than Ethernet says */
	assert_int_equal(vio_parse(frame, built.len, &h), -EINVAL);
	frame[14] = 0x45;
	vio_put_be16(frame + 12, 0x0806); /* ARP */
	assert_int_equal(vio_parse(frame, built.len, &h), -EINVAL);
	vio_put_be16(frame + 12, 0x0800);
	assert_int_equal(vio_parse(frame, built.len, &h), 0);
	vio_put_be16(frame + 20, 0x2000); /* more fragments */
	assert_int_equal(vio_parse(frame, built.len, &h), 0);
	assert_true(h.fragment);
	vio_put_be16(frame + 20, 0x0001); /* a later one */
	assert_int_equal(vio_parse(frame, built.len, &h), 0);
	assert_true(h.fragment);

	netframe_build(&built, &v6, &seed);
	memcpy(frame, built.bytes, built.len);
	memset(frame + 54, 0, 146); /* hop-by-hop options for ever */
	frame[20] = 0;
	assert_int_equal(vio_parse(frame, sizeof(frame), &h), -EINVAL);
	frame[54 + 8 * 8] = 6; /* nine of them */
	assert_int_equal(vio_parse(frame, sizeof(frame), &h), -EINVAL);
	frame[54 + 7 * 8] = 6;
	assert_int_equal(vio_parse(frame, sizeof(frame), &h), 0);
	assert_int_equal(h.l4, 54 + 8 * 8);
	frame[20] = 60; /* longer than what is there */
	frame[54] = 6;
	frame[55] = 255;
	assert_int_equal(vio_parse(frame, sizeof(frame), &h), -EINVAL);

	/* Three tags are one too many. */
	v4.vlan_tags = 2;
	netframe_build(&built, &v4, &seed);
	assert_int_equal(vio_parse(built.bytes, built.len, &h), 0);
	vio_put_be16(built.bytes + 20, 0x8100);
	assert_int_equal(vio_parse(built.bytes, built.len, &h), -EINVAL);
}

/* ---- Segments against the slow reference ------------------------------------------------------ */

/* Takes the identification out of an IPv6 fragment: any will do, as long as all have the same. */
static void neutralise_id(const struct netframe *f, uint8_t *segment, unsigned index, uint32_t *id)
{
	uint8_t *at = segment + f->split + 4;

	if (index == 0)
		*id = vio_get_be32(at);
	assert_int_equal(vio_get_be32(at), *id);
	vio_put_be32(at, 0);
}

/* Cuts built[] in random pieces and compares each segment. */
static void check_cut(uint64_t *seed)
{
	static uint8_t got[NETFRAME_MAX], want[NETFRAME_MAX];
	unsigned pieces = netframe_between(seed, 1, PIECES_MAX);
	struct vio_frame *f = netframe_scatter(built.bytes, built.len, &built.meta, pieces, seed);
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[PIECES_MAX + 2];
	struct vio_frame out;
	struct vio_gso gso;
	uint32_t len, id = 0;
	unsigned i;

	assert_int_equal(vio_gso_init(&gso, f), 0);
	for (i = 0;; i++) {
		len = netframe_segment(&built, i, want);
		if (len == 0)
			break;
		/* Too little room is no harm. */
		assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, 0), -E2BIG);
		assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, pieces + 1), 1);
		assert_int_equal(out.len, len);
		assert_true(out.iovcnt <= pieces + 1);
		assert_int_equal(out.meta.flags, 0);
		assert_int_equal(out.meta.gso_type, VIO_NET_HDR_GSO_NONE);
		assert_int_equal(netframe_flatten(&out, got), len);
		if (built.spec.gso_type == VIO_NET_HDR_GSO_UDP && built.spec.ipv6 &&
		    gso.segments > 1)
			neutralise_id(&built, got, i, &id);
		assert_memory_equal(got, want, len);
	}
	assert_int_equal(gso.segments, i);
	assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, pieces + 1), 0);
	netframe_free(f);
}

static void check_type(uint8_t gso_type, unsigned rounds)
{
	uint64_t seed = 31u + gso_type;
	unsigned i;

	for (i = 0; i < rounds; i++) {
		struct netframe_spec spec = netframe_random_gso(gso_type, &seed);

		netframe_build(&built, &spec, &seed);
		check_cut(&seed);
	}
}

static void test_tcpv4(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV4, 150);
	check_type(VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN, 150);
}

static void test_tcpv6(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_TCPV6, 150);
	check_type(VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN, 150);
}

static void test_uso(void **state)
{
	(void)state;
	check_type(VIO_NET_HDR_GSO_UDP_L4, 300);
}

static void test_ufo(void **state)
{
	uint64_t seed = 37;
	unsigned i;

	(void)state;
	check_type(VIO_NET_HDR_GSO_UDP, 300);
	/* A checksum that is complete, or left out, goes through as it is. */
	for (i = 0; i < 50; i++) {
		struct netframe_spec spec = netframe_random_gso(VIO_NET_HDR_GSO_UDP, &seed);

		spec.needs_csum = false;
		netframe_build(&built, &spec, &seed);
		if (i % 2)
			memset(built.bytes + built.l4 + 6, 0, 2);
		check_cut(&seed);
	}
	/* Fragments so small that headers behind the cut go over several. */
	for (i = 0; i < 50; i++) {
		struct netframe_spec spec = netframe_random_gso(VIO_NET_HDR_GSO_UDP, &seed);

		spec.payload = netframe_between(&seed, 0, 500);
		spec.gso_size = (uint16_t)netframe_between(&seed, 8, 40);
		netframe_build(&built, &spec, &seed);
		check_cut(&seed);
	}
}

/* A segment of one byte, no payload at all, one byte more or less than a multiple. */
static void test_small_sizes(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 1447, 1448, 1449, 65535 };
	uint64_t seed = 41;
	unsigned i, payload;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (payload = 0; payload < 6; payload++) {
			struct netframe_spec spec = { .gso_type = VIO_NET_HDR_GSO_TCPV4,
						      .gso_size = sizes[i],
						      .tcp_flags = 0x99,
						      .needs_csum = true };

			spec.payload = sizes[i] < 9 ? payload * sizes[i] : 2894 + payload;
			netframe_build(&built, &spec, &seed);
			check_cut(&seed);
		}
	}
}

/* FIN, PSH and CWR, said in so many words. */
static void test_tcp_flags(void **state)
{
	struct netframe_spec spec = { .payload = 300,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
				      .gso_size = 100,
				      .tcp_flags = 0xd9, /* CWR ECE ACK PSH FIN */
				      .needs_csum = true };
	static const uint8_t want[] = { 0xd0, 0x50, 0x59 };
	uint8_t scratch[VIO_HDR_SCRATCH];
	uint64_t seed = 43;
	struct vio_iov iov[4];
	struct vio_frame *f, out;
	struct vio_gso gso;
	unsigned i;

	(void)state;
	netframe_build(&built, &spec, &seed);
	f = netframe_scatter(built.bytes, built.len, &built.meta, 1, &seed);
	assert_int_equal(vio_gso_init(&gso, f), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, 2), 1);
		assert_int_equal(scratch[34 + 13], want[i]);
		/* The payload is the sender's own memory. */
		assert_ptr_equal(out.iov[1].base, (uint8_t *)f->iov[0].base + 54 + i * 100);
	}
	netframe_free(f);
}

/* Two datagrams in fragments have different identifications. */
static void test_fragment_ids_differ(void **state)
{
	struct netframe_spec spec = { .ipv6 = true,
				      .udp = true,
				      .payload = 100,
				      .gso_type = VIO_NET_HDR_GSO_UDP,
				      .gso_size = 64,
				      .needs_csum = true };
	uint8_t scratch[VIO_HDR_SCRATCH];
	uint32_t ids[200];
	uint64_t seed = 47;
	struct vio_iov iov[4];
	struct vio_frame *f, out;
	struct vio_gso gso;
	unsigned i, k;

	(void)state;
	netframe_build(&built, &spec, &seed);
	f = netframe_scatter(built.bytes, built.len, &built.meta, 1, &seed);
	for (i = 0; i < 200; i++) {
		assert_int_equal(vio_gso_init(&gso, f), 0);
		assert_int_equal(vio_gso_next(&gso, &out, scratch, iov + 1, 2), 1);
		ids[i] = vio_get_be32(scratch + 54 + 4);
		for (k = 0; k < i; k++)
			assert_int_not_equal(ids[i], ids[k]);
	}
	netframe_free(f);
}

/* ---- What is no frame to cut ------------------------------------------------------------------ */

static int init_of(const struct netframe *f, uint32_t len)
{
	struct vio_iov iov[2] = { { NULL, 0 }, { (void *)(uintptr_t)f->bytes, len } };
	struct vio_frame frame = { .iov = iov + 1, .iovcnt = 1, .len = len, .meta = f->meta };
	struct vio_gso gso;

	return vio_gso_init(&gso, &frame);
}

static void test_types_must_match(void **state)
{
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP, VIO_NET_HDR_GSO_UDP_L4 };
	uint64_t seed = 53;
	unsigned i, type;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i], &seed);

		netframe_build(&built, &spec, &seed);
		for (type = 0; type < 256; type++) {
			unsigned base = type & 0x7f;
			bool udp = base == VIO_NET_HDR_GSO_UDP || base == VIO_NET_HDR_GSO_UDP_L4;

			built.meta.gso_type = (uint8_t)type;
			assert_int_equal(init_of(&built, built.len),
					 base == types[i] || (udp && spec.udp) ? 0 : -EINVAL);
		}
	}
}

static void test_init_refuses(void **state)
{
	struct netframe_spec spec = { .payload = 100,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 10,
				      .needs_csum = true };
	uint64_t seed = 59;
	uint32_t len;

	(void)state;
	netframe_build(&built, &spec, &seed);
	for (len = 0; len < built.payload_at; len++)
		assert_int_equal(init_of(&built, len), -EINVAL);
	assert_int_equal(init_of(&built, built.payload_at), 0);
	built.bytes[built.l4 + 12] = 0x40; /* a TCP header of 16 bytes */
	assert_int_equal(init_of(&built, built.len), -EINVAL);
	built.bytes[built.l4 + 12] = 0xf0; /* of 60, longer than this frame */
	assert_int_equal(init_of(&built, built.l4 + 59), -EINVAL);
	assert_int_equal(init_of(&built, built.l4 + 60), 0);
	built.bytes[built.l4 + 12] = 0x50;
	built.bytes[built.l3 + 6] = 0x20; /* a fragment already */
	assert_int_equal(init_of(&built, built.len), -EINVAL);
	built.bytes[built.l3 + 6] = 0;
	built.meta.gso_size = 0;
	assert_int_equal(init_of(&built, built.len), -EINVAL);

	spec = (struct netframe_spec){ .udp = true,
				       .payload = 100,
				       .gso_type = VIO_NET_HDR_GSO_UDP,
				       .gso_size = 7, /* no fragment offset can say that */
				       .needs_csum = true };
	netframe_build(&built, &spec, &seed);
	assert_int_equal(init_of(&built, built.len), -EINVAL);
	built.meta.gso_size = 8;
	assert_int_equal(init_of(&built, built.len), 0);
}

/* A length that IP's 16 bits can't hold must not come out as a small one. */
static void test_lengths_that_ip_cannot_say(void **state)
{
	struct netframe_spec spec = { .payload = 65495,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 65495,
				      .needs_csum = true };
	uint64_t seed = 61;

	(void)state;
	netframe_build(&built, &spec, &seed); /* 65535 in all */
	assert_int_equal(init_of(&built, built.len), 0);
	built.meta.gso_size = 65496;
	assert_int_equal(init_of(&built, built.len + 1), -EINVAL);
	built.meta.gso_size = 65495;
	assert_int_equal(init_of(&built, built.len + 1), 0);
	assert_int_equal(init_of(&built, VIO_FRAME_MAX_LEN), 0);
	assert_int_equal(init_of(&built, VIO_FRAME_MAX_LEN + 1), -EINVAL);

	/* The datagram counts for fragments, not each of them. */
	spec = (struct netframe_spec){ .udp = true,
				       .payload = 65507,
				       .gso_type = VIO_NET_HDR_GSO_UDP,
				       .gso_size = 1480,
				       .needs_csum = true };
	netframe_build(&built, &spec, &seed);
	assert_int_equal(init_of(&built, built.len), 0);
	assert_int_equal(init_of(&built, built.len + 1), -EINVAL);

	/* A first fragment that its own header makes too long. */
	spec.ipv6 = true;
	spec.payload = 65527;
	spec.gso_size = 65528;
	netframe_build(&built, &spec, &seed);
	assert_int_equal(init_of(&built, built.len), -EINVAL);
	built.meta.gso_size = 65520;
	assert_int_equal(init_of(&built, built.len), 0);

	/* More segments than can be counted. */
	spec = (struct netframe_spec){ .udp = true,
				       .payload = 65500,
				       .gso_type = VIO_NET_HDR_GSO_UDP_L4,
				       .gso_size = 1,
				       .needs_csum = true };
	netframe_build(&built, &spec, &seed);
	assert_int_equal(init_of(&built, 42 + 65535), 0);
	assert_int_equal(init_of(&built, 42 + 65536), -EINVAL);
}

/* The transport checksum covers another destination than the IPv6 header's: not ours to make. */
static void test_routing_header(void **state)
{
	struct netframe_spec spec = { .ipv6 = true,
				      .destination = true,
				      .payload = 100,
				      .gso_type = VIO_NET_HDR_GSO_TCPV6,
				      .gso_size = 10,
				      .needs_csum = true };
	uint64_t seed = 67;

	(void)state;
	netframe_build(&built, &spec, &seed);
	built.bytes[20] = 43;
	built.bytes[54 + 3] = 1; /* segments left */
	assert_int_equal(init_of(&built, built.len), -EINVAL);
	built.bytes[54 + 3] = 0;
	assert_int_equal(init_of(&built, built.len), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_finds_headers),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_tcpv4),
		cmocka_unit_test(test_tcpv6),
		cmocka_unit_test(test_uso),
		cmocka_unit_test(test_ufo),
		cmocka_unit_test(test_small_sizes),
		cmocka_unit_test(test_tcp_flags),
		cmocka_unit_test(test_fragment_ids_differ),
		cmocka_unit_test(test_types_must_match),
		cmocka_unit_test(test_init_refuses),
		cmocka_unit_test(test_lengths_that_ip_cannot_say),
		cmocka_unit_test(test_routing_header),
	};

	return cmocka_run_group_tests_name("net_gso", tests, NULL, NULL);
}
