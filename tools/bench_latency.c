/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips: one frame is under way at a time, and the time from before it is given to the driver
 * until it has come out of it again is what counts.
 *
 * Polling, both sides look at their rings without end. With interrupts both sleep: the device in
 * epoll on the eventfd that our driver kicks, the driver in poll() on the eventfd that the device
 * calls. What the kernel and the processor take for the two wake-ups alone is told by two processes
 * that pass a token to and fro through two eventfds and do nothing else.
 *
 * A frame that does not come back within a second is given up and the next one is sent; when nothing
 * at all comes for as long as patience lasts, the run ends. Some frames in front are not counted:
 * a device may only just be starting, memory is touched for the first time, a processor wakes up.
 */
#include "bench_latency.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <jansson.h>

#include "base/bits.h"
#include "bench_frame.h"
#include "tool.h"

#define COMMAND	     "bench"
#define SECOND	     UINT64_C(1000000000)
#define RING_SIZE    1024
#define BUFFERS	     (2 * RING_SIZE + 64)
#define WARM_UP	     2000 /* frames */
#define WARM_UP_TIME (SECOND / 5)
#define GIVE_UP	     SECOND
#define SPINS	     1024 /* looks at the ring between looks at the clock */
#define YIELD_AFTER  64	  /* looks at the clock, from when on others may run */
#define CHECK_EACH   (SECOND / 10)

struct trip {
	const struct bench_conf *conf;
	struct bench_latency *result;
	struct front front;
	sigset_t open_mask; /* signals come in while we sleep */
	bool interrupts, over;
	uint64_t number; /* of the frame under way */
	uint64_t begun, checked, moved;
	int status;
};

/* ------------------------------------------------------------------------------------------
 * Buffers: the queues' callbacks
 */
static unsigned alloc_buffers(void *ctx, struct vio_buf **bufs, unsigned n)
{
	return vio_pool_take(((struct trip *)ctx)->front.pool, bufs, n);
}

static void free_buffers(void *ctx, struct vio_buf **bufs, unsigned n)
{
	vio_pool_put(((struct trip *)ctx)->front.pool, bufs, n);
}

/* ------------------------------------------------------------------------------------------
 * Trouble
 */
static void give_up(struct trip *trip, int status)
{
	trip->over = true;
	trip->status = status;
}

/* A driver function returned @error. */
static void fail(struct trip *trip, int error)
{
	if (error == -ENODEV || error == -EIO)
		give_up(trip, tool_fail(COMMAND, "the device went away: %" PRIu64 " round trips",
					trip->result->rtt.count));
	else
		give_up(trip, tool_fail(COMMAND, "%s", strerror(-error)));
}

/* Every now and then: signals, the device's health, the limit of patience. */
static void check(struct trip *trip, uint64_t now)
{
	int ret;

	if (now - trip->checked < CHECK_EACH)
		return;
	trip->checked = now;
	if (front_ending) {
		trip->result->ended = true;
		trip->over = true;
		return;
	}
	ret = vio_driver_config_interrupt(trip->front.drv);
	if (ret)
		fail(trip, ret);
	else if ((double)(now - trip->moved) >= trip->conf->patience * 1e9)
		give_up(trip,
			tool_fail(COMMAND,
				  "nothing comes back for %g seconds: %" PRIu64 " round trips",
				  trip->conf->patience, trip->result->rtt.count));
}

/* ------------------------------------------------------------------------------------------
 * One round trip
 */

/* Whether @buf is the frame under way; it goes back to the pool. */
static bool is_ours(struct trip *trip, struct vio_buf *buf)
{
	uint8_t whole[VIO_FRAME_MAX_LEN], *data = vio_buf_data(buf);
	struct vio_buf *piece;
	uint32_t len = buf->len;
	uint64_t number = 0;
	unsigned pair;
	bool good;

	if (buf->next) {
		for (len = 0, piece = buf; piece && piece->len <= sizeof(whole) - len;
		     piece = piece->next) {
			memcpy(whole + len, vio_buf_data(piece), piece->len);
			len += piece->len;
		}
		data = whole;
	}
	good = bench_frame_check(data, len, trip->conf->size, false, 1, &pair, &number) ==
		       BENCH_GOOD ||
	       bench_frame_check(data, len, trip->conf->size, true, 1, &pair, &number) ==
		       BENCH_GOOD;
	vio_pool_put(trip->front.pool, &buf, 1);
	trip->result->corrupt += !good;
	/* One that was given up may come late. */
	return good && number == trip->number;
}

