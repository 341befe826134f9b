/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the user back end. Keys and defaults are those of QEMU's user network, so that what
 * worked there works here: 10.0.2.0/24 with the gateway at .2, a DNS forwarder at .3, DHCP from .15,
 * and fec0::/64 beside it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "user.h"

#define KIND	     VIO_USER_KIND
#define MTU_MIN	     68
#define MTU_MIN_IPV6 1280  /* RFC 8200, 5 */
#define MTU_MAX	     65521 /* libslirp's */

struct texts {
	const char *net, *host, *dns, *dhcpstart, *hostname;
	enum vio_switch ipv6, restrict_;
	uint64_t mtu;
};

static const struct vio_opt table[] = {
	{ "net", VIO_OPT_STRING, offsetof(struct texts, net), 0, 0 },
	{ "host", VIO_OPT_STRING, offsetof(struct texts, host), 0, 0 },
	{ "dns", VIO_OPT_STRING, offsetof(struct texts, dns), 0, 0 },
	{ "dhcpstart", VIO_OPT_STRING, offsetof(struct texts, dhcpstart), 0, 0 },
	{ "hostname", VIO_OPT_STRING, offsetof(struct texts, hostname), 0, 0 },
	{ "hostfwd", VIO_OPT_EACH, 0, 0, 0 },
	{ "ipv6", VIO_OPT_SWITCH, offsetof(struct texts, ipv6), 0, 0 },
	{ "restrict", VIO_OPT_SWITCH, offsetof(struct texts, restrict_), 0, 0 },
	{ "mtu", VIO_OPT_NUMBER, offsetof(struct texts, mtu), MTU_MIN, MTU_MAX },
};

/* ADDRESS/LENGTH, the length 24 when not given. */
static int parse_net(const char *text, SlirpConfig *slirp, struct vio_error *err)
{
	char address[INET_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	uint64_t bits = 24;
	uint32_t mask;

	if (len >= sizeof(address) ||
	    (text[len] == '/' && !vio_opt_number(text + len + 1, 8, 29, &bits)))
		goto bad;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &slirp->vnetwork) != 1)
		goto bad;
	mask = htonl(~UINT32_C(0) << (32 - bits));
	slirp->vnetmask.s_addr = mask;
	slirp->vnetwork.s_addr &= mask;
	return 0;
bad:
	vio_error_set(err,
		      KIND ": net=%s: expected ADDRESS/LENGTH such as 10.0.2.0/24, length 8 to 29",
		      text);
	return -EINVAL;
}

/* An address of the network; by default its @number-th one, as far as it has as many. */
static int parse_address(const char *key, const char *text, uint32_t number,
			 const SlirpConfig *slirp, struct in_addr *to, struct vio_error *err)
{
	uint32_t mask = slirp->vnetmask.s_addr, inside;

	if (text == NULL)
		to->s_addr = slirp->vnetwork.s_addr |
			     (htonl(vio_min(number, ~ntohl(mask) - 1)) & ~mask);
	else if (inet_pton(AF_INET, text, to) != 1)
		goto bad;
	inside = to->s_addr & ~mask;
	if ((to->s_addr & mask) == slirp->vnetwork.s_addr && inside != 0 && inside != ~mask)
		return 0;
bad:
	vio_error_set(err, KIND ": %s=%s: expected an IPv4 address of a host in the network", key,
		      text);
	return -EINVAL;
}

static int parse_addresses(const struct texts *t, SlirpConfig *slirp, struct vio_error *err)
{
	int ret;

	ret = parse_net(t->net != NULL ? t->net : "10.0.2.0/24", slirp, err);
	if (ret == 0)
		ret = parse_address("host", t->host, 2, slirp, &slirp->vhost, err);
	if (ret == 0)
		ret = parse_address("dns", t->dns, 3, slirp, &slirp->vnameserver, err);
	if (ret == 0)
		ret = parse_address("dhcpstart", t->dhcpstart, 15, slirp, &slirp->vdhcp_start, err);
	if (ret < 0)
		return ret;
	if (slirp->vhost.s_addr == slirp->vnameserver.s_addr ||
	    slirp->vhost.s_addr == slirp->vdhcp_start.s_addr ||
	    slirp->vnameserver.s_addr == slirp->vdhcp_start.s_addr) {
		vio_error_set(err,
			      KIND ": host, dns and dhcpstart must be three different addresses");
		return -EINVAL;
	}
	return 0;
}

