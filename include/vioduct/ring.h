/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues, both sides, in bursts.
 *
 * A virtqueue has a driver side, which makes buffers available, and a device side, which uses
 * them. Nothing outside src/ring knows which format the ring has: the format is chosen when the
 * queue is set up, and costs one branch a burst.
 *
 * All bookkeeping (indices, free list, tokens, copies of descriptors) lives in private memory that
 * the caller supplies; the shared memory is written, and what the peer wrote there is read once,
 * checked and used from the copy. Neither side trusts the other. A violation breaks the queue: from
 * then on every call returns -EPROTO (publish returns false) and touches no shared memory, and
 * vio_drvq_error()/vio_devq_error() tell the reason. Only setting the queue up again clears it.
 *
 * With ORDER_PLATFORM (virtio 1.4, 6.1) the driver side orders its accesses as for a device of the
 * platform, a PCI card for one, and without as for another core of the same machine. The device side
 * is software in either case, and does not ask what was negotiated.
 *
 * No function here takes a lock, allocates or makes a system call. The caller serialises each
 * queue; different queues may be used from different threads at the same time.
 *
 * Follows virtio 1.4, 2.6 to 2.8.
 */
#ifndef VIODUCT_RING_H
#define VIODUCT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/host.h>
#include <vioduct/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_VQ_MAX_SIZE 32768

/* Why a queue is broken. The first reason stays. */
enum vio_vq_error {
	VIO_VQ_OK,
	/* what a driver may do to a device */
	VIO_VQ_AVAIL_JUMP,   /* available index moved by more than the ring holds, or backwards */
	VIO_VQ_BAD_HEAD,     /* head or next out of range */
	VIO_VQ_CHAIN_LOOP,   /* chain longer than the queue, or looping */
	VIO_VQ_BAD_ORDER,    /* device-readable descriptor after a device-writable one */
	VIO_VQ_BAD_ADDRESS,  /* descriptor (or table) not wholly inside guest memory */
	VIO_VQ_ZERO_LENGTH,  /* descriptor of length 0 */
	VIO_VQ_BAD_INDIRECT, /* indirect: not negotiated, bad length, nested, or with NEXT */
	VIO_VQ_TOO_LONG,     /* chain carries more than 2^32-1 bytes, or too many pieces */
	VIO_VQ_BAD_FLAGS,    /* packed: impossible AVAIL/USED combination; a device may, too */
	/* what a device may do to a driver */
	VIO_VQ_USED_JUMP,     /* used more than what is in flight, or what was not published */
	VIO_VQ_BAD_ID,	      /* used id out of range */
	VIO_VQ_NOT_IN_FLIGHT, /* used id that is not in flight (given twice, or never) */
	VIO_VQ_BAD_USED_LEN,  /* used length above what was posted for writing */
	/* from above the ring */
	VIO_VQ_BAD_FRAME,   /* buffer can't hold what the device type demands of it */
	VIO_VQ_MEMORY_GONE, /* shared memory vanished under the ring */
	VIO_VQ_NR_ERRORS
};

/* A short English name for @error ("used id not in flight"), constant; never NULL. */
VIO_API const char *vio_vq_error_name(enum vio_vq_error error);

/*
 * The three areas of a ring (descriptor area, driver area, device area; virtio 1.4, 2.6) in local
 * memory, checked by the caller to hold vio_vq_area_sizes() bytes each.
 */
struct vio_vq_areas {
	void *desc;   /* split: descriptor table; packed: descriptor ring */
	void *driver; /* split: available ring; packed: driver event suppression */
	void *device; /* split: used ring; packed: device event suppression */
};

struct vio_vq_sizes {
	size_t desc, driver, device; /* bytes */
	size_t desc_align, driver_align, device_align;
};

/* What the areas of a ring of @num descriptors take, event words included (@features decides the
 * format; virtio 1.4, 2.7 and 2.8.10). */
VIO_API struct vio_vq_sizes vio_vq_area_sizes(uint32_t num, uint64_t features);

/*
 * 0 when a ring of @num descriptors may exist under @features: 1..32768, and a power of two for
 * split (virtio 1.4, 2.7, 2.8.10.1); else -EINVAL.
 */
VIO_API int vio_vq_check_size(uint32_t num, uint64_t features);

/* ------------------------------------------------------------------------------------------
 * The driver side
 */
