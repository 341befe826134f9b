/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Toeplitz hash: the published test vectors, a scalar twin that follows the definition bit by
 * bit, what of a frame is hashed for each hash type; and steering by flows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <vioduct/virtio.h>

#include "base/endian.h"
#include "net/hash.h"
#include "net/steer.h"
#include "netframe.h"

#define TCP 6
#define UDP 17

static struct vio_toeplitz toeplitz;

/* By definition: for each bit of the input that is set, from the first, the 32 bits of the key from
 * that place on. */
static uint32_t twin(const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
	uint32_t hash = 0;

	for (size_t bit = 0; bit < len * 8; bit++) {
		if (!(in[bit / 8] >> (7 - bit % 8) & 1))
			continue;
		for (size_t k = 0; k < 32; k++) {
			size_t at = bit + k;

			if (at / 8 < key_len && (key[at / 8] >> (7 - at % 8) & 1))
				hash ^= 1u << (31 - k);
		}
	}
	return hash;
}

static void the_tables_do_what_the_definition_says(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint8_t key[VIO_TOEPLITZ_KEY], in[VIO_TOEPLITZ_INPUT];
		size_t key_len = round < 100 ? sizeof(key) : netframe_between(&seed, 0, 40);
		struct vio_toeplitz t;

		for (size_t i = 0; i < sizeof(key); i++)
			key[i] = (uint8_t)netframe_random(&seed);
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)netframe_random(&seed);
		vio_toeplitz_init(&t, key, key_len);
		for (size_t len = 0; len <= sizeof(in); len++)
			assert_int_equal(vio_toeplitz(&t, in, len), twin(key, key_len, in, len));
	}
}

/* ------------------------------------------------------------------------------------------
 * Frames
 */
struct flow {
	const char *from, *to;
	uint16_t from_port, to_port;
};

static uint8_t frame[VIO_HDR_SCRATCH];
static size_t frame_len;
static const uint8_t none[1];

static void put(const void *p, size_t len)
{
	memcpy(frame + frame_len, p, len);
	frame_len += len;
}

static void put_ports(const struct flow *f)
{
	vio_put_be16(frame + frame_len, f->from_port);
	vio_put_be16(frame + frame_len + 2, f->to_port);
	frame_len += 4;
	memset(frame + frame_len, 0xa5, 16);
	frame_len += 16;
}

static void put_ethernet(unsigned tags, uint16_t type)
{
	static const uint8_t tag[4] = { 0x81, 0x00, 0x00, 0x07 };

	frame_len = 0;
	memset(frame, 0x5a, 12);
	frame_len = 12;
	for (unsigned i = 0; i < tags; i++)
		put(tag, sizeof(tag));
	vio_put_be16(frame + frame_len, type);
	frame_len += 2;
}

static void make_ipv4(const struct flow *f, uint8_t protocol, unsigned tags, unsigned options,
		      uint16_t fragment)
{
	uint8_t ip[60] = { (uint8_t)(0x45 + options / 4) };

	put_ethernet(tags, 0x0800);
	memset(ip + 20, 1, options);
	vio_put_be16(ip + 6, fragment);
	ip[9] = protocol;
	assert_int_equal(inet_pton(AF_INET, f->from, ip + 12), 1);
	assert_int_equal(inet_pton(AF_INET, f->to, ip + 16), 1);
	put(ip, 20 + options);
	put_ports(f);
}

/* @ext: extension headers, of which the last has a 0 for the type of what follows. */
static void make_ipv6(const struct flow *f, uint8_t protocol, uint8_t first, const uint8_t *ext,
		      size_t ext_len)
{
	uint8_t ip[40] = { 0x60 };

	put_ethernet(0, 0x86dd);
	ip[6] = ext_len ? first : protocol;
	assert_int_equal(inet_pton(AF_INET6, f->from, ip + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, f->to, ip + 24), 1);
	put(ip, sizeof(ip));
	put(ext, ext_len);
	put_ports(f);
}

static uint32_t hash_of(uint32_t types, uint16_t expected_report)
{
	struct vio_headers h;
	uint16_t report = 0xffff;
	uint32_t hash;

	assert_int_equal(vio_parse(frame, frame_len, &h), 0);
	hash = vio_rss_hash(&toeplitz, types, frame, frame_len, &h, &report);
	assert_int_equal(report, expected_report);
	return hash;
}

