/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a ring at each level of vector instructions against its scalar twin, see
 * test_ring_vector.h. The driver is the test, by hand.
 *
 * One thing may differ. With IN_ORDER a device may say of several buffers in one used entry what it
 * could say in one for each, and a kernel chooses otherwise where buffers to read and to write are
 * mixed. In "mixed" lives the used entries are therefore read by what they mean.
 */
#include "test_ring_vector.h"

#define POOL 300u

/* ---- The driver by hand: buffers ------------------------------------------------------------- */

struct drv_hand {
	uint16_t avail_idx;	/* split */
	uint32_t next_head;	/* where free ones are looked for */
	bool busy[MAX_NUM];	/* descriptors */
	uint16_t link[MAX_NUM]; /* the next one of the same chain */
	struct lap_pos avail;	/* packed */
	uint32_t in_use;	/* descriptors */
	unsigned run;		/* buffers that are to be like the last one */
	bool write, high;
	/* popped and not pushed, oldest first; of the last @intact none that came later was pushed */
	struct vio_chain flight[MAX_NUM];
	unsigned nr_flight, intact;
	/* pushed and not published */
	struct vio_chain pushed[MAX_NUM + 4 * STEPS];
	unsigned nr_pushed;
	uint16_t used_idx;   /* split: where they are used */
	struct lap_pos used; /* packed */
};

static struct vio_chain got[2][BURST];
static struct vio_iov pool[2][POOL];

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
		uint32_t flags = b[i].flags | (i + 1 < n ? NEXT : 0u) | lap_avail(d->avail);

		if (t->hostile && one_in(800))
			flags ^= one_in(2) ? VIO_DESC_F_USED : PACKED_OWNER;
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
					 struct lap_pos at)
{
	struct vio_pvirtq_desc entry = { 0 };
	struct vio_virtq_used_elem elem;

	if (t->packed) {
		memcpy(&entry, s->low + 16 * at.off, sizeof(entry));
		assert_int_equal(entry.flags & PACKED_OWNER, lap_used(at));
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
	struct lap_pos at = d->used;

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
		d->avail = d->used = (struct lap_pos){ at % t->num, true };
		setup.base = (0x8000 | d->used.off) * 0x10001u;
		for (i = 0; i < d->used.off; i++)
			put_desc(t, 16 * i, 0, 0, 0, PACKED_OWNER);
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

/* ---- Tests --------------------------------------------------------------------------------- */

static void test_device_twins(void **state)
{
	live_all(ring_format(state), live_devices);
	assert_true(reasons[VIO_VQ_OK] > 0);
	assert_true(reasons[VIO_VQ_BAD_ADDRESS] > 0);
	assert_true(reasons[VIO_VQ_ZERO_LENGTH] > 0);
	assert_true(reasons[ring_format(state) & RING_PACKED ? VIO_VQ_BAD_FLAGS : VIO_VQ_BAD_HEAD] >
		    0);
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
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]) && have_level(level); i++) {
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
		RING_TEST(test_bad_heads, RING_RUN_ANY_SPLIT),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
