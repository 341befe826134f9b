/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver against the device side of the split ring: HOSTILE 1-5, 12, 13 and 29. Whatever
 * it writes, the queue breaks with the right reason, or goes on; nothing outside the shared regions
 * is handed out (guard pages lie around each), and a broken queue touches nothing.
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

#define NEXT	 VIO_DESC_F_NEXT
#define WRITE	 VIO_DESC_F_WRITE
#define TABLE	 VIO_DESC_F_INDIRECT
#define NUM	 8u
#define POOL_LEN 256

static struct vio_chain chains[64];
static struct vio_iov pool[POOL_LEN];

static int pop(struct ring_image *im)
{
	return vio_devq_pop_burst(im->dev, im->mem, chains, 8, pool, POOL_LEN);
}

static void fresh(struct ring_image *im, uint64_t features)
{
	unsigned i;

	image_open(im, NUM, features);
	image_device(im, 0);
	for (i = 0; i < NUM; i++)
		image_desc(im, i, IMAGE_DATA + i * 0x1000, 100, 0, 0);
}

/* The next pop breaks the queue for @why, and from then on nothing is touched. Closes the image. */
static void assert_breaks(struct ring_image *im, enum vio_vq_error why)
{
	void *before = image_snapshot(im);

	assert_int_equal(pop(im), -EPROTO);
	assert_string_equal(vio_vq_error_name(vio_devq_error(im->dev)), vio_vq_error_name(why));
	assert_int_equal(pop(im), -EPROTO);
	assert_false(vio_devq_has_avail(im->dev));
	assert_false(vio_devq_kick_enable(im->dev, 0));
	assert_int_equal(vio_devq_push_burst(im->dev, chains, 1), -EPROTO);
	assert_false(vio_devq_publish(im->dev));
	assert_true(image_unchanged(im, before));
	image_close(im);
}

/* One descriptor as given, at head 0, breaks a fresh queue for @why. */
static void one_breaks(uint64_t addr, uint32_t len, uint16_t flags, enum vio_vq_error why)
{
	struct ring_image im;

	fresh(&im, INDIRECT);
	image_desc(&im, 0, addr, len, flags, 1);
	image_make_avail(&im, 0);
	assert_breaks(&im, why);
	/* As the second and as the third of a chain, and behind a good chain. */
	fresh(&im, INDIRECT);
	image_desc(&im, 0, IMAGE_DATA, 1, NEXT, 1);
	image_desc(&im, 1, addr, len, flags, 2);
	image_make_avail(&im, 0);
	assert_breaks(&im, why);
	fresh(&im, INDIRECT);
	image_desc(&im, 0, IMAGE_DATA, 1, NEXT, 1);
	image_desc(&im, 1, IMAGE_DATA, 1, NEXT, 3);
	image_desc(&im, 3, addr, len, flags, 4);
	image_make_avail(&im, 2);
	image_make_avail(&im, 0);
	assert_int_equal(pop(&im), 1);
	assert_int_equal(chains[0].id, 2);
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

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		one_breaks(bad[i].addr, bad[i].len, 0, VIO_VQ_BAD_ADDRESS);
		one_breaks(bad[i].addr, bad[i].len, WRITE, VIO_VQ_BAD_ADDRESS);
		if (bad[i].len >= 16 && bad[i].len < NUM * 16)
			one_breaks(bad[i].addr, bad[i].len / 16 * 16, TABLE, VIO_VQ_BAD_ADDRESS);
	}
	/* A table of two entries of which only the first is inside. */
	one_breaks(IMAGE_END - 16, 32, TABLE, VIO_VQ_BAD_ADDRESS);
	one_breaks(UINT64_MAX - 15, 32, TABLE, VIO_VQ_BAD_ADDRESS);
}

