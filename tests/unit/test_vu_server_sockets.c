/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the vhost-user server meets its front ends: sockets that it listens on, connects to or is
 * given, one front end after the other, and what it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_vu_server.h"
#include "wire/sock.h"

static void second_front_end_is_sent_away(void **state)
{
	char byte;
	int fd;

	(void)state;
	vuf_connect(&rig);
	fd = vio_sock_connect(rig.path);
	assert_true(fd >= 0);
	vuf_pump(&rig);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	assert_int_equal(rig.ups, 1);
	vuf_disconnect(&rig);
	assert_int_equal(rig.downs, 1);
	/* And now there is room. */
	vuf_connect(&rig);
	assert_int_equal(rig.ups, 2);
	assert_true(vuf_ask_u64(&rig, VIO_VU_GET_FEATURES) != 0);
}

static void device_is_fresh_for_the_next_front_end(void **state)
{
	struct vio_queue_stats stats;

	(void)state;
	vuf_connect(&rig);
	vuf_start(&rig, 2);
	assert_true(vuf_frame_passes(&rig, 1));
	vuf_disconnect(&rig);
	assert_int_equal(vio_device_driver_features(rig.dev).w[0], 0);
	assert_int_equal(vio_device_status(rig.dev), 0);
	assert_int_equal(rig.kick[0], -1);
	assert_int_equal(vuf_count_maps("guest"), 1);
	vio_device_queue_stats(rig.dev, 1, &stats);
	assert_int_equal(stats.packets, 1);
	/* Nothing that the first one said is left. */
	vuf_connect(&rig);
	send_fd(VIO_VU_SET_VRING_KICK, 1, rig.kick_fd[1]);
	assert_false(vio_device_queue_running(rig.dev, 1));
	assert_int_equal(vuf_get_base(&rig, 1), 0);
}

static void socket_file_goes_with_the_server(void **state)
{
	char path[64];

	(void)state;
	vuf_open(&rig, &(struct vuf_conf){ .listen = true });
	strcpy(path, rig.path);
	assert_int_equal(access(path, F_OK), 0);
	vuf_close(&rig);
	assert_int_equal(access(path, F_OK), -1);
}

/* What a server says to a configuration, with everything else as in @rig. */
static int try_conf(const struct vio_vhost_user_conf *conf, struct vio_vhost_user **server)
{
	struct vio_error err = { .msg = "" };
	int ret;

	ret = vio_vhost_user_create(vio_host_linux(VIO_LOG_ERROR), rig.dev, &rig.runner, conf,
				    server, &err);
	assert_int_equal(ret == 0, err.msg[0] == '\0');
	return ret;
}

static void pump_server(struct vio_vhost_user *server, int ms)
{
	struct vio_vhost_user *ours = rig.server;

	rig.server = server;
	vuf_wait(&rig, ms);
	vuf_pump(&rig);
	rig.server = ours;
}

static bool server_connected(struct vio_vhost_user *server)
{
	struct vio_vhost_user_status status;

	vio_vhost_user_status(server, &status);
	return status.connected;
}

static void client_connects_again_and_again(void **state)
{
	char path[64];
	struct vio_vhost_user_conf conf = { .socket_path = path, .fd = -1, .client = true };
	struct vio_vhost_user *server;
	int listening, fd, round;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/vufront-client-%d.sock", (int)getpid());
	unlink(path);
	assert_int_equal(try_conf(&conf, &server), 0);
	/* Nobody is there yet. */
	pump_server(server, 1000);
	assert_false(server_connected(server));
	for (round = 0; round < 3; round++) {
		listening = vio_sock_listen(path);
		assert_true(listening >= 0);
		while (!server_connected(server))
			pump_server(server, 5000);
		fd = vio_sock_accept(listening);
		assert_true(fd >= 0);
		close(listening);
		unlink(path);
		close(fd);
		pump_server(server, 1000);
		assert_false(server_connected(server));
	}
	vio_vhost_user_destroy(server);
}

static void inherited_sockets(void **state)
{
	struct vio_vhost_user_conf conf = { .fd = -1 };
	struct vio_vhost_user *server;
	unsigned fds = count_fds();
	char path[64];
	int pair[2], fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/vufront-fd-%d.sock", (int)getpid());

	conf.fd = vio_sock_listen(path);
	assert_int_equal(try_conf(&conf, &server), 0);
	fd = vio_sock_connect(path);
	pump_server(server, 1000);
	assert_true(server_connected(server));
	vio_vhost_user_destroy(server);
	close(fd);
	/* Not ours to remove. */
	assert_int_equal(unlink(path), 0);

	assert_int_equal(vio_sock_pair(pair), 0);
	conf.fd = pair[0];
	assert_int_equal(try_conf(&conf, &server), 0);
	assert_true(server_connected(server));
	close(pair[1]);
	pump_server(server, 1000);
	assert_false(server_connected(server));
	vio_vhost_user_destroy(server);
	assert_int_equal(count_fds(), fds);
}

static void wrong_configurations_are_refused(void **state)
{
	char longer[120];
	struct vio_vhost_user_conf conf = { .fd = -1 };
	struct vio_vhost_user *server;
	unsigned fds = count_fds();
	int pipe_fds[2];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	conf.socket_path = "";
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	conf.socket_path = longer;
	assert_int_equal(try_conf(&conf, &server), -ENAMETOOLONG);
	conf.socket_path = rig.path;
	assert_int_equal(try_conf(&conf, &server), -EADDRINUSE);
	conf.fd = 0;
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	conf = (struct vio_vhost_user_conf){ .fd = 0, .client = true };
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	assert_int_equal(pipe(pipe_fds), 0);
	conf = (struct vio_vhost_user_conf){ .fd = pipe_fds[0] };
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	conf.fd = 1023;
	assert_int_equal(try_conf(&conf, &server), -EINVAL);
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(second_front_end_is_sent_away, open_listening),
		WITH(device_is_fresh_for_the_next_front_end, open_listening),
		cmocka_unit_test(socket_file_goes_with_the_server),
		WITH(client_connects_again_and_again, open_rig),
		WITH(inherited_sockets, open_rig),
		WITH(wrong_configurations_are_refused, open_listening),
	};

	return cmocka_run_group_tests_name("vhost-user server sockets", tests, NULL, NULL);
}
