/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user: a network of the guest's own, from user space alone, by libslirp. No root, no interface: the
 * guest's connections become sockets of this process.
 *
 * libslirp is a TCP/IP stack of one thread: a frame of the guest goes in by slirp_input(), frames for
 * it come out of a callback, at any time that libslirp is called. All queue pairs are served by one
 * worker (VIO_BACKEND_ONE_THREAD).
 *
 * Towards libslirp each frame is copied once into private memory, because libslirp looks at headers
 * more than once and the guest could change them in between. A large TCP/IPv4 frame goes in whole (it
 * is bounded only by IPv4's length field); one of IPv6 would be refused by libslirp for being longer
 * than its MTU, so the device cuts those first. Checksums must be complete: libslirp checks them.
 *
 * Towards the guest a frame is copied straight into the guest's buffer when it is of the pair that is
 * being served and there is room. Otherwise it waits in the pair's queue. While every pair in use has
 * frames waiting (the only one, mostly), libslirp's sockets are left alone, so that data stays in the
 * kernel. What finds a queue full is dropped and counted, as on a wire; TCP repeats it.
 *
 * TCP segments that libslirp emits one after the other, in one call, are merged into a large frame
 * when the guest accepts such (merge.c). Nothing is held back for that: what is collected goes out
 * before the call that serves the pair returns, and before any other frame.
 *
 * Any pair that is served looks after libslirp, since all are on one thread. What that brings for
 * another pair waits in its queue, and that pair is woken by its bell.
 *
 * Asleep, each pair waits on a set of its own, with its bell in it; sockets and timers (user_wait.c)
 * are in that of one pair, the keeper, so that one wakes for them and not all. A pair that can't
 * receive now, because its ring is stopped, disabled or empty, is not woken at all: nobody asks it for
 * frames (receive()) before it sleeps, which shows that it can't be the keeper. Then it hands that to
 * a pair that could receive when it last fell asleep. That one may have lost its ring since; then it
 * is woken once, and hands on in turn. What a pair that can't receive leaves to be done (its frames
 * were given to libslirp) is the keeper's, too, who is rung for it. Only where no pair can receive
 * nobody looks.
 *
 * A frame for the guest goes to the pair that the guest last used for that flow (net/steer.c). Flows
 * keep their order: one changes its pair only while no frame waits for the old one. When the guest
 * uses fewer pairs, what waits for those that it leaves moves behind what waits for the others.
 *
 * An idle port holds little: what one call needs comes from a store that all ports share and goes
 * back at its end (user_work.c), and queues grow with what waits and are freed before sleep.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/endian.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "fifo.h"
#include "merge.h"
#include "net/steer.h"
#include "user.h"

#define KIND		VIO_USER_KIND
#define QUEUE_BYTES	(512u * 1024) /* for frames that wait, all pairs together, but */
#define QUEUE_BYTES_MIN (128u * 1024) /* not less than this for one: a large frame fits */
#define QUEUE_FIRST	8192u	      /* what a queue begins with, and a sleeping pair keeps */
#define LOOK_NS		10000	      /* between looks at idle sockets while polling */
#define SENDS_MAX	64 /* after so many a pair that was not asked for frames can't receive */

/* One queue pair. All is the one worker's. */
struct user_pair {
	struct vio_sink *sink;
	struct vio_fifo waiting;
	unsigned given; /* committed since receive() last told */
	bool starved;	/* the guest had no room at the last try */
	int set;	/* epoll: what the pair sleeps on */
	bool rung;	/* the bell: something is to be done that others have left for it */
	bool asked;	/* for frames, since it was last about to sleep */
	bool able;	/* to receive, when it was last about to sleep */
	unsigned sends; /* since it was last asked for frames */
};

