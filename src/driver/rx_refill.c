/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posting receive buffers.
 *
 * Refilling takes buffers from the caller in bursts. When it has none, the ring runs dry and no
 * interrupt will ever come: such a queue has a time at which it must be polled, and keeps having
 * one until a refill worked. How the buffers lie, and what comes back of them: see rx.c.
 */
#include "driver/driver.h"

#include "base/fmt.h"
#include "base/wide.h"

/* Bytes of memory that a buffer must have, so that the Ethernet header is never looked for past it. */
#define SMALLEST (VIO_BUF_HEADROOM + VIO_ETH_HLEN)

void vio_driver_unmap_posted(struct vio_driver_queue *q, struct vio_buf *buf)
{
	uint32_t start = vio_driver_post_start(q);

	for (; buf; buf = buf->next) {
		vio_driver_unmap(q, buf, start, buf->size - start, VIO_DMA_WRITE);
		start = VIO_BUF_HEADROOM;
	}
}

/* What is behind the constant fields of a buffer that is posted. */
#define EMPTY_BUF                                                            \
	{                                                                    \
		.off = VIO_BUF_HEADROOM, .meta.num_buffers = 1, .pieces = 1, \
	}

/* On 64-bit machines, at least: see build_singles(). */
#define IN_FEW_STORES                                                                     \
	(sizeof(struct vio_buf) == offsetof(struct vio_buf, off) + sizeof(vio_words32) && \
	 VIO_BUF_LIES_AS_SEG)

/* What a received frame in one buffer finds already done. The headroom is the device's from here
 * on, also when the buffer comes back unused. */
static vio_always_inline void make_empty(struct vio_buf *buf)
{
	static const struct vio_buf empty = EMPTY_BUF;
	const size_t from = offsetof(struct vio_buf, off);

	buf->next = NULL;
	memcpy((char *)buf + from, (const char *)&empty + from, sizeof(empty) - from);
}

/* Where a burst of buffers to post is being put together, in the queue's working memory. */
struct refill {
	unsigned taken; /* of q->bufs */
	unsigned nadds;
	unsigned nsegs;
};

static vio_always_inline void put_seg(struct vio_seg *seg, const struct vio_buf *buf,
				      uint32_t start)
{
	seg->addr = buf->dma + start;
	seg->len = buf->size - start;
}

static vio_always_inline void put_add(struct vio_drvq_buf *add, const struct vio_seg *segs,
				      unsigned pieces, struct vio_buf *head)
{
	add->segs = segs;
	add->out_num = 0;
	add->in_num = (uint16_t)pieces;
	add->token = head;
}

/* Puts q->bufs[@r->taken] at the end of what is being posted. False: it can't be mapped. */
static bool add_piece(struct vio_driver_queue *q, struct refill *r, uint32_t start)
{
	struct vio_buf *buf = q->bufs[r->taken];

	if (q->map_host && vio_driver_map(q, buf, start, buf->size - start, VIO_DMA_WRITE) < 0)
		return false;
	make_empty(buf);
	put_seg(&q->segs[r->nsegs++], buf, start);
	r->taken++;
	return true;
}

/*
 * Posts q->bufs[@r->taken] or, without merging, when that is too small for any frame, as many of
 * those that follow as it takes. False: they are too few, too small altogether, or can't be mapped;
 * those from r->taken on, linked or not, are the caller's to free.
 */
static vio_noinline bool link_post(struct vio_driver_queue *q, struct refill *r, unsigned got)
{
	struct refill begin = *r;
	struct vio_buf *head = q->bufs[r->taken], *tail = NULL;
	uint32_t room = 0, start = vio_driver_post_start(q);

	while (room < q->post_min) {
		if (r->taken == got || q->bufs[r->taken]->size < SMALLEST ||
		    !add_piece(q, r, start))
			goto undo;
		if (tail)
			tail->next = q->bufs[r->taken - 1];
		tail = q->bufs[r->taken - 1];
		room += q->segs[r->nsegs - 1].len;
		start = VIO_BUF_HEADROOM;
	}
	put_add(&q->adds[r->nadds++], &q->segs[begin.nsegs], r->nsegs - begin.nsegs, head);
	return true;
undo:
	if (q->map_host && tail)
		vio_driver_unmap_posted(q, head);
	for (*r = begin; begin.taken < got; begin.taken++)
		q->bufs[begin.taken]->next = NULL;
	return false;
}

