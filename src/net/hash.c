/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Toeplitz hash.
 *
 * Each bit of the input that is set adds (by exclusive or) the 32 bits of the key that begin at the
 * bit's own place. The hash is linear in its input, so what a half byte adds depends on its place
 * and value alone: a table of 16 words for each half byte of the longest input, 4.5 KiB a key, of
 * which a TCP/IPv4 frame touches 1.5. Tables for whole bytes would halve the look-ups and take
 * 36 KiB: more than the first cache has, for something that a burst of frames needs between other
 * things.
 *
 * Two hashes of a frame are made of it. That of receive-side scaling is the driver's: its key, its
 * choice of fields, and source before destination (virtio 1.4, 5.1.9.4.3). That of a flow is ours,
 * to find the queue pair that the guest uses for it, and must be the same for what the guest sends
 * and what it is sent: the end that is lower in its bytes comes first. (A key of period 16, which is
 * the usual way to have that, leaves 16 bits of hash of the exclusive or of all fields: addresses
 * and ports that count up together cancel each other out.)
 */
#include "net/hash.h"

#include <string.h>

#include <vioduct/virtio.h>

#include "base/endian.h"

#define IPV4_ADDRESSES 12 /* in the IP header */
#define IPV6_ADDRESSES 8
#define IPV4_ALEN      4
#define IPV6_ALEN      16
#define PORTS_LEN      4

#define EXT_DESTINATION	  60
#define EXT_ROUTING	  43
#define EXT_AUTH	  51
#define ROUTING_TYPE_HOME 2 /* RFC 6275, 6.4 */
#define OPT_PAD1	  0
#define OPT_HOME_ADDRESS  0xc9 /* RFC 6275, 6.3 */

const uint8_t vio_toeplitz_default_key[VIO_TOEPLITZ_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* The 32 bits of @key from bit @at on. */
static uint32_t window(const uint8_t key[VIO_TOEPLITZ_KEY + 1], unsigned at)
{
	uint64_t bits = (uint64_t)vio_get_be32(key + at / 8) << 8 | key[at / 8 + 4];

	return (uint32_t)(bits >> (8 - at % 8));
}

void vio_toeplitz_init(struct vio_toeplitz *t, const uint8_t *key, size_t len)
{
	uint8_t whole[VIO_TOEPLITZ_KEY + 1] = { 0 };
	unsigned place, value, bit;

	memcpy(whole, key, len < VIO_TOEPLITZ_KEY ? len : VIO_TOEPLITZ_KEY);
	for (place = 0; place < VIO_TOEPLITZ_INPUT * 2; place++)
		for (value = 0; value < 16; value++) {
			uint32_t add = 0;

			for (bit = 0; bit < 4; bit++)
				if (value & 8u >> bit)
					add ^= window(whole, place * 4 + bit);
			t->add[place][value] = add;
		}
}

uint32_t vio_toeplitz(const struct vio_toeplitz *t, const uint8_t *p, size_t len)
{
	const uint32_t(*add)[16] = t->add;
	uint32_t hash = 0;
	size_t i;

	for (i = 0; i < len; i++, add += 2)
		hash ^= add[0][p[i] >> 4] ^ add[1][p[i] & 15];
	return hash;
}

/* ------------------------------------------------------------------------------------------
 * What of a frame is hashed
 */

static bool has_ports(const struct vio_headers *h, uint8_t protocol, size_t len)
{
	return !h->fragment && h->protocol == protocol && len >= h->l4 + (size_t)PORTS_LEN;
}

/* The home address option among the @len bytes of options at @p, or NULL. */
static const uint8_t *home_address(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (p[at] == OPT_PAD1) {
			at++;
			continue;
		}
		if (len - at < 2 || len - at < 2u + p[at + 1])
			return NULL;
		if (p[at] == OPT_HOME_ADDRESS && p[at + 1] == IPV6_ALEN)
			return p + at + 2;
		at += 2u + p[at + 1];
	}
	return NULL;
}

/* The addresses that stand for the IPv6 header's own where mobility headers say others. What
 * vio_parse() has walked through ends at h->l4. */