/* The vectors published for receive-side scaling, all with the default key. */
static const struct {
	struct flow flow;
	uint32_t ip, tcp;
} ipv4_vectors[] = {
	{ { "66.9.149.187", "161.142.100.80", 2794, 1766 }, 0x323e8fc2, 0x51ccc178 },
	{ { "199.92.111.2", "65.69.140.83", 14230, 4739 }, 0xd718262a, 0xc626b0ea },
	{ { "24.19.198.95", "12.22.207.184", 12898, 38024 }, 0xd2d0a5de, 0x5c2b394a },
	{ { "38.27.205.30", "209.142.163.6", 48228, 2217 }, 0x82989176, 0xafc7327f },
	{ { "153.39.163.191", "202.188.127.2", 44251, 1303 }, 0x5d1809c5, 0x10e828a2 },
}, ipv6_vectors[] = {
	{ { "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766 }, 0x2cc18cd5, 0x40207d3d },
	{ { "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739 }, 0x0f0c461c, 0xdde51bbf },
	{ { "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024 },
	  0x4b61e985,
	  0x02d1feef },
};

static void published_vectors_of_ipv4(void **state)
{
	(void)state;
	for (size_t i = 0; i < vio_array_size(ipv4_vectors); i++)
		for (unsigned tags = 0; tags < 3; tags++) {
			const struct flow *f = &ipv4_vectors[i].flow;
			uint32_t ip = ipv4_vectors[i].ip, ports = ipv4_vectors[i].tcp;
			uint32_t all = VIO_NET_HASH_TYPE_ALL;

			make_ipv4(f, TCP, tags, tags * 8, 0);
			assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV4), ports);
			assert_int_equal(hash_of(all & ~(uint32_t)VIO_NET_HASH_TYPE_TCPV4,
						 VIO_NET_HASH_REPORT_IPV4),
					 ip);
			assert_int_equal(
				hash_of(VIO_NET_HASH_TYPE_TCPV4, VIO_NET_HASH_REPORT_TCPV4), ports);
			assert_int_equal(hash_of(VIO_NET_HASH_TYPE_UDPV4, 0), 0);
			make_ipv4(f, UDP, tags, 0, 0);
			assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_UDPV4), ports);
			assert_int_equal(hash_of(VIO_NET_HASH_TYPE_IPV4 | VIO_NET_HASH_TYPE_TCPV4,
						 VIO_NET_HASH_REPORT_IPV4),
					 ip);
			/* Neither has ports: another protocol, and parts of a datagram. */
			make_ipv4(f, 47, tags, 0, 0);
			assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_IPV4), ip);
			make_ipv4(f, UDP, tags, 0, 0x2000);
			assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_IPV4), ip);
			make_ipv4(f, TCP, tags, 0, 100);
			assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_IPV4), ip);
			/* The IPv6 types are not IPv4's. */
			assert_int_equal(hash_of(all & ~7u, 0), 0);
		}
}

static void published_vectors_of_ipv6(void **state)
{
	uint32_t all = VIO_NET_HASH_TYPE_ALL;

	(void)state;
	for (size_t i = 0; i < vio_array_size(ipv6_vectors); i++) {
		const struct flow *f = &ipv6_vectors[i].flow;
		uint32_t ip = ipv6_vectors[i].ip, ports = ipv6_vectors[i].tcp;

		make_ipv6(f, TCP, 0, none, 0);
		assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV6), ports);
		assert_int_equal(hash_of(VIO_NET_HASH_TYPE_IPV6, VIO_NET_HASH_REPORT_IPV6), ip);
		make_ipv6(f, UDP, 0, none, 0);
		assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_UDPV6), ports);
		make_ipv6(f, 58, 0, none, 0);
		assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_IPV6), ip);
		/* Without extension headers the types for them are none. */
		assert_int_equal(hash_of(VIO_NET_HASH_TYPE_IP_EX | VIO_NET_HASH_TYPE_TCP_EX, 0), 0);
	}
}

