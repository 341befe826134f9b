/* SPDX-License-Identifier: BSD-2-Clause */
/* The two-core limit of `vioduct bench`: what is searched through, and the hand-over itself. */
/* In front of cmocka, which has a macro by the name of a function in here. */
#include "../../tools/tool.c"
#include "../../tools/front.c"
#include "../../tools/bench_asked.c"
#include "../../tools/bench_stat.c"
#include "../../tools/bench_pair.c"
#undef COMMAND
#include "../../tools/bench_series.c"
#undef COMMAND
#include "../../tools/bench_handover.c"
#undef COMMAND
#undef LINE
#include "../../tools/bench_limit.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* Of the command line, which has a test of its own. */
int bench_parse_rounds(int argc, char **argv, struct bench_rounds *opt)
{
	(void)argc;
	(void)argv;
	(void)opt;
	return TOOL_USAGE;
}

static void test_strides_are_odd_numbers_of_lines(void **state)
{
	uint32_t size, kind, wider, stride;

	(void)state;
	for (size = 60; size < 9100; size++)
		for (kind = 0; kind < BENCH_LIMIT_NR; kind++)
			for (wider = 0; wider < BENCH_LIMIT_STRIDES; wider++) {
				stride = bench_limit_stride(kind, size, wider);
				assert_true(stride >= size);
				assert_int_equal(stride % 128, 64);
				assert_true((uint64_t)stride * BENCH_HANDOVER_DEPTH_MAX <=
					    bench_limit_bytes(size));
			}
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_PACKED, 64, 0), 64);
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_PACKED, 65, 0), 192);
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_BUFFERS, 64, 0), 1600);
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_BUFFERS, 64, 1), 2112);
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_BUFFERS, 1518, 0), 1600);
	assert_int_equal(bench_limit_stride(BENCH_LIMIT_BUFFERS, 9000, 0), 9024);
}

static void test_every_way_is_possible_and_tried_once(void **state)
{
	static struct candidate list[MAX_WAYS];
	unsigned n, i, k;

	(void)state;
	n = list_candidates(BENCH_LIMIT_PACKED, 64, list);
	assert_in_range(n, 100, MAX_WAYS);
	for (i = 0; i < n; i++) {
		const struct bench_way *way = &list[i].way;

		assert_true(way->depth >= 2 * way->burst);
		assert_int_equal(way->depth % way->burst, 0);
		assert_true(way->depth <= BENCH_HANDOVER_DEPTH_MAX);
		assert_true(way->burst <= BENCH_HANDOVER_BURST_MAX);
		for (k = 0; k < i; k++)
			assert_memory_not_equal(way, &list[k].way, sizeof(*way));
	}
}

/* Whether the consumer's last frame is in a buffer that the producer filled, byte for byte. */
static bool was_given(const struct bench_handover *h, const struct bench_way *way)
{
	uint32_t id;

	for (id = 0; id < way->depth; id++)
		if (memcmp(h->copy, h->data + (size_t)id * way->stride, way->size) == 0)
			return true;
	return false;
}

static void hand_over(struct bench_handover *h, const struct bench_way *way)
{
	uint64_t number;
	double mpps;

	memset(h->data, 0xee, h->bytes);
	memset(h->copy, 0, sizeof(h->copy));
	assert_int_equal(bench_handover_once(h, way, 0.001, &mpps), 0);
	assert_true(mpps > 0);
	/* The first word of a frame is its number, from 0: all of a burst arrived, in order. */
	memcpy(&number, h->copy, 8);
	assert_true(number + 1 >= way->depth);
	assert_int_equal((number + 1) % way->burst, 0);
	assert_true(was_given(h, way));
	/* Up to the last byte, and none behind it. */
	assert_int_not_equal(h->data[way->size - 1], 0xee);
	if (way->size < way->stride)
		assert_int_equal(h->data[way->size], 0xee);
}

/* Whatever the way and the width of vectors. */
static void test_all_is_handed_over(void **state)
{
	static const struct bench_way ways[] = {
		{ .size = 64, .depth = 64, .stride = 64, .burst = 32 },
		{ .size = 64, .depth = 64, .stride = 64, .burst = 32, .lifo = true },
		{ .size = 61, .depth = 256, .stride = 64, .burst = 16, .ahead = 32 },
		{ .size = 1518, .depth = 256, .stride = 1600, .burst = 128, .lifo = true },
		{ .size = 1518, .depth = 1024, .stride = 1600, .burst = 64, .ahead = 32 },
	};
	struct bench_cores cores = bench_choose_cores();
	struct bench_handover *h;
	unsigned i, k;

	(void)state;
	if (cores.device < 0)
		skip();
	assert_int_equal(bench_handover_create(1024 * 1600, &cores, &h), 0);
	for (i = 0; i < vio_array_size(all_loops); i++) {
		for (k = 0; k < vio_array_size(ways) && can_run(&all_loops[i]); k++) {
			struct bench_way way = ways[k];

			way.vec = all_loops[i].vec;
			hand_over(h, &way);
		}
	}
	bench_handover_destroy(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strides_are_odd_numbers_of_lines),
		cmocka_unit_test(test_every_way_is_possible_and_tried_once),
		cmocka_unit_test(test_all_is_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
