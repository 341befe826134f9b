/* SPDX-License-Identifier: BSD-2-Clause */
/* The data path's way into the region table: inline as long as the last region is hit again. */
#ifndef VIO_MEM_MEM_H
#define VIO_MEM_MEM_H

#include <vioduct/mem.h>

#include "base/bits.h"

/*
 * The offset of [@addr, @addr + @len) in @r goes to *@off. False when a byte of it lies outside, or
 * @len is 0. No sum is made of what a peer wrote, so nothing can overflow: an @addr below the
 * region wraps to an offset past its size (a region ends by 2^64), and a @len of 0 to more than is
 * left.
 */
static vio_always_inline bool vio_mem_holds(const struct vio_mem_region *r, uint64_t addr,
					    uint64_t len, uint64_t *off)
{
	*off = addr - r->guest_addr;
	return *off < r->size && len - 1 < r->size - *off;
}

/* vio_mem_span() by search, when the hint did not help. */
void *vio_mem_span_search(const struct vio_mem *m, uint32_t *hint, uint64_t addr, uint64_t len);

/* vio_mem_span() for data paths. */
static vio_always_inline void *vio_mem_span_fast(const struct vio_mem *m, uint32_t *hint,
						 uint64_t addr, uint64_t len)
{
	uint32_t i = *hint;
	uint64_t off;

	/* The hint may stem from a longer table. */
	if (vio_likely(i < m->count) && vio_likely(vio_mem_holds(&m->regions[i], addr, len, &off)))
		return (char *)m->regions[i].host + off;
	return vio_mem_span_search(m, hint, addr, len);
}

#endif
