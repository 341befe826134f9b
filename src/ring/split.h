/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two sides of a split ring have in common (virtio 1.4, 2.7). */
#ifndef VIO_RING_SPLIT_H
#define VIO_RING_SPLIT_H

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "ring/ring.h"

/* Flags in ring_desc.meta. */
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

#endif
