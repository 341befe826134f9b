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

/* Whether the header at @wire asks for nothing: no flags, no segmentation. The other fields mean
 * nothing then (virtio 1.4, 5.1.9.2). Reads two bytes, once. */
static vio_always_inline bool vio_net_hdr_plain(const void *wire)
{
	uint16_t flags_gso;

	memcpy(&flags_gso, wire, sizeof(flags_gso));
	return flags_gso == 0;
}

/* Whether a decoded header asks for anything. */
static vio_always_inline bool vio_net_meta_asks(const struct vio_net_meta *meta)
{
	return (meta->flags | meta->gso_type) != 0;
}

/* The words of a header of VIO_NET_HDR_SIZE bytes that says nothing but how many buffers. */
static vio_always_inline uint32_t vio_net_hdr_tail(uint16_t buffers)
{
	return vio_le32((uint32_t)buffers << 16); /* csum_offset, num_buffers */
}

/* Whether the header of VIO_NET_HDR_SIZE bytes at @wire says only that the frame is in @buffers
 * buffers; without @merged it may say any number, for there is one. Reads what counts once. */
static vio_always_inline bool vio_net_hdr_says_only(const uint8_t *wire, uint16_t buffers,
						    bool merged)
{
	uint16_t number;

	memcpy(&number, wire + offsetof(struct vio_net_hdr, num_buffers), sizeof(number));
	return vio_net_hdr_plain(wire) && (number == vio_le16(buffers) || vio_unlikely(!merged));
}

/* Makes all of it say that. A header that does already is not written: its cache line then stays with
 * both sides. */
static vio_always_inline void vio_net_hdr_say_only(uint8_t *wire, uint16_t buffers)
{
	const uint64_t nothing = 0;
	const uint32_t tail = vio_net_hdr_tail(buffers);
	uint64_t is;
	uint32_t is_tail;

	memcpy(&is, wire, sizeof(is));
	memcpy(&is_tail, wire + sizeof(is), sizeof(is_tail));
	if (vio_likely(is == nothing && is_tail == tail))
		return;
	memcpy(wire, &nothing, sizeof(nothing));
	memcpy(wire + sizeof(nothing), &tail, sizeof(tail));
}

#endif
