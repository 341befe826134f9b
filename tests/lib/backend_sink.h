/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for tests of back ends: a sink with a fixed number of receive buffers, each allocated by
 * itself, which keeps what was delivered and fails the test when a back end breaks the contract; and
 * frames to send that check what the back end did with them.
 */
#ifndef TESTLIB_BACKEND_SINK_H
#define TESTLIB_BACKEND_SINK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vioduct/backend.h>

#include "base/bits.h"
#include "base/iov.h"

#define GUEST_QUEUE 256 /* buffers that the guest can give at a time */

struct got_frame {
	uint8_t *bytes;
	uint32_t len;
	struct vio_net_meta meta;
};

struct guest {
	struct vio_sink sink;
	unsigned buffers;    /* given by the guest, not used */
	uint32_t buffer_len; /* of each */
	bool joins;	     /* a frame may fill several */
	uint64_t drops[VIO_DROP_NR];
	struct got_frame *got;
	unsigned num_got, max_got;
	/* What is reserved now. */
	unsigned reserved, used_buffers;
	uint32_t reserved_len[64];
	unsigned reserved_buffers[64];
	struct vio_iov iov[GUEST_QUEUE + 64 + 1];
};

static inline struct guest *to_guest(struct vio_sink *sink)
{
	return vio_container_of(sink, struct guest, sink);
}

static inline int guest_reserve(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct guest *g = to_guest(sink);
	unsigned at = 0, given = 0;

	assert_int_equal(g->reserved, 0); /* nothing else before what was given is committed */
	assert_in_range(n, 1, 64);
	g->used_buffers = 0;
	while (given < n && g->used_buffers < g->buffers) {
		struct vio_frame *f = &frames[given];
		uint32_t want = f->len, room = 0;
		unsigned count = 0;

		assert_int_not_equal(want, 0);
		at++; /* the spare entry */
		f->iov = &g->iov[at];
		memset(&f->meta, 0, sizeof(f->meta));
		while (g->used_buffers < g->buffers && room < want && (count == 0 || g->joins)) {
			g->iov[at++] = (struct vio_iov){ malloc(g->buffer_len), g->buffer_len };
			room += g->buffer_len;
			g->used_buffers++;
			count++;
		}
		f->iovcnt = (uint16_t)count;
		/* Only the header has room in it: no pieces are left. */
		if (g->buffer_len == 0) {
			free(f->iov->base);
			f->iov = NULL;
			f->iovcnt = 0;
			count = 0;
		}
		g->reserved_buffers[given] = count;
		g->reserved_len[given++] = vio_min(room, want);
		if (room < want) {
			f->len = room;
			sink->wait = g->joins && g->buffers < GUEST_QUEUE;
			break;
		}
	}
	if (given == 0)
		sink->wait = true;
	g->reserved = given;
	return (int)given;
}

static inline void guest_take(struct guest *g, const struct vio_frame *f)
{
	struct got_frame *got;

	if (g->num_got == g->max_got) {
		g->max_got = g->max_got * 2 + 64;
		g->got = realloc(g->got, g->max_got * sizeof(*g->got));
	}
	got = &g->got[g->num_got++];
	got->bytes = malloc(f->len + 1);
	got->len = f->len;
	got->meta = f->meta;
	assert_int_equal(vio_iov_to_buf(f->iov, f->iovcnt, 0, got->bytes, f->len), f->len);
}

static inline void guest_commit(struct vio_sink *sink, struct vio_frame *frames, unsigned n)
{
	struct guest *g = to_guest(sink);

	assert_true(n <= g->reserved);
	for (unsigned i = 0; i < g->reserved; i++) {
		if (i < n) {
			assert_true(frames[i].len <= g->reserved_len[i]);
			if (i + 1 < n)
				assert_int_equal(frames[i].len, g->reserved_len[i]);
			assert_true(frames[i].len >= VIO_ETH_MIN_LEN);
			guest_take(g, &frames[i]);
			g->buffers -= (frames[i].len + g->buffer_len - 1) / g->buffer_len;
		}
		for (unsigned j = 0; j < g->reserved_buffers[i]; j++)
			free(frames[i].iov[j].base);
	}
	g->reserved = 0;
}

