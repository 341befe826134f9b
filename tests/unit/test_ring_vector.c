/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each level of vector instructions against its scalar twin.
 *
 * A queue made at the scalar level and one made at the level under test live over two guest
 * memories that are the same byte for byte. The peer of both is the test, by hand: a random one of
 * fixed seed, which writes the same into both memories and makes the same calls. Mostly it does what
 * the kernels are for (runs of plain buffers whose ids follow one another); now and then it does
 * something else that is legal, or in some lives of a queue something that is not. After each step
 * all that can be seen of the two has to be the same: results, what was handed out, state, and the
 * shared memory.
 *
 * One thing may differ. With IN_ORDER a device may say of several buffers in one used entry what it
 * could say in one for each, and a kernel chooses otherwise where buffers to read and to write are
 * mixed. In "mixed" lives the used entries are therefore read by what they mean.
 */
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
#define OWNER (VIO_DESC_F_AVAIL | VIO_DESC_F_USED)

#define MAX_NUM 1024u
#define BURST	64u
#define POOL	300u
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
	bool mixed;	       /* see above */
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
	assert_int_equal(vio_simd_force(level), level);
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

/* A place in a packed ring. */
struct pos {
	uint32_t off;
	bool wrap;
};

static struct pos forward(const struct twins *t, struct pos at, uint32_t n)
{
	at.off += n;
	if (at.off >= t->num) {
		at.off -= t->num;
		at.wrap = !at.wrap;
	}
	return at;
}

static uint32_t avail_bits(struct pos at)
{
	return at.wrap ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED;
}

