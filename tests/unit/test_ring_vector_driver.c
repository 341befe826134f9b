/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a ring at each level of vector instructions against its scalar twin, see
 * test_ring_vector.h. The device is the test, by hand.
 */
#include "test_ring_vector.h"

#include <pthread.h>
#include <sched.h>

/* ---- The device by hand ---------------------------------------------------------------------- */

/* A buffer that the driver has published. */
struct seen {
	uint32_t id, slots, in_len;
};

struct dev_hand {
	struct seen seen[MAX_NUM + BURST]; /* not used yet, oldest first */
	unsigned nr_seen;
	uint16_t avail_idx, used_idx; /* split */
	struct lap_pos avail, used;   /* packed */
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
		assert_int_equal(desc.next & PACKED_OWNER, lap_avail(d->avail));
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
		       (get_desc(s, 16 * d->avail.off).next & PACKED_OWNER) == lap_avail(d->avail))
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
	uint32_t flags = lap_used(d->used);

	if (!t->packed) {
		put(t, t->device + 4 + 8 * (d->used_idx % t->num), &elem, sizeof(elem));
		d->used_idx = (uint16_t)(d->used_idx + buffers);
		return;
	}
	/* There are devices that never say WRITE. */
	if (elem.len != 0 && !one_in(20))
		flags |= WRITE;
	if (t->hostile && one_in(1000))
		flags ^= one_in(2) ? PACKED_OWNER : VIO_DESC_F_AVAIL;
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
	d->avail = d->used = (struct lap_pos){ 0, true };
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

/* ---- Tests --------------------------------------------------------------------------------- */

static void test_driver_twins(void **state)
{
	live_all(ring_format(state), live_drivers);
	assert_true(reasons[VIO_VQ_OK] > 0);
	assert_true(reasons[VIO_VQ_BAD_ID] > 0);
	assert_true(reasons[VIO_VQ_NOT_IN_FLIGHT] > 0);
	assert_true(reasons[VIO_VQ_BAD_USED_LEN] > 0);
}

/* ---- Batches of a device that works in order ------------------------------------------------- */

/* What was added and has to come back, in this order. */
struct due {
	void *token;
	uint32_t in_len;
};

struct batches {
	struct dev_hand hand;
	struct due due[MAX_NUM + BURST];
	unsigned nr_due, nr_used; /* of those due, the first were used, */
	unsigned to_last;	  /* and so many of them, of one batch, were not reaped yet */
	uint32_t last_len;	  /* written into the last of these */
	unsigned cut, whole;	  /* bursts that ended within a batch, and batches */
};

/* Adds and publishes singles, or here and there a list among them. */
static void add_for_batch(struct twins *t, struct batches *b)
{
	struct vio_seg segs[BURST];
	struct vio_drvq_buf list;
	void *tokens[BURST];
	unsigned k, i, n = one_in(4) ? 1 : 1 + rnd(BURST);
	bool write = one_in(2);
	int ret[2];

	for (i = 0; i < n; i++) {
		segs[i] = (struct vio_seg){ BASE + DATA, 1 + rnd(2000) };
		tokens[i] = make_token(&b->hand);
	}
	list = (struct vio_drvq_buf){ .segs = segs, .token = tokens[0] };
	*(write ? &list.in_num : &list.out_num) = (uint16_t)(1 + rnd(3));
	for (i = 1; n == 1 && i < 3; i++)
		segs[i] = segs[0];
	for (k = 0; k < 2; k++) {
		ret[k] = n == 1 ? vio_drvq_add_burst(t->s[k].drv, &list, 1) :
				  vio_drvq_add_singles(t->s[k].drv, segs, tokens, n, write);
		vio_drvq_publish(t->s[k].drv);
	}
	assert_twins(t, "added", ret[0], ret[1]);
	for (i = 0; i < (unsigned)ret[0]; i++) {
		uint32_t len = n == 1 ? list.in_num * segs[0].len : write ? segs[i].len : 0;

		b->due[b->nr_due++] = (struct due){ tokens[i], len };
	}
}

/* Uses some of what was published, as one batch. */
static void use_batch(struct twins *t, struct batches *b)
{
	struct dev_hand *d = &b->hand;
	uint32_t slots = 0;
	unsigned i, n;

	see(t, d);
	if (d->nr_seen == 0 || b->to_last > 0)
		return;
	n = 1 + rnd(d->nr_seen);
	for (i = 0; i < n; i++)
		slots += d->seen[i].slots;
	b->last_len = rnd(d->seen[n - 1].in_len + 1ull);
	put_used(t, d, (struct vio_virtq_used_elem){ d->seen[n - 1].id, b->last_len }, n, slots);
	if (!t->packed)
		put16(t, t->device + 2, d->used_idx);
	d->nr_seen -= n;
	memmove(&d->seen[0], &d->seen[n], d->nr_seen * sizeof(d->seen[0]));
	b->to_last = n;
	b->whole++;
}

static void reap_batches(struct twins *t, struct batches *b)
{
	struct vio_drvq_done done[2][BURST];
	unsigned k, i, n = 1 + rnd(BURST), want = n < b->to_last ? n : b->to_last;

	for (k = 0; k < 2; k++)
		assert_int_equal(vio_drvq_reap_burst(t->s[k].drv, done[k], n), want);
	for (i = 0; i < want; i++)
		for (k = 0; k < 2; k++) {
			bool last = i + 1 == b->to_last;

			assert_ptr_equal(done[k][i].token, b->due[i].token);
			assert_int_equal(done[k][i].len, last ? b->last_len : b->due[i].in_len);
		}
	b->to_last -= want;
	b->nr_due -= want;
	b->cut += b->to_last > 0;
	memmove(&b->due[0], &b->due[want], b->nr_due * sizeof(b->due[0]));
}

