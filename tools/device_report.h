/* SPDX-License-Identifier: BSD-2-Clause */
/* What `vioduct device` prints: counters and capabilities. */
#ifndef DEVICE_REPORT_H
#define DEVICE_REPORT_H

#include <stdbool.h>

#include "port/port.h"

/* The counters of all ports to standard output: a table, or one JSON object. */
void device_report(struct vio_port *const *ports, const struct vio_port_conf *confs, unsigned n,
		   bool json);

/* --print-capabilities, by the convention of vhost-user back-end programs. An exit status. */
int device_capabilities(void);

#endif
