/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver against the device side of a ring: HOSTILE 1-4 and 14, for every format that can
 * be lied in so. Whatever it writes, the queue breaks with the right reason, or goes on; nothing
 * outside the shared regions is handed out (guard pages lie around each), and a broken queue touches
 * nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

#define AVAIL VIO_DESC_F_AVAIL
#define USED  VIO_DESC_F_USED
#define NUM   8u

static void fresh(struct ring_image *im, uint64_t features)
{
	image_open(im, NUM, features);
	image_device_fresh(im);
}

/* The next pop breaks the queue for @why, and from then on nothing is touched. Closes the image. */
static void assert_breaks(struct ring_image *im, enum vio_vq_error why)
{
	void *before = image_snapshot(im);

	assert_int_equal(pop(im, 8), -EPROTO);
	assert_string_equal(vio_vq_error_name(vio_devq_error(im->dev)), vio_vq_error_name(why));
	assert_int_equal(pop(im, 8), -EPROTO);
	assert_false(vio_devq_has_avail(im->dev));
	assert_false(vio_devq_kick_enable(im->dev, 0));
	assert_int_equal(vio_devq_push_burst(im->dev, chains, 1), -EPROTO);
	assert_false(vio_devq_publish(im->dev));
	assert_true(image_unchanged(im, before));
	image_close(im);
}

/* A descriptor of this kind breaks a fresh queue for @why. */
static void one_breaks(void **state, uint64_t addr, uint32_t len, uint16_t flags,
		       enum vio_vq_error why)
{
	const uint64_t features = ring_format(state) | RING_INDIRECT;
	const struct vio_virtq_desc d[3] = { { IMAGE_DATA, 1, 0, 0 },
					     { IMAGE_DATA, 1, 0, 0 },
					     { addr, len, flags, 0 } };
	struct ring_image im;
	uint16_t id;

	fresh(&im, features);
	image_post(&im, d + 2, 1);
	assert_breaks(&im, why);
	/* A packed list is all of one kind. */
	if ((flags & TABLE) && (features & RING_PACKED))
		why = VIO_VQ_BAD_INDIRECT;
	/* As the second and as the third of a chain, and behind a good chain. */
	fresh(&im, features);
	image_post(&im, d + 1, 2);
	assert_breaks(&im, why);
	fresh(&im, features);
	id = image_post_one(&im, IMAGE_DATA, 100, 0);
	image_post(&im, d, 3);
	assert_int_equal(pop(&im, 8), 1);
	assert_int_equal(chains[0].id, id);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_OK);
	assert_breaks(&im, why);
}

static void test_h01_addresses(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{ 0, 1 },
		{ IMAGE_BASE - 1, 1 },
		{ IMAGE_BASE - 1, 2 },
		{ IMAGE_END, 1 },
		{ IMAGE_END - 1, 2 }, /* only its start lies inside */
		{ IMAGE_SEAM - 1, IMAGE_REGION + 2 },
		{ IMAGE_DATA, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 }, /* wraps */
		{ UINT64_MAX - 99, 200 },
		{ IMAGE_BASE - UINT32_MAX, UINT32_MAX },
		{ 1ull << 63, 0x10000 },
	};
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		one_breaks(state, bad[i].addr, bad[i].len, 0, VIO_VQ_BAD_ADDRESS);
		one_breaks(state, bad[i].addr, bad[i].len, WRITE, VIO_VQ_BAD_ADDRESS);
		if (bad[i].len >= 16 && bad[i].len < NUM * 16)
			one_breaks(state, bad[i].addr, bad[i].len / 16 * 16, TABLE,
				   VIO_VQ_BAD_ADDRESS);
	}
	/* A table of two entries of which only the first is inside. */
	one_breaks(state, IMAGE_END - 16, 32, TABLE, VIO_VQ_BAD_ADDRESS);
	one_breaks(state, UINT64_MAX - 15, 32, TABLE, VIO_VQ_BAD_ADDRESS);
}

/* With no memory at all nothing is inside. */
static void test_h01_no_regions(void **state)
{
	struct ring_image im;
	struct vio_mem *none = calloc(1, vio_mem_bytes(0));

	fresh(&im, ring_format(state));
	image_post_one(&im, IMAGE_DATA, 100, 0);
	assert_int_equal(vio_mem_init(none, NULL, 0), 0);
	assert_int_equal(vio_devq_pop_burst(im.dev, none, chains, 8, pool, POOL_LEN), -EPROTO);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_BAD_ADDRESS);
	image_close(&im);
	free(none);
}

