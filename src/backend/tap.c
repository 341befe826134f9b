/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap: frames to and from the kernel through a tap interface, one descriptor for each queue pair.
 *
 * The kernel puts the same net header before each frame as virtio does, so offloads pass through
 * both ways: nothing is cut or summed here. How frames go out is told in tap_send.c, how they come
 * in in tap_receive.c.
 *
 * The descriptor to sleep on is an epoll set of our own around the queue's descriptor: the kernel
 * reports an error for ever on a queue whose interface was deleted, and taking it out of the set
 * keeps the worker asleep. Queues that the guest does not use are detached; the kernel empties them
 * and steers nothing to them.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/fmt.h"
#include "tap_pair.h"

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
	if (p->burst != NULL)
		vio_tap_uring_rest(&p->burst->uring);
	return false;
}

/* The interface was deleted: nothing can come or go any more. */
vio_cold void vio_tap_gone(struct tap *t, unsigned pair)
{
	t->pairs[pair].dead = true;
	watch(t, pair, EPOLL_CTL_DEL, 0);
	vio_log(t->host, VIO_LOG_WARN, KIND " %s: the interface is gone, queue pair %u stops",
		t->dev.name, pair);
}

/* Those of them that went out in a burst are not to be told of any more. */
static void tap_discard(struct vio_backend *be, unsigned pair)
{
	struct tap_burst *b = vio_container_of(be, struct tap, be)->pairs[pair].burst;

	if (b != NULL)
		b->told = b->sent = 0;
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

	for (unsigned i = 0; i < t->num_pairs; i++) {
		struct tap_burst *b = t->pairs[i].burst;

		t->pairs[i].sink = NULL;
		if (b != NULL)
			b->told = b->sent = 0; /* who kept frames has let go of them */
	}
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
	ret = vio_tap_uring_open(&p->burst->uring, t->fds[pair], &p->burst->slots,
				 sizeof(p->burst->slots));
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
	.send = vio_tap_send,
	.receive = vio_tap_receive,
	.fd = tap_fd,
	.arm = tap_arm,
	.discard = tap_discard,
	.set_rx_offloads = tap_set_rx_offloads,
	.set_pairs = tap_set_pairs,
	.describe = tap_describe,
};
