/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap: frames to and from the kernel through a tap interface, one descriptor for each queue pair.
 *
 * The kernel puts the same net header before each frame as virtio does, so offloads pass through
 * both ways: nothing is cut or summed here. Sending is one writev() from guest memory, with the
 * header in the spare entry before the frame's pieces.
 *
 * For small frames the system call costs more than the copy that a second piece saves: they are laid
 * behind their header in memory of our own, and go in one piece. And bursts go to the kernel in one
 * call, through a ring (tap_uring.c) where there is one, several frames at a time. The kernel may
 * then refuse one frame and take the next. What became of each is kept until the caller, who hears
 * of one refusal at a time, has been told all of it: he comes back with the same frames.
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
 *
 * The descriptor to sleep on is an epoll set of our own around the queue's descriptor: the kernel
 * reports an error for ever on a queue whose interface was deleted, and taking it out of the set
 * keeps the worker asleep. Queues that the guest does not use are detached; the kernel empties them
 * and steers nothing to them.
 *
 * An interface that is down refuses frames with EIO, and a frame may be refused for want of memory
 * or for its content: such frames are dropped by the caller and counted; the next may go.
 *
 * The kernel reaches guest memory for us, and where that is lost (its file was cut short) a frame is
 * refused with EFAULT and no signal is raised. Then we touch the memory ourselves, so that whoever
 * guards it learns. (Receiving, the kernel does not tell; the net header, which the device writes
 * itself, shows it there.)
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/barrier.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "tap.h"
#include "tap_uring.h"

#define KIND	   VIO_TAP_KIND
#define IOV_PIECES 1024 /* the kernel's limit for one call (IOV_MAX) */
#define PAGE_MIN   4096 /* no page of memory is smaller */
#define ROOM_SMALL 1526 /* an ordinary frame with a VLAN tag or two, and a little */
#define ROOM_LARGE VIO_FRAME_MAX_LEN

#define SMALL	    256u /* frames up to this are copied, for fewer and cheaper system calls */
#define SEND_BURST  (unsigned)VIO_TAP_URING_MAX
#define READ_BURST  32u /* slots, at most */
#define WORTH_BURST 4u	/* fewer operations than this go one by one */

/* struct vio_iov is passed on as struct iovec. */
_Static_assert(sizeof(struct vio_iov) == sizeof(struct iovec), "vio_iov is an iovec");
_Static_assert(offsetof(struct vio_iov, len) == offsetof(struct iovec, iov_len),
	       "vio_iov is an iovec");

/* A small frame to send, behind its header, or the header alone of one that is not small. */
struct tap_out {
	uint8_t unused[4]; /* the frame begins where copying is fast */
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t bytes[SMALL];
} vio_cacheline;

/* A frame that was read in a burst; one byte more, to notice what is longer. */
struct tap_in {
	uint8_t unused[4];
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t bytes[VIO_FRAME_MAX_LEN + 1];
	uint8_t spare[VIO_CACHE_LINE]; /* for an odd number of lines */
} vio_cacheline;

_Static_assert(sizeof(struct tap_out) / VIO_CACHE_LINE % 2 == 1, "slots fall on different sets");
_Static_assert(sizeof(struct tap_in) / VIO_CACHE_LINE % 2 == 1, "slots fall on different sets");

/* What bursts need. Pages of it that are never used take no memory. */
struct tap_burst {
	struct vio_tap_uring uring;
	int results[VIO_TAP_URING_MAX];

	/* Sent, of which so many were told: and how to know the next of them again. */
	unsigned told, sent;
	const void *next_at;
	uint32_t next_len;

	/* Read, and not delivered yet. */
	unsigned grown; /* how many frames may be read at a time now */
	unsigned first, held;
	uint8_t slots[READ_BURST];
	uint32_t lens[READ_BURST];
	struct vio_frame rooms[READ_BURST];

	struct tap_out out[SEND_BURST];
	struct tap_in in[READ_BURST];
};

