/* SPDX-License-Identifier: BSD-2-Clause */
/* The names under which dropped frames are counted. */
#include <vioduct/frame.h>

static const char *const names[VIO_DROP_NR] = {
	[VIO_DROP_SHORT] = "short",	      [VIO_DROP_TOO_BIG] = "too_big",
	[VIO_DROP_BAD_HEADER] = "bad_header", [VIO_DROP_BAD_CSUM] = "bad_csum",
	[VIO_DROP_BAD_GSO] = "bad_gso",	      [VIO_DROP_LINK_DOWN] = "link_down",
	[VIO_DROP_NO_BUFFER] = "no_buffer",   [VIO_DROP_BACKEND] = "backend",
};

const char *vio_drop_name(enum vio_drop why)
{
	if ((unsigned)why >= VIO_DROP_NR)
		return "?";
	return names[why];
}
