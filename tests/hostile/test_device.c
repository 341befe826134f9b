/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm, against the device, with each ring format: what it may say of its queues,
 * HOSTILE 8, 12 and 13, and what of 1-4 and 14 has to arrive here: the reason that the ring found
 * stops this queue and no other. Its frames are in test_device_frames.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/endian.h"
#include "bed.h"
#include "netframe.h"
#include "ring_image.h"

#define F(bit) (UINT64_C(1) << VIO_NET_F_##bit)

static uint8_t bytes[70000];

/* ---- H01-H04, H14 -------------------------------------------------------------------------- */

/* What a ring finds, each by itself; which format can be lied in so, and how. */
struct ring_lie {
	enum vio_vq_error why;
	unsigned formats; /* RING_RUN_* */
	void (*tell)(struct bed *r, unsigned queue);
};

static void post(struct bed *r, unsigned queue, uint64_t addr, uint32_t len, uint16_t flags)
{
	guest_queue_post_one(&r->q[queue], addr, len,
			     (uint16_t)(flags | (queue & 1 ? 0 : VIO_DESC_F_WRITE)));
}

/* H01: the start of it is inside, the end behind the last region. */
static void lie_end_outside(struct bed *r, unsigned queue)
{
	post(r, queue, guest_region(&r->g, GUEST_REGIONS) - 60, 2000, 0);
}

/* H01: wraps 2^64. */
static void lie_wraps(struct bed *r, unsigned queue)
{
	post(r, queue, UINT64_MAX - 20, 2000, 0);
}

/* H02: a table that holds no whole number of descriptors, and none. */
static void lie_odd_table(struct bed *r, unsigned queue)
{
	guest_queue_post_one(&r->q[queue], guest_alloc(&r->g, 64, 16), 40, VIO_DESC_F_INDIRECT);
}

static void lie_empty_table(struct bed *r, unsigned queue)
{
	guest_queue_post_one(&r->q[queue], guest_alloc(&r->g, 64, 16), 0, VIO_DESC_F_INDIRECT);
}

/* H02: a table in a table; packed tables know no flag but WRITE. */
static void lie_nested_table(struct bed *r, unsigned queue)
{
	uint64_t at = guest_alloc(&r->g, 64, 16);

	*(struct vio_virtq_desc *)guest_at(&r->g, at) =
		(struct vio_virtq_desc){ vio_le64(at), vio_le32(64), vio_le16(VIO_DESC_F_INDIRECT),
					 0 };
	guest_queue_post_one(&r->q[queue], at, 64, VIO_DESC_F_INDIRECT);
}

/* H03: a chain without an end. */
static void lie_loop(struct bed *r, unsigned queue)
{
	struct guest_queue *q = &r->q[queue];
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	uint16_t in = queue & 1 ? 0 : VIO_DESC_F_WRITE;

	if (q->packed)
		for (unsigned i = 0; i < q->num; i++)
			guest_queue_post_one(q, addr, 64, (uint16_t)(VIO_DESC_F_NEXT | in));
	else {
		guest_queue_desc(q, 5, addr, 64, (uint16_t)(VIO_DESC_F_NEXT | in), 5);
		guest_queue_avail(q, 5);
	}
}

static void lie_zero_length(struct bed *r, unsigned queue)
{
	post(r, queue, guest_region(&r->g, 0), 0, 0);
}

static void lie_order(struct bed *r, unsigned queue)
{
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	struct vio_virtq_desc two[] = { { addr, 64, VIO_DESC_F_WRITE, 0 }, { addr, 64, 0, 0 } };

	guest_queue_post(&r->q[queue], two, 2);
}

static void lie_head(struct bed *r, unsigned queue)
{
	guest_queue_avail(&r->q[queue], 256);
}

/* H04: the index jumps, and runs backwards. */
static void lie_jump(struct bed *r, unsigned queue)
{
	vio_store(&r->q[queue].avail->idx, vio_le16(257));
}

static void lie_backwards(struct bed *r, unsigned queue)
{
	vio_store(&r->q[queue].avail->idx, vio_le16(65535));
}

/* H14: given back before it was given. */
static void lie_flags(struct bed *r, unsigned queue)
{
	*guest_queue_flags(&r->q[queue], 0) = vio_le16(PACKED_OWNER);
}

/* H14: a list whose second descriptor is not there. */
static void lie_torn_list(struct bed *r, unsigned queue)
{
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	uint16_t in = queue & 1 ? 0 : VIO_DESC_F_WRITE;
	struct vio_virtq_desc two[] = { { addr, 64, in, 0 }, { addr, 64, in, 0 } };

	guest_queue_post(&r->q[queue], two, 2);
	*guest_queue_flags(&r->q[queue], 1) = in;
}

