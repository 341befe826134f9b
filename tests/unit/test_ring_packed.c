/* SPDX-License-Identifier: BSD-2-Clause */
/* Packed rings, both sides, to the byte (virtio 1.4, 2.8). What all formats have in common is in
 * test_ring_driver.c and test_ring_device.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

#define AVAIL VIO_DESC_F_AVAIL
#define USED  VIO_DESC_F_USED

/* In the lap of wrap counter 1 and in that of 0 (2.8.1). */
#define AVAIL_1 AVAIL
#define AVAIL_0 USED
#define USED_1	(AVAIL | USED)
#define USED_0	0

static void assert_desc(const struct ring_image *im, unsigned i, uint64_t addr, uint32_t len,
			uint16_t id, uint16_t flags)
{
	assert_int_equal(im->pdesc[i].addr, addr);
	assert_int_equal(im->pdesc[i].len, len);
	assert_int_equal(im->pdesc[i].id, id);
	assert_int_equal(im->pdesc[i].flags, flags);
}

static void assert_used_desc(const struct ring_image *im, unsigned i, uint32_t len, uint16_t id,
			     uint16_t flags)
{
	assert_int_equal(im->pdesc[i].len, len);
	assert_int_equal(im->pdesc[i].id, id);
	assert_int_equal(im->pdesc[i].flags, flags);
}

static void post(struct ring_image *im, unsigned i, uint32_t len, uint16_t id, uint16_t flags)
{
	im->pdesc[i] = (struct vio_pvirtq_desc){ IMAGE_DATA + len, len, id, flags };
}

static void use(struct ring_image *im, unsigned i, uint32_t len, uint16_t id, uint16_t flags)
{
	im->pdesc[i].len = len;
	im->pdesc[i].id = id;
	im->pdesc[i].flags = flags;
}

/* ---- Driver ---------------------------------------------------------------------------------- */

/* S15, S16: flags of each descriptor by the lap it is in, in the middle of a list too. */
static void test_s15_driver_wraps_in_list(void **state)
{
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 1 } };
	struct vio_drvq_done done[2];
	struct ring_image im;

	(void)state;
	image_open(&im, 7, RING_PACKED);
	image_driver(&im);
	assert_int_equal(im.driver_event->flags, VIO_RING_EVENT_DISABLE);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 0 | 0x8000);
	assert_int_equal(add(&im, segs, 1, 2, &token[0]), 1);
	assert_int_equal(add(&im, segs, 1, 1, &token[1]), 1);
	/* 2.8.21.1.1: the head of all that is published comes last. */
	assert_int_equal(im.pdesc[0].flags, 0);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 0 | 0x8000);
	vio_drvq_publish(im.drv);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 5 | 0x8000);
	assert_desc(&im, 0, IMAGE_DATA, 12, 0, NEXT | AVAIL_1);
	assert_desc(&im, 1, IMAGE_DATA + 0x100, 60, 0, NEXT | WRITE | AVAIL_1);
	assert_desc(&im, 2, IMAGE_DATA + 0x200, 1, 0, WRITE | AVAIL_1);
	assert_desc(&im, 3, IMAGE_DATA, 12, 1, NEXT | AVAIL_1);
	assert_desc(&im, 4, IMAGE_DATA + 0x100, 60, 1, WRITE | AVAIL_1);
	assert_desc(&im, 5, 0, 0, 0, 0);

	/* The second comes back first, in the place of the first (2.8.6). */
	use(&im, 0, 60, 1, WRITE | USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 1);
	assert_ptr_equal(done[0].token, &token[1]);
	use(&im, 2, 61, 0, WRITE | USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 1);
	assert_ptr_equal(done[0].token, &token[0]);
	assert_int_equal(done[0].len, 61);

	assert_int_equal(add(&im, segs, 2, 1, &token[2]), 1);
	assert_int_equal(im.pdesc[5].flags, 0);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 5, IMAGE_DATA, 12, 2, NEXT | AVAIL_1);
	assert_desc(&im, 6, IMAGE_DATA + 0x100, 60, 2, NEXT | AVAIL_1);
	assert_desc(&im, 0, IMAGE_DATA + 0x200, 1, 2, WRITE | AVAIL_0);
	assert_int_equal(vio_drvq_avail_pos(im.drv), 1);
	use(&im, 5, 1, 2, WRITE | USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 1);
	/* The next lap: 0 is what USED means in it. */
	assert_int_equal(add(&im, segs, 1, 0, &token[3]), 1);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 1, IMAGE_DATA, 12, 3, AVAIL_0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 0);
	use(&im, 1, 0, 3, USED_0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 2), 1);
	assert_ptr_equal(done[0].token, &token[3]);
	assert_int_equal(vio_drvq_free(im.drv), 7);
	image_close(&im);
}

