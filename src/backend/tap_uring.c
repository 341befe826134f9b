/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io_uring, as little of it as a tap needs: a burst of reads or writes on one descriptor goes to the
 * kernel in one system call and is over when that returns.
 *
 * Nothing is left to go on by itself. Each operation carries RWF_NOWAIT, so that the kernel carries
 * it out within the call or fails it with EAGAIN; it neither waits for the descriptor nor hands the
 * operation to a thread. So memory that belongs to somebody else is only used within the call, and
 * whoever has no ring gets the same results from the same operations one by one.
 *
 * The descriptor is registered, which spares counting its users for each operation. A ring is taken
 * apart in the background when its process dies, and holds the descriptor until that is done; an
 * orderly close lets go of it first.
 *
 * So is the memory of reads and writes, once there have been enough of them: the kernel then copies
 * to and from its own view of the pages, and need not guard each copy as one that may fault (a
 * tenth of what a small frame costs). It pins the pages for that, which a ring is worth that has
 * carried many with few rests, and which RLIMIT_MEMLOCK may forbid; nothing is changed by it then.
 * A process that forks goes on in the parent, whose pages they are.
 *
 * Writes that succeed leave no completion behind: that they are over is known, and how long they
 * were is not asked for.
 *
 * The ring itself is liburing's. Built without that, there is none, as on a kernel that has none.
 */
#include "backend/tap_uring.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/bits.h"

#ifdef VIO_HAVE_LIBURING

#define TARGET	  0	     /* its index among the registered descriptors */
#define NO_OFFSET UINT64_MAX /* a tap is a stream */
#define MEMORY	  0	     /* the index of ours among the registered */

#define PAGE_MIN 4096u /* no page of memory is smaller */

/* Linux 5.17 and 5.18; the library may be older than the kernel. */
#ifndef IOSQE_CQE_SKIP_SUCCESS
#define IOSQE_CQE_SKIP_SUCCESS (1U << 6)
#endif
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif

int vio_tap_uring_open(struct vio_tap_uring *u, int target, void *mem, size_t len)
{
	/* A kernel that knows this flag knows all that is used here. */
	struct io_uring_params p = { .flags = IORING_SETUP_SUBMIT_ALL };
	int ret;

	memset(u, 0, sizeof(*u));
	u->mem = mem;
	u->len = len;
	u->ring.ring_fd = -1;
	ret = io_uring_queue_init_params(VIO_TAP_URING_MAX, &u->ring, &p);
	if (ret < 0) {
		u->ring.ring_fd = -1;
		return ret;
	}
	ret = io_uring_register_files(&u->ring, &target, 1);
	if (ret < 0)
		vio_tap_uring_close(u);
	return ret;
}

void vio_tap_uring_close(struct vio_tap_uring *u)
{
	if (u->ring.ring_fd < 0)
		return;
	if (u->fixed)
		io_uring_unregister_buffers(&u->ring);
	io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	u->ring.ring_fd = -1;
}

/* The next entry, of which there are as many as a burst has operations: each run uses them up. */
static struct io_uring_sqe *next(struct vio_tap_uring *u)
{
	return io_uring_get_sqe(&u->ring);
}

/* What all operations have in common, over what the library has put there. */
static void add(struct vio_tap_uring *u, struct io_uring_sqe *sqe, unsigned flags)
{
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | flags);
	sqe->rw_flags = RWF_NOWAIT;
	sqe->user_data = u->queued++;
}

void vio_tap_uring_read(struct vio_tap_uring *u, void *buf, uint32_t len)
{
	struct io_uring_sqe *sqe = next(u);

	if (vio_likely(u->fixed))
		io_uring_prep_read_fixed(sqe, TARGET, buf, len, NO_OFFSET, MEMORY);
	else
		io_uring_prep_read(sqe, TARGET, buf, len, NO_OFFSET);
	add(u, sqe, 0);
}

void vio_tap_uring_write(struct vio_tap_uring *u, const void *buf, uint32_t len)
{
	struct io_uring_sqe *sqe = next(u);

	if (vio_likely(u->fixed))
		io_uring_prep_write_fixed(sqe, TARGET, buf, len, NO_OFFSET, MEMORY);
	else
		io_uring_prep_write(sqe, TARGET, buf, len, NO_OFFSET);
	add(u, sqe, IOSQE_CQE_SKIP_SUCCESS);
	u->silent++;
}

