/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the driver half: the device, its queues, and what the files of this folder share. */
#ifndef VIO_DRIVER_DRIVER_H
#define VIO_DRIVER_DRIVER_H

#include <errno.h>
#include <string.h>

#include <vioduct/driver.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/wide.h"
#include "driver/transport.h"

#define VIO_DRIVER_BURST 64u /* buffers that go through a ring function at a time */
/* Buffers of an ordinary size that the largest frame takes. */
#define VIO_LARGEST_BUFS (VIO_FRAME_MAX_LEN / 2048 + 2)
#define VIO_REFILL_BURST 32u /* free descriptors at which a receive queue is refilled */
/* How far ahead of those whose lines are asked for a receiver asks for the buffers themselves, which
 * say where these lines are. */
#define VIO_RX_BUFS_AHEAD   12u
#define VIO_RETRY_MIN_NS    UINT64_C(1000000)	/* after a refill without memory: first, */
#define VIO_RETRY_MAX_NS    UINT64_C(100000000) /* and last, doubling between */
#define VIO_TX_INDIRECT_MAX 20 /* pieces of a frame to send that go into an indirect table */
#define VIO_RX_INDIRECT_MAX VIO_DRIVER_BURST /* buffers posted as one that do */
#define VIO_CTRL_QUEUE_SIZE 64u
#define VIO_MAC_TABLE_MAX   64
#define VIO_RSS_TABLE_MAX   1024 /* the longest table that fits a command (ctrl.c) */
#define VIO_DEFAULT_TIMEOUT 1000 /* ms */
#define VIO_VLAN_TAG_LEN    4u	 /* bytes that may come on top of the MTU */

/* A frame that arrives in several buffers, as far as it has come. */
struct vio_rx_merge {
	struct vio_buf *head, *tail;
	uint32_t want; /* buffers that are missing; 0: no frame is being joined */
	uint32_t len;  /* frame bytes so far */
	bool bad;      /* to be dropped when complete, for this reason: */
	enum vio_drop why;
};

/* Receive: used buffers that were taken from the ring and are not frames yet. */
struct vio_rx_ahead {
	uint32_t which, first, n; /* they are done[which][first] and on */
	uint32_t asked;		  /* how many of these have had their lines asked for */
	struct vio_drvq_done done[2][VIO_DRIVER_BURST + VIO_RX_BUFS_AHEAD] vio_cacheline;
};

/* One queue. @halt is written by control functions and by the queue's own, everything else below
 * the first group by the queue's own only. */
struct vio_driver_queue {
	/* 0 while frames may move; else the error that every queue function returns. */
	int halt;

	/* set by start, constant while started */
	bool mergeable; /* rx */
	bool hdr_says;	/* rx: what is in a header may mean something */
	uint32_t num;
	uint32_t hdr_size;
	uint32_t frame_max; /* tx: bytes of a frame without GSO */
	uint32_t post_min;  /* rx: bytes to post for one frame, header included */
	bool chain_is_one;  /* rx: buffers posted as one take one descriptor */
	uint64_t features;
	struct vio_drvq *vq;
	void (*notify)(void *handle);
	void (*notify_data)(void *handle, uint16_t position); /* with NOTIFICATION_DATA */
	void *notify_handle;
	const struct vio_host *map_host; /* when buffers have to be mapped, else NULL */

	/* set by set-up */
	struct vio_driver *drv;
	uint16_t index; /* virtio's number */
	union {
		struct vio_rxq_conf rx;
		struct vio_txq_conf tx;
	} conf;
	struct vio_buf **kept; /* num frames: rx: received before recover; tx: to be sent again */
	uint32_t kept_first, kept_count;
	uint32_t max; /* descriptors that the device allows */
	bool packed;  /* the format that memory was allocated for */
	void *ring, *storage, *indirect;
	size_t ring_size, storage_size, indirect_size;
	uint64_t ring_dma, indirect_dma;
	uint16_t indirect_tables, indirect_max;

	/* the queue's own */
	struct vio_rx_merge merge vio_cacheline;
	bool hold_kicks;		/* no DRIVER_OK yet */
	bool starved;			/* rx: memory was short, and less than half is filled */
	bool told_small;		/* rx: the log has a line about it */
	bool intr_user;			/* enabled by the user */
	bool intr_ring;			/* the ring asks the device for interrupts */
	uint32_t full;			/* tx: descriptors that a sender waits for; 0: none does */
	uint32_t per_post;		/* rx: buffers that were last posted as one */
	uint64_t retry_at, retry_delay; /* rx, while starved */
	uint32_t seq;			/* tx: number of the next frame */
	uint32_t busy;			/* tx with conf.shared: somebody is at the queue */
	struct vio_driver_stats stats;

