/* SPDX-License-Identifier: BSD-2-Clause */
/* The threads that serve pairs. The theory is at the head of worker.c. */
#ifndef VIO_PORT_WORKER_H
#define VIO_PORT_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/device.h>

#include "base/bits.h"
#include "port/port.h"

struct vio_worker;
struct vio_pair_run;

/* What can wake a pair. */
enum vio_wake {
	VIO_WAKE_RX_KICK,
	VIO_WAKE_TX_KICK,
	VIO_WAKE_BACKEND,
	VIO_WAKE_TX_TIMER,
	VIO_WAKE_NR
};

struct vio_wake_source {
	struct vio_pair_run *pair; /* NULL: the worker's own bell */
	int fd;			   /* -1: none */
	uint32_t events;	   /* what epoll watches it for now */
};

/* A pair as its worker sees it. All but @look and @drained belongs to the worker's thread, so two
 * pairs have no cache line in common. */
struct vio_pair_run {
	struct vio_worker *worker; /* constant */
	struct vio_device *dev;	   /* constant */
	struct vio_backend *be;	   /* constant */
	unsigned index;		   /* constant */
	bool active;		   /* on the worker's list of pairs to serve */
	bool tx_due;		   /* transmit is to be drained (always, in bh mode) */
	bool tx_waiting;	   /* timer mode: a kick came, the timer runs */
	unsigned one_way;	   /* frames of the last turn, if the guest only sent */
	struct vio_pair_run *next; /* active list */
	struct vio_pair_run *all;  /* every pair of this worker */
	bool lost;		   /* the back end's far side is gone, and @lost_fd was told */
	int lost_fd;		   /* constant; an eventfd of the control thread's */
	bool look;		   /* set by anybody, with a ring of the bell */
	bool drained;		   /* the control thread's: seen empty when its port was to stop */
	struct vio_wake_source wake[VIO_WAKE_NR];
} vio_cacheline;

/* The worker that pair @index of the @port_number-th port belongs to. */
struct vio_worker *vio_workers_pick(struct vio_workers *workers, unsigned port_number,
				    unsigned index, bool one_thread);
/* A number for the next port. */
unsigned vio_workers_next_port(struct vio_workers *workers);

/* Runs @fn(@arg) on the worker's thread between two turns, and waits for it. */
void vio_worker_call(struct vio_worker *worker, void (*fn)(void *arg), void *arg);

/* The same for something that changes @pair, on its worker. What the guest has sent by now goes out
 * first, as far as the back end takes it: a queue that is stopped or disabled loses nothing. */
void vio_worker_change(struct vio_pair_run *pair, void (*fn)(void *arg), void *arg);

/* On the worker's thread: takes a pair in, or lets it go. */
void vio_worker_attach(struct vio_pair_run *pair);
void vio_worker_detach(struct vio_pair_run *pair);
/* On the worker's thread: watches @fd (-1: nothing) as this source of the pair. */
void vio_worker_watch(struct vio_pair_run *pair, enum vio_wake which, int fd, uint32_t events);

/* From any thread: have a look at the pair soon. */
void vio_worker_look(struct vio_pair_run *pair);

/* src/port/pair.c: one turn for a pair; true when something moved. */
bool vio_pair_serve(struct vio_pair_run *pair, struct vio_device_scratch *scratch);
/* Sends what the guest has given, up to a bound. True when there was any: a pair that was armed is not
 * any more then. */
bool vio_pair_finish(struct vio_pair_run *pair, struct vio_device_scratch *scratch);
/* Prepares a pair for sleep; true when there is work right now, and it must not sleep. */
bool vio_pair_arm(struct vio_pair_run *pair);
/* Notifications off: it is about to be served. */
void vio_pair_disarm(struct vio_pair_run *pair);
/* Something woke it. True when it is to be served. */
bool vio_pair_woken(struct vio_pair_run *pair, enum vio_wake which);

#endif
