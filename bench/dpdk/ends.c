/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DPDK's driver or device at one end of a frame's way, doing to frames what our own ends do: the
 * sender writes every byte of each, the receiver copies each out and reads it. testpmd moves frames
 * that it hardly touches, which tells nothing of what they cost to somebody who has a use for them.
 *
 *	ends EAL-OPTION… --vdev net_virtio_user0,path=SOCKET,… -- --mode MODE [--size N]
 *	ends EAL-OPTION… --vdev net_vhost0,iface=SOCKET,… -- (likewise)
 *
 *	txonly  sends as fast as the ring takes frames
 *	rxonly  receives
 *	echo    sends, and receives what comes back
 *
 * Which end it is, driver or device, is told by the port. A frame is filled and read by the very
 * functions that `vioduct bench` has for it, and all else is as DPDK's guides have it: bursts of 32,
 * buffers taken and freed in bulk from a pool with a cache for the core, no locks, no offloads,
 * polling. Frames that the ring has no room for are kept for the next turn.
 *
 * A driver's buffers are written and read by the device's core: their lines are asked for ahead, for
 * writing as many as are on their way at a time, for reading those of two frames. A device's buffers
 * are its own, because its port copies; there asking did not help when it was measured, nor did it
 * matter that a received frame, which has been copied out of the guest's memory already, is copied
 * once more from cache to cache.
 *
 * Prints "ready" once the port is up: a device listens then. Goes on until SIGTERM or SIGINT. On
 * SIGUSR1 it prints one JSON object on a line: how many frames were sent and received so far, and
 * when, by the monotonic clock. A sent frame is one that the ring has taken.
 *
 * bench/side_by_side.py runs it, compiled by bench/dpdk_programs.py.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_debug.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "../../tools/bench_frame.h"
#include "base/bits.h"
#include "base/copy.h"
#include "port.h"

#define BURST	       32
#define LINES_AHEAD    32u /* of what is to be written */
#define FRAMES_AHEAD   2   /* of what is to be read */
#define TURNS	       16  /* between looks at the clock */
#define PAUSES	       16  /* well under a microsecond */
#define WINDOW	       (PORT_RING_SIZE * 3 / 4)
#define SIZE_MAX_FRAME 1518

struct ends {
	struct rte_mempool *pool;
	uint32_t size;
	bool shared;			  /* buffers are of a driver */
	uint64_t number;		  /* of the next frame to be made */
	struct rte_mbuf *made[BURST];	  /* frames that the ring had no room for yet */
	struct rte_mbuf *next[2 * BURST]; /* empty, for this burst and the next */
	unsigned num_made, num_next;
	uint64_t sent, received;
	uint64_t under_way; /* echo: sent and not back */
	uint64_t moved;	    /* the moment of the last look that found that something did */
	uint64_t sum;	    /* keeps the reading of frames from being optimised away */
	uint8_t copy[UINT16_MAX] vio_cacheline; /* what a receiver has of a frame */
};

/* Signals that have come. */
static volatile sig_atomic_t ending, asked, continued;

/* ------------------------------------------------------------------------------------------
 * Both ways
 */
static void ask_to_write(const struct rte_mbuf *mbuf, uint32_t size)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t at;

	for (at = 0; at < size; at += RTE_CACHE_LINE_SIZE)
		vio_prefetch_write(data + at);
}

static void ask_to_read(const struct rte_mbuf *mbuf)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t at;

	for (at = 0; at < mbuf->data_len; at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(data + at);
}

