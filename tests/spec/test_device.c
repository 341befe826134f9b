/* SPDX-License-Identifier: BSD-2-Clause */
/* What the virtio specification demands of a net device, by the number of each assertion. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/endian.h"
#include "netframe.h"
#include "bed.h"

#define F(bit)	 (UINT64_C(1) << VIO_NET_F_##bit)
#define MODERN	 (UINT64_C(1) << VIO_F_VERSION_1)
#define NO_MERGE (~vio_feature(VIO_NET_F_MRG_RXBUF))

static struct bed_frame got;

static void s1_header_has_12_bytes_under_version_1(void **state)
{
	static const struct {
		uint64_t features;
		uint32_t size;
	} cases[] = {
		{ 0, 10 }, { F(MRG_RXBUF), 12 }, { MODERN, 12 }, { MODERN | F(MRG_RXBUF), 12 }
	};
	uint8_t frame[60];
	struct bed r;

	(void)state;
	bed_pattern(frame, sizeof(frame), 1);
	for (unsigned i = 0; i < 4; i++) {
		struct fake_frame *f;
		uint32_t len = 0;

		bed_open(&r, &(struct bed_conf){ .features = cases[i].features });
		assert_int_equal(r.hdr_size, cases[i].size);
		assert_true(bed_send(&r, 0, NULL, frame, sizeof(frame)));
		bed_post(&r, 0, 1526, 1);
		fake_backend_give(r.fb, 0, frame, sizeof(frame), NULL);
		assert_int_equal(bed_turn(&r, 0), 1);
		f = fake_backend_next(r.fb);
		assert_int_equal(f->len, 60);
		assert_memory_equal(f->bytes, frame, 60);
		free(f);
		assert_non_null(bed_reap(&r, 0, &len));
		assert_int_equal(len, 60 + cases[i].size);
		bed_close(&r);
	}
}

static void s2_num_buffers_is_1_without_merging(void **state)
{
	uint8_t frame[60] = { 0 };
	struct vio_net_meta odd = { .num_buffers = 77 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = NO_MERGE });
	bed_post(&r, 0, 1526, 1);
	fake_backend_give(r.fb, 0, frame, sizeof(frame), &odd);
	/* On transmit it means nothing, and whatever a driver leaves there is not passed on. */
	assert_true(bed_send(&r, 0, &odd, frame, sizeof(frame)));
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_true(bed_recv(&r, 0, &got));
	assert_int_equal(got.meta.num_buffers, 1);
	assert_int_equal(fake_backend_sent(r.fb), 1);
	assert_int_equal(r.fb->sent.first->meta.num_buffers, 0);
	bed_close(&r);
}

static void s5_without_mq_only_the_first_pair_is_a_data_queue(void **state)
{
	uint64_t mq = F(MQ);
	struct bed r;
	uint8_t pairs[2];

	(void)state;
	/* The control queue follows the pairs that are offered: 2 without MQ. It is not ours to
	 * serve here, so what can be seen is that MQ and its field are offered together. */
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .no_start = true });
	assert_int_equal(vio_device_features(r.dev).w[0] & mq, 0);
	assert_int_equal(vio_device_num_queues(r.dev), 2);
	bed_close(&r);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .pairs = 4, .no_start = true });
	assert_int_equal(vio_device_features(r.dev).w[0] & mq, mq);
	vio_device_config_read(r.dev, 8, pairs, 2);
	assert_int_equal(pairs[0], 4);
	assert_int_equal(vio_device_num_queues(r.dev), 8);
	bed_close(&r);
}

