/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large frames between our two halves, through the loop back end, in every ring format:
 *
 *   - without merging, into buffers that hold whatever may come (virtio 1.4, 5.1.9.3.1), of one piece
 *     or of several, in an indirect table or not; with segmentation left to do, up to 64 KiB, and
 *     with an MTU of 9000 and nothing else;
 *   - merged, so that a frame ends exactly with a buffer, and around that.
 *
 * All frames come back, in order, unchanged, in the buffers that they have to take, and both sides
 * have counted the same.
 */
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "check.h"
#include "pair_driver.h"

#define FRAMES 48000u /* of a test */
#define MTU    9000u

struct world {
	char dir[64], path[80];
	struct pair_device device;
	struct pair_driver d;
	struct pair_queue *q;
};

/* Bits of @bits from 0: packed, in order, indirect. */
static void open_world(struct world *w, unsigned bits, struct pair_driver_conf conf)
{
	struct pair_device_conf device = { .path = w->path, .mtu = conf.mtu, .busy_poll_us = 20 };

	pair_dir_make(w->dir);
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	conf.path = w->path;
	conf.packed = bits & 1;
	conf.in_order = bits & 2;
	conf.indirect = bits & 4;
	conf.event_idx = true;
	conf.key = bits;
	conf.device = &w->device;
	pair_device_start(&w->device, &device);
	pair_driver_open(&w->d, &conf);
	w->q = w->d.queues[0];
}

static void close_world(struct world *w)
{
	pair_queue_finish(w->q);
	pair_device_stop(&w->device);
	pair_queue_balance(w->q, &w->device.counts);
	assert_int_equal(w->device.counts.status.protocol_errors, 0);
	pair_driver_close(&w->d);
	pair_dir_remove(w->dir);
}

/* ---- Not merged ------------------------------------------------------------------------------ */

static uint32_t in_flight(const struct world *w)
{
	struct vio_driver_queue_info info;

	check(vio_driver_queue_info(w->d.drv, VIO_RXQ(0), &info) == 0);
	return info.in_flight;
}

/* Buffers of @room bytes, @pieces of which are posted for one frame: @conf says what may come. */
static void run_unmerged(struct pair_driver_conf conf, uint32_t room, unsigned pieces)
{
	struct vio_driver_info info;
	uint32_t buffers, most;
	struct world w;

	for (unsigned bits = 0; bits < 8; bits++) {
		conf.rx_room = room;
		conf.interrupts = bits == 3 || bits == 4;
		open_world(&w, bits, conf);
		vio_driver_get_info(w.d.drv, &info);
		assert_false(vio_features_test(info.accepted, VIO_NET_F_MRG_RXBUF));
		/* In an indirect table they take one descriptor, else one each. */
		buffers = w.q->rx_count / pieces;
		most = bits & 4 ? PAIR_RING : PAIR_RING / pieces;
		assert_int_equal(in_flight(&w), vio_min(buffers, most));
		pair_queue_run(w.q, pair_total_frames(FRAMES) / 16 + 1, false);
		close_world(&w);
	}
}

static const struct pair_driver_conf large = { .offloads = true, .large_frames = true };
static const struct pair_driver_conf jumbo = { .mtu = MTU, .large_frames = true };

static void test_64k_in_chains(void **state)
{
	(void)state;
	run_unmerged(large, 2048, 33);
}

static void test_64k_in_one_buffer(void **state)
{
	(void)state;
	run_unmerged(large, 65593, 1);
}

/* As many pieces as a burst of the driver has. */
static void test_64k_in_the_longest_chains(void **state)
{
	(void)state;
	run_unmerged(large, 1025, 64);
}

static void test_9000_in_chains(void **state)
{
	(void)state;
	run_unmerged(jumbo, 2048, 5);
}

static void test_9000_in_one_buffer(void **state)
{
	(void)state;
	run_unmerged(jumbo, MTU + VIO_ETH_HLEN + 4, 1);
}

/* ---- Merged ---------------------------------------------------------------------------------- */

#define ROOM 1000u

/* The frame is to be @expect.len long, in @expect.pieces. */
static struct {
	uint32_t len;
	unsigned pieces;
	unsigned seen;
} expect;

static void take(struct pair_queue *q, struct vio_buf *frame)
{
	const struct vio_buf *piece;
	unsigned n = 0;

	check(frame->frame_len == expect.len);
	check(frame->pieces == expect.pieces);
	check(frame->meta.num_buffers == expect.pieces);
	for (piece = frame; piece; piece = piece->next, n++) {
		check(!piece->next || piece->len == (n ? ROOM + VIO_NET_HDR_SIZE : ROOM));
		check(*vio_buf_data(piece) == (n ? (uint8_t)expect.len : 2));
	}
	expect.seen++;
	q->received++;
	vio_pool_put(q->rx_pool, &frame, 1);
}

static void pass(struct pair_queue *q, uint32_t len, unsigned pieces)
{
	struct vio_buf *buf;

	expect.len = len;
	expect.pieces = pieces;
	expect.seen = 0;
	check(vio_pool_get(q->tx.big, &buf, 1) == 1);
	buf->len = len;
	memset(vio_buf_data(buf), (int)(len & 0xff), len);
	*vio_buf_data(buf) = 2;
	check(vio_driver_tx_burst(q->d->drv, 0, &buf, 1) == 1);
	q->sent++;
	pair_queue_busy(q);
	while (!expect.seen)
		if (pair_queue_receive(q, 1) <= 0)
			pair_queue_idle(q);
	pair_queue_finish(q);
}

static void test_s22_merged_ends_with_a_buffer(void **state)
{
	struct pair_driver_conf conf = { .mtu = 65521, .mergeable = true, .rx_room = ROOM };
	uint32_t whole;
	struct world w;

	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		open_world(&w, bits, conf);
		w.q->take = take;
		for (unsigned n = 1; n <= 64; n++) {
			whole = n * (ROOM + VIO_NET_HDR_SIZE) - VIO_NET_HDR_SIZE;
			pass(w.q, whole - 1, n);
			pass(w.q, whole, n);
			pass(w.q, whole + 1, n + 1);
		}
		close_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64k_in_chains),
		cmocka_unit_test(test_64k_in_one_buffer),
		cmocka_unit_test(test_64k_in_the_longest_chains),
		cmocka_unit_test(test_9000_in_chains),
		cmocka_unit_test(test_9000_in_one_buffer),
		cmocka_unit_test(test_s22_merged_ends_with_a_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
