/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers of one size, last in first out: what was given back last is still in the cache of the
 * core that gave it back. A burst is taken in the order in which it was given back, not in reverse: a
 * receive ring that gives and takes bursts of one size then meets each buffer in its old place, and
 * its descriptors need not be written again. The distance of buffers is an odd number of cache lines:
 * at a power of two, equal offsets of all would share a few cache sets and throw each other out.
 */
#include "driver/driver.h"

#define POOL_MAX_BYTES (UINT64_C(1) << 40)

#if defined(__LP64__)
VIO_STATIC_ASSERT(sizeof(struct vio_buf) == VIO_CACHE_LINE, "a buffer is one cache line");
#endif

struct vio_pool {
	const struct vio_host *host;
	uint32_t count;
	uint32_t top; /* buffers in stack */
	uint8_t *memory;
	uint64_t dma;
	size_t stride;
	struct vio_buf *bufs;
	struct vio_buf **stack;
};

static size_t odd_lines(uint32_t room)
{
	size_t size = vio_align_up((size_t)room + VIO_BUF_HEADROOM, VIO_CACHE_LINE);

	return size / VIO_CACHE_LINE % 2 ? size : size + VIO_CACHE_LINE;
}

static int allocate(struct vio_pool *pool)
{
	const struct vio_host *host = pool->host;

	pool->bufs = host->alloc(host->ctx, pool->count * sizeof(*pool->bufs), VIO_CACHE_LINE);
	pool->stack = host->alloc(host->ctx, pool->count * sizeof(*pool->stack), VIO_CACHE_LINE);
	pool->memory =
		host->dma_alloc(host->ctx, pool->count * pool->stride, VIO_CACHE_LINE, &pool->dma);
	return pool->bufs && pool->stack && pool->memory ? 0 : -ENOMEM;
}

int vio_pool_create(const struct vio_host *host, uint32_t count, uint32_t room,
		    struct vio_pool **out)
{
	struct vio_pool *pool;
	uint32_t i;

	if (count == 0 || room == 0 || room > INT32_MAX ||
	    (uint64_t)count * odd_lines(room) > vio_min(POOL_MAX_BYTES, (uint64_t)SIZE_MAX / 2))
		return -EINVAL;
	pool = host->alloc(host->ctx, sizeof(*pool), VIO_CACHE_LINE);
	if (!pool)
		return -ENOMEM;
	pool->host = host;
	pool->count = count;
	pool->stride = odd_lines(room);
	if (allocate(pool) < 0) {
		vio_pool_destroy(pool);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		struct vio_buf *buf = &pool->bufs[i];

		buf->next = NULL; /* as in all that are in the pool */
		buf->mem = pool->memory + i * pool->stride;
		buf->dma = pool->dma + i * pool->stride;
		buf->size = room + VIO_BUF_HEADROOM;
		pool->stack[i] = buf;
	}
	pool->top = count;
	*out = pool;
	return 0;
}

void vio_pool_destroy(struct vio_pool *pool)
{
	const struct vio_host *host;

	if (!pool)
		return;
	host = pool->host;
	if (pool->memory)
		host->dma_free(host->ctx, pool->memory, pool->count * pool->stride, pool->dma);
	host->free(host->ctx, pool->stack, pool->count * sizeof(*pool->stack));
	host->free(host->ctx, pool->bufs, pool->count * sizeof(*pool->bufs));
	host->free(host->ctx, pool, sizeof(*pool));
}

/* The last @n of the stack, or as many as there are; the stack ends before them. */
static vio_always_inline struct vio_buf *const *take_last(struct vio_pool *pool, unsigned *n)
{
	*n = vio_min(*n, pool->top);
	pool->top -= *n;
	return pool->stack + pool->top;
}

unsigned vio_pool_take(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_buf *const *from = take_last(ctx, &n);

	memcpy(bufs, from, n * sizeof(*bufs));
	return n;
}

unsigned vio_pool_get(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_buf *const *next = take_last(ctx, &n);
	struct vio_buf **end;

	for (end = bufs + n; bufs < end;) {
		struct vio_buf *buf = *next++;

		if (vio_unlikely(buf->off != VIO_BUF_HEADROOM)) {
			buf->clean = 0;
			buf->off = VIO_BUF_HEADROOM;
		}
		buf->len = 0;
		memset(&buf->meta, 0, sizeof(buf->meta));
		*bufs++ = buf;
	}
	return n;
}

/* Puts the pieces of a frame back one by one. Returns where the next goes. */
static vio_noinline struct vio_buf **put_pieces(struct vio_buf **top, struct vio_buf *buf)
{
	struct vio_buf *next;

	for (; buf != NULL; buf = next) {
		next = buf->next;
		buf->next = NULL;
		*top++ = buf;
	}
	return top;
}

/* Whether any of the four frames at @bufs is. */
static vio_always_inline bool in_pieces(struct vio_buf *const *bufs)
{
	return ((uintptr_t)bufs[0]->next | (uintptr_t)bufs[1]->next | (uintptr_t)bufs[2]->next |
		(uintptr_t)bufs[3]->next) != 0;
}

void vio_pool_put(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_pool *pool = ctx;
	struct vio_buf **top = pool->stack + pool->top, *const *const end = bufs + n;

	while (bufs < end) {
		struct vio_buf *buf;

		/* Frames in one piece, as nearly all are, by fours. */
		if (vio_likely(end - bufs >= 4) && !in_pieces(bufs)) {
			memcpy(top, bufs, 4 * sizeof(*top));
			bufs += 4;
			top += 4;
			continue;
		}
		buf = *bufs++;
		if (vio_likely(buf->next == NULL))
			*top++ = buf;
		else
			top = put_pieces(top, buf);
	}
	pool->top = (uint32_t)(top - pool->stack);
}

uint32_t vio_pool_available(const struct vio_pool *pool)
{
	return pool->top;
}