/* Every place where a header and a frame can be cut once, and some where twice. */
static void s6_arbitrary_splits_are_accepted(void **state)
{
	uint8_t frame[64];
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	bed_pattern(frame, sizeof(frame), 3);
	for (uint32_t a = 1; a < 76; a++) {
		for (uint32_t b = 0; b < 76 - a; b += 1 + b / 4) {
			uint32_t pieces[2] = { a, b };
			struct fake_frame *f;

			assert_true(bed_send_pieces(&r, 0, NULL, frame, 64, pieces, b ? 2 : 1));
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_reap_tx(&r, 0), 1);
			f = fake_backend_next(r.fb);
			assert_int_equal(f->len, 64);
			assert_memory_equal(f->bytes, frame, 64);
			free(f);
		}
	}
	for (uint32_t a = 1; a < 30; a++) {
		uint32_t pieces[3] = { a, 30 - a, 1500 };

		assert_true(bed_post_pieces(&r, 0, pieces, 3));
		fake_backend_give(r.fb, 0, frame, 64, NULL);
		bed_turn(&r, 0);
		assert_true(bed_recv(&r, 0, &got));
		assert_int_equal(got.len, 64);
		assert_memory_equal(got.bytes, frame, 64);
	}
	bed_close(&r);
}

static void s7_used_length_counts_what_the_device_wrote(void **state)
{
	uint8_t frame[300] = { 0 };
	struct bed r;
	uint32_t len;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	assert_true(bed_send(&r, 0, NULL, frame, 300));
	bed_post(&r, 0, 1526, 1);
	bed_post(&r, 0, 200, 2);
	fake_backend_give(r.fb, 0, frame, 299, NULL);
	fake_backend_give(r.fb, 0, frame, 300, NULL);
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_non_null(bed_reap(&r, 1, &len));
	assert_int_equal(len, 0);
	assert_non_null(bed_reap(&r, 0, &len));
	assert_int_equal(len, 12 + 299);
	assert_non_null(bed_reap(&r, 0, &len));
	assert_int_equal(len, 200);
	assert_non_null(bed_reap(&r, 0, &len));
	assert_int_equal(len, 112);
	bed_close(&r);
}

static void s8_nothing_is_consumed_before_the_queue_starts(void **state)
{
	struct vio_devq_setup setup;
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(vio_device_queue_stop(r.dev, q, NULL), 0);
	assert_true(bed_send(&r, 0, NULL, frame, 60));
	bed_post(&r, 0, 1526, 1);
	fake_backend_give(r.fb, 0, frame, 60, NULL);
	vio_device_count_kick(r.dev, 1);
	assert_int_equal(bed_turn(&r, 0), 0);
	assert_false(vio_device_tx_pending(r.dev, 0));
	assert_true(vio_device_rx_starved(r.dev, 0));
	assert_false(vio_device_tx_kicks(r.dev, 0, true));
	assert_false(vio_device_rx_kicks(r.dev, 0, true));
	for (unsigned q = 0; q < 2; q++) {
		assert_int_equal(guest_queue_used_idx(&r.q[q]), 0);
		setup = guest_queue_setup(&r.q[q], 0);
		assert_int_equal(vio_device_queue_start(r.dev, q, &setup, r.g.mem), 0);
	}
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(fake_backend_sent(r.fb), 1);
	assert_true(bed_recv(&r, 0, &got));
	bed_close(&r);
}

static void s9_features_ok_stays_clear_on_an_impossible_set(void **state)
{
	const uint8_t before = VIO_STATUS_ACKNOWLEDGE | VIO_STATUS_DRIVER;
	struct vio_features bad[] = {
		vio_features_make(MODERN | F(HOST_TSO4), 0), /* without CSUM */
		vio_features_make(MODERN | F(HOST_ECN) | F(CSUM), 0),
		vio_features_make(MODERN | F(RSS), 0), /* not offered */
		vio_features_make(MODERN, 1),
	};
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = 0, .no_start = true });
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vio_device_set_status(r.dev, 0), 0);
		assert_int_equal(vio_device_set_status(r.dev, before), before);
		assert_int_equal(vio_device_set_driver_features(r.dev, bad[i]), -EINVAL);
		assert_int_equal(vio_device_driver_features(r.dev).w[0], 0);
		assert_int_equal(vio_device_set_status(r.dev, before | VIO_STATUS_FEATURES_OK),
				 before);
		/* It may think again. */
		assert_int_equal(
			vio_device_set_driver_features(r.dev, vio_features_make(MODERN, 0)), 0);
		assert_int_equal(vio_device_set_status(r.dev, before | VIO_STATUS_FEATURES_OK),
				 before | VIO_STATUS_FEATURES_OK);
	}
	bed_close(&r);
}

