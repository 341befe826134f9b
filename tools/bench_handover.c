/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bare hand-over: a producer writes every byte of a frame, a consumer copies the frame out and
 * reads every byte of it. There is nothing between them but a flag for each burst, so whatever a
 * virtqueue adds is seen by comparison.
 *
 * A burst has a slot, which the producer writes, and an answer, which the consumer writes; each is on
 * lines of its own and holds the number of the burst that it is about, so that neither side ever
 * clears what the other one set. Slots are used in a circle. Their number times the burst is the
 * number of buffers.
 *
 * Which buffers a burst uses is told by its slot's place (first in, first out), or taken from a
 * stack of those that came back, and written into the slot (last in, first out).
 *
 * Before a buffer is written, its lines may be asked for, for writing, some lines ahead: across cores
 * each takes as long as some hundred instructions, but many can be under way at a time.
 *
 * Frames are written and read in vectors. With those of 64 bytes, where the processor has them, a line
 * is written at once, which can make a difference of a half.
 */
#include "bench_handover.h"

#include <stdalign.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "bench_asked.h"
#include "front.h"
#include "tool.h"

#define COMMAND	  "bench"
#define LINE	  64u
#define HUGE	  (UINT64_C(2) << 20)
#define MAX_SLOTS (BENCH_HANDOVER_DEPTH_MAX / BENCH_HANDOVER_BURST_MIN)
#define FRAME_MAX 65536u
#define OVER	  UINT64_MAX	 /* a slot's number: no more will come */
#define ENDED	  UINT32_MAX	 /* a job: no more will come */
#define LOOK_EACH (256u * 1024u) /* bytes between looks at the clock */

/* Processors fetch lines by pairs: two lines apart, neither side's drags the other's along. */
struct slot {
	alignas(2 * LINE) uint64_t number; /* of the burst, from 1 */
	uint16_t ids[BENCH_HANDOVER_BURST_MAX];
};

struct answer {
	alignas(2 * LINE) uint64_t number;
};

struct bench_handover {
	struct slot slots[MAX_SLOTS];	  /* written by the producer */
	struct answer answers[MAX_SLOTS]; /* written by the consumer */
	/* The producer's own. */
	alignas(2 * LINE) uint16_t held[MAX_SLOTS][BENCH_HANDOVER_BURST_MAX];
	uint16_t stack[BENCH_HANDOVER_DEPTH_MAX];
	uint32_t free; /* buffers on the stack */
	uint64_t tail; /* bursts that came back */
	struct bench_cores cores;
	const struct bench_way *way;
	const struct loops *loops;
	uint64_t handed; /* frames in earlier runs of bench_handover_once() */
	bool telling;	 /* in this one */
	uint64_t bytes;
	uint8_t *data;
	pthread_t consumer;
	alignas(2 * LINE) uint32_t job; /* the run wanted, from 1; ENDED: none any more */
	uint32_t done;			/* the last one that the consumer has ended */
	/* The consumer's own. */
	alignas(2 * LINE) uint8_t copy[FRAME_MAX];
};

struct producer {
	struct bench_handover *h;
	struct bench_way way;
	uint32_t slots, frames_ahead;
	uint32_t at, tail_at; /* slots of the next burst, and of the next to come back */
	uint64_t burst;	      /* number of the next burst, from 1 */
	uint64_t word;	      /* of the next frame */
};

/* ------------------------------------------------------------------------------------------
 * What the loops are made of
 */

/* A line for writing. What the compiler makes of its own prefetch for writing is, for a processor
 * that may lack the instruction, a prefetch for reading; where there is none, this one does
 * nothing. */
static inline void ask_for(uint8_t *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*line));
#else
	__builtin_prefetch(line, 1, 3);
#endif
}

static inline void ask_for_frame(uint8_t *frame, uint32_t size)
{
	uint32_t at;

	for (at = 0; at < size; at += LINE)
		ask_for(frame + at);
}

/* The consumer waits for a burst. False when no more will come. */
static inline bool await_burst(const struct slot *slot, uint64_t burst)
{
	uint64_t number;

	/* Pairs with the release in publish(). */
	while ((number = vio_load_acquire(&slot->number)) != burst) {
		if (number == OVER)
			return false;
		vio_cpu_relax();
	}
	return true;
}

