/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rings alone: how fast two cores hand 64-byte frames through a virtqueue, with nothing above
 * it, beside the bare limit: the same frames through flags, one a burst.
 *
 *	bench_ring [--rounds N] [--frames N] [--mode MODE]
 *						two pinned threads; Mpps, medians and spread
 *	bench_ring --count N [--mode MODE] [--shuffle] [--pieces 1|2] [--in]
 *						one thread, ring work only, for callgrind
 *	--level scalar|neon|avx2|avx512		not the best that the processor has
 *
 * MODE is split, packed, split-in-order or packed-in-order; split unless said for --count, else all.
 *
 * Figures of different machines, or of different moments of one, say nothing; those of one run do:
 * the rounds of the rows are interleaved. Each round is timed in slices, of which the median and the
 * 90th percentile are shown: the latter is what two cores do while nobody else wants them.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vioduct/mem.h>
#include <vioduct/ring.h>
#include <vioduct/virtio.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/simd.h"

#define NUM	   1024u
#define BURST	   32u
#define FRAME	   64u
#define STRIDE	   2112u /* an odd number of cache lines: spreads over the cache sets */
#define LIMIT_NUM  2048u
#define SLICE	   16384u /* frames */
#define MAX_ROUNDS 99
#define MAX_SLICES (1u << 17) /* of a row in all rounds */

#define RING_BYTES (64u << 10)
#define DATA_BYTES ((size_t)LIMIT_NUM * STRIDE)
#define GUEST_BASE 0x40000000u

#define EVENT_IDX (UINT64_C(1) << VIO_F_EVENT_IDX)
#define PACKED	  (UINT64_C(1) << VIO_F_RING_PACKED)
#define IN_ORDER  (UINT64_C(1) << VIO_F_IN_ORDER)

static const struct mode {
	const char *name;
	uint64_t features;
} modes[] = {
	{ "split", 0 },
	{ "packed", PACKED },
	{ "split-in-order", IN_ORDER },
	{ "packed-in-order", PACKED | IN_ORDER },
};

/* Everything that both sides of a round need. */
struct bench {
	char *shared; /* ring, then data */
	char *data;
	struct vio_mem *mem;
	struct vio_drvq *drv;
	struct vio_devq *dev;
	void *drv_storage, *dev_storage;
	uint64_t frames;  /* of a round */
	uint64_t mark;	  /* when the slice under way began */
	uint64_t mark_at; /* how many frames end it */
	double *slices;	  /* Mpps of each; of the row under way */
	size_t nr_slices;
	uint64_t checksum; /* keeps the reads from being optimised away */
};

