/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio net header: between its bytes on the wire and struct vio_net_meta.
 *
 * The header is what the peer says about a frame. It comes out of shared memory, so it is read
 * once, into a local; decoding then gives it host order, and one of the two checks decides whether
 * to believe it. After a check the meta is also in a normal form: a field that means nothing is
 * zero. Whoever receives the frame next, a back end or the other half, may therefore pass the
 * meta on as it is, and a peer cannot smuggle a field that its features do not cover to a third
 * party behind us.
 *
 * The two directions differ in who is wrong. What a driver asks for (transmit) and was not
 * negotiated is an error: nobody promised to do it. (A device whose driver negotiated nothing of the
 * kind does not even look at what it says.) What a device says of a received frame is
 * partly only information, and devices are known to give more of it than was negotiated (a tap
 * marks verified checksums whoever reads from it), so such information is dropped and the frame
 * kept. Neither check looks at the frame itself; that is left to whoever acts on it.
 */
#include <errno.h>
#include <string.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/endian.h"

/* ---- Between wire and host ------------------------------------------------------------------- */

static uint16_t get16(const uint8_t *p, bool big_endian)
{
	return big_endian ? vio_get_be16(p) : vio_get_le16(p);
}

static void put16(uint8_t *p, uint16_t v, bool big_endian)
{
	if (big_endian)
		vio_put_be16(p, v);
	else
		vio_put_le16(p, v);
}

void vio_net_hdr_decode(const void *wire, size_t len, bool big_endian, struct vio_net_meta *meta)
{
	uint8_t h[VIO_NET_HDR_SIZE] = { 0 };

	memcpy(h, wire, vio_min(len, sizeof(h)));
	meta->flags = h[offsetof(struct vio_net_hdr, flags)];
	meta->gso_type = h[offsetof(struct vio_net_hdr, gso_type)];
	meta->hdr_len = get16(&h[offsetof(struct vio_net_hdr, hdr_len)], big_endian);
	meta->gso_size = get16(&h[offsetof(struct vio_net_hdr, gso_size)], big_endian);
	meta->csum_start = get16(&h[offsetof(struct vio_net_hdr, csum_start)], big_endian);
	meta->csum_offset = get16(&h[offsetof(struct vio_net_hdr, csum_offset)], big_endian);
	meta->num_buffers = get16(&h[offsetof(struct vio_net_hdr, num_buffers)], big_endian);
}

void vio_net_hdr_encode(void *wire, size_t len, bool big_endian, const struct vio_net_meta *meta)
{
	uint8_t h[VIO_NET_HDR_SIZE];

	h[offsetof(struct vio_net_hdr, flags)] = meta->flags;
	h[offsetof(struct vio_net_hdr, gso_type)] = meta->gso_type;
	put16(&h[offsetof(struct vio_net_hdr, hdr_len)], meta->hdr_len, big_endian);
	put16(&h[offsetof(struct vio_net_hdr, gso_size)], meta->gso_size, big_endian);
	put16(&h[offsetof(struct vio_net_hdr, csum_start)], meta->csum_start, big_endian);
	put16(&h[offsetof(struct vio_net_hdr, csum_offset)], meta->csum_offset, big_endian);
	put16(&h[offsetof(struct vio_net_hdr, num_buffers)], meta->num_buffers, big_endian);
	memcpy(wire, h, vio_min(len, sizeof(h)));
	if (len > sizeof(h))
		memset((uint8_t *)wire + sizeof(h), 0, len - sizeof(h));
}

/* ---- What may be asked for ------------------------------------------------------------------- */

/* GSO types by the features that allow them, for one direction. */
struct gso_rules {
	uint64_t tcpv4, tcpv6, udp, udp_l4, ecn; /* masks: any one bit allows it */
};

static const struct gso_rules tx_rules = {
	.tcpv4 = UINT64_C(1) << VIO_NET_F_HOST_TSO4,
	.tcpv6 = UINT64_C(1) << VIO_NET_F_HOST_TSO6,
	.udp = UINT64_C(1) << VIO_NET_F_HOST_UFO,
	.udp_l4 = UINT64_C(1) << VIO_NET_F_HOST_USO,
	.ecn = UINT64_C(1) << VIO_NET_F_HOST_ECN,
};

