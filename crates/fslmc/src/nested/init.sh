#!/bin/busybox sh
# The first process of a guest inside the guest: loads the modules of its image, in
# order, and then runs each line that it reads on its console. Everything between
# "=l2=begin N" and "=l2=end N CODE" is what the line has printed. With "nomodules" on the
# kernel's command line, nothing is loaded.
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
stty -echo
grep -qw nomodules /proc/cmdline && : >/modules/order
# Loads the modules of a list: `load order`; `load disks` before a disk is looked for.
load() {
    for module in $(cat "/modules/$1"); do
        [ -d "/sys/module/$(echo "$module" | tr - _)" ] ||
            insmod "/modules/$module.ko" || echo "=l2=no module $module"
    done
}
load order
ip link set lo up
n=0
echo "=l2=ready"
while IFS= read -r line; do
    n=$((n + 1))
    echo "=l2=begin $n"
    eval "$line" </dev/null
    echo "=l2=end $n $?"
done
poweroff -f
