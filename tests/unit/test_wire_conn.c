/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user connections against slow, dead and hostile peers (H17, H21, H22). */
#include "test_wire_peer.h"

#include <sys/resource.h>
#include <sys/stat.h>

/*
 * The kernel takes small messages whole, so the code under test calls this sendmsg(): at most
 * send_limit bytes a call, and before each success first EINTR, then EAGAIN, if told to.
 */
static size_t send_limit = SIZE_MAX;
static bool send_disturb;
static unsigned int send_calls;

ssize_t sendmsg(int fd, const struct msghdr *mh, int flags)
{
	struct iovec iov = mh->msg_iov[0];
	struct msghdr cut = *mh;

	send_calls++;
	if (send_disturb && send_calls % 3 != 0) {
		errno = send_calls % 3 == 1 ? EINTR : EAGAIN;
		return -1;
	}
	if (iov.iov_len > send_limit)
		iov.iov_len = send_limit;
	cut.msg_iov = &iov;
	return syscall(SYS_sendmsg, fd, &cut, flags);
}

static int reset_sending(void **state)
{
	send_limit = SIZE_MAX;
	send_disturb = false;
	send_calls = 0;
	return setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset_sending, teardown)

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* Of all descriptors that this process may open, leave one. Returns the limit to go back to. */
static struct rlimit allow_one_more_fd(void)
{
	int lowest_free = dup(t.event);
	struct rlimit old, tight;

	assert_true(lowest_free >= 0);
	close(lowest_free);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)lowest_free + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	return old;
}

static void test_a_message_arrives_with_its_descriptors(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 3);
	struct vio_vu_msg got;

	(void)state;
	msg.nfds = 1;
	msg.fds[0] = t.event;
	assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
	peer_send(t.peer, &msg);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_memory_equal(&got.hdr, &msg.hdr, HDR);
	assert_int_equal(got.payload.u64, 3);
	assert_int_equal(got.nfds, 1);
	assert_true(got.fds[0] != t.event);
	assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
	vio_vu_msg_close_fds(&got);
	assert_int_equal(got.nfds, 0);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
}

static void test_payload_past_the_size_is_zero(void **state)
{
	struct vio_vu_msg msg, got;
	size_t i;

	(void)state;
	vio_vu_request(&msg, VIO_VU_SET_CONFIG, VIO_VU_PAYLOAD_MAX);
	memset(&msg.payload, 0xaa, sizeof(msg.payload));
	peer_send(t.peer, &msg);
	msg.hdr.size = 4;
	peer_send(t.peer, &msg);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_memory_equal(&got.payload, &msg.payload, sizeof(got.payload));
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	for (i = 0; i < sizeof(got.payload); i++)
		assert_int_equal(((uint8_t *)&got.payload)[i], i < 4 ? 0xaa : 0);
}

static void test_H22_one_byte_at_a_time(void **state)
{
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	struct vio_vu_msg msg, got;
	size_t i, n;

	(void)state;
	vio_vu_request(&msg, VIO_VU_SET_MEM_TABLE, 8 + 32);
	msg.payload.mem_table.nregions = 1;
	msg.payload.mem_table.regions[0].size = 0x123456789;
	n = to_bytes(bytes, &msg);
	for (i = 0; i < n; i++) {
		assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
		assert_int_equal(vio_vu_in_message(&t.conn), i > 0);
		peer_write(t.peer, bytes + i, 1, &t.event, i == 0);
	}
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_false(vio_vu_in_message(&t.conn));
	assert_memory_equal(&got.payload, &msg.payload, msg.hdr.size);
	assert_int_equal(got.nfds, 1);
	vio_vu_msg_close_fds(&got);
}

static void test_H21_cut_at_each_byte(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_CALL, 0);
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, &msg);
	struct vio_vu_msg got;
	size_t cut;

	(void)state;
	for (cut = 0; cut <= n; cut++) {
		end_conn();
		fresh_conn();
		if (cut > 0)
			peer_write(t.peer, bytes, cut, &t.event, 1);
		if (cut < n)
			assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
		close(t.peer);
		t.peer = -1;
		if (cut == n) {
			assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
			vio_vu_msg_close_fds(&got);
		}
		assert_int_equal(vio_vu_recv(&t.conn, &got),
				 cut == 0 || cut == n ? -EPIPE : -ECONNRESET);
		assert_failed(cut == 0 || cut == n ? -EPIPE : -ECONNRESET);
	}
}

