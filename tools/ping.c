/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vioduct ping: echo requests through a device, by our driver.
 *
 * One thread sleeps in epoll on the driver's descriptors and wakes for frames, for the next request
 * and for the end. A request whose next hop is not resolved yet waits while the question for its
 * MAC is repeated. When the device goes away, requests go on being due, and are lost, until it is
 * there again: so the end comes when it was to come.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <jansson.h>

#include "front.h"
#include "ping_net.h"
#include "tool.h"

#define COMMAND	     "ping"
#define MS	     UINT64_C(1000000)
#define NEVER	     UINT64_MAX
#define ASK_AGAIN    (200 * MS)	 /* while the next hop does not tell its MAC */
#define RECOVER_EACH (100 * MS)	 /* while the device is away */
#define LAST_WAIT    (1000 * MS) /* for answers, after the last request */
#define RING_SIZE    256
#define BUFFERS	     1024
#define SLOTS	     1024 /* requests that an answer may still come to */
#define BUDGET	     64
#define SIZE_MAX_V4  65507

struct options {
	struct front_address via;
	const char *address, *gateway, *target;
	int64_t count, size;
	double interval;
	int family; /* 4, 6, or 0 as the addresses say */
	bool have_via, server, json;
};

struct slot {
	uint64_t number; /* of the request; 0: none */
	uint64_t sent;	 /* when */
	bool answered;
};

struct ping {
	const struct options *opt;
	struct front front;
	int epoll_fd;
	sigset_t open_mask;
	struct ping_host host;

	uint64_t number;	      /* the last request that was due */
	uint64_t waiting;	      /* the one that waits for the next hop's MAC, or 0 */
	uint64_t next, ask, end, try; /* when what is to be done; NEVER */
	bool away;		      /* the device is gone */
	bool busy;		      /* there may be more frames to take */
	int status;		      /* something went wrong for good: exit with this */

	struct slot slots[SLOTS];
	uint64_t received, duplicates, corrupt, recoveries;
	uint64_t rtt_sum, rtt_min, rtt_max; /* ns */
	uint8_t whole[VIO_FRAME_MAX_LEN];   /* a frame that came in pieces */
};

static const char *show(const struct ping_host *host, const uint8_t *address)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(host->v6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
}

/* ------------------------------------------------------------------------------------------
 * The device comes and goes
 */
