/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire: administration commands, and the flow filter, which a driver reaches only through them.
 * Conventions are those of virtio.h, which is the header to include. Freestanding; C11 and C++11;
 * no functions.
 */
#ifndef VIODUCT_VIRTIO_ADMIN_H
#define VIODUCT_VIRTIO_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#include <vioduct/virtio_core.h>

/* ---- Administration commands, virtio 1.4, 2.12.1 --------------------------------------------- */

/* Device-readable head; command-specific data follows. */
struct vio_admin_cmd {
	vio_le16 opcode;
	vio_le16 group_type;
	uint8_t reserved1[12];
	vio_le64 group_member_id;
};
VIO_ASSERT_SIZE(vio_admin_cmd, 24);
VIO_ASSERT_OFFSET(vio_admin_cmd, opcode, 0);
VIO_ASSERT_OFFSET(vio_admin_cmd, group_type, 2);
VIO_ASSERT_OFFSET(vio_admin_cmd, reserved1, 4);
VIO_ASSERT_OFFSET(vio_admin_cmd, group_member_id, 16);

/* Device-writable head; the command's result follows. */
struct vio_admin_reply {
	vio_le16 status;
	vio_le16 status_qualifier;
	uint8_t reserved2[4];
};
VIO_ASSERT_SIZE(vio_admin_reply, 8);
VIO_ASSERT_OFFSET(vio_admin_reply, status, 0);
VIO_ASSERT_OFFSET(vio_admin_reply, status_qualifier, 2);
VIO_ASSERT_OFFSET(vio_admin_reply, reserved2, 4);

enum {
	VIO_ADMIN_GROUP_SELF = 0, /* member 0 */
	VIO_ADMIN_GROUP_SR_IOV = 1,
};

enum {
	VIO_ADMIN_CMD_LIST_QUERY = 0x0,
	VIO_ADMIN_CMD_LIST_USE = 0x1,
	VIO_ADMIN_CMD_CAP_ID_LIST_QUERY = 0x7,
	VIO_ADMIN_CMD_DEVICE_CAP_GET = 0x8,	  /* struct vio_admin_cap; result: the capability */
	VIO_ADMIN_CMD_DRIVER_CAP_SET = 0x9,	  /* struct vio_admin_cap, then the capability */
	VIO_ADMIN_CMD_RESOURCE_OBJ_CREATE = 0xa,  /* struct vio_admin_obj, vio_le64 flags, data */
	VIO_ADMIN_CMD_RESOURCE_OBJ_QUERY = 0xb,	  /* struct vio_admin_obj, vio_le64 flags */
	VIO_ADMIN_CMD_RESOURCE_OBJ_MODIFY = 0xc,  /* as CREATE */
	VIO_ADMIN_CMD_RESOURCE_OBJ_DESTROY = 0xd, /* struct vio_admin_obj */
};

/* vio_admin_reply.status; errno numbers of Linux */
enum {
	VIO_ADMIN_STATUS_OK = 0,
	VIO_ADMIN_STATUS_ENXIO = 6,
	VIO_ADMIN_STATUS_EAGAIN = 11,
	VIO_ADMIN_STATUS_ENOMEM = 12,
	VIO_ADMIN_STATUS_EBUSY = 16,
	VIO_ADMIN_STATUS_EINVAL = 22,
	VIO_ADMIN_STATUS_ENOSPC = 28,
};

/* vio_admin_reply.status_qualifier */
enum {
	VIO_ADMIN_STATUS_Q_OK = 0,
	VIO_ADMIN_STATUS_Q_INVALID_COMMAND = 1,
	VIO_ADMIN_STATUS_Q_INVALID_OPCODE = 2,
	VIO_ADMIN_STATUS_Q_INVALID_FIELD = 3,
	VIO_ADMIN_STATUS_Q_INVALID_GROUP = 4,
	VIO_ADMIN_STATUS_Q_INVALID_MEMBER = 5,
	VIO_ADMIN_STATUS_Q_NORESOURCE = 6,
	VIO_ADMIN_STATUS_Q_TRYAGAIN = 7,
};

struct vio_admin_cap {
	vio_le16 id;
	uint8_t reserved[6];
};
VIO_ASSERT_SIZE(vio_admin_cap, 8);
VIO_ASSERT_OFFSET(vio_admin_cap, id, 0);
VIO_ASSERT_OFFSET(vio_admin_cap, reserved, 2);

struct vio_admin_obj {
	vio_le16 type;
	uint8_t reserved[2];
	vio_le32 id;
};
VIO_ASSERT_SIZE(vio_admin_obj, 8);
VIO_ASSERT_OFFSET(vio_admin_obj, type, 0);
VIO_ASSERT_OFFSET(vio_admin_obj, reserved, 2);
VIO_ASSERT_OFFSET(vio_admin_obj, id, 4);

/* ---- Flow filter, virtio 1.4, 5.1.9.6 -------------------------------------------------------- */

/* Reached by administration commands on the device's own group; there is no feature bit. */

