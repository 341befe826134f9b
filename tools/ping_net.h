/* SPDX-License-Identifier: BSD-2-Clause */
/* As much of ARP, ICMP, neighbour discovery and ICMPv6 as `vioduct ping` needs. */
#ifndef PING_NET_H
#define PING_NET_H

#include <stdbool.h>
#include <stdint.h>

#define PING_FRAME_MIN 60  /* shorter frames are filled up with zeros */
#define PING_HEAD_MAX  62  /* Ethernet, IPv6 and echo headers */
#define PING_SHORT_MAX 128 /* a frame that is not an echo request is never longer */

/* One end of an exchange. Addresses are in network order, 4 or 16 bytes in use. */
struct ping_host {
	bool v6;
	uint16_t id; /* of our echo requests */
	uint8_t mac[6];
	uint8_t address[16];
	uint8_t target[16];
	uint8_t next_hop[16]; /* the target, or the gateway to it */
	bool resolved;	      /* the next hop's MAC is known: */
	uint8_t next_mac[6];
};

enum ping_event {
	PING_NOTHING,  /* a frame that is not for us */
	PING_RESOLVED, /* the next hop told its MAC */
	PING_ASKED,    /* somebody asked for our MAC: *answer is to be sent */
	PING_REPLY,    /* an answer to one of our echo requests */
};

/* What came with it. */
struct ping_seen {
	uint16_t seq;
	uint32_t size; /* bytes of data that came back */
	bool corrupt;  /* they, or the checksum, are not as they were sent */
	uint8_t ttl;
	uint8_t from[16];
	uint32_t answer_len; /* PING_ASKED */
};

/* Each makes a frame and returns its length: the question for the next hop's MAC (up to
 * PING_SHORT_MAX bytes), and an echo request with @size bytes of data told by its number. */
uint32_t ping_solicit(const struct ping_host *host, uint8_t *frame);
uint32_t ping_echo(const struct ping_host *host, uint16_t seq, uint32_t size, uint8_t *frame);

/* Looks at a received frame. @answer has room for PING_SHORT_MAX bytes. */
enum ping_event ping_receive(struct ping_host *host, const uint8_t *frame, uint32_t len,
			     uint8_t *answer, struct ping_seen *seen);

#endif
