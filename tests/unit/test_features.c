/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The feature table: names (U1), requirements (S9), header sizes (S1, S3), receive buffers, and the
 * size of the configuration space (U2, Q3). What is expected is written down here a second time,
 * from the specification and in another form than the table's, so that a slip in one shows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <vioduct/features.h>

#include "random.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	int bit;
	const char *name;
} expected[] = {
	{ 0, "VIRTIO_NET_F_CSUM" },
	{ 1, "VIRTIO_NET_F_GUEST_CSUM" },
	{ 2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS" },
	{ 3, "VIRTIO_NET_F_MTU" },
	{ 5, "VIRTIO_NET_F_MAC" },
	{ 6, "VIRTIO_NET_F_GSO" },
	{ 7, "VIRTIO_NET_F_GUEST_TSO4" },
	{ 8, "VIRTIO_NET_F_GUEST_TSO6" },
	{ 9, "VIRTIO_NET_F_GUEST_ECN" },
	{ 10, "VIRTIO_NET_F_GUEST_UFO" },
	{ 11, "VIRTIO_NET_F_HOST_TSO4" },
	{ 12, "VIRTIO_NET_F_HOST_TSO6" },
	{ 13, "VIRTIO_NET_F_HOST_ECN" },
	{ 14, "VIRTIO_NET_F_HOST_UFO" },
	{ 15, "VIRTIO_NET_F_MRG_RXBUF" },
	{ 16, "VIRTIO_NET_F_STATUS" },
	{ 17, "VIRTIO_NET_F_CTRL_VQ" },
	{ 18, "VIRTIO_NET_F_CTRL_RX" },
	{ 19, "VIRTIO_NET_F_CTRL_VLAN" },
	{ 20, "VIRTIO_NET_F_CTRL_RX_EXTRA" },
	{ 21, "VIRTIO_NET_F_GUEST_ANNOUNCE" },
	{ 22, "VIRTIO_NET_F_MQ" },
	{ 23, "VIRTIO_NET_F_CTRL_MAC_ADDR" },
	{ 24, "VIRTIO_F_NOTIFY_ON_EMPTY" },
	{ 27, "VIRTIO_F_ANY_LAYOUT" },
	{ 28, "VIRTIO_F_INDIRECT_DESC" },
	{ 29, "VIRTIO_F_EVENT_IDX" },
	{ 30, "VIRTIO_F_UNUSED" },
	{ 32, "VIRTIO_F_VERSION_1" },
	{ 33, "VIRTIO_F_ACCESS_PLATFORM" },
	{ 34, "VIRTIO_F_RING_PACKED" },
	{ 35, "VIRTIO_F_IN_ORDER" },
	{ 36, "VIRTIO_F_ORDER_PLATFORM" },
	{ 37, "VIRTIO_F_SR_IOV" },
	{ 38, "VIRTIO_F_NOTIFICATION_DATA" },
	{ 39, "VIRTIO_F_NOTIF_CONFIG_DATA" },
	{ 40, "VIRTIO_F_RING_RESET" },
	{ 41, "VIRTIO_F_ADMIN_VQ" },
	{ 42, "VIRTIO_NET_F_GUEST_RSC6" },
	{ 43, "VIRTIO_F_SUSPEND" },
	{ 50, "VIRTIO_NET_F_DEVICE_STATS" },
	{ 51, "VIRTIO_NET_F_HASH_TUNNEL" },
	{ 52, "VIRTIO_NET_F_VQ_NOTF_COAL" },
	{ 53, "VIRTIO_NET_F_NOTF_COAL" },
	{ 54, "VIRTIO_NET_F_GUEST_USO4" },
	{ 55, "VIRTIO_NET_F_GUEST_USO6" },
	{ 56, "VIRTIO_NET_F_HOST_USO" },
	{ 57, "VIRTIO_NET_F_HASH_REPORT" },
	{ 59, "VIRTIO_NET_F_GUEST_HDRLEN" },
	{ 60, "VIRTIO_NET_F_RSS" },
	{ 61, "VIRTIO_NET_F_RSC_EXT" },
	{ 62, "VIRTIO_NET_F_STANDBY" },
	{ 63, "VIRTIO_NET_F_SPEED_DUPLEX" },
	{ 64, "VIRTIO_NET_F_RSS_CONTEXT" },
	{ 65, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO" },
	{ 66, "VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM" },
	{ 67, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO" },
	{ 68, "VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM" },
	{ 69, "VIRTIO_NET_F_OUT_NET_HEADER" },
	{ 70, "VIRTIO_NET_F_IPSEC" },
};

/* The part behind "VIRTIO_NET_F_" or "VIRTIO_F_". */
static const char *tail(const char *name)
{
	return strstr(name, "_F_") + 3;
}

/* Copies @name with every letter in the case wanted and, if wanted, '-' for '_'. */
static const char *spell(char *out, const char *name, int upper, int dashes)
{
	size_t i;

	for (i = 0; name[i] != '\0'; i++) {
		char c = name[i];

		if (c >= 'a' && c <= 'z' && upper)
			c = (char)(c - 'a' + 'A');
		else if (c >= 'A' && c <= 'Z' && !upper)
			c = (char)(c - 'A' + 'a');
		out[i] = (c == '_' && dashes) ? '-' : c;
	}
	out[i] = '\0';
	return out;
}

static const char *expected_name(unsigned bit)
{
	for (size_t i = 0; i < COUNT(expected); i++) {
		if ((unsigned)expected[i].bit == bit)
			return expected[i].name;
	}
	return NULL;
}

/* U1: every bit there is, assigned or not, to its name. */
static void test_u1_bit_to_name(void **state)
{
	char buf[64];

	(void)state;
	for (unsigned bit = 0; bit < 300; bit++) {
		const char *name = expected_name(bit);

		if (name == NULL) {
			assert_null(vio_feature_name(bit));
			assert_null(vio_feature_short_name(bit));
			assert_null(vio_feature_find(bit));
			continue;
		}
		assert_string_equal(vio_feature_name(bit), name);
		assert_string_equal(vio_feature_short_name(bit), spell(buf, tail(name), 0, 0));
		assert_int_equal(vio_feature_find(bit)->bit, bit);
	}
	assert_null(vio_feature_name(~0u));
}

/* U1: every name in every spelling, back to its bit. */
static void test_u1_name_to_bit(void **state)
{
	char buf[64];

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		for (int form = 0; form < 4; form++) {
			int upper = form & 1, dashes = form >> 1;
			const char *full = expected[i].name;

			spell(buf, full, upper, dashes);
			assert_int_equal(vio_feature_bit(buf), expected[i].bit);
			spell(buf, tail(full), upper, dashes);
			assert_int_equal(vio_feature_bit(buf), expected[i].bit);
		}
	}
	assert_int_equal(vio_feature_bit("Guest-tSo_4"), -ENOENT);
	assert_int_equal(vio_feature_bit("Virtio-net_f-Guest-tSo4"), 7);
}

/* U1: bit 41 has two names; both are known, the bit itself is called by the current one. */
static void test_u1_shared_bit(void **state)
{
	(void)state;
	assert_int_equal(vio_feature_bit("guest_rsc4"), 41);
	assert_int_equal(vio_feature_bit("VIRTIO_NET_F_GUEST_RSC4"), 41);
	assert_int_equal(vio_feature_bit("admin_vq"), 41);
	assert_false(vio_feature_find(41)->legacy);
}

static void test_u1_wrong_names(void **state)
{
	static const char *const wrong[] = {
		"",
		"csu",
		"csumm",
		" csum",
		"csum ",
		"VIRTIO_F_CSUM",
		"VIRTIO_NET_F_",
		"net_f_mtu",
		"_csum",
		"mrg-rx",
		"0",
		"VIRTIO_NET_F_VERSION_1",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(vio_feature_bit(wrong[i]), -ENOENT);
	assert_int_equal(vio_feature_bit(NULL), -ENOENT);
}

/* U1: the table is in order, complete, and its entries are consistent in themselves. */
static void test_u1_table(void **state)
{
	static const unsigned legacy[] = { 6, 24, 27, 30, 41, 42 };
	const struct vio_feature_info *f;
	size_t n, old = 0;
	int last = -1;

	(void)state;
	for (n = 0; (f = vio_feature_at(n)) != NULL; n++) {
		assert_true(f->bit > last || (f->bit == last && f->legacy));
		last = f->bit;
		assert_true(strlen(f->name) < VIO_FEATURE_NAME_MAX);
		assert_true(f->since >= VIO_SPEC_1_0 && f->since <= VIO_SPEC_1_4);
		assert_true(f->num_needs <= VIO_FEATURE_NEEDS);
		assert_int_equal(f->num_needs == 0, f->strength == VIO_NEED_NONE);
		if (!f->legacy)
			continue;
		assert_true(old < COUNT(legacy));
		assert_int_equal(f->bit, legacy[old++]);
	}
	assert_int_equal(n, COUNT(expected) + 1);
	assert_int_equal(old, COUNT(legacy));
	assert_null(vio_feature_at((size_t)-1));
}

/* U1: the version of each, counted off the published texts. */
static void test_u1_since(void **state)
{
	static const struct {
		unsigned since;
		const char *bits;
	} versions[] = {
		{ VIO_SPEC_1_1, " 3 33 34 35 36 37 38 42 61 62 " },
		{ VIO_SPEC_1_2, " 39 40 56 57 59 60 63 " },
		{ VIO_SPEC_1_3, " 20 41 51 52 53 54 55 " },
		{ VIO_SPEC_1_4, " 43 50 64 65 66 67 68 69 70 " },
	};
	char key[16];

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		unsigned since = VIO_SPEC_1_0;

		snprintf(key, sizeof(key), " %d ", expected[i].bit);
		for (size_t v = 0; v < COUNT(versions); v++) {
			if (strstr(versions[v].bits, key) != NULL)
				since = versions[v].since;
		}
		assert_int_equal(vio_feature_find((unsigned)expected[i].bit)->since, since);
	}
}

static bool has(struct vio_features f, unsigned bit)
{
	return vio_features_test(f, bit);
}

/* The requirements of 5.1.3.1 and of common sense as code; true when @bit may be in @f. */
static bool may_have(struct vio_features f, unsigned bit)
{
	switch (bit) {
	case 7:
	case 8:
	case 10:
	case 54:
	case 55:
		return has(f, 1);
	case 9:
		return has(f, 7) || has(f, 8);
	case 11:
	case 12:
	case 14:
	case 56:
		return has(f, 0);
	case 13:
	case 61:
		return has(f, 11) || has(f, 12);
	case 2:
	case 18:
	case 19:
	case 21:
	case 22:
	case 23:
	case 50:
	case 52:
	case 53:
	case 60:
		return has(f, 17);
	case 51:
		return has(f, 17) && (has(f, 60) || has(f, 57));
	case 64:
		return has(f, 17) && has(f, 60);
	case 65:
		return has(f, 7) && has(f, 8) && has(f, 54) && has(f, 55);
	case 66:
		return has(f, 65);
	case 67:
		return has(f, 11) && has(f, 12) && has(f, 56);
	case 68:
		return has(f, 67);
	default:
		return true;
	}
}

/* may_have() and the advice that a driver keeps to. */
static bool should_have(struct vio_features f, unsigned bit)
{
	return may_have(f, bit) && ((bit != 20 && bit != 57) || has(f, 17));
}

static bool is_valid(struct vio_features f)
{
	for (unsigned bit = 0; bit < VIO_FEATURE_BITS; bit++) {
		if (has(f, bit) && !may_have(f, bit))
			return false;
	}
	return true;
}

/* The greatest closed subset, one bit at a time from the top: another way than the library's. */
static struct vio_features greatest(struct vio_features f)
{
	for (unsigned bit = VIO_FEATURE_BITS; bit-- > 0;) {
		if (has(f, bit) && !should_have(f, bit)) {
			vio_features_clear(&f, bit);
			bit = VIO_FEATURE_BITS;
		}
	}
	return f;
}

static struct vio_features pair(unsigned a, unsigned b)
{
	struct vio_features f = vio_features_make(0, 0);

	vio_features_set(&f, a);
	vio_features_set(&f, b);
	return f;
}

static void check_set(struct vio_features f)
{
	struct vio_features closed = vio_features_close(f);

	assert_int_equal(vio_features_missing(f, NULL, 0) == 0, is_valid(f));
	assert_true(vio_features_is_subset(closed, f));
	assert_true(vio_features_equal(closed, greatest(f)));
	assert_int_equal(vio_features_missing(closed, NULL, 0), 0);
	assert_true(vio_features_equal(vio_features_close(closed), closed));
}

/* S9: each pair of bits alone, and everything but each pair. */
static void test_s9_all_pairs(void **state)
{
	const struct vio_features all = vio_features_make(UINT64_MAX, UINT64_MAX);

	(void)state;
	for (unsigned a = 0; a < VIO_FEATURE_BITS; a++) {
		for (unsigned b = a; b < VIO_FEATURE_BITS; b++) {
			check_set(pair(a, b));
			check_set(vio_features_andnot(all, pair(a, b)));
		}
	}
	check_set(all);
	assert_true(vio_features_equal(vio_features_close(all), all));
	check_set(vio_features_make(0, 0));
}

/* S9: sets of every density, from a fixed generator. */
static void test_s9_mixed_sets(void **state)
{
	uint64_t x = 0x9e3779b97f4a7c15, w[4];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < COUNT(w); i++)
			w[i] = random64(&x);
		check_set(vio_features_make(w[0] | w[1], w[2] | w[3]));
		check_set(vio_features_make(w[0] & w[1], w[2] & w[3]));
	}
}