/* Writes the first half of what is next. */
static inline void make_frames(struct ends *ends, const uint32_t size)
{
	const uint32_t lines = (size + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE;
	const unsigned ahead = RTE_MAX(LINES_AHEAD / lines, 1u);
	struct bench_stream stream = bench_stream_from(0, ends->number);
	unsigned i;

	for (i = 0; i < BURST; i++) {
		struct rte_mbuf *mbuf = ends->next[i];

		if (ends->shared)
			ask_to_write(ends->next[i + ahead], size);
		mbuf->data_len = (uint16_t)size;
		mbuf->pkt_len = size;
		bench_stream_fill(&stream, rte_pktmbuf_mtod(mbuf, uint8_t *), size);
		ends->made[i] = mbuf;
	}
}

/* Makes a burst. Those of the next one are there already, empty, so that they can be asked for. */
static void make(struct ends *ends)
{
	const unsigned want = 2 * BURST - ends->num_next;

	if (rte_pktmbuf_alloc_bulk(ends->pool, ends->next + ends->num_next, want) != 0)
		return;
	if (ends->size == 64)
		make_frames(ends, 64);
	else
		make_frames(ends, ends->size);
	ends->number += BURST;
	ends->num_made = BURST;
	ends->num_next = BURST;
	memcpy(ends->next, ends->next + BURST, BURST * sizeof(ends->next[0]));
}

static unsigned send_burst(struct ends *ends)
{
	unsigned n;

	if (!ends->num_made)
		make(ends);
	n = rte_eth_tx_burst(PORT, 0, ends->made, (uint16_t)ends->num_made);
	ends->num_made -= n;
	if (n && ends->num_made)
		memmove(ends->made, ends->made + n, ends->num_made * sizeof(ends->made[0]));
	ends->sent += n;
	return n;
}

static vio_always_inline void read_frame(struct ends *ends, struct vio_copied *sum,
					 const struct rte_mbuf *mbuf, const bool wide)
{
	uint32_t at = 0;

	do {
		vio_copy_frame(sum, ends->copy + at, rte_pktmbuf_mtod(mbuf, const uint8_t *),
			       mbuf->data_len, wide);
		at += mbuf->data_len;
		mbuf = mbuf->next;
	} while (mbuf && mbuf->data_len <= sizeof(ends->copy) - at);
}

static vio_always_inline void read_frames(struct ends *ends, struct rte_mbuf *const *got,
					  unsigned n, const bool wide)
{
	struct vio_copied sum = { .rest = ends->sum };
	unsigned i;

	for (i = 0; i < n; i++) {
		if (ends->shared && i + FRAMES_AHEAD < n)
			ask_to_read(got[i + FRAMES_AHEAD]);
		read_frame(ends, &sum, got[i], wide);
	}
	ends->sum = vio_copied_sum(&sum, wide);
}

static void read_narrow(struct ends *ends, struct rte_mbuf *const *got, unsigned n)
{
	read_frames(ends, got, n, false);
}

VIO_WIDE static void read_wide(struct ends *ends, struct rte_mbuf *const *got, unsigned n)
{
	read_frames(ends, got, n, true);
}

static unsigned receive_burst(struct ends *ends)
{
	struct rte_mbuf *got[BURST];
	unsigned n = rte_eth_rx_burst(PORT, 0, got, BURST);

	(vio_wide() ? read_wide : read_narrow)(ends, got, n);
	if (n)
		rte_pktmbuf_free_bulk(got, n);
	ends->received += n;
	return n;
}

/* No more frames are under way than the receive ring has room for: none is dropped then. */
static unsigned echo_burst(struct ends *ends)
{
	unsigned back = receive_burst(ends), sent = 0;

	ends->under_way -= RTE_MIN(ends->under_way, (uint64_t)back);
	if (ends->under_way <= WINDOW - BURST)
		sent = send_burst(ends);
	ends->under_way += sent;
	return back + sent;
}

struct mode {
	const char *name;
	unsigned (*burst)(struct ends *ends); /* returns what moved */
};

static const struct mode modes[] = {
	{ "txonly", send_burst },
	{ "rxonly", receive_burst },
	{ "echo", echo_burst },
};

/* ------------------------------------------------------------------------------------------
 * The loop
 */
static void answer(const struct ends *ends)
{
	asked = 0;
	printf("{\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n", ends->sent,
	       ends->received, port_now());
	fflush(stdout);
}

/* Looks at the clock and at signals. */
static void look(struct ends *ends, bool moved)
{
	uint64_t now = port_now();

	if (moved)
		ends->moved = now;
	/* Who was stopped has not waited. A stop before this is seen here; what was read of the
	 * clock may be older than it. */
	while (continued) {
		continued = 0;
		ends->moved = now = port_now();
	}
	if (asked)
		answer(ends);
	if (now - ends->moved >= SECOND / 5)
		ends->under_way = 0; /* a device lost some: they will not come any more */
}

static void loop(struct ends *ends, const struct mode *mode)
{
	bool moved;
	unsigned i, j;

	while (!ending) {
		moved = false;
		for (i = 0; i < TURNS; i++) {
			if (mode->burst(ends)) {
				moved = true;
				continue;
			}
			/* Each look at the ring takes its line away from the other side. */
			for (j = 0; j < PAUSES; j++)
				vio_cpu_relax();
		}
		look(ends, moved);
	}
	/* Not optimised away. */
	__asm__ volatile("" : : "g"(ends->sum));
}

/* ------------------------------------------------------------------------------------------
 * A run
 */
static void on_signal(int number)
{
	if (number == SIGUSR1)
		asked = 1;
	else if (number == SIGCONT)
		continued = 1;
	else
		ending = 1;
}

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < RTE_DIM(modes); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	return NULL;
}

/* Reads the options from @at on. Returns the mode. */
static const struct mode *parse(int argc, char **argv, int at, struct ends *ends)
{
	const struct mode *mode = NULL;

	for (; at + 1 < argc; at += 2) {
		if (strcmp(argv[at], "--mode") == 0)
			mode = find_mode(argv[at + 1]);
		else if (strcmp(argv[at], "--size") == 0)
			ends->size = (uint32_t)strtoul(argv[at + 1], NULL, 0);
		else
			break;
	}
	if (at != argc || !mode || ends->size < BENCH_SIZE_MIN || ends->size > SIZE_MAX_FRAME)
		rte_exit(2, "ends: expected --mode txonly|rxonly|echo [--size %d to %d]\n",
			 BENCH_SIZE_MIN, SIZE_MAX_FRAME);
	return mode;
}

int main(int argc, char **argv)
{
	static struct ends ends = { .size = 64 };
	const struct mode *mode = parse(argc, argv, port_init(argc, argv), &ends);

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGUSR1, on_signal);
	signal(SIGCONT, on_signal);
	ends.pool = port_open(&ends.shared);
	ends.moved = port_now();
	printf("ready\n");
	fflush(stdout);
	loop(&ends, mode);
	rte_pktmbuf_free_bulk(ends.made, ends.num_made);
	rte_pktmbuf_free_bulk(ends.next, ends.num_next);
	port_close();
	return 0;
}