/* Whether burst tail + 1 has come back; then its buffers go onto the stack. */
static inline bool get_back(struct producer *p)
{
	struct bench_handover *h = p->h;
	uint32_t i;

	/* Pairs with the release in the consumer's loop. */
	if (vio_load_acquire(&h->answers[p->tail_at].number) != h->tail + 1)
		return false;
	if (p->way.lifo)
		for (i = p->way.burst; i-- > 0;)
			h->stack[h->free++] = h->held[p->tail_at][i];
	h->tail++;
	p->tail_at = p->tail_at + 1 == p->slots ? 0 : p->tail_at + 1;
	return true;
}

/* Waits until the next slot is free, and finds its buffers. */
static inline void reserve(struct producer *p)
{
	struct bench_handover *h = p->h;
	uint32_t i;

	while (p->burst - 1 - h->tail >= p->slots)
		if (!get_back(p))
			vio_cpu_relax();
	if (!p->way.lifo)
		return;
	/* All that is there already: the last of it is what is used first. */
	while (h->tail + 1 < p->burst && get_back(p))
		;
	for (i = 0; i < p->way.burst; i++)
		h->held[p->at][i] = h->slots[p->at].ids[i] = h->stack[--h->free];
}

static inline uint8_t *buffer(const struct producer *p, uint32_t i)
{
	uint32_t id = p->way.lifo ? p->h->held[p->at][i] : p->at * p->way.burst + i;

	return p->h->data + (size_t)id * p->way.stride;
}

static inline void publish(struct producer *p)
{
	/* Pairs with the acquire in await_burst(). */
	vio_store_release(&p->h->slots[p->at].number, p->burst++);
	p->at = p->at + 1 == p->slots ? 0 : p->at + 1;
}

/* ------------------------------------------------------------------------------------------
 * The loops, by width of vectors
 */
#define VEC 16
#define TARGET
#include "bench_handover_loops.h"

#if defined(__x86_64__)
#define VEC    32
#define TARGET __attribute__((target("avx2")))
#include "bench_handover_loops.h"

#define VEC    64
#define TARGET __attribute__((target("avx512f")))
#include "bench_handover_loops.h"
#endif

static const struct loops {
	uint32_t vec; /* bytes */
	void (*give)(struct producer *p);
	void (*consume)(struct bench_handover *h);
} all_loops[] = {
#if defined(__x86_64__)
	{ 64, give_64, consume_64 },
	{ 32, give_32, consume_32 },
#endif
	{ 16, give_16, consume_16 },
};

static bool can_run(const struct loops *loops)
{
#if defined(__x86_64__)
	if (loops->vec == 64)
		return __builtin_cpu_supports("avx512f");
	if (loops->vec == 32)
		return __builtin_cpu_supports("avx2");
#endif
	return loops->vec == 16;
}

unsigned bench_handover_vecs(uint32_t vecs[BENCH_HANDOVER_VECS])
{
	unsigned i, n = 0;

	for (i = 0; i < vio_array_size(all_loops); i++)
		if (can_run(&all_loops[i]))
			vecs[n++] = all_loops[i].vec;
	return n;
}

static const struct loops *find_loops(uint32_t vec)
{
	const struct loops *loops = all_loops;

	while (loops->vec != vec)
		loops++;
	return loops;
}

/* ------------------------------------------------------------------------------------------
 * Both sides
 */
static void *be_consumer(void *arg)
{
	struct bench_handover *h = arg;
	uint32_t job, done = h->done;

	/* Pairs with the release in bench_handover_run() and bench_handover_end(). */
	while ((job = vio_load_acquire(&h->job)) != ENDED) {
		if (job == done) {
			vio_cpu_relax();
			continue;
		}
		h->loops->consume(h);
		done = job;
		/* Pairs with the acquire in bench_handover_run(). */
		vio_store_release(&h->done, done);
	}
	return NULL;
}

