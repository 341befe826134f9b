/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each level of vector instructions against its scalar twin: what the tests of a ring's two sides
 * share.
 *
 * A queue made at the scalar level and one made at the level under test live over two guest
 * memories that are the same byte for byte. The peer of both is the test, by hand: a random one of
 * fixed seed, which writes the same into both memories and makes the same calls. Mostly it does what
 * the kernels are for (runs of plain buffers whose ids follow one another); now and then it does
 * something else that is legal, or in some lives of a queue something that is not. After each step
 * all that can be seen of the two has to be the same: results, what was handed out, state, and the
 * shared memory.
 */
#ifndef TEST_RING_VECTOR_H
#define TEST_RING_VECTOR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/simd.h"
#include "ring_image.h"

#define NEXT  VIO_DESC_F_NEXT
#define WRITE VIO_DESC_F_WRITE
#define TABLE VIO_DESC_F_INDIRECT

#define MAX_NUM 1024u
#define BURST	64u
#define LIVES	20u
#define STEPS	90u

/* Two regions that touch, of odd sizes: the ring, tables and buffers in the first. */
#define LOW_SIZE    50021u
#define HIGH_SIZE   3001u
#define BASE	    0x100000000ull
#define SEAM	    (BASE + LOW_SIZE)
#define END	    (SEAM + HIGH_SIZE)
#define TABLES	    0x7000u /* offsets in the first */
#define DATA	    0x8000u
#define TABLE_MAX   4u
#define NR_TABLES   16u
#define BEHIND_DESC 64u /* bytes behind the descriptors that look like more of them */

/* ---- Randomness ---------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t rnd64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dull;
}

/* 0 to @n - 1. */
static uint32_t rnd(uint64_t n)
{
	return (uint32_t)((rnd64() >> 16) % n);
}

static bool one_in(uint32_t n)
{
	return rnd(n) == 0;
}

/* ---- The twins ----------------------------------------------------------------------------- */

struct side {
	char *low, *high;
	struct vio_mem *mem;
	void *storage;
	struct vio_devq *dev;
	struct vio_drvq *drv;
};

struct twins {
	struct side s[2]; /* scalar, and the level under test */
	uint64_t features;
	uint32_t num;
	bool packed, in_order;
	bool hostile;	       /* the peer may break the rules in this life */
	bool mixed;	       /* of devices: what they say may differ, see there */
	size_t driver, device; /* offsets of the areas */
	enum vio_simd level;
	unsigned life, step;
};

#define assert_twins(t, what, a, b) assert_twins_at(t, what, (uint64_t)(a), (uint64_t)(b), __LINE__)

static void assert_twins_at(const struct twins *t, const char *what, uint64_t a, uint64_t b,
			    int line)
{
	if (a != b)
		fail_msg("line %d: %s, %u descriptors, life %u, step %u: %s: scalar %llx, not %llx",
			 line, vio_simd_name(t->level), t->num, t->life, t->step, what,
			 (unsigned long long)a, (unsigned long long)b);
}

static void *memory(size_t align, size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, align, size) != 0)
		fail_msg("no memory");
	memset(p, 0, size);
	return p;
}

/* Writes the same into both. @off is in the first region. */
static void put(struct twins *t, size_t off, const void *p, size_t n)
{
	memcpy(t->s[0].low + off, p, n);
	memcpy(t->s[1].low + off, p, n);
}

static void put16(struct twins *t, size_t off, uint32_t x)
{
	uint16_t v = (uint16_t)x;

	put(t, off, &v, sizeof(v));
}

static uint16_t get16(const struct side *s, size_t off)
{
	uint16_t v;

	memcpy(&v, s->low + off, sizeof(v));
	return v;
}

/* Either format's descriptor is 16 bytes with the address and the length in front. */
static void put_desc(struct twins *t, size_t off, uint64_t addr, uint32_t len, uint32_t third,
		     uint32_t fourth)
{
	struct vio_virtq_desc d = { addr, len, (uint16_t)third, (uint16_t)fourth };

	put(t, off, &d, sizeof(d));
}

static bool have_level(unsigned level)
{
	return vio_simd_force((enum vio_simd)level) == (enum vio_simd)level;
}

static void open_side(struct twins *t, struct side *s, enum vio_simd level, bool device)
{
	struct vio_mem_region regions[2];

	s->low = memory(64, LOW_SIZE);
	s->high = memory(64, HIGH_SIZE);
	s->mem = memory(64, vio_mem_bytes(2));
	regions[0] = (struct vio_mem_region){ BASE, LOW_SIZE, 0, s->low };
	regions[1] = (struct vio_mem_region){ SEAM, HIGH_SIZE, 0, s->high };
	assert_int_equal(vio_mem_init(s->mem, regions, 2), 0);
	s->storage = memory(64, device ? vio_devq_bytes(t->num, t->features) :
					 vio_drvq_bytes(t->num, t->features));
	assert_true(have_level(level));
}

