/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver side of a split ring against a device written by hand: exact bytes in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_image.h"

#define EVENT_IDX (1ull << VIO_F_EVENT_IDX)
#define INDIRECT  (1ull << VIO_F_INDIRECT_DESC)

static int token[64]; /* their addresses are tokens */

static int add(struct ring_image *im, const struct vio_seg *segs, unsigned out, unsigned in,
	       void *tok)
{
	struct vio_drvq_buf buf = { segs, (uint16_t)out, (uint16_t)in, tok };

	return vio_drvq_add_burst(im->drv, &buf, 1);
}

static int add_one(struct ring_image *im, unsigned i)
{
	struct vio_seg seg = { IMAGE_DATA + i * 0x1000, 100 };

	return add(im, &seg, 1, 0, &token[i % 64]);
}

static void assert_desc(const struct ring_image *im, unsigned i, uint64_t addr, uint32_t len,
			uint16_t flags, uint16_t next)
{
	assert_int_equal(im->desc[i].addr, addr);
	assert_int_equal(im->desc[i].len, len);
	assert_int_equal(im->desc[i].flags, flags);
	assert_int_equal(im->desc[i].next, next);
}

static void test_geometry(void **state)
{
	struct vio_vq_sizes s = vio_vq_area_sizes(256, 0);

	(void)state;
	assert_int_equal(s.desc, 16 * 256);
	assert_int_equal(s.driver, 6 + 2 * 256);
	assert_int_equal(s.device, 6 + 8 * 256);
	assert_int_equal(s.desc_align, 16);
	assert_int_equal(s.driver_align, 2);
	assert_int_equal(s.device_align, 4);
	assert_int_equal(vio_vq_check_size(1, 0), 0);
	assert_int_equal(vio_vq_check_size(32768, 0), 0);
	assert_int_equal(vio_vq_check_size(0, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(3, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(65536, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(3, 1ull << VIO_F_RING_PACKED), 0);
	assert_int_equal(vio_vq_check_size(32769, 1ull << VIO_F_RING_PACKED), -EINVAL);
}

static void test_error_names(void **state)
{
	int i, j;

	(void)state;
	for (i = 0; i < VIO_VQ_NR_ERRORS; i++)
		for (j = 0; j < i; j++)
			assert_string_not_equal(vio_vq_error_name((enum vio_vq_error)i),
						vio_vq_error_name((enum vio_vq_error)j));
	assert_non_null(vio_vq_error_name((enum vio_vq_error)VIO_VQ_NR_ERRORS));
	assert_non_null(vio_vq_error_name((enum vio_vq_error) - 1));
}

static void test_init_refuses(void **state)
{
	struct ring_image im;
	struct vio_drvq_setup setup;
	struct vio_drvq *q;

	(void)state;
	image_open(&im, 8, 0);
	setup = (struct vio_drvq_setup){ .num = 8, .areas = im.areas };
	setup.features = 1ull << VIO_F_RING_PACKED;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EOPNOTSUPP);
	setup.features = 1ull << VIO_F_IN_ORDER;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EOPNOTSUPP);
	setup.features = 0;
	setup.num = 6;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.num = 8;
	setup.areas.device = NULL;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.areas.device = (char *)im.areas.device + 2;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.areas = im.areas;
	setup.features = INDIRECT;
	setup.indirect_tables = 1;
	setup.indirect_max = 4;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.indirect = (char *)image_at(&im, IMAGE_DATA) + 8;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	image_close(&im);
}

static void test_one_descriptor(void **state)
{
	struct vio_seg out = { IMAGE_DATA, 60 }, in = { IMAGE_DATA + 0x1000, 1600 };
	struct vio_drvq_done done[4];
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	assert_int_equal(im.avail->flags, VIO_VIRTQ_AVAIL_F_NO_INTERRUPT);
	assert_int_equal(add(&im, &out, 1, 0, &token[0]), 1);
	assert_int_equal(add(&im, &in, 0, 1, &token[1]), 1);
	assert_int_equal(im.avail->idx, 0);
	assert_int_equal(vio_drvq_free(im.drv), 6);
	assert_int_equal(vio_drvq_in_flight(im.drv), 2);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 0);
	assert_true(vio_drvq_publish(im.drv));
	assert_false(vio_drvq_publish(im.drv));
	assert_int_equal(vio_drvq_avail_pos(im.drv), 2);
	assert_int_equal(im.avail->idx, 2);
	assert_int_equal(im.avail->ring[0], 0);
	assert_int_equal(im.avail->ring[1], 1);
	assert_desc(&im, 0, IMAGE_DATA, 60, 0, 0);
	assert_desc(&im, 1, IMAGE_DATA + 0x1000, 1600, VIO_DESC_F_WRITE, 0);

	assert_false(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 0);
	image_make_used(&im, 1, 1600);
	assert_true(vio_drvq_has_used(im.drv));
	image_make_used(&im, 0, 0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), 1);
	assert_ptr_equal(done[0].token, &token[1]);
	assert_int_equal(done[0].len, 1600);
	assert_true(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 1);
	assert_ptr_equal(done[0].token, &token[0]);
	assert_int_equal(done[0].len, 0);
	assert_int_equal(vio_drvq_free(im.drv), 8);
	assert_int_equal(vio_drvq_in_flight(im.drv), 0);
	image_close(&im);
}

