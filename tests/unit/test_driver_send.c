/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's data path: sending, and waking who was turned away (U8, U10, L2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/endian.h"
#include "lib/driver_rig.h"

static const uint8_t zeros[60];

static void test_tx_one_descriptor(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t frame[2100];
	unsigned pieces;

	rig_start(r);
	buf = rig_frame(r, 1514, 0xab);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(r->dev.queues[1].kicks, 1);
	assert_int_equal(fake_take(&r->dev, 1, frame, sizeof(frame), &pieces), 1526);
	assert_int_equal(pieces, 1);
	assert_memory_equal(frame, zeros, 12);
	assert_int_equal(frame[12], 2);
	assert_int_equal(frame[1525], 0xab);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), 1);
	assert_int_equal(r->freed_tx, 1);
}

static void test_tx_pieces(void **state)
{
	struct rig *r = *state;
	struct vio_buf *a, *b, *c;
	uint8_t frame[5000];
	unsigned pieces;

	r->dev.config.mtu = vio_le16(9000);
	rig_start(r);
	a = rig_frame(r, 20, 'a');
	b = rig_frame(r, 2000, 'b');
	c = rig_frame(r, 1, 'c');
	a->next = b;
	b->next = c;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &a, 1), 1);
	assert_int_equal(fake_take(&r->dev, 1, frame, sizeof(frame), &pieces), 12 + 2021);
	assert_int_equal(pieces, 3);
	assert_int_equal(frame[12 + 19], 'a');
	assert_int_equal(frame[12 + 20 + 1999], 'b');
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 10), 1);
	assert_int_equal(vio_pool_available(r->pool), RIG_POOL - 64);
}

/* An empty header that is there already is not written again. */
static void test_tx_header_written_once(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t frame[100];

	rig_start(r);
	buf = rig_frame(r, 60, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 1), 1);
	assert_int_equal(vio_pool_get(r->pool, &buf, 1), 1);
	assert_int_equal(buf->clean, 12);
	buf->mem[buf->off - 3] = 0x55; /* shows whether it is written */
	buf->len = 60;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(frame[9], 0x55);
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 1), 1);
	/* Received into, it is not clean any more: sent on, its header is empty. */
	fake_send(&r->dev, 0, zeros, 60, NULL);
	assert_int_equal(vio_driver_rx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(fake_take(&r->dev, 1, frame, sizeof(frame), NULL), 72);
	assert_int_equal(frame[10] | frame[11], 0);
}

static void test_tx_offloads(void **state)
{
	struct rig *r = *state;
	struct vio_net_meta tso = { .flags = VIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = VIO_NET_HDR_GSO_TCPV4,
				    .gso_size = 500,
				    .hdr_len = 54,
				    .csum_start = 34,
				    .csum_offset = 16 };
	struct vio_driver_stats stats;
	struct vio_buf *bufs[3];
	uint8_t frame[2100];

	rig_start(r);
	bufs[0] = rig_frame(r, 100, 1);
	bufs[1] = rig_frame(r, 2000, 1);
	bufs[1]->meta = tso; /* HOST_TSO4 was not offered */
	bufs[2] = rig_frame(r, 100, 1);
	bufs[2]->meta = tso;
	bufs[2]->meta.gso_type = 0;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs, 3), 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs + 1, 2), -EINVAL);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, bufs + 2, 1), 1);
	fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(fake_take(&r->dev, 1, frame, sizeof(frame), NULL), 112);
	assert_int_equal(frame[0], VIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(vio_get_le16(frame + 6), 34);
	assert_int_equal(vio_get_le16(frame + 8), 16);
	rig_free(r, bufs[1]);
	rig_stats(r, 1, &stats);
	assert_int_equal(stats.errors, 2);
	assert_int_equal(stats.drops[VIO_DROP_BAD_GSO], 2);
}

static void test_tx_refuses(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	buf = rig_frame(r, 1514, 1);
	buf->len = 1515;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EMSGSIZE);
	vio_buf_data(buf)[12] = 0x81; /* a VLAN tag comes on top of the MTU */
	vio_buf_data(buf)[13] = 0;
	buf->len = 1518;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	buf = rig_frame(r, 60, 1);
	buf->off = 11;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EINVAL);
	buf->off = 64;
	buf->len = 13;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EINVAL);
	buf->len = buf->size;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EINVAL);
	buf->off = UINT32_MAX - 20;
	buf->len = 60;
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), -EINVAL);
	buf->off = 64;
	rig_free(r, buf);
}

/* U10 */
static void test_u10_tx_one(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t frame[100];
	unsigned i;

	rig_start(r);
	for (i = 0; i < 64; i++) {
		buf = rig_frame(r, 60, 1);
		assert_int_equal(vio_driver_tx_one(r->drv, 0, buf),
				 VIO_ONE_SUCCESS | (i < 63 ? VIO_ONE_MORE : VIO_ONE_UNDERRUN));
	}
	buf = rig_frame(r, 60, 1);
	assert_int_equal(vio_driver_tx_one(r->drv, 0, buf), VIO_ONE_UNDERRUN);
	/* Finished ones are freed first. */
	fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
	assert_int_equal(vio_driver_tx_one(r->drv, 0, buf), VIO_ONE_SUCCESS | VIO_ONE_MORE);
	assert_int_equal(r->freed_tx, 2);
}

