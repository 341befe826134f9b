/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends: where the frames of a device go and come from.
 *
 * A back end sits between a device's queue pairs and the world. Frames that the guest sends come in
 * through send(), a burst at a time, straight from guest memory. Frames for the guest go out through
 * a sink: the back end reserves room in the guest's own buffers, fills it and commits it, so that a
 * frame is copied at most once on its way (by the kernel, for a tap).
 *
 * Threads. Each pair is served by one worker thread at a time: send(), receive(), arm() and the
 * sink of one pair are called from that thread only. Pairs of a back end with
 * VIO_BACKEND_ONE_THREAD are all served by the same thread. Everything else (open, close, start,
 * set_*) comes from the control thread, or from a worker while that waits for it: start() before any
 * worker runs, stop() after all have let go. A back end never blocks in a worker.
 *
 * Sleeping. A worker that finds nothing to do waits until fd(pair) is readable, after arm() has said
 * that there is nothing to do right now. The descriptor may be an epoll set, a timerfd or an eventfd
 * of the back end's own. When it is readable, the worker calls receive(), and send() again for frames
 * it had to keep. A pair without a descriptor (-1) still has its arm() asked before every sleep.
 */
#ifndef VIODUCT_BACKEND_H
#define VIODUCT_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/frame.h>
#include <vioduct/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_backend;
struct vio_sink;

/* What a back end takes from the guest without help, and what it may hand to it. The device does
 * the rest in software (guest to world), or does not tell the back end that it may (world to
 * guest). */
enum vio_offload {
	VIO_OFFLOAD_CSUM = 1 << 0, /* frames with NEEDS_CSUM */
	VIO_OFFLOAD_TSO4 = 1 << 1, /* TCP over IPv4 frames larger than the MTU */
	VIO_OFFLOAD_TSO6 = 1 << 2,
	VIO_OFFLOAD_ECN = 1 << 3, /* of those with ECN */
	VIO_OFFLOAD_UFO = 1 << 4,
	VIO_OFFLOAD_USO4 = 1 << 5,
	VIO_OFFLOAD_USO6 = 1 << 6,
};

enum vio_backend_flags {
	VIO_BACKEND_ONE_THREAD = 1 << 0, /* all pairs on one worker */
};

struct vio_backend_caps {
	uint32_t tx_offloads; /* VIO_OFFLOAD_*: what send() accepts. TSO without CSUM: large frames
				 are taken, with their checksum complete */
	uint32_t rx_offloads; /* what it can hand over when the guest takes it */
	uint32_t flags;	      /* VIO_BACKEND_* */
	uint16_t max_pairs;
	uint16_t max_mtu;    /* 0: no limit of its own */
	uint16_t send_burst; /* frames send() likes at a time, at most 64 */
};

/* ------------------------------------------------------------------------------------------
 * The way to the guest
 */
struct vio_sink_ops {
	/*
	 * Reserves room for up to @n frames; the caller has set each frames[i].len to the bytes
	 * wanted. Fills iov and iovcnt (and zeroes meta). Returns how many were given, in order; 0
	 * when the guest has no buffers left: the sink will have the pair's receive() called again
	 * when there are. The last one given may hold less room than asked (frames[i].len then
	 * tells what there is): when the guest's buffers are running out (sink->wait is true, and
	 * receive() is called again when there are more), or when a frame so long will never fit
	 * (sink->wait is false).
	 *
	 * Nothing else may be reserved before what was given is committed.
	 */
	int (*reserve)(struct vio_sink *sink, struct vio_frame *frames, unsigned n);
	/*
	 * Delivers the first @n of the frames reserved, with their len (at most what was reserved;
	 * less only for the last one delivered) and meta; gives the others back, and changes
	 * neither. The guest is told when receive() or send() returns, not for each.
	 */
	void (*commit)(struct vio_sink *sink, struct vio_frame *frames, unsigned n);
	/* Counts a frame that had to be dropped on its way to the guest. */
	void (*drop)(struct vio_sink *sink, enum vio_drop why, unsigned n);
};

struct vio_sink {
	const struct vio_sink_ops *ops;
	bool wait; /* written by reserve() when it gives less room than asked: more will come with
		      the guest's next buffers. False: buffers can't be joined, or the guest has
		      given all that its queue holds */
};

/* ------------------------------------------------------------------------------------------
 * A kind of back end
 */

/* One "key=value" of a description, split; strings live as long as the call. */
struct vio_option {
	const char *key;
	const char *value; /* "" when there was no '=' */
};

