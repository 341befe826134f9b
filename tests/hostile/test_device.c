/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm, against the device: HOSTILE 5-9, 12, 13 and 16 with each ring format, and
 * what of 1-4 and 14 has to arrive here: the reason that the ring found stops this queue and no other.
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

#define F(bit) (UINT64_C(1) << VIO_NET_F_##bit)
#define ALL_TX                                                                      \
	(VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 | VIO_OFFLOAD_ECN | \
	 VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6)

#define OWNER (VIO_DESC_F_AVAIL | VIO_DESC_F_USED)

#define ANY_SPLIT  (RING_RUN_SPLIT | RING_RUN_SPLIT_IN_ORDER)
#define ANY_PACKED (RING_RUN_PACKED | RING_RUN_PACKED_IN_ORDER)

static uint8_t bytes[70000];

/* Opens the bed with the ring format that the test is run for. */
static void open_bed(struct bed *r, void **state, struct bed_conf conf)
{
	conf.packed = ring_format(state) & RING_PACKED;
	conf.in_order = ring_format(state) & RING_IN_ORDER;
	bed_open(r, &conf);
	assert_int_equal(r->q[0].packed, conf.packed && !conf.no_start);
}

/* ---- H01-H04, H14 -------------------------------------------------------------------------- */

/* What a ring finds, each by itself; which format can be lied in so, and how. */
struct ring_lie {
	enum vio_vq_error why;
	unsigned formats; /* RING_RUN_* */
	void (*tell)(struct bed *r, unsigned queue);
};

static void post(struct bed *r, unsigned queue, uint64_t addr, uint32_t len, uint16_t flags)
{
	guest_queue_post_one(&r->q[queue], addr, len,
			     (uint16_t)(flags | (queue & 1 ? 0 : VIO_DESC_F_WRITE)));
}

/* H01: the start of it is inside, the end behind the last region. */
static void lie_end_outside(struct bed *r, unsigned queue)
{
	post(r, queue, guest_region(&r->g, GUEST_REGIONS) - 60, 2000, 0);
}

/* H01: wraps 2^64. */
static void lie_wraps(struct bed *r, unsigned queue)
{
	post(r, queue, UINT64_MAX - 20, 2000, 0);
}

/* H02: a table that holds no whole number of descriptors, and none. */
static void lie_odd_table(struct bed *r, unsigned queue)
{
	guest_queue_post_one(&r->q[queue], guest_alloc(&r->g, 64, 16), 40, VIO_DESC_F_INDIRECT);
}

static void lie_empty_table(struct bed *r, unsigned queue)
{
	guest_queue_post_one(&r->q[queue], guest_alloc(&r->g, 64, 16), 0, VIO_DESC_F_INDIRECT);
}

/* H02: a table in a table; packed tables know no flag but WRITE. */
static void lie_nested_table(struct bed *r, unsigned queue)
{
	uint64_t at = guest_alloc(&r->g, 64, 16);

	*(struct vio_virtq_desc *)guest_at(&r->g, at) =
		(struct vio_virtq_desc){ vio_le64(at), vio_le32(64), vio_le16(VIO_DESC_F_INDIRECT),
					 0 };
	guest_queue_post_one(&r->q[queue], at, 64, VIO_DESC_F_INDIRECT);
}

/* H03: a chain without an end. */
static void lie_loop(struct bed *r, unsigned queue)
{
	struct guest_queue *q = &r->q[queue];
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	uint16_t in = queue & 1 ? 0 : VIO_DESC_F_WRITE;

	if (q->packed)
		for (unsigned i = 0; i < q->num; i++)
			guest_queue_post_one(q, addr, 64, (uint16_t)(VIO_DESC_F_NEXT | in));
	else {
		guest_queue_desc(q, 5, addr, 64, (uint16_t)(VIO_DESC_F_NEXT | in), 5);
		guest_queue_avail(q, 5);
	}
}

static void lie_zero_length(struct bed *r, unsigned queue)
{
	post(r, queue, guest_region(&r->g, 0), 0, 0);
}

