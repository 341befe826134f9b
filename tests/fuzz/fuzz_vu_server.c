/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user front end that means harm.
 *
 * A real server with a real device sits at one end of a socket pair, the input at the other. It
 * sends messages of any content with descriptors of any kind, or bytes that are no messages; sets
 * rings up as it ought to, so that there is something to break; writes to guest memory, and cuts the
 * file behind it short; has pairs served in between; and reads the answers, or never does.
 *
 * Guest memory is a file mapping, so it is the kernel that notices a step beyond it. Whatever
 * happened, the end of the run leaves no descriptor open.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vioduct/device_linux.h>
#include <vioduct/features.h>

#include "../lib/fds.h"
#include "mem/map_linux.h"
#include "wire/conn.h"
#include "wire/sock.h"

#define MEMORY	  0x8000u
#define SMALL	  0x1000u
#define GUEST	  UINT64_C(0x40000000)
#define USER	  UINT64_C(0x7f0000000000)
#define PAIRS	  2
#define RINGS	  (2 * PAIRS)
#define RING_SIZE 0x1000u /* bytes of memory for each ring */
#define NUM	  16
#define FDS_MAX	  10 /* more than a message may have */
#define PUMP_MAX  32

enum fuzz_fd { FD_MEMORY, FD_SMALL, FD_KICK, FD_CALL, FD_SOCKET, FD_PIPE, FD_NULL, FD_OTHER_CALL };
#define FDS 8

struct world {
	struct vio_backend be;
	struct fuzz_input in;
	struct vio_device *dev;
	struct vio_device_scratch *scratch;
	struct vio_vhost_user *server;
	struct vio_sink *sinks[PAIRS];
	int front;
	int fds[FDS];
	int answers; /* what the server's own requests come out of: the peer of FD_SOCKET */
	bool exclusive[PAIRS];	/* somebody is inside */
	uint16_t avail[RINGS];	/* buffers made available */
	uint64_t driver[RINGS]; /* areas of the rings, in memory */
	uint64_t desc[RINGS];
};

static struct world world;

/* ---- The device's surroundings ------------------------------------------------------------ */

static int backend_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	uint8_t verdict = fuzz_u8(&world.in);

	(void)be;
	check(pair < PAIRS);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < frames[i].iovcnt; k++)
			fuzz_touch(frames[i].iov[k].base, frames[i].iov[k].len);
		check(frames[i].len >= VIO_ETH_MIN_LEN && frames[i].len <= VIO_FRAME_MAX_LEN);
		fuzz_check_meta(&frames[i].meta, frames[i].len);
	}
	return verdict & 1 ? (int)((verdict >> 1) % n) : (int)n;
}

/* One frame for the guest, of any length. */
static int backend_receive(struct vio_backend *be, unsigned pair, unsigned budget)
{
	struct vio_sink *sink = world.sinks[pair];
	struct vio_frame frame = { .len = VIO_ETH_MIN_LEN + fuzz_u16(&world.in) % 4096u };
	uint32_t left;

	(void)be;
	(void)budget;
	if (sink->ops->reserve(sink, &frame, 1) != 1)
		return 0;
	left = frame.len;
	for (unsigned k = 0; k < frame.iovcnt && left > 0; k++) {
		size_t n = vio_min((size_t)left, frame.iov[k].len);

		memset(frame.iov[k].base, 0x5a, n);
		left -= (uint32_t)n;
	}
	check(left == 0);
	sink->ops->commit(sink, &frame, frame.len >= VIO_ETH_MIN_LEN);
	return 1;
}

static const struct vio_backend_ops backend_ops = {
	.kind = "fuzz",
	.send = backend_send,
	.receive = backend_receive,
};

static void exclusive(void *ctx, unsigned pair, void (*fn)(void *arg), void *arg)
{
	struct world *w = ctx;

	check(pair < PAIRS && !w->exclusive[pair]);
	w->exclusive[pair] = true;
	fn(arg);
	w->exclusive[pair] = false;
}

static void watch_kick(void *ctx, unsigned queue, int fd)
{
	struct world *w = ctx;

	check(queue < RINGS && w->exclusive[queue / 2]);
	check(fd == -1 || fcntl(fd, F_GETFD) >= 0);
}

static void look(void *ctx, unsigned pair)
{
	(void)ctx;
	check(pair < PAIRS);
}

static void serve(struct world *w, unsigned pair)
{
	vio_device_begin(w->dev, pair, w->scratch);
	vio_device_tx(w->dev, pair, 32);
	backend_receive(&w->be, pair, 1);
	vio_device_end(w->dev, pair);
}

/* ---- The front end ------------------------------------------------------------------------ */

