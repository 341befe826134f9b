/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile device against the driver side of a ring: HOSTILE 14, 24 and 29, for every format that
 * can be lied in so. Every lie breaks the queue with the right reason, no token is ever given out
 * twice, and a broken queue touches nothing and still gives all its buffers back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_image.h"
#include "test_ring_mutator.h"

#define AVAIL VIO_DESC_F_AVAIL
#define USED  VIO_DESC_F_USED
#define WRITE VIO_DESC_F_WRITE
#define NUM   8u

static int token[NUM];
static struct vio_drvq_done done[64];
static uint16_t ids[4]; /* of the buffers in flight */

static void add(struct ring_image *im, unsigned out, unsigned in, unsigned i)
{
	static const struct vio_seg segs[3] = { { IMAGE_DATA, 100 },
						{ IMAGE_DATA + 0x1000, 100 },
						{ IMAGE_DATA + 0x2000, 100 } };
	struct vio_drvq_buf buf = { segs, (uint16_t)out, (uint16_t)in, &token[i] };

	assert_int_equal(vio_drvq_add_burst(im->drv, &buf, 1), 1);
}

/* Four buffers in flight: 0 out, 1 in, 2 in a table, 3 linked of two. */
static void fresh(void **state, struct ring_image *im)
{
	struct image_chain chain;
	unsigned i;

	image_open(im, NUM, ring_format(state) | RING_INDIRECT);
	image_driver_indirect(im, IMAGE_DATA + 0x8000, 3, 1);
	add(im, 1, 0, 0);
	add(im, 0, 1, 1);
	add(im, 2, 1, 2); /* takes the table */
	add(im, 1, 1, 3);
	vio_drvq_publish(im->drv);
	for (i = 0; i < 4; i++) {
		assert_true(image_next_chain(im, &chain));
		ids[i] = chain.id;
	}
	assert_int_equal(vio_drvq_free(im->drv), 3);
}

static int reap(struct ring_image *im)
{
	return vio_drvq_reap_burst(im->drv, done, 64);
}

/* The next reap breaks the queue for @why; @left buffers can be taken back. Closes the image. */
static void assert_breaks(struct ring_image *im, enum vio_vq_error why, unsigned left)
{
	void *before = image_snapshot(im);
	struct vio_seg seg = { IMAGE_DATA, 1 };
	struct vio_drvq_buf buf = { &seg, 1, 0, &token[0] };

	assert_int_equal(reap(im), -EPROTO);
	assert_string_equal(vio_vq_error_name(vio_drvq_error(im->drv)), vio_vq_error_name(why));
	assert_int_equal(reap(im), -EPROTO);
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
	const uint32_t bad[] = { NUM, 32768, 65535, 65536, 0x10001, UINT32_MAX, 0x80000000u };
	struct ring_image im;
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh(state, &im);
		if (im.packed && bad[i] > UINT16_MAX) {
			image_close(&im);
			continue;
		}
		image_make_used(&im, bad[i], 0);
		assert_true(vio_drvq_has_used(im.drv));
		assert_breaks(&im, VIO_VQ_BAD_ID, 4);
	}
}

static void test_h24_id_not_in_flight(void **state)
{
	struct ring_image im;
	unsigned id;

	/* In the middle of a chain, and such as were never used. */
	for (id = 4; id < NUM; id++) {
		fresh(state, &im);
		image_make_used(&im, id, 0);
		assert_true(vio_drvq_notify_enable(im.drv, 0));
		assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 4);
	}
}

static void test_h24_id_twice(void **state)
{
	struct ring_image im;

	/* In one burst: the first is delivered, then the queue breaks. */
	fresh(state, &im);
	image_make_used(&im, ids[0], 0);
	image_make_used(&im, ids[0], 0);
	assert_int_equal(reap(&im), 1);
	assert_ptr_equal(done[0].token, &token[0]);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_OK);
	assert_true(vio_drvq_has_used(im.drv));
	assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 3);
	/* In two. */
	fresh(state, &im);
	image_make_used(&im, ids[0], 0);
	assert_int_equal(reap(&im), 1);
	image_make_used(&im, ids[0], 0);
	assert_breaks(&im, VIO_VQ_NOT_IN_FLIGHT, 3);
}

/* Uses buffer @i, with those before it where they have to be. */
static void use(struct ring_image *im, unsigned i, uint32_t len)
{
	if (im->in_order)
		image_make_used_batch(im, ids[i], len, i + 1);
	else
		image_make_used(im, ids[i], len);
}

