/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver side of a packed ring, as its two files know it: packed_driver.c, whose head tells the
 * theory, and packed_reap.c. */
#ifndef VIO_RING_PACKED_DRVQ_H
#define VIO_RING_PACKED_DRVQ_H

#include "ring/packed.h"
#include "ring/tables.h"
#include "ring/vector.h"

/* No buffer has this id. */
#define NO_ID UINT32_MAX

struct packed_drvq {
	struct vio_drvq q;

	/* Constant from set-up on. */
	bool event_idx;
	bool in_order;
	bool platform;			  /* ORDER_PLATFORM */
	const struct ring_vector *vector; /* NULL: none */
	struct ring_desc *desc;		  /* shared, both write it */
	packed_event *driver_event;	  /* shared, ours to write */
	const packed_event *device_event; /* shared, the device writes it */
	struct ring_slot *slots;	  /* one for each id */
	uint16_t *free_ids;		  /* a ring of num - in_flight ids; not with IN_ORDER */
	struct ring_tables tables;

	/* Ours alone. */
	struct packed_pos avail vio_cacheline; /* where the next buffer goes */
	struct packed_pos used;		       /* where the device uses the next buffer */
	uint32_t pending;		       /* descriptors added and not published */
	uint32_t unasked;    /* published since it was asked whether the device wants a kick */
	uint32_t ids_head;   /* in free_ids: the next to be taken, */
	uint32_t ids_tail;   /* and where the next goes that comes back */
	uint32_t event_now;  /* what *driver_event holds */
	uint64_t first_meta; /* of the first of them */
	uint32_t batch_id;   /* IN_ORDER: the last of the batch being reaped */
	uint32_t batch_len;  /* written into that one */
	uint32_t detach_pos; /* where packed_detach() looks next */
};

static vio_always_inline struct packed_drvq *packed(struct vio_drvq *q)
{
	return vio_container_of(q, struct packed_drvq, q);
}

static vio_always_inline const struct packed_drvq *packed_const(const struct vio_drvq *q)
{
	return (const struct packed_drvq *)((const char *)q - offsetof(struct packed_drvq, q));
}

/* A buffer of @slot is no longer in flight. Returns its descriptors. */
static vio_always_inline uint32_t free_slot(struct packed_drvq *q, struct ring_slot *slot)
{
	uint32_t table = slot->shape >> 16;

	slot->token = NULL;
	if (vio_unlikely(table))
		q->tables.free[q->tables.nr_free++] = (uint16_t)(table - 1);
	return ring_slot_count(slot);
}

/* @n on in free_ids, at most @num. */
static vio_always_inline uint32_t after(uint32_t pos, uint32_t n, uint32_t num)
{
	return pos + n < num ? pos + n : pos + n - num;
}

/* Descriptors that are published and not reaped. */
static vio_always_inline uint32_t published(const struct packed_drvq *q)
{
	return q->q.num - q->q.free - q->pending;
}

/* Descriptors from offset @off to where the buffer @id begins. */
static vio_always_inline uint32_t ahead_of(const struct packed_drvq *q, uint32_t off, uint32_t id)
{
	return id >= off ? id - off : id + q->q.num - off;
}

/* packed_reap.c */
int vio_packed_reap_burst(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n);
int vio_packed_reap_in_order(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n);

#endif