/* Also H14: an empty table is not a chain of nothing that could be taken for ever. */
static void test_h02_indirect_length(void **state)
{
	one_breaks(state, IMAGE_DATA, 0, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, 1, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, 15, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, 40, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, (NUM + 1) * 16, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, 0xfffffff0u, TABLE, VIO_VQ_BAD_INDIRECT);
}

static void test_h02_indirect_next(void **state)
{
	one_breaks(state, IMAGE_DATA, 32, TABLE | NEXT, VIO_VQ_BAD_INDIRECT);
	one_breaks(state, IMAGE_DATA, 32, TABLE | NEXT | WRITE, VIO_VQ_BAD_INDIRECT);
}

static void test_h02_indirect_not_negotiated(void **state)
{
	struct ring_image im;

	fresh(&im, ring_format(state));
	image_post_one(&im, IMAGE_DATA, 16, TABLE);
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
}

/* A table of @n entries at IMAGE_DATA, which the caller changes. */
static struct vio_virtq_desc *table_of(void **state, struct ring_image *im, unsigned n)
{
	struct vio_virtq_desc *table;

	fresh(im, ring_format(state) | RING_INDIRECT);
	image_post_one(im, IMAGE_DATA, n * 16, TABLE);
	table = image_at(im, IMAGE_DATA);
	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vio_virtq_desc){ IMAGE_DATA + 0x1000, 1,
						    (uint16_t)(i + 1 < n && !im->packed ? NEXT : 0),
						    (uint16_t)(im->packed ? 0 : i + 1) };
	return table;
}

/* An entry's flags and, packed, that it has them in another place. */
static void set_entry_flags(const struct ring_image *im, struct vio_virtq_desc *entry,
			    uint16_t flags)
{
	if (im->packed)
		((struct vio_pvirtq_desc *)(void *)entry)->flags |= flags;
	else
		entry->flags |= flags;
}

static void test_h02_indirect_nested(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table;

	table = table_of(state, &im, 2);
	table[0] = (struct vio_virtq_desc){ IMAGE_DATA, 16, TABLE, 0 };
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
	table = table_of(state, &im, 2);
	table[1] = (struct vio_virtq_desc){ IMAGE_DATA, 32, TABLE, 0 };
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
}

/* What is not WRITE means nothing in a packed table (virtio 1.4, 2.8.7): nothing is nested. */
static void test_h02_indirect_flags(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table = table_of(state, &im, 3);
	unsigned i;

	for (i = 0; i < 3; i++)
		set_entry_flags(&im, &table[i], 0xffff & ~WRITE);
	assert_int_equal(pop(&im, 8), 1);
	assert_int_equal(chains[0].out_num, 3);
	assert_int_equal(chains[0].in_num, 0);
	image_close(&im);
}

static void test_h02_indirect_links(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table;

	table = table_of(state, &im, 3);
	table[1].next = 3; /* past the table, though not past the queue */
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
	table = table_of(state, &im, 3);
	table[2].flags = NEXT;
	table[2].next = 0;
	assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
}

static void test_h02_indirect_entries(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table;

	table = table_of(state, &im, 3);
	table[1].len = 0;
	assert_breaks(&im, VIO_VQ_ZERO_LENGTH);
	table = table_of(state, &im, 3);
	set_entry_flags(&im, &table[0], WRITE);
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
	table = table_of(state, &im, 3);
	table[2].addr = IMAGE_END;
	assert_breaks(&im, VIO_VQ_BAD_ADDRESS);
}

/* A table may have as many entries as the queue; linked descriptors and a table together too. */
static void test_h02_indirect_longer_than_queue(void **state)
{
	struct ring_image im;

	table_of(state, &im, NUM);
	assert_int_equal(pop(&im, 8), 1);
	assert_int_equal(chains[0].out_num, NUM);
	if (!im.packed) {
		image_close(&im);
		table_of(state, &im, NUM);
		image_desc(&im, 1, IMAGE_DATA, 1, NEXT, 0);
		im.avail->ring[0] = 1;
		assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
		return;
	}
	image_close(&im);
}

