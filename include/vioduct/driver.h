/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver half: a virtio-net driver without an operating system under it.
 *
 * A transport (vhost-user, PCI, MMIO) leads to a device; struct vio_host brings memory, a clock and
 * a log; frames lie in buffers of the caller. The driver has no threads, no locks, no global state
 * and never waits without a limit.
 *
 * Life cycle, and what each state permits:
 *
 *   VIO_DRIVER_PROBED      after probe: queries, configure, reset, release.
 *   VIO_DRIVER_CONFIGURED  after configure, and after stop: queues may be set up (a started device
 *                          needs every queue set up once), start, configure anew, queries, release.
 *   VIO_DRIVER_STARTED     after start or recover: frames move; interrupts; queries; stop, reset.
 *   VIO_DRIVER_FAILED      the device is gone, wants a reset, or did not come back: queue functions
 *                          return an error and touch nothing; recover, stop, reset, release.
 *
 * Queues come in pairs. Functions for one direction take the number of the pair (@id, from 0).
 * Functions for either direction take virtio's queue number: VIO_RXQ(id) or VIO_TXQ(id).
 *
 * Threads. Functions come in two kinds, and each says which it is:
 *   control: one thread at a time for a device; those that start, stop or set up must run while no
 *            queue function of the device runs.
 *   queue:   one thread at a time for a queue; different queues from different threads.
 * vio_driver_interrupt() may be called from anywhere, also while a queue function runs; but no more
 * while the queues are dropped (configure, the queue's own configure, reset, release).
 *
 * Functions return 0, a count or -errno. Where they take a struct vio_error, it gets one line.
 *
 * Follows virtio 1.4, 3.1 and 5.1.
 */
#ifndef VIODUCT_DRIVER_H
#define VIODUCT_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/features.h>
#include <vioduct/frame.h>
#include <vioduct/host.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_RXQ(id) (2 * (unsigned)(id))
#define VIO_TXQ(id) (2 * (unsigned)(id) + 1)

#define VIO_DRIVER_MAX_PAIRS  128u
#define VIO_DRIVER_MAX_PIECES 256u /* pieces that a frame to send may have */

/* ------------------------------------------------------------------------------------------
 * Buffers
 */

/*
 * In front of a received frame, and at least VIO_NET_HDR_SIZE_MAX bytes in front of one to be sent,
 * lies room for the net header, so that header and frame are one descriptor.
 */
#define VIO_BUF_HEADROOM 64

/*
 * A frame, or a piece of one: a stretch of memory that the device can reach, and what is in it.
 * Buffers are the caller's. The driver has a buffer, and nobody else may touch it or its memory,
 * from rx allocation until it is received or freed, and from being taken by a transmit function
 * until it is freed.
 *
 * The caller sets mem, dma and size once. For a frame to be sent it sets next, off, len and meta;
 * for a received one the driver does. On 64-bit machines a buffer is one cache line.
 */
struct vio_buf {
	struct vio_buf *next; /* next piece of the same frame, or NULL */
	uint8_t *mem;	      /* its memory, headroom included */
	uint64_t dma;  /* device address of mem; the driver sets it when the host has map() */
	uint32_t size; /* bytes at mem */
	uint32_t len;  /* bytes of the frame, or of this piece of it, here */
	uint32_t off;  /* where they begin in mem */
	/*
	 * How many bytes in front of off are known to be zero: the driver then need not write an
	 * empty header again. Kept by the driver; the caller writes 0 when it has moved off or
	 * written into the headroom.
	 */
	uint8_t clean;
	uint8_t unused; /* 0 */
	/* First piece: what the net header says. To send: all zero when nothing is asked for. */
	struct vio_net_meta meta;
	uint16_t pieces;      /* first piece, received: how many */
	uint16_t hash_report; /* VIO_NET_HASH_REPORT_*: what hash was taken over */
	uint32_t frame_len;   /* first piece, received: bytes of the whole frame */
	uint32_t hash;	      /* received, with HASH_REPORT; the driver's own while sending */
};

/* The first byte of a frame or piece. */
static inline uint8_t *vio_buf_data(const struct vio_buf *buf)
{
	return buf->mem + buf->off;
}

/* Bytes that a frame could have here, from off to the end. */
static inline uint32_t vio_buf_room(const struct vio_buf *buf)
{
	return buf->size - buf->off;
}

/*
 * A pool of buffers of one size, last in first out, so that what is used next is still in the
 * cache. But buffers (with room for less than 4 KiB) that come back with large frames (from 1024
 * bytes), four or more at a time, rest until two megabytes of others have passed, as far as there
 * are others: a pool that has so many more buffers than are under way moves such frames faster.
 *
 * One thread at a time; give each thread its own. vio_pool_take() and vio_pool_put() fit the queues'
 * alloc and free with the pool as ctx.
 */
struct vio_pool;

/*
 * Makes @count buffers with @room bytes for a frame each, from @host's dma_alloc. Their distance is
 * an odd number of cache lines, so that equal offsets do not fall into the same cache sets. @host
 * must outlive the pool. Returns 0; -EINVAL for count or room of 0 or too much; -ENOMEM. Control.
 */
VIO_API int vio_pool_create(const struct vio_host *host, uint32_t count, uint32_t room,
			    struct vio_pool **pool);
/* Frees pool and buffers, all of which must be back. NULL does nothing. */
VIO_API void vio_pool_destroy(struct vio_pool *pool);
/* Takes up to @n buffers, empty, off at VIO_BUF_HEADROOM. Returns how many. @pool: struct vio_pool. */
VIO_API unsigned vio_pool_get(void *pool, struct vio_buf **bufs, unsigned n);
/* The same with whatever they held before: for receive queues, which need no more. */
VIO_API unsigned vio_pool_take(void *pool, struct vio_buf **bufs, unsigned n);
/* Returns @n frames with all their pieces. */
VIO_API void vio_pool_put(void *pool, struct vio_buf **bufs, unsigned n);
/* Buffers that can be taken. */
VIO_API uint32_t vio_pool_available(const struct vio_pool *pool);

/* ------------------------------------------------------------------------------------------
 * Registration
 */

struct vio_driver;	     /* a device with its driver; opaque */
struct vio_driver_transport; /* the way to a device; see driver_linux.h */

/* The devices of a program, numbered from 0, lowest free number first. Zeroed by the caller, who
 * serialises probe, release and the functions below. */
struct vio_driver_registry {
	struct vio_driver *first;
};

/* Device number @number, or NULL. Control. */
VIO_API struct vio_driver *vio_driver_find(const struct vio_driver_registry *registry,
					   unsigned number);
/* The device after @drv in ascending numbers, the first for NULL; NULL at the end. Control. */
VIO_API struct vio_driver *vio_driver_next(const struct vio_driver_registry *registry,
					   const struct vio_driver *drv);
/* How many there are. Control. */
VIO_API unsigned vio_driver_count(const struct vio_driver_registry *registry);

/* ------------------------------------------------------------------------------------------
 * Life cycle: control
 */

enum vio_driver_state {
	VIO_DRIVER_PROBED,
	VIO_DRIVER_CONFIGURED,
	VIO_DRIVER_STARTED,
	VIO_DRIVER_FAILED,
};

/* What may happen to a device. Called by the functions named; each may be NULL. */
struct vio_driver_events {
	/* The link went up or down (vio_driver_config_interrupt()). */
	void (*link)(void *ctx, struct vio_driver *drv, bool up);
	/* The device asks that the guest announces itself; answer with
	 * vio_driver_announce_ack() (vio_driver_config_interrupt()). */
	void (*announce)(void *ctx, struct vio_driver *drv);
	/* The device is gone (-ENODEV) or needs a reset (-EIO); queues have stopped, and
	 * vio_driver_recover() is the way on (vio_driver_config_interrupt()). */
	void (*failed)(void *ctx, struct vio_driver *drv, int why);
	/* Queue @queue broke because of what the device wrote (a queue function). */
	void (*queue_broken)(void *ctx, struct vio_driver *drv, unsigned queue,
			     enum vio_vq_error why);
};

struct vio_driver_opts {
	struct vio_features want; /* features to accept if offered, VERSION_1 and ORDER_PLATFORM
				     always; empty: vio_driver_default_features() */
	uint32_t timeout_ms;	  /* limit of every wait for the device; 0: 1000 */
	const char *name;	  /* for log lines, copied up to 31 bytes; NULL: "net" and number */
	const struct vio_driver_events *events; /* must outlive the driver, or NULL */
	void *events_ctx;
	struct vio_driver_registry *registry; /* where to enter the device, or NULL */
};

/* What the driver can make use of, and what it accepts unless told otherwise: everything known but
 * the offloads by which frames arrive that are large or lack their checksum, RSS and hashing. */
VIO_API struct vio_features vio_driver_known_features(void);
VIO_API struct vio_features vio_driver_default_features(void);

/*
 * Resets the device behind @transport and negotiates features (virtio 1.4, 3.1.1, up to step 6).
 * Accepted is what is offered, known and wanted, closed over dependencies; VERSION_1 always when
 * offered. The configuration space is read first, never written; impossible values in it switch off
 * the feature that brings them (an MTU below 68, queue pairs of 0 or above 32768) or are replaced
 * (a MAC that is multicast or zero, by a random local one).
 *
 * On success the driver owns @transport; on failure the caller still does. @host must outlive the
 * driver. Returns 0; -ETIMEDOUT: reset or FEATURES_OK did not come; -ENODEV: nothing there;
 * -EIO: a configuration space that never settles; -ENOTSUP: the device refused, or is of a kind
 * that this machine cannot talk to; -ENOMEM; or what the transport said. One line in @err.
 */
VIO_API int vio_driver_probe(struct vio_driver_transport *transport, const struct vio_host *host,
			     const struct vio_driver_opts *opts, struct vio_driver **drv,
			     struct vio_error *err);

struct vio_driver_conf {
	unsigned nb_rx;		  /* receive queues, at least 1 */
	unsigned nb_tx;		  /* transmit queues, at least 1 */
	struct vio_features want; /* as in vio_driver_opts; empty: as before. Another set resets
				     the device and negotiates again */
};

/*
 * Sets the number of queues. Queues set up before are dropped. State PROBED or CONFIGURED.
 * Returns 0; -EINVAL when a number is 0 or above vio_driver_info.max_pairs; -EBUSY when started;
 * -ENOMEM; or as vio_driver_probe(). A failure leaves no queues behind and the state PROBED.
 */
VIO_API int vio_driver_configure(struct vio_driver *drv, const struct vio_driver_conf *conf,
				 struct vio_error *err);

/* Every callback gets @ctx, and runs inside the queue function that needs it; it must not call one
 * for the same queue. */
struct vio_rxq_conf {
	/* Descriptors, see vio_driver_queue_info(); 0: the maximum. Each is filled with a buffer; where
	 * frames may come that are larger than one, and the device offers neither MRG_RXBUF nor
	 * INDIRECT_DESC, a frame's worth of buffers takes as many descriptors, else one. */
	uint32_t size;
	/* Up to @n buffers for receiving, single ones of which only mem, dma and size count; returns
	 * how many. Required. */
	unsigned (*alloc)(void *ctx, struct vio_buf **bufs, unsigned n);
	/* Takes back buffers that hold nothing, or a dropped frame (heads of chains). Required. */
	void (*free)(void *ctx, struct vio_buf **bufs, unsigned n);
	/* Frames for vio_driver_poll(), the receiver's from here on. Required for poll only. */
	void (*receive)(void *ctx, struct vio_buf **frames, unsigned n);
	/* The queue's interrupt; once, until it is armed again (vio_driver_interrupt()). */
	void (*event)(void *ctx, unsigned queue);
	void *ctx;
};

struct vio_txq_conf {
	uint32_t size; /* as above */
	/* Takes back frames that were sent (heads of chains). Required. */
	void (*free)(void *ctx, struct vio_buf **bufs, unsigned n);
	/* Takes back frames that were accepted and that the device had not used when the queue
	 * stopped. NULL: free. */
	void (*unsent)(void *ctx, struct vio_buf **bufs, unsigned n);
	/* As above. */
	void (*event)(void *ctx, unsigned queue);
	/* A sender found the queue full, and now there is room for what it had (poll and reap; with
	 * the queue's interrupt enabled, that comes when they are due). May be NULL. */
	void (*wake)(void *ctx, unsigned id);
	/* Another thread than the one that polls the receive queue of this pair transmits here:
	 * poll then cleans the queue only when nobody is at it. */
	bool shared;
	void *ctx;
};

/*
 * Sets up receive or transmit queue @id; *@conf is copied. State CONFIGURED. Returns 0; -EINVAL: no
 * such queue, a callback missing, or a size that is no power of two (split rings); -ENOBUFS: size
 * above the maximum; -EBUSY: wrong state; -ENOMEM. A failure leaves the queue not set up.
 */
VIO_API int vio_driver_rxq_configure(struct vio_driver *drv, unsigned id,
				     const struct vio_rxq_conf *conf, struct vio_error *err);
VIO_API int vio_driver_txq_configure(struct vio_driver *drv, unsigned id,
				     const struct vio_txq_conf *conf, struct vio_error *err);

/*
 * Fills the receive queues, sets DRIVER_OK, then kicks (virtio 1.4, 3.1.1 steps 7 and 8). All queue
 * interrupts are off. State CONFIGURED. Returns 0; -EINVAL: a queue is not set up; -EBUSY: started
 * or failed; -ENOMEM; or what the transport said. After a failure nothing is in the device.
 */
VIO_API int vio_driver_start(struct vio_driver *drv, struct vio_error *err);

/*
 * Resets the device and gives every buffer back: receive buffers and received frames that were not
 * taken to rx free (these counted as dropped), sent frames to tx free, others to unsent.
 * STARTED or FAILED → CONFIGURED; start brings all up again with the same settings. Returns 0;
 * -EBUSY in another state; -ETIMEDOUT when the device does not confirm its reset (the buffers are
 * back all the same: a device that is gone can't be waited for).
 */
VIO_API int vio_driver_stop(struct vio_driver *drv);

/* As stop, from any state, and drops queues and configuration: back to PROBED, negotiated anew.
 * Returns as vio_driver_probe(); after a failure the state is FAILED. */
VIO_API int vio_driver_reset(struct vio_driver *drv, struct vio_error *err);

/*
 * From FAILED, or STARTED: takes stock of what the device did, waits up to @timeout_ms for it to be
 * there (0: one try), and brings all up with the same settings (features, queues, and all that was
 * set through the control queue). Nothing is lost silently: frames received before are handed out
 * by the next receive calls, frames sent are freed, and frames that the device had not used are
 * sent again in their order, or go to unsent when the new device can't carry them.
 * Returns 0; -EAGAIN: no device yet, call again; -EBUSY: wrong state; -ENOTSUP: the device that
 * came can't do what is configured; or as vio_driver_start(). After a failure the state is FAILED
 * and all buffers but those waiting to be sent again are back.
 */
VIO_API int vio_driver_recover(struct vio_driver *drv, uint32_t timeout_ms, struct vio_error *err);

/*
 * Resets queue @queue (virtio's number) while all others go on, and starts it anew with an empty ring
 * (virtio 1.4, 2.6.1): a way back for a queue that is broken, and the way to another size.
 *
 * @size: descriptors of the new ring; 0: as many as before.
 *
 * All buffers come back first: receive buffers to rx free, with received frames that were not taken
 * (counted as dropped); sent frames to tx free, others to unsent. Then a receive queue is filled by
 * alloc. Settings and counters stay; the queue's interrupt is off. No queue function of the same pair
 * and no vio_driver_interrupt() for @queue may run meanwhile. Control, state STARTED.
 *
 * Returns 0. With these nothing has changed: -EBUSY: not started; -EINVAL: no such queue, or a size
 * that is no power of two (split rings); -ENOBUFS: size above the maximum; -ENOTSUP: RING_RESET was
 * not negotiated (it is whenever device and transport can do it); -ENOMEM. With any other error the
 * queue stands still (its functions return -ESHUTDOWN) until the device is stopped and started
 * again: the device did not give the ring back, then its buffers stay in it, or did not take the new
 * one, then they are back. One line in @err.
 */
VIO_API int vio_driver_queue_reset(struct vio_driver *drv, unsigned queue, uint32_t size,
				   struct vio_error *err);

/* Stops, frees everything, releases the transport. NULL does nothing. */
VIO_API void vio_driver_release(struct vio_driver *drv);

/* ------------------------------------------------------------------------------------------
 * Data path: queue functions
 *
 * They return -EINVAL when there is no such queue, -ESHUTDOWN when it isn't started, -ENODEV when
 * the device is gone, -EIO when it needs a reset, -EPROTO when the queue is broken (others go on).
 */

/*
 * Takes up to @n received frames, checked, meta filled in; they are the caller's. Bad ones are
 * dropped and counted. Refills the queue. Returns how many, 0 when there are none: who polls does well
 * to wait some hundred nanoseconds before the next look, which takes from the device the line that it
 * may be writing. Fastest in bursts of 32: while one is received, the next is already on its way.
 */
VIO_API int vio_driver_rx_burst(struct vio_driver *drv, unsigned id, struct vio_buf **frames,
				unsigned n);

/*
 * Says that vio_driver_rx_burst() on queue @id comes next, so that what it looks at first is on its way
 * meanwhile: for a thread that polls several queues in turns, to be called before it works on the queue
 * whose turn it is. A queue function like the others: only for the thread that has queue @id. Changes
 * nothing and waits for nothing; does nothing for a queue that there is not or that isn't started.
 */
VIO_API void vio_driver_rx_prefetch(const struct vio_driver *drv, unsigned id);

/*
 * Sends up to @n frames. Returns how many were taken: these are the driver's until freed, the rest
 * stay the caller's. 0 when the queue is full. Stops before a frame that can't be sent, and when
 * that is the first returns -EINVAL (asks for what was not negotiated; no headroom; an empty piece; an
 * Ethernet header that is not all in the first piece), -EMSGSIZE (longer than the MTU allows, or too
 * many pieces) or -ENOMEM (the host's map failed).
 */
VIO_API int vio_driver_tx_burst(struct vio_driver *drv, unsigned id, struct vio_buf **frames,
				unsigned n);

/* Frees up to @max sent frames through the queue's callback. Returns how many; when these are @max,
 * there may be more, and a sender that is still to be woken has to be served by another call. */
VIO_API int vio_driver_tx_reap(struct vio_driver *drv, unsigned id, unsigned max);

/* What vio_driver_rx_one() and vio_driver_tx_one() say. */
enum {
	VIO_ONE_SUCCESS = 1,  /* a frame was received, or taken for sending */
	VIO_ONE_MORE = 2,     /* there may be more to receive; there is room to send more */
	VIO_ONE_UNDERRUN = 4, /* buffers to receive into were short; the send queue is full now */
};

/*
 * Receives one frame into *@frame. Without interrupts MORE is set until the queue was found empty;
 * with interrupts enabled by vio_driver_intr_enable() it is set while frames wait, and without it
 * the interrupt is armed: none is lost between the look and the arming. Returns VIO_ONE_* or -errno.
 */
VIO_API int vio_driver_rx_one(struct vio_driver *drv, unsigned id, struct vio_buf **frame);

/* Frees sent frames, then sends @frame. Without SUCCESS it stays the caller's. Returns VIO_ONE_*, or
 * -errno as vio_driver_tx_burst(). */
VIO_API int vio_driver_tx_one(struct vio_driver *drv, unsigned id, struct vio_buf *frame);

/*
 * Serves receive queue @id: frees what the paired transmit queue has sent (tries, never waits),
 * hands up to @budget frames to receive, refills. Returns the work done, in buffers: less than
 * @budget means that the queue is empty and, when enabled, its interrupt armed; else call again
 * without waiting. See vio_driver_poll_due() for when memory was short.
 */
VIO_API int vio_driver_poll(struct vio_driver *drv, unsigned id, unsigned budget);

/* When to poll receive queue @id even though no interrupt came, because buffers could not be
 * allocated: on the host's clock, UINT64_MAX for never. Stays due until a refill worked. Queue. */
VIO_API uint64_t vio_driver_poll_due(const struct vio_driver *drv, unsigned id);

/*
 * Queue interrupts. enable arms the queue and keeps re-arming it when rx_one and poll find it
 * empty, and tx when it is found full; returns 1 without arming when there is something to do
 * already (serve the queue, then it is armed), else 0. Off after start. Queue.
 */
VIO_API int vio_driver_intr_enable(struct vio_driver *drv, unsigned queue);
VIO_API int vio_driver_intr_disable(struct vio_driver *drv, unsigned queue);

/*
 * The host's interrupt handler for @queue: disarms it and raises its event, once; when it isn't
 * armed nothing happens but that it is counted. Returns true when it was armed. Anywhere.
 */
VIO_API bool vio_driver_interrupt(struct vio_driver *drv, unsigned queue);

/*
 * The host's handler for configuration interrupts, also to be called when the transport's
 * descriptor becomes readable or every now and then: looks whether the device is still there, needs
 * a reset or changed its link, and raises the events. Returns 0, or -ENODEV or -EIO as in
 * vio_driver_events.failed. Control, but may run while queue functions run.
 */
VIO_API int vio_driver_config_interrupt(struct vio_driver *drv);

/* ------------------------------------------------------------------------------------------
 * Queries and settings: control
 */

struct vio_driver_info {
	unsigned number; /* in its registry */
	char name[32];
	const char *transport; /* "vhost-user", ... */
	enum vio_driver_state state;
	unsigned max_pairs;    /* that the device has, at most VIO_DRIVER_MAX_PAIRS */
	unsigned nb_rx, nb_tx; /* configured */
	struct vio_features offered;
	struct vio_features accepted;
	uint32_t hdr_size; /* bytes of the net header */
	uint8_t mac[VIO_ETH_ALEN];
	uint32_t mtu, max_mtu;
	uint32_t speed; /* Mbit/s, VIO_NET_SPEED_UNKNOWN */
	uint8_t duplex; /* VIO_NET_DUPLEX_* */
	bool link;
	bool promiscuous, allmulticast;
	uint32_t rx_buf_size; /* bytes of room that take any frame that may arrive */
	uint64_t recoveries;  /* how often recover succeeded */
};
VIO_API void vio_driver_get_info(const struct vio_driver *drv, struct vio_driver_info *info);

struct vio_driver_queue_info {
	uint32_t min, max;    /* descriptors that it may have */
	uint32_t align;	      /* of that number */
	bool is_power_of_two; /* it must be one */
	uint32_t size;	      /* set up with; 0: not set up */
	uint32_t in_flight;   /* buffers that the device has */
	bool intr_enabled;    /* by the user */
	bool intr_armed;
	enum vio_vq_error error; /* why it is broken */
};
/* 0, or -EINVAL when the device has no queue @queue. */
VIO_API int vio_driver_queue_info(const struct vio_driver *drv, unsigned queue,
				  struct vio_driver_queue_info *info);

#define VIO_SIZE_CLASSES 8 /* below 64, 64, to 127, 255, 511, 1023, 1518, and above */

struct vio_driver_stats {
	uint64_t packets;
	uint64_t bytes;		       /* frame bytes */
	uint64_t errors;	       /* frames dropped (rx) or refused (tx) */
	uint64_t multicast, broadcast; /* broadcast is not counted as multicast */
	uint64_t size_class[VIO_SIZE_CLASSES];
	uint64_t drops[VIO_DROP_NR]; /* by reason */
	uint64_t kicks;
	uint64_t interrupts, spurious; /* raised as events; not armed */
	uint64_t no_memory;	       /* refills that found no buffers */
	uint64_t resent;	       /* sent again by recover */
};
/* Counters of a queue since its set-up; any thread. 0 or -EINVAL. */
VIO_API int vio_driver_queue_stats(const struct vio_driver *drv, unsigned queue,
				   struct vio_driver_stats *stats);

/*
 * Settings. Those that need the device use its control queue: they return -ENOTSUP when it has none
 * or the feature was not negotiated, -ESHUTDOWN when not started, -EPERM when the device refused,
 * -ETIMEDOUT when it did not answer in time and -EPROTO when it answered nonsense; after these two
 * the control queue is dead (-EIO) until the device is reset.
 */
VIO_API void vio_driver_mac_get(const struct vio_driver *drv, uint8_t mac[VIO_ETH_ALEN]);
/* -EINVAL for a multicast or zero address. */
VIO_API int vio_driver_mac_set(struct vio_driver *drv, const uint8_t mac[VIO_ETH_ALEN]);
VIO_API uint32_t vio_driver_mtu_get(const struct vio_driver *drv);
/* 68 up to max_mtu, else -EINVAL. With the feature MTU what is sent is held to it, and what arrives
 * to the device's own (max_mtu); without, buffers posted from the next start on have room for it.
 * Not while queue functions run. */
VIO_API int vio_driver_mtu_set(struct vio_driver *drv, uint32_t mtu);
VIO_API bool vio_driver_promiscuous_get(const struct vio_driver *drv);
VIO_API int vio_driver_promiscuous_set(struct vio_driver *drv, bool on);
VIO_API bool vio_driver_allmulticast_get(const struct vio_driver *drv);
VIO_API int vio_driver_allmulticast_set(struct vio_driver *drv, bool on);
/* Replaces the table of further addresses that are received: @n of six bytes, unicast and
 * multicast mixed; adding and removing are made of this. At most 64, else -ENOBUFS. */
VIO_API int vio_driver_mac_table_set(struct vio_driver *drv, const uint8_t (*macs)[VIO_ETH_ALEN],
				     unsigned n);
/* Lets VLAN @vlan (0..4095, else -EINVAL) through the filter, or not. */
VIO_API int vio_driver_vlan_filter(struct vio_driver *drv, uint16_t vlan, bool pass);
/* Spreads receive over @pairs queue pairs (1..configured, else -EINVAL), also while frames come: when
 * it returns none comes on the others any more, and what had come can still be received there. */
VIO_API int vio_driver_pairs_set(struct vio_driver *drv, unsigned pairs);
VIO_API int vio_driver_announce_ack(struct vio_driver *drv);

struct vio_driver_rss {
	uint32_t hash_types;   /* VIO_NET_HASH_TYPE_*, of those the device supports */
	const uint16_t *table; /* receive queue ids; @table_len a power of two */
	uint16_t table_len;    /* up to what the device supports */
	uint16_t unclassified; /* receive queue for what has no hash */
	const uint8_t *key;
	uint8_t key_len; /* up to what the device supports */
};
/* Receive-side scaling: table and key, copied, until vio_driver_pairs_set() or configure. -EINVAL when
 * one is beyond what the device or the configured queues allow. */
VIO_API int vio_driver_rss_set(struct vio_driver *drv, const struct vio_driver_rss *rss);

VIO_API bool vio_driver_link(const struct vio_driver *drv);

#ifdef __cplusplus
}
#endif
#endif
