/* SPDX-License-Identifier: BSD-2-Clause */
/* From the guest to the back end: order, back-pressure, what software does for the back end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "netframe.h"
#include "bed.h"

/* Frame @n of a test, of a size that differs from its neighbours'. */
static uint32_t numbered(uint8_t *bytes, unsigned n)
{
	uint32_t len = 60 + n * 37 % 1400;

	bed_pattern(bytes, len, n);
	return len;
}

static void send_numbered(struct bed *r, unsigned pair, unsigned n)
{
	uint8_t bytes[1600];
	uint32_t len = numbered(bytes, n);

	assert_true(bed_send(r, pair, NULL, bytes, len));
}

/* The next frame that the back end got must be number @n. */
static void expect_numbered(struct bed *r, unsigned n)
{
	struct fake_frame *f = fake_backend_next(r->fb);
	uint8_t bytes[1600];

	assert_non_null(f);
	assert_int_equal(f->len, numbered(bytes, n));
	assert_memory_equal(f->bytes, bytes, f->len);
	free(f);
}

/* ---- Q13 ---------------------------------------------------------------------------------- */

static void q13_back_end_takes_k_of_n_and_nothing_is_lost_or_doubled(void **state)
{
	unsigned added = 0, seen = 0;
	uint64_t seed = 4711;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	while (seen < 2000) {
		unsigned more = netframe_between(&seed, 0, 50), sent;
		int ret;

		while (more-- && added < 2000 && added - seen < 200)
			send_numbered(&r, 0, added++);
		r.fb->take = (long)netframe_between(&seed, 0, 40);
		r.fb->at_once = netframe_between(&seed, 0, 9);
		ret = bed_turn_budget(&r, 0, netframe_between(&seed, 1, 100));
		sent = fake_backend_sent(r.fb);
		if (ret == -EAGAIN) {
			assert_int_equal(sent, 0);
			assert_true(vio_device_tx_held(r.dev, 0));
		} else {
			assert_int_equal(ret, sent);
		}
		/* What the back end has taken, and no more, goes back to the guest. */
		assert_int_equal(bed_reap_tx(&r, 0), sent);
		while (sent--)
			expect_numbered(&r, seen++);
		assert_int_equal(bed_stats(&r, 1).packets, seen);
	}
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BACKEND], 0);
	bed_close(&r);
}

/* With frame 0 held, because the back end takes none. */
static void open_held(struct bed *r)
{
	bed_open(r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	send_numbered(r, 0, 0);
	r->fb->take = 0;
	assert_int_equal(bed_turn(r, 0), -EAGAIN);
}

static void q13_busy_back_end_holds_and_resumes(void **state)
{
	struct bed r;

	(void)state;
	open_held(&r);
	assert_true(vio_device_tx_held(r.dev, 0));
	assert_true(vio_device_tx_pending(r.dev, 0));
	assert_int_equal(bed_turn(&r, 0), -EAGAIN);
	assert_int_equal(bed_reap_tx(&r, 0), 0);
	assert_int_equal(r.calls[1], 0);
	r.fb->take = -1;
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_false(vio_device_tx_held(r.dev, 0));
	assert_false(vio_device_tx_pending(r.dev, 0));
	expect_numbered(&r, 0);
	assert_null(fake_backend_next(r.fb));
	bed_close(&r);
}

static void q13_a_frame_the_back_end_refuses_is_dropped_alone(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	for (unsigned i = 0; i < 3; i++)
		send_numbered(&r, 0, i);
	r.fb->fail = -EIO;
	assert_int_equal(bed_turn(&r, 0), 3);
	assert_int_equal(bed_reap_tx(&r, 0), 3);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BACKEND], 1);
	assert_int_equal(bed_stats(&r, 1).packets, 2);
	expect_numbered(&r, 1);
	expect_numbered(&r, 2);
	/* -EAGAIN is no refusal. */
	send_numbered(&r, 0, 3);
	r.fb->fail = -EAGAIN;
	assert_int_equal(bed_turn(&r, 0), -EAGAIN);
	assert_int_equal(bed_turn(&r, 0), 1);
	expect_numbered(&r, 3);
	bed_close(&r);
}

