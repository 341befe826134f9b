/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of `vioduct ping`.
 *
 * IPv4 resolves the next hop by ARP (RFC 826), IPv6 by neighbour solicitation (RFC 4861); then echo
 * requests go to it (RFC 792, RFC 4443). What comes back is read with its own lengths held against
 * the frame's: each parser gets a part that is known to be there and the number of its bytes.
 * Fragments and extension headers are not read: nobody needs them to answer a ping of one frame.
 */
#include "ping_net.h"

#include <string.h>

#include <vioduct/frame.h>

#include "base/endian.h"

#define ETH_IP4	 0x0800
#define ETH_ARP	 0x0806
#define ETH_IP6	 0x86dd
#define IP_AT	 VIO_ETH_HLEN
#define IP4_LEN	 20
#define IP6_LEN	 40
#define ARP_LEN	 28
#define ECHO_LEN 8
#define ND_LEN	 32 /* solicitation or advertisement with one link-layer address */

#define PROTO_ICMP  1
#define PROTO_ICMP6 58

enum { ICMP_REPLY = 0, ICMP_ECHO = 8 };
enum {
	ICMP6_ECHO = 128,
	ICMP6_REPLY = 129,
	ICMP6_SOLICIT = 135,
	ICMP6_ADVERTISE = 136,
};

static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t no_address[16];

/* ------------------------------------------------------------------------------------------
 * Making frames
 */
static void put_eth(uint8_t *frame, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	vio_put_be16(frame + 12, type);
}

static uint32_t pad(uint8_t *frame, uint32_t len)
{
	if (len >= PING_FRAME_MIN)
		return len;
	memset(frame + len, 0, PING_FRAME_MIN - len);
	return PING_FRAME_MIN;
}

static void put_ip4(const struct ping_host *host, uint8_t *ip, uint32_t payload)
{
	uint16_t sum;

	memset(ip, 0, IP4_LEN);
	ip[0] = 0x45;
	vio_put_be16(ip + 2, (uint16_t)(IP4_LEN + payload));
	ip[6] = 0x40; /* not to be fragmented */
	ip[8] = 64;
	ip[9] = PROTO_ICMP;
	memcpy(ip + 12, host->address, 4);
	memcpy(ip + 16, host->target, 4);
	sum = vio_csum_fold(vio_csum_add(ip, IP4_LEN, 0));
	memcpy(ip + 10, &sum, 2);
}

/* The sum of what an ICMPv6 message of @len bytes behind the header @ip stands on (RFC 8200, 8.1). */
static uint64_t pseudo_sum(const uint8_t *ip, uint32_t len)
{
	uint8_t tail[8] = { 0, 0, 0, 0, 0, 0, 0, PROTO_ICMP6 };

	vio_put_be32(tail, len);
	return vio_csum_add(tail, sizeof(tail), vio_csum_add(ip + 8, 32, 0));
}

/* Header and checksum around the ICMPv6 message that is already there. */
static void put_ip6(const struct ping_host *host, uint8_t *ip, const uint8_t *to, uint32_t len)
{
	uint8_t *icmp = ip + IP6_LEN;
	uint16_t sum;

	memset(ip, 0, IP6_LEN);
	ip[0] = 0x60;
	vio_put_be16(ip + 4, (uint16_t)len);
	ip[6] = PROTO_ICMP6;
	ip[7] = 255; /* what neighbour discovery demands does for echo too */
	memcpy(ip + 8, host->address, 16);
	memcpy(ip + 24, to, 16);
	memset(icmp + 2, 0, 2);
	sum = vio_csum_fold(vio_csum_add(icmp, len, pseudo_sum(ip, len)));
	memcpy(icmp + 2, &sum, 2);
}

static uint32_t put_arp(const struct ping_host *host, uint16_t op, const uint8_t *to_mac,
			const uint8_t *to, uint8_t *frame)
{
	static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 }; /* Ethernet, IPv4, and their lengths */
	uint8_t *arp = frame + IP_AT;

	put_eth(frame, to_mac, host->mac, ETH_ARP);
	memcpy(arp, head, sizeof(head));
	vio_put_be16(arp + 6, op);
	memcpy(arp + 8, host->mac, 6);
	memcpy(arp + 14, host->address, 4);
	if (op == 1)
		memset(arp + 18, 0, 6);
	else
		memcpy(arp + 18, to_mac, 6);
	memcpy(arp + 24, to, 4);
	return pad(frame, IP_AT + ARP_LEN);
}