static const struct gso_rules rx_rules = {
	.tcpv4 = UINT64_C(1) << VIO_NET_F_GUEST_TSO4,
	.tcpv6 = UINT64_C(1) << VIO_NET_F_GUEST_TSO6,
	.udp = UINT64_C(1) << VIO_NET_F_GUEST_UFO,
	.udp_l4 = UINT64_C(1) << VIO_NET_F_GUEST_USO4 | UINT64_C(1) << VIO_NET_F_GUEST_USO6,
	.ecn = UINT64_C(1) << VIO_NET_F_GUEST_ECN,
};

/* The features that allow @gso_type; 0 for types that nobody can negotiate with us, among them the
 * tunnel types and ECN without TCP. */
static uint64_t gso_allowed_by(uint8_t gso_type, const struct gso_rules *rules)
{
	bool ecn = gso_type & VIO_NET_HDR_GSO_ECN;

	switch (gso_type & (uint8_t)~VIO_NET_HDR_GSO_ECN) {
	case VIO_NET_HDR_GSO_TCPV4:
		return rules->tcpv4;
	case VIO_NET_HDR_GSO_TCPV6:
		return rules->tcpv6;
	case VIO_NET_HDR_GSO_UDP:
		return ecn ? 0 : rules->udp;
	case VIO_NET_HDR_GSO_UDP_L4:
		return ecn ? 0 : rules->udp_l4;
	}
	return 0;
}

/*
 * Whether @meta's GSO type may stand with @flags, of which one is enough. UFO needs none: a
 * datagram without checksum (UDP's 0) is only cut up, and Linux drivers did send them so.
 */
static bool gso_ok(const struct vio_net_meta *meta, uint64_t features,
		   const struct gso_rules *rules, uint8_t flags)
{
	if (!(gso_allowed_by(meta->gso_type, rules) & features))
		return false;
	if (meta->gso_type & VIO_NET_HDR_GSO_ECN && !(rules->ecn & features))
		return false;
	if (meta->gso_size == 0)
		return false;
	return meta->gso_type == VIO_NET_HDR_GSO_UDP || meta->flags & flags;
}

/* VIRTIO_NET_F_GSO of the legacy interface stands for all the types of its time (virtio 1.4,
 * 5.1.3.2). */
static uint64_t legacy_gso(uint64_t features)
{
	if (!(features & vio_feature(VIO_NET_F_GSO)) || features & vio_feature(VIO_F_VERSION_1))
		return features;
	return features | tx_rules.tcpv4 | tx_rules.tcpv6 | tx_rules.udp | tx_rules.ecn;
}

static int refuse(enum vio_drop *why, enum vio_drop reason)
{
	*why = reason;
	return -EINVAL;
}

static bool csum_inside(const struct vio_net_meta *meta, uint32_t frame_len)
{
	return (uint32_t)meta->csum_start + meta->csum_offset + 2 <= frame_len;
}

/* The last step of both checks: what means nothing is zero. */
static void normalise(struct vio_net_meta *meta, uint32_t frame_len)
{
	if (!(meta->flags & VIO_NET_HDR_F_NEEDS_CSUM)) {
		meta->csum_start = 0;
		meta->csum_offset = 0;
	}
	if (meta->gso_type == VIO_NET_HDR_GSO_NONE)
		meta->gso_size = 0;
	/* Only a hint, but a tap refuses a frame that is shorter than its hint. */
	if (meta->hdr_len > frame_len)
		meta->hdr_len = (uint16_t)frame_len;
}

int vio_net_check_tx(struct vio_net_meta *meta, uint32_t frame_len, uint64_t features,
		     enum vio_drop *why)
{
	if (frame_len < VIO_ETH_MIN_LEN)
		return refuse(why, VIO_DROP_SHORT);
	if (frame_len > VIO_FRAME_MAX_LEN)
		return refuse(why, VIO_DROP_TOO_BIG);

