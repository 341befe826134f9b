/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to serve a device on Linux: the vhost-user server.
 *
 * A server owns one socket (listening, connecting or given) and at most one connection on it. It
 * runs the device's life cycle from the front end's messages. It has no thread: everything it waits
 * for hides behind one descriptor, vio_vhost_user_fd(), and vio_vhost_user_handle() does what there
 * is to do without ever blocking.
 */
#ifndef VIODUCT_DEVICE_LINUX_H
#define VIODUCT_DEVICE_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/device.h>
#include <vioduct/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Who runs the pairs of the device. The server calls these from the thread that calls
 * vio_vhost_user_handle().
 */
struct vio_device_runner {
	void *ctx;
	/*
	 * Runs @fn(@arg) at a moment when nobody serves @pair, and returns after it has. This is
	 * how queues are started, stopped and moved under traffic.
	 */
	void (*exclusive)(void *ctx, unsigned pair, void (*fn)(void *arg), void *arg);
	/*
	 * The kick eventfd of @queue, or -1 when it has none any more: the runner watches it. It
	 * stays the server's; it is closed only after this was called with another. Called inside
	 * exclusive().
	 */
	void (*watch_kick)(void *ctx, unsigned queue, int fd);
	/* Something about @pair changed (started, stopped, enabled, buffers may be there): look at
	 * it soon. Any time. */
	void (*look)(void *ctx, unsigned pair);
	/* A front end connected (@up) or went away: counters, log. Optional. */
	void (*connection)(void *ctx, bool up);
};

struct vio_vhost_user_conf {
	const char *socket_path; /* where to listen or, with @client, to connect; or NULL: */
	int fd; /* an inherited socket, listening or connected, the server's once created; -1 */
	bool client;	   /* connect and, when the other side goes away, again and again */
	bool offer_config; /* offer the CONFIG protocol feature (QEMU's net front end warns) */
};

struct vio_vhost_user;

/*
 * Creates the server and begins to listen, or to connect. Returns 0; -EINVAL, -EADDRINUSE,
 * -ENAMETOOLONG, … with one line in @err. @dev, @runner stay the caller's and must outlive it.
 */
VIO_API int vio_vhost_user_create(const struct vio_host *host, struct vio_device *dev,
				  const struct vio_device_runner *runner,
				  const struct vio_vhost_user_conf *conf,
				  struct vio_vhost_user **server, struct vio_error *err);
/* Ends the connection (queues are stopped first), removes the socket it made, frees all. */
VIO_API void vio_vhost_user_destroy(struct vio_vhost_user *server);

/* Readable when vio_vhost_user_handle() has something to do. Constant. */
VIO_API int vio_vhost_user_fd(const struct vio_vhost_user *server);
/* Does it. Never blocks but in exclusive(). */
VIO_API void vio_vhost_user_handle(struct vio_vhost_user *server);

struct vio_vhost_user_status {
	bool connected;
	bool finished; /* nobody can come any more: a socket that was given connected has ended */
	uint64_t connections, disconnects;
	uint64_t protocol_errors; /* connections that we cut because of what the peer sent */
	char last_error[160];	  /* why the last one was */
};
VIO_API void vio_vhost_user_status(const struct vio_vhost_user *server,
				   struct vio_vhost_user_status *status);

#ifdef __cplusplus
}
#endif
#endif
