/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user server: a device served over a Unix socket.
 *
 * The other end, the front end (QEMU, DPDK, our own driver), owns the guest's memory and tells us in
 * messages where it is, where the rings lie in it and which eventfds stand for kicks and interrupts.
 * It is as little to be trusted as the guest behind it. This server turns its messages into the life
 * cycle of a struct vio_device:
 *
 *	vhost_user.c       sockets, connections, timers: this file
 *	vhost_user_msg.c   one handler for each message, in a table
 *	vhost_user_ring.c  rings: from descriptions in pieces to queues that run
 *	vhost_user_mem.c   memory: tables of mapped regions
 *
 * Threads. Everything here runs on the control thread, which calls vio_vhost_user_handle() when our
 * one epoll descriptor is readable. Pairs are served by other threads at the same time. What they use
 * of ours (the queues, their memory, the call descriptors) is changed inside the runner's
 * exclusive() only, so nothing is locked, and what was replaced can be freed when that returns.
 *
 * Life. At most one front end is connected; a second one is accepted and closed at once, so that it
 * learns where it stands. When the connection ends, by whatever cause, the order is always the same:
 * queues stop, memory is unmapped, descriptors are closed, the device is reset. Then the server is as
 * it was created, and listens on, or connects again with a growing delay. A socket that was given
 * connected ends with its connection.
 *
 * Cutting. What a peer does wrong ends its connection, with a reason that is counted and kept. Memory
 * whose file was cut short under us is such a wrong: the SIGBUS guard of src/mem tells through a
 * descriptor that we watch, the queues break, and the connection ends.
 */
#include "vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/fmt.h"
#include "wire/sock.h"

/* Events and messages taken in one call of handle(), so that one peer can't keep the thread. */
#define EVENTS_AT_ONCE	 8
#define MESSAGES_AT_ONCE 64

/* How long to wait before connecting again: doubled each time, until a message has come. */
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 1000
/* How long to leave those who connect waiting when the process has no descriptors left. */
#define ACCEPT_PAUSE_MS 100

/* Lines that one connection may put into the log by being refused again and again. */
#define COMPLAINTS_MAX 32

#define NS_PER_MS 1000000ull

int vu_refuse(struct vio_vhost_user *s, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vio_vsnprintf(s->why.msg, sizeof(s->why.msg), fmt, ap);
	va_end(ap);
	return ret;
}

void vu_complain(struct vio_vhost_user *s, const char *fmt, ...)
{
	unsigned before = vio_load(&s->complaints);
	char line[VIO_LOG_LINE];
	va_list ap;

	if (before <= COMPLAINTS_MAX)
		before = __atomic_fetch_add(&s->complaints, 1, __ATOMIC_RELAXED);
	if (before == COMPLAINTS_MAX)
		vio_log(s->host, VIO_LOG_WARN, "no more of this front end's faults are logged");
	if (before >= COMPLAINTS_MAX)
		return;
	va_start(ap, fmt);
	vio_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vio_log(s->host, VIO_LOG_WARN, "%s", line);
}

/* ---- Waiting ----------------------------------------------------------------------------- */

int vu_watch(struct vio_vhost_user *s, int fd, uint32_t events, enum vu_source source)
{
	struct epoll_event ev = { .events = events, .data.u32 = source };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void vu_rewatch(struct vio_vhost_user *s, const struct vio_vu_conn *conn, enum vu_source source)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = source };

	if (vio_vu_wants_write(conn))
		ev.events |= EPOLLOUT;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, conn->fd, &ev);
}

void vu_unwatch(struct vio_vhost_user *s, int fd)
{
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000),
				  .tv_nsec = (long)(ns % 1000000000) };
}

void vu_timer_set(int fd, uint64_t first_ns, uint64_t every_ns)
{
	struct itimerspec when = { .it_value = to_timespec(first_ns),
				   .it_interval = to_timespec(every_ns) };

	timerfd_settime(fd, 0, &when, NULL);
}

static void timer_clear(int fd)
{
	uint64_t ticks;
	ssize_t ignored;

	ignored = read(fd, &ticks, sizeof(ticks));
	(void)ignored;
}

static void retry_later(struct vio_vhost_user *s)
{
	vu_timer_set(s->retry_fd, s->retry_ms * NS_PER_MS, 0);
	s->retry_ms = vio_min(s->retry_ms * 2, (uint32_t)RETRY_MAX_MS);
}