static void q13_link_down_completes_and_drops(void **state)
{
	struct bed r;

	(void)state;
	open_held(&r);
	/* Must not stay so when the link goes down. */
	vio_device_set_link(r.dev, false);
	send_numbered(&r, 0, 1);
	assert_int_equal(bed_turn(&r, 0), 2);
	assert_false(vio_device_tx_held(r.dev, 0));
	assert_int_equal(bed_reap_tx(&r, 0), 2);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_LINK_DOWN], 2);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	r.fb->take = -1;
	vio_device_set_link(r.dev, true);
	send_numbered(&r, 0, 2);
	assert_int_equal(bed_turn(&r, 0), 1);
	expect_numbered(&r, 2);
	bed_close(&r);
}

static void q13_a_disabled_queue_completes_and_drops(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	assert_int_equal(vio_device_queue_enable(r.dev, 1, false), 0);
	send_numbered(&r, 0, 0);
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	assert_int_equal(vio_device_queue_enable(r.dev, 1, true), 0);
	send_numbered(&r, 0, 1);
	assert_int_equal(bed_turn(&r, 0), 1);
	expect_numbered(&r, 1);
	bed_close(&r);
}

static void q13_a_queue_that_stopped_or_broke_is_not_held(void **state)
{
	struct bed r;

	(void)state;
	open_held(&r);
	vio_device_queue_break(r.dev, 1, VIO_VQ_MEMORY_GONE);
	assert_int_equal(r.broken[1], 1);
	assert_int_equal(r.why[1], VIO_VQ_MEMORY_GONE);
	assert_int_equal(bed_turn(&r, 0), -EPROTO);
	assert_int_equal(r.broken[1], 1); /* told once */
	assert_false(vio_device_tx_held(r.dev, 0));
	assert_false(vio_device_tx_pending(r.dev, 0));
	bed_stop(&r);
	bed_start(&r);
	send_numbered(&r, 0, 1);
	assert_int_equal(bed_turn(&r, 0), -EAGAIN);
	assert_int_equal(vio_device_queue_stop(r.dev, 1, NULL), 0);
	assert_int_equal(bed_turn(&r, 0), 0);
	assert_false(vio_device_tx_held(r.dev, 0));
	bed_close(&r);
}

/* ---- Q5, interrupts ----------------------------------------------------------------------- */

static void q5_a_turn_stops_at_its_budget_and_says_what_is_left(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	for (unsigned i = 0; i < 100; i++)
		send_numbered(&r, 0, i);
	assert_int_equal(bed_turn_budget(&r, 0, 70), 70);
	assert_true(vio_device_tx_pending(r.dev, 0));
	assert_int_equal(bed_turn_budget(&r, 0, 70), 30);
	assert_int_equal(bed_turn_budget(&r, 0, 70), 0);
	assert_false(vio_device_tx_pending(r.dev, 0));
	bed_close(&r);
}

static void q12_one_interrupt_a_turn_and_only_when_asked_for(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	for (unsigned i = 0; i < 100; i++)
		send_numbered(&r, 0, i);
	assert_int_equal(bed_turn(&r, 0), 100);
	assert_int_equal(r.calls[1], 0);
	assert_int_equal(bed_reap_tx(&r, 0), 100);
	assert_false(vio_drvq_notify_enable(r.q[1].drv, 0));
	for (unsigned i = 0; i < 100; i++)
		send_numbered(&r, 0, i);
	assert_int_equal(bed_turn(&r, 0), 100);
	assert_int_equal(r.calls[1], 1);
	assert_int_equal(bed_stats(&r, 1).calls, 1);
	assert_int_equal(r.calls[0], 0);
	bed_close(&r);
}

static void pairs_do_not_meet(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r,
		 &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX, .pairs = 3 });
	for (unsigned pair = 0; pair < 3; pair++)
		send_numbered(&r, pair, pair);
	assert_int_equal(bed_turn(&r, 2), 1);
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(bed_turn(&r, 0), 0);
	expect_numbered(&r, 2);
	expect_numbered(&r, 0);
	assert_int_equal(bed_reap_tx(&r, 1), 0);
	assert_int_equal(bed_turn(&r, 1), 1);
	expect_numbered(&r, 1);
	bed_close(&r);
}

