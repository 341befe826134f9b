/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's life cycle: negotiation, states, set-up, queries (U4-U8, U12-U15, P2, P4-P6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "lib/driver_rig.h"

static int probe(struct rig *r, const struct vio_driver_opts *opts)
{
	int ret;

	memset(r->dev.order, 0, sizeof(r->dev.order));
	ret = vio_driver_probe(&r->dev.t, &r->h.host, opts, &r->drv, &r->err);
	if (ret < 0)
		r->drv = NULL;
	return ret;
}

static void make_pool(struct rig *r)
{
	assert_int_equal(vio_pool_create(&r->h.host, RIG_POOL, 2048, &r->pool), 0);
}

static struct vio_rxq_conf rx_conf(struct rig *r)
{
	return (struct vio_rxq_conf){ .alloc = vio_pool_take,
				      .free = vio_pool_put,
				      .ctx = r->pool };
}

static struct vio_txq_conf tx_conf(struct rig *r)
{
	return (struct vio_txq_conf){ .free = vio_pool_put, .ctx = r->pool };
}

static void configure(struct rig *r, unsigned nb_rx, unsigned nb_tx)
{
	struct vio_driver_conf conf = { .nb_rx = nb_rx, .nb_tx = nb_tx };
	struct vio_rxq_conf rx;
	struct vio_txq_conf tx;
	unsigned i;

	make_pool(r);
	rx = rx_conf(r);
	tx = tx_conf(r);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	for (i = 0; i < nb_rx; i++)
		assert_int_equal(vio_driver_rxq_configure(r->drv, i, &rx, &r->err), 0);
	for (i = 0; i < nb_tx; i++)
		assert_int_equal(vio_driver_txq_configure(r->drv, i, &tx, &r->err), 0);
}

static struct vio_driver_info info(const struct rig *r)
{
	struct vio_driver_info i;

	vio_driver_get_info(r->drv, &i);
	return i;
}

/* ---- U5, P4: negotiation --------------------------------------------------------------------- */

static void test_u5_order(void **state)
{
	struct rig *r = *state;

	assert_int_equal(probe(r, NULL), 0);
	/* Reset, acknowledge, driver, features read, configuration read, accepted, confirmed. */
	assert_string_equal(r->dev.order, "RADfcFK");
	assert_int_equal(info(r).state, VIO_DRIVER_PROBED);
}

static void test_u5_accepted_is_closed_subset(void **state)
{
	struct rig *r = *state;
	struct vio_driver_opts opts = { .want = vio_driver_known_features() };
	struct vio_features accepted;

	fake_offer(&r->dev, VIO_NET_F_HOST_TSO4);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4); /* without GUEST_CSUM */
	fake_offer(&r->dev, VIO_NET_F_CTRL_RX);	   /* without CTRL_VQ */
	fake_offer(&r->dev, VIO_F_SR_IOV);	   /* not known */
	fake_offer(&r->dev, 44);		   /* unassigned */
	assert_int_equal(probe(r, &opts), 0);
	accepted = r->dev.accepted;
	assert_true(vio_features_is_subset(accepted, r->dev.offered));
	assert_true(vio_features_is_subset(accepted, vio_driver_known_features()));
	assert_int_equal(vio_features_missing(accepted, NULL, 0), 0);
	assert_true(vio_features_test(accepted, VIO_NET_F_HOST_TSO4));
	assert_false(vio_features_test(accepted, VIO_NET_F_GUEST_TSO4));
	assert_false(vio_features_test(accepted, VIO_NET_F_CTRL_RX));
	assert_true(vio_features_equal(info(r).accepted, accepted));
}

static void test_u5_wanted_only(void **state)
{
	struct rig *r = *state;
	struct vio_driver_opts opts = { .want = vio_features_make(vio_feature(VIO_NET_F_MAC), 0) };

	assert_int_equal(probe(r, &opts), 0);
	assert_true(r->dev.accepted.w[0] ==
		    (vio_feature(VIO_NET_F_MAC) | vio_feature(VIO_F_VERSION_1)));
}

static void test_u5_defaults_bring_no_odd_frames(void **state)
{
	struct rig *r = *state;

	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	assert_int_equal(probe(r, NULL), 0);
	assert_false(vio_features_test(r->dev.accepted, VIO_NET_F_GUEST_CSUM));
	assert_true(vio_features_test(r->dev.accepted, VIO_NET_F_CSUM));
}

