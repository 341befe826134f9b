/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our driver half, whole, on a vhost-user device: an arena, queues, buffers, and for each pair a
 * stream of frames that are sent and expected back in order.
 *
 * Everything that must not happen ends the test from where it is seen, with a report of where both
 * sides stand. Nothing waits for longer than PAIR_LIMIT_MS: a frame or a wake-up that got lost is
 * such a failure.
 */
#ifndef TEST_PAIR_DRIVER_H
#define TEST_PAIR_DRIVER_H

#include <vioduct/driver_linux.h>

#include "pair_device.h"
#include "pair_frames.h"

#define PAIR_LIMIT_MS	30000
#define PAIR_RING	256u
#define PAIR_BURST	32u
#define PAIR_RECOVERIES 16u

struct pair_driver_conf {
	const char *path;
	bool server;	/* listen on it instead of connecting */
	unsigned pairs; /* 0: 1 */
	bool indirect, event_idx, mergeable, packed, in_order;
	struct vio_features
		want;	   /* what the driver is to want, in place of all that; empty: not so */
	bool queue_reset;  /* of single queues */
	bool offloads;	   /* checksums and segmentation, both ways: large frames */
	uint32_t mtu;	   /* 0: none negotiated */
	uint32_t rx_room;  /* of each receive buffer; 0: PAIR_SMALL_ROOM */
	uint32_t rx_count; /* receive buffers; 0: plenty */
	bool interrupts;   /* sleep on descriptors instead of polling */
	bool short_frames; /* none above 128 bytes, all in one piece */
	bool large_frames; /* many of them */
	uint64_t key;	   /* of the streams */
	const struct pair_device *device; /* for reports; NULL: in another process */
};

struct pair_driver;

/* A pair, as its thread has it. */
struct pair_queue {
	struct pair_driver *d;
	unsigned id;
	struct pair_stream stream;
	struct vio_pool *rx_pool;
	uint32_t rx_count;
	struct pair_buffers tx;
	uint8_t work[PAIR_FRAME_MAX + 8];

	struct vio_buf *pending[PAIR_BURST]; /* built, not taken by the driver */
	unsigned npending;
	uint64_t sent;	   /* taken by the driver */
	uint64_t freed;	   /* given back by it */
	uint64_t unsent;   /* of these, without having been sent */
	uint64_t next;	   /* frame that has to come next */
	uint64_t received; /* frames that came, repeated ones not counted */
	uint64_t repeated;
	/* Each recovery may lead back once, to the first frame that was not known to be sent, and in
	 * their order; what came before two of them may not even be taken. */
	uint64_t repeat_from[PAIR_RECOVERIES];
	unsigned recoveries, repeats; /* made; led back, or will not any more */
	void (*take)(struct pair_queue *q, struct vio_buf *frame); /* NULL: checks and frees */

	/* sleeping */
	bool rx_event, tx_event;
	bool tx_blocked; /* waiting for tx_event */
	uint64_t sleeps, idle_since, idle_turns;
};

struct pair_driver {
	struct pair_driver_conf conf;
	struct vio_dma_arena *arena;
	struct vio_driver *drv;
	struct pair_queue *queues[PAIR_MAX_PAIRS];
	unsigned pairs;
};

/* Up to the start. */
void pair_driver_open(struct pair_driver *d, const struct pair_driver_conf *conf);
/* Stops and releases; every buffer must be back. */
void pair_driver_close(struct pair_driver *d);
/* Waits for the device, and brings everything up again; PAIR_RECOVERIES times at most. */
void pair_driver_recover(struct pair_driver *d);

/* Ends the test, saying where @q stands. */
_Noreturn void pair_queue_die(const struct pair_queue *q, const char *what);

/* Sends up to @n more frames, as many as are taken; returns how many, or -errno. */
int pair_queue_send(struct pair_queue *q, unsigned n);
/* Receives up to @n frames; returns how many, or -errno. */
int pair_queue_receive(struct pair_queue *q, unsigned n);
/* The owner of a received frame checks it, and is through with it. */
void pair_queue_take(struct pair_queue *q, struct vio_buf *frame);
/* A polling loop found nothing to do; ends the test when that goes on for too long. */
void pair_queue_idle(struct pair_queue *q);
/* And when it found something. */
void pair_queue_busy(struct pair_queue *q);
/* Sleeps until an interrupt of the pair, or until the device is gone when @watch. False: gone. */
bool pair_queue_sleep(struct pair_queue *q, bool watch);
/* Frees what was sent, until all of it is. */
void pair_queue_finish(struct pair_queue *q);

/* Sends and receives frames until @target have come back: by polling or by sleeping. Stops when the
 * device is gone and returns false; only with @watch that is looked for. */
bool pair_queue_run(struct pair_queue *q, uint64_t target, bool watch);

/* The counters of both sides must agree that @q has moved just what it has, and lost nothing. */
void pair_queue_balance(struct pair_queue *q, const struct pair_device_counts *counts);

/* One turn of a loop that polls: sends up to @n frames, receives, and tells whether that was much. */
void pair_queue_turn(struct pair_queue *q, unsigned n);

/* A device in this process, its driver, and the socket between them. */
struct pair_world {
	char dir[64], path[80];
	struct pair_device device;
	struct pair_driver d;
};

/* Both up to the start. Where they meet, @device and @driver need not say. */
void pair_world_open(struct pair_world *w, struct pair_device_conf device,
		     struct pair_driver_conf driver);
/* The driver's end, and that of the socket; the device is stopped when the test wants that. */
void pair_world_close(struct pair_world *w);

/* A directory for sockets, removed with what is left in it. */
void pair_dir_make(char path[64]);
void pair_dir_remove(const char *path);

/* Frames that a test program sends in all: VIO_TEST_FRAMES, else @normal, or less with a
 * sanitizer. */
uint64_t pair_total_frames(uint64_t normal);

#endif
