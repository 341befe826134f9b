/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending.
 *
 * The net header goes into the headroom right in front of the frame, so a frame in one piece is one
 * descriptor. Most headers are all zero, and the headroom of a buffer that comes round again
 * already holds those zeros: buf->clean says so, and the cache line is not written. With the frame
 * on its own cache line, an echo of unchanged headers never moves between the cores.
 *
 * What a frame asks of the device is held against what was negotiated before it is sent; a frame
 * that asks for more, or that the caller described wrongly, stays the caller's.
 *
 * Sent frames are freed when room is wanted, not one by one: what the ring gives back is handed to
 * the caller in bursts. Each frame carries its number while it is under way, so that after the loss
 * of a device the ones it had not used are known in their order.
 */
#include "driver/driver.h"

#include "base/endian.h"

/* Descriptors at which a sender that was turned away is called again: any frame fits. */
#define WORST_CASE 34u

/* ---- The header ------------------------------------------------------------------------------ */

/* Writes the header that @buf's meta asks for. */
static int write_header(struct vio_driver_queue *q, struct vio_buf *buf, uint32_t len)
{
	struct vio_net_meta meta = buf->meta;
	enum vio_drop why;

	if (vio_net_check_tx(&meta, len, q->features, &why) < 0) {
		vio_driver_count_add(&q->stats.drops[why], 1);
		return -EINVAL;
	}
	vio_net_hdr_encode(buf->mem + buf->off - q->hdr_size, q->hdr_size, false, &meta);
	buf->clean = 0;
	return 0;
}

static vio_always_inline bool asks_nothing(const struct vio_net_meta *meta)
{
	return !(meta->flags | meta->gso_type);
}

static int put_header(struct vio_driver_queue *q, struct vio_buf *buf, uint32_t len)
{
	if (!asks_nothing(&buf->meta))
		return write_header(q, buf, len);
	if (buf->clean < q->hdr_size) {
		memset(buf->mem + buf->off - q->hdr_size, 0, q->hdr_size);
		buf->clean = (uint8_t)q->hdr_size;
	}
	return 0;
}

/* Whether a frame of @len bytes may go out (virtio 1.4, 5.1.9.2.1). A VLAN tag is part of the
 * header that comes on top of the MTU. */
