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
 * fields are added to what the device offers, and taken out again of what it is told. Those that
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
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <vioduct/driver_linux.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/fmt.h"
#include "driver/transport.h"
#include "driver/transport/arena.h"
#include "wire/conn.h"
#include "wire/sock.h"

#define QUEUES_MAX	    (2 * VIO_DRIVER_MAX_PAIRS)
#define QUEUE_SIZE_MAX	    1024 /* the protocol has no way to ask; every device takes this */
#define DEFAULT_TIMEOUT_MS  5000
#define DEFAULT_REPLY_MS    1000
#define CONNECT_INTERVAL_MS 10
#define BACK_MESSAGES_MAX   16 /* that are read at a time from the device's own channel */

/* States: not set up (the device doesn't know the ring), set up, enabled. */
struct front_queue {
	int kick, call; /* eventfds, -1 until first needed; kept until release */
	bool set_up;
	bool enabled;
};

struct front {
	struct vio_driver_transport t;

	/* constant */
	const struct vio_host *host;
	struct vio_dma_arena *arena;
	char *path;
	bool server;
	uint32_t reply_ms;
	uint8_t mac[VIO_ETH_ALEN];
	uint16_t mtu;
	int listen_fd; /* server, else -1 */
	int epoll_fd;

	/* of the connection */
	bool connected;
	bool has_back;
	struct vio_vu_conn conn;
	struct vio_vu_conn back; /* on which the device asks us */
	uint64_t device_features;
	uint64_t protocol_offered;
	uint64_t protocol; /* of these, what both agreed on */
	unsigned pairs;
	uint8_t status;	     /* as the driver wrote it */
	const char *refused; /* the last request that the device said no to, or NULL */
	bool config_changed;

	uint8_t generation; /* of the configuration */
	struct front_queue queues[QUEUES_MAX];
};

static struct front *front(struct vio_driver_transport *t)
{
	return vio_container_of(t, struct front, t);
}

static bool speaks(const struct front *f, enum vio_vu_protocol_feature bit)
{
	return f->protocol & vio_vu_feature(bit);
}

static bool device_has(const struct front *f, unsigned bit)
{
	return f->device_features & vio_feature(bit);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void watch(const struct front *f, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };

	epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* The connection is over: nothing of the device is left but what it did to our memory. */
static void lose(struct front *f)
{
	unsigned i;

	if (!f->connected)
		return;
	vio_log(f->host, VIO_LOG_INFO, "vhost-user %s: connection ended%s%s", f->path,
		f->conn.reason[0] ? ": " : "", f->conn.reason);
	vio_vu_conn_close(&f->conn);
	if (f->has_back)
		vio_vu_conn_close(&f->back);
	f->connected = false;
	f->has_back = false;
	for (i = 0; i < QUEUES_MAX; i++) {
		f->queues[i].set_up = false;
		f->queues[i].enabled = false;
	}
	if (f->server)
		watch(f, f->listen_fd);
}

/* Sends a request, and waits for its answer or acknowledgement if there is to be one. */
static int call(struct front *f, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	int ret;

	if (!f->connected)
		return -ENODEV;
	msg->hdr.flags |= VIO_VU_NEED_REPLY;
	ret = vio_vu_call(&f->conn, msg, reply, f->reply_ms);
	if (ret == 0)
		return 0;
	f->refused = vio_vu_msg_name(VIO_VU_FRONT_REQUEST, msg->hdr.request);
	vio_log(f->host, VIO_LOG_WARN, "vhost-user %s: %s: %s", f->path,
		vio_vu_msg_name(VIO_VU_FRONT_REQUEST, msg->hdr.request),
		ret == -EREMOTEIO ? "refused by the device" : strerror(-ret));
	if (!f->conn.error)
		return -EIO;
	lose(f);
	return -ENODEV;
}

static int call_empty(struct front *f, uint32_t request)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 0);
	return call(f, &msg, NULL);
}

static int call_u64(struct front *f, uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(value));
	msg.payload.u64 = value;
	return call(f, &msg, NULL);
}

static int ask_u64(struct front *f, uint32_t request, uint64_t *value)
{
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, request, 0);
	ret = call(f, &msg, &reply);
	if (ret < 0)
		return ret;
	*value = reply.payload.u64;
	vio_vu_msg_close_fds(&reply);
	return 0;
}

