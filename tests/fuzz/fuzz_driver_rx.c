/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that lies to a driver.
 *
 * The driver runs on a transport whose other end is here. The device serves the rings through the
 * device side of src/ring, so that each format is spoken as it ought to be, but says what it likes
 * of lengths and headers; and it writes any bytes to any place that it shares with the driver, rings
 * and posted buffers alike. It completes what was sent, or does not, and fails, and is recovered.
 *
 * Rings and buffers are allocations of their own. A frame that the driver hands out must lie in
 * buffers of ours, be as long as its pieces together, and have a header that can be trusted. However
 * a run ends, every buffer comes back once.
 */
#include "fuzz.h"

#include <errno.h>

#include <vioduct/driver.h>
#include <vioduct/features.h>
#include <vioduct/mem.h>
#include <vioduct/ring.h>

#include "base/iov.h"
#include "driver/transport.h"

#define BUFFERS	   48
#define DMA_SLOTS  8
#define BUFFERS_AT UINT64_C(0x100000)
#define BUFFER_GAP UINT64_C(0x10000)
#define NUM_MAX	   32
#define HEAD_SIZE  160u /* bytes of a buffer that decide anything, headroom included */
#define QUEUES	   2
#define RX	   VIO_RXQ(0)
#define TX	   VIO_TXQ(0)
#define BURST	   16
#define POOL	   1200

struct dma_slot {
	uint8_t *p; /* NULL: free */
	size_t size;
};

struct device_queue {
	struct vio_devq *vq;
	void *storage;
};

struct world {
	struct fuzz_input in;
	struct vio_host host;
	uint64_t now;
	struct dma_slot dma[DMA_SLOTS];

	struct vio_buf bufs[BUFFERS];
	bool idle[BUFFERS]; /* nobody has it */
	struct vio_buf *stack[BUFFERS];
	unsigned free;

	struct vio_driver_transport t;
	struct vio_features offered, accepted;
	struct vio_net_config config;
	uint8_t status;
	struct device_queue queues[QUEUES];
	struct vio_mem *mem; /* what the device can reach */

	struct vio_driver *drv;
};

static struct world world;

/* ---- The host ----------------------------------------------------------------------------- */

static void *dma_alloc(void *ctx, size_t size, size_t align, uint64_t *dma)
{
	struct world *w = ctx;

	for (unsigned i = 0; i < DMA_SLOTS; i++) {
		struct dma_slot *slot = &w->dma[i];

		if (slot->p)
			continue;
		check(posix_memalign((void **)&slot->p, vio_max(align, sizeof(void *)), size) == 0);
		slot->size = size;
		*dma = (uint64_t)(i + 1) << 32;
		return memset(slot->p, 0, size);
	}
	return NULL;
}

static void dma_free(void *ctx, void *p, size_t size, uint64_t dma)
{
	struct world *w = ctx;
	struct dma_slot *slot;

	if (!p)
		return;
	slot = &w->dma[(dma >> 32) - 1];
	check(slot->p == p && slot->size == size);
	free(p);
	slot->p = NULL;
}

/* Runs ahead, so that no wait is long. */
static uint64_t now_ns(void *ctx)
{
	struct world *w = ctx;

	return w->now += 1000000;
}

static void relax(void *ctx)
{
	(void)ctx;
}

/* ---- Buffers ------------------------------------------------------------------------------ */

static unsigned take(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct world *w = ctx;
	unsigned i;

	for (i = 0; i < n && w->free > 0; i++) {
		bufs[i] = w->stack[--w->free];
		w->idle[bufs[i] - w->bufs] = false;
	}
	return i;
}

static void put(void *ctx, struct vio_buf **bufs, unsigned n)
{
	struct world *w = ctx;
	struct vio_buf *buf, *next;

	for (unsigned i = 0; i < n; i++) {
		for (buf = bufs[i]; buf; buf = next) {
			next = buf->next;
			check(buf >= w->bufs && buf < w->bufs + BUFFERS);
			check(!w->idle[buf - w->bufs]);
			w->idle[buf - w->bufs] = true;
			buf->next = NULL;
			w->stack[w->free++] = buf;
		}
	}
}

