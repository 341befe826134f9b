/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host of an ordinary Linux process. Device addresses are the process's own addresses: that is
 * what a driver over vhost-user or vhost-net puts in its memory table, and what a caller with an
 * IOMMU replaces.
 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vioduct/host.h>

#include "base/bits.h"

static void *host_alloc(void *ctx, size_t size, size_t align)
{
	void *p;

	(void)ctx;
	if (posix_memalign(&p, vio_max(align, sizeof(void *)), size) != 0)
		return NULL;
	return memset(p, 0, size);
}

static void host_free(void *ctx, void *p, size_t size)
{
	(void)ctx;
	(void)size;
	free(p);
}

static void *host_dma_alloc(void *ctx, size_t size, size_t align, uint64_t *dma)
{
	void *p = host_alloc(ctx, size, align);

	if (p != NULL)
		*dma = (uintptr_t)p;
	return p;
}

static void host_dma_free(void *ctx, void *p, size_t size, uint64_t dma)
{
	(void)dma;
	host_free(ctx, p, size);
}

static uint64_t host_now_ns(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The peer may need this very core, so a wait gives it away; alone on it, that costs little. */
static void host_relax(void *ctx)
{
	(void)ctx;
	vio_cpu_relax();
	sched_yield();
}

static void host_log(void *ctx, enum vio_log_level level, const char *line)
{
	int saved = errno;

	if (level <= (enum vio_log_level)(uintptr_t)ctx)
		fprintf(stderr, "vioduct: %s\n", line);
	errno = saved;
}

#define HOST(level)                                \
	[level] = {                                \
		.ctx = (void *)(uintptr_t)(level), \
		.alloc = host_alloc,               \
		.free = host_free,                 \
		.dma_alloc = host_dma_alloc,       \
		.dma_free = host_dma_free,         \
		.now_ns = host_now_ns,             \
		.relax = host_relax,               \
		.log = host_log,                   \
	}

static const struct vio_host hosts[] = {
	HOST(VIO_LOG_ERROR),
	HOST(VIO_LOG_WARN),
	HOST(VIO_LOG_INFO),
	HOST(VIO_LOG_DEBUG),
};

const struct vio_host *vio_host_linux(enum vio_log_level level)
{
	return &hosts[vio_min((size_t)level, vio_array_size(hosts) - 1)];
}
