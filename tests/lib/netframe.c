/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <vioduct/virtio.h>

#include "netframe.h"
#include "random.h"

uint64_t netframe_random(uint64_t *seed)
{
	return random64(seed) * UINT64_C(0x2545f4914f6cdd1d) >> 8;
}

uint32_t netframe_between(uint64_t *seed, uint32_t low, uint32_t high)
{
	return low + (uint32_t)(netframe_random(seed) % ((uint64_t)high - low + 1));
}

const uint8_t netframe_gso_types[NETFRAME_GSO_TYPES] = {
	VIO_NET_HDR_GSO_TCPV4,
	VIO_NET_HDR_GSO_TCPV6,
	VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
	VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN,
	VIO_NET_HDR_GSO_UDP,
	VIO_NET_HDR_GSO_UDP_L4,
};

uint32_t netframe_flatten(const struct vio_frame *f, uint8_t *to)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		memcpy(to + done, f->iov[i].base, f->iov[i].len);
		done += (uint32_t)f->iov[i].len;
	}
	return done;
}

static void put(uint8_t *p, uint32_t value, unsigned bytes)
{
	while (bytes--) {
		p[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static uint32_t get(const uint8_t *p, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | *p++;
	return value;
}

/* ---- Slow answers ---------------------------------------------------------------------------- */

static uint32_t sum_of(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

uint16_t netframe_plain_check(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	sum = sum_of(bytes, len, sum);
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static uint32_t pseudo_sum(const struct netframe *f, const uint8_t *bytes, uint32_t l4_len)
{
	const uint8_t *ip = bytes + f->l3;
	uint32_t sum = f->spec.ipv6 ? sum_of(ip + 8, 32, 0) : sum_of(ip + 12, 8, 0);

	sum += (f->spec.udp ? 17 : 6) + (l4_len & 0xffff) + (l4_len >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static uint32_t check_at(const struct netframe *f)
{
	return f->l4 + (f->spec.udp ? 6 : 16);
}

uint16_t netframe_transport_check(const struct netframe *f, const uint8_t *bytes, uint32_t len)
{
	static uint8_t copy[NETFRAME_MAX];

	memcpy(copy, bytes, len);
	put(copy + check_at(f), 0, 2);
	return netframe_plain_check(copy + f->l4, len - f->l4, pseudo_sum(f, bytes, len - f->l4));
}

/* IP's length and IPv4's checksum of a frame of @len in which the IP header is final else. */
static void settle_ip(const struct netframe *f, uint8_t *bytes, uint32_t len)
{
	uint8_t *ip = bytes + f->l3;

	if (f->spec.ipv6) {
		put(ip + 4, len - f->l3 - 40, 2);
		return;
	}
	put(ip + 2, len - f->l3, 2);
	put(ip + 10, 0, 2);
	put(ip + 10, netframe_plain_check(ip, f->l4 - f->l3, 0), 2);
}

static void settle_transport(const struct netframe *f, uint8_t *bytes, uint32_t len)
{
	uint16_t check;

	if (f->spec.udp)
		put(bytes + f->l4 + 4, len - f->l4, 2);
	check = netframe_transport_check(f, bytes, len);
	put(bytes + check_at(f), check == 0 && f->spec.udp ? 0xffff : check, 2);
}

static uint32_t packet(const struct netframe *f, unsigned index, uint8_t *out)
{
	uint32_t off = index * (uint32_t)f->spec.gso_size;
	uint32_t size = f->spec.payload - off;
	bool last = size <= f->spec.gso_size;
	uint32_t len;

	if (index && off >= f->spec.payload)
		return 0;
	if (!last)
		size = f->spec.gso_size;
	memcpy(out, f->bytes, f->payload_at);
	memcpy(out + f->payload_at, f->bytes + f->payload_at + off, size);
	len = f->payload_at + size;
	if (!f->spec.ipv6)
		put(out + f->l3 + 4, get(out + f->l3 + 4, 2) + index, 2);
	settle_ip(f, out, len);
	if (!f->spec.udp) {
		put(out + f->l4 + 4, get(out + f->l4 + 4, 4) + off, 4);
		if (!last)
			out[f->l4 + 13] &= 0xf6; /* FIN, PSH */
		if (index)
			out[f->l4 + 13] &= 0x7f; /* CWR */
	}
	settle_transport(f, out, len);
	return len;
}

static uint32_t fragment(const struct netframe *f, unsigned index, uint8_t *out)
{
	static uint8_t whole[NETFRAME_MAX];
	uint32_t step = f->spec.gso_size & ~7u;
	uint32_t total = f->len - f->split;
	uint32_t off = index * step;
	uint32_t size = total - off;
	uint32_t at = f->split;
	bool more = size > step;

	if (index && off >= total)
		return 0;
	if (more)
		size = step;
	memcpy(whole, f->bytes, f->len);
	if (f->spec.needs_csum)
		settle_transport(f, whole, f->len);
	memcpy(out, whole, f->split);
	if (f->spec.ipv6 && total > step) {
		uint8_t *named = out + f->l3 + (f->spec.hop_by_hop ? 40 : 6);

		put(out + at, *named, 1);
		put(out + at + 1, 0, 1);
		put(out + at + 2, off + more, 2);
		put(out + at + 4, 0, 4);
		*named = 44;
		at += 8;
	} else if (!f->spec.ipv6 && total > step) {
		put(out + f->l3 + 6, off / 8 + (more ? 0x2000 : 0), 2);
	}
	memcpy(out + at, whole + f->split + off, size);
	settle_ip(f, out, at + size);
	return at + size;
}

uint32_t netframe_segment(const struct netframe *f, unsigned index, uint8_t out[NETFRAME_MAX])
{
	if (f->spec.gso_type == VIO_NET_HDR_GSO_UDP)
		return fragment(f, index, out);
	return packet(f, index, out);
}

uint32_t netframe_finished(const struct netframe *f, unsigned index, uint8_t out[NETFRAME_MAX])
{
	uint32_t at = (uint32_t)f->meta.csum_start + f->meta.csum_offset;
	uint16_t sum;

	if (f->spec.gso_type)
		return netframe_segment(f, index, out);
	if (index > 0)
		return 0;
	memcpy(out, f->bytes, f->len);
	if (f->spec.needs_csum) {
		sum = netframe_transport_check(f, out, f->len);
		put(out + at, f->spec.udp && sum == 0 ? 0xffff : sum, 2);
	}
	return f->len;
}

void netframe_clear_id(const struct netframe *f, uint8_t *bytes)
{
	if (f->spec.gso_type == VIO_NET_HDR_GSO_UDP && f->spec.ipv6 &&
	    f->len - f->split > f->spec.gso_size)
		memset(bytes + f->split + 4, 0, 4);
}

/* ---- Building -------------------------------------------------------------------------------- */

static void build_ethernet(struct netframe *f)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	unsigned i;

	memcpy(f->bytes, macs, sizeof(macs));
	f->len = sizeof(macs);
	for (i = 0; i < f->spec.vlan_tags; i++) {
		put(f->bytes + f->len, i + 1 < f->spec.vlan_tags ? 0x88a8 : 0x8100, 2);
		put(f->bytes + f->len + 2, 100 + i, 2);
		f->len += 4;
	}
	put(f->bytes + f->len, f->spec.ipv6 ? 0x86dd : 0x0800, 2);
	f->len += 2;
	f->l3 = f->len;
}

static void build_ipv4(struct netframe *f, uint64_t *seed)
{
	uint8_t *ip = f->bytes + f->l3;

	memset(ip, 1, 20 + f->spec.ip_options); /* options: NOP */
	ip[0] = (uint8_t)(0x45 + f->spec.ip_options / 4);
	put(ip + 4, netframe_between(seed, 0, 0xffff), 2);
	put(ip + 6, netframe_between(seed, 0, 1) << 14, 2); /* DF or not */
	put(ip + 8, 64, 1);
	put(ip + 9, f->spec.udp ? 17 : 6, 1);
	put(ip + 12, 0x0a000001, 4);
	put(ip + 16, 0x0a000002, 4);
	f->len += 20 + f->spec.ip_options;
	f->split = f->len;
}

/* One extension header of @size bytes with padding in it. */
static void build_extension(struct netframe *f, uint8_t *named, uint8_t type, uint32_t size)
{
	uint8_t *ext = f->bytes + f->len;

	ext[0] = *named;
	*named = type;
	ext[1] = (uint8_t)(size / 8 - 1);
	ext[2] = 1; /* PadN */
	ext[3] = (uint8_t)(size - 4);
	memset(ext + 4, 0, size - 4);
	f->len += size;
}

static void build_ipv6(struct netframe *f, uint64_t *seed)
{
	uint8_t *ip = f->bytes + f->l3;
	uint8_t *named = ip + 6;

	put(ip, 0x60000000 + netframe_between(seed, 0, 0xfffff), 4);
	ip[6] = f->spec.udp ? 17 : 6;
	ip[7] = 64;
	memset(ip + 8, 0, 32);
	put(ip + 8, 0xfd000000, 4);
	put(ip + 20, 1, 4);
	put(ip + 24, 0xfd000000, 4);
	put(ip + 36, 2, 4);
	f->len += 40;
	if (f->spec.hop_by_hop) {
		uint8_t *next = f->bytes + f->len;

		build_extension(f, named, 0, 8);
		named = next;
	}
	f->split = f->len;
	if (f->spec.destination)
		build_extension(f, named, 60, 24);
}

static void build_transport(struct netframe *f, uint64_t *seed)
{
	uint8_t *l4 = f->bytes + f->len;

	f->l4 = f->len;
	put(l4, netframe_between(seed, 1024, 0xffff), 2);
	put(l4 + 2, netframe_between(seed, 1024, 0xffff), 2);
	if (f->spec.udp) {
		f->len += 8;
		return;
	}
	memset(l4 + 4, 1, 16 + f->spec.tcp_options);
	put(l4 + 4, (uint32_t)netframe_random(seed), 4);
	put(l4 + 12, (5 + f->spec.tcp_options / 4) << 4, 1);
	put(l4 + 13, f->spec.tcp_flags, 1);
	f->len += 20 + f->spec.tcp_options;
}

void netframe_build(struct netframe *f, const struct netframe_spec *spec, uint64_t *seed)
{
	uint32_t i;

	f->spec = *spec;
	memset(&f->meta, 0, sizeof(f->meta));
	build_ethernet(f);
	if (spec->ipv6)
		build_ipv6(f, seed);
	else
		build_ipv4(f, seed);
	build_transport(f, seed);
	f->payload_at = f->len;
	for (i = 0; i < spec->payload; i++)
		f->bytes[f->len++] = (uint8_t)netframe_random(seed);

	settle_ip(f, f->bytes, f->len);
	settle_transport(f, f->bytes, f->len);
	f->meta.gso_type = spec->gso_type;
	f->meta.gso_size = spec->gso_size;
	f->meta.hdr_len = (uint16_t)f->payload_at;
	if (spec->needs_csum) {
		put(f->bytes + check_at(f), pseudo_sum(f, f->bytes, f->len - f->l4), 2);
		f->meta.flags = VIO_NET_HDR_F_NEEDS_CSUM;
		f->meta.csum_start = (uint16_t)f->l4;
		f->meta.csum_offset = (uint16_t)(check_at(f) - f->l4);
	}
}

struct netframe_spec netframe_random_gso(uint8_t gso_type, uint64_t *seed)
{
	uint8_t base = gso_type & (uint8_t)~VIO_NET_HDR_GSO_ECN;
	struct netframe_spec spec = {
		.vlan_tags = netframe_between(seed, 0, 2),
		.udp = base == VIO_NET_HDR_GSO_UDP || base == VIO_NET_HDR_GSO_UDP_L4,
		.gso_type = gso_type,
		.needs_csum = true,
	};

	spec.ipv6 = base == VIO_NET_HDR_GSO_TCPV6 || (spec.udp && netframe_between(seed, 0, 1));
	if (!spec.ipv6)
		spec.ip_options = netframe_between(seed, 0, 10) * 4;
	spec.hop_by_hop = spec.ipv6 && netframe_between(seed, 0, 1);
	spec.destination = spec.ipv6 && netframe_between(seed, 0, 1);
	if (!spec.udp) {
		spec.tcp_options = netframe_between(seed, 0, 10) * 4;
		spec.tcp_flags = (uint8_t)netframe_random(seed) | 0x10;
		if (!(gso_type & VIO_NET_HDR_GSO_ECN))
			spec.tcp_flags &= 0x7f;
	}
	/* Short and long ones alike, up to what IP can say with all those headers. */
	spec.payload = netframe_between(seed, 1, 1u << netframe_between(seed, 0, 16));
	if (spec.payload > 65300)
		spec.payload = 65300;
	spec.gso_size = (uint16_t)netframe_between(seed, spec.payload / 300 + 8, 9000);
	return spec;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

struct vio_frame *netframe_scatter(const uint8_t *bytes, uint32_t len,
				   const struct vio_net_meta *meta, unsigned max_pieces,
				   uint64_t *seed)
{
	struct vio_frame *frame = calloc(1, sizeof(*frame));
	struct vio_iov *iov = calloc(max_pieces + 1, sizeof(*iov));
	uint32_t done = 0;
	unsigned i;

	if (!frame || !iov)
		abort();
	frame->iov = iov + 1;
	frame->iovcnt = (uint16_t)max_pieces;
	frame->len = len;
	frame->meta = *meta;
	for (i = 0; i < max_pieces; i++) {
		uint32_t n = len - done;

		if (i + 1 < max_pieces)
			n = netframe_between(seed, 0, netframe_between(seed, 0, n));
		frame->iov[i].base = malloc(n ? n : 1);
		frame->iov[i].len = n;
		if (!frame->iov[i].base)
			abort();
		memcpy(frame->iov[i].base, bytes + done, n);
		done += n;
	}
	return frame;
}

void netframe_free(struct vio_frame *frame)
{
	unsigned i;

	for (i = 0; i < frame->iovcnt; i++)
		free(frame->iov[i].base);
	free(frame->iov - 1);
	free(frame);
}
