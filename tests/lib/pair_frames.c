/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/bits.h"
#include "check.h"
#include "pair_frames.h"

#define SHORT_MAX  128u	 /* what most frames are below */
#define MIDDLE_MAX 1514u /* and nearly all */
#define MAX_PIECES 5u
#define MAX_OFFSET 128u
#define GOLDEN	   UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* A sequence of numbers that belongs to frame @seq, for purpose @what. */
struct dice {
	uint64_t x;
};

static struct dice dice_of(const struct pair_stream *stream, uint64_t seq, unsigned what)
{
	return (struct dice){ mix(stream->key + seq * 8 + what) };
}

static uint32_t roll(struct dice *dice, uint32_t sides)
{
	dice->x = mix(dice->x + GOLDEN);
	return (uint32_t)(dice->x >> 32) % sides;
}

static uint32_t choose_len(struct dice *dice, const struct pair_stream *stream)
{
	uint32_t kind = roll(dice, 1024), max = SHORT_MAX;

	if (kind == 0) /* the longest, and the shortest, now and then */
		return roll(dice, 4) == 0 ? stream->max : VIO_ETH_MIN_LEN;
	if (kind == 1 || (stream->large && kind % 4 == 1))
		max = stream->max;
	else if (kind < 64)
		max = MIDDLE_MAX;
	return VIO_ETH_MIN_LEN + roll(dice, vio_min(max, stream->max) - VIO_ETH_MIN_LEN + 1);
}

static void choose_gso(struct dice *dice, struct vio_net_meta *meta)
{
	static const uint8_t types[] = {
		VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
		VIO_NET_HDR_GSO_TCPV6, VIO_NET_HDR_GSO_UDP_L4,
		VIO_NET_HDR_GSO_UDP,
	};

	meta->gso_type = types[roll(dice, vio_array_size(types))];
	meta->gso_size = (uint16_t)(8 + roll(dice, 1440));
	meta->hdr_len = 54;
	meta->flags = VIO_NET_HDR_F_NEEDS_CSUM;
	meta->csum_start = meta->gso_type == VIO_NET_HDR_GSO_TCPV6 ? 54 : 34;
	meta->csum_offset = meta->gso_type & VIO_NET_HDR_GSO_TCPV4 ? 16 : 6;
}

struct pair_shape pair_frame_shape(const struct pair_stream *stream, uint64_t seq)
{
	struct dice dice = dice_of(stream, seq, 0);
	struct pair_shape shape = { .len = choose_len(&dice, stream) };

	if (stream->gso &&
	    (shape.len > stream->plain_max || (shape.len > SHORT_MAX && roll(&dice, 4) == 0))) {
		choose_gso(&dice, &shape.meta);
	} else if (stream->csum && roll(&dice, 8) == 0) {
		shape.meta.flags = VIO_NET_HDR_F_NEEDS_CSUM;
		shape.meta.csum_start = (uint16_t)roll(&dice, shape.len - 9);
		shape.meta.csum_offset = (uint16_t)roll(&dice, 8);
	}
	return shape;
}

void pair_frame_bytes(const struct pair_stream *stream, uint64_t seq, uint8_t *out, uint32_t len)
{
	uint64_t word = stream->key ^ seq, x = mix(stream->key + seq * GOLDEN);
	uint32_t at;

	for (at = 0; at < len; at += 8) {
		memcpy(out + at, &word, sizeof(word));
		x += GOLDEN;
		word = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
		word ^= word >> 32;
	}
}

uint64_t pair_frame_seq(const struct pair_stream *stream, const struct vio_buf *frame)
{
	uint64_t word = 0;

	memcpy(&word, vio_buf_data(frame), vio_min((size_t)frame->len, sizeof(word)));
	return word ^ stream->key;
}

static bool same_meta(const struct vio_net_meta *a, const struct vio_net_meta *b)
{
	return a->flags == b->flags && a->gso_type == b->gso_type && a->gso_size == b->gso_size &&
	       a->csum_start == b->csum_start && a->csum_offset == b->csum_offset;
}

