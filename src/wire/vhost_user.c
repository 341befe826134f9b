/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of the vhost-user protocol, as tables.
 *
 * Each message has one row that says what its payload and its answer look like, how many
 * descriptors come with it and which protocol feature opens it. vio_vu_check() holds a message
 * against its row, so that a handler behind it may use the payload without asking again how long
 * it was or whether the descriptor came. Adding a message is adding a row.
 *
 * Sizes are exact. Where implementations differ (a struct sent with or without its tail padding, a
 * memory table cut after its last region or sent whole) all forms in use are listed; anything else
 * is refused, because a peer that disagrees about a size disagrees about the fields too.
 *
 * What remains for the handlers is meaning: whether a ring index exists, whether regions overlap,
 * whether a descriptor is the kind of file that was expected.
 */
#include "vhost_user.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Short names for the columns below. */
#define EMPTY  VIO_VU_BODY_EMPTY
#define U64    VIO_VU_BODY_U64
#define VRING  VIO_VU_BODY_VRING
#define STATE  VIO_VU_BODY_STATE
#define UUID   VIO_VU_BODY_UUID
#define F(bit) VIO_VU_PROTOCOL_F_##bit

/* name, request, reply, fd rule, fds min, max, reply fds max, feature */
#define ROW(id, ...) [VIO_VU_##id] = { #id, __VA_ARGS__ }

