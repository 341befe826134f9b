/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver side of a ring against a device written by hand. What is particular to one format, to
 * the byte, is in test_ring_split.c and test_ring_packed.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

/* The next chain that the driver made available. */
static struct image_chain next(struct ring_image *im)
{
	struct image_chain chain;

	assert_true(image_next_chain(im, &chain));
	return chain;
}

static void assert_none(struct ring_image *im)
{
	struct image_chain chain;

	assert_false(image_next_chain(im, &chain));
}

static void assert_desc(const struct image_chain *chain, unsigned i, uint64_t addr, uint32_t len,
			uint16_t flags)
{
	assert_true(i < chain->n);
	assert_int_equal(chain->d[i].addr, addr);
	assert_int_equal(chain->d[i].len, len);
	assert_int_equal(chain->d[i].flags, flags);
}

/* The device uses @id, and the driver gets @tok and @len for it. */
static void assert_comes_back(struct ring_image *im, uint16_t id, uint32_t len, void *tok)
{
	struct vio_drvq_done done;

	image_make_used(im, id, len);
	assert_int_equal(vio_drvq_reap_burst(im->drv, &done, 1), 1);
	assert_ptr_equal(done.token, tok);
	assert_int_equal(done.len, len);
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
	s = vio_vq_area_sizes(7, RING_PACKED);
	assert_int_equal(s.desc, 16 * 7);
	assert_int_equal(s.driver, 4);
	assert_int_equal(s.device, 4);
	assert_int_equal(s.desc_align, 16);
	assert_int_equal(s.driver_align, 4);
	assert_int_equal(s.device_align, 4);
	assert_int_equal(vio_vq_check_size(1, 0), 0);
	assert_int_equal(vio_vq_check_size(32768, 0), 0);
	assert_int_equal(vio_vq_check_size(0, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(3, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(65536, 0), -EINVAL);
	assert_int_equal(vio_vq_check_size(3, RING_PACKED), 0);
	assert_int_equal(vio_vq_check_size(0, RING_PACKED), -EINVAL);
	assert_int_equal(vio_vq_check_size(32769, RING_PACKED), -EINVAL);
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

	image_open(&im, 8, ring_format(state));
	setup = (struct vio_drvq_setup){ .num = 8, .areas = im.areas, .features = im.features };
	setup.num = im.packed ? 32769 : 6;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.num = 0;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.num = 8;
	setup.areas.device = NULL;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.areas.device = (char *)im.areas.device + 2;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.areas = im.areas;
	setup.features |= RING_INDIRECT;
	setup.indirect_tables = 1;
	setup.indirect_max = 4;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.indirect = (char *)image_at(&im, IMAGE_DATA) + 8;
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), -EINVAL);
	setup.indirect = image_at(&im, IMAGE_DATA);
	assert_int_equal(vio_drvq_init(im.drv_storage, &setup, &q), 0);
	image_close(&im);
}

static void test_one_descriptor(void **state)
{
	struct vio_seg out = { IMAGE_DATA, 60 }, in = { IMAGE_DATA + 0x1000, 1600 };
	struct image_chain taken[2];
	struct vio_drvq_done done[4];
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	assert_false(image_would_call(&im, 1));
	assert_int_equal(add(&im, &out, 1, 0, &token[0]), 1);
	assert_int_equal(add(&im, &in, 0, 1, &token[1]), 1);
	assert_none(&im);
	assert_int_equal(vio_drvq_free(im.drv), 6);
	assert_int_equal(vio_drvq_in_flight(im.drv), 2);
	assert_true(vio_drvq_publish(im.drv));
	assert_false(vio_drvq_publish(im.drv));
	taken[0] = next(&im);
	taken[1] = next(&im);
	assert_none(&im);
	assert_int_equal(taken[0].n, 1);
	assert_desc(&taken[0], 0, IMAGE_DATA, 60, 0);
	assert_int_equal(taken[1].n, 1);
	assert_desc(&taken[1], 0, IMAGE_DATA + 0x1000, 1600, WRITE);

	assert_false(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 0);
	image_make_used(&im, taken[0].id, 0);
	assert_true(vio_drvq_has_used(im.drv));
	image_make_used(&im, taken[1].id, 1600);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), 1);
	assert_ptr_equal(done[0].token, &token[0]);
	assert_int_equal(done[0].len, 0);
	assert_true(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 1);
	assert_ptr_equal(done[0].token, &token[1]);
	assert_int_equal(done[0].len, 1600);
	assert_false(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_free(im.drv), 8);
	assert_int_equal(vio_drvq_in_flight(im.drv), 0);
	image_close(&im);
}

