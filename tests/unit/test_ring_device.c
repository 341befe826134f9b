/* SPDX-License-Identifier: BSD-2-Clause */
/* The device side of a split ring against a driver written by hand: exact bytes in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_image.h"

#define EVENT_IDX (1ull << VIO_F_EVENT_IDX)
#define INDIRECT  (1ull << VIO_F_INDIRECT_DESC)

#define NEXT	 VIO_DESC_F_NEXT
#define WRITE	 VIO_DESC_F_WRITE
#define TABLE	 VIO_DESC_F_INDIRECT
#define POOL_LEN 256

static struct vio_chain chains[64];
static struct vio_iov pool[POOL_LEN];

static int pop(struct ring_image *im, unsigned n)
{
	return vio_devq_pop_burst(im->dev, im->mem, chains, n, pool, POOL_LEN);
}

static void assert_piece(const struct ring_image *im, const struct vio_chain *chain, unsigned i,
			 uint64_t addr, size_t len)
{
	assert_ptr_equal(chain->iov[i].base, image_at(im, addr));
	assert_int_equal(chain->iov[i].len, len);
}

static void assert_chain(const struct vio_chain *chain, unsigned out_num, unsigned in_num,
			 uint32_t out_len, uint32_t in_len)
{
	assert_int_equal(chain->out_num, out_num);
	assert_int_equal(chain->in_num, in_num);
	assert_int_equal(chain->out_len, out_len);
	assert_int_equal(chain->in_len, in_len);
}

static void test_one_descriptor(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	assert_int_equal(im.used->flags, VIO_VIRTQ_USED_F_NO_NOTIFY);
	assert_int_equal(pop(&im, 8), 0);
	assert_false(vio_devq_has_avail(im.dev));
	image_desc(&im, 5, IMAGE_DATA, 60, 0, 77);
	image_desc(&im, 2, IMAGE_SEAM, 1600, WRITE, 0);
	image_make_avail(&im, 5);
	image_make_avail(&im, 2);
	assert_int_equal(vio_devq_avail_count(im.dev), 2);
	assert_int_equal(pop(&im, 8), 2);
	assert_false(vio_devq_has_avail(im.dev));
	assert_chain(&chains[0], 1, 0, 60, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_DATA, 60);
	assert_int_equal(chains[0].id, 5);
	assert_int_equal(chains[0].slots, 1);
	assert_chain(&chains[1], 0, 1, 0, 1600);
	assert_piece(&im, &chains[1], 0, IMAGE_SEAM, 1600);
	/* Each chain leaves the entry before it to the caller. */
	assert_ptr_equal(chains[0].iov, &pool[1]);
	assert_ptr_equal(chains[1].iov, &pool[3]);
	assert_int_equal(vio_devq_in_flight(im.dev), 2);

	chains[1].written = 1234;
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[1], 1), 0);
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[0], 1), 0);
	assert_int_equal(im.used->idx, 0);
	assert_true(vio_devq_publish(im.dev));
	assert_false(vio_devq_publish(im.dev));
	assert_int_equal(im.used->idx, 2);
	assert_int_equal(im.used->ring[0].id, 2);
	assert_int_equal(im.used->ring[0].len, 1234);
	assert_int_equal(im.used->ring[1].id, 5);
	assert_int_equal(im.used->ring[1].len, 0);
	assert_int_equal(vio_devq_in_flight(im.dev), 0);
	image_close(&im);
}