/* S16: nothing of a burst can be seen before its first descriptor, whatever is in the rest. */
static void test_s16_driver_head_last(void **state)
{
	struct vio_seg seg = { IMAGE_DATA, 12 };
	struct vio_drvq_done done[3];
	struct ring_image im;
	unsigned i, lap, at;

	(void)state;
	image_open(&im, 5, RING_PACKED);
	image_driver(&im);
	for (lap = 0, at = 0; lap < 20; lap++, at = (at + 3) % 5) {
		uint16_t before = im.pdesc[at].flags;

		for (i = 0; i < 3; i++)
			assert_int_equal(add(&im, &seg, 1, 0, &token[i]), 1);
		assert_int_equal(im.pdesc[at].flags, before);
		assert_int_equal(image_take_all(&im), 0);
		vio_drvq_publish(im.drv);
		assert_int_equal(image_take_all(&im), 3);
		for (i = 0; i < 3; i++)
			image_make_used(&im, im.order[im.posted - 3 + i], 0);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 3), 3);
	}
	image_close(&im);
}

/* 2.8.7: entries one after the other, and only WRITE in their flags. */
static void test_driver_writes_table(void **state)
{
	const uint64_t tables = IMAGE_DATA + 0x8000;
	struct vio_seg segs[] = { { IMAGE_DATA, 12 },
				  { IMAGE_DATA + 0x100, 60 },
				  { IMAGE_DATA + 0x200, 9 } };
	const struct vio_pvirtq_desc *table;
	struct ring_image im;

	(void)state;
	image_open(&im, 4, RING_PACKED | RING_INDIRECT);
	image_driver_indirect(&im, tables, 3, 2);
	assert_int_equal(add(&im, segs, 1, 0, &token[0]), 1);
	assert_int_equal(add(&im, segs, 2, 1, &token[1]), 1);
	vio_drvq_publish(im.drv);
	assert_desc(&im, 0, IMAGE_DATA, 12, 0, AVAIL_1);
	assert_desc(&im, 1, tables, 48, 1, TABLE | AVAIL_1);
	table = image_at(&im, tables);
	assert_int_equal(table[0].addr, IMAGE_DATA);
	assert_int_equal(table[0].len, 12);
	assert_int_equal(table[0].flags, 0);
	assert_int_equal(table[1].addr, IMAGE_DATA + 0x100);
	assert_int_equal(table[1].flags, 0);
	assert_int_equal(table[2].len, 9);
	assert_int_equal(table[2].flags, WRITE);
	image_close(&im);
}