static void test_descriptors_stay_with_their_message(void **state)
{
	struct vio_vu_msg plain = u64_request(VIO_VU_SET_FEATURES, 1);
	struct vio_vu_msg kick = u64_request(VIO_VU_SET_VRING_KICK, 0);
	uint8_t bytes[2 * sizeof(struct vio_vu_msg)];
	struct vio_vu_msg got;
	size_t i, n;

	(void)state;
	kick.nfds = 1;
	kick.fds[0] = t.event;
	for (i = 0; i < 10; i++)
		peer_send(t.peer, i % 2 ? &kick : &plain);
	for (i = 0; i < 10; i++) {
		assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
		assert_int_equal(got.nfds, i % 2);
		vio_vu_msg_close_fds(&got);
	}
	/* Both in one write: the descriptor came with the first byte, so with the first message. */
	n = to_bytes(bytes, &plain);
	n += to_bytes(bytes + n, &kick);
	peer_write(t.peer, bytes, n, &t.event, 1);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_int_equal(got.nfds, 1);
	assert_int_equal(vio_vu_check(&got, VIO_VU_FRONT_REQUEST, 0, NULL, 0), -EPROTO);
	vio_vu_msg_close_fds(&got);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_int_equal(got.nfds, 0);
}

static void test_descriptors_with_any_byte_of_the_message(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, &msg);
	struct vio_vu_msg got;
	size_t at, i;
	int at_once;

	(void)state;
	for (at_once = 0; at_once < 2; at_once++) {
		for (at = 0; at < n; at++) {
			for (i = 0; i < n; i++) {
				if (!at_once)
					assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
				peer_write(t.peer, bytes + i, 1, &t.event, i == at);
			}
			peer_send(t.peer, &msg);
			assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
			assert_int_equal(got.nfds, 1);
			vio_vu_msg_close_fds(&got);
			assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
			assert_int_equal(got.nfds, 0);
		}
	}
}

static void test_H17_too_many_descriptors(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, &msg);
	struct vio_vu_msg got;
	int fds[32];
	size_t i;

	(void)state;
	for (i = 0; i < 32; i++)
		fds[i] = t.event;
	for (i = 1; i <= 32; i++) {
		end_conn();
		fresh_conn();
		peer_write(t.peer, bytes, n, fds, i);
		assert_int_equal(vio_vu_recv(&t.conn, &got), i <= VIO_VU_MAX_FDS ? 1 : -EPROTO);
		if (i <= VIO_VU_MAX_FDS) {
			assert_int_equal(got.nfds, i);
			vio_vu_msg_close_fds(&got);
		} else {
			assert_failed(-EPROTO);
		}
	}
	/* A few with each byte add up. */
	end_conn();
	fresh_conn();
	for (i = 0; i < 5; i++)
		peer_write(t.peer, bytes + i, 1, fds, 2);
	assert_int_equal(vio_vu_recv(&t.conn, &got), -EPROTO);
	assert_failed(-EPROTO);
}

static void test_H17_descriptors_that_this_process_cannot_hold(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, &msg);
	int fds[4] = { t.event, t.event, t.event, t.event };
	struct vio_vu_msg got;
	struct rlimit old;
	int ret;

	(void)state;
	peer_write(t.peer, bytes, n, fds, 4);
	old = allow_one_more_fd();
	ret = vio_vu_recv(&t.conn, &got);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(ret, -EPROTO);
	assert_failed(-EPROTO);
}

static void test_H17_bad_headers(void **state)
{
	static const struct vio_vu_hdr bad[] = {
		{ 2, 0x0, 8 },
		{ 2, 0x2, 8 },
		{ 2, 0x3, 8 },
		{ 2, 0x11, 8 },
		{ 2, 0x80000001, 8 },
		{ 2, 0x1, VIO_VU_PAYLOAD_MAX + 1 },
		{ 2, 0x1, 0x7fffffff },
		{ 2, 0x1, 0x80000000 },
		{ 2, 0x1, UINT32_MAX },
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX },
		{ 2, 0x1, UINT32_MAX - 11 },
		{ 0, 0, 0 },
	};
	struct vio_vu_msg got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		end_conn();
		fresh_conn();
		peer_write(t.peer, &bad[i], sizeof(bad[i]), &t.event, 1);
		assert_int_equal(vio_vu_recv(&t.conn, &got), -EPROTO);
		assert_failed(-EPROTO);
	}
}

