/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver side of a split ring (virtio 1.4, 2.7).
 *
 * Each descriptor has a copy in private memory of what it holds in shared memory, and a slot with
 * what is needed when the buffer of which it is the head comes back. A slot without a token is not
 * the head of anything in flight.
 *
 * Free descriptors stand in a ring of their own, taken at its head and returned at its tail. For
 * buffers of one descriptor and a device that works in order, entry i of the available ring then
 * names the same descriptor on every lap, and the copies show that neither the entry nor (where the
 * caller's buffers come round too) the descriptor has to be written again.
 */
#include <errno.h>
#include <string.h>

#include "ring/split.h"
#include "ring/tables.h"
#include "ring/vector.h"

struct split_drvq {
	struct vio_drvq q;

	/* Constant from set-up on. */
	uint32_t mask; /* num - 1 */
	bool event_idx;
	bool platform;			   /* ORDER_PLATFORM */
	struct ring_desc *desc;		   /* shared, ours to write */
	struct vio_virtq_avail *avail;	   /* shared, ours to write */
	uint16_t *used_event;		   /* shared, ours to write */
	const struct vio_virtq_used *used; /* shared, the device writes it */
	const uint16_t *avail_event;	   /* shared, the device writes it */
	struct ring_desc *shadow;	   /* what desc holds */
	struct ring_slot *slots;	   /* one per descriptor */
	const struct ring_vector *vector;  /* NULL: none */
	uint16_t *free_ids;		   /* free descriptors are [free_head, free_tail) & mask */
	uint16_t *avail_ids;		   /* what the available ring holds */
	struct ring_tables tables;

	/* Ours alone; free-running. */
	uint16_t avail_idx vio_cacheline; /* next available entry */
	uint16_t avail_published;	  /* what avail->idx holds */
	uint16_t avail_asked; /* up to where it is known whether the device wants a kick */
	uint16_t used_idx;    /* next used entry to reap */
	uint16_t used_seen;   /* last checked value of used->idx */
	uint16_t free_head;
	uint16_t free_tail;
	uint16_t used_event_now; /* what *used_event holds */
	bool notify_on;
	/* IN_ORDER: the batch of buffers that is being reaped. */
	uint16_t batch_left; /* buffers of it */
	uint32_t batch_len;  /* written into its last */
	uint32_t detach_pos; /* where split_detach() looks next */
};

static vio_always_inline struct split_drvq *split(struct vio_drvq *q)
{
	return vio_container_of(q, struct split_drvq, q);
}

static vio_always_inline const struct split_drvq *split_const(const struct vio_drvq *q)
{
	return (const struct split_drvq *)((const char *)q - offsetof(struct split_drvq, q));
}

/* ---- Adding ------------------------------------------------------------------------------ */

/* Makes descriptor @id hold @addr and @meta. */
static vio_always_inline void write_desc(struct split_drvq *q, uint32_t id, uint64_t addr,
					 uint64_t meta)
{
	struct ring_desc *shadow = &q->shadow[id];

	if (shadow->addr != addr) {
		shadow->addr = addr;
		vio_store(&q->desc[id].addr, vio_le64(addr));
	}
	if (shadow->meta != meta) {
		shadow->meta = meta;
		vio_store(&q->desc[id].meta, vio_le64(meta));
	}
}

/* Length, flags and next of piece @i of @buf, whose successor is @next. */
static uint64_t seg_meta(const struct vio_drvq_buf *buf, unsigned i, uint16_t next)
{
	uint64_t meta = buf->segs[i].len;

	if (i >= buf->out_num)
		meta |= SPLIT_META_WRITE;
	if (i + 1 < (unsigned)buf->out_num + buf->in_num)
		meta |= SPLIT_META_NEXT | (uint64_t)next << 48;
	return meta;
}

/* Links the pieces of @buf through descriptors of the ring, from free_ids[@head] on. */
static void add_linked(struct split_drvq *q, const struct vio_drvq_buf *buf, uint32_t head)
{
	unsigned i, n = (unsigned)buf->out_num + buf->in_num;
	uint16_t id, next = q->free_ids[head & q->mask];

	for (i = 0; i < n; i++) {
		id = next;
		next = q->free_ids[(head + i + 1) & q->mask];
		write_desc(q, id, buf->segs[i].addr, seg_meta(buf, i, next));
	}
}

/* Puts the pieces of @buf into a free indirect table and makes descriptor @id point to it. Returns
 * the number of the table. */
static uint16_t add_indirect(struct split_drvq *q, const struct vio_drvq_buf *buf, uint16_t id)
{
	unsigned i, n = (unsigned)buf->out_num + buf->in_num;
	uint16_t table = q->tables.free[--q->tables.nr_free];
	size_t first = (size_t)table * q->tables.max;
	struct ring_desc *desc = q->tables.desc + first;

	for (i = 0; i < n; i++) {
		vio_store(&desc[i].addr, vio_le64(buf->segs[i].addr));
		vio_store(&desc[i].meta, vio_le64(seg_meta(buf, i, (uint16_t)(i + 1))));
	}
	write_desc(q, id, q->tables.addr + first * sizeof(*desc),
		   n * sizeof(*desc) | SPLIT_META_INDIRECT);
	return table;
}

/*
 * Adds a buffer of many pieces. Returns the descriptors of the ring that it took, from
 * free_ids[@head] on; 0 when @free are too few; -EINVAL for a buffer that no ring of this size
 * takes.
 */
static int add_many(struct split_drvq *q, const struct vio_drvq_buf *buf, uint32_t head,
		    uint32_t free)
{
	unsigned n = (unsigned)buf->out_num + buf->in_num;
	uint16_t id = q->free_ids[head & q->mask];
	uint32_t in_len, shape = RING_SHAPE_ONE;

	if (!ring_buf_ok(buf, q->q.num, &in_len))
		return -EINVAL;
	if (ring_tables_fit(&q->tables, n)) {
		shape |= (add_indirect(q, buf, id) + 1u) << 16;
	} else if (n <= free) {
		add_linked(q, buf, head);
		shape = n;
	} else {
		return 0;
	}
	q->slots[id] = (struct ring_slot){ buf->token, in_len, shape };
	return (int)(shape & 0xffff);
}

/* Adds a header and its data, or whatever else is two pieces, as add_many() would link them. */
static vio_always_inline int add_two(struct split_drvq *q, const struct vio_drvq_buf *buf,
				     uint32_t head)
{
	const struct vio_seg *seg = buf->segs;
	uint16_t id0 = q->free_ids[head & q->mask], id1 = q->free_ids[(head + 1) & q->mask];
	uint64_t len0 = seg[0].len, len1 = seg[1].len;
	uint64_t meta0 = len0 | SPLIT_META_NEXT | (uint64_t)id1 << 48, meta1 = len1;

	if (buf->in_num == 2)
		meta0 |= SPLIT_META_WRITE;
	if (buf->in_num != 0)
		meta1 |= SPLIT_META_WRITE;
	if (vio_unlikely(len0 + len1 > UINT32_MAX))
		return -EINVAL;
	write_desc(q, id0, seg[0].addr, meta0);
	write_desc(q, id1, seg[1].addr, meta1);
	q->slots[id0] = (struct ring_slot){
		buf->token,
		(uint32_t)((buf->in_num == 2 ? len0 : 0) + (buf->in_num != 0 ? len1 : 0)), 2
	};
	return 2;
}

/* Adds a buffer of any other number of pieces than one; as add_many(). Out of line, so that the loop
 * that calls it has the registers for itself. */
static vio_noinline int add_chain(struct split_drvq *q, const struct vio_drvq_buf *buf,
				  uint32_t head, uint32_t free)
{
	if (vio_likely(buf->out_num + buf->in_num == 2 && free >= 2 && q->tables.nr_free == 0))
		return add_two(q, buf, head);
	return add_many(q, buf, head, free);
}

/* Adds a buffer of the one piece @seg at descriptor @id. */
static vio_always_inline void add_one(struct split_drvq *q, uint32_t id, const struct vio_seg *seg,
				      void *token, uint32_t write)
{
	uint32_t len = seg->len;

	/* WRITE is bit 33. */
	write_desc(q, id, seg->addr, len | (uint64_t)write << 33);
	q->slots[id] = (struct ring_slot){ token, len & (0u - write), RING_SHAPE_ONE };
}

/* Makes entry @avail_idx of the available ring name @id. */
static vio_always_inline void put_avail(struct split_drvq *q, uint32_t avail_idx, uint32_t id)
{
	uint32_t pos = avail_idx & q->mask;

	if (vio_likely(q->avail_ids[pos] == id))
		return;
	q->avail_ids[pos] = (uint16_t)id;
	vio_store(&q->avail->ring[pos], vio_le16((uint16_t)id));
}

static int split_add_burst(struct vio_drvq *base, const struct vio_drvq_buf *bufs, unsigned n)
{
	struct split_drvq *q = split(base);
	uint32_t avail_idx = q->avail_idx, head = q->free_head, left = q->q.free;
	const struct vio_drvq_buf *buf = bufs, *end = bufs + n;
	int taken = 1;

	for (; buf < end && left > 0; buf++) {
		uint32_t id = q->free_ids[head & q->mask];

		if (vio_likely(buf->out_num + buf->in_num == 1)) {
			add_one(q, id, buf->segs, buf->token, buf->in_num);
			taken = 1;
		} else {
			taken = add_chain(q, buf, head, left);
			if (taken <= 0)
				break;
		}
		put_avail(q, avail_idx++, id);
		head += (uint32_t)taken;
		left -= (uint32_t)taken;
	}
	n = (unsigned)(buf - bufs);
	q->q.free = left;
	q->q.in_flight += n;
	q->free_head = (uint16_t)head;
	q->avail_idx = (uint16_t)avail_idx;
	return n == 0 && taken < 0 ? taken : (int)n;
}

/* Adds @n buffers of one piece each; there is room. */
static vio_always_inline void add_plain(struct split_drvq *q, uint32_t pos,
					const struct vio_seg *segs, const ring_token *tokens,
					uint32_t n, uint32_t write)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint32_t id = q->free_ids[(q->free_head + pos + i) & q->mask];

		add_one(q, id, &segs[i], tokens[i], write);
		put_avail(q, q->avail_idx + pos + i, id);
	}
}

