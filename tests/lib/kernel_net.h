/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux's own network in a namespace of the test's process: taps on a bridge, quiet but for what the
 * test sends.
 */
#ifndef TESTLIB_KERNEL_NET_H
#define TESTLIB_KERNEL_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "netframe.h"

#define KERNEL_MTU 65521 /* the most that a tap takes; what is not cut has to get through as well */

/* Enters the namespace, while there is one thread. NULL, or what can't be had here. */
const char *kernel_enter(void);

/* A tap whose frames have a 12-byte little-endian net header; @offloads: TUN_F_*, what the kernel may
 * leave to whoever reads it. Its descriptor, or -1. */
int kernel_tap(const char *name, unsigned offloads);
/* Changes that. */
bool kernel_tap_offloads(int tap, unsigned offloads);

/* A bridge that is up; an interface on it, up, both with the largest MTU. */
bool kernel_bridge(const char *name);
bool kernel_join(const char *bridge, const char *name);
/* The MTU of @name, 0: there is no such interface. */
uint32_t kernel_mtu(const char *name);

/* Whether the kernel took the frame. */
bool kernel_send(int tap, const uint8_t *bytes, uint32_t len, const struct vio_net_meta *meta);
/* The next of the frames of netframe, into @bytes; its length. Anybody else's is passed over. */
uint32_t kernel_receive(int tap, uint8_t bytes[NETFRAME_MAX], struct vio_net_meta *meta);
/* Whether @bytes are one of netframe's. */
bool kernel_is_ours(const uint8_t *bytes);

#endif
