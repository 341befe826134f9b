/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the back end to the guest: the sink of a pair.
 *
 * A frame for the guest is written once, straight into the guest's buffers. The back end reserves
 * room, fills it (the kernel does, for a tap), and commits. In between, the chains that make up the
 * room are held in the serving thread's scratch memory, in ring order:
 *
 *	chains[]:   ... pushed ... | reserved: slot 0, slot 1, ... | free: popped, not given out |
 *	                           ^ head before reserve           ^ head after                  ^ count
 *
 * Commit pushes the chains of delivered frames, and gives everything behind the last one back to the
 * ring by unpop, so buffers are used strictly in the order they came, whatever the back end does.
 * At the end of each turn what is still free goes back too: between turns a pair holds nothing of
 * the guest's, so a queue can be stopped, moved or reset without asking the back end.
 *
 * Room is counted behind the net header, which is written at commit, when the number of buffers is
 * known (virtio 1.4, 5.1.9.4). With MRG_RXBUF a frame takes as many chains as it needs; all but the
 * last are filled completely (5.1.9.4.1, assertion 22).
 */
#include "device/device.h"

#include <string.h>

#include "base/endian.h"
#include "base/iov.h"
#include "net/hdr.h"

static struct vio_device_pair *pair_of(struct vio_sink *sink)
{
	return vio_container_of(sink, struct vio_device_pair, sink);
}

/* Gives the chains from @first on back to the ring, to be popped anew. */
static void give_back(struct vio_device_pair *pair, unsigned first)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;

	if (first != rx->count)
		vio_devq_unpop(pair->rx.vq, &rx->chains[first], rx->count - first);
	rx->head = 0;
	rx->count = 0;
	rx->asked = 0;
	rx->pool_used = 0;
}

/* Whether scratch memory has room for one more chain, however many pieces it is in. */
static bool room_for_chain(const struct vio_device_pair *pair)
{
	const struct vio_rx_scratch *rx = &pair->scratch->rx;

	return rx->count < VIO_RX_CHAINS &&
	       vio_array_size(rx->pool) - rx->pool_used >= vio_devq_pool_min(pair->rx.num);
}

/* Takes more chains from the ring, behind those that are there. Returns how many there are now. */
static unsigned more_chains(struct vio_device_pair *pair, unsigned want)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_device_queue *q = &pair->rx;
	int (*pop)(struct vio_devq * vq, const struct vio_mem *mem, struct vio_chain *chains,
		   unsigned n, struct vio_iov *iov, unsigned niov);
	int n;

	want = vio_min(vio_max(want, VIO_RX_AHEAD), VIO_RX_CHAINS - rx->count);
	if (want == 0)
		return rx->count - rx->head;
	/* A bad one is met when there is no good one before it any more. */
	pop = rx->count == rx->head ? vio_devq_pop_burst : vio_devq_pop_ahead;
	n = pop(q->vq, q->mem, &rx->chains[rx->count], want, &rx->pool[rx->pool_used],
		(unsigned)vio_array_size(rx->pool) - rx->pool_used);
	if (n < 0) {
		vio_device_queue_failed(pair->dev, pair->index * 2u);
		return 0;
	}
	if (n > 0) {
		const struct vio_chain *last = &rx->chains[rx->count + (unsigned)n - 1];

		rx->count += (unsigned)n;
		rx->pool_used = (unsigned)(last->iov - rx->pool) + last->out_num + last->in_num;
	}
	return rx->count - rx->head;
}

/*
 * Makes room for the net header at the front of @frame's pieces, which are @chain's. False when the
 * chain can't even hold that, or has a device-readable part: no driver may post such a thing.
 */
