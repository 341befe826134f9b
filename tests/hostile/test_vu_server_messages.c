/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * H17, H18, H21 and H23: front ends whose messages are wrong. What is asked after each: the server
 * is there for the next front end, and holds no descriptor and no mapping of the last.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bits.h"
#include "random.h"
#include "vufront.h"
#include "wire/sock.h"

static struct vuf rig;
static unsigned fds_before, maps_before;

static int open_rig(void **state)
{
	(void)state;
	vuf_open(&rig, &(struct vuf_conf){ .pairs = 2, .listen = true });
	fds_before = count_fds();
	maps_before = vuf_count_maps("guest");
	return 0;
}

static int close_rig(void **state)
{
	(void)state;
	vuf_close(&rig);
	return 0;
}

static uint64_t protocol_errors(void)
{
	struct vio_vhost_user_status status;

	vio_vhost_user_status(rig.server, &status);
	return status.protocol_errors;
}

/* The front end goes; nothing of it is left. */
static void part(void)
{
	if (rig.front_open)
		vuf_disconnect(&rig);
	assert_false(vuf_connected(&rig));
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(vuf_count_maps("guest"), maps_before);
}

static void meet(void)
{
	vuf_connect(&rig);
	assert_true(vuf_connected(&rig));
}

static bool still_serves(void)
{
	bool passes;

	part();
	vuf_clear_memory(&rig);
	meet();
	vuf_start(&rig, 2);
	passes = vuf_frame_passes(&rig, 1);
	part();
	return passes;
}

/* Sends @msg on a connection of its own: refused when asked, and cut when not. */
static void refused(struct vio_vu_msg *msg, void (*prepare)(void))
{
	uint64_t errors = protocol_errors();

	meet();
	if (prepare)
		prepare();
	assert_int_not_equal(vuf_ack(&rig, msg), 0);
	assert_true(vuf_connected(&rig));
	vuf_send(&rig, msg);
	assert_false(vuf_connected(&rig));
	assert_int_equal(protocol_errors(), errors + 1);
	part();
}

static void want_acks(void)
{
	struct vio_vu_msg msg = vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, 0x1803d);

	msg.payload.u64 = vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES);
	vuf_send(&rig, &msg);
}

static void run_rings(void)
{
	want_acks();
	vuf_clear_memory(&rig);
	vuf_start(&rig, 4);
}

/* Header as given, then as much of @body as is there. */
static void raw(uint32_t request, uint32_t flags, uint32_t size, uint32_t body, const int *fds,
		unsigned nfds)
{
	uint8_t bytes[12 + 1024] = { 0 };
	struct vio_vu_hdr hdr = { request, flags, size };

	memcpy(bytes, &hdr, sizeof(hdr));
	vuf_raw(&rig, bytes, 12 + vio_min(body, 1024u), fds, nfds);
	vuf_pump(&rig);
}

static void h17_every_message_in_every_size(void **state)
{
	static const uint32_t sizes[] = {
		0,  1,	4,  7,	8,  9,	 11,  12,  16,	20,   24,	  31,	      32,
		39, 40, 41, 60, 72, 100, 264, 268, 272, 1000, 0x7fffffff, UINT32_MAX,
	};
	uint32_t request;
	unsigned i;

	(void)state;
	for (request = 0; request < VIO_VU_FRONT_REQUEST_END + 3; request++) {
		for (i = 0; i < vio_array_size(sizes); i++) {
			meet();
			raw(request, VIO_VU_VERSION, sizes[i], sizes[i], NULL, 0);
			part();
		}
	}
	assert_true(still_serves());
}

static void h17_header_out_of_shape(void **state)
{
	static const uint32_t flags[] = { 0, 2, 3, 5, 0x11, 0xd, 0x80000001, UINT32_MAX };
	uint64_t errors;
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(flags); i++) {
		errors = protocol_errors();
		meet();
		raw(VIO_VU_GET_FEATURES, flags[i], 0, 0, NULL, 0);
		assert_false(vuf_connected(&rig));
		assert_int_equal(protocol_errors(), errors + 1);
		part();
	}
	meet();
	raw(UINT32_MAX, VIO_VU_VERSION, 0, 0, NULL, 0);
	assert_false(vuf_connected(&rig));
	part();
	assert_true(still_serves());
}