static void find_home(const uint8_t *p, const struct vio_headers *h, const uint8_t **from,
		      const uint8_t **to)
{
	size_t at = h->l3 + (size_t)VIO_IPV6_HLEN;
	uint8_t type = p[h->l3 + 6];

	while (at + 8 <= h->l4 && type != VIO_IPPROTO_FRAGMENT) {
		const uint8_t *ext = p + at, *home = NULL;
		size_t size = type == EXT_AUTH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;

		if (size > h->l4 - at)
			return;
		if (type == EXT_DESTINATION)
			home = home_address(ext + 2, size - 2);
		if (home)
			*from = home;
		if (type == EXT_ROUTING && ext[2] == ROUTING_TYPE_HOME && size >= 8 + IPV6_ALEN)
			*to = ext + 8;
		type = ext[0];
		at += size;
	}
}

/* Which report goes with a frame that has @ports of @tcp or @udp, of the types from @ip on; NONE when
 * none is enabled. The three types of a kind are neighbours. */
static uint16_t choose(uint32_t types, unsigned ip_report, bool tcp, bool udp)
{
	uint32_t ip_type = 1u << (ip_report - 1);

	if (tcp && (types & ip_type << 1))
		return (uint16_t)(ip_report + 1);
	if (udp && (types & ip_type << 2))
		return (uint16_t)(ip_report + 2);
	return types & ip_type ? (uint16_t)ip_report : VIO_NET_HASH_REPORT_NONE;
}

uint32_t vio_rss_hash(const struct vio_toeplitz *t, uint32_t types, const uint8_t *p, size_t len,
		      const struct vio_headers *h, uint16_t *report)
{
	bool tcp = has_ports(h, VIO_IPPROTO_TCP, len), udp = has_ports(h, VIO_IPPROTO_UDP, len);
	size_t alen = h->version == 4 ? IPV4_ALEN : IPV6_ALEN;
	unsigned ip_report = h->version == 4 ? VIO_NET_HASH_REPORT_IPV4 : VIO_NET_HASH_REPORT_IPV6;
	const uint8_t *from = p + h->l3 + (h->version == 4 ? IPV4_ADDRESSES : IPV6_ADDRESSES);
	const uint8_t *to = from + alen;
	uint8_t input[VIO_TOEPLITZ_INPUT];

	*report = VIO_NET_HASH_REPORT_NONE;
	/* 5.1.9.4.3.4: extension headers count only where a type for them is enabled. */
	if (h->version == 6 && h->l4 != h->l3 + VIO_IPV6_HLEN)
		*report = choose(types, VIO_NET_HASH_REPORT_IPV6_EX, tcp, udp);
	if (*report != VIO_NET_HASH_REPORT_NONE) {
		find_home(p, h, &from, &to);
		ip_report = VIO_NET_HASH_REPORT_IPV6_EX;
	} else {
		*report = choose(types, ip_report, tcp, udp);
	}
	if (*report == VIO_NET_HASH_REPORT_NONE)
		return 0;
	memcpy(input, from, alen);
	memcpy(input + alen, to, alen);
	if (*report == ip_report)
		return vio_toeplitz(t, input, 2 * alen);
	memcpy(input + 2 * alen, p + h->l4, PORTS_LEN);
	return vio_toeplitz(t, input, 2 * alen + PORTS_LEN);
}

uint32_t vio_flow_hash(const struct vio_toeplitz *t, const uint8_t *p, size_t len,
		       const struct vio_headers *h)
{
	bool ports = has_ports(h, VIO_IPPROTO_TCP, len) || has_ports(h, VIO_IPPROTO_UDP, len);
	size_t alen = h->version == 4 ? IPV4_ALEN : IPV6_ALEN;
	const uint8_t *from = p + h->l3 + (h->version == 4 ? IPV4_ADDRESSES : IPV6_ADDRESSES);
	uint8_t input[VIO_TOEPLITZ_INPUT], *port = input + 2 * alen;
	const uint8_t *to = from + alen;
	int order = memcmp(from, to, alen);

	memset(port, 0, PORTS_LEN);
	if (ports)
		memcpy(port, p + h->l4, PORTS_LEN);
	if (order == 0)
		order = memcmp(port, port + 2, 2);
	memcpy(input, order > 0 ? to : from, alen);
	memcpy(input + alen, order > 0 ? from : to, alen);
	if (order > 0 && ports) {
		memcpy(port, p + h->l4 + 2, 2);
		memcpy(port + 2, p + h->l4, 2);
	}
	return vio_toeplitz(t, input, 2 * alen + PORTS_LEN);
}