static void lie_order(struct bed *r, unsigned queue)
{
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	struct vio_virtq_desc two[] = { { addr, 64, VIO_DESC_F_WRITE, 0 }, { addr, 64, 0, 0 } };

	guest_queue_post(&r->q[queue], two, 2);
}

static void lie_head(struct bed *r, unsigned queue)
{
	guest_queue_avail(&r->q[queue], 256);
}

/* H04: the index jumps, and runs backwards. */
static void lie_jump(struct bed *r, unsigned queue)
{
	vio_store(&r->q[queue].avail->idx, vio_le16(257));
}

static void lie_backwards(struct bed *r, unsigned queue)
{
	vio_store(&r->q[queue].avail->idx, vio_le16(65535));
}

/* H14: given back before it was given. */
static void lie_flags(struct bed *r, unsigned queue)
{
	*guest_queue_flags(&r->q[queue], 0) = vio_le16(OWNER);
}

/* H14: a list whose second descriptor is not there. */
static void lie_torn_list(struct bed *r, unsigned queue)
{
	uint64_t addr = guest_alloc(&r->g, 64, 16);
	uint16_t in = queue & 1 ? 0 : VIO_DESC_F_WRITE;
	struct vio_virtq_desc two[] = { { addr, 64, in, 0 }, { addr, 64, in, 0 } };

	guest_queue_post(&r->q[queue], two, 2);
	*guest_queue_flags(&r->q[queue], 1) = in;
}

static const struct ring_lie ring_lies[] = {
	{ VIO_VQ_BAD_ADDRESS, RING_RUN_ALL, lie_end_outside },
	{ VIO_VQ_BAD_ADDRESS, RING_RUN_ALL, lie_wraps },
	{ VIO_VQ_BAD_INDIRECT, RING_RUN_ALL, lie_odd_table },
	{ VIO_VQ_BAD_INDIRECT, RING_RUN_ALL, lie_empty_table },
	{ VIO_VQ_BAD_INDIRECT, ANY_SPLIT, lie_nested_table },
	{ VIO_VQ_CHAIN_LOOP, RING_RUN_ALL, lie_loop },
	{ VIO_VQ_ZERO_LENGTH, RING_RUN_ALL, lie_zero_length },
	{ VIO_VQ_BAD_ORDER, RING_RUN_ALL, lie_order },
	{ VIO_VQ_BAD_HEAD, ANY_SPLIT, lie_head },
	{ VIO_VQ_AVAIL_JUMP, ANY_SPLIT, lie_jump },
	{ VIO_VQ_AVAIL_JUMP, ANY_SPLIT, lie_backwards },
	{ VIO_VQ_BAD_FLAGS, ANY_PACKED, lie_flags },
	{ VIO_VQ_BAD_FLAGS, ANY_PACKED, lie_torn_list },
};

/* Queue @queue of pair 0 breaks for @why, is told of once, and touches nothing any more. */
static void expect_broken(struct bed *r, unsigned queue, enum vio_vq_error why)
{
	fake_backend_give(r->fb, 0, bytes, 60, NULL);
	for (unsigned i = 0; i < 3; i++) {
		int sent = bed_turn(r, 0);

		assert_int_equal(sent, queue & 1 ? -EPROTO : 0);
		assert_string_equal(vio_vq_error_name(vio_device_queue_error(r->dev, queue)),
				    vio_vq_error_name(why));
		assert_int_equal(r->broken[queue], 1);
		assert_int_equal(r->why[queue], why);
	}
	assert_int_equal(r->calls[queue], 0);
	assert_int_equal(fake_backend_sent(r->fb), 0);
	assert_int_equal(vio_device_queue_error(r->dev, queue ^ 1), VIO_VQ_OK);
}

