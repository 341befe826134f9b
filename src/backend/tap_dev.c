/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and configuring a tap interface (Linux, Documentation/networking/tuntap.rst).
 *
 * Three ways to get one: create it (CAP_NET_ADMIN needed), open one that was made beforehand for
 * this user, or take descriptors that somebody else opened. All end in the same state: frames
 * without protocol information, a little-endian net header of 12 bytes before each, non-blocking.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fmt.h"
#include "tap.h"

/* Linux 6.2; headers may be older than the kernel. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* How long a queue may stay taken by a process that has ended. */
#define RELEASE_MS	1000
#define RELEASE_STEP_MS 10

static int fail(struct vio_error *err, const char *what, const char *name, int errnum)
{
	vio_error_set(err, VIO_TAP_KIND ": can't %s %s: %s", what, name, strerror(errnum));
	return -errnum;
}

/* The kernel's flags for @offloads, with segmentation of UDP only if it is known for both. */
static unsigned tun_flags(uint32_t offloads, bool uso)
{
	unsigned flags = 0;

	if (!(offloads & VIO_OFFLOAD_CSUM))
		return 0; /* the kernel refuses all others without it */
	flags |= TUN_F_CSUM;
	if (offloads & VIO_OFFLOAD_TSO4)
		flags |= TUN_F_TSO4;
	if (offloads & VIO_OFFLOAD_TSO6)
		flags |= TUN_F_TSO6;
	if ((offloads & VIO_OFFLOAD_ECN) && (flags & (TUN_F_TSO4 | TUN_F_TSO6)))
		flags |= TUN_F_TSO_ECN;
	if (offloads & VIO_OFFLOAD_UFO)
		flags |= TUN_F_UFO;
	if (uso && (offloads & VIO_OFFLOAD_USO4) && (offloads & VIO_OFFLOAD_USO6))
		flags |= TUN_F_USO4 | TUN_F_USO6;
	return flags;
}