/* Polls until a frame comes or until @limit. Returns 1 and the frame, 0, or -errno. */
static int await_polling(struct trip *trip, uint64_t limit, struct vio_buf **buf)
{
	unsigned spins, rounds;
	uint64_t now;
	int ret;

	for (rounds = 0; !trip->over; rounds++) {
		for (spins = 0; spins < SPINS; spins++) {
			ret = vio_driver_rx_burst(trip->front.drv, 0, buf, 1);
			if (ret)
				return ret;
		}
		now = front_now();
		if (now >= limit)
			return 0;
		check(trip, now);
		if (rounds >= YIELD_AFTER)
			sched_yield();
	}
	return 0;
}

/* Likewise, asleep whenever there is nothing. Interrupts are enabled: the queue is armed again by
 * vio_driver_rx_one() when that finds nothing more. */
static int await_interrupt(struct trip *trip, uint64_t limit, struct vio_buf **buf)
{
	struct pollfd fd = { .fd = vio_driver_queue_fd(trip->front.drv, VIO_RXQ(0)),
			     .events = POLLIN };
	struct timespec wait = { .tv_nsec = CHECK_EACH };
	uint64_t now;
	int ret;

	while (!trip->over) {
		ret = vio_driver_rx_one(trip->front.drv, 0, buf);
		if (ret < 0 || ret & VIO_ONE_SUCCESS)
			return ret < 0 ? ret : 1;
		if (ret & VIO_ONE_MORE)
			continue;
		if (ppoll(&fd, 1, &wait, &trip->open_mask) == 1) {
			vio_driver_queue_fd_handle(trip->front.drv, VIO_RXQ(0));
			continue;
		}
		now = front_now();
		if (now >= limit)
			return 0;
		check(trip, now);
	}
	return 0;
}

/* Sends frame trip->number. 1; 0 when there is no room now; or -errno. */
static int send_frame(struct trip *trip)
{
	struct vio_buf *buf;
	int ret;

	ret = vio_driver_tx_reap(trip->front.drv, 0, RING_SIZE);
	if (ret < 0)
		return ret;
	if (!vio_pool_get(trip->front.pool, &buf, 1))
		return -ENOBUFS;
	memset(&buf->meta, 0, sizeof(buf->meta));
	buf->len = trip->conf->size;
	bench_frame_fill(vio_buf_data(buf), buf->len, 0, trip->number);
	trip->begun = front_now();
	ret = vio_driver_tx_burst(trip->front.drv, 0, &buf, 1);
	if (ret <= 0)
		vio_pool_put(trip->front.pool, &buf, 1);
	return ret;
}

