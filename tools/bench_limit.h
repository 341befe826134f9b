/* SPDX-License-Identifier: BSD-2-Clause */
/* The two-core limit: the fastest way of a bare hand-over. */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include "bench.h"
#include "bench_handover.h"

/* What the buffers are like. */
enum bench_limit_kind {
	BENCH_LIMIT_BUFFERS, /* each has room for any ordinary frame, as those of a ring have */
	BENCH_LIMIT_PACKED,  /* each has room for a frame of that size only: a limit that no ring
				can have, whose receiver doesn't know what will come */
	BENCH_LIMIT_NR
};

const char *bench_limit_name(enum bench_limit_kind kind);

/* What bench_handover_create() needs for frames of up to @size bytes. */
uint64_t bench_limit_bytes(uint32_t size);

/* An odd number of cache lines, in bytes, from one buffer to the next: for @wider from 0 to
 * BENCH_LIMIT_STRIDES - 1 more and more. */
#define BENCH_LIMIT_STRIDES 2
uint32_t bench_limit_stride(enum bench_limit_kind kind, uint32_t size, unsigned wider);

/* Looks for the fastest way for frames of @size bytes, for five seconds or so. 0, or TOOL_FAILED with
 * a message. */
int bench_limit_search(struct bench_handover *handover, enum bench_limit_kind kind, uint32_t size,
		       struct bench_way *way);

/* Memory for all of @opt's sizes, and the fastest way of each in all kinds from @first to before
 * @end. As the above; *@handover is the caller's to destroy in any case. */
int bench_limit_open(const struct bench_rounds *opt, const struct bench_cores *cores,
		     unsigned first, unsigned end, struct bench_handover **handover,
		     struct bench_way ways[BENCH_MAX_SIZES][BENCH_LIMIT_NR]);

/* "stride 2112, depth 1024, burst 32, FIFO, prefetch 32 lines, vectors of 64" */
#define BENCH_WAY_TEXT 128
void bench_way_format(const struct bench_way *way, char text[BENCH_WAY_TEXT]);

#endif