static void test_u5_refused(void **state)
{
	struct rig *r = *state;

	r->dev.no_features_ok = true;
	assert_int_equal(probe(r, NULL), -ENOTSUP);
	assert_non_null(strstr(r->err.msg, "refuses features"));
	assert_true(r->dev.status & VIO_STATUS_FAILED);
	/* The transport is still ours. */
	assert_int_equal(r->dev.releases, 0);
}

static void test_legacy_device(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_F_VERSION_1);
	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(info(r).hdr_size, 10);
	assert_null(strchr(r->dev.order, 'K'));
}

/* ---- P5, P6, U2: what follows from features and configuration --------------------------------- */

static void test_p5_header_size(void **state)
{
	struct rig *r = *state;
	struct vio_driver_opts opts = { .want = vio_driver_known_features() };

	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(info(r).hdr_size, 12);
	vio_driver_release(r->drv);
	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_HASH_REPORT);
	assert_int_equal(probe(r, &opts), 0);
	assert_int_equal(info(r).hdr_size, 20);
}

static void test_p6_config(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6];

	fake_offer(&r->dev, VIO_NET_F_SPEED_DUPLEX);
	r->dev.config.speed = vio_le32(25000);
	r->dev.config.duplex = VIO_NET_DUPLEX_FULL;
	r->dev.config.mtu = vio_le16(9000);
	assert_int_equal(probe(r, NULL), 0);
	vio_driver_mac_get(r->drv, mac);
	assert_memory_equal(mac, r->dev.config.mac, 6);
	assert_int_equal(vio_driver_mtu_get(r->drv), 9000);
	assert_int_equal(info(r).max_mtu, 9000);
	assert_int_equal(info(r).speed, 25000);
	assert_int_equal(info(r).duplex, VIO_NET_DUPLEX_FULL);
	assert_true(vio_driver_link(r->drv));
	assert_int_equal(vio_driver_mtu_set(r->drv, 67), -EINVAL);
	assert_int_equal(vio_driver_mtu_set(r->drv, 9001), -EINVAL);
	assert_int_equal(vio_driver_mtu_set(r->drv, 1400), 0);
	assert_int_equal(vio_driver_mtu_get(r->drv), 1400);
}

static void test_p6_random_mac(void **state)
{
	struct rig *r = *state;
	uint8_t a[6], b[6];

	fake_withdraw(&r->dev, VIO_NET_F_MAC);
	assert_int_equal(probe(r, NULL), 0);
	vio_driver_mac_get(r->drv, a);
	assert_int_equal(a[0] & 3, 2); /* local, not multicast */
	assert_int_equal(vio_driver_reset(r->drv, &r->err), 0);
	vio_driver_mac_get(r->drv, b);
	assert_memory_equal(a, b, 6);
	vio_driver_release(r->drv);
	assert_int_equal(probe(r, NULL), 0);
	vio_driver_mac_get(r->drv, b);
	assert_memory_not_equal(a, b, 6);
}

static void test_p6_link_down(void **state)
{
	struct rig *r = *state;

	r->dev.config.status = 0;
	assert_int_equal(probe(r, NULL), 0);
	assert_false(vio_driver_link(r->drv));
	vio_driver_release(r->drv);
	/* Without STATUS a link is taken to be up. */
	fake_withdraw(&r->dev, VIO_NET_F_STATUS);
	assert_int_equal(probe(r, NULL), 0);
	assert_true(vio_driver_link(r->drv));
}

static void test_ctrl_elsewhere_lends_mq(void **state)
{
	struct rig *r = *state;

	fake_offer(&r->dev, VIO_NET_F_MQ);
	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(info(r).max_pairs, 1);
	vio_driver_release(r->drv);
	fake_keep_ctrl(&r->dev);
	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(info(r).max_pairs, FAKE_PAIRS);
	assert_false(vio_features_test(r->dev.accepted, VIO_NET_F_CTRL_VQ));
}

/* ---- P2: probed, or unwound ------------------------------------------------------------------ */

