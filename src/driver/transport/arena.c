/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for rings and frames that devices in other processes may map.
 *
 * One memfd, handed out first fit. The device can write to every byte of it, so what is free and
 * what is not stands elsewhere: a list of free stretches in private memory, in ascending order,
 * neighbours joined. Only life-cycle functions allocate, and few pieces, so the list stays short.
 */
#include "driver/transport/arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/fmt.h"
#include "mem/map_linux.h"

/* Everything is handed out in these, so that no two owners share a cache line. */
#define UNIT VIO_CACHE_LINE

struct stretch {
	struct stretch *next;
	uint64_t at, size; /* offset and bytes, multiples of UNIT */
};

struct vio_dma_arena {
	struct vio_host host;
	const struct vio_host *process;
	struct vio_map *map;
	int fd;
	pthread_mutex_t lock;
	struct stretch *free; /* under lock */
};

static struct stretch *stretch_new(uint64_t at, uint64_t size, struct stretch *next)
{
	struct stretch *s = malloc(sizeof(*s));

	if (s)
		*s = (struct stretch){ next, at, size };
	return s;
}

/* ---- Taking and giving ----------------------------------------------------------------------- */

/* Cuts [@at, @at + @size) out of *@link, which holds it. False: out of memory. */
static bool cut(struct stretch **link, uint64_t at, uint64_t size)
{
	struct stretch *s = *link, *rest;
	uint64_t end = s->at + s->size;

	if (at > s->at && at + size < end) {
		rest = stretch_new(at + size, end - at - size, s->next);
		if (!rest)
			return false;
		s->next = rest;
	}
	if (at > s->at) {
		s->size = at - s->at;
	} else if (at + size < end) {
		s->at = at + size;
		s->size = end - s->at;
	} else {
		*link = s->next;
		free(s);
	}
	return true;
}

static void *arena_take(struct vio_dma_arena *arena, size_t size, size_t align, uint64_t *dma)
{
	uintptr_t base = (uintptr_t)vio_map_ptr(arena->map);
	struct stretch **link;
	void *p = NULL;
	uint64_t at;

	align = vio_max(align, (size_t)UNIT);
	if (size == 0 || size > vio_map_size(arena->map))
		return NULL;
	size = vio_align_up(size, UNIT);
	pthread_mutex_lock(&arena->lock);
	for (link = &arena->free; *link; link = &(*link)->next) {
		at = vio_align_up(base + (*link)->at, align) - base;
		if (at - (*link)->at > (*link)->size || size > (*link)->size - (at - (*link)->at))
			continue;
		if (cut(link, at, size))
			p = (char *)vio_map_ptr(arena->map) + at;
		break;
	}
	pthread_mutex_unlock(&arena->lock);
	if (!p)
		return NULL;
	*dma = (uintptr_t)p;
	return memset(p, 0, size);
}

static void join_next(struct stretch *s)
{
	struct stretch *next = s->next;

	if (!next || s->at + s->size != next->at)
		return;
	s->size += next->size;
	s->next = next->next;
	free(next);
}

static void arena_give(struct vio_dma_arena *arena, void *p, size_t size)
{
	uint64_t at = (uint64_t)((char *)p - (char *)vio_map_ptr(arena->map));
	struct stretch **link, *before = NULL, *s;

	pthread_mutex_lock(&arena->lock);
	for (link = &arena->free; *link && (*link)->at < at; link = &(*link)->next)
		before = *link;
	s = stretch_new(at, vio_align_up(size, UNIT), *link);
	/* Without memory for the note the stretch is lost to this arena, and nothing else is. */
	if (s) {
		*link = s;
		join_next(s);
		if (before)
			join_next(before);
	}
	pthread_mutex_unlock(&arena->lock);
}

/* ---- The host -------------------------------------------------------------------------------- */

static void *host_alloc(void *ctx, size_t size, size_t align)
{
	const struct vio_dma_arena *arena = ctx;

	return arena->process->alloc(arena->process->ctx, size, align);
}

static void host_free(void *ctx, void *p, size_t size)
{
	const struct vio_dma_arena *arena = ctx;

	arena->process->free(arena->process->ctx, p, size);
}

static void *host_dma_alloc(void *ctx, size_t size, size_t align, uint64_t *dma)
{
	return arena_take(ctx, size, align, dma);
}

static void host_dma_free(void *ctx, void *p, size_t size, uint64_t dma)
{
	(void)dma;
	if (p)
		arena_give(ctx, p, size);
}

static uint64_t host_now_ns(void *ctx)
{
	const struct vio_dma_arena *arena = ctx;

	return arena->process->now_ns(arena->process->ctx);
}

static void host_relax(void *ctx)
{
	const struct vio_dma_arena *arena = ctx;

	arena->process->relax(arena->process->ctx);
}

static void host_log(void *ctx, enum vio_log_level level, const char *line)
{
	const struct vio_dma_arena *arena = ctx;

	arena->process->log(arena->process->ctx, level, line);
}

static const struct vio_host arena_host = {
	.alloc = host_alloc,
	.free = host_free,
	.dma_alloc = host_dma_alloc,
	.dma_free = host_dma_free,
	.now_ns = host_now_ns,
	.relax = host_relax,
	.log = host_log,
};

/* ---- Life ------------------------------------------------------------------------------------ */

int vio_dma_arena_create(uint64_t size, enum vio_log_level level, struct vio_dma_arena **out,
			 struct vio_error *err)
{
	struct vio_dma_arena *arena = calloc(1, sizeof(*arena));
	int ret = -ENOMEM;

	if (!arena)
		goto no_memory;
	arena->host = arena_host;
	arena->host.ctx = arena;
	arena->process = vio_host_linux(level);
	ret = vio_map_shared(size, 0, &arena->fd, &arena->map, err);
	if (ret < 0)
		goto free;
	ret = -ENOMEM;
	arena->free = stretch_new(0, vio_map_size(arena->map) & ~(uint64_t)(UNIT - 1), NULL);
	if (!arena->free)
		goto unmap;
	pthread_mutex_init(&arena->lock, NULL);
	*out = arena;
	return 0;
unmap:
	vio_map_put(arena->map);
	close(arena->fd);
free:
	free(arena);
no_memory:
	if (ret == -ENOMEM && err && !err->msg[0])
		vio_error_set(err, "memory arena: out of memory");
	return ret;
}

void vio_dma_arena_destroy(struct vio_dma_arena *arena)
{
	struct stretch *s, *next;

	if (!arena)
		return;
	for (s = arena->free; s; s = next) {
		next = s->next;
		free(s);
	}
	pthread_mutex_destroy(&arena->lock);
	vio_map_put(arena->map);
	close(arena->fd);
	free(arena);
}

const struct vio_host *vio_dma_arena_host(const struct vio_dma_arena *arena)
{
	return &arena->host;
}

uint64_t vio_dma_arena_available(struct vio_dma_arena *arena)
{
	const struct stretch *s;
	uint64_t sum = 0;

	pthread_mutex_lock(&arena->lock);
	for (s = arena->free; s; s = s->next)
		sum += s->size;
	pthread_mutex_unlock(&arena->lock);
	return sum;
}

int vio_dma_arena_fd(const struct vio_dma_arena *arena)
{
	return arena->fd;
}

void *vio_dma_arena_base(const struct vio_dma_arena *arena)
{
	return vio_map_ptr(arena->map);
}

uint64_t vio_dma_arena_size(const struct vio_dma_arena *arena)
{
	return vio_map_size(arena->map);
}
