/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "check.h"
#include "pair_driver.h"

#define SMALL_COUNT 2048u
#define BIG_COUNT   32u

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Reports ------------------------------------------------------------------------------- */

static void report_queue(const struct pair_queue *q, unsigned queue)
{
	const struct pair_device *device = q->d->conf.device;
	struct vio_driver_queue_info info;
	struct vio_driver_stats s;

	if (vio_driver_queue_info(q->d->drv, queue, &info) != 0 ||
	    vio_driver_queue_stats(q->d->drv, queue, &s) != 0)
		return;
	fprintf(stderr,
		"  queue %u: driver: %u in flight, interrupt %s, %s, error %s; packets %" PRIu64
		", errors %" PRIu64 ", kicks %" PRIu64 ", interrupts %" PRIu64 ", spurious %" PRIu64
		"\n",
		queue, info.in_flight, info.intr_enabled ? "enabled" : "disabled",
		info.intr_armed ? "armed" : "not armed", vio_vq_error_name(info.error), s.packets,
		s.errors, s.kicks, s.interrupts, s.spurious);
	if (device && device->dev) {
		struct vio_queue_stats t;

		vio_device_queue_stats(device->dev, queue, &t);
		fprintf(stderr,
			"  queue %u: device: packets %" PRIu64 ", kicks %" PRIu64 ", calls %" PRIu64
			"\n",
			queue, t.packets, t.kicks, t.calls);
	}
}

_Noreturn void pair_queue_die(const struct pair_queue *q, const char *what)
{
	fprintf(stderr,
		"pair %u: %s: sent %" PRIu64 ", freed %" PRIu64 ", received %" PRIu64
		", expected next %" PRIu64 ", waiting to be sent %u%s\n",
		q->id, what, q->sent, q->freed, q->received, q->next, q->npending,
		q->tx_blocked ? ", sender blocked" : "");
	report_queue(q, VIO_RXQ(q->id));
	report_queue(q, VIO_TXQ(q->id));
	abort();
}

/* ---- What the driver calls ----------------------------------------------------------------- */

static unsigned rx_alloc(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct pair_queue *q = ctx;

	return vio_pool_get(q->rx_pool, bufs, n);
}

static void rx_free(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct pair_queue *q = ctx;

	vio_pool_put(q->rx_pool, bufs, n);
}

static void rx_receive(void *ctx, struct vio_buf **frames, unsigned n)
{
	struct pair_queue *q = ctx;
	unsigned i;

	for (i = 0; i < n; i++)
		(q->take ? q->take : pair_queue_take)(q, frames[i]);
}

static void rx_event(void *ctx, unsigned queue)
{
	struct pair_queue *q = ctx;

	check(queue == VIO_RXQ(q->id));
	q->rx_event = true;
}

static void tx_free(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct pair_queue *q = ctx;

	pair_buffers_put(&q->tx, bufs, n);
	q->freed += n;
}

static void tx_unsent(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct pair_queue *q = ctx;

	q->unsent += n;
	tx_free(ctx, bufs, n);
}

static void tx_event(void *ctx, unsigned queue)
{
	struct pair_queue *q = ctx;

	check(queue == VIO_TXQ(q->id));
	q->tx_event = true;
}

static void tx_wake(void *ctx, unsigned id)
{
	struct pair_queue *q = ctx;

	check(id == q->id);
	q->tx_event = true;
}

/* ---- Up and down --------------------------------------------------------------------------- */

static struct vio_features wanted(const struct pair_driver_conf *conf)
{
	static const uint8_t offloads[] = {
		VIO_NET_F_CSUM,	      VIO_NET_F_HOST_TSO4,  VIO_NET_F_HOST_TSO6,
		VIO_NET_F_HOST_ECN,   VIO_NET_F_HOST_UFO,   VIO_NET_F_HOST_USO,
		VIO_NET_F_GUEST_CSUM, VIO_NET_F_GUEST_TSO4, VIO_NET_F_GUEST_TSO6,
		VIO_NET_F_GUEST_ECN,  VIO_NET_F_GUEST_UFO,  VIO_NET_F_GUEST_USO4,
		VIO_NET_F_GUEST_USO6,
	};
	struct vio_features f =
		vio_features_make(vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_NET_F_STATUS), 0);
	unsigned i;

	if (conf->indirect)
		vio_features_set(&f, VIO_F_INDIRECT_DESC);
	if (conf->event_idx)
		vio_features_set(&f, VIO_F_EVENT_IDX);
	if (conf->mergeable)
		vio_features_set(&f, VIO_NET_F_MRG_RXBUF);
	if (conf->packed)
		vio_features_set(&f, VIO_F_RING_PACKED);
	if (conf->in_order)
		vio_features_set(&f, VIO_F_IN_ORDER);
	if (conf->queue_reset)
		vio_features_set(&f, VIO_F_RING_RESET);
	if (conf->mtu)
		vio_features_set(&f, VIO_NET_F_MTU);
	if (conf->pairs > 1)
		vio_features_set(&f, VIO_NET_F_MQ);
	for (i = 0; conf->offloads && i < vio_array_size(offloads); i++)
		vio_features_set(&f, offloads[i]);
	return f;
}