/* Capability ids */
enum {
	VIO_NET_FF_RESOURCE_CAP = 0x800, /* struct vio_net_ff_cap_data */
	VIO_NET_FF_SELECTOR_CAP = 0x801, /* struct vio_net_ff_list, selectors */
	VIO_NET_FF_ACTION_CAP = 0x802,	 /* struct vio_net_ff_list, one byte an action */
	VIO_NET_IPSEC_RESOURCE_CAP = 0x803,
	VIO_NET_IPSEC_SA_CAP = 0x804,
};

/* Resource object types */
enum {
	VIO_NET_OBJ_FF_GROUP = 0x200,	   /* vio_le16 priority */
	VIO_NET_OBJ_FF_CLASSIFIER = 0x201, /* struct vio_net_ff_list, selectors */
	VIO_NET_OBJ_FF_RULE = 0x202,	   /* struct vio_net_ff_rule, keys */
	VIO_NET_OBJ_IPSEC_OUTB_SA = 0x203,
	VIO_NET_OBJ_IPSEC_INB_SA = 0x204,
};

/* vio_net_ff_selector.type */
enum {
	VIO_NET_FF_MASK_TYPE_ETH = 1,
	VIO_NET_FF_MASK_TYPE_IPV4 = 2,
	VIO_NET_FF_MASK_TYPE_IPV6 = 3,
	VIO_NET_FF_MASK_TYPE_TCP = 4,
	VIO_NET_FF_MASK_TYPE_UDP = 5,
	VIO_NET_FF_MASK_TYPE_ESP = 6,
	VIO_NET_FF_MASK_F_PARTIAL_MASK = 1, /* vio_net_ff_selector.flags */
};

/* vio_net_ff_rule.action */
enum {
	VIO_NET_FF_ACTION_DROP = 1,
	VIO_NET_FF_ACTION_DIRECT_RX_VQ = 2,
	VIO_NET_FF_ACTION_IPSEC = 3,
	VIO_NET_FF_ACTION_IPSEC_RECIRCULATE = 4,
};

struct vio_net_ff_cap_data {
	vio_le32 groups_limit;
	vio_le32 classifiers_limit;
	vio_le32 rules_limit;
	vio_le32 rules_per_group_limit;
	uint8_t last_rule_priority;
	uint8_t selectors_per_classifier_limit;
	uint8_t reserved[2];
};
VIO_ASSERT_SIZE(vio_net_ff_cap_data, 20);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, groups_limit, 0);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, classifiers_limit, 4);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, rules_limit, 8);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, rules_per_group_limit, 12);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, last_rule_priority, 16);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, selectors_per_classifier_limit, 17);
VIO_ASSERT_OFFSET(vio_net_ff_cap_data, reserved, 18);

/* Head of the lists of selectors and of actions. */
struct vio_net_ff_list {
	uint8_t count;
	uint8_t reserved[7];
};
VIO_ASSERT_SIZE(vio_net_ff_list, 8);
VIO_ASSERT_OFFSET(vio_net_ff_list, count, 0);
VIO_ASSERT_OFFSET(vio_net_ff_list, reserved, 1);

/* Followed by length bytes of mask, in network order. */
struct vio_net_ff_selector {
	uint8_t type;
	uint8_t flags;
	uint8_t reserved[2];
	uint8_t length;
	uint8_t reserved1[3];
};
VIO_ASSERT_SIZE(vio_net_ff_selector, 8);
VIO_ASSERT_OFFSET(vio_net_ff_selector, type, 0);
VIO_ASSERT_OFFSET(vio_net_ff_selector, flags, 1);
VIO_ASSERT_OFFSET(vio_net_ff_selector, reserved, 2);
VIO_ASSERT_OFFSET(vio_net_ff_selector, length, 4);
VIO_ASSERT_OFFSET(vio_net_ff_selector, reserved1, 5);

/* Followed by key_length bytes of keys, one after another in the classifier's order. */
struct vio_net_ff_rule {
	vio_le32 group_id;
	vio_le32 classifier_id;
	uint8_t rule_priority;
	uint8_t key_length;
	uint8_t action;
	uint8_t reserved;
	vio_le16 vq_index;
	uint8_t reserved1[2];
};
VIO_ASSERT_SIZE(vio_net_ff_rule, 16);
VIO_ASSERT_OFFSET(vio_net_ff_rule, group_id, 0);
VIO_ASSERT_OFFSET(vio_net_ff_rule, classifier_id, 4);
VIO_ASSERT_OFFSET(vio_net_ff_rule, rule_priority, 8);
VIO_ASSERT_OFFSET(vio_net_ff_rule, key_length, 9);
VIO_ASSERT_OFFSET(vio_net_ff_rule, action, 10);
VIO_ASSERT_OFFSET(vio_net_ff_rule, reserved, 11);
VIO_ASSERT_OFFSET(vio_net_ff_rule, vq_index, 12);
VIO_ASSERT_OFFSET(vio_net_ff_rule, reserved1, 14);

#endif
