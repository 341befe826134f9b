/* SPDX-License-Identifier: BSD-2-Clause */
/* One run of `vioduct bench`: our driver moves frames through whatever device is there; and what
 * the subjects of the subcommand share. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "front.h"

enum bench_mode {
	BENCH_TXONLY,  /* sends */
	BENCH_RXONLY,  /* receives */
	BENCH_ECHO,    /* sends, and expects all back */
	BENCH_MACSWAP, /* likewise, with the addresses swapped */
};

struct bench_conf {
	struct front_address via;
	enum bench_mode mode;
	uint64_t frames; /* to move, all pairs together; 0: as many as go in: */
	double seconds;
	double patience; /* seconds in which something has to move, or the run ends */
	uint32_t size;	 /* bytes of each frame; 0: random */
	unsigned pairs;
	struct vio_features add, remove; /* of what the driver accepts */
	bool verify;			 /* every byte of what comes is checked */
	bool reconnect;			 /* a device that goes away is waited for */
	bool progress;			 /* a line on standard error that changes */
};

struct bench_result {
	uint64_t tx_packets, tx_bytes; /* that the device has taken */
	uint64_t rx_packets, rx_bytes;
	uint64_t verified; /* received frames of which every byte was checked */
	uint64_t lost, corrupt, duplicate, reordered;
	uint64_t recoveries;
	double seconds; /* from the first frame to the last */
	bool ended;	/* by a signal */
};

/*
 * Runs. Returns TOOL_OK; or TOOL_FAILED or TOOL_USAGE with a message: no way to the device, or the
 * device went away, or it broke a queue, or nothing moved for too long. The result holds what was
 * counted so far. What was lost or corrupt is the caller's to judge.
 */
int bench_run(const struct bench_conf *conf, struct bench_result *result);

/* Millions of frames and thousands of millions of bits of frame a second, of what the mode is
 * about: frames received, or sent when none come. */
double bench_mpps(const struct bench_conf *conf, const struct bench_result *result);
double bench_gbps(const struct bench_conf *conf, const struct bench_result *result);

const char *bench_mode_name(enum bench_mode mode);

/* `vioduct bench driver`, `vioduct bench` of our own two halves, `vioduct bench limit` and
 * `vioduct bench latency`. Exit statuses. */
int bench_driver(int argc, char **argv);
int bench_both(int argc, char **argv);
int bench_limit(int argc, char **argv);
int bench_latency(int argc, char **argv);

/* "64", or "random" where @allow_random: 0 then. 0, or TOOL_USAGE with a message. */
int bench_parse_size(const char *text, bool allow_random, uint32_t *size);

/* What is measured in rounds: the options of all but `vioduct bench driver`. */
#define BENCH_MAX_SIZES 16

struct bench_rounds {
	uint32_t sizes[BENCH_MAX_SIZES];
	unsigned num_sizes, rounds;
	double seconds; /* of each run */
	bool json;
	bool no_limit; /* `vioduct bench`: leaves the two-core limit out */
	bool packed;   /* `vioduct bench limit`: with frames side by side alone, */
	bool buffers;  /* or with buffers that have room for any frame alone */
};

/* Reads the command line over the defaults in *@opt. 0, or TOOL_USAGE with a message. --help is
 * answered, and ends the process. */
int bench_parse_rounds(int argc, char **argv, struct bench_rounds *opt);

#endif