/* With every size, the stream goes on at the right byte; what the size means is for the check. */
static void test_H17_every_size_keeps_the_stream_in_step(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_FEATURES, 0);
	struct vio_vu_msg got;
	uint32_t size;

	(void)state;
	msg.hdr.size = 0;
	peer_send(t.peer, &msg);
	for (size = 0; size <= VIO_VU_PAYLOAD_MAX; size++) {
		msg.hdr.size = size < VIO_VU_PAYLOAD_MAX ? size + 1 : 0;
		peer_send(t.peer, &msg); /* so that one more always lies behind the one read */
		assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
		assert_int_equal(got.hdr.size, size);
		assert_int_equal(vio_vu_check(&got, VIO_VU_FRONT_REQUEST, 0, NULL, 0),
				 size == 8 ? 0 : -EPROTO);
	}
	assert_int_equal(vio_vu_recv(&t.conn, &got), 1);
	assert_int_equal(vio_vu_recv(&t.conn, &got), 0);
}

static void test_H22_peer_that_never_reads_is_cut_off(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	unsigned int sent, queued = 0;
	int ret = 0;

	(void)state;
	msg.nfds = 1;
	msg.fds[0] = t.event;
	for (sent = 0; ret == 0 && sent < 100000; sent++) {
		ret = vio_vu_send(&t.conn, &msg);
		if (vio_vu_wants_write(&t.conn)) {
			queued++;
			assert_true(ret == 0 && vio_vu_flush(&t.conn) == (int)queued);
		}
	}
	assert_int_equal(ret, -ENOBUFS);
	assert_int_equal(queued, VIO_VU_MAX_QUEUED);
	assert_failed(-ENOBUFS);
}

static void test_full_socket_queues_and_loses_nothing(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	struct vio_vu_conn other;
	struct vio_vu_msg got;
	uint64_t sent = 0, seen = 0;
	int ret;

	(void)state;
	assert_int_equal(vio_vu_conn_init(&other, t.peer), 0);
	t.peer = -1;
	while (t.conn.nqueued < VIO_VU_MAX_QUEUED) {
		int fd = dup(t.event);

		msg.payload.u64 = sent;
		msg.nfds = sent % 2;
		msg.fds[0] = fd;
		assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
		close(fd); /* what is queued has its own */
		sent++;
	}
	while (seen < sent) {
		ret = vio_vu_recv(&other, &got);
		assert_true(ret >= 0);
		if (ret == 0) {
			assert_true(vio_vu_flush(&t.conn) >= 0);
			continue;
		}
		assert_int_equal(got.payload.u64, seen);
		assert_int_equal(got.nfds, seen % 2);
		if (got.nfds > 0)
			assert_true(same_file(got.fds[0], t.event));
		vio_vu_msg_close_fds(&got);
		seen++;
	}
	assert_int_equal(vio_vu_flush(&t.conn), 0);
	assert_false(vio_vu_wants_write(&t.conn));
	vio_vu_conn_close(&other);
}

static void test_writes_in_pieces_carry_descriptors_once(void **state)
{
	struct vio_vu_msg msg, got;
	struct vio_vu_conn other;
	int i, ret, tries;

	(void)state;
	assert_int_equal(vio_vu_conn_init(&other, t.peer), 0);
	t.peer = -1;
	send_limit = 5;
	send_disturb = true;
	for (i = 0; i < 3; i++) {
		vio_vu_request(&msg, VIO_VU_SET_CONFIG, 40);
		memset(&msg.payload, 0x11 * (i + 1), 40);
		msg.nfds = 3;
		msg.fds[0] = msg.fds[1] = msg.fds[2] = t.event;
		assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
	}
	assert_true(vio_vu_wants_write(&t.conn));
	for (i = 0; i < 3; i++) {
		for (tries = 0; (ret = vio_vu_recv(&other, &got)) == 0; tries++) {
			assert_true(tries < 100);
			assert_true(vio_vu_flush(&t.conn) >= 0);
		}
		assert_int_equal(ret, 1);
		assert_int_equal(got.hdr.size, 40);
		assert_int_equal(got.payload.u64, UINT64_C(0x1111111111111111) * (unsigned)(i + 1));
		assert_int_equal(got.nfds, 3);
		vio_vu_msg_close_fds(&got);
	}
	assert_int_equal(vio_vu_recv(&other, &got), 0);
	vio_vu_conn_close(&other);
}

