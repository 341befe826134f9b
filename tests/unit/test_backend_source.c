/* SPDX-License-Identifier: BSD-2-Clause */
/* source: every frame is what it says, none is lost or repeated, and the rate does not drift. */
#include "backend_sink.h"

#include <poll.h>
#include <sys/timerfd.h>

#include "base/endian.h"

static uint64_t clock_ns = 1000;

static uint64_t fake_now(void *ctx)
{
	(void)ctx;
	return clock_ns;
}

static struct vio_backend *open_with_clock(const char *spec, struct vio_host *host)
{
	struct vio_backend_config config = backend_config(1);
	struct vio_backend *be = NULL;

	*host = *vio_host_linux(VIO_LOG_ERROR);
	host->now_ns = fake_now;
	config.host = host;
	assert_int_equal(vio_backend_open(spec, &config, &be, NULL), 0);
	return be;
}

static uint16_t plain_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Checks all of a frame as a receiver would. */
static void check_frame(const struct got_frame *f, uint32_t len, unsigned pair, uint64_t sequence)
{
	const uint8_t *p = f->bytes;
	uint64_t found;
	uint16_t sum;

	assert_int_equal(f->len, len);
	assert_memory_equal(p, guest_mac, 6);
	assert_int_equal(vio_get_be16(p + 10), pair);
	assert_int_equal(vio_get_be16(p + 12), 0x0800);
	assert_int_equal(p[14], 0x45);
	assert_int_equal(vio_get_be16(p + 16), len - 14);
	assert_int_equal(plain_sum(p + 14, 20, 0), 0xffff);
	assert_int_equal(p[23], 17);
	assert_int_equal(vio_get_be16(p + 34), 1024 + pair);
	assert_int_equal(vio_get_be16(p + 36), 9);
	assert_int_equal(vio_get_be16(p + 38), len - 34);
	assert_int_not_equal(vio_get_be16(p + 40), 0);
	sum = plain_sum(p + 34, len - 34, plain_sum(p + 26, 8, 17 + (len - 34)));
	assert_int_equal(sum, 0xffff);
	assert_memory_equal(p + 42, "VIOS", 4);
	found = (uint64_t)vio_get_be32(p + 46) << 32 | vio_get_be32(p + 50);
	assert_int_equal(found, sequence);
	for (uint32_t i = 12; i < len - 42; i++)
		assert_int_equal(p[42 + i], (uint8_t)(7 * i + 13));
	assert_int_equal(f->meta.flags, 0);
	assert_int_equal(f->meta.gso_type, 0);
}

/* Sizes odd and even, buffers smaller and larger than the frame. */
static void makes_valid_frames(void **state)
{
	static const uint32_t sizes[] = { 60, 61, 64, 1514, 9000, 65549 };
	static const uint32_t buffers[] = { 512, 1500, 70000 };

	(void)state;
	for (unsigned i = 0; i < vio_array_size(sizes); i++) {
		for (unsigned j = 0; j < vio_array_size(buffers); j++) {
			struct vio_backend *be;
			struct guest g;
			char spec[32];

			snprintf(spec, sizeof(spec), "source,size=%u", sizes[i]);
			be = open_backend(spec, 1);
			guest_init(&g, 200, buffers[j], true);
			start_one(be, &g);
			assert_in_range(be->ops->receive(be, 0, 3), 1, 3);
			for (unsigned k = 0; k < g.num_got; k++)
				check_frame(&g.got[k], sizes[i], 0, k);
			vio_backend_close(be);
			guest_exit(&g);
		}
	}
}

/* The UDP checksum of some sequence number is 0 and must be written as 0xffff. */
static void never_has_a_zero_checksum(void **state)
{
	struct vio_backend *be = open_backend("source", 1);
	struct guest g;
	uint64_t sequence = 0;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	while (sequence < 70000) {
		g.buffers = 64;
		assert_int_equal(be->ops->receive(be, 0, 64), 64);
		for (unsigned i = 0; i < 64; i++)
			check_frame(&g.got[i], 64, 0, sequence++);
		guest_forget(&g);
	}
	vio_backend_close(be);
	guest_exit(&g);
}

