/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of `vioduct bench`, the account that is kept of them, medians and histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bits.h"

#include <vioduct/frame.h>

#include "../../tools/bench_frame.h"
#include "../../tools/bench_frame.c"
#include "../../tools/bench_stat.h"
#include "../../tools/bench_stat.c"

static void test_every_byte_is_checked(void **state)
{
	static const uint32_t sizes[] = { 60, 61, 64, 71, 1514 };
	uint8_t frame[1600];
	uint64_t number;
	unsigned pair, i;

	(void)state;
	for (i = 0; i < vio_array_size(sizes); i++) {
		uint32_t len = sizes[i], at;

		memset(frame, 0xee, sizeof(frame));
		bench_frame_fill(frame, len, 3, 0x123456789abc);
		assert_int_equal(frame[len], 0xee);
		assert_int_equal(bench_frame_check(frame, len, len, false, 4, &pair, &number),
				 BENCH_GOOD);
		assert_int_equal(pair, 3);
		assert_true(number == 0x123456789abc);
		for (at = 0; at < len; at++) {
			frame[at] ^= 0x10;
			assert_int_not_equal(bench_frame_check(frame, len, len, false, 4, &pair,
							       &number),
					     BENCH_GOOD);
			frame[at] ^= 0x10;
		}
	}
}

static void test_cut_foreign_and_swapped_frames_are_told(void **state)
{
	uint8_t frame[128], swapped[128];
	uint64_t number;
	unsigned pair;

	(void)state;
	bench_frame_fill(frame, 128, 1, 7);
	assert_int_equal(bench_frame_check(frame, 127, 128, false, 2, &pair, &number),
			 BENCH_CORRUPT);
	/* A pair that does not exist. */
	assert_int_equal(bench_frame_check(frame, 128, 128, false, 1, &pair, &number),
			 BENCH_CORRUPT);
	assert_int_equal(bench_frame_check(frame, 13, 0, false, 2, &pair, &number), BENCH_FOREIGN);
	memcpy(swapped, frame + 6, 6);
	memcpy(swapped + 6, frame, 6);
	memcpy(swapped + 12, frame + 12, 116);
	assert_int_equal(bench_frame_check(swapped, 128, 128, true, 2, &pair, &number), BENCH_GOOD);
	assert_int_equal(bench_frame_check(swapped, 128, 128, false, 2, &pair, &number),
			 BENCH_CORRUPT);
	assert_int_equal(bench_frame_check(frame, 128, 128, true, 2, &pair, &number),
			 BENCH_CORRUPT);
	memset(frame + 12, 0, 2);
	assert_int_equal(bench_frame_check(frame, 128, 128, false, 2, &pair, &number),
			 BENCH_FOREIGN);
}

static void test_random_sizes_reach_both_ends(void **state)
{
	uint32_t least = UINT32_MAX, most = 0, size;
	uint64_t i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		size = bench_frame_size(0, i);
		least = size < least ? size : least;
		most = size > most ? size : most;
	}
	assert_int_equal(least, BENCH_SIZE_MIN);
	assert_int_equal(most, BENCH_RANDOM_MAX);
	assert_int_equal(bench_frame_size(999, 5), 999);
}

/* A frame as `source` makes it, written down here once more. */
static void make_source(uint8_t *f, uint32_t len, unsigned pair, uint64_t number)
{
	static const uint8_t head[] = { 0x02, 0, 0,    0, 0, 1, 0x02, 0x76, 0x69, 0x6f, 0,  0,
					8,    0, 0x45, 0, 0, 0, 0,    0,    0x40, 0,	64, 17,
					0,    0, 192,  0, 2, 1, 192,  0,    2,	  2 };
	uint8_t tail[4] = { 0, 17 };
	uint16_t sum;
	uint32_t i;

	memcpy(f, head, sizeof(head));
	f[11] = (uint8_t)pair;
	vio_put_be16(f + 16, (uint16_t)(len - 14));
	sum = vio_csum_fold(vio_csum_add(f + 14, 20, 0));
	memcpy(f + 24, &sum, 2);
	vio_put_be16(f + 34, (uint16_t)(1024 + pair));
	vio_put_be16(f + 36, 9);
	vio_put_be16(f + 38, (uint16_t)(len - 34));
	memset(f + 40, 0, 2);
	memcpy(f + 42, "VIOS", 4);
	vio_put_be32(f + 46, (uint32_t)(number >> 32));
	vio_put_be32(f + 50, (uint32_t)number);
	for (i = 12; i < len - 42; i++)
		f[42 + i] = (uint8_t)(7 * i + 13);
	vio_put_be16(tail + 2, (uint16_t)(len - 34));
	sum = vio_csum_fold(
		vio_csum_add(f + 34, len - 34, vio_csum_add(tail, 4, vio_csum_add(f + 26, 8, 0))));
	memcpy(f + 40, &sum, 2);
}

static void test_source_frames_are_checked(void **state)
{
	uint8_t frame[300];
	uint64_t number;
	unsigned pair;
	uint32_t at;

	(void)state;
	make_source(frame, 300, 2, 0x100000005);
	assert_int_equal(bench_source_check(frame, 300, &pair, &number), BENCH_GOOD);
	assert_int_equal(pair, 2);
	assert_true(number == 0x100000005);
	/* Its own address and the pair in it apart, all bytes are covered. */
	for (at = 12; at < 300; at++) {
		frame[at] ^= 1;
		assert_int_equal(bench_source_check(frame, 300, &pair, &number), BENCH_CORRUPT);
		frame[at] ^= 1;
	}
	assert_int_equal(bench_source_check(frame, 299, &pair, &number), BENCH_CORRUPT);
	frame[8] ^= 1;
	assert_int_equal(bench_source_check(frame, 300, &pair, &number), BENCH_FOREIGN);
}

