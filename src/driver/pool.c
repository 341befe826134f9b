/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers of one size. Those of small frames are last in first out: what was given back last is still
 * in the cache of the core that gave it back. A burst is taken in the order in which it was given back,
 * not in reverse: a receive ring that gives and takes bursts of one size then meets each buffer in its
 * old place, and its descriptors need not be written again.
 *
 * Those of large frames rest first, in a queue, until so much else has passed that the private cache
 * of the core which had them last has let them go: their lines then come from the shared cache, which
 * is faster than from a core. But they rest no longer, so that they are still in that one; and only
 * while there are others. Where buffers are larger still, those that are under way are more than a
 * private cache holds anyway.
 *
 * The distance of buffers is an odd number of cache lines: at a power of two, equal offsets of all
 * would share a few cache sets and throw each other out.
 */
#include "driver/driver.h"

#define POOL_MAX_BYTES (UINT64_C(1) << 40)
#define LARGE	       1024u	  /* bytes of a frame from which its buffer rests, */
#define STRIDE_MAX     4096u	  /* if it has no more room than that, */
#define REST_BYTES     (2u << 20) /* until buffers of so much room have passed */
#define GROUP	       4u

#if defined(__LP64__)
VIO_STATIC_ASSERT(sizeof(struct vio_buf) == VIO_CACHE_LINE, "a buffer is one cache line");
#endif

struct vio_pool {
	const struct vio_host *host;
	uint32_t count;
	uint32_t top; /* buffers in stack */
	/* Resting buffers: at places begin to end - 1, modulo mask + 1; both only count up. */
	uint32_t begin, end;
	uint32_t mask;	 /* places, less one; a power of two */
	uint32_t enough; /* how many rest when the first of them has rested long enough */
	uint32_t large;	 /* bytes of a frame from which its buffer rests */
	uint8_t *memory;
	uint64_t dma;
	size_t stride;
	struct vio_buf *bufs;
	struct vio_buf **stack;
	struct vio_buf **resting;
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
	pool->resting =
		host->alloc(host->ctx, (pool->mask + 1) * sizeof(*pool->resting), VIO_CACHE_LINE);
	pool->memory =
		host->dma_alloc(host->ctx, pool->count * pool->stride, VIO_CACHE_LINE, &pool->dma);
	return pool->bufs && pool->stack && pool->resting && pool->memory ? 0 : -ENOMEM;
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
	pool->enough = (uint32_t)(REST_BYTES / pool->stride);
	pool->large = pool->stride <= STRIDE_MAX ? LARGE : UINT32_MAX;
	for (pool->mask = GROUP - 1; pool->mask < vio_min(count, 2 * pool->enough);)
		pool->mask = 2 * pool->mask + 1;
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
	host->free(host->ctx, pool->resting, (pool->mask + 1) * sizeof(*pool->resting));
	host->free(host->ctx, pool->stack, pool->count * sizeof(*pool->stack));
	host->free(host->ctx, pool->bufs, pool->count * sizeof(*pool->bufs));
	host->free(host->ctx, pool, sizeof(*pool));
}

static vio_always_inline uint32_t num_resting(const struct vio_pool *pool)
{
	return pool->end - pool->begin;
}

/* Up to @n of the stack. Returns how many. */
static vio_always_inline unsigned take_last(struct vio_pool *pool, struct vio_buf **bufs,
					    unsigned n)
{
	n = vio_min(n, pool->top);
	pool->top -= n;
	memcpy(bufs, pool->stack + pool->top, n * sizeof(*bufs));
	return n;
}

/* The first @n of those that rest, which there are. */
static unsigned take_rested(struct vio_pool *pool, struct vio_buf **bufs, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		bufs[i] = pool->resting[pool->begin++ & pool->mask];
	return n;
}

/* First those that have rested long enough; when nothing else is left, the others as well. */
static vio_noinline unsigned take_mixed(struct vio_pool *pool, struct vio_buf **bufs, unsigned n)
{
	unsigned got = 0;

	if (num_resting(pool) > pool->enough)
		got = take_rested(pool, bufs, vio_min(n, num_resting(pool) - pool->enough));
	got += take_last(pool, bufs + got, n - got);
	return got + take_rested(pool, bufs + got, vio_min(n - got, num_resting(pool)));
}

unsigned vio_pool_take(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_pool *pool = ctx;

	if (vio_unlikely(num_resting(pool)))
		return take_mixed(pool, bufs, n);
	return take_last(pool, bufs, n);
}

unsigned vio_pool_get(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_buf **end;

	n = vio_pool_take(ctx, bufs, n);
	for (end = bufs + n; bufs < end; bufs++) {
		struct vio_buf *buf = *bufs;

		if (vio_unlikely(buf->off != VIO_BUF_HEADROOM)) {
			buf->clean = 0;
			buf->off = VIO_BUF_HEADROOM;
		}
		buf->len = 0;
		memset(&buf->meta, 0, sizeof(buf->meta));
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

/* Whether four buffers, of which the first is @buf, are to rest, and can. */
static vio_always_inline bool want_rest(const struct vio_pool *pool, const struct vio_buf *buf)
{
	return buf->len >= pool->large && num_resting(pool) + GROUP <= pool->mask + 1;
}

static vio_noinline void rest(struct vio_pool *pool, struct vio_buf *const *bufs)
{
	unsigned i;

	for (i = 0; i < GROUP; i++)
		pool->resting[pool->end++ & pool->mask] = bufs[i];
}

void vio_pool_put(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct vio_pool *pool = ctx;
	struct vio_buf **top = pool->stack + pool->top, *const *const end = bufs + n;

	while (bufs < end) {
		struct vio_buf *buf;

		/* Frames in one piece, as nearly all are, by fours, of which the first tells. */
		if (vio_likely(end - bufs >= GROUP) && !in_pieces(bufs)) {
			if (vio_unlikely(want_rest(pool, bufs[0]))) {
				rest(pool, bufs);
			} else {
				memcpy(top, bufs, GROUP * sizeof(*top));
				top += GROUP;
			}
			bufs += GROUP;
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
	return pool->top + num_resting(pool);
}
