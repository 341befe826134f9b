/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire: every number and layout that a virtio-net driver and device share. This header has the
 * feature bits and the network device. It brings along virtio_core.h with what all virtio devices
 * share (status, rings, transports), and virtio_admin.h (administration commands, flow filter).
 *
 * All of it follows virtio 1.4 (OASIS, v1.4-cs01); sections are named where the text is long.
 * Three conventions hold throughout:
 *
 * - A feature is written as its bit NUMBER (VIO_NET_F_CSUM is 0). A set of features is a
 *   struct vio_features, because bits now reach past 64; vio_feature() makes the 64-bit mask that
 *   transports with 64-bit feature words need. A number therefore never passes for a mask.
 * - Fields are in wire order: vio_le16, vio_le32 and vio_le64 say that the value is
 *   little-endian and has to be converted. Under the legacy interface (no VIO_F_VERSION_1) the
 *   same fields are in the guest's own order.
 * - Structures with a variable tail (control commands, rules) are described by their fixed
 *   head; a comment says what follows. Fields that the wire leaves unaligned are byte arrays, so
 *   no structure needs packing and none has padding. A peer may put a structure at any address:
 *   copy it out, do not point into it.
 *
 * Nothing here has state or code beyond one-line set arithmetic. Freestanding; C11 and C++11.
 */
#ifndef VIODUCT_VIRTIO_H
#define VIODUCT_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/virtio_admin.h>
#include <vioduct/virtio_core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Feature bits (numbers) ------------------------------------------------------------------ */

/* Network device, virtio 1.4, 5.1.3. What each one requires is in src/net/features.c. */
enum {
	VIO_NET_F_CSUM = 0,		     /* device completes checksums on transmit */
	VIO_NET_F_GUEST_CSUM = 1,	     /* driver takes packets with partial checksum */
	VIO_NET_F_CTRL_GUEST_OFFLOADS = 2,   /* receive offloads switched at run time */
	VIO_NET_F_MTU = 3,		     /* config.mtu is valid */
	VIO_NET_F_MAC = 5,		     /* config.mac is valid */
	VIO_NET_F_GSO = 6,		     /* legacy only: any GSO type on transmit */
	VIO_NET_F_GUEST_TSO4 = 7,	     /* driver takes large TCP/IPv4 packets */
	VIO_NET_F_GUEST_TSO6 = 8,	     /* driver takes large TCP/IPv6 packets */
	VIO_NET_F_GUEST_ECN = 9,	     /* and those with ECN */
	VIO_NET_F_GUEST_UFO = 10,	     /* driver takes UDP packets to be fragmented */
	VIO_NET_F_HOST_TSO4 = 11,	     /* device segments TCP/IPv4 */
	VIO_NET_F_HOST_TSO6 = 12,	     /* device segments TCP/IPv6 */
	VIO_NET_F_HOST_ECN = 13,	     /* and with ECN */
	VIO_NET_F_HOST_UFO = 14,	     /* device fragments UDP */
	VIO_NET_F_MRG_RXBUF = 15,	     /* a packet may fill several receive buffers */
	VIO_NET_F_STATUS = 16,		     /* config.status is valid */
	VIO_NET_F_CTRL_VQ = 17,		     /* there is a control queue */
	VIO_NET_F_CTRL_RX = 18,		     /* receive modes and the MAC table */
	VIO_NET_F_CTRL_VLAN = 19,	     /* VLAN filter */
	VIO_NET_F_CTRL_RX_EXTRA = 20,	     /* further receive modes */
	VIO_NET_F_GUEST_ANNOUNCE = 21,	     /* driver can announce itself on request */
	VIO_NET_F_MQ = 22,		     /* several queue pairs, automatic steering */
	VIO_NET_F_CTRL_MAC_ADDR = 23,	     /* MAC set through the control queue */
	VIO_NET_F_GUEST_RSC4 = 41,	     /* legacy only, shares its bit with ADMIN_VQ */
	VIO_NET_F_GUEST_RSC6 = 42,	     /* legacy only */
	VIO_NET_F_DEVICE_STATS = 50,	     /* statistics through the control queue */
	VIO_NET_F_HASH_TUNNEL = 51,	     /* hash over the inner header of tunnels */
	VIO_NET_F_VQ_NOTF_COAL = 52,	     /* coalescing per queue */
	VIO_NET_F_NOTF_COAL = 53,	     /* coalescing per direction */
	VIO_NET_F_GUEST_USO4 = 54,	     /* driver takes UDP/IPv4 packets to be segmented */
	VIO_NET_F_GUEST_USO6 = 55,	     /* driver takes UDP/IPv6 packets to be segmented */
	VIO_NET_F_HOST_USO = 56,	     /* device segments UDP */
	VIO_NET_F_HASH_REPORT = 57,	     /* hash value in the receive header */
	VIO_NET_F_GUEST_HDRLEN = 59,	     /* hdr_len on transmit is exact */
	VIO_NET_F_RSS = 60,		     /* receive-side scaling */
	VIO_NET_F_RSC_EXT = 61,		     /* coalescing information in the receive header */
	VIO_NET_F_STANDBY = 62,		     /* standby for a device with the same MAC */
	VIO_NET_F_SPEED_DUPLEX = 63,	     /* config.speed and config.duplex are valid */
	VIO_NET_F_RSS_CONTEXT = 64,	     /* several RSS contexts */
	VIO_NET_F_GUEST_UDP_TUNNEL_GSO = 65, /* driver takes GSO packets inside UDP tunnels */
	VIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM = 66, /* with the outer checksum partial */
	VIO_NET_F_HOST_UDP_TUNNEL_GSO = 67,	  /* device segments inside UDP tunnels */
	VIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM = 68,  /* with the outer checksum partial */
	VIO_NET_F_OUT_NET_HEADER = 69,		  /* driver states outer_nh_offset */
	VIO_NET_F_IPSEC = 70,			  /* inline IPsec */
};

