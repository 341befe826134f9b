/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames, as both halves and the back ends hand them on.
 *
 * A frame is an Ethernet frame without its checksum (FCS), in one or more pieces of memory, and
 * beside it what the virtio net header said, decoded to host order and checked once. Whoever gets a
 * struct vio_frame may trust its meta: offsets lie inside the frame, a GSO type has its size.
 */
#ifndef VIODUCT_FRAME_H
#define VIODUCT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_ETH_ALEN	6
#define VIO_ETH_HLEN	14
#define VIO_ETH_MIN_LEN 14 /* shorter than this is no frame */
#define VIO_FRAME_MAX_LEN \
	65589 /* virtio 1.4, 5.1.9.3: 65535 of IP behind Ethernet, VLAN and slack */

/* What the net header says (virtio 1.4, 5.1.9), in host order. All zero: nothing special. */
struct vio_net_meta {
	uint8_t flags;	      /* VIO_NET_HDR_F_* : NEEDS_CSUM, DATA_VALID */
	uint8_t gso_type;     /* VIO_NET_HDR_GSO_* with ECN */
	uint16_t hdr_len;     /* a hint, never trusted */
	uint16_t gso_size;    /* payload bytes of each segment; not 0 when gso_type is set */
	uint16_t csum_start;  /* where checksumming starts; valid with NEEDS_CSUM */
	uint16_t csum_offset; /* from there to the checksum field */
	uint16_t num_buffers; /* receive with MRG_RXBUF */
};

struct vio_frame {
	struct vio_iov *iov; /* the frame's bytes; iov[-1] is a spare entry that the holder of the
				 frame may use (to put a header in front without copying the array) */
	uint16_t iovcnt;
	uint32_t len; /* bytes of the frame; the pieces may hold more room than that */
	struct vio_net_meta meta;
};

/* Why a frame was dropped; counters are kept by these, and printed under their names. */
enum vio_drop {
	VIO_DROP_SHORT,	     /* no whole net header, or under 14 bytes of frame */
	VIO_DROP_TOO_BIG,    /* longer than the receiver can hold, or than any frame may be */
	VIO_DROP_BAD_HEADER, /* net header that contradicts itself or the frame */
	VIO_DROP_BAD_CSUM,   /* checksum offsets outside the frame */
	VIO_DROP_BAD_GSO,    /* segmentation asked for that was not negotiated or can't be done */
	VIO_DROP_LINK_DOWN,  /* sent or arrived while the link was down */
	VIO_DROP_NO_BUFFER,  /* the receiver gave no buffer and nothing could wait */
	VIO_DROP_BACKEND,    /* the back end refused it (I/O error) */
	VIO_DROP_NR
};

/* The name of a drop reason for counters ("bad_header"), constant; "?" out of range. */
VIO_API const char *vio_drop_name(enum vio_drop why);

/* Per queue and direction. Written by the queue's own thread, read by any: each counter is whole,
 * but two of them may belong to different moments. */
struct vio_queue_stats {
	uint64_t packets;
	uint64_t bytes; /* frame bytes, net header excluded */
	uint64_t kicks; /* notifications from the driver */
	uint64_t calls; /* interrupts raised */
	uint64_t drops[VIO_DROP_NR];
};

/* ------------------------------------------------------------------------------------------
 * The net header on the wire
 */

/*
 * Decodes the first @len bytes at @wire (at least 10) of a net header; fields beyond @len are 0.
 * @big_endian: a legacy peer of big-endian order (virtio 1.4, 5.1.9 legacy interface).
 */
VIO_API void vio_net_hdr_decode(const void *wire, size_t len, bool big_endian,
				struct vio_net_meta *meta);

/* Encodes @meta into @len bytes (10, 12, 20, 24 or 32; what lies beyond 12 is zeroed) at @wire. */
VIO_API void vio_net_hdr_encode(void *wire, size_t len, bool big_endian,
				const struct vio_net_meta *meta);

/*
 * Checks what a driver asked for when sending a frame of @frame_len bytes under the negotiated
 * @features (low 64 bits; the tunnel GSO types, which need higher ones, are refused), and
 * normalises it: unknown flags, those that only a device may set and num_buffers are cleared,
 * checksum fields are zeroed without NEEDS_CSUM and gso_size without a GSO type (virtio 1.4,
 * 5.1.9.2), hdr_len is cut to the frame. Returns 0, or -EINVAL with the reason in *@why.
 */
VIO_API int vio_net_check_tx(struct vio_net_meta *meta, uint32_t frame_len, uint64_t features,
			     enum vio_drop *why);

/*
 * Checks what a device said of a received frame under the negotiated @features (virtio 1.4,
 * 5.1.9.4) and normalises it likewise; num_buffers is left alone. Without GUEST_CSUM NEEDS_CSUM is
 * refused and other flags are cleared; without GUEST_* no such GSO type. RSC_INFO is never taken
 * for offsets: a coalesced packet comes out with DATA_VALID in place of NEEDS_CSUM, which says
 * what is known of it, and its GSO type. Returns 0, or -EINVAL with the reason in *@why.
 */
