/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap, bursts of frames against the kernel: through the ring, and one by one where the kernel gives
 * none. Nothing is lost, repeated or reordered, whatever the kernel refuses in between. Skipped (77)
 * where no namespace or tap can be had.
 */
#include "test_backend_tap.h"

#include <dlfcn.h>
#include <signal.h>

#include "backend/tap_uring.h"

#define BURST 64

static bool no_ring;	    /* the kernel forbids io_uring */
static bool ring_exhausted; /* it has no memory for what is submitted */
static bool no_locked;	    /* no memory may be locked */
static unsigned calls;	    /* system calls that carried frames */
static unsigned registered; /* times that memory was to be */
static bool not_locked;	    /* the last time */
static int operation;	    /* what the last burst began with, of IORING_OP_* */
static struct iovec pieces[8];
static int num_pieces;

#ifdef VIO_HAVE_LIBURING

/* In the library's place, to count the calls and to refuse some. */
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	static int (*real)(unsigned, struct io_uring *, struct io_uring_params *);

	if (no_ring)
		return -EPERM;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "io_uring_queue_init_params");
	return real(entries, ring, p);
}

/* What the kernel has no memory for it has been told of all the same: something else than a ring
 * is behind the descriptor for the while, which takes nothing. */
int io_uring_submit(struct io_uring *ring)
{
	static int (*real)(struct io_uring *);
	int kept, null;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "io_uring_submit");
	operation = ring->sq.sqes[ring->sq.sqe_head & *ring->sq.kring_mask].opcode;
	if (!ring_exhausted) {
		calls++;
		return real(ring);
	}
	kept = dup(ring->ring_fd);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(dup2(null, ring->ring_fd), ring->ring_fd);
	assert_true(real(ring) < 0);
	assert_int_equal(dup2(kept, ring->ring_fd), ring->ring_fd);
	close(null);
	close(kept);
	return -EAGAIN;
}

int io_uring_register_buffers(struct io_uring *ring, const struct iovec *iov, unsigned count)
{
	static int (*real)(struct io_uring *, const struct iovec *, unsigned);
	int ret;

	registered++;
	not_locked = true;
	if (no_locked)
		return -ENOMEM;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "io_uring_register_buffers");
	/* The user of the test may not be allowed to lock so much. */
	ret = real(ring, iov, count);
	not_locked = ret != 0;
	return ret;
}

#endif

/* In the C library's place, to see what they are given as well. */
static void note(const struct iovec *iov, int count)
{
	calls++;
	num_pieces = vio_min(count, (int)vio_array_size(pieces));
	memcpy(pieces, iov, (size_t)num_pieces * sizeof(*iov));
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	note(iov, count);
	return syscall(SYS_writev, fd, iov, count);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	note(iov, count);
	return syscall(SYS_readv, fd, iov, count);
}

struct out {
	struct vio_frame frames[BURST];
	struct sent_frame sent[BURST];
	uint8_t bytes[BURST][1514];
};

static uint32_t out_len(unsigned i)
{
	return i % 5 == 4 ? 300 + i * 19 : 60 + i;
}

/* Frames small and not small, in one piece or in several, some in pieces longer than the frame. */
static struct out *out_new(void)
{
	struct out *o = malloc(sizeof(*o));

	for (unsigned i = 0; i < BURST; i++) {
		struct sent_frame *s = &o->sent[i];
		uint32_t len = out_len(i);

		numbered_frame(o->bytes[i], len, i);
		sent_init(s, o->bytes[i], len, 1 + i % 3);
		if (i % 7 == 6)
			sent_pad(s, 50);
		o->frames[i] = s->frame;
	}
	return o;
}

static void out_free(struct out *o)
{
	for (unsigned i = 0; i < BURST; i++)
		sent_exit(&o->sent[i]);
	free(o);
}

/* As the device does: what is not taken is offered again, what is refused is dropped. */
static uint64_t send_all(struct vio_backend *be, struct vio_frame *frames, unsigned n)
{
	uint64_t refused = 0;

	for (unsigned done = 0; done < n;) {
		int ret = be->ops->send(be, 0, &frames[done], n - done);

		assert_int_not_equal(ret, 0);
		assert_true(ret <= (int)(n - done));
		if (ret < 0)
			refused |= 1ULL << done++;
		else
			done += (unsigned)ret;
	}
	return refused;
}