static bool cut_header(struct vio_device_pair *pair, const struct vio_chain *chain,
		       struct vio_rx_slot *slot, struct vio_frame *frame)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	uint32_t hs = pair->dev->hdr_size;
	struct vio_iov *iov = chain->iov;

	if (vio_unlikely(chain->out_num || chain->in_len < hs))
		return false;
	frame->iov = iov;
	frame->iovcnt = chain->in_num;
	if (vio_likely(iov->len >= hs)) {
		slot->header = iov->base;
	} else {
		int n = vio_iov_slice(rx->split_iov, VIO_NET_HDR_SIZE_MAX, iov, chain->in_num, 0,
				      hs);

		slot->header = NULL;
		rx->split_header.iov = rx->split_iov;
		rx->split_header.in_num = (uint16_t)n;
	}
	while (frame->iovcnt > 0 && hs >= frame->iov->len) {
		hs -= (uint32_t)frame->iov->len;
		frame->iov++;
		frame->iovcnt--;
	}
	if (hs) {
		frame->iov->base = (uint8_t *)frame->iov->base + hs;
		frame->iov->len -= hs;
	}
	return true;
}

/* Adds @chain's pieces to @frame's, which end where the chain before it ended. */
static void join(struct vio_frame *frame, const struct vio_chain *chain)
{
	memmove(frame->iov + frame->iovcnt, chain->iov, sizeof(*chain->iov) * chain->in_num);
	frame->iovcnt = (uint16_t)(frame->iovcnt + chain->in_num);
}

enum room {
	ROOM_NONE,  /* the guest has no buffers */
	ROOM_SHORT, /* too few; more may come */
	ROOM_LIMIT, /* too few, and more would not fit scratch memory */
	ROOM_SPLIT, /* enough, with a header in pieces: one frame at a time */
	ROOM_FULL,
};

static enum room bad_buffer(struct vio_device_pair *pair)
{
	vio_devq_break(pair->rx.vq, VIO_VQ_BAD_FRAME);
	vio_device_queue_failed(pair->dev, pair->index * 2u);
	return ROOM_NONE;
}

/* Finds room for one frame of frame->len bytes. The slot takes chains from head on. */
static enum room reserve_one(struct vio_device_pair *pair, struct vio_rx_slot *slot,
			     struct vio_frame *frame)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_device *dev = pair->dev;
	uint32_t want = frame->len;
	uint64_t room;
	enum room result;

	if (rx->head == rx->count && more_chains(pair, 1) == 0)
		return ROOM_NONE;
	slot->first = (uint16_t)rx->head;
	if (!cut_header(pair, &rx->chains[rx->head], slot, frame))
		return bad_buffer(pair);
	room = rx->chains[rx->head].in_len - dev->hdr_size;
	rx->head++;
	result = slot->header ? ROOM_FULL : ROOM_SPLIT;
	while (room < want && dev->mergeable) {
		const struct vio_chain *next;

		if (rx->head == rx->count && !room_for_chain(pair)) {
			result = ROOM_LIMIT;
			break;
		}
		if (rx->head == rx->count && more_chains(pair, 1) == 0) {
			result = ROOM_SHORT;
			break;
		}
		next = &rx->chains[rx->head];
		if (vio_unlikely(next->out_num))
			return bad_buffer(pair);
		join(frame, next);
		room += next->in_len;
		rx->head++;
	}
	slot->count = (uint16_t)(rx->head - slot->first);
	memset(&frame->meta, 0, sizeof(frame->meta));
	if (room < want) {
		frame->len = (uint32_t)room;
		if (!dev->mergeable)
			result = ROOM_LIMIT;
	}
	return result;
}

/* Asks for what is going to be written of @chain. Not for the header, which mostly need not be: its line
 * stays with this core, and while it comes from some way off others are on theirs. */
static vio_always_inline void ask_for(const struct vio_chain *chain, uint32_t hs)
{
	vio_prefetch_write((const uint8_t *)chain->iov->base + hs);
}

/* Whether @chain is as nearly all are: one piece, with room for @frame and a header of @hs
 * bytes. */
static vio_always_inline bool is_plain(const struct vio_chain *chain, const struct vio_frame *frame,
				       uint32_t hs)
{
	return vio_likely(chain->out_num == 0 && chain->in_num == 1) &&
	       vio_likely(chain->in_len >= (uint64_t)frame->len + hs);
}

/* Gives @frame the room of a plain chain. */
static vio_always_inline void give_plain(const struct vio_chain *chain, struct vio_rx_slot *slot,
					 struct vio_frame *frame, uint32_t hs)
{
	struct vio_iov *iov = chain->iov;

