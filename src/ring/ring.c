/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues: theory of operation.
 *
 * A virtqueue is a channel between a driver and a device through memory that both can reach. The
 * driver describes buffers in descriptors and makes them available; the device uses them and says
 * how much it wrote. Everything above works with bursts of buffers and never sees a descriptor:
 *
 *	driver	add_burst -> publish -> (kick) ... reap_burst
 *	device	pop_burst -> work -> push_burst -> publish -> (interrupt)
 *
 * add and push write into the ring without telling anybody; publish is the commit: one release
 * store of one index, a full barrier, one look at whether the other side wants to be woken.
 *
 * Three rules hold in every format:
 *
 * 1. Private memory is the truth. Free descriptors, what is in flight, which token belongs to what,
 *    copies of everything we wrote: all of it lives in storage that the peer cannot reach. Shared
 *    memory is written, and of what we wrote there nothing is ever read back.
 *
 * 2. What the peer wrote is read once, into a local, checked there and used from there. After the
 *    check it does not matter what the peer does to the original. A value that no correct peer
 *    writes breaks the queue: the table of functions is exchanged for one that refuses
 *    everything, so the working paths need no test for it. When buffers of the same burst were
 *    good, they are delivered and the queue breaks on the next call, which reads the bad one again.
 *
 * 3. A cache line that both cores want is the only expensive thing. An index is read at most once a
 *    burst, and not at all while the private copy of it still has enough; it is written once a
 *    burst. A descriptor or ring entry that already holds what we would write is not written: the
 *    line then stays valid in both caches. Free descriptors are therefore taken in the order they
 *    came back, so that a peer that works in order meets the same descriptor in the same ring
 *    entry on every lap, and with buffers that come round in order nothing but the two indices
 *    and the payload travels between the cores.
 *
 * Notifications (virtio 1.4, 2.7.7, 2.7.10): each side tells the other whether it wants to be woken.
 * Going to sleep is "ask for it, full barrier, look once more"; waking is "publish, full barrier,
 * look whether it was asked for". Of two sides that do this at the same time at least one sees the
 * other, so no wake-up is lost. While a side polls it leaves notifications off, and with event
 * index it need not even write for that: an event that lies behind stays behind for a lap of 65536.
 *
 * Formats: split_driver.c and split_device.c, packed_driver.c and packed_device.c; what the device
 * sides share is in chain.h. This file chooses one at set-up and dispatches. IN_ORDER is a format of
 * its own where buffers come back: one used entry may stand for several of them.
 */
#include <errno.h>

#include "base/barrier.h"
#include "ring/chain.h"
#include "ring/ring.h"
#include "ring/vector.h"

static const char *const error_names[VIO_VQ_NR_ERRORS] = {
	[VIO_VQ_OK] = "no error",
	[VIO_VQ_AVAIL_JUMP] = "available index out of bounds",
	[VIO_VQ_BAD_HEAD] = "descriptor index out of range or in flight",
	[VIO_VQ_CHAIN_LOOP] = "descriptor chain longer than the queue",
	[VIO_VQ_BAD_ORDER] = "device-readable descriptor after a device-writable one",
	[VIO_VQ_BAD_ADDRESS] = "descriptor outside of guest memory",
	[VIO_VQ_ZERO_LENGTH] = "descriptor of length 0",
	[VIO_VQ_BAD_INDIRECT] = "bad indirect descriptor",
	[VIO_VQ_TOO_LONG] = "buffer too long or in too many pieces",
	[VIO_VQ_BAD_FLAGS] = "impossible descriptor flags",
	[VIO_VQ_USED_JUMP] = "used index out of bounds",
	[VIO_VQ_BAD_ID] = "used id out of range",
	[VIO_VQ_NOT_IN_FLIGHT] = "used id not in flight",
	[VIO_VQ_BAD_USED_LEN] = "used length above what was posted",
	[VIO_VQ_BAD_FRAME] = "buffer unfit for the device type",
	[VIO_VQ_MEMORY_GONE] = "shared memory gone",
};

