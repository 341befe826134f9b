/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back end for tests of the driver: a thread that takes what front ends say, one after
 * the other, remembers it, and answers; well, or as the test wants it. Frames are the test's affair.
 */
#ifndef TEST_VUBACK_H
#define TEST_VUBACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <vioduct/mem.h>

#include "wire/conn.h"

#define VUB_QUEUES 4

struct vub_queue {
	int kick, call;
	uint32_t num;
	struct vio_vu_vring_addr addr;
	bool running, enabled;
};

/* The device. Set up before it runs; looked at after a request of the driver was answered. */
struct vub {
	char path[64];
	bool client;
	uint64_t features, protocol;
	uint8_t config[28];
	struct vio_vu_conn conn;
	struct vio_vu_conn own; /* back-end channel */
	bool connected, has_own;
	uint64_t accepted, protocol_accepted, mtu;
	uint8_t status;
	struct vio_mem *mem;
	void *map;
	size_t map_size;
	struct vub_queue queues[VUB_QUEUES];
	char order[2048]; /* names of the messages */
	uint32_t refuse;  /* this request is answered with an error */
	uint32_t drop_at; /* at this request the connection is cut */
	uint32_t silent_at;
	bool features_ok_never;
	bool no_log;
	pthread_t thread;
	int stop; /* eventfd: end the thread */
	int listen_fd;
};

/* Begins to listen or, as a client, to try; ends, and forgets the front end. */
void vub_start(struct vub *b);
void vub_stop(struct vub *b);

#endif
