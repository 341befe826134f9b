/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A frame taken by somebody who does something with it: copied out of where it came in, and read,
 * every byte of it. What a measurement of the way to a receiver has to include.
 */
#ifndef VIO_BASE_COPY_H
#define VIO_BASE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/wide.h"

/* Copies @len bytes. Returns a number that every byte had its part in. Any thread. */
uint64_t vio_copy_and_read(uint8_t *to, const uint8_t *from, size_t len);

/* For loops over frames, most of them of 64 to 128 bytes; for @wide see wide.h. */

/* What was read. */
struct vio_copied {
	vio_words16 narrow;
	vio_words32 wide;
	uint64_t rest;
};

/* 64 bytes in registers. */
struct vio_line {
	vio_words16 narrow[4];
	vio_words32 wide[2];
};

static vio_always_inline void vio_line_load(struct vio_line *line, const uint8_t *from,
					    const bool wide)
{
	if (wide)
		for (unsigned i = 0; i < vio_array_size(line->wide); i++)
			line->wide[i] = ((const vio_words32 *)from)[i];
	else
		for (unsigned i = 0; i < vio_array_size(line->narrow); i++)
			line->narrow[i] = ((const vio_words16 *)from)[i];
}

static vio_always_inline void vio_line_store(const struct vio_line *line, uint8_t *to,
					     const bool wide)
{
	if (wide)
		for (unsigned i = 0; i < vio_array_size(line->wide); i++)
			((vio_words32 *)to)[i] = line->wide[i];
	else
		for (unsigned i = 0; i < vio_array_size(line->narrow); i++)
			((vio_words16 *)to)[i] = line->narrow[i];
}

/* 64 bytes. */
static vio_always_inline void vio_copy_line(struct vio_copied *sum, uint8_t *to,
					    const uint8_t *from, const bool wide)
{
	struct vio_line line;

	vio_line_load(&line, from, wide);
	vio_line_store(&line, to, wide);
	if (wide)
		sum->wide += line.wide[0] + line.wide[1];
	else
		sum->narrow +=
			(line.narrow[0] + line.narrow[1]) + (line.narrow[2] + line.narrow[3]);
}

/* Copies @len bytes, and adds them to @sum. */
static vio_always_inline void vio_copy_frame(struct vio_copied *sum, uint8_t *to,
					     const uint8_t *from, size_t len, const bool wide)
{
	if (vio_likely(len == 64)) {
		vio_copy_line(sum, to, from, wide);
	} else if (len > 64 && len <= 128) {
		/* The last 64 bytes for themselves. */
		vio_copy_line(sum, to, from, wide);
		vio_copy_line(sum, to + len - 64, from + len - 64, wide);
	} else {
		sum->rest += vio_copy_and_read(to, from, len);
	}
}

/* A number that every byte had its part in; which it is depends on the width too. */
static vio_always_inline uint64_t vio_copied_sum(const struct vio_copied *sum, const bool wide)
{
	uint64_t all = sum->rest;

	if (!wide)
		return all + sum->narrow[0] + sum->narrow[1];
	for (unsigned i = 0; i < sizeof(sum->wide) / sizeof(all); i++)
		all += sum->wide[i];
	return all;
}

#endif
