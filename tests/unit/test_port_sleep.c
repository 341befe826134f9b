/* SPDX-License-Identifier: BSD-2-Clause */
/* Workers fall asleep when there is nothing to do, and no wake-up is lost. */
#include "test_port_box.h"

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

/* Whether the port has something for its control thread within @ms; it is handled then. */
static bool control(struct box *b, int ms)
{
	struct pollfd p = { .fd = vio_port_fd(b->port), .events = POLLIN };

	if (poll(&p, 1, ms) == 0)
		return false;
	vio_port_handle(b->port);
	return true;
}

/* H30: the world behind a back end is gone. The guest's link goes down, once, and nobody spins; what the
 * guest sends is dropped and counted. */
static void h30_the_link_goes_down_with_the_world(void **state)
{
	struct vio_workers *w = workers_open(2, 0);
	struct vio_queue_stats stats;
	uint16_t status = 0;
	struct box b;

	(void)state;
	box_open_on(&b, w, vio_host_linux(VIO_LOG_ERROR), NULL, ALL_OFFERS, 2);
	for (unsigned pair = 0; pair < 2; pair++) {
		post_buffer(&b, pair);
		publish(&b.lines[pair * 2]);
	}
	expect_idle(2);
	assert_false(control(&b, 0));
	fake_backend_go(b.fb);
	while (vio_device_link(b.server->dev))
		assert_true(control(&b, LIMIT_MS));
	expect_idle(2);
	control(&b, 0);
	assert_false(control(&b, 0));
	assert_int_equal(b.config_changes, 1);
	vio_device_config_read(b.server->dev, offsetof(struct vio_net_config, status), &status, 2);
	assert_int_equal(status, 0);
	for (unsigned pair = 0; pair < 2; pair++) {
		check(add_frame(&b, pair, 1));
		publish(&b.lines[pair * 2 + 1]);
		await(guest_queue_used_idx(&b.lines[pair * 2 + 1].q) == 1);
		vio_device_queue_stats(b.server->dev, pair * 2 + 1, &stats);
		assert_int_equal(stats.drops[VIO_DROP_LINK_DOWN], 1);
	}
	assert_int_equal(fake_backend_sent(b.fb), 0);
	expect_idle(2);
	/* Front ends come and go as before. */
	eventfd_write(b.server->fd, 1);
	assert_true(control(&b, 0));
	assert_int_equal(b.server->handled, 1);
	assert_false(control(&b, 0));
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
		cmocka_unit_test(q13_busy_back_end_wakes_the_worker_when_it_is_not),
		cmocka_unit_test(a_loop_waits_for_receive_buffers_and_goes_on),
		cmocka_unit_test(starved_pairs_sleep_and_wake_by_the_guests_kick),
		cmocka_unit_test(too_few_buffers_are_no_reason_to_spin),
		cmocka_unit_test(with_the_link_down_nobody_spins),
		cmocka_unit_test(a_broken_or_stopped_queue_leaves_the_worker_asleep),
		cmocka_unit_test(h13_a_flood_of_kicks_is_survived_and_counted),
		cmocka_unit_test(q5_timer_mode_first_kick_starts_a_timer),
		cmocka_unit_test(h30_the_link_goes_down_with_the_world),
		cmocka_unit_test(q5_timer_mode_second_kick_drains),
		cmocka_unit_test(a_polling_worker_falls_asleep_too),
	};

	return cmocka_run_group_tests_name("port_sleep", tests, NULL, NULL);
}
