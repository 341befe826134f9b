/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device side of a packed ring (virtio 1.4, 2.8).
 *
 * The driver may rewrite anything in shared memory at any moment. So each descriptor is loaded once,
 * the word with its flags first, and everything that is handed on was computed from that. What
 * leads to a pointer goes through src/mem. Ids are the driver's business: they are given back as
 * they came and mean nothing here.
 *
 * Two places move round the ring: where the next available descriptor is looked for, and behind it
 * where the next used one goes. Between them lie the descriptors of what is in flight, whose
 * contents no longer matter; so used descriptors never fall on one that was not read yet, however
 * much out of order buffers are returned.
 */
#include <errno.h>
#include <string.h>

#include "ring/chain.h"
#include "ring/packed.h"
#include "ring/vector.h"

/* In order, so many descriptors are returned by one at most, but for a longer list: a driver's usual
 * burst. */
#define BATCH 32u

/* Flags that are as one expects in a buffer of one descriptor, or are not. */
#define PACKED_PLAIN (PACKED_OWNER | VIO_DESC_F_NEXT | VIO_DESC_F_INDIRECT)

struct packed_devq {
	struct vio_devq q;

	/* Constant from set-up on, save by vio_devq_move(). */
	bool event_idx;
	bool indirect;
	const struct ring_vector *vector; /* NULL: none */
	struct ring_desc *desc;		  /* shared, both write it */
	const packed_event *driver_event; /* shared, the driver writes it */
	packed_event *device_event;	  /* shared, ours to write */
	struct ring_desc *table;	  /* copy of an indirect table that is in pieces */

	/* Ours alone. */
	struct packed_pos avail vio_cacheline; /* the next descriptor to pop */
	struct packed_pos used;		       /* where the next used descriptor goes */
	uint32_t slots;			       /* descriptors of what is in flight */
	uint32_t pending;		       /* descriptors used and not published */
	uint64_t first_meta;		       /* of the first of them */
	uint32_t event_now;		       /* what *device_event holds */
	uint32_t mem_hint;
};

static vio_always_inline struct packed_devq *packed(struct vio_devq *q)
{
	return vio_container_of(q, struct packed_devq, q);
}

static vio_always_inline const struct packed_devq *packed_const(const struct vio_devq *q)
{
	return (const struct packed_devq *)((const char *)q - offsetof(struct packed_devq, q));
}

/* ---- Walking a list ---------------------------------------------------------------------- */

/* A list of descriptors under way. */
struct list {
	struct packed_pos at; /* of the descriptor that was read last */
	uint32_t slots;	      /* descriptors of the ring up to there */
	uint32_t most;	      /* as many as there can be */
	uint64_t meta;	      /* of the last: its id is the buffer's */
};

/* Reads the descriptor behind the one read last into *@d. Returns 0 or why it can't be of the same
 * list. */
static vio_always_inline int next_desc(const struct packed_devq *q, struct list *list,
				       struct ring_desc *d)
{
	/* virtio 1.4, 2.8.17: no list is longer than the queue; nor does it run into those in flight. */
	if (list->slots >= list->most)
		return -VIO_VQ_CHAIN_LOOP;
	list->slots++;
	list->at = packed_forward(list->at, 1, q->q.num);
	/* The head was published after all others (2.8.6). */
	d->meta = vio_le64(vio_load(&q->desc[list->at.off].meta));
	d->addr = vio_le64(vio_load(&q->desc[list->at.off].addr));
	list->meta = d->meta;
	if (!packed_is_avail(d->meta, list->at.wrap))
		return -VIO_VQ_BAD_FLAGS;
	/* 2.8.19: a list is all of one kind. */
	return d->meta & PACKED_META_INDIRECT ? -VIO_VQ_BAD_INDIRECT : 0;
}

static int append(struct chain_walk *w, struct ring_desc d)
{
	return chain_append(w, d.addr, packed_meta_len(d.meta), (d.meta & PACKED_META_WRITE) != 0);
}

/* Walks the indirect table that @d describes (virtio 1.4, 2.8.7): its entries follow one another, and
 * of their flags only WRITE means anything. */
