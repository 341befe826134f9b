/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcap: sits before another back end and writes what passes to a file.
 *
 * Towards the device it is a back end with the capabilities of the one behind it; towards that one
 * it is the device, with a sink of its own for each queue pair that passes everything on. A frame
 * from the guest is written when it is first offered, so that it comes before its answer even when
 * that is given at once; frames that the back end was too busy for are offered again and not written
 * again. A frame for the guest is written just before it is committed.
 *
 * Whether they are the same frames that come again can't be taken for granted: what was held is gone
 * when the guest's queue was stopped (discard() tells), and when it was disabled or the link went down
 * (nothing is offered before the worker sleeps). Frames that were written ahead are known by how they
 * begin, too: not by where they lie, because the device may have laid them out itself, each time anew.
 *
 * next= names the back end behind, in either form, and must come last:
 *   pcap,file=F,next=user,hostfwd=tcp::2222-:22     all that follows next= is its description
 *   pcap,file=F,next=user:hostfwd=tcp::2222-:22     colons before "key=" and after the kind
 */
#include <errno.h>
#include <string.h>

#include "base/barrier.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "pcapng.h"

#define KIND	    "pcap"
#define SNAPLEN_MAX 262144
#define AHEAD_MAX   64u	 /* frames offered at a time, at most: caps.send_burst */
#define MARK_BYTES  128u /* of a frame's beginning by which it is known again */

struct pcap;

/* A sink that passes on to the device's. */
struct pcap_sink {
	struct vio_sink sink;
	struct vio_sink *to;
	struct pcap *pcap;
	unsigned pair;
	unsigned ahead; /* frames written that the guest's queue still holds */
	bool offered;	/* frames from the guest, since the worker was last about to sleep */
	uint64_t marks[AHEAD_MAX]; /* by which those ahead are known */
} vio_cacheline;

struct pcap {
	struct vio_backend be;
	const struct vio_host *host;
	struct vio_backend *next;
	bool dirty; /* something may be buffered since the last flush */
	unsigned num_pairs;
	struct vio_pcapng file;
	struct vio_sink **sinks;
	struct pcap_sink pairs[];
};

struct pcap_options {
	const char *file, *next;
	uint64_t snaplen;
};

static const struct vio_opt pcap_options[] = {
	{ "file", VIO_OPT_STRING, offsetof(struct pcap_options, file), 0, 0 },
	{ "snaplen", VIO_OPT_NUMBER, offsetof(struct pcap_options, snaplen), 14, SNAPLEN_MAX },
	{ "next", VIO_OPT_STRING, offsetof(struct pcap_options, next), 0, 0 },
};

static struct pcap *to_pcap(struct vio_backend *be)
{
	return vio_container_of(be, struct pcap, be);
}

static void capture(struct pcap *c, enum vio_pcapng_direction direction, unsigned pair,
		    const struct vio_frame *frames, unsigned n)
{
	if (n == 0)
		return;
	vio_pcapng_write(&c->file, direction, pair, frames, n);
	/* Read by all pairs: not written for nothing. */
	if (!vio_load(&c->dirty))
		vio_store(&c->dirty, true);
}

/* ------------------------------------------------------------------------------------------
 * The sink
 */
static struct pcap_sink *to_pcap_sink(struct vio_sink *sink)
{
	return vio_container_of(sink, struct pcap_sink, sink);
}

static int pcap_reserve(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct pcap_sink *s = to_pcap_sink(sink);
	int got = s->to->ops->reserve(s->to, frames, n);

	sink->wait = s->to->wait;
	return got;
}

static void pcap_commit(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct pcap_sink *s = to_pcap_sink(sink);

	capture(s->pcap, VIO_PCAPNG_INBOUND, s->pair, frames, n);
	s->to->ops->commit(s->to, frames, n);
}

static void pcap_drop(struct vio_sink *sink, enum vio_drop why, unsigned n)
{
	struct pcap_sink *s = to_pcap_sink(sink);

	s->to->ops->drop(s->to, why, n);
}

static const struct vio_sink_ops pcap_sink_ops = {
	.reserve = pcap_reserve,
	.commit = pcap_commit,
	.drop = pcap_drop,
};

/* ------------------------------------------------------------------------------------------
 * The back end
 */
static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

static uint64_t mark_of(const struct vio_frame *frame)
{
	uint64_t words[MARK_BYTES / sizeof(uint64_t)] = { 0 };
	uint64_t h = mix(1, frame->len);

	vio_iov_to_buf(frame->iov, frame->iovcnt, 0, words, vio_min(frame->len, MARK_BYTES));
	for (unsigned i = 0; i < vio_array_size(words); i++)
		h = mix(h, words[i]);
	return h;
}

