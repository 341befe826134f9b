# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
#
# What ./dev needs from the system, and how it gets it. Read by ./dev, which calls `ensure`.
#
# A package is asked for by what it brings (the probe), never by its name, so that a tool that came
# another way is as good, and the package manager is called only when something is missing. The set
# `build` is required: without it nothing goes on. A package of any other set that cannot be had is
# named once and then left out, and the tests that need it skip.

# sets, probe, and the package of apt, dnf, pacman and apk. `-`: comes with something else, or does
# not exist there. a/b: the first that exists. +a: with the packages that it recommends.
packages() {
	cat <<'TABLE'
build            cmd:cc                 gcc               gcc                gcc               gcc
build            header:stdio.h         libc6-dev         glibc-devel        -                 musl-dev
build            header:linux/if_tun.h  linux-libc-dev    kernel-headers     linux-api-headers linux-headers
build            meson                  meson             meson              meson             meson
build            cmd:ninja              ninja-build       ninja-build        ninja             ninja
build            cmd:pkg-config         pkg-config        pkgconf-pkg-config pkgconf           pkgconf
build            header:slirp/libslirp.h libslirp-dev     libslirp-devel     libslirp          libslirp-dev
build            header:pcap/pcap.h     libpcap-dev       libpcap-devel      libpcap           libpcap-dev
build            header:jansson.h       libjansson-dev    jansson-devel      jansson           jansson-dev
build            header:liburing.h       liburing-dev      liburing-devel     liburing          liburing-dev
build            header:cmocka.h        libcmocka-dev     libcmocka-devel    cmocka            cmocka-dev
check,demo,lint,bench cmd:python3       python3           python3            python            python3
check,demo       cmd:qemu-system-x86_64 qemu-system-x86   qemu-system-x86    qemu-system-x86   qemu-system-x86_64
check,demo       kernel                 linux-image-amd64/linux-image-generic kernel-core linux linux-virt
check,demo       busybox                busybox-static    busybox            busybox           busybox-static
check,demo       cmd:cpio               cpio              cpio               cpio              cpio
check,demo       cmd:modprobe           kmod              kmod               kmod              kmod
check            sanitizer:address      -                 libasan            -                 -
check            sanitizer:undefined    -                 libubsan           -                 -
check            sanitizer:thread       -                 libtsan            -                 -
check,cross      cross:aarch64          +gcc-aarch64-linux-gnu -               -                 -
check,cross      emulator:aarch64       qemu-user-static  -                  -                 -
check,bench      python:pytest          python3-pytest    python3-pytest     python-pytest     py3-pytest
check            python:scapy           python3-scapy     python3-scapy      scapy             scapy
check            cmd:iperf3             iperf3            iperf3             iperf3            iperf3
check            cmd:tcpdump            tcpdump           tcpdump            tcpdump           tcpdump
check            cmd:tshark             tshark            wireshark-cli      wireshark-cli     tshark
check,bench      cmd:ip                 iproute2          iproute            iproute2          iproute2
check            cmd:ethtool            ethtool           ethtool            ethtool           ethtool
check,bench      cmd:dpdk-testpmd       +dpdk-dev         dpdk               dpdk              dpdk
check,bench      cmd:strace             strace            strace             strace            strace
check,bench      cmd:valgrind           valgrind          valgrind           valgrind          valgrind
bench            pkg:libdpdk            libdpdk-dev       dpdk-devel         -                 dpdk-dev
check,lint       cmd:clang-format       clang-format-14/clang-format clang-tools-extra clang   clang-extra-tools
check,lint       cmd:g++                g++               gcc-c++            -                 g++
check,lint,fuzz  cmd:clang              clang             clang              clang             clang
check,fuzz       libfuzzer              libclang-rt-dev/libclang-rt-14-dev compiler-rt compiler-rt compiler-rt
coverage         cmd:gcovr              gcovr             gcovr              gcovr             gcovr
TABLE
}

# Does this compiler make a program of an empty main with this option?
compiles() { # compiler option
	echo 'int main(void) { return 0; }' | "$1" "$2" -xc -o /dev/null - >/dev/null 2>&1
}

# A meson in PATH may belong to a Python that has gone; the distribution's is the second choice.
find_meson() {
	for MESON in meson /usr/bin/meson; do
		! "$MESON" --version >/dev/null 2>&1 || return 0
	done
	return 1
}

