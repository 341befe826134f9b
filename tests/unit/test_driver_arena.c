/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory that a driver shares with a vhost-user device: given out, zeroed, taken back, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <vioduct/driver_linux.h>

static void gives_and_takes_back(void **state)
{
	const size_t all = 16 << 20;
	struct vio_dma_arena *arena;
	const struct vio_host *host;
	struct vio_error err;
	uint64_t dma[64];
	uint8_t *p[64];
	unsigned i, round, seed = 1;
	size_t size[64];

	(void)state;
	assert_int_equal(vio_dma_arena_create(all, VIO_LOG_ERROR, &arena, &err), 0);
	host = vio_dma_arena_host(arena);
	assert_int_equal(vio_dma_arena_available(arena), all);
	memset(p, 0, sizeof(p));
	for (round = 0; round < 2000; round++) {
		seed = seed * 1103515245 + 12345;
		i = seed >> 16 & 63;
		if (p[i]) {
			assert_int_equal(p[i][size[i] - 1], (uint8_t)i);
			host->dma_free(host->ctx, p[i], size[i], dma[i]);
			p[i] = NULL;
			continue;
		}
		size[i] = 1 + (seed >> 8) % 100000;
		p[i] = host->dma_alloc(host->ctx, size[i], (size_t)1 << (seed >> 20 & 12), &dma[i]);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] & (((uintptr_t)1 << (seed >> 20 & 12)) - 1), 0);
		assert_true(dma[i] == (uintptr_t)p[i]);
		/* Zeroed, though it was used before. */
		assert_int_equal(p[i][0] | p[i][size[i] - 1] | p[i][size[i] / 2], 0);
		memset(p[i], (int)i, size[i]);
	}
	for (i = 0; i < 64; i++)
		if (p[i])
			host->dma_free(host->ctx, p[i], size[i], dma[i]);
	assert_true(vio_dma_arena_available(arena) == all);
	assert_null(host->dma_alloc(host->ctx, all + 1, 64, dma));
	assert_null(host->dma_alloc(host->ctx, 0, 64, dma));
	p[0] = host->dma_alloc(host->ctx, all, 64, dma);
	assert_non_null(p[0]);
	assert_null(host->dma_alloc(host->ctx, 64, 64, dma + 1));
	host->dma_free(host->ctx, p[0], all, dma[0]);
	assert_int_equal(vio_dma_arena_available(arena), all);
	vio_dma_arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_and_takes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
