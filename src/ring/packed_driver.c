/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver side of a packed ring (virtio 1.4, 2.8).
 *
 * A buffer has an id, and for each id there is a slot in private memory with what is needed when
 * the buffer comes back. The device may return buffers in any order, and writes its used
 * descriptors one behind the other wherever it likes to return them, so ids are not places: free
 * ones stand in a ring of their own, as those of a split ring do. With IN_ORDER they are places: the
 * id of a buffer is where its first descriptor lies, and from there the slots, by their counts, lead
 * on to the next buffer.
 *
 * Descriptors between used.off and where published ones end are the device's; nothing of what we
 * wrote there is read back but the two bits that say whose it is, and what the device put into
 * those that it used.
 */
#include <errno.h>
#include <string.h>

#include "ring/packed_drvq.h"

/* ---- Adding ------------------------------------------------------------------------------ */

/* Where a buffer goes. */
struct place {
	struct packed_pos at;
	uint64_t *head; /* where the meta of its first descriptor is stored */
	uint16_t id;
};

static vio_always_inline uint64_t make_meta(uint32_t len, uint16_t id, uint32_t flags)
{
	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

static vio_always_inline void write_desc(struct ring_desc *desc, uint64_t *meta_at, uint64_t addr,
					 uint64_t meta)
{
	vio_store(&desc->addr, vio_le64(addr));
	vio_store(meta_at, vio_le64(meta));
}

/* Lists the pieces of @buf in descriptors of the ring (virtio 1.4, 2.8.6). */
static vio_always_inline void add_listed(struct packed_drvq *q, const struct vio_drvq_buf *buf,
					 unsigned n, struct place place)
{
	const struct vio_seg *seg = buf->segs;
	uint64_t *meta_at = place.head;
	unsigned i;

	for (i = 0; i < n; i++) {
		/* The wrap counter may flip in the middle: each has the bits of its own lap. */
		uint32_t flags = packed_avail_bits(place.at.wrap);

		if (i >= buf->out_num)
			flags |= VIO_DESC_F_WRITE;
		if (i + 1 < n)
			flags |= VIO_DESC_F_NEXT;
		write_desc(&q->desc[place.at.off], meta_at, seg[i].addr,
			   make_meta(seg[i].len, place.id, flags));
		place.at = packed_forward(place.at, 1, q->q.num);
		meta_at = &q->desc[place.at.off].meta;
	}
}

/* Puts the pieces of @buf into a free indirect table (virtio 1.4, 2.8.7) and makes one descriptor
 * point to it. Returns the number of the table. */
static uint16_t add_indirect(struct packed_drvq *q, const struct vio_drvq_buf *buf,
			     struct place place)
{
	uint32_t i, n = (uint32_t)buf->out_num + buf->in_num;
	uint16_t table = q->tables.free[--q->tables.nr_free];
	size_t first = (size_t)table * q->tables.max;
	struct ring_desc *desc = q->tables.desc + first;

	for (i = 0; i < n; i++)
		write_desc(&desc[i], &desc[i].meta, buf->segs[i].addr,
			   make_meta(buf->segs[i].len, 0,
				     i >= buf->out_num ? VIO_DESC_F_WRITE : 0));
	write_desc(&q->desc[place.at.off], place.head, q->tables.addr + first * sizeof(*desc),
		   make_meta(n * (uint32_t)sizeof(*desc), place.id,
			     VIO_DESC_F_INDIRECT | packed_avail_bits(place.at.wrap)));
	return table;
}

/* Adds a header and its data, or whatever else is two pieces, as add_many() would list them. */
static vio_always_inline int add_two(struct packed_drvq *q, const struct vio_drvq_buf *buf,
				     struct place place)
{
	uint64_t len0 = buf->segs[0].len, len1 = buf->segs[1].len;

	if (vio_unlikely(len0 + len1 > UINT32_MAX))
		return -EINVAL;
	add_listed(q, buf, 2, place);
	q->slots[place.id] = (struct ring_slot){
		buf->token, (uint32_t)((buf->in_num == 2 ? len0 : 0) + (buf->in_num ? len1 : 0)), 2
	};
	return 2;
}

static int add_many(struct packed_drvq *q, const struct vio_drvq_buf *buf, struct place place,
		    uint32_t free)
{
	uint32_t n = (uint32_t)buf->out_num + buf->in_num, shape = RING_SHAPE_ONE, in_len;

	if (!ring_buf_ok(buf, q->q.num, &in_len))
		return -EINVAL;
	if (ring_tables_fit(&q->tables, n)) {
		shape |= (add_indirect(q, buf, place) + 1u) << 16;
	} else if (n <= free) {
		add_listed(q, buf, n, place);
		shape = n;
	} else {
		return 0;
	}
	q->slots[place.id] = (struct ring_slot){ buf->token, in_len, shape };
	return (int)(shape & 0xffff);
}

/*
 * Adds a buffer of any other number of pieces than one. Returns the descriptors of the ring that it
 * took; 0 when @free are too few; -EINVAL for a buffer that no ring of this size takes. Out of line,
 * so that the loop that calls it has the registers for itself.
 */
static vio_noinline int add_chain(struct packed_drvq *q, const struct vio_drvq_buf *buf,
				  struct place place, uint32_t free)
{
	if (vio_likely(buf->out_num + buf->in_num == 2 && free >= 2 && q->tables.nr_free == 0))
		return add_two(q, buf, place);
	return add_many(q, buf, place, free);
}

/* Adds a buffer of the one piece @seg. */
static vio_always_inline void add_one(struct packed_drvq *q, const struct vio_seg *seg, void *token,
				      uint32_t write, struct place place)
{
	uint32_t len = seg->len;

	/* WRITE is 2. */
	write_desc(&q->desc[place.at.off], place.head, seg->addr,
		   make_meta(len, place.id, packed_avail_bits(place.at.wrap) | write << 1));
	q->slots[place.id] = (struct ring_slot){ token, len & (0u - write), RING_SHAPE_ONE };
}

/* A burst; @in_order is constant. */
static vio_always_inline int add_burst(struct vio_drvq *base, const struct vio_drvq_buf *bufs,
				       unsigned n, const bool in_order)
{
	struct packed_drvq *q = packed(base);
	const struct vio_drvq_buf *buf = bufs, *end = bufs + n;
	const uint32_t num = q->q.num, free = q->q.free;
	struct packed_pos at = q->avail;
	uint64_t *head = q->pending ? &q->desc[at.off].meta : &q->first_meta;
	uint32_t left = free, ids = q->ids_head;
	int taken = 1;

	while (buf < end && left > 0) {
		struct place place = { at, head, in_order ? (uint16_t)at.off : q->free_ids[ids] };

		if (vio_likely(buf->out_num + buf->in_num == 1)) {
			add_one(q, buf->segs, buf->token, buf->in_num, place);
			taken = 1;
		} else {
			taken = add_chain(q, buf, place, left);
			if (taken <= 0)
				break;
		}
		buf++;
		ids = after(ids, 1, num);
		left -= (uint32_t)taken;
		at = packed_forward(at, (uint32_t)taken, num);
		head = &q->desc[at.off].meta;
	}
	n = (unsigned)(buf - bufs);
	q->avail = at;
	q->ids_head = ids;
	q->q.free = left;
	q->q.in_flight += n;
	q->pending += free - left;
	return n == 0 && taken < 0 ? taken : (int)n;
}

static int packed_add_burst(struct vio_drvq *base, const struct vio_drvq_buf *bufs, unsigned n)
{
	return add_burst(base, bufs, n, false);
}

static int packed_add_in_order(struct vio_drvq *base, const struct vio_drvq_buf *bufs, unsigned n)
{
	return add_burst(base, bufs, n, true);
}

/* Buffers of one piece on their way into the ring. */
struct singles {
	struct packed_pos at;
	uint64_t *head; /* where the meta of the next is stored */
	uint32_t ids;	/* in free_ids; means nothing with IN_ORDER */
	const struct vio_seg *segs;
	const ring_token *tokens;
	uint32_t write; /* 0 or 1 */
};

static vio_always_inline void pass(const struct packed_drvq *q, struct singles *s, uint32_t n)
{
	s->at = packed_forward(s->at, n, q->q.num);
	s->head = &q->desc[s->at.off].meta;
	s->ids = after(s->ids, n, q->q.num);
	s->segs += n;
	s->tokens += n;
}

/* Adds the next @n of @s. */
static vio_always_inline void add_plain(struct packed_drvq *q, struct singles *s, uint32_t n,
					const bool in_order)
{
	for (; n > 0; n--) {
		uint16_t id = in_order ? (uint16_t)s->at.off : q->free_ids[s->ids];

		add_one(q, s->segs, *s->tokens, s->write, (struct place){ s->at, s->head, id });
		pass(q, s, 1);
	}
}

/* The same for @n that do not go round the end of the ring, as far as the kernel likes them. Returns
 * how many. */
static vio_always_inline uint32_t add_vector(const struct packed_drvq *q, const struct singles *s,
					     uint32_t n, const bool in_order)
{
	uint32_t flags = packed_avail_bits(s->at.wrap) | s->write << 1, off = s->at.off;
	void *const *tokens = (void *const *)s->tokens;

	if (in_order)
		return q->vector->packed_add_in_order(&q->desc[off], s->head, flags, &q->slots[off],
						      off, s->segs, tokens, n);
	return q->vector->packed_add(&q->desc[off], s->head, flags, q->slots, &q->free_ids[s->ids],
				     s->segs, tokens, vio_min(n, q->q.num - s->ids));
}

static vio_always_inline int add_singles(struct vio_drvq *base, const struct vio_seg *segs,
					 void *const *tokens, unsigned n, bool write,
					 const bool in_order)
{
	struct packed_drvq *q = packed(base);
	const uint32_t num = q->q.num;
	struct singles s = {
		.at = q->avail,
		/* The first of what is to be published is kept back. */
		.head = q->pending ? &q->desc[q->avail.off].meta : &q->first_meta,
		.ids = q->ids_head,
		.segs = segs,
		.tokens = (const ring_token *)tokens,
		.write = write,
	};
	uint32_t left;

	n = left = vio_min(n, q->q.free);
	while (left > 0) {
		uint32_t run = packed_run(s.at, left, num), done = 0;

		if (q->vector && run >= RING_VECTOR) {
			done = add_vector(q, &s, run, in_order);
			if (done > 0)
				pass(q, &s, done);
		}
		/* Four that the kernel does not like are as good as a tail that is too short. */
		if (done + RING_VECTOR > run || done == 0) {
			uint32_t rest = vio_min(run - done, q->vector ? RING_VECTOR : run);

			add_plain(q, &s, rest, in_order);
			done += rest;
		}
		left -= done;
	}
	q->avail = s.at;
	q->ids_head = s.ids;
	q->q.free -= n;
	q->q.in_flight += n;
	q->pending += n;
	return (int)n;
}

static int packed_add_singles(struct vio_drvq *base, const struct vio_seg *segs,
			      void *const *tokens, unsigned n, bool write)
{
	return add_singles(base, segs, tokens, n, write, false);
}

static int packed_add_singles_in_order(struct vio_drvq *base, const struct vio_seg *segs,
				       void *const *tokens, unsigned n, bool write)
{
	return add_singles(base, segs, tokens, n, write, true);
}

static void packed_show(struct vio_drvq *base)
{
	struct packed_drvq *q = packed(base);

	if (q->pending == 0)
		return;
	/* virtio 1.4, 2.8.21.1.1: one store gives the device all that was added. Pairs with the
	 * acquires in packed_device.c, pop_plain() and pop_lists(). */
	vio_release_for(q->platform);
	vio_store_release(&q->desc[packed_back(q->avail, q->pending, q->q.num).off].meta,
			  vio_le64(q->first_meta));
	q->unasked += q->pending;
	q->pending = 0;
}

static bool packed_must_kick(struct vio_drvq *base)
{
	struct packed_drvq *q = packed(base);
	uint32_t moved = q->unasked;

	if (moved == 0)
		return false;
	q->unasked = 0;
	/* virtio 1.4, 2.8.21.3.1. Pairs with the one in packed_device.c, packed_kick_enable(). */
	vio_mb_for(q->platform);
	return packed_need_event(vio_le32(vio_load(q->device_event)), q->event_idx,
				 packed_back(q->avail, q->pending, q->q.num), moved, q->q.num);
}

/* The first line alone: there may be nothing in those behind it, and they would be taken away from who
 * writes them. */
static void packed_prefetch(const struct vio_drvq *base)
{
	const struct packed_drvq *q = packed_const(base);

	vio_prefetch_read(&q->desc[q->used.off]);
}

/* ---- Interrupts -------------------------------------------------------------------------- */

static bool packed_has_used(const struct vio_drvq *base)
{
	const struct packed_drvq *q = packed_const(base);

	if (published(q) == 0)
		return false;
	/* Neither used nor available is a lie, for the next reap to find. */
	return q->batch_id != NO_ID ||
	       !packed_is_avail(vio_le64(vio_load(&q->desc[q->used.off].meta)), q->used.wrap);
}

static void set_event(struct packed_drvq *q, uint32_t event)
{
	if (q->event_now == event)
		return;
	q->event_now = event;
	vio_store(q->driver_event, vio_le32(event));
}

/*
 * Whether the device has gone more than @beyond descriptors on from used.off. It uses a buffer in
 * the place of its first descriptor and then goes on by as many as the buffer has, so this follows
 * it from buffer to buffer. What can't be followed is a lie, for the next reap to find.
 */
static bool used_beyond(const struct packed_drvq *q, uint32_t beyond)
{
	uint32_t gone = 0, all = published(q);
	struct packed_pos at = q->used;

	if (q->batch_id != NO_ID)
		gone = ahead_of(q, at.off, q->batch_id) + ring_slot_count(&q->slots[q->batch_id]);
	at = packed_forward(at, gone, q->q.num);
	while (gone <= beyond && gone < all) {
		uint64_t meta = vio_le64(vio_load(&q->desc[at.off].meta));
		uint32_t id = packed_meta_id(meta), step;

		if (packed_is_avail(meta, at.wrap))
			return false;
		if (id >= q->q.num || !q->slots[id].token)
			return true;
		step = ring_slot_count(&q->slots[id]);
		if (q->in_order)
			step += ahead_of(q, at.off, id);
		if (step > all - gone)
			return true;
		gone += step;
		at = packed_forward(at, step, q->q.num);
	}
	return gone > beyond;
}

static bool packed_notify_enable(struct vio_drvq *base, uint16_t after)
{
	struct packed_drvq *q = packed(base);
	uint32_t out = q->q.num - q->q.free, beyond = 0;

	if (q->event_idx) {
		/* An event is a descriptor: that of the buffer when all in flight have as many. More
		 * than what is in flight would never be used. */
		if (q->q.in_flight > 0)
			beyond = (uint32_t)((uint64_t)vio_min((uint32_t)after, q->q.in_flight - 1) *
					    out / q->q.in_flight);
		set_event(q, packed_event_at(packed_forward(q->used, beyond, q->q.num)));
	} else {
		set_event(q, PACKED_EVENT_ENABLE);
	}
	/* virtio 1.4, 2.8.22. Pairs with the one in packed_device.c, packed_publish(). */
	vio_mb_for(q->platform);
	return used_beyond(q, beyond);
}

static void packed_notify_disable(struct vio_drvq *base)
{
	set_event(packed(base), PACKED_EVENT_DISABLE);
}

/* ---- Life cycle -------------------------------------------------------------------------- */

static void *packed_detach(struct vio_drvq *base)
{
	struct packed_drvq *q = packed(base);
	struct ring_slot *slot;
	void *token;

	if (q->q.in_flight == 0)
		return NULL;
	if (q->in_order)
		q->detach_pos = q->used.off;
	while (!q->slots[q->detach_pos].token)
		q->detach_pos = q->detach_pos + 1 < q->q.num ? q->detach_pos + 1 : 0;
	slot = &q->slots[q->detach_pos];
	token = slot->token;
	q->used = packed_forward(q->used, ring_slot_count(slot), q->q.num);
	q->q.free += free_slot(q, slot);
	q->free_ids[q->ids_tail] = (uint16_t)q->detach_pos;
	q->ids_tail = after(q->ids_tail, 1, q->q.num);
	q->q.in_flight--;
	/* What was not published comes back as well, and will not be. */
	q->pending = vio_min(q->pending, q->q.num - q->q.free);
	return token;
}

static uint16_t packed_avail_pos(const struct vio_drvq *base)
{
	const struct packed_drvq *q = packed_const(base);

	return packed_encode(packed_back(q->avail, q->pending, q->q.num));
}

static const struct vio_drvq_ops packed_drvq_broken_ops =
	VIO_DRVQ_BROKEN_OPS(packed_detach, packed_avail_pos);

/* What is different with IN_ORDER. */
#define PACKED_DRVQ_OPS(add, singles, reap)                                                      \
	{                                                                                        \
		.broken = &packed_drvq_broken_ops, .add_burst = (add), .add_singles = (singles), \
		.show = packed_show, .must_kick = packed_must_kick, .reap_burst = (reap),        \
		.prefetch = packed_prefetch, .has_used = packed_has_used,                        \
		.notify_enable = packed_notify_enable, .notify_disable = packed_notify_disable,  \
		.detach = packed_detach, .avail_pos = packed_avail_pos,                          \
	}

static const struct vio_drvq_ops packed_drvq_ops =
	PACKED_DRVQ_OPS(packed_add_burst, packed_add_singles, vio_packed_reap_burst);

static const struct vio_drvq_ops packed_drvq_in_order_ops =
	PACKED_DRVQ_OPS(packed_add_in_order, packed_add_singles_in_order, vio_packed_reap_in_order);

/* Lays the private tables out behind the queue in @storage; with NULL only counts the bytes. */
static size_t lay_out(struct packed_drvq *q, uint32_t num, uint16_t **free_tables)
{
	size_t slots = vio_align_up(sizeof(*q), VIO_CACHE_LINE);
	size_t free_ids = slots + num * sizeof(struct ring_slot);
	size_t tables = free_ids + num * sizeof(uint16_t);
	char *storage = (char *)q;

	if (q) {
		q->slots = (struct ring_slot *)(void *)(storage + slots);
		q->free_ids = (uint16_t *)(void *)(storage + free_ids);
		*free_tables = (uint16_t *)(void *)(storage + tables);
	}
	return vio_align_up(tables + num * sizeof(uint16_t), VIO_CACHE_LINE);
}

size_t vio_packed_drvq_bytes(uint32_t num)
{
	return lay_out(NULL, num, NULL);
}

int vio_packed_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **out)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(setup->num, setup->features);
	struct packed_drvq *q = storage;
	uint32_t i, num = setup->num;
	uint16_t *free_tables;
	int err;

	if (!vio_vq_areas_ok(&setup->areas, &sizes))
		return -EINVAL;
	memset(q, 0, sizeof(*q));
	lay_out(q, num, &free_tables);
	err = ring_tables_init(&q->tables, setup, free_tables);
	if (err < 0)
		return err;
	q->in_order = (setup->features & vio_feature(VIO_F_IN_ORDER)) != 0;
	q->q.ops = q->in_order ? &packed_drvq_in_order_ops : &packed_drvq_ops;
	q->platform = (setup->features & vio_feature(VIO_F_ORDER_PLATFORM)) != 0;
	/* The kernels order four used descriptors as for a core; see vio_acquire_for(). */
	if (VIO_PLATFORM_IN_ORDER || !q->platform)
		q->vector = vio_ring_vector();
	q->q.num = num;
	q->q.free = num;
	q->event_idx = (setup->features & vio_feature(VIO_F_EVENT_IDX)) != 0;
	q->desc = setup->areas.desc;
	q->driver_event = setup->areas.driver;
	q->device_event = setup->areas.device;
	memset(q->slots, 0, num * sizeof(*q->slots));
	for (i = 0; i < num; i++)
		q->free_ids[i] = (uint16_t)i;
	/* virtio 1.4, 2.8.1 */
	q->avail = q->used = (struct packed_pos){ 0, true };
	q->batch_id = NO_ID;
	q->event_now = PACKED_EVENT_DISABLE;
	vio_store(q->driver_event, vio_le32(q->event_now));
	*out = &q->q;
	return 0;
}