static void open_device(struct pair_driver *d)
{
	const struct pair_driver_conf *conf = &d->conf;
	struct vio_vhost_user_front_conf front = {
		.socket_path = conf->path,
		.server = conf->server,
		.timeout_ms = PAIR_LIMIT_MS,
		.reply_timeout_ms = PAIR_LIMIT_MS,
		.mtu = conf->mtu,
	};
	struct vio_driver_opts opts = { .want = vio_features_is_empty(conf->want) ? wanted(conf) :
										    conf->want,
					.timeout_ms = PAIR_LIMIT_MS };
	struct vio_driver_transport *transport = NULL;
	struct vio_driver_info info;
	struct vio_error err = { "" };

	if (vio_vhost_user_open(&front, d->arena, &transport, &err) != 0 ||
	    vio_driver_probe(transport, vio_dma_arena_host(d->arena), &opts, &d->drv, &err) != 0)
		fprintf(stderr, "%s\n", err.msg);
	check(d->drv != NULL);
	vio_driver_get_info(d->drv, &info);
	check(!vio_features_is_empty(conf->want) ||
	      vio_features_is_subset(opts.want, info.accepted));
}

/* What a stream may hold follows from what was negotiated (virtio 1.4, 5.1.9.2 and 5.1.9.3). */
static struct pair_stream stream_of(const struct pair_driver_conf *conf, unsigned id)
{
	struct pair_stream s = { .key = (conf->key + id + 1) * UINT64_C(0xd1342543de82ef95),
				 .csum = conf->offloads,
				 .gso = conf->offloads,
				 .large = conf->large_frames };

	s.plain_max = 1514;
	if (conf->mtu)
		s.plain_max = vio_min(conf->mtu + VIO_ETH_HLEN, PAIR_FRAME_MAX);
	s.max = conf->offloads ? PAIR_FRAME_MAX : s.plain_max;
	if (conf->short_frames) {
		s.max = 128;
		s.whole = true;
	}
	return s;
}

static void open_queue(struct pair_driver *d, unsigned id)
{
	const struct vio_host *host = vio_dma_arena_host(d->arena);
	const struct pair_driver_conf *conf = &d->conf;
	uint32_t room = conf->rx_room ? conf->rx_room : PAIR_SMALL_ROOM;
	struct pair_queue *q = calloc(1, sizeof(*q));
	struct vio_rxq_conf rx = { .size = PAIR_RING,
				   .alloc = rx_alloc,
				   .free = rx_free,
				   .receive = rx_receive,
				   .event = rx_event,
				   .ctx = q };
	struct vio_txq_conf tx = { .size = PAIR_RING,
				   .free = tx_free,
				   .unsent = tx_unsent,
				   .event = tx_event,
				   .wake = tx_wake,
				   .ctx = q };
	struct vio_error err = { "" };

	check(q != NULL);
	d->queues[id] = q;
	q->d = d;
	q->id = id;
	q->stream = stream_of(conf, id);
	q->rx_count = conf->rx_count ? conf->rx_count : 2 * PAIR_RING + 64;
	check(vio_pool_create(host, q->rx_count, room, &q->rx_pool) == 0);
	check(vio_pool_create(host, SMALL_COUNT, PAIR_SMALL_ROOM, &q->tx.small) == 0);
	check(vio_pool_create(host, BIG_COUNT, PAIR_BIG_ROOM, &q->tx.big) == 0);
	check(vio_driver_rxq_configure(d->drv, id, &rx, &err) == 0);
	check(vio_driver_txq_configure(d->drv, id, &tx, &err) == 0);
}

static void enable_interrupts(struct pair_driver *d)
{
	unsigned id;

	for (id = 0; d->conf.interrupts && id < d->pairs; id++) {
		struct pair_queue *q = d->queues[id];

		q->rx_event = vio_driver_intr_enable(d->drv, VIO_RXQ(id)) > 0;
		q->tx_event = vio_driver_intr_enable(d->drv, VIO_TXQ(id)) > 0;
		q->tx_blocked = false;
	}
}

