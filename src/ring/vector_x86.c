/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernels for x86-64. See vector.h for what they do; here is how.
 *
 * Four descriptors are four 16-byte loads, in the order of the ring. An aligned 16-byte load is atomic
 * on every processor with AVX. Of what a peer publishes together it stores the first descriptor's
 * flags last: whoever has loaded that one finds the others whole, for loads are not reordered. Each
 * is loaded once, through a volatile pointer, into registers, and everything is checked and computed
 * from those. What an index has published needs no such care, and is loaded two at a time; that
 * such a load may be in pieces only matters with a peer that breaks the rules, and what is in the
 * register is checked whatever it is.
 *
 * Two vectors of two descriptors are unpacked into one of four addresses and one of four meta
 * words. Unpacking works within halves of a vector, so the lanes stand in the order 0, 2, 1, 3; and
 * unpacking a second time restores it, so that lanes are seldom moved for their own sake.
 *
 * Checks are gathered, in the sign bits of the lanes or under a mask, and looked at for all four.
 *
 * The bodies are written with 256-bit vectors, and compiled once for AVX2 and once for AVX-512,
 * whose three-operand logic and masks save the compiler about an eighth. Wider vectors would need
 * more moves to fill than they save.
 */
#include "ring/vector.h"

#include "base/simd.h"

#if VIO_SIMD_X86

#include <immintrin.h>
#include <stddef.h>

#include "ring/packed.h"
#include "ring/split.h"
#include "ring/vector_words.h"

#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx2,avx512f,avx512vl,avx512bw,avx512dq")))
#define BODY   AVX2 static vio_always_inline

typedef const volatile __m128i shared_desc;

BODY __m256i all(uint64_t x)
{
	return _mm256_set1_epi64x((long long)x);
}

/* The same of a constant, which the compiler does not see through: some make a constant anew in each
 * round of a loop, of three instructions each. */
#define KEPT(x)                                                         \
	__extension__({                                                 \
		static const uint64_t word_ = (x);                      \
		__m256i v_;                                             \
		__asm__("vpbroadcastq %1, %0" : "=v"(v_) : "m"(word_)); \
		v_;                                                     \
	})

BODY uint64_t kept_word(uint64_t x)
{
	__asm__("" : "+r"(x));
	return x;
}

/* @a and @b in turns. */
BODY __m256i pairs(uint64_t a, uint64_t b)
{
	return _mm256_setr_epi64x((long long)a, (long long)b, (long long)a, (long long)b);
}

BODY __m256i two(__m128i a, __m128i b)
{
	return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

BODY __m256i load(const void *p)
{
	return _mm256_loadu_si256(p);
}

BODY void store(void *p, __m256i v)
{
	_mm256_storeu_si256(p, v);
}

BODY bool is_zero(__m256i v)
{
	return _mm256_testz_si256(v, v);
}

/* Whether any lane has its sign bit set. */
BODY bool any_sign(__m256i v)
{
	const __m256d d = _mm256_castsi256_pd(v);

	return !_mm256_testz_pd(d, d);
}

/* How many of @n are in whole fours. */
BODY size_t whole(uint32_t n)
{
	return n & ~(RING_VECTOR - 1);
}

/* Four pairs of words, unpacked: lanes in the order 0, 2, 1, 3. */
struct four {
	__m256i first, second;
};

BODY struct four unpack(__m256i pair01, __m256i pair23)
{
	return (struct four){ _mm256_unpacklo_epi64(pair01, pair23),
			      _mm256_unpackhi_epi64(pair01, pair23) };
}

/* Four descriptors of a packed ring: addresses and metas. */
BODY struct four load_descs(const struct ring_desc *desc)
{
	shared_desc *d = (const void *)desc;
	/* One after the other, as they lie: see above. */
	const __m128i d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];

	return unpack(two(d0, d1), two(d2, d3));
}

/* The same of a split ring, all of them published by an index that was read before. */
BODY struct four load_indexed(const struct ring_desc *desc)
{
	const volatile __m256i_u *d = (const void *)desc;
	const __m256i d01 = d[0], d23 = d[1];

	return unpack(d01, d23);
}

