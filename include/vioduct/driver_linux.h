/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to open a driver on Linux, and what a program there needs around it: memory that a device in
 * another process can map, and descriptors to sleep on.
 *
 *	vio_dma_arena_create(64 << 20, VIO_LOG_WARN, &arena, &err);
 *	vio_vhost_user_open(&conf, arena, &transport, &err);
 *	vio_driver_probe(transport, vio_dma_arena_host(arena), NULL, &drv, &err);
 */
#ifndef VIODUCT_DRIVER_LINUX_H
#define VIODUCT_DRIVER_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/driver.h>
#include <vioduct/export.h>
#include <vioduct/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Memory for rings and frames: one memfd, in huge pages if there are any, that devices get to map.
 * Everything in it can be read and written by every device that it was given to. What keeps track
 * of it lies elsewhere. All functions may be called from any thread.
 */
struct vio_dma_arena;

/* Makes an arena of @size bytes, rounded up to whole pages. Its host logs up to @level. Returns 0;
 * -EINVAL for size 0, -ENOMEM and the like with one line in @err. */
VIO_API int vio_dma_arena_create(uint64_t size, enum vio_log_level level,
				 struct vio_dma_arena **arena, struct vio_error *err);
/* Frees it; drivers, transports and pools that use it must be gone. NULL does nothing. */
VIO_API void vio_dma_arena_destroy(struct vio_dma_arena *arena);
/* A host whose DMA memory comes from the arena; lives as long as it. Device addresses are this
 * process's own addresses. */
VIO_API const struct vio_host *vio_dma_arena_host(const struct vio_dma_arena *arena);
/* Bytes not given out. */
VIO_API uint64_t vio_dma_arena_available(struct vio_dma_arena *arena);

struct vio_vhost_user_front_conf {
	const char *socket_path; /* required */
	/* Listen on the path and let the device connect; else connect to it. */
	bool server;
	uint32_t timeout_ms;	   /* to wait for the device: 0: 5000 */
	uint32_t reply_timeout_ms; /* to wait for each answer: 0: 1000 */
	uint8_t mac[VIO_ETH_ALEN]; /* unless the device says it; zero: none */
	uint32_t mtu;		   /* unless the device says it: 68..65535, told to it when it
					listens to that; 0: none */
};

/*
 * Opens the way to a vhost-user device, waiting for it up to the limit: as client until it serves
 * the path, as server until it connects. A device has no configuration space of its own unless it
 * offers the CONFIG protocol feature: then @conf stands in. Its control queue, if any, is not used.
 * When the device goes away, vio_driver_recover() waits for it on the same path.
 *
 * @arena must outlive the transport and is where rings and buffers must lie. Returns 0 and the
 * transport, the caller's until vio_driver_probe() took it; -ETIMEDOUT: no device; -EINVAL: a bad
 * path or MTU; -EPROTO: the other side does not speak vhost-user; or what the system said.
 */
VIO_API int vio_vhost_user_open(const struct vio_vhost_user_front_conf *conf,
				struct vio_dma_arena *arena,
				struct vio_driver_transport **transport, struct vio_error *err);

/* What a vhost-user device says of itself. */
struct vio_vhost_user_front_info {
	uint64_t features;	    /* as offered, with the protocol's own bits and those that the
				       transport keeps from the driver */
	uint64_t protocol_offered;  /* protocol features that the device has */
	uint64_t protocol_features; /* of these, what both agreed on */
	uint64_t max_mem_slots;	    /* regions of memory that it can map */
	unsigned max_pairs;
};

/* Asks the device behind @transport, which no driver has taken yet. 0; -ENOTSUP when it is not a
 * transport of vio_vhost_user_open(), -ENODEV when the device is gone. Control. */
VIO_API int vio_vhost_user_describe(struct vio_driver_transport *transport,
				    struct vio_vhost_user_front_info *info);

/* Releases a transport that no driver took. NULL does nothing. */
VIO_API void vio_driver_transport_release(struct vio_driver_transport *transport);

/*
 * Descriptors to poll for input; they stay the driver's and constant over stop, start and recover.
 * vio_driver_fd(): call vio_driver_config_interrupt() when readable; while a server waits for its
 * device, vio_driver_recover(). vio_driver_queue_fd(): call vio_driver_queue_fd_handle(). Both
 * return -ENOTSUP when the transport has none, -EINVAL for a bad queue. Control.
 */
VIO_API int vio_driver_fd(const struct vio_driver *drv);
VIO_API int vio_driver_queue_fd(struct vio_driver *drv, unsigned queue);
/* Takes the event from the queue's descriptor and calls vio_driver_interrupt(). Anywhere. */
VIO_API bool vio_driver_queue_fd_handle(struct vio_driver *drv, unsigned queue);

#ifdef __cplusplus
}
#endif
#endif
