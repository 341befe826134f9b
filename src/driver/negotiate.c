/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing a device up to FEATURES_OK (virtio 1.4, 3.1.1).
 *
 * The order is the specification's: reset and wait until it is done, ACKNOWLEDGE, DRIVER, read what
 * is offered and the configuration that comes with it, accept, FEATURES_OK, read back whether the
 * device agrees. Everything read here comes from a device that may be broken or hostile: a wait ends
 * by its limit, a configuration that changes for ever under the read is an error, a value that no
 * correct device gives costs the feature that brought it.
 *
 * It is run by probe, and again by start when the device was reset in between, so that a device
 * that has come back as a different one is noticed there.
 */
#include "driver/driver.h"

#include "base/endian.h"
#include "base/fmt.h"

#define CONFIG_TRIES 256

static const uint8_t known[] = {
	VIO_NET_F_CSUM,
	VIO_NET_F_GUEST_CSUM,
	VIO_NET_F_CTRL_GUEST_OFFLOADS,
	VIO_NET_F_MTU,
	VIO_NET_F_MAC,
	VIO_NET_F_GUEST_TSO4,
	VIO_NET_F_GUEST_TSO6,
	VIO_NET_F_GUEST_ECN,
	VIO_NET_F_GUEST_UFO,
	VIO_NET_F_HOST_TSO4,
	VIO_NET_F_HOST_TSO6,
	VIO_NET_F_HOST_ECN,
	VIO_NET_F_HOST_UFO,
	VIO_NET_F_MRG_RXBUF,
	VIO_NET_F_STATUS,
	VIO_NET_F_CTRL_VQ,
	VIO_NET_F_CTRL_RX,
	VIO_NET_F_CTRL_VLAN,
	VIO_NET_F_CTRL_RX_EXTRA,
	VIO_NET_F_GUEST_ANNOUNCE,
	VIO_NET_F_MQ,
	VIO_NET_F_CTRL_MAC_ADDR,
	VIO_NET_F_GUEST_USO4,
	VIO_NET_F_GUEST_USO6,
	VIO_NET_F_HOST_USO,
	VIO_NET_F_HASH_REPORT,
	VIO_NET_F_GUEST_HDRLEN,
	VIO_NET_F_RSS,
	VIO_NET_F_SPEED_DUPLEX,
	VIO_F_INDIRECT_DESC,
	VIO_F_EVENT_IDX,
	VIO_F_RING_PACKED,
	VIO_F_IN_ORDER,
	VIO_F_ORDER_PLATFORM,
	VIO_F_VERSION_1,
	VIO_F_NOTIFICATION_DATA,
	VIO_F_RING_RESET,
};

/* Wanted only when asked for: they change what the receiver of frames has to know. */
static const uint8_t on_request[] = {
	VIO_NET_F_GUEST_CSUM,	       VIO_NET_F_GUEST_TSO4,  VIO_NET_F_GUEST_TSO6,
	VIO_NET_F_GUEST_ECN,	       VIO_NET_F_GUEST_UFO,   VIO_NET_F_GUEST_USO4,
	VIO_NET_F_GUEST_USO6,	       VIO_NET_F_HASH_REPORT, VIO_NET_F_RSS,
	VIO_NET_F_CTRL_GUEST_OFFLOADS,
};

static struct vio_features set_of(const uint8_t *bits, size_t n)
{
	struct vio_features set = { { 0, 0 } };
	size_t i;

	for (i = 0; i < n; i++)
		vio_features_set(&set, bits[i]);
	return set;
}

struct vio_features vio_driver_known_features(void)
{
	return set_of(known, vio_array_size(known));
}

struct vio_features vio_driver_default_features(void)
{
	return vio_features_andnot(vio_driver_known_features(),
				   set_of(on_request, vio_array_size(on_request)));
}

/* ---- Status ---------------------------------------------------------------------------------- */

static uint64_t deadline(const struct vio_driver *drv)
{
	return drv->host->now_ns(drv->host->ctx) + (uint64_t)drv->timeout_ms * 1000000;
}

/* All ones is what a device that was pulled out reads as. */
static int read_status(struct vio_driver *drv)
{
	int status = drv->ops->get_status(drv->transport);

	return status == 0xff ? -ENODEV : status;
}

int vio_driver_device_reset(struct vio_driver *drv)
{
	uint64_t end = deadline(drv);
	int status;

	drv->negotiated = false;
	status = drv->ops->set_status(drv->transport, VIO_STATUS_RESET);
	if (status < 0)
		return status;
	/* virtio 1.4, 4.1.4.3.2 and 4.2.2.2: only a status of 0 says that it is done. */
	while ((status = read_status(drv)) > 0) {
		if (drv->host->now_ns(drv->host->ctx) >= end)
			return -ETIMEDOUT;
		drv->host->relax(drv->host->ctx);
	}
	return status;
}

int vio_driver_add_status(struct vio_driver *drv, uint8_t bits)
{
	int status = read_status(drv);

	if (status < 0)
		return status;
	return drv->ops->set_status(drv->transport, (uint8_t)(status | bits));
}