static void status_bits_are_cleared_by_reset_alone(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = 0, .no_start = true });
	assert_int_equal(vio_device_set_status(r.dev, 3), 3);
	assert_int_equal(vio_device_set_status(r.dev, 1), 3);
	assert_int_equal(vio_device_set_status(r.dev, VIO_STATUS_NEEDS_RESET), 3);
	assert_int_equal(vio_device_set_status(r.dev, VIO_STATUS_FAILED), 3 | VIO_STATUS_FAILED);
	assert_int_equal(vio_device_set_status(r.dev, 0), 0);
	bed_close(&r);
}

static void s10_config_is_readable_before_features_ok(void **state)
{
	struct bed r;
	uint8_t c[12];

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = 0, .pairs = 3, .no_start = true });
	assert_int_equal(vio_device_status(r.dev), 0);
	vio_device_config_read(r.dev, 0, c, sizeof(c));
	assert_memory_equal(c, vio_device_props(r.dev)->mac, 6);
	assert_int_equal(c[6], VIO_NET_S_LINK_UP);
	assert_int_equal(c[8], 3);
	bed_close(&r);
}

static void s11_generation_differs_after_any_number_of_changes(void **state)
{
	uint8_t generation;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = 0, .no_start = true });
	generation = vio_device_config_generation(r.dev);
	for (unsigned changes = 1; changes < 600; changes++) {
		uint8_t now;

		for (unsigned i = 0; i < changes; i++)
			vio_device_set_link(r.dev, !vio_device_link(r.dev));
		now = vio_device_config_generation(r.dev);
		assert_int_not_equal(now, generation);
		assert_int_equal(vio_device_config_generation(r.dev), now);
		generation = now;
	}
	bed_close(&r);
}

static void s12_status_0_stops_all_before_it_reads_0(void **state)
{
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .pairs = 2 });
	vio_device_set_status(r.dev, 15);
	assert_true(bed_send(&r, 1, NULL, frame, 60));
	bed_post(&r, 1, 1526, 1);
	fake_backend_give(r.fb, 1, frame, 60, NULL);
	assert_int_equal(vio_device_set_status(r.dev, 0), 0);
	assert_int_equal(bed_turn(&r, 1), 0);
	for (unsigned q = 0; q < 4; q++) {
		assert_false(vio_device_queue_running(r.dev, q));
		assert_int_equal(guest_queue_used_idx(&r.q[q]), 0);
		assert_int_equal(r.calls[q], 0);
	}
	assert_int_equal(fake_backend_sent(r.fb), 0);
	bed_close(&r);
}

/* More frames than a ring index has values, in bursts of all sizes; an interrupt exactly when the
 * event was passed, whatever the flags say that event index makes void. */
