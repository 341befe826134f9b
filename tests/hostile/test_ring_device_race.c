/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HOSTILE 5 at the device side of a ring, for every format: descriptors, tables and heads that are
 * rewritten while the device takes them, and random ones. What it hands out lies in the regions and
 * adds up, or the queue breaks with a reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"
#include "test_ring_mutator.h"

#define AVAIL VIO_DESC_F_AVAIL
#define USED  VIO_DESC_F_USED
#define NUM   8u

/* A descriptor that is right, nearly right or nonsense. */
static struct vio_virtq_desc any_desc(const struct ring_image *im, uint32_t *seed)
{
	static const uint64_t addrs[] = { IMAGE_DATA,	  IMAGE_SEAM - 3, IMAGE_END - 100,
					  IMAGE_BASE - 1, UINT64_MAX - 5, IMAGE_DATA + 64 };
	static const uint32_t lens[] = { 1, 100, 101, 0, 32, UINT32_MAX, 64, 128 };
	static const uint16_t flags[] = { 0, WRITE, NEXT, NEXT | WRITE, TABLE, TABLE | NEXT, 0, 0 };
	static const uint16_t owners[] = { AVAIL, AVAIL, USED, USED, AVAIL, USED, 0, PACKED_OWNER };
	uint32_t r = rnd(seed);
	uint16_t f = flags[(r >> 8) % 8], last = (uint16_t)((r >> 12) % (NUM + 1));

	if (im->packed)
		return (struct vio_virtq_desc){ addrs[r % 6], lens[(r >> 4) % 8], last,
						(uint16_t)(f | owners[(r >> 16) % 8]) };
	return (struct vio_virtq_desc){ addrs[r % 6], lens[(r >> 4) % 8], f, last };
}

static void rewrite(struct ring_image *im, uint32_t *seed)
{
	struct vio_virtq_desc *ring = im->areas.desc, *table = image_at(im, IMAGE_DATA);
	uint32_t r = rnd(seed);
	struct vio_virtq_desc d = any_desc(im, seed);
	struct vio_virtq_desc *at = r & 1 ? &ring[r / 2 % NUM] : &table[r / 2 % NUM];

	__atomic_store_n(&at->addr, d.addr, __ATOMIC_RELAXED);
	__atomic_store_n(&at->len, d.len, __ATOMIC_RELAXED);
	__atomic_store_n(&at->flags, d.flags, __ATOMIC_RELAXED);
	__atomic_store_n(&at->next, d.next, __ATOMIC_RELAXED);
	if (r % 64 == 0 && !im->packed)
		__atomic_store_n(&im->avail->ring[r / 64 % NUM], (uint16_t)(r / 1024 % (NUM + 1)),
				 __ATOMIC_RELAXED);
}

static void assert_chain_safe(const struct ring_image *im, const struct vio_chain *chain)
{
	uint64_t out_len = 0, in_len = 0;
	unsigned i;

	assert_true(chain->out_num + chain->in_num > 0);
	assert_true(im->packed || chain->id < NUM);
	assert_true(chain->slots >= 1 && chain->slots <= NUM);
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
	struct mutator m = { .im = &im, .once = rewrite, .seed = 12345 };
	unsigned round, good = 0, broken = 0;

	image_open(&im, NUM, ring_format(state) | RING_INDIRECT);
	image_device_fresh(&im);
	mutator_start(&m);
	for (round = 0; round < 200000 || good == 0 || broken == 0; round++) {
		uint32_t base = vio_devq_base(im.dev);
		int i, n;

		if (!im.packed)
			__atomic_store_n(&im.avail->idx, (uint16_t)(base + 1 + round % NUM),
					 __ATOMIC_RELEASE);
		n = pop(&im, 8);
		if (n < 0) {
			image_device(&im, base);
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
	mutator_stop(&m);
	image_close(&im);
}

/* Random nonsense, without the race: every outcome is a chain that is safe or a named reason. */
static void test_h05_random_rings(void **state)
{
	unsigned round, i, seen[VIO_VQ_NR_ERRORS] = { 0 };
	uint32_t seed = 99, base = 0x80008000;
	struct ring_image im;
	struct vio_virtq_desc *ring, *table;

	image_open(&im, NUM, ring_format(state) | RING_INDIRECT);
	image_device_fresh(&im);
	ring = im.areas.desc;
	table = image_at(&im, IMAGE_DATA);
	for (round = 0; round < 100000; round++) {
		int n;

		for (i = 0; i < NUM; i++) {
			ring[i] = any_desc(&im, &seed);
			table[i] = any_desc(&im, &seed);
		}
		if (im.packed) {
			image_device(&im, base);
			base = (round % NUM) * 0x10001u + (round / NUM % 2 ? 0x80008000u : 0);
		} else {
			for (i = 0; i < NUM; i++)
				im.avail->ring[i] = (uint16_t)(rnd(&seed) % (NUM + 1) % NUM);
			image_device(&im, im.avail->idx);
			im.avail->idx = (uint16_t)(im.avail->idx + 1);
		}
		n = pop(&im, 8);
		assert_true(im.packed ? n >= -EPROTO && n <= (int)NUM : n == 1 || n == -EPROTO);
		assert_true(n >= 0 || n == -EPROTO);
		for (i = 0; (int)i < n; i++)
			assert_chain_safe(&im, &chains[i]);
		seen[vio_devq_error(im.dev)]++;
	}
	assert_true(seen[VIO_VQ_OK] > 1000);
	assert_true(seen[VIO_VQ_BAD_ADDRESS] > 1000);
	assert_true(seen[VIO_VQ_BAD_INDIRECT] > 1000);
	assert_true(seen[VIO_VQ_ZERO_LENGTH] > 1000);
	assert_true(seen[VIO_VQ_BAD_ORDER] > 100);
	if (im.packed) {
		assert_true(seen[VIO_VQ_BAD_FLAGS] > 1000);
	} else {
		assert_true(seen[VIO_VQ_CHAIN_LOOP] > 10);
		assert_true(seen[VIO_VQ_BAD_HEAD] > 100);
	}
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_h05_double_fetch, RING_RUN_ALL),
		RING_TEST(test_h05_random_rings, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
