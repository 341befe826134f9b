/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop: gives every frame back on the queue pair it came from, addresses and all.
 *
 * A frame is copied once, from the guest's transmit buffer into its receive buffer, inside send().
 * With no receive buffer it is not taken, and the guest's own receive queue is what slows its
 * transmit queue down; nothing waits in here.
 *
 * What the guest asked for when sending (a checksum, segmentation) stays asked for when it accepts
 * such frames itself: its own large frame comes back large. When it does not, the loop does the work:
 * a checksum on a private copy of the headers; segmentation on a private copy of the frame, because
 * its segments may need more room than there is now, and the guest's memory can't be held while they
 * wait. While segments wait, the pair takes nothing else, so that order is kept. The memory for that
 * is taken when a frame needs it, and given back before the pair sleeps.
 */
#include <errno.h>
#include <string.h>

#include <vioduct/virtio.h>

#include "base/barrier.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "internal.h"

#define KIND	    "loop"
#define MAX_PAIRS   256
#define EMIT_BURST  64	/* segments emitted at a time */
#define CSUM_PIECES 256 /* pieces that the checksum is completed in without a copy */

/* One queue pair; touched by its worker only, and on no cache line with another. */
struct loop_pair {
	struct vio_sink *sink;
	const struct vio_host *host;
	unsigned echoed; /* committed in send(), not yet told by receive() */
	bool pending;	 /* a large frame is being cut */
	bool have_segment;
	bool starved; /* the next segment found no room */
	struct vio_gso gso;
	struct vio_frame large, segment;
	struct vio_iov large_iov[2], segment_iov[4]; /* the first of each is the spare one */
	uint8_t scratch[VIO_HDR_SCRATCH];
	uint8_t *copy; /* of a frame, VIO_FRAME_MAX_LEN bytes, or NULL */
} vio_cacheline;

struct loop {
	struct vio_backend be;
	const struct vio_host *host;
	uint32_t accepts; /* VIO_OFFLOAD_*; written by the control thread */
	unsigned num_pairs;
	struct loop_pair pairs[];
};

/* What of a sent frame's meta makes sense to its receiver (virtio 1.4, 5.1.9.4). */
static struct vio_net_meta echo_meta(const struct vio_net_meta *sent)
{
	struct vio_net_meta meta = *sent;

	meta.flags &= VIO_NET_HDR_F_NEEDS_CSUM;
	meta.num_buffers = 0;
	return meta;
}

/* Echoes up to a burst of frames that the guest accepts as they are. Returns how many. */
static unsigned echo_run(struct loop_pair *p, const struct vio_frame *frames, unsigned n)
{
	struct vio_frame room[VIO_SINK_BURST];
	unsigned whole = 0;
	int got;

	n = vio_min(n, (unsigned)VIO_SINK_BURST);
	for (unsigned i = 0; i < n; i++)
		room[i].len = frames[i].len;
	got = p->sink->ops->reserve(p->sink, room, n);
	if (got <= 0)
		return 0;
	for (; (int)whole < got && room[whole].len >= frames[whole].len; whole++) {
		const struct vio_frame *from = &frames[whole];
		struct vio_frame *to = &room[whole];

		vio_iov_copy(to->iov, to->iovcnt, 0, from->iov, from->iovcnt, 0, from->len);
		to->len = from->len;
		to->meta = echo_meta(&from->meta);
	}
	p->sink->ops->commit(p->sink, room, whole);
	p->echoed += whole;
	if ((int)whole < got && !p->sink->wait) {
		p->sink->ops->drop(p->sink, VIO_DROP_TOO_BIG, 1);
		whole++;
	}
	return whole;
}

/* Copies @frame to the pair's private memory, where it is one piece. */
static int linearise(struct loop_pair *p, const struct vio_frame *frame)
{
	if (frame->len > VIO_FRAME_MAX_LEN)
		return -E2BIG;
	if (p->copy == NULL)
		p->copy = p->host->alloc(p->host->ctx, VIO_FRAME_MAX_LEN, VIO_CACHE_LINE);
	if (p->copy == NULL)
		return -ENOMEM;
	vio_iov_to_buf(frame->iov, frame->iovcnt, 0, p->copy, frame->len);
	p->large = *frame;
	p->large_iov[1] = (struct vio_iov){ p->copy, frame->len };
	p->large.iov = &p->large_iov[1];
	p->large.iovcnt = 1;
	return 0;
}

/* Echoes one frame with its checksum completed. 1: done with it; 0: no room; -errno. */
static int echo_completed(struct loop_pair *p, const struct vio_frame *frame)
{
	struct vio_iov iov[1 + CSUM_PIECES];
	struct vio_frame completed = *frame;
	int ret;

	if (frame->iovcnt >= CSUM_PIECES) {
		ret = linearise(p, frame);
		if (ret < 0)
			return ret;
		completed = p->large;
	}
	ret = vio_frame_complete_csum(&completed, p->scratch, &iov[1], CSUM_PIECES);
	if (ret < 0)
		return ret;
	completed.meta = echo_meta(&completed.meta);
	ret = vio_sink_give(p->sink, &completed);
	if (ret > 0)
		p->echoed++;
	return ret != 0;
}

/* Gives up to @budget segments of the large frame to the guest. Returns how many. */
static unsigned emit(struct loop_pair *p, unsigned budget)
{
	unsigned done = 0;

	p->starved = false;
	while (p->pending && done < budget) {
		int ret;

		if (!p->have_segment) {
			ret = vio_gso_next(&p->gso, &p->segment, p->scratch, &p->segment_iov[1],
					   vio_array_size(p->segment_iov) - 1);
			p->have_segment = p->pending = ret > 0;
			if (ret <= 0)
				break;
		}
		ret = vio_sink_give(p->sink, &p->segment);
		if (ret == 0) {
			p->starved = true;
			break;
		}
		p->have_segment = false;
		if (ret > 0)
			done++;
	}
	return done;
}

