// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! DPDK between two hosts of Linux's: what its ports do is judged by Linux's own driver and
//! network stack at the other ends. One boot; each step finds testpmd as it starts.

use crate::{frames, guest::mgmt, trial};
use anyhow::{Context, Result, bail, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use std::time::Duration;
use vm_tests::{
    TestVm,
    hosts::{self, hosts},
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("dpdk::in_one_boot", in_one_boot),
        trial("dpdk::two_processes_on_two_containers", two_containers),
    ]
}

type Step = (&'static str, fn(&mut TestVm) -> Result<()>);

const STEPS: [Step; 12] = [
    ("answers pings, on several queues", several_queues),
    ("a rule chooses the queue", flow_rules),
    ("frames in several buffers", scattered),
    ("checksums by the hardware", checksums),
    ("a link's state is noticed", link_states),
    ("ports stop and start", stop_and_start),
    ("the traffic manager's rates and priorities", traffic_manager),
    ("behind an Ethernet port", behind_a_port),
    ("a second process looks on", second_process),
    ("frames come as events", frames_as_events),
    ("events pass queues", events),
    ("DPDK's tests of ports and event devices", suites),
];

fn in_one_boot() -> Result<()> {
    let cable = "dpmac.1=dpmac.2".parse().context("a wire")?;
    let machine = frames::machine(Driver::Rust)?.options(|options| options.wires.push(cable));
    machine.run(|vm| {
        frames::give_to_linux(vm)?;
        // Each of Linux's two hosts at a port of DPDK's.
        for end in ["dpni.0", "dpni.2"] {
            mgmt(vm, &format!("disconnect {end}"))?;
        }
        mgmt(vm, "connect dpni.0 dpni.2")?;
        mgmt(vm, "connect dpni.1 dpni.3")?;
        hosts(
            vm,
            "for n in 0 1; do
                 make_host $n $(ls /sys/bus/fsl-mc/devices/dpni.$n/net) 10.0.0.$((n + 1))/24
             done",
        )?;
        for (name, step) in STEPS {
            step(vm).with_context(|| name)?;
        }
        Ok(())
    })
}

/// A script with testpmd running; it must end well.
fn with_testpmd(vm: &mut TestVm, options: &str, script: &str) -> Result<String> {
    hosts::with_testpmd(
        vm,
        &format!(
            "start_testpmd --rxq=2 --txq=2 {options}
             tell start
             wait_carrier 0 1; wait_carrier 1 1
             {script}
             quit"
        ),
    )
}

/// Runs of `ping -q` that lost nothing.
fn without_loss(printed: &str) -> usize {
    printed.matches(" 0% packet loss").count()
}

/// testpmd answers ARP and echo requests itself. Senders are spread over its queues by a
/// hash of their addresses.
fn several_queues(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "--forward-mode=icmpecho",
        "for n in $(seq 11 26); do host 0 ip addr add 10.0.0.$n/24 dev $(dev 0); done
         for n in $(seq 11 26); do host 0 ping -q -c 5 -i 0.02 -W 5 -I 10.0.0.$n 10.0.0.99; done
         for size in 36 1472; do host 0 ping -q -c 100 -i 0.01 -W 5 -s $size 10.0.0.99; done
         for n in $(seq 11 26); do host 0 ip addr del 10.0.0.$n/24 dev $(dev 0); done
         for queue in 0 1; do echo queue $(xstat 0 rx_q${queue}_packets); done",
    )?;
    ensure!(without_loss(&printed) == 18, "{printed}");
    let queues: Vec<u64> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("queue "))
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // 280 echo requests; one sender's go to one queue.
    ensure!(queues.len() == 2 && queues.iter().all(|count| *count >= 5), "{printed}");
    ensure!(queues.iter().sum::<u64>() >= 280, "{printed}");
    Ok(())
}

