/* SPDX-License-Identifier: BSD-2-Clause */
/* All of errno.h that the freestanding parts may use: numbers to return, with Linux's values. */
#ifndef LINT_FREESTANDING_ERRNO_H
#define LINT_FREESTANDING_ERRNO_H

#define EPERM	   1
#define ENOENT	   2
#define EIO	   5
#define ENXIO	   6
#define E2BIG	   7
#define EAGAIN	   11
#define ENOMEM	   12
#define EFAULT	   14
#define EBUSY	   16
#define EEXIST	   17
#define ENODEV	   19
#define EINVAL	   22
#define ENOSPC	   28
#define ERANGE	   34
#define EPROTO	   71
#define EOVERFLOW  75
#define EMSGSIZE   90
#define EOPNOTSUPP 95
#define ENOTSUP	   95
#define ENOBUFS	   105
#define ESHUTDOWN  108
#define ETIMEDOUT  110
#define EALREADY   114

#endif
