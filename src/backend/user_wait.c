/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for libslirp.
 *
 * libslirp wants poll(): before a sleep it names all its sockets, after it it asks what happened to
 * each. Here the sockets live in an epoll set, and naming them only changes what differs from the
 * last time: a socket's events, new sockets, sockets not named any more. A descriptor that libslirp
 * closes leaves the kernel's set by itself; the callback that announces it keeps our picture true,
 * because the number may come back as another socket.
 *
 * The sockets' set sits inside another one, beside a timer: that of the pair that looks after them,
 * and it moves when that is another one. While frames wait for the guest, the whole set is taken out,
 * so that readable sockets neither wake the worker nor are read: their data stays in the kernel, and
 * TCP slows the far side down.
 *
 * The timer is set only when something waits for a time: libslirp's own (500 ms while connections
 * are open, 2 ms for delayed acknowledgements) and those that it makes itself. libslirp says 1000 ms
 * when it waits for nothing, which is taken as never. A deadline that has been reported once is kept
 * until it has passed: asking again must not push it out.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fmt.h"
#include "user.h"

#define MS	      UINT64_C(1000000)
#define IDLE_MS	      1000 /* what libslirp answers when nothing is to be waited for */
#define READY_AT_ONCE 8	   /* sockets served in one go: bounds the frames that come of it */
#define MAX_SOCKETS   65536
#define PAGE	      64 /* sockets that memory is taken for at a time */

static uint32_t epoll_events(int slirp)
{
	uint32_t events = 0;

	if (slirp & SLIRP_POLL_IN)
		events |= EPOLLIN;
	if (slirp & SLIRP_POLL_OUT)
		events |= EPOLLOUT;
	if (slirp & SLIRP_POLL_PRI)
		events |= EPOLLPRI;
	if (slirp & SLIRP_POLL_ERR)
		events |= EPOLLERR;
	if (slirp & SLIRP_POLL_HUP)
		events |= EPOLLHUP;
	return events;
}

