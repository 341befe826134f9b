/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings over vhost-user: from what the front end says in pieces to a queue that runs.
 *
 * A front end describes a ring in half a dozen messages, in an order of its own, and repeats some of
 * them. Therefore no message starts a queue by itself. Each only changes the description, and then
 * vu_ring_sync() compares: is everything there that a queue needs, and where does that lie in
 * memory? It starts, moves or stops the queue accordingly. A ring whose memory is taken away is
 * stopped where it stands, and goes on there if its memory comes back.
 *
 * A ring is started by its kick descriptor and stopped by GET_VRING_BASE (the protocol document's
 * "starting and stopping rings"). Being enabled is another thing: a ring that is started and not
 * enabled takes frames and drops them, which is the device's business.
 *
 * The queue belongs to the thread that serves its pair. Whatever touches it runs inside the runner's
 * exclusive(), as one of the jobs below.
 *
 * Descriptors from the peer. We write to the call and error descriptors, and a peer must not make
 * this thread wait or die by what it passes for one: only eventfds are taken, and they are made
 * non-blocking, so that one whose counter is full costs nothing. A kick descriptor is only ever
 * waited on.
 *
 * The limit of that: the flag belongs to the open file, which we share with the front end. One that
 * takes the flag back and fills the counter makes our write sleep for as long as it likes, and with
 * it the worker of that pair, and whoever waits for that worker. (Not the guest behind it, which
 * never has the descriptor.) Linux has no write to an eventfd that is non-blocking by itself: with
 * RWF_NOWAIT it can only be read (up to 6.18 pwritev2() says EOPNOTSUPP, as it does for all files
 * without write_iter), and splice() has no way into it (EINVAL, since 5.10). Nor can an eventfd be
 * opened anew (ENXIO), and to look first (poll(), F_GETFL) only makes it a race; a write of 0 has
 * nearly always room, but leaves nothing to be read. The kernel never sleeps where it signals an
 * eventfd for us, as it does at the end of an asynchronous read of nothing (io_submit() with
 * IOCB_FLAG_RESFD), but that takes three times as long at every interrupt.
 */
#include "vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/endian.h"
#include "base/fmt.h"

/* How often a ring without a kick descriptor is looked at. */
#define POLL_NS 1000000

/* What is done to one queue while nobody serves it. */
struct ring_job {
	struct vio_vhost_user *s;
	unsigned index;
	struct vio_vq_areas areas;
	enum vio_vq_error why;
	int fd;	 /* in: the new one; out: the old one */
	int ret; /* out */
};

static void run(struct ring_job *job, void (*fn)(void *arg))
{
	const struct vio_device_runner *runner = job->s->runner;

	runner->exclusive(runner->ctx, job->index / 2, fn, job);
}

static void look(struct vio_vhost_user *s, unsigned index)
{
	s->runner->look(s->runner->ctx, index / 2);
}

/* Without protocol features there is no message to enable a ring: it is from the start. */
static bool is_enabled(const struct vio_vhost_user *s, const struct vu_ring *r)
{
	if (r->enable_given)
		return r->enabled;
	return !(s->features & UINT64_C(1) << VIO_VU_F_PROTOCOL_FEATURES);
}

static void job_start(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;
	struct vu_ring *r = &s->rings[job->index];
	struct vio_devq_setup setup = { .num = r->num, .areas = job->areas, .base = r->base };

	job->ret = vio_device_queue_start(s->dev, job->index, &setup, s->table->mem);
	if (job->ret)
		return;
	vio_device_queue_enable(s->dev, job->index, is_enabled(s, r));
	s->runner->watch_kick(s->runner->ctx, job->index, r->kick_fd);
}

static void job_move(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;

	vio_device_queue_set_mem(s->dev, job->index, s->table->mem, &job->areas);
	vio_device_queue_enable(s->dev, job->index, is_enabled(s, &s->rings[job->index]));
}

static void job_stop(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;

	vio_device_queue_stop(s->dev, job->index, &s->rings[job->index].base);
	s->runner->watch_kick(s->runner->ctx, job->index, -1);
}

static void job_break(void *arg)
{
	struct ring_job *job = arg;

	vio_device_queue_break(job->s->dev, job->index, job->why);
}

static void job_set_kick(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;
	int fd = job->fd;

	job->fd = s->rings[job->index].kick_fd;
	s->rings[job->index].kick_fd = fd;
	if (vio_device_queue_running(s->dev, job->index))
		s->runner->watch_kick(s->runner->ctx, job->index, fd);
}

static void job_set_call(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;
	int fd = job->fd;

	job->fd = s->rings[job->index].call_fd;
	s->rings[job->index].call_fd = fd;
}

static void job_set_err(void *arg)
{
	struct ring_job *job = arg;
	struct vio_vhost_user *s = job->s;
	int fd = job->fd;

	job->fd = s->rings[job->index].err_fd;
	s->rings[job->index].err_fd = fd;
}

static bool is_aligned(const void *p, size_t align)
{
	return ((uintptr_t)p & (align - 1)) == 0;
}

