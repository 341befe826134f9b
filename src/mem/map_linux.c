/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of files that a peer can truncate, and the SIGBUS guard that contains it.
 *
 * A front end hands over its memory as file descriptors. Nothing stops it from shrinking such a
 * file while we use the mapping (a memfd may be sealed against it, but few are), and an access
 * beyond the new end raises SIGBUS in whichever thread makes it: inside memcpy(), a checksum, a
 * ring. No check beforehand can help, so the access itself is made harmless. The handler puts
 * private zero pages over the mapping from the faulting page to its end, since truncation takes all
 * that follows, and marks the mapping as gone. The instruction is repeated and sees zeros; the
 * queue's owner polls vio_map_gone() and breaks the connection. The same contains what else the
 * kernel reports as SIGBUS on a mapping: a full tmpfs, no huge page left behind a hole, a memory
 * page with a hardware error. System calls that are given lost memory return EFAULT instead of
 * raising the signal; who gets that touches the memory itself.
 *
 * The handler must know all mappings without a lock, as it may interrupt anything. They stand in a
 * fixed table of slots. A slot is claimed by compare-and-swap and written under its sequence
 * number, odd while it changes. A thread that faults inside a mapping holds a reference to it, so
 * its slot does not change meanwhile, and a slot that the handler sees changing is another's:
 * nothing is ever retried or waited for. A mapping is entered after mmap() and before anyone has
 * its address, and taken out before munmap(), so a slot never covers foreign memory.
 *
 * What an embedding program has to know:
 * - The handler is installed with the first mapping, once, and stays. Faults that are not ours go
 *   to the action that was in force before, as if we were not there. Who installs a SIGBUS handler
 *   later must pass on what is not his in the same way.
 * - SA_ONSTACK: threads with an alternate stack (Go, sanitizers) get it there. SA_NODEFER: SIGBUS
 *   stays unblocked in the handler, so that an earlier handler which leaves by siglongjmp(), or
 *   faults itself, behaves as it did. Our own part touches no mapping and can't fault.
 * - The handler uses atomics and system calls only, and keeps errno.
 */
#include "mem/map_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/fmt.h"

#define HUGE_PAGE ((uint64_t)2 << 20)

/* One guarded mapping. Written by who claimed it, read by the handler at any moment. */
struct slot {
	uint32_t claimed;
	uint32_t seq; /* odd: changing */
	uintptr_t start;
	uintptr_t end; /* 0: none */
	size_t page_size;
	bool gone; /* set by the handler */
};

struct vio_map {
	uint32_t refs;
	uint32_t slot;
	void *base; /* what mmap() gave */
	size_t length;
	size_t delta; /* from @base to the first byte asked for */
	size_t size;
	size_t page_size;
};

static struct slot slots[VIO_MAP_MAX];
static uint32_t nslots;	    /* slots from here on were never used; only grows */
static uint32_t gone_count; /* how often a slot's gone was set */

static struct sigaction previous; /* constant once the handler is in */
static uint32_t previous_spent;	  /* its SA_RESETHAND has taken effect */
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;
static int guard_result;

static int gone_fd = -1; /* constant once it is made */
static pthread_once_t gone_once = PTHREAD_ONCE_INIT;

/* The guard: its handler's side */

/* Reads @s whole. False when it is empty, or changing and therefore not the faulting thread's. */
static bool slot_read(const struct slot *s, struct slot *copy)
{
	uint32_t seq = vio_load_acquire(&s->seq); /* pairs with the last release in slot_write() */

	/* Acquire, so that @seq is read again after them; pairs with the releases there. */
	copy->start = vio_load_acquire(&s->start);
	copy->end = vio_load_acquire(&s->end);
	copy->page_size = vio_load_acquire(&s->page_size);
	return seq % 2 == 0 && vio_load(&s->seq) == seq && copy->end != 0;
}

/*
 * The bare system call: C libraries and sanitizers may do more in mmap() than a handler may.
 * 32-bit systems have mmap2, which counts the offset in pages: 0 is the same in both.
 */
static bool put_zeros(uintptr_t start, uintptr_t end)
{
#ifdef SYS_mmap2
	const long number = SYS_mmap2;
#else
	const long number = SYS_mmap;
#endif
	const long prot = PROT_READ | PROT_WRITE;
	const long flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

	return syscall(number, start, end - start, prot, flags, -1L, 0L) != -1;
}