	slot->header = vio_iov_cut(iov, hs); /* all else of the slot follows from where it is */
	vio_device_plain_frame(frame, iov);
}

/* Gives four frames the room of a plain chain each. False: they are not all plain. */
static vio_always_inline bool give_four(const struct vio_chain *chain, struct vio_rx_slot *slot,
					struct vio_frame *frame, uint32_t hs)
{
	if (!is_plain(&chain[0], &frame[0], hs) || !is_plain(&chain[1], &frame[1], hs) ||
	    !is_plain(&chain[2], &frame[2], hs) || !is_plain(&chain[3], &frame[3], hs))
		return false;
	give_plain(&chain[0], &slot[0], &frame[0], hs);
	give_plain(&chain[1], &slot[1], &frame[1], hs);
	give_plain(&chain[2], &slot[2], &frame[2], hs);
	give_plain(&chain[3], &slot[3], &frame[3], hs);
	return true;
}

/* Gives up to @n frames the room of a chain each as long as these are plain; and asks for one of
 * @ask with each of them, and with the one that is not, if that is not NULL. Returns how many. */
static vio_always_inline unsigned give_some(const struct vio_chain *chain, unsigned n,
					    struct vio_rx_slot *slot, struct vio_frame *frame,
					    const struct vio_chain *ask, uint32_t hs)
{
	const struct vio_chain *const begin = chain, *const end = chain + n;

	for (; end - chain >= 4; chain += 4, slot += 4, frame += 4) {
		if (!give_four(chain, slot, frame, hs))
			break;
		if (!ask)
			continue;
		ask_for(&ask[0], hs);
		ask_for(&ask[1], hs);
		ask_for(&ask[2], hs);
		ask_for(&ask[3], hs);
		ask += 4;
	}
	for (; chain < end; chain++, slot++, frame++) {
		if (ask)
			ask_for(ask++, hs);
		if (!is_plain(chain, frame, hs))
			break;
		give_plain(chain, slot, frame, hs);
	}
	return (unsigned)(chain - begin);
}

/*
 * Finds room for up to @n frames as long as each is plain. Returns how many. With each, the first line
 * of a buffer some way behind is asked for: all at once would be more than a core can have under way.
 */
static vio_noinline unsigned reserve_plain(struct vio_rx_scratch *rx, struct vio_frame *frames,
					   unsigned n, uint32_t hs)
{
	const unsigned head = rx->head;
	const struct vio_chain *const chain = &rx->chains[head];
	unsigned asked = vio_max(rx->asked, head), got = 0, both;

	n = vio_min(n, rx->count - head);
	for (; asked < head + vio_min(n, VIO_RX_AHEAD); asked++)
		ask_for(&rx->chains[asked], hs);
	both = vio_min(n, rx->count - asked);
	if (both > 0)
		got = give_some(chain, both, rx->slots, frames, &rx->chains[asked], hs);
	rx->asked = asked + got + (got < both);
	if (got == both)
		got += give_some(chain + got, n - got, rx->slots + got, frames + got, NULL, hs);
	rx->slots[0].first = (uint16_t)head;
	rx->plain = got;
	rx->head = head + got;
	return got;
}

/*
 * The first frame, for which everything is done that can be: when scratch memory was in the way,
 * and part of it belongs to frames that are through, it is cleared and filled anew.
 */
static enum room reserve_first(struct vio_device_pair *pair, struct vio_frame *frame)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_rx_slot *slot = &rx->slots[0];
	uint32_t want = frame->len;
	enum room room = reserve_one(pair, slot, frame);

	if (room != ROOM_LIMIT || slot->first == 0 || !pair->dev->mergeable)
		return room;
	give_back(pair, slot->first);
	frame->len = want;
	return reserve_one(pair, slot, frame);
}

/*
 * The first frame got no room, or too little: remembers how much the guest had given, which is what
 * was in hand when the ring was found empty. Looking at the ring again here would take in what has
 * come since, for which no kick may come any more. Returns whether it is worth waiting for more.
 */
