/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap, from the guest: one writev() from guest memory for each frame, with the header in the spare
 * entry before the frame's pieces.
 *
 * For small frames the system call costs more than the copy that a second piece saves: they are laid
 * behind their header in memory of our own, and go in one piece. And bursts go to the kernel in one
 * call, through a ring (tap_uring.c) where there is one, several frames at a time. The kernel may
 * then refuse one frame and take the next. What became of each is kept until the caller, who hears
 * of one refusal at a time, has been told all of it: he comes back with the same frames.
 *
 * An interface that is down refuses frames with EIO, and a frame may be refused for want of memory
 * or for its content: such frames are dropped by the caller and counted; the next may go.
 *
 * The kernel reaches guest memory for us, and where that is lost (its file was cut short) a frame is
 * refused with EFAULT and no signal is raised. Then we touch the memory ourselves, so that whoever
 * guards it learns. (Receiving, the kernel does not tell; the net header, which the device writes
 * itself, shows it there.) A small frame is touched anyway.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/iov.h"
#include "net/hdr.h"
#include "tap_pair.h"

#define PAGE_MIN 4096 /* no page of memory is smaller */

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
	if (vio_likely(!vio_net_meta_asks(&frame->meta)))
		memset(out->header, 0, sizeof(out->header)); /* the rest means nothing then */
	else
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
		vio_tap_gone(t, pair);
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
 * one, is tried again, and lost when it still is: nothing is remembered once the caller was told that
 * it is busy, for it may come back with other frames.
 */
static vio_noinline int tell(struct tap *t, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct tap_pair *p = &t->pairs[pair];
	struct tap_burst *b = p->burst;
	unsigned done = 0;
	int ret = 1;

	for (; done < n && b->told < b->sent; done++, b->told++) {
		ret = b->results[b->told];
		if (ret == -EAGAIN) {
			ret = send_one(t, pair, &frames[done]);
			/* The caller would keep it, and those behind it could go twice. */
			if (ret == 0 && b->told + 1 < b->sent)
				ret = -ENOBUFS;
		} else if (ret >= 0)
			ret = 1;
		if (ret <= 0)
			break;
	}
	p->busy = ret == 0;
	if (ret == 0)
		b->told = b->sent = 0;
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
		struct tap_out *out = &b->slots.out[i];

		if (vio_likely(frame->len <= SMALL)) {
			if (vio_unlikely(!lay_out(out, frame)))
				break;
			vio_tap_uring_write(&b->uring, out->header, VIO_TAP_HDR_LEN + frame->len);
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

int vio_tap_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
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