static void check_frame(const struct vio_buf *head)
{
	unsigned pieces = 0;
	uint64_t len = 0;

	for (const struct vio_buf *buf = head; buf; buf = buf->next) {
		check(buf->off <= buf->size && buf->len <= buf->size - buf->off);
		fuzz_touch(vio_buf_data(buf), buf->len);
		len += buf->len;
		pieces++;
	}
	check(len == head->frame_len && pieces == head->pieces);
	check(len >= VIO_ETH_MIN_LEN && len <= VIO_FRAME_MAX_LEN);
	fuzz_check_meta(&head->meta, head->frame_len);
}

static void receive(void *ctx, struct vio_buf **frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		check_frame(frames[i]);
	put(ctx, frames, n);
}

/* ---- The transport ------------------------------------------------------------------------ */

static int get_features(struct vio_driver_transport *t, struct vio_features *offered)
{
	(void)t;
	*offered = world.offered;
	return 0;
}

static int set_features(struct vio_driver_transport *t, struct vio_features accepted)
{
	(void)t;
	world.accepted = accepted;
	return 0;
}

static int get_status(struct vio_driver_transport *t)
{
	(void)t;
	return world.status;
}

static void stop_queues(struct world *w)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		free(w->queues[i].storage);
		w->queues[i] = (struct device_queue){ NULL, NULL };
	}
}

static int set_status(struct vio_driver_transport *t, uint8_t status)
{
	(void)t;
	world.status = status;
	if (status == 0)
		stop_queues(&world);
	return 0;
}

static int config_read(struct vio_driver_transport *t, uint32_t offset, void *buf, uint32_t len)
{
	(void)t;
	check(offset + len <= sizeof(world.config));
	memcpy(buf, (const uint8_t *)&world.config + offset, len);
	return 0;
}

static int config_generation(struct vio_driver_transport *t)
{
	(void)t;
	return 0;
}

static int queue_max(struct vio_driver_transport *t, unsigned queue)
{
	(void)t;
	return queue < QUEUES ? NUM_MAX : 0;
}

static void map_memory(struct world *w)
{
	struct vio_mem_region regions[DMA_SLOTS + BUFFERS];
	uint32_t n = 0;

	for (unsigned i = 0; i < BUFFERS; i++)
		regions[n++] = (struct vio_mem_region){
			.guest_addr = w->bufs[i].dma,
			.size = w->bufs[i].size,
			.host = w->bufs[i].mem,
		};
	for (unsigned i = 0; i < DMA_SLOTS; i++)
		if (w->dma[i].p)
			regions[n++] = (struct vio_mem_region){
				.guest_addr = (uint64_t)(i + 1) << 32,
				.size = w->dma[i].size,
				.host = w->dma[i].p,
			};
	check(vio_mem_init(w->mem, regions, n) == 0);
}

static int queue_setup(struct vio_driver_transport *t, unsigned queue,
		       const struct vio_driver_ring *ring)
{
	struct world *w = &world;
	struct device_queue *q = &w->queues[queue];
	uint64_t features = w->accepted.w[0];
	struct vio_vq_sizes sizes = vio_vq_area_sizes(ring->num, features);
	struct vio_devq_setup setup = { .num = ring->num, .features = features };
	uint32_t hint = 0;

	(void)t;
	map_memory(w);
	setup.base = features & vio_feature(VIO_F_RING_PACKED) ? 0x80008000 : 0;
	setup.areas.desc = vio_mem_span(w->mem, &hint, ring->desc, sizes.desc);
	setup.areas.driver = vio_mem_span(w->mem, &hint, ring->driver, sizes.driver);
	setup.areas.device = vio_mem_span(w->mem, &hint, ring->device, sizes.device);
	free(q->storage);
	q->storage = aligned_alloc(64, vio_align_up(vio_devq_bytes(ring->num, features), 64));
	check(vio_devq_init(q->storage, &setup, &q->vq) == 0);
	return 0;
}

