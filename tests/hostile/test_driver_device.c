/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device may do to the driver through a ring (HOSTILE 5, 7, 8, 9, 14, 16, 24, 25, 29), and what
 * must come of it, with each ring format. The rest is in test_driver_control.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/endian.h"
#include "lib/driver_rig.h"
#include "random.h"

static uint8_t frame[70000];

/* The other pair still works. */
static void check_other_pair(struct rig *r)
{
	struct vio_buf *buf;

	assert_int_equal(fake_send(&r->dev, VIO_RXQ(1), frame, 60, NULL), 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 1, &buf, 1), 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 1, &buf, 1), 1);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 1), 0);
}

static void start_pairs(struct rig *r)
{
	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_MQ);
	r->pairs = 2;
	rig_start(r);
}

static void check_broken(struct rig *r, enum vio_vq_error why)
{
	struct vio_driver_queue_info info;
	struct vio_buf *buf;

	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EPROTO);
	assert_int_equal(r->broken, 1);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &info), 0);
	assert_int_equal(info.error, why);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), -EPROTO);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), -EPROTO);
	assert_int_equal(vio_driver_rx_one(r->drv, 0, &buf), -EPROTO);
	assert_int_equal(r->broken, 1);
	check_other_pair(r);
}

static void test_h24_id_out_of_range(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	fake_use(&r->dev, 0, 64, 60);
	check_broken(r, VIO_VQ_BAD_ID);
}

static void test_h24_id_twice(void **state)
{
	struct rig *r = *state;
	struct vio_net_hdr *hdr;
	struct vio_buf *buf;

	uint16_t id;

	start_pairs(r);
	r->starve = true;
	id = fake_id(&r->dev, 0, 0);
	hdr = fake_buffer(&r->dev, 0, 0);
	hdr->num_buffers = vio_le16(1);
	fake_use(&r->dev, 0, id, 72);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_free(r, buf);
	fake_use(&r->dev, 0, id, 72);
	r->starve = false;
	check_broken(r, VIO_VQ_NOT_IN_FLIGHT);
}

static void test_h24_used_len_above_posted(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	fake_use(&r->dev, 0, fake_id(&r->dev, 0, 0), 2048 + 13);
	check_broken(r, VIO_VQ_BAD_USED_LEN);
}

static void test_h24_used_index_jumps(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	fake_used(&r->dev, 0)->idx = vio_le16(65);
	check_broken(r, VIO_VQ_USED_JUMP);
}

/* H14: AVAIL and USED in a way that neither lap knows. */
static void test_h14_flags(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	fake_pdesc(&r->dev, 0)[0].flags = vio_le16(VIO_DESC_F_USED | VIO_DESC_F_WRITE);
	check_broken(r, VIO_VQ_BAD_FLAGS);
}

/* H14: used in the lap that has not come yet, with all that the driver wrote written over. */
static void test_h14_wrap_flipped(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	memset(fake_pdesc(&r->dev, 0), 0, 64 * sizeof(struct vio_pvirtq_desc));
	check_broken(r, VIO_VQ_BAD_FLAGS);
}

/* H24: used by a device that has not been given so much yet: nothing is sent, one is used. */
static void test_h24_used_out_of_nothing(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i;

	rig_start(r);
	fake_use(&r->dev, 1, 0, 0);
	/* In a packed ring there is no place yet for it to be seen in. */
	if (fake_packed(&r->dev)) {
		assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), 0);
		rig_send(r, 60, 1);
		assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), 0);
		return;
	}
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), -EPROTO);
	buf = rig_frame(r, 60, 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EPROTO);
	rig_free(r, buf);
	assert_int_equal(r->freed_tx, 0);
}

/* Lengths of 0 and below the header: dropped, counted, and the queue goes on. */
static void test_h24_len_below_header(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *buf;
	uint32_t len;

	rig_start(r);
	for (len = 0; len < 12 + 14; len++) {
		struct vio_net_hdr *hdr = fake_buffer(&r->dev, 0, len);

		hdr->num_buffers = vio_le16(1);
		fake_use(&r->dev, 0, fake_id(&r->dev, 0, len), len);
	}
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.errors, 26);
	assert_int_equal(stats.drops[VIO_DROP_SHORT], 26);
	assert_int_equal(stats.packets, 0);
}