static void test_p2_every_allocation_fails_in_turn(void **state)
{
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = 2, .nb_tx = 2 };
	bool done = false;
	long n;

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	make_pool(r);
	for (n = 0; !done && n < 200; n++) {
		struct vio_rxq_conf rx = rx_conf(r);
		struct vio_txq_conf tx = tx_conf(r);
		unsigned i;
		int ret;

		r->h.fail_after = n;
		ret = probe(r, NULL);
		if (ret == 0)
			ret = vio_driver_configure(r->drv, &conf, NULL);
		for (i = 0; i < 2 && ret == 0; i++) {
			ret = vio_driver_rxq_configure(r->drv, i, &rx, NULL);
			if (ret == 0)
				ret = vio_driver_txq_configure(r->drv, i, &tx, NULL);
		}
		if (ret == 0)
			ret = vio_driver_start(r->drv, NULL);
		done = ret == 0;
		if (!done)
			assert_int_equal(ret, -ENOMEM);
		r->h.fail_after = -1;
		vio_driver_release(r->drv);
		r->drv = NULL;
		assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
		assert_int_equal(r->h.dma_live, 1); /* the pool */
	}
	assert_true(done);
	assert_true(n > 10);
}

static void test_p2_release_gives_transport_up(void **state)
{
	struct rig *r = *state;

	assert_int_equal(probe(r, NULL), 0);
	vio_driver_release(r->drv);
	r->drv = NULL;
	assert_int_equal(r->dev.releases, 1);
	assert_int_equal(r->dev.status, 0);
	vio_driver_release(NULL);
}

/* ---- U6, U7, U8, U14: configuration ---------------------------------------------------------- */

static void test_u6_number_of_queues(void **state)
{
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = FAKE_PAIRS + 1, .nb_tx = 1 };

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.msg, "expected 1 to 4"));
	conf.nb_rx = 0;
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), -EINVAL);
	conf.nb_rx = 1;
	conf.nb_tx = FAKE_PAIRS;
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	assert_int_equal(info(r).state, VIO_DRIVER_CONFIGURED);
	/* Again, and fewer. */
	conf.nb_tx = 1;
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	assert_int_equal(info(r).nb_tx, 1);
}

static void test_u6_other_features_negotiate_again(void **state)
{
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };

	assert_int_equal(probe(r, NULL), 0);
	conf.want = vio_features_make(vio_feature(VIO_NET_F_MAC), 0);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	assert_string_equal(r->dev.order, "RADfcFKRADfcFK");
	assert_false(vio_features_test(r->dev.accepted, VIO_NET_F_MRG_RXBUF));
	conf.want = (struct vio_features){ { 0, 0 } };
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	assert_string_equal(r->dev.order, "RADfcFKRADfcFK");
}

static void test_u7_u8_queue_setup(void **state)
{
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_driver_queue_info qi;
	struct vio_rxq_conf rx;
	struct vio_txq_conf tx;

	make_pool(r);
	rx = rx_conf(r);
	tx = tx_conf(r);
	assert_int_equal(probe(r, NULL), 0);
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), -EBUSY);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);

	assert_int_equal(vio_driver_rxq_configure(r->drv, 1, &rx, &r->err), -EINVAL);
	assert_int_equal(vio_driver_txq_configure(r->drv, 1, &tx, &r->err), -EINVAL);
	assert_int_equal(vio_driver_txq_configure(r->drv, UINT32_MAX, &tx, &r->err), -EINVAL);
	rx.alloc = NULL;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), -EINVAL);
	rx = rx_conf(r);
	rx.size = 512;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), -ENOBUFS);
	assert_non_null(strstr(r->err.msg, "at most 256"));
	rx.size = 100;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.msg, "power of two"));
	tx.size = 3;
	assert_int_equal(vio_driver_txq_configure(r->drv, 0, &tx, &r->err), -EINVAL);
	tx = tx_conf(r);
	tx.free = NULL;
	assert_int_equal(vio_driver_txq_configure(r->drv, 0, &tx, &r->err), -EINVAL);
	/* Nothing was set up, so it does not start. */
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.msg, "receive queue 0 is not set up"));

	rx.size = 0;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), 0);
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_RXQ(0), &qi), 0);
	assert_int_equal(qi.size, 256);
	rx.size = 64;
	assert_int_equal(vio_driver_rxq_configure(r->drv, 0, &rx, &r->err), 0);
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_RXQ(0), &qi), 0);
	assert_int_equal(qi.size, 64);
}