static int queue_enable(struct vio_driver_transport *t, unsigned queue)
{
	(void)t;
	(void)queue;
	return 0;
}

static void *notify_handle(struct vio_driver_transport *t, unsigned queue)
{
	(void)queue;
	return t;
}

static void notify(void *handle)
{
	(void)handle;
}

static int events(struct vio_driver_transport *t)
{
	(void)t;
	return VIO_TRANSPORT_CONFIG;
}

static void release(struct vio_driver_transport *t)
{
	(void)t;
	stop_queues(&world);
}

static const struct vio_driver_transport_ops transport_ops = {
	.name = "fuzz",
	.ctrl_elsewhere = true,
	.get_features = get_features,
	.set_features = set_features,
	.get_status = get_status,
	.set_status = set_status,
	.config_read = config_read,
	.config_generation = config_generation,
	.queue_max = queue_max,
	.queue_setup = queue_setup,
	.queue_enable = queue_enable,
	.notify_handle = notify_handle,
	.notify = notify,
	.events = events,
	.release = release,
};

/* ---- The device --------------------------------------------------------------------------- */

/* A header, often sound, and the beginning of a frame. Returns how many bytes. */
static uint32_t make_frame(struct world *w, uint8_t how, uint8_t *bytes)
{
	uint32_t hs = (uint32_t)vio_net_hdr_size(w->accepted), len = hs;
	struct vio_net_meta meta;

	memset(bytes, 0, hs);
	if (how & 1)
		len += fuzz_headers(&w->in, bytes + hs, &meta);
	else if (how & 2)
		meta = fuzz_meta(&w->in);
	else
		meta = (struct vio_net_meta){ .num_buffers = 1 };
	if (how & 4)
		meta.num_buffers = fuzz_u8(&w->in) % 5;
	else if (how & 1)
		meta.num_buffers = 1;
	vio_net_hdr_encode(bytes, hs, false, &meta);
	if (how & 8)
		fuzz_copy(&w->in, bytes, hs);
	return len;
}

/* Uses one receive buffer. */
static void device_receive(struct world *w)
{
	struct device_queue *q = &w->queues[RX];
	uint8_t how = fuzz_u8(&w->in);
	uint8_t bytes[VIO_NET_HDR_SIZE_MAX + FUZZ_HEADERS_MAX];
	static struct vio_iov pool[POOL];
	struct vio_chain chain;
	uint32_t len;

	if (!q->vq || vio_devq_pop_burst(q->vq, w->mem, &chain, 1, pool, POOL) != 1)
		return;
	len = make_frame(w, how, bytes);
	vio_iov_from_buf(chain.iov + chain.out_num, chain.in_num, 0, bytes, len);
	if (how & 16)
		chain.written = (uint32_t)fuzz_uint(&w->in, 4);
	else if (how & 32)
		chain.written = chain.in_len - vio_min(chain.in_len, fuzz_u8(&w->in));
	else
		chain.written = vio_min(chain.in_len, len + fuzz_u8(&w->in));
	vio_devq_push_burst(q->vq, &chain, 1);
	/* Else with what is used next. */
	if (how & 64)
		vio_devq_publish(q->vq);
}