static const struct ring_lie ring_lies[] = {
	{ VIO_VQ_BAD_ADDRESS, RING_RUN_ALL, lie_end_outside },
	{ VIO_VQ_BAD_ADDRESS, RING_RUN_ALL, lie_wraps },
	{ VIO_VQ_BAD_INDIRECT, RING_RUN_ALL, lie_odd_table },
	{ VIO_VQ_BAD_INDIRECT, RING_RUN_ALL, lie_empty_table },
	{ VIO_VQ_BAD_INDIRECT, RING_RUN_ANY_SPLIT, lie_nested_table },
	{ VIO_VQ_CHAIN_LOOP, RING_RUN_ALL, lie_loop },
	{ VIO_VQ_ZERO_LENGTH, RING_RUN_ALL, lie_zero_length },
	{ VIO_VQ_BAD_ORDER, RING_RUN_ALL, lie_order },
	{ VIO_VQ_BAD_HEAD, RING_RUN_ANY_SPLIT, lie_head },
	{ VIO_VQ_AVAIL_JUMP, RING_RUN_ANY_SPLIT, lie_jump },
	{ VIO_VQ_AVAIL_JUMP, RING_RUN_ANY_SPLIT, lie_backwards },
	{ VIO_VQ_BAD_FLAGS, RING_RUN_ANY_PACKED, lie_flags },
	{ VIO_VQ_BAD_FLAGS, RING_RUN_ANY_PACKED, lie_torn_list },
};

/* Queue @queue of pair 0 breaks for @why, is told of once, and touches nothing any more. */
static void expect_broken(struct bed *r, unsigned queue, enum vio_vq_error why)
{
	fake_backend_give(r->fb, 0, bytes, 60, NULL);
	for (unsigned i = 0; i < 3; i++) {
		int sent = bed_turn(r, 0);

		assert_int_equal(sent, queue & 1 ? -EPROTO : 0);
		assert_string_equal(vio_vq_error_name(vio_device_queue_error(r->dev, queue)),
				    vio_vq_error_name(why));
		assert_int_equal(r->broken[queue], 1);
		assert_int_equal(r->why[queue], why);
	}
	assert_int_equal(r->calls[queue], 0);
	assert_int_equal(fake_backend_sent(r->fb), 0);
	assert_int_equal(vio_device_queue_error(r->dev, queue ^ 1), VIO_VQ_OK);
}

/* What a broken ring does not touch: the other pair, and its own successor. */
static void h01_h04_h14_a_ring_that_lies_stops_alone(void **state)
{
	const bool packed = ring_format(state) & RING_PACKED;
	static struct bed_frame got;

	memset(bytes, 0, 60);
	for (unsigned i = 0; i < sizeof(ring_lies) / sizeof(ring_lies[0]); i++)
		for (unsigned queue = 0; queue < 2; queue++) {
			struct vio_devq_setup setup;
			struct bed r;

			if (!(ring_lies[i].formats &
			      (packed ? RING_RUN_ANY_PACKED : RING_RUN_ANY_SPLIT)))
				continue;
			bed_open_format(&r, state,
					(struct bed_conf){ .features = ~0ull, .pairs = 2 });
			ring_lies[i].tell(&r, queue);
			expect_broken(&r, queue, ring_lies[i].why);
			/* The other pair, both ways. */
			assert_true(bed_send(&r, 1, NULL, bytes, 60));
			bed_post(&r, 1, 1526, 1);
			fake_backend_give(r.fb, 1, bytes, 60, NULL);
			assert_int_equal(bed_turn(&r, 1), 1);
			assert_true(bed_recv(&r, 1, &got));
			free(fake_backend_next(r.fb));
			/* The queue anew. */
			assert_int_equal(vio_device_queue_stop(r.dev, queue, NULL), 0);
			guest_queue_destroy(&r.q[queue]);
			guest_queue_create(&r.q[queue], &r.g, r.num, r.features);
			setup = guest_queue_setup(&r.q[queue], 0);
			assert_int_equal(vio_device_queue_start(r.dev, queue, &setup, r.g.mem), 0);
			if (queue & 1)
				assert_true(bed_send(&r, 0, NULL, bytes, 60));
			else
				bed_post(&r, 0, 1526, 1);
			assert_int_equal(bed_turn(&r, 0), queue & 1);
			assert_true((queue & 1) || bed_recv(&r, 0, &got));
			bed_close(&r);
		}
}

/* ---- H08 ---------------------------------------------------------------------------------- */

