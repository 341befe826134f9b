/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A split ring in guest memory for tests, by hand: either side may be ours, and the other is the
 * test, which reads and writes the same memory by field.
 *
 * Guest memory is two regions that touch in guest addresses and lie apart, between guard pages, in
 * ours. The ring is at the start of the first; the rest is for buffers.
 */
#ifndef TESTS_RING_IMAGE_H
#define TESTS_RING_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/mem.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#define IMAGE_BASE   0x100000000ull /* guest address of the first region */
#define IMAGE_REGION (1u << 20)	    /* bytes of each */
#define IMAGE_SEAM   (IMAGE_BASE + IMAGE_REGION)
#define IMAGE_END    (IMAGE_BASE + 2ull * IMAGE_REGION)
/* Where buffers and tables may be: behind a ring of up to 1024 descriptors. */
#define IMAGE_DATA (IMAGE_BASE + 0x10000)

struct ring_image {
	uint32_t num;
	uint64_t features;
	char *low, *high; /* the two regions */
	struct vio_mem *mem;
	struct vio_vq_areas areas;
	struct vio_virtq_desc *desc;
	struct vio_virtq_avail *avail;
	struct vio_virtq_used *used;
	uint16_t *used_event;
	uint16_t *avail_event;
	struct vio_drvq *drv;
	struct vio_devq *dev;
	void *drv_storage, *dev_storage;
	uint16_t next_avail, next_used; /* of the hand-written side */
};

/* Memory and areas, all zero; aborts when there is none. */
void image_open(struct ring_image *im, uint32_t num, uint64_t features);
void image_close(struct ring_image *im);

/* Sets up our side on the image as it is. @base as in struct vio_devq_setup. */
void image_driver(struct ring_image *im);
void image_driver_indirect(struct ring_image *im, uint64_t table, uint16_t max, uint16_t tables);
void image_device(struct ring_image *im, uint32_t base);

/* Our pointer to guest address @addr, which must be in one of the regions. */
void *image_at(const struct ring_image *im, uint64_t addr);
/* Whether [@p, @p + @len) lies in one of the regions. */
bool image_holds(const struct ring_image *im, const void *p, size_t len);

/* The other side by hand. */
void image_desc(struct ring_image *im, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next);
void image_make_avail(struct ring_image *im, uint16_t head); /* entry and index */
void image_make_used(struct ring_image *im, uint32_t id, uint32_t len);

/* All of the shared memory, to see later whether anything was touched. */
void *image_snapshot(const struct ring_image *im);
bool image_unchanged(const struct ring_image *im, void *snapshot); /* frees it */

#endif
