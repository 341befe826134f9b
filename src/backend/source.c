/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source: makes frames for the guest, and sinks what the guest sends.
 *
 * Every frame is a valid UDP packet over IPv4, so that a receiver can check all of it:
 *
 *   Ethernet  to the guest's MAC, or to all when that is not known; from 02:76:69:6f:HH:LL (HHLL
 *             the queue pair)
 *   IPv4      192.0.2.1 to 192.0.2.2 (TEST-NET-1, RFC 5737), TTL 64, not fragmented, checksum
 *   UDP       port 1024 + pair to port 9 (discard), checksum
 *   payload   byte 0-3   "VIOS"
 *             byte 4-11  sequence number of this queue pair, big-endian, from 0, no gaps
 *             byte i     (7 * i + 13) mod 256, for every i from 12 up
 *
 * size= counts the whole frame without its FCS; 60 is the least that Ethernet has on the wire and
 * holds all of the above. size=imix makes a repeating dozen of 7 times 64, 4 times 594 and 1 time
 * 1518 bytes, in a fixed mixed order.
 *
 * The frames are built once; a frame costs a copy into guest memory and two small writes, because
 * the sum over all but the sequence number is kept beside the template.
 *
 * rate= is in frames a second and queue pair. How many are due is computed from the time since
 * start, never from the last frame, so that nothing drifts: late wake-ups are made up for by longer
 * bursts. When the guest had no room for more than a second, what is older than that is forgotten.
 * Below a rate that would need a wake-up more than ten thousand times a second, each frame has its
 * own moment; above it they come in bursts of up to 32. count= ends each pair's stream.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/copy.h"
#include "base/endian.h"
#include "base/fmt.h"
#include "base/iov.h"
#include "internal.h"

#define KIND	  "source"
#define MAX_PAIRS 256
#define SECOND	  UINT64_C(1000000000)

#define SIZE_MIN       60
#define SIZE_MAX_FRAME (VIO_ETH_HLEN + 65535)
#define IP_AT	       VIO_ETH_HLEN
#define UDP_AT	       (IP_AT + 20)
#define PAYLOAD_AT     (UDP_AT + 8)
#define SEQUENCE_AT    (PAYLOAD_AT + 4)
#define UDP_CSUM_AT    (UDP_AT + 6)
#define HEAD_BYTES     64 /* what differs between frames lies within */
#define LINES_AHEAD    48u
#define PACED_BURST    32 /* frames at a time, at most, when there is a rate */

struct template
{
	uint8_t *bytes;
	uint32_t len;
	uint64_t sum; /* pseudo header and UDP with a sequence number and checksum of 0 */
};

/* One queue pair. Touched by its worker only, but for the counters. */
struct source_pair {
	struct vio_sink *sink;
	uint64_t sequence; /* frames made so far */
	uint64_t origin;   /* rate: when the frame of number origin_sequence was due, ns */
	uint64_t origin_sequence;
	bool starved;  /* the guest had no room at the last try */
	int timer;     /* -1 without a rate */
	uint64_t sunk; /* frames that the guest sent; read by the control thread */
	uint64_t sunk_bytes;
} vio_cacheline;

struct source {
	struct vio_backend be;
	const struct vio_host *host;
	uint64_t rate;	/* 0: as fast as the guest takes them */
	uint64_t count; /* 0: without end */
	unsigned num_templates;
	struct template templates[3];
	bool imix;
	unsigned num_pairs;
	struct source_pair pairs[];
};

struct source_options {
	const char *size;
	uint64_t rate, count;
};

static const struct vio_opt source_options[] = {
	{ "size", VIO_OPT_STRING, offsetof(struct source_options, size), 0, 0 },
	{ "rate", VIO_OPT_NUMBER, offsetof(struct source_options, rate), 0, SECOND },
	{ "count", VIO_OPT_NUMBER, offsetof(struct source_options, count), 0, UINT64_MAX },
};

/* Sizes of a dozen frames, as indices into imix_sizes. */
static const uint32_t imix_sizes[3] = { 64, 594, 1518 };
static const uint8_t imix_order[12] = { 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0 };

/* ------------------------------------------------------------------------------------------
 * Frames
 */
