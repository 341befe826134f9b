/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two-core limit, by searching, and `vioduct bench limit`.
 *
 * How fast two cores hand frames over depends on where the buffers lie, how many there are and in
 * what bursts and order they are used, and in which way it does differs from one processor to the
 * next. So all combinations of some values of each are tried, for half a millisecond at a time; the
 * best of them are tried again for longer, and so on until one is left. All that are still in the
 * race take turns, and the median of a way's turns counts: a moment in which the machine did
 * something else is then no way's fault. Many buffers are often fast for some hundredths of a
 * second only, until more of their frames lie in the wrong cache: so for each number of them the
 * best way stays in the race up to the last turns, which are long.
 *
 * There are two limits. Buffers of a ring have to have room for whatever frame comes, so the lines
 * that are touched lie far apart when frames are small. Frames that are packed side by side go
 * faster, because the processor foresees which line comes next; no ring can do that, but it is what
 * two cores can do.
 */
#include "bench_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bits.h"
#include "bench_asked.h"
#include "bench_series.h"
#include "tool.h"

#define COMMAND	  "bench"
#define LINE	  64u
#define MAX_TURNS 5
#define MAX_WAYS  192

static const uint32_t depths[] = { 64, 256, 1024, 2048, BENCH_HANDOVER_DEPTH_MAX };
static const uint32_t bursts[] = { BENCH_HANDOVER_BURST_MIN, 32, 64, BENCH_HANDOVER_BURST_MAX };
static const uint32_t aheads[] = { 0, 32 };
/* Bytes that a buffer has room for, at least. */
static const uint32_t rooms[] = { 1536, 2048 };

static const char *const kind_names[] = {
	[BENCH_LIMIT_BUFFERS] = "two-core limit",
	[BENCH_LIMIT_PACKED] = "limit, packed",
};

const char *bench_limit_name(enum bench_limit_kind kind)
{
	return kind_names[kind];
}

VIO_STATIC_ASSERT(vio_array_size(rooms) == BENCH_LIMIT_STRIDES, "a room for each stride");

uint32_t bench_limit_stride(enum bench_limit_kind kind, uint32_t size, unsigned wider)
{
	uint32_t lines = ((size + LINE - 1) / LINE | 1) + 2 * wider;

	if (kind == BENCH_LIMIT_BUFFERS)
		lines = vio_max(lines, rooms[wider] / LINE | 1);
	return lines * LINE;
}

uint64_t bench_limit_bytes(uint32_t size)
{
	return (uint64_t)BENCH_HANDOVER_DEPTH_MAX *
	       bench_limit_stride(BENCH_LIMIT_BUFFERS, size, BENCH_LIMIT_STRIDES - 1);
}

void bench_way_format(const struct bench_way *way, char text[BENCH_WAY_TEXT])
{
	snprintf(text, BENCH_WAY_TEXT,
		 "stride %u, depth %u, burst %u, %s, prefetch %u lines, vectors of %u", way->stride,
		 way->depth, way->burst, way->lifo ? "LIFO" : "FIFO", way->ahead, way->vec);
}

/* ------------------------------------------------------------------------------------------
 * The search
 */
struct candidate {
	struct bench_way way;
	double turns[MAX_TURNS];
	double mpps; /* their median */
};

/* How a stage tries those that are left, and how many of each depth go on. */
static const struct stage {
	double seconds;
	unsigned turns, keep;
	bool widths; /* each with all widths of vectors, no longer with the widest alone */
} stages[] = {
	{ 0.0005, 3, 6, false },
	{ 0.004, 3, 2, false },
	{ 0.005, 5, 1, true },
	{ 0.100, 5, 1, false },
};

/* All but the stride, from the number of a combination. False when these do not go together. */
static bool make_way(unsigned number, struct bench_way *way)
{
	way->depth = depths[number % vio_array_size(depths)];
	number /= vio_array_size(depths);
	way->burst = bursts[number % vio_array_size(bursts)];
	number /= vio_array_size(bursts);
	way->ahead = aheads[number % vio_array_size(aheads)];
	number /= vio_array_size(aheads);
	way->lifo = number & 1;
	return way->burst * 2 <= way->depth;
}

