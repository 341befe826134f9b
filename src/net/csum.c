/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum (RFC 1071).
 *
 * It is the complement of the one's complement sum of all 16-bit words. Three of its properties
 * carry this file. The sum does not depend on byte order as long as words are loaded and stored
 * alike, so nothing is converted: a folded sum is stored into the packet as it is. Words may be
 * added in groups of any size, because 2^16, 2^32 and 2^64 are all 1 modulo 65535; a carry out of
 * the top is added at the bottom. And a piece that begins at an odd place counts with its bytes
 * exchanged, which can be done once to its finished sum.
 *
 * The scalar variant says what is meant. Long pieces go through a variant of vector instructions
 * that adds 64 bytes a step, where base/simd.h says that there are any; the tests hold them together.
 *
 * The bytes may be a peer's memory and change meanwhile. The sum is then of no use to anybody, and
 * nothing else depends on it.
 */
#include <string.h>

#include <vioduct/frame.h>

#include "base/bits.h"
#include "base/endian.h"
#include "base/simd.h"
#include "net/csum.h"
#include "net/parse.h"

#if VIO_SIMD_X86
#include <immintrin.h>
#endif
#if VIO_SIMD_ARM64
#include <arm_neon.h>
#endif

/* Below this a vector variant costs more than it brings. */
#define VECTOR_MIN 128

/* Two sums take turns, so that neither waits for the other's carry. */
uint64_t vio_csum_scalar(const void *p, size_t len, uint64_t sum)
{
	const uint8_t *byte = p;
	uint64_t other = 0, words[2];

	for (; len >= sizeof(words); byte += sizeof(words), len -= sizeof(words)) {
		memcpy(words, byte, sizeof(words));
		sum = vio_csum_join(sum, words[0]);
		other = vio_csum_join(other, words[1]);
	}
	/* The rest, with zeros behind it, as an odd last byte has in RFC 1071. */
	memset(words, 0, sizeof(words));
	if (len)
		memcpy(words, byte, len);
	sum = vio_csum_join(sum, words[0]);
	return vio_csum_join(sum, vio_csum_join(other, words[1]));
}

/*
 * Vectors have no carry: the halves of each word are added up apart, so that no lane overflows
 * before 2^32 steps.
 */
#if VIO_SIMD_X86
__attribute__((target("avx2"))) static uint64_t csum_avx2(const void *p, size_t len, uint64_t sum)
{
	const uint8_t *byte = p;
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i sum0 = _mm256_setzero_si256();
	__m256i sum1 = _mm256_setzero_si256();
	uint64_t lanes[4];
	unsigned i;

	for (; len >= 64; byte += 64, len -= 64) {
		__m256i a = _mm256_loadu_si256((const void *)byte);
		__m256i b = _mm256_loadu_si256((const void *)(byte + 32));

		sum0 = _mm256_add_epi64(sum0, _mm256_and_si256(a, low));
		sum1 = _mm256_add_epi64(sum1, _mm256_srli_epi64(a, 32));
		sum0 = _mm256_add_epi64(sum0, _mm256_and_si256(b, low));
		sum1 = _mm256_add_epi64(sum1, _mm256_srli_epi64(b, 32));
	}
	_mm256_storeu_si256((void *)lanes, _mm256_add_epi64(sum0, sum1));
	for (i = 0; i < vio_array_size(lanes); i++)
		sum = vio_csum_join(sum, lanes[i]);
	return vio_csum_scalar(byte, len, sum);
}
#endif

/* Adding pairs of neighbours into lanes of twice the width is one instruction here. */
#if VIO_SIMD_ARM64
static uint64_t csum_neon(const void *p, size_t len, uint64_t sum)
{
	const uint8_t *byte = p;
	uint64x2_t sum0 = vdupq_n_u64(0), sum1 = sum0;
	unsigned i;

	for (; len >= 64; byte += 64, len -= 64) {
		for (i = 0; i < 64; i += 32) {
			uint8x16_t a = vld1q_u8(byte + i), b = vld1q_u8(byte + i + 16);

			sum0 = vpadalq_u32(sum0, vreinterpretq_u32_u8(a));
			sum1 = vpadalq_u32(sum1, vreinterpretq_u32_u8(b));
		}
	}
	sum0 = vaddq_u64(sum0, sum1);
	sum = vio_csum_join(sum, vgetq_lane_u64(sum0, 0));
	return vio_csum_scalar(byte, len, vio_csum_join(sum, vgetq_lane_u64(sum0, 1)));
}
#endif

vio_csum_fn *vio_csum_long(void)
{
	static vio_csum_fn *const levels[VIO_SIMD_LEVELS] = {
		[VIO_SIMD_SCALAR] = vio_csum_scalar,
#if VIO_SIMD_X86
		[VIO_SIMD_AVX2] = csum_avx2,
		[VIO_SIMD_AVX512] = csum_avx2,
#endif
#if VIO_SIMD_ARM64
		[VIO_SIMD_NEON] = csum_neon,
#endif
	};

	return levels[vio_simd_level()];
}

uint64_t vio_csum_add(const void *p, size_t len, uint64_t sum)
{
	return len < VECTOR_MIN ? vio_csum_scalar(p, len, sum) : vio_csum_long()(p, len, sum);
}

/* @sum in 16 bits. Only a sum of nothing but zeros gives 0. */
static uint16_t fold16(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

uint16_t vio_csum_fold(uint64_t sum)
{
	return (uint16_t)~fold16(sum);
}

uint64_t vio_csum_iov(const struct vio_iov *iov, unsigned iovcnt, size_t off, size_t len,
		      uint64_t sum)
{
	bool odd = false;
	unsigned i;

	for (i = 0; i < iovcnt && len; i++) {
		uint64_t piece;
		size_t n;

		if (off >= iov[i].len) {
			off -= iov[i].len;
			continue;
		}
		n = vio_min(iov[i].len - off, len);
		piece = vio_csum_add((const uint8_t *)iov[i].base + off, n, 0);
		if (odd)
			piece = __builtin_bswap16(fold16(piece));
		sum = vio_csum_join(sum, piece);
		odd ^= n & 1;
		off = 0;
		len -= n;
	}
	return sum;
}

uint64_t vio_csum_pseudo(const uint8_t *ip, uint8_t version, uint8_t protocol, uint32_t len)
{
	uint8_t tail[8] = { 0 };

	vio_put_be32(tail, len);
	tail[7] = protocol;
	if (version == 4)
		return vio_csum_add(ip + 12, 8, vio_csum_add(tail, sizeof(tail), 0));
	return vio_csum_add(ip + 8, 32, vio_csum_add(tail, sizeof(tail), 0));
}
