/* SPDX-License-Identifier: BSD-2-Clause */
/* From the back end to the guest: merged buffers, headers in pieces, too little room; in every ring
 * format. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/iov.h"
#include "bed.h"
#include "netframe.h"
#include "ring_image.h"

#define MERGE	 (~0ull)
#define NO_MERGE (~vio_feature(VIO_NET_F_MRG_RXBUF))

static uint8_t bytes[70000];
static struct bed_frame got;

/* Opens the bed with the ring format that the test is run for. */
static void open_bed(struct bed *r, void **state, struct bed_conf conf)
{
	conf.packed = ring_format(state) & RING_PACKED;
	conf.in_order = ring_format(state) & RING_IN_ORDER;
	bed_open(r, &conf);
}

static void give(struct bed *r, uint32_t len, unsigned n)
{
	bed_pattern(bytes, len, n);
	fake_backend_give(r->fb, 0, bytes, len, NULL);
}

/* Frame @n of @len bytes is the next that the guest gets. */
static void expect(struct bed *r, uint32_t len, unsigned n)
{
	assert_true(bed_recv(r, 0, &got));
	assert_int_equal(got.len, len);
	bed_pattern(bytes, len, n);
	assert_memory_equal(got.bytes, bytes, len);
	assert_int_equal(got.meta.num_buffers, got.buffers);
}

static void expect_none(struct bed *r)
{
	assert_false(bed_recv(r, 0, &got));
}

/* ---- Q11: mergeable ----------------------------------------------------------------------- */

static void q11_frames_up_to_the_largest_in_small_buffers(void **state)
{
	static const uint32_t lens[] = { 14, 60, 65, 1514, 9000, 65535, 65562, 65589 };
	static const uint32_t sizes[] = { 300, 512, 1526, 4096, 65601 };
	struct bed r;

	for (unsigned s = 0; s < 5; s++) {
		open_bed(&r, state,
			 (struct bed_conf){ .features = MERGE, .region_size = 16 << 20 });
		for (unsigned i = 0; i < 8; i++) {
			unsigned free = vio_drvq_free(r.q[0].drv);

			bed_post(&r, 0, sizes[s], sizes[s] > 4096 ? 2 : free);
			give(&r, lens[i], i);
			bed_turn(&r, 0);
			expect(&r, lens[i], i);
			assert_int_equal(got.buffers,
					 (lens[i] + r.hdr_size + sizes[s] - 1) / sizes[s]);
			expect_none(&r);
			assert_int_equal(bed_stats(&r, 0).packets, i + 1);
		}
		bed_close(&r);
	}
}

static void q11_tiny_buffers_just_the_header_each(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	bed_post(&r, 0, r.hdr_size, 100);
	give(&r, 60, 1);
	bed_turn(&r, 0);
	expect(&r, 60, 1);
	assert_int_equal(got.buffers, 6); /* 12 of header, 5 x 12 of frame */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(got.used_len[i], 12);
	give(&r, 61, 2);
	bed_turn(&r, 0);
	expect(&r, 61, 2);
	assert_int_equal(got.buffers, 7);
	assert_int_equal(got.used_len[6], 1);
	bed_close(&r);
}

/* All sizes at once, posted and used in random bursts: nothing is lost, in order. */
static void q11_any_mixture_of_buffers_and_frames(void **state)
{
	unsigned given = 0, seen = 0, posted = 0;
	uint32_t lens[3000], pieces[12];
	uint64_t seed = 12345;
	struct bed r;

	open_bed(&r, state,
		 (struct bed_conf){ .features = MERGE, .num = 256, .region_size = 60 << 20 });
	while (seen < 3000) {
		unsigned n = netframe_between(&seed, 0, 20);

		while (n-- && given < 3000) {
			lens[given] = netframe_between(&seed, 14, given % 7 ? 1514 : 20000);
			give(&r, lens[given], given);
			given++;
		}
		for (n = netframe_between(&seed, 0, 30); n--; posted++) {
			unsigned k = netframe_between(&seed, 1, posted % 3 ? 1 : 12);

			for (unsigned i = 0; i < k; i++)
				pieces[i] = netframe_between(&seed, k == 1 ? 100 : 12, 1600);
			if (!bed_post_pieces(&r, 0, pieces, k))
				break;
		}
		r.fb->burst = netframe_between(&seed, 1, 64);
		bed_turn_budget(&r, 0, netframe_between(&seed, 1, 40));
		while (seen < given && bed_recv(&r, 0, &got)) {
			assert_int_equal(got.len, lens[seen]);
			bed_pattern(bytes, got.len, seen);
			assert_memory_equal(got.bytes, bytes, got.len);
			seen++;
		}
	}
	assert_int_equal(r.fb->too_big, 0);
	assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_OK);
	bed_close(&r);
}

