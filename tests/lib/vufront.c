/* SPDX-License-Identifier: BSD-2-Clause */
#include "vufront.h"

#include <malloc.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "mem/map_linux.h"
#include "wire/sock.h"

#define HDR_LEN 12 /* net header under VERSION_1 */

/* ---- The device's surroundings ----------------------------------------------------------- */

static int backend_send(struct vio_backend *be, unsigned pair, struct vio_frame *frames, unsigned n)
{
	struct vuf_backend *b = vio_container_of(be, struct vuf_backend, be);
	unsigned i, k;

	(void)pair;
	if (b->busy) {
		b->busy--;
		return 0;
	}
	for (i = 0; i < n; i++) {
		uint32_t at = 0;

		for (k = 0; k < frames[i].iovcnt; k++) {
			size_t take = vio_min(frames[i].iov[k].len, sizeof(b->last) - at);

			memcpy(b->last + at, frames[i].iov[k].base, take);
			at += (uint32_t)take;
		}
		b->last_len = frames[i].len;
	}
	b->sent += n;
	return (int)n;
}

static const struct vio_backend_ops backend_ops = { .kind = "test", .send = backend_send };

static void exclusive(void *ctx, unsigned pair, void (*fn)(void *arg), void *arg)
{
	struct vuf *rig = ctx;

	(void)pair;
	if (rig->around)
		rig->around(rig, true);
	rig->in_exclusive++;
	fn(arg);
	rig->in_exclusive--;
	if (rig->around)
		rig->around(rig, false);
}

static void watch_kick(void *ctx, unsigned queue, int fd)
{
	struct vuf *rig = ctx;

	assert_int_equal(rig->in_exclusive, 1);
	assert_true(queue < VUF_MAX_RINGS);
	rig->kick[queue] = fd;
}

static void look(void *ctx, unsigned pair)
{
	struct vuf *rig = ctx;

	(void)pair;
	rig->looks++;
}

static void connection(void *ctx, bool up)
{
	struct vuf *rig = ctx;

	if (up)
		rig->ups++;
	else
		rig->downs++;
}

static struct vuf *logging; /* the rig that is told; one at a time */

static void log_line(void *ctx, enum vio_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	if (!logging)
		return;
	logging->warnings++;
	snprintf(logging->log, sizeof(logging->log), "%s", line);
}

static const struct vio_host *vuf_host(void)
{
	static struct vio_host host;

	host = *vio_host_linux(VIO_LOG_WARN);
	host.log = log_line;
	return &host;
}

static bool use_packed, use_in_order;

void vuf_use_format(bool packed, bool in_order)
{
	use_packed = packed;
	use_in_order = in_order;
}

static void open_device(struct vuf *rig, const struct vuf_conf *conf)
{
	struct vio_net_props props;
	bool in_order;
	struct vio_error err = { .msg = "" };

	rig->backend.be.ops = &backend_ops;
	rig->backend.be.caps = (struct vio_backend_caps){ .max_pairs = 128, .send_burst = 32 };
	vio_net_props_init(&props);
	props.queue_pairs = conf->pairs;
	props.mtu = conf->mtu;
	props.add.w[0] = conf->add;
	rig->packed = conf->packed || use_packed;
	in_order = conf->in_order || use_in_order;
	if (!rig->packed)
		vio_features_set(&props.remove, VIO_F_RING_PACKED);
	if (!in_order)
		vio_features_set(&props.remove, VIO_F_IN_ORDER);
	rig->features = VUF_FEATURES | (rig->packed ? vio_feature(VIO_F_RING_PACKED) : 0) |
			(in_order ? vio_feature(VIO_F_IN_ORDER) : 0);
	if (vio_device_create(vuf_host(), &props, &rig->backend.be, &rig->dev, &err))
		fail_msg("%s", err.msg);
	rig->scratch = vio_device_scratch_create(vuf_host());
	assert_non_null(rig->scratch);
}

int vuf_try(uint64_t add, struct vio_error *err)
{
	struct vio_vhost_user_conf conf = { .fd = -1, .socket_path = "/tmp/vufront-try.sock" };
	struct vuf *rig = calloc(1, sizeof(*rig));
	int ret;

	assert_non_null(rig);
	open_device(rig, &(struct vuf_conf){ .add = add });
	ret = vio_vhost_user_create(vuf_host(), rig->dev, &rig->runner, &conf, &rig->server, err);
	if (ret == 0)
		vio_vhost_user_destroy(rig->server);
	vio_device_scratch_destroy(rig->scratch);
	vio_device_destroy(rig->dev);
	free(rig);
	return ret;
}

static void take_front(struct vuf *rig, int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(vio_vu_conn_init(&rig->front, fd), 0);
	rig->front_open = true;
}

