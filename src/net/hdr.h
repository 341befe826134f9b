/* SPDX-License-Identifier: BSD-2-Clause */
/* The net header where it says what nearly all say: looked at in place, without decoding it. */
#ifndef VIO_NET_HDR_H
#define VIO_NET_HDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/endian.h"

/* What the header at @wire asks for: flags and segmentation, in one word. The other fields mean
 * nothing when that is 0 (virtio 1.4, 5.1.9.2). Reads two bytes, once. */
static vio_always_inline uint16_t vio_net_hdr_asks(const void *wire)
{
	uint16_t flags_gso;

	memcpy(&flags_gso, wire, sizeof(flags_gso));
	return flags_gso;
}

VIO_STATIC_ASSERT(offsetof(struct vio_net_meta, gso_type) ==
			  offsetof(struct vio_net_meta, flags) + 1,
		  "what asks for anything is one word");

/* What a decoded header asks for; 0: nothing. */
static vio_always_inline uint16_t vio_net_meta_asks(const struct vio_net_meta *meta)
{
	uint16_t asks;

	memcpy(&asks, (const char *)meta + offsetof(struct vio_net_meta, flags), sizeof(asks));
	return asks;
}

/* The words of a header of VIO_NET_HDR_SIZE bytes that says nothing but how many buffers. */
static vio_always_inline uint32_t vio_net_hdr_tail(uint16_t buffers)
{
	return vio_le32((uint32_t)buffers << 16); /* csum_offset, num_buffers */
}

/* Whether the header of VIO_NET_HDR_SIZE bytes at @wire says that the frame is in one buffer. Reads
 * two bytes, once. */
static vio_always_inline bool vio_net_hdr_says_one(const uint8_t *wire)
{
	uint16_t number;

	memcpy(&number, wire + offsetof(struct vio_net_hdr, num_buffers), sizeof(number));
	return number == vio_le16(1);
}

/* Whether there is anything else in the header of VIO_NET_HDR_SIZE bytes at @wire than that the
 * frame is in @buffers buffers; 0: nothing. Reads all of it once. */
static vio_always_inline uint64_t vio_net_hdr_says_more(const uint8_t *wire, uint16_t buffers)
{
	uint64_t is;
	uint32_t is_tail;

	memcpy(&is, wire, sizeof(is));
	memcpy(&is_tail, wire + sizeof(is), sizeof(is_tail));
	return is | (is_tail ^ vio_net_hdr_tail(buffers));
}

/* Makes it say only that. A header that does already is not written: its cache line then stays with
 * both sides. */
static vio_always_inline void vio_net_hdr_say_only(uint8_t *wire, uint16_t buffers)
{
	const uint32_t tail = vio_net_hdr_tail(buffers);

	if (vio_likely(vio_net_hdr_says_more(wire, buffers) == 0))
		return;
	memset(wire, 0, sizeof(uint64_t));
	memcpy(wire + sizeof(uint64_t), &tail, sizeof(tail));
}

#endif
