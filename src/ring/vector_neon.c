/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernels for AArch64. See vector.h for what they do; here is how.
 *
 * A vector is 16 bytes: one descriptor, or the same word of two. So four descriptors are gone
 * through as two pairs, whose checks are gathered in the sign bits of the lanes and looked at once
 * for all four, before anything is written. Zipping two vectors of two words makes of two structures
 * their first words and their second words, and again the structures of those.
 *
 * Loads are reordered here, and of a 16-byte load only each half is atomic. In a packed ring the
 * flags say what may be read, and of what a peer publishes together it stores the first
 * descriptor's flags last. So a meta word may be loaded neither before its own address's turn nor
 * before the meta words in front of it: a peer may have written the flags of a later descriptor,
 * and published them by an earlier one, before the rest of that word is there. Each of the four is
 * therefore loaded by an acquire, in the order of the ring, and the addresses are loaded behind;
 * every word once. One fence between four meta words in any order and the addresses would not do.
 *
 * In a split ring all that is read was published by an index, which the caller has loaded by an
 * acquire. These loads are vectors; that one may be in pieces only matters with a peer that breaks
 * the rules, and what is in the register is checked whatever it is.
 *
 * Stores need no order among themselves: the callers keep back the index or the first descriptor's
 * meta word, and store it by a release.
 */
#include "ring/vector.h"

#include "base/simd.h"

#if VIO_SIMD_ARM64

#include <arm_neon.h>

#include "ring/packed.h"
#include "ring/split.h"
#include "ring/vector_words.h"

#define BODY static vio_always_inline

/* The same word of two structures, or a structure of two words. */
typedef uint64x2_t pair;
typedef pair any_pair __attribute__((may_alias, aligned(4)));

BODY pair all(uint64_t x)
{
	return vdupq_n_u64(x);
}

BODY pair two(uint64_t a, uint64_t b)
{
	return vcombine_u64(vcreate_u64(a), vcreate_u64(b));
}

BODY pair firsts(pair a, pair b)
{
	return vzip1q_u64(a, b);
}

BODY pair seconds(pair a, pair b)
{
	return vzip2q_u64(a, b);
}

BODY pair load(const void *p)
{
	return *(const any_pair *)p;
}

/* What a peer may be changing: once. */
BODY pair load_shared(const void *p)
{
	return *(const volatile any_pair *)p;
}

BODY void store(void *p, pair v)
{
	*(any_pair *)p = v;
}

BODY bool is_zero(pair v)
{
	return vmaxvq_u32(vreinterpretq_u32_u64(v)) == 0;
}

/* The numbers 0 and 1, or 2 and 3, times @by. */
BODY pair lanes(unsigned first, uint64_t by)
{
	return two(first * by, (first + 1) * by);
}

/* One word each of four structures. */
struct four {
	pair low, high;
};

/* The meta words of four descriptors of a packed ring. Pairs with the releases in packed_driver.c
 * and packed_device.c, packed_publish(). */
BODY struct four load_metas(const struct ring_desc *desc)
{
	const uint64_t m0 = vio_load_acquire(&desc[0].meta), m1 = vio_load_acquire(&desc[1].meta);
	const uint64_t m2 = vio_load_acquire(&desc[2].meta), m3 = vio_load_acquire(&desc[3].meta);

	return (struct four){ two(m0, m1), two(m2, m3) };
}

/* Their addresses. */
BODY struct four load_addrs(const struct ring_desc *desc)
{
	return (struct four){ two(vio_load(&desc[0].addr), vio_load(&desc[1].addr)),
			      two(vio_load(&desc[2].addr), vio_load(&desc[3].addr)) };
}

/* ---- The device side --------------------------------------------------------------------- */

/* The region in which a burst's buffers are looked for, in vectors. */
struct region {
	pair guest, size, host;
};

BODY struct region spread(const struct vio_mem_region *r)
{
	return (struct region){ all(r->guest_addr), all(r->size), all((uintptr_t)r->host) };
}

/*
 * Where the buffers at @addr of @len bytes lie goes to *@base. Sign bits are set in what is returned
 * for those that are not wholly in the region, or empty. The first two checks put the offset
 * between 0 and the size, which is below 2^62, so that the third can't wrap.
 */
