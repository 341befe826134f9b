/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queue pairs taken out of use and put back while frames move: our two halves in one process, with
 * the loop back end. Each pair has a thread that sends and expects everything back in order; another
 * thread changes how many pairs receive. A pair that does not receive stands still, at both ends;
 * afterwards everything that was sent has come.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/barrier.h"
#include "check.h"
#include "pair_driver.h"

#define PAIRS	PAIR_MAX_PAIRS
#define CHANGES 60u

struct run {
	struct pair_world w;
	bool enough; /* the change thread has changed what it wanted */
};

static struct run r;

static uint64_t received_by_guest(unsigned pair)
{
	struct vio_queue_stats stats;

	vio_device_queue_stats(r.w.device.dev, VIO_RXQ(pair), &stats);
	return stats.packets;
}

/* Sends and receives until there were enough changes, then until all has come back. */
static void *pair_thread(void *arg)
{
	struct pair_queue *q = arg;

	while (!vio_load(&r.enough))
		pair_queue_turn(q, PAIR_BURST);
	check(pair_queue_run(q, q->sent + q->npending, false));
	pair_queue_finish(q);
	return NULL;
}

/* Waits until every pair in use has received something since. */
static void await_traffic(unsigned pairs)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t before[PAIRS];

	for (unsigned i = 0; i < pairs; i++)
		before[i] = received_by_guest(i);
	/* A pair's own thread ends the test when nothing moves. */
	for (unsigned i = 0; i < pairs; i++)
		while (received_by_guest(i) == before[i])
			nanosleep(&pause, NULL);
}

static void change_pairs(void)
{
	for (unsigned n = 0; n < CHANGES; n++) {
		unsigned pairs = 1 + (n * 7 + 3) % PAIRS;
		uint64_t still[PAIRS];

		assert_int_equal(vio_driver_pairs_set(r.w.d.drv, pairs), 0);
		for (unsigned i = pairs; i < PAIRS; i++)
			still[i] = received_by_guest(i);
		await_traffic(pairs);
		for (unsigned i = pairs; i < PAIRS; i++)
			assert_int_equal(received_by_guest(i), still[i]);
	}
	assert_int_equal(vio_driver_pairs_set(r.w.d.drv, PAIRS), 0);
	await_traffic(PAIRS);
}

static void run(bool packed)
{
	struct pair_device_conf device_conf = { .pairs = PAIRS };
	struct pair_driver_conf conf = {
		.pairs = PAIRS,
		.indirect = true,
		.event_idx = true,
		.mergeable = true,
		.packed = packed,
		.offloads = true,
		.key = packed,
	};
	pthread_t threads[PAIRS];

	r.enough = false;
	pair_world_open(&r.w, device_conf, conf);
	assert_int_equal(vio_driver_pairs_set(r.w.d.drv, PAIRS + 1), -EINVAL);
	for (unsigned i = 0; i < PAIRS; i++)
		check(pthread_create(&threads[i], NULL, pair_thread, r.w.d.queues[i]) == 0);
	change_pairs();
	vio_store(&r.enough, true);
	for (unsigned i = 0; i < PAIRS; i++)
		check(pthread_join(threads[i], NULL) == 0);
	pair_device_stop(&r.w.device);
	for (unsigned i = 0; i < PAIRS; i++)
		pair_queue_balance(r.w.d.queues[i], &r.w.device.counts);
	pair_world_close(&r.w);
}

static void pairs_change_under_traffic(void **state)
{
	(void)state;
	run(false);
}

static void pairs_change_under_traffic_packed(void **state)
{
	(void)state;
	run(true);
}

/* How many pairs receive is kept over a stop and a start. */
static void pairs_in_use_outlive_a_restart(void **state)
{
	struct pair_device_conf device_conf = { .pairs = 2 };
	struct pair_driver_conf conf = { .pairs = 2, .mergeable = true };
	struct vio_error err = { "" };
	uint64_t still;

	(void)state;
	pair_world_open(&r.w, device_conf, conf);
	assert_int_equal(vio_driver_pairs_set(r.w.d.drv, 1), 0);
	assert_int_equal(vio_driver_stop(r.w.d.drv), 0);
	assert_int_equal(vio_driver_pairs_set(r.w.d.drv, 1), -ESHUTDOWN);
	assert_int_equal(vio_driver_start(r.w.d.drv, &err), 0);
	still = received_by_guest(1);
	assert_true(pair_queue_send(r.w.d.queues[1], 8) > 0);
	check(pair_queue_run(r.w.d.queues[0], 1000, false));
	assert_int_equal(received_by_guest(1), still);
	assert_int_equal(vio_driver_pairs_set(r.w.d.drv, 2), 0);
	check(pair_queue_run(r.w.d.queues[1], 8, false));
	for (unsigned i = 0; i < 2; i++)
		pair_queue_finish(r.w.d.queues[i]);
	pair_device_stop(&r.w.device);
	pair_world_close(&r.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_change_under_traffic),
		cmocka_unit_test(pairs_change_under_traffic_packed),
		cmocka_unit_test(pairs_in_use_outlive_a_restart),
	};

	return cmocka_run_group_tests_name("pairs", tests, NULL, NULL);
}