	struct vio_rx_ahead ahead;
	struct vio_drvq_done done[VIO_DRIVER_BURST] vio_cacheline;
	struct vio_drvq_buf adds[VIO_DRIVER_BURST];
	struct vio_buf *bufs[VIO_DRIVER_BURST];
	struct vio_seg segs[VIO_DRIVER_BURST + VIO_DRIVER_MAX_PIECES];

	/* written from anywhere; a line of its own */
	uint32_t armed vio_cacheline; /* the next interrupt raises the event */
	uint64_t interrupts, spurious;
};

/* The control queue; see ctrl.c. */
struct vio_driver_ctrl {
	struct vio_drvq *vq; /* NULL: there is none, or it is not started */
	uint32_t num;
	int dead; /* why it can't be used any more until reset, or 0 */
	void *ring, *storage;
	size_t ring_size, storage_size;
	uint64_t ring_dma;
	uint8_t *page; /* DMA: command, then acknowledgement */
	uint64_t page_dma;
	void (*notify)(void *handle);
	void (*notify_data)(void *handle, uint16_t position); /* with NOTIFICATION_DATA */
	void *notify_handle;
};

/* What vio_driver_rss_set() asked for last. */
struct vio_rss_wish {
	bool set;
	uint32_t hash_types;
	uint16_t table_len, unclassified;
	uint8_t key_len;
	uint8_t key[UINT8_MAX];
	uint16_t table[VIO_RSS_TABLE_MAX];
};

struct vio_driver {
	/* constant after probe */
	const struct vio_host *host;
	struct vio_driver_transport *transport;
	const struct vio_driver_transport_ops *ops;
	const struct vio_driver_events *events;
	void *events_ctx;
	struct vio_driver_registry *registry;
	struct vio_driver *next;
	unsigned number;
	uint32_t timeout_ms;
	char name[32];

	/* by configure; read by queue functions */
	unsigned nb_rx, nb_tx;
	struct vio_driver_queue **queues; /* 2 * max(nb_rx, nb_tx), by virtio's number */

	/* control only */
	enum vio_driver_state state;
	int failed;	 /* why it is FAILED */
	bool negotiated; /* FEATURES_OK, and no reset since */
	struct vio_features want, offered, accepted;
	struct vio_net_config config; /* in this machine's byte order, impossible values mended */
	uint32_t hdr_size;
	unsigned max_pairs;
	uint32_t mtu, max_mtu;
	uint8_t mac[VIO_ETH_ALEN];
	bool own_mac; /* random: kept when negotiated anew */
	bool link;
	uint64_t recoveries;
	struct vio_driver_ctrl ctrl;
	/* what the user asked of the device, asked again after each start */
	bool promiscuous, allmulticast;
	bool promiscuous_set, allmulticast_set, macs_set, vlans_set, mac_set;
	unsigned active_pairs;
	unsigned nb_macs;
	uint8_t macs[VIO_MAC_TABLE_MAX][VIO_ETH_ALEN];
	uint32_t vlans[VIO_NET_VLAN_IDS / 32];
	struct vio_rss_wish rss;
};

/* Adds to a counter that only its own thread writes and anybody reads. */
static inline void vio_driver_count_add(uint64_t *counter, uint64_t n)
{
	vio_store(counter, *counter + n);
}

/* The class of a frame of @len bytes in vio_driver_stats. */
static inline unsigned vio_driver_size_class(uint32_t len)
{
	if (len <= 64)
		return len == 64;
	if (len >= 1024)
		return len <= 1518 ? 6 : 7;
	return 32 - (unsigned)__builtin_clz(len) - 5;
}

/* The good frames of a burst, on their way into the counters. Frames of one length come in runs:
 * what follows from the length is done once for each run. */
struct vio_driver_tally {
	uint32_t len;		       /* of each frame of the run */
	uint32_t run;		       /* frames in it */
	uint64_t packets, bytes;       /* of the runs before */
	uint32_t multicast, broadcast; /* of all */
};

static vio_always_inline void vio_driver_tally_run(struct vio_driver_stats *s,
						   struct vio_driver_tally *t)
{
	vio_driver_count_add(&s->size_class[vio_driver_size_class(t->len)], t->run);
	t->packets += t->run;
	t->bytes += (uint64_t)t->run * t->len;
	t->run = 0;
}