BODY pair map_two(const struct region *r, pair addr, pair len, pair *base)
{
	const pair off = vsubq_u64(addr, r->guest);
	const pair left = vsubq_u64(r->size, off);

	*base = vaddq_u64(off, r->host);
	return vorrq_u64(vorrq_u64(off, left),
			 vorrq_u64(vsubq_u64(left, len), vsubq_u64(len, all(1))));
}

/* Four buffers as their descriptors say it. */
struct buffers {
	struct four base, len;
};

/*
 * Maps the buffers at @addr whose metas are @meta. Returns whether all are in the region and the
 * bits @mask of their metas as @want has them.
 */
BODY bool map_four(const struct region *r, struct four addr, struct four meta, pair want, pair mask,
		   struct buffers *b)
{
	pair bad, odd;

	b->len = (struct four){ vandq_u64(meta.low, all(LOW_32)),
				vandq_u64(meta.high, all(LOW_32)) };
	bad = vorrq_u64(map_two(r, addr.low, b->len.low, &b->base.low),
			map_two(r, addr.high, b->len.high, &b->base.high));
	odd = vorrq_u64(veorq_u64(meta.low, want), veorq_u64(meta.high, want));
	return is_zero(vorrq_u64(vandq_u64(bad, all(SIGN)), vandq_u64(odd, mask)));
}

/* Fills in two chains of a buffer each: at @base, of @len bytes; @len_id has the id above it. */
BODY void put_two(struct vio_chain *chain, struct vio_iov *iov, pair base, pair len, pair len_id,
		  const bool write)
{
	const pair at = two((uintptr_t)&iov[1], (uintptr_t)&iov[3]);
	const pair one_slot = all(UINT64_C(1) << 48), zero = all(0);
	pair out, in;

	if (write) {
		out = all(UINT64_C(1) << 16); /* in_num 1 */
		in = vorrq_u64(len_id, one_slot);
	} else {
		out = vorrq_u64(vshlq_n_u64(len, 32), all(1)); /* out_num 1 */
		in = vorrq_u64(vandq_u64(len_id, all(META_ID)), one_slot);
	}
	store(&iov[1], firsts(base, len));
	store(&iov[3], seconds(base, len));
	store(&chain[0], firsts(at, out));
	store(&chain[0].in_len, firsts(in, zero));
	store(&chain[1], seconds(at, out));
	store(&chain[1].in_len, seconds(in, zero));
}

BODY void put_four(struct vio_chain *chain, struct vio_iov *iov, const struct buffers *b,
		   struct four len_id, const bool write)
{
	put_two(&chain[0], &iov[0], b->base.low, b->len.low, len_id.low, write);
	put_two(&chain[2], &iov[4], b->base.high, b->len.high, len_id.high, write);
}

BODY uint32_t packed_pop_alike(const struct ring_desc *desc, uint32_t owner,
			       const struct vio_mem_region *region, struct vio_chain *chain,
			       struct vio_iov *iov, uint32_t n, const bool write)
{
	const uint32_t flags = owner | (write ? VIO_DESC_F_WRITE : 0);
	const uint32_t plain = PACKED_OWNER | VIO_DESC_F_NEXT | VIO_DESC_F_INDIRECT |
			       VIO_DESC_F_WRITE;
	const pair want = all((uint64_t)flags << 48), mask = all((uint64_t)plain << 48);
	const pair keep = all(META_LEN_ID);
	const struct region r = spread(region);
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const struct four meta = load_metas(&desc[i]);
		const struct four addr = load_addrs(&desc[i]);
		struct buffers b;

		if (!map_four(&r, addr, meta, want, mask, &b))
			break;
		put_four(&chain[i], &iov[2 * i], &b,
			 (struct four){ vandq_u64(meta.low, keep), vandq_u64(meta.high, keep) },
			 write);
	}
	return i;
}

/* What the first descriptor is decides what the others have to be; a peer that changes it in
 * between only makes the run end early. */
