/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops that move memory in words of 16 bytes, or of 32 where the processor has them: a loop that says
 * how wide by a constant is inlined into two functions, one of them VIO_WIDE, of which vio_wide() tells
 * which to call.
 */
#ifndef VIO_BASE_WIDE_H
#define VIO_BASE_WIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/simd.h"

#if VIO_SIMD_X86
#define VIO_WIDE __attribute__((target("avx2")))
#else
#define VIO_WIDE
#endif

static inline bool vio_wide(void)
{
	return VIO_SIMD_X86 && vio_simd_level() >= VIO_SIMD_AVX2;
}

/* At any address, of anything. */
typedef uint64_t vio_words16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t vio_words32 __attribute__((vector_size(32), aligned(1), may_alias));

#endif
