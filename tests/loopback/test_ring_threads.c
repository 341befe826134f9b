/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both sides of a ring against each other, each in a thread of its own: buffers of random shape,
 * returned in random order (or not, with IN_ORDER), every byte checked on the other side; every
 * format, polling and sleeping, with and without indirect tables and event index, each of them also
 * with the barriers of ORDER_PLATFORM, and packed rings of odd sizes. Sleepers have no timeout of their own: a lost
 * wake-up ends the test through the time limit of its poll.
 *
 * VIO_TEST_FRAMES is the number of buffers in all (default 4 million); a run passes the wrap of the
 * 16-bit indices, and a packed ring's own very often.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "random.h"
#include "ring_image.h"

#define NUM	   256u
#define MAX_NUM	   900u
#define BURST	   32u
#define MAX_SEGS   8u
#define SLOT	   2048u /* bytes that one buffer has for itself */
#define TABLES	   64u
#define TABLE_AREA IMAGE_DATA
/* Slots lie around the seam, one of them across. */
#define SLOT_AREA(num) (IMAGE_SEAM - (num) / 2 * SLOT - SLOT / 2)
#define POOL	       1024u
#define WAIT_SECONDS   60

struct run {
	struct ring_image im;
	unsigned num;
	uint64_t frames;
	bool sleeping;
	int kick, call; /* eventfds */
	atomic_uint_fast64_t kicks, calls;
};

static void die(const struct run *run, const char *what, uint64_t frame)
{
	fprintf(stderr, "%s at buffer %" PRIu64 " of %" PRIu64 "\n", what, frame, run->frames);
	abort();
}

/* What buffer @frame looks like; both sides know. */
struct shape {
	unsigned out_num, in_num;
	uint32_t lens[MAX_SEGS];
	uint32_t written; /* what the device will write */
};

static struct shape shape_of(const struct run *run, uint64_t frame)
{
	unsigned segs = vio_min(run->num, MAX_SEGS);
	uint64_t seed = frame * 0x9e3779b97f4a7c15u;
	struct shape s = { 0 };
	uint32_t in_len = 0, left = SLOT;
	unsigned i, kind = random31(&seed) % 8;

	/* Mostly what drivers do: one piece, or a header and data. */
	s.out_num = kind < 3 ? 1 : kind < 4 ? 2 : random31(&seed) % (MAX_SEGS / 2 + 1);
	s.in_num = kind < 4 ? 0 : kind < 6 ? 1 : random31(&seed) % (MAX_SEGS / 2 + 1);
	if (s.out_num + s.in_num == 0)
		s.in_num = 1;
	s.out_num = vio_min(s.out_num, segs);
	s.in_num = vio_min(s.in_num, segs - s.out_num);
	for (i = 0; i < s.out_num + s.in_num; i++) {
		/* A byte stays for each of the others. */
		uint32_t room = left > 2 * MAX_SEGS ? left - MAX_SEGS : 1;
		uint32_t most = random31(&seed) % 32 == 0 ? room : 40;

		s.lens[i] = 1 + random31(&seed) % vio_min(most, room);
		left -= s.lens[i];
		if (i >= s.out_num)
			in_len += s.lens[i];
	}
	s.written = random31(&seed) % 2 ? in_len : random31(&seed) % (in_len + 1);
	return s;
}

static uint8_t byte_of(uint64_t frame, uint32_t at, bool in)
{
	return (uint8_t)(frame * 131 + at * 7 + (in ? 89 : 0) + (frame >> 8));
}

static void wake(int fd, atomic_uint_fast64_t *count)
{
	uint64_t one = 1;

	atomic_fetch_add(count, 1);
	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void sleep_on(const struct run *run, int fd, const char *who, uint64_t frame)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t value;

	if (poll(&p, 1, WAIT_SECONDS * 1000) != 1)
		die(run, who, frame);
	if (read(fd, &value, sizeof(value)) != sizeof(value))
		abort();
}

/* ---- The driver ---------------------------------------------------------------------------- */

/* A buffer's place, and its token. */
struct slot {
	uint64_t addr;
	uint64_t frame;
};

struct driver {
	struct run *run;
	struct slot slots[MAX_NUM];
	struct slot *idle[MAX_NUM];
	unsigned nr_idle;
	unsigned window; /* buffers in flight at most */
	uint64_t sent, reaped, seed;
};

static void driver_fill(struct driver *d, struct slot *slot, struct vio_seg *segs,
			struct vio_drvq_buf *buf)
{
	struct shape s = shape_of(d->run, slot->frame);
	uint32_t i, at = 0, out_len = 0;

