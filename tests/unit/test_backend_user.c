/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user: a guest made by hand gets its address, finds the gateway and talks TCP to programs on this
 * machine's loopback; nothing leaves the machine.
 */
#include "test_backend_user_net.h"

#include <fcntl.h>

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16

/* ------------------------------------------------------------------------------------------
 * A TCP connection of the guest's
 */
struct connection {
	struct net *net;
	unsigned pair;
	uint32_t peer;
	uint16_t from, to;
	uint32_t sent, got; /* sequence numbers: next to send, next expected */
	uint16_t window;
};

static void tcp_send(struct connection *c, uint8_t flags, const uint8_t *data, uint32_t len)
{
	uint8_t *tcp = out + 34;

	vio_put_be16(tcp, c->from);
	vio_put_be16(tcp + 2, c->to);
	vio_put_be32(tcp + 4, c->sent);
	vio_put_be32(tcp + 8, c->got);
	tcp[12] = 0x50;
	tcp[13] = flags;
	vio_put_be16(tcp + 14, 65535);
	vio_put_be16(tcp + 18, 0);
	if (len != 0)
		memcpy(tcp + 20, data, len);
	net_send(c->net, c->pair, put_ip(6, GUEST_IP, c->peer, 20 + len, 16));
	c->sent += len + ((flags & (SYN | FIN)) != 0);
}

/* The next segment: its flags, with what is new of its payload in *@data. */
static uint8_t tcp_next(struct connection *c, const uint8_t **data, uint32_t *len)
{
	struct got_frame *f = net_next_ip(c->net, c->pair, 6);
	const uint8_t *ip = f->bytes + 14, *tcp = ip + 20;
	uint32_t ip_len = vio_get_be16(ip + 2), head = (uint32_t)(tcp[12] >> 4) * 4;
	uint32_t sequence = vio_get_be32(tcp + 4);

	assert_int_equal(add_sum(tcp, ip_len - 20, add_sum(ip + 12, 8, 6 + ip_len - 20)), 0xffff);
	assert_true(ip_len <= 1500);
	c->window = vio_get_be16(tcp + 14);
	*data = tcp + head;
	*len = ip_len - 20 - head;
	if ((tcp[13] & SYN) == 0 && sequence != c->got)
		*len = 0; /* repeated */
	else
		c->got = sequence + *len + ((tcp[13] & (SYN | FIN)) != 0);
	return tcp[13];
}