/* How many of the @n frames have been written before. What was ahead of them is forgotten when they
 * are not what it was. */
static unsigned count_written(struct pcap_sink *s, const struct vio_frame *frames, unsigned n)
{
	for (unsigned i = 0; i < n && i < s->ahead; i++)
		if (mark_of(&frames[i]) != s->marks[i])
			s->ahead = i;
	return vio_min(n, s->ahead);
}

/* The first @done of @n frames are done with; what is left of them will be offered again. */
static void remember(struct pcap_sink *s, const struct vio_frame *frames, unsigned n, unsigned done)
{
	unsigned left = vio_min(vio_max(n, s->ahead) - done, AHEAD_MAX), i;

	for (i = 0; i < left && i + done < n; i++)
		s->marks[i] = mark_of(&frames[i + done]);
	for (; i < left; i++)
		s->marks[i] = s->marks[i + done];
	s->ahead = left;
}

static int pcap_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct pcap *c = to_pcap(be);
	struct pcap_sink *s = &c->pairs[pair];
	unsigned written = count_written(s, frames, n);
	int taken;

	s->offered = true;
	capture(c, VIO_PCAPNG_OUTBOUND, pair, frames + written, n - written);
	taken = c->next->ops->send(c->next, pair, frames, n);
	/* One that failed is dropped by the caller. */
	remember(s, frames, n, taken < 0 ? 1 : (unsigned)taken);
	return taken;
}

static int pcap_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct vio_backend *next = to_pcap(be)->next;

	return next->ops->receive != NULL ? next->ops->receive(next, pair, budget) : 0;
}

static int pcap_fd(struct vio_backend *be, unsigned pair)
{
	struct vio_backend *next = to_pcap(be)->next;

	return next->ops->fd(next, pair);
}

static int pcap_flush(struct vio_backend *be)
{
	struct pcap *c = to_pcap(be);
	int ret = 0;

	vio_store(&c->dirty, false);
	if (c->next->ops->flush != NULL)
		ret = c->next->ops->flush(c->next);
	vio_pcapng_flush(&c->file); /* what fails here was logged and concerns the file only */
	return ret;
}

static bool pcap_arm(struct vio_backend *be, unsigned pair)
{
	struct pcap *c = to_pcap(be);
	struct pcap_sink *s = &c->pairs[pair];

	/* What the guest still wants to send was offered again. */
	if (!s->offered)
		s->ahead = 0;
	s->offered = false;
	if (c->next->ops->arm != NULL && c->next->ops->arm(c->next, pair))
		return true;
	if (vio_load(&c->dirty)) {
		vio_store(&c->dirty, false);
		vio_pcapng_flush(&c->file);
	}
	return false;
}

static void pcap_discard(struct vio_backend *be, unsigned pair)
{
	struct pcap *c = to_pcap(be);

	c->pairs[pair].ahead = 0;
	if (c->next->ops->discard != NULL)
		c->next->ops->discard(c->next, pair);
}

static void pcap_deafen(struct vio_backend *be, unsigned pair)
{
	struct pcap *c = to_pcap(be);

	if (c->next->ops->deafen != NULL)
		c->next->ops->deafen(c->next, pair);
}

static int pcap_set_rx_offloads(struct vio_backend *be, uint32_t offloads)
{
	struct pcap *c = to_pcap(be);
	struct vio_backend *next = c->next;

	/* Another guest, or the same one anew: it does not go on with what was held. */
	for (unsigned i = 0; i < c->num_pairs; i++)
		c->pairs[i].ahead = 0;
	return next->ops->set_rx_offloads != NULL ? next->ops->set_rx_offloads(next, offloads) : 0;
}

static int pcap_set_pairs(struct vio_backend *be, unsigned pairs)
{
	struct vio_backend *next = to_pcap(be)->next;

	return next->ops->set_pairs != NULL ? next->ops->set_pairs(next, pairs) : 0;
}

static int pcap_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct pcap *c = to_pcap(be);

	if (pairs > c->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < pairs; i++) {
		c->pairs[i].to = sinks[i];
		c->pairs[i].ahead = 0;
	}
	return c->next->ops->start(c->next, c->sinks, pairs);
}

static void pcap_stop(struct vio_backend *be)
{
	struct pcap *c = to_pcap(be);

	c->next->ops->stop(c->next);
	vio_pcapng_flush(&c->file);
}

