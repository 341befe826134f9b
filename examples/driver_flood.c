/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends or receives a number of frames as fast as a vhost-user device can, by polling:
 *
 *	driver_flood SOCKET tx|rx COUNT
 *
 * The shortest complete use of the driver: memory, transport, driver, queues, start; then bursts.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vioduct/driver_linux.h>

#define BURST 32

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Broadcast, from a local address, with an EtherType set aside for experiments. */
static void fill(struct vio_buf *buf)
{
	memcpy(vio_buf_data(buf), "\377\377\377\377\377\377\2\0\0\0\0\1\210\265", 14);
	buf->len = 60;
}

static int send_burst(struct vio_driver *drv, struct vio_pool *pool, unsigned want)
{
	struct vio_buf *bufs[BURST];
	unsigned n = vio_pool_get(pool, bufs, want < BURST ? want : BURST), i;
	int sent;

	for (i = 0; i < n; i++)
		fill(bufs[i]);
	sent = vio_driver_tx_burst(drv, 0, bufs, n);
	i = sent < 0 ? 0 : (unsigned)sent;
	vio_pool_put(pool, bufs + i, n - i); /* what was not taken is still ours */
	return sent;
}

static int receive_burst(struct vio_driver *drv, struct vio_pool *pool, unsigned want)
{
	struct vio_buf *bufs[BURST];
	int n = vio_driver_rx_burst(drv, 0, bufs, want < BURST ? want : BURST);

	if (n > 0)
		vio_pool_put(pool, bufs, (unsigned)n);
	return n;
}

int main(int argc, char **argv)
{
	struct vio_vhost_user_front_conf front = { .socket_path = argv[1] };
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = { .alloc = vio_pool_get, .free = vio_pool_put };
	struct vio_txq_conf tx = { .free = vio_pool_put };
	struct vio_driver_transport *transport;
	struct vio_driver_queue_info info;
	struct vio_error err = { "bad usage: driver_flood SOCKET tx|rx COUNT" };
	struct vio_dma_arena *arena;
	struct vio_driver *drv;
	struct vio_pool *pool;
	unsigned long count, done = 0;
	double began;
	int n = 0;

	if (argc != 4 || vio_dma_arena_create(16 << 20, VIO_LOG_INFO, &arena, &err) ||
	    vio_vhost_user_open(&front, arena, &transport, &err) ||
	    vio_driver_probe(transport, vio_dma_arena_host(arena), NULL, &drv, &err) ||
	    vio_pool_create(vio_dma_arena_host(arena), 4096, 2048, &pool))
		goto fail;
	rx.ctx = tx.ctx = pool;
	if (vio_driver_configure(drv, &conf, &err) || vio_driver_rxq_configure(drv, 0, &rx, &err) ||
	    vio_driver_txq_configure(drv, 0, &tx, &err) || vio_driver_start(drv, &err))
		goto fail;
	signal(SIGINT, on_signal);
	count = strtoul(argv[3], NULL, 0);
	for (began = seconds(); done < count && n >= 0 && !stop; done += n > 0 ? (unsigned)n : 0)
		n = argv[2][0] == 't' ? send_burst(drv, pool, (unsigned)(count - done)) :
					receive_burst(drv, pool, (unsigned)(count - done));
	printf("%lu frames, %.3f million a second\n", done,
	       (double)done / (seconds() - began) / 1e6);
	/* Let the device finish what it has before it is reset. */
	do
		vio_driver_queue_info(drv, VIO_TXQ(0), &info);
	while (info.in_flight && !stop && vio_driver_tx_reap(drv, 0, BURST) >= 0);
	vio_driver_release(drv);
	vio_pool_destroy(pool);
	vio_dma_arena_destroy(arena);
	return n < 0;
fail:
	fprintf(stderr, "driver_flood: %s\n", err.msg);
	return 1;
}