/* With no memory at all nothing is inside. */
static void test_h01_no_regions(void **state)
{
	struct ring_image im;
	struct vio_mem *none = calloc(1, vio_mem_bytes(0));

	(void)state;
	fresh(&im, 0);
	image_make_avail(&im, 0);
	assert_int_equal(vio_mem_init(none, NULL, 0), 0);
	assert_int_equal(vio_devq_pop_burst(im.dev, none, chains, 8, pool, POOL_LEN), -EPROTO);
	assert_int_equal(vio_devq_error(im.dev), VIO_VQ_BAD_ADDRESS);
	image_close(&im);
	free(none);
}

static void test_h02_indirect_length(void **state)
{
	(void)state;
	one_breaks(IMAGE_DATA, 0, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, 1, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, 15, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, 40, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, (NUM + 1) * 16, TABLE, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, 0xfffffff0u, TABLE, VIO_VQ_BAD_INDIRECT);
}

static void test_h02_indirect_next(void **state)
{
	(void)state;
	one_breaks(IMAGE_DATA, 32, TABLE | NEXT, VIO_VQ_BAD_INDIRECT);
	one_breaks(IMAGE_DATA, 32, TABLE | NEXT | WRITE, VIO_VQ_BAD_INDIRECT);
}

static void test_h02_indirect_not_negotiated(void **state)
{
	struct ring_image im;

	(void)state;
	fresh(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 16, TABLE, 0);
	image_make_avail(&im, 0);
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
}

/* Head 0 is a table of @n entries at IMAGE_DATA, which the caller fills in. */
static struct vio_virtq_desc *table_of(struct ring_image *im, unsigned n)
{
	struct vio_virtq_desc *table;

	fresh(im, INDIRECT);
	image_desc(im, 0, IMAGE_DATA, n * 16, TABLE, 0);
	image_make_avail(im, 0);
	table = image_at(im, IMAGE_DATA);
	for (unsigned i = 0; i < n; i++)
		table[i] = (struct vio_virtq_desc){ IMAGE_DATA + 0x1000, 1,
						    (uint16_t)(i + 1 < n ? NEXT : 0),
						    (uint16_t)(i + 1) };
	return table;
}

static void test_h02_indirect_nested(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table;

	(void)state;
	table = table_of(&im, 2);
	table[0] = (struct vio_virtq_desc){ IMAGE_DATA, 16, TABLE, 0 };
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
	table = table_of(&im, 2);
	table[1] = (struct vio_virtq_desc){ IMAGE_DATA, 32, TABLE, 0 };
	assert_breaks(&im, VIO_VQ_BAD_INDIRECT);
}

static void test_h02_indirect_entries(void **state)
{
	struct ring_image im;
	struct vio_virtq_desc *table;

	(void)state;
	table = table_of(&im, 3);
	table[1].next = 3; /* past the table, though not past the queue */
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
	table = table_of(&im, 3);
	table[2].flags = NEXT;
	table[2].next = 0;
	assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
	table = table_of(&im, 3);
	table[1].len = 0;
	assert_breaks(&im, VIO_VQ_ZERO_LENGTH);
	table = table_of(&im, 3);
	table[0].flags |= WRITE;
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
	table = table_of(&im, 3);
	table[2].addr = IMAGE_END;
	assert_breaks(&im, VIO_VQ_BAD_ADDRESS);
}

/* Linked descriptors and a table together longer than the queue. */
static void test_h02_indirect_longer_than_queue(void **state)
{
	struct ring_image im;

	(void)state;
	table_of(&im, NUM);
	assert_int_equal(pop(&im), 1);
	assert_int_equal(chains[0].out_num, NUM);
	image_close(&im);
	table_of(&im, NUM);
	image_desc(&im, 1, IMAGE_DATA, 1, NEXT, 0);
	im.avail->ring[0] = 1;
	assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
}