int vio_tap_dev_offload(const struct vio_tap_dev *dev, uint32_t offloads)
{
	unsigned long flags = tun_flags(offloads, dev->uso);

	return ioctl(dev->fds[0], TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

int vio_tap_dev_attach(const struct vio_tap_dev *dev, unsigned i, bool on)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
	return ioctl(dev->fds[i], TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}

/* Puts one queue into the state that the data path expects. */
static int setup_queue(int fd, const char *name, struct vio_error *err)
{
	int size = VIO_TAP_HDR_LEN, on = 1, flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return fail(err, "make non-blocking", name, errno);
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return fail(err, "set the net header size of", name, errno);
	if (ioctl(fd, TUNSETVNETLE, &on) < 0)
		return fail(err, "set the net header's byte order of", name, errno);
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * By descriptor
 */
static int check_given(struct vio_tap_dev *dev, int fd, struct vio_error *err)
{
	struct ifreq ifr = { 0 };
	unsigned flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0) {
		vio_error_set(err, VIO_TAP_KIND ": fd=%d: not a tap descriptor (%s)", fd,
			      strerror(errno));
		return -EINVAL;
	}
	flags = (unsigned short)ifr.ifr_flags;
	if (!(flags & IFF_TAP) || !(flags & IFF_NO_PI) || !(flags & IFF_VNET_HDR)) {
		vio_error_set(err,
			      VIO_TAP_KIND ": fd=%d (%s): opened without %s, expected IFF_TAP | "
					   "IFF_NO_PI | IFF_VNET_HDR",
			      fd, ifr.ifr_name,
			      !(flags & IFF_TAP)   ? "IFF_TAP" :
			      !(flags & IFF_NO_PI) ? "IFF_NO_PI" :
						     "IFF_VNET_HDR");
		return -EINVAL;
	}
	if (dev->name[0] != '\0' && strcmp(dev->name, ifr.ifr_name) != 0) {
		vio_error_set(err, VIO_TAP_KIND ": fd=%d is of %s, the first one of %s", fd,
			      ifr.ifr_name, dev->name);
		return -EINVAL;
	}
	memcpy(dev->name, ifr.ifr_name, sizeof(dev->name));
	dev->name[sizeof(dev->name) - 1] = '\0';
	dev->multi_queue = (flags & IFF_MULTI_QUEUE) != 0;
	return 0;
}

/* Takes the next number of "3:4:5" off @list. */
static int next_fd(const char **list, int *fd)
{
	char number[12];
	size_t len = strcspn(*list, ":");
	uint64_t value;

	if (len >= sizeof(number))
		return -EINVAL;
	memcpy(number, *list, len);
	number[len] = '\0';
	if (!vio_opt_number(number, 0, INT32_MAX, &value))
		return -EINVAL;
	*list += len + ((*list)[len] == ':');
	*fd = (int)value;
	return 0;
}

static int take_given(struct vio_tap_dev *dev, const struct vio_tap_options *o, unsigned pairs,
		      struct vio_error *err)
{
	const char *list = o->fd;
	int ret;

	if (o->name != NULL) {
		vio_error_set(err, VIO_TAP_KIND ": name= and fd= exclude each other");
		return -EINVAL;
	}
	for (unsigned i = 0; i < pairs; i++) {
		if (next_fd(&list, &dev->fds[i]) < 0) {
			vio_error_set(err,
				      VIO_TAP_KIND ": fd=%s: expected %u descriptor%s (one for "
						   "each queue pair) with ':' between them",
				      o->fd, pairs, pairs == 1 ? "" : "s");
			return -EINVAL;
		}
	}
	if (*list != '\0') {
		vio_error_set(err, VIO_TAP_KIND ": fd=%s: more descriptors than queue pairs (%u)",
			      o->fd, pairs);
		return -EINVAL;
	}
	for (unsigned i = 0; i < pairs; i++) {
		ret = check_given(dev, dev->fds[i], err);
		if (ret == 0)
			ret = setup_queue(dev->fds[i], dev->name, err);
		if (ret < 0)
			return ret;
	}
	dev->num_fds = pairs; /* ours from here on */
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * By name
 */
static int refused(struct vio_error *err, const char *name, unsigned pairs, int errnum)
{
	switch (errnum) {
	case EPERM:
	case EACCES:
		vio_error_set(err,
			      VIO_TAP_KIND ": may not open %s: needs CAP_NET_ADMIN, or a tap made "
					   "beforehand (ip tuntap add %s mode tap user NAME%s), "
					   "or fd=",
			      name, name, pairs > 1 ? " multi_queue" : "");
		break;
	case EINVAL:
		vio_error_set(err,
			      VIO_TAP_KIND ": can't open %s: it exists and is not a tap with %s",
			      name, pairs > 1 ? "multi_queue" : "a single queue");
		break;
	case EBUSY:
		vio_error_set(err, VIO_TAP_KIND ": can't open %s: another program has it", name);
		break;
	default:
		return fail(err, "open", name, errnum);
	}
	return -errnum;
}

/*
 * Takes a queue of the interface. One whose owner was killed is let go of a moment later, when the
 * kernel has cleaned up behind it: who starts again right away must not find it taken.
 */
static int set_interface(int fd, struct ifreq *ifr)
{
	struct timespec pause = { 0, RELEASE_STEP_MS * 1000000L };

	for (unsigned ms = 0;; ms += RELEASE_STEP_MS) {
		if (ioctl(fd, TUNSETIFF, ifr) == 0)
			return 0;
		if (errno != EBUSY || ms >= RELEASE_MS)
			return -errno;
		nanosleep(&pause, NULL);
	}
}

static int open_queue(struct vio_tap_dev *dev, unsigned pairs, struct vio_error *err)
{
	struct ifreq ifr = { 0 };
	int fd, ret;

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(err, "open", "/dev/net/tun", errno);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, dev->name, sizeof(ifr.ifr_name));
	ret = set_interface(fd, &ifr);
	if (ret < 0) {
		ret = refused(err, dev->name, pairs, -ret);
		goto close;
	}
	memcpy(dev->name, ifr.ifr_name, sizeof(dev->name));
	ret = setup_queue(fd, dev->name, err);
	if (ret < 0)
		goto close;
	dev->fds[dev->num_fds++] = fd;
	return 0;
close:
	close(fd);
	return ret;
}

static int open_named(struct vio_tap_dev *dev, const struct vio_tap_options *o, unsigned pairs,
		      struct vio_error *err)
{
	const char *name = o->name != NULL ? o->name : "vio%d";

	if (strlen(name) >= sizeof(dev->name)) {
		vio_error_set(err, VIO_TAP_KIND ": name=%s: expected at most %zu characters", name,
			      sizeof(dev->name) - 1);
		return -EINVAL;
	}
	strcpy(dev->name, name);
	dev->multi_queue = pairs > 1;
	for (unsigned i = 0; i < pairs; i++) {
		int ret = open_queue(dev, pairs, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------
 * Configuration
 */
static int set_mtu(int sock, const char *name, uint64_t mtu)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
	ifr.ifr_mtu = (int)mtu;
	return ioctl(sock, SIOCSIFMTU, &ifr) < 0 ? -errno : 0;
}

static int set_up(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/*
 * What was asked for must succeed. What was not is done for an interface of our own where we may:
 * it is brought up and gets the device's MTU.
 */
static int configure(const struct vio_tap_dev *dev, const struct vio_tap_options *o, bool created,
		     uint16_t mtu, struct vio_error *err)
{
	int sock, ret = 0;

	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return fail(err, "open a socket to configure", dev->name, errno);
	if (o->mtu != 0)
		ret = set_mtu(sock, dev->name, o->mtu);
	else if (created && mtu != 0)
		set_mtu(sock, dev->name, mtu);
	if (ret < 0) {
		fail(err, "set the MTU of", dev->name, -ret);
		goto close;
	}
	if (o->up == VIO_ON)
		ret = set_up(sock, dev->name);
	else if (o->up == VIO_UNSET && created)
		set_up(sock, dev->name);
	if (ret < 0)
		fail(err, "bring up", dev->name, -ret);
close:
	close(sock);
	return ret;
}

/* Whether the kernel takes and gives segmented UDP: only a try can tell. */
static bool probe_uso(const struct vio_tap_dev *dev)
{
	unsigned long flags = TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6;

	return ioctl(dev->fds[0], TUNSETOFFLOAD, flags) == 0;
}

int vio_tap_dev_open(struct vio_tap_dev *dev, const struct vio_tap_options *o, unsigned pairs,
		     uint16_t mtu, struct vio_error *err)
{
	bool created;
	int ret;

	created = o->fd == NULL && (o->name == NULL || if_nametoindex(o->name) == 0);
	dev->num_fds = 0;
	dev->name[0] = '\0';
	if (o->fd != NULL)
		ret = take_given(dev, o, pairs, err);
	else
		ret = open_named(dev, o, pairs, err);
	if (ret == 0)
		ret = configure(dev, o, created, mtu, err);
	if (ret < 0)
		goto close;
	dev->uso = probe_uso(dev);
	ret = vio_tap_dev_offload(dev, 0);
	if (ret < 0) {
		fail(err, "set the offloads of", dev->name, -ret);
		goto close;
	}
	return 0;
close:
	if (o->fd != NULL)
		dev->num_fds = 0; /* they stay the caller's */
	vio_tap_dev_close(dev);
	return ret;
}

void vio_tap_dev_close(struct vio_tap_dev *dev)
{
	while (dev->num_fds != 0)
		close(dev->fds[--dev->num_fds]);
}
