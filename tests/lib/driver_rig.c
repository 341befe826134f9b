/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/simd.h"
#include "check.h"
#include "driver_rig.h"

uint8_t rig_bytes[70000];

static void fill_bytes(void)
{
	size_t i;

	for (i = 0; i < sizeof(rig_bytes); i++)
		rig_bytes[i] = (uint8_t)(i * 7 + i / 251);
	rig_bytes[0] = 2; /* unicast */
}

static unsigned rx_alloc(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct rig *r = ctx;

	return r->starve ? 0 : vio_pool_get(r->pool, bufs, n);
}

static void rx_free(void *ctx, struct vio_buf **bufs, unsigned n)
{
	vio_pool_put(((struct rig *)ctx)->pool, bufs, n);
}

static void rx_receive(void *ctx, struct vio_buf **frames, unsigned n)
{
	struct rig *r = ctx;

	memcpy(r->received + r->nreceived, frames, n * sizeof(*frames));
	r->nreceived += n;
}

static void rx_event(void *ctx, unsigned queue)
{
	assert_int_equal(queue & 1, 0);
	((struct rig *)ctx)->rx_events++;
}

static void tx_free(void *ctx, struct vio_buf **bufs, unsigned n)
{
	((struct rig *)ctx)->freed_tx += n;
	vio_pool_put(((struct rig *)ctx)->pool, bufs, n);
}

static void tx_unsent(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct rig *r = ctx;

	memcpy(r->unsent + r->nunsent, bufs, n * sizeof(*bufs));
	r->nunsent += n;
}

static void tx_event(void *ctx, unsigned queue)
{
	assert_int_equal(queue & 1, 1);
	((struct rig *)ctx)->tx_events++;
}

static void tx_wake(void *ctx, unsigned id)
{
	(void)id;
	((struct rig *)ctx)->wakes++;
}

static void on_link(void *ctx, struct vio_driver *drv, bool up)
{
	struct rig *r = ctx;

	(void)drv;
	r->links++;
	r->link_up = up;
}

static void on_announce(void *ctx, struct vio_driver *drv)
{
	(void)drv;
	((struct rig *)ctx)->announces++;
}

static void on_failed(void *ctx, struct vio_driver *drv, int why)
{
	struct rig *r = ctx;

	(void)drv;
	r->failures++;
	r->failed_why = why;
}

static void on_broken(void *ctx, struct vio_driver *drv, unsigned queue, enum vio_vq_error why)
{
	(void)drv;
	(void)queue;
	assert_int_not_equal(why, VIO_VQ_OK);
	((struct rig *)ctx)->broken++;
}

int rig_setup(void **state)
{
	static struct rig rig;

	fill_bytes();
	memset(&rig, 0, sizeof(rig));
	fake_host_init(&rig.h);
	fake_dev_init(&rig.dev, &rig.h);
	*state = &rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;
	unsigned i;

	vio_driver_release(r->drv);
	for (i = 0; i < r->nreceived; i++)
		rig_free(r, r->received[i]);
	for (i = 0; i < r->nunsent; i++)
		rig_free(r, r->unsent[i]);
	if (r->pool)
		assert_int_equal(vio_pool_available(r->pool), RIG_POOL);
	vio_pool_destroy(r->pool);
	fake_dev_done(&r->dev);
	fake_host_done(&r->h);
	return 0;
}

static int setup_packed(void **state)
{
	rig_setup(state);
	fake_offer(&((struct rig *)*state)->dev, VIO_F_RING_PACKED);
	return 0;
}

static int setup_split_in_order(void **state)
{
	rig_setup(state);
	fake_offer(&((struct rig *)*state)->dev, VIO_F_IN_ORDER);
	return 0;
}

static int setup_packed_in_order(void **state)
{
	setup_packed(state);
	fake_offer(&((struct rig *)*state)->dev, VIO_F_IN_ORDER);
	return 0;
}