static void test_h24_length(void **state)
{
	static const uint32_t most[] = { 0, 100, 100, 100 };
	struct ring_image im;
	unsigned i;
	int n;

	for (i = 0; i < 4; i++) {
		fresh(state, &im);
		n = im.in_order ? (int)i + 1 : 1;
		use(&im, i, most[i]);
		assert_int_equal(reap(&im), n);
		assert_int_equal(done[n - 1].len, most[i]);
		image_close(&im);
		fresh(state, &im);
		use(&im, i, most[i] + 1);
		assert_breaks(&im, VIO_VQ_BAD_USED_LEN, 4);
		fresh(state, &im);
		use(&im, i, UINT32_MAX);
		assert_breaks(&im, VIO_VQ_BAD_USED_LEN, 4);
		fresh(state, &im);
		use(&im, i, 0);
		assert_int_equal(reap(&im), n);
		assert_int_equal(done[n - 1].len, 0);
		image_close(&im);
	}
}

/* A descriptor that was writable and is readable now takes no length any more. */
static void test_h24_length_after_reuse(void **state)
{
	struct ring_image im;
	unsigned i;

	image_open(&im, 1, ring_format(state));
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

	fresh(state, &im);
	im.used->idx = 5;
	assert_breaks(&im, VIO_VQ_USED_JUMP, 4);
	fresh(state, &im);
	im.used->idx = 65535; /* backwards */
	assert_breaks(&im, VIO_VQ_USED_JUMP, 4);
	fresh(state, &im);
	image_make_used(&im, ids[0], 0);
	image_make_used(&im, ids[1], 0);
	assert_int_equal(reap(&im), 2);
	im.used->idx = 1;
	assert_breaks(&im, VIO_VQ_USED_JUMP, 2);
}

/* What was added and not published cannot be used yet. */
static void test_h24_not_published(void **state)
{
	struct ring_image im;
	unsigned i;

	fresh(state, &im);
	for (i = 0; i < 4; i++)
		image_make_used(&im, ids[i], 0);
	assert_int_equal(reap(&im), 4);
	add(&im, 1, 0, 0);
	image_make_used(&im, 5, 0);
	if (!im.packed) {
		assert_breaks(&im, VIO_VQ_USED_JUMP, 1);
		return;
	}
	/* In a packed ring it has no place to be used in. */
	assert_false(vio_drvq_has_used(im.drv));
	assert_false(vio_drvq_notify_enable(im.drv, 0));
	assert_int_equal(reap(&im), 0);
	image_close(&im);
}

/* A chain of which only a part is published: nobody can know its id. */
static void test_h24_id_not_published(void **state)
{
	struct ring_image im;
	unsigned id;

	for (id = 1; id < 3; id++) {
		image_open(&im, NUM, ring_format(state));
		image_driver(&im);
		add(&im, 1, 0, 0);
		vio_drvq_publish(im.drv);
		add(&im, 1, 2, 1);
		image_make_used(&im, id, 0);
		assert_breaks(&im, id == 1 ? VIO_VQ_USED_JUMP : VIO_VQ_NOT_IN_FLIGHT, 2);
	}
}

/* IN_ORDER: an id that lies further ahead than the device has gone. */
static void test_h24_batch_beyond_index(void **state)
{
	struct ring_image im;

	fresh(state, &im);
	image_make_used(&im, ids[2], 0);
	assert_breaks(&im, VIO_VQ_USED_JUMP, 4);
	/* Behind a batch that is right. */
	fresh(state, &im);
	image_make_used_batch(&im, ids[1], 100, 2);
	image_make_used(&im, ids[3], 0);
	assert_int_equal(reap(&im), 2);
	assert_breaks(&im, VIO_VQ_USED_JUMP, 2);
}

/* IN_ORDER: a batch that was checked is delivered whatever the device does to its entry. */
static void test_h24_batch_rewritten(void **state)
{
	struct ring_image im;
	unsigned i;

	fresh(state, &im);
	image_make_used_batch(&im, ids[2], 70, 3);
	assert_int_equal(vio_drvq_reap_burst(im.drv, done, 1), 1);
	if (im.packed)
		for (i = 0; i < NUM; i++)
			im.pdesc[i] = (struct vio_pvirtq_desc){ 0, UINT32_MAX, 65535,
								PACKED_OWNER | WRITE };
	else
		memset(im.used->ring, 0xff, NUM * sizeof(*im.used->ring));
	assert_int_equal(vio_drvq_reap_burst(im.drv, done + 1, 2), 2);
	assert_int_equal(done[1].len, 100);
	assert_int_equal(done[2].len, 70);
	assert_ptr_equal(done[2].token, &token[2]);
	image_close(&im);
}