static void expect_rx_broken(struct bed *r)
{
	fake_backend_give(r->fb, 0, bytes, 60, NULL);
	bed_turn(r, 0);
	assert_int_equal(vio_device_queue_error(r->dev, 0), VIO_VQ_BAD_FRAME);
	assert_int_equal(r->broken[0], 1);
	assert_int_equal(r->why[0], VIO_VQ_BAD_FRAME);
	/* Told once, and quiet from then on. */
	bed_turn(r, 0);
	assert_int_equal(r->broken[0], 1);
	assert_true(vio_device_rx_starved(r->dev, 0));
	/* The other direction goes on. */
	assert_true(bed_send(r, 0, NULL, bytes, 60));
	assert_int_equal(bed_turn(r, 0), 1);
}

static void h08_receive_buffer_too_small_for_the_header(void **state)
{
	uint32_t pieces[11] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct bed r;

	memset(bytes, 0, 60);
	for (uint32_t size = 1; size < 12; size++) {
		bed_open_format(&r, state,
				(struct bed_conf){ .features = size & 1 ? ~0ull : ~F(MRG_RXBUF) });
		bed_post(&r, 0, size, 1);
		bed_post(&r, 0, 1526, 1);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_take_all(&r.q[0]), 0);
		bed_close(&r);
	}
	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_true(bed_post_pieces(&r, 0, pieces, 11));
	expect_rx_broken(&r);
	bed_close(&r);
}

/* What comes before it is still delivered. */
static void h08_a_bad_buffer_behind_good_ones(void **state)
{
	static struct bed_frame got;
	struct bed r;

	memset(bytes, 0, 60);
	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	bed_post(&r, 0, 1526, 2);
	bed_post(&r, 0, 11, 1);
	for (unsigned i = 0; i < 2; i++) {
		r.fb->burst = 1;
		fake_backend_give(r.fb, 0, bytes, 60, NULL);
	}
	bed_turn(&r, 0);
	assert_true(bed_recv(&r, 0, &got));
	assert_true(bed_recv(&r, 0, &got));
	assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_OK);
	expect_rx_broken(&r);
	bed_close(&r);
}

static void h08_receive_buffer_with_a_readable_part(void **state)
{
	struct vio_virtq_desc two[2];
	struct bed r;
	uint64_t addr;

	memset(bytes, 0, 60);
	for (unsigned second = 0; second < 2; second++) {
		bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
		addr = guest_alloc(&r.g, 4000, 1);
		/* As the first buffer, or as the second of a frame that needs two. */
		two[0] = (struct vio_virtq_desc){ addr, 20, 0, 0 };
		two[1] = (struct vio_virtq_desc){ addr, 2000, VIO_DESC_F_WRITE, 0 };
		if (second)
			guest_queue_post_one(&r.q[0], addr, 20, VIO_DESC_F_WRITE);
		guest_queue_post(&r.q[0], two, 2);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_take_all(&r.q[0]), 0);
		bed_close(&r);
	}
}

/* ---- H12 ---------------------------------------------------------------------------------- */

static void h12_impossible_geometry_is_refused(void **state)
{
	const bool packed = ring_format(state) & RING_PACKED;
	struct vio_devq_setup good, bad;
	struct bed r;
	char *area;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_int_equal(vio_device_queue_stop(r.dev, 1, NULL), 0);
	good = guest_queue_setup(&r.q[1], 0);
	area = guest_at(&r.g, guest_alloc(&r.g, 65536, 4096));
#define REFUSED(change)                                                                     \
	do {                                                                                \
		bad = good;                                                                 \
		change;                                                                     \
		assert_int_equal(vio_device_queue_start(r.dev, 1, &bad, r.g.mem), -EINVAL); \
		assert_false(vio_device_queue_running(r.dev, 1));                           \
	} while (0)
	REFUSED(bad.num = 0);
	if (!packed) {
		REFUSED(bad.num = 3);
		REFUSED(bad.num = 255);
	}
	REFUSED(bad.num = 32768);
	REFUSED(bad.num = 65536);
	REFUSED(bad.num = UINT32_MAX);
	REFUSED(bad.num = 0x80000000u);
	if (packed) {
		/* Places that the ring has not, with either counter. */
		REFUSED(bad.base = 0x80008000 | bad.num);
		REFUSED(bad.base = 0x80008000 | bad.num << 16);
		REFUSED(bad.base = 0x7fff7fff);
		REFUSED(bad.base = 0xffffffff);
	} else {
		REFUSED(bad.base = 65536);
	}
	REFUSED(bad.areas.desc = NULL);
	REFUSED(bad.areas.driver = NULL);
	REFUSED(bad.areas.device = NULL);
	REFUSED(bad.areas.desc = area + 8);
	REFUSED(bad.areas.driver = area + 1);
	REFUSED(bad.areas.device = area + 2);
	REFUSED(bad.areas.driver = bad.areas.desc);
	REFUSED(bad.areas.device = (char *)bad.areas.desc + bad.num * 16 - 4);
	REFUSED(bad.areas.device = bad.areas.driver);
	/* A sound ring, but larger than was offered. */
	good.areas.desc = area;
	good.areas.driver = area + 32768;
	good.areas.device = area + 40960;
	good.num = 2048;
	REFUSED((void)0);
	good = guest_queue_setup(&r.q[1], 0);
	/* While it runs, nothing about it can be changed. */
	assert_int_equal(vio_device_queue_start(r.dev, 1, &good, r.g.mem), 0);
	bad = good;
	bad.num = 16;
#undef REFUSED
	assert_int_equal(vio_device_queue_start(r.dev, 1, &bad, r.g.mem), -EBUSY);
	assert_true(bed_send(&r, 0, NULL, bytes, 60));
	assert_int_equal(bed_turn(&r, 0), 1);
	bed_close(&r);
}

