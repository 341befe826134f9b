/* SPDX-License-Identifier: BSD-2-Clause */
/* H22: front ends that are slow, that die, that come and go a thousand times. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bits.h"
#include "fds.h"
#include "vufront.h"
#include "wire/sock.h"

static struct vuf rig;

static int open_rig(void **state)
{
	(void)state;
	vuf_open(&rig, &(struct vuf_conf){ .listen = true });
	return 0;
}

static int close_rig(void **state)
{
	(void)state;
	vuf_close(&rig);
	return 0;
}

static void fresh_guest(void)
{
	memset(rig.mem, 0, VUF_MEM_SIZE);
	memset(rig.avail, 0, sizeof(rig.avail));
}

/* The script of a front end, message by message; false at its end. */
static bool script(unsigned step, struct vio_vu_msg *msg)
{
	const struct vio_vu_msg messages[] = {
		vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 15 | 1 << 16),
		vuf_u64(VIO_VU_SET_FEATURES, VUF_FEATURES),
		vuf_mem_table(&rig),
		vuf_state(VIO_VU_SET_VRING_NUM, 1, VUF_NUM),
		vuf_state(VIO_VU_SET_VRING_BASE, 1, 0),
		vuf_addr(1, VUF_RING_SIZE),
		vuf_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[1]),
		vuf_fd(VIO_VU_SET_VRING_CALL, 1, rig.call_fd[1]),
		vuf_fd(VIO_VU_SET_VRING_ERR, 1, rig.call_fd[2]),
		vuf_state(VIO_VU_SET_VRING_ENABLE, 1, 1),
		vuf_u64(VIO_VU_SET_STATUS, 15),
	};

	if (step >= vio_array_size(messages))
		return false;
	*msg = messages[step];
	return true;
}

static void h22_one_byte_at_a_time(void **state)
{
	struct vio_vu_msg msg;
	unsigned step;
	uint32_t i;

	(void)state;
	vuf_connect(&rig);
	for (step = 0; script(step, &msg); step++) {
		uint8_t bytes[sizeof(msg)];

		memcpy(bytes, &msg.hdr, 12);
		memcpy(bytes + 12, &msg.payload, msg.hdr.size);
		for (i = 0; i < 12 + msg.hdr.size; i++) {
			/* Descriptors with the first byte or, which is as good, with the last. */
			bool with = i == (step % 2 ? 0 : 12 + msg.hdr.size - 1);

			vuf_raw(&rig, &bytes[i], 1, msg.fds, with ? msg.nfds : 0);
			vuf_pump(&rig);
			assert_true(vuf_connected(&rig));
		}
	}
	assert_true(vuf_frame_passes(&rig, 1));
}

/* Cut after each byte of each message. */
static void h22_cut_at_every_byte(void **state)
{
	unsigned fds = count_fds(), step, before;
	struct vio_vu_msg msg, part;
	uint32_t cut;

	(void)state;
	for (step = 0; script(step, &msg); step++) {
		for (cut = 0; cut < 12 + msg.hdr.size; cut++) {
			uint8_t bytes[sizeof(msg)];

			fresh_guest();
			vuf_connect(&rig);
			for (before = 0; before < step; before++) {
				script(before, &part);
				vuf_send(&rig, &part);
			}
			memcpy(bytes, &msg.hdr, 12);
			memcpy(bytes + 12, &msg.payload, msg.hdr.size);
			if (cut > 0)
				vuf_raw(&rig, bytes, cut, msg.fds, msg.nfds);
			vuf_pump(&rig);
			vuf_disconnect(&rig);
			assert_false(vuf_connected(&rig));
			assert_int_equal(count_fds(), fds);
			assert_int_equal(vuf_count_maps("guest"), 1);
		}
	}
}

