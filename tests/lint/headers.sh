#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each public header compiles by itself: strict C11 with gcc and clang, and as C++.
status=0
for header in include/vioduct/*.h; do
	for compiler in 'gcc -std=c11 -xc' 'clang -std=c11 -xc' 'g++ -std=c++17 -xc++'; do
		command -v "${compiler%% *}" >/dev/null 2>&1 || continue
		# shellcheck disable=SC2086 # the compiler comes with its options
		echo "#include <vioduct/${header##*/}>" |
			$compiler -Wall -Wextra -Werror -Iinclude -fsyntax-only - || {
			echo "$header: does not compile alone with ${compiler%% *}"
			status=1
		}
	done
done
exit $status
