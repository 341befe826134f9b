/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two loops of the bare hand-over, for bench_handover.c, which includes this once for each width
 * of vectors: VEC bytes, in functions that are marked TARGET and whose names end in _VEC.
 */
#define NAME_2(name, vec) name##_##vec
#define NAME_1(name, vec) NAME_2(name, vec)
#define NAME(name)	  NAME_1(name, VEC)

typedef uint64_t NAME(words) __attribute__((vector_size(VEC), aligned(8), may_alias));
typedef uint64_t NAME(odd_words) __attribute__((vector_size(VEC), aligned(1), may_alias));

/* Writes every byte: whole vectors, the last of which may overlap the one before. */
TARGET static inline void NAME(fill)(uint8_t *frame, uint32_t size, uint64_t word)
{
	NAME(words) line = { 0 };
	uint32_t at, i;

	for (i = 0; i < VEC / 8; i++)
		line[i] = word + i;
	for (at = 0; at + VEC <= size; at += VEC)
		*(NAME(words) *)(void *)(frame + at) = line;
	if (at == size)
		return;
	if (at)
		*(NAME(odd_words) *)(void *)(frame + size - VEC) = line;
	else
		memcpy(frame, &line, size);
}

/* Copies and reads every byte. */
TARGET static inline void NAME(take)(uint8_t *copy, const uint8_t *frame, uint32_t size,
				     NAME(words) * sum)
{
	NAME(words) line = { 0 };
	uint32_t at;

	for (at = 0; at + VEC <= size; at += VEC) {
		line = *(const NAME(words) *)(const void *)(frame + at);
		*(NAME(words) *)(void *)(copy + at) = line;
		*sum += line;
	}
	if (at == size)
		return;
	if (at) {
		line = *(const NAME(odd_words) *)(const void *)(frame + size - VEC);
		*(NAME(odd_words) *)(void *)(copy + size - VEC) = line;
	} else {
		memcpy(&line, frame, size);
		memcpy(copy, &line, size);
	}
	*sum += line;
}

TARGET static void NAME(consume)(struct bench_handover *h)
{
	const struct bench_way way = *h->way;
	uint32_t slots = way.depth / way.burst, at = 0, i, id;
	uint64_t burst;
	NAME(words) sum = { 0 };

	for (burst = 1; await_burst(&h->slots[at], burst); burst++) {
		for (i = 0; i < way.burst; i++) {
			id = way.lifo ? h->slots[at].ids[i] : at * way.burst + i;
			NAME(take)(h->copy, h->data + (size_t)id * way.stride, way.size, &sum);
		}
		/* Pairs with the acquire in get_back(). */
		vio_store_release(&h->answers[at].number, burst);
		at = at + 1 == slots ? 0 : at + 1;
	}
	/* Not optimised away. */
	__asm__ volatile("" : : "r"(&sum) : "memory");
}

TARGET static void NAME(give)(struct producer *p)
{
	uint32_t i, ahead = p->frames_ahead, size = p->way.size;

	reserve(p);
	for (i = 0; i < ahead; i++)
		ask_for_frame(buffer(p, i), size);
	for (i = 0; i < p->way.burst; i++) {
		if (ahead && i + ahead < p->way.burst)
			ask_for_frame(buffer(p, i + ahead), size);
		NAME(fill)(buffer(p, i), size, p->word++);
	}
	publish(p);
}

#undef NAME
#undef NAME_1
#undef NAME_2
#undef VEC
#undef TARGET
