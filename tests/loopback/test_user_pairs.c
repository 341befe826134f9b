/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user network with two queue pairs, in front of our driver: a pair without receive buffers keeps
 * nothing from the other one, and gets its own as soon as it has some.
 */
#include "unit/test_backend_user_net.h"

#include <vioduct/driver_linux.h>

#include "pair_device.h"

#define LIMIT_MS 30000

struct front {
	struct pair_device device;
	struct vio_dma_arena *arena;
	struct vio_driver *drv;
	struct vio_pool *pool;
	bool none_on_0; /* no receive buffers on pair 0 */
	int host;	/* a socket of the machine's, to which the guest sends */
	uint16_t port;
	struct sockaddr_in peer[2]; /* where each pair's flow comes from */
};

static struct front *front;
static char path[64];

static unsigned alloc_0(void *ctx, struct vio_buf **bufs, unsigned n)
{
	return front->none_on_0 ? 0 : vio_pool_get(ctx, bufs, n);
}

static void open_driver(struct front *f)
{
	struct vio_vhost_user_front_conf conf = { .socket_path = path };
	struct vio_driver_conf queues = { .nb_rx = 2, .nb_tx = 2 };
	struct vio_rxq_conf rx = { .alloc = alloc_0, .free = vio_pool_put };
	struct vio_txq_conf tx = { .free = vio_pool_put };
	struct vio_driver_transport *transport;
	struct vio_error err = { "" };

	assert_int_equal(vio_dma_arena_create(16 << 20, VIO_LOG_ERROR, &f->arena, &err), 0);
	assert_int_equal(vio_vhost_user_open(&conf, f->arena, &transport, &err), 0);
	assert_int_equal(
		vio_driver_probe(transport, vio_dma_arena_host(f->arena), NULL, &f->drv, &err), 0);
	assert_int_equal(vio_pool_create(vio_dma_arena_host(f->arena), 4096, 2048, &f->pool), 0);
	rx.ctx = tx.ctx = f->pool;
	assert_int_equal(vio_driver_configure(f->drv, &queues, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vio_driver_rxq_configure(f->drv, i, &rx, &err), 0);
		assert_int_equal(vio_driver_txq_configure(f->drv, i, &tx, &err), 0);
		rx.alloc = vio_pool_get;
	}
	assert_int_equal(vio_driver_start(f->drv, &err), 0);
}

static int open_front(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	struct front *f = calloc(1, sizeof(*f));

	*state = front = f;
	snprintf(path, sizeof(path), "/tmp/vioduct-user-pairs-%d.sock", (int)getpid());
	pair_device_start(&f->device, &(struct pair_device_conf){ .path = path,
								  .backend = "user,ipv6=off",
								  .pairs = 2 });
	f->none_on_0 = true;
	open_driver(f);
	f->host = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->host, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(f->host, (struct sockaddr *)&at, &len), 0);
	f->port = ntohs(at.sin_port);
	return 0;
}

static int close_front(void **state)
{
	struct front *f = *state;

	close(f->host);
	vio_driver_release(f->drv);
	vio_pool_destroy(f->pool);
	vio_dma_arena_destroy(f->arena);
	pair_device_stop(&f->device);
	free(f);
	return 0;
}

/* Sends the @len bytes that were put together. */
static void send_out(struct front *f, unsigned pair, uint32_t len)
{
	struct vio_buf *buf;

	assert_int_equal(vio_pool_get(f->pool, &buf, 1), 1);
	memcpy(vio_buf_data(buf), out, len);
	buf->len = len;
	assert_int_equal(vio_driver_tx_burst(f->drv, pair, &buf, 1), 1);
}

/* The gateway learns where the guest is. */
static void say_where(struct front *f)
{
	put_ethernet(0x0806);
	memset(out, 0xff, 6);
	memcpy(out + 14, "\0\1\10\0\6\4\0\1", 8);
	memcpy(out + 22, guest_mac, 6);
	vio_put_be32(out + 28, GUEST_IP);
	memset(out + 32, 0, 6);
	vio_put_be32(out + 38, GUEST_IP);
	send_out(f, 1, 42);
}

/* A flow of @pair's own reaches the machine. */
static void open_flow(struct front *f, unsigned pair)
{
	struct pollfd p = { .fd = f->host, .events = POLLIN };
	socklen_t len = sizeof(f->peer[pair]);
	uint8_t *udp = out + 34;
	char ping[16];

	vio_put_be16(udp, (uint16_t)(5000 + pair));
	vio_put_be16(udp + 2, f->port);
	vio_put_be16(udp + 4, 12);
	memcpy(udp + 8, "ping", 4);
	send_out(f, pair, put_ip(17, GUEST_IP, HOST_IP, 12, 6));
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_int_equal(recvfrom(f->host, ping, sizeof(ping), 0, (struct sockaddr *)&f->peer[pair],
				  &len),
			 4);
}

static void answer(struct front *f, unsigned pair, uint32_t number)
{
	uint8_t bytes[1400] = { 0 };

	vio_put_be32(bytes, number);
	assert_int_equal(sendto(f->host, bytes, sizeof(bytes), 0, (struct sockaddr *)&f->peer[pair],
				sizeof(f->peer[pair])),
			 sizeof(bytes));
}

/* The number of the next datagram on @pair. */
static uint32_t next_number(struct front *f, unsigned pair)
{
	struct vio_buf *buf;

	for (unsigned ms = 0;;) {
		int n = vio_driver_rx_burst(f->drv, pair, &buf, 1);
		uint32_t number = 0;

		assert_true(n >= 0);
		if (n == 0) {
			assert_true(ms++ < LIMIT_MS);
			poll(NULL, 0, 1);
			continue;
		}
		if (vio_get_be16(vio_buf_data(buf) + 12) == 0x0800 && vio_buf_data(buf)[23] == 17)
			number = vio_get_be32(vio_buf_data(buf) + 42);
		vio_pool_put(f->pool, &buf, 1);
		if (number != 0)
			return number;
	}
}

static uint64_t dropped(struct front *f, unsigned pair)
{
	struct vio_queue_stats stats;

	vio_device_queue_stats(f->device.dev, pair * 2, &stats);
	return stats.drops[VIO_DROP_NO_BUFFER];
}

static void a_starved_pair_keeps_nothing_from_the_other(void **state)
{
	struct front *f = *state;
	uint32_t last = 1, number = 0;

	say_where(f);
	open_flow(f, 0);
	open_flow(f, 1);
	answer(f, 1, 1);
	assert_int_equal(next_number(f, 1), 1);
	/* More for pair 0 than can wait for it: the first of them shows that it has no room. */
	for (unsigned ms = 0; dropped(f, 0) == 0; ms++) {
		assert_true(ms < LIMIT_MS);
		answer(f, 0, last++);
		poll(NULL, 0, 1);
	}
	for (uint32_t i = 2; i < 20; i++) {
		answer(f, 1, i);
		assert_int_equal(next_number(f, 1), i);
	}
	assert_int_equal(dropped(f, 1), 0);
	/* It gets what waited, and what comes then, in order. */
	f->none_on_0 = false;
	assert_int_equal(next_number(f, 0), 1);
	for (uint32_t before = 1, goal = last; number < goal; before = number) {
		answer(f, 0, last++);
		number = next_number(f, 0);
		assert_true(number > before);
	}
	answer(f, 1, 20);
	assert_int_equal(next_number(f, 1), 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_starved_pair_keeps_nothing_from_the_other,
						open_front, close_front),
	};

	return cmocka_run_group_tests_name("user network, two pairs", tests, NULL, NULL);
}
