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

#include "mem/mem.h"
#include "ring/split.h"

/* Pieces beyond one a descriptor that a chain may have because regions touch in its buffers. */
#define SPLIT_EXTRA_PIECES 63
/* Regions that an indirect table may run over. */
#define SPLIT_TABLE_PIECES 16

struct split_devq {
	struct vio_devq q;

	/* Constant from set-up on, save by vio_devq_move(). */
	uint32_t mask; /* num - 1 */
	bool event_idx;
	bool indirect;
	const struct split_desc *desc;	     /* shared, the driver writes it */
	const struct vio_virtq_avail *avail; /* shared, the driver writes it */
	const uint16_t *used_event;	     /* shared, the driver writes it */
	struct vio_virtq_used *used;	     /* shared, ours to write */
	uint16_t *avail_event;		     /* shared, ours to write */
	uint8_t *taken;			     /* for each head: popped and not pushed */
	uint64_t *used_elems;		     /* what the used ring holds: id:32 | len:32 */
	struct split_desc *table;	     /* copy of an indirect table that is in pieces */

	/* Ours alone; free-running. */
	uint16_t avail_idx vio_cacheline; /* next available entry to pop */
	uint16_t avail_seen;		  /* last checked value of avail->idx */
	uint16_t used_idx;		  /* next used entry */
	uint16_t used_published;	  /* what used->idx holds */
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

/* How a walk ends that does not end well: with the reason, negative, or with this. */
#define WALK_NO_ROOM (-1000)

/* A chain under way. */
struct walk {
	struct split_devq *q;
	const struct vio_mem *mem;
	struct vio_iov *iov; /* where its pieces go */
	unsigned room;	     /* for how many */
	unsigned out_num, in_num;
	uint64_t out_len, in_len;
};

/* A load that the compiler may not repeat, of any alignment: indirect tables may have any. */
typedef uint64_t split_any_word __attribute__((aligned(1), may_alias));

static vio_always_inline struct split_desc load_any(const void *p)
{
	const volatile split_any_word *word = p;

	return (struct split_desc){ vio_le64(word[0]), vio_le64(word[1]) };
}

static vio_always_inline struct split_desc load_desc(const struct split_desc *desc)
{
	return (struct split_desc){ vio_le64(vio_load(&desc->addr)),
				    vio_le64(vio_load(&desc->meta)) };
}

/* Appends the buffer that @d describes. Returns 0 or as a walk ends. */
static int walk_buffer(struct walk *w, struct split_desc d)
{
	uint32_t len = split_meta_len(d.meta);
	unsigned pieces = w->out_num + w->in_num;
	unsigned most = w->q->q.num + SPLIT_EXTRA_PIECES;
	void *base;
	int n;

	if (len == 0)
		return -VIO_VQ_ZERO_LENGTH;
	/* virtio 1.4, 2.7.4.2: all device-readable descriptors come first. */
	if (!(d.meta & SPLIT_META_WRITE) && w->in_num > 0)
		return -VIO_VQ_BAD_ORDER;
	base = vio_mem_span_fast(w->mem, &w->q->mem_hint, d.addr, len);
	if (vio_likely(base && pieces < vio_min(w->room, most))) {
		w->iov[pieces] = (struct vio_iov){ base, len };
		n = 1;
	} else {
		n = vio_mem_iov(w->mem, &w->q->mem_hint, d.addr, len, w->iov + pieces,
				(int)(vio_min(w->room, most) - pieces));
	}
	if (n == -E2BIG)
		return w->room < most ? WALK_NO_ROOM : -VIO_VQ_TOO_LONG;
	if (n < 0)
		return -VIO_VQ_BAD_ADDRESS;
	if (d.meta & SPLIT_META_WRITE) {
		w->in_num += (unsigned)n;
		w->in_len += len;
	} else {
		w->out_num += (unsigned)n;
		w->out_len += len;
	}
	return w->out_len + w->in_len > UINT32_MAX ? -VIO_VQ_TOO_LONG : 0;
}

/*
 * The indirect table that @d describes (virtio 1.4, 2.7.5.3): its memory, or our copy of it when it
 * runs over the end of a region. Its entries go to *@size. NULL when it is not wholly in memory.
 */
static const void *find_table(struct walk *w, struct split_desc d, uint32_t *size)
{
	uint32_t len = split_meta_len(d.meta);
	const void *table = vio_mem_span_fast(w->mem, &w->q->mem_hint, d.addr, len);
	char *copy = (char *)w->q->table;
	struct vio_iov part[SPLIT_TABLE_PIECES];
	int i, n;

	*size = len / (uint32_t)sizeof(struct split_desc);
	if (vio_likely(table))
		return table;
	n = vio_mem_iov(w->mem, &w->q->mem_hint, d.addr, len, part, vio_array_size(part));
	if (n < 0)
		return NULL;
	for (i = 0; i < n; i++) {
		memcpy(copy, part[i].base, part[i].len);
		copy += part[i].len;
	}
	return w->q->table;
}

/* virtio 1.4, 2.7.5.3.1: negotiated, one level, last of its chain, of whole entries, and no longer
 * than the queue. Its WRITE flag means nothing (2.7.5.3.2). */
static bool table_ok(const struct split_devq *q, struct split_desc d, bool nested)
{
	uint32_t len = split_meta_len(d.meta);

	return q->indirect && !nested && !(d.meta & SPLIT_META_NEXT) && len != 0 &&
	       len % sizeof(struct split_desc) == 0 && len / sizeof(struct split_desc) <= q->q.num;
}

/*
 * Walks the chain whose first @nr_known descriptors are @known. Returns 0, or how the walk ended.
 */
static int walk_chain(struct walk *w, const struct split_desc *known, unsigned nr_known)
{
	const void *table = w->q->desc;
	uint32_t size = w->q->q.num;
	struct split_desc d = known[0];
	unsigned buffers = 0, steps = 1;
	bool nested = false;
	int err;

	for (;;) {
		uint32_t next = 0;

		if (d.meta & SPLIT_META_INDIRECT) {
			if (!table_ok(w->q, d, nested))
				return -VIO_VQ_BAD_INDIRECT;
			table = find_table(w, d, &size);
			if (!table)
				return -VIO_VQ_BAD_ADDRESS;
			nested = true;
		} else {
			/* virtio 1.4, 2.7.5.3.1: a longer chain is a loop, or as bad. */
			if (buffers++ >= w->q->q.num)
				return -VIO_VQ_CHAIN_LOOP;
			err = walk_buffer(w, d);
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
			d = load_any((const char *)table + next * sizeof(d));
		steps++;
	}
}

/* ---- Taking ------------------------------------------------------------------------------ */

/* Reads the available index. Returns how many entries there are to pop, -EPROTO when it lies. */
static int avail_refresh(struct split_devq *q)
{
	/* Pairs with the release in split_driver.c, split_publish(). */
	uint16_t seen = vio_le16(vio_load_acquire(&q->avail->idx));
	uint16_t ready = (uint16_t)(seen - q->avail_idx);

	/* A head that is in flight cannot be available as well, so both fit in the ring. */
	if (vio_unlikely(ready > q->q.num - q->q.in_flight)) {
		vio_devq_break(&q->q, VIO_VQ_AVAIL_JUMP);
		return -EPROTO;
	}
	q->avail_seen = seen;
	return ready;
}

/* The region that was hit last, copied, so that a burst's checks are made in registers. */
static vio_always_inline struct vio_mem_region last_region(const struct split_devq *q,
							   const struct vio_mem *mem)
{
	if (vio_unlikely(q->mem_hint >= mem->count))
		return (struct vio_mem_region){ .size = 0 };
	return mem->regions[q->mem_hint];
}

/* Whether @d is a buffer wholly in @r; then it becomes @iov. */
static vio_always_inline bool map_buffer(const struct vio_mem_region *r, struct split_desc d,
					 struct vio_iov *iov)
{
	uint64_t off;

	if (vio_unlikely(!vio_mem_holds(r, d.addr, split_meta_len(d.meta), &off)))
		return false;
	iov->base = (char *)r->host + off;
	iov->len = split_meta_len(d.meta);
	/* The data comes while the rest of the burst is taken, which hides most of its way. */
	if (d.meta & SPLIT_META_WRITE)
		vio_prefetch_write(iov->base);
	else
		vio_prefetch_read(iov->base);
	return true;
}

/* Fills in @chain for the one buffer @d, which is at @iov. */
static vio_always_inline void chain_set_one(struct vio_chain *chain, struct split_desc d,
					    struct vio_iov *iov)
{
	chain->iov = iov;
	if (d.meta & SPLIT_META_WRITE) {
		chain->out_num = 0;
		chain->in_num = 1;
		chain->out_len = 0;
		chain->in_len = split_meta_len(d.meta);
	} else {
		chain->out_num = 1;
		chain->in_num = 0;
		chain->out_len = split_meta_len(d.meta);
		chain->in_len = 0;
	}
}

/* Takes a chain of the two descriptors @d. Returns whether it was as plain as that. */
static vio_always_inline bool pop_two(const struct vio_mem_region *r, const struct split_desc *d,
				      struct vio_chain *chain, struct vio_iov *iov)
{
	uint64_t len0 = split_meta_len(d[0].meta), len1 = split_meta_len(d[1].meta);
	bool in0 = (d[0].meta & SPLIT_META_WRITE) != 0, in1 = (d[1].meta & SPLIT_META_WRITE) != 0;

	if (vio_unlikely((d[1].meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) || in0 > in1 ||
			 len0 + len1 > UINT32_MAX))
		return false;
	if (vio_unlikely(!map_buffer(r, d[0], &iov[0]) || !map_buffer(r, d[1], &iov[1])))
		return false;
	chain->iov = iov;
	chain->out_num = (uint16_t)(2 - in0 - in1);
	chain->in_num = (uint16_t)(in0 + in1);
	chain->out_len = (uint32_t)((in0 ? 0 : len0) + (in1 ? 0 : len1));
	chain->in_len = (uint32_t)((in0 ? len0 : 0) + (in1 ? len1 : 0));
	return true;
}

/*
 * Takes the chain that begins with @first and is not one buffer in the region hit last. Out of
 * line, so that the loop that calls it has the registers for itself. Returns the pieces that it put
 * at @iov, which has room for @room, or how the walk ended.
 */
static vio_noinline int pop_chain(struct split_devq *q, const struct vio_mem *mem,
				  struct split_desc first, struct vio_chain *chain,
				  struct vio_iov *iov, unsigned room)
{
	struct walk w = { .q = q, .mem = mem, .iov = iov, .room = room };
	struct split_desc known[2] = { first };
	unsigned nr_known = 1;
	int err;

	if ((first.meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) == SPLIT_META_NEXT &&
	    split_meta_next(first.meta) <= q->mask) {
		struct vio_mem_region region = last_region(q, mem);

		known[nr_known++] = load_desc(&q->desc[split_meta_next(first.meta)]);
		if (vio_likely(room >= 2 && pop_two(&region, known, chain, iov)))
			return 2;
	}
	err = walk_chain(&w, known, nr_known);
	if (err)
		return err;
	chain->iov = iov;
	chain->out_num = (uint16_t)w.out_num;
	chain->in_num = (uint16_t)w.in_num;
	chain->out_len = (uint32_t)w.out_len;
	chain->in_len = (uint32_t)w.in_len;
	return (int)(w.out_num + w.in_num);
}

static int split_pop_burst(struct vio_devq *base, const struct vio_mem *mem,
			   struct vio_chain *chains, unsigned n, struct vio_iov *iov, unsigned niov)
{
	struct split_devq *q = split(base);
	struct vio_mem_region region = last_region(q, mem);
	const struct vio_iov *const pool_end = iov + niov;
	const struct split_desc *const desc = q->desc;
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
	for (; chain < end; chain++) {
		uint32_t head = vio_le16(vio_load(&ring[avail_idx & mask]));
		struct split_desc d;

		if (vio_unlikely(head > mask || taken[head])) {
			pieces = -VIO_VQ_BAD_HEAD;
			break;
		}
		d = load_desc(&desc[head]);
		iov++;
		if (vio_likely(!(d.meta & (SPLIT_META_NEXT | SPLIT_META_INDIRECT)) &&
			       map_buffer(&region, d, iov))) {
			chain_set_one(chain, d, iov++);
		} else {
			pieces = pop_chain(q, mem, d, chain, iov, (unsigned)(pool_end - iov));
			if (pieces < 0)
				break;
			iov += pieces;
			end = vio_min(chains + n, chain + 1 + (pool_end - iov) / 2);
			region = last_region(q, mem);
		}
		taken[head] = 1;
		chain->id = (uint16_t)head;
		chain->slots = 1;
		chain->written = 0;
		avail_idx++;
	}
	n = (unsigned)(chain - chains);
	/* Chains before a bad one are good: the next call meets the bad one first. */
	if (vio_unlikely(n == 0 && pieces < 0 && pieces != WALK_NO_ROOM)) {
		vio_devq_break(&q->q, (enum vio_vq_error) - pieces);
		return -EPROTO;
	}
	q->q.in_flight += n;
	q->avail_idx = (uint16_t)avail_idx;
	return (int)n;
}

static void split_unpop(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct split_devq *q = split(base);
	unsigned i;

	for (i = 0; i < n; i++)
		q->taken[chains[i].id] = 0;
	q->avail_idx = (uint16_t)(q->avail_idx - n);
	q->q.in_flight -= n;
}

/* ---- Returning --------------------------------------------------------------------------- */

static int split_push_burst(struct vio_devq *base, const struct vio_chain *chains, unsigned n)
{
	struct split_devq *q = split(base);
	uint64_t *const used_elems = q->used_elems;
	uint8_t *const taken = q->taken;
	const uint32_t mask = q->mask;
	uint32_t used_idx = q->used_idx;
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t id = chains[i].id, written = chains[i].written;
		uint64_t elem = id | (uint64_t)written << 32;
		uint32_t pos = used_idx++ & mask;

		if (used_elems[pos] != elem) {
			used_elems[pos] = elem;
			vio_store(&q->used->ring[pos].id, vio_le32(id));
			vio_store(&q->used->ring[pos].len, vio_le32(written));
		}
		taken[id] = 0;
	}
	q->used_idx = (uint16_t)used_idx;
	q->q.in_flight -= n;
	return 0;
}

static bool split_publish(struct vio_devq *base)
{
	struct split_devq *q = split(base);
	uint16_t new = q->used_idx, old = q->used_published;

	if (new == old)
		return false;
	/* virtio 1.4, 2.7.8.2. Pairs with the acquire in split_driver.c, used_refresh(). */
	vio_store_release(&q->used->idx, vio_le16(new));
	q->used_published = new;
	/* virtio 1.4, 2.7.7.2. Pairs with the one in split_driver.c, split_notify_enable(). */
	vio_mb();
	if (q->event_idx)
		return split_need_event(vio_le16(vio_load(q->used_event)), new, old);
	return !(vio_le16(vio_load(&q->avail->flags)) & VIO_VIRTQ_AVAIL_F_NO_INTERRUPT);
}

/* ---- Kicks ------------------------------------------------------------------------------- */

static uint32_t split_avail_count(const struct vio_devq *base)
{
	const struct split_devq *q = split_const(base);
	uint16_t ready = (uint16_t)(vio_le16(vio_load(&q->avail->idx)) - q->avail_idx);

	/* More than this is a lie, for the next pop to find. */
	return vio_min((uint32_t)ready, q->q.num);
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
	/* virtio 1.4, 2.7.10.2. Pairs with the one in split_driver.c, split_publish(). */
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

static const struct vio_devq_ops split_devq_broken_ops = {
	.pop_burst = vio_devq_broken_pop,
	.push_burst = vio_devq_broken_push,
	.publish = vio_devq_broken_publish,
	.avail_count = vio_devq_broken_avail_count,
	.kick_enable = vio_devq_broken_kick_enable,
	.kick_disable = vio_devq_broken_kick_disable,
	.unpop = split_unpop,
	.move = split_move,
	.base = split_base,
};

static const struct vio_devq_ops split_devq_ops = {
	.broken = &split_devq_broken_ops,
	.pop_burst = split_pop_burst,
	.push_burst = split_push_burst,
	.publish = split_publish,
	.avail_count = split_avail_count,
	.kick_enable = split_kick_enable,
	.kick_disable = split_kick_disable,
	.unpop = split_unpop,
	.move = split_move,
	.base = split_base,
};

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
		q->table = (struct split_desc *)(void *)(storage + table);
	}
	return vio_align_up(table + num * sizeof(struct split_desc), VIO_CACHE_LINE);
}

size_t vio_split_devq_bytes(uint32_t num)
{
	return lay_out(NULL, num);
}

unsigned vio_devq_pool_min(uint32_t num)
{
	return num + SPLIT_EXTRA_PIECES + 1;
}

int vio_split_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **out)
{
	struct split_devq *q = storage;
	uint32_t i;

	if (setup->base > UINT16_MAX)
		return -EINVAL;
	memset(q, 0, sizeof(*q));
	lay_out(q, setup->num);
	q->q.ops = &split_devq_ops;
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
