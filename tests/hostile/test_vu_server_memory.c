/* SPDX-License-Identifier: BSD-2-Clause */
/* H19 and the memory part of H21: tables that are wrong, files that shrink, memory that changes
 * while another thread moves frames through it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "vufront.h"

#define MIB 0x100000ull

static struct vuf rig;
static unsigned fds_before;
static int file; /* of 1 MiB, beside the guest's own */

static int open_rig(void **state)
{
	(void)state;
	file = vuf_memfd("other", MIB);
	vuf_open(&rig, &(struct vuf_conf){ .listen = true });
	fds_before = count_fds();
	return 0;
}

static int close_rig(void **state)
{
	(void)state;
	vuf_close(&rig);
	close(file);
	return 0;
}

static void run_rings(void)
{
	uint64_t all;
	struct vio_vu_msg msg;

	memset(rig.mem, 0, VUF_MEM_SIZE);
	memset(rig.avail, 0, sizeof(rig.avail));
	vuf_connect(&rig);
	all = vuf_ask_u64(&rig, VIO_VU_GET_PROTOCOL_FEATURES);
	vuf_start(&rig, 2);
	msg = vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, all);
	vuf_send(&rig, &msg);
}

static void nothing_is_left(void)
{
	if (rig.front_open)
		vuf_disconnect(&rig);
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(vuf_count_maps("guest"), 1);
	assert_int_equal(vuf_count_maps("other"), 0);
}

/* The guest's own region, and behind it @extra in @fd. */
static struct vio_vu_msg two_regions(struct vio_vu_mem_region extra, int fd)
{
	struct vio_vu_msg msg = vuf_mem_table(&rig);

	msg.payload.mem_table.nregions = 2;
	msg.payload.mem_table.regions[1] = extra;
	msg.hdr.size = 8 + 2 * sizeof(extra);
	msg.fds[1] = fd;
	msg.nfds = 2;
	return msg;
}

/* guest, size, user, offset */
static const struct vio_vu_mem_region bad_regions[] = {
	{ 0, 0, 0x1000, 0 },	       /* nothing */
	{ VUF_GUEST, MIB, 0x1000, 0 }, /* over the guest's own */
	{ VUF_GUEST + VUF_MEM_SIZE - 1, 4096, 0x1000, 0 },
	{ VUF_GUEST - 4095, 4096, 0x1000, 0 },
	{ UINT64_MAX - 4094, 4096, 0x1000, 0 }, /* past 2^64 */
	{ 0, 4096, UINT64_MAX - 4094, 0 },
	{ 0, 4096, 0x1000, UINT64_MAX - 4094 },
	{ 0, 4096, 0x1000, UINT64_MAX },
	{ 0, UINT64_MAX, 0x1000, 0 },
	{ 0, UINT64_MAX, 0x1000, 4096 },
	{ 0, 1ull << 63, 0x1000, 1ull << 63 },
	{ 0, MIB + 1, 0x1000, 0 }, /* longer than the file */
	{ 0, MIB, 0x1000, 1 },
	{ 0, 4096, 0x1000, MIB },
	{ 0, 4096, 0x1000, MIB - 4095 },
};

static void h19_bad_tables_change_nothing(void **state)
{
	unsigned i;

	(void)state;
	run_rings();
	for (i = 0; i < vio_array_size(bad_regions); i++) {
		const struct vio_vu_mem_region *r = &bad_regions[i];
		struct vio_vu_msg set = two_regions(*r, file);
		struct vio_vu_msg add = vuf_mem_reg(VIO_VU_ADD_MEM_REG, r->guest_addr, r->size,
						    r->user_addr, r->mmap_offset, file);

		assert_int_not_equal(vuf_ack(&rig, &set), 0);
		assert_int_not_equal(vuf_ack(&rig, &add), 0);
		assert_int_equal(vuf_count_maps("other"), 0);
		assert_true(vuf_frame_passes(&rig, 1));
	}
	nothing_is_left();
}

static void h19_bad_tables_cut_who_does_not_ask(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(bad_regions); i++) {
		struct vio_vu_msg set = two_regions(bad_regions[i], file);

		run_rings();
		vuf_send(&rig, &set);
		assert_false(vuf_connected(&rig));
		nothing_is_left();
	}
}

static void h19_bad_numbers_of_regions(void **state)
{
	static const uint32_t counts[] = { 0, 9, 256, UINT32_MAX };
	struct vio_vu_msg msg;
	unsigned i;

	(void)state;
	for (i = 0; i < vio_array_size(counts); i++) {
		run_rings();
		msg = vuf_mem_table(&rig);
		msg.payload.mem_table.nregions = counts[i];
		vuf_send(&rig, &msg);
		assert_false(vuf_connected(&rig));
		nothing_is_left();
	}
}

static void h19_files_that_can_not_be_mapped(void **state)
{
	int read_only = open("/proc/self/exe", O_RDONLY);
	struct vio_vu_msg msg = vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0, 4096, 0x1000, 0, read_only);

	(void)state;
	fds_before++;
	run_rings();
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	assert_true(vuf_frame_passes(&rig, 1));
	nothing_is_left();
	close(read_only);
}

