/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user with several queue pairs: which one a flow's frames come on, and what becomes of those that
 * wait when the guest sends on another pair, or uses fewer; and what a port keeps when it sleeps.
 */
#include "test_backend_user_net.h"

#include "backend/user.h"

/* ------------------------------------------------------------------------------------------
 * Flows of datagrams between the guest and a socket of this process
 */
#define FLOWS	  16
#define FLOW_PORT 5000
#define DATAGRAM  1000

struct flows {
	struct net net;
	int fd;
	uint16_t port;
	struct sockaddr_in peer[FLOWS]; /* where the far side of each flow comes from */
	uint32_t sent[FLOWS];		/* to the guest */
	uint32_t got[FLOWS];		/* by the guest, in order */
	unsigned last_pair[FLOWS];	/* that the last one came on */
};

/* Lets the back end do all that there is to do. */
static void net_settle(struct net *n)
{
	bool work;

	do {
		work = false;
		for (unsigned i = 0; i < n->pairs; i++)
			work |= n->be->ops->receive(n->be, i, 64) != 0;
		for (unsigned i = 0; i < n->pairs && !work; i++)
			work = n->be->ops->arm(n->be, i);
	} while (work || net_poll(n, -1, 0) > 0);
}

static void flow_send(struct flows *f, unsigned flow, unsigned pair)
{
	uint8_t *udp = out + 34;

	vio_put_be16(udp, (uint16_t)(FLOW_PORT + flow));
	vio_put_be16(udp + 2, f->port);
	vio_put_be16(udp + 4, 12);
	memcpy(udp + 8, "ping", 4);
	net_send(&f->net, pair, put_ip(17, GUEST_IP, HOST_IP, 12, 6));
}

/* The guest sends on @pair, which is where the flow then is, if nothing waits. */
static void flow_open(struct flows *f, unsigned flow, unsigned pair)
{
	socklen_t len = sizeof(f->peer[flow]);
	char ping[16];

	flow_send(f, flow, pair);
	net_settle(&f->net);
	assert_int_equal(
		recvfrom(f->fd, ping, sizeof(ping), 0, (struct sockaddr *)&f->peer[flow], &len), 4);
}

static void flows_open(struct flows *f)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	memset(f, 0, sizeof(*f));
	net_open(&f->net, "user,ipv6=off", 4);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &len), 0);
	f->port = ntohs(at.sin_port);
	announce(&f->net, 0);
	for (unsigned i = 0; i < FLOWS; i++)
		flow_open(f, i, i % 4);
}

static void flows_close(struct flows *f)
{
	close(f->fd);
	net_close(&f->net);
}

static void answer(struct flows *f, unsigned flow, unsigned n)
{
	uint8_t bytes[DATAGRAM] = { 0 };

	while (n-- > 0) {
		vio_put_be32(bytes, f->sent[flow]++);
		assert_int_equal(sendto(f->fd, bytes, sizeof(bytes), 0,
					(struct sockaddr *)&f->peer[flow], sizeof(f->peer[flow])),
				 DATAGRAM);
		net_settle(&f->net);
	}
}

/* Looks at what has come: each flow's in order, and on pairs below @pairs only. */
static void flows_check(struct flows *f, unsigned pairs)
{
	for (unsigned pair = 0; pair < 4; pair++)
		while (f->net.seen[pair] < f->net.g[pair].num_got) {
			struct got_frame *got = &f->net.g[pair].got[f->net.seen[pair]++];
			unsigned flow;

			if (vio_get_be16(got->bytes + 12) != 0x0800 || got->bytes[23] != 17)
				continue;
			flow = vio_get_be16(got->bytes + 36) - FLOW_PORT;
			assert_in_range(flow, 0, FLOWS - 1);
			assert_true(pair < pairs);
			assert_int_equal(vio_get_be32(got->bytes + 42), f->got[flow]);
			f->got[flow]++;
			f->last_pair[flow] = pair;
		}
}

