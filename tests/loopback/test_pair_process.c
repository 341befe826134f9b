/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two halves in two processes, one of which is killed in the middle of traffic, again and again
 * (H31). When the device dies, the driver recovers with the next one: no frame is lost or damaged,
 * none is out of order, and what repeats is exactly what the dead device had not said it was
 * through with. When the driver dies, the device serves the next one.
 *
 * VIO_TEST_FRAMES is the number of frames in all (default 600000).
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "pair_driver.h"
#include "random.h"

#define TOTAL  600000u
#define ROUNDS 12u

static struct pair_driver_conf driver_conf(const char *path, unsigned bits)
{
	return (struct pair_driver_conf){
		.path = path,
		.indirect = bits & 1,
		.event_idx = bits & 2,
		.mergeable = bits & 4,
		.interrupts = bits & 8,
		.server = bits & 16,
		.packed = bits & 32,
		.in_order = bits & 64,
		.offloads = true,
		.mtu = 1500,
		.key = bits,
	};
}

static struct pair_device_conf device_conf(const char *path, unsigned bits)
{
	return (struct pair_device_conf){ .path = path, .client = bits & 16, .mtu = 1500 };
}

static void test_two_processes(void **state)
{
	uint64_t frames = pair_total_frames(TOTAL) / 3 / 16 + 1;
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 16; bits++) {
		char dir[64], path[80];
		/* Ring format and order go round among the rest. */
		unsigned all = bits | (bits % 3 << 5);
		struct pair_device_conf device = device_conf(path, all);
		struct pair_driver_conf conf = driver_conf(path, all);
		struct pair_driver d;
		pid_t pid;

		pair_dir_make(dir);
		snprintf(path, sizeof(path), "%s/sock", dir);
		pid = pair_device_fork(&device);
		pair_driver_open(&d, &conf);
		check(pair_queue_run(d.queues[0], frames, false));
		pair_queue_finish(d.queues[0]);
		pair_queue_balance(d.queues[0], NULL);
		pair_driver_close(&d);
		pair_device_end(pid);
		pair_dir_remove(dir);
	}
}

/* ---- The device dies ----------------------------------------------------------------------- */

/* A frame's owner kills the device when this many have come: right after it has sent some more, and
 * in the middle of what the driver hands up. */
static struct {
	uint64_t at;
	pid_t pid;
	unsigned bursts; /* to be sent before */
	bool fill;	 /* send until most receive buffers are full, too: what the driver has to
			    keep is then as much as it can be */
} victim;

/* What it has freed it has given back: counted from what was taken, or from the recovery when that
 * is not even taken. */
static void fill_receive_queue(struct pair_queue *q)
{
	uint64_t from = q->recoveries ? q->repeat_from[q->recoveries - 1] : 0;
	struct vio_driver_queue_info rx;

	if (from < q->next)
		from = q->next;
	check(vio_driver_queue_info(q->d->drv, VIO_RXQ(0), &rx) == 0);
	pair_queue_busy(q);
	while (q->freed < from + rx.in_flight / 2) {
		int ret = pair_queue_send(q, PAIR_BURST);

		if (ret < 0)
			pair_queue_die(q, "sending failed");
		if (ret == 0)
			pair_queue_idle(q);
	}
}

static void take_and_kill(struct pair_queue *q, struct vio_buf *frame)
{
	pair_queue_take(q, frame);
	if (!victim.pid || q->received < victim.at)
		return;
	while (victim.bursts-- > 0)
		check(pair_queue_send(q, PAIR_BURST) >= 0);
	if (victim.fill)
		fill_receive_queue(q);
	pair_device_kill(victim.pid);
	victim.pid = 0;
}

/* When the next device is to die: some time, or with the first frame that comes, when what the last
 * one has left is not even taken. */
static void choose_death(const struct pair_queue *q, unsigned round, uint64_t frames,
			 uint64_t *seed)
{
	victim.at = q->received + 1 + (round % 3 == 2 ? 0 : random31(seed) % (2 * frames));
	victim.bursts = (unsigned)random31(seed) % 10;
	victim.fill = round % 3 != 0;
}

