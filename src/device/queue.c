/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's queues: started on a ring, stopped, moved to other memory, broken. */
#include "device/device.h"

#include <errno.h>
#include <string.h>

#define KEPT_BACK   64 /* buffers; twice what DPDK's driver leaves in its ring */
#define STREAM_LAPS 4  /* of the ring, without a lull: then it is a stream */
#define LULL_NS	    50000

/*
 * Tells the back end how many pairs the guest can be reached through: a tap detaches the queues of
 * the others, so that the kernel steers nothing to where nobody looks. Never less than one.
 */
static void tell_pairs(struct vio_device *dev)
{
	unsigned i, used = 1;

	for (i = 1; i < dev->props.queue_pairs; i++)
		if (dev->pairs[i].rx.vq && dev->pairs[i].rx.enabled)
			used = i + 1;
	if (used == dev->pairs_used)
		return;
	dev->pairs_used = used;
	if (dev->backend->ops->set_pairs)
		dev->backend->ops->set_pairs(dev->backend, used);
}

int vio_device_queue_start(struct vio_device *dev, unsigned queue,
			   const struct vio_devq_setup *setup, const struct vio_mem *mem)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);
	struct vio_devq_setup full = *setup;
	void *storage;
	int ret;

	if (!q)
		return -ENOENT;
	if (q->vq)
		return -EBUSY;
	if (setup->num > vio_device_queue_max(dev, queue))
		return -EINVAL;
	full.features = dev->features;
	ret = vio_vq_check_size(full.num, full.features);
	if (ret)
		return ret;
	q->storage_size = vio_devq_bytes(full.num, full.features);
	storage = dev->host->alloc(dev->host->ctx, q->storage_size, VIO_CACHE_LINE);
	if (!storage)
		return -ENOMEM;
	ret = vio_devq_init(storage, &full, &q->vq);
	if (ret) {
		q->vq = NULL;
		dev->host->free(dev->host->ctx, storage, q->storage_size);
		return ret;
	}
	q->storage = storage;
	q->num = full.num;
	q->mem = mem;
	q->enabled = true;
	q->told_broken = false;
	q->dirty = false;
	q->held = false;
	q->starved = false;
	q->had = 0;
	q->streamed = 0;
	q->quiet_since = 0;
	q->seg_done = 0;
	q->seg_id = 0;
	tell_pairs(dev);
	return 0;
}

/*
 * How many used buffers a driver is not to see yet. DPDK's driver frees what it has sent at one go
 * when all but 32 buffers of its ring were used: more than its pool keeps at hand, so the next frames
 * come from the far end of the pool, and from memory; it sends three times as many when the ring never
 * comes back whole. So a driver that goes on sending finds the last few used later, but only
 *
 *	- once it has sent for a while: one that waits for each of its frames would wait for a lull
 *	  each time;
 *	- while its frames are a descriptor each: with more of them too much of a small ring would be
 *	  missing.
 *
 * In a lull, or when the back end is busy, everything is given back.
 */
static uint32_t kept_back(const struct vio_device_queue *q)
{
	return q->streamed / STREAM_LAPS < q->num ? 0 : vio_min((uint32_t)KEPT_BACK, q->num / 4);
}

/* Whether the driver has sent nothing for long. Asked in turns without a frame. */
static bool lull(const struct vio_device *dev, struct vio_device_queue *q)
{
	uint64_t now = dev->host->now_ns(dev->host->ctx);

	if (q->quiet_since == 0)
		q->quiet_since = now;
	return now - q->quiet_since >= LULL_NS;
}

void vio_device_tx_flow(const struct vio_device *dev, struct vio_device_queue *q, unsigned moved)
{
	if (q->held || (moved == 0 && kept_back(q) && lull(dev, q)))
		q->streamed = 0;
	if (moved == 0)
		return;
	q->quiet_since = 0;
	q->streamed = vio_min(q->streamed + moved, (uint32_t)INT32_MAX);
}

/* Publishes what was pushed, save what is kept back, and interrupts the driver if it wants that. */
static void settle(struct vio_device *dev, unsigned queue, struct vio_device_queue *q)
{
	if (!q->vq || !q->dirty)
		return;
	q->dirty = vio_devq_keep_back(q->vq, kept_back(q)) != 0;
	if (!vio_devq_publish(q->vq))
		return;
	vio_count(&q->stats.calls, 1);
	if (dev->transport)
		dev->transport->call(dev->transport_ctx, queue);
}

int vio_device_queue_stop(struct vio_device *dev, unsigned queue, uint32_t *base)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (!q || !q->vq)
		return -ENOENT;
	if (base) {
		q->streamed = 0;
		settle(dev, queue, q);
		*base = vio_devq_base(q->vq);
	}
	dev->host->free(dev->host->ctx, q->storage, q->storage_size);
	q->storage = NULL;
	q->vq = NULL;
	q->mem = NULL;
	q->held = false;
	tell_pairs(dev);
	return 0;
}

int vio_device_queue_set_mem(struct vio_device *dev, unsigned queue, const struct vio_mem *mem,
			     const struct vio_vq_areas *areas)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (!q || !q->vq)
		return -ENOENT;
	q->mem = mem;
	vio_devq_move(q->vq, areas);
	return 0;
}

int vio_device_queue_enable(struct vio_device *dev, unsigned queue, bool enable)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (!q || !q->vq)
		return -ENOENT;
	q->enabled = enable;
	tell_pairs(dev);
	return 0;
}