static void what_the_header_says_of_nothing_goes_no_further(void **state)
{
	static const struct vio_net_meta junk = { .hdr_len = 9999,
						  .gso_size = 8888,
						  .csum_start = 7777,
						  .csum_offset = 6666,
						  .num_buffers = 5555 };
	static const struct vio_net_meta none;
	struct fake_frame *f;
	uint8_t bytes[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	assert_true(bed_send(&r, 0, &junk, bytes, sizeof(bytes)));
	assert_int_equal(bed_turn(&r, 0), 1);
	f = fake_backend_next(r.fb);
	assert_memory_equal(&f->meta, &none, sizeof(none));
	free(f);
	bed_close(&r);
}

/* ---- Offloads in software ----------------------------------------------------------------- */

static const uint8_t gso_types[] = {
	VIO_NET_HDR_GSO_TCPV4,	VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
	VIO_NET_HDR_GSO_TCPV6,	VIO_NET_HDR_GSO_TCPV6 | VIO_NET_HDR_GSO_ECN,
	VIO_NET_HDR_GSO_UDP_L4, VIO_NET_HDR_GSO_UDP,
};

/* Random pieces for a frame. */
static unsigned cut(uint32_t len, uint32_t *pieces, unsigned max, uint64_t *seed)
{
	unsigned n = 0;

	for (uint32_t done = 0; n < max && done < len; n++) {
		pieces[n] = netframe_between(seed, 1, n < 6 ? 30 : len / 4 + 1);
		done += pieces[n];
	}
	return n;
}

static void send_netframe(struct bed *r, const struct netframe *f, uint64_t *seed)
{
	uint32_t pieces[60];
	unsigned n = cut(f->len, pieces, 60, seed);

	assert_true(bed_send_pieces(r, 0, &f->meta, f->bytes, f->len, pieces, n));
}

/* @got must be segment @index of @f; an IPv6 fragment's identification is put in *@id. */
static void expect_segment(const struct netframe *f, unsigned index, struct fake_frame *got,
			   uint32_t *id)
{
	static uint8_t want[NETFRAME_MAX];
	static const struct vio_net_meta none;
	uint32_t len = netframe_segment(f, index, want);

	assert_non_null(got);
	assert_int_equal(got->len, len);
	if (f->spec.ipv6 && f->spec.gso_type == VIO_NET_HDR_GSO_UDP &&
	    memcmp(got->bytes, want, len) != 0) {
		memcpy(id, got->bytes + f->split + 4, 4);
		memset(got->bytes + f->split + 4, 0, 4);
	}
	assert_memory_equal(got->bytes, want, len);
	assert_memory_equal(&got->meta, &none, sizeof(none));
}

static unsigned count_segments(const struct netframe *f)
{
	static uint8_t out[NETFRAME_MAX];
	unsigned n = 0;

	while (netframe_segment(f, n, out) > 0)
		n++;
	return n;
}

static void software_cuts_what_the_back_end_lacks(void **state)
{
	static struct netframe f;
	uint64_t seed = 99;
	struct bed r;

	(void)state;
	for (unsigned type = 0; type < sizeof(gso_types); type++) {
		bed_open(&r, &(struct bed_conf){ .features = ~0ull, .region_size = 16 << 20 });
		for (unsigned round = 0; round < 12; round++) {
			struct netframe_spec spec = netframe_random_gso(gso_types[type], &seed);
			unsigned n, i;
			uint32_t id = 0;

			netframe_build(&f, &spec, &seed);
			n = count_segments(&f);
			if (n > 2048)
				continue;
			send_netframe(&r, &f, &seed);
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_reap_tx(&r, 0), 1);
			assert_int_equal(fake_backend_sent(r.fb), n);
			for (i = 0; i < n; i++) {
				struct fake_frame *got = fake_backend_next(r.fb);

				expect_segment(&f, i, got, &id);
				free(got);
			}
		}
		assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 0);
		bed_close(&r);
	}
}