/* The same, for as many as go round the end of neither ring and the kernel likes. Returns how many. */
static vio_always_inline uint32_t add_vector(struct split_drvq *q, uint32_t pos,
					     const struct vio_seg *segs, void *const *tokens,
					     uint32_t n, uint32_t write)
{
	uint32_t head = (q->free_head + pos) & q->mask, at = (q->avail_idx + pos) & q->mask;

	n = vio_min(n, q->q.num - vio_max(head, at));
	return q->vector->split_add(q->desc, q->shadow, q->slots, &q->free_ids[head],
				    &q->avail->ring[at], &q->avail_ids[at], (uint64_t)write << 33,
				    segs, tokens, n);
}

static int split_add_singles(struct vio_drvq *base, const struct vio_seg *segs, void *const *tokens,
			     unsigned n, bool write)
{
	struct split_drvq *q = split(base);
	const ring_token *const token = (const ring_token *)tokens;
	uint32_t pos = 0, done, rest;

	n = vio_min(n, q->q.free);
	while (pos < n) {
		done = 0;
		if (q->vector && n - pos >= RING_VECTOR)
			done = add_vector(q, pos, segs + pos, tokens + pos, n - pos, write);
		pos += done;
		/* Four that the kernel does not like are as good as a tail that is too short. */
		if (done == 0 || n - pos < RING_VECTOR) {
			rest = vio_min(n - pos, q->vector ? RING_VECTOR : n);
			add_plain(q, pos, segs + pos, token + pos, rest, write);
			pos += rest;
		}
	}
	q->q.free -= n;
	q->q.in_flight += n;
	q->free_head = (uint16_t)(q->free_head + n);
	q->avail_idx = (uint16_t)(q->avail_idx + n);
	return (int)n;
}

