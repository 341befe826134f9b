/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire header against two witnesses: the bytes that the specification draws (U2, S1, S3), and
 * the header files of Linux where they have the same thing. Sizes and offsets are also asserted in
 * the header itself, so this file is about meaning: the right field, the right number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <vioduct/virtio.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A row for same_numbers(). */
#define PAIR(ours, theirs)                                  \
	{                                                   \
#ours, (uint64_t)(ours), (uint64_t)(theirs) \
	}

/* The same field, at the same place and of the same width. */
#define assert_same_field(our, field, their, other)                                           \
	do {                                                                                  \
		assert_int_equal(offsetof(struct our, field), offsetof(struct their, other)); \
		assert_int_equal(sizeof(((struct our *)0)->field),                            \
				 sizeof(((struct their *)0)->other));                         \
	} while (0)

struct number {
	const char *name;
	uint64_t ours;
	uint64_t theirs;
};

static void same_numbers(const struct number *n, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (n[i].ours != n[i].theirs)
			fail_msg("%s is %#llx, Linux has %#llx", n[i].name,
				 (unsigned long long)n[i].ours, (unsigned long long)n[i].theirs);
	}
}

static uint64_t little(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	while (len-- > 0)
		v = v << 8 | p[len];
	return v;
}

/* U2: a configuration space as bytes on the wire; each field is found where it is. */
static void test_u2_config_fields(void **state)
{
	static const uint8_t wire[28] = {
		0x02, 0x11, 0x22, 0x33, 0x44, 0x55, /* mac */
		0x01, 0x00,			    /* link up */
		0x00, 0x80,			    /* 0x8000 pairs */
		0x28, 0x23,			    /* mtu 9000 */
		0xa0, 0x86, 0x01, 0x00,		    /* 100000 Mbit/s */
		0x01,				    /* full duplex */
		0x34,				    /* 52 bytes of key */
		0x00, 0x02,			    /* 512 entries */
		0xff, 0x01, 0x00, 0x00,		    /* hash types */
		0x10, 0x00, 0x00, 0x80,		    /* tunnel types */
	};
	struct vio_net_config c;

	(void)state;
	assert_int_equal(sizeof(c), sizeof(wire));
	memcpy(&c, wire, sizeof(c));
	assert_memory_equal(c.mac, "\x02\x11\x22\x33\x44\x55", 6);
	assert_int_equal(little((void *)&c.status, sizeof(c.status)), VIO_NET_S_LINK_UP);
	assert_int_equal(little((void *)&c.max_virtqueue_pairs, sizeof(c.max_virtqueue_pairs)),
			 VIO_NET_PAIRS_MAX);
	assert_int_equal(little((void *)&c.mtu, sizeof(c.mtu)), 9000);
	assert_int_equal(little((void *)&c.speed, sizeof(c.speed)), 100000);
	assert_int_equal(c.duplex, VIO_NET_DUPLEX_FULL);
	assert_int_equal(c.rss_max_key_size, 52);
	assert_int_equal(little((void *)&c.rss_max_indirection_table_length,
				sizeof(c.rss_max_indirection_table_length)),
			 512);
	assert_int_equal(little((void *)&c.supported_hash_types, sizeof(c.supported_hash_types)),
			 VIO_NET_HASH_TYPE_ALL);
	assert_int_equal(little((void *)&c.supported_tunnel_types,
				sizeof(c.supported_tunnel_types)),
			 0x80000010);
}

