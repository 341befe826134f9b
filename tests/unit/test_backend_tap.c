/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap, against the kernel, in a network namespace of the test's own. What the kernel sees is watched
 * and made with a packet socket on the interface. Skipped (77) where no namespace or tap can be had.
 */
#include "test_backend_tap.h"

static bool kernel_busy;

/* In the C library's place: a kernel that has no room for frames can't be had otherwise. */
ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (kernel_busy) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_writev, fd, iov, count);
}

static void creates_and_configures(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0,mtu=4000", 1);
	char text[64];

	(void)state;
	assert_true(interface_flags("t0") & IFF_UP);
	assert_int_equal(interface_mtu("t0"), 4000);
	be->ops->describe(be, text, sizeof(text));
	assert_string_equal(text, "tap t0");
	vio_backend_close(be);
	assert_int_equal(if_nametoindex("t0"), 0);

	be = open_backend("tap,up=off", 1);
	assert_false(interface_flags("vio0") & IFF_UP);
	vio_backend_close(be);
}

static uint32_t both_ways_len(unsigned i)
{
	return 60 + i * 14;
}

static void passes_frames_both_ways(void **state)
{
	struct pollfd pfd = { .events = POLLIN };
	uint8_t bytes[1514], got[2000];
	struct tap t;

	(void)state;
	tap_open(&t, 200, 2048, false);
	pfd.fd = t.fd;
	for (unsigned i = 0; i < 100; i++) {
		uint32_t len = both_ways_len(i);
		struct sent_frame s;

		numbered_frame(bytes, len, i);
		sent_init(&s, bytes, len, 1 + i % 8);
		if (i % 3 == 0)
			sent_pad(&s, 50);
		assert_int_equal(t.be->ops->send(t.be, 0, &s.frame, 1), 1);
		assert_int_equal(poll(&pfd, 1, 10000), 1);
		assert_int_equal(recv(t.fd, got, sizeof(got), 0), len);
		assert_memory_equal(got, bytes, len);
		sent_exit(&s);
		kernel_sends(t.fd, len, i);
	}
	receive_until(t.be, 0, &t.g, 100);
	expect_received(&t.g, 100, both_ways_len);
	assert_int_equal(t.be->ops->receive(t.be, 0, 64), 0);
	pfd.fd = t.be->ops->fd(t.be, 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	t.be->ops->stop(t.be);
	tap_close(&t);
}

static uint32_t few_at_a_time_len(unsigned i)
{
	return 60 + i * 7;
}

static void few_at_a_time(struct tap *t, unsigned round)
{
	t->be->ops->receive(t->be, 0, 1 + round % 9);
	t->g.buffers += round % 5;
}

/* Buffers of many sizes, few at a time: each frame comes once, whole, in order. */
static void loses_and_repeats_nothing(void **state)
{
	static const uint32_t buffers[] = { 64, 100, 1526, 2048 };

	(void)state;
	for (unsigned i = 0; i < vio_array_size(buffers); i++)
		receive_in_rounds(buffers[i], 200, few_at_a_time_len, few_at_a_time);
}

/* A frame that no buffer can hold is dropped and counted; the next one comes. */
static void drops_what_never_fits(void **state)
{
	struct tap t;

	(void)state;
	tap_open(&t, 10, 500, false);
	kernel_sends(t.fd, 1000, 1);
	kernel_sends(t.fd, 400, 2);
	receive_until(t.be, 0, &t.g, 1);
	assert_int_equal(t.g.got[0].len, 400);
	assert_int_equal(t.g.drops[VIO_DROP_TOO_BIG], 1);
	tap_close(&t);
}

/* From guest to kernel with its header: the kernel sees one large packet, still to be cut. */
static void passes_large_frames_out(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", ETH_P_IP, true);
	struct pollfd pfd = { fd, POLLIN, 0 };
	struct netframe *f = malloc(sizeof(*f));
	uint8_t *got = malloc(70000);
	struct vio_net_meta meta;
	struct sent_frame s;

	(void)state;
	build_large(f, VIO_NET_HDR_GSO_TCPV4, 40000);
	sent_init(&s, f->bytes, f->len, 4);
	s.frame.meta = f->meta;
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(recv(fd, got, 70000, 0), f->len + 10);
	vio_net_hdr_decode(got, 10, false, &meta);
	assert_int_equal(meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(meta.gso_size, 1400);
	assert_int_equal(meta.flags & VIO_NET_HDR_F_NEEDS_CSUM, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_memory_equal(got + 10, f->bytes, f->len);
	close(fd);
	vio_backend_close(be);
	sent_exit(&s);
	free(got);
	free(f);
}

static void receive_until_dropped(struct vio_backend *be, struct guest *g)
{
	struct pollfd pfd = { be->ops->fd(be, 0), POLLIN, 0 };

	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(be->ops->receive(be, 0, 1), 1);
	assert_int_equal(g->drops[VIO_DROP_BAD_GSO], 1);
	assert_int_equal(g->num_got, 0);
}

/*
 * From kernel to guest: whole when the guest accepts it, though the room reserved was for a small
 * frame, and with buffers coming late; as segments when it does not.
 */
static void passes_large_frames_in(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", ETH_P_IP, true);
	struct netframe *f = malloc(sizeof(*f));
	uint8_t *segment = malloc(NETFRAME_MAX);
	struct guest g;

	(void)state;
	build_large(f, VIO_NET_HDR_GSO_TCPV4, 40000);
	guest_init(&g, 1, 2000, true);
	start_one(be, &g);
	assert_int_equal(be->ops->set_rx_offloads(be, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4), 0);
	for (unsigned i = 0; i < 5; i++)
		kernel_sends_large(fd, f);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(be->ops->receive(be, 0, 64), 0);
		g.buffers++;
	}
	assert_int_equal(be->ops->receive(be, 0, 64), 1);
	g.buffers = 200;
	receive_until(be, 0, &g, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(g.got[i].len, f->len);
		assert_memory_equal(g.got[i].bytes, f->bytes, f->len);
		assert_int_equal(g.got[i].meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(g.got[i].meta.gso_size, 1400);
		assert_int_equal(g.got[i].meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(g.got[i].meta.csum_start, f->l4);
		assert_int_equal(g.got[i].meta.csum_offset, 16);
	}
	guest_forget(&g);
	/* Queued as a large frame when the guest stops taking those: not given to it. */
	kernel_sends_large(fd, f);
	assert_int_equal(be->ops->set_rx_offloads(be, 0), 0);
	receive_until_dropped(be, &g);
	kernel_sends_large(fd, f);
	receive_until(be, 0, &g, 29); /* 40000 / 1400 */
	for (unsigned i = 0; i < 29; i++) {
		assert_int_equal(g.got[i].len, netframe_segment(f, i, segment));
		assert_memory_equal(g.got[i].bytes, segment, g.got[i].len);
		assert_int_equal(g.got[i].meta.gso_type, 0);
		assert_int_equal(g.got[i].meta.flags & VIO_NET_HDR_F_NEEDS_CSUM, 0);
	}
	close(fd);
	vio_backend_close(be);
	guest_exit(&g);
	free(segment);
	free(f);
}

/* A tap t0, and a guest that has one frame to send, again and again. */
struct sender {
	struct vio_backend *be;
	struct pollfd pfd; /* of the back end */
	struct sent_frame s;
	struct guest g;
};

static void sender_open(struct sender *x)
{
	uint8_t bytes[100];

	x->be = open_backend("tap,name=t0", 1);
	x->pfd = (struct pollfd){ x->be->ops->fd(x->be, 0), POLLIN, 0 };
	numbered_frame(bytes, sizeof(bytes), 1);
	sent_init(&x->s, bytes, sizeof(bytes), 1);
	guest_init(&x->g, 10, 2048, false);
	start_one(x->be, &x->g);
}

static void sender_close(struct sender *x)
{
	vio_backend_close(x->be);
	guest_exit(&x->g);
	sent_exit(&x->s);
}

/* HOSTILE 30: the interface is down. Frames are refused one by one; up again, all is well. */
static void outlives_link_down(void **state)
{
	struct sender x;
	int fd;

	(void)state;
	sender_open(&x);
	set_up("t0", false);
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), -EIO);
	assert_int_equal(x.be->ops->receive(x.be, 0, 64), 0);
	assert_int_equal(poll(&x.pfd, 1, 0), 0);
	set_up("t0", true);
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), 1);
	fd = packet_socket("t0", PROTOCOL, false);
	kernel_sends(fd, 80, 5);
	receive_until(x.be, 0, &x.g, 1);
	close(fd);
	sender_close(&x);
}