/* 2.8.4: without WRITE the length of what was only read means nothing. */
static void test_driver_used_len(void **state)
{
	struct vio_seg seg = { IMAGE_DATA, 100 };
	struct vio_drvq_done done;
	struct ring_image im;

	(void)state;
	image_open(&im, 4, RING_PACKED);
	image_driver(&im);
	assert_int_equal(add(&im, &seg, 1, 0, &token[0]), 1);
	assert_int_equal(add(&im, &seg, 0, 1, &token[1]), 1);
	assert_int_equal(add(&im, &seg, 0, 1, &token[2]), 1);
	vio_drvq_publish(im.drv);
	use(&im, 0, 12345, 0, USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(done.len, 0);
	/* NEXT in a used descriptor is ignored (2.8.6). */
	use(&im, 1, 100, 1, WRITE | NEXT | USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(done.len, 100);
	use(&im, 2, 12345, 2, USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
	assert_int_equal(done.len, 0);
	image_close(&im);
}

/* S17: the next used descriptor lies as many on as the list has; one for a table. */
static void test_s17_driver_skips(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct vio_drvq_done done[4];
	struct ring_image im;

	(void)state;
	image_open(&im, 8, RING_PACKED | RING_INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA + 0x8000, 3, 1);
	assert_int_equal(add(&im, segs, 3, 0, &token[0]), 1); /* in the table */
	assert_int_equal(add(&im, segs, 3, 0, &token[1]), 1);
	assert_int_equal(add(&im, segs, 2, 0, &token[2]), 1);
	assert_int_equal(add(&im, segs, 1, 0, &token[3]), 1);
	vio_drvq_publish(im.drv);
	use(&im, 0, 0, 0, USED_1);
	use(&im, 1, 0, 1, USED_1);
	use(&im, 4, 0, 2, USED_1);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 3);
	assert_int_equal(vio_drvq_free(im.drv), 7);
	assert_false(vio_drvq_has_used(im.drv));
	use(&im, 6, 0, 3, USED_1);
	assert_true(vio_drvq_has_used(im.drv));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 4), 1);
	assert_ptr_equal(done[0].token, &token[3]);
	image_close(&im);
}

/* The device may have used many, of which some lie behind a list: an event that it has gone past
 * without having seen it is noticed. */
static void test_s14_driver_event_behind_list(void **state)
{
	struct vio_seg segs[3] = { { IMAGE_DATA, 1 }, { IMAGE_DATA, 2 }, { IMAGE_DATA, 3 } };
	struct ring_image im;

	(void)state;
	image_open(&im, 8, RING_PACKED | RING_EVENT_IDX);
	image_driver(&im);
	assert_int_equal(add(&im, segs, 1, 0, &token[0]), 1);
	assert_int_equal(add(&im, segs, 3, 0, &token[1]), 1);
	assert_int_equal(add(&im, segs, 1, 0, &token[2]), 1);
	vio_drvq_publish(im.drv);
	/* The list of three is used first: event 1 lies in the middle of its places. */
	use(&im, 0, 0, 1, USED_1);
	assert_true(vio_drvq_notify_enable(im.drv, 1));
	assert_int_equal(im.driver_event->flags, VIO_RING_EVENT_DESC);
	assert_int_equal(im.driver_event->desc, 1 | VIO_RING_EVENT_WRAP);
	assert_false(vio_drvq_notify_enable(im.drv, 2));
	assert_int_equal(im.driver_event->desc, 3 | VIO_RING_EVENT_WRAP);
	image_close(&im);
}

/* ---- Device ---------------------------------------------------------------------------------- */

/* S15, S17: lists that wrap, of which the last descriptor alone has the id. */
static void test_s15_device_wraps_in_list(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 5, RING_PACKED);
	image_device_fresh(&im);
	assert_int_equal(im.device_event->flags, VIO_RING_EVENT_DISABLE);
	assert_int_equal(pop(&im, 8), 0);
	post(&im, 0, 10, 99, NEXT | AVAIL_1);
	post(&im, 1, 11, 99, NEXT | AVAIL_1);
	post(&im, 2, 12, 700, WRITE | AVAIL_1);
	post(&im, 3, 13, 65535, AVAIL_1);
	assert_int_equal(pop(&im, 8), 2);
	assert_int_equal(chains[0].id, 700);
	assert_int_equal(chains[0].slots, 3);
	assert_int_equal(chains[0].out_len, 21);
	assert_int_equal(chains[0].in_len, 12);
	assert_int_equal(chains[1].id, 65535);
	assert_int_equal(chains[1].slots, 1);
	/* The second first, in the place of the first; not seen before publish. */
	vio_devq_push_burst(im.dev, &chains[1], 1);
	chains[0].written = 7;
	vio_devq_push_burst(im.dev, &chains[0], 1);
	assert_desc(&im, 0, IMAGE_DATA + 10, 10, 99, NEXT | AVAIL_1);
	assert_used_desc(&im, 1, 7, 700, WRITE | USED_1);
	vio_devq_publish(im.dev);
	assert_used_desc(&im, 0, 0, 65535, USED_1);
	assert_int_equal(vio_devq_base(im.dev), 0x80048004u);

	post(&im, 4, 10, 0, NEXT | AVAIL_1);
	post(&im, 0, 11, 0, NEXT | AVAIL_0);
	post(&im, 1, 12, 5, WRITE | AVAIL_0);
	assert_int_equal(vio_devq_avail_count(im.dev), 1);
	assert_int_equal(pop(&im, 8), 1);
	assert_int_equal(chains[0].id, 5);
	assert_int_equal(chains[0].slots, 3);
	assert_int_equal(vio_devq_base(im.dev), 0x80040002u);
	chains[0].written = 12;
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_used_desc(&im, 4, 12, 5, WRITE | USED_1);
	assert_int_equal(vio_devq_base(im.dev), 0x00020002u);
	/* What the list before left there is not available in this lap. */
	assert_int_equal(pop(&im, 8), 0);
	post(&im, 2, 10, 1, AVAIL_0);
	assert_int_equal(pop(&im, 8), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_used_desc(&im, 2, 0, 1, USED_0);
	image_close(&im);
}