static void build_ip(uint8_t *ip, uint32_t len)
{
	static const uint8_t head[20] = {
		0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
	};
	uint16_t sum;

	memcpy(ip, head, sizeof(head));
	vio_put_be16(ip + 2, (uint16_t)len);
	sum = vio_csum_fold(vio_csum_add(ip, sizeof(head), 0));
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* Adds what the UDP checksum covers but the sequence number. */
static uint64_t sum_template(const struct template *t)
{
	uint8_t pseudo[12];
	uint32_t udp_len = t->len - UDP_AT;

	memcpy(pseudo, t->bytes + IP_AT + 12, 8);
	pseudo[8] = 0;
	pseudo[9] = 17;
	vio_put_be16(pseudo + 10, (uint16_t)udp_len);
	return vio_csum_add(t->bytes + UDP_AT, udp_len, vio_csum_add(pseudo, sizeof(pseudo), 0));
}

static int build_template(struct template *t, uint32_t len, const struct vio_backend_config *config,
			  struct vio_error *err)
{
	static const uint8_t from[6] = { 0x02, 0x76, 0x69, 0x6f, 0, 0 };
	static const uint8_t unknown[VIO_ETH_ALEN], all[] = { 255, 255, 255, 255, 255, 255 };
	bool known = memcmp(config->mac, unknown, VIO_ETH_ALEN) != 0;
	uint8_t *p;

	p = vio_backend_alloc(KIND, config, len, err);
	if (p == NULL)
		return -ENOMEM;
	t->bytes = p;
	t->len = len;
	memcpy(p, known ? config->mac : all, VIO_ETH_ALEN);
	memcpy(p + 6, from, sizeof(from));
	vio_put_be16(p + 12, 0x0800);
	build_ip(p + IP_AT, len - IP_AT);
	vio_put_be16(p + UDP_AT, 1024);
	vio_put_be16(p + UDP_AT + 2, 9);
	vio_put_be16(p + UDP_AT + 4, (uint16_t)(len - UDP_AT));
	memcpy(p + PAYLOAD_AT, "VIOS", 4);
	for (uint32_t i = 12; i < len - PAYLOAD_AT; i++)
		p[PAYLOAD_AT + i] = (uint8_t)(7 * i + 13);
	t->sum = sum_template(t);
	return 0;
}

static unsigned template_of(uint64_t sequence)
{
	return imix_order[sequence % sizeof(imix_order)];
}

/* The beginning of a template's frames for one pair: all of a small frame, and of any frame where
 * frames differ. */
struct head {
	const struct template *t;
	uint64_t sum;		   /* of the template, with the pair's number added */
	uint64_t upper;		   /* of the sequence number, its last 16 bits left out, */
	uint32_t base;		   /* and the sum with that added: up to 2^16 - 1 */
	uint8_t bytes[HEAD_BYTES]; /* with that in place */
};

/* Sums up all of a frame but the last 16 bits of its sequence number. */
static void set_upper(struct head *h, uint64_t upper)
{
	uint64_t words = vio_be64(upper << 16);

	h->upper = upper;
	h->base = (uint16_t)~vio_csum_fold(h->sum + (words & UINT32_MAX) + (words >> 32));
	memcpy(h->bytes + SEQUENCE_AT, &words, sizeof(words));
}

static void make_head(struct head *h, const struct template *t, unsigned pair, uint64_t sequence)
{
	h->t = t;
	h->sum = (t->sum & UINT32_MAX) + (t->sum >> 32) + vio_be16((uint16_t)pair);
	memcpy(h->bytes, t->bytes, vio_min(t->len, (uint32_t)sizeof(h->bytes)));
	set_upper(h, sequence >> 16);
	vio_put_be16(h->bytes + 10, (uint16_t)pair);
	vio_put_be16(h->bytes + UDP_AT, (uint16_t)(1024 + pair));
}

/* Makes what is a copy of a head at @frame frame @sequence, whose upper part is in @base. */
static vio_always_inline void put_number(uint32_t base, uint8_t *frame, uint64_t sequence)
{
	uint64_t be_sequence = vio_be64(sequence);
	uint32_t sum;
	uint16_t csum;

	sum = base + vio_be16((uint16_t)sequence);
	csum = (uint16_t) ~(sum + (sum >> 16));
	if (vio_unlikely(csum == 0))
		csum = 0xffff; /* RFC 768: 0 would mean that there is none */
	memcpy(frame + SEQUENCE_AT, &be_sequence, sizeof(be_sequence));
	memcpy(frame + UDP_CSUM_AT, &csum, sizeof(csum));
}

static vio_always_inline void number(struct head *h, uint8_t *frame, uint64_t sequence)
{
	if (vio_unlikely(sequence >> 16 != h->upper))
		set_upper(h, sequence >> 16);
	put_number(h->base, frame, sequence);
}

/* A frame that is shorter than a head, or whose room is in pieces. */
static vio_noinline void fill_odd(struct head *h, uint64_t sequence, struct vio_frame *room)
{
	uint32_t head = vio_min(h->t->len, (uint32_t)HEAD_BYTES);
	uint8_t bytes[HEAD_BYTES];

	memcpy(bytes, h->bytes, sizeof(bytes));
	number(h, bytes, sequence);
	vio_iov_from_buf(room->iov, room->iovcnt, 0, bytes, head);
	vio_iov_from_buf(room->iov, room->iovcnt, head, h->t->bytes + head, h->t->len - head);
}

static vio_always_inline void fill(struct head *h, uint64_t sequence, struct vio_frame *room)
{
	uint32_t len = h->t->len;

	room->len = len;
	if (vio_likely(len >= HEAD_BYTES && room->iov[0].len >= len)) {
		uint8_t *to = room->iov[0].base;

		memcpy(to, h->bytes, HEAD_BYTES);
		if (len > HEAD_BYTES)
			memcpy(to + HEAD_BYTES, h->t->bytes + HEAD_BYTES, len - HEAD_BYTES);
		number(h, to, sequence);
	} else {
		fill_odd(h, sequence, room);
	}
}

#define LANES 8u
typedef uint16_t lanes __attribute__((vector_size(LANES * sizeof(uint16_t))));

/* What small frames differ in, as it stands in them. */
struct numbers {
	lanes sequence[VIO_SINK_BURST / LANES]; /* the last 16 bits */
	lanes csum[VIO_SINK_BURST / LANES];
};

/* The numbers of the @n frames, or some more, from @sequence on; as put_number() has them. */
static vio_always_inline void make_numbers(struct numbers *numbers, uint32_t base,
					   uint64_t sequence, unsigned n)
{
	const lanes ahead = { 0, 1, 2, 3, 4, 5, 6, 7 };
	lanes at = ahead + (uint16_t)sequence;

	for (unsigned i = 0; i * LANES < n; i++) {
		const lanes be = vio_be16(1) == 1 ? at : (at << 8 | at >> 8);
		lanes sum = be + (uint16_t)base;

		/* A comparison that holds is -1: the carry comes round. */
		sum = ~(sum - (lanes)(sum < be));
		numbers->sequence[i] = be;
		numbers->csum[i] = sum | (lanes)(sum == 0);
		at += LANES;
	}
}

/* Frames of HEAD_BYTES from number @sequence on, into rooms of one piece. Returns how many there were
 * of these, up to @n, which is at most VIO_SINK_BURST, or to where the upper part of the number
 * changes. */
static vio_always_inline unsigned fill_small(struct head *h, uint64_t sequence,
					     const struct vio_frame *room, unsigned n,
					     const bool wide)
{
	struct numbers numbers;
	struct vio_line head = { 0 };
	const uint16_t *last, *csum;
	unsigned i;

	n = (unsigned)vio_min(n, 0x10000 - (sequence & 0xffff));
	if (sequence >> 16 != h->upper)
		set_upper(h, sequence >> 16);
	make_numbers(&numbers, h->base, sequence, n);
	last = (const uint16_t *)numbers.sequence;
	csum = (const uint16_t *)numbers.csum;
	vio_line_load(&head, h->bytes, wide);
	for (i = 0; i < n; i++, room++) {
		const struct vio_iov *iov = room->iov;
		uint8_t *to = iov->base;

		if (vio_unlikely(room->len != HEAD_BYTES || iov->len < HEAD_BYTES))
			break;
		vio_line_store(&head, to, wide);
		memcpy(to + SEQUENCE_AT + 6, &last[i], sizeof(last[i]));
		memcpy(to + UDP_CSUM_AT, &csum[i], sizeof(csum[i]));
	}
	return i;
}

static unsigned fill_small_narrow(struct head *h, uint64_t sequence, const struct vio_frame *room,
				  unsigned n)
{
	return fill_small(h, sequence, room, n, false);
}

VIO_WIDE static unsigned fill_small_wide(struct head *h, uint64_t sequence,
					 const struct vio_frame *room, unsigned n)
{
	return fill_small(h, sequence, room, n, true);
}

/* How many rooms ahead of the one that is filled to ask for lines, so that they have come in time: as
 * many as have some fifty lines together. 0 for small frames: reserve() has asked for their only line. */
static unsigned rooms_ahead(uint32_t len)
{
	const uint32_t lines = (len + VIO_CACHE_LINE - 1) / VIO_CACHE_LINE;

	return lines <= 1 ? 0 : vio_max(LINES_AHEAD / lines, 1u);
}

/* Asks for the lines that a frame is going to fill in @room, all but the first. A room that is too
 * short may have no pieces. */
static vio_always_inline void ask_for(const struct vio_frame *room)
{
	size_t len = room->len > VIO_CACHE_LINE ? vio_min(room->len, room->iov->len) : 0;

	if (len > VIO_CACHE_LINE)
		vio_prefetch_write_all((const uint8_t *)room->iov->base + VIO_CACHE_LINE,
				       len - VIO_CACHE_LINE);
}

/* Makes frames from number @sequence on, as many of @n as there is whole room for. */
static vio_always_inline unsigned fill_burst(struct head *heads, uint64_t sequence,
					     struct vio_frame *room, unsigned n, const bool imix)
{
	/* The longest of imix comes last. */
	const unsigned ahead = rooms_ahead(heads[imix ? vio_array_size(imix_sizes) - 1 : 0].t->len);
	unsigned i = 0, asked;

	if (!imix && heads->t->len == HEAD_BYTES)
		i = (vio_wide() ? fill_small_wide : fill_small_narrow)(heads, sequence, room, n);
	for (asked = i; i < n; i++) {
		struct head *h = &heads[imix ? template_of(sequence + i) : 0];

		for (; ahead && asked < n && asked <= i + ahead; asked++)
			ask_for(&room[asked]);
		if (vio_unlikely(room[i].len < h->t->len))
			break;
		fill(h, sequence + i, &room[i]);
	}
	return i;
}

/* Says how long the frames from number @sequence on are going to be. */
static vio_always_inline void want_burst(const struct head *heads, uint64_t sequence,
					 struct vio_frame *room, unsigned n, const bool imix)
{
	for (unsigned i = 0; i < n; i++)
		room[i].len = heads[imix ? template_of(sequence + i) : 0].t->len;
}

/* ------------------------------------------------------------------------------------------
 * Pace
 */

/* Frames that a rate of @rate makes in @ns. */
static uint64_t frames_in(uint64_t rate, uint64_t ns)
{
	return ns / SECOND * rate + ns % SECOND * rate / SECOND;
}

/* When the frame of number @sequence is due, ns; rounded up, so that it is due then. */
static uint64_t due_at(const struct source *s, const struct source_pair *p, uint64_t sequence)
{
	uint64_t n = sequence - p->origin_sequence;

	return p->origin + n / s->rate * SECOND + (n % s->rate * SECOND + s->rate - 1) / s->rate;
}

/* How many frames are due now. */
static uint64_t due(const struct source *s, struct source_pair *p)
{
	uint64_t left = s->count != 0 ? s->count - p->sequence : UINT64_MAX;
	uint64_t now, made, want;

	if (s->rate == 0)
		return left;
	now = s->host->now_ns(s->host->ctx);
	if (p->origin == 0)
		p->origin = now;
	made = p->sequence - p->origin_sequence;
	want = frames_in(s->rate, now - p->origin) + 1; /* the first one is due at once */
	if (want > made && want - made > s->rate + 1) {
		p->origin = now - SECOND;
		p->origin_sequence = p->sequence;
		made = 0;
		want = s->rate + 1;
	}
	return vio_min(left, want > made ? want - made : 0);
}

static bool source_arm(struct vio_backend *be, unsigned pair)
{
	struct source *s = vio_container_of(be, struct source, be);
	struct source_pair *p = &s->pairs[pair];
	struct itimerspec at = { 0 };
	bool silent = p->starved || (s->count != 0 && p->sequence >= s->count);
	uint64_t burst, now, when;

	if (s->rate == 0)
		return !silent;
	if (!silent) {
		if (due(s, p) != 0)
			return true;
		burst = vio_min(vio_max(s->rate / 10000, UINT64_C(1)), (uint64_t)PACED_BURST);
		if (s->count != 0)
			burst = vio_min(burst, s->count - p->sequence);
		when = due_at(s, p, p->sequence + burst - 1);
		now = s->host->now_ns(s->host->ctx);
		if (when <= now)
			return true;
		at.it_value.tv_sec = (time_t)((when - now) / SECOND);
		at.it_value.tv_nsec = (long)((when - now) % SECOND);
	}
	/* Setting it also takes back an expiry not read; all zero: only the guest's buffers wake us,
	 * or nothing when all has been made. */
	timerfd_settime(p->timer, 0, &at, NULL);
	return false;
}

/* ------------------------------------------------------------------------------------------
 * The back end
 */
static int source_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct source *s = vio_container_of(be, struct source, be);
	struct source_pair *p = &s->pairs[pair];
	struct head heads[vio_array_size(s->templates)];
	struct vio_frame room[VIO_SINK_BURST];
	const bool imix = s->imix;
	unsigned left, done = 0;

	if (p->sink == NULL)
		return 0;
	p->starved = false;
	left = (unsigned)vio_min((uint64_t)budget, due(s, p));
	for (unsigned i = 0; i < s->num_templates; i++)
		make_head(&heads[i], &s->templates[i], pair, p->sequence);
	/* Where all frames are as long, rooms say so from burst to burst: commit() leaves that alone,
	 * and after a room that was too short all is said again, or nothing more is reserved. */
	if (!imix)
		want_burst(heads, 0, room, vio_min(left, (unsigned)VIO_SINK_BURST), false);
	while (left != 0) {
		unsigned want = vio_min(left, (unsigned)VIO_SINK_BURST), whole;
		const uint64_t sequence = p->sequence;
		int got;

		if (imix)
			want_burst(heads, sequence, room, want, true);
		got = vio_max(p->sink->ops->reserve(p->sink, room, want), 0);
		whole = imix ? fill_burst(heads, sequence, room, (unsigned)got, true) :
			       fill_burst(heads, sequence, room, (unsigned)got, false);
		if (got > 0)
			p->sink->ops->commit(p->sink, room, whole);
		p->sequence += whole;
		done += whole;
		left -= whole;
		if ((int)whole < got && !p->sink->wait) {
			/* It will never fit: made and lost. */
			p->sink->ops->drop(p->sink, VIO_DROP_TOO_BIG, 1);
			p->sequence++;
			left--;
			done++;
			if (!imix)
				want_burst(heads, 0, room, VIO_SINK_BURST, false);
		} else if (whole < want) {
			p->starved = true;
			break;
		}
	}
	return (int)done;
}