/* Has the server handle what there is; in portions, so that a run ends. */
static void pump(struct world *w)
{
	struct pollfd pfd = { .fd = vio_vhost_user_fd(w->server), .events = POLLIN };

	for (unsigned i = 0; i < PUMP_MAX && poll(&pfd, 1, 0) > 0; i++)
		vio_vhost_user_handle(w->server);
}

static void send_bytes(struct world *w, const void *bytes, size_t n, const int *fds, unsigned nfds)
{
	if (n > 0)
		send_fds(w->front, bytes, n, fds, nfds, MSG_DONTWAIT);
}

static void send_message(struct world *w, uint32_t request, uint32_t flags,
			 const union vio_vu_payload *payload, uint32_t size, const int *fds,
			 unsigned nfds)
{
	struct vio_vu_hdr hdr = { request, VIO_VU_VERSION | flags, size };
	uint8_t bytes[sizeof(hdr) + sizeof(*payload)];

	memcpy(bytes, &hdr, sizeof(hdr));
	memcpy(bytes + sizeof(hdr), payload, size);
	send_bytes(w, bytes, sizeof(hdr) + size, fds, nfds);
	pump(w);
}

static void send_u64(struct world *w, uint32_t request, uint64_t value, int fd)
{
	union vio_vu_payload payload = { .u64 = value };

	send_message(w, request, 0, &payload, 8, &fd, fd >= 0);
}

static void send_state(struct world *w, uint32_t request, uint32_t index, uint32_t num)
{
	union vio_vu_payload payload = { .state = { index, num } };

	send_message(w, request, 0, &payload, sizeof(payload.state), NULL, 0);
}

static void send_memory(struct world *w)
{
	union vio_vu_payload payload = { .u64 = 0 };
	uint32_t size = 8 + sizeof(struct vio_vu_mem_region);

	payload.mem_table.nregions = 1;
	payload.mem_table.regions[0] = (struct vio_vu_mem_region){ GUEST, MEMORY, USER, 0 };
	send_message(w, VIO_VU_SET_MEM_TABLE, 0, &payload, size, &w->fds[FD_MEMORY], 1);
}

/* Adds or removes all of memory (@part 0), or a part of another file behind it. */
static void send_region(struct world *w, uint32_t request, unsigned part)
{
	union vio_vu_payload payload = { .u64 = 0 };
	const int *fd = &w->fds[part ? FD_SMALL : FD_MEMORY];

	payload.mem_reg.region = (struct vio_vu_mem_region){
		.guest_addr = GUEST + part * MEMORY,
		.size = part ? SMALL / part : MEMORY,
		.user_addr = USER + part * MEMORY,
	};
	send_message(w, request, 0, &payload, sizeof(payload.mem_reg), fd,
		     request == VIO_VU_ADD_MEM_REG);
}

/* What every front end says of a ring. */
static void send_ring(struct world *w, unsigned q, uint8_t how)
{
	union vio_vu_payload payload = { .u64 = 0 };

	w->desc[q] = (uint64_t)q * RING_SIZE;
	w->driver[q] = w->desc[q] + 0x400;
	payload.addr = (struct vio_vu_vring_addr){
		.index = q,
		.desc = USER + w->desc[q],
		.avail = USER + w->driver[q],
		.used = USER + w->desc[q] + 0x800,
	};
	send_state(w, VIO_VU_SET_VRING_NUM, q, NUM);
	send_state(w, VIO_VU_SET_VRING_BASE, q, how & 1 ? fuzz_u8(&w->in) : 0);
	send_message(w, VIO_VU_SET_VRING_ADDR, 0, &payload, sizeof(payload.addr), NULL, 0);
	if (how & 2)
		send_u64(w, VIO_VU_SET_VRING_KICK, q | VIO_VU_VRING_NOFD, -1);
	else
		send_u64(w, VIO_VU_SET_VRING_KICK, q, w->fds[FD_KICK]);
	send_u64(w, VIO_VU_SET_VRING_CALL, q, w->fds[how & 4 ? FD_OTHER_CALL : FD_CALL]);
	send_state(w, VIO_VU_SET_VRING_ENABLE, q, 1);
}

/* Features (those left out come from the input), memory. */
static void send_beginning(struct world *w)
{
	uint8_t how = fuzz_u8(&w->in);
	struct vio_features left = vio_features_andnot(vio_device_features(w->dev),
						       vio_features_make(fuzz_uint(&w->in, 8), 0));
	uint64_t features = vio_features_close(left).w[0];

	if (how & 1)
		send_u64(w, VIO_VU_SET_PROTOCOL_FEATURES,
			 vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK) |
				 vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS),
			 -1);
	send_u64(w, VIO_VU_SET_FEATURES, features | vio_feature(VIO_VU_F_PROTOCOL_FEATURES), -1);
	if (how & 2)
		send_region(w, VIO_VU_ADD_MEM_REG, 0);
	else
		send_memory(w);
}