/* S1, S3: the header as 32 numbered bytes. */
static void test_s1_s3_header_fields(void **state)
{
	uint8_t wire[VIO_NET_HDR_SIZE_MAX];
	struct vio_net_hdr h;

	(void)state;
	for (size_t i = 0; i < sizeof(wire); i++)
		wire[i] = (uint8_t)i;
	memcpy(&h, wire, sizeof(h));
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.gso_type, 1);
	assert_int_equal(little((void *)&h.hdr_len, 2), 0x0302);
	assert_int_equal(little((void *)&h.gso_size, 2), 0x0504);
	assert_int_equal(little((void *)&h.csum_start, 2), 0x0706);
	assert_int_equal(little((void *)&h.csum_offset, 2), 0x0908);
	assert_int_equal(little((void *)&h.num_buffers, 2), 0x0b0a);
	assert_int_equal(little((void *)&h.hash_value, 4), 0x0f0e0d0c);
	assert_int_equal(little((void *)&h.hash_report, 2), 0x1110);
	assert_int_equal(little((void *)&h.outer_th_offset, 2), 0x1514);
	assert_int_equal(little((void *)&h.inner_nh_offset, 2), 0x1716);
	assert_int_equal(little((void *)&h.outer_nh_offset, 2), 0x1918);
	assert_int_equal(little(h.ipsec_resource_id, 4), 0x1d1c1b1a);
	assert_int_equal(little((void *)&h.ipsec_resource_type, 2), 0x1f1e);
	/* Each length ends where a field ends. */
	assert_int_equal(VIO_NET_HDR_SIZE_LEGACY, offsetof(struct vio_net_hdr, num_buffers));
	assert_int_equal(VIO_NET_HDR_SIZE, offsetof(struct vio_net_hdr, hash_value));
	assert_int_equal(VIO_NET_HDR_SIZE_HASH, offsetof(struct vio_net_hdr, outer_th_offset));
	assert_int_equal(VIO_NET_HDR_SIZE_TUNNEL, offsetof(struct vio_net_hdr, outer_nh_offset));
	assert_int_equal(VIO_NET_HDR_SIZE_MAX, sizeof(struct vio_net_hdr));
}

/* U1: feature numbers against Linux. */
static void test_u1_feature_numbers(void **state)
{
	static const struct number n[] = {
		PAIR(VIO_NET_F_CSUM, VIRTIO_NET_F_CSUM),
		PAIR(VIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM),
		PAIR(VIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS),
		PAIR(VIO_NET_F_MTU, VIRTIO_NET_F_MTU),
		PAIR(VIO_NET_F_MAC, VIRTIO_NET_F_MAC),
		PAIR(VIO_NET_F_GSO, VIRTIO_NET_F_GSO),
		PAIR(VIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO4),
		PAIR(VIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_TSO6),
		PAIR(VIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_ECN),
		PAIR(VIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_UFO),
		PAIR(VIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO4),
		PAIR(VIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_TSO6),
		PAIR(VIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_ECN),
		PAIR(VIO_NET_F_HOST_UFO, VIRTIO_NET_F_HOST_UFO),
		PAIR(VIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MRG_RXBUF),
		PAIR(VIO_NET_F_STATUS, VIRTIO_NET_F_STATUS),
		PAIR(VIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ),
		PAIR(VIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_RX),
		PAIR(VIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VLAN),
		PAIR(VIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_CTRL_RX_EXTRA),
		PAIR(VIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_GUEST_ANNOUNCE),
		PAIR(VIO_NET_F_MQ, VIRTIO_NET_F_MQ),
		PAIR(VIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_MAC_ADDR),
		PAIR(VIO_NET_F_NOTF_COAL, VIRTIO_NET_F_NOTF_COAL),
		PAIR(VIO_NET_F_HASH_REPORT, VIRTIO_NET_F_HASH_REPORT),
		PAIR(VIO_NET_F_RSS, VIRTIO_NET_F_RSS),
		PAIR(VIO_NET_F_RSC_EXT, VIRTIO_NET_F_RSC_EXT),
		PAIR(VIO_NET_F_STANDBY, VIRTIO_NET_F_STANDBY),
		PAIR(VIO_NET_F_SPEED_DUPLEX, VIRTIO_NET_F_SPEED_DUPLEX),
		PAIR(VIO_F_NOTIFY_ON_EMPTY, VIRTIO_F_NOTIFY_ON_EMPTY),
		PAIR(VIO_F_ANY_LAYOUT, VIRTIO_F_ANY_LAYOUT),
		PAIR(VIO_F_INDIRECT_DESC, VIRTIO_RING_F_INDIRECT_DESC),
		PAIR(VIO_F_EVENT_IDX, VIRTIO_RING_F_EVENT_IDX),
		PAIR(VIO_F_VERSION_1, VIRTIO_F_VERSION_1),
		PAIR(VIO_F_ACCESS_PLATFORM, VIRTIO_F_ACCESS_PLATFORM),
		PAIR(VIO_F_RING_PACKED, VIRTIO_F_RING_PACKED),
		PAIR(VIO_F_IN_ORDER, VIRTIO_F_IN_ORDER),
		PAIR(VIO_F_ORDER_PLATFORM, VIRTIO_F_ORDER_PLATFORM),
		PAIR(VIO_F_SR_IOV, VIRTIO_F_SR_IOV),
		PAIR(VIO_F_RING_RESET, VIRTIO_F_RING_RESET),
	};

	(void)state;
	same_numbers(n, COUNT(n));
}

