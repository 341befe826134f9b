/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of a vhost-user front end, one row each.
 *
 * A message is held against the protocol's table first (vio_vu_check()): sizes, descriptors, and
 * whether what we offer allows it at all. Handlers judge meaning: does the ring exist, does the
 * value make sense in this state. Front ends send in orders of their own and repeat themselves, so a
 * handler refuses only what cannot be meant well. A message without a row is one that a net device
 * has no use for, or that belongs to a protocol feature which is not offered.
 *
 * A refusal is told in the acknowledgement when the front end asked for one, and the connection goes
 * on. Otherwise the two sides would disagree from here on without knowing, so the connection is cut
 * with the reason in the log; unless the row says that nothing depends on the message.
 */
#include "vhost_user.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"

/* All the memory regions that a front end may plug in one by one. */
#define MEM_SLOTS VIO_MEM_MAX_REGIONS

#define ETH_MIN_WIRE 60 /* bytes of the shortest frame, without its checksum */
#define RARP_REQUEST 3	/* RFC 903: "request reverse" */

/* Finds the ring that @index means. */
static int check_ring(struct vio_vhost_user *s, uint32_t index)
{
	if (index < s->num_rings)
		return 0;
	return vu_refuse(s, -EINVAL, "ring %u does not exist, expected 0 to %u", index,
			 s->num_rings - 1);
}

/* ---- Features and status ----------------------------------------------------------------- */

static int get_features(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)msg;
	reply->payload.u64 = vio_device_features(s->dev).w[0] |
			     vio_feature(VIO_VU_F_PROTOCOL_FEATURES);
	return 0;
}

/*
 * What a front end may have agreed on with its driver without us, as it keeps the configuration
 * space and the control queue. None of it changes a frame or a ring.
 */
#define FRONT_ENDS_OWN                                                                             \
	(vio_feature(VIO_NET_F_MTU) | vio_feature(VIO_NET_F_MAC) | vio_feature(VIO_NET_F_STATUS) | \
	 vio_feature(VIO_NET_F_CTRL_VQ) | vio_feature(VIO_NET_F_CTRL_RX) |                         \
	 vio_feature(VIO_NET_F_CTRL_VLAN) | vio_feature(VIO_NET_F_CTRL_RX_EXTRA) |                 \
	 vio_feature(VIO_NET_F_CTRL_MAC_ADDR) | vio_feature(VIO_NET_F_GUEST_ANNOUNCE) |            \
	 vio_feature(VIO_NET_F_SPEED_DUPLEX) | vio_feature(VIO_NET_F_STANDBY))

static int set_features(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	uint64_t all = msg->payload.u64;
	uint64_t offered = vio_device_features(s->dev).w[0];
	uint64_t accepted = all & ~vio_feature(VIO_VU_F_PROTOCOL_FEATURES);
	int ret;

	(void)reply;
	accepted &= ~(FRONT_ENDS_OWN & ~offered);
	ret = vio_device_set_driver_features(s->dev, vio_features_make(accepted, 0));
	if (ret == -EBUSY)
		return vu_refuse(s, ret, "features 0x%llx: can't change while a ring is running",
				 (unsigned long long)all);
	if (ret && (accepted & ~offered))
		return vu_refuse(s, ret, "features 0x%llx: 0x%llx of it was not offered",
				 (unsigned long long)all,
				 (unsigned long long)(accepted & ~offered));
	if (ret)
		return vu_refuse(s, ret, "features 0x%llx: one of them lacks another it needs",
				 (unsigned long long)all);
	s->features = all;
	s->features_set = true;
	vu_rings_sync(s);
	return 0;
}

static int get_protocol_features(struct vio_vhost_user *s, struct vio_vu_msg *msg,
				 struct vio_vu_msg *reply)
{
	(void)msg;
	reply->payload.u64 = s->offered_protocol;
	return 0;
}

static int set_protocol_features(struct vio_vhost_user *s, struct vio_vu_msg *msg,
				 struct vio_vu_msg *reply)
{
	uint64_t accepted = msg->payload.u64;

	(void)reply;
	if (accepted & ~s->offered_protocol)
		return vu_refuse(s, -EINVAL,
				 "protocol features 0x%llx: 0x%llx of it was not offered",
				 (unsigned long long)accepted,
				 (unsigned long long)(accepted & ~s->offered_protocol));
	s->protocol = accepted;
	s->conn.protocol_features = accepted;
	return 0;
}

