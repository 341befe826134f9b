/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device side of a split ring (virtio 1.4, 2.7).
 *
 * The driver may rewrite anything in shared memory at any moment. So an available entry and each
 * descriptor are loaded once, into locals, and everything that is handed on was computed from
 * those. What leads to a pointer goes through src/mem.
 *
 * Nearly all chains are one descriptor, or a header and its data in two; both are taken in the
 * burst's own loop. All else (longer, indirect, over a region's end, bad) is walked out of line, the
 * descriptors that were already loaded going along, so that they are not loaded again.
 */
#include <errno.h>
#include <string.h>

#include "ring/chain.h"
#include "ring/split.h"
#include "ring/vector.h"

struct split_devq {
	struct vio_devq q;

	/* Constant from set-up on, save by vio_devq_move(). */
	uint32_t mask; /* num - 1 */
	bool event_idx;
	bool indirect;
	const struct ring_vector *vector;    /* NULL: none */
	const struct ring_desc *desc;	     /* shared, the driver writes it */
	const struct vio_virtq_avail *avail; /* shared, the driver writes it */
	const uint16_t *used_event;	     /* shared, the driver writes it */
	struct vio_virtq_used *used;	     /* shared, ours to write */
	uint16_t *avail_event;		     /* shared, ours to write */
	uint8_t *taken;			     /* for each head: popped and not pushed */
	uint64_t *used_elems;		     /* what the used ring holds: id:32 | len:32 */
	struct ring_desc *table;	     /* copy of an indirect table that is in pieces */

	/* Ours alone; free-running. */
	uint16_t avail_idx vio_cacheline; /* next available entry to pop */
	uint16_t avail_seen;		  /* last checked value of avail->idx */
	uint16_t used_idx;		  /* next used entry */
	uint16_t used_published;	  /* what used->idx holds */
	uint16_t keep;			  /* vio_devq_keep_back(), */
	uint16_t keep_from;		  /* of what was pushed from here on */
	uint16_t avail_event_now;	  /* what *avail_event holds */
	bool kicks_on;
	uint32_t mem_hint;
};

static vio_always_inline struct split_devq *split(struct vio_devq *q)
{
	return vio_container_of(q, struct split_devq, q);
}

static vio_always_inline const struct split_devq *split_const(const struct vio_devq *q)
{
	return (const struct split_devq *)((const char *)q - offsetof(struct split_devq, q));
}

/* ---- Walking a chain --------------------------------------------------------------------- */

static vio_always_inline struct ring_desc load_desc(const struct ring_desc *desc)
{
	return (struct ring_desc){ vio_le64(vio_load(&desc->addr)),
				   vio_le64(vio_load(&desc->meta)) };
}

/* virtio 1.4, 2.7.5.3.1: a table is negotiated, one level, and the last of its chain. Its WRITE flag
 * means nothing (2.7.5.3.2). */
static bool table_ok(const struct split_devq *q, const struct chain_walk *w, struct ring_desc d,
		     bool nested)
{
	return q->indirect && !nested && !(d.meta & SPLIT_META_NEXT) &&
	       chain_table_size_ok(w, split_meta_len(d.meta));
}

/*
 * Walks the chain whose first @nr_known descriptors are @known. Returns 0, or how the walk ended.
 */
static int walk_chain(struct split_devq *q, struct chain_walk *w, const struct ring_desc *known,
		      unsigned nr_known)
{
	const void *table = q->desc;
	uint32_t size = q->q.num;
	struct ring_desc d = known[0];
	unsigned buffers = 0, steps = 1;
	bool nested = false;
	int err;

	for (;;) {
		uint32_t next = 0;

		if (d.meta & SPLIT_META_INDIRECT) {
			if (!table_ok(q, w, d, nested))
				return -VIO_VQ_BAD_INDIRECT;
			table = chain_table(w, d.addr, split_meta_len(d.meta), q->table);
			if (!table)
				return -VIO_VQ_BAD_ADDRESS;
			size = split_meta_len(d.meta) / (uint32_t)sizeof(d);
			nested = true;
		} else {
			/* virtio 1.4, 2.7.5.3.1: a longer chain is a loop, or as bad. */
			if (buffers++ >= q->q.num)
				return -VIO_VQ_CHAIN_LOOP;
			err = chain_append(w, d.addr, split_meta_len(d.meta),
					   (d.meta & SPLIT_META_WRITE) != 0);
			if (err)
				return err;
			if (!(d.meta & SPLIT_META_NEXT))
				return 0;
			next = split_meta_next(d.meta);
			if (next >= size)
				return -VIO_VQ_BAD_HEAD;
		}
		if (steps < nr_known)
			d = known[steps];
		else
			d = chain_load_any((const char *)table + next * sizeof(d));
		steps++;
	}
}