static void test_out_of_order(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct image_chain taken[3];
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	for (lap = 0; lap < 50; lap++) {
		for (i = 0; i < 3; i++)
			assert_int_equal(add(&im, segs, i, 1, &token[i]), 1);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 3; i++)
			taken[i] = next(&im);
		assert_comes_back(&im, taken[2].id, 3, &token[2]);
		assert_comes_back(&im, taken[0].id, 1, &token[0]);
		assert_int_equal(add(&im, segs, 2, 1, &token[3]), 1);
		vio_drvq_publish(im.drv);
		taken[0] = next(&im);
		assert_comes_back(&im, taken[0].id, 2, &token[3]);
		assert_comes_back(&im, taken[1].id, 2, &token[1]);
		assert_int_equal(vio_drvq_free(im.drv), 8);
	}
	image_close(&im);
}

/* One used element for several buffers: those that were skipped count as used to their end. */
static void test_in_order_batch(void **state)
{
	struct vio_seg segs[2] = { { IMAGE_DATA, 100 }, { IMAGE_DATA, 50 } };
	struct vio_drvq_done done[8];
	struct image_chain taken[6];
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 16, ring_format(state) | RING_INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA + 0x8000, 2, 1);
	for (lap = 0; lap < 50; lap++) {
		assert_int_equal(add(&im, segs, 0, 1, &token[0]), 1);
		assert_int_equal(add(&im, segs, 1, 0, &token[1]), 1);
		assert_int_equal(add(&im, segs, 1, 1, &token[2]), 1); /* the table */
		assert_int_equal(add(&im, segs, 0, 2, &token[3]), 1); /* listed */
		assert_int_equal(add(&im, segs, 0, 1, &token[4]), 1);
		assert_int_equal(add(&im, segs, 0, 1, &token[5]), 1);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 6; i++)
			taken[i] = next(&im);
		assert_int_equal(vio_drvq_free(im.drv), 16 - 7);
		image_make_used_batch(&im, taken[4].id, 70, 5);
		image_make_used(&im, taken[5].id, 60);
		/* In bursts that end within a batch. */
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 2);
		assert_int_equal(vio_drvq_free(im.drv), 16 - 5);
		assert_true(vio_drvq_has_used(im.drv));
		assert_true(vio_drvq_notify_enable(im.drv, 0));
		assert_int_equal(vio_drvq_reap_burst(im.drv, done + 2, 1), 1);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done + 3, 4), 3);
		for (i = 0; i < 6; i++)
			assert_ptr_equal(done[i].token, &token[i]);
		assert_int_equal(done[0].len, 100);
		assert_int_equal(done[1].len, 0);
		assert_int_equal(done[2].len, 50);
		assert_int_equal(done[3].len, 150);
		assert_int_equal(done[4].len, 70);
		assert_int_equal(done[5].len, 60);
		assert_false(vio_drvq_has_used(im.drv));
		assert_int_equal(vio_drvq_free(im.drv), 16);
	}
	image_close(&im);
}