struct user {
	struct vio_backend be;
	const struct vio_host *host;
	Slirp *slirp;
	struct vio_user_wait wait;
	struct in_addr net;
	unsigned net_bits;
	unsigned num_pairs;
	unsigned active;	    /* pairs that the guest uses */
	unsigned keeper;	    /* the pair that wakes for sockets and timers */
	int bell;		    /* always readable, in each pair's set: watched by those rung */
	unsigned working;	    /* the pair being served */
	unsigned budget;	    /* frames that it may still give directly */
	bool touched;		    /* libslirp has something to do that no event tells of */
	bool woken;		    /* look at the sockets whatever the time */
	uint64_t next_look;	    /* ns */
	uint32_t queue_bytes;	    /* that wait for one pair at most */
	uint32_t accepts;	    /* VIO_OFFLOAD_*; written by the control thread */
	struct vio_user_work *work; /* of the call into libslirp that is going on */
	struct vio_steer steer;	    /* where there are several pairs */
	struct user_pair pairs[];
};

/* ------------------------------------------------------------------------------------------
 * Flows
 */

/* The guest sent this on @pair: from now on it gets that flow's frames there, unless some wait where
 * they went until now. They may be overtaken neither here nor in the guest. */
static void learn_flow(struct user *u, unsigned pair, const uint8_t *frame, size_t len)
{
	unsigned flow;

	if (u->num_pairs == 1)
		return;
	flow = vio_steer_flow(&u->steer, frame, len);
	if (u->pairs[vio_steer_pair(&u->steer, flow)].waiting.frames == 0)
		vio_steer_learn(&u->steer, flow, pair);
}

static unsigned pair_of(const struct user *u, const uint8_t *frame, size_t len)
{
	if (u->num_pairs == 1)
		return 0;
	return vio_steer_pair(&u->steer, vio_steer_flow(&u->steer, frame, len));
}

/* ------------------------------------------------------------------------------------------
 * Queues of frames that wait
 */
static void free_queue(struct user *u, struct user_pair *p)
{
	u->host->free(u->host->ctx, p->waiting.memory, p->waiting.size);
	p->waiting = (struct vio_fifo){ 0 };
}

/* Makes @p's queue larger, by enough for @need bytes more, but not beyond @limit. */
static bool grow_queue(struct user *u, struct user_pair *p, uint32_t need, uint32_t limit)
{
	struct vio_fifo larger = { .size = vio_max(p->waiting.size * 2, QUEUE_FIRST) };

	while (larger.size < need)
		larger.size *= 2;
	larger.size = vio_min(larger.size, limit & ~3u);
	if (larger.size <= p->waiting.size || larger.size < need)
		return false;
	larger.memory = u->host->alloc(u->host->ctx, larger.size, VIO_CACHE_LINE);
	if (larger.memory == NULL)
		return false;
	vio_fifo_move(&larger, &p->waiting);
	free_queue(u, p);
	p->waiting = larger;
	return true;
}

static bool let_wait(struct user *u, struct user_pair *p, const struct vio_net_meta *meta,
		     const uint8_t *frame, uint32_t len, uint32_t limit)
{
	while (!vio_fifo_put(&p->waiting, meta, sizeof(*meta), frame, len))
		if (!grow_queue(u, p, len + 2 * (uint32_t)sizeof(*meta), limit))
			return false;
	return true;
}

/* ------------------------------------------------------------------------------------------
 * To the guest
 */

/* Gives one frame now. False when it has to wait. */
static bool give(struct user_pair *p, const struct vio_net_meta *meta, const uint8_t *frame,
		 uint32_t len)
{
	struct vio_iov iov = { (uint8_t *)(uintptr_t)frame, len };
	struct vio_frame whole = { .iov = &iov, .iovcnt = 1, .len = len, .meta = *meta };
	int ret = vio_sink_give(p->sink, &whole);

	if (ret > 0)
		p->given++;
	p->starved = ret == 0;
	return ret != 0;
}

static int watch_bell(const struct user *u, const struct user_pair *p, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	return epoll_ctl(p->set, op, u->bell, &ev) < 0 ? -errno : 0;
}

/* Something is to be done by a pair that is not being served. */
static void ring_bell(const struct user *u, struct user_pair *p)
{
	if (!p->rung)
		p->rung = watch_bell(u, p, EPOLL_CTL_MOD, EPOLLIN) == 0;
}

static void answer_bell(const struct user *u, struct user_pair *p)
{
	if (p->rung && watch_bell(u, p, EPOLL_CTL_MOD, 0) == 0)
		p->rung = false;
}

