/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap, to the guest: straight into its memory, or by bursts of small frames.
 *
 * Receiving is one readv() straight into room reserved from the guest. How long the next frame is
 * can't be asked, so the room is a guess: small as long as frames are small, so that a large receive
 * buffer's pieces are not all reserved for 60 bytes, large after a large frame. Behind the room comes
 * private memory for what did not fit. A frame that needed it is collected there, its room given
 * back, and it waits there until the guest has enough room; it is the next to be delivered. Only a
 * frame that the guest's buffers can never hold is dropped.
 *
 * While small frames come one after the other, they are read by bursts into slots of our own, each
 * with room for any frame, and copied to the guest from there: their lengths are known then, and room
 * for all of them is reserved at once. The bursts grow as long as they come back full. What the guest
 * has no room for stays in its slot. A frame that is not small ends it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/barrier.h"
#include "base/iov.h"
#include "tap_pair.h"

/* Reads a frame into @room, and into the overflow what does not fit. Bytes of frame, or -errno. */
static int read_frame(struct tap *t, unsigned pair, const struct vio_frame *room, uint32_t *held)
{
	struct tap_pair *p = &t->pairs[pair];
	unsigned n = 1;
	ssize_t got;

	*held = 0;
	p->iov[0] = (struct vio_iov){ p->header, sizeof(p->header) };
	for (unsigned i = 0; i < room->iovcnt && n < IOV_PIECES - 1 && *held < room->len; i++) {
		size_t len = vio_min(room->iov[i].len, (size_t)(room->len - *held));

		p->iov[n++] = (struct vio_iov){ room->iov[i].base, len };
		*held += (uint32_t)len;
	}
	p->iov[n++] = (struct vio_iov){ p->overflow, sizeof(p->overflow) };
	do
		got = readv(t->fds[pair], (const struct iovec *)p->iov, (int)n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	return got > VIO_TAP_HDR_LEN ? (int)got - VIO_TAP_HDR_LEN : 0;
}

/*
 * The header of the frame that was read. The kernel says of some frames that their checksum was
 * verified, which only a guest that takes unfinished checksums may hear (virtio 1.4, 5.1.9.4.1).
 */
static struct vio_net_meta decode_header(const struct tap *t, const uint8_t *header)
{
	struct vio_net_meta meta;

	vio_net_hdr_decode(header, VIO_TAP_HDR_LEN, false, &meta);
	meta.num_buffers = 0;
	if (!(vio_load(&t->accepts) & VIO_OFFLOAD_CSUM))
		meta.flags &= (uint8_t)~VIO_NET_HDR_F_DATA_VALID;
	return meta;
}

/* Collects a frame of @len bytes, of which @held lie in @room, in the overflow. */
static void keep(const struct tap *t, struct tap_pair *p, const struct vio_frame *room,
		 uint32_t held, uint32_t len)
{
	memmove(p->overflow + held, p->overflow, len - held);
	vio_iov_to_buf(room->iov, room->iovcnt, 0, p->overflow, held);
	p->pending.meta = decode_header(t, p->header);
	p->pending_iov[1] = (struct vio_iov){ p->overflow, len };
	p->pending.iov = &p->pending_iov[1];
	p->pending.iovcnt = 1;
	p->pending.len = len;
}

/* Whether the guest still takes such a frame: it may have changed its mind since it was queued. */
static bool acceptable(const struct tap *t, const struct vio_frame *frame)
{
	if (vio_likely(frame->meta.gso_type == VIO_NET_HDR_GSO_NONE &&
		       !(frame->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM)))
		return true;
	return (vio_frame_offloads(frame) & ~vio_load(&t->accepts)) == 0;
}

/* Delivers the frame that waits, if any. False when it has to wait on; *@done counts it. */
static bool deliver_pending(const struct tap *t, struct tap_pair *p, unsigned *done)
{
	if (vio_likely(p->pending.len == 0))
		return true;
	if (!acceptable(t, &p->pending))
		p->sink->ops->drop(p->sink, VIO_DROP_BAD_GSO, 1);
	else if (vio_sink_give(p->sink, &p->pending) == 0)
		return false;
	p->pending.len = 0;
	(*done)++;
	return true;
}

/* What read_frame() gave is no frame that lies in @room as it should. True when there may be more. */
static vio_noinline bool receive_odd(struct tap *t, unsigned pair, struct vio_frame *room,
				     uint32_t held, int len, unsigned *done)
{
	struct tap_pair *p = &t->pairs[pair];
	bool fits = len >= VIO_ETH_MIN_LEN && len <= VIO_FRAME_MAX_LEN;

	if (fits)
		keep(t, p, room, held, (uint32_t)len);
	p->sink->ops->commit(p->sink, room, 0);
	if (fits) {
		p->hint = ROOM_LARGE;
		return deliver_pending(t, p, done);
	}
	if (len >= 0) {
		p->sink->ops->drop(p->sink,
				   len < VIO_ETH_MIN_LEN ? VIO_DROP_SHORT : VIO_DROP_TOO_BIG, 1);
		(*done)++;
		return true;
	}
	if (len == -EBADFD)
		vio_tap_gone(t, pair);
	return false;
}

/* Small frames come: more of them may be read at a time. */
static void grow(struct tap_burst *b, bool small)
{
	if (b != NULL)
		b->grown = small ? vio_min(b->grown * 2, READ_BURST) : 1;
}

/* Receives one frame. True when there may be another. */
static bool receive_one(struct tap *t, unsigned pair, unsigned *done)
{
	struct tap_pair *p = &t->pairs[pair];
	struct vio_frame room = { .len = p->hint };
	uint32_t held;
	int len;

	if (p->sink->ops->reserve(p->sink, &room, 1) <= 0)
		return false;
	len = read_frame(t, pair, &room, &held);
	if (vio_unlikely(len < VIO_ETH_MIN_LEN || (uint32_t)len > held))
		return receive_odd(t, pair, &room, held, len, done);
	room.len = (uint32_t)len;
	room.meta = decode_header(t, p->header);
	if (vio_unlikely(!acceptable(t, &room))) {
		p->sink->ops->commit(p->sink, &room, 0);
		p->sink->ops->drop(p->sink, VIO_DROP_BAD_GSO, 1);
		(*done)++;
		return true;
	}
	p->hint = len > ROOM_SMALL ? ROOM_LARGE : ROOM_SMALL;
	p->sink->ops->commit(p->sink, &room, 1);
	grow(p->burst, (uint32_t)len <= SMALL);
	(*done)++;
	return true;
}

/* ------------------------------------------------------------------------------------------
 * To the guest, by bursts
 */

/* The first @n of the frames held are through. */
static void release(struct tap_burst *b, unsigned n, unsigned *done)
{
	b->first += n;
	b->held -= n;
	*done += n;
}

/* The header of the frame in @slot, with which it may go to the guest. False: it may not. */
static bool ready(const struct tap *t, const struct tap_in *in, struct vio_frame *frame)
{
	/* Nearly always the kernel says nothing: flags and gso_type. */
	if (vio_likely((in->header[0] | in->header[1]) == 0))
		return true;
	frame->meta = decode_header(t, in->header);
	return acceptable(t, frame);
}

/* Delivers the first frame held, whatever the guest's buffers look like. False: it waits. */
static vio_noinline bool deliver_one(const struct tap *t, struct tap_pair *p, unsigned *done)
{
	struct tap_burst *b = p->burst;
	struct tap_in *in = &b->slots.in[b->order[b->first]];
	struct vio_iov iov[2] = { { 0 }, { in->bytes, b->lens[b->first] } };
	struct vio_frame frame = { .iov = &iov[1], .iovcnt = 1, .len = b->lens[b->first] };

	if (!ready(t, in, &frame))
		p->sink->ops->drop(p->sink, VIO_DROP_BAD_GSO, 1);
	else if (vio_sink_give(p->sink, &frame) == 0)
		return false;
	release(b, 1, done);
	return true;
}

/* Fills as many of the @n rooms as can be filled in order. Returns how many. */
static unsigned fill_rooms(const struct tap *t, struct tap_burst *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct tap_in *in = &b->slots.in[b->order[b->first + i]];
		struct vio_frame *room = &b->rooms[i];
		uint32_t len = b->lens[b->first + i];

		if (vio_unlikely(room->len < len || !ready(t, in, room)))
			return i;
		if (vio_likely(room->iov->len >= len))
			memcpy(room->iov->base, in->bytes, len);
		else
			vio_iov_from_buf(room->iov, room->iovcnt, 0, in->bytes, len);
	}
	return n;
}

