/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/simd.h"

#define GUARD 4096u

static void *must(void *p, const char *what)
{
	if (p && p != MAP_FAILED)
		return p;
	fprintf(stderr, "ring_image: no %s\n", what);
	abort();
}

/* ---- Formats ------------------------------------------------------------------------------- */

#define MAX_TESTS 160

static const struct format {
	const char *name;
	uint64_t features;
} formats[] = {
	{ "split", 0 },
	{ "packed", RING_PACKED },
	{ "split, in order", RING_IN_ORDER },
	{ "packed, in order", RING_PACKED | RING_IN_ORDER },
};

int ring_run_tests(const struct ring_test *tests, size_t n)
{
	static char names[MAX_TESTS][96];
	static struct CMUnitTest all[MAX_TESTS];
	size_t i, f, count = 0;

	for (i = 0; i < n; i++)
		for (f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
			if (!(tests[i].formats & 1u << f))
				continue;
			if (count == MAX_TESTS)
				must(NULL, "room for so many tests");
			snprintf(names[count], sizeof(names[count]), "%s (%s)", tests[i].name,
				 formats[f].name);
			all[count].name = names[count];
			all[count].test_func = tests[i].run;
			all[count].initial_state = (void *)(uintptr_t)&formats[f].features;
			count++;
		}
	return _cmocka_run_group_tests(vio_simd_name(vio_simd_level()), all, count, NULL, NULL);
}

int ring_run_tests_at_levels(const struct ring_test *tests, size_t n)
{
	int failed = 0;

	for (unsigned level = 0; level < VIO_SIMD_LEVELS; level++) {
		if (vio_simd_force((enum vio_simd)level) != (enum vio_simd)level)
			continue;
		failed += ring_run_tests(tests, n);
	}
	return failed;
}

/* ---- The image ----------------------------------------------------------------------------- */