/* Async-signal-safe. A counter that is full has not been looked at: nothing is lost. */
static void tell_gone(void)
{
	int fd = vio_load(&gone_fd);
	uint64_t one = 1;
	ssize_t ignored;

	if (fd < 0)
		return;
	ignored = write(fd, &one, sizeof(one));
	(void)ignored;
}

/* True when the fault at @addr was in a guarded mapping and is mended. */
static bool contain(uintptr_t addr)
{
	/* The faulting thread's slot is below: it learnt of the mapping after vio_map_create(). */
	uint32_t n = vio_load_acquire(&nslots);

	for (uint32_t i = 0; i < n; i++) {
		struct slot s;
		uintptr_t page;

		if (!slot_read(&slots[i], &s) || addr < s.start || addr >= s.end)
			continue;
		page = addr & ~(s.page_size - 1);
		/* Strict overcommit or a limit may refuse the rest, but hardly one page. */
		if (!put_zeros(page, s.end) && !put_zeros(page, page + s.page_size))
			return false;
		if (!__atomic_exchange_n(&slots[i].gone, true, __ATOMIC_RELEASE)) {
			__atomic_fetch_add(&gone_count, 1, __ATOMIC_RELEASE);
			tell_gone();
		}
		return true;
	}
	return false;
}

/* Raised by this thread's last instruction, which is repeated when the handler returns. */
static bool is_fault(const siginfo_t *info)
{
	return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

static void default_action(const siginfo_t *info)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(SIGBUS, &action, NULL);
	/* A fault comes again by itself, and leaves a core that shows where. */
	if (!is_fault(info))
		raise(SIGBUS);
}

/* What would have happened without us. */
static void chain(int sig, siginfo_t *info, void *context)
{
	unsigned flags = (unsigned)previous.sa_flags;
	sigset_t mask = previous.sa_mask;
	bool ignored = previous.sa_handler == SIG_IGN;

	/* Nobody can ignore a fault: the kernel kills. */
	if (ignored && !is_fault(info))
		return;
	if (ignored || previous.sa_handler == SIG_DFL ||
	    ((flags & SA_RESETHAND) != 0 &&
	     __atomic_exchange_n(&previous_spent, 1, __ATOMIC_RELAXED) != 0)) {
		default_action(info);
		return;
	}
	if ((flags & SA_NODEFER) == 0)
		sigaddset(&mask, sig);
	/* Undone by the return from the signal. */
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if ((flags & SA_SIGINFO) != 0)
		previous.sa_sigaction(sig, info, context);
	else
		previous.sa_handler(sig);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	/* Only these carry an address that this thread has just touched. */
	bool fault = info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;

	if (!fault || !contain((uintptr_t)info->si_addr))
		chain(sig, info, context);
	errno = saved;
}

/* The guard: its users' side */

static void guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus };

	/* Read first: the handler may run before a combined call has stored the old action. */
	if (sigaction(SIGBUS, NULL, &previous) != 0)
		goto fail;
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | (previous.sa_flags & SA_RESTART);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL) != 0)
		goto fail;
	return;
fail:
	guard_result = -errno;
}

static void slot_write(struct slot *s, uintptr_t start, uintptr_t end, size_t page_size)
{
	uint32_t seq = vio_load(&s->seq);

	vio_store(&s->seq, seq + 1);
	/* Releases, so that @seq is seen odd before them; they pair with slot_read(). */
	vio_store_release(&s->start, start);
	vio_store_release(&s->end, end);
	vio_store_release(&s->page_size, page_size);
	vio_store_release(&s->seq, seq + 2);
}