static int source_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct source *s = vio_container_of(be, struct source, be);
	struct source_pair *p = &s->pairs[pair];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += frames[i].len;
	vio_store(&p->sunk, p->sunk + n);
	vio_store(&p->sunk_bytes, p->sunk_bytes + bytes);
	return (int)n;
}

static int source_fd(struct vio_backend *be, unsigned pair)
{
	return vio_container_of(be, struct source, be)->pairs[pair].timer;
}

static int source_start(struct vio_backend *be, struct vio_sink *const *sinks, unsigned pairs)
{
	struct source *s = vio_container_of(be, struct source, be);

	if (pairs > s->num_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < pairs; i++) {
		s->pairs[i].sink = sinks[i];
		s->pairs[i].starved = false;
		s->pairs[i].origin = 0;
		s->pairs[i].origin_sequence = s->pairs[i].sequence;
	}
	return 0;
}

static void source_stop(struct vio_backend *be)
{
	struct source *s = vio_container_of(be, struct source, be);

	for (unsigned i = 0; i < s->num_pairs; i++)
		s->pairs[i].sink = NULL;
}

static size_t source_size(unsigned pairs)
{
	return sizeof(struct source) + pairs * sizeof(struct source_pair);
}

static void source_close(struct vio_backend *be)
{
	struct source *s = vio_container_of(be, struct source, be);
	const struct vio_host *host = s->host;

	for (unsigned i = 0; i < s->num_pairs; i++) {
		if (s->pairs[i].timer >= 0)
			close(s->pairs[i].timer);
	}
	for (unsigned i = 0; i < s->num_templates; i++)
		host->free(host->ctx, s->templates[i].bytes, s->templates[i].len);
	host->free(host->ctx, s, source_size(s->num_pairs));
}