/* ---- Configuration space --------------------------------------------------------------------- */

/* One consistent reading of @len bytes at @offset (virtio 1.4, 2.5.1). */
static int read_config(struct vio_driver *drv, uint32_t offset, void *buf, uint32_t len)
{
	uint64_t end = deadline(drv);
	int before, after, ret;
	unsigned i;

	before = drv->ops->config_generation(drv->transport);
	for (i = 0; i < CONFIG_TRIES; i++) {
		if (before < 0)
			return before;
		ret = drv->ops->config_read(drv->transport, offset, buf, len);
		if (ret < 0)
			return ret;
		after = drv->ops->config_generation(drv->transport);
		if (after == before)
			return 0;
		before = after;
		if (drv->host->now_ns(drv->host->ctx) >= end)
			break;
		drv->host->relax(drv->host->ctx);
	}
	return -EIO;
}

static void config_to_host(struct vio_net_config *c)
{
	c->status = vio_le16(c->status);
	c->max_virtqueue_pairs = vio_le16(c->max_virtqueue_pairs);
	c->mtu = vio_le16(c->mtu);
	c->speed = vio_le32(c->speed);
	c->rss_max_indirection_table_length = vio_le16(c->rss_max_indirection_table_length);
	c->supported_hash_types = vio_le32(c->supported_hash_types);
	c->supported_tunnel_types = vio_le32(c->supported_tunnel_types);
}

/* The whole of it; fields that were not offered are 0. */
static int read_whole_config(struct vio_driver *drv)
{
	struct vio_net_config c = { .mac = { 0 } };
	int ret;

	ret = read_config(drv, 0, &c, (uint32_t)vio_net_config_size(drv->offered));
	if (ret < 0)
		return ret;
	config_to_host(&c);
	drv->config = c;
	return 0;
}

int vio_driver_read_status(struct vio_driver *drv, uint16_t *status)
{
	uint16_t raw = 0;
	int ret;

	*status = VIO_NET_S_LINK_UP;
	if (!vio_driver_has(drv, VIO_NET_F_STATUS))
		return 0;
	ret = read_config(drv, offsetof(struct vio_net_config, status), &raw, sizeof(raw));
	if (ret == 0)
		*status = vio_le16(raw);
	return ret;
}