static char *open_region(void)
{
	char *p = must(mmap(NULL, IMAGE_REGION + 2 * GUARD, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		       "address space");

	if (mprotect(p + GUARD, IMAGE_REGION, PROT_READ | PROT_WRITE) != 0)
		must(NULL, "memory");
	return p + GUARD;
}

void image_open(struct ring_image *im, uint32_t num, uint64_t features)
{
	struct vio_vq_sizes sizes = vio_vq_area_sizes(num, features);
	struct vio_mem_region regions[2];

	memset(im, 0, sizeof(*im));
	im->num = num;
	im->features = features;
	im->packed = (features & RING_PACKED) != 0;
	im->in_order = (features & RING_IN_ORDER) != 0;
	im->low = open_region();
	im->high = open_region();
	regions[0] = (struct vio_mem_region){ IMAGE_BASE, IMAGE_REGION, 0, im->low };
	regions[1] = (struct vio_mem_region){ IMAGE_SEAM, IMAGE_REGION, 0, im->high };
	im->mem = must(malloc(vio_mem_bytes(2)), "memory");
	if (vio_mem_init(im->mem, regions, 2) != 0)
		must(NULL, "region table");
	im->areas.desc = im->low;
	im->areas.driver = im->low + ((sizes.desc + 63) & ~(size_t)63);
	im->areas.device = (char *)im->areas.driver + ((sizes.driver + 63) & ~(size_t)63);
	if (im->packed) {
		im->pdesc = im->areas.desc;
		im->driver_event = im->areas.driver;
		im->device_event = im->areas.device;
	} else {
		im->desc = im->areas.desc;
		im->avail = im->areas.driver;
		im->used = im->areas.device;
		im->used_event = &im->avail->ring[num];
		im->avail_event = (uint16_t *)(void *)&im->used->ring[num];
	}
	im->avail_at = im->used_at = (struct lap_pos){ 0, true };
	im->slots = must(calloc(65536, sizeof(*im->slots)), "memory");
	im->order = must(calloc(65536, sizeof(*im->order)), "memory");
	im->drv_storage = must(aligned_alloc(64, vio_drvq_bytes(num, features)), "driver storage");
	im->dev_storage = must(aligned_alloc(64, vio_devq_bytes(num, features)), "device storage");
}

void image_close(struct ring_image *im)
{
	munmap(im->low - GUARD, IMAGE_REGION + 2 * GUARD);
	munmap(im->high - GUARD, IMAGE_REGION + 2 * GUARD);
	free(im->mem);
	free(im->drv_storage);
	free(im->dev_storage);
	free(im->slots);
	free(im->order);
}

void image_driver_indirect(struct ring_image *im, uint64_t table, uint16_t max, uint16_t tables)
{
	struct vio_drvq_setup setup = { .num = im->num,
					.features = im->features,
					.areas = im->areas,
					.indirect = tables ? image_at(im, table) : NULL,
					.indirect_addr = table,
					.indirect_max = max,
					.indirect_tables = tables };

	if (vio_drvq_init(im->drv_storage, &setup, &im->drv) != 0)
		must(NULL, "driver queue");
}

void image_driver(struct ring_image *im)
{
	image_driver_indirect(im, 0, 0, 0);
}

void image_device(struct ring_image *im, uint32_t base)
{
	struct vio_devq_setup setup = {
		.num = im->num, .features = im->features, .areas = im->areas, .base = base
	};

	if (vio_devq_init(im->dev_storage, &setup, &im->dev) != 0)
		must(NULL, "device queue");
}

void image_device_fresh(struct ring_image *im)
{
	image_device(im, im->packed ? 0x80008000u : 0);
}

void *image_at(const struct ring_image *im, uint64_t addr)
{
	if (addr >= IMAGE_BASE && addr < IMAGE_SEAM)
		return im->low + (addr - IMAGE_BASE);
	if (addr >= IMAGE_SEAM && addr < IMAGE_END)
		return im->high + (addr - IMAGE_SEAM);
	return must(NULL, "such guest address");
}

static bool region_holds(const char *region, const char *p, size_t len)
{
	return p >= region && p <= region + IMAGE_REGION &&
	       len <= (size_t)(region + IMAGE_REGION - p);
}

bool image_holds(const struct ring_image *im, const void *p, size_t len)
{
	return region_holds(im->low, p, len) || region_holds(im->high, p, len);
}

/* ---- Places -------------------------------------------------------------------------------- */

static struct lap_pos forward(const struct ring_image *im, struct lap_pos at, uint32_t n)
{
	return lap_forward(at, n, im->num);
}

static bool is(const struct ring_image *im, struct lap_pos at, uint16_t bits)
{
	return (im->pdesc[at.off].flags & PACKED_OWNER) == bits;
}

static uint16_t encode(struct lap_pos at)
{
	return (uint16_t)(at.off | (at.wrap ? VIO_RING_EVENT_WRAP : 0u));
}

static void remember(struct ring_image *im, uint16_t id, unsigned slots)
{
	im->slots[id] = (uint16_t)slots;
	im->order[(uint16_t)im->posted++] = id;
}

/* ---- The driver by hand -------------------------------------------------------------------- */

void image_desc(struct ring_image *im, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	im->desc[i] = (struct vio_virtq_desc){ addr, len, flags, next };
}

void image_make_avail(struct ring_image *im, uint16_t head)
{
	im->avail->ring[im->next_avail % im->num] = head;
	im->avail->idx = ++im->next_avail;
}

static uint16_t post_split(struct ring_image *im, const struct vio_virtq_desc *d, unsigned n)
{
	uint16_t head = im->next_desc;
	unsigned i;

	for (i = 0; i < n; i++) {
		uint16_t at = im->next_desc;

		im->next_desc = (uint16_t)((at + 1u) % im->num);
		image_desc(im, at, d[i].addr, d[i].len,
			   (uint16_t)(d[i].flags | (i + 1 < n ? VIO_DESC_F_NEXT : 0)),
			   im->next_desc);
	}
	image_make_avail(im, head);
	return head;
}

/* The head's flags last. Only the last descriptor has an id. */
static uint16_t post_packed(struct ring_image *im, const struct vio_virtq_desc *d, unsigned n)
{
	struct lap_pos at = forward(im, im->avail_at, n);
	uint16_t id = (uint16_t)(im->avail_at.off + (im->posted & 1 ? 0x8000u : 0));
	unsigned i;

	for (i = n; i-- > 0;) {
		at = forward(im, im->avail_at, i);
		im->pdesc[at.off] = (struct vio_pvirtq_desc){
			d[i].addr, d[i].len, i + 1 < n ? 0xdead : id,
			(uint16_t)(d[i].flags | (i + 1 < n ? VIO_DESC_F_NEXT : 0) | lap_avail(at))
		};
	}
	im->avail_at = forward(im, im->avail_at, n);
	return id;
}

uint16_t image_post(struct ring_image *im, const struct vio_virtq_desc *d, unsigned n)
{
	uint16_t id = im->packed ? post_packed(im, d, n) : post_split(im, d, n);

	remember(im, id, n);
	return id;
}

uint16_t image_post_one(struct ring_image *im, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct vio_virtq_desc d = { addr, len, flags, 0 };

	return image_post(im, &d, 1);
}

/* How many buffers, and how many descriptors, a used element of @id is for. */
static unsigned batch_of(const struct ring_image *im, uint32_t id, unsigned *slots)
{
	unsigned n;

	*slots = im->slots[id & 0xffff];
	if (!im->in_order)
		return 1;
	for (n = 1, *slots = 0; n <= im->posted - im->returned; n++) {
		uint16_t oldest = im->order[(uint16_t)(im->returned + n - 1)];

		*slots += im->slots[oldest];
		if (oldest == id)
			return n;
	}
	return 0;
}

bool image_take_used(struct ring_image *im, struct image_used *used)
{
	unsigned slots;

	if (im->packed) {
		const struct vio_pvirtq_desc *d = &im->pdesc[im->used_at.off];

		if (!is(im, im->used_at, lap_used(im->used_at)))
			return false;
		*used = (struct image_used){ .id = d->id,
					     .len = d->len,
					     .write = (d->flags & VIO_DESC_F_WRITE) != 0 };
	} else {
		const struct vio_virtq_used_elem *e = &im->used->ring[im->next_used % im->num];

		if (im->used->idx == im->next_used)
			return false;
		*used = (struct image_used){ .id = e->id, .len = e->len, .write = true };
	}
	used->buffers = batch_of(im, used->id, &slots);
	im->next_used = (uint16_t)(im->next_used + used->buffers);
	im->used_at = forward(im, im->used_at, slots);
	im->returned += used->buffers;
	return true;
}

/* ---- The device by hand -------------------------------------------------------------------- */

static void add_desc(struct image_chain *chain, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (chain->n == IMAGE_MAX_DESCS)
		must(NULL, "room for such a chain");
	chain->d[chain->n++] = (struct vio_virtq_desc){ addr, len, flags & VIO_DESC_F_WRITE, 0 };
}

/* What a table of a packed ring may have in its entries is WRITE; a split one is linked in order. */
static void open_table(const struct ring_image *im, struct image_chain *chain, uint64_t addr,
		       uint32_t len)
{
	const struct vio_virtq_desc *table = image_at(im, addr);
	unsigned i, n = len / 16;

	chain->table = true;
	for (i = 0; i < n; i++) {
		const struct vio_pvirtq_desc *entry = (const void *)&table[i];

		if (im->packed ? (entry->flags & ~VIO_DESC_F_WRITE) != 0 :
				 (table[i].flags & VIO_DESC_F_NEXT) != (i + 1 < n) ||
					 (i + 1 < n && table[i].next != i + 1))
			must(NULL, "right flags in a table");
		add_desc(chain, table[i].addr, table[i].len,
			 im->packed ? entry->flags : table[i].flags);
	}
}

static void next_split(struct ring_image *im, struct image_chain *chain)
{
	const struct vio_virtq_desc *d;

	chain->id = im->avail->ring[im->next_avail++ % im->num];
	d = &im->desc[chain->id];
	for (;;) {
		chain->slots++;
		if (d->flags & VIO_DESC_F_INDIRECT)
			open_table(im, chain, d->addr, d->len);
		else
			add_desc(chain, d->addr, d->len, d->flags);
		if (!(d->flags & VIO_DESC_F_NEXT))
			break;
		d = &im->desc[d->next];
	}
}

static void next_packed(struct ring_image *im, struct image_chain *chain)
{
	const struct vio_pvirtq_desc *d;

	do {
		d = &im->pdesc[im->avail_at.off];
		if (!is(im, im->avail_at, lap_avail(im->avail_at)))
			must(NULL, "available descriptor in a list");
		chain->slots++;
		if (d->flags & VIO_DESC_F_INDIRECT)
			open_table(im, chain, d->addr, d->len);
		else
			add_desc(chain, d->addr, d->len, d->flags);
		im->avail_at = forward(im, im->avail_at, 1);
	} while (d->flags & VIO_DESC_F_NEXT);
	chain->id = d->id;
}

bool image_next_chain(struct ring_image *im, struct image_chain *chain)
{
	memset(chain, 0, sizeof(*chain));
	if (im->packed ? !is(im, im->avail_at, lap_avail(im->avail_at)) :
			 im->avail->idx == im->next_avail)
		return false;
	if (im->packed)
		next_packed(im, chain);
	else
		next_split(im, chain);
	remember(im, chain->id, chain->slots);
	return true;
}

unsigned image_take_all(struct ring_image *im)
{
	struct image_chain chain;
	unsigned n = 0;

	while (image_next_chain(im, &chain))
		n++;
	return n;
}

static void write_used(struct ring_image *im, uint32_t id, uint32_t len, unsigned buffers,
		       unsigned slots)
{
	if (im->packed) {
		im->pdesc[im->used_at.off].id = (uint16_t)id;
		im->pdesc[im->used_at.off].len = len;
		im->pdesc[im->used_at.off].flags =
			(uint16_t)(lap_used(im->used_at) | (len ? VIO_DESC_F_WRITE : 0));
		im->used_at = forward(im, im->used_at, slots);
	} else {
		im->used->ring[im->next_used % im->num] = (struct vio_virtq_used_elem){ id, len };
		im->next_used = (uint16_t)(im->next_used + buffers);
		im->used->idx = im->next_used;
	}
	im->returned += buffers;
}

void image_make_used(struct ring_image *im, uint32_t id, uint32_t len)
{
	unsigned slots = im->slots[id & 0xffff];

	write_used(im, id, len, 1, slots ? slots : 1);
}

void image_make_used_batch(struct ring_image *im, uint32_t id, uint32_t len, unsigned buffers)
{
	unsigned slots;

	if (batch_of(im, id, &slots) != buffers)
		must(NULL, "such a batch");
	write_used(im, id, len, buffers, slots);
}

/* ---- Events -------------------------------------------------------------------------------- */

static void want(struct vio_pvirtq_event *event, bool on)
{
	event->flags = on ? VIO_RING_EVENT_ENABLE : VIO_RING_EVENT_DISABLE;
}

static void want_at(const struct ring_image *im, struct vio_pvirtq_event *event, struct lap_pos at,
		    int ahead)
{
	at = forward(im, at, (uint32_t)(ahead + 2 * (int)im->num));
	event->desc = encode(at);
	event->flags = VIO_RING_EVENT_DESC;
}

void image_want_calls(struct ring_image *im, bool on)
{
	if (im->packed)
		want(im->driver_event, on);
	else
		im->avail->flags = on ? 0 : VIO_VIRTQ_AVAIL_F_NO_INTERRUPT;
}

void image_want_kicks(struct ring_image *im, bool on)
{
	if (im->packed)
		want(im->device_event, on);
	else
		im->used->flags = on ? 0 : VIO_VIRTQ_USED_F_NO_NOTIFY;
}

void image_want_call_at(struct ring_image *im, int ahead)
{
	if (im->packed)
		want_at(im, im->driver_event, im->used_at, ahead);
	else
		*im->used_event = (uint16_t)(im->next_used + ahead);
}

void image_want_kick_at(struct ring_image *im, int ahead)
{
	if (im->packed)
		want_at(im, im->device_event, im->avail_at, ahead);
	else
		*im->avail_event = (uint16_t)(im->next_avail + ahead);
}

static bool would(const struct ring_image *im, const struct vio_pvirtq_event *event,
		  struct lap_pos at, unsigned n)
{
	if (event->flags != VIO_RING_EVENT_DESC)
		return event->flags == VIO_RING_EVENT_ENABLE && n > 0;
	for (; n > 0; n--, at = forward(im, at, 1))
		if (encode(at) == event->desc)
			return true;
	return false;
}

bool image_would_call(const struct ring_image *im, unsigned n)
{
	if (im->packed)
		return would(im, im->driver_event, im->used_at, n);
	if (!(im->features & RING_EVENT_IDX))
		return im->avail->flags == 0 && n > 0;
	return (uint16_t)(*im->used_event - im->next_used) < n;
}

bool image_would_kick(const struct ring_image *im, unsigned n)
{
	if (im->packed)
		return would(im, im->device_event, im->avail_at, n);
	if (!(im->features & RING_EVENT_IDX))
		return im->used->flags == 0 && n > 0;
	return (uint16_t)(*im->avail_event - im->next_avail) < n;
}

/* ---- Watching ------------------------------------------------------------------------------ */

void *image_snapshot(const struct ring_image *im)
{
	char *copy = must(malloc(2 * IMAGE_REGION), "memory");

	memcpy(copy, im->low, IMAGE_REGION);
	memcpy(copy + IMAGE_REGION, im->high, IMAGE_REGION);
	return copy;
}

bool image_unchanged(const struct ring_image *im, void *snapshot)
{
	bool same = memcmp(snapshot, im->low, IMAGE_REGION) == 0 &&
		    memcmp((char *)snapshot + IMAGE_REGION, im->high, IMAGE_REGION) == 0;

	free(snapshot);
	return same;
}
