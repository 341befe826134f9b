/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct bench without a word: our driver against our device.
 *
 * Each run has a device of its own, in a child process that ends when our end of a socket pair is
 * closed, whatever becomes of us. The two speak vhost-user over a socket in a temporary folder and
 * share memory, as a guest and its device do. The driver polls on one core and the device on
 * another, where there are two.
 *
 * Kinds of run take turns, round by round, so that what else the machine does falls on all of them;
 * medians are what to look at.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "bench.h"
#include "port/port.h"
#include "tool.h"

#define COMMAND	   "bench"
#define MAX_SIZES  16
#define MAX_ROUNDS 1000

/* A kind of run. */
struct direction {
	const char *name;
	enum bench_mode mode;
	const char *backend; /* of the device; source gets the size */
};

static const struct direction directions[] = {
	{ "driver to device", BENCH_TXONLY, "null" },
	{ "device to driver", BENCH_RXONLY, "source,size=" },
	{ "echo", BENCH_ECHO, "loop" },
};

#define NUM_DIRECTIONS (sizeof(directions) / sizeof(directions[0]))

struct options {
	uint32_t sizes[MAX_SIZES];
	unsigned num_sizes, rounds;
	double seconds;
	bool json;
};

struct sample {
	double mpps, gbps;
};

struct both {
	struct options opt;
	int driver_core, device_core; /* -1: wherever */
	char folder[64], socket[80];
	struct sample *samples; /* by size, direction and round */
};

/* ------------------------------------------------------------------------------------------
 * The device's process
 */
static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (core >= 0) {
		CPU_SET((size_t)core, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
}

/* Serves front ends until @parent is closed at the other end. */
static void serve(struct vio_port *port, int parent)
{
	struct epoll_event port_event = { .events = EPOLLIN, .data.u32 = 1 };
	struct epoll_event end_event = { .events = EPOLLIN, .data.u32 = 0 }, got;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, vio_port_fd(port), &port_event) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, parent, &end_event) < 0)
		return;
	for (;;) {
		if (epoll_wait(epoll_fd, &got, 1, -1) != 1)
			continue;
		if (got.data.u32 == 0)
			return;
		vio_port_handle(port);
	}
}

/* The whole life of the child. Returns its exit status. */
static int be_device(const struct both *both, const struct direction *direction, uint32_t size,
		     int parent)
{
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);
	/* One worker; it polls for as long as frames come, as the driver does. */
	struct vio_workers_conf workers_conf = { .count = 1, .busy_poll_us = 1000000 };
	struct vio_port_conf conf = {
		.vhost_user = { .socket_path = both->socket, .fd = -1 },
	};
	struct vio_error err = { "" };
	struct vio_workers *workers;
	struct vio_port *port;
	char backend[64];
	int ret;

	signal(SIGINT, SIG_IGN); /* the parent decides when it ends */
	signal(SIGTERM, SIG_DFL);
	pin(both->device_core);
	vio_net_props_init(&conf.props);
	conf.props.mtu = size > 1514 ? size - VIO_ETH_HLEN : 0;
	snprintf(backend, sizeof(backend), "%s", direction->backend);
	if (direction->mode == BENCH_RXONLY)
		snprintf(backend, sizeof(backend), "%s%u", direction->backend, size);
	conf.backend = backend;
	ret = vio_workers_create(host, &workers_conf, &workers, &err);
	if (ret)
		return tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret));
	ret = vio_port_open(host, workers, &conf, &port, &err);
	if (ret) {
		vio_workers_destroy(workers);
		return tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret));
	}
	serve(port, parent);
	vio_port_close(port);
	vio_workers_destroy(workers);
	return TOOL_OK;
}

/* ------------------------------------------------------------------------------------------
 * Runs
 */
static int run_once(struct both *both, const struct direction *direction, uint32_t size,
		    struct sample *sample)
{
	struct bench_conf conf = {
		.mode = direction->mode,
		.seconds = both->opt.seconds,
		.patience = 10,
		.size = size,
		.pairs = 1,
	};
	struct bench_result result;
	int life[2], status, ret;
	pid_t child;

	snprintf(conf.via.path, sizeof(conf.via.path), "%s", both->socket);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) < 0)
		return tool_fail(COMMAND, "socketpair: %s", strerror(errno));
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(life[0]);
		_exit(be_device(both, direction, size, life[1]));
	}
	close(life[1]);
	if (child < 0) {
		close(life[0]);
		return tool_fail(COMMAND, "fork: %s", strerror(errno));
	}
	ret = bench_run(&conf, &result);
	close(life[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status)))
		ret = tool_fail(COMMAND, "the device's process ended with status %#x", status);
	sample->mpps = bench_mpps(&conf, &result);
	sample->gbps = bench_gbps(&conf, &result);
	return ret;
}

static struct sample *samples_of(struct both *both, unsigned size, unsigned direction)
{
	return both->samples + (size * NUM_DIRECTIONS + direction) * both->opt.rounds;
}