static int listen_on(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Connects the guest to a new listener; returns the other end. */
static int tcp_connect(struct connection *c, struct net *n, unsigned pair, uint16_t from)
{
	const uint8_t *data;
	uint32_t len;
	int listener, fd;

	*c = (struct connection){ .net = n, .pair = pair, .peer = HOST_IP, .from = from };
	c->sent = 1000;
	listener = listen_on(&c->to);
	tcp_send(c, SYN, NULL, 0);
	assert_int_equal(tcp_next(c, &data, &len), SYN | ACK);
	tcp_send(c, ACK, NULL, 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static void fill_bytes(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 31 + i / 251);
}

/* ------------------------------------------------------------------------------------------ */

static void gives_an_address(void **state)
{
	static const uint8_t types[2] = { 1, 3 }; /* DISCOVER, REQUEST */
	struct net n;

	(void)state;
	net_open(&n, "user", 1);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *udp = out + 34, *bootp = udp + 8;
		struct got_frame *f;
		uint32_t at = 240;

		memset(udp, 0, 400);
		vio_put_be16(udp, 68);
		vio_put_be16(udp + 2, 67);
		vio_put_be16(udp + 4, 308);
		bootp[0] = 1;
		bootp[1] = 1;
		bootp[2] = 6;
		vio_put_be32(bootp + 4, 0x12345678);
		memcpy(bootp + 28, guest_mac, 6);
		vio_put_be32(bootp + 236, 0x63825363);
		memcpy(bootp + at, (uint8_t[]){ 53, 1, types[i] }, 3);
		if (i == 1) {
			memcpy(bootp + at + 3, (uint8_t[]){ 50, 4, 10, 0, 2, 15 }, 6);
			at += 6;
		}
		bootp[at + 3] = 255;
		put_ip(17, 0, 0xffffffff, 308, 6);
		memset(out, 0xff, 6);
		net_send(&n, 0, 34 + 308);
		f = net_next_ip(&n, 0, 17);
		assert_int_equal(vio_get_be32(f->bytes + 42 + 4), 0x12345678);
		assert_int_equal(vio_get_be32(f->bytes + 42 + 16), GUEST_IP);
		assert_memory_equal(f->bytes + 42 + 240, ((uint8_t[]){ 53, 1, i == 0 ? 2 : 5 }), 3);
	}
	net_close(&n);
}

static void answers_arp_and_ping(void **state)
{
	struct got_frame *f;
	struct net n;

	(void)state;
	net_open(&n, "user,ipv6=off", 1);
	announce(&n, 0);
	f = net_next(&n, 0);
	assert_int_equal(vio_get_be16(f->bytes + 12), 0x0806);
	assert_int_equal(vio_get_be16(f->bytes + 20), 2);
	assert_memory_equal(f->bytes, guest_mac, 6);
	assert_memory_equal(f->bytes + 22, gateway_mac, 6);
	assert_int_equal(vio_get_be32(f->bytes + 28), HOST_IP);

	memset(out + 34, 0, 64);
	out[34] = 8;
	vio_put_be32(out + 38, 0x00010002);
	fill_bytes(out + 42, 56);
	net_send(&n, 0, put_ip(1, GUEST_IP, HOST_IP, 64, 2));
	f = net_next_ip(&n, 0, 1);
	assert_int_equal(f->bytes[34], 0);
	assert_int_equal(vio_get_be32(f->bytes + 38), 0x00010002);
	assert_memory_equal(f->bytes + 42, out + 42, 56);
	net_close(&n);
}

/* With no connection open, no timer runs and nothing wakes the worker. */
static void is_silent_when_idle(void **state)
{
	struct net n;
	struct pollfd pfd;
	unsigned timers = 0;

	(void)state;
	net_open(&n, "user,ipv6=off", 1);
	announce(&n, 0);
	net_next(&n, 0);
	while (n.be->ops->receive(n.be, 0, 64) != 0 || n.be->ops->arm(n.be, 0))
		continue;
	pfd = (struct pollfd){ n.be->ops->fd(n.be, 0), POLLIN, 0 };
	assert_int_equal(poll(&pfd, 1, 0), 0);
	for (int fd = 3; fd < 64; fd++) {
		char path[48], info[512] = "";
		int file;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = open(path, O_RDONLY);
		if (file < 0)
			continue;
		assert_true(read(file, info, sizeof(info) - 1) >= 0);
		close(file);
		if (strstr(info, "it_value") == NULL)
			continue;
		assert_non_null(strstr(info, "it_value: (0, 0)"));
		timers++;
	}
	assert_int_equal(timers, 1);
	net_close(&n);
}

static void talks_tcp(void **state)
{
	static const char question[] = "hello from the guest", answer[] = "hello from the host";
	struct connection c;
	const uint8_t *data;
	char got[64];
	uint32_t len;
	uint8_t flags;
	struct net n;
	int fd;

	(void)state;
	net_open(&n, "user", 1);
	announce(&n, 0);
	fd = tcp_connect(&c, &n, 0, 40000);
	tcp_send(&c, ACK | PSH, (const uint8_t *)question, sizeof(question));
	assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(question));
	assert_string_equal(got, question);
	assert_int_equal(send(fd, answer, sizeof(answer), 0), sizeof(answer));
	do
		tcp_next(&c, &data, &len);
	while (len == 0);
	assert_int_equal(len, sizeof(answer));
	assert_memory_equal(data, answer, sizeof(answer));
	tcp_send(&c, ACK, NULL, 0);
	close(fd);
	do
		flags = tcp_next(&c, &data, &len);
	while (!(flags & FIN));
	tcp_send(&c, ACK | FIN, NULL, 0);
	net_close(&n);
}

