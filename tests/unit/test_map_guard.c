/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SIGBUS guard among other handlers: a fault in a guarded mapping is contained, and everything
 * else happens as it would without us. Each scene needs a fresh process (an action from before the
 * guard, or a death), so it runs in a child: this program again, with the scene's name.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "mem/map_linux.h"

/* It runs every handler with all signals blocked. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define THREAD_SANITIZER 0
#endif

static size_t page;

/* In a scene: the exit status is the answer. */

#define expect(what)                                                               \
	do {                                                                       \
		if (!(what)) {                                                     \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static sigjmp_buf back;
static volatile sig_atomic_t handled;
static volatile sig_atomic_t usr1_blocked, bus_blocked;

static void note_mask(void)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	usr1_blocked = sigismember(&now, SIGUSR1);
	bus_blocked = sigismember(&now, SIGBUS);
}

static void leaving_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	handled += sig == SIGBUS && info->si_signo == SIGBUS;
	note_mask();
	siglongjmp(back, 1);
}

static void plain_handler(int sig)
{
	handled += sig == SIGBUS;
	note_mask();
}

/* Returns an address outside of every guarded mapping that faults. */
static char *foreign(void)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	expect(p != MAP_FAILED);
	close(fd);
	return p;
}

/* A guarded mapping that faults. */
static struct vio_map *cut(size_t pages)
{
	int fd = memfd_create("peer", MFD_CLOEXEC);
	struct vio_map *map;

	expect(ftruncate(fd, (off_t)(pages * page)) == 0);
	expect(vio_map_create(fd, 0, pages * page, &map, NULL) == 0);
	expect(ftruncate(fd, 0) == 0);
	close(fd);
	return map;
}

static void set_action(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	expect(sigaction(SIGBUS, &action, NULL) == 0);
}

/* Ours is contained, and the handler from before does not hear of it. */
static void contained(struct vio_map *map)
{
	expect(vio_load((char *)vio_map_ptr(map)) == 0);
	expect(vio_map_gone(map));
	expect(handled == 0);
}

static void scene_default_fault(void)
{
	set_action(SIG_DFL, 0);
	contained(cut(1));
	vio_load(foreign());
}

static void scene_default_sent(void)
{
	set_action(SIG_DFL, 0);
	contained(cut(1));
	raise(SIGBUS);
}

static void scene_ignored_sent(void)
{
	set_action(SIG_IGN, 0);
	contained(cut(1));
	raise(SIGBUS);
}

static void scene_ignored_fault(void)
{
	set_action(SIG_IGN, 0);
	contained(cut(1));
	vio_load(foreign());
}

/* The handler runs with the mask that it asked for, and gone is its mask when it has left. */
static void handler_leaves(int flags)
{
	struct sigaction action = { .sa_sigaction = leaving_handler,
				    .sa_flags = SA_SIGINFO | flags };
	sigset_t now;

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGBUS, &action, NULL);
	contained(cut(1));
	for (volatile int i = 0; i < 3; i++)
		if (sigsetjmp(back, 1) == 0)
			vio_load(foreign());
	expect(handled == 3);
	expect(usr1_blocked == 1);
	expect(THREAD_SANITIZER || bus_blocked == (flags != SA_NODEFER));
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	expect(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGBUS));
	handled = 0;
	contained(cut(2));
}

static void scene_handler_leaves(void)
{
	handler_leaves(0);
}

static void scene_handler_leaves_nodefer(void)
{
	handler_leaves(SA_NODEFER);
}

static void scene_plain_handler(void)
{
	sigset_t now;

	set_action(plain_handler, 0);
	contained(cut(1));
	raise(SIGBUS);
	raise(SIGBUS);
	expect(handled == 2);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	expect(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGBUS));
}

/* Returns into the fault: the second time the default action, not the handler without end. */
static void scene_handler_once(void)
{
	set_action(plain_handler, (int)SA_RESETHAND);
	contained(cut(1));
	vio_load(foreign());
}

