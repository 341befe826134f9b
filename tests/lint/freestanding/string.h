/* SPDX-License-Identifier: BSD-2-Clause */
/* All of string.h that the freestanding parts may use: what a compiler expects of everybody. */
#ifndef LINT_FREESTANDING_STRING_H
#define LINT_FREESTANDING_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
