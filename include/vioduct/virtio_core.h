/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire, as far as it is the same for every virtio device: status, both ring formats, the PCI
 * and MMIO transports with their legacy forms. Conventions are those of virtio.h, which is the
 * header to include. Freestanding; C11 and C++11; no functions.
 */
#ifndef VIODUCT_VIRTIO_CORE_H
#define VIODUCT_VIRTIO_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define VIO_STATIC_ASSERT static_assert
#else
#define VIO_STATIC_ASSERT _Static_assert
#endif

#define VIO_ASSERT_SIZE(type, bytes) \
	VIO_STATIC_ASSERT(sizeof(struct type) == (bytes), #type " has the wrong size")
#define VIO_ASSERT_OFFSET(type, field, bytes) \
	VIO_STATIC_ASSERT(offsetof(struct type, field) == (bytes), #type "." #field " is misplaced")

typedef uint16_t vio_le16;
typedef uint32_t vio_le32;
typedef uint64_t vio_le64;

#define VIO_ID_NET 1 /* device type */

/* ---- Device status, virtio 1.4, 2.1 ---------------------------------------------------------- */

enum {
	VIO_STATUS_RESET = 0,	     /* written: reset; read: reset is done */
	VIO_STATUS_ACKNOWLEDGE = 1,  /* the device was found */
	VIO_STATUS_DRIVER = 2,	     /* there is a driver for it */
	VIO_STATUS_DRIVER_OK = 4,    /* the driver is ready; queues may be served */
	VIO_STATUS_FEATURES_OK = 8,  /* features are agreed; stays clear when refused */
	VIO_STATUS_SUSPEND = 16,     /* asked for; done once the device clears DRIVER_OK */
	VIO_STATUS_NEEDS_RESET = 64, /* device: only a reset helps */
	VIO_STATUS_FAILED = 128,     /* driver: gave up */
};

/* ---- Split virtqueue, virtio 1.4, 2.7 -------------------------------------------------------- */

/* A queue has at most this many descriptors in either format; split: a power of two. */
#define VIO_QUEUE_SIZE_MAX 32768

/* Descriptor flags of both formats. */
enum {
	VIO_DESC_F_NEXT = 1,	 /* the buffer goes on */
	VIO_DESC_F_WRITE = 2,	 /* the device writes it (else: reads it) */
	VIO_DESC_F_INDIRECT = 4, /* it is a table of descriptors */
	/* packed only */
	VIO_DESC_F_AVAIL = 1 << 7,
	VIO_DESC_F_USED = 1 << 15,
};

struct vio_virtq_desc {
	vio_le64 addr;
	vio_le32 len;
	vio_le16 flags;
	vio_le16 next; /* with F_NEXT */
};
VIO_ASSERT_SIZE(vio_virtq_desc, 16);
VIO_ASSERT_OFFSET(vio_virtq_desc, addr, 0);
VIO_ASSERT_OFFSET(vio_virtq_desc, len, 8);
VIO_ASSERT_OFFSET(vio_virtq_desc, flags, 12);
VIO_ASSERT_OFFSET(vio_virtq_desc, next, 14);

#define VIO_VIRTQ_AVAIL_F_NO_INTERRUPT 1 /* vio_virtq_avail.flags; only without EVENT_IDX */

/* The driver area; written by the driver. */
struct vio_virtq_avail {
	vio_le16 flags;
	vio_le16 idx;	 /* free-running: where the next head goes */
	vio_le16 ring[]; /* one per descriptor; then used_event */
};
VIO_ASSERT_SIZE(vio_virtq_avail, 4);
VIO_ASSERT_OFFSET(vio_virtq_avail, flags, 0);
VIO_ASSERT_OFFSET(vio_virtq_avail, idx, 2);
VIO_ASSERT_OFFSET(vio_virtq_avail, ring, 4);

struct vio_virtq_used_elem {
	vio_le32 id;  /* head of the chain */
	vio_le32 len; /* bytes that the device wrote */
};
VIO_ASSERT_SIZE(vio_virtq_used_elem, 8);
VIO_ASSERT_OFFSET(vio_virtq_used_elem, id, 0);
VIO_ASSERT_OFFSET(vio_virtq_used_elem, len, 4);

#define VIO_VIRTQ_USED_F_NO_NOTIFY 1 /* vio_virtq_used.flags; only without EVENT_IDX */

/* The device area; written by the device. */
struct vio_virtq_used {
	vio_le16 flags;
	vio_le16 idx;			   /* free-running */
	struct vio_virtq_used_elem ring[]; /* one per descriptor; then vio_le16 avail_event */
};
VIO_ASSERT_SIZE(vio_virtq_used, 4);
VIO_ASSERT_OFFSET(vio_virtq_used, flags, 0);
VIO_ASSERT_OFFSET(vio_virtq_used, idx, 2);
VIO_ASSERT_OFFSET(vio_virtq_used, ring, 4);

/* Alignment of the three parts, and their sizes for @num descriptors, event fields included. */
#define VIO_VIRTQ_DESC_ALIGN	  16
#define VIO_VIRTQ_AVAIL_ALIGN	  2
#define VIO_VIRTQ_USED_ALIGN	  4
#define VIO_VIRTQ_DESC_SIZE(num)  (16 * (size_t)(num))
#define VIO_VIRTQ_AVAIL_SIZE(num) (6 + 2 * (size_t)(num))
#define VIO_VIRTQ_USED_SIZE(num)  (6 + 8 * (size_t)(num))

/* Offsets of the event fields in the driver and the device area. */
#define VIO_VIRTQ_USED_EVENT(num)  (4 + 2 * (size_t)(num))
#define VIO_VIRTQ_AVAIL_EVENT(num) (4 + 8 * (size_t)(num))

/* Legacy: the three parts in one piece, the used ring on the next multiple of this. */
#define VIO_VIRTQ_LEGACY_ALIGN 4096

/* ---- Packed virtqueue, virtio 1.4, 2.8 ------------------------------------------------------- */

struct vio_pvirtq_desc {
	vio_le64 addr;
	vio_le32 len;
	vio_le16 id;
	vio_le16 flags;
};
VIO_ASSERT_SIZE(vio_pvirtq_desc, 16);
VIO_ASSERT_OFFSET(vio_pvirtq_desc, addr, 0);
VIO_ASSERT_OFFSET(vio_pvirtq_desc, len, 8);
VIO_ASSERT_OFFSET(vio_pvirtq_desc, id, 12);
VIO_ASSERT_OFFSET(vio_pvirtq_desc, flags, 14);

/* Driver area: which used buffers it wants to hear of. Device area: which available ones. */
struct vio_pvirtq_event {
	vio_le16 desc;	/* offset in the ring, wrap counter in bit 15 */
	vio_le16 flags; /* VIO_RING_EVENT_*, upper 14 bits reserved */
};
VIO_ASSERT_SIZE(vio_pvirtq_event, 4);
VIO_ASSERT_OFFSET(vio_pvirtq_event, desc, 0);
VIO_ASSERT_OFFSET(vio_pvirtq_event, flags, 2);

enum {
	VIO_RING_EVENT_ENABLE = 0,
	VIO_RING_EVENT_DISABLE = 1,
	VIO_RING_EVENT_DESC = 2, /* only with EVENT_IDX */
	VIO_RING_EVENT_MASK = 3,
	VIO_RING_EVENT_WRAP = 1 << 15, /* in vio_pvirtq_event.desc */
};

#define VIO_PVIRTQ_DESC_ALIGN	  16
#define VIO_PVIRTQ_EVENT_ALIGN	  4
#define VIO_PVIRTQ_DESC_SIZE(num) (16 * (size_t)(num))

/* NOTIFICATION_DATA: what a kick carries in 32 bits, virtio 1.4, 2.9. */
#define VIO_NOTIFY_DATA_OFF_SHIFT  16 /* below it the queue's index; split: avail idx from here */
#define VIO_NOTIFY_DATA_WRAP_SHIFT 31 /* packed only */

/* ---- PCI, virtio 1.4, 4.1 -------------------------------------------------------------------- */

enum {
	VIO_PCI_VENDOR = 0x1af4,
	VIO_PCI_DEVICE_NET = 0x1041,	    /* 0x1040 + VIO_ID_NET */
	VIO_PCI_DEVICE_NET_LEGACY = 0x1000, /* legacy or transitional, revision 0 */
	VIO_PCI_CAP_ID_VNDR = 9,
	VIO_PCI_BAR_MAX = 5,
};

/* vio_pci_cap.cfg_type */
enum {
	VIO_PCI_CAP_COMMON_CFG = 1,
	VIO_PCI_CAP_NOTIFY_CFG = 2,
	VIO_PCI_CAP_ISR_CFG = 3,
	VIO_PCI_CAP_DEVICE_CFG = 4,
	VIO_PCI_CAP_PCI_CFG = 5,
	VIO_PCI_CAP_SHARED_MEMORY_CFG = 8,
	VIO_PCI_CAP_VENDOR_CFG = 9,
};

struct vio_pci_cap {
	uint8_t cap_vndr; /* VIO_PCI_CAP_ID_VNDR */
	uint8_t cap_next;
	uint8_t cap_len;
	uint8_t cfg_type;
	uint8_t bar; /* above VIO_PCI_BAR_MAX: ignore the capability */
	uint8_t id;  /* tells several of one type apart */
	uint8_t padding[2];
	vio_le32 offset;
	vio_le32 length;
};
VIO_ASSERT_SIZE(vio_pci_cap, 16);
VIO_ASSERT_OFFSET(vio_pci_cap, cap_vndr, 0);
VIO_ASSERT_OFFSET(vio_pci_cap, cap_next, 1);
VIO_ASSERT_OFFSET(vio_pci_cap, cap_len, 2);
VIO_ASSERT_OFFSET(vio_pci_cap, cfg_type, 3);
VIO_ASSERT_OFFSET(vio_pci_cap, bar, 4);
VIO_ASSERT_OFFSET(vio_pci_cap, id, 5);
VIO_ASSERT_OFFSET(vio_pci_cap, padding, 6);
VIO_ASSERT_OFFSET(vio_pci_cap, offset, 8);
VIO_ASSERT_OFFSET(vio_pci_cap, length, 12);

struct vio_pci_notify_cap {
	struct vio_pci_cap cap;
	vio_le32 notify_off_multiplier; /* 0 or a power of two above 1 */
};
VIO_ASSERT_SIZE(vio_pci_notify_cap, 20);
VIO_ASSERT_OFFSET(vio_pci_notify_cap, notify_off_multiplier, 16);

/* Shared memory regions. */
struct vio_pci_cap64 {
	struct vio_pci_cap cap;
	vio_le32 offset_hi;
	vio_le32 length_hi;
};
VIO_ASSERT_SIZE(vio_pci_cap64, 24);
VIO_ASSERT_OFFSET(vio_pci_cap64, offset_hi, 16);
VIO_ASSERT_OFFSET(vio_pci_cap64, length_hi, 20);

/* A window into the BARs through configuration space. */
struct vio_pci_cfg_cap {
	struct vio_pci_cap cap;
	uint8_t pci_cfg_data[4];
};
VIO_ASSERT_SIZE(vio_pci_cfg_cap, 20);
VIO_ASSERT_OFFSET(vio_pci_cfg_cap, pci_cfg_data, 16);

/* Followed by what the vendor likes, up to cap_len, a multiple of 4. */
struct vio_pci_vndr_data {
	uint8_t cap_vndr;
	uint8_t cap_next;
	uint8_t cap_len;
	uint8_t cfg_type;
	vio_le16 vendor_id; /* never VIO_PCI_VENDOR */
};
VIO_ASSERT_SIZE(vio_pci_vndr_data, 6);
VIO_ASSERT_OFFSET(vio_pci_vndr_data, vendor_id, 4);

/*
 * Access each field with its own width (64-bit fields as two halves). Feature words: select 0, 1
 * and so on for bits 0-31, 32-63. Bits 64 and above need select 2 and 3, although a note in the
 * text says 0.
 */
struct vio_pci_common_cfg {
	vio_le32 device_feature_select;
	vio_le32 device_feature; /* read-only */
	vio_le32 driver_feature_select;
	vio_le32 driver_feature;
	vio_le16 config_msix_vector;
	vio_le16 num_queues; /* read-only */
	uint8_t device_status;
	uint8_t config_generation; /* read-only */
	vio_le16 queue_select;	   /* the fields below are those of this queue */
	vio_le16 queue_size;
	vio_le16 queue_msix_vector;
	vio_le16 queue_enable;	   /* 0 is never written */
	vio_le16 queue_notify_off; /* read-only */
	vio_le64 queue_desc;
	vio_le64 queue_driver;
	vio_le64 queue_device;
	vio_le16 queue_notif_config_data; /* read-only; NOTIF_CONFIG_DATA */
	vio_le16 queue_reset;		  /* RING_RESET */
	vio_le16 admin_queue_index;	  /* read-only; ADMIN_VQ */
	vio_le16 admin_queue_num;	  /* read-only; ADMIN_VQ */
};
VIO_ASSERT_SIZE(vio_pci_common_cfg, 64);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, device_feature_select, 0x00);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, device_feature, 0x04);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, driver_feature_select, 0x08);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, driver_feature, 0x0c);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, config_msix_vector, 0x10);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, num_queues, 0x12);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, device_status, 0x14);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, config_generation, 0x15);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_select, 0x16);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_size, 0x18);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_msix_vector, 0x1a);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_enable, 0x1c);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_notify_off, 0x1e);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_desc, 0x20);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_driver, 0x28);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_device, 0x30);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_notif_config_data, 0x38);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, queue_reset, 0x3a);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, admin_queue_index, 0x3c);
VIO_ASSERT_OFFSET(vio_pci_common_cfg, admin_queue_num, 0x3e);