static uint32_t packed_pop(const struct ring_desc *desc, uint32_t owner,
			   const struct vio_mem_region *r, struct vio_chain *chain,
			   struct vio_iov *iov, uint32_t n)
{
	if (n < RING_VECTOR || r->size >> 62)
		return 0;
	return packed_meta_flags(vio_load(&desc->meta)) & VIO_DESC_F_WRITE ?
		       packed_pop_alike(desc, owner, r, chain, iov, n, true) :
		       packed_pop_alike(desc, owner, r, chain, iov, n, false);
}

/* in_len id slots, and written, of two chains. */
BODY struct four load_ends(const struct vio_chain *chain)
{
	const pair a = load(&chain[0].in_len), b = load(&chain[1].in_len);

	return (struct four){ firsts(a, b), seconds(a, b) };
}

/* The used words of two chains of which @ends were loaded. */
BODY pair used_words(struct four ends, pair flags)
{
	const pair written = vandq_u64(ends.high, all(LOW_32));
	const pair write = vandq_u64(vtstq_u64(written, written), all(PACKED_META_WRITE));

	return vorrq_u64(vorrq_u64(written, vandq_u64(ends.low, all(META_ID))),
			 vorrq_u64(write, flags));
}

static uint32_t packed_push(struct ring_desc *desc, uint64_t *head, uint32_t owner,
			    const struct vio_chain *chains, uint32_t n)
{
	const pair flags = all((uint64_t)owner << 48), one = all(1);
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const struct four low = load_ends(&chains[i]), high = load_ends(&chains[i + 2]);
		pair first, second;

		if (!is_zero(vorrq_u64(veorq_u64(vshrq_n_u64(low.low, 48), one),
				       veorq_u64(vshrq_n_u64(high.low, 48), one))))
			break;
		first = used_words(low, flags);
		second = used_words(high, flags);
		vio_store(head, vgetq_lane_u64(first, 0));
		vio_store(&desc[i + 1].meta, vgetq_lane_u64(first, 1));
		vio_store(&desc[i + 2].meta, vgetq_lane_u64(second, 0));
		vio_store(&desc[i + 3].meta, vgetq_lane_u64(second, 1));
		head = &desc[i + RING_VECTOR].meta;
	}
	return i;
}

/* Four descriptors of a split ring: addresses and metas. */
BODY struct four load_descs(const struct ring_desc *desc, struct four *meta)
{
	const pair d0 = load_shared(&desc[0]), d1 = load_shared(&desc[1]);
	const pair d2 = load_shared(&desc[2]), d3 = load_shared(&desc[3]);

	*meta = (struct four){ seconds(d0, d1), seconds(d2, d3) };
	return (struct four){ firsts(d0, d1), firsts(d2, d3) };
}

BODY uint32_t split_pop_alike(const struct ring_desc *desc, uint32_t mask, const uint16_t *heads,
			      uint8_t *taken, const struct vio_mem_region *region,
			      struct vio_chain *chain, struct vio_iov *iov, uint32_t n,
			      const bool write)
{
	const pair want = all(write ? SPLIT_META_WRITE : 0);
	const pair plain = all(SPLIT_META_NEXT | SPLIT_META_INDIRECT | SPLIT_META_WRITE);
	const struct region r = spread(region);
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const uint64_t ids = *(const volatile any_u64 *)(const void *)&heads[i];
		const uint64_t id = (uint16_t)ids;
		any_u32 *const were = (void *)&taken[id];
		struct four addr, meta, len_id;
		struct buffers b;

		if (id + RING_VECTOR - 1 > mask || ids != FOLLOWING(id) || *were != 0)
			break;
		addr = load_descs(&desc[id], &meta);
		if (!map_four(&r, addr, meta, want, plain, &b))
			break;
		*were = 0x01010101;
		len_id.low = vaddq_u64(all(id << 32), lanes(0, UINT64_C(1) << 32));
		len_id.high = vaddq_u64(all(id << 32), lanes(2, UINT64_C(1) << 32));
		len_id.low = vorrq_u64(len_id.low, b.len.low);
		len_id.high = vorrq_u64(len_id.high, b.len.high);
		put_four(&chain[i], &iov[2 * i], &b, len_id, write);
	}
	return i;
}

