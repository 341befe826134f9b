/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control queue (virtio 1.4, 5.1.9.5).
 *
 * One command at a time: class and command, data, and behind them one byte for the device's answer,
 * each in a descriptor of its own, because devices of the legacy interface insist on that. The
 * command lies in a page of DMA memory that belongs to the queue, so nothing of the caller is ever
 * in the device's hands.
 *
 * The wait is bounded. A device that does not answer in time may still do so later, into that page:
 * the queue is then dead until the device is reset, and says so at once instead of waiting again.
 *
 * Transports whose other side keeps the control queue to itself (vhost-user) have none here. What
 * the user asked for survives a reset: vio_driver_ctrl_restore() asks again after each start.
 */
#include "driver/driver.h"

#include "base/endian.h"

#define PAGE_SIZE   4096u
#define ACK_OFFSET  (PAGE_SIZE - 64)	       /* alone on its cache line */
#define DATA_MAX    (ACK_OFFSET - DATA_OFFSET) /* bytes of a command's data */
#define DATA_OFFSET 64u
#define ACK_NONE    0xff /* neither OK nor ERR */

/* Command data being put together; what would not fit is not written, and len tells. */
struct data {
	uint8_t *bytes;
	size_t len;
};

static void put(struct data *d, const void *bytes, size_t len)
{
	if (d->len + len <= DATA_MAX)
		memcpy(d->bytes + d->len, bytes, len);
	d->len += len;
}

static void put8(struct data *d, uint8_t v)
{
	put(d, &v, sizeof(v));
}

static void put16(struct data *d, uint16_t v)
{
	v = vio_le16(v);
	put(d, &v, sizeof(v));
}

static void put32(struct data *d, uint32_t v)
{
	v = vio_le32(v);
	put(d, &v, sizeof(v));
}

/* ---- One command ----------------------------------------------------------------------------- */

/* Waits until the device has used the command. */
static int await(struct vio_driver *drv)
{
	const struct vio_host *host = drv->host;
	uint64_t end = host->now_ns(host->ctx) + (uint64_t)drv->timeout_ms * 1000000;
	struct vio_drvq_done done;
	int n;

	while ((n = vio_drvq_reap_burst(drv->ctrl.vq, &done, 1)) == 0) {
		if (host->now_ns(host->ctx) >= end)
			return -ETIMEDOUT;
		host->relax(host->ctx);
	}
	return n < 0 ? n : 0;
}

static void kick(struct vio_driver_ctrl *c)
{
	if (c->notify_data)
		c->notify_data(c->notify_handle, vio_drvq_avail_pos(c->vq));
	else
		c->notify(c->notify_handle);
}

static int run(struct vio_driver *drv, uint8_t class, uint8_t command, size_t len)
{
	struct vio_driver_ctrl *c = &drv->ctrl;
	struct vio_seg segs[3] = { { c->page_dma, sizeof(struct vio_net_ctrl_hdr) },
				   { c->page_dma + DATA_OFFSET, (uint32_t)len },
				   { c->page_dma + ACK_OFFSET, 1 } };
	struct vio_drvq_buf buf = { .segs = segs, .out_num = 2, .in_num = 1, .token = c };
	uint8_t ack;
	int ret;

	c->page[0] = class;
	c->page[1] = command;
	c->page[ACK_OFFSET] = ACK_NONE;
	if (len == 0) {
		segs[1] = segs[2];
		buf.out_num = 1;
	}
	ret = vio_drvq_add_burst(c->vq, &buf, 1);
	if (ret != 1)
		return ret < 0 ? ret : -EIO;
	if (vio_drvq_publish(c->vq))
		kick(c);
	ret = await(drv);
	if (ret < 0)
		return ret;
	ack = vio_load(&c->page[ACK_OFFSET]);
	if (ack == VIO_NET_OK)
		return 0;
	return ack == VIO_NET_ERR ? -EPERM : -EPROTO;
}