/* S6: any split into descriptors. */
static void test_s6_linked(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 16, 0);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 12, NEXT, 9);
	image_desc(&im, 9, IMAGE_DATA + 0x100, 60, 0, 0);
	image_make_avail(&im, 0);
	image_desc(&im, 1, IMAGE_DATA, 12, NEXT, 3);
	image_desc(&im, 3, IMAGE_SEAM, 60, WRITE, 0);
	image_make_avail(&im, 1);
	image_desc(&im, 2, IMAGE_DATA, 5, NEXT | WRITE, 4);
	image_desc(&im, 4, IMAGE_DATA + 5, 7, WRITE, 0);
	image_make_avail(&im, 2);
	assert_int_equal(pop(&im, 3), 3);
	assert_chain(&chains[0], 2, 0, 72, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_DATA, 12);
	assert_piece(&im, &chains[0], 1, IMAGE_DATA + 0x100, 60);
	assert_chain(&chains[1], 1, 1, 12, 60);
	assert_piece(&im, &chains[1], 1, IMAGE_SEAM, 60);
	assert_chain(&chains[2], 0, 2, 0, 12);
	vio_devq_push_burst(im.dev, chains, 3);

	/* As long as the queue, all the way round. */
	for (i = 0; i < 16; i++)
		image_desc(&im, i, IMAGE_DATA + i, i + 1,
			   (uint16_t)((i == 15 ? 0 : NEXT) | (i > 9 ? WRITE : 0)),
			   (uint16_t)(i + 1));
	image_make_avail(&im, 0);
	assert_int_equal(pop(&im, 1), 1);
	assert_chain(&chains[0], 10, 6, 55, 81);
	for (i = 0; i < 16; i++)
		assert_piece(&im, &chains[0], i, IMAGE_DATA + i, i + 1);
	image_close(&im);
}

static void set_table(struct ring_image *im, uint64_t addr, unsigned n)
{
	unsigned i;

	/* An entry at a time: the table may run over the seam and have any alignment. */
	for (i = 0; i < n * 16; i++) {
		struct vio_virtq_desc d = { IMAGE_DATA + i / 16 * 0x10, 8,
					    (uint16_t)(i / 16 + 1 < n ? NEXT : WRITE),
					    (uint16_t)(i / 16 + 1) };

		*(char *)image_at(im, addr + i) = ((char *)&d)[i % 16];
	}
}

static void test_indirect(void **state)
{
	const uint64_t places[] = { IMAGE_DATA + 0x1000, IMAGE_DATA + 0x1003, IMAGE_SEAM - 32,
				    IMAGE_SEAM - 24 };
	struct ring_image im;
	unsigned i, j;

	(void)state;
	image_open(&im, 8, INDIRECT);
	image_device(&im, 0);
	for (i = 0; i < 4; i++) {
		set_table(&im, places[i], 4);
		/* The outer WRITE means nothing. */
		image_desc(&im, i, places[i], 64, (uint16_t)(TABLE | (i & 1 ? WRITE : 0)), 0);
		image_make_avail(&im, (uint16_t)i);
		assert_int_equal(pop(&im, 1), 1);
		assert_chain(&chains[0], 3, 1, 24, 8);
		assert_int_equal(chains[0].slots, 1);
		for (j = 0; j < 4; j++)
			assert_piece(&im, &chains[0], j, IMAGE_DATA + j * 0x10, 8);
	}
	/* virtio 1.4, 2.7.5.3.2: linked descriptors and then a table. */
	set_table(&im, IMAGE_DATA + 0x1000, 2);
	image_desc(&im, 5, IMAGE_DATA + 0x500, 3, NEXT, 6);
	image_desc(&im, 6, IMAGE_DATA + 0x1000, 32, TABLE, 0);
	image_make_avail(&im, 5);
	assert_int_equal(pop(&im, 1), 1);
	assert_chain(&chains[0], 2, 1, 11, 8);
	assert_piece(&im, &chains[0], 0, IMAGE_DATA + 0x500, 3);
	assert_piece(&im, &chains[0], 2, IMAGE_DATA + 0x10, 8);
	image_close(&im);
}

/* A buffer over two regions that touch is several pieces. */
static void test_seam(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_SEAM - 10, 30, 0, 0);
	image_desc(&im, 1, IMAGE_DATA, 12, NEXT, 2);
	image_desc(&im, 2, IMAGE_SEAM - 1, 2, WRITE, 0);
	image_make_avail(&im, 0);
	image_make_avail(&im, 1);
	assert_int_equal(pop(&im, 2), 2);
	assert_chain(&chains[0], 2, 0, 30, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_SEAM - 10, 10);
	assert_piece(&im, &chains[0], 1, IMAGE_SEAM, 20);
	assert_chain(&chains[1], 1, 2, 12, 2);
	assert_piece(&im, &chains[1], 1, IMAGE_SEAM - 1, 1);
	assert_piece(&im, &chains[1], 2, IMAGE_SEAM, 1);
	image_close(&im);
}