static int walk_table(struct packed_devq *q, struct chain_walk *w, struct ring_desc d)
{
	uint32_t i, len = packed_meta_len(d.meta);
	const char *table;
	int err = 0;

	if (!q->indirect || (d.meta & PACKED_META_NEXT) || !chain_table_size_ok(w, len))
		return -VIO_VQ_BAD_INDIRECT;
	table = chain_table(w, d.addr, len, q->table);
	if (!table)
		return -VIO_VQ_BAD_ADDRESS;
	for (i = 0; i < len && err == 0; i += (uint32_t)sizeof(d))
		err = append(w, chain_load_any(table + i));
	return err;
}

/* Walks the list that begins with @d, which was read, and goes on with @second, which may have been:
 * then @list stands there. Returns 0, or how the walk ended. */
static int walk_list(struct packed_devq *q, struct chain_walk *w, struct list *list,
		     struct ring_desc d, const struct ring_desc *second)
{
	int err;

	if (d.meta & PACKED_META_INDIRECT)
		return walk_table(q, w, d);
	for (;;) {
		err = append(w, d);
		if (err || !(d.meta & PACKED_META_NEXT))
			return err;
		if (second) {
			d = *second;
			second = NULL;
			continue;
		}
		err = next_desc(q, list, &d);
		if (err)
			return err;
	}
}

/* ---- Taking ------------------------------------------------------------------------------ */

/*
 * Why the descriptor with @meta, which is not available in the lap of @wrap, is not: 0, or the
 * reason, negative. What is left there from the lap before may be anything but used in this one,
 * for only we use, and behind.
 */
static vio_always_inline int not_available(uint64_t meta, bool wrap)
{
	return packed_is_used(meta, wrap) ? -VIO_VQ_BAD_FLAGS : 0;
}

/*
 * Takes the list that begins with @first and is not one buffer in the region hit last. Out of line,
 * so that the loop that calls it has the registers for itself. Returns the pieces that it put at
 * @iov, which has room for @room, or how the walk ended.
 */
static vio_noinline int pop_list(struct packed_devq *q, const struct vio_mem *mem,
				 struct ring_desc first, struct list *list, struct vio_chain *chain,
				 struct vio_iov *iov, unsigned room)
{
	struct chain_walk w = {
		.mem = mem, .hint = &q->mem_hint, .num = q->q.num, .iov = iov, .room = room
	};
	struct ring_desc second;
	bool two = false;
	int err = 0;

	if ((first.meta & (PACKED_META_NEXT | PACKED_META_INDIRECT)) == PACKED_META_NEXT) {
		struct vio_mem_region region = chain_region(mem, q->mem_hint);

		err = next_desc(q, list, &second);
		if (err)
			return err;
		two = true;
		if (vio_likely(room >= 2 && !(second.meta & PACKED_META_NEXT))) {
			const struct chain_buffer b = { first.addr, packed_meta_len(first.meta),
							(first.meta & PACKED_META_WRITE) != 0 };
			const struct chain_buffer c = { second.addr, packed_meta_len(second.meta),
							(second.meta & PACKED_META_WRITE) != 0 };

			if (vio_likely(chain_set_two(&region, b, c, chain, iov)))
				return 2;
		}
	}
	err = walk_list(q, &w, list, first, two ? &second : NULL);
	return err ? err : chain_set(chain, &w);
}

/*
 * Takes buffers of one descriptor in region @r, up to @n, from @desc on, each with two entries of
 * @iov; stops at whatever is not as plain as that, which is read anew by who looks at it closer.
 * Returns how many.
 */
static vio_always_inline uint32_t pop_plain(const struct ring_desc *desc, uint32_t owner,
					    const struct vio_mem_region *r, struct vio_chain *chain,
					    struct vio_iov *iov, uint32_t n)
{
	const struct vio_chain *const first = chain, *const end = chain + n;

