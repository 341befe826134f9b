/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What users write: descriptions of back ends, and names of features.
 *
 * The input is the text. Kinds that keep to themselves (null, source, loop) are opened; those that
 * would reach for interfaces, files or ports are not, but the options of the user network are parsed
 * by themselves. A mistake is answered with one line, and an answer without a line is no mistake.
 */
#include "fuzz.h"

#include <stdio.h>

#include <vioduct/backend.h>
#include <vioduct/features.h>

#include "backend/user.h"

#define TEXT_MAX    1024
#define OPTIONS_MAX 16

static void check_line(const struct vio_error *err, int ret)
{
	check(memchr(err->msg, '\0', sizeof(err->msg)) != NULL);
	check((ret < 0) == (err->msg[0] != '\0'));
}

static void try_open(const char *kind, const char *options, struct vio_backend_config *config)
{
	struct vio_error err = { "" };
	struct vio_backend *be = NULL;
	char spec[TEXT_MAX + 16], line[64];
	int ret;

	snprintf(spec, sizeof(spec), "%s%s", kind, options);
	ret = vio_backend_open(spec, config, &be, &err);
	check_line(&err, ret);
	check((ret == 0) == (be != NULL));
	if (!be)
		return;
	check(be->caps.max_pairs >= config->pairs);
	be->ops->describe(be, line, sizeof(line));
	check(memchr(line, '\0', sizeof(line)) != NULL);
	vio_backend_close(be);
}

static bool keeps_to_itself(const char *text)
{
	size_t len = strcspn(text, ",");

	return !(len == 3 && !strncmp(text, "tap", 3)) &&
	       !(len == 4 && (!strncmp(text, "user", 4) || !strncmp(text, "pcap", 4)));
}

/* "key=value,key=value", as vio_backend_open() splits it. @text is changed. */
static void try_user(char *text, struct vio_backend_config *config)
{
	struct vio_option options[OPTIONS_MAX];
	struct vio_backend_config own = *config;
	struct vio_user_options parsed;
	struct vio_error err = { "" };
	char *rest = NULL;
	unsigned n = 0;

	for (char *one = strtok_r(text, ",", &rest); one && n < OPTIONS_MAX;
	     one = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(one, '=');

		if (value)
			*value++ = '\0';
		options[n++] = (struct vio_option){ one, value ? value : "" };
	}
	own.options = options;
	own.num_options = n;
	check_line(&err, vio_user_options_parse(&own, &parsed, &err));
}

static void try_feature(const char *name)
{
	int bit = vio_feature_bit(name);

	if (bit >= 0)
		check(vio_feature_find((unsigned)bit) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kinds[] = { "", "null,", "source,", "loop,", "source,size=" };
	static const uint8_t mac[VIO_ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };
	struct fuzz_input in = { data, size };
	uint8_t kind = fuzz_u8(&in);
	struct vio_backend_config config = {
		.pairs = fuzz_u8(&in) % 3,
		.mtu = fuzz_u16(&in),
		.mac = mac,
		.host = fuzz_host(),
	};
	size_t len = vio_min(in.left, (size_t)TEXT_MAX);
	char *text = malloc(len + 1);

	text[fuzz_copy(&in, text, len)] = '\0';
	try_feature(text);
	if (kind % 6 < vio_array_size(kinds)) {
		const char *prefix = kinds[kind % 6];

		if (*prefix || keeps_to_itself(text))
			try_open(prefix, text, &config);
	} else {
		try_user(text, &config);
	}
	free(text);
	return 0;
}
