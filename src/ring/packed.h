/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two sides of a packed ring have in common (virtio 1.4, 2.8).
 *
 * There is one ring of descriptors, written by both sides in turns. Two bits in the flags of each
 * say whose turn it is, against a wrap counter that each side flips whenever it passes the end: so a
 * position is an offset and a wrap counter, here as the two bits that mean "available" or "used"
 * in that lap. Flipping the counter flips both bits, in either.
 *
 * Each side writes what it has for the other from where it left off on, the words that hold the
 * flags of the first descriptor excepted: this word is kept back, and storing it publishes all.
 */
#ifndef VIO_RING_PACKED_H
#define VIO_RING_PACKED_H

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "ring/ring.h"

/* Flags in ring_desc.meta. */
#define PACKED_META_NEXT     ((uint64_t)VIO_DESC_F_NEXT << 48)
#define PACKED_META_WRITE    ((uint64_t)VIO_DESC_F_WRITE << 48)
#define PACKED_META_INDIRECT ((uint64_t)VIO_DESC_F_INDIRECT << 48)

/* The owner bits alone, as flags. */
#define PACKED_OWNER (VIO_DESC_F_AVAIL | VIO_DESC_F_USED)

static vio_always_inline uint32_t packed_meta_flags(uint64_t meta)
{
	return (uint32_t)(meta >> 48);
}

static vio_always_inline uint32_t packed_meta_len(uint64_t meta)
{
	return (uint32_t)meta;
}

static vio_always_inline uint16_t packed_meta_id(uint64_t meta)
{
	return (uint16_t)(meta >> 32);
}

/* A place in the ring. */
struct packed_pos {
	uint32_t off;
	bool wrap; /* the wrap counter */
};

/* The owner bits of a descriptor that is available, or used, in the lap of wrap counter @wrap
 * (virtio 1.4, 2.8.1), as flags. */
static vio_always_inline uint32_t packed_avail_bits(bool wrap)
{
	return wrap ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED;
}

static vio_always_inline uint32_t packed_used_bits(bool wrap)
{
	return wrap ? PACKED_OWNER : 0;
}

static vio_always_inline bool packed_is_avail(uint64_t meta, bool wrap)
{
	return (packed_meta_flags(meta) & PACKED_OWNER) == packed_avail_bits(wrap);
}

static vio_always_inline bool packed_is_used(uint64_t meta, bool wrap)
{
	return (packed_meta_flags(meta) & PACKED_OWNER) == packed_used_bits(wrap);
}

/* How many descriptors there are from @pos to the end of the ring, but at most @n: so many can be
 * gone through without a look at the end. */
static vio_always_inline uint32_t packed_run(struct packed_pos pos, uint32_t n, uint32_t num)
{
	return vio_min(n, num - pos.off);
}

/* @n descriptors on, at most @num. */
static vio_always_inline struct packed_pos packed_forward(struct packed_pos pos, uint32_t n,
							  uint32_t num)
{
	pos.off += n;
	if (pos.off >= num) {
		pos.off -= num;
		pos.wrap = !pos.wrap;
	}
	return pos;
}

/* @n descriptors back, at most @num. */
static vio_always_inline struct packed_pos packed_back(struct packed_pos pos, uint32_t n,
						       uint32_t num)
{
	if (pos.off < n) {
		pos.off += num;
		pos.wrap = !pos.wrap;
	}
	pos.off -= n;
	return pos;
}

/* As event suppression, NOTIFICATION_DATA and vhost-user have it: offset:15 | wrap:1. */
static vio_always_inline uint16_t packed_encode(struct packed_pos pos)
{
	return (uint16_t)(pos.off | (uint32_t)pos.wrap << 15);
}

static vio_always_inline struct packed_pos packed_decode(uint16_t code)
{
	return (struct packed_pos){ code & 0x7fffu, code >> 15 != 0 };
}

/* An event suppression structure as one word, so that it is read and written at once (2.8.14). */
typedef uint32_t packed_event __attribute__((may_alias));

#define PACKED_EVENT_ENABLE  ((uint32_t)VIO_RING_EVENT_ENABLE << 16)
#define PACKED_EVENT_DISABLE ((uint32_t)VIO_RING_EVENT_DISABLE << 16)

/* "When this descriptor is made available, or used." */
static vio_always_inline uint32_t packed_event_at(struct packed_pos pos)
{
	return packed_encode(pos) | (uint32_t)VIO_RING_EVENT_DESC << 16;
}

/*
 * Whether the other side, which says @event, is to be told that we went @moved descriptors on, to
 * @new (virtio 1.4, 2.8.10). What it may not say means that it is.
 */
static vio_always_inline bool packed_need_event(uint32_t event, bool event_idx,
						struct packed_pos new, uint32_t moved, uint32_t num)
{
	struct packed_pos at = packed_decode((uint16_t)event);
	uint32_t flags = event >> 16 & VIO_RING_EVENT_MASK;

	if (flags == VIO_RING_EVENT_DISABLE)
		return false;
	if (flags != VIO_RING_EVENT_DESC || !event_idx)
		return true;
	/* An offset of the other wrap counter lies a lap behind. */
	if (at.wrap != new.wrap)
		at.off -= num;
	return ring_need_event((uint16_t)at.off, (uint16_t) new.off, (uint16_t)(new.off - moved));
}

/*
 * Asks for the lines of the @n descriptors from @desc on, for writing, when the first has the flags
 * @want of those in @mask. Who reads a descriptor of the other side's writes it some time later: a line
 * that comes for both comes once. Without the first there may be none, and they would only be taken
 * away from who writes them. What is read here is a hint and nothing more.
 */
static vio_always_inline void packed_ask(const struct ring_desc *desc, uint32_t want, uint32_t mask,
					 uint32_t n)
{
	uint32_t i;

	if (n < 8 || (packed_meta_flags(vio_le64(vio_load(&desc->meta))) ^ want) & mask)
		return;
	for (i = 0; i < n; i += 4)
		vio_prefetch_write(&desc[i]);
}

#endif
