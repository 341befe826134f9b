#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The freestanding parts need a compiler and nothing else. Each is compiled without the system's
# headers: only the compiler's own and the two in tests/lint/freestanding, which are what a port
# without a C library has to bring. Then the parts are joined layer by layer, lowest first, and
# what a join leaves undefined may only be the four functions a compiler expects of everybody.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0

compile() { # compiler part: objects go to $work/part-*.o
	headers=$("$1" -print-file-name=include)
	for source in src/"$2"/*.c; do
		case $source in
		*'*.c' | *_linux.c) continue ;;
		esac
		# gcc's vector header drags in stdlib.h for two functions nobody here may call,
		# unless told that it already did.
		"$1" -std=gnu11 -O2 -ffreestanding -fno-pic -fno-stack-protector -nostdinc \
			-D_MM_MALLOC_H_INCLUDED -isystem "$headers" \
			-isystem tests/lint/freestanding -Iinclude -Isrc \
			-c "$source" -o "$work/$2-$(basename "$source" .c).o" || {
			echo "$source: does not compile freestanding with $1"
			status=1
		}
	done
}

join() { # parts…: the last one sits on the others
	set -- "$@" ''
	objects='' name=''
	while [ -n "$1" ]; do
		for object in "$work/$1"-*.o; do
			[ ! -e "$object" ] || objects="$objects $object"
		done
		name=$1
		shift
	done
	[ -n "$objects" ] || return 0
	# shellcheck disable=SC2086 # a list of files without spaces
	ld -r -o "$work/joined" $objects || status=1
	nm -u "$work/joined" | awk '{ print $2 }' |
		grep -vxE 'mem(cpy|set|move|cmp)' >"$work/undefined" || return 0
	sed "s|^|src/$name needs what no part below it has: |" "$work/undefined"
	status=1
}

for compiler in gcc clang; do
	command -v $compiler >/dev/null 2>&1 || continue
	rm -f "$work"/*.o
	for part in base mem ring net driver device; do
		compile $compiler $part
	done
	join base
	join base mem
	join base mem ring
	join base net
	join base mem ring net driver
	join base mem ring net device
done
exit $status
