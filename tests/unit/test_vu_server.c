/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user server with front ends that mean well: every message, in the orders of QEMU and
 * DPDK, and what becomes of the device. Where front ends come from is in test_vu_server_sockets.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_vu_server.h"
#include "wire/sock.h"

/* ---- Features ---------------------------------------------------------------------------- */

static void offers_what_it_serves(void **state)
{
	uint64_t features = vuf_ask_u64(&rig, VIO_VU_GET_FEATURES);
	uint64_t expected = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 15 | 1 << 16;

	(void)state;
	assert_true(features & vio_feature(30));
	assert_true(features & vio_feature(VIO_F_VERSION_1));
	assert_false(features & vio_feature(26));
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES), expected);
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_MAX_MEM_SLOTS), 512);
}

static void queue_num_counts_pairs(void **state)
{
	(void)state;
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_QUEUE_NUM), 2);
	assert_true(vuf_ask_u64(&rig, VIO_VU_GET_FEATURES) & vio_feature(VIO_NET_F_MQ));
	assert_true(vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES) & 1 << 9);
}

static void features_reach_the_device(void **state)
{
	struct vio_features got;

	(void)state;
	/* MQ without CTRL_VQ, which stays with the front end; and two that are its own alone. */
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES | vio_feature(VIO_NET_F_MQ) |
					      vio_feature(VIO_NET_F_CTRL_RX) |
					      vio_feature(VIO_NET_F_GUEST_ANNOUNCE));
	assert_true(vuf_connected(&rig));
	got = vio_device_driver_features(rig.dev);
	assert_int_equal(got.w[0], vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_NET_F_MQ));
}

static void status_is_kept_and_reset(void **state)
{
	(void)state;
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 16);
	send_u64(VIO_VU_SET_STATUS, 3);
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES);
	send_u64(VIO_VU_SET_STATUS, 11);
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_STATUS), 11);
	send_u64(VIO_VU_SET_STATUS, 0);
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_STATUS), 0);
	assert_int_equal(vio_device_driver_features(rig.dev).w[0], 0);
}

/* ---- Orders of real front ends ----------------------------------------------------------- */

/* What QEMU does with one pair, in its order, when the guest's driver starts. */
static void qemu_begins(uint64_t protocol)
{
	unsigned q;

	vuf_ask_u64(&rig, VIO_VU_GET_FEATURES);
	vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES);
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, protocol);
	vuf_ask_u64(&rig, VIO_VU_GET_QUEUE_NUM);
	vuf_ask_u64(&rig, VIO_VU_GET_MAX_MEM_SLOTS);
	send_empty(VIO_VU_SET_OWNER);
	vuf_ask_u64(&rig, VIO_VU_GET_FEATURES);
	for (q = 0; q < 2; q++)
		send_fd(VIO_VU_SET_VRING_CALL, q, rig.call_fd[q]);
	for (q = 0; q < 2; q++)
		send_state(VIO_VU_SET_VRING_ENABLE, q, 1);
	for (q = 0; q < 2; q++)
		send_fd(VIO_VU_SET_VRING_CALL, q, rig.call_fd[q]);
}

static void qemu_starts(const uint32_t base[2], bool plug_memory)
{
	unsigned q;

	for (q = 0; q < 2; q++)
		send_state(VIO_VU_SET_VRING_ENABLE, q, 1);
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES);
	send_u64(VIO_VU_SET_STATUS, vuf_ask_u64(&rig, VIO_VU_GET_STATUS) | 8);
	if (plug_memory) {
		struct vio_vu_msg add = vuf_mem_reg(VIO_VU_ADD_MEM_REG, VUF_GUEST, VUF_MEM_SIZE,
						    VUF_USER, 0, rig.mem_fd);

		assert_int_equal(vuf_ack(&rig, &add), 0);
	}
	for (q = 0; q < 2; q++)
		vuf_start_ring(&rig, q, base[q]);
	send_u64(VIO_VU_SET_STATUS, 15);
}