/* MSI-X */
enum {
	VIO_MSIX_VECTOR_MAX = 0x7ff,
	VIO_MSIX_NO_VECTOR = 0xffff,
};

/* ISR status of PCI, InterruptStatus and InterruptACK of MMIO. */
enum {
	VIO_ISR_QUEUE = 1,
	VIO_ISR_CONFIG = 2,
};

/* Legacy PCI: registers in the I/O BAR 0, little-endian; only feature bits 0 to 31. */
enum {
	VIO_PCI_LEGACY_DEVICE_FEATURES = 0,
	VIO_PCI_LEGACY_DRIVER_FEATURES = 4,
	VIO_PCI_LEGACY_QUEUE_PFN = 8, /* address / VIO_VIRTQ_LEGACY_ALIGN */
	VIO_PCI_LEGACY_QUEUE_SIZE = 12,
	VIO_PCI_LEGACY_QUEUE_SELECT = 14,
	VIO_PCI_LEGACY_QUEUE_NOTIFY = 16,
	VIO_PCI_LEGACY_STATUS = 18,
	VIO_PCI_LEGACY_ISR = 19,
	VIO_PCI_LEGACY_CONFIG = 20,	   /* MSI-X disabled: device configuration */
	VIO_PCI_LEGACY_CONFIG_VECTOR = 20, /* MSI-X enabled */
	VIO_PCI_LEGACY_QUEUE_VECTOR = 22,  /* MSI-X enabled */
	VIO_PCI_LEGACY_CONFIG_MSIX = 24,   /* MSI-X enabled: device configuration */
};

