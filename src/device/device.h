/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the device half: the device, its queues and a thread's working memory. */
#ifndef VIO_DEVICE_DEVICE_H
#define VIO_DEVICE_DEVICE_H

#include <string.h>

#include <vioduct/device.h>

#include "base/barrier.h"
#include "base/bits.h"

#define VIO_TX_BURST 64
VIO_STATIC_ASSERT(VIO_TX_BURST <= 64, "what send() is promised to get at most");

/* Chains a thread holds while frames are on their way to a guest: a 65589-byte frame in buffers of
 * 64 bytes, or a whole ring of the largest size. */
#define VIO_RX_CHAINS 1024
/* Frames reserved at a time. */
#define VIO_RX_BURST 64
/* How many frames ahead of the one in hand the line of a buffer is asked for, so that it has come by
 * then; and so the chains that are popped for those that come after. */
#define VIO_RX_AHEAD 16u

/* Segments of one large frame that are in the hands of the back end at a time, and in all: a frame
 * cut into smaller pieces than the smallest TCP segment Linux makes is refused. */
#define VIO_SEG_BURST 32
#define VIO_SEG_MAX   2048

/* Pieces (struct vio_iov) that any legal chain of the largest queue fits into. */
#define VIO_POOL_CHAIN (1024 + VIO_MEM_MAX_REGIONS + 2)

/* One queue. Fields are set while nobody runs the pair, and read (and @stats written) by the one
 * who does. */
struct vio_device_queue {
	struct vio_devq *vq; /* NULL: not running */
	const struct vio_mem *mem;
	uint32_t num;
	bool enabled;
	bool told_broken;     /* the transport heard of it */
	bool dirty;	      /* pushed and not published */
	bool held;	      /* transmit: the back end was busy */
	bool starved;	      /* receive: the guest had too few buffers for a frame, namely: */
	uint32_t had;	      /* this many */
	uint32_t streamed;    /* transmit: buffers since the last lull */
	uint64_t quiet_since; /* transmit: the first turn without a buffer; 0: the last had some */
	uint32_t seg_done;    /* transmit: segments of the frame at the head already sent */
	uint32_t seg_id;      /* transmit: the identification of its fragments */
	void *storage;	      /* of vq */
	size_t storage_size;
	struct vio_queue_stats stats;
} vio_cacheline;

struct vio_device_pair {
	struct vio_device_queue rx, tx;
	struct vio_sink sink;
	struct vio_device *dev;
	uint16_t index;
	struct vio_device_scratch *scratch; /* set between begin and end */
} vio_cacheline;

struct vio_device {
	/* constant after creation */
	const struct vio_host *host;
	struct vio_backend *backend;
	struct vio_net_props props;
	enum vio_tx_mode tx_mode;
	struct vio_device_pair *pairs;
	const struct vio_device_transport_ops *transport;
	void *transport_ctx;

	/* changed by control while nobody runs; read by all */
	struct vio_features offered;
	struct vio_features accepted;
	uint64_t features; /* low word of accepted */
	uint32_t hdr_size; /* of the net header, from accepted */
	uint32_t soft;	   /* VIO_OFFLOAD_* that the back end lacks: done here */
	bool mergeable;
	bool tx_asks;	     /* a header of a frame to send may ask for something */
	unsigned pairs_used; /* that the back end was told of; 0: none yet */
	bool big_endian;     /* a legacy driver on a big-endian guest */

	/* control only, but for link */
	bool refused; /* the driver's last choice of features was impossible */
	uint8_t status;
	uint8_t generation;
	bool generation_read; /* since it last changed */
	bool link;	      /* read by pairs */
	struct vio_net_config config;
};

/* Chains that were popped together. */
struct vio_tx_burst {
	unsigned n;
	struct vio_chain chains[VIO_TX_BURST];
	struct vio_iov pool[VIO_POOL_CHAIN + VIO_TX_BURST * 20];
};

/* What a burst on its way to the back end needs, and the one behind it. */
struct vio_tx_scratch {
	struct vio_tx_burst bursts[2];
	struct vio_frame frames[VIO_TX_BURST]; /* frames[i] is of chain i of the first */
	uint8_t verdict[VIO_TX_BURST];	       /* enum tx_verdict */
	uint8_t why[VIO_TX_BURST];	       /* enum vio_drop when it is dropped */
	unsigned left;			       /* of the turn's budget */
	unsigned soft_used;		       /* entries of soft_iov taken */
	unsigned plain;			       /* frames at the front that ask for nothing */
	uint64_t plain_bytes;		       /* of these */
	struct vio_gso gso;
	struct vio_frame segs[VIO_SEG_BURST];
	struct vio_iov soft_iov[VIO_POOL_CHAIN + VIO_TX_BURST * 22];
	struct vio_iov seg_iov[VIO_POOL_CHAIN + VIO_SEG_BURST * 22];
	uint8_t headers[VIO_TX_BURST][VIO_HDR_SCRATCH];
	uint8_t seg_headers[VIO_SEG_BURST][VIO_HDR_SCRATCH];
};

/* A frame reserved for a guest. */
struct vio_rx_slot {
	uint8_t *header; /* where its net header goes, in one piece; NULL: see rx.split_header */
	uint16_t first;	 /* its chains: [first, first + count) */
	uint16_t count;
};

/* Receive chains that were popped and not pushed: [head, count) are free, in ring order. */
struct vio_rx_scratch {
	unsigned head, count;
	unsigned asked; /* chains before this: the lines of their first bytes are on the way */
	unsigned plain; /* of the frames given out, those at the front that take one chain each */
	unsigned reserved; /* frames given out and not committed */
	unsigned pool_used;
	struct vio_chain split_header; /* pieces of a header that is not in one piece */
	struct vio_iov split_iov[VIO_NET_HDR_SIZE_MAX];
	struct vio_rx_slot slots[VIO_RX_BURST];
	struct vio_chain chains[VIO_RX_CHAINS];
	struct vio_iov pool[VIO_POOL_CHAIN + VIO_RX_CHAINS * 2];
};

struct vio_device_scratch {
	const struct vio_host *host;
	struct vio_tx_scratch tx;
	struct vio_rx_scratch rx;
};

/* Makes @frame one of one piece, @iov, whose header says nothing; its length is the caller's to set. */
static vio_always_inline void vio_device_plain_frame(struct vio_frame *frame, struct vio_iov *iov)
{
	const size_t meta = offsetof(struct vio_frame, meta);

	frame->iov = iov;
	frame->iovcnt = 1;
	/* To the end of the structure, which is one store less. */
	memset((uint8_t *)frame + meta, 0, sizeof(*frame) - meta);
}

/* Adds to a counter that only its own thread writes and anybody reads. */
static inline void vio_count(uint64_t *counter, uint64_t n)
{
	vio_store(counter, *counter + n);
}

static inline struct vio_device_queue *vio_device_queue(const struct vio_device *dev,
							unsigned queue)
{
	struct vio_device_pair *pair;

	if (queue / 2 >= dev->props.queue_pairs)
		return NULL;
	pair = &dev->pairs[queue / 2];
	return queue & 1 ? &pair->tx : &pair->rx;
}

/* src/device/rx.c */
extern const struct vio_sink_ops vio_device_sink_ops;
void vio_device_rx_release(struct vio_device_pair *pair);

/* src/device/queue.c: tells the transport, once, that a queue broke. */
void vio_device_queue_failed(struct vio_device *dev, unsigned queue);

/* src/device/queue.c: a turn has taken @moved buffers from a transmit queue. */
void vio_device_tx_flow(const struct vio_device *dev, struct vio_device_queue *q, unsigned moved);

#endif
