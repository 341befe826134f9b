/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for tests of the device side: memory in several regions, which touch in guest addresses
 * and lie apart in ours, and queues in it. A queue is driven through the driver side of the ring
 * (well-behaved guests) or by writing descriptors and indices as one likes (hostile ones); not both.
 */
#ifndef TESTLIB_GUEST_H
#define TESTLIB_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/mem.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#include "lap_pos.h"

#define GUEST_REGIONS 3
#define GUEST_BASE    UINT64_C(0x100000000)

struct guest {
	struct vio_mem *mem;
	uint8_t *host[GUEST_REGIONS];
	uint64_t region_size;
	uint64_t next; /* first guest address not handed out */
};

void guest_create(struct guest *g, uint64_t region_size);
void guest_destroy(struct guest *g);
/* @len bytes within one region; zeroed. Ends the test when there are no more. */
uint64_t guest_alloc(struct guest *g, uint64_t len, uint64_t align);
/* Our address of a guest address. */
void *guest_at(const struct guest *g, uint64_t addr);
/* The guest address at which region @i begins. */
uint64_t guest_region(const struct guest *g, unsigned i);

struct guest_queue {
	struct guest *g;
	uint32_t num;
	struct vio_drvq *drv;
	void *storage;
	struct vio_vq_areas areas;
	uint64_t desc_addr;
	bool packed, in_order;
	/* the same by type: split */
	struct vio_virtq_desc *desc;
	struct vio_virtq_avail *avail;
	struct vio_virtq_used *used;
	/* packed */
	struct vio_pvirtq_desc *pdesc;

	/* by hand, in any format */
	struct lap_pos post_at, take_at; /* packed: where; split: off counts the index */
	uint16_t next_desc;		 /* split: descriptors are taken in a circle */
	uint16_t *ids, *slots;		 /* of what was posted, in that order: a circle of num */
	uint32_t posted, taken;
};

/* A ring of @num descriptors, empty. */
void guest_queue_create(struct guest_queue *q, struct guest *g, uint32_t num, uint64_t features);
/* Ends the driver side; the memory stays the guest's. */
void guest_queue_destroy(struct guest_queue *q);
/* What a device is given to start on this ring; @base 0 is that of a new ring in every format. */
struct vio_devq_setup guest_queue_setup(const struct guest_queue *q, uint32_t base);

/*
 * By hand, in any format: makes the @n descriptors @d available as one buffer, NEXT put in by this.
 * Returns its id.
 */
uint16_t guest_queue_post(struct guest_queue *q, const struct vio_virtq_desc *d, unsigned n);
uint16_t guest_queue_post_one(struct guest_queue *q, uint64_t addr, uint32_t len, uint16_t flags);
/* What the device has used next of that: @buffers at once, which is 1 but with IN_ORDER, the last
 * of them being @id, with @len bytes written. */
struct guest_used {
	uint32_t id, len;
	unsigned buffers;
};
bool guest_queue_take(struct guest_queue *q, struct guest_used *used);
/* Takes all there is: how many buffers. */
unsigned guest_queue_take_all(struct guest_queue *q);
/* The flags of descriptor @i, as they lie in memory. */
uint16_t *guest_queue_flags(struct guest_queue *q, unsigned i);

/* By hand, split rings only. */
void guest_queue_desc(struct guest_queue *q, unsigned i, uint64_t addr, uint32_t len,
		      uint16_t flags, uint16_t next);
void guest_queue_avail(struct guest_queue *q, uint16_t head);
uint16_t guest_queue_used_idx(const struct guest_queue *q);

#endif