/* Whether a command under @feature can be given now. */
static int ready(const struct vio_driver *drv, unsigned feature)
{
	if (!vio_driver_has(drv, VIO_NET_F_CTRL_VQ) || !vio_driver_has(drv, feature))
		return -ENOTSUP;
	if (drv->ctrl.dead)
		return -EIO;
	return drv->ctrl.vq ? 0 : -ESHUTDOWN;
}

static struct data begin(struct vio_driver *drv)
{
	return (struct data){ drv->ctrl.page + DATA_OFFSET, 0 };
}

static int command(struct vio_driver *drv, uint8_t class, uint8_t command, const struct data *d)
{
	int ret;

	if (d->len > DATA_MAX)
		return -ENOBUFS;
	ret = run(drv, class, command, d->len);
	if (ret < 0 && ret != -EPERM)
		drv->ctrl.dead = ret;
	return ret;
}

/* ---- The commands ---------------------------------------------------------------------------- */

static int set_mode(struct vio_driver *drv, uint8_t mode, bool on)
{
	struct data d;
	int ret = ready(drv, VIO_NET_F_CTRL_RX);

	if (ret < 0)
		return ret;
	d = begin(drv);
	put8(&d, on);
	return command(drv, VIO_NET_CTRL_RX, mode, &d);
}

int vio_driver_promiscuous_set(struct vio_driver *drv, bool on)
{
	int ret = set_mode(drv, VIO_NET_CTRL_RX_PROMISC, on);

	if (ret == 0) {
		drv->promiscuous = on;
		drv->promiscuous_set = true;
	}
	return ret;
}

int vio_driver_allmulticast_set(struct vio_driver *drv, bool on)
{
	int ret = set_mode(drv, VIO_NET_CTRL_RX_ALLMULTI, on);

	if (ret == 0) {
		drv->allmulticast = on;
		drv->allmulticast_set = true;
	}
	return ret;
}

int vio_driver_mac_set(struct vio_driver *drv, const uint8_t mac[VIO_ETH_ALEN])
{
	static const uint8_t zero[VIO_ETH_ALEN];
	struct data d;
	int ret;

	if (mac[0] & 1 || memcmp(mac, zero, sizeof(zero)) == 0)
		return -EINVAL;
	ret = ready(drv, VIO_NET_F_CTRL_MAC_ADDR);
	if (ret < 0)
		return ret;
	d = begin(drv);
	put(&d, mac, VIO_ETH_ALEN);
	ret = command(drv, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_ADDR_SET, &d);
	if (ret == 0) {
		memcpy(drv->mac, mac, VIO_ETH_ALEN);
		drv->mac_set = true;
	}
	return ret;
}

/* One of the two lists in a table: those addresses whose group bit is @group. */
static void put_macs(struct data *d, const uint8_t (*macs)[VIO_ETH_ALEN], unsigned n, uint8_t group)
{
	uint32_t count = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		count += (macs[i][0] & 1) == group;
	put32(d, count);
	for (i = 0; i < n; i++)
		if ((macs[i][0] & 1) == group)
			put(d, macs[i], VIO_ETH_ALEN);
}

int vio_driver_mac_table_set(struct vio_driver *drv, const uint8_t (*macs)[VIO_ETH_ALEN],
			     unsigned n)
{
	struct data d;
	int ret;

	if (n > VIO_MAC_TABLE_MAX)
		return -ENOBUFS;
	ret = ready(drv, VIO_NET_F_CTRL_RX);
	if (ret < 0)
		return ret;
	d = begin(drv);
	put_macs(&d, macs, n, 0);
	put_macs(&d, macs, n, 1);
	ret = command(drv, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_TABLE_SET, &d);
	if (ret == 0) {
		memmove(drv->macs, macs, n * sizeof(*macs));
		drv->nb_macs = n;
		drv->macs_set = true;
	}
	return ret;
}