/* What the four @chains end with: in_len id slots, and written. Lanes in their order. */
BODY struct four load_ends(const struct vio_chain *chains)
{
	return unpack(two(_mm_loadu_si128((const void *)&chains[0].in_len),
			  _mm_loadu_si128((const void *)&chains[2].in_len)),
		      two(_mm_loadu_si128((const void *)&chains[1].in_len),
			  _mm_loadu_si128((const void *)&chains[3].in_len)));
}

/* The numbers 0 to 3, for lanes of unpacked words, times @by. */
BODY __m256i lanes(uint64_t by)
{
	return _mm256_setr_epi64x(0, (long long)(2 * by), (long long)by, (long long)(3 * by));
}

/* ---- The device side --------------------------------------------------------------------- */

/* The region in which a burst's buffers are looked for, in vectors. */
struct region {
	__m256i guest, size, host, one;
};

BODY struct region spread(const struct vio_mem_region *r)
{
	return (struct region){ all(r->guest_addr), all(r->size), all((uintptr_t)r->host),
				KEPT(1) };
}

/*
 * Where the buffers at @addr of @len bytes lie goes to *@base. Sign bits are set in what is returned
 * for those that are not wholly in the region, or empty. The size is below 2^62, so that what is left
 * of it can't wrap; an offset below 0 is less than any, and tells by its own sign.
 */
BODY __m256i map_four(const struct region *r, __m256i addr, __m256i len, __m256i *base)
{
	const __m256i off = _mm256_sub_epi64(addr, r->guest);
	const __m256i last = _mm256_sub_epi64(r->size, len);

	*base = _mm256_add_epi64(off, r->host);
	return _mm256_or_si256(_mm256_or_si256(off, _mm256_cmpgt_epi64(off, last)),
			       _mm256_sub_epi64(len, r->one));
}

/* What goes into four chains, and is the same for all of a burst or goes on with it. */
struct fill {
	__m256i at;   /* where their buffers are listed, */
	__m256i step; /* and how far on those of the next four */
	__m256i out;  /* out_num 1, or in_num 1 */
};

BODY struct fill start_fill(const struct vio_iov *iov, const bool write)
{
	return (struct fill){
		.at = _mm256_add_epi64(all((uintptr_t)&iov[1]), lanes(2 * sizeof(*iov))),
		.step = KEPT(2 * RING_VECTOR * sizeof(*iov)),
		.out = write ? KEPT(UINT64_C(1) << 16) : KEPT(1),
	};
}

/* Fills in four chains of a buffer each: at @base, of @len bytes. @in is in_len id slots. */
BODY void put_chains(struct fill *f, struct vio_chain *chain, struct vio_iov *iov, __m256i base,
		     __m256i len, __m256i in, const bool write)
{
	const __m256i iov01 = _mm256_unpacklo_epi64(base, len);
	const __m256i iov23 = _mm256_unpackhi_epi64(base, len);
	const __m256i zero = _mm256_setzero_si256();
	__m256i out = f->out, head01, head23, tail01, tail23;

	_mm_storeu_si128((void *)&iov[1], _mm256_castsi256_si128(iov01));
	_mm_storeu_si128((void *)&iov[3], _mm256_extracti128_si256(iov01, 1));
	_mm_storeu_si128((void *)&iov[5], _mm256_castsi256_si128(iov23));
	_mm_storeu_si128((void *)&iov[7], _mm256_extracti128_si256(iov23, 1));
	if (!write)
		out = _mm256_or_si256(_mm256_slli_epi64(len, 32), out);
	head01 = _mm256_unpacklo_epi64(f->at, out);
	head23 = _mm256_unpackhi_epi64(f->at, out);
	f->at = _mm256_add_epi64(f->at, f->step);
	tail01 = _mm256_unpacklo_epi64(in, zero);
	tail23 = _mm256_unpackhi_epi64(in, zero);
	store(&chain[0], _mm256_permute2x128_si256(head01, tail01, 0x20));
	store(&chain[1], _mm256_permute2x128_si256(head01, tail01, 0x31));
	store(&chain[2], _mm256_permute2x128_si256(head23, tail23, 0x20));
	store(&chain[3], _mm256_permute2x128_si256(head23, tail23, 0x31));
}