	for (; chain < end; chain++, desc++, iov += 2) {
		/* Pairs with the release in packed_driver.c, packed_show(). */
		uint64_t meta = vio_le64(vio_load_acquire(&desc->meta));
		uint64_t addr = vio_le64(vio_load(&desc->addr));
		bool write = (packed_meta_flags(meta) & VIO_DESC_F_WRITE) != 0;

		if (((packed_meta_flags(meta) ^ owner) & PACKED_PLAIN) ||
		    !chain_map(r, addr, packed_meta_len(meta), &iov[1]))
			break;
		chain_set_one(chain, packed_meta_len(meta), write, &iov[1]);
		chain->id = packed_meta_id(meta);
		chain->slots = 1;
		chain->written = 0;
	}
	return (uint32_t)(chain - first);
}

/* The same as the processor does it best. */
static vio_always_inline uint32_t pop_run(const struct packed_devq *q, struct packed_pos at,
					  const struct vio_mem_region *r, struct vio_chain *chain,
					  struct vio_iov *iov, uint32_t n)
{
	const struct ring_desc *desc = &q->desc[at.off];
	uint32_t owner = packed_avail_bits(at.wrap), done = 0;

	if (q->vector)
		done = q->vector->packed_pop(desc, owner, r, chain, iov, n);
	return done +
	       pop_plain(desc + done, owner, r, chain + done, iov + (size_t)2 * done, n - done);
}

/* A burst under way. */
struct burst {
	struct packed_pos at;
	uint32_t left; /* descriptors that there can be */
	struct vio_chain *chain, *end;
	struct vio_iov *iov, *pool_end;
};

/* Goes on with @b over lists, tables and whatever else. Returns 0 or why it could not. */
static vio_noinline int pop_lists(struct packed_devq *q, const struct vio_mem *mem, struct burst *b)
{
	while (b->chain < b->end && b->left > 0 && b->pool_end - b->iov >= 2) {
		const struct ring_desc *at = &q->desc[b->at.off];
		struct list list = { b->at, 1, b->left, 0 };
		struct ring_desc d;
		int pieces;

		/* Pairs with the release in packed_driver.c, packed_show(). */
		d.meta = list.meta = vio_le64(vio_load_acquire(&at->meta));
		if (!packed_is_avail(d.meta, b->at.wrap))
			return not_available(d.meta, b->at.wrap);
		d.addr = vio_le64(vio_load(&at->addr));
		pieces = pop_list(q, mem, d, &list, b->chain, b->iov + 1,
				  (unsigned)(b->pool_end - b->iov - 1));
		if (pieces < 0)
			return pieces == CHAIN_NO_ROOM ? 0 : pieces;
		b->chain->id = packed_meta_id(list.meta);
		b->chain->slots = (uint16_t)list.slots;
		b->chain->written = 0;
		b->chain++;
		b->iov += 1 + pieces;
		b->left -= list.slots;
		b->at = packed_forward(b->at, list.slots, q->q.num);
	}
	return 0;
}

static int packed_pop_burst(struct vio_devq *base, const struct vio_mem *mem,
			    struct vio_chain *chains, unsigned n, struct vio_iov *iov,
			    unsigned niov)
{
	struct packed_devq *q = packed(base);
	struct vio_mem_region region = chain_region(mem, q->mem_hint);
	uint32_t room = q->q.num - q->slots, run, plain;
	struct burst b = { q->avail, room, chains, chains + n, iov, iov + niov };
	int why = 0;

	/* Up to the end of the ring, and from its start on. */
	for (;;) {
		/* Each takes a descriptor, its spare entry and one piece at least. */
		run = vio_min((uint32_t)(b.end - b.chain), (uint32_t)(b.pool_end - b.iov) / 2);
		run = packed_run(b.at, vio_min(run, b.left), q->q.num);
		if (run == 0)
			break;
		/* What is to be filled: its driver is ahead by a ring mostly, and each is written when it
		 * is returned, in this turn as a rule. A driver that sends may be at these very lines,
		 * and in order of what it sent one in many is written. */
		packed_ask(&q->desc[b.at.off], packed_avail_bits(b.at.wrap) | VIO_DESC_F_WRITE,
			   PACKED_OWNER | VIO_DESC_F_WRITE, run);
		plain = pop_run(q, b.at, &region, b.chain, b.iov, run);
		b.chain += plain;
		b.iov += 2 * plain;
		b.left -= plain;
		b.at = packed_forward(b.at, plain, q->q.num);
		if (plain < run) {
			why = pop_lists(q, mem, &b);
			break;
		}
	}
	n = (unsigned)(b.chain - chains);
	/* Chains before a bad one are good: the next call meets the bad one first. */
	if (vio_unlikely(n == 0 && why < 0))
		return vio_devq_pop_fault(&q->q, (enum vio_vq_error) - why);
	q->q.in_flight += n;
	q->slots += room - b.left;
	q->avail = b.at;
	return (int)n;
}

