/* SPDX-License-Identifier: BSD-2-Clause */
/* Many reads or writes of one descriptor in one system call. See tap_uring.c. */
#ifndef VIO_BACKEND_TAP_URING_H
#define VIO_BACKEND_TAP_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef VIO_HAVE_LIBURING
#include <liburing.h>
#endif

#include <vioduct/host.h>

#include "base/bits.h"

#define VIO_TAP_URING_MAX  64	 /* operations in a burst */
#define VIO_TAP_URING_BUSY 4096u /* operations, after which registering memory pays */
#define VIO_TAP_URING_REST 256u	 /* of these that a rest takes back */

struct vio_tap_uring {
	unsigned queued; /* operations of the burst */
	unsigned silent; /* of them, such as tell of failure only */
#ifdef VIO_HAVE_LIBURING
	void *mem; /* where reads and writes lie */
	size_t len;
	size_t touched;	      /* of it, every page below this */
	unsigned carried;     /* operations, until there were enough */
	bool fixed;	      /* the memory is registered */
	struct io_uring ring; /* its ring_fd is -1 when there is none */
#endif
};

/*
 * Makes a ring for operations on @target, which must be non-blocking. All that is read and written
 * lies in @mem. 0, or -errno where there is no ring (the kernel too old, or forbidding it; built
 * without liburing): it may only be closed then.
 */
int vio_tap_uring_open(struct vio_tap_uring *u, int target, void *mem, size_t len);
/* Lets go of the target, which is closed for good when its owner has closed it too. */
void vio_tap_uring_close(struct vio_tap_uring *u);

/* The owner is about to wait for work. */
static inline void vio_tap_uring_rest(struct vio_tap_uring *u)
{
#ifdef VIO_HAVE_LIBURING
	if (u->carried < VIO_TAP_URING_BUSY)
		u->carried -= vio_min(u->carried, VIO_TAP_URING_REST);
#else
	(void)u;
#endif
}

/*
 * Adds an operation to the burst. What it points to has to stay until vio_tap_uring_run() returns;
 * what a writev() points to may lie anywhere.
 */
void vio_tap_uring_read(struct vio_tap_uring *u, void *buf, uint32_t len);
void vio_tap_uring_write(struct vio_tap_uring *u, const void *buf, uint32_t len);
void vio_tap_uring_writev(struct vio_tap_uring *u, const struct vio_iov *iov, unsigned n);

/*
 * Carries the burst out, in order. All of it is over on return: results[i] is what operation i
 * returned: a length or -errno; for a write() that succeeded, 0. True when none failed. What the
 * kernel took nothing of (no memory) has failed with -EAGAIN.
 */
bool vio_tap_uring_run(struct vio_tap_uring *u, int *results);

#endif