/* Buffers in so many pieces that a thread's memory holds few of them at a time. */
static void q11_buffers_in_a_thousand_pieces(void **state)
{
	struct bed r;
	uint64_t table, data;
	struct guest_queue *q;
	uint16_t used;

	open_bed(&r, state,
		 (struct bed_conf){ .features = MERGE, .num = 1024, .region_size = 8 << 20 });
	/* By hand, through indirect tables: 20 buffers of 1000 bytes in 1000 pieces. */
	q = &r.q[0];
	for (unsigned b = 0; b < 20; b++) {
		struct vio_virtq_desc *d;

		table = guest_alloc(&r.g, 16000, 16);
		data = guest_alloc(&r.g, 2000, 1);
		d = guest_at(&r.g, table);
		for (unsigned i = 0; i < 1000; i++)
			d[i] = (struct vio_virtq_desc){ .addr = data + 2 * i,
							.len = 1,
							.flags = VIO_DESC_F_WRITE |
								 (i < 999 ? VIO_DESC_F_NEXT : 0),
							.next = (uint16_t)(i + 1) };
		guest_queue_desc(q, b, table, 16000, VIO_DESC_F_INDIRECT, 0);
		guest_queue_avail(q, (uint16_t)b);
	}
	/* Each frame takes two buffers, whatever is left over from the one before. */
	for (unsigned i = 0; i < 6; i++)
		give(&r, 1500, i);
	r.fb->burst = 4;
	bed_turn(&r, 0);
	used = guest_queue_used_idx(q);
	assert_int_equal(used, 12);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(q->used->ring[i].id, i);
		assert_int_equal(q->used->ring[i].len, i & 1 ? 512 : 1000);
	}
	assert_int_equal(r.fb->too_big, 0);
	/* A frame that needs more pieces than can be held is dropped; what comes behind is not. */
	for (unsigned b = 0; b < 12; b++)
		guest_queue_avail(q, (uint16_t)b);
	give(&r, 9000, 6);
	give(&r, 100, 7);
	bed_turn(&r, 0);
	assert_int_equal(r.fb->too_big, 1);
	assert_int_equal(bed_stats(&r, 0).drops[VIO_DROP_TOO_BIG], 1);
	assert_int_equal(guest_queue_used_idx(q), 13);
	assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_OK);
	bed_close(&r);
}

/* A frame that ends with a buffer takes no other one, whose size the header's has a part in. */
static void end_with_a_buffer(struct bed *r)
{
	static const uint32_t sizes[] = { 100, 512, 1534 };

	for (unsigned s = 0; s < vio_array_size(sizes); s++)
		for (unsigned n = 1; n <= 40; n++) {
			uint32_t whole = n * sizes[s] - r->hdr_size;

			for (unsigned i = 0; i < 3; i++) {
				bed_post(r, 0, sizes[s], n + (i == 2));
				give(r, whole - 1 + i, i);
				bed_turn(r, 0);
				expect(r, whole - 1 + i, i);
				assert_int_equal(got.buffers, n + (i == 2));
				for (unsigned b = 0; b + 1 < got.buffers; b++)
					assert_int_equal(got.used_len[b], sizes[s]);
			}
		}
	/* All of them were taken, and none is missing. */
	assert_int_equal(vio_drvq_in_flight(r->q[0].drv), 0);
}