/* A batch counts as what it is when an interrupt is asked for after so many. */
static void test_in_order_event_idx(void **state)
{
	struct vio_drvq_done done[8];
	struct image_chain taken[7];
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 8, ring_format(state) | RING_EVENT_IDX);
	image_driver(&im);
	for (lap = 0; lap < 20; lap++) {
		for (i = 0; i < 7; i++)
			assert_int_equal(add_one(&im, i), 1);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 7; i++)
			taken[i] = next(&im);
		image_make_used(&im, taken[0].id, 0);
		image_make_used_batch(&im, taken[3].id, 0, 3);
		assert_true(vio_drvq_notify_enable(im.drv, 3));
		assert_false(vio_drvq_notify_enable(im.drv, 4));
		assert_true(image_would_call(&im, 1));
		assert_false(vio_drvq_notify_enable(im.drv, 5));
		assert_false(image_would_call(&im, 1));
		/* With a part of the batch reaped. */
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 2);
		assert_true(vio_drvq_notify_enable(im.drv, 1));
		assert_false(vio_drvq_notify_enable(im.drv, 2));
		assert_true(image_would_call(&im, 1));
		image_make_used_batch(&im, taken[6].id, 0, 3);
		assert_true(vio_drvq_notify_enable(im.drv, 4));
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 5);
		assert_false(vio_drvq_notify_enable(im.drv, 0));
	}
	image_close(&im);
}

/* IN_ORDER (virtio 1.4, 2.7.9): descriptors are taken all round the ring, one after the other. */
static void test_in_order_circular(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct image_chain chain;
	struct ring_image im;
	unsigned i, at = 0;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	for (i = 0; i < 100; i++) {
		assert_int_equal(add(&im, segs, i % 3, 1, &token[0]), 1);
		assert_int_equal(add(&im, segs, 1, 0, &token[1]), 1);
		vio_drvq_publish(im.drv);
		chain = next(&im);
		assert_int_equal(chain.id, at);
		at = (at + chain.slots) % 8;
		chain = next(&im);
		assert_int_equal(chain.id, at);
		at = (at + 1) % 8;
		image_make_used_batch(&im, chain.id, 0, 2);
		while (vio_drvq_in_flight(im.drv) > 0) {
			struct vio_drvq_done done;

			assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
		}
	}
	image_close(&im);
}

static void test_linked_chain(void **state)
{
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 1 } };
	struct image_chain taken[3];
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), 1);
	assert_int_equal(add(&im, segs, 1, 1, &token[1]), 1);
	assert_int_equal(add(&im, segs, 0, 2, &token[2]), 1);
	assert_int_equal(vio_drvq_free(im.drv), 1);
	vio_drvq_publish(im.drv);
	taken[0] = next(&im);
	assert_int_equal(taken[0].n, 3);
	assert_int_equal(taken[0].slots, 3);
	assert_desc(&taken[0], 0, IMAGE_DATA, 12, 0);
	assert_desc(&taken[0], 1, IMAGE_DATA + 0x100, 60, WRITE);
	assert_desc(&taken[0], 2, IMAGE_DATA + 0x200, 1, WRITE);
	taken[1] = next(&im);
	assert_int_equal(taken[1].n, 2);
	assert_desc(&taken[1], 0, IMAGE_DATA, 12, 0);
	assert_desc(&taken[1], 1, IMAGE_DATA + 0x100, 60, WRITE);
	taken[2] = next(&im);
	assert_int_equal(taken[2].n, 2);
	assert_desc(&taken[2], 0, IMAGE_DATA, 12, WRITE);
	assert_none(&im);

	/* Two more do not fit; all of it comes back. */
	assert_int_equal(add(&im, segs, 1, 1, &token[3]), 0);
	assert_comes_back(&im, taken[0].id, 61, &token[0]);
	assert_int_equal(vio_drvq_free(im.drv), 4);
	/* This one wraps in the middle. */
	assert_int_equal(add(&im, segs, 2, 1, &token[3]), 1);
	vio_drvq_publish(im.drv);
	taken[0] = next(&im);
	assert_int_equal(taken[0].n, 3);
	assert_desc(&taken[0], 0, IMAGE_DATA, 12, 0);
	assert_desc(&taken[0], 1, IMAGE_DATA + 0x100, 60, 0);
	assert_desc(&taken[0], 2, IMAGE_DATA + 0x200, 1, WRITE);
	assert_comes_back(&im, taken[1].id, 60, &token[1]);
	assert_comes_back(&im, taken[2].id, 72, &token[2]);
	assert_comes_back(&im, taken[0].id, 1, &token[3]);
	assert_int_equal(vio_drvq_free(im.drv), 8);
	image_close(&im);
}

