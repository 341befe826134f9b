/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Visibility of the library's functions.
 *
 * The library is compiled with hidden visibility: a function is part of the public interface only
 * where its declaration carries VIO_API. The symbol version map (src/vioduct.map) keeps the
 * exported names within vio_*.
 */
#ifndef VIODUCT_EXPORT_H
#define VIODUCT_EXPORT_H

#define VIO_API __attribute__((visibility("default")))

#endif
