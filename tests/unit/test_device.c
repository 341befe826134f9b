/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's control plane: properties, features, status, configuration space, queues. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/endian.h"
#include "bed.h"
#include "counting_host.h"

#define F(bit) vio_feature(VIO_NET_F_##bit)

static int create(struct counting *c, const struct vio_net_props *props, struct vio_backend *be,
		  struct vio_device **dev, struct vio_error *err)
{
	counting_init(c);
	err->msg[0] = '\0';
	*dev = NULL;
	return vio_device_create(&c->host, props, be, dev, err);
}

/* ---- Q1, Q2 ------------------------------------------------------------------------------- */

static void q1_create_is_unwound_at_every_allocation(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;
	int n, ret;

	(void)state;
	vio_net_props_init(&props);
	props.queue_pairs = 3;
	for (n = 0;; n++) {
		counting_init(&c);
		c.fail_in = n;
		err.msg[0] = '\0';
		ret = vio_device_create(&c.host, &props, &fb->be, &dev, &err);
		if (ret == 0)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_string_not_equal(err.msg, "");
		assert_int_equal(c.bytes, 0);
	}
	assert_true(n >= 2);
	vio_device_destroy(dev);
	assert_int_equal(c.bytes, 0);
	vio_device_destroy(NULL);
	fake_backend_destroy(fb);
}

static void q1_queue_start_is_unwound_when_memory_is_short(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_devq_setup setup;
	struct guest_queue q;
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;
	struct guest g;
	size_t before;

	(void)state;
	guest_create(&g, 1 << 20);
	guest_queue_create(&q, &g, 256, 0);
	setup = guest_queue_setup(&q, 0);
	vio_net_props_init(&props);
	assert_int_equal(create(&c, &props, &fb->be, &dev, &err), 0);
	before = c.bytes;
	c.fail_in = 0;
	assert_int_equal(vio_device_queue_start(dev, 0, &setup, g.mem), -ENOMEM);
	assert_false(vio_device_queue_running(dev, 0));
	assert_int_equal(c.bytes, before);
	c.fail_in = -1;
	assert_int_equal(vio_device_queue_start(dev, 0, &setup, g.mem), 0);
	/* Destroyed with a queue running, everything is given back all the same. */
	vio_device_destroy(dev);
	assert_int_equal(c.bytes, 0);
	guest_queue_destroy(&q);
	guest_destroy(&g);
	fake_backend_destroy(fb);
}

struct bad_props {
	const char *words[3]; /* all in the message: name, value, limit */
	struct vio_net_props props;
};

static void q2_bad_properties_are_named_with_value_and_limits(void **state)
{
	static const struct bad_props bad[] = {
		{ { "mtu", "67", "68" }, { .speed = -1, .mtu = 67 } },
		{ { "mtu", "65536", "65535" }, { .speed = -1, .mtu = 65536 } },
		{ { "speed", "-2", "2147483647" }, { .speed = -2 } },
		{ { "duplex", "2", "half" }, { .speed = -1, .duplex = 2 } },
		{ { "queue-pairs", "129", "128" }, { .speed = -1, .queue_pairs = 129 } },
		{ { "queue-pairs", "9", "8" }, { .speed = -1, .queue_pairs = 9 } }, /* back end */
		{ { "rx-queue-size", "255", "256" }, { .speed = -1, .rx_queue_size = 255 } },
		{ { "rx-queue-size", "2048", "1024" }, { .speed = -1, .rx_queue_size = 2048 } },
		{ { "tx-queue-size", "128", "256" }, { .speed = -1, .tx_queue_size = 128 } },
		{ { "tx-queue-size", "768", "power of 2" }, { .speed = -1, .tx_queue_size = 768 } },
		{ { "mac", "01:00:00:00:00:02", "multicast" },
		  { .speed = -1, .mac = { 1, 0, 0, 0, 0, 2 } } },
	};
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(create(&c, &bad[i].props, &fb->be, &dev, &err), -EINVAL);
		for (unsigned k = 0; k < 3; k++)
			if (!strstr(err.msg, bad[i].words[k]))
				fail_msg("\"%s\" does not say %s", err.msg, bad[i].words[k]);
		assert_null(strchr(err.msg, '\n'));
		assert_int_equal(c.bytes, 0);
	}
	fake_backend_destroy(fb);
}

