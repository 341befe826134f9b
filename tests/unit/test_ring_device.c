/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device side of a ring against a driver written by hand. What is particular to one format, to
 * the byte, is in test_ring_split.c and test_ring_packed.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

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
	assert_int_equal(chain->written, 0);
}

/* The next that the device has used is @id alone, with @len bytes. */
static void assert_used(struct ring_image *im, uint32_t id, uint32_t len)
{
	struct image_used used;

	assert_true(image_take_used(im, &used));
	assert_int_equal(used.id, id);
	assert_int_equal(used.buffers, 1);
	assert_int_equal(used.write, !im->packed || len > 0);
	if (used.write)
		assert_int_equal(used.len, len);
}

static void assert_none_used(struct ring_image *im)
{
	struct image_used used;

	assert_false(image_take_used(im, &used));
}

static void test_one_descriptor(void **state)
{
	struct ring_image im;
	uint16_t out, in;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	assert_int_equal(pop(&im, 8), 0);
	assert_false(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev), 0);
	out = image_post_one(&im, IMAGE_DATA, 60, 0);
	in = image_post_one(&im, IMAGE_SEAM, 1600, WRITE);
	assert_true(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev), 2);
	assert_int_equal(pop(&im, 8), 2);
	assert_false(vio_devq_has_avail(im.dev));
	assert_chain(&chains[0], 1, 0, 60, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_DATA, 60);
	assert_int_equal(chains[0].id, out);
	assert_int_equal(chains[0].slots, 1);
	assert_chain(&chains[1], 0, 1, 0, 1600);
	assert_piece(&im, &chains[1], 0, IMAGE_SEAM, 1600);
	assert_int_equal(chains[1].id, in);
	/* Each chain leaves the entry before it to the caller. */
	assert_ptr_equal(chains[0].iov, &pool[1]);
	assert_ptr_equal(chains[1].iov, &pool[3]);
	assert_int_equal(vio_devq_in_flight(im.dev), 2);

	chains[1].written = 1234;
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[0], 1), 0);
	assert_int_equal(vio_devq_push_burst(im.dev, &chains[1], 1), 0);
	assert_none_used(&im);
	image_want_calls(&im, true);
	assert_true(vio_devq_publish(im.dev));
	assert_false(vio_devq_publish(im.dev));
	assert_used(&im, out, 0);
	assert_used(&im, in, 1234);
	assert_none_used(&im);
	assert_int_equal(vio_devq_in_flight(im.dev), 0);
	image_close(&im);
}

/* Buffers come back in the order in which they are pushed, whatever they were taken in. */
static void test_out_of_order(void **state)
{
	static const struct vio_virtq_desc three[3] = { { IMAGE_DATA, 1, 0, 0 },
							{ IMAGE_DATA, 2, 0, 0 },
							{ IMAGE_DATA, 3, WRITE, 0 } };
	struct ring_image im;
	uint16_t ids[4];
	unsigned lap;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	for (lap = 0; lap < 20; lap++) {
		ids[0] = image_post(&im, three, 1);
		ids[1] = image_post(&im, three, 3);
		ids[2] = image_post(&im, three + 1, 2);
		ids[3] = image_post(&im, three, 1);
		assert_int_equal(pop(&im, 3), 3);
		chains[2].written = 2;
		vio_devq_push_burst(im.dev, &chains[2], 1);
		vio_devq_publish(im.dev);
		assert_used(&im, ids[2], 2);
		assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, &chains[3], 8, pool, POOL_LEN),
				 1);
		vio_devq_push_burst(im.dev, &chains[3], 1);
		vio_devq_push_burst(im.dev, &chains[0], 2);
		vio_devq_publish(im.dev);
		assert_used(&im, ids[3], 0);
		assert_used(&im, ids[0], 0);
		assert_used(&im, ids[1], 0);
		assert_none_used(&im);
		assert_int_equal(vio_devq_in_flight(im.dev), 0);
	}
	image_close(&im);
}

