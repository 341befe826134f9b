/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subsets of features, pairwise: for any two features, and each of the ways in which they may stand
 * together, some row of the array below is negotiated between our two halves, and frames of all kinds
 * that it allows go out and come back through the loop back end.
 *
 * What has to come of it follows from the accepted set alone. A frame that asks for what was not
 * negotiated stays its sender's. Of the others each comes back as it was when its receiver accepts
 * such frames; else finished: with its checksum, or as the segments that a slow reference (netframe)
 * makes of it. Which subsets are possible at all is worked out from a table of requirements that is
 * the test's own, to be held against the one of the library.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "check.h"
#include "netframe.h"
#include "pair_driver.h"
#include "pair_offload.h"

/* ---- Features and what they require (virtio 1.4, 5.1.3.1) ------------------------------------- */

#define NET(f) VIO_NET_F_##f

/* Each may be on or off. What the list of the specification has for it: one of the two. */
static const struct param {
	const char *name;
	uint8_t bit;
	uint8_t needs[2]; /* 0: none (no feature here needs bit 0 alone, see CSUM) */
} params[] = {
#define FREE(f)                  \
	{                        \
#f, NET(f),      \
		{                \
			255, 255 \
		}                \
	}
#define NEEDS(f, a)                    \
	{                              \
#f, NET(f),            \
		{                      \
			NET(a), NET(a) \
		}                      \
	}
#define EITHER(f, a, b)                \
	{                              \
#f, NET(f),            \
		{                      \
			NET(a), NET(b) \
		}                      \
	}
#define RING(f)                  \
	{                        \
#f, VIO_F_##f,   \
		{                \
			255, 255 \
		}                \
	}
	FREE(MRG_RXBUF),
	FREE(CSUM),
	FREE(GUEST_CSUM),
	NEEDS(GUEST_TSO4, GUEST_CSUM),
	NEEDS(GUEST_TSO6, GUEST_CSUM),
	EITHER(GUEST_ECN, GUEST_TSO4, GUEST_TSO6),
	NEEDS(GUEST_UFO, GUEST_CSUM),
	NEEDS(GUEST_USO4, GUEST_CSUM),
	NEEDS(GUEST_USO6, GUEST_CSUM),
	NEEDS(HOST_TSO4, CSUM),
	NEEDS(HOST_TSO6, CSUM),
	EITHER(HOST_ECN, HOST_TSO4, HOST_TSO6),
	NEEDS(HOST_UFO, CSUM),
	NEEDS(HOST_USO, CSUM),
	FREE(GUEST_HDRLEN),
	FREE(MTU),
	FREE(STATUS),
	FREE(MQ), /* the control queue that it needs is the front end's own affair */
	RING(INDIRECT_DESC),
	RING(EVENT_IDX),
	RING(RING_PACKED),
	RING(IN_ORDER),
	RING(RING_RESET),
};

#define PARAMS	 ((unsigned)(sizeof(params) / sizeof(params[0])))
#define MAX_ROWS 64

static bool test_bit(uint64_t set, unsigned bit)
{
	return set >> bit & 1;
}

static bool met(uint64_t set, const struct param *p)
{
	return p->needs[0] == 255 || test_bit(set, p->needs[0]) || test_bit(set, p->needs[1]);
}

/* What is left of @set when nothing in it lacks what it requires. */
static uint64_t closed(uint64_t set)
{
	uint64_t before;

	do {
		before = set;
		for (unsigned i = 0; i < PARAMS; i++)
			if (!met(set, &params[i]))
				set &= ~(UINT64_C(1) << params[i].bit);
	} while (set != before);
	return set;
}

/* ---- The array ------------------------------------------------------------------------------- */

/* covered[i][j][k]: features i and j were seen as k says: bit 0 for i, bit 1 for j. */
static bool covered[PARAMS][PARAMS][4];
static uint64_t rows[MAX_ROWS];
static unsigned num_rows;