static void test_h24_tx_used_twice(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint16_t id;

	rig_start(r);
	rig_send(r, 60, 1);
	rig_send(r, 60, 1);
	id = fake_id(&r->dev, 1, 0);
	fake_use(&r->dev, 1, id, 0);
	fake_use(&r->dev, 1, id, 0);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), 1);
	assert_int_equal(r->freed_tx, 1);
	buf = rig_frame(r, 60, 1);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), -EPROTO);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EPROTO);
	assert_int_equal(vio_driver_tx_one(r->drv, 0, buf), -EPROTO);
	rig_free(r, buf);
	assert_int_equal(r->broken, 1);
	/* The other one comes back when the device can't touch it any more. */
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
}

/* ---- H25: num_buffers ------------------------------------------------------------------------ */

static struct vio_net_meta buffers(uint16_t n)
{
	return (struct vio_net_meta){ .num_buffers = n };
}

/* Sends a frame that claims @n buffers. */
static void claim(struct rig *r, size_t len, uint16_t n)
{
	struct vio_net_hdr *hdr;
	struct vio_net_meta meta = buffers(1);

	hdr = fake_next_buffer(&r->dev, 0);
	assert_int_equal(fake_send_quiet(&r->dev, 0, frame, len, &meta), 1);
	hdr->num_buffers = vio_le16(n);
	fake_wants_interrupt(&r->dev, 0);
}

static void test_h25_zero(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *buf;

	rig_start(r);
	claim(r, 60, 0);
	claim(r, 60, 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_free(r, buf);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.drops[VIO_DROP_BAD_HEADER], 1);
}

static void test_h25_above_the_ring(void **state)
{
	struct rig *r = *state;

	start_pairs(r);
	claim(r, 60, 65);
	check_broken(r, VIO_VQ_BAD_FRAME);
}

/* Not negotiated: whatever it says, a buffer is a frame. */
static void test_h25_not_negotiated(void **state)
{
	static const uint16_t claims[] = { 0, 1, 2, 65535 };
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	rig_start(r);
	for (i = 0; i < 4; i++) {
		claim(r, 60, claims[i]);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
		assert_int_equal(buf->frame_len, 60);
		assert_null(buf->next);
		rig_free(r, buf);
	}
}

/* A frame that never completes holds what came of it, and no more; stop gives that back. */
static void test_h25_never_completes(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i;

	rig_start(r);
	claim(r, 60, 3);
	for (i = 0; i < 10; i++)
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
}

/* Joined to more than any frame may be, or with an empty piece: dropped whole. */
static void test_h25_too_long(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *buf;
	unsigned i;

	rig_start(r);
	claim(r, 2000, 40);
	for (i = 1; i < 40; i++)
		claim(r, 2030, 1);
	claim(r, 60, 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(buf->frame_len, 60);
	rig_free(r, buf);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.drops[VIO_DROP_TOO_BIG], 1);
	assert_int_equal(stats.errors, 1);
}

static void test_h25_empty_piece(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_net_hdr *hdr;
	struct vio_buf *buf;

	rig_start(r);
	uint16_t second;

	hdr = fake_buffer(&r->dev, 0, 0);
	second = fake_id(&r->dev, 0, 1);
	hdr->num_buffers = vio_le16(2);
	fake_use(&r->dev, 0, fake_id(&r->dev, 0, 0), 72);
	fake_use(&r->dev, 0, second, 0);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.drops[VIO_DROP_SHORT], 1);
}

/* ---- H07, H16: headers that lie to the driver ------------------------------------------------- */

