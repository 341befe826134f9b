/* SPDX-License-Identifier: BSD-2-Clause */
/* vioduct bench: the choice of what is measured, and `vioduct bench driver`. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "bench_frame.h"
#include "bench_latency.h"
#include "bench_stat.h"
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

/* ------------------------------------------------------------------------------------------
 * What is measured in rounds
 */
static int parse_sizes(char *text, struct bench_rounds *opt)
{
	char *save = NULL, *word;

	opt->num_sizes = 0;
	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (opt->num_sizes == BENCH_MAX_SIZES)
			return tool_usage(COMMAND, "--size: at most %d sizes", BENCH_MAX_SIZES);
		if (bench_parse_size(word, false, &opt->sizes[opt->num_sizes++]))
			return TOOL_USAGE;
	}
	return opt->num_sizes ? 0 : tool_usage(COMMAND, "--size: needs a number of bytes");
}

static int parse_rounds_option(int c, void *ctx)
{
	struct bench_rounds *opt = ctx;
	int64_t n = 0;
	int ret;

	switch (c) {
	case 'z':
		return parse_sizes(optarg, opt);
	case 's':
		return front_seconds(COMMAND, "--seconds", optarg, 0.01, 3600, &opt->seconds);
	case 'r':
		ret = tool_number(COMMAND, "--rounds", optarg, 1, BENCH_MAX_ROUNDS, &n);
		opt->rounds = (unsigned)n;
		return ret;
	case 'l':
		opt->no_limit = true;
		return 0;
	case 'k':
		opt->packed = strcmp(optarg, "packed") == 0;
		opt->buffers = strcmp(optarg, "buffers") == 0;
		if (opt->packed || opt->buffers)
			return 0;
		return tool_usage(COMMAND, "--kind: %s: must be buffers or packed", optarg);
	default:
		opt->json = true;
		return 0;
	}
}

