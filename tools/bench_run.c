/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop of `vioduct bench`: one thread polls all queue pairs in turn.
 *
 * Frames are made in bursts into buffers that have just come back, every byte of them; what is
 * received is read, every byte of it, or checked when verification is asked for. Frames that were
 * made but did not fit into the ring are kept for the next turn, so that each number is sent once
 * and in order.
 *
 * With echo, no more frames are under way than the receive rings have room for: a peer that drops
 * what it has no buffer for then drops nothing. In a run for a time, frames that have not come back
 * after a second are given up, or a peer that loses a few would end the run; in a counted one they
 * are waited for.
 *
 * The clock is read every few turns; then signals, the device's health and the end are looked at.
 * Whoever sends SIGUSR1 is told what has been counted and when, so that it does not matter how long
 * the asking takes; and after SIGCONT no time has passed in which something should have moved.
 */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/copy.h"
#include "bench_asked.h"
#include "bench_frame.h"
#include "tool.h"

#define COMMAND	      "bench"
#define BURST	      64
#define RING_SIZE     1024
#define RING_SIZE_MIN 256
#define SPARE	      (4 * BURST)
#define SPARE_MAX     1024 /* bytes of a frame from which its buffer goes to the pool */
#define REST	      1280 /* buffers that rest there */
#define LINES_AHEAD   32u
/* In a visit to a pair: what that brings into the cache serves more than one. Frames that were sent
 * take room there until they come back, so those are fewer. */
#define BURSTS_SENT	2
#define BURSTS_RECEIVED 8
#define TURNS		64 /* between looks at the clock */
#define LOOKS		8  /* turns between looks for frames that nobody waits for */
#define SECOND		UINT64_C(1000000000)
#define LOOK_EACH	(SECOND / 100)
#define PAUSE		75     /* nanoseconds between two looks that find nothing, */
#define PAUSE_TO_GATHER 8000   /* or, when only receiving, little */
#define IDLE_TO_YIELD	100000 /* nanoseconds of such pauses */
#define RECOVER_MS	100

struct pair {
	uint64_t number;	     /* of the next frame to be made */
	struct vio_buf *made[BURST]; /* frames that the ring had no room for yet */
	unsigned num_made;
	bool streaming;		  /* rxonly: the stream from `source` has begun */
	struct bench_track track; /* of the numbers that this pair sent or `source` made */
};

struct run {
	const struct bench_conf *conf;
	struct bench_result *result;
	struct front front;
	bool echo;
	bool sending;	    /* there is more to come (rxonly), or to make */
	bool over;	    /* ended before all was done, with: */
	int status;	    /* an exit status */
	uint64_t made;	    /* frames to be sent */
	uint64_t sent;	    /* of these, that the driver took */
	uint64_t completed; /* of these, that the device has taken; their bytes are in the result */
	uint64_t unsent;    /* of these, that it will not take any more */
	uint64_t given_up;  /* echo: of these, that will not come back */
	uint64_t window;    /* echo: how many may be under way */
	uint64_t frames;    /* where to stop; UINT64_MAX without a count */
	uint64_t expected;  /* rxonly, verified: numbers of streams that have ended */
	uint64_t sum;	    /* keeps the reading of frames from being optimised away */
	bool foreign;	    /* rxonly: the frames are not of `source` */
	unsigned turns;
	bool coming; /* the last look found something to receive */
	/* Frames that were sent, to be filled anew as they are; last in first out. */
	struct vio_buf *spare[SPARE];
	unsigned num_spare;
	/* Empty ones that are filled next, for whichever pair. */
	struct vio_buf *next[2 * BURST];
	unsigned num_next;
	uint64_t begun, moved, last, looked, shown, end; /* moments; 0: not yet */
	uint8_t whole[VIO_FRAME_MAX_LEN];		 /* a frame that came in pieces */
	uint8_t copy[VIO_FRAME_MAX_LEN] vio_cacheline;	 /* what a receiver has of a frame */
	struct pair pairs[];
};

