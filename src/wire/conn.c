/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user connections.
 *
 * A connection is read as a machine that may stop after every byte: the header is read exactly,
 * then exactly the payload that it announces, and what has come so far waits in conn->in. So a peer
 * that sends one byte a second costs nothing but its own time, and the caller's event loop goes on.
 *
 * Descriptors travel beside the bytes, and the kernel hands them over with the first byte of the
 * write that they were sent with. Because no read ever asks for more than the message it is in has
 * left, a descriptor can only belong to that message, whatever the peer sends before and after and
 * however it cuts its writes. The document wants them with the first byte of the header; with a
 * later byte they are taken all the same, because whether such a byte came in one read with the
 * first is a matter of timing, and timing must not decide what is refused.
 *
 * What the peer gives is owned by somebody at every moment: conn->in until the message is whole,
 * then the caller's message. Every failure goes through conn_fail(), which closes what conn->in
 * holds. Descriptors beyond VIO_VU_MAX_FDS have no room in the control buffer, so the kernel closes
 * them itself and says so (MSG_CTRUNC).
 *
 * One descriptor is never taken: the peer's own end of this connection, or of another one that this
 * process has accepted. As long as we hold that, the peer can leave without our ever being told.
 *
 * Sending never waits. What the socket does not take is copied, with duplicates of its descriptors,
 * to a queue that is bounded: a peer that asks and asks and never reads the answers is cut off.
 *
 * A failed connection stays failed: its stream has lost its place, so nothing after it can be
 * believed.
 */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HDR_SIZE ((uint32_t)sizeof(struct vio_vu_hdr))

/* A message on its way out, as bytes. */
struct vio_vu_out {
	struct vio_vu_out *next;
	uint32_t size;
	uint32_t sent;
	uint32_t nfds; /* owned if the message is queued, else borrowed from the sender */
	int fds[VIO_VU_MAX_FDS];
	uint8_t bytes[sizeof(struct vio_vu_hdr) + sizeof(union vio_vu_payload)];
};

/* Room for the control message that carries the descriptors, aligned as the kernel wants it. */
union fd_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * VIO_VU_MAX_FDS)];
};

static void out_free(struct vio_vu_out *out)
{
	uint32_t i;

	for (i = 0; i < out->nfds; i++)
		close(out->fds[i]);
	free(out);
}

static void queue_pop(struct vio_vu_conn *conn)
{
	struct vio_vu_out *out = conn->out;

	conn->out = out->next;
	if (!conn->out)
		conn->out_tail = NULL;
	conn->nqueued--;
	out_free(out);
}

static void queue_push(struct vio_vu_conn *conn, struct vio_vu_out *out)
{
	out->next = NULL;
	if (conn->out_tail)
		conn->out_tail->next = out;
	else
		conn->out = out;
	conn->out_tail = out;
	conn->nqueued++;
}

static void conn_release(struct vio_vu_conn *conn)
{
	vio_vu_msg_close_fds(&conn->in);
	conn->got = 0;
	while (conn->out)
		queue_pop(conn);
}