static void assert_track(const struct bench_track *t, uint64_t unique, uint64_t duplicate,
			 uint64_t reordered)
{
	assert_true(t->unique == unique);
	assert_true(t->duplicate == duplicate);
	assert_true(t->reordered == reordered);
}

static void test_account_of_numbers(void **state)
{
	static struct bench_track t;
	uint64_t i;

	(void)state;
	for (i = 0; i < 3 * BENCH_WINDOW; i++)
		bench_track_add(&t, i);
	assert_track(&t, 3 * BENCH_WINDOW, 0, 0);
	/* Again, near and far. */
	bench_track_add(&t, i - 1);
	bench_track_add(&t, i - BENCH_WINDOW);
	bench_track_add(&t, 0);
	assert_track(&t, 3 * BENCH_WINDOW, 3, 0);
	/* A gap that is filled later, but for one. */
	bench_track_add(&t, i + 3);
	bench_track_add(&t, i + 1);
	bench_track_add(&t, i);
	bench_track_add(&t, i + 1);
	assert_track(&t, 3 * BENCH_WINDOW + 3, 4, 2);
	assert_true(t.next - t.unique == 1);
	/* A gap longer than what is remembered: nothing from before passes for seen. */
	bench_track_add(&t, i + 10 * BENCH_WINDOW);
	bench_track_add(&t, i + 10 * BENCH_WINDOW - 1);
	assert_track(&t, 3 * BENCH_WINDOW + 5, 4, 3);
	/* A new stream. */
	bench_track_start(&t, 5);
	bench_track_add(&t, 5);
	bench_track_add(&t, 6);
	assert_track(&t, 3 * BENCH_WINDOW + 7, 4, 3);
}

/* Every value has a bucket that holds it, and is told to within one part in 128. */
static void assert_bucket(uint64_t value)
{
	unsigned bucket = bench_hist_bucket(value);
	uint64_t upper = bench_hist_upper(bucket);

	assert_true(bucket < BENCH_HIST_BUCKETS);
	assert_true(upper >= value);
	assert_true(upper - value <= value / 128);
	if (bucket)
		assert_true(bench_hist_upper(bucket - 1) < value);
}

static void test_histogram_buckets(void **state)
{
	uint64_t value;
	unsigned shift;

	(void)state;
	for (value = 0; value < 70000; value++)
		assert_bucket(value);
	for (shift = 17; shift < 64; shift++) {
		value = UINT64_C(1) << shift;
		assert_bucket(value - 1);
		assert_bucket(value);
		assert_bucket(value + 1);
		assert_bucket(value + value / 3);
	}
	assert_bucket(UINT64_MAX);
	assert_int_equal(bench_hist_bucket(UINT64_MAX), BENCH_HIST_BUCKETS - 1);
}

static void test_percentiles(void **state)
{
	static struct bench_hist hist;
	uint64_t i;

	(void)state;
	bench_hist_init(&hist);
	assert_int_equal(bench_hist_percentile(&hist, 99), 0);
	/* 1 to 1000, backwards. */
	for (i = 1000; i > 0; i--)
		bench_hist_add(&hist, i);
	assert_int_equal(hist.count, 1000);
	assert_int_equal(hist.sum, 500500);
	assert_int_equal(bench_hist_percentile(&hist, 0), 1);
	assert_int_equal(bench_hist_percentile(&hist, 10), 100);
	assert_in_range(bench_hist_percentile(&hist, 50), 500, 503);
	assert_in_range(bench_hist_percentile(&hist, 99), 990, 997);
	assert_int_equal(bench_hist_percentile(&hist, 100), 1000);
	/* One far out is the maximum, and moves nothing else. */
	bench_hist_add(&hist, UINT64_C(1) << 40);
	assert_in_range(bench_hist_percentile(&hist, 50), 501, 504);
	assert_true(bench_hist_percentile(&hist, 100) == UINT64_C(1) << 40);
	/* A single value is told exactly. */
	bench_hist_init(&hist);
	bench_hist_add(&hist, 123457);
	assert_int_equal(bench_hist_percentile(&hist, 50), 123457);
	assert_int_equal(bench_hist_percentile(&hist, 99.9), 123457);
}

static void assert_spread(const double *first, unsigned n, unsigned step, double median, double min,
			  double max)
{
	struct bench_spread spread = bench_spread_of(first, n, step);

	assert_true(spread.median == median);
	assert_true(spread.min == min);
	assert_true(spread.max == max);
}

static void test_spread(void **state)
{
	static const double values[] = { 5, 100, 1, 200, 3, 300, 9, 400 };

	(void)state;
	assert_spread(values, 1, 1, 5, 5, 5);
	assert_spread(values, 3, 1, 5, 1, 100);
	assert_spread(values, 4, 1, 52.5, 1, 200);
	/* Every other one. */
	assert_spread(values, 4, 2, 4, 1, 9);
	assert_spread(values + 1, 3, 2, 200, 100, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte_is_checked),
		cmocka_unit_test(test_cut_foreign_and_swapped_frames_are_told),
		cmocka_unit_test(test_random_sizes_reach_both_ends),
		cmocka_unit_test(test_source_frames_are_checked),
		cmocka_unit_test(test_account_of_numbers),
		cmocka_unit_test(test_histogram_buckets),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
