/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/simd.h"

#include "base/bits.h"

#define UNKNOWN VIO_SIMD_LEVELS

/* Several threads may look at once; all find the same. */
static enum vio_simd chosen = UNKNOWN;

static enum vio_simd machine_level(void)
{
#if VIO_SIMD_X86
	if (!__builtin_cpu_supports("avx2"))
		return VIO_SIMD_SCALAR;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
		return VIO_SIMD_AVX512;
	return VIO_SIMD_AVX2;
#else
	return VIO_SIMD_SCALAR;
#endif
}

enum vio_simd vio_simd_level(void)
{
	enum vio_simd level = vio_load(&chosen);

	if (vio_unlikely(level == UNKNOWN)) {
		level = machine_level();
		vio_store(&chosen, level);
	}
	return level;
}

enum vio_simd vio_simd_force(enum vio_simd level)
{
	level = vio_min(level, machine_level());
	vio_store(&chosen, level);
	return level;
}

const char *vio_simd_name(enum vio_simd level)
{
	static const char *const names[] = { "scalar", "avx2", "avx512" };

	return level < VIO_SIMD_LEVELS ? names[level] : "?";
}
