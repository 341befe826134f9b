/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct bench latency: our driver and our device, and what they are held against.
 *
 * Three kinds of run take turns, round by round: both halves polling; both asleep until the other
 * notifies them; two processes that wake each other through bare eventfds. The last is what the
 * machine takes for two wake-ups, so the second is told as a ratio to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"
#include "bench_latency.h"
#include "bench_series.h"
#include "tool.h"

#define COMMAND "bench"

enum { POLLING, INTERRUPTS, BARE, NUM_KINDS };

static const char *const kind_names[] = {
	[POLLING] = "polling",
	[INTERRUPTS] = "interrupts",
	[BARE] = "bare eventfds",
};

enum { P50, P99, P999, MAX, NUM_VALUES };

static const char *const value_names[] = { "p50_ns", "p99_ns", "p99.9_ns", "max_ns" };

struct both {
	struct bench_series series;
	struct bench_folder folder;
	struct bench_latency result; /* of the run that is on */
};

static void take_values(const struct bench_hist *hist, double values[NUM_VALUES])
{
	values[P50] = (double)bench_hist_percentile(hist, 50);
	values[P99] = (double)bench_hist_percentile(hist, 99);
	values[P999] = (double)bench_hist_percentile(hist, 99.9);
	values[MAX] = (double)hist->max;
}

static void print_result_json(const struct bench_latency *r, bool interrupts)
{
	double values[NUM_VALUES];
	json_t *root;
	unsigned i;

	take_values(&r->rtt, values);
	root = json_pack("{s:s, s:b, s:I, s:I, s:I, s:f}", "mode", "latency", "interrupts",
			 interrupts, "round_trips", (json_int_t)r->rtt.count, "lost",
			 (json_int_t)r->lost, "corrupt", (json_int_t)r->corrupt, "seconds",
			 r->seconds);
	for (i = 0; i < NUM_VALUES; i++)
		json_object_set_new(root, value_names[i], json_integer((json_int_t)values[i]));
	json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

void bench_latency_print(const struct bench_latency *r, bool interrupts, bool json)
{
	double values[NUM_VALUES];

	if (json) {
		print_result_json(r, interrupts);
		return;
	}
	take_values(&r->rtt, values);
	printf("latency, %s: %llu round trips in %.3f s: p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f "
	       "ns; %llu lost, %llu corrupt\n",
	       interrupts ? "interrupts" : "polling", (unsigned long long)r->rtt.count, r->seconds,
	       values[P50], values[P99], values[P999], values[MAX], (unsigned long long)r->lost,
	       (unsigned long long)r->corrupt);
}

/* ------------------------------------------------------------------------------------------
 * Runs
 */
static int through_device(struct both *both, uint32_t size, bool interrupts)
{
	struct bench_latency *result = &both->result;
	/* Polling, the device does so for as long as the driver keeps it busy. */
	struct bench_device_conf device = {
		.socket = both->folder.socket,
		.backend = "loop",
		.size = size,
		.busy_poll_us = interrupts ? 0 : 1000000,
		.core = both->series.cores.device,
	};
	struct bench_conf conf = {
		.seconds = both->series.opt.seconds,
		.patience = 10,
		.size = size,
		.pairs = 1,
	};
	struct bench_child child;
	int ret, ended;

	snprintf(conf.via.path, sizeof(conf.via.path), "%s", both->folder.socket);
	ret = bench_child_start(bench_be_device, &device, &child);
	if (ret)
		return ret;
	ret = bench_latency_run(&conf, interrupts, result);
	ended = bench_child_end(&child);
	if (!ret && (result->lost || result->corrupt))
		ret = tool_fail(COMMAND, "%llu frames did not come back, %llu came changed",
				(unsigned long long)result->lost,
				(unsigned long long)result->corrupt);
	return ret ? ret : ended;
}

static int run(struct bench_series *series, unsigned size, unsigned kind, double *values)
{
	struct both *both = vio_container_of(series, struct both, series);
	int ret;

	if (kind == BARE)
		ret = bench_latency_bare(&series->cores, series->opt.seconds, &both->result);
	else
		ret = through_device(both, series->opt.sizes[size], kind == INTERRUPTS);
	take_values(&both->result.rtt, values);
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */
static void print_head(const struct bench_series *series)
{
	printf("round trips in ns: medians of %u rounds of %g s (p99: least to most; max: of all); "
	       "driver on core %d, device on core %d; ratios of p50 and p99 to the bare ones\n"
	       "%-14s %6s  %9s %10s %22s %10s %10s  %11s\n",
	       series->rounds, series->opt.seconds, series->cores.driver, series->cores.device, "",
	       "bytes", "p50", "p99", "", "p99.9", "max", "ratios");
}

static void print_row(const struct bench_series *series, unsigned size, unsigned kind)
{
	struct bench_spread spread[NUM_VALUES], bare50, bare99;
	unsigned i;

	for (i = 0; i < NUM_VALUES; i++)
		spread[i] = bench_series_spread(series, size, kind, i);
	printf("%-14s %6u  %9.0f %10.0f (%8.0f to %8.0f) %10.0f %10.0f", kind_names[kind],
	       series->opt.sizes[size], spread[P50].median, spread[P99].median, spread[P99].min,
	       spread[P99].max, spread[P999].median, spread[MAX].max);
	bare50 = bench_series_spread(series, size, BARE, P50);
	bare99 = bench_series_spread(series, size, BARE, P99);
	if (kind == INTERRUPTS && bare50.median > 0 && bare99.median > 0)
		printf("  %5.2f %5.2f", spread[P50].median / bare50.median,
		       spread[P99].median / bare99.median);
	printf("\n");
}

static json_t *row_json(const struct bench_series *series, unsigned size, unsigned kind)
{
	json_t *row = json_pack("{s:s, s:i}", "mode", kind_names[kind], "size",
				(int)series->opt.sizes[size]);
	struct bench_spread spread, bare;
	unsigned value;

	for (value = 0; value < NUM_VALUES; value++) {
		spread = bench_series_spread(series, size, kind, value);
		json_object_set_new(row, value_names[value], bench_spread_json(&spread));
		if (kind != INTERRUPTS || (value != P50 && value != P99))
			continue;
		bare = bench_series_spread(series, size, BARE, value);
		json_object_set_new(row, value == P50 ? "p50_to_bare" : "p99_to_bare",
				    json_real(bare.median > 0 ? spread.median / bare.median : 0));
	}
	return row;
}

static void add_json(const struct bench_series *series, unsigned size, json_t *results)
{
	unsigned kind;

	for (kind = 0; kind < series->rows; kind++)
		json_array_append_new(results, row_json(series, size, kind));
}

static const struct bench_series_ops latency_ops = {
	.run = run,
	.print_head = print_head,
	.print_row = print_row,
	.add_json = add_json,
};

int bench_latency(int argc, char **argv)
{
	static struct both both = {
		.series = { .ops = &latency_ops,
			    .rows = NUM_KINDS,
			    .values = NUM_VALUES,
			    .opt = { .sizes = { 64 }, .num_sizes = 1, .rounds = 5, .seconds = 1 } },
	};
	int ret;

	ret = bench_parse_rounds(argc, argv, &both.series.opt);
	if (ret)
		return ret;
	if (both.series.opt.no_limit)
		return tool_usage(COMMAND, "--no-limit: not with latency");
	if (both.series.opt.packed || both.series.opt.buffers)
		return tool_usage(COMMAND, "--kind: only with limit");
	ret = bench_folder_make(&both.folder);
	if (ret)
		return ret;
	ret = bench_series_run(&both.series);
	bench_folder_remove(&both.folder);
	return ret;
}
