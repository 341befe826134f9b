/* SPDX-License-Identifier: BSD-2-Clause */
/* Medians and histograms for `vioduct bench`. */
#include "bench_stat.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct bench_spread bench_spread_of(const double *first, unsigned n, unsigned step)
{
	double sorted[BENCH_MAX_ROUNDS];
	unsigned i;

	for (i = 0; i < n; i++)
		sorted[i] = first[(size_t)i * step];
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return (struct bench_spread){
		.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
		.min = sorted[0],
		.max = sorted[n - 1],
	};
}

json_t *bench_spread_json(const struct bench_spread *spread)
{
	return json_pack("{s:f, s:f, s:f}", "median", spread->median, "min", spread->min, "max",
			 spread->max);
}

void bench_hist_init(struct bench_hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min = UINT64_MAX;
}

uint64_t bench_hist_upper(unsigned bucket)
{
	unsigned shift = 0;

	if (bucket < BENCH_HIST_SUB)
		return bucket;
	/* bench_hist_bucket() backwards: what was left after shifting has its top bit set. */
	shift = bucket / (BENCH_HIST_SUB / 2) - 1;
	return ((uint64_t)(bucket - shift * (BENCH_HIST_SUB / 2) + 1) << shift) - 1;
}

uint64_t bench_hist_percentile(const struct bench_hist *hist, double percent)
{
	double wanted = (double)hist->count * percent / 100;
	uint64_t below = 0, upper;
	unsigned i;

	if (!hist->count)
		return 0;
	for (i = 0; i < BENCH_HIST_BUCKETS; i++) {
		below += hist->buckets[i];
		if (below && (double)below >= wanted)
			break;
	}
	upper = bench_hist_upper(i < BENCH_HIST_BUCKETS ? i : BENCH_HIST_BUCKETS - 1);
	/* The ends are known exactly. */
	if (upper > hist->max)
		upper = hist->max;
	return upper < hist->min ? hist->min : upper;
}
