/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver posts and makes of what comes: merged, in buffers that hold all, in several posted
 * as one, behind net headers of any size; in every ring format (L5, L6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/endian.h"
#include "lib/driver_rig.h"

/* The device sends a frame of @len bytes; it must take @buffers, and arrive. The caller frees it. */
static struct vio_buf *pass(struct rig *r, uint32_t len, unsigned buffers)
{
	struct vio_buf *buf;

	assert_int_equal(fake_send(&r->dev, 0, rig_bytes, len, NULL), buffers);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_check_frame(buf, rig_bytes, len);
	return buf;
}

/* ---- Merged ---------------------------------------------------------------------------------- */

static void test_l5_mergeable(void **state)
{
	static const uint32_t sizes[] = { 2049, 4096, 9014, 65000, 65562, 65589 };
	struct rig *r = *state;
	struct vio_buf *buf;
	unsigned i, n;

	rig_start(r);
	for (i = 0; i < vio_array_size(sizes); i++) {
		n = (sizes[i] + 12 + 2059) / 2060;
		buf = pass(r, sizes[i], n);
		assert_int_equal(buf->pieces, n);
		rig_free(r, buf);
	}
}

/* A frame that ends with a buffer takes no other one; each but the last is full. */
static void end_with_a_buffer(struct rig *r, uint32_t hdr_size)
{
	const struct vio_buf *piece;
	uint32_t whole, len;
	struct vio_buf *buf;
	unsigned n, want;

	r->room = 500;
	rig_start(r);
	for (n = 1; n <= 40; n++) {
		whole = n * (500 + hdr_size) - hdr_size;
		for (len = whole - 1; len <= whole + 1; len++) {
			want = len > whole ? n + 1 : n;
			buf = pass(r, len, want);
			assert_int_equal(buf->pieces, want);
			assert_int_equal(buf->meta.num_buffers, want);
			assert_int_equal(buf->len, vio_min(len, 500u));
			for (piece = buf->next; piece && piece->next; piece = piece->next)
				assert_int_equal(piece->len, 500 + hdr_size);
			rig_free(r, buf);
		}
	}
}

static void test_l5_exact_filling(void **state)
{
	end_with_a_buffer(*state, 12);
}

static void offer_hash(struct rig *r)
{
	fake_offer(&r->dev, VIO_NET_F_CTRL_VQ);
	fake_offer(&r->dev, VIO_NET_F_HASH_REPORT);
	r->want = vio_driver_known_features();
}

static void test_l5_exact_filling_with_hash(void **state)
{
	offer_hash(*state);
	end_with_a_buffer(*state, 20);
}

/* A budget that ends inside a frame: the next poll goes on with it. */
static void test_l5_merge_over_polls(void **state)
{
	struct rig *r = *state;
	unsigned n;

	rig_start(r);
	n = fake_send(&r->dev, 0, rig_bytes, 9000, NULL);
	assert_int_equal(n, 5);
	assert_int_equal(vio_driver_poll(r->drv, 0, 3), 3);
	assert_int_equal(r->nreceived, 0);
	assert_int_equal(vio_driver_poll(r->drv, 0, 3), 2);
	assert_int_equal(r->nreceived, 1);
	rig_check_frame(r->received[0], rig_bytes, 9000);
}

/* ---- Not merged ------------------------------------------------------------------------------ */

static void test_l5_small_without_merging(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	rig_start(r);
	rig_free(r, pass(r, 1514, 1));
	rig_free(r, pass(r, 2048, 1));
}

/* Bytes of the buffer that the device would take next. */
static uint32_t posted(struct rig *r)
{
	struct vio_devq *vq = r->dev.queues[0].vq;
	struct vio_iov pool[600];
	struct vio_chain chain;

	assert_int_equal(vio_devq_pop_burst(vq, r->dev.mem, &chain, 1, pool, 600), 1);
	vio_devq_unpop(vq, &chain, 1);
	assert_int_equal(chain.out_num, 0);
	return chain.in_len;
}

static void restart(struct rig *r)
{
	assert_int_equal(vio_driver_stop(r->drv), 0);
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

/*
 * virtio 1.4, 5.1.9.3.1: buffers hold the largest frame that the features allow, with its header:
 * 65601 or 1526 bytes, eight more with HASH_REPORT; and an MTU's frame (5.1.4.2).
 */
static void test_l5_posted_sizes(void **state)
{
	static const uint8_t large[] = { VIO_NET_F_GUEST_TSO4, VIO_NET_F_GUEST_TSO6,
					 VIO_NET_F_GUEST_UFO, VIO_NET_F_GUEST_USO4,
					 VIO_NET_F_GUEST_USO6 };
	struct rig *r = *state;
	unsigned i, hash;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	offer_hash(r);
	r->ring = 128;
	r->room = 2000;
	rig_start(r);
	for (hash = 0; hash < 2; hash++) {
		(hash ? fake_offer : fake_withdraw)(&r->dev, VIO_NET_F_HASH_REPORT);
		for (i = 0; i < vio_array_size(large); i++) {
			fake_offer(&r->dev, large[i]);
			restart(r);
			assert_true(posted(r) >= 65601 + 8 * hash);
			rig_free(r, pass(r, 65589, 1));
			rig_free(r, pass(r, 60, 1));
			fake_withdraw(&r->dev, large[i]);
		}
		restart(r);
		assert_true(posted(r) >= 1526 + 8 * hash);
		assert_true(posted(r) <= 2020);
		rig_free(r, pass(r, 1514, 1));
		r->dev.config.mtu = vio_le16(9000);
		restart(r);
		assert_true(posted(r) >= 9026 + 8 * hash);
		rig_free(r, pass(r, 9014, 1));
		r->dev.config.mtu = vio_le16(1500);
	}
}

/* A smaller MTU that is set here is nothing that the device knows of. */
static void test_l5_room_for_the_devices_mtu(void **state)
{
	struct rig *r = *state;
	struct vio_driver_info info;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	r->dev.config.mtu = vio_le16(9000);
	rig_start(r);
	assert_int_equal(vio_driver_mtu_set(r->drv, 1500), 0);
	restart(r);
	vio_driver_get_info(r->drv, &info);
	assert_int_equal(info.rx_buf_size, 9018);
	rig_free(r, pass(r, 9014, 1));
}

/* A device that has no MTU: what was set here is what may come. */
static void test_l5_room_for_our_mtu(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	fake_withdraw(&r->dev, VIO_NET_F_MTU);
	rig_start(r);
	assert_true(posted(r) <= 2048 + 12);
	assert_int_equal(vio_driver_mtu_set(r->drv, 9000), 0);
	restart(r);
	assert_true(posted(r) >= 9026);
	rig_free(r, pass(r, 9014, 1));
}

/* One buffer holds all: nothing is linked, whatever else the ring can do. */
static void test_l5_jumbo_in_one_buffer(void **state)
{
	struct vio_driver_queue_info qi;
	struct rig *r = *state;
	struct vio_buf *bufs[64];
	unsigned i, round;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	r->dev.config.mtu = vio_le16(9000);
	r->room = 9018; /* vio_driver_info.rx_buf_size */
	rig_start(r);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_int_equal(qi.in_flight, 64);
	assert_int_equal(posted(r), 9018 + 12);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 64; i++)
			assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 9018 - 140 * i, NULL), 1);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 64), 64);
		for (i = 0; i < 64; i++) {
			rig_check_frame(bufs[i], rig_bytes, 9018 - 140 * i);
			assert_int_equal(bufs[i]->pieces, 1);
			rig_free(r, bufs[i]);
		}
	}
}

