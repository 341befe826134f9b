/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the rings: what every ring format shares. The theory is at the head of ring.c.
 *
 * A format brings one table of functions for each side. A working queue points to its format's
 * table; breaking it swaps in the table that the format names in .broken, whose functions touch no
 * shared memory. So a broken queue costs the fast paths nothing, not even a test.
 */
#ifndef VIO_RING_RING_H
#define VIO_RING_RING_H

#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#include "base/bits.h"

struct vio_drvq_ops {
	const struct vio_drvq_ops *broken; /* what takes over when the queue breaks; NULL there */
	int (*add_burst)(struct vio_drvq *q, const struct vio_drvq_buf *bufs, unsigned n);
	int (*add_singles)(struct vio_drvq *q, const struct vio_seg *segs, void *const *tokens,
			   unsigned n, bool write);
	void (*show)(struct vio_drvq *q);
	bool (*must_kick)(struct vio_drvq *q);
	int (*reap_burst)(struct vio_drvq *q, struct vio_drvq_done *done, unsigned n);
	void (*prefetch)(const struct vio_drvq *q); /* NULL: there is nothing to look at */
	bool (*has_used)(const struct vio_drvq *q);
	bool (*notify_enable)(struct vio_drvq *q, uint16_t after);
	void (*notify_disable)(struct vio_drvq *q);
	/* These work on a broken queue too: private memory only. */
	void *(*detach)(struct vio_drvq *q);
	uint16_t (*avail_pos)(const struct vio_drvq *q);
};

/* The head of every driver queue. */
struct vio_drvq {
	const struct vio_drvq_ops *ops;
	uint32_t num;	    /* constant */
	uint32_t free;	    /* descriptors not in use */
	uint32_t in_flight; /* buffers added and not reaped */
	uint32_t error;	    /* enum vio_vq_error; other threads may read it */
};

struct vio_devq_ops {
	const struct vio_devq_ops *broken; /* what takes over when the queue breaks; NULL there */
	int (*pop_burst)(struct vio_devq *q, const struct vio_mem *mem, struct vio_chain *chains,
			 unsigned n, struct vio_iov *iov, unsigned niov);
	int (*push_burst)(struct vio_devq *q, const struct vio_chain *chains, unsigned n);
	bool (*publish)(struct vio_devq *q);
	uint32_t (*keep_back)(struct vio_devq *q, uint32_t keep); /* NULL: not in this format */
	bool (*has_avail)(const struct vio_devq *q);
	uint32_t (*avail_count)(const struct vio_devq *q);
	bool (*kick_enable)(struct vio_devq *q, uint32_t beyond);
	void (*kick_disable)(struct vio_devq *q);
	/* These work on a broken queue too: private memory only. */
	void (*unpop)(struct vio_devq *q, const struct vio_chain *chains, unsigned n);
	void (*move)(struct vio_devq *q, const struct vio_vq_areas *areas);
	uint32_t (*base)(const struct vio_devq *q);
};

/* The head of every device queue. */
struct vio_devq {
	const struct vio_devq_ops *ops;
	uint32_t num;	    /* constant */
	uint32_t in_flight; /* buffers popped and not pushed */
	uint32_t error;	    /* enum vio_vq_error; other threads may read it */
	bool ahead;	    /* in vio_devq_pop_ahead() */
};

/* A pop met something bad first of all: breaks the queue, if now is the time. Returns -EPROTO. */
int vio_devq_pop_fault(struct vio_devq *q, enum vio_vq_error why);

/*
 * A descriptor of either format as two words, so that it moves with two loads or stores: the
 * address, and the rest. Holds values of this machine's byte order in private memory and
 * little-endian ones in shared memory; struct vio_virtq_desc and struct vio_pvirtq_desc are the same
 * memory by field.
 */
struct ring_desc {
	uint64_t addr;
	uint64_t meta; /* split: len:32 | flags:16 | next:16; packed: len:32 | id:16 | flags:16 */
} __attribute__((may_alias));