static void test_net_numbers(void **state)
{
	static const struct number n[] = {
		PAIR(VIO_ID_NET, VIRTIO_ID_NET),
		PAIR(VIO_STATUS_ACKNOWLEDGE, VIRTIO_CONFIG_S_ACKNOWLEDGE),
		PAIR(VIO_STATUS_DRIVER, VIRTIO_CONFIG_S_DRIVER),
		PAIR(VIO_STATUS_DRIVER_OK, VIRTIO_CONFIG_S_DRIVER_OK),
		PAIR(VIO_STATUS_FEATURES_OK, VIRTIO_CONFIG_S_FEATURES_OK),
		PAIR(VIO_STATUS_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET),
		PAIR(VIO_STATUS_FAILED, VIRTIO_CONFIG_S_FAILED),
		PAIR(VIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
		PAIR(VIO_NET_S_ANNOUNCE, VIRTIO_NET_S_ANNOUNCE),
		PAIR(VIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM),
		PAIR(VIO_NET_HDR_F_DATA_VALID, VIRTIO_NET_HDR_F_DATA_VALID),
		PAIR(VIO_NET_HDR_F_RSC_INFO, VIRTIO_NET_HDR_F_RSC_INFO),
		PAIR(VIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_NONE),
		PAIR(VIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV4),
		PAIR(VIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP),
		PAIR(VIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_TCPV6),
		PAIR(VIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_ECN),
		PAIR(VIO_NET_HASH_TYPE_IPV4, VIRTIO_NET_RSS_HASH_TYPE_IPv4),
		PAIR(VIO_NET_HASH_TYPE_TCPV4, VIRTIO_NET_RSS_HASH_TYPE_TCPv4),
		PAIR(VIO_NET_HASH_TYPE_UDPV4, VIRTIO_NET_RSS_HASH_TYPE_UDPv4),
		PAIR(VIO_NET_HASH_TYPE_IPV6, VIRTIO_NET_RSS_HASH_TYPE_IPv6),
		PAIR(VIO_NET_HASH_TYPE_TCPV6, VIRTIO_NET_RSS_HASH_TYPE_TCPv6),
		PAIR(VIO_NET_HASH_TYPE_UDPV6, VIRTIO_NET_RSS_HASH_TYPE_UDPv6),
		PAIR(VIO_NET_HASH_TYPE_IP_EX, VIRTIO_NET_RSS_HASH_TYPE_IP_EX),
		PAIR(VIO_NET_HASH_TYPE_TCP_EX, VIRTIO_NET_RSS_HASH_TYPE_TCP_EX),
		PAIR(VIO_NET_HASH_TYPE_UDP_EX, VIRTIO_NET_RSS_HASH_TYPE_UDP_EX),
		PAIR(VIO_NET_HASH_REPORT_IPV4, VIRTIO_NET_HASH_REPORT_IPv4),
		PAIR(VIO_NET_HASH_REPORT_UDPV6_EX, VIRTIO_NET_HASH_REPORT_UDPv6_EX),
		PAIR(VIO_NET_OK, VIRTIO_NET_OK),
		PAIR(VIO_NET_ERR, VIRTIO_NET_ERR),
		PAIR(VIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX),
		PAIR(VIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_CTRL_RX_PROMISC),
		PAIR(VIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_CTRL_RX_ALLMULTI),
		PAIR(VIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_CTRL_RX_ALLUNI),
		PAIR(VIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_CTRL_RX_NOMULTI),
		PAIR(VIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_CTRL_RX_NOUNI),
		PAIR(VIO_NET_CTRL_RX_NOBCAST, VIRTIO_NET_CTRL_RX_NOBCAST),
		PAIR(VIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC),
		PAIR(VIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_CTRL_MAC_TABLE_SET),
		PAIR(VIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_CTRL_MAC_ADDR_SET),
		PAIR(VIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN),
		PAIR(VIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_CTRL_VLAN_ADD),
		PAIR(VIO_NET_CTRL_VLAN_DEL, VIRTIO_NET_CTRL_VLAN_DEL),
		PAIR(VIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE),
		PAIR(VIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_CTRL_ANNOUNCE_ACK),
		PAIR(VIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ),
		PAIR(VIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET),
		PAIR(VIO_NET_CTRL_MQ_RSS_CONFIG, VIRTIO_NET_CTRL_MQ_RSS_CONFIG),
		PAIR(VIO_NET_CTRL_MQ_HASH_CONFIG, VIRTIO_NET_CTRL_MQ_HASH_CONFIG),
		PAIR(VIO_NET_PAIRS_MIN, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN),
		PAIR(VIO_NET_PAIRS_MAX, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX),
		PAIR(VIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS),
		PAIR(VIO_NET_CTRL_GUEST_OFFLOADS_SET, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET),
		PAIR(VIO_NET_CTRL_NOTF_COAL, VIRTIO_NET_CTRL_NOTF_COAL),
		PAIR(VIO_NET_CTRL_NOTF_COAL_TX_SET, VIRTIO_NET_CTRL_NOTF_COAL_TX_SET),
		PAIR(VIO_NET_CTRL_NOTF_COAL_RX_SET, VIRTIO_NET_CTRL_NOTF_COAL_RX_SET),
	};

	(void)state;
	same_numbers(n, COUNT(n));
}

/* The rule that ties report numbers to type bits, and the two offloads that leave it. */
static void test_derived_numbers(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 9; bit++)
		assert_true(VIO_NET_HASH_TYPE_ALL >> bit & 1);
	assert_int_equal(1 << (VIO_NET_HASH_REPORT_IPV4 - 1), VIO_NET_HASH_TYPE_IPV4);
	assert_int_equal(1 << (VIO_NET_HASH_REPORT_UDPV6 - 1), VIO_NET_HASH_TYPE_UDPV6);
	assert_int_equal(1 << (VIO_NET_HASH_REPORT_IPV6_EX - 1), VIO_NET_HASH_TYPE_IP_EX);
	assert_int_equal(1 << (VIO_NET_HASH_REPORT_UDPV6_EX - 1), VIO_NET_HASH_TYPE_UDP_EX);
	assert_int_equal(VIO_NET_OFFLOAD_GUEST_UDP_TUNNEL_GSO, 46);
	assert_int_equal(VIO_NET_OFFLOAD_GUEST_UDP_TUNNEL_GSO_CSUM, 47);
	assert_int_equal(VIO_NET_OFFLOAD_GUEST_USO6, 55);
	assert_int_equal(VIO_PCI_DEVICE_NET, 0x1040 + VIO_ID_NET);
	/* 14 Ethernet, 40 IPv6, 65535 payload. */
	assert_int_equal(VIO_NET_FRAME_GSO_MAX, VIO_NET_ETH_HLEN + 40 + 65535);
}