static void q11_s22_frames_that_end_with_a_buffer(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE, .region_size = 8 << 20 });
	end_with_a_buffer(&r);
	bed_close(&r);
}

/* ---- A header of 20 bytes ------------------------------------------------------------------ */

static void open_with_hash(struct bed *r, void **state, uint64_t features)
{
	open_bed(r, state,
		 (struct bed_conf){ .features = features,
				    .more = vio_feature(VIO_NET_F_HASH_REPORT),
				    .region_size = 8 << 20 });
	assert_int_equal(r->hdr_size, 20);
}

/* No hash was configured: type and value are 0 (virtio 1.4, 5.1.9.4.4), over whatever lay there. */
static void expect_no_hash(void)
{
	static const uint8_t zero[8];

	assert_memory_equal(got.header + 12, zero, sizeof(zero));
}

static void q11_s22_a_longer_header_and_merged_buffers(void **state)
{
	struct bed r;

	open_with_hash(&r, state, MERGE);
	end_with_a_buffer(&r);
	bed_post(&r, 0, 20, 4); /* the least that a driver may post */
	give(&r, 60, 1);
	bed_turn(&r, 0);
	expect(&r, 60, 1);
	assert_int_equal(got.buffers, 4);
	expect_no_hash();
	bed_close(&r);
}

static void a_longer_header_without_merging(void **state)
{
	static const uint32_t pieces[] = { 13, 7, 1514 };
	struct bed r;

	open_with_hash(&r, state, NO_MERGE);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(i % 2 ? bed_post_pieces(&r, 0, pieces, 3) :
				    bed_post_pieces(&r, 0, (const uint32_t[]){ 1534 }, 1));
		give(&r, 1514 - i, i);
	}
	bed_turn(&r, 0);
	for (unsigned i = 0; i < 20; i++) {
		expect(&r, 1514 - i, i);
		assert_int_equal(got.buffers, 1);
		assert_int_equal(got.used_len[0], 1534 - i);
		expect_no_hash();
	}
	/* One byte more does not fit. */
	bed_post(&r, 0, 1534, 1);
	give(&r, 1515, 0);
	give(&r, 60, 1);
	bed_turn(&r, 0);
	expect(&r, 60, 1);
	assert_int_equal(bed_stats(&r, 0).drops[VIO_DROP_TOO_BIG], 1);
	bed_close(&r);
}

/* H8: a buffer that would have done for the header of 12 bytes. */
static void h08_a_buffer_too_small_for_the_longer_header(void **state)
{
	struct bed r;

	for (unsigned merge = 0; merge < 2; merge++)
		for (uint32_t size = 12; size < 20; size++) {
			open_with_hash(&r, state, merge ? MERGE : NO_MERGE);
			bed_post(&r, 0, size, 4);
			give(&r, 60, 1);
			bed_turn(&r, 0);
			expect_none(&r);
			assert_int_equal(r.broken[0], 1);
			assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_BAD_FRAME);
			assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
			bed_close(&r);
		}
}

static void a_longer_header_to_send(void **state)
{
	struct fake_frame *f;
	struct bed r;

	open_with_hash(&r, state, MERGE);
	for (unsigned i = 0; i < 40; i++) {
		bed_pattern(bytes, 60 + i, i);
		assert_true(i % 2 ? bed_send_pieces(&r, 0, NULL, bytes, 60 + i,
						    (const uint32_t[]){ 12, 8 }, 2) :
				    bed_send(&r, 0, NULL, bytes, 60 + i));
		/* A header, and 13 bytes or less. */
		assert_true(bed_send(&r, 0, NULL, bytes, i % 14));
	}
	bed_turn(&r, 0);
	assert_int_equal(bed_reap_tx(&r, 0), 80);
	for (unsigned i = 0; i < 40; i++) {
		f = fake_backend_next(r.fb);
		assert_non_null(f);
		bed_pattern(bytes, 60 + i, i);
		assert_int_equal(f->len, 60 + i);
		assert_memory_equal(f->bytes, bytes, f->len);
		free(f);
	}
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 40);
	bed_close(&r);
}