static int run_formats(const struct rig_test *tests, size_t n)
{
	static const struct {
		const char *name;
		int (*setup)(void **state);
	} formats[] = { /* in the order of RING_RUN_* */
			{ "split", rig_setup },
			{ "packed", setup_packed },
			{ "split, in order", setup_split_in_order },
			{ "packed, in order", setup_packed_in_order }
	};
	static struct CMUnitTest all[256];
	static char names[256][96];
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		for (unsigned f = 0; f < vio_array_size(formats); f++) {
			if (!(tests[i].formats & 1u << f))
				continue;
			check(count < vio_array_size(all));
			snprintf(names[count], sizeof(names[count]), "%s (%s)", tests[i].name,
				 formats[f].name);
			all[count] = (struct CMUnitTest){ names[count], tests[i].run,
							  formats[f].setup, rig_teardown, NULL };
			count++;
		}
	return _cmocka_run_group_tests(vio_simd_name(vio_simd_level()), all, count, NULL, NULL);
}

int rig_run_tests(const struct rig_test *tests, size_t n)
{
	int failed = 0;

	for (unsigned level = 0; level < VIO_SIMD_LEVELS; level++) {
		if (vio_simd_force((enum vio_simd)level) != (enum vio_simd)level)
			continue;
		failed += run_formats(tests, n);
	}
	return failed;
}

void rig_start(struct rig *r)
{
	struct vio_driver_opts opts = { .want = r->want, .events = &r->events, .events_ctx = r };
	struct vio_rxq_conf rx = { .size = r->ring ? r->ring : 64,
				   .alloc = rx_alloc,
				   .free = rx_free,
				   .receive = rx_receive,
				   .event = rx_event,
				   .ctx = r };
	struct vio_txq_conf tx = { .size = rx.size,
				   .free = tx_free,
				   .unsent = r->list_unsent ? tx_unsent : NULL,
				   .event = tx_event,
				   .wake = tx_wake,
				   .ctx = r };
	unsigned pairs = r->pairs ? r->pairs : 1, i;
	struct vio_driver_conf conf = { .nb_rx = pairs, .nb_tx = pairs };

	r->events = (struct vio_driver_events){ .link = on_link,
						.announce = on_announce,
						.failed = on_failed,
						.queue_broken = on_broken };
	assert_int_equal(vio_pool_create(&r->h.host, RIG_POOL, r->room ? r->room : 2048, &r->pool),
			 0);
	assert_int_equal(vio_driver_probe(&r->dev.t, &r->h.host, &opts, &r->drv, &r->err), 0);
	assert_int_equal(vio_driver_configure(r->drv, &conf, &r->err), 0);
	for (i = 0; i < pairs; i++) {
		assert_int_equal(vio_driver_rxq_configure(r->drv, i, &rx, &r->err), 0);
		assert_int_equal(vio_driver_txq_configure(r->drv, i, &tx, &r->err), 0);
	}
	assert_int_equal(vio_driver_start(r->drv, &r->err), 0);
}

void rig_stats(struct rig *r, unsigned queue, struct vio_driver_stats *stats)
{
	assert_int_equal(vio_driver_queue_stats(r->drv, queue, stats), 0);
}

struct vio_buf *rig_frame(struct rig *r, uint32_t len, uint8_t fill)
{
	struct vio_buf *buf;

	assert_int_equal(vio_pool_get(r->pool, &buf, 1), 1);
	assert_true(len <= vio_buf_room(buf));
	buf->len = len;
	memset(vio_buf_data(buf), fill, len);
	memset(vio_buf_data(buf), 2, len < 12 ? len : 12);
	return buf;
}

void rig_send(struct rig *r, uint32_t len, uint8_t fill)
{
	struct vio_buf *buf = rig_frame(r, len, fill);

	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 1);
}

struct vio_buf *rig_fill(struct rig *r, unsigned n)
{
	struct vio_buf *buf;

	for (unsigned i = 0; i < n; i++)
		rig_send(r, 60, 1);
	buf = rig_frame(r, 60, 1);
	assert_int_equal(vio_driver_tx_burst(r->drv, 0, &buf, 1), 0);
	return buf;
}

void rig_free(struct rig *r, struct vio_buf *buf)
{
	vio_pool_put(r->pool, &buf, 1);
}

void rig_check_frame(const struct vio_buf *head, const uint8_t *want, size_t len)
{
	const struct vio_buf *buf;
	size_t off = 0;
	unsigned pieces = 0;

	for (buf = head; buf; buf = buf->next) {
		assert_true(off + buf->len <= len);
		assert_memory_equal(vio_buf_data(buf), want + off, buf->len);
		off += buf->len;
		pieces++;
	}
	assert_int_equal(off, len);
	assert_int_equal(head->frame_len, len);
	assert_int_equal(head->pieces, pieces);
}
