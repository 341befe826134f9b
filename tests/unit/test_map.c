/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of files that belong to a peer: what is refused, what is mapped, and what happens when
 * the file shrinks under us.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "fds.h"
#include "mem/map_linux.h"

#define HUGE ((size_t)2 << 20)

static size_t page;
static struct sigaction guard;

/* cmocka puts its own handler in front for the time of each test. */
static void use_guard(void)
{
	sigaction(SIGBUS, &guard, NULL);
}

static char proc_maps[1 << 20];

static void read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, proc_maps + len, sizeof(proc_maps) - 1 - len)) > 0)
		len += (size_t)n;
	proc_maps[len] = '\0';
	close(fd);
}

/* Lines of /proc/self/maps that show one of our files. */
static int count_maps(void)
{
	int n = 0;

	read_maps();
	for (const char *at = proc_maps; (at = strstr(at, "/memfd:")) != NULL; at++)
		n++;
	return n;
}

static bool is_mapped(const void *p)
{
	uintptr_t start, end;

	read_maps();
	for (char *at = proc_maps; *at != '\0'; at = strchr(at, '\n') + 1) {
		start = strtoul(at, &at, 16);
		end = strtoul(at + 1, &at, 16);
		if ((uintptr_t)p >= start && (uintptr_t)p < end)
			return true;
	}
	return false;
}

/* A memfd of @pages pages; each byte holds the number of its page, from 1. */
static int memfd(size_t pages)
{
	int fd = memfd_create("peer", MFD_CLOEXEC);
	char *buf = malloc(page);

	assert_true(fd >= 0 && buf != NULL);
	for (size_t i = 0; i < pages; i++) {
		memset(buf, (int)(i + 1), page);
		assert_int_equal(pwrite(fd, buf, page, (off_t)(i * page)), page);
	}
	free(buf);
	return fd;
}

static struct vio_map *map_of(int fd, uint64_t offset, uint64_t size)
{
	struct vio_error err = { .msg = "" };
	struct vio_map *map = NULL;

	assert_int_equal(vio_map_create(fd, offset, size, &map, &err), 0);
	assert_string_equal(err.msg, "");
	assert_non_null(map);
	return map;
}

/* Closes @fd. */
static void refused(int fd, uint64_t offset, uint64_t size, int want, const char *reason)
{
	unsigned fds = count_fds();
	int maps = count_maps();
	struct vio_error err = { .msg = "" };
	struct vio_map *map = NULL;

	assert_int_equal(vio_map_create(fd, offset, size, &map, &err), want);
	assert_null(map);
	assert_non_null(strstr(err.msg, reason));
	assert_int_equal(vio_map_create(fd, offset, size, &map, NULL), want);
	assert_int_equal(count_maps(), maps);
	assert_int_equal(count_fds(), fds);
	if (fd >= 0)
		close(fd);
}

static void test_h17_wrong_kinds_of_fd(void **state)
{
	char name[64];
	int pair[2], fd;

	(void)state;
	assert_int_equal(pipe(pair), 0);
	refused(pair[0], 0, page, -EINVAL, "a pipe");
	refused(pair[1], 0, page, -EINVAL, "a pipe");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	refused(pair[0], 0, page, -EINVAL, "a socket");
	close(pair[1]);
	refused(open("/", O_RDONLY), 0, page, -EINVAL, "a directory");
	refused(open("/dev/zero", O_RDWR), 0, page, -EINVAL, "a character device");
	refused(open("/dev/null", O_RDWR), 0, page, -EINVAL, "a character device");
	refused(-1, 0, page, -EBADF, "fd -1");

	fd = memfd(1);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	refused(open(name, O_RDONLY), 0, page, -EACCES, "can't map");
	refused(open(name, O_WRONLY), 0, page, -EACCES, "can't map");
	assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1); /* no sealing allowed on this one */
	close(fd);
	fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)page), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refused(fd, 0, page, -EPERM, "can't map");
}

static void test_h19_bad_ranges(void **state)
{
	(void)state;
	refused(memfd(2), 0, 0, -EINVAL, "size 0");
	refused(memfd(2), page, 0, -EINVAL, "size 0");
	refused(memfd(2), UINT64_MAX, 2, -EINVAL, "wrap");
	refused(memfd(2), 2, UINT64_MAX, -EINVAL, "wrap");
	refused(memfd(2), UINT64_MAX - page + 1, 2 * page, -EINVAL, "wrap");
	refused(memfd(2), UINT64_MAX, UINT64_MAX, -EINVAL, "wrap");
	refused(memfd(2), 0, UINT64_MAX, -EINVAL, "has 0x");
	refused(memfd(2), UINT64_MAX, 1, -EINVAL, "has 0x");
	refused(memfd(2), 0, 2 * page + 1, -EINVAL, "has 0x");
	refused(memfd(2), 1, 2 * page, -EINVAL, "has 0x");
	refused(memfd(2), 2 * page, 1, -EINVAL, "has 0x");
	refused(memfd(0), 0, 1, -EINVAL, "has 0x");
}

