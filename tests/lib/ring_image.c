/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD 4096u

static void *must(void *p, const char *what)
{
	if (p && p != MAP_FAILED)
		return p;
	fprintf(stderr, "ring_image: no %s\n", what);
	abort();
}

static char *open_region(void)
{
	char *p = must(mmap(NULL, IMAGE_REGION + 2 * GUARD, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		       "address space");

	if (mprotect(p + GUARD, IMAGE_REGION, PROT_READ | PROT_WRITE) != 0)
		must(NULL, "memory");
	return p + GUARD;
}

void image_open(struct ring_image *im, uint32_t num, uint64_t features)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(num, features);
	struct vio_mem_region regions[2];

	memset(im, 0, sizeof(*im));
	im->num = num;
	im->features = features;
	im->low = open_region();
	im->high = open_region();
	regions[0] = (struct vio_mem_region){ IMAGE_BASE, IMAGE_REGION, 0, im->low };
	regions[1] = (struct vio_mem_region){ IMAGE_SEAM, IMAGE_REGION, 0, im->high };
	im->mem = must(malloc(vio_mem_bytes(2)), "memory");
	if (vio_mem_init(im->mem, regions, 2) != 0)
		must(NULL, "region table");
	im->areas.desc = im->low;
	im->areas.driver = im->low + ((sizes.desc + 63) & ~(size_t)63);
	im->areas.device = (char *)im->areas.driver + ((sizes.driver + 63) & ~(size_t)63);
	im->desc = im->areas.desc;
	im->avail = im->areas.driver;
	im->used = im->areas.device;
	im->used_event = &im->avail->ring[num];
	im->avail_event = (uint16_t *)(void *)&im->used->ring[num];
	im->drv_storage = must(aligned_alloc(64, vio_drvq_bytes(num, features)), "driver storage");
	im->dev_storage = must(aligned_alloc(64, vio_devq_bytes(num, features)), "device storage");
}

void image_close(struct ring_image *im)
{
	munmap(im->low - GUARD, IMAGE_REGION + 2 * GUARD);
	munmap(im->high - GUARD, IMAGE_REGION + 2 * GUARD);
	free(im->mem);
	free(im->drv_storage);
	free(im->dev_storage);
}

void image_driver_indirect(struct ring_image *im, uint64_t table, uint16_t max, uint16_t tables)
{
	struct vio_drvq_setup setup = { .num = im->num,
					.features = im->features,
					.areas = im->areas,
					.indirect = tables ? image_at(im, table) : NULL,
					.indirect_addr = table,
					.indirect_max = max,
					.indirect_tables = tables };

	if (vio_drvq_init(im->drv_storage, &setup, &im->drv) != 0)
		must(NULL, "driver queue");
}

void image_driver(struct ring_image *im)
{
	image_driver_indirect(im, 0, 0, 0);
}

void image_device(struct ring_image *im, uint32_t base)
{
	struct vio_devq_setup setup = {
		.num = im->num, .features = im->features, .areas = im->areas, .base = base
	};

	if (vio_devq_init(im->dev_storage, &setup, &im->dev) != 0)
		must(NULL, "device queue");
}

void *image_at(const struct ring_image *im, uint64_t addr)
{
	if (addr >= IMAGE_BASE && addr < IMAGE_SEAM)
		return im->low + (addr - IMAGE_BASE);
	if (addr >= IMAGE_SEAM && addr < IMAGE_END)
		return im->high + (addr - IMAGE_SEAM);
	return must(NULL, "such guest address");
}

static bool region_holds(const char *region, const char *p, size_t len)
{
	return p >= region && p <= region + IMAGE_REGION &&
	       len <= (size_t)(region + IMAGE_REGION - p);
}

bool image_holds(const struct ring_image *im, const void *p, size_t len)
{
	return region_holds(im->low, p, len) || region_holds(im->high, p, len);
}

void image_desc(struct ring_image *im, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	im->desc[i] = (struct vio_virtq_desc){ addr, len, flags, next };
}

void image_make_avail(struct ring_image *im, uint16_t head)
{
	im->avail->ring[im->next_avail % im->num] = head;
	im->avail->idx = ++im->next_avail;
}

void image_make_used(struct ring_image *im, uint32_t id, uint32_t len)
{
	im->used->ring[im->next_used % im->num] = (struct vio_virtq_used_elem){ id, len };
	im->used->idx = ++im->next_used;
}

void *image_snapshot(const struct ring_image *im)
{
	char *copy = must(malloc(2 * IMAGE_REGION), "memory");

	memcpy(copy, im->low, IMAGE_REGION);
	memcpy(copy + IMAGE_REGION, im->high, IMAGE_REGION);
	return copy;
}

bool image_unchanged(const struct ring_image *im, void *snapshot)
{
	bool same = memcmp(snapshot, im->low, IMAGE_REGION) == 0 &&
		    memcmp((char *)snapshot + IMAGE_REGION, im->high, IMAGE_REGION) == 0;

	free(snapshot);
	return same;
}
