/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of a vhost-user front end: how it comes about, what is said on it, how it ends. See
 * the head of vhost_user.c.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/fmt.h"
#include "driver/transport/arena.h"
#include "driver/transport/vhost_user.h"
#include "wire/sock.h"

#define CONNECT_INTERVAL_MS 10
#define BACK_MESSAGES_MAX   16 /* that are read at a time from the device's own channel */

/* ---- Messages -------------------------------------------------------------------------------- */

void vio_front_watch(const struct vio_front *f, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };

	epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* The connection is over: nothing of the device is left but what it did to our memory. */
void vio_front_lose(struct vio_front *f)
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
	for (i = 0; i < VIO_FRONT_QUEUES; i++) {
		f->queues[i].set_up = false;
		f->queues[i].enabled = false;
	}
	if (f->server)
		vio_front_watch(f, f->listen_fd);
}

/* Sends a request, and waits for its answer or acknowledgement if there is to be one. */
int vio_front_call(struct vio_front *f, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
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
	vio_front_lose(f);
	return -ENODEV;
}

static int call_empty(struct vio_front *f, uint32_t request)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 0);
	return vio_front_call(f, &msg, NULL);
}

int vio_front_call_u64(struct vio_front *f, uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(value));
	msg.payload.u64 = value;
	return vio_front_call(f, &msg, NULL);
}

int vio_front_ask_u64(struct vio_front *f, uint32_t request, uint64_t *value)
{
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, request, 0);
	ret = vio_front_call(f, &msg, &reply);
	if (ret < 0)
		return ret;
	*value = reply.payload.u64;
	vio_vu_msg_close_fds(&reply);
	return 0;
}

int vio_front_call_state(struct vio_front *f, uint32_t request, uint32_t queue, uint32_t num)
{
	struct vio_vu_msg msg, reply;
	int ret;

	vio_vu_request(&msg, request, sizeof(msg.payload.state));
	msg.payload.state = (struct vio_vu_vring_state){ queue, num };
	reply.nfds = 0;
	ret = vio_front_call(f, &msg, request == VIO_VU_GET_VRING_BASE ? &reply : NULL);
	if (ret == 0)
		vio_vu_msg_close_fds(&reply);
	return ret;
}

int vio_front_call_fd(struct vio_front *f, uint32_t request, uint32_t queue, int fd)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(msg.payload.u64));
	msg.payload.u64 = queue;
	msg.fds[0] = fd;
	msg.nfds = 1;
	return vio_front_call(f, &msg, NULL);
}

/* ---- A new connection ------------------------------------------------------------------------ */

static int share_memory(struct vio_front *f)
{
	struct vio_vu_mem_region region = {
		.guest_addr = (uintptr_t)vio_dma_arena_base(f->arena),
		.size = vio_dma_arena_size(f->arena),
		.user_addr = (uintptr_t)vio_dma_arena_base(f->arena),
	};
	struct vio_vu_msg msg;

	if (vio_front_speaks(f, VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
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
	return vio_front_call(f, &msg, NULL);
}

/* The channel on which the device tells of changes to its configuration. */
static int open_back(struct vio_front *f)
{
	struct vio_vu_msg msg;
	int fds[2], ret;

	if (!vio_front_speaks(f, VIO_VU_PROTOCOL_F_BACKEND_REQ))
		return 0;
	ret = vio_sock_pair(fds);
	if (ret < 0)
		return ret;
	vio_vu_request(&msg, VIO_VU_SET_BACKEND_REQ_FD, 0);
	msg.fds[0] = fds[1];
	msg.nfds = 1;
	ret = vio_front_call(f, &msg, NULL);
	close(fds[1]);
	if (ret == 0)
		ret = vio_vu_conn_init(&f->back, fds[0]);
	if (ret < 0) {
		close(fds[0]);
		return ret;
	}
	f->back.protocol_features = f->protocol;
	f->has_back = true;
	vio_front_watch(f, f->back.fd);
	return 0;
}

static int choose_protocol(struct vio_front *f)
{
	uint64_t offered, want = vio_vu_feature(VIO_VU_PROTOCOL_F_MQ) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_NET_MTU) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_STATUS);
	const uint64_t config = vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG) |
				vio_vu_feature(VIO_VU_PROTOCOL_F_BACKEND_REQ);
	int ret;

	ret = vio_front_ask_u64(f, VIO_VU_GET_PROTOCOL_FEATURES, &offered);
	if (ret < 0)
		return ret;
	/* The channel is only wanted for news of the configuration. */
	if (offered & vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG))
		want |= config;
	f->protocol_offered = offered;
	f->protocol = offered & want;
	ret = vio_front_call_u64(f, VIO_VU_SET_PROTOCOL_FEATURES, f->protocol);
	if (ret == 0)
		f->conn.protocol_features = f->protocol;
	return ret;
}

static int handshake(struct vio_front *f)
{
	uint64_t pairs = 1;
	int ret;

	f->protocol_offered = f->protocol = 0;
	f->refused = NULL;
	f->status = 0;
	f->config_changed = true;
	f->generation++;
	ret = call_empty(f, VIO_VU_SET_OWNER);
	if (ret == 0)
		ret = vio_front_ask_u64(f, VIO_VU_GET_FEATURES, &f->device_features);
	if (ret == 0 && vio_front_device_has(f, VIO_VU_F_PROTOCOL_FEATURES))
		ret = choose_protocol(f);
	if (ret == 0 && vio_front_speaks(f, VIO_VU_PROTOCOL_F_MQ))
		ret = vio_front_ask_u64(f, VIO_VU_GET_QUEUE_NUM, &pairs);
	if (ret == 0)
		ret = open_back(f);
	if (ret == 0 && vio_front_speaks(f, VIO_VU_PROTOCOL_F_NET_MTU) && f->mtu)
		ret = vio_front_call_u64(f, VIO_VU_NET_SET_MTU, f->mtu);
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
static int find_device(struct vio_front *f, int64_t deadline)
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

int vio_front_establish(struct vio_front *f, uint32_t timeout_ms, struct vio_error *err)
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
		vio_front_watch(f, fd);
		ret = handshake(f);
		if (ret == 0)
			return 0;
		vio_error_set(err, "vhost-user %s: the device does not go along: %s%s", f->path,
			      f->conn.reason[0] ? "" : "it refused ",
			      f->conn.reason[0] ? f->conn.reason :
			      f->refused	? f->refused :
						  "a request");
		vio_front_lose(f);
		/* One that left in the middle may have made room for the next; one that leaves
		 * each time must not keep us busy. */
		if (ret != -ENODEV || now_ms() >= deadline)
			return ret == -ENODEV ? -EPROTO : ret;
		poll(NULL, 0, CONNECT_INTERVAL_MS);
	}
}

/* ---- News ------------------------------------------------------------------------------------ */

/* The device asks: it may say that its configuration changed; nothing else was agreed. */
static void serve_back(struct vio_front *f, struct vio_vu_msg *msg)
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

void vio_front_drain_back(struct vio_front *f)
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
