/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte order. Values on the wire are little-endian (virtio 1.0 and later) or, for network headers,
 * big-endian. vio_get_* and vio_put_* take any alignment.
 */
#ifndef VIO_BASE_ENDIAN_H
#define VIO_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VIO_LITTLE_ENDIAN 1
#define vio_le16(x)	  ((uint16_t)(x))
#define vio_le32(x)	  ((uint32_t)(x))
#define vio_le64(x)	  ((uint64_t)(x))
#define vio_be16(x)	  __builtin_bswap16((uint16_t)(x))
#define vio_be32(x)	  __builtin_bswap32((uint32_t)(x))
#define vio_be64(x)	  __builtin_bswap64((uint64_t)(x))
#else
#define VIO_LITTLE_ENDIAN 0
#define vio_le16(x)	  __builtin_bswap16((uint16_t)(x))
#define vio_le32(x)	  __builtin_bswap32((uint32_t)(x))
#define vio_le64(x)	  __builtin_bswap64((uint64_t)(x))
#define vio_be16(x)	  ((uint16_t)(x))
#define vio_be32(x)	  ((uint32_t)(x))
#define vio_be64(x)	  ((uint64_t)(x))
#endif

static inline uint16_t vio_get_be16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return vio_be16(v);
}

static inline uint32_t vio_get_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return vio_be32(v);
}

static inline void vio_put_be16(void *p, uint16_t v)
{
	v = vio_be16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vio_put_be32(void *p, uint32_t v)
{
	v = vio_be32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t vio_get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return vio_le16(v);
}

static inline void vio_put_le16(void *p, uint16_t v)
{
	v = vio_le16(v);
	memcpy(p, &v, sizeof(v));
}

#endif