static void test_linked_chain(void **state)
{
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 1 } };
	struct vio_drvq_done done;
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), 1);
	assert_int_equal(add(&im, segs, 1, 1, &token[1]), 1);
	assert_int_equal(add(&im, segs, 0, 2, &token[2]), 1);
	assert_int_equal(vio_drvq_free(im.drv), 1);
	vio_drvq_publish(im.drv);
	assert_int_equal(im.avail->ring[0], 0);
	assert_int_equal(im.avail->ring[1], 3);
	assert_int_equal(im.avail->ring[2], 5);
	assert_desc(&im, 0, IMAGE_DATA, 12, VIO_DESC_F_NEXT, 1);
	assert_desc(&im, 1, IMAGE_DATA + 0x100, 60, VIO_DESC_F_NEXT | VIO_DESC_F_WRITE, 2);
	assert_desc(&im, 2, IMAGE_DATA + 0x200, 1, VIO_DESC_F_WRITE, 0);
	assert_desc(&im, 3, IMAGE_DATA, 12, VIO_DESC_F_NEXT, 4);
	assert_desc(&im, 4, IMAGE_DATA + 0x100, 60, VIO_DESC_F_WRITE, 0);
	assert_desc(&im, 5, IMAGE_DATA, 12, VIO_DESC_F_NEXT | VIO_DESC_F_WRITE, 6);
	assert_desc(&im, 6, IMAGE_DATA + 0x100, 60, VIO_DESC_F_WRITE, 0);

	/* Two more do not fit; all of it comes back. */
	assert_int_equal(add(&im, segs, 1, 1, &token[3]), 0);
	image_make_used(&im, 3, 60);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(done.len, 60);
	assert_int_equal(vio_drvq_free(im.drv), 3);
	assert_int_equal(add(&im, segs, 2, 1, &token[3]), 1);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 7, IMAGE_DATA, 12, VIO_DESC_F_NEXT, 3);
	assert_desc(&im, 3, IMAGE_DATA + 0x100, 60, VIO_DESC_F_NEXT, 4);
	assert_desc(&im, 4, IMAGE_DATA + 0x200, 1, VIO_DESC_F_WRITE, 0);
	image_make_used(&im, 0, 61);
	image_make_used(&im, 5, 72);
	image_make_used(&im, 7, 1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_ptr_equal(done.token, &token[3]);
	assert_int_equal(vio_drvq_free(im.drv), 8);
	image_close(&im);
}