/* A pool that is full ends the burst; what did not fit comes with the next. */
static void test_small_pool(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, 0, 0);
	image_desc(&im, 1, IMAGE_DATA, 2, NEXT, 2);
	image_desc(&im, 2, IMAGE_DATA, 3, 0, 0);
	image_desc(&im, 3, IMAGE_DATA, 4, NEXT, 4);
	image_desc(&im, 4, IMAGE_DATA, 5, NEXT, 5);
	image_desc(&im, 5, IMAGE_DATA, 6, 0, 0);
	for (i = 0; i < 4; i++)
		image_make_avail(&im, (uint16_t)i);
	im.avail->ring[2] = 3;
	im.avail->ring[3] = 6;
	image_desc(&im, 6, IMAGE_DATA, 7, 0, 0);
	memset(pool, 0x55, sizeof(pool));
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 0), 0);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 1), 0);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 4), 1);
	vio_devq_unpop(im.dev, chains, 1);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 5), 2);
	assert_int_equal(pool[5].len, 0x5555555555555555);
	assert_int_equal(pool[0].len, 0x5555555555555555);
	assert_int_equal(pool[2].len, 0x5555555555555555);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 3), 0);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_OK);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 6), 2);
	assert_chain(&chains[0], 3, 0, 15, 0);
	assert_chain(&chains[1], 1, 0, 7, 0);
	image_close(&im);
}

/* Longer chains leave room for fewer short ones. */
static void test_small_pool_mixed(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	for (i = 0; i < 6; i++)
		image_desc(&im, i, IMAGE_DATA, 1, i < 2 ? NEXT : 0, (uint16_t)(i + 1));
	for (i = 0; i < 6; i++)
		image_make_avail(&im, (uint16_t)(i == 0 ? 0 : i + 2));
	im.avail->idx = im.next_avail = 4;
	memset(pool, 0x55, sizeof(pool));
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 7), 2);
	assert_int_equal(pool[7].len, 0x5555555555555555);
	vio_devq_unpop(im.dev, chains, 2);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 8), 3);
	assert_int_equal(pool[8].len, 0x5555555555555555);
	image_close(&im);
}

static void test_unpop(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 4, 0);
	image_device(&im, 0);
	for (i = 0; i < 4; i++) {
		image_desc(&im, i, IMAGE_DATA + i, i + 1, 0, 0);
		image_make_avail(&im, (uint16_t)i);
	}
	assert_int_equal(pop(&im, 4), 4);
	assert_int_equal(vio_devq_base(im.dev), 4);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_unpop(im.dev, &chains[2], 2);
	assert_int_equal(vio_devq_base(im.dev), 2);
	assert_int_equal(vio_devq_in_flight(im.dev), 1);
	assert_true(vio_devq_has_avail(im.dev));
	image_desc(&im, 2, IMAGE_DATA, 99, 0, 0);
	assert_int_equal(pop(&im, 4), 2);
	assert_int_equal(chains[0].id, 2);
	assert_int_equal(chains[0].out_len, 99);
	assert_int_equal(chains[1].id, 3);
	image_close(&im);
}

