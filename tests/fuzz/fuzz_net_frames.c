/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Net headers and frames, as they come from a peer.
 *
 * A frame is put together from the input, cut into pieces that are allocations of exactly their
 * size, and goes through all that is done to frames: the checks of both directions, completion of
 * its checksum, segmentation. Segmentation and completion get the header as it came, too, for they
 * rely on nothing but the frame. The checksum is compared with one added up a byte pair at a time.
 */
#include "fuzz.h"

#include <errno.h>

#include <vioduct/features.h>

#include "net/csum.h"

#define FRAME_MAX    4096
#define PIECES_MAX   6
#define SEGMENTS_MAX 300

struct pieces {
	struct vio_iov iov[1 + PIECES_MAX];
	struct vio_frame frame;
};

static void pieces_make(struct pieces *p, struct fuzz_input *in, const uint8_t *bytes, uint32_t len)
{
	unsigned n = 1 + fuzz_u8(in) % PIECES_MAX;
	uint32_t at = 0;

	p->frame = (struct vio_frame){ .iov = &p->iov[1], .iovcnt = (uint16_t)n, .len = len };
	for (unsigned i = 0; i < n; i++) {
		uint32_t size = i + 1 == n ? len - at : vio_min(fuzz_u8(in), len - at);

		/* Of no bytes there may be a piece all the same. */
		p->iov[1 + i] = (struct vio_iov){ malloc(size), size };
		if (size > 0)
			memcpy(p->iov[1 + i].base, bytes + at, size);
		at += size;
	}
}

static void pieces_free(struct pieces *p)
{
	for (unsigned i = 0; i < p->frame.iovcnt; i++)
		free(p->iov[1 + i].base);
}

static void check_frame(const struct vio_frame *f)
{
	size_t len = 0;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		fuzz_touch(f->iov[i].base, f->iov[i].len);
		len += f->iov[i].len;
	}
	check(len == f->len);
}

