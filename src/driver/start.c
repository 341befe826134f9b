/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start, stop, and coming back.
 *
 * Stopping is resetting: it is the one way that every device has to be told to let go of all
 * buffers, and the only one after which they may be taken back (virtio 1.4, 2.4). Starting again
 * therefore negotiates again, with the same wishes, and sets up the same queues in the same memory.
 * Coming back after a device was lost or wants a reset is the same, with two things between: what
 * the lost device has done is read from the rings, which are in our memory and outlive it, and
 * the transport looks for the device.
 */
#include "driver/driver.h"

#include "base/fmt.h"

#define for_each_queue(drv, i, q)                                           \
	for ((i) = 0; (i) < 2 * vio_max((drv)->nb_rx, (drv)->nb_tx); (i)++) \
		if (((q) = (drv)->queues[i]) != NULL)

void vio_driver_drop_queues(struct vio_driver *drv)
{
	unsigned n = 2 * vio_max(drv->nb_rx, drv->nb_tx), i;

	for (i = 0; i < n; i++)
		vio_driver_queue_destroy(drv->queues[i]);
	if (drv->queues)
		drv->host->free(drv->host->ctx, drv->queues, n * sizeof(*drv->queues));
	drv->queues = NULL;
	drv->nb_rx = 0;
	drv->nb_tx = 0;
}

/* ---- Down ------------------------------------------------------------------------------------ */

/* From now on every queue function returns @why. Those that run at this moment finish. */
static void halt_queues(struct vio_driver *drv, int why)
{
	struct vio_driver_queue *q;
	unsigned i;

	for_each_queue(drv, i, q) vio_store(&q->halt, why);
}

/*
 * Resets the device and takes everything out of the rings; what can still be used is kept in the
 * queues with @keep, else returned to its owner. A device that does not answer is taken to be
 * gone. Returns what the reset did.
 */
int vio_driver_shutdown(struct vio_driver *drv, bool keep)
{
	struct vio_driver_queue *q;
	unsigned i;
	int ret;

	halt_queues(drv, drv->failed ? drv->failed : -ESHUTDOWN);
	ret = vio_driver_device_reset(drv);
	vio_driver_ctrl_stop(drv);
	for_each_queue(drv, i, q) vio_driver_queue_detach(q, keep);
	return ret;
}

int vio_driver_stop(struct vio_driver *drv)
{
	int ret;

	if (drv->state != VIO_DRIVER_STARTED && drv->state != VIO_DRIVER_FAILED)
		return -EBUSY;
	ret = vio_driver_shutdown(drv, false);
	drv->failed = 0;
	halt_queues(drv, -ESHUTDOWN);
	drv->state = drv->queues ? VIO_DRIVER_CONFIGURED : VIO_DRIVER_PROBED;
	return ret == -ETIMEDOUT ? ret : 0;
}

/* ---- Up -------------------------------------------------------------------------------------- */

static int check_complete(const struct vio_driver *drv, struct vio_error *err)
{
	unsigned id;

	for (id = 0; id < drv->nb_rx; id++)
		if (!drv->queues[VIO_RXQ(id)])
			goto missing;
	for (id = 0; id < drv->nb_tx; id++)
		if (!drv->queues[VIO_TXQ(id)]) {
			vio_error_set(err, "%s: transmit queue %u is not set up", drv->name, id);
			return -EINVAL;
		}
	return 0;
missing:
	vio_error_set(err, "%s: receive queue %u is not set up", drv->name, id);
	return -EINVAL;
}

/* Whether the device, which may be another one than at set-up, can do what is configured. */
static int check_device(const struct vio_driver *drv, struct vio_error *err)
{
	const struct vio_driver_queue *q;
	unsigned i;
	int max;

	if (vio_max(drv->nb_rx, drv->nb_tx) > drv->max_pairs) {
		vio_error_set(err, "%s: the device has %u queue pairs, configured are %u",
			      drv->name, drv->max_pairs, vio_max(drv->nb_rx, drv->nb_tx));
		return -ENOTSUP;
	}
	for_each_queue(drv, i, q)
	{
		max = drv->ops->queue_max(drv->transport, i);
		if (max < 0)
			return max;
		if (q->num > (uint32_t)max || vio_vq_check_size(q->num, drv->accepted.w[0]) < 0) {
			vio_error_set(err, "%s: queue %u: size %u, the device takes up to %d",
				      drv->name, i, q->num, max);
			return -ENOTSUP;
		}
	}
	return 0;
}

static int prepare_queues(struct vio_driver *drv)
{
	struct vio_driver_queue *q;
	unsigned i;
	int ret;

	for_each_queue(drv, i, q)
	{
		ret = vio_driver_queue_prepare(q);
		if (ret < 0)
			return ret;
		if (!vio_driver_is_tx(q))
			vio_driver_rx_refill(q);
	}
	return vio_driver_ctrl_prepare(drv);
}

static int attach_queues(struct vio_driver *drv)
{
	struct vio_driver_queue *q;
	unsigned i;
	int ret;

	for_each_queue(drv, i, q)
	{
		ret = vio_driver_queue_attach(q);
		if (ret < 0)
			return ret;
	}
	for_each_queue(drv, i, q)
	{
		ret = drv->ops->queue_enable(drv->transport, i);
		if (ret < 0)
			return ret;
	}
	return vio_driver_ctrl_attach(drv);
}

/* DRIVER_OK, and a look at whether the device is content with it. */
static int go_live(struct vio_driver *drv)
{
	int status, ret;

	ret = vio_driver_add_status(drv, VIO_STATUS_DRIVER_OK);
	if (ret < 0)
		return ret;
	status = drv->ops->get_status(drv->transport);
	if (status < 0)
		return status;
	return status & VIO_STATUS_NEEDS_RESET ? -EIO : 0;
}

