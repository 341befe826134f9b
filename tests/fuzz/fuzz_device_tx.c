/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that sends, or pretends to.
 *
 * The guest has memory in three regions, which touch in its addresses and are allocations of their
 * own in ours. It adds buffers through the driver side of the ring, so that each format is written
 * as it ought to be, but with any addresses and lengths; and it writes any bytes to any place of its
 * memory, rings and net headers included, also between two turns of the device, which may have
 * stopped in the middle of a frame.
 *
 * The back end takes as much as the input says, and lacks most offloads, so that checksums and
 * segments are made. What it is given must be a frame: as long as its pieces together, each piece
 * in guest memory or in the private headers of the device, and asking for nothing that the back end
 * said it can't do.
 */
#include "fuzz.h"

#include <errno.h>

#include <vioduct/device.h>
#include <vioduct/features.h>
#include <vioduct/mem.h>
#include <vioduct/ring.h>

#include "device/device.h"

#define REGIONS	     3
#define REGION_SIZE  0x3000u
#define MEMORY	     (REGIONS * REGION_SIZE)
#define GUEST	     UINT64_C(0x100000000)
#define NUM_MAX	     128u
#define PIECES_MAX   12
#define TABLES	     8
#define TURN_MAX     48
#define SENDS_MAX    4096 /* frames that the back end looks at in a run; it is busy afterwards */
#define TRANSMIT     1
#define FRAMES_PLACE (2 * REGION_SIZE - 64) /* where whole frames are put: across a border */

struct world {
	struct vio_backend be;
	struct fuzz_input in;
	uint8_t *region[REGIONS];
	struct vio_mem *mem;
	struct vio_device *dev;
	struct vio_device_scratch *scratch;
	struct vio_vq_areas areas;
	struct vio_drvq *drv;
	void *storage;
	uint32_t num;
	uint32_t caps;
	unsigned sends;
	bool failed_sends;
};

static struct world *world_of(struct vio_backend *be)
{
	return vio_container_of(be, struct world, be);
}

/* ---- The back end ------------------------------------------------------------------------- */

static bool lies_in(const void *p, size_t len, const void *area, size_t size)
{
	uintptr_t at = (uintptr_t)p, from = (uintptr_t)area;

	return at >= from && len <= size && at - from <= size - len;
}

static void check_piece(const struct world *w, const struct vio_iov *piece)
{
	bool known = lies_in(piece->base, piece->len, w->scratch, sizeof(*w->scratch));

	for (unsigned i = 0; i < REGIONS; i++)
		known |= lies_in(piece->base, piece->len, w->region[i], REGION_SIZE);
	check(known);
	fuzz_touch(piece->base, piece->len);
}

/* The offload that a GSO type needs. */
static uint32_t offload_of(uint8_t gso_type)
{
	switch (gso_type & VIO_NET_HDR_GSO_BASE_MASK) {
	case VIO_NET_HDR_GSO_NONE:
		return 0;
	case VIO_NET_HDR_GSO_TCPV4:
		return VIO_OFFLOAD_TSO4;
	case VIO_NET_HDR_GSO_TCPV6:
		return VIO_OFFLOAD_TSO6;
	case VIO_NET_HDR_GSO_UDP:
		return VIO_OFFLOAD_UFO;
	default:
		return VIO_OFFLOAD_USO4;
	}
}

static void check_frame(const struct world *w, const struct vio_frame *f)
{
	size_t len = 0;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		check_piece(w, &f->iov[i]);
		len += f->iov[i].len;
	}
	check(len == f->len);
	check(f->len >= VIO_ETH_MIN_LEN && f->len <= VIO_FRAME_MAX_LEN);
	fuzz_check_meta(&f->meta, f->len);
	check((offload_of(f->meta.gso_type) & ~w->caps) == 0);
	if (f->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM)
		check(w->caps & VIO_OFFLOAD_CSUM);
	f->iov[-1] = (struct vio_iov){ NULL, 0 };
}

/* Takes all, some, none, or fails. */
static int backend_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct world *w = world_of(be);
	uint8_t verdict = fuzz_u8(&w->in);

	check(pair == 0 && n > 0);
	for (unsigned i = 0; i < n; i++)
		check_frame(w, &frames[i]);
	w->sends += n;
	if (w->sends > SENDS_MAX)
		return 0;
	switch (verdict & 7) {
	case 1:
		return 0;
	case 2:
		w->failed_sends = true;
		return -EIO;
	case 3:
		return (int)(1 + (verdict >> 3) % n);
	default:
		return (int)n;
	}
}

