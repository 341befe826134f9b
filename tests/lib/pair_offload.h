/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of netframe through our driver half, with what they ask for. */
#ifndef TEST_PAIR_OFFLOAD_H
#define TEST_PAIR_OFFLOAD_H

#include "netframe.h"
#include "pair_driver.h"

bool pair_has(const struct pair_driver *d, unsigned bit);
/* What the driver may ask for (@host) or be given, by the feature that allows it. */
bool pair_allowed(const struct pair_driver *d, const struct netframe *f, bool host);
/* Sends @f, in one piece or two, with a wrong guess of hdr_len. What the driver says. */
int pair_send_netframe(struct pair_queue *q, const struct netframe *f, bool split);
/* The next frame that comes, in one piece. Returns its length. */
uint32_t pair_receive_bytes(struct pair_queue *q, uint8_t bytes[NETFRAME_MAX],
			    struct vio_net_meta *meta);

#endif