/* ---- Header in pieces ---------------------------------------------------------------------- */

static void header_in_one_two_three_and_twelve_pieces(void **state)
{
	static const uint32_t one[] = { 12, 1600 }, two[] = { 5, 7, 1600 },
			      three[] = { 1, 1, 10, 1600 },
			      twelve[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1600 },
			      across[] = { 11, 100, 1600 }, joined[] = { 1700 };
	static const struct {
		const uint32_t *pieces;
		unsigned n;
	} cases[] = { { one, 2 },     { two, 3 },    { three, 4 },
		      { twelve, 13 }, { across, 3 }, { joined, 1 } };
	struct bed r;

	for (unsigned merge = 0; merge < 2; merge++) {
		open_bed(&r, state,
			 (struct bed_conf){ .features = merge ? MERGE : NO_MERGE,
					    .num = 1024,
					    .region_size = 8 << 20 });
		for (unsigned round = 0; round < 60; round++) {
			unsigned c = round * 5 % 6;

			assert_true(bed_post_pieces(&r, 0, cases[c].pieces, cases[c].n));
			give(&r, 60 + round * 23, round);
		}
		bed_turn(&r, 0);
		for (unsigned round = 0; round < 60; round++)
			expect(&r, 60 + round * 23, round);
		expect_none(&r);
		bed_close(&r);
	}
}

/* ---- Too little ---------------------------------------------------------------------------- */

static void without_merging_a_frame_that_does_not_fit_is_dropped_alone(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = NO_MERGE });
	bed_post(&r, 0, 500, 10);
	give(&r, 100, 0);
	give(&r, 489, 1); /* with its header, one byte too many */
	give(&r, 488, 2);
	bed_turn(&r, 0);
	expect(&r, 100, 0);
	expect(&r, 488, 2);
	expect_none(&r);
	assert_int_equal(bed_stats(&r, 0).drops[VIO_DROP_TOO_BIG], 1);
	assert_int_equal(r.fb->too_big, 1);
	bed_close(&r);
}

/*
 * H9: large frames were negotiated, and buffers for small ones are posted: what they have no room for
 * is dropped and counted, and nothing is written behind their ends.
 */
static void h09_large_frames_and_buffers_for_small_ones(void **state)
{
	static const uint32_t lens[] = { 60, 1515, 1514, 9014, 65589, 61, 1516 };
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIO_NET_HDR_GSO_TCPV4,
				     .gso_size = 1400,
				     .csum_start = 34,
				     .csum_offset = 16 };
	struct vio_seg seg = { .len = 1526 };
	struct vio_drvq_buf buf = { .segs = &seg, .in_num = 1, .token = &seg };
	struct vio_drvq_done done;
	uint64_t area;
	struct bed r;

	open_bed(&r, state,
		 (struct bed_conf){ .features = NO_MERGE,
				    .rx_offloads = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 });
	area = guest_alloc(&r.g, 70000, 1);
	memset(guest_at(&r.g, area), 0xee, 70000);
	seg.addr = area;
	for (unsigned i = 0; i < vio_array_size(lens); i++) {
		if (lens[i] <= 1514) {
			assert_int_equal(vio_drvq_add_burst(r.q[0].drv, &buf, 1), 1);
			vio_drvq_publish(r.q[0].drv);
		}
		bed_pattern(bytes, lens[i], i);
		fake_backend_give(r.fb, 0, bytes, lens[i], &meta);
	}
	/* The last meets a buffer as well. */
	assert_int_equal(vio_drvq_add_burst(r.q[0].drv, &buf, 1), 1);
	vio_drvq_publish(r.q[0].drv);
	bed_turn(&r, 0);
	for (unsigned i = 0; i < vio_array_size(lens); i++) {
		if (lens[i] > 1514)
			continue;
		assert_int_equal(vio_drvq_reap_burst(r.q[0].drv, &done, 1), 1);
		assert_int_equal(done.len, lens[i] + 12);
	}
	assert_int_equal(vio_drvq_reap_burst(r.q[0].drv, &done, 1), 0);
	assert_int_equal(vio_drvq_in_flight(r.q[0].drv), 1);
	for (unsigned i = 1526; i < 70000; i++)
		assert_int_equal(((uint8_t *)guest_at(&r.g, area))[i], 0xee);
	assert_int_equal(bed_stats(&r, 0).drops[VIO_DROP_TOO_BIG], 4);
	assert_int_equal(bed_stats(&r, 0).packets, 3);
	assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_OK);
	bed_close(&r);
}