/* S9: what is missing is told by bit, in order, and never past the array. */
static void test_s9_missing_is_told(void **state)
{
	struct vio_features f = vio_features_make(0, 0);
	struct vio_feature_unmet unmet[8];

	(void)state;
	vio_features_set(&f, VIO_NET_F_GUEST_ECN);
	vio_features_set(&f, VIO_NET_F_HASH_TUNNEL);
	vio_features_set(&f, VIO_NET_F_HOST_UDP_TUNNEL_GSO);
	vio_features_set(&f, VIO_NET_F_HOST_TSO6);
	vio_features_set(&f, VIO_NET_F_CSUM);

	memset(unmet, 0xa5, sizeof(unmet));
	assert_int_equal(vio_features_missing(f, unmet, 8), 5);
	assert_int_equal(unmet[0].bit, VIO_NET_F_GUEST_ECN);
	assert_int_equal(unmet[0].group.any[0], VIO_NET_F_GUEST_TSO4);
	assert_int_equal(unmet[0].group.any[1], VIO_NET_F_GUEST_TSO6);
	assert_int_equal(unmet[1].bit, VIO_NET_F_HASH_TUNNEL);
	assert_int_equal(unmet[1].group.any[0], VIO_NET_F_CTRL_VQ);
	assert_int_equal(unmet[1].group.any[1], VIO_NET_F_CTRL_VQ);
	assert_int_equal(unmet[2].bit, VIO_NET_F_HASH_TUNNEL);
	assert_int_equal(unmet[2].group.any[0], VIO_NET_F_RSS);
	assert_int_equal(unmet[2].group.any[1], VIO_NET_F_HASH_REPORT);
	assert_int_equal(unmet[3].bit, VIO_NET_F_HOST_UDP_TUNNEL_GSO);
	assert_int_equal(unmet[3].group.any[0], VIO_NET_F_HOST_TSO4);
	assert_int_equal(unmet[4].bit, VIO_NET_F_HOST_UDP_TUNNEL_GSO);
	assert_int_equal(unmet[4].group.any[0], VIO_NET_F_HOST_USO);
	assert_int_equal(unmet[5].bit, 0xa5);

	memset(unmet, 0xa5, sizeof(unmet));
	assert_int_equal(vio_features_missing(f, unmet, 2), 5);
	assert_int_equal(unmet[1].bit, VIO_NET_F_HASH_TUNNEL);
	assert_int_equal(unmet[2].bit, 0xa5);
}

