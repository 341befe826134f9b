/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user message rules: sizes, descriptors, flags, gates and names (H17, H19). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "wire/vhost_user.h"

#define ALL_FEATURES UINT64_MAX
#define MAX_SIZES    3

/* What each message looks like when it is right, written down apart from the table under test. */
struct sample {
	enum vio_vu_direction dir;
	uint32_t request;
	uint32_t sizes[MAX_SIZES];
	uint32_t nsizes;
	uint32_t fds_min, fds_max;
	int feature;
	int reply_size; /* -1: none of its own */
};

#define FRONT(id, size, min, max, feature, reply)                               \
	{                                                                       \
		VIO_VU_FRONT_REQUEST, id, { size }, 1, min, max, feature, reply \
	}
#define BACK(id, size, min, max, feature, reply)                               \
	{                                                                      \
		VIO_VU_BACK_REQUEST, id, { size }, 1, min, max, feature, reply \
	}

static const struct sample samples[] = {
	FRONT(1, 0, 0, 0, -1, 8),
	FRONT(2, 8, 0, 0, -1, -1),
	FRONT(3, 0, 0, 0, -1, -1),
	FRONT(4, 0, 0, 0, -1, -1),
	{ VIO_VU_FRONT_REQUEST, 5, { 40, 264 }, 2, 1, 1, -1, -1 }, /* with one region */
	FRONT(6, 16, 1, 1, 1, 0),
	FRONT(7, 0, 1, 1, -1, -1),
	FRONT(8, 8, 0, 0, -1, -1),
	FRONT(9, 40, 0, 0, -1, -1),
	FRONT(10, 8, 0, 0, -1, -1),
	FRONT(11, 8, 0, 0, -1, 8),
	FRONT(12, 8, 1, 1, -1, -1),
	FRONT(13, 8, 1, 1, -1, -1),
	FRONT(14, 8, 1, 1, -1, -1),
	FRONT(15, 0, 0, 0, -1, 8),
	FRONT(16, 8, 0, 0, -1, -1),
	FRONT(17, 0, 0, 0, 0, 8),
	FRONT(18, 8, 0, 0, -1, -1),
	FRONT(19, 8, 0, 0, 2, -1),
	FRONT(20, 8, 0, 0, 4, -1),
	FRONT(21, 0, 1, 1, 5, -1),
	FRONT(22, 32, 0, 0, -1, 8),
	FRONT(23, 8, 0, 0, 6, -1),
	FRONT(24, 12, 0, 0, 9, 12), /* of no bytes */
	FRONT(25, 12, 0, 0, 9, -1),
	FRONT(27, 8, 0, 0, 7, -1),
	FRONT(28, 0, 0, 0, 8, 0),
	FRONT(29, 0, 0, 0, 8, -1),
	FRONT(30, 0, 0, 0, 8, 8),
	{ VIO_VU_FRONT_REQUEST, 31, { 20, 24 }, 2, 0, 0, 12, 24 },
	{ VIO_VU_FRONT_REQUEST, 32, { 20, 24 }, 2, 1, 1, 12, -1 },
	FRONT(33, 0, 1, 1, -1, -1),
	FRONT(34, 0, 0, 0, 13, -1),
	FRONT(35, 8, 0, 0, 14, -1),
	FRONT(36, 0, 0, 0, 15, 8),
	FRONT(37, 40, 1, 1, 15, -1),
	FRONT(38, 40, 0, 1, 15, -1),
	FRONT(39, 8, 0, 0, 16, -1),
	FRONT(40, 0, 0, 0, 16, 8),
	FRONT(41, 16, 0, 0, 18, 0),
	FRONT(42, 8, 1, 1, 19, 8),
	FRONT(43, 0, 0, 0, 19, 8),
	BACK(1, 32, 0, 0, 5, -1),
	BACK(2, 0, 0, 0, 9, -1),
	BACK(3, 24, 1, 1, 11, -1),
	BACK(4, 8, 0, 0, 14, -1),
	BACK(5, 8, 0, 0, 14, -1),
	BACK(6, 16, 0, 0, 18, -1),
	BACK(7, 16, 0, 0, 18, -1),
	BACK(8, 16, 0, 0, 18, 8),
};

#define NUM_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static char why[VIO_VU_REASON_SIZE];

