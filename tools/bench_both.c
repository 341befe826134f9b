/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct bench without a word: our driver against our device.
 *
 * Each run has a device of its own, in a child process. The driver polls on one core and the device
 * on another, where there are two. Then the bare hand-over between two cores is measured as well, in
 * the ways that are fastest on this machine: it says what the rings cost.
 *
 * Kinds of run take turns, round by round, so that what else the machine does falls on all of them;
 * medians, and ratios of medians, are what to look at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"
#include "bench.h"
#include "bench_limit.h"
#include "bench_pair.h"
#include "bench_stat.h"
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

struct sample {
	double mpps, gbps;
};

#define SAMPLE_STEP ((unsigned)(sizeof(struct sample) / sizeof(double)))

struct both {
	struct bench_rounds opt;
	struct bench_cores cores;
	struct bench_folder folder;
	struct bench_handover *handover; /* NULL: fewer than two cores */
	struct bench_way ways[BENCH_MAX_SIZES][BENCH_LIMIT_NR];
	struct sample *samples; /* by size, row and round */
};

/* ------------------------------------------------------------------------------------------
 * Runs
 */
static int run_pair(const struct both *both, const struct direction *direction, uint32_t size,
		    struct sample *sample)
{
	struct bench_conf conf = {
		.mode = direction->mode,
		.seconds = both->opt.seconds,
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
		.core = both->cores.device,
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
	sample->mpps = bench_mpps(&conf, &result);
	sample->gbps = bench_gbps(&conf, &result);
	return ret ? ret : ended;
}

static int run_limit(const struct both *both, const struct bench_way *way, struct sample *sample)
{
	int ret = bench_handover_once(both->handover, way, both->opt.seconds, &sample->mpps);

	sample->gbps = sample->mpps * way->size * 8 / 1e3;
	return ret;
}

static struct sample *samples_of(const struct both *both, unsigned size, unsigned row)
{
	return both->samples + (size * NUM_ROWS + row) * both->opt.rounds;
}

static unsigned num_rows(const struct both *both)
{
	return both->handover ? NUM_ROWS : NUM_DIRECTIONS;
}

static int run_row(const struct both *both, unsigned size, unsigned row, struct sample *sample)
{
	if (row < NUM_DIRECTIONS)
		return run_pair(both, &directions[row], both->opt.sizes[size], sample);
	return run_limit(both, &both->ways[size][row - NUM_DIRECTIONS], sample);
}

/* All rounds. How many were done goes to *@rounds. */
static int run_rounds(const struct both *both, unsigned *rounds)
{
	unsigned round, i, row;
	int ret;

	for (round = 0; round < both->opt.rounds; round++) {
		for (i = 0; i < both->opt.num_sizes; i++)
			for (row = 0; row < num_rows(both); row++) {
				ret = run_row(both, i, row, &samples_of(both, i, row)[round]);
				if (ret || front_ending)
					return ret;
			}
		*rounds = round + 1;
	}
	return 0;
}

/* Memory for the limits, and the fastest ways. */
static int find_limits(struct both *both)
{
	unsigned i, kind;
	uint64_t bytes = 0;
	int ret;

	if (both->opt.no_limit)
		return 0;
	if (both->cores.device < 0) {
		fprintf(stderr, "vioduct bench: one core: the two-core limit is left out\n");
		return 0;
	}
	for (i = 0; i < both->opt.num_sizes; i++)
		bytes = vio_max(bytes, bench_limit_bytes(both->opt.sizes[i]));
	ret = bench_handover_create(bytes, &both->cores, &both->handover);
	for (i = 0; i < both->opt.num_sizes; i++)
		for (kind = 0; kind < BENCH_LIMIT_NR && !ret && !front_ending; kind++)
			ret = bench_limit_search(both->handover, kind, both->opt.sizes[i],
						 &both->ways[i][kind]);
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */
static struct bench_spread mpps_of(const struct both *both, unsigned size, unsigned row,
				   unsigned rounds)
{
	return bench_spread_of(&samples_of(both, size, row)->mpps, rounds, SAMPLE_STEP);
}

/* The median of a row to that of a limit; 0: there is no such ratio. */
static double ratio(const struct both *both, unsigned size, unsigned row,
		    enum bench_limit_kind kind, unsigned rounds)
{
	struct bench_spread limit;

	if (!both->handover || row >= NUM_DIRECTIONS || !directions[row].one_way)
		return 0;
	limit = mpps_of(both, size, NUM_DIRECTIONS + kind, rounds);
	return limit.median > 0 ? mpps_of(both, size, row, rounds).median / limit.median : 0;
}

static const char *row_name(unsigned row)
{
	return row < NUM_DIRECTIONS ? directions[row].name : bench_limit_name(row - NUM_DIRECTIONS);
}

static void print_row(const struct both *both, unsigned size, unsigned row, unsigned rounds)
{
	struct bench_spread mpps = mpps_of(both, size, row, rounds);
	struct bench_spread gbps =
		bench_spread_of(&samples_of(both, size, row)->gbps, rounds, SAMPLE_STEP);
	char way[BENCH_WAY_TEXT] = "";
	double to_limit = ratio(both, size, row, BENCH_LIMIT_BUFFERS, rounds);
	double to_packed = ratio(both, size, row, BENCH_LIMIT_PACKED, rounds);

	printf("%-18s %6u  %7.3f (%7.3f to %7.3f)  %8.3f (%.3f to %.3f)", row_name(row),
	       both->opt.sizes[size], mpps.median, mpps.min, mpps.max, gbps.median, gbps.min,
	       gbps.max);
	if (to_limit > 0)
		printf("  %.2f of the limit, %.2f of the packed one", to_limit, to_packed);
	if (row >= NUM_DIRECTIONS) {
		bench_way_format(&both->ways[size][row - NUM_DIRECTIONS], way);
		printf("  %s", way);
	}
	printf("\n");
}

static json_t *row_json(const struct both *both, unsigned size, unsigned row, unsigned rounds)
{
	struct bench_spread mpps = mpps_of(both, size, row, rounds);
	struct bench_spread gbps =
		bench_spread_of(&samples_of(both, size, row)->gbps, rounds, SAMPLE_STEP);
	char way[BENCH_WAY_TEXT];
	json_t *object = json_pack("{s:s, s:i, s:o, s:o}", "direction", row_name(row), "size",
				   (int)both->opt.sizes[size], "mpps", bench_spread_json(&mpps),
				   "gbps", bench_spread_json(&gbps));

	if (row >= NUM_DIRECTIONS) {
		bench_way_format(&both->ways[size][row - NUM_DIRECTIONS], way);
		json_object_set_new(object, "buffers", json_string(way));
	} else if (both->handover && directions[row].one_way) {
		json_object_set_new(object, "to_limit",
				    json_real(ratio(both, size, row, BENCH_LIMIT_BUFFERS, rounds)));
		json_object_set_new(object, "to_packed_limit",
				    json_real(ratio(both, size, row, BENCH_LIMIT_PACKED, rounds)));
	}
	return object;
}

static void print_table(const struct both *both, unsigned rounds)
{
	unsigned i, row;

	printf("median of %u rounds of %g s (least to most); driver on core %d, device on core %d\n"
	       "%-18s %6s  %-28s  %s\n",
	       rounds, both->opt.seconds, both->cores.driver, both->cores.device, "", "bytes",
	       "Mpps", "Gbit/s of frames");
	for (i = 0; i < both->opt.num_sizes; i++)
		for (row = 0; row < num_rows(both); row++)
			print_row(both, i, row, rounds);
}

static void print_json(const struct both *both, unsigned rounds)
{
	json_t *results = json_array(), *root;
	unsigned i, row;

	for (i = 0; i < both->opt.num_sizes; i++)
		for (row = 0; row < num_rows(both); row++)
			json_array_append_new(results, row_json(both, i, row, rounds));
	root = json_pack("{s:i, s:f, s:i, s:i, s:o}", "rounds", (int)rounds, "seconds",
			 both->opt.seconds, "driver_core", both->cores.driver, "device_core",
			 both->cores.device, "results", results);
	json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

int bench_both(int argc, char **argv)
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
	both.samples = calloc((size_t)both.opt.num_sizes * NUM_ROWS * both.opt.rounds,
			      sizeof(both.samples[0]));
	if (!both.samples)
		return tool_fail(COMMAND, "out of memory");
	ret = bench_folder_make(&both.folder);
	if (ret)
		goto free;
	mask = front_catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	both.cores = bench_choose_cores();
	bench_pin(both.cores.driver);
	ret = find_limits(&both);
	if (!ret && !front_ending)
		ret = run_rounds(&both, &rounds);
	if (rounds)
		(both.opt.json ? print_json : print_table)(&both, rounds);
	else if (!ret)
		ret = tool_fail(COMMAND, "ended before the first round was through");
	bench_handover_destroy(both.handover);
	bench_folder_remove(&both.folder);
free:
	free(both.samples);
	return ret;
}
