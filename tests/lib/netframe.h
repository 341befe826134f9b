/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames for tests: built from a description, with contents from a seeded generator, and slow
 * straightforward answers to compare with: what the checksum is, what the segments are. The answers
 * use the description and none of the code under test.
 */
#ifndef TESTLIB_NETFRAME_H
#define TESTLIB_NETFRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/frame.h>

#define NETFRAME_MAX 66000

/* A generator with a period long enough; any seed but 0. */
uint64_t netframe_random(uint64_t *seed);
/* A number in [@low, @high]. */
uint32_t netframe_between(uint64_t *seed, uint32_t low, uint32_t high);

/* What a frame is to be. */
struct netframe_spec {
	unsigned vlan_tags;
	bool ipv6;
	unsigned ip_options;	      /* IPv4: bytes, a multiple of 4 up to 40 */
	bool hop_by_hop, destination; /* IPv6: extension headers */
	bool udp;		      /* else TCP */
	unsigned tcp_options;	      /* bytes, a multiple of 4 up to 40 */
	uint8_t tcp_flags;
	uint32_t payload; /* bytes */
	uint8_t gso_type;
	uint16_t gso_size;
	bool needs_csum; /* the field holds the pseudo header's sum, and meta says so */
};

struct netframe {
	struct netframe_spec spec;
	uint8_t bytes[NETFRAME_MAX];
	uint32_t len;
	uint32_t l3, split, l4, payload_at; /* split: where a fragment header belongs */
	struct vio_net_meta meta;
};

/* Every kind of segmentation there is, ECN included. */
#define NETFRAME_GSO_TYPES 6
extern const uint8_t netframe_gso_types[NETFRAME_GSO_TYPES];

/* The bytes of a frame in pieces, one after the other. Returns how many. */
uint32_t netframe_flatten(const struct vio_frame *f, uint8_t *to);

/* Builds what @spec says. */
void netframe_build(struct netframe *f, const struct netframe_spec *spec, uint64_t *seed);

/* A description of a frame that can be cut: any @gso_type, sizes within what is valid. */
struct netframe_spec netframe_random_gso(uint8_t gso_type, uint64_t *seed);

/* The checksum of the transport header in @bytes, a frame of @len with headers as in @f, computed
 * a byte at a time; host order; 0 stays 0. The field counts as 0. */
uint16_t netframe_transport_check(const struct netframe *f, const uint8_t *bytes, uint32_t len);
/* The complement of the one's complement sum, likewise. */
uint16_t netframe_plain_check(const uint8_t *bytes, uint32_t len, uint32_t sum);

/*
 * The bytes of segment @index of @f, into @out. Returns its length, 0 when there is no such
 * segment. IPv6 fragments have the identification 0.
 */
uint32_t netframe_segment(const struct netframe *f, unsigned index, uint8_t out[NETFRAME_MAX]);

/* Likewise when nothing may be left to do: its segments, or once the frame with its checksum. */
uint32_t netframe_finished(const struct netframe *f, unsigned index, uint8_t out[NETFRAME_MAX]);
/* Makes the identification 0 in a fragment of @f, which whoever cuts it up chooses. Leaves alone
 * what is no IPv6 fragment. */
void netframe_clear_id(const struct netframe *f, uint8_t *bytes);

/*
 * @len bytes at @bytes as a frame in pieces of random lengths, empty ones among them, each
 * allocated by itself so that a step beyond it is noticed. @max_pieces is at least 1.
 */
struct vio_frame *netframe_scatter(const uint8_t *bytes, uint32_t len,
				   const struct vio_net_meta *meta, unsigned max_pieces,
				   uint64_t *seed);
void netframe_free(struct vio_frame *frame);

#endif