/* What a broken ring does not touch: the other pair, and its own successor. */
static void h01_h04_h14_a_ring_that_lies_stops_alone(void **state)
{
	const bool packed = ring_format(state) & RING_PACKED;
	static struct bed_frame got;

	memset(bytes, 0, 60);
	for (unsigned i = 0; i < sizeof(ring_lies) / sizeof(ring_lies[0]); i++)
		for (unsigned queue = 0; queue < 2; queue++) {
			struct vio_devq_setup setup;
			struct bed r;

			if (!(ring_lies[i].formats & (packed ? ANY_PACKED : ANY_SPLIT)))
				continue;
			open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .pairs = 2 });
			ring_lies[i].tell(&r, queue);
			expect_broken(&r, queue, ring_lies[i].why);
			/* The other pair, both ways. */
			assert_true(bed_send(&r, 1, NULL, bytes, 60));
			bed_post(&r, 1, 1526, 1);
			fake_backend_give(r.fb, 1, bytes, 60, NULL);
			assert_int_equal(bed_turn(&r, 1), 1);
			assert_true(bed_recv(&r, 1, &got));
			free(fake_backend_next(r.fb));
			/* The queue anew. */
			assert_int_equal(vio_device_queue_stop(r.dev, queue, NULL), 0);
			guest_queue_destroy(&r.q[queue]);
			guest_queue_create(&r.q[queue], &r.g, r.num, r.features);
			setup = guest_queue_setup(&r.q[queue], 0);
			assert_int_equal(vio_device_queue_start(r.dev, queue, &setup, r.g.mem), 0);
			if (queue & 1)
				assert_true(bed_send(&r, 0, NULL, bytes, 60));
			else
				bed_post(&r, 0, 1526, 1);
			assert_int_equal(bed_turn(&r, 0), queue & 1);
			assert_true((queue & 1) || bed_recv(&r, 0, &got));
			bed_close(&r);
		}
}

/* ---- H05 ---------------------------------------------------------------------------------- */

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
		return (uint16_t)(flags | OWNER);
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
	open_bed(&r, state,
		 (struct bed_conf){ .features = ~0ull, .num = 64, .region_size = 64 << 10 });
	m.r = &r;
	m.tables = guest_alloc(&r.g, 16 * 128, 16);
	m.buffers = guest_alloc(&r.g, 64 * 256, 16);
	r.fb->only_count = true;
	assert_int_equal(pthread_create(&thread, NULL, mutate, &m), 0);
	for (unsigned round = 0; round < 6000; round++) {
		/* Half of the time the back end does everything, half of the time software does. */
		if (round % 1000 == 0) {
			r.fb->be.caps.tx_offloads = round / 1000 % 2 ? ALL_TX : 0;
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

/* ---- H06 ---------------------------------------------------------------------------------- */

static void h06_frame_shorter_than_its_header(void **state)
{
	struct guest_used used;
	struct bed r;
	uint64_t addr;
	unsigned n = 0;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .tx_offloads = ALL_TX });
	addr = guest_alloc(&r.g, 64, 1);
	/* From one byte to header and 13 bytes of frame; header and nothing else among them. */
	for (uint16_t i = 0; i < 25; i++)
		guest_queue_post_one(&r.q[1], addr, i + 1u, 0);
	/* A buffer without anything for the device to read. */
	guest_queue_post_one(&r.q[1], addr, 64, VIO_DESC_F_WRITE);
	guest_queue_post_one(&r.q[1], addr, 26, 0);
	assert_int_equal(bed_turn(&r, 0), 27);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 26);
	assert_int_equal(fake_backend_sent(r.fb), 1);
	assert_int_equal(r.fb->sent.first->len, 14);
	while (guest_queue_take(&r.q[1], &used)) {
		assert_int_equal(used.len, 0);
		n += used.buffers;
	}
	assert_int_equal(n, 27);
	assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
	bed_close(&r);
}