static void qemu_order_runs_stops_and_goes_on(void **state)
{
	uint32_t base[2] = { 0, 0 };
	unsigned round;

	(void)state;
	qemu_begins(1 << 0 | 1 << 3 | 1 << 15 | 1 << 16);
	for (round = 0; round < 3; round++) {
		qemu_starts(base, round == 0);
		assert_true(vio_device_queue_running(rig.dev, 0));
		assert_true(vio_device_queue_running(rig.dev, 1));
		assert_true(rig.kick[0] >= 0 && rig.kick[1] >= 0);
		assert_true(vuf_frame_passes(&rig, 1));
		assert_true(vuf_frame_passes(&rig, 1));
		/* 7.2 resets the status before it asks for the indices. */
		send_u64(VIO_VU_SET_STATUS, 0);
		base[0] = vuf_get_base(&rig, 0);
		base[1] = vuf_get_base(&rig, 1);
		assert_int_equal(base[0], 0);
		assert_int_equal(base[1], 2 * (round + 1));
		assert_false(vio_device_queue_running(rig.dev, 1));
		assert_int_equal(rig.kick[1], -1);
	}
	assert_true(vuf_connected(&rig));
}

static void dpdk_order_runs(void **state)
{
	unsigned q;
	struct vio_vu_msg msg;

	(void)state;
	send_empty(VIO_VU_SET_OWNER);
	vuf_ask_u64(&rig, VIO_VU_GET_FEATURES);
	vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES);
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 0 | 1 << 3 | 1 << 16);
	msg = vuf_u64(VIO_VU_SET_STATUS, 0);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	msg = vuf_u64(VIO_VU_SET_STATUS, 1);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	msg = vuf_u64(VIO_VU_SET_STATUS, 3);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	for (q = 0; q < 2; q++)
		send_fd(VIO_VU_SET_VRING_CALL, q, rig.call_fd[q]);
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES);
	send_u64(VIO_VU_SET_STATUS, 11);
	assert_int_equal(vuf_ask_u64(&rig, VIO_VU_GET_STATUS), 11);
	msg = vuf_mem_table(&rig);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	for (q = 0; q < 2; q++) {
		send_state(VIO_VU_SET_VRING_NUM, q, VUF_NUM);
		send_state(VIO_VU_SET_VRING_BASE, q, 0);
		msg = vuf_addr(q, q * VUF_RING_SIZE);
		vuf_send(&rig, &msg);
		send_fd(VIO_VU_SET_VRING_KICK, q, rig.kick_fd[q]);
	}
	for (q = 0; q < 2; q++)
		send_state(VIO_VU_SET_VRING_ENABLE, q, 1);
	send_u64(VIO_VU_SET_STATUS, 15);
	assert_true(vuf_frame_passes(&rig, 1));
}

/* H21: the six things that a ring needs, in every order. */
static void ring_starts_when_the_last_piece_comes(void **state)
{
	enum { NUM, BASE, ADDR, KICK, MEM, FEATURES, NR };
	unsigned order[NR], n, i, k, round;

	(void)state;
	for (round = 0; round < 720; round++) {
		unsigned left[NR] = { NUM, BASE, ADDR, KICK, MEM, FEATURES };

		for (n = NR, i = 0, k = round; n > 0; n--, i++) {
			unsigned pick = k % n;

			k /= n;
			order[i] = left[pick];
			memmove(&left[pick], &left[pick + 1], (n - 1 - pick) * sizeof(*left));
		}
		if (!rig.front_open)
			vuf_connect(&rig);
		for (i = 0; i < NR; i++) {
			struct vio_vu_msg msgs[NR] = {
				[NUM] = vuf_state(VIO_VU_SET_VRING_NUM, 1, VUF_NUM),
				[BASE] = vuf_state(VIO_VU_SET_VRING_BASE, 1, 0),
				[ADDR] = vuf_addr(1, VUF_RING_SIZE),
				[KICK] = vuf_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[1]),
				[MEM] = vuf_mem_table(&rig),
				[FEATURES] = vuf_u64(VIO_VU_SET_FEATURES, VUF_FEATURES),
			};

			assert_false(vio_device_queue_running(rig.dev, 1));
			vuf_send(&rig, &msgs[order[i]]);
		}
		assert_true(vio_device_queue_running(rig.dev, 1));
		vuf_disconnect(&rig);
		assert_false(vio_device_queue_running(rig.dev, 1));
	}
}