static void q2_features_that_do_not_exist_here_are_refused_by_name(void **state)
{
	static const unsigned bits[] = { VIO_NET_F_RSS, VIO_NET_F_HASH_REPORT, VIO_F_SR_IOV,
					 VIO_NET_F_MTU };
	static const char *const names[] = { "+rss", "+hash_report", "+sr_iov", "+mtu" };
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;

	(void)state;
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		vio_net_props_init(&props);
		vio_features_set(&props.add, bits[i]);
		assert_int_equal(create(&c, &props, &fb->be, &dev, &err), -EINVAL);
		assert_non_null(strstr(err.msg, names[i]));
		assert_int_equal(c.bytes, 0);
	}
	fake_backend_destroy(fb);
}

static void q2_limits_themselves_are_accepted(void **state)
{
	static const struct vio_net_props good[] = {
		{ .speed = -1, .mtu = 68, .rx_queue_size = 256, .tx_queue_size = 1024 },
		{ .speed = 0, .mtu = 65535, .duplex = VIO_DUPLEX_HALF, .queue_pairs = 8 },
		{ .speed = INT32_MAX, .duplex = VIO_DUPLEX_FULL, .queue_pairs = 1 },
	};
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(create(&c, &good[i], &fb->be, &dev, &err), 0);
		assert_string_equal(err.msg, "");
		vio_device_destroy(dev);
	}
	fake_backend_destroy(fb);
}