struct vio_backend_config {
	const struct vio_option *options;
	unsigned num_options;
	uint16_t pairs;	    /* queue pairs wanted */
	uint16_t mtu;	    /* of the device, 0 when not set */
	const uint8_t *mac; /* the guest's, 6 bytes; all zero: not known */
	const struct vio_host *host;
};

struct vio_backend_ops {
	const char *kind;    /* "tap" */
	const char *summary; /* one line: what it is */
	const char *options; /* one line: the keys it takes */

	/*
	 * Creates one. 0 with *@be set, or -errno with the user's mistake (or the system's refusal)
	 * in @err. An unknown key is -EINVAL and named.
	 */
	int (*open)(const struct vio_backend_config *config, struct vio_backend **be,
		    struct vio_error *err);
	/* Frees all of it. After stop(). */
	void (*close)(struct vio_backend *be);

	/* The first worker is about to run: sinks[0 .. pairs) stay valid until stop(). */
	int (*start)(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs);
	/* No worker runs any more. Frames held for the guest are kept for the next start(). */
	void (*stop)(struct vio_backend *be);

	/*
	 * Takes frames from the guest. Returns how many were taken: their memory goes back to the
	 * guest at once. Fewer than @n: busy, the caller keeps the rest and comes again when
	 * fd(pair) is readable or the guest gives buffers. -errno (but not -EAGAIN): the first
	 * frame can't be sent and never will; the caller drops it, counted. May write iov[-1] of
	 * each frame, and nothing else of it. May commit to the sink of @pair.
	 */
	int (*send)(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n);

	/*
	 * Moves up to @budget frames to the pair's sink. Returns how many; 0 when there is nothing
	 * or the guest has no room. May be NULL when nothing ever comes. Frames that send()
	 * committed since the last call are included. -ENETDOWN: the far side is gone for good
	 * (fd(pair) stays silent), the link is down.
	 */
	int (*receive)(struct vio_backend *be, unsigned pair, unsigned budget);

	/* The descriptor to wait on for @pair; -1 when there is none. Constant between start and
	 * stop. */
	int (*fd)(struct vio_backend *be, unsigned pair);
	/*
	 * The worker is about to sleep. Returns true when receive() has work right now (the worker
	 * then does not sleep). May be NULL: fd() alone tells, level-triggered. Frames that send()
	 * left with the caller, who still has them, were offered again since the last call.
	 */
	bool (*arm)(struct vio_backend *be, unsigned pair);
	/* The guest's queue was stopped: frames that send() left with the caller will not be offered
	 * again, or as new ones. On the pair's worker. Optional. */
	void (*discard)(struct vio_backend *be, unsigned pair);
	/* The guest's receive queue was stopped or disabled: receive() is not called until it runs
	 * again. On the pair's worker. Optional. */
	void (*deafen)(struct vio_backend *be, unsigned pair);

	/* What the guest negotiated: VIO_OFFLOAD_* that frames for it may carry now. While no queue
	 * runs; at a reset as well. Optional. */
	int (*set_rx_offloads)(struct vio_backend *be, uint32_t offloads);
	/* How many pairs the guest uses now. Optional. */
	int (*set_pairs)(struct vio_backend *be, unsigned pairs);
	/* Writes what was captured or cached to where it belongs. Called when draining. Optional. */
	int (*flush)(struct vio_backend *be);
	/* A one-line description of where it leads ("tap vio0"). Optional. */
	void (*describe)(struct vio_backend *be, char *buf, size_t len);
};

/* What every back end begins with. */
struct vio_backend {
	const struct vio_backend_ops *ops;
	struct vio_backend_caps caps; /* filled by open */
};

/* The built-in kinds, NULL-terminated: null, source, loop, tap, user, pcap. */
VIO_API const struct vio_backend_ops *const *vio_backend_kinds(void);

/*
 * Creates the back end that @spec describes: "KIND[,key=value…]". @config's options are replaced by
 * those of @spec. Returns 0 with *@be, owned by the caller, who ends it with vio_backend_close();
 * or -errno with one line in @err (unknown kind: the line lists those there are). "next=" takes all
 * that follows it, commas and all, for kinds that sit before another back end.
 */
VIO_API int vio_backend_open(const char *spec, const struct vio_backend_config *config,
			     struct vio_backend **be, struct vio_error *err);
/* Closes it; NULL does nothing. */
VIO_API void vio_backend_close(struct vio_backend *be);

#ifdef __cplusplus
}
#endif
#endif