static struct batches *all_batches;

static void live_batches(struct twins *t)
{
	struct batches *b = all_batches;

	t->hostile = false;
	open_twins(t, false);
	memset(b, 0, offsetof(struct batches, cut));
	open_drivers(t, &b->hand);
	for (t->step = 0; t->step < STEPS; t->step++) {
		add_for_batch(t, b);
		use_batch(t, b);
		while (one_in(4) == 0 && b->to_last > 0)
			reap_batches(t, b);
		assert_same_driver(t);
	}
	assert_twins(t, "no error", VIO_VQ_OK, vio_drvq_error(t->s[1].drv));
	detach_all(t);
	close_twins(t);
}

/* Whatever the batch has in it, and wherever it is cut or goes round the end of the ring: all come
 * back in order, those that were skipped as used to their end, the last with what was said. */
static void test_batches(void **state)
{
	static struct batches b;

	all_batches = &b;
	live_all(ring_format(state), live_batches);
	assert_true(b.whole > 1000 && b.cut > 1000);
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
		if (!have_level(level))
			continue;
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

/* ---- A device that changes its mind ---------------------------------------------------------- */

#define RACE_NUM    8u
#define RACE_ROUNDS 20000u   /* in which the device changed its mind */
#define RACE_MOST   1000000u /* rounds in all, where both threads share a processor */

struct fickle {
	struct vio_virtq_used_elem *ring;
	unsigned turns;
	bool stop;
};

/* Says of the first half of the ring now the ids 0 to 3, now those of the second half. */
static void *be_fickle(void *arg)
{
	struct fickle *f = arg;
	uint32_t first = 0, k;

	while (!vio_load(&f->stop)) {
		first ^= RACE_NUM / 2;
		for (k = 0; k < RACE_NUM / 2; k++)
			vio_store(&f->ring[k].id, first + k);
		vio_store(&f->turns, f->turns + 1);
		/* Long enough that a driver also sees four that agree. */
		for (k = 0; k < 20 && !vio_load(&f->stop); k++)
			;
	}
	return NULL;
}

/* Has all buffers go round once. Returns how many came back, each the next in the order. */
static unsigned race_round(struct twins *t, struct dev_hand *d)
{
	struct vio_drvq *q = t->s[1].drv;
	struct vio_drvq_done done[RACE_NUM];
	struct vio_seg segs[RACE_NUM];
	void *tokens[RACE_NUM];
	unsigned k, nr = 0;
	int ret;

	for (k = 0; k < RACE_NUM; k++) {
		segs[k] = (struct vio_seg){ BASE + DATA, 64 };
		tokens[k] = make_token(d);
	}
	if (vio_drvq_add_singles(q, segs, tokens, RACE_NUM, true) != (int)RACE_NUM)
		return 0;
	vio_drvq_publish(q);
	d->used_idx = (uint16_t)(d->used_idx + RACE_NUM);
	put16(t, t->device + 2, d->used_idx);
	while (nr < RACE_NUM) {
		ret = vio_drvq_reap_burst(q, done, RACE_NUM - nr);
		if (ret <= 0)
			return nr;
		for (k = 0; k < (unsigned)ret; k++)
			if (done[k].token != tokens[nr++])
				return nr - 1;
	}
	return nr;
}

/*
 * An in-order device writes used ids while the driver reads them. Whichever of its two minds each of
 * the ids is read in, it is a legal one: the next buffer, or a batch of five that ends in the second
 * half. So all buffers come back, in order; but for a driver that reads an id twice, checks the order
 * of the one and takes the buffer of the other.
 */
static void test_ids_read_once(void **state)
{
	const enum vio_simd best = vio_simd_force(VIO_SIMD_LEVELS - 1);
	struct twins t = { .features = ring_format(state), .num = RACE_NUM, .level = best };
	unsigned round, raced = 0, before, k, back = RACE_NUM;
	struct fickle f = { 0 };
	static struct dev_hand d;
	pthread_t thread;

	open_twins(&t, false);
	open_drivers(&t, &d);
	f.ring = (void *)(t.s[1].low + t.device + 4);
	for (k = 0; k < RACE_NUM; k++)
		f.ring[k] = (struct vio_virtq_used_elem){ k, 8 };
	assert_int_equal(pthread_create(&thread, NULL, be_fickle, &f), 0);
	while (vio_load(&f.turns) == 0)
		sched_yield();
	for (round = 0; round < RACE_MOST && raced < RACE_ROUNDS && back == RACE_NUM; round++) {
		before = vio_load(&f.turns);
		back = race_round(&t, &d);
		raced += vio_load(&f.turns) != before;
	}
	vio_store(&f.stop, true);
	pthread_join(thread, NULL);
	if (back != RACE_NUM)
		fail_msg("%s, round %u: buffer %u did not come back in its turn",
			 vio_simd_name(best), round, back);
	assert_int_equal(vio_drvq_error(t.s[1].drv), VIO_VQ_OK);
	assert_int_equal(vio_drvq_in_flight(t.s[1].drv), 0);
	close_twins(&t);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_driver_twins, RING_RUN_ALL),
		RING_TEST(test_batches, RING_RUN_IN_ORDER),
		RING_TEST(test_id_behind_the_last, RING_RUN_PACKED),
		RING_TEST(test_ids_read_once, RING_RUN_SPLIT_IN_ORDER),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
