/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that lies to the driver about itself: HOSTILE 26, status and configuration; and HOSTILE 28,
 * a control queue that answers wrong or never, with each ring format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "lib/driver_rig.h"

static int probe_only(struct rig *r)
{
	int ret = vio_driver_probe(&r->dev.t, &r->h.host, NULL, &r->drv, &r->err);

	if (ret < 0)
		r->drv = NULL;
	return ret;
}

/* ---- H26: status and configuration ----------------------------------------------------------- */

static void test_h26_never_settles(void **state)
{
	struct rig *r = *state;

	r->dev.never_settles = true;
	assert_int_equal(probe_only(r), -EIO);
	assert_non_null(strstr(r->err.msg, "changes all the time"));
}

static void test_h26_impossible_pairs(void **state)
{
	static const uint16_t pairs[] = { 0, 0x8001, 65535 };
	struct rig *r = *state;
	struct vio_driver_info info;
	unsigned i;

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	for (i = 0; i < 3; i++) {
		r->dev.config.max_virtqueue_pairs = vio_le16(pairs[i]);
		assert_int_equal(probe_only(r), 0);
		vio_driver_get_info(r->drv, &info);
		assert_int_equal(info.max_pairs, 1);
		assert_false(vio_features_test(r->dev.accepted, VIO_NET_F_MQ));
		vio_driver_release(r->drv);
	}
	/* More than we can use is no fault. */
	r->dev.config.max_virtqueue_pairs = vio_le16(0x8000);
	assert_int_equal(probe_only(r), 0);
	vio_driver_get_info(r->drv, &info);
	assert_int_equal(info.max_pairs, VIO_DRIVER_MAX_PAIRS);
}

static void test_h26_impossible_mtu(void **state)
{
	static const uint16_t mtus[] = { 0, 1, 67 };
	struct rig *r = *state;
	unsigned i;

	for (i = 0; i < 3; i++) {
		r->dev.config.mtu = vio_le16(mtus[i]);
		assert_int_equal(probe_only(r), 0);
		assert_false(vio_features_test(r->dev.accepted, VIO_NET_F_MTU));
		assert_int_equal(vio_driver_mtu_get(r->drv), 1500);
		vio_driver_release(r->drv);
	}
	r->dev.config.mtu = vio_le16(68);
	assert_int_equal(probe_only(r), 0);
	assert_int_equal(vio_driver_mtu_get(r->drv), 68);
}

static void test_h26_impossible_mac(void **state)
{
	static const uint8_t macs[][6] = { { 0 }, { 1, 2, 3, 4, 5, 6 }, { 255, 255, 255, 255 } };
	struct rig *r = *state;
	uint8_t mac[6];
	unsigned i;

	for (i = 0; i < 3; i++) {
		memcpy(r->dev.config.mac, macs[i], 6);
		assert_int_equal(probe_only(r), 0);
		vio_driver_mac_get(r->drv, mac);
		assert_int_equal(mac[0] & 3, 2);
		vio_driver_release(r->drv);
		r->drv = NULL;
	}
}

static void test_h26_never_resets(void **state)
{
	struct rig *r = *state;

	r->dev.never_resets = true;
	assert_int_equal(probe_only(r), -ETIMEDOUT);
	assert_non_null(strstr(r->err.msg, "never became 0"));
}

static void test_h26_all_ones(void **state)
{
	struct rig *r = *state;

	r->dev.all_ones = true;
	assert_int_equal(probe_only(r), -ENODEV);
	r->dev.all_ones = false;
	rig_start(r);
	r->dev.all_ones = true;
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
}

static void test_h26_features_ok_never_set(void **state)
{
	struct rig *r = *state;

	r->dev.no_features_ok = true;
	assert_int_equal(probe_only(r), -ENOTSUP);
}

static void test_h26_needs_reset_at_start(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	r->dev.needs_reset = true;
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EIO);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	r->dev.needs_reset = false;
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

static void test_h26_stuck_at_stop(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	r->dev.never_resets = true;
	assert_int_equal(vio_driver_stop(r->drv), -ETIMEDOUT);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	r->dev.never_resets = false;
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

/* ---- H28: the control queue ------------------------------------------------------------------ */

static void start_ctrl(struct rig *r)
{
	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_CTRL_RX);
	rig_start(r);
}

static void test_h28_never_answered(void **state)
{
	struct rig *r = *state;
	uint64_t before;

	start_ctrl(r);
	r->dev.no_ack = true;
	before = r->h.now;
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -ETIMEDOUT);
	assert_true(r->h.now - before >= 1000000000 && r->h.now - before < 1100000000);
	/* A late answer could be taken for another command's: nothing more until a reset. */
	before = r->h.now;
	assert_int_equal(vio_driver_allmulticast_set(r->drv, true), -EIO);
	assert_int_equal(r->h.now, before);
	r->dev.no_ack = false;
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
}

static void test_h28_neither_0_nor_1(void **state)
{
	static const int acks[] = { 2, 0x80, 0xff };
	struct rig *r = *state;
	unsigned i;

	start_ctrl(r);
	for (i = 0; i < 3; i++) {
		r->dev.ack = acks[i];
		assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -EPROTO);
		assert_false(vio_driver_promiscuous_get(r->drv));
		assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -EIO);
		r->dev.ack = 0;
		assert_int_equal(vio_driver_recover(r->drv, 0, &r->err), 0);
	}
}

static void test_h28_silent_at_start(void **state)
{
	struct rig *r = *state;

	start_ctrl(r);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	r->dev.no_ack = true;
	assert_int_equal(vio_driver_start(r->drv, &r->err), -ETIMEDOUT);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
}

int main(void)
{
	static const struct rig_test tests[] = {
		RIG_TEST(test_h26_never_settles, RING_RUN_SPLIT),
		RIG_TEST(test_h26_impossible_pairs, RING_RUN_SPLIT),
		RIG_TEST(test_h26_impossible_mtu, RING_RUN_SPLIT),
		RIG_TEST(test_h26_impossible_mac, RING_RUN_SPLIT),
		RIG_TEST(test_h26_never_resets, RING_RUN_SPLIT),
		RIG_TEST(test_h26_all_ones, RING_RUN_SPLIT),
		RIG_TEST(test_h26_features_ok_never_set, RING_RUN_SPLIT),
		RIG_TEST(test_h26_needs_reset_at_start, RING_RUN_SPLIT),
		RIG_TEST(test_h26_stuck_at_stop, RING_RUN_SPLIT),
		RIG_TEST(test_h28_never_answered, RING_RUN_ALL),
		RIG_TEST(test_h28_neither_0_nor_1, RING_RUN_ALL),
		RIG_TEST(test_h28_silent_at_start, RING_RUN_ALL),
	};

	return rig_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
