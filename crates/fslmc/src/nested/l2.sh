#!/bin/sh
# Handles guests of fslmc-vmm whose first process is that of init.sh.
#
#   l2.sh start NAME OPTION...   starts one and waits until it listens
#   l2.sh say NAME LINE...       lets it run a line, prints what that prints
#   l2.sh reboot NAME            lets it reboot, and waits until it listens again
#   l2.sh wait NAME              waits for its end, prints the exit code of the VMM
#   l2.sh kill NAME              ends the VMM at once
#
# A guest has a folder /tmp/l2/NAME: console, err, in, pid, said.
here=$(dirname "$0")
action=$1
name=$2
shift 2
folder=/tmp/l2/$name

fail() {
    echo "l2.sh: $name: $1" >&2
    tail -n 40 "$folder/console" >&2
    cat "$folder/err" >&2
    exit 1
}

alive() {
    [ ! -e "$folder/code" ]
}

# Waits until the console has a line that begins as said.
await() {
    tries=0
    until grep -q "^$1" "$folder/console"; do
        alive || fail "ended while waiting for '$1'"
        tries=$((tries + 1))
        [ $tries -lt 2400 ] || fail "no '$1' on the console"
        sleep 0.05
    done
}

case $action in
start)
    rm -rf "$folder"
    mkdir -p "$folder"
    mkfifo "$folder/in"
    : >"$folder/console"
    (
        "$here/fslmc-vmm" --kernel "$here/Image" --initramfs "$here/initramfs" \
            --append "loglevel=4 earlycon" "$@" \
            <>"$folder/in" >>"$folder/console" 2>"$folder/err" &
        echo $! >"$folder/pid"
        wait $!
        echo $? >"$folder/code"
    ) >/dev/null 2>&1 </dev/null &
    echo 0 >"$folder/said"
    await =l2=ready
    ;;
say)
    said=$(($(cat "$folder/said") + 1))
    echo $said >"$folder/said"
    alive || fail "is not there any more"
    echo "$*" >"$folder/in"
    await "=l2=end $said "
    tr -d '\r' <"$folder/console" | sed -n "/^=l2=begin $said\$/,/^=l2=end $said /p" |
        sed -e '/^=l2=/d'
    exit $(tr -d '\r' <"$folder/console" | sed -n "s/^=l2=end $said //p" | head -n 1)
    ;;
reboot)
    : >"$folder/console"
    echo 0 >"$folder/said"
    echo "reboot -f" >"$folder/in"
    await =l2=ready
    ;;
wait)
    tries=0
    while alive; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || fail "does not end"
        sleep 0.05
    done
    cat "$folder/code"
    ;;
kill)
    kill -9 "$(cat "$folder/pid")"
    while alive; do sleep 0.02; done
    ;;
esac
