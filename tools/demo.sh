#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Shows Vioduct at work: a Linux guest in QEMU gets its network from `vioduct device` with the
# user-mode back end, then our own driver uses the same device. Needs no root, leaves nothing
# behind, ends by itself in under two minutes with a table; exit 0 when all that it showed was
# right. Where QEMU or a kernel cannot be had it says so, and shows the driver on the device alone.
#
#   VIODUCT         the program (default: build/vioduct)
#   VIO_GUEST_DIR   where the guest's image is kept (default: beside the program)

set -u
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")/.." || exit 1

VIODUCT=${VIODUCT:-build/vioduct}
image_directory=${VIO_GUEST_DIR:-$(dirname "$VIODUCT")/guest}
mebibytes=64
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3

work=$(mktemp -d /tmp/vio-demo-XXXXXX) || exit 1
socket=$work/net
device_pid='' server_pid='' guest_pid=''
failures=0

finish() {
	for pid in $guest_pid $server_pid $device_pid; do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what is printed ---------------------------------------------------------------------------

uptime() {
	cut -d ' ' -f 1 /proc/uptime
}

began=$(uptime)

say() { # who text
	elapsed=$(echo "$began $(uptime)" | awk '{ printf "%5.1f", $2 - $1 }')
	printf '%s s  %-7s %s\n' "$elapsed" "$1" "$2"
}

failed() { # who text
	say "$1" "FAILED: $2"
	failures=$((failures + 1))
}

progress() { # text; drawn over itself on a terminal, left out elsewhere
	[ ! -t 1 ] || printf '         %-7s %s\033[K\r' "" "$1"
}

rate() { # bytes seconds
	echo "$1 $2" | awk '{ s = $2 > 0 ? $2 : 0.01
		printf "%.1f s, %.0f MiB/s, %.2f Gbit/s", s, $1 / s / 1048576, $1 * 8 / s / 1e9 }'
}

# ---- the pieces --------------------------------------------------------------------------------

# Waits, at most so many seconds, until a file holds a pattern, while the process lives.
await() { # seconds file pattern pid
	tries=$(($1 * 20))
	until grep -q "$3" "$2" 2>/dev/null; do
		tries=$((tries - 1))
		if [ $tries -eq 0 ] || ! kill -0 "$4" 2>/dev/null; then
			return 1
		fi
		sleep 0.05
	done
}

start_device() { # back end
	"$VIODUCT" device --socket-path "$socket" --backend "$1" --json \
		>"$work/counters" 2>"$work/device.log" &
	device_pid=$!
	if ! await 10 "$work/device.log" 'listening on' $device_pid; then
		failed device "it does not listen; it said:"
		cat "$work/device.log"
		exit 1
	fi
	say device "vioduct device --backend $1: serves a vhost-user socket, as $(id -un)"
}

# Ends the device; its counters are in $work/counters then.
stop_device() {
	kill -TERM $device_pid
	wait $device_pid
	status=$?
	device_pid=
	if [ $status -eq 0 ]; then
		say device "drained and ended"
	else
		failed device "exit status $status"
		cat "$work/device.log"
	fi
}

# The far side, on this machine's loopback: /file is random bytes, and what is sent to the second
# port is hashed. Its ports and the hashes are written into files.
cat >"$work/server.py" <<'PYTHON'
import hashlib, http.server, os, socketserver, sys, threading

directory, size = sys.argv[1], int(sys.argv[2]) << 20
block = os.urandom(size)

def put(name, text):
    with open(os.path.join(directory, name + ".part"), "w") as handle:
        handle.write(text + "\n")
    os.rename(os.path.join(directory, name + ".part"), os.path.join(directory, name))

