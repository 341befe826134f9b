/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ORDER_PLATFORM (virtio 1.4, 6.1): the driver accepts it whenever it is offered, and moves frames with
 * it. That each barrier is there can only be read, not shown; loopback's ring_threads runs both sides
 * with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/driver_rig.h"

#define FRAMES 300u /* a few laps of the rings */
#define BURST  11u

static bool accepted(const struct rig *r)
{
	return vio_features_test(r->dev.accepted, VIO_F_ORDER_PLATFORM);
}

static void test_accepted_and_moves(void **state)
{
	struct rig *r = *state;
	uint8_t out[100], in[60] = { 2 };
	struct vio_buf *bufs[BURST];
	unsigned i, k;

	fake_offer(&r->dev, VIO_F_ORDER_PLATFORM);
	rig_start(r);
	assert_true(accepted(r));
	for (i = 0; i < FRAMES; i += BURST) {
		for (k = 0; k < BURST; k++)
			bufs[k] = rig_frame(r, 60, (uint8_t)(i + k));
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, BURST), BURST);
		for (k = 0; k < BURST; k++) {
			assert_int_equal(fake_take(&r->dev, 1, out, sizeof(out), NULL), 72);
			assert_int_equal(out[71], (uint8_t)(i + k));
			in[59] = (uint8_t)(i + k);
			assert_int_equal(fake_send(&r->dev, 0, in, sizeof(in), NULL), 1);
		}
		assert_int_equal(vio_driver_tx_reap(r->drv, 0, BURST), BURST);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, BURST), BURST);
		for (k = 0; k < BURST; k++) {
			assert_int_equal(bufs[k]->len, 60);
			assert_int_equal(vio_buf_data(bufs[k])[59], (uint8_t)(i + k));
			rig_free(r, bufs[k]);
		}
	}
	assert_int_equal(r->broken, 0);
}

/* Also by who asked for something else: it is no matter of taste. */
static void test_accepted_unasked(void **state)
{
	struct rig *r = *state;

	r->want = vio_features_make(vio_feature(VIO_NET_F_MAC), 0);
	fake_offer(&r->dev, VIO_F_ORDER_PLATFORM);
	rig_start(r);
	assert_true(accepted(r));
}

static void test_not_offered(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	assert_false(accepted(r));
}

int main(void)
{
	static const struct rig_test tests[] = {
		RIG_TEST(test_accepted_and_moves, RING_RUN_ALL),
		RIG_TEST(test_accepted_unasked, RING_RUN_SPLIT),
		RIG_TEST(test_not_offered, RING_RUN_SPLIT),
	};

	return rig_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