BODY uint32_t packed_pop_alike(const struct ring_desc *desc, uint32_t owner,
			       const struct vio_mem_region *region, struct vio_chain *chain,
			       struct vio_iov *iov, uint32_t n, const bool write)
{
	const uint32_t flags = owner | (write ? VIO_DESC_F_WRITE : 0);
	const __m256i want = all((uint64_t)flags << 48),
		      mask = KEPT((uint64_t)(PACKED_OWNER | VIO_DESC_F_NEXT | VIO_DESC_F_INDIRECT |
					     VIO_DESC_F_WRITE)
				  << 48);
	const __m256i low = KEPT(LOW_32), one_slot = KEPT(UINT64_C(1) << 48);
	const __m256i in_id = write ? KEPT(META_LEN_ID) : KEPT(META_ID);
	const struct region r = spread(region);
	struct fill fill = start_fill(iov, write);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const struct four d = load_descs(&desc[i]);
		const __m256i len = _mm256_and_si256(d.second, low);
		__m256i base, bad = map_four(&r, d.first, len, &base);

		if (any_sign(bad) || !_mm256_testz_si256(_mm256_xor_si256(d.second, want), mask))
			break;
		put_chains(&fill, &chain[i], &iov[2 * i], base, len,
			   _mm256_or_si256(_mm256_and_si256(d.second, in_id), one_slot), write);
	}
	return (uint32_t)i;
}

/* What the first descriptor is decides what the others have to be; a peer that changes it in
 * between only makes the run end early. */
BODY uint32_t packed_pop(const struct ring_desc *desc, uint32_t owner,
			 const struct vio_mem_region *r, struct vio_chain *chain,
			 struct vio_iov *iov, uint32_t n)
{
	if (n < RING_VECTOR || r->size >> 62)
		return 0;
	return packed_meta_flags(vio_load(&desc->meta)) & VIO_DESC_F_WRITE ?
		       packed_pop_alike(desc, owner, r, chain, iov, n, true) :
		       packed_pop_alike(desc, owner, r, chain, iov, n, false);
}

BODY uint32_t packed_push(struct ring_desc *desc, uint64_t *head, uint32_t owner,
			  const struct vio_chain *chains, uint32_t n)
{
	const __m256i flags = all((uint64_t)owner << 48), write = KEPT(PACKED_META_WRITE);
	const __m256i low = KEPT(LOW_32), id = KEPT(META_ID),
		      slots = KEPT((uint64_t)UINT16_MAX << 48);
	const __m256i one_slot = KEPT(UINT64_C(1) << 48);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const struct four c = load_ends(&chains[i]);
		const __m256i written = _mm256_and_si256(c.second, low);
		const __m256i none = _mm256_cmpeq_epi64(written, _mm256_setzero_si256());
		__m256i meta;
		__m128i half;

		if (!_mm256_testz_si256(_mm256_xor_si256(c.first, one_slot), slots))
			break;
		meta = _mm256_or_si256(written, _mm256_and_si256(c.first, id));
		meta = _mm256_or_si256(meta, flags);
		meta = _mm256_or_si256(meta, _mm256_andnot_si256(none, write));
		half = _mm256_castsi256_si128(meta);
		_mm_storel_epi64((void *)head, half);
		_mm_storeh_pd((void *)&desc[i + 1].meta, _mm_castsi128_pd(half));
		half = _mm256_extracti128_si256(meta, 1);
		_mm_storel_epi64((void *)&desc[i + 2].meta, half);
		_mm_storeh_pd((void *)&desc[i + 3].meta, _mm_castsi128_pd(half));
		head = &desc[i + RING_VECTOR].meta;
	}
	return (uint32_t)i;
}