void vio_tap_uring_writev(struct vio_tap_uring *u, const struct vio_iov *iov, unsigned n)
{
	struct io_uring_sqe *sqe = next(u);

	io_uring_prep_writev(sqe, TARGET, (const struct iovec *)(const void *)iov, n, NO_OFFSET);
	add(u, sqe, 0);
}

/* Takes the last @n entries back, which the kernel has been told of and did not take. */
static void take_back(struct vio_tap_uring *u, unsigned n)
{
	struct io_uring_sq *sq = &u->ring.sq;

	sq->sqe_tail -= n;
	sq->sqe_head = sq->sqe_tail;
	/* For the kernel, which reads it in this very thread. */
	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
}

/* Hands the burst over. Returns how many of it the kernel took; the rest is taken back. */
static unsigned submit(struct vio_tap_uring *u)
{
	unsigned left = u->queued;

	while (left > 0) {
		int ret = io_uring_submit(&u->ring);

		if (ret == -EINTR)
			continue;
		if (ret <= 0)
			break;
		left -= (unsigned)ret;
	}
	if (vio_unlikely(left))
		take_back(u, left);
	return u->queued - left;
}

/* Takes the completions that are there. Returns how many; *@failed is set if one failed. */
static unsigned reap(struct vio_tap_uring *u, int *results, bool *failed)
{
	const struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		results[cqe->user_data] = cqe->res;
		*failed |= cqe->res < 0;
		n++;
	}
	io_uring_cq_advance(&u->ring, n);
	return n;
}

/* Waits for a completion. 0 or -errno. */
static int wait_for_one(struct vio_tap_uring *u)
{
	struct io_uring_cqe *cqe;
	int ret;

	do
		ret = io_uring_wait_cqe(&u->ring, &cqe);
	while (ret == -EINTR);
	return ret;
}

/*
 * Counts operations, and has the memory registered when there were enough. That takes long where
 * there are no pages yet, so on the way there they are touched, a few at a time.
 */
static void count(struct vio_tap_uring *u)
{
	struct iovec iov = { u->mem, u->len };
	volatile uint8_t *mem = u->mem;

	u->carried += u->queued;
	while (u->touched < u->len && u->touched < u->len / VIO_TAP_URING_BUSY * u->carried) {
		mem[u->touched] = mem[u->touched];
		u->touched += PAGE_MIN;
	}
	if (u->carried >= VIO_TAP_URING_BUSY)
		u->fixed = io_uring_register_buffers(&u->ring, &iov, 1) == 0;
}

bool vio_tap_uring_run(struct vio_tap_uring *u, int *results)
{
	unsigned loud = u->queued - u->silent, seen, taken = submit(u);
	bool failed = taken != u->queued;

	memset(results, 0, taken * sizeof(*results));
	for (unsigned i = taken; i < u->queued; i++)
		results[i] = -EAGAIN;
	seen = reap(u, results, &failed);
	/* Those that always tell have all told by now; memory of others hangs on it. */
	while (vio_unlikely(seen < loud && taken == u->queued)) {
		if (wait_for_one(u) < 0)
			break;
		seen += reap(u, results, &failed);
	}
	if (vio_unlikely(u->carried < VIO_TAP_URING_BUSY))
		count(u);
	u->queued = 0;
	u->silent = 0;
	return !failed;
}

#else

int vio_tap_uring_open(struct vio_tap_uring *u, int target, void *mem, size_t len)
{
	(void)u, (void)target, (void)mem, (void)len;
	return -ENOSYS;
}

void vio_tap_uring_close(struct vio_tap_uring *u)
{
	(void)u;
}

/* What follows needs an open ring, so it is never called: it is there to be linked. */

void vio_tap_uring_read(struct vio_tap_uring *u, void *buf, uint32_t len)
{
	(void)u, (void)buf, (void)len;
}

void vio_tap_uring_write(struct vio_tap_uring *u, const void *buf, uint32_t len)
{
	(void)u, (void)buf, (void)len;
}

void vio_tap_uring_writev(struct vio_tap_uring *u, const struct vio_iov *iov, unsigned n)
{
	(void)u, (void)iov, (void)n;
}

bool vio_tap_uring_run(struct vio_tap_uring *u, int *results)
{
	(void)u, (void)results;
	return false;
}

#endif
