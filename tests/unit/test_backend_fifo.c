/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of waiting frames against a plain list. */
#include "backend_sink.h"

#include "backend/fifo.h"

static void is_a_queue(void **state)
{
	static const uint32_t sizes[] = { 8, 64, 1000, 4096 };
	uint32_t seed = 1;

	(void)state;
	for (unsigned s = 0; s < vio_array_size(sizes); s++) {
		uint8_t *memory = malloc(sizes[s]), bytes[5000];
		struct vio_fifo f = { .memory = memory, .size = sizes[s] };
		uint32_t put = 0, taken = 0, lengths[4096], len;

		for (unsigned step = 0; step < 50000; step++) {
			seed = seed * 1103515245 + 12345;
			if (seed >> 16 & 1) {
				len = (seed >> 17) % (sizes[s] / 2 + 1);
				memset(bytes, (int)(put & 0xff), len);
				lengths[put % 4096] = len;
				put += vio_fifo_put(&f, bytes, len / 3, bytes, len - len / 3);
			} else {
				uint8_t *p = vio_fifo_first(&f, &len);

				if (p == NULL) {
					assert_int_equal(put, taken);
					vio_fifo_drop(&f);
					continue;
				}
				assert_int_equal(len, lengths[taken % 4096]);
				for (uint32_t i = 0; i < len; i++)
					assert_int_equal(p[i], taken & 0xff);
				assert_ptr_equal(vio_fifo_first(&f, &len), p);
				vio_fifo_drop(&f);
				taken++;
			}
			assert_int_equal(f.frames, put - taken);
		}
		assert_true(taken > 1000);
		/* The longest fits an empty one, the next longer never. */
		while (f.frames != 0)
			vio_fifo_drop(&f);
		assert_false(vio_fifo_put(&f, bytes, 1, bytes, sizes[s] - 4));
		assert_true(vio_fifo_put(&f, bytes, 1, bytes, sizes[s] - 5));
		assert_false(vio_fifo_put(&f, bytes, 0, bytes, 0));
		free(memory);
	}
}

/* What moves is what was in front, in order; the rest stays. */
static void moves_as_much_as_fits(void **state)
{
	uint8_t small[256], large[1024];
	struct vio_fifo a = { .memory = small, .size = sizeof(small) };
	struct vio_fifo b = { .memory = large, .size = sizeof(large) };
	struct vio_fifo none = { 0 };
	uint32_t len, number = 0;

	(void)state;
	while (vio_fifo_put(&b, &number, sizeof(number), large, 0))
		number++;
	vio_fifo_move(&none, &b);
	assert_int_equal(b.frames, number);
	vio_fifo_move(&a, &b);
	assert_int_equal(a.frames, sizeof(small) / 8);
	assert_int_equal(a.frames + b.frames, number);
	for (uint32_t i = 0; i < number; i++) {
		struct vio_fifo *f = i < sizeof(small) / 8 ? &a : &b;

		assert_memory_equal(vio_fifo_first(f, &len), &i, sizeof(i));
		vio_fifo_drop(f);
	}
	assert_null(vio_fifo_first(&a, &len));
	assert_null(vio_fifo_first(&b, &len));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_a_queue),
		cmocka_unit_test(moves_as_much_as_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
