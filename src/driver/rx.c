/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving.
 *
 * A buffer is posted from so far before VIO_BUF_HEADROOM that the frame behind the net header
 * begins exactly there, on a cache line of its own. What comes back is one of:
 *
 *   - a frame in one buffer, by far the most common: straight through receive_burst();
 *   - with MRG_RXBUF, a frame over several buffers, of which only the first has a header
 *     (virtio 1.4, 5.1.9.4): they are joined in q->merge, over as many calls as it takes;
 *   - without, but with offloads that make frames larger than a buffer: several buffers were posted
 *     as one (in an indirect table, where the device takes them, so that the ring holds as many
 *     frames as ever), and the frame is spread over the first of them; the rest go back.
 *
 * The header is the device's word; where nothing was negotiated of which it could speak, it is not
 * read. Else it is looked at where it lies: usually it says nothing, which settles it. One that says
 * something is read into a local, decoded from there and checked; a frame that fails is dropped and
 * counted. The lengths come from the ring, which has checked them against what was posted.
 *
 * The buffers are posted in rx_refill.c.
 */
#include "driver/driver.h"

#include "base/endian.h"
#include "net/hdr.h"

/* Bursts of so many are worth taking the next one ahead. */
#define AHEAD_MIN 8u

/* How many frames ahead of the one in hand lines are asked for, so that they have come by then. */
#define ASK_AHEAD 16u

static vio_cold void drop(struct vio_driver_queue *q, struct vio_buf *buf, enum vio_drop why)
{
	vio_driver_count_add(&q->stats.errors, 1);
	vio_driver_count_add(&q->stats.drops[why], 1);
	q->conf.rx.free(q->conf.rx.ctx, &buf, 1);
}

/* ---- Frames that are not one buffer with an empty header ------------------------------------- */

/* Without merging: spreads @len bytes over the buffers that were posted as one, frees the rest. */
static void spread(struct vio_driver_queue *q, struct vio_buf *head, uint32_t len)
{
	struct vio_buf *buf = head, *rest;

	for (;;) {
		buf->len = vio_min(len, vio_buf_room(buf));
		len -= buf->len;
		if (len == 0 || !buf->next)
			break;
		buf = buf->next;
		head->pieces++;
	}
	rest = buf->next;
	buf->next = NULL;
	if (rest)
		q->conf.rx.free(q->conf.rx.ctx, &rest, 1);
}

/* Reads the header of @buf, which holds a whole one, into its meta. */
static void read_header(const struct vio_driver_queue *q, struct vio_buf *buf)
{
	uint8_t h[VIO_NET_HDR_SIZE_MAX];

	memcpy(h, buf->mem + vio_driver_post_start(q), q->hdr_size);
	vio_net_hdr_decode(h, q->hdr_size, false, &buf->meta);
	if (q->hdr_size >= VIO_NET_HDR_SIZE_HASH) {
		uint32_t hash;

		memcpy(&hash, &h[offsetof(struct vio_net_hdr, hash_value)], sizeof(hash));
		buf->hash = vio_le32(hash);
		buf->hash_report = vio_get_le16(&h[offsetof(struct vio_net_hdr, hash_report)]);
	}
}

/* A whole frame, its pieces and meta filled in as they came. NULL when it had to be dropped. */
static struct vio_buf *judge(struct vio_driver_queue *q, struct vio_buf *head)
{
	struct vio_driver_tally tally = { 0 };
	enum vio_drop why;

	if (vio_net_check_rx(&head->meta, head->frame_len, q->features, &why) < 0) {
		drop(q, head, why);
		return NULL;
	}
	vio_driver_tally_add(&q->stats, &tally, head->frame_len, 1);
	vio_driver_tally_to(&tally, vio_buf_data(head));
	vio_driver_tally_end(&q->stats, &tally);
	return head;
}

/* The next buffer of a frame that is being joined. Returns the frame when this completes it. */
static vio_noinline struct vio_buf *join(struct vio_driver_queue *q, struct vio_buf *buf,
					 uint32_t len)
{
	struct vio_rx_merge *m = &q->merge;
	struct vio_buf *head;

	buf->off = vio_driver_post_start(q);
	buf->len = len;
	m->tail->next = buf;
	m->tail = buf;
	m->head->pieces++;
	/* At most the ring's size of buffers of less than 2^32 bytes: cut off long before. */
	m->len += len;
	if (len == 0 || m->len > VIO_FRAME_MAX_LEN) {
		m->why = len == 0 ? VIO_DROP_SHORT : VIO_DROP_TOO_BIG;
		m->bad = true;
		m->len = 0;
	}
	if (--m->want > 0)
		return NULL;
	head = m->head;
	head->frame_len = m->len;
	if (!m->bad)
		return judge(q, head);
	drop(q, head, m->why);
	return NULL;
}

