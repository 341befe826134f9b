/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HOSTILE 30, the world around back ends: no memory, no descriptors. And HOSTILE 6, 9 and 16 as far
 * as back ends see them: frames of any length and content. (An interface that is taken away or down
 * is in unit/test_backend_tap.c, a full disk in unit/test_backend_pcap.c.)
 */
#include "backend_sink.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/endian.h"
#include "fds.h"
#include "netframe.h"

static const char *const specs[] = {
	"null",
	"loop",
	"source,size=imix,rate=100",
	"user",
	"user,hostfwd=udp:127.0.0.1:0-:7,restrict=on",
	"pcap,file=/dev/null,next=source,rate=3",
	"pcap,file=/dev/null,next=user:ipv6=off",
	"tap,name=t0",
};

static unsigned allocations_left;
static long live;

static void *scarce_alloc(void *ctx, size_t size, size_t align)
{
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);
	void *p;

	(void)ctx;
	if (allocations_left == 0)
		return NULL;
	allocations_left--;
	p = host->alloc(host->ctx, size, align);
	live += p != NULL;
	return p;
}

static void scarce_free(void *ctx, void *p, size_t size)
{
	const struct vio_host *host = vio_host_linux(VIO_LOG_ERROR);

	(void)ctx;
	live -= p != NULL;
	host->free(host->ctx, p, size);
}

static bool needs_tap(const char *spec)
{
	return strncmp(spec, "tap", 3) == 0 && access("/dev/net/tun", R_OK | W_OK) < 0;
}

static void outlives_any_failed_allocation(void **state)
{
	struct vio_host host = *vio_host_linux(VIO_LOG_ERROR);

	(void)state;
	host.alloc = scarce_alloc;
	host.free = scarce_free;
	for (unsigned i = 0; i < vio_array_size(specs); i++) {
		unsigned fds = count_fds();

		if (needs_tap(specs[i]))
			continue;
		for (unsigned allowed = 0;; allowed++) {
			struct vio_backend_config config = backend_config(2);
			struct vio_error err = { "" };
			struct vio_backend *be = NULL;
			int ret;

			config.host = &host;
			allocations_left = allowed;
			ret = vio_backend_open(specs[i], &config, &be, &err);
			if (ret == 0) {
				vio_backend_close(be);
				assert_int_equal(live, 0);
				assert_true(allowed >= 2);
				break;
			}
			if (ret == -EPERM || ret == -EACCES) {
				print_message("%s: %s\n", specs[i], err.msg);
				break; /* not allowed here at all */
			}
			assert_int_equal(ret, -ENOMEM);
			assert_int_not_equal(strlen(err.msg), 0);
			assert_int_equal(live, 0);
			assert_int_equal(count_fds(), fds);
		}
		assert_int_equal(count_fds(), fds);
	}
}

static void outlives_any_missing_descriptor(void **state)
{
	struct rlimit old, few;
	unsigned base = count_fds() - 1; /* one was for counting */

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (unsigned i = 0; i < vio_array_size(specs); i++) {
		bool opened = false;

		if (needs_tap(specs[i]))
			continue;
		for (unsigned more = 0; more < 16 && !opened; more++) {
			struct vio_backend_config config = backend_config(2);
			struct vio_error err = { "" };
			struct vio_backend *be = NULL;

			few = old;
			few.rlim_cur = base + more;
			assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
			opened = vio_backend_open(specs[i], &config, &be, &err) == 0;
			if (!opened)
				assert_int_not_equal(strlen(err.msg), 0);
			vio_backend_close(be);
			assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
			assert_int_equal(count_fds() - 1, base);
		}
		if (strncmp(specs[i], "tap", 3) != 0)
			assert_true(opened);
	}
}

/* Frames that look like something, with bytes changed at random. */
static uint32_t mutated_frame(uint8_t *p, uint64_t *seed)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x0806, 0x88f8, 0x8100 };
	static const uint8_t ipv4[] = { 0x45, 0, 0,  0, 0, 0,  0,  0, 64, 17,
					0,    0, 10, 0, 2, 15, 10, 0, 2,  2 };
	uint32_t len = netframe_between(seed, 14, netframe_between(seed, 0, 9) == 0 ? 65589 : 600);

	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)netframe_random(seed);
	memcpy(p, "\x52\x55\x0a\x00\x02\x02\x52\x54\x00\x12\x34\x56", 12);
	vio_put_be16(p + 12, types[netframe_between(seed, 0, 4)]);
	if (len >= 60 && vio_get_be16(p + 12) == 0x0800 && netframe_between(seed, 0, 3) != 0) {
		uint16_t sum;

		memcpy(p + 14, ipv4, sizeof(ipv4));
		p[14 + 9] = (uint8_t[]){ 1, 6, 17, 17 }[netframe_between(seed, 0, 3)];
		vio_put_be16(p + 16, (uint16_t)netframe_between(seed, 20, len - 14));
		vio_put_be16(p + 20, (uint16_t)netframe_between(seed, 0, 1) * 0x2000);
		vio_put_be16(p + 36, netframe_between(seed, 0, 1) ? 67 : 69);
		vio_put_be16(p + 38, (uint16_t)netframe_between(seed, 8, len - 34));
		vio_put_be16(p + 40, 0);
		sum = vio_csum_fold(vio_csum_add(p + 14, 20, 0));
		memcpy(p + 24, &sum, 2);
	}
	return len;
}