/* Sees to it that the keeper is a pair that can receive, if there is any. */
static void choose_keeper(struct user *u)
{
	if (u->pairs[u->keeper].able)
		return;
	for (unsigned i = 0; i < u->num_pairs; i++) {
		if (u->pairs[i].able && vio_user_wait_move(&u->wait, u->pairs[i].set) == 0) {
			u->keeper = i;
			return;
		}
	}
}

/* There is work for libslirp, and @pair will not be asked for frames. False: nobody else is there. */
static bool leave_to_keeper(struct user *u, unsigned pair)
{
	struct user_pair *keeper = &u->pairs[u->keeper];

	if (u->keeper == pair || !keeper->able)
		return false;
	ring_bell(u, keeper);
	return true;
}

/* Gives one frame now or lets it wait. */
static void deliver(struct user *u, const struct vio_net_meta *meta, const uint8_t *frame,
		    uint32_t len)
{
	unsigned pair = pair_of(u, frame, len);
	struct user_pair *p = &u->pairs[pair];

	if (p->sink != NULL && pair == u->working && p->waiting.frames == 0 && !p->starved &&
	    p->given < u->budget && give(p, meta, frame, len))
		return;
	if (let_wait(u, p, meta, frame, len, u->queue_bytes)) {
		if (pair != u->working)
			ring_bell(u, p);
	} else if (p->sink != NULL) {
		p->sink->ops->drop(p->sink, VIO_DROP_NO_BUFFER, 1);
	}
}

static void deliver_merged(struct user *u)
{
	struct vio_net_meta meta;
	uint32_t len = vio_merge_finish(&u->work->merge, &meta);

	if (len != 0)
		deliver(u, &meta, u->work->merge.bytes, len);
}

static bool merge(struct user *u, const uint8_t *frame, uint32_t len)
{
	return vio_merge_add(&u->work->merge, vio_load(&u->accepts), frame, len);
}

/* A call into libslirp is over: what it collected goes out. */
static void end_work(struct user *u)
{
	if (u->work == NULL)
		return;
	deliver_merged(u);
	vio_user_work_put(u->work);
	u->work = NULL;
}

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
	static const struct vio_net_meta nothing;
	struct user *u = opaque;

	if (u->work != NULL && merge(u, frame, (uint32_t)len))
		return (ssize_t)len;
	if (u->work != NULL)
		deliver_merged(u);
	if (u->work == NULL || !merge(u, frame, (uint32_t)len))
		deliver(u, &nothing, frame, (uint32_t)len);
	return (ssize_t)len; /* anything less would be logged for each frame */
}

static void give_waiting(struct user *u, struct user_pair *p)
{
	struct vio_net_meta meta;
	uint32_t len;
	uint8_t *waiting;

	while (p->given < u->budget && (waiting = vio_fifo_first(&p->waiting, &len)) != NULL) {
		memcpy(&meta, waiting, sizeof(meta));
		if (meta.gso_type != 0 && vio_load(&u->accepts) == 0)
			p->sink->ops->drop(p->sink, VIO_DROP_BAD_GSO,
					   1); /* merged before a reset */
		else if (!give(p, &meta, waiting + sizeof(meta), len - (uint32_t)sizeof(meta)))
			break;
		vio_fifo_drop(&p->waiting);
	}
}

/* Whether frames wait for every pair in use. */
static bool backlogged(const struct user *u)
{
	for (unsigned i = 0; i < u->active; i++) {
		if (u->pairs[i].waiting.frames == 0)
			return false;
	}
	return true;
}

/* Lets libslirp look at its sockets and timers, if it may be time for that. */
static void serve(struct user *u)
{
	uint64_t now = u->host->now_ns(u->host->ctx);
	bool work;

	if (!u->touched && !u->woken && now < u->next_look)
		return;
	vio_user_wait_fill(&u->wait, u->slirp, backlogged(u));
	work = vio_user_wait_poll(&u->wait) || u->touched;
	u->touched = false;
	u->woken = false;
	if (work) {
		/* Without memory for it frames go out one by one. */
		u->work = vio_user_work_get(u->host);
		vio_user_wait_dispatch(&u->wait, u->slirp);
		end_work(u);
	}
	u->next_look = work ? now : now + LOOK_NS;
}

