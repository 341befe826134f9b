/* SPDX-License-Identifier: BSD-2-Clause */
/* pcap: the file holds each frame that passed, once, and what stands behind it is not affected. */
#include "backend_sink.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "netframe.h"

static char path[] = "/tmp/vioduct-pcap-XXXXXX";
static uint8_t *file;
static size_t file_size;

static int make_file(void **state)
{
	int fd;

	(void)state;
	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int remove_file(void **state)
{
	(void)state;
	free(file);
	file = NULL;
	return unlink(path);
}

static void read_file(void)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	free(file);
	file_size = (size_t)st.st_size;
	file = malloc(file_size + 1);
	assert_int_equal(read(fd, file, file_size), file_size);
	close(fd);
}

static struct vio_backend *open_before(const char *next, unsigned pairs)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "pcap,file=%s%s%s", path, *next != '\0' ? "," : "", next);
	return open_backend(spec, pairs);
}

static uint32_t word(size_t at)
{
	uint32_t w;

	assert_true(at + 4 <= file_size);
	memcpy(&w, file + at, 4);
	return w;
}

static uint16_t half(size_t at)
{
	uint16_t h;

	assert_true(at + 2 <= file_size);
	memcpy(&h, file + at, 2);
	return h;
}

struct captured {
	const uint8_t *data;
	uint32_t len, original, direction, pair;
	uint64_t time;
};

/* Checks the whole structure; returns how many packets there are. */
static unsigned parse_file(struct captured *packets, unsigned max)
{
	unsigned n = 0;
	size_t at;

	read_file();
	assert_int_equal(word(0), 0x0a0d0d0a);
	assert_int_equal(word(4), 28);
	assert_int_equal(word(8), 0x1a2b3c4d);
	assert_int_equal(half(12), 1);
	assert_int_equal(half(14), 0);
	assert_int_equal(word(24), 28);
	assert_int_equal(word(28), 1);
	assert_int_equal(word(32), 32);
	assert_int_equal(half(36), 1); /* Ethernet */
	assert_int_equal(half(44), 9); /* if_tsresol, 1 byte, 10^-9 */
	assert_int_equal(half(46), 1);
	assert_int_equal(file[48], 9);
	assert_int_equal(word(56), 32);
	for (at = 60; at < file_size;) {
		uint32_t len = word(at + 4), padded;

		assert_int_equal(word(at), 6);
		assert_int_equal(len % 4, 0);
		assert_true(at + len <= file_size);
		assert_int_equal(word(at + len - 4), len);
		assert_int_equal(word(at + 8), 0);
		assert_true(n < max);
		packets[n].time = (uint64_t)word(at + 12) << 32 | word(at + 16);
		packets[n].len = word(at + 20);
		packets[n].original = word(at + 24);
		packets[n].data = file + at + 28;
		padded = (packets[n].len + 3) & ~3u;
		assert_int_equal(len, 28 + padded + 24);
		assert_int_equal(half(at + 28 + padded), 2);
		packets[n].direction = word(at + 32 + padded);
		assert_int_equal(half(at + 36 + padded), 6);
		packets[n].pair = word(at + 40 + padded);
		n++;
		at += len;
	}
	assert_int_equal(at, file_size);
	return n;
}

static void send_numbered(struct vio_backend *be, unsigned pair, uint32_t len, uint32_t number)
{
	uint8_t bytes[4000];
	struct sent_frame s;

	numbered_frame(bytes, len, number);
	sent_init(&s, bytes, len, 1 + number % 3);
	assert_int_equal(be->ops->send(be, pair, &s.frame, 1), 1);
	sent_exit(&s);
}

static void is_readable_from_the_start(void **state)
{
	struct vio_backend *be = open_before("", 1);
	struct captured packets[1];

	(void)state;
	assert_int_equal(parse_file(packets, 1), 0);
	vio_backend_close(be);
	assert_int_equal(parse_file(packets, 1), 0);
}

static void writes_what_the_guest_sends(void **state)
{
	struct vio_backend *be = open_before("next=null", 2);
	struct captured packets[200];
	uint8_t bytes[4000];
	uint64_t now = (uint64_t)time(NULL) * 1000000000;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		send_numbered(be, i % 2, 14 + i * 7, i);
	vio_backend_close(be);
	assert_int_equal(parse_file(packets, 200), 200);
	for (unsigned i = 0; i < 200; i++) {
		numbered_frame(bytes, 14 + i * 7, i);
		assert_int_equal(packets[i].len, 14 + i * 7);
		assert_int_equal(packets[i].original, packets[i].len);
		assert_int_equal(packets[i].direction, 2);
		assert_int_equal(packets[i].pair, i % 2);
		assert_true(packets[i].time >= now && packets[i].time < now + 3600000000000);
		assert_memory_equal(packets[i].data, bytes, packets[i].len);
	}
}