static void test_h07_h16_headers_that_lie(void **state)
{
	const uint8_t csum = VIO_NET_HDR_F_NEEDS_CSUM, valid = VIO_NET_HDR_F_DATA_VALID;
	static const uint8_t tcp4 = VIO_NET_HDR_GSO_TCPV4, udp = VIO_NET_HDR_GSO_UDP_L4;
	const struct {
		struct vio_net_meta meta;
		int why; /* enum vio_drop, or -1: good */
	} cases[] = {
		{ { .flags = csum, .csum_start = 99 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 65535, .csum_offset = 65535 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 0, .csum_offset = 99 }, VIO_DROP_BAD_CSUM },
		{ { .flags = csum, .csum_start = 98, .csum_offset = 0, .hdr_len = 65535 }, -1 },
		{ { .flags = csum, .gso_type = tcp4, .csum_start = 34 }, VIO_DROP_BAD_GSO },
		{ { .gso_type = tcp4, .gso_size = 10 }, VIO_DROP_BAD_GSO },
		{ { .flags = csum, .gso_type = 0x1f, .gso_size = 10 }, VIO_DROP_BAD_GSO },
		/* Offered neither was. */
		{ { .flags = csum, .gso_type = udp, .gso_size = 10 }, VIO_DROP_BAD_GSO },
		{ { .flags = csum, .gso_type = tcp4 | VIO_NET_HDR_GSO_ECN, .gso_size = 10 },
		  VIO_DROP_BAD_GSO },
		{ { .flags = 0xf0 | valid, .csum_start = 65535, .gso_size = 1 }, -1 },
		/* Coalesced, which nobody negotiated: the offsets are counters then. */
		{ { .flags = csum | VIO_NET_HDR_F_RSC_INFO, .csum_start = 3 },
		  VIO_DROP_BAD_HEADER },
	};
	struct rig *r = *state;
	struct vio_driver_stats before, after;
	struct vio_buf *buf;
	unsigned i;

	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	r->want = vio_driver_known_features();
	rig_start(r);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n;

		rig_stats(r, 0, &before);
		assert_int_equal(fake_send(&r->dev, 0, frame, 100, &cases[i].meta), 1);
		n = vio_driver_rx_burst(r->drv, 0, &buf, 1);
		if (n != (cases[i].why < 0))
			fail_msg("case %u", i);
		rig_stats(r, 0, &after);
		if (n == 0) {
			assert_int_equal(after.drops[cases[i].why], before.drops[cases[i].why] + 1);
			continue;
		}
		assert_true(buf->meta.hdr_len <= 100);
		assert_int_equal(buf->meta.gso_size, 0);
		assert_int_equal(buf->meta.flags & ~(csum | valid), 0);
		rig_free(r, buf);
	}
	assert_int_equal(r->broken, 0);
}

/* Nothing was negotiated: nothing may be left to the driver to do. */
static void test_h16_offloads_that_were_not_offered(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 };
	struct vio_driver_stats stats;
	struct vio_buf *buf;

	rig_start(r);
	fake_send(&r->dev, 0, frame, 100, &meta);
	meta = (struct vio_net_meta){ .gso_type = VIO_NET_HDR_GSO_TCPV4, .gso_size = 100 };
	fake_send(&r->dev, 0, frame, 100, &meta);
	/* It says that the checksum is right, which nobody asked: only that is not believed. */
	meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_DATA_VALID };
	fake_send(&r->dev, 0, frame, 100, &meta);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(buf->meta.flags, 0);
	rig_free(r, buf);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.drops[VIO_DROP_BAD_HEADER], 1);
	assert_int_equal(stats.drops[VIO_DROP_BAD_GSO], 1);
}

/* Neither offloads nor merging: the header may say nothing, so whatever is in it nobody hears of it. In
 * buffers of one piece and of more. */
static void test_h07_h25_a_header_that_may_say_nothing(void **state)
{
	static const struct vio_net_meta metas[] = {
		{ .flags = VIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 },
		{ .flags = 0xff, .csum_start = UINT16_MAX, .csum_offset = UINT16_MAX },
		{ .gso_type = VIO_NET_HDR_GSO_TCPV4, .gso_size = 1 },
		{ .gso_type = 0xff, .hdr_len = UINT16_MAX, .num_buffers = 77 },
	};
	static const struct vio_net_meta nothing = { .num_buffers = 1 };
	static const struct {
		uint16_t mtu, len;
		unsigned pieces;
	} kinds[] = { { 1500, 100, 1 }, { 9000, 5000, 3 } }, *kind = kinds;
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	r->ring = 128;
	rig_start(r);
	for (i = 0; i < 2 * vio_array_size(metas); i++) {
		if (i % vio_array_size(metas) == 0) {
			kind = &kinds[i / vio_array_size(metas)];
			r->dev.config.mtu = vio_le16(kind->mtu);
			assert_int_equal(vio_driver_stop(r->drv), 0);
			assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
		}
		assert_true(fake_send(&r->dev, 0, rig_bytes, kind->len,
				      &metas[i % vio_array_size(metas)]) > 0);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
		assert_int_equal(buf->pieces, kind->pieces);
		assert_memory_equal(&buf->meta, &nothing, sizeof(nothing));
		rig_check_frame(buf, rig_bytes, kind->len);
		rig_free(r, buf);
	}
}

/* ---- H09: lengths ---------------------------------------------------------------------------- */