/* Where the ring lies for us. 0; -EFAULT when memory does not hold all of it; -EINVAL when it lies
 * where no ring may. */
static int find_areas(const struct vio_vhost_user *s, const struct vu_ring *r,
		      struct vio_vq_areas *areas)
{
	const struct vio_mem *mem = s->table->mem;
	uint64_t features = vio_device_driver_features(s->dev).w[0];
	struct vio_vq_sizes sizes = vio_vq_area_sizes(r->num, features);

	areas->desc = vio_mem_user_span(mem, r->desc, sizes.desc);
	areas->driver = vio_mem_user_span(mem, r->driver, sizes.driver);
	areas->device = vio_mem_user_span(mem, r->device, sizes.device);
	if (!areas->desc || !areas->driver || !areas->device)
		return -EFAULT;
	if (!is_aligned(areas->desc, sizes.desc_align) ||
	    !is_aligned(areas->driver, sizes.driver_align) ||
	    !is_aligned(areas->device, sizes.device_align))
		return -EINVAL;
	return 0;
}

static bool is_complete(const struct vio_vhost_user *s, const struct vu_ring *r)
{
	return r->started && r->num && r->has_addr && r->has_base && s->features_set && s->table;
}

/*
 * Where a split ring goes on. A net device never stops with a buffer in its hands, so what the used
 * ring holds says it as well as the base does, and it is right where the base is not: DPDK's driver
 * says 0 when its device comes back in the middle of a ring, and of another back end's buffers in
 * flight nobody would ever hear again. A frame may be sent twice for that, none is lost.
 */
static void find_base(struct vio_vhost_user *s, const struct ring_job *job)
{
	const struct vio_virtq_used *used = job->areas.device;
	struct vu_ring *r = &s->rings[job->index];
	uint16_t idx;

	if (vio_features_test(vio_device_driver_features(s->dev), VIO_F_RING_PACKED))
		return;
	idx = vio_le16(vio_load(&used->idx));
	if (idx == r->base)
		return;
	vu_complain(s, "queue %u: base %u, but the used ring holds %u; going on there", job->index,
		    r->base, idx);
	r->base = idx;
}

static int ring_start(struct vio_vhost_user *s, struct ring_job *job)
{
	find_base(s, job);
	run(job, job_start);
	if (job->ret)
		return vu_refuse(s, job->ret,
				 "queue %u: can't start a ring of %u at index %u (error %d)",
				 job->index, s->rings[job->index].num, s->rings[job->index].base,
				 -job->ret);
	look(s, job->index);
	return 0;
}

int vu_ring_sync(struct vio_vhost_user *s, unsigned index)
{
	struct vu_ring *r = &s->rings[index];
	struct ring_job job = { .s = s, .index = index };
	bool running = vio_device_queue_running(s->dev, index);
	int ret;

	if (!is_complete(s, r)) {
		if (running)
			run(&job, job_stop);
		return 0;
	}
	ret = find_areas(s, r, &job.areas);
	if (ret == 0 && !running)
		return ring_start(s, &job);
	if (ret == 0) {
		run(&job, job_move);
		look(s, index);
		return 0;
	}
	if (running)
		run(&job, job_stop);
	if (ret == -EINVAL)
		return vu_refuse(s, ret, "queue %u: the ring is not aligned", index);
	vu_complain(s, "queue %u: the ring is not in guest memory; it waits", index);
	return 0;
}

void vu_rings_sync(struct vio_vhost_user *s)
{
	unsigned i;

	for (i = 0; i < s->num_rings; i++)
		if (vu_ring_sync(s, i) < 0)
			vu_complain(s, "%s", s->why.msg);
}

/* Ticks come as long as there is a ring to look at. */
static void count_polled(struct vio_vhost_user *s)
{
	unsigned i, n = 0;

	for (i = 0; i < s->num_rings; i++)
		n += s->rings[i].started && s->rings[i].kick_fd < 0;
	if (!n != !s->polled)
		vu_timer_set(s->poll_fd, n ? POLL_NS : 0, n ? POLL_NS : 0);
	s->polled = n;
}

void vu_rings_poll(struct vio_vhost_user *s)
{
	unsigned i;

	for (i = 0; i < s->num_rings; i++)
		if (s->rings[i].started && s->rings[i].kick_fd < 0)
			look(s, i);
}

static void replace_fd(int *at, int fd)
{
	if (*at >= 0)
		close(*at);
	*at = fd;
}

void vu_ring_stop(struct vio_vhost_user *s, unsigned index)
{
	struct vu_ring *r = &s->rings[index];
	struct ring_job job = { .s = s, .index = index };

	if (vio_device_queue_running(s->dev, index))
		run(&job, job_stop);
	replace_fd(&r->kick_fd, -1);
	r->started = false;
	count_polled(s);
}

void vu_rings_stop(struct vio_vhost_user *s)
{
	unsigned i;

	for (i = 0; i < s->num_rings; i++)
		vu_ring_stop(s, i);
}