static void test_h03_chain_loop(void **state)
{
	struct ring_image im;
	unsigned i;

	for (i = 1; i <= NUM; i++) {
		fresh(&im, ring_format(state));
		for (unsigned j = 0; j < i; j++)
			image_desc(&im, j, IMAGE_DATA, 1, NEXT, (uint16_t)((j + 1) % i));
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
	}
}

/* A packed list that goes all round the ring, or into what is in flight, the flags being right. */
static void test_h03_list_longer_than_queue(void **state)
{
	struct ring_image im;
	unsigned i, in_flight, round;

	for (round = 0; round < 2 * NUM; round++) {
		in_flight = round / 2;
		fresh(&im, ring_format(state));
		for (i = 0; i < in_flight; i++)
			image_post_one(&im, IMAGE_DATA, 1, 0);
		assert_int_equal(pop(&im, 8), in_flight);
		for (i = in_flight; i < NUM; i++)
			image_post_one(&im, IMAGE_DATA, 1, NEXT);
		for (i = 0; i < in_flight; i++)
			im.pdesc[i].flags = NEXT | USED;
		/* Which may have an end as well. */
		if (in_flight > 0)
			im.pdesc[in_flight - 1].flags = round % 2 ? NEXT | USED : USED;
		assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
	}
}

static void test_h03_next_out_of_range(void **state)
{
	struct ring_image im;
	uint16_t next[] = { NUM, NUM + 1, 32768, 65535 };
	struct vio_virtq_desc *desc;
	unsigned i;

	for (i = 0; i < 4; i++) {
		fresh(&im, ring_format(state));
		image_desc(&im, 0, IMAGE_DATA, 1, NEXT, next[i]);
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
		fresh(&im, ring_format(state));
		image_desc(&im, 0, IMAGE_DATA, 1, NEXT, 1);
		image_desc(&im, 1, IMAGE_DATA, 1, NEXT, next[i]);
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
		/* Where nothing lies behind the table. */
		fresh(&im, ring_format(state));
		desc = (void *)(im.high + IMAGE_REGION - NUM * sizeof(*desc));
		im.areas.desc = desc;
		image_device(&im, 0);
		desc[0] = (struct vio_virtq_desc){ IMAGE_DATA, 1, NEXT, next[i] };
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
	}
}

/* A packed ring that ends where memory does: a list wraps, it does not go on. */
static void test_h03_list_at_end_of_memory(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc two[2] = { { IMAGE_DATA, 1, 0, 0 }, { IMAGE_DATA, 2, 0, 0 } };
	unsigned i;

	fresh(&im, ring_format(state));
	im.pdesc = (void *)(im.high + IMAGE_REGION - NUM * sizeof(*im.pdesc));
	im.areas.desc = im.pdesc;
	image_device_fresh(&im);
	image_post_one(&im, IMAGE_DATA, 1, 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(pop(&im, 8), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		vio_devq_publish(im.dev);
		image_post(&im, two, 2);
	}
	image_close(&im);
}

static void test_h03_order(void **state)
{
	static const struct vio_virtq_desc two[2] = { { IMAGE_DATA, 1, WRITE, 0 },
						      { IMAGE_DATA, 1, 0, 0 } };
	static const struct vio_virtq_desc three[3] = { { IMAGE_DATA, 1, 0, 0 },
							{ IMAGE_DATA, 1, WRITE, 0 },
							{ IMAGE_DATA, 1, 0, 0 } };
	struct ring_image im;

	fresh(&im, ring_format(state));
	image_post(&im, two, 2);
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
	fresh(&im, ring_format(state));
	image_post(&im, three, 3);
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
}

static void test_h03_zero_length(void **state)
{
	one_breaks(state, IMAGE_DATA, 0, 0, VIO_VQ_ZERO_LENGTH);
	one_breaks(state, IMAGE_DATA, 0, WRITE, VIO_VQ_ZERO_LENGTH);
}

static void test_h03_head_out_of_range(void **state)
{
	struct ring_image im;
	uint16_t head[] = { NUM, 32768, 65535 };
	unsigned i;

	for (i = 0; i < 3; i++) {
		fresh(&im, ring_format(state));
		image_make_avail(&im, head[i]);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
	}
}

static void test_h03_same_head_twice(void **state)
{
	struct ring_image im;

	/* One after the other is right; both at once is not. */
	fresh(&im, ring_format(state));
	image_desc(&im, 3, IMAGE_DATA, 100, 0, 0);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im, 8), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	image_make_avail(&im, 3);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im, 8), 1);
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
	fresh(&im, ring_format(state));
	image_desc(&im, 3, IMAGE_DATA, 100, 0, 0);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im, 8), 1);
	image_make_avail(&im, 3);
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
}