int bench_handover_begin(struct bench_handover *h)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int ret;

	h->job = h->done = 0;
	pthread_attr_init(&attr);
	CPU_ZERO(&set);
	if (h->cores.device >= 0) {
		CPU_SET((size_t)h->cores.device, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	ret = pthread_create(&h->consumer, &attr, be_consumer, h);
	pthread_attr_destroy(&attr);
	return ret ? tool_fail(COMMAND, "thread: %s", strerror(ret)) : 0;
}

void bench_handover_end(struct bench_handover *h)
{
	/* Pairs with the acquire in be_consumer(). */
	vio_store_release(&h->job, ENDED);
	pthread_join(h->consumer, NULL);
}

static void answer(const struct producer *p)
{
	printf("{\"frames\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n",
	       p->h->handed + (p->burst - 1) * p->way.burst, front_now());
	fflush(stdout);
}

/* Returns millions of frames a second. */
static double produce(struct bench_handover *h, double seconds)
{
	struct producer p = { .h = h, .way = *h->way, .burst = 1 };
	uint32_t lines = (p.way.size + LINE - 1) / LINE, look, i;
	uint64_t begun, now, end, first, bursts;

	p.slots = p.way.depth / p.way.burst;
	p.frames_ahead = vio_min((p.way.ahead + lines - 1) / lines, p.way.burst);
	look = LOOK_EACH / (p.way.burst * p.way.size) + 1;
	/* Every buffer has gone round once before the clock starts. */
	for (i = 0; i < p.slots; i++)
		h->loops->give(&p);
	first = p.burst;
	begun = now = front_now();
	for (end = begun + (uint64_t)(seconds * 1e9); now < end && !front_ending;
	     now = front_now()) {
		for (i = 0; i < look; i++)
			h->loops->give(&p);
		if (h->telling && bench_asked())
			answer(&p);
	}
	bursts = p.burst - first;
	reserve(&p);
	vio_store_release(&h->slots[p.at].number, OVER);
	if (h->telling)
		h->handed += (p.burst - 1) * p.way.burst;
	return now > begun ? (double)bursts * p.way.burst * 1e3 / (double)(now - begun) : 0;
}

static void start_anew(struct bench_handover *h, const struct bench_way *way)
{
	uint32_t i;

	memset(h->slots, 0, sizeof(h->slots));
	memset(h->answers, 0, sizeof(h->answers));
	for (i = 0; i < way->depth; i++)
		h->stack[i] = (uint16_t)(way->depth - 1 - i);
	h->free = way->depth;
	h->tail = 0;
	h->way = way;
	h->loops = find_loops(way->vec);
}

double bench_handover_run(struct bench_handover *h, const struct bench_way *way, double seconds)
{
	uint32_t job = h->job + 1;
	double mpps;

	start_anew(h, way);
	/* Pairs with the acquire in be_consumer(). */
	vio_store_release(&h->job, job);
	mpps = produce(h, seconds);
	/* Pairs with the release in be_consumer(). */
	while (vio_load_acquire(&h->done) != job)
		vio_cpu_relax();
	return mpps;
}

int bench_handover_once(struct bench_handover *h, const struct bench_way *way, double seconds,
			double *mpps)
{
	int ret = bench_handover_begin(h);

	if (ret)
		return ret;
	h->telling = true;
	*mpps = bench_handover_run(h, way, seconds);
	h->telling = false;
	bench_handover_end(h);
	return 0;
}

int bench_handover_create(uint64_t bytes, const struct bench_cores *cores,
			  struct bench_handover **handover)
{
	struct bench_handover *h;

	h = aligned_alloc(2 * LINE, vio_align_up(sizeof(*h), 2 * LINE));
	if (!h)
		return tool_fail(COMMAND, "out of memory");
	memset(h, 0, sizeof(*h));
	h->cores = *cores;
	/* Large pages where there are any, as the halves' own memory has. */
	h->bytes = vio_align_up(bytes, HUGE);
	h->data = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h->data == MAP_FAILED) {
		free(h);
		return tool_fail(COMMAND, "%llu bytes for frames: %s", (unsigned long long)bytes,
				 strerror(errno));
	}
	madvise(h->data, h->bytes, MADV_HUGEPAGE);
	memset(h->data, 1, h->bytes);
	*handover = h;
	return 0;
}

void bench_handover_destroy(struct bench_handover *h)
{
	if (!h)
		return;
	munmap(h->data, h->bytes);
	free(h);
}
