/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that sends frames it should not, HOSTILE 6, 7, 9 and 16, with each ring format: they are
 * dropped, counted, and nothing else comes of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bed.h"
#include "netframe.h"
#include "ring_image.h"

#define F(bit) (UINT64_C(1) << VIO_NET_F_##bit)

static uint8_t bytes[70000];

/* ---- H06 ---------------------------------------------------------------------------------- */

static void h06_frame_shorter_than_its_header(void **state)
{
	struct guest_used used;
	struct bed r;
	uint64_t addr;
	unsigned n = 0;

	bed_open_format(&r, state,
			(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	addr = guest_alloc(&r.g, 64, 1);
	/* From one byte to header and 13 bytes of frame; header and nothing else among them. */
	for (uint16_t i = 0; i < 25; i++)
		guest_queue_post_one(&r.q[1], addr, i + 1u, 0);
	/* A buffer without anything for the device to read. */
	guest_queue_post_one(&r.q[1], addr, 64, VIO_DESC_F_WRITE);
	guest_queue_post_one(&r.q[1], addr, 26, 0);
	assert_int_equal(bed_turn(&r, 0), 27);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 26);
	assert_int_equal(fake_backend_sent(r.fb), 1);
	assert_int_equal(r.fb->sent.first->len, 14);
	while (guest_queue_take(&r.q[1], &used)) {
		assert_int_equal(used.len, 0);
		n += used.buffers;
	}
	assert_int_equal(n, 27);
	assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
	bed_close(&r);
}

/* The next turn sends the first 100 bytes, with a header that says @meta. */
static void expect_whole(struct bed *r, const struct vio_net_meta *meta)
{
	struct fake_frame *f;

	assert_int_equal(bed_turn(r, 0), 1);
	f = fake_backend_next(r->fb);
	assert_non_null(f);
	assert_int_equal(f->len, 100);
	assert_memory_equal(f->bytes, bytes, 100);
	assert_memory_equal(&f->meta, meta, sizeof(*meta));
	free(f);
}

static void h06_header_over_1_2_3_and_12_descriptors(void **state)
{
	static const uint32_t twelve[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	static const uint32_t three[] = { 4, 4, 4 }, two[] = { 11, 1 }, one[] = { 12 };
	static const struct {
		const uint32_t *pieces;
		unsigned n;
	} cases[] = { { one, 1 }, { two, 2 }, { three, 3 }, { twelve, 12 }, { twelve, 11 } };
	struct vio_net_meta meta = {
		.flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6, .hdr_len = 42
	};
	struct bed r;

	bed_open_format(&r, state,
			(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	bed_pattern(bytes, 100, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(bed_send_pieces(&r, 0, &meta, bytes, 100, cases[i].pieces, cases[i].n));
		expect_whole(&r, &meta);
	}
	bed_close(&r);
}

/* ---- H07 ---------------------------------------------------------------------------------- */

static void h07_headers_that_lie(void **state)
{
	const uint8_t csum = VIO_NET_HDR_F_NEEDS_CSUM;
	static const uint8_t tcp4 = VIO_NET_HDR_GSO_TCPV4;
	const struct {
		struct vio_net_meta meta;
		int why; /* enum vio_drop, or -1: goes through */
	} cases[] = {
		{ { .flags = csum, .csum_start = 99, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 100, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 65535, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 0, .csum_offset = 99 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 65535, .csum_offset = 65535 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 1, .csum_offset = 65535 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 50, .csum_offset = 48 }, -1 },
		{ { .flags = csum, .csum_start = 34, .csum_offset = 16, .hdr_len = 65535 }, -1 },
		{ { .flags = csum, .gso_type = tcp4, .csum_start = 34, .csum_offset = 16 },
		  VIO_DROP_BAD_GSO },					    /* gso_size 0 */
		{ { .gso_type = tcp4, .gso_size = 10 }, VIO_DROP_BAD_GSO }, /* no checksum */
		{ { .flags = csum, .gso_type = 2, .gso_size = 10, .csum_start = 34 },
		  VIO_DROP_BAD_GSO },
		{ { .flags = csum, .gso_type = 0x7f, .gso_size = 10, .csum_start = 34 },
		  VIO_DROP_BAD_GSO },
		{ { .flags = 0xf6 }, -1 }, /* unknown flags are ignored (5.1.9.2) */
		{ { .flags = VIO_NET_HDR_F_UDP_TUNNEL_CSUM }, VIO_DROP_BAD_HEADER },
		{ { .csum_start = 65535, .csum_offset = 65535, .gso_size = 9 }, -1 },
	};
	struct bed r;

	for (unsigned soft = 0; soft < 2; soft++) {
		bed_open_format(&r, state,
				(struct bed_conf){ .features = ~0ull,
						   .tx_offloads = soft ? 0 : BED_ALL_TX });
		memset(bytes, 0, 100);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint64_t before = cases[i].why < 0 ? 0 :
							     bed_stats(&r, 1).drops[cases[i].why];

			assert_true(bed_send(&r, 0, &cases[i].meta, bytes, 100));
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_reap_tx(&r, 0), 1);
			if (fake_backend_sent(r.fb) != (cases[i].why < 0))
				fail_msg("case %u, soft %u", i, soft);
			free(fake_backend_next(r.fb));
			if (cases[i].why >= 0)
				assert_int_equal(bed_stats(&r, 1).drops[cases[i].why], before + 1);
		}
		assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
		bed_close(&r);
	}
}

static void h07_offloads_that_were_not_negotiated(void **state)
{
	static struct netframe f;
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP, VIO_NET_HDR_GSO_UDP_L4,
					 VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN };
	static const uint64_t without[] = { F(HOST_TSO4) | F(HOST_ECN), F(HOST_TSO6), F(HOST_UFO),
					    F(HOST_USO), F(HOST_ECN) };
	uint64_t seed = 2;
	struct bed r;

	for (unsigned i = 0; i < 5; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i], &seed);

		spec.payload = 5000;
		spec.gso_size = 1000;
		netframe_build(&f, &spec, &seed);
		bed_open_format(&r, state,
				(struct bed_conf){ .features = ~without[i],
						   .tx_offloads = BED_ALL_TX });
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
}

