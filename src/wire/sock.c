/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets by path.
 *
 * The one subtle thing here is the file that bind() leaves behind. A process that dies does not
 * remove it, and the next one must not fail for that; but neither may it take the path away from
 * a process that lives. Connecting tells them apart: only a socket that nobody has open refuses.
 * Anything else found at the path (a socket that answers or is busy, a file, a link) stays.
 */
#include "sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 16

static int sock_open(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int sock_address(struct sockaddr_un *addr, const char *path)
{
	size_t len = strlen(path);

	/* An empty path would name an anonymous address that nobody can connect to. */
	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len);
	return 0;
}

static int sock_connect_to(int fd, const struct sockaddr_un *addr)
{
	int ret;

	/* Connecting never waits on a non-blocking Unix socket, so a signal cannot half do it. */
	do {
		ret = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Remove a socket file that nobody serves. Returns 0 if the path is free now. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, ret;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;

	fd = sock_open();
	if (fd < 0)
		return fd;
	ret = sock_connect_to(fd, addr);
	close(fd);
	if (ret != -ECONNREFUSED)
		return ret == -EACCES || ret == -EPERM ? ret : -EADDRINUSE;
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int vio_sock_listen(const char *path)
{
	struct sockaddr_un addr;
	int fd, ret;

	ret = sock_address(&addr, path);
	if (ret)
		return ret;
	fd = sock_open();
	if (fd < 0)
		return fd;

	ret = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	if (ret == -EADDRINUSE) {
		ret = remove_stale(&addr);
		if (!ret && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
			ret = -errno;
	}
	if (ret)
		goto close_fd;

	if (listen(fd, LISTEN_BACKLOG) < 0) {
		ret = -errno;
		goto unlink_path;
	}
	return fd;

unlink_path:
	unlink(addr.sun_path);
close_fd:
	close(fd);
	return ret;
}

int vio_sock_accept(int listen_fd)
{
	int fd;

	do {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

int vio_sock_connect(const char *path)
{
	struct sockaddr_un addr;
	int fd, ret;

	ret = sock_address(&addr, path);
	if (ret)
		return ret;
	fd = sock_open();
	if (fd < 0)
		return fd;
	ret = sock_connect_to(fd, &addr);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int vio_sock_pair(int fds[2])
{
	int ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);

	return ret < 0 ? -errno : 0;
}
