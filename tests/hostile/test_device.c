/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that means harm, against the device. Numbers are those of the list of hostile acts. */
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
#include "netframe.h"
#include "bed.h"

#define F(bit) (UINT64_C(1) << VIO_NET_F_##bit)
#define ALL_TX                                                                      \
	(VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 | VIO_OFFLOAD_ECN | \
	 VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 | VIO_OFFLOAD_USO6)

static uint8_t bytes[70000];

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

static void mutate_desc(struct mutator *m, struct vio_virtq_desc *d, unsigned num, uint64_t *seed)
{
	uint32_t len = netframe_between(seed, 0, 30) ? netframe_between(seed, 1, 400) :
						       (uint32_t)netframe_random(seed);

	switch (netframe_between(seed, 0, 3)) {
	case 0:
		vio_store(&d->addr, vio_le64(some_address(m, seed)));
		break;
	case 1:
		vio_store(&d->len, vio_le32(len));
		break;
	case 2:
		vio_store(&d->flags, vio_le16((uint16_t)netframe_between(seed, 0, 7)));
		break;
	default:
		vio_store(&d->next, vio_le16((uint16_t)netframe_between(seed, 0, num)));
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
			mutate_desc(m, &q[queue].desc[netframe_between(&seed, 0, 63)], 64, &seed);
			break;
		case 1:
			mutate_desc(m, &table[netframe_between(&seed, 0, 127)], 8, &seed);
			break;
		case 2:
			vio_store(&q[queue].avail->ring[netframe_between(&seed, 0, 63)],
				  vio_le16((uint16_t)netframe_between(&seed, 0, 64)));
			break;
		default:
			mutate_frame(m, &seed);
		}
	}
	return NULL;
}

/* Whatever broke begins anew, with descriptors that are good for a while. */
static void set_up(struct mutator *m, unsigned queue, uint64_t *seed)
{
	struct bed *r = m->r;
	struct guest_queue *q = &r->q[queue];
	struct vio_devq_setup setup = guest_queue_setup(q, 0);
	uint16_t in = queue == 0 ? VIO_DESC_F_WRITE : 0;

	if (vio_device_queue_running(r->dev, queue))
		assert_int_equal(vio_device_queue_stop(r->dev, queue, NULL), 0);
	setup.base = guest_queue_used_idx(q);
	vio_store(&q->avail->idx, vio_le16((uint16_t)setup.base));
	for (unsigned i = 0; i < 64; i++) {
		bool chained = netframe_between(seed, 0, 3) == 0;
		bool table = netframe_between(seed, 0, 7) == 0;

		if (table)
			guest_queue_desc(q, i, m->tables + 128 * (i % 16), 128, VIO_DESC_F_INDIRECT,
					 0);
		else
			guest_queue_desc(q, i, m->buffers + 256 * i, netframe_between(seed, 1, 256),
					 (uint16_t)(in | (chained ? VIO_DESC_F_NEXT : 0)),
					 (uint16_t)((i + 1) % 64));
		vio_store(&q->avail->ring[i], vio_le16((uint16_t)i));
	}
	assert_int_equal(vio_device_queue_start(r->dev, queue, &setup, r->g.mem), 0);
}

