/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device for tests of the driver: a transport whose other end is in the test itself. Its rings
 * are served by the real device side of src/ring, or poked at directly; every way to misbehave is a
 * field. Its host has a clock that runs ahead by itself, so that waits end at once, memory whose
 * device addresses are not its own, and counters of what is not given back.
 */
#ifndef TEST_FAKEDEV_H
#define TEST_FAKEDEV_H

#include <vioduct/driver.h>

#include "driver/transport.h"

#define FAKE_PAIRS  4
#define FAKE_QUEUES (2 * FAKE_PAIRS + 1)   /* the last is the control queue */
#define FAKE_DMA    UINT64_C(0x1000000000) /* what device addresses begin with */

struct fake_host {
	struct vio_host host;
	uint8_t *dma; /* memory that the device reaches */
	size_t dma_size, dma_used;
	unsigned dma_live, live; /* pieces not given back */
	long fail_after;	 /* this many allocations succeed, then all fail; -1: all succeed */
	uint64_t now;		 /* nanoseconds */
	uint64_t step;		 /* by which each look at the clock moves it */
	unsigned maps;		 /* mappings alive (host.map) */
	unsigned maps_made;
	int map_error;	/* what map() returns, when not 0 */
	char log[4096]; /* all lines so far */
};

struct fake_queue {
	struct fake_dev *dev;
	struct vio_driver_ring ring;
	bool enabled;
	bool was_reset;	   /* alone, and not set up since */
	uint32_t use_at;   /* packed: where fake_use() goes on; below num in the first lap */
	uint16_t position; /* that the last kick brought */
	unsigned kicks;
	unsigned early_kicks; /* before DRIVER_OK */
	struct vio_devq *vq;
	void *storage;
};

struct fake_dev {
	struct vio_driver_transport t;
	struct fake_host *host;
	struct vio_features offered, accepted;
	struct vio_net_config config; /* little-endian, as on the wire */
	uint8_t generation;
	uint8_t status;
	struct fake_queue queues[FAKE_QUEUES];
	struct vio_mem *mem;
	int queue_max; /* 0: 256 */
	uint32_t hash; /* in the headers of what is sent, with HASH_REPORT */
	uint16_t hash_report;

	/* misbehaviour */
	bool gone;     /* every access fails */
	bool all_ones; /* the status reads as 0xff */
	bool never_resets;
	bool no_features_ok;
	bool never_settles; /* the generation differs at each look */
	bool needs_reset;   /* once DRIVER_OK is set */
	int setup_error;    /* of queue_setup() */
	int reset_error;    /* of queue_reset() */
	int reconnect_error;
	bool no_ack; /* the control queue never answers */
	int ack;     /* what it answers, 0: OK */
	int events;  /* what events() reports next */

	/* what was seen */
	char order[512]; /* one letter for each step of bring-up */
	unsigned resets, releases, reconnects, queue_resets;
	bool config_written;
	uint8_t ctrl[4096]; /* last command with its data */
	size_t ctrl_len;
	unsigned ctrl_count;
	uint8_t ctrl_classes[64]; /* class << 4 | command, of all since reset */
	struct fake_command {
		size_t len; /* 0: it was not given since reset */
		uint8_t data[254];
	} ctrl_kinds[8][4]; /* the last of each class and command, and the beginning of its data */
};

void fake_host_init(struct fake_host *h);
/* Checks that everything was given back. */
void fake_host_done(struct fake_host *h);
/* From now on buffers have to be mapped. */
void fake_host_use_map(struct fake_host *h);

/* A modern device with merging, event index and status, an MTU of 1500, one pair unless MQ. */
void fake_dev_init(struct fake_dev *dev, struct fake_host *h);
void fake_dev_done(struct fake_dev *dev);
void fake_offer(struct fake_dev *dev, unsigned feature);
/* From now on what a control queue would do is done elsewhere. */
void fake_keep_ctrl(struct fake_dev *dev);
void fake_withdraw(struct fake_dev *dev, unsigned feature);

void *fake_ptr(const struct fake_dev *dev, uint64_t dma);

/* The device sends @len bytes behind a header of @meta; the frame may take several buffers when
 * merging was negotiated. Returns the buffers it took, 0 when there were too few. */
unsigned fake_send(struct fake_dev *dev, unsigned queue, const void *frame, size_t len,
		   const struct vio_net_meta *meta);
/* As fake_send() without making it visible. */
unsigned fake_send_quiet(struct fake_dev *dev, unsigned queue, const void *frame, size_t len,
			 const struct vio_net_meta *meta);
/* The device receives: fills @frame with header and frame; returns its length, -1: none. @pieces
 * (may be NULL) gets the descriptors it came in. */
long fake_take(struct fake_dev *dev, unsigned queue, void *frame, size_t room, unsigned *pieces);
/* How many buffers the driver has made available. */
unsigned fake_available(struct fake_dev *dev, unsigned queue);
/* Whether the driver wants an interrupt for what was used since the last time. */
bool fake_wants_interrupt(struct fake_dev *dev, unsigned queue);

/* Of the buffers that the driver posted first in queue @queue, each in one descriptor: the id of
 * number @i, and its memory. Before the device has used any. */
uint16_t fake_id(const struct fake_dev *dev, unsigned queue, unsigned i);
void *fake_buffer(const struct fake_dev *dev, unsigned queue, unsigned i);
/* The memory of the buffer that the device would take next. */
void *fake_next_buffer(struct fake_dev *dev, unsigned queue);
/* Writes by hand, in any format, that the buffer of one descriptor @id is used. */
void fake_use(struct fake_dev *dev, unsigned queue, uint32_t id, uint32_t len);
bool fake_packed(const struct fake_dev *dev);
struct vio_pvirtq_desc *fake_pdesc(const struct fake_dev *dev, unsigned queue);

/* Shared memory of a split ring as the device may write it. */
struct vio_virtq_used *fake_used(const struct fake_dev *dev, unsigned queue);
struct vio_virtq_avail *fake_avail(const struct fake_dev *dev, unsigned queue);
struct vio_virtq_desc *fake_desc(const struct fake_dev *dev, unsigned queue);

#endif