static void s13_event_index_over_the_wrap_of_the_indices(void **state)
{
	uint8_t frame[60] = { 0 };
	uint64_t seed = 8, sent = 0;
	unsigned calls = 0;
	struct bed r;
	uint64_t addr;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	r.fb->only_count = true;
	r.q[1].avail->flags = vio_le16(VIO_VIRTQ_AVAIL_F_NO_INTERRUPT);
	addr = guest_alloc(&r.g, 80, 1);
	memset(guest_at(&r.g, addr), 0, 12);
	memcpy((uint8_t *)guest_at(&r.g, addr) + 12, frame, 60);
	while (sent < 70000) {
		struct vio_seg seg = { addr, 72 };
		struct vio_drvq_buf buf = { .segs = &seg, .out_num = 1, .token = &r };
		unsigned n = netframe_between(&seed, 1, 256), i;
		unsigned after = netframe_between(&seed, 0, n - 1), before = r.calls[1];
		struct vio_drvq_done done[256];
		bool kicked, asked = netframe_between(&seed, 0, 1);

		assert_false(vio_device_tx_kicks(r.dev, 0, true));
		for (i = 0; i < n; i++)
			assert_int_equal(vio_drvq_add_burst(r.q[1].drv, &buf, 1), 1);
		kicked = vio_drvq_publish(r.q[1].drv);
		assert_true(kicked);
		if (asked)
			assert_false(vio_drvq_notify_enable(r.q[1].drv, (uint16_t)after));
		else
			vio_drvq_notify_disable(r.q[1].drv);
		vio_device_tx_kicks(r.dev, 0, false);
		assert_int_equal(bed_turn(&r, 0), n);
		assert_int_equal(r.calls[1] - before, asked ? 1 : 0);
		assert_int_equal(vio_drvq_reap_burst(r.q[1].drv, done, 256), n);
		calls += asked;
		sent += n;
	}
	assert_int_equal(r.calls[1], calls);
	assert_int_equal(r.fb->counted, sent);
	bed_close(&r);
}

/* virtio 1.4, 2.7.10: without event index the driver's flag decides. */
static void interrupts_follow_the_flag_without_event_index(void **state)
{
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~vio_feature(VIO_F_EVENT_IDX) });
	for (unsigned i = 0; i < 6; i++) {
		if (i & 1)
			vio_drvq_notify_enable(r.q[1].drv, 0);
		else
			vio_drvq_notify_disable(r.q[1].drv);
		assert_true(bed_send(&r, 0, NULL, frame, 60));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		assert_int_equal(r.calls[1], (i + 1) / 2);
	}
	bed_close(&r);
}

static void s20_without_guest_csum_flags_are_0(void **state)
{
	struct vio_net_meta valid = { .flags = VIO_NET_HDR_F_DATA_VALID };
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	for (unsigned csum = 0; csum < 2; csum++) {
		bed_open(&r, &(struct bed_conf){ .features = csum ? ~0ull : ~F(GUEST_CSUM),
						 .rx_offloads = VIO_OFFLOAD_CSUM });
		assert_int_equal(r.fb->rx_offloads, csum ? VIO_OFFLOAD_CSUM : 0);
		bed_post(&r, 0, 1526, 1);
		fake_backend_give(r.fb, 0, frame, 60, &valid);
		bed_turn(&r, 0);
		assert_true(bed_recv(&r, 0, &got));
		assert_int_equal(got.meta.flags, csum ? VIO_NET_HDR_F_DATA_VALID : 0);
		assert_int_equal(got.meta.gso_type, 0);
		bed_close(&r);
	}
}

static void s20_tunnels_that_were_not_negotiated_are_dropped(void **state)
{
	static const uint8_t types[] = { 0x21, 0x41, 0x24, 0x61, 0x20, 0x40, 0x81, 0x01 };
	uint8_t frame[200] = { 0 };
	struct bed r;

	(void)state;
	/* The last two are fine in themselves, but not without their features. */
	bed_open(&r, &(struct bed_conf){ .features = ~(F(HOST_TSO4) | F(HOST_ECN)) });
	for (unsigned i = 0; i < sizeof(types); i++) {
		struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM |
						      VIO_NET_HDR_F_DATA_VALID,
					     .gso_type = types[i],
					     .gso_size = 100,
					     .csum_start = 34,
					     .csum_offset = 16 };

		assert_true(bed_send(&r, 0, &meta, frame, sizeof(frame)));
	}
	assert_int_equal(bed_turn(&r, 0), sizeof(types));
	assert_int_equal(fake_backend_sent(r.fb), 0);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], sizeof(types));
	assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
	bed_close(&r);
}