/* Frames larger than a buffer without merging: several buffers are posted as one. */
static void receive_big(struct rig *r, unsigned in_flight)
{
	static const uint32_t sizes[] = { 14, 60, 2048, 2049, 30000, 65535, 65562, 65589 };
	struct vio_driver_queue_info qi;
	unsigned i;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	r->want = vio_driver_known_features();
	rig_start(r);
	assert_null(strstr(r->h.log, "expected at least"));
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_int_equal(qi.in_flight, in_flight);
	for (i = 0; i < vio_array_size(sizes); i++)
		rig_free(r, pass(r, sizes[i], 1));
}

/* 33 descriptors for each: 3 * 33 of 128. */
static void test_l5_big_without_merging(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_F_INDIRECT_DESC);
	r->ring = 128;
	receive_big(r, 3);
}

/* One descriptor for each, and its 33 buffers in an indirect table: all that the pool has. */
static void test_l5_big_indirect(void **state)
{
	struct rig *r = *state;

	r->ring = 128;
	receive_big(r, RIG_POOL / 33);
}

/* Likewise, in a ring that is filled: each time a frame was taken, there is room for one. */
static void test_l5_big_indirect_full(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;
	struct vio_driver_stats stats;
	struct vio_buf *bufs[40];
	unsigned i, round;

	r->ring = 64;
	r->room = 8000; /* nine a frame */
	receive_big(r, 64);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 40; i++)
			assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 60 + 1000 * i, NULL), 1);
		assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 40), 40);
		for (i = 0; i < 40; i++) {
			rig_check_frame(bufs[i], rig_bytes, 60 + 1000 * i);
			rig_free(r, bufs[i]);
		}
		assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
		assert_int_equal(qi.in_flight, 64);
	}
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.no_memory, 0);
}

