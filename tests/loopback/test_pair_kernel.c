/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offloads end to end against Linux's own: our driver, our device with a tap, and a bridge to another
 * tap, which is the test's. Each feature is negotiated by itself, with what it requires, and all
 * together; merged and not, in split and packed rings; frames of all kinds go both ways.
 *
 * What the driver asks for reaches the kernel as it is, and the kernel cuts it up when the other tap
 * takes nothing large. What comes from there reaches the driver as it is, when it accepts that, and
 * else as the kernel has cut it up. In all cases bytes and headers are what a slow reference
 * (netframe) says.
 *
 * Everything is in a network namespace of this process. Where none may be made, or there is no tap
 * or bridge, the test is skipped and says why.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/endian.h"
#include "check.h"
#include "kernel_net.h"
#include "netframe.h"
#include "pair_driver.h"
#include "pair_offload.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define BRIDGE	  "bridge"
#define GUEST	  "guest"
#define ROUNDS	  3
#define TUN_F_ALL (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6)

static int wire = -1; /* the other tap */
static bool kernel_has_uso;

#define NET(f) VIO_NET_F_##f
#define END    255

/* What is negotiated beside the ring. */
static const struct row {
	const char *name;
	uint8_t bits[20];
} rows[] = {
	{ "nothing", { END } },
	{ "CSUM", { NET(CSUM), END } },
	{ "HOST_TSO4", { NET(CSUM), NET(HOST_TSO4), END } },
	{ "HOST_TSO4, HOST_ECN", { NET(CSUM), NET(HOST_TSO4), NET(HOST_ECN), END } },
	{ "HOST_TSO6", { NET(CSUM), NET(HOST_TSO6), END } },
	{ "HOST_TSO6, HOST_ECN", { NET(CSUM), NET(HOST_TSO6), NET(HOST_ECN), END } },
	{ "HOST_UFO", { NET(CSUM), NET(HOST_UFO), END } },
	{ "HOST_USO", { NET(CSUM), NET(HOST_USO), END } },
	{ "GUEST_CSUM", { NET(GUEST_CSUM), END } },
	{ "GUEST_TSO4", { NET(GUEST_CSUM), NET(GUEST_TSO4), END } },
	{ "GUEST_TSO4, GUEST_ECN", { NET(GUEST_CSUM), NET(GUEST_TSO4), NET(GUEST_ECN), END } },
	{ "GUEST_TSO6", { NET(GUEST_CSUM), NET(GUEST_TSO6), END } },
	{ "GUEST_TSO6, GUEST_ECN", { NET(GUEST_CSUM), NET(GUEST_TSO6), NET(GUEST_ECN), END } },
	{ "GUEST_UFO", { NET(GUEST_CSUM), NET(GUEST_UFO), END } },
	{ "GUEST_USO4", { NET(GUEST_CSUM), NET(GUEST_USO4), END } },
	{ "GUEST_USO6", { NET(GUEST_CSUM), NET(GUEST_USO6), END } },
	{ "GUEST_USO4, GUEST_USO6", { NET(GUEST_CSUM), NET(GUEST_USO4), NET(GUEST_USO6), END } },
	{ "all",
	  { NET(CSUM), NET(HOST_TSO4), NET(HOST_TSO6), NET(HOST_ECN), NET(HOST_UFO), NET(HOST_USO),
	    NET(GUEST_CSUM), NET(GUEST_TSO4), NET(GUEST_TSO6), NET(GUEST_ECN), NET(GUEST_UFO),
	    NET(GUEST_USO4), NET(GUEST_USO6), NET(GUEST_HDRLEN), END } },
};

struct world {
	char dir[64], path[80];
	struct pair_device device;
	struct pair_driver d;
	struct pair_queue *q;
};

/* A device on a tap on the bridge, and a driver that has negotiated @want. */
static void open_world(struct world *w, struct vio_features want, uint32_t mtu)
{
	struct pair_device_conf device = {
		.path = w->path, .backend = "tap,name=" GUEST, .mtu = mtu, .busy_poll_us = 20
	};
	struct pair_driver_conf conf = { .path = w->path, .device = &w->device, .mtu = mtu };
	struct vio_driver_info info;

	pair_dir_make(w->dir);
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	vio_features_set(&want, VIO_F_VERSION_1);
	vio_features_set(&want, VIO_F_INDIRECT_DESC);
	conf.want = want;
	pair_device_start(&w->device, &device);
	if (mtu)
		assert_int_equal(kernel_mtu(GUEST), mtu);
	assert_true(kernel_join(BRIDGE, GUEST));
	pair_driver_open(&w->d, &conf);
	vio_driver_get_info(w->d.drv, &info);
	assert_true(vio_features_equal(info.accepted, want));
	w->q = w->d.queues[0];
}