fn flow_rules(vm: &mut TestVm) -> Result<()> {
    for queue in [0, 1] {
        let printed = with_testpmd(
            vm,
            "--forward-mode=rxonly",
            &format!(
                "tell stop
                 tell flow create 0 ingress group 0 priority 0 pattern ipv4 / udp dst is 5005 / \
                     end actions queue index {queue} / end
                 tell start
                 host 0 ip neigh replace 10.0.0.98 lladdr 02:00:00:00:00:03 nud permanent \
                     dev $(dev 0)
                 host 0 bash -c 'for n in $(seq 60); do echo x >/dev/udp/10.0.0.98/5005; done'
                 for queue in 0 1; do echo $(xstat 0 rx_q${{queue}}_packets); done"
            ),
        )?;
        let counts: Vec<u64> =
            printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        // Source ports differ: without the rule, both queues would have some.
        ensure!(counts.len() == 2 && counts[queue] >= 60 && counts[1 - queue] <= 3, "{printed}");
    }
    Ok(())
}

/// Large frames take several of DPDK's buffers, on their way in and out.
fn scattered(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "--forward-mode=io --max-pkt-len=9200 --enable-scatter --mbuf-size=2176",
        "for n in 0 1; do host $n ip link set $(dev $n) mtu 9000; done
         tell set promisc all on
         wait_carrier 0 1; wait_carrier 1 1
         for size in 56 4000 8972; do host 0 ping -q -c 50 -i 0.02 -W 5 -s $size 10.0.0.2; done
         for n in 0 1; do host $n ip link set $(dev $n) mtu 1500; done",
    )?;
    ensure!(without_loss(&printed) == 3, "{printed}");
    Ok(())
}

/// testpmd leaves the checksums of what it forwards to the hardware, and Linux checks each
/// itself.
fn checksums(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "--forward-mode=csum",
        "tell stop; tell port stop all
         for port in 0 1; do
             for what in ip udp tcp; do tell csum set $what hw $port; done
             tell set eth-peer $port $(address $port)
             known $port $((1 - port)) 10.0.0.$((2 - port))
             host $port ethtool -K $(dev $port) rx off >/dev/null
         done
         tell set promisc all on; tell port start all; tell start
         wait_carrier 0 1; wait_carrier 1 1
         serve 1
         host 0 iperf3 -c 10.0.0.2 -n 500K
         host 0 iperf3 -c 10.0.0.2 -u -b 2M -n 200K
         host 1 pkill iperf3
         for n in 0 1; do
             host $n awk '/^Tcp:/ && $2 != \"RtoAlgorithm\" { print \"wrong\", $16 }
                          /^Udp:/ && $2 != \"InDatagrams\" { print \"wrong\", $8 }' /proc/net/snmp
             host $n ip neigh del 10.0.0.$((2 - n)) dev $(dev $n)
             host $n ethtool -K $(dev $n) rx on >/dev/null
         done",
    )?;
    ensure!(printed.matches("receiver").count() == 2, "{printed}");
    ensure!(printed.matches("wrong 0").count() == 4, "{printed}");
    Ok(())
}

fn link_states(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "--forward-mode=io",
        "is() { say show port info 0 | grep -q \"Link status: $1\"; }
         is up
         host 0 ip link set $(dev 0) down; until_so 'is down'
         host 0 ip link set $(dev 0) up; until_so 'is up'
         grep -c 'Port 0: link state change event' /tmp/testpmd",
    )?;
    // Once at its start as well.
    ensure!(printed.trim().parse::<u32>()? >= 2, "{printed}");
    Ok(())
}

/// How often; a hundred with `FSLMC_SOAK` in the environment.
fn rounds() -> u32 {
    if std::env::var_os("FSLMC_SOAK").is_some() { 100 } else { 8 }
}

fn stop_and_start(vm: &mut TestVm) -> Result<()> {
    let rounds = rounds();
    let printed = with_testpmd(
        vm,
        "--forward-mode=io",
        &format!(
            "tell set promisc all on
             for round in $(seq {rounds}); do
                 tell stop; tell port stop all; tell port start all; tell start
             done
             wait_carrier 0 1; wait_carrier 1 1
             host 0 ping -q -c 100 -i 0.01 -W 5 10.0.0.2"
        ),
    )?;
    ensure!(without_loss(&printed) == 1, "{printed}");
    Ok(())
}