static uint32_t used_bits(struct pos at)
{
	return at.wrap ? OWNER : 0;
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

/* ---- The driver by hand: buffers ------------------------------------------------------------- */

struct drv_hand {
	uint16_t avail_idx;	/* split */
	uint32_t next_head;	/* where free ones are looked for */
	bool busy[MAX_NUM];	/* descriptors */
	uint16_t link[MAX_NUM]; /* the next one of the same chain */
	struct pos avail;	/* packed */
	uint32_t in_use;	/* descriptors */
	unsigned run;		/* buffers that are to be like the last one */
	bool write, high;
	/* popped and not pushed, oldest first; of the last @intact none that came later was pushed */
	struct vio_chain flight[MAX_NUM];
	unsigned nr_flight, intact;
	/* pushed and not published */
	struct vio_chain pushed[MAX_NUM + 4 * STEPS];
	unsigned nr_pushed;
	uint16_t used_idx; /* split: where they are used */
	struct pos used;   /* packed */
};

static struct vio_chain got[2][BURST];
static struct vio_iov pool[2][POOL];
static unsigned reasons[VIO_VQ_NR_ERRORS]; /* how often queues broke */

static struct vio_virtq_desc plain(struct drv_hand *d)
{
	uint32_t len = 1 + rnd(one_in(4) ? 1500 : 64);
	uint32_t from = d->high ? LOW_SIZE : DATA, to = d->high ? LOW_SIZE + HIGH_SIZE : LOW_SIZE;
	uint32_t off = one_in(8) ? to - len : from + rnd(to - from - len + 1);

	return (struct vio_virtq_desc){ BASE + off, len, d->write ? WRITE : 0, 0 };
}

/* Makes a legal buffer that is not plain. Returns its descriptors. */
static unsigned odd(struct twins *t, struct drv_hand *d, struct vio_virtq_desc *b)
{
	unsigned i, n = 2 + rnd(2);
	bool write = false;

	if (one_in(3)) {
		/* A buffer over the seam; in the one in sight only by its last byte, or its first. */
		b[0].len = 2 + rnd(40);
		b[0].addr = SEAM - (one_in(2) ? 1 : b[0].len - 1);
		return 1;
	}
	for (i = 0; i < n; i++) {
		write |= one_in(2);
		b[i] = plain(d);
		b[i].flags = write ? WRITE : 0;
	}
	if ((t->features & RING_INDIRECT) && n <= t->num && one_in(2)) {
		size_t off = TABLES + rnd(NR_TABLES) * TABLE_MAX * 16;

		for (i = 0; i < n; i++)
			if (t->packed)
				put_desc(t, off + 16 * i, b[i].addr, b[i].len, 0, b[i].flags);
			else
				put_desc(t, off + 16 * i, b[i].addr, b[i].len,
					 b[i].flags | (i + 1 < n ? NEXT : 0u), i + 1);
		b[0] = (struct vio_virtq_desc){ BASE + off, 16 * n, TABLE, 0 };
		return 1;
	}
	return n;
}

/* Makes a buffer of one or two descriptors wrong. Returns how many it has. */
static unsigned spoil(struct drv_hand *d, struct vio_virtq_desc *b)
{
	switch (rnd(11)) {
	case 0:
		b->len = 0;
		break;
	case 1:
		b->addr = END;
		break;
	case 2:
		b->addr = END - b->len + 1;
		break;
	case 3:
		b->addr = UINT64_MAX - rnd(b->len);
		break;
	case 4:
		b->len = UINT32_MAX - rnd(2);
		break;
	case 5:
		b->addr = BASE - 1;
		break;
	case 6:
		b->addr ^= 1ull << (40 + rnd(24));
		break;
	case 7:
		b->flags |= TABLE;
		break;
	case 8:
		b->addr = BASE - b->len;
		break;
	case 9:
		b->len |= 1u << 31;
		break;
	default:
		b[0].flags = WRITE;
		b[1] = plain(d);
		b[1].flags = 0;
		return 2;
	}
	return 1;
}

static unsigned make_buffer(struct twins *t, struct drv_hand *d, struct vio_virtq_desc *b)
{
	if (d->run == 0) {
		d->run = 1 + rnd(60);
		d->write = one_in(2);
		d->high = one_in(5);
	}
	d->run--;
	b[0] = plain(d);
	if (t->hostile && one_in(150))
		return spoil(d, b);
	return one_in(40) ? odd(t, d, b) : 1;
}

/* ---- The driver by hand: posting ------------------------------------------------------------- */

static uint32_t take_head(const struct twins *t, struct drv_hand *d)
{
	uint32_t head = one_in(40) ? rnd(t->num) : d->next_head;

	while (d->busy[head])
		head = (head + 1) % t->num;
	d->busy[head] = true;
	d->next_head = (head + 1) % t->num;
	return head;
}

static void put_avail(struct twins *t, struct drv_hand *d, uint32_t head)
{
	put16(t, t->driver + 4 + 2 * (d->avail_idx++ % t->num), head);
}

static void post_split(struct twins *t, struct drv_hand *d, const struct vio_virtq_desc *b,
		       unsigned n)
{
	uint32_t at[3], next;
	unsigned i;

	for (i = 0; i < n; i++)
		at[i] = take_head(t, d);
	for (i = 0; i < n; i++) {
		/* Where there is no next one the field means nothing. */
		next = i + 1 < n ? at[i + 1] : rnd(65536);
		d->link[at[i]] = (uint16_t)(i + 1 < n ? next : MAX_NUM);
		if (t->hostile && one_in(400) && i + 1 < n)
			next = t->num + rnd(2);
		put_desc(t, 16 * at[i], b[i].addr, b[i].len, b[i].flags | (i + 1 < n ? NEXT : 0u),
			 next);
	}
	put_avail(t, d, at[0]);
}

static void post_packed(struct twins *t, struct drv_hand *d, const struct vio_virtq_desc *b,
			unsigned n)
{
	/* Unlike any other in flight. */
	uint32_t id = d->avail.off | (one_in(10) ? rnd(4) << 14 : 0);
	unsigned i;

	for (i = 0; i < n; i++) {
		uint32_t flags = b[i].flags | (i + 1 < n ? NEXT : 0u) | avail_bits(d->avail);

		if (t->hostile && one_in(800))
			flags ^= one_in(2) ? VIO_DESC_F_USED : OWNER;
		put_desc(t, 16 * d->avail.off, b[i].addr, b[i].len, i + 1 < n ? 0xdead : id, flags);
		d->avail = forward(t, d->avail, 1);
	}
}

/* Heads that a driver may not say: one that is there already, or runs over the end of the table. */
static void post_bad_heads(struct twins *t, struct drv_hand *d)
{
	unsigned i, first = one_in(2) ? rnd(t->num) : t->num - 3;

	for (i = 0; i < 4; i++)
		put_avail(t, d, one_in(40) ? rnd(65536) : first + i);
}

static void post(struct twins *t, struct drv_hand *d)
{
	unsigned n, i, most = 1 + rnd(one_in(3) ? 8 : BURST);
	struct vio_virtq_desc b[4];

	for (i = 0; i < most && d->in_use < t->num; i++) {
		n = make_buffer(t, d, b);
		if (d->in_use + n > t->num)
			break;
		d->in_use += n;
		if (t->packed)
			post_packed(t, d, b, n);
		else
			post_split(t, d, b, n);
	}
	if (t->packed)
		return;
	if (t->hostile && d->in_use + 4 <= t->num && one_in(15))
		post_bad_heads(t, d);
	if (t->hostile && one_in(300))
		d->avail_idx = (uint16_t)(d->avail_idx + t->num + 1);
	put16(t, t->driver + 2, d->avail_idx);
}

/* ---- The device twins ------------------------------------------------------------------------ */

/* Where @p is in guest memory. */
static uint64_t place(const struct side *s, const void *p, size_t len)
{
	const char *c = p;

	if (c >= s->low && c < s->low + LOW_SIZE) {
		assert_true(len <= (size_t)(s->low + LOW_SIZE - c));
		return (uint64_t)(c - s->low);
	}
	assert_true(c >= s->high && c < s->high + HIGH_SIZE);
	assert_true(len <= (size_t)(s->high + HIGH_SIZE - c));
	return (uint64_t)(c - s->high) + LOW_SIZE;
}

static void assert_same_chain(const struct twins *t, const struct vio_chain *a,
			      const struct vio_chain *b)
{
	static char poison[sizeof(struct vio_iov)];
	int i;

	memset(poison, 0xee, sizeof(poison));
	assert_twins(t, "id", a->id, b->id);
	assert_twins(t, "slots", a->slots, b->slots);
	assert_twins(t, "out_num", a->out_num, b->out_num);
	assert_twins(t, "in_num", a->in_num, b->in_num);
	assert_twins(t, "out_len", a->out_len, b->out_len);
	assert_twins(t, "in_len", a->in_len, b->in_len);
	assert_twins(t, "written", a->written, b->written);
	assert_twins(t, "iov", a->iov - pool[0], b->iov - pool[1]);
	/* The spare entry is the caller's. */
	assert_memory_equal(&a->iov[-1], poison, sizeof(poison));
	assert_memory_equal(&b->iov[-1], poison, sizeof(poison));
	for (i = 0; i < a->out_num + a->in_num; i++) {
		assert_twins(t, "iov len", a->iov[i].len, b->iov[i].len);
		assert_twins(t, "iov base", place(&t->s[0], a->iov[i].base, a->iov[i].len),
			     place(&t->s[1], b->iov[i].base, b->iov[i].len));
	}
}

static void pop(struct twins *t, struct drv_hand *d)
{
	unsigned n = 1 + rnd(BURST), i,
		 niov = one_in(4) ? rnd(2 * n + 2) :
			one_in(2) ? 2 * n :
				    POOL;
	int ret[2];
	unsigned k;

	memset(pool, 0xee, sizeof(pool));
	memset(got, 0xee, sizeof(got));
	for (k = 0; k < 2; k++)
		ret[k] = vio_devq_pop_burst(t->s[k].dev, t->s[k].mem, got[k], n, pool[k], niov);
	assert_twins(t, "popped", ret[0], ret[1]);
	for (i = 0; ret[0] > 0 && i < (unsigned)ret[0]; i++) {
		assert_same_chain(t, &got[0][i], &got[1][i]);
		d->flight[d->nr_flight++] = got[1][i];
		d->intact++;
	}
}

static void unpop(struct twins *t, struct drv_hand *d)
{
	unsigned n = rnd(d->intact + 1);

	d->intact -= n;
	d->nr_flight -= n;
	vio_devq_unpop(t->s[0].dev, &d->flight[d->nr_flight], n);
	vio_devq_unpop(t->s[1].dev, &d->flight[d->nr_flight], n);
}

static void reverse(struct vio_chain *c, unsigned n)
{
	struct vio_chain swap;
	unsigned i;

	for (i = 0; i < n / 2; i++) {
		swap = c[i];
		c[i] = c[n - 1 - i];
		c[n - 1 - i] = swap;
	}
}

/* How many of the oldest @n can be pushed where the twins have to say the same of them. */
static unsigned unmixed(const struct vio_chain *c, unsigned n)
{
	unsigned i;

	for (i = 1; i < n && c[i].in_num != 0; i++)
		;
	return n > 0 && c[0].in_num != 0 ? i : n;
}

static void push(struct twins *t, struct drv_hand *d)
{
	unsigned n = rnd((d->nr_flight < BURST ? d->nr_flight : BURST) + 1), from = 0, i;
	struct vio_chain *c;

	if (!t->in_order && one_in(5))
		from = rnd(d->nr_flight - n + 1);
	c = &d->flight[from];
	if (t->in_order && !t->mixed)
		n = unmixed(c, n);
	if (!t->in_order && one_in(5)) {
		i = rnd(n + 1);
		reverse(c + i, n - i);
	}
	for (i = 0; i < n; i++)
		c[i].written = c[i].in_num != 0 && !one_in(8) ? rnd(c[i].in_len + 1ull) : 0;
	assert_int_equal(vio_devq_push_burst(t->s[0].dev, c, n), 0);
	assert_int_equal(vio_devq_push_burst(t->s[1].dev, c, n), 0);
	memcpy(&d->pushed[d->nr_pushed], c, n * sizeof(*c));
	d->nr_pushed += n;
	d->nr_flight -= n;
	memmove(c, c + n, (d->nr_flight - from) * sizeof(*c));
	if (n > 0 && d->intact > d->nr_flight - from)
		d->intact = d->nr_flight - from;
}

/* The used entry of @s where @idx, or @at, is. */
static struct vio_pvirtq_desc used_entry(const struct twins *t, const struct side *s, uint16_t idx,
					 struct pos at)
{
	struct vio_pvirtq_desc entry = { 0 };
	struct vio_virtq_used_elem elem;

	if (t->packed) {
		memcpy(&entry, s->low + 16 * at.off, sizeof(entry));
		assert_int_equal(entry.flags & OWNER, used_bits(at));
		assert_int_equal((entry.flags & WRITE) != 0, entry.len != 0);
		return entry;
	}
	memcpy(&elem, s->low + t->device + 4 + 8 * (idx % t->num), sizeof(elem));
	entry.len = elem.len;
	entry.id = (uint16_t)elem.id;
	assert_int_equal(elem.id, entry.id);
	return entry;
}

/* That @s says of what was pushed what it has to. */
static void assert_said(const struct twins *t, const struct drv_hand *d, const struct side *s)
{
	uint32_t i = 0, idx = d->used_idx;
	struct pos at = d->used;

	while (i < d->nr_pushed) {
		struct vio_pvirtq_desc entry = used_entry(t, s, (uint16_t)idx, at);

		for (;; i++) {
			assert_true(i < d->nr_pushed);
			idx++;
			at = forward(t, at, d->pushed[i].slots);
			if (d->pushed[i].id == entry.id)
				break;
			/* Skipped. */
			assert_true(t->in_order && d->pushed[i].in_num == 0);
		}
		assert_int_equal(d->pushed[i++].written, entry.len);
	}
	if (!t->packed)
		assert_int_equal(get16(s, t->device + 2), (uint16_t)idx);
}

static void publish_used(struct twins *t, struct drv_hand *d)
{
	uint32_t i, head;

	assert_twins(t, "call", vio_devq_publish(t->s[0].dev), vio_devq_publish(t->s[1].dev));
	if (vio_devq_error(t->s[0].dev))
		return;
	assert_said(t, d, &t->s[0]);
	assert_said(t, d, &t->s[1]);
	for (i = 0; i < d->nr_pushed; i++) {
		d->used_idx++;
		d->used = forward(t, d->used, d->pushed[i].slots);
		if (t->packed) {
			d->in_use -= d->pushed[i].slots;
			continue;
		}
		for (head = d->pushed[i].id; head < MAX_NUM && d->busy[head];
		     head = d->link[head]) {
			d->busy[head] = false;
			d->in_use--;
		}
	}
	d->nr_pushed = 0;
}

static void watch_kicks(struct twins *t)
{
	uint32_t beyond = rnd(t->num);

	if (one_in(2)) {
		assert_twins(t, "kick_enable", vio_devq_kick_enable(t->s[0].dev, beyond),
			     vio_devq_kick_enable(t->s[1].dev, beyond));
		return;
	}
	vio_devq_kick_disable(t->s[0].dev);
	vio_devq_kick_disable(t->s[1].dev);
}

static void device_step(struct twins *t, struct drv_hand *d)
{
	struct vio_devq *a = t->s[0].dev, *b = t->s[1].dev;
	uint32_t what = rnd(16);

	if (what < 4)
		post(t, d);
	else if (what < 9)
		pop(t, d);
	else if (what < 12 && !vio_devq_error(a))
		push(t, d);
	else if (what < 14)
		publish_used(t, d);
	else if (what == 14)
		unpop(t, d);
	else if (one_in(2))
		put_event(t, t->driver);
	else
		watch_kicks(t);
	assert_twins(t, "error", vio_devq_error(a), vio_devq_error(b));
	assert_twins(t, "in_flight", vio_devq_in_flight(a), vio_devq_in_flight(b));
	assert_twins(t, "base", vio_devq_base(a), vio_devq_base(b));
	assert_twins(t, "has_avail", vio_devq_has_avail(a), vio_devq_has_avail(b));
	assert_twins(t, "avail_count", vio_devq_avail_count(a), vio_devq_avail_count(b));
	if (!t->mixed)
		assert_same_memory(t);
}

/* Both queues, on a ring that is @fresh or has been in use, so that they go on anywhere. */
static void open_devices(struct twins *t, struct drv_hand *d, bool fresh)
{
	struct vio_devq_setup setup = { .num = t->num, .features = t->features };
	uint16_t at = fresh || one_in(2) ? 0 : (uint16_t)(65535 - rnd(200));
	uint32_t i;

	memset(d, 0, sizeof(*d));
	if (t->packed) {
		d->avail = d->used = (struct pos){ at % t->num, true };
		setup.base = (0x8000 | d->used.off) * 0x10001u;
		for (i = 0; i < d->used.off; i++)
			put_desc(t, 16 * i, 0, 0, 0, OWNER);
	} else {
		setup.base = d->avail_idx = d->used_idx = at;
		put16(t, t->driver + 2, at);
		put16(t, t->device + 2, at);
	}
	for (i = 0; i < 2; i++) {
		vio_simd_force(i ? t->level : VIO_SIMD_SCALAR);
		setup.areas = areas(t, &t->s[i]);
		assert_int_equal(vio_devq_init(t->s[i].storage, &setup, &t->s[i].dev), 0);
	}
}

static void live_devices(struct twins *t)
{
	static struct drv_hand d;
	unsigned left = 4;

	open_twins(t, true);
	open_devices(t, &d, false);
	for (t->step = 0; t->step < STEPS && left > 0; t->step++) {
		device_step(t, &d);
		if (vio_devq_error(t->s[0].dev))
			left--;
	}
	reasons[vio_devq_error(t->s[0].dev)]++;
	close_twins(t);
}

/* ---- The device by hand ---------------------------------------------------------------------- */

/* A buffer that the driver has published. */
struct seen {
	uint32_t id, slots, in_len;
};

struct dev_hand {
	struct seen seen[MAX_NUM + BURST]; /* not used yet, oldest first */
	unsigned nr_seen;
	uint16_t avail_idx, used_idx; /* split */
	struct pos avail, used;	      /* packed */
	uint64_t tokens;	      /* of the driver, made */
	uint64_t added;		      /* singles taken, so that pieces come round with the ids */
	bool swaps;		      /* uses the middle two of each four the wrong way round */
};

static struct vio_virtq_desc get_desc(const struct side *s, size_t off)
{
	struct vio_virtq_desc d;

	memcpy(&d, s->low + off, sizeof(d));
	return d;
}

/* Counts in a descriptor of the ring with @flags, or what its table has. */
static void count_desc(const struct twins *t, struct seen *b, const struct vio_virtq_desc *d,
		       uint32_t flags)
{
	struct vio_virtq_desc entry;
	uint32_t i;

	b->slots++;
	if (!(flags & TABLE)) {
		b->in_len += flags & WRITE ? d->len : 0;
		return;
	}
	for (i = 0; i < d->len; i += 16) {
		entry = get_desc(&t->s[0], d->addr - BASE + i);
		b->in_len += (t->packed ? entry.next : entry.flags) & WRITE ? entry.len : 0;
	}
}

static struct seen see_split(const struct twins *t, uint32_t head)
{
	struct vio_virtq_desc d = get_desc(&t->s[0], 16 * head);
	struct seen b = { .id = head };

	count_desc(t, &b, &d, d.flags);
	while (d.flags & NEXT) {
		d = get_desc(&t->s[0], 16 * d.next);
		count_desc(t, &b, &d, d.flags);
	}
	return b;
}

static struct seen see_packed(const struct twins *t, struct dev_hand *d)
{
	struct vio_virtq_desc desc;
	struct seen b = { 0 };

	/* Of a packed descriptor the third field is the id, the fourth the flags. */
	do {
		desc = get_desc(&t->s[0], 16 * d->avail.off);
		assert_int_equal(desc.next & OWNER, avail_bits(d->avail));
		count_desc(t, &b, &desc, desc.next);
		d->avail = forward(t, d->avail, 1);
	} while (desc.next & NEXT);
	b.id = desc.flags;
	return b;
}

/* Looks what the driver has published since. */
static void see(const struct twins *t, struct dev_hand *d)
{
	const struct side *s = &t->s[0];

	if (t->packed) {
		while (d->nr_seen < t->num &&
		       (get_desc(s, 16 * d->avail.off).next & OWNER) == avail_bits(d->avail))
			d->seen[d->nr_seen++] = see_packed(t, d);
		return;
	}
	while (d->avail_idx != get16(s, t->driver + 2))
		d->seen[d->nr_seen++] =
			see_split(t, get16(s, t->driver + 4 + 2 * (d->avail_idx++ % t->num)));
}

/* Writes a used entry for @buffers that take @slots. */
static void put_used(struct twins *t, struct dev_hand *d, struct vio_virtq_used_elem elem,
		     unsigned buffers, uint32_t slots)
{
	uint32_t flags = used_bits(d->used);

	if (!t->packed) {
		put(t, t->device + 4 + 8 * (d->used_idx % t->num), &elem, sizeof(elem));
		d->used_idx = (uint16_t)(d->used_idx + buffers);
		return;
	}
	/* There are devices that never say WRITE. */
	if (elem.len != 0 && !one_in(20))
		flags |= WRITE;
	if (t->hostile && one_in(1000))
		flags ^= one_in(2) ? OWNER : VIO_DESC_F_AVAIL;
	put16(t, 16 * d->used.off + 14, flags);
	put16(t, 16 * d->used.off + 12, elem.id);
	put(t, 16 * d->used.off + 8, &elem.len, sizeof(elem.len));
	d->used = forward(t, d->used, slots);
}

/* What a device may not say of a buffer of which it could say @elem. */
static void spoil_used(const struct twins *t, const struct dev_hand *d, const struct seen *b,
		       struct vio_virtq_used_elem *elem)
{
	switch (rnd(6)) {
	case 0:
		elem->len = b->in_len + 1;
		break;
	case 1:
		elem->len = UINT32_MAX;
		break;
	case 2:
		elem->id = t->num + rnd(3);
		break;
	case 3:
		elem->id += one_in(2) ? 0x10000 : 0x80000000;
		break;
	case 4:
		elem->id = d->seen[rnd(d->nr_seen)].id;
		break;
	default:
		elem->id = rnd(t->num);
	}
}

/* Uses @n buffers, which from @at on are next to each other in d->seen, in one entry. */
static void use(struct twins *t, struct dev_hand *d, unsigned at, unsigned n)
{
	const struct seen *last = &d->seen[at + n - 1];
	struct vio_virtq_used_elem elem = { last->id, 0 };
	uint32_t slots = 0;
	unsigned i;

	if (last->in_len != 0 && !one_in(8))
		elem.len = one_in(4) ? last->in_len : rnd(last->in_len + 1ull);
	for (i = 0; i < n; i++)
		slots += d->seen[at + i].slots;
	if (t->hostile && one_in(100))
		spoil_used(t, d, last, &elem);
	put_used(t, d, elem, n, slots);
	d->nr_seen -= n;
	memmove(&d->seen[at], &d->seen[at + n], (d->nr_seen - at) * sizeof(d->seen[0]));
}

static void use_swapped(struct twins *t, struct dev_hand *d)
{
	while (d->nr_seen >= 4) {
		use(t, d, 0, 1);
		use(t, d, 1, 1);
		use(t, d, 0, 1);
		use(t, d, 0, 1);
	}
}

static void use_some(struct twins *t, struct dev_hand *d)
{
	unsigned n = 1 + rnd(BURST), from = 0, batch = 1;
	bool backwards = !t->in_order && one_in(8);

	see(t, d);
	if (d->swaps) {
		use_swapped(t, d);
		n = 0;
	}
	if (!t->in_order && one_in(6) && d->nr_seen > 0)
		from = rnd(d->nr_seen);
	while (n > 0 && d->nr_seen > from) {
		if (t->in_order)
			batch = one_in(20) ? 1 + rnd(d->nr_seen) : 1;
		use(t, d, backwards ? d->nr_seen - 1 : from, batch);
		n--;
	}
	if (t->hostile && one_in(200))
		d->used_idx = (uint16_t)(d->used_idx + rnd(t->num));
	if (!t->packed)
		put16(t, t->device + 2, d->used_idx);
}

/* ---- The driver twins ------------------------------------------------------------------------ */

static uint32_t any_len(void)
{
	return one_in(30) ? UINT32_MAX - rnd(3) : one_in(4) ? 1500 : 1 + rnd(2000);
}

/* A piece, mostly what was in descriptor @at a lap ago. What is no field of it is noise. */
static void make_seg(const struct twins *t, struct vio_seg *seg, uint64_t at)
{
	memset(seg, 0xa5, sizeof(*seg));
	seg->addr = one_in(16) ? rnd64() : 2 * BASE + 4096 * (at % t->num);
	seg->len = one_in(16) ? any_len() : (uint32_t)(1 + at % t->num);
}

static void *make_token(struct dev_hand *d)
{
	return (void *)(uintptr_t)(0x5a00000000 + 16 * ++d->tokens);
}

static void add_singles(struct twins *t, struct dev_hand *d)
{
	unsigned i, n = 1 + rnd(BURST);
	struct vio_seg segs[BURST];
	void *tokens[BURST];
	bool write = one_in(6) ^ (t->life % 3 != 0);
	int ret;

	for (i = 0; i < n; i++) {
		make_seg(t, &segs[i], d->added + i);
		tokens[i] = make_token(d);
	}
	ret = vio_drvq_add_singles(t->s[0].drv, segs, tokens, n, write);
	assert_twins(t, "singles", ret, vio_drvq_add_singles(t->s[1].drv, segs, tokens, n, write));
	d->added += ret > 0 ? (unsigned)ret : 0;
}

static void add_bufs(struct twins *t, struct dev_hand *d)
{
	struct vio_seg segs[8][4];
	struct vio_drvq_buf bufs[8];
	unsigned i, k, pieces, n = 1 + rnd(8);

	for (i = 0; i < n; i++) {
		pieces = 1 + (one_in(2) ? rnd(4) : 0);
		for (k = 0; k < pieces; k++)
			make_seg(t, &segs[i][k], rnd64());
		bufs[i].segs = segs[i];
		bufs[i].out_num = (uint16_t)rnd(pieces + 1);
		bufs[i].in_num = (uint16_t)(pieces - bufs[i].out_num);
		bufs[i].token = make_token(d);
	}
	assert_twins(t, "added", vio_drvq_add_burst(t->s[0].drv, bufs, n),
		     vio_drvq_add_burst(t->s[1].drv, bufs, n));
}

static void reap(struct twins *t)
{
	struct vio_drvq_done done[2][BURST];
	unsigned k, n = 1 + rnd(BURST);
	int i, ret[2];

	for (k = 0; k < 2; k++)
		ret[k] = vio_drvq_reap_burst(t->s[k].drv, done[k], n);
	assert_twins(t, "reaped", ret[0], ret[1]);
	for (i = 0; i < ret[0]; i++) {
		assert_twins(t, "token", (uintptr_t)done[0][i].token, (uintptr_t)done[1][i].token);
		assert_twins(t, "len", done[0][i].len, done[1][i].len);
		assert_non_null(done[0][i].token);
	}
}

static void watch_used(struct twins *t)
{
	uint16_t after = (uint16_t)rnd(t->num);

	if (one_in(2)) {
		assert_twins(t, "notify_enable", vio_drvq_notify_enable(t->s[0].drv, after),
			     vio_drvq_notify_enable(t->s[1].drv, after));
		return;
	}
	vio_drvq_notify_disable(t->s[0].drv);
	vio_drvq_notify_disable(t->s[1].drv);
}

static void assert_same_driver(const struct twins *t)
{
	const struct vio_drvq *a = t->s[0].drv, *b = t->s[1].drv;

	assert_twins(t, "error", vio_drvq_error(a), vio_drvq_error(b));
	assert_twins(t, "free", vio_drvq_free(a), vio_drvq_free(b));
	assert_twins(t, "in_flight", vio_drvq_in_flight(a), vio_drvq_in_flight(b));
	assert_twins(t, "has_used", vio_drvq_has_used(a), vio_drvq_has_used(b));
	assert_twins(t, "avail_pos", vio_drvq_avail_pos(a), vio_drvq_avail_pos(b));
	assert_same_memory(t);
}

static void driver_step(struct twins *t, struct dev_hand *d)
{
	uint32_t what = rnd(16);

	if (what < 4)
		add_singles(t, d);
	else if (what == 4 && !d->swaps)
		add_bufs(t, d);
	else if (what < 8)
		assert_twins(t, "kick", vio_drvq_publish(t->s[0].drv),
			     vio_drvq_publish(t->s[1].drv));
	else if (what < 11 && !vio_drvq_error(t->s[0].drv))
		use_some(t, d);
	else if (what < 14)
		reap(t);
	else if (what == 14)
		put_event(t, t->device);
	else
		watch_used(t);
	assert_same_driver(t);
}

static void detach_all(struct twins *t)
{
	uint32_t left = vio_drvq_in_flight(t->s[0].drv);
	void *a, *b;

	do {
		a = vio_drvq_detach(t->s[0].drv);
		b = vio_drvq_detach(t->s[1].drv);
		assert_twins(t, "detached", (uintptr_t)a, (uintptr_t)b);
		assert_same_driver(t);
	} while (a && left-- > 0);
	assert_null(a);
	assert_int_equal(left, 0);
}

static void open_drivers(struct twins *t, struct dev_hand *d)
{
	struct vio_drvq_setup setup = { .num = t->num, .features = t->features };
	unsigned i;

	memset(d, 0, sizeof(*d));
	d->avail = d->used = (struct pos){ 0, true };
	d->swaps = !t->in_order && t->life % 6 == 4;
	if (one_in(2)) {
		setup.indirect_addr = BASE + TABLES;
		setup.indirect_max = TABLE_MAX;
		setup.indirect_tables = NR_TABLES;
	}
	for (i = 0; i < 2; i++) {
		vio_simd_force(i ? t->level : VIO_SIMD_SCALAR);
		setup.areas = areas(t, &t->s[i]);
		setup.indirect = setup.indirect_tables ? t->s[i].low + TABLES : NULL;
		assert_int_equal(vio_drvq_init(t->s[i].storage, &setup, &t->s[i].drv), 0);
	}
}

static void live_drivers(struct twins *t)
{
	static struct dev_hand d;
	unsigned left = 4;

	open_twins(t, false);
	open_drivers(t, &d);
	for (t->step = 0; t->step < STEPS && left > 0; t->step++) {
		driver_step(t, &d);
		if (vio_drvq_error(t->s[0].drv))
			left--;
	}
	reasons[vio_drvq_error(t->s[0].drv)]++;
	detach_all(t);
	close_twins(t);
}

/* ---- Lives ----------------------------------------------------------------------------------- */

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
		for (i = 0; i < nr_sizes * LIVES; i++) {
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

static void test_device_twins(void **state)
{
	live_all(ring_format(state), live_devices);
	assert_true(reasons[VIO_VQ_OK] > 0);
	assert_true(reasons[VIO_VQ_BAD_ADDRESS] > 0);
	assert_true(reasons[VIO_VQ_ZERO_LENGTH] > 0);
	assert_true(reasons[ring_format(state) & RING_PACKED ? VIO_VQ_BAD_FLAGS : VIO_VQ_BAD_HEAD] >
		    0);
}

static void test_driver_twins(void **state)
{
	live_all(ring_format(state), live_drivers);
	assert_true(reasons[VIO_VQ_OK] > 0);
	assert_true(reasons[VIO_VQ_BAD_ID] > 0);
	assert_true(reasons[VIO_VQ_NOT_IN_FLIGHT] > 0);
	assert_true(reasons[VIO_VQ_BAD_USED_LEN] > 0);
}

/* Uses @ids in this order, a byte each, of those that are published. */
static void use_ids(struct twins *t, struct dev_hand *d, const char *ids, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		put_used(t, d, (struct vio_virtq_used_elem){ (uint8_t)ids[i], 8 }, 1, 1);
}

/*
 * Ids that run over the end. Behind the last slot lie the free ids, and eight that came back in this
 * order read as a slot that is in flight: nothing but the range tells that it is none.
 */
static void test_id_behind_the_last(void **state)
{
	const enum vio_simd best = vio_simd_force(VIO_SIMD_LEVELS - 1);
	struct twins t = { .features = ring_format(state), .num = 8 };
	unsigned level, lap, k;
	struct dev_hand d;

	for (level = VIO_SIMD_SCALAR + 1; level <= best; level++) {
		t.level = (enum vio_simd)level;
		open_twins(&t, false);
		open_drivers(&t, &d);
		for (lap = 0; lap < 2; lap++) {
			struct vio_drvq_done done[8];
			struct vio_seg segs[8];
			void *tokens[8];

			for (k = 0; k < 8; k++) {
				segs[k] = (struct vio_seg){ BASE + DATA, 64 };
				tokens[k] = make_token(&d);
			}
			for (k = 0; k < 2; k++) {
				struct vio_drvq *q = t.s[k].drv;

				assert_int_equal(vio_drvq_add_singles(q, segs, tokens, 8, true), 8);
				vio_drvq_publish(q);
			}
			use_ids(&t, &d, lap ? "\5\6\7\10" : "\2\3\4\5\6\7\1\0", lap ? 4 : 8);
			for (k = 0; k < 2; k++)
				assert_int_equal(vio_drvq_reap_burst(t.s[k].drv, done, 8),
						 lap ? 3 : 8);
		}
		for (k = 0; k < 2; k++) {
			struct vio_drvq_done done;

			assert_int_equal(vio_drvq_reap_burst(t.s[k].drv, &done, 1), -EPROTO);
			assert_int_equal(vio_drvq_error(t.s[k].drv), VIO_VQ_BAD_ID);
		}
		close_twins(&t);
	}
	vio_simd_force(best);
}

/*
 * Heads that are bad though their descriptors are plain: behind the last one, where something lies
 * that looks like a descriptor, and those that are in flight already, or twice in a burst.
 */
static void test_bad_heads(void **state)
{
	static const struct {
		uint8_t heads[8];
		unsigned nr, good;
	} cases[] = {
		{ { 5, 6, 7, 8 }, 4, 3 },
		{ { 4, 5, 6, 7, 8, 9, 10, 11 }, 8, 4 },
		{ { 0, 1, 2, 3, 0, 1, 2, 3 }, 8, 4 },
		{ { 0, 1, 2, 3, 3, 4, 5, 6 }, 8, 4 },
		{ { 3, 0, 1, 2, 3 }, 5, 4 },
	};
	const enum vio_simd best = vio_simd_force(VIO_SIMD_LEVELS - 1);
	struct twins t = { .features = ring_format(state), .num = 8 };
	static struct drv_hand d;
	unsigned level, i, k, head;

	for (level = VIO_SIMD_SCALAR + 1; level <= best; level++)
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			t.level = (enum vio_simd)level;
			open_twins(&t, true);
			open_devices(&t, &d, true);
			for (head = 0; head < t.num; head++)
				put_desc(&t, 16 * head, BASE + DATA, 100, WRITE, 0);
			for (k = 0; k < BEHIND_DESC / 16; k++)
				put_desc(&t, 16 * (t.num + k), BASE + DATA, 100, WRITE, 0);
			for (k = 0; k < cases[i].nr; k++)
				put_avail(&t, &d, cases[i].heads[k]);
			put16(&t, t.driver + 2, d.avail_idx);
			for (k = 0; k < 2; k++) {
				const struct side *s = &t.s[k];

				assert_int_equal(vio_devq_pop_burst(s->dev, s->mem, got[k], BURST,
								    pool[k], POOL),
						 cases[i].good);
				assert_int_equal(vio_devq_pop_burst(s->dev, s->mem, got[k], BURST,
								    pool[k], POOL),
						 -EPROTO);
				assert_int_equal(vio_devq_error(s->dev), VIO_VQ_BAD_HEAD);
			}
			close_twins(&t);
		}
	vio_simd_force(best);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_device_twins, RING_RUN_ALL),
		RING_TEST(test_driver_twins, RING_RUN_ALL),
		RING_TEST(test_id_behind_the_last, RING_RUN_PACKED),
		RING_TEST(test_bad_heads, RING_RUN_SPLIT | RING_RUN_SPLIT_IN_ORDER),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
