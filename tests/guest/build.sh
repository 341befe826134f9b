#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Builds the Linux guest that the end-to-end tests and the demo boot: the distribution's kernel,
# and an initramfs of a static busybox, the kernel's virtio-net modules, iperf3 and ethtool.
# Needs no root: the initramfs is packed as a plain user (every file in it becomes root's by
# cpio's -R), and a kernel that only root may read is fetched again from the package archive.
#
#   build.sh DIR      leaves the image in DIR (kept there under the hash of its inputs) and prints
#                     two lines: the kernel's path, the initramfs's path
#
# VIO_GUEST_KERNEL and VIO_GUEST_MODULES (the directory that holds kernel/drivers/...) choose a
# kernel by hand. Exit 0 when the image is there, 1 with one line on stderr when it cannot be had.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: build.sh DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

# In the order in which they must be inserted. One that the kernel has built in is left out.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover"
modules="$modules net_failover virtio_net"

die() {
	echo "guest image: $*" >&2
	exit 1
}

# A kernel is usable when it can be read and its modules are there.
usable() {
	[ -r "$1" ] && [ -d "$2/kernel" ] &&
		{ find "$2/kernel" -name 'virtio_net.ko*' | grep -q . ||
			grep -qs '/virtio_net\.ko' "$2/modules.builtin"; }
}

installed_kernel() {
	for image in $(ls -1 /boot/vmlinuz-* 2>/dev/null | sort -rV); do
		version=${image#/boot/vmlinuz-}
		for tree in "/lib/modules/$version" "/usr/lib/modules/$version"; do
			if usable "$image" "$tree"; then
				kernel=$image
				tree_of_modules=$tree
				return 0
			fi
		done
	done
	return 1
}

# The newest image package that the archive's metapackage depends on, unpacked and not installed.
downloaded_kernel() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "no readable /boot/vmlinuz-* with its modules, and no apt-get to fetch one" \
			"(set VIO_GUEST_KERNEL and VIO_GUEST_MODULES)"
	case $(dpkg --print-architecture) in
	amd64) names="linux-image-amd64 linux-image-cloud-amd64 linux-image-generic linux-image-virtual" ;;
	*) names="linux-image-$(dpkg --print-architecture) linux-image-generic" ;;
	esac
	for meta in $names; do
		packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
			--no-breaks --no-replaces --no-enhances "$meta" 2>/dev/null |
			grep -E '^linux-(image|modules)-(unsigned-)?[0-9]' | sort -u) || continue
		[ -n "$packages" ] || continue
		unpacked=$out/kernel-$meta
		if [ ! -d "$unpacked" ]; then
			rm -rf "$unpacked.part"
			mkdir -p "$unpacked.part/debs"
			# shellcheck disable=SC2086
			(cd "$unpacked.part/debs" && apt-get download $packages >/dev/null 2>&1) || continue
			for deb in "$unpacked.part"/debs/*.deb; do
				dpkg-deb -x "$deb" "$unpacked.part"
			done
			rm -rf "$unpacked.part/debs"
			mv "$unpacked.part" "$unpacked"
		fi
		for image in "$unpacked"/boot/vmlinuz-*; do
			version=${image##*/vmlinuz-}
			for tree in "$unpacked/lib/modules/$version" "$unpacked/usr/lib/modules/$version"; do
				if usable "$image" "$tree"; then
					kernel=$image
					tree_of_modules=$tree
					return 0
				fi
			done
		done
	done
	die "no kernel that this user can read, and none in the package archive" \
		"(apt-get update may help; or set VIO_GUEST_KERNEL and VIO_GUEST_MODULES)"
}

find_kernel() {
	if [ -n "${VIO_GUEST_KERNEL:-}" ]; then
		kernel=$VIO_GUEST_KERNEL
		tree_of_modules=${VIO_GUEST_MODULES:-}
		usable "$kernel" "$tree_of_modules" ||
			die "VIO_GUEST_KERNEL=$kernel with VIO_GUEST_MODULES=$tree_of_modules:" \
				"cannot be read, or holds no virtio_net"
		return
	fi
	installed_kernel || downloaded_kernel
}

find_static_busybox() {
	for busybox in "${VIO_GUEST_BUSYBOX:-}" /bin/busybox /usr/bin/busybox \
		/usr/lib/busybox/busybox-static; do
		[ -n "$busybox" ] && [ -x "$busybox" ] || continue
		# A dynamic program has an interpreter; ldd says "not a dynamic executable" otherwise.
		ldd "$busybox" >/dev/null 2>&1 || return 0
	done
	die "no static busybox (install the package busybox-static)"
}

# The module's file, decompressed, as NN-name.ko: the number keeps the order.
install_module() {
	file=$(find "$tree_of_modules/kernel" -name "$2.ko" -o -name "$2.ko.xz" -o -name "$2.ko.gz" \
		-o -name "$2.ko.zst" | head -n 1)
	if [ -z "$file" ]; then
		grep -qs "/$2\.ko" "$tree_of_modules/modules.builtin" ||
			die "module $2 is neither in $tree_of_modules nor built in"
		return 0
	fi
	case $file in
	*.ko) cat "$file" ;;
	*.xz) xz -dc "$file" ;;
	*.gz) gzip -dc "$file" ;;
	*.zst) zstd -dqc "$file" ;;
	esac >"$root/modules/$1-$2.ko"
}

# A dynamic program with every shared library that ldd finds for it, at the same paths.
install_program() {
	cp "$1" "$root/usr/bin/"
	ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' |
		while read -r library; do
			mkdir -p "$root$(dirname "$library")"
			cp -L "$library" "$root$library"
		done
}

find_kernel
find_static_busybox
programs=
for name in iperf3 ethtool; do
	program=$(PATH=$PATH:/usr/sbin:/sbin command -v "$name" || true)
	[ -z "$program" ] || programs="$programs $program"
done

# shellcheck disable=SC2086
hash=$({
	echo "$kernel $tree_of_modules $modules"
	ls -lL "$kernel"
	sha256sum "$here/build.sh" "$here/init" "$here/udhcpc.script" "$busybox" $programs
} | sha256sum | cut -c 1-16)
image=$out/initramfs-$hash.cpio.gz

if [ ! -s "$image" ]; then
	root=$(mktemp -d "$out/root.XXXXXX")
	trap 'rm -rf "$root"' EXIT
	for directory in bin sbin etc proc sys dev tmp run root modules usr/bin usr/sbin \
		usr/share/udhcpc; do
		mkdir -p "$root/$directory"
	done
	cp "$busybox" "$root/bin/busybox"
	for applet in $("$busybox" --list); do
		[ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
	done
	cp "$here/init" "$root/init"
	cp "$here/udhcpc.script" "$root/usr/share/udhcpc/default.script"
	chmod 755 "$root/init" "$root/usr/share/udhcpc/default.script"
	number=10
	for module in $modules; do
		install_module $number "$module"
		number=$((number + 1))
	done
	for program in $programs; do
		install_program "$program"
	done
	(cd "$root" && find . | LC_ALL=C sort |
		"$busybox" cpio -o -H newc -R 0:0 2>/dev/null) | gzip -1 >"$image.$$"
	mv "$image.$$" "$image"
fi
echo "$kernel"
echo "$image"
