/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of `vioduct bench`, and the account that is kept of them. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte_is_checked),
		cmocka_unit_test(test_cut_foreign_and_swapped_frames_are_told),
		cmocka_unit_test(test_random_sizes_reach_both_ends),
		cmocka_unit_test(test_source_frames_are_checked),
		cmocka_unit_test(test_account_of_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
