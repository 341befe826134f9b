/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of back ends: parsed by a table of keys, with messages that say what was expected. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/fmt.h"
#include "internal.h"

bool vio_opt_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	}
	*value = n;
	return n >= min && n <= max;
}

static const struct vio_opt *find(const struct vio_opt *table, unsigned n, const char *key)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(table[i].key, key) == 0)
			return &table[i];
	}
	return NULL;
}

static int unknown(const char *kind, const struct vio_opt *table, unsigned n, const char *key,
		   struct vio_error *err)
{
	char list[160] = "takes no options";
	size_t used = 0;

	for (unsigned i = 0; i < n && used < sizeof(list); i++)
		used += (size_t)vio_snprintf(list + used, sizeof(list) - used, "%s%s",
					     i != 0 ? ", " : "takes ", table[i].key);
	vio_error_set(err, "%s: unknown option \"%s\": it %s", kind, key, list);
	return -EINVAL;
}

static int parse_one(const char *kind, const struct vio_opt *opt, const struct vio_option *given,
		     void *values, struct vio_error *err)
{
	void *to = (char *)values + opt->offset;
	uint64_t number;

	switch (opt->type) {
	case VIO_OPT_NUMBER:
		if (!vio_opt_number(given->value, opt->min, opt->max, &number)) {
			vio_error_set(err,
				      "%s: %s=%s: expected a number from %" PRIu64 " to %" PRIu64,
				      kind, given->key, given->value, opt->min, opt->max);
			return -EINVAL;
		}
		memcpy(to, &number, sizeof(number));
		return 0;
	case VIO_OPT_SWITCH:
		if (strcmp(given->value, "on") == 0)
			*(enum vio_switch *)to = VIO_ON;
		else if (strcmp(given->value, "off") == 0)
			*(enum vio_switch *)to = VIO_OFF;
		else
			break;
		return 0;
	case VIO_OPT_STRING:
		if (*given->value == '\0') {
			vio_error_set(err, "%s: %s: expected %s=VALUE", kind, given->key,
				      given->key);
			return -EINVAL;
		}
		*(const char **)to = given->value;
		return 0;
	case VIO_OPT_EACH:
		return 0;
	}
	vio_error_set(err, "%s: %s=%s: expected on or off", kind, given->key, given->value);
	return -EINVAL;
}

int vio_opts_parse(const char *kind, const struct vio_backend_config *config,
		   const struct vio_opt *table, unsigned n, void *values, struct vio_error *err)
{
	for (unsigned i = 0; i < config->num_options; i++) {
		const struct vio_option *given = &config->options[i];
		const struct vio_opt *opt = find(table, n, given->key);
		int ret;

		if (opt == NULL)
			return unknown(kind, table, n, given->key, err);
		for (unsigned j = 0; j < i && opt->type != VIO_OPT_EACH; j++) {
			if (strcmp(config->options[j].key, given->key) == 0) {
				vio_error_set(err, "%s: %s is given twice", kind, given->key);
				return -EINVAL;
			}
		}
		ret = parse_one(kind, opt, given, values, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int vio_opt_pairs(const char *kind, const struct vio_backend_config *config, unsigned max,
		  struct vio_error *err)
{
	if (config->pairs >= 1 && config->pairs <= max)
		return 0;
	vio_error_set(err, "%s: %u queue pairs: expected from 1 to %u", kind, config->pairs, max);
	return -EINVAL;
}

void *vio_backend_alloc(const char *kind, const struct vio_backend_config *config, size_t size,
			struct vio_error *err)
{
	void *p = config->host->alloc(config->host->ctx, size, VIO_CACHE_LINE);

	if (p == NULL)
		vio_error_set(err, "%s: out of memory (%zu bytes)", kind, size);
	return p;
}
