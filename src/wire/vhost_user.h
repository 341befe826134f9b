/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user protocol: message numbers, layouts and the rules each message obeys.
 *
 * Both halves share this file: our driver is a front end, our device server a back end. It follows
 * the vhost-user protocol document of the QEMU project (docs/interop/vhost-user.rst). All numbers
 * on the wire are in the machine's own byte order, since both ends are on one machine.
 *
 * Nothing here touches a socket; conn.h moves messages, sock.h makes sockets.
 */
#ifndef VIO_WIRE_VHOST_USER_H
#define VIO_WIRE_VHOST_USER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The virtio feature bit that stands for "knows protocol features"; no virtio driver uses it. */
#define VIO_VU_F_PROTOCOL_FEATURES 30
/* The virtio feature bit by which a front end switches dirty logging on and off. */
#define VIO_VU_F_LOG_ALL 26

/* Requests of the front end, answered by the back end, on the main connection. */
enum vio_vu_front_request {
	VIO_VU_GET_FEATURES = 1,
	VIO_VU_SET_FEATURES = 2,
	VIO_VU_SET_OWNER = 3,
	VIO_VU_RESET_OWNER = 4,
	VIO_VU_SET_MEM_TABLE = 5,
	VIO_VU_SET_LOG_BASE = 6,
	VIO_VU_SET_LOG_FD = 7,
	VIO_VU_SET_VRING_NUM = 8,
	VIO_VU_SET_VRING_ADDR = 9,
	VIO_VU_SET_VRING_BASE = 10,
	VIO_VU_GET_VRING_BASE = 11,
	VIO_VU_SET_VRING_KICK = 12,
	VIO_VU_SET_VRING_CALL = 13,
	VIO_VU_SET_VRING_ERR = 14,
	VIO_VU_GET_PROTOCOL_FEATURES = 15,
	VIO_VU_SET_PROTOCOL_FEATURES = 16,
	VIO_VU_GET_QUEUE_NUM = 17, /* for a net device: counts queue pairs */
	VIO_VU_SET_VRING_ENABLE = 18,
	VIO_VU_SEND_RARP = 19,
	VIO_VU_NET_SET_MTU = 20,
	VIO_VU_SET_BACKEND_REQ_FD = 21,
	VIO_VU_IOTLB_MSG = 22,
	VIO_VU_SET_VRING_ENDIAN = 23,
	VIO_VU_GET_CONFIG = 24,
	VIO_VU_SET_CONFIG = 25,
	VIO_VU_CREATE_CRYPTO_SESSION = 26,
	VIO_VU_CLOSE_CRYPTO_SESSION = 27,
	VIO_VU_POSTCOPY_ADVISE = 28,
	VIO_VU_POSTCOPY_LISTEN = 29,
	VIO_VU_POSTCOPY_END = 30,
	VIO_VU_GET_INFLIGHT_FD = 31,
	VIO_VU_SET_INFLIGHT_FD = 32,
	VIO_VU_GPU_SET_SOCKET = 33,
	VIO_VU_RESET_DEVICE = 34,
	VIO_VU_VRING_KICK = 35, /* the in-band kick */
	VIO_VU_GET_MAX_MEM_SLOTS = 36,
	VIO_VU_ADD_MEM_REG = 37,
	VIO_VU_REM_MEM_REG = 38,
	VIO_VU_SET_STATUS = 39,
	VIO_VU_GET_STATUS = 40,
	VIO_VU_GET_SHARED_OBJECT = 41,
	VIO_VU_SET_DEVICE_STATE_FD = 42,
	VIO_VU_CHECK_DEVICE_STATE = 43,
	VIO_VU_FRONT_REQUEST_END /* one past the last */
};

/* Requests of the back end, answered by the front end, on the socket of SET_BACKEND_REQ_FD. */
enum vio_vu_back_request {
	VIO_VU_BACKEND_IOTLB_MSG = 1,
	VIO_VU_BACKEND_CONFIG_CHANGE_MSG = 2,
	VIO_VU_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VIO_VU_BACKEND_VRING_CALL = 4,
	VIO_VU_BACKEND_VRING_ERR = 5,
	VIO_VU_BACKEND_SHARED_OBJECT_ADD = 6,
	VIO_VU_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VIO_VU_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	VIO_VU_BACK_REQUEST_END /* one past the last */
};

