/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running ports: a device, its transport, its back end and the threads that serve its pairs.
 *
 * A process has one set of workers (struct vio_workers) and any number of ports. Everything here is
 * called from one control thread, which also runs each port's transport.
 */
#ifndef VIO_PORT_PORT_H
#define VIO_PORT_PORT_H

#include <vioduct/device.h>
#include <vioduct/device_linux.h>

struct vio_workers;
struct vio_port;

struct vio_workers_conf {
	unsigned count;	       /* threads, 1..64 */
	unsigned busy_poll_us; /* at most this long a worker polls before it sleeps; 0: never */
	const uint16_t *cpus;  /* worker i runs on cpus[i % num_cpus] alone; NULL: where it likes */
	unsigned num_cpus;
};

/* Starts the workers. 0 or -errno with a line in @err. */
int vio_workers_create(const struct vio_host *host, const struct vio_workers_conf *conf,
		       struct vio_workers **workers, struct vio_error *err);
/* Ends them; all ports must be closed. NULL does nothing. */
void vio_workers_destroy(struct vio_workers *workers);

struct vio_port_conf {
	const char *backend; /* "KIND[,key=value…]" */
	struct vio_net_props props;
	struct vio_vhost_user_conf vhost_user;
};

/* Opens a port: back end, device, server. 0, or -errno with the user's mistake in @err. */
int vio_port_open(const struct vio_host *host, struct vio_workers *workers,
		  const struct vio_port_conf *conf, struct vio_port **port, struct vio_error *err);
/* What the guests have already sent leaves, captures are written; then all ends. NULL does nothing. */
void vio_port_close(struct vio_port *port);
/* The first half of closing: drains and stops, keeping counters readable. */
void vio_port_stop(struct vio_port *port);
/* The same for @n ports (NULL ones are passed over), which drain at the same time: all together take no
 * longer than one may. */
void vio_ports_stop(struct vio_port *const *ports, unsigned n);

/* To be polled for reading by the control thread, and handled then: front ends, and a back end whose far
 * side is gone, which takes the link down. */
int vio_port_fd(const struct vio_port *port);
void vio_port_handle(struct vio_port *port);

struct vio_device *vio_port_device(const struct vio_port *port);
void vio_port_status(const struct vio_port *port, struct vio_vhost_user_status *status);
/* Where the port's frames go, in a few words. */
void vio_port_describe(const struct vio_port *port, char *buf, size_t len);

#endif
