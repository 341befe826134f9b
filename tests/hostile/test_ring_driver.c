/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile device against the driver side of the split ring: HOSTILE 24 and 29. Every lie breaks
 * the queue with the right reason, no token is ever given out twice, and a broken queue touches
 * nothing and still gives all its buffers back.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_image.h"

#define EVENT_IDX (1ull << VIO_F_EVENT_IDX)
#define INDIRECT  (1ull << VIO_F_INDIRECT_DESC)
#define NUM	  8u

static int token[NUM];
static struct vio_drvq_done done[64];

static void add(struct ring_image *im, unsigned out, unsigned in, unsigned i)
{
	static const struct vio_seg segs[3] = { { IMAGE_DATA, 100 },
						{ IMAGE_DATA + 0x1000, 100 },
						{ IMAGE_DATA + 0x2000, 100 } };
	struct vio_drvq_buf buf = { segs, (uint16_t)out, (uint16_t)in, &token[i] };

	assert_int_equal(vio_drvq_add_burst(im->drv, &buf, 1), 1);
}

/* Four buffers in flight: 0 out, 1 in, a chain of two at 2, a chain in a table at 4. */
static void fresh(struct ring_image *im)
{
	image_open(im, NUM, INDIRECT);
	image_driver_indirect(im, IMAGE_DATA + 0x8000, 3, 1);
	add(im, 1, 0, 0);
	add(im, 0, 1, 1);
	add(im, 2, 1, 3); /* takes the table */
	add(im, 1, 1, 2);
	vio_drvq_publish(im->drv);
	assert_int_equal(im->avail->ring[2], 2);
	assert_int_equal(im->avail->ring[3], 3);
}

/* The next reap breaks the queue for @why; @left buffers can be taken back. Closes the image. */
static void assert_breaks(struct ring_image *im, enum vio_vq_error why, unsigned left)
{
	void *before = image_snapshot(im);
	struct vio_seg seg = { IMAGE_DATA, 1 };
	struct vio_drvq_buf buf = { &seg, 1, 0, &token[0] };

	assert_int_equal(vio_drvq_reap_burst(im->drv, done, 64), -EPROTO);
	assert_string_equal(vio_vq_error_name(vio_drvq_error(im->drv)), vio_vq_error_name(why));
	assert_int_equal(vio_drvq_reap_burst(im->drv, done, 64), -EPROTO);
	assert_int_equal(vio_drvq_add_burst(im->drv, &buf, 1), -EPROTO);
	assert_false(vio_drvq_publish(im->drv));
	assert_false(vio_drvq_notify_enable(im->drv, 0));
	while (left > 0) {
		assert_non_null(vio_drvq_detach(im->drv));
		left--;
	}
	assert_null(vio_drvq_detach(im->drv));
	assert_int_equal(vio_drvq_free(im->drv), NUM);
	assert_true(image_unchanged(im, before));
	image_close(im);
}

static void test_h24_id_out_of_range(void **state)
{
	const uint32_t ids[] = { NUM, 65536, 0x10001, UINT32_MAX, 0x80000000u };
	struct ring_image im;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		fresh(&im);
		image_make_used(&im, ids[i], 0);
		assert_breaks(&im, VIO_VQ_BAD_ID, 4);
	}
}

static void test_h24_id_not_in_flight(void **state)
{
	struct ring_image im;
	unsigned id;

	(void)state;
	/* 4 is in the middle of a chain; the others were never used. */
	for (id = 4; id < NUM; id++) {
		fresh(&im);
		image_make_used(&im, id, 0);
		assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 4);
	}
}

static void test_h24_id_twice(void **state)
{
	struct ring_image im;

	(void)state;
	/* In one burst: the first is delivered, then the queue breaks. */
	fresh(&im);
	image_make_used(&im, 1, 50);
	image_make_used(&im, 1, 50);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 1);
	assert_ptr_equal(done[0].token, &token[1]);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_OK);
	assert_true(vio_drvq_has_used(im.drv));
	assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 3);
	/* In two. */
	fresh(&im);
	image_make_used(&im, 3, 50);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 1);
	image_make_used(&im, 3, 50);
	assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 3);
}

static void test_h24_length(void **state)
{
	static const struct {
		unsigned id;
		uint32_t most;
	} posted[] = { { 0, 0 }, { 1, 100 }, { 2, 100 }, { 3, 100 } };
	struct ring_image im;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		fresh(&im);
		image_make_used(&im, posted[i].id, posted[i].most);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 1);
		assert_int_equal(done[0].len, posted[i].most);
		image_close(&im);
		fresh(&im);
		image_make_used(&im, posted[i].id, posted[i].most + 1);
		assert_breaks(&im, VIO_VQ_BAD_USED_LEN, 4);
		fresh(&im);
		image_make_used(&im, posted[i].id, UINT32_MAX);
		assert_breaks(&im, VIO_VQ_BAD_USED_LEN, 4);
		fresh(&im);
		image_make_used(&im, posted[i].id, 0);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 1);
		image_close(&im);
	}
}

/* A descriptor that was writable and is readable now takes no length any more. */
static void test_h24_length_after_reuse(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	image_open(&im, 1, 0);
	image_driver(&im);
	for (i = 0; i < 4; i++) {
		add(&im, 0, 1, 0);
		vio_drvq_publish(im.drv);
		image_make_used(&im, 0, 100);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), 1);
		add(&im, 1, 0, 0);
		vio_drvq_publish(im.drv);
		image_make_used(&im, 0, 0);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), 1);
	}
	add(&im, 1, 0, 0);
	vio_drvq_publish(im.drv);
	image_make_used(&im, 0, 100);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), -EPROTO);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_BAD_USED_LEN);
	image_close(&im);
}

