/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and workers: opened, served by threads, changed under traffic, stopped. */
#include "counting_host.h"
#include "test_port_box.h"

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

struct driver {
	struct box *b;
	uint32_t sent;
	bool enough;
};

/* Sends without pause, woken by interrupts only. */
static void *drive(void *arg)
{
	struct driver *d = arg;
	struct line *l = &d->b->lines[1];

	while (!vio_load(&d->enough)) {
		while (add_frame(d->b, 0, d->sent))
			d->sent++;
		publish(l);
		while (reap(l) == 0)
			wait_used(l);
	}
	return NULL;
}

static void q4_stop_and_start_under_traffic(void **state)
{
	struct vio_workers *w = workers_open(1, 50);
	uint32_t seen = 0, base;
	pthread_t thread;
	struct driver d;
	struct box b;

	(void)state;
	box_open(&b, w);
	d = (struct driver){ .b = &b };
	check(pthread_create(&thread, NULL, drive, &d) == 0);
	for (unsigned i = 0; !d.enough || seen < d.sent; i++) {
		/* Stopped between two turns; goes on at the place where it was. */
		check(stop_queue(b.server, 1, &base) == 0);
		start_queue(&b, 1, base);
		fake_backend_take(b.fb, i % 3 ? -1 : 10);
		for (unsigned n = fake_backend_sent(b.fb); n > 0; n--)
			expect_frame(&b, 0, seen++);
		if (i == 1000) {
			vio_store(&d.enough, true);
			pthread_join(thread, NULL);
		}
	}
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

/* A port whose worker sleeps, and @n frames that it has not been told of. */
static void open_with_frames(struct box *b, struct vio_workers *w, uint32_t n)
{
	box_open(b, w);
	expect_idle(1);
	for (uint32_t i = 0; i < n; i++)
		check(add_frame(b, 0, i));
	vio_drvq_publish(b->lines[1].q.drv); /* and no kick */
}

static void q1_what_was_sent_leaves_before_a_port_stops(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct vio_vhost_user_status status;
	struct vio_queue_stats stats;
	struct box b;

	(void)state;
	open_with_frames(&b, w, 200);
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

static void disable_job(void *arg)
{
	struct queue_job *job = arg;

	job->ret = vio_device_queue_enable(job->server->dev, job->queue, false);
}

/* What a guest gave to a queue before that is disabled is sent; what it gives afterwards is not. */
static void what_was_sent_leaves_before_its_queue_is_disabled(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	struct vio_queue_stats stats;
	struct queue_job job;
	struct box b;

	(void)state;
	open_with_frames(&b, w, 200);
	job = (struct queue_job){ .server = b.server, .queue = 1 };
	b.server->runner->exclusive(b.server->runner->ctx, 0, disable_job, &job);
	assert_int_equal(job.ret, 0);
	assert_int_equal(fake_backend_sent(b.fb), 200);
	check(add_frame(&b, 0, 200));
	publish(&b.lines[1]);
	await(guest_queue_used_idx(&b.lines[1].q) == 201);
	assert_int_equal(fake_backend_sent(b.fb), 200);
	vio_device_queue_stats(vio_port_device(b.port), 1, &stats);
	assert_int_equal(stats.drops[VIO_DROP_LINK_DOWN], 1);
	box_close(&b);
	vio_workers_destroy(w);
}

static void count_cpus(void *arg)
{
	cpu_set_t cpus;
	int *only = arg;

	check(pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus) == 0);
	*only = -1;
	for (unsigned i = 0; i < CPU_SETSIZE && CPU_COUNT(&cpus) == 1; i++)
		if (CPU_ISSET(i, &cpus))
			*only = (int)i;
}

/* The back end hears when frames that it was too busy for are taken back, and only then. */
static void h13_a_back_end_hears_when_its_frames_are_discarded(void **state)
{
	struct vio_workers *w = workers_open(1, 0);
	uint32_t base;
	struct box b;

	(void)state;
	box_open(&b, w);
	fake_backend_take(b.fb, 3);
	for (uint32_t n = 0; n < 10; n++)
		check(add_frame(&b, 0, n));
	publish(&b.lines[1]);
	await(fake_backend_sent(b.fb) == 3);
	check(stop_queue(b.server, 0, &base) == 0);
	start_queue(&b, 0, base);
	assert_int_equal(b.fb->discards, 0);
	check(stop_queue(b.server, 1, &base) == 0);
	assert_int_equal(b.fb->discards, 1);
	fake_backend_take(b.fb, -1);
	start_queue(&b, 1, base);
	await(fake_backend_sent(b.fb) == 10);
	assert_int_equal(b.fb->discards, 1);
	box_close(&b);
	vio_workers_destroy(w);
}

static void workers_are_pinned(void **state)
{
	uint16_t cpus[2], unlikely[1] = { 65535 };
	struct vio_workers_conf conf = { .count = 3, .cpus = cpus, .num_cpus = 2 };
	struct vio_error err = { "" };
	struct vio_workers *w;
	cpu_set_t allowed;
	unsigned n = 0;

	(void)state;
	check(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
	for (unsigned i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &allowed))
			cpus[n++] = (uint16_t)i;
	conf.num_cpus = n;
	assert_int_equal(vio_workers_create(vio_host_linux(VIO_LOG_ERROR), &conf, &w, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		int only;

		vio_worker_call(vio_workers_pick(w, 0, i, false), count_cpus, &only);
		assert_int_equal(only, cpus[i % n]);
	}
	vio_workers_destroy(w);
	conf = (struct vio_workers_conf){ .count = 1, .cpus = unlikely, .num_cpus = 1 };
	assert_int_equal(vio_workers_create(vio_host_linux(VIO_LOG_ERROR), &conf, &w, &err),
			 -EINVAL);
	assert_string_equal(err.msg, "cpus: 65535: worker 0 can't run there");
}

/* Pairs lie side by side and are served by different workers. */
static void pairs_share_no_cache_line(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct vio_pair_run) % VIO_CACHE_LINE, 0);
	assert_int_equal(_Alignof(struct vio_pair_run), VIO_CACHE_LINE);
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

static uint64_t slow_clock;

/* Each look at the clock takes a tenth of a second. */
static uint64_t slow_now_ns(void *ctx)
{
	(void)ctx;
	return __atomic_add_fetch(&slow_clock, 100000000, __ATOMIC_SEQ_CST);
}

/* Several ports with busy back ends take no longer than one, and nobody's frames stay for it. */
static void q1_ports_drain_together(void **state)
{
	struct vio_host host = *vio_host_linux(VIO_LOG_ERROR);
	struct vio_workers *w = workers_open(2, 0);
	struct vio_port *ports[5] = { NULL };
	struct box b[4];
	uint64_t began;

	(void)state;
	host.now_ns = slow_now_ns;
	for (unsigned i = 0; i < 4; i++) {
		box_open_on(&b[i], w, &host, NULL, ALL_OFFERS, 1 + i % 2);
		ports[i + 1] = b[i].port; /* behind one that was never opened */
	}
	expect_idle(2);
	for (unsigned i = 0; i < 4; i++) {
		if (i != 2)
			fake_backend_take(b[i].fb, 3);
		for (uint32_t n = 0; n < 10; n++)
			check(add_frame(&b[i], i % 2, n));
		vio_drvq_publish(b[i].lines[i % 2 * 2 + 1].q.drv); /* and no kick */
	}
	began = slow_clock;
	vio_ports_stop(ports, 5);
	assert_in_range(slow_clock - began, 2000000000, 3000000000);
	assert_int_equal(servers, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(fake_backend_sent(b[i].fb), i == 2 ? 10 : 3);
		assert_int_equal(b[i].fb->stops, 1);
		box_close(&b[i]);
	}
	vio_workers_destroy(w);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_arrive_whole_and_in_order),
		cmocka_unit_test(q4_stop_and_start_under_traffic),
		cmocka_unit_test(jobs_and_looks_from_all_sides),
		cmocka_unit_test(many_ports_on_one_worker),
		cmocka_unit_test(q1_what_was_sent_leaves_before_a_port_stops),
		cmocka_unit_test(q1_a_back_end_that_stays_busy_does_not_keep_a_port_from_stopping),
		cmocka_unit_test(q1_ports_drain_together),
		cmocka_unit_test(q1_opening_is_unwound_wherever_it_fails),
		cmocka_unit_test(workers_are_checked_unwound_and_picked),
		cmocka_unit_test(what_was_sent_leaves_before_its_queue_is_disabled),
		cmocka_unit_test(h13_a_back_end_hears_when_its_frames_are_discarded),
		cmocka_unit_test(workers_are_pinned),
		cmocka_unit_test(pairs_share_no_cache_line),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