void vuf_open(struct vuf *rig, const struct vuf_conf *conf)
{
	struct vio_vhost_user_conf server = { .fd = -1, .offer_config = conf->offer_config };
	struct vio_error err = { .msg = "" };
	int fds[2], i;

	memset(rig, 0, sizeof(*rig));
	logging = rig;
	open_device(rig, conf);
	for (i = 0; i < VUF_MAX_RINGS; i++) {
		rig->kick[i] = -1;
		rig->kick_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig->call_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	rig->mem_fd = vuf_memfd("guest", VUF_MEM_SIZE);
	rig->mem = mmap(NULL, VUF_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rig->mem_fd, 0);
	assert_true(rig->mem != MAP_FAILED);
	rig->runner = (struct vio_device_runner){ rig, exclusive, watch_kick, look, connection };
	if (conf->listen) {
		snprintf(rig->path, sizeof(rig->path), "/tmp/vufront-%d.sock", (int)getpid());
		server.socket_path = rig->path;
	} else {
		assert_int_equal(vio_sock_pair(fds), 0);
		server.fd = fds[0];
	}
	if (vio_vhost_user_create(vuf_host(), rig->dev, &rig->runner, &server, &rig->server, &err))
		fail_msg("%s", err.msg);
	if (!conf->listen)
		take_front(rig, fds[1]);
}

void vuf_close(struct vuf *rig)
{
	int i;

	if (rig->front_open)
		vio_vu_conn_close(&rig->front);
	vio_vhost_user_destroy(rig->server);
	for (i = 0; i < VUF_MAX_RINGS; i++) {
		close(rig->kick_fd[i]);
		close(rig->call_fd[i]);
	}
	munmap(rig->mem, VUF_MEM_SIZE);
	close(rig->mem_fd);
	vio_device_scratch_destroy(rig->scratch);
	vio_device_destroy(rig->dev);
	logging = NULL;
}

/* ---- The connection ---------------------------------------------------------------------- */

bool vuf_wait(struct vuf *rig, int ms)
{
	struct pollfd pfd = { .fd = vio_vhost_user_fd(rig->server), .events = POLLIN };

	if (poll(&pfd, 1, ms) <= 0)
		return false;
	vio_vhost_user_handle(rig->server);
	return true;
}

void vuf_pump(struct vuf *rig)
{
	while (vuf_wait(rig, 0))
		;
}

bool vuf_connected(const struct vuf *rig)
{
	struct vio_vhost_user_status status;

	vio_vhost_user_status(rig->server, &status);
	return status.connected;
}

void vuf_connect(struct vuf *rig)
{
	take_front(rig, vio_sock_connect(rig->path));
	vuf_pump(rig);
}

void vuf_disconnect(struct vuf *rig)
{
	vio_vu_conn_close(&rig->front);
	rig->front_open = false;
	vuf_pump(rig);
}

void vuf_raw(struct vuf *rig, const void *bytes, size_t n, const int *fds, unsigned nfds)
{
	send_fds(rig->front.fd, bytes, n, fds, nfds, MSG_DONTWAIT);
}

void vuf_send(struct vuf *rig, const struct vio_vu_msg *msg)
{
	vio_vu_send(&rig->front, msg);
	vuf_pump(rig);
}

bool vuf_answer(struct vuf *rig, struct vio_vu_msg *msg)
{
	return vio_vu_recv(&rig->front, msg) == 1;
}

void vuf_ask(struct vuf *rig, const struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	vuf_send(rig, msg);
	if (!vuf_answer(rig, reply))
		fail_msg("no answer to message %u: %s", msg->hdr.request, rig->log);
	assert_int_equal(reply->hdr.request, msg->hdr.request);
	assert_int_equal(reply->hdr.flags, VIO_VU_VERSION | VIO_VU_REPLY);
}

uint64_t vuf_ack(struct vuf *rig, const struct vio_vu_msg *msg)
{
	struct vio_vu_msg asking = *msg, reply;

	asking.hdr.flags |= VIO_VU_NEED_REPLY;
	vuf_ask(rig, &asking, &reply);
	assert_int_equal(reply.hdr.size, 8);
	return reply.payload.u64;
}

/* ---- Messages ---------------------------------------------------------------------------- */

struct vio_vu_msg vuf_empty(uint32_t request)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 0);
	return msg;
}

struct vio_vu_msg vuf_u64(uint32_t request, uint64_t value)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, 8);
	msg.payload.u64 = value;
	return msg;
}

struct vio_vu_msg vuf_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(msg.payload.state));
	msg.payload.state = (struct vio_vu_vring_state){ index, num };
	return msg;
}

struct vio_vu_msg vuf_fd(uint32_t request, uint64_t value, int fd)
{
	struct vio_vu_msg msg = vuf_u64(request, value);

