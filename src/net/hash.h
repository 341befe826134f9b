/* SPDX-License-Identifier: BSD-2-Clause */
/* The Toeplitz hash, of receive-side scaling and of flows. See hash.c. */
#ifndef VIO_NET_HASH_H
#define VIO_NET_HASH_H

#include "net/parse.h"

#define VIO_TOEPLITZ_KEY   40 /* bytes of a key: what virtio 1.4, 5.1.4, wants as the least maximum */
#define VIO_TOEPLITZ_INPUT 36 /* bytes hashed at most: two IPv6 addresses and two ports */

/* A key, prepared: what each half byte of the input, by place and value, adds to the hash. */
struct vio_toeplitz {
	uint32_t add[VIO_TOEPLITZ_INPUT * 2][16];
};

/* The key that is used where nobody has chosen one: the one of the published test vectors. */
extern const uint8_t vio_toeplitz_default_key[VIO_TOEPLITZ_KEY];

/* Prepares the @len bytes of @key; what it lacks is taken as zeroes, more than VIO_TOEPLITZ_KEY is
 * not looked at. */
void vio_toeplitz_init(struct vio_toeplitz *t, const uint8_t *key, size_t len);

/* The hash of the @len bytes at @p, at most VIO_TOEPLITZ_INPUT. */
uint32_t vio_toeplitz(const struct vio_toeplitz *t, const uint8_t *p, size_t len);

/*
 * The hash of a received frame as virtio 1.4, 5.1.9.4.3, defines it: @p has the first @len bytes in
 * private memory, parsed as @h, and @types (VIO_NET_HASH_TYPE_*) are enabled. Returns it, with
 * VIO_NET_HASH_REPORT_* in *@report: NONE, and 0, when none of the types fits.
 */
uint32_t vio_rss_hash(const struct vio_toeplitz *t, uint32_t types, const uint8_t *p, size_t len,
		      const struct vio_headers *h, uint16_t *report);

/*
 * A hash of the flow that the frame at @p belongs to, parsed as above: the same in both directions.
 * Fragments count as a flow of their own, without ports.
 */
uint32_t vio_flow_hash(const struct vio_toeplitz *t, const uint8_t *p, size_t len,
		       const struct vio_headers *h);

#endif