/* One queue pair; touched by its worker only, but for attached, which is the control thread's. */
struct tap_pair {
	struct vio_sink *sink;
	struct tap_burst *burst; /* NULL: everything goes one by one */
	int epoll;
	bool attached;
	bool dead;		  /* the interface is gone */
	bool busy;		  /* the kernel took less than it was offered last */
	bool want_out;		  /* the set waits for it to take more */
	uint32_t hint;		  /* room to reserve for the next frame */
	struct vio_frame pending; /* a frame waiting for room; len 0 when there is none */
	struct vio_iov pending_iov[2];
	struct vio_iov iov[IOV_PIECES];
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t overflow[VIO_FRAME_MAX_LEN + 1]; /* one more, to notice what is longer */
} vio_cacheline;

struct tap {
	struct vio_backend be;
	const struct vio_host *host;
	struct vio_tap_dev dev;
	int fds[VIO_TAP_MAX_PAIRS];
	unsigned num_pairs;
	uint32_t accepts; /* VIO_OFFLOAD_*; written by the control thread */
	struct tap_pair pairs[];
};

static const struct vio_opt tap_options[] = {
	{ "name", VIO_OPT_STRING, offsetof(struct vio_tap_options, name), 0, 0 },
	{ "fd", VIO_OPT_STRING, offsetof(struct vio_tap_options, fd), 0, 0 },
	{ "up", VIO_OPT_SWITCH, offsetof(struct vio_tap_options, up), 0, 0 },
	{ "mtu", VIO_OPT_NUMBER, offsetof(struct vio_tap_options, mtu), 68, 65521 },
};

/* ------------------------------------------------------------------------------------------
 * What to wait for
 */

/* Changes what the queue's epoll set waits for. */
static int watch(struct tap *t, unsigned pair, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	return epoll_ctl(t->pairs[pair].epoll, op, t->fds[pair], &ev) < 0 ? -errno : 0;
}