static bool slot_claim(struct slot *s)
{
	uint32_t free = 0;

	return vio_load(&s->claimed) == 0 &&
	       __atomic_compare_exchange_n(&s->claimed, &free, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static int guard_enter(struct vio_map *map)
{
	uint32_t n = vio_load(&nslots);
	uint32_t i = 0;

	while (i < VIO_MAP_MAX && !slot_claim(&slots[i]))
		i++;
	if (i == VIO_MAP_MAX)
		return -ENOSPC;
	vio_store(&slots[i].gone, false);
	slot_write(&slots[i], (uintptr_t)map->base, (uintptr_t)map->base + map->length,
		   map->page_size);
	/* Grows to i + 1 at least; pairs with the acquire in contain(). */
	while (n <= i && !__atomic_compare_exchange_n(&nslots, &n, i + 1, false, __ATOMIC_RELEASE,
						      __ATOMIC_RELAXED))
		;
	map->slot = i;
	return 0;
}

static void guard_leave(struct vio_map *map)
{
	struct slot *s = &slots[map->slot];

	slot_write(s, 0, 0, 0);
	vio_store_release(&s->claimed, 0); /* pairs with the acquire in slot_claim() */
}

/* Mappings */

/* Maps what @map says of @fd and enters it in the guard. */
static int map_fd(struct vio_map *map, int fd, uint64_t offset, struct vio_error *err)
{
	int ret;

	pthread_once(&guard_once, guard_install);
	if (guard_result != 0) {
		vio_error_set(err, "memory file: no SIGBUS handler: %s", strerror(-guard_result));
		return guard_result;
	}
	map->base = mmap(NULL, map->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (map->base == MAP_FAILED) {
		ret = -errno;
		vio_error_set(err, "memory file: can't map %zu bytes at offset 0x%llx: %s",
			      map->length, (unsigned long long)offset, strerror(-ret));
		return ret;
	}
	ret = guard_enter(map);
	if (ret != 0) {
		vio_error_set(err, "memory file: %d mappings exist already, the most there can be",
			      VIO_MAP_MAX);
		munmap(map->base, map->length);
	}
	return ret;
}

static const char *kind_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFBLK:
		return "a block device";
	default:
		return "no file";
	}
}

/* Refuses what is not plain memory, and finds the page size and the size of the file. */
static int inspect(int fd, size_t *page_size, uint64_t *file_size, struct vio_error *err)
{
	struct stat st;
	struct statfs fs;
	int ret;

	if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && fstatfs(fd, &fs) != 0)) {
		ret = -errno;
		vio_error_set(err, "memory file: fd %d: %s", fd, strerror(-ret));
		return ret;
	}
	if (!S_ISREG(st.st_mode)) {
		vio_error_set(err, "memory file: fd %d is %s, expected a regular file or memfd", fd,
			      kind_name(st.st_mode));
		return -EINVAL;
	}
	if (fs.f_type == FUSE_SUPER_MAGIC) {
		vio_error_set(err,
			      "memory file: fd %d is in a FUSE file system, expected a file "
			      "that the kernel itself keeps",
			      fd);
		return -EINVAL;
	}
	*page_size = (size_t)(fs.f_type == HUGETLBFS_MAGIC ? fs.f_bsize : sysconf(_SC_PAGESIZE));
	*file_size = (uint64_t)st.st_size;
	return 0;
}

static int check_range(uint64_t offset, uint64_t size, uint64_t file_size, struct vio_error *err)
{
	if (size == 0) {
		vio_error_set(err, "memory file: size 0, expected at least one byte");
		return -EINVAL;
	}
	if (size - 1 > UINT64_MAX - offset) {
		vio_error_set(err, "memory file: offset 0x%llx and size 0x%llx wrap around 2^64",
			      (unsigned long long)offset, (unsigned long long)size);
		return -EINVAL;
	}
	if (offset > file_size || size > file_size - offset) {
		vio_error_set(err,
			      "memory file: has 0x%llx bytes, expected 0x%llx from offset 0x%llx",
			      (unsigned long long)file_size, (unsigned long long)size,
			      (unsigned long long)offset);
		return -EINVAL;
	}
	if (size > SIZE_MAX / 2) {
		vio_error_set(err, "memory file: size 0x%llx is more than this process can map",
			      (unsigned long long)size);
		return -EINVAL;
	}
	return 0;
}

static int map_create(int fd, uint64_t offset, uint64_t size, struct vio_map **out,
		      struct vio_error *err)
{
	struct vio_map *map;
	size_t page_size;
	uint64_t file_size;
	int ret;

