/* SPDX-License-Identifier: BSD-2-Clause */
/* The `vioduct` program: picks the subcommand. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const struct tool_command *const commands[] = {
	&tool_device, &tool_probe, &tool_ping, &tool_features, &tool_bench,
};

#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(FILE *out)
{
	size_t i;

	fputs("usage: vioduct COMMAND [ARGUMENT…]\n\n", out);
	for (i = 0; i < NUM_COMMANDS; i++)
		fprintf(out, "  %-10s%s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`vioduct COMMAND --help` tells more, vioduct(1) tells all.\n", out);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		help(stderr);
		return TOOL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return TOOL_OK;
	}
	for (i = 0; i < NUM_COMMANDS; i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return commands[i]->run(argc - 1, argv + 1);
	fprintf(stderr, "vioduct: %s: no such command (see vioduct --help)\n", argv[1]);
	return TOOL_USAGE;
}