static void close_world(struct world *w)
{
	pair_queue_finish(w->q);
	pair_driver_close(&w->d);
	pair_device_stop(&w->device);
	for (unsigned i = 0; i < VIO_DROP_NR; i++) {
		assert_int_equal(w->device.counts.queues[0].drops[i], 0);
		assert_int_equal(w->device.counts.queues[1].drops[i], 0);
	}
	assert_int_equal(w->device.counts.status.protocol_errors, 0);
	pair_dir_remove(w->dir);
}

/* ---- One frame ------------------------------------------------------------------------------- */

static uint8_t want[NETFRAME_MAX], got[NETFRAME_MAX];

/* Takes the next frame from one of the two ends. */
static uint32_t next_frame(struct pair_queue *q, struct vio_net_meta *meta)
{
	uint32_t len;

	if (!q)
		return kernel_receive(wire, got, meta);
	do {
		len = pair_receive_bytes(q, got, meta);
	} while (!kernel_is_ours(got));
	return len;
}

/* A receiver that takes checksums to be completed may be left that in a segment too. */
static void complete(struct pair_queue *q, const struct netframe *f, uint32_t len,
		     const struct vio_net_meta *meta)
{
	uint16_t sum;

	if (!(meta->flags & VIO_NET_HDR_F_NEEDS_CSUM))
		return;
	assert_true(q && pair_has(q->d, NET(GUEST_CSUM)));
	assert_int_equal(meta->csum_start, f->l4);
	assert_int_equal(meta->csum_offset, f->spec.udp ? 6 : 16);
	sum = netframe_plain_check(got + f->l4, len - f->l4, 0);
	vio_put_be16(got + f->l4 + meta->csum_offset, f->spec.udp && sum == 0 ? 0xffff : sum);
}

static void expect_finished(struct pair_queue *q, const struct netframe *f)
{
	struct vio_net_meta meta;
	uint32_t len;

	for (unsigned i = 0; (len = netframe_finished(f, i, want)) > 0; i++) {
		assert_int_equal(next_frame(q, &meta), len);
		complete(q, f, len, &meta);
		netframe_clear_id(f, got);
		assert_memory_equal(got, want, len);
		assert_int_equal(meta.gso_type, VIO_NET_HDR_GSO_NONE);
	}
}

static void expect_whole(struct pair_queue *q, const struct netframe *f)
{
	struct vio_net_meta meta;

	assert_int_equal(next_frame(q, &meta), f->len);
	assert_memory_equal(got, f->bytes, f->len);
	assert_int_equal(meta.flags & VIO_NET_HDR_F_NEEDS_CSUM, f->meta.flags);
	assert_int_equal(meta.gso_type, f->meta.gso_type);
	assert_int_equal(meta.gso_size, f->meta.gso_size);
	assert_int_equal(meta.csum_start, f->meta.csum_start);
	assert_int_equal(meta.csum_offset, f->meta.csum_offset);
}

/* Whether the kernel may hand such a frame to a reader who takes everything: UFO it never does. */
static bool kernel_leaves_whole(const struct netframe *f)
{
	if (f->spec.gso_type == VIO_NET_HDR_GSO_UDP_L4)
		return kernel_has_uso;
	return f->spec.gso_type != VIO_NET_HDR_GSO_UDP;
}

/* From the driver, to an end that takes nothing large and to one that takes everything. */
static void pass_out(struct pair_queue *q, const struct netframe *f, bool split)
{
	if (!pair_allowed(q->d, f, true)) {
		assert_int_equal(pair_send_netframe(q, f, split), -EINVAL);
		return;
	}
	assert_int_equal(pair_send_netframe(q, f, split), 1);
	expect_finished(NULL, f);
	if (!kernel_leaves_whole(f))
		return;
	assert_true(kernel_tap_offloads(
		wire, kernel_has_uso ? TUN_F_ALL : TUN_F_ALL & ~(TUN_F_USO4 | TUN_F_USO6)));
	assert_int_equal(pair_send_netframe(q, f, split), 1);
	expect_whole(NULL, f);
	assert_true(kernel_tap_offloads(wire, 0));
}

/* To the driver. */
static void pass_in(struct pair_queue *q, const struct netframe *f)
{
	bool whole = pair_allowed(q->d, f, false) && kernel_leaves_whole(f);

	/* A tap takes either all of USO or nothing. */
	if (f->spec.gso_type == VIO_NET_HDR_GSO_UDP_L4)
		whole = whole && pair_has(q->d, NET(GUEST_USO4)) && pair_has(q->d, NET(GUEST_USO6));
	assert_true(kernel_send(wire, f->bytes, f->len, &f->meta));
	if (whole)
		expect_whole(q, f);
	else
		expect_finished(q, f);
}