/* A process that is killed between any two messages. */
static void h22_killed_between_messages(void **state)
{
	unsigned fds = count_fds(), steps;
	struct vio_vu_msg msg;
	int pipe_fds[2], status;
	pid_t pid;
	char byte;

	(void)state;
	for (steps = 0; steps <= 11; steps++) {
		fresh_guest();
		assert_int_equal(pipe(pipe_fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct vio_vu_conn conn;
			unsigned i;

			vio_vu_conn_init(&conn, vio_sock_connect(rig.path));
			for (i = 0; i < steps && script(i, &msg); i++)
				vio_vu_send(&conn, &msg);
			byte = 'x';
			if (write(pipe_fds[1], &byte, 1) == 1)
				pause();
			_exit(1);
		}
		assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
		vuf_pump(&rig);
		assert_true(vuf_connected(&rig));
		assert_int_equal(vio_device_queue_running(rig.dev, 1), steps >= 7);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		vuf_pump(&rig);
		assert_false(vuf_connected(&rig));
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		assert_int_equal(count_fds(), fds);
	}
}

static void round_trip(unsigned round)
{
	struct vio_vu_msg msg;
	unsigned step;

	fresh_guest();
	vuf_connect(&rig);
	if (round % 2 == 0) {
		for (step = 0; script(step, &msg); step++)
			vuf_send(&rig, &msg);
		assert_true(vuf_frame_passes(&rig, 1));
	} else {
		for (step = 0; step < round % 11; step++) {
			script(step, &msg);
			vuf_send(&rig, &msg);
		}
		script(step, &msg);
		vuf_raw(&rig, &msg.hdr, 1 + round % 12, msg.fds, msg.nfds);
		vuf_pump(&rig);
	}
	vuf_disconnect(&rig);
}

static void h22_a_thousand_rounds(void **state)
{
	struct vio_vhost_user_status status;
	unsigned round, fds = 0;
	size_t heap = 0;

	(void)state;
	for (round = 0; round < 1000; round++) {
		round_trip(round);
		/* The first rounds fill the C library's own caches. */
		if (round == 100) {
			fds = count_fds();
			heap = vuf_heap_bytes();
		}
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(vuf_count_maps("guest"), 1);
	assert_int_equal(vuf_heap_bytes(), heap);
	vio_vhost_user_status(rig.server, &status);
	assert_int_equal(status.connections, 1000);
	assert_int_equal(status.disconnects, 1000);
	assert_int_equal(rig.ups, 1000);
	assert_int_equal(rig.downs, 1000);
}

/* Who waits while one is connected is told so at once, any number of them. */
static void h22_a_crowd_at_the_door(void **state)
{
	int fds[40];
	char byte;
	unsigned i;

	(void)state;
	vuf_connect(&rig);
	for (i = 0; i < vio_array_size(fds); i++) {
		fds[i] = vio_sock_connect(rig.path);
		if (fds[i] == -EAGAIN)
			vuf_pump(&rig), fds[i] = vio_sock_connect(rig.path);
		assert_true(fds[i] >= 0);
	}
	vuf_pump(&rig);
	for (i = 0; i < vio_array_size(fds); i++) {
		assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), 0);
		close(fds[i]);
	}
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
}

static void want_channel(void)
{
	struct vio_vu_msg msg = vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 5);

	vuf_send(&rig, &msg);
}

/* The front end leaves, and the server notices, with nothing left of it. */
static void expect_gone(unsigned fds)
{
	vuf_disconnect(&rig);
	assert_false(vuf_connected(&rig));
	assert_int_equal(count_fds(), fds);
}

/* Its own end of the connection, passed to the server, does not keep the server from seeing it go:
 * in whatever message it comes, whole or not. */
static void own_end_of_the_connection(void)
{
	struct vio_vhost_user_status status;
	unsigned fds = count_fds() - rig.front_open, i;
	struct vio_vu_msg msgs[4];

	for (i = 0; i < vio_array_size(msgs); i++) {
		if (!rig.front_open)
			vuf_connect(&rig);
		want_channel();
		msgs[0] = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, rig.front.fd);
		msgs[0].hdr.size = 0;
		msgs[1] = vuf_fd(VIO_VU_SET_VRING_CALL, 0, rig.front.fd);
		msgs[2] = vuf_mem_table(&rig);
		msgs[2].fds[0] = rig.front.fd;
		msgs[3] = msgs[0];
		/* The last one never becomes a whole message. */
		vuf_raw(&rig, &msgs[i], i == 3 ? 5 : 12 + msgs[i].hdr.size, msgs[i].fds, 1);
		vuf_pump(&rig);
		assert_false(vuf_connected(&rig));
		vio_vhost_user_status(rig.server, &status);
		assert_int_equal(status.protocol_errors, i + 1);
		assert_non_null(strstr(status.last_error, "end of a connection to us"));
		expect_gone(fds - (rig.path[0] == '\0'));
		if (rig.path[0] == '\0')
			return; /* there is but one connection */
	}
}

static void h22_own_end_of_the_connection(void **state)
{
	(void)state;
	own_end_of_the_connection();
}

/* With two ports a front end could pass the end of each connection over the other one. */
static void h22_end_of_another_connection(void **state)
{
	char path[sizeof(rig.path) + 2];
	struct vio_vu_msg msg;
	int listening, other;

	(void)state;
	snprintf(path, sizeof(path), "%s-2", rig.path);
	listening = vio_sock_listen(path);
	assert_true(listening >= 0);
	other = vio_sock_connect(path);
	assert_true(other >= 0);
	vuf_connect(&rig);
	want_channel();
	msg = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, other);
	msg.hdr.size = 0;
	vuf_send(&rig, &msg);
	assert_false(vuf_connected(&rig));
	close(other);
	close(listening);
	unlink(path);
}