static int conn_fail(struct vio_vu_conn *conn, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The one way into the failed state; returns error. */
static int conn_fail(struct vio_vu_conn *conn, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(conn->reason, sizeof(conn->reason), format, ap);
	va_end(ap);
	conn->error = error;
	conn_release(conn);
	return error;
}

int vio_vu_conn_init(struct vio_vu_conn *conn, int fd)
{
	socklen_t len = sizeof(int);
	int domain, type;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return -EPROTOTYPE;

	memset(conn, 0, sizeof(*conn));
	conn->fd = fd;
	return 0;
}

void vio_vu_conn_close(struct vio_vu_conn *conn)
{
	conn_release(conn);
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	if (!conn->error)
		conn->error = -EPIPE;
}

struct sock_name {
	struct sockaddr_un addr;
	socklen_t len;
};

static bool same_name(const struct sock_name *a, const struct sock_name *b)
{
	return a->len == b->len && a->len <= sizeof(a->addr) &&
	       memcmp(&a->addr, &b->addr, a->len) == 0;
}

/* What @fd is connected to. False: to no Unix socket. */
static bool get_peer(int fd, struct sock_name *name)
{
	memset(name, 0, sizeof(*name));
	name->len = sizeof(name->addr);
	return getpeername(fd, (struct sockaddr *)&name->addr, &name->len) == 0 &&
	       name->addr.sun_family == AF_UNIX;
}

/* Whether what @fd is connected to was accepted by a listener of this process (unix(7), SO_PEERCRED):
 * not so a pair of sockets, which has no name. */
static bool is_accepted_here(int fd, const struct sock_name *peer)
{
	struct ucred listener = { .pid = 0 };
	socklen_t len = sizeof(listener);

	return peer->len > sizeof(sa_family_t) &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0 &&
	       listener.pid == getpid();
}

/*
 * Whether @fd is the other end of our own socket. All that the kernel tells is the name of what it is
 * connected to. Where connections are accepted ours has the listener's, and what else is connected to
 * that is nothing to be taken from a peer either. Where ours has no name the kernel gives it one that
 * nobody else has (unix(7), autobind).
 */
static bool is_own_peer(const struct vio_vu_conn *conn, int fd)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	struct sock_name ours = { .len = sizeof(ours.addr) }, theirs;

	if (!get_peer(fd, &theirs))
		return false;
	if (is_accepted_here(fd, &theirs))
		return true;
	if (getsockname(conn->fd, (struct sockaddr *)&ours.addr, &ours.len) < 0)
		return true;
	if (ours.len > sizeof(sa_family_t) || theirs.len > sizeof(sa_family_t))
		return same_name(&ours, &theirs);
	/* Should this fail, both stay nameless, and the same to us. */
	bind(conn->fd, (struct sockaddr *)&any, sizeof(any.sun_family));
	ours.len = sizeof(ours.addr);
	return getsockname(conn->fd, (struct sockaddr *)&ours.addr, &ours.len) < 0 ||
	       (get_peer(fd, &theirs) && same_name(&ours, &theirs));
}

/*
 * Take the descriptors out of a received control buffer. All that came are kept in conn->in even
 * if they are to be refused, so that conn_fail() closes them.
 */
static int take_fds(struct vio_vu_conn *conn, struct msghdr *mh)
{
	struct vio_vu_msg *in = &conn->in;
	bool excess = false, own = false;
	struct cmsghdr *cmsg;
	size_t i, n;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg; cmsg = CMSG_NXTHDR(mh, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			own |= is_own_peer(conn, fd);
			if (in->nfds < VIO_VU_MAX_FDS) {
				in->fds[in->nfds++] = fd;
			} else {
				close(fd);
				excess = true;
			}
		}
	}
	if (excess)
		return conn_fail(conn, -EPROTO, "more than %d file descriptors with one message",
				 VIO_VU_MAX_FDS);
	if (own)
		return conn_fail(conn, -EPROTO,
				 "a descriptor is the peer's end of a "
				 "connection to us, which could not be seen to close");
	/* Either the peer sent more than fit, or this process may open no more. */
	if (mh->msg_flags & MSG_CTRUNC)
		return conn_fail(conn, -EPROTO,
				 "file descriptors lost: more than %d, or none free here",
				 VIO_VU_MAX_FDS);
	return 0;
}

/* Read up to want bytes at p. Returns how many came (0: none yet) or -errno, connection failed. */
static int read_some(struct vio_vu_conn *conn, void *p, uint32_t want)
{
	struct iovec iov = { .iov_base = p, .iov_len = want };
	union fd_control control;
	struct msghdr mh;
	ssize_t n;
	int ret;

	do {
		memset(&mh, 0, sizeof(mh));
		mh.msg_iov = &iov;
		mh.msg_iovlen = 1;
		mh.msg_control = control.bytes;
		mh.msg_controllen = sizeof(control.bytes);
		n = recvmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0)
		return conn_fail(conn, -errno, "receiving: %s", strerror(errno));
	if (n == 0 && conn->got == 0)
		return conn_fail(conn, -EPIPE, "the peer closed the connection");
	if (n == 0)
		return conn_fail(conn, -ECONNRESET, "the peer left after %u bytes of a message",
				 conn->got);
	ret = take_fds(conn, &mh);
	return ret ? ret : (int)n;
}

static int accept_header(struct vio_vu_conn *conn)
{
	const struct vio_vu_hdr *hdr = &conn->in.hdr;

	if ((hdr->flags & VIO_VU_VERSION_MASK) != VIO_VU_VERSION)
		return conn_fail(conn, -EPROTO, "message %u has version %u, expected %u",
				 hdr->request, hdr->flags & VIO_VU_VERSION_MASK, VIO_VU_VERSION);
	if (hdr->flags & ~VIO_VU_FLAGS_MASK)
		return conn_fail(conn, -EPROTO, "message %u has unknown flags 0x%x", hdr->request,
				 hdr->flags);
	if (hdr->size > VIO_VU_PAYLOAD_MAX)
		return conn_fail(conn, -EPROTO,
				 "message %u announces %u bytes of payload, expected at most %u",
				 hdr->request, hdr->size, VIO_VU_PAYLOAD_MAX);
	return 0;
}