static bool mac_usable(const uint8_t *mac)
{
	static const uint8_t zero[VIO_ETH_ALEN];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

/* A local address; two devices get different ones because they live at different addresses and were
 * made at different times. Nothing hangs on it being hard to guess. */
static void random_mac(const struct vio_driver *drv, uint8_t *mac)
{
	uint64_t x = drv->host->now_ns(drv->host->ctx) ^ (uintptr_t)drv << 20;
	unsigned i;

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	for (i = 0; i < VIO_ETH_ALEN; i++)
		mac[i] = (uint8_t)(x >> 8 * i);
	mac[0] = (uint8_t)((mac[0] & 0xfe) | 2);
}

/* Takes from @set what the configuration makes impossible (virtio 1.4, 5.1.4.2). */
static void mend_config(struct vio_driver *drv, struct vio_features *set)
{
	struct vio_net_config *c = &drv->config;

	if (vio_features_test(*set, VIO_NET_F_MTU) && c->mtu < VIO_NET_MTU_MIN) {
		vio_log(drv->host, VIO_LOG_WARN, "%s: device gives an MTU of %u, ignored",
			drv->name, c->mtu);
		vio_features_clear(set, VIO_NET_F_MTU);
	}
	if ((vio_features_test(*set, VIO_NET_F_MQ) || vio_features_test(*set, VIO_NET_F_RSS)) &&
	    (c->max_virtqueue_pairs < VIO_NET_PAIRS_MIN ||
	     c->max_virtqueue_pairs > VIO_NET_PAIRS_MAX)) {
		vio_log(drv->host, VIO_LOG_WARN, "%s: device gives %u queue pairs, one is used",
			drv->name, c->max_virtqueue_pairs);
		vio_features_clear(set, VIO_NET_F_MQ);
		vio_features_clear(set, VIO_NET_F_RSS);
	}
	if (vio_features_test(*set, VIO_NET_F_MAC) && !mac_usable(c->mac)) {
		vio_log(drv->host, VIO_LOG_WARN, "%s: device gives no usable MAC, ignored",
			drv->name);
		vio_features_clear(set, VIO_NET_F_MAC);
	}
}

/* ---- Negotiation ----------------------------------------------------------------------------- */

static struct vio_features choose(struct vio_driver *drv)
{
	struct vio_features set = vio_features_and(drv->offered, vio_driver_known_features());
	struct vio_features want = drv->want;
	bool lend = drv->ops->ctrl_elsewhere && !vio_features_test(set, VIO_NET_F_CTRL_VQ);

	vio_features_set(&want, VIO_F_VERSION_1);
	/* How a device sees memory is nothing that one may do without (virtio 1.4, 6.1). */
	vio_features_set(&want, VIO_F_ORDER_PLATFORM);
	set = vio_features_and(set, want);
	/* What is the transport's to do, whatever the device offers. */
	if (!drv->ops->notify_data)
		vio_features_clear(&set, VIO_F_NOTIFICATION_DATA);
	if (!drv->ops->queue_reset)
		vio_features_clear(&set, VIO_F_RING_RESET);
	mend_config(drv, &set);
	/* Legacy devices are served without what came later. */
	if (lend)
		vio_features_set(&set, VIO_NET_F_CTRL_VQ);
	set = vio_features_close(set);
	if (lend)
		vio_features_clear(&set, VIO_NET_F_CTRL_VQ);
	return set;
}

/* What follows from the accepted set and the configuration. */
static void derive(struct vio_driver *drv)
{
	bool mq = vio_driver_has(drv, VIO_NET_F_MQ) || vio_driver_has(drv, VIO_NET_F_RSS);

	drv->hdr_size = (uint32_t)vio_net_hdr_size(drv->accepted);
	drv->max_pairs =
		mq ? vio_min((unsigned)drv->config.max_virtqueue_pairs, VIO_DRIVER_MAX_PAIRS) : 1;
	drv->max_mtu = vio_driver_has(drv, VIO_NET_F_MTU) ? drv->config.mtu : VIO_NET_MTU_MAX;
	if (drv->mtu == 0)
		drv->mtu = vio_driver_has(drv, VIO_NET_F_MTU) ? drv->config.mtu : 1500;
	drv->mtu = vio_min(drv->mtu, drv->max_mtu);
	if (vio_driver_has(drv, VIO_NET_F_MAC)) {
		if (!drv->mac_set)
			memcpy(drv->mac, drv->config.mac, VIO_ETH_ALEN);
		drv->own_mac = false;
	} else if (!drv->own_mac && !drv->mac_set) {
		random_mac(drv, drv->mac);
		drv->own_mac = true;
	}
	drv->link = !vio_driver_has(drv, VIO_NET_F_STATUS) ||
		    drv->config.status & VIO_NET_S_LINK_UP;
	if (!vio_features_test(drv->offered, VIO_NET_F_SPEED_DUPLEX)) {
		drv->config.speed = VIO_NET_SPEED_UNKNOWN;
		drv->config.duplex = VIO_NET_DUPLEX_UNKNOWN;
	}
}

static int agree(struct vio_driver *drv, struct vio_error *err)
{
	int status, ret;

	ret = drv->ops->set_features(drv->transport, drv->accepted);
	if (ret < 0)
		return ret;
	if (!vio_driver_has(drv, VIO_F_VERSION_1)) {
		/* The legacy interface has the guest's byte order, which our rings are only here. */
		if (VIO_LITTLE_ENDIAN)
			return 0;
		vio_error_set(err, "%s: legacy device, expected one that offers VERSION_1",
			      drv->name);
		return -ENOTSUP;
	}
	ret = vio_driver_add_status(drv, VIO_STATUS_FEATURES_OK);
	if (ret < 0)
		return ret;
	status = read_status(drv);
	if (status < 0)
		return status;
	if (status & VIO_STATUS_FEATURES_OK)
		return 0;
	vio_error_set(err, "%s: device refuses features 0x%llx of 0x%llx offered", drv->name,
		      (unsigned long long)drv->accepted.w[0],
		      (unsigned long long)drv->offered.w[0]);
	return -ENOTSUP;
}

/* Everything from a device that was reset to FEATURES_OK. */
static int bring_up(struct vio_driver *drv, struct vio_error *err)
{
	int ret;

	ret = vio_driver_add_status(drv, VIO_STATUS_ACKNOWLEDGE);
	if (ret == 0)
		ret = vio_driver_add_status(drv, VIO_STATUS_DRIVER);
	if (ret == 0)
		ret = drv->ops->get_features(drv->transport, &drv->offered);
	if (ret < 0)
		return ret;
	ret = read_whole_config(drv);
	if (ret < 0) {
		vio_error_set(err, "%s: configuration space can't be read%s", drv->name,
			      ret == -EIO ? ": it changes all the time" : "");
		return ret;
	}
	drv->accepted = choose(drv);
	derive(drv);
	return agree(drv, err);
}

int vio_driver_negotiate(struct vio_driver *drv, struct vio_error *err)
{
	int ret = 0;

	if (err)
		err->msg[0] = '\0';
	if (drv->ops->reconnect)
		ret = drv->ops->reconnect(drv->transport, 0, err);
	if (ret < 0)
		return ret;
	ret = vio_driver_device_reset(drv);
	if (ret < 0) {
		vio_error_set(err, "%s: device does not reset: %s", drv->name,
			      ret == -ETIMEDOUT ? "its status never became 0" :
			      ret == -ENODEV	? "it is gone" :
						  "transport error");
		return ret;
	}
	ret = bring_up(drv, err);
	if (ret < 0) {
		if (err && !err->msg[0])
			vio_error_set(err, "%s: negotiation failed with error %d", drv->name, -ret);
		vio_driver_add_status(drv, VIO_STATUS_FAILED);
		return ret;
	}
	drv->negotiated = true;
	return 0;
}
