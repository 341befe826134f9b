/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/iov.h"
#include "check.h"

static struct fake_backend *fake(struct vio_backend *be)
{
	return vio_container_of(be, struct fake_backend, be);
}

static void append(struct fake_list *list, struct fake_frame *f)
{
	f->next = NULL;
	*list->end = f;
	list->end = &f->next;
	list->count++;
}

static struct fake_frame *take_first(struct fake_list *list)
{
	struct fake_frame *f = list->first;

	if (!f)
		return NULL;
	list->first = f->next;
	if (!list->first)
		list->end = &list->first;
	list->count--;
	return f;
}

static struct fake_frame *make_frame(uint32_t len)
{
	struct fake_frame *f = calloc(1, sizeof(*f) + len);

	check(f != NULL);
	f->len = len;
	return f;
}

static void ring(int fd)
{
	uint64_t one = 1;

	check(write(fd, &one, sizeof(one)) == sizeof(one));
}

/* What every frame promises (frame.h), whatever a guest has said of it. */
static void check_promises(const struct vio_frame *frame)
{
	const struct vio_net_meta *m = &frame->meta;

	check(frame->len >= VIO_ETH_MIN_LEN && frame->len <= VIO_FRAME_MAX_LEN);
	check(frame->iovcnt > 0);
	check(m->num_buffers == 0 && m->hdr_len <= frame->len);
	check((m->flags & ~VIO_NET_HDR_F_NEEDS_CSUM) == 0);
	if (m->flags)
		check(m->csum_start + m->csum_offset + 2u <= frame->len);
	else
		check(m->csum_start == 0 && m->csum_offset == 0);
	check((m->gso_type != 0) == (m->gso_size != 0));
}

/* The frame as the guest has it in memory; its pieces must hold its length. */
static struct fake_frame *copy_of(const struct vio_frame *frame)
{
	struct fake_frame *f = make_frame(frame->len);

	check(vio_iov_to_buf(frame->iov, frame->iovcnt, 0, f->bytes, frame->len) == frame->len);
	f->meta = frame->meta;
	return f;
}

/* Gives frames to the guest from the front of the pair's list. Returns how many are done with. */
static unsigned deliver(struct fake_backend *fb, unsigned pair)
{
	struct vio_sink *sink = fb->sinks[pair];
	struct vio_frame room[64];
	struct fake_frame *f;
	unsigned n = 0, whole = 0;
	int got;

	for (f = fb->give[pair].first; f && n < vio_min(fb->burst, 64u); f = f->next)
		room[n++].len = f->len;
	if (n == 0)
		return 0;
	got = sink->ops->reserve(sink, room, n);
	check(got <= (int)n);
	f = fb->give[pair].first;
	for (; (int)whole < got && room[whole].len >= f->len; whole++, f = f->next) {
		struct vio_frame *r = &room[whole];

		r->iov[-1] = (struct vio_iov){ NULL, 0 }; /* the spare entry is the holder's */
		check(vio_iov_from_buf(r->iov, r->iovcnt, 0, f->bytes, f->len) == f->len);
		r->len = f->len;
		r->meta = f->meta;
	}
	sink->ops->commit(sink, room, whole);
	fb->received += whole;
	if (got > 0 && (int)whole < got && !sink->wait) {
		sink->ops->drop(sink, VIO_DROP_TOO_BIG, 1);
		fb->too_big++;
		whole++;
	}
	for (n = 0; n < whole; n++)
		free(take_first(&fb->give[pair]));
	return whole;
}

/* With @loop, room in the guest's buffers is what there is to take. */
static bool take_one(struct fake_backend *fb, unsigned pair, const struct vio_frame *frame)
{
	struct fake_frame *f = copy_of(frame);

	check_promises(frame);
	f->pair = pair;
	frame->iov[-1] = (struct vio_iov){ NULL, 0 };
	if (fb->loop) {
		append(&fb->give[pair], f);
		if (deliver(fb, pair) == 0) {
			free(take_first(&fb->give[pair]));
			return false;
		}
	} else if (fb->only_count) {
		free(f);
	} else {
		append(&fb->sent, f);
	}
	fb->counted++;
	return true;
}

/* Lets go of the lock; calls what is to be called when there was nothing @done. */
static void unlock(struct fake_backend *fb, bool done)
{
	void (*before_sleep)(void *ctx) = done ? NULL : fb->before_sleep;

	if (before_sleep)
		fb->before_sleep = NULL;
	pthread_mutex_unlock(&fb->lock);
	if (before_sleep)
		before_sleep(fb->ctx);
}

static int fake_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct fake_backend *fb = fake(be);
	unsigned want = fb->at_once ? vio_min(n, fb->at_once) : n, done = 0;
	int ret;

	pthread_mutex_lock(&fb->lock);
	fb->serves++;
	fb->busy[pair] = false;
	if (fb->fail < 0) {
		ret = fb->fail;
		fb->fail = 0;
		goto unlock;
	}
	while (done < want && fb->take != 0 && take_one(fb, pair, &frames[done])) {
		done++;
		if (fb->take > 0)
			fb->take--;
	}
	fb->busy[pair] = done < want;
	ret = (int)done;
unlock:
	unlock(fb, ret != 0);
	return ret;
}

