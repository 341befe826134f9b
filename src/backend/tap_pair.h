/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the tap back end share: see tap.c. */
#ifndef VIO_BACKEND_TAP_PAIR_H
#define VIO_BACKEND_TAP_PAIR_H

#include <sys/uio.h>

#include "tap.h"
#include "tap_uring.h"

#define KIND	   VIO_TAP_KIND
#define IOV_PIECES 1024 /* the kernel's limit for one call (IOV_MAX) */
#define ROOM_SMALL 1526 /* an ordinary frame with a VLAN tag or two, and a little */
#define ROOM_LARGE VIO_FRAME_MAX_LEN

#define SMALL	    256u /* frames up to this are copied, for fewer and cheaper system calls */
#define SEND_BURST  (unsigned)VIO_TAP_URING_MAX
#define READ_BURST  32u /* slots, at most */
#define WORTH_BURST 4u	/* fewer operations than this go one by one */

/* struct vio_iov is passed on as struct iovec. */
_Static_assert(sizeof(struct vio_iov) == sizeof(struct iovec), "vio_iov is an iovec");
_Static_assert(offsetof(struct vio_iov, len) == offsetof(struct iovec, iov_len),
	       "vio_iov is an iovec");

/* A small frame to send, behind its header, or the header alone of one that is not small. */
struct tap_out {
	uint8_t unused[4]; /* the frame begins where copying is fast */
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t bytes[SMALL];
} vio_cacheline;

/* A frame that was read in a burst; one byte more, to notice what is longer. */
struct tap_in {
	uint8_t unused[4];
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t bytes[VIO_FRAME_MAX_LEN + 1];
	uint8_t spare[VIO_CACHE_LINE]; /* for an odd number of lines */
} vio_cacheline;

_Static_assert(sizeof(struct tap_out) / VIO_CACHE_LINE % 2 == 1, "slots fall on different sets");
_Static_assert(sizeof(struct tap_in) / VIO_CACHE_LINE % 2 == 1, "slots fall on different sets");

/* What bursts need. Pages of it that are never used take no memory, as long as the pair is not so busy
 * that all of it is registered with the kernel. */
struct tap_burst {
	struct vio_tap_uring uring;
	int results[VIO_TAP_URING_MAX];

	/* Sent, of which so many were told: and how to know the next of them again. */
	unsigned told, sent;
	const void *next_at;
	uint32_t next_len;

	/* Read, and not delivered yet. */
	unsigned grown; /* how many frames may be read at a time now */
	unsigned first, held;
	uint8_t order[READ_BURST];
	uint32_t lens[READ_BURST];
	struct vio_frame rooms[READ_BURST];

	struct tap_slots {
		struct tap_out out[SEND_BURST];
		struct tap_in in[READ_BURST];
	} slots;
};

/* One queue pair; touched by its worker only, but for attached, which is the control thread's. */
struct tap_pair {
	struct vio_sink *sink;
	struct tap_burst *burst; /* NULL: everything goes one by one */
	int epoll;
	bool attached;
	bool dead;		  /* the interface is gone */
	bool busy;		  /* the kernel took less than it was offered last */
	bool want_out;		  /* the set waits for it to take more */
	uint32_t hint;		  /* room to reserve for the next frame */
	struct vio_frame pending; /* a frame waiting for room; len 0 when there is none */
	struct vio_iov pending_iov[2];
	struct vio_iov iov[IOV_PIECES];
	uint8_t header[VIO_TAP_HDR_LEN];
	uint8_t overflow[VIO_FRAME_MAX_LEN + 1]; /* one more, to notice what is longer */
} vio_cacheline;

struct tap {
	struct vio_backend be;
	const struct vio_host *host;
	struct vio_tap_dev dev;
	int fds[VIO_TAP_MAX_PAIRS];
	unsigned num_pairs;
	uint32_t accepts; /* VIO_OFFLOAD_*; written by the control thread */
	struct tap_pair pairs[];
};

/* The interface was deleted: nothing can come or go any more. */
void vio_tap_gone(struct tap *t, unsigned pair);

/* The operations of the same names (backend.h). */
int vio_tap_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n);
int vio_tap_receive(struct vio_backend *be, unsigned pair, unsigned budget);

#endif
