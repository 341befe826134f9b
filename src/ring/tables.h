/* SPDX-License-Identifier: BSD-2-Clause */
/* The indirect tables that the driver side of either format was given (virtio 1.4, 2.7.5.3, 2.8.7). */
#ifndef VIO_RING_TABLES_H
#define VIO_RING_TABLES_H

#include <errno.h>

#include "ring/ring.h"

struct ring_tables {
	struct ring_desc *desc; /* shared, ours to write: tables of @max entries */
	uint64_t addr;		/* the same for the device */
	uint16_t max;
	uint16_t nr_free;
	uint16_t *free; /* stack of table numbers */
};

/* @free holds as many as there are descriptors. */
static inline int ring_tables_init(struct ring_tables *t, const struct vio_drvq_setup *setup,
				   uint16_t *free)
{
	uint32_t i, n = vio_min((uint32_t)setup->indirect_tables, setup->num);

	*t = (struct ring_tables){ .free = free };
	if (!(setup->features & vio_feature(VIO_F_INDIRECT_DESC)) || n == 0)
		return 0;
	if (!setup->indirect || (uintptr_t)setup->indirect % sizeof(struct ring_desc) != 0 ||
	    setup->indirect_max == 0)
		return -EINVAL;
	t->desc = setup->indirect;
	t->addr = setup->indirect_addr;
	t->max = setup->indirect_max;
	for (i = 0; i < n; i++)
		free[i] = (uint16_t)(n - 1 - i);
	t->nr_free = (uint16_t)n;
	return 0;
}

/* Whether a buffer of @n pieces can have a table. */
static inline bool ring_tables_fit(const struct ring_tables *t, unsigned n)
{
	return n <= t->max && t->nr_free > 0;
}

/*
 * The bytes that the device may write into @buf go to *@in_len. False when the ring or a used length
 * can't say all of @buf: it has no pieces, more than the queue has descriptors (virtio 1.4,
 * 2.7.5.3.1, 2.8.17), or more than 2^32-1 bytes.
 */
static inline bool ring_buf_ok(const struct vio_drvq_buf *buf, uint32_t num, uint32_t *in_len)
{
	unsigned i, n = (unsigned)buf->out_num + buf->in_num;
	uint64_t in = 0, total = 0;

	if (n == 0 || n > num)
		return false;
	for (i = 0; i < n; i++) {
		total += buf->segs[i].len;
		if (i >= buf->out_num)
			in += buf->segs[i].len;
	}
	*in_len = (uint32_t)in;
	return total <= UINT32_MAX;
}

#endif
