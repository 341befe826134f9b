/* SPDX-License-Identifier: BSD-2-Clause */
/* A writer of capture files. See pcapng.c. */
#ifndef VIO_BACKEND_PCAPNG_H
#define VIO_BACKEND_PCAPNG_H

#include <pthread.h>

#include "internal.h"

enum vio_pcapng_direction { VIO_PCAPNG_INBOUND = 1, VIO_PCAPNG_OUTBOUND = 2 };

#define VIO_PCAPNG_BUFFER (256 * 1024)

/* Any thread may write; all else is the control thread's. */
struct vio_pcapng {
	const struct vio_host *host;
	int fd;
	uint32_t snaplen;
	pthread_mutex_t lock;
	bool stopped;	  /* the disk is full, or failed: nothing is written any more */
	uint64_t written; /* bytes of whole blocks in the file */
	uint64_t frames;
	size_t used; /* of buffer */
	uint8_t scratch[VIO_HDR_SCRATCH];
	uint8_t buffer[VIO_PCAPNG_BUFFER];
};

/* Creates @path and writes what comes before the first frame. 0 or -errno. */
int vio_pcapng_open(struct vio_pcapng *w, const struct vio_host *host, const char *path,
		    uint32_t snaplen);
/* Writes what is buffered and closes the file. */
void vio_pcapng_close(struct vio_pcapng *w);

/* Appends frames that passed queue pair @pair now. They are only read. */
void vio_pcapng_write(struct vio_pcapng *w, enum vio_pcapng_direction direction, unsigned pair,
		      const struct vio_frame *frames, unsigned n);

/* Writes what is buffered to the file. 0, or -errno of what stopped the capture. */
int vio_pcapng_flush(struct vio_pcapng *w);

#endif
