/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that look random and are the same each time. */
#ifndef TESTLIB_RANDOM_H
#define TESTLIB_RANDOM_H

#include <stdint.h>

/* 64 bits; *@seed is never 0. */
static inline uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* 31 bits; from any seed. */
static inline uint32_t random31(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

#endif
