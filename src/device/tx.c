/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the guest to the back end.
 *
 * A burst of chains is popped, each is judged, and the frames go to the back end by reference: the
 * pieces that send() sees lie in guest memory. A verdict is one of three:
 *
 *	SEND     to be handed over as it is (perhaps with its checksum completed in a private copy
 *	         of its headers);
 *	SEGMENT  a large frame that the back end does not take: it is cut here, its segments sent in
 *	         bursts of their own;
 *	DROP     broken, not negotiated, or the link is down: completed, and counted by reason.
 *
 * Chains are completed strictly in order. When the back end is busy, the chain it stopped at and all
 * behind it go back to the ring by unpop and are judged again later, so a verdict counts only when
 * its chain is completed, and a large frame that was half sent goes on with the segment it stopped
 * at: nothing is lost and nothing is sent twice.
 *
 * A turn's budget counts segments like frames: they are as much work, and other pairs wait for the
 * end of it. A frame that was begun is finished all the same, unless the back end is busy.
 *
 * The net header is looked at where it lies as long as it asks for nothing; else it is copied out
 * of guest memory, and judged anew in the copy. With a driver that may ask for nothing it is not
 * looked at, and its line stays with that driver, which may be the slower half. The payload is not
 * judged at all: whatever the guest does to it meanwhile is its own affair.
 */
#include "device/device.h"

#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "net/hdr.h"

enum tx_verdict { TX_SEND, TX_SEGMENT, TX_DROP };

/* The offloads that a frame needs done after us. */
static uint32_t needs(const struct vio_net_meta *m)
{
	uint32_t need = m->flags & VIO_NET_HDR_F_NEEDS_CSUM ? VIO_OFFLOAD_CSUM : 0u;

	if (m->gso_type & VIO_NET_HDR_GSO_ECN)
		need |= VIO_OFFLOAD_ECN;
	switch (m->gso_type & VIO_NET_HDR_GSO_BASE_MASK) {
	case VIO_NET_HDR_GSO_TCPV4:
		return need | VIO_OFFLOAD_TSO4;
	case VIO_NET_HDR_GSO_TCPV6:
		return need | VIO_OFFLOAD_TSO6;
	case VIO_NET_HDR_GSO_UDP:
		return need | VIO_OFFLOAD_UFO;
	case VIO_NET_HDR_GSO_UDP_L4:
		return need | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6;
	default:
		return need;
	}
}

/* Completes the checksum in a private copy of the headers, payload left where it is. */
static int complete_csum(struct vio_tx_scratch *tx, unsigned i)
{
	struct vio_iov *iov = &tx->soft_iov[tx->soft_used + 1];
	unsigned room = (unsigned)vio_array_size(tx->soft_iov) - tx->soft_used;
	struct vio_frame *frame = &tx->frames[i];
	int ret;

	/* One entry in front is the holder's, one more is for the copy. */
	if (room < frame->iovcnt + 3u)
		return -E2BIG;
	ret = vio_frame_complete_csum(frame, tx->headers[i], iov, room - 1);
	if (ret == 0)
		tx->soft_used += frame->iovcnt + 1u;
	return ret;
}

static enum tx_verdict drop(struct vio_tx_scratch *tx, unsigned i, enum vio_drop why)
{
	tx->why[i] = (uint8_t)why;
	return TX_DROP;
}

/* What software has to do for a frame whose header asks for something. */
static int judge_offloads(const struct vio_device *dev, struct vio_tx_scratch *tx, unsigned i,
			  enum tx_verdict *verdict)
{
	struct vio_frame *frame = &tx->frames[i];
	enum vio_drop why;
	uint32_t lacking;
	int ret;

	if (vio_net_check_tx(&frame->meta, frame->len, dev->features, &why) < 0) {
		*verdict = drop(tx, i, why);
		return 0;
	}
	lacking = needs(&frame->meta) & dev->soft;
	if (lacking & ~(uint32_t)VIO_OFFLOAD_CSUM) {
		*verdict = TX_SEGMENT;
		return 0;
	}
	*verdict = TX_SEND;
	if (!lacking)
		return 0;
	ret = complete_csum(tx, i);
	if (ret == -EINVAL)
		*verdict = drop(tx, i, VIO_DROP_BAD_CSUM);
	return ret == -EINVAL ? 0 : ret;
}

