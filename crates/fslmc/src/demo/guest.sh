#!/bin/sh
# The demonstration of a guest with its own container, told from inside the board. The
# container is bound to vfio-fsl-mc, Linux's own drivers are loaded.
set -eu
here=$(dirname "$0")
export VMM='fslmc assign dprc.2'
number=0

# One step that has happened: a title, and what is to be seen.
step() {
    number=$((number + 1))
    printf '%3d.  %s\n      %s\n' $number "$1" "$2"
}

l2() { sh "$here/l2.sh" "$@"; }

# Seconds since the board has started.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

wait_for() {
    for try in $(seq 200); do
        eval "$1" && return
        sleep 0.1
    done
    echo "waited too long for: $1" >&2
    return 1
}

carrier='[ "$(cat /sys/class/net/$a/carrier)" = 1 ]'
find_interface='a=$(ls /sys/bus/fsl-mc/devices/dpni.N/net)'

wait_for '[ -d /sys/bus/fsl-mc/devices/dpni.0/net ]'
eval "$(echo "$find_interface" | sed s/dpni.N/dpni.0/)"
ip addr add 10.0.0.1/24 dev "$a"
ip link set "$a" up
driver=$(basename "$(readlink /sys/bus/fsl-mc/devices/dprc.2/driver)")
[ "$driver" = vfio-fsl-mc ] || { echo "dprc.2 is bound to '$driver'" >&2; exit 1; }
step "Linux on the board has dpni.0 for itself, and keeps dprc.2 for a guest" \
    "$a, 10.0.0.1; dprc.2 is bound to $driver"

start=$(now)
l2 start guest
took=$(($(now) - start))
# On its own: what fails within an argument, the shell does not see.
release=$(l2 say guest uname -r)
[ -n "$release" ] || { echo "the guest does not say its release" >&2; exit 1; }
step "fslmc assign dprc.2 boots a guest of KVM with that container" \
    "Linux $release, unmodified, listens after $took s"

devices=$(l2 say guest 'echo $(ls /sys/bus/fsl-mc/devices)')
case " $devices " in
*" dprc.1 "* | *" dpni.0 "*) echo "the guest sees the host's objects: $devices" >&2; exit 1 ;;
*" dprc.2 "*) ;;
*) echo "the guest has no container: $devices" >&2; exit 1 ;;
esac
step "It finds a Management Complex of its own, with these objects and no others" "$devices"

drivers=$(l2 say guest 'cd /sys/bus/fsl-mc/drivers; for d in fsl_mc_dpio fsl_dpaa2_eth; do echo $d has $(ls $d | grep ^dp),; done')
drivers=$(echo "$drivers" | xargs)
case "$drivers" in
"fsl_mc_dpio has dpio."*"fsl_dpaa2_eth has dpni."*) ;;
*) echo "the guest's drivers lack something: $drivers" >&2; exit 1 ;;
esac
step "Its own drivers have a portal for its processor, and the interfaces" "${drivers%,}"

l2 say guest "$(echo "$find_interface" | sed s/dpni.N/dpni.1/); ip addr add 10.0.0.2/24 dev \$a; \
ip link set \$a up; for try in \$(seq 200); do $carrier && break; sleep 0.1; done; $carrier"
there=$(l2 say guest 'ping -q -c 100 -i 0.02 -W 5 10.0.0.1' | grep loss)
back=$(ping -q -c 100 -i 0.02 -W 5 10.0.0.2 | grep loss)
case "$there$back" in
*" 0% packet loss"*" 0% packet loss"*) ;;
*) echo "frames are lost: $there; $back" >&2; exit 1 ;;
esac
step "Frames go between guest and host, through software portals that the guest has mapped" \
    "from the guest: $there"
step "And back" "from the host: $back"

# Those of the lines of vfio-fsl-mc, over all processors.
interrupts() {
    awk '/vfio-irq/ { lines++; for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i }
        END { print lines + 0, sum + 0 }' /proc/interrupts
}
seen=$(interrupts)
lines=${seen% *} count=${seen#* }
[ "$lines" -gt 0 ] && [ "$count" -gt 0 ] || {
    echo "the guest has $lines lines of interrupts, and $count have come" >&2
    exit 1
}
step "Interrupts of the container reach the guest by way of KVM" \
    "$lines lines of vfio-fsl-mc, $count interrupts"

code=$(l2 term guest)
[ "$code" = 143 ]
wait_for '! grep -q vfio-irq /proc/interrupts'
fslmc-guest vfio info dprc.2 >/tmp/info
facts=$(grep -c . /tmp/info)
step "A signal ends the VMM, and the container is reset and free again" \
    "$facts lines of information on it, no interrupt is left"
echo
echo "All $number steps happened as they should."
