/* SPDX-License-Identifier: BSD-2-Clause */
/* vioduct features: feature words to names and back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <vioduct/features.h>

#include "tool.h"

/* Up to 128 bits of hexadecimal, with or without 0x. False when it is something else. */
static bool parse_hex(const char *text, struct vio_features *f)
{
	size_t len, i;

	if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0)
		text += 2;
	len = strlen(text);
	if (len == 0 || len > 32 || strspn(text, "0123456789abcdefABCDEF") != len)
		return false;
	*f = vio_features_make(0, 0);
	for (i = 0; i < len; i++) {
		char digit[2] = { text[i], '\0' };

		f->w[1] = f->w[1] << 4 | f->w[0] >> 60;
		f->w[0] = f->w[0] << 4 | strtoull(digit, NULL, 16);
	}
	return true;
}

static void print_word(struct vio_features f)
{
	if (f.w[1])
		printf("0x%" PRIx64 "%016" PRIx64 "\n", f.w[1], f.w[0]);
	else
		printf("0x%" PRIx64 "\n", f.w[0]);
}

static void print_names(struct vio_features f)
{
	unsigned bit;

	for (bit = 0; bit < VIO_FEATURE_BITS; bit++)
		if (vio_features_test(f, bit))
			printf("%3u  %s\n", bit,
			       vio_feature_name(bit) ? vio_feature_name(bit) : "(unassigned)");
}

static void print_unmet(struct vio_features f)
{
	struct vio_feature_unmet unmet[VIO_FEATURE_BITS];
	size_t i, n = vio_features_missing(f, unmet, VIO_FEATURE_BITS);

	for (i = 0; i < n && i < VIO_FEATURE_BITS; i++) {
		const uint8_t *any = unmet[i].group.any;

		printf("%s needs %s", vio_feature_name(unmet[i].bit), vio_feature_name(any[0]));
		if (any[1] != any[0])
			printf(" or %s", vio_feature_name(any[1]));
		printf("\n");
	}
}

static int print_json(struct vio_features f)
{
	json_t *names = json_array(), *root;
	char word[40];
	unsigned bit;

	for (bit = 0; bit < VIO_FEATURE_BITS; bit++)
		if (vio_features_test(f, bit) && vio_feature_name(bit))
			json_array_append_new(names, json_string(vio_feature_name(bit)));
	snprintf(word, sizeof(word), "0x%" PRIx64 "%016" PRIx64, f.w[1], f.w[0]);
	root = json_pack("{s:s, s:o, s:i}", "word", word, "names", names, "header_size",
			 (int)vio_net_hdr_size(f));
	json_dumpf(root, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(root);
	return TOOL_OK;
}

/* Adds one argument, a name or a word, to the set. */
static int add(const char *text, struct vio_features *f, bool *any_name)
{
	struct vio_features word;
	int bit = vio_feature_bit(text);

	if (bit >= 0) {
		vio_features_set(f, (unsigned)bit);
		*any_name = true;
		return TOOL_OK;
	}
	if (!parse_hex(text, &word))
		return tool_usage("features", "%s: must be a feature's name or a hexadecimal word",
				  text);
	*f = vio_features_or(*f, word);
	return TOOL_OK;
}

static int list_all(void)
{
	const struct vio_feature_info *info;
	size_t i;

	for (i = 0; (info = vio_feature_at(i)) != NULL; i++)
		printf("%3u  %s\n", info->bit, info->name);
	return TOOL_OK;
}

static int run(int argc, char **argv)
{
	struct vio_features f = vio_features_make(0, 0);
	bool json, any_name = false;
	int i, ret;

	ret = tool_parse_json(&tool_features, argc, argv, &json);
	if (ret)
		return ret;
	if (optind == argc)
		return list_all();
	for (i = optind; i < argc; i++) {
		ret = add(argv[i], &f, &any_name);
		if (ret)
			return ret;
	}
	if (json)
		return print_json(f);
	if (any_name)
		print_word(f);
	else
		print_names(f);
	print_unmet(f);
	return TOOL_OK;
}

const struct tool_command tool_features = {
	.name = "features",
	.synopsis = "[--json] [HEX | NAME]…",
	.summary = "decode and encode feature words; all names without an argument",
	.run = run,
};