static int user_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct user *u = vio_container_of(be, struct user, be);
	struct user_pair *p = &u->pairs[pair];
	unsigned given;

	if (p->sink == NULL)
		return 0;
	p->starved = false;
	p->asked = true;
	p->sends = 0;
	u->working = pair;
	u->budget = budget;
	answer_bell(u, p);
	give_waiting(u, p);
	if (p->given < budget)
		serve(u);
	given = p->given;
	p->given = 0;
	return (int)given;
}

/* Whether there is something to be done for libslirp right now; if not, all is set to wake for it. */
static bool slirp_waits(struct user *u)
{
	if (u->touched)
		return true;
	u->woken = true;
	vio_user_wait_fill(&u->wait, u->slirp, backlogged(u));
	return vio_user_wait_arm(&u->wait);
}

static bool user_arm(struct vio_backend *be, unsigned pair)
{
	struct user *u = vio_container_of(be, struct user, be);
	struct user_pair *p = &u->pairs[pair];
	bool work = p->given != 0 || (p->waiting.frames != 0 && !p->starved);

	p->able = p->asked && !p->starved;
	p->asked = false;
	choose_keeper(u);
	if (work && p->able)
		return true;
	if (p->waiting.frames == 0 && p->waiting.size > QUEUE_FIRST)
		free_queue(u, p);
	/* What is said of a pair that can't receive may not be heard. */
	return (slirp_waits(u) && (p->able || !leave_to_keeper(u, pair))) || work;
}

/* ------------------------------------------------------------------------------------------
 * From the guest
 */

/* A pair that sends and sends, and does not sleep in between, can't receive: others have to. */
static void only_sends(struct user *u, unsigned pair)
{
	struct user_pair *p = &u->pairs[pair];

	p->sends = 0;
	p->able = false;
	choose_keeper(u);
	leave_to_keeper(u, pair);
}

/* That it was asked before says nothing any more. */
static void user_deafen(struct vio_backend *be, unsigned pair)
{
	struct user *u = vio_container_of(be, struct user, be);

	u->pairs[pair].asked = false;
	only_sends(u, pair);
}

static int user_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct user *u = vio_container_of(be, struct user, be);
	int done = 0;

	u->work = vio_user_work_get(u->host);
	if (u->work == NULL)
		return -ENOMEM;
	u->working = pair;
	u->budget = UINT_MAX;
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = frames[i].len;
		uint8_t *copy = u->work->copy;

		if (len > sizeof(u->work->copy)) {
			done = done != 0 ? done : -E2BIG;
			break;
		}
		vio_iov_to_buf(frames[i].iov, frames[i].iovcnt, 0, copy, len);
		learn_flow(u, pair, copy, len);
		u->touched = true;
		slirp_input(u->slirp, copy, (int)len);
		done++;
	}
	end_work(u);
	if (++u->pairs[pair].sends > SENDS_MAX)
		only_sends(u, pair);
	return done;
}

/* ------------------------------------------------------------------------------------------
 * What libslirp calls
 */