static int call_state(struct front *f, uint32_t request, uint32_t queue, uint32_t num)
{
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, request, sizeof(msg.payload.state));
	msg.payload.state = (struct vio_vu_vring_state){ queue, num };
	reply.nfds = 0;
	ret = call(f, &msg, request == VIO_VU_GET_VRING_BASE ? &reply : NULL);
	if (ret == 0)
		vio_vu_msg_close_fds(&reply);
	return ret;
}

static int call_fd(struct front *f, uint32_t request, uint32_t queue, int fd)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(msg.payload.u64));
	msg.payload.u64 = queue;
	msg.fds[0] = fd;
	msg.nfds = 1;
	return call(f, &msg, NULL);
}

/* ---- A new connection ------------------------------------------------------------------------ */

static int share_memory(struct front *f)
{
	struct vio_vu_mem_region region = {
		.guest_addr = (uintptr_t)vio_dma_arena_base(f->arena),
		.size = vio_dma_arena_size(f->arena),
		.user_addr = (uintptr_t)vio_dma_arena_base(f->arena),
	};
	struct vio_vu_msg msg;

	if (speaks(f, VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
		vio_vu_request(&msg, VIO_VU_ADD_MEM_REG, sizeof(msg.payload.mem_reg));
		msg.payload.mem_reg.region = region;
	} else {
		vio_vu_request(&msg, VIO_VU_SET_MEM_TABLE,
			       offsetof(struct vio_vu_mem_table, regions) + sizeof(region));
		msg.payload.mem_table.nregions = 1;
		msg.payload.mem_table.regions[0] = region;
	}
	msg.fds[0] = vio_dma_arena_fd(f->arena);
	msg.nfds = 1;
	return call(f, &msg, NULL);
}

/* The channel on which the device tells of changes to its configuration. */
static int open_back(struct front *f)
{
	struct vio_vu_msg msg;
	int fds[2], ret;

	if (!speaks(f, VIO_VU_PROTOCOL_F_BACKEND_REQ))
		return 0;
	ret = vio_sock_pair(fds);
	if (ret < 0)
		return ret;
	vio_vu_request(&msg, VIO_VU_SET_BACKEND_REQ_FD, 0);
	msg.fds[0] = fds[1];
	msg.nfds = 1;
	ret = call(f, &msg, NULL);
	close(fds[1]);
	if (ret == 0)
		ret = vio_vu_conn_init(&f->back, fds[0]);
	if (ret < 0) {
		close(fds[0]);
		return ret;
	}
	f->back.protocol_features = f->protocol;
	f->has_back = true;
	watch(f, f->back.fd);
	return 0;
}

static int choose_protocol(struct front *f)
{
	uint64_t offered, want = vio_vu_feature(VIO_VU_PROTOCOL_F_MQ) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_NET_MTU) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_STATUS);
	const uint64_t config = vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG) |
				vio_vu_feature(VIO_VU_PROTOCOL_F_BACKEND_REQ);
	int ret;

	ret = ask_u64(f, VIO_VU_GET_PROTOCOL_FEATURES, &offered);
	if (ret < 0)
		return ret;
	/* The channel is only wanted for news of the configuration. */
	if (offered & vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG))
		want |= config;
	f->protocol_offered = offered;
	f->protocol = offered & want;
	ret = call_u64(f, VIO_VU_SET_PROTOCOL_FEATURES, f->protocol);
	if (ret == 0)
		f->conn.protocol_features = f->protocol;
	return ret;
}

