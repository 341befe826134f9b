/* SPDX-License-Identifier: BSD-2-Clause */
/* The region table: every range that must translate, and every one that must not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mem/mem.h"
#include "random.h"

#define PAGE 4096u
#define TOP  UINT64_MAX

static char memory[16 * PAGE];

static struct vio_mem *table(const struct vio_mem_region *regions, uint32_t count)
{
	struct vio_mem *m = malloc(vio_mem_bytes(count));

	assert_non_null(m);
	assert_int_equal(vio_mem_init(m, regions, count), 0);
	return m;
}

static int init(const struct vio_mem_region *regions, uint32_t count)
{
	struct vio_mem *m = malloc(vio_mem_bytes(count));
	uint32_t hint = 0;
	int ret;

	assert_non_null(m);
	ret = vio_mem_init(m, regions, count);
	if (ret != 0) {
		assert_int_equal(m->count, 0);
		assert_null(vio_mem_span(m, &hint, regions[0].guest_addr, 1));
	}
	free(m);
	return ret;
}

/* The public function and the inline one always agree; the hint starts at every value. */
static void *span(const struct vio_mem *m, uint64_t addr, uint64_t len)
{
	uint32_t hint = 0;
	void *p = vio_mem_span(m, &hint, addr, len);

	for (uint32_t start = 0; start <= m->count + 1; start++) {
		hint = start;
		assert_ptr_equal(vio_mem_span_fast(m, &hint, addr, len), p);
		if (p == NULL)
			assert_int_equal(hint, start);
		else
			assert_in_range(addr - m->regions[hint].guest_addr, 0,
					m->regions[hint].size - 1);
	}
	return p;
}

static void test_span_edges(void **state)
{
	const struct vio_mem_region r = { .guest_addr = 0x10000, .size = PAGE, .host = memory };
	struct vio_mem *m = table(&r, 1);

	(void)state;
	assert_ptr_equal(span(m, 0x10000, 1), memory);
	assert_ptr_equal(span(m, 0x10000, PAGE), memory);
	assert_ptr_equal(span(m, 0x10000 + PAGE - 1, 1), memory + PAGE - 1);
	assert_null(span(m, 0x10000, 0));
	assert_null(span(m, 0x10000, PAGE + 1));
	assert_null(span(m, 0x10000 + 1, PAGE));
	assert_null(span(m, 0x10000 + PAGE - 1, 2));
	assert_null(span(m, 0x10000 + PAGE, 1));
	assert_null(span(m, 0xffff, 1));
	assert_null(span(m, 0xffff, 2));
	assert_null(span(m, 0, 1));
	assert_null(span(m, TOP, 1));
	free(m);
}

/* HOSTILE 1: what an adding check would let through. */
static void test_h01_ranges_that_wrap(void **state)
{
	const struct vio_mem_region r[] = {
		{ .guest_addr = 0, .size = PAGE, .host = memory },
		{ .guest_addr = TOP - PAGE + 1, .size = PAGE, .host = memory + 2 * PAGE },
	};
	struct vio_mem *m = table(r, 2);
	struct vio_iov iov[4];
	uint32_t hint = 0;

	(void)state;
	assert_ptr_equal(span(m, TOP, 1), memory + 3 * PAGE - 1);
	assert_ptr_equal(span(m, TOP - PAGE + 1, PAGE), memory + 2 * PAGE);
	assert_null(span(m, TOP, 2));
	assert_null(span(m, TOP, TOP));
	assert_null(span(m, TOP - PAGE + 1, PAGE + 1));
	assert_null(span(m, 1, TOP));
	assert_null(span(m, PAGE - 1, TOP - PAGE + 3));
	assert_null(span(m, 0, TOP));
	/* The region at 0 must not pass for the continuation of the one at the top. */
	assert_int_equal(vio_mem_iov(m, &hint, TOP - 1, 4, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, TOP, 2, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, TOP - PAGE + 1, TOP, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, TOP - 1, 2, iov, 4), 1);
	assert_ptr_equal(iov[0].base, memory + 3 * PAGE - 2);
	free(m);
}