class Download(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(block)

    def log_message(self, *unused):
        pass

class Upload(socketserver.BaseRequestHandler):
    def handle(self):
        digest, count = hashlib.sha256(), 0
        while data := self.request.recv(1 << 18):
            digest.update(data)
            count += len(data)
        put("uploaded", "%s %d" % (digest.hexdigest(), count))

socketserver.ThreadingTCPServer.daemon_threads = True
servers = [socketserver.ThreadingTCPServer(("127.0.0.1", 0), each) for each in (Download, Upload)]
put("block", hashlib.sha256(block).hexdigest())
put("ports", " ".join(str(server.server_address[1]) for server in servers))
threading.Thread(target=servers[0].serve_forever, daemon=True).start()
servers[1].serve_forever()
PYTHON

start_server() {
	"$python" "$work/server.py" "$work" $mebibytes &
	server_pid=$!
	if ! await 20 "$work/ports" ' ' $server_pid; then
		failed server "the servers on loopback do not start"
		exit 1
	fi
	read -r download_port upload_port <"$work/ports"
	read -r block_hash <"$work/block"
	say server "on 127.0.0.1, in reach of the guest as 10.0.2.2: $mebibytes MiB of random bytes"
}

# What the guest does. Each line that it prints for us begins with @@ and a word.
guest_script() {
	cat <<GUEST
#!/bin/sh
now() { cut -d ' ' -f 1 /proc/uptime; }
watch() { # word pid file
	while kill -0 \$2 2>/dev/null; do
		echo "@@progress \$1 \$(wc -c <\$3)"
		sleep 1
	done
}
# How far a reader of a file has come is its position, which the kernel tells.
position() { # pid
	while kill -0 \$1 2>/dev/null; do
		echo "@@progress up \$(sed -n 's/^pos:[[:space:]]*//p' /proc/\$1/fdinfo/0 2>/dev/null)"
		sleep 1
	done
}
set -- \$(udhcpc -i eth0 -n -q -t 10 -T 2 -s /usr/share/udhcpc/default.script 2>/dev/null |
	grep ^lease:)
echo "@@dhcp \${3:-none} \$5 \$7"
echo "@@ping \$(ping -c 3 -W 2 10.0.2.2 | tail -n 2 | tr '\n' ' ')"

start=\$(now)
wget -q -O /tmp/file http://10.0.2.2:$download_port/file & pid=\$!
watch down \$pid /tmp/file &
wait \$pid
end=\$(now)
hash=\$(sha256sum </tmp/file)
echo "@@down \$start \$end \$(wc -c </tmp/file) \$hash"

start=\$(now)
nc 10.0.2.2 $upload_port </tmp/file & pid=\$!
position \$pid &
wait \$pid
end=\$(now)
echo "@@up \$start \$end \$(wc -c </tmp/file) \$hash"
GUEST
}

# The archive with the guest's script goes behind the image's: the kernel unpacks both.
make_initramfs() { # initramfs
	mkdir "$work/extra"
	guest_script >"$work/extra/test.sh"
	chmod 755 "$work/extra/test.sh"
	{
		cat "$1"
		# An archive begins at a multiple of four.
		head -c $(((4 - $(wc -c <"$1") % 4) % 4)) /dev/zero
		(cd "$work/extra" && find . | busybox cpio -o -H newc 2>/dev/null)
	} >"$work/initramfs"
}

run_guest() { # kernel; its console is followed until it ends
	mkfifo "$work/console"
	timeout 100 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
		-machine q35,accel=tcg,memory-backend=m -cpu max -m 320 \
		-object memory-backend-memfd,id=m,size=320M,share=on \
		-chardev "socket,id=c,path=$socket" -netdev vhost-user,id=n,chardev=c \
		-device virtio-net-pci,netdev=n,romfile=,vectors=0 \
		-kernel "$1" -initrd "$work/initramfs" \
		-append 'console=ttyS0 quiet panic=-1' -serial stdio -monitor none \
		</dev/null >"$work/console" 2>"$work/qemu.log" &
	guest_pid=$!
	seen=
	while read -r word first second third fourth rest; do
		case $word in
		@@ready) say guest "Linux $first is up; its interfaces: $second $third" ;;
		@@dhcp) show_dhcp "$first" "$second" "$third" ;;
		@@ping) show_ping "$first $second $third $fourth $rest" ;;
		@@progress) progress "${first}load: $((${second:-0} >> 20)) of $mebibytes MiB" ;;
		@@down) show_download "$first" "$second" "$third" "$fourth" ;;
		@@up) show_upload "$first" "$second" "$third" "$fourth" ;;
		esac
	done <"$work/console"
	wait $guest_pid
	status=$?
	guest_pid=
	if [ $status -ne 0 ] || [ "$seen" != " dhcp ping down up" ]; then
		failed guest "QEMU ended with status $status after:${seen:- nothing}"
		cat "$work/qemu.log"
	else
		say guest "powered off"
	fi
}

show_dhcp() { # address router dns
	seen="$seen dhcp"
	if [ "$1" != none ]; then
		say guest "DHCP: address $1, gateway $2, name server $3"
	else
		failed guest "no address by DHCP"
	fi
}

show_ping() {
	seen="$seen ping"
	case $1 in
	*' 0% packet loss'*)
		say guest "pings its gateway: 3 of 3 answered$(echo "$1" |
			sed -n 's/.*min\/avg\/max = [^/]*\/\([^/]*\)\/.*/, \1 ms on average/p')"
		;;
	*) failed guest "ping: $1" ;;
	esac
}