static uint32_t split_pop(const struct ring_desc *desc, uint32_t mask, const uint16_t *heads,
			  uint8_t *taken, const struct vio_mem_region *r, struct vio_chain *chain,
			  struct vio_iov *iov, uint32_t n)
{
	if (n < RING_VECTOR || r->size >> 62)
		return 0;
	return vio_load(&desc[vio_load(heads) & mask].meta) & SPLIT_META_WRITE ?
		       split_pop_alike(desc, mask, heads, taken, r, chain, iov, n, true) :
		       split_pop_alike(desc, mask, heads, taken, r, chain, iov, n, false);
}

/* The used elements of two chains: id:32 | len:32. */
BODY pair used_elems(const struct vio_chain *chain)
{
	const struct four ends = load_ends(chain);
	const pair id = vandq_u64(vshrq_n_u64(ends.low, 32), all(0xffff));

	return vorrq_u64(id, vshlq_n_u64(ends.high, 32));
}

static uint32_t split_push(uint64_t *shared, uint64_t *shadow, uint8_t *taken,
			   const struct vio_chain *chains, uint32_t n)
{
	uint32_t i, k;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const pair low = used_elems(&chains[i]), high = used_elems(&chains[i + 2]);

		for (k = 0; k < RING_VECTOR; k++)
			taken[chains[i + k].id] = 0;
		if (is_zero(vorrq_u64(veorq_u64(low, load(&shadow[i])),
				      veorq_u64(high, load(&shadow[i + 2])))))
			continue;
		store(&shadow[i], low);
		store(&shadow[i + 2], high);
		store(&shared[i], low);
		store(&shared[i + 2], high);
	}
	return i;
}

/* ---- The driver side --------------------------------------------------------------------- */

/* Slots of two buffers of one descriptor and @in_len bytes. */
BODY void put_slots(struct ring_slot *slots, const void *tokens, pair in_len)
{
	const pair token = load(tokens);
	const pair word = vorrq_u64(in_len, all((uint64_t)RING_SHAPE_ONE << 32));

	store(&slots[0], firsts(token, word));
	store(&slots[1], seconds(token, word));
}

/* Tokens, and what there is beside them, of two slots. */
BODY struct four load_slots(const struct ring_slot *slots)
{
	const pair a = load(&slots[0]), b = load(&slots[1]);

	return (struct four){ firsts(a, b), seconds(a, b) };
}

/* Not zero when of two slots one is not in flight, not plain, or of fewer bytes than @len says. */
BODY pair slots_unfit(struct four s, pair len)
{
	const pair shape = veorq_u64(vshrq_n_u64(s.high, 32), all(RING_SHAPE_ONE));
	const pair over = vsubq_u64(vandq_u64(s.high, all(LOW_32)), len);

	return vorrq_u64(vorrq_u64(shape, vandq_u64(over, all(SIGN))), vceqzq_u64(s.low));
}

/* Takes the buffers out of four slots whose used lengths are @len; false when that can't be. */
BODY bool take_slots(struct ring_slot *slots, struct four len, struct vio_drvq_done *done)
{
	const struct four low = load_slots(&slots[0]), high = load_slots(&slots[2]);
	const pair zero = all(0);
	unsigned k;

	if (!is_zero(vorrq_u64(slots_unfit(low, len.low), slots_unfit(high, len.high))))
		return false;
	for (k = 0; k < RING_VECTOR; k++)
		store(&slots[k], zero);
	store(&done[0], firsts(low.low, len.low));
	store(&done[1], seconds(low.low, len.low));
	store(&done[2], firsts(high.low, len.high));
	store(&done[3], seconds(high.low, len.high));
	return true;
}

/* The same for four of which nothing was said: what was posted is their length. They are in flight. */
BODY bool take_unsaid(struct ring_slot *slots, struct vio_drvq_done *done)
{
	const pair plain = two(0, (uint64_t)RING_SHAPE_ONE << 32),
		   token_len = two(UINT64_MAX, LOW_32);
	pair s[RING_VECTOR], odd = all(0);
	unsigned k;

	for (k = 0; k < RING_VECTOR; k++) {
		s[k] = load(&slots[k]);
		odd = vorrq_u64(odd, veorq_u64(s[k], plain));
	}
	if (!is_zero(vandq_u64(odd, two(0, ~LOW_32))))
		return false;
	for (k = 0; k < RING_VECTOR; k++) {
		store(&slots[k], all(0));
		store(&done[k], vandq_u64(s[k], token_len));
	}
	return true;
}