static void test_indirect_table(void **state)
{
	const uint64_t tables = IMAGE_DATA + 0x8000;
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 9 } };
	const struct vio_virtq_desc *table;
	struct vio_drvq_done done;
	struct ring_image im;

	(void)state;
	image_open(&im, 4, INDIRECT);
	image_driver_indirect(&im, tables, 3, 1);
	assert_int_equal(add(&im, segs, 2, 1, &token[0]), 1);
	/* No table is left: linked. */
	assert_int_equal(add(&im, segs, 2, 1, &token[1]), 1);
	assert_int_equal(vio_drvq_free(im.drv), 0);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 0, tables, 48, VIO_DESC_F_INDIRECT, 0);
	table = image_at(&im, tables);
	assert_int_equal(table[0].addr, IMAGE_DATA);
	assert_int_equal(table[0].len, 12);
	assert_int_equal(table[0].flags, VIO_DESC_F_NEXT);
	assert_int_equal(table[0].next, 1);
	assert_int_equal(table[1].flags, VIO_DESC_F_NEXT);
	assert_int_equal(table[1].next, 2);
	assert_int_equal(table[2].addr, IMAGE_DATA + 0x200);
	assert_int_equal(table[2].flags, VIO_DESC_F_WRITE);
	assert_desc(&im, 1, IMAGE_DATA, 12, VIO_DESC_F_NEXT, 2);

	image_make_used(&im, 0, 9);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_ptr_equal(done.token, &token[0]);
	assert_int_equal(vio_drvq_free(im.drv), 1);
	/* The table is free again, and takes what three descriptors are not there for. */
	assert_int_equal(add(&im, segs, 3, 0, &token[2]), 1);
	assert_desc(&im, 0, tables, 48, VIO_DESC_F_INDIRECT, 0);
	assert_int_equal(table[2].flags, 0);
	assert_int_equal(vio_drvq_free(im.drv), 0);
	image_close(&im);
}

static void test_add_limits(void **state)
{
	struct vio_seg segs[9];
	struct vio_drvq_buf bufs[3];
	struct ring_image im;
	unsigned i;

	(void)state;
	for (i = 0; i < 9; i++)
		segs[i] = (struct vio_seg){ IMAGE_DATA, 0x80000000u };
	image_open(&im, 8, 0);
	image_driver(&im);
	assert_int_equal(add(&im, segs, 0, 0, &token[0]), -EINVAL);
	assert_int_equal(add(&im, segs, 5, 4, &token[0]), -EINVAL);
	/* 2^32 bytes: one more than a used length can say. */
	assert_int_equal(add(&im, segs, 1, 1, &token[0]), -EINVAL);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), -EINVAL);
	for (i = 0; i < 9; i++)
		segs[i].len = 1;
	bufs[0] = (struct vio_drvq_buf){ segs, 1, 0, &token[0] };
	bufs[1] = (struct vio_drvq_buf){ segs, 0, 0, &token[1] };
	bufs[2] = (struct vio_drvq_buf){ segs, 1, 0, &token[2] };
	assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 3), 1);
	bufs[1] = (struct vio_drvq_buf){ segs, 4, 4, &token[1] };
	assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 3), 1);
	assert_int_equal(vio_drvq_in_flight(im.drv), 2);
	for (i = 0; i < 6; i++)
		assert_int_equal(add_one(&im, i), 1);
	assert_int_equal(add_one(&im, 6), 0);
	assert_int_equal(vio_drvq_free(im.drv), 0);
	image_close(&im);
}

/* A lap with the same buffers writes neither descriptors nor available entries again. */
static void test_unchanged_is_not_rewritten(void **state)
{
	struct vio_drvq_done done[8];
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	for (i = 0; i < 8; i++)
		assert_int_equal(add_one(&im, i), 1);
	vio_drvq_publish(im.drv);
	for (i = 0; i < 8; i++)
		image_make_used(&im, i, 0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 8);
	memset(im.desc, 0xaa, 16 * 8);
	memset(im.avail->ring, 0xaa, 2 * 8);
	for (i = 0; i < 8; i++)
		assert_int_equal(add_one(&im, i == 5 ? 9 : i), 1);
	vio_drvq_publish(im.drv);
	assert_int_equal(im.avail->idx, 16);
	for (i = 0; i < 8; i++) {
		assert_int_equal(im.desc[i].len, 0xaaaaaaaa);
		assert_int_equal(im.avail->ring[i], 0xaaaa);
	}
	assert_int_equal(im.desc[4].addr, 0xaaaaaaaaaaaaaaaa);
	assert_int_equal(im.desc[5].addr, IMAGE_DATA + 9 * 0x1000);
	image_close(&im);
}

