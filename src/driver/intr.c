/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts and polling.
 *
 * A queue is armed when its next interrupt is to raise the event. Arming and the interrupt may meet,
 * for the handler runs anywhere; one word decides, by exchange:
 *
 *   the queue:    armed = 1; ask the device for interrupts; look at the ring once more
 *                 (vio_drvq_notify_enable() has the barrier between the last two);
 *   the handler:  if exchanging armed for 0 gives 1, raise the event, else nothing.
 *
 * If the look finds something, the queue takes armed back: it goes on polling, and an interrupt that
 * comes all the same raises nothing. If the handler was first, the event is on its way and the poll
 * that follows it finds what the look found. So no wake-up is lost, none is doubled, and a device
 * that interrupts in a storm only makes the handler count. The device is asked to be quiet again
 * by the queue itself, the next time it runs, because the ring belongs to the queue.
 */
#include "driver/driver.h"

/* Arms the queue for the moment when the device has used more than @after buffers. True: there is
 * something to do already, and the queue is not armed. */
bool vio_driver_arm(struct vio_driver_queue *q, uint16_t after)
{
	/* Before the device may interrupt. Pairs with the exchange in vio_driver_interrupt(). */
	__atomic_store_n(&q->armed, 1, __ATOMIC_SEQ_CST);
	q->intr_ring = true;
	if (!vio_drvq_notify_enable(q->vq, after))
		return false;
	__atomic_store_n(&q->armed, 0, __ATOMIC_SEQ_CST);
	return true;
}

void vio_driver_disarm(struct vio_driver_queue *q)
{
	vio_store(&q->armed, 0);
	if (q->intr_ring)
		vio_drvq_notify_disable(q->vq);
	q->intr_ring = false;
}

int vio_driver_intr_enable(struct vio_driver *drv, unsigned queue)
{
	struct vio_driver_queue *q = vio_driver_queue(drv, queue);
	int ret = vio_driver_refusal(q, vio_driver_has_queue(drv, queue));

	if (ret != 0)
		return ret;
	if (vio_driver_is_tx(q))
		vio_driver_tx_enter(q);
	q->intr_user = true;
	ret = vio_driver_rx_waiting(q) || vio_driver_arm(q, 0);
	if (vio_driver_is_tx(q))
		vio_driver_tx_leave(q);
	return ret;
}

int vio_driver_intr_disable(struct vio_driver *drv, unsigned queue)
{
	struct vio_driver_queue *q = vio_driver_queue(drv, queue);
	int ret = vio_driver_refusal(q, vio_driver_has_queue(drv, queue));

	if (ret != 0)
		return ret;
	if (vio_driver_is_tx(q))
		vio_driver_tx_enter(q);
	q->intr_user = false;
	vio_driver_disarm(q);
	if (vio_driver_is_tx(q))
		vio_driver_tx_leave(q);
	return 0;
}