static void test_u7_odd_maximum_is_rounded_down(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;

	r->dev.queue_max = 300;
	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_TXQ(0), &qi), 0);
	assert_int_equal(qi.size, 256);
}

static void test_u14_queue_info(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;

	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_RXQ(0), &qi), 0);
	assert_int_equal(qi.min, 1);
	assert_int_equal(qi.max, 256);
	assert_int_equal(qi.align, 1);
	assert_true(qi.is_power_of_two);
	assert_int_equal(qi.in_flight, 0);
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_RXQ(1), &qi), -EINVAL);
	assert_int_equal(vio_driver_queue_info(r->drv, UINT32_MAX, &qi), -EINVAL);
}

/* ---- U12: start and stop --------------------------------------------------------------------- */

static void test_u12_start(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;

	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_string_equal(r->dev.order, "RADfcFKqqOc");
	assert_int_equal(info(r).state, VIO_DRIVER_STARTED);
	/* U7: filled before DRIVER_OK; the kick came after. */
	assert_int_equal(fake_available(&r->dev, VIO_RXQ(0)), 256);
	assert_int_equal(r->dev.queues[VIO_RXQ(0)].kicks, 1);
	assert_int_equal(r->dev.queues[VIO_RXQ(0)].early_kicks, 0);
	assert_int_equal(r->dev.queues[VIO_TXQ(0)].kicks, 0);
	/* All interrupts are off. */
	assert_int_equal(vio_driver_queue_info(r->drv, VIO_RXQ(0), &qi), 0);
	assert_false(qi.intr_enabled || qi.intr_armed);
	assert_int_equal(qi.in_flight, 256);
	fake_send(&r->dev, 0, "0123456789abcdef", 16, NULL);
	assert_false(fake_wants_interrupt(&r->dev, 0));
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EBUSY);
	assert_int_equal(vio_driver_configure(r->drv, &(struct vio_driver_conf){ .nb_rx = 1 },
					      &r->err),
			 -EBUSY);
}

static void test_l4_stop_gives_everything_back(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	struct vio_driver_stats stats;
	int round;

	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	assert_int_equal(vio_driver_stop(r->drv), -EBUSY);
	for (round = 0; round < 3; round++) {
		assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
		assert_int_equal(vio_pool_get(r->pool, &buf, 1), 1);
		buf->len = 60;
		memset(vio_buf_data(buf), 0, 60);
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
		assert_int_equal(fake_send(&r->dev, 0, "0123456789abcdef", 16, NULL), 1);
		assert_int_equal(vio_driver_stop(r->drv), 0);
		assert_int_equal(r->dev.status, 0);
		assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
		assert_int_equal(info(r).state, VIO_DRIVER_CONFIGURED);
		vio_driver_rx_prefetch(r->drv, 0);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -ESHUTDOWN);
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -ESHUTDOWN);
	}
	/* The frames that had arrived and that nobody took are accounted for. */
	assert_int_equal(vio_driver_queue_stats(r->drv, VIO_RXQ(0), &stats), 0);
	assert_int_equal(stats.packets, 3);
	assert_int_equal(stats.drops[VIO_DROP_LINK_DOWN], 3);
}

static void test_start_fails_unwound(void **state)
{
	struct rig *r = *state;

	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	r->dev.setup_error = -EIO;
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EIO);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	assert_int_equal(info(r).state, VIO_DRIVER_CONFIGURED);
	r->dev.setup_error = 0;
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

static void test_reset_forgets_queues(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	assert_int_equal(probe(r, NULL), 0);
	configure(r, 1, 1);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(vio_driver_reset(r->drv, &r->err), 0);
	assert_int_equal(info(r).state, VIO_DRIVER_PROBED);
	assert_int_equal(info(r).nb_rx, 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EINVAL);
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EINVAL);
}