/* A queue goes on where another left off, and at other addresses. */
static void test_base_and_move(void **state)
{
	struct vio_vq_areas moved;
	struct ring_image im;
	char *copy = aligned_alloc(4096, 8192);
	struct vio_virtq_avail *avail;
	struct vio_virtq_used *used;

	(void)state;
	image_open(&im, 4, EVENT_IDX);
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

	memcpy(copy, im.low, 8192);
	moved.desc = copy;
	moved.driver = copy + ((char *)im.areas.driver - im.low);
	moved.device = copy + ((char *)im.areas.device - im.low);
	avail = moved.driver;
	used = moved.device;
	vio_devq_move(im.dev, &moved);
	avail->ring[0] = 1;
	avail->idx = 1;
	avail->ring[4] = 65535; /* used_event */
	assert_int_equal(pop(&im, 4), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	assert_true(vio_devq_publish(im.dev));
	assert_int_equal(used->idx, 0);
	assert_int_equal(used->ring[3].id, 1);
	assert_int_equal(im.used->idx, 65535);
	image_close(&im);
	free(copy);
}

/* A lap that returns the same writes no used entry again. */
static void test_unchanged_is_not_rewritten(void **state)
{
	struct ring_image im;
	unsigned i, lap;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	for (lap = 0; lap < 2; lap++) {
		for (i = 0; i < 8; i++) {
			image_desc(&im, i, IMAGE_DATA, 100, WRITE, 0);
			image_make_avail(&im, (uint16_t)i);
		}
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

static void test_interrupt_flag(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, 0, 0);
	im.avail->flags = VIO_VIRTQ_AVAIL_F_NO_INTERRUPT;
	image_make_avail(&im, 0);
	assert_int_equal(pop(&im, 8), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	assert_false(vio_devq_publish(im.dev));
	im.avail->flags = 0;
	image_make_avail(&im, 0);
	assert_int_equal(pop(&im, 8), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	assert_true(vio_devq_publish(im.dev));
	image_close(&im);
}

/* S13: over every index there is and bursts of all sizes, the interrupt is asked for exactly when
 * some entry's index equals the event; the flag is ignored. */
static void test_s13_interrupt_event_idx(void **state)
{
	struct ring_image im;
	uint32_t at = 65536 - 300, interrupts = 0;
	unsigned i;

	(void)state;
	srand(1);
	image_open(&im, 64, EVENT_IDX);
	im.next_avail = im.avail->idx = (uint16_t)at;
	im.used->idx = (uint16_t)at;
	image_device(&im, (uint16_t)at);
	im.avail->flags = VIO_VIRTQ_AVAIL_F_NO_INTERRUPT;
	for (i = 0; i < 64; i++)
		image_desc(&im, i, IMAGE_DATA, 1, 0, 0);
	while (at < 3 * 65536) {
		unsigned n = 1 + (unsigned)rand() % 64;
		uint16_t event = (uint16_t)(at + (unsigned)rand() % 140 - 70);
		bool expected = false;

		*im.used_event = event;
		for (i = 0; i < n; i++) {
			image_make_avail(&im, (uint16_t)i);
			expected |= (uint16_t)(at + i) == event;
		}
		assert_int_equal(pop(&im, 64), n);
		/* Pushed in two goes, published in one. */
		vio_devq_push_burst(im.dev, chains, n / 2);
		vio_devq_push_burst(im.dev, &chains[n / 2], n - n / 2);
		assert_int_equal(vio_devq_publish(im.dev), expected);
		interrupts += expected;
		at += n;
		assert_int_equal(im.used->idx, (uint16_t)at);
	}
	assert_true(interrupts > 100);
	assert_int_equal(im.used->flags, 0);
	image_close(&im);
}

static void test_s14_kick_flag(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, 8, 0);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, 0, 0);
	image_desc(&im, 1, IMAGE_DATA, 1, 0, 0);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(im.used->flags, 0);
	image_make_avail(&im, 0);
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_false(vio_devq_kick_enable(im.dev, 1));
	image_make_avail(&im, 1);
	assert_true(vio_devq_kick_enable(im.dev, 1));
	assert_int_equal(vio_devq_avail_count(im.dev), 2);
	assert_int_equal(pop(&im, 1), 1);
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(pop(&im, 1), 1);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	vio_devq_kick_disable(im.dev);
	assert_int_equal(im.used->flags, VIO_VIRTQ_USED_F_NO_NOTIFY);
	image_close(&im);
}

/* Whether a driver that follows the formula kicks for the available index going @old to @new. */
static bool would_kick(const struct ring_image *im, uint16_t old, uint16_t new)
{
	for (; old != new; old++)
		if (old == *im->avail_event)
			return true;
	return false;
}

static void test_s14_kick_event_idx(void **state)
{
	struct ring_image im;
	uint16_t at = 65500;
	unsigned i, lap;

	(void)state;
	image_open(&im, 8, EVENT_IDX);
	im.next_avail = im.avail->idx = at;
	image_device(&im, at);
	for (i = 0; i < 8; i++)
		image_desc(&im, i, IMAGE_DATA, 1, 0, 0);
	for (lap = 0; lap < 65536 / 8 + 2; lap++) {
		assert_false(would_kick(&im, at, (uint16_t)(at + 8)));
		assert_false(vio_devq_kick_enable(im.dev, 0));
		assert_true(would_kick(&im, at, (uint16_t)(at + 1)));
		assert_false(vio_devq_kick_enable(im.dev, 3));
		assert_false(would_kick(&im, at, (uint16_t)(at + 3)));
		assert_true(would_kick(&im, at, (uint16_t)(at + 4)));
		/* An event that lies ahead is taken back. */
		vio_devq_kick_disable(im.dev);
		assert_false(would_kick(&im, at, (uint16_t)(at + 8)));
		for (i = 0; i < 4; i++)
			image_make_avail(&im, (uint16_t)i);
		assert_true(vio_devq_kick_enable(im.dev, 3));
		assert_false(vio_devq_kick_enable(im.dev, 4));
		for (i = 4; i < 8; i++)
			image_make_avail(&im, (uint16_t)i);
		/* With kicks off nothing kicks any more, whether or not the event was passed. */
		if (lap % 2 == 0)
			assert_int_equal(vio_devq_kick_enable(im.dev, 100), true);
		vio_devq_kick_disable(im.dev);
		assert_int_equal(pop(&im, 8), 8);
		vio_devq_push_burst(im.dev, chains, 8);
		vio_devq_publish(im.dev);
		at = (uint16_t)(at + 8);
		assert_int_equal(im.used->flags, 0);
	}
	image_close(&im);
}

/* A broken queue refuses everything, keeps its first reason and touches nothing. */
static void test_broken(void **state)
{
	struct ring_image im;
	void *before;

	(void)state;
	image_open(&im, 8, EVENT_IDX);
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, 0, 0);
	image_make_avail(&im, 0);
	image_make_avail(&im, 0);
	assert_int_equal(pop(&im, 1), 1);
	vio_devq_break(im.dev, VIO_VQ_OK);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_OK);
	vio_devq_break(im.dev, VIO_VQ_MEMORY_GONE);
	vio_devq_break(im.dev, VIO_VQ_BAD_FRAME);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_MEMORY_GONE);
	before = image_snapshot(&im);
	assert_int_equal(pop(&im, 1), -EPROTO);
	assert_int_equal(vio_devq_push_burst(im.dev, chains, 1), -EPROTO);
	assert_false(vio_devq_publish(im.dev));
	assert_false(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev), 0);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	vio_devq_kick_disable(im.dev);
	assert_true(image_unchanged(&im, before));
	vio_devq_unpop(im.dev, chains, 1);
	assert_int_equal(vio_devq_base(im.dev), 0);
	assert_int_equal(vio_devq_size(im.dev), 8);
	image_close(&im);
}