/* A burst of which nothing is left leaves the device with buffers all the same: the user hears of
 * nothing and sleeps. */
static void test_l5_refill_behind_rubbish(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;
	struct vio_buf *bufs[64];
	unsigned i, n;

	rig_start(r);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	n = qi.in_flight;
	for (i = 0; i < n; i++)
		assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 13, NULL), 1);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 64), 0);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_int_equal(qi.in_flight, n);
	rig_free(r, pass(r, 100, 1));
}

static void test_l5_buffers_too_small(void **state)
{
	struct rig *r = *state;
	struct vio_driver_queue_info qi;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	fake_withdraw(&r->dev, VIO_F_INDIRECT_DESC);
	r->room = 8;
	rig_start(r);
	assert_int_equal(vio_driver_queue_info(r->drv, 0, &qi), 0);
	assert_int_equal(qi.in_flight, 0);
	assert_non_null(strstr(r->h.log, "buffer of 72 bytes"));
	assert_int_not_equal(vio_driver_poll_due(r->drv, 0), UINT64_MAX);
}

/* ---- Headers --------------------------------------------------------------------------------- */

/* Without merging there is one buffer, whatever number a device leaves in the header (virtio 1.4,
 * 5.1.9.4.1 has it say 1). */
static void test_l6_number_of_one_buffer(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta meta = { .num_buffers = 0 };
	struct vio_buf *bufs[3];

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	rig_start(r);
	for (unsigned i = 0; i < 3; i++) {
		meta.num_buffers = (uint16_t)(i * 7 + 7);
		assert_int_equal(fake_send(&r->dev, 0, rig_bytes, 60 + i, &meta), 1);
	}
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, bufs, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		rig_check_frame(bufs[i], rig_bytes, 60 + i);
		assert_int_equal(bufs[i]->meta.num_buffers, 1);
		assert_int_equal(bufs[i]->pieces, 1);
		rig_free(r, bufs[i]);
	}
}

/* L6: the header becomes meta; bad ones are dropped and counted. */
static void test_l6_header(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta meta = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIO_NET_HDR_GSO_TCPV4,
				     .gso_size = 1448,
				     .hdr_len = 54,
				     .csum_start = 34,
				     .csum_offset = 16 };
	struct vio_driver_stats stats;
	struct vio_buf *buf;

	fake_offer(&r->dev, VIO_NET_F_GUEST_CSUM);
	fake_offer(&r->dev, VIO_NET_F_GUEST_TSO4);
	r->want = vio_driver_known_features();
	rig_start(r);
	fake_send(&r->dev, 0, rig_bytes, 9000, &meta);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_check_frame(buf, rig_bytes, 9000);
	assert_int_equal(buf->meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(buf->meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(buf->meta.gso_size, 1448);
	assert_int_equal(buf->meta.csum_start, 34);
	rig_free(r, buf);

	meta.gso_size = 0;
	fake_send(&r->dev, 0, rig_bytes, 100, &meta);
	meta.gso_type = 0;
	meta.csum_start = 99;
	fake_send(&r->dev, 0, rig_bytes, 100, &meta);
	fake_send(&r->dev, 0, rig_bytes, 13, NULL);
	fake_send(&r->dev, 0, rig_bytes, 60, NULL);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	rig_check_frame(buf, rig_bytes, 60);
	rig_free(r, buf);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.packets, 2);
	assert_int_equal(stats.errors, 3);
	assert_int_equal(stats.drops[VIO_DROP_BAD_GSO], 1);
	assert_int_equal(stats.drops[VIO_DROP_BAD_CSUM], 1);
	assert_int_equal(stats.drops[VIO_DROP_SHORT], 1);
}

/* With 20 bytes of header: frames of @len bytes in @buffers come with the hash that stands there. */
static void receive_hashes(struct rig *r, uint32_t len, unsigned buffers)
{
	struct vio_buf *buf;
	unsigned i;

	for (i = 0; i < 12; i++) {
		r->dev.hash = 0x12345678 * i;
		r->dev.hash_report = (uint16_t)(i % 10);
		buf = pass(r, len + i, buffers);
		assert_int_equal(buf->hash, r->dev.hash);
		assert_int_equal(buf->hash_report, i % 10);
		assert_int_equal(buf->meta.num_buffers, buffers);
		rig_free(r, buf);
	}
}

static void test_l6_hash_merged(void **state)
{
	struct rig *r = *state;
	struct vio_driver_info info;

	offer_hash(r);
	rig_start(r);
	vio_driver_get_info(r->drv, &info);
	assert_int_equal(info.hdr_size, 20);
	receive_hashes(r, 60, 1);
	receive_hashes(r, 2048 - 11, 1);
	receive_hashes(r, 2049, 2);
	receive_hashes(r, 65500, 32);
}