static void split_show(struct vio_drvq *base)
{
	struct split_drvq *q = split(base);

	if (q->avail_published == q->avail_idx)
		return;
	q->avail_published = q->avail_idx;
	/* virtio 1.4, 2.7.13.3. Pairs with the acquire in split_device.c, avail_refresh(). */
	vio_release_for(q->platform);
	vio_store_release(&q->avail->idx, vio_le16(q->avail_idx));
}

static bool split_must_kick(struct vio_drvq *base)
{
	struct split_drvq *q = split(base);
	uint16_t new = q->avail_published, old = q->avail_asked;

	if (new == old)
		return false;
	q->avail_asked = new;
	/* virtio 1.4, 2.7.13.4.1. Pairs with the one in split_device.c, split_kick_enable(). */
	vio_mb_for(q->platform);
	if (q->event_idx)
		return ring_need_event(vio_le16(vio_load(q->avail_event)), new, old);
	return !(vio_le16(vio_load(&q->used->flags)) & VIO_VIRTQ_USED_F_NO_NOTIFY);
}

/* ---- Reaping ----------------------------------------------------------------------------- */

/* Reads the used index. Returns how many entries there are to reap, -EPROTO when it lies. */
static int used_refresh(struct split_drvq *q)
{
	/* Pairs with the release in split_device.c, split_publish(). */
	uint16_t seen = vio_le16(vio_load_acquire(&q->used->idx));
	uint16_t ready = (uint16_t)(seen - q->used_idx);

	vio_acquire_for(q->platform);
	/* Every buffer that was published and not reaped can be used once. */
	if (vio_unlikely(ready > (uint16_t)(q->avail_published - q->used_idx))) {
		vio_drvq_break(&q->q, VIO_VQ_USED_JUMP);
		return -EPROTO;
	}
	q->used_seen = seen;
	return ready;
}

