/* SPDX-License-Identifier: BSD-2-Clause */
/* The control queue and what comes from the configuration space (P7, P10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "lib/driver_rig.h"

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa };

static void offer_ctrl(struct rig *r)
{
	static const uint8_t bits[] = { VIO_NET_F_CTRL_VQ,   VIO_NET_F_CTRL_RX,
					VIO_NET_F_CTRL_VLAN, VIO_NET_F_CTRL_MAC_ADDR,
					VIO_NET_F_MQ,	     VIO_NET_F_GUEST_ANNOUNCE };
	unsigned i;

	for (i = 0; i < sizeof(bits); i++)
		fake_offer(&r->dev, bits[i]);
}

/* The last command was @class, @command, then @len bytes of @data. */
static void check(const struct rig *r, uint8_t class, uint8_t command, const void *data, size_t len)
{
	assert_int_equal(r->dev.ctrl_len, 2 + len);
	assert_int_equal(r->dev.ctrl[0], class);
	assert_int_equal(r->dev.ctrl[1], command);
	assert_memory_equal(r->dev.ctrl + 2, data, len);
}

static void test_p10_commands(void **state)
{
	static const uint8_t macs[3][6] = { { 2, 1 }, { 1, 2 }, { 2, 3 } };
	static const uint8_t table[] = { 2, 0, 0, 0, 2, 1, 0, 0, 0, 0, 2, 3, 0,
					 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 0 };
	struct rig *r = *state;
	uint8_t mac[6];

	offer_ctrl(r);
	r->pairs = 2;
	rig_start(r);
	check(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2\0", 2);

	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
	check(r, VIO_NET_CTRL_RX, VIO_NET_CTRL_RX_PROMISC, "\1", 1);
	assert_true(vio_driver_promiscuous_get(r->drv));
	assert_int_equal(vio_driver_promiscuous_set(r->drv, false), 0);
	check(r, VIO_NET_CTRL_RX, VIO_NET_CTRL_RX_PROMISC, "\0", 1);
	assert_int_equal(vio_driver_allmulticast_set(r->drv, true), 0);
	check(r, VIO_NET_CTRL_RX, VIO_NET_CTRL_RX_ALLMULTI, "\1", 1);

	assert_int_equal(vio_driver_mac_set(r->drv, mac_a), 0);
	check(r, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_ADDR_SET, mac_a, 6);
	vio_driver_mac_get(r->drv, mac);
	assert_memory_equal(mac, mac_a, 6);
	assert_int_equal(vio_driver_mac_set(r->drv, macs[1]), -EINVAL);
	assert_int_equal(vio_driver_mac_table_set(r->drv, macs, 3), 0);
	check(r, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table));
	assert_int_equal(vio_driver_mac_table_set(r->drv, macs, 65), -ENOBUFS);

	assert_int_equal(vio_driver_vlan_filter(r->drv, 0x123, true), 0);
	check(r, VIO_NET_CTRL_VLAN, VIO_NET_CTRL_VLAN_ADD, "\x23\1", 2);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 0x123, false), 0);
	check(r, VIO_NET_CTRL_VLAN, VIO_NET_CTRL_VLAN_DEL, "\x23\1", 2);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 4096, true), -EINVAL);

	assert_int_equal(vio_driver_pairs_set(r->drv, 1), 0);
	check(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\1\0", 2);
	assert_int_equal(vio_driver_pairs_set(r->drv, 0), -EINVAL);
	assert_int_equal(vio_driver_pairs_set(r->drv, 3), -EINVAL);

	assert_int_equal(vio_driver_announce_ack(r->drv), 0);
	check(r, VIO_NET_CTRL_ANNOUNCE, VIO_NET_CTRL_ANNOUNCE_ACK, "", 0);
}

static void offer_rss(struct rig *r)
{
	offer_ctrl(r);
	fake_offer(&r->dev, VIO_NET_F_RSS);
	r->want = vio_driver_known_features();
	r->dev.config.rss_max_key_size = 40;
	r->dev.config.rss_max_indirection_table_length = vio_le16(128);
	r->dev.config.supported_hash_types = vio_le32(VIO_NET_HASH_TYPE_TCPV4);
	r->pairs = 2;
	rig_start(r);
}

static void test_p10_rss(void **state)
{
	static const uint16_t table[] = { 0, 1, 1, 0 };
	static const uint8_t key[] = { 9, 8, 7 };
	static const uint8_t want[] = { 2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 1,
					0, 1, 0, 0, 0, 2, 0, 3, 9, 8, 7 };
	struct vio_driver_rss rss = { VIO_NET_HASH_TYPE_TCPV4, table, 4, 1, key, 3 };
	struct rig *r = *state;

	offer_rss(r);
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), 0);
	check(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_RSS_CONFIG, want, sizeof(want));
	rss.unclassified = 2;
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), -EINVAL);
	rss.unclassified = 0;
	rss.table_len = 3;
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), -EINVAL);
	rss.table_len = 256;
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), -EINVAL);
	rss.table_len = 4;
	rss.key_len = 41;
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), -EINVAL);
	rss.key_len = 3;
	rss.hash_types = VIO_NET_HASH_TYPE_IPV4;
	assert_int_equal(vio_driver_rss_set(r->drv, &rss), -EINVAL);
}

