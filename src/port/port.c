/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port: back end, device and vhost-user server put together, and its pairs handed to workers.
 *
 * Opening goes from the world to the guest (back end, device, pairs, server) and closing the other
 * way, so nothing is ever called that is not there: the server is the only one that starts queues,
 * and it comes last and goes first.
 *
 * The control thread waits for two things, behind one descriptor: the server, and word from a worker
 * that the world is gone (a tap was deleted). Then the link is down for good, which keeps workers from
 * trying again and tells the guest to look elsewhere.
 */
#include "port/port.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fmt.h"
#include "port/worker.h"

/* How long stopping ports let back ends take what guests have sent, and how often that is looked at. */
#define DRAIN_NS      (2 * 1000000000ull)
#define DRAIN_LOOK_NS 1000000

struct vio_port {
	const struct vio_host *host;
	struct vio_backend *be;
	struct vio_device *dev;
	struct vio_vhost_user *server;
	struct vio_device_runner runner;
	struct vio_pair_run *pairs;
	struct vio_sink **sinks;
	unsigned num_pairs; /* attached to workers */
	size_t pairs_size, sinks_size;
	bool started; /* the back end */
	int epoll_fd; /* what the control thread waits for */
	int lost_fd;  /* eventfd: written by workers when the back end's far side is gone */
	struct vio_vhost_user_status last;
};

/* ------------------------------------------------------------------------------------------
 * What the server asks of us
 */
struct change {
	struct vio_pair_run *pair;
	void (*fn)(void *arg);
	void *arg;
};

static bool sends(const struct vio_pair_run *pair)
{
	return vio_device_queue_running(pair->dev, pair->index * 2 + 1);
}

static void run_change(void *arg)
{
	const struct change *c = arg;
	const struct vio_pair_run *pair = c->pair;
	bool sent = sends(pair), received = !vio_device_rx_starved(pair->dev, pair->index);

	c->fn(c->arg);
	if (sent && !sends(pair) && pair->be->ops->discard)
		pair->be->ops->discard(pair->be, pair->index);
	if (received && vio_device_rx_starved(pair->dev, pair->index) && pair->be->ops->deafen)
		pair->be->ops->deafen(pair->be, pair->index);
}

static void run_exclusive(void *ctx, unsigned pair, void (*fn)(void *arg), void *arg)
{
	struct vio_port *port = ctx;
	struct change c = { .pair = &port->pairs[pair], .fn = fn, .arg = arg };

	vio_worker_change(c.pair, run_change, &c);
}

static void watch_kick(void *ctx, unsigned queue, int fd)
{
	struct vio_port *port = ctx;

	vio_worker_watch(&port->pairs[queue / 2], queue & 1 ? VIO_WAKE_TX_KICK : VIO_WAKE_RX_KICK,
			 fd, fd >= 0 ? EPOLLIN | EPOLLET : 0);
}

static void look(void *ctx, unsigned pair)
{
	struct vio_port *port = ctx;

	vio_worker_look(&port->pairs[pair]);
}

static void connection(void *ctx, bool up)
{
	struct vio_port *port = ctx;
	char where[128] = "";

	vio_port_describe(port, where, sizeof(where));
	vio_log(port->host, VIO_LOG_INFO, "%s: front end %s", where,
		up ? "connected" : "disconnected");
}

/* ------------------------------------------------------------------------------------------
 * Pairs
 */
static void attach(void *arg)
{
	struct vio_pair_run *pair = arg;
	struct vio_backend *be = pair->be;
	int fd = be->ops->fd ? be->ops->fd(be, pair->index) : -1;

	vio_worker_attach(pair);
	/* Interest comes with the first arming; until then nothing is due. */
	vio_worker_watch(pair, VIO_WAKE_BACKEND, fd, 0);
	if (vio_device_tx_mode(pair->dev) == VIO_TX_TIMER)
		vio_worker_watch(pair, VIO_WAKE_TX_TIMER,
				 timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				 EPOLLIN);
}

static void detach(void *arg)
{
	struct vio_pair_run *pair = arg;
	int timer = pair->wake[VIO_WAKE_TX_TIMER].fd;

	vio_worker_detach(pair);
	if (timer >= 0)
		close(timer);
}