/* Every device type, virtio 1.4, 6 and 6.3. */
enum {
	VIO_F_NOTIFY_ON_EMPTY = 24,   /* legacy only */
	VIO_F_ANY_LAYOUT = 27,	      /* legacy only: any split into descriptors */
	VIO_F_UNUSED = 30,	      /* legacy only: never negotiated; vhost-user reuses it */
	VIO_F_INDIRECT_DESC = 28,     /* descriptors may point to tables of descriptors */
	VIO_F_EVENT_IDX = 29,	      /* used_event and avail_event */
	VIO_F_VERSION_1 = 32,	      /* not the legacy interface */
	VIO_F_ACCESS_PLATFORM = 33,   /* addresses are translated or limited by the platform */
	VIO_F_RING_PACKED = 34,	      /* packed virtqueues */
	VIO_F_IN_ORDER = 35,	      /* buffers are used in the order they were made available */
	VIO_F_ORDER_PLATFORM = 36,    /* memory is ordered as for a hardware device */
	VIO_F_SR_IOV = 37,	      /* PCI only */
	VIO_F_NOTIFICATION_DATA = 38, /* kicks carry the ring position */
	VIO_F_NOTIF_CONFIG_DATA = 39, /* kicks carry a number that the device chose; PCI */
	VIO_F_RING_RESET = 40,	      /* one queue can be reset */
	VIO_F_ADMIN_VQ = 41,	      /* administration virtqueues; PCI only */
	VIO_F_SUSPEND = 43,	      /* VIO_STATUS_SUSPEND */
};

#define VIO_FEATURE_BITS 128 /* bits that a struct vio_features holds; 71 and up are unassigned */

/* A set of feature bits: bit n is bit n % 64 of w[n / 64]. */
struct vio_features {
	uint64_t w[2];
};
VIO_STATIC_ASSERT(sizeof(struct vio_features) * 8 == VIO_FEATURE_BITS, "vio_features is 128 bits");

/*
 * The mask of feature @bit in a 64-bit feature word. 0 for bits above 63, which such a word cannot
 * hold, so that a test for them is never true by accident.
 */
static inline uint64_t vio_feature(unsigned bit)
{
	return bit < 64 ? UINT64_C(1) << bit : 0;
}

/* The set of bits 0 to 63 given in @low and bits 64 to 127 in @high. */
static inline struct vio_features vio_features_make(uint64_t low, uint64_t high)
{
	struct vio_features f;

	f.w[0] = low;
	f.w[1] = high;
	return f;
}

