/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every folder uses. Freestanding; knows nothing of virtio. */
#ifndef VIO_BASE_BITS_H
#define VIO_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIO_CACHE_LINE 64

#define vio_likely(x)	  __builtin_expect(!!(x), 1)
#define vio_unlikely(x)	  __builtin_expect(!!(x), 0)
#define vio_always_inline inline __attribute__((always_inline))
#define vio_noinline	  __attribute__((noinline))
#define vio_cold	  __attribute__((cold, noinline))
#define vio_cacheline	  __attribute__((aligned(VIO_CACHE_LINE)))

#define vio_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define vio_array_size(a)		    (sizeof(a) / sizeof((a)[0]))

#define vio_min(a, b)                                          \
	({                                                     \
		__typeof__(a) vio_min_a = (a);                 \
		__typeof__(b) vio_min_b = (b);                 \
		vio_min_a < vio_min_b ? vio_min_a : vio_min_b; \
	})
#define vio_max(a, b)                                          \
	({                                                     \
		__typeof__(a) vio_max_a = (a);                 \
		__typeof__(b) vio_max_b = (b);                 \
		vio_max_a > vio_max_b ? vio_max_a : vio_max_b; \
	})

/* @align is a power of two. */
static inline size_t vio_align_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline bool vio_is_pow2(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static inline void vio_prefetch_read(const void *p)
{
	__builtin_prefetch(p, 0, 3);
}

/* To be written: the line is to come for this core alone. */
static inline void vio_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	/* What the compiler makes of the builtin for a processor of any age is a prefetch to read.
	 * Where this one is not known it does nothing. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1, 3);
#endif
}

/* Likewise, each line of @len bytes from @p on, best at the beginning of one. */
static inline void vio_prefetch_write_all(const void *p, size_t len)
{
	size_t at;

	for (at = 0; at < len; at += VIO_CACHE_LINE)
		vio_prefetch_write((const char *)p + at);
}

static inline void vio_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#endif
