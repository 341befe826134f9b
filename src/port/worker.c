/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers.
 *
 * A worker is a thread with an epoll set and the pairs that are its own; no other thread ever
 * touches the rings of those. A pair is in one of two states:
 *
 *	active  on the worker's list: served turn by turn, its kicks suppressed;
 *	idle    its kicks are enabled and its descriptors watched; nothing looks at it.
 *
 * A pair that has moved nothing in a turn is armed: kicks are enabled first and the rings looked at
 * afterwards, so whatever came in between is seen either by that look or by a kick, and it goes
 * idle. A worker whose pairs are all idle polls for a while, when allowed, and then sleeps in
 * epoll_wait() without a time limit: an idle process makes no system call.
 *
 * How long it polls adapts. Polling that found something was worth it and the limit grows; polling
 * in vain halves it, down to nothing; and when a sleep turns out to have been so short that polling
 * would have caught the event, the limit grows again.
 *
 * Control reaches a worker only through its bell (an eventfd) and a slot for one job: start, stop
 * and move queues are jobs, run between two turns. That is the whole of the locking: the data path
 * takes no lock and reads one flag a turn.
 *
 * Kick descriptors are watched edge-triggered and never read: each write to an eventfd is an edge,
 * so a kick costs one system call (the wait) and not two.
 */
#include "port/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/fmt.h"

/* Turns and looks between two askings for events. */
#define EVENTS_EACH    8
#define EVENTS_AT_ONCE 32
/* A pause between looks: GATHER_NS for each frame of the last turn, for GATHER_MAX at most and for an
 * eighth of the smallest ring that they came from, which is not to be found full. For fewer than
 * GATHER_MIN there is none; so never where rings have less than 64 descriptors. */
#define GATHER_NS   40
#define GATHER_MIN  8u
#define GATHER_MAX  64u
#define MAX_WORKERS 64

struct worker_job {
	struct vio_pair_run *pair; /* that it changes; or NULL */
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

struct vio_worker {
	struct vio_workers *set;
	pthread_t thread;
	int epoll_fd;
	struct vio_wake_source bell;
	struct vio_device_scratch *scratch;
	struct vio_pair_run *active;
	struct vio_pair_run *pairs;
	uint64_t poll_ns; /* how long to poll now, adapted */
	unsigned bulk;	  /* frames to wait for: see let_gather(); 0 if guests have received any */
	bool started;

	/* control to worker */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct worker_job *job; /* under lock, but peeked at without */
	bool rung;		/* look at every pair's flag */
	bool stop;
} vio_cacheline;

struct vio_workers {
	const struct vio_host *host;
	size_t size;
	unsigned count; /* opened, wholly or in part */
	unsigned ports;
	uint64_t busy_poll_ns;
	struct vio_worker workers[];
};

static uint64_t now_ns(const struct vio_worker *w)
{
	return w->set->host->now_ns(w->set->host->ctx);
}

static void ring_bell(struct vio_worker *w)
{
	uint64_t one = 1;
	ssize_t ignored;

	/* Pairs with the acquire in answer_bell(). Only the first ring needs the descriptor. */
	if (__atomic_exchange_n(&w->rung, true, __ATOMIC_ACQ_REL))
		return;
	ignored = write(w->bell.fd, &one, sizeof(one));
	(void)ignored;
}

static void activate(struct vio_pair_run *pair)
{
	if (pair->active)
		return;
	pair->active = true;
	pair->next = pair->worker->active;
	pair->worker->active = pair;
	vio_pair_disarm(pair);
}

static void run_job(struct vio_worker *w)
{
	struct worker_job *job;

	pthread_mutex_lock(&w->lock);
	job = w->job;
	vio_store(&w->job, NULL);
	pthread_mutex_unlock(&w->lock);
	if (!job)
		return;
	if (job->pair && vio_pair_finish(job->pair, w->scratch))
		activate(job->pair);
	job->fn(job->arg);
	pthread_mutex_lock(&w->lock);
	job->done = true;
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
}

static void answer_bell(struct vio_worker *w)
{
	struct vio_pair_run *pair;

	if (!vio_load(&w->rung))
		return;
	/* Pairs with the release in ring_bell(). */
	(void)__atomic_exchange_n(&w->rung, false, __ATOMIC_ACQ_REL);
	if (vio_load(&w->job))
		run_job(w);
	for (pair = w->pairs; pair; pair = pair->all)
		if (__atomic_exchange_n(&pair->look, false, __ATOMIC_ACQ_REL)) {
			pair->tx_due = true;
			activate(pair);
		}
}

static void take_events(struct vio_worker *w, int timeout)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int i, n;

	n = epoll_wait(w->epoll_fd, events, EVENTS_AT_ONCE, timeout);
	for (i = 0; i < n; i++) {
		struct vio_wake_source *source = events[i].data.ptr;
		struct vio_pair_run *pair = source->pair;

		if (pair && vio_pair_woken(pair, (enum vio_wake)(source - pair->wake)))
			activate(pair);
	}
}