/* 4 GiB in one buffer: more than a used length can say. */
static void test_h03_too_long(void **state)
{
	static const struct vio_virtq_desc d[3] = { { 0, UINT32_MAX, 0, 0 },
						    { 0, 1, WRITE, 0 },
						    { 0, 1, WRITE, 0 } };
	struct vio_mem *mem = calloc(1, vio_mem_bytes(1));
	struct vio_mem_region region = { 0, 1ull << 32, 0, NULL };
	struct ring_image im;
	unsigned pieces;

	/* The region is never touched: no memory need stand behind it. */
	for (pieces = 2; pieces <= 3; pieces++) {
		fresh(&im, ring_format(state));
		region.host = im.low;
		assert_int_equal(vio_mem_init(mem, &region, 1), 0);
		image_post(&im, d, pieces);
		assert_int_equal(vio_devq_pop_burst(im.dev, mem, chains, 8, pool, POOL_LEN),
				 -EPROTO);
		assert_int_equal(vio_devq_error(im.dev), VIO_VQ_TOO_LONG);
		image_close(&im);
	}
	free(mem);
}

/* Regions that touch make more pieces than descriptors, up to a limit. */
static void test_h03_too_many_pieces(void **state)
{
	struct vio_mem_region regions[128];
	struct vio_mem *mem = calloc(1, vio_mem_bytes(128));
	struct ring_image im;
	unsigned i, most = vio_devq_pool_min(NUM) - 1;

	fresh(&im, ring_format(state));
	for (i = 0; i < 128; i++)
		regions[i] = (struct vio_mem_region){ 0x1000 + i, 1, 0,
						      (char *)image_at(&im, IMAGE_DATA) + 2 * i };
	assert_int_equal(vio_mem_init(mem, regions, 128), 0);
	image_post_one(&im, 0x1000, most, 0);
	image_post_one(&im, 0x1000, most + 1, 0);
	/* No room is not an error while the pool is smaller than it has to be. */
	assert_int_equal(vio_devq_pop_burst(im.dev, mem, chains, 8, pool, most), 0);
	assert_int_equal(vio_devq_pop_burst(im.dev, mem, chains, 8, pool, most + 1), 1);
	assert_int_equal(chains[0].out_num, most);
	assert_int_equal(chains[0].out_len, most);
	assert_int_equal(vio_devq_pop_burst(im.dev, mem, chains, 8, pool, most + 1), -EPROTO);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_TOO_LONG);
	image_close(&im);
	free(mem);
}

static void test_h04_avail_jump(void **state)
{
	struct ring_image im;
	unsigned i;

	/* From the start, and with buffers in flight. */
	fresh(&im, ring_format(state));
	im.avail->idx = NUM + 1;
	assert_true(vio_devq_has_avail(im.dev));
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(vio_devq_avail_count(im.dev), NUM);
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
	fresh(&im, ring_format(state));
	for (i = 0; i < NUM; i++)
		image_post_one(&im, IMAGE_DATA, 100, 0);
	assert_int_equal(pop(&im, 8), NUM);
	vio_devq_push_burst(im.dev, chains, 2);
	im.avail->idx = NUM + 2;
	im.avail->ring[0] = 0;
	im.avail->ring[1] = 1;
	assert_int_equal(pop(&im, 8), 2);
	im.avail->idx = NUM + 3;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
}

static void test_h04_avail_backwards(void **state)
{
	struct ring_image im;

	fresh(&im, ring_format(state));
	image_post_one(&im, IMAGE_DATA, 100, 0);
	image_post_one(&im, IMAGE_DATA, 100, 0);
	assert_int_equal(pop(&im, 8), 2);
	im.avail->idx = 1;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
	fresh(&im, ring_format(state));
	im.avail->idx = 65535;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
}

