/* SPDX-License-Identifier: BSD-2-Clause */
#include "port.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_debug.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* Enough for both rings, the core's cache, and some on their way; not more, because every buffer
 * that is taken anew is one more that the caches have to hold. */
#define BUFFERS 4095
#define CACHE	256

static const char *program;

uint64_t port_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

int port_init(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	int eal;

	program = slash ? slash + 1 : argv[0];
	eal = rte_eal_init(argc, argv);
	if (eal < 0)
		rte_exit(1, "%s: EAL: %s\n", program, strerror(rte_errno));
	if (rte_eth_dev_count_avail() != 1)
		rte_exit(1,
			 "%s: one port is needed: --vdev net_virtio_user0,path=… or "
			 "net_vhost0,iface=…\n",
			 program);
	return eal + 1;
}

static void check(int ret, const char *what)
{
	if (ret < 0)
		rte_exit(1, "%s: %s: %s\n", program, what, strerror(-ret));
}

struct rte_mempool *port_open(bool *driver)
{
	struct rte_eth_conf conf = { .rxmode = { .mq_mode = RTE_ETH_MQ_RX_NONE } };
	struct rte_eth_dev_info info;
	struct rte_mempool *pool;

	pool = rte_pktmbuf_pool_create("frames", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		rte_exit(1, "%s: no memory for frames\n", program);
	check(rte_eth_dev_info_get(PORT, &info), "information");
	if (driver)
		*driver = strcmp(info.driver_name, "net_vhost") != 0;
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	check(rte_eth_dev_configure(PORT, 1, 1, &conf), "configure");
	check(rte_eth_rx_queue_setup(PORT, 0, PORT_RING_SIZE, (unsigned)SOCKET_ID_ANY, NULL, pool),
	      "receive queue");
	check(rte_eth_tx_queue_setup(PORT, 0, PORT_RING_SIZE, (unsigned)SOCKET_ID_ANY, NULL),
	      "transmit queue");
	check(rte_eth_dev_start(PORT), "start");
	return pool;
}

void port_close(void)
{
	rte_eth_dev_stop(PORT);
	rte_eth_dev_close(PORT);
	rte_eal_cleanup();
}