/* Delivers what is held. False when the rest has to wait for the guest. */
static bool deliver_held(const struct tap *t, struct tap_pair *p, unsigned budget, unsigned *done)
{
	struct tap_burst *b = p->burst;

	while (b->held > 0 && *done < budget) {
		unsigned n = vio_min(b->held, budget - *done);
		int given;

		for (unsigned i = 0; i < n; i++)
			b->rooms[i].len = b->lens[b->first + i];
		given = p->sink->ops->reserve(p->sink, b->rooms, n);
		if (given <= 0)
			return false;
		n = fill_rooms(t, b, (unsigned)given);
		p->sink->ops->commit(p->sink, b->rooms, n);
		release(b, n, done);
		if (n < (unsigned)given && !deliver_one(t, p, done))
			return false;
	}
	return true;
}

/* Sorts what a burst of @n reads brought. Returns how many frames, and in *@over why no more. */
static unsigned sort_burst(struct tap_pair *p, unsigned n, int *over, unsigned *done)
{
	struct tap_burst *b = p->burst;
	bool small = true;
	unsigned got = 0;

	for (unsigned i = 0; i < n; i++) {
		int len = b->results[i] - VIO_TAP_HDR_LEN;

		if (vio_unlikely(b->results[i] < 0)) {
			*over = b->results[i];
			continue;
		}
		got++;
		if (vio_unlikely(len < VIO_ETH_MIN_LEN || len > VIO_FRAME_MAX_LEN)) {
			p->sink->ops->drop(
				p->sink, len < VIO_ETH_MIN_LEN ? VIO_DROP_SHORT : VIO_DROP_TOO_BIG,
				1);
			(*done)++;
			continue;
		}
		small &= (uint32_t)len <= SMALL;
		b->order[b->held] = (uint8_t)i;
		b->lens[b->held++] = (uint32_t)len;
	}
	grow(b, small);
	return got;
}