static const char *const mode_names[] = {
	[BENCH_TXONLY] = "txonly",
	[BENCH_RXONLY] = "rxonly",
	[BENCH_ECHO] = "echo",
	[BENCH_MACSWAP] = "macswap-check",
};

const char *bench_mode_name(enum bench_mode mode)
{
	return mode_names[mode];
}

/* ------------------------------------------------------------------------------------------
 * Buffers: the queues' callbacks
 */
static unsigned alloc_buffers(void *ctx, struct vio_buf **bufs, unsigned n)
{
	return vio_pool_take(((struct run *)ctx)->front.pool, bufs, n);
}

static void free_received(void *ctx, struct vio_buf **bufs, unsigned n)
{
	vio_pool_put(((struct run *)ctx)->front.pool, bufs, n);
}

static void free_sent(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct run *run = ctx;
	unsigned i, keep;

	run->completed += n;
	if (run->conf->size)
		run->result->tx_bytes += (uint64_t)n * run->conf->size;
	else
		for (i = 0; i < n; i++)
			run->result->tx_bytes += bufs[i]->len;
	keep = run->conf->size < SPARE_MAX ? vio_min(n, SPARE - run->num_spare) : 0;
	memcpy(run->spare + run->num_spare, bufs, keep * sizeof(*bufs));
	run->num_spare += keep;
	if (keep < n)
		vio_pool_put(run->front.tx_pool, bufs + keep, n - keep);
}

/* Up to @n buffers to fill: those that were sent last, and the pool's. Returns how many. */
static unsigned take_buffers(struct run *run, struct vio_buf **bufs, unsigned n)
{
	unsigned spare = vio_min(n, run->num_spare);

	run->num_spare -= spare;
	memcpy(bufs, run->spare + run->num_spare, spare * sizeof(*bufs));
	if (spare < n)
		spare += vio_pool_get(run->front.tx_pool, bufs + spare, n - spare);
	return spare;
}

static void free_unsent(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct run *run = ctx;

	run->unsent += n;
	vio_pool_put(run->front.tx_pool, bufs, n);
}

/* ------------------------------------------------------------------------------------------
 * Sending
 */

/* Echo: frames that are not under way any more. */
static uint64_t returned(const struct run *run)
{
	return run->result->rx_packets + run->given_up;
}

/* How many frames may be made now. */
static unsigned may_make(const struct run *run)
{
	uint64_t n = BURST, under_way;

	if (!run->sending)
		return 0;
	if (run->frames - run->made < n)
		n = run->frames - run->made;
	if (run->echo) {
		under_way = run->made > returned(run) ? run->made - returned(run) : 0;
		if (under_way >= run->window)
			return 0;
		if (run->window - under_way < n)
			n = run->window - under_way;
	}
	return (unsigned)n;
}

/*
 * Writes the first @n of @have buffers. As each is written, the lines of another are asked for, some 32
 * lines ahead, which are as many as take as long to come as it takes to get there: all at once would
 * be more than a core can have under way.
 */
static inline void make_frames(struct vio_buf *const *bufs, unsigned n, unsigned have,
			       const uint32_t size, unsigned id, uint64_t number)
{
	const uint32_t lines = (size + VIO_CACHE_LINE - 1) / VIO_CACHE_LINE;
	const unsigned ahead = lines == 0 ? BURST : vio_max(LINES_AHEAD / lines, 1u);
	struct bench_stream stream = bench_stream_from(id, number);
	unsigned i;

	for (i = 0; i < n; i++) {
		struct vio_buf *buf = bufs[i];

		if (i + ahead < have)
			vio_prefetch_write_all(vio_buf_data(bufs[i + ahead]), vio_max(size, 1u));
		buf->len = bench_frame_size(size, number + i);
		bench_stream_fill(&stream, vio_buf_data(buf), buf->len);
	}
}