int vio_driver_vlan_filter(struct vio_driver *drv, uint16_t vlan, bool pass)
{
	struct data d;
	int ret;

	if (vlan >= VIO_NET_VLAN_IDS)
		return -EINVAL;
	ret = ready(drv, VIO_NET_F_CTRL_VLAN);
	if (ret < 0)
		return ret;
	d = begin(drv);
	put16(&d, vlan);
	ret = command(drv, VIO_NET_CTRL_VLAN, pass ? VIO_NET_CTRL_VLAN_ADD : VIO_NET_CTRL_VLAN_DEL,
		      &d);
	if (ret < 0)
		return ret;
	drv->vlans_set = true;
	if (pass)
		drv->vlans[vlan / 32] |= 1u << vlan % 32;
	else
		drv->vlans[vlan / 32] &= ~(1u << vlan % 32);
	return 0;
}

/* The transport does what the control queue does elsewhere. */
static int pairs_set_by_transport(struct vio_driver *drv, unsigned pairs)
{
	int ret;

	if (!vio_driver_has(drv, VIO_NET_F_MQ))
		return -ENOTSUP;
	if (drv->state != VIO_DRIVER_STARTED)
		return -ESHUTDOWN;
	ret = drv->ops->pairs_set(drv->transport, pairs);
	if (ret == 0)
		drv->active_pairs = pairs;
	return ret;
}

int vio_driver_pairs_set(struct vio_driver *drv, unsigned pairs)
{
	struct data d;
	int ret;

	if (pairs < 1 || pairs > vio_max(drv->nb_rx, drv->nb_tx))
		return -EINVAL;
	if (drv->ops->pairs_set)
		return pairs_set_by_transport(drv, pairs);
	ret = ready(drv, VIO_NET_F_MQ);
	if (ret < 0)
		return ret;
	d = begin(drv);
	put16(&d, (uint16_t)pairs);
	ret = command(drv, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_VQ_PAIRS_SET, &d);
	if (ret == 0) {
		drv->active_pairs = pairs;
		/* Of the two ways to steer the last command decides (virtio 1.4, 5.1.9.5.5). */
		drv->rss.set = false;
	}
	return ret;
}

int vio_driver_announce_ack(struct vio_driver *drv)
{
	struct data d;
	int ret = ready(drv, VIO_NET_F_GUEST_ANNOUNCE);

	if (ret < 0)
		return ret;
	d = begin(drv);
	return command(drv, VIO_NET_CTRL_ANNOUNCE, VIO_NET_CTRL_ANNOUNCE_ACK, &d);
}

static bool rss_ok(const struct vio_driver *drv, const struct vio_driver_rss *rss)
{
	unsigned i;

	if (!vio_is_pow2(rss->table_len) ||
	    rss->table_len > drv->config.rss_max_indirection_table_length ||
	    rss->key_len > drv->config.rss_max_key_size || rss->unclassified >= drv->nb_rx ||
	    rss->hash_types & ~drv->config.supported_hash_types)
		return false;
	for (i = 0; i < rss->table_len; i++)
		if (rss->table[i] >= drv->nb_rx)
			return false;
	return true;
}

_Static_assert(VIO_RSS_TABLE_MAX * 2 + 11 + UINT8_MAX <= DATA_MAX &&
		       VIO_RSS_TABLE_MAX * 4 + 11 > DATA_MAX,
	       "what a command can hold can be remembered");

static void remember_rss(struct vio_rss_wish *wish, const struct vio_driver_rss *rss)
{
	wish->hash_types = rss->hash_types;
	wish->table_len = rss->table_len;
	wish->unclassified = rss->unclassified;
	wish->key_len = rss->key_len;
	memmove(wish->table, rss->table, rss->table_len * sizeof(*rss->table));
	memmove(wish->key, rss->key, rss->key_len);
	wish->set = true;
}