static void q2_unknown_tx_mode_warns_and_means_bh(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	char mode[] = "timer";
	struct vio_net_props props;
	struct vio_device *dev;
	struct vio_error err;
	struct counting c;

	(void)state;
	vio_net_props_init(&props);
	props.tx = "fast";
	assert_int_equal(create(&c, &props, &fb->be, &dev, &err), 0);
	assert_int_equal(vio_device_tx_mode(dev), VIO_TX_BH);
	assert_non_null(strstr(c.log, "fast"));
	assert_non_null(strstr(c.log, "timer"));
	assert_string_equal(vio_device_props(dev)->tx, "bh");
	vio_device_destroy(dev);

	/* The string is the caller's, who may reuse its memory. */
	props.tx = mode;
	assert_int_equal(create(&c, &props, &fb->be, &dev, &err), 0);
	memset(mode, 'x', sizeof(mode) - 1);
	assert_int_equal(vio_device_tx_mode(dev), VIO_TX_TIMER);
	assert_string_equal(vio_device_props(dev)->tx, "timer");
	assert_string_equal(c.log, "");
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

/* ---- Q3 ----------------------------------------------------------------------------------- */

static struct vio_device *device(struct fake_backend *fb, const struct vio_net_props *props)
{
	struct vio_device *dev;
	struct vio_error err;

	assert_int_equal(
		vio_device_create(vio_host_linux(VIO_LOG_ERROR), props, &fb->be, &dev, &err), 0);
	return dev;
}

static void q3_config_size_follows_what_is_offered(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;

	(void)state;
	vio_net_props_init(&props);
	dev = device(fb, &props);
	assert_int_equal(vio_device_config_size(dev), 8); /* MAC, status */
	vio_device_mask_features(dev, vio_features_make(~F(STATUS), 0));
	assert_int_equal(vio_device_config_size(dev), 6);
	vio_device_destroy(dev);

	props.queue_pairs = 2;
	dev = device(fb, &props);
	assert_int_equal(vio_device_config_size(dev), 10);
	vio_device_destroy(dev);

	props.mtu = 1500;
	dev = device(fb, &props);
	assert_int_equal(vio_device_config_size(dev), 12);
	vio_device_destroy(dev);

	props.speed = 40000;
	dev = device(fb, &props);
	assert_int_equal(vio_device_config_size(dev), 17);
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

static void q3_reads_beyond_the_end_give_zeroes(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;
	uint8_t buf[64];

	(void)state;
	vio_net_props_init(&props);
	memcpy(props.mac, "\x02\x11\x22\x33\x44\x55", 6);
	dev = device(fb, &props);
	memset(buf, 0xee, sizeof(buf));
	vio_device_config_read(dev, 4, buf, 60);
	assert_memory_equal(buf, "\x44\x55\x01\x00", 4);
	for (unsigned i = 4; i < 60; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[60], 0xee);
	for (uint64_t offset = 8; offset <= UINT32_MAX; offset = offset * 2 + 1) {
		memset(buf, 0xee, sizeof(buf));
		vio_device_config_read(dev, (uint32_t)offset, buf, 8);
		assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
	}
	vio_device_config_read(dev, 0, buf, 0);
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

/* ---- Q4 ----------------------------------------------------------------------------------- */

static void q4_queues_are_numbered_in_pairs_and_the_rest_refused(void **state)
{
	struct bed r;
	struct vio_devq_setup setup;
	uint32_t base = 77;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .pairs = 3, .no_start = true });
	assert_int_equal(vio_device_num_pairs(r.dev), 3);
	assert_int_equal(vio_device_num_queues(r.dev), 6);
	assert_int_equal(vio_device_queue_max(r.dev, 5), 1024);
	assert_int_equal(vio_device_queue_max(r.dev, 6), 0);
	bed_start(&r);
	setup = guest_queue_setup(&r.q[0], 0);
	for (unsigned q = 6; q < 1000000; q = q * 3 + 1) {
		assert_int_equal(vio_device_queue_start(r.dev, q, &setup, r.g.mem), -ENOENT);
		assert_int_equal(vio_device_queue_stop(r.dev, q, &base), -ENOENT);
		assert_int_equal(vio_device_queue_enable(r.dev, q, true), -ENOENT);
		assert_int_equal(vio_device_queue_set_mem(r.dev, q, r.g.mem, &setup.areas),
				 -ENOENT);
		assert_false(vio_device_queue_running(r.dev, q));
		assert_int_equal(vio_device_queue_error(r.dev, q), VIO_VQ_OK);
		assert_int_equal(bed_stats(&r, q).kicks, 0);
	}
	assert_int_equal(base, 77);
	assert_int_equal(vio_device_queue_start(r.dev, 0, &setup, r.g.mem), -EBUSY);
	bed_close(&r);
}

static void q4_a_queue_goes_on_where_it_was_stopped(void **state)
{
	struct vio_devq_setup setup;
	uint32_t base = 0;
	struct bed r;
	uint8_t frame[60];

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	for (unsigned i = 0; i < 5; i++) {
		bed_pattern(frame, sizeof(frame), i);
		assert_true(bed_send(&r, 0, NULL, frame, sizeof(frame)));
	}
	assert_int_equal(bed_turn_budget(&r, 0, 3), 3);
	setup = guest_queue_setup(&r.q[1], 0);
	assert_int_equal(vio_device_tx_size(r.dev, 0), setup.num);
	assert_int_equal(vio_device_queue_stop(r.dev, 1, &base), 0);
	assert_int_equal(vio_device_tx_size(r.dev, 0), 0);
	assert_int_equal(base, 3);
	assert_int_equal(bed_turn(&r, 0), 0);
	assert_int_equal(bed_reap_tx(&r, 0), 3);
	setup = guest_queue_setup(&r.q[1], base);
	assert_int_equal(vio_device_queue_start(r.dev, 1, &setup, r.g.mem), 0);
	assert_int_equal(bed_turn(&r, 0), 2);
	assert_int_equal(bed_reap_tx(&r, 0), 2);
	assert_int_equal(fake_backend_sent(r.fb), 5);
	bed_close(&r);
}

static void q4_the_ring_may_move_to_other_memory(void **state)
{
	struct guest_queue other;
	struct vio_mem_region regions[1];
	struct vio_mem *mem = malloc(vio_mem_bytes(1));
	struct bed r;
	struct fake_frame *sent;
	uint8_t frame[60];
	uint8_t *copy = malloc(4 << 20);

	(void)state;
	assert_non_null(mem);
	assert_non_null(copy);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	bed_pattern(frame, sizeof(frame), 1);
	assert_true(bed_send(&r, 0, NULL, frame, sizeof(frame)));
	/* Region 0, where all this lies, is mapped at another place from now on. */
	memcpy(copy, r.g.host[0], 4 << 20);
	regions[0] =
		(struct vio_mem_region){ .guest_addr = GUEST_BASE, .size = 4 << 20, .host = copy };
	assert_int_equal(vio_mem_init(mem, regions, 1), 0);
	other = r.q[1];
	other.areas.desc = copy + ((uint8_t *)r.q[1].areas.desc - r.g.host[0]);
	other.areas.driver = copy + ((uint8_t *)r.q[1].areas.driver - r.g.host[0]);
	other.areas.device = copy + ((uint8_t *)r.q[1].areas.device - r.g.host[0]);
	other.used = other.areas.device;
	memset(r.g.host[0], 0xff, 4 << 20);
	assert_int_equal(vio_device_queue_set_mem(r.dev, 1, mem, &other.areas), 0);
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(guest_queue_used_idx(&other), 1);
	sent = fake_backend_next(r.fb);
	assert_non_null(sent);
	assert_memory_equal(sent->bytes, frame, sizeof(frame));
	free(sent);
	bed_close(&r);
	free(copy);
	free(mem);
}

/* ---- Q6 ----------------------------------------------------------------------------------- */

static void q6_mac_is_the_given_one_or_a_local_unicast_one(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev, *other;
	uint8_t mac[6], second[6];

	(void)state;
	vio_net_props_init(&props);
	dev = device(fb, &props);
	other = device(fb, &props);
	vio_device_config_read(dev, 0, mac, 6);
	vio_device_config_read(other, 0, second, 6);
	assert_int_equal(mac[0] & 3, 2); /* local, not multicast */
	assert_memory_equal(mac, vio_device_props(dev)->mac, 6);
	assert_memory_not_equal(mac, second, 6);
	vio_device_destroy(other);
	vio_device_destroy(dev);

	memcpy(props.mac, "\x52\x54\x00\x12\x34\x56", 6);
	dev = device(fb, &props);
	vio_device_config_read(dev, 0, mac, 6);
	assert_memory_equal(mac, "\x52\x54\x00\x12\x34\x56", 6);
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

static void q6_link_change_shows_in_config_and_interrupts_once(void **state)
{
	uint8_t status[2], generation;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	vio_device_config_read(r.dev, 6, status, 2);
	assert_int_equal(status[0], VIO_NET_S_LINK_UP);
	generation = vio_device_config_generation(r.dev);
	vio_device_set_link(r.dev, true); /* no change */
	assert_int_equal(r.config_changes, 0);
	assert_int_equal(vio_device_config_generation(r.dev), generation);
	vio_device_set_link(r.dev, false);
	assert_int_equal(r.config_changes, 1);
	assert_false(vio_device_link(r.dev));
	assert_int_not_equal(vio_device_config_generation(r.dev), generation);
	vio_device_config_read(r.dev, 6, status, 2);
	assert_int_equal(status[0], 0);
	vio_device_set_link(r.dev, true);
	assert_int_equal(r.config_changes, 2);
	vio_device_config_read(r.dev, 6, status, 2);
	assert_int_equal(status[0], VIO_NET_S_LINK_UP);
	bed_close(&r);
}

static void q6_mtu_changes_within_limits_where_it_is_offered(void **state)
{
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;
	uint8_t mtu[2];

	(void)state;
	vio_net_props_init(&props);
	dev = device(fb, &props);
	assert_int_equal(vio_device_set_mtu(dev, 1500), -EINVAL);
	vio_device_destroy(dev);
	props.mtu = 1500;
	dev = device(fb, &props);
	assert_int_equal(vio_device_set_mtu(dev, 67), -EINVAL);
	assert_int_equal(vio_device_set_mtu(dev, 65536), -EINVAL);
	vio_device_config_read(dev, 10, mtu, 2);
	assert_int_equal(mtu[0] | mtu[1] << 8, 1500);
	assert_int_equal(vio_device_set_mtu(dev, 9000), 0);
	vio_device_config_read(dev, 10, mtu, 2);
	assert_int_equal(mtu[0] | mtu[1] << 8, 9000);
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

/* ---- Offering and accepting --------------------------------------------------------------- */

static void q7_offers_to_the_guest_what_the_back_end_hands_over(void **state)
{
	uint64_t guest = F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(GUEST_UFO) |
			 F(GUEST_USO4) | F(GUEST_USO6);
	struct fake_backend *fb = fake_backend_create(0, 0);
	struct vio_net_props props;
	struct vio_device *dev;

	(void)state;
	vio_net_props_init(&props);
	dev = device(fb, &props);
	assert_int_equal(vio_device_features(dev).w[0] & guest, 0);
	/* What the guest may send does not depend on it: software does what is lacking. */
	assert_int_equal(vio_device_features(dev).w[0] &
				 (F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_USO) | F(CSUM)),
			 F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_USO) | F(CSUM));
	vio_device_destroy(dev);

	fb->be.caps.rx_offloads = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4;
	dev = device(fb, &props);
	assert_int_equal(vio_device_features(dev).w[0] & guest, F(GUEST_TSO4));
	vio_device_destroy(dev);

	/* Taking one away takes with it what needs it. */
	vio_features_set(&props.remove, VIO_NET_F_CSUM);
	dev = device(fb, &props);
	assert_int_equal(vio_device_features(dev).w[0] &
				 (F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_USO) | F(HOST_UFO)),
			 0);
	vio_device_destroy(dev);
	fake_backend_destroy(fb);
}