/* Completes what was sent. */
static void device_transmit(struct world *w)
{
	struct device_queue *q = &w->queues[TX];
	static struct vio_iov pool[POOL];
	struct vio_chain chains[4];
	unsigned most = 1 + fuzz_u8(&w->in) % vio_array_size(chains);
	int n;

	if (!q->vq)
		return;
	n = vio_devq_pop_burst(q->vq, w->mem, chains, most, pool, POOL);
	for (int i = 0; i < n; i++) {
		chains[i].written = fuzz_u8(&w->in) >> 7;
		for (unsigned k = 0; k < chains[i].out_num; k++)
			fuzz_touch(chains[i].iov[k].base, chains[i].iov[k].len);
	}
	if (n > 0)
		vio_devq_push_burst(q->vq, chains, (unsigned)n);
	vio_devq_publish(q->vq);
}

/* Writes to any memory that is shared: rings, tables, posted buffers. */
static void scribble(struct world *w)
{
	const struct dma_slot *slot = &w->dma[fuzz_u8(&w->in) % DMA_SLOTS];
	size_t at = fuzz_u16(&w->in), n = 1 + fuzz_u8(&w->in) % 16;

	if (!slot->p || w->status == 0)
		return;
	at %= slot->size;
	fuzz_copy(&w->in, slot->p + at, vio_min(n, slot->size - at));
}

static void scribble_buffer(struct world *w)
{
	struct vio_buf *buf = &w->bufs[fuzz_u8(&w->in) % BUFFERS];
	size_t at = fuzz_u8(&w->in), n = 1 + fuzz_u8(&w->in) % 16;

	fuzz_copy(&w->in, buf->mem + at % (HEAD_SIZE - 16), n);
}

/* ---- The driver's user -------------------------------------------------------------------- */

static void poll_driver(struct world *w, uint8_t how)
{
	struct vio_buf *frames[BURST];
	int n;

	if (how & 8) {
		vio_driver_poll(w->drv, 0, 1u + (how >> 4));
		return;
	}
	if (how & 16) {
		n = vio_driver_rx_one(w->drv, 0, frames);
		n = n > 0 ? n & VIO_ONE_SUCCESS : 0;
	} else {
		n = vio_driver_rx_burst(w->drv, 0, frames, BURST);
	}
	if (n > 0)
		receive(w, frames, (unsigned)n);
}

/* A frame in one buffer or two, with any header. */
static void send(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);
	struct vio_buf *bufs[2];
	unsigned n = take(w, bufs, 1 + (how & 1));
	int ret;

	for (unsigned i = 0; i < n; i++) {
		bufs[i]->off = how & 2 ? fuzz_u8(&w->in) : VIO_BUF_HEADROOM;
		bufs[i]->off = vio_min(bufs[i]->off, bufs[i]->size);
		bufs[i]->len = vio_min(vio_buf_room(bufs[i]), fuzz_u16(&w->in) % 256u);
		bufs[i]->clean = 0;
		bufs[i]->next = NULL;
	}
	if (n == 0)
		return;
	if (n == 2)
		bufs[0]->next = bufs[1];
	bufs[0]->meta = how & 4 ? fuzz_meta(&w->in) : (struct vio_net_meta){ 0 };
	if (how & 8)
		ret = vio_driver_tx_one(w->drv, 0, bufs[0]);
	else
		ret = vio_driver_tx_burst(w->drv, 0, bufs, 1);
	/* VIO_ONE_SUCCESS is 1, too. */
	if (ret < 0 || !(ret & 1))
		put(w, bufs, 1);
}

/* What concerns the device as a whole. */
static void control(struct world *w, uint8_t how)
{
	struct vio_error err;

	switch (how >> 3 & 7) {
	case 0:
		vio_driver_recover(w->drv, 0, &err);
		break;
	case 1:
		if (vio_driver_stop(w->drv) == 0)
			vio_driver_start(w->drv, &err);
		break;
	case 2:
		if (w->status)
			w->status |= VIO_STATUS_NEEDS_RESET;
		vio_driver_config_interrupt(w->drv);
		break;
	case 3:
		w->config.status = vio_le16(how >> 6);
		vio_driver_config_interrupt(w->drv);
		break;
	case 4:
		vio_driver_intr_enable(w->drv, how >> 6 & 1);
		break;
	case 5:
		vio_driver_intr_disable(w->drv, how >> 6 & 1);
		break;
	case 6:
		vio_driver_interrupt(w->drv, how >> 6 & 1);
		break;
	default:
		vio_driver_tx_reap(w->drv, 0, BURST);
	}
}