/* The descriptor tells when the kernel has room again, and only to who still has frames to send. */
static void waits_for_a_busy_kernel(void **state)
{
	struct sender x;

	(void)state;
	sender_open(&x);
	for (unsigned i = 0; i < 3; i++) {
		kernel_busy = true;
		assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), 0);
		kernel_busy = false;
		assert_false(x.be->ops->arm(x.be, 0));
		assert_int_equal(poll(&x.pfd, 1, 10000), 1);
	}
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), 1);
	assert_false(x.be->ops->arm(x.be, 0));
	assert_int_equal(poll(&x.pfd, 1, 0), 0);

	/* The guest stops its queue, and what waited is not offered again. */
	kernel_busy = true;
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), 0);
	kernel_busy = false;
	assert_false(x.be->ops->arm(x.be, 0));
	assert_int_equal(poll(&x.pfd, 1, 10000), 1);
	assert_int_equal(x.be->ops->receive(x.be, 0, 64), 0);
	assert_false(x.be->ops->arm(x.be, 0));
	assert_int_equal(poll(&x.pfd, 1, 0), 0);
	sender_close(&x);
}

/* HOSTILE 19: the kernel finds guest memory gone, which raises no signal: it is noticed all the same. */
static void notices_lost_memory(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int memory = memfd_create("guest", MFD_CLOEXEC);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct vio_iov iov[3] = { { 0 } };
	struct vio_frame frame = { .iov = &iov[1], .iovcnt = 2, .len = 100 };
	struct vio_map *map;
	struct guest g;

	(void)state;
	guest_init(&g, 10, 2048, false);
	start_one(be, &g);
	assert_int_equal(ftruncate(memory, (off_t)(2 * page)), 0);
	assert_int_equal(vio_map_create(memory, 0, 2 * page, &map, NULL), 0);
	iov[1] = (struct vio_iov){ vio_map_ptr(map), 60 };
	iov[2] = (struct vio_iov){ (char *)vio_map_ptr(map) + page, 40 };
	assert_int_equal(be->ops->send(be, 0, &frame, 1), 1);
	assert_int_equal(ftruncate(memory, (off_t)page), 0);
	assert_int_equal(be->ops->send(be, 0, &frame, 1), -EFAULT);
	assert_true(vio_map_gone(map));
	vio_backend_close(be);
	vio_map_put(map);
	close(memory);
	guest_exit(&g);
}