static void source_describe(struct vio_backend *be, char *buf, size_t len)
{
	struct source *s = vio_container_of(be, struct source, be);
	uint64_t sunk = 0, bytes = 0;

	for (unsigned i = 0; i < s->num_pairs; i++) {
		sunk += vio_load(&s->pairs[i].sunk);
		bytes += vio_load(&s->pairs[i].sunk_bytes);
	}
	if (s->imix)
		vio_snprintf(buf, len, KIND " imix, sunk %" PRIu64 " frames, %" PRIu64 " bytes",
			     sunk, bytes);
	else
		vio_snprintf(buf, len, KIND " %u bytes, sunk %" PRIu64 " frames, %" PRIu64 " bytes",
			     s->templates[0].len, sunk, bytes);
}

static int make_templates(struct source *s, const char *size,
			  const struct vio_backend_config *config, struct vio_error *err)
{
	uint64_t one = 64;
	unsigned wanted = 1;

	s->imix = size != NULL && strcmp(size, "imix") == 0;
	if (s->imix) {
		wanted = vio_array_size(imix_sizes);
	} else if (size != NULL && !vio_opt_number(size, SIZE_MIN, SIZE_MAX_FRAME, &one)) {
		vio_error_set(err, KIND ": size=%s: expected a number from %d to %d, or imix", size,
			      SIZE_MIN, SIZE_MAX_FRAME);
		return -EINVAL;
	}
	for (unsigned i = 0; i < wanted; i++) {
		uint32_t len = s->imix ? imix_sizes[i] : (uint32_t)one;
		int ret = build_template(&s->templates[i], len, config, err);

		if (ret < 0)
			return ret;
		s->num_templates++;
	}
	return 0;
}

