/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end for tests: remembers what it was sent, is busy or fails when told to, and gives frames
 * to the guest. Its descriptors behave like a tap's: readable as long as there are frames for the
 * guest, and when frames are taken again after it was busy. Functions here may be called from any
 * thread while workers serve it.
 */
#ifndef TESTLIB_FAKE_BACKEND_H
#define TESTLIB_FAKE_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <vioduct/backend.h>

#define FAKE_PAIRS 8

struct fake_frame {
	struct fake_frame *next;
	struct vio_net_meta meta;
	uint32_t len;
	unsigned pair;
	uint8_t bytes[];
};

struct fake_list {
	struct fake_frame *first, **end;
	unsigned count;
};

struct fake_backend {
	struct vio_backend be;
	pthread_mutex_t lock;
	struct fake_list sent;		   /* in the order of send() */
	struct fake_list give[FAKE_PAIRS]; /* for the guest */
	struct vio_sink *sinks[FAKE_PAIRS];
	int fds[FAKE_PAIRS];
	bool busy[FAKE_PAIRS];
	long take;	   /* frames that it takes before it is busy; -1: any number */
	unsigned at_once;  /* at most so many a call; 0: all */
	int fail;	   /* what send() returns once for its next frame, if negative */
	bool gone;	   /* the far side: nothing comes any more */
	bool only_count;   /* don't keep what was sent */
	bool loop;	   /* what is sent comes back */
	unsigned burst;	   /* frames reserved at a time when giving */
	uint64_t counted;  /* sent */
	uint64_t received; /* given to the guest */
	uint64_t too_big;  /* would never have fitted */
	uint64_t serves;   /* calls of send() and receive() */
	uint32_t rx_offloads;
	bool told_rx_offloads;
	/* Called once, when nothing could be moved: the last moment before a worker may sleep. */
	void (*before_sleep)(void *ctx);
	void *ctx;
	unsigned starts, stops, flushes, closes, discards;
};

/* @tx_offloads, @rx_offloads: VIO_OFFLOAD_*. */
struct fake_backend *fake_backend_create(uint32_t tx_offloads, uint32_t rx_offloads);
void fake_backend_destroy(struct fake_backend *fb);

/* Takes @n frames from now on (-1: any number), and wakes whoever waits for that. */
void fake_backend_take(struct fake_backend *fb, long n);
/* From now on what is sent comes back, and nothing is taken without room for it. */
void fake_backend_loop(struct fake_backend *fb);
/* Has @fn(@ctx) called once on the worker, when send() or receive() has moved nothing. */
void fake_backend_before_sleep(struct fake_backend *fb, void (*fn)(void *ctx), void *ctx);
/* A frame for the guest on @pair. */
void fake_backend_give(struct fake_backend *fb, unsigned pair, const void *bytes, uint32_t len,
		       const struct vio_net_meta *meta);
/* The far side is gone for good; whoever waits for frames learns it. */
void fake_backend_go(struct fake_backend *fb);
/* The frames sent so far; the oldest of them taken out, to be freed, or NULL. */
unsigned fake_backend_sent(struct fake_backend *fb);
struct fake_frame *fake_backend_next(struct fake_backend *fb);
uint64_t fake_backend_serves(struct fake_backend *fb);
/* Frames that are still to be given. */
unsigned fake_backend_left(struct fake_backend *fb, unsigned pair);

#endif