static unsigned how(uint64_t set, unsigned i, unsigned j)
{
	return (unsigned)test_bit(set, params[i].bit) | (unsigned)test_bit(set, params[j].bit) << 1;
}

/* Pairs that @set would cover and no row does yet. With @mark they are covered then. */
static unsigned gain(uint64_t set, bool mark)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PARAMS; i++)
		for (unsigned j = 0; j < i; j++) {
			bool *c = &covered[i][j][how(set, i, j)];

			n += !*c;
			*c |= mark;
		}
	return n;
}

static void force(uint64_t *set, unsigned i, bool on)
{
	uint64_t bit = UINT64_C(1) << params[i].bit;

	*set = on ? *set | bit : *set & ~bit;
	/* What it requires comes along; the first of two, unless the caller takes that away again. */
	for (unsigned k = 0; on && k < PARAMS; k++)
		if (params[i].needs[0] != 255 && params[k].bit == params[i].needs[0])
			force(set, k, true);
}

/* A closed set in which i and j stand as @want says, the rest by chance. 0 tries are too few only
 * when there is none: that is looked at where it is used. */
static bool candidate(unsigned i, unsigned j, unsigned want, uint64_t *seed, uint64_t *set)
{
	for (unsigned attempt = 0; attempt < 64; attempt++) {
		uint64_t s = 0;

		for (unsigned k = 0; k < PARAMS; k++)
			if (netframe_between(seed, 0, 1))
				s |= UINT64_C(1) << params[k].bit;
		force(&s, i, want & 1);
		force(&s, j, want >> 1 & 1);
		s = closed(s);
		if (how(s, i, j) == want) {
			*set = s;
			return true;
		}
	}
	return false;
}

/* Whether feature @i can't be there without feature @j. */
static bool implies(unsigned i, unsigned j)
{
	const struct param *p = &params[i];

	if (p->needs[0] == 255)
		return false;
	for (unsigned k = 0; k < PARAMS; k++)
		if (params[k].bit == p->needs[0] && p->needs[0] == p->needs[1])
			return k == j || implies(k, j);
	/* One of two: what both of them require. */
	for (unsigned k = 0; k < PARAMS; k++)
		if (params[k].bit == p->needs[0])
			return implies(k, j);
	return false;
}

/* Only this is impossible: on without what it requires. */
static bool impossible(unsigned i, unsigned j, unsigned want)
{
	return (want == 1 && implies(i, j)) || (want == 2 && implies(j, i));
}

/* Greedy, and always the same: of forty candidates for a pair that is missing the one that covers
 * most. */
static void make_array(void)
{
	uint64_t seed = 20, set, best = 0;

	for (unsigned i = 0; i < PARAMS; i++)
		for (unsigned j = 0; j < i; j++)
			for (unsigned want = 0; want < 4; want++) {
				unsigned most = 0;

				if (covered[i][j][want])
					continue;
				for (unsigned n = 0; n < 40; n++) {
					if (!candidate(i, j, want, &seed, &set))
						break;
					if (gain(set, false) > most) {
						most = gain(set, false);
						best = set;
					}
				}
				if ((most == 0) != impossible(i, j, want))
					fail_msg("%s and %s as %u: %s", params[i].name,
						 params[j].name, want,
						 most ? "should be impossible" : "not found");
				if (most == 0)
					continue;
				gain(best, true);
				assert_true(num_rows < MAX_ROWS);
				rows[num_rows++] = best;
			}
}

static int setup(void **state)
{
	(void)state;
	make_array();
	return 0;
}

