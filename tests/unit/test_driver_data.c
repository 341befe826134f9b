/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's data path: bursts, poll, interrupts, counters (U9, U11, L1, L2, L5, P12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "lib/driver_rig.h"

/* ---- Receive --------------------------------------------------------------------------------- */

static void test_rx_one_buffer(void **state)
{
	static const uint32_t sizes[] = { 14, 60, 64, 100, 1514, 2048 - 12 };
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	for (i = 0; i < 6; i++) {
		assert_int_equal(fake_send(&r->dev, 0, rig_bytes, sizes[i], NULL), 1);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
		rig_check_frame(buf, rig_bytes, sizes[i]);
		assert_int_equal(buf->off, VIO_BUF_HEADROOM);
		assert_int_equal(buf->meta.flags | buf->meta.gso_type, 0);
		rig_free(r, buf);
	}
}

/* Many times round the ring, refilled as it goes, in bursts of all sizes. */
static void test_rx_keeps_going(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[64];
	unsigned sent = 0, got = 0, i;
	int n;

	rig_start(r);
	while (got < 5000) {
		for (i = 0; i < sent % 61; i++)
			sent += fake_send(&r->dev, 0, rig_bytes, 60 + sent % 900, NULL);
		sent += fake_send(&r->dev, 0, rig_bytes, 60, NULL);
		while ((n = vio_driver_rx_burst(r->drv, 0, bufs, 1 + got % 64)) > 0) {
			for (i = 0; i < (unsigned)n; i++)
				rig_free(r, bufs[i]);
			got += (unsigned)n;
		}
		assert_int_equal(got, sent);
	}
	assert_true(fake_available(&r->dev, 0) >= 32);
}

/* No buffer that the device had has a clean headroom, be it that it was not used. */
static void test_rx_headroom_is_not_clean(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[RIG_POOL];
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_get(r->pool, bufs, RIG_POOL), RIG_POOL);
	for (i = 0; i < RIG_POOL; i++)
		bufs[i]->clean = 12; /* as after sending it */
	vio_pool_put(r->pool, bufs, RIG_POOL);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 5000, NULL), 3);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 1), 1);
	assert_int_equal(bufs[0]->next->clean, 0);
	rig_free(r, bufs[0]);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_get(r->pool, bufs, 64), 64);
	for (i = 0; i < 64; i++) {
		assert_int_equal(bufs[i]->clean, 0);
		rig_free(r, bufs[i]);
	}
}

/* What was given back last is taken first, a burst in its order, frames in pieces as single buffers. */
static void test_pool_order(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[12], *again[12];
	unsigned i, k;

	rig_start(r);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	for (k = 0; k < 12; k++) {
		assert_int_equal(vio_pool_get(r->pool, bufs, 12), 12);
		/* One of two pieces, anywhere among the others. */
		if (k < 11)
			bufs[k]->next = bufs[11];
		vio_pool_put(r->pool, bufs, k < 11 ? 11 : 12);
		assert_int_equal((k & 1 ? vio_pool_get : vio_pool_take)(r->pool, again, 12), 12);
		for (i = 0; i < 12; i++) {
			unsigned at = i <= k ? i : i == k + 1 ? 11 : i - 1;

			assert_ptr_equal(again[i], bufs[at]);
			assert_null(again[i]->next);
		}
		vio_pool_put(r->pool, again, 12);
	}
}

/* ---- U9: one at a time ----------------------------------------------------------------------- */

static void test_u9_polling(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), 0);
	fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	fake_send(&r->dev, 0, rig_bytes, 61, NULL);
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_SUCCESS | VIO_ONE_MORE);
	rig_free(r, buf);
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_SUCCESS | VIO_ONE_MORE);
	rig_free(r, buf);
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), 0);
}

static void test_u9_interrupts(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;
	struct vio_buf *buf;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	fake_send_quiet(&r->dev, 0, rig_bytes, 61, NULL);
	assert_true(fake_wants_interrupt(&r->dev, 0));
	assert_true(vio_driver_interrupt(r->drv, 0));
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_SUCCESS | VIO_ONE_MORE);
	rig_free(r, buf);
	/* The last one: no MORE, and armed again. */
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_SUCCESS);
	rig_free(r, buf);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_true(qi.intr_armed);
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_true(fake_wants_interrupt(&r->dev, 0));
	/* Nobody has come yet: the next look re-reads and finds it. */
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_SUCCESS);
	rig_free(r, buf);
	assert_int_equal(vio_driver_intr_disable(r->drv, 0), 0);
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_false(fake_wants_interrupt(&r->dev, 0));
}

static void test_u9_underrun(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	int flags, seen = 0, i;

	rig_start(r);
	r->starve = true;
	for (i = 0; i < 64; i++) {
		assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 60, NULL), 1);
		flags = vio_driver_rx_one(r->drv, 0, &buf);
		assert_true(flags & VIO_ONE_SUCCESS);
		seen |= flags;
		rig_free(r, buf);
	}
	assert_true(seen & VIO_ONE_UNDERRUN);
	assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 60, NULL), 0);
}