/* HOSTILE 30: the interface is deleted. The worker learns it once and is not woken for it again. */
static void outlives_deletion(void **state)
{
	struct sender x;

	(void)state;
	sender_open(&x);
	assert_int_equal(system("ip link del t0"), 0);
	assert_int_equal(poll(&x.pfd, 1, 10000), 1);
	assert_int_equal(x.be->ops->receive(x.be, 0, 64), -ENETDOWN);
	assert_int_equal(poll(&x.pfd, 1, 0), 0);
	assert_int_equal(x.be->ops->receive(x.be, 0, 64), -ENETDOWN);
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), -ENETDOWN);
	assert_int_equal(x.g.buffers, 10);
	vio_backend_close(x.be);

	/* The same, noticed by sending. */
	x.be = open_backend("tap,name=t0", 1);
	start_one(x.be, &x.g);
	assert_int_equal(system("ip link del t0"), 0);
	assert_int_equal(x.be->ops->send(x.be, 0, &x.s.frame, 1), -EBADFD);
	x.pfd.fd = x.be->ops->fd(x.be, 0);
	assert_int_equal(poll(&x.pfd, 1, 0), 0);
	sender_close(&x);
}

/* Has the kernel spread many flows over the queues. Whether one besides the first got frames. */
static bool fill_queues(struct vio_backend *be)
{
	int fd = packet_socket("t0", ETH_P_IP, false);
	struct netframe *f = malloc(sizeof(*f));
	struct netframe_spec spec = { .udp = true, .payload = 20 };
	uint64_t seed = 77;
	bool spread = false;

	for (unsigned i = 0; i < 64; i++) {
		netframe_build(f, &spec, &seed);
		vio_put_be16(f->bytes + f->l4, (uint16_t)(1000 + i));
		assert_int_equal(send(fd, f->bytes, f->len, 0), f->len);
	}
	for (unsigned i = 1; i < 4; i++) {
		struct pollfd pfd = { be->ops->fd(be, i), POLLIN, 0 };

		spread |= poll(&pfd, 1, 0) == 1;
	}
	close(fd);
	free(f);
	return spread;
}

