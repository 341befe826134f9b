/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver on Linux: the descriptors that a transport has there, by device and queue. */
#include <vioduct/driver_linux.h>

#include "driver/driver.h"

int vio_driver_fd(const struct vio_driver *drv)
{
	return drv->ops->fd ? drv->ops->fd(drv->transport) : -ENOTSUP;
}

int vio_driver_queue_fd(struct vio_driver *drv, unsigned queue)
{
	if (!vio_driver_has_queue(drv, queue))
		return -EINVAL;
	return drv->ops->queue_fd ? drv->ops->queue_fd(drv->transport, queue) : -ENOTSUP;
}

bool vio_driver_queue_fd_handle(struct vio_driver *drv, unsigned queue)
{
	/* First the descriptor, then the queue: an interrupt between the two makes it readable again
	 * and is looked at once more. */
	if (drv->ops->queue_fd_clear)
		drv->ops->queue_fd_clear(drv->transport, queue);
	return vio_driver_interrupt(drv, queue);
}

void vio_driver_transport_release(struct vio_driver_transport *transport)
{
	if (transport)
		transport->ops->release(transport);
}