static int get_status(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)msg;
	reply->payload.u64 = vio_device_status(s->dev);
	return 0;
}

/*
 * Status 0 is a reset, but some front ends send it first and ask where the rings stood afterwards
 * (QEMU 7.2). So the rings stop and keep their indices, and whether they are enabled; memory stays,
 * too, because front ends that plug it in region by region do not repeat it.
 */
static int set_status(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	uint64_t status = msg->payload.u64;

	(void)reply;
	if (status > UINT8_MAX)
		return vu_refuse(s, -EINVAL, "status 0x%llx: expected at most 0xff",
				 (unsigned long long)status);
	if (status == 0) {
		vu_rings_stop(s);
		s->features_set = false;
		s->features = 0;
	}
	vio_device_set_status(s->dev, (uint8_t)status);
	return 0;
}

static int set_owner(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)s;
	(void)msg;
	(void)reply;
	return 0;
}

/* "Use it to disable all rings", says the protocol document, and to discard nothing. */
static int reset_owner(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)msg;
	(void)reply;
	vu_rings_stop(s);
	return 0;
}

/* ---- Memory ------------------------------------------------------------------------------ */

static int set_mem_table(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)reply;
	return vu_mem_set(s, &msg->payload.mem_table, msg->fds);
}

static int get_max_mem_slots(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			     struct vio_vu_msg *reply)
{
	(void)s;
	(void)msg;
	reply->payload.u64 = MEM_SLOTS;
	return 0;
}

static int add_mem_reg(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)reply;
	return vu_mem_add(s, &msg->payload.mem_reg.region, msg->fds[0]);
}

static int rem_mem_reg(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)reply;
	return vu_mem_remove(s, &msg->payload.mem_reg.region);
}

/* ---- Rings ------------------------------------------------------------------------------- */

/* For the devices that offer packed rings, a size or base that only those can have is judged when
 * the ring starts: the front end may not have said yet which format it will be. */
static bool packed_possible(const struct vio_vhost_user *s)
{
	return vio_features_test(vio_device_features(s->dev), VIO_F_RING_PACKED);
}

static int set_vring_num(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	uint32_t index = msg->payload.state.index, num = msg->payload.state.num;
	uint64_t format = packed_possible(s) ? vio_feature(VIO_F_RING_PACKED) : 0;
	int ret = check_ring(s, index);

	(void)reply;
	if (ret)
		return ret;
	if (num > vio_device_queue_max(s->dev, index) || vio_vq_check_size(num, format))
		return vu_refuse(s, -EINVAL, "ring %u: size %u, expected %s1 to %u", index, num,
				 format ? "" : "a power of 2 from ",
				 vio_device_queue_max(s->dev, index));
	if (s->rings[index].num == num)
		return 0;
	if (vio_device_queue_running(s->dev, index))
		return vu_refuse(s, -EBUSY, "ring %u: its size can't change while it is running",
				 index);
	s->rings[index].num = num;
	return vu_ring_sync(s, index);
}

static int set_vring_addr(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			  struct vio_vu_msg *reply)
{
	const struct vio_vu_vring_addr *addr = &msg->payload.addr;
	int ret = check_ring(s, addr->index);
	struct vu_ring *r;

	(void)reply;
	if (ret)
		return ret;
	if (addr->flags)
		return vu_refuse(s, -EINVAL, "ring %u: address flags 0x%x, expected 0", addr->index,
				 addr->flags);
	/* virtio 1.4, 2.7; the packed ring asks for more of two of them, which shows at start. */
	if (addr->desc % VIO_VIRTQ_DESC_ALIGN || addr->avail % VIO_VIRTQ_AVAIL_ALIGN ||
	    addr->used % VIO_VIRTQ_USED_ALIGN)
		return vu_refuse(s, -EINVAL, "ring %u: addresses 0x%llx 0x%llx 0x%llx not aligned",
				 addr->index, (unsigned long long)addr->desc,
				 (unsigned long long)addr->avail, (unsigned long long)addr->used);
	r = &s->rings[addr->index];
	r->desc = addr->desc;
	r->driver = addr->avail;
	r->device = addr->used;
	r->has_addr = true;
	return vu_ring_sync(s, addr->index);
}