static void test_kick_flag(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	add_one(&im, 0);
	assert_true(vio_drvq_publish(im.drv));
	im.used->flags = VIO_VIRTQ_USED_F_NO_NOTIFY;
	add_one(&im, 1);
	assert_false(vio_drvq_publish(im.drv));
	image_close(&im);
}

/* S13: over every index there is and bursts of all sizes, the kick is asked for exactly when some
 * entry's index equals the event; the flag is ignored. */
static void test_s13_kick_event_idx(void **state)
{
	struct vio_drvq_done done[64];
	struct ring_image im;
	uint32_t at = 0, kicks = 0;

	(void)state;
	srand(1);
	image_open(&im, 64, EVENT_IDX);
	image_driver(&im);
	im.used->flags = VIO_VIRTQ_USED_F_NO_NOTIFY;
	while (at < 3 * 65536) {
		unsigned i, n = 1 + (unsigned)rand() % 64;
		uint16_t event = (uint16_t)(at + (unsigned)rand() % 140 - 70);
		bool expected = false;

		*im.avail_event = event;
		for (i = 0; i < n; i++) {
			assert_int_equal(add_one(&im, i), 1);
			expected |= (uint16_t)(at + i) == event;
		}
		assert_int_equal(vio_drvq_publish(im.drv), expected);
		kicks += expected;
		at += n;
		assert_int_equal(im.avail->idx, (uint16_t)at);
		for (i = 0; i < n; i++)
			image_make_used(&im, im.avail->ring[(at - n + i) % 64], 0);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), n);
	}
	assert_true(kicks > 100);
	assert_int_equal(im.avail->flags, 0);
	image_close(&im);
}

/* S14: what was used before the request is told at once. */
static void test_s14_notify_flag(void **state)
{
	struct vio_drvq_done done;
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	add_one(&im, 0);
	add_one(&im, 1);
	vio_drvq_publish(im.drv);
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	assert_int_equal(im.avail->flags, 0);
	image_make_used(&im, 0, 0);
	assert_true(vio_drvq_notify_enable(im.drv, 0));
	assert_true(vio_drvq_notify_enable(im.drv, 5)); /* no event index: @after is nothing */
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	vio_drvq_notify_disable(im.drv);
	assert_int_equal(im.avail->flags, VIO_VIRTQ_AVAIL_F_NO_INTERRUPT);
	image_close(&im);
}

/* Whether a device that follows the formula interrupts for the used index going @old to @new. */
static bool would_interrupt(const struct ring_image *im, uint16_t old, uint16_t new)
{
	for (; old != new; old++)
		if (old == *im->used_event)
			return true;
	return false;
}

static void test_s14_notify_event_idx(void **state)
{
	struct vio_drvq_done done[8];
	struct ring_image im;
	uint16_t at = 0;
	unsigned i, lap;

	(void)state;
	image_open(&im, 8, EVENT_IDX);
	image_driver(&im);
	/* From the start, and over the wrap of the index. */
	for (lap = 0; lap < 65536 / 8 + 2; lap++) {
		for (i = 0; i < 8; i++)
			add_one(&im, i);
		vio_drvq_publish(im.drv);
		assert_false(would_interrupt(&im, at, (uint16_t)(at + 8)));
		assert_false(vio_drvq_notify_enable(im.drv, 0));
		assert_true(would_interrupt(&im, at, (uint16_t)(at + 1)));
		assert_false(vio_drvq_notify_enable(im.drv, 3));
		assert_false(would_interrupt(&im, at, (uint16_t)(at + 3)));
		assert_true(would_interrupt(&im, at, (uint16_t)(at + 4)));
		/* More than are in flight would never come. */
		assert_false(vio_drvq_notify_enable(im.drv, 1000));
		assert_true(would_interrupt(&im, at, (uint16_t)(at + 8)));
		/* An event that lies ahead is taken back. */
		vio_drvq_notify_disable(im.drv);
		assert_false(would_interrupt(&im, at, (uint16_t)(at + 8)));
		for (i = 0; i < 4; i++)
			image_make_used(&im, im.avail->ring[(at + i) % 8], 0);
		assert_false(vio_drvq_notify_enable(im.drv, 4));
		assert_true(vio_drvq_notify_enable(im.drv, 3));
		assert_true(vio_drvq_notify_enable(im.drv, 0));
		for (i = 4; i < 8; i++)
			image_make_used(&im, im.avail->ring[(at + i) % 8], 0);
		/* With notifications off nothing interrupts any more, whether or not it passed. */
		if (lap % 2 == 0)
			assert_int_equal(vio_drvq_notify_enable(im.drv, 7), true);
		vio_drvq_notify_disable(im.drv);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 8);
		at = (uint16_t)(at + 8);
		assert_int_equal(im.avail->flags, 0);
	}
	image_close(&im);
}

