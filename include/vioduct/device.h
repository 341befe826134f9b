/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device half: a virtio-net device without a transport and without threads.
 *
 * A device is created from properties and a back end. A transport (vhost-user, PCI, MMIO) drives
 * its life cycle: features, status, queues, configuration space. Whoever runs the device gives it
 * time: vio_device_tx() moves frames from a pair's transmit queue to the back end, and the pair's
 * sink moves frames from the back end into its receive queue.
 *
 * Queue numbers are virtio's: 2p is receive of pair p, 2p + 1 transmit of pair p.
 *
 * Threads. The device takes no locks. Functions come in two kinds, and each says which it is:
 *   control: one thread at a time; the functions that start, stop or change a queue must run while
 *            nobody runs that pair (the runner sees to it);
 *   pair:    the thread that serves the pair; different pairs from different threads.
 *
 * The device is software that runs on the same cores as its driver, so it does not offer
 * ORDER_PLATFORM (virtio 1.4, 6.1), which is for devices that see memory another way.
 *
 * The device is freestanding: memory, clock and log come from struct vio_host.
 *
 * Follows virtio 1.4, chapters 2, 3 and 5.1.
 */
#ifndef VIODUCT_DEVICE_H
#define VIODUCT_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/backend.h>
#include <vioduct/export.h>
#include <vioduct/features.h>
#include <vioduct/frame.h>
#include <vioduct/host.h>
#include <vioduct/mem.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_DEVICE_MAX_PAIRS	   128
#define VIO_DEVICE_CTRL_QUEUE_SIZE 64

/* Features that a device has when its transport does (struct vio_device_transport_ops). */
#define VIO_TRANSPORT_FEATURES \
	(vio_feature(VIO_F_RING_RESET) | vio_feature(VIO_F_NOTIFICATION_DATA))

enum vio_duplex { VIO_DUPLEX_HALF = 0, VIO_DUPLEX_FULL = 1, VIO_DUPLEX_UNKNOWN = 0xff };

/* How transmit queues are drained (the port does it; the device keeps what was asked for). */
enum vio_tx_mode {
	VIO_TX_BH,    /* a kick drains up to a burst, then others get their turn */
	VIO_TX_TIMER, /* the first kick starts a timer; the second, or its end, drains */
};

/* What a device is. Zero (and VIO_DUPLEX_* / speed set by vio_net_props_init()) means default. */
struct vio_net_props {
	uint8_t mac[VIO_ETH_ALEN]; /* all zero: a random local address */
	uint32_t mtu;		   /* 0: none offered; else 68..65535, and VIRTIO_NET_F_MTU */
	int32_t speed;		   /* Mbit/s, 0..INT32_MAX; -1: unknown */
	uint8_t duplex;		   /* enum vio_duplex */
	uint32_t queue_pairs;	   /* 1..128; 0: 1 */
	uint32_t rx_queue_size;	   /* 256..1024, a power of two; 0: 1024 */
	uint32_t tx_queue_size;	   /* likewise */
	const char *tx;		   /* "bh" or "timer"; NULL: "bh"; anything else: warning, and bh */
	struct vio_features add;   /* features to offer though they are off by default */
	struct vio_features remove; /* features not to offer */
};

/* Defaults: speed -1, duplex unknown, the rest 0. */
VIO_API void vio_net_props_init(struct vio_net_props *props);

/* What the device asks of its transport. */
struct vio_device_transport_ops {
	/* The front end serves the control queue itself, and features that need one may be accepted
	 * without CTRL_VQ (vhost-user, vhost-net). */
	bool ctrl_elsewhere;
	/*
	 * Features that are the transport's to have, of VIO_TRANSPORT_FEATURES: those that it
	 * carries, which are offered, and those that it carries but which are offered only when the
	 * user adds them. What is in neither is not offered on this transport.
	 *   RING_RESET: it can stop one queue (vio_device_queue_stop()) and start it anew.
	 *   NOTIFICATION_DATA: its kicks bring the ring's position with them. The device makes no use
	 *   of that, it reads the ring; the transport has to find the queue number beside it.
	 */
	uint64_t carries, on_request;
	/* Interrupt for queue @queue. Pair thread. */
	void (*call)(void *ctx, unsigned queue);
	/* The configuration space changed. Control thread. Optional. */
	void (*config_changed)(void *ctx);
	/* The device went into NEEDS_RESET, or @queue broke; @why says it. Pair thread. Optional. */
	void (*queue_broken)(void *ctx, unsigned queue, enum vio_vq_error why);
};

struct vio_device;

