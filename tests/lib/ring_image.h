/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring in guest memory for tests, by hand: either side may be ours, and the other is the test,
 * which reads and writes the same memory by field. What a test says to the ring it says alike for
 * every format; ring_run_tests() runs it for each.
 *
 * Guest memory is two regions that touch in guest addresses and lie apart, between guard pages, in
 * ours. The ring is at the start of the first; the rest is for buffers.
 */
#ifndef TESTS_RING_IMAGE_H
#define TESTS_RING_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/mem.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#include "lap_pos.h"

#define IMAGE_BASE   0x100000000ull /* guest address of the first region */
#define IMAGE_REGION (1u << 20)	    /* bytes of each */
#define IMAGE_SEAM   (IMAGE_BASE + IMAGE_REGION)
#define IMAGE_END    (IMAGE_BASE + 2ull * IMAGE_REGION)
/* Where buffers and tables may be: behind a ring of up to 1024 descriptors. */
#define IMAGE_DATA (IMAGE_BASE + 0x10000)

#define RING_EVENT_IDX (1ull << VIO_F_EVENT_IDX)
#define RING_INDIRECT  (1ull << VIO_F_INDIRECT_DESC)
#define RING_PACKED    (1ull << VIO_F_RING_PACKED)
#define RING_IN_ORDER  (1ull << VIO_F_IN_ORDER)
#define RING_PLATFORM  (1ull << VIO_F_ORDER_PLATFORM)

/* ---- Formats ------------------------------------------------------------------------------- */

enum {
	RING_RUN_SPLIT = 1,
	RING_RUN_PACKED = 2,
	RING_RUN_SPLIT_IN_ORDER = 4,
	RING_RUN_PACKED_IN_ORDER = 8,
	RING_RUN_ANY_ORDER = RING_RUN_SPLIT | RING_RUN_PACKED,
	RING_RUN_IN_ORDER = RING_RUN_SPLIT_IN_ORDER | RING_RUN_PACKED_IN_ORDER,
	RING_RUN_ANY_SPLIT = RING_RUN_SPLIT | RING_RUN_SPLIT_IN_ORDER,
	RING_RUN_ANY_PACKED = RING_RUN_PACKED | RING_RUN_PACKED_IN_ORDER,
	RING_RUN_ALL = 15,
};

struct ring_test {
	const char *name;
	void (*run)(void **state); /* *state is a const uint64_t: the features of the format */
	unsigned formats;	   /* RING_RUN_* */
};

#define RING_TEST(function, formats)         \
	{                                    \
#function, function, formats \
	}

/* Runs each of @n tests for each of its formats, as cmocka_run_group_tests() would. */
int ring_run_tests(const struct ring_test *tests, size_t n);

/* The same with each level of vector instructions that this machine has, scalar first: the rings that
 * a test makes are those of that level. The number of tests that failed at any. */
int ring_run_tests_at_levels(const struct ring_test *tests, size_t n);

/* The features of the format that a test is run for. */
static inline uint64_t ring_format(void **state)
{
	return *(const uint64_t *)*state;
}

/* ---- The image ----------------------------------------------------------------------------- */

struct ring_image {
	uint32_t num;
	uint64_t features;
	bool packed, in_order;
	char *low, *high; /* the two regions */
	struct vio_mem *mem;
	struct vio_vq_areas areas;
	/* split */
	struct vio_virtq_desc *desc;
	struct vio_virtq_avail *avail;
	struct vio_virtq_used *used;
	uint16_t *used_event;
	uint16_t *avail_event;
	/* packed */
	struct vio_pvirtq_desc *pdesc;
	struct vio_pvirtq_event *driver_event;
	struct vio_pvirtq_event *device_event;

	struct vio_drvq *drv;
	struct vio_devq *dev;
	void *drv_storage, *dev_storage;

