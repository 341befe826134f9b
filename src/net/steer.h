/* SPDX-License-Identifier: BSD-2-Clause */
/* Which queue pair a frame for the guest goes to. See steer.c. */
#ifndef VIO_NET_STEER_H
#define VIO_NET_STEER_H

#include <vioduct/frame.h>

#include "base/bits.h"
#include "net/hash.h"

#define VIO_STEER_FLOWS 1024 /* a power of two */

struct vio_steer {
	/* constant after vio_steer_init() */
	struct vio_toeplitz toeplitz;
	/* written by control */
	uint16_t pairs; /* that the guest uses */
	/* written by whoever serves the pair that sends: the pair of each flow, + 1; 0: not known */
	uint8_t flows[VIO_STEER_FLOWS] vio_cacheline;
};

/* All flows unknown, @pairs (1..254) in use. */
void vio_steer_init(struct vio_steer *s, unsigned pairs);

/* The place of a frame's flow, below VIO_STEER_FLOWS: the same in both directions. @p: the beginning
 * of the frame, of @len bytes, in private memory. */
unsigned vio_steer_flow(const struct vio_steer *s, const uint8_t *p, size_t len);

/* The pair that frames of @flow go to: always one in use. */
unsigned vio_steer_pair(const struct vio_steer *s, unsigned flow);

/* The guest has sent a frame of @flow on @pair. */
void vio_steer_learn(struct vio_steer *s, unsigned flow, unsigned pair);

/*
 * From now on @pairs are in use. With @pin, flows stay where they are, as far as that pair still is
 * in use: for when frames wait, that others must not overtake. Else those that the guest has not
 * sent anything of are spread anew.
 */
void vio_steer_resize(struct vio_steer *s, unsigned pairs, bool pin);

#endif