int bench_parse_rounds(int argc, char **argv, struct bench_rounds *opt)
{
	static const struct option long_options[] = {
		{ "size", required_argument, NULL, 'z' },
		{ "seconds", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "no-limit", no_argument, NULL, 'l' },
		{ "kind", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int ret;

	ret = tool_parse(&tool_bench, argc, argv, ":", long_options, parse_rounds_option, opt);
	if (!ret && optind < argc)
		ret = tool_usage(COMMAND,
				 "%s: expected driver, device, limit, latency or an option (see "
				 "vioduct bench --help)",
				 argv[optind]);
	return ret;
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
	bool latency, interrupts;
};

static int parse_mode(const char *text, struct driver_options *opt)
{
	unsigned i;

	opt->have_mode = true;
	opt->latency = strcmp(text, "latency") == 0;
	if (opt->latency)
		return 0;
	for (i = BENCH_TXONLY; i <= BENCH_MACSWAP; i++)
		if (strcmp(text, bench_mode_name(i)) == 0) {
			opt->conf.mode = i;
			return 0;
		}
	return tool_usage(COMMAND,
			  "--mode: %s: must be txonly, rxonly, echo, macswap-check or latency",
			  text);
}

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
	{ "interrupts", no_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_driver_option(int c, void *ctx)
{
	struct driver_options *opt = ctx;
	struct bench_conf *conf = &opt->conf;
	int64_t n = 0;
	int ret;

	switch (c) {
	case 'v':
		opt->have_via = true;
		return front_address(COMMAND, "--via", optarg, &conf->via);
	case 'm':
		return parse_mode(optarg, opt);
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
	case 'i':
		opt->interrupts = true;
		return 0;
	default:
		opt->json = true;
		return 0;
	}
}

/* What goes with what. */
static int check_driver(const struct driver_options *opt)
{
	const struct bench_conf *conf = &opt->conf;

	if (!opt->have_via || !opt->have_mode)
		return tool_usage(COMMAND, "%s is needed (see vioduct bench --help)",
				  opt->have_via ? "--mode" : "--via vhost-user:PATH");
	if (conf->frames && conf->seconds > 0)
		return tool_usage(COMMAND, "one of --frames and --seconds, not both");
	if (opt->interrupts && !opt->latency)
		return tool_usage(COMMAND, "--interrupts goes with --mode latency");
	if (opt->latency && (!conf->size || conf->pairs != 1 || conf->verify || conf->reconnect))
		return tool_usage(COMMAND,
				  "--mode latency: one frame at a time, all of one size, on one "
				  "pair: without --size random, --queue-pairs, --verify and "
				  "--reconnect");
	return 0;
}

static int parse_driver(int argc, char **argv, struct driver_options *opt)
{
	int ret;

	ret = tool_parse(&tool_bench, argc, argv, ":", driver_long_options, parse_driver_option,
			 opt);
	if (ret)
		return ret;
	if (optind < argc)
		return tool_usage(COMMAND, "%s: not an option (see vioduct bench --help)",
				  argv[optind]);
	return check_driver(opt);
}

static int measure_latency(const struct driver_options *opt)
{
	struct bench_latency result;
	int ret;

	ret = bench_latency_run(&opt->conf, opt->interrupts, &result);
	if (ret == TOOL_USAGE)
		return ret;
	bench_latency_print(&result, opt->interrupts, opt->json);
	return ret || result.corrupt || !result.rtt.count ? TOOL_FAILED : TOOL_OK;
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
	if (opt.latency)
		return measure_latency(&opt);
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
	{ "limit", bench_limit },
	{ "latency", bench_latency },
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
	"[--size N[,N…]] [--seconds S] [--rounds N] [--no-limit] [--json]\n"
	"       vioduct bench driver --via vhost-user:PATH[,server] --mode MODE [OPTION]…\n"
	"       vioduct bench limit [--kind buffers|packed] [--size N[,N…]] [--seconds S]\n"
	"                           [--rounds N] [--json]\n"
	"       vioduct bench latency [--size N[,N…]] [--seconds S] [--rounds N] [--json]\n"
	"       vioduct bench device …     the same as vioduct device …\n"
	"\n"
	"Without a word: our driver and our device, each in a process and on a core of its own,\n"
	"driver to device, device to driver and echo, in turn with the two-core limit.\n"
	"With `limit`: what two cores can do at most: they hand frames over through flags alone.\n"
	"With `latency`: a frame at a time through our device and back, both sides polling, then\n"
	"both asleep until they are notified, in turn with a bare wake-up through eventfds.\n"
	"\n"
	"  --size N[,N…]           bytes of a frame, without its checksum; default 64, with `limit`\n"
	"                          64,128,256,512,1024,1518,9000\n"
	"  --seconds S             of each run; default 1, with `limit` 0.2\n"
	"  --rounds N              runs of each kind; default 5\n"
	"  --no-limit              without a word: leave the two-core limit out\n"
	"  --kind buffers|packed   limit: only with buffers that have room for any frame, as a ring's\n"
	"                          have, or only with frames side by side; default both\n"
	"\n"
	"With `driver`: our driver on the device that serves PATH (\",server\": that connects).\n"
	"\n"
	"  --mode txonly|rxonly|echo|macswap-check|latency\n"
	"                          what the other side does with frames: takes them, makes them,\n"
	"                          sends them back, sends them back with their addresses swapped;\n"
	"                          latency: one at a time, back either way\n"
	"  --frames N              to move; or\n"
	"  --seconds S             to go on for; default 5\n"
	"  --size N|random         bytes of each frame; default 64\n"
	"  --verify                check every byte, and the order, of what comes back (for rxonly,\n"
	"                          of what the back end `source` makes); macswap-check always does\n"
	"  --queue-pairs N         default 1\n"
	"  --features +NAME,-NAME  features to accept beside the usual ones, or not\n"
	"  --reconnect             wait for a device that goes away, and go on\n"
	"  --interrupts            latency: sleep until the device interrupts, instead of polling\n"
	"  --patience S            in which something has to move; default 10\n"
	"\n"
	"SIGUSR1 prints frames sent and received (limit: handed over) so far and the time, as one\n"
	"JSON object.\n"
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