static void want_out(struct tap *t, unsigned pair, bool want)
{
	struct tap_pair *p = &t->pairs[pair];

	if (p->want_out == want)
		return;
	p->want_out = want;
	watch(t, pair, EPOLL_CTL_MOD, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/*
 * The kernel can take frames nearly always, so that is waited for only across a sleep before which
 * it was busy: a queue that has nothing to send any more must not be woken for it.
 */
static bool tap_arm(struct vio_backend *be, unsigned pair)
{
	struct tap *t = vio_container_of(be, struct tap, be);
	struct tap_pair *p = &t->pairs[pair];

	want_out(t, pair, p->busy);
	p->busy = false;
	return false;
}

/* The interface was deleted: nothing can come or go any more. */
static vio_cold void gone(struct tap *t, unsigned pair)
{
	t->pairs[pair].dead = true;
	watch(t, pair, EPOLL_CTL_DEL, 0);
	vio_log(t->host, VIO_LOG_WARN, KIND " %s: the interface is gone, queue pair %u stops",
		t->dev.name, pair);
}

/* Touches each page of a frame that the kernel could not reach. */
static vio_cold void touch(const struct vio_frame *frame)
{
	for (unsigned i = 0; i < frame->iovcnt; i++) {
		const volatile uint8_t *p = frame->iov[i].base;
		size_t last = frame->iov[i].len - 1;

		for (size_t off = 0; off < last; off += PAGE_MIN)
			(void)p[off];
		(void)p[last];
	}
}

/* ------------------------------------------------------------------------------------------
 * From the guest
 */

/* What a write told: 1; 0 when the kernel is busy; -errno. */
static int verdict(ssize_t sent)
{
	if (vio_likely(sent >= 0))
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

/* Writes the header and the frame behind it. */
static int write_pieces(struct tap *t, unsigned pair, struct vio_iov *iov, unsigned count)
{
	struct tap_pair *p = &t->pairs[pair];
	ssize_t sent;

	iov[0] = (struct vio_iov){ p->header, sizeof(p->header) };
	do
		sent = writev(t->fds[pair], (const struct iovec *)iov, (int)count);
	while (sent < 0 && errno == EINTR);
	return verdict(sent);
}

/* A frame in more pieces than the kernel takes, or in pieces longer than itself, is copied. */
static vio_cold int send_copy(struct tap *t, unsigned pair, const struct vio_frame *frame)
{
	uint8_t copy[VIO_FRAME_MAX_LEN];
	struct vio_iov iov[2] = { { 0 }, { copy, frame->len } };

	if (frame->len > sizeof(copy) ||
	    vio_iov_to_buf(frame->iov, frame->iovcnt, 0, copy, frame->len) != frame->len)
		return -E2BIG;
	return write_pieces(t, pair, iov, 2);
}

/* Whether the kernel can't take the frame's pieces as they are. */
static bool odd_pieces(const struct vio_frame *frame)
{
	return frame->iovcnt >= IOV_PIECES || vio_iov_len(frame->iov, frame->iovcnt) != frame->len;
}

/* Lays a small frame behind its header. False when it has fewer bytes than it says. */
static bool lay_out(struct tap_out *out, const struct vio_frame *frame)
{
	vio_net_hdr_encode(out->header, sizeof(out->header), false, &frame->meta);
	if (vio_likely(frame->iovcnt == 1 && frame->iov->len >= frame->len)) {
		memcpy(out->bytes, frame->iov->base, frame->len);
		return true;
	}
	return vio_iov_to_buf(frame->iov, frame->iovcnt, 0, out->bytes, frame->len) == frame->len;
}

/* Sends one frame. 1; 0 when the kernel is busy; -errno when it refuses the frame. */
static int send_one(struct tap *t, unsigned pair, struct vio_frame *frame)
{
	vio_net_hdr_encode(t->pairs[pair].header, VIO_TAP_HDR_LEN, false, &frame->meta);
	if (vio_unlikely(odd_pieces(frame)))
		return send_copy(t, pair, frame);
	return write_pieces(t, pair, frame->iov - 1, frame->iovcnt + 1u);
}

/* What has to be done about a frame that was refused. */
static vio_cold void refused(struct tap *t, unsigned pair, const struct vio_frame *frame, int why)
{
	if (why == -EBADFD && !t->pairs[pair].dead)
		gone(t, pair);
	if (why == -EFAULT)
		touch(frame);
}

static int send_singly(struct tap *t, unsigned pair, struct vio_frame *frames, unsigned n)
{
	unsigned done = 0;
	int ret = 1;

	for (; done < n; done++) {
		ret = send_one(t, pair, &frames[done]);
		if (vio_unlikely(ret <= 0))
			break;
	}
	t->pairs[pair].busy = ret == 0;
	if (ret >= 0 || done > 0)
		return (int)done;
	refused(t, pair, frames, ret);
	return ret;
}

/*
 * Tells of the frames that were sent in a burst, of which @frames are the rest: how many of them
 * were taken, or why the first was not. One that the kernel was busy for, while it decided on a later
 * one, is tried again.
 */
static vio_noinline int tell(struct tap *t, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct tap_pair *p = &t->pairs[pair];
	struct tap_burst *b = p->burst;
	unsigned done = 0;
	int ret = 1;

	for (; done < n && b->told < b->sent; done++, b->told++) {
		ret = b->results[b->told];
		if (ret == -EAGAIN)
			ret = send_one(t, pair, &frames[done]);
		else if (ret >= 0)
			ret = 1;
		if (ret <= 0)
			break;
	}
	p->busy = ret == 0;
	if (ret < 0 && done == 0) {
		refused(t, pair, frames, ret);
		b->told++;
		done = 1;
	} else {
		ret = (int)done;
	}
	if (done < n) {
		b->next_at = frames[done].iov->base;
		b->next_len = frames[done].len;
	}
	return ret;
}

/* Whether @frame is the next to be told of. Those may have been discarded since, by a reset. */
static bool known(struct tap_burst *b, const struct vio_frame *frame)
{
	if (b->next_at == frame->iov->base && b->next_len == frame->len)
		return true;
	b->sent = 0;
	b->told = 0;
	return false;
}

/* Adds frames to the burst, up to one that can't go in it. Returns how many. */
static unsigned queue_frames(struct tap_burst *b, struct vio_frame *frames, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct vio_frame *frame = &frames[i];
		struct tap_out *out = &b->out[i];

		if (vio_likely(frame->len <= SMALL)) {
			if (vio_unlikely(!lay_out(out, frame)))
				break;
			vio_tap_uring_write(&b->uring, out->header,
					    VIO_TAP_HDR_LEN + frame->len);
			continue;
		}
		if (vio_unlikely(odd_pieces(frame)))
			break;
		vio_net_hdr_encode(out->header, sizeof(out->header), false, &frame->meta);
		frame->iov[-1] = (struct vio_iov){ out->header, sizeof(out->header) };
		vio_tap_uring_writev(&b->uring, frame->iov - 1, frame->iovcnt + 1u);
	}
	return i;
}

static int send_burst(struct tap *t, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct tap_burst *b = t->pairs[pair].burst;

	n = queue_frames(b, frames, vio_min(n, SEND_BURST));
	if (vio_unlikely(n == 0))
		return send_singly(t, pair, frames, 1);
	if (vio_likely(vio_tap_uring_run(&b->uring, b->results))) {
		t->pairs[pair].busy = false;
		return (int)n;
	}
	/* What the kernel took nothing of behind the last that it decided on is as if not offered. */
	for (b->sent = n; b->sent > 1 && b->results[b->sent - 1] == -EAGAIN;)
		b->sent--;
	b->told = 0;
	return tell(t, pair, frames, b->sent);
}

static int tap_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct tap *t = vio_container_of(be, struct tap, be);
	struct tap_pair *p = &t->pairs[pair];
	struct tap_burst *b = p->burst;

	if (b != NULL && vio_unlikely(b->told < b->sent) && known(b, frames))
		return tell(t, pair, frames, n);
	if (p->dead)
		return -ENETDOWN;
	if (b == NULL || n < WORTH_BURST)
		return send_singly(t, pair, frames, n);
	return send_burst(t, pair, frames, n);
}

/* ------------------------------------------------------------------------------------------
 * To the guest
 */

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
		gone(t, pair);
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
	struct tap_in *in = &b->in[b->slots[b->first]];
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
		const struct tap_in *in = &b->in[b->slots[b->first + i]];
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
				p->sink,
				len < VIO_ETH_MIN_LEN ? VIO_DROP_SHORT : VIO_DROP_TOO_BIG, 1);
			(*done)++;
			continue;
		}
		small &= (uint32_t)len <= SMALL;
		b->slots[b->held] = (uint8_t)i;
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
		vio_tap_uring_read(&b->uring, b->in[i].header,
				   VIO_TAP_HDR_LEN + sizeof(b->in[i].bytes));
	vio_tap_uring_run(&b->uring, b->results);
	b->first = 0;
	got = sort_burst(p, n, &over, done);
	if (over == -EBADFD)
		gone(t, pair);
	if (got < n)
		b->grown = 1;
	return deliver_held(t, p, budget, done) && got == n;
}