BODY uint32_t split_pop_alike(const struct ring_desc *desc, uint32_t mask, const uint16_t *heads,
			      uint8_t *taken, const struct vio_mem_region *region,
			      struct vio_chain *chain, struct vio_iov *iov, uint32_t n,
			      const bool write)
{
	const __m256i want = write ? KEPT(SPLIT_META_WRITE) : _mm256_setzero_si256();
	const __m256i plain = KEPT(SPLIT_META_NEXT | SPLIT_META_INDIRECT | SPLIT_META_WRITE);
	const __m256i low = KEPT(LOW_32);
	const __m256i ids_slots = _mm256_or_si256(lanes(UINT64_C(1) << 32), all(UINT64_C(1) << 48));
	const struct region r = spread(region);
	struct fill fill = start_fill(iov, write);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const uint64_t ids = *(const volatile any_u64 *)(const void *)&heads[i];
		const uint64_t id = (uint16_t)ids;
		any_u32 *const were = (void *)&taken[id];
		struct four d;
		__m256i len, base, bad, in;

		if (id + RING_VECTOR - 1 > mask || !follow(ids) || *were != 0)
			break;
		d = load_indexed(&desc[id]);
		len = _mm256_and_si256(d.second, low);
		bad = map_four(&r, d.first, len, &base);
		if (any_sign(bad) || !_mm256_testz_si256(_mm256_xor_si256(d.second, want), plain))
			break;
		*were = 0x01010101;
		in = _mm256_add_epi64(all(id << 32), ids_slots);
		put_chains(&fill, &chain[i], &iov[2 * i], base, len,
			   write ? _mm256_or_si256(in, len) : in, write);
	}
	return (uint32_t)i;
}

BODY uint32_t split_pop(const struct ring_desc *desc, uint32_t mask, const uint16_t *heads,
			uint8_t *taken, const struct vio_mem_region *r, struct vio_chain *chain,
			struct vio_iov *iov, uint32_t n)
{
	if (n < RING_VECTOR || r->size >> 62)
		return 0;
	return vio_load(&desc[vio_load(heads) & mask].meta) & SPLIT_META_WRITE ?
		       split_pop_alike(desc, mask, heads, taken, r, chain, iov, n, true) :
		       split_pop_alike(desc, mask, heads, taken, r, chain, iov, n, false);
}

BODY uint32_t split_push(uint64_t *shared, uint64_t *shadow, uint8_t *taken,
			 const struct vio_chain *chains, uint32_t n)
{
	const size_t end = whole(n);
	size_t i, k;

	for (i = 0; i < end; i += RING_VECTOR) {
		const struct four c = load_ends(&chains[i]);
		/* The id is the lowest of four words, the length the two highest; none between. */
		const __m256i elem = _mm256_blend_epi16(_mm256_srli_epi64(c.first, 32),
							_mm256_slli_epi64(c.second, 32), 0xee);

		for (k = 0; k < RING_VECTOR; k++)
			taken[chains[i + k].id] = 0;
		if (is_zero(_mm256_xor_si256(elem, load(&shadow[i]))))
			continue;
		store(&shadow[i], elem);
		store(&shared[i], elem);
	}
	return (uint32_t)i;
}

/* ---- The driver side --------------------------------------------------------------------- */

/* Slots of four buffers of one descriptor, which @shape says, and @in_len bytes; tokens as they lie in
 * memory. */
BODY void put_slots(struct ring_slot *slots, const void *tokens, __m256i in_len, __m256i shape)
{
	const __m256i token = _mm256_permute4x64_epi64(load(tokens), 0xd8);
	const __m256i word = _mm256_or_si256(in_len, shape);

	store(&slots[0], _mm256_unpacklo_epi64(token, word));
	store(&slots[2], _mm256_unpackhi_epi64(token, word));
}

/* What slots are compared with. */
struct plain {
	__m256i one;  /* the shape of what is plain, */
	__m256i high; /* and where it stands */
};

BODY struct plain plain_words(void)
{
	return (struct plain){ KEPT((uint64_t)RING_SHAPE_ONE << 32), KEPT(~LOW_32) };
}