/* HOSTILE 1: regions that touch in guest space and lie the other way round in ours. */
static void test_h01_touching_regions(void **state)
{
	const struct vio_mem_region r[] = {
		{ .guest_addr = 2 * PAGE, .size = PAGE, .host = memory },
		{ .guest_addr = 1 * PAGE, .size = PAGE, .host = memory + 4 * PAGE },
		{ .guest_addr = 3 * PAGE, .size = PAGE, .host = memory + 2 * PAGE },
		{ .guest_addr = 5 * PAGE, .size = PAGE, .host = memory + 6 * PAGE },
	};
	struct vio_mem *m = table(r, 4);
	struct vio_iov iov[4];
	uint32_t hint;

	(void)state;
	assert_null(span(m, 2 * PAGE - 1, 2));
	assert_ptr_equal(span(m, 2 * PAGE - 1, 1), memory + 5 * PAGE - 1);
	for (uint32_t start = 0; start < 6; start++) {
		hint = start;
		assert_int_equal(vio_mem_iov(m, &hint, 2 * PAGE - 3, PAGE + 8, iov, 4), 3);
		assert_int_equal(hint, 2);
		assert_ptr_equal(iov[0].base, memory + 5 * PAGE - 3);
		assert_int_equal(iov[0].len, 3);
		assert_ptr_equal(iov[1].base, memory);
		assert_int_equal(iov[1].len, PAGE);
		assert_ptr_equal(iov[2].base, memory + 2 * PAGE);
		assert_int_equal(iov[2].len, 5);
	}
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, PAGE, iov, 1), 1);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 3 * PAGE, iov, 3), 3);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 3 * PAGE, iov, 2), -E2BIG);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 1, iov, 0), -E2BIG);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 0, iov, 4), 0);
	/* A byte outside counts for more than pieces that are too few. */
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 3 * PAGE + 1, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE, 3 * PAGE + 1, iov, 1), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, 4 * PAGE - 1, PAGE + 2, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, PAGE - 1, 2, iov, 4), -EFAULT);
	assert_int_equal(vio_mem_iov(m, &hint, 6 * PAGE, 1, iov, 4), -EFAULT);
	free(m);
}

static void test_pieces_stay_in_bounds(void **state)
{
	const struct vio_mem_region r[] = {
		{ .guest_addr = 0, .size = PAGE, .host = memory },
		{ .guest_addr = PAGE, .size = PAGE, .host = memory + 2 * PAGE },
	};
	struct vio_mem *m = table(r, 2);
	struct vio_iov iov[2] = { { NULL, 0 }, { memory, 77 } };
	uint32_t hint = 0;

	(void)state;
	assert_int_equal(vio_mem_iov(m, &hint, 0, 2 * PAGE, iov, 1), -E2BIG);
	assert_ptr_equal(iov[1].base, memory);
	assert_int_equal(iov[1].len, 77);
	free(m);
}

static void test_h19_bad_tables(void **state)
{
	const struct vio_mem_region good = { .guest_addr = PAGE, .size = PAGE, .host = memory };
	struct vio_mem_region r[2] = { good, good };

	(void)state;
	assert_int_equal(init(r, 2), -EEXIST); /* twice the same */
	r[1].guest_addr = 2 * PAGE - 1;
	assert_int_equal(init(r, 2), -EEXIST);
	r[1].guest_addr = 1;
	assert_int_equal(init(r, 2), -EEXIST);
	r[1] = (struct vio_mem_region){ .guest_addr = 0, .size = TOP, .host = memory };
	assert_int_equal(init(r, 2), -EINVAL); /* our end wraps */
	r[1] = (struct vio_mem_region){ .guest_addr = PAGE + 8, .size = 8, .host = memory };
	assert_int_equal(init(r, 2), -EEXIST); /* one inside the other */
	r[1].guest_addr = 2 * PAGE;
	assert_int_equal(init(r, 2), 0);
	r[1].guest_addr = PAGE - 8;
	assert_int_equal(init(r, 2), 0);
	r[1].size = 0;
	assert_int_equal(init(r, 2), -EINVAL);
	r[1] = (struct vio_mem_region){ .guest_addr = TOP - 6, .size = 8, .host = memory };
	assert_int_equal(init(r, 2), -EINVAL);
	r[1].guest_addr = TOP - 7;
	assert_int_equal(init(r, 2), 0);
	r[1].user_addr = TOP - 6;
	assert_int_equal(init(r, 2), -EINVAL);
	r[1].user_addr = TOP - 7;
	assert_int_equal(init(r, 2), 0);
	r[1].host = (void *)(UINTPTR_MAX - 6);
	assert_int_equal(init(r, 2), -EINVAL);
	r[1].host = NULL;
	assert_int_equal(init(r, 2), -EINVAL);
	assert_int_equal(init(NULL, 0), 0);
}

/* HOSTILE 1, 19: as many regions as there can be, in the worst order, and one more. */
static void test_h19_512_regions(void **state)
{
	static struct vio_mem_region r[VIO_MEM_MAX_REGIONS + 1];
	struct vio_mem *m;
	uint32_t hint = 0;

	(void)state;
	for (uint32_t i = 0; i <= VIO_MEM_MAX_REGIONS; i++)
		r[i] = (struct vio_mem_region){
			.guest_addr = (uint64_t)(VIO_MEM_MAX_REGIONS - i) * 3 * PAGE,
			.user_addr = 0x7f0000000000 + (uint64_t)i * PAGE,
			.size = PAGE,
			.host = memory + 8 * i,
		};
	assert_int_equal(init(r, VIO_MEM_MAX_REGIONS + 1), -E2BIG);
	m = table(r, VIO_MEM_MAX_REGIONS);
	assert_int_equal(m->count, VIO_MEM_MAX_REGIONS);
	for (uint32_t i = 0; i < VIO_MEM_MAX_REGIONS; i++) {
		uint64_t addr = r[i].guest_addr;

		assert_ptr_equal(vio_mem_span(m, &hint, addr + 5, PAGE - 5), memory + 8 * i + 5);
		assert_ptr_equal(m->regions[hint].host, r[i].host);
		assert_null(vio_mem_span(m, &hint, addr - 1, 1));
		assert_null(vio_mem_span(m, &hint, addr + PAGE, 1));
		assert_ptr_equal(vio_mem_user_span(m, r[i].user_addr + 1, PAGE - 1),
				 memory + 8 * i + 1);
		assert_null(vio_mem_user_span(m, r[i].user_addr + 1, PAGE));
	}
	free(m);
}

