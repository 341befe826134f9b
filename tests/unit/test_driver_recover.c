/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that is gone or wants a reset (P14), and what becomes of frames under way (H31). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/driver_rig.h"

static uint8_t frame[3000];

static enum vio_driver_state state_of(const struct rig *r)
{
	struct vio_driver_info info;

	vio_driver_get_info(r->drv, &info);
	return info.state;
}

static void test_p14_gone_is_noticed(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	r->dev.gone = true;
	/* The data path does not look; the transport's event does. */
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(r->failures, 1);
	assert_int_equal(r->failed_why, -ENODEV);
	assert_int_equal(state_of(r), VIO_DRIVER_FAILED);
	assert_false(vio_driver_link(r->drv));
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -ENODEV);
	buf = rig_frame(r, 60, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -ENODEV);
	rig_free(r, buf);
	/* Told once; but the transport's events are still taken, so that its descriptor is quiet. */
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(r->failures, 1);
	assert_int_equal(r->dev.events, 0);
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EBUSY);
	/* It may also be given up: all buffers are back. */
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	assert_int_equal(state_of(r), VIO_DRIVER_CONFIGURED);
}

static void test_p14_needs_reset(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	r->dev.needs_reset = true;
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -EIO);
	assert_int_equal(r->failed_why, -EIO);
	vio_driver_rx_prefetch(r->drv, 0);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EIO);
	r->dev.needs_reset = false;
	assert_int_equal(vio_driver_recover(r->drv, 0, &r->err), 0);
	assert_int_equal(state_of(r), VIO_DRIVER_STARTED);
	assert_int_equal(fake_send(&r->dev, 0, frame, 60, NULL), 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_free(r, buf);
}

/* Frames that the device had not used are sent again, in their order, and no other. */
static void test_h31_resent_in_order(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	uint8_t seen[3000];
	unsigned i;

	rig_start(r);
	/* First some rounds, so that descriptors are not in ascending order. */
	for (i = 0; i < 100; i++) {
		rig_send(r, 60, (uint8_t)i);
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	}
	for (i = 0; i < 40; i++)
		rig_send(r, 60, (uint8_t)i);
	for (i = 0; i < 15; i++)
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	r->dev.gone = true;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	r->dev.reconnect_error = -EAGAIN;
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), -EAGAIN);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), -EAGAIN);
	/* Only what waits to be sent again is not back. */
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL - 25);
	r->dev.reconnect_error = 0;
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	for (i = 15; i < 40; i++) {
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
		assert_int_equal(seen[71], i);
	}
	assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), -1);
	rig_stats(r, 1, &stats);
	assert_int_equal(stats.resent, 25);
	/* And new ones after them. */
	rig_send(r, 60, 200);
	assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	assert_int_equal(seen[71], 200);
}

/* Frames that had arrived before are handed out after, before newer ones. */
static void test_h31_received_are_kept(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[64];
	unsigned i;

	rig_start(r);
	for (i = 0; i < 20; i++) {
		memset(frame, (int)(2 * i), sizeof(frame));
		assert_int_equal(fake_send(&r->dev, 0, frame, i == 7 ? 2500 : 60, NULL),
				 i == 7 ? 2 : 1);
	}
	r->dev.gone = true;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	memset(frame, 200, sizeof(frame));
	assert_int_equal(fake_send(&r->dev, 0, frame, 60, NULL), 1);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 5), 5);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs + 5, 59), 16);
	for (i = 0; i < 21; i++) {
		assert_int_equal(vio_buf_data(bufs[i])[30], i == 20 ? 200 : 2 * i);
		assert_int_equal(bufs[i]->frame_len, i == 7 ? 2500 : 60);
		rig_free(r, bufs[i]);
	}
}

/* Lost again before everything was taken or sent: still nothing lost or doubled. */
static void test_h31_twice(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[64];
	uint8_t seen[3000];
	unsigned i;

	rig_start(r);
	for (i = 0; i < 64; i++)
		rig_send(r, 60, (uint8_t)i);
	for (i = 0; i < 20; i++) {
		memset(frame, (int)(2 * i), sizeof(frame));
		fake_send(&r->dev, 0, frame, 60, NULL);
	}
	for (i = 0; i < 3; i++) {
		r->dev.gone = true;
		assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
		assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
		assert_int_equal(seen[71], i);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 1), 1);
		assert_int_equal(vio_buf_data(bufs[0])[30], 2 * i);
		rig_free(r, bufs[0]);
	}
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 64), 17);
	for (i = 0; i < 17; i++)
		rig_free(r, bufs[i]);
	for (i = 3; i < 64; i++) {
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
		assert_int_equal(seen[71], i);
	}
}

