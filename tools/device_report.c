/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_report.h"

#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "front.h"
#include "tool.h"

static json_t *queue_json(const struct vio_queue_stats *s)
{
	json_t *drops = json_object();
	unsigned i;

	for (i = 0; i < VIO_DROP_NR; i++)
		if (s->drops[i])
			json_object_set_new(drops, vio_drop_name((enum vio_drop)i),
					    json_integer((json_int_t)s->drops[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:o}", "packets", (json_int_t)s->packets, "bytes",
			 (json_int_t)s->bytes, "kicks", (json_int_t)s->kicks, "calls",
			 (json_int_t)s->calls, "drops", drops);
}

static json_t *port_json(const struct vio_port *port, const struct vio_port_conf *conf)
{
	struct vio_device *dev = vio_port_device(port);
	struct vio_vhost_user_status status;
	struct vio_queue_stats rx, tx;
	json_t *queues = json_array(), *root;
	char where[128];
	unsigned i;

	for (i = 0; i < vio_device_num_pairs(dev); i++) {
		vio_device_queue_stats(dev, i * 2, &rx);
		vio_device_queue_stats(dev, i * 2 + 1, &tx);
		json_array_append_new(queues, json_pack("{s:i, s:o, s:o}", "pair", (int)i, "rx",
							queue_json(&rx), "tx", queue_json(&tx)));
	}
	vio_port_status(port, &status);
	vio_port_describe(port, where, sizeof(where));
	root = json_pack("{s:s, s:b, s:I, s:I, s:I, s:o}", "backend", where, "connected",
			 status.connected, "connections", (json_int_t)status.connections,
			 "disconnects", (json_int_t)status.disconnects, "protocol_errors",
			 (json_int_t)status.protocol_errors, "queues", queues);
	if (conf->vhost_user.socket_path)
		json_object_set_new(root, "socket", json_string(conf->vhost_user.socket_path));
	if (status.last_error[0])
		json_object_set_new(root, "last_error", json_string(status.last_error));
	return root;
}

static void print_queue(unsigned pair, const char *direction, const struct vio_queue_stats *s)
{
	unsigned i;

	printf("  %4u %-3s %14" PRIu64 " %17" PRIu64 " %10" PRIu64 " %10" PRIu64, pair, direction,
	       s->packets, s->bytes, s->kicks, s->calls);
	for (i = 0; i < VIO_DROP_NR; i++)
		if (s->drops[i])
			printf("  %s %" PRIu64, vio_drop_name((enum vio_drop)i), s->drops[i]);
	printf("\n");
}

/* Pairs that nothing ever touched are left out, but for the first. */
static void print_port(const struct vio_port *port, const struct vio_port_conf *conf)
{
	struct vio_device *dev = vio_port_device(port);
	struct vio_vhost_user_status status;
	struct vio_queue_stats rx, tx;
	char where[128];
	unsigned i;

	vio_port_status(port, &status);
	vio_port_describe(port, where, sizeof(where));
	printf("%s on %s: %" PRIu64 " connection%s\n", where,
	       conf->vhost_user.socket_path ? conf->vhost_user.socket_path : "a given socket",
	       status.connections, status.connections == 1 ? "" : "s");
	if (status.last_error[0])
		printf("  last connection cut by us: %s\n", status.last_error);
	printf("  pair dir        packets             bytes      kicks      calls  drops\n");
	for (i = 0; i < vio_device_num_pairs(dev); i++) {
		vio_device_queue_stats(dev, i * 2, &rx);
		vio_device_queue_stats(dev, i * 2 + 1, &tx);
		if (i && !rx.packets && !tx.packets && !rx.kicks && !tx.kicks)
			continue;
		print_queue(i, "rx", &rx);
		print_queue(i, "tx", &tx);
	}
}

void device_report(struct vio_port *const *ports, const struct vio_port_conf *confs, unsigned n,
		   bool json)
{
	json_t *devices = json ? json_array() : NULL, *root;
	const uint64_t now = front_now();
	unsigned i;

	for (i = 0; i < n; i++) {
		if (json)
			json_array_append_new(devices, port_json(ports[i], &confs[i]));
		else
			print_port(ports[i], &confs[i]);
	}
	if (json) {
		root = json_pack("{s:o, s:I}", "devices", devices, "ns", (json_int_t)now);
		json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		printf("\n");
		json_decref(root);
	}
	fflush(stdout);
}

int device_capabilities(void)
{
	const struct vio_backend_ops *const *kind;
	json_t *kinds = json_array(), *root;

	for (kind = vio_backend_kinds(); *kind; kind++)
		json_array_append_new(kinds, json_string((*kind)->kind));
	root = json_pack("{s:s, s:[s,s,s], s:o}", "type", "net", "features", "queue-pairs",
			 "client", "busy-poll", "backends", kinds);
	json_dumpf(root, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(root);
	return TOOL_OK;
}
