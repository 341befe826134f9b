/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue's memory, and its way into and out of the device.
 *
 * create allocates all that the queue will ever need; prepare makes an empty ring of it; attach
 * tells the device; go lets frames move; detach, after the device was reset, takes everything back.
 * Start runs prepare to go, stop runs detach, and this may go round any number of times.
 */
#include "driver/driver.h"

#include "base/fmt.h"

#define LARGE_FRAME 4096 /* bytes: what is larger may have to be posted in pieces */

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Offsets of the areas in the ring's memory; the device's part begins a page, so that the two
 * sides never write to one cache line. Returns the size. */
static size_t ring_layout(uint32_t num, uint64_t features, size_t *driver, size_t *device)
{
	struct vio_vq_sizes s = vio_vq_area_sizes(num, features);

	*driver = vio_align_up(s.desc, VIO_CACHE_LINE);
	*device = vio_align_up(*driver + s.driver, VIO_VIRTQ_LEGACY_ALIGN);
	return *device + vio_align_up(s.device, VIO_CACHE_LINE);
}

static void free_ring(struct vio_driver_queue *q)
{
	const struct vio_host *host = q->drv->host;

	if (q->ring)
		host->dma_free(host->ctx, q->ring, q->ring_size, q->ring_dma);
	if (q->storage)
		host->free(host->ctx, q->storage, q->storage_size);
	q->ring = NULL;
	q->storage = NULL;
}

static int alloc_ring(struct vio_driver_queue *q)
{
	const struct vio_host *host = q->drv->host;
	uint64_t features = q->drv->accepted.w[0];
	size_t driver, device;

	q->packed = features & vio_feature(VIO_F_RING_PACKED);
	q->ring_size = ring_layout(q->num, features, &driver, &device);
	q->ring = host->dma_alloc(host->ctx, q->ring_size, VIO_VIRTQ_LEGACY_ALIGN, &q->ring_dma);
	q->storage_size = vio_drvq_bytes(q->num, features);
	q->storage = host->alloc(host->ctx, q->storage_size, VIO_CACHE_LINE);
	if (q->ring && q->storage)
		return 0;
	free_ring(q);
	return -ENOMEM;
}

/*
 * Bytes of the longest frame that may arrive (virtio 1.4, 5.1.9.3.1). The device's own MTU counts,
 * not a smaller one that was set here: the device knows nothing of that. A VLAN tag may come on top.
 */
uint32_t vio_driver_rx_frame_max(const struct vio_driver *drv)
{
	uint32_t mtu = vio_driver_has(drv, VIO_NET_F_MTU) ? drv->max_mtu : drv->mtu;

	return (uint32_t)vio_net_rx_buf_size(drv->accepted, mtu) - drv->hdr_size + VIO_VLAN_TAG_LEN;
}

/* Bytes to post for one frame, header included; with merging a buffer holds at least the header. */
static uint32_t post_min(const struct vio_driver *drv)
{
	return drv->hdr_size + (vio_driver_has(drv, VIO_NET_F_MRG_RXBUF) ?
					VIO_ETH_HLEN :
					vio_driver_rx_frame_max(drv));
}

/*
 * Tables for what lies in several pieces; doing without them only costs descriptors. To send, some;
 * to receive frames that are larger than usual buffers, one for each descriptor.
 */
static void alloc_indirect(struct vio_driver_queue *q)
{
	const struct vio_host *host = q->drv->host;

	if (!vio_driver_has(q->drv, VIO_F_INDIRECT_DESC))
		return;
	if (vio_driver_is_tx(q)) {
		q->indirect_tables = (uint16_t)(q->num / 4);
		q->indirect_max = VIO_TX_INDIRECT_MAX;
	} else if (post_min(q->drv) > LARGE_FRAME) {
		q->indirect_tables = (uint16_t)q->num;
		q->indirect_max = VIO_RX_INDIRECT_MAX;
	}
	q->indirect_size = (size_t)q->indirect_tables * q->indirect_max * 16;
	if (q->indirect_size)
		q->indirect = host->dma_alloc(host->ctx, q->indirect_size, VIO_CACHE_LINE,
					      &q->indirect_dma);
}

int vio_driver_queue_create(struct vio_driver *drv, unsigned queue, uint32_t num,
			    struct vio_driver_queue **out)
{
	const struct vio_host *host = drv->host;
	struct vio_driver_queue *q;
	unsigned i;
	int ret;

	q = host->alloc(host->ctx, sizeof(*q), VIO_CACHE_LINE);
	if (!q)
		return -ENOMEM;
	/* Entries that held no buffer yet are asked for as well (rx.c, ask_for()): of NULL that would be
	 * a walk through the page tables each time. */
	for (i = 0; i < vio_array_size(q->ahead.done[0]); i++)
		q->ahead.done[0][i].token = q->ahead.done[1][i].token = q;
	q->drv = drv;
	q->index = (uint16_t)queue;
	q->num = num;
	q->halt = -ESHUTDOWN;
	q->kept = host->alloc(host->ctx, num * sizeof(*q->kept), sizeof(void *));
	ret = q->kept ? alloc_ring(q) : -ENOMEM;
	if (ret < 0) {
		vio_driver_queue_destroy(q);
		return ret;
	}
	alloc_indirect(q);
	*out = q;
	return 0;
}

void vio_driver_queue_destroy(struct vio_driver_queue *q)
{
	const struct vio_host *host;

	if (!q)
		return;
	host = q->drv->host;
	if (q->indirect)
		host->dma_free(host->ctx, q->indirect, q->indirect_size, q->indirect_dma);
	free_ring(q);
	host->free(host->ctx, q->kept, q->num * sizeof(*q->kept));
	host->free(host->ctx, q, sizeof(*q));
}