static int set_vring_base(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			  struct vio_vu_msg *reply)
{
	uint32_t index = msg->payload.state.index, base = msg->payload.state.num;
	int ret = check_ring(s, index);

	(void)reply;
	if (ret)
		return ret;
	if (base > UINT16_MAX && !packed_possible(s))
		return vu_refuse(s, -EINVAL, "ring %u: base 0x%x, expected at most 0xffff", index,
				 base);
	if (vio_device_queue_running(s->dev, index))
		return vu_refuse(s, -EBUSY, "ring %u: its base can't change while it is running",
				 index);
	s->rings[index].base = base;
	s->rings[index].has_base = true;
	return vu_ring_sync(s, index);
}

static int get_vring_base(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			  struct vio_vu_msg *reply)
{
	uint32_t index = msg->payload.state.index;
	int ret = check_ring(s, index);

	if (ret)
		return ret;
	vu_ring_stop(s, index);
	reply->payload.state.index = index;
	reply->payload.state.num = s->rings[index].base;
	return 0;
}

typedef int (*set_fd_fn)(struct vio_vhost_user *s, unsigned index, int fd);

/* KICK, CALL and ERR: a ring, and a descriptor or the word that there is none. */
static int set_vring_fd(struct vio_vhost_user *s, struct vio_vu_msg *msg, set_fd_fn set)
{
	uint32_t index = (uint32_t)(msg->payload.u64 & VIO_VU_VRING_INDEX_MASK);
	int fd = msg->payload.u64 & VIO_VU_VRING_NOFD ? -1 : msg->fds[0];
	int ret = check_ring(s, index);

	if (ret == 0)
		ret = set(s, index, fd);
	/* It is the ring's now. */
	if (ret == 0 && fd >= 0)
		msg->fds[0] = -1;
	return ret;
}

static int set_vring_kick(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			  struct vio_vu_msg *reply)
{
	int ret = set_vring_fd(s, msg, vu_ring_set_kick);

	(void)reply;
	if (ret)
		return ret;
	return vu_ring_sync(s, (uint32_t)(msg->payload.u64 & VIO_VU_VRING_INDEX_MASK));
}

static int set_vring_call(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			  struct vio_vu_msg *reply)
{
	(void)reply;
	return set_vring_fd(s, msg, vu_ring_set_call);
}

static int set_vring_err(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)reply;
	return set_vring_fd(s, msg, vu_ring_set_err);
}

static int set_vring_enable(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			    struct vio_vu_msg *reply)
{
	uint32_t index = msg->payload.state.index, num = msg->payload.state.num;
	int ret = check_ring(s, index);

	(void)reply;
	if (ret)
		return ret;
	if (num > 1)
		return vu_refuse(s, -EINVAL, "ring %u: enable %u, expected 0 or 1", index, num);
	s->rings[index].enable_given = true;
	s->rings[index].enabled = num;
	return vu_ring_sync(s, index);
}

/* For a net device this counts pairs. */
static int get_queue_num(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	(void)msg;
	reply->payload.u64 = vio_device_num_pairs(s->dev);
	return 0;
}

/* ---- Network ----------------------------------------------------------------------------- */

struct announce {
	struct vio_vhost_user *s;
	uint8_t bytes[ETH_MIN_WIRE];
	int ret;
};

/* RFC 903: asks for the protocol address of the guest's own station; switches learn from it. */
static void rarp_fill(uint8_t frame[ETH_MIN_WIRE], const uint8_t mac[VIO_ETH_ALEN])
{
	/* Type; hardware is Ethernet, protocol IPv4, the lengths of their addresses; operation. */
	static const uint8_t head[] = { 0x80, 0x35, 0, 1, 8, 0, VIO_ETH_ALEN, 4, 0, RARP_REQUEST };

	memset(frame, 0, ETH_MIN_WIRE);
	memset(frame, 0xff, VIO_ETH_ALEN);
	memcpy(frame + 6, mac, VIO_ETH_ALEN);
	memcpy(frame + 12, head, sizeof(head));
	memcpy(frame + 22, mac, VIO_ETH_ALEN); /* sender */
	memcpy(frame + 32, mac, VIO_ETH_ALEN); /* target */
}

