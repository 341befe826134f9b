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
#include <unistd.h>

#include <vioduct/driver_linux.h>

#include "base/bits.h"
#include "base/endian.h"
#include "fds.h"
#include "vuback.h"

#define BACKEND_OK                                                         \
	(vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_NET_F_MRG_RXBUF) | \
	 vio_feature(VIO_F_EVENT_IDX) | vio_feature(VIO_F_INDIRECT_DESC) | \
	 vio_feature(VIO_VU_F_PROTOCOL_FEATURES))
#define PROTOCOL_OK                                                                           \
	(vio_vu_feature(VIO_VU_PROTOCOL_F_MQ) | vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) | \
	 vio_vu_feature(VIO_VU_PROTOCOL_F_STATUS))

struct rig {
	struct vub b;
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
		vub_stop(&r->b);
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
		vub_start(&r->b);
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
	const struct vub_queue *q = &r->b.queues[queue];
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
	vub_start(&r->b);
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
	vub_stop(&r->b);
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

	vub_stop(&r->b);
	assert_true(readable(fd, 5000));
	assert_int_equal(vio_driver_config_interrupt(r->drv), -ENODEV);
	assert_int_equal(r->failures, 1);
	assert_int_equal(vio_driver_recover(r->drv, 5, &r->err), -EAGAIN);
	vub_start(&r->b);
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
	vub_stop(&r->b);
	assert_int_equal(vio_driver_start(r->drv, &r->err), -EAGAIN);
	vub_start(&r->b);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