/* ---- A connection ------------------------------------------------------------------------ */

int vu_set_back(struct vio_vhost_user *s, int fd)
{
	struct vio_vu_conn conn;
	int ret;

	if (fd >= 0) {
		ret = vio_vu_conn_init(&conn, fd);
		if (ret == 0)
			ret = vu_watch(s, fd, EPOLLIN, VU_BACK);
		if (ret)
			return ret;
	}
	if (s->has_back) {
		vu_unwatch(s, s->back.fd);
		vio_vu_conn_close(&s->back);
	}
	s->has_back = fd >= 0;
	if (s->has_back)
		s->back = conn;
	return 0;
}

/* Takes over @fd. 0, or -errno and @fd is the caller's. */
static int connected(struct vio_vhost_user *s, int fd)
{
	int ret = vio_vu_conn_init(&s->conn, fd);

	if (ret == 0)
		ret = vu_watch(s, fd, EPOLLIN, VU_CONN);
	if (ret)
		return ret;
	s->connected = true;
	vio_store(&s->complaints, 0);
	s->status.connected = true;
	s->status.connections++;
	if (s->runner->connection)
		s->runner->connection(s->runner->ctx, true);
	return 0;
}

static void reset_device(struct vio_vhost_user *s)
{
	const struct vio_net_props *props = vio_device_props(s->dev);

	vio_device_set_status(s->dev, 0);
	if (props->mtu)
		vio_device_set_mtu(s->dev, props->mtu);
}

static void disconnect(struct vio_vhost_user *s)
{
	if (!s->connected)
		return;
	vu_rings_reset(s);
	vu_mem_drop(s);
	vu_set_back(s, -1);
	reset_device(s);
	vu_unwatch(s, s->conn.fd);
	vio_vu_conn_close(&s->conn);
	s->features_set = false;
	s->features = 0;
	s->protocol = 0;
	s->connected = false;
	s->status.connected = false;
	s->status.finished = !s->client && s->listen_fd < 0;
	s->status.disconnects++;
	if (s->runner->connection)
		s->runner->connection(s->runner->ctx, false);
	if (s->client)
		retry_later(s);
}

/* The peer is at fault. */
static void cut(struct vio_vhost_user *s, const char *why)
{
	vio_log(s->host, VIO_LOG_WARN, "front end cut off: %s", why);
	s->status.protocol_errors++;
	vio_snprintf(s->status.last_error, sizeof(s->status.last_error), "%s", why);
	disconnect(s);
}

/* The connection failed by itself. */
static void lost(struct vio_vhost_user *s, int error)
{
	if (error == -EPROTO || error == -ENOBUFS) {
		cut(s, s->conn.reason);
		return;
	}
	if (error != -EPIPE)
		vio_log(s->host, VIO_LOG_INFO, "front end lost: %s", s->conn.reason);
	disconnect(s);
}

static void take_messages(struct vio_vhost_user *s)
{
	struct vio_vu_msg msg;
	unsigned i;
	int ret;

	for (i = 0; i < MESSAGES_AT_ONCE; i++) {
		ret = vio_vu_recv(&s->conn, &msg);
		if (ret < 0)
			lost(s, ret);
		if (ret <= 0)
			return;
		s->retry_ms = RETRY_MIN_MS;
		ret = vu_dispatch(s, &msg);
		vio_vu_msg_close_fds(&msg);
		if (ret < 0 && s->conn.error)
			lost(s, s->conn.error);
		else if (ret < 0)
			cut(s, s->why.msg);
		if (ret < 0)
			return;
	}
}

static void on_conn(struct vio_vhost_user *s)
{
	int ret;

	if (!s->connected)
		return;
	ret = vio_vu_flush(&s->conn);
	if (ret < 0)
		lost(s, ret);
	else
		take_messages(s);
	if (s->connected)
		vu_rewatch(s, &s->conn, VU_CONN);
}

/* We ask for no answers there, so whatever comes is read and forgotten; descriptors at once, for one of
 * them may be the front end's end of the connection, which has to close when the front end goes. */