static void mixes_sizes(void **state)
{
	struct vio_backend *be = open_backend("source,size=imix", 1);
	unsigned small = 0, middle = 0, large = 0;
	struct guest g;

	(void)state;
	guest_init(&g, 24, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 24), 24);
	for (unsigned i = 0; i < 24; i++) {
		small += g.got[i].len == 64;
		middle += g.got[i].len == 594;
		large += g.got[i].len == 1518;
		check_frame(&g.got[i], g.got[i].len, 0, i);
	}
	assert_int_equal(small, 14);
	assert_int_equal(middle, 8);
	assert_int_equal(large, 2);
	vio_backend_close(be);
	guest_exit(&g);
}

/* Buffers come and go in all numbers; sequence numbers have no gap. */
static void waits_for_the_guest(void **state)
{
	struct vio_backend *be = open_backend("source,count=1000", 1);
	struct guest g;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->fd(be, 0), -1);
	for (unsigned round = 0; g.num_got < 1000; round++) {
		unsigned before = g.num_got, give = round % 67, budget = 1 + round % 50;
		unsigned most = vio_min(give, budget);
		int n;

		g.buffers = give;
		n = be->ops->receive(be, 0, budget);
		assert_int_equal(n, g.num_got - before);
		assert_int_equal(g.num_got - before, vio_min(most, 1000 - before));
		/* With room left it wants to be called again, without it does not. */
		if (g.num_got < 1000)
			assert_int_equal(be->ops->arm(be, 0), give >= budget);
	}
	for (unsigned i = 0; i < 1000; i++)
		check_frame(&g.got[i], 64, 0, i);
	g.buffers = 10;
	assert_int_equal(be->ops->receive(be, 0, 10), 0);
	assert_false(be->ops->arm(be, 0));
	vio_backend_close(be);
	guest_exit(&g);
}

/* A frame of two buffers with one buffer there waits; one that can never fit is dropped, counted. */
static void knows_waiting_from_never(void **state)
{
	struct vio_backend *be = open_backend("source,size=100", 1);
	struct guest g;

	(void)state;
	guest_init(&g, 1, 64, true);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 4), 0);
	assert_false(be->ops->arm(be, 0));
	assert_int_equal(g.drops[VIO_DROP_TOO_BIG], 0);
	g.buffers = 5;
	assert_int_equal(be->ops->receive(be, 0, 4), 2);
	check_frame(&g.got[0], 100, 0, 0);
	check_frame(&g.got[1], 100, 0, 1);
	g.joins = false;
	assert_int_equal(be->ops->receive(be, 0, 4), 4);
	assert_int_equal(g.drops[VIO_DROP_TOO_BIG], 4);
	assert_int_equal(g.num_got, 2);
	vio_backend_close(be);
	guest_exit(&g);
}

/* Buffers that have room for the header only. */
static void drops_what_has_no_room_at_all(void **state)
{
	struct vio_backend *be = open_backend("source,size=1518", 1);
	struct guest g;

	(void)state;
	guest_init(&g, 4, 0, false);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 3), 3);
	assert_int_equal(g.drops[VIO_DROP_TOO_BIG], 3);
	assert_int_equal(g.num_got, 0);
	vio_backend_close(be);
	guest_exit(&g);
}

/* Frames of a length that is told once go on as before after one that did not fit. */
static void all_frames_are_whole_after_one_that_was_dropped(void **state)
{
	struct vio_backend *be = open_backend("source,size=1518", 1);
	struct guest g;

	(void)state;
	guest_init(&g, 64, 1000, false);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 1), 1);
	assert_int_equal(g.drops[VIO_DROP_TOO_BIG], 1);
	g.buffer_len = 2000;
	assert_int_equal(be->ops->receive(be, 0, 60), 60);
	for (unsigned i = 0; i < 60; i++)
		check_frame(&g.got[i], 1518, 0, 1 + i);
	vio_backend_close(be);
	guest_exit(&g);
}