/* S17: one place for a table, in a list none. */
static void test_s17_device_skips(void **state)
{
	struct vio_pvirtq_desc *table;
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, RING_PACKED | RING_INDIRECT);
	image_device_fresh(&im);
	table = image_at(&im, IMAGE_DATA + 64);
	for (i = 0; i < 4; i++)
		table[i] = (struct vio_pvirtq_desc){ IMAGE_DATA, i + 1, 9, i > 1 ? WRITE : 0 };
	post(&im, 0, 64, 3, TABLE | AVAIL_1);
	post(&im, 1, 1, 4, NEXT | AVAIL_1);
	post(&im, 2, 1, 4, AVAIL_1);
	post(&im, 3, 1, 5, AVAIL_1);
	assert_int_equal(pop(&im, 8), 3);
	assert_int_equal(chains[0].out_len, 3);
	assert_int_equal(chains[0].in_len, 7);
	vio_devq_push_burst(im.dev, chains, 3);
	vio_devq_publish(im.dev);
	assert_used_desc(&im, 0, 0, 3, USED_1);
	assert_used_desc(&im, 1, 0, 4, USED_1);
	assert_used_desc(&im, 2, 1, 4, AVAIL_1);
	assert_used_desc(&im, 3, 0, 5, USED_1);
	image_close(&im);
}

/* 2.8.8: one used descriptor for what was sent, where that of the first buffer would be. */
static void test_device_in_order_element(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 6, RING_PACKED | RING_IN_ORDER);
	image_device_fresh(&im);
	post(&im, 0, 1, 0, AVAIL_1);
	post(&im, 1, 1, 1, NEXT | AVAIL_1);
	post(&im, 2, 1, 1, AVAIL_1);
	post(&im, 3, 1, 3, AVAIL_1);
	post(&im, 4, 9, 4, WRITE | AVAIL_1);
	assert_int_equal(pop(&im, 8), 4);
	vio_devq_push_burst(im.dev, chains, 3);
	chains[3].written = 9;
	vio_devq_push_burst(im.dev, chains + 3, 1);
	vio_devq_publish(im.dev);
	assert_used_desc(&im, 0, 0, 3, USED_1);
	assert_used_desc(&im, 1, 1, 1, NEXT | AVAIL_1);
	assert_used_desc(&im, 3, 1, 3, AVAIL_1);
	assert_used_desc(&im, 4, 9, 4, WRITE | USED_1);
	assert_int_equal(vio_devq_base(im.dev), 0x80058005u);
	image_close(&im);
}

/* A burst in order, and the used descriptors that are to stand for it. */
struct batches {
	unsigned slots; /* descriptors of each buffer */
	unsigned from;	/* where the first is */
	unsigned n;	/* buffers, */
	unsigned first; /* of which so many are returned before the others */
	struct {
		unsigned at, id;
	} used[7]; /* those behind the last are all zero */
};