/* A sent signal carries no address, whatever its sender made it look like. */
static void scene_forged_address(void)
{
	struct vio_map *map;
	siginfo_t info;

	set_action(plain_handler, 0);
	map = cut(1);
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_addr = vio_map_ptr(map);
	expect(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &info) == 0);
	expect(handled == 1);
	expect(!vio_map_gone(map));
	handled = 0;
	contained(map);
}

/* A limit that refuses the whole rest of the mapping at once: page by page then. */
static void scene_memory_limit(void)
{
	const size_t pages = (size_t)1 << 16;
	struct vio_map *map;
	struct rlimit limit;
	char *p;

	set_action(SIG_DFL, 0);
	map = cut(pages);
	p = vio_map_ptr(map);
	expect(geteuid() != 0 || setuid(65534) == 0);
	expect(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	limit.rlim_cur = vio_min(limit.rlim_max, (rlim_t)1 << 20);
	expect(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	/* By number: sanitizers make the function do nothing. */
	expect(syscall(SYS_mlockall, MCL_FUTURE) == 0);
	errno = 77;
	expect(vio_load(p + 100 * page) == 0);
	expect(errno == 77);
	expect(vio_load(p + (pages - 1) * page) == 0);
	expect(vio_load(p) == 0);
	expect(vio_map_gone(map));
	expect(vio_map_gone_count() == 1);
}

/* Threads with an alternate stack get the signal there. */
static void scene_alternate_stack(void)
{
	static char stack[1 << 16];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	size_t used = 0;

	set_action(SIG_DFL, 0);
	expect(sigaltstack(&alternate, NULL) == 0);
	contained(cut(1));
	for (size_t i = 0; i < sizeof(stack); i++)
		used += stack[i] != 0;
	expect(used > 0);
}

static const struct {
	const char *name;
	void (*run)(void);
	int signal; /* that ends it, or 0 */
} scenes[] = {
	{ "default_fault", scene_default_fault, SIGBUS },
	{ "default_sent", scene_default_sent, SIGBUS },
	{ "ignored_sent", scene_ignored_sent, 0 },
	{ "ignored_fault", scene_ignored_fault, SIGBUS },
	{ "handler_leaves", scene_handler_leaves, 0 },
	{ "handler_leaves_nodefer", scene_handler_leaves_nodefer, 0 },
	{ "plain_handler", scene_plain_handler, 0 },
	{ "handler_once", scene_handler_once, SIGBUS },
	{ "forged_address", scene_forged_address, 0 },
	{ "memory_limit", scene_memory_limit, 0 },
	{ "alternate_stack", scene_alternate_stack, 0 },
};

static int run_scene(const char *name)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < vio_array_size(scenes); i++) {
		if (strcmp(scenes[i].name, name) != 0)
			continue;
		scenes[i].run();
		/* Only the chain is in question, not what sanitizers do at exit. */
		_exit(scenes[i].signal == 0 ? 0 : 2);
	}
	return 1;
}

static void test_scenes(void **state)
{
	extern char **environ;

	(void)state;
	for (size_t i = 0; i < vio_array_size(scenes); i++) {
		char self[] = "/proc/self/exe", name[32];
		char *argv[] = { self, name, NULL };
		int status;
		pid_t pid;

		snprintf(name, sizeof(name), "%s", scenes[i].name);
		assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (scenes[i].signal == 0 ?
			    status != 0 :
			    !WIFSIGNALED(status) || WTERMSIG(status) != scenes[i].signal)
			fail_msg("scene %s ended with status 0x%x", name, (unsigned)status);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenes),
	};

	page = (size_t)sysconf(_SC_PAGESIZE);
	if (argc == 2)
		return run_scene(argv[1]);
	return cmocka_run_group_tests_name("map_guard", tests, NULL, NULL);
}
