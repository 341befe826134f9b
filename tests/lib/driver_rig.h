/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver with one or more pairs on a fake device, and a pool for its buffers. */
#ifndef TEST_DRIVER_RIG_H
#define TEST_DRIVER_RIG_H

#include "fakedev.h"
#include "ring_image.h"

#define RIG_POOL 1024

struct rig {
	struct fake_host h;
	struct fake_dev dev;
	struct vio_driver *drv;
	struct vio_pool *pool;
	struct vio_error err;
	struct vio_features want; /* empty: the default */
	struct vio_driver_events events;
	unsigned pairs;	  /* 0: 1 */
	uint32_t ring;	  /* 0: 64 */
	uint32_t room;	  /* of each buffer, 0: 2048 */
	bool list_unsent; /* collect what is unsent instead of freeing it */

	/* what the callbacks saw */
	unsigned rx_events, tx_events, wakes, links, announces, failures, broken;
	int failed_why;
	bool link_up;
	bool starve; /* alloc gives nothing */
	struct vio_buf *received[RIG_POOL];
	unsigned nreceived;
	struct vio_buf *unsent[RIG_POOL];
	unsigned nunsent;
	unsigned freed_tx;
};

/* A rig without a driver: set fields and the device's, then rig_start(). */
int rig_setup(void **state);
/* Also checks that nothing is left over. */
int rig_teardown(void **state);

/* A test that is run with each of some ring formats; the device then offers that one. */
struct rig_test {
	const char *name;
	void (*run)(void **state);
	unsigned formats; /* RING_RUN_* */
};

#define RIG_TEST(function, formats)          \
	{                                    \
#function, function, formats \
	}

/* Runs each of @n tests for each of its formats, with rig_setup() and rig_teardown(); all of that at
 * each level of vector instructions that this machine has. */
int rig_run_tests(const struct rig_test *tests, size_t n);

/* Bytes for frames of any size, to an address of one station. */
extern uint8_t rig_bytes[70000];

/* Probes, configures and starts. */
void rig_start(struct rig *r);
void rig_stats(struct rig *r, unsigned queue, struct vio_driver_stats *stats);
/* A frame of @len bytes, each of them @fill but for the first twelve, which are unicast. */
struct vio_buf *rig_frame(struct rig *r, uint32_t len, uint8_t fill);
/* Sends one such frame, which must be taken. */
void rig_send(struct rig *r, uint32_t len, uint8_t fill);
/* Sends as many as the ring holds, which is @n, and one more, which is turned away: that one. */
struct vio_buf *rig_fill(struct rig *r, unsigned n);
void rig_free(struct rig *r, struct vio_buf *buf);
/* The received frame @head must be the @len bytes @want. */
void rig_check_frame(const struct vio_buf *head, const uint8_t *want, size_t len);

#endif