	for (i = 0; i < s.out_num + s.in_num; i++) {
		segs[i] = (struct vio_seg){ slot->addr + at, s.lens[i] };
		at += s.lens[i];
		if (i < s.out_num)
			out_len += s.lens[i];
	}
	for (i = 0; i < at; i++)
		*(uint8_t *)image_at(&d->run->im, slot->addr + i) =
			i < out_len ? byte_of(slot->frame, i, false) : 0;
	*buf = (struct vio_drvq_buf){ segs, (uint16_t)s.out_num, (uint16_t)s.in_num, slot };
}

static void driver_send(struct driver *d)
{
	struct vio_seg segs[BURST][MAX_SEGS];
	struct vio_drvq_buf bufs[BURST];
	unsigned i, n = 1 + random31(&d->seed) % BURST, num = d->run->num;
	int taken;

	/* Sleepers work with few buffers for a while and then with many: now one side waits most of
	 * the time, now the other. */
	if (d->nr_idle == num)
		d->window = d->run->sleeping ? vio_min(1u << random31(&d->seed) % 9, num) : num;
	n = d->window > num - d->nr_idle ? vio_min(n, d->window - (num - d->nr_idle)) : 0;
	n = (unsigned)vio_min((uint64_t)n, d->run->frames - d->sent);
	for (i = 0; i < n; i++) {
		d->idle[d->nr_idle - 1 - i]->frame = d->sent + i;
		driver_fill(d, d->idle[d->nr_idle - 1 - i], segs[i], &bufs[i]);
	}
	taken = vio_drvq_add_burst(d->run->im.drv, bufs, n);
	if (taken < 0)
		die(d->run, "add failed", d->sent);
	d->nr_idle -= (unsigned)taken;
	d->sent += (unsigned)taken;
	if (vio_drvq_publish(d->run->im.drv) && d->run->sleeping)
		wake(d->run->kick, &d->run->kicks);
}

static void driver_check(struct driver *d, const struct vio_drvq_done *done)
{
	const struct slot *slot = done->token;
	struct shape s = shape_of(d->run, slot->frame);
	uint32_t i, at = 0, in_len = 0;

	for (i = 0; i < s.out_num; i++)
		at += s.lens[i];
	for (i = s.out_num; i < s.out_num + s.in_num; i++)
		in_len += s.lens[i];
	if (done->len != s.written)
		die(d->run, "wrong used length", slot->frame);
	for (i = 0; i < at + in_len; i++) {
		uint8_t byte = *(uint8_t *)image_at(&d->run->im, slot->addr + i);
		uint8_t expected = i < at	      ? byte_of(slot->frame, i, false) :
				   i < at + s.written ? byte_of(slot->frame, i - at, true) :
							0;

		if (byte != expected)
			die(d->run, "wrong byte at the driver", slot->frame);
	}
}

static void *driver_thread(void *arg)
{
	static struct driver d;
	struct run *run = arg;
	struct vio_drvq_done done[BURST];
	unsigned i;

	d = (struct driver){ .run = run, .nr_idle = run->num, .seed = 1 };
	for (i = 0; i < run->num; i++) {
		d.slots[i].addr = SLOT_AREA(run->num) + (uint64_t)i * SLOT;
		d.idle[i] = &d.slots[i];
	}
	while (d.reaped < run->frames) {
		uint64_t sent = d.sent;
		int n;

		driver_send(&d);
		n = vio_drvq_reap_burst(run->im.drv, done, 1 + random31(&d.seed) % BURST);
		if (n < 0)
			die(run, vio_vq_error_name(vio_drvq_error(run->im.drv)), d.reaped);
		for (i = 0; (int)i < n; i++) {
			driver_check(&d, &done[i]);
			d.idle[d.nr_idle++] = done[i].token;
		}
		d.reaped += (unsigned)n;
		if (n > 0 || d.sent > sent || d.reaped == run->frames)
			continue;
		if (!run->sleeping) {
			sched_yield();
		} else if (!vio_drvq_notify_enable(run->im.drv, random31(&d.seed) % 3 ? 0 : 20)) {
			sleep_on(run, run->call, "driver waits for ever", d.reaped);
			vio_drvq_notify_disable(run->im.drv);
		}
	}
	return NULL;
}

/* ---- The device ---------------------------------------------------------------------------- */

struct device {
	struct run *run;
	struct vio_chain held[MAX_NUM]; /* popped and not pushed */
	unsigned nr_held;
	uint64_t popped, pushed, seed;
};