/* Every pair stands in some row as it may, and the library agrees about what may be. */
static void test_s9_array_covers_all_pairs(void **state)
{
	unsigned pairs = 0;

	(void)state;
	for (unsigned i = 0; i < PARAMS; i++)
		for (unsigned j = 0; j < i; j++)
			for (unsigned want = 0; want < 4; want++) {
				bool found = false;

				for (unsigned r = 0; r < num_rows; r++)
					found |= how(rows[r], i, j) == want;
				assert_int_equal(found, !impossible(i, j, want));
				pairs += found;
			}
	for (unsigned r = 0; r < num_rows; r++) {
		struct vio_features set =
			vio_features_make(rows[r] | vio_feature(VIO_NET_F_CTRL_VQ), 0);

		assert_int_equal(vio_features_missing(set, NULL, 0), 0);
	}
	print_message("%u rows for %u pairs of %u features\n", num_rows, pairs, PARAMS);
	assert_true(num_rows < 40);
}

/* The library's closure is the test's, of whatever set. */
static void test_s9_closure(void **state)
{
	uint64_t seed = 7, ctrl = vio_feature(VIO_NET_F_CTRL_VQ);

	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		uint64_t s = 0;

		for (unsigned k = 0; k < PARAMS; k++)
			if (netframe_between(&seed, 0, 2))
				s |= UINT64_C(1) << params[k].bit;
		assert_true(vio_features_close(vio_features_make(s | ctrl, 0)).w[0] ==
			    (closed(s) | ctrl));
	}
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void expect_whole(struct pair_queue *q, const struct netframe *f)
{
	static uint8_t got[NETFRAME_MAX];
	struct vio_net_meta meta;

	assert_int_equal(pair_receive_bytes(q, got, &meta), f->len);
	assert_memory_equal(got, f->bytes, f->len);
	assert_int_equal(meta.flags, f->meta.flags);
	assert_int_equal(meta.gso_type, f->meta.gso_type);
	assert_int_equal(meta.gso_size, f->meta.gso_size);
	assert_int_equal(meta.csum_start, f->meta.csum_start);
	assert_int_equal(meta.csum_offset, f->meta.csum_offset);
	/* What was negotiated to be exact is, though the caller did not know. */
	if (f->meta.gso_type)
		assert_int_equal(meta.hdr_len,
				 pair_has(q->d, NET(GUEST_HDRLEN)) ? f->payload_at : 3);
}