/* Frees what the buffer with head @id took besides that descriptor. @tail is where @id went in
 * free_ids; returns where the last one did. */
static vio_always_inline uint32_t free_chain(struct split_drvq *q, uint32_t id, uint32_t tail)
{
	uint32_t left = ring_slot_count(&q->slots[id]), table = q->slots[id].shape >> 16;

	if (table)
		q->tables.free[q->tables.nr_free++] = (uint16_t)(table - 1);
	for (; left > 1; left--) {
		id = split_meta_next(q->shadow[id].meta);
		q->free_ids[++tail & q->mask] = (uint16_t)id;
	}
	return tail;
}

/* Why a used element cannot be right. */
static vio_cold enum vio_vq_error used_error(const struct split_drvq *q, uint32_t id)
{
	if (id >= q->q.num)
		return VIO_VQ_BAD_ID;
	if (!q->slots[id].token)
		return VIO_VQ_NOT_IN_FLIGHT;
	return VIO_VQ_BAD_USED_LEN;
}

/* Counts in how many there are to reap, up to @n. Returns that or -EPROTO. */
static vio_always_inline int reap_ready(struct split_drvq *q, unsigned n)
{
	int ready = (uint16_t)(q->used_seen - q->used_idx);

	if ((unsigned)ready < n)
		ready = used_refresh(q);
	return ready < 0 ? ready : (int)vio_min(n, (unsigned)ready);
}

/*
 * Reaps plain buffers, up to @n, as far as none goes round the end of a ring and the kernel likes
 * them. Their heads go to free_ids[@tail] and on. @in_order: only as long as they are the next in the
 * order in which they were made available. Returns how many.
 */
