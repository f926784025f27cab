# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
# Hosts in the guest: network namespaces with an interface each. Tests and benches put their
# own lines behind these.

set -eu

# The interface of a dpni, wherever it is now: `dev 0`.
dev() { cat /tmp/dev/$1; }

# A command beside dpni.N: `host N COMMAND`. One that is to be killed later has to be started by
# `ip netns exec hN COMMAND &`: of a function, `$!` is the shell that runs it.
host() { local ns=h$1; shift; ip netns exec $ns "$@"; }

# Puts an interface into a namespace of its own: `make_host NAME INTERFACE ADDRESS/LENGTH`.
# Linux then sends nothing of its own accord, which would move counters meanwhile.
make_host() {
    mkdir -p /tmp/dev
    echo $2 >/tmp/dev/$1
    ip netns add h$1
    host $1 sysctl -qw net.ipv6.conf.default.disable_ipv6=1
    ip link set $2 netns h$1
    host $1 ip addr add $3 dev $2
    host $1 ip link set lo up
    host $1 ip link set $2 up
}

# The Ethernet address of a host: `address 0`.
address() { host $1 cat /sys/class/net/$(dev $1)/address; }

# Lets a host know the address of another one, so that it never asks: `known 0 1 10.0.0.2`.
known() { host $1 ip neigh replace $3 lladdr $(address $2) nud permanent dev $(dev $1); }

# Hosts of dpni.A and dpni.B, which reach each other: 10.0.A.1 and 10.0.A.2.
make_pair() {
    make_host $1 $(ls /sys/bus/fsl-mc/devices/dpni.$1/net) 10.0.$1.1/24
    make_host $2 $(ls /sys/bus/fsl-mc/devices/dpni.$2/net) 10.0.$1.2/24
    wait_carrier $1 1; wait_carrier $2 1
}

wait_carrier() {
    local try
    for try in $(seq 150); do
        [ "$(host $1 cat /sys/class/net/$(dev $1)/carrier 2>/dev/null)" = $2 ] && return
        sleep 0.1
    done
    echo "$1: no carrier $2" >&2; return 1
}

# Waits until a condition holds: `until_so "[ -e /tmp/x ]"`.
until_so() {
    local try
    for try in $(seq 150); do eval "$1" && return 0; sleep 0.1; done
    echo "never so: $1" >&2; return 1
}

# Echo replies that have come to a host: `echo_replies 0`.
echo_replies() {
    host $1 awk '$1 == "Icmp:" && !n { for (i = 2; i <= NF; i++) if ($i == "InEchoReps") n = i; next }
                 $1 == "Icmp:" { print $n }' /proc/net/snmp
}

# Sends echo requests, all of which are answered: `echoed 0 20 10.0.0.2`, with further options
# of ping behind that. Replies are counted by Linux, since ping waits for the last one no longer
# than twice what the slowest has taken.
echoed() {
    local before=$(echo_replies $1)
    host $1 ping -q -c $2 -i 0.01 -W 5 "${@:4}" $3 >/dev/null || true
    until_so "[ \$((\$(echo_replies $1) - $before)) -eq $2 ]"
}

# A counter of `ethtool -S`, by its whole name: `counter 0 '[hw] rx frames'`.
counter() {
    host $1 ethtool -S $(dev $1) | awk -F': ' -v name="$2" '{ sub(/^ */, "") } $1 == name { print $2 }'
}

# iperf3's server beside dpni.N, once it listens.
serve() {
    host $1 iperf3 -s -D
    until_so "host $1 ss -ltn | grep -q :5201"
}