static void test_h03_chain_loop(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	for (i = 1; i <= NUM; i++) {
		fresh(&im, 0);
		for (unsigned j = 0; j < i; j++)
			image_desc(&im, j, IMAGE_DATA, 1, NEXT, (uint16_t)((j + 1) % i));
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_CHAIN_LOOP);
	}
}

static void test_h03_next_out_of_range(void **state)
{
	struct ring_image im;
	uint16_t next[] = { NUM, NUM + 1, 32768, 65535 };
	struct vio_virtq_desc *desc;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		fresh(&im, 0);
		image_desc(&im, 0, IMAGE_DATA, 1, NEXT, next[i]);
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
		fresh(&im, 0);
		image_desc(&im, 0, IMAGE_DATA, 1, NEXT, 1);
		image_desc(&im, 1, IMAGE_DATA, 1, NEXT, next[i]);
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
		/* Where nothing lies behind the table. */
		fresh(&im, 0);
		desc = (void *)(im.high + IMAGE_REGION - NUM * sizeof(*desc));
		im.areas.desc = desc;
		image_device(&im, 0);
		desc[0] = (struct vio_virtq_desc){ IMAGE_DATA, 1, NEXT, next[i] };
		image_make_avail(&im, 0);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
	}
}

static void test_h03_order(void **state)
{
	struct ring_image im;

	(void)state;
	fresh(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, NEXT | WRITE, 1);
	image_desc(&im, 1, IMAGE_DATA, 1, 0, 0);
	image_make_avail(&im, 0);
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
	fresh(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, NEXT, 1);
	image_desc(&im, 1, IMAGE_DATA, 1, NEXT | WRITE, 2);
	image_desc(&im, 2, IMAGE_DATA, 1, 0, 0);
	image_make_avail(&im, 0);
	assert_breaks(&im, VIO_VQ_BAD_ORDER);
}

static void test_h03_zero_length(void **state)
{
	(void)state;
	one_breaks(IMAGE_DATA, 0, 0, VIO_VQ_ZERO_LENGTH);
	one_breaks(IMAGE_DATA, 0, WRITE, VIO_VQ_ZERO_LENGTH);
}

static void test_h03_head_out_of_range(void **state)
{
	struct ring_image im;
	uint16_t head[] = { NUM, 32768, 65535 };
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		fresh(&im, 0);
		image_make_avail(&im, head[i]);
		assert_breaks(&im, VIO_VQ_BAD_HEAD);
	}
}

static void test_h03_same_head_twice(void **state)
{
	struct ring_image im;

	(void)state;
	/* One after the other is right; both at once is not. */
	fresh(&im, 0);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	image_make_avail(&im, 3);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im), 1);
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
	fresh(&im, 0);
	image_make_avail(&im, 3);
	assert_int_equal(pop(&im), 1);
	image_make_avail(&im, 3);
	assert_breaks(&im, VIO_VQ_BAD_HEAD);
}