/* IN_ORDER: what there is nothing to say of is skipped; a writable buffer never is. */
static void test_in_order_batch(void **state)
{
	static const unsigned in[8] = { 0, 0, 0, 1, 1, 0, 1, 0 };
	struct image_used used;
	struct ring_image im;
	uint16_t ids[8];
	unsigned i, lap;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	for (lap = 0; lap < 5; lap++) {
		for (i = 0; i < 8; i++)
			ids[i] = image_post_one(&im, IMAGE_DATA, 100, in[i] ? WRITE : 0);
		assert_int_equal(pop(&im, 8), 8);
		for (i = 0; i < 8; i++)
			chains[i].written = in[i] ? 90 + i : 0;
		vio_devq_push_burst(im.dev, chains, 1);
		vio_devq_push_burst(im.dev, chains + 1, 7);
		assert_none_used(&im);
		vio_devq_publish(im.dev);
		assert_used(&im, ids[0], 0);
		assert_true(image_take_used(&im, &used)); /* 1, 2 and 3 */
		assert_int_equal(used.buffers, 3);
		assert_int_equal(used.id, ids[3]);
		assert_int_equal(used.len, 93);
		assert_used(&im, ids[4], 94);
		assert_true(image_take_used(&im, &used)); /* 5 and 6 */
		assert_int_equal(used.buffers, 2);
		assert_int_equal(used.id, ids[6]);
		assert_int_equal(used.len, 96);
		assert_used(&im, ids[7], 0);
		assert_none_used(&im);
	}
	/* A burst of nothing but readable buffers is one used element. */
	for (i = 0; i < 8; i++)
		ids[i] = image_post_one(&im, IMAGE_DATA, 100, 0);
	assert_int_equal(pop(&im, 8), 8);
	vio_devq_push_burst(im.dev, chains, 8);
	vio_devq_publish(im.dev);
	assert_true(image_take_used(&im, &used));
	assert_int_equal(used.buffers, 8);
	assert_int_equal(used.id, ids[7]);
	image_close(&im);
}

/* S6: any split into descriptors. */
static void test_s6_linked(void **state)
{
	static const struct vio_virtq_desc two[3][2] = {
		{ { IMAGE_DATA, 12, 0, 0 }, { IMAGE_DATA + 0x100, 60, 0, 0 } },
		{ { IMAGE_DATA, 12, 0, 0 }, { IMAGE_SEAM, 60, WRITE, 0 } },
		{ { IMAGE_DATA, 5, WRITE, 0 }, { IMAGE_DATA + 5, 7, WRITE, 0 } },
	};
	struct vio_virtq_desc many[16];
	struct ring_image im;
	unsigned i, lap, n;
	uint16_t id;

	image_open(&im, 16, ring_format(state));
	image_device_fresh(&im);
	for (i = 0; i < 3; i++)
		image_post(&im, two[i], 2);
	assert_int_equal(vio_devq_avail_count(im.dev), 3);
	assert_int_equal(pop(&im, 8), 3);
	assert_chain(&chains[0], 2, 0, 72, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_DATA, 12);
	assert_piece(&im, &chains[0], 1, IMAGE_DATA + 0x100, 60);
	assert_int_equal(chains[0].slots, im.packed ? 2 : 1);
	assert_chain(&chains[1], 1, 1, 12, 60);
	assert_piece(&im, &chains[1], 1, IMAGE_SEAM, 60);
	assert_chain(&chains[2], 0, 2, 0, 12);
	vio_devq_push_burst(im.dev, chains, 3);

	/* Of every length up to that of the queue, from ever other places. */
	for (lap = 0; lap < 40; lap++) {
		n = 16 - lap % 16;
		for (i = 0; i < n; i++)
			many[i] = (struct vio_virtq_desc){ IMAGE_DATA + i, i + 1, i > 9 ? WRITE : 0,
							   0 };
		id = image_post(&im, many, n);
		assert_int_equal(pop(&im, 8), 1);
		assert_int_equal(chains[0].id, id);
		assert_int_equal(chains[0].out_num, n < 10 ? n : 10);
		assert_int_equal(chains[0].out_num + chains[0].in_num, n);
		for (i = 0; i < n; i++)
			assert_piece(&im, &chains[0], i, IMAGE_DATA + i, i + 1);
		vio_devq_push_burst(im.dev, chains, 1);
	}
	image_close(&im);
}

