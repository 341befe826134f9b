/* SPDX-License-Identifier: BSD-2-Clause */
/* A place in a packed ring, as tests that play one side by hand keep it (virtio 1.4, 2.8.1). */
#ifndef TESTS_LAP_POS_H
#define TESTS_LAP_POS_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/virtio.h>

/* Both flags that say whose a descriptor is. */
#define PACKED_OWNER ((uint16_t)(VIO_DESC_F_AVAIL | VIO_DESC_F_USED))

struct lap_pos {
	uint32_t off;
	bool wrap;
};

/* @n places on, in a ring of @num. */
static inline struct lap_pos lap_forward(struct lap_pos at, uint32_t n, uint32_t num)
{
	at.off += n;
	while (at.off >= num) {
		at.off -= num;
		at.wrap = !at.wrap;
	}
	return at;
}

/* What a descriptor says of itself there when it is available, and when it is used. */
static inline uint16_t lap_avail(struct lap_pos at)
{
	return at.wrap ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED;
}

static inline uint16_t lap_used(struct lap_pos at)
{
	return at.wrap ? PACKED_OWNER : 0;
}

#endif