static void test_detach(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct vio_drvq_done done;
	struct ring_image im;
	bool seen[6] = { false };
	void *tok;
	int i;

	(void)state;
	image_open(&im, 16, INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA, 4, 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(add(&im, segs, (unsigned)i % 3, 1, &token[i]), 1);
	vio_drvq_publish(im.drv);
	add_one(&im, 5);
	image_make_used(&im, 1, 1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_ptr_equal(done.token, &token[1]);
	vio_drvq_break(im.drv, VIO_VQ_BAD_FRAME);
	for (i = 0; (tok = vio_drvq_detach(im.drv)); i++)
		seen[(int *)tok - token] = true;
	assert_int_equal(i, 5);
	assert_true(seen[0] && !seen[1] && seen[2] && seen[3] && seen[4] && seen[5]);
	assert_int_equal(vio_drvq_in_flight(im.drv), 0);
	assert_int_equal(vio_drvq_free(im.drv), 16);
	assert_null(vio_drvq_detach(im.drv));
	image_close(&im);
}

/* A broken queue refuses everything, keeps its first reason and touches nothing. */
static void test_broken(void **state)
{
	struct vio_drvq_done done;
	struct ring_image im;
	void *before;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	add_one(&im, 0);
	image_make_used(&im, 0, 0);
	vio_drvq_break(im.drv, VIO_VQ_OK);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_OK);
	vio_drvq_break(im.drv, VIO_VQ_MEMORY_GONE);
	vio_drvq_break(im.drv, VIO_VQ_BAD_FRAME);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_MEMORY_GONE);
	before = image_snapshot(&im);
	assert_int_equal(add_one(&im, 1), -EPROTO);
	assert_false(vio_drvq_publish(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), -EPROTO);
	assert_false(vio_drvq_has_used(im.drv));
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	vio_drvq_notify_disable(im.drv);
	assert_true(image_unchanged(&im, before));
	assert_int_equal(vio_drvq_size(im.drv), 8);
	image_driver(&im);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_OK);
	image_close(&im);
}

/* The largest ring: indices and counts of 16 bits are used to their end. */
static void test_largest(void **state)
{
	static struct vio_drvq_buf bufs[32768];
	static struct vio_drvq_done done[32768];
	struct vio_seg seg = { IMAGE_BASE, 64 };
	struct ring_image im;
	unsigned i, lap;

	(void)state;
	image_open(&im, 32768, 0);
	image_driver(&im);
	for (i = 0; i < 32768; i++)
		bufs[i] = (struct vio_drvq_buf){ &seg, 0, 1, &bufs[i] };
	for (lap = 0; lap < 5; lap++) {
		assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 32768), 32768);
		assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 1), 0);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 32768; i++)
			image_make_used(&im, 32767 - i, 64);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 32768), 32768);
		assert_int_equal(vio_drvq_free(im.drv), 32768);
	}
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_error_names),
		cmocka_unit_test(test_init_refuses),
		cmocka_unit_test(test_one_descriptor),
		cmocka_unit_test(test_linked_chain),
		cmocka_unit_test(test_indirect_table),
		cmocka_unit_test(test_add_limits),
		cmocka_unit_test(test_unchanged_is_not_rewritten),
		cmocka_unit_test(test_kick_flag),
		cmocka_unit_test(test_s13_kick_event_idx),
		cmocka_unit_test(test_s14_notify_flag),
		cmocka_unit_test(test_s14_notify_event_idx),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