/* The largest frame that IPv4 can say goes in whole. */
static void takes_large_segments(void **state)
{
	uint8_t *data = malloc(65495), *got = malloc(65495);
	struct connection c;
	const uint8_t *reply;
	uint32_t len, total, at = 0;
	struct net n;
	int fd;

	(void)state;
	net_open(&n, "user", 1);
	assert_int_equal(n.be->caps.tx_offloads, VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_ECN);
	announce(&n, 0);
	fd = tcp_connect(&c, &n, 0, 40001);
	assert_true(c.window > 20000);
	for (unsigned round = 0; round < 5; round++) {
		total = vio_min(65495u, (uint32_t)c.window);
		fill_bytes(data, total);
		tcp_send(&c, ACK | PSH, data, total);
		assert_int_equal(recv(fd, got, total, MSG_WAITALL), total);
		assert_memory_equal(got, data, total);
		at += total;
		tcp_next(&c, &reply, &len); /* the acknowledgement, with the window */
	}
	assert_true(at > 5 * 20000);
	close(fd);
	net_close(&n);
	free(data);
	free(got);
}

/*
 * A download with buffers given a few at a time: all arrives, in order, nothing dropped. While the
 * guest has none the worker is not woken by data that waits.
 */
static void lets_data_wait_in_the_kernel(void **state)
{
	const uint32_t total = 300000;
	uint8_t *data = malloc(total);
	uint32_t at = 0, put = 0, len;
	struct connection c;
	const uint8_t *got;
	struct net n;
	int fd;

	(void)state;
	fill_bytes(data, total);
	net_open(&n, "user", 1);
	announce(&n, 0);
	fd = tcp_connect(&c, &n, 0, 40002);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	n.g[0].buffers = 0;
	for (unsigned round = 0; at < total; round++) {
		ssize_t sent = send(fd, data + put, total - put, 0);

		if (sent > 0)
			put += (uint32_t)sent;
		if (n.g[0].num_got == n.seen[0]) {
			/* Out of buffers: busy for a while at most, then asleep for good. */
			for (unsigned i = 0; n.g[0].buffers == 0; i++) {
				struct pollfd pfd = { n.be->ops->fd(n.be, 0), POLLIN, 0 };

				n.be->ops->receive(n.be, 0, 64);
				if (!n.be->ops->arm(n.be, 0) && poll(&pfd, 1, 0) == 0)
					break;
				assert_true(i < 1000);
			}
			n.g[0].buffers += 1 + round % 4;
		}
		tcp_next(&c, &got, &len);
		assert_true(at + len <= total);
		assert_memory_equal(got, data + at, len);
		at += len;
		tcp_send(&c, ACK, NULL, 0);
	}
	assert_int_equal(n.g[0].drops[VIO_DROP_NO_BUFFER], 0);
	close(fd);
	net_close(&n);
	free(data);
}