static unsigned list_candidates(enum bench_limit_kind kind, uint32_t size, struct candidate *list)
{
	uint32_t vecs[BENCH_HANDOVER_VECS];
	struct bench_way way = { .size = size };
	unsigned i, wider, n = 0;

	bench_handover_vecs(vecs);
	way.vec = vecs[0];
	for (i = 0;
	     i < 2 * vio_array_size(depths) * vio_array_size(bursts) * vio_array_size(aheads); i++)
		for (wider = 0; wider < BENCH_LIMIT_STRIDES && make_way(i, &way); wider++) {
			way.stride = bench_limit_stride(kind, size, wider);
			list[n++].way = way;
		}
	return n;
}

/* Adds the narrower vectors to each of @n. Returns how many there are then. */
static unsigned add_widths(struct candidate *list, unsigned n)
{
	uint32_t vecs[BENCH_HANDOVER_VECS];
	unsigned num_vecs = bench_handover_vecs(vecs), all = n, i, v;

	for (i = 0; i < n; i++)
		for (v = 1; v < num_vecs; v++) {
			list[all] = list[i];
			list[all++].way.vec = vecs[v];
		}
	return all;
}

/* The fastest first. */
static int by_speed(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->mpps < y->mpps) - (x->mpps > y->mpps);
}

static void run_stage(struct bench_handover *handover, const struct stage *stage,
		      struct candidate *list, unsigned n)
{
	unsigned turn, i;

	for (turn = 0; turn < stage->turns; turn++)
		for (i = 0; i < n; i++)
			list[i].turns[turn] =
				bench_handover_run(handover, &list[i].way, stage->seconds);
	for (i = 0; i < n; i++)
		list[i].mpps = bench_spread_of(list[i].turns, stage->turns, 1).median;
	qsort(list, n, sizeof(list[0]), by_speed);
}

/* Keeps the first @keep of each depth, in their order. Returns how many these are. */
static unsigned keep_best(struct candidate *list, unsigned n, unsigned keep)
{
	unsigned kept = 0, same, i, k;

	for (i = 0; i < n; i++) {
		for (same = k = 0; k < kept; k++)
			same += list[k].way.depth == list[i].way.depth;
		if (same < keep)
			list[kept++] = list[i];
	}
	return kept;
}

int bench_limit_search(struct bench_handover *handover, enum bench_limit_kind kind, uint32_t size,
		       struct bench_way *way)
{
	struct candidate *list = calloc(MAX_WAYS, sizeof(*list));
	unsigned n, i;
	int ret;

	if (!list)
		return tool_fail(COMMAND, "out of memory");
	n = list_candidates(kind, size, list);
	ret = bench_handover_begin(handover);
	if (ret)
		goto free;
	for (i = 0; i < vio_array_size(stages) && !front_ending; i++) {
		if (stages[i].widths)
			n = add_widths(list, n);
		run_stage(handover, &stages[i], list, n);
		n = keep_best(list, n, stages[i].keep);
	}
	bench_handover_end(handover);
	*way = list[0].way;
free:
	free(list);
	return ret;
}

int bench_limit_open(const struct bench_rounds *opt, const struct bench_cores *cores,
		     unsigned first, unsigned end, struct bench_handover **handover,
		     struct bench_way ways[BENCH_MAX_SIZES][BENCH_LIMIT_NR])
{
	unsigned i, kind;
	uint64_t bytes = 0;
	int ret;