static void test_net_structures(void **state)
{
	(void)state;
	assert_same_field(vio_net_config, mac, virtio_net_config, mac);
	assert_same_field(vio_net_config, status, virtio_net_config, status);
	assert_same_field(vio_net_config, max_virtqueue_pairs, virtio_net_config,
			  max_virtqueue_pairs);
	assert_same_field(vio_net_config, mtu, virtio_net_config, mtu);
	assert_same_field(vio_net_config, speed, virtio_net_config, speed);
	assert_same_field(vio_net_config, duplex, virtio_net_config, duplex);
	assert_same_field(vio_net_config, rss_max_key_size, virtio_net_config, rss_max_key_size);
	assert_same_field(vio_net_config, rss_max_indirection_table_length, virtio_net_config,
			  rss_max_indirection_table_length);
	assert_same_field(vio_net_config, supported_hash_types, virtio_net_config,
			  supported_hash_types);

	assert_int_equal(VIO_NET_HDR_SIZE_LEGACY, sizeof(struct virtio_net_hdr));
	assert_int_equal(VIO_NET_HDR_SIZE, sizeof(struct virtio_net_hdr_v1));
	assert_int_equal(VIO_NET_HDR_SIZE_HASH, sizeof(struct virtio_net_hdr_v1_hash));
	assert_same_field(vio_net_hdr, gso_size, virtio_net_hdr_v1, gso_size);
	assert_same_field(vio_net_hdr, csum_start, virtio_net_hdr_v1, csum_start);
	assert_same_field(vio_net_hdr, csum_offset, virtio_net_hdr_v1, csum_offset);
	assert_same_field(vio_net_hdr, num_buffers, virtio_net_hdr_v1, num_buffers);
	assert_same_field(vio_net_hdr, hash_value, virtio_net_hdr_v1_hash, hash_value);
	assert_same_field(vio_net_hdr, hash_report, virtio_net_hdr_v1_hash, hash_report);

	assert_same_field(vio_net_ctrl_hdr, class_id, virtio_net_ctrl_hdr, class);
	assert_same_field(vio_net_ctrl_hdr, command, virtio_net_ctrl_hdr, cmd);
	assert_same_field(vio_net_ctrl_mac, entries, virtio_net_ctrl_mac, entries);
	assert_same_field(vio_net_ctrl_mq, virtqueue_pairs, virtio_net_ctrl_mq, virtqueue_pairs);
	assert_same_field(vio_net_rss_config, unclassified_queue, virtio_net_rss_config,
			  unclassified_queue);
	assert_int_equal(sizeof(struct vio_net_rss_config),
			 offsetof(struct virtio_net_rss_config, indirection_table));
	assert_int_equal(sizeof(struct vio_net_rss_tail),
			 offsetof(struct virtio_net_rss_config, hash_key_data) -
				 offsetof(struct virtio_net_rss_config, max_tx_vq));
	assert_int_equal(sizeof(struct vio_net_hash_config),
			 offsetof(struct virtio_net_hash_config, hash_key_length));
}