static void check_batches(const struct batches *b)
{
	const unsigned num = 70;
	struct vio_chain some[70];
	struct vio_iov pieces[256];
	struct ring_image im;
	unsigned i, k, at, next = 0;

	image_open(&im, num, RING_PACKED | RING_IN_ORDER);
	image_device(&im, 0x80008000u | b->from << 16 | b->from);
	for (i = 0; i < b->n; i++)
		for (k = 0; k < b->slots; k++) {
			at = b->from + i * b->slots + k;
			post(&im, at % num, 1, (uint16_t)i,
			     (k + 1 < b->slots ? NEXT : 0) | (at < num ? AVAIL_1 : AVAIL_0));
		}
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, some, 70, pieces, 256), b->n);
	vio_devq_push_burst(im.dev, some, b->first);
	vio_devq_push_burst(im.dev, some + b->first, b->n - b->first);
	vio_devq_publish(im.dev);
	for (i = 0; i < b->n * b->slots; i++) {
		uint16_t owner;

		at = b->from + i;
		owner = at < num ? USED_1 : USED_0;
		at %= num;
		if (b->used[next].at == at && (next == 0 || b->used[next].id))
			assert_used_desc(&im, at, 0, (uint16_t)b->used[next++].id, owner);
		else
			assert_int_not_equal(im.pdesc[at].flags, owner);
	}
	assert_true(next > 0 && b->used[next].id == 0);
	image_close(&im);
}

/* No used descriptor stands for more than is left of an even 32 of the ring, or of the ring itself,
 * also where the burst began in the midst of them; so those who look from one to the next find them
 * at even distances. A list that lies across stands for itself. */
static void test_device_in_order_distances(void **state)
{
	static const struct batches all[] = {
		{ 1, 0, 70, 5, { { 0, 4 }, { 5, 31 }, { 32, 63 }, { 64, 69 } } },
		{ 1, 60, 20, 0, { { 60, 3 }, { 64, 9 }, { 0, 19 } } },
		{ 3, 0, 23, 0, { { 0, 9 }, { 30, 10 }, { 33, 20 }, { 63, 21 }, { 66, 22 } } },
		{ 2,
		  31,
		  30,
		  0,
		  { { 31, 0 }, { 33, 15 }, { 63, 16 }, { 65, 18 }, { 69, 19 }, { 1, 29 } } },
		{ 2, 55, 10, 0, { { 55, 3 }, { 63, 4 }, { 65, 6 }, { 69, 7 }, { 1, 9 } } },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check_batches(&all[i]);
}

/* Where a ring goes on: at the used position, where there is one. */
static void test_device_base(void **state)
{
	static const struct {
		uint32_t base;
		unsigned at;
		uint16_t avail; /* what its flags are there */
	} good[] = {
		{ 0x80008000, 0, AVAIL_1 }, { 0x00008000, 0, AVAIL_1 }, { 0x00000000, 0, AVAIL_0 },
		{ 0x80068006, 6, AVAIL_1 }, { 0x00060006, 6, AVAIL_0 }, { 0x00008005, 5, AVAIL_1 },
		{ 0x80028005, 2, AVAIL_1 }, { 0x80050002, 5, AVAIL_1 }, { 0x80030003, 3, AVAIL_1 },
	};
	static const uint32_t bad[] = {
		0x00008007, 0x00000007, 0x80078000, 0x00078006, 0x0000ffff,
		0xffff8000, 0x80058002, 0x00050002, 0x80020005, 0x00028005,
	};
	struct ring_image im;
	struct vio_devq_setup s;
	struct vio_devq *q;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		image_open(&im, 7, RING_PACKED);
		image_device(&im, good[i].base);
		post(&im, good[i].at, 10, 4, good[i].avail);
		assert_int_equal(pop(&im, 8), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		vio_devq_publish(im.dev);
		assert_used_desc(&im, good[i].at, 0, 4, good[i].avail == AVAIL_1 ? USED_1 : USED_0);
		image_close(&im);
	}
	image_open(&im, 7, RING_PACKED);
	s = (struct vio_devq_setup){ .num = 7, .features = RING_PACKED, .areas = im.areas };
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s.base = bad[i];
		assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	}
	image_close(&im);
}