static void h17_what_is_not_offered_is_refused(void **state)
{
	static const uint32_t requests[] = {
		VIO_VU_SET_LOG_BASE,	 VIO_VU_SET_LOG_FD,	 VIO_VU_IOTLB_MSG,
		VIO_VU_SET_VRING_ENDIAN, VIO_VU_GET_CONFIG,	 VIO_VU_POSTCOPY_ADVISE,
		VIO_VU_GET_INFLIGHT_FD,	 VIO_VU_SET_INFLIGHT_FD, VIO_VU_GPU_SET_SOCKET,
		VIO_VU_RESET_DEVICE,	 VIO_VU_VRING_KICK,	 VIO_VU_SET_DEVICE_STATE_FD,
	};
	static const uint32_t sizes[] = { 16, 0, 32, 8, 13, 0, 24, 24, 0, 0, 8, 8 };
	static const bool with_fd[] = { true,  true, false, false, false, false,
					false, true, true,  false, false, true };
	struct vio_vhost_user_status status;
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(requests); i++) {
		meet();
		raw(requests[i], VIO_VU_VERSION, sizes[i], sizes[i], &rig.call_fd[0], with_fd[i]);
		assert_false(vuf_connected(&rig));
		vio_vhost_user_status(rig.server, &status);
		assert_non_null(strstr(status.last_error,
				       vio_vu_msg_name(VIO_VU_FRONT_REQUEST, requests[i])));
		part();
	}
	assert_true(still_serves());
}

/* Descriptors: too few, too many, more than there is room for. */
static void h17_every_number_of_descriptors(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 8, 9, 20 };
	static const struct {
		uint32_t request, size;
	} messages[] = {
		{ VIO_VU_GET_FEATURES, 0 },	  { VIO_VU_SET_FEATURES, 8 },
		{ VIO_VU_SET_MEM_TABLE, 40 },	  { VIO_VU_SET_VRING_KICK, 8 },
		{ VIO_VU_SET_VRING_CALL, 8 },	  { VIO_VU_SET_VRING_ERR, 8 },
		{ VIO_VU_SET_BACKEND_REQ_FD, 0 }, { VIO_VU_ADD_MEM_REG, 40 },
		{ VIO_VU_REM_MEM_REG, 40 },	  { VIO_VU_GET_VRING_BASE, 8 },
	};
	int fds[20];
	unsigned i, k;

	(void)state;
	for (i = 0; i < 20; i++)
		fds[i] = rig.call_fd[i % VUF_MAX_RINGS];
	for (i = 0; i < vio_array_size(messages); i++) {
		for (k = 0; k < vio_array_size(counts); k++) {
			meet();
			raw(messages[i].request, VIO_VU_VERSION, messages[i].size, messages[i].size,
			    fds, counts[k]);
			if (counts[k] > 1)
				assert_false(vuf_connected(&rig));
			part();
		}
	}
	assert_true(still_serves());
}

static void h17_wrong_kinds_of_descriptors(void **state)
{
	int kinds[8], pipe_fds[2], pair[2];
	unsigned i, k;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	kinds[0] = pipe_fds[0];
	kinds[1] = pipe_fds[1];
	kinds[2] = open("/", O_RDONLY | O_DIRECTORY);
	kinds[3] = open("/dev/zero", O_RDWR);
	kinds[4] = pair[0];
	kinds[5] = epoll_create1(0);
	kinds[6] = timerfd_create(CLOCK_MONOTONIC, 0);
	kinds[7] = rig.mem_fd;
	fds_before = count_fds();
	for (i = 0; i < vio_array_size(kinds); i++) {
		struct vio_vu_msg msgs[] = {
			vuf_fd(VIO_VU_SET_VRING_KICK, 0, kinds[i]),
			vuf_fd(VIO_VU_SET_VRING_CALL, 0, kinds[i]),
			vuf_fd(VIO_VU_SET_VRING_ERR, 0, kinds[i]),
			vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, kinds[i]),
			vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0, 4096, 0x1000, 0, kinds[i]),
			vuf_mem_table(&rig),
		};

		msgs[3].hdr.size = 0;
		msgs[5].fds[0] = kinds[i];
		for (k = 0; k < vio_array_size(msgs); k++)
			if (kinds[i] != rig.mem_fd || k < 4)
				refused(&msgs[k], want_acks);
	}
	for (i = 0; i < 7; i++)
		close(kinds[i]);
	close(pair[1]);
	fds_before = count_fds();
	assert_true(still_serves());
}