static int check(const struct vio_vu_msg *msg, enum vio_vu_direction dir, uint64_t features)
{
	int ret;

	memset(why, 0, sizeof(why));
	ret = vio_vu_check(msg, dir, features, why, sizeof(why));
	assert_true(ret == 0 || ret == -EPROTO);
	assert_int_equal(ret == 0, why[0] == '\0');
	return ret;
}

static struct vio_vu_msg make(const struct sample *s)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, s->request, s->sizes[0]);
	msg.nfds = s->fds_min;
	if (s->dir == VIO_VU_FRONT_REQUEST && s->request == VIO_VU_SET_MEM_TABLE)
		msg.payload.mem_table.nregions = 1;
	return msg;
}

static int is_size_of(const struct sample *s, uint32_t size)
{
	uint32_t i;

	for (i = 0; i < s->nsizes; i++) {
		if (s->sizes[i] == size)
			return 1;
	}
	return 0;
}

static void test_H17_every_message_in_its_right_form_passes(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < NUM_SAMPLES; i++) {
		struct vio_vu_msg msg = make(&samples[i]);

		for (j = 0; j < samples[i].nsizes; j++) {
			msg.hdr.size = samples[i].sizes[j];
			msg.nfds = samples[i].fds_min;
			assert_int_equal(check(&msg, samples[i].dir, ALL_FEATURES), 0);
			msg.nfds = samples[i].fds_max;
			assert_int_equal(check(&msg, samples[i].dir, ALL_FEATURES), 0);
			msg.hdr.flags |= VIO_VU_NEED_REPLY;
			assert_int_equal(check(&msg, samples[i].dir, ALL_FEATURES), 0);
		}
	}
}

static void test_H17_every_other_size_is_refused(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NUM_SAMPLES; i++) {
		struct vio_vu_msg msg = make(&samples[i]);
		uint32_t size;

		for (size = 0; size < 400; size++) {
			msg.hdr.size = size;
			assert_int_equal(check(&msg, samples[i].dir, ALL_FEATURES) == 0,
					 is_size_of(&samples[i], size));
		}
		msg.hdr.size = UINT32_MAX;
		assert_int_equal(check(&msg, samples[i].dir, ALL_FEATURES), -EPROTO);
	}
}

static void test_H17_every_other_number_of_descriptors_is_refused(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NUM_SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct vio_vu_msg msg = make(s);

		for (msg.nfds = 0; msg.nfds <= VIO_VU_MAX_FDS; msg.nfds++)
			assert_int_equal(check(&msg, s->dir, ALL_FEATURES) == 0,
					 msg.nfds >= s->fds_min && msg.nfds <= s->fds_max);
	}
}

static void test_features_open_the_gates(void **state)
{
	const char *name;
	size_t i;

	(void)state;
	for (i = 0; i < NUM_SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct vio_vu_msg msg = make(s);

		if (s->feature < 0) {
			assert_int_equal(check(&msg, s->dir, 0), 0);
			continue;
		}
		assert_int_equal(check(&msg, s->dir, UINT64_C(1) << s->feature), 0);
		assert_int_equal(check(&msg, s->dir, ~(UINT64_C(1) << s->feature)), -EPROTO);
		name = vio_vu_protocol_feature_name((unsigned int)s->feature);
		assert_non_null(name);
		assert_non_null(strstr(why, name));
	}
}

static void test_H17_unknown_numbers_are_refused(void **state)
{
	static const uint32_t front[] = { 0, 44, 45, 255, 256 + 1, 0x80000001, UINT32_MAX };
	static const uint32_t back[] = { 0, 9, 10, 44, 256 + 1, UINT32_MAX };
	struct vio_vu_msg msg;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(front) / sizeof(front[0]); i++) {
		vio_vu_request(&msg, front[i], 0);
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, ALL_FEATURES), -EPROTO);
		vio_vu_reply(&msg, front[i], 8);
		assert_int_equal(check(&msg, VIO_VU_FRONT_REPLY, ALL_FEATURES), -EPROTO);
	}
	for (i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		vio_vu_request(&msg, back[i], 0);
		assert_int_equal(check(&msg, VIO_VU_BACK_REQUEST, ALL_FEATURES), -EPROTO);
		vio_vu_reply(&msg, back[i], 8);
		assert_int_equal(check(&msg, VIO_VU_BACK_REPLY, ALL_FEATURES), -EPROTO);
	}
}