/* H14: only the USED bit of a descriptor is the device's to change. */
static void test_h14_flags(void **state)
{
	struct ring_image im;
	unsigned flags;

	for (flags = 0; flags < 4; flags++) {
		uint16_t bits = (uint16_t)((flags & 1 ? AVAIL : 0) | (flags & 2 ? USED : 0));

		fresh(state, &im);
		im.pdesc[0].flags = bits;
		im.pdesc[0].id = ids[0];
		if (bits == AVAIL) { /* as it was */
			assert_false(vio_drvq_has_used(im.drv));
			assert_int_equal(reap(&im), 0);
			image_close(&im);
		} else if (bits == PACKED_OWNER) {
			assert_int_equal(reap(&im), 1);
			image_close(&im);
		} else {
			assert_true(vio_drvq_has_used(im.drv));
			assert_true(vio_drvq_notify_enable(im.drv, 0));
			assert_breaks(&im, VIO_VQ_BAD_FLAGS, 4);
		}
	}
	/* Behind a good one, and in the other lap. */
	fresh(state, &im);
	image_make_used(&im, ids[0], 0);
	im.pdesc[1].flags = 0;
	assert_int_equal(reap(&im), 1);
	assert_breaks(&im, VIO_VQ_BAD_FLAGS, 3);
	image_open(&im, 1, ring_format(state));
	image_driver(&im);
	add(&im, 1, 0, 0);
	vio_drvq_publish(im.drv);
	image_make_used(&im, 0, 0);
	assert_int_equal(reap(&im), 1);
	add(&im, 1, 0, 0);
	vio_drvq_publish(im.drv);
	im.pdesc[0].flags = PACKED_OWNER;
	assert_int_equal(reap(&im), -EPROTO);
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_BAD_FLAGS);
	image_close(&im);
}

/* H14: what the driver wrote and the device rewrites, used or not, changes nothing for the driver. */
static void test_h14_rewritten(void **state)
{
	struct ring_image im;
	unsigned i;

	fresh(state, &im);
	for (i = 0; i < NUM; i++) {
		im.pdesc[i].addr = UINT64_MAX;
		im.pdesc[i].len = UINT32_MAX;
		im.pdesc[i].id = 0xeeee;
		im.pdesc[i].flags ^= VIO_DESC_F_NEXT | VIO_DESC_F_INDIRECT | WRITE;
	}
	assert_false(vio_drvq_has_used(im.drv));
	assert_int_equal(reap(&im), 0);
	for (i = 0; i < 4; i++)
		image_make_used(&im, ids[i], 0);
	assert_int_equal(reap(&im), 4);
	for (i = 0; i < 4; i++)
		assert_ptr_equal(done[i].token, &token[i]);
	assert_int_equal(vio_drvq_free(im.drv), NUM);
	image_close(&im);
}

/* H29: wherever the event of the device stands, even if it never moves, it decides kicks only. */
static void test_h29_event_never_moves(void **state)
{
	struct image_chain chain;
	struct ring_image im;
	uint32_t i, kicks = 0;

	image_open(&im, NUM, ring_format(state) | RING_EVENT_IDX);
	image_driver(&im);
	image_want_kick_at(&im, im.packed ? 5 : 1000);
	for (i = 0; i < 2 * 65536; i++) {
		add(&im, 1, 0, 0);
		kicks += vio_drvq_publish(im.drv);
		assert_true(image_next_chain(&im, &chain));
		image_make_used(&im, chain.id, 0);
		assert_int_equal(reap(&im), 1);
	}
	/* An index comes round after 2^16, a place in a packed ring after two laps. */
	assert_int_equal(kicks, im.packed ? 2 * 65536 / (2 * NUM) : 2);
	image_close(&im);
}

/* H29: events at places that there are not. */
static void test_h29_absurd_events(void **state)
{
	struct image_chain chain;
	struct ring_image im;
	uint32_t i;

	image_open(&im, NUM, ring_format(state) | RING_EVENT_IDX);
	image_driver(&im);
	for (i = 0; i < 65536; i++) {
		im.device_event->desc = (uint16_t)(i * 40503);
		im.device_event->flags = (uint16_t)(i * 7);
		add(&im, 1, 0, 0);
		vio_drvq_publish(im.drv);
		assert_true(image_next_chain(&im, &chain));
		image_make_used(&im, chain.id, 0);
		assert_int_equal(reap(&im), 1);
	}
	assert_int_equal(vio_drvq_error(im.drv), VIO_VQ_OK);
	image_close(&im);
}

