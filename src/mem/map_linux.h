/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared mappings of files: the peer's memory, and our own that a peer maps.
 *
 * A file that backs a mapping belongs to the peer as much as to us, and the peer may cut it short
 * at any moment; touching what is gone raises SIGBUS. Every live mapping is therefore guarded: the
 * lost part turns into private zeros, the access goes on, and vio_map_gone() tells. See
 * map_linux.c for the handler and what an embedding program has to know of it.
 *
 * All functions may be called from any thread.
 */
#ifndef VIO_MEM_MAP_LINUX_H
#define VIO_MEM_MAP_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vioduct/host.h>

/* Guarded mappings in one process: eight devices with full tables, hundreds with the usual ones. */
#define VIO_MAP_MAX 4096

/* A mapping, reference counted; the last vio_map_put() unmaps it. */
struct vio_map;

/*
 * Maps [@offset, @offset + @size) of @fd readable, writable and shared. @offset and @size need no
 * alignment: the whole pages (of the file system's page size) around them are mapped. @fd stays the
 * caller's and may be closed afterwards. The caller gets one reference in *@out.
 *
 * Returns 0; -EINVAL when @fd is no regular file, memfd or hugetlbfs file, when it lies in a FUSE
 * file system (whose owner could make every access wait for ever), when @size is 0, the range wraps
 * or the file is shorter; -EBADF; -EACCES when @fd is not open for reading and writing; -ENOSPC
 * with VIO_MAP_MAX mappings alive; or what mmap() said. The reason is in @err (may be NULL).
 */
int vio_map_create(int fd, uint64_t offset, uint64_t size, struct vio_map **out,
		   struct vio_error *err);

/* Flags of vio_map_shared(). */
#define VIO_MAP_SMALL_PAGES 1u /* do not try huge pages */

/*
 * Makes @size bytes of zeroed memory to be shared: a memfd that nobody can shrink, mapped. From
 * 2 MiB on, huge pages are tried first; without them the kernel is asked for transparent ones.
 * vio_map_size() tells the size after rounding up to whole pages, which is the file's size.
 * The caller gets one reference in *@out and owns *@fd_out (close-on-exec).
 *
 * Returns 0; -EINVAL when @size is 0; -ENOSPC as above; -EMFILE, -ENOMEM and the like.
 */
int vio_map_shared(uint64_t size, unsigned flags, int *fd_out, struct vio_map **out,
		   struct vio_error *err);

/* One reference more (returns @map), or less (@map may be NULL). */
struct vio_map *vio_map_get(struct vio_map *map);
void vio_map_put(struct vio_map *map);

/* The byte at the offset that was asked for; how many bytes follow; the size of a page there. */
void *vio_map_ptr(const struct vio_map *map);
uint64_t vio_map_size(const struct vio_map *map);
size_t vio_map_page_size(const struct vio_map *map);

/*
 * True once the file was found to be cut short, for good: what is lost reads as zeros, and writes
 * to it reach nobody. Known after the first touch. Costs one load.
 */
bool vio_map_gone(const struct vio_map *map);

/*
 * How many mappings of this process were ever found to be gone. Who watches many compares this one
 * number with the one it saw last, and asks each mapping only when it has changed.
 */
uint32_t vio_map_gone_count(void);

/*
 * An eventfd that becomes readable whenever that number grows, for who sleeps. It is the process's,
 * is never closed and shared by all who watch: nobody reads it, so it is to be watched
 * edge-triggered. Made by the first call. Returns it, or -EMFILE and the like for good.
 */
int vio_map_gone_fd(void);

#endif
