#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: libraries.sh ROOT
# Puts Debian's libraries for AArch64 that the build wants below ROOT. Needs no rights and leaves the
# system as it is: apt keeps its lists in a directory that goes away again.
set -u
root=$1
[ ! -e "$root/complete" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$root" || exit 1

foreign() { # what to do, and with what
	apt-get -q -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o APT::Architecture=arm64 -o APT::Architectures=arm64 \
		-o Acquire::Languages=none -o Debug::NoLocking=1 "$@" </dev/null
}

# A source without this architecture makes this fail; what counts is whether the download succeeds.
foreign update
(cd "$work" && foreign download libcmocka0 libcmocka-dev libpcap0.8 libpcap0.8-dev \
	libslirp0 libslirp-dev libjansson4 libjansson-dev) || exit 1
for package in "$work"/*.deb; do
	dpkg-deb -x "$package" "$root" || exit 1
done
# What other libraries these need matters to who links statically.
sed -i '/^Requires.private/d' "$root"/usr/lib/*/pkgconfig/*.pc
touch "$root/complete"