/* Without any offload the header has nothing to ask for: whatever is in it, the frame goes on as it is,
 * and nobody behind us hears of it. */
static void h07_a_header_that_may_ask_for_nothing_is_not_looked_at(void **state)
{
	static const struct vio_net_meta metas[] = {
		{ .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 },
		{ .flags = 0xff, .csum_start = UINT16_MAX, .csum_offset = UINT16_MAX },
		{ .gso_type = VIO_NET_HDR_GSO_TCPV4, .gso_size = 1 },
		{ .gso_type = 0xff, .hdr_len = UINT16_MAX, .num_buffers = 77 },
	};
	static const struct vio_net_meta nothing;
	static const uint32_t pieces[] = { 5, 7, 50 };
	struct bed r;

	bed_pattern(bytes, 100, 1);
	bed_open_format(&r, state,
			(struct bed_conf){ .features = F(MRG_RXBUF), .tx_offloads = BED_ALL_TX });
	for (unsigned i = 0; i < 8; i++) {
		if (i % 2)
			assert_true(bed_send(&r, 0, &metas[i / 2], bytes, 100));
		else
			assert_true(bed_send_pieces(&r, 0, &metas[i / 2], bytes, 100, pieces, 3));
		expect_whole(&r, &nothing);
	}
	bed_close(&r);
}

/* ---- H09 ---------------------------------------------------------------------------------- */

static void h09_frames_of_every_length(void **state)
{
	static const struct {
		uint32_t len;
		int why;
	} cases[] = {
		{ 0, VIO_DROP_SHORT },
		{ 1, VIO_DROP_SHORT },
		{ 13, VIO_DROP_SHORT },
		{ 14, -1 },
		{ 1514, -1 },
		{ 65535, -1 },
		{ 65562, -1 },
		{ 65589, -1 },
		{ 65590, VIO_DROP_TOO_BIG },
		{ 65601, VIO_DROP_TOO_BIG },
		{ 69999, VIO_DROP_TOO_BIG },
	};
	struct bed r;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_pattern(bytes, cases[i].len, i);
		assert_true(bed_send(&r, 0, NULL, bytes, cases[i].len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		if (cases[i].why < 0) {
			struct fake_frame *f = fake_backend_next(r.fb);

			assert_int_equal(f->len, cases[i].len);
			assert_memory_equal(f->bytes, bytes, f->len);
			free(f);
		} else {
			assert_int_equal(fake_backend_sent(r.fb), 0);
		}
	}
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 3);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_TOO_BIG], 3);
	bed_close(&r);
}

