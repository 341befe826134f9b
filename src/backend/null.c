/* SPDX-License-Identifier: BSD-2-Clause */
/* null: takes every frame at once, gives none. For tests, and for devices that only listen. */
#include <errno.h>

#include "base/fmt.h"
#include "internal.h"

#define KIND	  "null"
#define MAX_PAIRS 256

struct null_backend {
	struct vio_backend be;
	const struct vio_host *host;
};

static int null_open(const struct vio_backend_config *config, struct vio_backend **be,
		     struct vio_error *err)
{
	struct null_backend *null;
	int ret;

	ret = vio_opts_parse(KIND, config, NULL, 0, NULL, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	null = vio_backend_alloc(KIND, config, sizeof(*null), err);
	if (null == NULL)
		return -ENOMEM;
	null->host = config->host;
	null->be.ops = &vio_backend_null;
	null->be.caps = (struct vio_backend_caps){
		.tx_offloads = VIO_OFFLOAD_ALL,
		.max_pairs = MAX_PAIRS,
		.send_burst = 64,
	};
	*be = &null->be;
	return 0;
}

static void null_close(struct vio_backend *be)
{
	struct null_backend *null = vio_container_of(be, struct null_backend, be);

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

static int null_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	(void)be;
	(void)pair;
	(void)frames;
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
	.options = "",
	.open = null_open,
	.close = null_close,
	.start = null_start,
	.stop = null_stop,
	.send = null_send,
	.fd = null_fd,
	.describe = null_describe,
};
