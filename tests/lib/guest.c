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
	q->pdesc = q->areas.desc;
	q->packed = features & vio_feature(VIO_F_RING_PACKED);
	q->in_order = features & vio_feature(VIO_F_IN_ORDER);
	q->post_at.wrap = q->take_at.wrap = true;
	q->ids = calloc(num, sizeof(*q->ids));
	q->slots = calloc(num, sizeof(*q->slots));
	check(q->ids != NULL && q->slots != NULL);
	setup.areas = q->areas;
	q->storage = aligned_alloc(64, vio_align_up(vio_drvq_bytes(num, features), 64));
	check(q->storage != NULL);
	check(vio_drvq_init(q->storage, &setup, &q->drv) == 0);
}

void guest_queue_destroy(struct guest_queue *q)
{
	free(q->ids);
	free(q->slots);
	free(q->storage);
	q->ids = q->slots = NULL;
	q->storage = NULL;
	q->drv = NULL;
}

struct vio_devq_setup guest_queue_setup(const struct guest_queue *q, uint32_t base)
{
	if (q->packed && base == 0)
		base = 0x80008000;
	return (struct vio_devq_setup){ .num = q->num, .areas = q->areas, .base = base };
}

/* ---- By hand, in any format ---------------------------------------------------------------- */

/* In a split ring the index counts on. */
static struct lap_pos forward(const struct guest_queue *q, struct lap_pos at, uint32_t n)
{
	return lap_forward(at, n, q->packed ? q->num : UINT32_MAX);
}

uint16_t *guest_queue_flags(struct guest_queue *q, unsigned i)
{
	return q->packed ? &q->pdesc[i].flags : &q->desc[i].flags;
}

/* The head last. Only the last descriptor has the id. */
static uint16_t post_packed(struct guest_queue *q, const struct vio_virtq_desc *d, unsigned n)
{
	uint16_t id = (uint16_t)q->post_at.off;

	for (unsigned i = n; i-- > 0;) {
		struct lap_pos at = forward(q, q->post_at, i);
		struct vio_pvirtq_desc *to = &q->pdesc[at.off];

		to->addr = vio_le64(d[i].addr);
		to->len = vio_le32(d[i].len);
		to->id = vio_le16(id);
		vio_store_release(
			&to->flags,
			vio_le16((uint16_t)(d[i].flags | (i + 1 < n ? VIO_DESC_F_NEXT : 0) |
					    lap_avail(at))));
	}
	q->post_at = forward(q, q->post_at, n);
	return id;
}

static uint16_t post_split(struct guest_queue *q, const struct vio_virtq_desc *d, unsigned n)
{
	uint16_t head = q->next_desc;

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = q->next_desc;

		q->next_desc = (uint16_t)((at + 1u) % q->num);
		guest_queue_desc(q, at, d[i].addr, d[i].len,
				 (uint16_t)(d[i].flags | (i + 1 < n ? VIO_DESC_F_NEXT : 0)),
				 q->next_desc);
	}
	guest_queue_avail(q, head);
	return head;
}

uint16_t guest_queue_post(struct guest_queue *q, const struct vio_virtq_desc *d, unsigned n)
{
	uint16_t id = q->packed ? post_packed(q, d, n) : post_split(q, d, n);

	q->ids[q->posted % q->num] = id;
	q->slots[q->posted++ % q->num] = (uint16_t)n;
	return id;
}

uint16_t guest_queue_post_one(struct guest_queue *q, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct vio_virtq_desc d = { addr, len, flags, 0 };

	return guest_queue_post(q, &d, 1);
}

/* Reads a used element where the next one would be. */
static bool look(const struct guest_queue *q, struct guest_used *used)
{
	if (q->packed) {
		const struct vio_pvirtq_desc *d = &q->pdesc[q->take_at.off];
		uint16_t flags = vio_le16(vio_load_acquire(&d->flags));

		*used = (struct guest_used){ vio_le16(d->id), vio_le32(d->len), 1 };
		return (flags & PACKED_OWNER) == lap_used(q->take_at);
	}
	*used = (struct guest_used){ vio_le32(q->used->ring[q->take_at.off % q->num].id),
				     vio_le32(q->used->ring[q->take_at.off % q->num].len), 1 };
	return (uint16_t)q->take_at.off != guest_queue_used_idx(q);
}

bool guest_queue_take(struct guest_queue *q, struct guest_used *used)
{
	uint32_t slots;

	if (q->taken == q->posted || !look(q, used))
		return false;
	slots = q->slots[q->taken % q->num];
	while (q->in_order && q->ids[q->taken % q->num] != used->id) {
		check(q->taken + 1 != q->posted);
		q->taken++;
		used->buffers++;
		slots += q->slots[q->taken % q->num];
	}
	/* These tests look at devices that use buffers in order, whatever was negotiated. */
	check(q->ids[q->taken % q->num] == used->id);
	q->taken++;
	q->take_at = forward(q, q->take_at, q->packed ? slots : used->buffers);
	return true;
}

unsigned guest_queue_take_all(struct guest_queue *q)
{
	struct guest_used used;
	unsigned n = 0;

	while (guest_queue_take(q, &used))
		n += used.buffers;
	return n;
}

/* ---- By hand, split ------------------------------------------------------------------------ */

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
