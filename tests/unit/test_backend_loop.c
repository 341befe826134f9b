/* SPDX-License-Identifier: BSD-2-Clause */
/* loop and null: frames come back whole, in order and once, whatever room and offloads there are. */
#include "backend_sink.h"

#include <vioduct/virtio.h>

#include "netframe.h"

static const uint32_t all_offloads = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6 |
				     VIO_OFFLOAD_ECN | VIO_OFFLOAD_UFO | VIO_OFFLOAD_USO4 |
				     VIO_OFFLOAD_USO6;

static void null_takes_all(void **state)
{
	struct vio_backend *be = open_backend("null", 2);
	struct vio_frame frames[64];

	(void)state;
	memset(frames, 0, sizeof(frames));
	assert_int_equal(be->caps.tx_offloads, all_offloads);
	assert_int_equal(be->ops->send(be, 1, frames, 64), 64);
	assert_null(be->ops->receive);
	assert_int_equal(be->ops->fd(be, 0), -1);
	vio_backend_close(be);
}

/* Frames in pieces of any length, of which the last has more room than there is frame. */
static void null_reads_all(void **state)
{
	struct vio_backend *be = open_backend("null,read=on", 2);
	uint8_t bytes[3000] = { 1 };
	struct vio_iov iov[4] = {
		{ NULL, 0 }, { bytes, 61 }, { bytes + 61, 1 }, { bytes + 62, 2000 }
	};
	struct vio_frame frames[2] = { { .iov = &iov[1], .iovcnt = 3, .len = 100 },
				       { .iov = &iov[3], .iovcnt = 1, .len = 2000 } };

	(void)state;
	assert_int_equal(be->ops->send(be, 0, frames, 2), 2);
	assert_int_equal(be->ops->send(be, 1, frames, 2), 2);
	vio_backend_close(be);
}

/* Sends @n numbered frames of @len bytes by bursts, giving buffers in a changing rhythm. */
static void echo_numbered(struct vio_backend *be, struct guest *g, unsigned n, uint32_t len)
{
	uint8_t bytes[3000];
	unsigned at = 0, told = 0;

	for (unsigned round = 0; at < n; round++) {
		struct vio_frame burst[40];
		struct sent_frame s[40];
		unsigned want = vio_min(1 + round % 40, n - at), given = g->num_got;
		int taken;

		for (unsigned i = 0; i < want; i++) {
			numbered_frame(bytes, len, at + i);
			sent_init(&s[i], bytes, len, 1 + (at + i) % 4);
			burst[i] = s[i].frame;
		}
		g->buffers = round % 29;
		taken = be->ops->send(be, 0, burst, want);
		assert_in_range(taken, 0, want);
		assert_int_equal(g->num_got - given, taken);
		assert_int_equal(be->ops->arm(be, 0), taken != 0);
		told += (unsigned)be->ops->receive(be, 0, 64);
		assert_false(be->ops->arm(be, 0));
		at += (unsigned)taken;
		for (unsigned i = 0; i < want; i++)
			sent_exit(&s[i]);
	}
	assert_int_equal(told, n);
	assert_int_equal(g->num_got, n);
	for (unsigned i = 0; i < n; i++) {
		numbered_frame(bytes, len, i);
		assert_int_equal(g->got[i].len, len);
		assert_memory_equal(g->got[i].bytes, bytes, len);
	}
}

static void loses_and_repeats_nothing(void **state)
{
	static const uint32_t lengths[] = { 14, 60, 1514, 3000 };

	(void)state;
	for (unsigned i = 0; i < vio_array_size(lengths); i++) {
		for (unsigned joins = 0; joins < 2; joins++) {
			struct vio_backend *be = open_backend("loop", 1);
			struct guest g;

			guest_init(&g, 0, joins ? 500 : 4000, joins);
			start_one(be, &g);
			echo_numbered(be, &g, 500, lengths[i]);
			be->ops->stop(be);
			vio_backend_close(be);
			guest_exit(&g);
		}
	}
}

/* A frame longer than any buffer is dropped, counted, and holds up nobody. */
static void drops_what_never_fits(void **state)
{
	struct vio_backend *be = open_backend("loop", 1);
	uint8_t bytes[3000];
	struct sent_frame s[3];
	struct vio_frame burst[3];
	struct guest g;

	(void)state;
	guest_init(&g, 10, 1526, false);
	start_one(be, &g);
	for (unsigned i = 0; i < 3; i++) {
		numbered_frame(bytes, i == 1 ? 3000 : 1000, i);
		sent_init(&s[i], bytes, i == 1 ? 3000 : 1000, 2);
		burst[i] = s[i].frame;
	}
	assert_int_equal(be->ops->send(be, 0, burst, 3), 3);
	assert_int_equal(g.num_got, 2);
	assert_memory_equal(g.got[1].bytes, s[2].bytes, 1000);
	assert_int_equal(g.drops[VIO_DROP_TOO_BIG], 1);
	vio_backend_close(be);
	guest_exit(&g);
	for (unsigned i = 0; i < 3; i++)
		sent_exit(&s[i]);
}

