/* SPDX-License-Identifier: BSD-2-Clause */
/* For what a test needs in order to be a test; fails it from wherever it is called, any thread. */
#ifndef TESTLIB_CHECK_H
#define TESTLIB_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define check(condition)                                                                 \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
				#condition);                                             \
			abort();                                                         \
		}                                                                        \
	} while (0)

#endif
