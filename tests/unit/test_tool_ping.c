/* SPDX-License-Identifier: BSD-2-Clause */
/* The packets of `vioduct ping`: two hosts that are made of the same code talk to each other, and
 * get frames that nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bits.h"

#include "../../tools/ping_net.h"
#include "../../tools/ping_net.c"

static struct ping_host host(bool v6, uint8_t own, uint8_t other)
{
	struct ping_host h = { .v6 = v6, .id = 0x4711, .mac = { 2, 0, 0, 0, 0, own } };
	uint8_t prefix[16] = { 0xfe, 0xc0 };

	if (!v6)
		memcpy(prefix, (uint8_t[]){ 10, 0, 2 }, 3);
	memcpy(h.address, prefix, 16);
	memcpy(h.target, prefix, 16);
	h.address[v6 ? 15 : 3] = own;
	h.target[v6 ? 15 : 3] = other;
	memcpy(h.next_hop, h.target, 16);
	return h;
}

/* Turns our echo request into the reply that its target would send. */
static void make_reply(const struct ping_host *h, uint8_t *frame)
{
	uint8_t *ip = frame + 14, *icmp = ip + (h->v6 ? 40 : 20), saved[16];
	unsigned size = h->v6 ? 16 : 4, at = h->v6 ? 8 : 12;
	uint16_t sum;
	uint32_t len = h->v6 ? vio_get_be16(ip + 4) : vio_get_be16(ip + 2) - 20u;

	memcpy(frame, h->mac, 6);
	memcpy(frame + 6, h->next_mac, 6);
	memcpy(saved, ip + at, size);
	memcpy(ip + at, ip + at + size, size);
	memcpy(ip + at + size, saved, size);
	icmp[0] = h->v6 ? 129 : 0;
	memset(icmp + 2, 0, 2);
	sum = vio_csum_fold(vio_csum_add(icmp, len, h->v6 ? pseudo_sum(ip, len) : 0));
	memcpy(icmp + 2, &sum, 2);
}

static void resolve_and_ping(bool v6)
{
	struct ping_host a = host(v6, 1, 2), b = host(v6, 2, 1), c = host(v6, 3, 1);
	uint8_t question[PING_SHORT_MAX], answer[PING_SHORT_MAX], none[PING_SHORT_MAX];
	uint8_t echo[PING_HEAD_MAX + 1000];
	struct ping_seen seen;
	uint32_t len;

	len = ping_solicit(&a, question);
	/* Whom it is not about says nothing. */
	assert_int_equal(ping_receive(&c, question, len, none, &seen), PING_NOTHING);
	assert_int_equal(ping_receive(&b, question, len, answer, &seen), PING_ASKED);
	assert_int_equal(ping_receive(&a, answer, seen.answer_len, none, &seen), PING_RESOLVED);
	assert_true(a.resolved);
	assert_memory_equal(a.next_mac, b.mac, 6);

	len = ping_echo(&a, 77, 1000, echo);
	assert_int_equal(len, 14 + (v6 ? 40 : 20) + 8 + 1000);
	assert_memory_equal(echo, b.mac, 6);
	assert_int_equal(ping_receive(&a, echo, len, none, &seen), PING_NOTHING);
	make_reply(&a, echo);
	assert_int_equal(ping_receive(&c, echo, len, none, &seen), PING_NOTHING);
	assert_int_equal(ping_receive(&a, echo, len, none, &seen), PING_REPLY);
	assert_int_equal(seen.seq, 77);
	assert_int_equal(seen.size, 1000);
	assert_false(seen.corrupt);
	echo[len - 1] ^= 1;
	assert_int_equal(ping_receive(&a, echo, len, none, &seen), PING_REPLY);
	assert_true(seen.corrupt);
}

static void test_v4_resolves_and_pings(void **state)
{
	(void)state;
	resolve_and_ping(false);
}

static void test_v6_resolves_and_pings(void **state)
{
	(void)state;
	resolve_and_ping(true);
}

static void test_short_requests_are_filled_up(void **state)
{
	struct ping_host a = host(false, 1, 2);
	uint8_t frame[PING_HEAD_MAX], none[PING_SHORT_MAX];
	struct ping_seen seen;

	(void)state;
	assert_int_equal(ping_echo(&a, 1, 0, frame), PING_FRAME_MIN);
	make_reply(&a, frame);
	assert_int_equal(ping_receive(&a, frame, PING_FRAME_MIN, none, &seen), PING_REPLY);
	assert_int_equal(seen.size, 0);
}

/* Each frame that is understood, cut at every length and with every byte at its extremes, lies at
 * the end of its memory: AddressSanitizer sees what is read beyond. */
static void mangle(struct ping_host h, const uint8_t *frame, uint32_t len)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint8_t answer[PING_SHORT_MAX];
	struct ping_seen seen;
	uint32_t cut, at;
	unsigned i;

	for (cut = 0; cut <= len; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1);

		for (at = 0; at < cut; at++)
			for (i = 0; i < vio_array_size(values); i++) {
				memcpy(copy, frame, cut);
				copy[at] = values[i];
				ping_receive(&h, copy, cut, answer, &seen);
			}
		free(copy);
	}
}

static void test_mangled_frames_are_read_within_bounds(void **state)
{
	uint8_t frame[PING_HEAD_MAX + 16], question[PING_SHORT_MAX], answer[PING_SHORT_MAX];
	struct ping_seen seen;
	int v6;

	(void)state;
	for (v6 = 0; v6 < 2; v6++) {
		struct ping_host a = host(v6, 1, 2), b = host(v6, 2, 1);
		uint32_t len = ping_solicit(&a, question);

		mangle(b, question, len);
		assert_int_equal(ping_receive(&b, question, len, answer, &seen), PING_ASKED);
		mangle(a, answer, seen.answer_len);
		len = ping_echo(&a, 1, 16, frame);
		make_reply(&a, frame);
		mangle(a, frame, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4_resolves_and_pings),
		cmocka_unit_test(test_v6_resolves_and_pings),
		cmocka_unit_test(test_short_requests_are_filled_up),
		cmocka_unit_test(test_mangled_frames_are_read_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
