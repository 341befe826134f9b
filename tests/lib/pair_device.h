/* SPDX-License-Identifier: BSD-2-Clause */
/* Our device half, whole: a port with its workers and its vhost-user server, in threads of this
 * process or in a process of its own. */
#ifndef TEST_PAIR_DEVICE_H
#define TEST_PAIR_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include <vioduct/device_linux.h>

#define PAIR_MAX_PAIRS 4u

struct pair_device_conf {
	const char *path;
	bool client;	     /* connect to it instead of listening */
	const char *backend; /* NULL: "loop" */
	unsigned pairs;	     /* 0: 1; as many workers */
	uint32_t mtu;
	bool offer_config; /* the configuration space over vhost-user */
	unsigned busy_poll_us;
};

/* What it counted, over its whole life. */
struct pair_device_counts {
	struct vio_queue_stats queues[2 * PAIR_MAX_PAIRS];
	struct vio_vhost_user_status status;
};

/* In threads. */
struct pair_device {
	struct pair_device_conf conf;
	pthread_t thread;
	int ready, stop;		  /* eventfds */
	struct vio_device *dev;		  /* for counters, while it runs */
	struct pair_device_counts counts; /* after pair_device_stop() */
};

/* Returns when it listens (or tries to connect). @conf is copied; strings must outlive it. */
void pair_device_start(struct pair_device *device, const struct pair_device_conf *conf);
void pair_device_stop(struct pair_device *device);

/* In a process, started by a thread that is the only one; likewise. It ends with its parent. */
pid_t pair_device_fork(const struct pair_device_conf *conf);
/* Asks it to end and waits: it must do so, in good order. */
void pair_device_end(pid_t pid);
/* Kills it and waits. */
void pair_device_kill(pid_t pid);

#endif
