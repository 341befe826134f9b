/* SPDX-License-Identifier: BSD-2-Clause */
/* Notices SIGUSR1, with which somebody asks for a line of JSON: what was counted so far, and when, so
 * that it does not matter how long the asking takes. */
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
