/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vioduct/mem.h>

#include "base/bits.h"
#include "base/endian.h"
#include "fakedev.h"

#define DMA_SIZE (24u << 20)

/* ---- The host -------------------------------------------------------------------------------- */

static bool may_alloc(struct fake_host *h)
{
	if (h->fail_after < 0)
		return true;
	if (h->fail_after == 0)
		return false;
	h->fail_after--;
	return true;
}

static void *host_alloc(void *ctx, size_t size, size_t align)
{
	struct fake_host *h = ctx;
	void *p;

	if (!may_alloc(h) ||
	    posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size))
		return NULL;
	h->live++;
	return memset(p, 0, size);
}

static void host_free(void *ctx, void *p, size_t size)
{
	struct fake_host *h = ctx;

	(void)size;
	if (p)
		h->live--;
	free(p);
}

/* The newest piece first: what is given back last in, first out is used again; all when nothing is
 * alive. */
static void *host_dma_alloc(void *ctx, size_t size, size_t align, uint64_t *dma)
{
	struct fake_host *h = ctx;
	size_t at = vio_align_up(h->dma_used, align);

	if (!may_alloc(h) || at + size > h->dma_size)
		return NULL;
	h->dma_live++;
	h->dma_used = at + size;
	*dma = FAKE_DMA + at;
	return memset(h->dma + at, 0, size);
}

static void host_dma_free(void *ctx, void *p, size_t size, uint64_t dma)
{
	struct fake_host *h = ctx;

	if (!p)
		return;
	assert_ptr_equal(p, h->dma + (dma - FAKE_DMA));
	if ((size_t)(dma - FAKE_DMA) + size == h->dma_used)
		h->dma_used = (size_t)(dma - FAKE_DMA);
	if (--h->dma_live == 0)
		h->dma_used = 0;
}

static uint64_t host_now(void *ctx)
{
	struct fake_host *h = ctx;

	return h->now += h->step;
}

static void host_relax(void *ctx)
{
	(void)ctx;
}

static void host_log(void *ctx, enum vio_log_level level, const char *line)
{
	struct fake_host *h = ctx;
	size_t used = strlen(h->log);

	(void)level;
	snprintf(h->log + used, sizeof(h->log) - used, "%s\n", line);
}

static int host_map(void *ctx, void *p, size_t len, enum vio_dma_dir dir, uint64_t *dma)
{
	struct fake_host *h = ctx;

	(void)dir;
	if (h->map_error)
		return h->map_error;
	assert_true((uint8_t *)p >= h->dma && (uint8_t *)p + len <= h->dma + h->dma_size);
	*dma = FAKE_DMA + (uint64_t)((uint8_t *)p - h->dma);
	h->maps++;
	h->maps_made++;
	return 0;
}

static void host_unmap(void *ctx, uint64_t dma, size_t len, enum vio_dma_dir dir)
{
	struct fake_host *h = ctx;

	(void)len;
	(void)dir;
	assert_true(dma >= FAKE_DMA);
	assert_true(h->maps > 0);
	h->maps--;
}

void fake_host_init(struct fake_host *h)
{
	memset(h, 0, sizeof(*h));
	h->host = (struct vio_host){
		.ctx = h,
		.alloc = host_alloc,
		.free = host_free,
		.dma_alloc = host_dma_alloc,
		.dma_free = host_dma_free,
		.now_ns = host_now,
		.relax = host_relax,
		.log = host_log,
	};
	h->dma_size = DMA_SIZE;
	h->dma = aligned_alloc(4096, DMA_SIZE);
	assert_non_null(h->dma);
	h->fail_after = -1;
	h->step = 100000;
}

void fake_host_done(struct fake_host *h)
{
	assert_int_equal(h->live, 0);
	assert_int_equal(h->dma_live, 0);
	assert_int_equal(h->maps, 0);
	free(h->dma);
}