static void test_ring_structures(void **state)
{
	static const struct number n[] = {
		PAIR(VIO_DESC_F_NEXT, VRING_DESC_F_NEXT),
		PAIR(VIO_DESC_F_WRITE, VRING_DESC_F_WRITE),
		PAIR(VIO_DESC_F_INDIRECT, VRING_DESC_F_INDIRECT),
		PAIR(VIO_DESC_F_AVAIL, 1 << VRING_PACKED_DESC_F_AVAIL),
		PAIR(VIO_DESC_F_USED, 1 << VRING_PACKED_DESC_F_USED),
		PAIR(VIO_VIRTQ_AVAIL_F_NO_INTERRUPT, VRING_AVAIL_F_NO_INTERRUPT),
		PAIR(VIO_VIRTQ_USED_F_NO_NOTIFY, VRING_USED_F_NO_NOTIFY),
		PAIR(VIO_RING_EVENT_ENABLE, VRING_PACKED_EVENT_FLAG_ENABLE),
		PAIR(VIO_RING_EVENT_DISABLE, VRING_PACKED_EVENT_FLAG_DISABLE),
		PAIR(VIO_RING_EVENT_DESC, VRING_PACKED_EVENT_FLAG_DESC),
		PAIR(VIO_RING_EVENT_WRAP, 1 << VRING_PACKED_EVENT_F_WRAP_CTR),
		PAIR(VIO_VIRTQ_DESC_ALIGN, VRING_DESC_ALIGN_SIZE),
		PAIR(VIO_VIRTQ_AVAIL_ALIGN, VRING_AVAIL_ALIGN_SIZE),
		PAIR(VIO_VIRTQ_USED_ALIGN, VRING_USED_ALIGN_SIZE),
		PAIR(VIO_VIRTQ_LEGACY_ALIGN, VIRTIO_PCI_VRING_ALIGN),
	};

	(void)state;
	same_numbers(n, COUNT(n));
	assert_same_field(vio_virtq_desc, addr, vring_desc, addr);
	assert_same_field(vio_virtq_desc, len, vring_desc, len);
	assert_same_field(vio_virtq_desc, flags, vring_desc, flags);
	assert_same_field(vio_virtq_desc, next, vring_desc, next);
	assert_same_field(vio_virtq_used_elem, id, vring_used_elem, id);
	assert_same_field(vio_virtq_used_elem, len, vring_used_elem, len);
	assert_same_field(vio_virtq_avail, idx, vring_avail, idx);
	assert_same_field(vio_virtq_used, idx, vring_used, idx);
	assert_same_field(vio_pvirtq_desc, id, vring_packed_desc, id);
	assert_same_field(vio_pvirtq_desc, flags, vring_packed_desc, flags);
	assert_same_field(vio_pvirtq_event, desc, vring_packed_desc_event, off_wrap);
	assert_same_field(vio_pvirtq_event, flags, vring_packed_desc_event, flags);
}

