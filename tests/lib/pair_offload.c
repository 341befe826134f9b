/* SPDX-License-Identifier: BSD-2-Clause */
#include "pair_offload.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "check.h"

#define NET(f) VIO_NET_F_##f

bool pair_has(const struct pair_driver *d, unsigned bit)
{
	struct vio_driver_info info;

	vio_driver_get_info(d->drv, &info);
	return vio_features_test(info.accepted, bit);
}

bool pair_allowed(const struct pair_driver *d, const struct netframe *f, bool host)
{
	uint8_t gso = f->meta.gso_type;

	if (f->meta.flags && !pair_has(d, host ? NET(CSUM) : NET(GUEST_CSUM)))
		return false;
	if (gso & VIO_NET_HDR_GSO_ECN && !pair_has(d, host ? NET(HOST_ECN) : NET(GUEST_ECN)))
		return false;
	switch (gso & (uint8_t)~VIO_NET_HDR_GSO_ECN) {
	case VIO_NET_HDR_GSO_TCPV4:
		return pair_has(d, host ? NET(HOST_TSO4) : NET(GUEST_TSO4));
	case VIO_NET_HDR_GSO_TCPV6:
		return pair_has(d, host ? NET(HOST_TSO6) : NET(GUEST_TSO6));
	case VIO_NET_HDR_GSO_UDP:
		return pair_has(d, host ? NET(HOST_UFO) : NET(GUEST_UFO));
	case VIO_NET_HDR_GSO_UDP_L4:
		if (host)
			return pair_has(d, NET(HOST_USO));
		return pair_has(d, f->spec.ipv6 ? NET(GUEST_USO6) : NET(GUEST_USO4));
	default:
		return true;
	}
}

int pair_send_netframe(struct pair_queue *q, const struct netframe *f, bool split)
{
	struct vio_buf *buf, *tail;
	int ret;

	if (vio_pool_available(q->tx.big) < 2)
		pair_queue_finish(q);
	check(vio_pool_get(q->tx.big, &buf, 1) == 1);
	buf->len = split ? f->l4 + 1 : f->len;
	memcpy(vio_buf_data(buf), f->bytes, buf->len);
	if (split) {
		check(vio_pool_get(q->tx.big, &tail, 1) == 1);
		tail->len = f->len - buf->len;
		memcpy(vio_buf_data(tail), f->bytes + buf->len, tail->len);
		buf->next = tail;
	}
	buf->meta = f->meta;
	/* What the caller says of it is a guess. */
	buf->meta.hdr_len = 3;
	ret = vio_driver_tx_burst(q->d->drv, q->id, &buf, 1);
	if (ret == 1)
		q->sent++;
	else
		pair_buffers_put(&q->tx, &buf, 1);
	return ret;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint32_t pair_receive_bytes(struct pair_queue *q, uint8_t bytes[NETFRAME_MAX],
			    struct vio_net_meta *meta)
{
	uint64_t end = now_ms() + PAIR_LIMIT_MS;
	struct vio_buf *frame, *piece;
	uint32_t len = 0;
	int n;

	while ((n = vio_driver_rx_burst(q->d->drv, q->id, &frame, 1)) == 0) {
		if (now_ms() > end)
			pair_queue_die(q, "no frame comes");
		vio_driver_tx_reap(q->d->drv, q->id, PAIR_RING);
		sched_yield();
	}
	check(n == 1);
	for (piece = frame; piece; piece = piece->next) {
		memcpy(bytes + len, vio_buf_data(piece), piece->len);
		len += piece->len;
	}
	check(len == frame->frame_len);
	*meta = frame->meta;
	vio_pool_put(q->rx_pool, &frame, 1);
	return len;
}
