/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of `vioduct bench`: what is measured, and what is refused. */
/* In front of cmocka, which has a macro by the name of a function in here. */
#include "../../tools/tool.c"
#include "../../tools/front.c"
#include "../../tools/bench.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* What would be run. */
static struct bench_conf ran;
static bool ran_latency, ran_interrupts;
static const char *ran_subject;

int bench_run(const struct bench_conf *conf, struct bench_result *result)
{
	memset(result, 0, sizeof(*result));
	ran = *conf;
	ran_subject = "driver";
	return TOOL_OK;
}

int bench_latency_run(const struct bench_conf *conf, bool interrupts, struct bench_latency *result)
{
	memset(result, 0, sizeof(*result));
	result->rtt.count = 1;
	ran = *conf;
	ran_latency = true;
	ran_interrupts = interrupts;
	return TOOL_OK;
}

void bench_latency_print(const struct bench_latency *result, bool interrupts, bool json)
{
	(void)result;
	(void)interrupts;
	(void)json;
}

double bench_mpps(const struct bench_conf *conf, const struct bench_result *result)
{
	(void)conf;
	(void)result;
	return 0;
}

double bench_gbps(const struct bench_conf *conf, const struct bench_result *result)
{
	return bench_mpps(conf, result);
}

const char *bench_mode_name(enum bench_mode mode)
{
	static const char *const names[] = { "txonly", "rxonly", "echo", "macswap-check" };

	return names[mode];
}

static int note(const char *subject)
{
	ran_subject = subject;
	return TOOL_OK;
}

int bench_both(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return note("both");
}

int bench_limit(int argc, char **argv)
{
	(void)argc;
	return note(strcmp(argv[0], "limit") == 0 ? "limit" : "?");
}

int bench_latency(int argc, char **argv)
{
	(void)argc;
	return note(strcmp(argv[0], "latency") == 0 ? "latency" : "?");
}

static int run_device(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return note("device");
}

const struct tool_command tool_device = { .name = "device", .run = run_device };

/* Calls @run with the words of a line. */
static int with_line(int (*run_it)(int argc, char **argv), const char *line)
{
	char text[512], *save = NULL, *words[32];
	int n = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (words[n] = strtok_r(text, " ", &save); words[n]; words[n] = strtok_r(NULL, " ", &save))
		n++;
	memset(&ran, 0, sizeof(ran));
	ran_latency = ran_interrupts = false;
	ran_subject = NULL;
	return run_it(n, words);
}

static struct bench_rounds parsed;

static int parse_rounds(int argc, char **argv)
{
	parsed =
		(struct bench_rounds){ .sizes = { 64 }, .num_sizes = 1, .rounds = 5, .seconds = 1 };
	return bench_parse_rounds(argc, argv, &parsed);
}

static void test_rounds(void **state)
{
	(void)state;
	assert_int_equal(with_line(parse_rounds, "bench"), 0);
	assert_int_equal(parsed.num_sizes, 1);
	assert_int_equal(parsed.sizes[0], 64);
	assert_int_equal(parsed.rounds, 5);
	assert_false(parsed.json || parsed.no_limit);
	assert_int_equal(with_line(parse_rounds,
				   "limit --size 60,1518,65535 --rounds 7 --seconds 0.25 "
				   "--no-limit --json"),
			 0);
	assert_int_equal(parsed.num_sizes, 3);
	assert_int_equal(parsed.sizes[0], 60);
	assert_int_equal(parsed.sizes[1], 1518);
	assert_int_equal(parsed.sizes[2], 65535);
	assert_int_equal(parsed.rounds, 7);
	assert_true(parsed.seconds == 0.25);
	assert_true(parsed.json && parsed.no_limit);
	assert_int_equal(with_line(parse_rounds, "limit --kind packed"), 0);
	assert_true(parsed.packed && !parsed.buffers);
	assert_int_equal(with_line(parse_rounds, "limit --kind packed --kind buffers"), 0);
	assert_true(parsed.buffers && !parsed.packed);
	assert_int_equal(with_line(parse_rounds, "limit --kind any"), TOOL_USAGE);
	assert_int_equal(with_line(parse_rounds,
				   "x --size 64,64,64,64,64,64,64,64,64,64,64,64,64,64,"
				   "64,64"),
			 0);
	assert_int_equal(parsed.num_sizes, BENCH_MAX_SIZES);
}