/* ---- Rings ------------------------------------------------------------------------------- */

static void get_vring_base_stops_one_ring(void **state)
{
	(void)state;
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_get_base(&rig, 1), 1);
	assert_false(vio_device_queue_running(rig.dev, 1));
	assert_true(vio_device_queue_running(rig.dev, 0));
	/* Asked again, it says the same. */
	assert_int_equal(vuf_get_base(&rig, 1), 1);
	vuf_start_ring(&rig, 1, 1);
	assert_true(vuf_frame_passes(&rig, 1));
}

/* DPDK's driver says 0 when its device comes back, whatever the ring holds. */
static void ring_goes_on_where_the_used_ring_stands(void **state)
{
	(void)state;
	vuf_connect(&rig);
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_true(vuf_frame_passes(&rig, 1));
	vuf_disconnect(&rig);
	/* One more that nobody has taken. */
	vuf_guest_send(&rig, 1, 60);
	vuf_connect(&rig);
	vuf_start(&rig, 2);
	assert_int_equal(vuf_serve(&rig, 0), 1);
	assert_int_equal(vuf_used_idx(&rig, 1), 3);
	assert_int_equal(rig.backend.sent, 3);
	assert_int_equal(vuf_get_base(&rig, 1), 3);
}

static void disabled_ring_completes_and_drops(void **state)
{
	(void)state;
	vuf_start(&rig, 2);
	send_state(VIO_VU_SET_VRING_ENABLE, 1, 0);
	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_serve(&rig, 0), 1);
	assert_int_equal(rig.backend.sent, 0);
	assert_int_equal(vuf_used_idx(&rig, 1), 1);
	send_state(VIO_VU_SET_VRING_ENABLE, 1, 1);
	assert_true(vuf_frame_passes(&rig, 1));
}

static void ring_is_enabled_from_the_start_without_protocol_features(void **state)
{
	struct vio_vu_msg msg = vuf_mem_table(&rig);

	(void)state;
	vuf_connect(&rig);
	send_u64(VIO_VU_SET_FEATURES, vio_feature(VIO_F_VERSION_1));
	vuf_send(&rig, &msg);
	vuf_start_ring(&rig, 1, 0);
	assert_true(vuf_frame_passes(&rig, 1));
	vuf_disconnect(&rig);

	/* With them, it waits for the message. */
	vuf_connect(&rig);
	rig.avail[1] = 0;
	memset(rig.mem, 0, VUF_MEM_SIZE);
	msg = vuf_mem_table(&rig);
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES);
	vuf_send(&rig, &msg);
	vuf_start_ring(&rig, 1, 0);
	assert_false(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_used_idx(&rig, 1), 1);
}

static void call_descriptor_is_written_once_a_burst(void **state)
{
	(void)state;
	vuf_start(&rig, 2);
	/* Given while the ring was running: told once, in case one was missed. */
	assert_int_equal(vuf_eventfd_take(rig.call_fd[0]), 1);
	assert_int_equal(vuf_eventfd_take(rig.call_fd[1]), 1);
	vuf_guest_send(&rig, 1, 60);
	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_serve(&rig, 0), 2);
	assert_int_equal(vuf_eventfd_take(rig.call_fd[1]), 1);
	assert_int_equal(vuf_eventfd_take(rig.call_fd[0]), 0);

	/* A new one takes over, and none at all is allowed. */
	send_fd(VIO_VU_SET_VRING_CALL, 1, rig.call_fd[5]);
	assert_int_equal(vuf_eventfd_take(rig.call_fd[5]), 1);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_eventfd_take(rig.call_fd[5]), 1);
	send_u64(VIO_VU_SET_VRING_CALL, 1 | VIO_VU_VRING_NOFD);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_eventfd_take(rig.call_fd[5]), 0);
}