/* ---- Used entries that change while they are read ------------------------------------------- */

static void rewrite(struct ring_image *im, uint32_t *seed)
{
	static const uint32_t lens[] = { 0, 100, 101, UINT32_MAX };
	static const uint16_t flags[] = {
		PACKED_OWNER, 0, PACKED_OWNER | WRITE, WRITE, AVAIL, USED
	};
	uint32_t r = rnd(seed);

	if (im->packed) {
		struct vio_pvirtq_desc *d = &im->pdesc[r % NUM];

		__atomic_store_n(&d->id, (uint16_t)((r >> 8) % (NUM + 1)), __ATOMIC_RELAXED);
		__atomic_store_n(&d->len, lens[(r >> 16) % 4], __ATOMIC_RELAXED);
		__atomic_store_n(&d->flags, flags[(r >> 20) % 6], __ATOMIC_RELAXED);
	} else {
		struct vio_virtq_used_elem *elem = &im->used->ring[r % NUM];
		struct vio_virtq_desc *d = &im->desc[(r >> 4) % NUM];

		__atomic_store_n(&elem->id, (r >> 8) % (NUM + 1), __ATOMIC_RELAXED);
		__atomic_store_n(&elem->len, lens[(r >> 16) % 4], __ATOMIC_RELAXED);
		/* The driver never believes its own descriptors either. */
		__atomic_store_n(&d->next, (uint16_t)r, __ATOMIC_RELAXED);
		__atomic_store_n(&d->len, r, __ATOMIC_RELAXED);
	}
}

static void test_h05_used_entries_change(void **state)
{
	struct ring_image im;
	struct mutator m = { .im = &im, .once = rewrite, .seed = 777 };
	bool out[NUM] = { false };
	unsigned round, i, good = 0, broken = 0;

	image_open(&im, NUM, ring_format(state) | RING_INDIRECT);
	image_driver_indirect(&im, IMAGE_DATA + 0x8000, 3, 1);
	mutator_start(&m);
	for (round = 0; round < 150000 || good == 0 || broken == 0; round++) {
		int n;

		for (i = 0; i < NUM && vio_drvq_free(im.drv) >= 3; i++) {
			if (out[i])
				continue;
			add(&im, i % 2, 1 + i % 3 / 2, i);
			out[i] = true;
		}
		vio_drvq_publish(im.drv);
		if (!im.packed)
			__atomic_store_n(&im.used->idx,
					 (uint16_t)(vio_drvq_avail_pos(im.drv) -
						    vio_drvq_in_flight(im.drv) + round % 2 + 1),
					 __ATOMIC_RELEASE);
		if (round % 4 == 0)
			vio_drvq_notify_enable(im.drv, (uint16_t)(round / 4 % NUM));
		n = reap(&im);
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
			assert_int_equal(vio_drvq_free(im.drv), NUM);
			if (!im.packed)
				im.used->idx = 0;
			image_driver_indirect(&im, IMAGE_DATA + 0x8000, 3, 1);
			broken++;
		}
	}
	mutator_stop(&m);
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_h24_id_out_of_range, RING_RUN_ALL),
		RING_TEST(test_h24_id_not_in_flight, RING_RUN_ALL),
		RING_TEST(test_h24_id_twice, RING_RUN_ALL),
		RING_TEST(test_h24_length, RING_RUN_ALL),
		RING_TEST(test_h24_length_after_reuse, RING_RUN_ALL),
		RING_TEST(test_h24_used_jump, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h24_not_published, RING_RUN_ALL),
		RING_TEST(test_h24_id_not_published, RING_RUN_ANY_PACKED),
		RING_TEST(test_h24_batch_beyond_index, RING_RUN_SPLIT_IN_ORDER),
		RING_TEST(test_h24_batch_rewritten, RING_RUN_IN_ORDER),
		RING_TEST(test_h14_flags, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_rewritten, RING_RUN_ANY_PACKED),
		RING_TEST(test_h29_event_never_moves, RING_RUN_ALL),
		RING_TEST(test_h29_absurd_events, RING_RUN_ANY_PACKED),
		RING_TEST(test_h05_used_entries_change, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