/* Both directions, the question before the answer; written when the worker is about to sleep. */
static void writes_both_ways(void **state)
{
	struct vio_backend *be = open_before("next=loop", 1);
	struct captured packets[2];
	struct guest g;

	(void)state;
	guest_init(&g, 4, 64, true);
	start_one(be, &g);
	send_numbered(be, 0, 200, 1);
	assert_int_equal(be->ops->receive(be, 0, 8), 1);
	assert_false(be->ops->arm(be, 0));
	assert_int_equal(parse_file(packets, 2), 2);
	assert_int_equal(packets[0].direction, 2);
	assert_int_equal(packets[1].direction, 1);
	assert_memory_equal(packets[0].data, packets[1].data, 200);
	assert_memory_equal(g.got[0].bytes, packets[1].data, 200);
	vio_backend_close(be);
	guest_exit(&g);
}

/* A frame that the back end was too busy for is in the file once, however often it is offered. */
static void writes_a_kept_frame_once(void **state)
{
	struct vio_backend *be = open_before("next=loop", 1);
	struct captured packets[60];
	struct vio_frame burst[20];
	struct sent_frame s[20];
	uint8_t bytes[100];
	unsigned at = 0;
	struct guest g;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	for (unsigned i = 0; i < 20; i++) {
		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&s[i], bytes, sizeof(bytes), 1);
		burst[i] = s[i].frame;
	}
	for (unsigned round = 0; at < 20; round++) {
		g.buffers = round % 3;
		at += (unsigned)be->ops->send(be, 0, burst + at, vio_min(20 - at, 1 + round % 7));
	}
	vio_backend_close(be);
	assert_int_equal(g.num_got, 20);
	assert_int_equal(parse_file(packets, 60), 40);
	for (unsigned i = 0, out = 0, in = 0; i < 40; i++) {
		unsigned number = packets[i].direction == 2 ? out++ : in++;

		assert_memory_equal(packets[i].data, s[number].bytes, 100);
	}
	guest_exit(&g);
	for (unsigned i = 0; i < 20; i++)
		sent_exit(&s[i]);
}

/* What one guest could not get rid of is not taken for what the next one sends. */
static void begins_anew_with_each_guest(void **state)
{
	struct vio_backend *be = open_before("next=loop", 1);
	struct captured packets[4];
	struct sent_frame s[2];
	uint8_t bytes[100];
	struct guest g;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	for (unsigned i = 0; i < 2; i++) {
		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&s[i], bytes, sizeof(bytes), 1);
	}
	assert_int_equal(be->ops->send(be, 0, &s[0].frame, 1), 0);
	assert_int_equal(be->ops->set_rx_offloads(be, 0), 0);
	g.buffers = 1;
	assert_int_equal(be->ops->send(be, 0, &s[1].frame, 1), 1);
	vio_backend_close(be);
	assert_int_equal(parse_file(packets, 4), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(packets[i].data, s[i != 0].bytes, 100);
	guest_exit(&g);
	for (unsigned i = 0; i < 2; i++)
		sent_exit(&s[i]);
}

/* Frames of the guest's, told apart by their number. */
struct numbered {
	struct sent_frame s[8];
	struct vio_frame burst[8];
};

static void numbered_init(struct numbered *f)
{
	uint8_t bytes[100];

	for (unsigned i = 0; i < 8; i++) {
		numbered_frame(bytes, sizeof(bytes), i);
		sent_init(&f->s[i], bytes, sizeof(bytes), 1 + i % 3);
		f->burst[i] = f->s[i].frame;
	}
}

static void numbered_exit(struct numbered *f)
{
	for (unsigned i = 0; i < 8; i++)
		sent_exit(&f->s[i]);
}

/* The file holds these, and no others. */
static void expect_numbers(const uint8_t *want, unsigned n)
{
	struct captured packets[40];
	uint8_t bytes[100];

	assert_int_equal(parse_file(packets, 40), n);
	for (unsigned i = 0; i < n; i++) {
		numbered_frame(bytes, sizeof(bytes), want[i]);
		assert_memory_equal(packets[i].data, bytes, sizeof(bytes));
	}
}