/* Two bytes at a time, as they lie in memory; folded, not complemented. */
static uint16_t slow_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2) {
		uint16_t pair = 0;

		memcpy(&pair, p + i, vio_min((size_t)2, len - i));
		sum += pair;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Sums are equal when they differ by a multiple of 0xffff. */
static bool same_sum(uint16_t a, uint16_t b)
{
	return a % 0xffff == b % 0xffff;
}

static void try_complete(const struct pieces *p, const struct vio_net_meta *meta,
			 const uint8_t *bytes)
{
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[1 + PIECES_MAX + 1];
	struct vio_frame f = p->frame;
	uint32_t at = (uint32_t)meta->csum_start + meta->csum_offset;
	uint16_t sum;

	f.meta = *meta;
	if (vio_frame_complete_csum(&f, scratch, iov + 1, PIECES_MAX + 1) != 0)
		return;
	check(f.len == p->frame.len);
	check_frame(&f);
	check(!(f.meta.flags & VIO_NET_HDR_F_NEEDS_CSUM));
	if (!(meta->flags & VIO_NET_HDR_F_NEEDS_CSUM) || meta->gso_type)
		return;
	check(at + 2 <= f.len && at + 2 <= f.iov[0].len);
	memcpy(&sum, (uint8_t *)f.iov[0].base + at, sizeof(sum));
	check(same_sum((uint16_t)~sum,
		       slow_sum(bytes + meta->csum_start, f.len - meta->csum_start)));
}

static void try_cut(const struct pieces *p, const struct vio_net_meta *meta, uint16_t resume)
{
	uint8_t scratch[VIO_HDR_SCRATCH];
	struct vio_iov iov[1 + PIECES_MAX + 1];
	struct vio_frame whole = p->frame, out;
	struct vio_gso gso;
	unsigned count = 0;
	int ret = 0;

	whole.meta = *meta;
	if (vio_gso_init(&gso, &whole) != 0)
		return;
	check(gso.hdr_len <= whole.len && gso.segments > 0);
	if (resume) {
		vio_gso_resume(&gso, resume, gso.frag_id);
		count = resume;
	}
	while (count < SEGMENTS_MAX &&
	       (ret = vio_gso_next(&gso, &out, scratch, iov + 1, PIECES_MAX + 1)) == 1) {
		check_frame(&out);
		check(out.len >= gso.hdr_len);
		check(out.meta.gso_type == VIO_NET_HDR_GSO_NONE);
		check(!(out.meta.flags & VIO_NET_HDR_F_NEEDS_CSUM));
		count++;
	}
	if (count < SEGMENTS_MAX)
		check(ret == 0 && count == (unsigned)vio_max(gso.segments, resume));
}

static void try_checks(const struct vio_net_meta *meta, uint32_t len, uint64_t features)
{
	struct vio_net_meta m = *meta;
	enum vio_drop why = VIO_DROP_NR;

	if (vio_net_check_tx(&m, len, features, &why) == 0)
		fuzz_check_meta(&m, len);
	else
		check(why < VIO_DROP_NR);
	m = *meta;
	why = VIO_DROP_NR;
	if (vio_net_check_rx(&m, len, features, &why) == 0)
		fuzz_check_meta(&m, len);
	else
		check(why < VIO_DROP_NR);
}

/* What was encoded is decoded again, and nothing beyond the header is touched. */
static void try_header(const struct vio_net_meta *meta, uint8_t choice)
{
	static const uint8_t sizes[] = { 10, 12, 20, 24, 32 };
	size_t size = sizes[choice % sizeof(sizes)];
	bool big_endian = choice & 128;
	struct vio_net_meta back;
	uint8_t *wire = malloc(size);

	vio_net_hdr_encode(wire, size, big_endian, meta);
	vio_net_hdr_decode(wire, size, big_endian, &back);
	check(back.flags == meta->flags && back.gso_type == meta->gso_type);
	check(back.hdr_len == meta->hdr_len && back.gso_size == meta->gso_size);
	check(back.csum_start == meta->csum_start && back.csum_offset == meta->csum_offset);
	check(back.num_buffers == (size > 10 ? meta->num_buffers : 0));
	free(wire);
}

/* All variants, however the bytes lie, and over pieces. */
static void try_sums(const struct pieces *p, const uint8_t *bytes, uint32_t len, uint8_t from)
{
	uint32_t off = vio_min((uint32_t)from, len);
	uint16_t sum = (uint16_t)~slow_sum(bytes + off, len - off);

	check(same_sum(sum, vio_csum_fold(vio_csum_add(bytes + off, len - off, 0))));
	check(same_sum(sum, vio_csum_fold(vio_csum_scalar(bytes + off, len - off, 0))));
	check(same_sum(sum, vio_csum_fold(vio_csum_long()(bytes + off, len - off, 0))));
	check(same_sum(sum, vio_csum_fold(vio_csum_iov(p->frame.iov, p->frame.iovcnt, off,
						       len - off, 0))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in), choice = fuzz_u8(&in);
	uint64_t features = fuzz_uint(&in, 8);
	uint16_t resume = how & 2 ? fuzz_u8(&in) : 0;
	uint8_t buffer[FRAME_MAX], *bytes;
	struct vio_net_meta meta, checked;
	struct pieces p;
	uint32_t len = 0;
	enum vio_drop why;

	if (how & 1)
		len = fuzz_headers(&in, buffer, &meta);
	else
		meta = fuzz_meta(&in);
	len += (uint32_t)fuzz_copy(&in, buffer + len, FRAME_MAX - PIECES_MAX - len);
	/* Long frames need no long inputs. */
	if (how & 4 && len < FRAME_MAX / 2) {
		memset(buffer + len, how, FRAME_MAX / 2 - len);
		len = FRAME_MAX / 2;
	}
	bytes = malloc(len);
	if (len > 0)
		memcpy(bytes, buffer, len);
	pieces_make(&p, &in, bytes, len);
	try_header(&meta, choice);
	try_sums(&p, bytes, len, choice);
	try_checks(&meta, len, features);
	try_cut(&p, &meta, resume);
	if ((uint32_t)meta.csum_start + meta.csum_offset + 2 <= len)
		try_complete(&p, &meta, bytes);
	checked = meta;
	if (vio_net_check_tx(&checked, len, UINT64_MAX, &why) == 0) {
		try_cut(&p, &checked, resume);
		try_complete(&p, &checked, bytes);
	}
	pieces_free(&p);
	free(bytes);
	return 0;
}