static void fail(const char *what)
{
	fprintf(stderr, "bench_ring: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *allocate(size_t size)
{
	void *p = aligned_alloc(64, vio_align_up(size, 64));

	if (!p)
		fail("out of memory");
	return p;
}

static void bench_init(struct bench *b)
{
	struct vio_mem_region region = { .guest_addr = GUEST_BASE,
					 .size = RING_BYTES + DATA_BYTES };

	b->shared = mmap(NULL, region.size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b->shared == MAP_FAILED)
		fail("no shared memory");
	b->data = b->shared + RING_BYTES;
	region.host = b->shared;
	b->mem = allocate(vio_mem_bytes(1));
	if (vio_mem_init(b->mem, &region, 1) < 0)
		fail("no region table");
	b->drv_storage = allocate(vio_max(vio_drvq_bytes(NUM, 0), vio_drvq_bytes(NUM, PACKED)));
	b->dev_storage = allocate(vio_max(vio_devq_bytes(NUM, 0), vio_devq_bytes(NUM, PACKED)));
}

/* An empty ring, the areas a page or more and an odd number of lines apart. */
static void ring_init(struct bench *b, uint64_t features)
{
	struct vio_vq_areas areas = { b->shared, b->shared + (20u << 10) + 64,
				      b->shared + (28u << 10) + 192 };
	struct vio_drvq_setup drv = { .num = NUM, .features = features, .areas = areas };
	struct vio_devq_setup dev = { .num = NUM,
				      .features = features,
				      .areas = areas,
				      .base = features & PACKED ? 0x80008000 : 0 };

	memset(b->shared, 0, RING_BYTES);
	if (vio_drvq_init(b->drv_storage, &drv, &b->drv) < 0 ||
	    vio_devq_init(b->dev_storage, &dev, &b->dev) < 0)
		fail("no ring");
}

static uint64_t guest(const struct bench *b, const void *p)
{
	return GUEST_BASE + (uint64_t)((const char *)p - b->shared);
}

static void frame_write(void *frame, uint64_t value)
{
	uint64_t *word = frame;
	unsigned i;

	for (i = 0; i < FRAME / 8; i++)
		word[i] = value + i;
}

static uint64_t frame_read(const void *frame)
{
	uint64_t copy[FRAME / 8];
	uint64_t sum = 0;
	unsigned i;

	memcpy(copy, frame, FRAME);
	for (i = 0; i < FRAME / 8; i++)
		sum ^= copy[i];
	return sum;
}

/* Says that @frames have gone over in this round. */
static inline void mark(struct bench *b, uint64_t frames)
{
	uint64_t now;

	if (vio_likely(frames < b->mark_at))
		return;
	now = now_ns();
	/* The first slice fills caches. */
	if (b->mark && b->nr_slices < MAX_SLICES)
		b->slices[b->nr_slices++] =
			(double)(frames - b->mark_at + SLICE) * 1e3 / (double)(now - b->mark);
	b->mark = now;
	b->mark_at = frames + SLICE;
}

/* ---- Two threads ------------------------------------------------------------------------- */

/* The pieces of a burst, filled once: only the addresses change. */
struct burst {
	struct vio_seg segs[BURST];
	bool in;
};

static void burst_init(struct burst *burst, bool in)
{
	unsigned i;

	burst->in = in;
	for (i = 0; i < BURST; i++)
		burst->segs[i].len = FRAME;
}

static void post(struct bench *b, struct burst *burst, char **frames, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		burst->segs[i].addr = guest(b, frames[i]);
	if (vio_drvq_add_singles(b->drv, burst->segs, (void *const *)frames, n, burst->in) !=
	    (int)n)
		fail("ring refused buffers");
}

/* Driver to device: the driver writes frames and sends them. */
static void drive_tx(struct bench *b)
{
	static char *idle[NUM]; /* frames in order: taken at head, returned at tail */
	struct vio_drvq_done done[BURST];
	struct burst burst;
	uint64_t sent = 0, reaped = 0;
	unsigned i;

	burst_init(&burst, false);
	for (i = 0; i < NUM; i++)
		idle[i] = b->data + (size_t)i * STRIDE;
	while (reaped < b->frames) {
		int n = vio_drvq_reap_burst(b->drv, done, BURST);

		for (i = 0; (int)i < n; i++)
			idle[(reaped + i) % NUM] = done[i].token;
		reaped += (unsigned)n;
		mark(b, reaped);
		if (sent == b->frames || sent - reaped > NUM - BURST) {
			if (n == 0)
				vio_cpu_relax();
			continue;
		}
		for (i = 0; i < BURST; i++)
			vio_prefetch_write(idle[(sent + i) % NUM]);
		/* Nothing is sent before publish: the lines come while descriptors are made. */
		post(b, &burst, &idle[sent % NUM], BURST);
		for (i = 0; i < BURST; i++)
			frame_write(idle[(sent + i) % NUM], sent + i);
		sent += BURST;
		vio_drvq_publish(b->drv);
	}
}

static void device_rx(struct bench *b)
{
	struct vio_chain chains[BURST];
	struct vio_iov iov[2 * BURST];
	uint64_t sum = 0, got = 0;
	int i;

	while (got < b->frames) {
		int n = vio_devq_pop_burst(b->dev, b->mem, chains, BURST, iov, 2 * BURST);

		if (n <= 0) {
			vio_cpu_relax();
			continue;
		}
		for (i = 0; i < n; i++)
			vio_prefetch_read(chains[i].iov->base);
		for (i = 0; i < n; i++)
			sum += frame_read(chains[i].iov->base);
		vio_devq_push_burst(b->dev, chains, (unsigned)n);
		vio_devq_publish(b->dev);
		got += (unsigned)n;
	}
	b->checksum += sum;
}

/* Device to driver: the device writes frames into what the driver posted. */
static void drive_rx(struct bench *b)
{
	struct vio_drvq_done done[BURST];
	char *frames[BURST];
	struct burst burst;
	uint64_t sum = 0, got = 0;
	unsigned i, j, spare = 0;

	burst_init(&burst, true);
	for (j = 0; j < NUM; j += BURST) {
		for (i = 0; i < BURST; i++)
			frames[i] = b->data + (size_t)(j + i) * STRIDE;
		post(b, &burst, frames, BURST);
	}
	vio_drvq_publish(b->drv);
	while (got < b->frames) {
		int n = vio_drvq_reap_burst(b->drv, done, BURST);

		if (n <= 0) {
			vio_cpu_relax();
			continue;
		}
		/* While these come, the buffers read before are posted again. */
		for (i = 0; (int)i < n; i++)
			vio_prefetch_read(done[i].token);
		post(b, &burst, frames, spare);
		vio_drvq_publish(b->drv);
		spare = (unsigned)n;
		for (i = 0; i < spare; i++) {
			frames[i] = done[i].token;
			sum += frame_read(frames[i]);
		}
		got += (unsigned)n;
		mark(b, got);
	}
	b->checksum += sum;
}

/* Fills the @n buffers of a burst and returns them. */
static void fill(struct bench *b, struct vio_chain *chains, int n, uint64_t sent)
{
	int i;

	for (i = 0; i < n; i++)
		vio_prefetch_write(chains[i].iov->base);
	for (i = 0; i < n; i++) {
		frame_write(chains[i].iov->base, sent + (unsigned)i);
		chains[i].written = FRAME;
	}
	vio_devq_push_burst(b->dev, chains, (unsigned)n);
	vio_devq_publish(b->dev);
}

/* The next burst is taken before this one is filled: its lines come meanwhile. */
static void device_tx(struct bench *b)
{
	struct vio_chain chains[2][BURST];
	struct vio_iov iov[2][2 * BURST];
	unsigned now = 0;
	uint64_t sent = 0;
	int n = 0;

	while (sent < b->frames) {
		int next = vio_devq_pop_burst(b->dev, b->mem, chains[!now], BURST, iov[!now],
					      2 * BURST);

		if (n > 0)
			fill(b, chains[now], n, sent);
		else if (next <= 0)
			vio_cpu_relax();
		sent += (unsigned)n;
		n = vio_max(next, 0);
		now = !now;
	}
}

/* The limit: a flag for each burst says whose it is. */
static struct {
	alignas(128) uint32_t full;
} flags[LIMIT_NUM / BURST];

static void limit_send(struct bench *b)
{
	uint64_t sent;
	unsigned i;

	for (sent = 0; sent < b->frames; sent += BURST) {
		char *frame = b->data + sent % LIMIT_NUM * STRIDE;
		uint32_t *full = &flags[sent % LIMIT_NUM / BURST].full;

		for (i = 0; i < BURST; i++)
			vio_prefetch_write(frame + (size_t)i * STRIDE);
		while (vio_load_acquire(full))
			vio_cpu_relax();
		for (i = 0; i < BURST; i++)
			frame_write(frame + (size_t)i * STRIDE, sent + i);
		vio_store_release(full, 1);
		mark(b, sent + BURST);
	}
}

static void limit_receive(struct bench *b)
{
	uint64_t got, sum = 0;
	unsigned i;

	for (got = 0; got < b->frames; got += BURST) {
		char *frame = b->data + got % LIMIT_NUM * STRIDE;
		uint32_t *full = &flags[got % LIMIT_NUM / BURST].full;

		while (!vio_load_acquire(full))
			vio_cpu_relax();
		for (i = 0; i < BURST; i++)
			sum += frame_read(frame + (size_t)i * STRIDE);
		vio_store_release(full, 0);
	}
	b->checksum += sum;
}

static const struct row {
	const char *name;
	uint64_t features;
	void (*driver)(struct bench *b);
	void (*device)(struct bench *b);
	bool ring;
} rows[] = {
	{ "driver to device", 0, drive_tx, device_rx, true },
	{ "driver to device, event index", EVENT_IDX, drive_tx, device_rx, true },
	{ "device to driver", 0, drive_rx, device_tx, true },
	{ "device to driver, event index", EVENT_IDX, drive_rx, device_tx, true },
	{ "bare limit", 0, limit_send, limit_receive, false },
};

/* A row in a mode: what is measured. */
struct cell {
	const struct row *row;
	const struct mode *mode; /* NULL: no ring */
	double *slices;
	size_t nr_slices;
};

#define MAX_CELLS (vio_array_size(rows) * vio_array_size(modes))

struct half {
	struct bench *b;
	const struct row *row;
	pthread_barrier_t *start;
};

static void *device_thread(void *arg)
{
	struct half *half = arg;

	pin(1);
	pthread_barrier_wait(half->start);
	half->row->device(half->b);
	return NULL;
}

/* One round of @cell. */
static void run(struct bench *b, struct cell *cell)
{
	const struct row *row = cell->row;
	pthread_barrier_t start;
	struct half half = { b, row, &start };
	pthread_t thread;

	ring_init(b, row->features | (cell->mode ? cell->mode->features : 0));
	b->slices = cell->slices;
	b->nr_slices = cell->nr_slices;
	memset(flags, 0, sizeof(flags));
	b->mark = 0;
	b->mark_at = SLICE;
	pthread_barrier_init(&start, NULL, 2);
	if (pthread_create(&thread, NULL, device_thread, &half) != 0)
		fail("no thread");
	pin(0);
	pthread_barrier_wait(&start);
	row->driver(b);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&start);
	cell->nr_slices = b->nr_slices;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Every row in @only, or with NULL in every mode; those without a ring once. */
static size_t list_cells(struct cell *cells, const struct mode *only)
{
	size_t i, m, n = 0;

	for (i = 0; i < vio_array_size(rows); i++) {
		for (m = 0; m < vio_array_size(modes); m++) {
			if (rows[i].ring ? only && only != &modes[m] : m > 0)
				continue;
			cells[n++] =
				(struct cell){ .row = &rows[i],
					       .mode = rows[i].ring ? &modes[m] : NULL,
					       .slices = allocate(MAX_SLICES * sizeof(double)) };
		}
	}
	return n;
}

static void compare(struct bench *b, unsigned rounds, const struct mode *only)
{
	struct cell cells[MAX_CELLS];
	size_t i, n = list_cells(cells, only);
	unsigned r;

	for (r = 0; r < rounds; r++)
		for (i = 0; i < n; i++)
			run(b, &cells[i]);
	printf("%u-byte frames, ring of %u, bursts of %u, %u rounds; Mpps\n", FRAME, NUM, BURST,
	       rounds);
	printf("%-32s %-16s %8s %8s\n", "", "", "median", "90%");
	for (i = 0; i < n; i++) {
		struct cell *c = &cells[i];

		qsort(c->slices, c->nr_slices, sizeof(double), by_value);
		printf("%-32s %-16s %8.1f %8.1f\n", c->row->name, c->mode ? c->mode->name : "",
		       c->slices[c->nr_slices / 2], c->slices[c->nr_slices * 9 / 10]);
		free(c->slices);
	}
}

/* ---- One thread -------------------------------------------------------------------------- */

/* Passes b->frames buffers through the ring, touching no payload. With @shuffle, no descriptor is
 * ever the same again. */
static void count(struct bench *b, const struct mode *mode, unsigned pieces, bool in, bool shuffle)
{
	struct vio_seg segs[2 * BURST];
	struct vio_drvq_buf bufs[BURST];
	struct vio_drvq_done done[BURST];
	struct vio_chain chains[BURST];
	struct vio_iov iov[3 * BURST];
	void *tokens[BURST];
	uint64_t passed;
	int added;
	unsigned i, step = shuffle ? 7 : 0;

	ring_init(b, mode->features);
	for (i = 0; i < BURST; i++) {
		tokens[i] = &bufs[i];
		bufs[i] = (struct vio_drvq_buf){ .segs = &segs[pieces * i],
						 .out_num = (uint16_t)(in ? 0 : pieces),
						 .in_num = (uint16_t)(in ? pieces : 0),
						 .token = &bufs[i] };
	}
	for (passed = 0; passed < b->frames; passed += BURST) {
		for (i = 0; i < pieces * BURST; i++) {
			uint64_t place = passed * pieces + i;

			place += place / NUM * step;
			segs[i].addr = guest(b, b->data + place % NUM * STRIDE);
			segs[i].len = FRAME;
		}
		added = pieces == 1 ? vio_drvq_add_singles(b->drv, segs, tokens, BURST, in) :
				      vio_drvq_add_burst(b->drv, bufs, BURST);
		if (added != (int)BURST)
			fail("ring refused buffers");
		vio_drvq_publish(b->drv);
		if (vio_devq_pop_burst(b->dev, b->mem, chains, BURST, iov, 3 * BURST) != BURST)
			fail("device did not get the buffers");
		for (i = 0; i < BURST; i++)
			chains[i].written = in ? FRAME : 0;
		vio_devq_push_burst(b->dev, chains, BURST);
		vio_devq_publish(b->dev);
		if (vio_drvq_reap_burst(b->drv, done, BURST) != BURST)
			fail("driver did not get the buffers");
	}
}

static const struct mode *find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < vio_array_size(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	fprintf(stderr,
		"bench_ring: --mode %s: not split, packed, split-in-order, "
		"packed-in-order\n",
		name);
	exit(2);
}

static void force_level(const char *name)
{
	enum vio_simd level;

	for (level = VIO_SIMD_SCALAR; level < VIO_SIMD_LEVELS; level++)
		if (strcmp(vio_simd_name(level), name) == 0 && vio_simd_force(level) == level)
			return;
	fprintf(stderr, "bench_ring: --level %s: not scalar, neon, avx2 or avx512, or not here\n",
		name);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "frames", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "pieces", required_argument, NULL, 'p' },
		{ "shuffle", no_argument, NULL, 's' },
		{ "in", no_argument, NULL, 'i' },
		{ "mode", required_argument, NULL, 'm' },
		{ "level", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct bench b = { .frames = 8u << 20 };
	unsigned long rounds = 5, pieces = 1, counted = 0;
	bool shuffle = false, in = false;
	const struct mode *mode = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			rounds = strtoul(optarg, NULL, 0);
			break;
		case 'f':
			b.frames = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			counted = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			pieces = strtoul(optarg, NULL, 0);
			break;
		case 's':
			shuffle = true;
			break;
		case 'i':
			in = true;
			break;
		case 'm':
			mode = find_mode(optarg);
			break;
		case 'l':
			force_level(optarg);
			break;
		default:
			return 2;
		}
	}
	if (rounds < 1 || rounds > MAX_ROUNDS || pieces < 1 || pieces > 2) {
		fprintf(stderr, "bench_ring: --rounds is 1 to %d, --pieces 1 or 2\n", MAX_ROUNDS);
		return 2;
	}
	bench_init(&b);
	if (counted) {
		b.frames = vio_align_up(counted, BURST);
		count(&b, mode ? mode : &modes[0], (unsigned)pieces, in, shuffle);
		return 0;
	}
	b.frames = vio_align_up(vio_max(b.frames, 4 * (uint64_t)SLICE), BURST);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("one core only: nothing to hand over to\n");
		return 0;
	}
	compare(&b, (unsigned)rounds, mode);
	return 0;
}
