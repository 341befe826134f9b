/* SPDX-License-Identifier: BSD-2-Clause */
/* What the DPDK programs of the bench have in common: one port of one queue pair, and the clock. */
#ifndef BENCH_DPDK_PORT_H
#define BENCH_DPDK_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#define PORT	       0
#define PORT_RING_SIZE 1024
#define SECOND	       UINT64_C(1000000000)

/* Nanoseconds from some moment on. */
uint64_t port_now(void);

/* Starts DPDK with the options in front of "--", and checks that there is one port. Returns where
 * in @argv the program's own begin. Whatever fails here or below ends the process, with one line
 * that begins with the program's name. */
int port_init(int argc, char **argv);

/* Brings the port up and returns where its buffers come from; *@driver, if not NULL, tells whether it
 * is a driver's. No offloads; but where the port can make use of it, it is told that whatever it
 * sends has no other user (fast free). */
struct rte_mempool *port_open(bool *driver);

/* Takes down the port and all else. */
void port_close(void);

#endif
