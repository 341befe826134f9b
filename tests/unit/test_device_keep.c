/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Used transmit buffers that a driver is not to see yet: who gets them later, and what brings them
 * all back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "bed.h"
#include "ring_image.h"

#define RING	64u
#define BURST	8u
#define KEPT	(RING / 4) /* of a ring as small as this */
#define STREAM	(RING * 4) /* buffers, from which on a driver streams */
#define TURNS	10000000   /* more than any lull takes */
#define BED_LEN 60

static void open_bed(struct bed *r, void **state, uint64_t without)
{
	bed_open_format(
		r, state,
		(struct bed_conf){ .features = ~without, .tx_offloads = BED_ALL_TX, .num = RING });
}

/* The driver sends @n frames, which the back end takes. */
static void send_burst(struct bed *r, unsigned n)
{
	uint8_t bytes[BED_LEN];

	for (unsigned i = 0; i < n; i++) {
		bed_pattern(bytes, sizeof(bytes), i);
		assert_true(bed_send(r, 0, NULL, bytes, sizeof(bytes)));
	}
	assert_int_equal(bed_turn(r, 0), n);
}

/* Bursts until the driver streams and something of it is kept back. */
static void stream(struct bed *r)
{
	unsigned sent = 0, back = 0;

	while (sent < STREAM - BURST) {
		send_burst(r, BURST);
		sent += BURST;
		back += bed_reap_tx(r, 0);
		assert_int_equal(back, sent);
	}
	while (sent < STREAM + RING) {
		send_burst(r, BURST);
		sent += BURST;
		back += bed_reap_tx(r, 0);
		assert_int_equal(sent - back, vio_min(sent - STREAM, KEPT));
	}
}

static void a_driver_that_streams_finds_the_last_few_after_a_lull(void **state)
{
	unsigned turns = 0;
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	/* A lull is not over when it begins. */
	assert_int_equal(bed_turn(&r, 0), 0);
	assert_int_equal(bed_reap_tx(&r, 0), 0);
	while (!vio_drvq_has_used(r.q[1].drv) && turns++ < TURNS)
		assert_int_equal(bed_turn(&r, 0), 0);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT);
	/* It has to begin anew. */
	stream(&r);
	assert_int_equal(r.calls[1], 0);
	bed_close(&r);
}

/* With a frame now and then it goes on. */
static void a_short_pause_is_no_lull(void **state)
{
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	for (unsigned i = 0; i < RING; i++) {
		assert_int_equal(bed_turn(&r, 0), 0);
		send_burst(&r, 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
	}
	bed_close(&r);
}

/* What is kept back is counted in buffers: where each is several descriptors, a small ring would be
 * kept whole. */
static void frames_in_pieces_are_not_kept(void **state)
{
	static const uint32_t pieces[] = { 20, 20, 20 };
	uint8_t bytes[BED_LEN] = { 0 };
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX) | vio_feature(VIO_F_INDIRECT_DESC));
	stream(&r);
	for (unsigned i = 0; i < 2 * STREAM; i++) {
		assert_true(bed_send_pieces(&r, 0, NULL, bytes, sizeof(bytes), pieces, 3));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), i == 0 ? KEPT + 1 : 1);
	}
	bed_close(&r);
}

/* What was pushed before it was a stream is given back whole: in order, one entry may stand for it. */
static void the_burst_that_makes_it_a_stream_is_not_kept(void **state)
{
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	for (unsigned sent = 0; sent < STREAM - BURST; sent += BURST) {
		send_burst(&r, BURST);
		assert_int_equal(bed_reap_tx(&r, 0), BURST);
	}
	send_burst(&r, KEPT + 5);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT + 5);
	send_burst(&r, KEPT + 5);
	assert_int_equal(bed_reap_tx(&r, 0), 5);
	bed_close(&r);
}

/* Where that ends is told by the buffer alone, be it amidst a burst. */
static void part_of_a_burst_may_be_kept(void **state)
{
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	send_burst(&r, KEPT + 5);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT + 5);
	send_burst(&r, KEPT - 5);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT - 5);
	bed_close(&r);
}