static void test_indirect_table(void **state)
{
	const uint64_t tables = IMAGE_DATA + 0x8000;
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 9 } };
	struct image_chain taken[2];
	struct ring_image im;

	image_open(&im, 4, ring_format(state) | RING_INDIRECT);
	image_driver_indirect(&im, tables, 3, 1);
	assert_int_equal(add(&im, segs, 2, 1, &token[0]), 1);
	/* No table is left: linked. */
	assert_int_equal(add(&im, segs, 2, 1, &token[1]), 1);
	assert_int_equal(vio_drvq_free(im.drv), 0);
	vio_drvq_publish(im.drv);
	taken[0] = next(&im);
	assert_true(taken[0].table);
	assert_int_equal(taken[0].n, 3);
	assert_int_equal(taken[0].slots, 1);
	assert_desc(&taken[0], 0, IMAGE_DATA, 12, 0);
	assert_desc(&taken[0], 1, IMAGE_DATA + 0x100, 60, 0);
	assert_desc(&taken[0], 2, IMAGE_DATA + 0x200, 9, WRITE);
	taken[1] = next(&im);
	assert_false(taken[1].table);
	assert_int_equal(taken[1].slots, 3);

	assert_comes_back(&im, taken[0].id, 9, &token[0]);
	assert_int_equal(vio_drvq_free(im.drv), 1);
	/* The table is free again, and takes what three descriptors are not there for. */
	assert_int_equal(add(&im, segs, 3, 0, &token[2]), 1);
	assert_int_equal(vio_drvq_free(im.drv), 0);
	vio_drvq_publish(im.drv);
	taken[0] = next(&im);
	assert_true(taken[0].table);
	assert_desc(&taken[0], 2, IMAGE_DATA + 0x200, 9, 0);
	image_close(&im);
}

static void test_add_limits(void **state)
{
	struct vio_seg segs[9];
	struct vio_drvq_buf bufs[3];
	struct ring_image im;
	unsigned i;

	for (i = 0; i < 9; i++)
		segs[i] = (struct vio_seg){ IMAGE_DATA, 0x80000000u };
	image_open(&im, 8, ring_format(state));
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
	vio_drvq_publish(im.drv);
	assert_int_equal(image_take_all(&im), 8);
	image_close(&im);
}

/* A burst of long and short ones takes what fits and leaves the ring right. */
static void test_add_mixed_burst(void **state)
{
	struct vio_seg segs[4] = {
		{ IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 }, { IMAGE_DATA, 4 }
	};
	struct vio_drvq_buf bufs[6];
	struct vio_drvq_done done[6];
	struct image_chain chain;
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	for (i = 0; i < 6; i++)
		bufs[i] = (struct vio_drvq_buf){ segs, (uint16_t)(i % 3), 1, &token[i] };
	for (lap = 0; lap < 50; lap++) {
		/* 1 + 2 + 3 + 1, and 2 do not fit. */
		assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 6), 4);
		assert_int_equal(vio_drvq_free(im.drv), 1);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 4; i++) {
			chain = next(&im);
			assert_int_equal(chain.n, 1 + i % 3);
			image_make_used(&im, chain.id, 1);
		}
		assert_none(&im);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 6), 4);
		for (i = 0; i < 4; i++)
			assert_ptr_equal(done[i].token, &token[i]);
		assert_int_equal(vio_drvq_free(im.drv), 8);
	}
	image_close(&im);
}