/* Sizes of the parts, and the event fields as the last word of each, for every split queue size. */
static void test_ring_sizes(void **state)
{
	/* Only addresses are taken; enough for the largest queue and its alignment. */
	static char base[VIO_QUEUE_SIZE_MAX * 26 + 2 * VIO_VIRTQ_LEGACY_ALIGN];

	(void)state;
	for (unsigned num = 1; num <= VIO_QUEUE_SIZE_MAX; num *= 2) {
		struct vring vr;

		vring_init(&vr, num, base, VIO_VIRTQ_LEGACY_ALIGN);
		assert_int_equal(VIO_VIRTQ_DESC_SIZE(num), (char *)vr.avail - base);
		assert_int_equal(VIO_VIRTQ_USED_EVENT(num),
				 (char *)&vring_used_event(&vr) - (char *)vr.avail);
		assert_int_equal(VIO_VIRTQ_AVAIL_EVENT(num),
				 (char *)&vring_avail_event(&vr) - (char *)vr.used);
		assert_int_equal(VIO_VIRTQ_AVAIL_SIZE(num), VIO_VIRTQ_USED_EVENT(num) + 2);
		assert_int_equal(VIO_VIRTQ_USED_SIZE(num), VIO_VIRTQ_AVAIL_EVENT(num) + 2);
		assert_int_equal(VIO_PVIRTQ_DESC_SIZE(num), num * sizeof(struct vring_packed_desc));
	}
}