/* Makes a burst; what comes after it is at hand already, empty. */
static void make(struct run *run, struct pair *pair, unsigned id)
{
	unsigned have = run->num_next, n = may_make(run);

	if (have < n + BURST)
		have += take_buffers(run, run->next + have, n + BURST - have);
	n = vio_min(n, have);
	if (run->conf->size == 64)
		make_frames(run->next, n, have, 64, id, pair->number);
	else
		make_frames(run->next, n, have, run->conf->size, id, pair->number);
	pair->number += n;
	run->made += n;
	memcpy(pair->made, run->next, n * sizeof(pair->made[0]));
	pair->num_made = n;
	run->num_next = have - n;
	memmove(run->next, run->next + n, run->num_next * sizeof(run->next[0]));
}

/* Returns how many frames went into the ring or came out of it, or -errno. */
static int send_pair(struct run *run, unsigned id)
{
	struct pair *pair = &run->pairs[id];
	int reaped = 0, ret;

	/* Sending frees what was sent when it needs room; it is waited for only when that is not
	 * enough. */
	if (!run->sending || run->num_spare + vio_pool_available(run->front.tx_pool) < BURST) {
		reaped = vio_driver_tx_reap(run->front.drv, id, RING_SIZE);
		if (reaped < 0)
			return reaped;
	}
	if (!pair->num_made)
		make(run, pair, id);
	if (!pair->num_made)
		return reaped;
	ret = vio_driver_tx_burst(run->front.drv, id, pair->made, pair->num_made);
	if (ret <= 0)
		return ret ? ret : reaped;
	run->sent += (unsigned)ret;
	pair->num_made -= (unsigned)ret;
	memmove(pair->made, pair->made + ret, pair->num_made * sizeof(pair->made[0]));
	return reaped + ret;
}

/* ------------------------------------------------------------------------------------------
 * Receiving
 */
static vio_noinline const uint8_t *gather(struct run *run, const struct vio_buf *buf, uint32_t *len)
{
	if (!buf->next) {
		*len = buf->len;
		return vio_buf_data(buf);
	}
	for (*len = 0; buf && buf->len <= sizeof(run->whole) - *len; buf = buf->next) {
		memcpy(run->whole + *len, vio_buf_data(buf), buf->len);
		*len += buf->len;
	}
	return run->whole;
}

/* A frame of `source`, or of somebody else: the first one decides. */
static void check_source(struct run *run, unsigned id, const uint8_t *data, uint32_t len)
{
	struct pair *pair = &run->pairs[id];
	enum bench_verdict verdict;
	uint64_t number;
	unsigned from;

	if (run->foreign) {
		run->sum += vio_copy_and_read(run->copy, data, len);
		return;
	}
	verdict = bench_source_check(data, len, &from, &number);
	if (verdict == BENCH_FOREIGN && !run->result->verified) {
		run->foreign = true;
		return;
	}
	run->result->verified++;
	if (verdict != BENCH_GOOD || from != id) {
		run->result->corrupt++;
		return;
	}
	if (!pair->streaming) {
		bench_track_start(&pair->track, number);
		run->expected -= number;
		pair->streaming = true;
	}
	bench_track_add(&pair->track, number);
}

/* One of our own frames that came back. */
static void check_echo(struct run *run, const uint8_t *data, uint32_t len)
{
	uint64_t number;
	unsigned from;

	run->result->verified++;
	if (bench_frame_check(data, len, run->conf->size, run->conf->mode == BENCH_MACSWAP,
			      run->conf->pairs, &from, &number) != BENCH_GOOD ||
	    number >= run->pairs[from].number)
		run->result->corrupt++;
	else
		bench_track_add(&run->pairs[from].track, number);
}

/* Whether @buf is a frame of 64 bytes, in one piece: 0, or not. */
static vio_always_inline uintptr_t not_a_line(const struct vio_buf *buf)
{
	return (uintptr_t)buf->next | (buf->len ^ 64);
}