static void on_back(struct vio_vhost_user *s)
{
	struct vio_vu_msg msg;
	unsigned i;
	int ret;

	if (!s->has_back)
		return;
	ret = vio_vu_flush(&s->back);
	for (i = 0; ret >= 0 && i < MESSAGES_AT_ONCE; i++) {
		ret = vio_vu_recv(&s->back, &msg);
		if (ret == 0)
			break;
		if (ret > 0)
			vio_vu_msg_close_fds(&msg);
	}
	if (ret >= 0) {
		vio_vu_msg_close_fds(&s->back.in);
		vu_rewatch(s, &s->back, VU_BACK);
		return;
	}
	if (ret != -EPIPE)
		vio_log(s->host, VIO_LOG_WARN, "the channel to the front end: %s", s->back.reason);
	vu_set_back(s, -1);
}

/* ---- Where connections come from --------------------------------------------------------- */

static void pause_listening(struct vio_vhost_user *s, bool pause)
{
	struct epoll_event ev = { .events = pause ? 0 : EPOLLIN, .data.u32 = VU_LISTEN };

	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->listen_fd, &ev);
	if (pause)
		vu_timer_set(s->retry_fd, ACCEPT_PAUSE_MS * NS_PER_MS, 0);
}

static void on_listen(struct vio_vhost_user *s)
{
	unsigned i;
	int fd;

	for (i = 0; i < EVENTS_AT_ONCE; i++) {
		fd = vio_sock_accept(s->listen_fd);
		if (fd == -EAGAIN)
			return;
		if (fd < 0) {
			vio_log(s->host, VIO_LOG_WARN, "can't accept a front end: %s",
				strerror(-fd));
			pause_listening(s, true);
			return;
		}
		if (s->connected)
			vio_log(s->host, VIO_LOG_WARN,
				"a second front end was sent away: one is connected");
		if (s->connected || connected(s, fd) < 0)
			close(fd);
	}
}

static bool may_come_yet(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EAGAIN;
}

static void on_retry(struct vio_vhost_user *s)
{
	int fd;

	timer_clear(s->retry_fd);
	if (s->listen_fd >= 0)
		pause_listening(s, false);
	if (!s->client || s->connected)
		return;
	fd = vio_sock_connect(s->path);
	if (fd >= 0 && connected(s, fd) == 0)
		return;
	if (fd >= 0)
		close(fd);
	else if (!may_come_yet(fd))
		vio_log(s->host, VIO_LOG_WARN, "socket-path: %s: %s", s->path, strerror(-fd));
	retry_later(s);
}

static void on_gone(struct vio_vhost_user *s)
{
	uint32_t count = vio_map_gone_count();

	if (count == s->gone_seen)
		return;
	s->gone_seen = count;
	if (!s->connected || !vu_mem_gone(s))
		return;
	vu_rings_break(s, VIO_VQ_MEMORY_GONE);
	cut(s, "guest memory vanished: its file was cut short");
}

static void on_poll(struct vio_vhost_user *s)
{
	timer_clear(s->poll_fd);
	vu_rings_poll(s);
}

int vio_vhost_user_fd(const struct vio_vhost_user *s)
{
	return s->epoll_fd;
}

void vio_vhost_user_handle(struct vio_vhost_user *s)
{
	static void (*const on[])(struct vio_vhost_user * s) = {
		[VU_LISTEN] = on_listen, [VU_CONN] = on_conn, [VU_BACK] = on_back,
		[VU_RETRY] = on_retry,	 [VU_POLL] = on_poll, [VU_GONE] = on_gone,
	};
	struct epoll_event events[EVENTS_AT_ONCE];
	int i, n;

	n = epoll_wait(s->epoll_fd, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < n; i++)
		on[events[i].data.u32](s);
}

void vio_vhost_user_status(const struct vio_vhost_user *s, struct vio_vhost_user_status *status)
{
	*status = s->status;
}

/* ---- Creation ---------------------------------------------------------------------------- */

static int open_listening(struct vio_vhost_user *s, struct vio_error *err)
{
	struct stat st;
	int fd = vio_sock_listen(s->path);

	if (fd < 0) {
		vio_error_set(err, "socket-path: %s: can't listen: %s", s->path, strerror(-fd));
		return fd;
	}
	s->listen_fd = fd;
	if (lstat(s->path, &st) == 0) {
		s->bound = true;
		s->path_dev = st.st_dev;
		s->path_ino = st.st_ino;
	}
	return 0;
}