static void test_H17_flags_must_suit_the_direction(void **state)
{
	struct vio_vu_msg msg;
	uint32_t flags;

	(void)state;
	for (flags = 0; flags < 64; flags++) {
		vio_vu_request(&msg, VIO_VU_GET_FEATURES, 0);
		msg.hdr.flags = flags;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0) == 0,
				 flags == 0x1 || flags == 0x9);
		msg.hdr.size = 8;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REPLY, 0) == 0,
				 flags == 0x5 || flags == 0xd);
	}
	vio_vu_request(&msg, VIO_VU_GET_FEATURES, 0);
	msg.hdr.flags |= 0x80000000;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
}

static void test_replies_have_their_own_size_or_acknowledge(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NUM_SAMPLES; i++) {
		const struct sample *s = &samples[i];
		enum vio_vu_direction dir = s->dir + 1;
		struct vio_vu_msg msg;

		vio_vu_reply(&msg, s->request, s->reply_size < 0 ? 8 : (uint32_t)s->reply_size);
		assert_int_equal(msg.hdr.flags, 0x5);
		assert_int_equal(check(&msg, dir, 0), 0);
		msg.hdr.size += 1;
		assert_int_equal(check(&msg, dir, 0), -EPROTO);
		msg.hdr.size = UINT32_MAX;
		assert_int_equal(check(&msg, dir, 0), -EPROTO);
		msg.hdr.size = s->reply_size < 0 ? 8 : (uint32_t)s->reply_size;
		msg.nfds = 2;
		assert_int_equal(check(&msg, dir, 0), -EPROTO);
	}
}

static void test_H19_memory_table_must_be_as_long_as_it_says(void **state)
{
	struct vio_vu_msg msg;
	uint32_t n, size;

	(void)state;
	for (n = 0; n <= VIO_VU_MAX_REGIONS + 1; n++) {
		for (size = 0; size <= 8 + 32 * (VIO_VU_MAX_REGIONS + 1); size++) {
			int good = n >= 1 && n <= 8 && (size == 8 + 32 * n || size == 264);

			vio_vu_request(&msg, VIO_VU_SET_MEM_TABLE, size);
			msg.payload.mem_table.nregions = n;
			msg.nfds = n <= VIO_VU_MAX_FDS ? n : VIO_VU_MAX_FDS;
			assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0) == 0, good);
		}
	}
	vio_vu_request(&msg, VIO_VU_SET_MEM_TABLE, 8 + 32 * 3);
	msg.payload.mem_table.nregions = 3;
	msg.nfds = 2;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	msg.nfds = 4;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	msg.nfds = 3;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), 0);
	msg.payload.mem_table.nregions = UINT32_MAX;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	/* 2^27 + 3 regions of 32 bytes make the same size in 32 bits. */
	msg.payload.mem_table.nregions = 0x8000003;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
}

static void test_config_must_be_as_long_as_it_says(void **state)
{
	uint64_t gate = vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG);
	struct vio_vu_msg msg;

	(void)state;
	vio_vu_request(&msg, VIO_VU_GET_CONFIG, 12 + 24);
	msg.payload.config.size = 24;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), 0);
	msg.payload.config.offset = VIO_VU_MAX_CONFIG_SIZE - 24;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), 0);
	msg.payload.config.offset++;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), -EPROTO);
	msg.payload.config.offset = UINT32_MAX - 10; /* the sum would wrap */
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), -EPROTO);
	msg.payload.config.offset = 0;
	msg.payload.config.size = 25;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), -EPROTO);
	msg.payload.config.size = 23;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), -EPROTO);
	msg.payload.config.size = VIO_VU_MAX_CONFIG_SIZE;
	msg.hdr.size = 12 + VIO_VU_MAX_CONFIG_SIZE;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, gate), 0);

	vio_vu_reply(&msg, VIO_VU_GET_CONFIG, 0); /* an error, says the document */
	assert_int_equal(check(&msg, VIO_VU_FRONT_REPLY, gate), 0);
}