static void packed_unpop(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct packed_devq *q = packed(base);
	uint32_t slots = 0;
	unsigned i;

	for (i = 0; n - i >= 4; i += 4)
		slots += chain_four_slots(&chains[i]);
	for (; i < n; i++)
		slots += chains[i].slots;
	q->avail = packed_back(q->avail, slots, q->q.num);
	q->slots -= slots;
	q->q.in_flight -= n;
}

/* ---- Returning --------------------------------------------------------------------------- */

/* Chains on their way back. */
struct returns {
	uint64_t *meta_at; /* where the next used word goes */
	uint32_t off;	   /* its place */
	uint32_t flags;	   /* owner bits */
	uint32_t laps;	   /* descriptors of the ring, once it went round */
};

/*
 * With IN_ORDER one descriptor may stand for several buffers (virtio 1.4, 2.8.8): it names the last
 * of them and lies where that of the first would be. Goes on to the last one of those from @chain
 * on, and returns it.
 *
 * Buffers that are skipped count as used to their end, so they could be those that the device has
 * filled; but drivers that look for every writable buffer's descriptor are common, so only those
 * are skipped that there is nothing to say of. And none beyond a whole BATCH of the ring, or its end:
 * a driver that looks from one such descriptor to the next finds them at even distances, and its
 * processor has the next one come before it is asked for.
 */
static vio_always_inline const struct vio_chain *skip_to_last(struct returns *r,
							      const struct vio_chain *chain,
							      const struct vio_chain *end,
							      uint32_t num)
{
	const uint32_t stop = vio_min((r->off | (BATCH - 1)) + 1, num);
	uint32_t off = r->off;

	for (; end - chain > 4 && chain_four_read(chain); chain += 4) {
		const uint32_t then = off + chain_four_slots(chain);

		if (then + chain[4].slots > stop)
			break;
		off = then;
	}
	for (; end - chain > 1 && chain->in_num == 0; chain++) {
		const uint32_t then = off + chain->slots;

		if (then + chain[1].slots > stop)
			break;
		off = then;
	}
	r->off = off;
	return chain;
}

/* Returns @chains up to @end; with @in_order what may be skipped is, but for the last of each
 * batch. */
static vio_always_inline void push_some(struct packed_devq *q, struct returns *r,
					const struct vio_chain *chain, const struct vio_chain *end,
					const bool in_order)
{
	struct ring_desc *const desc = q->desc;
	const uint32_t num = q->q.num;

	for (; chain < end; chain++) {
		uint32_t written;

		if (in_order && chain->in_num == 0)
			chain = skip_to_last(r, chain, end, num);
		written = chain->written;
		r->off += chain->slots;
		vio_store(r->meta_at,
			  vio_le64(written | (uint64_t)chain->id << 32 |
				   (uint64_t)(r->flags | (uint32_t)(written != 0) << 1) << 48));
		if (vio_unlikely(r->off >= num)) {
			r->off -= num;
			r->laps = num;
			r->flags ^= PACKED_OWNER;
		}
		r->meta_at = &desc[r->off].meta;
	}
}

