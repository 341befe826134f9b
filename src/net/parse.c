/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the headers of a frame: Ethernet with up to two VLAN tags, IPv4 with options, IPv6 with
 * extension headers.
 *
 * Parsing always happens in a private copy of the first bytes (vio_frame_peek()), never in memory
 * that the peer can still write, and it is bounded twice: by the bytes that are there and, for the
 * chain of IPv6 extension headers, by a number of steps. Every length that a header states is
 * checked against what is there before it is used.
 *
 * Total lengths stated by IP are not looked at. The frame's own length decides, as it does in
 * Linux for frames that are to be segmented: who asks for segmentation of a frame means all of it,
 * and the lengths are written anew in each segment.
 */
#include <errno.h>

#include <vioduct/frame.h>

#include "base/endian.h"
#include "net/parse.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define VLAN_TAG_LEN   4
#define VLAN_TAGS_MAX  2

/* More extension headers than this are a way to waste our time. */
#define EXTENSIONS_MAX 8

enum {
	EXT_HOP_BY_HOP = 0,
	EXT_ROUTING = 43,
	EXT_AUTH = 51,
	EXT_DESTINATION = 60,
};

static int parse_ipv4(const uint8_t *p, size_t len, struct vio_headers *h)
{
	const uint8_t *ip = p + h->l3;
	size_t ihl;

	if (len - h->l3 < VIO_IPV4_HLEN || ip[0] >> 4 != 4)
		return -EINVAL;
	ihl = (ip[0] & 15u) * 4;
	if (ihl < VIO_IPV4_HLEN || ihl > len - h->l3)
		return -EINVAL;
	h->version = 4;
	h->protocol = ip[9];
	h->detour = false;
	h->fragment = vio_get_be16(ip + 6) & 0x3fff; /* MF or an offset */
	h->l4 = (uint16_t)(h->l3 + ihl);
	h->split = h->l4;
	h->split_at = 0;
	return 0;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == EXT_HOP_BY_HOP || protocol == EXT_ROUTING || protocol == EXT_AUTH ||
	       protocol == EXT_DESTINATION || protocol == VIO_IPPROTO_FRAGMENT;
}

/*
 * A fragment header goes behind the last routing header, else behind hop-by-hop options, else
 * behind the IPv6 header (RFC 8200, 4.5): everything up to there concerns each hop.
 */
static int parse_ipv6(const uint8_t *p, size_t len, struct vio_headers *h)
{
	size_t at = h->l3 + VIO_IPV6_HLEN;
	size_t next_at = h->l3 + 6u;
	unsigned steps;

	if (len - h->l3 < VIO_IPV6_HLEN || p[h->l3] >> 4 != 6)
		return -EINVAL;
	h->version = 6;
	h->detour = false;
	h->fragment = false;
	h->split = (uint16_t)at;
	h->split_at = (uint16_t)next_at;

	for (steps = 0; is_extension(p[next_at]); steps++) {
		uint8_t type = p[next_at];
		size_t size;

		if (steps == EXTENSIONS_MAX || len - at < 8)
			return -EINVAL;
		size = type == EXT_AUTH ? (p[at + 1] + 2u) * 4 : (p[at + 1] + 1u) * 8;
		if (type == VIO_IPPROTO_FRAGMENT) {
			h->fragment = true;
			size = VIO_FRAGMENT_HLEN; /* its second byte is reserved */
		}
		if (size > len - at)
			return -EINVAL;
		if (type == EXT_ROUTING && p[at + 3])
			h->detour = true; /* segments left */
		next_at = at;
		at += size;
		if (type == EXT_HOP_BY_HOP || type == EXT_ROUTING) {
			h->split = (uint16_t)at;
			h->split_at = (uint16_t)next_at;
		}
		if (h->fragment)
			break;
	}
	h->protocol = p[next_at];
	h->l4 = (uint16_t)at;
	return 0;
}

int vio_parse(const uint8_t *p, size_t len, struct vio_headers *h)
{
	unsigned type, tags;

	if (len < VIO_ETH_HLEN || len > VIO_HDR_SCRATCH)
		return -EINVAL;
	h->l3 = VIO_ETH_HLEN;
	type = vio_get_be16(p + VIO_ETH_HLEN - 2);
	for (tags = 0; type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ; tags++) {
		if (tags == VLAN_TAGS_MAX || len - h->l3 < VLAN_TAG_LEN)
			return -EINVAL;
		type = vio_get_be16(p + h->l3 + 2);
		h->l3 = (uint16_t)(h->l3 + VLAN_TAG_LEN);
	}
	if (type == ETHERTYPE_IPV4)
		return parse_ipv4(p, len, h);
	if (type == ETHERTYPE_IPV6)
		return parse_ipv6(p, len, h);
	return -EINVAL;
}
