/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct device: one or more devices over vhost-user.
 *
 * The command line describes devices, separated by lone "--"; what concerns the whole process
 * (--json, --workers, --cpus, --busy-poll) may stand with any of them. The main thread then waits for
 * signals and front ends; frames are the workers' business.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <vioduct/backend.h>

#include "device_report.h"
#include "port/port.h"
#include "tool.h"

#define MAX_DEVICES 256
#define MAX_CPUS    64 /* as many as there can be workers */
#define CPU_MAX	    65535

struct process_conf {
	bool json;
	bool verbose;
	bool print_capabilities;
	struct vio_workers_conf workers;
	uint16_t cpus[MAX_CPUS];
};

enum {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_BACKEND,
	OPT_MAC,
	OPT_MTU,
	OPT_QUEUE_PAIRS,
	OPT_RX_QUEUE_SIZE,
	OPT_TX_QUEUE_SIZE,
	OPT_SPEED,
	OPT_DUPLEX,
	OPT_FEATURES,
	OPT_TX,
	OPT_CLIENT,
	OPT_OFFER_CONFIG,
	OPT_BUSY_POLL,
	OPT_WORKERS,
	OPT_CPUS,
	OPT_PRINT_CAPABILITIES,
	OPT_JSON,
	OPT_VERBOSE,
	OPT_HELP,
};

static const struct option options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "queue-pairs", required_argument, NULL, OPT_QUEUE_PAIRS },
	{ "rx-queue-size", required_argument, NULL, OPT_RX_QUEUE_SIZE },
	{ "tx-queue-size", required_argument, NULL, OPT_TX_QUEUE_SIZE },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "duplex", required_argument, NULL, OPT_DUPLEX },
	{ "features", required_argument, NULL, OPT_FEATURES },
	{ "tx", required_argument, NULL, OPT_TX },
	{ "client", no_argument, NULL, OPT_CLIENT },
	{ "offer-config", no_argument, NULL, OPT_OFFER_CONFIG },
	{ "busy-poll", required_argument, NULL, OPT_BUSY_POLL },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* How long a worker polls at most, where there is a core for whoever it waits for. What comes less
 * often is not polled for at all. */
#define BUSY_POLL_US 50

static const char synopsis[] =
	"--socket-path PATH | --fd N [OPTION]… [-- NEXT DEVICE…]\n"
	"\n"
	"  --socket-path PATH      listen there (with --client: connect)\n"
	"  --fd N                  serve an inherited socket, listening or connected\n"
	"  --backend KIND[,K=V…]   where frames go; default user\n"
	"  --mac M                 the guest's address; default random\n"
	"  --mtu N                 offer this MTU, 68..65535\n"
	"  --queue-pairs N         1..128; default 1\n"
	"  --rx-queue-size N       256..1024, a power of 2; default 1024; also --tx-queue-size\n"
	"  --speed MBIT            --duplex full|half\n"
	"  --features +NAME,-NAME  offer more, or less\n"
	"  --tx bh|timer           how transmit queues are drained; default bh\n"
	"  --client                connect, and again whenever the other side goes away\n"
	"  --offer-config          offer the configuration space (QEMU warns about it)\n"
	"  --busy-poll USEC        poll at most so long before sleeping; default 50\n"
	"  --workers N             threads for all devices; default: as needed, at most the cores\n"
	"  --cpus LIST             pin them: 2,4-7; one on each unless --workers says otherwise\n"
	"  --print-capabilities    what this program can do, as JSON\n"
	"  --json                  counters as one JSON object\n"
	"  --verbose               say more on standard error\n"
	"\n"
	"SIGTERM ends it: what guests have sent leaves first, then the counters are printed.\n"
	"SIGUSR1 prints the counters.";

static int parse_duplex(const char *text, struct vio_net_props *props)
{
	if (strcmp(text, "full") == 0)
		props->duplex = VIO_DUPLEX_FULL;
	else if (strcmp(text, "half") == 0)
		props->duplex = VIO_DUPLEX_HALF;
	else
		return tool_usage("device", "--duplex: %s: must be full or half", text);
	return 0;
}

