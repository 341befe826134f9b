/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside a vhost-user front end: its state, and the messages it sends. See vhost_user.c. */
#ifndef VIO_DRIVER_TRANSPORT_VHOST_USER_H
#define VIO_DRIVER_TRANSPORT_VHOST_USER_H

#include <vioduct/driver_linux.h>

#include "driver/transport.h"
#include "wire/conn.h"

#define VIO_FRONT_QUEUES (2 * VIO_DRIVER_MAX_PAIRS)

/* States: not set up (the device doesn't know the ring), set up, enabled. */
struct vio_front_queue {
	int kick, call; /* eventfds, -1 until first needed; kept until release */
	bool set_up;
	bool enabled;
};

struct vio_front {
	struct vio_driver_transport t;

	/* constant */
	const struct vio_host *host;
	struct vio_dma_arena *arena;
	char *path;
	bool server;
	uint32_t reply_ms;
	uint8_t mac[VIO_ETH_ALEN];
	uint16_t mtu;
	int listen_fd; /* server, else -1 */
	int epoll_fd;

	/* of the connection */
	bool connected;
	bool has_back;
	struct vio_vu_conn conn;
	struct vio_vu_conn back; /* on which the device asks us */
	uint64_t device_features;
	uint64_t protocol_offered;
	uint64_t protocol; /* of these, what both agreed on */
	unsigned pairs;
	uint8_t status;	     /* as the driver wrote it */
	bool packed;	     /* ring format, as negotiated */
	const char *refused; /* the last request that the device said no to, or NULL */
	bool config_changed;

	uint8_t generation; /* of the configuration */
	struct vio_front_queue queues[VIO_FRONT_QUEUES];
};

static inline bool vio_front_speaks(const struct vio_front *f, enum vio_vu_protocol_feature bit)
{
	return f->protocol & vio_vu_feature(bit);
}

static inline bool vio_front_device_has(const struct vio_front *f, unsigned bit)
{
	return f->device_features & vio_feature(bit);
}

/* vhost_user_link.c. All return 0 or -errno: -ENODEV when the connection is or was lost by it, -EIO
 * when the device refused. */

/* Makes the transport's descriptor readable when @fd is. */
void vio_front_watch(const struct vio_front *f, int fd);
/* Connects, or waits for a connection, up to @timeout_ms, and agrees with the device on all that
 * holds for the whole connection. -EAGAIN: nobody came. */
int vio_front_establish(struct vio_front *f, uint32_t timeout_ms, struct vio_error *err);
/* The connection is over. */
void vio_front_lose(struct vio_front *f);

/* Sends a request, and waits for its answer or acknowledgement if there is to be one. */
int vio_front_call(struct vio_front *f, struct vio_vu_msg *msg, struct vio_vu_msg *reply);
int vio_front_call_u64(struct vio_front *f, uint32_t request, uint64_t value);
int vio_front_ask_u64(struct vio_front *f, uint32_t request, uint64_t *value);
int vio_front_call_state(struct vio_front *f, uint32_t request, uint32_t queue, uint32_t num);
int vio_front_call_fd(struct vio_front *f, uint32_t request, uint32_t queue, int fd);

/* Answers what the device asks on its own channel. Never waits. */
void vio_front_drain_back(struct vio_front *f);

#endif