static int handshake(struct front *f)
{
	uint64_t pairs = 1;
	int ret;

	f->protocol_offered = f->protocol = 0;
	f->status = 0;
	f->config_changed = true;
	f->generation++;
	ret = call_empty(f, VIO_VU_SET_OWNER);
	if (ret == 0)
		ret = ask_u64(f, VIO_VU_GET_FEATURES, &f->device_features);
	if (ret == 0 && device_has(f, VIO_VU_F_PROTOCOL_FEATURES))
		ret = choose_protocol(f);
	if (ret == 0 && speaks(f, VIO_VU_PROTOCOL_F_MQ))
		ret = ask_u64(f, VIO_VU_GET_QUEUE_NUM, &pairs);
	if (ret == 0)
		ret = open_back(f);
	if (ret == 0 && speaks(f, VIO_VU_PROTOCOL_F_NET_MTU) && f->mtu)
		ret = call_u64(f, VIO_VU_NET_SET_MTU, f->mtu);
	if (ret == 0)
		ret = share_memory(f);
	f->pairs = (unsigned)vio_max(vio_min(pairs, (uint64_t)VIO_DRIVER_MAX_PAIRS), 1u);
	return ret;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A connected socket, or -errno: -EAGAIN when there is no device by @deadline. */
static int find_device(struct front *f, int64_t deadline)
{
	struct pollfd pfd = { .fd = f->listen_fd, .events = POLLIN };
	int64_t left;
	int fd;

	for (;;) {
		fd = f->server ? vio_sock_accept(f->listen_fd) : vio_sock_connect(f->path);
		if (fd != -EAGAIN && fd != -ENOENT && fd != -ECONNREFUSED)
			return fd;
		left = deadline - now_ms();
		if (left <= 0)
			return -EAGAIN;
		/* A client can't be woken when somebody begins to listen. */
		if (!f->server)
			left = vio_min(left, (int64_t)CONNECT_INTERVAL_MS);
		poll(f->server ? &pfd : NULL, f->server ? 1 : 0, (int)left);
	}
}

static int establish(struct front *f, uint32_t timeout_ms, struct vio_error *err)
{
	int64_t deadline = now_ms() + timeout_ms;
	int fd, ret;

	for (;;) {
		fd = find_device(f, deadline);
		if (fd == -EAGAIN)
			vio_error_set(err, "vhost-user %s: no device within %u ms", f->path,
				      timeout_ms);
		else if (fd < 0)
			vio_error_set(err, "vhost-user %s: %s", f->path, strerror(-fd));
		if (fd < 0)
			return fd;
		ret = vio_vu_conn_init(&f->conn, fd);
		if (ret < 0) {
			close(fd);
			return ret;
		}
		f->connected = true;
		if (f->server)
			epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, f->listen_fd, NULL);
		watch(f, fd);
		ret = handshake(f);
		if (ret == 0)
			return 0;
		vio_error_set(err, "vhost-user %s: the device does not go along: %s%s", f->path,
			      f->conn.reason[0] ? "" : "it refused ",
			      f->conn.reason[0] ? f->conn.reason :
			      f->refused	? f->refused :
						  "a request");
		lose(f);
		/* One that left in the middle may have made room for the next. */
		if (ret != -ENODEV || now_ms() >= deadline)
			return ret == -ENODEV ? -EPROTO : ret;
	}
}

static int front_reconnect(struct vio_driver_transport *t, uint32_t timeout_ms,
			   struct vio_error *err)
{
	struct front *f = front(t);
	struct vio_vu_msg msg;

	if (f->connected && vio_vu_recv(&f->conn, &msg) != 0)
		lose(f);
	return f->connected ? 0 : establish(f, timeout_ms, err);
}

/* ---- Features and status --------------------------------------------------------------------- */

/* What the device's configuration says itself. */
static bool config_says(const struct front *f, unsigned feature)
{
	return speaks(f, VIO_VU_PROTOCOL_F_CONFIG) && device_has(f, feature);
}

static bool have_mac(const struct front *f)
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
	};
	struct front *f = front(t);
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
	*offered = set;
	return 0;
}

static int front_set_features(struct vio_driver_transport *t, struct vio_features accepted)
{
	struct front *f = front(t);
	uint64_t mine = vio_feature(VIO_VU_F_PROTOCOL_FEATURES);

	return call_u64(f, VIO_VU_SET_FEATURES,
			(accepted.w[0] & f->device_features) | (mine & f->device_features));
}

static int front_get_status(struct vio_driver_transport *t)
{
	struct front *f = front(t);
	uint64_t status;
	int ret;

	if (!f->connected)
		return -ENODEV;
	if (!speaks(f, VIO_VU_PROTOCOL_F_STATUS))
		return f->status;
	ret = ask_u64(f, VIO_VU_GET_STATUS, &status);
	return ret < 0 ? ret : (int)(status & 0xff);
}

/* Takes every ring from the device. */
static int stop_rings(struct front *f)
{
	unsigned i;
	int ret;

	for (i = 0; i < QUEUES_MAX; i++) {
		struct front_queue *q = &f->queues[i];

		if (q->enabled && device_has(f, VIO_VU_F_PROTOCOL_FEATURES)) {
			ret = call_state(f, VIO_VU_SET_VRING_ENABLE, i, 0);
			if (ret < 0)
				return ret;
		}
		q->enabled = false;
		if (!q->set_up)
			continue;
		ret = call_state(f, VIO_VU_GET_VRING_BASE, i, 0);
		if (ret < 0)
			return ret;
		q->set_up = false;
	}
	return 0;
}