static int parse_socket(int c, struct vio_port_conf *conf)
{
	int64_t n;
	int ret;

	switch (c) {
	case OPT_SOCKET_PATH:
		conf->vhost_user.socket_path = optarg;
		return 0;
	case OPT_FD:
		ret = tool_number("device", "--fd", optarg, 0, 1 << 20, &n);
		conf->vhost_user.fd = ret ? -1 : (int)n;
		return ret;
	case OPT_CLIENT:
		conf->vhost_user.client = true;
		return 0;
	default:
		conf->vhost_user.offer_config = true;
		return 0;
	}
}

/* An option that is a number, whose limits the device knows better: it names them. */
static int parse_property(int c, struct vio_net_props *props)
{
	int64_t n = 0;
	int ret;

	switch (c) {
	case OPT_MAC:
		return tool_mac("device", "--mac", optarg, props->mac);
	case OPT_MTU:
		ret = tool_number("device", "--mtu", optarg, 68, 65535, &n);
		props->mtu = (uint32_t)n;
		return ret;
	case OPT_QUEUE_PAIRS:
		ret = tool_number("device", "--queue-pairs", optarg, 1, VIO_DEVICE_MAX_PAIRS, &n);
		props->queue_pairs = (uint32_t)n;
		return ret;
	case OPT_RX_QUEUE_SIZE:
		ret = tool_number("device", "--rx-queue-size", optarg, 1, 1 << 20, &n);
		props->rx_queue_size = (uint32_t)n;
		return ret;
	case OPT_TX_QUEUE_SIZE:
		ret = tool_number("device", "--tx-queue-size", optarg, 1, 1 << 20, &n);
		props->tx_queue_size = (uint32_t)n;
		return ret;
	case OPT_SPEED:
		ret = tool_number("device", "--speed", optarg, -1, INT32_MAX, &n);
		props->speed = (int32_t)n;
		return ret;
	case OPT_DUPLEX:
		return parse_duplex(optarg, props);
	case OPT_FEATURES:
		return tool_features_option("device", "--features", optarg, &props->add,
					    &props->remove);
	default:
		props->tx = optarg;
		return 0;
	}
}

static int bad_cpus(const char *list)
{
	return tool_usage("device", "--cpus: %s: must be numbers and ranges like 2,4-7, at most %d",
			  list, MAX_CPUS);
}

/* A number from 0 to CPU_MAX at *@p, which moves behind it. */
static bool take_cpu(const char **p, unsigned *cpu)
{
	char *end;
	unsigned long n;

	if (**p < '0' || **p > '9')
		return false;
	n = strtoul(*p, &end, 10);
	*p = end;
	*cpu = (unsigned)n;
	return n <= CPU_MAX;
}

static int parse_cpus(const char *list, struct process_conf *process)
{
	const char *p = list;
	unsigned first, last, n = 0;

	do {
		if (!take_cpu(&p, &first))
			return bad_cpus(list);
		last = first;
		if (*p == '-' && (p++, !take_cpu(&p, &last)))
			return bad_cpus(list);
		if (last < first || last - first >= MAX_CPUS - n)
			return bad_cpus(list);
		while (first <= last)
			process->cpus[n++] = (uint16_t)first++;
	} while (*p++ == ',');
	if (p[-1] != '\0')
		return bad_cpus(list);
	process->workers.cpus = process->cpus;
	process->workers.num_cpus = n;
	return 0;
}

static int parse_process(int c, struct process_conf *process)
{
	int64_t n = 0;
	int ret;

	switch (c) {
	case OPT_BUSY_POLL:
		ret = tool_number("device", "--busy-poll", optarg, 0, 1000000, &n);
		process->workers.busy_poll_us = (unsigned)n;
		return ret;
	case OPT_WORKERS:
		ret = tool_number("device", "--workers", optarg, 1, 64, &n);
		process->workers.count = (unsigned)n;
		return ret;
	case OPT_CPUS:
		return parse_cpus(optarg, process);
	case OPT_PRINT_CAPABILITIES:
		process->print_capabilities = true;
		return 0;
	case OPT_JSON:
		process->json = true;
		return 0;
	default:
		process->verbose = true;
		return 0;
	}
}

