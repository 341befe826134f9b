# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests stand on.

process    child processes: output collected, events awaited, ended by pid
paths      where the program, the build directory and the guest image are
guest      a Linux guest in QEMU whose shell the test drives
vioduct    the program under test: devices, their counters, the other subcommands
testpmd    DPDK's testpmd as a driver or as a device
netns      network namespaces with random names, veth pairs
traffic    servers on loopback, iperf3, captures and raw sockets
rig        the above put together: a guest on a network through a back end

Nothing here sleeps for luck: every wait is for an event and is bounded.
"""
