/* SPDX-License-Identifier: BSD-2-Clause */
/* Merging is the reverse of segmenting: what is cut and merged is what it was, and nothing else is. */
#include "backend_sink.h"

#include <vioduct/virtio.h>

#include "backend/merge.h"
#include "base/endian.h"
#include "netframe.h"

static const uint32_t accepts = VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6;

static struct netframe_spec large_spec(bool ipv6, unsigned vlan, unsigned options, uint32_t payload)
{
	return (struct netframe_spec){
		.ipv6 = ipv6,
		.vlan_tags = vlan,
		.tcp_options = options,
		.tcp_flags = 0x18,
		.payload = payload,
		.gso_type = ipv6 ? VIO_NET_HDR_GSO_TCPV6 : VIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1400,
		.needs_csum = true,
	};
}

static void restores_what_was_cut(void **state)
{
	struct netframe *f = malloc(sizeof(*f));
	struct vio_merge *m = calloc(1, sizeof(*m));
	uint8_t *segment = malloc(NETFRAME_MAX);
	uint64_t seed = 21;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct netframe_spec spec =
			large_spec(i % 2, i % 3, i % 4 * 4, netframe_between(&seed, 1401, 60000));
		struct vio_net_meta meta;
		uint32_t len;

		netframe_build(f, &spec, &seed);
		for (unsigned k = 0; (len = netframe_segment(f, k, segment)) != 0; k++)
			assert_true(vio_merge_add(m, accepts, segment, len));
		/* The last one ended it. */
		assert_false(vio_merge_add(m, accepts, segment, netframe_segment(f, 0, segment)));
		assert_int_equal(vio_merge_finish(m, &meta), f->len);
		assert_memory_equal(m->bytes, f->bytes, f->len);
		assert_int_equal(meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(meta.gso_type, spec.gso_type);
		assert_int_equal(meta.gso_size, 1400);
		assert_int_equal(meta.csum_start, f->meta.csum_start);
		assert_int_equal(meta.csum_offset, f->meta.csum_offset);
		assert_int_equal(vio_merge_finish(m, &meta), 0);
	}
	free(segment);
	free(m);
	free(f);
}

static void leaves_one_segment_alone(void **state)
{
	struct netframe *f = malloc(sizeof(*f));
	struct vio_merge *m = calloc(1, sizeof(*m));
	uint8_t *segment = malloc(NETFRAME_MAX);
	struct netframe_spec spec = large_spec(false, 0, 0, 5000);
	struct vio_net_meta meta, none = { 0 };
	uint64_t seed = 22;
	uint32_t len;

	(void)state;
	netframe_build(f, &spec, &seed);
	len = netframe_segment(f, 0, segment);
	assert_true(vio_merge_add(m, accepts, segment, len));
	assert_int_equal(vio_merge_finish(m, &meta), len);
	assert_memory_equal(m->bytes, segment, len);
	assert_memory_equal(&meta, &none, sizeof(meta));
	free(segment);
	free(m);
	free(f);
}

/* A second segment that differs in any byte of its headers, but for what must differ, stays apart. */
static void keeps_strangers_apart(void **state)
{
	struct netframe *f = malloc(sizeof(*f));
	struct vio_merge *m = calloc(1, sizeof(*m));
	uint8_t *first = malloc(NETFRAME_MAX), *second = malloc(NETFRAME_MAX);
	uint64_t seed = 23;

	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct netframe_spec spec = large_spec(v6, 0, 12, 5000);
		uint32_t len, second_len, l4 = v6 ? 54 : 34, merged = 0;

		netframe_build(f, &spec, &seed);
		len = netframe_segment(f, 0, first);
		second_len = netframe_segment(f, 1, second);
		for (uint32_t at = 0; at < f->payload_at; at++) {
			struct vio_net_meta meta;
			/* IPv4: identification and checksum; TCP: checksum; the PSH flag. */
			bool free_byte = (!v6 && (at == 18 || at == 19 || at == 24 || at == 25)) ||
					 at == l4 + 16 || at == l4 + 17;

			assert_true(vio_merge_add(m, accepts, first, len));
			second[at] ^= 1;
			assert_int_equal(vio_merge_add(m, accepts, second, second_len), free_byte);
			second[at] ^= 1;
			merged += free_byte;
			vio_merge_finish(m, &meta);
		}
		assert_int_equal(merged, v6 ? 2 : 6);
	}
	free(second);
	free(first);
	free(m);
	free(f);
}

/* Flags other than ACK and PSH, other protocols, and what the guest does not take. */
static void refuses_what_cant_be_merged(void **state)
{
	struct netframe *f = malloc(sizeof(*f));
	struct vio_merge *m = calloc(1, sizeof(*m));
	uint8_t *segment = malloc(NETFRAME_MAX);
	struct netframe_spec spec = large_spec(false, 0, 0, 5000);
	uint64_t seed = 24;
	uint32_t len;

	(void)state;
	netframe_build(f, &spec, &seed);
	len = netframe_segment(f, 0, segment);
	assert_false(vio_merge_add(m, 0, segment, len));
	assert_false(vio_merge_add(m, VIO_OFFLOAD_TSO4, segment, len));
	assert_false(vio_merge_add(m, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO6, segment, len));
	for (unsigned bit = 0; bit < 8; bit++) {
		segment[f->l4 + 13] ^= (uint8_t)(1 << bit);
		if (bit != 3)
			assert_false(vio_merge_add(m, accepts, segment, len));
		segment[f->l4 + 13] ^= (uint8_t)(1 << bit);
	}
	/* Padding behind IP, or less than IP says. */
	assert_false(vio_merge_add(m, accepts, segment, len - 1));
	vio_put_be16(segment + 16, (uint16_t)(len - 15));
	assert_false(vio_merge_add(m, accepts, segment, len));
	for (uint32_t n = 0; n < 60; n++)
		assert_false(vio_merge_add(m, accepts, segment, n));
	/* An acknowledgement has nothing to merge. */
	vio_put_be16(segment + 16, 40);
	assert_false(vio_merge_add(m, accepts, segment, 54));
	free(segment);
	free(m);
	free(f);
}

/* IP can't say more than 65535: the collection ends before. */
static void ends_at_the_limit_of_ip(void **state)
{
	struct netframe *f = malloc(sizeof(*f));
	struct vio_merge *m = calloc(1, sizeof(*m));
	uint8_t *segment = malloc(NETFRAME_MAX);
	struct netframe_spec spec = large_spec(false, 0, 0, 3000);
	struct vio_net_meta meta;
	uint64_t seed = 25;
	uint32_t len, sequence;
	unsigned n = 0;

	(void)state;
	netframe_build(f, &spec, &seed);
	len = netframe_segment(f, 0, segment);
	sequence = vio_get_be32(segment + f->l4 + 4);
	while (vio_merge_add(m, accepts, segment, len)) {
		vio_put_be32(segment + f->l4 + 4, sequence += 1400);
		assert_true(++n < 100);
	}
	assert_int_equal(n, (65535 - 40) / 1400);
	assert_int_equal(vio_merge_finish(m, &meta), 54 + n * 1400);
	free(segment);
	free(m);
	free(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(restores_what_was_cut),
		cmocka_unit_test(leaves_one_segment_alone),
		cmocka_unit_test(keeps_strangers_apart),
		cmocka_unit_test(refuses_what_cant_be_merged),
		cmocka_unit_test(ends_at_the_limit_of_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