/* Checks the device-readable part of @chain, which is buffer @frame, and fills the writable one. */
static void device_use(struct device *dev, struct vio_chain *chain, uint64_t frame)
{
	struct shape s = shape_of(dev->run, frame);
	uint32_t i, j, at = 0, out_len = 0, in_len = 0;

	for (i = 0; i < s.out_num + s.in_num; i++)
		*(i < s.out_num ? &out_len : &in_len) += s.lens[i];
	if (chain->out_len != out_len || chain->in_len != in_len)
		die(dev->run, "wrong length at the device", frame);
	for (i = 0; i < chain->out_num; i++)
		for (j = 0; j < chain->iov[i].len; j++)
			if (((uint8_t *)chain->iov[i].base)[j] != byte_of(frame, at++, false))
				die(dev->run, "wrong byte at the device", frame);
	at = 0;
	for (; i < (uint32_t)chain->out_num + chain->in_num; i++)
		for (j = 0; j < chain->iov[i].len && at < s.written; j++)
			((uint8_t *)chain->iov[i].base)[j] = byte_of(frame, at++, true);
	chain->written = s.written;
}

/* In half of a run's time the device is the slower side, so that the driver waits for it. */
static void device_dawdle(const struct device *dev)
{
	unsigned i;

	if (dev->run->sleeping && dev->popped / 4096 % 2)
		for (i = 0; i < 20; i++)
			vio_cpu_relax();
}

/* Takes a burst, gives some of it back now and then, and uses the rest. */
static int device_pop(struct device *dev)
{
	struct vio_iov pool[POOL];
	struct vio_chain *chains = &dev->held[dev->nr_held];
	unsigned want = vio_min(1 + random31(&dev->seed) % BURST, dev->run->num - dev->nr_held);
	unsigned niov = random31(&dev->seed) % 4 ? POOL : vio_devq_pool_min(dev->run->num);
	int i, n = vio_devq_pop_burst(dev->run->im.dev, dev->run->im.mem, chains, want, pool, niov);

	if (n < 0)
		die(dev->run, vio_vq_error_name(vio_devq_error(dev->run->im.dev)), dev->popped);
	if (n > 1 && random31(&dev->seed) % 8 == 0) {
		unsigned back = 1 + random31(&dev->seed) % (unsigned)(n - 1);

		n -= (int)back;
		vio_devq_unpop(dev->run->im.dev, &chains[n], back);
	}
	for (i = 0; i < n; i++) {
		device_dawdle(dev);
		device_use(dev, &chains[i], dev->popped++);
	}
	dev->nr_held += (unsigned)n;
	return n;
}

/* Takes @n of what it holds, in any order. */
static void pick(struct device *dev, struct vio_chain *chains, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		unsigned at = random31(&dev->seed) % 4 ? 0 : random31(&dev->seed) % dev->nr_held;

		chains[i] = dev->held[at];
		dev->held[at] = dev->held[--dev->nr_held];
	}
}

/* Returns about half of what it holds, or with @all everything, in any order that it may. */
static void device_push(struct device *dev, bool all)
{
	unsigned n = all ? dev->nr_held : (dev->nr_held + 1) / 2;
	struct vio_chain chains[MAX_NUM];

	if (dev->run->im.in_order) {
		memcpy(chains, dev->held, n * sizeof(*chains));
		dev->nr_held -= n;
		memmove(dev->held, &dev->held[n], dev->nr_held * sizeof(*chains));
	} else {
		pick(dev, chains, n);
	}
	if (vio_devq_push_burst(dev->run->im.dev, chains, n) != 0)
		die(dev->run, "push failed", dev->pushed);
	dev->pushed += n;
	if (vio_devq_publish(dev->run->im.dev) && dev->run->sleeping)
		wake(dev->run->call, &dev->run->calls);
}
static void *device_thread(void *arg)
{
	static struct device dev;
	struct run *run = arg;

	dev = (struct device){ .run = run, .seed = 2 };
	while (dev.pushed < run->frames) {
		int n = device_pop(&dev);

		if (dev.nr_held > 0) {
			device_push(&dev, n == 0);
			continue;
		}
		if (!run->sleeping) {
			sched_yield();
		} else if (!vio_devq_kick_enable(run->im.dev, 0)) {
			sleep_on(run, run->kick, "device waits for ever", dev.popped);
			vio_devq_kick_disable(run->im.dev);
		}
	}
	return NULL;
}

/* ---- Runs ---------------------------------------------------------------------------------- */

/* Those of one run. */
static uint64_t frames_of_run(void)
{
	const char *text = getenv("VIO_TEST_FRAMES");

	return (text ? strtoull(text, NULL, 0) : 4000000) / 40 + 1;
}