void fake_host_use_map(struct fake_host *h)
{
	h->host.map = host_map;
	h->host.unmap = host_unmap;
}

/* ---- The transport --------------------------------------------------------------------------- */

static struct fake_dev *fake(struct vio_driver_transport *t)
{
	return vio_container_of(t, struct fake_dev, t);
}

static void note(struct fake_dev *dev, char step)
{
	size_t n = strlen(dev->order);

	if (n + 1 < sizeof(dev->order))
		dev->order[n] = step;
}

static int get_features(struct vio_driver_transport *t, struct vio_features *offered)
{
	note(fake(t), 'f');
	*offered = fake(t)->offered;
	return fake(t)->gone ? -ENODEV : 0;
}

static int set_features(struct vio_driver_transport *t, struct vio_features accepted)
{
	note(fake(t), 'F');
	fake(t)->accepted = accepted;
	return fake(t)->gone ? -ENODEV : 0;
}

static int get_status(struct vio_driver_transport *t)
{
	struct fake_dev *dev = fake(t);

	if (dev->gone)
		return -ENODEV;
	if (dev->all_ones)
		return 0xff;
	if (dev->needs_reset && dev->status & VIO_STATUS_DRIVER_OK)
		return dev->status | VIO_STATUS_NEEDS_RESET;
	return dev->status;
}

static void stop_queues(struct fake_dev *dev)
{
	unsigned i;

	for (i = 0; i < FAKE_QUEUES; i++) {
		free(dev->queues[i].storage);
		dev->queues[i].storage = NULL;
		dev->queues[i].vq = NULL;
		dev->queues[i].enabled = false;
	}
}

static int set_status(struct vio_driver_transport *t, uint8_t status)
{
	struct fake_dev *dev = fake(t);
	uint8_t added = status & (uint8_t)~dev->status;

	if (dev->gone)
		return -ENODEV;
	if (status == 0) {
		note(dev, 'R');
		dev->resets++;
		stop_queues(dev);
		dev->ctrl_count = 0;
		memset(dev->ctrl_kinds, 0, sizeof(dev->ctrl_kinds));
		dev->status = dev->never_resets ? 0x0f : 0;
		return 0;
	}
	/* virtio 1.4, 2.1.1: the driver clears no bit but by a reset. */
	assert_int_equal(status & dev->status, dev->status);
	if (added & VIO_STATUS_ACKNOWLEDGE)
		note(dev, 'A');
	if (added & VIO_STATUS_DRIVER)
		note(dev, 'D');
	if (added & VIO_STATUS_FEATURES_OK)
		note(dev, 'K');
	if (added & VIO_STATUS_DRIVER_OK)
		note(dev, 'O');
	if (added & VIO_STATUS_FAILED)
		note(dev, 'X');
	dev->status = status;
	if (dev->no_features_ok)
		dev->status &= (uint8_t)~VIO_STATUS_FEATURES_OK;
	return 0;
}

static int config_read(struct vio_driver_transport *t, uint32_t offset, void *buf, uint32_t len)
{
	struct fake_dev *dev = fake(t);

	if (dev->gone)
		return -ENODEV;
	note(dev, 'c');
	assert_true(offset + len <= vio_net_config_size(dev->offered));
	memcpy(buf, (uint8_t *)&dev->config + offset, len);
	return 0;
}

static int config_generation(struct vio_driver_transport *t)
{
	struct fake_dev *dev = fake(t);

	if (dev->never_settles)
		dev->generation++;
	return dev->gone ? -ENODEV : dev->generation;
}

static int queue_max(struct vio_driver_transport *t, unsigned queue)
{
	struct fake_dev *dev = fake(t);

	if (queue >= FAKE_QUEUES)
		return 0;
	return dev->queue_max ? dev->queue_max : 256;
}