/* Adds @bit to *@f. Bits that a set cannot hold are ignored. */
static inline void vio_features_set(struct vio_features *f, unsigned bit)
{
	if (bit < VIO_FEATURE_BITS)
		f->w[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* Takes @bit from *@f. */
static inline void vio_features_clear(struct vio_features *f, unsigned bit)
{
	if (bit < VIO_FEATURE_BITS)
		f->w[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

/* Whether @bit is in @f; false for bits that a set cannot hold. */
static inline bool vio_features_test(struct vio_features f, unsigned bit)
{
	return bit < VIO_FEATURE_BITS && (f.w[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline struct vio_features vio_features_and(struct vio_features a, struct vio_features b)
{
	return vio_features_make(a.w[0] & b.w[0], a.w[1] & b.w[1]);
}

static inline struct vio_features vio_features_or(struct vio_features a, struct vio_features b)
{
	return vio_features_make(a.w[0] | b.w[0], a.w[1] | b.w[1]);
}

/* What is in @a and not in @b. */
static inline struct vio_features vio_features_andnot(struct vio_features a, struct vio_features b)
{
	return vio_features_make(a.w[0] & ~b.w[0], a.w[1] & ~b.w[1]);
}

static inline bool vio_features_is_empty(struct vio_features f)
{
	return (f.w[0] | f.w[1]) == 0;
}

/* Whether every bit of @a is in @b. The empty set is a subset of every set. */
static inline bool vio_features_is_subset(struct vio_features a, struct vio_features b)
{
	return vio_features_is_empty(vio_features_andnot(a, b));
}

static inline bool vio_features_equal(struct vio_features a, struct vio_features b)
{
	return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

/* ---- Net header, virtio 1.4, 5.1.9 ----------------------------------------------------------- */

/* vio_net_hdr.flags. A device ignores those it does not know. */
enum {
	VIO_NET_HDR_F_NEEDS_CSUM = 1,	   /* csum_start and csum_offset say what to fill in */
	VIO_NET_HDR_F_DATA_VALID = 2,	   /* receive: the outermost checksum was verified */
	VIO_NET_HDR_F_RSC_INFO = 4,	   /* receive: csum_* hold coalescing information */
	VIO_NET_HDR_F_UDP_TUNNEL_CSUM = 8, /* the tunnel's outer checksum is partial */
	VIO_NET_HDR_F_SECURITY = 16,	   /* receive: went through IPsec */
	VIO_NET_HDR_F_SECURITY_ERR = 32,
	VIO_NET_HDR_F_SECURITY_SA_SOFT_EXPIRY_WARN = 64,
};

/* vio_net_hdr.gso_type: one base type, and flags above it. */
enum {
	VIO_NET_HDR_GSO_NONE = 0,
	VIO_NET_HDR_GSO_TCPV4 = 1,
	VIO_NET_HDR_GSO_UDP = 3, /* fragmentation (UFO) */
	VIO_NET_HDR_GSO_TCPV6 = 4,
	VIO_NET_HDR_GSO_UDP_L4 = 5, /* segmentation (USO) */
	VIO_NET_HDR_GSO_BASE_MASK = 0x1f,
	VIO_NET_HDR_GSO_UDP_TUNNEL_IPV4 = 0x20, /* by the INNER IP version; never both */
	VIO_NET_HDR_GSO_UDP_TUNNEL_IPV6 = 0x40,
	VIO_NET_HDR_GSO_UDP_TUNNEL_MASK = 0x60,
	VIO_NET_HDR_GSO_ECN = 0x80,
};

/*
 * Precedes every frame, the same size both ways. Always a prefix of this layout and never
 * compacted: fields of features that were not negotiated stay as a gap when later ones were.
 * vio_net_hdr_size() in features.h gives the length.
 */
struct vio_net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	vio_le16 hdr_len;     /* bytes of headers; a hint unless GUEST_HDRLEN */
	vio_le16 gso_size;    /* payload bytes in a segment */
	vio_le16 csum_start;  /* RSC_INFO: segments coalesced */
	vio_le16 csum_offset; /* RSC_INFO: duplicate ACKs */
	vio_le16 num_buffers; /* receive: buffers of this packet; transmit: 0 */
	vio_le32 hash_value;  /* HASH_REPORT */
	vio_le16 hash_report; /* HASH_REPORT: enum of VIO_NET_HASH_REPORT_* */
	vio_le16 padding;
	vio_le16 outer_th_offset;     /* UDP_TUNNEL_GSO: the outer transport header */
	vio_le16 inner_nh_offset;     /* UDP_TUNNEL_GSO: the inner network header */
	vio_le16 outer_nh_offset;     /* OUT_NET_HEADER: the outer network header */
	uint8_t ipsec_resource_id[4]; /* IPSEC: le32, unaligned on the wire */
	vio_le16 ipsec_resource_type; /* IPSEC */
};
VIO_ASSERT_SIZE(vio_net_hdr, 32);
VIO_ASSERT_OFFSET(vio_net_hdr, flags, 0);
VIO_ASSERT_OFFSET(vio_net_hdr, gso_type, 1);
VIO_ASSERT_OFFSET(vio_net_hdr, hdr_len, 2);
VIO_ASSERT_OFFSET(vio_net_hdr, gso_size, 4);
VIO_ASSERT_OFFSET(vio_net_hdr, csum_start, 6);
VIO_ASSERT_OFFSET(vio_net_hdr, csum_offset, 8);
VIO_ASSERT_OFFSET(vio_net_hdr, num_buffers, 10);
VIO_ASSERT_OFFSET(vio_net_hdr, hash_value, 12);
VIO_ASSERT_OFFSET(vio_net_hdr, hash_report, 16);
VIO_ASSERT_OFFSET(vio_net_hdr, padding, 18);
VIO_ASSERT_OFFSET(vio_net_hdr, outer_th_offset, 20);
VIO_ASSERT_OFFSET(vio_net_hdr, inner_nh_offset, 22);
VIO_ASSERT_OFFSET(vio_net_hdr, outer_nh_offset, 24);
VIO_ASSERT_OFFSET(vio_net_hdr, ipsec_resource_id, 26);
VIO_ASSERT_OFFSET(vio_net_hdr, ipsec_resource_type, 30);

/* The lengths that the header can have. */
enum {
	VIO_NET_HDR_SIZE_LEGACY = 10, /* legacy without MRG_RXBUF: no num_buffers */
	VIO_NET_HDR_SIZE = 12,
	VIO_NET_HDR_SIZE_HASH = 20,
	VIO_NET_HDR_SIZE_TUNNEL = 24,
	VIO_NET_HDR_SIZE_MAX = 32, /* OUT_NET_HEADER or IPSEC */
};

/* Frame sizes without the net header, virtio 1.4, 5.1.9.3. */
enum {
	VIO_NET_ETH_HLEN = 14,
	VIO_NET_MTU_MIN = 68,
	VIO_NET_MTU_MAX = 65535,
	VIO_NET_FRAME_MAX = 1514,      /* without receive offloads and MTU */
	VIO_NET_FRAME_GSO_MAX = 65589, /* Ethernet, IPv6 header, 65535 of payload; 65562 to 1.3 */
};

/* ---- Device configuration, virtio 1.4, 5.1.4 ------------------------------------------------- */

/* vio_net_config.status */
enum {
	VIO_NET_S_LINK_UP = 1,
	VIO_NET_S_ANNOUNCE = 2,
};

/* A field exists when the feature named was OFFERED; vio_net_config_size() gives the end. */
struct vio_net_config {
	uint8_t mac[6];				   /* always there; valid with MAC */
	vio_le16 status;			   /* STATUS */
	vio_le16 max_virtqueue_pairs;		   /* MQ or RSS: 1 to 0x8000 */
	vio_le16 mtu;				   /* MTU: 68 to 65535, never changes */
	vio_le32 speed;				   /* SPEED_DUPLEX: Mbit/s */
	uint8_t duplex;				   /* SPEED_DUPLEX */
	uint8_t rss_max_key_size;		   /* RSS or HASH_REPORT: at least 40 */
	vio_le16 rss_max_indirection_table_length; /* RSS: at least 128 */
	vio_le32 supported_hash_types;		   /* RSS or HASH_REPORT */
	vio_le32 supported_tunnel_types;	   /* HASH_TUNNEL */
};
VIO_ASSERT_SIZE(vio_net_config, 28);
VIO_ASSERT_OFFSET(vio_net_config, mac, 0);
VIO_ASSERT_OFFSET(vio_net_config, status, 6);
VIO_ASSERT_OFFSET(vio_net_config, max_virtqueue_pairs, 8);
VIO_ASSERT_OFFSET(vio_net_config, mtu, 10);
VIO_ASSERT_OFFSET(vio_net_config, speed, 12);
VIO_ASSERT_OFFSET(vio_net_config, duplex, 16);
VIO_ASSERT_OFFSET(vio_net_config, rss_max_key_size, 17);
VIO_ASSERT_OFFSET(vio_net_config, rss_max_indirection_table_length, 18);
VIO_ASSERT_OFFSET(vio_net_config, supported_hash_types, 20);
VIO_ASSERT_OFFSET(vio_net_config, supported_tunnel_types, 24);

#define VIO_NET_SPEED_MAX     UINT32_C(0x7fffffff) /* above it: unknown */
#define VIO_NET_SPEED_UNKNOWN UINT32_C(0xffffffff)

/*
 * The spec states both orders; its definition, Linux and QEMU agree on this one, its normative
 * clause alone has them swapped.
 */
enum {
	VIO_NET_DUPLEX_HALF = 0,
	VIO_NET_DUPLEX_FULL = 1,
	VIO_NET_DUPLEX_UNKNOWN = 0xff,
};

enum {
	VIO_NET_PAIRS_MIN = 1,
	VIO_NET_PAIRS_MAX = 0x8000,
	VIO_NET_RSS_KEY_MIN = 40,    /* least that a device may support; Toeplitz over IPv6 */
	VIO_NET_RSS_TABLE_MIN = 128, /* least that a device may support */
};

/* ---- Hashing, virtio 1.4, 5.1.9.4.3 ---------------------------------------------------------- */

/* supported_hash_types and hash_types */
enum {
	VIO_NET_HASH_TYPE_IPV4 = 1 << 0,
	VIO_NET_HASH_TYPE_TCPV4 = 1 << 1,
	VIO_NET_HASH_TYPE_UDPV4 = 1 << 2,
	VIO_NET_HASH_TYPE_IPV6 = 1 << 3,
	VIO_NET_HASH_TYPE_TCPV6 = 1 << 4,
	VIO_NET_HASH_TYPE_UDPV6 = 1 << 5,
	VIO_NET_HASH_TYPE_IP_EX = 1 << 6,
	VIO_NET_HASH_TYPE_TCP_EX = 1 << 7,
	VIO_NET_HASH_TYPE_UDP_EX = 1 << 8,
	VIO_NET_HASH_TYPE_ALL = 0x1ff,
};

/* vio_net_hdr.hash_report: the number of the hash type's bit, plus one */
enum {
	VIO_NET_HASH_REPORT_NONE = 0,
	VIO_NET_HASH_REPORT_IPV4 = 1,
	VIO_NET_HASH_REPORT_TCPV4 = 2,
	VIO_NET_HASH_REPORT_UDPV4 = 3,
	VIO_NET_HASH_REPORT_IPV6 = 4,
	VIO_NET_HASH_REPORT_TCPV6 = 5,
	VIO_NET_HASH_REPORT_UDPV6 = 6,
	VIO_NET_HASH_REPORT_IPV6_EX = 7,
	VIO_NET_HASH_REPORT_TCPV6_EX = 8,
	VIO_NET_HASH_REPORT_UDPV6_EX = 9,
};

/* supported_tunnel_types and enabled_tunnel_types */
enum {
	VIO_NET_HASH_TUNNEL_TYPE_GRE_2784 = 1 << 0,
	VIO_NET_HASH_TUNNEL_TYPE_GRE_2890 = 1 << 1,
	VIO_NET_HASH_TUNNEL_TYPE_GRE_7676 = 1 << 2,
	VIO_NET_HASH_TUNNEL_TYPE_GRE_UDP = 1 << 3,
	VIO_NET_HASH_TUNNEL_TYPE_VXLAN = 1 << 4,
	VIO_NET_HASH_TUNNEL_TYPE_VXLAN_GPE = 1 << 5,
	VIO_NET_HASH_TUNNEL_TYPE_GENEVE = 1 << 6,
	VIO_NET_HASH_TUNNEL_TYPE_IPIP = 1 << 7,
	VIO_NET_HASH_TUNNEL_TYPE_NVGRE = 1 << 8,
	VIO_NET_HASH_TUNNEL_TYPE_ALL = 0x1ff,
};

/* ---- Control queue, virtio 1.4, 5.1.9.5 ------------------------------------------------------ */

/* A command: this, then the command's data (all device-readable); then the ack and a result. */
struct vio_net_ctrl_hdr {
	uint8_t class_id;
	uint8_t command;
};
VIO_ASSERT_SIZE(vio_net_ctrl_hdr, 2);
VIO_ASSERT_OFFSET(vio_net_ctrl_hdr, class_id, 0);
VIO_ASSERT_OFFSET(vio_net_ctrl_hdr, command, 1);

/* The ack byte. */
enum {
	VIO_NET_OK = 0,
	VIO_NET_ERR = 1,
};

/* Classes. The feature that opens each stands beside it. */
enum {
	VIO_NET_CTRL_RX = 0,		 /* CTRL_RX, CTRL_RX_EXTRA */
	VIO_NET_CTRL_MAC = 1,		 /* CTRL_RX, CTRL_MAC_ADDR */
	VIO_NET_CTRL_VLAN = 2,		 /* CTRL_VLAN */
	VIO_NET_CTRL_ANNOUNCE = 3,	 /* GUEST_ANNOUNCE */
	VIO_NET_CTRL_MQ = 4,		 /* MQ, RSS, HASH_REPORT */
	VIO_NET_CTRL_GUEST_OFFLOADS = 5, /* CTRL_GUEST_OFFLOADS */
	VIO_NET_CTRL_NOTF_COAL = 6,	 /* NOTF_COAL, VQ_NOTF_COAL */
	VIO_NET_CTRL_HASH_TUNNEL = 7,	 /* HASH_TUNNEL */
	VIO_NET_CTRL_STATS = 8,		 /* DEVICE_STATS */
	VIO_NET_CTRL_RSS_CTX = 9,	 /* RSS_CONTEXT */
};

/* VIO_NET_CTRL_RX: one byte, 0 off, 1 on. */
enum {
	VIO_NET_CTRL_RX_PROMISC = 0,
	VIO_NET_CTRL_RX_ALLMULTI = 1,
	VIO_NET_CTRL_RX_ALLUNI = 2, /* from here on CTRL_RX_EXTRA */
	VIO_NET_CTRL_RX_NOMULTI = 3,
	VIO_NET_CTRL_RX_NOUNI = 4,
	VIO_NET_CTRL_RX_NOBCAST = 5,
};

/*
 * VIO_NET_CTRL_MAC. TABLE_SET (CTRL_RX): twice struct vio_net_ctrl_mac and its addresses, unicast
 * then multicast. ADDR_SET: six bytes; its gate is CTRL_MAC_ADDR by the text, though one clause
 * says CTRL_RX.
 */
enum {
	VIO_NET_CTRL_MAC_TABLE_SET = 0,
	VIO_NET_CTRL_MAC_ADDR_SET = 1,
};

/* Followed by entries times six bytes. The second table starts unaligned. */
struct vio_net_ctrl_mac {
	vio_le32 entries;
};
VIO_ASSERT_SIZE(vio_net_ctrl_mac, 4);
VIO_ASSERT_OFFSET(vio_net_ctrl_mac, entries, 0);

/* VIO_NET_CTRL_VLAN: vio_le16 VLAN id. */
enum {
	VIO_NET_CTRL_VLAN_ADD = 0,
	VIO_NET_CTRL_VLAN_DEL = 1,
	VIO_NET_VLAN_IDS = 4096,
};

/* VIO_NET_CTRL_ANNOUNCE: no data. */
enum {
	VIO_NET_CTRL_ANNOUNCE_ACK = 0,
};

/* VIO_NET_CTRL_MQ */
enum {
	VIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0, /* MQ: struct vio_net_ctrl_mq */
	VIO_NET_CTRL_MQ_RSS_CONFIG = 1,	  /* RSS: struct vio_net_rss_config, rest */
	VIO_NET_CTRL_MQ_HASH_CONFIG = 2,  /* HASH_REPORT: struct vio_net_hash_config, rest */
};

struct vio_net_ctrl_mq {
	vio_le16 virtqueue_pairs; /* 1 to max_virtqueue_pairs */
};
VIO_ASSERT_SIZE(vio_net_ctrl_mq, 2);
VIO_ASSERT_OFFSET(vio_net_ctrl_mq, virtqueue_pairs, 0);

/*
 * Followed by vio_le16 indirection_table[indirection_table_mask + 1], struct vio_net_rss_tail and
 * the key. Queues are given as virtqueue index >> 1, bit 15 clear. mask + 1 is a power of two.
 */
struct vio_net_rss_config {
	vio_le32 hash_types;
	vio_le16 indirection_table_mask;
	vio_le16 unclassified_queue;
};
VIO_ASSERT_SIZE(vio_net_rss_config, 8);
VIO_ASSERT_OFFSET(vio_net_rss_config, hash_types, 0);
VIO_ASSERT_OFFSET(vio_net_rss_config, indirection_table_mask, 4);
VIO_ASSERT_OFFSET(vio_net_rss_config, unclassified_queue, 6);

struct vio_net_rss_tail {
	uint8_t max_tx_vq[2]; /* le16; bytes because the structure has an odd length */
	uint8_t hash_key_length;
};
VIO_ASSERT_SIZE(vio_net_rss_tail, 3);
VIO_ASSERT_OFFSET(vio_net_rss_tail, max_tx_vq, 0);
VIO_ASSERT_OFFSET(vio_net_rss_tail, hash_key_length, 2);

/* Followed by uint8_t hash_key_length and the key. */
struct vio_net_hash_config {
	vio_le32 hash_types;
	vio_le16 reserved[4];
};
VIO_ASSERT_SIZE(vio_net_hash_config, 12);
VIO_ASSERT_OFFSET(vio_net_hash_config, hash_types, 0);
VIO_ASSERT_OFFSET(vio_net_hash_config, reserved, 4);

/* VIO_NET_CTRL_GUEST_OFFLOADS: vio_le64, a mask of the bits below. */
enum {
	VIO_NET_CTRL_GUEST_OFFLOADS_SET = 0,
};

/*
 * Bit numbers in that mask. They are the feature's own number except for the two tunnel offloads,
 * whose feature bits do not fit into 64.
 */
enum {
	VIO_NET_OFFLOAD_GUEST_CSUM = VIO_NET_F_GUEST_CSUM,
	VIO_NET_OFFLOAD_GUEST_TSO4 = VIO_NET_F_GUEST_TSO4,
	VIO_NET_OFFLOAD_GUEST_TSO6 = VIO_NET_F_GUEST_TSO6,
	VIO_NET_OFFLOAD_GUEST_ECN = VIO_NET_F_GUEST_ECN,
	VIO_NET_OFFLOAD_GUEST_UFO = VIO_NET_F_GUEST_UFO,
	VIO_NET_OFFLOAD_GUEST_UDP_TUNNEL_GSO = 46,
	VIO_NET_OFFLOAD_GUEST_UDP_TUNNEL_GSO_CSUM = 47,
	VIO_NET_OFFLOAD_GUEST_USO4 = VIO_NET_F_GUEST_USO4,
	VIO_NET_OFFLOAD_GUEST_USO6 = VIO_NET_F_GUEST_USO6,
};

/* VIO_NET_CTRL_NOTF_COAL */
enum {
	VIO_NET_CTRL_NOTF_COAL_TX_SET = 0, /* struct vio_net_ctrl_coal */
	VIO_NET_CTRL_NOTF_COAL_RX_SET = 1, /* struct vio_net_ctrl_coal */
	VIO_NET_CTRL_NOTF_COAL_VQ_SET = 2, /* struct vio_net_ctrl_coal_vq */
	VIO_NET_CTRL_NOTF_COAL_VQ_GET = 3, /* the same; coal is the result, device-writable */
};

struct vio_net_ctrl_coal {
	vio_le32 max_packets;
	vio_le32 max_usecs;
};
VIO_ASSERT_SIZE(vio_net_ctrl_coal, 8);
VIO_ASSERT_OFFSET(vio_net_ctrl_coal, max_packets, 0);
VIO_ASSERT_OFFSET(vio_net_ctrl_coal, max_usecs, 4);

struct vio_net_ctrl_coal_vq {
	vio_le16 vq_index;
	vio_le16 reserved;
	struct vio_net_ctrl_coal coal;
};
VIO_ASSERT_SIZE(vio_net_ctrl_coal_vq, 12);
VIO_ASSERT_OFFSET(vio_net_ctrl_coal_vq, vq_index, 0);
VIO_ASSERT_OFFSET(vio_net_ctrl_coal_vq, reserved, 2);
VIO_ASSERT_OFFSET(vio_net_ctrl_coal_vq, coal, 4);

/* VIO_NET_CTRL_HASH_TUNNEL: vio_le32 enabled_tunnel_types. */
enum {
	VIO_NET_CTRL_HASH_TUNNEL_SET = 0,
};

/* VIO_NET_CTRL_RSS_CTX */
enum {
	VIO_NET_CTRL_RSS_CTX_CAP_GET = 0, /* result: vio_le16, how many there may be */
	VIO_NET_CTRL_RSS_CTX_ADD = 1,	  /* struct vio_net_rss_ctx, then as RSS_CONFIG */
	VIO_NET_CTRL_RSS_CTX_MOD = 2,	  /* the same */
	VIO_NET_CTRL_RSS_CTX_DEL = 3,	  /* vio_le16 context id */
};

struct vio_net_rss_ctx {
	vio_le16 rss_ctx_id;
	uint8_t reserved[6];
};
VIO_ASSERT_SIZE(vio_net_rss_ctx, 8);
VIO_ASSERT_OFFSET(vio_net_rss_ctx, rss_ctx_id, 0);
VIO_ASSERT_OFFSET(vio_net_rss_ctx, reserved, 2);

/* ---- Statistics, virtio 1.4, 5.1.9.5.11 ------------------------------------------------------ */

/* VIO_NET_CTRL_STATS */
enum {
	VIO_NET_CTRL_STATS_QUERY = 0, /* result: vio_le64 of supported types */
	VIO_NET_CTRL_STATS_GET = 1,   /* struct vio_net_stats_req[]; result: replies in a row */
};

/* Number of a type: the bit in types_bitmap and the type in a reply. */
enum {
	VIO_NET_STATS_RX_BASIC = 0,
	VIO_NET_STATS_RX_CSUM = 1,
	VIO_NET_STATS_RX_GSO = 2,
	VIO_NET_STATS_RX_SPEED = 3,
	VIO_NET_STATS_TX_BASIC = 16,
	VIO_NET_STATS_TX_CSUM = 17,
	VIO_NET_STATS_TX_GSO = 18,
	VIO_NET_STATS_TX_SPEED = 19,
	VIO_NET_STATS_CVQ = 32,
};

struct vio_net_stats_req {
	vio_le16 vq_index;
	vio_le16 reserved[3];
	vio_le64 types_bitmap;
};
VIO_ASSERT_SIZE(vio_net_stats_req, 16);
VIO_ASSERT_OFFSET(vio_net_stats_req, vq_index, 0);
VIO_ASSERT_OFFSET(vio_net_stats_req, reserved, 2);
VIO_ASSERT_OFFSET(vio_net_stats_req, types_bitmap, 8);

struct vio_net_stats_reply_hdr {
	uint8_t type;
	uint8_t reserved;
	vio_le16 vq_index;
	vio_le16 reserved1;
	vio_le16 size; /* bytes of this reply, this header included */
};
VIO_ASSERT_SIZE(vio_net_stats_reply_hdr, 8);
VIO_ASSERT_OFFSET(vio_net_stats_reply_hdr, type, 0);
VIO_ASSERT_OFFSET(vio_net_stats_reply_hdr, reserved, 1);
VIO_ASSERT_OFFSET(vio_net_stats_reply_hdr, vq_index, 2);
VIO_ASSERT_OFFSET(vio_net_stats_reply_hdr, reserved1, 4);
VIO_ASSERT_OFFSET(vio_net_stats_reply_hdr, size, 6);

struct vio_net_stats_cvq {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 command_num;
	vio_le64 ok_num;
};
VIO_ASSERT_SIZE(vio_net_stats_cvq, 24);
VIO_ASSERT_OFFSET(vio_net_stats_cvq, command_num, 8);
VIO_ASSERT_OFFSET(vio_net_stats_cvq, ok_num, 16);

struct vio_net_stats_rx_basic {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 rx_notifications;
	vio_le64 rx_packets;
	vio_le64 rx_bytes;
	vio_le64 rx_interrupts;
	vio_le64 rx_drops;
	vio_le64 rx_drop_overruns;
};
VIO_ASSERT_SIZE(vio_net_stats_rx_basic, 56);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_notifications, 8);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_packets, 16);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_bytes, 24);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_interrupts, 32);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_drops, 40);
VIO_ASSERT_OFFSET(vio_net_stats_rx_basic, rx_drop_overruns, 48);

struct vio_net_stats_rx_csum {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 rx_csum_valid;
	vio_le64 rx_needs_csum;
	vio_le64 rx_csum_none;
	vio_le64 rx_csum_bad;
};
VIO_ASSERT_SIZE(vio_net_stats_rx_csum, 40);
VIO_ASSERT_OFFSET(vio_net_stats_rx_csum, rx_csum_valid, 8);
VIO_ASSERT_OFFSET(vio_net_stats_rx_csum, rx_needs_csum, 16);
VIO_ASSERT_OFFSET(vio_net_stats_rx_csum, rx_csum_none, 24);
VIO_ASSERT_OFFSET(vio_net_stats_rx_csum, rx_csum_bad, 32);

struct vio_net_stats_rx_gso {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 rx_gso_packets;
	vio_le64 rx_gso_bytes;
	vio_le64 rx_gso_packets_coalesced;
	vio_le64 rx_gso_bytes_coalesced;
};
VIO_ASSERT_SIZE(vio_net_stats_rx_gso, 40);
VIO_ASSERT_OFFSET(vio_net_stats_rx_gso, rx_gso_packets, 8);
VIO_ASSERT_OFFSET(vio_net_stats_rx_gso, rx_gso_bytes, 16);
VIO_ASSERT_OFFSET(vio_net_stats_rx_gso, rx_gso_packets_coalesced, 24);
VIO_ASSERT_OFFSET(vio_net_stats_rx_gso, rx_gso_bytes_coalesced, 32);

struct vio_net_stats_tx_basic {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 tx_notifications;
	vio_le64 tx_packets;
	vio_le64 tx_bytes;
	vio_le64 tx_interrupts;
	vio_le64 tx_drops;
	vio_le64 tx_drop_malformed;
};
VIO_ASSERT_SIZE(vio_net_stats_tx_basic, 56);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_notifications, 8);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_packets, 16);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_bytes, 24);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_interrupts, 32);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_drops, 40);
VIO_ASSERT_OFFSET(vio_net_stats_tx_basic, tx_drop_malformed, 48);

