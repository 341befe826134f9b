/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/simd.h"

#include "base/bits.h"

#define UNKNOWN VIO_SIMD_LEVELS

/* Several threads may look at once; all find the same. */
static enum vio_simd chosen = UNKNOWN;

/* The best that the machine has of those up to @most. */
static enum vio_simd best_level(enum vio_simd most)
{
#if VIO_SIMD_X86
	if (most >= VIO_SIMD_AVX512 && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2"))
		return VIO_SIMD_AVX512;
	if (most >= VIO_SIMD_AVX2 && __builtin_cpu_supports("avx2"))
		return VIO_SIMD_AVX2;
#elif VIO_SIMD_ARM64
	if (most >= VIO_SIMD_NEON)
		return VIO_SIMD_NEON;
#else
	(void)most;
#endif
	return VIO_SIMD_SCALAR;
}

enum vio_simd vio_simd_level(void)
{
	enum vio_simd level = vio_load(&chosen);

	if (vio_unlikely(level == UNKNOWN)) {
		level = best_level(VIO_SIMD_LEVELS - 1);
		vio_store(&chosen, level);
	}
	return level;
}

enum vio_simd vio_simd_force(enum vio_simd level)
{
	level = best_level(level);
	vio_store(&chosen, level);
	return level;
}

const char *vio_simd_name(enum vio_simd level)
{
	static const char *const names[] = { "scalar", "neon", "avx2", "avx512" };

	return level < VIO_SIMD_LEVELS ? names[level] : "?";
}