/* @buf begins a frame over several buffers, of which it has @len bytes. False: the device says
 * something impossible, and the queue broke. */
static bool begin_join(struct vio_driver_queue *q, struct vio_buf *buf, uint32_t len)
{
	if (buf->meta.num_buffers > q->num) {
		drop(q, buf, VIO_DROP_BAD_HEADER);
		vio_drvq_break(q->vq, VIO_VQ_BAD_FRAME);
		return false;
	}
	q->merge = (struct vio_rx_merge){
		.head = buf, .tail = buf, .want = buf->meta.num_buffers - 1u, .len = len
	};
	return true;
}

/* A buffer that is not simply a frame: it has @len bytes, header included. Returns a frame or NULL.
 */
static vio_noinline struct vio_buf *receive_odd(struct vio_driver_queue *q, struct vio_buf *buf,
						uint32_t len)
{
	if (q->map_host)
		vio_driver_unmap_posted(q, buf);
	if (q->merge.want > 0)
		return join(q, buf, len);
	if (len < q->hdr_size) {
		drop(q, buf, VIO_DROP_SHORT);
		return NULL;
	}
	len -= q->hdr_size;
	if (q->hdr_says)
		read_header(q, buf);
	buf->frame_len = len;
	if (!q->mergeable) {
		buf->meta.num_buffers = 1;
		spread(q, buf, len);
		return judge(q, buf);
	}
	buf->len = len;
	if (buf->meta.num_buffers == 0) {
		drop(q, buf, VIO_DROP_BAD_HEADER);
		return NULL;
	}
	if (buf->meta.num_buffers == 1)
		return judge(q, buf);
	begin_join(q, buf, len);
	return NULL;
}

/* ---- Taking frames from the ring ------------------------------------------------------------- */

/* Used buffers whose lines are asked for, one with each frame that is made of others. */
struct asked {
	const struct vio_drvq_done *next, *end;
};

/* Asks for the header, if it @says anything, and the beginning of the frame; and for the buffer of one
 * further on, which is of no use where there is none any more, and costs little. */
static vio_always_inline void ask_for(const struct vio_drvq_done *done, const bool says)
{
	const struct vio_buf *buf = done->token;

	vio_prefetch_read(done[VIO_RX_BUFS_AHEAD].token);
	if (says)
		vio_prefetch_read(buf->mem + VIO_BUF_HEADROOM - 1);
	vio_prefetch_read(buf->mem + VIO_BUF_HEADROOM);
}

/* What headers may say of frames that are simply a buffer each. */
enum headers {
	SILENT, /* nothing: they are not looked at, and their lines stay with the device */
	ALONE,	/* not how many buffers there are */
	MERGED,
};

/* What keeps some used buffers from being simply frames, gathered, so that it takes one look. */
struct oddities {
	uintptr_t next;
	uint16_t asks;
	uint8_t to; /* the first bytes of whom they go to */
};

/* Looks at a used buffer. False: it is something else, or not of @len bytes, header included. */
static vio_always_inline bool look(const struct vio_drvq_done *done, uint32_t len,
				   const enum headers headers, struct oddities *odd)
{
	const struct vio_buf *buf = done->token;
	const uint8_t *data = buf->mem + VIO_BUF_HEADROOM, *header = data - VIO_NET_HDR_SIZE;

	if (vio_unlikely(done->len != len || (headers == MERGED && !vio_net_hdr_says_one(header))))
		return false;
	odd->next |= (uintptr_t)buf->next;
	if (headers != SILENT)
		odd->asks |= vio_net_hdr_asks(header);
	odd->to |= data[0];
	return true;
}

/* Makes a frame of it. All else is as make_empty() left it. */
static vio_always_inline struct vio_buf *make_frame(const struct vio_drvq_done *done, uint32_t len)
{
	struct vio_buf *buf = done->token;

	buf->len = len - VIO_NET_HDR_SIZE;
	buf->frame_len = len - VIO_NET_HDR_SIZE;
	return buf;
}