static void h06_header_over_1_2_3_and_12_descriptors(void **state)
{
	static const uint32_t twelve[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	static const uint32_t three[] = { 4, 4, 4 }, two[] = { 11, 1 }, one[] = { 12 };
	static const struct {
		const uint32_t *pieces;
		unsigned n;
	} cases[] = { { one, 1 }, { two, 2 }, { three, 3 }, { twelve, 12 }, { twelve, 11 } };
	struct vio_net_meta meta = {
		.flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6, .hdr_len = 42
	};
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .tx_offloads = ALL_TX });
	bed_pattern(bytes, 100, 5);
	for (unsigned i = 0; i < 5; i++) {
		struct fake_frame *f;

		assert_true(bed_send_pieces(&r, 0, &meta, bytes, 100, cases[i].pieces, cases[i].n));
		assert_int_equal(bed_turn(&r, 0), 1);
		f = fake_backend_next(r.fb);
		assert_non_null(f);
		assert_int_equal(f->len, 100);
		assert_memory_equal(f->bytes, bytes, 100);
		assert_memory_equal(&f->meta, &meta, sizeof(meta));
		free(f);
	}
	bed_close(&r);
}

/* ---- H07 ---------------------------------------------------------------------------------- */

static void h07_headers_that_lie(void **state)
{
	const uint8_t csum = VIO_NET_HDR_F_NEEDS_CSUM;
	static const uint8_t tcp4 = VIO_NET_HDR_GSO_TCPV4;
	const struct {
		struct vio_net_meta meta;
		int why; /* enum vio_drop, or -1: goes through */
	} cases[] = {
		{ { .flags = csum, .csum_start = 99, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 100, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 65535, .csum_offset = 0 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 0, .csum_offset = 99 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 65535, .csum_offset = 65535 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 1, .csum_offset = 65535 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 50, .csum_offset = 48 }, -1 },
		{ { .flags = csum, .csum_start = 34, .csum_offset = 16, .hdr_len = 65535 }, -1 },
		{ { .flags = csum, .gso_type = tcp4, .csum_start = 34, .csum_offset = 16 },
		  VIO_DROP_BAD_GSO },					    /* gso_size 0 */
		{ { .gso_type = tcp4, .gso_size = 10 }, VIO_DROP_BAD_GSO }, /* no checksum */
		{ { .flags = csum, .gso_type = 2, .gso_size = 10, .csum_start = 34 },
		  VIO_DROP_BAD_GSO },
		{ { .flags = csum, .gso_type = 0x7f, .gso_size = 10, .csum_start = 34 },
		  VIO_DROP_BAD_GSO },
		{ { .flags = 0xf6 }, -1 }, /* unknown flags are ignored (5.1.9.2) */
		{ { .flags = VIO_NET_HDR_F_UDP_TUNNEL_CSUM }, VIO_DROP_BAD_HEADER },
		{ { .csum_start = 65535, .csum_offset = 65535, .gso_size = 9 }, -1 },
	};
	struct bed r;

	for (unsigned soft = 0; soft < 2; soft++) {
		open_bed(&r, state,
			 (struct bed_conf){ .features = ~0ull, .tx_offloads = soft ? 0 : ALL_TX });
		memset(bytes, 0, 100);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint64_t before = cases[i].why < 0 ? 0 :
							     bed_stats(&r, 1).drops[cases[i].why];

			assert_true(bed_send(&r, 0, &cases[i].meta, bytes, 100));
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_reap_tx(&r, 0), 1);
			if (fake_backend_sent(r.fb) != (cases[i].why < 0))
				fail_msg("case %u, soft %u", i, soft);
			free(fake_backend_next(r.fb));
			if (cases[i].why >= 0)
				assert_int_equal(bed_stats(&r, 1).drops[cases[i].why], before + 1);
		}
		assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
		bed_close(&r);
	}
}

static void h07_offloads_that_were_not_negotiated(void **state)
{
	static struct netframe f;
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP, VIO_NET_HDR_GSO_UDP_L4,
					 VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN };
	static const uint64_t without[] = { F(HOST_TSO4) | F(HOST_ECN), F(HOST_TSO6), F(HOST_UFO),
					    F(HOST_USO), F(HOST_ECN) };
	uint64_t seed = 2;
	struct bed r;

	for (unsigned i = 0; i < 5; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i], &seed);

		spec.payload = 5000;
		spec.gso_size = 1000;
		netframe_build(&f, &spec, &seed);
		open_bed(&r, state,
			 (struct bed_conf){ .features = ~without[i], .tx_offloads = ALL_TX });
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
	/* Not even a checksum. */
	f.meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 };
	open_bed(&r, state, (struct bed_conf){ .features = F(MRG_RXBUF), .tx_offloads = ALL_TX });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, 100));
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	bed_close(&r);
}