/* All rounds. How many were done goes to *@rounds. */
static int run_rounds(struct both *both, unsigned *rounds)
{
	unsigned round, i, d;
	int ret;

	for (round = 0; round < both->opt.rounds; round++) {
		for (i = 0; i < both->opt.num_sizes; i++)
			for (d = 0; d < NUM_DIRECTIONS; d++) {
				ret = run_once(both, &directions[d], both->opt.sizes[i],
					       &samples_of(both, i, d)[round]);
				if (ret || front_ending)
					return ret;
			}
		*rounds = round + 1;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * What is printed
 */
struct spread {
	double median, min, max;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Over @n values that are a struct sample apart. */
static struct spread spread_of(const double *first, unsigned n)
{
	double sorted[MAX_ROUNDS];
	unsigned i;

	for (i = 0; i < n; i++)
		sorted[i] = first[i * (sizeof(struct sample) / sizeof(double))];
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return (struct spread){
		.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
		.min = sorted[0],
		.max = sorted[n - 1],
	};
}

static json_t *spread_json(const struct spread *s)
{
	return json_pack("{s:f, s:f, s:f}", "median", s->median, "min", s->min, "max", s->max);
}

static void print_results(struct both *both, unsigned rounds)
{
	json_t *results = json_array(), *root;
	struct spread mpps, gbps;
	struct sample *samples;
	unsigned i, d;

	if (!both->opt.json)
		printf("median of %u rounds of %g s (least to most); driver on core %d, device on "
		       "core %d\n%-18s %6s  %-26s  %s\n",
		       rounds, both->opt.seconds, both->driver_core, both->device_core, "", "bytes",
		       "Mpps", "Gbit/s of frames");
	for (i = 0; i < both->opt.num_sizes; i++)
		for (d = 0; d < NUM_DIRECTIONS; d++) {
			samples = samples_of(both, i, d);
			mpps = spread_of(&samples[0].mpps, rounds);
			gbps = spread_of(&samples[0].gbps, rounds);
			if (!both->opt.json)
				printf("%-18s %6u  %7.3f (%7.3f to %7.3f)  %7.3f (%.3f to %.3f)\n",
				       directions[d].name, both->opt.sizes[i], mpps.median,
				       mpps.min, mpps.max, gbps.median, gbps.min, gbps.max);
			json_array_append_new(results, json_pack("{s:s, s:i, s:o, s:o}",
								 "direction", directions[d].name,
								 "size", (int)both->opt.sizes[i],
								 "mpps", spread_json(&mpps), "gbps",
								 spread_json(&gbps)));
		}
	root = json_pack("{s:i, s:f, s:i, s:i, s:o}", "rounds", (int)rounds, "seconds",
			 both->opt.seconds, "driver_core", both->driver_core, "device_core",
			 both->device_core, "results", results);
	if (both->opt.json) {
		json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
		printf("\n");
	}
	json_decref(root);
}

/* ------------------------------------------------------------------------------------------
 * The command line
 */
static int parse_sizes(char *text, struct options *opt)
{
	char *save = NULL, *word;

	opt->num_sizes = 0;
	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (opt->num_sizes == MAX_SIZES)
			return tool_usage(COMMAND, "--size: at most %d sizes", MAX_SIZES);
		if (bench_parse_size(word, false, &opt->sizes[opt->num_sizes++]))
			return TOOL_USAGE;
	}
	return opt->num_sizes ? 0 : tool_usage(COMMAND, "--size: needs a number of bytes");
}

static int parse(int argc, char **argv, struct options *opt)
{
	static const struct option long_options[] = {
		{ "size", required_argument, NULL, 'z' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int64_t n;
	int c, ret = 0;

	opterr = 0;
	optind = 1;
	while (!ret && (c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (c) {
		case 'z':
			ret = parse_sizes(optarg, opt);
			break;
		case 's':
			ret = front_seconds(COMMAND, "--seconds", optarg, 0.01, 3600,
					    &opt->seconds);
			break;
		case 'r':
			ret = tool_number(COMMAND, "--rounds", optarg, 1, MAX_ROUNDS, &n);
			opt->rounds = ret ? 0 : (unsigned)n;
			break;
		case 'j':
			opt->json = true;
			break;
		case 'h':
			tool_help(&tool_bench);
			exit(TOOL_OK);
		default:
			return tool_bad_option(COMMAND, argv, c);
		}
	}
	if (!ret && optind < argc)
		ret = tool_usage(COMMAND,
				 "%s: expected driver, device or an option (see vioduct "
				 "bench --help)",
				 argv[optind]);
	return ret;
}

/* The first two cores that we may run on. */
static void choose_cores(struct both *both)
{
	cpu_set_t set;
	int core;

	both->driver_core = both->device_core = -1;
	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 2)
		return;
	for (core = 0; both->device_core < 0; core++) {
		if (!CPU_ISSET((size_t)core, &set))
			continue;
		if (both->driver_core < 0)
			both->driver_core = core;
		else
			both->device_core = core;
	}
}

int bench_both(int argc, char **argv)
{
	struct both both = {
		.opt = { .sizes = { 64 }, .num_sizes = 1, .rounds = 5, .seconds = 1 },
		.folder = "/tmp/vioduct-XXXXXX",
	};
	unsigned rounds = 0;
	sigset_t mask;
	int ret;

	ret = parse(argc, argv, &both.opt);
	if (ret)
		return ret;
	both.samples = calloc((size_t)both.opt.num_sizes * NUM_DIRECTIONS * both.opt.rounds,
			      sizeof(both.samples[0]));
	if (!both.samples)
		return tool_fail(COMMAND, "out of memory");
	if (!mkdtemp(both.folder)) {
		free(both.samples);
		return tool_fail(COMMAND, "%s: %s", both.folder, strerror(errno));
	}
	snprintf(both.socket, sizeof(both.socket), "%s/net", both.folder);
	mask = front_catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	choose_cores(&both);
	pin(both.driver_core);
	ret = run_rounds(&both, &rounds);
	if (rounds)
		print_results(&both, rounds);
	else if (!ret)
		ret = tool_fail(COMMAND, "ended before the first round was through");
	unlink(both.socket);
	rmdir(both.folder);
	free(both.samples);
	return ret;
}