static bool starve(struct vio_device_pair *pair, enum room room)
{
	const struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_device_queue *q = &pair->rx;
	unsigned had = room == ROOM_NONE ? 0 : rx->count - rx->slots[0].first;

	/* With all that its queue holds given, a guest can't give more. */
	if (room == ROOM_LIMIT || had >= q->num)
		return false;
	q->starved = true;
	q->had = had;
	return true;
}

static int sink_reserve(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct vio_device_pair *pair = pair_of(sink);
	struct vio_device_queue *q = &pair->rx;
	struct vio_rx_scratch *rx;
	enum room room = ROOM_FULL;
	unsigned i = 0;

	if (!pair->scratch || !q->vq || !q->enabled || !vio_load(&pair->dev->link))
		return 0;
	rx = &pair->scratch->rx;
	sink->wait = false;
	n = vio_min(n, (unsigned)VIO_RX_BURST);
	if (rx->head == rx->count || rx->count > VIO_RX_CHAINS / 2)
		give_back(pair, rx->head);
	/* Where there is one buffer a frame, bursts are popped in one go, with the first of the
	 * next. */
	if (rx->count - rx->head < n + VIO_RX_AHEAD)
		more_chains(pair, rx->count == rx->head ? n + VIO_RX_AHEAD : n);
	i = reserve_plain(rx, frames, n, pair->dev->hdr_size);
	while (i < n && room == ROOM_FULL) {
		room = i ? reserve_one(pair, &rx->slots[i], &frames[i]) :
			   reserve_first(pair, &frames[i]);
		/* In the middle of a burst it is the frames before that are in the way. */
		if (i > 0 && room < ROOM_SPLIT)
			break;
		if (i == 0 && room < ROOM_SPLIT)
			sink->wait = starve(pair, room);
		if (room != ROOM_NONE)
			i++;
	}
	rx->reserved = i;
	return (int)i;
}

static void write_header(struct vio_device_pair *pair, const struct vio_rx_slot *slot,
			 struct vio_net_meta *meta, uint16_t buffers)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_device *dev = pair->dev;
	uint8_t header[VIO_NET_HDR_SIZE_MAX];

	/* virtio 1.4, 5.1.9.4.1: 1 without MRG_RXBUF (assertion 2). */
	meta->num_buffers = buffers;
	/* 5.1.9.4.1: flags are 0 without GUEST_CSUM. A back end may know of a checksum all the same. */
	if (!(dev->features & vio_feature(VIO_NET_F_GUEST_CSUM)))
		meta->flags = 0;
	if (vio_likely(slot->header && !vio_net_meta_asks(meta) &&
		       dev->hdr_size == VIO_NET_HDR_SIZE && !dev->big_endian)) {
		vio_net_hdr_say_only(slot->header, buffers);
		return;
	}
	if (slot->header) {
		vio_net_hdr_encode(slot->header, dev->hdr_size, dev->big_endian, meta);
		return;
	}
	vio_net_hdr_encode(header, dev->hdr_size, dev->big_endian, meta);
	vio_iov_from_buf(rx->split_header.iov, rx->split_header.in_num, 0, header, dev->hdr_size);
}

/* Says how much of each chain of the slot a frame of @len bytes fills. Returns the chains used. */
static unsigned fill_chains(struct vio_device_pair *pair, const struct vio_rx_slot *slot,
			    uint32_t len)
{
	struct vio_chain *chains = &pair->scratch->rx.chains[slot->first];
	uint32_t left = len + pair->dev->hdr_size;
	unsigned used = 0;

	do {
		chains[used].written = vio_min(left, chains[used].in_len);
		left -= chains[used].written;
		used++;
	} while (left && used < slot->count);
	return used;
}

/* Says of four plain chains how much @frame fills of each. Returns the bytes of the frames; 0: one
 * has something to say. */