/* Nobody serves pair 0 now, so we do: a back end may answer into the guest's own queue at once. */
static void announce_job(void *arg)
{
	struct announce *job = arg;
	struct vio_vhost_user *s = job->s;
	struct vio_backend *be = vio_device_backend(s->dev);
	struct vio_iov iov[2] = { { 0 }, { job->bytes, sizeof(job->bytes) } };
	struct vio_frame frame = { .iov = &iov[1], .iovcnt = 1, .len = sizeof(job->bytes) };
	struct vio_device_scratch *scratch = vio_device_scratch_create(s->host);

	if (!scratch) {
		job->ret = -ENOMEM;
		return;
	}
	vio_device_begin(s->dev, 0, scratch);
	job->ret = be->ops->send(be, 0, &frame, 1);
	vio_device_end(s->dev, 0);
	vio_device_scratch_destroy(scratch);
}

static int send_rarp(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	struct announce job = { .s = s };
	uint8_t mac[VIO_ETH_ALEN];

	(void)reply;
	/* The address is the first six bytes of the field, as they lie in memory. */
	memcpy(mac, &msg->payload.u64, sizeof(mac));
	if (mac[0] & 1)
		return vu_refuse(s, -EINVAL, "a guest's address can't be a multicast address");
	if (!vio_device_link(s->dev))
		return vu_refuse(s, -ENETDOWN, "the link is down");
	rarp_fill(job.bytes, mac);
	s->runner->exclusive(s->runner->ctx, 0, announce_job, &job);
	if (job.ret < 1)
		return vu_refuse(s, job.ret < 0 ? job.ret : -EAGAIN,
				 "the back end did not take the frame (error %d)", -job.ret);
	s->runner->look(s->runner->ctx, 0);
	return 0;
}

/* A device without an MTU of its own takes any: the front end tells the driver. */
static int net_set_mtu(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	const struct vio_backend *be = vio_device_backend(s->dev);
	uint64_t mtu = msg->payload.u64;
	uint64_t max = be->caps.max_mtu ? be->caps.max_mtu : 65535;

	(void)reply;
	if (mtu < 68 || mtu > max)
		return vu_refuse(s, -EINVAL, "MTU %llu, expected 68 to %llu",
				 (unsigned long long)mtu, (unsigned long long)max);
	if (vio_features_test(vio_device_features(s->dev), VIO_NET_F_MTU))
		return vio_device_set_mtu(s->dev, (uint32_t)mtu);
	return 0;
}

/* ---- Configuration space, and the channel for our own requests ----------------------------- */

static int get_config(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	const struct vio_vu_config *want = &msg->payload.config;
	struct vio_vu_config *config = &reply->payload.config;

	config->offset = want->offset;
	config->size = want->size;
	config->flags = want->flags;
	vio_device_config_read(s->dev, want->offset, config->region, want->size);
	reply->hdr.size = VIO_VU_CONFIG_HDR_SIZE + want->size;
	return 0;
}

static int set_config(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply)
{
	const struct vio_vu_config *config = &msg->payload.config;

	(void)reply;
	if (vio_device_config_write(s->dev, config->offset, config->region, config->size) < 0)
		return vu_refuse(s, -EPERM, "config bytes %u+%u can't be written", config->offset,
				 config->size);
	return 0;
}

static int set_backend_req_fd(struct vio_vhost_user *s, struct vio_vu_msg *msg,
			      struct vio_vu_msg *reply)
{
	int ret = vu_set_back(s, msg->fds[0]);

	(void)reply;
	if (ret)
		return vu_refuse(s, ret,
				 "the back end's channel is no connected Unix stream socket");
	msg->fds[0] = -1;
	return 0;
}

/* ---- Dispatch ---------------------------------------------------------------------------- */

struct vu_handler {
	int (*fn)(struct vio_vhost_user *s, struct vio_vu_msg *msg, struct vio_vu_msg *reply);
	bool minor; /* a refusal that nobody asked to hear of is only logged */
};

#define ROW(id, fn)   [VIO_VU_##id] = { fn, false }
#define MINOR(id, fn) [VIO_VU_##id] = { fn, true }