bool vio_driver_interrupt(struct vio_driver *drv, unsigned queue)
{
	struct vio_driver_queue *q = vio_driver_queue(drv, queue);
	void (*event)(void *ctx, unsigned queue);
	void *ctx;

	if (!q)
		return false;
	/* Pairs with the stores in vio_driver_arm(). */
	if (__atomic_exchange_n(&q->armed, 0, __ATOMIC_SEQ_CST) == 0) {
		__atomic_fetch_add(&q->spurious, 1, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_fetch_add(&q->interrupts, 1, __ATOMIC_RELAXED);
	event = vio_driver_is_tx(q) ? q->conf.tx.event : q->conf.rx.event;
	ctx = vio_driver_is_tx(q) ? q->conf.tx.ctx : q->conf.rx.ctx;
	if (event)
		event(ctx, queue);
	return true;
}

/* ---- One at a time --------------------------------------------------------------------------- */

/* Looks for one frame, past bad ones. */
static int receive_one(struct vio_driver_queue *q, struct vio_buf **frame)
{
	unsigned work = 0;

	return vio_driver_rx_receive(q, frame, 1, UINT32_MAX, &work);
}

int vio_driver_rx_one(struct vio_driver *drv, unsigned id, struct vio_buf **frame)
{
	struct vio_driver_queue *q = vio_driver_rxq(drv, id);
	int n = vio_driver_refusal(q, id < drv->nb_rx), flags;
	bool more, short_of = false;

	if (vio_unlikely(n != 0))
		return n;
	if (q->intr_ring)
		vio_driver_disarm(q);
	n = receive_one(q, frame);
	if (n < 0)
		return n;
	if (vio_driver_rx_wants_refill(q))
		short_of = !vio_driver_rx_refill(q);
	more = n > 0;
	if (q->intr_user) {
		more = vio_driver_rx_waiting(q) || vio_driver_arm(q, 0);
		if (n == 0 && more) {
			/* One slipped in between. */
			n = receive_one(q, frame);
			if (n < 0)
				return n;
		}
	}
	flags = n > 0 ? VIO_ONE_SUCCESS : 0;
	if (more)
		flags |= VIO_ONE_MORE;
	if (short_of)
		flags |= VIO_ONE_UNDERRUN;
	return flags;
}

/* ---- Polling --------------------------------------------------------------------------------- */

/* virtio's queues come in pairs so that one poll can serve both: what was sent is freed where the
 * memory is wanted next. */
static void clean_paired(struct vio_driver *drv, unsigned id)
{
	struct vio_driver_queue *tx = vio_driver_txq(drv, id);

	if (!tx || vio_load(&tx->halt) != 0 || !vio_driver_tx_try_enter(tx))
		return;
	vio_driver_tx_clean(tx, tx->num);
	vio_driver_tx_leave(tx);
}

/* Hands up frames until @budget is used up or the ring is empty. Returns the work done. */
static int hand_up(struct vio_driver_queue *q, unsigned budget)
{
	struct vio_buf *frames[VIO_REFILL_BURST];
	unsigned work = 0, before;
	int n;

	while (work < budget) {
		before = work;
		n = vio_driver_rx_receive(q, frames, vio_min(budget - work, VIO_REFILL_BURST),
					  budget, &work);
		if (n < 0)
			return work > 0 ? (int)work : n;
		if (n > 0)
			q->conf.rx.receive(q->conf.rx.ctx, frames, (unsigned)n);
		if (work == before)
			break;
		if (vio_drvq_free(q->vq) > q->num / 2)
			vio_driver_rx_refill(q);
	}
	return (int)work;
}

int vio_driver_poll(struct vio_driver *drv, unsigned id, unsigned budget)
{
	struct vio_driver_queue *q = vio_driver_rxq(drv, id);
	int ret = vio_driver_refusal(q, id < drv->nb_rx);
	unsigned work = 0;

	if (vio_unlikely(ret != 0))
		return ret;
	if (!q->conf.rx.receive)
		return -EINVAL;
	if (q->intr_ring)
		vio_driver_disarm(q);
	clean_paired(drv, id);
	/* Once round for what is there; again only when arming finds that more slipped in. */
	do {
		ret = hand_up(q, budget - work);
		if (ret < 0)
			return work > 0 ? (int)work : ret;
		work += (unsigned)ret;
		if (vio_drvq_free(q->vq) > q->num / 2)
			vio_driver_rx_refill(q);
	} while (work < budget && q->intr_user && vio_load(&q->halt) == 0 &&
		 (vio_driver_rx_waiting(q) || vio_driver_arm(q, 0)));
	return (int)work;
}

uint64_t vio_driver_poll_due(const struct vio_driver *drv, unsigned id)
{
	const struct vio_driver_queue *q = vio_driver_rxq(drv, id);

	return q && vio_load(&q->halt) == 0 && q->starved ? q->retry_at : UINT64_MAX;
}
