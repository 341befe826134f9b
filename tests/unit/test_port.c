/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports and workers: threads that serve pairs, changes under traffic, sleeping and waking. The
 * server and the back ends are replaced by ones that this test commands; the driver is the test.
 *
 * Waiting is for events, with a time limit that only failure reaches.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
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

static void stop_job(void *arg)
{
	struct queue_job *job = arg;

	job->server->runner->watch_kick(job->server->runner->ctx, job->queue, -1);
	job->ret = vio_device_queue_stop(job->server->dev, job->queue, &job->base);
}

static int stop_queue(struct vio_vhost_user *server, unsigned queue, uint32_t *base)
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
	free(server);
	servers--;
}

int vio_vhost_user_fd(const struct vio_vhost_user *server)
{
	(void)server;
	return -1;
}

void vio_vhost_user_handle(struct vio_vhost_user *server)
{
	(void)server;
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
};

static void box_call(void *ctx, unsigned queue)
{
	struct box *b = ctx;
	uint64_t one = 1;

	check(write(b->lines[queue].call, &one, sizeof(one)) == sizeof(one));
}

static const struct vio_device_transport_ops box_transport = {
	.ctrl_elsewhere = true,
	.call = box_call,
};

static void start_job(void *arg)
{
	struct queue_job *job = arg;

	job->ret = vio_device_queue_start(job->server->dev, job->queue, job->setup, job->mem);
	job->server->runner->watch_kick(job->server->runner->ctx, job->queue, job->kick);
}

static void start_queue(struct box *b, unsigned queue, uint32_t base)
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

static void box_open_on(struct box *b, struct vio_workers *workers, const struct vio_host *host,
			const char *tx, uint64_t features, unsigned pairs)
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

static void box_close(struct box *b)
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

static struct vio_workers *workers_open(unsigned count, unsigned busy_poll_us)
{
	struct vio_workers_conf conf = { .count = count, .busy_poll_us = busy_poll_us };
	struct vio_workers *workers;
	struct vio_error err;

	check(vio_workers_create(vio_host_linux(VIO_LOG_ERROR), &conf, &workers, &err) == 0);
	return workers;
}

static void box_open(struct box *b, struct vio_workers *workers)
{
	box_open_on(b, workers, vio_host_linux(VIO_LOG_ERROR), NULL, ALL_OFFERS, 1);
}

static uint64_t now_ms(void)
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
static void expect_idle(unsigned workers)
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

static void kick(struct line *l)
{
	uint64_t one = 1;

	check(write(l->kick, &one, sizeof(one)) == sizeof(one));
}

/* Frame @n into the transmit queue; not yet published. False when the ring is full. */
static bool add_frame(struct box *b, unsigned pair, uint32_t n)
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

static void publish(struct line *l)
{
	if (vio_drvq_publish(l->q.drv))
		kick(l);
}

static unsigned reap(struct line *l)
{
	struct vio_drvq_done done[NUM];
	int n = vio_drvq_reap_burst(l->q.drv, done, NUM);

	check(n >= 0);
	return (unsigned)n;
}

/* Sleeps until the device has used something, as a driver does: by its interrupt alone. */
static void wait_used(struct line *l)
{
	struct pollfd p = { .fd = l->call, .events = POLLIN };
	uint64_t value;

	if (vio_drvq_notify_enable(l->q.drv, 0))
		return;
	check(poll(&p, 1, LIMIT_MS) == 1);
	check(read(l->call, &value, sizeof(value)) == sizeof(value));
}

/* The next frame that the back end got is number @n. */
static void expect_frame(struct box *b, unsigned pair, uint32_t n)
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

static void post_buffer(struct box *b, unsigned pair)
{
	struct line *l = &b->lines[pair * 2];
	struct vio_seg seg = { l->bufs + BUF * (l->used++ % NUM), BUF };
	struct vio_drvq_buf buf = { .segs = &seg, .in_num = 1, .token = l };

	check(vio_drvq_add_burst(l->q.drv, &buf, 1) == 1);
}

static void give_frame(struct box *b, unsigned pair, uint32_t n, uint32_t len)
{
	uint8_t bytes[4096];

	memset(bytes, (int)n, len);
	memcpy(bytes, &n, sizeof(n));
	fake_backend_give(b->fb, pair, bytes, len, NULL);
}

