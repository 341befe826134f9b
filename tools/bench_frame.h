/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of `vioduct bench`: made, read, checked, and kept account of. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/endian.h"

#define BENCH_SIZE_MIN	 60
#define BENCH_SIZE_MAX	 65535
#define BENCH_RANDOM_MAX 1514
#define BENCH_ETHERTYPE	 0x88b5
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

/* A multiplication scatters enough here, and from one frame to the next it is an addition. */
#define BENCH_FIRST_MULT UINT64_C(0xbf58476d1ce4e5b9)
#define BENCH_FIRST_STEP (65536 * BENCH_FIRST_MULT)

static inline uint64_t bench_first_word(unsigned pair, uint64_t number)
{
	return number * BENCH_FIRST_STEP + (pair + 1) * BENCH_FIRST_MULT;
}

/* The first 24 bytes as three words: addresses, type, pair and number. */
static inline void bench_frame_head(uint8_t *data, bool swapped, unsigned pair, uint64_t number)
{
	const uint64_t to = swapped ? 2 : 1, from = swapped ? 1 : 2, pp = pair & 0xffff;
	const uint64_t words[3] = {
		vio_be64(UINT64_C(0x0276640000000276) | to << 32 | pp << 16),
		vio_be64(UINT64_C(0x6400000000000000) | from << 48 | pp << 32 |
			 (uint64_t)BENCH_ETHERTYPE << 16 | pp),
		vio_be64((~pp & 0xffff) << 48 | (number & UINT64_C(0xffffffffffff))),
	};

	memcpy(data, &words[0], 8);
	memcpy(data + 8, &words[1], 8);
	memcpy(data + 16, &words[2], 8);
}

/* Two words of a frame at once, at any address. */
typedef uint64_t bench_words __attribute__((vector_size(16), aligned(1), may_alias));

/* Goes on with the words of a frame, @left bytes at @data; the first of them is @first. */
void bench_frame_fill_long(uint8_t *data, uint32_t left, uint64_t first);

/* The frames of a pair from some number on: what the next one differs in from the one before. */
struct bench_stream {
	bench_words head;  /* the first 16 bytes */
	bench_words words; /* the first two behind the head */
	uint64_t number;   /* the rest of the head: the pair above 48 bits of number */
};

static inline struct bench_stream bench_stream_from(unsigned pair, uint64_t number)
{
	const uint64_t first = bench_first_word(pair, number);
	struct bench_stream s = { .words = { first, first + BENCH_FRAME_MULT } };
	uint8_t head[BENCH_FRAME_HEAD];

	bench_frame_head(head, false, pair, number);
	memcpy(&s.head, head, sizeof(s.head));
	memcpy(&s.number, head + sizeof(s.head), sizeof(s.number));
	s.number = vio_be64(s.number);
	return s;
}

/* Writes every byte of the next frame: @len bytes at @data. Here, so that what is the same for a burst
 * is computed once. */
static inline void bench_stream_fill(struct bench_stream *s, uint8_t *data, uint32_t len)
{
	const bench_words step = { 2 * BENCH_FRAME_MULT, 2 * BENCH_FRAME_MULT };
	const bench_words next = s->words + step, last = next + step;
	const uint64_t number = vio_be64(s->number);
	bench_words *const words = (bench_words *)(data + BENCH_FRAME_HEAD);
	uint32_t left = len - BENCH_FRAME_HEAD - 2 * (uint32_t)sizeof(*words);

	*(bench_words *)data = s->head;
	memcpy(data + sizeof(s->head), &number, sizeof(number));
	/* The smallest frame has 36 bytes more. */
	words[0] = s->words;
	words[1] = next;
	if (left == 8)
		memcpy(&words[2], &last, 8);
	else if (left)
		bench_frame_fill_long((uint8_t *)&words[2], left, last[0]);
	s->words += (bench_words){ BENCH_FIRST_STEP, BENCH_FIRST_STEP };
	s->number++;
}

/* Writes every byte of frame @number (48 bits) of @pair: @len bytes at @data. */
static inline void bench_frame_fill(uint8_t *data, uint32_t len, unsigned pair, uint64_t number)
{
	struct bench_stream s = bench_stream_from(pair, number);

	bench_stream_fill(&s, data, len);
}

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