static int queue_setup(struct vio_driver_transport *t, unsigned queue,
		       const struct vio_driver_ring *ring)
{
	struct fake_dev *dev = fake(t);
	struct fake_queue *q = &dev->queues[queue];
	struct vio_devq_setup setup = { .num = ring->num, .features = dev->accepted.w[0] };

	if (dev->gone)
		return -ENODEV;
	if (dev->setup_error)
		return dev->setup_error;
	note(dev, 'q');
	assert_true(queue < FAKE_QUEUES);
	/* virtio 1.4, 3.1.1: not before FEATURES_OK, not after DRIVER_OK but for a queue that was
	 * reset (2.6.1.2). */
	if (vio_features_test(dev->accepted, VIO_F_VERSION_1))
		assert_true(dev->status & VIO_STATUS_FEATURES_OK);
	assert_true(q->was_reset || !(dev->status & VIO_STATUS_DRIVER_OK));
	q->was_reset = false;
	q->use_at = 0;
	q->ring = *ring;
	if (fake_packed(dev))
		setup.base = 0x80008000;
	setup.areas.desc = fake_ptr(dev, ring->desc);
	setup.areas.driver = fake_ptr(dev, ring->driver);
	setup.areas.device = fake_ptr(dev, ring->device);
	free(q->storage);
	q->storage = aligned_alloc(64, vio_align_up(vio_devq_bytes(ring->num, setup.features), 64));
	assert_int_equal(vio_devq_init(q->storage, &setup, &q->vq), 0);
	vio_devq_kick_enable(q->vq, 0);
	return 0;
}

static int queue_enable(struct vio_driver_transport *t, unsigned queue)
{
	fake(t)->queues[queue].enabled = true;
	return fake(t)->gone ? -ENODEV : 0;
}

static int queue_reset(struct vio_driver_transport *t, unsigned queue)
{
	struct fake_dev *dev = fake(t);
	struct fake_queue *q = &dev->queues[queue];

	if (dev->gone)
		return -ENODEV;
	if (dev->reset_error)
		return dev->reset_error;
	/* virtio 1.4, 2.6.1.1: only what was negotiated, and of a device that runs. */
	assert_true(vio_features_test(dev->accepted, VIO_F_RING_RESET));
	assert_true(dev->status & VIO_STATUS_DRIVER_OK);
	note(dev, 'r');
	dev->queue_resets++;
	free(q->storage);
	q->storage = NULL;
	q->vq = NULL;
	q->enabled = false;
	q->was_reset = true;
	return 0;
}

static void *notify_handle(struct vio_driver_transport *t, unsigned queue)
{
	return &fake(t)->queues[queue];
}

static void keep_command(struct fake_dev *dev)
{
	struct fake_command *kind = &dev->ctrl_kinds[dev->ctrl[0] & 7][dev->ctrl[1] & 3];

	kind->len = dev->ctrl_len;
	memcpy(kind->data, dev->ctrl + 2, vio_min(dev->ctrl_len - 2, sizeof(kind->data)));
}

static void serve_ctrl(struct fake_dev *dev, struct fake_queue *q)
{
	struct vio_iov pool[600];
	struct vio_chain chain;
	unsigned i;

	if (dev->no_ack)
		return;
	while (vio_devq_pop_burst(q->vq, dev->mem, &chain, 1, pool, vio_array_size(pool)) == 1) {
		dev->ctrl_len = 0;
		for (i = 0; i < chain.out_num; i++) {
			memcpy(dev->ctrl + dev->ctrl_len, chain.iov[i].base, chain.iov[i].len);
			dev->ctrl_len += chain.iov[i].len;
		}
		assert_true(dev->ctrl_len >= 2);
		assert_int_equal(chain.in_len, 1);
		if (dev->ctrl_count < sizeof(dev->ctrl_classes))
			dev->ctrl_classes[dev->ctrl_count] =
				(uint8_t)(dev->ctrl[0] << 4 | dev->ctrl[1]);
		dev->ctrl_count++;
		keep_command(dev);
		*(uint8_t *)chain.iov[chain.out_num].base = (uint8_t)dev->ack;
		chain.written = 1;
		vio_devq_push_burst(q->vq, &chain, 1);
		vio_devq_publish(q->vq);
	}
	vio_devq_kick_enable(q->vq, 0);
}