static vio_always_inline uint64_t commit_four(struct vio_chain *chain,
					      const struct vio_rx_slot *slot,
					      const struct vio_frame *frame)
{
	const uint32_t hs = VIO_NET_HDR_SIZE;

	if (vio_unlikely((vio_net_meta_asks(&frame[0].meta) | vio_net_meta_asks(&frame[1].meta) |
			  vio_net_meta_asks(&frame[2].meta) | vio_net_meta_asks(&frame[3].meta)) !=
			 0))
		return 0;
	chain[0].written = frame[0].len + hs;
	chain[1].written = frame[1].len + hs;
	chain[2].written = frame[2].len + hs;
	chain[3].written = frame[3].len + hs;
	if (vio_unlikely((vio_net_hdr_says_more(slot[0].header, 1) |
			  vio_net_hdr_says_more(slot[1].header, 1) |
			  vio_net_hdr_says_more(slot[2].header, 1) |
			  vio_net_hdr_says_more(slot[3].header, 1)) != 0)) {
		vio_net_hdr_say_only(slot[0].header, 1);
		vio_net_hdr_say_only(slot[1].header, 1);
		vio_net_hdr_say_only(slot[2].header, 1);
		vio_net_hdr_say_only(slot[3].header, 1);
	}
	return (uint64_t)frame[0].len + frame[1].len + frame[2].len + frame[3].len;
}

/*
 * The same as fill_chains() and write_header() for up to @n frames that reserve_plain() found room
 * for and that have nothing to say. Returns how many; their bytes go to *@bytes.
 */
static vio_noinline unsigned commit_plain(struct vio_rx_scratch *rx, const struct vio_frame *frames,
					  unsigned n, uint64_t *bytes)
{
	struct vio_chain *const chains = &rx->chains[rx->slots[0].first];
	uint64_t sum = 0, four;
	unsigned i;

	n = vio_min(n, rx->plain);
	for (i = 0; i + 4 <= n; i += 4) {
		four = commit_four(&chains[i], &rx->slots[i], &frames[i]);
		if (four == 0)
			break;
		sum += four;
	}
	for (; i < n; i++) {
		if (vio_unlikely(vio_net_meta_asks(&frames[i].meta)))
			break;
		chains[i].written = frames[i].len + VIO_NET_HDR_SIZE;
		vio_net_hdr_say_only(rx->slots[i].header, 1);
		sum += frames[i].len;
	}
	*bytes = sum;
	return i;
}

static void sink_commit(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct vio_device_pair *pair = pair_of(sink);
	struct vio_rx_scratch *rx = &pair->scratch->rx;
	struct vio_device_queue *q = &pair->rx;
	unsigned end, i = 0;
	uint64_t bytes = 0;

	if (!rx->reserved)
		return;
	if (vio_likely(pair->dev->hdr_size == VIO_NET_HDR_SIZE && !pair->dev->big_endian))
		i = commit_plain(rx, frames, n, &bytes);
	end = rx->slots[0].first + i;
	for (; i < n; i++) {
		struct vio_rx_slot *slot = &rx->slots[i];
		unsigned used;

		if (i < rx->plain) {
			slot->first = (uint16_t)(rx->slots[0].first + i);
			slot->count = 1;
		}
		used = fill_chains(pair, slot, frames[i].len);
		write_header(pair, slot, &frames[i].meta, (uint16_t)used);
		bytes += frames[i].len;
		end = slot->first + used;
	}
	if (n) {
		unsigned first = rx->slots[0].first;

		if (vio_devq_push_burst(q->vq, &rx->chains[first], end - first) == 0) {
			q->dirty = true;
			q->starved = false;
			vio_count(&q->stats.packets, n);
			vio_count(&q->stats.bytes, bytes);
		}
	}
	/* Chains whose pieces were cut or joined go back to the ring and are popped anew. */
	if (end != rx->head)
		give_back(pair, end);
	rx->reserved = 0;
}

static void sink_drop(struct vio_sink *sink, enum vio_drop why, unsigned n)
{
	struct vio_device_pair *pair = pair_of(sink);

	if ((unsigned)why < VIO_DROP_NR)
		vio_count(&pair->rx.stats.drops[why], n);
}

const struct vio_sink_ops vio_device_sink_ops = {
	.reserve = sink_reserve,
	.commit = sink_commit,
	.drop = sink_drop,
};

void vio_device_rx_release(struct vio_device_pair *pair)
{
	struct vio_rx_scratch *rx = &pair->scratch->rx;

	if (rx->reserved)
		sink_commit(&pair->sink, NULL, 0);
	if (pair->rx.vq)
		give_back(pair, rx->head);
}