VIO_STATIC_ASSERT(sizeof(struct ring_desc) == sizeof(struct vio_virtq_desc) &&
			  sizeof(struct ring_desc) == sizeof(struct vio_pvirtq_desc),
		  "not a descriptor");

/*
 * Whether moving an index from @old to @new passed @event (virtio 1.4, 2.7.10: the side that reads
 * the event word asks for a notification "when the index reaches event + 1"). All modulo 2^16.
 */
static vio_always_inline bool ring_need_event(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* For the broken tables of all formats. */
int vio_drvq_broken_add(struct vio_drvq *q, const struct vio_drvq_buf *bufs, unsigned n);
int vio_drvq_broken_add_singles(struct vio_drvq *q, const struct vio_seg *segs, void *const *tokens,
				unsigned n, bool write);
int vio_drvq_broken_reap(struct vio_drvq *q, struct vio_drvq_done *done, unsigned n);
void vio_drvq_broken_show(struct vio_drvq *q);
bool vio_drvq_broken_must_kick(struct vio_drvq *q);
bool vio_drvq_broken_has_used(const struct vio_drvq *q);
bool vio_drvq_broken_notify_enable(struct vio_drvq *q, uint16_t after);
void vio_drvq_broken_notify_disable(struct vio_drvq *q);

#define VIO_DRVQ_BROKEN_OPS(detach_fn, avail_pos_fn)                                          \
	{                                                                                     \
		.add_burst = vio_drvq_broken_add, .add_singles = vio_drvq_broken_add_singles, \
		.show = vio_drvq_broken_show, .must_kick = vio_drvq_broken_must_kick,         \
		.reap_burst = vio_drvq_broken_reap, .has_used = vio_drvq_broken_has_used,     \
		.notify_enable = vio_drvq_broken_notify_enable,                               \
		.notify_disable = vio_drvq_broken_notify_disable, .detach = (detach_fn),      \
		.avail_pos = (avail_pos_fn),                                                  \
	}

int vio_devq_broken_pop(struct vio_devq *q, const struct vio_mem *mem, struct vio_chain *chains,
			unsigned n, struct vio_iov *iov, unsigned niov);
int vio_devq_broken_push(struct vio_devq *q, const struct vio_chain *chains, unsigned n);
bool vio_devq_broken_publish(struct vio_devq *q);
bool vio_devq_broken_has_avail(const struct vio_devq *q);
uint32_t vio_devq_broken_avail_count(const struct vio_devq *q);
bool vio_devq_broken_kick_enable(struct vio_devq *q, uint32_t beyond);
void vio_devq_broken_kick_disable(struct vio_devq *q);

#define VIO_DEVQ_BROKEN_OPS(unpop_fn, move_fn, base_fn)                                     \
	{                                                                                   \
		.pop_burst = vio_devq_broken_pop, .push_burst = vio_devq_broken_push,       \
		.publish = vio_devq_broken_publish, .has_avail = vio_devq_broken_has_avail, \
		.avail_count = vio_devq_broken_avail_count,                                 \
		.kick_enable = vio_devq_broken_kick_enable,                                 \
		.kick_disable = vio_devq_broken_kick_disable, .unpop = (unpop_fn),          \
		.move = (move_fn), .base = (base_fn),                                       \
	}

/* Whether all three areas are there and aligned as @sizes asks. */
bool vio_vq_areas_ok(const struct vio_vq_areas *areas, const struct vio_vq_sizes *sizes);

/* The split format. IN_ORDER is a table of functions of its own. */
size_t vio_split_drvq_bytes(uint32_t num);
int vio_split_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **q);
size_t vio_split_devq_bytes(uint32_t num);
int vio_split_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **q);

/* The packed format, likewise. */
size_t vio_packed_drvq_bytes(uint32_t num);
int vio_packed_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **q);
size_t vio_packed_devq_bytes(uint32_t num);
int vio_packed_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **q);

#endif
