/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver core asks of a transport: status, features, configuration, queues and kicks of
 * one device. A transport embeds struct vio_driver_transport in a structure of its own.
 *
 * All operations are control functions (one thread at a time, see driver.h) except notify(), which
 * runs in the queue's thread, and queue_fd_clear(), which may run anywhere. None may wait longer
 * than a limit of its own. They return 0, what is said, or -errno; -ENODEV means that the device is
 * gone, which stays so until reconnect().
 */
#ifndef VIO_DRIVER_TRANSPORT_H
#define VIO_DRIVER_TRANSPORT_H

#include <vioduct/driver.h>

/* Where a ring lies, by device address. */
struct vio_driver_ring {
	uint32_t num;
	uint64_t desc, driver, device;
};

/* What events() reports. */
enum {
	VIO_TRANSPORT_CONFIG = 1, /* the configuration space may have changed */
	VIO_TRANSPORT_GONE = 2,	  /* the device is gone */
};

struct vio_driver_transport {
	const struct vio_driver_transport_ops *ops;
};

struct vio_driver_transport_ops {
	const char *name; /* "vhost-user" */
	/* Whoever is behind the transport does what a control queue does elsewhere, so features that
	 * need one may be accepted without it. */
	bool ctrl_elsewhere;

	/* Device features. accept is called once between DRIVER and FEATURES_OK. */
	int (*get_features)(struct vio_driver_transport *t, struct vio_features *offered);
	int (*set_features)(struct vio_driver_transport *t, struct vio_features accepted);

	/* The status field: 0..255 or -errno. Writing 0 asks for a reset, which is done when 0 is
	 * read; after that the device touches no ring and no buffer. */
	int (*get_status)(struct vio_driver_transport *t);
	int (*set_status)(struct vio_driver_transport *t, uint8_t status);

	/* Reads bytes of the device configuration; @offset + @len is within the size that follows
	 * from the offered features. Not one reading: see generation, 0..255 or -errno. */
	int (*config_read)(struct vio_driver_transport *t, uint32_t offset, void *buf,
			   uint32_t len);
	int (*config_generation)(struct vio_driver_transport *t);

	/* The largest ring of @queue; 0: there is no such queue. Any time after get_features(). */
	int (*queue_max)(struct vio_driver_transport *t, unsigned queue);
	/* Between FEATURES_OK and DRIVER_OK, or after queue_reset(): tells the device the ring, then
	 * switches it on. */
	int (*queue_setup)(struct vio_driver_transport *t, unsigned queue,
			   const struct vio_driver_ring *ring);
	int (*queue_enable)(struct vio_driver_transport *t, unsigned queue);

	/* Kicks. The handle is asked for once, after queue_setup(), and used until reset. */
	void *(*notify_handle)(struct vio_driver_transport *t, unsigned queue);
	void (*notify)(void *handle);

	/* Optional: the same, with the position that vio_drvq_avail_pos() tells: what a kick brings
	 * with NOTIFICATION_DATA (virtio 1.4, 2.9). Without it that is never accepted. */
	void (*notify_data)(void *handle, uint16_t position);

	/* Optional: resets one queue while others go on (virtio 1.4, 2.6.1). On success the device has
	 * let go of the ring and its buffers, and queue_setup() and queue_enable() may give it a new
	 * one, also of another size. Without it RING_RESET is never accepted. */
	int (*queue_reset)(struct vio_driver_transport *t, unsigned queue);

	/* Optional, with ctrl_elsewhere: frames are to be received on the first @pairs pairs of queues
	 * only. While started. When it returns, none comes on the others any more. */
	int (*pairs_set)(struct vio_driver_transport *t, unsigned pairs);

	/* What happened since the last call: VIO_TRANSPORT_*. Never waits. */
	int (*events)(struct vio_driver_transport *t);
	/*
	 * Optional: finds the device again after it is gone, waiting up to @timeout_ms. 0, also when
	 * it never was gone; -EAGAIN: not there (yet). Afterwards as after opening.
	 */
	int (*reconnect)(struct vio_driver_transport *t, uint32_t timeout_ms,
			 struct vio_error *err);

	/* Optional, Linux: descriptors that become readable for events() and for a queue's
	 * interrupt; constant from the first call until release. clear makes it unreadable. */
	int (*fd)(struct vio_driver_transport *t);
	int (*queue_fd)(struct vio_driver_transport *t, unsigned queue);
	void (*queue_fd_clear)(struct vio_driver_transport *t, unsigned queue);

	/* Ends the connection and frees @t. */
	void (*release)(struct vio_driver_transport *t);
};

#endif
