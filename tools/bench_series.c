/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench_series.h"

#include <stdio.h>
#include <stdlib.h>

#include "tool.h"

#define COMMAND "bench"

static double *sample_of(const struct bench_series *s, unsigned size, unsigned row, unsigned round)
{
	size_t at = ((size_t)size * s->rows + row) * s->opt.rounds + round;

	return s->samples + at * s->values;
}

struct bench_spread bench_series_spread(const struct bench_series *s, unsigned size, unsigned row,
					unsigned value)
{
	return bench_spread_of(sample_of(s, size, row, 0) + value, s->rounds, s->values);
}

static int run_rounds(struct bench_series *s)
{
	unsigned round, i, row;
	int ret;

	for (round = 0; round < s->opt.rounds; round++) {
		for (i = 0; i < s->opt.num_sizes; i++)
			for (row = 0; row < s->rows; row++) {
				ret = s->ops->run(s, i, row, sample_of(s, i, row, round));
				if (ret || front_ending)
					return ret;
			}
		s->rounds = round + 1;
	}
	return 0;
}

static void print_table(const struct bench_series *s)
{
	unsigned i, row;

	s->ops->print_head(s);
	for (i = 0; i < s->opt.num_sizes; i++)
		for (row = 0; row < s->rows; row++)
			s->ops->print_row(s, i, row);
}

static void print_json(const struct bench_series *s)
{
	json_t *results = json_array(), *root;
	unsigned i;

	for (i = 0; i < s->opt.num_sizes; i++)
		s->ops->add_json(s, i, results);
	root = json_pack("{s:i, s:f}", "rounds", (int)s->rounds, "seconds", s->opt.seconds);
	if (s->ops->no_roles)
		json_object_update_new(root, json_pack("{s:[i, i]}", "cores", s->cores.driver,
						       s->cores.device));
	else
		json_object_update_new(root, json_pack("{s:i, s:i}", "driver_core", s->cores.driver,
						       "device_core", s->cores.device));
	json_object_set_new(root, "results", results);
	json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

int bench_series_run(struct bench_series *s)
{
	sigset_t mask;
	int ret = 0;

	s->samples = calloc((size_t)s->opt.num_sizes * s->rows * s->opt.rounds,
			    s->values * sizeof(double));
	if (!s->samples)
		return tool_fail(COMMAND, "out of memory");
	mask = front_catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	s->cores = bench_choose_cores();
	bench_pin(s->cores.driver);
	if (s->ops->prepare)
		ret = s->ops->prepare(s);
	if (!ret && !front_ending)
		ret = run_rounds(s);
	if (s->rounds)
		(s->opt.json ? print_json : print_table)(s);
	else if (!ret)
		ret = tool_fail(COMMAND, "ended before the first round was through");
	free(s->samples);
	return ret;
}