/*
 * Takes the buffers out of four slots whose used lengths are @len, lanes unpacked. False when they
 * are not all in flight and plain, or a length is above what was posted.
 *
 * The shape of what is in flight is 1, which becomes 0 and leaves only what is left of the length
 * posted, or more, which becomes 2 at least: so much that no length takes all of it away.
 */
BODY bool take_slots(const struct plain *p, struct ring_slot *slots, __m256i len,
		     struct vio_drvq_done *done)
{
	const struct four s = unpack(load(&slots[0]), load(&slots[2]));
	const __m256i left = _mm256_sub_epi64(_mm256_xor_si256(s.second, p->one), len);
	const __m256i none = _mm256_cmpeq_epi64(s.first, _mm256_setzero_si256());

	if (!_mm256_testz_si256(_mm256_or_si256(left, none), p->high))
		return false;
	store(&slots[0], _mm256_setzero_si256());
	store(&slots[2], _mm256_setzero_si256());
	store(&done[0], _mm256_unpacklo_epi64(s.first, len));
	store(&done[2], _mm256_unpackhi_epi64(s.first, len));
	return true;
}

/* The same for four of which nothing was said: what was posted is their length. They are in flight. */
BODY bool take_unsaid(struct ring_slot *slots, struct vio_drvq_done *done)
{
	const __m256i plain = pairs(0, (uint64_t)RING_SHAPE_ONE << 32);
	const __m256i token_len = pairs(UINT64_MAX, LOW_32);
	const __m256i s01 = load(&slots[0]), s23 = load(&slots[2]);
	const __m256i odd =
		_mm256_or_si256(_mm256_xor_si256(s01, plain), _mm256_xor_si256(s23, plain));

	if (!_mm256_testz_si256(odd, pairs(0, ~LOW_32)))
		return false;
	store(&slots[0], _mm256_setzero_si256());
	store(&slots[2], _mm256_setzero_si256());
	store(&done[0], _mm256_and_si256(s01, token_len));
	store(&done[2], _mm256_and_si256(s23, token_len));
	return true;
}

BODY uint32_t packed_take(struct ring_slot *slots, struct vio_drvq_done *done, uint32_t n)
{
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR)
		if (!take_unsaid(&slots[i], &done[i]))
			break;
	return (uint32_t)i;
}

/* Four descriptors of ids from @id on; with @head the first's meta word goes there. */
BODY void packed_add_four(struct ring_desc *desc, uint64_t *head, uint32_t flags,
			  struct ring_slot *slots, uint64_t id, const struct vio_seg *segs,
			  const void *tokens, __m256i shape)
{
	const __m256i keep = _mm256_setr_epi64x(-1, (long long)LOW_32, -1, (long long)LOW_32);
	const uint64_t above = id << 32 | (uint64_t)flags << 48, next = UINT64_C(1) << 32;
	const __m256i meta01 =
		_mm256_setr_epi64x(0, (long long)above, 0, (long long)(above + next));
	const __m256i meta23 = _mm256_add_epi64(
		meta01, _mm256_setr_epi64x(0, (long long)(2 * next), 0, (long long)(2 * next)));
	const __m256i seg01 = _mm256_and_si256(load(&segs[0]), keep);
	const __m256i seg23 = _mm256_and_si256(load(&segs[2]), keep);
	const uint64_t write = flags & VIO_DESC_F_WRITE ? UINT64_MAX : 0;

	if (head) {
		const __m256i desc01 = _mm256_or_si256(seg01, meta01);
		const __m128i desc0 = _mm256_castsi256_si128(desc01);

		_mm_storel_epi64((void *)&desc[0].addr, desc0);
		_mm_storeh_pd((void *)head, _mm_castsi128_pd(desc0));
		_mm_storeu_si128((void *)&desc[1], _mm256_extracti128_si256(desc01, 1));
	} else {
		store(&desc[0], _mm256_or_si256(seg01, meta01));
	}
	store(&desc[2], _mm256_or_si256(seg23, meta23));
	put_slots(slots, tokens, _mm256_and_si256(_mm256_unpackhi_epi64(seg01, seg23), all(write)),
		  shape);
}