static void run_both(unsigned num, uint64_t features, bool sleeping)
{
	struct run run = { .num = num, .frames = frames_of_run(), .sleeping = sleeping };
	pthread_t driver, device;

	image_open(&run.im, num, features);
	if (features & RING_INDIRECT)
		image_driver_indirect(&run.im, TABLE_AREA, MAX_SEGS - 2, TABLES);
	else
		image_driver(&run.im);
	image_device_fresh(&run.im);
	run.kick = eventfd(0, EFD_CLOEXEC);
	run.call = eventfd(0, EFD_CLOEXEC);
	assert_true(run.kick >= 0 && run.call >= 0);
	assert_int_equal(pthread_create(&driver, NULL, driver_thread, &run), 0);
	assert_int_equal(pthread_create(&device, NULL, device_thread, &run), 0);
	pthread_join(driver, NULL);
	pthread_join(device, NULL);
	assert_int_equal(vio_drvq_in_flight(run.im.drv), 0);
	assert_int_equal(vio_drvq_free(run.im.drv), num);
	assert_int_equal(vio_devq_in_flight(run.im.dev), 0);
	/* Both stand at the same place. */
	assert_int_equal(vio_devq_base(run.im.dev) & 0xffff, vio_drvq_avail_pos(run.im.drv));
	if (run.im.packed)
		assert_int_equal(vio_devq_base(run.im.dev) >> 16, vio_drvq_avail_pos(run.im.drv));
	else
		assert_int_equal(vio_devq_base(run.im.dev), (uint16_t)run.frames);
	/* How often somebody had to be woken depends on the machine: shown, not judged. */
	if (sleeping)
		print_message("%" PRIu64 " buffers: %" PRIuFAST64 " kicks, %" PRIuFAST64 " calls\n",
			      run.frames, atomic_load(&run.kicks), atomic_load(&run.calls));
	close(run.kick);
	close(run.call);
	image_close(&run.im);
}

static void test_polling(void **state)
{
	run_both(NUM, ring_format(state), false);
}

static void test_polling_event_idx(void **state)
{
	run_both(NUM, ring_format(state) | RING_EVENT_IDX, false);
}

static void test_polling_indirect(void **state)
{
	run_both(NUM, ring_format(state) | RING_INDIRECT | RING_PLATFORM, false);
}

static void test_polling_indirect_event_idx(void **state)
{
	run_both(NUM, ring_format(state) | RING_INDIRECT | RING_EVENT_IDX, false);
}

static void test_sleeping(void **state)
{
	run_both(NUM, ring_format(state), true);
}

static void test_sleeping_event_idx(void **state)
{
	run_both(NUM, ring_format(state) | RING_EVENT_IDX | RING_PLATFORM, true);
}

static void test_sleeping_indirect(void **state)
{
	run_both(NUM, ring_format(state) | RING_INDIRECT, true);
}

static void test_sleeping_indirect_event_idx(void **state)
{
	run_both(NUM, ring_format(state) | RING_INDIRECT | RING_EVENT_IDX, true);
}

/* S16: sizes that are no powers of two, so that lists wrap at all places. */
static void test_s16_odd_sizes(void **state)
{
	run_both(7, ring_format(state), false);
	run_both(7, ring_format(state) | RING_EVENT_IDX, true);
	run_both(MAX_NUM, ring_format(state) | RING_INDIRECT | RING_EVENT_IDX, true);
}

/* The smallest ring: the next descriptor is always the same one, a lap on. */
static void test_one_descriptor_ring(void **state)
{
	run_both(1, ring_format(state), true);
	run_both(1, ring_format(state) | RING_EVENT_IDX, true);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_polling, RING_RUN_ALL),
		RING_TEST(test_polling_event_idx, RING_RUN_ALL),
		RING_TEST(test_polling_indirect, RING_RUN_ALL),
		RING_TEST(test_polling_indirect_event_idx, RING_RUN_ALL),
		RING_TEST(test_sleeping, RING_RUN_ALL),
		RING_TEST(test_sleeping_event_idx, RING_RUN_ALL),
		RING_TEST(test_sleeping_indirect, RING_RUN_ALL),
		RING_TEST(test_sleeping_indirect_event_idx, RING_RUN_ALL),
		RING_TEST(test_s16_odd_sizes, RING_RUN_PACKED | RING_RUN_PACKED_IN_ORDER),
		RING_TEST(test_one_descriptor_ring, RING_RUN_ALL),
	};

	return ring_run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