bool vio_device_queue_running(const struct vio_device *dev, unsigned queue)
{
	const struct vio_device_queue *q = vio_device_queue(dev, queue);

	return q && q->vq;
}

void vio_device_queue_failed(struct vio_device *dev, unsigned queue)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (q->told_broken)
		return;
	q->told_broken = true;
	if (dev->transport && dev->transport->queue_broken)
		dev->transport->queue_broken(dev->transport_ctx, queue, vio_devq_error(q->vq));
}

void vio_device_queue_break(struct vio_device *dev, unsigned queue, enum vio_vq_error why)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (!q || !q->vq)
		return;
	vio_devq_break(q->vq, why);
	vio_device_queue_failed(dev, queue);
}

enum vio_vq_error vio_device_queue_error(const struct vio_device *dev, unsigned queue)
{
	const struct vio_device_queue *q = vio_device_queue(dev, queue);

	return q && q->vq ? vio_devq_error(q->vq) : VIO_VQ_OK;
}

void vio_device_count_kick(struct vio_device *dev, unsigned queue)
{
	struct vio_device_queue *q = vio_device_queue(dev, queue);

	if (q)
		vio_count(&q->stats.kicks, 1);
}

void vio_device_queue_stats(const struct vio_device *dev, unsigned queue,
			    struct vio_queue_stats *stats)
{
	const struct vio_device_queue *q = vio_device_queue(dev, queue);
	unsigned i;

	memset(stats, 0, sizeof(*stats));
	if (!q)
		return;
	stats->packets = vio_load(&q->stats.packets);
	stats->bytes = vio_load(&q->stats.bytes);
	stats->kicks = vio_load(&q->stats.kicks);
	stats->calls = vio_load(&q->stats.calls);
	for (i = 0; i < VIO_DROP_NR; i++)
		stats->drops[i] = vio_load(&q->stats.drops[i]);
}

struct vio_device_scratch *vio_device_scratch_create(const struct vio_host *host)
{
	struct vio_device_scratch *scratch;

	scratch = host->alloc(host->ctx, sizeof(*scratch), VIO_CACHE_LINE);
	if (scratch)
		scratch->host = host;
	return scratch;
}

void vio_device_scratch_destroy(struct vio_device_scratch *scratch)
{
	if (scratch)
		scratch->host->free(scratch->host->ctx, scratch, sizeof(*scratch));
}

void vio_device_begin(struct vio_device *dev, unsigned pair, struct vio_device_scratch *scratch)
{
	scratch->rx.head = 0;
	scratch->rx.count = 0;
	scratch->rx.reserved = 0;
	scratch->rx.pool_used = 0;
	dev->pairs[pair].scratch = scratch;
}

void vio_device_end(struct vio_device *dev, unsigned pair)
{
	struct vio_device_pair *p = &dev->pairs[pair];

	vio_device_rx_release(p);
	settle(dev, pair * 2, &p->rx);
	settle(dev, pair * 2 + 1, &p->tx);
	p->scratch = NULL;
}

bool vio_device_tx_held(const struct vio_device *dev, unsigned pair)
{
	return dev->pairs[pair].tx.held;
}

uint32_t vio_device_tx_size(const struct vio_device *dev, unsigned pair)
{
	const struct vio_device_queue *q = &dev->pairs[pair].tx;

	return q->vq ? q->num : 0;
}

bool vio_device_tx_pending(struct vio_device *dev, unsigned pair)
{
	struct vio_device_queue *q = &dev->pairs[pair].tx;

	return q->vq && vio_devq_error(q->vq) == VIO_VQ_OK && vio_devq_has_avail(q->vq);
}

struct vio_sink *vio_device_sink(struct vio_device *dev, unsigned pair)
{
	return &dev->pairs[pair].sink;
}

/* Whether anything may be received at all. */
static bool rx_open(const struct vio_device *dev, const struct vio_device_queue *q)
{
	return q->vq && q->enabled && vio_load(&dev->link);
}

bool vio_device_rx_starved(struct vio_device *dev, unsigned pair)
{
	struct vio_device_queue *q = &dev->pairs[pair].rx;

	return !rx_open(dev, q) || (q->starved && !vio_devq_has_avail(q->vq));
}

bool vio_device_rx_short(struct vio_device *dev, unsigned pair)
{
	struct vio_device_queue *q = &dev->pairs[pair].rx;

	return rx_open(dev, q) && q->starved;
}

bool vio_device_tx_kicks(struct vio_device *dev, unsigned pair, bool on)
{
	struct vio_device_queue *q = &dev->pairs[pair].tx;

	if (!q->vq)
		return false;
	if (on) {
		/* Nobody may look for a long time. */
		q->streamed = 0;
		settle(dev, pair * 2 + 1, q);
		return vio_devq_kick_enable(q->vq, 0);
	}
	vio_devq_kick_disable(q->vq);
	return false;
}

bool vio_device_rx_kicks(struct vio_device *dev, unsigned pair, bool on)
{
	struct vio_device_queue *q = &dev->pairs[pair].rx;

	if (!q->vq)
		return false;
	if (!on) {
		vio_devq_kick_disable(q->vq);
		return false;
	}
	/* Buffers are no reason to look as long as nothing may be put into them. */
	if (!rx_open(dev, q) || !vio_devq_kick_enable(q->vq, q->starved ? q->had : 0))
		return false;
	q->starved = false;
	return true;
}