/* A frame in pieces that had an indirect table, in a device that has none any more. */
static void test_h31_more_than_fits(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t seen[3000];
	unsigned i, left = 0;

	rig_start(r);
	for (i = 0; i < 40; i++) {
		buf = rig_frame(r, 60, (uint8_t)i);
		buf->next = rig_frame(r, 60, (uint8_t)i);
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	}
	r->dev.gone = true;
	fake_withdraw(&r->dev, VIO_F_INDIRECT_DESC);
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	assert_int_equal(fake_available(&r->dev, 1), 32);
	/* A new one has to wait for its turn behind those that are kept. */
	buf = rig_frame(r, 60, 100);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 0);
	for (i = 0; i < 41; i++) {
		if (i == 20)
			assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
		if (fake_take(&r->dev, 1, seen, sizeof(seen), NULL) < 0)
			break;
		assert_int_equal(seen[71], i == 40 ? 100 : i);
		left++;
	}
	assert_int_equal(left, 41);
}

/* What did not fit goes out as room comes, also when nobody sends; lost once more in between, all
 * is still in its order. */
static void test_h31_more_than_fits_twice(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t seen[3000];
	unsigned i;

	rig_start(r);
	for (i = 0; i < 40; i++) {
		buf = rig_frame(r, 60, (uint8_t)i);
		if (i < 16)
			buf->next = rig_frame(r, 60, (uint8_t)i);
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	}
	fake_withdraw(&r->dev, VIO_F_INDIRECT_DESC);
	r->ring = 0;
	for (i = 0; i < 2; i++) {
		r->dev.gone = true;
		assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
		assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	}
	for (i = 0; i < 40; i++) {
		if (fake_available(&r->dev, 1) == 0)
			assert_true(vio_driver_poll(r->drv, 0, 16) >= 0);
		assert_true(fake_take(&r->dev, 1, seen, sizeof(seen), NULL) >= 72);
		assert_int_equal(seen[71], i);
	}
}

/* What the new device can't carry goes to unsent, the rest is sent. */
static void test_h31_unsent(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta csum = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .csum_start = 34,
				     .csum_offset = 6 };
	struct vio_buf *buf;
	uint8_t seen[3000];
	unsigned i;

	r->list_unsent = true;
	rig_start(r);
	for (i = 0; i < 5; i++) {
		buf = rig_frame(r, 60, (uint8_t)i);
		if (i == 2)
			buf->meta = csum;
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	}
	r->dev.gone = true;
	fake_withdraw(&r->dev, VIO_NET_F_CSUM);
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	assert_int_equal(r->nunsent, 1);
	for (i = 0; i < 5; i++) {
		if (i == 2)
			continue;
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
		assert_int_equal(seen[71], i);
	}
	/* Stopping returns all that was not sent. */
	rig_send(r, 60, 1);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(r->nunsent, 2);
}

static void test_recover_needs_the_same_device(void **state)
{
	struct rig *r = *state;

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	r->pairs = 2;
	rig_start(r);
	r->dev.gone = true;
	fake_withdraw(&r->dev, VIO_NET_F_MQ);
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), -ENOTSUP);
	assert_non_null(strstr(r->err.msg, "configured are 2"));
	assert_int_equal(state_of(r), VIO_DRIVER_FAILED);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
}

static void test_recover_needs_rings_of_the_size(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	r->dev.gone = true;
	r->dev.queue_max = 32;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), -ENOTSUP);
	assert_non_null(strstr(r->err.msg, "queue 0: size 64"));
	r->dev.queue_max = 64;
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
}

/* A device that failed before all queues were set up does not come back without them. */
static void test_recover_needs_all_queues(void **state)
{
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct rig *r = *state;

	rig_start(r);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	r->dev.gone = true;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.msg, "receive queue 0 is not set up"));
	assert_int_equal(state_of(r), VIO_DRIVER_FAILED);
}

/* The header may have another size afterwards. */
static void test_recover_with_other_header(void **state)
{
	struct rig *r = *state;
	uint8_t seen[3000];
	struct vio_buf *buf;

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_HASH_REPORT);
	r->want = vio_driver_known_features();
	rig_start(r);
	rig_send(r, 60, 5);
	r->dev.gone = true;
	fake_withdraw(&r->dev, VIO_NET_F_HASH_REPORT);
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	memset(frame, 6, sizeof(frame));
	fake_send(&r->dev, 0, frame, 60, NULL);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(buf->frame_len, 60);
	rig_free(r, buf);
}

static void test_recover_a_broken_queue(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	fake_use(&r->dev, 0, 9999, 60);
	vio_driver_rx_prefetch(r->drv, 0);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EPROTO);
	assert_int_equal(r->broken, 1);
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	assert_int_equal(fake_send(&r->dev, 0, frame, 60, NULL), 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_free(r, buf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_p14_gone_is_noticed),
		T(test_p14_needs_reset),
		T(test_h31_resent_in_order),
		T(test_h31_received_are_kept),
		T(test_h31_twice),
		T(test_h31_more_than_fits),
		T(test_h31_more_than_fits_twice),
		T(test_h31_unsent),
		T(test_recover_needs_the_same_device),
		T(test_recover_needs_rings_of_the_size),
		T(test_recover_needs_all_queues),
		T(test_recover_with_other_header),
		T(test_recover_a_broken_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
