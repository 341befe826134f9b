/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of capture files in pcapng (draft-ietf-opsawg-pcapng), nanoseconds, Ethernet.
 *
 * A file is one section header, one interface, and an enhanced packet block for each frame with its
 * time of day, direction as the guest sees it (epb_flags) and queue pair (epb_queue). Byte order is
 * the machine's; readers take either.
 *
 * A frame is written as it passed, large ones whole. Only a checksum that was still to be completed
 * is completed in the written copy: there is no way to say in the file that it was not meant to be
 * right yet, and every reader would call it bad.
 *
 * Blocks are collected and written out when the buffer is full, before a worker sleeps and at the
 * end. When a write fails the file is cut back to its last whole block, one line is logged and the
 * capture ends; the frames go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "base/fmt.h"
#include "base/iov.h"
#include "pcapng.h"

#define LINKTYPE_ETHERNET 1
#define EPB_FIXED	  28 /* before the frame */
#define EPB_TRAILER	  24 /* options and the length again */
#define CSUM_PIECES	  2

struct section_header {
	uint32_t type, length, magic;
	uint16_t major, minor;
	uint64_t section_length;
	uint32_t length_again;
} __attribute__((packed));

struct interface {
	uint32_t type, length;
	uint16_t linktype, reserved;
	uint32_t snaplen;
	uint16_t tsresol_code, tsresol_length;
	uint8_t tsresol, pad[3];
	uint16_t end_code, end_length;
	uint32_t length_again;
} __attribute__((packed));

struct packet {
	uint32_t type, length, interface, time_high, time_low, captured, original;
};

struct packet_end {
	uint16_t flags_code, flags_length;
	uint32_t flags;
	uint16_t queue_code, queue_length;
	uint32_t queue;
	uint16_t end_code, end_length;
	uint32_t length_again;
};
_Static_assert(sizeof(struct section_header) == 28, "section header block");
_Static_assert(sizeof(struct interface) == 32, "interface description block");
_Static_assert(sizeof(struct packet) == EPB_FIXED, "enhanced packet block");
_Static_assert(sizeof(struct packet_end) == EPB_TRAILER, "enhanced packet block's end");

/* Writes the buffer; a failure ends the capture with whole blocks in the file. */
static int write_out(struct vio_pcapng *w)
{
	size_t done = 0;

	while (done < w->used) {
		ssize_t n = write(w->fd, w->buffer + done, w->used - done);
		int ret = -errno;

		if (n < 0 && ret == -EINTR)
			continue;
		if (n < 0) {
			w->stopped = true;
			w->used = 0;
			/* What fails here fails for a pipe, where there is nothing to cut. */
			if (ftruncate(w->fd, (off_t)w->written) < 0)
				errno = 0;
			vio_log(w->host, VIO_LOG_WARN,
				"pcap: capture ends after %" PRIu64 " bytes, frames go on: %s",
				w->written, strerror(-ret));
			return ret;
		}
		done += (size_t)n;
	}
	w->written += w->used;
	w->used = 0;
	return 0;
}

static void append(struct vio_pcapng *w, const void *p, size_t len)
{
	memcpy(w->buffer + w->used, p, len);
	w->used += len;
}

/* Completes the checksum of the copied frame at @p in place. */
static void complete_csum(struct vio_pcapng *w, uint8_t *p, const struct vio_frame *frame)
{
	struct vio_iov whole[2] = { { 0 }, { p, frame->len } }, out[1 + CSUM_PIECES];
	struct vio_frame copy = { &whole[1], 1, frame->len, frame->meta };

	/* The headers come back in scratch, in front of the rest where it was. */
	if (vio_frame_complete_csum(&copy, w->scratch, &out[1], CSUM_PIECES) == 0)
		memcpy(p, copy.iov[0].base, copy.iov[0].len);
}

static void write_one(struct vio_pcapng *w, enum vio_pcapng_direction direction, unsigned pair,
		      const struct vio_frame *frame, uint64_t now)
{
	static const uint8_t zero[4];
	uint32_t captured = vio_min(frame->len, w->snaplen);
	uint32_t length = EPB_FIXED + (uint32_t)vio_align_up(captured, 4) + EPB_TRAILER;
	struct packet head = {
		6, length, 0, (uint32_t)(now >> 32), (uint32_t)now, captured, frame->len,
	};
	struct packet_end end = { 2, 4, direction, 6, 4, pair, 0, 0, length };
	uint8_t *data;

	/* The whole frame is copied first, for its checksum, and cut to the length captured. */
	if (w->used + EPB_FIXED + frame->len + 4 + EPB_TRAILER > sizeof(w->buffer) &&
	    write_out(w) < 0)
		return;
	append(w, &head, sizeof(head));
	data = w->buffer + w->used;
	vio_iov_to_buf(frame->iov, frame->iovcnt, 0, data, frame->len);
	if (frame->meta.flags & VIO_NET_HDR_F_NEEDS_CSUM)
		complete_csum(w, data, frame);
	w->used += captured;
	append(w, zero, vio_align_up(captured, 4) - captured);
	append(w, &end, sizeof(end));
	w->frames++;
}

void vio_pcapng_write(struct vio_pcapng *w, enum vio_pcapng_direction direction, unsigned pair,
		      const struct vio_frame *frames, unsigned n)
{
	struct timespec ts;
	uint64_t now;

	if (n == 0)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	pthread_mutex_lock(&w->lock);
	for (unsigned i = 0; i < n && !w->stopped; i++) {
		if (frames[i].len <= VIO_FRAME_MAX_LEN)
			write_one(w, direction, pair, &frames[i], now);
	}
	pthread_mutex_unlock(&w->lock);
}

int vio_pcapng_flush(struct vio_pcapng *w)
{
	int ret;

	pthread_mutex_lock(&w->lock);
	ret = w->used != 0 ? write_out(w) : 0;
	pthread_mutex_unlock(&w->lock);
	return ret;
}

int vio_pcapng_open(struct vio_pcapng *w, const struct vio_host *host, const char *path,
		    uint32_t snaplen)
{
	const struct section_header section = {
		0x0a0d0d0a, sizeof(section), 0x1a2b3c4d, 1, 0, UINT64_MAX, sizeof(section),
	};
	const struct interface interface = {
		.type = 1,
		.length = sizeof(interface),
		.linktype = LINKTYPE_ETHERNET,
		.snaplen = snaplen,
		.tsresol_code = 9,
		.tsresol_length = 1,
		.tsresol = 9, /* 10^-9 */
		.length_again = sizeof(interface),
	};
	int ret;

	w->host = host;
	w->snaplen = snaplen;
	w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (w->fd < 0)
		return -errno;
	pthread_mutex_init(&w->lock, NULL);
	append(w, &section, sizeof(section));
	append(w, &interface, sizeof(interface));
	ret = write_out(w);
	if (ret < 0) {
		pthread_mutex_destroy(&w->lock);
		close(w->fd);
	}
	return ret;
}

void vio_pcapng_close(struct vio_pcapng *w)
{
	vio_pcapng_flush(w);
	pthread_mutex_destroy(&w->lock);
	close(w->fd);
}