/* Expects those of @o that are not in @but, in order, and nothing else. */
static void expect(int fd, const struct out *o, uint64_t but)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	uint8_t got[2000];

	for (unsigned i = 0; i < BURST; i++) {
		if (but >> i & 1)
			continue;
		assert_int_equal(poll(&pfd, 1, 10000), 1);
		assert_int_equal(recv(fd, got, sizeof(got), 0), out_len(i));
		assert_memory_equal(got, o->bytes[i], out_len(i));
	}
	assert_int_equal(poll(&pfd, 1, 0), 0);
}

static void sends_bursts(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct out *o = out_new();

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		assert_int_equal(send_all(be, o->frames, BURST), 0);
		expect(fd, o, 0);
	}
	close(fd);
	vio_backend_close(be);
	out_free(o);
}

/* One system call for a burst, where there is a ring. */
static void sends_a_burst_in_one_call(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	struct sent_frame s[BURST];
	struct vio_frame frames[BURST];
	uint8_t bytes[60];

	(void)state;
	for (unsigned i = 0; i < BURST; i++) {
		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&s[i], bytes, sizeof(bytes), 1);
		frames[i] = s[i].frame;
	}
	calls = 0;
	assert_int_equal(be->ops->send(be, 0, frames, BURST), BURST);
	if (!no_ring && calls != 1) {
		no_ring = true; /* older than the ring that is used */
		print_message("this kernel has no io_uring, or not enough of it\n");
	}
	assert_int_equal(calls, no_ring ? BURST : 1);
	vio_backend_close(be);
	for (unsigned i = 0; i < BURST; i++)
		sent_exit(&s[i]);
}

/* The kernel refuses some frames of a burst for what their headers say: those alone are dropped. */
static void drops_what_is_refused(void **state)
{
	static const uint64_t bad[] = {
		1, 1ULL << 63, 1ULL << 20 | 7ULL << 33, 0x5555555555555555, ~0ULL, ~1ULL, ~0ULL >> 1
	};
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct out *o = out_new();

	(void)state;
	for (unsigned round = 0; round < vio_array_size(bad); round++) {
		for (unsigned i = 0; i < BURST; i++) {
			bool is_bad = bad[round] >> i & 1;

			o->frames[i].meta = (struct vio_net_meta){
				.gso_type = is_bad ? VIO_NET_HDR_GSO_TCPV4 : 0,
				.gso_size = 0,
			};
		}
		assert_int_equal(send_all(be, o->frames, BURST), bad[round]);
		expect(fd, o, bad[round]);
	}
	close(fd);
	vio_backend_close(be);
	out_free(o);
}

/* After a refusal the rest of the burst is not offered again (the queue was reset): no verdict of
 * an old frame is taken for a new one's. */
static void forgets_frames_that_do_not_return(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct out *o = out_new(), *other = out_new();

	(void)state;
	o->frames[0].meta.gso_type = VIO_NET_HDR_GSO_TCPV4;
	assert_true(be->ops->send(be, 0, o->frames, BURST) < 0);
	while (recv(fd, other->bytes[0], 1514, 0) > 0)
		continue;
	numbered_frame(other->bytes[0], out_len(0), 0);
	assert_int_equal(send_all(be, other->frames, BURST), 0);
	expect(fd, other, 0);
	close(fd);
	vio_backend_close(be);
	out_free(other);
	out_free(o);
}

/* The kernel takes nothing of a burst, for want of memory: it goes one by one. */
static void does_without_an_exhausted_ring(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct out *o = out_new();

	(void)state;
	ring_exhausted = true;
	assert_int_equal(send_all(be, o->frames, BURST), 0);
	ring_exhausted = false;
	expect(fd, o, 0);
	assert_int_equal(send_all(be, o->frames, BURST), 0);
	expect(fd, o, 0);
	close(fd);
	vio_backend_close(be);
	out_free(o);
}

/* HOSTILE 30: down, each is refused; deleted, too. */
static void refuses_bursts_without_an_interface(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	struct out *o = out_new();
	int fd;

	(void)state;
	set_up("t0", false);
	assert_int_equal(send_all(be, o->frames, BURST), ~0ULL);
	set_up("t0", true);
	fd = packet_socket("t0", PROTOCOL, false);
	assert_int_equal(send_all(be, o->frames, BURST), 0);
	expect(fd, o, 0);
	close(fd);
	assert_int_equal(system("ip link del t0"), 0);
	assert_int_equal(send_all(be, o->frames, BURST), ~0ULL);
	assert_int_equal(be->ops->send(be, 0, o->frames, BURST), -ENETDOWN);
	vio_backend_close(be);
	out_free(o);
}