/* All queues carry; those not in use are silent, even with frames left in them. */
static void attaches_queues(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 4);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct vio_sink *sinks[4];
	struct pollfd pfd = { .events = POLLIN };
	struct guest g[4];
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		guest_init(&g[i], 200, 2048, false);
		sinks[i] = &g[i].sink;
	}
	assert_int_equal(be->caps.max_pairs, 4);
	assert_int_equal(be->ops->start(be, sinks, 4), 0);
	assert_int_equal(be->ops->set_pairs(be, 5), -EINVAL);
	assert_int_equal(be->ops->set_pairs(be, 0), -EINVAL);
	assert_int_equal(be->ops->set_pairs(be, 1), 0);
	for (unsigned i = 0; i < 50; i++)
		kernel_sends(fd, 60 + i, i);
	receive_until(be, 0, &g[0], 50);
	for (unsigned i = 1; i < 4; i++) {
		pfd.fd = be->ops->fd(be, i);
		assert_int_equal(poll(&pfd, 1, 0), 0);
		assert_int_equal(be->ops->receive(be, i, 64), 0);
	}
	assert_int_equal(be->ops->set_pairs(be, 4), 0);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t bytes[60];
		struct sent_frame s;

		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&s, bytes, sizeof(bytes), 1);
		assert_int_equal(be->ops->send(be, i, &s.frame, 1), 1);
		sent_exit(&s);
	}
	for (unsigned i = 0; i < 50; i++)
		kernel_sends(fd, 60 + i, i);
	for (unsigned i = 0; got < 50; i = (i + 1) % 4)
		got += (unsigned)be->ops->receive(be, i, 64);
	assert_int_equal(got, 50);
	close(fd);
	assert_true(fill_queues(be));
	assert_int_equal(be->ops->set_pairs(be, 1), 0);
	for (unsigned i = 1; i < 4; i++) {
		pfd.fd = be->ops->fd(be, i);
		assert_int_equal(poll(&pfd, 1, 0), 0);
	}
	vio_backend_close(be);
	for (unsigned i = 0; i < 4; i++)
		guest_exit(&g[i]);
}

