/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory shared with a peer on another core.
 *
 * Everything the two sides of a ring exchange goes through these: plain loads and stores that the
 * compiler may neither tear nor repeat, an acquire load for an index or flag that guards others, a
 * release store that publishes, and one full barrier for "write mine, then read theirs" (virtio
 * 1.4, 2.7.13.4.1 and 2.7.7.2). Each use is commented with its counterpart. Being C11 atomics they
 * are understood by ThreadSanitizer.
 */
#ifndef VIO_BASE_BARRIER_H
#define VIO_BASE_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define VIO_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIO_THREAD_SANITIZER 1
#endif
#endif

#define vio_load(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define vio_store(p, v)		__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define vio_load_acquire(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define vio_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Orders every earlier store before every later load, against another core. */
static inline void vio_mb(void)
{
#if defined(VIO_THREAD_SANITIZER)
	/* ThreadSanitizer does not model fences: a locked access on one word orders the same. */
	static uint32_t word;

	__atomic_fetch_add(&word, 0, __ATOMIC_SEQ_CST);
#elif defined(__x86_64__)
	/* A locked operation on the stack is a full barrier and cheaper than mfence. */
	__asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * The same against a device of the platform instead of a core (virtio 1.4, 6.1, ORDER_PLATFORM): such
 * a device may look at memory from further away than cores look at each other. They are what Linux
 * calls dma_rmb(), dma_wmb() and mb(), or as strict. Where loads and stores are in order for devices
 * as they are for cores, the first two only bind the compiler.
 */
#if defined(__x86_64__)
#define VIO_PLATFORM_IN_ORDER 1
#else
#define VIO_PLATFORM_IN_ORDER 0
#endif

/* Orders every earlier load before every later load. */
static inline void vio_platform_rmb(void)
{
#if defined(__x86_64__)
	__asm__ volatile("" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#else
	vio_mb();
#endif
}

/* Orders every earlier store before every later store. */
static inline void vio_platform_wmb(void)
{
#if defined(__x86_64__)
	__asm__ volatile("" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	vio_mb();
#endif
}

/* Orders every earlier access before every later one. */
static inline void vio_platform_mb(void)
{
#if defined(__x86_64__) && !defined(VIO_THREAD_SANITIZER)
	__asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__) && !defined(VIO_THREAD_SANITIZER)
	__asm__ volatile("dmb osh" ::: "memory");
#else
	vio_mb();
#endif
}

/*
 * For a side that learns at run time what it has before it: @platform is whether it is a device of
 * the platform. The first goes behind an acquire load and the second before a release store, which
 * stay what they are; the third is the full barrier.
 */
static inline void vio_acquire_for(bool platform)
{
	if (!VIO_PLATFORM_IN_ORDER && platform)
		vio_platform_rmb();
}

static inline void vio_release_for(bool platform)
{
	if (!VIO_PLATFORM_IN_ORDER && platform)
		vio_platform_wmb();
}

static inline void vio_mb_for(bool platform)
{
	if (platform)
		vio_platform_mb();
	else
		vio_mb();
}

#endif