/* Adds @n frames of @len bytes. */
static vio_always_inline void vio_driver_tally_add(struct vio_driver_stats *s,
						   struct vio_driver_tally *t, uint32_t len,
						   unsigned n)
{
	if (vio_unlikely(len != t->len)) {
		vio_driver_tally_run(s, t);
		t->len = len;
	}
	t->run += n;
}

#define VIO_ETH_MULTICAST 1u /* in the first byte of whom a frame goes to */

/* Looks at whom a frame goes to that begins at @data. */
static vio_always_inline void vio_driver_tally_to(struct vio_driver_tally *t, const uint8_t *data)
{
	uint32_t high;
	uint16_t low;

	if (vio_likely(!(data[0] & VIO_ETH_MULTICAST)))
		return;
	memcpy(&high, data, sizeof(high));
	memcpy(&low, data + sizeof(high), sizeof(low));
	if (high == UINT32_MAX && low == UINT16_MAX)
		t->broadcast++;
	else
		t->multicast++;
}

static vio_always_inline void vio_driver_tally_end(struct vio_driver_stats *s,
						   struct vio_driver_tally *t)
{
	vio_driver_tally_run(s, t);
	vio_driver_count_add(&s->packets, t->packets);
	vio_driver_count_add(&s->bytes, t->bytes);
	if (t->multicast | t->broadcast) {
		vio_driver_count_add(&s->multicast, t->multicast);
		vio_driver_count_add(&s->broadcast, t->broadcast);
	}
}

/* A buffer's dma and size lie as a segment's address and length do, on 64-bit machines at least:
 * one is then made of the other as a vector. What follows size, len, goes where a segment has
 * nothing. */
#define VIO_BUF_LIES_AS_SEG                                                     \
	(offsetof(struct vio_buf, size) == offsetof(struct vio_buf, dma) + 8 && \
	 offsetof(struct vio_buf, len) == offsetof(struct vio_buf, size) + 4 && \
	 offsetof(struct vio_seg, len) == 8 && sizeof(struct vio_seg) == 16)

/* Makes of @buf's dma, size and len a segment that differs from these by @shift, which is one
 * too. */
static vio_always_inline void vio_driver_shift_seg(struct vio_seg *seg, const struct vio_buf *buf,
						   vio_words16 shift)
{
	*(vio_words16 *)(void *)seg = *(const vio_words16 *)(const void *)&buf->dma + shift;
}

/* Receive: whether there is something to say that the ring does not know of any more: frames, or that
 * it broke. */
static inline bool vio_driver_rx_waiting(const struct vio_driver_queue *q)
{
	return q->kept_count > 0 || q->ahead.n > 0 || vio_drvq_error(q->vq) != VIO_VQ_OK;
}

/* The queue by its number in one direction; NULL: there is none. */
static inline struct vio_driver_queue *vio_driver_rxq(const struct vio_driver *drv, unsigned id)
{
	return vio_likely(id < drv->nb_rx) ? drv->queues[VIO_RXQ(id)] : NULL;
}

static inline struct vio_driver_queue *vio_driver_txq(const struct vio_driver *drv, unsigned id)
{
	return vio_likely(id < drv->nb_tx) ? drv->queues[VIO_TXQ(id)] : NULL;
}

/* The queue by virtio's number. */
static inline struct vio_driver_queue *vio_driver_queue(const struct vio_driver *drv,
							unsigned queue)
{
	return queue & 1 ? vio_driver_txq(drv, queue / 2) : vio_driver_rxq(drv, queue / 2);
}

/* Whether @drv has queue @queue, set up or not. */
static inline bool vio_driver_has_queue(const struct vio_driver *drv, unsigned queue)
{
	return queue / 2 < (queue & 1 ? drv->nb_tx : drv->nb_rx);
}

/* What a queue function returns instead of working; 0: it works. @q may be NULL. */
static inline int vio_driver_refusal(const struct vio_driver_queue *q, bool exists)
{
	if (vio_likely(q != NULL))
		return vio_load(&q->halt);
	return exists ? -ESHUTDOWN : -EINVAL;
}

static inline bool vio_driver_is_tx(const struct vio_driver_queue *q)
{
	return q->index & 1;
}

static inline bool vio_driver_has(const struct vio_driver *drv, unsigned feature)
{
	return vio_features_test(drv->accepted, feature);
}