const char *vio_vq_error_name(enum vio_vq_error error)
{
	if ((unsigned)error >= VIO_VQ_NR_ERRORS)
		return "unknown error";
	return error_names[error];
}

/* ---- Geometry ---------------------------------------------------------------------------- */

static bool is_packed(uint64_t features)
{
	return (features & vio_feature(VIO_F_RING_PACKED)) != 0;
}

struct vio_vq_sizes vio_vq_area_sizes(uint32_t num, uint64_t features)
{
	if (is_packed(features))
		return (struct vio_vq_sizes){
			.desc = VIO_PVIRTQ_DESC_SIZE(num),
			.driver = sizeof(struct vio_pvirtq_event),
			.device = sizeof(struct vio_pvirtq_event),
			.desc_align = VIO_PVIRTQ_DESC_ALIGN,
			.driver_align = VIO_PVIRTQ_EVENT_ALIGN,
			.device_align = VIO_PVIRTQ_EVENT_ALIGN,
		};
	return (struct vio_vq_sizes){
		.desc = VIO_VIRTQ_DESC_SIZE(num),
		.driver = VIO_VIRTQ_AVAIL_SIZE(num),
		.device = VIO_VIRTQ_USED_SIZE(num),
		.desc_align = VIO_VIRTQ_DESC_ALIGN,
		.driver_align = VIO_VIRTQ_AVAIL_ALIGN,
		.device_align = VIO_VIRTQ_USED_ALIGN,
	};
}

int vio_vq_check_size(uint32_t num, uint64_t features)
{
	if (num < 1 || num > VIO_VQ_MAX_SIZE)
		return -EINVAL;
	if (!is_packed(features) && !vio_is_pow2(num))
		return -EINVAL;
	return 0;
}

static bool area_ok(const void *area, size_t align)
{
	return area && ((uintptr_t)area & (align - 1)) == 0;
}

bool vio_vq_areas_ok(const struct vio_vq_areas *areas, const struct vio_vq_sizes *sizes)
{
	return area_ok(areas->desc, sizes->desc_align) &&
	       area_ok(areas->driver, sizes->driver_align) &&
	       area_ok(areas->device, sizes->device_align);
}

/* ---- Kernels ------------------------------------------------------------------------------- */

const struct ring_vector *vio_ring_vector(void)
{
	static const struct ring_vector *const levels[VIO_SIMD_LEVELS] = {
#if VIO_SIMD_X86
		[VIO_SIMD_AVX2] = &vio_ring_avx2,
		[VIO_SIMD_AVX512] = &vio_ring_avx512,
#endif
#if VIO_SIMD_ARM64
		[VIO_SIMD_NEON] = &vio_ring_neon,
#endif
	};

	return levels[vio_simd_level()];
}

/* ---- Driver side ------------------------------------------------------------------------- */

size_t vio_drvq_bytes(uint32_t num, uint64_t features)
{
	return is_packed(features) ? vio_packed_drvq_bytes(num) : vio_split_drvq_bytes(num);
}

int vio_drvq_init(void *storage, const struct vio_drvq_setup *setup, struct vio_drvq **q)
{
	if (vio_vq_check_size(setup->num, setup->features) < 0)
		return -EINVAL;
	return is_packed(setup->features) ? vio_packed_drvq_init(storage, setup, q) :
					    vio_split_drvq_init(storage, setup, q);
}

uint32_t vio_drvq_free(const struct vio_drvq *q)
{
	return q->free;
}

uint32_t vio_drvq_in_flight(const struct vio_drvq *q)
{
	return q->in_flight;
}

uint32_t vio_drvq_size(const struct vio_drvq *q)
{
	return q->num;
}

enum vio_vq_error vio_drvq_error(const struct vio_drvq *q)
{
	return (enum vio_vq_error)vio_load(&q->error);
}

void vio_drvq_break(struct vio_drvq *q, enum vio_vq_error why)
{
	if (q->error != VIO_VQ_OK || why == VIO_VQ_OK)
		return;
	q->ops = q->ops->broken;
	vio_store(&q->error, (uint32_t)why);
}