/// Rate that the traffic manager is told, bytes a second: a mebibyte is 8 Mbit/s for the
/// driver.
const RATE: u32 = 1 << 20;

/// What DPDK's traffic manager sets holds: a rate for all queues of a channel, and a strict
/// order of these. testpmd fills both queues in turns; where it is slow at times, both are
/// empty.
fn traffic_manager(vm: &mut TestVm) -> Result<()> {
    let [first, second] = sent_at_a_rate(vm, Shaper::Channel)?;
    ensure!(first >= 2.0 * second, "{first} frames of the first, {second} of the other");
    Ok(())
}

/// The node of the traffic manager that has the shaper.
#[derive(Clone, Copy, PartialEq)]
enum Shaper {
    /// The port's root.
    Port,
    /// The channel below it.
    Channel,
}

/// testpmd sends from two queues, as much as a shaper lets it, which is checked; gives how
/// many frames came from each.
fn sent_at_a_rate(vm: &mut TestVm, shaper: Shaper) -> Result<[f64; 2]> {
    // A frame of 60 bytes counts for 84.
    let rate = f64::from(RATE >> 20) * 8e6 / (84.0 * 8.0);
    /// What may be sent at once: the burst, and frames that are counted before they wait.
    const AT_ONCE: f64 = 100.0;
    let profile = |node| if node == shaper { 7 } else { -1 };
    let (port, channel) = (profile(Shaper::Port), profile(Shaper::Channel));
    let printed = with_testpmd(
        vm,
        "--forward-mode=txonly --txpkts=60",
        &format!(
            "tell stop; tell port stop 0
             tell add port tm node shaper profile 0 7 {RATE} 2000 0 0 24 0
             tell add port tm nonleaf node 0 100 -1 0 1 0 {port} 1 0 0
             tell add port tm nonleaf node 0 101 100 0 1 1 {channel} 2 0 0
             tell add port tm leaf node 0 0 101 0 1 2 -1 0 0 3 0
             tell add port tm leaf node 0 1 101 1 1 2 -1 0 0 3 0
             say port tm hierarchy commit 0 no >/tmp/commit
             if grep error /tmp/commit >&2; then exit 1; fi
             tell port start 0
             wait_carrier 0 1
             now() {{ cut -d' ' -f1 /proc/uptime; }}
             left() {{ say show port tm node stats 0 $1 0 | tr -d '\\r' | sed -n 's/.*Pkts scheduled.*: *//p'; }}
             look() {{ echo $(now) $(xstat 0 tx_good_packets) $(left 0) $(left 1) $(now); }}
             tell start
             sleep 1; look; sleep 4; look"
        ),
    )?;
    let numbers: Vec<f64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [earlier, sent, first, second, early, late, sent_then, first_then, second_then, later] =
        numbers[..]
    else {
        bail!("{printed}");
    };
    let sent = sent_then - sent;
    let (least, most) = (late - early, later - earlier);
    ensure!(sent <= most * rate + AT_ONCE, "{sent} frames in {most} s");
    ensure!(sent >= least * rate * 0.7, "{sent} frames in {least} s");
    Ok([first_then - first, second_then - second])
}

/// A cable is between Linux's interface and DPDK's. Nothing but a port has a rate as a whole,
/// or asks its other end to pause: here when an application that reads nothing has no buffers
/// left.
fn behind_a_port(vm: &mut TestVm) -> Result<()> {
    mgmt(vm, "disconnect dpni.0")?;
    mgmt(vm, "connect dpni.0 dpmac.2")?;
    mgmt(vm, "connect dpni.2 dpmac.1")?;
    sent_at_a_rate(vm, Shaper::Port)?;
    let printed = hosts::with_testpmd(
        vm,
        "start_testpmd --rxq=2 --txq=2 --total-num-mbufs=1025
         tell set promisc all on
         for n in 0 1; do
             wait_carrier $n 1
             for to in $(seq 100 115); do
                 host $n ip neigh replace 10.0.0.$to lladdr 02:00:00:00:00:98 nud permanent dev $(dev $n)
             done
         done
         # To both queues of a port; they take 348 small frames each.
         send() {
             host $1 bash -c '
                 for n in $(seq 800); do echo x >/dev/udp/10.0.0.$((100 + n % 16))/7; done'
         }
         pauses() { counter 0 '[mac] rx pause'; }
         send 1; send 0
         echo $(pauses) $(($(xstat 0 ingress_nobuffer_discards) > 0))
         tell set flow_ctrl rx on tx on 0 0 0 0 mac_ctrl_frame_fwd off autoneg on 0
         wait_carrier 0 1
         send 0
         until_so '[ $(pauses) -gt 0 ]'
         for n in 0 1; do
             for to in $(seq 100 115); do host $n ip neigh del 10.0.0.$to dev $(dev $n); done
         done
         quit",
    )?;
    ensure!(printed.trim() == "0 1", "no pause is asked for yet, but frames are lost: {printed}");
    mgmt(vm, "disconnect dpni.0")?;
    mgmt(vm, "disconnect dpni.2")?;
    mgmt(vm, "connect dpni.0 dpni.2").map(drop)
}