BODY uint32_t packed_add(struct ring_desc *desc, uint64_t *head, uint32_t flags,
			 struct ring_slot *slots, const uint16_t *ids, const struct vio_seg *segs,
			 void *const *tokens, uint32_t n)
{
	const __m256i shape = KEPT((uint64_t)RING_SHAPE_ONE << 32);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&ids[i];
		const uint64_t id = (uint16_t)four;

		if (!follow(four))
			break;
		packed_add_four(&desc[i], head, flags, &slots[id], id, &segs[i], &tokens[i], shape);
		head = NULL;
	}
	return (uint32_t)i;
}

BODY uint32_t packed_add_in_order(struct ring_desc *desc, uint64_t *head, uint32_t flags,
				  struct ring_slot *slots, uint32_t id, const struct vio_seg *segs,
				  void *const *tokens, uint32_t n)
{
	const __m256i shape = KEPT((uint64_t)RING_SHAPE_ONE << 32);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		packed_add_four(&desc[i], head, flags, &slots[i], id + i, &segs[i], &tokens[i],
				shape);
		head = NULL;
	}
	return (uint32_t)i;
}

/* What used descriptors are compared with. */
struct reap_words {
	struct plain plain;
	__m256i mask; /* whose they are, and their ids */
	__m256i low;
};

BODY struct reap_words packed_reap_words(void)
{
	return (struct reap_words){ plain_words(), KEPT((uint64_t)PACKED_OWNER << 48 | META_ID),
				    KEPT(LOW_32) };
}

/* The first is to have @owner and @id, the others the ids that follow. */
BODY __m256i want_ids(uint32_t owner, uint64_t id)
{
	return _mm256_add_epi64(all((uint64_t)owner << 48 | id << 32), lanes(UINT64_C(1) << 32));
}

/* Takes four used descriptors, which have to be as @want says. */
BODY bool packed_reap_four(const struct reap_words *w, __m256i meta, __m256i want,
			   struct ring_slot *slots, struct vio_drvq_done *done)
{
	return _mm256_testz_si256(_mm256_xor_si256(meta, want), w->mask) &&
	       take_slots(&w->plain, slots, _mm256_and_si256(meta, w->low), done);
}

BODY uint32_t packed_reap(const struct ring_desc *desc, uint32_t owner, struct ring_slot *slots,
			  uint32_t num, uint16_t *ids, struct vio_drvq_done *done, uint32_t n)
{
	const struct reap_words w = packed_reap_words();
	const uint64_t each = kept_word(FOLLOWING(1) - FOLLOWING(0)),
		       first = kept_word(FOLLOWING(0));
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const __m256i meta = load_descs(&desc[i]).second;
		const uint64_t id =
			packed_meta_id((uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(meta)));

		if (id + RING_VECTOR > num ||
		    !packed_reap_four(&w, meta, want_ids(owner, id), &slots[id], &done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = id * each + first;
	}
	return (uint32_t)i;
}

BODY uint32_t packed_reap_in_order(const struct ring_desc *desc, uint32_t owner,
				   struct ring_slot *slots, uint32_t id, struct vio_drvq_done *done,
				   uint32_t n)
{
	const struct reap_words w = packed_reap_words();
	const __m256i four = KEPT((uint64_t)RING_VECTOR << 32);
	const size_t end = whole(n);
	__m256i want = want_ids(owner, id);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		if (!packed_reap_four(&w, load_descs(&desc[i]).second, want, &slots[i], &done[i]))
			break;
		want = _mm256_add_epi64(want, four);
	}
	return (uint32_t)i;
}

