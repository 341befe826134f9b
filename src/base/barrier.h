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

#endif