static void test_kick_flag(void **state)
{
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	add_one(&im, 0);
	assert_true(vio_drvq_publish(im.drv));
	image_want_kicks(&im, false);
	add_one(&im, 1);
	assert_false(vio_drvq_publish(im.drv));
	image_want_kicks(&im, true);
	add_one(&im, 2);
	assert_true(vio_drvq_publish(im.drv));
	image_close(&im);
}

/* S13, S18: over every place there is and bursts of all sizes, the kick is asked for exactly when the
 * driver went past the event. */
static void event_idx(uint64_t features, uint32_t num)
{
	struct vio_drvq_done done[64];
	struct image_chain chain;
	struct ring_image im;
	uint32_t at = 0, kicks = 0;

	srand(1);
	image_open(&im, num, features | RING_EVENT_IDX);
	image_driver(&im);
	image_want_kicks(&im, false); /* split: ignored */
	while (at < 3 * 65536) {
		unsigned i, n = 1 + (unsigned)rand() % num;
		int ahead = rand() % (int)(2 * num) - (int)num;

		image_want_kick_at(&im, ahead);
		for (i = 0; i < n; i++)
			assert_int_equal(add_one(&im, i), 1);
		assert_int_equal(vio_drvq_publish(im.drv), ahead >= 0 && ahead < (int)n);
		kicks += ahead >= 0 && ahead < (int)n;
		at += n;
		for (i = 0; i < n; i++) {
			chain = next(&im);
			image_make_used(&im, chain.id, 0);
		}
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), n);
	}
	assert_true(kicks > 100);
	image_close(&im);
}

static void test_s13_kick_event_idx(void **state)
{
	event_idx(ring_format(state), 64);
	if (ring_format(state) & RING_PACKED)
		event_idx(ring_format(state), 61);
}

/* S14: what was used before the request is told at once. */
static void test_s14_notify_flag(void **state)
{
	struct vio_drvq_done done;
	struct image_chain chain;
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	add_one(&im, 0);
	add_one(&im, 1);
	vio_drvq_publish(im.drv);
	chain = next(&im);
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	assert_true(image_would_call(&im, 1));
	image_make_used(&im, chain.id, 0);
	assert_true(vio_drvq_notify_enable(im.drv, 0));
	assert_true(vio_drvq_notify_enable(im.drv, 5)); /* no event index: @after is nothing */
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	vio_drvq_notify_disable(im.drv);
	assert_false(image_would_call(&im, 1));
	image_close(&im);
}

static void test_s14_notify_event_idx(void **state)
{
	struct vio_drvq_done done[8];
	struct image_chain taken[8];
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 8, ring_format(state) | RING_EVENT_IDX);
	image_driver(&im);
	/* From the start, and over the wrap of the index. */
	for (lap = 0; lap < 65536 / 8 + 2; lap++) {
		for (i = 0; i < 8; i++)
			add_one(&im, i);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 8; i++)
			taken[i] = next(&im);
		assert_false(image_would_call(&im, 8));
		assert_false(vio_drvq_notify_enable(im.drv, 0));
		assert_true(image_would_call(&im, 1));
		assert_false(vio_drvq_notify_enable(im.drv, 3));
		assert_false(image_would_call(&im, 3));
		assert_true(image_would_call(&im, 4));
		/* More than are in flight would never come. */
		assert_false(vio_drvq_notify_enable(im.drv, 1000));
		assert_false(image_would_call(&im, 7));
		assert_true(image_would_call(&im, 8));
		/* An event that lies ahead is taken back. */
		vio_drvq_notify_disable(im.drv);
		assert_false(image_would_call(&im, 8));
		for (i = 0; i < 4; i++)
			image_make_used(&im, taken[i].id, 0);
		assert_false(vio_drvq_notify_enable(im.drv, 4));
		assert_true(image_would_call(&im, 1));
		assert_true(vio_drvq_notify_enable(im.drv, 3));
		assert_true(vio_drvq_notify_enable(im.drv, 0));
		for (i = 4; i < 8; i++)
			image_make_used(&im, taken[i].id, 0);
		/* With notifications off nothing interrupts any more, whether or not it passed. */
		if (lap % 2 == 0)
			assert_int_equal(vio_drvq_notify_enable(im.drv, 7), true);
		vio_drvq_notify_disable(im.drv);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 8);
		assert_false(image_would_call(&im, 8));
	}
	image_close(&im);
}

