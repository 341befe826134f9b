/* SPDX-License-Identifier: BSD-2-Clause */
/* vioduct bench: the choice of what is measured, and `vioduct bench driver`. */
#include "bench.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "bench_frame.h"
#include "tool.h"

#define COMMAND "bench"

int bench_parse_size(const char *text, bool allow_random, uint32_t *size)
{
	int64_t n;

	if (allow_random && strcmp(text, "random") == 0) {
		*size = 0;
		return 0;
	}
	if (tool_number(COMMAND, "--size", text, BENCH_SIZE_MIN, BENCH_SIZE_MAX, &n))
		return TOOL_USAGE;
	*size = (uint32_t)n;
	return 0;
}

static int parse_mode(const char *text, enum bench_mode *mode)
{
	unsigned i;

	for (i = BENCH_TXONLY; i <= BENCH_MACSWAP; i++)
		if (strcmp(text, bench_mode_name(i)) == 0) {
			*mode = i;
			return 0;
		}
	return tool_usage(COMMAND, "--mode: %s: must be txonly, rxonly, echo or macswap-check",
			  text);
}

/* ------------------------------------------------------------------------------------------
 * What `vioduct bench driver` prints
 */
static void print_json(const struct bench_conf *conf, const struct bench_result *r)
{
	json_t *root;

	root = json_pack("{s:s, s:I, s:I, s:I, s:I}", "mode", bench_mode_name(conf->mode),
			 "tx_packets", (json_int_t)r->tx_packets, "tx_bytes",
			 (json_int_t)r->tx_bytes, "rx_packets", (json_int_t)r->rx_packets,
			 "rx_bytes", (json_int_t)r->rx_bytes);
	json_object_update_new(root, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "verified",
					       (json_int_t)r->verified, "lost", (json_int_t)r->lost,
					       "corrupt", (json_int_t)r->corrupt, "duplicate",
					       (json_int_t)r->duplicate, "reordered",
					       (json_int_t)r->reordered, "recoveries",
					       (json_int_t)r->recoveries));
	json_object_update_new(root, json_pack("{s:f, s:f, s:f}", "mpps", bench_mpps(conf, r),
					       "gbps", bench_gbps(conf, r), "seconds", r->seconds));
	json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

static void print_text(const struct bench_conf *conf, const struct bench_result *r)
{
	printf("%s: %.3f Mpps, %.3f Gbit/s in %.3f s: %" PRIu64 " frames sent, %" PRIu64
	       " received, %" PRIu64 " lost",
	       bench_mode_name(conf->mode), bench_mpps(conf, r), bench_gbps(conf, r), r->seconds,
	       r->tx_packets, r->rx_packets, r->lost);
	if (conf->verify)
		printf(", %" PRIu64 " verified, %" PRIu64 " corrupt, %" PRIu64
		       " duplicate, %" PRIu64 " reordered",
		       r->verified, r->corrupt, r->duplicate, r->reordered);
	if (r->recoveries)
		printf(", %" PRIu64 " recoveries", r->recoveries);
	printf("\n");
}

/* In a verified run all has to come back as it was; what died with a device is its loss. */
static bool failed(const struct bench_conf *conf, const struct bench_result *r)
{
	return conf->verify && (r->corrupt || (r->lost && !r->recoveries));
}

/* ------------------------------------------------------------------------------------------
 * `vioduct bench driver`
 */
struct driver_options {
	struct bench_conf conf;
	bool have_via, have_mode, json;
};