/* The size that a request is to have; what rules it is written into the payload. */
static uint32_t right_size(enum vio_vu_body body, union vio_vu_payload *payload, unsigned n)
{
	switch (body) {
	case VIO_VU_BODY_U64:
	case VIO_VU_BODY_VRING:
	case VIO_VU_BODY_STATE:
		return 8;
	case VIO_VU_BODY_ADDR:
		return sizeof(payload->addr);
	case VIO_VU_BODY_MEM_TABLE:
		payload->mem_table.nregions = n;
		return 8 + n * (uint32_t)sizeof(payload->mem_table.regions[0]);
	case VIO_VU_BODY_MEM_REG:
		return sizeof(payload->mem_reg);
	case VIO_VU_BODY_CONFIG:
		payload->config.size = n;
		return VIO_VU_CONFIG_HDR_SIZE + n;
	default:
		return 0;
	}
}

/* A message of any content, often of the right size, and any descriptors. */
static void any_message(struct world *w)
{
	uint32_t request = fuzz_u8(&w->in) % (VIO_VU_FRONT_REQUEST_END + 1), size;
	const struct vio_vu_rule *rule = vio_vu_rule(VIO_VU_FRONT_REQUEST, request);
	uint8_t how = fuzz_u8(&w->in);
	unsigned nfds = (how & 15) % (FDS_MAX + 1);
	union vio_vu_payload payload;
	int fds[FDS_MAX];

	memset(&payload, 0, sizeof(payload));
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = w->fds[fuzz_u8(&w->in) % FDS];
	/* Small numbers mean something more often: the rest of the payload stays zero. */
	size = fuzz_u16(&w->in) % (VIO_VU_PAYLOAD_MAX + 1);
	fuzz_copy(&w->in, &payload, size);
	if (rule && !(how & 32))
		size = right_size(rule->body, &payload, nfds % (VIO_VU_MAX_REGIONS + 1));
	send_message(w, request, how & 16 ? VIO_VU_NEED_REPLY : 0, &payload, size, fds, nfds);
}

static void any_bytes(struct world *w)
{
	uint8_t bytes[64];
	size_t n = fuzz_copy(&w->in, bytes, fuzz_u8(&w->in) % sizeof(bytes));

	send_bytes(w, bytes, n, w->fds, n & 1);
	pump(w);
}

/* The guest's side of memory: beyond the end of a file that was cut short nothing is written. */
static void guest_write(struct world *w, uint64_t at, const void *bytes, size_t n)
{
	ssize_t ignored;

	if (at + n > MEMORY || lseek(w->fds[FD_MEMORY], 0, SEEK_END) < (off_t)(at + n))
		return;
	ignored = pwrite(w->fds[FD_MEMORY], bytes, n, (off_t)at);
	(void)ignored;
}

static void scribble(struct world *w)
{
	uint64_t at = fuzz_u16(&w->in) % MEMORY;
	uint8_t bytes[32];

	guest_write(w, at, bytes, fuzz_copy(&w->in, bytes, 1 + fuzz_u8(&w->in) % sizeof(bytes)));
}

/* A buffer of up to three descriptors in a split ring. */
static void guest_add(struct world *w)
{
	unsigned q = fuzz_u8(&w->in) % RINGS, n = 1 + fuzz_u8(&w->in) % 3;
	uint16_t head = w->avail[q] % NUM, idx;

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = (uint16_t)((head + i) % NUM), flags = fuzz_u8(&w->in) & 4;
		struct vio_virtq_desc desc = {
			.addr = vio_le64(GUEST + fuzz_u16(&w->in) % MEMORY),
			.len = vio_le32(fuzz_u16(&w->in) % 4096u),
			.next = vio_le16((uint16_t)((at + 1) % NUM)),
		};

		flags |= q & 1 ? 0 : VIO_DESC_F_WRITE;
		flags |= i + 1 < n ? VIO_DESC_F_NEXT : 0;
		desc.flags = vio_le16(flags);
		guest_write(w, w->desc[q] + at * sizeof(desc), &desc, sizeof(desc));
	}
	idx = vio_le16(head);
	guest_write(w, w->driver[q] + 4 + 2u * head, &idx, sizeof(idx));
	idx = vio_le16(++w->avail[q]);
	guest_write(w, w->driver[q] + 2, &idx, sizeof(idx));
}