/* A flow follows the guest to another pair, but not past frames that wait for the old one. */
static void a_flow_changes_its_pair_when_nothing_waits(void **state)
{
	struct flows f;

	(void)state;
	flows_open(&f);
	answer(&f, 3, 1);
	flows_check(&f, 4);
	assert_int_equal(f.last_pair[3], 3);
	f.net.g[3].buffers = 0;
	answer(&f, 3, 3);
	flow_open(&f, 3, 1);
	answer(&f, 3, 2);
	flows_check(&f, 4);
	assert_int_equal(f.got[3], 1);
	f.net.g[3].buffers = GUEST_QUEUE;
	net_settle(&f.net);
	flows_check(&f, 4);
	assert_int_equal(f.got[3], 6);
	assert_int_equal(f.last_pair[3], 3);
	flow_open(&f, 3, 1);
	answer(&f, 3, 1);
	flows_check(&f, 4);
	assert_int_equal(f.got[3], 7);
	assert_int_equal(f.last_pair[3], 1);
	flows_close(&f);
}

/* What waits for pairs that are taken out of use comes on the others, all of it and in order. */
static void nothing_is_lost_with_a_pair(void **state)
{
	struct flows f;

	(void)state;
	flows_open(&f);
	for (unsigned pair = 1; pair < 4; pair++)
		f.net.g[pair].buffers = 0;
	for (unsigned i = 0; i < FLOWS; i++)
		answer(&f, i, 20);
	flows_check(&f, 4);
	assert_int_equal(f.got[0], 20);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(f.got[i], 0);
	assert_int_equal(f.net.be->ops->set_pairs(f.net.be, 2), 0);
	for (unsigned i = 0; i < FLOWS; i++)
		answer(&f, i, 1); /* behind those */
	for (unsigned pair = 1; pair < 4; pair++)
		f.net.g[pair].buffers = GUEST_QUEUE;
	net_settle(&f.net);
	/* More pairs again: flows stay where frames wait, and move when the guest sends. */
	f.net.g[0].buffers = 0;
	f.net.g[1].buffers = 0;
	for (unsigned i = 0; i < FLOWS; i++)
		answer(&f, i, 1);
	assert_int_equal(f.net.be->ops->set_pairs(f.net.be, 4), 0);
	for (unsigned i = 0; i < FLOWS; i++)
		answer(&f, i, 1);
	f.net.g[0].buffers = GUEST_QUEUE;
	f.net.g[1].buffers = GUEST_QUEUE;
	net_settle(&f.net);
	flows_check(&f, 2);
	for (unsigned i = 0; i < FLOWS; i++) {
		assert_int_equal(f.got[i], 23);
		flow_open(&f, i, 3 - i % 4);
		answer(&f, i, 1);
		flows_check(&f, 4);
		assert_int_equal(f.got[i], 24);
		assert_int_equal(f.last_pair[i], 3 - i % 4);
	}
	for (unsigned pair = 0; pair < 4; pair++)
		assert_int_equal(f.net.g[pair].drops[VIO_DROP_NO_BUFFER], 0);
	flows_close(&f);
}

/* ------------------------------------------------------------------------------------------
 * A worker, as a port has one: pairs sleep until their descriptors wake them, and those that can't
 * receive, because their ring is stopped, are neither asked for frames nor woken.
 */
struct worker {
	struct flows f;
	bool open[4];	/* can receive */
	bool awake[4];	/* to be served */
	unsigned wakes; /* pairs that were woken */
};

static bool wake(struct worker *w, int ms)
{
	struct pollfd fds[4];
	int n;

	for (unsigned i = 0; i < 4; i++)
		fds[i] = (struct pollfd){ w->open[i] ? w->f.net.be->ops->fd(w->f.net.be, i) : -1,
					  POLLIN, 0 };
	n = poll(fds, 4, ms);
	for (unsigned i = 0; i < 4; i++)
		w->awake[i] |= fds[i].revents != 0;
	w->wakes += (unsigned)n;
	return n > 0;
}

