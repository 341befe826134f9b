/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole paths in one thread, for callgrind: our driver on our device, in bursts of 32.
 *
 *	bench_path --count N [--path tx|rx|echo] [--mode MODE] [--no-mergeable] [--size BYTES]
 *		   [--level scalar|neon|avx2|avx512]
 *
 * tx: the driver sends, the device gives to `null`; rx: `source` gives to the device, the driver
 * receives; echo: the driver sends, `loop` sends back, the driver receives. MODE is split, packed,
 * split-in-order or packed-in-order. A level that the processor has not ends it with status 77.
 *
 * Two processes would poll, as often as chance has it, and no count would come out twice. Here the
 * device takes its turn when the driver has had its own, each turn moves one burst, and the same
 * program executes the same instructions each time. The transport between the halves is made of
 * calls: what a socket does happens before frames move, and kicks are off, as they are while both
 * sides poll. Buffers are translated as ever, from addresses of a guest to ours.
 *
 * Frames are written and read here, so that the share of the library can be told by source folder.
 */
#include <getopt.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vioduct/device_linux.h>
#include <vioduct/driver.h>
#include <vioduct/mem.h>

#include "base/bits.h"
#include "base/simd.h"
#include "driver/transport.h"

#define NUM	   1024u
#define BURST	   32u
#define BUFFERS	   4096u
#define ROOM	   2048u
#define GUEST_BASE UINT64_C(0x40000000)
#define GUEST_SIZE ((size_t)24 << 20)

/* Where a ring starts: 0; packed: both positions 0, both wrap counters 1 (virtio 1.4, 2.8.1). */
#define FRESH_PACKED_RING UINT32_C(0x80008000)

static const struct mode {
	const char *name;
	bool packed, in_order;
} modes[] = {
	{ "split", false, false },
	{ "packed", true, false },
	{ "split-in-order", false, true },
	{ "packed-in-order", true, true },
};

struct bench {
	const struct path *path;
	const struct mode *mode;
	bool mergeable;
	uint32_t size; /* bytes of each frame */
	uint64_t frames;

	struct vio_host host; /* the process's, with the guest's memory */
	uint8_t *guest;
	size_t guest_used;
	struct vio_mem *mem;
	struct vio_backend *be;
	struct vio_device *dev;
	struct vio_device_scratch *scratch;
	struct vio_driver_transport transport;
	struct vio_driver *drv;
	struct vio_pool *pool;
	uint64_t sum; /* keeps the reads from being optimised away */
};

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "bench_path: %s\n", what);
	exit(1);
}

static void need(int ret, const char *what, const struct vio_error *err)
{
	if (ret == 0)
		return;
	fprintf(stderr, "bench_path: %s: %s\n", what, err ? err->msg : strerror(-ret));
	exit(1);
}

/* ---- The guest's memory ---------------------------------------------------------------------- */

/* Given out once and never taken back. */
static void *dma_alloc(void *ctx, size_t size, size_t align, uint64_t *dma)
{
	struct bench *b = ctx;
	size_t at = vio_align_up(b->guest_used, align);

	if (at > GUEST_SIZE || size > GUEST_SIZE - at)
		return NULL;
	b->guest_used = at + size;
	*dma = GUEST_BASE + at;
	return b->guest + at;
}

static void dma_free(void *ctx, void *p, size_t size, uint64_t dma)
{
	(void)ctx;
	(void)p;
	(void)size;
	(void)dma;
}

static void *host_alloc(void *ctx, size_t size, size_t align)
{
	void *p = aligned_alloc(vio_max(align, (size_t)64),
				vio_align_up(size, vio_max(align, (size_t)64)));

	(void)ctx;
	return p ? memset(p, 0, size) : NULL;
}

static void host_free(void *ctx, void *p, size_t size)
{
	(void)ctx;
	(void)size;
	free(p);
}

static void open_memory(struct bench *b)
{
	struct vio_mem_region region = { .guest_addr = GUEST_BASE, .size = GUEST_SIZE };

	b->host = *vio_host_linux(VIO_LOG_ERROR);
	b->host.ctx = b;
	b->host.alloc = host_alloc;
	b->host.free = host_free;
	b->host.dma_alloc = dma_alloc;
	b->host.dma_free = dma_free;
	b->host.log = NULL;
	b->guest =
		mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->guest == MAP_FAILED)
		fail("no shared memory");
	region.host = b->guest;
	b->mem = host_alloc(b, vio_mem_bytes(1), 64);
	if (!b->mem || vio_mem_init(b->mem, &region, 1) < 0)
		fail("no region table");
}

/* ---- The transport: the driver's wishes, carried out on the device ---------------------------- */

static struct bench *bench_of(struct vio_driver_transport *t)
{
	return vio_container_of(t, struct bench, transport);
}

static int get_features(struct vio_driver_transport *t, struct vio_features *offered)
{
	*offered = vio_device_features(bench_of(t)->dev);
	return 0;
}

static int set_features(struct vio_driver_transport *t, struct vio_features accepted)
{
	return vio_device_set_driver_features(bench_of(t)->dev, accepted);
}