static void set_table(struct ring_image *im, uint64_t addr, unsigned n)
{
	unsigned i;

	/* A byte at a time: the table may run over the seam and have any alignment. */
	for (i = 0; i < n * 16; i++) {
		/* A packed one has WRITE alone; the rest of its words mean nothing. */
		uint16_t flags = i / 16 + 1 < n ? 0 : WRITE;
		struct vio_virtq_desc split = {
			IMAGE_DATA + i / 16 * 0x10, 8,
			(uint16_t)(i / 16 + 1 < n ? VIO_DESC_F_NEXT : WRITE), (uint16_t)(i / 16 + 1)
		};
		struct vio_pvirtq_desc packed = { IMAGE_DATA + i / 16 * 0x10, 8, 0xbeef,
						  (uint16_t)(flags | (0xfff8 & ~WRITE)) };
		const char *bytes = im->packed ? (const char *)&packed : (const char *)&split;

		*(char *)image_at(im, addr + i) = bytes[i % 16];
	}
}

static void test_indirect(void **state)
{
	const uint64_t places[] = { IMAGE_DATA + 0x1000, IMAGE_DATA + 0x1003, IMAGE_SEAM - 32,
				    IMAGE_SEAM - 24 };
	struct ring_image im;
	unsigned i, j;
	uint16_t id;

	image_open(&im, 8, ring_format(state) | RING_INDIRECT);
	image_device_fresh(&im);
	for (i = 0; i < 4; i++) {
		set_table(&im, places[i], 4);
		/* The outer WRITE means nothing. */
		id = image_post_one(&im, places[i], 64, (uint16_t)(TABLE | (i & 1 ? WRITE : 0)));
		assert_int_equal(pop(&im, 1), 1);
		assert_chain(&chains[0], 3, 1, 24, 8);
		assert_int_equal(chains[0].id, id);
		assert_int_equal(chains[0].slots, 1);
		for (j = 0; j < 4; j++)
			assert_piece(&im, &chains[0], j, IMAGE_DATA + j * 0x10, 8);
	}
	image_close(&im);
}

/* A buffer over two regions that touch is several pieces. */
static void test_seam(void **state)
{
	static const struct vio_virtq_desc two[2] = { { IMAGE_DATA, 12, 0, 0 },
						      { IMAGE_SEAM - 1, 2, WRITE, 0 } };
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	image_post_one(&im, IMAGE_SEAM - 10, 30, 0);
	image_post(&im, two, 2);
	assert_int_equal(pop(&im, 2), 2);
	assert_chain(&chains[0], 2, 0, 30, 0);
	assert_piece(&im, &chains[0], 0, IMAGE_SEAM - 10, 10);
	assert_piece(&im, &chains[0], 1, IMAGE_SEAM, 20);
	assert_chain(&chains[1], 1, 2, 12, 2);
	assert_piece(&im, &chains[1], 1, IMAGE_SEAM - 1, 1);
	assert_piece(&im, &chains[1], 2, IMAGE_SEAM, 1);
	image_close(&im);
}

static void post_run(struct ring_image *im, uint32_t len, unsigned n)
{
	struct vio_virtq_desc d[8];
	unsigned i;

	for (i = 0; i < n; i++)
		d[i] = (struct vio_virtq_desc){ IMAGE_DATA, len + i, 0, 0 };
	image_post(im, d, n);
}