/* ---- Served by threads ----------------------------------------------------------------------- */

/* Frame by frame, each waited for: every wake-up in both directions counts. */
static void q5_one_frame_at_a_time_and_no_wakeup_is_lost(void **state)
{
	const uint64_t features[] = { ALL_OFFERS, ~vio_feature(VIO_F_EVENT_IDX) };
	static const unsigned polls[] = { 0, 100 };
	struct vio_workers *w;
	struct box b;

	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct line *l = &b.lines[1];

		w = workers_open(1, polls[k / 2]);
		box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), NULL, features[k % 2], 1);
		for (uint32_t n = 0; n < 3000; n++) {
			check(add_frame(&b, 0, n));
			publish(l);
			while (reap(l) == 0)
				wait_used(l);
			expect_frame(&b, 0, n);
		}
		expect_idle(1);
		box_close(&b);
		vio_workers_destroy(w);
	}
}

struct late {
	struct box *b;
	unsigned buffers, frames;
};

/* On the worker, which has looked at everything and found nothing to do. */
static void come_late(void *ctx)
{
	struct late *late = ctx;

	for (unsigned i = 0; i < late->buffers; i++)
		post_buffer(late->b, 0);
	for (unsigned i = 0; i < late->frames; i++)
		check(add_frame(late->b, 0, i));
	/* No kick: it has not asked for one yet, so the driver need not give one. */
	assert_false(late->buffers && vio_drvq_publish(late->b->lines[0].q.drv));
	assert_false(late->frames && vio_drvq_publish(late->b->lines[1].q.drv));
}

static void what_comes_while_a_worker_falls_asleep_is_seen(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct late late;
	struct box b;

	(void)state;
	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), NULL,
			    event_idx ? ALL_OFFERS : ~vio_feature(VIO_F_EVENT_IDX), 1);
		expect_idle(1);
		late = (struct late){ .b = &b, .frames = 1 };
		fake_backend_before_sleep(b.fb, come_late, &late);
		kick(&b.lines[1]);
		await(guest_queue_used_idx(&b.lines[1].q) == 1);

		/* A frame waits for a buffer; for a third one; a loop's frame for one. */
		late = (struct late){ .b = &b, .buffers = 1 };
		fake_backend_before_sleep(b.fb, come_late, &late);
		give_frame(&b, 0, 1, 100);
		await(guest_queue_used_idx(&b.lines[0].q) == 1);
		expect_idle(1);
		post_buffer(&b, 0);
		post_buffer(&b, 0);
		publish(&b.lines[0]);
		expect_idle(1);
		fake_backend_before_sleep(b.fb, come_late, &late);
		give_frame(&b, 0, 2, 700);
		await(guest_queue_used_idx(&b.lines[0].q) == 4);
		expect_idle(1);
		fake_backend_loop(b.fb);
		fake_backend_before_sleep(b.fb, come_late, &late);
		check(add_frame(&b, 0, 7));
		publish(&b.lines[1]);
		await(guest_queue_used_idx(&b.lines[0].q) == 5);
		await(guest_queue_used_idx(&b.lines[1].q) == 2);
		expect_idle(1);
		box_close(&b);
	}
	vio_workers_destroy(w);
}

static void bursts_arrive_whole_and_in_order(void **state)
{
	struct vio_workers *w = workers_open(2, 0);
	uint32_t next[2] = { 0, 0 }, seen[2] = { 0, 0 };
	struct box b;

	(void)state;
	box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), NULL, ALL_OFFERS, 2);
	while (seen[0] + seen[1] < 20000) {
		struct fake_frame *f;

		for (unsigned pair = 0; pair < 2; pair++) {
			struct line *l = &b.lines[pair * 2 + 1];

			for (unsigned i = 0; i < 50 && next[pair] < 10000; i++)
				if (!add_frame(&b, pair, next[pair]++)) {
					next[pair]--;
					break;
				}
			publish(l);
			if (vio_drvq_free(l->q.drv) == 0 && reap(l) == 0)
				wait_used(l);
			reap(l);
		}
		while ((f = fake_backend_next(b.fb))) {
			uint32_t number;

			memcpy(&number, f->bytes, sizeof(number));
			assert_int_equal(number, seen[f->pair]);
			seen[f->pair]++;
			free(f);
		}
	}
	expect_idle(2);
	box_close(&b);
	vio_workers_destroy(w);
}