/*
 * Creates a device on @backend, which stays the caller's and must outlive it. @props are checked:
 * -EINVAL with one line in @err that names the property, the value and what is allowed; -ENOMEM.
 * More pairs than the back end has is -EINVAL too. Control.
 */
VIO_API int vio_device_create(const struct vio_host *host, const struct vio_net_props *props,
			      struct vio_backend *backend, struct vio_device **dev,
			      struct vio_error *err);
/* Frees it. All queues must be stopped. NULL does nothing. Control. */
VIO_API void vio_device_destroy(struct vio_device *dev);

/* Says who the transport is, and offers those features that are the transport's (none of them for
 * NULL, as before the first call); before features are negotiated. Control. */
VIO_API void vio_device_set_transport(struct vio_device *dev,
				      const struct vio_device_transport_ops *ops, void *ctx);

VIO_API const struct vio_net_props *vio_device_props(const struct vio_device *dev);
VIO_API enum vio_tx_mode vio_device_tx_mode(const struct vio_device *dev);
VIO_API struct vio_backend *vio_device_backend(const struct vio_device *dev);
/* Queues in all: two for each pair, and the control queue when it is offered. */
VIO_API unsigned vio_device_num_queues(const struct vio_device *dev);
VIO_API unsigned vio_device_num_pairs(const struct vio_device *dev);
/* The largest ring that queue @queue may have; 0 when there is no such queue. */
VIO_API uint32_t vio_device_queue_max(const struct vio_device *dev, unsigned queue);

/* ------------------------------------------------------------------------------------------
 * Features, status, configuration space: control
 */

/* What the device offers. A transport removes what it can't carry with vio_device_mask_features(). */
VIO_API struct vio_features vio_device_features(const struct vio_device *dev);
VIO_API void vio_device_mask_features(struct vio_device *dev, struct vio_features keep);

/*
 * What the driver accepted. 0; -EINVAL when it was not offered or lacks a feature that one of them
 * needs (virtio 1.4, 2.2; assertion 9): nothing is changed then; -EBUSY when a queue runs and the
 * change would alter how its frames or its ring look.
 */
VIO_API int vio_device_set_driver_features(struct vio_device *dev, struct vio_features accepted);
VIO_API struct vio_features vio_device_driver_features(const struct vio_device *dev);

/*
 * The status field. Writing 0 resets: every queue stops (the caller has stopped the runner before).
 * FEATURES_OK stays clear when the accepted set is impossible; bits that may not be cleared stay.
 * Returns the status that the driver will read (virtio 1.4, 2.1 and 3.1).
 */
VIO_API uint8_t vio_device_set_status(struct vio_device *dev, uint8_t status);
VIO_API uint8_t vio_device_status(const struct vio_device *dev);

/* Reads @len bytes of configuration space at @offset; what lies beyond it (its size follows the
 * features offered) reads as 0. */
VIO_API void vio_device_config_read(const struct vio_device *dev, uint32_t offset, void *buf,
				    uint32_t len);
/* A driver's write: only a legacy driver may, and only the MAC. Returns 0 or -EPERM. */
VIO_API int vio_device_config_write(struct vio_device *dev, uint32_t offset, const void *buf,
				    uint32_t len);
VIO_API uint32_t vio_device_config_size(const struct vio_device *dev);
/* Differs from what was read before whenever the configuration has changed in between. */
VIO_API uint8_t vio_device_config_generation(struct vio_device *dev);

/* Link up or down: changes the configuration, its generation, and tells the driver. While the link
 * is down, what the guest sends is completed and dropped, and nothing arrives (Q13). Whoever runs
 * the pairs is to have a look at them when it comes up. */
VIO_API void vio_device_set_link(struct vio_device *dev, bool up);
VIO_API bool vio_device_link(const struct vio_device *dev);
/* Changes the MTU in the configuration (68..65535; only when MTU is offered). 0 or -EINVAL. */
VIO_API int vio_device_set_mtu(struct vio_device *dev, uint32_t mtu);

/* ------------------------------------------------------------------------------------------
 * Queues: control, while nobody runs the pair
 */

/*
 * Starts queue @queue on a ring (setup.features is filled in from what was negotiated), its buffers
 * translated through @mem, which must outlive it or be replaced by vio_device_set_mem(). Returns 0;
 * -ENOENT: no such queue; -EBUSY: already running; -EINVAL, -EOPNOTSUPP from the ring; -ENOMEM.
 */
VIO_API int vio_device_queue_start(struct vio_device *dev, unsigned queue,
				   const struct vio_devq_setup *setup, const struct vio_mem *mem);

/* Stops it and stores where it stood in *@base, having shown the driver everything that was used. With
 * NULL the ring is not touched any more: for one that nobody goes on with. 0, or -ENOENT when it did
 * not run. */