/* An eventfd that is full and blocks whoever adds to it. */
static void h17_full_eventfd_does_not_block(void **state)
{
	int full = eventfd(0, EFD_CLOEXEC);
	uint64_t most = UINT64_MAX - 1;
	struct vio_vu_msg msg = vuf_fd(VIO_VU_SET_VRING_CALL, 1, full);

	(void)state;
	assert_int_equal(write(full, &most, sizeof(most)), sizeof(most));
	meet();
	run_rings();
	vuf_send(&rig, &msg);
	msg = vuf_fd(VIO_VU_SET_VRING_ERR, 1, full);
	vuf_send(&rig, &msg);
	assert_true(vuf_frame_passes(&rig, 1));
	vio_device_queue_break(rig.dev, 1, VIO_VQ_BAD_HEAD);
	close(full);
	part();
}

static void h18_ring_index_out_of_range(void **state)
{
	static const uint32_t bad[] = { 4, 5, 255, 256, 257, 0x10000, 0x10001, UINT32_MAX };
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(bad); i++) {
		struct vio_vu_msg msgs[] = {
			vuf_state(VIO_VU_SET_VRING_NUM, bad[i], 256),
			vuf_state(VIO_VU_SET_VRING_BASE, bad[i], 0),
			vuf_state(VIO_VU_SET_VRING_ENABLE, bad[i], 1),
			vuf_addr(bad[i], 0),
		};
		struct vio_vu_msg base = vuf_state(VIO_VU_GET_VRING_BASE, bad[i], 0);
		unsigned k;

		for (k = 0; k < vio_array_size(msgs); k++)
			refused(&msgs[k], want_acks);
		/* No answer could be right. */
		meet();
		want_acks();
		vuf_send(&rig, &base);
		assert_false(vuf_connected(&rig));
		part();
	}
	/* Here the index has 8 bits, and the ninth says that there is no descriptor. */
	for (i = 4; i < 256; i += 50) {
		struct vio_vu_msg msg = vuf_fd(VIO_VU_SET_VRING_KICK, i, rig.kick_fd[0]);

		refused(&msg, want_acks);
	}
	meet();
	raw(VIO_VU_SET_VRING_KICK, VIO_VU_VERSION, 8, 8, NULL, 0);
	assert_false(vuf_connected(&rig));
	part();
	assert_true(still_serves());
}

static void h12_ring_size_and_place(void **state)
{
	static const uint32_t sizes[] = { 0, 3, 300, 1025, 2048, 32768, 65536, UINT32_MAX };
	struct vio_vu_msg msg;
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(sizes); i++) {
		/* Packed rings may have any number of descriptors. */
		if (rig.packed && sizes[i] != 0 && sizes[i] <= 1024)
			continue;
		msg = vuf_state(VIO_VU_SET_VRING_NUM, 1, sizes[i]);
		refused(&msg, want_acks);
	}
	for (i = 0; i < 3; i++) {
		msg = vuf_addr(1, 0);
		*(i == 0 ? &msg.payload.addr.desc :
		  i == 1 ? &msg.payload.addr.avail :
			   &msg.payload.addr.used) += 1;
		refused(&msg, want_acks);
	}
	msg = vuf_addr(1, 0);
	msg.payload.addr.flags = VIO_VU_VRING_F_LOG;
	refused(&msg, want_acks);
	/* One area over another. */
	msg = vuf_addr(1, VUF_RING_SIZE);
	msg.payload.addr.avail = msg.payload.addr.desc + 64;
	meet();
	run_rings();
	vuf_get_base(&rig, 1);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	msg = vuf_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[1]);
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	assert_false(vio_device_queue_running(rig.dev, 1));
	part();
	assert_true(still_serves());
}

/* Rings that lie partly or wholly outside of memory run as little as those without any. */
static void h12_ring_outside_of_memory(void **state)
{
	static const uint64_t at[] = {
		VUF_MEM_SIZE,	VUF_MEM_SIZE - 0x2000, VUF_MEM_SIZE - 0x2800,
		0x100000000000, 0ull - VUF_USER,       0ull - VUF_USER - 0x1000,
	};
	struct vio_vu_msg msg;
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(at); i++) {
		/* There the last area begins inside, and a packed ring's is but four bytes. */
		if (rig.packed && at[i] == VUF_MEM_SIZE - 0x2800)
			continue;
		meet();
		run_rings();
		msg = vuf_addr(1, at[i]);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
		assert_false(vio_device_queue_running(rig.dev, 1));
		assert_int_equal(vuf_serve(&rig, 0), 0);
		/* And back. */
		msg = vuf_addr(1, VUF_RING_SIZE);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
		assert_true(vuf_frame_passes(&rig, 1));
		part();
	}
}