	ret = inspect(fd, &page_size, &file_size, err);
	if (ret == 0)
		ret = check_range(offset, size, file_size, err);
	if (ret != 0)
		return ret;
	map = calloc(1, sizeof(*map));
	if (map == NULL) {
		vio_error_set(err, "memory file: out of memory");
		return -ENOMEM;
	}
	map->refs = 1;
	map->page_size = page_size;
	map->size = (size_t)size;
	map->delta = (size_t)(offset & (page_size - 1));
	map->length = vio_align_up(map->delta + map->size, page_size);
	ret = map_fd(map, fd, offset - map->delta, err);
	if (ret != 0)
		goto free;
	*out = map;
	return 0;
free:
	free(map);
	return ret;
}

int vio_map_create(int fd, uint64_t offset, uint64_t size, struct vio_map **out,
		   struct vio_error *err)
{
	int ret = map_create(fd, offset, size, out, err);

	/* A core dump is to show our state, not gigabytes of the peer's. */
	if (ret == 0)
		madvise((*out)->base, (*out)->length, MADV_DONTDUMP);
	return ret;
}

/* A sealed memfd of @size bytes. Shrinking is what must not be; the other seals keep it so. */
static int sealed_memfd(uint64_t size, unsigned flags)
{
	int fd, ret;

	fd = memfd_create("vioduct", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		goto fail;
	return fd;
fail:
	ret = -errno;
	close(fd);
	return ret;
}

static int shared_with(uint64_t size, uint64_t page_size, unsigned flags, int *fd_out,
		       struct vio_map **out, struct vio_error *err)
{
	int fd, ret;

	size = (size + page_size - 1) & ~(page_size - 1);
	fd = sealed_memfd(size, flags);
	if (fd < 0) {
		vio_error_set(err, "memfd of 0x%llx bytes: %s", (unsigned long long)size,
			      strerror(-fd));
		return fd;
	}
	/* With huge pages mmap() reserves them, or fails here and not at a touch later. */
	ret = map_create(fd, 0, size, out, err);
	if (ret != 0) {
		close(fd);
		return ret;
	}
	*fd_out = fd;
	return 0;
}

int vio_map_shared(uint64_t size, unsigned flags, int *fd_out, struct vio_map **out,
		   struct vio_error *err)
{
	int ret;

	if (size == 0 || size > INT64_MAX - HUGE_PAGE) {
		vio_error_set(err, "shared memory: size 0x%llx, expected 1 to 0x%llx",
			      (unsigned long long)size,
			      (unsigned long long)(INT64_MAX - HUGE_PAGE));
		return -EINVAL;
	}
	if (size >= HUGE_PAGE && (flags & VIO_MAP_SMALL_PAGES) == 0 &&
	    shared_with(size, HUGE_PAGE, MFD_HUGETLB | MFD_HUGE_2MB, fd_out, out, NULL) == 0)
		return 0;
	ret = shared_with(size, (uint64_t)sysconf(_SC_PAGESIZE), 0, fd_out, out, err);
	if (ret != 0)
		return ret;
	if (size >= HUGE_PAGE && (flags & VIO_MAP_SMALL_PAGES) == 0)
		madvise((*out)->base, (*out)->length, MADV_HUGEPAGE);
	return 0;
}

struct vio_map *vio_map_get(struct vio_map *map)
{
	__atomic_fetch_add(&map->refs, 1, __ATOMIC_RELAXED);
	return map;
}

void vio_map_put(struct vio_map *map)
{
	/* Every user's last access comes before the unmapping, whoever does it. */
	if (map == NULL || __atomic_fetch_sub(&map->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	guard_leave(map);
	munmap(map->base, map->length);
	free(map);
}

void *vio_map_ptr(const struct vio_map *map)
{
	return (char *)map->base + map->delta;
}

uint64_t vio_map_size(const struct vio_map *map)
{
	return map->size;
}

size_t vio_map_page_size(const struct vio_map *map)
{
	return map->page_size;
}

bool vio_map_gone(const struct vio_map *map)
{
	return vio_load_acquire(&slots[map->slot].gone);
}

uint32_t vio_map_gone_count(void)
{
	return vio_load_acquire(&gone_count);
}

static void gone_fd_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vio_store(&gone_fd, fd < 0 ? -errno : fd);
}

int vio_map_gone_fd(void)
{
	pthread_once(&gone_once, gone_fd_open);
	return vio_load(&gone_fd);
}
