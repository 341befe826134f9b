/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of ports and workers share: a port with a guest in front of it. The server and the
 * back ends are replaced by ones that the test commands; the driver is the test. Parts of the system
 * are replaced as well, in order to see when a worker sleeps.
 *
 * Waiting is for events, with a time limit that only failure reaches.
 */
#ifndef TEST_PORT_BOX_H
#define TEST_PORT_BOX_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "check.h"
#include "fake_backend.h"
#include "guest.h"
#include "port/port.h"
#include "port/worker.h"

#define NUM	   256
#define BUF	   256
#define LIMIT_MS   30000
#define MAX_PORTS  6
#define ALL_OFFERS (~UINT64_C(0))

/* ---- In place of the system ---------------------------------------------------------------- */

static unsigned asleep; /* threads in epoll_wait() without a time limit */
static unsigned woken;	/* how often epoll_wait() returned */
static unsigned timers; /* set */
static bool hold_timers;

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	int n;

	if (timeout < 0)
		__atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
	n = epoll_pwait(fd, events, max, timeout, NULL);
	__atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
	if (timeout < 0)
		__atomic_fetch_sub(&asleep, 1, __ATOMIC_SEQ_CST);
	return n;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	__atomic_fetch_add(&timers, 1, __ATOMIC_SEQ_CST);
	return vio_load(&hold_timers) ? 0 : (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
}

/* ---- In place of the vhost-user server and the back ends ------------------------------------ */

struct vio_vhost_user {
	struct vio_device *dev;
	const struct vio_device_runner *runner;
	int fd;
	unsigned handled;
};

static struct vio_vhost_user *last_server;
static struct fake_backend *next_backend;
static int server_error, backend_error;
static unsigned servers;

int vio_vhost_user_create(const struct vio_host *host, struct vio_device *dev,
			  const struct vio_device_runner *runner,
			  const struct vio_vhost_user_conf *conf, struct vio_vhost_user **server,
			  struct vio_error *err)
{
	(void)host, (void)conf, (void)err;
	if (server_error)
		return server_error;
	*server = last_server = calloc(1, sizeof(**server));
	check(*server != NULL);
	last_server->dev = dev;
	last_server->runner = runner;
	last_server->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	check(last_server->fd >= 0);
	servers++;
	return 0;
}

struct queue_job {
	struct vio_vhost_user *server;
	unsigned queue;
	int kick;
	const struct vio_devq_setup *setup;
	const struct vio_mem *mem;
	uint32_t base;
	int ret;
};

static inline void stop_job(void *arg)
{
	struct queue_job *job = arg;

	job->server->runner->watch_kick(job->server->runner->ctx, job->queue, -1);
	job->ret = vio_device_queue_stop(job->server->dev, job->queue, &job->base);
}

static inline int stop_queue(struct vio_vhost_user *server, unsigned queue, uint32_t *base)
{
	struct queue_job job = { .server = server, .queue = queue };

	server->runner->exclusive(server->runner->ctx, queue / 2, stop_job, &job);
	*base = job.base;
	return job.ret;
}

void vio_vhost_user_destroy(struct vio_vhost_user *server)
{
	uint32_t base;

	for (unsigned i = 0; i < vio_device_num_queues(server->dev); i++)
		stop_queue(server, i, &base);
	close(server->fd);
	free(server);
	servers--;
}

int vio_vhost_user_fd(const struct vio_vhost_user *server)
{
	return server->fd;
}

void vio_vhost_user_handle(struct vio_vhost_user *server)
{
	eventfd_t value;

	check(eventfd_read(server->fd, &value) == 0);
	server->handled++;
}

void vio_vhost_user_status(const struct vio_vhost_user *server,
			   struct vio_vhost_user_status *status)
{
	(void)server;
	memset(status, 0, sizeof(*status));
	status->connections = 42;
}

int vio_backend_open(const char *spec, const struct vio_backend_config *config,
		     struct vio_backend **be, struct vio_error *err)
{
	(void)spec, (void)config, (void)err;
	if (backend_error)
		return backend_error;
	*be = &next_backend->be;
	return 0;
}

