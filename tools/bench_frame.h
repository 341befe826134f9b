/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of `vioduct bench`: made, read, checked, and kept account of. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BENCH_SIZE_MIN	 60
#define BENCH_SIZE_MAX	 65535
#define BENCH_RANDOM_MAX 1514
#define BENCH_FRAME_HEAD 24 /* Ethernet header, pair, number */
#define BENCH_FRAME_MULT UINT64_C(0x9e3779b97f4a7c15)
#define BENCH_WINDOW	 65536 /* numbers back, of which it is known whether they came */

/* Scatters: neighbouring numbers give words that share nothing. */
static inline uint64_t bench_mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * BENCH_FRAME_MULT;
	return (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Bytes of frame @number: @size, or told by the number when that is 0. */
static inline uint32_t bench_frame_size(uint32_t size, uint64_t number)
{
	if (size)
		return size;
	return BENCH_SIZE_MIN +
	       (uint32_t)((bench_mix(number) >> 40) % (BENCH_RANDOM_MAX - BENCH_SIZE_MIN + 1));
}

/* Writes every byte of frame @number (48 bits) of @pair: @len bytes at @data. */
void bench_frame_fill(uint8_t *data, uint32_t len, unsigned pair, uint64_t number);

/* Reads every byte; the sum is for nothing but that the reading can't be left out. */
uint64_t bench_frame_read(const uint8_t *data, uint32_t len);

enum bench_verdict {
	BENCH_GOOD,
	BENCH_CORRUPT,
	BENCH_FOREIGN, /* not of the kind looked for */
};

/* Checks a frame that was sent with @size (0: random) and came back, its addresses swapped or not.
 * GOOD tells the pair (below @pairs) and number. */
enum bench_verdict bench_frame_check(const uint8_t *data, uint32_t len, uint32_t size, bool swapped,
				     unsigned pairs, unsigned *pair, uint64_t *number);

/* Checks a frame of the back end `source`. */
enum bench_verdict bench_source_check(const uint8_t *data, uint32_t len, unsigned *pair,
				      uint64_t *number);

/* Which numbers of one stream came. */
struct bench_track {
	uint64_t next;	 /* one above the highest that came */
	uint64_t unique; /* that came at least once */
	uint64_t duplicate;
	uint64_t reordered; /* came after a higher one */
	uint64_t seen[BENCH_WINDOW / 64];
};

/* Begins a stream of which @number comes first; counts go on. */
void bench_track_start(struct bench_track *track, uint64_t number);
/* Frame @number came. */
void bench_track_add(struct bench_track *track, uint64_t number);

#endif
