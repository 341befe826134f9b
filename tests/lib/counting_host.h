/* SPDX-License-Identifier: BSD-2-Clause */
/* A host that counts what is not given back, and fails when told to. */
#ifndef TESTLIB_COUNTING_HOST_H
#define TESTLIB_COUNTING_HOST_H

#include <stddef.h>
#include <string.h>

#include <vioduct/host.h>

struct counting {
	struct vio_host host;
	size_t bytes;
	int fail_in;   /* this many allocations succeed; -1: all */
	char log[256]; /* the last line */
};

static inline void *counting_alloc(void *ctx, size_t size, size_t align)
{
	struct counting *c = ctx;

	if (c->fail_in == 0)
		return NULL;
	if (c->fail_in > 0)
		c->fail_in--;
	c->bytes += size;
	return vio_host_linux(VIO_LOG_ERROR)->alloc(NULL, size, align);
}

static inline void counting_free(void *ctx, void *p, size_t size)
{
	struct counting *c = ctx;

	if (p)
		c->bytes -= size;
	vio_host_linux(VIO_LOG_ERROR)->free(NULL, p, size);
}

static inline void counting_log(void *ctx, enum vio_log_level level, const char *line)
{
	struct counting *c = ctx;

	(void)level;
	strncpy(c->log, line, sizeof(c->log) - 1);
}

static inline void counting_init(struct counting *c)
{
	memset(c, 0, sizeof(*c));
	c->host = *vio_host_linux(VIO_LOG_ERROR);
	c->host.ctx = c;
	c->host.alloc = counting_alloc;
	c->host.free = counting_free;
	c->host.log = counting_log;
	c->fail_in = -1;
}

#endif
