/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device: what it is and what it offers.
 *
 * A device is the meeting point of three parties. The user describes it (struct vio_net_props,
 * checked here, once, with messages a person can act on). The back end says what it can do. The
 * driver, through a transport, picks from what the two together offer.
 *
 * Offering follows one rule: what the guest may send is decided by us alone, because every transmit
 * offload that the back end lacks is done in software (tx.c); what the guest may be sent is decided
 * by the back end, because we never make large frames out of small ones. Both sets are then closed
 * over the feature dependencies, so that taking CSUM away with --features also takes what needs it.
 *
 * Life: the transport writes status and features (this file), starts queues (queue.c), and then the
 * pairs are run (tx.c, rx.c) by whoever owns threads. Control and pairs never meet: a queue is
 * changed only while its pair is not being run, which is the runner's promise, so there is no lock
 * here. The exceptions are the link flag and the counters, which are single words read with relaxed
 * loads.
 */
#include "device/device.h"

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "base/fmt.h"

#define OFFERED_ALWAYS                                                          \
	(vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_F_ANY_LAYOUT) |         \
	 vio_feature(VIO_F_INDIRECT_DESC) | vio_feature(VIO_F_EVENT_IDX) |      \
	 vio_feature(VIO_NET_F_CSUM) | vio_feature(VIO_NET_F_GUEST_CSUM) |      \
	 vio_feature(VIO_NET_F_HOST_TSO4) | vio_feature(VIO_NET_F_HOST_TSO6) |  \
	 vio_feature(VIO_NET_F_HOST_ECN) | vio_feature(VIO_NET_F_HOST_UFO) |    \
	 vio_feature(VIO_NET_F_HOST_USO) | vio_feature(VIO_NET_F_MRG_RXBUF) |   \
	 vio_feature(VIO_NET_F_MAC) | vio_feature(VIO_NET_F_STATUS) |           \
	 vio_feature(VIO_NET_F_GUEST_HDRLEN) | vio_feature(VIO_F_RING_PACKED) | \
	 vio_feature(VIO_F_IN_ORDER))

/* Without any of these the header of a frame to send has nothing to ask for. */
#define TX_ASKS                                                                \
	(vio_feature(VIO_NET_F_CSUM) | vio_feature(VIO_NET_F_GSO) |            \
	 vio_feature(VIO_NET_F_HOST_TSO4) | vio_feature(VIO_NET_F_HOST_TSO6) | \
	 vio_feature(VIO_NET_F_HOST_UFO) | vio_feature(VIO_NET_F_HOST_USO))

/* Which feature lets the guest be handed which offload of the back end. */
static const struct {
	uint32_t offload;
	uint8_t bit;
} guest_offloads[] = {
	{ VIO_OFFLOAD_CSUM, VIO_NET_F_GUEST_CSUM }, { VIO_OFFLOAD_TSO4, VIO_NET_F_GUEST_TSO4 },
	{ VIO_OFFLOAD_TSO6, VIO_NET_F_GUEST_TSO6 }, { VIO_OFFLOAD_ECN, VIO_NET_F_GUEST_ECN },
	{ VIO_OFFLOAD_UFO, VIO_NET_F_GUEST_UFO },   { VIO_OFFLOAD_USO4, VIO_NET_F_GUEST_USO4 },
	{ VIO_OFFLOAD_USO6, VIO_NET_F_GUEST_USO6 },
};

void vio_net_props_init(struct vio_net_props *props)
{
	memset(props, 0, sizeof(*props));
	props->speed = -1;
	props->duplex = VIO_DUPLEX_UNKNOWN;
}

static int check_queue_size(const char *name, uint32_t *size, struct vio_error *err)
{
	if (*size == 0)
		*size = 1024;
	if (*size >= 256 && *size <= 1024 && vio_is_pow2(*size))
		return 0;
	vio_error_set(err, "%s: %u: must be a power of 2 between 256 and 1024", name, *size);
	return -EINVAL;
}

