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

#include "bench.h"
#include "bench_latency.h"
#include "bench_pair.h"
#include "bench_stat.h"
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

struct trips {
	double values[NUM_VALUES];
};

struct both {
	struct bench_rounds opt;
	struct bench_cores cores;
	struct bench_folder folder;
	struct trips *trips; /* by size, kind and round */
};

static void take_values(const struct bench_hist *hist, struct trips *trips)
{
	trips->values[P50] = (double)bench_hist_percentile(hist, 50);
	trips->values[P99] = (double)bench_hist_percentile(hist, 99);
	trips->values[P999] = (double)bench_hist_percentile(hist, 99.9);
	trips->values[MAX] = (double)hist->max;
}

static void print_json(const struct bench_latency *r, bool interrupts)
{
	struct trips trips;
	json_t *root;
	unsigned i;

	take_values(&r->rtt, &trips);
	root = json_pack("{s:s, s:b, s:I, s:I, s:I, s:f}", "mode", "latency", "interrupts",
			 interrupts, "round_trips", (json_int_t)r->rtt.count, "lost",
			 (json_int_t)r->lost, "corrupt", (json_int_t)r->corrupt, "seconds",
			 r->seconds);
	for (i = 0; i < NUM_VALUES; i++)
		json_object_set_new(root, value_names[i],
				    json_integer((json_int_t)trips.values[i]));
	json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

void bench_latency_print(const struct bench_latency *r, bool interrupts, bool json)
{
	struct trips trips;

	if (json) {
		print_json(r, interrupts);
		return;
	}
	take_values(&r->rtt, &trips);
	printf("latency, %s: %llu round trips in %.3f s: p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f "
	       "ns; %llu lost, %llu corrupt\n",
	       interrupts ? "interrupts" : "polling", (unsigned long long)r->rtt.count, r->seconds,
	       trips.values[P50], trips.values[P99], trips.values[P999], trips.values[MAX],
	       (unsigned long long)r->lost, (unsigned long long)r->corrupt);
}

/* ------------------------------------------------------------------------------------------
 * Runs
 */
static int through_device(const struct both *both, uint32_t size, bool interrupts,
			  struct bench_latency *result)
{
	/* Polling, the device does so for as long as the driver keeps it busy. */
	struct bench_device_conf device = {
		.socket = both->folder.socket,
		.backend = "loop",
		.size = size,
		.busy_poll_us = interrupts ? 0 : 1000000,
		.core = both->cores.device,
	};
	struct bench_conf conf = {
		.seconds = both->opt.seconds,
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

static struct trips *trips_of(const struct both *both, unsigned size, unsigned kind)
{
	return both->trips + (size * NUM_KINDS + kind) * both->opt.rounds;
}

static int run_once(const struct both *both, unsigned size, unsigned kind, struct trips *trips,
		    struct bench_latency *result)
{
	int ret;

	if (kind == BARE)
		ret = bench_latency_bare(&both->cores, both->opt.seconds, result);
	else
		ret = through_device(both, both->opt.sizes[size], kind == INTERRUPTS, result);
	take_values(&result->rtt, trips);
	return ret;
}

/* All rounds. How many were done goes to *@rounds. */
static int run_rounds(const struct both *both, unsigned *rounds)
{
	struct bench_latency *result = malloc(sizeof(*result));
	unsigned round, i, kind;
	int ret = 0;

	if (!result)
		return tool_fail(COMMAND, "out of memory");
	for (round = 0; round < both->opt.rounds; round++) {
		for (i = 0; i < both->opt.num_sizes; i++)
			for (kind = 0; kind < NUM_KINDS; kind++) {
				ret = run_once(both, i, kind, &trips_of(both, i, kind)[round],
					       result);
				if (ret || front_ending)
					goto out;
			}
		*rounds = round + 1;
	}
out:
	free(result);
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */
static struct bench_spread spread_of(const struct both *both, unsigned size, unsigned kind,
				     unsigned value, unsigned rounds)
{
	return bench_spread_of(&trips_of(both, size, kind)->values[value], rounds, NUM_VALUES);
}

static json_t *row_json(const struct both *both, unsigned size, unsigned kind, unsigned rounds)
{
	json_t *row = json_pack("{s:s, s:i}", "mode", kind_names[kind], "size",
				(int)both->opt.sizes[size]);
	struct bench_spread spread, bare;
	unsigned value;

	for (value = 0; value < NUM_VALUES; value++) {
		spread = spread_of(both, size, kind, value, rounds);
		json_object_set_new(row, value_names[value], bench_spread_json(&spread));
		if (kind != INTERRUPTS || (value != P50 && value != P99))
			continue;
		bare = spread_of(both, size, BARE, value, rounds);
		json_object_set_new(row, value == P50 ? "p50_to_bare" : "p99_to_bare",
				    json_real(bare.median > 0 ? spread.median / bare.median : 0));
	}
	return row;
}

static void print_json_table(const struct both *both, unsigned rounds)
{
	json_t *results = json_array(), *root;
	unsigned i, kind;

	for (i = 0; i < both->opt.num_sizes; i++)
		for (kind = 0; kind < NUM_KINDS; kind++)
			json_array_append_new(results, row_json(both, i, kind, rounds));
	root = json_pack("{s:i, s:f, s:i, s:i, s:o}", "rounds", (int)rounds, "seconds",
			 both->opt.seconds, "driver_core", both->cores.driver, "device_core",
			 both->cores.device, "results", results);
	json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

static void print_row(const struct both *both, unsigned size, unsigned kind, unsigned rounds)
{
	struct bench_spread spread[NUM_VALUES], bare50, bare99;
	unsigned i;

	for (i = 0; i < NUM_VALUES; i++)
		spread[i] = spread_of(both, size, kind, i, rounds);
	printf("%-14s %6u  %9.0f %10.0f (%8.0f to %8.0f) %10.0f %10.0f", kind_names[kind],
	       both->opt.sizes[size], spread[P50].median, spread[P99].median, spread[P99].min,
	       spread[P99].max, spread[P999].median, spread[MAX].max);
	bare50 = spread_of(both, size, BARE, P50, rounds);
	bare99 = spread_of(both, size, BARE, P99, rounds);
	if (kind == INTERRUPTS && bare50.median > 0 && bare99.median > 0)
		printf("  %5.2f %5.2f", spread[P50].median / bare50.median,
		       spread[P99].median / bare99.median);
	printf("\n");
}

static void print_table(const struct both *both, unsigned rounds)
{
	unsigned i, kind;

	printf("round trips in ns: medians of %u rounds of %g s (p99: least to most; max: of all); "
	       "driver on core %d, device on core %d; ratios of p50 and p99 to the bare ones\n"
	       "%-14s %6s  %9s %10s %22s %10s %10s  %11s\n",
	       rounds, both->opt.seconds, both->cores.driver, both->cores.device, "", "bytes",
	       "p50", "p99", "", "p99.9", "max", "ratios");
	for (i = 0; i < both->opt.num_sizes; i++)
		for (kind = 0; kind < NUM_KINDS; kind++)
			print_row(both, i, kind, rounds);
}

int bench_latency(int argc, char **argv)
{
	struct both both = {
		.opt = { .sizes = { 64 }, .num_sizes = 1, .rounds = 5, .seconds = 1 },
	};
	unsigned rounds = 0;
	sigset_t mask;
	int ret;

	ret = bench_parse_rounds(argc, argv, &both.opt);
	if (ret)
		return ret;
	if (both.opt.no_limit)
		return tool_usage(COMMAND, "--no-limit: not with latency");
	both.trips = calloc((size_t)both.opt.num_sizes * NUM_KINDS * both.opt.rounds,
			    sizeof(both.trips[0]));
	if (!both.trips)
		return tool_fail(COMMAND, "out of memory");
	ret = bench_folder_make(&both.folder);
	if (ret)
		goto free;
	mask = front_catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	both.cores = bench_choose_cores();
	bench_pin(both.cores.driver);
	ret = run_rounds(&both, &rounds);
	if (rounds)
		(both.opt.json ? print_json_table : print_table)(&both, rounds);
	else if (!ret)
		ret = tool_fail(COMMAND, "ended before the first round was through");
	bench_folder_remove(&both.folder);
free:
	free(both.trips);
	return ret;
}