/* Large frames into large buffers, of one piece and of many, each a frame's only one. */
static void large_frames_without_merging(void **state)
{
	static const uint32_t lens[] = { 60, 1514, 9014, 65535, 65562, 65589 };
	uint32_t chain[33];
	struct bed r;

	for (unsigned i = 0; i < 33; i++)
		chain[i] = i ? 2048 : 2060;
	open_bed(&r, state,
		 (struct bed_conf){ .features = NO_MERGE,
				    .rx_offloads = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4,
				    .region_size = 16 << 20 });
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < vio_array_size(lens); i++) {
			if (round % 2)
				assert_true(bed_post_pieces(&r, 0, chain, 33));
			else
				bed_post(&r, 0, 65601, 1);
			give(&r, lens[i], i);
		}
		bed_turn(&r, 0);
		for (unsigned i = 0; i < vio_array_size(lens); i++) {
			expect(&r, lens[i], i);
			assert_int_equal(got.buffers, 1);
			assert_int_equal(got.used_len[0], lens[i] + 12);
		}
	}
	assert_int_equal(r.fb->too_big, 0);
	bed_close(&r);
}

static void a_frame_that_the_whole_ring_cannot_hold_is_dropped(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	bed_post(&r, 0, 100, 256);
	give(&r, 256 * 100 - 12, 0);
	bed_turn(&r, 0);
	expect(&r, 256 * 100 - 12, 0);
	bed_post(&r, 0, 100, 256);
	give(&r, 256 * 100 - 11, 1);
	give(&r, 60, 2);
	bed_turn(&r, 0);
	expect(&r, 60, 2);
	assert_int_equal(bed_stats(&r, 0).drops[VIO_DROP_TOO_BIG], 1);
	bed_close(&r);
}

/* The frame waits for as many buffers as it takes; kicks are asked for beyond those there are. */
static void starved_and_recovers_without_a_lost_kick(void **state)
{
	struct bed r;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		open_bed(&r, state,
			 (struct bed_conf){
				 .features = event_idx ? MERGE : ~vio_feature(VIO_F_EVENT_IDX) });
		give(&r, 1000, 0);
		bed_turn(&r, 0);
		assert_true(vio_device_rx_starved(r.dev, 0));
		assert_true(vio_device_rx_short(r.dev, 0));
		assert_false(vio_device_rx_kicks(r.dev, 0, true));
		for (unsigned have = 1; have <= 10; have++) {
			struct vio_drvq *drv = r.q[0].drv;
			uint64_t addr = guest_alloc(&r.g, 100, 1);
			struct vio_seg seg = { addr, 100 };
			struct vio_drvq_buf buf = { .segs = &seg, .in_num = 1, .token = &r };

			assert_int_equal(vio_drvq_add_burst(drv, &buf, 1), 1);
			/* Each buffer more is news: the driver is asked to kick. */
			assert_true(vio_drvq_publish(drv));
			assert_false(vio_device_rx_starved(r.dev, 0));
			assert_true(vio_device_rx_kicks(r.dev, 0, true));
			vio_device_rx_kicks(r.dev, 0, false);
			bed_turn(&r, 0);
			assert_int_equal(vio_device_rx_short(r.dev, 0), true);
			/* Nothing is kept between turns, and what is there is no news. */
			assert_false(vio_device_rx_kicks(r.dev, 0, true));
		}
		assert_int_equal(guest_queue_used_idx(&r.q[0]), 0);
		bed_post(&r, 0, 100, 1);
		bed_turn(&r, 0);
		assert_int_equal(guest_queue_used_idx(&r.q[0]), 11);
		assert_false(vio_device_rx_short(r.dev, 0));
		assert_int_equal(r.fb->received, 1);
		bed_close(&r);
	}
}

