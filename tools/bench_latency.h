/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a frame takes there and back. */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include "bench.h"
#include "bench_pair.h"
#include "bench_stat.h"

struct bench_latency {
	struct bench_hist rtt; /* nanoseconds */
	uint64_t lost;	       /* frames that did not come back within a second */
	uint64_t corrupt;      /* that came back changed, other than by swapped addresses */
	double seconds;
	bool ended; /* by a signal */
};

/*
 * Sends one frame at a time to a device that sends it back, and waits for it: polling, or, with
 * @interrupts, asleep on the receive queue's descriptor. Frames that only warm up are not counted.
 * Of @conf: via, frames or seconds, patience, size (not random), add, remove. Returns as bench_run().
 */
int bench_latency_run(const struct bench_conf *conf, bool interrupts, struct bench_latency *result);

/* The bare wake-up: two processes on @cores pass a token through two eventfds, each asleep in
 * read(). 0, or TOOL_FAILED with a message. */
int bench_latency_bare(const struct bench_cores *cores, double seconds,
		       struct bench_latency *result);

/* What `vioduct bench driver --mode latency` prints. */
void bench_latency_print(const struct bench_latency *result, bool interrupts, bool json);

#endif
