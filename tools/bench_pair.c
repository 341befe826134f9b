/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other side of a measurement: a child process on a core of its own.
 *
 * A child ends when our end of a socket pair is closed, whatever becomes of us. A device in it speaks
 * vhost-user with our driver over a socket in a temporary folder and shares its memory, as a guest
 * and its device do.
 */
#include "bench_pair.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port/port.h"
#include "tool.h"

#define COMMAND "bench"

struct bench_cores bench_choose_cores(void)
{
	struct bench_cores cores = { -1, -1 };
	cpu_set_t set;
	int core;

	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 2)
		return cores;
	for (core = 0; cores.device < 0; core++) {
		if (!CPU_ISSET((size_t)core, &set))
			continue;
		if (cores.driver < 0)
			cores.driver = core;
		else
			cores.device = core;
	}
	return cores;
}

void bench_pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (core >= 0) {
		CPU_SET((size_t)core, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
}

int bench_folder_make(struct bench_folder *folder)
{
	snprintf(folder->path, sizeof(folder->path), "/tmp/vioduct-XXXXXX");
	if (!mkdtemp(folder->path))
		return tool_fail(COMMAND, "%s: %s", folder->path, strerror(errno));
	snprintf(folder->socket, sizeof(folder->socket), "%s/net", folder->path);
	return 0;
}

void bench_folder_remove(const struct bench_folder *folder)
{
	unlink(folder->socket);
	rmdir(folder->path);
}

/* ------------------------------------------------------------------------------------------
 * Children
 */
int bench_child_start(int (*body)(const void *ctx, int life), const void *ctx,
		      struct bench_child *child)
{
	int life[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) < 0)
		return tool_fail(COMMAND, "socketpair: %s", strerror(errno));
	fflush(stdout);
	child->life = life[0];
	child->pid = fork();
	if (child->pid == 0) {
		close(life[0]);
		signal(SIGINT, SIG_IGN); /* the parent decides when it ends */
		signal(SIGTERM, SIG_DFL);
		_exit(body(ctx, life[1]));
	}
	close(life[1]);
	if (child->pid < 0) {
		close(life[0]);
		return tool_fail(COMMAND, "fork: %s", strerror(errno));
	}
	return 0;
}

int bench_child_end(struct bench_child *child)
{
	int status;

	close(child->life);
	while (waitpid(child->pid, &status, 0) < 0)
		if (errno != EINTR)
			return tool_fail(COMMAND, "waitpid: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return tool_fail(COMMAND, "the process at the other end ended with status %#x",
				 (unsigned)status);
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * The device's process
 */

/* Serves front ends until @life is closed at the other end. */
static void serve(struct vio_port *port, int life)
{
	struct epoll_event port_event = { .events = EPOLLIN, .data.u32 = 1 };
	struct epoll_event end_event = { .events = EPOLLIN, .data.u32 = 0 }, got;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, vio_port_fd(port), &port_event) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, life, &end_event) < 0)
		return;
	for (;;) {
		if (epoll_wait(epoll_fd, &got, 1, -1) != 1)
			continue;
		if (got.data.u32 == 0)
			return;
		vio_port_handle(port);
	}
}

int bench_be_device(const void *ctx, int life)
{
	static const uint8_t mac[VIO_ETH_ALEN] = { 0x02, 0x76, 0x64, 1, 0, 0 };
	const struct bench_device_conf *device = ctx;
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);
	struct vio_workers_conf workers_conf = { .count = 1, .busy_poll_us = device->busy_poll_us };
	struct vio_port_conf conf = {
		.vhost_user = { .socket_path = device->socket, .fd = -1 },
		.backend = device->backend,
	};
	struct vio_error err = { "" };
	struct vio_workers *workers;
	struct vio_port *port;
	int ret;

	bench_pin(device->core);
	vio_net_props_init(&conf.props);
	conf.props.mtu = device->size > 1514 ? device->size - VIO_ETH_HLEN : 0;
	/* `source` sends to all where it does not know whom. */
	memcpy(conf.props.mac, mac, sizeof(mac));
	ret = vio_workers_create(host, &workers_conf, &workers, &err);
	if (ret)
		return tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret));
	ret = vio_port_open(host, workers, &conf, &port, &err);
	if (ret) {
		vio_workers_destroy(workers);
		return tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret));
	}
	serve(port, life);
	vio_port_close(port);
	vio_workers_destroy(workers);
	return TOOL_OK;
}