static void kick_descriptor_can_be_replaced(void **state)
{
	unsigned fds, looks;
	int before;

	(void)state;
	vuf_start(&rig, 2);
	fds = count_fds();
	before = rig.kick[1];
	looks = rig.looks;
	send_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[5]);
	assert_int_not_equal(rig.kick[1], before);
	assert_true(rig.looks > looks);
	assert_int_equal(count_fds(), fds);
	assert_true(vuf_frame_passes(&rig, 1));
}

static void ring_without_kicks_is_looked_at_all_the_time(void **state)
{
	struct vio_vu_msg addr = vuf_addr(1, VUF_RING_SIZE);
	unsigned looks, i;

	(void)state;
	vuf_start(&rig, 1);
	/* Nothing ticks as long as every ring has its kicks. */
	assert_false(vuf_wait(&rig, 5));
	send_state(VIO_VU_SET_VRING_NUM, 1, VUF_NUM);
	send_state(VIO_VU_SET_VRING_BASE, 1, 0);
	vuf_send(&rig, &addr);
	send_u64(VIO_VU_SET_VRING_KICK, 1 | VIO_VU_VRING_NOFD);
	assert_true(vio_device_queue_running(rig.dev, 1));
	assert_int_equal(rig.kick[1], -1);
	for (i = 0, looks = rig.looks; i < 3; i++)
		assert_true(vuf_wait(&rig, 5000));
	assert_int_equal(rig.looks, looks + 3);
	vuf_get_base(&rig, 1);
	assert_false(vuf_wait(&rig, 5));
}

static void broken_queue_is_told_by_the_error_descriptor(void **state)
{
	(void)state;
	vuf_start(&rig, 2);
	send_fd(VIO_VU_SET_VRING_ERR, 1, rig.call_fd[6]);
	/* An available index that jumps. */
	rig.avail[1] = 5000;
	vuf_guest_send(&rig, 1, 60);
	assert_true(vuf_serve(&rig, 0) < 0);
	assert_int_equal(vuf_eventfd_take(rig.call_fd[6]), 1);
	assert_true(vuf_connected(&rig));
	assert_int_equal(vio_device_queue_error(rig.dev, 1), VIO_VQ_AVAIL_JUMP);
	/* Stopped and started anew it is whole. */
	rig.avail[1] = 0;
	memset(rig.mem, 0, VUF_MEM_SIZE);
	vuf_get_base(&rig, 1);
	vuf_start_ring(&rig, 1, 0);
	assert_true(vuf_frame_passes(&rig, 1));
}

static void reset_owner_stops_the_rings(void **state)
{
	(void)state;
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	send_empty(VIO_VU_RESET_OWNER);
	assert_false(vio_device_queue_running(rig.dev, 1));
	assert_int_equal(vuf_get_base(&rig, 1), 1);
	vuf_start_ring(&rig, 1, 1);
	assert_true(vuf_frame_passes(&rig, 1));
}

/* ---- Memory ------------------------------------------------------------------------------ */

static void table_is_replaced_while_rings_run(void **state)
{
	struct vio_vu_msg msg;
	uintptr_t at;

	(void)state;
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_count_maps("guest"), 2);

	/* Same file, same bytes, one region more: the first mapping stays where it is. */
	at = vuf_find_map("guest");
	msg = vuf_mem_table(&rig);
	msg.payload.mem_table.nregions = 2;
	msg.payload.mem_table.regions[1] =
		(struct vio_vu_mem_region){ 0x80000000, 0x10000, 0x500000000000, 0 };
	msg.hdr.size = 8 + 2 * 32;
	msg.fds[1] = vuf_memfd("more", 0x10000);
	msg.nfds = 2;
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	close(msg.fds[1]);
	assert_int_equal(vuf_count_maps("guest"), 2);
	assert_int_equal(vuf_count_maps("more"), 1);
	assert_int_equal(vuf_find_map("guest"), at);
	assert_true(vuf_frame_passes(&rig, 1));

	msg = vuf_mem_table(&rig);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	assert_int_equal(vuf_count_maps("more"), 0);
	assert_true(vuf_frame_passes(&rig, 1));
}

