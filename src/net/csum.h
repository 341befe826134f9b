/* SPDX-License-Identifier: BSD-2-Clause */
/* Checksum pieces that the rest of this folder uses. See csum.c. */
#ifndef VIO_NET_CSUM_H
#define VIO_NET_CSUM_H

#include <stddef.h>
#include <stdint.h>

/* What vio_csum_add() does, one variant each. @sum is an earlier result or 0. */
typedef uint64_t vio_csum_fn(const void *p, size_t len, uint64_t sum);

/* The variant that runs everywhere, and says what the others must do. */
vio_csum_fn vio_csum_scalar;

/* The variant for long pieces at the level of base/simd.h that is chosen now. */
vio_csum_fn *vio_csum_long(void);

/* Adds two sums in one's complement: the carry comes round. */
static inline uint64_t vio_csum_join(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/*
 * The sum of TCP's or UDP's pseudo header, as in memory: addresses from the IP header at @ip (of
 * @version 4 or 6), @protocol, and @len bytes of transport header and payload.
 */
uint64_t vio_csum_pseudo(const uint8_t *ip, uint8_t version, uint8_t protocol, uint32_t len);

#endif