static int open_connecting(struct vio_vhost_user *s, struct vio_error *err)
{
	int fd = vio_sock_connect(s->path);
	int ret = fd;

	if (may_come_yet(fd)) {
		retry_later(s);
		return 0;
	}
	if (fd >= 0) {
		ret = connected(s, fd);
		if (ret)
			close(fd);
	}
	if (ret)
		vio_error_set(err, "socket-path: %s: can't connect: %s", s->path, strerror(-ret));
	return ret;
}

static int socket_option(int fd, int option, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, option, value, &len) < 0 ? -errno : 0;
}

static int open_given(struct vio_vhost_user *s, int fd, struct vio_error *err)
{
	int domain = 0, type = 0, listening = 0, flags, ret = 0;

	if (socket_option(fd, SO_DOMAIN, &domain) || socket_option(fd, SO_TYPE, &type) ||
	    socket_option(fd, SO_ACCEPTCONN, &listening) || domain != AF_UNIX ||
	    type != SOCK_STREAM) {
		vio_error_set(err, "fd: %d: expected a Unix stream socket, listening or connected",
			      fd);
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		ret = -errno;
	else if (listening)
		s->listen_fd = fd;
	else
		ret = connected(s, fd);
	if (ret)
		vio_error_set(err, "fd: %d: %s", fd, strerror(-ret));
	return ret;
}

static int check_conf(const struct vio_vhost_user_conf *conf, struct vio_error *err)
{
	if (!conf->socket_path == (conf->fd < 0)) {
		vio_error_set(err, "socket-path or fd: expected exactly one of the two");
		return -EINVAL;
	}
	if (conf->client && !conf->socket_path) {
		vio_error_set(err, "client: expected a socket-path to connect to");
		return -EINVAL;
	}
	if (conf->socket_path && strlen(conf->socket_path) == 0) {
		vio_error_set(err, "socket-path: is empty, expected a path");
		return -EINVAL;
	}
	if (conf->socket_path &&
	    strlen(conf->socket_path) >= sizeof(((struct vio_vhost_user *)0)->path)) {
		vio_error_set(err, "socket-path: %s: %zu bytes long, expected at most %zu",
			      conf->socket_path, strlen(conf->socket_path),
			      sizeof(((struct vio_vhost_user *)0)->path) - 1);
		return -ENAMETOOLONG;
	}
	return 0;
}

/* Everything that is there for the server's whole life, but for the socket. */
static int open_waiting(struct vio_vhost_user *s, struct vio_error *err)
{
	int gone_fd = vio_map_gone_fd();
	int ret = gone_fd < 0 ? gone_fd : 0;

	s->gone_seen = vio_map_gone_count();
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->retry_fd < 0 || s->poll_fd < 0)
		ret = -errno;
	if (ret == 0)
		ret = vu_watch(s, s->retry_fd, EPOLLIN, VU_RETRY);
	if (ret == 0)
		ret = vu_watch(s, s->poll_fd, EPOLLIN, VU_POLL);
	/* Never read, as others watch it too: each write is an edge. */
	if (ret == 0)
		ret = vu_watch(s, gone_fd, EPOLLIN | EPOLLET, VU_GONE);
	if (ret)
		vio_error_set(err, "vhost-user: can't wait for events: %s", strerror(-ret));
	return ret;
}

static int open_socket(struct vio_vhost_user *s, const struct vio_vhost_user_conf *conf,
		       struct vio_error *err)
{
	int ret;

	if (!conf->socket_path)
		ret = open_given(s, conf->fd, err);
	else
		ret = s->client ? open_connecting(s, err) : open_listening(s, err);
	if (ret == 0 && s->listen_fd >= 0) {
		ret = vu_watch(s, s->listen_fd, EPOLLIN, VU_LISTEN);
		if (ret)
			vio_error_set(err, "vhost-user: can't wait for events: %s", strerror(-ret));
	}
	return ret;
}

static uint64_t protocol_features(const struct vio_vhost_user_conf *conf)
{
	uint64_t f = vio_vu_feature(VIO_VU_PROTOCOL_F_MQ) | vio_vu_feature(VIO_VU_PROTOCOL_F_RARP) |
		     vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) |
		     vio_vu_feature(VIO_VU_PROTOCOL_F_NET_MTU) |
		     vio_vu_feature(VIO_VU_PROTOCOL_F_BACKEND_REQ) |
		     vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
		     vio_vu_feature(VIO_VU_PROTOCOL_F_STATUS);

	return conf->offer_config ? f | vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG) : f;
}