static void h21_changes_while_running(void **state)
{
	struct vio_vu_msg num = vuf_state(VIO_VU_SET_VRING_NUM, 1, 128);
	struct vio_vu_msg same = vuf_state(VIO_VU_SET_VRING_NUM, 1, VUF_NUM);
	struct vio_vu_msg base = vuf_state(VIO_VU_SET_VRING_BASE, 1, 7);
	struct vio_vu_msg features =
		vuf_u64(VIO_VU_SET_FEATURES, rig.features | vio_feature(VIO_NET_F_MRG_RXBUF));

	(void)state;
	refused(&num, run_rings);
	refused(&base, run_rings);
	refused(&features, run_rings);
	meet();
	run_rings();
	assert_int_equal(vuf_ack(&rig, &same), 0);
	features.payload.u64 = rig.features;
	assert_int_equal(vuf_ack(&rig, &features), 0);
	assert_true(vuf_frame_passes(&rig, 1));
	/* Stop twice, also what never ran. */
	vuf_get_base(&rig, 1);
	vuf_get_base(&rig, 1);
	vuf_get_base(&rig, 3);
	vuf_get_base(&rig, 3);
	part();
}

static void h21_values_that_make_no_sense(void **state)
{
	struct vio_vu_msg enable = vuf_state(VIO_VU_SET_VRING_ENABLE, 0, 2);
	struct vio_vu_msg status = vuf_u64(VIO_VU_SET_STATUS, 0x100);
	struct vio_vu_msg unknown = vuf_u64(VIO_VU_SET_FEATURES, VUF_FEATURES | 1ull << 37);
	struct vio_vu_msg log = vuf_u64(VIO_VU_SET_FEATURES, VUF_FEATURES | 1ull << 26);
	struct vio_vu_msg lacking =
		vuf_u64(VIO_VU_SET_FEATURES, VUF_FEATURES | vio_feature(VIO_NET_F_HOST_TSO4));
	struct vio_vu_msg protocol = vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 1);

	(void)state;
	refused(&enable, want_acks);
	refused(&status, want_acks);
	refused(&unknown, want_acks);
	refused(&log, want_acks);
	refused(&lacking, want_acks);
	refused(&protocol, want_acks);
	assert_true(still_serves());
}

/* Kicks for rings that are not there, not complete, or switched off; and a flood of them. */
static void h13_kicks_out_of_place(void **state)
{
	const uint64_t flood = UINT64_MAX - 1;
	struct vio_vu_msg msg;
	unsigned i, sent;

	(void)state;
	meet();
	want_acks();
	for (i = 0; i < 4; i++)
		assert_int_equal(write(rig.kick_fd[i], &flood, sizeof(flood)), sizeof(flood));
	vuf_clear_memory(&rig);
	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_serve(&rig, 0), 0);
	/* Started, but there is no memory. */
	vuf_start_ring(&rig, 1, 0);
	assert_int_equal(vuf_serve(&rig, 0), 0);
	assert_int_equal(rig.backend.sent, 0);
	part();
	meet();
	run_rings();
	msg = vuf_state(VIO_VU_SET_VRING_ENABLE, 1, 0);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	sent = rig.backend.sent;
	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_serve(&rig, 0), 1);
	assert_int_equal(rig.backend.sent, sent);
	assert_int_equal(vuf_used_idx(&rig, 1), 1);
	msg = vuf_state(VIO_VU_SET_VRING_ENABLE, 1, 1);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	assert_true(vuf_frame_passes(&rig, 1));
	for (i = 0; i < 4; i++)
		vuf_eventfd_take(rig.kick_fd[i]);
	part();
	assert_true(still_serves());
}

/* Status written in impossible orders: the device says what it took, and goes on. */
static void h13_status_in_any_order(void **state)
{
	struct vio_vu_msg msg;
	unsigned i;

	(void)state;
	meet();
	run_rings();
	for (i = 0; i < 512; i++) {
		msg = vuf_u64(VIO_VU_SET_STATUS, i * 37 % 256);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
		vuf_ask_u64(&rig, VIO_VU_GET_STATUS);
	}
	part();
	assert_true(still_serves());
}

