/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user messages: the table that judges them, and the connection that puts them together.
 *
 * First the input is one message as if it had been received, and is judged in each direction; what
 * passes must keep what its user relies on. Then the input is what a peer writes into a socket, in
 * portions of any size, with descriptors beside them or without. The connection must give whole
 * messages, or fail for good; and however it ends, no descriptor may be left open.
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/fds.h"
#include "wire/conn.h"
#include "wire/sock.h"

#define PORTION_MAX 512
#define FDS_MAX	    12

/* What a handler takes for granted of a request that passed. */
static void check_passed(const struct vio_vu_msg *m, enum vio_vu_direction dir)
{
	const struct vio_vu_rule *rule = vio_vu_rule(dir, m->hdr.request);
	enum vio_vu_body body;

	check(rule != NULL);
	check(m->hdr.size <= VIO_VU_PAYLOAD_MAX && m->nfds <= VIO_VU_MAX_FDS);
	body = dir == VIO_VU_FRONT_REQUEST || dir == VIO_VU_BACK_REQUEST ? rule->body : rule->reply;
	if (body == VIO_VU_BODY_MEM_TABLE) {
		check(m->payload.mem_table.nregions <= VIO_VU_MAX_REGIONS);
		check(m->nfds == m->payload.mem_table.nregions);
	}
	if (body == VIO_VU_BODY_CONFIG) {
		check(m->payload.config.size <= VIO_VU_MAX_CONFIG_SIZE);
		check(m->hdr.size == VIO_VU_CONFIG_HDR_SIZE + m->payload.config.size);
	}
	if (body == VIO_VU_BODY_VRING && rule->fd_rule == VIO_VU_FDS_BY_NOFD)
		check(m->nfds == !(m->payload.u64 & VIO_VU_VRING_NOFD));
}

static void try_check(struct fuzz_input in)
{
	uint64_t features = fuzz_uint(&in, 4);
	size_t room = 1 + fuzz_u8(&in) % VIO_VU_REASON_SIZE;
	char *reason = malloc(room);
	struct vio_vu_msg m = { .nfds = 0 };
	uint8_t how = fuzz_u8(&in);

	m.hdr.request = how & 1 ? (uint32_t)fuzz_uint(&in, 4) : fuzz_u8(&in) % 48;
	m.hdr.flags = how & 2 ? (uint32_t)fuzz_uint(&in, 4) : VIO_VU_VERSION | (how & 12);
	m.hdr.size = how & 16 ? (uint32_t)fuzz_uint(&in, 4) : fuzz_u16(&in) % 300;
	m.nfds = how >> 5;
	for (unsigned i = 0; i < VIO_VU_MAX_FDS; i++)
		m.fds[i] = -1;
	fuzz_copy(&in, &m.payload, sizeof(m.payload));
	for (unsigned dir = VIO_VU_FRONT_REQUEST; dir <= VIO_VU_BACK_REPLY; dir++) {
		int ret = vio_vu_check(&m, dir, features, reason, room);

		check(ret == 0 || ret == -EPROTO);
		if (ret == 0)
			check_passed(&m, dir);
		else
			check(memchr(reason, '\0', room) != NULL);
		check(vio_vu_msg_name(dir, m.hdr.request) != NULL);
		vio_vu_wants_ack(&m, dir, features);
	}
	free(reason);
}

/* One write of @n bytes with @nfds copies of @fd. */
static void portion(int sock, const void *bytes, size_t n, int fd, unsigned nfds)
{
	int fds[FDS_MAX];

	for (unsigned i = 0; i < nfds; i++)
		fds[i] = fd;
	send_fds(sock, bytes, n, fds, nfds, MSG_DONTWAIT);
}

/* A header that is likely to pass, then what is left of the portion as payload. */
static size_t sound_header(struct fuzz_input *in, uint8_t *to)
{
	struct vio_vu_hdr hdr = {
		.request = fuzz_u8(in) % 48,
		.flags = VIO_VU_VERSION | (fuzz_u8(in) & (VIO_VU_REPLY | VIO_VU_NEED_REPLY)),
		.size = fuzz_u8(in),
	};

	memcpy(to, &hdr, sizeof(hdr));
	return sizeof(hdr);
}

static void answer(struct vio_vu_conn *conn, const struct vio_vu_msg *m)
{
	struct vio_vu_msg reply;

	vio_vu_reply(&reply, m->hdr.request, 8);
	reply.payload.u64 = m->hdr.size;
	vio_vu_send(conn, &reply);
}

/* Takes all that there is. False: the connection has failed, and stays so. */
static bool receive(struct vio_vu_conn *conn)
{
	struct vio_vu_msg m;
	int ret;

	while ((ret = vio_vu_recv(conn, &m)) == 1) {
		check(m.hdr.size <= VIO_VU_PAYLOAD_MAX && m.nfds <= VIO_VU_MAX_FDS);
		check((m.hdr.flags & VIO_VU_VERSION_MASK) == VIO_VU_VERSION);
		if (vio_vu_check(&m, VIO_VU_FRONT_REQUEST, UINT64_MAX, NULL, 0) == 0)
			check_passed(&m, VIO_VU_FRONT_REQUEST);
		answer(conn, &m);
		vio_vu_msg_close_fds(&m);
	}
	if (ret == 0)
		return true;
	check(conn->error == ret && conn->reason[0] != '\0');
	check(vio_vu_recv(conn, &m) == ret && vio_vu_flush(conn) == ret);
	return false;
}

static void try_conn(struct fuzz_input in, int fd)
{
	struct vio_vu_conn conn;
	uint8_t bytes[PORTION_MAX];
	bool open = true;
	int ends[2];

	check(vio_sock_pair(ends) == 0);
	check(vio_vu_conn_init(&conn, ends[0]) == 0);
	while (in.left > 0 && open) {
		uint8_t how = fuzz_u8(&in);
		size_t n = how & 128 ? sound_header(&in, bytes) : 0;

		n += fuzz_copy(&in, bytes + n, fuzz_u8(&in) % 128);
		if (n > 0)
			portion(ends[1], bytes, n, fd, how % FDS_MAX);
		if (how & 64)
			open = receive(&conn);
	}
	if (open)
		open = receive(&conn);
	close(ends[1]);
	if (open)
		check(!receive(&conn));
	vio_vu_conn_close(&conn);
	vio_vu_conn_close(&conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct fuzz_input in = { data, size };
	unsigned open_fds;

	if (fd < 0) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		check(fd >= 0);
	}
	open_fds = fuzz_open_fds();
	try_check(in);
	try_conn(in, fd);
	check(fuzz_open_fds() == open_fds);
	return 0;
}
