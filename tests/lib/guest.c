/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest.h"

#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "check.h"

void guest_create(struct guest *g, uint64_t region_size)
{
	struct vio_mem_region regions[GUEST_REGIONS];
	unsigned i;

	memset(g, 0, sizeof(*g));
	g->region_size = region_size;
	g->next = GUEST_BASE;
	for (i = 0; i < GUEST_REGIONS; i++) {
		g->host[i] = aligned_alloc(4096, region_size);
		check(g->host[i] != NULL);
		memset(g->host[i], 0, region_size);
		regions[i] = (struct vio_mem_region){
			.guest_addr = guest_region(g, i),
			.size = region_size,
			.host = g->host[i],
		};
	}
	g->mem = malloc(vio_mem_bytes(GUEST_REGIONS));
	check(g->mem != NULL);
	check(vio_mem_init(g->mem, regions, GUEST_REGIONS) == 0);
}

void guest_destroy(struct guest *g)
{
	unsigned i;

	for (i = 0; i < GUEST_REGIONS; i++)
		free(g->host[i]);
	free(g->mem);
}

uint64_t guest_region(const struct guest *g, unsigned i)
{
	return GUEST_BASE + i * g->region_size;
}

uint64_t guest_alloc(struct guest *g, uint64_t len, uint64_t align)
{
	uint64_t addr = vio_align_up(g->next, align);
	uint64_t left = g->region_size - (addr - GUEST_BASE) % g->region_size;

	if (left < len)
		addr += left;
	g->next = addr + len;
	check(len <= g->region_size);
	check(g->next <= guest_region(g, GUEST_REGIONS));
	memset(guest_at(g, addr), 0, len);
	return addr;
}

void *guest_at(const struct guest *g, uint64_t addr)
{
	uint64_t off = addr - GUEST_BASE;

	return g->host[off / g->region_size] + off % g->region_size;
}

void guest_queue_create(struct guest_queue *q, struct guest *g, uint32_t num, uint64_t features)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(num, features);
	struct vio_drvq_setup setup = { .num = num, .features = features };

	memset(q, 0, sizeof(*q));
	q->g = g;
	q->num = num;
	q->desc_addr = guest_alloc(g, sizes.desc, sizes.desc_align);
	q->areas.desc = guest_at(g, q->desc_addr);
	q->areas.driver = guest_at(g, guest_alloc(g, sizes.driver, sizes.driver_align));
	q->areas.device = guest_at(g, guest_alloc(g, sizes.device, sizes.device_align));
	q->desc = q->areas.desc;
	q->avail = q->areas.driver;
	q->used = q->areas.device;
	setup.areas = q->areas;
	q->storage = aligned_alloc(64, vio_align_up(vio_drvq_bytes(num, features), 64));
	check(q->storage != NULL);
	check(vio_drvq_init(q->storage, &setup, &q->drv) == 0);
}

void guest_queue_destroy(struct guest_queue *q)
{
	free(q->storage);
	q->storage = NULL;
	q->drv = NULL;
}

struct vio_devq_setup guest_queue_setup(const struct guest_queue *q, uint32_t base)
{
	return (struct vio_devq_setup){ .num = q->num, .areas = q->areas, .base = base };
}

void guest_queue_desc(struct guest_queue *q, unsigned i, uint64_t addr, uint32_t len,
		      uint16_t flags, uint16_t next)
{
	vio_store(&q->desc[i].addr, vio_le64(addr));
	vio_store(&q->desc[i].len, vio_le32(len));
	vio_store(&q->desc[i].flags, vio_le16(flags));
	vio_store(&q->desc[i].next, vio_le16(next));
}

void guest_queue_avail(struct guest_queue *q, uint16_t head)
{
	uint16_t idx = vio_le16(q->avail->idx);

	vio_store(&q->avail->ring[idx % q->num], vio_le16(head));
	vio_store_release(&q->avail->idx, vio_le16((uint16_t)(idx + 1)));
}

uint16_t guest_queue_used_idx(const struct guest_queue *q)
{
	return vio_le16(vio_load_acquire(&q->used->idx));
}