/* One line for whoever supplies buffers that no frame fits into; once, for it may come often. */
static vio_cold void too_small(struct vio_driver_queue *q, const struct vio_buf *buf)
{
	if (q->told_small || buf->size >= vio_driver_post_start(q) + q->post_min)
		return;
	q->told_small = true;
	vio_log(q->drv->host, VIO_LOG_WARN,
		"%s: receive queue %u: buffer of %u bytes, expected at least %u, or %u of them "
		"in one burst",
		q->drv->name, q->index / 2u, buf->size,
		q->mergeable ? SMALLEST : vio_driver_post_start(q) + q->post_min,
		(q->post_min + buf->size - 1) / vio_max(buf->size, 1u));
}

/*
 * Makes ready to post what it can of q->bufs[0 .. @got): each by itself, up to the first that has to
 * be mapped or is too small for that. It does what make_empty() and put_seg() do, with few and large
 * loads and stores: a buffer's dma and size lie as a segment's address and length do, and len, behind
 * them, goes where a segment has nothing.
 */
static vio_always_inline unsigned build_singles(struct vio_driver_queue *q, unsigned got,
						const bool wide)
{
	const uint32_t start = vio_driver_post_start(q), size_min = start + q->post_min;
	struct vio_buf *const *next = q->bufs, *const *const end = next + (q->map_host ? 0 : got);
	const struct vio_buf empty = EMPTY_BUF;
	const vio_words16 *low = (const void *)&empty.off;
	struct vio_seg *seg = q->segs, shift;

	memset(&shift, 0, sizeof(shift));
	shift.addr = start;
	shift.len = -start;
	for (; next < end; next++) {
		struct vio_buf *buf = *next;
		vio_words16 *to = (void *)&buf->off;

		if (vio_unlikely(buf->size < size_min))
			break;
		if (!IN_FEW_STORES) {
			make_empty(buf);
			put_seg(seg++, buf, start);
			continue;
		}
		buf->next = NULL;
		if (wide) {
			*(vio_words32 *)to = *(const vio_words32 *)low;
		} else {
			to[0] = low[0];
			to[1] = low[1];
		}
		vio_driver_shift_seg(seg++, buf, *(const vio_words16 *)(const void *)&shift);
	}
	return (unsigned)(next - q->bufs);
}

static unsigned build_singles_narrow(struct vio_driver_queue *q, unsigned got)
{
	return build_singles(q, got, false);
}

VIO_WIDE static unsigned build_singles_wide(struct vio_driver_queue *q, unsigned got)
{
	return build_singles(q, got, true);
}

/* Makes ready what is not simply a buffer by itself. */
static struct refill build_posts(struct vio_driver_queue *q, unsigned got)
{
	struct refill r = { 0, 0, 0 };

	while (r.taken < got)
		if (!link_post(q, &r, got))
			break;
	return r;
}

/* Takes back what was made ready and did not fit, from post @from on, and what never was. */
static void give_back(struct vio_driver_queue *q, const struct refill *r, unsigned from,
		      unsigned got)
{
	struct vio_buf *buf;
	unsigned i;

	for (i = from; i < r->nadds; i++) {
		buf = q->adds[i].token;
		if (q->map_host)
			vio_driver_unmap_posted(q, buf);
		q->conf.rx.free(q->conf.rx.ctx, &buf, 1);
	}
	if (r->taken < got)
		q->conf.rx.free(q->conf.rx.ctx, &q->bufs[r->taken], got - r->taken);
}

/*
 * Memory was short. While more than half of the ring is filled, that passes by itself: frames will
 * come, and with them the next refill. With less, see vio_driver_poll_due(): each retry in vain
 * puts the next one off for longer.
 */