static void q13_busy_back_end_wakes_the_worker_when_it_is_not(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	uint32_t seen = 0;
	struct box b;

	(void)state;
	box_open(&b, w);
	/* Without receive buffers too: the two directions do not depend on each other. */
	give_frame(&b, 0, 0, 100);
	fake_backend_take(b.fb, 0);
	for (uint32_t n = 0; n < 200; n++)
		check(add_frame(&b, 0, n));
	publish(&b.lines[1]);
	expect_idle(1);
	assert_int_equal(fake_backend_sent(b.fb), 0);
	while (seen < 200) {
		fake_backend_take(b.fb, 7);
		await(fake_backend_sent(b.fb) == vio_min(7u, 200 - seen));
		for (unsigned i = 0; i < 7 && seen < 200; i++)
			expect_frame(&b, 0, seen++);
	}
	await(guest_queue_used_idx(&b.lines[1].q) == 200);
	expect_idle(1);
	box_close(&b);
	vio_workers_destroy(w);
}

/* What is sent comes back, for which there is a receive buffer now and then. */
static void a_loop_waits_for_receive_buffers_and_goes_on(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	uint32_t next = 0, seen = 0;
	struct box b;

	(void)state;
	box_open(&b, w);
	fake_backend_loop(b.fb);
	while (seen < 3000) {
		unsigned want = vio_min(1 + seen % 3, 3000 - seen), got = 0;

		while (next < 3000 && add_frame(&b, 0, next))
			next++;
		publish(&b.lines[1]);
		for (unsigned i = 0; i < want; i++)
			post_buffer(&b, 0);
		publish(&b.lines[0]);
		while (got < want) {
			unsigned n = reap(&b.lines[0]);

			got += n;
			if (n == 0)
				wait_used(&b.lines[0]);
		}
		seen += got;
		reap(&b.lines[1]);
	}
	await(guest_queue_used_idx(&b.lines[1].q) == 3000);
	box_close(&b);
	vio_workers_destroy(w);
}

/* ---- Starvation ------------------------------------------------------------------------------ */

static void starved_pairs_sleep_and_wake_by_the_guests_kick(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct line *l;
	struct box b;

	(void)state;
	box_open(&b, w);
	l = &b.lines[0];
	for (uint32_t n = 0; n < 1000; n++) {
		give_frame(&b, 0, n, n % 5 ? 100 : 700);
		if (n % 250 == 0)
			expect_idle(1); /* with frames that wait, and a readable descriptor */
		/* Three buffers for the large ones, one after the other. */
		for (unsigned i = 0; i < (n % 5 ? 1 : 3); i++) {
			post_buffer(&b, 0);
			publish(l);
		}
		for (unsigned got = 0; got < (n % 5 ? 1 : 3);) {
			unsigned k = reap(l);

			got += k;
			if (k == 0)
				wait_used(l);
		}
	}
	assert_int_equal(fake_backend_left(b.fb, 0), 0);
	expect_idle(1);
	box_close(&b);
	vio_workers_destroy(w);
}

/* A frame that is too large for what there is waits; nobody spins, and it goes when there is more. */
static void too_few_buffers_are_no_reason_to_spin(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct box b;

	(void)state;
	box_open(&b, w);
	for (unsigned i = 0; i < 3; i++)
		post_buffer(&b, 0);
	publish(&b.lines[0]);
	give_frame(&b, 0, 1, 1000);
	give_frame(&b, 0, 2, 100);
	expect_idle(1);
	assert_int_equal(guest_queue_used_idx(&b.lines[0].q), 0);
	post_buffer(&b, 0);
	publish(&b.lines[0]);
	await(guest_queue_used_idx(&b.lines[0].q) == 4);
	post_buffer(&b, 0);
	publish(&b.lines[0]);
	await(guest_queue_used_idx(&b.lines[0].q) == 5);
	box_close(&b);
	vio_workers_destroy(w);
}