/* No business of a net device: only kept within bounds. */
static void test_crypto_sessions_are_bounded(void **state)
{
	struct vio_vu_msg msg;

	(void)state;
	vio_vu_request(&msg, VIO_VU_CREATE_CRYPTO_SESSION, VIO_VU_PAYLOAD_MAX);
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, ALL_FEATURES), 0);
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	msg.hdr.size++;
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, ALL_FEATURES), -EPROTO);
}

static void test_vring_descriptors_follow_the_nofd_bit(void **state)
{
	static const uint32_t requests[] = { VIO_VU_SET_VRING_KICK, VIO_VU_SET_VRING_CALL,
					     VIO_VU_SET_VRING_ERR };
	struct vio_vu_msg msg;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		vio_vu_request(&msg, requests[i], 8);
		msg.payload.u64 = 0xff;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
		msg.nfds = 1;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), 0);
		msg.nfds = 2;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
		msg.payload.u64 = 0x100 | 7;
		msg.nfds = 0;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), 0);
		msg.nfds = 1;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
		/* H18: an index past 255 must not be cut to one that exists. */
		msg.payload.u64 = 0x200;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
		msg.payload.u64 = UINT64_C(1) << 32;
		assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	}
}

static void test_acknowledgements_are_wanted_only_as_agreed(void **state)
{
	uint64_t ack = vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK);
	struct vio_vu_msg msg;

	(void)state;
	vio_vu_request(&msg, VIO_VU_SET_VRING_ENABLE, 8);
	assert_false(vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, ack));
	msg.hdr.flags |= VIO_VU_NEED_REPLY;
	assert_true(vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, ack));
	assert_false(vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, ~ack));
	msg.hdr.request = VIO_VU_GET_VRING_BASE; /* answers by itself */
	assert_false(vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, ack));
	msg.hdr.request = 1000;
	assert_false(vio_vu_wants_ack(&msg, VIO_VU_FRONT_REQUEST, ack));
	msg.hdr.request = VIO_VU_BACKEND_CONFIG_CHANGE_MSG;
	assert_true(vio_vu_wants_ack(&msg, VIO_VU_BACK_REQUEST, ack));
}

static void test_names_and_reasons(void **state)
{
	struct vio_vu_msg msg;
	char tiny[8];

	(void)state;
	assert_string_equal(vio_vu_msg_name(VIO_VU_FRONT_REQUEST, 5), "SET_MEM_TABLE");
	assert_string_equal(vio_vu_msg_name(VIO_VU_BACK_REPLY, 2), "BACKEND_CONFIG_CHANGE_MSG");
	assert_string_equal(vio_vu_msg_name(VIO_VU_FRONT_REQUEST, 77), "unknown");
	assert_string_equal(vio_vu_protocol_feature_name(15), "CONFIGURE_MEM_SLOTS");
	assert_null(vio_vu_protocol_feature_name(63));

	vio_vu_request(&msg, VIO_VU_SET_FEATURES, 4);
	assert_int_equal(check(&msg, VIO_VU_FRONT_REQUEST, 0), -EPROTO);
	assert_string_equal(why, "SET_FEATURES: payload of 4 bytes, expected 8");
	assert_int_equal(vio_vu_check(&msg, VIO_VU_FRONT_REQUEST, 0, tiny, sizeof(tiny)), -EPROTO);
	assert_string_equal(tiny, "SET_FEA");
	assert_int_equal(vio_vu_check(&msg, VIO_VU_FRONT_REQUEST, 0, NULL, 0), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_H17_every_message_in_its_right_form_passes),
		cmocka_unit_test(test_H17_every_other_size_is_refused),
		cmocka_unit_test(test_H17_every_other_number_of_descriptors_is_refused),
		cmocka_unit_test(test_features_open_the_gates),
		cmocka_unit_test(test_H17_unknown_numbers_are_refused),
		cmocka_unit_test(test_H17_flags_must_suit_the_direction),
		cmocka_unit_test(test_replies_have_their_own_size_or_acknowledge),
		cmocka_unit_test(test_H19_memory_table_must_be_as_long_as_it_says),
		cmocka_unit_test(test_config_must_be_as_long_as_it_says),
		cmocka_unit_test(test_crypto_sessions_are_bounded),
		cmocka_unit_test(test_vring_descriptors_follow_the_nofd_bit),
		cmocka_unit_test(test_acknowledgements_are_wanted_only_as_agreed),
		cmocka_unit_test(test_names_and_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