/// A secondary process of DPDK's has the ports of the first, and reads their counters; the
/// first goes on. DPDK 24.11's secondary processes die in their end, when the driver closes
/// ports that it has opened in the other process only.
fn second_process(vm: &mut TestVm) -> Result<()> {
    let printed = with_testpmd(
        vm,
        "--forward-mode=io",
        "tell set promisc all on
         host 0 ping -q -c 50 -i 0.01 -W 5 10.0.0.2
         dpdk-proc-info -- --stats 2>&1 || [ $? = 139 ]
         host 0 ping -q -c 50 -i 0.01 -W 5 10.0.0.2",
    )?;
    ensure!(without_loss(&printed) == 2, "{printed}");
    let received =
        printed.split("RX-packets:").nth(1).and_then(|rest| rest.split_whitespace().next());
    let received: u64 = received.with_context(|| printed.clone())?.parse()?;
    ensure!(received >= 50, "{printed}");
    Ok(())
}

/// Words for an application of DPDK's with an event device. The driver of DPDK 24.11 reads 2 MiB
/// past the head of a pool that has no caches for threads, and dies where no memory is there: it
/// is taken at the start.
const EVENT_DEVICE: &str =
    "event_device='-l 0-1 -n 1 -m 256 --vdev=event_dpaa2 --log-level=lib.eal:warning'\n";

/// Channels push received frames into the ring of a thread, in parallel or one queue at a time,
/// and the thread sends them back to where they came from.
fn frames_as_events(vm: &mut TestVm) -> Result<()> {
    hosts::with_testpmd(
        vm,
        &format!(
            "{EVENT_DEVICE}
             other=02:00:00:00:00:77
             for n in 0 1; do
                 host $n ip link set $(dev $n) promisc on
                 host $n ip neigh replace 10.0.0.99 lladdr $other nud permanent dev $(dev $n)
             done
             for kind in parallel atomic; do
                 dpdk-test-eventdev $event_device -- --test=pipeline_atq --prod_type_ethdev \
                     --wlcores=1 --stlist=${{kind:0:1}} --nb_pkts=0 --pool_sz=4096 \
                     >/tmp/events 2>&1 & events=$!
                 wait_carrier 0 1; wait_carrier 1 1
                 for n in 0 1; do
                     before=$(counter $n '[hw] rx frames')
                     host $n ping -q -c 100 -i 0.01 -W 1 10.0.0.99 >/dev/null || true
                     until_so '[ $(($(counter $n \"[hw] rx frames\") - before)) -ge 100 ]'
                 done
                 kill -INT $events
                 wait $events
                 grep Result: /tmp/events | grep Success
             done
             for n in 0 1; do
                 host $n ip link set $(dev $n) promisc off
                 host $n ip neigh del 10.0.0.99 dev $(dev $n)
             done"
        ),
    )
    .map(drop)
}