/* Meta comes back when the guest accepts such frames; flags that make no sense coming in do not. */
static void keeps_what_the_guest_accepts(void **state)
{
	struct vio_backend *be = open_backend("loop", 1);
	uint64_t seed = 1;
	struct netframe *f = malloc(sizeof(*f));
	struct netframe_spec spec = {
		.payload = 20000,
		.gso_type = VIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1400,
		.needs_csum = true,
		.tcp_flags = 0x10,
	};
	struct sent_frame s;
	struct guest g;

	(void)state;
	netframe_build(f, &spec, &seed);
	sent_init(&s, f->bytes, f->len, 3);
	s.frame.meta = f->meta;
	guest_init(&g, 20, 1526, true);
	start_one(be, &g);
	assert_int_equal(be->ops->set_rx_offloads(be, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4), 0);
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	assert_int_equal(g.num_got, 1);
	assert_int_equal(g.got[0].len, f->len);
	assert_memory_equal(g.got[0].bytes, f->bytes, f->len);
	assert_int_equal(g.got[0].meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(g.got[0].meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(g.got[0].meta.gso_size, 1400);
	assert_int_equal(g.got[0].meta.csum_start, f->meta.csum_start);
	vio_backend_close(be);
	guest_exit(&g);
	sent_exit(&s);
	free(f);
}

/* Without receive offloads the checksum is completed, in a copy: the sent bytes stay. */
static void completes_checksums(void **state)
{
	uint64_t seed = 7;
	struct netframe *f = malloc(sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct vio_backend *be = open_backend("loop", 1);
		struct netframe_spec spec = {
			.ipv6 = i & 1,
			.udp = i & 2,
			.vlan_tags = i % 3,
			.payload = netframe_between(&seed, 0, 1400),
			.needs_csum = true,
			.tcp_flags = 0x10,
		};
		struct sent_frame s;
		struct guest g;
		uint16_t check;

		netframe_build(f, &spec, &seed);
		sent_init(&s, f->bytes, f->len, 1 + i % 8);
		s.frame.meta = f->meta;
		guest_init(&g, 1, 2048, false);
		start_one(be, &g);
		assert_int_equal(be->ops->set_rx_offloads(be, 0), 0);
		assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
		assert_int_equal(be->ops->receive(be, 0, 1), 1);
		assert_int_equal(g.got[0].meta.flags, 0);
		assert_int_equal(g.got[0].len, f->len);
		check = netframe_transport_check(f, g.got[0].bytes, f->len);
		if (spec.udp && check == 0)
			check = 0xffff;
		assert_int_equal(g.got[0].bytes[f->l4 + (spec.udp ? 6 : 16)], check >> 8);
		assert_int_equal(g.got[0].bytes[f->l4 + (spec.udp ? 7 : 17)], check & 0xff);
		assert_memory_equal(s.bytes, f->bytes, f->len);
		/* No room: kept by the caller, and completed when it comes again. */
		assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 0);
		g.buffers = 1;
		assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
		assert_memory_equal(g.got[0].bytes, g.got[1].bytes, f->len);
		vio_backend_close(be);
		guest_exit(&g);
		sent_exit(&s);
	}
	free(f);
}

/*
 * Without segmentation accepted, large frames come back as their segments, each once and in order,
 * with the guest's buffers coming a few at a time; a frame behind them comes behind them.
 */
static void cuts_large_frames(void **state)
{
	static const uint8_t types[] = {
		VIO_NET_HDR_GSO_TCPV4,
		VIO_NET_HDR_GSO_TCPV6,
		VIO_NET_HDR_GSO_UDP_L4,
		VIO_NET_HDR_GSO_TCPV4 | VIO_NET_HDR_GSO_ECN,
	};
	uint64_t seed = 99;
	struct netframe *f = malloc(sizeof(*f));
	uint8_t *segment = malloc(NETFRAME_MAX);

	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		struct vio_backend *be = open_backend("loop", 1);
		struct netframe_spec spec = netframe_random_gso(types[i % 4], &seed);
		struct sent_frame s, behind;
		uint8_t bytes[60];
		unsigned told = 0, segments = 0;
		struct guest g;

		spec.gso_size = (uint16_t)netframe_between(&seed, 200, 1400);
		spec.payload = netframe_between(&seed, 201, 50000);
		netframe_build(f, &spec, &seed);
		sent_init(&s, f->bytes, f->len, 1 + i % 8);
		s.frame.meta = f->meta;
		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&behind, bytes, sizeof(bytes), 1);
		guest_init(&g, i % 5, 2048, false);
		start_one(be, &g);
		assert_int_equal(be->ops->set_rx_offloads(be, VIO_OFFLOAD_CSUM), 0);
		assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
		memset(s.bytes, 0xee, f->len); /* it is the guest's again */
		while (be->ops->send(be, 0, &behind.frame, 1) == 0) {
			told += (unsigned)be->ops->receive(be, 0, 64);
			assert_false(be->ops->arm(be, 0)); /* until there are buffers */
			g.buffers += 1 + i % 7;
		}
		told += (unsigned)be->ops->receive(be, 0, 64);
		assert_int_equal(told, g.num_got);
		for (;; segments++) {
			uint32_t len = netframe_segment(f, segments, segment);

			if (len == 0)
				break;
			assert_true(segments < g.num_got);
			assert_int_equal(g.got[segments].len, len);
			assert_memory_equal(g.got[segments].bytes, segment, len);
			assert_int_equal(g.got[segments].meta.gso_type, 0);
		}
		assert_int_equal(g.num_got, segments + 1);
		assert_memory_equal(g.got[segments].bytes, bytes, sizeof(bytes));
		vio_backend_close(be);
		guest_exit(&g);
		sent_exit(&s);
		sent_exit(&behind);
	}
	free(segment);
	free(f);
}