static int front_set_status(struct vio_driver_transport *t, uint8_t status)
{
	struct front *f = front(t);
	int ret = f->connected ? 0 : -ENODEV;

	if (ret == 0 && status == VIO_STATUS_RESET)
		ret = stop_rings(f);
	if (ret == 0 && speaks(f, VIO_VU_PROTOCOL_F_STATUS))
		ret = call_u64(f, VIO_VU_SET_STATUS, status);
	f->status = status;
	return ret;
}

/* ---- Configuration space --------------------------------------------------------------------- */

static int ask_config(struct front *f, struct vio_net_config *config)
{
	uint32_t size = (uint32_t)vio_net_config_size(vio_features_make(f->device_features, 0));
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, VIO_VU_GET_CONFIG, VIO_VU_CONFIG_HDR_SIZE + size);
	msg.payload.config.size = size;
	ret = call(f, &msg, &reply);
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
	struct front *f = front(t);
	struct vio_net_config c = { .mac = { 0 } };
	int ret = 0;

	if (!f->connected)
		return -ENODEV;
	if (speaks(f, VIO_VU_PROTOCOL_F_CONFIG))
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

static int call_addr(struct front *f, unsigned queue, const struct vio_driver_ring *ring)
{
	struct vio_vu_msg msg;

	/* Device addresses and user addresses are the same here, see share_memory(). */
	vio_vu_request(&msg, VIO_VU_SET_VRING_ADDR, sizeof(msg.payload.addr));
	msg.payload.addr.index = queue;
	msg.payload.addr.desc = ring->desc;
	msg.payload.addr.avail = ring->driver;
	msg.payload.addr.used = ring->device;
	return call(f, &msg, NULL);
}

static int front_queue_setup(struct vio_driver_transport *t, unsigned queue,
			     const struct vio_driver_ring *ring)
{
	struct front *f = front(t);
	struct front_queue *q;
	int ret;

	if (queue >= QUEUES_MAX)
		return -EINVAL;
	q = &f->queues[queue];
	ret = event(&q->call);
	if (ret >= 0)
		ret = event(&q->kick);
	if (ret >= 0)
		ret = call_fd(f, VIO_VU_SET_VRING_CALL, queue, q->call);
	if (ret == 0)
		ret = call_state(f, VIO_VU_SET_VRING_NUM, queue, ring->num);
	if (ret == 0)
		ret = call_state(f, VIO_VU_SET_VRING_BASE, queue, 0);
	if (ret == 0)
		ret = call_addr(f, queue, ring);
	if (ret == 0) {
		/* From here on the device may look at the ring. */
		q->set_up = true;
		ret = call_fd(f, VIO_VU_SET_VRING_KICK, queue, q->kick);
	}
	return ret;
}

static int front_queue_enable(struct vio_driver_transport *t, unsigned queue)
{
	struct front *f = front(t);
	int ret = 0;

	/* Without protocol features a ring is enabled from the start. */
	if (device_has(f, VIO_VU_F_PROTOCOL_FEATURES))
		ret = call_state(f, VIO_VU_SET_VRING_ENABLE, queue, 1);
	if (ret == 0)
		f->queues[queue].enabled = true;
	return ret;
}

static void *front_notify_handle(struct vio_driver_transport *t, unsigned queue)
{
	return &front(t)->queues[queue];
}

static void front_notify(void *handle)
{
	const struct front_queue *q = handle;
	uint64_t one = 1;

	/* It fails only when the counter is full: a kick is under way. */
	(void)!write(q->kick, &one, sizeof(one));
}

static int front_queue_fd(struct vio_driver_transport *t, unsigned queue)
{
	return queue < QUEUES_MAX ? event(&front(t)->queues[queue].call) : -EINVAL;
}

static void front_queue_fd_clear(struct vio_driver_transport *t, unsigned queue)
{
	uint64_t count;

	if (queue < QUEUES_MAX)
		(void)!read(front(t)->queues[queue].call, &count, sizeof(count));
}

/* ---- News ------------------------------------------------------------------------------------ */