/* Makes frames of four used buffers, if none is odd, nor for many. Where the first is odd the
 * others mostly are too, and not looked at. */
static vio_always_inline bool receive_four(const struct vio_drvq_done *done, uint32_t len,
					   const enum headers headers, struct vio_buf **frames)
{
	struct oddities odd = { 0 };

	if (!look(&done[0], len, headers, &odd) || vio_unlikely((odd.next | odd.asks) != 0))
		return false;
	if (!look(&done[1], len, headers, &odd) || !look(&done[2], len, headers, &odd) ||
	    !look(&done[3], len, headers, &odd))
		return false;
	if (vio_unlikely((odd.next | odd.asks | (odd.to & VIO_ETH_MULTICAST)) != 0))
		return false;
	frames[0] = make_frame(&done[0], len);
	frames[1] = make_frame(&done[1], len);
	frames[2] = make_frame(&done[2], len);
	frames[3] = make_frame(&done[3], len);
	return true;
}

static vio_always_inline bool receive_one(const struct vio_drvq_done *done, uint32_t len,
					  const enum headers headers, struct vio_buf **frames,
					  struct vio_driver_tally *tally)
{
	struct oddities odd = { 0 };

	if (!look(done, len, headers, &odd) || (odd.next | odd.asks) != 0)
		return false;
	*frames = make_frame(done, len);
	vio_driver_tally_to(tally, vio_buf_data(*frames));
	return true;
}

/* Makes frames of up to @n used buffers, as far as they are simply that, of @len bytes each; and
 * asks for one of @ask with each of them, and with the one that is not, if that is not NULL.
 * Returns how many. */
static vio_always_inline unsigned receive_some(const struct vio_drvq_done *done, unsigned n,
					       uint32_t len, const enum headers headers,
					       const struct vio_drvq_done *ask,
					       struct vio_buf **frames,
					       struct vio_driver_tally *tally)
{
	const struct vio_drvq_done *const begin = done, *const end = done + n;

	for (; end - done >= 4; done += 4, frames += 4) {
		if (!receive_four(done, len, headers, frames))
			break;
		if (!ask)
			continue;
		ask_for(&ask[0], headers != SILENT);
		ask_for(&ask[1], headers != SILENT);
		ask_for(&ask[2], headers != SILENT);
		ask_for(&ask[3], headers != SILENT);
		ask += 4;
	}
	for (; done < end; done++, frames++) {
		if (ask)
			ask_for(ask++, headers != SILENT);
		if (!receive_one(done, len, headers, frames, tally))
			break;
	}
	return (unsigned)(done - begin);
}

/* Does so, and asks as long as there is something in @asked. */
static vio_always_inline unsigned receive_alike(const struct vio_drvq_done *done, unsigned n,
						const enum headers headers, struct vio_buf **frames,
						struct asked *asked, struct vio_driver_tally *tally)
{
	const unsigned both = vio_min(n, (unsigned)(asked->end - asked->next));
	const uint32_t len = done->len;
	unsigned got = 0;

	if (both > 0)
		got = receive_some(done, both, len, headers, asked->next, frames, tally);
	asked->next += got;
	if (got < both) {
		asked->next++;
		return got;
	}
	return got + receive_some(done + got, n - got, len, headers, NULL, frames + got, tally);
}

/* A function for each, so that its loop has the registers for itself. */
#define RECEIVE_ALIKE(name, headers)                                                    \
	static vio_noinline unsigned name(const struct vio_drvq_done *done, unsigned n, \
					  struct vio_buf **frames, struct asked *asked, \
					  struct vio_driver_tally *tally)               \
	{                                                                               \
		return receive_alike(done, n, headers, frames, asked, tally);           \
	}

RECEIVE_ALIKE(receive_silent, SILENT)
RECEIVE_ALIKE(receive_alone, ALONE)
RECEIVE_ALIKE(receive_merged, MERGED)

/* Goes on with these from length to length. */
static vio_always_inline unsigned receive_plain(struct vio_driver_queue *q,
						const struct vio_drvq_done *done, unsigned n,
						struct vio_buf **frames, struct asked *asked,
						struct vio_driver_tally *tally)
{
	unsigned i = 0, alike = 1;