static const struct vio_backend_ops backend_ops = { .kind = "fuzz", .send = backend_send };

/* ---- The guest ---------------------------------------------------------------------------- */

/* Writes to guest memory from @at on, which wraps at its end. */
static void guest_write(struct world *w, uint32_t at, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t place = (uint32_t)((at + i) % MEMORY);

		w->region[place / REGION_SIZE][place % REGION_SIZE] = bytes[i];
	}
}

static void scribble(struct world *w)
{
	uint32_t at = fuzz_u16(&w->in);
	uint8_t bytes[32];

	guest_write(w, at, bytes, fuzz_copy(&w->in, bytes, 1 + fuzz_u8(&w->in) % sizeof(bytes)));
}

/* A piece somewhere in memory or, now and then, anywhere. */
static struct vio_seg any_piece(struct world *w)
{
	uint16_t at = fuzz_u16(&w->in);
	uint32_t len = 1u + fuzz_u16(&w->in);

	if (at < 0xff00)
		return (struct vio_seg){ GUEST + at % MEMORY, vio_min(len, MEMORY - at % MEMORY) };
	return (struct vio_seg){ fuzz_uint(&w->in, 8), len };
}

static void add(struct world *w, const struct vio_seg *segs, unsigned n, unsigned in)
{
	struct vio_drvq_buf buf = {
		.segs = segs,
		.out_num = (uint16_t)(n - in),
		.in_num = (uint16_t)in,
		.token = w,
	};

	vio_drvq_add_burst(w->drv, &buf, 1);
	vio_drvq_publish(w->drv);
}

static void add_any(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);
	unsigned n = 1 + how % PIECES_MAX;
	struct vio_seg segs[PIECES_MAX];

	for (unsigned i = 0; i < n; i++)
		segs[i] = any_piece(w);
	/* The device finds nothing to write in a transmit buffer, but a guest may offer it. */
	add(w, segs, n, how > 240 ? 1 : 0);
}

/* A frame with headers that can be cut, and payload from anywhere behind them. */
static void add_frame(struct world *w)
{
	uint32_t hs = (uint32_t)vio_net_hdr_size(vio_device_driver_features(w->dev)), len;
	uint8_t bytes[VIO_NET_HDR_SIZE_MAX + FUZZ_HEADERS_MAX];
	struct vio_seg segs[PIECES_MAX];
	struct vio_net_meta meta;
	unsigned n = 2 + fuzz_u8(&w->in) % (PIECES_MAX - 2);
	uint32_t at = FRAMES_PLACE + fuzz_u8(&w->in);

	len = hs + fuzz_headers(&w->in, bytes + hs, &meta);
	vio_net_hdr_encode(bytes, hs, false, &meta);
	guest_write(w, at, bytes, len);
	segs[0] = (struct vio_seg){ GUEST + at, len };
	for (unsigned i = 1; i < n; i++)
		segs[i] = any_piece(w);
	add(w, segs, n, 0);
}

static void reap(struct world *w)
{
	struct vio_drvq_done done[16];
	int n = vio_drvq_reap_burst(w->drv, done, vio_array_size(done));

	for (int i = 0; i < n; i++)
		check(done[i].token == w);
}

/* ---- The device --------------------------------------------------------------------------- */

static uint64_t accounted(const struct world *w)
{
	struct vio_queue_stats stats;
	uint64_t sum;

	vio_device_queue_stats(w->dev, TRANSMIT, &stats);
	sum = stats.packets;
	for (unsigned i = 0; i < VIO_DROP_NR; i++)
		sum += stats.drops[i];
	return sum;
}

/* Every buffer that is completed was sent or dropped for a reason. */
static void turn(struct world *w)
{
	unsigned budget = 1 + fuzz_u8(&w->in) % TURN_MAX;
	uint64_t before = accounted(w), counted;
	int ret;

	w->failed_sends = false;
	vio_device_begin(w->dev, 0, w->scratch);
	ret = vio_device_tx(w->dev, 0, budget);
	vio_device_end(w->dev, 0);
	check(ret >= 0 || ret == -EAGAIN || ret == -EPROTO);
	if (ret == -EPROTO)
		check(vio_device_queue_error(w->dev, TRANSMIT) != VIO_VQ_OK);
	counted = accounted(w) - before;
	check(ret <= (int)budget);
	if (w->failed_sends)
		check(counted >= (uint64_t)vio_max(ret, 0));
	else
		check(counted == (uint64_t)vio_max(ret, 0));
}

static void start(struct world *w, uint32_t base)
{
	struct vio_devq_setup setup = { .num = w->num, .areas = w->areas, .base = base };

	check(vio_device_queue_start(w->dev, TRANSMIT, &setup, w->mem) == 0);
}