static uint32_t packed_take(struct ring_slot *slots, struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR)
		if (!take_unsaid(&slots[i], &done[i]))
			break;
	return i;
}

/* The descriptor of one segment with @above its length. */
BODY pair make_desc(const struct vio_seg *seg, uint64_t above)
{
	return vorrq_u64(vandq_u64(load(seg), two(UINT64_MAX, LOW_32)), two(0, above));
}

/* Four descriptors of ids from @id on; the first's meta word goes to @head. */
BODY void packed_add_four(struct ring_desc *desc, uint64_t *head, uint32_t flags,
			  struct ring_slot *slots, uint64_t id, const struct vio_seg *segs,
			  void *const *tokens)
{
	const uint64_t above = id << 32 | (uint64_t)flags << 48, next = UINT64_C(1) << 32;
	const pair in = all(flags & VIO_DESC_F_WRITE ? LOW_32 : 0);
	const pair d0 = make_desc(&segs[0], above), d1 = make_desc(&segs[1], above + next);
	const pair d2 = make_desc(&segs[2], above + 2 * next);
	const pair d3 = make_desc(&segs[3], above + 3 * next);

	vio_store(&desc[0].addr, vgetq_lane_u64(d0, 0));
	vio_store(head, vgetq_lane_u64(d0, 1));
	store(&desc[1], d1);
	store(&desc[2], d2);
	store(&desc[3], d3);
	put_slots(&slots[0], &tokens[0], vandq_u64(seconds(d0, d1), in));
	put_slots(&slots[2], &tokens[2], vandq_u64(seconds(d2, d3), in));
}

static uint32_t packed_add(struct ring_desc *desc, uint64_t *head, uint32_t flags,
			   struct ring_slot *slots, const uint16_t *ids, const struct vio_seg *segs,
			   void *const *tokens, uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&ids[i];
		const uint64_t id = (uint16_t)four;

		if (four != FOLLOWING(id))
			break;
		packed_add_four(&desc[i], head, flags, &slots[id], id, &segs[i], &tokens[i]);
		head = &desc[i + RING_VECTOR].meta;
	}
	return i;
}

static uint32_t packed_add_in_order(struct ring_desc *desc, uint64_t *head, uint32_t flags,
				    struct ring_slot *slots, uint32_t id,
				    const struct vio_seg *segs, void *const *tokens, uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		packed_add_four(&desc[i], head, flags, &slots[i], id + i, &segs[i], &tokens[i]);
		head = &desc[i + RING_VECTOR].meta;
	}
	return i;
}

/* Takes four used descriptors whose ids have to be @id and those that follow. */
BODY bool packed_reap_four(struct four meta, uint32_t owner, struct ring_slot *slots, uint64_t id,
			   struct vio_drvq_done *done)
{
	const uint64_t next = UINT64_C(1) << 32;
	const pair want = all((uint64_t)owner << 48 | id << 32);
	const pair odd = vorrq_u64(veorq_u64(meta.low, vaddq_u64(want, lanes(0, next))),
				   veorq_u64(meta.high, vaddq_u64(want, lanes(2, next))));

	return is_zero(vandq_u64(odd, all((uint64_t)PACKED_OWNER << 48 | META_ID))) &&
	       take_slots(slots,
			  (struct four){ vandq_u64(meta.low, all(LOW_32)),
					 vandq_u64(meta.high, all(LOW_32)) },
			  done);
}