/* A pool that is full ends the burst; what did not fit comes with the next. */
static void test_small_pool(void **state)
{
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	post_run(&im, 1, 1);
	post_run(&im, 2, 2);
	post_run(&im, 4, 3);
	post_run(&im, 7, 1);
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

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	post_run(&im, 1, 3);
	for (i = 0; i < 3; i++)
		post_run(&im, 1, 1);
	memset(pool, 0x55, sizeof(pool));
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 7), 2);
	assert_int_equal(pool[7].len, 0x5555555555555555);
	vio_devq_unpop(im.dev, chains, 2);
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, chains, 8, pool, 8), 3);
	assert_int_equal(pool[8].len, 0x5555555555555555);
	image_close(&im);
}

/* As many as are asked for, whatever there is and however long the chains are. */
static void test_burst_limit(void **state)
{
	struct ring_image im;
	unsigned i;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	post_run(&im, 1, 2);
	for (i = 0; i < 4; i++)
		post_run(&im, 3, 1);
	assert_int_equal(pop(&im, 0), 0);
	assert_int_equal(pop(&im, 2), 2);
	assert_int_equal(pop(&im, 1), 1);
	assert_int_equal(pop(&im, 8), 2);
	assert_int_equal(vio_devq_in_flight(im.dev), 5);
	image_close(&im);
}

static void test_unpop(void **state)
{
	struct ring_image im;
	uint16_t ids[4];
	unsigned i, lap;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	for (lap = 0; lap < 10; lap++) {
		for (i = 0; i < 4; i++) {
			post_run(&im, i + 1, 1 + i % 2);
			ids[i] = im.order[im.posted - 1];
		}
		assert_int_equal(pop(&im, 4), 4);
		vio_devq_push_burst(im.dev, chains, 1);
		vio_devq_unpop(im.dev, &chains[1], 3);
		assert_int_equal(vio_devq_in_flight(im.dev), 0);
		assert_true(vio_devq_has_avail(im.dev));
		assert_int_equal(vio_devq_avail_count(im.dev), 3);
		assert_int_equal(pop(&im, 1), 1);
		assert_int_equal(chains[0].id, ids[1]);
		assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, &chains[1], 4, pool + 8, 16),
				 2);
		assert_int_equal(chains[1].id, ids[2]);
		assert_int_equal(chains[1].out_len, 3);
		assert_int_equal(chains[2].id, ids[3]);
		assert_int_equal(vio_devq_in_flight(im.dev), 3);
		vio_devq_push_burst(im.dev, chains, 3);
		vio_devq_publish(im.dev);
	}
	image_close(&im);
}

