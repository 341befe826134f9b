/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending.
 *
 * The net header goes into the headroom right in front of the frame, so a frame in one piece is one
 * descriptor. Most headers are all zero, and the headroom of a buffer that comes round again
 * already holds those zeros: buf->clean says so, and the cache line is not written. With the frame
 * on a cache line of its own, the header of a buffer that goes round stays where it is.
 *
 * What a frame asks of the device is held against what was negotiated before it is sent; a frame
 * that asks for more, or that the caller described wrongly, stays the caller's.
 *
 * Sent frames are freed once half of the ring is taken: what the ring gives back is handed to the
 * caller in bursts, and soon enough to be still in the cache when it is filled anew. A sender that
 * finds no room is remembered with what its frame takes. Until it comes again or is woken, whoever
 * frees frames either wakes it or, where it wants interrupts, leaves the queue armed. Each frame
 * carries its number while it is under way, so that after the loss of a device the ones it had not
 * used are known in their order.
 */
#include "driver/driver.h"

#include "base/endian.h"
#include "net/hdr.h"

/* Descriptors, at least, at which a sender that was turned away is called again: any usual frame
 * fits. */
#define WAKE_MIN 34u

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
	if (meta.gso_type && q->features & vio_feature(VIO_NET_F_GUEST_HDRLEN))
		meta.hdr_len = vio_driver_exact_hdr_len(buf, &meta);
	vio_net_hdr_encode(buf->mem + buf->off - q->hdr_size, q->hdr_size, false, &meta);
	buf->clean = 0;
	return 0;
}

/* The header of a frame that asks for nothing. */
static vio_always_inline void clear_header(struct vio_buf *buf, uint32_t hdr_size)
{
	uint8_t *h = buf->mem + buf->off - hdr_size;

	if (buf->clean >= hdr_size)
		return;
	if (vio_likely(hdr_size == VIO_NET_HDR_SIZE))
		memset(h, 0, VIO_NET_HDR_SIZE);
	else
		memset(h, 0, hdr_size);
	buf->clean = (uint8_t)hdr_size;
}