static int watch(struct ping *p, int op, int fd, uint64_t what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = what };

	return epoll_ctl(p->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

static void lose_device(struct ping *p)
{
	if (p->away)
		return;
	fprintf(stderr, "vioduct ping: the device went away; waiting for it\n");
	p->away = true;
	p->busy = false;
	p->waiting = 0;
	p->ask = NEVER;
	p->try = front_now();
	watch(p, EPOLL_CTL_DEL, vio_driver_fd(p->front.drv), 0);
}

/* What a driver function returned. */
static void note(struct ping *p, int ret)
{
	if (ret == -ENODEV || ret == -EIO)
		lose_device(p);
	else if (ret == -EPROTO)
		p->status = tool_fail(COMMAND, "the device broke a queue");
	else if (ret < 0)
		p->status = tool_fail(COMMAND, "%s", strerror(-ret));
}

static void look_for_device(struct ping *p)
{
	struct vio_error err = { "" };
	int ret;

	ret = vio_driver_recover(p->front.drv, 0, &err);
	if (ret == -ENOTSUP) {
		p->status = tool_fail(COMMAND, "%s", err.msg[0] ? err.msg : strerror(-ret));
	} else if (ret) {
		p->try = front_now() + RECOVER_EACH;
	} else {
		fprintf(stderr, "vioduct ping: the device is back\n");
		p->recoveries++;
		p->away = false;
		p->try = NEVER;
		p->host.resolved = false;
		watch(p, EPOLL_CTL_ADD, vio_driver_fd(p->front.drv), 0);
		vio_driver_intr_enable(p->front.drv, VIO_RXQ(0));
	}
}

/* ------------------------------------------------------------------------------------------
 * Frames
 */
static void send_frame(struct ping *p, struct vio_buf *buf, uint32_t len)
{
	int ret;

	buf->len = len;
	ret = vio_driver_tx_burst(p->front.drv, 0, &buf, 1);
	if (ret != 1)
		vio_pool_put(p->front.pool, &buf, 1);
	if (ret < 0)
		note(p, ret);
}

static struct vio_buf *get_buffer(struct ping *p)
{
	struct vio_buf *buf;

	vio_driver_tx_reap(p->front.drv, 0, BUDGET);
	if (p->away || vio_pool_get(p->front.pool, &buf, 1) != 1)
		return NULL;
	memset(&buf->meta, 0, sizeof(buf->meta));
	return buf;
}

static void ask(struct ping *p)
{
	struct vio_buf *buf = get_buffer(p);

	if (buf)
		send_frame(p, buf, ping_solicit(&p->host, vio_buf_data(buf)));
	p->ask = p->away ? NEVER : front_now() + ASK_AGAIN;
}

static void send_request(struct ping *p, uint64_t number)
{
	struct vio_buf *buf = get_buffer(p);
	struct slot *slot = &p->slots[number % SLOTS];

	if (!buf)
		return;
	*slot = (struct slot){ .number = number, .sent = front_now() };
	send_frame(p, buf,
		   ping_echo(&p->host, (uint16_t)number, (uint32_t)p->opt->size,
			     vio_buf_data(buf)));
}

static void see_reply(struct ping *p, const struct ping_seen *seen)
{
	struct slot *slot = &p->slots[seen->seq % SLOTS];
	uint64_t rtt = front_now() - slot->sent;
	bool corrupt = seen->corrupt || seen->size != (uint64_t)p->opt->size;

	if (!slot->number || (uint16_t)slot->number != seen->seq)
		return;
	if (!p->opt->json)
		printf("%u bytes from %s: seq=%u ttl=%u time=%.3f ms%s%s\n", seen->size + 8,
		       show(&p->host, seen->from), seen->seq, seen->ttl, (double)rtt / 1e6,
		       slot->answered ? " (again)" : "", corrupt ? " (corrupt)" : "");
	if (corrupt) {
		p->corrupt++;
	} else if (slot->answered) {
		p->duplicates++;
	} else {
		slot->answered = true;
		p->received++;
		p->rtt_sum += rtt;
		p->rtt_min = p->received == 1 || rtt < p->rtt_min ? rtt : p->rtt_min;
		p->rtt_max = rtt > p->rtt_max ? rtt : p->rtt_max;
	}
}

static void see_frame(struct ping *p, const uint8_t *frame, uint32_t len)
{
	uint8_t answer[PING_SHORT_MAX];
	struct ping_seen seen;
	struct vio_buf *buf;

	switch (ping_receive(&p->host, frame, len, answer, &seen)) {
	case PING_RESOLVED:
		p->ask = NEVER;
		if (p->waiting)
			send_request(p, p->waiting);
		p->waiting = 0;
		break;
	case PING_ASKED:
		buf = get_buffer(p);
		if (buf) {
			memcpy(vio_buf_data(buf), answer, seen.answer_len);
			send_frame(p, buf, seen.answer_len);
		}
		break;
	case PING_REPLY:
		see_reply(p, &seen);
		break;
	case PING_NOTHING:
		break;
	}
}

static void receive(void *ctx, struct vio_buf **frames, unsigned n)
{
	struct ping *p = ctx;
	const struct vio_buf *b;
	uint32_t len;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!frames[i]->next) {
			see_frame(p, vio_buf_data(frames[i]), frames[i]->len);
			continue;
		}
		for (len = 0, b = frames[i]; b && b->len <= sizeof(p->whole) - len; b = b->next) {
			memcpy(p->whole + len, vio_buf_data(b), b->len);
			len += b->len;
		}
		see_frame(p, p->whole, len);
	}
	vio_pool_put(p->front.pool, frames, n);
}

