/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two halves woken by nothing but events: no side ever polls. The device's workers sleep until
 * a kick, the driver until an interrupt that it asked for; a descriptor that becomes readable while
 * its queue is not armed counts for nothing. A wake-up that is lost leaves both asleep, which ends
 * the test after PAIR_LIMIT_MS with where they stand.
 *
 * VIO_TEST_FRAMES is the number of frames in all (default 500000).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "check.h"
#include "pair_driver.h"
#include "random.h"

#define TOTAL 500000u

/* Bits of @bits from 0: indirect, event index, mergeable, packed, in order. */
static struct pair_world *open_world(unsigned bits, const char *backend)
{
	struct pair_world *w = calloc(1, sizeof(*w));
	struct pair_device_conf device = { .backend = backend, .mtu = 1500 };
	struct pair_driver_conf conf = {
		.indirect = bits & 1,
		.event_idx = bits & 2,
		.mergeable = bits & 4,
		.packed = bits & 8,
		.in_order = bits & 16,
		.mtu = 1500,
		.interrupts = true,
		.short_frames = true,
		.key = bits,
	};

	check(w != NULL);
	pair_world_open(w, device, conf);
	return w;
}

static void close_world(struct pair_world *w)
{
	pair_world_close(w);
	free(w);
}

static void close_echo(struct pair_world *w)
{
	pair_queue_finish(w->d.queues[0]);
	pair_device_stop(&w->device);
	pair_queue_balance(w->d.queues[0], &w->device.counts);
	close_world(w);
}

static void sleep_or_die(struct pair_queue *q)
{
	check(pair_queue_sleep(q, false));
}

/* One frame at a time: both sides go to sleep after each. */
static void lock_step(struct pair_queue *q, uint64_t frames)
{
	struct vio_driver *drv = q->d->drv;
	struct vio_buf *frame;
	int flags;

	while (q->received < frames) {
		frame = pair_frame_build(&q->stream, q->sent, &q->tx, q->work);
		check(frame != NULL);
		flags = vio_driver_tx_one(drv, q->id, frame);
		if (flags < 0 || !(flags & VIO_ONE_SUCCESS))
			pair_queue_die(q, "a frame was not taken by an empty queue");
		q->sent++;
		while (q->received < q->sent) {
			if (!q->rx_event)
				sleep_or_die(q);
			q->tx_event = false;
			if (!q->rx_event)
				continue;
			flags = vio_driver_rx_one(drv, q->id, &frame);
			if (flags < 0)
				pair_queue_die(q, "receiving failed");
			/* Without MORE it is armed again. */
			q->rx_event = flags & VIO_ONE_MORE;
			if (flags & VIO_ONE_SUCCESS)
				pair_queue_take(q, frame);
		}
	}
}

static void test_lock_step(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 32; bits++) {
		struct pair_world *w = open_world(bits, "loop");
		struct pair_queue *q = w->d.queues[0];

		lock_step(q, pair_total_frames(TOTAL) / 40 + 1);
		/* Asleep all the time: that is what was to be tested. */
		assert_true(q->sleeps > 0);
		close_echo(w);
	}
}

/* A burst, then nothing until all of it is back; bursts of one frame up to more than both rings
 * hold, so that both sides run full, and empty. */
static void test_bursts(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 32; bits++) {
		struct pair_world *w = open_world(bits, "loop");
		struct pair_queue *q = w->d.queues[0];
		uint64_t frames = pair_total_frames(TOTAL) / 20 + 1, seed = bits;

		while (q->received < frames) {
			random31(&seed);
			check(pair_queue_run(
				q, q->received + 1 + (seed >> 33) % (1u << (seed >> 40) % 11),
				false));
		}
		close_echo(w);
	}
}

/* Both directions in full flow, with all kinds of frames. */
static void test_flow(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 32; bits++) {
		struct pair_world *w = open_world(bits, "loop");

		check(pair_queue_run(w->d.queues[0], pair_total_frames(TOTAL) / 40 + 1, false));
		close_echo(w);
	}
}

/* A sender alone. Nothing arrives that could wake it: only the interrupt for room in the queue. */
static void test_sender(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 4; bits++) {
		struct pair_world *w = open_world(bits, "null");
		struct pair_queue *q = w->d.queues[0];
		uint64_t frames = pair_total_frames(TOTAL) / 20 + 1;

		while (q->sent < frames) {
			int ret = pair_queue_send(q, PAIR_BURST);

			if (ret < 0)
				pair_queue_die(q, "sending failed");
			if (q->npending > 0 && !q->tx_event)
				sleep_or_die(q);
			q->tx_event = q->rx_event = false;
		}
		/* And the last ones: asked for again and again, until there are none. */
		while (q->freed < q->sent) {
			int ret = vio_driver_intr_enable(q->d->drv, VIO_TXQ(0));

			check(ret >= 0);
			if (ret == 0)
				sleep_or_die(q);
			q->tx_event = q->rx_event = false;
			check(vio_driver_tx_reap(q->d->drv, 0, PAIR_RING) >= 0);
		}
		pair_device_stop(&w->device);
		assert_int_equal(w->device.counts.queues[VIO_TXQ(0)].packets, q->sent);
		close_world(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock_step),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_flow),
		cmocka_unit_test(test_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