/* Takes a frame to cut it. 1, or -errno when it can't be cut. */
static int start_cutting(struct loop_pair *p, const struct vio_frame *frame)
{
	int ret;

	ret = linearise(p, frame);
	if (ret < 0)
		return ret;
	ret = vio_gso_init(&p->gso, &p->large);
	if (ret < 0)
		return ret;
	p->pending = true;
	p->have_segment = false;
	p->echoed += emit(p, EMIT_BURST);
	return 1;
}

/* How many of the frames, from the first, the guest accepts as they are. */
static unsigned plain_run(const struct vio_frame *frames, unsigned n, uint32_t accepts)
{
	unsigned i = 0;

	while (i < n && (vio_frame_offloads(&frames[i]) & ~accepts) == 0)
		i++;
	return i;
}

static int loop_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct loop *l = vio_container_of(be, struct loop, be);
	struct loop_pair *p = &l->pairs[pair];
	uint32_t accepts = vio_load(&l->accepts);
	unsigned done = 0;

	while (done < n) {
		const struct vio_frame *frame = &frames[done];
		unsigned run;
		int ret;

		p->echoed += emit(p, EMIT_BURST);
		if (p->pending)
			break;
		run = plain_run(frame, n - done, accepts);
		if (run != 0)
			ret = (int)echo_run(p, frame, run);
		else if (frame->meta.gso_type != VIO_NET_HDR_GSO_NONE &&
			 (vio_frame_offloads(frame) & ~accepts) != VIO_OFFLOAD_CSUM)
			ret = start_cutting(p, frame);
		else
			ret = echo_completed(p, frame);
		if (ret < 0)
			return done != 0 ? (int)done : ret;
		if (ret == 0)
			break;
		done += (unsigned)ret;
	}
	return (int)done;
}

static int loop_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct loop_pair *p = &vio_container_of(be, struct loop, be)->pairs[pair];
	unsigned done = p->echoed;

	p->echoed = 0;
	if (p->sink != NULL)
		done += emit(p, budget);
	return (int)done;
}

static void free_copy(struct loop_pair *p)
{
	p->host->free(p->host->ctx, p->copy, VIO_FRAME_MAX_LEN);
	p->copy = NULL;
}

static bool loop_arm(struct vio_backend *be, unsigned pair)
{
	struct loop_pair *p = &vio_container_of(be, struct loop, be)->pairs[pair];

	if (p->copy != NULL && !p->pending)
		free_copy(p);
	return p->echoed != 0 || (p->pending && !p->starved);
}

static int loop_fd(struct vio_backend *be, unsigned pair)
{
	(void)be;
	(void)pair;
	return -1;
}

static int loop_set_rx_offloads(struct vio_backend *be, uint32_t offloads)
{
	vio_store(&vio_container_of(be, struct loop, be)->accepts, offloads);
	return 0;
}

static int loop_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct loop *l = vio_container_of(be, struct loop, be);

	if (pairs > l->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < pairs; i++)
		l->pairs[i].sink = sinks[i];
	return 0;
}

static void loop_stop(struct vio_backend *be)
{
	struct loop *l = vio_container_of(be, struct loop, be);

	for (unsigned i = 0; i < l->num_pairs; i++) {
		l->pairs[i].sink = NULL;
		l->pairs[i].echoed = 0;
	}
}

static size_t loop_size(unsigned pairs)
{
	return sizeof(struct loop) + pairs * sizeof(struct loop_pair);
}

static void loop_close(struct vio_backend *be)
{
	struct loop *l = vio_container_of(be, struct loop, be);

	for (unsigned i = 0; i < l->num_pairs; i++)
		free_copy(&l->pairs[i]);
	l->host->free(l->host->ctx, l, loop_size(l->num_pairs));
}

static void loop_describe(struct vio_backend *be, char *buf, size_t len)
{
	(void)be;
	vio_snprintf(buf, len, KIND);
}

static int loop_open(const struct vio_backend_config *config, struct vio_backend **be,
		     struct vio_error *err)
{
	struct loop *l;
	int ret;

	ret = vio_opts_parse(KIND, config, NULL, 0, NULL, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	l = vio_backend_alloc(KIND, config, loop_size(config->pairs), err);
	if (l == NULL)
		return -ENOMEM;
	l->be.ops = &vio_backend_loop;
	l->be.caps = (struct vio_backend_caps){
		.tx_offloads = VIO_OFFLOAD_ALL,
		.rx_offloads = VIO_OFFLOAD_ALL,
		.max_pairs = config->pairs,
		.send_burst = VIO_SINK_BURST,
	};
	l->host = config->host;
	l->num_pairs = config->pairs;
	for (unsigned i = 0; i < l->num_pairs; i++)
		l->pairs[i].host = config->host;
	*be = &l->be;
	return 0;
}

const struct vio_backend_ops vio_backend_loop = {
	.kind = KIND,
	.summary = "gives every frame back on the queue it came from",
	.options = "",
	.open = loop_open,
	.close = loop_close,
	.start = loop_start,
	.stop = loop_stop,
	.send = loop_send,
	.receive = loop_receive,
	.fd = loop_fd,
	.arm = loop_arm,
	.set_rx_offloads = loop_set_rx_offloads,
	.describe = loop_describe,
};
