/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue reset while the others go on (virtio 1.4, 2.6.1; assertion 25), on both halves and with
 * every ring format; and the other features that are a transport's to have: kicks that bring the
 * ring's position with them (2.9).
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
#include "lib/vufront.h"

static uint8_t frame[3000];

/* ---- The driver ------------------------------------------------------------------------------ */

static void start(struct rig *r)
{
	fake_offer(&r->dev, VIO_F_RING_RESET);
	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	r->pairs = 2;
	r->list_unsent = true;
	rig_start(r);
}

static int reset(struct rig *r, unsigned queue, uint32_t size)
{
	return vio_driver_queue_reset(r->drv, queue, size, &r->err);
}

/* Frames pass on pair @id, both ways, @n of them. */
static void check_pair(struct rig *r, unsigned id, unsigned n)
{
	uint8_t seen[200];
	struct vio_buf *buf;

	for (unsigned i = 0; i < n; i++) {
		memset(frame, (int)i, 100);
		assert_int_equal(fake_send(&r->dev, VIO_RXQ(id), frame, 100, NULL), 1);
		assert_int_equal(vio_driver_rx_burst(r->drv, id, &buf, 1), 1);
		assert_int_equal(buf->frame_len, 100);
		assert_memory_equal(vio_buf_data(buf), frame, 100);
		assert_int_equal(vio_driver_tx_burst(r->drv, id, &buf, 1), 1);
		assert_int_equal(fake_take(&r->dev, VIO_TXQ(id), seen, sizeof(seen), NULL), 112);
		assert_memory_equal(seen + 12, frame, 100);
		assert_int_equal(vio_driver_tx_reap(r->drv, id, 10), 1);
	}
}

static uint32_t in_flight(struct rig *r, unsigned queue)
{
	struct vio_driver_queue_info info;

	assert_int_equal(vio_driver_queue_info(r->drv, queue, &info), 0);
	return info.in_flight;
}

/* Posted buffers, and two of the three that one frame takes. */
static void s25_receive_queue(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta meta = { .num_buffers = 3 };
	struct vio_driver_stats before, after;
	struct vio_buf *buf;

	start(r);
	check_pair(r, 0, 100);
	fake_send(&r->dev, 0, frame, 60, &meta);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	fake_send(&r->dev, 0, frame, 60, NULL);
	rig_stats(r, 0, &before);
	assert_int_equal(reset(r, 0, 0), 0);
	assert_int_equal(r->dev.queue_resets, 1);
	/* The ring is full again, and nothing but that is in use. */
	assert_int_equal(in_flight(r, 0), 64);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL - 2 * 64);
	assert_int_equal(fake_available(&r->dev, 0), 64);
	rig_stats(r, 0, &after);
	assert_int_equal(after.packets, before.packets);
	assert_int_equal(after.errors, before.errors + 1);
	assert_int_equal(after.drops[VIO_DROP_SHORT], before.drops[VIO_DROP_SHORT] + 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	check_pair(r, 0, 200);
	check_pair(r, 1, 200);
}

/* Of five frames two are sent. */
static void s25_transmit_queue(void **state)
{
	struct rig *r = *state;
	uint8_t seen[200];
	unsigned i;

	start(r);
	for (i = 0; i < 5; i++)
		rig_send(r, 60, (uint8_t)i);
	for (i = 0; i < 2; i++)
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	assert_int_equal(reset(r, 1, 0), 0);
	assert_int_equal(r->freed_tx, 2);
	assert_int_equal(r->nunsent, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(vio_buf_data(r->unsent[i])[20], i + 2);
	assert_int_equal(fake_available(&r->dev, 1), 0);
	assert_int_equal(in_flight(r, 1), 0);
	check_pair(r, 0, 200);
	check_pair(r, 1, 200);
}

/* The way back for a queue that the device broke; the device stays as it is. */
static void s25_broken_queue(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned resets;

	start(r);
	resets = r->dev.resets;
	fake_use(&r->dev, 0, 64, 60);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EPROTO);
	assert_int_equal(r->broken, 1);
	assert_int_equal(reset(r, 0, 0), 0);
	check_pair(r, 0, 200);
	assert_int_equal(r->dev.resets, resets);
	assert_int_equal(r->broken, 1);
}