/* 4 GiB in one buffer: more than a used length can say. */
static void test_h03_too_long(void **state)
{
	struct vio_mem *mem = calloc(1, vio_mem_bytes(1));
	struct vio_mem_region region = { 0, 1ull << 32, 0, NULL };
	struct ring_image im;
	unsigned i, pieces;

	(void)state;
	/* The region is never touched: no memory need stand behind it. */
	for (pieces = 2; pieces <= 3; pieces++) {
		fresh(&im, 0);
		region.host = im.low;
		assert_int_equal(vio_mem_init(mem, &region, 1), 0);
		for (i = 0; i < pieces; i++)
			image_desc(&im, i, 0, i == 0 ? UINT32_MAX : 1,
				   i + 1 < pieces ? NEXT : WRITE, (uint16_t)(i + 1));
		image_make_avail(&im, 0);
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

	(void)state;
	fresh(&im, 0);
	for (i = 0; i < 128; i++)
		regions[i] = (struct vio_mem_region){ 0x1000 + i, 1, 0,
						      (char *)image_at(&im, IMAGE_DATA) + 2 * i };
	assert_int_equal(vio_mem_init(mem, regions, 128), 0);
	image_desc(&im, 0, 0x1000, most, 0, 0);
	image_desc(&im, 1, 0x1000, most + 1, 0, 0);
	image_make_avail(&im, 0);
	image_make_avail(&im, 1);
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

	(void)state;
	/* From the start, and with buffers in flight. */
	fresh(&im, 0);
	im.avail->idx = NUM + 1;
	assert_true(vio_devq_has_avail(im.dev));
	assert_true(vio_devq_kick_enable(im.dev, 0));
	assert_int_equal(vio_devq_avail_count(im.dev), NUM);
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
	fresh(&im, 0);
	for (i = 0; i < NUM; i++)
		image_make_avail(&im, (uint16_t)i);
	assert_int_equal(pop(&im), NUM);
	vio_devq_push_burst(im.dev, chains, 2);
	im.avail->idx = NUM + 2;
	im.avail->ring[0] = 0;
	im.avail->ring[1] = 1;
	assert_int_equal(pop(&im), 2);
	im.avail->idx = NUM + 3;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
}

static void test_h04_avail_backwards(void **state)
{
	struct ring_image im;

	(void)state;
	fresh(&im, 0);
	image_make_avail(&im, 0);
	image_make_avail(&im, 1);
	assert_int_equal(pop(&im), 2);
	im.avail->idx = 1;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
	fresh(&im, 0);
	im.avail->idx = 65535;
	assert_breaks(&im, VIO_VQ_AVAIL_JUMP);
}

static void test_h12_geometry(void **state)
{
	struct ring_image im;
	struct vio_devq_setup s;
	struct vio_devq *q;
	const uint32_t bad[] = { 0, 3, 6, 65536, 65535, 1u << 31 };
	unsigned i;

	(void)state;
	fresh(&im, 0);
	s = (struct vio_devq_setup){ .areas = im.areas };
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s.num = bad[i];
		assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	}
	s.num = NUM;
	s.base = 65536;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.base = 0;
	s.features = 1ull << VIO_F_RING_PACKED;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EOPNOTSUPP);
	s.features = 1ull << VIO_F_IN_ORDER;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EOPNOTSUPP);
	s.features = 0;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), 0);
	image_close(&im);
}

static void test_h12_areas(void **state)
{
	struct ring_image im;
	struct vio_devq_setup s;
	struct vio_devq *q;
	char *at;

	(void)state;
	fresh(&im, 0);
	at = im.low;
	s = (struct vio_devq_setup){ .num = NUM };
	s.areas = (struct vio_vq_areas){ NULL, im.areas.driver, im.areas.device };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at + 8, im.areas.driver, im.areas.device };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x401, at + 0x800 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x400, at + 0x802 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	/* 128 bytes of descriptors, 22 of the available ring, 70 of the used ring. */
	s.areas = (struct vio_vq_areas){ at, at + 126, at + 0x800 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at + 0x400, at, at + 0x400 - 68 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x400, at + 0x400 + 20 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at, at };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	/* Exactly side by side is right. */
	s.areas = (struct vio_vq_areas){ at, at + 128, at + 128 + 24 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), 0);
	image_close(&im);
}