	/* Claims something of a tunnel that is not there (virtio 1.4, 5.1.9.2.2). */
	if (meta->flags & VIO_NET_HDR_F_UDP_TUNNEL_CSUM &&
	    !(meta->gso_type & VIO_NET_HDR_GSO_UDP_TUNNEL_MASK))
		return refuse(why, VIO_DROP_BAD_HEADER);

	/* Other flags are ignored: unknown ones must be, and DATA_VALID and RSC_INFO are not for
	 * the driver to set. */
	meta->flags &= VIO_NET_HDR_F_NEEDS_CSUM;
	meta->num_buffers = 0;

	if (meta->flags && !(features & vio_feature(VIO_NET_F_CSUM)))
		return refuse(why, VIO_DROP_BAD_HEADER);
	if (meta->flags && !csum_inside(meta, frame_len))
		return refuse(why, VIO_DROP_BAD_CSUM);
	if (meta->gso_type != VIO_NET_HDR_GSO_NONE &&
	    !gso_ok(meta, legacy_gso(features), &tx_rules, VIO_NET_HDR_F_NEEDS_CSUM))
		return refuse(why, VIO_DROP_BAD_GSO);

	normalise(meta, frame_len);
	return 0;
}

/*
 * RSC_INFO makes counters of the checksum offsets (virtio 1.4, 5.1.9.4), so they are never used
 * once it is set, negotiated or not. A coalesced packet is known to be valid although its checksum
 * field is not complete: DATA_VALID, and its GSO type tells that the field has to be made anew. A
 * packet that is not GSO, or a device that was not allowed this, leaves nobody who could complete
 * the checksum.
 */
static int settle_rsc(struct vio_net_meta *meta, uint64_t features)
{
	if (!(meta->flags & VIO_NET_HDR_F_RSC_INFO))
		return 0;
	if (meta->flags & VIO_NET_HDR_F_NEEDS_CSUM) {
		if (!(features & vio_feature(VIO_NET_F_RSC_EXT)) ||
		    meta->gso_type == VIO_NET_HDR_GSO_NONE)
			return -EINVAL;
		meta->flags |= VIO_NET_HDR_F_DATA_VALID;
	}
	meta->flags &= (uint8_t) ~(VIO_NET_HDR_F_NEEDS_CSUM | VIO_NET_HDR_F_RSC_INFO);
	return 0;
}

int vio_net_check_rx(struct vio_net_meta *meta, uint32_t frame_len, uint64_t features,
		     enum vio_drop *why)
{
	if (frame_len < VIO_ETH_MIN_LEN)
		return refuse(why, VIO_DROP_SHORT);
	if (frame_len > VIO_FRAME_MAX_LEN)
		return refuse(why, VIO_DROP_TOO_BIG);

	if (!(features & vio_feature(VIO_NET_F_GUEST_CSUM))) {
		/* Its checksum would be incomplete, and the driver does not look. */
		if (meta->flags & VIO_NET_HDR_F_NEEDS_CSUM)
			return refuse(why, VIO_DROP_BAD_HEADER);
		meta->flags = 0;
	}
	if (settle_rsc(meta, features))
		return refuse(why, VIO_DROP_BAD_HEADER);
	meta->flags &= VIO_NET_HDR_F_NEEDS_CSUM | VIO_NET_HDR_F_DATA_VALID;

	if (meta->flags & VIO_NET_HDR_F_NEEDS_CSUM && !csum_inside(meta, frame_len))
		return refuse(why, VIO_DROP_BAD_CSUM);
	if (meta->gso_type != VIO_NET_HDR_GSO_NONE &&
	    !gso_ok(meta, features, &rx_rules, VIO_NET_HDR_F_NEEDS_CSUM | VIO_NET_HDR_F_DATA_VALID))
		return refuse(why, VIO_DROP_BAD_GSO);

	normalise(meta, frame_len);
	return 0;
}
