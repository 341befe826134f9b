/* SPDX-License-Identifier: BSD-2-Clause */
/* What the net header says of a frame's own headers. */
#include "driver/driver.h"

#define TCP_DATA_OFFSET 12 /* the byte whose high half is the header's length in words */
#define UDP_HLEN	8

/* Byte @at of a frame, 0 past its end. */
static uint8_t byte_at(const struct vio_buf *buf, uint32_t at)
{
	for (; buf; buf = buf->next) {
		if (at < buf->len)
			return vio_buf_data(buf)[at];
		at -= buf->len;
	}
	return 0;
}

/*
 * With GUEST_HDRLEN hdr_len is no hint: it is where the transport's payload begins in a frame that is
 * to be cut up (virtio 1.4, 5.1.9.2.1). Checksumming begins at the transport header, so that is
 * all that has to be measured. A frame of which no checksum is asked (UDP's 0, which only UFO allows)
 * keeps what the caller said.
 */
uint16_t vio_driver_exact_hdr_len(const struct vio_buf *frame, const struct vio_net_meta *meta)
{
	uint32_t words;

	if (!(meta->flags & VIO_NET_HDR_F_NEEDS_CSUM))
		return meta->hdr_len;
	switch (meta->gso_type & (uint8_t)~VIO_NET_HDR_GSO_ECN) {
	case VIO_NET_HDR_GSO_TCPV4:
	case VIO_NET_HDR_GSO_TCPV6:
		words = byte_at(frame, (uint32_t)meta->csum_start + TCP_DATA_OFFSET) >> 4;
		return (uint16_t)(meta->csum_start + 4 * words);
	default:
		return (uint16_t)(meta->csum_start + UDP_HLEN);
	}
}