/* A full queue with interrupts: one comes when half of it was sent. */
static void test_u8_tx_interrupt(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;
	uint8_t frame[100];
	unsigned i, at = 0;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 1), 0);
	buf = rig_fill(r, 64);
	for (i = 1; i <= 64 && at == 0; i++) {
		struct vio_virtq_avail *avail = fake_avail(&r->dev, 1);

		fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
		/* used_event: the device would interrupt when passing it */
		if (vio_le16(fake_used(&r->dev, 1)->idx) ==
		    (uint16_t)(vio_le16(avail->ring[64]) + 1))
			at = i;
	}
	assert_int_equal(at, 33);
	assert_true(vio_driver_interrupt(r->drv, 1));
	assert_int_equal(r->tx_events, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
}

/* The device sends @n frames. */
static void take(struct rig *r, unsigned n)
{
	uint8_t frame[3000];

	while (n-- > 0)
		assert_true(fake_take(&r->dev, 1, frame, sizeof(frame), NULL) > 0);
}

static bool tx_armed(const struct rig *r)
{
	struct vio_driver_queue_info qi;

	assert_int_equal(vio_driver_queue_info(r->drv, 1, &qi), 0);
	return qi.intr_armed;
}

/* U8: what the interrupt brings may be too little to wake the sender: then there is another one. */
static void test_u8_armed_until_woken(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	r->ring = 16;
	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 1), 0);
	buf = rig_fill(r, 16);
	take(r, 9);
	assert_true(vio_driver_interrupt(r->drv, 1));
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 16), 9);
	assert_int_equal(r->wakes, 0);
	assert_true(tx_armed(r));
	/* One that brings nothing takes nothing. */
	assert_true(vio_driver_interrupt(r->drv, 1));
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 16), 0);
	assert_true(tx_armed(r));
	take(r, 7);
	assert_true(vio_driver_interrupt(r->drv, 1));
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 16), 7);
	assert_int_equal(r->wakes, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
}

/* A sender that comes again by itself needs no waking. */
static void test_l2_sender_is_not_woken_by_itself(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf;

	rig_start(r);
	buf = rig_fill(r, 64);
	take(r, 64);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	assert_int_equal(r->wakes, 0);
}

/* L2: what was turned away fits again, be it in ever so many pieces. */
static void test_l2_wakes_for_many_pieces(void **state)
{
	struct rig *r = *state;
	struct vio_buf *buf, *tail;
	unsigned i;

	fake_withdraw(&r->dev, VIO_F_INDIRECT_DESC);
	rig_start(r);
	for (i = 0; i < 20; i++)
		rig_send(r, 60, 1);
	for (buf = tail = rig_frame(r, 20, 1), i = 1; i < 60; i++) {
		tail->next = rig_frame(r, 20, 1);
		tail = tail->next;
	}
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 0);
	take(r, 10);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	assert_int_equal(r->wakes, 0); /* 54 of 60 */
	take(r, 10);
	assert_int_equal(vio_driver_poll(r->drv, 0, 16), 0);
	assert_int_equal(r->wakes, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
}

/* U10: a frame that fills the queue, with interrupts: one will say that there is room. */
static void test_u10_full_is_armed(void **state)
{
	struct rig *r = *state;
	unsigned i;

	rig_start(r);
	assert_int_equal(vio_driver_intr_enable(r->drv, 1), 0);
	assert_true(vio_driver_interrupt(r->drv, 1)); /* not armed any more */
	for (i = 0; i < 63; i++)
		assert_int_equal(vio_driver_tx_one(r->drv, 0, rig_frame(r, 60, 1)),
				 VIO_ONE_SUCCESS | VIO_ONE_MORE);
	assert_false(tx_armed(r));
	assert_int_equal(vio_driver_tx_one(r->drv, 0, rig_frame(r, 60, 1)),
			 VIO_ONE_SUCCESS | VIO_ONE_UNDERRUN);
	assert_true(tx_armed(r));
	take(r, 64);
	assert_true(vio_driver_interrupt(r->drv, 1));
	assert_int_equal(vio_driver_tx_reap(r->drv, 0, 64), 64);
	assert_int_equal(r->wakes, 1);
}

static void test_tx_keeps_going(void **state)
{
	struct rig *r = *state;
	struct vio_buf *bufs[50];
	uint8_t frame[2100];
	unsigned seen = 0, sent = 0, n, i;
	long len;
	int took;

	rig_start(r);
	while (seen < 5000) {
		n = 1 + seen % 50;
		for (i = 0; i < n; i++)
			bufs[i] = rig_frame(r, 60 + (sent + i) % 1000, (uint8_t)(sent + i));
		took = vio_driver_tx_burst(r->drv, 0, bufs, n);
		assert_true(took >= 0);
		for (i = (unsigned)took; i < n; i++)
			rig_free(r, bufs[i]);
		sent += (unsigned)took;
		for (i = 0; i < 1 + seen % 70; i++) {
			len = fake_take(&r->dev, 1, frame, sizeof(frame), NULL);
			if (len < 0)
				break;
			assert_int_equal(len, 12 + 60 + seen % 1000);
			assert_int_equal(frame[len - 1], (uint8_t)seen);
			seen++;
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_tx_one_descriptor),
		T(test_tx_pieces),
		T(test_tx_header_written_once),
		T(test_tx_offloads),
		T(test_tx_refuses),
		T(test_u10_tx_one),
		T(test_u8_tx_interrupt),
		T(test_u8_armed_until_woken),
		T(test_l2_sender_is_not_woken_by_itself),
		T(test_l2_wakes_for_many_pieces),
		T(test_u10_full_is_armed),
		T(test_tx_keeps_going),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