static void q7_the_back_end_hears_what_the_guest_takes(void **state)
{
	uint32_t have = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6;
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = vio_feature(VIO_F_VERSION_1) | F(GUEST_CSUM) |
						     F(GUEST_TSO4),
					 .rx_offloads = have });
	assert_true(r.fb->told_rx_offloads);
	assert_int_equal(r.fb->rx_offloads, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4);
	bed_stop(&r);
	vio_device_set_status(r.dev, 0);
	assert_int_equal(r.fb->rx_offloads, 0);
	bed_close(&r);
}

static void q9_what_would_change_running_queues_is_refused(void **state)
{
	struct vio_features some = vio_features_make(vio_feature(VIO_F_VERSION_1), 0);
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	assert_int_equal(vio_device_set_driver_features(r.dev, some), -EBUSY);
	/* The same set again changes nothing and is fine (front ends repeat themselves). */
	assert_int_equal(vio_device_set_driver_features(r.dev, vio_device_driver_features(r.dev)),
			 0);
	bed_stop(&r);
	assert_int_equal(vio_device_set_driver_features(r.dev, some), 0);
	bed_close(&r);
}

static void reset_forgets_what_was_negotiated_and_keeps_counters(void **state)
{
	uint8_t frame[60] = { 0 };
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	assert_true(bed_send(&r, 0, NULL, frame, sizeof(frame)));
	assert_int_equal(bed_turn(&r, 0), 1);
	vio_device_set_status(r.dev, VIO_STATUS_ACKNOWLEDGE | VIO_STATUS_DRIVER);
	assert_int_equal(vio_device_set_status(r.dev, 0), 0);
	assert_int_equal(vio_device_status(r.dev), 0);
	assert_int_equal(vio_device_driver_features(r.dev).w[0], 0);
	for (unsigned i = 0; i < 2; i++)
		assert_false(vio_device_queue_running(r.dev, i));
	assert_int_equal(bed_stats(&r, 1).packets, 1);
	assert_int_equal(bed_stats(&r, 1).bytes, 60);
	bed_close(&r);
}