static vio_noinline bool long_frame_ok(const struct vio_driver_queue *q, const struct vio_buf *buf,
				       uint32_t len)
{
	const uint8_t *frame = vio_buf_data(buf);

	if (buf->meta.gso_type & (uint8_t)~VIO_NET_HDR_GSO_ECN)
		return len <= VIO_FRAME_MAX_LEN;
	return len <= q->frame_max + 4 && len <= VIO_FRAME_MAX_LEN &&
	       (vio_get_be16(frame + 12) == 0x8100 || vio_get_be16(frame + 12) == 0x88a8);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

/* Where a burst is being put together, in the queue's working memory. */
struct burst {
	unsigned nadds;
	unsigned nsegs;
};

static void unmap_frame(struct vio_driver_queue *q, struct vio_buf *buf)
{
	uint32_t skip = q->hdr_size;

	for (; buf; buf = buf->next) {
		vio_driver_unmap(q, buf, buf->off - skip, buf->len + skip, VIO_DMA_READ);
		skip = 0;
	}
}

static int map_frame(struct vio_driver_queue *q, struct vio_buf *head)
{
	uint32_t skip = q->hdr_size;
	struct vio_buf *buf, *undo;

	for (buf = head; buf; buf = buf->next) {
		if (vio_driver_map(q, buf, buf->off - skip, buf->len + skip, VIO_DMA_READ) < 0)
			goto unmap;
		skip = 0;
	}
	return 0;
unmap:
	skip = q->hdr_size;
	for (undo = head; undo != buf; undo = undo->next) {
		vio_driver_unmap(q, undo, undo->off - skip, undo->len + skip, VIO_DMA_READ);
		skip = 0;
	}
	return -ENOMEM;
}

static vio_always_inline bool piece_ok(const struct vio_buf *buf, uint32_t headroom)
{
	return buf->len > 0 && buf->off >= headroom && buf->off <= buf->size &&
	       buf->len <= buf->size - buf->off;
}

static vio_always_inline void put_seg(struct vio_seg *seg, const struct vio_buf *buf, uint32_t skip)
{
	seg->addr = buf->dma + buf->off - skip;
	seg->len = buf->len + skip;
}

static vio_always_inline void put_add(struct vio_drvq_buf *add, const struct vio_seg *segs,
				      unsigned pieces, struct vio_buf *head)
{
	add->segs = segs;
	add->out_num = (uint16_t)pieces;
	add->in_num = 0;
	add->token = head;
}

/* The length and the pieces of a frame that may be sent; -EINVAL or -EMSGSIZE for others. */
static int measure(const struct vio_driver_queue *q, const struct vio_buf *head,
		   uint32_t *frame_len)
{
	const struct vio_buf *buf;
	unsigned pieces = 0;
	uint64_t len = 0;

	for (buf = head; buf; buf = buf->next) {
		if (!piece_ok(buf, buf == head ? q->hdr_size : 0))
			return -EINVAL;
		len += buf->len;
		if (++pieces > vio_min(q->num, VIO_DRIVER_MAX_PIECES))
			return -EMSGSIZE;
	}
	if (head->len < VIO_ETH_HLEN)
		return -EINVAL;
	if (len > VIO_FRAME_MAX_LEN ||
	    (len > q->frame_max && !long_frame_ok(q, head, (uint32_t)len)))
		return -EMSGSIZE;
	*frame_len = (uint32_t)len;
	return (int)pieces;
}

/* Any frame: in pieces, with a header to be written, in memory to be mapped. 1: there is no room for
 * its pieces in this burst. */
static vio_noinline int build_any(struct vio_driver_queue *q, struct burst *b, struct vio_buf *head)
{
	uint32_t skip = q->hdr_size;
	struct vio_buf *buf;
	int pieces, ret;

	pieces = measure(q, head, &head->frame_len);
	if (pieces < 0)
		return pieces;
	if (b->nsegs + (unsigned)pieces > vio_array_size(q->segs))
		return 1;
	ret = put_header(q, head, head->frame_len);
	if (ret == 0 && q->map_host)
		ret = map_frame(q, head);
	if (ret < 0)
		return ret;
	put_add(&q->adds[b->nadds++], &q->segs[b->nsegs], (unsigned)pieces, head);
	for (buf = head; buf; buf = buf->next) {
		put_seg(&q->segs[b->nsegs++], buf, skip);
		skip = 0;
	}
	return 0;
}

/*
 * Makes ready up to @n frames. Returns how many; less than @n when the next one can't be sent (*@bad
 * says why), or has more pieces than there is room for now (*@bad is 1).
 */
static vio_always_inline unsigned build_burst(struct vio_driver_queue *q, struct vio_buf **frames,
					      unsigned n, int *bad)
{
	const uint32_t hdr_size = q->hdr_size, frame_max = q->frame_max;
	const bool map = q->map_host != NULL;
	struct burst b = { 0, 0 };

	while (b.nadds < n) {
		struct vio_buf *buf = frames[b.nadds];

		if (vio_unlikely(buf->next != NULL || map || !asks_nothing(&buf->meta) ||
				 buf->clean < hdr_size || buf->len > frame_max ||
				 buf->len < VIO_ETH_MIN_LEN || !piece_ok(buf, hdr_size))) {
			*bad = build_any(q, &b, buf);
			if (*bad)
				break;
			continue;
		}
		buf->frame_len = buf->len;
		put_seg(&q->segs[b.nsegs], buf, hdr_size);
		put_add(&q->adds[b.nadds++], &q->segs[b.nsegs++], 1, buf);
	}
	return b.nadds;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The ring took the first @n of the burst: numbers and counts them. */
static vio_always_inline void account(struct vio_driver_queue *q, struct vio_buf **frames,
				      unsigned n)
{
	uint32_t seq = q->seq;
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		frames[i]->hash = seq++;
		bytes += frames[i]->frame_len;
		vio_driver_count_kind(&q->stats, vio_buf_data(frames[i]), frames[i]->frame_len);
	}
	q->seq = seq;
	vio_driver_count_add(&q->stats.packets, n);
	vio_driver_count_add(&q->stats.bytes, bytes);
}

/* Adds up to VIO_DRIVER_BURST frames. Returns how many; less than @n with *@err 0 when the ring is
 * full. */
static unsigned add_burst(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n, int *err)
{
	unsigned built, i;
	int added, bad = 0;

	built = build_burst(q, frames, n, &bad);
	added = vio_drvq_add_burst(q->vq, q->adds, built);
	if (vio_unlikely(added < 0)) {
		*err = added == -EPROTO ? vio_driver_queue_broken(q, added) : -EMSGSIZE;
		added = 0;
	} else if ((unsigned)added == built && bad < 0) {
		*err = bad;
		vio_driver_count_add(&q->stats.errors, 1);
	}
	if (q->map_host)
		for (i = (unsigned)added; i < built; i++)
			unmap_frame(q, frames[i]);
	account(q, frames, (unsigned)added);
	return (unsigned)added;
}

/* Puts frames into the ring and publishes them. As vio_driver_tx_burst(). */
int vio_driver_tx_send(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n)
{
	unsigned taken = 0, added;
	int err = 0;

	while (taken < n && err == 0) {
		added = add_burst(q, frames + taken, vio_min(n - taken, VIO_DRIVER_BURST), &err);
		taken += added;
		if (added == 0)
			break;
	}
	if (taken > 0)
		vio_driver_publish(q);
	return taken > 0 ? (int)taken : err;
}

/* ---- Freeing --------------------------------------------------------------------------------- */

/* Wakes a sender that was turned away, when there is room for whatever it has. */
static vio_noinline void wake_sender(struct vio_driver_queue *q)
{
	if (vio_drvq_free(q->vq) < vio_min(WORST_CASE, q->num))
		return;
	q->full = false;
	if (q->conf.tx.wake)
		q->conf.tx.wake(q->conf.tx.ctx, q->index / 2u);
}

/* Frees up to @max sent frames. Returns how many, or -EPROTO. */
int vio_driver_tx_clean(struct vio_driver_queue *q, unsigned max)
{
	unsigned done = 0, want, i;
	int n = 0;

	while (done < max) {
		want = vio_min(max - done, VIO_DRIVER_BURST);
		n = vio_drvq_reap_burst(q->vq, q->done, want);
		if (n <= 0)
			break;
		for (i = 0; i < (unsigned)n; i++) {
			q->bufs[i] = q->done[i].token;
			if (vio_unlikely(q->map_host != NULL))
				unmap_frame(q, q->bufs[i]);
		}
		q->conf.tx.free(q->conf.tx.ctx, q->bufs, (unsigned)n);
		done += (unsigned)n;
		if ((unsigned)n < want)
			break;
	}
	if (vio_unlikely(n < 0))
		vio_driver_queue_broken(q, n);
	if (vio_unlikely(q->full) && done > 0)
		wake_sender(q);
	return n < 0 && done == 0 ? n : (int)done;
}

/*
 * With conf.shared, the queue's sender and the poll of its pair may meet here. The sender waits for
 * the poll, which only frees a ring's worth of frames; the poll does not wait for the sender.
 */
bool vio_driver_tx_try_enter(struct vio_driver_queue *q)
{
	/* Pairs with the release in vio_driver_tx_leave(). */
	return !q->conf.tx.shared || __atomic_exchange_n(&q->busy, 1, __ATOMIC_ACQUIRE) == 0;
}

void vio_driver_tx_leave(struct vio_driver_queue *q)
{
	/* Pairs with the acquire in vio_driver_tx_try_enter(). */
	if (q->conf.tx.shared)
		vio_store_release(&q->busy, 0);
}

static void enter(struct vio_driver_queue *q)
{
	while (!vio_driver_tx_try_enter(q))
		vio_cpu_relax();
}

/* Room was short: the sender is remembered, and woken by interrupt when it wants that. Returns
 * whether the device has freed some in the meantime. */
static vio_noinline bool turn_away(struct vio_driver_queue *q)
{
	q->full = true;
	if (!q->intr_user)
		return vio_drvq_has_used(q->vq);
	return vio_driver_arm(q, (uint16_t)(vio_drvq_in_flight(q->vq) / 2));
}

static int send_burst(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n)
{
	unsigned taken = 0;
	uint32_t room;
	int ret;

	if (vio_unlikely(q->kept_count > 0)) {
		vio_driver_tx_resend(q);
		if (q->kept_count > 0)
			return vio_load(&q->halt);
	}
	room = vio_drvq_free(q->vq);
	if (room < n || room < q->num / 4) {
		ret = vio_driver_tx_clean(q, q->num);
		if (vio_unlikely(ret < 0))
			return ret;
	}
	for (;;) {
		ret = vio_driver_tx_send(q, frames + taken, n - taken);
		if (vio_unlikely(ret < 0))
			return taken > 0 ? (int)taken : ret;
		taken += (unsigned)ret;
		if (vio_likely(taken == n) || vio_drvq_free(q->vq) >= WORST_CASE)
			return (int)taken;
		/* Never away without being armed: what was freed meanwhile may not be enough. */
		if (!turn_away(q) || vio_driver_tx_clean(q, q->num) <= 0)
			return (int)taken;
	}
}

int vio_driver_tx_burst(struct vio_driver *drv, unsigned id, struct vio_buf **frames, unsigned n)
{
	struct vio_driver_queue *q = vio_driver_txq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_tx);

	if (vio_unlikely(ret != 0))
		return ret;
	enter(q);
	ret = send_burst(q, frames, n);
	vio_driver_tx_leave(q);
	return ret;
}

