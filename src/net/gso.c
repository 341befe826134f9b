/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segmentation in software: one large frame becomes many that any network takes.
 *
 * Whoever cannot pass a GSO frame on as it is calls vio_gso_init() once and vio_gso_next() until it
 * returns 0. The headers are copied when it begins, and everything is decided by that copy: a
 * sender that rewrites its memory meanwhile spoils its own payload and nothing else. Payload is
 * only referred to, so the frame must stay until the last segment has gone.
 *
 * There are two ways to cut. TCP and UDP_L4 (USO) repeat all headers in front of each part of the
 * payload, and each segment is a packet of its own, with its own IP identification, lengths,
 * sequence number and checksum. UFO cuts behind the IP header: one datagram, with one checksum
 * which is completed beforehand, in IP fragments. The UDP header is then the first part of what is
 * cut up; since its checksum was written into the private copy, that part comes from there.
 *
 * Work is linear in the frame's length plus the number of segments: the place in the frame's
 * pieces is remembered from one segment to the next.
 *
 * The offsets in the net header are not used. They are right when they agree with the headers, and
 * when they don't, the headers are what the receivers of the segments will read.
 */
#include <errno.h>
#include <string.h>

#include <vioduct/frame.h>
#include <vioduct/virtio.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/iov.h"
#include "net/csum.h"
#include "net/parse.h"

enum gso_kind {
	GSO_TCP,
	GSO_UDP,
	GSO_FRAGMENTS,
};

#define TCP_FLAGS_AT  13
#define TCP_FIN	      0x01
#define TCP_PSH	      0x08
#define TCP_CWR	      0x80
#define IP_LEN_MAX    65535
#define FRAGMENT_UNIT 8 /* bytes that one step of a fragment's offset stands for */
#define IPV4_MF	      0x2000
#define IPV6_MF	      1

static uint8_t version_of(const struct vio_gso *gso)
{
	return gso->headers[gso->l3] >> 4;
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static int init_tcp(struct vio_gso *gso, const struct vio_headers *h, size_t seen)
{
	size_t size;

	if (seen < h->l4 + (size_t)VIO_TCP_HLEN)
		return -EINVAL;
	size = (gso->headers[h->l4 + 12] >> 4) * 4u;
	if (size < VIO_TCP_HLEN || h->l4 + size > seen)
		return -EINVAL;
	gso->kind = GSO_TCP;
	gso->hdr_len = (uint16_t)(h->l4 + size);
	gso->copied = gso->hdr_len;
	return 0;
}

static int init_udp(struct vio_gso *gso, const struct vio_headers *h, size_t seen)
{
	if (seen < h->l4 + (size_t)VIO_UDP_HLEN)
		return -EINVAL;
	gso->kind = GSO_UDP;
	gso->hdr_len = (uint16_t)(h->l4 + VIO_UDP_HLEN);
	gso->copied = gso->hdr_len;
	return 0;
}

/* Nobody may guess from one identification to the next too easily, and none may come twice soon
 * (RFC 7739): a counter, each step of which is scrambled by a mapping that loses nothing. */
static uint32_t next_frag_id(void)
{
	static uint32_t counter;
	uint32_t id = __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED) + 0x9e3779b9u;

	id = (id ^ id >> 16) * 0x7feb352du;
	id = (id ^ id >> 15) * 0x846ca68bu;
	return id ^ id >> 16;
}