static void s25_other_sizes(void **state)
{
	static const uint32_t sizes[] = { 128, 1, 256, 64, 16 };
	struct rig *r = *state;
	struct vio_driver_queue_info info;
	unsigned i;

	start(r);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(reset(r, 0, sizes[i]), 0);
		assert_int_equal(reset(r, 1, sizes[i]), 0);
		assert_int_equal(vio_driver_queue_info(r->drv, 0, &info), 0);
		assert_int_equal(info.size, sizes[i]);
		assert_int_equal(info.in_flight, sizes[i]);
		assert_int_equal(r->dev.queues[0].ring.num, sizes[i]);
		check_pair(r, 0, 300);
	}
	assert_int_equal(reset(r, 1, 257), -ENOBUFS);
	assert_int_equal(reset(r, 0, UINT32_MAX), -ENOBUFS);
	/* Of packed rings any number of descriptors. */
	assert_int_equal(reset(r, 0, 100), fake_packed(&r->dev) ? 0 : -EINVAL);
	check_pair(r, 0, 300);
	check_pair(r, 1, 10);
	/* Stop and start keep what was set. */
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(vio_driver_queue_info(r->drv, 1, &info), 0);
	assert_int_equal(info.size, 16);
	check_pair(r, 0, 100);
}

/* What is refused changes nothing. */
static void s25_refused(void **state)
{
	struct rig *r = *state;
	long left;

	start(r);
	assert_int_equal(reset(r, 4, 0), -EINVAL);
	assert_int_equal(reset(r, UINT32_MAX, 0), -EINVAL);
	for (left = 0; left < 4; left++) {
		r->h.fail_after = left;
		assert_int_equal(reset(r, 0, 128), -ENOMEM);
	}
	r->h.fail_after = -1;
	assert_int_equal(r->dev.queue_resets, 0);
	check_pair(r, 0, 100);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(reset(r, 0, 0), -EBUSY);
}

static void s25_not_negotiated(void **state)
{
	struct rig *r = *state;
	struct vio_driver_transport_ops ops = *r->dev.t.ops;

	rig_start(r);
	assert_int_equal(reset(r, 0, 0), -ENOTSUP);
	assert_non_null(strstr(r->err.msg, "RING_RESET was not negotiated"));
	vio_driver_release(r->drv);
	/* The device would, the transport can't. */
	ops.queue_reset = NULL;
	r->dev.t.ops = &ops;
	fake_offer(&r->dev, VIO_F_RING_RESET);
	assert_int_equal(vio_driver_probe(&r->dev.t, &r->h.host, NULL, &r->drv, &r->err), 0);
	assert_false(vio_features_test(r->dev.accepted, VIO_F_RING_RESET));
	vio_driver_release(r->drv);
	r->drv = NULL;
}

/* It keeps the ring, so its buffers stay where they are; the others go on. */
static void s25_device_does_not_give_it_back(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	start(r);
	r->dev.reset_error = -ETIMEDOUT;
	assert_int_equal(reset(r, 0, 128), -ETIMEDOUT);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL - 2 * 64);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -ESHUTDOWN);
	check_pair(r, 1, 100);
	/* Better late than never. */
	r->dev.reset_error = 0;
	assert_int_equal(reset(r, 0, 0), 0);
	check_pair(r, 0, 100);
	r->dev.reset_error = -ETIMEDOUT;
	assert_int_equal(reset(r, 0, 0), -ETIMEDOUT);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	check_pair(r, 0, 100);
}

static void s25_device_does_not_take_the_new_one(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	start(r);
	r->dev.setup_error = -EIO;
	assert_int_equal(reset(r, 0, 0), -EIO);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL - 64);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -ESHUTDOWN);
	assert_int_equal(vio_driver_poll(r->drv, 0, 10), -ESHUTDOWN);
	check_pair(r, 1, 100);
	r->dev.setup_error = 0;
	assert_int_equal(reset(r, 0, 32), 0);
	check_pair(r, 0, 100);
}

/* ---- Kicks with data ------------------------------------------------------------------------- */

/* Each kick says where the next buffer will be made available: for a split ring the index, for a
 * packed one the place with its wrap counter. */
static void notification_data(void **state)
{
	struct rig *r = *state;
	uint8_t seen[100];
	unsigned i;

	fake_offer(&r->dev, VIO_F_NOTIFICATION_DATA);
	fake_withdraw(&r->dev, VIO_F_EVENT_IDX);
	rig_start(r);
	for (i = 1; i < 1000; i++) {
		uint16_t position = fake_packed(&r->dev) ?
					    (uint16_t)(i % 64 | (i / 64 % 2 ? 0 : 0x8000)) :
					    (uint16_t)i;

		rig_send(r, 60, 1);
		assert_int_equal(r->dev.queues[1].kicks, i);
		assert_int_equal(r->dev.queues[1].position, position);
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	}
	/* That of a whole ring of receive buffers at start. */
	assert_int_equal(r->dev.queues[0].position, fake_packed(&r->dev) ? 0 : 64);
}

