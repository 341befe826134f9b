/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * null: takes every frame at once, gives none. For tests, and for devices that only listen.
 *
 * With read=on each frame is copied out of the guest's memory and read, as by somebody who does
 * something with it: what a measurement of the way to a receiver has to include.
 */
#include <errno.h>

#include "base/copy.h"
#include "base/fmt.h"
#include "internal.h"

#define KIND	  "null"
#define MAX_PAIRS 256

struct null_pair {
	uint8_t copy[VIO_FRAME_MAX_LEN] vio_cacheline;
	uint64_t sum; /* keeps the reading of frames from being optimised away */
} vio_cacheline;

struct null_backend {
	struct vio_backend be;
	const struct vio_host *host;
	uint16_t num_pairs;
	struct null_pair *pairs; /* NULL: nothing is read */
};

struct null_options {
	enum vio_switch read;
};

static const struct vio_opt null_options[] = {
	{ "read", VIO_OPT_SWITCH, offsetof(struct null_options, read), 0, 0 },
};

static size_t pairs_size(const struct null_backend *null)
{
	return null->num_pairs * sizeof(*null->pairs);
}

static int null_open(const struct vio_backend_config *config, struct vio_backend **be,
		     struct vio_error *err)
{
	struct null_options o = { 0 };
	struct null_backend *null;
	int ret;

	ret = vio_opts_parse(KIND, config, null_options, vio_array_size(null_options), &o, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	null = vio_backend_alloc(KIND, config, sizeof(*null), err);
	if (null == NULL)
		return -ENOMEM;
	null->host = config->host;
	null->num_pairs = config->pairs;
	if (o.read == VIO_ON) {
		null->pairs = vio_backend_alloc(KIND, config, pairs_size(null), err);
		if (null->pairs == NULL) {
			config->host->free(config->host->ctx, null, sizeof(*null));
			return -ENOMEM;
		}
	}
	null->be.ops = &vio_backend_null;
	null->be.caps = (struct vio_backend_caps){
		.tx_offloads = VIO_OFFLOAD_ALL,
		.max_pairs = config->pairs,
		.send_burst = 64,
	};
	*be = &null->be;
	return 0;
}

static void null_close(struct vio_backend *be)
{
	struct null_backend *null = vio_container_of(be, struct null_backend, be);

	if (null->pairs != NULL)
		null->host->free(null->host->ctx, null->pairs, pairs_size(null));
	null->host->free(null->host->ctx, null, sizeof(*null));
}

static int null_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	(void)be;
	(void)sinks;
	(void)pairs;
	return 0;
}

static void null_stop(struct vio_backend *be)
{
	(void)be;
}

/* A frame in pieces. */
static vio_noinline uint64_t read_pieces(struct null_pair *p, const struct vio_frame *frame)
{
	uint64_t sum = 0;
	size_t at = 0;

	for (unsigned i = 0; i < frame->iovcnt && at < frame->len; i++) {
		size_t n = vio_min(frame->iov[i].len, frame->len - at);

		sum += vio_copy_and_read(p->copy + at, frame->iov[i].base, n);
		at += n;
	}
	return sum;
}

static vio_always_inline void read_frames(struct null_pair *p, const struct vio_frame *frames,
					  unsigned n, const bool wide)
{
	struct vio_copied sum = { .rest = p->sum };

	for (unsigned i = 0; i < n; i++) {
		const struct vio_frame *frame = &frames[i];

		if (vio_likely(frame->iovcnt == 1))
			vio_copy_frame(&sum, p->copy, frame->iov[0].base, frame->len, wide);
		else
			sum.rest += read_pieces(p, frame);
	}
	p->sum = vio_copied_sum(&sum, wide);
}

static void read_narrow(struct null_pair *p, const struct vio_frame *frames, unsigned n)
{
	read_frames(p, frames, n, false);
}

VIO_WIDE static void read_wide(struct null_pair *p, const struct vio_frame *frames, unsigned n)
{
	read_frames(p, frames, n, true);
}

static int null_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct null_backend *null = vio_container_of(be, struct null_backend, be);

	if (null->pairs != NULL)
		(vio_wide() ? read_wide : read_narrow)(&null->pairs[pair], frames, n);
	return (int)n;
}

static int null_fd(struct vio_backend *be, unsigned pair)
{
	(void)be;
	(void)pair;
	return -1;
}

static void null_describe(struct vio_backend *be, char *buf, size_t len)
{
	(void)be;
	vio_snprintf(buf, len, KIND);
}

const struct vio_backend_ops vio_backend_null = {
	.kind = KIND,
	.summary = "takes every frame, gives none",
	.options = "read=on|off (off): copies each frame out of the guest's memory and reads it",
	.open = null_open,
	.close = null_close,
	.start = null_start,
	.stop = null_stop,
	.send = null_send,
	.fd = null_fd,
	.describe = null_describe,
};