	/* of the hand-written side */
	uint16_t next_avail, next_used;	  /* split: indices */
	struct lap_pos avail_at, used_at; /* packed */
	uint16_t next_desc;		  /* split: where image_post() goes on in the table */
	uint16_t *slots;		  /* by id: descriptors of what is posted */
	uint16_t *order;		  /* ids in the order in which they were posted */
	uint32_t posted, returned;	  /* how many; free-running */
};

/* Memory and areas, all zero; aborts when there is none. */
void image_open(struct ring_image *im, uint32_t num, uint64_t features);
void image_close(struct ring_image *im);

/* Sets up our side on the image as it is. @base as in struct vio_devq_setup. */
void image_driver(struct ring_image *im);
void image_driver_indirect(struct ring_image *im, uint64_t table, uint16_t max, uint16_t tables);
void image_device(struct ring_image *im, uint32_t base);
void image_device_fresh(struct ring_image *im); /* at the base of a ring that is new */

/* Our pointer to guest address @addr, which must be in one of the regions. */
void *image_at(const struct ring_image *im, uint64_t addr);
/* Whether [@p, @p + @len) lies in one of the regions. */
bool image_holds(const struct ring_image *im, const void *p, size_t len);

/* ---- The driver by hand -------------------------------------------------------------------- */

/*
 * Makes a chain of the @n descriptors @d available: addr, len and flags of each, NEXT put in by this,
 * `next` (split) in steps of one. Returns its id: the head, or for packed something that no other in
 * flight has.
 */
uint16_t image_post(struct ring_image *im, const struct vio_virtq_desc *d, unsigned n);
uint16_t image_post_one(struct ring_image *im, uint64_t addr, uint32_t len, uint16_t flags);
/* The same, field by field. */
void image_desc(struct ring_image *im, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next);
void image_make_avail(struct ring_image *im, uint16_t head); /* split: entry and index */

/* What the device has used next: @buffers in one go, the last of them being @id. */
struct image_used {
	uint32_t id, len;
	unsigned buffers; /* 1, but with IN_ORDER */
	bool write;	  /* packed: the flag of this name; split: true */
};
/* False when there is nothing. */
bool image_take_used(struct ring_image *im, struct image_used *used);

/* ---- The device by hand -------------------------------------------------------------------- */

#define IMAGE_MAX_DESCS 64

/* A chain that the driver has made available, tables opened. */
struct image_chain {
	uint16_t id;
	uint16_t slots;
	bool table;
	unsigned n;
	struct vio_virtq_desc d[IMAGE_MAX_DESCS]; /* addr, len, and of the flags WRITE */
};
/* False when there is none. */
bool image_next_chain(struct ring_image *im, struct image_chain *chain);
/* As image_next_chain() for whatever is there. Returns how many. */
unsigned image_take_all(struct ring_image *im);

void image_make_used(struct ring_image *im, uint32_t id, uint32_t len);
/* IN_ORDER: @buffers more in one go, up to @id. */
void image_make_used_batch(struct ring_image *im, uint32_t id, uint32_t len, unsigned buffers);

/* ---- Events -------------------------------------------------------------------------------- */

/* What the hand-written side asks of the other: notifications always, never, or when it goes past
 * the place @ahead of where it is (-num to num - 1; for buffers of one descriptor). */
void image_want_calls(struct ring_image *im, bool on);
void image_want_kicks(struct ring_image *im, bool on);
void image_want_call_at(struct ring_image *im, int ahead);
void image_want_kick_at(struct ring_image *im, int ahead);
/* Whether our side asks for one when @n buffers of one descriptor are used, or made available, from
 * where the hand-written side is. */
bool image_would_call(const struct ring_image *im, unsigned n);
bool image_would_kick(const struct ring_image *im, unsigned n);

/* ---- Watching ------------------------------------------------------------------------------ */

/* All of the shared memory, to see later whether anything was touched. */
void *image_snapshot(const struct ring_image *im);
bool image_unchanged(const struct ring_image *im, void *snapshot); /* frees it */

#endif