/* ---- Taking ------------------------------------------------------------------------------ */

/* Reads the available index. Returns how many entries there are to pop, -EPROTO when it lies. */
static int avail_refresh(struct split_devq *q)
{
	/* Pairs with the release in split_driver.c, split_show(). */
	uint16_t seen = vio_le16(vio_load_acquire(&q->avail->idx));
	uint16_t ready = (uint16_t)(seen - q->avail_idx);

	/* A head that is in flight cannot be available as well, so both fit in the ring. */
	if (vio_unlikely(ready > q->q.num - q->q.in_flight))
		return vio_devq_pop_fault(&q->q, VIO_VQ_AVAIL_JUMP);
	q->avail_seen = seen;
	return ready;
}

/* Whether @d is a buffer wholly in @r; then it becomes @iov. */
static vio_always_inline bool map_desc(const struct vio_mem_region *r, struct ring_desc d,
				       struct vio_iov *iov)
{
	return chain_map(r, d.addr, split_meta_len(d.meta), iov);
}

/* Takes a chain of the two descriptors @d. Returns whether it was as plain as that. */
static vio_always_inline bool pop_two(const struct vio_mem_region *r, const struct ring_desc *d,
				      struct vio_chain *chain, struct vio_iov *iov)
{
	const struct chain_buffer b = { d[0].addr, split_meta_len(d[0].meta),
					(d[0].meta & SPLIT_META_WRITE) != 0 };
	const struct chain_buffer c = { d[1].addr, split_meta_len(d[1].meta),
					(d[1].meta & SPLIT_META_WRITE) != 0 };

	return !(d[1].meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) &&
	       chain_set_two(r, b, c, chain, iov);
}

/*
 * Takes the chain that begins with @first and is not one buffer in the region hit last. Out of
 * line, so that the loop that calls it has the registers for itself. Returns the pieces that it put
 * at @iov, which has room for @room, or how the walk ended.
 */
static vio_noinline int pop_chain(struct split_devq *q, const struct vio_mem *mem,
				  struct ring_desc first, struct vio_chain *chain,
				  struct vio_iov *iov, unsigned room)
{
	struct chain_walk w = {
		.mem = mem, .hint = &q->mem_hint, .num = q->q.num, .iov = iov, .room = room
	};
	struct ring_desc known[2] = { first };
	unsigned nr_known = 1;
	int err;

	if ((first.meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) == SPLIT_META_NEXT &&
	    split_meta_next(first.meta) <= q->mask) {
		struct vio_mem_region region = chain_region(mem, q->mem_hint);

		known[nr_known++] = load_desc(&q->desc[split_meta_next(first.meta)]);
		if (vio_likely(room >= 2 && pop_two(&region, known, chain, iov)))
			return 2;
	}
	err = walk_chain(q, &w, known, nr_known);
	return err ? err : chain_set(chain, &w);
}

/* Takes plain buffers as far as the end of the available ring and the kernel let it. Returns how
 * many. */
static vio_always_inline uint32_t pop_vector(const struct split_devq *q, uint32_t avail_idx,
					     const struct vio_mem_region *r,
					     struct vio_chain *chain, struct vio_iov *iov,
					     uint32_t n)
{
	uint32_t pos = avail_idx & q->mask;

	return q->vector->split_pop(q->desc, q->mask, &q->avail->ring[pos], q->taken, r, chain, iov,
				    vio_min(n, q->q.num - pos));
}

static int split_pop_burst(struct vio_devq *base, const struct vio_mem *mem,
			   struct vio_chain *chains, unsigned n, struct vio_iov *iov, unsigned niov)
{
	struct split_devq *q = split(base);
	struct vio_mem_region region = chain_region(mem, q->mem_hint);
	const struct vio_iov *const pool_end = iov + niov;
	const struct ring_desc *const desc = q->desc;
	const uint16_t *const ring = q->avail->ring;
	uint8_t *const taken = q->taken;
	const uint32_t mask = q->mask;
	uint32_t avail_idx = q->avail_idx;
	int ready = (uint16_t)(q->avail_seen - avail_idx);
	struct vio_chain *chain = chains, *end;
	int pieces = 0;

