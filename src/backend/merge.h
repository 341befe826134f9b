/* SPDX-License-Identifier: BSD-2-Clause */
/* Successive TCP segments as one large frame. See merge.c. */
#ifndef VIO_BACKEND_MERGE_H
#define VIO_BACKEND_MERGE_H

#include "internal.h"

/* What is being collected. All zero: nothing. */
struct vio_merge {
	uint32_t len;	   /* of the frame so far; 0: none */
	uint16_t l3, l4;   /* offsets of the IP and the TCP header */
	uint16_t payload;  /* and of the payload */
	uint16_t gso_size; /* payload bytes of the first segment */
	uint16_t segments;
	uint8_t version;   /* of IP */
	bool closed;	   /* the last segment was short or pushed: nothing may follow */
	uint32_t sequence; /* that the next segment must have */
	uint8_t bytes[VIO_ETH_HLEN + 65535];
};

/*
 * Takes a copy of the frame at @p when it can begin the collection or go on with it, if @accepts
 * (VIO_OFFLOAD_*) has what the result needs. False: it can't, as long as another one is collected or
 * for what it is.
 */
bool vio_merge_add(struct vio_merge *m, uint32_t accepts, const uint8_t *p, uint32_t len);

/* Ends the collection: its frame is in m->bytes with the length returned (0: there was none), with
 * its meta in *@meta. */
uint32_t vio_merge_finish(struct vio_merge *m, struct vio_net_meta *meta);

#endif
