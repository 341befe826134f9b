/* SPDX-License-Identifier: BSD-2-Clause */
/* A peer that rewrites what it shares with a ring for as long as a test runs, from a thread of its
 * own (HOSTILE 5). */
#ifndef TEST_RING_MUTATOR_H
#define TEST_RING_MUTATOR_H

#include <pthread.h>
#include <stdatomic.h>

#include "ring_image.h"

static inline uint32_t rnd(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

struct mutator {
	struct ring_image *im;
	void (*once)(struct ring_image *im, uint32_t *seed); /* writes one thing */
	uint32_t seed;
	atomic_bool stop;
	atomic_uint laps;
	pthread_t thread;
};

static inline void *mutate(void *arg)
{
	struct mutator *m = arg;

	while (!atomic_load(&m->stop)) {
		m->once(m->im, &m->seed);
		atomic_fetch_add(&m->laps, 1);
	}
	return NULL;
}

/* It has begun on return. */
static inline void mutator_start(struct mutator *m)
{
	assert_int_equal(pthread_create(&m->thread, NULL, mutate, m), 0);
	while (atomic_load(&m->laps) == 0)
		;
}

static inline void mutator_stop(struct mutator *m)
{
	atomic_store(&m->stop, true);
	pthread_join(m->thread, NULL);
}

#endif