/* A queue goes on where another left off, again and again, with the same ring. */
static void test_base(void **state)
{
	struct image_used used;
	struct ring_image im;
	unsigned i, lap, taken = 0;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	for (lap = 0; lap < 50; lap++) {
		for (i = 0; i < 3; i++)
			post_run(&im, 1, 1 + i % 2);
		assert_int_equal(pop(&im, 3), 3);
		/* One goes back: the next device takes it. */
		vio_devq_unpop(im.dev, &chains[2], 1);
		vio_devq_push_burst(im.dev, chains, 2);
		vio_devq_publish(im.dev);
		image_device(&im, vio_devq_base(im.dev));
		assert_int_equal(pop(&im, 3), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		vio_devq_publish(im.dev);
		while (image_take_used(&im, &used))
			taken += used.buffers;
		assert_int_equal(taken, im.posted);
	}
	image_close(&im);
}

/* The same ring at another place. */
static void test_move(void **state)
{
	struct ring_image im, copy;
	struct image_used used;

	image_open(&im, 4, ring_format(state));
	image_open(&copy, 4, ring_format(state));
	image_device_fresh(&im);
	image_post_one(&im, IMAGE_DATA, 1, 0);
	assert_int_equal(pop(&im, 4), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_true(image_take_used(&im, &used));

	memcpy(copy.low, im.low, IMAGE_REGION);
	vio_devq_move(im.dev, &copy.areas);
	copy.next_avail = im.next_avail;
	copy.next_used = im.next_used;
	copy.next_desc = im.next_desc;
	copy.avail_at = im.avail_at;
	copy.used_at = im.used_at;
	assert_int_equal(pop(&im, 4), 0);
	image_post_one(&copy, IMAGE_DATA, 2, WRITE);
	assert_int_equal(pop(&im, 4), 1);
	chains[0].written = 2;
	vio_devq_push_burst(im.dev, chains, 1);
	image_want_calls(&im, false);
	assert_true(vio_devq_publish(im.dev));
	assert_false(image_take_used(&im, &used));
	assert_true(image_take_used(&copy, &used));
	assert_int_equal(used.len, 2);
	image_close(&im);
	image_close(&copy);
}

static void test_interrupt_flag(void **state)
{
	struct ring_image im;
	unsigned i;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	for (i = 0; i < 4; i++) {
		image_want_calls(&im, i & 1);
		image_post_one(&im, IMAGE_DATA, 1, 0);
		assert_int_equal(pop(&im, 8), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		assert_int_equal(vio_devq_publish(im.dev), i & 1);
	}
	image_close(&im);
}

/* S13, S18: over every place there is and bursts of all sizes, the interrupt is asked for exactly
 * when the device went past the event. */
static void event_idx(uint64_t features, uint32_t num)
{
	struct image_used used;
	struct ring_image im;
	uint32_t at = 0, interrupts = 0;
	unsigned i;

	srand(1);
	image_open(&im, num, features | RING_EVENT_IDX);
	image_device_fresh(&im);
	image_want_calls(&im, false); /* split: ignored */
	while (at < 3 * 65536) {
		unsigned n = 1 + (unsigned)rand() % num;
		int ahead = rand() % (int)(2 * num) - (int)num;

		image_want_call_at(&im, ahead);
		for (i = 0; i < n; i++)
			image_post_one(&im, IMAGE_DATA, 1, 0);
		assert_int_equal(pop(&im, 64), n);
		/* Pushed in two goes, published in one. */
		vio_devq_push_burst(im.dev, chains, n / 2);
		vio_devq_push_burst(im.dev, &chains[n / 2], n - n / 2);
		assert_int_equal(vio_devq_publish(im.dev), ahead >= 0 && ahead < (int)n);
		interrupts += ahead >= 0 && ahead < (int)n;
		for (i = 0; i < n; i += used.buffers)
			assert_true(image_take_used(&im, &used));
		at += n;
	}
	assert_true(interrupts > 100);
	image_close(&im);
}

static void test_s13_interrupt_event_idx(void **state)
{
	event_idx(ring_format(state), 64);
	if (ring_format(state) & RING_PACKED)
		event_idx(ring_format(state), 61);
}

static void fill(struct ring_image *im, unsigned n)
{
	while (n-- > 0)
		image_post_one(im, IMAGE_DATA, 1, 0);
}

static void test_s14_kick_flag(void **state)
{
	struct ring_image im;

	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	assert_false(image_would_kick(&im, 1));
	assert_false(vio_devq_kick_enable(im.dev, 0));
	assert_true(image_would_kick(&im, 1));
	image_post_one(&im, IMAGE_DATA, 1, 0);
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_false(vio_devq_kick_enable(im.dev, 1));
	post_run(&im, 1, 3);
	assert_true(vio_devq_kick_enable(im.dev, 1));
	assert_false(vio_devq_kick_enable(im.dev, 2));
	assert_int_equal(vio_devq_avail_count(im.dev), 2);
	assert_int_equal(pop(&im, 1), 1);
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(pop(&im, 1), 1);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	vio_devq_kick_disable(im.dev);
	assert_false(image_would_kick(&im, 1));
	/* More than the ring holds would never be there. */
	vio_devq_push_burst(im.dev, chains, 1);
	fill(&im, 4);
	assert_false(vio_devq_kick_enable(im.dev, 100));
	image_close(&im);
	image_open(&im, 8, ring_format(state));
	image_device_fresh(&im);
	fill(&im, 8);
	assert_true(vio_devq_kick_enable(im.dev, 100));
	image_close(&im);
}

static void test_s14_kick_event_idx(void **state)
{
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 8, ring_format(state) | RING_EVENT_IDX);
	image_device_fresh(&im);
	for (lap = 0; lap < 65536 / 8 + 2; lap++) {
		assert_false(image_would_kick(&im, 8));
		assert_false(vio_devq_kick_enable(im.dev, 0));
		assert_true(image_would_kick(&im, 1));
		assert_false(vio_devq_kick_enable(im.dev, 3));
		assert_false(image_would_kick(&im, 3));
		assert_true(image_would_kick(&im, 4));
		/* An event that lies ahead is taken back. */
		vio_devq_kick_disable(im.dev);
		assert_false(image_would_kick(&im, 8));
		for (i = 0; i < 4; i++)
			image_post_one(&im, IMAGE_DATA, 1, 0);
		assert_true(vio_devq_kick_enable(im.dev, 3));
		assert_false(vio_devq_kick_enable(im.dev, 4));
		assert_true(image_would_kick(&im, 1));
		assert_false(vio_devq_kick_enable(im.dev, 6));
		assert_false(image_would_kick(&im, 2));
		assert_true(image_would_kick(&im, 3));
		for (i = 4; i < 8; i++)
			image_post_one(&im, IMAGE_DATA, 1, 0);
		/* With kicks off nothing kicks any more, whether or not the event was passed. */
		if (lap % 2 == 0)
			assert_int_equal(vio_devq_kick_enable(im.dev, 100), true);
		vio_devq_kick_disable(im.dev);
		assert_int_equal(pop(&im, 8), 8);
		vio_devq_push_burst(im.dev, chains, 8);
		vio_devq_publish(im.dev);
		assert_false(image_would_kick(&im, 8));
	}
	image_close(&im);
}

/* Chains of several descriptors: the kick comes with the first buffer more, not before. */
static void test_s14_kick_event_idx_chains(void **state)
{
	struct ring_image im;
	unsigned lap;

	image_open(&im, 16, ring_format(state) | RING_EVENT_IDX);
	image_device_fresh(&im);
	for (lap = 0; lap < 100; lap++) {
		post_run(&im, 1, 3);
		post_run(&im, 1, 1);
		post_run(&im, 1, 4);
		assert_true(vio_devq_kick_enable(im.dev, 2));
		assert_false(vio_devq_kick_enable(im.dev, 3));
		assert_true(image_would_kick(&im, 1));
		post_run(&im, 1, 2);
		assert_true(vio_devq_kick_enable(im.dev, 3));
		assert_int_equal(pop(&im, 8), 4);
		assert_false(vio_devq_kick_enable(im.dev, 0));
		assert_true(image_would_kick(&im, 1));
		vio_devq_push_burst(im.dev, chains, 4);
		vio_devq_publish(im.dev);
	}
	image_close(&im);
}

/* A broken queue refuses everything, keeps its first reason and touches nothing. */
static void test_broken(void **state)
{
	struct vio_chain taken;
	struct ring_image im;
	uint32_t base;
	void *before;

	image_open(&im, 8, ring_format(state) | RING_EVENT_IDX);
	image_device_fresh(&im);
	base = vio_devq_base(im.dev);
	image_post_one(&im, IMAGE_DATA, 1, 0);
	image_post_one(&im, IMAGE_DATA, 1, 0);
	assert_int_equal(pop(&im, 1), 1);
	taken = chains[0];
	vio_devq_break(im.dev, VIO_VQ_OK);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_OK);
	vio_devq_break(im.dev, VIO_VQ_MEMORY_GONE);
	vio_devq_break(im.dev, VIO_VQ_BAD_FRAME);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_MEMORY_GONE);
	before = image_snapshot(&im);
	assert_int_equal(pop(&im, 1), -EPROTO);
	assert_int_equal(vio_devq_push_burst(im.dev, &taken, 1), -EPROTO);
	assert_false(vio_devq_publish(im.dev));
	assert_false(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev), 0);
	assert_false(vio_devq_kick_enable(im.dev, 0));
	vio_devq_kick_disable(im.dev);
	assert_true(image_unchanged(&im, before));
	vio_devq_unpop(im.dev, &taken, 1);
	assert_int_equal(vio_devq_base(im.dev), base);
	assert_int_equal(vio_devq_size(im.dev), 8);
	image_close(&im);
}