static void test_h24_used_jump(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	fresh(&im);
	im.used->idx = 5;
	assert_breaks(&im, VIO_VQ_USED_JUMP, 4);
	fresh(&im);
	im.used->idx = 65535; /* backwards */
	assert_breaks(&im, VIO_VQ_USED_JUMP, 4);
	fresh(&im);
	image_make_used(&im, 0, 0);
	image_make_used(&im, 1, 0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 2);
	im.used->idx = 1;
	assert_breaks(&im, VIO_VQ_USED_JUMP, 2);
	/* What was added and not published cannot be used yet. */
	fresh(&im);
	for (i = 0; i < 4; i++)
		image_make_used(&im, i, 0);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 4);
	add(&im, 1, 0, 0);
	image_make_used(&im, 5, 0);
	assert_breaks(&im, VIO_VQ_USED_JUMP, 1);
}

/* H29: wherever the event of the device stands, even if it never moves, it decides kicks only. */
static void test_h29_event_never_moves(void **state)
{
	struct ring_image im;
	uint32_t i, kicks = 0;

	(void)state;
	image_open(&im, NUM, EVENT_IDX);
	image_driver(&im);
	*im.avail_event = 1000;
	for (i = 0; i < 2 * 65536; i++) {
		add(&im, 1, 0, 0);
		kicks += vio_drvq_publish(im.drv);
		image_make_used(&im, im.avail->ring[i % NUM], 0);
		assert_int_equal(vio_drvq_reap_burst(im.drv, done, 64), 1);
	}
	assert_int_equal(kicks, 2);
	image_close(&im);
}

/* ---- Used entries that change while they are read ------------------------------------------- */

struct mutator {
	struct ring_image *im;
	atomic_bool stop;
	atomic_uint laps;
};

static uint32_t rnd(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void *mutate(void *arg)
{
	static const uint32_t lens[] = { 0, 100, 101, UINT32_MAX };
	struct mutator *m = arg;
	uint32_t seed = 777;

	while (!atomic_load(&m->stop)) {
		uint32_t r = rnd(&seed);
		struct vio_virtq_used_elem *elem = &m->im->used->ring[r % NUM];

		__atomic_store_n(&elem->id, (r >> 8) % (NUM + 1), __ATOMIC_RELAXED);
		__atomic_store_n(&elem->len, lens[(r >> 16) % 4], __ATOMIC_RELAXED);
		/* The driver never believes its own descriptors either. */
		__atomic_store_n(&m->im->desc[(r >> 4) % NUM].next, (uint16_t)r, __ATOMIC_RELAXED);
		__atomic_store_n(&m->im->desc[(r >> 4) % NUM].len, r, __ATOMIC_RELAXED);
		atomic_fetch_add(&m->laps, 1);
	}
	return NULL;
}

static void test_h05_used_entries_change(void **state)
{
	struct ring_image im;
	struct mutator m = { .im = &im };
	bool out[NUM] = { false };
	unsigned round, i, good = 0, broken = 0;
	pthread_t thread;

	(void)state;
	image_open(&im, NUM, INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA + 0x8000, 3, 1);
	assert_int_equal(pthread_create(&thread, NULL, mutate, &m), 0);
	while (atomic_load(&m.laps) == 0)
		;
	for (round = 0; round < 200000 || good == 0 || broken == 0; round++) {
		int n;

		for (i = 0; i < NUM && vio_drvq_free(im.drv) >= 3; i++) {
			if (out[i])
				continue;
			add(&im, i % 2, 1 + i % 3 / 2, i);
			out[i] = true;
		}
		vio_drvq_publish(im.drv);
		__atomic_store_n(&im.used->idx,
				 (uint16_t)(vio_drvq_avail_pos(im.drv) -
					    vio_drvq_in_flight(im.drv) + round % 2 + 1),
				 __ATOMIC_RELEASE);
		n = vio_drvq_reap_burst(im.drv, done, 64);
		for (i = 0; (int)i < n; i++) {
			unsigned which = (unsigned)((int *)done[i].token - token);

			/* What was in flight, once, and no more than was posted. */
			assert_true(which < NUM && out[which]);
			assert_true(done[i].len <= 200);
			out[which] = false;
			good++;
		}
		if (n < 0) {
			int *back;

			while ((back = vio_drvq_detach(im.drv)))
				out[back - token] = false;
			for (i = 0; i < NUM; i++)
				assert_false(out[i]);
			im.used->idx = 0;
			image_driver_indirect(&im, IMAGE_DATA + 0x8000, 3, 1);
			broken++;
		}
	}
	atomic_store(&m.stop, true);
	pthread_join(thread, NULL);
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h24_id_out_of_range),
		cmocka_unit_test(test_h24_id_not_in_flight),
		cmocka_unit_test(test_h24_id_twice),
		cmocka_unit_test(test_h24_length),
		cmocka_unit_test(test_h24_length_after_reuse),
		cmocka_unit_test(test_h24_used_jump),
		cmocka_unit_test(test_h29_event_never_moves),
		cmocka_unit_test(test_h05_used_entries_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
