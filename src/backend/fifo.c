/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue of frames in a ring of bytes. Each frame lies in one piece, behind a word with its length;
 * a frame that does not fit before the end goes to the beginning, and a mark tells so. Freestanding.
 */
#include <string.h>

#include "base/bits.h"
#include "fifo.h"

#define WORD	4
#define WRAPPED UINT32_MAX

static uint32_t record_size(uint32_t len)
{
	return WORD + (uint32_t)vio_align_up(len, WORD);
}

static void put_word(struct vio_fifo *f, uint32_t at, uint32_t word)
{
	memcpy(f->memory + at, &word, WORD);
}

static uint32_t get_word(const struct vio_fifo *f, uint32_t at)
{
	uint32_t word;

	memcpy(&word, f->memory + at, WORD);
	return word;
}

bool vio_fifo_put(struct vio_fifo *f, const void *head, uint32_t head_len, const void *p,
		  uint32_t len)
{
	uint32_t need = record_size(head_len + len);

	if (need > f->size)
		return false;
	if (f->frames == 0)
		f->first = f->free = 0;
	if (f->frames != 0 && f->free <= f->first) {
		if (f->first - f->free < need)
			return false;
	} else if (f->size - f->free < need) {
		if (f->first < need)
			return false;
		if (f->free < f->size)
			put_word(f, f->free, WRAPPED);
		f->free = 0;
	}
	put_word(f, f->free, head_len + len);
	memcpy(f->memory + f->free + WORD, head, head_len);
	memcpy(f->memory + f->free + WORD + head_len, p, len);
	f->free += need;
	f->frames++;
	return true;
}

uint8_t *vio_fifo_first(struct vio_fifo *f, uint32_t *len)
{
	if (f->frames == 0)
		return NULL;
	if (f->first == f->size || get_word(f, f->first) == WRAPPED)
		f->first = 0;
	*len = get_word(f, f->first);
	return f->memory + f->first + WORD;
}

void vio_fifo_drop(struct vio_fifo *f)
{
	uint32_t len;

	if (vio_fifo_first(f, &len) == NULL)
		return;
	f->first += record_size(len);
	f->frames--;
}

void vio_fifo_move(struct vio_fifo *to, struct vio_fifo *from)
{
	uint32_t len;
	const uint8_t *p;

	while ((p = vio_fifo_first(from, &len)) != NULL && vio_fifo_put(to, p, 0, p, len))
		vio_fifo_drop(from);
}