int vio_drvq_add_burst(struct vio_drvq *q, const struct vio_drvq_buf *bufs, unsigned n)
{
	return q->ops->add_burst(q, bufs, n);
}

int vio_drvq_add_singles(struct vio_drvq *q, const struct vio_seg *segs, void *const *tokens,
			 unsigned n, bool write)
{
	return q->ops->add_singles(q, segs, tokens, n, write);
}

void vio_drvq_show(struct vio_drvq *q)
{
	q->ops->show(q);
}

bool vio_drvq_must_kick(struct vio_drvq *q)
{
	return q->ops->must_kick(q);
}

bool vio_drvq_publish(struct vio_drvq *q)
{
	q->ops->show(q);
	return q->ops->must_kick(q);
}

int vio_drvq_reap_burst(struct vio_drvq *q, struct vio_drvq_done *done, unsigned n)
{
	return q->ops->reap_burst(q, done, n);
}

void vio_drvq_prefetch(const struct vio_drvq *q)
{
	if (q->ops->prefetch)
		q->ops->prefetch(q);
}

bool vio_drvq_has_used(const struct vio_drvq *q)
{
	return q->ops->has_used(q);
}

bool vio_drvq_notify_enable(struct vio_drvq *q, uint16_t after)
{
	return q->ops->notify_enable(q, after);
}

void vio_drvq_notify_disable(struct vio_drvq *q)
{
	q->ops->notify_disable(q);
}

void *vio_drvq_detach(struct vio_drvq *q)
{
	return q->ops->detach(q);
}

uint16_t vio_drvq_avail_pos(const struct vio_drvq *q)
{
	return q->ops->avail_pos(q);
}

int vio_drvq_broken_add(struct vio_drvq *q, const struct vio_drvq_buf *bufs, unsigned n)
{
	(void)q, (void)bufs, (void)n;
	return -EPROTO;
}

int vio_drvq_broken_add_singles(struct vio_drvq *q, const struct vio_seg *segs, void *const *tokens,
				unsigned n, bool write)
{
	(void)q, (void)segs, (void)tokens, (void)n, (void)write;
	return -EPROTO;
}

int vio_drvq_broken_reap(struct vio_drvq *q, struct vio_drvq_done *done, unsigned n)
{
	(void)q, (void)done, (void)n;
	return -EPROTO;
}

void vio_drvq_broken_show(struct vio_drvq *q)
{
	(void)q;
}

bool vio_drvq_broken_must_kick(struct vio_drvq *q)
{
	(void)q;
	return false;
}

bool vio_drvq_broken_has_used(const struct vio_drvq *q)
{
	(void)q;
	return false;
}

bool vio_drvq_broken_notify_enable(struct vio_drvq *q, uint16_t after)
{
	(void)q, (void)after;
	return false;
}

void vio_drvq_broken_notify_disable(struct vio_drvq *q)
{
	(void)q;
}

/* ---- Device side ------------------------------------------------------------------------- */

size_t vio_devq_bytes(uint32_t num, uint64_t features)
{
	return is_packed(features) ? vio_packed_devq_bytes(num) : vio_split_devq_bytes(num);
}

/* Whether two areas of local memory have a byte in common. */
static bool overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
	uintptr_t a0 = (uintptr_t)a, b0 = (uintptr_t)b;

	return a0 < b0 ? b0 - a0 < a_len : a0 - b0 < b_len;
}

int vio_devq_init(void *storage, const struct vio_devq_setup *setup, struct vio_devq **q)
{
	const struct vio_vq_areas *a = &setup->areas;
	struct vio_vq_sizes s;

	if (vio_vq_check_size(setup->num, setup->features) < 0)
		return -EINVAL;
	s = vio_vq_area_sizes(setup->num, setup->features);
	if (!vio_vq_areas_ok(a, &s))
		return -EINVAL;
	/* The areas come from the driver, which may have laid one over another. */
	if (overlap(a->desc, s.desc, a->driver, s.driver) ||
	    overlap(a->desc, s.desc, a->device, s.device) ||
	    overlap(a->driver, s.driver, a->device, s.device))
		return -EINVAL;
	return is_packed(setup->features) ? vio_packed_devq_init(storage, setup, q) :
					    vio_split_devq_init(storage, setup, q);
}