/* The device asks: it may say that its configuration changed; nothing else was agreed. */
static void serve_back(struct front *f, struct vio_vu_msg *msg)
{
	bool known = msg->hdr.request == VIO_VU_BACKEND_CONFIG_CHANGE_MSG &&
		     vio_vu_check(msg, VIO_VU_BACK_REQUEST, f->protocol, NULL, 0) == 0;
	bool ack = vio_vu_wants_ack(msg, VIO_VU_BACK_REQUEST, f->protocol);
	struct vio_vu_msg reply;

	vio_vu_msg_close_fds(msg);
	if (known) {
		f->config_changed = true;
		f->generation++;
	}
	if (!ack)
		return;
	vio_vu_reply(&reply, msg->hdr.request, sizeof(reply.payload.u64));
	reply.payload.u64 = !known;
	vio_vu_send(&f->back, &reply);
}

static void drain_back(struct front *f)
{
	struct vio_vu_msg msg;
	int ret = 0, i;

	for (i = 0; f->has_back && i < BACK_MESSAGES_MAX; i++) {
		ret = vio_vu_recv(&f->back, &msg);
		if (ret <= 0)
			break;
		serve_back(f, &msg);
	}
	/* Without the channel the device goes on; only its news stay away. */
	if (ret < 0) {
		vio_vu_conn_close(&f->back);
		f->has_back = false;
	}
}

static int front_events(struct vio_driver_transport *t)
{
	struct front *f = front(t);
	struct vio_vu_msg msg;
	int ret;

	if (!f->connected)
		return VIO_TRANSPORT_GONE;
	/* Between our requests there is nothing for the device to say but goodbye. */
	ret = vio_vu_recv(&f->conn, &msg);
	if (ret > 0)
		vio_vu_msg_close_fds(&msg);
	if (ret != 0) {
		lose(f);
		return VIO_TRANSPORT_GONE;
	}
	drain_back(f);
	ret = f->config_changed ? VIO_TRANSPORT_CONFIG : 0;
	f->config_changed = false;
	return ret;
}

static int front_fd(struct vio_driver_transport *t)
{
	return front(t)->epoll_fd;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void front_release(struct vio_driver_transport *t)
{
	struct front *f = front(t);
	unsigned i;

	lose(f);
	if (f->listen_fd >= 0) {
		close(f->listen_fd);
		unlink(f->path);
	}
	if (f->epoll_fd >= 0)
		close(f->epoll_fd);
	for (i = 0; i < QUEUES_MAX; i++) {
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
	.notify_handle = front_notify_handle,
	.notify = front_notify,
	.events = front_events,
	.reconnect = front_reconnect,
	.fd = front_fd,
	.queue_fd = front_queue_fd,
	.queue_fd_clear = front_queue_fd_clear,
	.release = front_release,
};

static struct front *create(const struct vio_vhost_user_front_conf *conf,
			    struct vio_dma_arena *arena)
{
	struct front *f = calloc(1, sizeof(*f));
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
	for (i = 0; i < QUEUES_MAX; i++) {
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
	struct front *f = front(transport);
	uint64_t slots = VIO_VU_MAX_REGIONS;
	int ret = 0;

	if (transport->ops != &front_ops)
		return -ENOTSUP;
	if (!f->connected)
		return -ENODEV;
	if (speaks(f, VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		ret = ask_u64(f, VIO_VU_GET_MAX_MEM_SLOTS, &slots);
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
	struct front *f;
	int ret;

	if (!conf->socket_path ||
	    (conf->mtu && (conf->mtu < VIO_NET_MTU_MIN || conf->mtu > VIO_NET_MTU_MAX))) {
		vio_error_set(err, "vhost-user: MTU %u, expected 68 to 65535, and a socket path",
			      conf->mtu);
		return -EINVAL;
	}
	f = create(conf, arena);
	if (!f)
		return -ENOMEM;
	if (f->server) {
		f->listen_fd = vio_sock_listen(f->path);
		if (f->listen_fd < 0) {
			ret = f->listen_fd;
			vio_error_set(err, "vhost-user %s: can't listen: %s", f->path,
				      strerror(-ret));
			goto release;
		}
		watch(f, f->listen_fd);
	}
	ret = establish(f, timeout_ms, err);
	if (ret < 0)
		goto release;
	*transport = &f->t;
	return 0;
release:
	front_release(&f->t);
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}