/* Reads every byte of each frame. */
static vio_always_inline void read_frames(struct run *run, struct vio_buf *const *bufs, unsigned n,
					  const bool wide)
{
	struct vio_copied sum = { .rest = run->sum };
	struct vio_buf *const *const begin = bufs, *const *const end = bufs + n;
	uint8_t *const copy = run->copy;
	uint64_t bytes;

	/* Lines by fours. */
	while (end - bufs >= 4 && (not_a_line(bufs[0]) | not_a_line(bufs[1]) | not_a_line(bufs[2]) |
				   not_a_line(bufs[3])) == 0) {
		vio_copy_line(&sum, copy, vio_buf_data(bufs[0]), wide);
		vio_copy_line(&sum, copy, vio_buf_data(bufs[1]), wide);
		vio_copy_line(&sum, copy, vio_buf_data(bufs[2]), wide);
		vio_copy_line(&sum, copy, vio_buf_data(bufs[3]), wide);
		bufs += 4;
	}
	bytes = (uint64_t)(bufs - begin) * 64;
	for (; bufs < end; bufs++) {
		const struct vio_buf *buf = *bufs;
		const uint8_t *data = vio_buf_data(buf);
		uint32_t len = buf->len, whole;

		if (vio_unlikely(buf->next != NULL)) {
			data = gather(run, buf, &whole);
			len = whole;
		}
		bytes += len;
		vio_copy_frame(&sum, copy, data, len, wide);
	}
	run->sum = vio_copied_sum(&sum, wide);
	run->result->rx_bytes += bytes;
}

static void read_narrow(struct run *run, struct vio_buf *const *bufs, unsigned n)
{
	read_frames(run, bufs, n, false);
}

VIO_WIDE static void read_wide(struct run *run, struct vio_buf *const *bufs, unsigned n)
{
	read_frames(run, bufs, n, true);
}

static void check_frames(struct run *run, unsigned id, struct vio_buf *const *bufs, unsigned n)
{
	const uint8_t *data;
	uint32_t len;
	unsigned i;

	for (i = 0; i < n; i++) {
		data = gather(run, bufs[i], &len);
		run->result->rx_bytes += len;
		if (run->echo)
			check_echo(run, data, len);
		else
			check_source(run, id, data, len);
	}
}

static int receive_pair(struct run *run, unsigned id)
{
	struct vio_buf *bufs[BURST];
	int n;

	n = vio_driver_rx_burst(run->front.drv, id, bufs, BURST);
	if (n <= 0)
		return n;
	if (run->conf->verify)
		check_frames(run, id, bufs, (unsigned)n);
	else
		(vio_wide() ? read_wide : read_narrow)(run, bufs, (unsigned)n);
	run->result->rx_packets += (unsigned)n;
	vio_pool_put(run->front.pool, bufs, (unsigned)n);
	return n;
}

/* ------------------------------------------------------------------------------------------
 * When the device goes away, or does what it may not
 */
static void give_up(struct run *run, int status)
{
	run->over = true;
	run->status = status;
}

/* What was inside the old device may be lost, and a new `source` counts from 0 again. */
static void forget_old_device(struct run *run)
{
	struct bench_result *result = run->result;
	unsigned id;

	result->recoveries++;
	run->moved = front_now();
	run->given_up = run->completed > result->rx_packets ? run->completed - result->rx_packets :
							      0;
	for (id = 0; id < run->conf->pairs; id++) {
		if (run->pairs[id].streaming)
			run->expected += run->pairs[id].track.next;
		run->pairs[id].streaming = false;
	}
}

/* Waits until the device is there again, its queues as they were. */
static void recover(struct run *run)
{
	struct vio_error err = { "" };
	uint64_t begun = front_now();
	int ret;

	if (!run->conf->reconnect) {
		give_up(run, tool_fail(COMMAND,
				       "the device went away: %" PRIu64 " frames sent, %" PRIu64
				       " received",
				       run->completed, run->result->rx_packets));
		return;
	}
	fprintf(stderr, "vioduct bench: the device went away; waiting for it\n");
	do {
		err.msg[0] = '\0';
		ret = vio_driver_recover(run->front.drv, RECOVER_MS, &err);
	} while (ret && ret != -ENOTSUP && !front_ending &&
		 (double)(front_now() - begun) < run->conf->patience * 1e9);
	if (ret && front_ending) {
		run->result->ended = true;
		give_up(run, TOOL_OK);
	} else if (ret == -EAGAIN) {
		give_up(run, tool_fail(COMMAND, "the device did not come back within %g seconds",
				       run->conf->patience));
	} else if (ret) {
		give_up(run, tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret)));
	} else {
		fprintf(stderr, "vioduct bench: the device is back\n");
		forget_old_device(run);
	}
}