static int slirp_events(uint32_t epoll)
{
	int events = 0;

	if (epoll & EPOLLIN)
		events |= SLIRP_POLL_IN;
	if (epoll & EPOLLOUT)
		events |= SLIRP_POLL_OUT;
	if (epoll & EPOLLPRI)
		events |= SLIRP_POLL_PRI;
	if (epoll & EPOLLERR)
		events |= SLIRP_POLL_ERR;
	if (epoll & EPOLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

static bool known(const struct vio_user_wait *w, int fd)
{
	return fd >= 0 && (unsigned)fd < w->num_sockets && w->pages[fd / PAGE] != NULL;
}

static struct vio_user_socket *socket_of(const struct vio_user_wait *w, int fd)
{
	return &w->pages[fd / PAGE][fd % PAGE];
}

/* Makes @fd known. False: it can't be served, for its number or for want of memory. */
static bool make_known(struct vio_user_wait *w, int fd)
{
	if (fd < 0 || (unsigned)fd >= w->num_sockets)
		return false;
	if (w->pages[fd / PAGE] == NULL)
		w->pages[fd / PAGE] = w->host->alloc(
			w->host->ctx, PAGE * sizeof(struct vio_user_socket), VIO_CACHE_LINE);
	return w->pages[fd / PAGE] != NULL;
}

/* ------------------------------------------------------------------------------------------
 * The set: a list through the sockets
 */
static void enlist(struct vio_user_wait *w, int fd)
{
	struct vio_user_socket *s = socket_of(w, fd);

	s->ready = 0;
	s->previous = -1;
	s->next = w->first;
	if (w->first >= 0)
		socket_of(w, w->first)->previous = fd;
	w->first = fd;
}

static void unlist(struct vio_user_wait *w, int fd)
{
	struct vio_user_socket *s = socket_of(w, fd);

	if (s->next >= 0)
		socket_of(w, s->next)->previous = s->previous;
	if (s->previous >= 0)
		socket_of(w, s->previous)->next = s->next;
	else
		w->first = s->next;
	s->events = 0;
	s->ready = 0;
}

void vio_user_wait_forget(struct vio_user_wait *w, int fd)
{
	if (!known(w, fd) || socket_of(w, fd)->events == 0)
		return;
	epoll_ctl(w->sockets, EPOLL_CTL_DEL, fd, NULL);
	unlist(w, fd);
}

/* Called by libslirp for each socket it wants to wait for; the answer is its handle. */
static int add_poll(int fd, int events, void *opaque)
{
	struct vio_user_wait *w = opaque;
	struct vio_user_socket *s;
	struct epoll_event ev = { .events = epoll_events(events), .data.fd = fd };

	if (w->held || ev.events == 0 || !make_known(w, fd))
		return -1;
	s = socket_of(w, fd);
	s->round = w->round;
	if (s->events == ev.events)
		return fd;
	if (s->events != 0) {
		epoll_ctl(w->sockets, EPOLL_CTL_MOD, fd, &ev);
	} else if (epoll_ctl(w->sockets, EPOLL_CTL_ADD, fd, &ev) == 0) {
		enlist(w, fd);
	} else {
		return -1;
	}
	s->events = ev.events;
	return fd;
}

static int get_ready(int handle, void *opaque)
{
	struct vio_user_wait *w = opaque;

	return known(w, handle) ? slirp_events(socket_of(w, handle)->ready) : 0;
}

static int change(int epoll, int op, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, op, fd, &ev) < 0 ? -errno : 0;
}

static void hold(struct vio_user_wait *w, bool held)
{
	if (w->held == held)
		return;
	w->held = held;
	change(w->home, held ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, w->sockets);
}

int vio_user_wait_move(struct vio_user_wait *w, int epoll)
{
	int ret = change(epoll, EPOLL_CTL_ADD, w->timer);

	if (ret == 0 && !w->held) {
		ret = change(epoll, EPOLL_CTL_ADD, w->sockets);
		if (ret < 0)
			change(epoll, EPOLL_CTL_DEL, w->timer);
	}
	if (ret < 0)
		return ret;
	if (w->home >= 0) {
		change(w->home, EPOLL_CTL_DEL, w->timer);
		if (!w->held)
			change(w->home, EPOLL_CTL_DEL, w->sockets);
	}
	w->home = epoll;
	return 0;
}

void vio_user_wait_fill(struct vio_user_wait *w, Slirp *slirp, bool held)
{
	uint32_t timeout = UINT32_MAX;

	hold(w, held);
	w->round++;
	slirp_pollfds_fill(slirp, &timeout, add_poll, w);
	for (int fd = w->first, next; fd >= 0 && !held; fd = next) {
		next = socket_of(w, fd)->next;
		if (socket_of(w, fd)->round != w->round)
			vio_user_wait_forget(w, fd);
	}
	if (timeout < IDLE_MS) {
		uint64_t due = w->host->now_ns(w->host->ctx) + timeout * MS;

		w->due = vio_min(w->due, due);
	}
}

/* ------------------------------------------------------------------------------------------
 * Events and times
 */
static uint64_t next_due(const struct vio_user_wait *w)
{
	uint64_t due = w->due;

	for (unsigned i = 0; i < VIO_USER_TIMERS; i++) {
		if (w->timers[i].cb != NULL)
			due = vio_min(due, w->timers[i].due);
	}
	return due;
}

bool vio_user_wait_poll(struct vio_user_wait *w)
{
	struct epoll_event ready[READY_AT_ONCE];
	int n = 0;

	if (!w->held && w->first >= 0)
		n = epoll_wait(w->sockets, ready, READY_AT_ONCE, 0);
	for (int i = 0; i < n; i++)
		socket_of(w, ready[i].data.fd)->ready = ready[i].events;
	return n > 0 || next_due(w) <= w->host->now_ns(w->host->ctx);
}

static void run_timers(struct vio_user_wait *w, uint64_t now)
{
	for (unsigned i = 0; i < VIO_USER_TIMERS; i++) {
		struct vio_user_timer *t = &w->timers[i];

		if (t->cb == NULL || t->due > now)
			continue;
		t->due = UINT64_MAX;
		t->cb(t->opaque);
	}
}

void vio_user_wait_dispatch(struct vio_user_wait *w, Slirp *slirp)
{
	uint64_t now = w->host->now_ns(w->host->ctx);

	if (w->due <= now)
		w->due = UINT64_MAX;
	/* Held sockets are skipped, as after a poll() that failed; timers and queues still run. */
	slirp_pollfds_poll(slirp, w->held, get_ready, w);
	for (int fd = w->first; fd >= 0; fd = socket_of(w, fd)->next)
		socket_of(w, fd)->ready = 0;
	run_timers(w, now);
}

bool vio_user_wait_arm(struct vio_user_wait *w)
{
	uint64_t due = next_due(w), now = w->host->now_ns(w->host->ctx);
	struct itimerspec at = { 0 };

	if (due <= now)
		return true;
	if (w->armed > now && w->armed <= due)
		return false; /* at worst one wake-up for nothing: cheaper than setting it anew */
	if (due != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)((due - now) / 1000000000);
		at.it_value.tv_nsec = (long)((due - now) % 1000000000);
	}
	/* Setting it also takes back an expiry not read. */
	timerfd_settime(w->timer, 0, &at, NULL);
	w->armed = due;
	return false;
}

