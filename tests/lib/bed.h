/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device on a fake back end with a guest in front of it, all in this process: what most tests of
 * the device half begin with. The test plays the driver, and decides when the device gets its turn.
 */
#ifndef TESTLIB_BED_H
#define TESTLIB_BED_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/device.h>

#include "fake_backend.h"
#include "guest.h"

#define BED_PAIRS      4
#define BED_MAX_PIECES 1100

/* What a back end that does everything takes over. */
#define BED_ALL_TX                                                                  \
	(VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 | VIO_OFFLOAD_ECN | \
	 VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6)

struct bed_conf {
	uint64_t features;     /* what the driver accepts (if offered) */
	bool packed, in_order; /* ring formats, beside that */
	uint64_t more;	      /* features that the device is made to have: for longer net headers */
	uint32_t tx_offloads; /* of the back end */
	uint32_t rx_offloads;
	uint32_t num;	      /* ring size; 0: 256 */
	unsigned pairs;	      /* 0: 1 */
	const char *tx;	      /* transmit mode */
	uint64_t region_size; /* of guest memory; 0: 4 MiB */
	bool no_start;	      /* queues are left stopped */
};

/* A buffer of the guest on its way through a queue. */
struct bed_buf {
	unsigned id;  /* counted from 0 for each queue */
	uint32_t len; /* bytes in all */
	uint16_t num;
	struct vio_seg *segs;
	struct bed_buf *all;
};

struct bed {
	struct guest g;
	struct fake_backend *fb;
	struct vio_device *dev;
	struct vio_device_scratch *scratch;
	struct guest_queue q[BED_PAIRS * 2];
	unsigned added[BED_PAIRS * 2];
	uint32_t num;
	unsigned pairs;
	uint64_t features;
	uint32_t hdr_size;
	struct bed_buf *bufs;
	/* what the transport was asked for */
	unsigned calls[BED_PAIRS * 2];
	unsigned broken[BED_PAIRS * 2];
	enum vio_vq_error why[BED_PAIRS * 2];
	unsigned config_changes;
};

void bed_open(struct bed *r, const struct bed_conf *conf);
/* With the ring format that the test is run for (ring_run_tests()), in place of what @conf says. */
void bed_open_format(struct bed *r, void **state, struct bed_conf conf);
void bed_close(struct bed *r);

/* Starts all queues, each enabled, on new rings; stops them. */
void bed_start(struct bed *r);
void bed_stop(struct bed *r);

/* One turn of a pair: transmit up to @budget, then receive. What vio_device_tx() returned. */
int bed_turn_budget(struct bed *r, unsigned pair, unsigned budget);
int bed_turn(struct bed *r, unsigned pair);

/*
 * The guest sends @len bytes behind a net header of @meta, in pieces of the sizes @pieces; what is
 * left goes into one more. False when the ring is full.
 */
bool bed_send_pieces(struct bed *r, unsigned pair, const struct vio_net_meta *meta,
		     const void *bytes, uint32_t len, const uint32_t *pieces, unsigned n);
bool bed_send(struct bed *r, unsigned pair, const struct vio_net_meta *meta, const void *bytes,
	      uint32_t len);
/* The guest posts a receive buffer in pieces of these sizes. */
bool bed_post_pieces(struct bed *r, unsigned pair, const uint32_t *pieces, unsigned n);
/* @n buffers of one piece. */
void bed_post(struct bed *r, unsigned pair, uint32_t size, unsigned n);

/* A used buffer, or NULL; its length, as the device told it, in *@len. */
struct bed_buf *bed_reap(struct bed *r, unsigned queue, uint32_t *len);
/* How many transmit buffers came back, all of which must say length 0 and come in order. */
unsigned bed_reap_tx(struct bed *r, unsigned pair);

/* A frame that the guest received. */
struct bed_frame {
	struct vio_net_meta meta;
	uint8_t header[VIO_NET_HDR_SIZE_MAX];
	unsigned buffers;
	uint32_t used_len[BED_MAX_PIECES]; /* of each buffer, */
	uint32_t buf_len[BED_MAX_PIECES];  /* which had room for this much */
	uint32_t len;
	uint8_t bytes[70000];
};

/* Puts the next received frame together from its buffers. False when there is none. */
bool bed_recv(struct bed *r, unsigned pair, struct bed_frame *f);

/* Counters of a queue. */
struct vio_queue_stats bed_stats(const struct bed *r, unsigned queue);

/* @len bytes that tell frame @n from others. */
void bed_pattern(uint8_t *bytes, uint32_t len, unsigned n);

#endif