/* ---- Into the device ------------------------------------------------------------------------- */

/* What the data path wants to know of the negotiation. */
static void take_settings(struct vio_driver_queue *q)
{
	const struct vio_driver *drv = q->drv;

	q->features = drv->accepted.w[0];
	q->hdr_size = drv->hdr_size;
	q->mergeable = vio_driver_has(drv, VIO_NET_F_MRG_RXBUF);
	/* All that it may say of the frame takes one of these. */
	q->hdr_says = q->mergeable || vio_driver_has(drv, VIO_NET_F_GUEST_CSUM) ||
		      vio_driver_has(drv, VIO_NET_F_HASH_REPORT);
	q->map_host = drv->host->map ? drv->host : NULL;
	/* virtio 1.4, 5.1.9.2.1: nothing longer than the MTU and the Ethernet header. */
	q->frame_max = vio_driver_has(drv, VIO_NET_F_MTU) ? drv->mtu + VIO_ETH_HLEN :
							    VIO_FRAME_MAX_LEN;
	q->post_min = post_min(drv);
	q->chain_is_one = !q->mergeable && q->indirect && vio_driver_has(drv, VIO_F_INDIRECT_DESC);
}

int vio_driver_queue_prepare(struct vio_driver_queue *q)
{
	struct vio_drvq_setup setup = { .num = q->num, .features = q->drv->accepted.w[0] };
	size_t driver, device;
	int ret;

	if (!q->ring || q->packed != vio_driver_has(q->drv, VIO_F_RING_PACKED)) {
		free_ring(q);
		ret = alloc_ring(q);
		if (ret < 0)
			return ret;
	}
	take_settings(q);
	memset(q->ring, 0, q->ring_size);
	ring_layout(q->num, setup.features, &driver, &device);
	setup.areas.desc = q->ring;
	setup.areas.driver = (char *)q->ring + driver;
	setup.areas.device = (char *)q->ring + device;
	if (q->indirect) {
		setup.indirect = q->indirect;
		setup.indirect_addr = q->indirect_dma;
		setup.indirect_max = q->indirect_max;
		setup.indirect_tables = q->indirect_tables;
	}
	ret = vio_drvq_init(q->storage, &setup, &q->vq);
	if (ret < 0)
		return ret;
	q->merge.want = 0;
	q->starved = false;
	q->told_small = false;
	q->per_post = 1;
	q->full = 0;
	q->intr_user = false;
	q->intr_ring = false;
	vio_store(&q->armed, 0);
	q->hold_kicks = true;
	return 0;
}

int vio_driver_queue_attach(struct vio_driver_queue *q)
{
	const struct vio_driver_transport_ops *ops = q->drv->ops;
	struct vio_driver_ring ring = { .num = q->num, .desc = q->ring_dma };
	size_t driver, device;
	int ret;

	ring_layout(q->num, q->features, &driver, &device);
	ring.driver = q->ring_dma + driver;
	ring.device = q->ring_dma + device;
	ret = ops->queue_setup(q->drv->transport, q->index, &ring);
	if (ret < 0)
		return ret;
	q->notify = ops->notify;
	q->notify_data = vio_driver_has(q->drv, VIO_F_NOTIFICATION_DATA) ? ops->notify_data : NULL;
	q->notify_handle = ops->notify_handle(q->drv->transport, q->index);
	return 0;
}

/* DRIVER_OK is set: from here on the device may be kicked (virtio 1.4, 3.1.1), and is for all that
 * was made available before. */
void vio_driver_queue_go(struct vio_driver_queue *q)
{
	q->hold_kicks = false;
	if (vio_drvq_in_flight(q->vq) > 0)
		vio_driver_kick(q);
	vio_store_release(&q->halt, 0);
}

/* ---- Out of it ------------------------------------------------------------------------------- */

void vio_driver_queue_detach(struct vio_driver_queue *q, bool keep)
{
	if (vio_driver_is_tx(q))
		vio_driver_tx_detach(q, keep);
	else
		vio_driver_rx_detach(q, keep);
	q->vq = NULL;
}

/* The ring found that the device broke the rules, or a queue function did. */
int vio_driver_queue_broken(struct vio_driver_queue *q, int err)
{
	struct vio_driver *drv = q->drv;
	enum vio_vq_error why = vio_drvq_error(q->vq);

	if (vio_load(&q->halt) != 0)
		return err;
	vio_store(&q->halt, err);
	vio_log(drv->host, VIO_LOG_WARN, "%s: queue %u is broken: %s", drv->name, q->index,
		vio_vq_error_name(why));
	if (drv->events && drv->events->queue_broken)
		drv->events->queue_broken(drv->events_ctx, drv, q->index, why);
	return err;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

/*
 * Makes bytes [@start, @start + @len) of @buf's memory reachable, for a host that asks for that.
 * The buffer's dma is set so that dma + @start is where the device finds them.
 */
int vio_driver_map(const struct vio_driver_queue *q, struct vio_buf *buf, uint32_t start,
		   uint32_t len, enum vio_dma_dir dir)
{
	const struct vio_host *host = q->map_host;
	uint64_t dma;
	int ret;

	ret = host->map(host->ctx, buf->mem + start, len, dir, &dma);
	if (ret == 0)
		buf->dma = dma - start;
	return ret;
}

void vio_driver_unmap(const struct vio_driver_queue *q, struct vio_buf *buf, uint32_t start,
		      uint32_t len, enum vio_dma_dir dir)
{
	if (q->map_host->unmap)
		q->map_host->unmap(q->map_host->ctx, buf->dma + start, len, dir);
}