struct vio_drvq; /* opaque; lives in storage that the caller supplies */

/* One piece of a buffer, by device address. */
struct vio_seg {
	uint64_t addr;
	uint32_t len; /* bytes, not 0 */
};

/* A buffer to make available: @out_num device-readable pieces, then @in_num device-writable ones,
 * at least one in all. */
struct vio_drvq_buf {
	const struct vio_seg *segs;
	uint16_t out_num;
	uint16_t in_num;
	void *token; /* not NULL; comes back from vio_drvq_reap_burst() */
};

/* A buffer that the device has used. */
struct vio_drvq_done {
	void *token;
	uint32_t len; /* bytes that the device says it wrote; checked to be at most what was posted */
};

struct vio_drvq_setup {
	uint32_t num;	   /* descriptors */
	uint64_t features; /* negotiated: INDIRECT_DESC, EVENT_IDX, IN_ORDER, RING_PACKED, ... */
	struct vio_vq_areas areas; /* zeroed by the caller */
	/*
	 * Optional indirect tables: @indirect_tables tables of @indirect_max descriptors each
	 * (16 bytes a descriptor) at @indirect, device address @indirect_addr. Used for buffers of
	 * more than one piece when INDIRECT_DESC is negotiated; without, chains are linked in the
	 * ring.
	 */
	void *indirect;
	uint64_t indirect_addr;
	uint16_t indirect_max;
	uint16_t indirect_tables;
};

/* Private storage for a driver queue of @num descriptors: bytes, to be aligned to 64. */
VIO_API size_t vio_drvq_bytes(uint32_t num, uint64_t features);

/*
 * Sets up a queue in @storage (vio_drvq_bytes() bytes, aligned to 64, owned by the caller for as
 * long as the queue is used). The ring is empty and interrupts ("used notifications") are off.
 * Returns 0; -EINVAL for a bad size, missing or unaligned areas, bad tables.
 */
VIO_API int vio_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **q);

/* Buffers of one piece that can still be added (descriptors free). */
VIO_API uint32_t vio_drvq_free(const struct vio_drvq *q);
/* Buffers added and not yet reaped. */
VIO_API uint32_t vio_drvq_in_flight(const struct vio_drvq *q);
VIO_API uint32_t vio_drvq_size(const struct vio_drvq *q);
VIO_API enum vio_vq_error vio_drvq_error(const struct vio_drvq *q);
/* Marks the queue broken for a reason found above the ring. */
VIO_API void vio_drvq_break(struct vio_drvq *q, enum vio_vq_error why);

/*
 * Adds up to @n buffers; the device sees none of them before vio_drvq_publish(). Returns how many
 * were taken (it stops at the first that does not fit); -EINVAL when the first has no pieces or
 * more than the ring has descriptors; -EPROTO when the queue is broken.
 */
VIO_API int vio_drvq_add_burst(struct vio_drvq *q, const struct vio_drvq_buf *bufs, unsigned n);

/*
 * The same for buffers of one piece each, all of them device-writable or none: piece @segs[i] of the
 * buffer whose token is @tokens[i]. Returns how many were taken, as many as there is room for;
 * -EPROTO when the queue is broken. Lengths of 0 are the caller's mistake and not looked for. The
 * fastest way in: such buffers go four at a time where the processor can.
 */
VIO_API int vio_drvq_add_singles(struct vio_drvq *q, const struct vio_seg *segs,
				 void *const *tokens, unsigned n, bool write);

/*
 * Makes everything added visible to the device (virtio 1.4, 2.7.13.3) and tells whether the device
 * wants a kick ("available notification", 2.7.10). The caller then kicks through its transport.
 */
VIO_API bool vio_drvq_publish(struct vio_drvq *q);

/*
 * The two halves of that. Between the store that publishes and the load that tells whether the
 * device wants a kick, a core has to wait until other cores have seen the store; whoever has other
 * work puts it in between. vio_drvq_must_kick() speaks of all that was shown since it was last
 * asked, and has to be asked before the caller goes away: a device that sleeps is not woken before.
 */
VIO_API void vio_drvq_show(struct vio_drvq *q);
VIO_API bool vio_drvq_must_kick(struct vio_drvq *q);