BODY uint32_t split_add(struct ring_desc *desc, struct ring_desc *shadow, struct ring_slot *slots,
			const uint16_t *ids, uint16_t *heads, uint16_t *heads_shadow,
			uint64_t flags, const struct vio_seg *segs, void *const *tokens, uint32_t n)
{
	const __m256i keep = _mm256_setr_epi64x(-1, (long long)LOW_32, -1, (long long)LOW_32);
	const __m256i above = _mm256_setr_epi64x(0, (long long)flags, 0, (long long)flags);
	const __m256i write = all(flags & SPLIT_META_WRITE ? LOW_32 : 0);
	const __m256i shape = KEPT((uint64_t)RING_SHAPE_ONE << 32);
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&ids[i];
		const uint64_t id = (uint16_t)four;
		__m256i new01, new23, diff01, diff23;

		if (!follow(four))
			break;
		new01 = _mm256_or_si256(_mm256_and_si256(load(&segs[i]), keep), above);
		new23 = _mm256_or_si256(_mm256_and_si256(load(&segs[i + 2]), keep), above);
		diff01 = _mm256_xor_si256(new01, load(&shadow[id]));
		diff23 = _mm256_xor_si256(new23, load(&shadow[id + 2]));
		if (!is_zero(_mm256_or_si256(diff01, diff23))) {
			store(&shadow[id], new01);
			store(&shadow[id + 2], new23);
			store(&desc[id], new01);
			store(&desc[id + 2], new23);
		}
		put_slots(&slots[id], &tokens[i],
			  _mm256_and_si256(_mm256_unpackhi_epi64(new01, new23), write), shape);
		if (*(any_u64 *)(void *)&heads_shadow[i] != four) {
			*(any_u64 *)(void *)&heads_shadow[i] = four;
			*(any_u64 *)(void *)&heads[i] = four;
		}
	}
	return (uint32_t)i;
}