static vio_always_inline uint32_t reap_vector(struct split_drvq *q, uint32_t used_idx,
					      uint32_t tail, struct vio_drvq_done *done, uint32_t n,
					      bool in_order)
{
	uint32_t pos = used_idx & q->mask, to = tail & q->mask;
	const void *ring = &q->used->ring[pos];

	n = vio_min(n, q->q.num - vio_max(pos, to));
	return q->vector->split_reap(ring, q->mask, q->slots, in_order ? &q->avail_ids[pos] : NULL,
				     &q->free_ids[to], done, n);
}

static int split_reap_burst(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n)
{
	struct split_drvq *q = split(base);
	const struct vio_virtq_used_elem *const ring = q->used->ring;
	struct ring_slot *const slots = q->slots;
	uint16_t *const free_ids = q->free_ids;
	const uint32_t mask = q->mask;
	uint32_t used_idx = q->used_idx, tail = q->free_tail, first = tail;
	int ready = reap_ready(q, n);
	unsigned i = 0, end;

	if (vio_unlikely(ready < 0))
		return ready;
	n = (unsigned)ready;
	while (i < n) {
		end = n;
		if (q->vector) {
			uint32_t plain = reap_vector(q, used_idx, tail, done + i, n - i, false);

			i += plain;
			used_idx += plain;
			tail += plain;
			end = vio_min(n, i + RING_VECTOR);
		}
		for (; i < end; i++) {
			uint32_t id = vio_le32(vio_load(&ring[used_idx & mask].id));
			uint32_t len = vio_le32(vio_load(&ring[used_idx & mask].len));
			struct ring_slot *slot = &slots[id & mask];
			void *token = slot->token;

			if (vio_unlikely(id > mask || !token || len > slot->in_len)) {
				/* Those before it are good: the next call meets the bad one first. */
				n = i;
				if (i > 0)
					break;
				vio_drvq_break(&q->q, used_error(q, id));
				return -EPROTO;
			}
			done[i].token = token;
			done[i].len = len;
			slot->token = NULL;
			free_ids[tail & mask] = (uint16_t)id;
			if (vio_unlikely(slot->shape != RING_SHAPE_ONE))
				tail = free_chain(q, id, tail);
			tail++;
			used_idx++;
		}
	}
	q->q.free += tail - first;
	q->q.in_flight -= i;
	q->free_tail = (uint16_t)tail;
	q->used_idx = (uint16_t)used_idx;
	return (int)i;
}

/*
 * IN_ORDER (virtio 1.4, 2.7.9): the used entry at used_idx is of a batch, which ends with the buffer
 * that it names. Those before it are the oldest in flight, in the order in which our copy of the
 * available ring has them. Returns how many they are together, or the reason, negative, when the
 * entry is a lie.
 */
static int find_batch(const struct split_drvq *q, uint32_t used_idx, uint32_t id, uint32_t len)
{
	const uint16_t *const heads = q->avail_ids;
	uint32_t ready = (uint16_t)(q->used_seen - used_idx);
	/* Heads mostly follow one another; none of those in flight is there twice. */
	uint32_t i = (id - heads[used_idx & q->mask]) & q->mask;

	if (i >= ready || heads[(used_idx + i) & q->mask] != id)
		for (i = 0; i < ready && heads[(used_idx + i) & q->mask] != id; i++)
			;
	if (vio_unlikely(i == ready)) {
		/* In flight, but not among as many as the used index says. */
		if (id <= q->mask && q->slots[id].token)
			return -VIO_VQ_USED_JUMP;
		return -(int)used_error(q, id);
	}
	return len > q->slots[id].in_len ? -VIO_VQ_BAD_USED_LEN : (int)i + 1;
}