/* ---- MMIO, virtio 1.4, 4.2 ------------------------------------------------------------------- */

#define VIO_MMIO_MAGIC UINT32_C(0x74726976) /* "virt" */

enum {
	VIO_MMIO_VERSION_LEGACY = 1,
	VIO_MMIO_VERSION_MODERN = 2,
};

/* Registers: 32 bits, aligned accesses only; from CONFIG on, the natural width. */
enum {
	VIO_MMIO_MAGIC_VALUE = 0x000,
	VIO_MMIO_VERSION = 0x004,
	VIO_MMIO_DEVICE_ID = 0x008, /* 0: nothing here */
	VIO_MMIO_VENDOR_ID = 0x00c,
	VIO_MMIO_DEVICE_FEATURES = 0x010,
	VIO_MMIO_DEVICE_FEATURES_SEL = 0x014,
	VIO_MMIO_DRIVER_FEATURES = 0x020,
	VIO_MMIO_DRIVER_FEATURES_SEL = 0x024,
	VIO_MMIO_GUEST_PAGE_SIZE = 0x028, /* legacy only */
	VIO_MMIO_QUEUE_SEL = 0x030,
	VIO_MMIO_QUEUE_SIZE_MAX = 0x034,
	VIO_MMIO_QUEUE_SIZE = 0x038,
	VIO_MMIO_QUEUE_ALIGN = 0x03c, /* legacy only */
	VIO_MMIO_QUEUE_PFN = 0x040,   /* legacy only */
	VIO_MMIO_QUEUE_READY = 0x044, /* from here on to 0x0fc: modern only, but for 050-070 */
	VIO_MMIO_QUEUE_NOTIFY = 0x050,
	VIO_MMIO_INTERRUPT_STATUS = 0x060,
	VIO_MMIO_INTERRUPT_ACK = 0x064,
	VIO_MMIO_STATUS = 0x070,
	VIO_MMIO_QUEUE_DESC_LOW = 0x080,
	VIO_MMIO_QUEUE_DESC_HIGH = 0x084,
	VIO_MMIO_QUEUE_DRIVER_LOW = 0x090,
	VIO_MMIO_QUEUE_DRIVER_HIGH = 0x094,
	VIO_MMIO_QUEUE_DEVICE_LOW = 0x0a0,
	VIO_MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
	VIO_MMIO_SHM_SEL = 0x0ac,
	VIO_MMIO_SHM_LEN_LOW = 0x0b0, /* all ones: no such region */
	VIO_MMIO_SHM_LEN_HIGH = 0x0b4,
	VIO_MMIO_SHM_BASE_LOW = 0x0b8,
	VIO_MMIO_SHM_BASE_HIGH = 0x0bc,
	VIO_MMIO_QUEUE_RESET = 0x0c0, /* RING_RESET */
	VIO_MMIO_CONFIG_GENERATION = 0x0fc,
	VIO_MMIO_CONFIG = 0x100,
};

#endif
