/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that follow from a key and a number alone: length, what the net header asks for, and every
 * byte. Who receives one can tell which it is, and whether anything of it is wrong.
 *
 * The first eight bytes are the number, hidden by the key; everything behind is pseudo-random. No
 * byte has a meaning for the network, so what comes back must be what was sent, bit by bit.
 */
#ifndef TEST_PAIR_FRAMES_H
#define TEST_PAIR_FRAMES_H

#include <vioduct/driver.h>

#define PAIR_FRAME_MAX 65535u

/* A sequence of frames; set by its user, constant. */
struct pair_stream {
	uint64_t key;
	uint32_t plain_max; /* longest frame without segmentation */
	uint32_t max;	    /* longest frame, up to PAIR_FRAME_MAX */
	bool csum;	    /* some ask for a checksum */
	bool gso;	    /* long ones ask for segmentation, and some others */
	bool whole;	    /* all are sent in one piece */
	bool large;	    /* one in four is of any length up to max */
};

struct pair_shape {
	uint32_t len;
	struct vio_net_meta meta; /* hdr_len is a hint, and not to be compared */
};

/* What frame @seq looks like: nine in ten below 128 bytes, one in a thousand up to stream->max, unless
 * stream->large says otherwise. */
struct pair_shape pair_frame_shape(const struct pair_stream *stream, uint64_t seq);

/* Writes its first @len bytes to @out, which has room for eight more. */
void pair_frame_bytes(const struct pair_stream *stream, uint64_t seq, uint8_t *out, uint32_t len);

/* Which frame @frame is, if it is one of @stream. */
uint64_t pair_frame_seq(const struct pair_stream *stream, const struct vio_buf *frame);

/* What is wrong with received frame @frame when it should be @seq, or NULL. @work: bytes of working
 * memory, PAIR_FRAME_MAX + 8. */
const char *pair_frame_check(const struct pair_stream *stream, uint64_t seq,
			     const struct vio_buf *frame, uint8_t *work);

/* Buffers that frames are built in; one thread's own. */
struct pair_buffers {
	struct vio_pool *small, *big;
};

#define PAIR_SMALL_ROOM 2048u
#define PAIR_BIG_ROOM	(PAIR_FRAME_MAX + 128u)

/*
 * Frame @seq, in one piece, with its Ethernet header in a piece of its own, or in up to five pieces
 * of random length, at random offsets. NULL when buffers are short. @work as above.
 */
struct vio_buf *pair_frame_build(const struct pair_stream *stream, uint64_t seq,
				 struct pair_buffers *buffers, uint8_t *work);

/* Takes back the pieces of @n frames. @buffers: struct pair_buffers. */
void pair_buffers_put(void *buffers, struct vio_buf **frames, unsigned n);

#endif