static void test_unaligned_offset(void **state)
{
	int fd = memfd(4), maps = count_maps();
	struct vio_map *map = map_of(fd, page + 100, page);
	char *p = vio_map_ptr(map);

	(void)state;
	close(fd);
	assert_int_equal((uintptr_t)p % page, 100);
	assert_int_equal(vio_map_size(map), page);
	assert_int_equal(vio_map_page_size(map), page);
	assert_int_equal(p[0], 2);
	assert_int_equal(p[page - 101], 2);
	assert_int_equal(p[page - 100], 3);
	assert_int_equal(count_maps(), maps + 1);
	assert_true(is_mapped(p + page - 1));
	vio_map_put(map);
	assert_int_equal(count_maps(), maps);
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + page - 1));
}

static void test_regular_file(void **state)
{
	char name[] = "vioduct-map-XXXXXX";
	int fd = mkstemp(name);
	struct vio_map *map;
	char byte = 0;

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(ftruncate(fd, (off_t)(3 * page - 7)), 0);
	map = map_of(fd, 2 * page, page - 7);
	((char *)vio_map_ptr(map))[page - 8] = 'e';
	assert_int_equal(pread(fd, &byte, 1, (off_t)(3 * page - 8)), 1);
	assert_int_equal(byte, 'e');
	vio_map_put(map);
	close(fd);
}

static void test_references(void **state)
{
	int fd = memfd(1);
	struct vio_map *map = map_of(fd, 0, page);
	char *p = vio_map_ptr(map);

	(void)state;
	close(fd);
	assert_ptr_equal(vio_map_get(map), map);
	vio_map_put(map);
	assert_int_equal(p[0], 1);
	vio_map_put(map);
	assert_false(is_mapped(p));
	vio_map_put(NULL);
}

static void test_thousand_rounds_leak_nothing(void **state)
{
	int fd = memfd(2), maps = count_maps();
	unsigned fds = count_fds();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct vio_map *a = map_of(fd, 0, page), *b = map_of(fd, page, page);

		vio_map_put(a);
		vio_map_put(b);
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_maps(), maps);
	close(fd);
}

static void test_table_full(void **state)
{
	struct vio_map **maps = calloc(VIO_MAP_MAX, sizeof(*maps));
	int fd = memfd(1);

	(void)state;
	assert_non_null(maps);
	for (int i = 0; i < VIO_MAP_MAX; i++)
		assert_int_equal(vio_map_create(fd, 0, page, &maps[i], NULL), 0);
	refused(dup(fd), 0, page, -ENOSPC, "mappings exist already");
	vio_map_put(maps[1000]);
	maps[1000] = map_of(fd, 0, page);
	for (int i = 0; i < VIO_MAP_MAX; i++)
		vio_map_put(maps[i]);
	free(maps);
	close(fd);
}

/* Reads every page again and again until the mapping is found to be gone. */
struct reader {
	struct vio_map *map;
	uint32_t passes;
	uint32_t wrong; /* bytes that were neither the file's nor zero */
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	const char *p = vio_map_ptr(r->map);