/*
 * Splits chain @i into header and frame, and judges it. Returns 0, or -E2BIG when the scratch
 * memory is used up by the frames before it: it has to wait for the next burst.
 */
static vio_noinline int judge(const struct vio_device *dev, struct vio_tx_scratch *tx,
			      const struct vio_chain *chain, unsigned i)
{
	const uint32_t hs = dev->hdr_size;
	struct vio_frame *frame = &tx->frames[i];
	struct vio_iov *iov = chain->iov;
	uint8_t header[VIO_NET_HDR_SIZE_MAX];
	enum tx_verdict verdict = TX_SEND;
	uint32_t skip = hs;
	int ret = 0;

	if (vio_unlikely(chain->out_len < hs + VIO_ETH_MIN_LEN)) {
		tx->verdict[i] = (uint8_t)drop(tx, i, VIO_DROP_SHORT);
		return 0;
	}
	if (vio_unlikely(chain->out_len - hs > VIO_FRAME_MAX_LEN)) {
		tx->verdict[i] = (uint8_t)drop(tx, i, VIO_DROP_TOO_BIG);
		return 0;
	}
	frame->iov = iov;
	frame->iovcnt = chain->out_num;
	frame->len = chain->out_len - hs;
	if (!dev->tx_asks)
		memset(&frame->meta, 0, sizeof(frame->meta));
	else if (vio_likely(iov->len >= hs))
		vio_net_hdr_decode(iov->base, hs, dev->big_endian, &frame->meta);
	else {
		/* Any split is legal, a byte a piece too (virtio 1.4, 2.7.4.1; assertion 6). */
		vio_iov_to_buf(iov, chain->out_num, 0, header, hs);
		vio_net_hdr_decode(header, hs, dev->big_endian, &frame->meta);
	}
	while (skip >= frame->iov->len) {
		skip -= (uint32_t)frame->iov->len;
		frame->iov++;
		frame->iovcnt--;
	}
	frame->iov->base = (uint8_t *)frame->iov->base + skip;
	frame->iov->len -= skip;
	if (vio_unlikely(vio_net_meta_asks(&frame->meta)))
		ret = judge_offloads(dev, tx, i, &verdict);
	else
		memset(&frame->meta, 0, sizeof(frame->meta)); /* the rest means nothing then */
	tx->verdict[i] = (uint8_t)verdict;
	return ret;
}

/* Asks for the header of a chain if it is going to be read, and for the beginning of its frame. */
static vio_always_inline void ask_for(const struct vio_chain *chain, uint32_t hs, bool asks)
{
	const struct vio_iov *iov = chain->iov;

	if (asks)
		vio_prefetch_read(iov->base);
	if (vio_likely(chain->out_num == 1))
		vio_prefetch_read((const char *)iov->base + hs);
	else if (chain->out_num > 1)
		vio_prefetch_read(iov[1].base);
}

static vio_always_inline void ask_for_all(const struct vio_tx_burst *burst, uint32_t hs,
					  const bool asks)
{
	const struct vio_chain *chain = burst->chains, *const end = chain + burst->n;

	for (; chain < end; chain++)
		ask_for(chain, hs, asks);
}

/* Whether @chain is one piece that may be a header and a frame. */
static vio_always_inline bool in_one_piece(const struct vio_chain *chain, uint32_t hs)
{
	const uint32_t len = chain->out_len - hs;

	/* A length below the smallest wraps to one above the largest. */
	return vio_likely(chain->out_num == 1) &&
	       vio_likely(len - VIO_ETH_MIN_LEN <= VIO_FRAME_MAX_LEN - VIO_ETH_MIN_LEN);
}

/* What the header asks for, where there are headers that @asks for anything. */
static vio_always_inline uint16_t header_asks(const struct vio_chain *chain, const bool asks)
{
	return asks ? vio_net_hdr_asks(chain->iov->base) : 0;
}

/* Makes @frame of what nearly all are: one piece with a header that asks for nothing. Returns its
 * bytes. */
static vio_always_inline uint32_t take_plain(struct vio_frame *frame, const struct vio_chain *chain,
					     uint32_t hs)
{
	struct vio_iov *iov = chain->iov;

	vio_iov_cut(iov, hs);
	vio_device_plain_frame(frame, iov);
	frame->len = chain->out_len - hs;
	return frame->len;
}

/* Does so with four. Returns their bytes, or 0: they are not all as plain as that. Where the first
 * is not the others mostly aren't either, and not looked at. */