static int tap_receive(struct vio_backend *be, unsigned pair, unsigned budget)
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

static int tap_fd(struct vio_backend *be, unsigned pair)
{
	return vio_container_of(be, struct tap, be)->pairs[pair].epoll;
}

/* ------------------------------------------------------------------------------------------
 * Life
 */
static int tap_set_rx_offloads(struct vio_backend *be, uint32_t offloads)
{
	struct tap *t = vio_container_of(be, struct tap, be);

	vio_store(&t->accepts, offloads);
	return vio_tap_dev_offload(&t->dev, offloads);
}

static int tap_set_pairs(struct vio_backend *be, unsigned pairs)
{
	struct tap *t = vio_container_of(be, struct tap, be);

	if (pairs < 1 || pairs > t->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < t->num_pairs && t->dev.multi_queue; i++) {
		struct tap_pair *p = &t->pairs[i];
		bool on = i < pairs;
		int ret;

		if (p->attached == on)
			continue;
		ret = vio_tap_dev_attach(&t->dev, i, on);
		if (ret < 0)
			return ret;
		p->attached = on;
	}
	return 0;
}

static int tap_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct tap *t = vio_container_of(be, struct tap, be);

	if (pairs > t->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < pairs; i++)
		t->pairs[i].sink = sinks[i];
	return 0;
}

static void tap_stop(struct vio_backend *be)
{
	struct tap *t = vio_container_of(be, struct tap, be);

	for (unsigned i = 0; i < t->num_pairs; i++)
		t->pairs[i].sink = NULL;
}

static void close_burst(struct tap *t, struct tap_pair *p)
{
	if (p->burst == NULL)
		return;
	vio_tap_uring_close(&p->burst->uring);
	t->host->free(t->host->ctx, p->burst, sizeof(*p->burst));
	p->burst = NULL;
}