static const struct vu_handler handlers[VIO_VU_FRONT_REQUEST_END] = {
	ROW(GET_FEATURES, get_features),
	ROW(SET_FEATURES, set_features),
	ROW(SET_OWNER, set_owner),
	ROW(RESET_OWNER, reset_owner),
	ROW(SET_MEM_TABLE, set_mem_table),
	ROW(SET_VRING_NUM, set_vring_num),
	ROW(SET_VRING_ADDR, set_vring_addr),
	ROW(SET_VRING_BASE, set_vring_base),
	ROW(GET_VRING_BASE, get_vring_base),
	ROW(SET_VRING_KICK, set_vring_kick),
	ROW(SET_VRING_CALL, set_vring_call),
	ROW(SET_VRING_ERR, set_vring_err),
	ROW(GET_PROTOCOL_FEATURES, get_protocol_features),
	ROW(SET_PROTOCOL_FEATURES, set_protocol_features),
	ROW(GET_QUEUE_NUM, get_queue_num),
	ROW(SET_VRING_ENABLE, set_vring_enable),
	MINOR(SEND_RARP, send_rarp),
	MINOR(NET_SET_MTU, net_set_mtu),
	ROW(SET_BACKEND_REQ_FD, set_backend_req_fd),
	ROW(GET_CONFIG, get_config),
	MINOR(SET_CONFIG, set_config),
	ROW(GET_MAX_MEM_SLOTS, get_max_mem_slots),
	ROW(ADD_MEM_REG, add_mem_reg),
	ROW(REM_MEM_REG, rem_mem_reg),
	ROW(SET_STATUS, set_status),
	ROW(GET_STATUS, get_status),
};

/* The size that a reply of each kind begins with; a handler may change it. */
static uint32_t reply_size(enum vio_vu_body body)
{
	return body == VIO_VU_BODY_STATE ? sizeof(struct vio_vu_vring_state) : sizeof(uint64_t);
}

static int send_reply(struct vio_vhost_user *s, const struct vio_vu_msg *reply)
{
	int ret = vio_vu_send(&s->conn, reply);

	return ret ? vu_refuse(s, ret, "%s", s->conn.reason) : 0;
}

/* Tells of a refusal, or swallows it, or leaves it to the caller to cut the connection. */
static int refused(struct vio_vhost_user *s, const struct vio_vu_msg *msg, int ret, bool minor)
{
	const char *name = vio_vu_msg_name(VIO_VU_FRONT_REQUEST, msg->hdr.request);
	bool told = vio_vu_wants_ack(msg, VIO_VU_FRONT_REQUEST, s->protocol);
	struct vio_error why = s->why;

	vio_error_set(&s->why, "%s: %s", name, why.msg);
	if (!told && !minor)
		return ret;
	vu_complain(s, "refused: %s", s->why.msg);
	return 0;
}

int vu_dispatch(struct vio_vhost_user *s, struct vio_vu_msg *msg)
{
	const struct vio_vu_rule *rule = vio_vu_rule(VIO_VU_FRONT_REQUEST, msg->hdr.request);
	struct vio_vu_msg reply;
	bool own_reply;
	int ret, verdict;

	/* Some front ends ask what a protocol feature brings before they have accepted it. */
	ret = vio_vu_check(msg, VIO_VU_FRONT_REQUEST, s->offered_protocol, s->why.msg,
			   sizeof(s->why.msg));
	if (ret)
		return ret;
	own_reply = rule->reply != VIO_VU_BODY_NONE;
	vio_vu_reply(&reply, msg->hdr.request, own_reply ? reply_size(rule->reply) : 8);
	verdict = handlers[msg->hdr.request].fn ?
			  handlers[msg->hdr.request].fn(s, msg, &reply) :
			  vu_refuse(s, -EOPNOTSUPP, "not supported by this device");
	if (verdict) {
		ret = refused(s, msg, verdict, handlers[msg->hdr.request].minor && !own_reply);
		if (ret)
			return ret;
	}
	if (own_reply)
		return send_reply(s, &reply);
	if (!vio_vu_wants_ack(msg, VIO_VU_FRONT_REQUEST, s->protocol))
		return 0;
	reply.payload.u64 = verdict != 0;
	return send_reply(s, &reply);
}
