/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of some cores is ours: additions that do not wait for each other, in the time of one that
 * does, which is a cycle.
 *
 *	bench_cores CPU...
 *
 * For each line on standard input it looks at the cores in turn, and prints a line with a number for
 * each. A core does as many as it has units for; if another hardware thread is busy on it, which the
 * kernel of a virtual machine does not know of, about half. One that was taken away in the middle of a
 * look seems slower still, so the best of a few looks counts.
 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 2000u
#define LOOKS  5u

/* The compiler does each addition by itself. */
#define ADD(x)                                  \
	do {                                    \
		(x) += one;                     \
		__asm__ volatile("" : "+r"(x)); \
	} while (0)
#define ADD_4(a, b, c, d) \
	do {              \
		ADD(a);   \
		ADD(b);   \
		ADD(c);   \
		ADD(d);   \
	} while (0)

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

/* 1, which the compiler does not see through: a processor may add constants without a unit. */
static uint64_t get_one(void)
{
	uint64_t one = 1;

	__asm__ volatile("" : "+r"(one));
	return one;
}

/* Nanoseconds of 16 * ROUNDS additions, each of which waits for the one before. */
static uint64_t time_waiting(void)
{
	const uint64_t one = get_one();
	uint64_t start = now(), a = one;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		ADD_4(a, a, a, a);
		ADD_4(a, a, a, a);
		ADD_4(a, a, a, a);
		ADD_4(a, a, a, a);
	}
	return now() - start;
}

/* The same of twice as many that do not. */
static uint64_t time_free(void)
{
	const uint64_t one = get_one();
	uint64_t start = now(), a = one, b = one, c = one, d = one, e = one, f = one, g = one,
		 h = one;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		ADD_4(a, b, c, d);
		ADD_4(e, f, g, h);
		ADD_4(a, b, c, d);
		ADD_4(e, f, g, h);
		ADD_4(a, b, c, d);
		ADD_4(e, f, g, h);
		ADD_4(a, b, c, d);
		ADD_4(e, f, g, h);
	}
	return now() - start;
}

static double look(void)
{
	uint64_t waiting = UINT64_MAX, side_by_side = UINT64_MAX, t;
	unsigned i;

	for (i = 0; i < LOOKS; i++) {
		t = time_waiting();
		waiting = t < waiting ? t : waiting;
		t = time_free();
		side_by_side = t < side_by_side ? t : side_by_side;
	}
	return 2.0 * (double)waiting / (double)side_by_side;
}

static int go_to(const char *core)
{
	char *end;
	unsigned long number = strtoul(core, &end, 10);
	cpu_set_t set;

	if (*core < '0' || *core > '9' || *end || number >= CPU_SETSIZE) {
		fprintf(stderr, "bench_cores: %s: expected the number of a core\n", core);
		return -1;
	}
	CPU_ZERO(&set);
	CPU_SET(number, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0) {
		fprintf(stderr, "bench_cores: core %s: %s\n", core, strerror(errno));
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int i, c;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_cores CPU...\n");
		return 2;
	}
	for (i = 1; i < argc; i++)
		if (go_to(argv[i]) < 0)
			return 1;
	while ((c = getchar()) != EOF) {
		if (c != '\n')
			continue;
		for (i = 1; i < argc; i++) {
			if (go_to(argv[i]) < 0)
				return 1;
			printf("%s%.2f", i > 1 ? " " : "", look());
		}
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