int vio_driver_rss_set(struct vio_driver *drv, const struct vio_driver_rss *rss)
{
	struct data d;
	unsigned i;
	int ret = ready(drv, VIO_NET_F_RSS);

	if (ret < 0)
		return ret;
	if (!rss_ok(drv, rss))
		return -EINVAL;
	d = begin(drv);
	put32(&d, rss->hash_types);
	put16(&d, (uint16_t)(rss->table_len - 1));
	put16(&d, rss->unclassified);
	for (i = 0; i < rss->table_len; i++)
		put16(&d, rss->table[i]);
	put16(&d, (uint16_t)drv->nb_tx);
	put8(&d, rss->key_len);
	put(&d, rss->key, rss->key_len);
	ret = command(drv, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_RSS_CONFIG, &d);
	if (ret == 0)
		remember_rss(&drv->rss, rss);
	return ret;
}

/* ---- Into and out of the device -------------------------------------------------------------- */

/* virtio 1.4, 5.1.2: behind the queues of all pairs that the device has, configured or not. */
static unsigned ctrl_index(const struct vio_driver *drv)
{
	bool mq = vio_driver_has(drv, VIO_NET_F_MQ) || vio_driver_has(drv, VIO_NET_F_RSS);

	return mq ? 2u * drv->config.max_virtqueue_pairs : 2;
}

static size_t layout(struct vio_vq_sizes s, size_t *driver, size_t *device)
{
	*driver = vio_align_up(s.desc, VIO_CACHE_LINE);
	*device = vio_align_up(*driver + s.driver, VIO_VIRTQ_LEGACY_ALIGN);
	return *device + s.device;
}

static int allocate(struct vio_driver *drv, uint32_t num)
{
	const struct vio_host *host = drv->host;
	struct vio_driver_ctrl *c = &drv->ctrl;
	uint64_t features = drv->accepted.w[0];
	size_t driver, device;

	vio_driver_ctrl_destroy(drv);
	c->num = num;
	c->ring_size = layout(vio_vq_area_sizes(num, features), &driver, &device);
	c->storage_size = vio_drvq_bytes(num, features);
	c->ring = host->dma_alloc(host->ctx, c->ring_size, VIO_VIRTQ_LEGACY_ALIGN, &c->ring_dma);
	c->storage = host->alloc(host->ctx, c->storage_size, VIO_CACHE_LINE);
	c->page = host->dma_alloc(host->ctx, PAGE_SIZE, PAGE_SIZE, &c->page_dma);
	if (c->ring && c->storage && c->page)
		return 0;
	vio_driver_ctrl_destroy(drv);
	return -ENOMEM;
}

int vio_driver_ctrl_prepare(struct vio_driver *drv)
{
	struct vio_driver_ctrl *c = &drv->ctrl;
	struct vio_drvq_setup setup = { .features = drv->accepted.w[0] };
	size_t driver, device;
	int ret;

	if (!vio_driver_has(drv, VIO_NET_F_CTRL_VQ))
		return 0;
	ret = drv->ops->queue_max(drv->transport, ctrl_index(drv));
	if (ret <= 0)
		return ret < 0 ? ret : -EIO;
	setup.num = vio_min((uint32_t)ret, (uint32_t)VIO_CTRL_QUEUE_SIZE);
	while (vio_vq_check_size(setup.num, setup.features) < 0)
		setup.num--;
	ret = allocate(drv, setup.num);
	if (ret < 0)
		return ret;
	layout(vio_vq_area_sizes(setup.num, setup.features), &driver, &device);
	setup.areas.desc = c->ring;
	setup.areas.driver = (char *)c->ring + driver;
	setup.areas.device = (char *)c->ring + device;
	return vio_drvq_init(c->storage, &setup, &c->vq);
}

int vio_driver_ctrl_attach(struct vio_driver *drv)
{
	struct vio_driver_ctrl *c = &drv->ctrl;
	struct vio_driver_ring ring = { .num = c->num, .desc = c->ring_dma };
	unsigned queue = ctrl_index(drv);
	size_t driver, device;
	int ret;

	if (!c->vq)
		return 0;
	layout(vio_vq_area_sizes(c->num, drv->accepted.w[0]), &driver, &device);
	ring.driver = c->ring_dma + driver;
	ring.device = c->ring_dma + device;
	ret = drv->ops->queue_setup(drv->transport, queue, &ring);
	if (ret < 0)
		return ret;
	c->notify = drv->ops->notify;
	c->notify_data = vio_driver_has(drv, VIO_F_NOTIFICATION_DATA) ? drv->ops->notify_data :
									NULL;
	c->notify_handle = drv->ops->notify_handle(drv->transport, queue);
	return drv->ops->queue_enable(drv->transport, queue);
}