static void read_answers(struct world *w)
{
	uint8_t bytes[512];

	while (recv(w->front, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	pump(w);
}

static void set_size(struct world *w, off_t size)
{
	check(ftruncate(w->fds[FD_MEMORY], size) == 0);
}

static void step(struct world *w)
{
	uint8_t what = fuzz_u8(&w->in);

	switch (what & 15) {
	case 0:
		any_bytes(w);
		break;
	case 1:
	case 2:
	case 3:
		any_message(w);
		break;
	case 4:
		if (what & 16)
			send_region(w, what & 32 ? VIO_VU_ADD_MEM_REG : VIO_VU_REM_MEM_REG,
				    what >> 6);
		else
			send_beginning(w);
		break;
	case 5:
	case 6:
		send_ring(w, what >> 4 & 3, what >> 5);
		break;
	case 7:
	case 8:
		guest_add(w);
		break;
	case 9:
		scribble(w);
		break;
	case 10:
	case 11:
	case 12:
		serve(w, what >> 4 & 1);
		break;
	case 13:
		read_answers(w);
		break;
	case 14:
		if (what & 16)
			vio_device_set_link(w->dev, what & 32);
		else
			send_state(w, VIO_VU_GET_VRING_BASE, what >> 5 & 3, 0);
		break;
	default:
		if (what >> 4 == 0)
			shutdown(w->front, SHUT_WR);
		else if (what >> 4 == 1)
			set_size(w, fuzz_u16(&w->in) % MEMORY);
		pump(w);
	}
}

/* ---- A run -------------------------------------------------------------------------------- */

/* Descriptors that stay for good; what they hold is emptied before each run. */
static void open_fds(struct world *w)
{
	struct vio_map *map;
	int ends[2];

	w->fds[FD_MEMORY] = memfd_create("guest", MFD_CLOEXEC);
	w->fds[FD_SMALL] = memfd_create("small", MFD_CLOEXEC);
	w->fds[FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->fds[FD_CALL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->fds[FD_OTHER_CALL] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
	w->fds[FD_PIPE] = ends[1];
	check(vio_sock_pair(ends) == 0);
	w->fds[FD_SOCKET] = ends[0];
	w->answers = ends[1];
	for (unsigned i = 0; i < FDS; i++)
		check(w->fds[i] >= 0);
	check(ftruncate(w->fds[FD_SMALL], SMALL) == 0);
	/* What the process makes once. */
	check(vio_map_create(w->fds[FD_SMALL], 0, SMALL, &map, NULL) == 0);
	vio_map_put(map);
	check(vio_map_gone_fd() >= 0);
	w->scratch = vio_device_scratch_create(fuzz_host());
	check(w->scratch != NULL);
}

static void empty_fds(struct world *w)
{
	static const enum fuzz_fd counters[] = { FD_KICK, FD_CALL, FD_OTHER_CALL };
	uint8_t bytes[512];
	ssize_t ignored;

	set_size(w, 0);
	set_size(w, MEMORY);
	for (unsigned i = 0; i < vio_array_size(counters); i++) {
		ignored = read(w->fds[counters[i]], bytes, 8);
		(void)ignored;
	}
	while (recv(w->answers, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	while (recv(w->fds[FD_SOCKET], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void create(struct world *w)
{
	static const struct vio_device_runner runner = {
		.ctx = &world,
		.exclusive = exclusive,
		.watch_kick = watch_kick,
		.look = look,
	};
	struct vio_vhost_user_conf conf = { .offer_config = true };
	struct vio_net_props props;
	struct vio_error err;
	int ends[2];

	w->be.ops = &backend_ops;
	w->be.caps = (struct vio_backend_caps){ .max_pairs = PAIRS, .send_burst = 32 };
	vio_net_props_init(&props);
	props.queue_pairs = PAIRS;
	props.mac[0] = 2;
	check(vio_device_create(fuzz_host(), &props, &w->be, &w->dev, &err) == 0);
	for (unsigned i = 0; i < PAIRS; i++)
		w->sinks[i] = vio_device_sink(w->dev, i);
	check(vio_sock_pair(ends) == 0);
	conf.fd = ends[0];
	w->front = ends[1];
	check(vio_vhost_user_create(fuzz_host(), w->dev, &runner, &conf, &w->server, &err) == 0);
	memset(w->avail, 0, sizeof(w->avail));
	memset(w->desc, 0, sizeof(w->desc));
	memset(w->driver, 0, sizeof(w->driver));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = &world;
	unsigned before;

	if (!w->scratch)
		open_fds(w);
	w->in = (struct fuzz_input){ data, size };
	empty_fds(w);
	before = fuzz_open_fds();
	create(w);
	while (w->in.left > 0)
		step(w);
	serve(w, 0);
	close(w->front);
	pump(w);
	vio_vhost_user_destroy(w->server);
	vio_device_destroy(w->dev);
	check(fuzz_open_fds() == before);
	return 0;
}
