# SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
# testpmd on the interfaces of dprc.2, told what to do line by line. Goes behind hosts.sh.

# A physical address of the chip that DPDK looks at through it is none of this machine's.
rm -f /dev/mem
export DPRC=dprc.2

# start_testpmd [OPTION OF TESTPMD]...
start_testpmd() {
    rm -f /tmp/testpmd.in
    mkfifo /tmp/testpmd.in
    : >/tmp/testpmd
    stdbuf -oL dpdk-testpmd -l 0-1 -n 1 --log-level=lib.eal:warning -- -i \
        --total-num-mbufs=4096 --nb-cores=1 "$@" </tmp/testpmd.in >/tmp/testpmd 2>&1 &
    echo $! >/tmp/testpmd.pid
    exec 9>/tmp/testpmd.in
    answers=0
    await_prompt
}

# Prompts so far. Another thread's message may be in the middle of one.
prompts() {
    sed '/link state change event/d' /tmp/testpmd | tr -d '\n' | grep -o 'testpmd>' | wc -l
}

# Waits for the next prompt.
await_prompt() {
    local try
    for try in $(seq 1200); do
        [ $(prompts) -gt $answers ] && {
            answers=$((answers + 1))
            return
        }
        kill -0 $(cat /tmp/testpmd.pid) 2>/dev/null || break
        sleep 0.05
    done
    tail -n 100 /tmp/testpmd >&2
    echo "testpmd does not answer" >&2
    return 1
}

# Has it do something, and prints what it says to that.
say() {
    local before=$(wc -l </tmp/testpmd)
    echo "$*" >&9
    await_prompt
    tail -n +$((before + 1)) /tmp/testpmd
}

# The same, in silence.
tell() { say "$@" >/dev/null; }

# A counter of its extended statistics: `xstat PORT NAME`.
xstat() { say "show port xstats $1" | sed -n "s/^$2: //p"; }

# Ends it; gives its exit code.
quit() {
    echo quit >&9
    exec 9>&-
    wait $(cat /tmp/testpmd.pid)
}