int vio_driver_tx_reap(struct vio_driver *drv, unsigned id, unsigned max)
{
	struct vio_driver_queue *q = vio_driver_txq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_tx);

	if (vio_unlikely(ret != 0))
		return ret;
	enter(q);
	ret = vio_driver_tx_tidy(q, max);
	vio_driver_tx_leave(q);
	return ret;
}

int vio_driver_tx_one(struct vio_driver *drv, unsigned id, struct vio_buf *frame)
{
	struct vio_driver_queue *q = vio_driver_txq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_tx), flags;

	if (vio_unlikely(ret != 0))
		return ret;
	enter(q);
	ret = vio_driver_tx_clean(q, q->num);
	if (ret >= 0)
		ret = send_burst(q, &frame, 1);
	flags = ret > 0 ? VIO_ONE_SUCCESS : 0;
	flags |= ret > 0 && vio_drvq_free(q->vq) > 0 ? VIO_ONE_MORE : VIO_ONE_UNDERRUN;
	vio_driver_tx_leave(q);
	return ret < 0 ? ret : flags;
}

/* ---- Leaving, and coming back ---------------------------------------------------------------- */

/* Sorts frames by their number; numbers may wrap. A shell sort: nearly sorted is the usual case. */
static void sort_frames(struct vio_buf **frames, uint32_t n)
{
	uint32_t gap, i, j;

	for (gap = n / 2; gap > 0; gap /= 2) {
		for (i = gap; i < n; i++) {
			struct vio_buf *frame = frames[i];

			for (j = i; j >= gap && (int32_t)(frames[j - gap]->hash - frame->hash) > 0;
			     j -= gap)
				frames[j] = frames[j - gap];
			frames[j] = frame;
		}
	}
}

