/* SPDX-License-Identifier: BSD-2-Clause */
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void complain(const char *command, const char *fmt, va_list ap)
{
	fprintf(stderr, "vioduct %s: ", command);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int tool_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(command, fmt, ap);
	va_end(ap);
	return TOOL_USAGE;
}

int tool_fail(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(command, fmt, ap);
	va_end(ap);
	return TOOL_FAILED;
}

void tool_help(const struct tool_command *command)
{
	printf("usage: vioduct %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
}

int tool_number(const char *command, const char *option, const char *text, int64_t min, int64_t max,
		int64_t *value)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 0);
	if (errno == 0 && end != text && *end == '\0' && n >= min && n <= max) {
		*value = n;
		return 0;
	}
	return tool_usage(command, "%s: %s: must be a number between %" PRId64 " and %" PRId64,
			  option, text, min, max);
}

int tool_mac(const char *command, const char *option, const char *text, uint8_t mac[6])
{
	unsigned b[6], i;
	int used = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &used) != 6 ||
	    text[used] != '\0')
		return tool_usage(command, "%s: %s: must be six bytes as in 02:00:00:00:00:01",
				  option, text);
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return 0;
}

int tool_features_option(const char *command, const char *option, char *text,
			 struct vio_features *add, struct vio_features *remove)
{
	char *save = NULL, *word;

	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int bit = word[0] ? vio_feature_bit(word + 1) : -1;

		if ((word[0] != '+' && word[0] != '-') || bit < 0)
			return tool_usage(command,
					  "%s: %s: must be +NAME or -NAME (see vioduct features "
					  "for the names)",
					  option, word);
		vio_features_set(word[0] == '+' ? add : remove, (unsigned)bit);
	}
	return 0;
}

int tool_bad_option(const char *command, char **argv, int result)
{
	const char *what = argv[optind - 1];

	if (result == ':')
		return tool_usage(command, "%s: needs a value (see vioduct %s --help)", what,
				  command);
	return tool_usage(command, "%s: no such option (see vioduct %s --help)", what, command);
}

int tool_parse(const struct tool_command *command, int argc, char **argv, const char *short_options,
	       const struct option *options, int (*take)(int c, void *ctx), void *ctx)
{
	int c, ret = 0;

	opterr = 0;
	optind = 1;
	while (!ret && (c = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
		if (c == 'h') {
			tool_help(command);
			exit(TOOL_OK);
		}
		if (c == '?' || c == ':')
			return tool_bad_option(command->name, argv, c);
		ret = take(c, ctx);
	}
	return ret;
}

static int take_json(int c, void *ctx)
{
	(void)c;
	*(bool *)ctx = true;
	return 0;
}

int tool_parse_json(const struct tool_command *command, int argc, char **argv, bool *json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};

	*json = false;
	return tool_parse(command, argc, argv, ":", options, take_json, json);
}