static void step(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in);

	switch (what & 7) {
	case 0:
		scribble(w);
		break;
	case 1:
		scribble_buffer(w);
		break;
	case 2:
	case 3:
		device_receive(w);
		break;
	case 4:
		send(w);
		break;
	case 5:
		device_transmit(w);
		break;
	case 6:
		poll_driver(w, what);
		break;
	default:
		control(w, what);
	}
}

/* ---- A run -------------------------------------------------------------------------------- */

/* Made once: buffers of several sizes, the smallest too small for a whole frame. */
static void make_buffers(struct world *w)
{
	static const uint32_t rooms[] = { 2048, 96, 512 };

	w->mem = malloc(vio_mem_bytes(DMA_SLOTS + BUFFERS));
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct vio_buf *buf = &w->bufs[i];

		buf->size = VIO_BUF_HEADROOM + rooms[i % vio_array_size(rooms)];
		buf->mem = malloc(buf->size);
		buf->dma = BUFFERS_AT + i * BUFFER_GAP;
	}
}

static void begin(struct world *w)
{
	if (!w->mem)
		make_buffers(w);
	w->free = 0;
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct vio_buf *buf = &w->bufs[i];

		memset(buf->mem, 0, vio_min(buf->size, HEAD_SIZE));
		*buf = (struct vio_buf){ .mem = buf->mem, .dma = buf->dma, .size = buf->size };
		w->idle[i] = true;
		w->stack[w->free++] = buf;
	}
	w->host = *fuzz_host();
	w->host.ctx = w;
	w->host.dma_alloc = dma_alloc;
	w->host.dma_free = dma_free;
	w->host.now_ns = now_ns;
	w->host.relax = relax;
	w->now = 0;
	w->status = 0;
	w->t.ops = &transport_ops;
	/* What the device leaves out, so that a short input has everything. */
	w->offered = vio_features_andnot(vio_driver_known_features(),
					 vio_features_make(fuzz_uint(&w->in, 8), 0));
	vio_features_clear(&w->offered, VIO_NET_F_CTRL_VQ);
	memset(&w->config, 0, sizeof(w->config));
	if (fuzz_u8(&w->in) & 1)
		fuzz_copy(&w->in, &w->config, sizeof(w->config));
}

/* A driver with a queue of each direction, started. False when it did not come so far. */
static bool bring_up(struct world *w)
{
	const struct vio_driver_opts opts = { .want = vio_driver_known_features() };
	const struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	const uint32_t num = 2u << fuzz_u8(&w->in) % 5;
	const struct vio_rxq_conf rx = {
		.size = num,
		.alloc = take,
		.free = put,
		.receive = receive,
		.ctx = w,
	};
	const struct vio_txq_conf tx = { .size = num, .free = put, .ctx = w };
	struct vio_error err;

	if (vio_driver_probe(&w->t, &w->host, &opts, &w->drv, &err) < 0)
		return false;
	check(vio_driver_configure(w->drv, &conf, &err) == 0);
	check(vio_driver_rxq_configure(w->drv, 0, &rx, &err) == 0);
	check(vio_driver_txq_configure(w->drv, 0, &tx, &err) == 0);
	return vio_driver_start(w->drv, &err) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = &world;

	w->in = (struct fuzz_input){ data, size };
	begin(w);
	w->drv = NULL;
	if (bring_up(w))
		while (w->in.left > 0)
			step(w);
	vio_driver_release(w->drv);
	check(w->free == BUFFERS);
	for (unsigned i = 0; i < DMA_SLOTS; i++)
		check(!w->dma[i].p);
	return 0;
}