/* Chains alike: the interrupt comes when the device goes past the first descriptor of the buffer. */
static void test_s14_notify_event_idx_chains(void **state)
{
	struct vio_seg segs[2] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 } };
	struct vio_drvq_done done[8];
	struct image_chain taken[7];
	struct ring_image im;
	unsigned i, lap, each;

	image_open(&im, 16, ring_format(state) | RING_EVENT_IDX);
	image_driver(&im);
	each = im.packed ? 2 : 1; /* places that a buffer of two takes */
	for (lap = 0; lap < 100; lap++) {
		for (i = 0; i < 7; i++)
			assert_int_equal(add(&im, segs, 1, 1, &token[i]), 1);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 7; i++)
			taken[i] = next(&im);
		assert_false(vio_drvq_notify_enable(im.drv, 3));
		assert_false(image_would_call(&im, 3 * each));
		assert_true(image_would_call(&im, 3 * each + 1));
		for (i = 0; i < 4; i++)
			image_make_used(&im, taken[i].id, 2);
		assert_true(vio_drvq_notify_enable(im.drv, 3));
		assert_false(vio_drvq_notify_enable(im.drv, 4));
		assert_true(image_would_call(&im, 1));
		for (i = 4; i < 7; i++)
			image_make_used(&im, taken[i].id, 2);
		assert_true(vio_drvq_notify_enable(im.drv, 6));
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 7);
		assert_false(vio_drvq_notify_enable(im.drv, 6));
		assert_true(image_would_call(&im, 1));
		vio_drvq_notify_disable(im.drv);
	}
	image_close(&im);
}

static void test_detach(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct ring_image im;
	bool seen[6] = { false };
	void *tok;
	int i;

	image_open(&im, 16, ring_format(state) | RING_INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA, 4, 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(add(&im, segs, (unsigned)i % 3, 1, &token[i]), 1);
	vio_drvq_publish(im.drv);
	add_one(&im, 5);
	assert_comes_back(&im, next(&im).id, 1, &token[0]);
	vio_drvq_break(im.drv, VIO_VQ_BAD_FRAME);
	for (i = 0; (tok = vio_drvq_detach(im.drv)); i++) {
		seen[(int *)tok - token] = true;
		if (im.in_order)
			assert_ptr_equal(tok, &token[i + 1]);
	}
	assert_int_equal(i, 5);
	assert_true(!seen[0] && seen[1] && seen[2] && seen[3] && seen[4] && seen[5]);
	assert_int_equal(vio_drvq_in_flight(im.drv), 0);
	assert_int_equal(vio_drvq_free(im.drv), 16);
	assert_null(vio_drvq_detach(im.drv));
	image_close(&im);
	/* What was never published comes back as well, and nothing else. */
	image_open(&im, 16, ring_format(state));
	image_driver(&im);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), 1);
	assert_ptr_equal(vio_drvq_detach(im.drv), &token[0]);
	assert_null(vio_drvq_detach(im.drv));
	assert_false(vio_drvq_has_used(im.drv));
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	assert_int_equal(vio_drvq_free(im.drv), 16);
	image_close(&im);
}