/* Lengths in runs, so that bursts of all sizes come up and end in what is not small. */
static uint32_t in_len(unsigned i)
{
	return i % 61 >= 57 ? 200 + i * 2 : 60 + i % 150;
}

static void bursts_and_stops(struct tap *t, unsigned round)
{
	unsigned before = t->g.num_got;
	int ret = t->be->ops->receive(t->be, 0, 1 + round % 64);

	assert_int_equal(ret, t->g.num_got - before);
	t->g.buffers = vio_min(t->g.buffers + round % 90, (unsigned)GUEST_QUEUE);
	if (round % 10 == 0) {
		t->be->ops->stop(t->be);
		start_one(t->be, &t->g);
	}
}

/* Frames by bursts to a guest that gives few buffers, of all sizes, and stops in between. */
static void receives_bursts(void **state)
{
	static const uint32_t buffers[] = { 64, 100, 300, 2048 };

	(void)state;
	for (unsigned i = 0; i < vio_array_size(buffers); i++)
		receive_in_rounds(buffers[i], 400, in_len, bursts_and_stops);
}

/* Hundreds of small frames take far fewer calls than frames, and the end is noticed in one. */
static void receives_many_in_few_calls(void **state)
{
	struct tap t;

	(void)state;
	tap_open(&t, 250, 2048, false);
	for (unsigned i = 0; i < 200; i++)
		kernel_sends(t.fd, 60, i);
	calls = 0;
	receive_until(t.be, 0, &t.g, 200);
	if (no_ring)
		assert_true(calls >= 200);
	else
		assert_true(calls < 20);
	calls = 0;
	assert_int_equal(t.be->ops->receive(t.be, 0, 64), 0);
	assert_true(calls <= 2);
	tap_close(&t);
}

/* In a burst, too, a frame that can never fit is dropped alone. */
static void drops_alone_what_never_fits(void **state)
{
	struct tap t;

	(void)state;
	tap_open(&t, 200, 500, false);
	for (unsigned i = 0; i < 100; i++)
		kernel_sends(t.fd, i % 40 == 39 ? 1000 : 60, i);
	receive_until(t.be, 0, &t.g, 98);
	assert_int_equal(t.g.drops[VIO_DROP_TOO_BIG], 2);
	tap_close(&t);
}

#ifdef VIO_HAVE_LIBURING

/* More than shows that a ring is busy, and less than that. */
#define MANY 10000u
#define FEW  2000u

/* So many frames the one way and the other, by bursts: none is lost, and each arrives whole. */
static void send_many(struct vio_backend *be, unsigned n)
{
	int fd = packet_socket("t0", PROTOCOL, false);
	struct out *o = out_new();

	for (unsigned i = 0; i < n; i += BURST) {
		assert_int_equal(send_all(be, o->frames, BURST), 0);
		expect(fd, o, 0);
	}
	o->frames[20].meta.gso_type = VIO_NET_HDR_GSO_TCPV4;
	assert_int_equal(send_all(be, o->frames, BURST), 1ULL << 20);
	expect(fd, o, 1ULL << 20);
	close(fd);
	out_free(o);
}

static uint32_t many_len(unsigned i)
{
	return 60 + i % 190;
}

static void receive_many(struct tap *t, unsigned n)
{
	for (unsigned i = 0; i < n; i += 200) {
		t->g.buffers = 200;
		for (unsigned k = 0; k < 200; k++)
			kernel_sends(t->fd, many_len(k), k);
		receive_until(t->be, 0, &t->g, 200);
		expect_received(&t->g, 200, many_len);
		guest_forget(&t->g);
	}
}

static void expect_registered(bool yes, int plain, int fixed)
{
	if (no_ring)
		yes = false;
	assert_int_equal(registered, yes);
	if (!no_ring)
		assert_int_equal(operation, yes && !not_locked ? fixed : plain);
}

/* The memory of reads and writes is registered once there were many, not before; where memory may
 * not be locked they go on as they were. */
static void registers_memory_to_send_from(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);

	(void)state;
	registered = 0;
	send_many(be, FEW);
	expect_registered(false, IORING_OP_WRITE, IORING_OP_WRITE_FIXED);
	/* Nor while there are rests. */
	for (unsigned i = 0; i < MANY / BURST; i++) {
		be->ops->arm(be, 0);
		send_many(be, BURST);
	}
	expect_registered(false, IORING_OP_WRITE, IORING_OP_WRITE_FIXED);
	send_many(be, MANY);
	expect_registered(true, IORING_OP_WRITE, IORING_OP_WRITE_FIXED);
	vio_backend_close(be);
}