/* Hand the message over, and leave a zeroed one for the next. */
static void deliver(struct vio_vu_conn *conn, struct vio_vu_msg *msg)
{
	*msg = conn->in;
	memset(&conn->in, 0, sizeof(conn->in));
	conn->got = 0;
}

int vio_vu_recv(struct vio_vu_conn *conn, struct vio_vu_msg *msg)
{
	struct vio_vu_msg *in = &conn->in;
	int n;

	if (conn->error)
		return conn->error;

	while (conn->got < HDR_SIZE) {
		n = read_some(conn, (uint8_t *)&in->hdr + conn->got, HDR_SIZE - conn->got);
		if (n <= 0)
			return n;
		conn->got += (uint32_t)n;
		if (conn->got == HDR_SIZE && (n = accept_header(conn)) != 0)
			return n;
	}
	while (conn->got < HDR_SIZE + in->hdr.size) {
		n = read_some(conn, (uint8_t *)&in->payload + (conn->got - HDR_SIZE),
			      HDR_SIZE + in->hdr.size - conn->got);
		if (n <= 0)
			return n;
		conn->got += (uint32_t)n;
	}
	deliver(conn, msg);
	return 1;
}

bool vio_vu_in_message(const struct vio_vu_conn *conn)
{
	return conn->got > 0;
}

static void attach_fds(struct msghdr *mh, union fd_control *control, const struct vio_vu_out *out)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	mh->msg_control = control->bytes;
	mh->msg_controllen = CMSG_SPACE(sizeof(int) * out->nfds);
	cmsg = CMSG_FIRSTHDR(mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * out->nfds);
	memcpy(CMSG_DATA(cmsg), out->fds, sizeof(int) * out->nfds);
}

/* Write what is left of a message. Returns 1 if all of it is gone, 0 if not yet, or -errno. */
static int write_out(int fd, struct vio_vu_out *out)
{
	union fd_control control;
	struct msghdr mh;
	struct iovec iov;
	ssize_t n;

	while (out->sent < out->size) {
		memset(&mh, 0, sizeof(mh));
		iov.iov_base = out->bytes + out->sent;
		iov.iov_len = out->size - out->sent;
		mh.msg_iov = &iov;
		mh.msg_iovlen = 1;
		/* Descriptors go with the first byte and never again. */
		if (out->sent == 0 && out->nfds > 0)
			attach_fds(&mh, &control, out);
		n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		out->sent += (uint32_t)n;
	}
	return 1;
}