/* A driver function returned @error. */
static void handle_error(struct run *run, int error)
{
	struct vio_driver_queue_info info;
	unsigned queue;

	if (error == -ENODEV || error == -EIO) {
		recover(run);
		return;
	}
	for (queue = 0; error == -EPROTO && queue < run->conf->pairs * 2; queue++) {
		if (vio_driver_queue_info(run->front.drv, queue, &info) || !info.error)
			continue;
		give_up(run, tool_fail(COMMAND, "the device broke queue %u: %s", queue,
				       vio_vq_error_name(info.error)));
		return;
	}
	give_up(run, tool_fail(COMMAND, "%s", strerror(-error)));
}

/* Moves up to @bursts of pair @id, as long as whole bursts move. Returns how many frames went into the
 * ring or came out of it, or -errno. */
static int visit(struct run *run, unsigned id, int (*move)(struct run *run, unsigned id),
		 unsigned bursts)
{
	int total = 0, ret;

	do {
		ret = move(run, id);
		if (ret < 0)
			return ret;
		total += ret;
	} while (ret >= BURST && --bursts > 0);
	return total;
}

/* ------------------------------------------------------------------------------------------
 * The loop
 */

/* One look at every queue. Returns what moved, or -errno. */
static int turn(struct run *run)
{
	int moved = 0, ret;
	unsigned id;

	for (id = 0; id < run->conf->pairs; id++) {
		if (run->conf->mode != BENCH_RXONLY) {
			ret = visit(run, id, send_pair, BURSTS_SENT);
			if (ret < 0)
				return ret;
			moved += ret;
		}
		/* Who only sends looks now and then whether something comes all the same. */
		if (run->conf->mode == BENCH_TXONLY && !run->coming && run->turns % LOOKS != 0)
			continue;
		if (id + 1 < run->conf->pairs)
			vio_driver_rx_prefetch(run->front.drv, id + 1);
		ret = visit(run, id, receive_pair, BURSTS_RECEIVED);
		if (ret < 0)
			return ret;
		run->coming = ret > 0;
		moved += ret;
	}
	return moved;
}

static bool finished(struct run *run)
{
	if (run->conf->mode == BENCH_RXONLY)
		return !run->sending || run->result->rx_packets >= run->frames;
	if (run->made >= run->frames)
		run->sending = false;
	if (run->sending || run->sent < run->made || run->completed + run->unsent < run->sent)
		return false;
	/* After a recovery it is not known what may still come: silence ends it. */
	if (run->echo && run->result->recoveries)
		return run->looked > run->moved && run->looked - run->moved >= SECOND / 5;
	return !run->echo || returned(run) >= run->sent;
}

static void show_progress(struct run *run, uint64_t now)
{
	uint64_t count = run->conf->mode == BENCH_TXONLY ? run->completed : run->result->rx_packets;

	if (!run->conf->progress || !run->begun || now - run->shown < SECOND)
		return;
	run->shown = now;
	fprintf(stderr, "\r%s: %" PRIu64 " frames, %.3f Mpps ", mode_names[run->conf->mode], count,
		(double)count * 1e3 / (double)(now - run->begun));
}

/* What to do when nothing has moved for a while. */
static void consider_stall(struct run *run, uint64_t now)
{
	uint64_t quiet = now - run->moved;

	if (run->result->ended && quiet >= SECOND / 5) {
		give_up(run, TOOL_OK);
	} else if (run->echo && !run->conf->frames && run->begun && quiet >= SECOND) {
		run->moved = now;
		run->given_up = run->sent - run->result->rx_packets;
	} else if ((double)quiet >= run->conf->patience * 1e9) {
		give_up(run,
			tool_fail(COMMAND,
				  "nothing moves for %g seconds: %" PRIu64 " frames sent, %" PRIu64
				  " received",
				  run->conf->patience, run->completed, run->result->rx_packets));
	}
}