/* The largest ring: indices and counts of 16 bits are used to their end. */
static void test_largest(void **state)
{
	static struct vio_chain many[32768];
	static struct vio_iov big_pool[65536];
	struct ring_image im;
	unsigned i, lap;

	(void)state;
	image_open(&im, 32768, EVENT_IDX);
	image_device(&im, 0);
	for (i = 0; i < 32768; i++)
		image_desc(&im, i, IMAGE_BASE, i + 1, WRITE, 0);
	for (lap = 0; lap < 5; lap++) {
		vio_devq_kick_enable(im.dev, 32767);
		for (i = 0; i < 32768; i++)
			image_make_avail(&im, (uint16_t)i);
		vio_devq_kick_disable(im.dev);
		assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, many, 32768, big_pool, 65536),
				 32768);
		assert_int_equal(many[32767].in_len, 32768);
		vio_devq_push_burst(im.dev, many, 32768);
		vio_devq_publish(im.dev);
	}
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, many, 1, big_pool, 65536), 0);
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_descriptor),
		cmocka_unit_test(test_s6_linked),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_seam),
		cmocka_unit_test(test_small_pool),
		cmocka_unit_test(test_small_pool_mixed),
		cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_base_and_move),
		cmocka_unit_test(test_unchanged_is_not_rewritten),
		cmocka_unit_test(test_interrupt_flag),
		cmocka_unit_test(test_s13_interrupt_event_idx),
		cmocka_unit_test(test_s14_kick_flag),
		cmocka_unit_test(test_s14_kick_event_idx),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
