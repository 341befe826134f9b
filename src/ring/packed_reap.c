/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes back to the driver side of a packed ring. Out of order the used descriptor names the
 * buffer; with IN_ORDER its place does, and one may stand for a batch. See packed_driver.c.
 */
#include <errno.h>

#include "ring/packed_drvq.h"

/* ---- Reaping ----------------------------------------------------------------------------- */

/* The meta word at @desc, which says whether it was used, before all that it covers. Pairs with the
 * release in packed_device.c, packed_publish(). */
static vio_always_inline uint64_t load_used(const struct ring_desc *desc, bool platform)
{
	uint64_t meta = vio_le64(vio_load_acquire(&desc->meta));

	vio_acquire_for(platform);
	return meta;
}

/*
 * Why the descriptor with @meta, where the device uses the next buffer, is of no use: 0 when it is
 * still available; else the reason, negative: the device may change the USED bit alone.
 */
static vio_always_inline int not_used(uint64_t meta, bool wrap)
{
	return (packed_meta_flags(meta) ^ packed_used_bits(wrap)) & VIO_DESC_F_AVAIL ?
		       -VIO_VQ_BAD_FLAGS :
		       0;
}

/*
 * What the used descriptor with @meta says was written into the buffer of @slot; false when that is
 * more than was posted. Without WRITE the length means nothing (virtio 1.4, 2.8.4), yet there are
 * devices that never set that: their lengths are taken where they are possible.
 */
static bool used_len(uint64_t meta, const struct ring_slot *slot, uint32_t *len)
{
	*len = packed_meta_len(meta);
	if (vio_likely(*len <= slot->in_len))
		return true;
	*len = 0;
	return !(packed_meta_flags(meta) & VIO_DESC_F_WRITE);
}

/*
 * Judges the used descriptor with @meta, of a buffer that has to lie in the next @left descriptors
 * that were published. What was written goes to *@len. Returns 0 or the reason, negative.
 */
static int judge_used(const struct packed_drvq *q, uint64_t meta, uint32_t left, uint32_t *len)
{
	uint32_t id = packed_meta_id(meta);

	if (id >= q->q.num)
		return -VIO_VQ_BAD_ID;
	if (!q->slots[id].token)
		return -VIO_VQ_NOT_IN_FLIGHT;
	/* A buffer of which not all was published, or not yet. */
	if (ring_slot_count(&q->slots[id]) > left)
		return -VIO_VQ_USED_JUMP;
	return used_len(meta, &q->slots[id], len) ? 0 : -VIO_VQ_BAD_USED_LEN;
}

/* Those before a bad one are good: the next call meets the bad one first. */
static vio_always_inline int reap_end(struct packed_drvq *q, unsigned n, int why)
{
	if (vio_likely(n > 0 || why == 0))
		return (int)n;
	vio_drvq_break(&q->q, (enum vio_vq_error) - why);
	return -EPROTO;
}

/*
 * Reaps buffers of one descriptor, up to @n, from @desc on; stops at whatever is not as plain as
 * that, which is read anew by who looks at it closer. Their ids go to @ids. Returns how many.
 */
static vio_always_inline uint32_t reap_plain(const struct ring_desc *desc, struct ring_slot *slots,
					     uint32_t num, uint16_t *ids, uint32_t owner,
					     bool platform, struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint64_t meta = load_used(&desc[i], platform);
		uint32_t id = packed_meta_id(meta), len = packed_meta_len(meta);
		struct ring_slot *slot = &slots[id];
		void *token;

		if (((packed_meta_flags(meta) ^ owner) & PACKED_OWNER) || vio_unlikely(id >= num))
			break;
		token = slot->token;
		if (vio_unlikely(!token || slot->shape != RING_SHAPE_ONE || len > slot->in_len))
			break;
		done[i].token = token;
		done[i].len = len;
		slot->token = NULL;
		ids[i] = (uint16_t)id;
	}
	return i;
}

/* A burst under way. */
struct burst {
	struct packed_pos at;
	uint32_t left; /* descriptors that are published */
	struct vio_drvq_done *done, *end;
	uint32_t ids; /* in free_ids: where the next one goes */
};