/* One device's part of the command line. */
static int parse_device(int argc, char **argv, struct process_conf *process,
			struct vio_port_conf *conf)
{
	int c, ret = 0;

	memset(conf, 0, sizeof(*conf));
	vio_net_props_init(&conf->props);
	conf->backend = "user";
	conf->vhost_user.fd = -1;
	opterr = 0;
	optind = 0;
	while (!ret && (c = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (c) {
		case OPT_SOCKET_PATH:
		case OPT_FD:
		case OPT_CLIENT:
		case OPT_OFFER_CONFIG:
			ret = parse_socket(c, conf);
			break;
		case OPT_BACKEND:
			conf->backend = optarg;
			break;
		case OPT_BUSY_POLL:
		case OPT_WORKERS:
		case OPT_CPUS:
		case OPT_PRINT_CAPABILITIES:
		case OPT_JSON:
		case OPT_VERBOSE:
			ret = parse_process(c, process);
			break;
		case OPT_HELP:
			tool_help(&tool_device);
			exit(TOOL_OK);
		case '?':
		case ':':
			return tool_bad_option("device", argv, c);
		default:
			ret = parse_property(c, &conf->props);
		}
	}
	if (!ret && optind < argc)
		ret = tool_usage("device", "%s: not an option (see vioduct device --help)",
				 argv[optind]);
	return ret;
}

static int check_device(const struct vio_port_conf *conf)
{
	bool path = conf->vhost_user.socket_path != NULL, fd = conf->vhost_user.fd >= 0;

	if (path == fd)
		return tool_usage("device", "one of --socket-path and --fd is needed for each "
					    "device (see vioduct device --help)");
	if (fd && conf->vhost_user.client)
		return tool_usage("device", "--client goes with --socket-path, not with --fd");
	return 0;
}

/* Splits the command line at lone "--". Returns the number of devices, or -TOOL_USAGE. */
static int parse(int argc, char **argv, struct process_conf *process, struct vio_port_conf *confs)
{
	int first = 0, last, n = 0, ret;

	while (first < argc) {
		char *saved = argv[first];

		for (last = first + 1; last < argc && strcmp(argv[last], "--") != 0;)
			last++;
		if (n == MAX_DEVICES)
			return -tool_usage("device", "at most %d devices in one process",
					   MAX_DEVICES);
		argv[first] = argv[0];
		ret = parse_device(last - first, argv + first, process, &confs[n]);
		argv[first] = saved;
		if (ret)
			return -ret;
		n++;
		first = last;
	}
	return n;
}

static unsigned cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned)n;
}

/* As many threads as there are pairs to serve, but not more than cores. */
static unsigned default_workers(const struct vio_port_conf *confs, int n)
{
	unsigned pairs = 0, most = cores() < 64 ? cores() : 64;
	int i;

	for (i = 0; i < n; i++)
		pairs += confs[i].props.queue_pairs ? confs[i].props.queue_pairs : 1;
	return pairs < most ? pairs : most;
}