const char *pair_frame_check(const struct pair_stream *stream, uint64_t seq,
			     const struct vio_buf *frame, uint8_t *work)
{
	struct pair_shape shape = pair_frame_shape(stream, seq);
	const struct vio_buf *piece;
	unsigned pieces = 0;
	uint32_t at = 0;

	if (frame->frame_len != shape.len)
		return "wrong length";
	if (!same_meta(&frame->meta, &shape.meta))
		return "wrong net header";
	pair_frame_bytes(stream, seq, work, shape.len);
	for (piece = frame; piece; piece = piece->next) {
		if (piece->len > shape.len - at || piece->off > piece->size ||
		    piece->len > vio_buf_room(piece))
			return "wrong length of a piece";
		if (memcmp(vio_buf_data(piece), work + at, piece->len) != 0)
			return "wrong byte";
		at += piece->len;
		pieces++;
	}
	if (at != shape.len)
		return "bytes are missing";
	return pieces == frame->pieces ? NULL : "wrong number of pieces";
}

/* ---- Building ------------------------------------------------------------------------------ */

/* How frame of @len bytes is cut up. Returns how many pieces. */
static unsigned choose_pieces(struct dice *dice, bool whole, uint32_t len,
			      uint32_t lens[MAX_PIECES])
{
	uint32_t kind = roll(dice, 4), left = len;
	unsigned n = kind < 2 ? 1 : kind == 2 ? 2 : 1 + roll(dice, MAX_PIECES), i;

	if (whole || len < VIO_ETH_HLEN + MAX_PIECES)
		n = 1;
	for (i = 0; i + 1 < n; i++) {
		/* The Ethernet header is all in the first; a byte stays for each of the others. */
		uint32_t least = i == 0 ? VIO_ETH_HLEN : 1, most = left - (n - 1 - i);

		lens[i] = kind == 2 ? least : least + roll(dice, most - least + 1);
		left -= lens[i];
	}
	lens[i] = left;
	return n;
}

static struct vio_buf *get_piece(struct pair_buffers *buffers, struct dice *dice, uint32_t len,
				 uint32_t headroom)
{
	bool small = len + MAX_OFFSET <= PAIR_SMALL_ROOM + VIO_BUF_HEADROOM;
	struct vio_buf *buf;

	if (vio_pool_get(small ? buffers->small : buffers->big, &buf, 1) != 1)
		return NULL;
	if (roll(dice, 2)) {
		buf->off = headroom + roll(dice, MAX_OFFSET - headroom + 1);
		buf->clean = 0;
	}
	buf->len = len;
	return buf;
}

struct vio_buf *pair_frame_build(const struct pair_stream *stream, uint64_t seq,
				 struct pair_buffers *buffers, uint8_t *work)
{
	struct pair_shape shape = pair_frame_shape(stream, seq);
	struct dice dice = dice_of(stream, seq, 1);
	struct vio_buf *head = NULL, **link = &head;
	uint32_t lens[MAX_PIECES], at = 0;
	unsigned i, n = choose_pieces(&dice, stream->whole, shape.len, lens);

	pair_frame_bytes(stream, seq, work, shape.len);
	for (i = 0; i < n; i++) {
		*link = get_piece(buffers, &dice, lens[i], i == 0 ? VIO_NET_HDR_SIZE_MAX : 0);
		if (!*link) {
			if (head)
				pair_buffers_put(buffers, &head, 1);
			return NULL;
		}
		memcpy(vio_buf_data(*link), work + at, lens[i]);
		if ((*link)->off < VIO_BUF_HEADROOM)
			(*link)->clean = 0;
		at += lens[i];
		link = &(*link)->next;
	}
	head->meta = shape.meta;
	return head;
}

void pair_buffers_put(void *ctx, struct vio_buf **frames, unsigned n)
{
	struct pair_buffers *buffers = ctx;
	struct vio_buf *buf, *next;
	unsigned i;

	for (i = 0; i < n; i++)
		for (buf = frames[i]; buf; buf = next) {
			next = buf->next;
			buf->next = NULL;
			vio_pool_put(buf->size > PAIR_SMALL_ROOM + VIO_BUF_HEADROOM ?
					     buffers->big :
					     buffers->small,
				     &buf, 1);
		}
}
