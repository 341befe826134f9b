/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of feature bits: names, what each requires, and the sizes that follow from a
 * negotiated set. Both halves and the tool use it.
 *
 * Negotiation with these functions:
 *   device: offers a set for which vio_features_missing() finds nothing, sizes its configuration
 *           space with vio_net_config_size(offered), and keeps FEATURES_OK clear when
 *           vio_features_missing() finds something in what the driver wrote;
 *   driver: accepts vio_features_close(offered & supported).
 *
 * All functions are pure: no state, no allocation, callable from any thread at any time.
 */
#ifndef VIODUCT_FEATURES_H
#define VIODUCT_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/export.h>
#include <vioduct/virtio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the virtio specification in which a feature first stood. */
enum vio_spec {
	VIO_SPEC_1_0 = 0x100, /* also for all that legacy devices had before it */
	VIO_SPEC_1_1 = 0x101,
	VIO_SPEC_1_2 = 0x102,
	VIO_SPEC_1_3 = 0x103,
	VIO_SPEC_1_4 = 0x104,
};

/* How binding the requirements of a feature are. */
enum vio_need {
	VIO_NEED_NONE, /* it has none */
	VIO_NEED_MUST, /* the specification requires them (5.1.3.1) */
	VIO_NEED_USE,  /* of no use without them, though not written; treated like MUST */
	VIO_NEED_SHOULD, /* the specification advises them: a driver keeps to it, a device takes either */
};

#define VIO_FEATURE_NEEDS    4	/* groups of requirements that one feature may have */
#define VIO_FEATURE_NAME_MAX 40 /* bytes that the longest name takes, with its terminating zero */

/* A group of requirements: it is met when either bit is set. A single bit stands there twice. */
struct vio_feature_group {
	uint8_t any[2];
};

/* One row of the table. Constant and static. */
struct vio_feature_info {
	const char *name;	/* as in the specification: "VIRTIO_NET_F_CSUM" */
	const char *short_name; /* "csum" */
	uint8_t bit;
	bool legacy;	   /* exists only without VIO_F_VERSION_1 */
	uint16_t since;	   /* enum vio_spec */
	uint8_t strength;  /* enum vio_need, for all groups of this row */
	uint8_t num_needs; /* groups in @needs, all of which have to be met */
	struct vio_feature_group needs[VIO_FEATURE_NEEDS];
};

/* A requirement that a set does not meet: @bit is in the set, neither bit of @group is. */
struct vio_feature_unmet {
	uint8_t bit;
	struct vio_feature_group group;
};

/*
 * Row @index of the table, by ascending bit; NULL past the end. Two rows share bit 41: ADMIN_VQ,
 * then the legacy-only GUEST_RSC4. (virtio 1.4, 5.1.3, 6 and 6.3.)
 *
 * for (size_t i = 0; (f = vio_feature_at(i)) != NULL; i++) ...
 */
VIO_API const struct vio_feature_info *vio_feature_at(size_t index);

/*
 * The row of feature @bit, or NULL when the bit is unassigned. Bit 41 gives ADMIN_VQ, not the
 * legacy GUEST_RSC4.
 */
VIO_API const struct vio_feature_info *vio_feature_find(unsigned bit);

/* The full name of @bit, as "VIRTIO_NET_F_CSUM", or NULL when the bit is unassigned. Static. */
VIO_API const char *vio_feature_name(unsigned bit);

/* The short name of @bit, as "csum", or NULL when the bit is unassigned. Static. */
VIO_API const char *vio_feature_short_name(unsigned bit);

/*
 * The bit of the feature called @name, the full or the short name; upper and lower case are the
 * same, and so are '-' and '_' ("guest-tso4"). Returns the bit number, or -ENOENT when no feature
 * has this name (or @name is NULL or empty).
 */
VIO_API int vio_feature_bit(const char *name);

/*
 * Which requirements @set does not meet: for a device, whether to refuse FEATURES_OK; for the
 * user, what to say (virtio 1.4, 2.2.1, 2.2.2 and 5.1.3.1).
 *
 * Requirements that the specification only advises (HASH_REPORT and CTRL_RX_EXTRA without CTRL_VQ)
 * are not counted: a driver that ignores advice is still served. CTRL_GUEST_OFFLOADS and
 * DEVICE_STATS without CTRL_VQ are counted, because they consist of control commands, although no
 * text says so. Unassigned bits require nothing.
 *
 * Mind that a vhost-user front end which keeps the control queue to itself sends the features of
 * the back end without CTRL_VQ (MQ, for one): whoever checks such a set adds CTRL_VQ first.
 *
 * @out: gets the first @max unmet groups, by ascending bit; may be NULL when @max is 0.
 * Returns how many there are in all, which may be more than @max; 0 when the set is closed.
 */
VIO_API size_t vio_features_missing(struct vio_features set, struct vio_feature_unmet *out,
				    size_t max);

/*
 * The greatest subset of @set in which every feature has what it requires, advice included: what a
 * driver accepts of what is offered and known to it (virtio 1.4, 2.2.1). Bits only ever go;
 * unassigned bits stay, as they require nothing: mask them before.
 */
VIO_API struct vio_features vio_features_close(struct vio_features set);

/*
 * Bytes of the header before each frame under the NEGOTIATED set @features, on transmit and on
 * receive: 10, 12, 20, 24 or 32 (virtio 1.4, 5.1.9.1 and 5.1.9.3.1). Under VERSION_1 it is at least
 * 12, with or without MRG_RXBUF. A tunnel offload of either direction makes it 24; the clause names
 * only the device's, the definition of the header both.
 */
VIO_API size_t vio_net_hdr_size(struct vio_features features);

/*
 * Bytes of receive buffer, header included, that take any one packet under the NEGOTIATED set
 * @features (virtio 1.4, 5.1.9.3): 65589 bytes of frame with any of GUEST_TSO4, TSO6, UFO, USO4 and
 * USO6; else 1514, or @mtu plus the Ethernet header where that is more. VLAN tags that the driver
 * wants to receive at full MTU come on top.
 *
 * @mtu: the MTU in force (config.mtu once MTU is negotiated, or what the driver was told), 0 for
 * none known. Values above 65535 count as 65535.
 *
 * Without MRG_RXBUF each receive buffer has to have this size. With it, the buffers of one packet
 * share it, and each has at least vio_net_hdr_size() bytes.
 */
VIO_API size_t vio_net_rx_buf_size(struct vio_features features, uint32_t mtu);

/*
 * Bytes of the device configuration space when @offered is what the device OFFERS: the end of the
 * last field that exists (virtio 1.4, 2.5 and 5.1.4), 6 (the MAC) to 28. The driver may read the
 * fields before it has accepted anything, so what it negotiates plays no part.
 */
VIO_API size_t vio_net_config_size(struct vio_features offered);

#ifdef __cplusplus
}
#endif
#endif
