/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is measured in rounds: kinds of run (rows), each with frames of some sizes, that take turns
 * round by round, so that what else the machine does falls on all of them; and how it is printed.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <jansson.h>

#include "bench.h"
#include "bench_pair.h"
#include "bench_stat.h"

struct bench_series;

/* A subject. Sizes, rows, rounds and values count from 0; a status is 0, or an exit status with a
 * message. */
struct bench_series_ops {
	/* Once, on the driver's core, before the first round; may make the rows fewer. NULL: nothing. */
	int (*prepare)(struct bench_series *series);
	/* One run; fills *@values. */
	int (*run)(struct bench_series *series, unsigned size, unsigned row, double *values);
	void (*print_head)(const struct bench_series *series);
	void (*print_row)(const struct bench_series *series, unsigned size, unsigned row);
	/* Appends what there is to say of a size to @results. */
	void (*add_json)(const struct bench_series *series, unsigned size, json_t *results);
	bool no_roles; /* of the cores none is the driver's */
};

struct bench_series {
	const struct bench_series_ops *ops;
	unsigned rows;	 /* of each size */
	unsigned values; /* of each run */
	struct bench_rounds opt;

	/* from bench_series_run() on */
	struct bench_cores cores;
	unsigned rounds; /* that are through */
	double *samples; /* by size, row, round and value; of bench_series_spread() */
};

/* Measures and prints. An exit status. */
int bench_series_run(struct bench_series *series);

/* Of the rounds that are through, of which there is one at least. */
struct bench_spread bench_series_spread(const struct bench_series *series, unsigned size,
					unsigned row, unsigned value);

#endif
