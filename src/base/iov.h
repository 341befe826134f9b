/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that lie in pieces. All functions take any pieces, empty ones too, and stop at the end of
 * the shorter side instead of failing: the caller compares what was done with what it asked for.
 */
#ifndef VIO_BASE_IOV_H
#define VIO_BASE_IOV_H

#include <stddef.h>

#include <vioduct/host.h>

#include "base/bits.h"
#include "base/wide.h"

/* Bytes in @iov; SIZE_MAX when they are more than that. */
size_t vio_iov_len(const struct vio_iov *iov, unsigned n);

/* Copies up to @len bytes from offset @off of @iov to @dst. Returns how many. */
size_t vio_iov_to_buf(const struct vio_iov *iov, unsigned n, size_t off, void *dst, size_t len);

/* Copies up to @len bytes from @src to offset @off of @iov. Returns how many. */
size_t vio_iov_from_buf(const struct vio_iov *iov, unsigned n, size_t off, const void *src,
			size_t len);

/*
 * Copies up to @len bytes from offset @src_off of @src to offset @dst_off of @dst; the two must not
 * overlap. Returns how many.
 */
size_t vio_iov_copy(const struct vio_iov *dst, unsigned dst_n, size_t dst_off,
		    const struct vio_iov *src, unsigned src_n, size_t src_off, size_t len);

/*
 * Fills @dst with the pieces that are bytes [@off, @off + @len) of @iov; nothing is copied and no
 * piece is empty. @dst may be @iov itself. Returns the number of pieces; -EINVAL when @iov has
 * fewer bytes; -E2BIG when @max pieces are too few. After an error @dst holds nothing useful.
 */
int vio_iov_slice(struct vio_iov *dst, unsigned max, const struct vio_iov *iov, unsigned n,
		  size_t off, size_t len);

/*
 * In place: drops the first @len bytes, or all but the first @len bytes. Returns how many pieces
 * are left, from the start of @iov; fewer bytes than @len leave none, or all.
 */
unsigned vio_iov_skip(struct vio_iov *iov, unsigned n, size_t len);
unsigned vio_iov_trim(struct vio_iov *iov, unsigned n, size_t len);

/* Cuts @n bytes, which there are, off the front of a piece. Returns where they are. */
static vio_always_inline void *vio_iov_cut(struct vio_iov *iov, size_t n)
{
	void *cut = iov->base;

	/* As one vector where it is one. */
	if (sizeof(*iov) == sizeof(vio_words16) && sizeof(n) == sizeof(uint64_t)) {
		*(vio_words16 *)(void *)iov += (vio_words16){ n, 0 - (uint64_t)n };
	} else {
		iov->base = (uint8_t *)cut + n;
		iov->len -= n;
	}
	return cut;
}

#endif