/* Places that a packed ring has not, and pairs of places that are further apart than a ring is long:
 * the ring does not start. */
static void h23_packed_base_out_of_range(void)
{
	static const uint32_t bad[] = { 0x80008100, 0x81008000, 0x7fff7fff,
					0xffffffff, 0x80018000, 0x80010002 };
	struct vio_vu_msg msg;
	unsigned i;

	for (i = 0; i < vio_array_size(bad); i++) {
		meet();
		run_rings();
		vuf_get_base(&rig, 1);
		msg = vuf_state(VIO_VU_SET_VRING_BASE, 1, bad[i]);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
		msg = vuf_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[1]);
		if (vuf_ack(&rig, &msg) == 0)
			fail_msg("base 0x%x", bad[i]);
		assert_false(vio_device_queue_running(rig.dev, 1));
		assert_true(vuf_frame_passes(&rig, 3));
		part();
	}
	assert_true(still_serves());
}

static void h23_base_out_of_range(void **state)
{
	struct vio_vu_msg msg = vuf_state(VIO_VU_SET_VRING_BASE, 1, 0x10000);
	unsigned i;

	(void)state;
	if (rig.packed) {
		h23_packed_base_out_of_range();
		return;
	}
	refused(&msg, want_acks);
	msg.payload.state.num = UINT32_MAX;
	refused(&msg, want_acks);
	/* The largest there is, and sizes given again and again. */
	meet();
	run_rings();
	vuf_get_base(&rig, 1);
	for (i = 0; i < 1000; i++) {
		msg = vuf_state(VIO_VU_SET_VRING_NUM, 1, i % 2 ? 256 : 1024);
		assert_int_equal(vuf_ack(&rig, &msg), 0);
	}
	vuf_set_used_idx(&rig, 1, 0xffff);
	vuf_start_ring(&rig, 1, 0xffff);
	rig.avail[1] = 0xffff;
	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_serve(&rig, 0), 1);
	assert_int_equal(vuf_get_base(&rig, 1), 0);
	part();
	assert_true(still_serves());
}

/* Nobody reads the answers. */
static void h22_answers_that_nobody_reads(void **state)
{
	struct vio_vu_msg ask = vuf_empty(VIO_VU_GET_FEATURES);
	unsigned i;

	(void)state;
	meet();
	for (i = 0; i < 100000 && vuf_connected(&rig); i++)
		vuf_raw(&rig, &ask.hdr, sizeof(ask.hdr), NULL, 0), vuf_pump(&rig);
	assert_false(vuf_connected(&rig));
	assert_true(still_serves());
}

/* Refusals are many, lines in the log are not; the next front end's are told again. */
static void h22_log_is_not_flooded(void **state)
{
	struct vio_vu_msg msg = vuf_state(VIO_VU_SET_VRING_NUM, 1, 0);
	unsigned i, before;

	(void)state;
	for (i = 0; i < 2; i++) {
		unsigned n;

		meet();
		want_acks();
		before = rig.warnings;
		for (n = 0; n < 1000; n++)
			assert_int_not_equal(vuf_ack(&rig, &msg), 0);
		assert_in_range(rig.warnings - before, 2, 100);
		part();
	}
}

/* ---- Chance ------------------------------------------------------------------------------ */

static uint64_t seed = 88172645463325252ull;

static uint32_t chance(uint32_t n)
{
	return (uint32_t)(random64(&seed) >> 32) % n;
}

static uint64_t odd_number(void)
{
	static const uint64_t odd[] = { 0,	    1,		2,	     3,	       255,
					256,	    4096,	VUF_GUEST,   VUF_USER, UINT32_MAX,
					UINT64_MAX, 1ull << 63, VUF_MEM_SIZE };

	return odd[chance(vio_array_size(odd))] + (chance(4) ? 0 : chance(64) - 32);
}

static int channel[2];

/* A message that is right more often than not, with something wrong in it now and then. */
static struct vio_vu_msg random_message(void)
{
	uint32_t ring = chance(20) ? chance(4) : chance(300);
	struct vio_vu_msg msg;