struct vio_user_timer *vio_user_timer_new(struct vio_user_wait *w, SlirpTimerCb cb, void *opaque)
{
	for (unsigned i = 0; i < VIO_USER_TIMERS; i++) {
		struct vio_user_timer *t = &w->timers[i];

		if (t->cb != NULL)
			continue;
		*t = (struct vio_user_timer){ cb, opaque, UINT64_MAX };
		return t;
	}
	return NULL;
}

void vio_user_timer_free(struct vio_user_timer *timer)
{
	if (timer != NULL)
		timer->cb = NULL;
}

/* ------------------------------------------------------------------------------------------
 * Life
 */
static size_t pages_size(const struct vio_user_wait *w)
{
	return (w->num_sockets + PAGE - 1) / PAGE * sizeof(*w->pages);
}

static int make_table(struct vio_user_wait *w, const struct vio_backend_config *config,
		      struct vio_error *err)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	w->num_sockets = (unsigned)vio_min(limit.rlim_cur, (rlim_t)MAX_SOCKETS);
	w->pages = vio_backend_alloc(VIO_USER_KIND, config, pages_size(w), err);
	return w->pages == NULL ? -ENOMEM : 0;
}

static int make_descriptors(struct vio_user_wait *w, struct vio_error *err)
{
	int ret;

	w->sockets = epoll_create1(EPOLL_CLOEXEC);
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->sockets >= 0 && w->timer >= 0)
		return 0;
	ret = -errno;
	vio_error_set(err, VIO_USER_KIND ": can't make what to wait on: %s", strerror(-ret));
	return ret;
}

int vio_user_wait_open(struct vio_user_wait *w, const struct vio_backend_config *config,
		       struct vio_error *err)
{
	int ret;

	*w = (struct vio_user_wait){
		.host = config->host,
		.home = -1,
		.sockets = -1,
		.timer = -1,
		.first = -1,
		.due = UINT64_MAX,
		.armed = UINT64_MAX,
	};
	ret = make_table(w, config, err);
	if (ret == 0)
		ret = make_descriptors(w, err);
	if (ret < 0)
		vio_user_wait_close(w);
	return ret;
}

void vio_user_wait_close(struct vio_user_wait *w)
{
	const struct vio_host *host = w->host;

	if (w->timer >= 0)
		close(w->timer);
	if (w->sockets >= 0)
		close(w->sockets);
	for (unsigned i = 0; w->pages != NULL && i < pages_size(w) / sizeof(*w->pages); i++)
		host->free(host->ctx, w->pages[i], PAGE * sizeof(**w->pages));
	host->free(host->ctx, w->pages, pages_size(w));
}