/* ---- H08 ---------------------------------------------------------------------------------- */

static void expect_rx_broken(struct bed *r)
{
	fake_backend_give(r->fb, 0, bytes, 60, NULL);
	bed_turn(r, 0);
	assert_int_equal(vio_device_queue_error(r->dev, 0), VIO_VQ_BAD_FRAME);
	assert_int_equal(r->broken[0], 1);
	assert_int_equal(r->why[0], VIO_VQ_BAD_FRAME);
	/* Told once, and quiet from then on. */
	bed_turn(r, 0);
	assert_int_equal(r->broken[0], 1);
	assert_true(vio_device_rx_starved(r->dev, 0));
	/* The other direction goes on. */
	assert_true(bed_send(r, 0, NULL, bytes, 60));
	assert_int_equal(bed_turn(r, 0), 1);
}

static void h08_receive_buffer_too_small_for_the_header(void **state)
{
	uint32_t pieces[11] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct bed r;

	memset(bytes, 0, 60);
	for (uint32_t size = 1; size < 12; size++) {
		open_bed(&r, state,
			 (struct bed_conf){ .features = size & 1 ? ~0ull : ~F(MRG_RXBUF) });
		bed_post(&r, 0, size, 1);
		bed_post(&r, 0, 1526, 1);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_take_all(&r.q[0]), 0);
		bed_close(&r);
	}
	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_true(bed_post_pieces(&r, 0, pieces, 11));
	expect_rx_broken(&r);
	bed_close(&r);
}

/* What comes before it is still delivered. */
static void h08_a_bad_buffer_behind_good_ones(void **state)
{
	static struct bed_frame got;
	struct bed r;

	memset(bytes, 0, 60);
	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	bed_post(&r, 0, 1526, 2);
	bed_post(&r, 0, 11, 1);
	for (unsigned i = 0; i < 2; i++) {
		r.fb->burst = 1;
		fake_backend_give(r.fb, 0, bytes, 60, NULL);
	}
	bed_turn(&r, 0);
	assert_true(bed_recv(&r, 0, &got));
	assert_true(bed_recv(&r, 0, &got));
	assert_int_equal(vio_device_queue_error(r.dev, 0), VIO_VQ_OK);
	expect_rx_broken(&r);
	bed_close(&r);
}

static void h08_receive_buffer_with_a_readable_part(void **state)
{
	struct vio_virtq_desc two[2];
	struct bed r;
	uint64_t addr;

	memset(bytes, 0, 60);
	for (unsigned second = 0; second < 2; second++) {
		open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
		addr = guest_alloc(&r.g, 4000, 1);
		/* As the first buffer, or as the second of a frame that needs two. */
		two[0] = (struct vio_virtq_desc){ addr, 20, 0, 0 };
		two[1] = (struct vio_virtq_desc){ addr, 2000, VIO_DESC_F_WRITE, 0 };
		if (second)
			guest_queue_post_one(&r.q[0], addr, 20, VIO_DESC_F_WRITE);
		guest_queue_post(&r.q[0], two, 2);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_take_all(&r.q[0]), 0);
		bed_close(&r);
	}
}

/* ---- H09 ---------------------------------------------------------------------------------- */