/* Serves who is awake until all sleep. */
static void work(struct worker *w)
{
	struct vio_backend *be = w->f.net.be;
	bool any;

	do {
		any = false;
		for (unsigned i = 0; i < 4; i++) {
			bool ready;

			if (!w->awake[i])
				continue;
			if (w->open[i] && be->ops->receive(be, i, 64) > 0) {
				any = true;
				continue;
			}
			ready = be->ops->arm(be, i);
			w->awake[i] = ready && w->open[i];
			any |= w->awake[i];
		}
	} while (any || wake(w, 0));
}

/* Ring @pair is stopped or started; nobody tells the back end of that, but the pair is looked at. */
static void set_open(struct worker *w, unsigned pair, bool open, bool look)
{
	w->open[pair] = open;
	w->awake[pair] |= look;
	work(w);
}

static void worker_open(struct worker *w)
{
	memset(w, 0, sizeof(*w));
	flows_open(&w->f);
	for (unsigned i = 0; i < 4; i++)
		set_open(w, i, true, true);
}

/* A datagram for @flow comes without help of the pairs that can't receive. Who was woken for it: one
 * that looks, and one that it is for. */
static void expect_datagram(struct worker *w, unsigned flow)
{
	uint32_t before = w->f.got[flow];
	uint8_t bytes[DATAGRAM] = { 0 };

	assert_false(wake(w, 0));
	w->wakes = 0;
	vio_put_be32(bytes, w->f.sent[flow]++);
	assert_int_equal(sendto(w->f.fd, bytes, sizeof(bytes), 0,
				(struct sockaddr *)&w->f.peer[flow], sizeof(w->f.peer[flow])),
			 DATAGRAM);
	do {
		assert_true(wake(w, 20000));
		work(w);
		flows_check(&w->f, 4);
	} while (w->f.got[flow] == before);
	assert_int_equal(w->f.got[flow], before + 1);
}

/* Which pairs are stopped, in whatever order and whether or not they are looked at then, is nothing to
 * the others. */
static void a_stopped_pair_stops_no_other(void **state)
{
	struct worker w;

	(void)state;
	worker_open(&w);
	for (unsigned i = 0; i < 4; i++) {
		expect_datagram(&w, i);
		assert_in_range(w.wakes, 1, 2);
	}
	for (unsigned stopped = 1; stopped < 15; stopped++) {
		for (unsigned i = 0; i < 4; i++)
			set_open(&w, i, !(stopped >> i & 1), stopped % 3 == 0);
		/* One that was stopped unseen is woken once, where it still is. */
		for (unsigned i = 0; i < 4; i++)
			w.awake[i] |= !w.open[i];
		work(&w);
		for (unsigned i = 0; i < 4; i++)
			if (w.open[i]) {
				expect_datagram(&w, i);
				assert_in_range(w.wakes, 1, 2);
			}
		/* And all can receive again. */
		for (unsigned i = 0; i < 4; i++)
			set_open(&w, i, true, true);
		for (unsigned i = 0; i < 4; i++)
			expect_datagram(&w, i);
	}
	flows_close(&w.f);
}

/* Nor is one that is stopped in the midst of work, after it was asked for frames. */
static void a_pair_stopped_at_work_stops_no_other(void **state)
{
	struct worker w;

	(void)state;
	worker_open(&w);
	for (unsigned stopped = 0; stopped < 4; stopped++) {
		struct vio_backend *be = w.f.net.be;

		be->ops->receive(be, stopped, 64);
		w.open[stopped] = false;
		be->ops->deafen(be, stopped);
		w.awake[stopped] = true;
		work(&w);
		for (unsigned i = 0; i < 4; i++)
			if (i != stopped)
				expect_datagram(&w, i);
		set_open(&w, stopped, true, true);
		expect_datagram(&w, stopped);
	}
	flows_close(&w.f);
}

