/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "tool.h"

#define SCHEME	     "vhost-user:"
#define VLAN_TAG_LEN 4
#define SPARE	     (64u << 20) /* bytes: a few hundred buffers of 64 KiB */
#define UNPOSTED     192	 /* buffers: about to be sent or being looked at */
#define ROOM_MIN     1536u /* bytes: for an ordinary frame with a tag; not more pages than needed */

volatile sig_atomic_t front_ending;

int front_address(const char *command, const char *option, const char *text,
		  struct front_address *address)
{
	const char *path, *comma;
	size_t len;

	if (strncmp(text, "pci:", 4) == 0)
		return tool_usage(command,
				  "%s: pci: this build reaches devices by vhost-user:PATH "
				  "only",
				  text);
	if (strncmp(text, SCHEME, strlen(SCHEME)) != 0)
		return tool_usage(command, "%s: %s: must be vhost-user:PATH[,server]", option,
				  text);
	path = text + strlen(SCHEME);
	comma = strrchr(path, ',');
	if (comma && strchr(comma, '/')) /* a path with a comma in it */
		comma = NULL;
	if (comma && strcmp(comma, ",server") != 0)
		return tool_usage(command, "%s: %s: only \"server\" may follow the path", option,
				  text);
	len = comma ? (size_t)(comma - path) : strlen(path);
	if (len == 0 || len >= sizeof(address->path))
		return tool_usage(command, "%s: %s: a path of 1 to 107 bytes is needed", option,
				  text);
	memcpy(address->path, path, len);
	address->path[len] = '\0';
	address->server = comma != NULL;
	return 0;
}

int front_seconds(const char *command, const char *option, const char *text, double min, double max,
		  double *value)
{
	char *end;
	double n;

	n = strtod(text, &end);
	if (end != text && *end == '\0' && n >= min && n <= max) {
		*value = n;
		return 0;
	}
	return tool_usage(command, "%s: %s: must be a number of seconds between %g and %g", option,
			  text, min, max);
}

/* The line that the library gave, or what the error number says. */
static int fail(const char *command, const struct front_conf *conf, const struct vio_error *err,
		int ret)
{
	if (err->msg[0])
		tool_fail(command, "%s", err->msg);
	else
		tool_fail(command, "%s: %s", conf->at.path, strerror(-ret));
	return ret == -EINVAL || ret == -ENAMETOOLONG ? TOOL_USAGE : TOOL_FAILED;
}

/* Whether frames may come that are larger than an MTU, and, for all that is known before the device is
 * asked, unmerged. */
static bool takes_large_frames(const struct front_conf *conf)
{
	static const uint8_t large[] = { VIO_NET_F_GUEST_TSO4, VIO_NET_F_GUEST_TSO6,
					 VIO_NET_F_GUEST_UFO, VIO_NET_F_GUEST_USO4,
					 VIO_NET_F_GUEST_USO6 };
	unsigned i;

	for (i = 0; i < sizeof(large); i++)
		if (vio_features_test(conf->add, large[i]))
			return true;
	return false;
}

int front_connect(const char *command, const struct front_conf *conf, struct front *front)
{
	struct vio_vhost_user_front_conf vu = {
		.socket_path = conf->at.path,
		.server = conf->at.server,
		.timeout_ms = conf->timeout_ms,
		.mtu = conf->mtu,
	};
	struct vio_error err = { "" };
	int ret;

	memset(front, 0, sizeof(*front));
	signal(SIGPIPE, SIG_IGN);
	front->spare = takes_large_frames(conf) ? SPARE : 0;
	ret = vio_dma_arena_create(conf->memory + front->spare, VIO_LOG_ERROR, &front->arena, &err);
	if (!ret)
		ret = vio_vhost_user_open(&vu, front->arena, &front->transport, &err);
	return ret ? fail(command, conf, &err, ret) : 0;
}

int front_probe(const char *command, const struct front_conf *conf, struct front *front)
{
	struct vio_driver_opts opts = { .events = conf->events, .events_ctx = conf->events_ctx };
	struct vio_error err = { "" };
	int ret;

	opts.want = vio_features_andnot(vio_features_or(vio_driver_default_features(), conf->add),
					conf->remove);
	ret = vio_driver_probe(front->transport, vio_dma_arena_host(front->arena), &opts,
			       &front->drv, &err);
	if (ret) {
		fail(command, conf, &err, ret);
		return TOOL_FAILED;
	}
	front->transport = NULL;
	return 0;
}