static void test_rounds_refused(void **state)
{
	static const char *const lines[] = {
		"x --size 59",
		"x --size 65536",
		"x --size random",
		"x --size 64,x",
		"x --size ,",
		"x --size",
		"x --size 64,64,64,64,64,64,64,64,64,64,64,64,64,64,64,64,64",
		"x --rounds 0",
		"x --rounds 1001",
		"x --seconds 0",
		"x --seconds one",
		"x --frames 5",
		"x latencies",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(with_line(parse_rounds, lines[i]), TOOL_USAGE);
}

static void test_subjects(void **state)
{
	(void)state;
	assert_int_equal(with_line(run, "bench limit --size 64"), TOOL_OK);
	assert_string_equal(ran_subject, "limit");
	assert_int_equal(with_line(run, "bench latency"), TOOL_OK);
	assert_string_equal(ran_subject, "latency");
	assert_int_equal(with_line(run, "bench device"), TOOL_OK);
	assert_string_equal(ran_subject, "device");
	assert_int_equal(with_line(run, "bench --size 64"), TOOL_OK);
	assert_string_equal(ran_subject, "both");
	assert_int_equal(with_line(run, "bench"), TOOL_OK);
	assert_string_equal(ran_subject, "both");
}

static void test_driver(void **state)
{
	(void)state;
	assert_int_equal(with_line(bench_driver, "driver --via vhost-user:/s --mode rxonly"),
			 TOOL_OK);
	assert_string_equal(ran_subject, "driver");
	assert_string_equal(ran.via.path, "/s");
	assert_int_equal(ran.mode, BENCH_RXONLY);
	assert_true(ran.seconds == 5 && ran.frames == 0 && ran.size == 64 && ran.pairs == 1);
	assert_false(ran.verify || ran_latency);
	assert_int_equal(with_line(bench_driver, "driver --via vhost-user:/s --mode macswap-check "
						 "--frames 9 --size random --queue-pairs 3"),
			 TOOL_OK);
	assert_int_equal(ran.mode, BENCH_MACSWAP);
	assert_true(ran.seconds == 0 && ran.frames == 9 && ran.size == 0 && ran.pairs == 3);
	assert_true(ran.verify);
}

static void test_driver_latency(void **state)
{
	(void)state;
	assert_int_equal(with_line(bench_driver, "driver --via vhost-user:/s --mode latency"),
			 TOOL_OK);
	assert_true(ran_latency && !ran_interrupts && !ran_subject);
	assert_int_equal(with_line(bench_driver, "driver --via vhost-user:/s,server --mode latency "
						 "--interrupts --frames 10 --size 1518"),
			 TOOL_OK);
	assert_true(ran_latency && ran_interrupts && ran.via.server);
	assert_true(ran.frames == 10 && ran.size == 1518);
}

static void test_driver_refused(void **state)
{
	static const char *const rest[] = {
		"",
		"--mode txonly",
		"--via vhost-user:/s",
		"--via /s --mode txonly",
		"--via vhost-user:/s --mode sideways",
		"--via vhost-user:/s --mode txonly --frames 1 --seconds 1",
		"--via vhost-user:/s --mode txonly --interrupts",
		"--via vhost-user:/s --mode latency --size random",
		"--via vhost-user:/s --mode latency --queue-pairs 2",
		"--via vhost-user:/s --mode latency --verify",
		"--via vhost-user:/s --mode latency --reconnect",
		"--via vhost-user:/s --mode txonly more",
	};
	char line[128];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		snprintf(line, sizeof(line), "driver %s", rest[i]);
		assert_int_equal(with_line(bench_driver, line), TOOL_USAGE);
		assert_true(!ran_latency && !ran_subject);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),	       cmocka_unit_test(test_rounds_refused),
		cmocka_unit_test(test_subjects),       cmocka_unit_test(test_driver),
		cmocka_unit_test(test_driver_latency), cmocka_unit_test(test_driver_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
