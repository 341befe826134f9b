/* SPDX-License-Identifier: BSD-2-Clause */
#include "bed.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "check.h"
#include "device/device.h"
#include "ring_image.h"

static void bed_call(void *ctx, unsigned queue)
{
	struct bed *r = ctx;

	r->calls[queue]++;
}

static void bed_config_changed(void *ctx)
{
	struct bed *r = ctx;

	r->config_changes++;
}

static void bed_queue_broken(void *ctx, unsigned queue, enum vio_vq_error why)
{
	struct bed *r = ctx;

	r->broken[queue]++;
	r->why[queue] = why;
}

static const struct vio_device_transport_ops bed_transport = {
	.ctrl_elsewhere = true,
	.call = bed_call,
	.config_changed = bed_config_changed,
	.queue_broken = bed_queue_broken,
};

void bed_open(struct bed *r, const struct bed_conf *conf)
{
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);
	struct vio_net_props props;
	struct vio_features accepted;
	struct vio_error err = { "" };

	memset(r, 0, sizeof(*r));
	guest_create(&r->g, conf->region_size ? conf->region_size : 4 << 20);
	r->fb = fake_backend_create(conf->tx_offloads, conf->rx_offloads);
	r->num = conf->num ? conf->num : 256;
	r->pairs = conf->pairs ? conf->pairs : 1;
	check(r->pairs <= BED_PAIRS);
	vio_net_props_init(&props);
	props.queue_pairs = r->pairs;
	props.tx = conf->tx;
	check(vio_device_create(host, &props, &r->fb->be, &r->dev, &err) == 0);
	vio_device_set_transport(r->dev, &bed_transport, r);
	r->dev->offered.w[0] |= conf->more;
	accepted = vio_features_and(vio_device_features(r->dev),
				    vio_features_make(conf->features | conf->more, 0));
	(conf->packed ? vio_features_set : vio_features_clear)(&accepted, VIO_F_RING_PACKED);
	(conf->in_order ? vio_features_set : vio_features_clear)(&accepted, VIO_F_IN_ORDER);
	check(vio_device_set_driver_features(r->dev, accepted) == 0);
	r->features = accepted.w[0];
	r->hdr_size = (uint32_t)vio_net_hdr_size(accepted);
	r->scratch = vio_device_scratch_create(host);
	check(r->scratch != NULL);
	for (unsigned i = 0; i < r->pairs; i++)
		r->fb->sinks[i] = vio_device_sink(r->dev, i);
	if (!conf->no_start)
		bed_start(r);
}

void bed_open_format(struct bed *r, void **state, struct bed_conf conf)
{
	conf.packed = ring_format(state) & RING_PACKED;
	conf.in_order = ring_format(state) & RING_IN_ORDER;
	bed_open(r, &conf);
	check(r->q[0].packed == (conf.packed && !conf.no_start));
}

void bed_close(struct bed *r)
{
	struct bed_buf *b;

	bed_stop(r);
	vio_device_destroy(r->dev);
	vio_device_scratch_destroy(r->scratch);
	fake_backend_destroy(r->fb);
	guest_destroy(&r->g);
	while ((b = r->bufs)) {
		r->bufs = b->all;
		free(b->segs);
		free(b);
	}
}

void bed_start(struct bed *r)
{
	unsigned i;

	for (i = 0; i < r->pairs * 2; i++) {
		struct vio_devq_setup setup;

		guest_queue_create(&r->q[i], &r->g, r->num, r->features);
		setup = guest_queue_setup(&r->q[i], 0);
		check(vio_device_queue_start(r->dev, i, &setup, r->g.mem) == 0);
		r->added[i] = 0;
	}
}

void bed_stop(struct bed *r)
{
	unsigned i;

	for (i = 0; i < r->pairs * 2; i++) {
		if (vio_device_queue_running(r->dev, i))
			check(vio_device_queue_stop(r->dev, i, NULL) == 0);
		guest_queue_destroy(&r->q[i]);
	}
}

int bed_turn_budget(struct bed *r, unsigned pair, unsigned budget)
{
	int sent;

	vio_device_begin(r->dev, pair, r->scratch);
	sent = vio_device_tx(r->dev, pair, budget);
	r->fb->be.ops->receive(&r->fb->be, pair, budget);
	vio_device_end(r->dev, pair);
	return sent;
}

int bed_turn(struct bed *r, unsigned pair)
{
	return bed_turn_budget(r, pair, 256);
}

static struct bed_buf *make_buf(struct bed *r, const uint32_t *pieces, unsigned n, uint32_t total)
{
	struct bed_buf *b = calloc(1, sizeof(*b));
	uint32_t done = 0;

	check(b != NULL);
	b->segs = calloc(n + 1, sizeof(*b->segs));
	check(b->segs != NULL);
	for (unsigned i = 0; i <= n; i++) {
		uint32_t len = i < n ? vio_min(pieces[i], total - done) : total - done;

		if (len == 0)
			continue;
		/* With a gap behind it, or what is read beyond it would be the next piece. */
		b->segs[b->num].addr = guest_alloc(&r->g, len + 40, 1);
		b->segs[b->num++].len = len;
		done += len;
	}
	b->len = total;
	b->all = r->bufs;
	r->bufs = b;
	return b;
}