static uint32_t packed_reap(const struct ring_desc *desc, uint32_t owner, struct ring_slot *slots,
			    uint32_t num, uint16_t *ids, struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const struct four meta = load_metas(&desc[i]);
		const uint64_t id = packed_meta_id(vgetq_lane_u64(meta.low, 0));

		if (id + RING_VECTOR > num ||
		    !packed_reap_four(meta, owner, &slots[id], id, &done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = FOLLOWING(id);
	}
	return i;
}

static uint32_t packed_reap_in_order(const struct ring_desc *desc, uint32_t owner,
				     struct ring_slot *slots, uint32_t id,
				     struct vio_drvq_done *done, uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR)
		if (!packed_reap_four(load_metas(&desc[i]), owner, &slots[i], id + i, &done[i]))
			break;
	return i;
}

static uint32_t split_add(struct ring_desc *desc, struct ring_desc *shadow, struct ring_slot *slots,
			  const uint16_t *ids, uint16_t *heads, uint16_t *heads_shadow,
			  uint64_t flags, const struct vio_seg *segs, void *const *tokens,
			  uint32_t n)
{
	const pair in = all(flags & SPLIT_META_WRITE ? LOW_32 : 0);
	uint32_t i, k;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&ids[i];
		const uint64_t id = (uint16_t)four;
		pair d[RING_VECTOR], diff = all(0);

		if (four != FOLLOWING(id))
			break;
		for (k = 0; k < RING_VECTOR; k++) {
			d[k] = make_desc(&segs[i + k], flags);
			diff = vorrq_u64(diff, veorq_u64(d[k], load(&shadow[id + k])));
		}
		if (!is_zero(diff))
			for (k = 0; k < RING_VECTOR; k++) {
				store(&shadow[id + k], d[k]);
				store(&desc[id + k], d[k]);
			}
		put_slots(&slots[id], &tokens[i], vandq_u64(seconds(d[0], d[1]), in));
		put_slots(&slots[id + 2], &tokens[i + 2], vandq_u64(seconds(d[2], d[3]), in));
		if (*(any_u64 *)(void *)&heads_shadow[i] != four) {
			*(any_u64 *)(void *)&heads_shadow[i] = four;
			*(any_u64 *)(void *)&heads[i] = four;
		}
	}
	return i;
}

static uint32_t split_reap(const uint64_t *used, uint32_t mask, struct ring_slot *slots,
			   const uint16_t *order, uint16_t *ids, struct vio_drvq_done *done,
			   uint32_t n)
{
	uint32_t i;

	for (i = 0; i + RING_VECTOR <= n; i += RING_VECTOR) {
		const pair low = load_shared(&used[i]), high = load_shared(&used[i + 2]);
		const uint64_t id = (uint32_t)vgetq_lane_u64(low, 0);
		const pair odd = vorrq_u64(veorq_u64(low, vaddq_u64(all(id), lanes(0, 1))),
					   veorq_u64(high, vaddq_u64(all(id), lanes(2, 1))));

		if (id + RING_VECTOR - 1 > mask || !is_zero(vandq_u64(odd, all(LOW_32))))
			break;
		if (order && *(const any_u64 *)(const void *)&order[i] != FOLLOWING(id))
			break;
		if (!take_slots(&slots[id],
				(struct four){ vshrq_n_u64(low, 32), vshrq_n_u64(high, 32) },
				&done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = FOLLOWING(id);
	}
	return i;
}

static uint32_t split_take(struct ring_slot *slots, const uint16_t *order, uint16_t *ids,
			   struct vio_drvq_done *done, uint32_t n)
{
	size_t i, end = n & ~(RING_VECTOR - 1);

	for (i = 0; i < end; i += RING_VECTOR) {
		const uint64_t four = *(const any_u64 *)(const void *)&order[i];

		if (!follow(four) || !take_unsaid(&slots[(uint16_t)four], &done[i]))
			break;
		*(any_u64 *)(void *)&ids[i] = four;
	}
	return (uint32_t)i;
}

const struct ring_vector vio_ring_neon = {
	.packed_pop = packed_pop,
	.packed_push = packed_push,
	.packed_add = packed_add,
	.packed_reap = packed_reap,
	.packed_add_in_order = packed_add_in_order,
	.packed_reap_in_order = packed_reap_in_order,
	.packed_take = packed_take,
	.split_pop = split_pop,
	.split_push = split_push,
	.split_add = split_add,
	.split_reap = split_reap,
	.split_take = split_take,
};

#endif