/* Serves each active pair once; those with nothing more to do are armed. True if anything moved. */
static bool turn(struct vio_worker *w)
{
	struct vio_pair_run **link = &w->active;
	unsigned bulk = 0, most = GATHER_MAX;
	bool moved = false, one_way = true;

	while (*link) {
		struct vio_pair_run *pair = *link;

		if (vio_pair_serve(pair, w->scratch)) {
			moved = true;
			bulk += pair->one_way;
			one_way &= pair->one_way > 0;
			most = vio_min(most, vio_device_tx_size(pair->dev, pair->index) / 8);
			link = &pair->next;
		} else if (w->poll_ns) {
			link = &pair->next; /* poll() arms it when its time is up */
		} else if (vio_pair_arm(pair)) {
			vio_pair_disarm(pair);
			link = &pair->next;
		} else {
			pair->active = false;
			*link = pair->next;
		}
	}
	if (moved)
		w->bulk = one_way ? vio_min(bulk, most) : 0;
	return moved;
}

/*
 * Between two looks at rings. Each takes the lines that it is about away from a driver that may be
 * writing them: where guests have only sent, many frames at a time, they are left alone for part of
 * the time that they need for as many more, but not past @end.
 */
static void let_gather(const struct vio_worker *w, uint64_t end)
{
	uint64_t pause = (uint64_t)w->bulk * GATHER_NS, until = 0;

	if (w->bulk >= GATHER_MIN)
		until = vio_min(end, now_ns(w) + pause);
	do
		vio_cpu_relax();
	while (until && now_ns(w) < until);
}

/*
 * Everything active was just found without work: goes on looking for a while. Returns true when
 * there is something to look at; false when the last look, too, found nothing. Only what was just
 * looked at may be armed: what a back end said or what a kick brought is known to that look alone.
 */
static bool poll_a_while(struct vio_worker *w)
{
	uint64_t end = now_ns(w) + w->poll_ns;
	unsigned spins = 0;

	do {
		let_gather(w, end);
		/* A system call; always before the look that is the last. */
		if (spins % EVENTS_EACH == EVENTS_EACH - 1)
			take_events(w, 0);
		if (vio_load(&w->rung))
			return true;
		if (turn(w)) {
			w->poll_ns = vio_min(w->poll_ns * 2, w->set->busy_poll_ns);
			return true;
		}
	} while (++spins % EVENTS_EACH != 0 || now_ns(w) < end);
	w->poll_ns = w->poll_ns / 2 < 1000 ? 0 : w->poll_ns / 2;
	return false;
}

static bool arm_all(struct vio_worker *w)
{
	struct vio_pair_run **link = &w->active;

	while (*link) {
		struct vio_pair_run *pair = *link;

		if (vio_pair_arm(pair)) {
			vio_pair_disarm(pair);
			link = &pair->next;
		} else {
			pair->active = false;
			*link = pair->next;
		}
	}
	return w->active == NULL;
}

static void sleep_until_woken(struct vio_worker *w)
{
	uint64_t limit = w->set->busy_poll_ns, slept_at = 0;

	if (limit)
		slept_at = now_ns(w);
	take_events(w, -1);
	if (limit && now_ns(w) - slept_at < limit)
		w->poll_ns = vio_min(vio_max(w->poll_ns * 2, limit / 8), limit);
}

static void *worker_main(void *arg)
{
	struct vio_worker *w = arg;
	unsigned turns = 0;

	while (!vio_load(&w->stop)) {
		answer_bell(w);
		if (!w->active) {
			sleep_until_woken(w);
			continue;
		}
		if (turn(w)) {
			/* Others wait a few turns at most for what they bring. */
			if (++turns % EVENTS_EACH == 0)
				take_events(w, 0);
			continue;
		}
		/* Without polling turn() has armed what it found without work. */
		if (w->poll_ns && w->active && !poll_a_while(w))
			arm_all(w);
	}
	return NULL;
}

static int bell_open(struct vio_worker *w)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = &w->bell };

	w->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->bell.fd < 0)
		return -errno;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->bell.fd, &ev) < 0 ? -errno : 0;
}