static void a_legacy_driver_may_set_the_mac_and_nothing_else(void **state)
{
	uint8_t mac[6];
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = F(MAC), .no_start = true });
	assert_int_equal(vio_device_config_write(r.dev, 0, "\x02\1\2\3\4\5", 6), 0);
	assert_int_equal(vio_device_config_write(r.dev, 5, "\x66", 1), 0);
	assert_int_equal(vio_device_config_write(r.dev, 5, "\x77\x77", 2), -EPERM);
	assert_int_equal(vio_device_config_write(r.dev, UINT32_MAX, "\x77\x77", 2), -EPERM);
	assert_int_equal(vio_device_config_write(r.dev, 0, "", 0), -EPERM);
	vio_device_config_read(r.dev, 0, mac, 6);
	assert_memory_equal(mac, "\x02\1\2\3\4\x66", 6);
	assert_int_equal(vio_device_set_driver_features(
				 r.dev, vio_features_make(vio_feature(VIO_F_VERSION_1), 0)),
			 0);
	assert_int_equal(vio_device_config_write(r.dev, 0, "\x02\1\2\3\4\5", 6), -EPERM);
	vio_device_set_status(r.dev, 0);
	vio_device_config_read(r.dev, 0, mac, 6);
	assert_memory_equal(mac, vio_device_props(r.dev)->mac, 6);
	bed_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(q1_create_is_unwound_at_every_allocation),
		cmocka_unit_test(q1_queue_start_is_unwound_when_memory_is_short),
		cmocka_unit_test(q2_bad_properties_are_named_with_value_and_limits),
		cmocka_unit_test(q2_features_that_do_not_exist_here_are_refused_by_name),
		cmocka_unit_test(q2_limits_themselves_are_accepted),
		cmocka_unit_test(q2_unknown_tx_mode_warns_and_means_bh),
		cmocka_unit_test(q3_config_size_follows_what_is_offered),
		cmocka_unit_test(q3_reads_beyond_the_end_give_zeroes),
		cmocka_unit_test(q4_queues_are_numbered_in_pairs_and_the_rest_refused),
		cmocka_unit_test(q4_a_queue_goes_on_where_it_was_stopped),
		cmocka_unit_test(q4_the_ring_may_move_to_other_memory),
		cmocka_unit_test(q6_mac_is_the_given_one_or_a_local_unicast_one),
		cmocka_unit_test(q6_link_change_shows_in_config_and_interrupts_once),
		cmocka_unit_test(q6_mtu_changes_within_limits_where_it_is_offered),
		cmocka_unit_test(q7_offers_to_the_guest_what_the_back_end_hands_over),
		cmocka_unit_test(q7_the_back_end_hears_what_the_guest_takes),
		cmocka_unit_test(q9_what_would_change_running_queues_is_refused),
		cmocka_unit_test(reset_forgets_what_was_negotiated_and_keeps_counters),
		cmocka_unit_test(a_legacy_driver_may_set_the_mac_and_nothing_else),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