/* Goes on with @b over lists, tables and whatever else. Returns 0 or why it could not. */
static vio_noinline int reap_lists(struct packed_drvq *q, struct burst *b)
{
	uint32_t count, len;
	uint64_t meta;
	uint16_t id;
	int why;

	while (b->done < b->end && b->left > 0) {
		meta = load_used(&q->desc[b->at.off], q->platform);
		if (!packed_is_used(meta, b->at.wrap))
			return not_used(meta, b->at.wrap);
		why = judge_used(q, meta, b->left, &len);
		if (why)
			return why;
		id = packed_meta_id(meta);
		b->done->token = q->slots[id].token;
		b->done->len = len;
		b->done++;
		q->free_ids[b->ids] = id;
		b->ids = after(b->ids, 1, q->q.num);
		count = free_slot(q, &q->slots[id]);
		b->left -= count;
		b->at = packed_forward(b->at, count, q->q.num);
	}
	return 0;
}

int vio_packed_reap_burst(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n)
{
	struct packed_drvq *q = packed(base);
	uint32_t num = q->q.num, before = published(q), run, plain;
	struct burst b = { q->used, before, done, done + n, q->ids_tail };
	int why = 0;

	/* Up to the end of the ring, and from its start on. */
	do {
		const uint32_t owner = packed_used_bits(b.at.wrap);
		const struct ring_desc *desc = &q->desc[b.at.off];

		uint16_t *const ids = &q->free_ids[b.ids];

		run = packed_run(b.at, vio_min((uint32_t)(b.end - b.done), b.left), num);
		run = vio_min(run, num - b.ids);
		packed_ask(desc, owner, PACKED_OWNER, run);
		plain = q->vector ? q->vector->packed_reap(desc, owner, q->slots, num, ids, b.done,
							   run) :
				    0;
		plain += reap_plain(desc + plain, q->slots, num, ids + plain, owner, q->platform,
				    b.done + plain, run - plain);
		b.done += plain;
		b.ids = after(b.ids, plain, num);
		b.left -= plain;
		b.at = packed_forward(b.at, plain, num);
	} while (plain == run && run > 0);
	if (run > 0)
		why = reap_lists(q, &b);
	n = (unsigned)(b.done - done);
	q->used = b.at;
	q->ids_tail = b.ids;
	q->q.free += before - b.left;
	q->q.in_flight -= n;
	return reap_end(q, n, why);
}

/* ---- Reaping in order ---------------------------------------------------------------------- */

/* As reap_plain(), while the device returns each buffer by itself. Those of the next published
 * descriptors are in flight; who is not is not next. */
static vio_always_inline uint32_t reap_each(const struct ring_desc *desc, struct ring_slot *slots,
					    uint32_t off, uint32_t owner, bool platform,
					    struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint64_t meta = load_used(&desc[off + i], platform);
		struct ring_slot *slot = &slots[off + i];
		uint32_t len = packed_meta_len(meta);

		if (((packed_meta_flags(meta) ^ owner) & PACKED_OWNER) ||
		    packed_meta_id(meta) != off + i ||
		    vio_unlikely(slot->shape != RING_SHAPE_ONE || len > slot->in_len))
			break;
		done[i].token = slot->token;
		done[i].len = len;
		slot->token = NULL;
	}
	return i;
}

/* Goes on with @b over plain buffers that are returned each by itself, up to the end of the ring. */
static vio_always_inline void reap_some(struct packed_drvq *q, struct burst *b)
{
	const uint32_t owner = packed_used_bits(b->at.wrap), off = b->at.off;
	uint32_t run = packed_run(b->at, vio_min((uint32_t)(b->end - b->done), b->left), q->q.num);
	uint32_t done = 0;

	if (q->vector)
		done = q->vector->packed_reap_in_order(&q->desc[off], owner, &q->slots[off], off,
						       b->done, run);
	done += reap_each(q->desc, q->slots, off + done, owner, q->platform, b->done + done,
			  run - done);
	b->done += done;
	b->left -= done;
	b->at = packed_forward(b->at, done, q->q.num);
}

