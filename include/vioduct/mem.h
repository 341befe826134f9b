/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory as the device sees it: an immutable table of regions.
 *
 * This is the only place where an address that a peer wrote becomes a pointer. A table is built
 * once, checked, and never changed; a queue that is running keeps the table it was given until its
 * own context takes the next one, so no burst ever sees half of a change. Whoever built a table
 * frees it after the last queue has let go.
 */
#ifndef VIODUCT_MEM_H
#define VIODUCT_MEM_H

#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_MEM_MAX_REGIONS 512

struct vio_mem_region {
	uint64_t guest_addr; /* first guest physical address */
	uint64_t size;	     /* bytes, not 0 */
	uint64_t user_addr;  /* where the front end has it (vhost-user ring addresses), or 0 */
	void *host;	     /* where we have it */
};

/* A checked table; regions are sorted by guest address. Read it, never write it. */
struct vio_mem {
	uint32_t count;
	struct vio_mem_region regions[];
};

/* Bytes that a table of @count regions takes. @count up to VIO_MEM_MAX_REGIONS. */
VIO_API size_t vio_mem_bytes(uint32_t count);

/*
 * Builds a table of @count copies of @regions in @m, which has vio_mem_bytes(@count) bytes and is
 * the caller's.
 *
 * Returns 0; -EINVAL when a region has size 0, no host pointer, or wraps around 2^64 (in guest,
 * user or host addresses; one may end exactly there); -EEXIST when two overlap in guest addresses;
 * -E2BIG for more than VIO_MEM_MAX_REGIONS.
 */
VIO_API int vio_mem_init(struct vio_mem *m, const struct vio_mem_region *regions, uint32_t count);

/*
 * The local pointer to guest addresses [@addr, @addr + @len), all within one region, or NULL.
 * @len 0 gives NULL. *@hint is the region that was hit last: the caller keeps one per queue,
 * starts it at 0, and may share it with nobody. Safe from any thread.
 */
VIO_API void *vio_mem_span(const struct vio_mem *m, uint32_t *hint, uint64_t addr, uint64_t len);

/*
 * Like vio_mem_span() for a range that may run through several regions that touch in guest
 * addresses: fills up to @max pieces of @iov. Returns their number; -EFAULT when any byte lies
 * outside, whether or not there was room; -E2BIG when @max pieces are too few; 0 for @len 0.
 */
VIO_API int vio_mem_iov(const struct vio_mem *m, uint32_t *hint, uint64_t addr, uint64_t len,
			struct vio_iov *iov, int max);

/* As vio_mem_span(), by the front end's own virtual address (vhost-user ring addresses). */
VIO_API void *vio_mem_user_span(const struct vio_mem *m, uint64_t user_addr, uint64_t len);

#ifdef __cplusplus
}
#endif
#endif
