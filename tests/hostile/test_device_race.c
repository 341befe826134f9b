/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HOSTILE 5: a guest of two threads, of which one rewrites rings, tables and buffers while the device
 * serves them, with each ring format.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/endian.h"
#include "bed.h"
#include "netframe.h"
#include "ring_image.h"

/* Memory that a second thread of the guest never stops rewriting. */
struct mutator {
	struct bed *r;
	uint64_t buffers; /* 64 of 256 bytes */
	uint64_t tables;  /* 16 of 8 descriptors */
	bool stop;
};

static uint64_t some_address(struct mutator *m, uint64_t *seed)
{
	switch (netframe_between(seed, 0, 15)) {
	case 0:
		return netframe_random(seed);
	case 1: /* the end of a region, of the last one too */
		return guest_region(&m->r->g, netframe_between(seed, 1, GUEST_REGIONS)) -
		       netframe_between(seed, 0, 300);
	case 2:
		return m->tables + 16 * netframe_between(seed, 0, 127);
	default:
		return m->buffers + 16 * netframe_between(seed, 0, 1000);
	}
}

/* Flags for a descriptor: half of those in a packed ring are available, in either lap. */
static uint16_t some_flags(const struct mutator *m, bool in_ring, uint64_t *seed)
{
	uint16_t flags = (uint16_t)netframe_between(seed, 0, 7);

	if (!m->r->q[0].packed || !in_ring)
		return flags;
	if (netframe_between(seed, 0, 15) == 0)
		return (uint16_t)(flags | PACKED_OWNER);
	return (uint16_t)(flags |
			  (netframe_between(seed, 0, 1) ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED));
}

static void mutate_desc(struct mutator *m, struct vio_virtq_desc *d, bool in_ring, unsigned num,
			uint64_t *seed)
{
	struct vio_pvirtq_desc *p = (struct vio_pvirtq_desc *)(void *)d;
	uint32_t len = netframe_between(seed, 0, 30) ? netframe_between(seed, 1, 400) :
						       (uint32_t)netframe_random(seed);
	uint16_t link = (uint16_t)netframe_between(seed, 0, num);

	switch (netframe_between(seed, 0, 3)) {
	case 0:
		vio_store(&d->addr, vio_le64(some_address(m, seed)));
		break;
	case 1:
		vio_store(&d->len, vio_le32(len));
		break;
	case 2:
		vio_store(m->r->q[0].packed ? &p->flags : &d->flags,
			  vio_le16(some_flags(m, in_ring, seed)));
		break;
	default:
		vio_store(m->r->q[0].packed ? &p->id : &d->next, vio_le16(link));
	}
}

/* A header that is sometimes good and sometimes not, in front of what looks like TCP. */
static void mutate_frame(struct mutator *m, uint64_t *seed)
{
	uint8_t *p = guest_at(&m->r->g, m->buffers + 256 * netframe_between(seed, 0, 63));
	static const uint8_t ip[] = { 0x08, 0x00, 0x45, 0x00, 0x01, 0x00, 0, 0, 0, 0, 64, 6 };

	switch (netframe_between(seed, 0, 3)) {
	case 0:
		vio_store(p, (uint8_t)netframe_between(seed, 0, 1));
		vio_store(p + 1, (uint8_t)netframe_between(seed, 0, 5));
		break;
	case 1:
		vio_store(p + netframe_between(seed, 2, 11),
			  (uint8_t)netframe_between(seed, 0, 100));
		break;
	case 2:
		for (unsigned i = 0; i < sizeof(ip); i++)
			vio_store(p + 12 + 12 + i, ip[i]);
		break;
	default:
		vio_store(p + netframe_between(seed, 0, 255), (uint8_t)netframe_random(seed));
	}
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;
	struct guest_queue *q = m->r->q;
	uint64_t seed = 77;

	while (!vio_load(&m->stop)) {
		struct vio_virtq_desc *table = guest_at(&m->r->g, m->tables);
		unsigned queue = netframe_between(&seed, 0, 1);

		switch (netframe_between(&seed, 0, 9)) {
		case 0:
			mutate_desc(m, &q[queue].desc[netframe_between(&seed, 0, 63)], true, 64,
				    &seed);
			break;
		case 1:
			mutate_desc(m, &table[netframe_between(&seed, 0, 127)], false, 8, &seed);
			break;
		case 2:
			if (!q[queue].packed)
				vio_store(&q[queue].avail->ring[netframe_between(&seed, 0, 63)],
					  vio_le16((uint16_t)netframe_between(&seed, 0, 64)));
			break;
		default:
			mutate_frame(m, &seed);
		}
	}
	return NULL;
}