static void extension_headers_count_where_a_type_for_them_is_enabled(void **state)
{
	/* The vector's addresses, in mobility headers before and behind ones without a meaning here:
	 * destination options (padding, home address), hop by hop is first, routing of type 2. */
	const struct flow *v = &ipv6_vectors[0].flow;
	const struct flow outer = { "2001:db8::1", "2001:db8::2", v->from_port, v->to_port };
	uint8_t ext[8 + 24 + 24] = { 60, 0, 1, 4 };
	uint8_t *home = ext + 8, *routing = ext + 32;
	uint32_t all = VIO_NET_HASH_TYPE_ALL, plain;

	(void)state;
	home[0] = 43;
	home[1] = 2;
	memcpy(home + 2, (uint8_t[]){ 1, 2, 0, 0, 0xc9, 16 }, 6);
	/* 2 + 4 + 2 + 16 = 24: the address ends with the header. */
	inet_pton(AF_INET6, v->from, home + 8);
	routing[0] = TCP;
	routing[1] = 2;
	routing[2] = 2;
	inet_pton(AF_INET6, v->to, routing + 8);

	make_ipv6(&outer, TCP, 0, ext, sizeof(ext));
	assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV6_EX), ipv6_vectors[0].tcp);
	assert_int_equal(hash_of(VIO_NET_HASH_TYPE_IP_EX | VIO_NET_HASH_TYPE_TCPV6,
				 VIO_NET_HASH_REPORT_IPV6_EX),
			 ipv6_vectors[0].ip);
	/* Else they are skipped. */
	plain = hash_of(VIO_NET_HASH_TYPE_TCPV6, VIO_NET_HASH_REPORT_TCPV6);
	make_ipv6(&outer, TCP, 0, none, 0);
	assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV6), plain);
	assert_int_not_equal(plain, ipv6_vectors[0].tcp);

	/* Another type of routing, and an option of another length, say nothing. */
	routing[2] = 4;
	home[7] = 15;
	make_ipv6(&outer, TCP, 0, ext, sizeof(ext));
	assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV6_EX), plain);
	/* An option that ends beyond its header. */
	home[7] = 17;
	make_ipv6(&outer, TCP, 0, ext, sizeof(ext));
	assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_TCPV6_EX), plain);
	routing[0] = UDP;
	make_ipv6(&outer, UDP, 0, ext, sizeof(ext));
	assert_int_equal(hash_of(all, VIO_NET_HASH_REPORT_UDPV6_EX), plain);
}

/* Whatever parses is hashed without a step beyond what there is. */
static void noise_is_hashed_within_its_bounds(void **state)
{
	static const uint8_t types[] = { 0, 43, 44, 51, 60, TCP, UDP };
	uint64_t seed = 11;
	unsigned parsed = 0;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		size_t len = netframe_between(&seed, 34, 160);
		uint8_t *p = malloc(len);
		struct vio_headers h;
		uint16_t report;

		for (size_t i = 0; i < len; i++)
			p[i] = (uint8_t)netframe_random(&seed) & (i % 3 ? 0xff : 0x03);
		vio_put_be16(p + 12, round & 1 ? 0x0800 : 0x86dd);
		p[14] = round & 1 ? 0x45 : 0x60;
		for (size_t i = 20; i < len; i += 8)
			p[i] = types[netframe_between(&seed, 0, vio_array_size(types) - 1)];
		if (vio_parse(p, len, &h) == 0) {
			parsed++;
			vio_rss_hash(&toeplitz, VIO_NET_HASH_TYPE_ALL, p, len, &h, &report);
			vio_flow_hash(&toeplitz, p, len, &h);
		}
		free(p);
	}
	assert_true(parsed > 10000);
}

/* ------------------------------------------------------------------------------------------
 * Steering
 */
static unsigned place(const struct vio_steer *s)
{
	unsigned flow = vio_steer_flow(s, frame, frame_len);

	assert_true(flow < VIO_STEER_FLOWS);
	return flow;
}

