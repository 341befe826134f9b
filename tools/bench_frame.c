/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that carry a number, and whose every other byte follows from it:
 *
 *   byte 0-5    to 02:76:64:01:PP:PP (PPPP the queue pair)
 *   byte 6-11   from 02:76:64:02:PP:PP
 *   byte 12-13  0x88b5, which IEEE 802 keeps for experiments
 *   byte 14-15  queue pair, big-endian
 *   byte 16-17  the pair again, inverted
 *   byte 18-23  number, from 0 without gaps for each pair, big-endian
 *   from 24     64-bit words, the first told by number and pair, each the one before plus a
 *               constant, and of the last as many bytes as there is room for
 *
 * So a frame that is cut, mixed with another, or sent for another number is found out. The back end
 * `source` has frames of its own, described there; they are checked here as well.
 */
#include "bench_frame.h"

#include <vioduct/frame.h>

#include "base/endian.h"
#include "base/simd.h"

/* Vectors of type @words as far as they go, then single words, and bytes. */
#define FILL_BY(words)                                                           \
	do {                                                                     \
		const uint32_t count = sizeof(words) / sizeof(uint64_t);         \
		words w;                                                         \
                                                                                 \
		for (uint32_t i = 0; i < count; i++)                             \
			w[i] = first + i * BENCH_FRAME_MULT;                     \
		for (; left >= sizeof(words); left -= (uint32_t)sizeof(words)) { \
			*(words *)data = w;                                      \
			w += count * BENCH_FRAME_MULT;                           \
			data += sizeof(words);                                   \
		}                                                                \
		first = w[0];                                                    \
	} while (0)

static inline void fill_rest(uint8_t *data, uint32_t left, uint64_t first)
{
	for (; left >= 8; left -= 8, data += 8, first += BENCH_FRAME_MULT)
		memcpy(data, &first, 8);
	memcpy(data, &first, left);
}

#if VIO_SIMD_X86
typedef uint64_t words32 __attribute__((vector_size(32), aligned(1), may_alias));

__attribute__((target("avx2"))) static void fill_avx2(uint8_t *data, uint32_t left, uint64_t first)
{
	FILL_BY(words32);
	fill_rest(data, left, first);
}
#endif

void bench_frame_fill_long(uint8_t *data, uint32_t left, uint64_t first)
{
	/* What comes behind the first word begins a line. */
	if (left >= 8) {
		memcpy(data, &first, 8);
		data += 8;
		left -= 8;
		first += BENCH_FRAME_MULT;
	}
#if VIO_SIMD_X86
	if (vio_simd_level() >= VIO_SIMD_AVX2) {
		fill_avx2(data, left, first);
		return;
	}
#endif
	FILL_BY(bench_words);
	fill_rest(data, left, first);
}

enum bench_verdict bench_frame_check(const uint8_t *data, uint32_t len, uint32_t size, bool swapped,
				     unsigned pairs, unsigned *pair, uint64_t *number)
{
	uint8_t head[BENCH_FRAME_HEAD];
	uint64_t word, got, wrong = 0;
	uint32_t i;

	if (len < BENCH_SIZE_MIN || vio_get_be16(data + 12) != BENCH_ETHERTYPE)
		return BENCH_FOREIGN;
	*pair = vio_get_be16(data + 14);
	*number = (uint64_t)vio_get_be16(data + 18) << 32 | vio_get_be32(data + 20);
	bench_frame_head(head, swapped, *pair, *number);
	if (*pair >= pairs || len != bench_frame_size(size, *number) ||
	    memcmp(data, head, sizeof(head)) != 0)
		return BENCH_CORRUPT;
	word = bench_first_word(*pair, *number);
	for (i = BENCH_FRAME_HEAD; i + 8 <= len; i += 8) {
		memcpy(&got, data + i, 8);
		wrong |= got ^ word;
		word += BENCH_FRAME_MULT;
	}
	return wrong || memcmp(data + i, &word, len - i) != 0 ? BENCH_CORRUPT : BENCH_GOOD;
}

/* ------------------------------------------------------------------------------------------
 * The frames of `source`; see there
 */
#define SOURCE_HEAD 54 /* Ethernet, IPv4, UDP, and "VIOS" with the number */

static bool source_sums_right(const uint8_t *data, uint32_t len)
{
	uint8_t tail[4] = { 0, 17, data[38], data[39] };
	uint64_t sum;

	if (vio_csum_fold(vio_csum_add(data + 14, 20, 0)) != 0)
		return false;
	sum = vio_csum_add(tail, sizeof(tail), vio_csum_add(data + 26, 8, 0));
	return vio_csum_fold(vio_csum_add(data + 34, len - 34, sum)) == 0;
}

enum bench_verdict bench_source_check(const uint8_t *data, uint32_t len, unsigned *pair,
				      uint64_t *number)
{
	static const uint8_t from[4] = { 0x02, 0x76, 0x69, 0x6f };
	uint8_t wrong = 0;
	uint32_t i;

	if (len < BENCH_SIZE_MIN || memcmp(data + 6, from, sizeof(from)) != 0)
		return BENCH_FOREIGN;
	*pair = vio_get_be16(data + 10);
	*number = (uint64_t)vio_get_be32(data + 46) << 32 | vio_get_be32(data + 50);
	if (vio_get_be16(data + 12) != 0x0800 || data[14] != 0x45 || data[23] != 17 ||
	    vio_get_be16(data + 16) != len - 14 || vio_get_be16(data + 38) != len - 34 ||
	    vio_get_be16(data + 34) != 1024 + *pair || vio_get_be16(data + 36) != 9 ||
	    memcmp(data + 42, "VIOS", 4) != 0 || !source_sums_right(data, len))
		return BENCH_CORRUPT;
	for (i = SOURCE_HEAD; i < len; i++)
		wrong |= data[i] ^ (uint8_t)(7 * (i - 42) + 13);
	return wrong ? BENCH_CORRUPT : BENCH_GOOD;
}

/* ------------------------------------------------------------------------------------------
 * Account
 */
static bool test_and_set(struct bench_track *track, uint64_t number)
{
	uint64_t *word = &track->seen[number % BENCH_WINDOW / 64];
	uint64_t bit = UINT64_C(1) << (number % 64);
	bool was = *word & bit;

	*word |= bit;
	return was;
}

void bench_track_start(struct bench_track *track, uint64_t number)
{
	memset(track->seen, 0, sizeof(track->seen));
	track->next = number;
}

void bench_track_add(struct bench_track *track, uint64_t number)
{
	uint64_t i;

	if (number >= track->next) {
		/* What lies between has not come yet; bits of a window ago are made free. */
		if (number - track->next >= BENCH_WINDOW)
			memset(track->seen, 0, sizeof(track->seen));
		else
			for (i = track->next; i < number; i++)
				track->seen[i % BENCH_WINDOW / 64] &= ~(UINT64_C(1) << (i % 64));
		test_and_set(track, number);
		track->next = number + 1;
		track->unique++;
	} else if (track->next - number > BENCH_WINDOW || test_and_set(track, number)) {
		track->duplicate++;
	} else {
		track->reordered++;
		track->unique++;
	}
}
