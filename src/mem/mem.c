/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region table: where a peer's address becomes a pointer, and nowhere else.
 *
 * The table is small (a handful of regions in practice, VIO_MEM_MAX_REGIONS at most), sorted by
 * guest address and checked when it is built: no region is empty or wraps, no two overlap. From
 * then on it is constant, so any number of queues read it without a lock; a change of memory is a
 * new table. What the queues keep of their own is one hint each, the region hit last, which answers
 * nearly every look-up; the rest is a binary search.
 *
 * All checks are made by subtraction from what we know, never by adding to what the peer wrote.
 * Two regions may touch in guest addresses without touching in ours (the memory below and above a
 * VM's PCI hole, or DIMMs), so a span is always of one region, and what may run over a boundary is
 * asked for with vio_mem_iov().
 */
#include "mem/mem.h"

#include <errno.h>
#include <string.h>

size_t vio_mem_bytes(uint32_t count)
{
	return sizeof(struct vio_mem) + count * sizeof(struct vio_mem_region);
}

/* A range may end at 2^64 but not go past it. @size is not 0. */
static bool wraps(uint64_t start, uint64_t size)
{
	return size - 1 > UINT64_MAX - start;
}

static bool region_valid(const struct vio_mem_region *r)
{
	/* No NULL: a span that starts there could not be told from a refusal. */
	return r->size != 0 && r->host != NULL && r->size - 1 <= UINTPTR_MAX - (uintptr_t)r->host &&
	       !wraps(r->guest_addr, r->size) && !wraps(r->user_addr, r->size);
}

/* The number of regions that start at or below @addr. */
static uint32_t rank(const struct vio_mem *m, uint64_t addr)
{
	uint32_t low = 0, high = m->count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (m->regions[mid].guest_addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The region that holds @addr, or NULL. */
static const struct vio_mem_region *find(const struct vio_mem *m, uint64_t addr)
{
	uint32_t i = rank(m, addr);

	if (i == 0 || addr - m->regions[i - 1].guest_addr >= m->regions[i - 1].size)
		return NULL;
	return &m->regions[i - 1];
}

static int insert(struct vio_mem *m, const struct vio_mem_region *r)
{
	uint32_t i = rank(m, r->guest_addr);
	struct vio_mem_region *at = &m->regions[i];

	if (i > 0 && r->guest_addr - at[-1].guest_addr < at[-1].size)
		return -EEXIST;
	if (i < m->count && at->guest_addr - r->guest_addr < r->size)
		return -EEXIST;
	memmove(at + 1, at, (m->count - i) * sizeof(*at));
	*at = *r;
	m->count++;
	return 0;
}

int vio_mem_init(struct vio_mem *m, const struct vio_mem_region *regions, uint32_t count)
{
	int ret = 0;

	m->count = 0;
	if (count > VIO_MEM_MAX_REGIONS)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++)
		if (!region_valid(&regions[i]))
			return -EINVAL;
	for (uint32_t i = 0; i < count && ret == 0; i++)
		ret = insert(m, &regions[i]);
	/* A table that was refused translates nothing. */
	if (ret != 0)
		m->count = 0;
	return ret;
}

vio_noinline void *vio_mem_span_search(const struct vio_mem *m, uint32_t *hint, uint64_t addr,
				       uint64_t len)
{
	const struct vio_mem_region *r = find(m, addr);
	uint64_t off;

	if (r == NULL || !vio_mem_holds(r, addr, len, &off))
		return NULL;
	*hint = (uint32_t)(r - m->regions);
	return (char *)r->host + off;
}

void *vio_mem_span(const struct vio_mem *m, uint32_t *hint, uint64_t addr, uint64_t len)
{
	return vio_mem_span_fast(m, hint, addr, len);
}

int vio_mem_iov(const struct vio_mem *m, uint32_t *hint, uint64_t addr, uint64_t len,
		struct vio_iov *iov, int max)
{
	const struct vio_mem_region *r;
	uint64_t off, piece;
	int n = 0;

	if (len == 0)
		return 0;
	if (wraps(addr, len))
		return -EFAULT;
	r = *hint < m->count ? &m->regions[*hint] : NULL;
	if (r == NULL || !vio_mem_holds(r, addr, 1, &off))
		r = find(m, addr);
	/* Sorted, so what holds the byte after a region can only be the next region. */
	for (; len > 0; r++) {
		if (r == NULL || r == &m->regions[m->count] || !vio_mem_holds(r, addr, 1, &off))
			return -EFAULT;
		piece = vio_min(len, r->size - off);
		if (n < max)
			iov[n] = (struct vio_iov){ (char *)r->host + off, (size_t)piece };
		n++;
		*hint = (uint32_t)(r - m->regions);
		addr += piece;
		len -= piece;
	}
	return n <= max ? n : -E2BIG;
}

void *vio_mem_user_span(const struct vio_mem *m, uint64_t user_addr, uint64_t len)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct vio_mem_region *r = &m->regions[i];
		uint64_t off = user_addr - r->user_addr;

		if (r->user_addr != 0 && off < r->size && len - 1 < r->size - off)
			return (char *)r->host + off;
	}
	return NULL;
}