static int watch(int epoll_fd, int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void say_where(const struct vio_port_conf *conf)
{
	if (!conf->vhost_user.socket_path)
		fprintf(stderr, "serving fd %d\n", conf->vhost_user.fd);
	else if (conf->vhost_user.client)
		fprintf(stderr, "connecting to %s\n", conf->vhost_user.socket_path);
	else
		fprintf(stderr, "listening on %s\n", conf->vhost_user.socket_path);
}

/* Whether no device can ever be connected to again. */
static bool all_finished(struct vio_port *const *ports, int n)
{
	struct vio_vhost_user_status status;
	int i;

	for (i = 0; i < n; i++) {
		vio_port_status(ports[i], &status);
		if (!status.finished)
			return false;
	}
	return true;
}

/* Waits for front ends and signals, until one says to end or nobody can come any more. */
static int serve(struct vio_port **ports, int n, const struct vio_port_conf *confs,
		 const struct process_conf *process, int signal_fd)
{
	struct epoll_event events[16];
	struct signalfd_siginfo info;
	int epoll_fd, i, got;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || watch(epoll_fd, signal_fd, NULL))
		return tool_fail("device", "epoll: %s", strerror(errno));
	for (i = 0; i < n; i++)
		if (watch(epoll_fd, vio_port_fd(ports[i]), ports[i]))
			return tool_fail("device", "epoll: %s", strerror(errno));
	for (i = 0; i < n; i++)
		say_where(&confs[i]);
	for (;;) {
		got = epoll_wait(epoll_fd, events, 16, -1);
		for (i = 0; i < got; i++) {
			if (events[i].data.ptr) {
				vio_port_handle(events[i].data.ptr);
				if (!all_finished(ports, n))
					continue;
				close(epoll_fd);
				return TOOL_OK;
			}
			if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
				continue;
			if (info.ssi_signo != SIGUSR1) {
				close(epoll_fd);
				return TOOL_OK;
			}
			device_report(ports, confs, (unsigned)n, process->json);
		}
	}
}

static int run_devices(const struct vio_port_conf *confs, int n, const struct process_conf *process)
{
	const struct vio_host *host =
		vio_host_linux(process->verbose ? VIO_LOG_DEBUG : VIO_LOG_WARN);
	struct vio_port *ports[MAX_DEVICES] = { NULL };
	struct vio_error err = { "" };
	struct vio_workers *workers;
	int signal_fd, i, ret;

	signal_fd = open_signals();
	if (signal_fd < 0)
		return tool_fail("device", "signalfd: %s", strerror(errno));
	ret = vio_workers_create(host, &process->workers, &workers, &err);
	if (ret)
		return (ret == -EINVAL ? tool_usage : tool_fail)(
			"device", "%s", err.msg[0] ? err.msg : strerror(-ret));
	for (i = 0; i < n; i++) {
		ret = vio_port_open(host, workers, &confs[i], &ports[i], &err);
		if (ret) {
			/* What the user asked for can't be, or the system refused it. */
			ret = (ret == -EINVAL ? tool_usage : tool_fail)(
				"device", "%s", err.msg[0] ? err.msg : strerror(-ret));
			goto close;
		}
	}
	ret = serve(ports, n, confs, process, signal_fd);
	vio_ports_stop(ports, (unsigned)n);
	if (ret == TOOL_OK)
		device_report(ports, confs, (unsigned)n, process->json);
close:
	for (i = 0; i < n; i++)
		vio_port_close(ports[i]);
	vio_workers_destroy(workers);
	close(signal_fd);
	return ret;
}

static int run(int argc, char **argv)
{
	struct process_conf process = {
		.workers.busy_poll_us = cores() > 1 ? BUSY_POLL_US : 0,
	};
	struct vio_port_conf *confs;
	int n, i, ret = 0;

	confs = calloc(MAX_DEVICES, sizeof(*confs));
	if (!confs)
		return tool_fail("device", "out of memory");
	n = parse(argc, argv, &process, confs);
	if (n < 0)
		ret = -n;
	else if (process.print_capabilities)
		ret = device_capabilities();
	else {
		for (i = 0; i < n && !ret; i++)
			ret = check_device(&confs[i]);
		if (!process.workers.count)
			process.workers.count = process.workers.num_cpus ?
							process.workers.num_cpus :
							default_workers(confs, n);
		if (!ret)
			ret = run_devices(confs, n, &process);
	}
	free(confs);
	return ret;
}

const struct tool_command tool_device = {
	.name = "device",
	.synopsis = synopsis,
	.summary = "serve virtio-net devices to virtual machines over vhost-user",
	.run = run,
};
