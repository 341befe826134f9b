/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user transport against a device that is a thread of the test (U11, P11, P14, H31): which
 * messages it sends and in which order, what it makes of answers, and how it comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vioduct/driver_linux.h>
#include <vioduct/mem.h>

#include "base/bits.h"
#include "base/endian.h"
#include "fds.h"
#include "wire/conn.h"
#include "wire/sock.h"

#define QUEUES 4
#define BACKEND_OK                                                         \
	(vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_NET_F_MRG_RXBUF) | \
	 vio_feature(VIO_F_EVENT_IDX) | vio_feature(VIO_F_INDIRECT_DESC) | \
	 vio_feature(VIO_VU_F_PROTOCOL_FEATURES))
#define PROTOCOL_OK                                                                           \
	(vio_vu_feature(VIO_VU_PROTOCOL_F_MQ) | vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) | \
	 vio_vu_feature(VIO_VU_PROTOCOL_F_STATUS))

struct back_queue {
	int kick, call;
	uint32_t num;
	struct vio_vu_vring_addr addr;
	bool running, enabled;
};

/* The device. Set up before it runs; looked at after a request of the driver was answered. */
struct back {
	char path[64];
	bool client;
	uint64_t features, protocol;
	uint8_t config[28];
	struct vio_vu_conn conn;
	struct vio_vu_conn own; /* back-end channel */
	bool connected, has_own;
	uint64_t accepted, protocol_accepted, mtu;
	uint8_t status;
	struct vio_mem *mem;
	void *map;
	size_t map_size;
	struct back_queue queues[QUEUES];
	char order[2048]; /* names of the messages */
	uint32_t refuse;  /* this request is answered with an error */
	uint32_t drop_at; /* at this request the connection is cut */
	uint32_t silent_at;
	bool features_ok_never;
	bool no_log;
	pthread_t thread;
	int stop; /* eventfd: end the thread */
	int listen_fd;
};

static void back_forget(struct back *b)
{
	unsigned i;

	if (b->connected)
		vio_vu_conn_close(&b->conn);
	if (b->has_own)
		vio_vu_conn_close(&b->own);
	b->connected = b->has_own = false;
	for (i = 0; i < QUEUES; i++) {
		if (b->queues[i].kick >= 0)
			close(b->queues[i].kick);
		if (b->queues[i].call >= 0)
			close(b->queues[i].call);
		b->queues[i] = (struct back_queue){ .kick = -1, .call = -1 };
	}
	if (b->map)
		munmap(b->map, b->map_size);
	b->map = NULL;
	free(b->mem);
	b->mem = NULL;
}

