/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues reset one at a time, between our two halves: those of one pair again and again, in the middle
 * of traffic, to sizes great and small, while the other pair carries its own as if nothing were.
 *
 * Of the pair that is reset frames may be lost, but none may come twice, out of order or changed, and
 * every buffer comes back. Of the other nothing may be lost at all. virtio 1.4, 2.6.1; assertion 25.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "check.h"
#include "netframe.h"
#include "pair_driver.h"

#define ROUNDS	  60
#define NEIGHBOUR 1000 /* frames that the other pair moves at least */

struct neighbour {
	struct pair_queue *q;
	bool stop;
};

static void *run_neighbour(void *arg)
{
	struct neighbour *n = arg;
	uint64_t target = 0;

	/* However seldom this thread ran while the other was at it. */
	while (!vio_load(&n->stop) || target <= NEIGHBOUR) {
		target += 500;
		check(pair_queue_run(n->q, target, false));
	}
	pair_queue_finish(n->q);
	return NULL;
}

/* Frames may be missing; what comes is in order and as it was sent. */
static void take_later(struct pair_queue *q, struct vio_buf *frame)
{
	uint64_t seq = pair_frame_seq(&q->stream, frame);
	const char *wrong;

	if (seq < q->next || seq >= q->sent)
		pair_queue_die(q, "a frame that may not come now");
	wrong = pair_frame_check(&q->stream, seq, frame, q->work);
	if (wrong)
		pair_queue_die(q, wrong);
	q->next = seq + 1;
	q->received++;
	vio_pool_put(q->rx_pool, &frame, 1);
}

/* Until frame @seq has come. */
static void await(struct pair_queue *q, uint64_t seq)
{
	while (q->next <= seq) {
		int got = pair_queue_receive(q, 64);

		check(got >= 0);
		check(pair_queue_send(q, 0) == 0);
		if (got > 0)
			pair_queue_busy(q);
		else
			pair_queue_idle(q);
	}
}

static void send_all(struct pair_queue *q, unsigned n)
{
	uint64_t target = q->sent + n;

	while (q->sent < target) {
		int sent = pair_queue_send(q, (unsigned)(target - q->sent));

		check(sent >= 0 && pair_queue_receive(q, 64) >= 0);
		if (sent > 0)
			pair_queue_busy(q);
		else
			pair_queue_idle(q);
	}
}

static uint32_t some_size(const struct pair_driver *d, uint64_t *seed)
{
	if (netframe_between(seed, 0, 3) == 0)
		return 0;
	if (d->conf.packed && netframe_between(seed, 0, 1))
		return netframe_between(seed, 20, 1000);
	return 32u << netframe_between(seed, 0, 5);
}

static void reset(struct pair_queue *q, unsigned queue, uint64_t *seed)
{
	struct vio_error err = { "" };

	if (vio_driver_queue_reset(q->d->drv, queue, some_size(q->d, seed), &err) != 0)
		pair_queue_die(q, err.msg);
	if (queue & 1) {
		/* All that was taken is back, sent or not. */
		check(q->freed == q->sent);
		q->unsent = 0;
	}
}

static void run(struct pair_driver_conf *conf)
{
	struct pair_device_conf device_conf = { .pairs = 2, .busy_poll_us = 50 };
	static struct pair_world w;
	struct neighbour n = { 0 };
	struct pair_queue *q;
	pthread_t thread;
	uint64_t seed = 25;

	conf->pairs = 2;
	conf->queue_reset = true;
	pair_world_open(&w, device_conf, *conf);
	n.q = w.d.queues[1];
	q = w.d.queues[0];
	q->take = take_later;
	check(pthread_create(&thread, NULL, run_neighbour, &n) == 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		send_all(q, netframe_between(&seed, 1, 300));
		if (round % 3 != 1)
			reset(q, VIO_RXQ(0), &seed);
		if (round % 3 != 0)
			reset(q, VIO_TXQ(0), &seed);
		/* Whatever was lost, what is sent now comes. */
		send_all(q, 1);
		await(q, q->sent - 1);
	}
	vio_store(&n.stop, true);
	check(pthread_join(thread, NULL) == 0);
	pair_queue_finish(q);
	assert_true(n.q->received > NEIGHBOUR);
	assert_true(q->received > ROUNDS);
	pair_device_stop(&w.device);
	pair_queue_balance(n.q, &w.device.counts);
	assert_int_equal(w.device.counts.status.protocol_errors, 0);
	pair_world_close(&w);
}

static void test_s25_under_traffic(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct pair_driver_conf conf = { .packed = bits & 1,
						 .in_order = bits & 2,
						 .indirect = bits & 4,
						 .event_idx = bits & 4,
						 .mergeable = true,
						 .offloads = bits & 8,
						 .key = bits };

		run(&conf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_s25_under_traffic) };

	return cmocka_run_group_tests_name("reset", tests, NULL, NULL);
}