static void h09_frames_of_every_length(void **state)
{
	static const struct {
		uint32_t len;
		int why;
	} cases[] = {
		{ 0, VIO_DROP_SHORT },
		{ 1, VIO_DROP_SHORT },
		{ 13, VIO_DROP_SHORT },
		{ 14, -1 },
		{ 1514, -1 },
		{ 65535, -1 },
		{ 65562, -1 },
		{ 65589, -1 },
		{ 65590, VIO_DROP_TOO_BIG },
		{ 65601, VIO_DROP_TOO_BIG },
		{ 69999, VIO_DROP_TOO_BIG },
	};
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_pattern(bytes, cases[i].len, i);
		assert_true(bed_send(&r, 0, NULL, bytes, cases[i].len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		if (cases[i].why < 0) {
			struct fake_frame *f = fake_backend_next(r.fb);

			assert_int_equal(f->len, cases[i].len);
			assert_memory_equal(f->bytes, bytes, f->len);
			free(f);
		} else {
			assert_int_equal(fake_backend_sent(r.fb), 0);
		}
	}
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 3);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_TOO_BIG], 3);
	bed_close(&r);
}

/* 1024 descriptors of the same 4 MiB, less one byte: as long as a length can be. @more: and more. */
static void post_4_gib(struct bed *r, unsigned queue, uint16_t flags, uint32_t more)
{
	static struct vio_virtq_desc d[1024];

	for (unsigned i = 0; i < 1024; i++)
		d[i] = (struct vio_virtq_desc){ guest_region(&r->g, 1), 4u << 20, flags, 0 };
	d[1023].len += more - 1;
	guest_queue_post(&r->q[queue], d, 1024);
}

static void h09_frames_of_4_gib(void **state)
{
	struct bed r;

	for (uint32_t more = 0; more < 2; more++) {
		open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .num = 1024 });
		post_4_gib(&r, 1, 0, more);
		if (more) {
			assert_int_equal(bed_turn(&r, 0), -EPROTO);
			assert_int_equal(r.why[1], VIO_VQ_TOO_LONG);
		} else {
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_TOO_BIG], 1);
			assert_int_equal(guest_queue_take_all(&r.q[1]), 1);
		}
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
}

/* Receive buffers of 4 GiB in all: any frame fits, and nothing overflows. */
static void h09_receive_buffers_of_4_gib(void **state)
{
	struct guest_used used;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .num = 1024 });
	post_4_gib(&r, 0, VIO_DESC_F_WRITE, 0);
	fake_backend_give(r.fb, 0, bytes, 65589, NULL);
	bed_turn(&r, 0);
	assert_true(guest_queue_take(&r.q[0], &used));
	assert_int_equal(used.len, 65601);
	bed_close(&r);
}

/* ---- H12 ---------------------------------------------------------------------------------- */

static void h12_impossible_geometry_is_refused(void **state)
{
	const bool packed = ring_format(state) & RING_PACKED;
	struct vio_devq_setup good, bad;
	struct bed r;
	char *area;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_int_equal(vio_device_queue_stop(r.dev, 1, NULL), 0);
	good = guest_queue_setup(&r.q[1], 0);
	area = guest_at(&r.g, guest_alloc(&r.g, 65536, 4096));
#define REFUSED(change)                                                                     \
	do {                                                                                \
		bad = good;                                                                 \
		change;                                                                     \
		assert_int_equal(vio_device_queue_start(r.dev, 1, &bad, r.g.mem), -EINVAL); \
		assert_false(vio_device_queue_running(r.dev, 1));                           \
	} while (0)
	REFUSED(bad.num = 0);
	if (!packed) {
		REFUSED(bad.num = 3);
		REFUSED(bad.num = 255);
	}
	REFUSED(bad.num = 32768);
	REFUSED(bad.num = 65536);
	REFUSED(bad.num = UINT32_MAX);
	REFUSED(bad.num = 0x80000000u);
	if (packed) {
		/* Places that the ring has not, with either counter. */
		REFUSED(bad.base = 0x80008000 | bad.num);
		REFUSED(bad.base = 0x80008000 | bad.num << 16);
		REFUSED(bad.base = 0x7fff7fff);
		REFUSED(bad.base = 0xffffffff);
	} else {
		REFUSED(bad.base = 65536);
	}
	REFUSED(bad.areas.desc = NULL);
	REFUSED(bad.areas.driver = NULL);
	REFUSED(bad.areas.device = NULL);
	REFUSED(bad.areas.desc = area + 8);
	REFUSED(bad.areas.driver = area + 1);
	REFUSED(bad.areas.device = area + 2);
	REFUSED(bad.areas.driver = bad.areas.desc);
	REFUSED(bad.areas.device = (char *)bad.areas.desc + bad.num * 16 - 4);
	REFUSED(bad.areas.device = bad.areas.driver);
	/* A sound ring, but larger than was offered. */
	good.areas.desc = area;
	good.areas.driver = area + 32768;
	good.areas.device = area + 40960;
	good.num = 2048;
	REFUSED((void)0);
	good = guest_queue_setup(&r.q[1], 0);
	/* While it runs, nothing about it can be changed. */
	assert_int_equal(vio_device_queue_start(r.dev, 1, &good, r.g.mem), 0);
	bad = good;
	bad.num = 16;
#undef REFUSED
	assert_int_equal(vio_device_queue_start(r.dev, 1, &bad, r.g.mem), -EBUSY);
	assert_true(bed_send(&r, 0, NULL, bytes, 60));
	assert_int_equal(bed_turn(&r, 0), 1);
	bed_close(&r);
}

