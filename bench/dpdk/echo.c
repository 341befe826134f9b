/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of DPDK's own driver, measured as `vioduct bench driver --mode latency` measures ours:
 * one frame at a time is sent by a polling virtio-user port, and its way to the device and back is
 * what counts. Frames, checks and histogram are the same code.
 *
 *	echo EAL-OPTION… --vdev net_virtio_user0,path=SOCKET,… -- [--seconds S] [--size N]
 *
 * Prints one JSON object. bench/latency.py runs it, compiled by bench/dpdk_programs.py; the build of
 * the project knows nothing of it and needs no DPDK.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_debug.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "../../tools/bench_frame.h"
#include "../../tools/bench_stat.h"
#include "port.h"

#define WARM_UP	     2000 /* frames */
#define WARM_UP_TIME (SECOND / 5)
#define PATIENCE     (10 * SECOND)
#define SPINS	     1024 /* looks at the ring between looks at the clock */

struct trip {
	struct rte_mempool *pool;
	struct bench_hist rtt;
	uint64_t number, lost, corrupt, moved;
	uint32_t size;
	double seconds;
};

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
	uint64_t begun = port_now(), arrived = begun;
	unsigned spins;

	if (rte_eth_tx_burst(PORT, 0, &mbuf, 1) != 1)
		rte_pktmbuf_free(mbuf);
	while (arrived - begun < SECOND) {
		for (spins = 0; spins < SPINS; spins++) {
			if (!rte_eth_rx_burst(PORT, 0, &got, 1))
				continue;
			arrived = port_now();
			if (is_ours(trip, got)) {
				trip->moved = arrived;
				trip->number++;
				return arrived - begun;
			}
		}
		arrived = port_now();
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
	uint64_t begun = port_now(), end, rtt;
	unsigned done = 0;

	trip->moved = begun;
	while (done < WARM_UP && (!done || port_now() - begun < WARM_UP_TIME))
		done += go_once(trip) != 0;
	trip->corrupt = 0;
	begun = port_now();
	end = begun + (uint64_t)(seconds * (double)SECOND);
	while (port_now() < end) {
		rtt = go_once(trip);
		if (rtt)
			bench_hist_add(&trip->rtt, rtt);
		else
			trip->lost++;
	}
	trip->seconds = (double)(port_now() - begun) / 1e9;
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

int main(int argc, char **argv)
{
	static struct trip trip = { .size = 64 };
	double seconds = 1;
	int i;

	for (i = port_init(argc, argv); i + 1 < argc; i += 2) {
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
	trip.pool = port_open(NULL);
	measure(&trip, seconds);
	print(&trip);
	port_close();
	return trip.corrupt || trip.lost ? 1 : 0;
}