	if ((unsigned)ready < n) {
		ready = avail_refresh(q);
		if (vio_unlikely(ready < 0))
			return ready;
		n = vio_min(n, (unsigned)ready);
	}
	/* How far the burst may go while every chain takes its spare entry and one piece. */
	end = chains + vio_min(n, niov / 2);
	if (q->vector && n >= RING_VECTOR) {
		uint32_t plain =
			pop_vector(q, avail_idx, &region, chain, iov, (uint32_t)(end - chain));

		chain += plain;
		iov += (size_t)2 * plain;
		avail_idx += plain;
	}
	for (; chain < end; chain++) {
		uint32_t head = vio_le16(vio_load(&ring[avail_idx & mask]));
		struct ring_desc d;

		if (vio_unlikely(head > mask || taken[head])) {
			pieces = -VIO_VQ_BAD_HEAD;
			break;
		}
		d = load_desc(&desc[head]);
		iov++;
		if (vio_likely(!(d.meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) &&
			       map_desc(&region, d, iov))) {
			chain_set_one(chain, split_meta_len(d.meta),
				      (d.meta & SPLIT_META_WRITE) != 0, iov++);
		} else {
			pieces = pop_chain(q, mem, d, chain, iov, (unsigned)(pool_end - iov));
			if (pieces < 0)
				break;
			iov += pieces;
			end = vio_min(chains + n, chain + 1 + (pool_end - iov) / 2);
			region = chain_region(mem, q->mem_hint);
		}
		taken[head] = 1;
		chain->id = (uint16_t)head;
		chain->slots = 1;
		chain->written = 0;
		avail_idx++;
	}
	n = (unsigned)(chain - chains);
	/* Chains before a bad one are good: the next call meets the bad one first. */
	if (vio_unlikely(n == 0 && pieces < 0 && pieces != CHAIN_NO_ROOM))
		return vio_devq_pop_fault(&q->q, (enum vio_vq_error) - pieces);
	q->q.in_flight += n;
	q->avail_idx = (uint16_t)avail_idx;
	return (int)n;
}

/* The heads of four chains are no longer in flight. */
static vio_always_inline void free_four(uint8_t *taken, const struct vio_chain *chains)
{
	taken[chains[0].id] = 0;
	taken[chains[1].id] = 0;
	taken[chains[2].id] = 0;
	taken[chains[3].id] = 0;
}

static void split_unpop(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct split_devq *q = split(base);
	uint8_t *const taken = q->taken;
	unsigned i;

	for (i = 0; n - i >= 4; i += 4)
		free_four(taken, &chains[i]);
	for (; i < n; i++)
		taken[chains[i].id] = 0;
	q->avail_idx = (uint16_t)(q->avail_idx - n);
	q->q.in_flight -= n;
}

/* ---- Returning --------------------------------------------------------------------------- */

/* Makes used entry @pos say @id and @written. */
static vio_always_inline void write_used(struct split_devq *q, uint32_t pos, uint32_t id,
					 uint32_t written)
{
	uint64_t elem = id | (uint64_t)written << 32;

	if (q->used_elems[pos] == elem)
		return;
	q->used_elems[pos] = elem;
	vio_store(&q->used->ring[pos].id, vio_le32(id));
	vio_store(&q->used->ring[pos].len, vio_le32(written));
}

/* Returns what of @chains goes up to the end of the used ring and the kernel likes. Returns how
 * many. */
static vio_always_inline uint32_t push_vector(struct split_devq *q, const struct vio_chain *chains,
					      unsigned n)
{
	uint32_t pos = q->used_idx & q->mask;
	void *ring = &q->used->ring[pos];

	if (!q->vector)
		return 0;
	return q->vector->split_push(ring, &q->used_elems[pos], q->taken, chains,
				     vio_min(n, q->q.num - pos));
}

static int split_push_burst(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct split_devq *q = split(base);
	uint8_t *const taken = q->taken;
	const uint32_t mask = q->mask;
	unsigned i = push_vector(q, chains, n);
	uint32_t used_idx = q->used_idx + i;

	for (; i < n; i++) {
		write_used(q, used_idx++ & mask, chains[i].id, chains[i].written);
		taken[chains[i].id] = 0;
	}
	q->used_idx = (uint16_t)used_idx;
	q->q.in_flight -= n;
	return 0;
}