/* A burst; @in_order is constant. */
static vio_always_inline int push_burst(struct vio_devq *base, const struct vio_chain *chains,
					unsigned n, const bool in_order)
{
	struct packed_devq *q = packed(base);
	const uint32_t from = q->used.off;
	struct returns r = { q->pending ? &q->desc[from].meta : &q->first_meta, from,
			     packed_used_bits(q->used.wrap), 0 };
	uint32_t done = 0;

	/* Where there is something to say of each, it is said of each. */
	if (q->vector && n >= RING_VECTOR && !(in_order && chains->in_num == 0))
		done = q->vector->packed_push(&q->desc[from], r.meta_at, r.flags, chains,
					      packed_run(q->used, n, q->q.num));
	if (done > 0) {
		r.off += done;
		if (r.off == q->q.num) {
			r.off = 0;
			r.laps = q->q.num;
			r.flags ^= PACKED_OWNER;
		}
		r.meta_at = &q->desc[r.off].meta;
	}
	push_some(q, &r, chains + done, chains + n, in_order);
	q->used = (struct packed_pos){ r.off, (r.flags & PACKED_OWNER) != 0 };
	q->pending += r.laps + r.off - from;
	q->slots -= r.laps + r.off - from;
	q->q.in_flight -= n;
	return 0;
}

static int packed_push_burst(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	return push_burst(base, chains, n, false);
}

static int packed_push_in_order(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	return push_burst(base, chains, n, true);
}

static bool packed_publish(struct vio_devq *base)
{
	struct packed_devq *q = packed(base);
	uint32_t moved = q->pending, num = q->q.num;

	if (moved == 0)
		return false;
	/* virtio 1.4, 2.8.9: one store gives the driver all that was used. Pairs with the acquire in
	 * packed_reap.c, load_used(). */
	vio_store_release(&q->desc[packed_back(q->used, moved, num).off].meta,
			  vio_le64(q->first_meta));
	q->pending = 0;
	/* Pairs with the one in packed_driver.c, packed_notify_enable(). */
	vio_mb();
	return packed_need_event(vio_le32(vio_load(q->driver_event)), q->event_idx, q->used, moved,
				 num);
}

/* ---- Kicks ------------------------------------------------------------------------------- */

static void set_event(struct packed_devq *q, uint32_t event)
{
	if (q->event_now == event)
		return;
	q->event_now = event;
	vio_store(q->device_event, vio_le32(event));
}

/* What the driver has made available and we not popped. */
struct ahead {
	uint32_t buffers;
	uint32_t slots;
};

/* Counts until there are more than @buffers and more than @slots. What can't be is counted as a
 * buffer, for the next pop to find. */
static struct ahead look_ahead(const struct packed_devq *q, uint32_t buffers, uint32_t slots)
{
	uint32_t most = q->q.num - q->slots;
	struct packed_pos at = q->avail;
	struct ahead ahead = { 0, 0 };

	while (ahead.slots < most && (ahead.buffers <= buffers || ahead.slots <= slots)) {
		uint64_t meta = vio_le64(vio_load(&q->desc[at.off].meta));

		if (!packed_is_avail(meta, at.wrap)) {
			if (not_available(meta, at.wrap) == 0)
				break;
			meta = 0;
		}
		ahead.slots++;
		if (!(meta & PACKED_META_NEXT))
			ahead.buffers++;
		at = packed_forward(at, 1, q->q.num);
	}
	return ahead;
}

static uint32_t packed_avail_count(const struct vio_devq *base)
{
	const struct packed_devq *q = packed_const(base);

	return look_ahead(q, q->q.num, q->q.num).buffers;
}

static bool packed_has_avail(const struct vio_devq *base)
{
	const struct packed_devq *q = packed_const(base);
	uint64_t meta;

	if (q->slots == q->q.num)
		return false;
	meta = vio_le64(vio_load(&q->desc[q->avail.off].meta));
	return packed_is_avail(meta, q->avail.wrap) || not_available(meta, q->avail.wrap) != 0;
}

static bool packed_kick_enable(struct vio_devq *base, uint32_t beyond)
{
	struct packed_devq *q = packed(base);
	uint32_t most = q->q.num - q->slots, slots;
	struct ahead ahead;

	if (!q->event_idx) {
		set_event(q, PACKED_EVENT_ENABLE);
		/* As below. */
		vio_mb();
		beyond = vio_min(beyond, q->q.num - 1);
		return look_ahead(q, beyond, 0).buffers > beyond;
	}
	/* An event is a descriptor: behind the buffers that are there, and as many as are missing if
	 * each has one. More than what the ring holds would never be available. */
	ahead = look_ahead(q, beyond, 0);
	slots = ahead.buffers > beyond ? beyond : ahead.slots + (beyond - ahead.buffers);
	slots = vio_min(slots, vio_max(most, 1u) - 1);
	set_event(q, packed_event_at(packed_forward(q->avail, slots, q->q.num)));
	/* virtio 1.4, 2.8.21.3.1. Pairs with the one in packed_driver.c, packed_must_kick(). */
	vio_mb();
	return look_ahead(q, 0, slots).slots > slots;
}

