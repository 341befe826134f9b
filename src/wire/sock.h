/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix stream sockets by path, for the vhost-user transports. Every socket made here is
 * close-on-exec and non-blocking. All return a descriptor or -errno.
 */
#ifndef VIO_WIRE_SOCK_H
#define VIO_WIRE_SOCK_H

/*
 * Listen on a path. A socket file that a dead process left behind is replaced; a file that
 * somebody serves, or that is not a socket, is left alone.
 *
 * Returns the listening socket; -EADDRINUSE if the path is served or is no socket;
 * -ENAMETOOLONG if it does not fit a socket address (107 bytes); -EINVAL if it is empty; else
 * what the system said (-EACCES, -ENOENT for the directory, ...). The socket file is the caller's
 * to unlink at the end.
 */
int vio_sock_listen(const char *path);

/*
 * Accept one connection. Returns it; -EAGAIN if none waits; -EMFILE and the like if the process
 * is out of something (the connection still waits then).
 */
int vio_sock_accept(int listen_fd);

/*
 * Connect to a path. Returns the connected socket; -ENOENT or -ECONNREFUSED if nobody serves the
 * path (yet), -EAGAIN if the server has too many waiting: all three may be tried again later;
 * -ENAMETOOLONG, -EINVAL as above; else what the system said.
 */
int vio_sock_connect(const char *path);

/* Make two connected sockets, e.g. for SET_BACKEND_REQ_FD. Returns 0 or -errno. */
int vio_sock_pair(int fds[2]);

#endif
