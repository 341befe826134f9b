/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two halves against each other in one process: driver, vhost-user, shared memory, device,
 * worker threads, and the loop back end that gives every frame back. Each pair is a thread on the
 * driver's side and a worker on the device's.
 *
 * Every combination of ring format, order, indirect tables, event index, mergeable buffers, polling or sleeping, and one
 * or two pairs moves frames of 14 to 65535 bytes, in one to five pieces. Every byte, the net header
 * and the order are checked on return, and in the end the counters of both sides.
 *
 * VIO_TEST_FRAMES is the number of frames in all (default 10 million; 200000 with a sanitizer): the
 * 16-bit ring indices wrap more than a hundred times.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/bits.h"
#include "check.h"
#include "pair_driver.h"

/* Polling runs are faster, and make up for it: 5 of 6 frames are theirs. */
#define POLLING_SHARE(total)  ((total) / 16 * 5 / 6 + 1)
#define SLEEPING_SHARE(total) ((total) / 16 / 6 + 1)

struct side {
	struct pair_queue *q;
	uint64_t target;
};

static void *pair_thread(void *arg)
{
	struct side *side = arg;

	check(pair_queue_run(side->q, side->target, false));
	pair_queue_finish(side->q);
	return NULL;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_pairs(struct pair_driver *d, uint64_t frames)
{
	struct side sides[PAIR_MAX_PAIRS];
	pthread_t threads[PAIR_MAX_PAIRS];
	unsigned i;

	for (i = 0; i < d->pairs; i++) {
		sides[i] = (struct side){ d->queues[i], frames / d->pairs + 1 };
		check(pthread_create(&threads[i], NULL, pair_thread, &sides[i]) == 0);
	}
	for (i = 0; i < d->pairs; i++)
		check(pthread_join(threads[i], NULL) == 0);
}

static void run(struct pair_driver_conf *conf, uint64_t frames)
{
	struct pair_device_conf device_conf = { .pairs = conf->pairs, .mtu = conf->mtu };
	struct pair_world w;
	double start;
	unsigned i;

	/* A driver that polls is worth polling for. */
	device_conf.busy_poll_us = conf->interrupts ? 0 : 50;
	pair_world_open(&w, device_conf, *conf);
	start = seconds();
	run_pairs(&w.d, frames);
	print_message("%s %s %s %s %s %s pairs %u: %.0f thousand frames a second\n",
		      conf->packed ? "packed" : "split ", conf->in_order ? "in-order" : "any-order",
		      conf->interrupts ? "sleeping" : "polling ",
		      conf->indirect ? "indirect" : "direct  ",
		      conf->event_idx ? "event-idx" : "flags    ",
		      conf->mergeable ? "mergeable" : "single   ", w.d.pairs,
		      (double)frames / 1e3 / (seconds() - start));
	pair_device_stop(&w.device);
	assert_int_equal(w.device.counts.status.connections, 1);
	assert_int_equal(w.device.counts.status.protocol_errors, 0);
	for (i = 0; i < w.d.pairs; i++)
		pair_queue_balance(w.d.queues[i], &w.device.counts);
	pair_world_close(&w);
}

/*
 * Large frames arrive by either of the ways that there are. Mergeable: an MTU of 65535, or
 * offloads. Else: offloads, with receive buffers that take everything, or small ones of which many
 * are posted as one.
 */
static void run_matrix(bool interrupts, unsigned pairs)
{
	uint64_t total = pair_total_frames(10000000);
	unsigned bits;

	for (bits = 0; bits < 32; bits++) {
		struct pair_driver_conf conf = {
			.pairs = pairs,
			.indirect = bits & 1,
			.event_idx = bits & 2,
			.mergeable = bits & 4,
			.packed = bits & 8,
			.in_order = bits & 16,
			.interrupts = interrupts,
			.key = bits,
		};

		conf.offloads = !conf.mergeable || pairs > 1;
		conf.mtu = conf.offloads ? 1500 : 65535;
		conf.rx_room = conf.mergeable || pairs > 1 ? PAIR_SMALL_ROOM : PAIR_BIG_ROOM;
		run(&conf, (interrupts ? SLEEPING_SHARE(total) : POLLING_SHARE(total)) / 4 + 1);
	}
}

static void test_polling(void **state)
{
	(void)state;
	run_matrix(false, 1);
}

static void test_polling_two_pairs(void **state)
{
	(void)state;
	run_matrix(false, 2);
}

static void test_sleeping(void **state)
{
	(void)state;
	run_matrix(true, 1);
}

static void test_sleeping_two_pairs(void **state)
{
	(void)state;
	run_matrix(true, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_polling),
		cmocka_unit_test(test_polling_two_pairs),
		cmocka_unit_test(test_sleeping),
		cmocka_unit_test(test_sleeping_two_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
