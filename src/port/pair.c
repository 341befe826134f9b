/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a turn of a pair is.
 *
 * A turn moves what there is in both directions, up to a budget, and tells the driver once. What
 * makes sense to wait for afterwards follows from what stopped it:
 *
 *	transmit ring empty        a kick of the transmit queue
 *	back end busy (held)       the back end's descriptor, or receive buffers (a loop)
 *	nothing from the back end  the back end's descriptor
 *	guest out of buffers       a kick of the receive queue
 *
 * The two directions are independent: each is armed for its own reason.
 *
 * A back end whose far side is gone for good says so when it is asked for frames. The link is the
 * control thread's, which hears of it through a descriptor, once for each pair.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "port/worker.h"

#define TX_BUDGET 256
#define RX_BUDGET 256

/* More than a ring holds, and an end for a guest that goes on while it is told to stop. */
#define FINISH_BUDGET 4096

/* As long as QEMU's transmit timer, which guests are used to. */
#define TX_TIMER_NS 150000

static vio_cold void tell_lost(struct vio_pair_run *pair)
{
	uint64_t one = 1;
	ssize_t ignored;

	if (pair->lost)
		return;
	pair->lost = true;
	ignored = write(pair->lost_fd, &one, sizeof(one));
	(void)ignored;
}

bool vio_pair_serve(struct vio_pair_run *pair, struct vio_device_scratch *scratch)
{
	struct vio_device *dev = pair->dev;
	int sent = 0, got = 0;

	vio_device_begin(dev, pair->index, scratch);
	if (pair->tx_due)
		sent = vio_device_tx(dev, pair->index, TX_BUDGET);
	if (pair->be->ops->receive && !vio_device_rx_starved(dev, pair->index))
		got = pair->be->ops->receive(pair->be, pair->index, RX_BUDGET);
	vio_device_end(dev, pair->index);
	pair->one_way = sent > 0 && got <= 0 ? (unsigned)sent : 0;
	if (vio_unlikely(got == -ENETDOWN))
		tell_lost(pair);
	return sent > 0 || got > 0;
}

bool vio_pair_finish(struct vio_pair_run *pair, struct vio_device_scratch *scratch)
{
	int sent;

	vio_device_begin(pair->dev, pair->index, scratch);
	sent = vio_device_tx(pair->dev, pair->index, FINISH_BUDGET);
	vio_device_end(pair->dev, pair->index);
	return sent > 0;
}

/*
 * How the back end's descriptor is watched, as things stand. It is readable when frames have come,
 * and when frames can be sent again. Where frames may be there that nobody can take, only news count
 * (edges), or the worker would turn in a circle.
 */
static uint32_t backend_events(const struct vio_pair_run *pair)
{
	bool starved = vio_device_rx_starved(pair->dev, pair->index);

	if (starved && !vio_device_tx_held(pair->dev, pair->index))
		return 0;
	return starved || vio_device_rx_short(pair->dev, pair->index) ? EPOLLIN | EPOLLET : EPOLLIN;
}

bool vio_pair_arm(struct vio_pair_run *pair)
{
	struct vio_device *dev = pair->dev;
	struct vio_backend *be = pair->be;
	bool ready;

	if (pair->tx_due && !vio_device_tx_held(dev, pair->index)) {
		if (vio_device_tx_kicks(dev, pair->index, true))
			return true;
		pair->tx_due = vio_device_tx_mode(dev) == VIO_TX_BH;
	}
	if (vio_device_rx_short(dev, pair->index) && vio_device_rx_kicks(dev, pair->index, true))
		return true;
	/* Asked in any case: it prepares the back end's descriptor. */
	ready = be->ops->arm && be->ops->arm(be, pair->index);
	if (ready && !vio_device_rx_starved(dev, pair->index))
		return true;
	vio_worker_watch(pair, VIO_WAKE_BACKEND, pair->wake[VIO_WAKE_BACKEND].fd,
			 backend_events(pair));
	return false;
}

void vio_pair_disarm(struct vio_pair_run *pair)
{
	if (pair->tx_due)
		vio_device_tx_kicks(pair->dev, pair->index, false);
	vio_device_rx_kicks(pair->dev, pair->index, false);
}

static void start_timer(struct vio_pair_run *pair)
{
	struct itimerspec soon = { .it_value.tv_nsec = TX_TIMER_NS };

	pair->tx_waiting = true;
	timerfd_settime(pair->wake[VIO_WAKE_TX_TIMER].fd, 0, &soon, NULL);
}

/* In timer mode the first kick starts the timer; the second drains, as its end does (Q5). */
static bool tx_kicked(struct vio_pair_run *pair)
{
	vio_device_count_kick(pair->dev, pair->index * 2 + 1);
	if (vio_device_tx_mode(pair->dev) == VIO_TX_TIMER && !pair->tx_waiting &&
	    pair->wake[VIO_WAKE_TX_TIMER].fd >= 0) {
		start_timer(pair);
		vio_device_tx_kicks(pair->dev, pair->index, true);
		return false;
	}
	pair->tx_waiting = false;
	pair->tx_due = true;
	return true;
}

static bool timer_ended(struct vio_pair_run *pair)
{
	uint64_t expirations;

	if (read(pair->wake[VIO_WAKE_TX_TIMER].fd, &expirations, sizeof(expirations)) < 0)
		return false;
	pair->tx_waiting = false;
	pair->tx_due = true;
	return true;
}

bool vio_pair_woken(struct vio_pair_run *pair, enum vio_wake which)
{
	switch (which) {
	case VIO_WAKE_RX_KICK:
		vio_device_count_kick(pair->dev, pair->index * 2);
		return true;
	case VIO_WAKE_TX_KICK:
		return tx_kicked(pair);
	case VIO_WAKE_TX_TIMER:
		return timer_ended(pair);
	default:
		return true;
	}
}