static void pass(struct pair_queue *q, const struct netframe *f, bool split)
{
	pass_out(q, f, split && f->len > f->l4 + 1);
	pass_in(q, f);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void pass_all(struct pair_queue *q, uint64_t *seed)
{
	static struct netframe f;

	for (unsigned n = 0; n < 4; n++) { /* TCP and UDP, IPv4 and IPv6 */
		struct netframe_spec spec = { .ipv6 = n & 1, .udp = n & 2, .needs_csum = true };

		spec.payload = netframe_between(seed, 1, 1400);
		netframe_build(&f, &spec, seed);
		pass(q, &f, n & 1);
		spec.needs_csum = false;
		netframe_build(&f, &spec, seed);
		pass(q, &f, false);
	}
	for (unsigned i = 0; i < NETFRAME_GSO_TYPES * 2; i++) {
		uint8_t type = netframe_gso_types[i / 2];
		struct netframe_spec spec = netframe_random_gso(type, seed);

		/* As few segments as a tap's queue and the driver's ring hold at once. */
		spec.gso_size = (uint16_t)netframe_between(
			seed, vio_max(spec.payload / 200 + 8, 100u), 1200);
		/* What is short enough for one segment the kernel takes for a small frame. */
		spec.payload = vio_max(spec.payload, spec.gso_size + 100u);
		if (type == VIO_NET_HDR_GSO_UDP) {
			/* See test_net_kernel.c. */
			spec.gso_size &= 0xfff8;
			spec.hop_by_hop = false;
			spec.destination = false;
		}
		if (type == VIO_NET_HDR_GSO_UDP || type == VIO_NET_HDR_GSO_UDP_L4)
			spec.ipv6 = i & 1;
		netframe_build(&f, &spec, seed);
		pass(q, &f, i & 1);
	}
}

static void run_row(const struct row *row, bool merged, bool packed)
{
	struct vio_features features = vio_features_make(0, 0);
	uint64_t seed = 31;
	struct world w;

	for (const uint8_t *bit = row->bits; *bit != END; bit++) {
		/* The device offers what the kernel has. */
		if (kernel_has_uso || (*bit != NET(GUEST_USO4) && *bit != NET(GUEST_USO6)))
			vio_features_set(&features, *bit);
	}
	if (merged)
		vio_features_set(&features, VIO_NET_F_MRG_RXBUF);
	if (packed)
		vio_features_set(&features, VIO_F_RING_PACKED);
	open_world(&w, features, 0);
	for (unsigned n = 0; n < ROUNDS; n++)
		pass_all(w.q, &seed);
	close_world(&w);
}

static void run_rows(bool merged)
{
	for (unsigned i = 0; i < vio_array_size(rows); i++) {
		print_message("%s\n", rows[i].name);
		run_row(&rows[i], merged, (i & 1) == merged);
	}
}

static void test_merged(void **state)
{
	(void)state;
	run_rows(true);
}

static void test_not_merged(void **state)
{
	(void)state;
	run_rows(false);
}

/* The device's MTU is the tap's and the driver's: frames of it go both ways, longer ones don't start. */
static void test_mtu(void **state)
{
	static struct netframe f;
	struct netframe_spec spec = { .udp = true };
	uint64_t seed = 5;
	struct world w;

	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		struct vio_features features = vio_features_make(vio_feature(VIO_NET_F_MTU), 0);

		if (bits & 1)
			vio_features_set(&features, VIO_NET_F_MRG_RXBUF);
		if (bits & 2)
			vio_features_set(&features, VIO_F_RING_PACKED);
		open_world(&w, features, 9000);
		assert_int_equal(vio_driver_mtu_get(w.d.drv), 9000);
		for (unsigned len = 8900; len <= 9014; len += 19) {
			spec.payload = len - 14 - 20 - 8;
			netframe_build(&f, &spec, &seed);
			assert_int_equal(f.len, len);
			pass(w.q, &f, false);
		}
		spec.payload++;
		netframe_build(&f, &spec, &seed);
		assert_int_equal(f.len, 9015);
		assert_int_equal(pair_send_netframe(w.q, &f, false), -EMSGSIZE);
		close_world(&w);
	}
}

/* NULL, or what can't be had here. */
static const char *set_up(void)
{
	const char *missing = kernel_enter();

	if (missing)
		return missing;
	wire = kernel_tap("wire", 0);
	if (wire < 0)
		return "tap interfaces with a net header";
	kernel_has_uso = kernel_tap_offloads(wire, TUN_F_ALL) && kernel_tap_offloads(wire, 0);
	if (!kernel_bridge(BRIDGE))
		return "bridges";
	if (!kernel_join(BRIDGE, "wire"))
		return "interfaces that can be set up";
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_not_merged),
		cmocka_unit_test(test_mtu),
	};
	const char *missing = set_up();

	if (missing) {
		printf("skipped: this needs %s (%s)\n", missing, strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests_name("pair_kernel", tests, NULL, NULL);
}