/* Opens the batch that ends with the next used entry. Returns how many it has, or as find_batch(). */
static vio_always_inline int open_batch(struct split_drvq *q, uint32_t used_idx)
{
	const struct vio_virtq_used_elem *elem = &q->used->ring[used_idx & q->mask];
	uint32_t head = q->avail_ids[used_idx & q->mask];
	uint32_t id = vio_le32(vio_load(&elem->id));

	q->batch_len = vio_le32(vio_load(&elem->len));
	if (vio_likely(id == head && q->batch_len <= q->slots[head].in_len))
		return 1;
	return find_batch(q, used_idx, id, q->batch_len);
}

/*
 * Takes buffers of a batch that are of one descriptor, as far as none goes round the end of a ring and
 * the kernel likes them: they count as used to their end. Their heads go to
 * free_ids[@tail] and on. Returns how many.
 */
static vio_always_inline uint32_t take_vector(struct split_drvq *q, uint32_t used_idx,
					      uint32_t tail, struct vio_drvq_done *done, uint32_t n)
{
	uint32_t pos = used_idx & q->mask, to = tail & q->mask;

	if (!q->vector || n < RING_VECTOR)
		return 0;
	return q->vector->split_take(q->slots, &q->avail_ids[pos], &q->free_ids[to], done,
				     vio_min(n, q->q.num - vio_max(pos, to)));
}

/* Takes the buffer with head @head, which counts as used to its end. Its descriptors go to
 * free_ids[@tail] and on; returns where the next ones go. */
static vio_always_inline uint32_t take_one(struct split_drvq *q, uint32_t head, uint32_t tail,
					   struct vio_drvq_done *done)
{
	struct ring_slot *slot = &q->slots[head];

	done->token = slot->token;
	done->len = slot->in_len;
	slot->token = NULL;
	q->free_ids[tail & q->mask] = (uint16_t)head;
	if (vio_unlikely(slot->shape != RING_SHAPE_ONE))
		tail = free_chain(q, head, tail);
	return tail + 1;
}

/* Takes the oldest buffers in flight, up to @n, of a batch, as used to their end; how far the last was
 * is the caller's to say. Takes at least one, and returns how many. */
static vio_always_inline uint32_t take_some(struct split_drvq *q, uint32_t used_idx, uint32_t *tail,
					    struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i = take_vector(q, used_idx, *tail, done, n), to = *tail + i;

	/* Four that the kernel does not like are as good as a tail that is too short. */
	n = vio_min(n, q->vector ? i + RING_VECTOR : n);
	for (; i < n; i++)
		to = take_one(q, q->avail_ids[(used_idx + i) & q->mask], to, &done[i]);
	*tail = to;
	return i;
}

/* Whether the next used entry is of the next buffer: the device returns each by itself. */
static vio_always_inline bool is_next(const struct split_drvq *q, uint32_t used_idx)
{
	uint32_t pos = used_idx & q->mask;

	return vio_le32(vio_load(&q->used->ring[pos].id)) == q->avail_ids[pos];
}

static int split_reap_in_order(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n)
{
	struct split_drvq *q = split(base);
	uint32_t used_idx = q->used_idx, tail = q->free_tail, first = tail, some;
	int batch = q->batch_left, ready = reap_ready(q, n);
	unsigned i = 0;

	if (vio_unlikely(ready < 0))
		return ready;
	n = (unsigned)ready;
	if (q->vector && batch == 0 && n >= RING_VECTOR && is_next(q, used_idx)) {
		i = reap_vector(q, used_idx, tail, done, n, true);
		used_idx += i;
		tail += i;
	}
	while (i < n) {
		if (batch == 0)
			batch = open_batch(q, used_idx);
		if (batch == 1) {
			some = 1;
			tail = take_one(q, q->avail_ids[used_idx & q->mask], tail, &done[i]);
		} else if (vio_likely(batch > 0)) {
			some = take_some(q, used_idx, &tail, &done[i],
					 vio_min(n - i, (unsigned)batch));
		} else {
			break;
		}
		i += some;
		used_idx += some;
		batch -= (int)some;
		if (batch == 0)
			done[i - 1].len = q->batch_len;
	}
	if (vio_unlikely(batch < 0 && i == 0)) {
		vio_drvq_break(&q->q, (enum vio_vq_error) - batch);
		return -EPROTO;
	}
	q->q.free += tail - first;
	q->q.in_flight -= i;
	q->free_tail = (uint16_t)tail;
	q->used_idx = (uint16_t)used_idx;
	q->batch_left = (uint16_t)vio_max(batch, 0);
	return (int)i;
}