static struct vio_vq_areas areas(const struct twins *t, const struct side *s)
{
	return (struct vio_vq_areas){ s->low, s->low + t->driver, s->low + t->device };
}

static void open_twins(struct twins *t, bool device)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(t->num, t->features);
	unsigned i;

	t->packed = (t->features & RING_PACKED) != 0;
	t->in_order = (t->features & RING_IN_ORDER) != 0;
	t->driver = (sizes.desc + BEHIND_DESC + 63) & ~(size_t)63;
	t->device = (t->driver + sizes.driver + 63) & ~(size_t)63;
	assert_true(t->device + sizes.device <= TABLES);
	open_side(t, &t->s[0], VIO_SIMD_SCALAR, device);
	open_side(t, &t->s[1], t->level, device);
	for (i = 0; i < BEHIND_DESC / 16; i++)
		put_desc(t, sizes.desc + 16 * i, BASE + DATA, 100, 0, 0);
}

static void close_twins(struct twins *t)
{
	unsigned k;

	for (k = 0; k < 2; k++) {
		free(t->s[k].low);
		free(t->s[k].high);
		free(t->s[k].mem);
		free(t->s[k].storage);
	}
}

static void assert_same_memory(const struct twins *t)
{
	const char *a = t->s[0].low, *b = t->s[1].low;
	size_t i = 0;

	if (memcmp(a, b, LOW_SIZE) != 0) {
		while (a[i] == b[i])
			i++;
		fail_msg("%s, %u descriptors, life %u, step %u: shared memory differs at %zu",
			 vio_simd_name(t->level), t->num, t->life, t->step, i);
	}
	assert_memory_equal(t->s[0].high, t->s[1].high, HIGH_SIZE);
}

static struct lap_pos forward(const struct twins *t, struct lap_pos at, uint32_t n)
{
	return lap_forward(at, n, t->num);
}

/* What one side asks to be told of, anything. @area is the one that it writes. */
static void put_event(struct twins *t, size_t area)
{
	if (t->packed) {
		put16(t, area, rnd(t->num) | (one_in(2) ? VIO_RING_EVENT_WRAP : 0u));
		put16(t, area + 2, rnd(3));
	} else if (area == t->driver) {
		put16(t, area, rnd(2));
		put16(t, area + 4 + 2 * t->num, get16(&t->s[0], t->device + 2) + rnd(t->num));
	} else {
		put16(t, area, rnd(2));
		put16(t, area + 4 + 8 * t->num, get16(&t->s[0], t->driver + 2) + rnd(t->num));
	}
}

/* ---- Lives ----------------------------------------------------------------------------------- */

static unsigned reasons[VIO_VQ_NR_ERRORS]; /* how often queues broke */

/* Lives one after the other, at each size and each level that this machine has; the same at each
 * level. */
static void live_all(uint64_t format, void (*live)(struct twins *t))
{
	static const uint32_t split_sizes[] = { 8, 16, 32, 64, 256, 1024 };
	static const uint32_t packed_sizes[] = { 5, 7, 8, 30, 32, 33, 64, 255, 1024 };
	const bool packed = (format & RING_PACKED) != 0;
	const uint32_t *sizes = packed ? packed_sizes : split_sizes;
	const unsigned nr_sizes = packed ? 9 : 6;
	const enum vio_simd best = vio_simd_force(VIO_SIMD_LEVELS - 1);
	unsigned level, i;

	memset(reasons, 0, sizeof(reasons));
	for (level = VIO_SIMD_SCALAR + 1; level <= best; level++)
		for (i = 0; i < nr_sizes * LIVES && have_level(level); i++) {
			struct twins t = { .features = format, .num = sizes[i / LIVES] };

			t.level = (enum vio_simd)level;
			t.life = i % LIVES;
			t.hostile = t.life % 2 != 0;
			t.mixed = (format & RING_IN_ORDER) && t.life % 4 >= 2;
			seed = 0x9e3779b97f4a7c15ull * (i + 1);
			t.features |= one_in(2) ? RING_INDIRECT : 0;
			t.features |= one_in(2) ? RING_EVENT_IDX : 0;
			live(&t);
		}
	vio_simd_force(best);
	if (best == VIO_SIMD_SCALAR)
		skip();
}

#endif