static vio_always_inline uint32_t take_four(struct vio_frame *frame, const struct vio_chain *chain,
					    uint32_t hs, const bool asks)
{
	uint32_t bytes;

	if (!in_one_piece(&chain[0], hs) || vio_unlikely(header_asks(&chain[0], asks) != 0))
		return 0;
	if (!in_one_piece(&chain[1], hs) || !in_one_piece(&chain[2], hs) ||
	    !in_one_piece(&chain[3], hs))
		return 0;
	if (vio_unlikely((header_asks(&chain[1], asks) | header_asks(&chain[2], asks) |
			  header_asks(&chain[3], asks)) != 0))
		return 0;
	bytes = take_plain(&frame[0], &chain[0], hs);
	bytes += take_plain(&frame[1], &chain[1], hs);
	bytes += take_plain(&frame[2], &chain[2], hs);
	return bytes + take_plain(&frame[3], &chain[3], hs);
}

/* Takes up to @n plain frames; and asks for one chain of @ask with each of them, and with the one
 * that is not, if that is not NULL. Adds what they hold to *@bytes. Returns how many. */
static vio_always_inline unsigned take_some(struct vio_frame *frame, const struct vio_chain *chain,
					    unsigned n, const struct vio_chain *ask, uint32_t hs,
					    const bool asks, uint64_t *bytes)
{
	const struct vio_chain *const begin = chain, *const end = chain + n;
	uint64_t sum = *bytes;
	uint32_t four;

	for (; end - chain >= 4; chain += 4, frame += 4) {
		four = take_four(frame, chain, hs, asks);
		if (four == 0)
			break;
		sum += four;
		if (!ask)
			continue;
		ask_for(&ask[0], hs, asks);
		ask_for(&ask[1], hs, asks);
		ask_for(&ask[2], hs, asks);
		ask_for(&ask[3], hs, asks);
		ask += 4;
	}
	for (; chain < end; chain++, frame++) {
		if (ask)
			ask_for(ask++, hs, asks);
		if (!in_one_piece(chain, hs) || header_asks(chain, asks) != 0)
			break;
		sum += take_plain(frame, chain, hs);
	}
	*bytes = sum;
	return (unsigned)(chain - begin);
}

/*
 * Judges plain frames from chain @begin of @burst on. Returns where it met another, or the end.
 * What @next needs is asked for on the way, a chain of it with each that is judged: all at once
 * would be more than a core can have under way, and it would stand still.
 */
static vio_always_inline unsigned judge_alike(struct vio_tx_scratch *tx,
					      const struct vio_tx_burst *burst,
					      const struct vio_tx_burst *next, unsigned begin,
					      uint32_t hs, const bool asks)
{
	const unsigned n = burst->n, both = vio_max(vio_min(n, next->n), begin);
	uint64_t bytes = 0;
	unsigned i = begin;

	if (both > i)
		i += take_some(&tx->frames[i], &burst->chains[i], both - i, &next->chains[i], hs,
			       asks, &bytes);
	if (i == both)
		i += take_some(&tx->frames[i], &burst->chains[i], n - i, NULL, hs, asks, &bytes);
	memset(&tx->verdict[begin], TX_SEND, i - begin);
	if (begin == 0) {
		tx->plain = i;
		tx->plain_bytes = bytes;
	}
	return i;
}

static vio_noinline unsigned judge_plain(struct vio_tx_scratch *tx,
					 const struct vio_tx_burst *burst,
					 const struct vio_tx_burst *next, unsigned i, uint32_t hs)
{
	return judge_alike(tx, burst, next, i, hs, true);
}

/* Of frames whose headers may ask for nothing. */
static vio_noinline unsigned judge_silent(struct vio_tx_scratch *tx,
					  const struct vio_tx_burst *burst,
					  const struct vio_tx_burst *next, unsigned i, uint32_t hs)
{
	return judge_alike(tx, burst, next, i, hs, false);
}

/* Judges @burst; returns for how many of its chains the scratch memory was enough. */
static unsigned judge_burst(const struct vio_device *dev, struct vio_tx_scratch *tx,
			    const struct vio_tx_burst *burst, const struct vio_tx_burst *next)
{
	unsigned i = 0;

	tx->soft_used = 0;
	for (;;) {
		i = (dev->tx_asks ? judge_plain : judge_silent)(tx, burst, next, i, dev->hdr_size);
		if (vio_likely(i == burst->n) || judge(dev, tx, &burst->chains[i], i))
			return i;
		i++;
	}
}