static void split_prefetch(const struct vio_drvq *base)
{
	const struct split_drvq *q = split_const(base);

	vio_prefetch_read(&q->used->idx);
	vio_prefetch_read(&q->used->ring[q->used_idx & q->mask]);
}

static bool split_has_used(const struct vio_drvq *base)
{
	const struct split_drvq *q = split_const(base);

	return q->used_seen != q->used_idx || vio_le16(vio_load(&q->used->idx)) != q->used_idx;
}

/* ---- Interrupts -------------------------------------------------------------------------- */

static bool split_notify_enable(struct vio_drvq *base, uint16_t after)
{
	struct split_drvq *q = split(base);

	if (q->event_idx) {
		/* More than what is in flight would never be used. */
		uint32_t most = q->q.in_flight ? q->q.in_flight - 1 : 0;
		uint16_t event;

		after = (uint16_t)vio_min((uint32_t)after, most);
		event = (uint16_t)(q->used_idx + after);
		if (q->used_event_now != event) {
			q->used_event_now = event;
			vio_store(q->used_event, vio_le16(event));
		}
	} else {
		after = 0;
		if (!q->notify_on)
			vio_store(&q->avail->flags, vio_le16(0));
	}
	q->notify_on = true;
	/* virtio 1.4, 2.7.13.4.1. Pairs with the one in split_device.c, split_publish(). */
	vio_mb_for(q->platform);
	return (uint16_t)(vio_le16(vio_load(&q->used->idx)) - q->used_idx) > after;
}

static void split_notify_disable(struct vio_drvq *base)
{
	struct split_drvq *q = split(base);

	if (!q->notify_on)
		return;
	q->notify_on = false;
	if (!q->event_idx) {
		vio_store(&q->avail->flags, vio_le16(VIO_VIRTQ_AVAIL_F_NO_INTERRUPT));
	} else if ((uint16_t)(q->used_seen - q->used_event_now - 1) >= 0x8000) {
		/* The event lies ahead: put it behind. */
		q->used_event_now = (uint16_t)(q->used_idx - 1);
		vio_store(q->used_event, vio_le16(q->used_event_now));
	}
}

/* ---- Life cycle -------------------------------------------------------------------------- */

static void *split_detach(struct vio_drvq *base)
{
	struct split_drvq *q = split(base);
	struct ring_slot *slot;
	void *token;
	uint32_t id;

	if (q->q.in_flight == 0)
		return NULL;
	while (!q->slots[q->detach_pos & q->mask].token)
		q->detach_pos++;
	id = q->detach_pos & q->mask;
	slot = &q->slots[id];
	token = slot->token;
	slot->token = NULL;
	q->free_ids[q->free_tail & q->mask] = (uint16_t)id;
	q->free_tail = (uint16_t)(free_chain(q, id, q->free_tail) + 1);
	q->q.free += ring_slot_count(slot);
	q->q.in_flight--;
	return token;
}

static uint16_t split_avail_pos(const struct vio_drvq *base)
{
	return split_const(base)->avail_published;
}

static const struct vio_drvq_ops split_drvq_broken_ops =
	VIO_DRVQ_BROKEN_OPS(split_detach, split_avail_pos);