void vio_backend_close(struct vio_backend *be)
{
	if (be)
		be->ops->close(be);
}

/* ---- A port with a guest -------------------------------------------------------------------- */

struct line {
	struct guest_queue q;
	int kick, call;
	uint64_t bufs; /* NUM of BUF bytes */
	unsigned used; /* of them, in a circle */
};

struct box {
	struct vio_port *port;
	struct vio_vhost_user *server;
	struct fake_backend *fb;
	struct guest g;
	struct line lines[4];
	unsigned pairs;
	uint64_t features;
	unsigned config_changes;
};

static inline void box_call(void *ctx, unsigned queue)
{
	struct box *b = ctx;
	uint64_t one = 1;

	check(write(b->lines[queue].call, &one, sizeof(one)) == sizeof(one));
}

static inline void box_config_changed(void *ctx)
{
	((struct box *)ctx)->config_changes++;
}

static const struct vio_device_transport_ops box_transport = {
	.ctrl_elsewhere = true,
	.config_changed = box_config_changed,
	.call = box_call,
};

static inline void start_job(void *arg)
{
	struct queue_job *job = arg;

	job->ret = vio_device_queue_start(job->server->dev, job->queue, job->setup, job->mem);
	job->server->runner->watch_kick(job->server->runner->ctx, job->queue, job->kick);
}

static inline void start_queue(struct box *b, unsigned queue, uint32_t base)
{
	struct vio_devq_setup setup = guest_queue_setup(&b->lines[queue].q, base);
	struct queue_job job = { .server = b->server,
				 .queue = queue,
				 .kick = b->lines[queue].kick,
				 .setup = &setup,
				 .mem = b->g.mem };

	b->server->runner->exclusive(b->server->runner->ctx, queue / 2, start_job, &job);
	check(job.ret == 0);
	b->server->runner->look(b->server->runner->ctx, queue / 2);
}

static inline void box_open_on(struct box *b, struct vio_workers *workers,
			       const struct vio_host *host, const char *tx, uint64_t features,
			       unsigned pairs)
{
	struct vio_port_conf conf = { .backend = "fake" };
	struct vio_error err = { "" };

	memset(b, 0, sizeof(*b));
	b->pairs = pairs;
	b->fb = next_backend = fake_backend_create(0, 0);
	guest_create(&b->g, 1 << 20);
	vio_net_props_init(&conf.props);
	conf.props.tx = tx;
	conf.props.queue_pairs = pairs;
	check(vio_port_open(host, workers, &conf, &b->port, &err) == 0);
	b->server = last_server;
	vio_device_set_transport(b->server->dev, &box_transport, b);
	features &= vio_device_features(b->server->dev).w[0];
	features &= ~(vio_feature(VIO_F_RING_PACKED) | vio_feature(VIO_F_IN_ORDER));
	check(vio_device_set_driver_features(b->server->dev, vio_features_make(features, 0)) == 0);
	b->features = features;
	for (unsigned i = 0; i < pairs * 2; i++) {
		struct line *l = &b->lines[i];

		guest_queue_create(&l->q, &b->g, NUM, features);
		l->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		l->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		check(l->kick >= 0 && l->call >= 0);
		l->bufs = guest_alloc(&b->g, NUM * BUF, 64);
		start_queue(b, i, 0);
	}
}

static inline void box_close(struct box *b)
{
	vio_port_close(b->port);
	for (unsigned i = 0; i < b->pairs * 2; i++) {
		guest_queue_destroy(&b->lines[i].q);
		close(b->lines[i].kick);
		close(b->lines[i].call);
	}
	fake_backend_destroy(b->fb);
	guest_destroy(&b->g);
}

static inline struct vio_workers *workers_open(unsigned count, unsigned busy_poll_us)
{
	struct vio_workers_conf conf = { .count = count, .busy_poll_us = busy_poll_us };
	struct vio_workers *workers;
	struct vio_error err;

	check(vio_workers_create(vio_host_linux(VIO_LOG_ERROR), &conf, &workers, &err) == 0);
	return workers;
}

