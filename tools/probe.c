/* SPDX-License-Identifier: BSD-2-Clause */
/* vioduct probe: what a device offers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <vioduct/features.h>

#include "front.h"
#include "tool.h"
#include "wire/vhost_user.h"

#define COMMAND "probe"

/* All that is known of a device. */
struct facts {
	const char *path;
	struct vio_features offered; /* by the device itself */
	struct vio_vhost_user_front_info wire;
	struct vio_driver_info driver;
	uint32_t rx_size, tx_size; /* largest rings; 0: not known */
	char mac[20];		   /* "" when the device does not say it */
	uint32_t mtu;		   /* 0: likewise */
};

/* The name of feature @bit, those of the protocol included. */
static const char *feature_name(unsigned bit)
{
	const char *name = vio_feature_name(bit);

	if (bit == VIO_VU_F_PROTOCOL_FEATURES)
		return "VHOST_USER_F_PROTOCOL_FEATURES";
	if (bit == VIO_VU_F_LOG_ALL)
		return "VHOST_F_LOG_ALL";
	return name ? name : "(unassigned)";
}

static const char *protocol_name(unsigned bit)
{
	const char *name = vio_vu_protocol_feature_name(bit);

	return name ? name : "(unassigned)";
}

static bool config_says(const struct facts *facts, unsigned feature)
{
	return (facts->wire.protocol_features & vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG)) &&
	       vio_features_test(facts->offered, feature);
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */
static void print_text(const struct facts *facts)
{
	const struct vio_driver_info *d = &facts->driver;
	unsigned bit;

	printf("vhost-user:%s\n", facts->path);
	printf("  MAC %s, MTU %u%s, link %s, header of %u bytes\n",
	       facts->mac[0] ? facts->mac : "not told", facts->mtu ? facts->mtu : d->mtu,
	       facts->mtu ? "" : " (not told)", d->link ? "up" : "down", d->hdr_size);
	printf("  queue pairs: %u, rings of up to %u (rx) and %u (tx)\n", facts->wire.max_pairs,
	       facts->rx_size, facts->tx_size);
	printf("  memory slots: %" PRIu64 "\n", facts->wire.max_mem_slots);
	printf("  features (* accepted by our driver):\n");
	for (bit = 0; bit < VIO_FEATURE_BITS; bit++)
		if (vio_features_test(facts->offered, bit))
			printf("  %c %3u  %s\n", vio_features_test(d->accepted, bit) ? '*' : ' ',
			       bit, feature_name(bit));
	printf("  protocol features (* used by our driver):\n");
	for (bit = 0; bit < 64; bit++)
		if (facts->wire.protocol_offered >> bit & 1)
			printf("  %c %3u  %s\n",
			       facts->wire.protocol_features >> bit & 1 ? '*' : ' ', bit,
			       protocol_name(bit));
}

static json_t *bit_json(unsigned bit, const char *name, const char *verb, bool taken)
{
	return json_pack("{s:i, s:s, s:b}", "bit", (int)bit, "name", name, verb, taken);
}

static void print_json(const struct facts *facts)
{
	const struct vio_driver_info *d = &facts->driver;
	json_t *features = json_array(), *protocol = json_array(), *root;
	unsigned bit;

	for (bit = 0; bit < VIO_FEATURE_BITS; bit++)
		if (vio_features_test(facts->offered, bit))
			json_array_append_new(features,
					      bit_json(bit, feature_name(bit), "accepted",
						       vio_features_test(d->accepted, bit)));
	for (bit = 0; bit < 64; bit++)
		if (facts->wire.protocol_offered >> bit & 1)
			json_array_append_new(protocol,
					      bit_json(bit, protocol_name(bit), "used",
						       facts->wire.protocol_features >> bit & 1));
	root = json_pack("{s:s, s:s, s:s?, s:o, s:b, s:i, s:i, s:i, s:i, s:I, s:o, s:o}",
			 "transport", "vhost-user", "path", facts->path, "mac",
			 facts->mac[0] ? facts->mac : NULL, "mtu",
			 facts->mtu ? json_integer(facts->mtu) : json_null(), "link_up", d->link,
			 "header_size", (int)d->hdr_size, "queue_pairs", (int)facts->wire.max_pairs,
			 "rx_queue_size", (int)facts->rx_size, "tx_queue_size", (int)facts->tx_size,
			 "memory_slots", (json_int_t)facts->wire.max_mem_slots, "features",
			 features, "protocol_features", protocol);
	json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	printf("\n");
	json_decref(root);
}

/* ------------------------------------------------------------------------------------------
 * Asking
 */
static void learn_queues(struct vio_driver *drv, struct facts *facts)
{
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_driver_queue_info info;
	struct vio_error err;

	if (vio_driver_configure(drv, &conf, &err))
		return;
	if (vio_driver_queue_info(drv, VIO_RXQ(0), &info) == 0)
		facts->rx_size = info.max;
	if (vio_driver_queue_info(drv, VIO_TXQ(0), &info) == 0)
		facts->tx_size = info.max;
}

static void learn_config(struct facts *facts)
{
	const uint8_t *m = facts->driver.mac;

	facts->offered = vio_features_make(facts->wire.features, 0);
	if (config_says(facts, VIO_NET_F_MAC))
		snprintf(facts->mac, sizeof(facts->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0],
			 m[1], m[2], m[3], m[4], m[5]);
	if (config_says(facts, VIO_NET_F_MTU))
		facts->mtu = facts->driver.max_mtu;
}

static int probe(const struct front_conf *conf, bool json)
{
	struct facts facts = { .path = conf->at.path };
	struct front front;
	int ret;

	ret = front_connect(COMMAND, conf, &front);
	if (!ret) {
		ret = vio_vhost_user_describe(front.transport, &facts.wire);
		if (ret)
			ret = tool_fail(COMMAND, "%s: %s", facts.path, strerror(-ret));
	}
	if (!ret)
		ret = front_probe(COMMAND, conf, &front);
	if (!ret) {
		vio_driver_get_info(front.drv, &facts.driver);
		learn_config(&facts);
		learn_queues(front.drv, &facts);
		if (json)
			print_json(&facts);
		else
			print_text(&facts);
	}
	front_close(&front);
	return ret;
}

static int run(int argc, char **argv)
{
	struct front_conf conf = { .memory = 4 << 20 };
	bool json;
	int ret;

	ret = tool_parse_json(&tool_probe, argc, argv, &json);
	if (ret)
		return ret;
	if (optind + 1 != argc)
		return tool_usage(COMMAND,
				  "one device is needed, as vhost-user:PATH[,server]; %d "
				  "are given",
				  argc - optind);
	if (front_address(COMMAND, "device", argv[optind], &conf.at))
		return TOOL_USAGE;
	conf.timeout_ms = conf.at.server ? 60000 : 5000;
	return probe(&conf, json);
}

const struct tool_command tool_probe = {
	.name = COMMAND,
	.synopsis = "[--json] vhost-user:PATH[,server]",
	.summary = "tell what a device offers: features, configuration, queues",
	.run = run,
};