static unsigned alloc_buffers(void *ctx, struct vio_buf **bufs, unsigned n)
{
	return vio_pool_take(((struct ping *)ctx)->front.pool, bufs, n);
}

static void free_buffers(void *ctx, struct vio_buf **bufs, unsigned n)
{
	vio_pool_put(((struct ping *)ctx)->front.pool, bufs, n);
}

/* ------------------------------------------------------------------------------------------
 * The loop
 */

/* The next request is due. */
static void tick(struct ping *p)
{
	uint64_t interval = (uint64_t)(p->opt->interval * 1e9), now = front_now();

	p->number++;
	p->next += interval;
	if (p->next <= now) /* woken late: requests are not bunched up */
		p->next = now + interval;
	if (p->opt->count && p->number == (uint64_t)p->opt->count) {
		p->next = NEVER;
		p->end = now + LAST_WAIT;
	}
	if (p->away)
		return;
	if (p->host.resolved) {
		send_request(p, p->number);
	} else {
		p->waiting = p->number;
		ask(p);
	}
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds to sleep: rounded up, so that what is due is due then. */
static int sleep_ms(const struct ping *p)
{
	uint64_t due = min(min(p->next, p->ask), min(p->end, p->try)), now = front_now();

	if (p->busy)
		return 0;
	due = min(due, vio_driver_poll_due(p->front.drv, 0));
	if (due <= now)
		return 0;
	return (int)min((due - now + MS - 1) / MS, 60000);
}

static void handle_events(struct ping *p)
{
	struct epoll_event events[4];
	int i, n, ret = 0;

	n = epoll_pwait(p->epoll_fd, events, 4, sleep_ms(p), &p->open_mask);
	for (i = 0; i < n; i++) {
		if (events[i].data.u64 == 0)
			ret = vio_driver_config_interrupt(p->front.drv);
		else
			vio_driver_queue_fd_handle(p->front.drv, VIO_RXQ(0));
		note(p, ret);
	}
	if (p->away || p->status)
		return;
	/* Less than the budget: empty, and armed again. Else the next round goes on: a device that
	 * never runs dry must not keep us from all else. */
	ret = vio_driver_poll(p->front.drv, 0, BUDGET);
	p->busy = ret == BUDGET;
	note(p, ret);
}

static void loop(struct ping *p)
{
	uint64_t now;

	p->next = front_now();
	p->ask = p->end = p->try = NEVER;
	while (!front_ending && !p->status) {
		now = front_now();
		if (now >= p->try)
			look_for_device(p);
		if (now >= p->next)
			tick(p);
		if (now >= p->ask && p->waiting)
			ask(p);
		if (now >= p->end || (p->end != NEVER && p->received == p->number))
			return;
		handle_events(p);
	}
}

/* ------------------------------------------------------------------------------------------
 * Beginning and end
 */
static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void report(const struct ping *p)
{
	uint64_t lost = p->number - p->received, n = p->received ? p->received : 1;
	json_t *root;

	if (!p->opt->json) {
		printf("%llu sent, %llu received, %llu lost", (unsigned long long)p->number,
		       (unsigned long long)p->received, (unsigned long long)lost);
		if (p->received)
			printf(", min/avg/max %.3f/%.3f/%.3f ms", ms(p->rtt_min),
			       ms(p->rtt_sum / n), ms(p->rtt_max));
		printf("\n");
		return;
	}
	root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "target", p->opt->target,
			 "transmitted", (json_int_t)p->number, "received", (json_int_t)p->received,
			 "lost", (json_int_t)lost, "duplicates", (json_int_t)p->duplicates,
			 "corrupt", (json_int_t)p->corrupt, "recoveries",
			 (json_int_t)p->recoveries);
	if (p->received)
		json_object_update_new(root, json_pack("{s:f, s:f, s:f}", "min_ms", ms(p->rtt_min),
						       "avg_ms", ms(p->rtt_sum / n), "max_ms",
						       ms(p->rtt_max)));
	json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}