VIO_API int vio_net_check_rx(struct vio_net_meta *meta, uint32_t frame_len, uint64_t features,
			     enum vio_drop *why);

/* ------------------------------------------------------------------------------------------
 * Checksums and segmentation in software
 */

/* The one's complement sum of @len bytes at @p, added to @sum (as of earlier pieces, which had an
 * even length), not folded. */
VIO_API uint64_t vio_csum_add(const void *p, size_t len, uint64_t sum);
/* Folds to the 16 bits that go into a packet, complemented, in network order in memory: the value
 * is stored as it is, not converted. */
VIO_API uint16_t vio_csum_fold(uint64_t sum);
/* vio_csum_add() over the bytes [@off, @off + @len) of @iov, pieces of any length. */
VIO_API uint64_t vio_csum_iov(const struct vio_iov *iov, unsigned iovcnt, size_t off, size_t len,
			      uint64_t sum);

/* Private copy of a frame's headers, so that a checksum or a segment's own headers can be written
 * without touching the sender's memory. */
#define VIO_HDR_SCRATCH 512

/*
 * Completes the checksum that @frame's meta asks for (NEEDS_CSUM; without it nothing is done):
 * copies the bytes up to and with the checksum field into @scratch, writes the checksum there, and
 * makes @frame refer to @scratch followed by the rest of its old pieces, in @iov (of @niov entries,
 * iov[-1] spare; not the array that @frame refers to now), payload not copied. For a frame with a
 * GSO type the checksum of the whole packet is computed from its own pseudo header, and the GSO
 * type stays. Clears NEEDS_CSUM. UDP's 0 becomes 0xffff. @scratch must live as long as the frame is
 * used.
 *
 * Returns 0; -EINVAL when the checksum field lies beyond VIO_HDR_SCRATCH or a GSO packet's headers
 * do not parse; -E2BIG when @niov is too small (old pieces + 1 are enough).
 */
VIO_API int vio_frame_complete_csum(struct vio_frame *frame, uint8_t scratch[VIO_HDR_SCRATCH],
				    struct vio_iov *iov, unsigned niov);

/*
 * Cuts a GSO frame (TCPv4, TCPv6 with or without ECN, UDP_L4) into frames that need nothing more:
 * each has headers of its own with the right lengths, IP identification, sequence numbers, flags
 * and both checksums. UFO (GSO UDP) becomes IP fragments of gso_size bytes, rounded down to what a
 * fragment's offset can say (8); the UDP checksum is completed first when NEEDS_CSUM asks for it.
 */
struct vio_gso {
	const struct vio_frame *frame; /* the whole one; must stay while segments are made */
	uint16_t l3, l4;	       /* offsets of the IP and the TCP/UDP header */
	uint16_t hdr_len; /* bytes of headers in front of the payload; fragments: up to the part
			       that is cut up, which begins with the UDP header */
	uint16_t gso_size;
	uint16_t segments; /* how many there will be */
	uint16_t next;	   /* the one that comes next, from 0 */
	uint8_t kind;	   /* internal */
	uint16_t copied;   /* internal: bytes in headers; at least hdr_len */
	uint16_t next_at;  /* internal: IPv6 fragments: where the next header is named */
	uint16_t piece;	   /* internal: where in the frame's pieces the next payload begins */
	size_t piece_off;
	uint32_t frag_id;		  /* IPv6 fragments: their identification */
	uint8_t headers[VIO_HDR_SCRATCH]; /* private copy */
};

/*
 * Starts segmenting @frame, whose meta has a GSO type. Everything is taken from a private copy of
 * the headers, checked: lengths of IP and TCP headers, protocol against type, hdr_len only a hint.
 * Returns 0; -EINVAL when the headers are not what the type says or would not fit
 * VIO_HDR_SCRATCH, or when a segment would be longer than IP can say. The segment's size may be
 * anything from 1 (fragments: 8): the caller bounds the work by looking at @gso->segments.
 */
VIO_API int vio_gso_init(struct vio_gso *gso, const struct vio_frame *frame);

/*
 * After vio_gso_init() of a frame that was cut in part before: goes on with segment @next. @frag_id
 * is what gso->frag_id was then, so that all fragments of a datagram have the same identification.
 */
VIO_API void vio_gso_resume(struct vio_gso *gso, uint16_t next, uint32_t frag_id);

/*
 * Makes the next segment: headers in @scratch, payload by reference in @iov (@niov entries, iov[-1]
 * spare). Returns 1 and fills @out; 0 when all were made; -E2BIG when @niov is too small (the
 * whole frame's pieces + 1 are enough).
 */
VIO_API int vio_gso_next(struct vio_gso *gso, struct vio_frame *out,
			 uint8_t scratch[VIO_HDR_SCRATCH], struct vio_iov *iov, unsigned niov);

#ifdef __cplusplus
}
#endif
#endif