static void guest_error(const char *msg, void *opaque)
{
	const struct user *u = opaque;

	vio_log(u->host, VIO_LOG_DEBUG, KIND ": %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
	const struct user *u = opaque;

	return (int64_t)u->host->now_ns(u->host->ctx);
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	return vio_user_timer_new(&((struct user *)opaque)->wait, cb, cb_opaque);
}

static void timer_free(void *timer, void *opaque)
{
	(void)opaque;
	vio_user_timer_free(timer);
}

static void timer_mod(void *timer, int64_t ms, void *opaque)
{
	(void)opaque;
	if (timer != NULL)
		((struct vio_user_timer *)timer)->due = (uint64_t)ms * 1000000;
}

static void forget_fd(int fd, void *opaque)
{
	vio_user_wait_forget(&((struct user *)opaque)->wait, fd);
}

static void notify(void *opaque)
{
	((struct user *)opaque)->touched = true;
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = forget_fd,
	.unregister_poll_fd = forget_fd,
	.notify = notify,
};

/* ------------------------------------------------------------------------------------------
 * Life
 */
static int user_fd(struct vio_backend *be, unsigned pair)
{
	struct user *u = vio_container_of(be, struct user, be);

	return u->pairs[pair].set;
}

static int user_set_rx_offloads(struct vio_backend *be, uint32_t offloads)
{
	vio_store(&vio_container_of(be, struct user, be)->accepts, offloads);
	return 0;
}

/* What the queue of @to may grow to when @from's frames move there: all queues together stay as large
 * as they may be without moving. */
static uint32_t move_limit(const struct user *u, const struct user_pair *to,
			   const struct user_pair *from)
{
	uint64_t all = (uint64_t)u->queue_bytes * u->num_pairs, others = 0;

	for (unsigned i = 0; i < u->num_pairs; i++)
		if (&u->pairs[i] != to && &u->pairs[i] != from)
			others += u->pairs[i].waiting.size;
	return (uint32_t)(all > others ? all - others : 0);
}

/* What waits for a pair that the guest does not use any more moves behind what waits for others. */
static void move_waiting(struct user *u, struct user_pair *from)
{
	struct vio_net_meta meta;
	uint32_t len;
	uint8_t *waiting;

	while ((waiting = vio_fifo_first(&from->waiting, &len)) != NULL) {
		const uint8_t *frame = waiting + sizeof(meta);
		struct user_pair *to;

		len -= (uint32_t)sizeof(meta);
		memcpy(&meta, waiting, sizeof(meta));
		to = &u->pairs[pair_of(u, frame, len)];
		if (let_wait(u, to, &meta, frame, len, move_limit(u, to, from)))
			ring_bell(u, to);
		else if (to->sink != NULL)
			to->sink->ops->drop(to->sink, VIO_DROP_NO_BUFFER, 1);
		vio_fifo_drop(&from->waiting);
	}
	free_queue(u, from);
}

/* Comes from the worker, or when there is none. */
static int user_set_pairs(struct vio_backend *be, unsigned pairs)
{
	struct user *u = vio_container_of(be, struct user, be);
	bool waiting = false;

	if (pairs < 1 || pairs > u->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < u->num_pairs; i++)
		waiting |= u->pairs[i].waiting.frames != 0;
	if (u->num_pairs > 1)
		vio_steer_resize(&u->steer, pairs, waiting);
	u->active = pairs;
	for (unsigned i = pairs; i < u->num_pairs; i++)
		move_waiting(u, &u->pairs[i]);
	return 0;
}

static int user_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct user *u = vio_container_of(be, struct user, be);

	if (pairs > u->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < pairs; i++) {
		u->pairs[i].sink = sinks[i];
		u->pairs[i].starved = false;
		u->pairs[i].asked = false;
		u->pairs[i].able = false;
	}
	u->touched = true;
	return 0;
}

static void user_stop(struct vio_backend *be)
{
	struct user *u = vio_container_of(be, struct user, be);

	for (unsigned i = 0; i < u->num_pairs; i++) {
		u->pairs[i].sink = NULL;
		u->pairs[i].given = 0;
	}
}

static size_t user_size(unsigned pairs)
{
	return sizeof(struct user) + pairs * sizeof(struct user_pair);
}

static void user_close(struct vio_backend *be)
{
	struct user *u = vio_container_of(be, struct user, be);
	const struct vio_host *host = u->host;

	if (u->slirp != NULL)
		slirp_cleanup(u->slirp);
	for (unsigned i = 0; i < u->num_pairs; i++) {
		if (u->pairs[i].set >= 0)
			close(u->pairs[i].set);
		free_queue(u, &u->pairs[i]);
	}
	if (u->bell >= 0)
		close(u->bell);
	vio_user_wait_close(&u->wait);
	vio_user_work_close();
	host->free(host->ctx, u, user_size(u->num_pairs));
}

static void user_describe(struct vio_backend *be, char *buf, size_t len)
{
	const struct user *u = vio_container_of(be, struct user, be);
	uint32_t net = vio_get_be32(&u->net);

	vio_snprintf(buf, len, KIND " %u.%u.%u.%u/%u", net >> 24, net >> 16 & 255, net >> 8 & 255,
		     net & 255, u->net_bits);
}