static void with_the_link_down_nobody_spins(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct box b;

	(void)state;
	box_open(&b, w);
	vio_device_set_link(b.server->dev, false);
	for (unsigned i = 0; i < 10; i++)
		post_buffer(&b, 0);
	publish(&b.lines[0]);
	kick(&b.lines[0]);
	give_frame(&b, 0, 1, 100);
	check(add_frame(&b, 0, 1));
	publish(&b.lines[1]);
	await(guest_queue_used_idx(&b.lines[1].q) == 1);
	expect_idle(1);
	assert_int_equal(fake_backend_sent(b.fb), 0);
	vio_device_set_link(b.server->dev, true);
	b.server->runner->look(b.server->runner->ctx, 0);
	await(guest_queue_used_idx(&b.lines[0].q) == 1);
	box_close(&b);
	vio_workers_destroy(w);
}

static void break_job(void *arg)
{
	struct queue_job *job = arg;

	vio_device_queue_break(job->server->dev, job->queue, VIO_VQ_MEMORY_GONE);
}

static void a_broken_or_stopped_queue_leaves_the_worker_asleep(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	uint32_t base;
	struct box b;

	(void)state;
	for (unsigned stop = 0; stop < 2; stop++) {
		struct queue_job job = { .queue = 1 };

		box_open(&b, w);
		job.server = b.server;
		fake_backend_take(b.fb, 0);
		check(add_frame(&b, 0, 1));
		publish(&b.lines[1]);
		give_frame(&b, 0, 1, 100);
		expect_idle(1);
		if (stop)
			check(stop_queue(b.server, 1, &base) == 0);
		else
			b.server->runner->exclusive(b.server->runner->ctx, 0, break_job, &job);
		fake_backend_take(b.fb, -1); /* readable for good: nobody takes what it has */
		b.server->runner->look(b.server->runner->ctx, 0);
		kick(&b.lines[1]);
		expect_idle(1);
		assert_int_equal(fake_backend_sent(b.fb), 0);
		box_close(&b);
	}
	vio_workers_destroy(w);
}

static void h13_a_flood_of_kicks_is_survived_and_counted(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct vio_queue_stats stats;
	struct box b;

	(void)state;
	box_open(&b, w);
	for (unsigned i = 0; i < 20000; i++) {
		kick(&b.lines[0]);
		kick(&b.lines[1]);
	}
	check(add_frame(&b, 0, 5));
	publish(&b.lines[1]);
	await(fake_backend_sent(b.fb) == 1);
	vio_device_queue_stats(b.server->dev, 1, &stats);
	assert_true(stats.kicks > 0);
	expect_idle(1);
	box_close(&b);
	vio_workers_destroy(w);
}

/* ---- Changes under traffic ------------------------------------------------------------------- */

struct driver {
	struct box *b;
	uint32_t frames;
};

/* Sends without pause, woken by interrupts only. */
static void *drive(void *arg)
{
	struct driver *d = arg;
	struct line *l = &d->b->lines[1];

	for (uint32_t n = 0; n < d->frames;) {
		while (n < d->frames && add_frame(d->b, 0, n))
			n++;
		publish(l);
		while (reap(l) == 0)
			wait_used(l);
	}
	return NULL;
}

static void q4_stop_and_start_under_traffic(void **state)
{
	struct vio_workers *w = workers_open(1, 50);
	struct driver d = { .frames = 40000 };
	uint32_t seen = 0, base;
	unsigned restarts = 0;
	pthread_t thread;
	struct box b;

	(void)state;
	box_open(&b, w);
	d.b = &b;
	check(pthread_create(&thread, NULL, drive, &d) == 0);
	while (seen < d.frames) {
		/* Stopped between two turns; goes on at the place where it was. */
		check(stop_queue(b.server, 1, &base) == 0);
		start_queue(&b, 1, base);
		restarts++;
		fake_backend_take(b.fb, restarts % 3 ? -1 : 10);
		for (unsigned n = fake_backend_sent(b.fb); n > 0; n--)
			expect_frame(&b, 0, seen++);
	}
	pthread_join(thread, NULL);
	assert_true(restarts > 3);
	assert_null(fake_backend_next(b.fb));
	box_close(&b);
	vio_workers_destroy(w);
}

static void look_again_and_again(void *arg)
{
	(*(unsigned *)arg)++;
}

static void *looker(void *arg)
{
	struct box *b = arg;

	for (unsigned i = 0; i < 3000; i++)
		b->server->runner->look(b->server->runner->ctx, 0);
	return NULL;
}

