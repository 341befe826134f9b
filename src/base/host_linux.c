/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host of an ordinary Linux process. Device addresses are the process's own addresses: that is
 * what a driver over vhost-user or vhost-net puts in its memory table, and what a caller with an
 * IOMMU replaces.
 *
 * Large pieces are mappings of their own. They are zeroed by the kernel, page by page when they are
 * first touched, so what is laid out for the worst case (the table of a queue for indirect
 * descriptors, say) takes no memory until the case comes up: an idle port is to be small. They begin
 * at changing places in their page: what is busy is mostly at the front, and the fronts of many
 * queues must not all fall into the same sets of the cache. Sanitizers only watch over malloc(), so
 * with one everything comes from there.
 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vioduct/host.h>

#include "base/bits.h"

#if defined(__SANITIZE_ADDRESS__)
#define LARGE SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define LARGE SIZE_MAX
#endif
#endif
#ifndef LARGE
#define LARGE ((size_t)16384)
#endif

#define PAGE ((size_t)4096) /* or a part of one, on machines with larger pages */

/* Where in its page the next piece begins. */
static size_t next_place(size_t align)
{
	static unsigned pieces;
	unsigned n = __atomic_fetch_add(&pieces, 5, __ATOMIC_RELAXED);

	return align <= VIO_CACHE_LINE ? n % (PAGE / VIO_CACHE_LINE) * VIO_CACHE_LINE : 0;
}

static void *map(size_t size, size_t align)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), slack = align > page ? align : 0;
	size_t place = next_place(align), whole, before;
	uint8_t *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	whole = vio_align_up(place + size, page) + slack;
	p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (!slack)
		return p + place;
	before = vio_align_up((uintptr_t)p, align) - (uintptr_t)p;
	if (before)
		munmap(p, before);
	if (slack - before)
		munmap(p + whole - (slack - before), slack - before);
	return p + before;
}

static void unmap(void *p, size_t size)
{
	size_t place = (uintptr_t)p % PAGE;

	munmap((uint8_t *)p - place, vio_align_up(place + size, PAGE));
}

static void *host_alloc(void *ctx, size_t size, size_t align)
{
	void *p;

	(void)ctx;
	if (size >= LARGE)
		return map(size, align);
	if (posix_memalign(&p, vio_max(align, sizeof(void *)), size) != 0)
		return NULL;
	return memset(p, 0, size);
}

static void host_free(void *ctx, void *p, size_t size)
{
	(void)ctx;
	if (size < LARGE)
		free(p);
	else if (p != NULL)
		unmap(p, size);
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
