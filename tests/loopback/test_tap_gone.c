/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * H30: a tap is deleted under a device that serves our driver. The driver is told that its link is down,
 * whether it was receiving or sending when that happened.
 *
 * Everything is in a network namespace of this process; where none may be made, the test is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <vioduct/driver_linux.h>
#include <vioduct/virtio.h>

#include "pair_device.h"

#define LIMIT_MS 30000

static char path[64];

struct front {
	struct pair_device device;
	struct vio_dma_arena *arena;
	struct vio_driver *drv;
	struct vio_pool *pool;
	unsigned downs, ups;
};

static void on_link(void *ctx, struct vio_driver *drv, bool up)
{
	struct front *f = ctx;

	(void)drv;
	if (up)
		f->ups++;
	else
		f->downs++;
}

static const struct vio_driver_events events = { .link = on_link };

static int open_front(void **state)
{
	struct vio_vhost_user_front_conf conf = { .socket_path = path };
	struct vio_driver_conf queues = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = { .alloc = vio_pool_get, .free = vio_pool_put };
	struct vio_txq_conf tx = { .free = vio_pool_put };
	struct front *f = calloc(1, sizeof(*f));
	struct vio_driver_opts opts = { .events = &events, .events_ctx = f };
	struct vio_driver_transport *transport;
	struct vio_error err = { "" };

	*state = f;
	pair_device_start(&f->device, &(struct pair_device_conf){ .path = path,
								  .backend = "tap,name=t0",
								  .offer_config = true });
	assert_int_equal(vio_dma_arena_create(16 << 20, VIO_LOG_ERROR, &f->arena, &err), 0);
	assert_int_equal(vio_vhost_user_open(&conf, f->arena, &transport, &err), 0);
	assert_int_equal(
		vio_driver_probe(transport, vio_dma_arena_host(f->arena), &opts, &f->drv, &err), 0);
	assert_int_equal(vio_pool_create(vio_dma_arena_host(f->arena), 2048, 2048, &f->pool), 0);
	rx.ctx = tx.ctx = f->pool;
	assert_int_equal(vio_driver_configure(f->drv, &queues, &err), 0);
	assert_int_equal(vio_driver_rxq_configure(f->drv, 0, &rx, &err), 0);
	assert_int_equal(vio_driver_txq_configure(f->drv, 0, &tx, &err), 0);
	assert_int_equal(vio_driver_start(f->drv, &err), 0);
	return 0;
}

static int close_front(void **state)
{
	struct front *f = *state;

	vio_driver_release(f->drv);
	vio_pool_destroy(f->pool);
	vio_dma_arena_destroy(f->arena);
	pair_device_stop(&f->device);
	free(f);
	return 0;
}

static void expect_link_down(struct front *f)
{
	struct pollfd p = { .fd = vio_driver_fd(f->drv), .events = POLLIN };

	while (f->downs == 0) {
		assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
		assert_int_equal(vio_driver_config_interrupt(f->drv), 0);
	}
	assert_false(vio_driver_link(f->drv));
	assert_int_equal(f->downs, 1);
	assert_int_equal(f->ups, 0);
}

static void send_one(struct front *f)
{
	struct vio_buf *buf;
	struct vio_driver_queue_info info;

	assert_int_equal(vio_pool_get(f->pool, &buf, 1), 1);
	memset(vio_buf_data(buf), 2, 60);
	buf->len = 60;
	assert_int_equal(vio_driver_tx_burst(f->drv, 0, &buf, 1), 1);
	do {
		assert_true(vio_driver_tx_reap(f->drv, 0, 1) >= 0);
		vio_driver_queue_info(f->drv, VIO_TXQ(0), &info);
	} while (info.in_flight > 0);
}

static void h30_the_link_goes_down_with_the_tap(void **state)
{
	struct front *f = *state;
	struct vio_driver_queue_info info;
	struct vio_queue_stats stats;

	assert_true(vio_driver_link(f->drv));
	send_one(f);
	assert_int_equal(system("ip link del t0"), 0);
	expect_link_down(f);
	send_one(f);
	vio_device_queue_stats(f->device.dev, 1, &stats);
	assert_int_equal(stats.drops[VIO_DROP_LINK_DOWN], 1);
	vio_driver_queue_info(f->drv, VIO_RXQ(0), &info);
	assert_int_equal(info.error, VIO_VQ_OK);
}

/* Noticed while frames go out. */
static void h30_the_link_goes_down_under_a_sender(void **state)
{
	struct front *f = *state;
	FILE *deleting;

	send_one(f);
	deleting = popen("ip link del t0", "r");
	assert_non_null(deleting);
	for (unsigned i = 0; i < 1000; i++)
		send_one(f);
	assert_int_equal(pclose(deleting), 0);
	send_one(f);
	expect_link_down(f);
}

static bool enter_namespace(void)
{
	char map[64];
	int fd;

	snprintf(map, sizeof(map), "0 %u 1", (unsigned)getuid());
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, map, strlen(map)) < 0)
			perror("uid_map");
		close(fd);
	}
	return true;
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_front, close_front)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(h30_the_link_goes_down_with_the_tap),
		T(h30_the_link_goes_down_under_a_sender),
	};

	if (!enter_namespace() || access("/dev/net/tun", R_OK | W_OK) < 0) {
		fprintf(stderr, "no network namespace, or no /dev/net/tun\n");
		return 77;
	}
	snprintf(path, sizeof(path), "/tmp/vioduct-gone-%d.sock", (int)getpid());
	return cmocka_run_group_tests_name("a tap that is deleted", tests, NULL, NULL);
}