/* From nothing to what no frame may be, in buffers posted as one. */
static void test_h09_frames_of_every_length(void **state)
{
	static const uint32_t lens[] = { 0, 1, 13, 14, 1514, 65535, 65562, 65589, 65590, 65601 };
	struct rig *r = *state;
	struct vio_driver_stats stats;
	struct vio_buf *buf, *piece;
	uint32_t at;
	unsigned i;

	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	r->want = vio_driver_known_features();
	rig_start(r);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		bool good = lens[i] >= 14 && lens[i] <= 65589;

		memset(frame, (int)i, lens[i]);
		if (fake_send(&r->dev, 0, frame, lens[i], NULL) != 1)
			fail_msg("frame of %u bytes was not taken", lens[i]);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), good);
		if (!good)
			continue;
		assert_int_equal(buf->frame_len, lens[i]);
		for (piece = buf, at = 0; piece; at += piece->len, piece = piece->next)
			assert_memory_equal(vio_buf_data(piece), frame + at, piece->len);
		assert_int_equal(at, lens[i]);
		rig_free(r, buf);
	}
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.drops[VIO_DROP_SHORT], 3);
	assert_int_equal(stats.drops[VIO_DROP_TOO_BIG], 2);
}

/* ---- H29: interrupts ------------------------------------------------------------------------- */

static void test_h29_storm(void **state)
{
	struct rig *r = *state;
	struct vio_driver_stats stats;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	for (i = 0; i < 100000; i++)
		vio_driver_interrupt(r->drv, 0);
	assert_int_equal(r->rx_events, 1);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	for (i = 0; i < 100000; i++)
		vio_driver_interrupt(r->drv, 0);
	assert_int_equal(r->rx_events, 2);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.interrupts, 2);
	assert_int_equal(stats.spurious, 199998);
}

/* Interrupts that never come: polling alone works. */
static void test_h29_lost(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 0), 0);
	fake_send(&r->dev, 0, frame, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 1);
	fake_send(&r->dev, 0, frame, 60, NULL);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 1);
}

/* The event index says "kick me" only once and for all: the device polls, the driver goes on. */
static void test_h29_event_index_never_moves(void **state)
{
	struct rig *r = *state;
	uint8_t seen[100];
	unsigned i;

	rig_start(r);
	for (i = 0; i < 1000; i++) {
		struct vio_virtq_used *used = fake_used(&r->dev, 1);
		struct vio_pvirtq_event *event = (void *)used;

		rig_send(r, 60, 1);
		if (fake_packed(&r->dev))
			*event = (struct vio_pvirtq_event){ vio_le16(VIO_RING_EVENT_WRAP),
							    vio_le16(VIO_RING_EVENT_DESC) };
		else
			memset(&used->ring[64], 0, sizeof(uint16_t)); /* avail_event */
		assert_int_equal(fake_take(&r->dev, 1, seen, sizeof(seen), NULL), 72);
	}
	/* An index comes round after 2^16, a place in a packed ring after two laps. */
	assert_int_equal(r->dev.queues[1].kicks, fake_packed(&r->dev) ? (1000 + 127) / 128 : 1);
}

/* ---- Everything at once ---------------------------------------------------------------------- */

static void scribble_used(uint8_t *used, uint64_t seed)
{
	uint16_t *idx = (uint16_t *)(void *)(used + 2);

	if (seed % 3 == 0)
		vio_store((uint32_t *)(void *)(used + 4 + seed % 64 * 8), (uint32_t)(seed >> 58));
	if (seed % 3 == 1)
		vio_store((uint32_t *)(void *)(used + 8 + seed % 64 * 8),
			  (uint32_t)(seed >> 32) % 2061);
	if (seed % 5 == 0)
		vio_store(idx, (uint16_t)(vio_load(idx) + 1));
}

/* Most of the time what the device has used in this lap or the last, now and then neither. */
static void scribble_packed(struct vio_pvirtq_desc *d, uint64_t seed)
{
	const uint16_t both = VIO_DESC_F_AVAIL | VIO_DESC_F_USED;
	const uint16_t flags[] = { both, both | VIO_DESC_F_WRITE, 0, VIO_DESC_F_WRITE,
				   VIO_DESC_F_AVAIL };

	if (seed % 3 == 0)
		vio_store(&d->id, (uint16_t)(seed >> 58));
	if (seed % 3 == 1)
		vio_store(&d->len, (uint32_t)(seed >> 32) % 2061);
	if (seed % 3 == 2)
		vio_store(&d->flags, flags[seed >> 40 & 0xff ? seed >> 50 & 3 : 4]);
}