/* Everything from FEATURES_OK, or before, to frames. */
static int bring_up(struct vio_driver *drv, struct vio_error *err)
{
	struct vio_driver_queue *q;
	uint16_t status;
	unsigned i;
	int ret;

	ret = drv->negotiated ? 0 : vio_driver_negotiate(drv, err);
	if (ret == 0)
		ret = check_device(drv, err);
	if (ret < 0)
		return ret;
	ret = prepare_queues(drv);
	if (ret == 0)
		ret = attach_queues(drv);
	if (ret == 0)
		ret = go_live(drv);
	if (ret == 0)
		ret = vio_driver_ctrl_restore(drv);
	if (ret < 0) {
		vio_error_set(err, "%s: setting up the queues failed with error %d", drv->name,
			      -ret);
		return ret;
	}
	if (vio_driver_read_status(drv, &status) == 0)
		drv->link = status & VIO_NET_S_LINK_UP;
	drv->failed = 0;
	drv->state = VIO_DRIVER_STARTED;
	for_each_queue(drv, i, q) vio_driver_queue_go(q);
	return 0;
}

int vio_driver_start(struct vio_driver *drv, struct vio_error *err)
{
	int ret;

	if (drv->state != VIO_DRIVER_CONFIGURED) {
		vio_error_set(err, "%s: can't be started: it %s", drv->name,
			      drv->state == VIO_DRIVER_PROBED  ? "is not configured" :
			      drv->state == VIO_DRIVER_STARTED ? "runs" :
								 "has failed");
		return drv->state == VIO_DRIVER_PROBED ? -EINVAL : -EBUSY;
	}
	ret = check_complete(drv, err);
	if (ret < 0)
		return ret;
	ret = bring_up(drv, err);
	if (ret < 0)
		vio_driver_shutdown(drv, false);
	return ret;
}

int vio_driver_reset(struct vio_driver *drv, struct vio_error *err)
{
	int ret;

	vio_driver_shutdown(drv, false);
	vio_driver_drop_queues(drv);
	drv->failed = 0;
	ret = vio_driver_negotiate(drv, err);
	drv->state = ret == 0 ? VIO_DRIVER_PROBED : VIO_DRIVER_FAILED;
	drv->failed = ret;
	return ret;
}

/* ---- Back ------------------------------------------------------------------------------------ */

static void resend(struct vio_driver *drv)
{
	struct vio_driver_queue *q;
	unsigned i;

	for_each_queue(drv, i, q) if (vio_driver_is_tx(q)) vio_driver_tx_resend(q);
}

int vio_driver_recover(struct vio_driver *drv, uint32_t timeout_ms, struct vio_error *err)
{
	int ret = 0;

	if ((drv->state != VIO_DRIVER_FAILED && drv->state != VIO_DRIVER_STARTED) || !drv->queues) {
		vio_error_set(err, "%s: nothing to recover", drv->name);
		return -EBUSY;
	}
	/* It may have failed before all was set up. */
	ret = check_complete(drv, err);
	if (ret < 0)
		return ret;
	if (!drv->failed)
		drv->failed = -EIO;
	drv->state = VIO_DRIVER_FAILED;
	vio_driver_shutdown(drv, true);
	if (drv->ops->reconnect)
		ret = drv->ops->reconnect(drv->transport, timeout_ms, err);
	if (ret == 0)
		ret = bring_up(drv, err);
	if (ret < 0) {
		vio_driver_shutdown(drv, true);
		return ret;
	}
	drv->recoveries++;
	resend(drv);
	return 0;
}

/* ---- Watching -------------------------------------------------------------------------------- */

static int fail(struct vio_driver *drv, int why)
{
	if (drv->failed)
		return drv->failed;
	drv->failed = why;
	drv->state = VIO_DRIVER_FAILED;
	drv->link = false;
	halt_queues(drv, why);
	vio_log(drv->host, VIO_LOG_WARN, "%s: %s", drv->name,
		why == -ENODEV ? "the device is gone" : "the device needs a reset");
	if (drv->events && drv->events->failed)
		drv->events->failed(drv->events_ctx, drv, why);
	return why;
}

static void look_at_config(struct vio_driver *drv)
{
	const struct vio_driver_events *events = drv->events;
	uint16_t status;
	bool up;

	if (vio_driver_read_status(drv, &status) < 0)
		return;
	up = status & VIO_NET_S_LINK_UP;
	if (up != drv->link) {
		drv->link = up;
		if (events && events->link)
			events->link(drv->events_ctx, drv, up);
	}
	if (status & VIO_NET_S_ANNOUNCE && vio_driver_has(drv, VIO_NET_F_GUEST_ANNOUNCE) &&
	    events && events->announce)
		events->announce(drv->events_ctx, drv);
}

int vio_driver_config_interrupt(struct vio_driver *drv)
{
	int happened, status;

	/* Also after a failure, so that the transport's descriptor is quiet again. */
	happened = drv->ops->events(drv->transport);
	if (drv->state == VIO_DRIVER_FAILED)
		return drv->failed;
	if (happened < 0 || happened & VIO_TRANSPORT_GONE)
		return fail(drv, -ENODEV);
	if (drv->state != VIO_DRIVER_STARTED || happened == 0)
		return 0;
	status = drv->ops->get_status(drv->transport);
	if (status < 0 || status == 0xff)
		return fail(drv, -ENODEV);
	if (status & VIO_STATUS_NEEDS_RESET)
		return fail(drv, -EIO);
	look_at_config(drv);
	return 0;
}
