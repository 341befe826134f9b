/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completing a checksum that the sender left to us.
 *
 * The sender's memory is not ours to write, even where it could be: a driver may send the same
 * bytes twice. So the headers move to private memory, as far as the checksum field, and only what
 * comes behind is still referred to.
 *
 * An ordinary frame is taken at its word (virtio 1.4, 5.1.9.2): sum up everything from csum_start,
 * where the field itself holds the pseudo header's sum, and store the complement. Nothing is
 * parsed, so it works for protocols that we never heard of. In a GSO frame the field was preset
 * for the segments to come, whatever the sender took their length to be; there the pseudo header
 * is made anew from the frame's own headers.
 */
#include <errno.h>
#include <string.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/iov.h"
#include "net/csum.h"
#include "net/parse.h"

/* What is summed up, and where the result goes; offsets in the frame. */
struct place {
	size_t start, field;
	uint64_t sum; /* to begin with */
	bool udp;     /* 0 means "no checksum" there, so it is written as its other form */
};

static int place_of_gso(uint8_t *scratch, size_t len, uint32_t frame_len, struct place *place)
{
	struct vio_headers h;
	size_t at;

	if (vio_parse(scratch, len, &h) || h.fragment || h.detour)
		return -EINVAL;
	at = vio_check_at(h.protocol);
	if (at == 0 || h.l4 + at + 2 > len)
		return -EINVAL;
	place->start = h.l4;
	place->field = h.l4 + at;
	place->sum = vio_csum_pseudo(scratch + h.l3, h.version, h.protocol, frame_len - h.l4);
	place->udp = h.protocol == VIO_IPPROTO_UDP;
	memset(scratch + place->field, 0, 2);
	return 0;
}

int vio_frame_complete_csum(struct vio_frame *frame, uint8_t scratch[VIO_HDR_SCRATCH],
			    struct vio_iov *iov, unsigned niov)
{
	struct vio_net_meta *meta = &frame->meta;
	struct place place = { 0 };
	uint16_t check;
	size_t end;
	int count;

	if (!(meta->flags & VIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	if (niov == 0)
		return -E2BIG;

	if (meta->gso_type != VIO_NET_HDR_GSO_NONE) {
		size_t len = vio_iov_to_buf(frame->iov, frame->iovcnt, 0, scratch,
					    vio_min(frame->len, (uint32_t)VIO_HDR_SCRATCH));

		if (place_of_gso(scratch, len, frame->len, &place))
			return -EINVAL;
		end = place.field + 2;
	} else {
		place.start = meta->csum_start;
		place.field = place.start + meta->csum_offset;
		place.udp = meta->csum_offset == vio_check_at(VIO_IPPROTO_UDP);
		end = place.field + 2;
		if (end > VIO_HDR_SCRATCH || end > frame->len ||
		    vio_iov_to_buf(frame->iov, frame->iovcnt, 0, scratch, end) < end)
			return -EINVAL;
	}

	count = vio_iov_slice(iov + 1, vio_min(niov - 1, UINT16_MAX - 1u), frame->iov,
			      frame->iovcnt, end, frame->len - end);
	if (count < 0)
		return count;
	iov[0].base = scratch;
	iov[0].len = end;

	check = vio_csum_fold(vio_csum_iov(iov, (unsigned)count + 1, place.start,
					   frame->len - place.start, place.sum));
	if (check == 0 && place.udp)
		check = 0xffff;
	memcpy(scratch + place.field, &check, sizeof(check));

	frame->iov = iov;
	frame->iovcnt = (uint16_t)(count + 1);
	meta->flags &= (uint8_t)~VIO_NET_HDR_F_NEEDS_CSUM;
	meta->csum_start = 0;
	meta->csum_offset = 0;
	return 0;
}