/* A back end that asks for more than its next frame needs must not be shut out for it. */
static void room_that_nobody_needed_does_not_starve(void **state)
{
	struct vio_sink *sink;
	struct vio_frame room;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	sink = vio_device_sink(r.dev, 0);
	bed_post(&r, 0, 1526, 5);
	vio_device_begin(r.dev, 0, r.scratch);
	room.len = 65589;
	assert_int_equal(sink->ops->reserve(sink, &room, 1), 1);
	assert_int_equal(room.len, 5 * 1526 - 12);
	assert_true(sink->wait);
	sink->ops->commit(sink, &room, 0);
	vio_device_end(r.dev, 0);
	assert_true(vio_device_rx_short(r.dev, 0));
	assert_false(vio_device_rx_starved(r.dev, 0));
	/* The guest adds nothing, yet a frame that fits goes through. */
	give(&r, 3000, 1);
	bed_turn(&r, 0);
	expect(&r, 3000, 1);
	assert_false(vio_device_rx_short(r.dev, 0));
	bed_close(&r);
}

/* A tap asks for the most that may come: the header says how many buffers what came has taken. */
static void s22_frames_smaller_than_their_room(void **state)
{
	struct vio_sink *sink;
	struct vio_frame room;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	sink = vio_device_sink(r.dev, 0);
	for (unsigned n = 1; n <= 6; n++)
		for (unsigned i = 0; i < 3; i++) {
			uint32_t len = n * 200 - r.hdr_size - 1 + i;

			bed_post(&r, 0, 200, 8 - vio_drvq_in_flight(r.q[0].drv));
			vio_device_begin(r.dev, 0, r.scratch);
			room.len = 8 * 200 - 12;
			assert_int_equal(sink->ops->reserve(sink, &room, 1), 1);
			bed_pattern(bytes, len, n);
			vio_iov_from_buf(room.iov, room.iovcnt, 0, bytes, len);
			room.len = len;
			sink->ops->commit(sink, &room, 1);
			vio_device_end(r.dev, 0);
			expect(&r, len, n);
			assert_int_equal(got.buffers, n + (i == 2));
			assert_int_equal(vio_drvq_in_flight(r.q[0].drv), 8 - got.buffers);
			expect_none(&r);
		}
	bed_close(&r);
}

/* Not asked for, or given back: the same buffers, in the same order, come next. */
static void buffers_given_back_are_used_in_their_order(void **state)
{
	struct vio_frame rooms[8];
	struct vio_sink *sink;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	sink = vio_device_sink(r.dev, 0);
	bed_post(&r, 0, 200, 100);
	for (unsigned round = 0; round < 12; round++) {
		vio_device_begin(r.dev, 0, r.scratch);
		for (unsigned i = 0; i < 8; i++)
			rooms[i].len = 150 + 60 * (i % 2);
		assert_int_equal(sink->ops->reserve(sink, rooms, 8), 8);
		bed_pattern(rooms[0].iov->base, 150, round);
		sink->ops->commit(sink, rooms, round % 2);
		/* Left reserved at the end of the turn, they go back as well. */
		assert_int_equal(sink->ops->reserve(sink, rooms, 3), 3);
		vio_device_end(r.dev, 0);
		if (round % 2)
			expect(&r, 150, round);
		expect_none(&r);
	}
	for (unsigned i = 0; i < 94; i++)
		give(&r, 100, i);
	bed_turn(&r, 0);
	for (unsigned i = 0; i < 94; i++)
		expect(&r, 100, i);
	bed_close(&r);
}

