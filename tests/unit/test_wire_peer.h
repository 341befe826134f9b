/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of vhost-user connections share: a connection with a peer at its other end that
 * writes whatever bytes it likes, and the rule that each test leaves no descriptor behind.
 */
#ifndef TEST_WIRE_PEER_H
#define TEST_WIRE_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "wire/conn.h"
#include "wire/sock.h"

#define HDR ((uint32_t)sizeof(struct vio_vu_hdr))

/* The peer's plain write: all n bytes in one go, with descriptors. */
static inline void peer_write(int fd, const void *bytes, size_t n, const int *fds, size_t nfds)
{
	assert_int_equal(send_fds(fd, bytes, n, fds, nfds, 0), n);
}

static inline size_t to_bytes(uint8_t *bytes, const struct vio_vu_msg *msg)
{
	memcpy(bytes, &msg->hdr, HDR);
	memcpy(bytes + HDR, &msg->payload, msg->hdr.size);
	return HDR + msg->hdr.size;
}

static inline void peer_send(int fd, const struct vio_vu_msg *msg)
{
	uint8_t bytes[sizeof(struct vio_vu_msg)];
	size_t n = to_bytes(bytes, msg);

	peer_write(fd, bytes, n, msg->fds, msg->nfds);
}

static inline struct vio_vu_msg u64_request(uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 8);
	msg.payload.u64 = value;
	return msg;
}

static inline struct vio_vu_msg u64_reply(uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg;

	vio_vu_reply(&msg, request, 8);
	msg.payload.u64 = value;
	return msg;
}

/* Each test starts with a connection and its peer, and must end with the fds it began with. */
static struct {
	struct vio_vu_conn conn;
	int peer;
	int event; /* something to pass */
	unsigned fds_before;
} t;

static inline void fresh_conn(void)
{
	int fds[2];

	assert_int_equal(vio_sock_pair(fds), 0);
	assert_int_equal(vio_vu_conn_init(&t.conn, fds[0]), 0);
	t.peer = fds[1];
	/* The peer may write without a look at the buffer; it blocks if that is ever full. */
	assert_int_equal(fcntl(t.peer, F_SETFL, 0), 0);
}

static inline void end_conn(void)
{
	vio_vu_conn_close(&t.conn);
	vio_vu_conn_close(&t.conn);
	if (t.peer >= 0)
		close(t.peer);
	t.peer = -1;
}

static inline int setup(void **state)
{
	(void)state;
	t.fds_before = count_fds();
	t.event = eventfd(0, EFD_CLOEXEC);
	assert_true(t.event >= 0);
	fresh_conn();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	end_conn();
	close(t.event);
	assert_int_equal(count_fds(), t.fds_before);
	return 0;
}

static inline void assert_failed(int expected)
{
	struct vio_vu_msg msg = u64_request(VIO_VU_SET_FEATURES, 0);

	assert_int_equal(t.conn.error, expected);
	assert_true(t.conn.reason[0] != '\0');
	assert_int_equal(vio_vu_recv(&t.conn, &msg), expected);
	assert_int_equal(vio_vu_send(&t.conn, &msg), expected);
	assert_int_equal(vio_vu_flush(&t.conn), expected);
	assert_false(vio_vu_wants_write(&t.conn));
}

#endif