static void test_hint(void **state)
{
	const struct vio_mem_region r[] = {
		{ .guest_addr = 0, .size = PAGE, .host = memory },
		{ .guest_addr = 4 * PAGE, .size = PAGE, .host = memory + PAGE },
	};
	struct vio_mem *m = table(r, 2), *empty = table(NULL, 0);
	uint32_t hint = 0;

	(void)state;
	assert_non_null(vio_mem_span(m, &hint, 4 * PAGE, 1));
	assert_int_equal(hint, 1);
	assert_null(vio_mem_span(m, &hint, 2 * PAGE, 1));
	assert_int_equal(hint, 1); /* a miss keeps it */
	assert_non_null(vio_mem_span(m, &hint, 0, 1));
	assert_int_equal(hint, 0);
	hint = UINT32_MAX; /* left by a longer table */
	assert_null(vio_mem_span(empty, &hint, 0, 1));
	assert_non_null(vio_mem_span(m, &hint, 0, 1));
	assert_int_equal(hint, 0);
	free(empty);
	free(m);
}

static void test_user_addresses(void **state)
{
	const struct vio_mem_region r[] = {
		{ .guest_addr = 0, .size = PAGE, .user_addr = 0x1000000, .host = memory },
		{ .guest_addr = PAGE,
		  .size = PAGE,
		  .user_addr = TOP - PAGE + 1,
		  .host = memory + PAGE },
		{ .guest_addr = 2 * PAGE, .size = PAGE, .host = memory + 2 * PAGE },
	};
	struct vio_mem *m = table(r, 3);

	(void)state;
	assert_ptr_equal(vio_mem_user_span(m, 0x1000000, PAGE), memory);
	assert_null(vio_mem_user_span(m, 0x1000000, PAGE + 1));
	assert_null(vio_mem_user_span(m, 0x1000000, 0));
	assert_null(vio_mem_user_span(m, 0xffffff, 2));
	assert_ptr_equal(vio_mem_user_span(m, TOP, 1), memory + 2 * PAGE - 1);
	assert_null(vio_mem_user_span(m, TOP, 2));
	assert_null(vio_mem_user_span(m, TOP, TOP));
	assert_null(vio_mem_user_span(m, 0, 1)); /* the third has no user address */
	free(m);
}

static uint64_t seed = 42;

/* Against the definition: byte by byte. Small spaces, so that every edge is met often. */
static void test_against_reference(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		uint64_t base = round % 3 == 0 ? TOP - 63 : random64(&seed) % 4096;
		char *bytes[64] = { NULL };
		struct vio_mem_region r[8];
		struct vio_mem *m;
		uint32_t n = 0, hint = 0;

		for (uint64_t at = random64(&seed) % 4; at < 64 && n < 8; n++) {
			uint64_t size = vio_min(1 + random64(&seed) % 16, 64 - at);

			r[n] = (struct vio_mem_region){ base + at, size, 0, memory + 1 + 100 * n };
			for (uint64_t i = 0; i < size; i++)
				bytes[at + i] = memory + 1 + 100 * n + i;
			at += size + (random64(&seed) % 2) * (random64(&seed) % 5);
		}
		m = table(r, n);
		for (int i = 0; i < 300; i++) {
			uint64_t at = random64(&seed) % 64, len = 1 + random64(&seed) % 20;
			bool mapped = true, straight = true;
			struct vio_iov iov[20];
			int pieces;

			for (uint64_t k = 0; k < len; k++) {
				mapped = mapped && at + k < 64 && bytes[at + k] != NULL;
				straight = straight && mapped && bytes[at + k] == bytes[at] + k;
			}
			assert_ptr_equal(vio_mem_span(m, &hint, base + at, len),
					 straight ? bytes[at] : NULL);
			pieces = vio_mem_iov(m, &hint, base + at, len, iov, 20);
			assert_int_equal(pieces < 0, !mapped);
			for (int p = 0; p < pieces; p++)
				for (uint64_t k = 0; k < iov[p].len; k++, at++)
					assert_ptr_equal((char *)iov[p].base + k, bytes[at]);
		}
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_edges),
		cmocka_unit_test(test_h01_ranges_that_wrap),
		cmocka_unit_test(test_h01_touching_regions),
		cmocka_unit_test(test_pieces_stay_in_bounds),
		cmocka_unit_test(test_h19_bad_tables),
		cmocka_unit_test(test_h19_512_regions),
		cmocka_unit_test(test_hint),
		cmocka_unit_test(test_user_addresses),
		cmocka_unit_test(test_against_reference),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
