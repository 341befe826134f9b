/* SPDX-License-Identifier: BSD-2-Clause */
/* vio_vu_call(): the answer, the acknowledgement, and no answer at all (H22). */
#include "test_wire_peer.h"

#include <pthread.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void test_call_takes_the_reply(void **state)
{
	struct vio_vu_msg request, reply, seen;

	(void)state;
	reply = u64_reply(VIO_VU_GET_FEATURES, 0xfeed);
	peer_send(t.peer, &reply);
	vio_vu_request(&request, VIO_VU_GET_FEATURES, 0);
	memset(&reply, 0, sizeof(reply));
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), 0);
	assert_int_equal(reply.payload.u64, 0xfeed);
	assert_int_equal(recv(t.peer, &seen.hdr, sizeof(seen), MSG_DONTWAIT), HDR);
	assert_int_equal(seen.hdr.request, VIO_VU_GET_FEATURES);
}

static void test_call_takes_acknowledgements(void **state)
{
	struct vio_vu_msg request = u64_request(VIO_VU_NET_SET_MTU, 1500);
	struct vio_vu_msg reply;
	struct vio_vu_hdr seen;
	uint8_t rest[8];

	(void)state;
	request.hdr.flags |= VIO_VU_NEED_REPLY;
	/* Not negotiated: nobody would answer, so nobody is asked. */
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), 0);
	assert_int_equal(recv(t.peer, &seen, HDR, 0), HDR);
	assert_int_equal(seen.flags, VIO_VU_VERSION);
	assert_int_equal(recv(t.peer, rest, 8, 0), 8);

	t.conn.protocol_features = vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK);
	reply = u64_reply(VIO_VU_NET_SET_MTU, 0);
	peer_send(t.peer, &reply);
	assert_int_equal(vio_vu_call(&t.conn, &request, NULL, 10000), 0);
	assert_int_equal(recv(t.peer, &seen, HDR, 0), HDR);
	assert_int_equal(seen.flags, VIO_VU_VERSION | VIO_VU_NEED_REPLY);

	reply = u64_reply(VIO_VU_NET_SET_MTU, 22);
	peer_send(t.peer, &reply);
	memset(&reply, 0, sizeof(reply));
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), -EREMOTEIO);
	assert_int_equal(reply.payload.u64, 22);
	assert_int_equal(t.conn.error, 0);
}

static void test_call_refuses_wrong_answers(void **state)
{
	struct vio_vu_msg request, answers[6], reply;
	size_t i;

	(void)state;
	vio_vu_request(&request, VIO_VU_GET_FEATURES, 0);
	for (i = 0; i < 6; i++)
		answers[i] = u64_reply(VIO_VU_GET_FEATURES, 0);
	answers[0].hdr.request = VIO_VU_GET_PROTOCOL_FEATURES;
	answers[1].hdr.flags = VIO_VU_VERSION;
	answers[2].hdr.flags = VIO_VU_REPLY;
	answers[3].hdr.size = 4;
	answers[4].hdr.size = 16;
	answers[5].nfds = 1;
	answers[5].fds[0] = t.event;
	for (i = 0; i < 6; i++) {
		end_conn();
		fresh_conn();
		peer_send(t.peer, &answers[i]);
		assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), -EPROTO);
		assert_failed(-EPROTO);
	}
	vio_vu_request(&request, 4000, 0);
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), -EINVAL);
}

static void test_call_gives_the_replys_descriptors(void **state)
{
	struct vio_vu_msg request, reply;
	int i;

	(void)state;
	vio_vu_request(&request, VIO_VU_GET_INFLIGHT_FD, 20);
	for (i = 0; i < 2; i++) {
		vio_vu_reply(&reply, VIO_VU_GET_INFLIGHT_FD, 20);
		reply.nfds = 1;
		reply.fds[0] = t.event;
		peer_send(t.peer, &reply);
	}
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), 0);
	assert_int_equal(reply.nfds, 1);
	vio_vu_msg_close_fds(&reply);
	assert_int_equal(vio_vu_call(&t.conn, &request, NULL, 10000), 0);
}

static void test_H22_call_ends_without_an_answer(void **state)
{
	struct vio_vu_msg request, reply;
	uint8_t half[4] = { 1, 0, 0, 0 };

	(void)state;
	vio_vu_request(&request, VIO_VU_GET_FEATURES, 0);
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 0), -ETIMEDOUT);
	assert_failed(-ETIMEDOUT);

	end_conn();
	fresh_conn();
	peer_write(t.peer, half, sizeof(half), &t.event, 1);
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 20), -ETIMEDOUT);
	assert_failed(-ETIMEDOUT);

	end_conn();
	fresh_conn();
	peer_write(t.peer, half, sizeof(half), &t.event, 1);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 10000), -ECONNRESET);
	assert_failed(-ECONNRESET);
}

/* A server that reads nothing until it is told to, then answers one byte at a time. */
static void *slow_server(void *arg)
{
	struct vio_vu_msg request = { .nfds = 0 };
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	struct vio_vu_msg reply;
	ssize_t n;
	size_t i;

	(void)arg;
	do {
		n = recv(t.peer, &request.hdr, HDR, MSG_WAITALL);
		if (n == (ssize_t)HDR && request.hdr.size > 0)
			n = recv(t.peer, &request.payload, request.hdr.size, MSG_WAITALL);
		if (n <= 0)
			return NULL;
	} while (request.hdr.request != VIO_VU_GET_FEATURES);
	reply = u64_reply(VIO_VU_GET_FEATURES, 0x1234);
	n = (ssize_t)to_bytes(bytes, &reply);
	for (i = 0; i < (size_t)n; i++)
		peer_write(t.peer, bytes + i, 1, NULL, 0);
	return NULL;
}

static void test_H22_call_over_a_full_socket_to_a_slow_peer(void **state)
{
	struct vio_vu_msg filler = u64_request(VIO_VU_SET_FEATURES, 0);
	struct vio_vu_msg request, reply;
	pthread_t thread;

	(void)state;
	while (t.conn.nqueued < VIO_VU_MAX_QUEUED / 2)
		assert_int_equal(vio_vu_send(&t.conn, &filler), 0);
	assert_int_equal(pthread_create(&thread, NULL, slow_server, NULL), 0);
	vio_vu_request(&request, VIO_VU_GET_FEATURES, 0);
	assert_int_equal(vio_vu_call(&t.conn, &request, &reply, 30000), 0);
	assert_int_equal(reply.payload.u64, 0x1234);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_call_takes_the_reply),
		TEST(test_call_takes_acknowledgements),
		TEST(test_call_refuses_wrong_answers),
		TEST(test_call_gives_the_replys_descriptors),
		TEST(test_H22_call_ends_without_an_answer),
		TEST(test_H22_call_over_a_full_socket_to_a_slow_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
