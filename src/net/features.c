/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The feature table.
 *
 * Everything that depends on which features exist, what they are called and what they lean on is
 * read from the one table below: names for people, the check behind FEATURES_OK, the set a driver
 * may accept. A new feature is one row here and one line in virtio.h.
 *
 * A row's requirements are groups that must all be met; a group is met by either of its two bits
 * (GUEST_ECN: one group, TSO4 or TSO6; HASH_TUNNEL: CTRL_VQ, and RSS or HASH_REPORT). Requirements
 * are monotone: adding bits to a set never makes a requirement unmet. Hence every set has one
 * greatest closed subset, and dropping unmet features until none is left arrives at it in whatever
 * order it happens. Chains are short (tunnel checksum, tunnel, TSO4, GUEST_CSUM), and the loop ends
 * because each round but the last takes a bit away.
 *
 * Three strengths of requirement are told apart, because the two sides treat them differently: the
 * specification's own, ones that are missing from its list but follow from it, and its advice. See
 * enum vio_need. Left out is that a device with IPSEC should offer OUT_NET_HEADER: it binds what a
 * device offers, and a driver loses nothing by taking IPSEC alone.
 *
 * Called by both halves while they negotiate and by the tool; never on a data path. Freestanding,
 * without state.
 */
#include <errno.h>

#include <vioduct/features.h>

/* clang-format off */

/* A row is written NET or ANY, version, then MUST, USE or SHOULD with the number of groups. */
#define NET(sym, brief) .name = "VIRTIO_NET_F_" #sym, .short_name = brief, .bit = VIO_NET_F_##sym
#define ANY(sym, brief) .name = "VIRTIO_F_" #sym, .short_name = brief, .bit = VIO_F_##sym

#define ONE(a) { { VIO_NET_F_##a, VIO_NET_F_##a } }
#define EITHER(a, b) { { VIO_NET_F_##a, VIO_NET_F_##b } }

#define MUST(n)	  .strength = VIO_NEED_MUST, .num_needs = n, .needs
#define USE(n)	  .strength = VIO_NEED_USE, .num_needs = n, .needs
#define SHOULD(n) .strength = VIO_NEED_SHOULD, .num_needs = n, .needs

#define V1_0 .since = VIO_SPEC_1_0
#define V1_1 .since = VIO_SPEC_1_1
#define V1_2 .since = VIO_SPEC_1_2
#define V1_3 .since = VIO_SPEC_1_3
#define V1_4 .since = VIO_SPEC_1_4