static void spend(struct vio_tx_scratch *tx, unsigned n)
{
	tx->left -= vio_min(tx->left, n);
}

static void count_drop(struct vio_device_queue *q, enum vio_drop why)
{
	vio_count(&q->stats.drops[why], 1);
}

/* Hands over the frames [@i, @end). Returns how many are done with; fewer when it got busy. */
static unsigned send_run(struct vio_device_pair *pair, unsigned i, unsigned end)
{
	struct vio_tx_scratch *tx = &pair->scratch->tx;
	struct vio_backend *be = pair->dev->backend;
	struct vio_device_queue *q = &pair->tx;
	unsigned done = i;

	while (done < end) {
		int n = be->ops->send(be, pair->index, &tx->frames[done], end - done);
		uint64_t bytes = 0;
		int k;

		if (n == 0 || n == -EAGAIN)
			break;
		if (n < 0) {
			count_drop(q, VIO_DROP_BACKEND);
			done++;
			continue;
		}
		if (vio_likely(done == 0 && (unsigned)n == tx->plain))
			bytes = tx->plain_bytes;
		else
			for (k = 0; k < n; k++)
				bytes += tx->frames[done + (unsigned)k].len;
		vio_count(&q->stats.packets, (uint64_t)n);
		vio_count(&q->stats.bytes, bytes);
		done += (unsigned)n;
	}
	return done - i;
}

/* Makes the next burst of segments. Returns how many. */
static unsigned make_segments(struct vio_tx_scratch *tx)
{
	unsigned used = 0, n;

	for (n = 0; n < VIO_SEG_BURST; n++) {
		unsigned room = (unsigned)vio_array_size(tx->seg_iov) - used;

		if (room < 3 || vio_gso_next(&tx->gso, &tx->segs[n], tx->seg_headers[n],
					     &tx->seg_iov[used + 1], room - 1) <= 0)
			break;
		used += tx->segs[n].iovcnt + 1u;
	}
	return n;
}

/*
 * Cuts frame @i and sends its segments, from the one on that it stopped at. Returns true when the
 * frame is done with, false when the back end got busy.
 */
static bool send_segments(struct vio_device_pair *pair, unsigned i)
{
	struct vio_tx_scratch *tx = &pair->scratch->tx;
	struct vio_backend *be = pair->dev->backend;
	struct vio_device_queue *q = &pair->tx;
	unsigned n, sent;
	int ret;

	if (vio_gso_init(&tx->gso, &tx->frames[i]) < 0 || tx->gso.segments > VIO_SEG_MAX) {
		count_drop(q, VIO_DROP_BAD_GSO);
		return true;
	}
	if (q->seg_done)
		vio_gso_resume(&tx->gso, (uint16_t)q->seg_done, q->seg_id);
	q->seg_id = tx->gso.frag_id;
	while ((n = make_segments(tx)) > 0) {
		for (sent = 0; sent < n; sent += (unsigned)ret) {
			ret = be->ops->send(be, pair->index, &tx->segs[sent], n - sent);
			if (ret == 0 || ret == -EAGAIN)
				return false;
			if (ret < 0) {
				count_drop(q, VIO_DROP_BACKEND);
				ret = 1;
			}
			q->seg_done += (uint32_t)ret;
			spend(tx, (unsigned)ret);
		}
	}
	vio_count(&q->stats.packets, 1);
	vio_count(&q->stats.bytes, tx->frames[i].len);
	return true;
}

/*
 * Carries out the verdicts on the first @n chains. Returns how many are done with: fewer when the
 * back end got busy (the queue is held then) or the budget is used up.
 */
static unsigned carry_out(struct vio_device_pair *pair, unsigned n)
{
	struct vio_tx_scratch *tx = &pair->scratch->tx;
	struct vio_device_queue *q = &pair->tx;
	unsigned i = 0, end, done;

	while (i < n && tx->left) {
		switch (tx->verdict[i]) {
		case TX_SEND:
			end = vio_max(i + 1, vio_min(tx->plain, n));
			while (end < n && tx->verdict[end] == TX_SEND)
				end++;
			done = send_run(pair, i, end);
			if (done)
				q->seg_done = 0;
			q->held = done < end - i;
			break;
		case TX_SEGMENT:
			done = send_segments(pair, i);
			q->held = !done;
			break;
		default:
			count_drop(q, (enum vio_drop)tx->why[i]);
			done = 1;
		}
		spend(tx, done);
		i += done;
		if (q->held)
			break;
		/* What was sent of a frame in part concerns that frame alone, which is done with
		 * now, whatever the guest has made of it meanwhile. */
		q->seg_done = 0;
	}
	return i;
}

