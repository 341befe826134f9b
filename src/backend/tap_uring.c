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
 * Writes that succeed leave no completion behind: that they are over is known, and how long they
 * were is not asked for.
 */
#include "backend/tap_uring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/bits.h"

/* Linux 5.17 and 5.18; headers may be older than the kernel. */
#ifndef IOSQE_CQE_SKIP_SUCCESS
#define IOSQE_CQE_SKIP_SUCCESS (1U << 6)
#endif
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif

static int enter(const struct vio_tap_uring *u, unsigned submit, unsigned wait)
{
	long ret;

	do
		ret = syscall(SYS_io_uring_enter, u->fd, submit, wait,
			      wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : (int)ret;
}

static void *map(const struct vio_tap_uring *u, size_t len, off_t what)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, what);

	return p == MAP_FAILED ? NULL : p;
}

/* Maps what setup told of. Submissions are numbered as they lie, once and for all. */
static int map_rings(struct vio_tap_uring *u, const struct io_uring_params *p)
{
	uint8_t *rings;
	unsigned *array;

	u->rings_len = vio_max(p->sq_off.array + p->sq_entries * sizeof(unsigned),
			       p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe));
	u->sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
	u->rings = rings = map(u, u->rings_len, IORING_OFF_SQ_RING);
	u->sqes = map(u, u->sqes_len, (off_t)IORING_OFF_SQES);
	if (rings == NULL || u->sqes == NULL)
		return -ENOMEM;
	u->sq_tail = (unsigned *)(void *)(rings + p->sq_off.tail);
	u->cq_head = (unsigned *)(void *)(rings + p->cq_off.head);
	u->cq_tail = (unsigned *)(void *)(rings + p->cq_off.tail);
	u->cqes = (struct io_uring_cqe *)(void *)(rings + p->cq_off.cqes);
	u->sq_mask = p->sq_entries - 1;
	u->cq_mask = p->cq_entries - 1;
	array = (unsigned *)(void *)(rings + p->sq_off.array);
	for (unsigned i = 0; i < p->sq_entries; i++)
		array[i] = i;
	return 0;
}

int vio_tap_uring_open(struct vio_tap_uring *u, int target)
{
	/* A kernel that knows this flag knows all that is used here. */
	struct io_uring_params p = { .flags = IORING_SETUP_SUBMIT_ALL };
	int ret;

	memset(u, 0, sizeof(*u));
	u->fd = (int)syscall(SYS_io_uring_setup, VIO_TAP_URING_MAX, &p);
	if (u->fd < 0) {
		u->fd = -1;
		return -errno;
	}
	ret = p.features & IORING_FEAT_SINGLE_MMAP ? map_rings(u, &p) : -ENOSYS;
	if (ret == 0 &&
	    syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_FILES, &target, 1) < 0)
		ret = -errno;
	if (ret < 0)
		vio_tap_uring_close(u);
	return ret;
}

void vio_tap_uring_close(struct vio_tap_uring *u)
{
	if (u->fd < 0)
		return;
	syscall(SYS_io_uring_register, u->fd, IORING_UNREGISTER_FILES, NULL, 0);
	if (u->sqes != NULL)
		munmap(u->sqes, u->sqes_len);
	if (u->rings != NULL)
		munmap(u->rings, u->rings_len);
	close(u->fd);
	u->fd = -1;
}

/* Each field is written: the entry holds what it was used for before. */
static void add(struct vio_tap_uring *u, uint8_t opcode, uint8_t flags, const void *addr,
		uint32_t len)
{
	struct io_uring_sqe *sqe = &u->sqes[u->tail & u->sq_mask];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->flags = (uint8_t)(IOSQE_FIXED_FILE | flags);
	sqe->off = UINT64_MAX; /* a stream has no offsets */
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
	sqe->rw_flags = RWF_NOWAIT;
	sqe->user_data = u->queued;
	u->tail++;
	u->queued++;
}

void vio_tap_uring_read(struct vio_tap_uring *u, void *buf, uint32_t len)
{
	add(u, IORING_OP_READ, 0, buf, len);
}

void vio_tap_uring_write(struct vio_tap_uring *u, const void *buf, uint32_t len)
{
	add(u, IORING_OP_WRITE, IOSQE_CQE_SKIP_SUCCESS, buf, len);
	u->silent++;
}

void vio_tap_uring_writev(struct vio_tap_uring *u, const struct vio_iov *iov, unsigned n)
{
	add(u, IORING_OP_WRITEV, 0, iov, n);
}

/* Hands the burst over. Returns how many of it the kernel took; the rest is taken back. */
static unsigned submit(struct vio_tap_uring *u)
{
	unsigned left = u->queued;

	/* For the kernel, which reads it in this very thread. */
	vio_store_release(u->sq_tail, u->tail);
	while (left > 0) {
		int ret = enter(u, left, 0);

		if (ret <= 0)
			break;
		left -= (unsigned)ret;
	}
	u->tail -= left;
	if (vio_unlikely(left))
		vio_store_release(u->sq_tail, u->tail);
	return u->queued - left;
}

/* Takes the completions that are there. Returns how many; *@failed is set if one failed. */
static unsigned reap(struct vio_tap_uring *u, int *results, bool *failed)
{
	unsigned head = *u->cq_head, tail = vio_load_acquire(u->cq_tail), n = tail - head;

	for (; head != tail; head++) {
		const struct io_uring_cqe *cqe = &u->cqes[head & u->cq_mask];

		results[cqe->user_data] = cqe->res;
		*failed |= cqe->res < 0;
	}
	vio_store_release(u->cq_head, head);
	return n;
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
		if (enter(u, 0, 1) < 0)
			break;
		seen += reap(u, results, &failed);
	}
	u->queued = 0;
	u->silent = 0;
	return !failed;
}