seconds_between() {
	echo "$1 $2" | awk '{ print $2 - $1 }'
}

show_download() { # start end size hash
	seen="$seen down"
	down_rate=$(rate "$3" "$(seconds_between "$1" "$2")")
	if [ "$4" = "$block_hash" ]; then
		say guest "downloaded $(($3 >> 20)) MiB: $down_rate; SHA-256 matches"
	else
		failed guest "download of $3 bytes: SHA-256 $4, expected $block_hash"
	fi
}

show_upload() { # start end size hash
	seen="$seen up"
	up_rate=$(rate "$3" "$(seconds_between "$1" "$2")")
	if await 5 "$work/uploaded" . $server_pid; then
		read -r hash size <"$work/uploaded"
	else
		hash=nothing size=0
	fi
	if [ "$4" = "$hash" ]; then
		say guest "uploaded $((size >> 20)) MiB: $up_rate; SHA-256 matches"
	else
		failed guest "upload of $size bytes: SHA-256 $hash, expected $4"
	fi
}

# ---- our own driver ----------------------------------------------------------------------------

show_vioduct_ping() {
	if "$VIODUCT" ping --via "vhost-user:$socket" -c 3 10.0.2.2 >"$work/ping" 2>&1; then
		say driver "vioduct ping --via vhost-user:... -c 3 10.0.2.2"
		sed 's/^/                   /' "$work/ping"
	else
		failed driver "vioduct ping: $(tail -n 1 "$work/ping")"
	fi
}

show_vioduct_bench() {
	if "$VIODUCT" bench driver --via "vhost-user:$socket" --mode echo --frames 1000000 \
		--size 1500 --verify --json >"$work/bench" 2>"$work/bench.log"; then
		say driver "$("$python" - "$work/bench" <<'PYTHON'
import json, sys

result = json.load(open(sys.argv[1]))
print("vioduct bench driver: %d frames of 1500 bytes there and back, %d lost, %d changed, "
      "%.2f Mpps, %.1f Gbit/s" % (result["rx_packets"], result["lost"], result["corrupt"],
                                  result["mpps"], result["gbps"]))
PYTHON
)"
	else
		failed driver "vioduct bench: $(tail -n 1 "$work/bench.log")"
	fi
}

show_counters() {
	"$python" - "$work/counters" <<'PYTHON'
import json, sys

row = "  %-4s %-14s %10s %14s %10s %10s  %s"
for device in json.load(open(sys.argv[1]))["devices"]:
    print("\nThe device's counters (%d connections, %d disconnects)"
          % (device["connections"], device["disconnects"]))
    print(row % ("pair", "direction", "packets", "bytes", "kicks", "calls", "drops"))
    for queue in device["queues"]:
        for name, words in (("rx", "to the driver"), ("tx", "from the driver")):
            side = queue[name]
            drops = ", ".join("%s %d" % each for each in side["drops"].items() if each[1])
            print(row % (queue["pair"], words, side["packets"], side["bytes"], side["kicks"],
                         side["calls"], drops or "none"))
PYTHON
}

# ---- the show ----------------------------------------------------------------------------------

[ -x "$VIODUCT" ] || {
	echo "demo: no program at $VIODUCT; ./dev build makes it" >&2
	exit 1
}

why_not=
if ! command -v qemu-system-x86_64 >/dev/null; then
	why_not="qemu-system-x86_64 is not installed"
elif ! sh tests/guest/build.sh "$image_directory" >"$work/image" 2>"$work/image.log"; then
	why_not=$(tail -n 1 "$work/image.log")
fi

down_rate='' up_rate=''
start_device user
if [ -z "$why_not" ]; then
	{ read -r kernel && read -r initramfs; } <"$work/image"
	start_server
	make_initramfs "$initramfs"
	say guest "booting $(basename "$kernel") in QEMU on an emulated processor"
	run_guest "$kernel"
else
	say guest "left out: $why_not"
	say guest "our own driver shows the device instead"
fi
show_vioduct_ping
stop_device

if [ -n "$why_not" ]; then
	start_device loop
	show_vioduct_bench
	stop_device
fi

show_counters
if [ -n "$down_rate$up_rate" ]; then
	echo
	echo "Throughput of the guest's TCP (an emulated processor is slow)"
	echo "  download   ${down_rate:-none}"
	echo "  upload     ${up_rate:-none}"
fi
echo
if [ $failures -eq 0 ]; then
	echo "All of it worked."
else
	echo "$failures of the steps failed."
	exit 1
fi