static int make_timers(struct source *s, struct vio_error *err)
{
	for (unsigned i = 0; i < s->num_pairs && s->rate != 0; i++) {
		s->pairs[i].timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (s->pairs[i].timer < 0) {
			int ret = -errno;

			vio_error_set(err, KIND ": can't make a timer: %s", strerror(-ret));
			return ret;
		}
	}
	return 0;
}

static int source_open(const struct vio_backend_config *config, struct vio_backend **be,
		       struct vio_error *err)
{
	struct source_options o = { 0 };
	struct source *s;
	int ret;

	ret = vio_opts_parse(KIND, config, source_options, vio_array_size(source_options), &o, err);
	if (ret == 0)
		ret = vio_opt_pairs(KIND, config, MAX_PAIRS, err);
	if (ret < 0)
		return ret;
	s = vio_backend_alloc(KIND, config, source_size(config->pairs), err);
	if (s == NULL)
		return -ENOMEM;
	s->be.ops = &vio_backend_source;
	s->be.caps = (struct vio_backend_caps){
		.tx_offloads = VIO_OFFLOAD_ALL,
		.max_pairs = config->pairs,
		.send_burst = 64,
	};
	s->host = config->host;
	s->rate = o.rate;
	s->count = o.count;
	s->num_pairs = config->pairs;
	for (unsigned i = 0; i < s->num_pairs; i++)
		s->pairs[i].timer = -1;
	ret = make_templates(s, o.size, config, err);
	if (ret == 0)
		ret = make_timers(s, err);
	if (ret < 0) {
		source_close(&s->be);
		return ret;
	}
	*be = &s->be;
	return 0;
}

const struct vio_backend_ops vio_backend_source = {
	.kind = KIND,
	.summary = "makes UDP frames for the guest, takes every frame",
	.options = "size=BYTES|imix (64), rate=FRAMES a second and pair (0: as fast as taken), "
		   "count=FRAMES for each pair (0: without end)",
	.open = source_open,
	.close = source_close,
	.start = source_start,
	.stop = source_stop,
	.send = source_send,
	.receive = source_receive,
	.fd = source_fd,
	.arm = source_arm,
	.describe = source_describe,
};