/* Protocol feature bit numbers; vio_vu_feature() makes a mask of one. */
enum vio_vu_protocol_feature {
	VIO_VU_PROTOCOL_F_MQ = 0,
	VIO_VU_PROTOCOL_F_LOG_SHMFD = 1,
	VIO_VU_PROTOCOL_F_RARP = 2,
	VIO_VU_PROTOCOL_F_REPLY_ACK = 3,
	VIO_VU_PROTOCOL_F_NET_MTU = 4,
	VIO_VU_PROTOCOL_F_BACKEND_REQ = 5,
	VIO_VU_PROTOCOL_F_CROSS_ENDIAN = 6,
	VIO_VU_PROTOCOL_F_CRYPTO_SESSION = 7,
	VIO_VU_PROTOCOL_F_PAGEFAULT = 8,
	VIO_VU_PROTOCOL_F_CONFIG = 9,
	VIO_VU_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VIO_VU_PROTOCOL_F_HOST_NOTIFIER = 11,
	VIO_VU_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VIO_VU_PROTOCOL_F_RESET_DEVICE = 13,
	VIO_VU_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VIO_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VIO_VU_PROTOCOL_F_STATUS = 16,
	VIO_VU_PROTOCOL_F_XEN_MMAP = 17,
	VIO_VU_PROTOCOL_F_SHARED_OBJECT = 18,
	VIO_VU_PROTOCOL_F_DEVICE_STATE = 19,
	VIO_VU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
	VIO_VU_PROTOCOL_F_GPA_ADDRESSES = 21,
	VIO_VU_PROTOCOL_F_SHMEM_MAP = 22,
	VIO_VU_PROTOCOL_F_END /* one past the last */
};

static inline uint64_t vio_vu_feature(enum vio_vu_protocol_feature bit)
{
	return UINT64_C(1) << bit;
}

/* Header flags. A request is VERSION, or VERSION|NEED_REPLY; a reply is VERSION|REPLY. */
#define VIO_VU_VERSION	    0x1u
#define VIO_VU_VERSION_MASK 0x3u
#define VIO_VU_REPLY	    0x4u
#define VIO_VU_NEED_REPLY   0x8u
#define VIO_VU_FLAGS_MASK   0xfu

/* The u64 of SET_VRING_KICK, CALL and ERR: a ring index, and a bit that says no fd comes along. */
#define VIO_VU_VRING_INDEX_MASK UINT64_C(0xff)
#define VIO_VU_VRING_NOFD	UINT64_C(0x100)

#define VIO_VU_MAX_FDS	       8   /* descriptors with one message */
#define VIO_VU_MAX_REGIONS     8   /* regions in one SET_MEM_TABLE */
#define VIO_VU_MAX_CONFIG_SIZE 256 /* bytes of device config space */
#define VIO_VU_REASON_SIZE     128 /* a buffer that takes any reason this directory gives */

struct vio_vu_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* bytes of payload that follow */
};

struct vio_vu_vring_state {
	uint32_t index;
	uint32_t num;
};

#define VIO_VU_VRING_F_LOG 0x1u /* vio_vu_vring_addr.flags: log writes of the used ring */

struct vio_vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* front end's user address, as are the next two */
	uint64_t used;
	uint64_t avail;
	uint64_t log; /* guest address */
};

struct vio_vu_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset; /* where in its file the region begins */
};

struct vio_vu_mem_table {
	uint32_t nregions;
	uint32_t padding;
	struct vio_vu_mem_region regions[VIO_VU_MAX_REGIONS];
};

struct vio_vu_mem_reg {
	uint64_t padding;
	struct vio_vu_mem_region region;
};

struct vio_vu_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

enum vio_vu_iotlb_type {
	VIO_VU_IOTLB_MISS = 1,
	VIO_VU_IOTLB_UPDATE = 2,
	VIO_VU_IOTLB_INVALIDATE = 3,
	VIO_VU_IOTLB_ACCESS_FAIL = 4,
};

struct vio_vu_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
	uint8_t perm; /* bit 0 read, bit 1 write */
	uint8_t type; /* enum vio_vu_iotlb_type */
	uint8_t padding[6];
};

#define VIO_VU_CONFIG_WRITABLE	0u  /* vio_vu_config.flags: the guest writes */
#define VIO_VU_CONFIG_MIGRATION 1u  /* vio_vu_config.flags: migration restores any field */
#define VIO_VU_CONFIG_HDR_SIZE	12u /* bytes before region */

struct vio_vu_config {
	uint32_t offset;
	uint32_t size; /* bytes of region that are sent */
	uint32_t flags;
	uint8_t region[VIO_VU_MAX_CONFIG_SIZE];
};

