/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vector instructions the fast variants of hot loops may use. Chosen once from what the
 * processor has; every variant has a scalar twin, and tests hold the two together by forcing each
 * level in turn.
 *
 * A freestanding build stays scalar: whether a kernel lets its own code use vector registers is not
 * for this library to guess. So does a build for ThreadSanitizer, which does not see vector loads
 * of shared memory as the atomic ones that they are.
 */
#ifndef VIO_BASE_SIMD_H
#define VIO_BASE_SIMD_H

#include "base/barrier.h"

#if defined(__x86_64__) && __STDC_HOSTED__ && !defined(VIO_THREAD_SANITIZER)
#define VIO_SIMD_X86 1
#else
#define VIO_SIMD_X86 0
#endif

#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__AARCH64EL__) && __STDC_HOSTED__ && \
	!defined(VIO_THREAD_SANITIZER)
#define VIO_SIMD_ARM64 1
#else
#define VIO_SIMD_ARM64 0
#endif

/* Of all architectures, the lesser ones first. */
enum vio_simd {
	VIO_SIMD_SCALAR,
	VIO_SIMD_NEON, /* of AArch64, where every processor has it */
	VIO_SIMD_AVX2,
	VIO_SIMD_AVX512, /* F, VL, BW and DQ */
	VIO_SIMD_LEVELS,
};

/* The best that there is, or what was forced. Any thread. */
enum vio_simd vio_simd_level(void);

/* For tests: the level from now on, for queues set up and functions called after; one that the
 * machine does not have becomes the best below that it has. Returns what it is now. */
enum vio_simd vio_simd_force(enum vio_simd level);

/* "scalar", "neon", "avx2", "avx512". */
const char *vio_simd_name(enum vio_simd level);

#endif
