/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the vhost-user server with well-meaning front ends share: the rig, opened for each
 * test as it needs it, and messages in one line. */
#ifndef TEST_VU_SERVER_H
#define TEST_VU_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/bits.h"
#include "vufront.h"

static struct vuf rig;

static inline int open_rig(void **state)
{
	vuf_open(&rig, &(struct vuf_conf){ 0 });
	(void)state;
	return 0;
}

static inline int open_two_pairs(void **state)
{
	vuf_open(&rig, &(struct vuf_conf){ .pairs = 2, .mtu = 1500, .offer_config = true });
	(void)state;
	return 0;
}

static inline int open_listening(void **state)
{
	vuf_open(&rig, &(struct vuf_conf){ .listen = true });
	(void)state;
	return 0;
}

static inline int close_rig(void **state)
{
	vuf_close(&rig);
	(void)state;
	return 0;
}

#define WITH(test, open) cmocka_unit_test_setup_teardown(test, open, close_rig)

static inline void send_u64(uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg = vuf_u64(request, value);

	vuf_send(&rig, &msg);
}

static inline void send_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vio_vu_msg msg = vuf_state(request, index, num);

	vuf_send(&rig, &msg);
}

static inline void send_fd(uint32_t request, uint64_t value, int fd)
{
	struct vio_vu_msg msg = vuf_fd(request, value, fd);

	vuf_send(&rig, &msg);
}

static inline void send_empty(uint32_t request)
{
	struct vio_vu_msg msg = vuf_empty(request);

	vuf_send(&rig, &msg);
}

#endif
