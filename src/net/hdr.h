/* SPDX-License-Identifier: BSD-2-Clause */
/* The net header where it says what nearly all say: looked at in place, without decoding it. */
#ifndef VIO_NET_HDR_H
#define VIO_NET_HDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/endian.h"

/* Whether the header at @wire asks for nothing: no flags, no segmentation. The other fields mean
 * nothing then (virtio 1.4, 5.1.9.2). Reads two bytes, once. */
static vio_always_inline bool vio_net_hdr_plain(const void *wire)
{
	uint16_t flags_gso;

	memcpy(&flags_gso, wire, sizeof(flags_gso));
	return flags_gso == 0;
}

/* The words of a header of VIO_NET_HDR_SIZE bytes that says nothing but how many buffers. */
static vio_always_inline uint32_t vio_net_hdr_tail(uint16_t buffers)
{
	return vio_le32((uint32_t)buffers << 16); /* csum_offset, num_buffers */
}

/* Whether the header of VIO_NET_HDR_SIZE bytes at @wire says only that the frame is in @buffers
 * buffers; without @merged it may say any number, for there is one. Reads it once. */
static vio_always_inline bool vio_net_hdr_says_only(const void *wire, uint16_t buffers, bool merged)
{
	const uint32_t mask = merged ? UINT32_MAX : vio_le32(UINT16_MAX);
	uint64_t low;
	uint32_t tail;

	memcpy(&low, wire, sizeof(low));
	memcpy(&tail, (const uint8_t *)wire + sizeof(low), sizeof(tail));
	return low == 0 && ((tail ^ vio_net_hdr_tail(buffers)) & mask) == 0;
}

/* Makes it say that. A header that does already is not written: its cache line then stays with both
 * sides. */
static vio_always_inline void vio_net_hdr_say_only(void *wire, uint16_t buffers)
{
	const uint64_t nothing = 0;
	const uint32_t tail = vio_net_hdr_tail(buffers);

	if (vio_likely(vio_net_hdr_says_only(wire, buffers, true)))
		return;
	memcpy(wire, &nothing, sizeof(nothing));
	memcpy((uint8_t *)wire + sizeof(nothing), &tail, sizeof(tail));
}

#endif