static void jobs_and_looks_from_all_sides(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	unsigned done = 0;
	pthread_t threads[2];
	struct box b;

	(void)state;
	box_open(&b, w);
	for (unsigned i = 0; i < 2; i++)
		check(pthread_create(&threads[i], NULL, looker, &b) == 0);
	for (unsigned i = 1; i <= 3000; i++) {
		b.server->runner->exclusive(b.server->runner->ctx, 0, look_again_and_again, &done);
		assert_int_equal(done, i);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* Asleep or awake, a job is always run. */
	expect_idle(1);
	b.server->runner->exclusive(b.server->runner->ctx, 0, look_again_and_again, &done);
	assert_int_equal(done, 3001);
	expect_idle(1);
	box_close(&b);
	vio_workers_destroy(w);
}

static void many_ports_on_one_worker(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct box b[MAX_PORTS];
	uint32_t next[MAX_PORTS] = { 0 };

	(void)state;
	for (unsigned i = 0; i < MAX_PORTS; i++)
		box_open(&b[i], w);
	for (unsigned round = 0; round < 300; round++)
		for (unsigned i = 0; i < MAX_PORTS; i++) {
			struct line *l = &b[i].lines[1];

			for (unsigned k = 0; k < 10; k++)
				check(add_frame(&b[i], 0, next[i]++));
			publish(l);
			for (unsigned got = 0; got < 10;) {
				unsigned n = reap(l);

				got += n;
				if (n == 0)
					wait_used(l);
			}
		}
	/* One that goes does not take the others with it. */
	box_close(&b[2]);
	for (unsigned i = 0; i < MAX_PORTS; i++) {
		if (i == 2)
			continue;
		check(add_frame(&b[i], 0, next[i]));
		publish(&b[i].lines[1]);
		await(fake_backend_sent(b[i].fb) == 3001);
		for (uint32_t n = 0; n <= 3000; n++)
			expect_frame(&b[i], 0, n);
	}
	expect_idle(1);
	for (unsigned i = 0; i < MAX_PORTS; i++)
		if (i != 2)
			box_close(&b[i]);
	vio_workers_destroy(w);
}

/* ---- Q5 -------------------------------------------------------------------------------------- */

static void q5_timer_mode_first_kick_starts_a_timer(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct box b;

	(void)state;
	vio_store(&timers, 0u);
	box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), "timer", ALL_OFFERS, 1);
	for (uint32_t n = 0; n < 8; n++) {
		expect_idle(1);
		check(add_frame(&b, 0, n));
		publish(&b.lines[1]);
		/* Nobody kicks again: the timer's end drains. */
		await(fake_backend_sent(b.fb) == 1);
		expect_frame(&b, 0, n);
		assert_int_equal(vio_load(&timers), n + 1);
	}
	box_close(&b);
	vio_workers_destroy(w);
}

static void q5_timer_mode_second_kick_drains(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct box b;

	(void)state;
	vio_store(&hold_timers, true); /* they never end */
	box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), "timer", ~vio_feature(VIO_F_EVENT_IDX),
		    1);
	for (uint32_t n = 0; n < 8; n += 2) {
		expect_idle(1);
		vio_store(&timers, 0u);
		check(add_frame(&b, 0, n));
		publish(&b.lines[1]);
		await(vio_load(&timers) == 1);
		expect_idle(1);
		assert_int_equal(fake_backend_sent(b.fb), 0);
		check(add_frame(&b, 0, n + 1));
		/* The driver is still to kick. */
		check(vio_drvq_publish(b.lines[1].q.drv));
		kick(&b.lines[1]);
		await(fake_backend_sent(b.fb) == 2);
		expect_frame(&b, 0, n);
		expect_frame(&b, 0, n + 1);
	}
	vio_store(&hold_timers, false);
	box_close(&b);
	vio_workers_destroy(w);
}

/* ---- Opening and closing ---------------------------------------------------------------------- */