static void h19_added_twice_removed_while_in_use(void **state)
{
	struct vio_vu_msg add =
		vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, file);
	struct vio_vu_msg rem =
		vuf_mem_reg(VIO_VU_REM_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, -1);
	struct vio_vu_msg foreign =
		vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, rig.mem_fd);
	struct vio_vu_msg shorter =
		vuf_mem_reg(VIO_VU_REM_MEM_REG, 0x80000000, MIB / 2, 0x600000000000, 0, -1);
	struct vio_vu_msg rings =
		vuf_mem_reg(VIO_VU_REM_MEM_REG, VUF_GUEST, VUF_MEM_SIZE, VUF_USER, 0, rig.mem_fd);

	(void)state;
	run_rings();
	assert_int_equal(vuf_ack(&rig, &add), 0);
	assert_int_not_equal(vuf_ack(&rig, &shorter), 0);
	assert_int_not_equal(vuf_ack(&rig, &foreign), 0);
	/* QEMU before 8.0 adds a region once for each queue pair, and removes it as often. */
	assert_int_equal(vuf_ack(&rig, &add), 0);
	assert_int_equal(vuf_ack(&rig, &rem), 0);
	assert_int_equal(vuf_count_maps("other"), 1);
	assert_int_equal(vuf_ack(&rig, &rem), 0);
	assert_int_not_equal(vuf_ack(&rig, &rem), 0);
	assert_int_equal(vuf_count_maps("other"), 0);
	assert_true(vuf_frame_passes(&rig, 1));

	vuf_guest_send(&rig, 1, 60);
	assert_int_equal(vuf_ack(&rig, &rings), 0);
	assert_int_equal(vuf_count_maps("guest"), 1);
	assert_int_equal(vuf_serve(&rig, 0), 0);
	nothing_is_left();
}

/* A buffer in a region that goes: its own queue breaks when it gets there, and only that. */
static void h19_buffer_in_a_region_that_is_removed(void **state)
{
	struct vio_vu_msg add =
		vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, file);
	struct vio_vu_msg rem =
		vuf_mem_reg(VIO_VU_REM_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, -1);
	struct vio_virtq_desc *desc;

	(void)state;
	run_rings();
	desc = (void *)(rig.mem + VUF_RING_SIZE);
	assert_int_equal(vuf_ack(&rig, &add), 0);
	vuf_guest_send(&rig, 1, 60);
	desc[0].addr = 0x80000000;
	assert_int_equal(vuf_ack(&rig, &rem), 0);
	assert_true(vuf_serve(&rig, 0) < 0);
	assert_int_equal(vio_device_queue_error(rig.dev, 1), VIO_VQ_BAD_ADDRESS);
	assert_int_equal(vio_device_queue_error(rig.dev, 0), VIO_VQ_OK);
	assert_true(vuf_connected(&rig));
	nothing_is_left();
}

static void h19_file_truncated_while_in_use(void **state)
{
	struct vio_vhost_user_status status;

	(void)state;
	vuf_guard_use();
	run_rings();
	assert_true(vuf_frame_passes(&rig, 1));
	assert_false(vuf_wait(&rig, 0));
	assert_int_equal(ftruncate(rig.mem_fd, 0), 0);
	/* The first touch finds out; what it reads is zeros. */
	vuf_serve(&rig, 0);
	/* The server was woken by it, tells why, and lets everything go. */
	assert_true(vuf_wait(&rig, 0));
	vuf_pump(&rig);
	assert_false(vuf_connected(&rig));
	assert_non_null(strstr(rig.log, "guest memory vanished"));
	vio_vhost_user_status(rig.server, &status);
	assert_int_equal(status.protocol_errors, 1);
	assert_int_equal(ftruncate(rig.mem_fd, VUF_MEM_SIZE), 0);
	nothing_is_left();
	/* The next one has sound memory. */
	run_rings();
	assert_true(vuf_frame_passes(&rig, 1));
	nothing_is_left();
}

static void h19_truncated_file_breaks_the_queues_with_the_reason(void **state)
{
	struct vio_vu_msg msg;

	(void)state;
	vuf_guard_use();
	run_rings();
	msg = vuf_fd(VIO_VU_SET_VRING_ERR, 1, rig.call_fd[6]);
	vuf_send(&rig, &msg);
	assert_int_equal(ftruncate(rig.mem_fd, VUF_BUFFERS), 0);
	/* The ring is there, the buffers are not. */
	memset(rig.mem + VUF_RING_SIZE, 0, 16);
	((struct vio_virtq_desc *)(void *)(rig.mem + VUF_RING_SIZE))[0] =
		(struct vio_virtq_desc){ .addr = VUF_GUEST + VUF_BUFFERS, .len = 72 };
	((uint16_t *)(void *)(rig.mem + VUF_RING_SIZE + 0x1000))[1] = 1;
	vuf_serve(&rig, 0);
	vuf_pump(&rig);
	assert_false(vuf_connected(&rig));
	assert_int_equal(vuf_eventfd_take(rig.call_fd[6]), 1);
	assert_int_equal(ftruncate(rig.mem_fd, VUF_MEM_SIZE), 0);
	nothing_is_left();
}

