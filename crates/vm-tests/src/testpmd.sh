# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
# testpmd on the interfaces of dprc.2, told what to do line by line. Goes behind hosts.sh.

# A physical address of the chip that DPDK looks at through it is none of this machine's.
rm -f /dev/mem
export DPRC=dprc.2

# What it says is also in /tmp/testpmd, as far as it was read.

# Further options for DPDK itself.
eal_options=

# start_testpmd [OPTION OF TESTPMD]...
start_testpmd() {
    rm -f /tmp/testpmd.in /tmp/testpmd.out
    mkfifo /tmp/testpmd.in /tmp/testpmd.out
    : >/tmp/testpmd
    stdbuf -oL dpdk-testpmd -l 0-1 -n 1 --log-level=lib.eal:warning $eal_options -- -i \
        --total-num-mbufs=4096 --nb-cores=1 "$@" </tmp/testpmd.in >/tmp/testpmd.out 2>&1 &
    testpmd=$!
    exec 9>/tmp/testpmd.in 8</tmp/testpmd.out
    await_prompt
}

# Reads up to the next prompt, which another thread's message may be in the middle of. No
# program is started for that: testpmd takes the guest's processors.
await_prompt() {
    local part flat digits
    said=
    while IFS= read -r -d '>' -t 120 -u 8 part; do
        part+='>'
        said+=$part
        printf %s "$part" >>/tmp/testpmd
        flat=${part//$'\n'/}
        flat=${flat//Port [0-9]: link state change event/}
        # DPDK takes the space before an interrupt's number for a part of it.
        for digits in '[0-9]' '[0-9][0-9]' '[0-9][0-9][0-9]'; do
            flat=${flat//DPAA2_BUS: Failed to open \/proc\/irq\/ $digits\/smp_affinity/}
        done
        [[ $flat == *'testpmd>' ]] && return
    done
    printf '%s\n' "$said$part" | tail -n 100 >&2
    echo "testpmd does not answer" >&2
    return 1
}

# Has it do something, and prints what it says to that.
say() {
    echo "$*" >&9
    await_prompt
    printf '%s\n' "$said"
}

# The same, in silence.
tell() { say "$@" >/dev/null; }

# A counter of its extended statistics: `xstat PORT NAME`.
xstat() { say "show port xstats $1" | sed -n "s/^$2: //p"; }

# Ends it; gives its exit code.
quit() {
    echo quit >&9
    exec 9>&-
    cat <&8 >>/tmp/testpmd
    exec 8<&-
    wait $testpmd
}