static void registers_memory_to_receive_in(void **state)
{
	struct tap t;

	(void)state;
	registered = 0;
	tap_open(&t, 0, 2048, false);
	receive_many(&t, FEW);
	expect_registered(false, IORING_OP_READ, IORING_OP_READ_FIXED);
	receive_many(&t, MANY);
	expect_registered(true, IORING_OP_READ, IORING_OP_READ_FIXED);
	tap_close(&t);
}

static void does_without_locked_memory(void **state)
{
	no_locked = true;
	registers_memory_to_send_from(state);
	registers_memory_to_receive_in(state);
	no_locked = false;
}

#endif

/* A large frame goes in one call, straight from the guest's memory. */
static void sends_large_frames_from_guest_memory(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	struct netframe *f = malloc(sizeof(*f));
	struct sent_frame s;

	(void)state;
	build_large(f, VIO_NET_HDR_GSO_TCPV4, 64000);
	sent_init(&s, f->bytes, f->len, 2);
	s.frame.meta = f->meta;
	calls = 0;
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(num_pieces, 3);
	for (unsigned i = 1; i < 3; i++) {
		assert_ptr_equal(pieces[i].iov_base, s.iov[i].base);
		assert_int_equal(pieces[i].iov_len, s.iov[i].len);
	}
	vio_backend_close(be);
	sent_exit(&s);
	free(f);
}

/* And comes in one call, straight into the guest's memory, once the first has shown its size. */
static void receives_large_frames_into_guest_memory(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", ETH_P_IP, true);
	struct netframe *f = malloc(sizeof(*f));
	struct guest g;

	(void)state;
	build_large(f, VIO_NET_HDR_GSO_TCPV4, 64000);
	guest_init(&g, 3, 70000, false);
	start_one(be, &g);
	assert_int_equal(be->ops->set_rx_offloads(be, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4), 0);
	for (unsigned i = 0; i < 3; i++)
		kernel_sends_large(fd, f);
	assert_int_equal(be->ops->receive(be, 0, 1), 1);
	calls = 0;
	assert_int_equal(be->ops->receive(be, 0, 2), 2);
	assert_int_equal(calls, 2);
	assert_int_equal(num_pieces, 3); /* header, the guest's buffer, what would not fit */
	assert_true(pieces[1].iov_len >= f->len);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(g.got[i].len, f->len);
		assert_memory_equal(g.got[i].bytes, f->bytes, f->len);
	}
	close(fd);
	vio_backend_close(be);
	guest_exit(&g);
	free(f);
}

/* A process is killed and another takes its tap at once. */
static void takes_over_from_the_killed(void **state)
{
	struct vio_backend *be;
	int started[2], status;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(started), 0);
	child = fork();
	if (child == 0) {
		be = open_backend("tap,name=t0", 1);
		if (write(started[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(started[0], &byte, 1), 1);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	be = open_backend("tap,name=t0", 1);
	vio_backend_close(be);
	assert_int_equal(if_nametoindex("t0"), 0);
	close(started[0]);
	close(started[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_a_burst_in_one_call),
		cmocka_unit_test(sends_bursts),
		cmocka_unit_test(drops_what_is_refused),
		cmocka_unit_test(forgets_frames_that_do_not_return),
		cmocka_unit_test(does_without_an_exhausted_ring),
		cmocka_unit_test(refuses_bursts_without_an_interface),
		cmocka_unit_test(receives_bursts),
		cmocka_unit_test(receives_many_in_few_calls),
		cmocka_unit_test(drops_alone_what_never_fits),
#ifdef VIO_HAVE_LIBURING
		cmocka_unit_test(registers_memory_to_send_from),
		cmocka_unit_test(registers_memory_to_receive_in),
		cmocka_unit_test(does_without_locked_memory),
#endif
		cmocka_unit_test(sends_large_frames_from_guest_memory),
		cmocka_unit_test(receives_large_frames_into_guest_memory),
		cmocka_unit_test(takes_over_from_the_killed),
	};
	const char *why = enter_namespace();
	int failed;

	if (why != NULL) {
		printf("skipped: %s\n", why);
		return 77;
	}
	failed = cmocka_run_group_tests_name("with a ring", tests, NULL, NULL);
	no_ring = true;
	return failed + cmocka_run_group_tests_name("without", tests, NULL, NULL);
}
