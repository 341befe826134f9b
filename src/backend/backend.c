/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends: theory.
 *
 * A back end is where the frames of a device go and come from. The device calls it through a const
 * table of functions (struct vio_backend_ops); a kind of back end is one such table, and adding one
 * is one row below. Kinds know nothing of queues, features or the device: they see frames, and a
 * sink for each queue pair that hands out room in the guest's buffers.
 *
 * From the guest, frames come as pieces of guest memory. A kind that passes them to the kernel (tap)
 * does so from there; one whose far side looks at bytes more than once (user) copies them first,
 * because the guest may change them at any time. Taking fewer than offered is how a kind says that
 * it is busy; a frame once taken is its own affair and is neither lost nor sent twice.
 *
 * To the guest, a kind reserves room, fills it and commits. The guest owns the pace: with no room
 * nothing is read from the far side, so what waits, waits where it came from (the kernel's queue, a
 * TCP window, the generator's clock). Only what was already accepted is held here, in bounded private
 * memory, and it goes first when there is room again. A frame that can never fit the guest's buffers
 * is dropped and counted, because waiting for room would stop the queue for good.
 *
 * Offloads. A kind says once, when opened, what it takes from the guest without help (caps.tx) and
 * what it might hand over (caps.rx); set_rx_offloads() tells what the guest accepts at the moment.
 * The device never hands a kind what its caps don't have.
 *
 * Sleeping. arm() tells whether there is work now; if not, the worker sleeps on fd(). An idle back
 * end costs nothing: no timer ticks unless something waits for a time to pass.
 *
 * Descriptions. "KIND,key=value,…" is split here and parsed by each kind's own table of keys. A
 * mistake is answered with one line: kind, key, value, what was expected.
 *
 *   null    takes all, gives nothing             source  makes frames, takes all
 *   loop    gives back what it takes             tap     the kernel, through a tap interface
 *   user    user-mode network (libslirp)         pcap    writes what passes to a file
 */
#include <errno.h>
#include <string.h>

#include <vioduct/backend.h>

#include "base/fmt.h"
#include "internal.h"

#define MAX_OPTIONS 64

static const struct vio_backend_ops *const kinds[] = {
	&vio_backend_null,
	&vio_backend_source,
	&vio_backend_loop,
	&vio_backend_tap,
	&vio_backend_user,
	&vio_backend_pcap,
	NULL,
};

const struct vio_backend_ops *const *vio_backend_kinds(void)
{
	return kinds;
}

static const struct vio_backend_ops *find_kind(const char *name)
{
	for (unsigned i = 0; kinds[i] != NULL; i++) {
		if (strcmp(kinds[i]->kind, name) == 0)
			return kinds[i];
	}
	return NULL;
}

static int unknown_kind(const char *name, struct vio_error *err)
{
	char list[128];
	size_t used = 0;

	for (unsigned i = 0; kinds[i] != NULL && used < sizeof(list); i++)
		used += (size_t)vio_snprintf(list + used, sizeof(list) - used, "%s%s",
					     i != 0 ? ", " : "", kinds[i]->kind);
	vio_error_set(err, "unknown back end \"%s\": there are %s", name, list);
	return -EINVAL;
}

/* Splits @text (which is changed) at its commas into @options. Returns how many, or -EINVAL. */
static int split_options(const char *kind, char *text, struct vio_option *options,
			 struct vio_error *err)
{
	int n = 0;

	while (text != NULL) {
		char *next = NULL, *equals;

		if (strncmp(text, "next=", 5) != 0) {
			next = strchr(text, ',');
			if (next != NULL)
				*next++ = '\0';
		}
		if (n == MAX_OPTIONS) {
			vio_error_set(err, "%s: more than %d options", kind, MAX_OPTIONS);
			return -EINVAL;
		}
		equals = strchr(text, '=');
		if (equals != NULL)
			*equals++ = '\0';
		if (*text == '\0') {
			vio_error_set(err, "%s: an option is empty, expected key=value", kind);
			return -EINVAL;
		}
		options[n++] = (struct vio_option){ text, equals != NULL ? equals : "" };
		text = next;
	}
	return n;
}

int vio_backend_open(const char *spec, const struct vio_backend_config *config,
		     struct vio_backend **be, struct vio_error *err)
{
	const struct vio_host *host = config->host;
	struct vio_option options[MAX_OPTIONS];
	struct vio_backend_config own = *config;
	const struct vio_backend_ops *ops;
	size_t size = strlen(spec) + 1;
	char *copy, *rest;
	int ret;

	copy = host->alloc(host->ctx, size, 1);
	if (copy == NULL) {
		vio_error_set(err, "back end: out of memory");
		return -ENOMEM;
	}
	memcpy(copy, spec, size);
	rest = strchr(copy, ',');
	if (rest != NULL)
		*rest++ = '\0';
	ops = find_kind(copy);
	ret = ops != NULL ? split_options(ops->kind, rest, options, err) : unknown_kind(copy, err);
	if (ret < 0)
		goto free;
	own.options = options;
	own.num_options = (unsigned)ret;
	ret = ops->open(&own, be, err);
free:
	host->free(host->ctx, copy, size);
	return ret;
}

void vio_backend_close(struct vio_backend *be)
{
	if (be != NULL)
		be->ops->close(be);
}