/* A broken queue refuses everything, keeps its first reason and touches nothing. */
static void test_broken(void **state)
{
	struct vio_drvq_done done;
	struct ring_image im;
	void *before;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	add_one(&im, 0);
	vio_drvq_publish(im.drv);
	image_make_used(&im, next(&im).id, 0);
	add_one(&im, 1);
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

/* Asking for what comes next changes nothing, wherever the ring stands; nor on a broken one. */
static void test_prefetch(void **state)
{
	struct vio_seg seg = { IMAGE_DATA, 60 };
	struct vio_vq_sizes shared;
	struct ring_image im;
	char *own, *desc, *device;
	size_t size;
	unsigned i;

	image_open(&im, 8, ring_format(state));
	image_driver(&im);
	size = vio_drvq_bytes(8, im.features);
	shared = vio_vq_area_sizes(8, im.features);
	own = malloc(size + shared.desc + shared.device);
	assert_non_null(own);
	desc = own + size;
	device = desc + shared.desc;
	for (i = 0; i < 40; i++) {
		assert_int_equal(add(&im, &seg, 0, 1, &token[0]), 1);
		vio_drvq_publish(im.drv);
		if (i == 39)
			vio_drvq_break(im.drv, VIO_VQ_BAD_ID);
		memcpy(own, im.drv_storage, size);
		memcpy(desc, im.areas.desc, shared.desc);
		memcpy(device, im.areas.device, shared.device);
		vio_drvq_prefetch(im.drv);
		assert_memory_equal(own, im.drv_storage, size);
		assert_memory_equal(desc, im.areas.desc, shared.desc);
		assert_memory_equal(device, im.areas.device, shared.device);
		if (i < 39)
			assert_comes_back(&im, next(&im).id, 7, &token[0]);
	}
	free(own);
	image_close(&im);
}

/* The largest ring: indices and counts of 16 bits are used to their end. */
static void test_largest(void **state)
{
	static struct vio_drvq_buf bufs[32768];
	static struct vio_drvq_done done[32768];
	static uint16_t ids[32768];
	struct vio_seg seg = { IMAGE_BASE, 64 };
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 32768, ring_format(state));
	image_driver(&im);
	for (i = 0; i < 32768; i++)
		bufs[i] = (struct vio_drvq_buf){ &seg, 0, 1, &bufs[i] };
	for (lap = 0; lap < 5; lap++) {
		assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 32768), 32768);
		assert_int_equal(vio_drvq_add_burst(im.drv, bufs, 1), 0);
		vio_drvq_publish(im.drv);
		for (i = 0; i < 32768; i++)
			ids[i] = next(&im).id;
		if (im.in_order)
			image_make_used_batch(&im, ids[32767], 64, 32768);
		else
			for (i = 0; i < 32768; i++)
				image_make_used(&im, ids[32767 - i], 64);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 32768), 32768);
		assert_int_equal(vio_drvq_free(im.drv), 32768);
	}
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_geometry, RING_RUN_SPLIT),
		RING_TEST(test_error_names, RING_RUN_SPLIT),
		RING_TEST(test_init_refuses, RING_RUN_ALL),
		RING_TEST(test_one_descriptor, RING_RUN_ALL),
		RING_TEST(test_out_of_order, RING_RUN_ANY_ORDER),
		RING_TEST(test_in_order_batch, RING_RUN_IN_ORDER),
		RING_TEST(test_in_order_event_idx, RING_RUN_IN_ORDER),
		RING_TEST(test_in_order_circular, RING_RUN_IN_ORDER),
		RING_TEST(test_linked_chain, RING_RUN_ALL),
		RING_TEST(test_indirect_table, RING_RUN_ALL),
		RING_TEST(test_add_limits, RING_RUN_ALL),
		RING_TEST(test_add_mixed_burst, RING_RUN_ALL),
		RING_TEST(test_kick_flag, RING_RUN_ALL),
		RING_TEST(test_s13_kick_event_idx, RING_RUN_ALL),
		RING_TEST(test_s14_notify_flag, RING_RUN_ALL),
		RING_TEST(test_s14_notify_event_idx, RING_RUN_ALL),
		RING_TEST(test_s14_notify_event_idx_chains, RING_RUN_ALL),
		RING_TEST(test_detach, RING_RUN_ALL),
		RING_TEST(test_broken, RING_RUN_ALL),
		RING_TEST(test_prefetch, RING_RUN_ALL),
		RING_TEST(test_largest, RING_RUN_ALL),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