static void test_p10_not_there(void **state)
{
	struct rig *r = *state;

	fake_offer(&r->dev, VIO_NET_F_CTRL_RX); /* of no use without CTRL_VQ */
	rig_start(r);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -ENOTSUP);
	assert_int_equal(vio_driver_allmulticast_set(r->drv, true), -ENOTSUP);
	assert_int_equal(vio_driver_mac_set(r->drv, mac_a), -ENOTSUP);
	assert_int_equal(vio_driver_mac_table_set(r->drv, NULL, 0), -ENOTSUP);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 1, true), -ENOTSUP);
	assert_int_equal(vio_driver_pairs_set(r->drv, 1), -ENOTSUP);
	assert_int_equal(vio_driver_announce_ack(r->drv), -ENOTSUP);
	assert_false(vio_driver_promiscuous_get(r->drv));
}

static void test_p10_refused_changes_nothing(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6];

	offer_ctrl(r);
	rig_start(r);
	r->dev.ack = VIO_NET_ERR;
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -EPERM);
	assert_false(vio_driver_promiscuous_get(r->drv));
	assert_int_equal(vio_driver_mac_set(r->drv, mac_a), -EPERM);
	vio_driver_mac_get(r->drv, mac);
	assert_memory_equal(mac, r->dev.config.mac, 6);
	/* The next one is another matter. */
	r->dev.ack = VIO_NET_OK;
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
}

/* What was asked for is asked for again after stop and start. */
static void test_settings_survive_restart(void **state)
{
	static const uint8_t macs[1][6] = { { 2, 1 } };
	static const uint8_t want[] = { VIO_NET_CTRL_MQ << 4,  VIO_NET_CTRL_MAC << 4 | 1,
					VIO_NET_CTRL_RX << 4,  VIO_NET_CTRL_RX << 4 | 1,
					VIO_NET_CTRL_MAC << 4, VIO_NET_CTRL_VLAN << 4 };
	struct rig *r = *state;
	uint8_t mac[6];

	offer_ctrl(r);
	r->pairs = 2;
	rig_start(r);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
	assert_int_equal(vio_driver_allmulticast_set(r->drv, true), 0);
	assert_int_equal(vio_driver_mac_set(r->drv, mac_a), 0);
	assert_int_equal(vio_driver_mac_table_set(r->drv, macs, 1), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 77, true), 0);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, false), -ESHUTDOWN);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_int_equal(r->dev.ctrl_count, sizeof(want));
	assert_memory_equal(r->dev.ctrl_classes, want, sizeof(want));
	vio_driver_mac_get(r->drv, mac);
	assert_memory_equal(mac, mac_a, 6);
}

/* Since its reset the device was last told this by a command of @class and number @command. */
static void told(const struct rig *r, uint8_t class, uint8_t command, const void *data, size_t len)
{
	const struct fake_command *kind = &r->dev.ctrl_kinds[class][command];

	assert_int_equal(kind->len, 2 + len);
	assert_memory_equal(kind->data, data, len);
}

static void lose_and_recover(struct rig *r)
{
	r->dev.gone = true;
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	r->dev.gone = false;
	assert_int_equal(vio_driver_recover(r->drv, 10, &r->err), 0);
}

static const uint8_t rss_wanted[] = { 2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 1,
				      0, 1, 0, 0, 0, 2, 0, 3, 9, 8, 7 };

static int set_rss(struct rig *r)
{
	uint16_t table[] = { 0, 1, 1, 0 };
	uint8_t key[] = { 9, 8, 7 };
	struct vio_driver_rss rss = { VIO_NET_HASH_TYPE_TCPV4, table, 4, 1, key, 3 };
	int ret = vio_driver_rss_set(r->drv, &rss);

	/* They were the caller's. */
	memset(table, 0xff, sizeof(table));
	memset(key, 0xff, sizeof(key));
	return ret;
}