static void notify(void *handle)
{
	struct fake_queue *q = handle;
	struct fake_dev *dev = q->dev;
	unsigned pairs = vio_features_test(dev->accepted, VIO_NET_F_MQ) ?
				 vio_le16(dev->config.max_virtqueue_pairs) :
				 1;

	q->kicks++;
	if (!(dev->status & VIO_STATUS_DRIVER_OK))
		q->early_kicks++;
	if (q == &dev->queues[2 * pairs] && q->vq)
		serve_ctrl(dev, q);
}

static void notify_data(void *handle, uint16_t position)
{
	struct fake_queue *q = handle;

	assert_true(vio_features_test(q->dev->accepted, VIO_F_NOTIFICATION_DATA));
	q->position = position;
	notify(handle);
}

static int events(struct vio_driver_transport *t)
{
	int ret = fake(t)->events;

	fake(t)->events = 0;
	return fake(t)->gone ? VIO_TRANSPORT_GONE : ret;
}

static int reconnect(struct vio_driver_transport *t, uint32_t timeout_ms, struct vio_error *err)
{
	(void)timeout_ms;
	(void)err;
	fake(t)->reconnects++;
	if (fake(t)->reconnect_error)
		return fake(t)->reconnect_error;
	if (fake(t)->gone) {
		fake(t)->gone = false;
		fake(t)->status = 0;
		stop_queues(fake(t));
	}
	return 0;
}

static void release(struct vio_driver_transport *t)
{
	fake(t)->releases++;
	stop_queues(fake(t));
}

#define OPS(elsewhere)                                                                            \
	{                                                                                         \
		.name = "fake", .ctrl_elsewhere = (elsewhere), .get_features = get_features,      \
		.set_features = set_features, .get_status = get_status, .set_status = set_status, \
		.config_read = config_read, .config_generation = config_generation,               \
		.queue_max = queue_max, .queue_setup = queue_setup, .queue_enable = queue_enable, \
		.queue_reset = queue_reset, .notify_handle = notify_handle, .notify = notify,     \
		.notify_data = notify_data, .events = events, .reconnect = reconnect,             \
		.release = release,                                                               \
	}

static const struct vio_driver_transport_ops ops = OPS(false);
static const struct vio_driver_transport_ops ops_ctrl_elsewhere = OPS(true);

void fake_keep_ctrl(struct fake_dev *dev)
{
	dev->t.ops = &ops_ctrl_elsewhere;
}

/* ---- The device ------------------------------------------------------------------------------ */

void fake_offer(struct fake_dev *dev, unsigned feature)
{
	vio_features_set(&dev->offered, feature);
}

void fake_withdraw(struct fake_dev *dev, unsigned feature)
{
	vio_features_clear(&dev->offered, feature);
}

void fake_dev_init(struct fake_dev *dev, struct fake_host *h)
{
	static const uint8_t features[] = { VIO_F_VERSION_1,	 VIO_F_EVENT_IDX,
					    VIO_F_INDIRECT_DESC, VIO_NET_F_MAC,
					    VIO_NET_F_STATUS,	 VIO_NET_F_MTU,
					    VIO_NET_F_MRG_RXBUF, VIO_NET_F_CSUM };
	static const uint8_t mac[] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct vio_mem_region region = { FAKE_DMA, h->dma_size, 0, h->dma };
	unsigned i;

	memset(dev, 0, sizeof(*dev));
	dev->t.ops = &ops;
	dev->host = h;
	for (i = 0; i < sizeof(features); i++)
		fake_offer(dev, features[i]);
	memcpy(dev->config.mac, mac, sizeof(mac));
	dev->config.status = vio_le16(VIO_NET_S_LINK_UP);
	dev->config.mtu = vio_le16(1500);
	dev->config.max_virtqueue_pairs = vio_le16(FAKE_PAIRS);
	dev->mem = malloc(vio_mem_bytes(1));
	assert_int_equal(vio_mem_init(dev->mem, &region, 1), 0);
	for (i = 0; i < FAKE_QUEUES; i++)
		dev->queues[i].dev = dev;
}

