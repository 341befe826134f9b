/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user connection: whole messages with their descriptors, over a stream socket whose other
 * end may be slow, broken or hostile. The theory is at the head of conn.c.
 */
#ifndef VIO_WIRE_CONN_H
#define VIO_WIRE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "vhost_user.h"

#define VIO_VU_MAX_QUEUED 64 /* messages that wait for a peer to read; one more cuts it off */

struct vio_vu_out;

/*
 * States: open (error is 0: everything is allowed) and failed (error is a negative errno: every
 * call returns it again, nothing is sent or received, reason says what happened; only
 * vio_vu_conn_close() does anything). One thread at a time.
 */
struct vio_vu_conn {
	int fd;			    /* owned from init to close; the owner may poll it */
	int error;		    /* 0, or what ended the connection; read only for owners */
	uint64_t protocol_features; /* set by the owner once negotiated; read by vio_vu_call() */
	uint32_t got;		    /* bytes of in that have come, header included */
	uint32_t nqueued;	    /* messages from out to out_tail */
	struct vio_vu_msg in;	    /* being received; owns its fds */
	struct vio_vu_out *out;	    /* waiting to be sent, first to go first */
	struct vio_vu_out *out_tail;
	char reason[VIO_VU_REASON_SIZE]; /* one line, "" while open */
};

/*
 * Take over a connected AF_UNIX stream socket. It may be blocking or not: no call but
 * vio_vu_call() ever waits. Returns 0; -ENOTSOCK if fd is no socket, -EPROTOTYPE if it is of
 * another kind, -EBADF; then fd remains the caller's.
 */
int vio_vu_conn_init(struct vio_vu_conn *conn, int fd);

/* Close the socket and every descriptor that the connection holds, free its queue. Idempotent. */
void vio_vu_conn_close(struct vio_vu_conn *conn);

/*
 * Receive one message. Call again until it returns 0, then when the socket is readable.
 *
 * 1             *msg is a whole message and owns its descriptors. Its header is sound (version,
 *               flags, size within bounds); vio_vu_check() judges the rest.
 * 0             nothing whole yet; *msg is untouched, as in all cases below
 * -EPIPE        the peer closed between two messages: the clean end
 * -ECONNRESET   the peer closed or vanished inside a message, or reset the connection
 * -EPROTO       the peer broke the protocol: bad version, flags or size, more than VIO_VU_MAX_FDS
 *               descriptors, descriptors lost on the way (MSG_CTRUNC), or one that is the peer's
 *               end of a connection to us: held here, it would hide that the peer has left
 * other -errno  from the socket
 *
 * After any error all descriptors received so far are closed and the connection is failed.
 */
int vio_vu_recv(struct vio_vu_conn *conn, struct vio_vu_msg *msg);

/* Has a part of a message come? The owner may time out a peer that never completes one. */
bool vio_vu_in_message(const struct vio_vu_conn *conn);

/*
 * Send a message, or queue what the socket does not take now. The message and its descriptors
 * stay the caller's and may be changed or closed at once.
 *
 * Returns 0; -EINVAL if hdr.size or nfds is over its bound or -EBADF if a descriptor is not open
 * (the connection stays open); -ENOBUFS if VIO_VU_MAX_QUEUED messages wait already: the peer does
 * not read; -EPIPE or -ECONNRESET if it is gone; -ENOMEM, -EMFILE. All but the first two fail the
 * connection.
 */
int vio_vu_send(struct vio_vu_conn *conn, const struct vio_vu_msg *msg);

/*
 * Send what is queued, as far as the socket takes it. Returns how many messages still wait (0:
 * none), or -errno and the connection is failed.
 */
int vio_vu_flush(struct vio_vu_conn *conn);

/* Should the owner poll for POLLOUT and call vio_vu_flush()? */
bool vio_vu_wants_write(const struct vio_vu_conn *conn);

/*
 * For a front end that may wait: send a front-end request and await its answer.
 *
 * Messages with a reply of their own are answered by it. For the others, hdr.flags may have
 * VIO_VU_NEED_REPLY: where conn->protocol_features has REPLY_ACK the acknowledgement is awaited,
 * where not the flag is left out and the call returns once all is sent. reply may be NULL; it is
 * written only when an answer came, owns the answer's descriptors and has passed vio_vu_check().
 *
 * Returns 0; -EREMOTEIO if the acknowledgement is not 0 (the connection stays open, *reply has
 * the value); -ETIMEDOUT after timeout_ms on the monotonic clock: a late answer could be taken
 * for the next one, so the connection is failed; -EPROTO for an answer to another request or one
 * out of shape; -EINVAL for an unknown request; else as vio_vu_recv() and vio_vu_send().
 */
int vio_vu_call(struct vio_vu_conn *conn, const struct vio_vu_msg *msg, struct vio_vu_msg *reply,
		unsigned int timeout_ms);

#endif
