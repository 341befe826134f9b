/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue anew, while the others go on (virtio 1.4, 2.6.1).
 *
 * It is what stop and start do, for a single queue: frames are turned away, the device lets go of
 * the ring, everything that lay in it goes back to its owner, and an empty ring is given to the
 * device, of another size if so wished. What can fail for want of memory is done before the device
 * hears of anything.
 *
 * A device that will not let go keeps the queue's memory: nothing is taken back, the queue stands
 * still, and only the reset of the whole device is left.
 */
#include "driver/driver.h"

#include "base/fmt.h"

static int check_reset(const struct vio_driver *drv, unsigned queue, struct vio_error *err)
{
	if (drv->state != VIO_DRIVER_STARTED) {
		vio_error_set(err, "%s: queue %u can't be reset: the device is not started",
			      drv->name, queue);
		return -EBUSY;
	}
	if (!vio_driver_queue(drv, queue)) {
		vio_error_set(err, "%s: no queue %u", drv->name, queue);
		return -EINVAL;
	}
	if (vio_driver_has(drv, VIO_F_RING_RESET))
		return 0;
	vio_error_set(err, "%s: queue %u can't be reset: RING_RESET was not negotiated", drv->name,
		      queue);
	return -ENOTSUP;
}

/* The queue with which it goes on: @q, or one of another size in its place. */
static int make_queue(struct vio_driver_queue *q, uint32_t size, struct vio_driver_queue **out,
		      struct vio_error *err)
{
	struct vio_driver *drv = q->drv;
	struct vio_driver_queue *fresh;
	int ret;

	*out = q;
	if (size == 0 || size == q->num)
		return 0;
	if (size > q->max || vio_vq_check_size(size, q->features) < 0) {
		vio_error_set(err, "%s: queue %u: size %u, expected %s up to %u", drv->name,
			      q->index, size, q->packed ? "any" : "a power of two", q->max);
		return size > q->max ? -ENOBUFS : -EINVAL;
	}
	ret = vio_driver_queue_create(drv, q->index, size, &fresh);
	if (ret < 0) {
		vio_error_set(err, "%s: queue %u: no memory for %u descriptors", drv->name,
			      q->index, size);
		return ret;
	}
	fresh->conf = q->conf;
	fresh->max = q->max;
	*out = fresh;
	return 0;
}

/* Counters go on; the numbers of frames do for as long as any is under way. */
static void replace(struct vio_driver_queue *old, struct vio_driver_queue *fresh)
{
	fresh->stats = old->stats;
	fresh->interrupts = vio_load(&old->interrupts);
	fresh->spurious = vio_load(&old->spurious);
	fresh->seq = old->seq;
	old->drv->queues[old->index] = fresh;
	vio_driver_queue_destroy(old);
}

/* A receive queue of a pair that the user does not want now (vio_driver_pairs_set()), where it is the
 * transport that turns these off: it stays off until it is wanted. */
static bool resting(const struct vio_driver_queue *q)
{
	return q->drv->ops->pairs_set && !vio_driver_is_tx(q) &&
	       q->index / 2u >= q->drv->active_pairs;
}

/* Gives the device the empty ring of @q, and lets frames move. */
static int start_queue(struct vio_driver_queue *q)
{
	struct vio_driver *drv = q->drv;
	int ret;

	ret = vio_driver_queue_prepare(q);
	if (ret < 0)
		return ret;
	if (!vio_driver_is_tx(q))
		vio_driver_rx_refill(q);
	ret = vio_driver_queue_attach(q);
	if (ret == 0 && !resting(q))
		ret = drv->ops->queue_enable(drv->transport, q->index);
	if (ret == 0)
		vio_driver_queue_go(q);
	return ret;
}

int vio_driver_queue_reset(struct vio_driver *drv, unsigned queue, uint32_t size,
			   struct vio_error *err)
{
	struct vio_driver_queue *q, *fresh;
	int ret;

	ret = check_reset(drv, queue, err);
	if (ret < 0)
		return ret;
	q = vio_driver_queue(drv, queue);
	ret = make_queue(q, size, &fresh, err);
	if (ret < 0)
		return ret;
	vio_store(&q->halt, -ESHUTDOWN);
	ret = drv->ops->queue_reset(drv->transport, queue);
	if (ret < 0)
		goto keeps;
	vio_driver_queue_detach(q, false);
	if (fresh != q)
		replace(q, fresh);
	ret = start_queue(fresh);
	if (ret == 0)
		return 0;
	vio_error_set(err, "%s: queue %u: starting it again failed with error %d", drv->name, queue,
		      -ret);
	/* Nothing was made of it, or the device may have it by now. */
	if (fresh->vq && drv->ops->queue_reset(drv->transport, queue) == 0)
		vio_driver_queue_detach(fresh, false);
	return ret;

keeps:
	vio_error_set(err, "%s: queue %u: the device does not give it back, error %d", drv->name,
		      queue, -ret);
	if (fresh != q)
		vio_driver_queue_destroy(fresh);
	return ret;
}
