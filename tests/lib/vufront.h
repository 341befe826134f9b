/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scripted vhost-user front end, with the device and the server that it talks to, all in one
 * process and, but where a test says otherwise, on one thread: what the front end sends is handled
 * when the test says so (vuf_pump()), and a pair is served when the test says so (vuf_serve()).
 *
 * Guest memory is a memfd of VUF_MEM_SIZE bytes. Ring q lies at VUF_RING_SIZE * q, buffers behind
 * VUF_BUFFERS. The guest sees it from VUF_GUEST on, the front end says it has it at VUF_USER.
 */
#ifndef TEST_VUFRONT_H
#define TEST_VUFRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/device_linux.h>

#include "fds.h"
#include "wire/conn.h"

#define VUF_MEM_SIZE  0x100000u
#define VUF_RING_SIZE 0x4000u
#define VUF_BUFFERS   0x80000u
#define VUF_GUEST     0x40000000ull
#define VUF_USER      0x7f0000000000ull
#define VUF_NUM	      256 /* descriptors of each ring */
#define VUF_MAX_RINGS 8

#define VUF_FEATURES (vio_feature(VIO_F_VERSION_1) | vio_feature(VIO_VU_F_PROTOCOL_FEATURES))

/* A back end that remembers what it was sent. */
struct vuf_backend {
	struct vio_backend be;
	unsigned sent;
	unsigned busy; /* frames it refuses before it takes any */
	uint32_t last_len;
	uint8_t last[2048];
};

struct vuf_conf {
	unsigned pairs;	       /* 0: 1 */
	uint32_t mtu;	       /* of the device; 0: none */
	uint64_t add;	       /* features of the device beside the usual */
	bool packed, in_order; /* ring format, offered and accepted */
	bool offer_config;     /* CONFIG protocol feature */
	bool listen;	       /* on a path; else over a socket pair, whose server side is --fd */
};

struct vuf {
	struct vuf_backend backend;
	struct vio_device *dev;
	struct vio_device_scratch *scratch;
	struct vio_device_runner runner;
	struct vio_vhost_user *server;
	char path[64]; /* "" without one */

	/* what the runner was told */
	unsigned in_exclusive, looks, ups, downs;
	int kick[VUF_MAX_RINGS];		     /* watched; -1: none */
	void (*around)(struct vuf *rig, bool enter); /* what exclusive() does around its job */
	void *around_ctx;

	/* the front end */
	struct vio_vu_conn front;
	bool front_open;
	int mem_fd;
	uint8_t *mem;
	int kick_fd[VUF_MAX_RINGS], call_fd[VUF_MAX_RINGS];
	uint64_t features; /* that vuf_start() accepts */
	bool packed;
	uint16_t avail[VUF_MAX_RINGS]; /* buffers made available */
	uint16_t used[VUF_MAX_RINGS];  /* packed: seen as used */
	unsigned warnings;	       /* log lines */
	char log[512];		       /* the last of them */
};

void vuf_open(struct vuf *rig, const struct vuf_conf *conf);
/* The ring format of all rigs that are opened from now on, in place of what they say. */
void vuf_use_format(bool packed, bool in_order);
/* Empty memory: nothing was ever made available. */
void vuf_clear_memory(struct vuf *rig);
void vuf_close(struct vuf *rig);

/* A front end connects (to a rig that listens), or goes away; the server has noticed on return. */
void vuf_connect(struct vuf *rig);
void vuf_disconnect(struct vuf *rig);
bool vuf_connected(const struct vuf *rig);
/* Handles until there is nothing to handle. */
void vuf_pump(struct vuf *rig);
/* Waits up to @ms for something to handle, and handles it. False when nothing came. */
bool vuf_wait(struct vuf *rig, int ms);

/* Bytes as they are, in one write with @nfds descriptors. Ignores a server that has hung up. */
void vuf_raw(struct vuf *rig, const void *bytes, size_t n, const int *fds, unsigned nfds);

/* Sends a message and lets the server handle it. */
void vuf_send(struct vuf *rig, const struct vio_vu_msg *msg);
/* The same, and takes the answer; it is a failure when there is none. */
void vuf_ask(struct vuf *rig, const struct vio_vu_msg *msg, struct vio_vu_msg *reply);
/* The same with NEED_REPLY: the acknowledgement. */
uint64_t vuf_ack(struct vuf *rig, const struct vio_vu_msg *msg);
/* True when a message from the server waits; it is then in @msg. */
bool vuf_answer(struct vuf *rig, struct vio_vu_msg *msg);

/* The messages. */
struct vio_vu_msg vuf_u64(uint32_t request, uint64_t value);
struct vio_vu_msg vuf_empty(uint32_t request);
struct vio_vu_msg vuf_state(uint32_t request, uint32_t index, uint32_t num);
struct vio_vu_msg vuf_fd(uint32_t request, uint64_t value, int fd);
struct vio_vu_msg vuf_addr(uint32_t index, uint64_t mem_offset);
/* All of guest memory in one region. */
struct vio_vu_msg vuf_mem_table(const struct vuf *rig);
struct vio_vu_msg vuf_mem_reg(uint32_t request, uint64_t guest, uint64_t size, uint64_t user,
			      uint64_t offset, int fd);
uint64_t vuf_ask_u64(struct vuf *rig, uint32_t request);
uint32_t vuf_get_base(struct vuf *rig, uint32_t index);

/* What vio_vhost_user_create() says of a device made with @add; @err gets its line. */
int vuf_try(uint64_t add, struct vio_error *err);

/* NUM, BASE, ADDR and KICK of ring @q, as every front end sends them; @base 0 is that of a new ring in
 * either format. */
void vuf_start_ring(struct vuf *rig, unsigned q, uint32_t base);
/* Everything up to rings that run: features, memory, @rings rings, enabled. */
void vuf_start(struct vuf *rig, unsigned rings);

/* The guest sends a frame of @len bytes on transmit queue @q (always the same buffer). */
void vuf_guest_send(struct vuf *rig, unsigned q, uint32_t len);
/* Serves @pair once. Returns what vio_device_tx() did. */
int vuf_serve(struct vuf *rig, unsigned pair);
/* Sends a frame and serves; true when it came out of the back end and its buffer came back. */
bool vuf_frame_passes(struct vuf *rig, unsigned q);
uint16_t vuf_used_idx(struct vuf *rig, unsigned q);
/* The guest makes an empty ring in the place of ring @q. */
void vuf_clear_ring(struct vuf *rig, unsigned q);
void vuf_set_used_idx(struct vuf *rig, unsigned q, uint16_t idx);
/* The count of an eventfd, read and cleared. */
uint64_t vuf_eventfd_take(int fd);

/* Mappings of files called @name. */
unsigned vuf_count_maps(const char *name);
/* Where the first mapping of files called @name begins; 0: nowhere. */
uintptr_t vuf_find_map(const char *name);
/* Bytes that were allocated and not freed; always 0 under a sanitizer, which knows better. */
size_t vuf_heap_bytes(void);

/* A memfd of @size zero bytes. */
int vuf_memfd(const char *name, uint64_t size);

/* cmocka puts handlers of its own in front; these put the SIGBUS guard back. */
void vuf_guard_init(void);
void vuf_guard_use(void);

#endif
