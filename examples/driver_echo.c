/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends every frame back to where it came from, asleep while there are none:
 *
 *	driver_echo SOCKET [server]
 *
 * Driven by interrupts, without a copy (received buffers are sent as they are), and back at work
 * when the device was gone for a while. A device that breaks a queue is not worth coming back to:
 * that ends it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <vioduct/driver_linux.h>

static struct vio_driver *drv;
static struct vio_pool *pool;
static struct vio_error broken; /* says what is */

/* What the device wrote into a queue is nonsense, and no interrupt will come for it any more. */
static void on_queue_broken(void *ctx, struct vio_driver *of, unsigned queue, enum vio_vq_error why)
{
	(void)ctx, (void)of;
	snprintf(broken.msg, sizeof(broken.msg), "queue %u is broken: %s", queue,
		 vio_vq_error_name(why));
}

/* Swaps the two addresses at the front of a frame. */
static void turn_round(struct vio_buf *buf)
{
	uint8_t *frame = vio_buf_data(buf), mac[VIO_ETH_ALEN];

	memcpy(mac, frame, VIO_ETH_ALEN);
	memcpy(frame, frame + VIO_ETH_ALEN, VIO_ETH_ALEN);
	memcpy(frame + VIO_ETH_ALEN, mac, VIO_ETH_ALEN);
}

/* The driver hands up frames; they are ours from here on, until they are sent. */
static void on_frames(void *ctx, struct vio_buf **frames, unsigned n)
{
	unsigned i;
	int sent;

	(void)ctx;
	for (i = 0; i < n; i++)
		turn_round(frames[i]);
	sent = vio_driver_tx_burst(drv, 0, frames, n);
	if (sent < 0)
		sent = 0;
	vio_pool_put(pool, frames + sent, n - (unsigned)sent);
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Brings the device back, however long it takes. */
static void wait_for_device(void)
{
	struct vio_error err;

	while (vio_driver_recover(drv, 1000, &err) < 0)
		fprintf(stderr, "driver_echo: %s\n", err.msg);
	broken.msg[0] = '\0'; /* all queues are new */
	vio_driver_intr_enable(drv, VIO_RXQ(0));
}

/* Until a queue is broken. */
static void run(void)
{
	int news = vio_driver_fd(drv), frames = vio_driver_queue_fd(drv, VIO_RXQ(0));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), n;
	struct epoll_event event;

	watch(epoll_fd, news);
	watch(epoll_fd, frames);
	vio_driver_intr_enable(drv, VIO_RXQ(0));
	for (;;) {
		/* Less than the budget: the queue is empty, and will interrupt. */
		do
			n = vio_driver_poll(drv, 0, 64);
		while (n == 64);
		if (broken.msg[0])
			return;
		if (epoll_wait(epoll_fd, &event, 1, -1) < 1)
			continue;
		if (event.data.fd == frames)
			vio_driver_queue_fd_handle(drv, VIO_RXQ(0));
		else if (vio_driver_config_interrupt(drv) < 0)
			wait_for_device();
	}
}

int main(int argc, char **argv)
{
	struct vio_vhost_user_front_conf front = { .socket_path = argv[1], .server = argc > 2 };
	struct vio_driver_events events = { .queue_broken = on_queue_broken };
	struct vio_driver_opts opts = { .events = &events };
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = { .alloc = vio_pool_get,
				   .free = vio_pool_put,
				   .receive = on_frames };
	struct vio_txq_conf tx = { .free = vio_pool_put };
	struct vio_driver_transport *transport;
	struct vio_error err = { "bad usage: driver_echo SOCKET [server]" };
	struct vio_dma_arena *arena;

	if (argc < 2 || vio_dma_arena_create(16 << 20, VIO_LOG_INFO, &arena, &err) ||
	    vio_vhost_user_open(&front, arena, &transport, &err) ||
	    vio_driver_probe(transport, vio_dma_arena_host(arena), &opts, &drv, &err) ||
	    vio_pool_create(vio_dma_arena_host(arena), 4096, 2048, &pool))
		goto fail;
	rx.ctx = tx.ctx = pool;
	if (vio_driver_configure(drv, &conf, &err) || vio_driver_rxq_configure(drv, 0, &rx, &err) ||
	    vio_driver_txq_configure(drv, 0, &tx, &err) || vio_driver_start(drv, &err))
		goto fail;
	run();
	err = broken;
	vio_driver_release(drv);
	vio_pool_destroy(pool);
	vio_dma_arena_destroy(arena);
fail:
	fprintf(stderr, "driver_echo: %s\n", err.msg);
	return 1;
}