/* S9: the longest chain falls from one missing bit at its foot. */
static void test_s9_chain_falls(void **state)
{
	struct vio_features f = vio_features_make(0, 0), closed;

	(void)state;
	for (unsigned bit = 0; bit <= 70; bit++)
		vio_features_set(&f, bit);
	vio_features_clear(&f, VIO_NET_F_GUEST_CSUM);
	closed = vio_features_close(f);
	for (unsigned bit = 0; bit <= 70; bit++) {
		bool gone = bit == 1 || (bit >= 7 && bit <= 10) || bit == 54 || bit == 55 ||
			    bit == 65 || bit == 66;

		assert_int_equal(has(closed, bit), !gone);
	}
}

/* S9: advice binds the driver's choice, not the device's answer. */
static void test_s9_advice(void **state)
{
	struct vio_features f = pair(VIO_NET_F_HASH_REPORT, VIO_NET_F_CTRL_RX_EXTRA);

	(void)state;
	assert_int_equal(vio_features_missing(f, NULL, 0), 0);
	assert_true(vio_features_is_empty(vio_features_close(f)));
}

/* The size of the header for each subset of the features that bear on it. */
static void test_s1_s3_header_size(void **state)
{
	static const unsigned bits[] = { 15, 32, 57, 65, 67, 69, 70 };

	(void)state;
	for (unsigned subset = 0; subset < 1u << COUNT(bits); subset++) {
		struct vio_features f = vio_features_make(0, 0);
		size_t want = 10;

		for (unsigned i = 0; i < COUNT(bits); i++) {
			if (subset >> i & 1)
				vio_features_set(&f, bits[i]);
		}
		if (subset & 0x03)
			want = 12;
		if (subset & 0x04)
			want = 20;
		if (subset & 0x18)
			want = 24;
		if (subset & 0x60)
			want = 32;
		assert_int_equal(vio_net_hdr_size(f), want);
	}
}

