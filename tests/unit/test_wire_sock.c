/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix sockets by path: stale files, live servers, odd paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/sock.h"

static char dir[] = "/tmp/vioduct-sock-XXXXXX";
static char path[64];

static int setup_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static int remove_path(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void assert_flags(int fd)
{
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_listen_accept_connect(void **state)
{
	int listener, client, server;

	(void)state;
	assert_int_equal(vio_sock_connect(path), -ENOENT);
	listener = vio_sock_listen(path);
	assert_flags(listener);
	assert_int_equal(vio_sock_accept(listener), -EAGAIN);
	client = vio_sock_connect(path);
	assert_flags(client);
	server = vio_sock_accept(listener);
	assert_flags(server);
	assert_int_equal(write(client, "x", 1), 1);
	close(server);
	close(client);
	close(listener);
	assert_int_equal(vio_sock_connect(path), -ECONNREFUSED);
}

static void test_stale_file_is_replaced(void **state)
{
	int listener, client;

	(void)state;
	close(vio_sock_listen(path));
	listener = vio_sock_listen(path);
	assert_true(listener >= 0);
	client = vio_sock_connect(path);
	assert_true(client >= 0);
	close(client);
	close(listener);
}

static void test_living_server_keeps_its_path(void **state)
{
	int clients[64];
	int listener, again, n = 0;

	(void)state;
	listener = vio_sock_listen(path);
	assert_true(listener >= 0);
	assert_int_equal(vio_sock_listen(path), -EADDRINUSE);
	/* A server too busy to accept is alive as well. */
	while (n < 64 && (clients[n] = vio_sock_connect(path)) >= 0)
		n++;
	assert_true(n < 64);
	assert_int_equal(clients[n], -EAGAIN);
	assert_int_equal(vio_sock_listen(path), -EADDRINUSE);
	while (n > 0)
		close(clients[--n]);
	while ((again = vio_sock_accept(listener)) >= 0)
		close(again);
	again = vio_sock_connect(path);
	assert_true(again >= 0);
	close(again);
	close(listener);
}

static void test_what_is_not_ours_stays(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char target[80];
	struct stat st;
	int fd;

	(void)state;
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(vio_sock_listen(path), -EADDRINUSE);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);

	/* A link is not followed, not even to a stale socket. */
	snprintf(target, sizeof(target), "%s/target", dir);
	close(vio_sock_listen(target));
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(vio_sock_listen(path), -EADDRINUSE);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(path);
	unlink(target);

	/* Somebody's datagram socket. */
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(vio_sock_listen(path), -EADDRINUSE);
	assert_int_equal(lstat(path, &st), 0);
	close(fd);
}

static void test_paths_that_cannot_be(void **state)
{
	char path_107[108], path_108[109];

	(void)state;
	memset(path_107, 'a', sizeof(path_107) - 1);
	path_107[107] = '\0';
	memset(path_108, 'a', sizeof(path_108) - 1);
	path_108[108] = '\0';
	assert_int_equal(vio_sock_connect(path_107), -ENOENT);
	assert_int_equal(vio_sock_connect(path_108), -ENAMETOOLONG);
	assert_int_equal(vio_sock_listen(path_108), -ENAMETOOLONG);
	assert_int_equal(vio_sock_connect(""), -EINVAL);
	assert_int_equal(vio_sock_listen(""), -EINVAL);
	assert_int_equal(vio_sock_listen("/nonexistent-directory/s"), -ENOENT);
}

static void test_pair(void **state)
{
	char byte = 0;
	int fds[2];

	(void)state;
	assert_int_equal(vio_sock_pair(fds), 0);
	assert_flags(fds[0]);
	assert_flags(fds[1]);
	assert_int_equal(write(fds[0], "x", 1), 1);
	assert_int_equal(read(fds[1], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_listen_accept_connect, remove_path),
		cmocka_unit_test_teardown(test_stale_file_is_replaced, remove_path),
		cmocka_unit_test_teardown(test_living_server_keeps_its_path, remove_path),
		cmocka_unit_test_teardown(test_what_is_not_ours_stays, remove_path),
		cmocka_unit_test(test_paths_that_cannot_be),
		cmocka_unit_test(test_pair),
	};

	return cmocka_run_group_tests(tests, setup_dir, remove_dir);
}
