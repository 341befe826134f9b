/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct bench without a word: our driver against our device.
 *
 * Each run has a device of its own, in a child process. The driver polls on one core and the device
 * on another, where there are two. Then the bare hand-over between two cores is measured as well, in
 * the ways that are fastest on this machine: it says what the rings cost. Medians, and ratios of
 * medians, are what to look at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"
#include "bench_limit.h"
#include "bench_series.h"
#include "tool.h"

#define COMMAND "bench"

/* A kind of run. */
struct direction {
	const char *name;
	enum bench_mode mode;
	const char *backend; /* of the device; source gets the size */
	bool one_way;	     /* what a limit is known for */
};

static const struct direction directions[] = {
	{ "driver to device", BENCH_TXONLY, "null,read=on", true },
	{ "device to driver", BENCH_RXONLY, "source,size=", true },
	{ "echo", BENCH_ECHO, "loop", false },
};

/* The limits come behind the directions. */
#define NUM_DIRECTIONS (sizeof(directions) / sizeof(directions[0]))
#define NUM_ROWS       (NUM_DIRECTIONS + BENCH_LIMIT_NR)

enum { MPPS, GBPS, NUM_VALUES };

struct both {
	struct bench_series series;
	struct bench_folder folder;
	struct bench_handover *handover; /* NULL: fewer than two cores */
	struct bench_way ways[BENCH_MAX_SIZES][BENCH_LIMIT_NR];
};

static struct both *both_of(struct bench_series *series)
{
	return vio_container_of(series, struct both, series);
}

static const struct both *both_of_const(const struct bench_series *series)
{
	return vio_container_of(series, const struct both, series);
}

/* ------------------------------------------------------------------------------------------
 * Runs
 */
static int run_pair(const struct both *both, const struct direction *direction, uint32_t size,
		    double *values)
{
	struct bench_conf conf = {
		.mode = direction->mode,
		.seconds = both->series.opt.seconds,
		.patience = 10,
		.size = size,
		.pairs = 1,
	};
	char backend[64];
	/* The device polls for as long as frames come, as the driver does. */
	struct bench_device_conf device = {
		.socket = both->folder.socket,
		.backend = backend,
		.size = size,
		.busy_poll_us = 1000000,
		.core = both->series.cores.device,
	};
	struct bench_result result;
	struct bench_child child;
	int ret, ended;

	snprintf(backend, sizeof(backend), "%s", direction->backend);
	if (direction->mode == BENCH_RXONLY)
		snprintf(backend, sizeof(backend), "%s%u", direction->backend, size);
	snprintf(conf.via.path, sizeof(conf.via.path), "%s", both->folder.socket);
	ret = bench_child_start(bench_be_device, &device, &child);
	if (ret)
		return ret;
	ret = bench_run(&conf, &result);
	ended = bench_child_end(&child);
	values[MPPS] = bench_mpps(&conf, &result);
	values[GBPS] = bench_gbps(&conf, &result);
	return ret ? ret : ended;
}

static int run_limit(const struct both *both, const struct bench_way *way, double *values)
{
	int ret = bench_handover_once(both->handover, way, both->series.opt.seconds, &values[MPPS]);

	values[GBPS] = values[MPPS] * way->size * 8 / 1e3;
	return ret;
}

static int run(struct bench_series *series, unsigned size, unsigned row, double *values)
{
	const struct both *both = both_of(series);

	if (row < NUM_DIRECTIONS)
		return run_pair(both, &directions[row], series->opt.sizes[size], values);
	return run_limit(both, &both->ways[size][row - NUM_DIRECTIONS], values);
}

