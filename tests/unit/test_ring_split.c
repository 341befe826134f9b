/* SPDX-License-Identifier: BSD-2-Clause */
/* Split rings, both sides, to the byte (virtio 1.4, 2.7). What all formats have in common is in
 * test_ring_driver.c and test_ring_device.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

static void assert_desc(const struct ring_image *im, unsigned i, uint64_t addr, uint32_t len,
			uint16_t flags, uint16_t next)
{
	assert_int_equal(im->desc[i].addr, addr);
	assert_int_equal(im->desc[i].len, len);
	assert_int_equal(im->desc[i].flags, flags);
	assert_int_equal(im->desc[i].next, next);
}

/* ---- Driver ---------------------------------------------------------------------------------- */

static void test_driver_writes(void **state)
{
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 1 } };
	struct vio_drvq_done done;
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_driver(&im);
	assert_int_equal(im.avail->flags, VIO_VIRTQ_AVAIL_F_NO_INTERRUPT);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), 1);
	assert_int_equal(add(&im, segs, 1, 1, &token[1]), 1);
	assert_int_equal(add(&im, segs, 0, 2, &token[2]), 1);
	assert_int_equal(im.avail->idx, 0);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 0);
	vio_drvq_publish(im.drv);
	assert_int_equal(im.avail->idx, 3);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 3);
	assert_int_equal(im.avail->ring[0], 0);
	assert_int_equal(im.avail->ring[1], 3);
	assert_int_equal(im.avail->ring[2], 5);
	assert_desc(&im, 0, IMAGE_DATA, 12, NEXT, 1);
	assert_desc(&im, 1, IMAGE_DATA + 0x100, 60, NEXT | WRITE, 2);
	assert_desc(&im, 2, IMAGE_DATA + 0x200, 1, WRITE, 0);
	assert_desc(&im, 3, IMAGE_DATA, 12, NEXT, 4);
	assert_desc(&im, 4, IMAGE_DATA + 0x100, 60, WRITE, 0);
	assert_desc(&im, 5, IMAGE_DATA, 12, NEXT | WRITE, 6);
	assert_desc(&im, 6, IMAGE_DATA + 0x100, 60, WRITE, 0);

	/* Free descriptors are taken in the order in which they came back. */
	image_make_used(&im, 3, 60);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(add(&im, segs, 2, 1, &token[3]), 1);
	vio_drvq_publish(im.drv);
	assert_int_equal(im.avail->ring[3], 7);
	assert_desc(&im, 7, IMAGE_DATA, 12, NEXT, 3);
	assert_desc(&im, 3, IMAGE_DATA + 0x100, 60, NEXT, 4);
	assert_desc(&im, 4, IMAGE_DATA + 0x200, 1, WRITE, 0);
	image_close(&im);
}

static void test_driver_writes_table(void **state)
{
	const uint64_t tables = IMAGE_DATA + 0x8000;
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 9 } };
	const struct vio_virtq_desc *table;
	struct ring_image im;

	(void)state;
	image_open(&im, 4, RING_INDIRECT);
	image_driver_indirect(&im, tables, 3, 1);
	assert_int_equal(add(&im, segs, 2, 1, &token[0]), 1);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 0, tables, 48, TABLE, 0);
	table = image_at(&im, tables);
	assert_int_equal(table[0].addr, IMAGE_DATA);
	assert_int_equal(table[0].len, 12);
	assert_int_equal(table[0].flags, NEXT);
	assert_int_equal(table[0].next, 1);
	assert_int_equal(table[1].flags, NEXT);
	assert_int_equal(table[1].next, 2);
	assert_int_equal(table[2].addr, IMAGE_DATA + 0x200);
	assert_int_equal(table[2].flags, WRITE);
	image_close(&im);
}

/* A lap with the same buffers writes neither descriptors nor available entries again. */
static void test_driver_unchanged_is_not_rewritten(void **state)
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

/* IN_ORDER: the used element of a batch lies where that of its first buffer would. */
static void test_driver_in_order_element(void **state)
{
	struct vio_drvq_done done[8];
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, RING_IN_ORDER);
	image_driver(&im);
	for (i = 0; i < 6; i++)
		assert_int_equal(add_one(&im, i), 1);
	vio_drvq_publish(im.drv);
	memset(im.used->ring, 0xaa, 8 * 8);
	im.used->ring[0] = (struct vio_virtq_used_elem){ 3, 0 };
	im.used->ring[4] = (struct vio_virtq_used_elem){ 5, 0 };
	im.used->idx = 6;
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 6);
	for (i = 0; i < 6; i++)
		assert_ptr_equal(done[i].token, &token[i]);
	image_close(&im);
}

/* ---- Device ---------------------------------------------------------------------------------- */

static void test_device_writes(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_device_fresh(&im);
	assert_int_equal(im.used->flags, VIO_VIRTQ_USED_F_NO_NOTIFY);
	image_desc(&im, 5, IMAGE_DATA, 60, 0, 77);
	image_desc(&im, 2, IMAGE_SEAM, 1600, WRITE, 0);
	image_make_avail(&im, 5);
	image_make_avail(&im, 2);
	assert_int_equal(pop(&im, 8), 2);
	assert_int_equal(chains[0].id, 5);
	assert_int_equal(chains[0].slots, 1);
	assert_int_equal(chains[1].id, 2);
	chains[1].written = 1234;
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[1], 1), 0);
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[0], 1), 0);
	assert_int_equal(im.used->idx, 0);
	vio_devq_publish(im.dev);
	assert_int_equal(im.used->idx, 2);
	assert_int_equal(im.used->ring[0].id, 2);
	assert_int_equal(im.used->ring[0].len, 1234);
	assert_int_equal(im.used->ring[1].id, 5);
	assert_int_equal(im.used->ring[1].len, 0);
	image_close(&im);
}

