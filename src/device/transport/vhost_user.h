/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the vhost-user server. The theory is at the head of vhost_user.c. */
#ifndef VIO_DEVICE_TRANSPORT_VHOST_USER_H
#define VIO_DEVICE_TRANSPORT_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <vioduct/device_linux.h>

#include "mem/map_linux.h"
#include "wire/conn.h"

/*
 * A ring as the front end has described it so far. It is in one of three states:
 *
 *	stopped  !started: the device has no such queue; everything may be set
 *	waiting  started, but something is missing (size, addresses, base, features, memory): the
 *		 device has no such queue yet, and gets it when the missing thing comes
 *	running  started and the device has the queue: size and base are fixed, the rest may change
 *
 * The descriptors are the ring's own. @call_fd and @err_fd are used by the pair's thread while the
 * ring is running, so they change inside exclusive() then; all else is the control thread's.
 */
struct vu_ring {
	uint32_t num;	 /* descriptors; 0: not told */
	uint32_t base;	 /* where to start; once stopped, where it stood */
	uint64_t desc;	 /* the areas, by the front end's user addresses */
	uint64_t driver; /* available ring */
	uint64_t device; /* used ring */
	bool has_addr;
	bool has_base;
	bool started;	   /* SET_VRING_KICK came, GET_VRING_BASE or a reset did not */
	bool enable_given; /* SET_VRING_ENABLE came, and said: */
	bool enabled;
	int kick_fd; /* -1: none; when started, the ring is polled then */
	int call_fd;
	int err_fd;
};

/* A region of guest memory, with the reference to its mapping and what tells the file again. */
struct vu_region {
	struct vio_vu_mem_region wire;
	struct vio_map *map;
	dev_t dev;
	ino_t ino;
	uint32_t repeats; /* how often it was added again: it goes with the last removal */
};

/* All of guest memory at a moment; constant. Running queues use @mem. */
struct vu_table {
	uint32_t count;
	struct vio_mem *mem;
	struct vu_region regions[];
};

struct vio_vhost_user {
	/* constant after creation */
	const struct vio_host *host;
	struct vio_device *dev;
	const struct vio_device_runner *runner;
	bool client;
	bool bound; /* we made the socket file: */
	char path[108];
	dev_t path_dev;
	ino_t path_ino;
	uint64_t offered_protocol;
	unsigned num_rings;
	int epoll_fd;
	int retry_fd; /* timer: connect again, or accept again */
	int poll_fd;  /* timer: look at the rings that have no kick descriptor */

	int listen_fd; /* -1: none */
	uint32_t retry_ms;
	uint32_t gone_seen; /* vio_map_gone_count() when last looked at */
	unsigned polled;    /* rings started without a kick descriptor */

	/* the connection; as after creation while there is none */
	bool connected;
	bool has_back;
	bool features_set;
	unsigned complaints; /* lines in the log; any thread's */
	uint64_t features;   /* as sent, VIO_VU_F_PROTOCOL_FEATURES included */
	uint64_t protocol;   /* protocol features negotiated */
	struct vio_vu_conn conn;
	struct vio_vu_conn back; /* SET_BACKEND_REQ_FD */
	struct vu_table *table;	 /* NULL: no memory */

	struct vio_error why; /* the reason for the last refusal */
	struct vio_vhost_user_status status;
	struct vu_ring rings[];
};

/* What epoll tells us about. */
enum vu_source { VU_LISTEN, VU_CONN, VU_BACK, VU_RETRY, VU_POLL, VU_GONE };

/* vhost_user.c */

/* Fills s->why and returns @ret. */
int vu_refuse(struct vio_vhost_user *s, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* One line to the log, up to a bound for each connection: the peer decides how often. Any thread. */
void vu_complain(struct vio_vhost_user *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Watches @fd for @events. 0 or -errno. */
int vu_watch(struct vio_vhost_user *s, int fd, uint32_t events, enum vu_source source);
/* Watches @conn for what it waits for now: it may have begun to wait for the peer to read. */
void vu_rewatch(struct vio_vhost_user *s, const struct vio_vu_conn *conn, enum vu_source source);
/* Before @fd is closed: the peer may hold the same file open, so closing does not end it. */
void vu_unwatch(struct vio_vhost_user *s, int fd);
/* The first tick after @first_ns (0: never), then one each @every_ns (0: no more). */
void vu_timer_set(int fd, uint64_t first_ns, uint64_t every_ns);
/* Puts @fd, or -1, in the place of the channel for our own requests. 0 or -errno, @fd the
 * caller's then. */
int vu_set_back(struct vio_vhost_user *s, int fd);

/* vhost_user_msg.c */

/* Obeys one message and answers it. 0, or -errno when the connection has to be cut. Descriptors
 * that nobody took stay in @msg. */
int vu_dispatch(struct vio_vhost_user *s, struct vio_vu_msg *msg);

/* vhost_user_ring.c */

/* Starts, moves or stops the queue, so that the device has what the ring's description asks for.
 * 0 (a ring that waits is no failure), or -errno with the reason. */
int vu_ring_sync(struct vio_vhost_user *s, unsigned index);
/* All of them; failures are logged. */
void vu_rings_sync(struct vio_vhost_user *s);
/* Stops it and keeps where it stood; the kick descriptor is closed. */
void vu_ring_stop(struct vio_vhost_user *s, unsigned index);
void vu_rings_stop(struct vio_vhost_user *s);
/* Stops all and forgets all that the front end said of them. */
void vu_rings_reset(struct vio_vhost_user *s);
void vu_rings_break(struct vio_vhost_user *s, enum vio_vq_error why);
/* Take over @fd, or -1 for none. 0, or -errno with the reason and @fd is the caller's. */
int vu_ring_set_kick(struct vio_vhost_user *s, unsigned index, int fd);
int vu_ring_set_call(struct vio_vhost_user *s, unsigned index, int fd);
int vu_ring_set_err(struct vio_vhost_user *s, unsigned index, int fd);
/* Looks at the rings that are polled. */
void vu_rings_poll(struct vio_vhost_user *s);

extern const struct vio_device_transport_ops vu_transport_ops;

/* vhost_user_mem.c: @fds stay the caller's. 0, or -errno with the reason, nothing changed. */
int vu_mem_set(struct vio_vhost_user *s, const struct vio_vu_mem_table *table, const int *fds);
int vu_mem_add(struct vio_vhost_user *s, const struct vio_vu_mem_region *region, int fd);
int vu_mem_remove(struct vio_vhost_user *s, const struct vio_vu_mem_region *region);
/* Lets all memory go; no queue is running. */
void vu_mem_drop(struct vio_vhost_user *s);
/* Whether a file behind the memory was found to be cut short. */
bool vu_mem_gone(const struct vio_vhost_user *s);

#endif