/* The back end takes a few segments now and then; between, the frame goes back to the ring. */
static void q13_a_half_sent_frame_goes_on_at_the_segment_it_stopped_at(void **state)
{
	static struct netframe f;
	uint64_t seed = 5;
	struct bed r;

	(void)state;
	for (unsigned type = 0; type < sizeof(gso_types); type++) {
		bed_open(&r, &(struct bed_conf){ .features = ~0ull, .region_size = 16 << 20 });
		for (unsigned round = 0; round < 6; round++) {
			struct netframe_spec spec = netframe_random_gso(gso_types[type], &seed);
			uint32_t id = 0, first_id = 0;
			unsigned n, seen = 0;
			int ret;

			if (spec.udp)
				spec.ipv6 = round & 1;
			if (spec.payload < 20000)
				spec.payload = 20000;
			if (spec.gso_size < 200)
				spec.gso_size = 200;
			netframe_build(&f, &spec, &seed);
			n = count_segments(&f);
			send_netframe(&r, &f, &seed);
			send_numbered(&r, 0, round); /* must come behind */
			do {
				struct fake_frame *got;

				r.fb->take = (long)netframe_between(&seed, 0, n / 3);
				r.fb->at_once = netframe_between(&seed, 0, 7);
				ret = bed_turn(&r, 0);
				while (seen < n && (got = fake_backend_next(r.fb))) {
					expect_segment(&f, seen, got, &id);
					/* All fragments belong to one datagram. */
					if (seen == 0)
						first_id = id;
					assert_int_equal(id, first_id);
					free(got);
					seen++;
				}
				assert_true(seen == n || ret == -EAGAIN);
			} while (seen < n);
			r.fb->take = -1;
			bed_turn(&r, 0);
			expect_numbered(&r, round);
			assert_null(fake_backend_next(r.fb));
			assert_int_equal(bed_reap_tx(&r, 0), 2);
		}
		bed_close(&r);
	}
}

/* Frames of many segments don't make a turn longer than others. */
static void q5_segments_count_against_the_budget(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 30000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1000,
				      .needs_csum = true };
	uint64_t seed = 8;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	netframe_build(&f, &spec, &seed);
	for (unsigned i = 0; i < 6; i++)
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	for (unsigned done = 0; done < 6;) {
		/* The one that is begun is finished. */
		assert_int_equal(bed_turn_budget(&r, 0, done ? 20 : 40), done ? 1 : 2);
		done += done ? 1 : 2;
		assert_int_equal(fake_backend_sent(r.fb), done * 30);
		assert_false(vio_device_tx_held(r.dev, 0));
		assert_int_equal(vio_device_tx_pending(r.dev, 0), done < 6);
	}
	assert_int_equal(bed_reap_tx(&r, 0), 6);
	bed_close(&r);
}

/* What was sent of one frame is no reason to leave out parts of another. */
static void a_half_sent_frame_that_the_guest_replaces_does_not_concern_the_next(void **state)
{
	static struct netframe f;
	uint64_t seed = 6;
	struct netframe_spec spec = { .payload = 30000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1000,
				      .needs_csum = true };
	struct bed_buf *half;
	struct bed r;
	uint32_t id;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	netframe_build(&f, &spec, &seed);
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	half = r.bufs;
	send_numbered(&r, 0, 1);
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	r.fb->take = 7;
	assert_int_equal(bed_turn(&r, 0), -EAGAIN);
	for (unsigned i = 0; i < 7; i++)
		free(fake_backend_next(r.fb));
	/* It is a plain frame now: its header says so. */
	memset(guest_at(&r.g, half->segs[0].addr), 0, r.hdr_size);
	r.fb->take = 1;
	assert_int_equal(bed_turn(&r, 0), 1);
	r.fb->take = -1;
	assert_int_equal(bed_turn(&r, 0), 2);
	free(fake_backend_next(r.fb));
	expect_numbered(&r, 1);
	for (unsigned i = 0; i < 30; i++) {
		struct fake_frame *got = fake_backend_next(r.fb);

		expect_segment(&f, i, got, &id);
		free(got);
	}
	assert_null(fake_backend_next(r.fb));
	bed_close(&r);
}

static void software_completes_checksums_in_a_copy(void **state)
{
	static struct netframe f;
	uint64_t seed = 17;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	for (unsigned round = 0; round < 60; round++) {
		struct netframe_spec spec = { .ipv6 = round & 1,
					      .udp = round & 2,
					      .vlan_tags = round % 3,
					      .payload = netframe_between(&seed, 0, 1400),
					      .needs_csum = true };
		struct fake_frame *got;
		uint16_t check;
		uint32_t at;

		netframe_build(&f, &spec, &seed);
		send_netframe(&r, &f, &seed);
		assert_int_equal(bed_turn(&r, 0), 1);
		got = fake_backend_next(r.fb);
		assert_int_equal(got->len, f.len);
		assert_int_equal(got->meta.flags | got->meta.gso_type | got->meta.csum_start, 0);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		check = netframe_transport_check(&f, f.bytes, f.len);
		if (spec.udp && check == 0)
			check = 0xffff;
		at = f.l4 + (spec.udp ? 6 : 16);
		assert_int_equal(got->bytes[at] << 8 | got->bytes[at + 1], check);
		memcpy(got->bytes + at, f.bytes + at, 2);
		assert_memory_equal(got->bytes, f.bytes, f.len);
		free(got);
	}
	bed_close(&r);
}

