/* SPDX-License-Identifier: BSD-2-Clause */
/* Two cores, and a device in a process of its own: what the measurements of `vioduct bench` that
 * need no foreign program stand on. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <stdint.h>
#include <sys/types.h>

/* The first two cores that we may run on; -1 and -1 when there are no two: wherever. */
struct bench_cores {
	int driver, device;
};

struct bench_cores bench_choose_cores(void);

/* Binds this thread to @core; -1: leaves it. */
void bench_pin(int core);

/* A folder of our own, and the path of a socket in it. */
struct bench_folder {
	char path[64], socket[80];
};

/* 0, or TOOL_FAILED with a message. */
int bench_folder_make(struct bench_folder *folder);
void bench_folder_remove(const struct bench_folder *folder);

struct bench_device_conf {
	const char *socket, *backend;
	uint32_t size;	       /* bytes of the frames: the MTU has room for them */
	unsigned busy_poll_us; /* 0: sleeps in epoll whenever there is nothing to do */
	int core;
};

/* A child process: it ends when our end of a socket pair is closed, whatever becomes of us. */
struct bench_child {
	pid_t pid;
	int life;
};

/* Runs @body(@ctx, its end of the pair) in a child and exits with what it returns. 0, or
 * TOOL_FAILED with a message. */
int bench_child_start(int (*body)(const void *ctx, int life), const void *ctx,
		      struct bench_child *child);
/* Ends it and waits. 0, or TOOL_FAILED with a message when it did not end well. */
int bench_child_end(struct bench_child *child);

/* Body of a child that serves a device; @ctx: struct bench_device_conf. */
int bench_be_device(const void *ctx, int life);

#endif
