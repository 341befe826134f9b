/* SPDX-License-Identifier: BSD-2-Clause */
/* The example that echoes frames, in front of a device that breaks its queues: it ends and says why. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bits.h"
#include "device/device.h"
#include "ring/ring.h"
#include "vufront.h"

#define LIMIT_MS 30000

struct example {
	struct vuf rig;
	pid_t pid;
	int said; /* its standard error */
	int status;
	bool ended;
};

static char program[4096];

/* The example lies beside the tests. False: it was not built. */
static bool find_program(void)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 64);
	char *slash;

	assert_true(n > 0);
	program[n] = '\0';
	slash = strrchr(program, '/');
	strcpy(slash, "/../examples/driver_echo");
	return access(program, X_OK) == 0;
}

static void start(struct example *e)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	e->pid = fork();
	assert_true(e->pid >= 0);
	if (e->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 2);
		execl(program, program, e->rig.path, NULL);
		_exit(127);
	}
	close(fds[1]);
	e->said = fds[0];
}

/* Is a device for the example until @done holds. */
static void serve_until(struct example *e, bool (*done)(struct example *e))
{
	for (unsigned ms = 0; !done(e); ms++) {
		assert_true(ms < LIMIT_MS);
		vuf_wait(&e->rig, 1);
	}
}

static bool has_buffers(struct example *e)
{
	struct vio_device_queue *rx = &e->rig.dev->pairs[0].rx;

	return rx->vq && rx->enabled && e->rig.dev->pairs[0].tx.vq && vio_devq_has_avail(rx->vq);
}

static bool has_sent(struct example *e)
{
	return vio_device_tx_pending(e->rig.dev, 0);
}

static bool has_ended(struct example *e)
{
	if (!e->ended)
		e->ended = waitpid(e->pid, &e->status, WNOHANG) == e->pid;
	return e->ended;
}

/* Uses the next buffer of @q, @times times, with a frame of 60 bytes if it is one to receive into. */
static void use(struct example *e, struct vio_device_queue *q, unsigned times)
{
	struct vio_iov pool[2048];
	struct vio_chain chain;

	assert_int_equal(vio_devq_pop_burst(q->vq, q->mem, &chain, 1, pool, vio_array_size(pool)),
			 1);
	if (chain.in_num > 0) {
		chain.written = 12 + 60;
		assert_true(chain.iov[0].len >= chain.written);
		memset(chain.iov[0].base, 0, chain.written);
		((uint8_t *)chain.iov[0].base)[10] = 1; /* num_buffers */
	}
	q->vq->in_flight += times - 1; /* the device's own count stays right */
	vio_device_begin(e->rig.dev, 0, e->rig.scratch);
	for (unsigned i = 0; i < times; i++)
		vio_devq_push_burst(q->vq, &chain, 1);
	q->dirty = true;
	vio_device_end(e->rig.dev, 0);
}

static void expect_end(struct example *e, const char *why)
{
	char line[512] = "";
	size_t used = 0;
	ssize_t n;

	serve_until(e, has_ended);
	assert_true(WIFEXITED(e->status));
	assert_int_equal(WEXITSTATUS(e->status), 1);
	while ((n = read(e->said, line + used, sizeof(line) - 1 - used)) > 0)
		used += (size_t)n;
	close(e->said);
	assert_non_null(strstr(line, "driver_echo: "));
	if (!strstr(strstr(line, "driver_echo: "), why))
		fail_msg("said \"%s\"", line);
}

static int open_example(void **state)
{
	struct example *e = calloc(1, sizeof(*e));

	*state = e;
	vuf_open(&e->rig, &(struct vuf_conf){ .listen = true });
	return 0;
}

static int close_example(void **state)
{
	struct example *e = *state;

	vuf_close(&e->rig);
	free(e);
	return 0;
}

static void h24_a_broken_receive_queue_ends_it(void **state)
{
	struct example *e = *state;

	if (!find_program())
		skip();
	start(e);
	serve_until(e, has_buffers);
	use(e, &e->rig.dev->pairs[0].rx, 2);
	expect_end(e, "queue 0 is broken");
}

static void h24_a_broken_transmit_queue_ends_it(void **state)
{
	struct example *e = *state;

	if (!find_program())
		skip();
	start(e);
	serve_until(e, has_buffers);
	use(e, &e->rig.dev->pairs[0].rx, 1);
	serve_until(e, has_sent);
	use(e, &e->rig.dev->pairs[0].tx, 2);
	/* It sees that when it is woken the next time. */
	use(e, &e->rig.dev->pairs[0].rx, 1);
	expect_end(e, "queue 1 is broken");
}

#define H(test) cmocka_unit_test_setup_teardown(test, open_example, close_example)

int main(void)
{
	const struct CMUnitTest tests[] = {
		H(h24_a_broken_receive_queue_ends_it),
		H(h24_a_broken_transmit_queue_ends_it),
	};

	vuf_guard_init();
	return cmocka_run_group_tests_name("the example in front of a broken device", tests, NULL,
					   NULL);
}