static int fake_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct fake_backend *fb = fake(be);
	unsigned done = 0, n;
	uint64_t value;

	pthread_mutex_lock(&fb->lock);
	fb->serves++;
	while (!fb->loop && done < budget && (n = deliver(fb, pair)) > 0)
		done += n;
	if (!fb->give[pair].first && !fb->busy[pair] &&
	    read(fb->fds[pair], &value, sizeof(value)) < 0)
		check(errno == EAGAIN);
	if (fb->gone && done == 0) {
		unlock(fb, false);
		return -ENETDOWN;
	}
	unlock(fb, done > 0);
	return (int)done;
}

static int fake_fd(struct vio_backend *be, unsigned pair)
{
	return fake(be)->fds[pair];
}

static int fake_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct fake_backend *fb = fake(be);

	check(pairs <= FAKE_PAIRS);
	memcpy(fb->sinks, sinks, sizeof(sinks[0]) * pairs);
	fb->starts++;
	return 0;
}

static void fake_stop(struct vio_backend *be)
{
	fake(be)->stops++;
}

static void fake_discard(struct vio_backend *be, unsigned pair)
{
	(void)pair;
	__atomic_add_fetch(&fake(be)->discards, 1, __ATOMIC_RELAXED);
}

static int fake_flush(struct vio_backend *be)
{
	fake(be)->flushes++;
	return 0;
}

static void fake_close(struct vio_backend *be)
{
	fake(be)->closes++;
}

static int fake_set_rx_offloads(struct vio_backend *be, uint32_t offloads)
{
	fake(be)->rx_offloads = offloads;
	fake(be)->told_rx_offloads = true;
	return 0;
}

static const struct vio_backend_ops fake_ops = {
	.kind = "fake",
	.close = fake_close,
	.start = fake_start,
	.stop = fake_stop,
	.send = fake_send,
	.receive = fake_receive,
	.fd = fake_fd,
	.set_rx_offloads = fake_set_rx_offloads,
	.flush = fake_flush,
	.discard = fake_discard,
};

struct fake_backend *fake_backend_create(uint32_t tx_offloads, uint32_t rx_offloads)
{
	struct fake_backend *fb = calloc(1, sizeof(*fb));
	unsigned i;

	check(fb != NULL);
	pthread_mutex_init(&fb->lock, NULL);
	fb->be.ops = &fake_ops;
	fb->be.caps = (struct vio_backend_caps){
		.tx_offloads = tx_offloads,
		.rx_offloads = rx_offloads,
		.max_pairs = FAKE_PAIRS,
		.send_burst = 64,
	};
	fb->take = -1;
	fb->burst = 32;
	fb->sent.end = &fb->sent.first;
	for (i = 0; i < FAKE_PAIRS; i++) {
		fb->give[i].end = &fb->give[i].first;
		fb->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		check(fb->fds[i] >= 0);
	}
	return fb;
}

void fake_backend_destroy(struct fake_backend *fb)
{
	struct fake_frame *f;
	unsigned i;

	while ((f = take_first(&fb->sent)))
		free(f);
	for (i = 0; i < FAKE_PAIRS; i++) {
		while ((f = take_first(&fb->give[i])))
			free(f);
		close(fb->fds[i]);
	}
	pthread_mutex_destroy(&fb->lock);
	free(fb);
}

void fake_backend_go(struct fake_backend *fb)
{
	pthread_mutex_lock(&fb->lock);
	fb->gone = true;
	for (unsigned i = 0; i < FAKE_PAIRS; i++)
		ring(fb->fds[i]);
	pthread_mutex_unlock(&fb->lock);
}

void fake_backend_take(struct fake_backend *fb, long n)
{
	unsigned i;

	pthread_mutex_lock(&fb->lock);
	fb->take = n;
	for (i = 0; i < FAKE_PAIRS; i++)
		if (fb->busy[i])
			ring(fb->fds[i]);
	pthread_mutex_unlock(&fb->lock);
}

void fake_backend_loop(struct fake_backend *fb)
{
	pthread_mutex_lock(&fb->lock);
	fb->loop = true;
	pthread_mutex_unlock(&fb->lock);
}

void fake_backend_before_sleep(struct fake_backend *fb, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&fb->lock);
	fb->before_sleep = fn;
	fb->ctx = ctx;
	pthread_mutex_unlock(&fb->lock);
}

void fake_backend_give(struct fake_backend *fb, unsigned pair, const void *bytes, uint32_t len,
		       const struct vio_net_meta *meta)
{
	struct fake_frame *f = make_frame(len);

	memcpy(f->bytes, bytes, len);
	if (meta)
		f->meta = *meta;
	pthread_mutex_lock(&fb->lock);
	append(&fb->give[pair], f);
	ring(fb->fds[pair]);
	pthread_mutex_unlock(&fb->lock);
}

unsigned fake_backend_sent(struct fake_backend *fb)
{
	unsigned n;

	pthread_mutex_lock(&fb->lock);
	n = fb->sent.count;
	pthread_mutex_unlock(&fb->lock);
	return n;
}

struct fake_frame *fake_backend_next(struct fake_backend *fb)
{
	struct fake_frame *f;

	pthread_mutex_lock(&fb->lock);
	f = take_first(&fb->sent);
	pthread_mutex_unlock(&fb->lock);
	return f;
}

uint64_t fake_backend_serves(struct fake_backend *fb)
{
	uint64_t n;

	pthread_mutex_lock(&fb->lock);
	n = fb->serves;
	pthread_mutex_unlock(&fb->lock);
	return n;
}

unsigned fake_backend_left(struct fake_backend *fb, unsigned pair)
{
	unsigned n;

	pthread_mutex_lock(&fb->lock);
	n = fb->give[pair].count;
	pthread_mutex_unlock(&fb->lock);
	return n;
}
