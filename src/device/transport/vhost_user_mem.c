/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory over vhost-user: which files are mapped where.
 *
 * A change of memory builds a whole new table, checks it, and only then puts it in the place of the
 * old one; so a message that is refused has changed nothing. Putting it in place means to bring each
 * ring in line with it (vu_rings_sync()), which happens at a moment when nobody serves the ring:
 * every queue sees either the old table or the new one. When the last queue has moved, the old table
 * goes.
 *
 * A table holds one reference to each of its mappings. A region that names the same bytes of the
 * same file as before keeps its mapping, so that plugging memory into a big guest does not map, and
 * fault in, all of it anew. The file is told by device and inode number; they cannot come to mean
 * another file meanwhile, because the mapping itself keeps the old one alive.
 */
#include "vhost_user.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"

static size_t table_bytes(uint32_t count)
{
	return sizeof(struct vu_table) + count * sizeof(struct vu_region);
}

static struct vu_table *table_new(const struct vio_host *host, uint32_t count)
{
	struct vu_table *t = host->alloc(host->ctx, table_bytes(count), 64);

	if (!t)
		return NULL;
	t->mem = host->alloc(host->ctx, vio_mem_bytes(count), 64);
	if (!t->mem) {
		host->free(host->ctx, t, table_bytes(count));
		return NULL;
	}
	t->count = count;
	return t;
}

static void table_free(const struct vio_host *host, struct vu_table *t)
{
	uint32_t i;

	if (!t)
		return;
	for (i = 0; i < t->count; i++)
		vio_map_put(t->regions[i].map);
	host->free(host->ctx, t->mem, vio_mem_bytes(t->count));
	host->free(host->ctx, t, table_bytes(t->count));
}

/* The present mapping of what @r names, with a reference more; or NULL. */
static struct vio_map *find_map(const struct vio_vhost_user *s, const struct vu_region *r,
				const struct stat *st)
{
	uint32_t i;

	/* A file that has shrunk is refused like one that was too short from the start. */
	if (!s->table || st->st_size < 0 || r->wire.mmap_offset > (uint64_t)st->st_size ||
	    r->wire.size > (uint64_t)st->st_size - r->wire.mmap_offset)
		return NULL;
	for (i = 0; i < s->table->count; i++) {
		const struct vu_region *old = &s->table->regions[i];

		if (old->dev == r->dev && old->ino == r->ino && old->wire.size == r->wire.size &&
		    old->wire.mmap_offset == r->wire.mmap_offset && !vio_map_gone(old->map))
			return vio_map_get(old->map);
	}
	return NULL;
}

static int region_open(struct vio_vhost_user *s, const struct vio_vu_mem_region *wire, int fd,
		       struct vu_region *r)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vu_refuse(s, -errno, "memory file: %s", strerror(errno));
	r->wire = *wire;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	r->map = find_map(s, r, &st);
	if (r->map)
		return 0;
	return vio_map_create(fd, wire->mmap_offset, wire->size, &r->map, &s->why);
}

static int table_check(struct vio_vhost_user *s, struct vu_table *t)
{
	struct vio_mem_region *regions;
	size_t bytes = t->count * sizeof(*regions);
	uint32_t i;
	int ret;

	regions = s->host->alloc(s->host->ctx, bytes, 64);
	if (!regions)
		return vu_refuse(s, -ENOMEM, "memory table: out of memory");
	for (i = 0; i < t->count; i++)
		regions[i] = (struct vio_mem_region){
			.guest_addr = t->regions[i].wire.guest_addr,
			.size = t->regions[i].wire.size,
			.user_addr = t->regions[i].wire.user_addr,
			.host = vio_map_ptr(t->regions[i].map),
		};
	ret = vio_mem_init(t->mem, regions, t->count);
	s->host->free(s->host->ctx, regions, bytes);
	if (ret == -EEXIST)
		return vu_refuse(s, ret, "memory table: regions overlap in guest addresses");
	if (ret)
		return vu_refuse(s, ret, "memory table: a region wraps around 2^64");
	return 0;
}

/* Takes @t, which is checked, for the memory from now on; NULL for none. */
static void table_install(struct vio_vhost_user *s, struct vu_table *t)
{
	struct vu_table *old = s->table;

	s->table = t;
	vu_rings_sync(s);
	table_free(s->host, old);
}