	msg.fds[0] = fd;
	msg.nfds = 1;
	return msg;
}

struct vio_vu_msg vuf_addr(uint32_t index, uint64_t mem_offset)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, VIO_VU_SET_VRING_ADDR, sizeof(msg.payload.addr));
	msg.payload.addr = (struct vio_vu_vring_addr){
		.index = index,
		.desc = VUF_USER + mem_offset,
		.avail = VUF_USER + mem_offset + 0x1000,
		.used = VUF_USER + mem_offset + 0x2000,
	};
	return msg;
}

struct vio_vu_msg vuf_mem_table(const struct vuf *rig)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, VIO_VU_SET_MEM_TABLE, 8 + sizeof(struct vio_vu_mem_region));
	msg.payload.mem_table.nregions = 1;
	msg.payload.mem_table.regions[0] =
		(struct vio_vu_mem_region){ VUF_GUEST, VUF_MEM_SIZE, VUF_USER, 0 };
	msg.fds[0] = rig->mem_fd;
	msg.nfds = 1;
	return msg;
}

struct vio_vu_msg vuf_mem_reg(uint32_t request, uint64_t guest, uint64_t size, uint64_t user,
			      uint64_t offset, int fd)
{
	struct vio_vu_msg msg;

	vio_vu_request(&msg, request, sizeof(msg.payload.mem_reg));
	msg.payload.mem_reg.region = (struct vio_vu_mem_region){ guest, size, user, offset };
	msg.fds[0] = fd;
	msg.nfds = fd >= 0;
	return msg;
}

uint64_t vuf_ask_u64(struct vuf *rig, uint32_t request)
{
	struct vio_vu_msg msg = vuf_empty(request), reply;

	vuf_ask(rig, &msg, &reply);
	assert_int_equal(reply.hdr.size, 8);
	return reply.payload.u64;
}

uint32_t vuf_get_base(struct vuf *rig, uint32_t index)
{
	struct vio_vu_msg msg = vuf_state(VIO_VU_GET_VRING_BASE, index, 0), reply;

	vuf_ask(rig, &msg, &reply);
	assert_int_equal(reply.hdr.size, 8);
	assert_int_equal(reply.payload.state.index, index);
	return reply.payload.state.num;
}

/* ---- Scripts ----------------------------------------------------------------------------- */

void vuf_start_ring(struct vuf *rig, unsigned q, uint32_t base)
{
	if (rig->packed && base == 0)
		base = 0x80008000;
	struct vio_vu_msg msgs[] = {
		vuf_state(VIO_VU_SET_VRING_NUM, q, VUF_NUM),
		vuf_state(VIO_VU_SET_VRING_BASE, q, base),
		vuf_addr(q, (uint64_t)q * VUF_RING_SIZE),
		vuf_fd(VIO_VU_SET_VRING_KICK, q, rig->kick_fd[q]),
		vuf_fd(VIO_VU_SET_VRING_CALL, q, rig->call_fd[q]),
	};
	unsigned i;

	for (i = 0; i < vio_array_size(msgs); i++)
		vuf_send(rig, &msgs[i]);
}

void vuf_start(struct vuf *rig, unsigned rings)
{
	uint64_t protocol = vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK);
	struct vio_vu_msg msg;
	unsigned q;

	msg = vuf_u64(VIO_VU_SET_PROTOCOL_FEATURES, protocol);
	vuf_send(rig, &msg);
	msg = vuf_u64(VIO_VU_SET_FEATURES, rig->features);
	vuf_send(rig, &msg);
	msg = vuf_mem_table(rig);
	vuf_send(rig, &msg);
	for (q = 0; q < rings; q++) {
		vuf_start_ring(rig, q, 0);
		msg = vuf_state(VIO_VU_SET_VRING_ENABLE, q, 1);
		vuf_send(rig, &msg);
		if (!vio_device_queue_running(rig->dev, q))
			fail_msg("ring %u does not run: %s", q, rig->log);
	}
}

static uint8_t *ring_at(const struct vuf *rig, unsigned q)
{
	return rig->mem + q * VUF_RING_SIZE;
}

/* Bit 15: the counter of the lap that buffer number @n is made available in. */
static bool lap_of(uint16_t n)
{
	return n / VUF_NUM % 2 == 0;
}

static void send_packed(struct vuf *rig, unsigned q, uint32_t len)
{
	uint16_t n = rig->avail[q]++, slot = n % VUF_NUM;
	struct vio_pvirtq_desc *desc = (void *)ring_at(rig, q);

	desc[slot].addr = VUF_GUEST + VUF_BUFFERS;
	desc[slot].len = len;
	desc[slot].id = slot;
	vio_store_release(&desc[slot].flags,
			  (uint16_t)(lap_of(n) ? VIO_DESC_F_AVAIL : VIO_DESC_F_USED));
}

