/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted while it goes on: whoever sends SIGUSR1 gets a line of JSON that says when it was
 * true, so it does not matter how long the asking takes. */
#ifndef BENCH_ASKED_H
#define BENCH_ASKED_H

#include <stdbool.h>

/* From here on questions, and SIGCONTs, are noticed. */
void bench_asked_listen(void);

/* Whether there was a question since the last call. */
bool bench_asked(void);

/* Whether we were stopped and continued since the last call. */
bool bench_continued(void);

#endif
