/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HOSTILE 12, 13 and 29 at the device side of a ring, for every format: what can not be a ring is
 * refused, and whatever stands in its indices and events at first means no harm.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring_calls.h"

#define NUM 8u

static void test_h12_geometry(void **state)
{
	struct ring_image im;
	struct vio_devq_setup s;
	struct vio_devq *q;
	const uint32_t bad[] = { 0, 65536, 65535, 1u << 31, 3, 6 };
	unsigned i;

	image_open(&im, NUM, ring_format(state));
	image_device_fresh(&im);
	s = (struct vio_devq_setup){ .areas = im.areas, .features = im.features };
	for (i = 0; i < (im.packed ? 4 : sizeof(bad) / sizeof(bad[0])); i++) {
		s.num = bad[i];
		assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	}
	s.num = NUM;
	s.base = im.packed ? 0x0000ffff : 65536;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.base = 0;
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), 0);
	image_close(&im);
}

static void test_h12_areas(void **state)
{
	struct ring_image im;
	struct vio_devq_setup s;
	struct vio_devq *q;
	size_t driver, device; /* bytes of these areas */
	char *at;

	image_open(&im, NUM, ring_format(state));
	image_device_fresh(&im);
	at = im.low;
	driver = im.packed ? 4 : 22;
	device = im.packed ? 4 : 70;
	s = (struct vio_devq_setup){ .num = NUM, .features = im.features };
	s.areas = (struct vio_vq_areas){ NULL, im.areas.driver, im.areas.device };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at + 8, im.areas.driver, im.areas.device };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x401, at + 0x800 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x400, at + 0x802 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	/* 128 bytes of descriptors and the two others, one on the other by a word. */
	s.areas = (struct vio_vq_areas){ at, at + 124, at + 0x800 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at + 0x400, at, at + 0x400 + 124 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at + 0x400, at, at + 0x400 - (device + 2 - 4) / 4 * 4 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at + 0x400, at + 0x400 + (driver - 2) / 4 * 4 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	s.areas = (struct vio_vq_areas){ at, at, at };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), -EINVAL);
	/* Exactly side by side is right. */
	s.areas = (struct vio_vq_areas){ at, at + 128, at + 128 + (driver + 2) / 4 * 4 };
	assert_int_equal(vio_devq_init(im.dev_storage, &s, &q), 0);
	image_close(&im);
}

/* The used index that a new queue goes on from may be anything. */
static void test_h12_used_index(void **state)
{
	struct ring_image im;

	image_open(&im, NUM, ring_format(state));
	im.used->idx = 0xbeef;
	image_device(&im, 0);
	image_post_one(&im, IMAGE_DATA, 1, 0);
	im.used->idx = 0;
	assert_int_equal(pop(&im, 8), 1);
	vio_devq_push_burst(im.dev, chains, 1);
	vio_devq_publish(im.dev);
	assert_int_equal(im.used->idx, 0xbef0);
	assert_int_equal(im.used->ring[0xbeef % NUM].id, 0);
	image_close(&im);
}

/* H13, H29: kicks without buffers and events at absurd places are only that. */
static void test_h29_event_index(void **state)
{
	struct image_used used;
	struct ring_image im;
	unsigned i;

	image_open(&im, NUM, ring_format(state) | RING_EVENT_IDX);
	image_device_fresh(&im);
	for (i = 0; i < 3 * 65536; i++) {
		uint16_t event = (uint16_t)(i * 40503), here = (uint16_t)i;

		assert_int_equal(pop(&im, 8), 0);
		if (im.packed) {
			im.driver_event->flags = VIO_RING_EVENT_DESC;
			im.driver_event->desc = event;
			here = (uint16_t)(i % NUM | (i / NUM % 2 ? 0 : VIO_RING_EVENT_WRAP));
		} else {
			*im.used_event = event;
		}
		image_post_one(&im, IMAGE_DATA, 100, 0);
		assert_int_equal(pop(&im, 8), 1);
		vio_devq_push_burst(im.dev, chains, 1);
		/* An offset that there is not may mean anything. */
		if (!im.packed || (event & 0x7fff) < NUM)
			assert_int_equal(vio_devq_publish(im.dev), here == event);
		else
			vio_devq_publish(im.dev);
		assert_true(image_take_used(&im, &used));
	}
	image_close(&im);
}

int main(void)
{
	static const struct ring_test tests[] = {
		RING_TEST(test_h12_geometry, RING_RUN_ALL),
		RING_TEST(test_h12_areas, RING_RUN_ALL),
		RING_TEST(test_h12_used_index, RING_RUN_ANY_SPLIT),
		RING_TEST(test_h29_event_index, RING_RUN_ALL),
	};

	return ring_run_tests_at_levels(tests, sizeof(tests) / sizeof(tests[0]));
}
