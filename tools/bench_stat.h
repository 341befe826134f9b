/* SPDX-License-Identifier: BSD-2-Clause */
/* What `vioduct bench` makes of many values: medians of rounds, and a histogram of times. */
#ifndef BENCH_STAT_H
#define BENCH_STAT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#define BENCH_MAX_ROUNDS 1000

struct bench_spread {
	double median, min, max;
};

/* Over @n values (1 to BENCH_MAX_ROUNDS), each @step doubles behind the one before. */
struct bench_spread bench_spread_of(const double *first, unsigned n, unsigned step);

/* {"median", "min", "max"} */
json_t *bench_spread_json(const struct bench_spread *spread);

/*
 * A histogram of fixed size over all 64-bit values: those below BENCH_HIST_SUB have a bucket each;
 * above, each power of two has BENCH_HIST_SUB / 2 of them, so that a bucket is never wider than one
 * part in BENCH_HIST_SUB / 2 of the values in it.
 */
#define BENCH_HIST_BITS	   8
#define BENCH_HIST_SUB	   (1u << BENCH_HIST_BITS)
#define BENCH_HIST_BUCKETS ((64 - BENCH_HIST_BITS + 2) * (BENCH_HIST_SUB / 2))

struct bench_hist {
	uint64_t count, sum, min, max; /* min: UINT64_MAX while empty */
	uint64_t buckets[BENCH_HIST_BUCKETS];
};

void bench_hist_init(struct bench_hist *hist);

static inline unsigned bench_hist_bucket(uint64_t value)
{
	unsigned shift;

	if (value < BENCH_HIST_SUB)
		return (unsigned)value;
	shift = 64 - BENCH_HIST_BITS - (unsigned)__builtin_clzll(value);
	return shift * (BENCH_HIST_SUB / 2) + (unsigned)(value >> shift);
}

/* The greatest value that falls into @bucket. */
uint64_t bench_hist_upper(unsigned bucket);

static inline void bench_hist_add(struct bench_hist *hist, uint64_t value)
{
	hist->buckets[bench_hist_bucket(value)]++;
	hist->count++;
	hist->sum += value;
	if (value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
}

/* The value that @percent of all do not exceed, to the width of a bucket; 0 while empty. */
uint64_t bench_hist_percentile(const struct bench_hist *hist, double percent);

#endif