static int run_pings(struct ping *p)
{
	struct front_conf conf = { .at = p->opt->via, .memory = 16 << 20 };
	struct front_queues queues = {
		.pairs = 1,
		.size = RING_SIZE,
		.buffers = BUFFERS,
		.room = (uint32_t)p->opt->size + PING_HEAD_MAX,
		.rx = { .alloc = alloc_buffers, .free = free_buffers, .receive = receive },
		.tx = { .free = free_buffers },
		.ctx = p,
	};
	uint32_t header = p->host.v6 ? 48 : 28;
	int ret;

	conf.timeout_ms = conf.at.server ? 60000 : 5000;
	conf.memory += (uint64_t)p->opt->size * BUFFERS;
	if (p->opt->size + header > 1500)
		conf.mtu = (uint32_t)p->opt->size + header;
	ret = front_connect(COMMAND, &conf, &p->front);
	if (!ret)
		ret = front_probe(COMMAND, &conf, &p->front);
	if (ret)
		return ret;
	if (vio_driver_mtu_get(p->front.drv) < p->opt->size + header)
		return tool_usage(COMMAND, "-s: %lld: the device's MTU of %u has room for %u",
				  (long long)p->opt->size, vio_driver_mtu_get(p->front.drv),
				  vio_driver_mtu_get(p->front.drv) - header);
	vio_driver_mac_get(p->front.drv, p->host.mac);
	ret = front_start(COMMAND, &queues, &p->front);
	if (ret)
		return ret;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0 || watch(p, EPOLL_CTL_ADD, vio_driver_fd(p->front.drv), 0) ||
	    watch(p, EPOLL_CTL_ADD, vio_driver_queue_fd(p->front.drv, VIO_RXQ(0)), 1))
		return tool_fail(COMMAND, "epoll: %s", strerror(errno));
	p->open_mask = front_catch_signals();
	vio_driver_intr_enable(p->front.drv, VIO_RXQ(0));
	if (!p->opt->json)
		printf("ping %s over %s: %lld bytes of data\n", p->opt->target, p->opt->via.path,
		       (long long)p->opt->size);
	loop(p);
	report(p);
	return p->status ? p->status : p->received ? TOOL_OK : TOOL_FAILED;
}

/* ------------------------------------------------------------------------------------------
 * The command line
 */

/* ADDRESS, or ADDRESS/LEN when @prefix is not NULL. */
static int parse_address(const char *option, const char *text, bool v6, uint8_t *address,
			 unsigned *prefix)
{
	char copy[INET6_ADDRSTRLEN + 8];
	char *slash;
	int64_t n;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash && prefix) {
		*slash = '\0';
		if (tool_number(COMMAND, option, slash + 1, 0, v6 ? 128 : 32, &n))
			return TOOL_USAGE;
		*prefix = (unsigned)n;
	}
	if (strlen(text) >= sizeof(copy) || inet_pton(v6 ? AF_INET6 : AF_INET, copy, address) != 1)
		return tool_usage(COMMAND, "%s: %s: must be an %s address%s", option, text,
				  v6 ? "IPv6" : "IPv4", prefix ? "/LEN" : "");
	return 0;
}

/* Whether the first @prefix bits agree. */
static bool same_net(const uint8_t *a, const uint8_t *b, unsigned prefix)
{
	unsigned bytes = prefix / 8, bits = prefix % 8;

	return memcmp(a, b, bytes) == 0 && (!bits || ((a[bytes] ^ b[bytes]) >> (8 - bits)) == 0);
}

