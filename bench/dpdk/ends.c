/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DPDK's driver or device at one end of a frame's way, doing to frames what our own ends do: the
 * sender writes every byte of each, the receiver copies each out and reads it. testpmd moves frames
 * that it hardly touches, which tells nothing of what they cost to somebody who has a use for them.
 *
 *	ends EAL-OPTION… --vdev net_virtio_user0,path=SOCKET,… -- --mode MODE [--size N]
 *	     [--warm-up S] [--seconds S]
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
 * Prints "ready" once the port is up: a device listens then. Measures after a warm-up that begins
 * with the first frame; with --seconds it ends by itself, else at SIGTERM or SIGINT. Prints one JSON
 * object: how many frames were sent (txonly) or received in how many seconds. A sent frame is one
 * that the ring has taken.
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
#define PATIENCE       (10 * SECOND)

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
	uint64_t sum;	    /* keeps the reading of frames from being optimised away */
	uint8_t copy[UINT16_MAX] vio_cacheline; /* what a receiver has of a frame */
	uint64_t warm_up, length;		/* ns; length 0: until a signal */
	uint64_t moved, warm;			/* moments; 0: not yet */
	uint64_t begun, last;			/* the first and last look of the measurement, */
	uint64_t counted_then, counted;		/* and the frames until then */
};

static volatile sig_atomic_t ending;

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

	(vio_copy_wide() ? read_wide : read_narrow)(ends, got, n);
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
	bool counts_sent;
};

static const struct mode modes[] = {
	{ "txonly", send_burst, true },
	{ "rxonly", receive_burst, false },
	{ "echo", echo_burst, false },
};

/* ------------------------------------------------------------------------------------------
 * The measurement
 */

/* Looks at the clock. Returns whether to go on. */
static bool look(struct ends *ends, const struct mode *mode, bool moved)
{
	const uint64_t now = port_now(), count = mode->counts_sent ? ends->sent : ends->received;

	if (moved || !ends->moved)
		ends->moved = now;
	if (now - ends->moved >= SECOND / 5)
		ends->under_way = 0; /* a device lost some: they will not come any more */
	if (!ends->warm) {
		if (moved)
			ends->warm = now + ends->warm_up;
	} else if (!ends->begun) {
		if (now >= ends->warm) {
			ends->begun = ends->last = now;
			ends->counted_then = ends->counted = count;
		}
	} else {
		ends->last = now;
		ends->counted = count;
	}
	if (!ends->length)
		return true;
	if (now - ends->moved >= PATIENCE)
		rte_exit(1, "ends: nothing moves for %u seconds\n", (unsigned)(PATIENCE / SECOND));
	return !ends->begun || now - ends->begun < ends->length;
}

static void loop(struct ends *ends, const struct mode *mode)
{
	bool moved;
	unsigned i, j;

	do {
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
	} while (look(ends, mode, moved) && !ending);
	/* Not optimised away. */
	__asm__ volatile("" : : "g"(ends->sum));
}

/* ------------------------------------------------------------------------------------------
 * A run
 */
static void on_signal(int number)
{
	(void)number;
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
	double seconds = 0, warm_up = 0;

	for (; at + 1 < argc; at += 2) {
		if (strcmp(argv[at], "--mode") == 0)
			mode = find_mode(argv[at + 1]);
		else if (strcmp(argv[at], "--size") == 0)
			ends->size = (uint32_t)strtoul(argv[at + 1], NULL, 0);
		else if (strcmp(argv[at], "--warm-up") == 0)
			warm_up = strtod(argv[at + 1], NULL);
		else if (strcmp(argv[at], "--seconds") == 0)
			seconds = strtod(argv[at + 1], NULL);
		else
			break;
	}
	if (at != argc || !mode || seconds < 0 || warm_up < 0 || ends->size < BENCH_SIZE_MIN ||
	    ends->size > SIZE_MAX_FRAME)
		rte_exit(2,
			 "ends: expected --mode txonly|rxonly|echo [--size %d to %d] "
			 "[--warm-up S] [--seconds S]\n",
			 BENCH_SIZE_MIN, SIZE_MAX_FRAME);
	ends->warm_up = (uint64_t)(warm_up * (double)SECOND);
	ends->length = (uint64_t)(seconds * (double)SECOND);
	return mode;
}

int main(int argc, char **argv)
{
	static struct ends ends = { .size = 64 };
	const struct mode *mode = parse(argc, argv, port_init(argc, argv), &ends);

	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	ends.pool = port_open(&ends.shared);
	printf("ready\n");
	fflush(stdout);
	loop(&ends, mode);
	printf("{\"mode\":\"%s\",\"size\":%" PRIu32 ",\"packets\":%" PRIu64 ",\"seconds\":%.6f}\n",
	       mode->name, ends.size, ends.counted - ends.counted_then,
	       (double)(ends.last - ends.begun) / 1e9);
	rte_pktmbuf_free_bulk(ends.made, ends.num_made);
	rte_pktmbuf_free_bulk(ends.next, ends.num_next);
	port_close();
	return 0;
}