static void h05_memory_that_changes_while_it_is_served(void **state)
{
	static uint8_t frame[2000];
	uint64_t seed = 31, packets = 0, breaks = 0;
	struct mutator m = { 0 };
	pthread_t thread;
	struct bed r;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* a data race is what it is made of */
#endif
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .num = 64, .region_size = 64 << 10 });
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
			uint16_t idx;

			if (!vio_device_queue_running(r.dev, q) ||
			    vio_device_queue_error(r.dev, q) != VIO_VQ_OK) {
				breaks++;
				set_up(&m, q, &seed);
			}
			idx = vio_le16(vio_load(&r.q[q].avail->idx));
			/* All that was popped has come back, so this many fit. */
			if ((uint16_t)(idx - guest_queue_used_idx(&r.q[q])) < 32)
				vio_store_release(&r.q[q].avail->idx,
						  vio_le16((uint16_t)(idx + 8)));
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
	struct bed r;
	uint64_t addr;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = ALL_TX });
	addr = guest_alloc(&r.g, 64, 1);
	/* From one byte to header and 13 bytes of frame; header and nothing else among them. */
	for (uint16_t i = 0; i < 25; i++) {
		guest_queue_desc(&r.q[1], i, addr, i + 1u, 0, 0);
		guest_queue_avail(&r.q[1], i);
	}
	/* A buffer without anything for the device to read. */
	guest_queue_desc(&r.q[1], 25, addr, 64, VIO_DESC_F_WRITE, 0);
	guest_queue_avail(&r.q[1], 25);
	guest_queue_desc(&r.q[1], 26, addr, 26, 0, 0);
	guest_queue_avail(&r.q[1], 26);
	assert_int_equal(bed_turn(&r, 0), 27);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_SHORT], 26);
	assert_int_equal(fake_backend_sent(r.fb), 1);
	assert_int_equal(r.fb->sent.first->len, 14);
	assert_int_equal(guest_queue_used_idx(&r.q[1]), 27);
	for (unsigned i = 0; i < 27; i++)
		assert_int_equal(r.q[1].used->ring[i].len, 0);
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

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .tx_offloads = ALL_TX });
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

	(void)state;
	for (unsigned soft = 0; soft < 2; soft++) {
		bed_open(&r,
			 &(struct bed_conf){ .features = ~0ull, .tx_offloads = soft ? 0 : ALL_TX });
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

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i], &seed);

		spec.payload = 5000;
		spec.gso_size = 1000;
		netframe_build(&f, &spec, &seed);
		bed_open(&r, &(struct bed_conf){ .features = ~without[i], .tx_offloads = ALL_TX });
		assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
		assert_int_equal(bed_turn(&r, 0), 1);
		assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
	/* Not even a checksum. */
	f.meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 };
	bed_open(&r, &(struct bed_conf){ .features = F(MRG_RXBUF), .tx_offloads = ALL_TX });
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

	(void)state;
	memset(bytes, 0, 60);
	for (uint32_t size = 1; size < 12; size++) {
		bed_open(&r, &(struct bed_conf){ .features = size & 1 ? ~0ull : ~F(MRG_RXBUF) });
		bed_post(&r, 0, size, 1);
		bed_post(&r, 0, 1526, 1);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_used_idx(&r.q[0]), 0);
		bed_close(&r);
	}
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	assert_true(bed_post_pieces(&r, 0, pieces, 11));
	expect_rx_broken(&r);
	bed_close(&r);
}

/* What comes before it is still delivered. */
static void h08_a_bad_buffer_behind_good_ones(void **state)
{
	static struct bed_frame got;
	struct bed r;

	(void)state;
	memset(bytes, 0, 60);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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
	struct bed r;
	uint64_t addr;

	(void)state;
	memset(bytes, 0, 60);
	for (unsigned second = 0; second < 2; second++) {
		bed_open(&r, &(struct bed_conf){ .features = ~0ull });
		addr = guest_alloc(&r.g, 4000, 1);
		/* As the first buffer, or as the second of a frame that needs two. */
		guest_queue_desc(&r.q[0], 0, addr, 20, VIO_DESC_F_WRITE, 0);
		guest_queue_desc(&r.q[0], 1, addr, 20, VIO_DESC_F_NEXT, 2);
		guest_queue_desc(&r.q[0], 2, addr, 2000, VIO_DESC_F_WRITE, 0);
		if (second)
			guest_queue_avail(&r.q[0], 0);
		guest_queue_avail(&r.q[0], 1);
		expect_rx_broken(&r);
		assert_int_equal(guest_queue_used_idx(&r.q[0]), 0);
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

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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

/* 1024 descriptors of the same 4 MiB: as long as a length can be, and one byte more. */
static void h09_frames_of_4_gib(void **state)
{
	struct bed r;

	(void)state;
	for (uint32_t more = 0; more < 2; more++) {
		bed_open(&r, &(struct bed_conf){ .features = ~0ull, .num = 1024 });
		for (uint16_t i = 0; i < 1024; i++)
			guest_queue_desc(&r.q[1], i, guest_region(&r.g, 1),
					 i < 1023 ? 4u << 20 : (4u << 20) - 1 + more,
					 i < 1023 ? VIO_DESC_F_NEXT : 0, (uint16_t)(i + 1));
		guest_queue_avail(&r.q[1], 0);
		if (more) {
			assert_int_equal(bed_turn(&r, 0), -EPROTO);
			assert_int_equal(r.why[1], VIO_VQ_TOO_LONG);
		} else {
			assert_int_equal(bed_turn(&r, 0), 1);
			assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_TOO_BIG], 1);
			assert_int_equal(guest_queue_used_idx(&r.q[1]), 1);
		}
		assert_int_equal(fake_backend_sent(r.fb), 0);
		bed_close(&r);
	}
}