/* The used index that a new queue goes on from may be anything. */
static void test_h12_used_index(void **state)
{
	struct ring_image im;

	(void)state;
	image_open(&im, NUM, 0);
	im.used->idx = 0xbeef;
	image_device(&im, 0);
	image_desc(&im, 0, IMAGE_DATA, 1, 0, 0);
	image_make_avail(&im, 0);
	im.used->idx = 0;
	assert_int_equal(pop(&im), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_int_equal(im.used->idx, 0xbef0);
	assert_int_equal(im.used->ring[0xbeef % NUM].id, 0);
	image_close(&im);
}

/* H13, H29: kicks without buffers and events at absurd places are only that. */
static void test_h29_event_index(void **state)
{
	struct ring_image im;
	unsigned i;

	(void)state;
	fresh(&im, EVENT_IDX);
	for (i = 0; i < 3 * 65536; i++) {
		assert_int_equal(pop(&im), 0);
		*im.used_event = (uint16_t)(i * 40503);
		image_make_avail(&im, (uint16_t)(i % NUM));
		assert_int_equal(pop(&im), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		assert_int_equal(vio_devq_publish(im.dev), (uint16_t)i == (uint16_t)(i * 40503));
	}
	image_close(&im);
}

/* ---- Double fetch (HOSTILE 5) -------------------------------------------------------------- */

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

/* A descriptor that is right, nearly right or nonsense. */
static struct vio_virtq_desc any_desc(uint32_t *seed)
{
	static const uint64_t addrs[] = { IMAGE_DATA,	  IMAGE_SEAM - 3, IMAGE_END - 100,
					  IMAGE_BASE - 1, UINT64_MAX - 5, IMAGE_DATA + 64 };
	static const uint32_t lens[] = { 1, 100, 101, 0, 32, UINT32_MAX, 64, 128 };
	static const uint16_t flags[] = { 0, WRITE, NEXT, NEXT | WRITE, TABLE, TABLE | NEXT, 0, 0 };
	uint32_t r = rnd(seed);

	return (struct vio_virtq_desc){ addrs[r % 6], lens[(r >> 4) % 8], flags[(r >> 8) % 8],
					(uint16_t)((r >> 12) % (NUM + 1)) };
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;
	struct vio_virtq_desc *table = image_at(m->im, IMAGE_DATA);
	uint32_t seed = 12345;

	while (!atomic_load(&m->stop)) {
		uint32_t r = rnd(&seed);
		struct vio_virtq_desc d = any_desc(&seed);
		struct vio_virtq_desc *at = r & 1 ? &m->im->desc[r / 2 % NUM] : &table[r / 2 % NUM];

		__atomic_store_n(&at->addr, d.addr, __ATOMIC_RELAXED);
		__atomic_store_n(&at->len, d.len, __ATOMIC_RELAXED);
		__atomic_store_n(&at->flags, d.flags, __ATOMIC_RELAXED);
		__atomic_store_n(&at->next, d.next, __ATOMIC_RELAXED);
		if (r % 64 == 0)
			__atomic_store_n(&m->im->avail->ring[r / 64 % NUM],
					 (uint16_t)(r / 1024 % (NUM + 1)), __ATOMIC_RELAXED);
		atomic_fetch_add(&m->laps, 1);
	}
	return NULL;
}

static void assert_chain_safe(const struct ring_image *im, const struct vio_chain *chain)
{
	uint64_t out_len = 0, in_len = 0;
	unsigned i;

	assert_true(chain->out_num + chain->in_num > 0);
	assert_true(chain->id < NUM);
	for (i = 0; i < (unsigned)chain->out_num + chain->in_num; i++) {
		assert_true(chain->iov[i].len > 0);
		assert_true(image_holds(im, chain->iov[i].base, chain->iov[i].len));
		if (i < chain->out_num)
			out_len += chain->iov[i].len;
		else
			in_len += chain->iov[i].len;
	}
	assert_int_equal(out_len, chain->out_len);
	assert_int_equal(in_len, chain->in_len);
}

/* Descriptors, tables and heads are rewritten all the time while the device takes them: all that it
 * hands out lies in the regions and adds up. */
static void test_h05_double_fetch(void **state)
{
	struct ring_image im;
	struct mutator m = { .im = &im };
	unsigned round, good = 0, broken = 0;
	pthread_t thread;

	(void)state;
	fresh(&im, INDIRECT);
	assert_int_equal(pthread_create(&thread, NULL, mutate, &m), 0);
	while (atomic_load(&m.laps) == 0)
		;
	for (round = 0; round < 300000 || good == 0 || broken == 0; round++) {
		uint16_t idx = (uint16_t)vio_devq_base(im.dev);
		int i, n;

		__atomic_store_n(&im.avail->idx, (uint16_t)(idx + 1 + round % NUM),
				 __ATOMIC_RELEASE);
		n = pop(&im);
		if (n < 0) {
			image_device(&im, idx);
			broken++;
			continue;
		}
		for (i = 0; i < n; i++)
			assert_chain_safe(&im, &chains[i]);
		assert_true(n <= (int)NUM);
		vio_devq_push_burst(im.dev, chains, (unsigned)n);
		vio_devq_publish(im.dev);
		good += (unsigned)n;
	}
	atomic_store(&m.stop, true);
	pthread_join(thread, NULL);
	image_close(&im);
}

/* Random nonsense, without the race: every outcome is a chain that is safe or a named reason. */
static void test_h05_random_rings(void **state)
{
	unsigned round, i, seen[VIO_VQ_NR_ERRORS] = { 0 };
	uint32_t seed = 99;
	struct ring_image im;
	struct vio_virtq_desc *table;

	(void)state;
	fresh(&im, INDIRECT);
	table = image_at(&im, IMAGE_DATA);
	for (round = 0; round < 100000; round++) {
		int n;

		for (i = 0; i < NUM; i++) {
			im.desc[i] = any_desc(&seed);
			table[i] = any_desc(&seed);
		}
		for (i = 0; i < NUM; i++)
			im.avail->ring[i] = (uint16_t)(rnd(&seed) % (NUM + 1) % NUM);
		image_device(&im, im.avail->idx);
		im.avail->idx = (uint16_t)(im.avail->idx + 1);
		n = pop(&im);
		assert_true(n == 1 || n == -EPROTO);
		if (n == 1)
			assert_chain_safe(&im, &chains[0]);
		seen[vio_devq_error(im.dev)]++;
	}
	assert_true(seen[VIO_VQ_OK] > 1000);
	assert_true(seen[VIO_VQ_BAD_ADDRESS] > 1000);
	assert_true(seen[VIO_VQ_BAD_INDIRECT] > 1000);
	assert_true(seen[VIO_VQ_ZERO_LENGTH] > 1000);
	assert_true(seen[VIO_VQ_BAD_ORDER] > 100);
	assert_true(seen[VIO_VQ_CHAIN_LOOP] > 10);
	assert_true(seen[VIO_VQ_BAD_HEAD] > 100);
	image_close(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h01_addresses),
		cmocka_unit_test(test_h01_no_regions),
		cmocka_unit_test(test_h02_indirect_length),
		cmocka_unit_test(test_h02_indirect_next),
		cmocka_unit_test(test_h02_indirect_not_negotiated),
		cmocka_unit_test(test_h02_indirect_nested),
		cmocka_unit_test(test_h02_indirect_entries),
		cmocka_unit_test(test_h02_indirect_longer_than_queue),
		cmocka_unit_test(test_h03_chain_loop),
		cmocka_unit_test(test_h03_next_out_of_range),
		cmocka_unit_test(test_h03_order),
		cmocka_unit_test(test_h03_zero_length),
		cmocka_unit_test(test_h03_head_out_of_range),
		cmocka_unit_test(test_h03_same_head_twice),
		cmocka_unit_test(test_h03_too_long),
		cmocka_unit_test(test_h03_too_many_pieces),
		cmocka_unit_test(test_h04_avail_jump),
		cmocka_unit_test(test_h04_avail_backwards),
		cmocka_unit_test(test_h05_double_fetch),
		cmocka_unit_test(test_h05_random_rings),
		cmocka_unit_test(test_h12_geometry),
		cmocka_unit_test(test_h12_areas),
		cmocka_unit_test(test_h12_used_index),
		cmocka_unit_test(test_h29_event_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
