/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sentences: error messages and log lines, without a C library.
 *
 * The formatter knows the conversions d i u x X c s p %, the flags - 0 #, width and precision
 * (numbers or *), and the lengths hh h l ll z j t, so the PRI macros work. Precision counts for
 * strings only. Anything else, floating point above all, ends the formatting: the rest of the
 * format is printed as it stands, and no argument is misread.
 */
#ifndef VIO_BASE_FMT_H
#define VIO_BASE_FMT_H

#include <stdarg.h>
#include <stddef.h>

#include <vioduct/host.h>

#define vio_printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* The longest log line, with its final zero; longer ones are cut. */
#define VIO_LOG_LINE 512

/*
 * As snprintf(): at most @size bytes with the final zero, always terminated unless @size is 0.
 * Returns the length that the whole text has.
 */
int vio_snprintf(char *buf, size_t size, const char *fmt, ...) vio_printf_like(3, 4);
int vio_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap) vio_printf_like(3, 0);

/* Fills @err, cutting what is too long. Control characters become '?'. @err may be NULL. */
void vio_error_set(struct vio_error *err, const char *fmt, ...) vio_printf_like(2, 3);

/*
 * One line to the host's log, if it has one; @host may be NULL. Control characters become '?', so a
 * peer's text can't forge a line.
 */
void vio_log(const struct vio_host *host, enum vio_log_level level, const char *fmt, ...)
	vio_printf_like(3, 4);

#endif