/* ---- U11, L1: interrupts --------------------------------------------------------------------- */

static void test_u11_event_once(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;

	rig_start(r);
	/* Off after start. */
	assert_false(vio_driver_interrupt(r->drv, 0));
	assert_int_equal(r->rx_events, 0);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	assert_true(vio_driver_interrupt(r->drv, 0));
	assert_false(vio_driver_interrupt(r->drv, 0));
	assert_false(vio_driver_interrupt(r->drv, 0));
	assert_int_equal(r->rx_events, 1);
	assert_false(vio_driver_interrupt(r->drv, 99));
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.interrupts, 1);
	assert_int_equal(stats.spurious, 3);
}

static void test_u11_enable_finds_frames(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;

	rig_start(r);
	fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 1);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_false(qi.intr_armed);
	/* The poll that follows takes it and arms. */
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 1);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_true(qi.intr_armed);
}

static void test_l1_budget(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	for (i = 0; i < 40; i++)
		fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 16);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_false(qi.intr_armed);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 16);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 8);
	assert_int_equal(r->nreceived, 40);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_true(qi.intr_armed);
	/* Armed in the ring, too. */
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_true(fake_wants_interrupt(&r->dev, 0));
}

/* Without the event index the same works by flags. */
static void test_l1_without_event_idx(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_F_EVENT_IDX);
	rig_start(r);
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_false(fake_wants_interrupt(&r->dev, 0));
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 1);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 1);
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_true(fake_wants_interrupt(&r->dev, 0));
	assert_true(vio_driver_interrupt(r->drv, 0));
	assert_int_equal(vio_driver_poll(r->drv, 0, 1), 1);
	/* The budget was used up: disarmed while polling goes on. */
	fake_send_quiet(&r->dev, 0, rig_bytes, 60, NULL);
	assert_false(fake_wants_interrupt(&r->dev, 0));
}

/* Rubbish counts as work, so a poll ends. */
static void test_l1_rubbish_uses_budget(void **state)
{
	struct rig *r = *state;
	unsigned i;

	rig_start(r);
	for (i = 0; i < 40; i++)
		fake_send(&r->dev, 0, rig_bytes, 5, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 16);
	assert_int_equal(r->nreceived, 0);
}

/* L2: the paired transmit queue is cleaned first, and a sender that was turned away is woken. */
static void test_l2_paired_tx(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t frame[2100];
	unsigned i;

	rig_start(r);
	buf = rig_fill(r, 64);
	rig_free(r, buf);
	for (i = 0; i < 20; i++)
		fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	assert_int_equal(r->freed_tx, 20);
	/* Room, but not for any frame. */
	assert_int_equal(r->wakes, 0);
	for (i = 0; i < 20; i++)
		fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	assert_int_equal(r->freed_tx, 40);
	assert_int_equal(r->wakes, 1);
}

/* L5: memory short: the retry is due until it worked, without any interrupt. */
static void test_l5_delayed_retry(void **state)
{
	struct rig *r = *state;
	uint64_t due, later;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	assert_true(vio_driver_poll_due(r->drv, 0) == UINT64_MAX);
	r->starve = true;
	for (i = 0; i < 64; i++)
		fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 100), 64);
	due = vio_driver_poll_due(r->drv, 0);
	assert_true(due != UINT64_MAX);
	assert_true(due <= r->h.now + UINT64_C(10000000));
	r->h.now = due;
	assert_int_equal(vio_driver_poll(r->drv, 0, 100), 0);
	later = vio_driver_poll_due(r->drv, 0);
	assert_true(later > due && later != UINT64_MAX);
	r->starve = false;
	r->h.now = later;
	assert_int_equal(vio_driver_poll(r->drv, 0, 100), 0);
	assert_true(vio_driver_poll_due(r->drv, 0) == UINT64_MAX);
	assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 60, NULL), 1);
	assert_int_equal(vio_driver_poll(r->drv, 0, 100), 1);
}

/* Likewise without poll: a retry in vain puts the next one off. */
static void test_l5_delayed_retry_one(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint64_t due;
	unsigned i;

	rig_start(r);
	r->starve = true;
	for (i = 0; i < 64; i++) {
		fake_send(&r->dev, 0, rig_bytes, 60, NULL);
		assert_true(vio_driver_rx_one(r->drv, 0, &buf) & VIO_ONE_SUCCESS);
		rig_free(r, buf);
	}
	due = vio_driver_poll_due(r->drv, 0);
	assert_true(due != UINT64_MAX);
	r->h.now = due;
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), VIO_ONE_UNDERRUN);
	assert_true(vio_driver_poll_due(r->drv, 0) > r->h.now);
}

/* L5: refilled past half empty, not buffer by buffer. */
static void test_l5_refill_past_half(void **state)
{
	struct rig *r = *state;
	unsigned i;

	rig_start(r);
	for (i = 0; i < 32; i++)
		fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 32), 32);
	assert_int_equal(fake_available(&r->dev, 0), 32);
	fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 32), 1);
	assert_int_equal(fake_available(&r->dev, 0), 64);
}

/* ---- P12: counters --------------------------------------------------------------------------- */

