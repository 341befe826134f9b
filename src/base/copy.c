/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of another core take hundreds of cycles to come. A core looks ahead as far as its window of
 * instructions reaches, so the fewer instructions a line takes the more lines are on their way at a
 * time: with vectors of 32 bytes twice as many as with those of 16. Those of 64 bytes bring nothing
 * more, and many processors run slower, all of their code, while they use them.
 */
#include "base/copy.h"

#include "base/simd.h"

/* Vectors of type @words, four at a time and then by one; what is left is taken by another. */
#define COPY_BY(words)                                                          \
	do {                                                                    \
		words sums = { 0 };                                             \
                                                                                \
		for (; len >= 4 * sizeof(words); len -= 4 * sizeof(words)) {    \
			const words *f = (const words *)from;                   \
			const words a = f[0], b = f[1], c = f[2], d = f[3];     \
			words *t = (words *)to;                                 \
                                                                                \
			t[0] = a;                                               \
			t[1] = b;                                               \
			t[2] = c;                                               \
			t[3] = d;                                               \
			sums += (a + b) + (c + d);                              \
			from += 4 * sizeof(words);                              \
			to += 4 * sizeof(words);                                \
		}                                                               \
		for (; len >= sizeof(words); len -= sizeof(words)) {            \
			const words a = *(const words *)from;                   \
                                                                                \
			*(words *)to = a;                                       \
			sums += a;                                              \
			from += sizeof(words);                                  \
			to += sizeof(words);                                    \
		}                                                               \
		for (unsigned i = 0; i < sizeof(words) / sizeof(uint64_t); i++) \
			sum += sums[i];                                         \
	} while (0)

static vio_always_inline uint64_t copy_scalar(uint8_t *to, const uint8_t *from, size_t len,
					      uint64_t sum)
{
	COPY_BY(vio_words16);
	for (; len > 0; len--)
		sum += *to++ = *from++;
	return sum;
}

#if VIO_SIMD_X86
typedef uint64_t words32 __attribute__((vector_size(32), aligned(1), may_alias));

__attribute__((target("avx2"))) static uint64_t copy_avx2(uint8_t *to, const uint8_t *from,
							  size_t len)
{
	uint64_t sum = 0;

	COPY_BY(words32);
	return copy_scalar(to, from, len, sum);
}
#endif

uint64_t vio_copy_and_read(uint8_t *to, const uint8_t *from, size_t len)
{
#if VIO_SIMD_X86
	if (vio_simd_level() >= VIO_SIMD_AVX2)
		return copy_avx2(to, from, len);
#endif
	return copy_scalar(to, from, len, 0);
}