	while (!vio_map_gone(r->map)) {
		for (size_t i = 0; i < vio_map_size(r->map) / page; i++) {
			char c = vio_load(&p[i * page]);

			r->wrong += c != 0 && c != (char)(i + 1);
		}
		__atomic_fetch_add(&r->passes, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* HOSTILE 19: truncated while two threads read. */
static void test_h19_truncated_while_read(void **state)
{
	int fd = memfd(64), other_fd = memfd(1);
	struct vio_map *map = map_of(fd, 0, 64 * page), *other = map_of(other_fd, 0, page);
	struct reader readers[2] = { { .map = map }, { .map = map } };
	uint32_t count = vio_map_gone_count();
	char *p = vio_map_ptr(map);
	pthread_t threads[2];

	(void)state;
	use_guard();
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
	for (int i = 0; i < 2; i++)
		while (vio_load_acquire(&readers[i].passes) == 0)
			sched_yield();
	assert_false(vio_map_gone(map));
	assert_int_equal(ftruncate(fd, (off_t)(10 * page)), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(readers[i].wrong, 0);
	}
	assert_true(vio_map_gone(map));
	assert_int_equal(vio_map_gone_count(), count + 1);
	assert_int_equal(p[9 * page], 10); /* what is left of the file is still the file */
	for (size_t i = 10; i < 64; i++) {
		assert_int_equal(p[i * page], 0);
		p[i * page] = 'w';
		assert_int_equal(p[i * page], 'w');
	}
	/* Grown again, it does not come back; cut again, the rest goes the same way. */
	assert_int_equal(ftruncate(fd, (off_t)(64 * page)), 0);
	assert_int_equal(p[20 * page], 'w');
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(p[0], 0);
	assert_int_equal(vio_map_gone_count(), count + 1);

	assert_false(vio_map_gone(other));
	assert_int_equal(*(char *)vio_map_ptr(other), 1);
	vio_map_put(map);
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + 10 * page));
	assert_false(is_mapped(p + 63 * page));
	vio_map_put(other);
	close(fd);
	close(other_fd);
}

/* Through what the compiler and the C library make of a copy, and with an unaligned start. */
static void test_h19_truncated_under_memcpy(void **state)
{
	int fd = memfd(8);
	struct vio_map *map = map_of(fd, page + 100, 6 * page);
	char *copy = malloc(6 * page), *p = vio_map_ptr(map);

	(void)state;
	use_guard();
	assert_non_null(copy);
	assert_int_equal(ftruncate(fd, (off_t)(2 * page + 50)), 0);
	errno = 77;
	memcpy(copy, p, 6 * page);
	assert_int_equal(errno, 77);
	assert_true(vio_map_gone(map));
	assert_int_equal(copy[0], 2);
	assert_int_equal(copy[page - 101], 2);
	assert_int_equal(copy[page - 100], 3);
	assert_int_equal(copy[page - 100 + 49], 3);
	for (size_t i = page - 50; i < 6 * page; i++)
		assert_int_equal(copy[i], 0);
	memcpy(p, copy, 6 * page);
	vio_map_put(map);
	free(copy);
	close(fd);
}

static void test_h19_truncated_under_system_call(void **state)
{
	int fd = memfd(4), pair[2];
	struct vio_map *map = map_of(fd, 0, 4 * page);
	char *p = vio_map_ptr(map);

	(void)state;
	use_guard();
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(ftruncate(fd, (off_t)page), 0);
	assert_int_equal(write(pair[1], p + 2 * page, 10), -1);
	assert_int_equal(errno, EFAULT);
	assert_false(vio_map_gone(map)); /* no signal, so nobody noticed */
	assert_int_equal(((volatile char *)p)[2 * page], 0);
	assert_true(vio_map_gone(map));
	vio_map_put(map);
	close(pair[0]);
	close(pair[1]);
	close(fd);
}

static int huge_memfd(size_t pages)
{
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && ftruncate(fd, (off_t)(pages * HUGE)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_huge_pages(void **state)
{
	int fd = huge_memfd(2);
	struct vio_map *map = NULL;
	char *p;

	(void)state;
	use_guard();
	if (fd < 0 || vio_map_create(fd, page + 10, 2 * HUGE - page - 10, &map, NULL) != 0)
		skip();
	p = vio_map_ptr(map);
	assert_int_equal(vio_map_page_size(map), HUGE);
	assert_int_equal((uintptr_t)p % HUGE, page + 10);
	p[0] = 'a';
	p[HUGE] = 'b';
	assert_int_equal(ftruncate(fd, HUGE), 0);
	assert_int_equal(p[HUGE + page], 0); /* not at the start of the huge page */
	assert_true(vio_map_gone(map));
	assert_int_equal(p[HUGE], 0);
	assert_int_equal(p[0], 'a');
	vio_map_put(map);
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + HUGE));
	close(fd);
}

static void check_shared(uint64_t size, unsigned flags)
{
	unsigned fds = count_fds();
	int maps = count_maps(), fd = -1;
	struct vio_error err = { .msg = "" };
	struct vio_map *map, *peer;
	char *p;

	assert_int_equal(vio_map_shared(size, flags, &fd, &map, &err), 0);
	assert_string_equal(err.msg, "");
	assert_true(vio_map_size(map) >= size);
	assert_int_equal(vio_map_size(map) % vio_map_page_size(map), 0);
	assert_true(vio_map_size(map) - size < vio_map_page_size(map));
	assert_int_equal(lseek(fd, 0, SEEK_END), vio_map_size(map));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	if (size < HUGE || (flags & VIO_MAP_SMALL_PAGES) != 0)
		assert_int_equal(vio_map_page_size(map), page);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	/* Nor may a peer seal what the next peer has to write. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);

	peer = map_of(fd, 0, vio_map_size(map));
	p = vio_map_ptr(map);
	for (size_t i = 0; i < size; i += page)
		assert_int_equal(p[i], 0);
	p[size - 1] = 's';
	assert_int_equal(((char *)vio_map_ptr(peer))[size - 1], 's');
	vio_map_put(peer);
	vio_map_put(map);
	close(fd);
	assert_int_equal(count_maps(), maps);
	assert_int_equal(count_fds(), fds);
}

static void test_shared(void **state)
{
	struct vio_error err = { .msg = "" };
	struct vio_map *map;
	int fd;

	(void)state;
	check_shared(1, 0);
	check_shared(page, 0);
	check_shared(HUGE - 1, 0);
	check_shared(HUGE, 0);
	check_shared(HUGE + 1, 0);
	check_shared(HUGE + 1, VIO_MAP_SMALL_PAGES);
	assert_int_equal(vio_map_shared(0, 0, &fd, &map, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "size 0x0"));
	assert_int_equal(vio_map_shared(UINT64_MAX, 0, &fd, &map, &err), -EINVAL);
	assert_int_equal(vio_map_shared(INT64_MAX, 0, &fd, &map, &err), -EINVAL);
	/* Small enough for a file, too much for anybody's address space: both tries fail. */
	assert_int_equal(vio_map_shared(UINT64_C(1) << 61, 0, &fd, &map, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "can't map"));
}

/* Slots change hands all the time while another thread's mappings are cut. */
static void *churn(void *arg)
{
	const uint32_t *stop = arg;
	int fd = memfd_create("peer", MFD_CLOEXEC);
	struct vio_map *map[4] = { NULL };

	if (fd < 0 || ftruncate(fd, (off_t)(64 * page)) != 0)
		abort();
	for (size_t i = 0; vio_load(stop) == 0; i++) {
		vio_map_put(map[i % 4]);
		if (vio_map_create(fd, i % 32 * page, (i % 31 + 1) * page, &map[i % 4], NULL) != 0)
			abort();
		*(char *)vio_map_ptr(map[i % 4]) = 'c';
	}
	for (size_t i = 0; i < 4; i++) {
		if (map[i] != NULL && vio_map_gone(map[i]))
			abort(); /* another's fault was laid to it */
		vio_map_put(map[i]);
	}
	close(fd);
	return NULL;
}

static void test_faults_while_mappings_come_and_go(void **state)
{
	uint32_t stop = 0;
	pthread_t thread;

	(void)state;
	use_guard();
	assert_int_equal(pthread_create(&thread, NULL, churn, &stop), 0);
	for (int i = 0; i < 1000; i++) {
		int fd = memfd_create("peer", MFD_CLOEXEC);
		struct vio_map *map;

		assert_int_equal(ftruncate(fd, (off_t)(4 * page)), 0);
		map = map_of(fd, 0, 4 * page);
		memset(vio_map_ptr(map), 'x', 4 * page);
		assert_int_equal(ftruncate(fd, (off_t)page), 0);
		memset(vio_map_ptr(map), 'y', 4 * page);
		assert_true(vio_map_gone(map));
		vio_map_put(map);
		close(fd);
	}
	vio_store(&stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h17_wrong_kinds_of_fd),
		cmocka_unit_test(test_h19_bad_ranges),
		cmocka_unit_test(test_unaligned_offset),
		cmocka_unit_test(test_regular_file),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_thousand_rounds_leak_nothing),
		cmocka_unit_test(test_table_full),
		cmocka_unit_test(test_h19_truncated_while_read),
		cmocka_unit_test(test_h19_truncated_under_memcpy),
		cmocka_unit_test(test_h19_truncated_under_system_call),
		cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_faults_while_mappings_come_and_go),
	};
	struct vio_map *map;
	int fd;

	page = (size_t)sysconf(_SC_PAGESIZE);
	/* The first mapping installs the guard. */
	if (vio_map_shared(1, 0, &fd, &map, NULL) != 0)
		return 1;
	vio_map_put(map);
	close(fd);
	sigaction(SIGBUS, NULL, &guard);
	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
