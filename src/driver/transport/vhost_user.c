/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's way to a vhost-user device: a front end.
 *
 * Status and features travel as messages, rings and frames lie in the arena, which the device maps,
 * and each queue has two eventfds, one for kicks and one for calls. Order of messages on a new
 * connection: SET_OWNER, features, protocol features, number of queue pairs, memory. Then, each
 * time the driver starts: SET_FEATURES; for each queue CALL, NUM, BASE, ADDR and, as the one that
 * starts the ring, KICK; ENABLE; and DRIVER_OK where the device listens to status. The driver's
 * reset is GET_VRING_BASE on every ring, whose answer says that the device has let go of it.
 *
 * The device has no configuration space unless it offers the protocol feature CONFIG. What it does
 * not say is said here in its stead: MAC and MTU from the caller, the link that is up as long as the
 * connection lives, the number of queue pairs as the protocol has it. Features that stand for such
 * fields are added to what the device offers, and taken out again of what it is told. So is
 * RING_RESET: every device can be asked for one ring back, by the messages above. Those that
 * would need the control queue are taken out altogether: what it does elsewhere is here done with
 * messages (ENABLE), or not at all.
 *
 * The connection is the device's life. When it ends, for whatever reason, everything here returns
 * -ENODEV until reconnect() has made a new one. Eventfds outlive it, so whoever sleeps on a call
 * descriptor need not notice. The kick eventfd never blocks: a full counter is a kick under way.
 *
 * Messages to be acknowledged are, wherever the device can: a refusal then shows at the message it
 * belongs to. Every wait for an answer ends by a limit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/fmt.h"
#include "driver/transport/vhost_user.h"
#include "wire/sock.h"

/* Available and used position of a ring not yet used: 0, wrap counter 1 (virtio 1.4, 2.8.1). */
#define FRESH_PACKED_RING UINT32_C(0x80008000)

#define QUEUE_SIZE_MAX	   1024 /* the protocol has no way to ask; every device takes this */
#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_REPLY_MS   1000

static struct vio_front *front(struct vio_driver_transport *t)
{
	return vio_container_of(t, struct vio_front, t);
}

/* ---- Features and status --------------------------------------------------------------------- */

/* What the device's configuration says itself. */
static bool config_says(const struct vio_front *f, unsigned feature)
{
	return vio_front_speaks(f, VIO_VU_PROTOCOL_F_CONFIG) && vio_front_device_has(f, feature);
}

static bool have_mac(const struct vio_front *f)
{
	static const uint8_t zero[VIO_ETH_ALEN];

	return memcmp(f->mac, zero, sizeof(zero)) != 0;
}

static int front_get_features(struct vio_driver_transport *t, struct vio_features *offered)
{
	static const uint8_t not_here[] = {
		VIO_NET_F_CTRL_VQ,	    VIO_NET_F_CTRL_RX,	     VIO_NET_F_CTRL_VLAN,
		VIO_NET_F_CTRL_RX_EXTRA,    VIO_NET_F_CTRL_MAC_ADDR, VIO_NET_F_CTRL_GUEST_OFFLOADS,
		VIO_NET_F_GUEST_ANNOUNCE,   VIO_NET_F_RSS,	     VIO_NET_F_HASH_REPORT,
		VIO_VU_F_PROTOCOL_FEATURES, VIO_VU_F_LOG_ALL,	     VIO_F_ACCESS_PLATFORM,
		VIO_F_NOTIFICATION_DATA,
	};
	struct vio_front *f = front(t);
	struct vio_features set = vio_features_make(f->device_features, 0);
	unsigned i;

	if (!f->connected)
		return -ENODEV;
	for (i = 0; i < vio_array_size(not_here); i++)
		vio_features_clear(&set, not_here[i]);
	if (f->pairs < 2)
		vio_features_clear(&set, VIO_NET_F_MQ);
	if (!config_says(f, VIO_NET_F_SPEED_DUPLEX))
		vio_features_clear(&set, VIO_NET_F_SPEED_DUPLEX);
	if (!config_says(f, VIO_NET_F_MAC))
		vio_features_clear(&set, VIO_NET_F_MAC);
	if (!config_says(f, VIO_NET_F_MTU))
		vio_features_clear(&set, VIO_NET_F_MTU);
	if (have_mac(f))
		vio_features_set(&set, VIO_NET_F_MAC);
	if (f->mtu)
		vio_features_set(&set, VIO_NET_F_MTU);
	vio_features_set(&set, VIO_NET_F_STATUS);
	vio_features_set(&set, VIO_F_RING_RESET);
	*offered = set;
	return 0;
}