/* Receive buffers of 4 GiB in all: any frame fits, and nothing overflows. */
static void h09_receive_buffers_of_4_gib(void **state)
{
	struct bed r;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .num = 1024 });
	for (uint16_t i = 0; i < 1024; i++)
		guest_queue_desc(&r.q[0], i, guest_region(&r.g, 1),
				 i < 1023 ? 4u << 20 : (4u << 20) - 1,
				 (uint16_t)(VIO_DESC_F_WRITE | (i < 1023 ? VIO_DESC_F_NEXT : 0)),
				 (uint16_t)(i + 1));
	guest_queue_avail(&r.q[0], 0);
	fake_backend_give(r.fb, 0, bytes, 65589, NULL);
	bed_turn(&r, 0);
	assert_int_equal(guest_queue_used_idx(&r.q[0]), 1);
	assert_int_equal(r.q[0].used->ring[0].len, 65601);
	bed_close(&r);
}

/* ---- H12 ---------------------------------------------------------------------------------- */

static void h12_impossible_geometry_is_refused(void **state)
{
	struct vio_devq_setup good, bad;
	struct bed r;
	char *area;

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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
	REFUSED(bad.num = 3);
	REFUSED(bad.num = 255);
	REFUSED(bad.num = 32768);
	REFUSED(bad.num = 65536);
	REFUSED(bad.num = UINT32_MAX);
	REFUSED(bad.num = 0x80000000u);
	REFUSED(bad.base = 65536);
	REFUSED(bad.areas.desc = NULL);
	REFUSED(bad.areas.driver = NULL);
	REFUSED(bad.areas.device = NULL);
	REFUSED(bad.areas.desc = area + 8);
	REFUSED(bad.areas.driver = area + 1);
	REFUSED(bad.areas.device = area + 2);
	REFUSED(bad.areas.driver = bad.areas.desc);
	REFUSED(bad.areas.device = (char *)bad.areas.desc + 4092);
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

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull, .no_start = true });
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

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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

	(void)state;
	netframe_build(&f, &spec, &seed);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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

	(void)state;
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
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

	(void)state;
	netframe_build(&f, &spec, &seed);
	bed_open(&r, &(struct bed_conf){ .features = ~0ull });
	assert_true(bed_send(&r, 0, &f.meta, f.bytes, f.len));
	assert_int_equal(bed_turn(&r, 0), 1);
	assert_int_equal(bed_stats(&r, 1).drops[VIO_DROP_BAD_GSO], 1);
	assert_int_equal(fake_backend_sent(r.fb), 0);
	bed_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(h05_memory_that_changes_while_it_is_served),
		cmocka_unit_test(h06_frame_shorter_than_its_header),
		cmocka_unit_test(h06_header_over_1_2_3_and_12_descriptors),
		cmocka_unit_test(h07_headers_that_lie),
		cmocka_unit_test(h07_offloads_that_were_not_negotiated),
		cmocka_unit_test(h08_receive_buffer_too_small_for_the_header),
		cmocka_unit_test(h08_a_bad_buffer_behind_good_ones),
		cmocka_unit_test(h08_receive_buffer_with_a_readable_part),
		cmocka_unit_test(h09_frames_of_every_length),
		cmocka_unit_test(h09_frames_of_4_gib),
		cmocka_unit_test(h09_receive_buffers_of_4_gib),
		cmocka_unit_test(h12_impossible_geometry_is_refused),
		cmocka_unit_test(h13_kicks_for_queues_that_are_not_there),
		cmocka_unit_test(h13_status_in_impossible_orders),
		cmocka_unit_test(h13_reset_in_the_middle_of_a_burst),
		cmocka_unit_test(h16_packet_headers_that_lie_about_themselves),
		cmocka_unit_test(h16_segments_of_one_byte),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