static void test_p12_counters(void **state)
{
	static const uint32_t sizes[] = { 60,  63,  64,	 65,   127,  128,  255,
					  256, 511, 512, 1023, 1024, 1514, 1518 };
	static const unsigned want[] = { 2, 1, 2, 2, 2, 2, 3, 0 };
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *buf;
	uint64_t bytes = 0;
	unsigned i;

	r->dev.config.mtu = vio_le16(1504);
	rig_start(r);
	for (i = 0; i < 14; i++) {
		buf = rig_frame(r, sizes[i], 1);
		if (i == 1)
			vio_buf_data(buf)[0] = 1;
		if (i == 2)
			memset(vio_buf_data(buf), 0xff, 6);
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
		fake_send(&r->dev, 0, vio_buf_data(buf), sizes[i], NULL);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
		rig_free(r, buf);
		bytes += sizes[i];
	}
	for (i = 0; i < 2; i++) {
		rig_stats(r, i, &stats);
		assert_int_equal(stats.packets, 14);
		assert_int_equal(stats.bytes, bytes);
		assert_int_equal(stats.multicast, 1);
		assert_int_equal(stats.broadcast, 1);
		assert_int_equal(stats.errors, 0);
		for (unsigned c = 0; c < VIO_SIZE_CLASSES; c++)
			assert_int_equal(stats.size_class[c], want[c]);
	}
	assert_int_equal(vio_driver_queue_stats(r->drv, 99, &stats), -EINVAL);
}

/* Frames go by fours; one that is odd is treated as itself wherever in a burst it stands. */
static void test_p12_odd_one_in_a_burst(void **state)
{
	struct vio_net_meta valid = { .flags = VIO_NET_HDR_F_DATA_VALID };
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *bufs[8];
	uint8_t many[60], got[100];
	unsigned i, odd;

	memcpy(many, rig_bytes, sizeof(many));
	many[0] |= 1;
	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	r->want = vio_driver_known_features();
	rig_start(r);
	for (odd = 0; odd < 8; odd++) {
		for (i = 0; i < 8; i++)
			bufs[i] = rig_frame(r, i == odd ? 61 : 60, 1);
		vio_buf_data(bufs[(odd + 4) % 8])[0] |= 1;
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, 8), 8);
		for (i = 0; i < 8; i++)
			assert_int_equal(fake_take(&r->dev, 1, got, sizeof(got), NULL),
					 VIO_NET_HDR_SIZE + (i == odd ? 61 : 60));
		for (i = 0; i < 8; i++)
			fake_send(&r->dev, 0, i == (odd + 4) % 8 ? many : rig_bytes, 60,
				  i == odd ? &valid : NULL);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 8), 8);
		for (i = 0; i < 8; i++) {
			assert_int_equal(bufs[i]->meta.flags, i == odd ? valid.flags : 0);
			rig_check_frame(bufs[i], i == (odd + 4) % 8 ? many : rig_bytes, 60);
			rig_free(r, bufs[i]);
		}
		for (i = 0; i < 2; i++) {
			rig_stats(r, i, &stats);
			assert_int_equal(stats.packets, 8 * (odd + 1));
			assert_int_equal(stats.multicast, odd + 1);
		}
	}
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static void test_map_every_buffer(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[3];
	uint8_t frame[2100];

	fake_host_use_map(&r->h);
	rig_start(r);
	assert_int_equal(r->h.maps, 64);
	fake_send(&r->dev, 0, rig_bytes, 5000, NULL);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 3), 1);
	rig_check_frame(bufs[0], rig_bytes, 5000);
	assert_int_equal(r->h.maps, 61);
	rig_free(r, bufs[0]);
	bufs[0] = rig_frame(r, 60, 7);
	bufs[0]->dma = 0; /* for the driver to set */
	bufs[0]->next = rig_frame(r, 30, 8);
	bufs[0]->next->dma = 0;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, 1), 1);
	assert_int_equal(r->h.maps, 63);
	assert_int_equal(fake_take(&r->dev, 1, frame, sizeof(frame), NULL), 102);
	assert_int_equal(frame[12 + 59], 7);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 1), 1);
	assert_int_equal(r->h.maps, 61);
	/* It may fail. */
	r->h.map_error = -ENOSPC;
	bufs[0] = rig_frame(r, 60, 7);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, 1), -ENOMEM);
	rig_free(r, bufs[0]);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(r->h.maps, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_rx_one_buffer),
		T(test_rx_keeps_going),
		T(test_rx_headroom_is_not_clean),
		T(test_pool_order),
		T(test_u9_polling),
		T(test_u9_interrupts),
		T(test_u9_underrun),
		T(test_u11_event_once),
		T(test_u11_enable_finds_frames),
		T(test_l1_budget),
		T(test_l1_without_event_idx),
		T(test_l1_rubbish_uses_budget),
		T(test_l2_paired_tx),
		T(test_l5_delayed_retry),
		T(test_l5_delayed_retry_one),
		T(test_l5_refill_past_half),
		T(test_p12_counters),
		T(test_p12_odd_one_in_a_burst),
		T(test_map_every_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
