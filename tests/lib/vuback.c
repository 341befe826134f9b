/* SPDX-License-Identifier: BSD-2-Clause */
#include "vuback.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <vioduct/virtio.h>

#include "wire/sock.h"

static void back_forget(struct vub *b)
{
	unsigned i;

	if (b->connected)
		vio_vu_conn_close(&b->conn);
	if (b->has_own)
		vio_vu_conn_close(&b->own);
	b->connected = b->has_own = false;
	for (i = 0; i < VUB_QUEUES; i++) {
		if (b->queues[i].kick >= 0)
			close(b->queues[i].kick);
		if (b->queues[i].call >= 0)
			close(b->queues[i].call);
		b->queues[i] = (struct vub_queue){ .kick = -1, .call = -1 };
	}
	if (b->map)
		munmap(b->map, b->map_size);
	b->map = NULL;
	free(b->mem);
	b->mem = NULL;
}

static void back_region(struct vub *b, const struct vio_vu_mem_region *region, int fd)
{
	struct vio_mem_region r;

	b->map_size = region->size;
	b->map = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)region->mmap_offset);
	if (b->map == MAP_FAILED)
		abort();
	r = (struct vio_mem_region){ region->guest_addr, region->size, region->user_addr, b->map };
	b->mem = malloc(vio_mem_bytes(1));
	if (vio_mem_init(b->mem, &r, 1))
		abort();
}

static int take_fd(struct vio_vu_msg *msg)
{
	int fd = msg->nfds ? msg->fds[0] : -1;

	msg->nfds = 0;
	return fd;
}

/* Does what a message says; fills *@reply when it has an answer of its own and returns true. */
static bool back_do(struct vub *b, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	uint32_t i = msg->payload.state.index % VUB_QUEUES;
	uint64_t u64 = 0;

	switch (msg->hdr.request) {
	case VIO_VU_GET_FEATURES:
		u64 = b->features;
		break;
	case VIO_VU_GET_PROTOCOL_FEATURES:
		u64 = b->protocol;
		break;
	case VIO_VU_GET_QUEUE_NUM:
		u64 = VUB_QUEUES / 2;
		break;
	case VIO_VU_GET_STATUS:
		u64 = b->status;
		break;
	case VIO_VU_GET_CONFIG:
		*reply = *msg;
		reply->hdr.flags = VIO_VU_VERSION | VIO_VU_REPLY;
		memcpy(reply->payload.config.region, b->config + msg->payload.config.offset,
		       msg->payload.config.size);
		return true;
	case VIO_VU_GET_VRING_BASE:
		b->queues[i].running = false;
		vio_vu_reply(reply, msg->hdr.request, sizeof(reply->payload.state));
		reply->payload.state.index = i;
		return true;
	case VIO_VU_SET_FEATURES:
		b->accepted = msg->payload.u64;
		return false;
	case VIO_VU_SET_PROTOCOL_FEATURES:
		b->protocol_accepted = msg->payload.u64;
		b->conn.protocol_features = msg->payload.u64;
		return false;
	case VIO_VU_SET_STATUS:
		b->status = (uint8_t)msg->payload.u64;
		if (b->features_ok_never)
			b->status &= (uint8_t)~VIO_STATUS_FEATURES_OK;
		return false;
	case VIO_VU_NET_SET_MTU:
		b->mtu = msg->payload.u64;
		return false;
	case VIO_VU_SET_MEM_TABLE:
		back_region(b, &msg->payload.mem_table.regions[0], msg->fds[0]);
		return false;
	case VIO_VU_ADD_MEM_REG:
		back_region(b, &msg->payload.mem_reg.region, msg->fds[0]);
		return false;
	case VIO_VU_SET_VRING_NUM:
		b->queues[i].num = msg->payload.state.num;
		return false;
	case VIO_VU_SET_VRING_ADDR:
		b->queues[i].addr = msg->payload.addr;
		return false;
	case VIO_VU_SET_VRING_ENABLE:
		b->queues[i].enabled = msg->payload.state.num;
		return false;
	case VIO_VU_SET_VRING_KICK:
		if (b->queues[i].kick >= 0)
			close(b->queues[i].kick);
		b->queues[i].kick = take_fd(msg);
		b->queues[i].running = true;
		return false;
	case VIO_VU_SET_VRING_CALL:
		if (b->queues[i].call >= 0)
			close(b->queues[i].call);
		b->queues[i].call = take_fd(msg);
		return false;
	case VIO_VU_SET_BACKEND_REQ_FD:
		if (vio_vu_conn_init(&b->own, take_fd(msg)))
			abort();
		b->own.protocol_features = b->conn.protocol_features;
		b->has_own = true;
		return false;
	default:
		return false;
	}
	vio_vu_reply(reply, msg->hdr.request, sizeof(u64));
	reply->payload.u64 = u64;
	return true;
}