/* U15: several queues, more of one kind than of the other. */
static void test_u15_multiqueue(void **state)
{
	struct rig *r = *state;
	uint8_t frame[100];
	struct vio_buf *buf;
	unsigned i;

	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	assert_int_equal(probe(r, NULL), 0);
	configure(r, 4, 2);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	/* The device was told to spread over four pairs. */
	assert_int_equal(r->dev.ctrl_count, 1);
	assert_int_equal(r->dev.ctrl_classes[0], VIO_NET_CTRL_MQ << 4);
	assert_int_equal(r->dev.ctrl[2], 4);
	for (i = 0; i < 4; i++) {
		memset(frame, (int)(2 * i), sizeof(frame));
		assert_int_equal(fake_send(&r->dev, VIO_RXQ(i), frame, sizeof(frame), NULL), 1);
	}
	for (i = 0; i < 4; i++) {
		/* Of the last: a queue that there is not. */
		vio_driver_rx_prefetch(r->drv, i + 1);
		assert_int_equal(vio_driver_rx_burst(r->drv, i, &buf, 1), 1);
		assert_int_equal(vio_buf_data(buf)[50], 2 * i);
		if (i < 2)
			assert_int_equal(vio_driver_tx_burst(r->drv, i, &buf, 1), 1);
		else
			vio_pool_put(r->pool, &buf, 1);
	}
	for (i = 0; i < 2; i++) {
		uint8_t sent[200];

		assert_int_equal(fake_take(&r->dev, VIO_TXQ(i), sent, sizeof(sent), NULL), 112);
		assert_int_equal(sent[12], 2 * i);
	}
}

static void test_u15_registry(void **state)
{
	struct rig *r = *state;
	struct vio_driver_registry registry = { NULL };
	struct vio_driver_opts opts = { .registry = &registry };
	struct fake_dev devs[3];
	struct vio_driver *drvs[3];
	struct vio_driver_info i;
	unsigned n;

	for (n = 0; n < 3; n++) {
		fake_dev_init(&devs[n], &r->h);
		assert_int_equal(vio_driver_probe(&devs[n].t, &r->h.host, &opts, &drvs[n], NULL),
				 0);
		vio_driver_get_info(drvs[n], &i);
		assert_int_equal(i.number, n);
	}
	assert_int_equal(vio_driver_count(&registry), 3);
	assert_ptr_equal(vio_driver_find(&registry, 1), drvs[1]);
	vio_driver_release(drvs[1]);
	assert_null(vio_driver_find(&registry, 1));
	assert_ptr_equal(vio_driver_next(&registry, drvs[0]), drvs[2]);
	/* The lowest free number is given again. */
	fake_dev_done(&devs[1]);
	fake_dev_init(&devs[1], &r->h);
	opts.name = "uplink";
	assert_int_equal(vio_driver_probe(&devs[1].t, &r->h.host, &opts, &drvs[1], NULL), 0);
	vio_driver_get_info(drvs[1], &i);
	assert_int_equal(i.number, 1);
	assert_string_equal(i.name, "uplink");
	assert_ptr_equal(vio_driver_next(&registry, drvs[0]), drvs[1]);
	assert_ptr_equal(vio_driver_next(&registry, NULL), drvs[0]);
	/* A probe that fails enters nothing. */
	r->dev.never_resets = true;
	assert_int_equal(probe(r, &opts), -ETIMEDOUT);
	assert_int_equal(vio_driver_count(&registry), 3);
	for (n = 0; n < 3; n++) {
		vio_driver_release(drvs[n]);
		fake_dev_done(&devs[n]);
	}
	assert_int_equal(vio_driver_count(&registry), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_u5_order),
		T(test_u5_accepted_is_closed_subset),
		T(test_u5_wanted_only),
		T(test_u5_defaults_bring_no_odd_frames),
		T(test_u5_refused),
		T(test_legacy_device),
		T(test_p5_header_size),
		T(test_p6_config),
		T(test_p6_random_mac),
		T(test_p6_link_down),
		T(test_ctrl_elsewhere_lends_mq),
		T(test_p2_every_allocation_fails_in_turn),
		T(test_p2_release_gives_transport_up),
		T(test_u6_number_of_queues),
		T(test_u6_other_features_negotiate_again),
		T(test_u7_u8_queue_setup),
		T(test_u7_odd_maximum_is_rounded_down),
		T(test_u14_queue_info),
		T(test_u12_start),
		T(test_l4_stop_gives_everything_back),
		T(test_start_fails_unwound),
		T(test_reset_forgets_queues),
		T(test_u15_multiqueue),
		T(test_u15_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