/* The timer is set to when the next burst of the rate is due, and never to later. */
static void check_timer(int timer, uint64_t made, uint64_t rate, uint64_t passed)
{
	uint64_t burst = rate / 10000 < 1 ? 1 : rate / 10000 > 32 ? 32 : rate / 10000;
	uint64_t due = ((made + burst - 1) * 1000000000 + rate - 1) / rate, left;
	struct itimerspec at;

	assert_int_equal(timerfd_gettime(timer, &at), 0);
	left = (uint64_t)at.it_value.tv_sec * 1000000000 + (uint64_t)at.it_value.tv_nsec;
	assert_true(left <= due - passed);
}

/* Time passes in odd steps; the number of frames is always what the rate says since the start. */
static void keeps_the_rate(void **state)
{
	static const uint64_t rates[] = { 1, 7, 1000, 999983 };

	(void)state;
	for (unsigned i = 0; i < vio_array_size(rates); i++) {
		struct vio_host host;
		struct vio_backend *be;
		struct guest g;
		char spec[32];
		uint64_t passed = 0, made = 0, step = 1 + 3000000000 / (rates[i] * 7);

		snprintf(spec, sizeof(spec), "source,rate=%u", (unsigned)rates[i]);
		be = open_with_clock(spec, &host);
		guest_init(&g, 0, 2048, false);
		start_one(be, &g);
		assert_true(be->ops->fd(be, 0) >= 0);
		for (unsigned k = 0; k < 3000; k++) {
			g.buffers = 200;
			made += (uint64_t)be->ops->receive(be, 0, 200);
			assert_int_equal(made, passed * rates[i] / 1000000000 + 1);
			guest_forget(&g);
			assert_false(be->ops->arm(be, 0));
			check_timer(be->ops->fd(be, 0), made, rates[i], passed);
			passed += step;
			clock_ns += step;
		}
		vio_backend_close(be);
		guest_exit(&g);
	}
}

/* In true time: the descriptor tells when the next frame is due, and stays silent when it must. */
static void sleeps_until_due(void **state)
{
	struct vio_backend *be = open_backend("source,rate=200,count=4", 1);
	struct pollfd fd = { be->ops->fd(be, 0), POLLIN, 0 };
	struct guest g;

	(void)state;
	guest_init(&g, 3, 2048, false);
	start_one(be, &g);
	for (unsigned made = 0; made < 3;) {
		int n = be->ops->receive(be, 0, 64);

		made += (unsigned)n;
		assert_int_equal(g.num_got, made);
		if (n == 0 && !be->ops->arm(be, 0))
			assert_int_equal(poll(&fd, 1, 10000), 1);
	}
	/* The guest has no room: what is due must not wake anybody. */
	while (be->ops->receive(be, 0, 64) == 0 && be->ops->arm(be, 0))
		continue;
	if (poll(&fd, 1, 10000) == 1) {
		assert_int_equal(be->ops->receive(be, 0, 64), 0);
		assert_false(be->ops->arm(be, 0));
	}
	assert_int_equal(poll(&fd, 1, 0), 0);
	g.buffers = 8;
	assert_int_equal(be->ops->receive(be, 0, 64), 1);
	assert_false(be->ops->arm(be, 0));
	vio_backend_close(be);
	guest_exit(&g);
}