static void a_flow_is_the_same_in_both_directions(void **state)
{
	const struct flow there = { "10.0.2.15", "10.0.2.2", 40000, 80 };
	const struct flow back = { "10.0.2.2", "10.0.2.15", 80, 40000 };
	const struct flow self = { "10.0.2.2", "10.0.2.2", 80, 81 };
	const struct flow self_back = { "10.0.2.2", "10.0.2.2", 81, 80 };
	const struct flow there6 = { "fe80::1", "fe80::2", 40000, 80 };
	const struct flow back6 = { "fe80::2", "fe80::1", 80, 40000 };
	struct vio_steer s;
	unsigned flow;

	(void)state;
	vio_steer_init(&s, 4);
	make_ipv4(&there, TCP, 0, 0, 0);
	flow = place(&s);
	make_ipv4(&back, TCP, 2, 12, 0);
	assert_int_equal(place(&s), flow);
	make_ipv4(&self, UDP, 0, 0, 0);
	flow = place(&s);
	make_ipv4(&self_back, UDP, 0, 0, 0);
	assert_int_equal(place(&s), flow);
	make_ipv6(&there6, TCP, 0, none, 0);
	flow = place(&s);
	make_ipv6(&back6, TCP, 0, none, 0);
	assert_int_equal(place(&s), flow);
	/* What is no IP at all is one flow. */
	put_ethernet(0, 0x0806);
	flow = place(&s);
	put_ethernet(0, 0x88cc);
	assert_int_equal(place(&s), flow);
}

static void flows_are_spread_evenly(void **state)
{
	unsigned count[16] = { 0 };
	struct vio_steer s;

	(void)state;
	vio_steer_init(&s, 16);
	/* Addresses and ports that count up together, as those of many clients do. */
	for (unsigned i = 0; i < 4096; i++) {
		char from[32];
		struct flow f = { from, "10.0.2.15", (uint16_t)(40000 + i), 80 };

		snprintf(from, sizeof(from), "192.168.%u.%u", i / 200, i % 200 + 1);
		make_ipv4(&f, TCP, 0, 0, 0);
		count[vio_steer_pair(&s, place(&s))]++;
	}
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(count[i], 128, 512); /* 256 each would be even */
}

static void what_the_guest_sends_decides(void **state)
{
	struct vio_steer s;

	(void)state;
	vio_steer_init(&s, 4);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow++) {
		for (unsigned pair = 0; pair < 4; pair++) {
			vio_steer_learn(&s, flow, pair);
			assert_int_equal(vio_steer_pair(&s, flow), pair);
		}
		assert_in_range(vio_steer_pair(&s, (flow + 1) % VIO_STEER_FLOWS), 0, 3);
	}
}

static void no_flow_goes_to_a_pair_that_is_not_in_use(void **state)
{
	unsigned was[VIO_STEER_FLOWS], seen = 0;
	struct vio_steer s;

	(void)state;
	vio_steer_init(&s, 8);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow += 2)
		vio_steer_learn(&s, flow, flow / 2 % 8);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow++)
		was[flow] = vio_steer_pair(&s, flow);
	vio_steer_resize(&s, 3, true);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow++) {
		unsigned pair = vio_steer_pair(&s, flow);

		assert_true(pair < 3);
		if (was[flow] < 3)
			assert_int_equal(pair, was[flow]);
		was[flow] = pair;
	}
	/* More pairs: what is pinned stays; what the guest had on a closed one does not come back. */
	vio_steer_resize(&s, 8, true);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow++)
		assert_int_equal(vio_steer_pair(&s, flow), was[flow]);
	/* Without pinning the unknown ones are dealt out anew. */
	vio_steer_init(&s, 1);
	vio_steer_resize(&s, 8, false);
	for (unsigned flow = 0; flow < VIO_STEER_FLOWS; flow++)
		seen |= 1u << vio_steer_pair(&s, flow);
	assert_int_equal(seen, 0xff);
}

static int setup(void **state)
{
	(void)state;
	vio_toeplitz_init(&toeplitz, vio_toeplitz_default_key, VIO_TOEPLITZ_KEY);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tables_do_what_the_definition_says),
		cmocka_unit_test(published_vectors_of_ipv4),
		cmocka_unit_test(published_vectors_of_ipv6),
		cmocka_unit_test(extension_headers_count_where_a_type_for_them_is_enabled),
		cmocka_unit_test(noise_is_hashed_within_its_bounds),
		cmocka_unit_test(a_flow_is_the_same_in_both_directions),
		cmocka_unit_test(flows_are_spread_evenly),
		cmocka_unit_test(what_the_guest_sends_decides),
		cmocka_unit_test(no_flow_goes_to_a_pair_that_is_not_in_use),
	};

	return cmocka_run_group_tests_name("hash", tests, setup, NULL);
}