/* The device can't touch the queue any more. */
void vio_driver_ctrl_stop(struct vio_driver *drv)
{
	drv->ctrl.vq = NULL;
	drv->ctrl.dead = 0;
}

void vio_driver_ctrl_destroy(struct vio_driver *drv)
{
	const struct vio_host *host = drv->host;
	struct vio_driver_ctrl *c = &drv->ctrl;

	if (c->page)
		host->dma_free(host->ctx, c->page, PAGE_SIZE, c->page_dma);
	if (c->ring)
		host->dma_free(host->ctx, c->ring, c->ring_size, c->ring_dma);
	if (c->storage)
		host->free(host->ctx, c->storage, c->storage_size);
	memset(c, 0, sizeof(*c));
}

/* A filter that the device refuses says nothing of the next one. */
static int restore_vlans(struct vio_driver *drv)
{
	uint16_t vlan;
	int ret = 0;

	for (vlan = 0; drv->vlans_set && vlan < VIO_NET_VLAN_IDS && !drv->ctrl.dead; vlan++)
		if (drv->vlans[vlan / 32] >> vlan % 32 & 1)
			ret = vio_driver_vlan_filter(drv, vlan, true);
	return ret;
}

/* How frames are spread: over so many pairs, and then by the table if there was one. */
static int restore_steering(struct vio_driver *drv)
{
	const struct vio_rss_wish *wish = &drv->rss;
	struct vio_driver_rss rss = { .hash_types = wish->hash_types,
				      .table = wish->table,
				      .table_len = wish->table_len,
				      .unclassified = wish->unclassified,
				      .key = wish->key,
				      .key_len = wish->key_len };
	bool by_table = wish->set;
	int ret = 0;

	/* Where the transport turns pairs off, it was asked already. */
	if (!drv->ops->pairs_set && vio_max(drv->nb_rx, drv->nb_tx) > 1)
		ret = vio_driver_pairs_set(drv, drv->active_pairs);
	if (drv->ctrl.dead || !by_table)
		return ret;
	/* It stays what was asked for, also while a device can't do it. */
	drv->rss.set = true;
	return vio_driver_rss_set(drv, &rss);
}

/*
 * After DRIVER_OK: asks for all that the user has asked for before. A device that has come back
 * without a feature, or refuses, is no reason to stay down; one that does not answer is.
 */
int vio_driver_ctrl_restore(struct vio_driver *drv)
{
	int ret = 0;

	/* Such a transport has just enabled them all. */
	if (drv->ops->pairs_set && drv->active_pairs < vio_max(drv->nb_rx, drv->nb_tx))
		ret = drv->ops->pairs_set(drv->transport, drv->active_pairs);
	if (ret < 0 || !drv->ctrl.vq)
		return ret;
	ret = restore_steering(drv);
	if (!drv->ctrl.dead && drv->mac_set)
		ret = vio_driver_mac_set(drv, drv->mac);
	if (!drv->ctrl.dead && drv->promiscuous_set)
		ret = vio_driver_promiscuous_set(drv, drv->promiscuous);
	if (!drv->ctrl.dead && drv->allmulticast_set)
		ret = vio_driver_allmulticast_set(drv, drv->allmulticast);
	if (!drv->ctrl.dead && drv->macs_set)
		ret = vio_driver_mac_table_set(drv, (const uint8_t(*)[VIO_ETH_ALEN])drv->macs,
					       drv->nb_macs);
	if (!drv->ctrl.dead)
		ret = restore_vlans(drv);
	return drv->ctrl.dead ? ret : 0;
}