/* A file of the same name and place that has shrunk since is not taken on the old one's word. */
static void h19_shrunk_file_is_not_reused(void **state)
{
	struct vio_vu_msg msg;

	(void)state;
	run_rings();
	msg = vuf_mem_reg(VIO_VU_ADD_MEM_REG, 0x80000000, MIB, 0x600000000000, 0, file);
	assert_int_equal(vuf_ack(&rig, &msg), 0);
	assert_int_equal(ftruncate(file, MIB / 2), 0);
	msg = two_regions(msg.payload.mem_reg.region, file);
	assert_int_not_equal(vuf_ack(&rig, &msg), 0);
	assert_true(vuf_frame_passes(&rig, 1));
	nothing_is_left();
	assert_int_equal(ftruncate(file, MIB), 0);
}

/* ---- With a thread that serves ----------------------------------------------------------- */

static struct worker {
	pthread_t thread;
	pthread_mutex_t lock; /* held for each turn, and around each job */
	bool stop;
	uint64_t turns;
} worker;

static void around(struct vuf *r, bool enter)
{
	(void)r;
	if (enter)
		pthread_mutex_lock(&worker.lock);
	else
		pthread_mutex_unlock(&worker.lock);
}

/* A lap of the ring is made available again and again, all of its buffers the same. */
static void *serve(void *arg)
{
	uint16_t *avail = (void *)(rig.mem + VUF_RING_SIZE + 0x1000);

	(void)arg;
	while (!vio_load(&worker.stop)) {
		pthread_mutex_lock(&worker.lock);
		vio_store_release(&avail[1], (uint16_t)(vuf_used_idx(&rig, 1) + 32));
		vuf_serve(&rig, 0);
		vio_store(&worker.turns, worker.turns + 1);
		pthread_mutex_unlock(&worker.lock);
	}
	return NULL;
}

static void fill_ring(void)
{
	struct vio_virtq_desc *desc = (void *)(rig.mem + VUF_RING_SIZE);
	uint16_t *avail = (void *)(rig.mem + VUF_RING_SIZE + 0x1000);
	uint16_t i;

	for (i = 0; i < VUF_NUM; i++) {
		desc[i] = (struct vio_virtq_desc){ .addr = VUF_GUEST + VUF_BUFFERS, .len = 72 };
		avail[2 + i] = i;
	}
}

static void h21_memory_changes_under_traffic(void **state)
{
	struct vio_vu_msg sets[3], rem, add;
	unsigned i, sent;

	(void)state;
	run_rings();
	fill_ring();
	pthread_mutex_init(&worker.lock, NULL);
	worker.stop = false;
	rig.around = around;
	assert_int_equal(pthread_create(&worker.thread, NULL, serve, NULL), 0);
	/* The same mapping, one more region, and another mapping of the same memory. */
	sets[0] = vuf_mem_table(&rig);
	sets[1] = two_regions((struct vio_vu_mem_region){ 0, MIB, 0x600000000000, 0 }, file);
	sets[2] = vuf_mem_table(&rig);
	sets[2].payload.mem_table.regions[0].size -= 4096;
	rem = vuf_mem_reg(VIO_VU_REM_MEM_REG, VUF_GUEST, VUF_MEM_SIZE - 4096, VUF_USER, 0, -1);
	add = vuf_mem_reg(VIO_VU_ADD_MEM_REG, VUF_GUEST, VUF_MEM_SIZE, VUF_USER, 0, rig.mem_fd);
	for (i = 0; i < 600; i++) {
		uint64_t turns = vio_load(&worker.turns);

		assert_int_equal(vuf_ack(&rig, &sets[i % 3]), 0);
		if (i % 3 == 2) {
			assert_int_equal(vuf_ack(&rig, &rem), 0);
			assert_int_equal(vuf_ack(&rig, &add), 0);
		}
		while (vio_load(&worker.turns) == turns)
			sched_yield();
	}
	pthread_mutex_lock(&worker.lock);
	sent = rig.backend.sent;
	assert_int_equal(vio_device_queue_error(rig.dev, 1), VIO_VQ_OK);
	pthread_mutex_unlock(&worker.lock);
	assert_true(sent > 600);
	/* And away under traffic. */
	vuf_disconnect(&rig);
	vio_store(&worker.stop, true);
	pthread_join(worker.thread, NULL);
	pthread_mutex_destroy(&worker.lock);
	nothing_is_left();
}

#define H(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		H(h19_bad_tables_change_nothing),
		H(h19_bad_tables_cut_who_does_not_ask),
		H(h19_bad_numbers_of_regions),
		H(h19_files_that_can_not_be_mapped),
		H(h19_added_twice_removed_while_in_use),
		H(h19_buffer_in_a_region_that_is_removed),
		H(h19_file_truncated_while_in_use),
		H(h19_truncated_file_breaks_the_queues_with_the_reason),
		H(h19_shrunk_file_is_not_reused),
		H(h21_memory_changes_under_traffic),
	};

	vuf_guard_init();
	return cmocka_run_group_tests_name("memory of the vhost-user server", tests, NULL, NULL);
}
