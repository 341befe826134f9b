/* SPDX-License-Identifier: BSD-2-Clause */
/* A place in a packed ring, as tests that play one side by hand keep it (virtio 1.4, 2.8.1). */
#ifndef TESTS_PACKED_POS_H
#define TESTS_PACKED_POS_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/virtio.h>

/* Both flags that say whose a descriptor is. */
#define PACKED_OWNER ((uint16_t)(VIO_DESC_F_AVAIL | VIO_DESC_F_USED))

struct packed_pos {
	uint32_t off;
	bool wrap;
};

/* @n places on, in a ring of @num. */
static inline struct packed_pos packed_forward(struct packed_pos at, uint32_t n, uint32_t num)
{
	at.off += n;
	while (at.off >= num) {
		at.off -= num;
		at.wrap = !at.wrap;
	}
	return at;
}

/* What a descriptor says of itself there when it is available, and when it is used. */
static inline uint16_t packed_avail(struct packed_pos at)
{
	return at.wrap ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED;
}

static inline uint16_t packed_used(struct packed_pos at)
{
	return at.wrap ? PACKED_OWNER : 0;
}

#endif
