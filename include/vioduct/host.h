/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the surroundings give to Vioduct.
 *
 * Both halves are freestanding: they allocate, look at the clock and talk through one small struct
 * that the embedding program fills in once. A kernel port fills in the DMA members too; a device
 * never calls them. Nothing here knows of virtio.
 */
#ifndef VIODUCT_HOST_H
#define VIODUCT_HOST_H

#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of local memory. Laid out like POSIX struct iovec, so Linux code may pass it straight on. */
struct vio_iov {
	void *base;
	size_t len; /* bytes */
};

enum vio_log_level { VIO_LOG_ERROR, VIO_LOG_WARN, VIO_LOG_INFO, VIO_LOG_DEBUG };

/* Direction of a DMA mapping, seen from the device. */
enum vio_dma_dir { VIO_DMA_READ = 1, VIO_DMA_WRITE = 2, VIO_DMA_BOTH = 3 };

/*
 * The host. Every callback gets @ctx. All must be callable from any thread that calls Vioduct;
 * Both halves call alloc/free/dma_* only from life-cycle functions, never from a data path. Back ends
 * also do when a frame needs more than there is, from whatever thread.
 */
struct vio_host {
	void *ctx;

	/* Zeroed private memory of @size bytes aligned to @align (a power of two), or NULL. */
	void *(*alloc)(void *ctx, size_t size, size_t align);
	/* Gives back what alloc gave; @size is the size asked for. @p may be NULL. */
	void (*free)(void *ctx, void *p, size_t size);

	/*
	 * Driver half only: zeroed memory that the device can reach, aligned to @align; its device
	 * address goes to *@dma. NULL when there is none.
	 */
	void *(*dma_alloc)(void *ctx, size_t size, size_t align, uint64_t *dma);
	void (*dma_free)(void *ctx, void *p, size_t size, uint64_t dma);

	/*
	 * Driver half only, optional: makes @len bytes at @p reachable for the device and stores
	 * the device address. 0 or -errno (it may fail: IOMMU full, no bounce buffer). When NULL,
	 * buffers carry their device address themselves.
	 */
	int (*map)(void *ctx, void *p, size_t len, enum vio_dma_dir dir, uint64_t *dma);
	void (*unmap)(void *ctx, uint64_t dma, size_t len, enum vio_dma_dir dir);

	/* Monotonic nanoseconds. */
	uint64_t (*now_ns)(void *ctx);
	/* Called inside bounded waits; may sleep or pause. */
	void (*relax)(void *ctx);
	/* Optional: one line, without a newline. */
	void (*log)(void *ctx, enum vio_log_level level, const char *line);
};

/*
 * A user's mistake in one line: what, where, what was expected. Filled by the functions that take
 * one; @msg is empty as long as nothing went wrong. The caller owns it.
 */
struct vio_error {
	char msg[256];
};

/* The host of an ordinary Linux process: malloc, CLOCK_MONOTONIC, log lines to stderr up to @level. */
VIO_API const struct vio_host *vio_host_linux(enum vio_log_level level);

#ifdef __cplusplus
}
#endif
#endif