/* What comes in the place of frames that were held and are gone is in the file. */
static void h13_new_frames_in_the_place_of_kept_ones_are_written(void **state)
{
	static const uint8_t want[] = { 0, 1, 2, 3, 4, 5, 0, 6, 5 };
	struct vio_backend *be = open_before("next=loop", 1);
	struct numbered f;
	struct guest g;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	numbered_init(&f);
	assert_int_equal(be->ops->send(be, 0, f.burst, 4), 0); /* 0 1 2 3 */
	assert_int_equal(be->ops->send(be, 0, f.burst, 2), 0); /* the same */
	/* The first is still there, and others behind it. */
	f.burst[1] = f.burst[4];
	f.burst[2] = f.burst[5];
	g.buffers = 1;
	assert_int_equal(be->ops->send(be, 0, f.burst, 3), 1); /* 4 5, and 0 comes back */
	/* Another one in the same memory, of the same length; what is behind it is new too, then. */
	numbered_frame(f.s[4].bytes, 100, 6);
	assert_int_equal(be->ops->send(be, 0, f.burst + 1, 2), 0); /* 6 5 */
	vio_backend_close(be);
	expect_numbers(want, sizeof(want));
	numbered_exit(&f);
	guest_exit(&g);
}

/* The same bytes after the queue was stopped, or when they were not offered for a while, are another
 * frame; while they are held they are the same, wherever they lie. */
static void h13_equal_frames_after_a_stop_are_written(void **state)
{
	/* Both of the last burst are written before the answer to the first. */
	static const uint8_t want[] = { 1, 1, 1, 2, 1 };
	struct vio_backend *be = open_before("next=loop", 1);
	struct numbered f, again;
	struct guest g;

	(void)state;
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	numbered_init(&f);
	numbered_init(&again);
	assert_int_equal(be->ops->send(be, 0, &f.burst[1], 1), 0); /* 1 */
	assert_int_equal(be->ops->send(be, 0, &again.burst[1], 1), 0);
	be->ops->arm(be, 0);
	assert_int_equal(be->ops->send(be, 0, &f.burst[1], 1), 0);
	be->ops->discard(be, 0);
	assert_int_equal(be->ops->send(be, 0, &f.burst[1], 1), 0); /* 1 */
	be->ops->arm(be, 0);
	be->ops->arm(be, 0);
	g.buffers = 1;
	assert_int_equal(be->ops->send(be, 0, &f.burst[1], 2), 1); /* 1, 1 comes back, 2 is held */
	vio_backend_close(be);
	expect_numbers(want, sizeof(want));
	numbered_exit(&f);
	numbered_exit(&again);
	guest_exit(&g);
}

/* A checksum to be completed is right in the file, and untouched in the frame. */
static void completes_checksums_in_its_copy(void **state)
{
	struct vio_backend *be = open_before("next=loop", 1);
	struct netframe *f = malloc(sizeof(*f));
	struct netframe_spec spec = {
		.payload = 30000,
		.gso_type = VIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1448,
		.needs_csum = true,
		.tcp_flags = 0x18,
	};
	struct captured packets[2];
	uint64_t seed = 3;
	struct sent_frame s;
	uint16_t check;
	struct guest g;

	(void)state;
	netframe_build(f, &spec, &seed);
	sent_init(&s, f->bytes, f->len, 5);
	s.frame.meta = f->meta;
	guest_init(&g, 1, 70000, false);
	start_one(be, &g);
	assert_int_equal(be->ops->set_rx_offloads(be, VIO_OFFLOAD_CSUM | VIO_OFFLOAD_TSO4), 0);
	assert_int_equal(be->ops->send(be, 0, &s.frame, 1), 1);
	vio_backend_close(be);
	assert_int_equal(parse_file(packets, 2), 2);
	check = netframe_transport_check(f, f->bytes, f->len);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(packets[i].len, f->len);
		assert_int_equal(packets[i].data[f->l4 + 16], check >> 8);
		assert_int_equal(packets[i].data[f->l4 + 17], check & 0xff);
	}
	assert_memory_equal(s.bytes, f->bytes, f->len);
	assert_memory_equal(g.got[0].bytes, f->bytes, f->len);
	guest_exit(&g);
	sent_exit(&s);
	free(f);
}

static void cuts_at_snaplen(void **state)
{
	struct captured packets[1];
	struct vio_backend *be;
	char spec[128];
	uint8_t bytes[1000];

	(void)state;
	snprintf(spec, sizeof(spec), "pcap,file=%s,snaplen=61", path);
	be = open_backend(spec, 1);
	send_numbered(be, 0, 1000, 9);
	vio_backend_close(be);
	assert_int_equal(parse_file(packets, 1), 1);
	numbered_frame(bytes, 1000, 9);
	assert_int_equal(packets[0].len, 61);
	assert_int_equal(packets[0].original, 1000);
	assert_memory_equal(packets[0].data, bytes, 61);
	assert_int_equal(word(40), 61);
}