/* The descriptor does not stay readable when the last frame has been made. */
static void is_silent_at_the_end(void **state)
{
	struct vio_backend *be = open_backend("source,rate=1000,count=2", 1);
	struct pollfd fd = { be->ops->fd(be, 0), POLLIN, 0 };
	struct guest g;

	(void)state;
	guest_init(&g, 8, 2048, false);
	start_one(be, &g);
	while (g.num_got < 2) {
		if (be->ops->receive(be, 0, 64) == 0 && !be->ops->arm(be, 0))
			assert_int_equal(poll(&fd, 1, 10000), 1);
	}
	assert_int_equal(be->ops->receive(be, 0, 64), 0);
	assert_false(be->ops->arm(be, 0));
	assert_int_equal(poll(&fd, 1, 0), 0);
	vio_backend_close(be);
	guest_exit(&g);
}

/* What the guest can't take for long is made up for up to one second's worth, not for ever. */
static void forgets_old_debts(void **state)
{
	struct vio_host host;
	struct vio_backend *be = open_with_clock("source,rate=10", &host);
	struct guest g;

	(void)state;
	guest_init(&g, 100, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 100), 1);
	clock_ns += 500000000;
	assert_int_equal(be->ops->receive(be, 0, 100), 5);
	clock_ns += 60000000000;
	assert_int_equal(be->ops->receive(be, 0, 100), 11);
	clock_ns += 100000000;
	assert_int_equal(be->ops->receive(be, 0, 100), 1);
	vio_backend_close(be);
	guest_exit(&g);
}

/* A guest whose address is not known does not look at what is for anybody else. */
static void reaches_a_guest_it_does_not_know(void **state)
{
	static const uint8_t unknown[6], all[] = { 255, 255, 255, 255, 255, 255 };
	struct vio_backend_config config = backend_config(1);
	struct vio_backend *be = NULL;
	struct guest g;

	(void)state;
	config.mac = unknown;
	assert_int_equal(vio_backend_open("source,count=1", &config, &be, NULL), 0);
	guest_init(&g, 1, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->receive(be, 0, 1), 1);
	assert_memory_equal(g.got[0].bytes, all, 6);
	vio_backend_close(be);
	guest_exit(&g);
}

static void counts_what_it_sinks(void **state)
{
	struct vio_backend *be = open_backend("source,count=1", 2);
	uint8_t bytes[100] = { 0 };
	struct sent_frame s;
	char text[96];

	(void)state;
	sent_init(&s, bytes, sizeof(bytes), 1);
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	assert_int_equal(be->ops->send(be, 1, &s.frame, 1), 1);
	be->ops->describe(be, text, sizeof(text));
	assert_string_equal(text, "source 64 bytes, sunk 2 frames, 200 bytes");
	vio_backend_close(be);
	sent_exit(&s);
}

static void serves_each_pair(void **state)
{
	struct vio_backend *be = open_backend("source,count=40", 3);
	struct vio_sink *sinks[3];
	struct guest g[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		guest_init(&g[i], 200, 2048, false);
		sinks[i] = &g[i].sink;
	}
	assert_int_equal(be->ops->start(be, sinks, 3), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(be->ops->receive(be, i, 64), 40);
		for (unsigned k = 0; k < 40; k++)
			check_frame(&g[i].got[k], 64, i, k);
		guest_exit(&g[i]);
	}
	be->ops->stop(be);
	vio_backend_close(be);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_valid_frames),
		cmocka_unit_test(never_has_a_zero_checksum),
		cmocka_unit_test(mixes_sizes),
		cmocka_unit_test(waits_for_the_guest),
		cmocka_unit_test(knows_waiting_from_never),
		cmocka_unit_test(drops_what_has_no_room_at_all),
		cmocka_unit_test(all_frames_are_whole_after_one_that_was_dropped),
		cmocka_unit_test(keeps_the_rate),
		cmocka_unit_test(sleeps_until_due),
		cmocka_unit_test(is_silent_at_the_end),
		cmocka_unit_test(forgets_old_debts),
		cmocka_unit_test(reaches_a_guest_it_does_not_know),
		cmocka_unit_test(counts_what_it_sinks),
		cmocka_unit_test(serves_each_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
