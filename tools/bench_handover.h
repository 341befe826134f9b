/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames handed from one thread to another through flags: what two cores can do at most. */
#ifndef BENCH_HANDOVER_H
#define BENCH_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "bench_pair.h"

#define BENCH_HANDOVER_DEPTH_MAX 4096u
#define BENCH_HANDOVER_BURST_MIN 16u
#define BENCH_HANDOVER_BURST_MAX 128u

/* A way of handing over. */
struct bench_way {
	uint32_t size;	 /* bytes of a frame */
	uint32_t depth;	 /* buffers; a multiple of burst, twice that at least */
	uint32_t stride; /* bytes from one buffer to the next, a multiple of 64, at least size */
	uint32_t burst;	 /* frames that are handed over at once */
	uint32_t ahead;	 /* cache lines asked for before they are written; 0: none */
	uint32_t vec;	 /* bytes written and read at once */
	bool lifo;	 /* the buffer that came back last is used first */
};

/* The widths of vectors that this processor has, widest first. Returns how many. */
#define BENCH_HANDOVER_VECS 3
unsigned bench_handover_vecs(uint32_t vecs[BENCH_HANDOVER_VECS]);

struct bench_handover; /* its memory */

/* For ways whose depth times stride is no more than @bytes. 0, or TOOL_FAILED with a message. */
int bench_handover_create(uint64_t bytes, const struct bench_cores *cores,
			  struct bench_handover **handover);
void bench_handover_destroy(struct bench_handover *handover);

/* Starts the thread that takes, on the device's core, where it polls until the end; this thread gives,
 * from wherever it is. 0, or TOOL_FAILED with a message. */
int bench_handover_begin(struct bench_handover *handover);
void bench_handover_end(struct bench_handover *handover);

/* Between the two: runs for so long and returns millions of frames a second. Ends early when
 * front_ending. */
double bench_handover_run(struct bench_handover *handover, const struct bench_way *way,
			  double seconds);

/* All three; those who ask (bench_asked.h) are told how many frames were handed over so. 0, or
 * TOOL_FAILED with a message. */
int bench_handover_once(struct bench_handover *handover, const struct bench_way *way,
			double seconds, double *mpps);

#endif
