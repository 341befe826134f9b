/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap interface of the kernel, as the tap back end sees it. See tap_dev.c. */
#ifndef VIO_BACKEND_TAP_H
#define VIO_BACKEND_TAP_H

#include <net/if.h>

#include "internal.h"

#define VIO_TAP_KIND	  "tap"
#define VIO_TAP_MAX_PAIRS 256 /* the kernel's limit */
#define VIO_TAP_HDR_LEN	  12  /* of the net header that the kernel puts before each frame */

struct vio_tap_options {
	const char *name, *fd;
	enum vio_switch up;
	uint64_t mtu;
};

/* An open tap interface. */
struct vio_tap_dev {
	char name[IFNAMSIZ];
	unsigned num_fds; /* one for each queue */
	int *fds;	  /* the caller's array, filled by vio_tap_dev_open() */
	bool multi_queue;
	bool uso; /* the kernel knows UDP segmentation */
};

/*
 * Opens the interface that @o describes, with @pairs queues, into @dev, whose fds has room for as
 * many. 0, or -errno with a line in @err, and nothing left open but descriptors that were given.
 */
int vio_tap_dev_open(struct vio_tap_dev *dev, const struct vio_tap_options *o, unsigned pairs,
		     uint16_t mtu, struct vio_error *err);
void vio_tap_dev_close(struct vio_tap_dev *dev);

/* Tells the kernel which VIO_OFFLOAD_* frames read from it may carry. 0 or -errno. */
int vio_tap_dev_offload(const struct vio_tap_dev *dev, uint32_t offloads);

/* Attaches or detaches queue @i. 0 or -errno. */
int vio_tap_dev_attach(const struct vio_tap_dev *dev, unsigned i, bool on);

#endif