	if (q->merge.want > 0 || q->map_host || q->hdr_size != VIO_NET_HDR_SIZE)
		return 0;
	for (; i < n && alike > 0; i += alike) {
		uint32_t len = done[i].len - VIO_NET_HDR_SIZE;

		/* A length below the header wraps to one that is no frame's. */
		if (vio_unlikely(len - VIO_ETH_MIN_LEN > VIO_FRAME_MAX_LEN - VIO_ETH_MIN_LEN))
			break;
		alike = (!q->hdr_says ? receive_silent :
			 q->mergeable ? receive_merged :
					receive_alone)(done + i, n - i, frames + i, asked, tally);
		vio_driver_tally_add(&q->stats, tally, len, alike);
	}
	return i;
}

/* Turns @n used buffers into frames, with those of @asked ahead of them. Returns how many frames. */
static unsigned receive_burst(struct vio_driver_queue *q, const struct vio_drvq_done *done,
			      unsigned n, struct vio_buf **frames, struct asked *asked,
			      struct vio_driver_tally *tally)
{
	struct vio_buf **out = frames;
	unsigned i;

	for (i = 0; i < n;) {
		unsigned plain = receive_plain(q, done + i, n - i, out, asked, tally);
		struct vio_buf *buf;

		i += plain;
		out += plain;
		if (vio_likely(i == n))
			break;
		buf = receive_odd(q, done[i].token, done[i].len);
		if (buf)
			*out++ = buf;
		i++;
	}
	return (unsigned)(out - frames);
}

/* Frames that were received before the device was recovered. */
static vio_noinline unsigned take_kept(struct vio_driver_queue *q, struct vio_buf **frames,
				       unsigned n)
{
	n = vio_min(n, q->kept_count);
	memcpy(frames, &q->kept[q->kept_first], n * sizeof(*frames));
	q->kept_first += n;
	q->kept_count -= n;
	return n;
}

/* A burst of used buffers. */
struct burst {
	const struct vio_drvq_done *done;
	unsigned n;
	unsigned asked; /* how many of these, from the first on, have had their lines asked for */
	bool last;	/* the ring had no more */
	struct asked behind; /* those that come after it, to be asked for */
};

/*
 * Takes up to @want used buffers: those that were taken ahead, or from the ring. When that is a whole
 * burst the next one is taken ahead, so that its lines can come while this one is worked on. Returns
 * how many, or -EPROTO.
 */
static vio_always_inline int take_burst(struct vio_driver_queue *q, unsigned want,
					struct burst *burst)
{
	struct vio_rx_ahead *a = &q->ahead;
	int n = (int)a->n, next = 0;

	burst->last = n == 0;
	if (n == 0) {
		n = vio_drvq_reap_burst(q->vq, a->done[a->which], want);
		if (n <= 0)
			return n;
		a->first = 0;
		a->n = (uint32_t)n;
		a->asked = 0;
	}
	/* As far as that was not done on the way here. */
	for (; a->asked < vio_min(a->n, ASK_AHEAD); a->asked++)
		ask_for(&a->done[a->which][a->first + a->asked], q->hdr_says);
	burst->done = &a->done[a->which][a->first];
	burst->n = vio_min((unsigned)n, want);
	burst->asked = vio_min(burst->n, a->asked);
	burst->last &= burst->n < want;
	a->first += burst->n;
	a->n -= burst->n;
	a->asked -= burst->asked;
	if (a->n == 0) {
		/* An error waits until there is nothing else to say. */
		if (burst->n == want && want >= AHEAD_MIN)
			next = vio_drvq_reap_burst(q->vq, a->done[a->which ^ 1], want);
		a->which ^= 1;
		a->first = 0;
		a->n = (uint32_t)vio_max(next, 0);
	}
	burst->behind.next = &a->done[a->which][a->first + a->asked];
	burst->behind.end =
		&a->done[a->which][a->first + vio_max(a->asked, vio_min(a->n, ASK_AHEAD))];
	return (int)burst->n;
}

/* Turns @burst into frames. With each, the lines of one to come are asked for: first of the burst's
 * own, then of those behind it. Returns how many frames. */
static unsigned receive_taken(struct vio_driver_queue *q, struct burst *burst,
			      struct vio_buf **frames)
{
	struct asked own = { burst->done + burst->asked, burst->done + burst->n };
	const struct vio_drvq_done *const behind = burst->behind.next;
	const unsigned first = burst->n - burst->asked;
	struct vio_driver_tally tally = { 0 };
	unsigned got = 0;