/* What each pair sleeps on; where there are others that could leave it something, with its bell. */
static int make_sets(struct user *u, struct vio_error *err)
{
	int ret = 0;

	if (u->num_pairs > 1) {
		u->bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		if (u->bell < 0)
			ret = -errno;
	}
	for (unsigned i = 0; i < u->num_pairs && ret == 0; i++) {
		u->pairs[i].set = epoll_create1(EPOLL_CLOEXEC);
		if (u->pairs[i].set < 0)
			ret = -errno;
		else if (u->num_pairs > 1)
			ret = watch_bell(u, &u->pairs[i], EPOLL_CTL_ADD, 0);
	}
	if (ret == 0)
		ret = vio_user_wait_move(&u->wait, u->pairs[0].set);
	if (ret < 0)
		vio_error_set(err, KIND ": can't make what to wait on: %s", strerror(-ret));
	return ret;
}

static int start_slirp(struct user *u, const struct vio_backend_config *config,
		       const struct vio_user_options *o, struct vio_error *err)
{
	u->net = o->slirp.vnetwork;
	u->net_bits = (unsigned)__builtin_popcount(o->slirp.vnetmask.s_addr);
	u->slirp = slirp_new(&o->slirp, &callbacks, u);
	if (u->slirp == NULL) {
		vio_error_set(err, KIND ": libslirp %s refuses the configuration",
			      slirp_version_string());
		return -EINVAL;
	}
	return vio_user_forward(u->slirp, config, o, err);
}

static int user_open(const struct vio_backend_config *config, struct vio_backend **be,
		     struct vio_error *err)
{
	struct vio_user_options o;
	struct user *u;
	int ret;

	ret = vio_user_options_parse(config, &o, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, VIO_USER_MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	u = vio_backend_alloc(KIND, config, user_size(config->pairs), err);
	if (u == NULL)
		return -ENOMEM;
	u->host = config->host;
	u->be.ops = &vio_backend_user;
	u->be.caps = (struct vio_backend_caps){
		.tx_offloads = VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_ECN,
		.rx_offloads = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6,
		.flags = VIO_BACKEND_ONE_THREAD,
		.max_pairs = config->pairs,
		.max_mtu = (uint16_t)o.slirp.if_mtu,
		.send_burst = VIO_SINK_BURST,
	};
	u->num_pairs = config->pairs;
	u->active = config->pairs;
	u->queue_bytes = vio_max(QUEUE_BYTES / config->pairs, QUEUE_BYTES_MIN) & ~3u;
	if (u->num_pairs > 1)
		vio_steer_init(&u->steer, u->num_pairs);
	for (unsigned i = 0; i < u->num_pairs; i++)
		u->pairs[i].set = -1;
	u->bell = -1;
	ret = vio_user_wait_open(&u->wait, config, err);
	if (ret < 0)
		goto free;
	vio_user_work_open();
	ret = make_sets(u, err);
	if (ret == 0)
		ret = start_slirp(u, config, &o, err);
	if (ret < 0) {
		user_close(&u->be);
		return ret;
	}
	*be = &u->be;
	return 0;
free:
	u->host->free(u->host->ctx, u, user_size(u->num_pairs));
	return ret;
}

const struct vio_backend_ops vio_backend_user = {
	.kind = KIND,
	.summary = "a network in user space (libslirp): no root needed",
	.options = "net=ADDRESS/LEN (10.0.2.0/24), host=, dns=, dhcpstart=ADDRESS (.2, .3, .15), "
		   "hostname=NAME, hostfwd=tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT (repeatable), "
		   "ipv6=on|off (on), restrict=on|off (off), mtu=BYTES (1500)",
	.open = user_open,
	.close = user_close,
	.start = user_start,
	.stop = user_stop,
	.send = user_send,
	.receive = user_receive,
	.fd = user_fd,
	.arm = user_arm,
	.deafen = user_deafen,
	.set_rx_offloads = user_set_rx_offloads,
	.set_pairs = user_set_pairs,
	.describe = user_describe,
};
