/* SPDX-License-Identifier: BSD-2-Clause */
/* In which order a pool gives its buffers, and that it has each of them once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <vioduct/driver_linux.h>

#include "base/bits.h"
#include "random.h"

#define BURST 32u
#define COUNT 4096u
#define ROOM  2048u
/* That pass before a large frame's buffer is used again: two megabytes. */
#define ENOUGH ((2u << 20) / (33 * 64))

struct rig {
	struct vio_dma_arena *arena;
	struct vio_pool *pool;
};

static void create(struct rig *r, uint32_t count, uint32_t room)
{
	struct vio_error err = { "" };

	assert_int_equal(vio_dma_arena_create(64u << 20, VIO_LOG_WARN, &r->arena, &err), 0);
	assert_int_equal(vio_pool_create(vio_dma_arena_host(r->arena), count, room, &r->pool), 0);
}

static void destroy(struct rig *r)
{
	vio_pool_destroy(r->pool);
	vio_dma_arena_destroy(r->arena);
}

static void put(struct rig *r, struct vio_buf **bufs, unsigned n, uint32_t len)
{
	unsigned i;

	for (i = 0; i < n; i++)
		bufs[i]->len = len;
	vio_pool_put(r->pool, bufs, n);
}

/* How many buffers are given, bursts of frames of @len bytes that come back at once, until the first
 * one is given again; and how many different ones there are in the long run. */
static void go_round(struct rig *r, uint32_t len, unsigned *distance, unsigned *different)
{
	struct vio_buf *bufs[BURST], *first = NULL, **seen = calloc(COUNT, sizeof(*seen));
	unsigned i, k, given = 0;

	assert_non_null(seen);
	*distance = *different = 0;
	for (i = 0; i < 4 * COUNT / BURST; i++) {
		assert_int_equal(vio_pool_take(r->pool, bufs, BURST), BURST);
		if (!first)
			first = bufs[0];
		else if (bufs[0] == first && !*distance)
			*distance = given;
		given += BURST;
		for (k = 0; k < BURST; k++) {
			unsigned at = 0;

			while (at < *different && seen[at] != bufs[k])
				at++;
			seen[at] = bufs[k];
			*different = vio_max(*different, at + 1);
		}
		put(r, bufs, BURST, len);
	}
	free(seen);
}

static void small_frames_use_what_came_back_last(void **state)
{
	unsigned distance, different;
	struct rig r;

	(void)state;
	create(&r, COUNT, ROOM);
	go_round(&r, 1023, &distance, &different);
	assert_int_equal(distance, BURST);
	assert_int_equal(different, BURST);
	destroy(&r);
}

static void buffers_of_large_frames_rest_but_not_for_ever(void **state)
{
	unsigned distance, different;
	struct rig r;

	(void)state;
	create(&r, COUNT, ROOM);
	go_round(&r, 1024, &distance, &different);
	assert_in_range(distance, ENOUGH, ENOUGH + 2 * BURST);
	assert_int_equal(different, distance);
	assert_int_equal(vio_pool_available(r.pool), COUNT);
	/* What rests is not in the way of small frames. */
	go_round(&r, 64, &distance, &different);
	assert_int_equal(distance, BURST);
	destroy(&r);
}

static void they_do_not_rest_where_there_are_no_others(void **state)
{
	struct vio_buf *bufs[2 * BURST];
	struct rig r;
	unsigned i;

	(void)state;
	create(&r, 2 * BURST, ROOM);
	for (i = 0; i < 100; i++) {
		assert_int_equal(vio_pool_get(r.pool, bufs, 2 * BURST), 2 * BURST);
		assert_int_equal(vio_pool_get(r.pool, bufs, 1), 0);
		put(&r, bufs, 2 * BURST, 1514);
		assert_int_equal(vio_pool_available(r.pool), 2 * BURST);
	}
	destroy(&r);
}

/* The room, its headroom and what makes the distance odd are 4032 bytes, and 4160. */
static void large_buffers_do_not_rest(void **state)
{
	unsigned distance, different;
	struct rig r;

	(void)state;
	create(&r, COUNT, 3968);
	go_round(&r, 1514, &distance, &different);
	assert_in_range(distance, (2u << 20) / 4032, (2u << 20) / 4032 + 2 * BURST);
	destroy(&r);
	create(&r, COUNT, 3969);
	go_round(&r, 1514, &distance, &different);
	assert_int_equal(distance, BURST);
	destroy(&r);
}

/* Frames of all sizes, in pieces or not, in bursts of any length: nothing is given twice, nothing is
 * lost, and what is given is empty. */
static void each_buffer_is_there_once(void **state)
{
	struct vio_buf **held = calloc(COUNT, sizeof(*held));
	unsigned num_held = 0, i, n, got, turn;
	uint64_t seed = 7;
	struct rig r;

	(void)state;
	assert_non_null(held);
	create(&r, COUNT, ROOM);
	for (turn = 0; turn < 20000; turn++) {
		n = random31(&seed) % 200;
		if (random31(&seed) & 1) {
			got = vio_pool_get(r.pool, held + num_held, n);
			assert_int_equal(got, vio_min(n, COUNT - num_held));
			for (i = num_held; i < num_held + got; i++) {
				assert_null(held[i]->next);
				assert_int_equal(held[i]->len, 0);
				held[i]->meta.flags = 1; /* ours */
			}
			num_held += got;
		} else {
			n = vio_min(n, num_held);
			num_held -= n;
			for (i = 0; i < n; i++) {
				assert_int_equal(held[num_held + i]->meta.flags, 1);
				held[num_held + i]->meta.flags = 0;
				held[num_held + i]->len = random31(&seed) % 2048;
			}
			/* One frame of all of them, now and then. */
			if (n > 1 && random31(&seed) % 8 == 0) {
				for (i = 0; i + 1 < n; i++)
					held[num_held + i]->next = held[num_held + i + 1];
				vio_pool_put(r.pool, held + num_held, 1);
			} else {
				vio_pool_put(r.pool, held + num_held, n);
			}
		}
		assert_int_equal(vio_pool_available(r.pool), COUNT - num_held);
	}
	/* All at once, more than may rest at a time. */
	num_held += vio_pool_get(r.pool, held + num_held, COUNT);
	put(&r, held, num_held, 1514);
	assert_int_equal(vio_pool_available(r.pool), COUNT);
	assert_int_equal(vio_pool_get(r.pool, held, COUNT), COUNT);
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(held[i]->hash, 0);
		held[i]->hash = 1;
	}
	vio_pool_put(r.pool, held, COUNT);
	free(held);
	destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_frames_use_what_came_back_last),
		cmocka_unit_test(buffers_of_large_frames_rest_but_not_for_ever),
		cmocka_unit_test(they_do_not_rest_where_there_are_no_others),
		cmocka_unit_test(large_buffers_do_not_rest),
		cmocka_unit_test(each_buffer_is_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