/* ---- H13 ---------------------------------------------------------------------------------- */

static void h13_kicks_for_queues_that_are_not_there(void **state)
{
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull, .no_start = true });
	for (unsigned q = 2; q < 100000; q = q * 2 + 1)
		vio_device_count_kick(r.dev, q);
	vio_device_count_kick(r.dev, UINT32_MAX);
	for (unsigned i = 0; i < 100000; i++)
		vio_device_count_kick(r.dev, 1);
	assert_int_equal(bed_stats(&r, 1).kicks, 100000);
	assert_int_equal(bed_stats(&r, 0).kicks, 0);
	assert_int_equal(bed_turn(&r, 0), 0);
	bed_close(&r);
}

static void h13_status_in_impossible_orders(void **state)
{
	uint64_t seed = 13;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t old = vio_device_status(r.dev), now;
		uint8_t status = netframe_between(&seed, 0, 9) ? (uint8_t)netframe_random(&seed) :
								 0;

		now = vio_device_set_status(r.dev, status);
		assert_int_equal(now, vio_device_status(r.dev));
		if (status == 0) {
			assert_int_equal(now, 0);
			bed_stop(&r);
			r.g.next = GUEST_BASE;
			assert_int_equal(vio_device_set_driver_features(
						 r.dev, vio_features_make(r.features, 0)),
					 0);
			bed_start(&r);
		} else {
			assert_int_equal(now & old, old);
		}
		/* Impossible sets in between. */
		vio_device_set_driver_features(r.dev, vio_features_make(netframe_random(&seed),
									netframe_random(&seed)));
	}
	bed_close(&r);
}

static void h13_reset_in_the_middle_of_a_burst(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 30000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1000,
				      .needs_csum = true };
	uint64_t seed = 9;
	struct vio_features all;
	struct bed r;

	netframe_build(&f, &spec, &seed);
	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	all = vio_device_driver_features(r.dev);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n;

		r.fb->take = 10;
		for (unsigned i = 0; i < 5; i++)
			assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		bed_post(&r, 0, 100, 8); /* too few for the frame: it waits */
		if (r.fb->give[0].count == 0)
			fake_backend_give(r.fb, 0, bytes, 2000, NULL);
		assert_int_equal(bed_turn(&r, 0), -EAGAIN);
		assert_int_equal(vio_device_set_status(r.dev, 0), 0);
		assert_false(vio_device_tx_held(r.dev, 0));
		assert_int_equal(bed_turn(&r, 0), 0);
		bed_stop(&r);
		r.g.next = GUEST_BASE;
		assert_int_equal(vio_device_set_driver_features(r.dev, all), 0);
		bed_start(&r);
		/* The next guest's frames are whole. */
		r.fb->take = -1;
		for (n = 0; n < 10; n++)
			free(fake_backend_next(r.fb));
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(fake_backend_sent(r.fb), 30);
		for (n = 0; n < 30; n++)
			free(fake_backend_next(r.fb));
		bed_stop(&r);
		r.g.next = GUEST_BASE;
		bed_start(&r);
	}
	bed_close(&r);
}