VIO_API int vio_device_queue_stop(struct vio_device *dev, unsigned queue, uint32_t *base);

/* Another memory table, and where the ring lies in it now. 0 or -ENOENT. */
VIO_API int vio_device_queue_set_mem(struct vio_device *dev, unsigned queue,
				     const struct vio_mem *mem, const struct vio_vq_areas *areas);

/* Whether a started queue may be used; a disabled receive queue gets nothing, a disabled transmit
 * queue is completed and dropped (vhost-user SET_VRING_ENABLE). 0 or -ENOENT. */
VIO_API int vio_device_queue_enable(struct vio_device *dev, unsigned queue, bool enable);

VIO_API bool vio_device_queue_running(const struct vio_device *dev, unsigned queue);
/* Breaks a queue for a reason that the transport found (its memory is gone). Pair or control. */
VIO_API void vio_device_queue_break(struct vio_device *dev, unsigned queue, enum vio_vq_error why);
/* VIO_VQ_OK while it is sound or not running. */
VIO_API enum vio_vq_error vio_device_queue_error(const struct vio_device *dev, unsigned queue);

/* ------------------------------------------------------------------------------------------
 * Running a pair: pair thread
 */

/* Working memory of a thread that serves pairs, any number of them, one at a time. */
struct vio_device_scratch;
VIO_API struct vio_device_scratch *vio_device_scratch_create(const struct vio_host *host);
VIO_API void vio_device_scratch_destroy(struct vio_device_scratch *scratch);

/* Between begin and end the pair is served by this thread, with @scratch. end() tells the driver
 * what was used since (one interrupt a queue at most). */
VIO_API void vio_device_begin(struct vio_device *dev, unsigned pair,
			      struct vio_device_scratch *scratch);
VIO_API void vio_device_end(struct vio_device *dev, unsigned pair);

/*
 * Between begin and end: moves up to @budget frames from the transmit queue to the back end; of a
 * frame that is cut up here every segment counts, and when they use the budget up no other frame is
 * begun.
 * Returns how many buffers were completed: sent, or dropped for a reason that was counted; 0 when
 * there was nothing or the queue can't run; -EAGAIN when the back end took nothing (come again when
 * it can); -EPROTO when the queue is broken.
 */
VIO_API int vio_device_tx(struct vio_device *dev, unsigned pair, unsigned budget);
/* Whether the back end was busy at the last vio_device_tx(): frames are waiting in the ring. */
VIO_API bool vio_device_tx_held(const struct vio_device *dev, unsigned pair);
/* The descriptors that the transmit queue of @pair has, 0 when it does not run. For who serves it. */
VIO_API uint32_t vio_device_tx_size(const struct vio_device *dev, unsigned pair);

/* Whether the guest has sent frames that were not taken yet. Pair thread, at any time. */
VIO_API bool vio_device_tx_pending(struct vio_device *dev, unsigned pair);

/* The way to the guest for the back end of this pair (given to it at start). Valid as long as the
 * device; used between begin and end only. */
VIO_API struct vio_sink *vio_device_sink(struct vio_device *dev, unsigned pair);
/* Whether nothing can be received now: the guest had no receive buffer when last asked and has given
 * none since, or its queue is stopped or disabled, or the link is down. */
VIO_API bool vio_device_rx_starved(struct vio_device *dev, unsigned pair);
/*
 * Whether the guest's receive buffers were too few for a frame when last asked, none at all or some.
 * Unless it has none, the back end is still to be asked for frames: a smaller one may fit, and what
 * was asked for may have been more than any frame needs. It stays so until a frame is delivered, or
 * vio_device_rx_kicks() finds more: so nobody who waits for buffers (frames that a loop could not
 * take, for one) is passed over when somebody else has seen them come.
 */
VIO_API bool vio_device_rx_short(struct vio_device *dev, unsigned pair);

/* Turn kicks of one direction on or off. Enabling returns true when there is something already: for
 * receive, more than was too few (nothing can be while vio_device_rx_starved() for another reason). */
VIO_API bool vio_device_tx_kicks(struct vio_device *dev, unsigned pair, bool on);
VIO_API bool vio_device_rx_kicks(struct vio_device *dev, unsigned pair, bool on);
/* A kick for @queue arrived (counted). */
VIO_API void vio_device_count_kick(struct vio_device *dev, unsigned queue);

/* Counters of a queue: any thread. @queue out of range gives zeroes. They survive reset. */
VIO_API void vio_device_queue_stats(const struct vio_device *dev, unsigned queue,
				    struct vio_queue_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