/* virtio 1.4, 5.1.3, 5.1.3.1, 5.1.3.2, 6 and 6.3. By ascending bit; of a shared bit, legacy last. */
static const struct vio_feature_info table[] = {
	{ NET(CSUM, "csum"), V1_0 },
	{ NET(GUEST_CSUM, "guest_csum"), V1_0 },
	{ NET(CTRL_GUEST_OFFLOADS, "ctrl_guest_offloads"), V1_0, USE(1) = { ONE(CTRL_VQ) } },
	{ NET(MTU, "mtu"), V1_1 },
	{ NET(MAC, "mac"), V1_0 },
	{ NET(GSO, "gso"), V1_0, .legacy = true },
	{ NET(GUEST_TSO4, "guest_tso4"), V1_0, MUST(1) = { ONE(GUEST_CSUM) } },
	{ NET(GUEST_TSO6, "guest_tso6"), V1_0, MUST(1) = { ONE(GUEST_CSUM) } },
	{ NET(GUEST_ECN, "guest_ecn"), V1_0, MUST(1) = { EITHER(GUEST_TSO4, GUEST_TSO6) } },
	{ NET(GUEST_UFO, "guest_ufo"), V1_0, MUST(1) = { ONE(GUEST_CSUM) } },
	{ NET(HOST_TSO4, "host_tso4"), V1_0, MUST(1) = { ONE(CSUM) } },
	{ NET(HOST_TSO6, "host_tso6"), V1_0, MUST(1) = { ONE(CSUM) } },
	{ NET(HOST_ECN, "host_ecn"), V1_0, MUST(1) = { EITHER(HOST_TSO4, HOST_TSO6) } },
	{ NET(HOST_UFO, "host_ufo"), V1_0, MUST(1) = { ONE(CSUM) } },
	{ NET(MRG_RXBUF, "mrg_rxbuf"), V1_0 },
	{ NET(STATUS, "status"), V1_0 },
	{ NET(CTRL_VQ, "ctrl_vq"), V1_0 },
	{ NET(CTRL_RX, "ctrl_rx"), V1_0, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(CTRL_VLAN, "ctrl_vlan"), V1_0, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(CTRL_RX_EXTRA, "ctrl_rx_extra"), V1_3, SHOULD(1) = { ONE(CTRL_VQ) } },
	{ NET(GUEST_ANNOUNCE, "guest_announce"), V1_0, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(MQ, "mq"), V1_0, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(CTRL_MAC_ADDR, "ctrl_mac_addr"), V1_0, MUST(1) = { ONE(CTRL_VQ) } },
	{ ANY(NOTIFY_ON_EMPTY, "notify_on_empty"), V1_0, .legacy = true },
	{ ANY(ANY_LAYOUT, "any_layout"), V1_0, .legacy = true },
	{ ANY(INDIRECT_DESC, "indirect_desc"), V1_0 },
	{ ANY(EVENT_IDX, "event_idx"), V1_0 },
	{ ANY(UNUSED, "unused"), V1_0, .legacy = true },
	{ ANY(VERSION_1, "version_1"), V1_0 },
	{ ANY(ACCESS_PLATFORM, "access_platform"), V1_1 },
	{ ANY(RING_PACKED, "ring_packed"), V1_1 },
	{ ANY(IN_ORDER, "in_order"), V1_1 },
	{ ANY(ORDER_PLATFORM, "order_platform"), V1_1 },
	{ ANY(SR_IOV, "sr_iov"), V1_1 },
	{ ANY(NOTIFICATION_DATA, "notification_data"), V1_1 },
	{ ANY(NOTIF_CONFIG_DATA, "notif_config_data"), V1_2 },
	{ ANY(RING_RESET, "ring_reset"), V1_2 },
	{ ANY(ADMIN_VQ, "admin_vq"), V1_3 },
	{ NET(GUEST_RSC4, "guest_rsc4"), V1_1, .legacy = true },
	{ NET(GUEST_RSC6, "guest_rsc6"), V1_1, .legacy = true },
	{ ANY(SUSPEND, "suspend"), V1_4 },
	{ NET(DEVICE_STATS, "device_stats"), V1_4, USE(1) = { ONE(CTRL_VQ) } },
	{ NET(HASH_TUNNEL, "hash_tunnel"), V1_3,
	  MUST(2) = { ONE(CTRL_VQ), EITHER(RSS, HASH_REPORT) } },
	{ NET(VQ_NOTF_COAL, "vq_notf_coal"), V1_3, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(NOTF_COAL, "notf_coal"), V1_3, MUST(1) = { ONE(CTRL_VQ) } },
	{ NET(GUEST_USO4, "guest_uso4"), V1_3, MUST(1) = { ONE(GUEST_CSUM) } },
	{ NET(GUEST_USO6, "guest_uso6"), V1_3, MUST(1) = { ONE(GUEST_CSUM) } },
	{ NET(HOST_USO, "host_uso"), V1_2, MUST(1) = { ONE(CSUM) } },
	{ NET(HASH_REPORT, "hash_report"), V1_2, SHOULD(1) = { ONE(CTRL_VQ) } },
	{ NET(GUEST_HDRLEN, "guest_hdrlen"), V1_2 },
	{ NET(RSS, "rss"), V1_2, MUST(1) = { ONE(CTRL_VQ) } },
	/* The list has HOST_TSO, though the receive text describes it by what the driver takes. */
	{ NET(RSC_EXT, "rsc_ext"), V1_1, MUST(1) = { EITHER(HOST_TSO4, HOST_TSO6) } },
	{ NET(STANDBY, "standby"), V1_1 },
	{ NET(SPEED_DUPLEX, "speed_duplex"), V1_2 },
	{ NET(RSS_CONTEXT, "rss_context"), V1_4, MUST(2) = { ONE(CTRL_VQ), ONE(RSS) } },
	{ NET(GUEST_UDP_TUNNEL_GSO, "guest_udp_tunnel_gso"), V1_4,
	  MUST(4) = { ONE(GUEST_TSO4), ONE(GUEST_TSO6), ONE(GUEST_USO4), ONE(GUEST_USO6) } },
	{ NET(GUEST_UDP_TUNNEL_GSO_CSUM, "guest_udp_tunnel_gso_csum"), V1_4,
	  MUST(1) = { ONE(GUEST_UDP_TUNNEL_GSO) } },
	{ NET(HOST_UDP_TUNNEL_GSO, "host_udp_tunnel_gso"), V1_4,
	  MUST(3) = { ONE(HOST_TSO4), ONE(HOST_TSO6), ONE(HOST_USO) } },
	{ NET(HOST_UDP_TUNNEL_GSO_CSUM, "host_udp_tunnel_gso_csum"), V1_4,
	  MUST(1) = { ONE(HOST_UDP_TUNNEL_GSO) } },
	{ NET(OUT_NET_HEADER, "out_net_header"), V1_4 },
	{ NET(IPSEC, "ipsec"), V1_4 },
};
/* clang-format on */

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

const struct vio_feature_info *vio_feature_at(size_t index)
{
	return index < TABLE_SIZE ? &table[index] : NULL;
}

const struct vio_feature_info *vio_feature_find(unsigned bit)
{
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		if (table[i].bit == bit)
			return &table[i];
	}
	return NULL;
}

const char *vio_feature_name(unsigned bit)
{
	const struct vio_feature_info *f = vio_feature_find(bit);

	return f != NULL ? f->name : NULL;
}

const char *vio_feature_short_name(unsigned bit)
{
	const struct vio_feature_info *f = vio_feature_find(bit);

	return f != NULL ? f->short_name : NULL;
}