/* The datagram's length and checksum, which all fragments share, are settled here. */
static int init_fragments(struct vio_gso *gso, const struct vio_headers *h, size_t seen)
{
	const struct vio_frame *frame = gso->frame;
	uint32_t datagram = frame->len - h->l4;
	uint8_t *udp = gso->headers + h->l4;
	uint16_t check;
	uint64_t sum;

	if (seen < h->l4 + (size_t)VIO_UDP_HLEN || datagram > IP_LEN_MAX ||
	    h->l4 + VIO_UDP_HLEN + VIO_FRAGMENT_HLEN > VIO_HDR_SCRATCH)
		return -EINVAL;
	gso->kind = GSO_FRAGMENTS;
	gso->hdr_len = h->split;
	gso->copied = (uint16_t)(h->l4 + VIO_UDP_HLEN);
	gso->next_at = h->split_at;
	gso->gso_size = (uint16_t)(gso->gso_size / FRAGMENT_UNIT * FRAGMENT_UNIT);
	gso->frag_id = h->version == 6 ? next_frag_id() : 0;

	vio_put_be16(udp + 4, (uint16_t)datagram);
	if (!(frame->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	vio_put_be16(udp + 6, 0);
	sum = vio_csum_pseudo(gso->headers + h->l3, h->version, VIO_IPPROTO_UDP, datagram);
	sum = vio_csum_add(udp, VIO_UDP_HLEN, sum);
	check = vio_csum_fold(vio_csum_iov(frame->iov, frame->iovcnt, gso->copied,
					   frame->len - gso->copied, sum));
	if (check == 0)
		check = 0xffff;
	memcpy(udp + 6, &check, sizeof(check));
	return 0;
}

/* What a GSO type says the headers are. */
static const struct gso_type {
	uint8_t version;  /* 0: either */
	uint8_t protocol; /* 0: no such type */
	int (*init)(struct vio_gso *gso, const struct vio_headers *h, size_t seen);
} types[] = {
	[VIO_NET_HDR_GSO_TCPV4] = { 4, VIO_IPPROTO_TCP, init_tcp },
	[VIO_NET_HDR_GSO_TCPV6] = { 6, VIO_IPPROTO_TCP, init_tcp },
	[VIO_NET_HDR_GSO_UDP] = { 0, VIO_IPPROTO_UDP, init_fragments },
	[VIO_NET_HDR_GSO_UDP_L4] = { 0, VIO_IPPROTO_UDP, init_udp },
};

static const struct gso_type *find_type(const struct vio_frame *frame, const struct vio_headers *h)
{
	unsigned base = frame->meta.gso_type & (uint8_t)~VIO_NET_HDR_GSO_ECN;

	if (base >= vio_array_size(types) || types[base].protocol != h->protocol || h->fragment ||
	    h->detour)
		return NULL;
	if (types[base].version && types[base].version != h->version)
		return NULL;
	return types[base].init ? &types[base] : NULL;
}

/*
 * Whether IP can state the largest segment's length. For fragments the datagram is larger, which
 * the receiver puts together again; only a first fragment with its own header may surpass it.
 */
static bool lengths_fit(const struct vio_gso *gso, uint32_t payload)
{
	uint32_t part = vio_min(payload, (uint32_t)gso->gso_size);
	uint32_t headers = gso->hdr_len - gso->l3;

	if (version_of(gso) == 6)
		headers -= VIO_IPV6_HLEN;
	if (gso->kind != GSO_FRAGMENTS)
		return headers + part <= IP_LEN_MAX;
	if (version_of(gso) == 6 && headers + VIO_FRAGMENT_HLEN + part > IP_LEN_MAX)
		return false;
	return headers + payload <= IP_LEN_MAX;
}

/* Sets the place from which payload is taken next to byte @off of the frame. */
static void seek(struct vio_gso *gso, size_t off)
{
	const struct vio_iov *iov = gso->frame->iov;
	unsigned i;

	for (i = 0; i < gso->frame->iovcnt && off >= iov[i].len; i++)
		off -= iov[i].len;
	gso->piece = (uint16_t)i;
	gso->piece_off = off;
}

int vio_gso_init(struct vio_gso *gso, const struct vio_frame *frame)
{
	const struct gso_type *type;
	struct vio_headers h;
	uint32_t payload, segments;
	size_t seen;

	if (frame->len > VIO_FRAME_MAX_LEN || frame->len > vio_iov_len(frame->iov, frame->iovcnt))
		return -EINVAL;
	seen = vio_iov_to_buf(frame->iov, frame->iovcnt, 0, gso->headers,
			      vio_min(frame->len, (uint32_t)VIO_HDR_SCRATCH));
	if (vio_parse(gso->headers, seen, &h))
		return -EINVAL;
	type = find_type(frame, &h);
	if (!type)
		return -EINVAL;

	gso->frame = frame;
	gso->l3 = h.l3;
	gso->l4 = h.l4;
	gso->gso_size = frame->meta.gso_size;
	gso->next = 0;
	gso->next_at = 0;
	gso->frag_id = 0;
	if (type->init(gso, &h, seen) || gso->gso_size == 0)
		return -EINVAL;

	payload = frame->len - gso->hdr_len;
	segments = vio_max(1u, (payload + gso->gso_size - 1) / gso->gso_size);
	if (segments > UINT16_MAX || !lengths_fit(gso, payload))
		return -EINVAL;
	gso->segments = (uint16_t)segments;
	seek(gso, gso->copied);
	return 0;
}

void vio_gso_resume(struct vio_gso *gso, uint16_t next, uint32_t frag_id)
{
	size_t off;

	gso->next = next < gso->segments ? next : gso->segments;
	gso->frag_id = frag_id;
	off = gso->hdr_len + (size_t)gso->next * gso->gso_size;
	seek(gso, vio_max(off, (size_t)gso->copied));
}

/* ---- Each segment ---------------------------------------------------------------------------- */

/* A segment while it is made. */
struct segment {
	uint8_t *headers;     /* the caller's scratch */
	size_t hdr_len;	      /* bytes there, once it is made */
	uint32_t off, size;   /* its part of the payload */
	struct vio_iov *rest; /* what is referred to */
	unsigned rest_count;
	size_t rest_len;
	bool first, last;
};

/*
 * Makes @s refer to the next @s->rest_len bytes of payload, with room for @room pieces, and moves
 * the place from which they are taken behind them; after an error it is where it was.
 */
static int take_rest(struct vio_gso *gso, struct segment *s, unsigned room)
{
	const struct vio_frame *frame = gso->frame;
	size_t off = gso->piece_off;
	size_t left = s->rest_len;
	unsigned i = gso->piece;

	while (left) {
		size_t n;

		if (i == frame->iovcnt)
			return -EINVAL;
		n = vio_min(frame->iov[i].len - off, left);
		if (n) {
			if (s->rest_count == room)
				return -E2BIG;
			s->rest[s->rest_count].base = (uint8_t *)frame->iov[i].base + off;
			s->rest[s->rest_count++].len = n;
		}
		left -= n;
		off += n;
		if (off == frame->iov[i].len) {
			i++;
			off = 0;
		}
	}
	gso->piece = (uint16_t)i;
	gso->piece_off = off;
	return 0;
}

/* Sets the length that IP states, and makes IPv4's header checksum. */
static void finish_ip(const struct vio_gso *gso, const struct segment *s)
{
	uint8_t *ip = s->headers + gso->l3;
	size_t len = s->hdr_len - gso->l3 + s->rest_len;
	uint16_t check;

	if (version_of(gso) == 6) {
		vio_put_be16(ip + 4, (uint16_t)(len - VIO_IPV6_HLEN));
		return;
	}
	vio_put_be16(ip + 2, (uint16_t)len);
	vio_put_be16(ip + 10, 0);
	check = vio_csum_fold(vio_csum_add(ip, (size_t)(gso->l4 - gso->l3), 0));
	memcpy(ip + 10, &check, sizeof(check));
}

/* Segments of one packet have successive identifications, as if each had been sent by itself. */
static void number_ip(const struct vio_gso *gso, const struct segment *s)
{
	uint8_t *id = s->headers + gso->l3 + 4;

	if (version_of(gso) == 4)
		vio_put_be16(id, (uint16_t)(vio_get_be16(id) + gso->next));
}

/* The transport checksum of a segment, all other fields of which are set. */
static uint16_t transport_check(const struct vio_gso *gso, const struct segment *s,
				uint8_t protocol)
{
	uint8_t *l4 = s->headers + gso->l4;
	size_t l4_len = s->hdr_len - gso->l4;
	uint64_t sum;

	vio_put_be16(l4 + vio_check_at(protocol), 0);
	sum = vio_csum_pseudo(s->headers + gso->l3, version_of(gso), protocol,
			      (uint32_t)(l4_len + s->rest_len));
	sum = vio_csum_add(l4, l4_len, sum);
	return vio_csum_fold(vio_csum_iov(s->rest, s->rest_count, 0, s->rest_len, sum));
}

/*
 * FIN and PSH concern the stream's last byte, CWR is said once (RFC 3168, 6.1.2): repeated, it
 * would cover up a second congestion.
 */
static void make_tcp(const struct vio_gso *gso, struct segment *s)
{
	uint8_t *tcp = s->headers + gso->l4;
	uint16_t check;

	memcpy(s->headers, gso->headers, gso->hdr_len);
	s->hdr_len = gso->hdr_len;
	number_ip(gso, s);
	finish_ip(gso, s);
	vio_put_be32(tcp + 4, vio_get_be32(tcp + 4) + s->off);
	if (!s->last)
		tcp[TCP_FLAGS_AT] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (!s->first)
		tcp[TCP_FLAGS_AT] &= (uint8_t)~TCP_CWR;
	check = transport_check(gso, s, VIO_IPPROTO_TCP);
	memcpy(tcp + vio_check_at(VIO_IPPROTO_TCP), &check, sizeof(check));
}

static void make_udp(const struct vio_gso *gso, struct segment *s)
{
	uint8_t *udp = s->headers + gso->l4;
	uint16_t check;

	memcpy(s->headers, gso->headers, gso->hdr_len);
	s->hdr_len = gso->hdr_len;
	number_ip(gso, s);
	finish_ip(gso, s);
	vio_put_be16(udp + 4, (uint16_t)(VIO_UDP_HLEN + s->rest_len));
	check = transport_check(gso, s, VIO_IPPROTO_UDP);
	if (check == 0)
		check = 0xffff;
	memcpy(udp + vio_check_at(VIO_IPPROTO_UDP), &check, sizeof(check));
}

/* Puts the fragment header behind the IPv6 headers that concern each hop (RFC 8200, 4.5). */
static void put_fragment_header(const struct vio_gso *gso, struct segment *s)
{
	uint8_t *fragment = s->headers + s->hdr_len;

	fragment[0] = s->headers[gso->next_at];
	fragment[1] = 0;
	vio_put_be16(fragment + 2, (uint16_t)(s->off | (s->last ? 0 : IPV6_MF)));
	vio_put_be32(fragment + 4, gso->frag_id);
	s->headers[gso->next_at] = VIO_IPPROTO_FRAGMENT;
	s->hdr_len += VIO_FRAGMENT_HLEN;
}

/* A datagram that fits one segment stays whole, with its DF bit and without a fragment header. */
static void make_fragment(const struct vio_gso *gso, struct segment *s)
{
	size_t from_copy = s->size - s->rest_len;

	memcpy(s->headers, gso->headers, gso->hdr_len);
	s->hdr_len = gso->hdr_len;
	if (gso->segments > 1) {
		if (version_of(gso) == 6)
			put_fragment_header(gso, s);
		else
			vio_put_be16(s->headers + gso->l3 + 6,
				     (uint16_t)(s->off / FRAGMENT_UNIT | (s->last ? 0 : IPV4_MF)));
	}
	if (from_copy) {
		memcpy(s->headers + s->hdr_len, gso->headers + gso->hdr_len + s->off, from_copy);
		s->hdr_len += from_copy;
	}
	finish_ip(gso, s);
}

static void (*const makers[])(const struct vio_gso *gso, struct segment *s) = {
	[GSO_TCP] = make_tcp,
	[GSO_UDP] = make_udp,
	[GSO_FRAGMENTS] = make_fragment,
};

int vio_gso_next(struct vio_gso *gso, struct vio_frame *out, uint8_t scratch[VIO_HDR_SCRATCH],
		 struct vio_iov *iov, unsigned niov)
{
	uint32_t in_copy = (uint32_t)(gso->copied - gso->hdr_len);
	struct segment s = { .headers = scratch, .rest = iov + 1 };
	int err;

	if (gso->next == gso->segments)
		return 0;
	if (niov == 0)
		return -E2BIG;
	s.first = gso->next == 0;
	s.last = gso->next + 1 == gso->segments;
	s.off = (uint32_t)gso->next * gso->gso_size;
	s.size = vio_min((uint32_t)gso->gso_size, gso->frame->len - gso->hdr_len - s.off);
	s.rest_len = s.size;
	if (s.off < in_copy)
		s.rest_len -= vio_min(s.size, in_copy - s.off);

	/* The count of pieces has 16 bits, and the headers are one more. */
	err = take_rest(gso, &s, vio_min(niov - 1, UINT16_MAX - 1u));
	if (err)
		return err;
	makers[gso->kind](gso, &s);

	iov[0].base = scratch;
	iov[0].len = s.hdr_len;
	*out = (struct vio_frame){
		.iov = iov,
		.iovcnt = (uint16_t)(s.rest_count + 1),
		.len = (uint32_t)(s.hdr_len + s.rest_len),
	};
	gso->next++;
	return 1;
}