static void ring_waits_while_its_memory_is_away(void **state)
{
	struct vio_vu_msg away =
		vuf_mem_reg(VIO_VU_REM_MEM_REG, VUF_GUEST, VUF_MEM_SIZE, VUF_USER, 0, -1);
	struct vio_vu_msg back =
		vuf_mem_reg(VIO_VU_ADD_MEM_REG, VUF_GUEST, VUF_MEM_SIZE, VUF_USER, 0, rig.mem_fd);

	(void)state;
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(vuf_ack(&rig, &away), 0);
	assert_false(vio_device_queue_running(rig.dev, 0));
	assert_false(vio_device_queue_running(rig.dev, 1));
	assert_int_equal(vuf_count_maps("guest"), 1);
	assert_int_equal(vuf_serve(&rig, 0), 0);
	assert_int_equal(vuf_ack(&rig, &back), 0);
	assert_true(vio_device_queue_running(rig.dev, 1));
	assert_true(vuf_frame_passes(&rig, 1));
}

static void all_slots_can_be_plugged(void **state)
{
	int fd = vuf_memfd("slots", 512 * 4096);
	struct vio_vu_msg msg;
	unsigned i;

	(void)state;
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 15);
	for (i = 0; i < 513; i++) {
		msg = vuf_mem_reg(VIO_VU_ADD_MEM_REG, 4096ull * i, 4096, VUF_USER + 8192ull * i,
				  4096ull * (i % 512), fd);
		assert_int_equal(vuf_ack(&rig, &msg), i == 512);
	}
	assert_int_equal(vuf_count_maps("slots") > 0, 1);
	for (i = 0; i < 512; i++) {
		msg = vuf_mem_reg(VIO_VU_REM_MEM_REG, 4096ull * i, 4096, VUF_USER + 8192ull * i, 0,
				  i % 2 ? fd : -1);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
	}
	assert_int_equal(vuf_count_maps("slots"), 0);
	close(fd);
}

/* ---- Network, configuration, the back channel ---------------------------------------------- */

static void rarp_leaves_through_the_back_end(void **state)
{
	static const uint8_t frame[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 3, 4, 5, 6, 7, 0x80, 0x35, 0, 1, 8, 0, 6,
		4,    0,    3,	  2,	3,    4,    5, 6, 7, 0, 0, 0, 0,    2,	  3, 4, 5, 6, 7,
	};
	uint64_t mac = 0;

	(void)state;
	memcpy(&mac, &frame[6], 6);
	send_u64(VIO_VU_SEND_RARP, mac);
	assert_int_equal(rig.backend.sent, 1);
	assert_int_equal(rig.backend.last_len, 60);
	assert_memory_equal(rig.backend.last, frame, 60);

	/* What can't be sent is told to who asks, and is no reason to part. */
	rig.backend.busy = 1;
	send_u64(VIO_VU_SEND_RARP, mac);
	vio_device_set_link(rig.dev, false);
	send_u64(VIO_VU_SEND_RARP, mac);
	assert_int_equal(rig.backend.sent, 1);
	assert_true(vuf_connected(&rig));
}

static uint16_t config_mtu(void)
{
	uint8_t bytes[2];

	vio_device_config_read(rig.dev, 10, bytes, 2);
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void mtu_is_set_until_the_front_end_goes(void **state)
{
	struct vio_vu_msg msg = vuf_u64(VIO_VU_NET_SET_MTU, 9000);

	(void)state;
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 4);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	assert_int_equal(config_mtu(), 9000);
	msg = vuf_u64(VIO_VU_NET_SET_MTU, 67);
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	msg = vuf_u64(VIO_VU_NET_SET_MTU, 65536);
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	assert_int_equal(config_mtu(), 9000);
	vuf_disconnect(&rig);
	assert_int_equal(config_mtu(), 1500);
}