/* Any frame goes in without harm, on all pairs, and the back end still answers. */
static void user_takes_any_frame(void **state)
{
	static const uint8_t arp[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,
					 0x12, 0x34, 0x56, 8,	 6,    0,    1,	   8,	 0,
					 6,    4,    0,	   1,	 0x52, 0x54, 0,	   0x12, 0x34,
					 0x56, 10,   0,	   2,	 15,   0,    0,	   0,	 0,
					 0,    0,    10,   0,	 2,    2 };
	struct vio_backend *be = open_backend("user,restrict=on", 3);
	uint8_t *bytes = malloc(VIO_FRAME_MAX_LEN);
	struct vio_sink *sinks[3];
	struct sent_frame s;
	uint64_t seed = 4711;
	struct guest g[3];
	unsigned before;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		guest_init(&g[i], 0, 2048, i != 1);
		sinks[i] = &g[i].sink;
	}
	assert_int_equal(be->ops->start(be, sinks, 3), 0);
	for (unsigned i = 0; i < 6000; i++) {
		uint32_t len = mutated_frame(bytes, &seed);

		sent_init(&s, bytes, len, 1 + i % 8);
		assert_int_equal(be->ops->send(be, i % 3, &s.frame, 1), 1);
		sent_exit(&s);
		g[i % 3].buffers = i % 5;
		for (unsigned k = 0; k < 3; k++) {
			be->ops->receive(be, k, 16);
			guest_forget(&g[k]);
		}
	}
	sent_init(&s, arp, sizeof(arp), 1);
	for (unsigned i = 0; i < 3; i++)
		g[i].buffers = GUEST_QUEUE;
	while (be->ops->receive(be, 2, 64) != 0)
		g[2].buffers = GUEST_QUEUE;
	before = g[2].num_got;
	assert_int_equal(be->ops->send(be, 2, &s.frame, 1), 1);
	be->ops->receive(be, 2, 64);
	assert_true(g[2].num_got > before);
	sent_exit(&s);
	vio_backend_close(be);
	for (unsigned i = 0; i < 3; i++)
		guest_exit(&g[i]);
	free(bytes);
}

/* Large frames that lie about their headers are cut or refused, never followed out of bounds. */
static void loop_cuts_or_refuses_any_frame(void **state)
{
	static const uint8_t types[] = { VIO_NET_HDR_GSO_TCPV4, VIO_NET_HDR_GSO_TCPV6,
					 VIO_NET_HDR_GSO_UDP_L4, VIO_NET_HDR_GSO_UDP };
	struct vio_backend *be = open_backend("loop", 1);
	struct netframe *f = malloc(sizeof(*f));
	uint64_t seed = 815;
	unsigned refused = 0, taken = 0;
	struct guest g;

	(void)state;
	guest_init(&g, 0, 70000, false);
	start_one(be, &g);
	for (unsigned i = 0; i < 3000; i++) {
		struct netframe_spec spec = netframe_random_gso(types[i % 4], &seed);
		struct sent_frame s;
		int ret;

		spec.payload = netframe_between(&seed, 0, 3000);
		spec.gso_size = (uint16_t)netframe_between(&seed, 200, 2000);
		netframe_build(f, &spec, &seed);
		for (unsigned k = netframe_between(&seed, 0, 3); k != 0; k--)
			f->bytes[netframe_between(&seed, 12, vio_min(f->len, 80u) - 1)] =
				(uint8_t)netframe_random(&seed);
		f->len = netframe_between(&seed, VIO_ETH_MIN_LEN, f->len);
		sent_init(&s, f->bytes, f->len, 1 + i % 3);
		s.frame.meta = f->meta;
		g.buffers = GUEST_QUEUE;
		ret = be->ops->send(be, 0, &s.frame, 1);
		assert_true(ret == 1 || (ret < 0 && ret != -EAGAIN));
		refused += ret < 0;
		taken += ret == 1;
		while (be->ops->receive(be, 0, 64) != 0)
			g.buffers = GUEST_QUEUE;
		guest_forget(&g);
		sent_exit(&s);
	}
	assert_int_not_equal(refused, 0);
	assert_int_not_equal(taken, 0);
	vio_backend_close(be);
	guest_exit(&g);
	free(f);
}

/* Frames longer than any may be are refused by those that copy, one by one. */
static void refuses_frames_beyond_all_bounds(void **state)
{
	static const char *const copying[] = { "user", "loop", "pcap,file=/dev/null,next=user" };
	const uint32_t len = VIO_FRAME_MAX_LEN + 1;
	uint8_t *bytes = calloc(1, len);

	(void)state;
	for (unsigned i = 0; i < vio_array_size(copying); i++) {
		struct vio_backend *be = open_backend(copying[i], 1);
		struct sent_frame s;
		struct guest g;

		guest_init(&g, 10, 2048, false);
		start_one(be, &g);
		sent_init(&s, bytes, len, 1);
		s.frame.meta.gso_type = VIO_NET_HDR_GSO_TCPV4;
		s.frame.meta.gso_size = 1000;
		assert_true(be->ops->send(be, 0, &s.frame, 1) < 0);
		vio_backend_close(be);
		guest_exit(&g);
		sent_exit(&s);
	}
	free(bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(outlives_any_failed_allocation),
		cmocka_unit_test(outlives_any_missing_descriptor),
		cmocka_unit_test(user_takes_any_frame),
		cmocka_unit_test(loop_cuts_or_refuses_any_frame),
		cmocka_unit_test(refuses_frames_beyond_all_bounds),
	};

	/* What libslirp sends leads nowhere; without a namespace it is restricted all the same. */
	if (unshare(CLONE_NEWNET) < 0)
		print_message("no network namespace: taps may not be had\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
