/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plain part of a burst, four descriptors (as many as fill a cache line) at a time.
 *
 * Each kernel goes on as long as the next four are plain: buffers of one descriptor, all alike, all
 * in the region hit last, with ids that follow one another. It stops before the first four that are
 * not, having touched nothing of them, and returns how many it has done, a multiple of four. The
 * scalar loop beside each call goes on from there, and is what the kernel has to agree with.
 *
 * A run never goes round the end of a ring: the callers see to that.
 */
#ifndef VIO_RING_VECTOR_H
#define VIO_RING_VECTOR_H

#include "base/bits.h"
#include "base/simd.h"
#include "ring/ring.h"

/* Descriptors at a time. */
#define RING_VECTOR 4u

/*
 * What a buffer in flight has in private memory, in the driver side of either format. @shape is one
 * word so that a burst asks at once whether there is anything special about a buffer: the
 * descriptors that it has in the ring, and above them its indirect table + 1, 0 for none.
 */
struct ring_slot {
	void *token;	 /* of the buffer in flight that has this id; NULL: none has */
	uint32_t in_len; /* bytes posted for the device to write */
	uint32_t shape;
};
VIO_STATIC_ASSERT(sizeof(void *) != 8 || sizeof(struct ring_slot) == 16, "four fill a line");

#define RING_SHAPE_ONE 1u /* one descriptor, no table */

static vio_always_inline uint32_t ring_slot_count(const struct ring_slot *slot)
{
	return slot->shape & 0xffff;
}

struct ring_vector {
	/* As pop_plain() in packed_device.c. */
	uint32_t (*packed_pop)(const struct ring_desc *desc, uint32_t owner,
			       const struct vio_mem_region *r, struct vio_chain *chain,
			       struct vio_iov *iov, uint32_t n);
	/* Writes the used words of @chains, of one descriptor each, from @desc on; that of the first
	 * to @head, for it may have to be kept back. */
	uint32_t (*packed_push)(struct ring_desc *desc, uint64_t *head, uint32_t owner,
				const struct vio_chain *chains, uint32_t n);
	/* As add_plain() in packed_driver.c; the first's meta word goes to @head. */
	uint32_t (*packed_add)(struct ring_desc *desc, uint64_t *head, uint32_t flags,
			       struct ring_slot *slots, const uint16_t *ids,
			       const struct vio_seg *segs, void *const *tokens, uint32_t n);
	/* As reap_plain() in packed_reap.c. */
	uint32_t (*packed_reap)(const struct ring_desc *desc, uint32_t owner,
				struct ring_slot *slots, uint32_t num, uint16_t *ids,
				struct vio_drvq_done *done, uint32_t n);
	/* With IN_ORDER: the slots are those of @desc, so are the ids, from @id on. */
	uint32_t (*packed_add_in_order)(struct ring_desc *desc, uint64_t *head, uint32_t flags,
					struct ring_slot *slots, uint32_t id,
					const struct vio_seg *segs, void *const *tokens,
					uint32_t n);
	uint32_t (*packed_reap_in_order)(const struct ring_desc *desc, uint32_t owner,
					 struct ring_slot *slots, uint32_t id,
					 struct vio_drvq_done *done, uint32_t n);
	/* As take_plain() in packed_reap.c. */
	uint32_t (*packed_take)(struct ring_slot *slots, struct vio_drvq_done *done, uint32_t n);
	/* As the loop of split_pop_burst() in split_device.c. */
	uint32_t (*split_pop)(const struct ring_desc *desc, uint32_t mask, const uint16_t *heads,
			      uint8_t *taken, const struct vio_mem_region *r,
			      struct vio_chain *chain, struct vio_iov *iov, uint32_t n);
	/* As the loop of split_push_burst() in split_device.c. */
	uint32_t (*split_push)(uint64_t *shared, uint64_t *shadow, uint8_t *taken,
			       const struct vio_chain *chains, uint32_t n);
	/* As add_plain() in split_driver.c. */
	uint32_t (*split_add)(struct ring_desc *desc, struct ring_desc *shadow,
			      struct ring_slot *slots, const uint16_t *ids, uint16_t *heads,
			      uint16_t *heads_shadow, uint64_t flags, const struct vio_seg *segs,
			      void *const *tokens, uint32_t n);
	/* As the loop of split_reap_burst() in split_driver.c. Where @order is given, the heads have
	 * to be those that it says. */
	uint32_t (*split_reap)(const uint64_t *used, uint32_t mask, struct ring_slot *slots,
			       const uint16_t *order, uint16_t *ids, struct vio_drvq_done *done,
			       uint32_t n);
	/* As take_one() in split_driver.c, for buffers of one descriptor. */
	uint32_t (*split_take)(struct ring_slot *slots, const uint16_t *order, uint16_t *ids,
			       struct vio_drvq_done *done, uint32_t n);
};

/* One for each level but scalar; vector_x86.c and vector_neon.c. */
#if VIO_SIMD_X86
extern const struct ring_vector vio_ring_avx2, vio_ring_avx512;
#endif
#if VIO_SIMD_ARM64
extern const struct ring_vector vio_ring_neon;
#endif

/* Of the level that is chosen now; NULL when that is scalar. In ring.c. */
const struct ring_vector *vio_ring_vector(void);

/* A caller's array of tokens, whatever type of pointer it has. */
typedef void *ring_token __attribute__((may_alias));

#endif