static void worker_close(struct vio_worker *w)
{
	if (w->started) {
		vio_store(&w->stop, true);
		ring_bell(w);
		pthread_join(w->thread, NULL);
	}
	vio_device_scratch_destroy(w->scratch);
	if (w->bell.fd >= 0)
		close(w->bell.fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	pthread_cond_destroy(&w->done);
	pthread_mutex_destroy(&w->lock);
}

/* Starts the thread, on @cpu alone when that is none of -1. */
static int start_thread(struct vio_worker *w, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t *cpus;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return ret;
	cpus = cpu < 0 ? NULL : CPU_ALLOC((size_t)cpu + 1);
	if (cpus) {
		size_t size = CPU_ALLOC_SIZE((size_t)cpu + 1);

		CPU_ZERO_S(size, cpus);
		CPU_SET_S((size_t)cpu, size, cpus);
		ret = pthread_attr_setaffinity_np(&attr, size, cpus);
		CPU_FREE(cpus);
	} else if (cpu >= 0) {
		ret = ENOMEM;
	}
	if (!ret)
		ret = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	return ret;
}

static int worker_open(struct vio_worker *w, int cpu)
{
	sigset_t all, old;
	int ret;

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->done, NULL);
	w->bell.fd = -1;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	ret = bell_open(w);
	if (ret)
		return ret;
	w->scratch = vio_device_scratch_create(w->set->host);
	if (!w->scratch)
		return -ENOMEM;
	/* Signals are the control thread's, but for those that a fault raises in place. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = start_thread(w, cpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = ret == 0;
	return -ret;
}

static void explain(struct vio_error *err, unsigned i, int cpu, int ret)
{
	if (cpu >= 0 && ret == -EINVAL)
		vio_error_set(err, "cpus: %d: worker %u can't run there", cpu, i);
	else
		vio_error_set(err, "worker %u: can't be started (error %d)", i, -ret);
}

int vio_workers_create(const struct vio_host *host, const struct vio_workers_conf *conf,
		       struct vio_workers **out, struct vio_error *err)
{
	struct vio_workers *set;
	size_t size;
	unsigned i;
	int cpu, ret;

	if (conf->count < 1 || conf->count > MAX_WORKERS) {
		vio_error_set(err, "workers: %u: must be between 1 and %u", conf->count,
			      MAX_WORKERS);
		return -EINVAL;
	}
	size = sizeof(*set) + sizeof(set->workers[0]) * conf->count;
	set = host->alloc(host->ctx, size, VIO_CACHE_LINE);
	if (!set)
		return -ENOMEM;
	set->host = host;
	set->size = size;
	set->busy_poll_ns = (uint64_t)conf->busy_poll_us * 1000;
	for (i = 0; i < conf->count; i++) {
		set->workers[i].set = set;
		set->count = i + 1;
		cpu = conf->num_cpus ? conf->cpus[i % conf->num_cpus] : -1;
		ret = worker_open(&set->workers[i], cpu);
		if (ret) {
			explain(err, i, cpu, ret);
			vio_workers_destroy(set);
			return ret;
		}
	}
	*out = set;
	return 0;
}

void vio_workers_destroy(struct vio_workers *set)
{
	unsigned i;

	if (!set)
		return;
	for (i = 0; i < set->count; i++)
		worker_close(&set->workers[i]);
	set->host->free(set->host->ctx, set, set->size);
}

struct vio_worker *vio_workers_pick(struct vio_workers *set, unsigned port_number, unsigned index,
				    bool one_thread)
{
	return &set->workers[(port_number + (one_thread ? 0 : index)) % set->count];
}

unsigned vio_workers_next_port(struct vio_workers *set)
{
	return set->ports++;
}

static void run_and_wait(struct vio_worker *w, struct worker_job *job)
{
	pthread_mutex_lock(&w->lock);
	vio_store(&w->job, job);
	pthread_mutex_unlock(&w->lock);
	ring_bell(w);
	pthread_mutex_lock(&w->lock);
	while (!job->done)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void vio_worker_call(struct vio_worker *w, void (*fn)(void *arg), void *arg)
{
	struct worker_job job = { .fn = fn, .arg = arg };

	run_and_wait(w, &job);
}

void vio_worker_change(struct vio_pair_run *pair, void (*fn)(void *arg), void *arg)
{
	struct worker_job job = { .pair = pair, .fn = fn, .arg = arg };

	run_and_wait(pair->worker, &job);
}

void vio_worker_attach(struct vio_pair_run *pair)
{
	pair->all = pair->worker->pairs;
	pair->worker->pairs = pair;
}

void vio_worker_detach(struct vio_pair_run *pair)
{
	struct vio_pair_run **link;
	unsigned i;

	for (i = 0; i < VIO_WAKE_NR; i++)
		vio_worker_watch(pair, (enum vio_wake)i, -1, 0);
	for (link = &pair->worker->active; *link; link = &(*link)->next)
		if (*link == pair) {
			*link = pair->next;
			break;
		}
	for (link = &pair->worker->pairs; *link; link = &(*link)->all)
		if (*link == pair) {
			*link = pair->all;
			break;
		}
	pair->active = false;
}

void vio_worker_watch(struct vio_pair_run *pair, enum vio_wake which, int fd, uint32_t events)
{
	struct vio_wake_source *source = &pair->wake[which];
	struct epoll_event ev = { .events = events, .data.ptr = source };
	int epoll_fd = pair->worker->epoll_fd;

	if (source->fd == fd && source->events == events)
		return;
	if (source->fd >= 0 && source->fd != fd)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	if (fd >= 0 &&
	    epoll_ctl(epoll_fd, source->fd == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
		vio_log(pair->worker->set->host, VIO_LOG_ERROR,
			"queue pair %u can't be woken by descriptor %d: %s", pair->index, fd,
			strerror(errno));
	source->pair = pair;
	source->fd = fd;
	source->events = events;
}

void vio_worker_look(struct vio_pair_run *pair)
{
	/* Pairs with the acquire in answer_bell(). */
	vio_store_release(&pair->look, true);
	ring_bell(pair->worker);
}