	for (i = 0; i < opt->num_sizes; i++)
		bytes = vio_max(bytes, bench_limit_bytes(opt->sizes[i]));
	ret = bench_handover_create(bytes, cores, handover);
	for (i = 0; i < opt->num_sizes; i++)
		for (kind = first; kind < end && !ret && !front_ending; kind++)
			ret = bench_limit_search(*handover, kind, opt->sizes[i], &ways[i][kind]);
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * vioduct bench limit
 */
struct limit {
	struct bench_series series; /* rows are kinds; the one value is Mpps */
	unsigned first;		    /* kind */
	struct bench_handover *handover;
	struct bench_way ways[BENCH_MAX_SIZES][BENCH_LIMIT_NR];
};

static struct limit *limit_of(struct bench_series *series)
{
	return vio_container_of(series, struct limit, series);
}

static unsigned kind_of(const struct bench_series *series, unsigned row)
{
	return vio_container_of(series, const struct limit, series)->first + row;
}

static const struct bench_way *way_of(const struct bench_series *series, unsigned size,
				      unsigned row)
{
	return &vio_container_of(series, const struct limit, series)
			->ways[size][kind_of(series, row)];
}

static int prepare(struct bench_series *series)
{
	struct limit *limit = limit_of(series);

	if (series->cores.device < 0)
		return tool_fail(COMMAND, "limit: needs two cores to run on");
	bench_asked_listen();
	return bench_limit_open(&series->opt, &series->cores, limit->first,
				limit->first + series->rows, &limit->handover, limit->ways);
}

static int run(struct bench_series *series, unsigned size, unsigned row, double *mpps)
{
	return bench_handover_once(limit_of(series)->handover, way_of(series, size, row),
				   series->opt.seconds, mpps);
}

static void print_head(const struct bench_series *series)
{
	printf("median of %u rounds of %g s (least to most); cores %d and %d\n"
	       "%-18s %6s  %-29s %8s  %s\n",
	       series->rounds, series->opt.seconds, series->cores.driver, series->cores.device, "",
	       "bytes", "Mpps", "Gbit/s", "buffers");
}

static void print_row(const struct bench_series *series, unsigned size, unsigned row)
{
	struct bench_spread mpps = bench_series_spread(series, size, row, 0);
	const struct bench_way *way = way_of(series, size, row);
	char text[BENCH_WAY_TEXT];

	bench_way_format(way, text);
	printf("%-18s %6u  %7.3f (%7.3f to %7.3f)  %8.3f  %s\n", kind_names[kind_of(series, row)],
	       way->size, mpps.median, mpps.min, mpps.max, mpps.median * way->size * 8 / 1e3, text);
}

static json_t *way_json(const struct bench_series *series, unsigned size, unsigned row)
{
	struct bench_spread mpps = bench_series_spread(series, size, row, 0);
	const struct bench_way *way = way_of(series, size, row);

	return json_pack("{s:o, s:i, s:i, s:i, s:s, s:i, s:i}", "mpps", bench_spread_json(&mpps),
			 "stride", (int)way->stride, "depth", (int)way->depth, "burst",
			 (int)way->burst, "recycling", way->lifo ? "lifo" : "fifo",
			 "prefetch_lines", (int)way->ahead, "vector_bytes", (int)way->vec);
}

/* The limit of a size, and in it that of frames side by side. */
static void add_json(const struct bench_series *series, unsigned size, json_t *results)
{
	json_t *object = json_pack("{s:i}", "size", (int)series->opt.sizes[size]);
	unsigned row;

	for (row = 0; row < series->rows; row++)
		if (kind_of(series, row) == BENCH_LIMIT_BUFFERS)
			json_object_update_new(object, way_json(series, size, row));
		else
			json_object_set_new(object, "packed", way_json(series, size, row));
	json_array_append_new(results, object);
}

static const struct bench_series_ops limit_ops = {
	.prepare = prepare,
	.run = run,
	.print_head = print_head,
	.print_row = print_row,
	.add_json = add_json,
	.no_roles = true,
};

int bench_limit(int argc, char **argv)
{
	struct limit limit = {
		.series = { .ops = &limit_ops,
			    .rows = BENCH_LIMIT_NR,
			    .values = 1,
			    .opt = { .sizes = { 64, 128, 256, 512, 1024, 1518, 9000 },
				     .num_sizes = 7,
				     .rounds = 5,
				     .seconds = 0.2 } },
	};
	int ret;

	ret = bench_parse_rounds(argc, argv, &limit.series.opt);
	if (ret)
		return ret;
	if (limit.series.opt.no_limit)
		return tool_usage(COMMAND, "--no-limit: not with limit");
	if (limit.series.opt.packed || limit.series.opt.buffers) {
		limit.first = limit.series.opt.packed ? BENCH_LIMIT_PACKED : BENCH_LIMIT_BUFFERS;
		limit.series.rows = 1;
	}
	ret = bench_series_run(&limit.series);
	bench_handover_destroy(limit.handover);
	return ret;
}