static void back_region(struct back *b, const struct vio_vu_mem_region *region, int fd)
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
static bool back_do(struct back *b, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	uint32_t i = msg->payload.state.index % QUEUES;
	uint64_t u64 = 0;

	switch (msg->hdr.request) {
	case VIO_VU_GET_FEATURES:
		u64 = b->features;
		break;
	case VIO_VU_GET_PROTOCOL_FEATURES:
		u64 = b->protocol;
		break;
	case VIO_VU_GET_QUEUE_NUM:
		u64 = QUEUES / 2;
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

static void note(struct back *b, const char *name)
{
	size_t n = strlen(b->order);

	if (!b->no_log)
		snprintf(b->order + n, sizeof(b->order) - n, "%s%s", n ? " " : "", name);
}

/* One message. False: the connection is over. */
static bool back_message(struct back *b)
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

static int back_connect(struct back *b)
{
	return b->client ? vio_sock_connect(b->path) : vio_sock_accept(b->listen_fd);
}

/* Serves one front end after the other. */
static void *back_run(void *arg)
{
	struct back *b = arg;
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

static void back_start(struct back *b)
{
	unsigned i;

	for (i = 0; i < QUEUES; i++)
		b->queues[i].kick = b->queues[i].call = -1;
	b->stop = eventfd(0, EFD_CLOEXEC);
	b->listen_fd = b->client ? -1 : vio_sock_listen(b->path);
	assert_int_equal(pthread_create(&b->thread, NULL, back_run, b), 0);
}

static void back_stop(struct back *b)
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

/* ---- The driver ------------------------------------------------------------------------------ */

struct rig {
	struct back b;
	struct vio_dma_arena *arena;
	struct vio_vhost_user_front_conf conf;
	struct vio_driver_transport *transport;
	struct vio_driver *drv;
	struct vio_pool *pool;
	struct vio_driver_events events;
	struct vio_error err;
	unsigned links, failures;
};

static void on_link(void *ctx, struct vio_driver *drv, bool up)
{
	(void)drv;
	(void)up;
	((struct rig *)ctx)->links++;
}

static void on_failed(void *ctx, struct vio_driver *drv, int why)
{
	(void)drv;
	assert_int_equal(why, -ENODEV);
	((struct rig *)ctx)->failures++;
}

static unsigned rx_events;

static void on_rx_event(void *ctx, unsigned queue)
{
	(void)ctx;
	assert_int_equal(queue, 0);
	rx_events++;
}

static int setup(void **state)
{
	static struct rig rig;

	memset(&rig, 0, sizeof(rig));
	rx_events = 0;
	snprintf(rig.b.path, sizeof(rig.b.path), "/tmp/vioduct-test-%d.sock", (int)getpid());
	unlink(rig.b.path);
	rig.b.features = BACKEND_OK | vio_feature(VIO_NET_F_MQ);
	rig.b.protocol = PROTOCOL_OK;
	rig.conf.socket_path = rig.b.path;
	assert_int_equal(vio_dma_arena_create(16 << 20, VIO_LOG_ERROR, &rig.arena, &rig.err), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	uint64_t all;

	vio_driver_release(r->drv);
	vio_pool_destroy(r->pool);
	if (r->b.thread)
		back_stop(&r->b);
	all = 16 << 20;
	assert_true(vio_dma_arena_available(r->arena) == all);
	vio_dma_arena_destroy(r->arena);
	return 0;
}

static int open_driver(struct rig *r)
{
	struct vio_driver_opts opts = { .events = &r->events, .events_ctx = r };
	int ret;

	r->events = (struct vio_driver_events){ .link = on_link, .failed = on_failed };
	if (!r->b.thread)
		back_start(&r->b);
	ret = vio_vhost_user_open(&r->conf, r->arena, &r->transport, &r->err);
	if (ret == 0) {
		ret = vio_driver_probe(r->transport, vio_dma_arena_host(r->arena), &opts, &r->drv,
				       &r->err);
		if (ret < 0)
			vio_driver_transport_release(r->transport);
	}
	if (ret < 0)
		r->drv = NULL;
	return ret;
}

static void start(struct rig *r, unsigned pairs)
{
	struct vio_driver_conf conf = { .nb_rx = pairs, .nb_tx = pairs };
	struct vio_rxq_conf rx = {
		.size = 64, .alloc = vio_pool_get, .free = vio_pool_put, .event = on_rx_event
	};
	struct vio_txq_conf tx = { .size = 64, .free = vio_pool_put };
	unsigned i;

	assert_int_equal(open_driver(r), 0);
	assert_int_equal(vio_pool_create(vio_dma_arena_host(r->arena), 512, 2048, &r->pool), 0);
	rx.ctx = tx.ctx = r->pool;
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	for (i = 0; i < pairs; i++) {
		assert_int_equal(vio_driver_rxq_configure(r->drv, i, &rx, &r->err), 0);
		assert_int_equal(vio_driver_txq_configure(r->drv, i, &tx, &r->err), 0);
	}
	r->b.order[0] = '\0';
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

/* The device's end of a ring as it stands. */
static struct vio_devq *device_queue(struct rig *r, unsigned queue, void **storage)
{
	const struct back_queue *q = &r->b.queues[queue];
	struct vio_devq_setup setup = { .num = q->num, .features = r->b.accepted };
	struct vio_vq_sizes s = vio_vq_area_sizes(q->num, r->b.accepted);
	struct vio_devq *vq;

	setup.areas.desc = vio_mem_user_span(r->b.mem, q->addr.desc, s.desc);
	setup.areas.driver = vio_mem_user_span(r->b.mem, q->addr.avail, s.driver);
	setup.areas.device = vio_mem_user_span(r->b.mem, q->addr.used, s.device);
	*storage = aligned_alloc(64, vio_align_up(vio_devq_bytes(q->num, r->b.accepted), 64));
	assert_int_equal(vio_devq_init(*storage, &setup, &vq), 0);
	return vq;
}

static void device_send(struct rig *r, const void *frame, size_t len)
{
	struct vio_iov pool[8];
	struct vio_chain c;
	void *storage;
	struct vio_devq *vq = device_queue(r, 0, &storage);
	uint64_t one = 1;

	assert_int_equal(vio_devq_pop_burst(vq, r->b.mem, &c, 1, pool, 8), 1);
	memset(c.iov[0].base, 0, 12);
	((uint8_t *)c.iov[0].base)[10] = 1;
	memcpy((uint8_t *)c.iov[0].base + 12, frame, len);
	c.written = (uint32_t)len + 12;
	vio_devq_push_burst(vq, &c, 1);
	if (vio_devq_publish(vq))
		assert_int_equal(write(r->b.queues[0].call, &one, sizeof(one)), sizeof(one));
	free(storage);
}

static bool readable(int fd, int timeout)
{
	struct pollfd pfd = { fd, POLLIN, 0 };

	return poll(&pfd, 1, timeout) == 1;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_p11_messages_in_order(void **state)
{
	struct rig *r = *state;

	assert_int_equal(open_driver(r), 0);
	assert_string_equal(r->b.order,
			    "SET_OWNER GET_FEATURES GET_PROTOCOL_FEATURES "
			    "SET_PROTOCOL_FEATURES GET_QUEUE_NUM SET_MEM_TABLE "
			    /* reset, acknowledge, driver, accept, confirm */
			    "SET_STATUS GET_STATUS GET_STATUS SET_STATUS GET_STATUS SET_STATUS "
			    "SET_FEATURES GET_STATUS SET_STATUS GET_STATUS");
	vio_driver_release(r->drv);
	r->drv = NULL;
	start(r, 1);
	assert_string_equal(r->b.order,
			    "SET_VRING_CALL SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR "
			    "SET_VRING_KICK "
			    "SET_VRING_CALL SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR "
			    "SET_VRING_KICK "
			    "SET_VRING_ENABLE SET_VRING_ENABLE GET_STATUS SET_STATUS GET_STATUS");
	assert_true(r->b.status & VIO_STATUS_DRIVER_OK);
	assert_true(r->b.queues[0].running && r->b.queues[0].enabled);
	/* U12: the first kick, after all that. */
	assert_true(readable(r->b.queues[0].kick, 0));
	r->b.order[0] = '\0';
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_string_equal(r->b.order, "SET_VRING_ENABLE GET_VRING_BASE SET_VRING_ENABLE "
					"GET_VRING_BASE SET_STATUS GET_STATUS");
	assert_int_equal(vio_pool_available(r->pool), 512);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
	assert_true(r->b.queues[1].running && r->b.queues[1].enabled);
}

static void test_features_of_the_protocol_stay_below(void **state)
{
	struct rig *r = *state;
	struct vio_driver_info info;

	r->b.features |= vio_feature(VIO_NET_F_CTRL_VQ) | vio_feature(VIO_NET_F_CTRL_RX) |
			 vio_feature(VIO_NET_F_GUEST_ANNOUNCE) | vio_feature(VIO_VU_F_LOG_ALL) |
			 vio_feature(VIO_F_ACCESS_PLATFORM);
	assert_int_equal(open_driver(r), 0);
	vio_driver_get_info(r->drv, &info);
	assert_false(vio_features_test(info.offered, VIO_VU_F_PROTOCOL_FEATURES));
	assert_false(vio_features_test(info.offered, VIO_NET_F_CTRL_VQ));
	assert_false(vio_features_test(info.offered, VIO_NET_F_GUEST_ANNOUNCE));
	assert_true(vio_features_test(info.accepted, VIO_NET_F_MQ));
	assert_int_equal(info.max_pairs, 2);
	assert_true(vio_features_test(info.accepted, VIO_NET_F_STATUS)); /* ours */
	assert_true(r->b.accepted == (BACKEND_OK | vio_feature(VIO_NET_F_MQ)));
	assert_int_equal(vio_driver_promiscuous_set(r->drv, true), -ENOTSUP);
	assert_string_equal(info.transport, "vhost-user");
}

/* Neither protocol features nor anything that hangs on them. */
static void test_plain_old_device(void **state)
{
	struct rig *r = *state;
	struct vio_driver_info info;
	const char *rings;

	r->b.features = BACKEND_OK & ~vio_feature(VIO_VU_F_PROTOCOL_FEATURES);
	r->b.protocol = 0;
	start(r, 1);
	/* Nothing was awaited but the stop, which comes last. */
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_non_null(rings = strstr(r->b.order, "SET_VRING_CALL"));
	assert_string_equal(rings, "SET_VRING_CALL SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR "
				   "SET_VRING_KICK "
				   "SET_VRING_CALL SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR "
				   "SET_VRING_KICK GET_VRING_BASE GET_VRING_BASE");
	vio_driver_get_info(r->drv, &info);
	assert_int_equal(info.max_pairs, 1);
	assert_int_equal(info.state, VIO_DRIVER_CONFIGURED);
}

static void test_mac_and_mtu_of_the_caller(void **state)
{
	static const uint8_t mac[6] = { 2, 9, 8, 7, 6, 5 };
	struct rig *r = *state;
	struct vio_driver_info info;

	r->b.protocol |= vio_vu_feature(VIO_VU_PROTOCOL_F_NET_MTU);
	memcpy(r->conf.mac, mac, 6);
	r->conf.mtu = 9000;
	assert_int_equal(open_driver(r), 0);
	vio_driver_get_info(r->drv, &info);
	assert_memory_equal(info.mac, mac, 6);
	assert_int_equal(info.mtu, 9000);
	assert_int_equal(r->b.mtu, 9000);
	/* The device did not offer them, so it is not told. */
	assert_false(r->b.accepted & (vio_feature(VIO_NET_F_MAC) | vio_feature(VIO_NET_F_MTU)));
	r->conf.mtu = 67;
	assert_int_equal(vio_vhost_user_open(&r->conf, r->arena, &r->transport, &r->err), -EINVAL);
}

static void test_config_of_the_device(void **state)
{
	struct rig *r = *state;
	struct vio_driver_info info;
	struct vio_net_config *c = (void *)r->b.config;
	struct vio_vu_msg msg;

	r->b.features |= vio_feature(VIO_NET_F_MAC) | vio_feature(VIO_NET_F_STATUS) |
			 vio_feature(VIO_NET_F_MTU);
	r->b.protocol |= vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG) |
			 vio_vu_feature(VIO_VU_PROTOCOL_F_BACKEND_REQ) |
			 vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	memcpy(c->mac, "\2\1\1\1\1\1", 6);
	c->status = vio_le16(VIO_NET_S_LINK_UP);
	c->mtu = vio_le16(4000);
	start(r, 1);
	vio_driver_get_info(r->drv, &info);
	assert_memory_equal(info.mac, c->mac, 6);
	assert_int_equal(info.mtu, 4000);
	assert_true(info.link);

	/* P7: news on the device's own channel. */
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_false(readable(vio_driver_fd(r->drv), 0));
	c->status = 0;
	vio_vu_request(&msg, VIO_VU_BACKEND_CONFIG_CHANGE_MSG, 0);
	msg.hdr.flags |= VIO_VU_NEED_REPLY;
	assert_int_equal(vio_vu_send(&r->b.own, &msg), 0);
	assert_true(readable(vio_driver_fd(r->drv), 5000));
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(r->links, 1);
	assert_false(vio_driver_link(r->drv));
	assert_true(readable(r->b.own.fd, 5000));
	assert_int_equal(vio_vu_recv(&r->b.own, &msg), 1);
	assert_int_equal(msg.payload.u64, 0);
	/* Anything else is refused. */
	vio_vu_request(&msg, VIO_VU_BACKEND_IOTLB_MSG, sizeof(msg.payload.iotlb));
	msg.hdr.flags |= VIO_VU_NEED_REPLY;
	assert_int_equal(vio_vu_send(&r->b.own, &msg), 0);
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_true(readable(r->b.own.fd, 5000));
	assert_int_equal(vio_vu_recv(&r->b.own, &msg), 1);
	assert_int_equal(msg.payload.u64, 1);
}

static void test_frames_and_interrupts(void **state)
{
	static const char hello[] = "to youfrom me 0 and the rest of it";
	struct rig *r = *state;
	struct vio_buf *buf;
	int fd;

	start(r, 2);
	fd = vio_driver_queue_fd(r->drv, VIO_RXQ(0));
	assert_true(fd >= 0);
	assert_int_equal(vio_driver_queue_fd(r->drv, 99), -EINVAL);
	assert_int_equal(vio_driver_intr_enable(r->drv, VIO_RXQ(0)), 0);
	device_send(r, hello, sizeof(hello));
	assert_true(readable(fd, 5000));
	assert_true(vio_driver_queue_fd_handle(r->drv, VIO_RXQ(0)));
	assert_int_equal(rx_events, 1);
	assert_false(readable(fd, 0));
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	assert_memory_equal(vio_buf_data(buf), hello, sizeof(hello));
	vio_pool_put(r->pool, &buf, 1);
}

/* Every request in turn is the last one: the driver says so, and leaks nothing. */
static void test_cut_at_every_message(void **state)
{
	static const uint32_t requests[] = {
		VIO_VU_SET_OWNER,	 VIO_VU_GET_FEATURES,	VIO_VU_GET_PROTOCOL_FEATURES,
		VIO_VU_GET_QUEUE_NUM,	 VIO_VU_SET_MEM_TABLE,	VIO_VU_SET_STATUS,
		VIO_VU_GET_STATUS,	 VIO_VU_SET_FEATURES,	VIO_VU_SET_VRING_NUM,
		VIO_VU_SET_VRING_ADDR,	 VIO_VU_SET_VRING_KICK, VIO_VU_SET_VRING_CALL,
		VIO_VU_SET_VRING_ENABLE,
	};
	struct rig *r = *state;
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = { .size = 64, .alloc = vio_pool_get, .free = vio_pool_put };
	struct vio_txq_conf tx = { .size = 64, .free = vio_pool_put };
	unsigned i, fds;
	int ret;

	r->conf.timeout_ms = 1;
	assert_int_equal(vio_pool_create(vio_dma_arena_host(r->arena), 512, 2048, &r->pool), 0);
	rx.ctx = tx.ctx = r->pool;
	r->b.no_log = true;
	back_start(&r->b);
	fds = count_fds();
	for (i = 0; i < vio_array_size(requests); i++) {
		r->b.drop_at = requests[i];
		ret = open_driver(r);
		if (ret == 0)
			ret = vio_driver_configure(r->drv, &conf, &r->err);
		if (ret == 0)
			ret = vio_driver_rxq_configure(r->drv, 0, &rx, &r->err);
		if (ret == 0)
			ret = vio_driver_txq_configure(r->drv, 0, &tx, &r->err);
		if (ret == 0)
			ret = vio_driver_start(r->drv, &r->err);
		/* A connection that is not up yet may have been tried once more. */
		assert_true(ret < 0 || i <= 4);
		assert_true(ret == 0 || r->err.msg[0]);
		vio_driver_release(r->drv);
		r->drv = NULL;
		assert_int_equal(vio_pool_available(r->pool), 512);
	}
	r->b.drop_at = 0;
	assert_int_equal(open_driver(r), 0);
	vio_driver_release(r->drv);
	r->drv = NULL;
	back_stop(&r->b);
	r->b.thread = 0;
	assert_true(count_fds() <= fds - 2);
}

static void test_refused(void **state)
{
	struct rig *r = *state;

	r->b.refuse = VIO_VU_SET_MEM_TABLE;
	assert_int_equal(open_driver(r), -EIO);
	assert_non_null(strstr(r->err.msg, "refused SET_MEM_TABLE"));
	r->b.refuse = 0;
	r->b.features_ok_never = true;
	assert_int_equal(open_driver(r), -ENOTSUP);
}

/* A device that does not want to disable its rings is made to stop them all the same. */
static void test_refuses_to_stop(void **state)
{
	struct rig *r = *state;
	unsigned i;

	start(r, 1);
	r->b.refuse = VIO_VU_SET_VRING_ENABLE;
	assert_int_equal(vio_driver_stop(r->drv), 0);
	for (i = 0; i < 2; i++)
		assert_false(r->b.queues[i].running);
	r->b.refuse = 0;
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

/* H28: a device that never answers. */
static void test_h28_silent(void **state)
{
	struct rig *r = *state;

	r->conf.timeout_ms = 1;
	r->conf.reply_timeout_ms = 20;
	r->b.silent_at = VIO_VU_GET_FEATURES;
	assert_int_equal(open_driver(r), -EPROTO);
	r->b.silent_at = VIO_VU_SET_FEATURES;
	assert_int_equal(open_driver(r), -ENODEV);
}

static void test_nobody_there(void **state)
{
	struct rig *r = *state;
	unsigned fds = count_fds();

	r->conf.timeout_ms = 30;
	assert_int_equal(vio_vhost_user_open(&r->conf, r->arena, &r->transport, &r->err),
			 -ETIMEDOUT);
	assert_non_null(strstr(r->err.msg, "no device"));
	r->conf.server = true;
	assert_int_equal(vio_vhost_user_open(&r->conf, r->arena, &r->transport, &r->err),
			 -ETIMEDOUT);
	assert_int_equal(access(r->conf.socket_path, F_OK), -1);
	r->conf.socket_path = "";
	assert_int_equal(vio_vhost_user_open(&r->conf, r->arena, &r->transport, &r->err), -EINVAL);
	assert_int_equal(count_fds(), fds);
}

/* P14, H31: the device goes and comes back, in either role; frames under way survive. */
static void come_back(struct rig *r)
{
	static const char before[] = "to youfrom me 0 from before it went";
	struct vio_buf *bufs[4];
	int fd, call_fd;
	unsigned i;

	start(r, 1);
	fd = vio_driver_fd(r->drv);
	call_fd = vio_driver_queue_fd(r->drv, 0);
	assert_int_equal(vio_driver_config_interrupt(r->drv), 0);
	assert_int_equal(vio_pool_get(r->pool, bufs, 3), 3);
	for (i = 0; i < 3; i++) {
		bufs[i]->len = 60;
		memset(vio_buf_data(bufs[i]), 2 * (int)i, 60);
	}
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, 3), 3);
	device_send(r, before, sizeof(before));

	back_stop(&r->b);
	assert_true(readable(fd, 5000));
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(r->failures, 1);
	assert_int_equal(vio_driver_recover(r->drv, 5, &r->err), -EAGAIN);
	back_start(&r->b);
	if (r->b.client)
		assert_true(readable(fd, 5000)); /* somebody knocks */
	assert_int_equal(vio_driver_recover(r->drv, 5000, &r->err), 0);
	assert_int_equal(vio_driver_fd(r->drv), fd);
	assert_int_equal(vio_driver_queue_fd(r->drv, 0), call_fd);

	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 4), 1);
	assert_memory_equal(vio_buf_data(bufs[0]), before, sizeof(before));
	vio_pool_put(r->pool, bufs, 1);
	/* All three are in the ring again. */
	{
		struct vio_iov pool[32];
		struct vio_chain chains[4];
		void *storage;
		struct vio_devq *vq = device_queue(r, 1, &storage);

		assert_int_equal(vio_devq_pop_burst(vq, r->b.mem, chains, 4, pool, 32), 3);
		for (i = 0; i < 3; i++)
			assert_int_equal(((uint8_t *)chains[i].iov[0].base)[40], 2 * i);
		free(storage);
	}
}

static void test_h31_client(void **state)
{
	come_back(*state);
}

static void test_h31_server(void **state)
{
	struct rig *r = *state;

	r->conf.server = true;
	r->b.client = true;
	come_back(r);
}

/* Started anew after a stop, without recover: finds the device that has come back. */
static void test_start_finds_new_device(void **state)
{
	struct rig *r = *state;

	start(r, 1);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	back_stop(&r->b);
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EAGAIN);
	back_start(&r->b);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

static void test_many_rounds_leak_nothing(void **state)
{
	struct rig *r = *state;
	unsigned fds = 0, i;

	r->b.no_log = true;
	for (i = 0; i < 100; i++) {
		start(r, 2);
		vio_driver_release(r->drv);
		r->drv = NULL;
		vio_pool_destroy(r->pool);
		r->pool = NULL;
		if (i == 0)
			fds = count_fds();
	}
	/* The device's end may still be closing. */
	assert_true(count_fds() <= fds + 12);
}

/* ---- The arena ------------------------------------------------------------------------------- */

static void test_arena(void **state)
{
	struct rig *r = *state;
	const struct vio_host *host = vio_dma_arena_host(r->arena);
	uint64_t all = vio_dma_arena_available(r->arena), dma[64];
	uint8_t *p[64];
	unsigned i, round, seed = 1;
	size_t size[64];

	memset(p, 0, sizeof(p));
	for (round = 0; round < 2000; round++) {
		seed = seed * 1103515245 + 12345;
		i = seed >> 16 & 63;
		if (p[i]) {
			assert_int_equal(p[i][size[i] - 1], (uint8_t)i);
			host->dma_free(host->ctx, p[i], size[i], dma[i]);
			p[i] = NULL;
			continue;
		}
		size[i] = 1 + (seed >> 8) % 100000;
		p[i] = host->dma_alloc(host->ctx, size[i], (size_t)1 << (seed >> 20 & 12), &dma[i]);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] & (((uintptr_t)1 << (seed >> 20 & 12)) - 1), 0);
		assert_true(dma[i] == (uintptr_t)p[i]);
		/* Zeroed, though it was used before. */
		assert_int_equal(p[i][0] | p[i][size[i] - 1] | p[i][size[i] / 2], 0);
		memset(p[i], (int)i, size[i]);
	}
	for (i = 0; i < 64; i++)
		if (p[i])
			host->dma_free(host->ctx, p[i], size[i], dma[i]);
	assert_true(vio_dma_arena_available(r->arena) == all);
	assert_null(host->dma_alloc(host->ctx, all + 1, 64, dma));
	assert_null(host->dma_alloc(host->ctx, 0, 64, dma));
	p[0] = host->dma_alloc(host->ctx, all, 64, dma);
	assert_non_null(p[0]);
	assert_null(host->dma_alloc(host->ctx, 64, 64, dma + 1));
	host->dma_free(host->ctx, p[0], all, dma[0]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_p11_messages_in_order),
		T(test_features_of_the_protocol_stay_below),
		T(test_plain_old_device),
		T(test_mac_and_mtu_of_the_caller),
		T(test_config_of_the_device),
		T(test_frames_and_interrupts),
		T(test_cut_at_every_message),
		T(test_refused),
		T(test_refuses_to_stop),
		T(test_h28_silent),
		T(test_nobody_there),
		T(test_h31_client),
		T(test_h31_server),
		T(test_start_finds_new_device),
		T(test_many_rounds_leak_nothing),
		T(test_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