static void packed_kick_disable(struct vio_devq *base)
{
	set_event(packed(base), PACKED_EVENT_DISABLE);
}

/* ---- Life cycle -------------------------------------------------------------------------- */

static void packed_move(struct vio_devq *base, const struct vio_vq_areas *areas)
{
	struct packed_devq *q = packed(base);

	q->desc = areas->desc;
	q->driver_event = areas->driver;
	q->device_event = areas->device;
}

static uint32_t packed_base(const struct vio_devq *base)
{
	const struct packed_devq *q = packed_const(base);

	return packed_encode(q->avail) | (uint32_t)packed_encode(q->used) << 16;
}

static const struct vio_devq_ops packed_devq_broken_ops =
	VIO_DEVQ_BROKEN_OPS(packed_unpop, packed_move, packed_base);

/* What is different with IN_ORDER. */
#define PACKED_DEVQ_OPS(push)                                                                    \
	{                                                                                        \
		.broken = &packed_devq_broken_ops, .pop_burst = packed_pop_burst,                \
		.push_burst = (push), .publish = packed_publish, .has_avail = packed_has_avail,  \
		.avail_count = packed_avail_count, .kick_enable = packed_kick_enable,            \
		.kick_disable = packed_kick_disable, .unpop = packed_unpop, .move = packed_move, \
		.base = packed_base,                                                             \
	}

static const struct vio_devq_ops packed_devq_ops = PACKED_DEVQ_OPS(packed_push_burst);
static const struct vio_devq_ops packed_devq_in_order_ops = PACKED_DEVQ_OPS(packed_push_in_order);

/* Lays the private tables out behind the queue in @storage; with NULL only counts the bytes. */
static size_t lay_out(struct packed_devq *q, uint32_t num)
{
	size_t table = vio_align_up(sizeof(*q), VIO_CACHE_LINE);

	if (q)
		q->table = (struct ring_desc *)(void *)((char *)q + table);
	return vio_align_up(table + num * sizeof(struct ring_desc), VIO_CACHE_LINE);
}

size_t vio_packed_devq_bytes(uint32_t num)
{
	return lay_out(NULL, num);
}

/*
 * Where a ring goes on that was left at @base: at the used position. What lies between that and the
 * available one was not used by whoever left off, so it is taken again. Front ends that know only
 * the available position leave the other half 0. False when there is no such place.
 */
static bool start_at(struct packed_devq *q, uint32_t base)
{
	struct packed_pos avail = packed_decode((uint16_t)base);
	struct packed_pos used = base >> 16 ? packed_decode((uint16_t)(base >> 16)) : avail;
	uint32_t num = q->q.num;

	if (avail.off >= num || used.off >= num)
		return false;
	/* At most a lap behind. */
	if (avail.wrap == used.wrap ? used.off > avail.off : used.off < avail.off)
		return false;
	q->avail = q->used = used;
	return true;
}

int vio_packed_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **out)
{
	struct packed_devq *q = storage;

	memset(q, 0, sizeof(*q));
	lay_out(q, setup->num);
	q->q.ops = setup->features & vio_feature(VIO_F_IN_ORDER) ? &packed_devq_in_order_ops :
								   &packed_devq_ops;
	q->vector = vio_ring_vector();
	q->q.num = setup->num;
	if (!start_at(q, setup->base))
		return -EINVAL;
	q->event_idx = (setup->features & vio_feature(VIO_F_EVENT_IDX)) != 0;
	q->indirect = (setup->features & vio_feature(VIO_F_INDIRECT_DESC)) != 0;
	packed_move(&q->q, &setup->areas);
	q->event_now = PACKED_EVENT_DISABLE;
	vio_store(q->device_event, vio_le32(q->event_now));
	*out = &q->q;
	return 0;
}