/* All of a ring anew: descriptors that are good for a while. */
static void write_ring(struct mutator *m, unsigned queue, uint32_t base, uint64_t *seed)
{
	struct guest_queue *q = &m->r->q[queue];
	const uint16_t in = queue == 0 ? VIO_DESC_F_WRITE : 0;

	for (unsigned i = 0; i < 64; i++) {
		/* Those that the ring comes to first belong to this lap, the others to the next. */
		bool lap = (i >= (base & 0x7fff)) == !!(base & 0x8000);
		bool table = netframe_between(seed, 0, 7) == 0;
		uint16_t flags =
			(uint16_t)(in | (netframe_between(seed, 0, 3) ? 0 : VIO_DESC_F_NEXT));
		uint64_t addr = m->buffers + 256 * i;
		uint32_t len = netframe_between(seed, 1, 256);

		if (table) {
			flags = VIO_DESC_F_INDIRECT;
			addr = m->tables + 128 * (i % 16);
			len = 128;
		}
		if (q->packed) {
			flags |= lap ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED;
			vio_store(&q->pdesc[i].addr, vio_le64(addr));
			vio_store(&q->pdesc[i].len, vio_le32(len));
			vio_store_release(&q->pdesc[i].flags, vio_le16(flags));
			continue;
		}
		guest_queue_desc(q, i, addr, len, flags, (uint16_t)((i + 1) % 64));
		vio_store(&q->avail->ring[i], vio_le16((uint16_t)i));
	}
}

/* Whatever broke begins anew. */
static void set_up(struct mutator *m, unsigned queue, uint64_t *seed)
{
	struct bed *r = m->r;
	struct guest_queue *q = &r->q[queue];
	uint32_t base = 0x80008000;
	struct vio_devq_setup setup;

	if (vio_device_queue_running(r->dev, queue))
		assert_int_equal(vio_device_queue_stop(r->dev, queue, &base), 0);
	if (!q->packed) {
		base = guest_queue_used_idx(q);
		vio_store(&q->avail->idx, vio_le16((uint16_t)base));
	}
	write_ring(m, queue, base, seed);
	setup = guest_queue_setup(q, base);
	assert_int_equal(vio_device_queue_start(r->dev, queue, &setup, r->g.mem), 0);
}

/* All that was popped has come back, so eight more buffers fit. */
static void make_avail(struct guest_queue *q)
{
	uint16_t idx;

	if (q->packed) /* the mutator does that */
		return;
	idx = vio_le16(vio_load(&q->avail->idx));
	if ((uint16_t)(idx - guest_queue_used_idx(q)) < 32)
		vio_store_release(&q->avail->idx, vio_le16((uint16_t)(idx + 8)));
}

static void h05_memory_that_changes_while_it_is_served(void **state)
{
	static uint8_t frame[2000];
	uint64_t seed = 31, packets = 0, breaks = 0;
	struct mutator m = { 0 };
	pthread_t thread;
	struct bed r;

#ifdef __SANITIZE_THREAD__
	skip(); /* a data race is what it is made of */
#endif
	bed_open_format(&r, state,
			(struct bed_conf){ .features = ~0ull, .num = 64, .region_size = 64 << 10 });
	m.r = &r;
	m.tables = guest_alloc(&r.g, 16 * 128, 16);
	m.buffers = guest_alloc(&r.g, 64 * 256, 16);
	r.fb->only_count = true;
	assert_int_equal(pthread_create(&thread, NULL, mutate, &m), 0);
	for (unsigned round = 0; round < 6000; round++) {
		/* Half of the time the back end does everything, half of the time software does. */
		if (round % 1000 == 0) {
			r.fb->be.caps.tx_offloads = round / 1000 % 2 ? BED_ALL_TX : 0;
			vio_device_set_status(r.dev, 0);
			assert_int_equal(vio_device_set_driver_features(
						 r.dev, vio_features_make(r.features, 0)),
					 0);
		}
		for (unsigned q = 0; q < 2; q++) {
			if (!vio_device_queue_running(r.dev, q) ||
			    vio_device_queue_error(r.dev, q) != VIO_VQ_OK) {
				breaks++;
				set_up(&m, q, &seed);
			}
			make_avail(&r.q[q]);
		}
		fake_backend_give(r.fb, 0, frame, netframe_between(&seed, 14, 2000), NULL);
		r.fb->take = round % 5 ? -1 : 3;
		bed_turn(&r, 0);
		packets = bed_stats(&r, 1).packets;
	}
	vio_store(&m.stop, true);
	pthread_join(thread, NULL);
	/* It was worth the name: both outcomes happened often. */
	assert_true(packets > 100);
	assert_true(breaks > 100);
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(h05_memory_that_changes_while_it_is_served, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