static inline void box_open(struct box *b, struct vio_workers *workers)
{
	box_open_on(b, workers, vio_host_linux(VIO_LOG_ERROR), NULL, ALL_OFFERS, 1);
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Waits until @condition holds. */
#define await(condition)                                  \
	do {                                              \
		uint64_t await_end = now_ms() + LIMIT_MS; \
		while (!(condition)) {                    \
			check(now_ms() < await_end);      \
			poll(NULL, 0, 1);                 \
		}                                         \
	} while (0)

/* Waits until all workers sleep, and makes sure that they go on sleeping. */
static inline void expect_idle(unsigned workers)
{
	unsigned before;

	do {
		await(__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) == workers);
		before = __atomic_load_n(&woken, __ATOMIC_SEQ_CST);
		poll(NULL, 0, 10);
	} while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) != workers ||
		 __atomic_load_n(&woken, __ATOMIC_SEQ_CST) != before);
	poll(NULL, 0, 30);
	assert_int_equal(__atomic_load_n(&woken, __ATOMIC_SEQ_CST), before);
	assert_int_equal(__atomic_load_n(&asleep, __ATOMIC_SEQ_CST), workers);
}

static inline void kick(struct line *l)
{
	uint64_t one = 1;

	check(write(l->kick, &one, sizeof(one)) == sizeof(one));
}

/* Frame @n into the transmit queue; not yet published. False when the ring is full. */
static inline bool add_frame(struct box *b, unsigned pair, uint32_t n)
{
	struct line *l = &b->lines[pair * 2 + 1];
	uint64_t addr = l->bufs + BUF * (l->used % NUM);
	uint32_t len = 60 + n % 100;
	struct vio_seg seg = { addr, 12 + len };
	struct vio_drvq_buf buf = { .segs = &seg, .out_num = 1, .token = l };
	uint8_t *p = guest_at(&b->g, addr);

	if (vio_drvq_free(l->q.drv) == 0)
		return false;
	memset(p, 0, 12);
	memset(p + 12, (int)n, len);
	memcpy(p + 12, &n, sizeof(n));
	check(vio_drvq_add_burst(l->q.drv, &buf, 1) == 1);
	l->used++;
	return true;
}

static inline void publish(struct line *l)
{
	if (vio_drvq_publish(l->q.drv))
		kick(l);
}

static inline unsigned reap(struct line *l)
{
	struct vio_drvq_done done[NUM];
	int n = vio_drvq_reap_burst(l->q.drv, done, NUM);

	check(n >= 0);
	return (unsigned)n;
}

/* Sleeps until the device has used something, as a driver does: by its interrupt alone. */
static inline void wait_used(struct line *l)
{
	struct pollfd p = { .fd = l->call, .events = POLLIN };
	uint64_t value;

	if (vio_drvq_notify_enable(l->q.drv, 0))
		return;
	check(poll(&p, 1, LIMIT_MS) == 1);
	check(read(l->call, &value, sizeof(value)) == sizeof(value));
}

/* The next frame that the back end got is number @n. */
static inline void expect_frame(struct box *b, unsigned pair, uint32_t n)
{
	struct fake_frame *f = fake_backend_next(b->fb);
	uint32_t number;

	check(f != NULL);
	memcpy(&number, f->bytes, sizeof(number));
	assert_int_equal(number, n);
	assert_int_equal(f->len, 60 + n % 100);
	assert_int_equal(f->pair, pair);
	assert_int_equal(f->bytes[f->len - 1], (uint8_t)n);
	free(f);
}

static inline void post_buffer(struct box *b, unsigned pair)
{
	struct line *l = &b->lines[pair * 2];
	struct vio_seg seg = { l->bufs + BUF * (l->used++ % NUM), BUF };
	struct vio_drvq_buf buf = { .segs = &seg, .in_num = 1, .token = l };

	check(vio_drvq_add_burst(l->q.drv, &buf, 1) == 1);
}

static inline void give_frame(struct box *b, unsigned pair, uint32_t n, uint32_t len)
{
	uint8_t bytes[4096];

	memset(bytes, (int)n, len);
	memcpy(bytes, &n, sizeof(n));
	fake_backend_give(b->fb, pair, bytes, len, NULL);
}

#endif