/* What is different with IN_ORDER. */
#define SPLIT_DRVQ_OPS(reap)                                                                    \
	{                                                                                       \
		.broken = &split_drvq_broken_ops, .add_burst = split_add_burst,                 \
		.add_singles = split_add_singles, .show = split_show,                           \
		.must_kick = split_must_kick, .reap_burst = (reap), .prefetch = split_prefetch, \
		.has_used = split_has_used, .notify_enable = split_notify_enable,               \
		.notify_disable = split_notify_disable, .detach = split_detach,                 \
		.avail_pos = split_avail_pos,                                                   \
	}

static const struct vio_drvq_ops split_drvq_ops = SPLIT_DRVQ_OPS(split_reap_burst);
static const struct vio_drvq_ops split_drvq_in_order_ops = SPLIT_DRVQ_OPS(split_reap_in_order);

/* Lays the private tables out behind the queue in @storage; with NULL only counts the bytes. */
static size_t lay_out(struct split_drvq *q, uint32_t num)
{
	size_t slots = vio_align_up(sizeof(*q), VIO_CACHE_LINE);
	size_t shadow = slots + num * sizeof(struct ring_slot);
	size_t free_ids = shadow + num * sizeof(struct ring_desc);
	size_t avail_ids = free_ids + num * sizeof(uint16_t);
	size_t free_tables = avail_ids + num * sizeof(uint16_t);
	char *storage = (char *)q;

	if (q) {
		q->slots = (struct ring_slot *)(void *)(storage + slots);
		q->shadow = (struct ring_desc *)(void *)(storage + shadow);
		q->free_ids = (uint16_t *)(void *)(storage + free_ids);
		q->avail_ids = (uint16_t *)(void *)(storage + avail_ids);
		q->tables.free = (uint16_t *)(void *)(storage + free_tables);
	}
	return vio_align_up(free_tables + num * sizeof(uint16_t), VIO_CACHE_LINE);
}

size_t vio_split_drvq_bytes(uint32_t num)
{
	return lay_out(NULL, num);
}

int vio_split_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **out)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(setup->num, setup->features);
	struct split_drvq *q = storage;
	uint32_t i, num = setup->num;
	int err;

	if (!vio_vq_areas_ok(&setup->areas, &sizes))
		return -EINVAL;
	memset(q, 0, sizeof(*q));
	lay_out(q, num);
	err = ring_tables_init(&q->tables, setup, q->tables.free);
	if (err < 0)
		return err;
	q->q.ops = setup->features & vio_feature(VIO_F_IN_ORDER) ? &split_drvq_in_order_ops :
								   &split_drvq_ops;
	q->vector = vio_ring_vector();
	q->q.num = num;
	q->q.free = num;
	q->mask = num - 1;
	q->free_tail = (uint16_t)num;
	q->event_idx = (setup->features & vio_feature(VIO_F_EVENT_IDX)) != 0;
	q->platform = (setup->features & vio_feature(VIO_F_ORDER_PLATFORM)) != 0;
	q->desc = setup->areas.desc;
	q->avail = setup->areas.driver;
	q->used = setup->areas.device;
	q->used_event = &q->avail->ring[num];
	q->avail_event = (const uint16_t *)(const void *)&q->used->ring[num];
	memset(q->slots, 0, num * sizeof(*q->slots));
	for (i = 0; i < num; i++) {
		/* Different from all that we write: the first lap writes everything. */
		q->shadow[i] = (struct ring_desc){ UINT64_MAX, SPLIT_META_NONE };
		q->free_ids[i] = (uint16_t)i;
		q->avail_ids[i] = UINT16_MAX;
	}
	/* Interrupts off: by flag, or by an event that lies behind. */
	q->used_event_now = UINT16_MAX;
	vio_store(&q->avail->flags, vio_le16(q->event_idx ? 0 : VIO_VIRTQ_AVAIL_F_NO_INTERRUPT));
	if (q->event_idx)
		vio_store(q->used_event, vio_le16(q->used_event_now));
	*out = &q->q;
	return 0;
}