static void pcap_describe(struct vio_backend *be, char *buf, size_t len)
{
	struct pcap *c = to_pcap(be);
	int n = vio_snprintf(buf, len, KIND " before ");

	if (c->next->ops->describe != NULL && n > 0 && (size_t)n < len)
		c->next->ops->describe(c->next, buf + n, len - (size_t)n);
}

/* ------------------------------------------------------------------------------------------
 * Life
 */

/* Whether @p, behind a colon, begins a "key=". */
static bool begins_key(const char *p)
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n != 0 && *p > '9' && p[n] == '=';
}

/* Turns the form with colons into the one with commas; a description with commas is one already. */
static void unfold(char *spec)
{
	if (strchr(spec, ',') != NULL)
		return;
	for (char *p = strchr(spec, ':'); p != NULL; p = strchr(p + 1, ':')) {
		if (begins_key(p + 1))
			*p = ',';
	}
}

static int open_next(struct pcap *c, const char *spec, const struct vio_backend_config *config,
		     struct vio_error *err)
{
	size_t size = strlen(spec) + 1;
	char *copy = vio_backend_alloc(KIND, config, size, err);
	int ret;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, spec, size);
	unfold(copy);
	ret = vio_backend_open(copy, config, &c->next, err);
	config->host->free(config->host->ctx, copy, size);
	return ret;
}

static size_t pcap_size(unsigned pairs)
{
	return sizeof(struct pcap) + pairs * sizeof(struct pcap_sink);
}

static void free_pcap(struct pcap *c)
{
	const struct vio_host *host = c->host;

	host->free(host->ctx, c->sinks, c->num_pairs * sizeof(*c->sinks));
	host->free(host->ctx, c, pcap_size(c->num_pairs));
}

static void pcap_close(struct vio_backend *be)
{
	struct pcap *c = to_pcap(be);

	vio_backend_close(c->next);
	vio_pcapng_close(&c->file);
	free_pcap(c);
}

static int make_sinks(struct pcap *c, const struct vio_backend_config *config,
		      struct vio_error *err)
{
	c->sinks = vio_backend_alloc(KIND, config, c->num_pairs * sizeof(*c->sinks), err);
	if (c->sinks == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < c->num_pairs; i++) {
		c->pairs[i].sink.ops = &pcap_sink_ops;
		c->pairs[i].pcap = c;
		c->pairs[i].pair = i;
		c->sinks[i] = &c->pairs[i].sink;
	}
	return 0;
}

static int pcap_open(const struct vio_backend_config *config, struct vio_backend **be,
		     struct vio_error *err)
{
	struct pcap_options o = { .next = "null", .snaplen = SNAPLEN_MAX };
	struct pcap *c;
	int ret;

	ret = vio_opts_parse(KIND, config, pcap_options, vio_array_size(pcap_options), &o, err);
	if (ret < 0)
		return ret;
	if (o.file == NULL) {
		vio_error_set(err, KIND ": expected file=PATH");
		return -EINVAL;
	}
	c = vio_backend_alloc(KIND, config, pcap_size(config->pairs), err);
	if (c == NULL)
		return -ENOMEM;
	c->host = config->host;
	c->num_pairs = config->pairs;
	c->be.ops = &vio_backend_pcap;
	ret = make_sinks(c, config, err);
	if (ret < 0)
		goto free;
	ret = open_next(c, o.next, config, err);
	if (ret < 0)
		goto free;
	c->be.caps = c->next->caps;
	ret = vio_pcapng_open(&c->file, c->host, o.file, (uint32_t)o.snaplen);
	if (ret < 0) {
		vio_error_set(err, KIND ": file=%s: %s", o.file, strerror(-ret));
		goto close_next;
	}
	*be = &c->be;
	return 0;
close_next:
	vio_backend_close(c->next);
free:
	free_pcap(c);
	return ret;
}

const struct vio_backend_ops vio_backend_pcap = {
	.kind = KIND,
	.summary = "writes what passes to a pcapng file, before another back end",
	.options = "file=PATH, snaplen=BYTES (262144), next=KIND[,key=value...] or "
		   "next=KIND[:key=value...] (null; must come last)",
	.open = pcap_open,
	.close = pcap_close,
	.start = pcap_start,
	.stop = pcap_stop,
	.send = pcap_send,
	.receive = pcap_receive,
	.fd = pcap_fd,
	.arm = pcap_arm,
	.discard = pcap_discard,
	.deafen = pcap_deafen,
	.set_rx_offloads = pcap_set_rx_offloads,
	.set_pairs = pcap_set_pairs,
	.flush = pcap_flush,
	.describe = pcap_describe,
};