/* A solicitation or advertisement of @about, with our MAC as the source's or the target's. */
static uint32_t put_nd(const struct ping_host *host, uint8_t type, const uint8_t *to_mac,
		       const uint8_t *to, const uint8_t *about, uint8_t *frame)
{
	uint8_t *icmp = frame + IP_AT + IP6_LEN;

	put_eth(frame, to_mac, host->mac, ETH_IP6);
	memset(icmp, 0, 8);
	icmp[0] = type;
	if (type == ICMP6_ADVERTISE)
		icmp[4] = 0x60; /* solicited, override */
	memcpy(icmp + 8, about, 16);
	icmp[24] = type == ICMP6_SOLICIT ? 1 : 2;
	icmp[25] = 1;
	memcpy(icmp + 26, host->mac, 6);
	put_ip6(host, frame + IP_AT, to, ND_LEN);
	return IP_AT + IP6_LEN + ND_LEN;
}

uint32_t ping_solicit(const struct ping_host *host, uint8_t *frame)
{
	/* The next hop's solicited-node address and the MAC that stands for it (RFC 4291, 2.7.1). */
	uint8_t group[16] = { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
	uint8_t mac[6] = { 0x33, 0x33, 0xff };

	if (!host->v6)
		return put_arp(host, 1, broadcast, host->next_hop, frame);
	memcpy(group + 13, host->next_hop + 13, 3);
	memcpy(mac + 3, host->next_hop + 13, 3);
	return put_nd(host, ICMP6_SOLICIT, mac, group, host->next_hop, frame);
}

/* Byte @i of the data of echo request @seq. */
static uint8_t data_byte(uint16_t seq, uint32_t i)
{
	return (uint8_t)(i * 7 + seq * 13u + (i >> 8));
}

uint32_t ping_echo(const struct ping_host *host, uint16_t seq, uint32_t size, uint8_t *frame)
{
	uint8_t *icmp = frame + IP_AT + (host->v6 ? IP6_LEN : IP4_LEN);
	uint32_t len = ECHO_LEN + size, i;
	uint16_t sum;

	put_eth(frame, host->next_mac, host->mac, host->v6 ? ETH_IP6 : ETH_IP4);
	memset(icmp, 0, 4);
	icmp[0] = host->v6 ? ICMP6_ECHO : ICMP_ECHO;
	vio_put_be16(icmp + 4, host->id);
	vio_put_be16(icmp + 6, seq);
	for (i = 0; i < size; i++)
		icmp[ECHO_LEN + i] = data_byte(seq, i);
	if (host->v6) {
		put_ip6(host, frame + IP_AT, host->target, len);
	} else {
		put_ip4(host, frame + IP_AT, len);
		sum = vio_csum_fold(vio_csum_add(icmp, len, 0));
		memcpy(icmp + 2, &sum, 2);
	}
	return pad(frame, (uint32_t)(icmp - frame) + len);
}

/* ------------------------------------------------------------------------------------------
 * Reading frames
 */
static enum ping_event learn(struct ping_host *host, const uint8_t *mac)
{
	memcpy(host->next_mac, mac, 6);
	host->resolved = true;
	return PING_RESOLVED;
}

static enum ping_event receive_arp(struct ping_host *host, const uint8_t *arp, uint32_t len,
				   uint8_t *answer, struct ping_seen *seen)
{
	uint16_t op;

	if (len < ARP_LEN || vio_get_be16(arp) != 1 || vio_get_be16(arp + 2) != ETH_IP4)
		return PING_NOTHING;
	op = vio_get_be16(arp + 6);
	if (op == 2 && memcmp(arp + 14, host->next_hop, 4) == 0)
		return learn(host, arp + 8);
	if (op != 1 || memcmp(arp + 24, host->address, 4) != 0)
		return PING_NOTHING;
	seen->answer_len = put_arp(host, 2, arp + 8, arp + 14, answer);
	return PING_ASKED;
}

/* The link-layer address of kind @kind among the options of a neighbour message, or NULL. */
static const uint8_t *nd_option(const uint8_t *icmp, uint32_t len, uint8_t kind)
{
	uint32_t at = 24;

	while (at + 8 <= len && icmp[at + 1]) {
		if (icmp[at] == kind)
			return icmp + at + 2;
		at += icmp[at + 1] * 8u;
	}
	return NULL;
}

static enum ping_event receive_nd(struct ping_host *host, const uint8_t *frame, const uint8_t *icmp,
				  uint32_t len, uint8_t *answer, struct ping_seen *seen)
{
	const uint8_t *ip = frame + IP_AT, *mac;

	if (len < 24 || ip[7] != 255) /* RFC 4861, 7.1.1: anything less came from elsewhere */
		return PING_NOTHING;
	if (icmp[0] == ICMP6_ADVERTISE) {
		if (memcmp(icmp + 8, host->next_hop, 16) != 0)
			return PING_NOTHING;
		mac = nd_option(icmp, len, 2);
		return learn(host, mac ? mac : frame + 6);
	}
	/* Who asks from no address only sees whether ours is free (RFC 4862), and it asks too late. */
	if (memcmp(icmp + 8, host->address, 16) != 0 || memcmp(ip + 8, no_address, 16) == 0)
		return PING_NOTHING;
	mac = nd_option(icmp, len, 1);
	seen->answer_len =
		put_nd(host, ICMP6_ADVERTISE, mac ? mac : frame + 6, ip + 8, host->address, answer);
	return PING_ASKED;
}

static enum ping_event receive_reply(const struct ping_host *host, const uint8_t *icmp,
				     uint32_t len, struct ping_seen *seen)
{
	uint32_t i;

	if (len < ECHO_LEN || vio_get_be16(icmp + 4) != host->id)
		return PING_NOTHING;
	seen->seq = vio_get_be16(icmp + 6);
	seen->size = len - ECHO_LEN;
	for (i = 0; i < seen->size; i++)
		if (icmp[ECHO_LEN + i] != data_byte(seen->seq, i))
			seen->corrupt = true;
	return PING_REPLY;
}

static enum ping_event receive_ip4(struct ping_host *host, const uint8_t *ip, uint32_t len,
				   struct ping_seen *seen)
{
	uint32_t header, total;
	const uint8_t *icmp;

	if (len < IP4_LEN || ip[0] >> 4 != 4)
		return PING_NOTHING;
	header = (ip[0] & 15u) * 4;
	total = vio_get_be16(ip + 2);
	if (header < IP4_LEN || total > len || header + ECHO_LEN > total || ip[9] != PROTO_ICMP ||
	    (vio_get_be16(ip + 6) & 0x3fff) || memcmp(ip + 16, host->address, 4) != 0)
		return PING_NOTHING;
	icmp = ip + header;
	seen->ttl = ip[8];
	memcpy(seen->from, ip + 12, 4);
	seen->corrupt = vio_csum_fold(vio_csum_add(ip, header, 0)) != 0 ||
			vio_csum_fold(vio_csum_add(icmp, total - header, 0)) != 0;
	return icmp[0] == ICMP_REPLY ? receive_reply(host, icmp, total - header, seen) :
				       PING_NOTHING;
}

static enum ping_event receive_ip6(struct ping_host *host, const uint8_t *frame, uint32_t len,
				   uint8_t *answer, struct ping_seen *seen)
{
	const uint8_t *ip = frame + IP_AT, *icmp = ip + IP6_LEN;
	uint32_t size;

	if (len < IP6_LEN + ECHO_LEN || ip[0] >> 4 != 6 || ip[6] != PROTO_ICMP6)
		return PING_NOTHING;
	size = vio_get_be16(ip + 4);
	if (size < ECHO_LEN || size > len - IP6_LEN)
		return PING_NOTHING;
	seen->ttl = ip[7];
	memcpy(seen->from, ip + 8, 16);
	seen->corrupt = vio_csum_fold(vio_csum_add(icmp, size, pseudo_sum(ip, size))) != 0;
	if (icmp[0] == ICMP6_SOLICIT || icmp[0] == ICMP6_ADVERTISE)
		return seen->corrupt ? PING_NOTHING :
				       receive_nd(host, frame, icmp, size, answer, seen);
	if (icmp[0] != ICMP6_REPLY || memcmp(ip + 24, host->address, 16) != 0)
		return PING_NOTHING;
	return receive_reply(host, icmp, size, seen);
}

enum ping_event ping_receive(struct ping_host *host, const uint8_t *frame, uint32_t len,
			     uint8_t *answer, struct ping_seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	if (len < VIO_ETH_HLEN || (!(frame[0] & 1) && memcmp(frame, host->mac, 6) != 0))
		return PING_NOTHING;
	switch (vio_get_be16(frame + 12)) {
	case ETH_ARP:
		return host->v6 ? PING_NOTHING :
				  receive_arp(host, frame + IP_AT, len - IP_AT, answer, seen);
	case ETH_IP4:
		return host->v6 ? PING_NOTHING :
				  receive_ip4(host, frame + IP_AT, len - IP_AT, seen);
	case ETH_IP6:
		return host->v6 ? receive_ip6(host, frame, len - IP_AT, answer, seen) :
				  PING_NOTHING;
	default:
		return PING_NOTHING;
	}
}