/* A pair that the guest gives no buffers is the same, and finds out by itself. */
static void a_starved_pair_stops_no_other(void **state)
{
	struct worker w;

	(void)state;
	worker_open(&w);
	for (unsigned starved = 0; starved < 4; starved++) {
		uint8_t bytes[DATAGRAM] = { 0 };

		w.f.net.g[starved].buffers = 0;
		vio_put_be32(bytes, w.f.sent[starved]++);
		assert_int_equal(sendto(w.f.fd, bytes, sizeof(bytes), 0,
					(struct sockaddr *)&w.f.peer[starved],
					sizeof(w.f.peer[starved])),
				 DATAGRAM);
		assert_true(wake(&w, 20000));
		work(&w);
		/* The port sees that, and listens to it no more. */
		w.open[starved] = false;
		for (unsigned i = 0; i < 4; i++)
			if (i != starved)
				expect_datagram(&w, i);
		w.f.net.g[starved].buffers = GUEST_QUEUE;
		set_open(&w, starved, true, true);
		flows_check(&w.f, 4);
		assert_int_equal(w.f.got[starved], w.f.sent[starved]);
	}
	flows_close(&w.f);
}

/* The guest sends on a pair that can't receive: what libslirp makes of it goes on all the same, whether
 * that pair sleeps in between or goes on sending. */
static void a_stopped_pair_that_sends_is_answered_on_others(void **state)
{
	struct worker w;

	(void)state;
	for (unsigned busy = 0; busy < 2; busy++) {
		worker_open(&w);
		set_open(&w, 0, false, true);
		set_open(&w, 1, false, busy != 0);
		/* A new flow, whose socket has to be listened to: the guest wants it on pair 2. */
		flow_send(&w.f, 6, 2);
		w.awake[2] = true;
		work(&w);
		for (unsigned i = 0; i < (busy ? 3 * 64 : 1); i++)
			flow_send(&w.f, 9, 1);
		w.awake[1] = !busy;
		while (wake(&w, 0))
			work(&w);
		work(&w);
		expect_datagram(&w, 6);
		expect_datagram(&w, 3);
		/* That it was not woken for its own is no loss. */
		set_open(&w, 1, true, true);
		expect_datagram(&w, 9);
		flows_close(&w.f);
	}
}

/* ------------------------------------------------------------------------------------------ */

static size_t allocated;

static void *counted_alloc(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	allocated += size;
	return vio_host_linux(VIO_LOG_ERROR)->alloc(NULL, size, align);
}

static void counted_free(void *ctx, void *p, size_t size)
{
	(void)ctx;
	allocated -= p ? size : 0;
	vio_host_linux(VIO_LOG_ERROR)->free(NULL, p, size);
}

/* What a crowd of frames needed is not kept by a port that sleeps. */
static void a_sleeping_port_is_small(void **state)
{
	struct vio_host host = *vio_host_linux(VIO_LOG_ERROR);
	struct vio_backend_config config = backend_config(1);
	struct vio_sink *sinks[1];
	struct vio_error err;
	struct net n = { .pairs = 1 };
	size_t opened;

	(void)state;
	host.alloc = counted_alloc;
	host.free = counted_free;
	config.host = &host;
	assert_int_equal(vio_backend_open("user,ipv6=off", &config, &n.be, &err), 0);
	opened = allocated;
	assert_true(opened < 32768);
	guest_init(&n.g[0], GUEST_QUEUE, 2048, false);
	sinks[0] = &n.g[0].sink;
	assert_int_equal(n.be->ops->start(n.be, sinks, 1), 0);
	n.g[0].buffers = 0;
	for (unsigned i = 0; i < 20000; i++)
		announce(&n, 0);
	assert_true(allocated > 400000);
	do
		n.g[0].buffers = GUEST_QUEUE;
	while (n.be->ops->receive(n.be, 0, 64) != 0);
	net_settle(&n);
	/* One working memory, for all ports of one thread. */
	assert_true(allocated <= opened + 8192 + sizeof(struct vio_user_work));
	net_close(&n);
	assert_int_equal(allocated, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_changes_its_pair_when_nothing_waits),
		cmocka_unit_test(nothing_is_lost_with_a_pair),
		cmocka_unit_test(a_stopped_pair_stops_no_other),
		cmocka_unit_test(a_pair_stopped_at_work_stops_no_other),
		cmocka_unit_test(a_starved_pair_stops_no_other),
		cmocka_unit_test(a_stopped_pair_that_sends_is_answered_on_others),
		cmocka_unit_test(a_sleeping_port_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
