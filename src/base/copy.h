/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A frame taken by somebody who does something with it: copied out of where it came in, and read,
 * every byte of it. What a measurement of the way to a receiver has to include.
 */
#ifndef VIO_BASE_COPY_H
#define VIO_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"

/* Any number of bytes; see vio_copy_and_read(). */
uint64_t vio_copy_and_read_any(uint8_t *to, const uint8_t *from, size_t len);

typedef uint64_t vio_words16 __attribute__((vector_size(16), aligned(1), may_alias));

/* 64 bytes. */
static vio_always_inline vio_words16 vio_copy_line(vio_words16 sum, uint8_t *to,
						   const uint8_t *from)
{
	const vio_words16 *f = (const vio_words16 *)from;
	const vio_words16 a = f[0], b = f[1], c = f[2], d = f[3];
	vio_words16 *t = (vio_words16 *)to;

	t[0] = a;
	t[1] = b;
	t[2] = c;
	t[3] = d;
	return sum + a + b + c + d;
}

static vio_always_inline uint64_t vio_words_sum(vio_words16 sum)
{
	return sum[0] + sum[1];
}

/* Copies @len bytes. Returns @sum with a number added that every byte had its part in. Any thread. */
static vio_always_inline vio_words16 vio_copy_and_add(vio_words16 sum, uint8_t *to,
						      const uint8_t *from, size_t len)
{
	/* Small frames, the last 64 bytes of those above 64 for themselves. */
	if (vio_unlikely(len - 64 > 64))
		return sum + (vio_words16){ vio_copy_and_read_any(to, from, len) };
	sum = vio_copy_line(sum, to, from);
	if (len > 64)
		sum = vio_copy_line(sum, to + len - 64, from + len - 64);
	return sum;
}

/* The same for a frame by itself. */
static vio_always_inline uint64_t vio_copy_and_read(uint8_t *to, const uint8_t *from, size_t len)
{
	return vio_words_sum(vio_copy_and_add((vio_words16){ 0 }, to, from, len));
}

#endif