static int get_status(struct vio_driver_transport *t)
{
	return vio_device_status(bench_of(t)->dev);
}

static int set_status(struct vio_driver_transport *t, uint8_t status)
{
	vio_device_set_status(bench_of(t)->dev, status);
	return 0;
}

static int config_read(struct vio_driver_transport *t, uint32_t offset, void *buf, uint32_t len)
{
	vio_device_config_read(bench_of(t)->dev, offset, buf, len);
	return 0;
}

static int config_generation(struct vio_driver_transport *t)
{
	return vio_device_config_generation(bench_of(t)->dev);
}

static int queue_max(struct vio_driver_transport *t, unsigned queue)
{
	return (int)vio_device_queue_max(bench_of(t)->dev, queue);
}

static int queue_setup(struct vio_driver_transport *t, unsigned queue,
		       const struct vio_driver_ring *ring)
{
	struct bench *b = bench_of(t);
	struct vio_devq_setup setup = {
		.num = ring->num,
		.base = b->mode->packed ? FRESH_PACKED_RING : 0,
		.areas = { b->guest + (ring->desc - GUEST_BASE),
			   b->guest + (ring->driver - GUEST_BASE),
			   b->guest + (ring->device - GUEST_BASE) },
	};

	return vio_device_queue_start(b->dev, queue, &setup, b->mem);
}

static int queue_enable(struct vio_driver_transport *t, unsigned queue)
{
	return vio_device_queue_enable(bench_of(t)->dev, queue, true);
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
	return 0;
}

static void release(struct vio_driver_transport *t)
{
	(void)t;
}