/* 1024 descriptors of the same 4 MiB, less one byte: as long as a length can be. @more: and more. */
static void post_4_gib(struct bed *r, unsigned queue, uint16_t flags, uint32_t more)
{
	static struct vio_virtq_desc d[1024];

	for (unsigned i = 0; i < 1024; i++)
		d[i] = (struct vio_virtq_desc){ guest_region(&r->g, 1), 4u << 20, flags, 0 };
	d[1023].len += more - 1;
	guest_queue_post(&r->q[queue], d, 1024);
}

static void h09_frames_of_4_gib(void **state)
{
	struct bed r;

	for (uint32_t more = 0; more < 2; more++) {
		bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull, .num = 1024 });
		post_4_gib(&r, 1, 0, more);
		if (more) {
			assert_int_equal(bed_turn(&r, 0), -EPROTO);
			assert_int_equal(r.why[1], VIO_VQ_TOO_LONG);
		} else {
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_TOO_BIG], 1);
			assert_int_equal(guest_queue_take_all(&r.q[1]), 1);
		}
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
}

/* Receive buffers of 4 GiB in all: any frame fits, and nothing overflows. */
static void h09_receive_buffers_of_4_gib(void **state)
{
	struct guest_used used;
	struct bed r;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull, .num = 1024 });
	post_4_gib(&r, 0, VIO_DESC_F_WRITE, 0);
	fake_backend_give(r.fb, 0, bytes, 65589, NULL);
	bed_turn(&r, 0);
	assert_true(guest_queue_take(&r.q[0], &used));
	assert_int_equal(used.len, 65601);
	bed_close(&r);
}

/* ---- H16 ---------------------------------------------------------------------------------- */

static void h16_packet_headers_that_lie_about_themselves(void **state)
{
	static struct netframe f;
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP, VIO_NET_HDR_GSO_UDP_L4 };
	uint64_t seed = 1616;
	unsigned sent = 0, dropped;
	struct bed r;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	r.fb->only_count = true;
	for (unsigned round = 0; round < 3000; round++) {
		struct netframe_spec spec = netframe_random_gso(types[round % 4], &seed);

		spec.payload = netframe_between(&seed, 1, 3000);
		spec.gso_size = (uint16_t)netframe_between(&seed, 8, 1400);
		netframe_build(&f, &spec, &seed);
		/* IP and TCP header lengths above all, then anything in the headers; cut short. */
		if (round % 3 == 0)
			f.bytes[f.l3] = (uint8_t)netframe_random(&seed);
		if (round % 3 == 1 && !spec.udp)
			f.bytes[f.l4 + 12] = (uint8_t)netframe_random(&seed);
		if (round % 3 == 2)
			f.bytes[netframe_between(&seed, 12, f.payload_at)] ^=
				(uint8_t)netframe_random(&seed);
		if (round % 5 == 0)
			f.len = netframe_between(&seed, 14, f.len);
		f.meta.hdr_len = (uint16_t)netframe_random(&seed);
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		r.g.next = GUEST_BASE + (1 << 20);
		sent++;
	}
	dropped = (unsigned)(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO] +
			     bed_stats(&r, 1).drops[VIO_DROP_BAD_CSUM]);
	assert_int_equal(bed_stats(&r, 1).packets + dropped, sent);
	assert_true(dropped > 500 && dropped < sent);
	assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
	bed_close(&r);
}

/* One frame must not become work without end. */
static void h16_segments_of_one_byte(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 60000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1,
				      .needs_csum = true };
	uint64_t seed = 9;
	struct bed r;

	netframe_build(&f, &spec, &seed);
	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(h06_frame_shorter_than_its_header, RING_RUN_ALL),
		RING_TEST(h06_header_over_1_2_3_and_12_descriptors, RING_RUN_ALL),
		RING_TEST(h07_headers_that_lie, RING_RUN_ALL),
		RING_TEST(h07_offloads_that_were_not_negotiated, RING_RUN_ALL),
		RING_TEST(h07_a_header_that_may_ask_for_nothing_is_not_looked_at, RING_RUN_ALL),
		RING_TEST(h09_frames_of_every_length, RING_RUN_ALL),
		RING_TEST(h09_frames_of_4_gib, RING_RUN_ALL),
		RING_TEST(h09_receive_buffers_of_4_gib, RING_RUN_ALL),
		RING_TEST(h16_packet_headers_that_lie_about_themselves, RING_RUN_ALL),
		RING_TEST(h16_segments_of_one_byte, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