static void test_pci(void **state)
{
	static const struct number n[] = {
		PAIR(VIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_COMMON_CFG),
		PAIR(VIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG),
		PAIR(VIO_PCI_CAP_ISR_CFG, VIRTIO_PCI_CAP_ISR_CFG),
		PAIR(VIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_CAP_DEVICE_CFG),
		PAIR(VIO_PCI_CAP_PCI_CFG, VIRTIO_PCI_CAP_PCI_CFG),
		PAIR(VIO_PCI_CAP_SHARED_MEMORY_CFG, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG),
		PAIR(VIO_MSIX_NO_VECTOR, VIRTIO_MSI_NO_VECTOR),
		PAIR(VIO_ISR_CONFIG, VIRTIO_PCI_ISR_CONFIG),
		PAIR(VIO_PCI_LEGACY_DEVICE_FEATURES, VIRTIO_PCI_HOST_FEATURES),
		PAIR(VIO_PCI_LEGACY_DRIVER_FEATURES, VIRTIO_PCI_GUEST_FEATURES),
		PAIR(VIO_PCI_LEGACY_QUEUE_PFN, VIRTIO_PCI_QUEUE_PFN),
		PAIR(VIO_PCI_LEGACY_QUEUE_SIZE, VIRTIO_PCI_QUEUE_NUM),
		PAIR(VIO_PCI_LEGACY_QUEUE_SELECT, VIRTIO_PCI_QUEUE_SEL),
		PAIR(VIO_PCI_LEGACY_QUEUE_NOTIFY, VIRTIO_PCI_QUEUE_NOTIFY),
		PAIR(VIO_PCI_LEGACY_STATUS, VIRTIO_PCI_STATUS),
		PAIR(VIO_PCI_LEGACY_ISR, VIRTIO_PCI_ISR),
		PAIR(VIO_PCI_LEGACY_CONFIG_VECTOR, VIRTIO_MSI_CONFIG_VECTOR),
		PAIR(VIO_PCI_LEGACY_QUEUE_VECTOR, VIRTIO_MSI_QUEUE_VECTOR),
		PAIR(VIO_PCI_LEGACY_CONFIG, VIRTIO_PCI_CONFIG_OFF(0)),
		PAIR(VIO_PCI_LEGACY_CONFIG_MSIX, VIRTIO_PCI_CONFIG_OFF(1)),
		PAIR(offsetof(struct vio_pci_common_cfg, device_feature_select),
		     VIRTIO_PCI_COMMON_DFSELECT),
		PAIR(offsetof(struct vio_pci_common_cfg, device_feature), VIRTIO_PCI_COMMON_DF),
		PAIR(offsetof(struct vio_pci_common_cfg, driver_feature_select),
		     VIRTIO_PCI_COMMON_GFSELECT),
		PAIR(offsetof(struct vio_pci_common_cfg, driver_feature), VIRTIO_PCI_COMMON_GF),
		PAIR(offsetof(struct vio_pci_common_cfg, config_msix_vector),
		     VIRTIO_PCI_COMMON_MSIX),
		PAIR(offsetof(struct vio_pci_common_cfg, num_queues), VIRTIO_PCI_COMMON_NUMQ),
		PAIR(offsetof(struct vio_pci_common_cfg, device_status), VIRTIO_PCI_COMMON_STATUS),
		PAIR(offsetof(struct vio_pci_common_cfg, config_generation),
		     VIRTIO_PCI_COMMON_CFGGENERATION),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_select), VIRTIO_PCI_COMMON_Q_SELECT),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_size), VIRTIO_PCI_COMMON_Q_SIZE),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_msix_vector),
		     VIRTIO_PCI_COMMON_Q_MSIX),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_enable), VIRTIO_PCI_COMMON_Q_ENABLE),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_notify_off),
		     VIRTIO_PCI_COMMON_Q_NOFF),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_desc), VIRTIO_PCI_COMMON_Q_DESCLO),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_driver),
		     VIRTIO_PCI_COMMON_Q_AVAILLO),
		PAIR(offsetof(struct vio_pci_common_cfg, queue_device), VIRTIO_PCI_COMMON_Q_USEDLO),
	};

	(void)state;
	same_numbers(n, COUNT(n));
	assert_same_field(vio_pci_cap, cfg_type, virtio_pci_cap, cfg_type);
	assert_same_field(vio_pci_cap, bar, virtio_pci_cap, bar);
	assert_same_field(vio_pci_cap, id, virtio_pci_cap, id);
	assert_same_field(vio_pci_cap, offset, virtio_pci_cap, offset);
	assert_same_field(vio_pci_cap, length, virtio_pci_cap, length);
	assert_same_field(vio_pci_notify_cap, notify_off_multiplier, virtio_pci_notify_cap,
			  notify_off_multiplier);
	assert_same_field(vio_pci_cap64, offset_hi, virtio_pci_cap64, offset_hi);
	assert_same_field(vio_pci_cap64, length_hi, virtio_pci_cap64, length_hi);
	assert_same_field(vio_pci_cfg_cap, pci_cfg_data, virtio_pci_cfg_cap, pci_cfg_data);
}

/* MMIO registers; Linux calls the driver and device areas avail and used. */
static void test_mmio(void **state)
{
	static const struct number n[] = {
		PAIR(VIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_MAGIC_VALUE),
		PAIR(VIO_MMIO_VERSION, VIRTIO_MMIO_VERSION),
		PAIR(VIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DEVICE_ID),
		PAIR(VIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VENDOR_ID),
		PAIR(VIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_DEVICE_FEATURES),
		PAIR(VIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DEVICE_FEATURES_SEL),
		PAIR(VIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES),
		PAIR(VIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_DRIVER_FEATURES_SEL),
		PAIR(VIO_MMIO_GUEST_PAGE_SIZE, VIRTIO_MMIO_GUEST_PAGE_SIZE),
		PAIR(VIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_SEL),
		PAIR(VIO_MMIO_QUEUE_SIZE_MAX, VIRTIO_MMIO_QUEUE_NUM_MAX),
		PAIR(VIO_MMIO_QUEUE_SIZE, VIRTIO_MMIO_QUEUE_NUM),
		PAIR(VIO_MMIO_QUEUE_ALIGN, VIRTIO_MMIO_QUEUE_ALIGN),
		PAIR(VIO_MMIO_QUEUE_PFN, VIRTIO_MMIO_QUEUE_PFN),
		PAIR(VIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_READY),
		PAIR(VIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NOTIFY),
		PAIR(VIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INTERRUPT_STATUS),
		PAIR(VIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_ACK),
		PAIR(VIO_MMIO_STATUS, VIRTIO_MMIO_STATUS),
		PAIR(VIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_LOW),
		PAIR(VIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_HIGH),
		PAIR(VIO_MMIO_QUEUE_DRIVER_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW),
		PAIR(VIO_MMIO_QUEUE_DRIVER_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_HIGH),
		PAIR(VIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_QUEUE_USED_LOW),
		PAIR(VIO_MMIO_QUEUE_DEVICE_HIGH, VIRTIO_MMIO_QUEUE_USED_HIGH),
		PAIR(VIO_MMIO_SHM_SEL, VIRTIO_MMIO_SHM_SEL),
		PAIR(VIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_SHM_LEN_LOW),
		PAIR(VIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_HIGH),
		PAIR(VIO_MMIO_SHM_BASE_LOW, VIRTIO_MMIO_SHM_BASE_LOW),
		PAIR(VIO_MMIO_SHM_BASE_HIGH, VIRTIO_MMIO_SHM_BASE_HIGH),
		PAIR(VIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_CONFIG_GENERATION),
		PAIR(VIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG),
		PAIR(VIO_ISR_QUEUE, VIRTIO_MMIO_INT_VRING),
		PAIR(VIO_ISR_CONFIG, VIRTIO_MMIO_INT_CONFIG),
	};

	(void)state;
	same_numbers(n, COUNT(n));
	assert_int_equal(VIO_MMIO_MAGIC, little((const uint8_t *)"virt", 4));
	assert_int_equal(VIO_MMIO_QUEUE_RESET, 0xc0);
}