static void closed_for_a_reason_there_is_no_room_and_no_kick(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	bed_post(&r, 0, 1526, 10);
	give(&r, 100, 0);

	vio_device_set_link(r.dev, false);
	bed_turn(&r, 0);
	assert_true(vio_device_rx_starved(r.dev, 0));
	assert_false(vio_device_rx_short(r.dev, 0));
	/* There are buffers, which must not keep a worker awake. */
	assert_false(vio_device_rx_kicks(r.dev, 0, true));
	vio_device_set_link(r.dev, true);

	assert_int_equal(vio_device_queue_enable(r.dev, 0, false), 0);
	bed_turn(&r, 0);
	assert_true(vio_device_rx_starved(r.dev, 0));
	assert_false(vio_device_rx_kicks(r.dev, 0, true));
	assert_int_equal(vio_device_queue_enable(r.dev, 0, true), 0);
	expect_none(&r);

	assert_false(vio_device_rx_starved(r.dev, 0));
	bed_turn(&r, 0);
	expect(&r, 100, 0);
	vio_device_queue_break(r.dev, 0, VIO_VQ_MEMORY_GONE);
	give(&r, 100, 1);
	bed_turn(&r, 0);
	assert_true(vio_device_rx_starved(r.dev, 0));
	assert_false(vio_device_rx_kicks(r.dev, 0, true));
	bed_close(&r);
}

/* Outside of a turn a back end gets no room: nobody would tell the guest. */
static void outside_of_a_turn_there_is_no_room(void **state)
{
	struct vio_sink *sink;
	struct vio_frame room = { .len = 60 };
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	bed_post(&r, 0, 1526, 1);
	sink = vio_device_sink(r.dev, 0);
	assert_int_equal(sink->ops->reserve(sink, &room, 1), 0);
	bed_close(&r);
}

static void drops_on_the_way_are_counted_by_reason(void **state)
{
	struct vio_sink *sink;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = MERGE });
	sink = vio_device_sink(r.dev, 0);
	sink->ops->drop(sink, VIO_DROP_NO_BUFFER, 3);
	sink->ops->drop(sink, (enum vio_drop)VIO_DROP_NR, 1);
	sink->ops->drop(sink, (enum vio_drop) - 1, 1);
	for (unsigned i = 0; i < VIO_DROP_NR; i++)
		assert_int_equal(bed_stats(&r, 0).drops[i], i == VIO_DROP_NO_BUFFER ? 3 : 0);
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(q11_frames_up_to_the_largest_in_small_buffers, RING_RUN_ALL),
		RING_TEST(q11_tiny_buffers_just_the_header_each, RING_RUN_ALL),
		RING_TEST(q11_any_mixture_of_buffers_and_frames, RING_RUN_ALL),
		RING_TEST(q11_buffers_in_a_thousand_pieces, RING_RUN_SPLIT),
		RING_TEST(q11_s22_frames_that_end_with_a_buffer, RING_RUN_ALL),
		RING_TEST(q11_s22_a_longer_header_and_merged_buffers, RING_RUN_ALL),
		RING_TEST(a_longer_header_without_merging, RING_RUN_ALL),
		RING_TEST(h08_a_buffer_too_small_for_the_longer_header, RING_RUN_ALL),
		RING_TEST(a_longer_header_to_send, RING_RUN_ALL),
		RING_TEST(h09_large_frames_and_buffers_for_small_ones, RING_RUN_ALL),
		RING_TEST(large_frames_without_merging, RING_RUN_ALL),
		RING_TEST(header_in_one_two_three_and_twelve_pieces, RING_RUN_ALL),
		RING_TEST(without_merging_a_frame_that_does_not_fit_is_dropped_alone, RING_RUN_ALL),
		RING_TEST(a_frame_that_the_whole_ring_cannot_hold_is_dropped, RING_RUN_ALL),
		RING_TEST(starved_and_recovers_without_a_lost_kick, RING_RUN_SPLIT),
		RING_TEST(room_that_nobody_needed_does_not_starve, RING_RUN_ALL),
		RING_TEST(s22_frames_smaller_than_their_room, RING_RUN_ALL),
		RING_TEST(buffers_given_back_are_used_in_their_order, RING_RUN_ALL),
		RING_TEST(closed_for_a_reason_there_is_no_room_and_no_kick, RING_RUN_ALL),
		RING_TEST(outside_of_a_turn_there_is_no_room, RING_RUN_ALL),
		RING_TEST(drops_on_the_way_are_counted_by_reason, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