unsigned vio_devq_pool_min(uint32_t num)
{
	return num + CHAIN_EXTRA_PIECES + 1;
}

void vio_devq_move(struct vio_devq *q, const struct vio_vq_areas *areas)
{
	q->ops->move(q, areas);
}

uint32_t vio_devq_size(const struct vio_devq *q)
{
	return q->num;
}

uint32_t vio_devq_in_flight(const struct vio_devq *q)
{
	return q->in_flight;
}

enum vio_vq_error vio_devq_error(const struct vio_devq *q)
{
	return (enum vio_vq_error)vio_load(&q->error);
}

void vio_devq_break(struct vio_devq *q, enum vio_vq_error why)
{
	if (q->error != VIO_VQ_OK || why == VIO_VQ_OK)
		return;
	q->ops = q->ops->broken;
	vio_store(&q->error, (uint32_t)why);
}

uint32_t vio_devq_base(const struct vio_devq *q)
{
	return q->ops->base(q);
}

int vio_devq_pop_burst(struct vio_devq *q, const struct vio_mem *mem, struct vio_chain *chains,
		       unsigned n, struct vio_iov *iov, unsigned niov)
{
	return q->ops->pop_burst(q, mem, chains, n, iov, niov);
}

int vio_devq_pop_ahead(struct vio_devq *q, const struct vio_mem *mem, struct vio_chain *chains,
		       unsigned n, struct vio_iov *iov, unsigned niov)
{
	int ret;

	q->ahead = true;
	ret = q->ops->pop_burst(q, mem, chains, n, iov, niov);
	q->ahead = false;
	return vio_max(ret, 0);
}

int vio_devq_pop_fault(struct vio_devq *q, enum vio_vq_error why)
{
	if (!q->ahead)
		vio_devq_break(q, why);
	return -EPROTO;
}

void vio_devq_unpop(struct vio_devq *q, const struct vio_chain *chains, unsigned n)
{
	q->ops->unpop(q, chains, n);
}

int vio_devq_push_burst(struct vio_devq *q, const struct vio_chain *chains, unsigned n)
{
	return q->ops->push_burst(q, chains, n);
}

bool vio_devq_publish(struct vio_devq *q)
{
	return q->ops->publish(q);
}

uint32_t vio_devq_keep_back(struct vio_devq *q, uint32_t keep)
{
	return q->ops->keep_back ? q->ops->keep_back(q, keep) : 0;
}

bool vio_devq_has_avail(struct vio_devq *q)
{
	return q->ops->has_avail(q);
}

uint32_t vio_devq_avail_count(struct vio_devq *q)
{
	return q->ops->avail_count(q);
}

bool vio_devq_kick_enable(struct vio_devq *q, uint32_t beyond)
{
	return q->ops->kick_enable(q, beyond);
}

void vio_devq_kick_disable(struct vio_devq *q)
{
	q->ops->kick_disable(q);
}

int vio_devq_broken_pop(struct vio_devq *q, const struct vio_mem *mem, struct vio_chain *chains,
			unsigned n, struct vio_iov *iov, unsigned niov)
{
	(void)q, (void)mem, (void)chains, (void)n, (void)iov, (void)niov;
	return -EPROTO;
}

int vio_devq_broken_push(struct vio_devq *q, const struct vio_chain *chains, unsigned n)
{
	(void)q, (void)chains, (void)n;
	return -EPROTO;
}

bool vio_devq_broken_publish(struct vio_devq *q)
{
	(void)q;
	return false;
}

bool vio_devq_broken_has_avail(const struct vio_devq *q)
{
	(void)q;
	return false;
}

uint32_t vio_devq_broken_avail_count(const struct vio_devq *q)
{
	(void)q;
	return 0;
}

bool vio_devq_broken_kick_enable(struct vio_devq *q, uint32_t beyond)
{
	(void)q, (void)beyond;
	return false;
}

void vio_devq_broken_kick_disable(struct vio_devq *q)
{
	(void)q;
}
