/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the device sides of both formats do with a buffer once they have read its descriptor:
 * translate it, and gather the pieces of a chain.
 *
 * Nearly all chains are one descriptor, or a header and its data in two, in the region of memory
 * that was hit last: these are the functions that are inlined into the burst loops. All else is
 * walked, a descriptor at a time.
 */
#ifndef VIO_RING_CHAIN_H
#define VIO_RING_CHAIN_H

#include <string.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "mem/mem.h"
#include "ring/ring.h"

/* Pieces beyond one a descriptor that a chain may have because regions touch in its buffers. */
#define CHAIN_EXTRA_PIECES 63
/* Regions that an indirect table may run over. */
#define CHAIN_TABLE_PIECES 16

/* How a walk ends that does not end well: with the reason, negative, or with this. */
#define CHAIN_NO_ROOM (-1000)

/* A chain under way. */
struct chain_walk {
	const struct vio_mem *mem;
	uint32_t *hint;	     /* the region hit last */
	uint32_t num;	     /* descriptors of the queue */
	struct vio_iov *iov; /* where the pieces go */
	unsigned room;	     /* for how many */
	unsigned out_num, in_num;
	uint64_t out_len, in_len;
};

/* ---- In the loops of the bursts ------------------------------------------------------------- */

/* The region that was hit last, copied, so that a burst's checks are made in registers. */
static vio_always_inline struct vio_mem_region chain_region(const struct vio_mem *mem,
							    uint32_t hint)
{
	if (vio_unlikely(hint >= mem->count))
		return (struct vio_mem_region){ .size = 0 };
	return mem->regions[hint];
}

/* Whether the buffer is wholly in @r; then it becomes @iov. */
static vio_always_inline bool chain_map(const struct vio_mem_region *r, uint64_t addr, uint32_t len,
					struct vio_iov *iov)
{
	uint64_t off;

	if (vio_unlikely(!vio_mem_holds(r, addr, len, &off)))
		return false;
	iov->base = (char *)r->host + off;
	iov->len = len;
	return true;
}

/* Fills in @chain for one buffer of @len bytes, which is at @iov. */
static vio_always_inline void chain_set_one(struct vio_chain *chain, uint32_t len, bool write,
					    struct vio_iov *iov)
{
	chain->iov = iov;
	if (write) {
		chain->out_num = 0;
		chain->in_num = 1;
		chain->out_len = 0;
		chain->in_len = len;
	} else {
		chain->out_num = 1;
		chain->in_num = 0;
		chain->out_len = len;
		chain->in_len = 0;
	}
}

/* A buffer as a descriptor says it. */
struct chain_buffer {
	uint64_t addr;
	uint32_t len;
	bool write;
};

/* Takes a chain of the buffers @b and @c. Returns whether it was as plain as that. */
static vio_always_inline bool chain_set_two(const struct vio_mem_region *r, struct chain_buffer b,
					    struct chain_buffer c, struct vio_chain *chain,
					    struct vio_iov *iov)
{
	if (vio_unlikely(b.write > c.write || b.len > UINT32_MAX - c.len))
		return false;
	if (vio_unlikely(!chain_map(r, b.addr, b.len, &iov[0]) ||
			 !chain_map(r, c.addr, c.len, &iov[1])))
		return false;
	chain->iov = iov;
	chain->out_num = (uint16_t)(2 - b.write - c.write);
	chain->in_num = (uint16_t)(b.write + c.write);
	chain->out_len = (b.write ? 0 : b.len) + (c.write ? 0 : c.len);
	chain->in_len = (b.write ? b.len : 0) + (c.write ? c.len : 0);
	return true;
}

/* Whether the device has nothing to say of the four @chains: it may not write into any of them. */
static vio_always_inline bool chain_four_read(const struct vio_chain *chains)
{
	return (chains[0].in_num | chains[1].in_num | chains[2].in_num | chains[3].in_num) == 0;
}

