/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver half: theory of operation.
 *
 *	frames of the caller                                 vio_driver_* in driver.h
 *	   rx.c tx.c intr.c      one queue: no locks, no waiting, one thread at a time
 *	   queue.c               its memory, into and out of the device
 *	   start.c               all queues up, down, and up again
 *	   negotiate.c ctrl.c    what is agreed with the device, what is asked of it
 *	   src/ring              descriptors
 *	   transport.h           registers or messages
 *
 * The driver owns no frame. A buffer goes to the device when the caller gives it (tx) or is asked for
 * it (rx), and comes back exactly once: as a received frame, through free, or through unsent. Every
 * way in is taken back by exactly one way out, also when the device breaks the rules, disappears
 * or is taken away in the middle of a burst; for the ring keeps, in private memory, who is in
 * flight.
 *
 * The device is not trusted. What it writes into rings is checked by src/ring, what it writes into
 * headers and configuration by rx.c and negotiate.c. A queue that it breaks stops; others go on; to
 * get it back the device is reset (vio_driver_recover()).
 *
 * Two kinds of state meet in a queue: q->halt, by which control stops queue functions, is one word
 * that is read at the begin of each; everything else changes only while queue functions rest.
 * That is the whole of the locking.
 *
 * This file: probe and release, the registry, configuration, and queries.
 */
#include "driver/driver.h"

#include "base/fmt.h"

/* ---- Registry -------------------------------------------------------------------------------- */

struct vio_driver *vio_driver_find(const struct vio_driver_registry *registry, unsigned number)
{
	struct vio_driver *drv;

	for (drv = registry->first; drv; drv = drv->next)
		if (drv->number == number)
			return drv;
	return NULL;
}

struct vio_driver *vio_driver_next(const struct vio_driver_registry *registry,
				   const struct vio_driver *drv)
{
	return drv ? drv->next : registry->first;
}

unsigned vio_driver_count(const struct vio_driver_registry *registry)
{
	const struct vio_driver *drv;
	unsigned n = 0;

	for (drv = registry->first; drv; drv = drv->next)
		n++;
	return n;
}

/* Enters @drv under the lowest free number; the list is kept in order. */
static void enter(struct vio_driver_registry *registry, struct vio_driver *drv)
{
	struct vio_driver **at = &registry->first;
	unsigned number = 0;

	while (*at && (*at)->number == number) {
		at = &(*at)->next;
		number++;
	}
	drv->number = number;
	drv->next = *at;
	*at = drv;
	drv->registry = registry;
}

static void leave(struct vio_driver *drv)
{
	struct vio_driver **at;

	if (!drv->registry)
		return;
	for (at = &drv->registry->first; *at != drv; at = &(*at)->next)
		;
	*at = drv->next;
}

/* ---- Probe and release ----------------------------------------------------------------------- */

static void take_opts(struct vio_driver *drv, const struct vio_driver_opts *opts)
{
	static const struct vio_driver_opts none;

	if (!opts)
		opts = &none;
	drv->want = vio_features_is_empty(opts->want) ? vio_driver_default_features() : opts->want;
	drv->timeout_ms = opts->timeout_ms ? opts->timeout_ms : VIO_DEFAULT_TIMEOUT;
	drv->events = opts->events;
	drv->events_ctx = opts->events_ctx;
	if (opts->registry)
		enter(opts->registry, drv);
	if (opts->name)
		vio_snprintf(drv->name, sizeof(drv->name), "%s", opts->name);
	else
		vio_snprintf(drv->name, sizeof(drv->name), "net%u", drv->number);
}

int vio_driver_probe(struct vio_driver_transport *transport, const struct vio_host *host,
		     const struct vio_driver_opts *opts, struct vio_driver **out,
		     struct vio_error *err)
{
	struct vio_driver *drv;
	int ret;

	if (err)
		err->msg[0] = '\0';
	drv = host->alloc(host->ctx, sizeof(*drv), VIO_CACHE_LINE);
	if (!drv)
		return -ENOMEM;
	drv->host = host;
	drv->transport = transport;
	drv->ops = transport->ops;
	take_opts(drv, opts);
	ret = vio_driver_negotiate(drv, err);
	if (ret < 0) {
		leave(drv);
		host->free(host->ctx, drv, sizeof(*drv));
		return ret;
	}
	vio_log(host, VIO_LOG_INFO, "%s: %s device, %u queue pairs, features 0x%llx", drv->name,
		drv->ops->name, drv->max_pairs, (unsigned long long)drv->accepted.w[0]);
	*out = drv;
	return 0;
}