/* The wire has 64 feature bits, two of which mean something else on it. */
static void mask_features(struct vio_device *dev)
{
	uint64_t not_ours = vio_feature(VIO_VU_F_PROTOCOL_FEATURES) | vio_feature(VIO_VU_F_LOG_ALL);

	vio_device_mask_features(dev, vio_features_make(~not_ours, 0));
}

/*
 * Added by hand, but nothing that this transport could bring about. (A kick is an eventfd here. The
 * position could come as a message, VRING_KICK, but no such message has room for it.)
 */
static int check_added(const struct vio_device *dev, struct vio_error *err)
{
	uint64_t carried = vu_transport_ops.carries | vu_transport_ops.on_request;
	uint64_t bad = vio_device_props(dev)->add.w[0] & VIO_TRANSPORT_FEATURES & ~carried;

	if (!bad)
		return 0;
	vio_error_set(err, "features: +%s: vhost-user has no message that carries it",
		      vio_feature_short_name((unsigned)__builtin_ctzll(bad)));
	return -EINVAL;
}

static size_t server_bytes(unsigned num_rings)
{
	return sizeof(struct vio_vhost_user) + num_rings * sizeof(struct vu_ring);
}

static struct vio_vhost_user *server_new(const struct vio_host *host, struct vio_device *dev,
					 const struct vio_device_runner *runner,
					 const struct vio_vhost_user_conf *conf)
{
	/* Of the queues those of pairs: a control queue stays with the front end. */
	unsigned num_rings = vio_device_num_pairs(dev) * 2;
	struct vio_vhost_user *s = host->alloc(host->ctx, server_bytes(num_rings), 64);
	unsigned i;

	if (!s)
		return NULL;
	s->host = host;
	s->dev = dev;
	s->runner = runner;
	s->client = conf->client;
	if (conf->socket_path)
		memcpy(s->path, conf->socket_path, strlen(conf->socket_path));
	s->offered_protocol = protocol_features(conf);
	s->num_rings = num_rings;
	s->epoll_fd = s->retry_fd = s->poll_fd = s->listen_fd = -1;
	s->retry_ms = RETRY_MIN_MS;
	for (i = 0; i < num_rings; i++)
		s->rings[i] = (struct vu_ring){ .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
	return s;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Only the socket that we made: somebody may have put another in its place. */
static void remove_path(const struct vio_vhost_user *s)
{
	struct stat st;

	if (s->bound && lstat(s->path, &st) == 0 && st.st_dev == s->path_dev &&
	    st.st_ino == s->path_ino)
		unlink(s->path);
}

void vio_vhost_user_destroy(struct vio_vhost_user *s)
{
	if (!s)
		return;
	remove_path(s);
	close_fd(s->listen_fd);
	disconnect(s);
	vio_device_set_transport(s->dev, NULL, NULL);
	close_fd(s->poll_fd);
	close_fd(s->retry_fd);
	close_fd(s->epoll_fd);
	s->host->free(s->host->ctx, s, server_bytes(s->num_rings));
}

int vio_vhost_user_create(const struct vio_host *host, struct vio_device *dev,
			  const struct vio_device_runner *runner,
			  const struct vio_vhost_user_conf *conf, struct vio_vhost_user **server,
			  struct vio_error *err)
{
	struct vio_vhost_user *s;
	int ret;

	ret = check_conf(conf, err);
	if (ret == 0)
		ret = check_added(dev, err);
	if (ret)
		return ret;
	s = server_new(host, dev, runner, conf);
	if (!s) {
		vio_error_set(err, "vhost-user: out of memory");
		return -ENOMEM;
	}
	mask_features(dev);
	vio_device_set_transport(dev, &vu_transport_ops, s);
	ret = open_waiting(s, err);
	if (ret == 0)
		ret = open_socket(s, conf, err);
	if (ret) {
		/* A socket that was given is still the caller's. */
		if (s->listen_fd == conf->fd)
			s->listen_fd = -1;
		vio_vhost_user_destroy(s);
		return ret;
	}
	*server = s;
	return 0;
}