/* A mask is the bit's, and no mask at all where 64 bits do not hold it. */
static void test_feature_mask(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++)
		assert_true(vio_feature(bit) == (uint64_t)1 << bit);
	for (unsigned bit = 64; bit < 200; bit++)
		assert_true(vio_feature(bit) == 0);
	assert_true(vio_feature(~0u) == 0);
}

/* Every bit goes in, is there alone, and comes out again; bits that do not fit change nothing. */
static void test_feature_set_bits(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 200; bit++) {
		struct vio_features f = vio_features_make(0, 0);
		struct vio_features all = vio_features_make(UINT64_MAX, UINT64_MAX);
		bool fits = bit < VIO_FEATURE_BITS;

		vio_features_set(&f, bit);
		vio_features_clear(&all, bit);
		for (unsigned other = 0; other < 200; other++) {
			assert_int_equal(vio_features_test(f, other), fits && other == bit);
			assert_int_equal(vio_features_test(all, other),
					 other < VIO_FEATURE_BITS && other != bit);
		}
		vio_features_clear(&f, bit);
		assert_true(vio_features_is_empty(f));
	}
}

static void test_feature_set_algebra(void **state)
{
	const struct vio_features a = vio_features_make(0xff00, 0x6), none = { { 0, 0 } };
	const struct vio_features b = vio_features_make(0x0ff0, 0x3);
	const struct vio_features high = vio_features_make(0, 1);

	(void)state;
	assert_true(vio_features_equal(vio_features_and(a, b), vio_features_make(0x0f00, 0x2)));
	assert_true(vio_features_equal(vio_features_or(a, b), vio_features_make(0xfff0, 0x7)));
	assert_true(vio_features_equal(vio_features_andnot(a, b), vio_features_make(0xf000, 0x4)));
	assert_true(vio_features_is_subset(vio_features_and(a, b), a));
	assert_true(vio_features_is_subset(none, a));
	assert_true(vio_features_is_subset(a, a));
	assert_false(vio_features_is_subset(a, b));
	assert_false(vio_features_is_subset(high, none));
	assert_false(vio_features_is_empty(high));
	assert_false(vio_features_equal(high, none));
	assert_true(vio_features_is_empty(none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u2_config_fields),
		cmocka_unit_test(test_s1_s3_header_fields),
		cmocka_unit_test(test_u1_feature_numbers),
		cmocka_unit_test(test_net_numbers),
		cmocka_unit_test(test_derived_numbers),
		cmocka_unit_test(test_net_structures),
		cmocka_unit_test(test_ring_structures),
		cmocka_unit_test(test_ring_sizes),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_feature_mask),
		cmocka_unit_test(test_feature_set_bits),
		cmocka_unit_test(test_feature_set_algebra),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