static int put_header(struct vio_driver_queue *q, struct vio_buf *buf, uint32_t len)
{
	if (vio_net_meta_asks(&buf->meta))
		return write_header(q, buf, len);
	clear_header(buf, q->hdr_size);
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
	return len <= q->frame_max + VIO_VLAN_TAG_LEN && len <= VIO_FRAME_MAX_LEN &&
	       (vio_get_be16(frame + 12) == 0x8100 || vio_get_be16(frame + 12) == 0x88a8);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

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
	return buf->off >= headroom && (uint64_t)buf->off + buf->len <= buf->size;
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
		if (buf->len == 0 || !piece_ok(buf, buf == head ? q->hdr_size : 0))
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

/* Any frame: in pieces, with a header to be written, in memory to be mapped. Returns how many pieces
 * went to @seg, which is in q->segs; 0: there is no room for them in this burst. */
static vio_noinline int build_any(struct vio_driver_queue *q, struct vio_drvq_buf *add,
				  struct vio_seg *seg, struct vio_buf *head)
{
	uint32_t skip = q->hdr_size;
	struct vio_buf *buf;
	int pieces, ret;

	pieces = measure(q, head, &head->frame_len);
	if (pieces < 0)
		return pieces;
	if (pieces > q->segs + vio_array_size(q->segs) - seg)
		return 0;
	ret = put_header(q, head, head->frame_len);
	if (ret == 0 && q->map_host)
		ret = map_frame(q, head);
	if (ret < 0)
		return ret;
	put_add(add, seg, (unsigned)pieces, head);
	for (buf = head; buf; buf = buf->next) {
		put_seg(seg++, buf, skip);
		skip = 0;
	}
	return pieces;
}

/*
 * Makes ready up to @n frames. Returns how many; less than @n when the next one can't be sent (*@bad
 * says why), or has more pieces than there is room for now (*@bad is 0).
 */
static vio_always_inline unsigned build_burst(struct vio_driver_queue *q, struct vio_buf **frames,
					      unsigned n, int *bad)
{
	const uint32_t hdr_size = q->hdr_size, len_span = q->frame_max - VIO_ETH_MIN_LEN;
	const bool map = q->map_host != NULL;
	struct vio_seg *seg = q->segs;
	unsigned i;
	int pieces;

	for (i = 0; i < n; i++) {
		struct vio_buf *buf = frames[i];

		/* A length below the smallest wraps to one above the largest. */
		if (vio_likely(!map && buf->next == NULL && !vio_net_meta_asks(&buf->meta) &&
			       buf->len - VIO_ETH_MIN_LEN <= len_span && piece_ok(buf, hdr_size))) {
			clear_header(buf, hdr_size);
			buf->frame_len = buf->len;
			put_seg(seg, buf, hdr_size);
			put_add(&q->adds[i], seg++, 1, buf);
			continue;
		}
		pieces = build_any(q, &q->adds[i], seg, buf);
		if (pieces <= 0) {
			*bad = pieces;
			break;
		}
		seg += pieces;
	}
	return i;
}

/* A burst on its way into the ring: frames [at, n) are still to be made ready. */
struct burst {
	struct vio_buf *const *frames;
	unsigned at, n;
};

/* What frames have alike that are made ready together. */
struct alike {
	vio_words16 words; /* of their buffers */
	vio_words16 shift; /* from what a buffer has to what its segment is */
	uint32_t off;
	struct vio_seg seg;
};

VIO_STATIC_ASSERT(offsetof(struct vio_buf, off) ==
				  offsetof(struct vio_buf, size) + sizeof(uint64_t) &&
			  offsetof(struct vio_buf, meta.gso_type) + 1 ==
				  offsetof(struct vio_buf, size) + sizeof(vio_words16),
		  "size, len; off, clean, unused, flags, gso_type");

/* The words that the buffers of a burst mostly have alike: of size and len; and of off, clean, and
 * what of meta asks for anything. */
static vio_always_inline vio_words16 words_of(const struct vio_buf *buf)
{
	vio_words16 words;

	memcpy(&words, (const char *)buf + offsetof(struct vio_buf, size), sizeof(words));
	return words;
}

static vio_always_inline struct alike alike_as(const struct vio_driver_queue *q,
					       const struct vio_buf *first)
{
	struct alike a;

	memset(&a, 0, sizeof(a));
	a.words = words_of(first);
	a.off = first->off;
	a.seg.addr = first->off - q->hdr_size;
	a.seg.len = first->len + q->hdr_size;
	if (VIO_BUF_LIES_AS_SEG)
		a.shift =
			*(const vio_words16 *)(const void *)&a.seg - (vio_words16){ 0, a.words[0] };
	return a;
}

/* What @buf has that is not alike: nothing where both words are 0. */
static vio_always_inline vio_words16 differs(const struct vio_buf *buf, const struct alike *a)
{
	return (words_of(buf) ^ a->words) | (vio_words16){ (uintptr_t)buf->next, 0 };
}

/* Makes ready one that is alike, to be number @seq. Returns the first byte of whom it goes to. */
static vio_always_inline uint8_t build_one(struct vio_seg *seg, struct vio_buf *buf,
					   const struct alike *a, uint32_t seq)
{
	buf->hash = seq;
	if (VIO_BUF_LIES_AS_SEG) {
		vio_driver_shift_seg(seg, buf, a->shift);
	} else {
		seg->addr = buf->dma + a->seg.addr;
		seg->len = a->seg.len;
	}
	return buf->mem[a->off];
}

/*
 * Makes ready the frames that are like @a, which may be sent and whose header is there, as far as
 * they follow one another.
 */
static vio_always_inline void build_alike(struct vio_driver_queue *q, struct burst *b,
					  const struct alike *a, struct vio_driver_tally *tally)
{
	struct vio_buf *const *next = &b->frames[b->at], *const *const end = &b->frames[b->n];
	struct vio_seg *seg = &q->segs[b->at];
	uint32_t seq = q->seq + b->at;
	vio_words16 odd;
	uint8_t to;

	for (; end - next >= 4; next += 4, seg += 4, seq += 4) {
		struct vio_buf *const buf[4] = { next[0], next[1], next[2], next[3] };

		odd = differs(buf[0], a) | differs(buf[1], a) | differs(buf[2], a) |
		      differs(buf[3], a);
		if ((odd[0] | odd[1]) != 0)
			break;
		to = build_one(&seg[0], buf[0], a, seq);
		to |= build_one(&seg[1], buf[1], a, seq + 1);
		to |= build_one(&seg[2], buf[2], a, seq + 2);
		to |= build_one(&seg[3], buf[3], a, seq + 3);
		if (vio_unlikely(to & VIO_ETH_MULTICAST))
			break;
	}
	for (; next < end; next++, seg++, seq++) {
		odd = differs(*next, a);
		if ((odd[0] | odd[1]) != 0)
			break;
		to = build_one(seg, *next, a, seq);
		if (vio_unlikely(to & VIO_ETH_MULTICAST))
			vio_driver_tally_to(tally, (*next)->mem + a->off);
	}
	b->at = (unsigned)(next - b->frames);
}

/*
 * Makes ready what nearly all frames are: one piece that asks for nothing. Numbers and counts them
 * on the way, so that a burst is gone through once; there is room for all. Frames are mostly like
 * the one before, and then what is so for the one is so for the other.
 */
static vio_always_inline void build_plain(struct vio_driver_queue *q, struct burst *b,
					  struct vio_driver_tally *tally)
{
	const uint32_t hdr_size = q->hdr_size, len_span = q->frame_max - VIO_ETH_MIN_LEN;

	while (b->at < b->n) {
		struct vio_buf *buf = b->frames[b->at];
		unsigned begin = b->at;
		struct alike a;

		/* A length below the smallest wraps to one above the largest. */
		if (vio_unlikely(buf->next != NULL || vio_net_meta_asks(&buf->meta) ||
				 buf->len - VIO_ETH_MIN_LEN > len_span || !piece_ok(buf, hdr_size)))
			return;
		clear_header(buf, hdr_size);
		a = alike_as(q, buf);
		build_alike(q, b, &a, tally);
		vio_driver_tally_add(&q->stats, tally, buf->len, b->at - begin);
	}
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The ring took the first @n of the burst: numbers and counts them. */
static vio_always_inline void account(struct vio_driver_queue *q, struct vio_buf **frames,
				      unsigned n)
{
	struct vio_driver_tally tally = { 0 };
	uint32_t seq = q->seq;
	unsigned i;

	for (i = 0; i < n; i++) {
		frames[i]->hash = seq++;
		vio_driver_tally_add(&q->stats, &tally, frames[i]->frame_len, 1);
		vio_driver_tally_to(&tally, vio_buf_data(frames[i]));
	}
	q->seq = seq;
	vio_driver_tally_end(&q->stats, &tally);
}

/* Adds the plain frames that a burst begins with. Returns how many. */
static vio_noinline unsigned add_plain(struct vio_driver_queue *q, struct vio_buf **frames,
				       unsigned n, int *err)
{
	struct burst burst = { frames, 0, vio_min(n, vio_drvq_free(q->vq)) };
	struct vio_driver_tally tally = { 0 };
	int added;

	if (q->map_host || vio_drvq_error(q->vq))
		return 0;
	build_plain(q, &burst, &tally);
	n = burst.at;
	if (n == 0)
		return 0;
	added = vio_drvq_add_singles(q->vq, q->segs, (void *const *)frames, n, false);
	if (vio_unlikely(added != (int)n)) {
		*err = vio_driver_queue_broken(q, -EPROTO);
		return 0;
	}
	q->seq += n;
	vio_driver_tally_end(&q->stats, &tally);
	return n;
}

/* Adds up to VIO_DRIVER_BURST frames of any kind. Returns how many; less than @n with *@err 0 when
 * the ring is full. */
static vio_noinline unsigned add_burst(struct vio_driver_queue *q, struct vio_buf **frames,
				       unsigned n, int *err)
{
	unsigned built, i;
	int added, bad = 0;

	built = build_burst(q, frames, n, &bad);
	added = vio_drvq_add_burst(q->vq, q->adds, built);
	if (vio_unlikely(added < 0)) {
		*err = vio_driver_queue_broken(q, added);
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

/* Puts frames into the ring and shows them to the device, which is not kicked yet. As
 * vio_driver_tx_burst(). */
static int put_frames(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n)
{
	unsigned taken = 0, added;
	int err = 0;

	while (taken < n && err == 0) {
		unsigned want = vio_min(n - taken, VIO_DRIVER_BURST);

		if (vio_drvq_free(q->vq) == 0)
			break;
		added = add_plain(q, frames + taken, want, &err);
		if (vio_unlikely(added == 0 && err == 0))
			added = add_burst(q, frames + taken, want, &err);
		taken += added;
		if (added == 0)
			break;
	}
	if (taken > 0)
		vio_drvq_show(q->vq);
	return taken > 0 ? (int)taken : err;
}

/* ---- Freeing --------------------------------------------------------------------------------- */

static vio_always_inline void copy_tokens(struct vio_buf **to, const struct vio_drvq_done *from,
					  unsigned n)
{
	unsigned i;

	for (i = 0; i + 4 <= n; i += 4, to += 4, from += 4) {
		to[0] = from[0].token;
		to[1] = from[1].token;
		to[2] = from[2].token;
		to[3] = from[3].token;
	}
	for (; i < n; i++)
		*to++ = (from++)->token;
}

/* Frees up to @max sent frames. Returns how many, or -EPROTO. */
static int free_sent(struct vio_driver_queue *q, unsigned max)
{
	unsigned done = 0, want, i;
	int n = 0;

	while (done < max) {
		want = vio_min(max - done, VIO_DRIVER_BURST);
		n = vio_drvq_reap_burst(q->vq, q->done, want);
		if (n <= 0)
			break;
		copy_tokens(q->bufs, q->done, (unsigned)n);
		if (vio_unlikely(q->map_host != NULL))
			for (i = 0; i < (unsigned)n; i++)
				unmap_frame(q, q->bufs[i]);
		q->conf.tx.free(q->conf.tx.ctx, q->bufs, (unsigned)n);
		done += (unsigned)n;
		if ((unsigned)n < want)
			break;
	}
	if (vio_unlikely(n < 0))
		vio_driver_queue_broken(q, n);
	return n < 0 && done == 0 ? n : (int)done;
}

/* Descriptors that @frame takes at most. */
static uint32_t worst_case(const struct vio_buf *frame)
{
	uint32_t pieces = 0;

	for (; frame && pieces < VIO_DRIVER_MAX_PIECES; frame = frame->next)
		pieces++;
	return pieces;
}

/* Descriptors to be free before its sender is woken. */
static uint32_t room_for(const struct vio_driver_queue *q, const struct vio_buf *frame)
{
	return vio_min(vio_max(worst_case(frame), WAKE_MIN), q->num);
}

/* Sees to it that the device tells, if the user wants that, when half of what it has is sent.
 * Returns whether so much is already. */
static bool ask_for_room(struct vio_driver_queue *q)
{
	return q->intr_user && vio_driver_arm(q, (uint16_t)(vio_drvq_in_flight(q->vq) / 2));
}

/* Wakes a sender that was turned away, when there is room for what it had. Else its wake-up is asked
 * for once more, for this may be all that comes of the interrupt that was asked for before. Returns
 * whether there is more to free at once. */
static vio_noinline bool wake_sender(struct vio_driver_queue *q)
{
	if (vio_drvq_free(q->vq) < q->full)
		return ask_for_room(q);
	q->full = 0;
	if (q->conf.tx.wake)
		q->conf.tx.wake(q->conf.tx.ctx, q->index / 2u);
	return false;
}

/* For all but the sender: frees up to @max sent frames, and looks after those who wait for that.
 * Returns how many, or -EPROTO. */
int vio_driver_tx_clean(struct vio_driver_queue *q, unsigned max)
{
	unsigned done = 0;
	int n;

	do {
		n = free_sent(q, max - done);
		if (vio_unlikely(n < 0))
			return done > 0 ? (int)done : n;
		done += (unsigned)n;
		if (vio_unlikely(q->kept_count > 0))
			vio_driver_tx_resend(q);
	} while (vio_unlikely(q->full) && wake_sender(q) && done < max);
	return (int)done;
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

void vio_driver_tx_enter(struct vio_driver_queue *q)
{
	while (!vio_driver_tx_try_enter(q))
		vio_cpu_relax();
}

/* There is no room for @frame: its sender is remembered, and woken by interrupt when it wants that.
 * Returns whether the device has sent some in the meantime, and nobody will be woken. */
static vio_noinline bool turn_away(struct vio_driver_queue *q, const struct vio_buf *frame)
{
	q->full = room_for(q, frame);
	if (q->intr_user ? !ask_for_room(q) : !vio_drvq_has_used(q->vq))
		return false;
	q->full = 0;
	return true;
}

/* First what is left from before the device was lost. Returns 1 when that is through, else what the
 * sender gets to hear. */
static vio_noinline int send_kept(struct vio_driver_queue *q)
{
	for (;;) {
		vio_driver_tx_resend(q);
		if (q->kept_count == 0)
			return 1;
		if (vio_load(&q->halt) != 0 || !turn_away(q, q->kept[q->kept_first]))
			return vio_load(&q->halt);
	}
}

/* As vio_driver_tx_burst(). Room for the next burst is made between showing this one and asking
 * whether the device wants a kick, when there is a wait anyway. */
static int send_burst(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n)
{
	unsigned sent = 0;
	bool done;
	int ret;

	/* Whoever was turned away is here again. */
	q->full = 0;
	if (vio_unlikely(q->kept_count > 0)) {
		ret = send_kept(q);
		if (ret <= 0)
			return ret;
	}
	if (vio_unlikely(vio_drvq_free(q->vq) < n)) {
		ret = free_sent(q, q->num);
		if (vio_unlikely(ret < 0))
			return ret;
	}
	for (;;) {
		ret = put_frames(q, frames + sent, n - sent);
		if (vio_unlikely(ret < 0))
			return sent > 0 ? (int)sent : ret;
		sent += (unsigned)ret;
		/* Whatever else stops it is said when the next frame is the first. */
		done = sent == n || vio_drvq_free(q->vq) >= worst_case(frames[sent]);
		if (vio_drvq_free(q->vq) < q->num / 2)
			free_sent(q, q->num);
		vio_driver_kick_due(q);
		if (vio_likely(done))
			return (int)sent;
		if (vio_drvq_free(q->vq) >= worst_case(frames[sent]))
			continue;
		if (!turn_away(q, frames[sent]) || free_sent(q, q->num) <= 0)
			return (int)sent;
	}
}

int vio_driver_tx_burst(struct vio_driver *drv, unsigned id, struct vio_buf **frames, unsigned n)
{
	struct vio_driver_queue *q = vio_driver_txq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_tx);

	if (vio_unlikely(ret != 0))
		return ret;
	vio_driver_tx_enter(q);
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
	vio_driver_tx_enter(q);
	ret = vio_driver_tx_clean(q, max);
	vio_driver_tx_leave(q);
	return ret;
}

int vio_driver_tx_one(struct vio_driver *drv, unsigned id, struct vio_buf *frame)
{
	struct vio_driver_queue *q = vio_driver_txq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_tx), flags;

	if (vio_unlikely(ret != 0))
		return ret;
	vio_driver_tx_enter(q);
	ret = free_sent(q, q->num);
	if (ret >= 0)
		ret = send_burst(q, &frame, 1);
	flags = ret > 0 ? VIO_ONE_SUCCESS : 0;
	/* The next one would be turned away: as good as that it was. */
	if (ret > 0 && vio_drvq_free(q->vq) == 0 && turn_away(q, frame))
		free_sent(q, q->num);
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
	q->full = 0;
	if (q->vq) {
		free_sent(q, q->num);
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
 * something is left, that is as if its sender had been turned away. */
void vio_driver_tx_resend(struct vio_driver_queue *q)
{
	struct vio_buf **next;
	int n;

	while (q->kept_count > 0) {
		next = &q->kept[q->kept_first];
		n = put_frames(q, next, q->kept_count);
		if (n == -EINVAL || n == -EMSGSIZE || n == -ENOMEM) {
			return_unsent(q, next, 1);
			n = 1;
		} else if (n > 0) {
			vio_driver_count_add(&q->stats.resent, (uint64_t)n);
			vio_driver_kick_due(q);
		} else {
			if (n == 0 && free_sent(q, q->num) > 0)
				continue;
			q->full = room_for(q, *next);
			return;
		}
		q->kept_first += (uint32_t)n;
		q->kept_count -= (uint32_t)n;
	}
}
