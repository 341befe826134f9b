/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a frame's headers are. See parse.c. */
#ifndef VIO_NET_PARSE_H
#define VIO_NET_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIO_IPPROTO_TCP	     6
#define VIO_IPPROTO_UDP	     17
#define VIO_IPPROTO_FRAGMENT 44

#define VIO_IPV4_HLEN	  20
#define VIO_IPV6_HLEN	  40
#define VIO_TCP_HLEN	  20
#define VIO_UDP_HLEN	  8
#define VIO_FRAGMENT_HLEN 8

/* What vio_parse() found. Offsets are from the start of the frame and lie within what it saw. */
struct vio_headers {
	uint16_t l3;	   /* the IP header */
	uint16_t l4;	   /* behind the IP header, its options and extension headers */
	uint16_t split;	   /* IPv6: where a fragment header belongs; IPv4: l4 */
	uint16_t split_at; /* IPv6: the byte that names the header at split */
	uint8_t version;   /* 4 or 6 */
	uint8_t protocol;  /* of what is at l4 */
	bool detour;	   /* IPv6: routed on to another destination, which the transport checksum
			      covers in place of the header's (RFC 8200, 8.1) */
	bool fragment;	   /* part of a datagram: there may be no transport header at l4 */
};

/*
 * Parses the @len bytes at @p, private memory with the beginning of an Ethernet frame. Returns 0;
 * -EINVAL when it isn't IP, is cut short or contradicts itself. The transport header is not looked
 * at: @h->l4 may be @len.
 */
int vio_parse(const uint8_t *p, size_t len, struct vio_headers *h);

/* Where TCP or UDP have their checksum, in bytes from the header's beginning; 0: another one. */
static inline unsigned vio_check_at(uint8_t protocol)
{
	return protocol == VIO_IPPROTO_TCP ? 16 : protocol == VIO_IPPROTO_UDP ? 6 : 0;
}

#endif