/* The largest ring: indices and counts of 16 bits are used to their end. */
static void test_largest(void **state)
{
	static struct vio_chain many[32768];
	static struct vio_iov big_pool[65536];
	struct image_used used;
	struct ring_image im;
	unsigned i, lap;

	image_open(&im, 32768, ring_format(state) | RING_EVENT_IDX);
	image_device_fresh(&im);
	for (lap = 0; lap < 5; lap++) {
		assert_false(vio_devq_kick_enable(im.dev, 32767));
		assert_false(image_would_kick(&im, 32767));
		assert_true(image_would_kick(&im, 32768));
		for (i = 0; i < 32768; i++)
			image_post_one(&im, IMAGE_BASE, i + 1, WRITE);
		vio_devq_kick_disable(im.dev);
		image_want_call_at(&im, 32767);
		assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, many, 32768, big_pool, 65536),
				 32768);
		assert_int_equal(many[32767].in_len, 32768);
		assert_int_equal(vio_devq_avail_count(im.dev), 0);
		for (i = 0; i < 32768; i++)
			many[i].written = i;
		vio_devq_push_burst(im.dev, many, 32767);
		assert_false(vio_devq_publish(im.dev));
		vio_devq_push_burst(im.dev, &many[32767], 1);
		assert_true(vio_devq_publish(im.dev));
		for (i = 0; i < 32768; i++) {
			assert_true(image_take_used(&im, &used));
			assert_int_equal(used.len, i);
		}
	}
	assert_int_equal(vio_devq_pop_burst(im.dev, im.mem, many, 1, big_pool, 65536), 0);
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_one_descriptor, RING_RUN_ALL),
		RING_TEST(test_out_of_order, RING_RUN_ANY_ORDER),
		RING_TEST(test_in_order_batch, RING_RUN_IN_ORDER),
		RING_TEST(test_s6_linked, RING_RUN_ALL),
		RING_TEST(test_indirect, RING_RUN_ALL),
		RING_TEST(test_seam, RING_RUN_ALL),
		RING_TEST(test_small_pool, RING_RUN_ALL),
		RING_TEST(test_small_pool_mixed, RING_RUN_ALL),
		RING_TEST(test_burst_limit, RING_RUN_ALL),
		RING_TEST(test_unpop, RING_RUN_ALL),
		RING_TEST(test_base, RING_RUN_ALL),
		RING_TEST(test_move, RING_RUN_ALL),
		RING_TEST(test_interrupt_flag, RING_RUN_ALL),
		RING_TEST(test_s13_interrupt_event_idx, RING_RUN_ALL),
		RING_TEST(test_s14_kick_flag, RING_RUN_ALL),
		RING_TEST(test_s14_kick_event_idx, RING_RUN_ALL),
		RING_TEST(test_s14_kick_event_idx_chains, RING_RUN_ALL),
		RING_TEST(test_broken, RING_RUN_ALL),
		RING_TEST(test_largest, RING_RUN_ALL),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