/* Checks a large frame as the guest's own stack would cut it. Returns its payload's length. */
static uint32_t check_merged(const struct got_frame *f)
{
	struct vio_iov iov[2] = { { 0 }, { f->bytes, f->len } }, out_iov[4];
	struct vio_frame whole = { &iov[1], 1, f->len, f->meta }, segment;
	uint8_t scratch[VIO_HDR_SCRATCH], bytes[2000];
	struct vio_gso gso;
	uint32_t total = 0;

	assert_int_equal(f->meta.flags, VIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(f->meta.gso_type, VIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(f->meta.csum_start, 34);
	assert_int_equal(f->meta.csum_offset, 16);
	assert_int_equal(add_sum(f->bytes + 14, 20, 0), 0xffff);
	assert_int_equal(vio_gso_init(&gso, &whole), 0);
	assert_true(gso.segments > 1);
	while (vio_gso_next(&gso, &segment, scratch, &out_iov[1], 3) == 1) {
		uint32_t len = segment.len;

		assert_true(len <= 1514);
		vio_iov_to_buf(segment.iov, segment.iovcnt, 0, bytes, len);
		assert_int_equal(add_sum(bytes + 34, len - 34,
					 add_sum(bytes + 26, 8, 6 + len - 34)),
				 0xffff);
		total += len - 54;
	}
	return total;
}

/* A guest that takes large frames gets a download in a few of them. */
static void merges_segments(void **state)
{
	const uint32_t total = 400000;
	uint8_t *data = malloc(total);
	uint32_t at = 0, put = 0;
	unsigned frames = 0;
	struct connection c;
	struct net n;
	int fd;

	(void)state;
	fill_bytes(data, total);
	net_open(&n, "user", 1);
	assert_int_equal(n.be->caps.rx_offloads,
			 VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4 | VIO_OFFLOAD_TSO6);
	n.g[0].joins = true;
	assert_int_equal(n.be->ops->set_rx_offloads(n.be, n.be->caps.rx_offloads), 0);
	announce(&n, 0);
	fd = tcp_connect(&c, &n, 0, 40004);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (at < total) {
		ssize_t sent = send(fd, data + put, total - put, 0);
		struct got_frame *f;
		uint32_t len;

		if (sent > 0)
			put += (uint32_t)sent;
		n.g[0].buffers = GUEST_QUEUE;
		f = net_next_ip(&n, 0, 6);
		len = vio_get_be16(f->bytes + 16) - 40u;
		if (vio_get_be32(f->bytes + 38) != c.got || len == 0)
			continue;
		if (f->meta.gso_type != 0)
			assert_int_equal(check_merged(f), len);
		assert_memory_equal(f->bytes + 54, data + at, len);
		at += len;
		c.got += len;
		frames++;
		tcp_send(&c, ACK, NULL, 0);
	}
	assert_true(frames < total / 1460 / 2);
	close(fd);
	net_close(&n);
	free(data);
}

/*
 * A guest that receives but never acknowledges: libslirp stops reading when its buffer is half full,
 * and what waits in the socket wakes nobody.
 */
static void lets_data_wait_for_acknowledgement(void **state)
{
	uint8_t *data = calloc(1, 1 << 20);
	struct connection c;
	unsigned asleep = 0;
	struct net n;
	int fd;

	(void)state;
	net_open(&n, "user,ipv6=off", 1);
	announce(&n, 0);
	fd = tcp_connect(&c, &n, 0, 40003);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (unsigned i = 0; asleep < 20; i++) {
		struct pollfd pfd = { n.be->ops->fd(n.be, 0), POLLIN, 0 };

		while (send(fd, data, 1 << 20, 0) > 0)
			continue;
		n.g[0].buffers = GUEST_QUEUE;
		n.be->ops->receive(n.be, 0, 64);
		asleep += !n.be->ops->arm(n.be, 0) && poll(&pfd, 1, 0) == 0;
		assert_true(i < 2000);
	}
	assert_true(n.g[0].num_got > 2);
	close(fd);
	net_close(&n);
	free(data);
}

/* Answers come on the pair that the guest used for the flow; a stuck pair does not stop others. */
static void steers_flows(void **state)
{
	static const char large[1200];
	struct connection c[4];
	struct net n;
	int fd[4];

	(void)state;
	net_open(&n, "user", 4);
	assert_int_equal(n.be->caps.flags, VIO_BACKEND_ONE_THREAD);
	for (unsigned i = 0; i < 4; i++) {
		announce(&n, i);
		assert_int_equal(vio_get_be16(net_next(&n, i)->bytes + 12), 0x0806);
		fd[i] = tcp_connect(&c[i], &n, i, (uint16_t)(41000 + i));
	}
	n.g[1].buffers = 0;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(send(fd[i], large, sizeof(large), 0), sizeof(large));
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *data;
		uint32_t len = 0;

		while (i != 1 && len == 0)
			tcp_next(&c[i], &data, &len);
	}
	/* The flow moves with the guest. */
	c[2].pair = 3;
	tcp_send(&c[2], ACK, NULL, 0);
	assert_int_equal(send(fd[2], "more", 4, 0), 4);
	for (uint32_t len = 0; len == 0;) {
		const uint8_t *data;

		tcp_next(&c[2], &data, &len);
	}
	/* A flow of a pair that is not in use any more comes to the first. */
	assert_int_equal(n.be->ops->set_pairs(n.be, 1), 0);
	c[3].pair = 0;
	assert_int_equal(send(fd[3], "last", 4, 0), 4);
	n.seen[0] = n.g[0].num_got;
	for (uint32_t len = 0; len == 0;) {
		const uint8_t *data;

		tcp_next(&c[3], &data, &len);
	}
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
	net_close(&n);
}

static void forwards_ports(void **state)
{
	struct connection c = { .peer = HOST_IP };
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char spec[96], message[128], got[16];
	struct got_frame *f;
	const uint8_t *data;
	uint16_t port;
	uint32_t len;
	struct net n;
	int fd;

	(void)state;
	/* A port that somebody has. */
	fd = listen_on(&port);
	snprintf(spec, sizeof(spec), "user,hostfwd=tcp:127.0.0.1:%u-:22", port);
	snprintf(message, sizeof(message),
		 "user: hostfwd=tcp:127.0.0.1:%u-:22: can't listen: Address already in use", port);
	refuse(spec, 1, message);
	close(fd);
	/* Now it is free. */
	net_open(&n, spec, 1);
	at.sin_port = htons(port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	/* The guest is found by ARP, then connected to. */
	f = net_next_ip(&n, 0, 6);
	assert_int_equal(f->bytes[47], SYN);
	assert_int_equal(vio_get_be16(f->bytes + 36), 22);
	assert_int_equal(vio_get_be32(f->bytes + 30), GUEST_IP);
	c.net = &n;
	c.peer = vio_get_be32(f->bytes + 26);
	c.from = 22;
	c.to = vio_get_be16(f->bytes + 34);
	c.got = vio_get_be32(f->bytes + 38) + 1;
	c.sent = 7000;
	tcp_send(&c, SYN | ACK, NULL, 0);
	tcp_next(&c, &data, &len);
	tcp_send(&c, ACK | PSH, (const uint8_t *)"banner", 6);
	while (recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0)
		net_work(&n, fd);
	assert_memory_equal(got, "banner", 6);
	close(fd);
	net_close(&n);
}

/* Frames that wait when the workers stop are delivered after the next start. */
static void keeps_frames_over_a_stop(void **state)
{
	struct net n;

	(void)state;
	net_open(&n, "user,ipv6=off", 1);
	n.g[0].buffers = 0;
	announce(&n, 0);
	assert_int_equal(n.be->ops->receive(n.be, 0, 64), 0);
	n.be->ops->stop(n.be);
	start_one(n.be, &n.g[0]);
	n.g[0].buffers = 4;
	assert_int_equal(n.be->ops->receive(n.be, 0, 64), 1);
	assert_int_equal(vio_get_be16(n.g[0].got[0].bytes + 12), 0x0806);
	net_close(&n);
}

/* A guest that sends and never receives is not held up; what it does not fetch is counted. */
static void bounds_what_waits(void **state)
{
	struct net n;

	(void)state;
	net_open(&n, "user,ipv6=off", 1);
	n.g[0].buffers = 0;
	for (unsigned i = 0; i < 20000; i++)
		announce(&n, 0);
	assert_in_range(n.g[0].drops[VIO_DROP_NO_BUFFER], 1, 20000);
	assert_int_equal(n.g[0].num_got, 0);
	n.g[0].buffers = GUEST_QUEUE;
	while (n.be->ops->receive(n.be, 0, 64) != 0)
		n.g[0].buffers = GUEST_QUEUE;
	assert_int_equal(n.g[0].num_got + n.g[0].drops[VIO_DROP_NO_BUFFER], 20000);
	net_close(&n);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_an_address),
		cmocka_unit_test(answers_arp_and_ping),
		cmocka_unit_test(is_silent_when_idle),
		cmocka_unit_test(talks_tcp),
		cmocka_unit_test(takes_large_segments),
		cmocka_unit_test(lets_data_wait_in_the_kernel),
		cmocka_unit_test(merges_segments),
		cmocka_unit_test(lets_data_wait_for_acknowledgement),
		cmocka_unit_test(steers_flows),
		cmocka_unit_test(forwards_ports),
		cmocka_unit_test(keeps_frames_over_a_stop),
		cmocka_unit_test(bounds_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
