/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * S14, the race itself: one side publishes at the very moment at which the other asks to be woken.
 * In every round at least one of them has to notice: the publisher that a wake-up is wanted, or the
 * sleeper that there is something already. When neither does, somebody would sleep for ever.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bits.h"
#include "ring_image.h"

#define NUM    8u
#define ROUNDS 30000u

struct race {
	struct ring_image im;
	atomic_uint arrived; /* each thread counts in before each of its two steps */
	bool kick, had_avail;
	bool call, had_used;
	unsigned lost;
};

/* Waits until both threads have arrived for the @step-th time. */
static void meet(struct race *race, unsigned step)
{
	unsigned spins = 0;

	atomic_fetch_add(&race->arrived, 1);
	while (atomic_load(&race->arrived) < 2 * step)
		if (++spins % 200 == 0)
			sched_yield();
}

static void *driver_thread(void *arg)
{
	static const struct vio_seg seg = { IMAGE_DATA, 64 };
	struct vio_drvq_buf buf = { &seg, 1, 0, arg };
	struct vio_drvq_done done;
	struct race *race = arg;
	unsigned round, step = 0;

	for (round = 0; round < ROUNDS; round++) {
		vio_drvq_notify_disable(race->im.drv);
		vio_drvq_add_burst(race->im.drv, &buf, 1);
		meet(race, ++step);
		race->kick = vio_drvq_publish(race->im.drv); /* against kick_enable */
		meet(race, ++step);
		race->had_used = vio_drvq_notify_enable(race->im.drv, 0); /* against publish */
		meet(race, ++step);
		race->lost += !race->kick && !race->had_avail;
		race->lost += !race->call && !race->had_used;
		if (vio_drvq_reap_burst(race->im.drv, &done, 1) != 1)
			race->lost++;
	}
	return NULL;
}

static void *device_thread(void *arg)
{
	struct race *race = arg;
	struct vio_chain chain;
	struct vio_iov pool[2];
	unsigned round, step = 0;

	for (round = 0; round < ROUNDS; round++) {
		vio_devq_kick_disable(race->im.dev);
		meet(race, ++step);
		race->had_avail = vio_devq_kick_enable(race->im.dev, 0);
		while (vio_devq_pop_burst(race->im.dev, race->im.mem, &chain, 1, pool, 2) != 1)
			;
		vio_devq_push_burst(race->im.dev, &chain, 1);
		meet(race, ++step);
		race->call = vio_devq_publish(race->im.dev);
		meet(race, ++step);
	}
	return NULL;
}

static void run_race(uint64_t features)
{
	struct race race = { .lost = 0 };
	pthread_t driver, device;

	image_open(&race.im, NUM, features);
	image_driver(&race.im);
	image_device_fresh(&race.im);
	assert_int_equal(pthread_create(&driver, NULL, driver_thread, &race), 0);
	assert_int_equal(pthread_create(&device, NULL, device_thread, &race), 0);
	pthread_join(driver, NULL);
	pthread_join(device, NULL);
	assert_int_equal(race.lost, 0);
	image_close(&race.im);
}

static void test_s14_race_flags(void **state)
{
	run_race(ring_format(state));
}

static void test_s14_race_event_idx(void **state)
{
	run_race(ring_format(state) | RING_EVENT_IDX);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_s14_race_flags, RING_RUN_ALL),
		RING_TEST(test_s14_race_event_idx, RING_RUN_ALL),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