static void nothing_is_kept_when_nobody_may_look_for_long(void **state)
{
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	assert_false(vio_device_tx_kicks(r.dev, 0, true));
	assert_int_equal(bed_reap_tx(&r, 0), KEPT);
	bed_close(&r);
}

static void nothing_is_kept_when_the_back_end_is_busy(void **state)
{
	uint8_t bytes[BED_LEN] = { 0 };
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	r.fb->take = 0;
	assert_true(bed_send(&r, 0, NULL, bytes, sizeof(bytes)));
	assert_int_equal(bed_turn(&r, 0), -EAGAIN);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT);
	bed_close(&r);
}

/* Who goes on with the ring begins behind what was popped. */
static void nothing_is_kept_when_the_queue_stops(void **state)
{
	uint32_t base;
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	assert_int_equal(vio_device_queue_stop(r.dev, 1, &base), 0);
	assert_int_equal(base, STREAM + RING);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT);
	bed_close(&r);
}

/* A driver that wants interrupts sleeps until one comes. */
static void nothing_is_kept_of_a_driver_that_sleeps(void **state)
{
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	assert_false(vio_drvq_notify_enable(r.q[1].drv, 0));
	assert_int_equal(bed_turn(&r, 0), 0);
	assert_int_equal(r.calls[1], 1);
	assert_int_equal(bed_reap_tx(&r, 0), KEPT);
	send_burst(&r, BURST);
	assert_int_equal(bed_reap_tx(&r, 0), BURST);
	bed_close(&r);
}

static void expect_all_at_once(void **state, uint64_t without)
{
	struct bed r;

	open_bed(&r, state, without);
	for (unsigned sent = 0; sent < 2 * STREAM; sent += BURST) {
		send_burst(&r, BURST);
		assert_int_equal(bed_reap_tx(&r, 0), BURST);
	}
	bed_close(&r);
}

static void with_event_index_a_driver_finds_all_at_once(void **state)
{
	expect_all_at_once(state, 0);
}

static void on_a_packed_ring_a_driver_finds_all_at_once(void **state)
{
	expect_all_at_once(state, vio_feature(VIO_F_EVENT_IDX));
}

/* What the driver receives is never late. */
static void received_frames_are_not_kept(void **state)
{
	struct bed_frame f;
	struct bed r;

	open_bed(&r, state, vio_feature(VIO_F_EVENT_IDX));
	stream(&r);
	for (unsigned i = 0; i < 2 * STREAM; i++) {
		uint8_t bytes[BED_LEN];

		bed_pattern(bytes, sizeof(bytes), i);
		bed_post(&r, 0, 1600, 1);
		fake_backend_give(r.fb, 0, bytes, sizeof(bytes), NULL);
		bed_turn(&r, 0);
		assert_true(bed_recv(&r, 0, &f));
		assert_memory_equal(f.bytes, bytes, sizeof(bytes));
	}
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(a_driver_that_streams_finds_the_last_few_after_a_lull,
			  RING_RUN_ANY_SPLIT),
		RING_TEST(a_short_pause_is_no_lull, RING_RUN_ANY_SPLIT),
		RING_TEST(frames_in_pieces_are_not_kept, RING_RUN_ANY_SPLIT),
		RING_TEST(the_burst_that_makes_it_a_stream_is_not_kept, RING_RUN_ANY_SPLIT),
		RING_TEST(part_of_a_burst_may_be_kept, RING_RUN_ANY_SPLIT),
		RING_TEST(nothing_is_kept_when_nobody_may_look_for_long, RING_RUN_ANY_SPLIT),
		RING_TEST(nothing_is_kept_when_the_back_end_is_busy, RING_RUN_ANY_SPLIT),
		RING_TEST(nothing_is_kept_when_the_queue_stops, RING_RUN_ANY_SPLIT),
		RING_TEST(nothing_is_kept_of_a_driver_that_sleeps, RING_RUN_ANY_SPLIT),
		RING_TEST(with_event_index_a_driver_finds_all_at_once, RING_RUN_ALL),
		RING_TEST(on_a_packed_ring_a_driver_finds_all_at_once, RING_RUN_ANY_PACKED),
		RING_TEST(received_frames_are_not_kept, RING_RUN_ANY_SPLIT),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