void vio_driver_release(struct vio_driver *drv)
{
	if (!drv)
		return;
	vio_driver_shutdown(drv, false);
	vio_driver_drop_queues(drv);
	vio_driver_ctrl_destroy(drv);
	drv->ops->release(drv->transport);
	leave(drv);
	drv->host->free(drv->host->ctx, drv, sizeof(*drv));
}

/* ---- Configuration --------------------------------------------------------------------------- */

static int wrong_state(const struct vio_driver *drv, struct vio_error *err)
{
	vio_error_set(err, "%s: can't be configured while it runs or has failed", drv->name);
	return -EBUSY;
}

int vio_driver_configure(struct vio_driver *drv, const struct vio_driver_conf *conf,
			 struct vio_error *err)
{
	unsigned pairs = vio_max(conf->nb_rx, conf->nb_tx);
	int ret;

	if (drv->state != VIO_DRIVER_PROBED && drv->state != VIO_DRIVER_CONFIGURED)
		return wrong_state(drv, err);
	vio_driver_drop_queues(drv);
	drv->state = VIO_DRIVER_PROBED;
	if (!vio_features_is_empty(conf->want) && !vio_features_equal(conf->want, drv->want)) {
		drv->want = conf->want;
		drv->negotiated = false;
	}
	ret = drv->negotiated ? 0 : vio_driver_negotiate(drv, err);
	if (ret < 0)
		return ret;
	if (conf->nb_rx == 0 || conf->nb_tx == 0 || pairs > drv->max_pairs) {
		vio_error_set(err, "%s: %u receive and %u transmit queues, expected 1 to %u",
			      drv->name, conf->nb_rx, conf->nb_tx, drv->max_pairs);
		return -EINVAL;
	}
	drv->queues =
		drv->host->alloc(drv->host->ctx, 2 * pairs * sizeof(*drv->queues), sizeof(void *));
	if (!drv->queues)
		return -ENOMEM;
	drv->nb_rx = conf->nb_rx;
	drv->nb_tx = conf->nb_tx;
	drv->active_pairs = pairs;
	drv->rss.set = false; /* its table leads to the queues that there were */
	drv->state = VIO_DRIVER_CONFIGURED;
	return 0;
}

/* The largest ring that may be made; rounded down for a format that only has powers of two. */
static uint32_t queue_max(const struct vio_driver *drv, unsigned queue)
{
	int max = drv->ops->queue_max(drv->transport, queue);
	uint32_t num = max > 0 ? vio_min((uint32_t)max, (uint32_t)VIO_VQ_MAX_SIZE) : 0;

	while (num > 0 && vio_vq_check_size(num, drv->accepted.w[0]) < 0)
		num--;
	return num;
}

static int configure_queue(struct vio_driver *drv, unsigned queue, uint32_t size, bool callbacks,
			   struct vio_driver_queue **out, struct vio_error *err)
{
	const char *kind = queue & 1 ? "transmit" : "receive";
	unsigned id = queue / 2;
	uint32_t max;
	int ret;

	if (drv->state != VIO_DRIVER_CONFIGURED)
		return wrong_state(drv, err);
	if (!vio_driver_has_queue(drv, queue)) {
		vio_error_set(err, "%s: no %s queue %u", drv->name, kind, id);
		return -EINVAL;
	}
	if (!callbacks) {
		vio_error_set(err, "%s: %s queue %u: expected %s", drv->name, kind, id,
			      queue & 1 ? "a free callback" : "alloc and free callbacks");
		return -EINVAL;
	}
	max = queue_max(drv, queue);
	if (size == 0)
		size = max;
	if (size > max) {
		vio_error_set(err, "%s: %s queue %u: size %u, expected at most %u", drv->name, kind,
			      id, size, max);
		return -ENOBUFS;
	}
	if (vio_vq_check_size(size, drv->accepted.w[0]) < 0) {
		vio_error_set(err, "%s: %s queue %u: size %u, expected a power of two", drv->name,
			      kind, id, size);
		return -EINVAL;
	}
	vio_driver_queue_destroy(drv->queues[queue]);
	drv->queues[queue] = NULL;
	ret = vio_driver_queue_create(drv, queue, size, out);
	if (ret == 0)
		(*out)->max = max;
	return ret;
}

int vio_driver_rxq_configure(struct vio_driver *drv, unsigned id, const struct vio_rxq_conf *conf,
			     struct vio_error *err)
{
	struct vio_driver_queue *q;
	int ret;