/* Copy the rest of a message to the queue, descriptors too if they have not gone yet. */
static int enqueue(struct vio_vu_conn *conn, const struct vio_vu_out *rest)
{
	struct vio_vu_out *out;
	uint32_t i;
	int fd;

	if (conn->nqueued >= VIO_VU_MAX_QUEUED)
		return conn_fail(conn, -ENOBUFS, "%u messages wait and the peer does not read",
				 conn->nqueued);
	out = malloc(sizeof(*out));
	if (!out)
		return conn_fail(conn, -ENOMEM, "no memory for a message that must wait");
	memcpy(out, rest, sizeof(*out));
	out->nfds = 0;
	for (i = 0; rest->sent == 0 && i < rest->nfds; i++) {
		fd = fcntl(rest->fds[i], F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			goto free_out;
		out->fds[out->nfds++] = fd;
	}
	queue_push(conn, out);
	return 0;

free_out:
	fd = -errno;
	out_free(out);
	if (fd == -EBADF)
		return fd;
	return conn_fail(conn, fd, "duplicating a file descriptor: %s", strerror(-fd));
}

int vio_vu_send(struct vio_vu_conn *conn, const struct vio_vu_msg *msg)
{
	struct vio_vu_out out = { .nfds = msg->nfds };
	int ret;

	if (conn->error)
		return conn->error;
	if (msg->hdr.size > VIO_VU_PAYLOAD_MAX || msg->nfds > VIO_VU_MAX_FDS)
		return -EINVAL;

	out.size = HDR_SIZE + msg->hdr.size;
	memcpy(out.bytes, &msg->hdr, HDR_SIZE);
	memcpy(out.bytes + HDR_SIZE, &msg->payload, msg->hdr.size);
	memcpy(out.fds, msg->fds, sizeof(int) * msg->nfds);

	ret = vio_vu_flush(conn);
	if (ret == 0) {
		ret = write_out(conn->fd, &out);
		if (ret == 1)
			return 0;
		/* Nothing has left and the fault is the caller's: the stream is still sound. */
		if (ret == -EBADF && out.sent == 0)
			return ret;
		if (ret < 0)
			return conn_fail(conn, ret, "sending: %s", strerror(-ret));
	}
	return ret < 0 ? ret : enqueue(conn, &out);
}

int vio_vu_flush(struct vio_vu_conn *conn)
{
	int ret;

	if (conn->error)
		return conn->error;
	while (conn->out) {
		ret = write_out(conn->fd, conn->out);
		if (ret < 0)
			return conn_fail(conn, ret, "sending: %s", strerror(-ret));
		if (ret == 0)
			break;
		queue_pop(conn);
	}
	return (int)conn->nqueued;
}

bool vio_vu_wants_write(const struct vio_vu_conn *conn)
{
	return conn->nqueued > 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait until the socket can go on, but not past the deadline. */
static int wait_ready(struct vio_vu_conn *conn, bool reading, int64_t deadline)
{
	struct pollfd pfd = { .fd = conn->fd };
	int64_t left = deadline - now_ms();

	pfd.events = (short)((reading ? POLLIN : 0) | (conn->nqueued > 0 ? POLLOUT : 0));
	if (left < 0)
		left = 0;
	if (left > 60 * 1000)
		left = 60 * 1000; /* the caller's loop comes back */
	if (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)
		return conn_fail(conn, -errno, "waiting: %s", strerror(errno));
	return 0;
}

/* A reply has come: is it the one that msg asked for, and what does it say? */
static int judge_reply(struct vio_vu_conn *conn, const struct vio_vu_msg *msg,
		       const struct vio_vu_msg *reply, bool ack)
{
	char why[VIO_VU_REASON_SIZE];
	int ret;

	if (reply->hdr.request != msg->hdr.request)
		return conn_fail(conn, -EPROTO, "the answer to %s is one to message %u",
				 vio_vu_msg_name(VIO_VU_FRONT_REQUEST, msg->hdr.request),
				 reply->hdr.request);
	ret = vio_vu_check(reply, VIO_VU_FRONT_REPLY, conn->protocol_features, why, sizeof(why));
	if (ret)
		return conn_fail(conn, ret, "%.*s", (int)sizeof(conn->reason) - 1, why);
	return ack && reply->payload.u64 != 0 ? -EREMOTEIO : 0;
}

/* Send what is queued and, if told to, receive one message, all before the deadline. */
static int exchange(struct vio_vu_conn *conn, struct vio_vu_msg *reply, bool reading,
		    int64_t deadline)
{
	int ret;

	for (;;) {
		ret = vio_vu_flush(conn);
		if (ret < 0)
			return ret;
		if (ret == 0 && !reading)
			return 0;
		if (reading) {
			ret = vio_vu_recv(conn, reply);
			if (ret)
				return ret < 0 ? ret : 0;
		}
		if (now_ms() >= deadline)
			return conn_fail(conn, -ETIMEDOUT, "no answer in time");
		ret = wait_ready(conn, reading, deadline);
		if (ret)
			return ret;
	}
}

int vio_vu_call(struct vio_vu_conn *conn, const struct vio_vu_msg *msg, struct vio_vu_msg *reply,
		unsigned int timeout_ms)
{
	const struct vio_vu_rule *rule = vio_vu_rule(VIO_VU_FRONT_REQUEST, msg->hdr.request);
	int64_t deadline = now_ms() + timeout_ms;
	struct vio_vu_msg request = *msg;
	struct vio_vu_msg answer;
	bool ack, reading;
	int ret;

	if (!rule)
		return -EINVAL;
	ack = vio_vu_wants_ack(msg, VIO_VU_FRONT_REQUEST, conn->protocol_features);
	reading = ack || rule->reply != VIO_VU_BODY_NONE;
	if (!ack)
		request.hdr.flags &= ~VIO_VU_NEED_REPLY;

	ret = vio_vu_send(conn, &request);
	if (ret)
		return ret;
	ret = exchange(conn, &answer, reading, deadline);
	if (ret || !reading)
		return ret;

	ret = judge_reply(conn, msg, &answer, ack);
	if (reply && (ret == 0 || ret == -EREMOTEIO))
		*reply = answer;
	else
		vio_vu_msg_close_fds(&answer);
	return ret;
}
