/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering: which of its queue pairs the guest gets a frame on, where nobody told us (no RSS).
 *
 * virtio 1.4, 5.1.9.5.6, asks for two things. Frames of a flow should go to the pair that the guest
 * last sent a frame of that flow on: that is where the socket's thread runs. And none may go to a
 * pair that is not in use. So there is a table of fixed size by the hash of the flow, the same for
 * both directions (hash.c): a byte for each place, written when the guest sends, read when it is
 * sent something. Flows that meet in one place share its pair, which is right for all but the last
 * that sent, and harms nobody. Of flows that the guest never sent anything of, each place has a pair
 * by itself: the places are dealt out evenly.
 *
 * Back ends with one stream of frames use it; where the kernel does the same by itself (tap) it
 * isn't asked. Any thread may learn and look up at any time: entries are single bytes.
 *
 * Order is the caller's concern, because only it knows what waits: a flow may change its pair only
 * while no frame waits for the old one. It looks before vio_steer_learn(), and pins when the number
 * of pairs changes.
 */
#include "net/steer.h"

#include <string.h>

#include "base/barrier.h"

/* Where the frames of a place go that nothing is known of. */
static unsigned dealt(unsigned flow, unsigned pairs)
{
	return flow * pairs / VIO_STEER_FLOWS;
}

void vio_steer_init(struct vio_steer *s, unsigned pairs)
{
	memset(s->flows, 0, sizeof(s->flows));
	s->pairs = (uint16_t)pairs;
	vio_toeplitz_init(&s->toeplitz, vio_toeplitz_default_key, VIO_TOEPLITZ_KEY);
}

unsigned vio_steer_flow(const struct vio_steer *s, const uint8_t *p, size_t len)
{
	struct vio_headers h;

	len = vio_min(len, (size_t)VIO_HDR_SCRATCH);
	if (vio_parse(p, len, &h) < 0)
		return 0;
	return vio_flow_hash(&s->toeplitz, p, len, &h) % VIO_STEER_FLOWS;
}

static unsigned pair_among(const struct vio_steer *s, unsigned flow, unsigned pairs)
{
	unsigned learnt = vio_load(&s->flows[flow]);

	return learnt != 0 && learnt <= pairs ? learnt - 1 : dealt(flow, pairs);
}

unsigned vio_steer_pair(const struct vio_steer *s, unsigned flow)
{
	return pair_among(s, flow, vio_load(&s->pairs));
}

void vio_steer_learn(struct vio_steer *s, unsigned flow, unsigned pair)
{
	uint8_t entry = (uint8_t)(pair + 1);

	/* A line that others read is not written for nothing. */
	if (vio_load(&s->flows[flow]) != entry)
		vio_store(&s->flows[flow], entry);
}

void vio_steer_resize(struct vio_steer *s, unsigned pairs, bool pin)
{
	unsigned flow;

	for (flow = 0; flow < VIO_STEER_FLOWS; flow++) {
		unsigned pair = pair_among(s, flow, s->pairs);

		if (pair >= pairs)
			vio_store(&s->flows[flow], 0);
		else if (pin)
			vio_steer_learn(s, flow, pair);
	}
	vio_store(&s->pairs, (uint16_t)pairs);
}