/* S1: VERSION_1 alone makes it 12. S3: a tunnel without a hash does not shrink to 16. */
static void test_s1_s3_named_cases(void **state)
{
	struct vio_features none = vio_features_make(0, 0);

	(void)state;
	assert_int_equal(vio_net_hdr_size(none), 10);
	assert_int_equal(vio_net_hdr_size(pair(VIO_F_VERSION_1, VIO_F_VERSION_1)), 12);
	assert_int_equal(vio_net_hdr_size(pair(VIO_NET_F_MRG_RXBUF, VIO_NET_F_MRG_RXBUF)), 12);
	assert_int_equal(vio_net_hdr_size(pair(VIO_F_VERSION_1, VIO_NET_F_HOST_UDP_TUNNEL_GSO)),
			 24);
	assert_int_equal(vio_net_hdr_size(pair(VIO_F_VERSION_1, VIO_NET_F_OUT_NET_HEADER)), 32);
}

static void test_rx_buffer_size(void **state)
{
	static const unsigned large[] = { 7, 8, 10, 54, 55 };
	struct vio_features modern = pair(VIO_F_VERSION_1, VIO_F_VERSION_1);
	struct vio_features hash = pair(VIO_F_VERSION_1, VIO_NET_F_HASH_REPORT);

	(void)state;
	assert_int_equal(vio_net_rx_buf_size(modern, 0), 1526);
	assert_int_equal(vio_net_rx_buf_size(hash, 0), 1534);
	assert_int_equal(vio_net_rx_buf_size(vio_features_make(0, 0), 0), 1524);
	for (size_t i = 0; i < COUNT(large); i++) {
		struct vio_features f = pair(VIO_F_VERSION_1, large[i]);

		assert_int_equal(vio_net_rx_buf_size(f, 0), 65601);
		assert_int_equal(vio_net_rx_buf_size(f, 9000), 65601);
		assert_int_equal(vio_net_rx_buf_size(vio_features_or(f, hash), 1500), 65609);
	}
	/* What the device segments, and ECN by itself, do not concern receiving. */
	assert_int_equal(vio_net_rx_buf_size(pair(VIO_F_VERSION_1, 11), 0), 1526);
	assert_int_equal(vio_net_rx_buf_size(pair(VIO_F_VERSION_1, 9), 0), 1526);
}