void vu_rings_reset(struct vio_vhost_user *s)
{
	unsigned i;

	vu_rings_stop(s);
	for (i = 0; i < s->num_rings; i++) {
		replace_fd(&s->rings[i].call_fd, -1);
		replace_fd(&s->rings[i].err_fd, -1);
		s->rings[i] = (struct vu_ring){ .kick_fd = -1, .call_fd = -1, .err_fd = -1 };
	}
}

void vu_rings_break(struct vio_vhost_user *s, enum vio_vq_error why)
{
	unsigned i;

	for (i = 0; i < s->num_rings; i++) {
		struct ring_job job = { .s = s, .index = i, .why = why };

		if (vio_device_queue_running(s->dev, i))
			run(&job, job_break);
	}
}

/* ---- Descriptors ------------------------------------------------------------------------- */

/*
 * Whether @fd is an eventfd: /proc tells its name. Where there is no /proc, all that can be seen is
 * that it has no file type, like all files without a place in a file system; what else is of that
 * kind refuses our write with an error.
 */
static bool is_eventfd(int fd)
{
	char path[32], name[32];
	struct stat st;
	ssize_t n;

	vio_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
	name[n] = '\0';
	return strcmp(name, "anon_inode:[eventfd]") == 0;
}

static int check_eventfd(struct vio_vhost_user *s, unsigned index, const char *what, int fd)
{
	int flags;

	if (fd < 0)
		return 0;
	if (!is_eventfd(fd))
		return vu_refuse(s, -EINVAL, "queue %u: the %s descriptor is no eventfd", index,
				 what);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return vu_refuse(s, -errno, "queue %u: the %s descriptor: %s", index, what,
				 strerror(errno));
	return 0;
}

/* Full means that the other side has not looked at what it was told before: nothing is lost. */
static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t ignored;

	if (fd < 0)
		return;
	ignored = write(fd, &one, sizeof(one));
	(void)ignored;
}

/* Swaps a descriptor where its user can't be in the middle of using it; closes the old one. */
static void swap_fd(struct vio_vhost_user *s, unsigned index, int fd, void (*fn)(void *arg))
{
	struct ring_job job = { .s = s, .index = index, .fd = fd };

	if (vio_device_queue_running(s->dev, index))
		run(&job, fn);
	else
		fn(&job);
	if (job.fd >= 0)
		close(job.fd);
}

int vu_ring_set_kick(struct vio_vhost_user *s, unsigned index, int fd)
{
	int ret = check_eventfd(s, index, "kick", fd);

	if (ret)
		return ret;
	swap_fd(s, index, fd, job_set_kick);
	s->rings[index].started = true;
	count_polled(s);
	return 0;
}

int vu_ring_set_call(struct vio_vhost_user *s, unsigned index, int fd)
{
	int ret = check_eventfd(s, index, "call", fd);

	if (ret)
		return ret;
	swap_fd(s, index, fd, job_set_call);
	/* An interrupt that went to the old descriptor meanwhile may have found nobody. */
	if (vio_device_queue_running(s->dev, index))
		signal_fd(fd);
	return 0;
}

int vu_ring_set_err(struct vio_vhost_user *s, unsigned index, int fd)
{
	int ret = check_eventfd(s, index, "error", fd);

	if (ret == 0)
		swap_fd(s, index, fd, job_set_err);
	return ret;
}

/* ---- What the device asks for ------------------------------------------------------------ */

static void transport_call(void *ctx, unsigned queue)
{
	struct vio_vhost_user *s = ctx;

	signal_fd(s->rings[queue].call_fd);
}

static void transport_queue_broken(void *ctx, unsigned queue, enum vio_vq_error why)
{
	struct vio_vhost_user *s = ctx;

	vu_complain(s, "queue %u: broken: %s", queue, vio_vq_error_name(why));
	signal_fd(s->rings[queue].err_fd);
}

static void transport_config_changed(void *ctx)
{
	struct vio_vhost_user *s = ctx;
	struct vio_vu_msg msg;

	if (!s->has_back || !(s->protocol & vio_vu_feature(VIO_VU_PROTOCOL_F_CONFIG)))
		return;
	vio_vu_request(&msg, VIO_VU_BACKEND_CONFIG_CHANGE_MSG, 0);
	if (vio_vu_send(&s->back, &msg) < 0) {
		vio_log(s->host, VIO_LOG_WARN, "the channel to the front end: %s", s->back.reason);
		vu_set_back(s, -1);
		return;
	}
	vu_rewatch(s, &s->back, VU_BACK);
}

/*
 * A front end resets one queue by GET_VRING_BASE, after which ring and size may be others. That
 * always works, whatever was negotiated; but the feature tells the guest that it may ask for it, and
 * QEMU (up to now) passes the feature on, resets a queue of its own, and leaves the back end at work
 * on memory that the guest has taken back. So it has to be asked for.
 */
const struct vio_device_transport_ops vu_transport_ops = {
	.ctrl_elsewhere = true,
	.on_request = UINT64_C(1) << VIO_F_RING_RESET,
	.call = transport_call,
	.config_changed = transport_config_changed,
	.queue_broken = transport_queue_broken,
};
