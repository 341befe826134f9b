/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vioduct/virtio.h>

#include "check.h"

static void put_line(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		perror(path);
	close(fd);
}

/* A network namespace: as root, or else inside a user namespace in which we are. */
static bool enter_namespace(void)
{
	char map[64];

	if (unshare(CLONE_NEWNET) == 0)
		return true;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	put_line("/proc/self/setgroups", "deny");
	put_line("/proc/self/uid_map", map);
	return true;
}

const char *kernel_enter(void)
{
	if (!enter_namespace())
		return "network namespaces";
	if (access("/dev/net/tun", R_OK | W_OK))
		return "/dev/net/tun";
	/* The kernel has nothing to say on these interfaces itself. */
	put_line("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	put_line("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return NULL;
}

static struct ifreq request(const char *name)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	return ifr;
}

bool kernel_tap_offloads(int tap, unsigned offloads)
{
	return ioctl(tap, TUNSETOFFLOAD, (unsigned long)offloads) == 0;
}

int kernel_tap(const char *name, unsigned offloads)
{
	struct ifreq ifr = request(name);
	int size = VIO_NET_HDR_SIZE, yes = 1;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    ioctl(fd, TUNSETVNETLE, &yes) || !kernel_tap_offloads(fd, offloads)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int any_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* The largest MTU, and up. A tap's queue of 500 has room for all segments of one of our frames. */
static bool bring_up(int sock, const char *name)
{
	struct ifreq ifr = request(name);

	ifr.ifr_mtu = KERNEL_MTU;
	if (ioctl(sock, SIOCSIFMTU, &ifr))
		return false;
	ifr.ifr_flags = IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) == 0;
}

bool kernel_bridge(const char *name)
{
	int sock = any_socket();
	bool ok = sock >= 0 && ioctl(sock, SIOCBRADDBR, name) == 0 && bring_up(sock, name);

	close(sock);
	return ok;
}

bool kernel_join(const char *bridge, const char *name)
{
	struct ifreq ifr = request(bridge);
	int sock = any_socket();
	bool ok;

	ifr.ifr_ifindex = (int)if_nametoindex(name);
	ok = sock >= 0 && ioctl(sock, SIOCBRADDIF, &ifr) == 0 && bring_up(sock, name);
	close(sock);
	return ok;
}

uint32_t kernel_mtu(const char *name)
{
	struct ifreq ifr = request(name);
	int sock = any_socket();
	int ret = ioctl(sock, SIOCGIFMTU, &ifr);

	close(sock);
	return ret == 0 ? (uint32_t)ifr.ifr_mtu : 0;
}

bool kernel_send(int tap, const uint8_t *bytes, uint32_t len, const struct vio_net_meta *meta)
{
	uint8_t header[VIO_NET_HDR_SIZE];
	struct iovec iov[2] = { { header, sizeof(header) }, { (void *)(uintptr_t)bytes, len } };

	vio_net_hdr_encode(header, sizeof(header), false, meta);
	if (writev(tap, iov, 2) == (ssize_t)(sizeof(header) + len))
		return true;
	check(errno == EINVAL);
	return false;
}

bool kernel_is_ours(const uint8_t *bytes)
{
	static const uint8_t ours[6] = { 2, 0, 0, 0, 0, 1 };

	return memcmp(bytes + 6, ours, 6) == 0;
}

uint32_t kernel_receive(int tap, uint8_t bytes[NETFRAME_MAX], struct vio_net_meta *meta)
{
	uint8_t header[VIO_NET_HDR_SIZE];
	struct iovec iov[2] = { { header, sizeof(header) }, { bytes, NETFRAME_MAX } };
	struct pollfd ready = { .fd = tap, .events = POLLIN };
	ssize_t got;

	do {
		check(poll(&ready, 1, 10000) == 1);
		got = readv(tap, iov, 2);
		check(got >= (ssize_t)sizeof(header) + VIO_ETH_HLEN);
	} while (!kernel_is_ours(bytes));
	vio_net_hdr_decode(header, sizeof(header), false, meta);
	return (uint32_t)got - VIO_NET_HDR_SIZE;
}
