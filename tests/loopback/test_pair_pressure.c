/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back-pressure: a receiver that is slower than what comes. With the loop back end its sender is
 * slowed down in turn, to the frame; with the source back end frames wait to be made until there is
 * room. Nothing is lost, nothing comes twice, nothing is dropped.
 *
 * VIO_TEST_FRAMES is the number of frames in all (default 800000).
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

#include "base/endian.h"
#include "check.h"
#include "pair_driver.h"
#include "random.h"

#define TOTAL	    800000u
#define SEQUENCE_AT 46u /* in the frames of the source back end */

/* Bits of @bits from 0: indirect, event index, mergeable, packed. */
static struct pair_world *open_world(unsigned bits, const char *backend,
				     struct pair_driver_conf conf)
{
	struct pair_world *w = calloc(1, sizeof(*w));
	struct pair_device_conf device = { .backend = backend, .mtu = 1500 };

	check(w != NULL);
	conf.indirect = bits & 1;
	conf.event_idx = bits & 2;
	conf.mergeable = bits & 4;
	conf.packed = bits & 8;
	conf.mtu = 1500;
	conf.key = bits;
	pair_world_open(w, device, conf);
	return w;
}

static void close_world(struct pair_world *w)
{
	pair_world_close(w);
	free(w);
}

/* ---- A sender that its own receiver slows down --------------------------------------------- */

/* Frames are one descriptor each: what is under way at most is what the two rings hold. The driver
 * need not refill its receive queue at once, so that may hold less. */
static uint64_t capacity(const struct pair_queue *q)
{
	struct vio_driver_queue_info rx;

	check(vio_driver_queue_info(q->d->drv, VIO_RXQ(q->id), &rx) == 0);
	check(rx.in_flight > PAIR_RING / 2 && rx.in_flight <= PAIR_RING);
	return rx.in_flight + PAIR_RING;
}

static void send_until_full(struct pair_queue *q)
{
	uint64_t most = capacity(q);
	unsigned turned_away = 0;

	/* Full is full, however often one tries. */
	while (q->sent - q->received < most || turned_away < 100) {
		int ret = pair_queue_send(q, PAIR_BURST);

		if (ret < 0)
			pair_queue_die(q, "sending failed");
		if (q->sent - q->received > most)
			pair_queue_die(q, "more is under way than there is room for");
		if (ret > 0) {
			pair_queue_busy(q);
			turned_away = 0;
		} else {
			turned_away++;
			pair_queue_idle(q);
		}
	}
}

/* Takes frames a few at a time, and lets the device run in between. */
static void receive_slowly(struct pair_queue *q, uint64_t until, uint64_t *seed)
{
	while (q->received < until) {
		uint64_t want = 1 + random31(seed) % 3;
		int got;

		if (want > until - q->received)
			want = until - q->received;
		got = pair_queue_receive(q, (unsigned)want);
		if (got < 0)
			pair_queue_die(q, "receiving failed");
		if (got > 0)
			pair_queue_busy(q);
		else
			pair_queue_idle(q);
		if (random31(seed) % 8 == 0)
			sched_yield();
	}
}

static void test_full_rings(void **state)
{
	uint64_t frames = pair_total_frames(TOTAL) / 2 / 8 + 1;
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 16; bits++) {
		struct pair_world *w =
			open_world(bits, "loop", (struct pair_driver_conf){ .short_frames = true });
		struct pair_queue *q = w->d.queues[0];
		uint64_t seed = bits;

		while (q->received < frames) {
			send_until_full(q);
			receive_slowly(q,
				       q->received + 1 + random31(&seed) % (q->sent - q->received),
				       &seed);
		}
		receive_slowly(q, q->sent, &seed);
		pair_queue_finish(q);
		pair_device_stop(&w->device);
		pair_queue_balance(q, &w->device.counts);
		close_world(w);
	}
}

/* ---- A receiver that holds on to its buffers ----------------------------------------------- */

#define BUFFERS 40u

static struct {
	struct vio_buf *frames[BUFFERS];
	unsigned n;
} held;

/* Keeps the frame: this buffer can't be filled again. */
static void hold(struct pair_queue *q, struct vio_buf *frame)
{
	(void)q;
	held.frames[held.n++] = frame;
}