static const struct vio_vu_rule front_rules[VIO_VU_FRONT_REQUEST_END] = {
	ROW(GET_FEATURES, EMPTY, U64, 0, 0, 0, 0, -1),
	ROW(SET_FEATURES, U64, 0, 0, 0, 0, 0, -1),
	ROW(SET_OWNER, EMPTY, 0, 0, 0, 0, 0, -1),
	ROW(RESET_OWNER, EMPTY, 0, 0, 0, 0, 0, -1),
	ROW(SET_MEM_TABLE, VIO_VU_BODY_MEM_TABLE, 0, VIO_VU_FDS_BY_REGIONS, 1, VIO_VU_MAX_REGIONS,
	    0, -1),
	ROW(SET_LOG_BASE, VIO_VU_BODY_LOG, VIO_VU_BODY_LOG_REPLY, 0, 1, 1, 0, F(LOG_SHMFD)),
	ROW(SET_LOG_FD, EMPTY, 0, 0, 1, 1, 0, -1),
	ROW(SET_VRING_NUM, STATE, 0, 0, 0, 0, 0, -1),
	ROW(SET_VRING_ADDR, VIO_VU_BODY_ADDR, 0, 0, 0, 0, 0, -1),
	ROW(SET_VRING_BASE, STATE, 0, 0, 0, 0, 0, -1),
	ROW(GET_VRING_BASE, STATE, STATE, 0, 0, 0, 0, -1),
	ROW(SET_VRING_KICK, VRING, 0, VIO_VU_FDS_BY_NOFD, 0, 1, 0, -1),
	ROW(SET_VRING_CALL, VRING, 0, VIO_VU_FDS_BY_NOFD, 0, 1, 0, -1),
	ROW(SET_VRING_ERR, VRING, 0, VIO_VU_FDS_BY_NOFD, 0, 1, 0, -1),
	ROW(GET_PROTOCOL_FEATURES, EMPTY, U64, 0, 0, 0, 0, -1),
	ROW(SET_PROTOCOL_FEATURES, U64, 0, 0, 0, 0, 0, -1),
	ROW(GET_QUEUE_NUM, EMPTY, U64, 0, 0, 0, 0, F(MQ)),
	ROW(SET_VRING_ENABLE, STATE, 0, 0, 0, 0, 0, -1),
	ROW(SEND_RARP, U64, 0, 0, 0, 0, 0, F(RARP)),
	ROW(NET_SET_MTU, U64, 0, 0, 0, 0, 0, F(NET_MTU)),
	ROW(SET_BACKEND_REQ_FD, EMPTY, 0, 0, 1, 1, 0, F(BACKEND_REQ)),
	ROW(IOTLB_MSG, VIO_VU_BODY_IOTLB, U64, 0, 0, 0, 0, -1),
	ROW(SET_VRING_ENDIAN, STATE, 0, 0, 0, 0, 0, F(CROSS_ENDIAN)),
	ROW(GET_CONFIG, VIO_VU_BODY_CONFIG, VIO_VU_BODY_CONFIG_REPLY, 0, 0, 0, 0, F(CONFIG)),
	ROW(SET_CONFIG, VIO_VU_BODY_CONFIG, 0, 0, 0, 0, 0, F(CONFIG)),
	ROW(CREATE_CRYPTO_SESSION, VIO_VU_BODY_BOUNDED, VIO_VU_BODY_BOUNDED, 0, 0, 0, 0,
	    F(CRYPTO_SESSION)),
	ROW(CLOSE_CRYPTO_SESSION, U64, 0, 0, 0, 0, 0, F(CRYPTO_SESSION)),
	ROW(POSTCOPY_ADVISE, EMPTY, EMPTY, 0, 0, 0, 1, F(PAGEFAULT)),
	ROW(POSTCOPY_LISTEN, EMPTY, 0, 0, 0, 0, 0, F(PAGEFAULT)),
	ROW(POSTCOPY_END, EMPTY, U64, 0, 0, 0, 0, F(PAGEFAULT)),
	ROW(GET_INFLIGHT_FD, VIO_VU_BODY_INFLIGHT, VIO_VU_BODY_INFLIGHT, 0, 0, 0, 1,
	    F(INFLIGHT_SHMFD)),
	ROW(SET_INFLIGHT_FD, VIO_VU_BODY_INFLIGHT, 0, 0, 1, 1, 0, F(INFLIGHT_SHMFD)),
	ROW(GPU_SET_SOCKET, EMPTY, 0, 0, 1, 1, 0, -1),
	ROW(RESET_DEVICE, EMPTY, 0, 0, 0, 0, 0, F(RESET_DEVICE)),
	ROW(VRING_KICK, STATE, 0, 0, 0, 0, 0, F(INBAND_NOTIFICATIONS)),
	ROW(GET_MAX_MEM_SLOTS, EMPTY, U64, 0, 0, 0, 0, F(CONFIGURE_MEM_SLOTS)),
	ROW(ADD_MEM_REG, VIO_VU_BODY_MEM_REG, 0, 0, 1, 1, 0, F(CONFIGURE_MEM_SLOTS)),
	/* No descriptor belongs to it, but the document lets us take the one that some send. */
	ROW(REM_MEM_REG, VIO_VU_BODY_MEM_REG, 0, 0, 0, 1, 0, F(CONFIGURE_MEM_SLOTS)),
	ROW(SET_STATUS, U64, 0, 0, 0, 0, 0, F(STATUS)),
	ROW(GET_STATUS, EMPTY, U64, 0, 0, 0, 0, F(STATUS)),
	ROW(GET_SHARED_OBJECT, UUID, VIO_VU_BODY_UUID_REPLY, 0, 0, 0, 1, F(SHARED_OBJECT)),
	ROW(SET_DEVICE_STATE_FD, VIO_VU_BODY_DEVICE_STATE, U64, 0, 1, 1, 1, F(DEVICE_STATE)),
	ROW(CHECK_DEVICE_STATE, EMPTY, U64, 0, 0, 0, 0, F(DEVICE_STATE)),
};

static const struct vio_vu_rule back_rules[VIO_VU_BACK_REQUEST_END] = {
	ROW(BACKEND_IOTLB_MSG, VIO_VU_BODY_IOTLB, 0, 0, 0, 0, 0, F(BACKEND_REQ)),
	ROW(BACKEND_CONFIG_CHANGE_MSG, EMPTY, 0, 0, 0, 0, 0, F(CONFIG)),
	ROW(BACKEND_VRING_HOST_NOTIFIER_MSG, VIO_VU_BODY_AREA, 0, VIO_VU_FDS_BY_NOFD, 0, 1, 0,
	    F(HOST_NOTIFIER)),
	ROW(BACKEND_VRING_CALL, STATE, 0, 0, 0, 0, 0, F(INBAND_NOTIFICATIONS)),
	ROW(BACKEND_VRING_ERR, STATE, 0, 0, 0, 0, 0, F(INBAND_NOTIFICATIONS)),
	ROW(BACKEND_SHARED_OBJECT_ADD, UUID, 0, 0, 0, 0, 0, F(SHARED_OBJECT)),
	ROW(BACKEND_SHARED_OBJECT_REMOVE, UUID, 0, 0, 0, 0, 0, F(SHARED_OBJECT)),
	ROW(BACKEND_SHARED_OBJECT_LOOKUP, UUID, U64, 0, 0, 0, 1, F(SHARED_OBJECT)),
};