static void notification_data_needs_a_transport(void **state)
{
	struct rig *r = *state;
	struct vio_driver_transport_ops ops = *r->dev.t.ops;

	ops.notify_data = NULL;
	r->dev.t.ops = &ops;
	fake_offer(&r->dev, VIO_F_NOTIFICATION_DATA);
	rig_start(r);
	assert_false(vio_features_test(r->dev.accepted, VIO_F_NOTIFICATION_DATA));
	rig_send(r, 60, 1);
	assert_int_equal(r->dev.queues[1].kicks, 1);
	vio_driver_release(r->drv);
	r->drv = NULL;
}

/* ---- The device behind vhost-user ------------------------------------------------------------ */

static struct vuf front;

/* One ring is taken away and given back with another size while its neighbours go on. */
static void s25_server(void **state)
{
	const struct rig *r = *state;
	struct vio_vu_msg msg;
	unsigned sent, round;

	vuf_open(&front, &(struct vuf_conf){
				 .pairs = 2,
				 .packed = vio_features_test(r->dev.offered, VIO_F_RING_PACKED),
				 .in_order = vio_features_test(r->dev.offered, VIO_F_IN_ORDER) });
	vuf_start(&front, 4);
	for (round = 0; round < 4; round++) {
		assert_true(vuf_frame_passes(&front, 1));
		assert_true(vuf_frame_passes(&front, 3));
		vuf_get_base(&front, 1);
		assert_false(vio_device_queue_running(front.dev, 1));
		/* What is made available now is nobody's business. */
		sent = front.backend.sent;
		vuf_guest_send(&front, 1, 60);
		assert_int_equal(vuf_serve(&front, 0), 0);
		assert_int_equal(front.backend.sent, sent);
		assert_true(vuf_frame_passes(&front, 3));
		vuf_clear_ring(&front, 1);
		vuf_start_ring(&front, 1, 0);
		assert_int_equal(vio_device_queue_error(front.dev, 1), VIO_VQ_OK);
		assert_true(vuf_frame_passes(&front, 1));
		/* Its size is another for one round; the table is as large as it was. */
		vuf_get_base(&front, 1);
		msg = vuf_state(VIO_VU_SET_VRING_NUM, 1, round % 2 ? VUF_NUM : VUF_NUM / 2);
		vuf_send(&front, &msg);
		vuf_clear_ring(&front, 1);
		vuf_start_ring(&front, 1, 0);
	}
	assert_int_equal(front.warnings, 0);
	assert_true(vuf_connected(&front));
	vuf_close(&front);
}

/* Offered only when asked for, because of front ends that pass it on and then do not obey. */
static void s25_server_offers(void **state)
{
	struct vio_error err = { "" };

	(void)state;
	vuf_open(&front, &(struct vuf_conf){ .pairs = 1 });
	assert_false(vio_features_test(vio_device_features(front.dev), VIO_F_RING_RESET));
	assert_false(vio_features_test(vio_device_features(front.dev), VIO_F_NOTIFICATION_DATA));
	vuf_close(&front);
	vuf_open(&front, &(struct vuf_conf){ .add = vio_feature(VIO_F_RING_RESET) });
	assert_true(vio_features_test(vio_device_features(front.dev), VIO_F_RING_RESET));
	assert_true(vuf_ask_u64(&front, VIO_VU_GET_FEATURES) & vio_feature(VIO_F_RING_RESET));
	vuf_close(&front);
	assert_int_equal(vuf_try(vio_feature(VIO_F_NOTIFICATION_DATA), &err), -EINVAL);
	assert_string_equal(
		err.msg, "features: +notification_data: vhost-user has no message that carries it");
	assert_int_equal(vuf_try(vio_feature(VIO_F_RING_RESET), &err), 0);
}

int main(void)
{
	static const struct rig_test tests[] = {
		RIG_TEST(s25_receive_queue, RING_RUN_ALL),
		RIG_TEST(s25_transmit_queue, RING_RUN_ALL),
		RIG_TEST(s25_broken_queue, RING_RUN_ALL),
		RIG_TEST(s25_other_sizes, RING_RUN_ALL),
		RIG_TEST(s25_refused, RING_RUN_ALL),
		RIG_TEST(s25_not_negotiated, RING_RUN_ALL),
		RIG_TEST(s25_device_does_not_give_it_back, RING_RUN_ALL),
		RIG_TEST(s25_device_does_not_take_the_new_one, RING_RUN_ALL),
		RIG_TEST(notification_data, RING_RUN_ALL),
		RIG_TEST(notification_data_needs_a_transport, RING_RUN_ALL),
		RIG_TEST(s25_server, RING_RUN_ALL),
		RIG_TEST(s25_server_offers, RING_RUN_SPLIT),
	};

	return rig_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
