/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Successive TCP segments of one flow, merged into one large frame that the guest takes whole: it
 * handles one packet where there were forty.
 *
 * A segment goes on with what was collected when only sequence number, IP identification and lengths
 * differ: same addresses and ports, acknowledgement, window and options, the next sequence number,
 * and no longer than the first, which gives the segment size. A shorter one or one with PSH is the
 * last. The result can be cut again into just these segments. It gets the lengths of the whole, and
 * in place of a checksum the sum over its pseudo header: the rest is the receiver's (NEEDS_CSUM).
 *
 * One segment alone is handed on as it was.
 */
#include <string.h>

#include <vioduct/virtio.h>

#include "base/endian.h"
#include "merge.h"
#include "net/csum.h"
#include "net/parse.h"

#define TCP_PSH	    0x08
#define TCP_ACK	    0x10
#define TCP_CSUM_AT 16

#define HEADERS_MAX ((uint32_t)VIO_HDR_SCRATCH) /* headers beyond it are not looked for */

/* Where in a frame things are, as far as it is a segment that can be merged. */
struct segment {
	uint16_t l3, l4, payload;
	uint8_t version;
	uint32_t size; /* bytes of payload */
};

static bool parse_segment(const uint8_t *p, uint32_t len, struct segment *s)
{
	struct vio_headers h;
	uint32_t ip_len, head;

	if (vio_parse(p, vio_min(len, HEADERS_MAX), &h) < 0 || h.fragment ||
	    h.protocol != VIO_IPPROTO_TCP)
		return false;
	/* Neither options nor extension headers, which would have to be compared as well. */
	if (h.l4 != h.l3 + (h.version == 4 ? VIO_IPV4_HLEN : VIO_IPV6_HLEN) ||
	    len < (uint32_t)h.l4 + VIO_TCP_HLEN)
		return false;
	ip_len = h.version == 4 ? vio_get_be16(p + h.l3 + 2) :
				  (uint32_t)vio_get_be16(p + h.l3 + 4) + VIO_IPV6_HLEN;
	head = (uint32_t)(p[h.l4 + 12] >> 4) * 4;
	if (h.l3 + ip_len != len || head < VIO_TCP_HLEN || h.l4 + head >= len)
		return false;
	if ((p[h.l4 + 13] & ~TCP_PSH) != TCP_ACK)
		return false;
	s->l3 = h.l3;
	s->l4 = h.l4;
	s->payload = (uint16_t)(h.l4 + head);
	s->version = h.version;
	s->size = len - s->payload;
	return true;
}

/* Whether @p, parsed as @s, continues the flow of what is collected with the same headers. */
static bool continues(const struct vio_merge *m, const uint8_t *p, const struct segment *s)
{
	const uint8_t *a = m->bytes, *b = p;

	if (s->l3 != m->l3 || s->l4 != m->l4 || s->payload != m->payload ||
	    s->version != m->version)
		return false;
	if (memcmp(a, b, m->l3) != 0)
		return false;
	a += m->l3;
	b += m->l3;
	if (m->version == 4) {
		/* All but length, identification and checksum. */
		if (memcmp(a, b, 2) != 0 || memcmp(a + 6, b + 6, 4) != 0 ||
		    memcmp(a + 12, b + 12, 8) != 0)
			return false;
	} else if (memcmp(a, b, 4) != 0 || memcmp(a + 6, b + 6, 34) != 0) {
		return false;
	}
	a = m->bytes + m->l4;
	b = p + m->l4;
	/* All but sequence number, flags (checked on their own) and checksum. */
	return memcmp(a, b, 4) == 0 && memcmp(a + 8, b + 8, 5) == 0 &&
	       memcmp(a + 14, b + 14, 2) == 0 &&
	       memcmp(a + 18, b + 18, (size_t)(m->payload - m->l4 - 18)) == 0 &&
	       vio_get_be32(b + 4) == m->sequence;
}

static bool begin(struct vio_merge *m, const uint8_t *p, uint32_t len, const struct segment *s)
{
	if (len > sizeof(m->bytes))
		return false;
	memcpy(m->bytes, p, len);
	m->len = len;
	m->l3 = s->l3;
	m->l4 = s->l4;
	m->payload = s->payload;
	m->version = s->version;
	m->gso_size = (uint16_t)s->size;
	m->segments = 1;
	m->sequence = vio_get_be32(p + s->l4 + 4) + s->size;
	m->closed = (p[s->l4 + 13] & TCP_PSH) != 0;
	return true;
}

bool vio_merge_add(struct vio_merge *m, uint32_t accepts, const uint8_t *p, uint32_t len)
{
	struct segment s;

	if (!(accepts & VIO_OFFLOAD_CSUM) || !parse_segment(p, len, &s))
		return false;
	if (!(accepts & (s.version == 4 ? VIO_OFFLOAD_TSO4 : VIO_OFFLOAD_TSO6)))
		return false;
	if (m->len == 0)
		return begin(m, p, len, &s);
	if (m->closed || s.size > m->gso_size || !continues(m, p, &s) ||
	    m->len - m->l3 + s.size > 65535)
		return false;
	memcpy(m->bytes + m->len, p + s.payload, s.size);
	m->len += s.size;
	m->segments++;
	m->sequence += s.size;
	m->closed = s.size < m->gso_size || (p[s.l4 + 13] & TCP_PSH);
	m->bytes[m->l4 + 13] |= p[s.l4 + 13];
	return true;
}

/* Makes the headers those of the whole. */
static void finish_headers(struct vio_merge *m)
{
	uint8_t *ip = m->bytes + m->l3, *tcp = m->bytes + m->l4;
	uint32_t tcp_len = m->len - m->l4;
	uint16_t sum;

	if (m->version == 4) {
		vio_put_be16(ip + 2, (uint16_t)(m->len - m->l3));
		vio_put_be16(ip + 10, 0);
		sum = vio_csum_fold(vio_csum_add(ip, VIO_IPV4_HLEN, 0));
		memcpy(ip + 10, &sum, sizeof(sum));
	} else {
		vio_put_be16(ip + 4, (uint16_t)tcp_len);
	}
	sum = (uint16_t)~vio_csum_fold(vio_csum_pseudo(ip, m->version, VIO_IPPROTO_TCP, tcp_len));
	memcpy(tcp + TCP_CSUM_AT, &sum, sizeof(sum));
}

uint32_t vio_merge_finish(struct vio_merge *m, struct vio_net_meta *meta)
{
	uint32_t len = m->len;

	memset(meta, 0, sizeof(*meta));
	if (len != 0 && m->segments > 1)
		finish_headers(m);
	m->len = 0;
	if (len == 0 || m->segments == 1)
		return len;
	meta->flags = VIO_NET_HDR_F_NEEDS_CSUM;
	meta->gso_type = m->version == 4 ? VIO_NET_HDR_GSO_TCPV4 : VIO_NET_HDR_GSO_TCPV6;
	meta->hdr_len = m->payload;
	meta->gso_size = m->gso_size;
	meta->csum_start = m->l4;
	meta->csum_offset = TCP_CSUM_AT;
	return len;
}
