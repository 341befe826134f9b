/* SPDX-License-Identifier: BSD-2-Clause */
/* What src/base gives: sentences, bytes in pieces, byte order, and the Linux host. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "base/copy.h"
#include "base/simd.h"

/* The C library is the reference: same text, same length, for every size of buffer. */
#define check_fmt(...)                                                             \
	do {                                                                       \
		char want[128], got[128];                                          \
		int n = snprintf(want, sizeof(want), __VA_ARGS__);                 \
		assert_int_equal(vio_snprintf(got, sizeof(got), __VA_ARGS__), n);  \
		assert_string_equal(got, want);                                    \
		for (size_t size = 0; size <= (size_t)n + 1; size++) {             \
			memset(want, 'x', sizeof(want));                           \
			memset(got, 'x', sizeof(got));                             \
			snprintf(want, size, __VA_ARGS__);                         \
			assert_int_equal(vio_snprintf(got, size, __VA_ARGS__), n); \
			assert_memory_equal(got, want, sizeof(got));               \
		}                                                                  \
	} while (0)

static void test_fmt_numbers(void **state)
{
	(void)state;
	check_fmt("%d %i %u", 0, -1, UINT_MAX);
	check_fmt("%d %d", INT_MIN, INT_MAX);
	check_fmt("%ld %lu %lx", LONG_MIN, ULONG_MAX, ULONG_MAX);
	check_fmt("%lld %llu %llx", LLONG_MIN, ULLONG_MAX, 0x123456789abcdefULL);
	check_fmt("%" PRIu64 " %" PRId64 " %" PRIx64, UINT64_MAX, INT64_MIN, UINT64_MAX);
	check_fmt("%" PRIu32 " %" PRIu16 " %" PRIu8, UINT32_MAX, UINT16_MAX, UINT8_MAX);
	check_fmt("%zu %zd %zx %td %ju", SIZE_MAX, (ssize_t)-5, SIZE_MAX, (ptrdiff_t)-7,
		  UINTMAX_MAX);
	check_fmt("%hhx %hx %hd %hhd", (unsigned char)0xfe, (unsigned short)0xfffe, (short)-3,
		  (signed char)-4);
	check_fmt("%x %X %#x %#X %#x", 0xabcdefU, 0xabcdefU, 0x1fU, 0x1fU, 0U);
	check_fmt("%p", (void *)0x7f1234567890);
}

static void test_fmt_width(void **state)
{
	(void)state;
	check_fmt("[%5d] [%-5d] [%05d] [%1d]", 42, 42, 42, 42);
	check_fmt("[%5d] [%-5d] [%05d]", -42, -42, -42);
	check_fmt("%02x:%02x:%02x", 0U, 0xaU, 0xffU);
	check_fmt("%016" PRIx64 " %#010x [%#10x]", UINT64_C(0x1000), 0x1234U, 0x1234U);
	check_fmt("[%*d] [%-*d] [%*d]", 6, 1, 6, 2, -6, 3);
	check_fmt("[%8s] [%-8s] [%2s]", "abc", "abc", "abc");
	check_fmt("[%.2s] [%.*s] [%8.1s] [%.0s]", "abc", 1, "xyz", "q", "r");
	check_fmt("[%3c] [%-3c]", 'a', 'b');
	check_fmt("plain");
	check_fmt("100%% of %s%c", "it", '!');
}

static void test_fmt_reads_no_further(void **state)
{
	const char four[4] = { 'a', 'b', 'c', 'd' }; /* no zero at the end */
	const char *volatile none = NULL;
	char got[16];

	(void)state;
	vio_snprintf(got, sizeof(got), "%.4s", four);
	assert_string_equal(got, "abcd");
	vio_snprintf(got, sizeof(got), "%s", none);
	assert_string_equal(got, "(null)");
}