/* A full burst of frames in as many pieces as there can be: scratch memory runs out, order stays. */
static void software_checksums_for_a_burst_of_scattered_frames(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .udp = true, .payload = 1400, .needs_csum = true };
	uint64_t seed = 3;
	uint32_t pieces[240];
	struct bed r;

	(void)state;
	for (unsigned i = 0; i < 240; i++)
		pieces[i] = 5;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull & ~vio_feature(VIO_F_INDIRECT_DESC),
					 .num = 1024 });
	for (unsigned round = 0; round < 10; round++) {
		unsigned n = 0;

		netframe_build(&f, &spec, &seed);
		for (; n < 4; n++)
			assert_true(bed_send_pieces(&r, 0, &f.meta, f.bytes, f.len, pieces, 240));
		for (; bed_send_pieces(&r, 0, &f.meta, f.bytes, f.len, pieces, 12); n++)
			continue;
		assert_int_equal(bed_turn(&r, 0), n);
		assert_int_equal(fake_backend_sent(r.fb), n);
		assert_int_equal(bed_reap_tx(&r, 0), n);
		while (n--) {
			struct fake_frame *got = fake_backend_next(r.fb);

			assert_memory_equal(got->bytes + f.payload_at, f.bytes + f.payload_at,
					    1400);
			free(got);
		}
	}
	bed_close(&r);
}

static void a_back_end_that_has_an_offload_gets_the_frame_whole(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 20000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1448,
				      .needs_csum = true };
	struct fake_frame *got;
	uint64_t seed = 1;
	struct bed r;

	(void)state;
	netframe_build(&f, &spec, &seed);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = BED_ALL_TX });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	assert_int_equal(bed_turn(&r, 0), 1);
	got = fake_backend_next(r.fb);
	assert_int_equal(got->len, f.len);
	assert_int_equal(got->meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(got->meta.gso_size, 1448);
	assert_int_equal(got->meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(got->bytes, f.bytes, f.len);
	free(got);
	bed_close(&r);

	/* TSO without checksums: whole, but with its checksum made. */
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = VIO_OFFLOAD_TSO4 });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	assert_int_equal(bed_turn(&r, 0), 1);
	got = fake_backend_next(r.fb);
	assert_int_equal(got->len, f.len);
	assert_int_equal(got->meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(got->meta.flags, 0);
	assert_int_equal(got->bytes[f.l4 + 16] << 8 | got->bytes[f.l4 + 17],
			 netframe_transport_check(&f, f.bytes, f.len));
	free(got);
	bed_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q13_back_end_takes_k_of_n_and_nothing_is_lost_or_doubled),
		cmocka_unit_test(q13_busy_back_end_holds_and_resumes),
		cmocka_unit_test(q13_a_frame_the_back_end_refuses_is_dropped_alone),
		cmocka_unit_test(q13_link_down_completes_and_drops),
		cmocka_unit_test(q13_a_disabled_queue_completes_and_drops),
		cmocka_unit_test(q13_a_queue_that_stopped_or_broke_is_not_held),
		cmocka_unit_test(q5_a_turn_stops_at_its_budget_and_says_what_is_left),
		cmocka_unit_test(q12_one_interrupt_a_turn_and_only_when_asked_for),
		cmocka_unit_test(pairs_do_not_meet),
		cmocka_unit_test(what_the_header_says_of_nothing_goes_no_further),
		cmocka_unit_test(software_cuts_what_the_back_end_lacks),
		cmocka_unit_test(q13_a_half_sent_frame_goes_on_at_the_segment_it_stopped_at),
		cmocka_unit_test(q5_segments_count_against_the_budget),
		cmocka_unit_test(
			a_half_sent_frame_that_the_guest_replaces_does_not_concern_the_next),
		cmocka_unit_test(software_completes_checksums_in_a_copy),
		cmocka_unit_test(software_checksums_for_a_burst_of_scattered_frames),
		cmocka_unit_test(a_back_end_that_has_an_offload_gets_the_frame_whole),
	};

	return cmocka_run_group_tests_name("device_tx", tests, NULL, NULL);
}
