/* SPDX-License-Identifier: BSD-2-Clause */
/* What the back ends share: the kinds, option tables, and ways to hand a frame to a sink. */
#ifndef VIO_BACKEND_INTERNAL_H
#define VIO_BACKEND_INTERNAL_H

#include <vioduct/backend.h>

#include "base/bits.h"

#define VIO_SINK_BURST 64 /* frames reserved at a time */

/* All offloads; what a back end takes that hands frames on as they are, or nowhere. */
#define VIO_OFFLOAD_ALL                                                             \
	(VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 | VIO_OFFLOAD_ECN | \
	 VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6)

extern const struct vio_backend_ops vio_backend_null;
extern const struct vio_backend_ops vio_backend_source;
extern const struct vio_backend_ops vio_backend_loop;
extern const struct vio_backend_ops vio_backend_tap;
extern const struct vio_backend_ops vio_backend_user;
extern const struct vio_backend_ops vio_backend_pcap;

/* ------------------------------------------------------------------------------------------
 * Options (options.c). A kind lists its keys in a const table and gets them parsed into a struct of
 * its own, where the caller has put the defaults.
 */
enum vio_opt_type {
	VIO_OPT_NUMBER, /* uint64_t, decimal, from min to max */
	VIO_OPT_STRING, /* const char *, not empty */
	VIO_OPT_SWITCH, /* enum vio_switch, "on" or "off" */
	VIO_OPT_EACH,	/* not stored, may be repeated: the kind looks through the options itself */
};

enum vio_switch { VIO_UNSET, VIO_OFF, VIO_ON };

struct vio_opt {
	const char *key;
	enum vio_opt_type type;
	size_t offset; /* of the member in the kind's struct */
	uint64_t min, max;
};

/*
 * Parses all options of @config by @table into @values. 0, or -EINVAL with a line in @err that
 * begins with @kind and names the key, the value and what was expected.
 */
int vio_opts_parse(const char *kind, const struct vio_backend_config *config,
		   const struct vio_opt *table, unsigned n, void *values, struct vio_error *err);

/* Whether @text is a decimal number from @min to @max, and nothing else; then in *@value. */
bool vio_opt_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* -EINVAL with a line in @err when @config wants more than @max pairs (or none), else 0. */
int vio_opt_pairs(const char *kind, const struct vio_backend_config *config, unsigned max,
		  struct vio_error *err);

/* Zeroed memory from @config's host; NULL with a line in @err when there is none. */
void *vio_backend_alloc(const char *kind, const struct vio_backend_config *config, size_t size,
			struct vio_error *err);

/* ------------------------------------------------------------------------------------------
 * Sinks (sink.c)
 */

/*
 * Gives the whole of @frame to @sink. 1: delivered; 0: there is no room now, keep it; -E2BIG: it
 * will never fit, was dropped and counted. Either way but 0 the caller is done with it.
 */
int vio_sink_give(struct vio_sink *sink, const struct vio_frame *frame);

/* The offload (VIO_OFFLOAD_*, several for some) that a receiver of @frame must have accepted. */
uint32_t vio_frame_offloads(const struct vio_frame *frame);

#endif