struct vio_vu_vring_area {
	uint64_t u64; /* ring index and VIO_VU_VRING_NOFD, as in SET_VRING_KICK */
	uint64_t size;
	uint64_t offset;
};

struct vio_vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint8_t padding[4]; /* some peers send it, some do not: both sizes are taken */
};

struct vio_vu_uuid {
	uint8_t bytes[16];
};

struct vio_vu_device_state {
	uint32_t direction; /* 0 save: back end to front end; 1 load */
	uint32_t phase;	    /* 0: the guest is stopped */
};

union vio_vu_payload {
	uint64_t u64;
	struct vio_vu_vring_state state;
	struct vio_vu_vring_addr addr;
	struct vio_vu_mem_table mem_table;
	struct vio_vu_mem_reg mem_reg;
	struct vio_vu_log log;
	struct vio_vu_iotlb iotlb;
	struct vio_vu_config config;
	struct vio_vu_vring_area area;
	struct vio_vu_inflight inflight;
	struct vio_vu_uuid uuid;
	struct vio_vu_device_state device_state;
};

static_assert(sizeof(struct vio_vu_hdr) == 12, "vhost-user header");
static_assert(offsetof(struct vio_vu_hdr, flags) == 4, "vhost-user header flags");
static_assert(offsetof(struct vio_vu_hdr, size) == 8, "vhost-user header size");
static_assert(sizeof(struct vio_vu_vring_state) == 8, "vring state");
static_assert(sizeof(struct vio_vu_vring_addr) == 40, "vring address");
static_assert(offsetof(struct vio_vu_vring_addr, desc) == 8, "vring address desc");
static_assert(offsetof(struct vio_vu_vring_addr, used) == 16, "vring address used");
static_assert(offsetof(struct vio_vu_vring_addr, avail) == 24, "vring address avail");
static_assert(offsetof(struct vio_vu_vring_addr, log) == 32, "vring address log");
static_assert(sizeof(struct vio_vu_mem_region) == 32, "memory region");
static_assert(offsetof(struct vio_vu_mem_region, size) == 8, "memory region size");
static_assert(offsetof(struct vio_vu_mem_region, user_addr) == 16, "memory region user_addr");
static_assert(offsetof(struct vio_vu_mem_region, mmap_offset) == 24, "memory region offset");
static_assert(offsetof(struct vio_vu_mem_table, regions) == 8, "memory table regions");
static_assert(sizeof(struct vio_vu_mem_table) == 264, "memory table");
static_assert(sizeof(struct vio_vu_mem_reg) == 40, "single memory region");
static_assert(offsetof(struct vio_vu_mem_reg, region) == 8, "single memory region body");
static_assert(sizeof(struct vio_vu_log) == 16, "log description");
static_assert(sizeof(struct vio_vu_iotlb) == 32, "IOTLB message");
static_assert(offsetof(struct vio_vu_iotlb, perm) == 24, "IOTLB message perm");
static_assert(offsetof(struct vio_vu_iotlb, type) == 25, "IOTLB message type");
static_assert(sizeof(struct vio_vu_config) == 268, "config space access");
static_assert(offsetof(struct vio_vu_config, region) == VIO_VU_CONFIG_HDR_SIZE, "config region");
static_assert(sizeof(struct vio_vu_vring_area) == 24, "vring area");
static_assert(sizeof(struct vio_vu_inflight) == 24, "inflight description");
static_assert(offsetof(struct vio_vu_inflight, num_queues) == 16, "inflight num_queues");
static_assert(offsetof(struct vio_vu_inflight, queue_size) == 18, "inflight queue_size");
static_assert(sizeof(struct vio_vu_uuid) == 16, "shared object");
static_assert(sizeof(struct vio_vu_device_state) == 8, "device state transfer");

#define VIO_VU_PAYLOAD_MAX ((uint32_t)sizeof(union vio_vu_payload))

/*
 * One message. A message that vio_vu_recv() gave owns its descriptors: whoever takes one out
 * writes -1 in its place, and vio_vu_msg_close_fds() closes the rest. A message that is sent only
 * borrows them. Payload bytes past hdr.size are zero in a received message.
 */
struct vio_vu_msg {
	struct vio_vu_hdr hdr;
	uint32_t nfds; /* entries of fds in use, at most VIO_VU_MAX_FDS */
	int fds[VIO_VU_MAX_FDS];
	union vio_vu_payload payload;
};

/* Who speaks, and whether it asks or answers. */
enum vio_vu_direction {
	VIO_VU_FRONT_REQUEST, /* front end asks: numbers of enum vio_vu_front_request */
	VIO_VU_FRONT_REPLY,   /* back end answers one of those */
	VIO_VU_BACK_REQUEST,  /* back end asks: numbers of enum vio_vu_back_request */
	VIO_VU_BACK_REPLY,    /* front end answers one of those */
};