/* Link down, or the queue disabled: everything is completed and nothing leaves (Q13). */
static unsigned discard(struct vio_device_pair *pair, unsigned n)
{
	struct vio_device_queue *q = &pair->tx;

	vio_count(&q->stats.drops[VIO_DROP_LINK_DOWN], n);
	spend(&pair->scratch->tx, n);
	q->seg_done = 0;
	return n;
}

/*
 * Pops up to @want chains into @burst; @ahead: behind others that are still to be worked on. Returns
 * how many, or -errno.
 */
static int take(struct vio_device_queue *q, struct vio_tx_burst *burst, unsigned want, bool ahead)
{
	int n = (ahead ? vio_devq_pop_ahead :
			 vio_devq_pop_burst)(q->vq, q->mem, burst->chains, want, burst->pool,
					     (unsigned)vio_array_size(burst->pool));

	burst->n = n > 0 ? (unsigned)n : 0;
	return n;
}

/* Works on @burst, with @next behind it, which goes back to the ring if @burst can't be completed.
 * Returns the chains completed, or -errno. */
static int work_on(struct vio_device_pair *pair, struct vio_tx_burst *burst,
		   struct vio_tx_burst *next)
{
	struct vio_tx_scratch *tx = &pair->scratch->tx;
	struct vio_device_queue *q = &pair->tx;
	struct vio_device *dev = pair->dev;
	unsigned done;

	if (vio_unlikely(!vio_load(&dev->link) || !q->enabled))
		done = discard(pair, burst->n);
	else
		done = carry_out(pair, judge_burst(dev, tx, burst, next));
	/* See kept_back(): frames that are more than a descriptor are among what is not plain. */
	if (tx->plain < done)
		q->streamed = 0;
	if (done < burst->n) {
		vio_devq_unpop(q->vq, next->chains, next->n);
		vio_devq_unpop(q->vq, &burst->chains[done], burst->n - done);
		next->n = 0;
	}
	burst->n = 0;
	if (done == 0)
		return -EAGAIN;
	/* Nothing was written into any of them, as pop left it (assertion 7). */
	q->dirty = true;
	return vio_devq_push_burst(q->vq, burst->chains, done) < 0 ? -EPROTO : (int)done;
}

/*
 * While one burst is worked on, the lines of the next are on their way from the guest's core: where
 * the ring has more than a burst, that is popped first.
 */
int vio_device_tx(struct vio_device *dev, unsigned index, unsigned budget)
{
	struct vio_device_pair *pair = &dev->pairs[index];
	struct vio_device_queue *q = &pair->tx;
	struct vio_tx_burst *burst, *next;
	struct vio_tx_scratch *tx;
	unsigned total = 0, ready;
	int n = 0;

	if (!q->vq)
		return 0;
	tx = &pair->scratch->tx;
	tx->left = budget;
	q->held = false;
	burst = &tx->bursts[0];
	next = &tx->bursts[1];
	burst->n = 0;
	while (tx->left) {
		unsigned want = vio_min(tx->left, (unsigned)VIO_TX_BURST);

		if (burst->n == 0) {
			n = take(q, burst, want, false);
			if (dev->tx_asks)
				ask_for_all(burst, dev->hdr_size, true);
			else
				ask_for_all(burst, dev->hdr_size, false);
		}
		if (n <= 0)
			break;
		ready = burst->n;
		next->n = 0;
		if (ready == want && tx->left > want)
			take(q, next, vio_min(tx->left - want, (unsigned)VIO_TX_BURST), true);
		n = work_on(pair, burst, next);
		if (n <= 0)
			break;
		total += (unsigned)n;
		if (q->held || ready < want)
			break;
		burst = next;
		next = &tx->bursts[next == &tx->bursts[0]];
	}
	/* Segments may have used up what the next burst was popped for. */
	vio_devq_unpop(q->vq, burst->chains, burst->n);
	if (n == -EPROTO)
		vio_device_queue_failed(dev, index * 2 + 1);
	vio_device_tx_flow(dev, q, total);
	return total ? (int)total : n;
}