static void let_go(struct pair_queue *q)
{
	unsigned i;

	for (i = 0; i < held.n; i++)
		pair_queue_take(q, held.frames[i]);
	held.n = 0;
}

/* Far fewer buffers than the ring has room for, all held until there are no more: each time the
 * device finds nothing to receive into, and has to notice when there is something again. */
static void test_few_buffers(void **state)
{
	uint64_t frames = pair_total_frames(TOTAL) / 4 / 8 + 1;
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 16; bits++) {
		struct pair_driver_conf conf = {
			.rx_count = BUFFERS,
			.rx_room = bits & 4 ? 256 : 0, /* mergeable: up to six for a frame */
		};
		struct pair_world *w = open_world(bits, "loop", conf);
		struct pair_queue *q = w->d.queues[0];
		uint64_t seed = bits;

		q->take = hold;
		while (q->received < frames) {
			unsigned most = 1 + (unsigned)random31(&seed) % BUFFERS;
			int sent = pair_queue_send(q, PAIR_BURST);
			int got = pair_queue_receive(q, most);

			if (sent < 0 || got < 0)
				pair_queue_die(q, "a queue function failed");
			if (sent + got > 0)
				pair_queue_busy(q);
			else if (held.n == 0)
				pair_queue_idle(q);
			if (held.n >= most || sent + got == 0)
				let_go(q);
		}
		while (q->received < q->sent) {
			if (pair_queue_receive(q, BUFFERS) <= 0)
				pair_queue_idle(q);
			let_go(q);
		}
		pair_queue_finish(q);
		pair_device_stop(&w->device);
		pair_queue_balance(q, &w->device.counts);
		close_world(w);
	}
}

/* ---- Frames that come without being asked for ---------------------------------------------- */

/* The source numbers its frames: no number may be missing, or come twice. */
static void take_numbered(struct pair_queue *q, struct vio_buf *frame)
{
	uint64_t number;

	if (frame->next || frame->len < SEQUENCE_AT + 8)
		pair_queue_die(q, "not a frame of the source");
	number = vio_get_be32(vio_buf_data(frame) + SEQUENCE_AT);
	number = number << 32 | vio_get_be32(vio_buf_data(frame) + SEQUENCE_AT + 4);
	if (number != q->received) {
		fprintf(stderr, "it says to be frame %" PRIu64 "\n", number);
		pair_queue_die(q, "not the frame that was to come");
	}
	q->received++;
	vio_pool_put(q->rx_pool, &frame, 1);
}

static void receive_all_sleeping(struct pair_queue *q, uint64_t frames, uint64_t *seed)
{
	while (q->received < frames) {
		unsigned budget = 1 + (unsigned)random31(seed) % 8;
		int work;

		if (!q->rx_event)
			check(pair_queue_sleep(q, false));
		q->tx_event = false;
		if (!q->rx_event)
			continue;
		work = vio_driver_poll(q->d->drv, q->id, budget);
		if (work < 0)
			pair_queue_die(q, "poll failed");
		q->rx_event = (unsigned)work == budget;
		if (random31(seed) % 8 == 0)
			sched_yield();
	}
}

static void test_source(void **state)
{
	uint64_t frames = pair_total_frames(TOTAL) / 4 / 8 + 1;
	char backend[64];
	unsigned bits;

	(void)state;
	snprintf(backend, sizeof(backend), "source,size=imix,count=%" PRIu64, frames);
	for (bits = 0; bits < 16; bits++) {
		struct pair_world *w = open_world(
			bits, backend, (struct pair_driver_conf){ .interrupts = bits & 1 });
		struct pair_queue *q = w->d.queues[0];
		uint64_t seed = bits;

		q->take = take_numbered;
		if (w->d.conf.interrupts)
			receive_all_sleeping(q, frames, &seed);
		else
			receive_slowly(q, frames, &seed);
		/* Whatever it has made it has delivered when it is stopped: not one more. */
		pair_device_stop(&w->device);
		assert_int_equal(pair_queue_receive(q, 64), 0);
		assert_int_equal(w->device.counts.queues[VIO_RXQ(0)].packets, frames);
		close_world(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_rings),
		cmocka_unit_test(test_few_buffers),
		cmocka_unit_test(test_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
