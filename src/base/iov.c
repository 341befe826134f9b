/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/iov.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"

/* A place in an iov: the piece, and the offset in it. */
struct cursor {
	const struct vio_iov *iov;
	unsigned n; /* pieces left, the current one included */
	size_t off; /* less than iov->len, unless n is 0 */
};

/* Moves on by @step bytes, and then past what is used up or empty. */
static void advance(struct cursor *c, size_t step)
{
	while (c->n > 0 && step >= c->iov->len - c->off) {
		step -= c->iov->len - c->off;
		c->off = 0;
		c->iov++;
		c->n--;
	}
	if (c->n > 0)
		c->off += step;
}

static struct cursor cursor_at(const struct vio_iov *iov, unsigned n, size_t off)
{
	struct cursor c = { .iov = iov, .n = n, .off = 0 };

	advance(&c, off);
	return c;
}

static char *here(const struct cursor *c)
{
	return (char *)c->iov->base + c->off;
}

static size_t left_here(const struct cursor *c)
{
	return c->iov->len - c->off;
}

size_t vio_iov_len(const struct vio_iov *iov, unsigned n)
{
	size_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		if (iov[i].len > SIZE_MAX - sum)
			return SIZE_MAX;
		sum += iov[i].len;
	}
	return sum;
}

size_t vio_iov_copy(const struct vio_iov *dst, unsigned dst_n, size_t dst_off,
		    const struct vio_iov *src, unsigned src_n, size_t src_off, size_t len)
{
	struct cursor d = cursor_at(dst, dst_n, dst_off);
	struct cursor s = cursor_at(src, src_n, src_off);
	size_t done = 0;

	while (done < len && d.n > 0 && s.n > 0) {
		size_t step = vio_min(left_here(&d), left_here(&s));

		step = vio_min(step, len - done);
		memcpy(here(&d), here(&s), step);
		advance(&d, step);
		advance(&s, step);
		done += step;
	}
	return done;
}

size_t vio_iov_to_buf(const struct vio_iov *iov, unsigned n, size_t off, void *dst, size_t len)
{
	const struct vio_iov to = { .base = dst, .len = len };

	return vio_iov_copy(&to, 1, 0, iov, n, off, len);
}

size_t vio_iov_from_buf(const struct vio_iov *iov, unsigned n, size_t off, const void *src,
			size_t len)
{
	/* Only read from: the constant bytes stay constant. */
	const struct vio_iov from = { .base = (void *)(uintptr_t)src, .len = len };

	return vio_iov_copy(iov, n, off, &from, 1, 0, len);
}

int vio_iov_slice(struct vio_iov *dst, unsigned max, const struct vio_iov *iov, unsigned n,
		  size_t off, size_t len)
{
	struct cursor c = cursor_at(iov, n, off);
	unsigned pieces = 0;

	/* @dst never overtakes the cursor: each piece written stands for one already passed. */
	while (len > 0) {
		struct vio_iov piece;

		if (c.n == 0)
			return -EINVAL;
		piece = (struct vio_iov){ .base = here(&c), .len = vio_min(left_here(&c), len) };
		advance(&c, piece.len);
		len -= piece.len;
		if (pieces < max)
			dst[pieces] = piece;
		pieces++;
	}
	return pieces <= max ? (int)pieces : -E2BIG;
}

unsigned vio_iov_skip(struct vio_iov *iov, unsigned n, size_t len)
{
	struct cursor c = cursor_at(iov, n, len);
	unsigned left = c.n;

	if (left == 0)
		return 0;
	if (c.iov != iov)
		memmove(iov, c.iov, left * sizeof(*iov));
	iov->base = (char *)iov->base + c.off;
	iov->len -= c.off;
	return left;
}

unsigned vio_iov_trim(struct vio_iov *iov, unsigned n, size_t len)
{
	unsigned i = 0;

	for (; i < n && len > 0; i++) {
		iov[i].len = vio_min(iov[i].len, len);
		len -= iov[i].len;
	}
	return i;
}