static int open_tap(int flags)
{
	struct ifreq ifr = { .ifr_flags = (short)flags };
	int fd = open("/dev/net/tun", O_RDWR);

	strcpy(ifr.ifr_name, "given");
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void takes_descriptors(void **state)
{
	struct vio_backend *be;
	struct guest g;
	char spec[64], message[160];
	int fd, pair[2], pipe_fd[2];

	(void)state;
	fd = open_tap(IFF_TAP | IFF_NO_PI);
	snprintf(spec, sizeof(spec), "tap,fd=%d", fd);
	snprintf(message, sizeof(message),
		 "tap: fd=%d (given): opened without IFF_VNET_HDR, expected IFF_TAP | IFF_NO_PI | "
		 "IFF_VNET_HDR",
		 fd);
	refuse(spec, 1, message);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* still the caller's */
	close(fd);

	assert_int_equal(pipe(pipe_fd), 0);
	snprintf(spec, sizeof(spec), "tap,fd=%d", pipe_fd[0]);
	snprintf(message, sizeof(message),
		 "tap: fd=%d: not a tap descriptor (Inappropriate ioctl for device)", pipe_fd[0]);
	refuse(spec, 1, message);
	close(pipe_fd[0]);
	close(pipe_fd[1]);

	pair[0] = open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	pair[1] = open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	snprintf(spec, sizeof(spec), "tap,up=on,fd=%d:%d", pair[0], pair[1]);
	be = open_backend(spec, 2);
	fd = packet_socket("given", PROTOCOL, false);
	guest_init(&g, 10, 2048, false);
	start_one(be, &g);
	assert_int_equal(be->ops->set_pairs(be, 1), 0);
	kernel_sends(fd, 77, 1);
	receive_until(be, 0, &g, 1);
	assert_int_equal(g.got[0].len, 77);
	close(fd);
	vio_backend_close(be);
	assert_int_equal(fcntl(pair[0], F_GETFD), -1);
	guest_exit(&g);
}

/* One that was taken and then could not be brought up is still the caller's. */
static void gives_descriptors_back(void **state)
{
	int fd = open_tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), status;
	struct vio_error err = { "" };
	char spec[64];
	pid_t child;

	(void)state;
	snprintf(spec, sizeof(spec), "tap,up=on,fd=%d", fd);
	child = fork();
	if (child == 0) {
		if (setuid(65534) < 0)
			_exit(0);
		if (open_quiet(spec, 1, &err) != NULL ||
		    strcmp(err.msg, "tap: can't bring up given: Operation not permitted") != 0)
			_exit(1);
		_exit(fcntl(fd, F_GETFD) >= 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(fd);
}

static void says_who_may_not(void **state)
{
	struct vio_error err = { "" };
	struct vio_backend *be;
	int status;
	pid_t child;

	(void)state;
	be = open_backend("tap,name=t0", 1);
	assert_null(open_quiet("tap,name=t0", 1, &err));
	assert_string_equal(err.msg, "tap: can't open t0: another program has it");
	assert_null(open_quiet("tap,name=t0", 2, &err));
	assert_string_equal(err.msg,
			    "tap: can't open t0: it exists and is not a tap with multi_queue");
	assert_null(open_quiet("tap,name=lo", 1, &err));
	assert_string_equal(err.msg,
			    "tap: can't open lo: it exists and is not a tap with a single queue");
	vio_backend_close(be);

	child = fork();
	if (child == 0) {
		struct vio_error mine = { "" };

		if (setuid(65534) < 0)
			_exit(0);
		if (open_quiet("tap,name=t1", 1, &mine) != NULL)
			_exit(1);
		_exit(strcmp(mine.msg,
			     "tap: may not open t1: needs CAP_NET_ADMIN, or a tap made beforehand "
			     "(ip tuntap add t1 mode tap user NAME), or fd=") == 0 ?
			      0 :
			      2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Frames in more pieces than one system call takes. */
static void sends_frames_of_many_pieces(void **state)
{
	struct vio_backend *be = open_backend("tap,name=t0", 1);
	int fd = packet_socket("t0", PROTOCOL, false);
	struct pollfd pfd = { fd, POLLIN, 0 };
	struct vio_iov *iov = calloc(1501, sizeof(*iov));
	uint8_t bytes[1500], got[1600];
	struct vio_frame frame = { .iov = iov + 1, .iovcnt = 1500, .len = 1500 };

	(void)state;
	numbered_frame(bytes, sizeof(bytes), 3);
	for (unsigned i = 0; i < 1500; i++)
		iov[1 + i] = (struct vio_iov){ bytes + i, 1 };
	assert_int_equal(be->ops->send(be, 0, &frame, 1), 1);
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 1500);
	assert_memory_equal(got, bytes, 1500);
	close(fd);
	vio_backend_close(be);
	free(iov);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(creates_and_configures),
		cmocka_unit_test(passes_frames_both_ways),
		cmocka_unit_test(loses_and_repeats_nothing),
		cmocka_unit_test(drops_what_never_fits),
		cmocka_unit_test(passes_large_frames_out),
		cmocka_unit_test(passes_large_frames_in),
		cmocka_unit_test(outlives_link_down),
		cmocka_unit_test(waits_for_a_busy_kernel),
		cmocka_unit_test(notices_lost_memory),
		cmocka_unit_test(outlives_deletion),
		cmocka_unit_test(attaches_queues),
		cmocka_unit_test(takes_descriptors),
		cmocka_unit_test(gives_descriptors_back),
		cmocka_unit_test(says_who_may_not),
		cmocka_unit_test(sends_frames_of_many_pieces),
	};
	const char *why = enter_namespace();

	if (why != NULL) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