void pair_driver_open(struct pair_driver *d, const struct pair_driver_conf *conf)
{
	struct vio_driver_conf queues;
	struct vio_error err = { "" };
	uint64_t each;
	unsigned id;

	memset(d, 0, sizeof(*d));
	d->conf = *conf;
	d->pairs = conf->pairs ? conf->pairs : 1;
	each = (uint64_t)(2 * PAIR_RING + 64) *
	       ((conf->rx_room ? conf->rx_room : PAIR_SMALL_ROOM) + 256);
	each += SMALL_COUNT * (PAIR_SMALL_ROOM + 256) + BIG_COUNT * (PAIR_BIG_ROOM + 256) +
		(1 << 20);
	check(vio_dma_arena_create(each * d->pairs, VIO_LOG_ERROR, &d->arena, &err) == 0);
	open_device(d);
	queues = (struct vio_driver_conf){ .nb_rx = d->pairs, .nb_tx = d->pairs };
	check(vio_driver_configure(d->drv, &queues, &err) == 0);
	for (id = 0; id < d->pairs; id++)
		open_queue(d, id);
	if (vio_driver_start(d->drv, &err) != 0)
		fprintf(stderr, "%s\n", err.msg);
	check(err.msg[0] == '\0');
	enable_interrupts(d);
}

void pair_driver_recover(struct pair_driver *d)
{
	struct vio_error err = { "" };
	unsigned id;

	if (vio_driver_recover(d->drv, PAIR_LIMIT_MS, &err) != 0)
		fprintf(stderr, "%s\n", err.msg);
	check(err.msg[0] == '\0');
	for (id = 0; id < d->pairs; id++) {
		struct pair_queue *q = d->queues[id];

		/* Whatever was not given back was sent again, and nothing else. */
		check(q->recoveries < PAIR_RECOVERIES);
		q->repeat_from[q->recoveries++] = q->freed;
		if (q->unsent)
			pair_queue_die(q, "the recovered device was not given everything");
	}
	enable_interrupts(d);
}

static void close_queue(struct pair_queue *q)
{
	if (q->npending)
		pair_buffers_put(&q->tx, q->pending, q->npending);
	if (q->freed != q->sent || vio_pool_available(q->rx_pool) != q->rx_count ||
	    vio_pool_available(q->tx.small) != SMALL_COUNT ||
	    vio_pool_available(q->tx.big) != BIG_COUNT)
		pair_queue_die(q, "buffers are missing at the end");
	vio_pool_destroy(q->rx_pool);
	vio_pool_destroy(q->tx.small);
	vio_pool_destroy(q->tx.big);
	free(q);
}

void pair_driver_close(struct pair_driver *d)
{
	unsigned id;

	check(vio_driver_stop(d->drv) == 0);
	for (id = 0; id < d->pairs; id++)
		close_queue(d->queues[id]);
	vio_driver_release(d->drv);
	vio_dma_arena_destroy(d->arena);
}

/* ---- Frames -------------------------------------------------------------------------------- */

int pair_queue_send(struct pair_queue *q, unsigned n)
{
	int ret;

	n = vio_min(n, PAIR_BURST);
	while (q->npending < n) {
		struct vio_buf *frame =
			pair_frame_build(&q->stream, q->sent + q->npending, &q->tx, q->work);

		if (!frame)
			break;
		q->pending[q->npending++] = frame;
	}
	if (q->npending == 0)
		return 0;
	ret = vio_driver_tx_burst(q->d->drv, q->id, q->pending, q->npending);
	if (ret == -EINVAL || ret == -EMSGSIZE || ret == -ENOMEM || ret == -EPROTO)
		pair_queue_die(q, "a good frame was refused");
	if (ret <= 0)
		return ret;
	q->sent += (unsigned)ret;
	q->npending -= (unsigned)ret;
	memmove(q->pending, q->pending + ret, q->npending * sizeof(*q->pending));
	return ret;
}

/* Whether a recovery explains that frame @seq comes again. */
static bool repeats_from(struct pair_queue *q, uint64_t seq)
{
	unsigned i;

	for (i = q->repeats; i < q->recoveries; i++)
		if (q->repeat_from[i] == seq) {
			q->repeats = i + 1;
			return true;
		}
	return false;
}