void vuf_guest_send(struct vuf *rig, unsigned q, uint32_t len)
{
	struct vio_virtq_desc *desc = (void *)ring_at(rig, q);
	uint16_t *avail = (void *)(ring_at(rig, q) + 0x1000);
	uint16_t slot = rig->avail[q] % VUF_NUM;

	memset(rig->mem + VUF_BUFFERS, 0, HDR_LEN);
	memset(rig->mem + VUF_BUFFERS + HDR_LEN, 0x5a, len);
	if (rig->packed) {
		send_packed(rig, q, HDR_LEN + len);
		return;
	}
	desc[slot] = (struct vio_virtq_desc){ .addr = VUF_GUEST + VUF_BUFFERS, HDR_LEN + len };
	avail[2 + slot] = slot;
	vio_store_release(&avail[1], ++rig->avail[q]);
}

/* Each buffer has one descriptor here; of a batch (IN_ORDER) only the last is written, and that is
 * what is looked for first. */
static void see_used(struct vuf *rig, unsigned q)
{
	const struct vio_pvirtq_desc *desc = (const void *)ring_at(rig, q);
	uint16_t both = VIO_DESC_F_AVAIL | VIO_DESC_F_USED, n = rig->used[q];
	bool in_order = rig->features & vio_feature(VIO_F_IN_ORDER);

	while (n != rig->avail[q]) {
		const struct vio_pvirtq_desc *d = &desc[n % VUF_NUM];

		if ((vio_load_acquire(&d->flags) & both) != (lap_of(n) ? both : 0))
			break;
		n = (uint16_t)(n + 1 + (in_order ? (uint16_t)(d->id - n % VUF_NUM) % VUF_NUM : 0));
	}
	rig->used[q] = n;
}

uint16_t vuf_used_idx(struct vuf *rig, unsigned q)
{
	const uint16_t *used = (const void *)(ring_at(rig, q) + 0x2000);

	if (!rig->packed)
		return vio_load_acquire(&used[1]);
	see_used(rig, q);
	return rig->used[q];
}

void vuf_clear_memory(struct vuf *rig)
{
	memset(rig->mem, 0, VUF_MEM_SIZE);
	memset(rig->avail, 0, sizeof(rig->avail));
	memset(rig->used, 0, sizeof(rig->used));
}

void vuf_clear_ring(struct vuf *rig, unsigned q)
{
	memset(ring_at(rig, q), 0, VUF_RING_SIZE);
	rig->avail[q] = rig->used[q] = 0;
}

void vuf_set_used_idx(struct vuf *rig, unsigned q, uint16_t idx)
{
	uint16_t *used = (void *)(ring_at(rig, q) + 0x2000);

	vio_store_release(&used[1], idx);
}

int vuf_serve(struct vuf *rig, unsigned pair)
{
	int ret;

	vio_device_begin(rig->dev, pair, rig->scratch);
	ret = vio_device_tx(rig->dev, pair, 32);
	vio_device_end(rig->dev, pair);
	return ret;
}

bool vuf_frame_passes(struct vuf *rig, unsigned q)
{
	unsigned sent = rig->backend.sent;

	vuf_guest_send(rig, q, 60);
	return vuf_serve(rig, q / 2) == 1 && rig->backend.sent == sent + 1 &&
	       rig->backend.last_len == 60 && vuf_used_idx(rig, q) == rig->avail[q];
}

uint64_t vuf_eventfd_take(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* ---- What the process holds -------------------------------------------------------------- */

static unsigned scan_maps(const char *name, uintptr_t *first)
{
	char line[512], memfd[64];
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned n = 0;

	assert_non_null(maps);
	snprintf(memfd, sizeof(memfd), "/memfd:%s ", name);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, memfd))
			continue;
		if (n++ == 0)
			*first = strtoul(line, NULL, 16);
	}
	fclose(maps);
	return n;
}

unsigned vuf_count_maps(const char *name)
{
	uintptr_t first;

	return scan_maps(name, &first);
}

uintptr_t vuf_find_map(const char *name)
{
	uintptr_t first = 0;

	scan_maps(name, &first);
	return first;
}

size_t vuf_heap_bytes(void)
{
	return mallinfo2().uordblks;
}

int vuf_memfd(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct sigaction guard;

void vuf_guard_init(void)
{
	struct vio_map *map;
	int fd;

	/* The first mapping installs it; the descriptor is made once, too. */
	if (vio_map_shared(4096, VIO_MAP_SMALL_PAGES, &fd, &map, NULL) == 0) {
		vio_map_put(map);
		close(fd);
	}
	vio_map_gone_fd();
	sigaction(SIGBUS, NULL, &guard);
}

void vuf_guard_use(void)
{
	sigaction(SIGBUS, &guard, NULL);
}