/* What a payload may look like; the sizes are in vhost_user.c. */
enum vio_vu_body {
	VIO_VU_BODY_NONE = 0, /* as a reply: the message has none of its own */
	VIO_VU_BODY_EMPTY,
	VIO_VU_BODY_U64,
	VIO_VU_BODY_VRING, /* u64 with ring index and NOFD bit */
	VIO_VU_BODY_STATE,
	VIO_VU_BODY_ADDR,
	VIO_VU_BODY_MEM_TABLE, /* as long as its number of regions says */
	VIO_VU_BODY_MEM_REG,
	VIO_VU_BODY_LOG,
	VIO_VU_BODY_LOG_REPLY, /* peers differ: empty, u64 or log */
	VIO_VU_BODY_IOTLB,
	VIO_VU_BODY_CONFIG,	  /* as long as its size field says */
	VIO_VU_BODY_CONFIG_REPLY, /* likewise, or empty for an error */
	VIO_VU_BODY_AREA,
	VIO_VU_BODY_INFLIGHT,
	VIO_VU_BODY_UUID,
	VIO_VU_BODY_UUID_REPLY, /* peers differ: empty or the UUID again */
	VIO_VU_BODY_DEVICE_STATE,
	VIO_VU_BODY_BOUNDED, /* opaque to us; no longer than VIO_VU_PAYLOAD_MAX */
	VIO_VU_BODY_END
};

/* How many descriptors come with a request. */
enum vio_vu_fd_rule {
	VIO_VU_FDS_RANGE = 0,  /* fds_min to fds_max */
	VIO_VU_FDS_BY_NOFD,    /* none if the NOFD bit of the u64 is set, else one */
	VIO_VU_FDS_BY_REGIONS, /* one for each region of the table */
};

/* One row of the message tables. */
struct vio_vu_rule {
	const char *name;	/* as the protocol document has it, without VHOST_USER_ */
	enum vio_vu_body body;	/* of the request */
	enum vio_vu_body reply; /* of its own reply; NONE: answered only when NEED_REPLY asks */
	enum vio_vu_fd_rule fd_rule;
	uint8_t fds_min;
	uint8_t fds_max;
	uint8_t reply_fds_max;
	int8_t feature; /* protocol feature bit without which it must not be sent, or -1 */
};

/* The row of a message, or NULL if no message has that number in that direction. */
const struct vio_vu_rule *vio_vu_rule(enum vio_vu_direction dir, uint32_t request);

/* The name of a message, for logs; "unknown" if there is none. Never NULL. */
const char *vio_vu_msg_name(enum vio_vu_direction dir, uint32_t request);

/* The name of a protocol feature bit without its prefix, or NULL if the bit has none. */
const char *vio_vu_protocol_feature_name(unsigned int bit);

/*
 * Does the message obey the protocol: known number, right flags for its direction, exactly the
 * size and the descriptors that its row allows, and its gate open?
 *
 * protocol_features opens the gates of requests. A back end passes what it offered if it wants to
 * serve front ends that ask before they acknowledge (the document allows that for some messages),
 * else what was negotiated. Values inside the payload (ring indices, addresses) are not judged
 * here, except where they rule sizes and descriptors.
 *
 * Returns 0, or -EPROTO with one line in reason (cut to size; reason may be NULL with size 0).
 * Closes nothing.
 */
int vio_vu_check(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
		 uint64_t protocol_features, char *reason, size_t size);

/*
 * Must the receiver of this request answer with a u64 that is 0 for success? True if the sender
 * asked, REPLY_ACK is among protocol_features and the message has no reply of its own.
 */
bool vio_vu_wants_ack(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
		      uint64_t protocol_features);

/* Make *msg a request with a zeroed payload of size bytes (at most VIO_VU_PAYLOAD_MAX), no fds. */
void vio_vu_request(struct vio_vu_msg *msg, uint32_t request, uint32_t size);

/*
 * Make *reply the answer to a request, with a zeroed payload of size bytes and no fds. Its flags
 * are exactly VERSION|REPLY, the only ones that every front end takes.
 */
void vio_vu_reply(struct vio_vu_msg *reply, uint32_t request, uint32_t size);

/* Close the descriptors that the message owns (entries of -1 are passed over); nfds becomes 0. */
void vio_vu_msg_close_fds(struct vio_vu_msg *msg);

#endif