static int front_set_features(struct vio_driver_transport *t, struct vio_features accepted)
{
	struct vio_front *f = front(t);
	uint64_t mine = vio_feature(VIO_VU_F_PROTOCOL_FEATURES);

	f->packed = vio_features_test(accepted, VIO_F_RING_PACKED);
	return vio_front_call_u64(f, VIO_VU_SET_FEATURES,
				  (accepted.w[0] & f->device_features) |
					  (mine & f->device_features));
}

static int front_get_status(struct vio_driver_transport *t)
{
	struct vio_front *f = front(t);
	uint64_t status;
	int ret;

	if (!f->connected)
		return -ENODEV;
	if (!vio_front_speaks(f, VIO_VU_PROTOCOL_F_STATUS))
		return f->status;
	ret = vio_front_ask_u64(f, VIO_VU_GET_STATUS, &status);
	return ret < 0 ? ret : (int)(status & 0xff);
}

/* Takes ring @i from the device. */
static int stop_ring(struct vio_front *f, unsigned i)
{
	struct vio_front_queue *q = &f->queues[i];
	int ret;

	if (q->enabled && vio_front_device_has(f, VIO_VU_F_PROTOCOL_FEATURES)) {
		/* A refusal is no reason to leave it the ring. */
		ret = vio_front_call_state(f, VIO_VU_SET_VRING_ENABLE, i, 0);
		if (ret == -ENODEV)
			return ret;
	}
	q->enabled = false;
	if (!q->set_up)
		return 0;
	ret = vio_front_call_state(f, VIO_VU_GET_VRING_BASE, i, 0);
	if (ret == 0)
		q->set_up = false;
	return ret;
}

static int stop_rings(struct vio_front *f)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < VIO_FRONT_QUEUES && ret == 0; i++)
		ret = stop_ring(f, i);
	return ret;
}

static int front_set_status(struct vio_driver_transport *t, uint8_t status)
{
	struct vio_front *f = front(t);
	int ret = f->connected ? 0 : -ENODEV;

	if (ret == 0 && status == VIO_STATUS_RESET)
		ret = stop_rings(f);
	if (ret == 0 && vio_front_speaks(f, VIO_VU_PROTOCOL_F_STATUS))
		ret = vio_front_call_u64(f, VIO_VU_SET_STATUS, status);
	f->status = status;
	return ret;
}

/* ---- Configuration space --------------------------------------------------------------------- */

static int ask_config(struct vio_front *f, struct vio_net_config *config)
{
	uint32_t size = (uint32_t)vio_net_config_size(vio_features_make(f->device_features, 0));
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, VIO_VU_GET_CONFIG, VIO_VU_CONFIG_HDR_SIZE + size);
	msg.payload.config.size = size;
	ret = vio_front_call(f, &msg, &reply);
	if (ret < 0)
		return ret;
	vio_vu_msg_close_fds(&reply);
	if (reply.hdr.size < VIO_VU_CONFIG_HDR_SIZE + size || reply.payload.config.size != size)
		return -EIO;
	memcpy(config, reply.payload.config.region, size);
	return 0;
}