static void answer(const struct run *run)
{
	printf("{\"tx_packets\":%" PRIu64 ",\"rx_packets\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n",
	       run->completed, run->result->rx_packets, front_now());
	fflush(stdout);
}

/* Looks at the clock and, every hundredth of a second, at all else. */
static void look(struct run *run, bool moved)
{
	uint64_t now = front_now();
	int ret;

	if (moved)
		run->moved = now;
	/* A stop before this is seen here; what was read of the clock may be older than it. */
	while (bench_continued())
		run->moved = now = front_now();
	if (bench_asked())
		answer(run);
	if (moved && !run->begun) {
		run->begun = run->last;
		run->end = run->frames != UINT64_MAX ?
				   0 :
				   now + (uint64_t)(run->conf->seconds * (double)SECOND);
	}
	run->last = now;
	if (run->end && now >= run->end)
		run->sending = false;
	if (now - run->looked < LOOK_EACH)
		return;
	run->looked = now;
	if (front_ending) {
		run->result->ended = true;
		run->sending = false;
	}
	show_progress(run, now);
	ret = vio_driver_config_interrupt(run->front.drv);
	if (ret)
		handle_error(run, ret);
	else
		consider_stall(run, now);
}

/* Whoever has found nothing looks again a little later: each look takes the line that it is about
 * away from the device, which may be writing it. Who only receives, and has found little, being faster
 * than what comes, leaves it be for longer, to find more at a time. Returns how many nanoseconds. */
static unsigned pause_a_while(const struct run *run)
{
	unsigned ns = run->conf->mode == BENCH_RXONLY ? PAUSE_TO_GATHER : PAUSE;
	uint64_t until = front_now() + ns;

	do
		vio_cpu_relax();
	while (front_now() < until);
	return ns;
}

static void loop(struct run *run)
{
	const int few = run->conf->mode == BENCH_RXONLY ? BURST / 2 : 1;
	unsigned idle = 0;
	bool moved = false;
	int ret;

	run->moved = run->last = run->looked = run->shown = front_now();
	while (!run->over && !finished(run)) {
		ret = turn(run);
		if (ret < 0) {
			handle_error(run, ret);
			continue;
		}
		moved |= ret > 0;
		if (ret > 0)
			idle = 0;
		if (ret < few)
			idle += pause_a_while(run);
		if (idle >= IDLE_TO_YIELD)
			sched_yield(); /* whoever makes the frames may need this core */
		if (++run->turns % TURNS == 0 || !run->begun) {
			look(run, moved);
			moved = false;
		}
	}
	if (moved)
		run->moved = front_now();
	if (run->shown > run->begun && run->begun && run->conf->progress)
		fputc('\n', stderr);
}

/* ------------------------------------------------------------------------------------------
 * A run
 */
static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Takes all back from the driver, and counts. */
static void conclude(struct run *run)
{
	struct bench_result *result = run->result;
	uint64_t unique = 0, expected = run->expected;
	unsigned id;

	vio_driver_stop(run->front.drv);
	vio_pool_put(run->front.tx_pool, run->spare, run->num_spare);
	vio_pool_put(run->front.tx_pool, run->next, run->num_next);
	for (id = 0; id < run->conf->pairs; id++) {
		struct pair *pair = &run->pairs[id];

		vio_pool_put(run->front.tx_pool, pair->made, pair->num_made);
		unique += pair->track.unique;
		result->duplicate += pair->track.duplicate;
		result->reordered += pair->track.reordered;
		if (pair->streaming)
			expected += pair->track.next;
	}
	result->tx_packets = run->completed;
	result->seconds = run->begun ? (double)(run->moved - run->begun) / 1e9 : 0;
	if (run->conf->mode == BENCH_TXONLY)
		result->lost = run->sent - run->completed;
	else if (run->conf->mode == BENCH_RXONLY)
		result->lost = minus(expected, unique);
	else
		result->lost =
			minus(run->completed, run->conf->verify ? unique : result->rx_packets);
	/* Not optimised away. */
	__asm__ volatile("" : : "g"(run->sum));
}