/* 2.8.10: what a device may not say means that it is to be told. */
static void test_s18_event_flags(void **state)
{
	struct vio_seg seg = { IMAGE_DATA, 100 };
	struct vio_drvq_done done;
	struct ring_image im;
	unsigned i;

	(void)state;
	for (i = 0; i < 8; i++) {
		bool event_idx = i & 4;

		image_open(&im, 8, RING_PACKED | (event_idx ? RING_EVENT_IDX : 0));
		image_driver(&im);
		im.device_event->flags = (uint16_t)(0xfff8 | (i & 3));
		im.device_event->desc = 5 | VIO_RING_EVENT_WRAP;
		assert_int_equal(add(&im, &seg, 1, 0, &token[0]), 1);
		assert_int_equal(vio_drvq_publish(im.drv),
				 (i & 3) != VIO_RING_EVENT_DISABLE &&
					 !(event_idx && (i & 3) == VIO_RING_EVENT_DESC));
		image_device_fresh(&im);
		im.driver_event->flags = (uint16_t)(0xfff8 | (i & 3));
		im.driver_event->desc = 5 | VIO_RING_EVENT_WRAP;
		assert_int_equal(pop(&im, 8), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		assert_int_equal(vio_devq_publish(im.dev),
				 (i & 3) != VIO_RING_EVENT_DISABLE &&
					 !(event_idx && (i & 3) == VIO_RING_EVENT_DESC));
		assert_int_equal(vio_drvq_reap_burst(im.drv, &done, 1), 1);
		image_close(&im);
	}
}

/* S18: what each side writes when it asks, over the end of the ring. */
static void test_s18_event_positions(void **state)
{
	struct vio_seg seg = { IMAGE_DATA, 100 };
	struct vio_drvq_done done[8];
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 7, RING_PACKED | RING_EVENT_IDX);
	image_driver(&im);
	image_device_fresh(&im);
	for (i = 0; i < 5; i++)
		assert_int_equal(add(&im, &seg, 1, 0, &token[0]), 1);
	vio_drvq_publish(im.drv);
	assert_int_equal(pop(&im, 8), 5);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(im.device_event->desc, 5 | VIO_RING_EVENT_WRAP);
	assert_int_equal(im.device_event->flags, VIO_RING_EVENT_DESC);
	vio_devq_push_burst(im.dev, chains, 5);
	vio_devq_publish(im.dev);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 8), 5);
	assert_false(vio_devq_kick_enable(im.dev, 4));
	assert_int_equal(im.device_event->desc, 2);
	for (i = 0; i < 6; i++)
		assert_int_equal(add(&im, &seg, 1, 0, &token[0]), 1);
	assert_true(vio_drvq_publish(im.drv));
	assert_false(vio_drvq_notify_enable(im.drv, 1));
	assert_int_equal(im.driver_event->desc, 6 | VIO_RING_EVENT_WRAP);
	assert_false(vio_drvq_notify_enable(im.drv, 4));
	assert_int_equal(im.driver_event->desc, 2);
	assert_int_equal(im.driver_event->flags, VIO_RING_EVENT_DESC);
	vio_devq_kick_disable(im.dev);
	assert_int_equal(im.device_event->flags, VIO_RING_EVENT_DISABLE);
	vio_drvq_notify_disable(im.drv);
	assert_int_equal(im.driver_event->flags, VIO_RING_EVENT_DISABLE);
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s15_driver_wraps_in_list),
		cmocka_unit_test(test_s16_driver_head_last),
		cmocka_unit_test(test_driver_writes_table),
		cmocka_unit_test(test_driver_used_len),
		cmocka_unit_test(test_s17_driver_skips),
		cmocka_unit_test(test_s14_driver_event_behind_list),
		cmocka_unit_test(test_s15_device_wraps_in_list),
		cmocka_unit_test(test_s17_device_skips),
		cmocka_unit_test(test_device_in_order_element),
		cmocka_unit_test(test_device_in_order_distances),
		cmocka_unit_test(test_device_base),
		cmocka_unit_test(test_s18_event_flags),
		cmocka_unit_test(test_s18_event_positions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