/* The sizes that each kind of payload may have; up to three, in ascending order. */
struct body_rule {
	uint8_t nsizes; /* 0: the check alone decides */
	uint16_t sizes[3];
	int (*check)(const struct vio_vu_msg *msg, char *reason, size_t size);
};

static int refuse(char *reason, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(char *reason, size_t size, const char *format, ...)
{
	va_list ap;

	if (size > 0) {
		va_start(ap, format);
		vsnprintf(reason, size, format, ap);
		va_end(ap);
	}
	return -EPROTO;
}

static int check_vring(const struct vio_vu_msg *msg, char *reason, size_t size)
{
	uint64_t unknown = msg->payload.u64 & ~(VIO_VU_VRING_INDEX_MASK | VIO_VU_VRING_NOFD);

	if (unknown != 0)
		return refuse(reason, size, "unknown bits 0x%llx beside the ring index",
			      (unsigned long long)unknown);
	return 0;
}

static int check_mem_table(const struct vio_vu_msg *msg, char *reason, size_t size)
{
	const struct vio_vu_mem_table *table = &msg->payload.mem_table;
	size_t exact;

	if (msg->hdr.size < offsetof(struct vio_vu_mem_table, regions))
		return refuse(reason, size, "payload of %u bytes has no number of regions",
			      msg->hdr.size);
	if (table->nregions < 1 || table->nregions > VIO_VU_MAX_REGIONS)
		return refuse(reason, size, "%u memory regions, expected 1 to %d", table->nregions,
			      VIO_VU_MAX_REGIONS);
	exact = offsetof(struct vio_vu_mem_table, regions) +
		table->nregions * sizeof(table->regions[0]);
	if (msg->hdr.size != exact && msg->hdr.size != sizeof(*table))
		return refuse(reason, size, "payload of %u bytes, expected %zu for %u regions",
			      msg->hdr.size, exact, table->nregions);
	return 0;
}

static int check_config(const struct vio_vu_msg *msg, char *reason, size_t size)
{
	const struct vio_vu_config *config = &msg->payload.config;

	if (msg->hdr.size < VIO_VU_CONFIG_HDR_SIZE)
		return refuse(reason, size, "payload of %u bytes has no whole config header",
			      msg->hdr.size);
	if (config->offset > VIO_VU_MAX_CONFIG_SIZE ||
	    config->size > VIO_VU_MAX_CONFIG_SIZE - config->offset)
		return refuse(reason, size, "config bytes %u+%u, expected to end by %d",
			      config->offset, config->size, VIO_VU_MAX_CONFIG_SIZE);
	if (msg->hdr.size != VIO_VU_CONFIG_HDR_SIZE + config->size)
		return refuse(reason, size, "payload of %u bytes, expected %u for %u config bytes",
			      msg->hdr.size, VIO_VU_CONFIG_HDR_SIZE + config->size, config->size);
	return 0;
}

static int check_config_reply(const struct vio_vu_msg *msg, char *reason, size_t size)
{
	return msg->hdr.size == 0 ? 0 : check_config(msg, reason, size);
}

static int check_bounded(const struct vio_vu_msg *msg, char *reason, size_t size)
{
	if (msg->hdr.size > VIO_VU_PAYLOAD_MAX)
		return refuse(reason, size, "payload of %u bytes, expected at most %u",
			      msg->hdr.size, VIO_VU_PAYLOAD_MAX);
	return 0;
}

static const struct body_rule body_rules[VIO_VU_BODY_END] = {
	/* A reply of this kind acknowledges: the u64 that NEED_REPLY asks for. */
	[VIO_VU_BODY_NONE] = { 1, { 8 }, NULL },
	[VIO_VU_BODY_EMPTY] = { 1, { 0 }, NULL },
	[VIO_VU_BODY_U64] = { 1, { 8 }, NULL },
	[VIO_VU_BODY_VRING] = { 1, { 8 }, check_vring },
	[VIO_VU_BODY_STATE] = { 1, { sizeof(struct vio_vu_vring_state) }, NULL },
	[VIO_VU_BODY_ADDR] = { 1, { sizeof(struct vio_vu_vring_addr) }, NULL },
	[VIO_VU_BODY_MEM_TABLE] = { 0, { 0 }, check_mem_table },
	[VIO_VU_BODY_MEM_REG] = { 1, { sizeof(struct vio_vu_mem_reg) }, NULL },
	[VIO_VU_BODY_LOG] = { 1, { sizeof(struct vio_vu_log) }, NULL },
	[VIO_VU_BODY_LOG_REPLY] = { 3, { 0, 8, sizeof(struct vio_vu_log) }, NULL },
	[VIO_VU_BODY_IOTLB] = { 1, { sizeof(struct vio_vu_iotlb) }, NULL },
	[VIO_VU_BODY_CONFIG] = { 0, { 0 }, check_config },
	[VIO_VU_BODY_CONFIG_REPLY] = { 0, { 0 }, check_config_reply },
	[VIO_VU_BODY_AREA] = { 1, { sizeof(struct vio_vu_vring_area) }, NULL },
	[VIO_VU_BODY_INFLIGHT] = { 2, { 20, sizeof(struct vio_vu_inflight) }, NULL },
	[VIO_VU_BODY_UUID] = { 1, { sizeof(struct vio_vu_uuid) }, NULL },
	[VIO_VU_BODY_UUID_REPLY] = { 2, { 0, sizeof(struct vio_vu_uuid) }, NULL },
	[VIO_VU_BODY_DEVICE_STATE] = { 1, { sizeof(struct vio_vu_device_state) }, NULL },
	[VIO_VU_BODY_BOUNDED] = { 0, { 0 }, check_bounded },
};

#define FEATURE(bit) [VIO_VU_PROTOCOL_F_##bit] = #bit

static const char *const feature_names[VIO_VU_PROTOCOL_F_END] = {
	FEATURE(MQ),
	FEATURE(LOG_SHMFD),
	FEATURE(RARP),
	FEATURE(REPLY_ACK),
	FEATURE(NET_MTU),
	FEATURE(BACKEND_REQ),
	FEATURE(CROSS_ENDIAN),
	FEATURE(CRYPTO_SESSION),
	FEATURE(PAGEFAULT),
	FEATURE(CONFIG),
	FEATURE(BACKEND_SEND_FD),
	FEATURE(HOST_NOTIFIER),
	FEATURE(INFLIGHT_SHMFD),
	FEATURE(RESET_DEVICE),
	FEATURE(INBAND_NOTIFICATIONS),
	FEATURE(CONFIGURE_MEM_SLOTS),
	FEATURE(STATUS),
	FEATURE(XEN_MMAP),
	FEATURE(SHARED_OBJECT),
	FEATURE(DEVICE_STATE),
	FEATURE(GET_VRING_BASE_INFLIGHT),
	FEATURE(GPA_ADDRESSES),
	FEATURE(SHMEM_MAP),
};

static bool is_reply(enum vio_vu_direction dir)
{
	return dir == VIO_VU_FRONT_REPLY || dir == VIO_VU_BACK_REPLY;
}

const struct vio_vu_rule *vio_vu_rule(enum vio_vu_direction dir, uint32_t request)
{
	bool front = dir == VIO_VU_FRONT_REQUEST || dir == VIO_VU_FRONT_REPLY;
	const struct vio_vu_rule *rules = front ? front_rules : back_rules;
	uint32_t end = front ? VIO_VU_FRONT_REQUEST_END : VIO_VU_BACK_REQUEST_END;

	if (request >= end || !rules[request].name)
		return NULL;
	return &rules[request];
}

const char *vio_vu_msg_name(enum vio_vu_direction dir, uint32_t request)
{
	const struct vio_vu_rule *rule = vio_vu_rule(dir, request);

	return rule ? rule->name : "unknown";
}

const char *vio_vu_protocol_feature_name(unsigned int bit)
{
	return bit < VIO_VU_PROTOCOL_F_END ? feature_names[bit] : NULL;
}

static int check_header(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
			const struct vio_vu_rule *rule, uint64_t features, char *reason,
			size_t size)
{
	if ((msg->hdr.flags & VIO_VU_VERSION_MASK) != VIO_VU_VERSION ||
	    (msg->hdr.flags & ~VIO_VU_FLAGS_MASK) != 0)
		return refuse(reason, size, "flags 0x%x, expected version 1", msg->hdr.flags);
	/* Some back ends leave NEED_REPLY set in their replies, so it is not looked at there. */
	if (!!(msg->hdr.flags & VIO_VU_REPLY) != is_reply(dir))
		return refuse(reason, size, "flags 0x%x, expected a %s", msg->hdr.flags,
			      is_reply(dir) ? "reply" : "request");
	if (!is_reply(dir) && rule->feature >= 0 && !(features >> rule->feature & 1))
		return refuse(reason, size, "protocol feature %s was not negotiated",
			      feature_names[rule->feature]);
	return 0;
}

static int check_body(const struct vio_vu_msg *msg, enum vio_vu_body body, char *reason,
		      size_t size)
{
	const struct body_rule *rule = &body_rules[body];
	unsigned int i;

	for (i = 0; i < rule->nsizes; i++) {
		if (msg->hdr.size == rule->sizes[i])
			break;
	}
	if (rule->nsizes > 1 && i == rule->nsizes)
		return refuse(reason, size, "payload of %u bytes, expected %u or %u", msg->hdr.size,
			      rule->sizes[rule->nsizes - 2], rule->sizes[rule->nsizes - 1]);
	if (rule->nsizes == 1 && i == 1)
		return refuse(reason, size, "payload of %u bytes, expected %u", msg->hdr.size,
			      rule->sizes[0]);
	return rule->check ? rule->check(msg, reason, size) : 0;
}

/* The payload has passed check_body(), so what rules the descriptors may be read from it. */
static int check_fds(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
		     const struct vio_vu_rule *rule, char *reason, size_t size)
{
	uint32_t min = rule->fds_min;
	uint32_t max = rule->fds_max;

	if (is_reply(dir)) {
		min = 0;
		max = rule->reply_fds_max;
	} else if (rule->fd_rule == VIO_VU_FDS_BY_NOFD) {
		min = max = msg->payload.u64 & VIO_VU_VRING_NOFD ? 0 : 1;
	} else if (rule->fd_rule == VIO_VU_FDS_BY_REGIONS) {
		min = max = msg->payload.mem_table.nregions;
	}
	if (msg->nfds < min || msg->nfds > max)
		return refuse(reason, size, "%u file descriptors, expected %s%u", msg->nfds,
			      min == max ? "" : "at most ", max);
	return 0;
}

int vio_vu_check(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
		 uint64_t protocol_features, char *reason, size_t size)
{
	const struct vio_vu_rule *rule = vio_vu_rule(dir, msg->hdr.request);
	char why[VIO_VU_REASON_SIZE - 40];
	int ret;

	if (!rule)
		return refuse(reason, size, "message %u is unknown", msg->hdr.request);

	ret = check_header(msg, dir, rule, protocol_features, why, sizeof(why));
	if (!ret)
		ret = check_body(msg, is_reply(dir) ? rule->reply : rule->body, why, sizeof(why));
	if (!ret)
		ret = check_fds(msg, dir, rule, why, sizeof(why));
	if (ret)
		return refuse(reason, size, "%s: %s", rule->name, why);
	return 0;
}

bool vio_vu_wants_ack(const struct vio_vu_msg *msg, enum vio_vu_direction dir,
		      uint64_t protocol_features)
{
	const struct vio_vu_rule *rule = vio_vu_rule(dir, msg->hdr.request);

	return rule && !is_reply(dir) && rule->reply == VIO_VU_BODY_NONE &&
	       (msg->hdr.flags & VIO_VU_NEED_REPLY) &&
	       (protocol_features & vio_vu_feature(VIO_VU_PROTOCOL_F_REPLY_ACK));
}

void vio_vu_request(struct vio_vu_msg *msg, uint32_t request, uint32_t size)
{
	memset(msg, 0, sizeof(*msg));
	msg->hdr.request = request;
	msg->hdr.flags = VIO_VU_VERSION;
	msg->hdr.size = size;
}

void vio_vu_reply(struct vio_vu_msg *reply, uint32_t request, uint32_t size)
{
	vio_vu_request(reply, request, size);
	reply->hdr.flags = VIO_VU_VERSION | VIO_VU_REPLY;
}

void vio_vu_msg_close_fds(struct vio_vu_msg *msg)
{
	uint32_t i;

	for (i = 0; i < msg->nfds; i++) {
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	}
	msg->nfds = 0;
}