static void test_rx_buffer_mtu(void **state)
{
	struct vio_features modern = pair(VIO_F_VERSION_1, VIO_NET_F_MTU);

	(void)state;
	assert_int_equal(vio_net_rx_buf_size(modern, 68), 1526);
	assert_int_equal(vio_net_rx_buf_size(modern, 1500), 1526);
	assert_int_equal(vio_net_rx_buf_size(modern, 1501), 1527);
	assert_int_equal(vio_net_rx_buf_size(modern, 9000), 9026);
	assert_int_equal(vio_net_rx_buf_size(modern, 65535), 65561);
	assert_int_equal(vio_net_rx_buf_size(modern, 65536), 65561);
	assert_int_equal(vio_net_rx_buf_size(modern, UINT32_MAX), 65561);
}

/* U2, Q3: each field appears with the feature offered that brings it, and with no other. */
static void test_u2_q3_config_size(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < VIO_FEATURE_BITS; bit++) {
		size_t want = 6;

		if (bit == 16)
			want = 8;
		else if (bit == 22)
			want = 10;
		else if (bit == 3)
			want = 12;
		else if (bit == 63)
			want = 17;
		else if (bit == 60 || bit == 57)
			want = 24;
		else if (bit == 51)
			want = 28;
		assert_int_equal(vio_net_config_size(pair(bit, bit)), want);
	}
	assert_int_equal(vio_net_config_size(vio_features_make(0, 0)), 6);
	assert_int_equal(vio_net_config_size(vio_features_make(UINT64_MAX, 0)), 28);
}

