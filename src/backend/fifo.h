/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that wait, in order, in a fixed piece of private memory. See fifo.c. */
#ifndef VIO_BACKEND_FIFO_H
#define VIO_BACKEND_FIFO_H

#include <stdbool.h>
#include <stdint.h>

struct vio_fifo {
	uint8_t *memory; /* the owner's; NULL: none, and no room */
	uint32_t size;	 /* of it, a multiple of 4 */
	uint32_t first;	 /* where the oldest frame is */
	uint32_t free;	 /* where the next one goes */
	uint32_t frames; /* how many wait */
};

/* Appends a copy of the @head_len bytes at @head with the @len bytes at @p behind them, as one; false
 * when there is no room. */
bool vio_fifo_put(struct vio_fifo *f, const void *head, uint32_t head_len, const void *p,
		  uint32_t len);

/* The oldest frame and its length, or NULL. It stays until vio_fifo_drop(). */
uint8_t *vio_fifo_first(struct vio_fifo *f, uint32_t *len);
void vio_fifo_drop(struct vio_fifo *f);

/* Appends @from's frames to @to, in order, as long as there is room. */
void vio_fifo_move(struct vio_fifo *to, struct vio_fifo *from);

#endif
