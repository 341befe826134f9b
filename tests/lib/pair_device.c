/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/barrier.h"
#include "check.h"
#include "pair_device.h"
#include "port/port.h"

static void signal_event(int fd)
{
	uint64_t one = 1;

	check(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void await_event(int fd)
{
	uint64_t value;

	check(read(fd, &value, sizeof(value)) == sizeof(value));
}

/* The control thread's loop, until @stop is readable. */
static void serve(struct vio_port *port, int stop)
{
	struct pollfd fds[2] = { { .fd = vio_port_fd(port), .events = POLLIN },
				 { .fd = stop, .events = POLLIN } };

	for (;;) {
		int n = poll(fds, 2, -1);

		check(n > 0 || errno == EINTR);
		if (n > 0 && fds[1].revents)
			return;
		if (n > 0 && fds[0].revents)
			vio_port_handle(port);
	}
}

static struct vio_port *open_port(const struct pair_device_conf *conf, struct vio_workers **workers)
{
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);
	struct vio_workers_conf workers_conf = { .count = conf->pairs ? conf->pairs : 1,
						 .busy_poll_us = conf->busy_poll_us };
	struct vio_port_conf port_conf = {
		.backend = conf->backend ? conf->backend : "loop",
		.vhost_user = { .socket_path = conf->path,
				.fd = -1,
				.client = conf->client,
				.offer_config = conf->offer_config },
	};
	struct vio_error err = { "" };
	struct vio_port *port = NULL;

	vio_net_props_init(&port_conf.props);
	port_conf.props.queue_pairs = conf->pairs;
	port_conf.props.mtu = conf->mtu;
	if (vio_workers_create(host, &workers_conf, workers, &err) != 0 ||
	    vio_port_open(host, *workers, &port_conf, &port, &err) != 0)
		fprintf(stderr, "%s\n", err.msg);
	check(port != NULL);
	return port;
}

static void *device_thread(void *arg)
{
	struct pair_device *device = arg;
	struct vio_workers *workers;
	struct vio_port *port = open_port(&device->conf, &workers);
	unsigned i;

	device->dev = vio_port_device(port);
	signal_event(device->ready);
	serve(port, device->stop);
	await_event(device->stop); /* who stops us has looked at the counters before */
	vio_port_stop(port);
	for (i = 0; i < 2 * PAIR_MAX_PAIRS; i++)
		vio_device_queue_stats(device->dev, i, &device->counts.queues[i]);
	vio_port_status(port, &device->counts.status);
	vio_port_close(port);
	vio_workers_destroy(workers);
	return NULL;
}

void pair_device_start(struct pair_device *device, const struct pair_device_conf *conf)
{
	memset(device, 0, sizeof(*device));
	device->conf = *conf;
	device->ready = eventfd(0, EFD_CLOEXEC);
	device->stop = eventfd(0, EFD_CLOEXEC);
	check(device->ready >= 0 && device->stop >= 0);
	check(pthread_create(&device->thread, NULL, device_thread, device) == 0);
	await_event(device->ready);
}

void pair_device_stop(struct pair_device *device)
{
	signal_event(device->stop);
	check(pthread_join(device->thread, NULL) == 0);
	close(device->ready);
	close(device->stop);
	device->dev = NULL;
}

/* ---- In a process of its own --------------------------------------------------------------- */

static void device_process(const struct pair_device_conf *conf, pid_t parent, int ready)
{
	struct vio_workers *workers;
	struct vio_port *port;
	sigset_t term;
	int stop;

	check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	check(sigprocmask(SIG_BLOCK, &term, NULL) == 0);
	stop = signalfd(-1, &term, SFD_CLOEXEC);
	check(stop >= 0);
	port = open_port(conf, &workers);
	signal_event(ready);
	serve(port, stop);
	vio_port_close(port);
	vio_workers_destroy(workers);
	_exit(0);
}

pid_t pair_device_fork(const struct pair_device_conf *conf)
{
	int ready = eventfd(0, EFD_CLOEXEC);
	pid_t parent = getpid(), pid;

	check(ready >= 0);
	fflush(NULL);
	pid = fork();
	check(pid >= 0);
	if (pid == 0)
		device_process(conf, parent, ready);
	/* A child that fails aborts, and takes its test with it. */
	for (;;) {
		struct pollfd p = { .fd = ready, .events = POLLIN };

		if (poll(&p, 1, 100) == 1)
			break;
		check(waitpid(pid, NULL, WNOHANG) == 0);
	}
	close(ready);
	return pid;
}

void pair_device_end(pid_t pid)
{
	int status;

	check(kill(pid, SIGTERM) == 0);
	check(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void pair_device_kill(pid_t pid)
{
	int status;

	check(kill(pid, SIGKILL) == 0);
	check(waitpid(pid, &status, 0) == pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