void fake_dev_done(struct fake_dev *dev)
{
	stop_queues(dev);
	free(dev->mem);
}

void *fake_ptr(const struct fake_dev *dev, uint64_t dma)
{
	assert_true(dma >= FAKE_DMA && dma < FAKE_DMA + dev->host->dma_size);
	return dev->host->dma + (dma - FAKE_DMA);
}

static void put_hash(const struct fake_dev *dev, struct vio_net_hdr *header)
{
	header->hash_value = vio_le32(dev->hash);
	header->hash_report = vio_le16(dev->hash_report);
}

unsigned fake_send_quiet(struct fake_dev *dev, unsigned queue, const void *frame, size_t len,
			 const struct vio_net_meta *meta)
{
	struct fake_queue *q = &dev->queues[queue];
	uint32_t hdr = (uint32_t)vio_net_hdr_size(dev->accepted);
	struct vio_iov pool[1200];
	struct vio_chain chains[256];
	struct vio_net_meta m = meta ? *meta : (struct vio_net_meta){ 0 };
	uint8_t *bytes = malloc(hdr + len);
	void *header = NULL;
	size_t done = 0;
	unsigned n = 0, i;

	memcpy(bytes + hdr, frame, len);
	while (done < hdr + len) {
		struct vio_chain *c = &chains[n];
		size_t off = 0, want;

		if (vio_devq_pop_burst(q->vq, dev->mem, c, 1, pool + 40 * (n % 30), 40) != 1) {
			vio_devq_unpop(q->vq, chains, n);
			free(bytes);
			return 0;
		}
		n++;
		assert_int_equal(c->out_num, 0);
		c->written = 0;
		for (i = 0; i < c->in_num && done < hdr + len; i++) {
			want = vio_min(c->iov[i].len - off, hdr + len - done);
			memcpy(c->iov[i].base, bytes + done, want);
			done += want;
			c->written += (uint32_t)want;
		}
		if (n == 1) {
			assert_true(c->iov[0].len >= hdr);
			header = c->iov[0].base;
		}
	}
	if (m.num_buffers == 0)
		m.num_buffers = (uint16_t)n;
	/* Only now is it known how many buffers there are. */
	vio_net_hdr_encode(header, hdr, false, &m);
	if (hdr >= VIO_NET_HDR_SIZE_HASH)
		put_hash(dev, header);
	vio_devq_push_burst(q->vq, chains, n);
	free(bytes);
	return n;
}

unsigned fake_send(struct fake_dev *dev, unsigned queue, const void *frame, size_t len,
		   const struct vio_net_meta *meta)
{
	unsigned n = fake_send_quiet(dev, queue, frame, len, meta);

	vio_devq_publish(dev->queues[queue].vq);
	return n;
}

long fake_take(struct fake_dev *dev, unsigned queue, void *frame, size_t room, unsigned *pieces)
{
	struct fake_queue *q = &dev->queues[queue];
	struct vio_iov pool[1200];
	struct vio_chain c;
	size_t len = 0;
	unsigned i;

	if (vio_devq_pop_burst(q->vq, dev->mem, &c, 1, pool, vio_array_size(pool)) != 1)
		return -1;
	assert_int_equal(c.in_num, 0);
	for (i = 0; i < c.out_num; i++) {
		assert_true(len + c.iov[i].len <= room);
		memcpy((uint8_t *)frame + len, c.iov[i].base, c.iov[i].len);
		len += c.iov[i].len;
	}
	if (pieces)
		*pieces = c.out_num;
	c.written = 0;
	vio_devq_push_burst(q->vq, &c, 1);
	vio_devq_publish(q->vq);
	return (long)len;
}

