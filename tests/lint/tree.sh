#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: tree.sh spdx|paths|format
# Checks of every source file's text: it names its licence in the first three lines; it names no
# path of the machine it was written on; its layout is clang-format's.
cd "$(dirname "$0")/../.." || exit 1

files() { # patterns…: our files, whether committed yet or not, without what git ignores
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@"
	else
		for pattern; do
			find . \( -path './build*' -o -path './.git' \) -prune -o -type f \
				\( -path "./$pattern" -o -name "$pattern" \) -print
		done
	fi | sort -u | while read -r file; do
		[ ! -f "$file" ] || echo "$file"
	done
}

case $1 in
spdx)
	faults=$(files '*.c' '*.h' '*.S' '*.py' '*.sh' '*.map' 'meson.build' '*/meson.build' \
		meson_options.txt .clang-format dev .ci/run | while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' ||
			echo "$file:1: no SPDX-License-Identifier: BSD-2-Clause"
	done)
	;;
paths)
	# The brackets keep the pattern from finding itself.
	faults=$(files '*' | tr '\n' '\0' |
		xargs -0 grep -nIE '(^|[^A-Za-z0-9_.*})])/([w]ork|[r]oot)/' -- /dev/null)
	;;
format)
	formatter=$(command -v clang-format-14 || command -v clang-format)
	case $("${formatter:-false}" --version) in
	*' version 14.'*) ;;
	*)
		echo 'clang-format 14 is not here, and other versions lay out differently'
		exit 77
		;;
	esac
	faults=$(files '*.c' '*.h' | tr '\n' '\0' |
		xargs -0 -r "$formatter" --dry-run -Werror 2>&1)
	;;
*)
	echo "usage: $0 spdx|paths|format" >&2
	exit 2
	;;
esac
[ -z "$faults" ] || {
	printf '%s\n' "$faults"
	exit 1
}