/* Lower case ASCII, '-' as '_'; no locale has a say in it. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' ? '_' : c;
}

static bool same_name(const char *a, const char *b)
{
	while (*a != '\0' && fold(*a) == fold(*b)) {
		a++;
		b++;
	}
	return fold(*a) == fold(*b);
}

int vio_feature_bit(const char *name)
{
	if (name == NULL)
		return -ENOENT;
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		if (same_name(name, table[i].name) || same_name(name, table[i].short_name))
			return table[i].bit;
	}
	return -ENOENT;
}

static bool group_met(struct vio_features set, const struct vio_feature_group *group)
{
	return vio_features_test(set, group->any[0]) || vio_features_test(set, group->any[1]);
}

size_t vio_features_missing(struct vio_features set, struct vio_feature_unmet *out, size_t max)
{
	size_t found = 0;

	for (const struct vio_feature_info *f = table; f < table + TABLE_SIZE; f++) {
		if (!vio_features_test(set, f->bit) || f->strength == VIO_NEED_SHOULD)
			continue;
		for (size_t i = 0; i < f->num_needs; i++) {
			if (group_met(set, &f->needs[i]))
				continue;
			if (found < max)
				out[found] = (struct vio_feature_unmet){ f->bit, f->needs[i] };
			found++;
		}
	}
	return found;
}

static bool needs_met(struct vio_features set, const struct vio_feature_info *f)
{
	for (size_t i = 0; i < f->num_needs; i++) {
		if (!group_met(set, &f->needs[i]))
			return false;
	}
	return true;
}

struct vio_features vio_features_close(struct vio_features set)
{
	struct vio_features before;

	do {
		before = set;
		for (size_t i = 0; i < TABLE_SIZE; i++) {
			if (!needs_met(set, &table[i]))
				vio_features_clear(&set, table[i].bit);
		}
	} while (!vio_features_equal(set, before));
	return set;
}

size_t vio_net_hdr_size(struct vio_features features)
{
	if (vio_features_test(features, VIO_NET_F_OUT_NET_HEADER) ||
	    vio_features_test(features, VIO_NET_F_IPSEC))
		return VIO_NET_HDR_SIZE_MAX;
	if (vio_features_test(features, VIO_NET_F_HOST_UDP_TUNNEL_GSO) ||
	    vio_features_test(features, VIO_NET_F_GUEST_UDP_TUNNEL_GSO))
		return VIO_NET_HDR_SIZE_TUNNEL;
	if (vio_features_test(features, VIO_NET_F_HASH_REPORT))
		return VIO_NET_HDR_SIZE_HASH;
	if (vio_features_test(features, VIO_NET_F_MRG_RXBUF) ||
	    vio_features_test(features, VIO_F_VERSION_1))
		return VIO_NET_HDR_SIZE;
	return VIO_NET_HDR_SIZE_LEGACY;
}

/* Whether the driver takes frames larger than the MTU. */
static bool takes_large_frames(struct vio_features features)
{
	return vio_features_test(features, VIO_NET_F_GUEST_TSO4) ||
	       vio_features_test(features, VIO_NET_F_GUEST_TSO6) ||
	       vio_features_test(features, VIO_NET_F_GUEST_UFO) ||
	       vio_features_test(features, VIO_NET_F_GUEST_USO4) ||
	       vio_features_test(features, VIO_NET_F_GUEST_USO6);
}

size_t vio_net_rx_buf_size(struct vio_features features, uint32_t mtu)
{
	size_t frame = VIO_NET_FRAME_MAX;

	if (mtu > VIO_NET_MTU_MAX)
		mtu = VIO_NET_MTU_MAX;
	if (takes_large_frames(features))
		frame = VIO_NET_FRAME_GSO_MAX;
	else if (mtu + VIO_NET_ETH_HLEN > frame)
		frame = mtu + VIO_NET_ETH_HLEN;
	return vio_net_hdr_size(features) + frame;
}

size_t vio_net_config_size(struct vio_features offered)
{
	/* Layout order, so the last field that is there wins. RSS brings the pairs too. */
	static const struct {
		uint8_t bit;
		uint8_t end;
	} fields[] = {
		{ VIO_NET_F_STATUS, offsetof(struct vio_net_config, max_virtqueue_pairs) },
		{ VIO_NET_F_MQ, offsetof(struct vio_net_config, mtu) },
		{ VIO_NET_F_MTU, offsetof(struct vio_net_config, speed) },
		{ VIO_NET_F_SPEED_DUPLEX, offsetof(struct vio_net_config, rss_max_key_size) },
		{ VIO_NET_F_RSS, offsetof(struct vio_net_config, supported_tunnel_types) },
		{ VIO_NET_F_HASH_REPORT, offsetof(struct vio_net_config, supported_tunnel_types) },
		{ VIO_NET_F_HASH_TUNNEL, sizeof(struct vio_net_config) },
	};
	size_t size = offsetof(struct vio_net_config, status);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (vio_features_test(offered, fields[i].bit))
			size = fields[i].end;
	}
	return size;
}