unsigned fake_available(struct fake_dev *dev, unsigned queue)
{
	return vio_devq_avail_count(dev->queues[queue].vq);
}

bool fake_wants_interrupt(struct fake_dev *dev, unsigned queue)
{
	return vio_devq_publish(dev->queues[queue].vq);
}

struct vio_virtq_used *fake_used(const struct fake_dev *dev, unsigned queue)
{
	return fake_ptr(dev, dev->queues[queue].ring.device);
}

struct vio_virtq_avail *fake_avail(const struct fake_dev *dev, unsigned queue)
{
	return fake_ptr(dev, dev->queues[queue].ring.driver);
}

struct vio_virtq_desc *fake_desc(const struct fake_dev *dev, unsigned queue)
{
	return fake_ptr(dev, dev->queues[queue].ring.desc);
}

/* ---- By hand, in any format ------------------------------------------------------------------ */

bool fake_packed(const struct fake_dev *dev)
{
	return vio_features_test(dev->accepted, VIO_F_RING_PACKED);
}

struct vio_pvirtq_desc *fake_pdesc(const struct fake_dev *dev, unsigned queue)
{
	return fake_ptr(dev, dev->queues[queue].ring.desc);
}

uint16_t fake_id(const struct fake_dev *dev, unsigned queue, unsigned i)
{
	if (fake_packed(dev))
		return vio_le16(fake_pdesc(dev, queue)[i].id);
	return vio_le16(fake_avail(dev, queue)->ring[i]);
}

void *fake_buffer(const struct fake_dev *dev, unsigned queue, unsigned i)
{
	if (fake_packed(dev))
		return fake_ptr(dev, vio_le64(fake_pdesc(dev, queue)[i].addr));
	return fake_ptr(dev, vio_le64(fake_desc(dev, queue)[fake_id(dev, queue, i)].addr));
}

void *fake_next_buffer(struct fake_dev *dev, unsigned queue)
{
	struct fake_queue *q = &dev->queues[queue];
	struct vio_iov pool[600];
	struct vio_chain chain;

	assert_int_equal(vio_devq_pop_burst(q->vq, dev->mem, &chain, 1, pool, 600), 1);
	vio_devq_unpop(q->vq, &chain, 1);
	return chain.iov[0].base;
}

static void use_packed(struct fake_queue *q, struct vio_pvirtq_desc *ring, uint32_t id,
		       uint32_t len)
{
	uint16_t both = VIO_DESC_F_AVAIL | VIO_DESC_F_USED;
	struct vio_pvirtq_desc *d = &ring[q->use_at % q->ring.num];
	uint16_t flags = q->use_at < q->ring.num ? both : 0;

	d->id = vio_le16((uint16_t)id);
	d->len = vio_le32(len);
	d->flags = vio_le16((uint16_t)(flags | (len ? VIO_DESC_F_WRITE : 0)));
	q->use_at = (q->use_at + 1) % (2 * q->ring.num);
}

void fake_use(struct fake_dev *dev, unsigned queue, uint32_t id, uint32_t len)
{
	struct vio_virtq_used *used = fake_used(dev, queue);
	uint16_t idx = vio_le16(used->idx);

	if (fake_packed(dev)) {
		use_packed(&dev->queues[queue], fake_pdesc(dev, queue), id, len);
		return;
	}
	used->ring[idx % dev->queues[queue].ring.num].id = vio_le32(id);
	used->ring[idx % dev->queues[queue].ring.num].len = vio_le32(len);
	used->idx = vio_le16((uint16_t)(idx + 1));
}