static void kill_devices(unsigned bits)
{
	uint64_t frames = pair_total_frames(TOTAL) / 3 / 8 / ROUNDS + 1, seed = bits;
	char dir[64], path[80];
	struct pair_device_conf device = device_conf(path, bits);
	struct pair_driver_conf conf = driver_conf(path, bits);
	struct vio_driver_stats stats;
	struct vio_driver_info info;
	struct pair_driver d;
	struct pair_queue *q;
	unsigned i;

	pair_dir_make(dir);
	snprintf(path, sizeof(path), "%s/sock", dir);
	victim.pid = pair_device_fork(&device);
	victim.at = UINT64_MAX;
	pair_driver_open(&d, &conf);
	q = d.queues[0];
	q->take = take_and_kill;
	for (i = 0; i < ROUNDS; i++) {
		choose_death(q, i, frames, &seed);
		check(!pair_queue_run(q, UINT64_MAX, true));
		check(victim.pid == 0);
		victim.pid = pair_device_fork(&device);
		victim.at = UINT64_MAX;
		pair_driver_recover(&d);
	}
	/* What comes from before the last recovery, and then more. */
	check(pair_queue_run(q, q->sent + frames, true));
	pair_queue_finish(q);
	vio_driver_get_info(d.drv, &info);
	assert_int_equal(info.recoveries, ROUNDS);
	check(vio_driver_queue_stats(d.drv, VIO_TXQ(0), &stats) == 0);
	assert_int_equal(stats.packets, q->sent + stats.resent);
	print_message("%u devices killed: of %" PRIu64 " frames %" PRIu64 " sent again, %" PRIu64
		      " received twice\n",
		      ROUNDS, q->received, stats.resent, q->repeated);
	pair_driver_close(&d);
	pair_device_end(victim.pid);
	pair_dir_remove(dir);
}

static void test_device_killed(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 32; bits += 8)
		kill_devices(bits | (bits >> 3 & 7));
	for (bits = 0; bits < 32; bits += 8)
		kill_devices(bits | (~bits >> 3 & 7) | 32 | (bits & 8) << 3);
}

/* ---- The driver dies ----------------------------------------------------------------------- */

/* Tells @progress of frames that have come, now and then. */
static void driver_process(const struct pair_driver_conf *conf, uint64_t target, int progress)
{
	struct pair_driver d;
	struct pair_queue *q;

	pair_driver_open(&d, conf);
	q = d.queues[0];
	while (q->received < target) {
		check(pair_queue_run(q, q->received + 100, false));
		check(write(progress, &q->received, sizeof(q->received)) == sizeof(q->received));
	}
	pair_queue_finish(q);
	pair_queue_balance(q, NULL);
	pair_driver_close(&d);
	_exit(0);
}

static pid_t fork_driver(const struct pair_driver_conf *conf, uint64_t target, int *progress)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	check(pipe(ends) == 0);
	fflush(NULL);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		if (getppid() != parent)
			_exit(1);
		close(ends[0]);
		driver_process(conf, target, ends[1]);
	}
	close(ends[1]);
	*progress = ends[0];
	return pid;
}

/* Reads until @target frames have come; false when the driver has ended before. */
static bool await_progress(int progress, uint64_t target)
{
	uint64_t received = 0;

	while (received < target) {
		struct pollfd p = { .fd = progress, .events = POLLIN };

		check(poll(&p, 1, 2 * PAIR_LIMIT_MS) == 1);
		if (read(progress, &received, sizeof(received)) != sizeof(received))
			return false;
	}
	return true;
}

static void kill_drivers(unsigned bits)
{
	uint64_t frames = pair_total_frames(TOTAL) / 3 / 4 / ROUNDS + 1, seed = bits;
	char dir[64], path[80];
	struct pair_device_conf device = device_conf(path, bits);
	struct pair_driver_conf conf = driver_conf(path, bits);
	int progress, status;
	pid_t pid, driver;
	unsigned i;

	pair_dir_make(dir);
	snprintf(path, sizeof(path), "%s/sock", dir);
	pid = pair_device_fork(&device);
	for (i = 0; i < ROUNDS; i++) {
		/* Each has another way of using the rings than the one before it. */
		conf.indirect = i & 1;
		conf.mergeable = i & 2;
		conf.key = i;
		driver = fork_driver(&conf, UINT64_MAX, &progress);
		check(await_progress(progress, 1 + random31(&seed) % frames));
		pair_device_kill(driver);
		close(progress);
	}
	driver = fork_driver(&conf, frames, &progress);
	check(await_progress(progress, frames));
	check(waitpid(driver, &status, 0) == driver);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(progress);
	pair_device_end(pid);
	pair_dir_remove(dir);
}

static void test_driver_killed(void **state)
{
	unsigned bits;

	(void)state;
	for (bits = 0; bits < 32; bits += 8)
		kill_drivers(bits | (bits >> 2 & 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_processes),
		cmocka_unit_test(test_device_killed),
		cmocka_unit_test(test_driver_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
