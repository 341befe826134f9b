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

static void test_p10_rss(void **state)
{
	static const uint16_t table[] = { 0, 1, 1, 0 };
	static const uint8_t key[] = { 9, 8, 7 };
	static const uint8_t want[] = { 2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 1,
					0, 1, 0, 0, 0, 2, 0, 3, 9, 8, 7 };
	struct vio_driver_rss rss = { VIO_NET_HASH_TYPE_TCPV4, table, 4, 1, key, 3 };
	struct rig *r = *state;

	offer_ctrl(r);
	fake_offer(&r->dev, VIO_NET_F_RSS);
	r->want = vio_driver_known_features();
	r->dev.config.rss_max_key_size = 40;
	r->dev.config.rss_max_indirection_table_length = vio_le16(128);
	r->dev.config.supported_hash_types = vio_le32(VIO_NET_HASH_TYPE_TCPV4);
	r->pairs = 2;
	rig_start(r);
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
		T(test_p7_link),
		T(test_p7_without_status),
		T(test_announce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
