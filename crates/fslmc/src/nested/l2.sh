#!/bin/sh
# Handles guests of fslmc-vmm whose first process is that of init.sh.
#
#   l2.sh start NAME OPTION...   starts one and waits until it listens
#   l2.sh say NAME LINE...       lets it run a line, prints what that prints
#   l2.sh reboot NAME            lets it reboot, and waits until it listens again
#   l2.sh wait NAME              waits for its end, prints the exit code of the VMM
#   l2.sh kill NAME              ends the VMM at once
#   l2.sh term NAME              asks the VMM to end, prints its exit code
#
# VMM is the command that starts it, before its options; fslmc-vmm if it is not set.
#
# A guest has a folder /tmp/l2/NAME: console, err, in, pid, said. What guests are made of
# is copied to /tmp/l2 once, since the shared folder is slow.
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

# Seconds since the machine has started.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

# Waits for a condition, which is a command.
until_true() {
    end=$(($(now) + 300))
    until "$@"; do
        [ "$(now)" -lt "$end" ] || fail "waited too long for: $*"
        sleep 0.1
    done
}

said() {
    grep -q "^$1" "$folder/console" || {
        alive || fail "ended while waiting for '$1'"
        false
    }
}

ended() {
    ! alive
}

case $action in
start)
    rm -rf "$folder"
    mkdir -p "$folder"
    [ -e /tmp/l2/made ] || {
        cp "$here/Image" "$here/initramfs" /tmp/l2 &&
            { [ ! -e "$here/fslmc-vmm" ] || cp "$here/fslmc-vmm" /tmp/l2; } && : >/tmp/l2/made
    } || exit 1
    mkfifo "$folder/in"
    : >"$folder/console"
    (
        # Words of a command.
        # shellcheck disable=SC2086
        ${VMM:-/tmp/l2/fslmc-vmm} --kernel /tmp/l2/Image --initramfs /tmp/l2/initramfs \
            --append "loglevel=4 earlycon" "$@" \
            <>"$folder/in" >>"$folder/console" 2>"$folder/err" &
        echo $! >"$folder/pid"
        wait $!
        echo $? >"$folder/code"
    ) >/dev/null 2>&1 </dev/null &
    echo 0 >"$folder/said"
    until_true said =l2=ready
    ;;
say)
    line=$(($(cat "$folder/said") + 1))
    echo $line >"$folder/said"
    alive || fail "is not there any more"
    echo "$*" >"$folder/in"
    until_true said "=l2=end $line "
    tr -d '\r' <"$folder/console" | sed -n "/^=l2=begin $line\$/,/^=l2=end $line /p" |
        sed -e '/^=l2=/d'
    exit $(tr -d '\r' <"$folder/console" | sed -n "s/^=l2=end $line //p" | head -n 1)
    ;;
reboot)
    : >"$folder/console"
    echo 0 >"$folder/said"
    echo "reboot -f" >"$folder/in"
    until_true said =l2=ready
    ;;
wait)
    until_true ended
    cat "$folder/code"
    ;;
term)
    kill "$(cat "$folder/pid")"
    until_true ended
    cat "$folder/code"
    ;;
kill)
    kill -9 "$(cat "$folder/pid")"
    until_true ended
    ;;
esac