/* S6: links in any order, through the table and back. */
static void test_s6_links(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 16, 0);
	image_device_fresh(&im);
	image_desc(&im, 9, IMAGE_DATA, 12, NEXT, 3);
	image_desc(&im, 3, IMAGE_DATA + 0x100, 60, NEXT, 15);
	image_desc(&im, 15, IMAGE_DATA + 0x200, 61, NEXT, 0);
	image_desc(&im, 0, IMAGE_DATA + 0x300, 62, WRITE, 0);
	image_make_avail(&im, 9);
	assert_int_equal(pop(&im, 3), 1);
	assert_int_equal(chains[0].id, 9);
	assert_int_equal(chains[0].out_len, 133);
	assert_int_equal(chains[0].in_len, 62);
	for (i = 0; i < 4; i++)
		assert_ptr_equal(chains[0].iov[i].base, image_at(&im, IMAGE_DATA + i * 0x100));
	image_close(&im);
}

/* virtio 1.4, 2.7.5.3.2: linked descriptors and then a table. */
static void test_linked_then_table(void **state)
{
	struct vio_virtq_desc *table;
	struct ring_image im;

	(void)state;
	image_open(&im, 8, RING_INDIRECT);
	image_device_fresh(&im);
	table = image_at(&im, IMAGE_DATA + 0x1000);
	table[0] = (struct vio_virtq_desc){ IMAGE_DATA, 8, NEXT, 1 };
	table[1] = (struct vio_virtq_desc){ IMAGE_DATA + 0x10, 8, WRITE, 0 };
	image_desc(&im, 5, IMAGE_DATA + 0x500, 3, NEXT, 6);
	image_desc(&im, 6, IMAGE_DATA + 0x1000, 32, TABLE, 0);
	image_make_avail(&im, 5);
	assert_int_equal(pop(&im, 1), 1);
	assert_int_equal(chains[0].out_num, 2);
	assert_int_equal(chains[0].in_num, 1);
	assert_ptr_equal(chains[0].iov[0].base, image_at(&im, IMAGE_DATA + 0x500));
	assert_ptr_equal(chains[0].iov[2].base, image_at(&im, IMAGE_DATA + 0x10));
	image_close(&im);
}

/* A queue goes on at its base, and at the used index that the used ring holds. */
static void test_device_base(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 4, RING_EVENT_IDX);
	im.next_avail = im.avail->idx = 65535;
	im.used->idx = 65534;
	image_device(&im, 65535);
	image_desc(&im, 1, IMAGE_DATA, 1, 0, 0);
	image_make_avail(&im, 1);
	assert_int_equal(pop(&im, 4), 1);
	assert_int_equal(vio_devq_base(im.dev), 0);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_int_equal(im.used->idx, 65535);
	assert_int_equal(im.used->ring[2].id, 1);
	image_close(&im);
}

/* A lap that returns the same writes no used entry again. */
static void test_device_unchanged_is_not_rewritten(void **state)
{
	struct ring_image im;
	unsigned i, lap;

	(void)state;
	image_open(&im, 8, 0);
	image_device_fresh(&im);
	for (lap = 0; lap < 2; lap++) {
		for (i = 0; i < 8; i++)
			image_post_one(&im, IMAGE_DATA, 100, WRITE);
		assert_int_equal(pop(&im, 8), 8);
		for (i = 0; i < 8; i++)
			chains[i].written = i == 3 ? 50 + lap : 100;
		vio_devq_push_burst(im.dev, chains, 8);
		vio_devq_publish(im.dev);
		assert_int_equal(im.used->ring[3].len, 50 + lap);
		assert_int_equal(im.used->ring[4].len, lap == 0 ? 100 : 0xaaaaaaaa);
		memset(im.used->ring, 0xaa, 8 * 8);
	}
	image_close(&im);
}

/* IN_ORDER: one element for what was sent, where that of the first buffer would be. */
static void test_device_in_order_element(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, RING_IN_ORDER);
	image_device_fresh(&im);
	memset(im.used->ring, 0xaa, 8 * 8);
	for (i = 0; i < 6; i++)
		image_post_one(&im, IMAGE_DATA, 100, 0);
	assert_int_equal(pop(&im, 8), 6);
	vio_devq_push_burst(im.dev, chains, 2);
	vio_devq_push_burst(im.dev, chains + 2, 4);
	vio_devq_publish(im.dev);
	assert_int_equal(im.used->idx, 6);
	assert_int_equal(im.used->ring[0].id, 1);
	assert_int_equal(im.used->ring[0].len, 0);
	assert_int_equal(im.used->ring[1].id, 0xaaaaaaaa);
	assert_int_equal(im.used->ring[2].id, 5);
	assert_int_equal(im.used->ring[3].id, 0xaaaaaaaa);
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_driver_writes),
		cmocka_unit_test(test_driver_writes_table),
		cmocka_unit_test(test_driver_unchanged_is_not_rewritten),
		cmocka_unit_test(test_driver_in_order_element),
		cmocka_unit_test(test_device_writes),
		cmocka_unit_test(test_s6_links),
		cmocka_unit_test(test_linked_then_table),
		cmocka_unit_test(test_device_base),
		cmocka_unit_test(test_device_unchanged_is_not_rewritten),
		cmocka_unit_test(test_device_in_order_element),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