/*
 * Takes up to @n used buffers. Returns their number, or -EPROTO when the queue is (or just became)
 * broken: buffers before the bad one are delivered first.
 *
 * With IN_ORDER the device may say of a batch of buffers only how much it wrote into the last; the
 * others count as written to their end (virtio 1.4, 2.7.9 and 2.8.8), and that is their len.
 */
VIO_API int vio_drvq_reap_burst(struct vio_drvq *q, struct vio_drvq_done *done, unsigned n);

/* Asks for the cache lines that the next vio_drvq_reap_burst() looks at first, so that it need not wait
 * for them. Reads nothing; changes nothing; works on a broken queue, where it does nothing. */
VIO_API void vio_drvq_prefetch(const struct vio_drvq *q);

/* True when the device has used something that was not reaped. Reads one shared word. */
VIO_API bool vio_drvq_has_used(const struct vio_drvq *q);

/*
 * Asks the device for an interrupt when it next uses a buffer; with @after > 0 and EVENT_IDX, only
 * once it has used @after more than one (or all that are in flight, when those are fewer). Returns
 * true when so many used buffers are there already: the caller must reap them, for no interrupt
 * will come for those (virtio 1.4, 2.7.7.1; assertion 14). Asks once: to be asked anew after each
 * reap. In a packed ring it is descriptors that are counted: the interrupt comes at that buffer when
 * all in flight have as many, else about there. False on a broken queue.
 */
VIO_API bool vio_drvq_notify_enable(struct vio_drvq *q, uint16_t after);
VIO_API void vio_drvq_notify_disable(struct vio_drvq *q);

/*
 * Takes back a buffer that the device has not used; only when the device cannot touch the queue any
 * more (after reset). Returns its token, or NULL when there is none left. Works on a broken queue.
 */
VIO_API void *vio_drvq_detach(struct vio_drvq *q);

/* The 16-bit available index (split) or next position with wrap (packed), for NOTIFICATION_DATA. */
VIO_API uint16_t vio_drvq_avail_pos(const struct vio_drvq *q);

/* ------------------------------------------------------------------------------------------
 * The device side
 */
struct vio_devq; /* opaque; lives in storage that the caller supplies */

/*
 * A buffer taken from the driver: translated and checked pieces in local memory, device-readable
 * ones first. The caller owns the array; @iov points into the pool given to vio_devq_pop_burst().
 */
struct vio_chain {
	struct vio_iov *iov;
	uint16_t out_num; /* device-readable pieces: iov[0 .. out_num) */
	uint16_t in_num;  /* device-writable pieces: iov[out_num .. out_num + in_num) */
	uint32_t out_len; /* bytes of each part; never more than 2^32-1 together */
	uint32_t in_len;
	uint16_t id;	  /* set by pop: head (split) or buffer id (packed) */
	uint16_t slots;	  /* set by pop: ring slots that it took */
	uint32_t written; /* set by the device before push: bytes written to the in part */
};

struct vio_devq_setup {
	uint32_t num;
	uint64_t features;	   /* negotiated */
	struct vio_vq_areas areas; /* checked spans */
	/*
	 * Where to go on. Split: the next available index, 0 on a fresh ring. Packed: the next
	 * available position, off:15|wrap:1, in the low half, the next used one in the high half,
	 * 0x80008000 on a fresh ring. The ring goes on at the used one, so that what lies between
	 * is taken (again); a high half of 0 stands for the same as the low one.
	 */
	uint32_t base;
};

/* Private storage for a device queue of @num descriptors: bytes, to be aligned to 64. */
VIO_API size_t vio_devq_bytes(uint32_t num, uint64_t features);

/*
 * Sets up a queue in @storage (vio_devq_bytes() bytes, aligned to 64, the caller's for as long as
 * the queue is used). Kicks are disabled. For split the used index goes on from what the used ring
 * holds (which the driver may have written: it is only ever counted from). Returns 0; -EINVAL for
 * a bad size, base, missing, unaligned or overlapping areas.
 */
VIO_API int vio_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **q);

/* The same ring at other local addresses (guest memory was mapped anew). @areas as in setup. */
VIO_API void vio_devq_move(struct vio_devq *q, const struct vio_vq_areas *areas);