/*
 * With IN_ORDER one entry may stand for several buffers (virtio 1.4, 2.7.9): it names the last of
 * them and lies where that of the first would be. Buffers that are skipped count as used to their
 * end, so they could be those that the device has filled; but drivers that ask every writable
 * buffer's entry for its length are common, so only those are skipped that there is nothing to say
 * of.
 */
static int split_push_in_order(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct split_devq *q = split(base);
	uint8_t *const taken = q->taken;
	unsigned i = 0, first = 0;

	/* What is kept back may begin anywhere but amidst what one entry stands for. */
	if (q->keep)
		return split_push_burst(base, chains, n);
	/* Where there is something to say of each, it is said of each. */
	if (n > 0 && chains->in_num != 0)
		i = first = push_vector(q, chains, n);
	for (; n - i > 4 && chain_four_read(&chains[i]); i += 4)
		free_four(taken, &chains[i]);
	for (; i < n; i++) {
		taken[chains[i].id] = 0;
		if (chains[i].in_num == 0 && i + 1 < n)
			continue;
		write_used(q, (q->used_idx + first) & q->mask, chains[i].id, chains[i].written);
		first = i + 1;
	}
	q->used_idx = (uint16_t)(q->used_idx + n);
	q->q.in_flight -= n;
	return 0;
}

static bool driver_polls(const struct split_devq *q)
{
	return (vio_le16(vio_load(&q->avail->flags)) & VIO_VIRTQ_AVAIL_F_NO_INTERRUPT) != 0;
}

/* As far as the used index may go now. */
static vio_always_inline uint16_t publish_to(const struct split_devq *q)
{
	uint32_t pushed, since;

	if (vio_likely(!q->keep) || !driver_polls(q))
		return q->used_idx;
	pushed = (uint16_t)(q->used_idx - q->used_published);
	since = (uint16_t)(q->used_idx - q->keep_from);
	since = vio_min(since, pushed);
	return (uint16_t)(q->used_idx - vio_min(since, (uint32_t)q->keep));
}

static bool split_publish(struct vio_devq *base)
{
	struct split_devq *q = split(base);
	uint16_t new = publish_to(q), old = q->used_published;

	if (new == old)
		return false;
	/* virtio 1.4, 2.7.8.2. Pairs with the acquire in split_driver.c, used_refresh(). */
	vio_store_release(&q->used->idx, vio_le16(new));
	q->used_published = new;
	/* virtio 1.4, 2.7.7.2. Pairs with the one in split_driver.c, split_notify_enable(). */
	vio_mb();
	if (q->event_idx)
		return ring_need_event(vio_le16(vio_load(q->used_event)), new, old);
	return !driver_polls(q);
}

static uint32_t split_keep_back(struct vio_devq *base, uint32_t keep)
{
	struct split_devq *q = split(base);

	if (q->event_idx || !driver_polls(q))
		keep = 0;
	if (!q->keep)
		q->keep_from = q->used_idx;
	q->keep = (uint16_t)vio_min(keep, q->q.num);
	return q->keep;
}

/* ---- Kicks ------------------------------------------------------------------------------- */

static uint32_t split_avail_count(const struct vio_devq *base)
{
	const struct split_devq *q = split_const(base);
	uint16_t ready = (uint16_t)(vio_le16(vio_load(&q->avail->idx)) - q->avail_idx);

	/* More than this is a lie, for the next pop to find. */
	return vio_min((uint32_t)ready, q->q.num);
}

static bool split_has_avail(const struct vio_devq *base)
{
	return split_avail_count(base) != 0;
}

static bool split_kick_enable(struct vio_devq *base, uint32_t beyond)
{
	struct split_devq *q = split(base);

	/* More than what the ring holds would never be available. */
	beyond = vio_min(beyond, q->mask);
	if (q->event_idx) {
		uint16_t event = (uint16_t)(q->avail_idx + beyond);

		if (q->avail_event_now != event) {
			q->avail_event_now = event;
			vio_store(q->avail_event, vio_le16(event));
		}
	} else if (!q->kicks_on) {
		vio_store(&q->used->flags, vio_le16(0));
	}
	q->kicks_on = true;
	/* virtio 1.4, 2.7.10.2. Pairs with the one in split_driver.c, split_must_kick(). */
	vio_mb();
	return split_avail_count(base) > beyond;
}