/* ---- H16 ---------------------------------------------------------------------------------- */

static void h16_packet_headers_that_lie_about_themselves(void **state)
{
	static struct netframe f;
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP, VIO_NET_HDR_GSO_UDP_L4 };
	uint64_t seed = 1616;
	unsigned sent = 0, dropped;
	struct bed r;

	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	r.fb->only_count = true;
	for (unsigned round = 0; round < 3000; round++) {
		struct netframe_spec spec = netframe_random_gso(types[round % 4], &seed);

		spec.payload = netframe_between(&seed, 1, 3000);
		spec.gso_size = (uint16_t)netframe_between(&seed, 8, 1400);
		netframe_build(&f, &spec, &seed);
		/* IP and TCP header lengths above all, then anything in the headers; cut short. */
		if (round % 3 == 0)
			f.bytes[f.l3] = (uint8_t)netframe_random(&seed);
		if (round % 3 == 1 && !spec.udp)
			f.bytes[f.l4 + 12] = (uint8_t)netframe_random(&seed);
		if (round % 3 == 2)
			f.bytes[netframe_between(&seed, 12, f.payload_at)] ^=
				(uint8_t)netframe_random(&seed);
		if (round % 5 == 0)
			f.len = netframe_between(&seed, 14, f.len);
		f.meta.hdr_len = (uint16_t)netframe_random(&seed);
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_reap_tx(&r, 0), 1);
		r.g.next = GUEST_BASE + (1 << 20);
		sent++;
	}
	dropped = (unsigned)(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO] +
			     bed_stats(&r, 1).drops[VIO_DROP_BAD_CSUM]);
	assert_int_equal(bed_stats(&r, 1).packets + dropped, sent);
	assert_true(dropped > 500 && dropped < sent);
	assert_int_equal(vio_device_queue_error(r.dev, 1), VIO_VQ_OK);
	bed_close(&r);
}

/* One frame must not become work without end. */
static void h16_segments_of_one_byte(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .payload = 60000,
				      .gso_type = VIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1,
				      .needs_csum = true };
	uint64_t seed = 9;
	struct bed r;

	netframe_build(&f, &spec, &seed);
	open_bed(&r, state, (struct bed_conf){ .features = ~0ull });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	bed_close(&r);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(h01_h04_h14_a_ring_that_lies_stops_alone, RING_RUN_ALL),
		RING_TEST(h05_memory_that_changes_while_it_is_served, RING_RUN_ALL),
		RING_TEST(h06_frame_shorter_than_its_header, RING_RUN_ALL),
		RING_TEST(h06_header_over_1_2_3_and_12_descriptors, RING_RUN_ALL),
		RING_TEST(h07_headers_that_lie, RING_RUN_ALL),
		RING_TEST(h07_offloads_that_were_not_negotiated, RING_RUN_ALL),
		RING_TEST(h08_receive_buffer_too_small_for_the_header, RING_RUN_ALL),
		RING_TEST(h08_a_bad_buffer_behind_good_ones, RING_RUN_ALL),
		RING_TEST(h08_receive_buffer_with_a_readable_part, RING_RUN_ALL),
		RING_TEST(h09_frames_of_every_length, RING_RUN_ALL),
		RING_TEST(h09_frames_of_4_gib, RING_RUN_ALL),
		RING_TEST(h09_receive_buffers_of_4_gib, RING_RUN_ALL),
		RING_TEST(h12_impossible_geometry_is_refused, RING_RUN_ALL),
		RING_TEST(h13_kicks_for_queues_that_are_not_there, RING_RUN_ALL),
		RING_TEST(h13_status_in_impossible_orders, RING_RUN_ALL),
		RING_TEST(h13_reset_in_the_middle_of_a_burst, RING_RUN_ALL),
		RING_TEST(h16_packet_headers_that_lie_about_themselves, RING_RUN_ALL),
		RING_TEST(h16_segments_of_one_byte, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