static void test_l6_hash_without_merging(void **state)
{
	struct rig *r = *state;

	fake_withdraw(&r->dev, VIO_NET_F_MRG_RXBUF);
	offer_hash(r);
	rig_start(r);
	receive_hashes(r, 60, 1);
	receive_hashes(r, 1503, 1);
}

static void test_l6_hash_big_without_merging(void **state)
{
	struct rig *r = *state;

	offer_hash(r);
	r->ring = 128;
	receive_big(r, RIG_POOL / 33);
	receive_hashes(r, 60, 1);
	receive_hashes(r, 65578, 1);
}

/* What begins a header and does not hold it whole is no frame (H24). */
static void test_l6_shorter_than_its_header(void **state)
{
	struct vio_driver_stats stats;
	struct rig *r = *state;
	struct vio_buf *buf;

	offer_hash(r);
	rig_start(r);
	fake_use(&r->dev, 0, fake_id(&r->dev, 0, 0), 12);
	fake_use(&r->dev, 0, fake_id(&r->dev, 0, 1), 19);
	fake_use(&r->dev, 0, fake_id(&r->dev, 0, 2), 20);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 0);
	rig_stats(r, 0, &stats);
	assert_int_equal(stats.packets, 0);
	assert_int_equal(stats.errors, 3);
}

/* Sent frames have as long a header, all zero behind what the frame asks for. */
static void test_l6_hash_sent(void **state)
{
	static const uint8_t zero[20];
	uint8_t got[2000], frame[1000];
	struct rig *r = *state;
	struct vio_net_hdr header;
	struct vio_buf *buf;
	unsigned pieces, i;

	offer_hash(r);
	rig_start(r);
	for (i = 0; i < 100; i++) { /* headers stay where they were written */
		rig_send(r, 60 + i, (uint8_t)(i + 1));
		assert_int_equal(fake_take(&r->dev, 1, got, sizeof(got), &pieces), 80 + i);
		assert_int_equal(pieces, 1);
		assert_memory_equal(got, zero, 20);
		memset(frame, (int)(i + 1), sizeof(frame));
		memset(frame, 2, 12);
		assert_memory_equal(got + 20, frame, 60 + i);

		buf = rig_frame(r, 100, 9);
		buf->meta = (struct vio_net_meta){ .flags = VIO_NET_HDR_F_NEEDS_CSUM,
						   .csum_start = 34,
						   .csum_offset = 16 };
		assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
		assert_int_equal(fake_take(&r->dev, 1, got, sizeof(got), NULL), 120);
		memcpy(&header, got, 20);
		assert_int_equal(header.flags, VIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(vio_le16(header.csum_start), 34);
		assert_int_equal(vio_le16(header.csum_offset), 16);
		assert_memory_equal(got + 10, zero, 10);
	}
}

int main(void)
{
	static const struct rig_test tests[] = {
		RIG_TEST(test_l5_mergeable, RING_RUN_ALL),
		RIG_TEST(test_l5_exact_filling, RING_RUN_ALL),
		RIG_TEST(test_l5_exact_filling_with_hash, RING_RUN_ALL),
		RIG_TEST(test_l5_merge_over_polls, RING_RUN_ALL),
		RIG_TEST(test_l5_small_without_merging, RING_RUN_ALL),
		RIG_TEST(test_l5_posted_sizes, RING_RUN_ALL),
		RIG_TEST(test_l5_room_for_the_devices_mtu, RING_RUN_ALL),
		RIG_TEST(test_l5_room_for_our_mtu, RING_RUN_ALL),
		RIG_TEST(test_l5_jumbo_in_one_buffer, RING_RUN_ALL),
		RIG_TEST(test_l5_big_without_merging, RING_RUN_ALL),
		RIG_TEST(test_l5_big_indirect, RING_RUN_ALL),
		RIG_TEST(test_l5_big_indirect_full, RING_RUN_ALL),
		RIG_TEST(test_l5_refill_behind_rubbish, RING_RUN_ALL),
		RIG_TEST(test_l5_buffers_too_small, RING_RUN_ALL),
		RIG_TEST(test_l6_number_of_one_buffer, RING_RUN_ALL),
		RIG_TEST(test_l6_header, RING_RUN_ALL),
		RIG_TEST(test_l6_hash_merged, RING_RUN_ALL),
		RIG_TEST(test_l6_hash_without_merging, RING_RUN_ALL),
		RIG_TEST(test_l6_hash_big_without_merging, RING_RUN_ALL),
		RIG_TEST(test_l6_shorter_than_its_header, RING_RUN_ALL),
		RIG_TEST(test_l6_hash_sent, RING_RUN_ALL),
	};

	return rig_run_tests(tests, vio_array_size(tests));
}
