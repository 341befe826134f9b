/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors: how many are open, so that a test can tell that none was left; and a way to send them
 * past the code under test. */
#ifndef TESTLIB_FDS_H
#define TESTLIB_FDS_H

#include <dirent.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

/* Open in this process; the one that this needs is among them each time. */
static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	check(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#define SEND_FDS_MAX 32

/* One write of @n bytes with @nfds descriptors; never a function that a test has put in the place of
 * sendmsg(). */
static inline ssize_t send_fds(int sock, const void *bytes, size_t n, const int *fds, size_t nfds,
			       int flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * SEND_FDS_MAX)];
	} control;
	struct cmsghdr *cmsg;

	check(nfds <= SEND_FDS_MAX);
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
	}
	return syscall(SYS_sendmsg, sock, &mh, flags | MSG_NOSIGNAL);
}

#endif