static inline void guest_drop(struct vio_sink *sink, enum vio_drop why, unsigned n)
{
	assert_true(why < VIO_DROP_NR);
	to_guest(sink)->drops[why] += n;
}

static const struct vio_sink_ops guest_sink_ops = {
	.reserve = guest_reserve,
	.commit = guest_commit,
	.drop = guest_drop,
};

/* A guest with @buffers of @len bytes. */
static inline void guest_init(struct guest *g, unsigned buffers, uint32_t len, bool joins)
{
	memset(g, 0, sizeof(*g));
	g->sink.ops = &guest_sink_ops;
	g->buffers = buffers;
	g->buffer_len = len;
	g->joins = joins;
}

/* Forgets what was delivered. */
static inline void guest_forget(struct guest *g)
{
	for (unsigned i = 0; i < g->num_got; i++)
		free(g->got[i].bytes);
	g->num_got = 0;
}

static inline void guest_exit(struct guest *g)
{
	assert_int_equal(g->reserved, 0);
	guest_forget(g);
	free(g->got);
	g->got = NULL;
}

/* ------------------------------------------------------------------------------------------ */

/* A frame to send, in one piece or several, with the spare entry in front. */
struct sent_frame {
	struct vio_frame frame;
	struct vio_iov iov[1 + 8];
	uint8_t *bytes;
};

static inline void sent_init(struct sent_frame *s, const void *bytes, uint32_t len, unsigned pieces)
{
	uint32_t at = 0;

	memset(s, 0, sizeof(*s));
	s->bytes = malloc(len);
	memcpy(s->bytes, bytes, len);
	s->frame.iov = &s->iov[1];
	s->frame.len = len;
	s->frame.iovcnt = (uint16_t)pieces;
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t n = i + 1 == pieces ? len - at : vio_min(len - at, len / pieces);

		s->iov[1 + i] = (struct vio_iov){ s->bytes + at, n };
		at += n;
	}
}

/* All in one piece, which holds more than the frame. */
static inline void sent_pad(struct sent_frame *s, uint32_t more)
{
	s->bytes = realloc(s->bytes, s->frame.len + more);
	s->frame.iovcnt = 1;
	s->iov[1] = (struct vio_iov){ s->bytes, s->frame.len + more };
}

static inline void sent_exit(struct sent_frame *s)
{
	free(s->bytes);
}

/* Frame number @number of @len bytes: any content, but different for each number. */
static inline void numbered_frame(uint8_t *p, uint32_t len, uint32_t number)
{
	memset(p, 0, VIO_ETH_HLEN);
	p[0] = 2;
	p[12] = 0x88;
	p[13] = 0xb5; /* for experiments */
	for (uint32_t i = VIO_ETH_HLEN; i < len; i++)
		p[i] = (uint8_t)(number >> 8 * (i % 4)) ^ (uint8_t)(i / 4);
}

/* ------------------------------------------------------------------------------------------ */

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static inline struct vio_backend_config backend_config(unsigned pairs)
{
	return (struct vio_backend_config){
		.pairs = (uint16_t)pairs,
		.mac = guest_mac,
		.host = vio_host_linux(VIO_LOG_ERROR),
	};
}

static inline struct vio_backend *open_backend(const char *spec, unsigned pairs)
{
	struct vio_backend_config config = backend_config(pairs);
	struct vio_error err = { "" };
	struct vio_backend *be = NULL;
	int ret = vio_backend_open(spec, &config, &be, &err);

	if (ret < 0)
		print_error("%s: %d: %s\n", spec, ret, err.msg);
	assert_int_equal(ret, 0);
	assert_string_equal(err.msg, "");
	return be;
}

/* Expects @spec to be refused with exactly @message. */
static inline void refuse(const char *spec, unsigned pairs, const char *message)
{
	struct vio_backend_config config = backend_config(pairs);
	struct vio_error err = { "" };
	struct vio_backend *be = NULL;

	assert_true(vio_backend_open(spec, &config, &be, &err) < 0);
	assert_string_equal(err.msg, message);
	assert_null(be);
}

static inline void start_one(struct vio_backend *be, struct guest *g)
{
	struct vio_sink *sinks[1] = { &g->sink };

	assert_int_equal(be->ops->start(be, sinks, 1), 0);
}

#endif