/* Where the kernel has no ring, or memory is short, frames go one by one. */
static void open_burst(struct tap *t, unsigned pair)
{
	struct tap_pair *p = &t->pairs[pair];
	int ret;

	p->burst = t->host->alloc(t->host->ctx, sizeof(*p->burst), VIO_CACHE_LINE);
	if (p->burst == NULL)
		return;
	p->burst->grown = 1;
	ret = vio_tap_uring_open(&p->burst->uring, t->fds[pair]);
	if (ret < 0) {
		vio_log(t->host, VIO_LOG_DEBUG, KIND " %s: frame by frame, without io_uring: %s",
			t->dev.name, strerror(-ret));
		close_burst(t, p);
	}
}

static size_t tap_size(unsigned pairs)
{
	return sizeof(struct tap) + pairs * sizeof(struct tap_pair);
}

static void tap_close(struct vio_backend *be)
{
	struct tap *t = vio_container_of(be, struct tap, be);

	for (unsigned i = 0; i < t->num_pairs; i++) {
		close_burst(t, &t->pairs[i]);
		if (t->pairs[i].epoll >= 0)
			close(t->pairs[i].epoll);
	}
	vio_tap_dev_close(&t->dev);
	t->host->free(t->host->ctx, t, tap_size(t->num_pairs));
}

static void tap_describe(struct vio_backend *be, char *buf, size_t len)
{
	vio_snprintf(buf, len, KIND " %s", vio_container_of(be, struct tap, be)->dev.name);
}

static int watch_queues(struct tap *t, struct vio_error *err)
{
	for (unsigned i = 0; i < t->num_pairs; i++) {
		int ret = 0;

		t->pairs[i].epoll = epoll_create1(EPOLL_CLOEXEC);
		if (t->pairs[i].epoll < 0)
			ret = -errno;
		else
			ret = watch(t, i, EPOLL_CTL_ADD, EPOLLIN);
		if (ret < 0) {
			vio_error_set(err, KIND ": can't wait for %s: %s", t->dev.name,
				      strerror(-ret));
			return ret;
		}
	}
	return 0;
}

static void set_caps(struct tap *t)
{
	uint32_t offloads = VIO_OFFLOAD_ALL;

	if (!t->dev.uso)
		offloads &= ~(uint32_t)(VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6);
	t->be.caps = (struct vio_backend_caps){
		.tx_offloads = offloads,
		.rx_offloads = offloads,
		.max_pairs = (uint16_t)t->num_pairs,
		.send_burst = 64,
	};
}

static int tap_open(const struct vio_backend_config *config, struct vio_backend **be,
		    struct vio_error *err)
{
	struct vio_tap_options o = { 0 };
	struct tap *t;
	int ret;

	ret = vio_opts_parse(KIND, config, tap_options, vio_array_size(tap_options), &o, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, VIO_TAP_MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	t = vio_backend_alloc(KIND, config, tap_size(config->pairs), err);
	if (t == NULL)
		return -ENOMEM;
	t->be.ops = &vio_backend_tap;
	t->host = config->host;
	t->num_pairs = config->pairs;
	t->dev.fds = t->fds;
	for (unsigned i = 0; i < t->num_pairs; i++) {
		t->pairs[i].epoll = -1;
		t->pairs[i].attached = true;
		t->pairs[i].hint = ROOM_SMALL;
	}
	ret = vio_tap_dev_open(&t->dev, &o, t->num_pairs, config->mtu, err);
	if (ret < 0)
		goto close;
	ret = watch_queues(t, err);
	if (ret < 0) {
		if (o.fd != NULL)
			t->dev.num_fds = 0; /* they stay the caller's */
		goto close;
	}
	for (unsigned i = 0; i < t->num_pairs; i++)
		open_burst(t, i);
	set_caps(t);
	*be = &t->be;
	return 0;
close:
	tap_close(&t->be);
	return ret;
}

const struct vio_backend_ops vio_backend_tap = {
	.kind = KIND,
	.summary = "a tap interface of the kernel, with offloads",
	.options = "name=NAME (vio%d; created unless it exists), fd=N[:N...] (one for each pair), "
		   "up=on|off (on when created), mtu=BYTES",
	.open = tap_open,
	.close = tap_close,
	.start = tap_start,
	.stop = tap_stop,
	.send = tap_send,
	.receive = tap_receive,
	.fd = tap_fd,
	.arm = tap_arm,
	.set_rx_offloads = tap_set_rx_offloads,
	.set_pairs = tap_set_pairs,
	.describe = tap_describe,
};