static int check_pairs(struct vio_net_props *p, const struct vio_backend *be, struct vio_error *err)
{
	if (p->queue_pairs == 0)
		p->queue_pairs = 1;
	if (p->queue_pairs > VIO_DEVICE_MAX_PAIRS) {
		vio_error_set(err, "queue-pairs: %u: must be between 1 and %u", p->queue_pairs,
			      VIO_DEVICE_MAX_PAIRS);
		return -EINVAL;
	}
	if (be->caps.max_pairs && p->queue_pairs > be->caps.max_pairs) {
		vio_error_set(err, "queue-pairs: %u: the back end %s has at most %u",
			      p->queue_pairs, be->ops->kind, be->caps.max_pairs);
		return -EINVAL;
	}
	return 0;
}

static int check_numbers(const struct vio_net_props *p, const struct vio_backend *be,
			 struct vio_error *err)
{
	uint32_t max_mtu = be->caps.max_mtu ? be->caps.max_mtu : 65535;

	if (p->mtu && (p->mtu < 68 || p->mtu > max_mtu)) {
		vio_error_set(err, "mtu: %u: must be between 68 and %u", p->mtu, max_mtu);
		return -EINVAL;
	}
	if (p->speed < -1) {
		vio_error_set(err, "speed: %d: must be between 0 and %d Mbit/s, or -1 for unknown",
			      p->speed, INT32_MAX);
		return -EINVAL;
	}
	if (p->duplex > VIO_DUPLEX_FULL && p->duplex != VIO_DUPLEX_UNKNOWN) {
		vio_error_set(err, "duplex: %u: must be half (0) or full (1)", p->duplex);
		return -EINVAL;
	}
	if (p->mac[0] & 1) {
		vio_error_set(err,
			      "mac: %02x:%02x:%02x:%02x:%02x:%02x: must not be a multicast address",
			      p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
		return -EINVAL;
	}
	return 0;
}

/* A locally administered address (IEEE 802, 8.2.2) from the clock and the device's own address. */
static void random_mac(struct vio_device *dev, uint8_t mac[VIO_ETH_ALEN])
{
	uint64_t x = (uint64_t)(uintptr_t)dev;
	unsigned i;

	if (dev->host->now_ns)
		x ^= dev->host->now_ns(dev->host->ctx) * 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	mac[0] = 0x02;
	for (i = 1; i < VIO_ETH_ALEN; i++)
		mac[i] = (uint8_t)(x >> (8 * i));
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void apply_props(struct vio_device *dev)
{
	struct vio_net_props *p = &dev->props;
	static const uint8_t none[VIO_ETH_ALEN];

	dev->tx_mode = VIO_TX_BH;
	if (p->tx && same(p->tx, "timer"))
		dev->tx_mode = VIO_TX_TIMER;
	else if (p->tx && !same(p->tx, "bh"))
		vio_log(dev->host, VIO_LOG_WARN, "tx: %s: must be bh or timer; going on with bh",
			p->tx);
	/* The caller's string need not outlive this call. */
	p->tx = dev->tx_mode == VIO_TX_TIMER ? "timer" : "bh";
	if (memcmp(p->mac, none, sizeof(none)) == 0)
		random_mac(dev, p->mac);
}

static struct vio_features what_we_offer(const struct vio_device *dev)
{
	const struct vio_net_props *p = &dev->props;
	struct vio_features f = vio_features_make(OFFERED_ALWAYS, 0);
	struct vio_features ctrl = vio_features_make(vio_feature(VIO_NET_F_CTRL_VQ), 0);
	unsigned i;

	for (i = 0; i < vio_array_size(guest_offloads); i++)
		if (dev->backend->caps.rx_offloads & guest_offloads[i].offload)
			vio_features_set(&f, guest_offloads[i].bit);
	if (p->mtu)
		vio_features_set(&f, VIO_NET_F_MTU);
	if (p->speed >= 0 || p->duplex != VIO_DUPLEX_UNKNOWN)
		vio_features_set(&f, VIO_NET_F_SPEED_DUPLEX);
	if (p->queue_pairs > 1)
		vio_features_set(&f, VIO_NET_F_MQ);
	f = vio_features_andnot(vio_features_or(f, p->add), p->remove);
	/* There is no transport yet. */
	f = vio_features_andnot(f, vio_features_make(VIO_TRANSPORT_FEATURES, 0));
	/* The control queue belongs to the transport's front end; what needs one is judged as if
	 * it were there. */
	return vio_features_andnot(vio_features_close(vio_features_or(f, ctrl)), ctrl);
}

/* Only what this device can really do may be added by hand. */
static int check_added(const struct vio_device *dev, struct vio_error *err)
{
	struct vio_features can = vio_features_make(
		OFFERED_ALWAYS | vio_feature(VIO_NET_F_MQ) | vio_feature(VIO_NET_F_MTU) |
			vio_feature(VIO_NET_F_SPEED_DUPLEX) | VIO_TRANSPORT_FEATURES,
		0);
	struct vio_features bad;
	unsigned i;

	for (i = 0; i < vio_array_size(guest_offloads); i++)
		vio_features_set(&can, guest_offloads[i].bit);
	bad = vio_features_andnot(dev->props.add, can);
	for (i = 0; i < VIO_FEATURE_BITS; i++) {
		if (!vio_features_test(bad, i))
			continue;
		vio_error_set(err, "features: +%s: this device does not have it",
			      vio_feature_short_name(i) ? vio_feature_short_name(i) : "unassigned");
		return -EINVAL;
	}
	if (vio_features_test(dev->props.add, VIO_NET_F_MTU) && dev->props.mtu == 0) {
		vio_error_set(err, "features: +mtu: set mtu to a number between 68 and 65535");
		return -EINVAL;
	}
	return 0;
}

static void fill_config(struct vio_device *dev)
{
	const struct vio_net_props *p = &dev->props;
	struct vio_net_config *c = &dev->config;

	memcpy(c->mac, p->mac, sizeof(c->mac));
	c->status = vio_le16(VIO_NET_S_LINK_UP);
	c->max_virtqueue_pairs = vio_le16(p->queue_pairs);
	c->mtu = vio_le16(p->mtu);
	c->speed = vio_le32(p->speed >= 0 ? (uint32_t)p->speed : VIO_NET_SPEED_UNKNOWN);
	c->duplex = p->duplex;
}

/* Everything the data path derives from what was negotiated. */
static void derive(struct vio_device *dev)
{
	uint32_t have = dev->backend->caps.tx_offloads;
	uint32_t all = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 | VIO_OFFLOAD_ECN |
		       VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6;

	dev->features = dev->accepted.w[0];
	dev->hdr_size = (uint32_t)vio_net_hdr_size(dev->accepted);
	dev->mergeable = vio_features_test(dev->accepted, VIO_NET_F_MRG_RXBUF);
	dev->tx_asks = (dev->features & TX_ASKS) != 0;
	dev->soft = all & ~have;
}

int vio_device_create(const struct vio_host *host, const struct vio_net_props *props,
		      struct vio_backend *backend, struct vio_device **out, struct vio_error *err)
{
	struct vio_device *dev;
	unsigned i;
	int ret;

	dev = host->alloc(host->ctx, sizeof(*dev), VIO_CACHE_LINE);
	if (!dev) {
		vio_error_set(err, "device: out of memory");
		return -ENOMEM;
	}
	dev->host = host;
	dev->backend = backend;
	dev->props = *props;
	dev->link = true;

	ret = check_pairs(&dev->props, backend, err);
	if (!ret)
		ret = check_queue_size("rx-queue-size", &dev->props.rx_queue_size, err);
	if (!ret)
		ret = check_queue_size("tx-queue-size", &dev->props.tx_queue_size, err);
	if (!ret)
		ret = check_numbers(&dev->props, backend, err);
	if (!ret)
		ret = check_added(dev, err);
	if (ret)
		goto free_dev;

	dev->pairs = host->alloc(host->ctx, sizeof(*dev->pairs) * dev->props.queue_pairs,
				 VIO_CACHE_LINE);
	if (!dev->pairs) {
		vio_error_set(err, "device: out of memory");
		ret = -ENOMEM;
		goto free_dev;
	}
	for (i = 0; i < dev->props.queue_pairs; i++) {
		dev->pairs[i].dev = dev;
		dev->pairs[i].index = (uint16_t)i;
		dev->pairs[i].sink.ops = &vio_device_sink_ops;
	}
	apply_props(dev);
	dev->offered = what_we_offer(dev);
	fill_config(dev);
	derive(dev);
	*out = dev;
	return 0;

free_dev:
	host->free(host->ctx, dev, sizeof(*dev));
	return ret;
}

void vio_device_destroy(struct vio_device *dev)
{
	unsigned i;

	if (!dev)
		return;
	for (i = 0; i < vio_device_num_queues(dev); i++)
		vio_device_queue_stop(dev, i, NULL);
	dev->host->free(dev->host->ctx, dev->pairs, sizeof(*dev->pairs) * dev->props.queue_pairs);
	dev->host->free(dev->host->ctx, dev, sizeof(*dev));
}

void vio_device_set_transport(struct vio_device *dev, const struct vio_device_transport_ops *ops,
			      void *ctx)
{
	uint64_t theirs = 0;

	if (ops)
		theirs = (ops->carries | (ops->on_request & dev->props.add.w[0])) &
			 ~dev->props.remove.w[0];
	dev->offered.w[0] &= ~VIO_TRANSPORT_FEATURES;
	dev->offered.w[0] |= theirs & VIO_TRANSPORT_FEATURES;
	dev->transport = ops;
	dev->transport_ctx = ctx;
}

const struct vio_net_props *vio_device_props(const struct vio_device *dev)
{
	return &dev->props;
}

enum vio_tx_mode vio_device_tx_mode(const struct vio_device *dev)
{
	return dev->tx_mode;
}

struct vio_backend *vio_device_backend(const struct vio_device *dev)
{
	return dev->backend;
}

unsigned vio_device_num_queues(const struct vio_device *dev)
{
	return dev->props.queue_pairs * 2;
}

unsigned vio_device_num_pairs(const struct vio_device *dev)
{
	return dev->props.queue_pairs;
}

uint32_t vio_device_queue_max(const struct vio_device *dev, unsigned queue)
{
	if (!vio_device_queue(dev, queue))
		return 0;
	return queue & 1 ? dev->props.tx_queue_size : dev->props.rx_queue_size;
}

struct vio_features vio_device_features(const struct vio_device *dev)
{
	return dev->offered;
}

void vio_device_mask_features(struct vio_device *dev, struct vio_features keep)
{
	struct vio_features ctrl = vio_features_make(vio_feature(VIO_NET_F_CTRL_VQ), 0);
	struct vio_features left = vio_features_or(vio_features_and(dev->offered, keep), ctrl);

	dev->offered = vio_features_andnot(vio_features_close(left), ctrl);
}

static bool any_running(const struct vio_device *dev)
{
	unsigned i;

	for (i = 0; i < vio_device_num_queues(dev); i++)
		if (vio_device_queue_running(dev, i))
			return true;
	return false;
}

static void tell_backend(struct vio_device *dev)
{
	struct vio_backend *be = dev->backend;
	uint32_t offloads = 0;
	unsigned i;

	if (!be->ops->set_rx_offloads)
		return;
	for (i = 0; i < vio_array_size(guest_offloads); i++)
		if (vio_features_test(dev->accepted, guest_offloads[i].bit))
			offloads |= guest_offloads[i].offload;
	offloads &= be->caps.rx_offloads;
	/* virtio 1.4, 5.1.9.4.1: without GUEST_CSUM nothing may be left to the driver. */
	if (!(offloads & VIO_OFFLOAD_CSUM))
		offloads = 0;
	be->ops->set_rx_offloads(be, offloads);
}

/* Whether a driver may accept @set (virtio 1.4, 2.2.2). */
static bool acceptable(const struct vio_device *dev, struct vio_features set)
{
	if (!vio_features_is_subset(set, dev->offered))
		return false;
	if (dev->transport && dev->transport->ctrl_elsewhere)
		vio_features_set(&set, VIO_NET_F_CTRL_VQ);
	return vio_features_missing(set, NULL, 0) == 0;
}

int vio_device_set_driver_features(struct vio_device *dev, struct vio_features accepted)
{
	dev->refused = !acceptable(dev, accepted);
	if (dev->refused)
		return -EINVAL;
	if (vio_features_equal(accepted, dev->accepted))
		return 0;
	if (any_running(dev))
		return -EBUSY;
	dev->accepted = accepted;
	derive(dev);
	tell_backend(dev);
	return 0;
}

struct vio_features vio_device_driver_features(const struct vio_device *dev)
{
	return dev->accepted;
}

static void reset(struct vio_device *dev)
{
	unsigned i;

	for (i = 0; i < vio_device_num_queues(dev); i++)
		vio_device_queue_stop(dev, i, NULL);
	dev->status = 0;
	dev->accepted = vio_features_make(0, 0);
	dev->refused = false;
	dev->big_endian = false;
	memcpy(dev->config.mac, dev->props.mac, sizeof(dev->config.mac));
	derive(dev);
	tell_backend(dev);
}

/* virtio 1.4, 2.2.2: the device takes FEATURES_OK only for a set it can work with, and for the one
 * that the driver wrote last: not for an older one that was kept when that was refused. */
static bool features_ok(const struct vio_device *dev)
{
	return !dev->refused && acceptable(dev, dev->accepted);
}

uint8_t vio_device_set_status(struct vio_device *dev, uint8_t status)
{
	uint8_t kept = dev->status;

	if (status == 0) {
		reset(dev);
		return 0;
	}
	/* virtio 1.4, 2.1.1: the driver clears no bit but by reset; NEEDS_RESET is ours. */
	status = (uint8_t)(kept | (status & ~VIO_STATUS_NEEDS_RESET));
	if ((status & VIO_STATUS_FEATURES_OK) && !(kept & VIO_STATUS_FEATURES_OK) &&
	    !features_ok(dev))
		status = (uint8_t)(status & ~VIO_STATUS_FEATURES_OK);
	dev->status = status;
	return status;
}

uint8_t vio_device_status(const struct vio_device *dev)
{
	return dev->status;
}

uint32_t vio_device_config_size(const struct vio_device *dev)
{
	return (uint32_t)vio_net_config_size(dev->offered);
}

void vio_device_config_read(const struct vio_device *dev, uint32_t offset, void *buf, uint32_t len)
{
	uint32_t size = vio_device_config_size(dev);
	uint32_t n = 0;

	if (offset < size) {
		n = vio_min(len, size - offset);
		memcpy(buf, (const uint8_t *)&dev->config + offset, n);
	}
	memset((uint8_t *)buf + n, 0, len - n);
}

int vio_device_config_write(struct vio_device *dev, uint32_t offset, const void *buf, uint32_t len)
{
	bool legacy = !vio_features_test(dev->accepted, VIO_F_VERSION_1);

	/* virtio 1.4, 5.1.4.3: before CTRL_MAC_ADDR a legacy driver wrote the MAC here. */
	if (!legacy || len == 0 || len > VIO_ETH_ALEN || offset > VIO_ETH_ALEN - len)
		return -EPERM;
	memcpy(dev->config.mac + offset, buf, len);
	return 0;
}

uint8_t vio_device_config_generation(struct vio_device *dev)
{
	dev->generation_read = true;
	return dev->generation;
}

static void config_changed(struct vio_device *dev)
{
	/* It has 8 bits, and a driver may sleep while any number of changes happen: it moves by one
	 * for all that happen between two looks at it (virtio 1.4, 2.5.2; assertion 11). */
	if (dev->generation_read)
		dev->generation++;
	dev->generation_read = false;
	if (dev->transport && dev->transport->config_changed)
		dev->transport->config_changed(dev->transport_ctx);
}

void vio_device_set_link(struct vio_device *dev, bool up)
{
	if (dev->link == up)
		return;
	vio_store(&dev->link, up);
	dev->config.status = vio_le16(up ? VIO_NET_S_LINK_UP : 0);
	config_changed(dev);
}

bool vio_device_link(const struct vio_device *dev)
{
	return vio_load(&dev->link);
}

int vio_device_set_mtu(struct vio_device *dev, uint32_t mtu)
{
	if (mtu < 68 || mtu > 65535 || !vio_features_test(dev->offered, VIO_NET_F_MTU))
		return -EINVAL;
	if (dev->config.mtu == vio_le16(mtu))
		return 0;
	dev->config.mtu = vio_le16(mtu);
	config_changed(dev);
	return 0;
}
