/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two sides of a split ring have in common (virtio 1.4, 2.7). */
#ifndef VIO_RING_SPLIT_H
#define VIO_RING_SPLIT_H

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "ring/ring.h"

/*
 * A descriptor as two words, so that it moves with two loads or stores: the address, and length,
 * flags and next together. Holds values of this machine's byte order in private memory and
 * little-endian ones in shared memory; struct vio_virtq_desc is the same memory by field.
 */
struct split_desc {
	uint64_t addr;
	uint64_t meta; /* len:32 | flags:16 | next:16 */
} __attribute__((may_alias));

VIO_STATIC_ASSERT(sizeof(struct split_desc) == sizeof(struct vio_virtq_desc), "not a descriptor");

#define SPLIT_META_NEXT	    ((uint64_t)VIO_DESC_F_NEXT << 32)
#define SPLIT_META_WRITE    ((uint64_t)VIO_DESC_F_WRITE << 32)
#define SPLIT_META_INDIRECT ((uint64_t)VIO_DESC_F_INDIRECT << 32)
/* The meta of no descriptor that we write: a shadow that holds it differs from all. */
#define SPLIT_META_NONE UINT64_MAX

static vio_always_inline uint32_t split_meta_len(uint64_t meta)
{
	return (uint32_t)meta;
}

static vio_always_inline uint16_t split_meta_next(uint64_t meta)
{
	return (uint16_t)(meta >> 48);
}

/*
 * Whether moving an index from @old to @new passed @event (virtio 1.4, 2.7.10: the side that reads
 * the event word asks for a notification "when the index reaches event + 1"). All modulo 2^16.
 */
static vio_always_inline bool split_need_event(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

#endif