struct vio_net_stats_tx_csum {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 tx_csum_none;
	vio_le64 tx_needs_csum;
};
VIO_ASSERT_SIZE(vio_net_stats_tx_csum, 24);
VIO_ASSERT_OFFSET(vio_net_stats_tx_csum, tx_csum_none, 8);
VIO_ASSERT_OFFSET(vio_net_stats_tx_csum, tx_needs_csum, 16);

struct vio_net_stats_tx_gso {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 tx_gso_packets;
	vio_le64 tx_gso_bytes;
	vio_le64 tx_gso_segments;
	vio_le64 tx_gso_segments_bytes;
	vio_le64 tx_gso_packets_noseg;
	vio_le64 tx_gso_bytes_noseg;
};
VIO_ASSERT_SIZE(vio_net_stats_tx_gso, 56);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_packets, 8);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_bytes, 16);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_segments, 24);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_segments_bytes, 32);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_packets_noseg, 40);
VIO_ASSERT_OFFSET(vio_net_stats_tx_gso, tx_gso_bytes_noseg, 48);

/* RX_SPEED and TX_SPEED: one layout, the direction is in hdr.type. */
struct vio_net_stats_speed {
	struct vio_net_stats_reply_hdr hdr;
	vio_le64 packets_allowance_exceeded;
	vio_le64 bytes_allowance_exceeded;
};
VIO_ASSERT_SIZE(vio_net_stats_speed, 24);
VIO_ASSERT_OFFSET(vio_net_stats_speed, packets_allowance_exceeded, 8);
VIO_ASSERT_OFFSET(vio_net_stats_speed, bytes_allowance_exceeded, 16);

#ifdef __cplusplus
}
#endif
#endif