int vu_mem_set(struct vio_vhost_user *s, const struct vio_vu_mem_table *table, const int *fds)
{
	struct vu_table *t = table_new(s->host, table->nregions);
	uint32_t i;
	int ret = 0;

	if (!t)
		return vu_refuse(s, -ENOMEM, "memory table: out of memory");
	for (i = 0; i < t->count && ret == 0; i++)
		ret = region_open(s, &table->regions[i], fds[i], &t->regions[i]);
	if (ret == 0)
		ret = table_check(s, t);
	if (ret) {
		table_free(s->host, t);
		return ret;
	}
	table_install(s, t);
	return 0;
}

static void region_copy(struct vu_region *to, const struct vu_region *from)
{
	*to = *from;
	vio_map_get(to->map);
}

/* What the front end has to repeat to name a region; the offset is left out by some. */
static bool same_place(const struct vio_vu_mem_region *a, const struct vio_vu_mem_region *b)
{
	return a->guest_addr == b->guest_addr && a->size == b->size && a->user_addr == b->user_addr;
}

/*
 * A front end with several queue pairs may announce its memory once for each of them (QEMU before
 * 8.0 does), and withdraw it as often. The region that is there already is counted, not mapped
 * again; anything else in its place overlaps and is refused as such.
 */
static bool added_again(struct vio_vhost_user *s, const struct vu_region *again)
{
	uint32_t i;

	for (i = 0; s->table && i < s->table->count; i++) {
		struct vu_region *r = &s->table->regions[i];

		if (same_place(&r->wire, &again->wire) && r->map == again->map &&
		    r->repeats < UINT32_MAX) {
			r->repeats++;
			return true;
		}
	}
	return false;
}

int vu_mem_add(struct vio_vhost_user *s, const struct vio_vu_mem_region *region, int fd)
{
	uint32_t count = s->table ? s->table->count : 0;
	struct vu_table *t;
	uint32_t i;
	int ret;

	t = table_new(s->host, count + 1);
	if (!t)
		return vu_refuse(s, -ENOMEM, "memory region: out of memory");
	for (i = 0; i < count; i++)
		region_copy(&t->regions[i], &s->table->regions[i]);
	ret = region_open(s, region, fd, &t->regions[count]);
	if (ret == 0 && added_again(s, &t->regions[count])) {
		table_free(s->host, t);
		return 0;
	}
	if (ret == 0 && count == VIO_MEM_MAX_REGIONS)
		ret = vu_refuse(s, -ENOSPC, "memory region: there are %u already, the most we take",
				count);
	if (ret == 0)
		ret = table_check(s, t);
	if (ret) {
		table_free(s->host, t);
		return ret;
	}
	table_install(s, t);
	return 0;
}

int vu_mem_remove(struct vio_vhost_user *s, const struct vio_vu_mem_region *region)
{
	uint32_t count = s->table ? s->table->count : 0;
	struct vu_table *t = NULL;
	uint32_t i, at = 0;
	int ret;

	while (at < count && !same_place(&s->table->regions[at].wire, region))
		at++;
	if (at == count)
		return vu_refuse(s, -ENOENT,
				 "memory region: there is none of 0x%llx bytes at guest address "
				 "0x%llx",
				 (unsigned long long)region->size,
				 (unsigned long long)region->guest_addr);
	if (s->table->regions[at].repeats > 0) {
		s->table->regions[at].repeats--;
		return 0;
	}
	if (count > 1) {
		t = table_new(s->host, count - 1);
		if (!t)
			return vu_refuse(s, -ENOMEM, "memory region: out of memory");
		for (i = 0; i < t->count; i++)
			region_copy(&t->regions[i], &s->table->regions[i < at ? i : i + 1]);
		ret = table_check(s, t);
		if (ret) {
			table_free(s->host, t);
			return ret;
		}
	}
	table_install(s, t);
	return 0;
}

void vu_mem_drop(struct vio_vhost_user *s)
{
	table_free(s->host, s->table);
	s->table = NULL;
}

bool vu_mem_gone(const struct vio_vhost_user *s)
{
	uint32_t i;

	for (i = 0; s->table && i < s->table->count; i++)
		if (vio_map_gone(s->table->regions[i].map))
			return true;
	return false;
}
