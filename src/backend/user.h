/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the user back end: options (user_options.c), waiting (user_wait.c), frames (user.c). */
#ifndef VIO_BACKEND_USER_H
#define VIO_BACKEND_USER_H

#include <slirp/libslirp.h>

#include "internal.h"
#include "merge.h"

#define VIO_USER_KIND	   "user"
#define VIO_USER_MAX_PAIRS 128

/* ------------------------------------------------------------------------------------------
 * Options
 */
struct vio_user_options {
	SlirpConfig slirp;    /* its strings are those of the options */
	struct in_addr guest; /* where forwarded ports lead by default */
};

int vio_user_options_parse(const struct vio_backend_config *config, struct vio_user_options *o,
			   struct vio_error *err);

/* Opens the ports that hostfwd= asks for. 0, or -errno with a line in @err. */
int vio_user_forward(Slirp *slirp, const struct vio_backend_config *config,
		     const struct vio_user_options *o, struct vio_error *err);

/* ------------------------------------------------------------------------------------------
 * Waiting: which sockets libslirp waits for, and until when
 */
struct vio_user_socket {
	uint32_t events;    /* what the kernel's set waits for; 0: not in it */
	uint32_t ready;	    /* what it reported, until libslirp has seen it */
	uint32_t round;	    /* of the last fill that named it */
	int next, previous; /* in the list of those in the set; -1: none */
};

struct vio_user_timer {
	SlirpTimerCb cb; /* NULL: a free place */
	void *opaque;
	uint64_t due; /* ns; UINT64_MAX: not set */
};

#define VIO_USER_TIMERS 8 /* libslirp has one for each enum SlirpTimerId */

struct vio_user_wait {
	const struct vio_host *host;
	int home;    /* the set that a worker sleeps on, the caller's; in it are: */
	int sockets; /* the sockets, unless held */
	int timer;
	bool held;
	uint32_t round;
	uint64_t due;	/* when libslirp's own timers want to run, ns; UINT64_MAX: never */
	uint64_t armed; /* what the timer is set to */
	struct vio_user_timer timers[VIO_USER_TIMERS];
	unsigned num_sockets; /* that a descriptor can number: descriptors beyond are not served */
	int first;	      /* of the list of those in the kernel's set; -1: none */
	struct vio_user_socket **pages; /* by descriptor, those that were needed */
};

int vio_user_wait_open(struct vio_user_wait *w, const struct vio_backend_config *config,
		       struct vio_error *err);
void vio_user_wait_close(struct vio_user_wait *w);

/* From now on it is @epoll that has to be slept on; it must outlive this. 0 or -errno. */
int vio_user_wait_move(struct vio_user_wait *w, int epoll);

/* Brings the kernel's set in line with what libslirp wants; with @hold it wants no sockets now. */
void vio_user_wait_fill(struct vio_user_wait *w, Slirp *slirp, bool hold);

/* Asks the kernel which sockets are ready, without waiting. True when there is work for libslirp. */
bool vio_user_wait_poll(struct vio_user_wait *w);

/* Lets libslirp work on what is ready, and runs the timers that are due. */
void vio_user_wait_dispatch(struct vio_user_wait *w, Slirp *slirp);

/* Sets the timer for the next moment that matters. True when it has come already. */
bool vio_user_wait_arm(struct vio_user_wait *w);

/* Forgets @fd, which libslirp is about to close, or opened anew. */
void vio_user_wait_forget(struct vio_user_wait *w, int fd);

/* Timers for libslirp. NULL when there are no more; freeing NULL does nothing. */
struct vio_user_timer *vio_user_timer_new(struct vio_user_wait *w, SlirpTimerCb cb, void *opaque);
void vio_user_timer_free(struct vio_user_timer *timer);

/* ------------------------------------------------------------------------------------------
 * Working memory of one call into libslirp
 */
struct vio_user_work {
	const struct vio_host *host;
	struct vio_user_work *next;	 /* in the store */
	struct vio_merge merge;		 /* empty between calls */
	uint8_t copy[VIO_FRAME_MAX_LEN]; /* the frame going in */
};

/* There is one back end more that uses it, or less. */
void vio_user_work_open(void);
void vio_user_work_close(void);

/* One for the caller alone, until it is put back; NULL: out of memory. From any thread. */
struct vio_user_work *vio_user_work_get(const struct vio_host *host);
void vio_user_work_put(struct vio_user_work *work);

#endif
