/* SPDX-License-Identifier: BSD-2-Clause */
/* Empty: the compiler's own limits.h goes on to the system's, from which nothing is needed. */