/* Of each queue: two of full size, or more that have as many descriptors altogether, as long as these
 * are 256 each, so that the frames under way fit into the same cache. */
static uint32_t ring_size(unsigned pairs)
{
	uint32_t size = RING_SIZE;

	while (size * pairs > 2 * RING_SIZE && size > RING_SIZE_MIN)
		size /= 2;
	return size;
}

/* Opens the device, sets up pairs and pools, starts. 0 or an exit status. */
static int open_device(struct run *run)
{
	const struct bench_conf *conf = run->conf;
	uint32_t ring = ring_size(conf->pairs), mtu;
	uint32_t buffers = conf->pairs * (ring + 2 * BURST) + REST;
	struct front_queues queues = {
		.pairs = conf->pairs,
		.size = ring,
		.buffers = buffers,
		.room = conf->size,
		.tx_buffers = buffers,
		.rx = { .alloc = alloc_buffers, .free = free_received },
		.tx = { .free = free_sent, .unsent = free_unsent },
		.ctx = run,
	};
	struct front_conf front = { .at = conf->via, .add = conf->add, .remove = conf->remove };
	struct vio_driver_queue_info rx;
	int ret;

	front.timeout_ms = conf->via.server ? 60000 : 5000;
	front.mtu = conf->size > 1514 ? conf->size - VIO_ETH_HLEN : 0;
	front.memory =
		(8u << 20) + conf->pairs * (UINT64_C(2) << 20) +
		2 * buffers * (uint64_t)(vio_max(conf->size, FRONT_BUFFER) + FRONT_BUFFER_EXTRA);
	ret = front_connect(COMMAND, &front, &run->front);
	if (!ret)
		ret = front_probe(COMMAND, &front, &run->front);
	if (ret)
		return ret;
	mtu = vio_driver_mtu_get(run->front.drv);
	if (conf->mode != BENCH_RXONLY && conf->size > mtu + VIO_ETH_HLEN)
		return tool_usage(COMMAND,
				  "--size: %u: the device's MTU of %u has room for frames "
				  "of %u",
				  conf->size, mtu, mtu + VIO_ETH_HLEN);
	ret = front_start(COMMAND, &queues, &run->front);
	if (!ret && vio_driver_queue_info(run->front.drv, VIO_RXQ(0), &rx) == 0)
		run->window = rx.in_flight - rx.in_flight / 4;
	return ret;
}

int bench_run(const struct bench_conf *conf, struct bench_result *result)
{
	struct run *run;
	size_t size;
	int ret;

	memset(result, 0, sizeof(*result));
	size = vio_align_up(sizeof(*run) + conf->pairs * sizeof(run->pairs[0]), VIO_CACHE_LINE);
	run = aligned_alloc(VIO_CACHE_LINE, size);
	if (!run)
		return tool_fail(COMMAND, "out of memory");
	memset(run, 0, size);
	run->conf = conf;
	run->result = result;
	run->echo = conf->mode == BENCH_ECHO || conf->mode == BENCH_MACSWAP;
	run->sending = true;
	bench_asked_listen();
	run->frames = conf->frames ? conf->frames : UINT64_MAX;
	ret = open_device(run);
	if (!ret) {
		loop(run);
		conclude(run);
		ret = run->status;
	}
	front_close(&run->front);
	free(run);
	return ret;
}

double bench_mpps(const struct bench_conf *conf, const struct bench_result *result)
{
	uint64_t n = conf->mode == BENCH_TXONLY ? result->tx_packets : result->rx_packets;

	return result->seconds > 0 ? (double)n / result->seconds / 1e6 : 0;
}

double bench_gbps(const struct bench_conf *conf, const struct bench_result *result)
{
	uint64_t n = conf->mode == BENCH_TXONLY ? result->tx_bytes : result->rx_bytes;

	return result->seconds > 0 ? (double)n * 8 / result->seconds / 1e9 : 0;
}