static int open_pairs(struct vio_port *port, struct vio_workers *workers)
{
	bool one_thread = port->be->caps.flags & VIO_BACKEND_ONE_THREAD;
	unsigned number = vio_workers_next_port(workers);
	const struct vio_host *host = port->host;
	unsigned n = vio_device_num_pairs(port->dev);
	unsigned i, k;
	int ret;

	port->pairs_size = sizeof(*port->pairs) * n;
	port->sinks_size = sizeof(*port->sinks) * n;
	port->pairs = host->alloc(host->ctx, port->pairs_size, 64);
	port->sinks = host->alloc(host->ctx, port->sinks_size, 64);
	if (!port->pairs || !port->sinks)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		port->sinks[i] = vio_device_sink(port->dev, i);
	ret = port->be->ops->start ? port->be->ops->start(port->be, port->sinks, n) : 0;
	if (ret)
		return ret;
	port->started = true;
	for (i = 0; i < n; i++) {
		struct vio_pair_run *pair = &port->pairs[i];

		pair->worker = vio_workers_pick(workers, number, i, one_thread);
		pair->dev = port->dev;
		pair->be = port->be;
		pair->index = i;
		pair->tx_due = vio_device_tx_mode(port->dev) == VIO_TX_BH;
		pair->lost_fd = port->lost_fd;
		for (k = 0; k < VIO_WAKE_NR; k++)
			pair->wake[k].fd = -1;
		vio_worker_call(pair->worker, attach, pair);
		port->num_pairs = i + 1;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * Opening and closing
 */
static int open_backend(struct vio_port *port, const struct vio_port_conf *conf,
			struct vio_error *err)
{
	struct vio_backend_config be = {
		.pairs = (uint16_t)(conf->props.queue_pairs ? conf->props.queue_pairs : 1),
		.mtu = (uint16_t)conf->props.mtu,
		.mac = conf->props.mac,
		.host = port->host,
	};

	if (conf->props.queue_pairs > VIO_DEVICE_MAX_PAIRS) {
		vio_error_set(err, "queue-pairs: %u: must be between 1 and %u",
			      conf->props.queue_pairs, VIO_DEVICE_MAX_PAIRS);
		return -EINVAL;
	}
	return vio_backend_open(conf->backend, &be, &port->be, err);
}

static int watch(const struct vio_port *port, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_descriptors(struct vio_port *port, struct vio_error *err)
{
	int ret = 0;

	port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	port->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->epoll_fd < 0 || port->lost_fd < 0)
		ret = -errno;
	else
		ret = watch(port, port->lost_fd);
	if (ret)
		vio_error_set(err, "can't make what to wait on: %s", strerror(-ret));
	return ret;
}

static void close_descriptors(struct vio_port *port)
{
	if (port->epoll_fd >= 0)
		close(port->epoll_fd);
	if (port->lost_fd >= 0)
		close(port->lost_fd);
}

int vio_port_open(const struct vio_host *host, struct vio_workers *workers,
		  const struct vio_port_conf *conf, struct vio_port **out, struct vio_error *err)
{
	struct vio_port *port;
	int ret;

	port = host->alloc(host->ctx, sizeof(*port), 64);
	if (!port)
		return -ENOMEM;
	port->host = host;
	port->epoll_fd = port->lost_fd = -1;
	port->runner = (struct vio_device_runner){
		.ctx = port,
		.exclusive = run_exclusive,
		.watch_kick = watch_kick,
		.look = look,
		.connection = connection,
	};
	ret = open_descriptors(port, err);
	if (ret)
		goto close;
	ret = open_backend(port, conf, err);
	if (ret)
		goto close;
	ret = vio_device_create(host, &conf->props, port->be, &port->dev, err);
	if (ret)
		goto close;
	ret = open_pairs(port, workers);
	if (ret) {
		vio_error_set(err, "back end %s: can't be started (error %d)", conf->backend, -ret);
		goto close;
	}
	ret = vio_vhost_user_create(host, port->dev, &port->runner, &conf->vhost_user,
				    &port->server, err);
	if (ret)
		goto close;
	ret = watch(port, vio_vhost_user_fd(port->server));
	if (ret) {
		vio_error_set(err, "can't wait for front ends: %s", strerror(-ret));
		goto close;
	}
	*out = port;
	return 0;

close:
	vio_port_close(port);
	return ret;
}

struct drain {
	struct vio_pair_run *pair;
	bool empty;
};

/* On the worker: whether the guest's sent frames are all with the back end. */
static void drained(void *arg)
{
	struct drain *d = arg;

	d->empty = !vio_device_tx_pending(d->pair->dev, d->pair->index);
}

/* Has each pair looked at that was not seen empty yet. True when all were. */
static bool drain_a_little(struct vio_port *port)
{
	bool all = true;

	for (unsigned i = 0; i < port->num_pairs; i++) {
		struct drain d = { .pair = &port->pairs[i] };

		if (d.pair->drained)
			continue;
		vio_worker_look(d.pair);
		vio_worker_call(d.pair->worker, drained, &d);
		d.pair->drained = d.empty;
		all &= d.empty;
	}
	return all;
}

/* A back end that stays busy keeps nobody else's frames from leaving: all have the same time. */
static void drain(struct vio_port *const *ports, unsigned n)
{
	const struct timespec look_again = { .tv_nsec = DRAIN_LOOK_NS };
	const struct vio_host *host = NULL;
	uint64_t end = 0;
	bool all;

	for (;;) {
		all = true;
		for (unsigned i = 0; i < n; i++) {
			if (!ports[i] || !ports[i]->server)
				continue;
			if (!host) {
				host = ports[i]->host;
				end = host->now_ns(host->ctx) + DRAIN_NS;
			}
			all &= drain_a_little(ports[i]);
		}
		if (all || host->now_ns(host->ctx) >= end)
			return;
		nanosleep(&look_again, NULL);
	}
}

static void stop(struct vio_port *port)
{
	unsigned i;

	if (port->server) {
		vio_vhost_user_status(port->server, &port->last);
		vio_vhost_user_destroy(port->server);
		port->server = NULL;
	}
	for (i = 0; i < port->num_pairs; i++)
		vio_worker_call(port->pairs[i].worker, detach, &port->pairs[i]);
	port->num_pairs = 0;
	if (port->be && port->be->ops->flush)
		port->be->ops->flush(port->be);
	if (port->started && port->be->ops->stop)
		port->be->ops->stop(port->be);
	port->started = false;
}

void vio_ports_stop(struct vio_port *const *ports, unsigned n)
{
	drain(ports, n);
	for (unsigned i = 0; i < n; i++)
		if (ports[i])
			stop(ports[i]);
}

void vio_port_stop(struct vio_port *port)
{
	vio_ports_stop(&port, 1);
}

void vio_port_close(struct vio_port *port)
{
	const struct vio_host *host;

	if (!port)
		return;
	host = port->host;
	vio_port_stop(port);
	vio_device_destroy(port->dev);
	vio_backend_close(port->be);
	close_descriptors(port);
	host->free(host->ctx, port->sinks, port->sinks_size);
	host->free(host->ctx, port->pairs, port->pairs_size);
	host->free(host->ctx, port, sizeof(*port));
}

int vio_port_fd(const struct vio_port *port)
{
	return port->epoll_fd;
}

static void lose_link(struct vio_port *port)
{
	char where[128] = "";
	eventfd_t pairs;

	if (eventfd_read(port->lost_fd, &pairs) < 0 || !vio_device_link(port->dev))
		return;
	vio_port_describe(port, where, sizeof(where));
	vio_log(port->host, VIO_LOG_WARN, "%s: gone, the link is down", where);
	vio_device_set_link(port->dev, false);
}

void vio_port_handle(struct vio_port *port)
{
	struct epoll_event events[2];
	int n = epoll_wait(port->epoll_fd, events, 2, 0);

	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == port->lost_fd)
			lose_link(port);
		else
			vio_vhost_user_handle(port->server);
	}
}

struct vio_device *vio_port_device(const struct vio_port *port)
{
	return port->dev;
}

void vio_port_status(const struct vio_port *port, struct vio_vhost_user_status *status)
{
	*status = port->last;
	if (port->server)
		vio_vhost_user_status(port->server, status);
}

void vio_port_describe(const struct vio_port *port, char *buf, size_t len)
{
	if (port->be->ops->describe)
		port->be->ops->describe(port->be, buf, len);
	else
		vio_snprintf(buf, len, "%s", port->be->ops->kind);
}