/* Everything that was set is set again on the device that came back, with what was said. */
static void test_h31_settings_survive_recovery(void **state)
{
	static const uint8_t macs[2][6] = { { 2, 1 }, { 1, 2 } };
	static const uint8_t table[] = {
		1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 0
	};
	struct rig *r = *state;

	offer_rss(r);
	assert_int_equal(set_rss(r), 0);
	assert_int_equal(vio_driver_mac_set(r->drv, mac_a), 0);
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), 0);
	assert_int_equal(vio_driver_allmulticast_set(r->drv, true), 0);
	assert_int_equal(vio_driver_allmulticast_set(r->drv, false), 0);
	assert_int_equal(vio_driver_mac_table_set(r->drv, macs, 2), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 77, true), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 78, true), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 78, false), 0);
	assert_int_equal(vio_driver_announce_ack(r->drv), 0);
	for (unsigned i = 0; i < 2; i++) {
		lose_and_recover(r);
		told(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2\0", 2);
		told(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_RSS_CONFIG, rss_wanted,
		     sizeof(rss_wanted));
		/* The last of the two decides. */
		assert_int_equal(r->dev.ctrl_classes[1],
				 VIO_NET_CTRL_MQ << 4 | VIO_NET_CTRL_MQ_RSS_CONFIG);
		told(r, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_ADDR_SET, mac_a, 6);
		told(r, VIO_NET_CTRL_RX, VIO_NET_CTRL_RX_PROMISC, "\1", 1);
		told(r, VIO_NET_CTRL_RX, VIO_NET_CTRL_RX_ALLMULTI, "\0", 1);
		told(r, VIO_NET_CTRL_MAC, VIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table));
		told(r, VIO_NET_CTRL_VLAN, VIO_NET_CTRL_VLAN_ADD, "\115\0", 2);
		/* An announcement is asked for by the device, anew if need be. */
		assert_int_equal(r->dev.ctrl_count, 7);
	}
}

/* Spreading by number of pairs takes the place of the table, and stays after a recovery. */
static void test_h31_the_last_steering_counts(void **state)
{
	struct rig *r = *state;

	offer_rss(r);
	assert_int_equal(set_rss(r), 0);
	assert_int_equal(vio_driver_pairs_set(r->drv, 1), 0);
	lose_and_recover(r);
	told(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\1\0", 2);
	assert_int_equal(r->dev.ctrl_kinds[VIO_NET_CTRL_MQ][VIO_NET_CTRL_MQ_RSS_CONFIG].len, 0);
	/* Refused is as if not asked. */
	r->dev.ack = VIO_NET_ERR;
	assert_int_equal(set_rss(r), -EPERM);
	r->dev.ack = VIO_NET_OK;
	lose_and_recover(r);
	assert_int_equal(r->dev.ctrl_kinds[VIO_NET_CTRL_MQ][VIO_NET_CTRL_MQ_RSS_CONFIG].len, 0);
}

/* A device that can't do it for a while, or refuses, is up all the same, and gets it when it can. */
static void test_h31_a_table_that_does_not_fit_waits(void **state)
{
	struct rig *r = *state;

	offer_rss(r);
	assert_int_equal(set_rss(r), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 1, true), 0);
	assert_int_equal(vio_driver_vlan_filter(r->drv, 2, true), 0);
	r->dev.config.rss_max_key_size = 2;
	lose_and_recover(r);
	assert_int_equal(r->dev.ctrl_kinds[VIO_NET_CTRL_MQ][VIO_NET_CTRL_MQ_RSS_CONFIG].len, 0);
	r->dev.config.rss_max_key_size = 40;
	r->dev.ack = VIO_NET_ERR;
	lose_and_recover(r);
	/* Each filter is asked for, whatever became of the one before. */
	told(r, VIO_NET_CTRL_VLAN, VIO_NET_CTRL_VLAN_ADD, "\2\0", 2);
	r->dev.ack = VIO_NET_OK;
	lose_and_recover(r);
	told(r, VIO_NET_CTRL_MQ, VIO_NET_CTRL_MQ_RSS_CONFIG, rss_wanted, sizeof(rss_wanted));
}

static void test_p7_link(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	assert_true(vio_driver_link(r->drv));
	r->dev.config.status = 0;
	r->dev.generation++;
	/* Nothing is known before the interrupt. */
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 0);
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 1);
	assert_false(r->link_up);
	assert_false(vio_driver_link(r->drv));
	/* Only changes are told. */
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 1);
	r->dev.config.status = vio_le16(VIO_NET_S_LINK_UP);
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 2);
	assert_true(r->link_up);
}

static void test_p7_without_status(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_NET_F_STATUS);
	rig_start(r);
	r->dev.config.status = 0;
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 0);
	assert_true(vio_driver_link(r->drv));
}

static void test_announce(void **state)
{
	struct rig *r = *state;

	offer_ctrl(r);
	rig_start(r);
	r->dev.config.status = vio_le16(VIO_NET_S_LINK_UP | VIO_NET_S_ANNOUNCE);
	r->dev.events = VIO_TRANSPORT_CONFIG;
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->announces, 1);
	assert_int_equal(r->links, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_p10_commands),
		T(test_p10_rss),
		T(test_p10_not_there),
		T(test_p10_refused_changes_nothing),
		T(test_settings_survive_restart),
		T(test_h31_settings_survive_recovery),
		T(test_h31_the_last_steering_counts),
		T(test_h31_a_table_that_does_not_fit_waits),
		T(test_p7_link),
		T(test_p7_without_status),
		T(test_announce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
