/* SPDX-License-Identifier: BSD-2-Clause */
/* What a transport has to know of an arena in order to show it to a device. See driver_linux.h. */
#ifndef VIO_DRIVER_TRANSPORT_ARENA_H
#define VIO_DRIVER_TRANSPORT_ARENA_H

#include <vioduct/driver_linux.h>

/* The memfd, which stays the arena's; where it is mapped; its size. All constant. */
int vio_dma_arena_fd(const struct vio_dma_arena *arena);
void *vio_dma_arena_base(const struct vio_dma_arena *arena);
uint64_t vio_dma_arena_size(const struct vio_dma_arena *arena);

#endif
