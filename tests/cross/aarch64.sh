#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: aarch64.sh PROGRAM [ARG…]
# Runs a program of AArch64, with the C library that comes with the cross compiler.
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || exit 77
exec "$qemu" -L /usr/aarch64-linux-gnu "$@"