void pair_queue_take(struct pair_queue *q, struct vio_buf *frame)
{
	uint64_t seq = pair_frame_seq(&q->stream, frame);
	const char *wrong;

	if (seq < q->next && repeats_from(q, seq)) {
		q->repeated += q->next - seq;
		q->next = seq;
	}
	wrong = pair_frame_check(&q->stream, q->next, frame, q->work);
	if (wrong) {
		fprintf(stderr, "%s; it says to be frame %" PRIu64 ", %u bytes in %u pieces\n",
			wrong, seq, frame->frame_len, frame->pieces);
		pair_queue_die(q, "not the frame that was to come");
	}
	if (q->next >= q->sent)
		pair_queue_die(q, "a frame that was never sent");
	q->next++;
	q->received = vio_max(q->received, q->next);
	vio_pool_put(q->rx_pool, &frame, 1);
}

int pair_queue_receive(struct pair_queue *q, unsigned n)
{
	struct vio_buf *frames[64];
	int got = vio_driver_rx_burst(q->d->drv, q->id, frames, vio_min(n, 64u));

	if (got == -EPROTO)
		pair_queue_die(q, "the receive queue broke");
	if (got > 0)
		rx_receive(q, frames, (unsigned)got);
	return got;
}

void pair_queue_busy(struct pair_queue *q)
{
	q->idle_turns = 0;
}

void pair_queue_idle(struct pair_queue *q)
{
	if (q->idle_turns++ == 0)
		q->idle_since = now_ms();
	else if (q->idle_turns % 256 == 0 && now_ms() - q->idle_since > PAIR_LIMIT_MS)
		pair_queue_die(q, "nothing moves any more");
	sched_yield();
}

bool pair_queue_sleep(struct pair_queue *q, bool watch)
{
	uint64_t deadline = now_ms() + PAIR_LIMIT_MS, now;
	struct vio_driver *drv = q->d->drv;
	struct pollfd fds[3] = {
		{ .fd = vio_driver_queue_fd(drv, VIO_RXQ(q->id)), .events = POLLIN },
		{ .fd = vio_driver_queue_fd(drv, VIO_TXQ(q->id)), .events = POLLIN },
		{ .fd = watch ? vio_driver_fd(drv) : -1, .events = POLLIN },
	};

	check(fds[0].fd >= 0 && fds[1].fd >= 0 && (!watch || fds[2].fd >= 0));
	q->sleeps++;
	/* A descriptor may be readable though its queue is not armed; that is no event. */
	while (!q->rx_event && !q->tx_event) {
		now = now_ms();
		if (now >= deadline || poll(fds, 3, (int)(deadline - now)) == 0)
			pair_queue_die(q, "sleeps for ever");
		if (fds[0].revents)
			vio_driver_queue_fd_handle(drv, VIO_RXQ(q->id));
		if (fds[1].revents)
			vio_driver_queue_fd_handle(drv, VIO_TXQ(q->id));
		if (fds[2].revents && vio_driver_config_interrupt(drv) == -ENODEV)
			return false;
	}
	return true;
}

void pair_queue_finish(struct pair_queue *q)
{
	int n;

	pair_queue_busy(q);
	while (q->freed < q->sent) {
		n = vio_driver_tx_reap(q->d->drv, q->id, PAIR_RING);
		if (n < 0)
			pair_queue_die(q, "sent frames can't be freed");
		if (n == 0)
			pair_queue_idle(q);
	}
	if (q->unsent)
		pair_queue_die(q, "frames came back unsent");
}

/* ---- Echo ---------------------------------------------------------------------------------- */

static bool device_gone(struct pair_queue *q)
{
	struct pollfd p = { .fd = vio_driver_fd(q->d->drv), .events = POLLIN };

	return poll(&p, 1, 0) == 1 && vio_driver_config_interrupt(q->d->drv) == -ENODEV;
}

/* As many as there are still to be sent, up to a burst; for frames that wait are sent first. */
static unsigned left(const struct pair_queue *q, uint64_t target)
{
	return q->sent < target ? (unsigned)vio_min(target - q->sent, (uint64_t)PAIR_BURST) : 0;
}

/* How many frames were moved, or -1. */
static int move(struct pair_queue *q, unsigned n)
{
	int sent = pair_queue_send(q, n);
	int got = pair_queue_receive(q, 64);

	/* Buffers may be short before the ring is full. */
	if (sent == 0)
		vio_driver_tx_reap(q->d->drv, q->id, PAIR_RING);
	return sent < 0 || got < 0 ? -1 : sent + got;
}

static void moved(struct pair_queue *q, int frames)
{
	if (frames < 0)
		pair_queue_die(q, "a queue function failed");
	if (frames > 0)
		pair_queue_busy(q);
	else
		pair_queue_idle(q);
}