	if (first > 0)
		got = receive_burst(q, burst->done, first, frames, &own, &tally);
	if (burst->asked > 0)
		got += receive_burst(q, burst->done + first, burst->asked, frames + got,
				     &burst->behind, &tally);
	vio_driver_tally_end(&q->stats, &tally);
	q->ahead.asked += (uint32_t)(burst->behind.next - behind);
	return got;
}

/*
 * Takes up to @n frames. *@work counts the buffers that were looked at, up to @limit, so that a
 * device that sends nothing but rubbish does not keep a poll going. Returns the number of frames,
 * or -EPROTO.
 */
int vio_driver_rx_receive(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n,
			  unsigned limit, unsigned *work)
{
	struct burst burst;
	unsigned got = 0, want;
	int ret = 0;

	if (vio_unlikely(q->kept_count > 0)) {
		got = take_kept(q, frames, n);
		*work += got;
	}
	while (got < n && *work < limit) {
		want = vio_min(n - got, limit - *work);
		want = vio_min(want, VIO_DRIVER_BURST);
		ret = take_burst(q, want, &burst);
		if (ret <= 0)
			break;
		*work += burst.n;
		got += receive_taken(q, &burst, frames + got);
		if (burst.last)
			break;
	}
	if (vio_unlikely(ret < 0)) {
		vio_driver_queue_broken(q, ret);
		if (got == 0)
			return ret;
	}
	return (int)got;
}

/* ---- For users ------------------------------------------------------------------------------- */

int vio_driver_rx_burst(struct vio_driver *drv, unsigned id, struct vio_buf **frames, unsigned n)
{
	struct vio_driver_queue *q = vio_driver_rxq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_rx);
	unsigned work = 0;

	if (vio_unlikely(ret != 0))
		return ret;
	if (vio_unlikely(q->intr_ring && !vio_load(&q->armed)))
		vio_driver_disarm(q);
	/* What was taken before is filled now: while frames are received, the device comes to see it.
	 * Should nobody call again soon, it has enough all the same. */
	if (vio_driver_rx_wants_refill(q))
		vio_driver_rx_fill(q);
	ret = vio_driver_rx_receive(q, frames, n, UINT32_MAX, &work);
	vio_driver_kick_due(q);
	if (vio_unlikely(vio_drvq_in_flight(q->vq) <= vio_max(q->num / 2, 2u * VIO_LARGEST_BUFS)) &&
	    work > 0 && vio_driver_rx_wants_refill(q))
		vio_driver_rx_refill(q);
	return ret;
}

void vio_driver_rx_prefetch(const struct vio_driver *drv, unsigned id)
{
	const struct vio_driver_queue *q = vio_driver_rxq(drv, id);

	/* What was taken ahead is with us already. */
	if (vio_driver_refusal(q, id < drv->nb_rx) == 0 && q->ahead.n == 0)
		vio_drvq_prefetch(q->vq);
}

/* ---- Leaving --------------------------------------------------------------------------------- */

/* Keeps @n frames for later, or drops them. */
static void keep_or_drop(struct vio_driver_queue *q, struct vio_buf **frames, unsigned n, bool keep)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (keep && q->kept_count < q->num)
			q->kept[q->kept_count++] = frames[i];
		else
			drop(q, frames[i], VIO_DROP_LINK_DOWN);
	}
}

/* The device can't touch the ring any more: takes out frames that arrived, then everything else. */
void vio_driver_rx_detach(struct vio_driver_queue *q, bool keep)
{
	struct vio_buf *frames[VIO_REFILL_BURST], *buf;
	struct burst burst;

	if (!keep)
		while (q->kept_count > 0)
			keep_or_drop(q, frames, take_kept(q, frames, VIO_REFILL_BURST), false);
	if (q->kept_first > 0)
		memmove(q->kept, q->kept + q->kept_first, q->kept_count * sizeof(*q->kept));
	q->kept_first = 0;
	if (!q->vq)
		return;
	while (take_burst(q, VIO_REFILL_BURST, &burst) > 0)
		keep_or_drop(q, frames, receive_taken(q, &burst, frames), keep);
	if (q->merge.want > 0) {
		q->merge.want = 0;
		drop(q, q->merge.head, VIO_DROP_SHORT);
	}
	while ((buf = vio_drvq_detach(q->vq)) != NULL) {
		if (q->map_host)
			vio_driver_unmap_posted(q, buf);
		q->conf.rx.free(q->conf.rx.ctx, &buf, 1);
	}
}