/* As large as asked for, if the device has rings of that size. */
static uint32_t ring_size(const struct front *front, unsigned queue, uint32_t size)
{
	struct vio_driver_queue_info info;

	if (vio_driver_queue_info(front->drv, queue, &info) == 0 && info.max < size)
		return info.max;
	return size;
}

/*
 * How many buffers of what size @queues get. What is received may have a VLAN tag on top of the MTU.
 * Where buffers are not merged, each has to have room for the largest frame that may come: there are
 * fewer then, and as many are posted as leave enough for what else they are for.
 */
static void fit_buffers(const struct front *front, struct front_queues *queues, uint32_t *rx_size)
{
	struct vio_driver_info info;
	uint64_t memory;
	uint32_t rings;

	vio_driver_get_info(front->drv, &info);
	*rx_size = queues->size;
	queues->room += VLAN_TAG_LEN;
	if (queues->room < ROOM_MIN)
		queues->room = ROOM_MIN;
	if (vio_features_test(info.accepted, VIO_NET_F_MRG_RXBUF) ||
	    queues->room >= info.rx_buf_size)
		return;
	memory = (uint64_t)queues->buffers * vio_max(queues->room, FRONT_BUFFER) + front->spare;
	if (queues->buffers > memory / (info.rx_buf_size + 256))
		queues->buffers = (uint32_t)(memory / (info.rx_buf_size + 256));
	queues->room = info.rx_buf_size;
	/* What is sent may come from the same pool. */
	rings = queues->tx_buffers ? 1 : 2;
	while (*rx_size > 1 && queues->pairs * (rings * *rx_size + UNPOSTED) > queues->buffers)
		*rx_size /= 2;
}

/* @tx_room: as asked for, where more may be received. */
static int make_pools(const struct front_queues *queues, uint32_t tx_room, struct front *front)
{
	const struct vio_host *host = vio_dma_arena_host(front->arena);
	int ret = vio_pool_create(host, queues->buffers, queues->room, &front->pool);

	front->tx_pool = front->pool;
	if (ret || !queues->tx_buffers)
		return ret;
	return vio_pool_create(host, queues->tx_buffers, vio_max(tx_room, ROOM_MIN),
			       &front->tx_pool);
}

static int set_up_pair(const struct front_queues *queues, uint32_t rx_size, unsigned id,
		       struct front *front, struct vio_error *err)
{
	struct vio_rxq_conf rx = queues->rx;
	struct vio_txq_conf tx = queues->tx;
	int ret;

	rx.ctx = tx.ctx = queues->ctx;
	rx.size = ring_size(front, VIO_RXQ(id), rx_size);
	tx.size = ring_size(front, VIO_TXQ(id), queues->size);
	ret = vio_driver_rxq_configure(front->drv, id, &rx, err);
	return ret ? ret : vio_driver_txq_configure(front->drv, id, &tx, err);
}

int front_start(const char *command, const struct front_queues *wanted, struct front *front)
{
	struct vio_driver_conf conf = { .nb_rx = wanted->pairs, .nb_tx = wanted->pairs };
	struct front_queues queues = *wanted;
	struct vio_error err = { "" };
	uint32_t rx_size;
	unsigned i;
	int ret;

	fit_buffers(front, &queues, &rx_size);
	ret = make_pools(&queues, wanted->room, front);
	if (!ret)
		ret = vio_driver_configure(front->drv, &conf, &err);
	for (i = 0; i < queues.pairs && !ret; i++)
		ret = set_up_pair(&queues, rx_size, i, front, &err);
	if (!ret)
		ret = vio_driver_start(front->drv, &err);
	if (ret)
		return tool_fail(command, "%s", err.msg[0] ? err.msg : strerror(-ret));
	return 0;
}

void front_close(struct front *front)
{
	/* The driver gives its buffers back to the pools, which lie in the arena. */
	vio_driver_release(front->drv);
	if (front->tx_pool != front->pool)
		vio_pool_destroy(front->tx_pool);
	vio_pool_destroy(front->pool);
	vio_driver_transport_release(front->transport);
	vio_dma_arena_destroy(front->arena);
	memset(front, 0, sizeof(*front));
}

static void note_signal(int signo)
{
	(void)signo;
	front_ending = 1;
}

sigset_t front_catch_signals(void)
{
	struct sigaction action = { .sa_handler = note_signal };
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return before;
}

uint64_t front_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