static void q1_what_was_sent_leaves_before_a_port_stops(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct vio_vhost_user_status status;
	struct vio_queue_stats stats;
	struct box b;

	(void)state;
	box_open(&b, w);
	expect_idle(1);
	for (uint32_t n = 0; n < 200; n++)
		check(add_frame(&b, 0, n));
	vio_drvq_publish(b.lines[1].q.drv); /* and no kick */
	vio_port_stop(b.port);
	assert_int_equal(fake_backend_sent(b.fb), 200);
	for (uint32_t n = 0; n < 200; n++)
		expect_frame(&b, 0, n);
	assert_int_equal(guest_queue_used_idx(&b.lines[1].q), 200);
	assert_int_equal(b.fb->flushes, 1);
	assert_int_equal(b.fb->stops, 1);
	assert_int_equal(b.fb->closes, 0);
	assert_int_equal(servers, 0);
	/* Counters can still be read. */
	vio_device_queue_stats(vio_port_device(b.port), 1, &stats);
	assert_int_equal(stats.packets, 200);
	vio_port_status(b.port, &status);
	assert_int_equal(status.connections, 42);
	vio_port_stop(b.port); /* once more does nothing */
	assert_int_equal(b.fb->stops, 1);
	box_close(&b);
	vio_workers_destroy(w);
}

static uint64_t hasty_now_ns(void *ctx)
{
	(void)ctx;
	return now_ms() * 100000000; /* a hundred times as fast */
}

static void q1_a_back_end_that_stays_busy_does_not_keep_a_port_from_stopping(void **state)
{
	struct vio_host host = *vio_host_linux(VIO_LOG_ERROR);
	struct vio_workers *w = workers_open(1, 0);
	struct box b;

	(void)state;
	host.now_ns = hasty_now_ns;
	box_open_on(&b, w, &host, NULL, ALL_OFFERS, 1);
	fake_backend_take(b.fb, 3);
	for (uint32_t n = 0; n < 10; n++)
		check(add_frame(&b, 0, n));
	publish(&b.lines[1]);
	vio_port_stop(b.port);
	assert_int_equal(fake_backend_sent(b.fb), 3);
	assert_int_equal(guest_queue_used_idx(&b.lines[1].q), 3);
	box_close(&b);
	vio_workers_destroy(w);
}

struct counting {
	struct vio_host host;
	size_t bytes;
	int fail_in;
};

static void *counting_alloc(void *ctx, size_t size, size_t align)
{
	struct counting *c = ctx;

	if (c->fail_in == 0)
		return NULL;
	if (c->fail_in > 0)
		c->fail_in--;
	c->bytes += size;
	return vio_host_linux(VIO_LOG_ERROR)->alloc(NULL, size, align);
}

static void counting_free(void *ctx, void *p, size_t size)
{
	struct counting *c = ctx;

	if (p)
		c->bytes -= size;
	free(p);
}

static void counting_init(struct counting *c)
{
	c->host = *vio_host_linux(VIO_LOG_ERROR);
	c->host.ctx = c;
	c->host.alloc = counting_alloc;
	c->host.free = counting_free;
	c->bytes = 0;
	c->fail_in = -1;
}

static void q1_opening_is_unwound_wherever_it_fails(void **state)
{
	struct vio_port_conf conf = { .backend = "fake" };
	struct vio_workers *w = workers_open(1, 0);
	struct vio_port *port = NULL;
	struct vio_error err;
	struct counting c;
	int n;

	(void)state;
	vio_net_props_init(&conf.props);
	conf.props.queue_pairs = 2;
	next_backend = fake_backend_create(0, 0);
	counting_init(&c);

	backend_error = -EINVAL;
	assert_int_equal(vio_port_open(&c.host, w, &conf, &port, &err), -EINVAL);
	backend_error = 0;
	assert_int_equal(next_backend->closes, 0);
	assert_int_equal(c.bytes, 0);

	server_error = -EADDRINUSE;
	assert_int_equal(vio_port_open(&c.host, w, &conf, &port, &err), -EADDRINUSE);
	server_error = 0;
	assert_int_equal(next_backend->starts, 1);
	assert_int_equal(next_backend->stops, 1);
	assert_int_equal(next_backend->closes, 1);
	assert_int_equal(c.bytes, 0);

	conf.props.mtu = 3; /* the device does not want it */
	assert_int_equal(vio_port_open(&c.host, w, &conf, &port, &err), -EINVAL);
	assert_int_equal(next_backend->closes, 2);
	assert_int_equal(c.bytes, 0);
	conf.props.mtu = 0;

	for (n = 0;; n++) {
		c.fail_in = n;
		if (vio_port_open(&c.host, w, &conf, &port, &err) == 0)
			break;
		assert_int_equal(c.bytes, 0);
		assert_int_equal(next_backend->starts, next_backend->stops);
	}
	assert_true(n >= 4);
	vio_port_close(port);
	vio_port_close(NULL);
	assert_int_equal(c.bytes, 0);
	assert_int_equal(servers, 0);
	expect_idle(1);
	fake_backend_destroy(next_backend);
	vio_workers_destroy(w);
}