/* As a guest does that is moved: the ring goes on where it stood. */
static void restart(struct world *w)
{
	uint32_t base = 0;

	check(vio_device_queue_stop(w->dev, TRANSMIT, &base) == 0);
	start(w, base);
}

static void step(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in);

	switch (what & 7) {
	case 0:
		scribble(w);
		break;
	case 1:
		add_any(w);
		break;
	case 2:
	case 3:
		add_frame(w);
		break;
	case 4:
		reap(w);
		break;
	case 5:
		if (what & 8)
			vio_device_set_link(w->dev, what & 16);
		else if (what & 32)
			vio_device_queue_enable(w->dev, TRANSMIT, what & 16);
		else if (what & 64)
			restart(w);
		else
			vio_device_tx_kicks(w->dev, 0, what & 16);
		break;
	default:
		turn(w);
	}
}

/* ---- A run -------------------------------------------------------------------------------- */

static void create_device(struct world *w)
{
	static const uint32_t caps[] = { 0, 0, VIO_OFFLOAD_CSUM,
					 VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_UFO };
	struct vio_features accepted;
	struct vio_net_props props;
	struct vio_error err;

	w->caps = caps[fuzz_u8(&w->in) % vio_array_size(caps)];
	w->be.ops = &backend_ops;
	w->be.caps = (struct vio_backend_caps){
		.tx_offloads = w->caps,
		.max_pairs = 1,
		.send_burst = 32,
	};
	vio_net_props_init(&props);
	check(vio_device_create(fuzz_host(), &props, &w->be, &w->dev, &err) == 0);
	/* What the guest leaves out, so that a short input has everything. */
	accepted = vio_features_andnot(vio_device_features(w->dev),
				       vio_features_make(fuzz_uint(&w->in, 8), 0));
	accepted = vio_features_close(accepted);
	check(vio_device_set_driver_features(w->dev, accepted) == 0);
}

/* Rings at the beginning of memory, and indirect tables behind them. */
static void create_ring(struct world *w)
{
	uint64_t features = vio_device_driver_features(w->dev).w[0];
	struct vio_drvq_setup setup = { .features = features };
	struct vio_vq_sizes sizes;
	size_t at = 0;

	w->num = NUM_MAX >> fuzz_u8(&w->in) % 8;
	sizes = vio_vq_area_sizes(w->num, features);
	w->areas.desc = w->region[0];
	at = vio_align_up(sizes.desc, sizes.driver_align);
	w->areas.driver = w->region[0] + at;
	at = vio_align_up(at + sizes.driver, sizes.device_align);
	w->areas.device = w->region[0] + at;
	at = vio_align_up(at + sizes.device, 16);
	setup.num = w->num;
	setup.areas = w->areas;
	if (features & vio_feature(VIO_F_INDIRECT_DESC)) {
		setup.indirect = w->region[0] + at;
		setup.indirect_addr = GUEST + at;
		setup.indirect_max = PIECES_MAX;
		setup.indirect_tables = TABLES;
	}
	w->storage = aligned_alloc(64, vio_align_up(vio_drvq_bytes(w->num, features), 64));
	check(vio_drvq_init(w->storage, &setup, &w->drv) == 0);
	start(w, features & vio_feature(VIO_F_RING_PACKED) ? 0x80008000 : 0);
}

static void create_memory(struct world *w)
{
	struct vio_mem_region regions[REGIONS];

	for (unsigned i = 0; i < REGIONS; i++) {
		w->region[i] = aligned_alloc(64, REGION_SIZE);
		regions[i] = (struct vio_mem_region){
			.guest_addr = GUEST + i * REGION_SIZE,
			.size = REGION_SIZE,
			.host = w->region[i],
		};
	}
	w->mem = malloc(vio_mem_bytes(REGIONS));
	check(vio_mem_init(w->mem, regions, REGIONS) == 0);
	w->scratch = vio_device_scratch_create(fuzz_host());
	check(w->scratch != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world; /* its memory is made once */
	struct world *w = &world;

	if (!w->mem)
		create_memory(w);
	for (unsigned i = 0; i < REGIONS; i++)
		memset(w->region[i], 0, REGION_SIZE);
	w->in = (struct fuzz_input){ data, size };
	w->sends = 0;
	create_device(w);
	create_ring(w);
	while (w->in.left > 0)
		step(w);
	turn(w);
	vio_device_queue_stop(w->dev, TRANSMIT, NULL);
	vio_device_destroy(w->dev);
	free(w->storage);
	return 0;
}