/* All descriptors in flight and made available anew: none is taken twice. */
static void test_h04_more_than_the_ring(void **state)
{
	struct vio_chain held[2];
	struct ring_image im;
	unsigned i;

	fresh(&im, ring_format(state) | RING_EVENT_IDX);
	for (i = 0; i < 2 * NUM; i++)
		image_post_one(&im, IMAGE_DATA, 100, 0);
	for (i = 0; i < NUM; i++)
		im.pdesc[i].flags = AVAIL;
	assert_int_equal(pop(&im, 8), NUM);
	memcpy(held, chains, sizeof(held));
	for (i = 0; i < NUM; i++)
		im.pdesc[i].flags = USED;
	assert_int_equal(pop(&im, 8), 0);
	assert_false(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev), 0);
	assert_false(vio_devq_kick_enable(im.dev, 100));
	assert_int_equal(vio_devq_in_flight(im.dev), NUM);
	vio_devq_push_burst(im.dev, held, 2);
	assert_int_equal(pop(&im, 8), 1 + im.in_order);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_OK);
	image_close(&im);
}

/* ---- Flags of a packed ring (HOSTILE 14) ----------------------------------------------------- */

/* Used in this very lap, without us. */
static void test_h14_used_ahead(void **state)
{
	struct ring_image im;

	fresh(&im, ring_format(state));
	im.pdesc[0].flags = PACKED_OWNER;
	assert_true(vio_devq_has_avail(im.dev));
	assert_int_equal(vio_devq_avail_count(im.dev) > 0, true);
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_breaks(&im, VIO_VQ_BAD_FLAGS);
	/* Behind a good one. */
	fresh(&im, ring_format(state));
	image_post_one(&im, IMAGE_DATA, 100, 0);
	im.pdesc[1].flags = PACKED_OWNER | WRITE;
	assert_int_equal(pop(&im, 8), 1);
	assert_breaks(&im, VIO_VQ_BAD_FLAGS);
	/* In the other lap. */
	image_open(&im, NUM, ring_format(state));
	image_device(&im, 0x00030003);
	im.pdesc[3].flags = WRITE;
	assert_breaks(&im, VIO_VQ_BAD_FLAGS);
}

/* The bits of another lap, in all states, are not available, whatever else is in the flags. */
static void test_h14_wrap_flipped(void **state)
{
	struct ring_image im;
	unsigned flags;

	fresh(&im, ring_format(state));
	im.pdesc[0] = (struct vio_pvirtq_desc){ IMAGE_DATA, 1, 0, 0 };
	for (flags = 0; flags < 0x10000; flags++) {
		im.pdesc[0].flags = (uint16_t)flags;
		if ((flags & PACKED_OWNER) == AVAIL)
			continue;
		if ((flags & PACKED_OWNER) == PACKED_OWNER) {
			assert_int_equal(pop(&im, 8), -EPROTO);
			assert_int_equal(vio_devq_error(im.dev), VIO_VQ_BAD_FLAGS);
			image_device_fresh(&im);
		} else {
			assert_int_equal(pop(&im, 8), 0);
			assert_false(vio_devq_has_avail(im.dev));
		}
	}
	image_close(&im);
}

/* In the middle of a list every descriptor has to be available. */
static void test_h14_list_not_available(void **state)
{
	static const uint16_t wrong[] = { 0, USED, PACKED_OWNER };
	struct vio_virtq_desc d[4] = { { IMAGE_DATA, 1, 0, 0 },
				       { IMAGE_DATA, 1, 0, 0 },
				       { IMAGE_DATA, 1, 0, 0 },
				       { IMAGE_DATA, 1, 0, 0 } };
	struct ring_image im;
	unsigned i, at;

	for (at = 1; at < 4; at++)
		for (i = 0; i < 3; i++) {
			fresh(&im, ring_format(state));
			image_post(&im, d, 4);
			im.pdesc[at].flags =
				(uint16_t)((im.pdesc[at].flags & ~PACKED_OWNER) | wrong[i]);
			assert_breaks(&im, VIO_VQ_BAD_FLAGS);
		}
	/* And after the wrap in the flags of the next lap. */
	fresh(&im, ring_format(state));
	for (i = 0; i < 6; i++)
		image_post_one(&im, IMAGE_DATA, 1, 0);
	assert_int_equal(pop(&im, 8), 6);
	vio_devq_push_burst(im.dev, chains, 6);
	image_post(&im, d, 4);
	im.pdesc[0].flags = NEXT | AVAIL;
	assert_breaks(&im, VIO_VQ_BAD_FLAGS);
}