/* The limits, where they can be had. */
static int prepare(struct bench_series *series)
{
	struct both *both = both_of(series);

	if (!series->opt.no_limit && series->cores.device >= 0)
		return bench_limit_open(&series->opt, &series->cores, 0, BENCH_LIMIT_NR,
					&both->handover, both->ways);
	if (!series->opt.no_limit)
		fprintf(stderr, "vioduct bench: one core: the two-core limit is left out\n");
	series->rows = NUM_DIRECTIONS;
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */

/* The median of a row to that of a limit; 0: there is no such ratio. */
static double ratio(const struct bench_series *series, unsigned size, unsigned row,
		    enum bench_limit_kind kind)
{
	struct bench_spread limit;

	if (series->rows == NUM_DIRECTIONS || row >= NUM_DIRECTIONS || !directions[row].one_way)
		return 0;
	limit = bench_series_spread(series, size, NUM_DIRECTIONS + kind, MPPS);
	return limit.median > 0 ?
		       bench_series_spread(series, size, row, MPPS).median / limit.median :
		       0;
}

static const char *row_name(unsigned row)
{
	return row < NUM_DIRECTIONS ? directions[row].name : bench_limit_name(row - NUM_DIRECTIONS);
}

static void format_way(const struct bench_series *series, unsigned size, unsigned row,
		       char text[BENCH_WAY_TEXT])
{
	bench_way_format(&both_of_const(series)->ways[size][row - NUM_DIRECTIONS], text);
}

static void print_head(const struct bench_series *series)
{
	printf("median of %u rounds of %g s (least to most); driver on core %d, device on core %d\n"
	       "%-18s %6s  %-28s  %s\n",
	       series->rounds, series->opt.seconds, series->cores.driver, series->cores.device, "",
	       "bytes", "Mpps", "Gbit/s of frames");
}

static void print_row(const struct bench_series *series, unsigned size, unsigned row)
{
	struct bench_spread mpps = bench_series_spread(series, size, row, MPPS);
	struct bench_spread gbps = bench_series_spread(series, size, row, GBPS);
	char way[BENCH_WAY_TEXT] = "";
	double to_limit = ratio(series, size, row, BENCH_LIMIT_BUFFERS);
	double to_packed = ratio(series, size, row, BENCH_LIMIT_PACKED);

	printf("%-18s %6u  %7.3f (%7.3f to %7.3f)  %8.3f (%.3f to %.3f)", row_name(row),
	       series->opt.sizes[size], mpps.median, mpps.min, mpps.max, gbps.median, gbps.min,
	       gbps.max);
	if (to_limit > 0)
		printf("  %.2f of the limit, %.2f of the packed one", to_limit, to_packed);
	if (row >= NUM_DIRECTIONS) {
		format_way(series, size, row, way);
		printf("  %s", way);
	}
	printf("\n");
}

static json_t *row_json(const struct bench_series *series, unsigned size, unsigned row)
{
	struct bench_spread mpps = bench_series_spread(series, size, row, MPPS);
	struct bench_spread gbps = bench_series_spread(series, size, row, GBPS);
	char way[BENCH_WAY_TEXT];
	json_t *object = json_pack("{s:s, s:i, s:o, s:o}", "direction", row_name(row), "size",
				   (int)series->opt.sizes[size], "mpps", bench_spread_json(&mpps),
				   "gbps", bench_spread_json(&gbps));

	if (row >= NUM_DIRECTIONS) {
		format_way(series, size, row, way);
		json_object_set_new(object, "buffers", json_string(way));
	} else if (series->rows > NUM_DIRECTIONS && directions[row].one_way) {
		json_object_set_new(object, "to_limit",
				    json_real(ratio(series, size, row, BENCH_LIMIT_BUFFERS)));
		json_object_set_new(object, "to_packed_limit",
				    json_real(ratio(series, size, row, BENCH_LIMIT_PACKED)));
	}
	return object;
}

static void add_json(const struct bench_series *series, unsigned size, json_t *results)
{
	unsigned row;

	for (row = 0; row < series->rows; row++)
		json_array_append_new(results, row_json(series, size, row));
}

static const struct bench_series_ops both_ops = {
	.prepare = prepare,
	.run = run,
	.print_head = print_head,
	.print_row = print_row,
	.add_json = add_json,
};

int bench_both(int argc, char **argv)
{
	struct both both = {
		.series = { .ops = &both_ops,
			    .rows = NUM_ROWS,
			    .values = NUM_VALUES,
			    .opt = { .sizes = { 64 }, .num_sizes = 1, .rounds = 5, .seconds = 1 } },
	};
	int ret;

	ret = bench_parse_rounds(argc, argv, &both.series.opt);
	if (!ret && (both.series.opt.packed || both.series.opt.buffers))
		return tool_usage(COMMAND, "--kind: only with limit");
	if (!ret)
		ret = bench_folder_make(&both.folder);
	if (ret)
		return ret;
	ret = bench_series_run(&both.series);
	bench_handover_destroy(both.handover);
	bench_folder_remove(&both.folder);
	return ret;
}