static void workers_are_checked_unwound_and_picked(void **state)
{
	struct vio_workers_conf conf = { .count = 0 };
	struct vio_workers *w;
	struct vio_error err;
	struct counting c;
	int n;

	(void)state;
	counting_init(&c);
	assert_int_equal(vio_workers_create(&c.host, &conf, &w, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "workers: 0"));
	conf.count = 65;
	assert_int_equal(vio_workers_create(&c.host, &conf, &w, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "64"));
	conf.count = 3;
	for (n = 0;; n++) {
		c.fail_in = n;
		if (vio_workers_create(&c.host, &conf, &w, &err) == 0)
			break;
		assert_int_equal(c.bytes, 0);
		assert_int_equal(vio_load(&asleep), 0);
	}
	assert_int_equal(n, 4); /* the set, and each worker's memory */
	expect_idle(3);
	/* Pairs of a port on different workers, unless its back end wants one; ports likewise. */
	assert_ptr_not_equal(vio_workers_pick(w, 0, 0, false), vio_workers_pick(w, 0, 1, false));
	assert_ptr_equal(vio_workers_pick(w, 0, 0, true), vio_workers_pick(w, 0, 1, true));
	assert_ptr_not_equal(vio_workers_pick(w, 0, 0, true), vio_workers_pick(w, 1, 0, true));
	vio_workers_destroy(w);
	vio_workers_destroy(NULL);
	assert_int_equal(c.bytes, 0);
}

/* Polling costs processor time while there is traffic; none when there is not. */
static void a_polling_worker_falls_asleep_too(void **state)
{
	struct vio_workers *w = workers_open(2, 1000);
	struct box b;

	(void)state;
	box_open(&b, w);
	for (uint32_t n = 0; n < 2000; n++) {
		check(add_frame(&b, 0, n));
		publish(&b.lines[1]);
		while (reap(&b.lines[1]) == 0)
			wait_used(&b.lines[1]);
		expect_frame(&b, 0, n);
	}
	expect_idle(2);
	box_close(&b);
	vio_workers_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q5_one_frame_at_a_time_and_no_wakeup_is_lost),
		cmocka_unit_test(what_comes_while_a_worker_falls_asleep_is_seen),
		cmocka_unit_test(bursts_arrive_whole_and_in_order),
		cmocka_unit_test(q13_busy_back_end_wakes_the_worker_when_it_is_not),
		cmocka_unit_test(a_loop_waits_for_receive_buffers_and_goes_on),
		cmocka_unit_test(starved_pairs_sleep_and_wake_by_the_guests_kick),
		cmocka_unit_test(too_few_buffers_are_no_reason_to_spin),
		cmocka_unit_test(with_the_link_down_nobody_spins),
		cmocka_unit_test(a_broken_or_stopped_queue_leaves_the_worker_asleep),
		cmocka_unit_test(h13_a_flood_of_kicks_is_survived_and_counted),
		cmocka_unit_test(q4_stop_and_start_under_traffic),
		cmocka_unit_test(jobs_and_looks_from_all_sides),
		cmocka_unit_test(many_ports_on_one_worker),
		cmocka_unit_test(q5_timer_mode_first_kick_starts_a_timer),
		cmocka_unit_test(q5_timer_mode_second_kick_drains),
		cmocka_unit_test(q1_what_was_sent_leaves_before_a_port_stops),
		cmocka_unit_test(q1_a_back_end_that_stays_busy_does_not_keep_a_port_from_stopping),
		cmocka_unit_test(q1_opening_is_unwound_wherever_it_fails),
		cmocka_unit_test(workers_are_checked_unwound_and_picked),
		cmocka_unit_test(a_polling_worker_falls_asleep_too),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