/* A frame that says it is to be cut but can't be is refused; the others are not affected. */
static void refuses_what_cant_be_cut(void **state)
{
	struct vio_backend *be = open_backend("loop", 1);
	uint8_t bytes[200];
	struct sent_frame s;
	struct vio_frame burst[2];
	struct guest g;

	(void)state;
	numbered_frame(bytes, sizeof(bytes), 0);
	sent_init(&s, bytes, sizeof(bytes), 1);
	burst[0] = burst[1] = s.frame;
	burst[1].meta.gso_type = VIO_NET_HDR_GSO_TCPV4;
	burst[1].meta.gso_size = 100;
	guest_init(&g, 10, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->send(be, 0, burst, 2), 1);
	assert_true(be->ops->send(be, 0, &burst[1], 1) < 0);
	assert_int_equal(be->ops->send(be, 0, burst, 1), 1);
	assert_int_equal(g.num_got, 2);
	vio_backend_close(be);
	guest_exit(&g);
	sent_exit(&s);
}

/* Segments that wait survive a stop, for other buffers of the same pair. */
static void keeps_segments_over_a_stop(void **state)
{
	struct vio_backend *be = open_backend("loop", 1);
	uint64_t seed = 5;
	struct netframe *f = malloc(sizeof(*f));
	struct netframe_spec spec = {
		.payload = 5000,
		.gso_type = VIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1000,
		.needs_csum = true,
		.tcp_flags = 0x10,
	};
	struct guest g, other;
	struct sent_frame s;

	(void)state;
	netframe_build(f, &spec, &seed);
	sent_init(&s, f->bytes, f->len, 1);
	s.frame.meta = f->meta;
	guest_init(&g, 2, 2048, false);
	guest_init(&other, 10, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	assert_int_equal(g.num_got, 2);
	be->ops->stop(be);
	start_one(be, &other);
	assert_int_equal(be->ops->receive(be, 0, 2), 2);
	assert_true(be->ops->arm(be, 0)); /* there is room, only the budget was short */
	assert_int_equal(be->ops->receive(be, 0, 64), 1);
	assert_int_equal(other.num_got, 3);
	vio_backend_close(be);
	guest_exit(&g);
	guest_exit(&other);
	sent_exit(&s);
	free(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_takes_all),
		cmocka_unit_test(null_reads_all),
		cmocka_unit_test(loses_and_repeats_nothing),
		cmocka_unit_test(drops_what_never_fits),
		cmocka_unit_test(keeps_what_the_guest_accepts),
		cmocka_unit_test(completes_checksums),
		cmocka_unit_test(cuts_large_frames),
		cmocka_unit_test(refuses_what_cant_be_cut),
		cmocka_unit_test(keeps_segments_over_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