/* Q3: with several features the farthest field decides, in whatever order the bits come. */
static void test_q3_config_size_pairs(void **state)
{
	(void)state;
	for (unsigned a = 0; a < VIO_FEATURE_BITS; a++) {
		for (unsigned b = 0; b < VIO_FEATURE_BITS; b++) {
			size_t sa = vio_net_config_size(pair(a, a));
			size_t sb = vio_net_config_size(pair(b, b));

			assert_int_equal(vio_net_config_size(pair(a, b)), sa > sb ? sa : sb);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u1_bit_to_name),
		cmocka_unit_test(test_u1_name_to_bit),
		cmocka_unit_test(test_u1_shared_bit),
		cmocka_unit_test(test_u1_wrong_names),
		cmocka_unit_test(test_u1_table),
		cmocka_unit_test(test_u1_since),
		cmocka_unit_test(test_s9_all_pairs),
		cmocka_unit_test(test_s9_mixed_sets),
		cmocka_unit_test(test_s9_missing_is_told),
		cmocka_unit_test(test_s9_chain_falls),
		cmocka_unit_test(test_s9_advice),
		cmocka_unit_test(test_s1_s3_header_size),
		cmocka_unit_test(test_s1_s3_named_cases),
		cmocka_unit_test(test_rx_buffer_size),
		cmocka_unit_test(test_rx_buffer_mtu),
		cmocka_unit_test(test_u2_q3_config_size),
		cmocka_unit_test(test_q3_config_size_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