/// The event driver's own test: what is enqueued to a queue comes out once, whole and in its
/// order, in parallel, atomic and over several queues. Its other four cases fail on any board:
/// one waits for events that the driver's stop throws away, and its events are still there in
/// the next ones.
fn events(vm: &mut TestVm) -> Result<()> {
    hosts::with_testpmd(
        vm,
        &format!(
            "{EVENT_DEVICE}
             echo eventdev_selftest_dpaa2 >/tmp/command
             stdbuf -o0 dpdk-test $event_device --log-level=pmd.event.dpaa2:info \
                 </tmp/command >/tmp/events 2>&1 & events=$!
             passed() {{
                 for case in simple_enqdeq_atomic simple_enqdeq_parallel \
                     multi_queue_enq_single_port_deq; do
                     grep -q \"test_$case Passed\" /tmp/events || return
                 done
             }}
             until_so passed || {{ tail -n 50 /tmp/events >&2; exit 1; }}
             kill -9 $events; wait $events || true"
        ),
    )
    .map(drop)
}

/// Of the suites that come with DPDK, those that run on a port or an event device as it is. What
/// an event device need not have is skipped.
fn suites(vm: &mut TestVm) -> Result<()> {
    let printed = hosts::with_testpmd(
        vm,
        &format!(
            "{EVENT_DEVICE}
             for suite in ethdev_api eventdev_common_autotest; do
                 printf '%s\\nquit\\n' $suite | dpdk-test $event_device 2>&1
             done"
        ),
    )?;
    ensure!(printed.matches("Test OK").count() == 2, "{printed}");
    let counts = |name: &str| -> Vec<&str> {
        let ends = printed.split(name).skip(1);
        ends.filter_map(|end| end.split_whitespace().next()).collect()
    };
    ensure!(counts("Tests Passed :") == ["1", "24"], "{printed}");
    ensure!(counts("Tests Failed :") == ["0", "0"], "{printed}");
    Ok(())
}

/// A process that forwards and one that answers, with a container each: Linux's pings go
/// through the first one's and come back from the second one's. That one is killed, and starts
/// again, while the first goes on.
fn two_containers() -> Result<()> {
    let machine = TestVm::with("guests")?.driver(Driver::Rust).with_packages()?.hugepages(256);
    let machine = machine.limit(Duration::from_secs(300)).options(|options| {
        options.machine.memory = 2 << 30;
        options.modules.push("fsl-dpaa2-eth".into());
    });
    machine.run(|vm| {
        // DPDK wants several portals for each of its threads, and a pool for its driver beside
        // that of the program.
        mgmt(vm, "create dpbp --in dprc.3 --plugged")?;
        mgmt(vm, "create dpio --in dprc.2 --count 6 --plugged")?;
        mgmt(vm, "create dpio --in dprc.3 --count 7 --plugged")?;
        vm.bind(&["dprc.2", "dprc.3"])?;
        vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
        let printed = hosts::with_testpmd(
            vm,
            "until_so '[ -d /sys/bus/fsl-mc/devices/dpni.0/net ]'
             make_host 0 $(ls /sys/bus/fsl-mc/devices/dpni.0/net) 10.0.0.1/24
             start_testpmd --forward-mode=io
             tell set promisc all on
             tell start
             mkfifo /tmp/two; exec 7<>/tmp/two
             for end in kill quit; do
                 DPRC=dprc.3 stdbuf -oL dpdk-testpmd --file-prefix=two -l 0-1 --main-lcore=1 \
                     -n 1 --log-level=lib.eal:warning -- --total-num-mbufs=4096 --nb-cores=1 \
                     --forward-mode=icmpecho --auto-start <&7 >/tmp/two.out 2>&1 &
                 two=$!
                 until_so 'grep -q \"Press enter\" /tmp/two.out' || cat /tmp/two.out >&2
                 wait_carrier 0 1
                 host 0 ping -q -c 200 -i 0.02 -W 5 10.0.0.99
                 case $end in
                 kill)
                     ip netns exec h0 ping -q -c 100 -i 0.02 10.0.0.99 >/dev/null & pings=$!
                     sleep 0.5; kill -9 $two; wait $two || [ $? = 137 ]
                     kill $pings; wait $pings || true ;;
                 quit) echo >&7; wait $two ;;
                 esac
             done
             quit",
        )?;
        ensure!(without_loss(&printed) == 2, "{printed}");
        Ok(())
    })
}