static vio_noinline void run_short(struct vio_driver_queue *q)
{
	const struct vio_host *host = q->drv->host;
	uint64_t now;

	vio_driver_count_add(&q->stats.no_memory, 1);
	if (!q->starved && vio_drvq_free(q->vq) <= q->num / 2)
		return;
	now = host->now_ns(host->ctx);
	if (!q->starved)
		q->retry_delay = VIO_RETRY_MIN_NS;
	else if (now >= q->retry_at)
		q->retry_delay = vio_min(2 * q->retry_delay, VIO_RETRY_MAX_NS);
	else
		return;
	q->starved = true;
	q->retry_at = now + q->retry_delay;
}

/* Buffers to ask for at a time when @room descriptors are free. */
static unsigned refill_want(const struct vio_driver_queue *q, uint32_t room)
{
	if (vio_likely(!q->chain_is_one))
		return vio_min(room, VIO_DRIVER_BURST);
	return vio_min(room, VIO_DRIVER_BURST / q->per_post) * q->per_post;
}

/* One burst. Returns whether it was posted whole; *@full says that the ring takes no more. */
static bool refill_burst(struct vio_driver_queue *q, unsigned want, bool *full)
{
	unsigned got = q->conf.rx.alloc(q->conf.rx.ctx, q->bufs, want);
	struct refill r;
	int added;

	got = vio_min(got, want);
	if (vio_likely((vio_wide() ? build_singles_wide : build_singles_narrow)(q, got) == got)) {
		added = vio_drvq_add_singles(q->vq, q->segs, (void *const *)q->bufs, got, true);
		if (vio_unlikely(added != (int)got)) {
			added = vio_max(added, 0);
			q->conf.rx.free(q->conf.rx.ctx, q->bufs + added, got - (unsigned)added);
		}
		q->per_post = 1;
		*full = added < (int)got;
		return got == want && got > 0;
	}
	r = build_posts(q, got);
	added = vio_drvq_add_burst(q->vq, q->adds, r.nadds);
	/* Of what was asked for something may be left over where several make one. */
	if (vio_unlikely(r.nadds < got)) {
		q->per_post = r.nadds ? (r.taken + r.nadds - 1) / r.nadds : VIO_DRIVER_BURST;
		if (got == want && r.nadds == 0 && vio_drvq_in_flight(q->vq) == 0)
			too_small(q, q->bufs[0]);
	} else {
		q->per_post = 1;
	}
	if (vio_unlikely((unsigned)added != r.nadds || r.taken != got))
		give_back(q, &r, added < 0 ? 0 : (unsigned)added, got);
	/* Where several buffers are posted as one, what is left of a burst waits for the next. */
	*full = added < (int)r.nadds ||
		(!q->mergeable && r.nadds == 0 && got == want && want < VIO_DRIVER_BURST);
	return got == want && r.nadds > 0;
}

/*
 * Descriptors to fill. Frames that were received before recover and not taken yet, and buffers that
 * were taken ahead, count as if they were still in the ring: should the device be lost, there is a
 * place to keep all.
 */
static uint32_t refill_room(const struct vio_driver_queue *q)
{
	uint32_t room = vio_drvq_free(q->vq), waiting = q->kept_count + q->ahead.n;

	return room > waiting ? room - waiting : 0;
}

bool vio_driver_rx_fill(struct vio_driver_queue *q)
{
	bool full = false, whole = true;
	uint32_t room;

	while (!full && whole && (room = refill_room(q)) > 0)
		whole = refill_burst(q, refill_want(q, room), &full);
	vio_drvq_show(q->vq);
	if (vio_unlikely(!whole && !full)) {
		run_short(q);
		return false;
	}
	q->starved = false;
	return true;
}

bool vio_driver_rx_refill(struct vio_driver_queue *q)
{
	bool whole = vio_driver_rx_fill(q);

	vio_driver_kick_due(q);
	return whole;
}

/*
 * Whether so much is free that refilling is worth while. Of a small ring every buffer is needed: the
 * device may have a frame that goes into all of them and not into half.
 */
bool vio_driver_rx_wants_refill(const struct vio_driver_queue *q)
{
	uint32_t free = vio_drvq_free(q->vq);

	if (free >= vio_min(VIO_REFILL_BURST, (q->num + 1) / 2))
		return true;
	return vio_unlikely(free > 0 && q->mergeable &&
			    vio_drvq_in_flight(q->vq) < VIO_LARGEST_BUFS);
}