/* ---- H13 ---------------------------------------------------------------------------------- */

static void h13_kicks_for_queues_that_are_not_there(void **state)
{
	struct bed r;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull, .no_start = true });
	for (unsigned q = 2; q < 100000; q = q * 2 + 1)
		vio_device_count_kick(r.dev, q);
	vio_device_count_kick(r.dev, UINT32_MAX);
	for (unsigned i = 0; i < 100000; i++)
		vio_device_count_kick(r.dev, 1);
	assert_int_equal(bed_stats(&r, 1).kicks, 100000);
	assert_int_equal(bed_stats(&r, 0).kicks, 0);
	assert_int_equal(bed_turn(&r, 0), 0);
	bed_close(&r);
}

static void h13_status_in_impossible_orders(void **state)
{
	uint64_t seed = 13;
	struct bed r;

	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t old = vio_device_status(r.dev), now;
		uint8_t status = netframe_between(&seed, 0, 9) ? (uint8_t)netframe_random(&seed) :
								 0;

		now = vio_device_set_status(r.dev, status);
		assert_int_equal(now, vio_device_status(r.dev));
		if (status == 0) {
			assert_int_equal(now, 0);
			bed_stop(&r);
			r.g.next = GUEST_BASE;
			assert_int_equal(vio_device_set_driver_features(
						 r.dev, vio_features_make(r.features, 0)),
					 0);
			bed_start(&r);
		} else {
			assert_int_equal(now & old, old);
		}
		/* Impossible sets in between. */
		vio_device_set_driver_features(r.dev, vio_features_make(netframe_random(&seed),
									netframe_random(&seed)));
	}
	bed_close(&r);
}

static void h13_reset_in_the_middle_of_a_burst(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 30000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1000,
				      .needs_csum = true };
	uint64_t seed = 9;
	struct vio_features all;
	struct bed r;

	netframe_build(&f, &spec, &seed);
	bed_open_format(&r, state, (struct bed_conf){ .features = ~0ull });
	all = vio_device_driver_features(r.dev);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n;

		r.fb->take = 10;
		for (unsigned i = 0; i < 5; i++)
			assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		bed_post(&r, 0, 100, 8); /* too few for the frame: it waits */
		if (r.fb->give[0].count == 0)
			fake_backend_give(r.fb, 0, bytes, 2000, NULL);
		assert_int_equal(bed_turn(&r, 0), -EAGAIN);
		assert_int_equal(vio_device_set_status(r.dev, 0), 0);
		assert_false(vio_device_tx_held(r.dev, 0));
		assert_int_equal(bed_turn(&r, 0), 0);
		bed_stop(&r);
		r.g.next = GUEST_BASE;
		assert_int_equal(vio_device_set_driver_features(r.dev, all), 0);
		bed_start(&r);
		/* The next guest's frames are whole. */
		r.fb->take = -1;
		for (n = 0; n < 10; n++)
			free(fake_backend_next(r.fb));
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(fake_backend_sent(r.fb), 30);
		for (n = 0; n < 30; n++)
			free(fake_backend_next(r.fb));
		bed_stop(&r);
		r.g.next = GUEST_BASE;
		bed_start(&r);
	}
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(h01_h04_h14_a_ring_that_lies_stops_alone, RING_RUN_ALL),
		RING_TEST(h08_receive_buffer_too_small_for_the_header, RING_RUN_ALL),
		RING_TEST(h08_a_bad_buffer_behind_good_ones, RING_RUN_ALL),
		RING_TEST(h08_receive_buffer_with_a_readable_part, RING_RUN_ALL),
		RING_TEST(h12_impossible_geometry_is_refused, RING_RUN_ALL),
		RING_TEST(h13_kicks_for_queues_that_are_not_there, RING_RUN_ALL),
		RING_TEST(h13_status_in_impossible_orders, RING_RUN_ALL),
		RING_TEST(h13_reset_in_the_middle_of_a_burst, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