	switch (chance(16)) {
	case 0:
		msg = vuf_u64(VIO_VU_SET_FEATURES, chance(3) ? rig.features : odd_number());
		break;
	case 1:
		msg = vuf_mem_table(&rig);
		if (!chance(3))
			((uint64_t *)msg.payload.mem_table.regions)[chance(4)] = odd_number();
		break;
	case 2:
		msg = vuf_state(VIO_VU_SET_VRING_NUM, ring,
				chance(3) ? 256 : (uint32_t)odd_number());
		break;
	case 3:
	case 4:
		msg = vuf_addr(ring, chance(5) ? ring * VUF_RING_SIZE : odd_number());
		break;
	case 5:
		msg = vuf_state(VIO_VU_SET_VRING_BASE, ring,
				chance(3) ? (rig.packed ? 0x80008000 : 0) : (uint32_t)odd_number());
		break;
	case 6:
		msg = vuf_state(VIO_VU_GET_VRING_BASE, ring, 0);
		break;
	case 7:
	case 8:
		msg = vuf_fd(VIO_VU_SET_VRING_KICK + chance(3), ring & 255,
			     rig.kick_fd[ring % VUF_MAX_RINGS]);
		break;
	case 9:
		msg = vuf_state(VIO_VU_SET_VRING_ENABLE, ring, chance(8) ? 1 : chance(3));
		break;
	case 10:
		msg = vuf_mem_reg(VIO_VU_ADD_MEM_REG + chance(2), odd_number(), odd_number(),
				  odd_number(), chance(2) ? 0 : odd_number(), rig.mem_fd);
		break;
	case 11:
		msg = vuf_u64(VIO_VU_SET_STATUS, chance(2) ? 15 : chance(300));
		break;
	case 12:
		msg = vuf_u64(VIO_VU_SEND_RARP + chance(2), odd_number());
		break;
	case 13:
		msg = vuf_empty(chance(VIO_VU_FRONT_REQUEST_END + 2));
		break;
	case 14:
		msg = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, chance(20) ? channel[0] : rig.front.fd);
		msg.hdr.size = 0;
		break;
	default:
		msg = vuf_u64(chance(VIO_VU_FRONT_REQUEST_END + 2), odd_number());
	}
	if (chance(4))
		msg.hdr.flags |= VIO_VU_NEED_REPLY;
	return msg;
}

static void scribble(void)
{
	uint32_t i;

	for (i = 0; i < 64; i++)
		rig.mem[chance(VUF_BUFFERS)] = (uint8_t)chance(256);
}

static void h21_messages_by_chance(void **state)
{
	unsigned i;
	struct vio_vu_msg msg, answer;
	unsigned started = 0;

	(void)state;
	assert_int_equal(vio_sock_pair(channel), 0);
	for (i = 0; i < 40000; i++) {
		if (!vuf_connected(&rig)) {
			if (rig.front_open)
				vuf_disconnect(&rig);
			meet();
			want_acks();
			if (chance(2))
				run_rings();
		}
		msg = random_message();
		vuf_send(&rig, &msg);
		while (rig.front_open && vuf_answer(&rig, &answer))
			vio_vu_msg_close_fds(&answer);
		if (!chance(8))
			scribble();
		started += vio_device_queue_running(rig.dev, 1);
		vuf_serve(&rig, 0);
		vuf_serve(&rig, 1);
	}
	/* The chance was worth it only if the rings ran much of the time. */
	assert_true(started > 1000);
	close(channel[0]);
	close(channel[1]);
	assert_true(still_serves());
}

#define H(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		H(h17_every_message_in_every_size),
		H(h17_header_out_of_shape),
		H(h17_what_is_not_offered_is_refused),
		H(h17_every_number_of_descriptors),
		H(h17_wrong_kinds_of_descriptors),
		H(h17_full_eventfd_does_not_block),
		H(h18_ring_index_out_of_range),
		H(h12_ring_size_and_place),
		H(h12_ring_outside_of_memory),
		H(h21_changes_while_running),
		H(h21_values_that_make_no_sense),
		H(h13_kicks_out_of_place),
		H(h13_status_in_any_order),
		H(h23_base_out_of_range),
		H(h22_answers_that_nobody_reads),
		H(h22_log_is_not_flooded),
		H(h21_messages_by_chance),
	};

	static const char *const names[] = { "messages, split", "messages, packed",
					     "messages, split, in order",
					     "messages, packed, in order" };
	int failed = 0;

	vuf_guard_init();
	for (unsigned i = 0; i < 4; i++) {
		vuf_use_format(i & 1, i & 2);
		failed += cmocka_run_group_tests_name(names[i], tests, NULL, NULL);
	}
	return failed;
}