BODY uint32_t split_reap(const uint64_t *used, uint32_t mask, struct ring_slot *slots,
			 const uint16_t *order, uint16_t *ids, struct vio_drvq_done *done,
			 uint32_t n)
{
	const __m256i ahead = _mm256_setr_epi64x(0, 1, 2, 3), low = KEPT(LOW_32);
	const struct plain plain = plain_words();
	const uint64_t each = kept_word(FOLLOWING(1) - FOLLOWING(0)),
		       first = kept_word(FOLLOWING(0));
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const __m256i elem = *(const volatile __m256i_u *)(const volatile void *)&used[i];
		const uint64_t id = (uint32_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(elem));
		const __m256i want = _mm256_add_epi64(all(id), ahead);
		const uint64_t ids4 = id * each + first;
		__m256i len;

		if (id + RING_VECTOR - 1 > mask ||
		    !_mm256_testz_si256(_mm256_xor_si256(elem, want), low))
			break;
		if (order && *(const any_u64 *)(const void *)&order[i] != ids4)
			break;
		len = _mm256_permute4x64_epi64(_mm256_srli_epi64(elem, 32), 0xd8);
		if (!take_slots(&plain, &slots[id], len, &done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = ids4;
	}
	return (uint32_t)i;
}

BODY uint32_t split_take(struct ring_slot *slots, const uint16_t *order, uint16_t *ids,
			 struct vio_drvq_done *done, uint32_t n)
{
	const size_t end = whole(n);
	size_t i;

	for (i = 0; i < end; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&order[i];

		if (!follow(four) || !take_unsaid(&slots[(uint16_t)four], &done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = four;
	}
	return (uint32_t)i;
}

/* ---- One set for each level ----------------------------------------------------------------- */

#define PACKED_POP_ARGS                                                        \
	const struct ring_desc *d, uint32_t o, const struct vio_mem_region *r, \
		struct vio_chain *c, struct vio_iov *v, uint32_t n
#define PACKED_PUSH_ARGS \
	struct ring_desc *d, uint64_t *h, uint32_t o, const struct vio_chain *c, uint32_t n
#define PACKED_ADD_ARGS                                                                       \
	struct ring_desc *d, uint64_t *h, uint32_t f, struct ring_slot *s, const uint16_t *i, \
		const struct vio_seg *g, void *const *t, uint32_t n
#define PACKED_REAP_ARGS                                                                     \
	const struct ring_desc *d, uint32_t o, struct ring_slot *s, uint32_t m, uint16_t *i, \
		struct vio_drvq_done *e, uint32_t n
#define PACKED_ADD_IN_ORDER_ARGS                                                       \
	struct ring_desc *d, uint64_t *h, uint32_t f, struct ring_slot *s, uint32_t i, \
		const struct vio_seg *g, void *const *t, uint32_t n
#define PACKED_REAP_IN_ORDER_ARGS                                               \
	const struct ring_desc *d, uint32_t o, struct ring_slot *s, uint32_t i, \
		struct vio_drvq_done *e, uint32_t n
#define PACKED_TAKE_ARGS struct ring_slot *s, struct vio_drvq_done *e, uint32_t n
#define SPLIT_POP_ARGS                                                        \
	const struct ring_desc *d, uint32_t m, const uint16_t *h, uint8_t *k, \
		const struct vio_mem_region *r, struct vio_chain *c, struct vio_iov *v, uint32_t n
#define SPLIT_PUSH_ARGS uint64_t *u, uint64_t *w, uint8_t *k, const struct vio_chain *c, uint32_t n
#define SPLIT_ADD_ARGS                                                                         \
	struct ring_desc *d, struct ring_desc *w, struct ring_slot *s, const uint16_t *i,      \
		uint16_t *h, uint16_t *x, uint64_t f, const struct vio_seg *g, void *const *t, \
		uint32_t n
#define SPLIT_REAP_ARGS                                                                     \
	const uint64_t *u, uint32_t m, struct ring_slot *s, const uint16_t *h, uint16_t *i, \
		struct vio_drvq_done *e, uint32_t n

#define SPLIT_TAKE_ARGS \
	struct ring_slot *s, const uint16_t *h, uint16_t *i, struct vio_drvq_done *e, uint32_t n

#define KERNEL(target, level, name, args, call)     \
	target static uint32_t name##_##level(args) \
	{                                           \
		return name call;                   \
	}

#define KERNELS(target, level)                                                                     \
	KERNEL(target, level, packed_pop, PACKED_POP_ARGS, (d, o, r, c, v, n))                     \
	KERNEL(target, level, packed_push, PACKED_PUSH_ARGS, (d, h, o, c, n))                      \
	KERNEL(target, level, packed_add, PACKED_ADD_ARGS, (d, h, f, s, i, g, t, n))               \
	KERNEL(target, level, packed_reap, PACKED_REAP_ARGS, (d, o, s, m, i, e, n))                \
	KERNEL(target, level, packed_add_in_order, PACKED_ADD_IN_ORDER_ARGS,                       \
	       (d, h, f, s, i, g, t, n))                                                           \
	KERNEL(target, level, packed_reap_in_order, PACKED_REAP_IN_ORDER_ARGS, (d, o, s, i, e, n)) \
	KERNEL(target, level, packed_take, PACKED_TAKE_ARGS, (s, e, n))                            \
	KERNEL(target, level, split_pop, SPLIT_POP_ARGS, (d, m, h, k, r, c, v, n))                 \
	KERNEL(target, level, split_push, SPLIT_PUSH_ARGS, (u, w, k, c, n))                        \
	KERNEL(target, level, split_add, SPLIT_ADD_ARGS, (d, w, s, i, h, x, f, g, t, n))           \
	KERNEL(target, level, split_reap, SPLIT_REAP_ARGS, (u, m, s, h, i, e, n))                  \
	KERNEL(target, level, split_take, SPLIT_TAKE_ARGS, (s, h, i, e, n))                        \
	const struct ring_vector vio_ring_##level = {                                              \
		.packed_pop = packed_pop_##level,                                                  \
		.packed_push = packed_push_##level,                                                \
		.packed_add = packed_add_##level,                                                  \
		.packed_reap = packed_reap_##level,                                                \
		.packed_add_in_order = packed_add_in_order_##level,                                \
		.packed_reap_in_order = packed_reap_in_order_##level,                              \
		.packed_take = packed_take_##level,                                                \
		.split_pop = split_pop_##level,                                                    \
		.split_push = split_push_##level,                                                  \
		.split_add = split_add_##level,                                                    \
		.split_reap = split_reap_##level,                                                  \
		.split_take = split_take_##level,                                                  \
	}

KERNELS(AVX2, avx2);
KERNELS(AVX512, avx512);

#endif