static void note(struct vub *b, const char *name)
{
	size_t n = strlen(b->order);

	if (!b->no_log)
		snprintf(b->order + n, sizeof(b->order) - n, "%s%s", n ? " " : "", name);
}

/* One message. False: the connection is over. */
static bool back_message(struct vub *b)
{
	struct vio_vu_msg msg, reply;
	char why[VIO_VU_REASON_SIZE];
	bool ack;
	int ret;

	ret = vio_vu_recv(&b->conn, &msg);
	if (ret <= 0)
		return ret == 0;
	note(b, vio_vu_msg_name(VIO_VU_FRONT_REQUEST, msg.hdr.request));
	if (vio_vu_check(&msg, VIO_VU_FRONT_REQUEST, b->protocol, why, sizeof(why))) {
		fprintf(stderr, "bad message: %s\n", why);
		abort();
	}
	if (msg.hdr.request == b->drop_at) {
		b->drop_at = 0;
		vio_vu_msg_close_fds(&msg);
		return false;
	}
	if (msg.hdr.request == b->silent_at) {
		vio_vu_msg_close_fds(&msg);
		return true;
	}
	ack = vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, b->conn.protocol_features);
	if (back_do(b, &msg, &reply)) {
		vio_vu_send(&b->conn, &reply);
	} else if (ack) {
		vio_vu_reply(&reply, msg.hdr.request, sizeof(reply.payload.u64));
		reply.payload.u64 = msg.hdr.request == b->refuse;
		vio_vu_send(&b->conn, &reply);
	}
	vio_vu_msg_close_fds(&msg);
	return true;
}

static int back_connect(struct vub *b)
{
	return b->client ? vio_sock_connect(b->path) : vio_sock_accept(b->listen_fd);
}

/* Serves one front end after the other. */
static void *back_run(void *arg)
{
	struct vub *b = arg;
	int fd;

	for (;;) {
		struct pollfd pfd[2] = { { b->stop, POLLIN, 0 },
					 { b->connected ? b->conn.fd : b->listen_fd, POLLIN, 0 } };

		poll(pfd, 2, b->connected || !b->client ? -1 : 2);
		if (pfd[0].revents)
			return NULL;
		if (!b->connected) {
			fd = back_connect(b);
			if (fd >= 0 && vio_vu_conn_init(&b->conn, fd) == 0)
				b->connected = true;
			continue;
		}
		if (!back_message(b))
			back_forget(b);
	}
}

void vub_start(struct vub *b)
{
	unsigned i;

	for (i = 0; i < VUB_QUEUES; i++)
		b->queues[i].kick = b->queues[i].call = -1;
	b->stop = eventfd(0, EFD_CLOEXEC);
	b->listen_fd = b->client ? -1 : vio_sock_listen(b->path);
	assert_int_equal(pthread_create(&b->thread, NULL, back_run, b), 0);
}

void vub_stop(struct vub *b)
{
	uint64_t one = 1;

	assert_int_equal(write(b->stop, &one, sizeof(one)), sizeof(one));
	pthread_join(b->thread, NULL);
	back_forget(b);
	close(b->stop);
	if (b->listen_fd >= 0) {
		close(b->listen_fd);
		unlink(b->path);
	}
}
