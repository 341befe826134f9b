/* SPDX-License-Identifier: BSD-2-Clause */
/* Our side of a ring image as most tests call it: with chains and tokens that each program has once. */
#ifndef TESTS_RING_CALLS_H
#define TESTS_RING_CALLS_H

#include <string.h>

#include "ring_image.h"

#define NEXT	 VIO_DESC_F_NEXT
#define WRITE	 VIO_DESC_F_WRITE
#define TABLE	 VIO_DESC_F_INDIRECT
#define POOL_LEN 256

/* ---- The device ---------------------------------------------------------------------------- */

static struct vio_chain chains[64];
static struct vio_iov pool[POOL_LEN];

/* Nothing is left of the chains popped before. */
static inline int pop(struct ring_image *im, unsigned n)
{
	memset(chains, 0xee, sizeof(chains));
	return vio_devq_pop_burst(im->dev, im->mem, chains, n, pool, POOL_LEN);
}

/* ---- The driver ---------------------------------------------------------------------------- */

static int token[64]; /* their addresses are tokens */

static inline int add(struct ring_image *im, const struct vio_seg *segs, unsigned out, unsigned in,
		      void *tok)
{
	struct vio_drvq_buf buf = { segs, (uint16_t)out, (uint16_t)in, tok };

	return vio_drvq_add_burst(im->drv, &buf, 1);
}

/* One descriptor to read, the @i-th place for data. */
static inline int add_one(struct ring_image *im, unsigned i)
{
	struct vio_seg seg = { IMAGE_DATA + i * 0x1000, 100 };

	return add(im, &seg, 1, 0, &token[i % 64]);
}

#endif