	if (id >= VIO_DRIVER_MAX_PAIRS)
		return -EINVAL;
	ret = configure_queue(drv, VIO_RXQ(id), conf->size, conf->alloc && conf->free, &q, err);
	if (ret < 0)
		return ret;
	q->conf.rx = *conf;
	drv->queues[VIO_RXQ(id)] = q;
	return 0;
}

int vio_driver_txq_configure(struct vio_driver *drv, unsigned id, const struct vio_txq_conf *conf,
			     struct vio_error *err)
{
	struct vio_driver_queue *q;
	int ret;

	if (id >= VIO_DRIVER_MAX_PAIRS)
		return -EINVAL;
	ret = configure_queue(drv, VIO_TXQ(id), conf->size, conf->free != NULL, &q, err);
	if (ret < 0)
		return ret;
	q->conf.tx = *conf;
	drv->queues[VIO_TXQ(id)] = q;
	return 0;
}

/* ---- Queries --------------------------------------------------------------------------------- */

void vio_driver_get_info(const struct vio_driver *drv, struct vio_driver_info *info)
{
	*info = (struct vio_driver_info){
		.number = drv->number,
		.transport = drv->ops->name,
		.state = drv->state,
		.max_pairs = drv->max_pairs,
		.nb_rx = drv->nb_rx,
		.nb_tx = drv->nb_tx,
		.offered = drv->offered,
		.accepted = drv->accepted,
		.hdr_size = drv->hdr_size,
		.mtu = drv->mtu,
		.max_mtu = drv->max_mtu,
		.speed = drv->config.speed,
		.duplex = drv->config.duplex,
		.link = drv->link,
		.promiscuous = drv->promiscuous,
		.allmulticast = drv->allmulticast,
		.recoveries = drv->recoveries,
	};
	info->rx_buf_size = vio_driver_rx_frame_max(drv);
	memcpy(info->name, drv->name, sizeof(info->name));
	memcpy(info->mac, drv->mac, sizeof(info->mac));
}

int vio_driver_queue_info(const struct vio_driver *drv, unsigned queue,
			  struct vio_driver_queue_info *info)
{
	const struct vio_driver_queue *q = vio_driver_queue(drv, queue);

	if (queue / 2 >= drv->max_pairs)
		return -EINVAL;
	*info = (struct vio_driver_queue_info){ .min = 1, .align = 1 };
	info->is_power_of_two = !vio_driver_has(drv, VIO_F_RING_PACKED);
	info->max = q ? q->max : queue_max(drv, queue);
	if (!q)
		return 0;
	info->size = q->num;
	info->intr_enabled = q->intr_user;
	info->intr_armed = vio_load(&q->armed);
	if (q->vq) {
		info->in_flight = vio_drvq_in_flight(q->vq);
		info->error = vio_drvq_error(q->vq);
	}
	return 0;
}

int vio_driver_queue_stats(const struct vio_driver *drv, unsigned queue,
			   struct vio_driver_stats *stats)
{
	const struct vio_driver_queue *q = vio_driver_queue(drv, queue);
	const uint64_t *from;
	uint64_t *to;
	size_t i;

	if (!q)
		return -EINVAL;
	from = (const uint64_t *)&q->stats;
	to = (uint64_t *)stats;
	for (i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = vio_load(&from[i]);
	stats->interrupts = vio_load(&q->interrupts);
	stats->spurious = vio_load(&q->spurious);
	return 0;
}

void vio_driver_mac_get(const struct vio_driver *drv, uint8_t mac[VIO_ETH_ALEN])
{
	memcpy(mac, drv->mac, VIO_ETH_ALEN);
}

uint32_t vio_driver_mtu_get(const struct vio_driver *drv)
{
	return drv->mtu;
}

int vio_driver_mtu_set(struct vio_driver *drv, uint32_t mtu)
{
	struct vio_driver_queue *q;
	unsigned id;

	if (mtu < VIO_NET_MTU_MIN || mtu > drv->max_mtu)
		return -EINVAL;
	drv->mtu = mtu;
	for (id = 0; id < drv->nb_tx; id++) {
		q = drv->queues[VIO_TXQ(id)];
		if (q && vio_driver_has(drv, VIO_NET_F_MTU))
			q->frame_max = mtu + VIO_ETH_HLEN;
	}
	return 0;
}

bool vio_driver_promiscuous_get(const struct vio_driver *drv)
{
	return drv->promiscuous;
}

bool vio_driver_allmulticast_get(const struct vio_driver *drv)
{
	return drv->allmulticast;
}

bool vio_driver_link(const struct vio_driver *drv)
{
	return drv->link;
}