/* What is left when all is done by the reference. */
static void expect_finished(struct pair_queue *q, const struct netframe *f)
{
	static uint8_t want[NETFRAME_MAX], got[NETFRAME_MAX];
	struct vio_net_meta meta;
	uint32_t len;

	for (unsigned i = 0; (len = netframe_finished(f, i, want)) > 0; i++) {
		assert_int_equal(pair_receive_bytes(q, got, &meta), len);
		netframe_clear_id(f, got);
		assert_memory_equal(got, want, len);
		assert_int_equal(meta.flags & VIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(meta.gso_type, VIO_NET_HDR_GSO_NONE);
	}
}

static void pass(struct pair_queue *q, const struct netframe *f, bool split)
{
	bool may = pair_allowed(q->d, f, true);

	assert_int_equal(pair_send_netframe(q, f, split), may ? 1 : -EINVAL);
	if (!may)
		return;
	if (pair_allowed(q->d, f, false))
		expect_whole(q, f);
	else
		expect_finished(q, f);
}

static void pass_plain(struct pair_queue *q, uint64_t *seed)
{
	static struct netframe f;
	struct netframe_spec spec = { .ipv6 = netframe_between(seed, 0, 1),
				      .udp = netframe_between(seed, 0, 1),
				      .payload = netframe_between(seed, 0, 1400) };

	netframe_build(&f, &spec, seed);
	pass(q, &f, false);
	spec.needs_csum = true;
	netframe_build(&f, &spec, seed);
	pass(q, &f, spec.payload > 10);
}

static void pass_gso(struct pair_queue *q, uint64_t *seed)
{
	static struct netframe f;

	for (unsigned i = 0; i < NETFRAME_GSO_TYPES; i++)
		for (unsigned n = 0; n < 6; n++) {
			struct netframe_spec spec =
				netframe_random_gso(netframe_gso_types[i], seed);

			spec.gso_size = (uint16_t)netframe_between(
				seed, vio_max(spec.payload / 300 + 8, 100u), 1200);
			spec.vlan_tags = 0;
			netframe_build(&f, &spec, seed);
			pass(q, &f, f.len > f.l4 + 1 && n % 2);
		}
}

/* Frames as long as the MTU, and longer where nothing forbids that and its receiver has room. */
static void pass_long(struct pair_queue *q, uint64_t *seed)
{
	static const uint32_t lens[] = { 1514, 1515, 1519, 4000, 9014, 65549 };
	static struct netframe f;
	struct netframe_spec spec = { .udp = true };

	for (unsigned i = 0; i < vio_array_size(lens); i++) {
		bool too_long = pair_has(q->d, NET(MTU)) && lens[i] > 1514;

		spec.payload = lens[i] - 14 - 20 - 8;
		netframe_build(&f, &spec, seed);
		assert_int_equal(f.len, lens[i]);
		if (too_long) {
			assert_int_equal(pair_send_netframe(q, &f, false), -EMSGSIZE);
			continue;
		}
		if (lens[i] > 1514 && !pair_has(q->d, NET(MRG_RXBUF)))
			continue; /* as long as that, no single buffer need be */
		pass(q, &f, false);
	}
}

/* The driver wants @want, and is to end up with what the test says is left of that. */
static void run_set(uint64_t want, uint64_t *seed)
{
	struct pair_device_conf device_conf = { .pairs = 2, .busy_poll_us = 50 };
	struct pair_driver_conf conf = { .mtu = 1500, .pairs = 1 };
	static struct pair_world w;
	struct vio_driver_info info;

	conf.want = vio_features_make(want | vio_feature(VIO_F_VERSION_1), 0);
	if (test_bit(want, NET(MQ)))
		conf.pairs = 2;
	pair_world_open(&w, device_conf, conf);
	vio_driver_get_info(w.d.drv, &info);
	assert_true(info.accepted.w[0] == (closed(want) | vio_feature(VIO_F_VERSION_1)));
	assert_int_equal(info.hdr_size, 12);
	for (unsigned id = 0; id < w.d.pairs; id++)
		for (unsigned n = 0; n < 3; n++) {
			pass_plain(w.d.queues[id], seed);
			pass_gso(w.d.queues[id], seed);
			pass_long(w.d.queues[id], seed);
			/* A fresh ring goes on like the first. */
			if (pair_has(&w.d, VIO_F_RING_RESET)) {
				pair_queue_finish(w.d.queues[id]);
				check(vio_driver_queue_reset(w.d.drv, VIO_RXQ(id), 128u << n,
							     NULL) == 0);
				check(vio_driver_queue_reset(w.d.drv, VIO_TXQ(id), 512u >> n,
							     NULL) == 0);
			}
		}
	for (unsigned id = 0; id < w.d.pairs; id++)
		pair_queue_finish(w.d.queues[id]);
	pair_driver_close(&w.d);
	pair_device_stop(&w.device);
	assert_int_equal(w.device.counts.status.protocol_errors, 0);
	pair_dir_remove(w.dir);
}

static void test_pairwise(void **state)
{
	uint64_t seed = 4711;

	(void)state;
	for (unsigned r = 0; r < num_rows; r++)
		run_set(rows[r], &seed);
}

/* Sets that are not closed: what is left of them is what both sides go by. */
static void test_s9_driver_closes(void **state)
{
	uint64_t seed = 99, want;

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		do {
			want = 0;
			for (unsigned k = 0; k < PARAMS; k++)
				if (netframe_between(&seed, 0, 1))
					want |= UINT64_C(1) << params[k].bit;
		} while (closed(want) == want);
		run_set(want, &seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s9_array_covers_all_pairs),
		cmocka_unit_test(test_s9_closure),
		cmocka_unit_test(test_pairwise),
		cmocka_unit_test(test_s9_driver_closes),
	};

	return cmocka_run_group_tests_name("features", tests, setup, NULL);
}