/* Other people's readers agree. */
static void others_can_read_it(void **state)
{
	struct vio_backend *be;
	char command[160], line[64] = "";
	unsigned found = 0;
	FILE *p;

	(void)state;
	if (system("command -v tshark >/dev/null 2>&1") != 0)
		skip();
	be = open_before("next=null", 1);
	for (unsigned i = 0; i < 10; i++)
		send_numbered(be, 0, 60 + i, i);
	vio_backend_close(be);
	snprintf(command, sizeof(command),
		 "tshark -r %s -T fields -e frame.len -e frame.packet_flags_direction 2>/dev/null",
		 path);
	p = popen(command, "r");
	while (fgets(line, sizeof(line), p) != NULL) {
		char expected[32];

		/* Newer ones print the flag in hexadecimal. */
		snprintf(expected, sizeof(expected), "%u\t", 60 + found);
		assert_memory_equal(line, expected, strlen(expected));
		assert_non_null(strchr(line + strlen(expected), '2'));
		found++;
	}
	assert_int_equal(pclose(p), 0);
	assert_int_equal(found, 10);
}

/* Both forms of next= mean the same. */
static void finds_what_stands_behind(void **state)
{
	static const char *const forms[][2] = {
		{ "next=source:size=100:rate=7",
		  "pcap before source 100 bytes, sunk 0 frames, 0 bytes" },
		{ "next=source,size=100,rate=7",
		  "pcap before source 100 bytes, sunk 0 frames, 0 bytes" },
		{ "next=user:hostfwd=tcp:127.0.0.1:0-:22:ipv6=off",
		  "pcap before user 10.0.2.0/24" },
		{ "next=user,hostfwd=tcp:127.0.0.1:0-:22,net=10.9.0.0/24",
		  "pcap before user 10.9.0.0/24" },
		{ "next=pcap:file=/dev/null:next=loop", "pcap before pcap before loop" },
	};

	(void)state;
	for (unsigned i = 0; i < vio_array_size(forms); i++) {
		struct vio_backend *be = open_before(forms[i][0], 1);
		char text[96];

		be->ops->describe(be, text, sizeof(text));
		assert_string_equal(text, forms[i][1]);
		vio_backend_close(be);
	}
	refuse("pcap,file=/dev/null,next=lop", 1,
	       "unknown back end \"lop\": there are null, source, loop, tap, user, pcap");
	refuse("pcap,file=/dev/null,next=source:sise=1", 1,
	       "source: unknown option \"sise\": it takes size, rate, count");
}

static void names_a_file_it_cant_write(void **state)
{
	(void)state;
	refuse("pcap,file=/nowhere/x", 1, "pcap: file=/nowhere/x: No such file or directory");
	refuse("pcap,file=/dev/full", 1, "pcap: file=/dev/full: No space left on device");
}

/* HOSTILE 30: the disk is full. The file stays readable, what passed before is in it, frames go on. */
static void outlives_a_full_disk(void **state)
{
	struct vio_backend *be = open_before("next=loop", 1);
	struct rlimit old, small = { 400000, 400000 };
	struct captured *packets = calloc(2000, sizeof(*packets));
	uint8_t bytes[1000];
	unsigned n;
	struct guest g;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	guest_init(&g, 0, 2048, false);
	start_one(be, &g);
	for (unsigned i = 0; i < 1000; i++) {
		g.buffers = 1;
		send_numbered(be, 0, 1000, i);
	}
	assert_int_equal(be->ops->flush(be), 0);
	assert_int_equal(g.num_got, 1000);
	vio_backend_close(be);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	n = parse_file(packets, 2000);
	assert_in_range(n, 200, 400);
	for (unsigned i = 0; i < n; i++) {
		numbered_frame(bytes, 1000, i / 2);
		assert_memory_equal(packets[i].data, bytes, 1000);
	}
	guest_exit(&g);
	free(packets);
}

int main(void)
{
#define with_file(test) cmocka_unit_test_setup_teardown(test, make_file, remove_file)
	static const struct CMUnitTest tests[] = {
		with_file(is_readable_from_the_start),
		with_file(writes_what_the_guest_sends),
		with_file(writes_both_ways),
		with_file(writes_a_kept_frame_once),
		with_file(begins_anew_with_each_guest),
		with_file(h13_new_frames_in_the_place_of_kept_ones_are_written),
		with_file(h13_equal_frames_after_a_stop_are_written),
		with_file(completes_checksums_in_its_copy),
		with_file(cuts_at_snaplen),
		with_file(others_can_read_it),
		with_file(finds_what_stands_behind),
		with_file(names_a_file_it_cant_write),
		with_file(outlives_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