static struct vio_vu_msg config_msg(uint32_t request, uint32_t offset, uint32_t size)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 12 + size);
	msg.payload.config.offset = offset;
	msg.payload.config.size = size;
	return msg;
}

static void config_is_read_written_and_announced(void **state)
{
	struct vio_vu_msg msg = config_msg(VIO_VU_GET_CONFIG, 0, 64), reply;
	struct vio_vu_conn back;
	uint8_t mac[6];
	int fds[2];

	(void)state;
	send_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 5 | 1 << 9);
	vuf_ask(&rig, &msg, &reply);
	assert_int_equal(reply.hdr.size, 12 + 64);
	assert_int_equal(reply.payload.config.size, 64);
	vio_device_config_read(rig.dev, 0, mac, 6);
	assert_memory_equal(reply.payload.config.region, mac, 6);
	assert_int_equal(reply.payload.config.region[8], 2);
	assert_int_equal(reply.payload.config.region[10], 1500 & 0xff);
	assert_int_equal(reply.payload.config.region[63], 0);

	/* A modern driver writes nothing; nobody falls over it. */
	send_u64(VIO_VU_SET_FEATURES, VUF_FEATURES);
	msg = config_msg(VIO_VU_SET_CONFIG, 0, 6);
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	vuf_send(&rig, &msg);
	assert_true(vuf_connected(&rig));

	assert_int_equal(vio_sock_pair(fds), 0);
	assert_int_equal(vio_vu_conn_init(&back, fds[0]), 0);
	msg = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, fds[1]);
	msg.hdr.size = 0;
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	close(fds[1]);
	vio_device_set_link(rig.dev, false);
	assert_int_equal(vio_vu_recv(&back, &reply), 1);
	assert_int_equal(reply.hdr.request, VIO_VU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(reply.hdr.flags, VIO_VU_VERSION);
	/* The channel ends by itself without ending the connection. */
	vio_vu_conn_close(&back);
	vuf_pump(&rig);
	vio_device_set_link(rig.dev, true);
	assert_true(vuf_connected(&rig));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(offers_what_it_serves, open_rig),
		WITH(queue_num_counts_pairs, open_two_pairs),
		WITH(features_reach_the_device, open_two_pairs),
		WITH(status_is_kept_and_reset, open_rig),
		WITH(qemu_order_runs_stops_and_goes_on, open_rig),
		WITH(dpdk_order_runs, open_rig),
		WITH(ring_starts_when_the_last_piece_comes, open_listening),
		WITH(get_vring_base_stops_one_ring, open_rig),
		WITH(ring_goes_on_where_the_used_ring_stands, open_listening),
		WITH(disabled_ring_completes_and_drops, open_rig),
		WITH(ring_is_enabled_from_the_start_without_protocol_features, open_listening),
		WITH(call_descriptor_is_written_once_a_burst, open_rig),
		WITH(kick_descriptor_can_be_replaced, open_rig),
		WITH(ring_without_kicks_is_looked_at_all_the_time, open_rig),
		WITH(broken_queue_is_told_by_the_error_descriptor, open_rig),
		WITH(reset_owner_stops_the_rings, open_rig),
		WITH(table_is_replaced_while_rings_run, open_rig),
		WITH(ring_waits_while_its_memory_is_away, open_rig),
		WITH(all_slots_can_be_plugged, open_rig),
		WITH(rarp_leaves_through_the_back_end, open_rig),
		WITH(mtu_is_set_until_the_front_end_goes, open_two_pairs),
		WITH(config_is_read_written_and_announced, open_two_pairs),
	};

	return cmocka_run_group_tests_name("vhost-user server", tests, NULL, NULL);
}