VIO_API uint32_t vio_devq_size(const struct vio_devq *q);
/* Buffers popped and not yet pushed. */
VIO_API uint32_t vio_devq_in_flight(const struct vio_devq *q);
VIO_API enum vio_vq_error vio_devq_error(const struct vio_devq *q);
VIO_API void vio_devq_break(struct vio_devq *q, enum vio_vq_error why);
/* Where a later vio_devq_init() goes on (vhost-user GET_VRING_BASE): the format of setup.base. With
 * buffers in flight, those are counted as not taken only after vio_devq_unpop(). */
VIO_API uint32_t vio_devq_base(const struct vio_devq *q);

/*
 * Takes up to @n buffers. Each descriptor is read from shared memory exactly once, translated
 * through @mem and checked; the pieces are written to the pool @iov of @niov entries, each chain
 * preceded by one spare entry that is the caller's (iov[-1]). Stops early when the pool has no room
 * for the next chain (an empty pool of vio_devq_pool_min() entries holds any legal chain).
 *
 * Returns the number of chains, 0 when there are none; -EPROTO when the queue is broken: chains
 * before the bad one are delivered first, by a call of their own.
 */
VIO_API int vio_devq_pop_burst(struct vio_devq *q, const struct vio_mem *mem,
			       struct vio_chain *chains, unsigned n, struct vio_iov *iov,
			       unsigned niov);

/*
 * The same while chains that were popped before are still to be worked on: a bad chain is left for
 * the next vio_devq_pop_burst() to meet, so that what came before it can be returned first. Returns
 * the number of chains, 0 also on a broken queue.
 */
VIO_API int vio_devq_pop_ahead(struct vio_devq *q, const struct vio_mem *mem,
			       struct vio_chain *chains, unsigned n, struct vio_iov *iov,
			       unsigned niov);

/* Pool entries that hold any one legal chain of a queue of @num descriptors: a chain in more pieces
 * than this breaks the queue. */
VIO_API unsigned vio_devq_pool_min(uint32_t num);

/* Gives back the last @n chains popped, in the order they were popped, so that the next pop sees
 * them again. None of them may have been pushed. */
VIO_API void vio_devq_unpop(struct vio_devq *q, const struct vio_chain *chains, unsigned n);

/*
 * Returns @n buffers to the driver with chains[i].written bytes each (assertion 7), with IN_ORDER
 * those that were popped first. The driver sees none of them before vio_devq_publish(). Returns 0,
 * or -EPROTO on a broken queue.
 */
VIO_API int vio_devq_push_burst(struct vio_devq *q, const struct vio_chain *chains, unsigned n);

/* Makes what was pushed visible and tells whether the driver wants an interrupt (virtio 1.4, 2.7.7
 * and 2.7.8.2). */
VIO_API bool vio_devq_publish(struct vio_devq *q);

/*
 * Of the buffers pushed from now on vio_devq_publish() leaves the last @keep to a later call, as long
 * as the driver polls: has interrupts switched off by flag. With 0, which is how a queue begins, the
 * next call makes all visible. A driver that goes by how much of its ring was used, and empties a ring
 * that was used whole at one go, does better when that never comes to pass (src/device/queue.c); but
 * one that waits for its last buffer waits until the caller has set 0 again. Returns how many are going
 * to be kept: 0 of a driver that does not poll; with EVENT_IDX, where a driver says when it wants to
 * hear of its buffers; and on a packed ring, which does not show how much of it was used.
 */
VIO_API uint32_t vio_devq_keep_back(struct vio_devq *q, uint32_t keep);

/* True when the driver has made something available that was not popped. Reads one shared word. */
VIO_API bool vio_devq_has_avail(struct vio_devq *q);

/* How many buffers the driver has made available that were not popped. Reads one shared word, or in
 * a packed ring one for each descriptor of theirs. */
VIO_API uint32_t vio_devq_avail_count(struct vio_devq *q);

/*
 * Asks the driver for a kick as soon as more than @beyond buffers are available (0: any at all; a
 * receiver that needs more than are there passes what it saw). Returns true when there are more
 * already: the caller must look, for no kick will come for those. In a packed ring with EVENT_IDX
 * the kick may come before so many, when what comes is in chains of several descriptors.
 */
VIO_API bool vio_devq_kick_enable(struct vio_devq *q, uint32_t beyond);
VIO_API void vio_devq_kick_disable(struct vio_devq *q);

#ifdef __cplusplus
}
#endif
#endif