static bool add(struct bed *r, unsigned queue, struct bed_buf *b, bool in)
{
	struct vio_drvq_buf buf = {
		.segs = b->segs,
		.out_num = in ? 0 : b->num,
		.in_num = in ? b->num : 0,
		.token = b,
	};

	if (vio_drvq_add_burst(r->q[queue].drv, &buf, 1) != 1)
		return false;
	b->id = r->added[queue]++;
	vio_drvq_publish(r->q[queue].drv);
	return true;
}

bool bed_send_pieces(struct bed *r, unsigned pair, const struct vio_net_meta *meta,
		     const void *bytes, uint32_t len, const uint32_t *pieces, unsigned n)
{
	static const struct vio_net_meta plain;
	struct bed_buf *b = make_buf(r, pieces, n, r->hdr_size + len);
	uint8_t *all = malloc(r->hdr_size + len), *p = all;

	check(all != NULL);
	vio_net_hdr_encode(all, r->hdr_size, false, meta ? meta : &plain);
	if (len)
		memcpy(all + r->hdr_size, bytes, len);
	for (unsigned i = 0; i < b->num; p += b->segs[i].len, i++)
		memcpy(guest_at(&r->g, b->segs[i].addr), p, b->segs[i].len);
	free(all);
	return add(r, pair * 2 + 1, b, false);
}

bool bed_send(struct bed *r, unsigned pair, const struct vio_net_meta *meta, const void *bytes,
	      uint32_t len)
{
	return bed_send_pieces(r, pair, meta, bytes, len, NULL, 0);
}

bool bed_post_pieces(struct bed *r, unsigned pair, const uint32_t *pieces, unsigned n)
{
	uint32_t total = 0;

	for (unsigned i = 0; i < n; i++)
		total += pieces[i];
	return add(r, pair * 2, make_buf(r, pieces, n, total), true);
}

void bed_post(struct bed *r, unsigned pair, uint32_t size, unsigned n)
{
	while (n-- > 0)
		check(bed_post_pieces(r, pair, &size, 1));
}

struct bed_buf *bed_reap(struct bed *r, unsigned queue, uint32_t *len)
{
	struct vio_drvq_done done;
	int n = vio_drvq_reap_burst(r->q[queue].drv, &done, 1);

	check(n >= 0);
	if (n == 0)
		return NULL;
	*len = done.len;
	return done.token;
}

unsigned bed_reap_tx(struct bed *r, unsigned pair)
{
	unsigned n = 0, last = 0;
	struct bed_buf *b;
	uint32_t len;

	while ((b = bed_reap(r, pair * 2 + 1, &len))) {
		check(len == 0);
		check(n == 0 || b->id == last + 1);
		last = b->id;
		n++;
	}
	return n;
}

/* Copies out the first @len bytes of a buffer. */
static void read_buf(struct bed *r, const struct bed_buf *b, uint32_t len, uint8_t *to)
{
	for (unsigned i = 0; i < b->num && len; i++) {
		uint32_t n = vio_min(len, b->segs[i].len);

		memcpy(to, guest_at(&r->g, b->segs[i].addr), n);
		to += n;
		len -= n;
	}
}

bool bed_recv(struct bed *r, unsigned pair, struct bed_frame *f)
{
	static uint8_t bytes[80000];
	uint32_t have = 0, len;
	struct bed_buf *b;
	unsigned want = 1;

	f->buffers = 0;
	while (f->buffers < want) {
		b = bed_reap(r, pair * 2, &len);
		/* Buffers of one frame appear together (virtio 1.4, 5.1.9.4.1). */
		check(b != NULL || f->buffers == 0);
		if (!b)
			return false;
		check(len <= b->len && have + len <= sizeof(bytes) && f->buffers < BED_MAX_PIECES);
		read_buf(r, b, len, bytes + have);
		have += len;
		f->used_len[f->buffers] = len;
		f->buf_len[f->buffers++] = b->len;
		if (f->buffers > 1)
			continue;
		check(len >= r->hdr_size);
		memcpy(f->header, bytes, r->hdr_size);
		vio_net_hdr_decode(bytes, r->hdr_size, false, &f->meta);
		if (r->features & vio_feature(VIO_NET_F_MRG_RXBUF))
			want = f->meta.num_buffers;
		check(want >= 1);
	}
	f->len = have - r->hdr_size;
	check(f->len <= sizeof(f->bytes));
	memcpy(f->bytes, bytes + r->hdr_size, f->len);
	return true;
}

struct vio_queue_stats bed_stats(const struct bed *r, unsigned queue)
{
	struct vio_queue_stats stats;

	vio_device_queue_stats(r->dev, queue, &stats);
	return stats;
}

void bed_pattern(uint8_t *bytes, uint32_t len, unsigned n)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251 + n * 31);
	if (len >= 4)
		memcpy(bytes, &n, 4);
}
