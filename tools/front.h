/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver-side subcommands share: where a device is, the way to it, and how to end. */
#ifndef FRONT_H
#define FRONT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <vioduct/driver_linux.h>

struct front_address {
	char path[256];
	bool server;
};

/* "vhost-user:PATH[,server]". 0, or TOOL_USAGE with a message that begins with @option. */
int front_address(const char *command, const char *option, const char *text,
		  struct front_address *address);

/* "1.5": a number of seconds from @min to @max. 0, or TOOL_USAGE with a message. */
int front_seconds(const char *command, const char *option, const char *text, double min, double max,
		  double *value);

/* The way to a device, as far as it is open. */
struct front {
	struct vio_dma_arena *arena;
	struct vio_driver_transport *transport; /* NULL once the driver owns it */
	struct vio_driver *drv;
	struct vio_pool *pool;
	struct vio_pool *tx_pool; /* for frames to send; may be the same */
	uint64_t spare;		  /* bytes of the arena for larger buffers than were asked for */
};

struct front_conf {
	struct front_address at;
	uint64_t memory;     /* bytes for rings and frames */
	uint32_t mtu;	     /* unless the device says it; 0: none */
	uint32_t timeout_ms; /* to wait for the device */
	/* features to accept beside the usual ones, or not */
	struct vio_features add, remove;
	const struct vio_driver_events *events;
	void *events_ctx;
};

/* Memory and transport; then the driver: features are negotiated. 0, or an exit status with a
 * message; what was opened is closed by front_close() in any case. */
int front_connect(const char *command, const struct front_conf *conf, struct front *front);
int front_probe(const char *command, const struct front_conf *conf, struct front *front);
void front_close(struct front *front);

/* Bytes to plan with for each buffer of an ordinary size, and what to add for it. */
#define FRONT_BUFFER	   2048u
#define FRONT_BUFFER_EXTRA 256u

/* Queues to start the driver with, all alike; callbacks get @ctx. */
struct front_queues {
	unsigned pairs;
	uint32_t size;	     /* descriptors of each ring, or what the device has if that is less */
	uint32_t buffers;    /* of the pool that is made for all of them, */
	uint32_t room;	     /* bytes of frame in each, at least 1536; larger ones, and fewer, for
			   * large frames that are not merged */
	uint32_t tx_buffers; /* of a pool for frames to send; 0: those get some of the above */
	struct vio_rxq_conf rx;
	struct vio_txq_conf tx;
	void *ctx;
};

/* Makes the pools, sets the queues up, starts. 0 or TOOL_FAILED with a message. */
int front_start(const char *command, const struct front_queues *queues, struct front *front);

/* From here on SIGINT and SIGTERM no longer end the process but set front_ending. They stay blocked
 * but in waits that are given the mask returned. */
sigset_t front_catch_signals(void);
extern volatile sig_atomic_t front_ending;

/* Monotonic nanoseconds. */
uint64_t front_now(void);

#endif