static void test_cut_in_a_half_sent_message_frees_all(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);

	(void)state;
	msg.nfds = 1;
	msg.fds[0] = t.event;
	send_limit = 5;
	send_disturb = true;
	assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
	assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
	assert_true(vio_vu_wants_write(&t.conn));
	close(t.peer);
	t.peer = -1;
	send_disturb = false;
	assert_int_equal(vio_vu_flush(&t.conn), -EPIPE);
	assert_failed(-EPIPE);
}

static void test_no_descriptor_left_to_queue_with(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	struct rlimit old;
	int ret;

	(void)state;
	while (!vio_vu_wants_write(&t.conn))
		assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
	msg.nfds = 3;
	msg.fds[0] = msg.fds[1] = msg.fds[2] = t.event;
	old = allow_one_more_fd();
	ret = vio_vu_send(&t.conn, &msg);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(ret, -EMFILE);
	assert_failed(-EMFILE);
}

static void test_sending_to_nobody(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_FEATURES, 0);

	(void)state;
	close(t.peer);
	t.peer = -1;
	assert_int_equal(vio_vu_send(&t.conn, &msg), -EPIPE); /* and no SIGPIPE */
	assert_failed(-EPIPE);
}

static void test_the_callers_faults_leave_the_connection_open(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	struct vio_vu_msg good = msg;
	int pipes[2], unix_dgram;
	struct vio_vu_conn conn;

	(void)state;
	msg.nfds = 1;
	msg.fds[0] = -1;
	assert_int_equal(vio_vu_send(&t.conn, &msg), -EBADF);
	msg.nfds = VIO_VU_MAX_FDS + 1;
	assert_int_equal(vio_vu_send(&t.conn, &msg), -EINVAL);
	msg.nfds = 0;
	msg.hdr.size = VIO_VU_PAYLOAD_MAX + 1;
	assert_int_equal(vio_vu_send(&t.conn, &msg), -EINVAL);
	while (!vio_vu_wants_write(&t.conn))
		assert_int_equal(vio_vu_send(&t.conn, &good), 0);
	msg = good;
	msg.nfds = 2;
	msg.fds[0] = t.event;
	msg.fds[1] = -1;
	assert_int_equal(vio_vu_send(&t.conn, &msg), -EBADF);
	assert_int_equal(t.conn.error, 0);
	assert_int_equal(t.conn.nqueued, 1);

	assert_int_equal(pipe(pipes), 0);
	unix_dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(vio_vu_conn_init(&conn, -1), -EBADF);
	assert_int_equal(vio_vu_conn_init(&conn, pipes[0]), -ENOTSOCK);
	assert_int_equal(vio_vu_conn_init(&conn, unix_dgram), -EPROTOTYPE);
	close(pipes[0]);
	close(pipes[1]);
	close(unix_dgram);
}

static void test_H22_thousand_rounds_leave_nothing(void **state)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_VRING_KICK, 0);
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, &msg);
	struct vio_vu_msg got;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		end_conn();
		fresh_conn();
		peer_write(t.peer, bytes, i % 2 ? n : 1 + i % (n - 1), &t.event, 1);
		if (vio_vu_recv(&t.conn, &got) == 1)
			vio_vu_msg_close_fds(&got);
		msg.nfds = 1;
		msg.fds[0] = t.event;
		assert_int_equal(vio_vu_send(&t.conn, &msg), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_message_arrives_with_its_descriptors),
		TEST(test_payload_past_the_size_is_zero),
		TEST(test_H22_one_byte_at_a_time),
		TEST(test_H21_cut_at_each_byte),
		TEST(test_descriptors_stay_with_their_message),
		TEST(test_descriptors_with_any_byte_of_the_message),
		TEST(test_H17_too_many_descriptors),
		TEST(test_H17_descriptors_that_this_process_cannot_hold),
		TEST(test_H17_bad_headers),
		TEST(test_H17_every_size_keeps_the_stream_in_step),
		TEST(test_H22_peer_that_never_reads_is_cut_off),
		TEST(test_full_socket_queues_and_loses_nothing),
		TEST(test_writes_in_pieces_carry_descriptors_once),
		TEST(test_cut_in_a_half_sent_message_frees_all),
		TEST(test_no_descriptor_left_to_queue_with),
		TEST(test_sending_to_nobody),
		TEST(test_the_callers_faults_leave_the_connection_open),
		TEST(test_H22_thousand_rounds_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
