/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench_asked.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked, continued;

static void note(int signo)
{
	if (signo == SIGUSR1)
		asked = 1;
	else
		continued = 1;
}

void bench_asked_listen(void)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGCONT, &action, NULL);
}

static bool take(volatile sig_atomic_t *noted)
{
	if (!*noted)
		return false;
	*noted = 0;
	return true;
}

bool bench_asked(void)
{
	return take(&asked);
}

bool bench_continued(void)
{
	return take(&continued);
}