void pair_queue_turn(struct pair_queue *q, unsigned n)
{
	moved(q, move(q, n));
}

static bool run_polling(struct pair_queue *q, uint64_t target, bool watch)
{
	while (q->received < target || q->next < q->received) {
		int frames = move(q, left(q, target));

		if (watch && device_gone(q))
			return false;
		moved(q, frames);
	}
	return true;
}

/* Sends what can be sent. What stops it is followed by an interrupt. */
static void send_some(struct pair_queue *q, uint64_t target)
{
	int sent, ret;

	if (q->tx_event)
		q->tx_blocked = false;
	q->tx_event = false;
	while (!q->tx_blocked && q->sent < target) {
		sent = pair_queue_send(q, left(q, target));
		if (sent < 0)
			pair_queue_die(q, "sending failed");
		if (q->npending > 0) {
			q->tx_blocked = !q->tx_event; /* the driver has armed it */
			q->tx_event = false;
		} else if (sent == 0) {
			/* Buffers are short: they come back with an interrupt that we ask for. */
			ret = vio_driver_intr_enable(q->d->drv, VIO_TXQ(q->id));
			check(ret >= 0);
			q->tx_blocked = ret == 0;
			if (ret > 0)
				vio_driver_tx_reap(q->d->drv, q->id, PAIR_RING);
		}
	}
}

static bool run_sleeping(struct pair_queue *q, uint64_t target, bool watch)
{
	int work;

	for (;;) {
		send_some(q, target);
		if (q->rx_event) {
			q->rx_event = false;
			work = vio_driver_poll(q->d->drv, q->id, 64);
			if (work < 0)
				pair_queue_die(q, "poll failed");
			q->rx_event = work == 64;
		}
		if (q->received >= target && q->next == q->received)
			return true;
		if (!q->rx_event && !q->tx_event && (q->tx_blocked || q->sent >= target) &&
		    !pair_queue_sleep(q, watch))
			return false;
	}
}

bool pair_queue_run(struct pair_queue *q, uint64_t target, bool watch)
{
	return (q->d->conf.interrupts ? run_sleeping : run_polling)(q, target, watch);
}

static uint64_t all_drops(const uint64_t drops[VIO_DROP_NR])
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < VIO_DROP_NR; i++)
		sum += drops[i];
	return sum;
}

void pair_queue_balance(struct pair_queue *q, const struct pair_device_counts *counts)
{
	struct vio_driver_stats rx, tx;

	check(vio_driver_queue_stats(q->d->drv, VIO_RXQ(q->id), &rx) == 0);
	check(vio_driver_queue_stats(q->d->drv, VIO_TXQ(q->id), &tx) == 0);
	if (tx.packets != q->sent || rx.packets != q->received || rx.bytes != tx.bytes)
		pair_queue_die(q, "the driver has counted something else");
	if (rx.errors || tx.errors || all_drops(rx.drops) || all_drops(tx.drops))
		pair_queue_die(q, "the driver has dropped something");
	if (counts) {
		const struct vio_queue_stats *r = &counts->queues[VIO_RXQ(q->id)];
		const struct vio_queue_stats *t = &counts->queues[VIO_TXQ(q->id)];

		if (t->packets != q->sent || r->packets != q->received || r->bytes != rx.bytes)
			pair_queue_die(q, "the device has counted something else");
		if (all_drops(r->drops) || all_drops(t->drops))
			pair_queue_die(q, "the device has dropped something");
	}
}

/* ---- Around -------------------------------------------------------------------------------- */

void pair_dir_make(char path[64])
{
	snprintf(path, 64, "/tmp/vio-pair-XXXXXX");
	check(mkdtemp(path) != NULL);
}

void pair_dir_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	check(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	check(rmdir(path) == 0);
}

/* ---- Both halves ----------------------------------------------------------------------------- */

void pair_world_open(struct pair_world *w, struct pair_device_conf device,
		     struct pair_driver_conf driver)
{
	pair_dir_make(w->dir);
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	device.path = driver.path = w->path;
	driver.device = &w->device;
	pair_device_start(&w->device, &device);
	pair_driver_open(&w->d, &driver);
}

void pair_world_close(struct pair_world *w)
{
	pair_driver_close(&w->d);
	pair_dir_remove(w->dir);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

uint64_t pair_total_frames(uint64_t normal)
{
	const char *text = getenv("VIO_TEST_FRAMES");

	if (text)
		return strtoull(text, NULL, 0);
#ifdef SANITIZED
	return vio_min(normal, UINT64_C(200000));
#else
	return normal;
#endif
}