/* Reads a burst and delivers it. True when there may be more. */
static bool receive_burst(struct tap *t, unsigned pair, unsigned budget, unsigned *done)
{
	struct tap_pair *p = &t->pairs[pair];
	struct tap_burst *b = p->burst;
	unsigned n = vio_min(b->grown, budget - *done), got;
	int over = 0;

	for (unsigned i = 0; i < n; i++)
		vio_tap_uring_read(&b->uring, b->slots.in[i].header,
				   VIO_TAP_HDR_LEN + sizeof(b->slots.in[i].bytes));
	vio_tap_uring_run(&b->uring, b->results);
	b->first = 0;
	got = sort_burst(p, n, &over, done);
	if (over == -EBADFD)
		vio_tap_gone(t, pair);
	if (got < n)
		b->grown = 1;
	return deliver_held(t, p, budget, done) && got == n;
}

int vio_tap_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct tap *t = vio_container_of(be, struct tap, be);
	struct tap_pair *p = &t->pairs[pair];
	struct tap_burst *b = p->burst;
	unsigned done = 0;

	if (p->sink == NULL || !deliver_pending(t, p, &done))
		return 0;
	if (b != NULL && b->held > 0 && !deliver_held(t, p, budget, &done))
		return (int)done;
	while (done < budget && !p->dead) {
		if (b != NULL && b->grown >= WORTH_BURST && budget - done >= WORTH_BURST) {
			if (!receive_burst(t, pair, budget, &done))
				break;
		} else if (!receive_one(t, pair, &done)) {
			if (b != NULL)
				b->grown = 1;
			break;
		}
	}
	return done == 0 && p->dead ? -ENETDOWN : (int)done;
}