/* Rewrites all that the device may write, as fast as it can. */
static void *scribble(void *arg)
{
	struct rig *r = arg;
	uint8_t *used = (uint8_t *)fake_used(&r->dev, 0);
	const struct vio_virtq_desc *desc = fake_desc(&r->dev, 0);
	uint64_t seed = 88172645463325252ull, addr;
	unsigned i, j;

	for (i = 0; i < 200000; i++) {
		uint8_t *hdr;

		/* It is 0 for a moment while the ring is made anew. */
		addr = vio_load(&desc[i % 64].addr);
		if (addr < FAKE_DMA)
			continue;
		hdr = r->h.dma + (addr - FAKE_DMA);
		for (j = 0; j < 12; j += 4) {
			random64(&seed);
			vio_store((uint32_t *)(void *)(hdr + j), (uint32_t)(seed & seed >> 32));
		}
		random64(&seed);
		if (fake_packed(&r->dev))
			scribble_packed(&fake_pdesc(&r->dev, 0)[seed % 64], seed);
		else
			scribble_used(used, seed);
	}
	return NULL;
}

static void test_h24_scribbling_device(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[32];
	const struct vio_buf *b;
	pthread_t thread;
	unsigned round, i;
	uint32_t sum;
	int n;

	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	fake_offer(&r->dev, VIO_NET_F_GUEST_ECN);
	r->want = vio_driver_known_features();
	rig_start(r);
	assert_int_equal(pthread_create(&thread, NULL, scribble, r), 0);
	for (round = 0; round < 20000; round++) {
		n = vio_driver_rx_burst(r->drv, 0, bufs, 32);
		if (n == -EPROTO)
			assert_int_equal(vio_driver_recover(r->drv, 0, &r->err), 0);
		for (i = 0; i < (unsigned)(n < 0 ? 0 : n); i++) {
			for (sum = 0, b = bufs[i]; b; b = b->next) {
				assert_true(b->off + b->len <= b->size);
				sum += b->len;
			}
			assert_int_equal(sum, bufs[i]->frame_len);
			if (bufs[i]->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM)
				assert_true(bufs[i]->meta.csum_start + bufs[i]->meta.csum_offset +
						    2u <=
					    sum);
			rig_free(r, bufs[i]);
		}
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	static const struct rig_test tests[] = {
		RIG_TEST(test_h24_id_out_of_range, RING_RUN_ALL),
		RIG_TEST(test_h24_id_twice, RING_RUN_ALL),
		RIG_TEST(test_h24_used_len_above_posted, RING_RUN_ALL),
		RIG_TEST(test_h24_used_index_jumps, RING_RUN_ANY_SPLIT),
		RIG_TEST(test_h14_flags, RING_RUN_ANY_PACKED),
		RIG_TEST(test_h14_wrap_flipped, RING_RUN_ANY_PACKED),
		RIG_TEST(test_h24_used_out_of_nothing, RING_RUN_ALL),
		RIG_TEST(test_h24_len_below_header, RING_RUN_ALL),
		RIG_TEST(test_h24_tx_used_twice, RING_RUN_ALL),
		RIG_TEST(test_h25_zero, RING_RUN_ALL),
		RIG_TEST(test_h25_above_the_ring, RING_RUN_ALL),
		RIG_TEST(test_h25_not_negotiated, RING_RUN_ALL),
		RIG_TEST(test_h25_never_completes, RING_RUN_ALL),
		RIG_TEST(test_h25_too_long, RING_RUN_ALL),
		RIG_TEST(test_h25_empty_piece, RING_RUN_ALL),
		RIG_TEST(test_h07_h16_headers_that_lie, RING_RUN_ALL),
		RIG_TEST(test_h16_offloads_that_were_not_offered, RING_RUN_ALL),
		RIG_TEST(test_h07_h25_a_header_that_may_say_nothing, RING_RUN_ALL),
		RIG_TEST(test_h09_frames_of_every_length, RING_RUN_ALL),
		RIG_TEST(test_h29_storm, RING_RUN_ALL),
		RIG_TEST(test_h29_lost, RING_RUN_ALL),
		RIG_TEST(test_h29_event_index_never_moves, RING_RUN_ALL),
		RIG_TEST(test_h24_scribbling_device, RING_RUN_ALL),
	};

	return rig_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