static void return_unsent(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n)
{
	if (q->conf.tx.unsent)
		q->conf.tx.unsent(q->conf.tx.ctx, frames, n);
	else
		q->conf.tx.free(q->conf.tx.ctx, frames, n);
}

/*
 * The device can't touch the ring any more: frees what it has sent, keeps the rest to be sent again
 * or returns it. What is kept and what is in the ring are together never more than the ring holds,
 * for nothing is accepted while something is kept.
 */
void vio_driver_tx_detach(struct vio_driver_queue *q, bool keep)
{
	struct vio_buf *buf;
	unsigned n;

	memmove(q->kept, q->kept + q->kept_first, q->kept_count * sizeof(*q->kept));
	q->kept_first = 0;
	q->full = false;
	if (q->vq) {
		vio_driver_tx_clean(q, q->num);
		/* What still waits since the last time comes after all that is in the ring. */
		for (n = 0; n < q->kept_count; n++)
			q->kept[n]->hash = q->seq++;
		while ((buf = vio_drvq_detach(q->vq)) != NULL) {
			if (q->map_host)
				unmap_frame(q, buf);
			q->kept[q->kept_count++] = buf;
		}
		sort_frames(q->kept, q->kept_count);
	}
	while (!keep && q->kept_count > 0) {
		n = vio_min(q->kept_count, VIO_DRIVER_BURST);
		q->kept_count -= n;
		return_unsent(q, &q->kept[q->kept_first], n);
		q->kept_first += n;
	}
}

/* Sends what was kept, as far as it fits; what the device can't carry any more is returned. When
 * something is left, the queue is armed like that of a sender that was turned away. */
void vio_driver_tx_resend(struct vio_driver_queue *q)
{
	int n;

	while (q->kept_count > 0) {
		n = vio_driver_tx_send(q, &q->kept[q->kept_first], q->kept_count);
		if (n == -EINVAL || n == -EMSGSIZE || n == -ENOMEM) {
			return_unsent(q, &q->kept[q->kept_first], 1);
			n = 1;
		} else if (n > 0) {
			vio_driver_count_add(&q->stats.resent, (uint64_t)n);
		} else {
			if (n == 0)
				n = vio_driver_tx_clean(q, q->num);
			if (n < 0 || (n == 0 && !turn_away(q)))
				return;
			continue;
		}
		q->kept_first += (uint32_t)n;
		q->kept_count -= (uint32_t)n;
	}
}

/* As clean; and what was freed serves what waits to be sent again. */
int vio_driver_tx_tidy(struct vio_driver_queue *q, unsigned max)
{
	int ret = vio_driver_tx_clean(q, max);

	if (vio_unlikely(q->kept_count > 0) && ret >= 0)
		vio_driver_tx_resend(q);
	return ret;
}