present() { # probe
	case $1 in
	cmd:clang-format) command -v clang-format-14 || command -v clang-format ;;
	cmd:*) command -v "${1#*:}" ;;
	header:*) echo "#include <${1#*:}>" | cc -E - ;;
	pkg:*) pkg-config --exists "${1#*:}" ;;
	python:*) "$PYTHON" -c "import ${1#*:}" ;;
	sanitizer:*) compiles cc "-fsanitize=${1#*:}" ;;
	cross:*) [ "$(uname -m)" = "${1#*:}" ] || compiles "${1#*:}-linux-gnu-gcc" -O ;;
	emulator:*)
		[ "$(uname -m)" = "${1#*:}" ] || command -v "qemu-${1#*:}-static" ||
			command -v "qemu-${1#*:}"
		;;
	libfuzzer) compiles clang -fsanitize=fuzzer-no-link,address ;;
	meson) find_meson ;;
	kernel) [ -n "$(find /boot/vmlinuz* /lib/modules/*/vmlinuz)" ] ;;
	busybox) command -v busybox && ! ldd "$(command -v busybox)" ;;
	esac >/dev/null 2>&1
}

# Sets $manager, which is also the table's column, and $install.
find_manager() {
	if command -v apt-get >/dev/null; then
		manager=apt install='apt-get install -y'
	elif command -v dnf >/dev/null; then
		manager=dnf install='dnf install -y'
	elif command -v pacman >/dev/null; then
		manager=pacman install='pacman -S --needed --noconfirm'
	elif command -v apk >/dev/null; then
		manager=apk install='apk add'
	else
		return 1
	fi
}

# Sets $as_root to the words that give a command root's rights, if there are any.
find_root() {
	as_root='env DEBIAN_FRONTEND=noninteractive'
	[ "$(id -u)" -ne 0 ] || return 0
	as_root="sudo -n $as_root"
	sudo -n true >/dev/null 2>&1
}

# Prints the packages whose probe fails. Those that could not be had before are not asked for again,
# except the required ones.
missing() { # set
	# shellcheck disable=SC2034 # the columns are read through $manager
	packages | while read -r sets probe apt dnf pacman apk; do
		case ,$sets, in
		*,"$1",*) ;;
		*) continue ;;
		esac
		eval "name=\$$manager"
		[ "$name" != - ] || continue
		present "$probe" && continue
		[ "$1" != build ] && grep -qxF "$name" build/packages-in-vain 2>/dev/null && continue
		echo "$name"
	done
}

run_manager() { # words…: as root, the output in the log
	# shellcheck disable=SC2086 # $as_root is words
	$as_root "$@" >>build/packages.log 2>&1 </dev/null
}

# The lists are fetched once a run, and only when something is missing.
refresh() {
	case $manager${refreshed:-} in
	apt) run_manager apt-get update -q ;;
	pacman) run_manager pacman -Sy --noconfirm ;;
	apk) run_manager apk update ;;
	esac || say 'the package lists could not be fetched'
	refreshed=yes
}

install_one() { # one name of the table
	for alternative in $(echo "$1" | tr / ' '); do
		package=${alternative#+} sparing=--no-install-recommends
		[ "$alternative" = "$package" ] || sparing=--install-recommends
		case $manager in
		apt)
			run_manager apt-get install -y -q $sparing -o DPkg::Lock::Timeout=120 \
				"$package" && return
			;;
		*)
			# shellcheck disable=SC2086 # $install is words
			run_manager $install "$package" && return
			;;
		esac
	done
	return 1
}

install_all() { # names…
	mkdir -p build
	refresh
	for name; do
		say "installing $name"
		install_one "$name" || {
			say "$name cannot be installed (see build/packages.log); going on without it"
			echo "$name" >>build/packages-in-vain
		}
	done
}

# Sees to the packages of these sets. Ends the run if a required one cannot be had.
ensure() { # sets…
	find_manager || manager=apt install='install the packages that Debian calls'
	for set; do
		names=$(missing "$set")
		[ -n "$names" ] || continue
		if [ "${install%% *}" != install ] && find_root; then
			# shellcheck disable=SC2086 # names are words
			install_all $names
		else
			say 'packages are missing; as root, run:'
			say "  $install $(echo "$names" | sed 's|/.*||; s|^+||' | tr '\n' ' ')"
		fi
		[ "$set" != build ] || [ -z "$(missing build)" ] ||
			die "cannot build without: $(missing build | tr '\n' ' ')"
	done
	find_meson || die 'meson does not run'
}