/* What was published and is rewritten: either it was taken, and then as it was, or it is as new. */
static void test_h14_rewritten_after_publication(void **state)
{
	struct image_used used;
	struct ring_image im;
	uint16_t id;

	fresh(&im, ring_format(state));
	id = image_post_one(&im, IMAGE_DATA, 100, WRITE);
	assert_true(vio_devq_has_avail(im.dev));
	im.pdesc[0].flags = 0;
	assert_int_equal(pop(&im, 8), 0);
	im.pdesc[0].flags = AVAIL | WRITE;
	assert_int_equal(pop(&im, 8), 1);
	im.pdesc[0] = (struct vio_pvirtq_desc){ IMAGE_END, 0, 9999, NEXT | PACKED_OWNER };
	im.pdesc[1] = (struct vio_pvirtq_desc){ IMAGE_END, 0, 9999, 0 };
	assert_int_equal(chains[0].in_len, 100);
	assert_ptr_equal(chains[0].iov->base, image_at(&im, IMAGE_DATA));
	chains[0].written = 50;
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_true(image_take_used(&im, &used));
	assert_int_equal(used.id, id);
	assert_int_equal(used.len, 50);
	assert_int_equal(pop(&im, 8), 0);
	image_close(&im);
}

/* Ids are the driver's own: out of range, or the same twice, they come back as they are. */
static void test_h14_ids(void **state)
{
	static const uint16_t ids[] = { 0, 7, 8, 7, 7, 65535, 32768, 0 };
	struct ring_image im;
	unsigned i;

	fresh(&im, ring_format(state));
	for (i = 0; i < NUM; i++) {
		image_post_one(&im, IMAGE_DATA, 100, WRITE);
		im.pdesc[i].id = ids[i];
	}
	assert_int_equal(pop(&im, 8), NUM);
	for (i = 0; i < NUM; i++)
		chains[i].written = i + 1;
	vio_devq_push_burst(im.dev, chains, NUM);
	vio_devq_publish(im.dev);
	for (i = 0; i < NUM; i++) {
		assert_int_equal(im.pdesc[i].id, ids[i]);
		assert_int_equal(im.pdesc[i].len, i + 1);
	}
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_h01_addresses, RING_RUN_ALL),
		RING_TEST(test_h01_no_regions, RING_RUN_ALL),
		RING_TEST(test_h02_indirect_length, RING_RUN_ALL),
		RING_TEST(test_h02_indirect_next, RING_RUN_ALL),
		RING_TEST(test_h02_indirect_not_negotiated, RING_RUN_ALL),
		RING_TEST(test_h02_indirect_nested, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h02_indirect_flags, RING_RUN_ANY_PACKED),
		RING_TEST(test_h02_indirect_links, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h02_indirect_entries, RING_RUN_ALL),
		RING_TEST(test_h02_indirect_longer_than_queue, RING_RUN_ALL),
		RING_TEST(test_h03_chain_loop, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h03_list_longer_than_queue, RING_RUN_ANY_PACKED),
		RING_TEST(test_h03_next_out_of_range, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h03_list_at_end_of_memory, RING_RUN_ANY_PACKED),
		RING_TEST(test_h03_order, RING_RUN_ALL),
		RING_TEST(test_h03_zero_length, RING_RUN_ALL),
		RING_TEST(test_h03_head_out_of_range, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h03_same_head_twice, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h03_too_long, RING_RUN_ALL),
		RING_TEST(test_h03_too_many_pieces, RING_RUN_ALL),
		RING_TEST(test_h04_avail_jump, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h04_avail_backwards, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h04_more_than_the_ring, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_used_ahead, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_wrap_flipped, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_list_not_available, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_rewritten_after_publication, RING_RUN_ANY_PACKED),
		RING_TEST(test_h14_ids, RING_RUN_ANY_PACKED),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