static void s22_all_but_the_last_buffer_are_filled(void **state)
{
	static uint8_t frame[20000];
	uint32_t sizes[] = { 500, 12, 1526, 100, 3000, 64 };
	uint64_t seed = 21;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .region_size = 16 << 20 });
	for (unsigned round = 0; round < 100; round++) {
		uint32_t len = netframe_between(&seed, 14, 20000);

		for (unsigned i = 0; vio_drvq_free(r.q[0].drv) > 0; i++)
			bed_post(&r, 0, sizes[(round + i) % 6], 1);
		bed_pattern(frame, len, round);
		fake_backend_give(r.fb, 0, frame, len, NULL);
		bed_turn(&r, 0);
		assert_true(bed_recv(&r, 0, &got));
		assert_int_equal(got.len, len);
		assert_memory_equal(got.bytes, frame, len);
		for (unsigned i = 0; i + 1 < got.buffers; i++)
			assert_int_equal(got.used_len[i], got.buf_len[i]);
	}
	bed_close(&r);
}

/* A queue that was stopped forgets its place; started at 0, on a fresh ring, all begins anew. */
static void s25_a_restarted_queue_begins_at_0(void **state)
{
	uint8_t frame[60] = { 0 };
	struct bed r;
	uint32_t base;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 100; i++)
			assert_true(bed_send(&r, 0, NULL, frame, 60));
		r.fb->take = 70;
		assert_int_equal(bed_turn(&r, 0), 70);
		assert_true(vio_device_tx_held(r.dev, 0));
		assert_int_equal(vio_device_queue_stop(r.dev, 1, &base), 0);
		assert_int_equal(base, 70);
		bed_stop(&r);
		bed_start(&r);
		assert_false(vio_device_tx_pending(r.dev, 0));
		r.fb->take = -1;
		assert_int_equal(bed_turn(&r, 0), 0);
	}
	assert_int_equal(bed_stats(&r, 1).packets, 5 * 70);
	bed_close(&r);
}

static void s25_a_broken_queue_works_again_after_restart(void **state)
{
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .pairs = 2 });
	for (unsigned round = 1; round <= 3; round++) {
		guest_queue_desc(&r.q[1], 0, 0x10, 100, 0, 0); /* outside of memory */
		guest_queue_avail(&r.q[1], 0);
		assert_int_equal(bed_turn(&r, 0), -EPROTO);
		assert_int_equal(r.broken[1], round);
		assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_BAD_ADDRESS);
		/* The others go on. */
		assert_true(bed_send(&r, 1, NULL, frame, 60));
		assert_int_equal(bed_turn(&r, 1), 1);
		bed_stop(&r);
		bed_start(&r);
		assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
		assert_true(bed_send(&r, 0, NULL, frame, 60));
		assert_int_equal(bed_turn(&r, 0), 1);
		bed_stop(&r);
		bed_start(&r);
	}
	bed_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s1_header_has_12_bytes_under_version_1),
		cmocka_unit_test(s2_num_buffers_is_1_without_merging),
		cmocka_unit_test(s5_without_mq_only_the_first_pair_is_a_data_queue),
		cmocka_unit_test(s6_arbitrary_splits_are_accepted),
		cmocka_unit_test(s7_used_length_counts_what_the_device_wrote),
		cmocka_unit_test(s8_nothing_is_consumed_before_the_queue_starts),
		cmocka_unit_test(s9_features_ok_stays_clear_on_an_impossible_set),
		cmocka_unit_test(status_bits_are_cleared_by_reset_alone),
		cmocka_unit_test(s10_config_is_readable_before_features_ok),
		cmocka_unit_test(s11_generation_differs_after_any_number_of_changes),
		cmocka_unit_test(s12_status_0_stops_all_before_it_reads_0),
		cmocka_unit_test(s13_event_index_over_the_wrap_of_the_indices),
		cmocka_unit_test(interrupts_follow_the_flag_without_event_index),
		cmocka_unit_test(s20_without_guest_csum_flags_are_0),
		cmocka_unit_test(s20_tunnels_that_were_not_negotiated_are_dropped),
		cmocka_unit_test(s22_all_but_the_last_buffer_are_filled),
		cmocka_unit_test(s25_a_restarted_queue_begins_at_0),
		cmocka_unit_test(s25_a_broken_queue_works_again_after_restart),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