static inline void vio_driver_kick(struct vio_driver_queue *q)
{
	if (vio_unlikely(q->notify_data != NULL))
		q->notify_data(q->notify_handle, vio_drvq_avail_pos(q->vq));
	else
		q->notify(q->notify_handle);
	vio_driver_count_add(&q->stats.kicks, 1);
}

/* Kicks when the device wants that for what was shown to it, and may have it. */
static inline void vio_driver_kick_due(struct vio_driver_queue *q)
{
	if (!vio_drvq_must_kick(q->vq))
		return;
	if (vio_unlikely(q->hold_kicks)) /* vio_driver_queue_go() makes up for it */
		return;
	vio_driver_kick(q);
}

/* queue.c: memory, set-up and tear-down of a queue */
int vio_driver_queue_create(struct vio_driver *drv, unsigned queue, uint32_t num,
			    struct vio_driver_queue **out);
void vio_driver_queue_destroy(struct vio_driver_queue *q);
int vio_driver_queue_prepare(struct vio_driver_queue *q);
int vio_driver_queue_attach(struct vio_driver_queue *q);
void vio_driver_queue_go(struct vio_driver_queue *q);
void vio_driver_queue_detach(struct vio_driver_queue *q, bool keep);
int vio_driver_queue_broken(struct vio_driver_queue *q, int err);
uint32_t vio_driver_rx_frame_max(const struct vio_driver *drv);
int vio_driver_map(const struct vio_driver_queue *q, struct vio_buf *buf, uint32_t start,
		   uint32_t len, enum vio_dma_dir dir);
void vio_driver_unmap(const struct vio_driver_queue *q, struct vio_buf *buf, uint32_t start,
		      uint32_t len, enum vio_dma_dir dir);

/* header.c */
uint16_t vio_driver_exact_hdr_len(const struct vio_buf *frame, const struct vio_net_meta *meta);

/* start.c */
int vio_driver_shutdown(struct vio_driver *drv, bool keep);
void vio_driver_drop_queues(struct vio_driver *drv);

/* negotiate.c: the status machine and the configuration space */
int vio_driver_device_reset(struct vio_driver *drv);
int vio_driver_negotiate(struct vio_driver *drv, struct vio_error *err);
int vio_driver_add_status(struct vio_driver *drv, uint8_t bits);
int vio_driver_read_status(struct vio_driver *drv, uint16_t *status);

/* Where posting begins in a buffer whose frame has a header. */
static vio_always_inline uint32_t vio_driver_post_start(const struct vio_driver_queue *q)
{
	return VIO_BUF_HEADROOM - q->hdr_size;
}

/* rx.c */
int vio_driver_rx_receive(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n,
			  unsigned limit, unsigned *work);
void vio_driver_rx_detach(struct vio_driver_queue *q, bool keep);

/* rx_refill.c */
/* Fills the ring and shows that to the device, which is not kicked yet. Returns false when buffers
 * were short. */
bool vio_driver_rx_fill(struct vio_driver_queue *q);
/* The same, and kicks if the device wants that. */
bool vio_driver_rx_refill(struct vio_driver_queue *q);
bool vio_driver_rx_wants_refill(const struct vio_driver_queue *q);
/* Undoes the mapping of a posted buffer and those that are linked behind it. */
void vio_driver_unmap_posted(struct vio_driver_queue *q, struct vio_buf *buf);

/* tx.c */
int vio_driver_tx_clean(struct vio_driver_queue *q, unsigned max);
void vio_driver_tx_resend(struct vio_driver_queue *q);
void vio_driver_tx_detach(struct vio_driver_queue *q, bool keep);
void vio_driver_tx_enter(struct vio_driver_queue *q);
bool vio_driver_tx_try_enter(struct vio_driver_queue *q);
void vio_driver_tx_leave(struct vio_driver_queue *q);

/* intr.c */
bool vio_driver_arm(struct vio_driver_queue *q, uint16_t after);
void vio_driver_disarm(struct vio_driver_queue *q);

/* ctrl.c */
int vio_driver_ctrl_prepare(struct vio_driver *drv);
int vio_driver_ctrl_attach(struct vio_driver *drv);
int vio_driver_ctrl_restore(struct vio_driver *drv);
void vio_driver_ctrl_stop(struct vio_driver *drv);
void vio_driver_ctrl_destroy(struct vio_driver *drv);

#endif
