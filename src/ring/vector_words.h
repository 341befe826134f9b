/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernels of every architecture write and compare as whole words. */
#ifndef VIO_RING_VECTOR_WORDS_H
#define VIO_RING_VECTOR_WORDS_H

#include <stddef.h>

#include "base/bits.h"
#include "ring/vector.h"

#define LOW_32	    UINT64_C(0xffffffff)
#define SIGN	    (UINT64_C(1) << 63)
#define META_ID	    (UINT64_C(0xffff) << 32) /* of a packed descriptor, and in struct vio_chain */
#define META_LEN_ID (LOW_32 | META_ID)

/* Four 16-bit numbers that follow one another from @first on, as they lie in memory. */
#define FOLLOWING(first) ((first)*UINT64_C(0x0001000100010001) + UINT64_C(0x0003000200010000))

/* Whether the four in @ids do. */
static vio_always_inline bool follow(uint64_t ids)
{
	const uint64_t all = ids - FOLLOWING(0);

	return (all >> 16 | all << 48) == all;
}

typedef uint64_t any_u64 __attribute__((may_alias, aligned(2)));
typedef uint32_t any_u32 __attribute__((may_alias, aligned(1)));

VIO_STATIC_ASSERT(sizeof(struct vio_iov) == 16 && offsetof(struct vio_iov, len) == 8, "base, len");
VIO_STATIC_ASSERT(sizeof(struct vio_chain) == 32 && offsetof(struct vio_chain, out_num) == 8 &&
			  offsetof(struct vio_chain, in_num) == 10 &&
			  offsetof(struct vio_chain, out_len) == 12 &&
			  offsetof(struct vio_chain, in_len) == 16 &&
			  offsetof(struct vio_chain, id) == 20 &&
			  offsetof(struct vio_chain, slots) == 22 &&
			  offsetof(struct vio_chain, written) == 24,
		  "iov, out_num out_num out_len, in_len id slots, written");
VIO_STATIC_ASSERT(sizeof(struct vio_drvq_done) == 16 && offsetof(struct vio_drvq_done, len) == 8,
		  "token, len");
VIO_STATIC_ASSERT(sizeof(struct vio_seg) == 16 && offsetof(struct vio_seg, len) == 8, "addr, len");

#endif