static int parse_mtu(const struct texts *t, uint16_t device, SlirpConfig *slirp,
		     struct vio_error *err)
{
	uint64_t mtu = t->mtu;

	if (mtu == 0)
		mtu = device != 0 ? vio_min((uint64_t)device, (uint64_t)MTU_MAX) : 1500;
	if (slirp->in6_enabled && mtu < MTU_MIN_IPV6) {
		if (t->mtu != 0 && t->ipv6 == VIO_ON) {
			vio_error_set(err, KIND ": mtu=%u: IPv6 needs at least %u, or ipv6=off",
				      (unsigned)mtu, MTU_MIN_IPV6);
			return -EINVAL;
		}
		slirp->in6_enabled = false;
	}
	slirp->if_mtu = (size_t)mtu;
	slirp->if_mru = (size_t)mtu;
	return 0;
}

int vio_user_options_parse(const struct vio_backend_config *config, struct vio_user_options *o,
			   struct vio_error *err)
{
	SlirpConfig *slirp = &o->slirp;
	struct texts t = { 0 };
	int ret;

	ret = vio_opts_parse(KIND, config, table, vio_array_size(table), &t, err);
	if (ret < 0)
		return ret;
	memset(o, 0, sizeof(*o));
	/* The fields used here are all of version 1; the callbacks too. */
	slirp->version = 1;
	slirp->restricted = t.restrict_ == VIO_ON;
	slirp->in_enabled = true;
	slirp->in6_enabled = t.ipv6 != VIO_OFF;
	slirp->vhostname = t.hostname;
	slirp->vprefix_len = 64;
	inet_pton(AF_INET6, "fec0::", &slirp->vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &slirp->vhost6);
	inet_pton(AF_INET6, "fec0::3", &slirp->vnameserver6);
	ret = parse_addresses(&t, slirp, err);
	if (ret == 0)
		ret = parse_mtu(&t, config->mtu, slirp, err);
	o->guest = slirp->vdhcp_start;
	return ret;
}

/* ------------------------------------------------------------------------------------------
 * Forwarded ports
 */
struct forward {
	bool udp;
	struct in_addr host, guest;
	uint64_t host_port, guest_port;
};

/* "[ADDRESS]:PORT" up to @end, which is changed to end the string. */
static bool parse_end(char *text, uint64_t port_min, struct in_addr *address, uint64_t *port)
{
	char *colon = strchr(text, ':');

	if (colon == NULL)
		return false;
	*colon = '\0';
	if (*text != '\0' && inet_pton(AF_INET, text, address) != 1)
		return false;
	return vio_opt_number(colon + 1, port_min, 65535, port);
}

/* tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT */
static bool parse_forward(const char *text, struct forward *f)
{
	char copy[96], *dash;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	f->udp = strncmp(copy, "udp:", 4) == 0;
	if (!f->udp && strncmp(copy, "tcp:", 4) != 0)
		return false;
	dash = strchr(copy, '-');
	if (dash == NULL)
		return false;
	*dash = '\0';
	return parse_end(copy + 4, 0, &f->host, &f->host_port) &&
	       parse_end(dash + 1, 1, &f->guest, &f->guest_port);
}

int vio_user_forward(Slirp *slirp, const struct vio_backend_config *config,
		     const struct vio_user_options *o, struct vio_error *err)
{
	for (unsigned i = 0; i < config->num_options; i++) {
		const struct vio_option *option = &config->options[i];
		struct forward f = { .host.s_addr = htonl(INADDR_ANY), .guest = o->guest };

		if (strcmp(option->key, "hostfwd") != 0)
			continue;
		if (!parse_forward(option->value, &f)) {
			vio_error_set(err,
				      KIND ": hostfwd=%s: expected "
					   "tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT",
				      option->value);
			return -EINVAL;
		}
		if (slirp_add_hostfwd(slirp, f.udp, f.host, (int)f.host_port, f.guest,
				      (int)f.guest_port) < 0) {
			int ret = errno != 0 ? -errno : -EADDRINUSE;

			vio_error_set(err, KIND ": hostfwd=%s: can't listen: %s", option->value,
				      strerror(-ret));
			return ret;
		}
	}
	return 0;
}