/* Given as a variable, so that the compiler does not refuse it. */
static void test_fmt_unknown(void **state)
{
	static const char *const formats[] = { "a %d %f %s", "a %d %", "a %d %5", "a %d %l",
					       "a %d %q" };
	static const char *const texts[] = { "a 1 %f %s", "a 1 %", "a 1 %5", "a 1 %l", "a 1 %q" };
	char got[32];

	(void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
	for (size_t i = 0; i < vio_array_size(formats); i++) {
		vio_snprintf(got, sizeof(got), formats[i], 1, 2.0, "s");
		assert_string_equal(got, texts[i]);
	}
#pragma GCC diagnostic pop
}

static void test_error_set(void **state)
{
	struct vio_error err = { .msg = "" };
	char big[1000];

	(void)state;
	vio_error_set(NULL, "nobody %d", 1);
	vio_error_set(&err, "mtu %u: expected %d to %d", 70000U, 68, 65535);
	assert_string_equal(err.msg, "mtu 70000: expected 68 to 65535");
	memset(big, 'z', sizeof(big));
	vio_error_set(&err, "%.*s", (int)sizeof(big), big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	vio_error_set(&err, "a\nb\x1b[2J\x7f\xc3\xa9");
	assert_string_equal(err.msg, "a?b?[2J?\xc3\xa9");
}

struct logged {
	int count;
	enum vio_log_level level;
	char line[VIO_LOG_LINE];
};

static void keep_line(void *ctx, enum vio_log_level level, const char *line)
{
	struct logged *l = ctx;

	l->count++;
	l->level = level;
	strcpy(l->line, line);
}

static void test_log(void **state)
{
	struct logged l = { .count = 0 };
	const struct vio_host host = { .ctx = &l, .log = keep_line }, mute = { .ctx = &l };
	char big[1000];

	(void)state;
	vio_log(NULL, VIO_LOG_ERROR, "x");
	vio_log(&mute, VIO_LOG_ERROR, "x");
	assert_int_equal(l.count, 0);
	vio_log(&host, VIO_LOG_INFO, "queue %d: %s", 3, "broken\nvioduct: forged");
	assert_int_equal(l.count, 1);
	assert_int_equal(l.level, VIO_LOG_INFO);
	assert_string_equal(l.line, "queue 3: broken?vioduct: forged");
	memset(big, 'z', sizeof(big));
	vio_log(&host, VIO_LOG_INFO, "%.*s", (int)sizeof(big), big);
	assert_int_equal(strlen(l.line), sizeof(l.line) - 1);
}

static void test_iov_copies(void **state)
{
	char a[] = "abcdefghij", b[] = "..........", flat[16] = { 0 };
	struct vio_iov src[] = { { NULL, 0 }, { a, 3 }, { a + 3, 0 }, { a + 3, 1 }, { a + 4, 6 } };
	struct vio_iov dst[] = { { b, 1 }, { b + 1, 5 }, { NULL, 0 }, { b + 6, 4 }, { NULL, 0 } };

	(void)state;
	assert_int_equal(vio_iov_len(src, 5), 10);
	assert_int_equal(vio_iov_len(src, 0), 0);
	assert_int_equal(vio_iov_to_buf(src, 5, 0, flat, sizeof(flat)), 10);
	assert_string_equal(flat, "abcdefghij");
	assert_int_equal(vio_iov_to_buf(src, 5, 2, flat, 3), 3);
	assert_string_equal(flat, "cdedefghij");
	assert_int_equal(vio_iov_to_buf(src, 5, 10, flat, 1), 0);
	assert_int_equal(vio_iov_to_buf(src, 5, SIZE_MAX, flat, SIZE_MAX), 0);
	assert_int_equal(vio_iov_to_buf(src, 5, 9, flat, SIZE_MAX), 1);
	assert_int_equal(vio_iov_from_buf(dst, 5, 4, "XYZ", 3), 3);
	assert_string_equal(b, "....XYZ...");
	assert_int_equal(vio_iov_copy(dst, 5, 0, src, 5, 0, SIZE_MAX), 10);
	assert_string_equal(b, "abcdefghij");
	assert_int_equal(vio_iov_copy(dst, 5, 1, src, 5, 8, 9), 2);
	assert_string_equal(b, "aijdefghij");
	assert_int_equal(vio_iov_copy(dst, 5, 7, src, 5, 0, 9), 3);
	assert_string_equal(b, "aijdefgabc");
	dst[0].len = SIZE_MAX;
	assert_int_equal(vio_iov_len(dst, 5), SIZE_MAX);
}

/* Every slice of an awkward vector, also in place, against the flat bytes. */
static void test_iov_slices(void **state)
{
	char a[] = "abcdefghij", flat[16];
	const struct vio_iov src[] = {
		{ a, 3 }, { NULL, 0 }, { a + 3, 1 }, { a + 4, 6 }, { NULL, 0 },
	};

	(void)state;
	for (size_t off = 0; off <= 11; off++) {
		for (size_t len = 0; len <= 11; len++) {
			struct vio_iov out[5], same[5], cut[5];
			bool fits = off + len <= 10 || len == 0;
			int n = vio_iov_slice(out, 5, src, 5, off, len);
			unsigned left;

			memcpy(same, src, sizeof(src));
			assert_int_equal(vio_iov_slice(same, 5, same, 5, off, len), n);
			if (!fits) {
				assert_int_equal(n, -EINVAL);
				continue;
			}
			assert_in_range(n, len == 0 ? 0 : 1, 3);
			assert_int_equal(vio_iov_len(out, (unsigned)n), len);
			assert_int_equal(vio_iov_to_buf(out, (unsigned)n, 0, flat, 16), len);
			if (len > 0)
				assert_memory_equal(flat, a + off, len);
			for (int i = 0; i < n; i++) {
				assert_ptr_equal(same[i].base, out[i].base);
				assert_int_equal(same[i].len, out[i].len);
				assert_int_not_equal(out[i].len, 0);
			}
			if (n > 0)
				assert_int_equal(vio_iov_slice(out, (unsigned)n - 1, src, 5, off,
							       len),
						 -E2BIG);

			memcpy(cut, src, sizeof(src));
			left = vio_iov_skip(cut, 5, off);
			assert_int_equal(vio_iov_len(cut, left), off > 10 ? 0 : 10 - off);
			left = vio_iov_trim(cut, left, len);
			assert_int_equal(vio_iov_to_buf(cut, left, 0, flat, 16), len);
			if (len > 0)
				assert_memory_equal(flat, a + off, len);
		}
	}
}

static void test_bits_and_endian(void **state)
{
	uint8_t b[5] = { 0 };

	(void)state;
	assert_int_equal(vio_align_up(0, 64), 0);
	assert_int_equal(vio_align_up(1, 64), 64);
	assert_int_equal(vio_align_up(64, 64), 64);
	assert_true(vio_is_pow2(1) && vio_is_pow2(UINT64_C(1) << 63));
	assert_false(vio_is_pow2(0) || vio_is_pow2(3));
	vio_put_be16(b + 1, 0x0102);
	assert_memory_equal(b, "\0\1\2\0\0", 5);
	assert_int_equal(vio_get_be16(b + 1), 0x0102);
	assert_int_equal(vio_get_le16(b + 1), 0x0201);
	vio_put_be32(b + 1, 0x01020304);
	assert_memory_equal(b, "\0\1\2\3\4", 5);
	assert_int_equal(vio_get_be32(b + 1), 0x01020304);
	vio_put_le16(b + 1, 0x0102);
	assert_memory_equal(b, "\0\2\1\3\4", 5);
}

/* Whatever level is asked for, it becomes one that there is, the best up to there. */
/* Every length, at odd addresses, and not a byte more. */
static void test_copy_and_read(void **state)
{
	uint8_t from[700], to[704];

	(void)state;
	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + 1);
	for (unsigned level = 0; level < VIO_SIMD_LEVELS; level++) {
		vio_simd_force((enum vio_simd)level);
		for (size_t len = 0; len < sizeof(from) - 3; len++) {
			uint64_t sum;

			memset(to, 0, sizeof(to));
			sum = vio_copy_and_read(to + 1, from + 3, len);
			assert_memory_equal(to + 1, from + 3, len);
			assert_int_equal(to[0], 0);
			assert_int_equal(to[1 + len], 0);
			from[3 + len / 2]++;
			if (len > 0)
				assert_true(vio_copy_and_read(to + 1, from + 3, len) != sum);
			from[3 + len / 2]--;
		}
	}
	vio_simd_force(VIO_SIMD_LEVELS - 1);
}

static void test_simd_levels(void **state)
{
	const enum vio_simd best = vio_simd_level();
	enum vio_simd got, before = VIO_SIMD_SCALAR;
	unsigned level;

	(void)state;
	for (level = 0; level < VIO_SIMD_LEVELS; level++) {
		got = vio_simd_force((enum vio_simd)level);
		assert_true(got == (enum vio_simd)level || got == before);
		assert_int_equal(vio_simd_level(), got);
		before = got;
	}
	assert_int_equal(before, best);
	assert_string_equal(vio_simd_name(VIO_SIMD_SCALAR), "scalar");
	assert_string_equal(vio_simd_name(VIO_SIMD_NEON), "neon");
	assert_string_equal(vio_simd_name(VIO_SIMD_AVX2), "avx2");
	assert_string_equal(vio_simd_name(VIO_SIMD_AVX512), "avx512");
#if defined(__aarch64__) && !defined(VIO_THREAD_SANITIZER)
	assert_int_equal(best, VIO_SIMD_NEON);
#endif
}

static void test_host_memory(void **state)
{
	const struct vio_host *h = vio_host_linux(VIO_LOG_WARN);
	uint64_t dma = 0;
	char *p;

	(void)state;
	for (size_t align = 1; align <= 2 << 20; align *= 2) {
		size_t size = align & 0x55555555 ? 1000 : 70000;

		p = h->alloc(h->ctx, size, align);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size); /* so that the next one is zero by more than luck */
		h->free(h->ctx, p, size);
	}
	h->free(h->ctx, NULL, 1);
	h->free(h->ctx, NULL, 70000);
	p = h->dma_alloc(h->ctx, 4096, 4096, &dma);
	assert_non_null(p);
	assert_int_equal(dma, (uintptr_t)p);
	h->dma_free(h->ctx, p, 4096, dma);
	assert_null(h->map);
	assert_null(h->unmap);
}