static void split_kick_disable(struct vio_devq *base)
{
	struct split_devq *q = split(base);

	if (!q->kicks_on)
		return;
	q->kicks_on = false;
	if (!q->event_idx) {
		vio_store(&q->used->flags, vio_le16(VIO_VIRTQ_USED_F_NO_NOTIFY));
	} else if ((uint16_t)(q->avail_seen - q->avail_event_now - 1) >= 0x8000) {
		/* The event lies ahead: put it behind. */
		q->avail_event_now = (uint16_t)(q->avail_idx - 1);
		vio_store(q->avail_event, vio_le16(q->avail_event_now));
	}
}

/* ---- Life cycle -------------------------------------------------------------------------- */

static void split_move(struct vio_devq *base, const struct vio_vq_areas *areas)
{
	struct split_devq *q = split(base);

	q->desc = areas->desc;
	q->avail = areas->driver;
	q->used = areas->device;
	q->used_event = &q->avail->ring[q->q.num];
	q->avail_event = (uint16_t *)(void *)&q->used->ring[q->q.num];
}

static uint32_t split_base(const struct vio_devq *base)
{
	return split_const(base)->avail_idx;
}

static const struct vio_devq_ops split_devq_broken_ops =
	VIO_DEVQ_BROKEN_OPS(split_unpop, split_move, split_base);

/* What is different with IN_ORDER. */
#define SPLIT_DEVQ_OPS(push)                                                                  \
	{                                                                                     \
		.broken = &split_devq_broken_ops, .pop_burst = split_pop_burst,               \
		.push_burst = (push), .publish = split_publish, .keep_back = split_keep_back, \
		.has_avail = split_has_avail, .avail_count = split_avail_count,               \
		.kick_enable = split_kick_enable, .kick_disable = split_kick_disable,         \
		.unpop = split_unpop, .move = split_move, .base = split_base,                 \
	}

static const struct vio_devq_ops split_devq_ops = SPLIT_DEVQ_OPS(split_push_burst);
static const struct vio_devq_ops split_devq_in_order_ops = SPLIT_DEVQ_OPS(split_push_in_order);

/* Lays the private tables out behind the queue in @storage; with NULL only counts the bytes. */
static size_t lay_out(struct split_devq *q, uint32_t num)
{
	size_t taken = vio_align_up(sizeof(*q), VIO_CACHE_LINE);
	size_t used_elems = vio_align_up(taken + num, VIO_CACHE_LINE);
	size_t table = vio_align_up(used_elems + num * sizeof(uint64_t), VIO_CACHE_LINE);
	char *storage = (char *)q;

	if (q) {
		q->taken = (uint8_t *)(storage + taken);
		q->used_elems = (uint64_t *)(void *)(storage + used_elems);
		q->table = (struct ring_desc *)(void *)(storage + table);
	}
	return vio_align_up(table + num * sizeof(struct ring_desc), VIO_CACHE_LINE);
}

size_t vio_split_devq_bytes(uint32_t num)
{
	return lay_out(NULL, num);
}

int vio_split_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **out)
{
	struct split_devq *q = storage;
	uint32_t i;

	if (setup->base > UINT16_MAX)
		return -EINVAL;
	memset(q, 0, sizeof(*q));
	lay_out(q, setup->num);
	q->q.ops = setup->features & vio_feature(VIO_F_IN_ORDER) ? &split_devq_in_order_ops :
								   &split_devq_ops;
	q->vector = vio_ring_vector();
	q->q.num = setup->num;
	q->mask = setup->num - 1;
	q->event_idx = (setup->features & vio_feature(VIO_F_EVENT_IDX)) != 0;
	q->indirect = (setup->features & vio_feature(VIO_F_INDIRECT_DESC)) != 0;
	split_move(&q->q, &setup->areas);
	memset(q->taken, 0, setup->num);
	/* No id is that large: the first lap writes everything. */
	for (i = 0; i < setup->num; i++)
		q->used_elems[i] = UINT64_MAX;
	q->avail_idx = q->avail_seen = (uint16_t)setup->base;
	q->used_idx = q->used_published = vio_le16(vio_load(&q->used->idx));
	/* Kicks off: by flag, or by an event that lies behind. */
	q->avail_event_now = (uint16_t)(q->avail_idx - 1);
	vio_store(&q->used->flags, vio_le16(q->event_idx ? 0 : VIO_VIRTQ_USED_F_NO_NOTIFY));
	if (q->event_idx)
		vio_store(q->avail_event, vio_le16(q->avail_event_now));
	*out = &q->q;
	return 0;
}
