/* SPDX-License-Identifier: BSD-2-Clause */
/* What the subcommands of `vioduct` share: their table, one-line errors, numbers and addresses. */
#ifndef TOOL_H
#define TOOL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include <vioduct/features.h>

enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

struct tool_command {
	const char *name;
	const char *synopsis; /* after the name, may run over several lines */
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the subcommand; returns an exit status */
};

extern const struct tool_command tool_device, tool_probe, tool_ping, tool_features, tool_bench;

/* Prints "vioduct COMMAND: …" as one line and returns TOOL_USAGE or TOOL_FAILED. */
int tool_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int tool_fail(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints the synopsis of a subcommand and what it is for. */
void tool_help(const struct tool_command *command);

/*
 * A number from @min to @max, decimal or 0x…. 0, or TOOL_USAGE after saying which option it was,
 * what was given and what is allowed.
 */
int tool_number(const char *command, const char *option, const char *text, int64_t min, int64_t max,
		int64_t *value);

/* aa:bb:cc:dd:ee:ff. 0, or TOOL_USAGE with a message. */
int tool_mac(const char *command, const char *option, const char *text, uint8_t mac[6]);

/* "+NAME,-NAME…": features to add to a set, and to take out of it. Changes @text. 0, or TOOL_USAGE
 * with a message. */
int tool_features_option(const char *command, const char *option, char *text,
			 struct vio_features *add, struct vio_features *remove);

/* What getopt_long() could not make sense of: says it. Returns TOOL_USAGE. */
int tool_bad_option(const char *command, char **argv, int result);

/*
 * Reads options: each goes to @take, its value in optarg, which returns 0, or TOOL_USAGE after a
 * message. @short_options begins with ':'. 'h' is --help, which is answered and ends the process. 0,
 * or TOOL_USAGE after a message; argv[optind] is then the first that is no option.
 */
int tool_parse(const struct tool_command *command, int argc, char **argv, const char *short_options,
	       const struct option *options, int (*take)(int c, void *ctx), void *ctx);

/* The same for a command that has --json alone. */
int tool_parse_json(const struct tool_command *command, int argc, char **argv, bool *json);

#endif