static const struct option driver_long_options[] = {
	{ "via", required_argument, NULL, 'v' },
	{ "mode", required_argument, NULL, 'm' },
	{ "frames", required_argument, NULL, 'f' },
	{ "seconds", required_argument, NULL, 's' },
	{ "size", required_argument, NULL, 'z' },
	{ "queue-pairs", required_argument, NULL, 'q' },
	{ "patience", required_argument, NULL, 'p' },
	{ "features", required_argument, NULL, 'F' },
	{ "verify", no_argument, NULL, 'c' },
	{ "reconnect", no_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_driver_option(int c, struct driver_options *opt)
{
	struct bench_conf *conf = &opt->conf;
	int64_t n = 0;
	int ret;

	switch (c) {
	case 'v':
		opt->have_via = true;
		return front_address(COMMAND, "--via", optarg, &conf->via);
	case 'm':
		opt->have_mode = true;
		return parse_mode(optarg, &conf->mode);
	case 'f':
		ret = tool_number(COMMAND, "--frames", optarg, 1, INT64_C(1) << 47, &n);
		conf->frames = (uint64_t)n;
		return ret;
	case 's':
		return front_seconds(COMMAND, "--seconds", optarg, 0.01, 86400, &conf->seconds);
	case 'z':
		return bench_parse_size(optarg, true, &conf->size);
	case 'q':
		ret = tool_number(COMMAND, "--queue-pairs", optarg, 1, VIO_DRIVER_MAX_PAIRS, &n);
		conf->pairs = (unsigned)n;
		return ret;
	case 'p':
		return front_seconds(COMMAND, "--patience", optarg, 0.1, 86400, &conf->patience);
	case 'F':
		return tool_features_option(COMMAND, "--features", optarg, &conf->add,
					    &conf->remove);
	case 'c':
		conf->verify = true;
		return 0;
	case 'r':
		conf->reconnect = true;
		return 0;
	default:
		opt->json = true;
		return 0;
	}
}

static int parse_driver(int argc, char **argv, struct driver_options *opt)
{
	int c, ret = 0;

	opterr = 0;
	optind = 1;
	while (!ret && (c = getopt_long(argc, argv, ":", driver_long_options, NULL)) != -1) {
		if (c == 'h') {
			tool_help(&tool_bench);
			exit(TOOL_OK);
		}
		if (c == '?' || c == ':')
			return tool_bad_option(COMMAND, argv, c);
		ret = parse_driver_option(c, opt);
	}
	if (ret)
		return ret;
	if (optind < argc)
		return tool_usage(COMMAND, "%s: not an option (see vioduct bench --help)",
				  argv[optind]);
	if (!opt->have_via || !opt->have_mode)
		return tool_usage(COMMAND, "%s is needed (see vioduct bench --help)",
				  opt->have_via ? "--mode" : "--via vhost-user:PATH");
	if (opt->conf.frames && opt->conf.seconds > 0)
		return tool_usage(COMMAND, "one of --frames and --seconds, not both");
	return 0;
}

int bench_driver(int argc, char **argv)
{
	struct driver_options opt = { .conf = { .size = 64, .pairs = 1, .patience = 10 } };
	struct bench_result result;
	sigset_t mask;
	int ret;

	ret = parse_driver(argc, argv, &opt);
	if (ret)
		return ret;
	if (!opt.conf.frames && opt.conf.seconds <= 0)
		opt.conf.seconds = 5;
	if (opt.conf.mode == BENCH_MACSWAP)
		opt.conf.verify = true;
	opt.conf.progress = isatty(STDERR_FILENO);
	mask = front_catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	ret = bench_run(&opt.conf, &result);
	if (ret == TOOL_USAGE)
		return ret;
	if (opt.json)
		print_json(&opt.conf, &result);
	else
		print_text(&opt.conf, &result);
	return ret || failed(&opt.conf, &result) ? TOOL_FAILED : TOOL_OK;
}

/* ------------------------------------------------------------------------------------------
 * The choice
 */
static int bench_device(int argc, char **argv)
{
	return tool_device.run(argc, argv);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} subjects[] = {
	{ "driver", bench_driver },
	{ "device", bench_device },
};

static int run(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(subjects) / sizeof(subjects[0]); i++)
		if (strcmp(argv[1], subjects[i].name) == 0)
			return subjects[i].run(argc - 1, argv + 1);
	return bench_both(argc, argv);
}

static const char synopsis[] =
	"[--size N[,N…]] [--seconds S] [--rounds N] [--json]\n"
	"       vioduct bench driver --via vhost-user:PATH[,server] --mode MODE [OPTION]…\n"
	"       vioduct bench device …     the same as vioduct device …\n"
	"\n"
	"Without a word: our driver and our device, each in a process and on a core of its own,\n"
	"driver to device, device to driver and echo, in turn.\n"
	"\n"
	"  --size N[,N…]           bytes of a frame, without its checksum; default 64\n"
	"  --seconds S             of each run; default 1\n"
	"  --rounds N              runs of each kind; default 5\n"
	"\n"
	"With `driver`: our driver on the device that serves PATH (\",server\": that connects).\n"
	"\n"
	"  --mode txonly|rxonly|echo|macswap-check\n"
	"                          what the other side does with frames: takes them, makes them,\n"
	"                          sends them back, sends them back with their addresses swapped\n"
	"  --frames N              to move; or\n"
	"  --seconds S             to go on for; default 5\n"
	"  --size N|random         bytes of each frame; default 64\n"
	"  --verify                check every byte, and the order, of what comes back (for rxonly,\n"
	"                          of what the back end `source` makes); macswap-check always does\n"
	"  --queue-pairs N         default 1\n"
	"  --features +NAME,-NAME  features to accept beside the usual ones, or not\n"
	"  --reconnect             wait for a device that goes away, and go on\n"
	"  --patience S            in which something has to move; default 10\n"
	"\n"
	"  --json                  the result as one JSON object\n"
	"\n"
	"Exit 1 when the run came to nothing, or when anything was lost or corrupt in a verified one.";

const struct tool_command tool_bench = {
	.name = COMMAND,
	.synopsis = synopsis,
	.summary = "measure the driver and the device",
	.run = run,
};
