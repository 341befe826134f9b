/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of DPDK's own driver, measured as `vioduct bench driver --mode latency` measures ours:
 * one frame at a time is sent by a polling virtio-user port, and its way to the device and back is
 * what counts. Frames, checks and histogram are the same code.
 *
 *	echo EAL-OPTION… --vdev net_virtio_user0,path=SOCKET,… -- [--seconds S] [--size N]
 *
 * Prints one JSON object. bench/latency.py compiles and runs it; the build of the project knows
 * nothing of it and needs no DPDK.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_debug.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "../../tools/bench_frame.h"
#include "../../tools/bench_stat.h"

#define RING_SIZE    1024
#define BUFFERS	     8191
#define CACHE	     256
#define SECOND	     UINT64_C(1000000000)
#define WARM_UP	     2000 /* frames */
#define WARM_UP_TIME (SECOND / 5)
#define PATIENCE     (10 * SECOND)
#define SPINS	     1024 /* looks at the ring between looks at the clock */
#define PORT	     0

struct trip {
	struct rte_mempool *pool;
	struct bench_hist rtt;
	uint64_t number, lost, corrupt, moved;
	uint32_t size;
	double seconds;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static int check(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "echo: %s: %s\n", what, strerror(-ret));
		exit(1);
	}
	return ret;
}

/* Whether @mbuf is the frame under way; frees it. */
static bool is_ours(struct trip *trip, struct rte_mbuf *mbuf)
{
	uint8_t whole[BENCH_SIZE_MAX];
	uint32_t len = rte_pktmbuf_pkt_len(mbuf);
	const uint8_t *data;
	uint64_t number = 0;
	unsigned pair;
	bool good;

	data = len <= sizeof(whole) ? rte_pktmbuf_read(mbuf, 0, len, whole) : NULL;
	good = data &&
	       (bench_frame_check(data, len, trip->size, false, 1, &pair, &number) == BENCH_GOOD ||
		bench_frame_check(data, len, trip->size, true, 1, &pair, &number) == BENCH_GOOD);
	rte_pktmbuf_free(mbuf);
	trip->corrupt += !good;
	return good && number == trip->number;
}

static struct rte_mbuf *make(const struct trip *trip)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(trip->pool);
	char *data = mbuf ? rte_pktmbuf_append(mbuf, (uint16_t)trip->size) : NULL;

	if (!data) {
		fprintf(stderr, "echo: no buffer for a frame of %u bytes\n", trip->size);
		exit(1);
	}
	bench_frame_fill((uint8_t *)data, trip->size, 0, trip->number);
	return mbuf;
}

/* One frame there and back. Returns its time, 0 when it did not come within a second. */
static uint64_t go_once(struct trip *trip)
{
	struct rte_mbuf *mbuf = make(trip), *got;
	uint64_t begun = now_ns(), arrived = begun;
	unsigned spins;

	if (rte_eth_tx_burst(PORT, 0, &mbuf, 1) != 1)
		rte_pktmbuf_free(mbuf);
	while (arrived - begun < SECOND) {
		for (spins = 0; spins < SPINS; spins++) {
			if (!rte_eth_rx_burst(PORT, 0, &got, 1))
				continue;
			arrived = now_ns();
			if (is_ours(trip, got)) {
				trip->moved = arrived;
				trip->number++;
				return arrived - begun;
			}
		}
		arrived = now_ns();
	}
	if (arrived - trip->moved >= PATIENCE) {
		fprintf(stderr, "echo: nothing comes back\n");
		exit(1);
	}
	trip->number++;
	return 0;
}

static void measure(struct trip *trip, double seconds)
{
	uint64_t begun = now_ns(), end, rtt;
	unsigned done = 0;

	trip->moved = begun;
	while (done < WARM_UP && (!done || now_ns() - begun < WARM_UP_TIME))
		done += go_once(trip) != 0;
	trip->corrupt = 0;
	begun = now_ns();
	end = begun + (uint64_t)(seconds * (double)SECOND);
	while (now_ns() < end) {
		rtt = go_once(trip);
		if (rtt)
			bench_hist_add(&trip->rtt, rtt);
		else
			trip->lost++;
	}
	trip->seconds = (double)(now_ns() - begun) / 1e9;
}

static void print(const struct trip *trip)
{
	printf("{\"mode\":\"latency\",\"interrupts\":false,\"round_trips\":%" PRIu64
	       ",\"lost\":%" PRIu64 ",\"corrupt\":%" PRIu64 ",\"seconds\":%.6f,\"p50_ns\":%" PRIu64
	       ",\"p99_ns\":%" PRIu64 ",\"p99.9_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 "}\n",
	       trip->rtt.count, trip->lost, trip->corrupt, trip->seconds,
	       bench_hist_percentile(&trip->rtt, 50), bench_hist_percentile(&trip->rtt, 99),
	       bench_hist_percentile(&trip->rtt, 99.9), trip->rtt.max);
}

static void open_port(struct trip *trip)
{
	struct rte_eth_conf conf = { .rxmode = { .mq_mode = RTE_ETH_MQ_RX_NONE } };

	if (rte_eth_dev_count_avail() != 1)
		rte_exit(1, "echo: one port is needed: --vdev net_virtio_user0,path=…\n");
	trip->pool = rte_pktmbuf_pool_create("frames", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					     SOCKET_ID_ANY);
	if (!trip->pool)
		rte_exit(1, "echo: no memory for frames\n");
	check(rte_eth_dev_configure(PORT, 1, 1, &conf), "configure");
	check(rte_eth_rx_queue_setup(PORT, 0, RING_SIZE, SOCKET_ID_ANY, NULL, trip->pool),
	      "receive queue");
	check(rte_eth_tx_queue_setup(PORT, 0, RING_SIZE, SOCKET_ID_ANY, NULL), "transmit queue");
	check(rte_eth_dev_start(PORT), "start");
}

int main(int argc, char **argv)
{
	static struct trip trip = { .size = 64 };
	double seconds = 1;
	int eal, i;

	eal = rte_eal_init(argc, argv);
	if (eal < 0)
		rte_exit(1, "echo: EAL: %s\n", strerror(rte_errno));
	for (i = eal + 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seconds") == 0)
			seconds = strtod(argv[i + 1], NULL);
		else if (strcmp(argv[i], "--size") == 0)
			trip.size = (uint32_t)strtoul(argv[i + 1], NULL, 0);
		else
			rte_exit(2, "echo: %s: expected --seconds or --size\n", argv[i]);
	}
	if (i != argc || seconds <= 0 || trip.size < BENCH_SIZE_MIN || trip.size > 1514)
		rte_exit(2, "echo: expected [--seconds S] [--size 60 to 1514]\n");
	bench_hist_init(&trip.rtt);
	open_port(&trip);
	measure(&trip, seconds);
	print(&trip);
	rte_eth_dev_stop(PORT);
	rte_eth_dev_close(PORT);
	rte_eal_cleanup();
	return trip.corrupt || trip.lost ? 1 : 0;
}
