/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No wake-up is lost, and none is doubled, when the device works in a thread of its own and both
 * sides sleep whenever they may (U11, L1, P8). A lost one would leave both asleep: the watchdog ends
 * the test then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "lib/driver_rig.h"

#define FRAMES_DEFAULT 100000

struct both {
	struct rig *rig;
	int call, kick;
	unsigned frames;
	unsigned rx_events;
	const struct vio_driver_transport_ops *real;
	struct vio_driver_transport_ops ops;
};

static struct both both;

static void ring_bell(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void sleep_on(int fd)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	uint64_t count;

	if (poll(&pfd, 1, 10000) != 1)
		abort(); /* the watchdog: a wake-up was lost */
	(void)!read(fd, &count, sizeof(count));
}

static void notify(void *handle)
{
	(void)handle;
	ring_bell(both.kick);
}

/* The device: echoes nothing, just sends numbered frames, sleeping when there is no buffer. */
static void *device(void *arg)
{
	struct fake_dev *dev = arg;
	struct fake_queue *q = &dev->queues[0];
	struct vio_iov pool[80];
	struct vio_chain chain;
	uint32_t sent = 0;

	while (sent < both.frames) {
		if (vio_devq_pop_burst(q->vq, dev->mem, &chain, 1, pool, 80) != 1) {
			if (!vio_devq_kick_enable(q->vq, 0))
				sleep_on(both.kick);
			vio_devq_kick_disable(q->vq);
			continue;
		}
		memset(chain.iov[0].base, 0, 12 + 60);
		((uint8_t *)chain.iov[0].base)[10] = 1; /* one buffer */
		memcpy((uint8_t *)chain.iov[0].base + 12 + 20, &sent, sizeof(sent));
		chain.written = 12 + 60;
		vio_devq_push_burst(q->vq, &chain, 1);
		if (vio_devq_publish(q->vq))
			ring_bell(both.call);
		sent++;
	}
	return NULL;
}

static void run(struct rig *r)
{
	uint32_t expected = 0, number;
	pthread_t thread;
	unsigned i;
	int work;

	both.rig = r;
	both.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	both.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	both.frames = getenv("VIO_TEST_FRAMES") ? (unsigned)atoi(getenv("VIO_TEST_FRAMES")) :
						  FRAMES_DEFAULT;
	both.ops = *r->dev.t.ops;
	both.ops.notify = notify;
	r->dev.t.ops = &both.ops;
	r->ring = 8;
	rig_start(r);
	work = vio_driver_intr_enable(r->drv, 0);
	assert_int_equal(pthread_create(&thread, NULL, device, &r->dev), 0);
	while (expected < both.frames) {
		if (work == 0) {
			sleep_on(both.call);
			if (!vio_driver_interrupt(r->drv, 0))
				continue;
		}
		do {
			work = vio_driver_poll(r->drv, 0, 4);
			assert_true(work >= 0);
			for (i = 0; i < r->nreceived; i++) {
				memcpy(&number, vio_buf_data(r->received[i]) + 20, sizeof(number));
				assert_int_equal(number, expected++);
				rig_free(r, r->received[i]);
			}
			r->nreceived = 0;
		} while (work == 4);
		work = 0;
	}
	pthread_join(thread, NULL);
	close(both.call);
	close(both.kick);
}

static void test_l1_no_wakeup_lost_event_idx(void **state)
{
	run(*state);
}

static void test_l1_no_wakeup_lost_flags(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_F_EVENT_IDX);
	run(r);
}

/* ---- L2: one thread sends while another polls the paired receive queue ------------------------ */

#define SHARED_FRAMES 20000

static struct vio_buf *frames[64];
static int is_free[64];
static int sender_done;

static void free_frames(void *ctx, struct vio_buf **bufs, unsigned n)
{
	unsigned i, j;

	(void)ctx;
	for (i = 0; i < n; i++)
		for (j = 0; j < 64; j++)
			if (frames[j] == bufs[i])
				__atomic_store_n(&is_free[j], 1, __ATOMIC_RELEASE);
}

/* Sends each frame as soon as it is free again, and plays the device, too. */
static void *sender(void *arg)
{
	struct rig *r = arg;
	uint8_t bytes[100];
	unsigned sent = 0, j;

	while (sent < SHARED_FRAMES) {
		for (j = 0; j < 64; j++) {
			if (!__atomic_load_n(&is_free[j], __ATOMIC_ACQUIRE))
				continue;
			is_free[j] = 0;
			frames[j]->len = 60;
			if (vio_driver_tx_burst(r->drv, 0, &frames[j], 1) == 1)
				sent++;
			else
				is_free[j] = 1;
		}
		while (fake_take(&r->dev, 1, bytes, sizeof(bytes), NULL) > 0)
			;
	}
	__atomic_store_n(&sender_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void test_l2_shared_tx(void **state)
{
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = {
		.size = 32, .alloc = vio_pool_get, .free = vio_pool_put, .receive = vio_pool_put
	};
	struct vio_txq_conf tx = { .size = 32, .free = free_frames, .shared = true };
	struct vio_driver_stats stats;
	pthread_t thread;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	rx.ctx = r->pool;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), 0);
	assert_int_equal(vio_driver_txq_configure(r->drv, 0, &tx, &r->err), 0);
	for (i = 0; i < 64; i++) {
		frames[i] = rig_frame(r, 60, (uint8_t)i);
		is_free[i] = 1;
	}
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(pthread_create(&thread, NULL, sender, r), 0);
	while (!__atomic_load_n(&sender_done, __ATOMIC_ACQUIRE))
		assert_int_equal(vio_driver_poll(r->drv, 0, 4), 0);
	pthread_join(thread, NULL);
	rig_stats(r, 1, &stats);
	assert_int_equal(stats.packets, SHARED_FRAMES);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	for (i = 0; i < 64; i++) {
		assert_int_equal(is_free[i], 1);
		rig_free(r, frames[i]);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_l1_no_wakeup_lost_event_idx),
		T(test_l1_no_wakeup_lost_flags),
		T(test_l2_shared_tx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
