/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways to hand a frame to a sink. */
#include <errno.h>

#include <vioduct/virtio.h>

#include "base/iov.h"
#include "internal.h"

int vio_sink_give(struct vio_sink *sink, const struct vio_frame *frame)
{
	struct vio_frame room = { .len = frame->len };

	if (sink->ops->reserve(sink, &room, 1) <= 0)
		return 0;
	if (vio_unlikely(room.len < frame->len)) {
		sink->ops->commit(sink, &room, 0);
		if (sink->wait)
			return 0;
		sink->ops->drop(sink, VIO_DROP_TOO_BIG, 1);
		return -E2BIG;
	}
	vio_iov_copy(room.iov, room.iovcnt, 0, frame->iov, frame->iovcnt, 0, frame->len);
	room.len = frame->len;
	room.meta = frame->meta;
	sink->ops->commit(sink, &room, 1);
	return 1;
}

/* UDP segmentation is accepted for each IP version by itself, but the type does not tell which. */
static uint32_t uso_version(const struct vio_frame *frame)
{
	uint8_t head[VIO_ETH_HLEN + 2 * 4 + 1];
	size_t n = vio_iov_to_buf(frame->iov, frame->iovcnt, 0, head, sizeof(head));
	size_t at = VIO_ETH_HLEN;

	/* The first nibble behind Ethernet and its VLAN tags is the IP version. */
	for (unsigned tags = 0; tags < 2 && at + 4 < n; tags++, at += 4) {
		if (head[at - 2] != 0x81 && head[at - 2] != 0x88 && head[at - 2] != 0x91)
			break;
		if (head[at - 2] == 0x88 && head[at - 1] != 0xa8)
			break;
	}
	return at < n && head[at] >> 4 == 6 ? VIO_OFFLOAD_USO6 : VIO_OFFLOAD_USO4;
}

uint32_t vio_frame_offloads(const struct vio_frame *frame)
{
	uint8_t gso = frame->meta.gso_type;
	uint32_t need = 0;

	if (frame->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM)
		need |= VIO_OFFLOAD_CSUM;
	if (gso == VIO_NET_HDR_GSO_NONE)
		return need;
	if (gso & VIO_NET_HDR_GSO_ECN)
		need |= VIO_OFFLOAD_ECN;
	switch (gso & VIO_NET_HDR_GSO_BASE_MASK) {
	case VIO_NET_HDR_GSO_TCPV4:
		return need | VIO_OFFLOAD_TSO4;
	case VIO_NET_HDR_GSO_TCPV6:
		return need | VIO_OFFLOAD_TSO6;
	case VIO_NET_HDR_GSO_UDP:
		return need | VIO_OFFLOAD_UFO;
	default:
		return need | uso_version(frame);
	}
}