static int open_given_rig(void **state)
{
	(void)state;
	vuf_open(&rig, &(struct vuf_conf){ .listen = false });
	return 0;
}

/* And where the connection has no name of its own, a pair of sockets given to the program. */
static void h22_own_end_of_a_given_connection(void **state)
{
	struct vio_vu_msg msg, reply;
	int channel[2], other[2];

	(void)state;
	want_channel();
	/* Other pairs are welcome, also a second one. */
	assert_int_equal(vio_sock_pair(channel), 0);
	assert_int_equal(vio_sock_pair(other), 0);
	for (unsigned i = 0; i < 2; i++) {
		msg = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, i ? other[0] : channel[0]);
		msg.hdr.size = 0;
		msg.hdr.flags |= VIO_VU_NEED_REPLY;
		vuf_ask(&rig, &msg, &reply);
		assert_int_equal(reply.payload.u64, 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		close(channel[i]);
		close(other[i]);
	}
	vuf_pump(&rig);
	assert_true(vuf_connected(&rig));
	own_end_of_the_connection();
}

/* Nor does it when it comes over the channel for our own requests, with an answer nobody asked for, or
 * with the beginning of one. */
static void h22_own_end_over_the_channel(void **state)
{
	unsigned fds = count_fds();

	(void)state;
	for (unsigned bytes = 1; bytes <= 21; bytes += 10) {
		uint32_t answer[5] = { VIO_VU_BACKEND_CONFIG_CHANGE_MSG, VIO_VU_VERSION | 4, 8 };
		struct vio_vu_conn front;
		struct vio_vu_msg msg;
		int channel[2];

		vuf_connect(&rig);
		want_channel();
		assert_int_equal(vio_sock_pair(channel), 0);
		msg = vuf_fd(VIO_VU_SET_BACKEND_REQ_FD, 0, channel[1]);
		msg.hdr.size = 0;
		vuf_send(&rig, &msg);
		assert_true(vuf_connected(&rig));
		front = rig.front;
		rig.front.fd = channel[0];
		vuf_raw(&rig, answer, vio_min(bytes, 20u), &front.fd, 1);
		rig.front = front;
		vuf_pump(&rig);
		assert_true(vuf_connected(&rig));
		vuf_disconnect(&rig);
		assert_false(vuf_connected(&rig));
		close(channel[0]);
		close(channel[1]);
		assert_int_equal(count_fds(), fds);
	}
}

/* Without a descriptor to accept with, the server waits a while instead of spinning. */
static void h22_no_descriptor_left_to_accept_with(void **state)
{
	struct rlimit limit, low;
	int fd = vio_sock_connect(rig.path), probe;

	(void)state;
	assert_true(fd >= 0);
	probe = dup(fd);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)probe;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_true(vuf_wait(&rig, 0));
	assert_false(vuf_wait(&rig, 10));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_false(vuf_connected(&rig));
	while (!vuf_connected(&rig))
		assert_true(vuf_wait(&rig, 5000));
	close(fd);
	vuf_pump(&rig);
	assert_false(vuf_connected(&rig));
}

/* Whoever breaks queues again and again does not fill the log with it. */
static void h22_broken_queues_fill_no_log(void **state)
{
	unsigned warnings;

	(void)state;
	vuf_connect(&rig);
	vuf_start(&rig, 2);
	warnings = rig.warnings;
	for (unsigned i = 0; i < 200; i++) {
		/* An available index that jumps. */
		rig.avail[1] = 5000;
		vuf_guest_send(&rig, 1, 60);
		assert_true(vuf_serve(&rig, 0) < 0);
		vuf_get_base(&rig, 1);
		fresh_guest();
		vuf_start_ring(&rig, 1, 0);
	}
	assert_in_range(rig.warnings - warnings, 1, 40);
	assert_true(vuf_frame_passes(&rig, 1));
}

#define H(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		H(h22_one_byte_at_a_time),
		H(h22_cut_at_every_byte),
		H(h22_killed_between_messages),
		H(h22_a_thousand_rounds),
		H(h22_a_crowd_at_the_door),
		H(h22_no_descriptor_left_to_accept_with),
		H(h22_broken_queues_fill_no_log),
		H(h22_own_end_of_the_connection),
		H(h22_own_end_over_the_channel),
		H(h22_end_of_another_connection),
		cmocka_unit_test_setup_teardown(h22_own_end_of_a_given_connection, open_given_rig,
						close_rig),
	};

	vuf_guard_init();
	return cmocka_run_group_tests_name("front ends that come and go", tests, NULL, NULL);
}