/*
 * The used descriptor with @meta, where the next one goes, is of a batch (virtio 1.4, 2.8.8), which
 * ends with the buffer that it names. Returns 0 and remembers the batch when there is one; else the
 * reason, negative, why it can't be among what @b has left.
 */
static int open_batch(struct packed_drvq *q, const struct burst *b, uint64_t meta)
{
	uint32_t id = packed_meta_id(meta), left = b->left;
	int why;

	if (id < q->q.num)
		left -= vio_min(left, ahead_of(q, b->at.off, id));
	why = judge_used(q, meta, left, &q->batch_len);
	if (why == 0)
		q->batch_id = id;
	return why;
}

/*
 * Takes buffers of a batch that are of one descriptor, up to @n, from @slots on: they count as used
 * to their end, but for the last, of which the device said how far, which is the caller's to say.
 * Stops before any that is not as plain as that. Returns how many.
 */
static vio_always_inline uint32_t take_plain(const struct ring_vector *vector,
					     struct ring_slot *slots, struct vio_drvq_done *done,
					     uint32_t n)
{
	uint32_t i = vector ? vector->packed_take(slots, done, n) : 0;

	for (; i < n && slots[i].shape == RING_SHAPE_ONE; i++) {
		done[i].token = slots[i].token;
		done[i].len = slots[i].in_len;
		slots[i].token = NULL;
	}
	return i;
}

/* Goes on with @b over the batch that is open. */
static vio_always_inline void reap_batch(struct packed_drvq *q, struct burst *b)
{
	/* Descriptors in front of those of the last, which has one at least. */
	uint32_t in_front = ahead_of(q, b->at.off, q->batch_id), step = 0, run, count;

	while (b->done < b->end && step <= in_front) {
		struct ring_slot *slot = &q->slots[b->at.off];

		if (slot->shape == RING_SHAPE_ONE) {
			run = vio_min((uint32_t)(b->end - b->done), in_front - step + 1);
			run = packed_run(b->at, run, q->q.num);
			run = count = take_plain(q->vector, slot, b->done, run);
		} else {
			*b->done = (struct vio_drvq_done){ slot->token, slot->in_len };
			count = free_slot(q, slot);
			run = 1;
		}
		b->done += run;
		b->at = packed_forward(b->at, count, q->q.num);
		step += count;
	}
	b->left -= step;
	if (step > in_front) {
		b->done[-1].len = q->batch_len;
		q->batch_id = NO_ID;
	}
}

/* Goes on with @b where no batch is open. Returns 0 or why it could not; nothing is reaped and no
 * batch open when there is nothing used. */
static vio_always_inline int reap_next(struct packed_drvq *q, struct burst *b)
{
	const struct ring_desc *desc = &q->desc[b->at.off];
	const struct vio_drvq_done *const from = b->done;
	const uint64_t meta = load_used(desc, q->platform);

	if (!packed_is_used(meta, b->at.wrap))
		return not_used(meta, b->at.wrap);
	if (packed_meta_id(meta) == b->at.off && q->slots[b->at.off].shape == RING_SHAPE_ONE)
		reap_some(q, b);
	return b->done > from ? 0 : open_batch(q, b, meta);
}

int vio_packed_reap_in_order(struct vio_drvq *base, struct vio_drvq_done *done, unsigned n)
{
	struct packed_drvq *q = packed(base);
	const uint32_t before = published(q);
	struct burst b = { .at = q->used, .left = before, .done = done, .end = done + n };
	int why = 0;

	packed_ask(&q->desc[b.at.off], packed_used_bits(b.at.wrap), PACKED_OWNER,
		   packed_run(b.at, vio_min(n, before), q->q.num));
	while (b.done < b.end && b.left > 0) {
		const struct vio_drvq_done *const from = b.done;

		if (q->batch_id == NO_ID)
			why = reap_next(q, &b);
		if (q->batch_id != NO_ID)
			reap_batch(q, &b);
		if (b.done == from)
			break;
	}
	n = (unsigned)(b.done - done);
	q->used = b.at;
	q->q.free += before - b.left;
	q->q.in_flight -= n;
	return reap_end(q, n, why);
}