/* One frame there and back. Returns its time in nanoseconds, 0 when it did not come. */
static uint64_t go_once(struct trip *trip)
{
	struct vio_buf *buf;
	uint64_t arrived;
	int ret;

	ret = send_frame(trip);
	while (ret > 0) {
		ret = (trip->interrupts ? await_interrupt :
					  await_polling)(trip, trip->begun + GIVE_UP, &buf);
		arrived = front_now();
		if (ret > 0 && is_ours(trip, buf)) {
			trip->moved = arrived;
			trip->number++;
			return arrived - trip->begun;
		}
	}
	if (ret < 0)
		fail(trip, ret);
	trip->number++;
	check(trip, front_now());
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * A run
 */
static void warm_up(struct trip *trip)
{
	uint64_t begun = front_now();
	unsigned done = 0;

	trip->moved = trip->checked = begun;
	/* The time is up when frames take long, but one has to have come. */
	while (!trip->over && done < WARM_UP && (!done || front_now() - begun < WARM_UP_TIME))
		done += go_once(trip) != 0;
	trip->result->corrupt = 0;
}

static void loop(struct trip *trip)
{
	struct bench_latency *result = trip->result;
	uint64_t begun = front_now(), now = begun, rtt;
	uint64_t end = begun + (uint64_t)(trip->conf->seconds * (double)SECOND);

	while (!trip->over &&
	       (trip->conf->frames ? result->rtt.count < trip->conf->frames : now < end)) {
		rtt = go_once(trip);
		now = front_now();
		if (rtt)
			bench_hist_add(&result->rtt, rtt);
		else if (!trip->over)
			result->lost++;
		check(trip, now);
	}
	result->seconds = (double)(now - begun) / 1e9;
}

/* Opens the device, one pair, starts. 0 or an exit status. */
static int open_device(struct trip *trip)
{
	const struct bench_conf *conf = trip->conf;
	struct front_queues queues = {
		.pairs = 1,
		.size = RING_SIZE,
		.buffers = BUFFERS,
		.room = conf->size,
		.rx = { .alloc = alloc_buffers, .free = free_buffers },
		.tx = { .free = free_buffers },
		.ctx = trip,
	};
	struct front_conf front = { .at = conf->via, .add = conf->add, .remove = conf->remove };
	int ret;

	front.timeout_ms = conf->via.server ? 60000 : 5000;
	front.mtu = conf->size > 1514 ? conf->size - VIO_ETH_HLEN : 0;
	front.memory = (10u << 20) +
		       BUFFERS * (uint64_t)(vio_max(conf->size, FRONT_BUFFER) + FRONT_BUFFER_EXTRA);
	ret = front_connect(COMMAND, &front, &trip->front);
	if (!ret)
		ret = front_probe(COMMAND, &front, &trip->front);
	if (!ret)
		ret = front_start(COMMAND, &queues, &trip->front);
	if (ret || !trip->interrupts)
		return ret;
	if (vio_driver_queue_fd(trip->front.drv, VIO_RXQ(0)) < 0)
		return tool_fail(COMMAND, "the device has no interrupts");
	ret = vio_driver_intr_enable(trip->front.drv, VIO_RXQ(0));
	return ret < 0 ? tool_fail(COMMAND, "interrupts: %s", strerror(-ret)) : 0;
}

int bench_latency_run(const struct bench_conf *conf, bool interrupts, struct bench_latency *result)
{
	struct trip *trip = calloc(1, sizeof(*trip));
	int ret;

	memset(result, 0, sizeof(*result));
	bench_hist_init(&result->rtt);
	if (!trip)
		return tool_fail(COMMAND, "out of memory");
	trip->conf = conf;
	trip->result = result;
	trip->interrupts = interrupts;
	sigprocmask(SIG_SETMASK, NULL, &trip->open_mask);
	sigdelset(&trip->open_mask, SIGINT);
	sigdelset(&trip->open_mask, SIGTERM);
	ret = open_device(trip);
	if (!ret) {
		warm_up(trip);
		loop(trip);
		ret = trip->status;
		vio_driver_stop(trip->front.drv);
	}
	front_close(&trip->front);
	free(trip);
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * Two eventfds
 */
struct bare {
	int there, back; /* eventfds */
	int core;
};

/* The other process: hands back what it gets, until it gets more than 1. */
static int hand_back(const void *ctx, int life)
{
	const struct bare *bare = ctx;
	eventfd_t got;

	(void)life;
	bench_pin(bare->core);
	while (eventfd_read(bare->there, &got) == 0 && got == 1)
		if (eventfd_write(bare->back, 1))
			return TOOL_FAILED;
	return TOOL_OK;
}

/* 0 or -errno. */
static int pass_token(const struct bare *bare, double seconds, struct bench_latency *result)
{
	uint64_t begun = front_now(), sent = begun, now;
	uint64_t first = begun + WARM_UP_TIME / 4, end;
	eventfd_t got;

	end = first + (uint64_t)(seconds * (double)SECOND);
	while (sent < end && !front_ending) {
		if (eventfd_write(bare->there, 1) || eventfd_read(bare->back, &got))
			return -errno;
		now = front_now();
		if (sent >= first)
			bench_hist_add(&result->rtt, now - sent);
		sent = front_now();
	}
	result->seconds = (double)(sent - first) / 1e9;
	result->ended = front_ending;
	return 0;
}

int bench_latency_bare(const struct bench_cores *cores, double seconds,
		       struct bench_latency *result)
{
	struct bare bare = { .there = eventfd(0, EFD_CLOEXEC),
			     .back = eventfd(0, EFD_CLOEXEC),
			     .core = cores->device };
	struct bench_child child;
	int ret, passed;

	memset(result, 0, sizeof(*result));
	bench_hist_init(&result->rtt);
	ret = bare.there < 0 || bare.back < 0 ? tool_fail(COMMAND, "eventfd: %s", strerror(errno)) :
						bench_child_start(hand_back, &bare, &child);
	if (!ret) {
		passed = pass_token(&bare, seconds, result);
		if (eventfd_write(bare.there, 2) && !passed)
			passed = -errno;
		ret = bench_child_end(&child);
		if (!ret && passed)
			ret = tool_fail(COMMAND, "eventfd: %s", strerror(-passed));
	}
	close(bare.there);
	close(bare.back);
	return ret;
}