static int front_config_read(struct vio_driver_transport *t, uint32_t offset, void *buf,
			     uint32_t len)
{
	struct vio_front *f = front(t);
	struct vio_net_config c = { .mac = { 0 } };
	int ret = 0;

	if (!f->connected)
		return -ENODEV;
	if (vio_front_speaks(f, VIO_VU_PROTOCOL_F_CONFIG))
		ret = ask_config(f, &c);
	if (ret < 0)
		return ret;
	if (have_mac(f) && !config_says(f, VIO_NET_F_MAC))
		memcpy(c.mac, f->mac, sizeof(c.mac));
	if (!config_says(f, VIO_NET_F_STATUS))
		c.status = vio_le16(VIO_NET_S_LINK_UP);
	if (f->mtu && !config_says(f, VIO_NET_F_MTU))
		c.mtu = vio_le16(f->mtu);
	c.max_virtqueue_pairs = vio_le16(f->pairs);
	if (offset > sizeof(c) || len > sizeof(c) - offset)
		return -EINVAL;
	memcpy(buf, (uint8_t *)&c + offset, len);
	return 0;
}

static int front_config_generation(struct vio_driver_transport *t)
{
	return front(t)->connected ? front(t)->generation : -ENODEV;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static int front_queue_max(struct vio_driver_transport *t, unsigned queue)
{
	return queue < 2 * front(t)->pairs ? QUEUE_SIZE_MAX : 0;
}

/* The eventfd at *@fd, made when it isn't there yet. */
static int event(int *fd)
{
	if (*fd < 0)
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? -errno : *fd;
}

static int call_addr(struct vio_front *f, unsigned queue, const struct vio_driver_ring *ring)
{
	struct vio_vu_msg msg;

	/* Device addresses and user addresses are the same here, see share_memory(). */
	vio_vu_request(&msg, VIO_VU_SET_VRING_ADDR, sizeof(msg.payload.addr));
	msg.payload.addr.index = queue;
	msg.payload.addr.desc = ring->desc;
	msg.payload.addr.avail = ring->driver;
	msg.payload.addr.used = ring->device;
	return vio_front_call(f, &msg, NULL);
}

static int front_queue_setup(struct vio_driver_transport *t, unsigned queue,
			     const struct vio_driver_ring *ring)
{
	struct vio_front *f = front(t);
	struct vio_front_queue *q;
	int ret;

	if (queue >= VIO_FRONT_QUEUES)
		return -EINVAL;
	q = &f->queues[queue];
	ret = event(&q->call);
	if (ret >= 0)
		ret = event(&q->kick);
	if (ret >= 0)
		ret = vio_front_call_fd(f, VIO_VU_SET_VRING_CALL, queue, q->call);
	if (ret == 0)
		ret = vio_front_call_state(f, VIO_VU_SET_VRING_NUM, queue, ring->num);
	if (ret == 0)
		ret = vio_front_call_state(f, VIO_VU_SET_VRING_BASE, queue,
					   f->packed ? FRESH_PACKED_RING : 0);
	if (ret == 0)
		ret = call_addr(f, queue, ring);
	if (ret == 0) {
		/* From here on the device may look at the ring. */
		q->set_up = true;
		ret = vio_front_call_fd(f, VIO_VU_SET_VRING_KICK, queue, q->kick);
	}
	return ret;
}

static int front_queue_enable(struct vio_driver_transport *t, unsigned queue)
{
	struct vio_front *f = front(t);
	int ret = 0;

	/* Without protocol features a ring is enabled from the start. */
	if (vio_front_device_has(f, VIO_VU_F_PROTOCOL_FEATURES))
		ret = vio_front_call_state(f, VIO_VU_SET_VRING_ENABLE, queue, 1);
	if (ret == 0)
		f->queues[queue].enabled = true;
	return ret;
}

/* The answer to GET_VRING_BASE says that the device has let go of the ring. */
static int front_queue_reset(struct vio_driver_transport *t, unsigned queue)
{
	struct vio_front *f = front(t);

	if (!f->connected)
		return -ENODEV;
	return queue < VIO_FRONT_QUEUES ? stop_ring(f, queue) : -EINVAL;
}

/* Transmit queues stay as they are: what was given to them is still sent, and none of it is the worse
 * for a pair that receives nothing. */
static int front_pairs_set(struct vio_driver_transport *t, unsigned pairs)
{
	struct vio_front *f = front(t);
	unsigned i;
	int ret;

	if (!vio_front_device_has(f, VIO_VU_F_PROTOCOL_FEATURES))
		return -ENOTSUP;
	for (i = 0; i < VIO_FRONT_QUEUES; i += 2) {
		bool enable = i / 2 < pairs;

		if (!f->queues[i].set_up || f->queues[i].enabled == enable)
			continue;
		ret = vio_front_call_state(f, VIO_VU_SET_VRING_ENABLE, i, enable);
		if (ret < 0)
			return ret;
		f->queues[i].enabled = enable;
	}
	return 0;
}

static void *front_notify_handle(struct vio_driver_transport *t, unsigned queue)
{
	return &front(t)->queues[queue];
}

static void front_notify(void *handle)
{
	const struct vio_front_queue *q = handle;
	uint64_t one = 1;

	/* It fails only when the counter is full: a kick is under way. */
	(void)!write(q->kick, &one, sizeof(one));
}

static int front_queue_fd(struct vio_driver_transport *t, unsigned queue)
{
	return queue < VIO_FRONT_QUEUES ? event(&front(t)->queues[queue].call) : -EINVAL;
}

static void front_queue_fd_clear(struct vio_driver_transport *t, unsigned queue)
{
	uint64_t count;

	if (queue < VIO_FRONT_QUEUES)
		(void)!read(front(t)->queues[queue].call, &count, sizeof(count));
}

/* ---- The connection -------------------------------------------------------------------------- */

static int front_events(struct vio_driver_transport *t)
{
	struct vio_front *f = front(t);
	struct vio_vu_msg msg;
	int ret;

	if (!f->connected)
		return VIO_TRANSPORT_GONE;
	/* Between our requests there is nothing for the device to say but goodbye. */
	ret = vio_vu_recv(&f->conn, &msg);
	if (ret > 0)
		vio_vu_msg_close_fds(&msg);
	if (ret != 0) {
		vio_front_lose(f);
		return VIO_TRANSPORT_GONE;
	}
	vio_front_drain_back(f);
	ret = f->config_changed ? VIO_TRANSPORT_CONFIG : 0;
	f->config_changed = false;
	return ret;
}

static int front_fd(struct vio_driver_transport *t)
{
	return front(t)->epoll_fd;
}

static int front_reconnect(struct vio_driver_transport *t, uint32_t timeout_ms,
			   struct vio_error *err)
{
	struct vio_front *f = front(t);
	struct vio_vu_msg msg;

	if (f->connected && vio_vu_recv(&f->conn, &msg) != 0)
		vio_front_lose(f);
	return f->connected ? 0 : vio_front_establish(f, timeout_ms, err);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void front_release(struct vio_driver_transport *t)
{
	struct vio_front *f = front(t);
	unsigned i;

	vio_front_lose(f);
	if (f->listen_fd >= 0) {
		close(f->listen_fd);
		unlink(f->path);
	}
	if (f->epoll_fd >= 0)
		close(f->epoll_fd);
	for (i = 0; i < VIO_FRONT_QUEUES; i++) {
		if (f->queues[i].kick >= 0)
			close(f->queues[i].kick);
		if (f->queues[i].call >= 0)
			close(f->queues[i].call);
	}
	free(f->path);
	free(f);
}

static const struct vio_driver_transport_ops front_ops = {
	.name = "vhost-user",
	.ctrl_elsewhere = true,
	.get_features = front_get_features,
	.set_features = front_set_features,
	.get_status = front_get_status,
	.set_status = front_set_status,
	.config_read = front_config_read,
	.config_generation = front_config_generation,
	.queue_max = front_queue_max,
	.queue_setup = front_queue_setup,
	.queue_enable = front_queue_enable,
	.pairs_set = front_pairs_set,
	.queue_reset = front_queue_reset,
	.notify_handle = front_notify_handle,
	.notify = front_notify,
	.events = front_events,
	.reconnect = front_reconnect,
	.fd = front_fd,
	.queue_fd = front_queue_fd,
	.queue_fd_clear = front_queue_fd_clear,
	.release = front_release,
};

static struct vio_front *create(const struct vio_vhost_user_front_conf *conf,
				struct vio_dma_arena *arena)
{
	struct vio_front *f = calloc(1, sizeof(*f));
	unsigned i;

	if (!f)
		return NULL;
	f->t.ops = &front_ops;
	f->host = vio_dma_arena_host(arena);
	f->arena = arena;
	f->server = conf->server;
	f->reply_ms = conf->reply_timeout_ms ? conf->reply_timeout_ms : DEFAULT_REPLY_MS;
	f->mtu = (uint16_t)conf->mtu;
	memcpy(f->mac, conf->mac, sizeof(f->mac));
	f->listen_fd = -1;
	for (i = 0; i < VIO_FRONT_QUEUES; i++) {
		f->queues[i].kick = -1;
		f->queues[i].call = -1;
	}
	f->path = strdup(conf->socket_path);
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (f->path && f->epoll_fd >= 0)
		return f;
	front_release(&f->t);
	return NULL;
}

int vio_vhost_user_describe(struct vio_driver_transport *transport,
			    struct vio_vhost_user_front_info *info)
{
	struct vio_front *f = front(transport);
	uint64_t slots = VIO_VU_MAX_REGIONS;
	int ret = 0;

	if (transport->ops != &front_ops)
		return -ENOTSUP;
	if (!f->connected)
		return -ENODEV;
	if (vio_front_speaks(f, VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		ret = vio_front_ask_u64(f, VIO_VU_GET_MAX_MEM_SLOTS, &slots);
	*info = (struct vio_vhost_user_front_info){
		.features = f->device_features,
		.protocol_offered = f->protocol_offered,
		.protocol_features = f->protocol,
		.max_mem_slots = slots,
		.max_pairs = f->pairs,
	};
	return ret;
}

int vio_vhost_user_open(const struct vio_vhost_user_front_conf *conf, struct vio_dma_arena *arena,
			struct vio_driver_transport **transport, struct vio_error *err)
{
	uint32_t timeout_ms = conf->timeout_ms ? conf->timeout_ms : DEFAULT_TIMEOUT_MS;
	struct vio_front *f;
	int ret;

	if (!conf->socket_path) {
		vio_error_set(err, "vhost-user: no socket path");
		return -EINVAL;
	}
	if (conf->mtu && (conf->mtu < VIO_NET_MTU_MIN || conf->mtu > VIO_NET_MTU_MAX)) {
		vio_error_set(err, "vhost-user %s: MTU %u, expected 68 to 65535", conf->socket_path,
			      conf->mtu);
		return -EINVAL;
	}
	f = create(conf, arena);
	if (!f) {
		vio_error_set(err, "vhost-user %s: out of memory or descriptors",
			      conf->socket_path);
		return -ENOMEM;
	}
	if (f->server) {
		f->listen_fd = vio_sock_listen(f->path);
		if (f->listen_fd < 0) {
			ret = f->listen_fd;
			vio_error_set(err, "vhost-user %s: can't listen: %s", f->path,
				      strerror(-ret));
			goto release;
		}
		vio_front_watch(f, f->listen_fd);
	}
	ret = vio_front_establish(f, timeout_ms, err);
	if (ret < 0)
		goto release;
	*transport = &f->t;
	return 0;
release:
	front_release(&f->t);
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}