/* The ring slots of four chains. */
static vio_always_inline uint32_t chain_four_slots(const struct vio_chain *chains)
{
	return (uint32_t)chains[0].slots + chains[1].slots + chains[2].slots + chains[3].slots;
}

/* ---- Walking -------------------------------------------------------------------------------- */

/* Appends a buffer. Returns 0 or as a walk ends. */
static inline int chain_append(struct chain_walk *w, uint64_t addr, uint32_t len, bool write)
{
	unsigned pieces = w->out_num + w->in_num;
	unsigned most = w->num + CHAIN_EXTRA_PIECES;
	void *base;
	int n;

	if (len == 0)
		return -VIO_VQ_ZERO_LENGTH;
	/* virtio 1.4, 2.7.4.2 and 2.8.17: all device-readable descriptors come first. */
	if (!write && w->in_num > 0)
		return -VIO_VQ_BAD_ORDER;
	base = vio_mem_span_fast(w->mem, w->hint, addr, len);
	if (vio_likely(base && pieces < vio_min(w->room, most))) {
		w->iov[pieces] = (struct vio_iov){ base, len };
		n = 1;
	} else {
		n = vio_mem_iov(w->mem, w->hint, addr, len, w->iov + pieces,
				(int)(vio_min(w->room, most) - pieces));
	}
	if (n == -E2BIG)
		return w->room < most ? CHAIN_NO_ROOM : -VIO_VQ_TOO_LONG;
	if (n < 0)
		return -VIO_VQ_BAD_ADDRESS;
	if (write) {
		w->in_num += (unsigned)n;
		w->in_len += len;
	} else {
		w->out_num += (unsigned)n;
		w->out_len += len;
	}
	return w->out_len + w->in_len > UINT32_MAX ? -VIO_VQ_TOO_LONG : 0;
}

/*
 * The indirect table of @len bytes at @addr: its memory, or where it runs over the end of a region a
 * copy of it in @copy, which holds as many entries as the queue. NULL when it is not wholly in
 * memory.
 */
static inline const void *chain_table(struct chain_walk *w, uint64_t addr, uint32_t len, void *copy)
{
	const void *table = vio_mem_span_fast(w->mem, w->hint, addr, len);
	struct vio_iov part[CHAIN_TABLE_PIECES];
	char *to = copy;
	int i, n;

	if (vio_likely(table))
		return table;
	n = vio_mem_iov(w->mem, w->hint, addr, len, part, vio_array_size(part));
	if (n < 0)
		return NULL;
	for (i = 0; i < n; i++) {
		memcpy(to, part[i].base, part[i].len);
		to += part[i].len;
	}
	return copy;
}

/* virtio 1.4, 2.7.5.3.1 and 2.8.19: of whole entries, at least one, and no more than the queue. */
static inline bool chain_table_size_ok(const struct chain_walk *w, uint32_t len)
{
	return len != 0 && len % sizeof(struct ring_desc) == 0 &&
	       len / sizeof(struct ring_desc) <= w->num;
}

/* Fills in @chain from a walk that ended well. Returns its pieces. */
static inline int chain_set(struct vio_chain *chain, const struct chain_walk *w)
{
	chain->iov = w->iov;
	chain->out_num = (uint16_t)w->out_num;
	chain->in_num = (uint16_t)w->in_num;
	chain->out_len = (uint32_t)w->out_len;
	chain->in_len = (uint32_t)w->in_len;
	return (int)(w->out_num + w->in_num);
}

/* ---- Reading descriptors -------------------------------------------------------------------- */

/* A load that the compiler may not repeat, of any alignment: indirect tables may have any. */
typedef uint64_t chain_any_word __attribute__((aligned(1), may_alias));

static vio_always_inline struct ring_desc chain_load_any(const void *p)
{
	const volatile chain_any_word *word = p;

	return (struct ring_desc){ vio_le64(word[0]), vio_le64(word[1]) };
}

#endif