static const struct vio_driver_transport_ops transport_ops = {
	.name = "call",
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

/* ---- Both halves ----------------------------------------------------------------------------- */

static void device_call(void *ctx, unsigned queue)
{
	(void)ctx;
	(void)queue;
}

static const struct vio_device_transport_ops device_ops = { .ctrl_elsewhere = true,
							    .call = device_call };

static void open_device(struct bench *b, const char *kind)
{
	struct vio_net_props props;
	struct vio_backend_config conf = { .pairs = 1, .mac = props.mac, .host = &b->host };
	struct vio_error err = { "" };
	char backend[64];

	vio_net_props_init(&props);
	memset(props.mac, 0, sizeof(props.mac));
	props.mac[0] = 2;
	snprintf(backend, sizeof(backend), strcmp(kind, "source") ? "%s" : "%s,size=%u", kind,
		 b->size);
	need(vio_backend_open(backend, &conf, &b->be, &err), "back end", &err);
	need(vio_device_create(&b->host, &props, b->be, &b->dev, &err), "device", &err);
	vio_device_set_transport(b->dev, &device_ops, b);
	b->scratch = vio_device_scratch_create(&b->host);
	if (!b->scratch)
		fail("out of memory");
}

static struct vio_features wanted(const struct bench *b)
{
	struct vio_features f = vio_driver_default_features();

	(b->mode->packed ? vio_features_set : vio_features_clear)(&f, VIO_F_RING_PACKED);
	(b->mode->in_order ? vio_features_set : vio_features_clear)(&f, VIO_F_IN_ORDER);
	(b->mergeable ? vio_features_set : vio_features_clear)(&f, VIO_NET_F_MRG_RXBUF);
	return f;
}

static void open_driver(struct bench *b)
{
	struct vio_driver_opts opts = { .want = wanted(b) };
	struct vio_driver_conf conf = { .nb_rx = 1, .nb_tx = 1 };
	struct vio_rxq_conf rx = { .size = NUM, .alloc = vio_pool_get, .free = vio_pool_put };
	struct vio_txq_conf tx = { .size = NUM, .free = vio_pool_put };
	struct vio_driver_info info;
	struct vio_error err = { "" };

	b->transport.ops = &transport_ops;
	need(vio_driver_probe(&b->transport, &b->host, &opts, &b->drv, &err), "driver", &err);
	vio_driver_get_info(b->drv, &info);
	if (vio_features_test(info.accepted, VIO_F_RING_PACKED) != b->mode->packed ||
	    vio_features_test(info.accepted, VIO_F_IN_ORDER) != b->mode->in_order ||
	    vio_features_test(info.accepted, VIO_NET_F_MRG_RXBUF) != b->mergeable)
		fail("the device does not offer this mode");
	need(vio_pool_create(&b->host, BUFFERS, ROOM, &b->pool), "pool", NULL);
	rx.ctx = tx.ctx = b->pool;
	need(vio_driver_configure(b->drv, &conf, &err), "driver", &err);
	need(vio_driver_rxq_configure(b->drv, 0, &rx, &err), "receive queue", &err);
	need(vio_driver_txq_configure(b->drv, 0, &tx, &err), "transmit queue", &err);
	need(vio_driver_start(b->drv, &err), "driver", &err);
}

static void start(struct bench *b)
{
	struct vio_sink *sink = vio_device_sink(b->dev, 0);

	need(b->be->ops->start(b->be, &sink, 1), "back end", NULL);
	vio_device_tx_kicks(b->dev, 0, false);
	vio_device_rx_kicks(b->dev, 0, false);
}

static void close_all(struct bench *b)
{
	vio_driver_release(b->drv);
	b->be->ops->stop(b->be);
	vio_pool_destroy(b->pool);
	vio_device_scratch_destroy(b->scratch);
	vio_device_destroy(b->dev);
	vio_backend_close(b->be);
	munmap(b->guest, GUEST_SIZE);
	free(b->mem);
}

/* ---- Turns, of one burst each ---------------------------------------------------------------- */

static void expect(int n)
{
	if (n != (int)BURST)
		fail("a burst was not moved whole");
}

/* By words, the last one whole: a call of memset() would be counted as the library's. */
static void write_frame(uint8_t *data, uint32_t size)
{
	volatile uint64_t *words = (volatile uint64_t *)(void *)data;
	uint32_t i;

	for (i = 0; i < size; i += 8)
		words[i / 8] = i;
}

static void send(struct bench *b)
{
	struct vio_buf *bufs[BURST];
	unsigned i;

	vio_driver_tx_reap(b->drv, 0, 2 * BURST);
	expect((int)vio_pool_get(b->pool, bufs, BURST));
	for (i = 0; i < BURST; i++) {
		bufs[i]->len = b->size;
		memset(&bufs[i]->meta, 0, sizeof(bufs[i]->meta));
		write_frame(vio_buf_data(bufs[i]), b->size);
	}
	expect(vio_driver_tx_burst(b->drv, 0, bufs, BURST));
}

static void receive(struct bench *b)
{
	struct vio_buf *bufs[BURST];
	unsigned i;

	expect(vio_driver_rx_burst(b->drv, 0, bufs, BURST));
	for (i = 0; i < BURST; i++) {
		if (bufs[i]->len != b->size)
			fail("a frame came in another size");
		b->sum += *vio_buf_data(bufs[i]);
	}
	vio_pool_put(b->pool, bufs, BURST);
}

static void turn_tx(struct bench *b)
{
	send(b);
	vio_device_begin(b->dev, 0, b->scratch);
	expect(vio_device_tx(b->dev, 0, BURST));
	vio_device_end(b->dev, 0);
}

static void turn_rx(struct bench *b)
{
	vio_device_begin(b->dev, 0, b->scratch);
	expect(b->be->ops->receive(b->be, 0, BURST));
	vio_device_end(b->dev, 0);
	receive(b);
}

static void turn_echo(struct bench *b)
{
	send(b);
	vio_device_begin(b->dev, 0, b->scratch);
	expect(vio_device_tx(b->dev, 0, BURST));
	expect(b->be->ops->receive(b->be, 0, BURST));
	vio_device_end(b->dev, 0);
	receive(b);
}

static const struct path {
	const char *name;
	const char *backend;
	void (*turn)(struct bench *b);
} paths[] = {
	{ "tx", "null", turn_tx },
	{ "rx", "source", turn_rx },
	{ "echo", "loop", turn_echo },
};

/* ---- The command line ------------------------------------------------------------------------ */

_Noreturn static void usage(void)
{
	fprintf(stderr,
		"usage: bench_path --count N [--path tx|rx|echo] [--mode split|packed|"
		"split-in-order|packed-in-order] [--no-mergeable] [--size 60..1514] [--level scalar|neon|avx2|avx512]\n");
	exit(2);
}

static const struct mode *find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < vio_array_size(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	usage();
}

static const struct path *find_path(const char *name)
{
	size_t i;

	for (i = 0; i < vio_array_size(paths); i++)
		if (strcmp(paths[i].name, name) == 0)
			return &paths[i];
	usage();
}

static void force_level(const char *name)
{
	enum vio_simd level;

	for (level = 0; level < VIO_SIMD_LEVELS; level++)
		if (strcmp(vio_simd_name(level), name) == 0)
			break;
	if (level == VIO_SIMD_LEVELS)
		usage();
	if (vio_simd_force(level) != level) {
		fprintf(stderr, "bench_path: this processor has no %s\n", name);
		exit(77);
	}
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "path", required_argument, NULL, 'p' },
		{ "mode", required_argument, NULL, 'm' },
		{ "no-mergeable", no_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		{ "level", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			b->frames = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			b->path = find_path(optarg);
			break;
		case 'm':
			b->mode = find_mode(optarg);
			break;
		case 'n':
			b->mergeable = false;
			break;
		case 's':
			b->size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'l':
			force_level(optarg);
			break;
		default:
			usage();
		}
	}
	if (optind < argc || b->frames == 0 || b->size < 60 || b->size > 1514)
		usage();
}

int main(int argc, char **argv)
{
	static struct bench b;
	uint64_t moved;

	b = (struct bench){ .path = &paths[0], .mode = &modes[0], .mergeable = true, .size = 64 };
	parse(&b, argc, argv);
	open_memory(&b);
	open_device(&b, b.path->backend);
	open_driver(&b);
	start(&b);
	for (moved = 0; moved < b.frames; moved += BURST)
		b.path->turn(&b);
	close_all(&b);
	return 0;
}