static void test_host_clock(void **state)
{
	const struct vio_host *h = vio_host_linux(VIO_LOG_WARN);
	uint64_t before = h->now_ns(h->ctx), after;

	(void)state;
	h->relax(h->ctx);
	after = h->now_ns(h->ctx);
	assert_true(after >= before);
}

/* What the host of @level writes to stderr for one line of each level. */
static void stderr_of(enum vio_log_level level, char *text, size_t size)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	assert_int_not_equal(dup2(fds[1], STDERR_FILENO), -1);
	close(fds[1]);
	errno = 77;
	for (int l = VIO_LOG_ERROR; l <= VIO_LOG_DEBUG; l++)
		vio_log(vio_host_linux(level), (enum vio_log_level)l, "level %d", l);
	assert_int_equal(errno, 77);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(fds[0], text, size - 1);
	close(fds[0]);
	text[n < 0 ? 0 : n] = '\0';
}

static void test_host_log(void **state)
{
	char text[256];

	(void)state;
	stderr_of(VIO_LOG_ERROR, text, sizeof(text));
	assert_string_equal(text, "vioduct: level 0\n");
	stderr_of(VIO_LOG_WARN, text, sizeof(text));
	assert_string_equal(text, "vioduct: level 0\nvioduct: level 1\n");
	stderr_of(VIO_LOG_DEBUG, text, sizeof(text));
	assert_non_null(strstr(text, "vioduct: level 3\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fmt_numbers),
		cmocka_unit_test(test_fmt_width),
		cmocka_unit_test(test_fmt_reads_no_further),
		cmocka_unit_test(test_fmt_unknown),
		cmocka_unit_test(test_error_set),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_iov_copies),
		cmocka_unit_test(test_iov_slices),
		cmocka_unit_test(test_bits_and_endian),
		cmocka_unit_test(test_copy_and_read),
		cmocka_unit_test(test_simd_levels),
		cmocka_unit_test(test_host_memory),
		cmocka_unit_test(test_host_clock),
		cmocka_unit_test(test_host_log),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