/* Who we are, whom we ping, and through whom. */
static int resolve(const struct options *opt, struct ping_host *host)
{
	bool v6 = opt->family ? opt->family == 6 : strchr(opt->target, ':') != NULL;
	const char *address = opt->address, *gateway = opt->gateway;
	unsigned prefix = v6 ? 64 : 24;
	bool link_local;

	host->v6 = v6;
	host->id = (uint16_t)getpid();
	if (!address) {
		address = v6 ? "fec0::15/64" : "10.0.2.15/24";
		gateway = gateway ? gateway : v6 ? "fec0::2" : "10.0.2.2";
	}
	if (parse_address("--address", address, v6, host->address, &prefix) ||
	    parse_address("target", opt->target, v6, host->target, NULL))
		return TOOL_USAGE;
	link_local = v6 && host->target[0] == 0xfe && (host->target[1] & 0xc0) == 0x80;
	if (link_local || same_net(host->address, host->target, prefix)) {
		memcpy(host->next_hop, host->target, sizeof(host->next_hop));
		return 0;
	}
	if (!gateway)
		return tool_usage(COMMAND,
				  "%s: not in the network of --address %s: --gateway is "
				  "needed",
				  opt->target, address);
	return parse_address("--gateway", gateway, v6, host->next_hop, NULL);
}

static const struct option long_options[] = {
	{ "via", required_argument, NULL, 'v' },
	{ "server", no_argument, NULL, 'l' },
	{ "address", required_argument, NULL, 'a' },
	{ "gateway", required_argument, NULL, 'g' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_option(int c, void *ctx)
{
	struct options *opt = ctx;

	switch (c) {
	case 'v':
		opt->have_via = true;
		return front_address(COMMAND, "--via", optarg, &opt->via);
	case 'l':
		opt->server = true;
		return 0;
	case 'a':
		opt->address = optarg;
		return 0;
	case 'g':
		opt->gateway = optarg;
		return 0;
	case 'j':
		opt->json = true;
		return 0;
	case 'c':
		return tool_number(COMMAND, "-c", optarg, 0, INT32_MAX, &opt->count);
	case 's':
		return tool_number(COMMAND, "-s", optarg, 0, SIZE_MAX_V4, &opt->size);
	case 'i':
		return front_seconds(COMMAND, "-i", optarg, 0.001, 3600, &opt->interval);
	default:
		opt->family = c - '0';
		return 0;
	}
}

static int parse(int argc, char **argv, struct options *opt)
{
	int ret;

	ret = tool_parse(&tool_ping, argc, argv, ":46c:i:s:", long_options, parse_option, opt);
	if (ret)
		return ret;
	opt->via.server |= opt->server;
	if (!opt->have_via)
		return tool_usage(COMMAND, "--via vhost-user:PATH is needed (see vioduct ping "
					   "--help)");
	if (optind + 1 != argc)
		return tool_usage(COMMAND, "one target address is needed, %d are given",
				  argc - optind);
	opt->target = argv[optind];
	return 0;
}

static int run(int argc, char **argv)
{
	struct options opt = { .count = 4, .size = 56, .interval = 1 };
	struct ping *p;
	int ret;

	p = calloc(1, sizeof(*p));
	if (!p)
		return tool_fail(COMMAND, "out of memory");
	p->opt = &opt;
	p->epoll_fd = -1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	ret = parse(argc, argv, &opt);
	if (!ret)
		ret = resolve(&opt, &p->host);
	if (!ret)
		ret = run_pings(p);
	front_close(&p->front);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	free(p);
	return ret;
}

static const char synopsis[] =
	"--via vhost-user:PATH[,server] [OPTION]… TARGET\n"
	"\n"
	"  --via vhost-user:PATH   the device that serves PATH; with \",server\" (or --server) the\n"
	"                          driver listens there and the device connects\n"
	"  --address A/LEN         our own address; default 10.0.2.15/24, or fec0::15/64\n"
	"  --gateway G             the way to targets outside of it; default 10.0.2.2, or fec0::2\n"
	"  -c N                    requests, 0 for no end; default 4\n"
	"  -i SEC                  seconds between them; default 1\n"
	"  -s SIZE                 bytes of data in each; default 56\n"
	"  -4 | -6                 default: as the target's address is written\n"
	"  --json                  the result as one JSON object\n"
	"\n"
	"When the device goes away it is waited for, with requests being lost. Exit 0 when at least\n"
	"one answer came.";

const struct tool_command tool_ping = {
	.name = COMMAND,
	.synopsis = synopsis,
	.summary = "send ICMP echo requests through a device",
	.run = run,
};
