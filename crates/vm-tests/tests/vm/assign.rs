// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A container in the hands of a guest inside the guest: the VMM assigns it, an
//! unmodified Linux finds a Management Complex of its own and moves frames.

use crate::{guest::mgmt, rings, trial};
use anyhow::{Context, Result, ensure};
use fslmc::{
    artifacts::{Artifacts, Driver},
    nested,
};
use libtest_mimic::Trial;
use std::{path::Path, thread, time::Duration};
use vm_tests::{
    KernelChoice, TestVm, TestVmBuilder,
    inner::{l2, say, say_long, start},
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("assign::a_guest_reaches_the_host", a_guest_reaches_the_host),
        trial("assign::guests_end_and_start_again", guests_end_and_start_again),
        trial("assign::two_guests_reach_each_other", two_guests_reach_each_other),
        trial("assign::the_vmm_binds_and_objects_come_and_go", binds_and_hot_plugs),
        trial("assign::a_portal_goes_while_it_is_used", a_portal_goes_while_it_is_used),
        trial("assign::a_command_is_one_exit", a_command_is_one_exit),
        trial("assign::a_hostile_guest_reaches_nothing", a_hostile_guest_reaches_nothing),
        trial("assign::stables_kernel_on_an_lx2160as_processor", older_kernel_and_processor),
        trial("assign::what_the_stock_driver_cannot_is_told", stock_driver),
    ]
}

/// What a hostile guest runs.
const ATTACK: &str = "mc-attack";

/// A machine with KVM and two containers for guests, the first of which is connected
/// with the host's interface.
pub fn machine(cpu: &str, driver: Driver, folder: &Path) -> Result<TestVmBuilder> {
    machine_for(vm_tests::artifacts_with(driver)?, cpu, driver, folder)
}

/// The same, whose guests have the kernel of these artifacts.
fn machine_for(
    inner: &Artifacts,
    cpu: &str,
    driver: Driver,
    folder: &Path,
) -> Result<TestVmBuilder> {
    let programs = [ATTACK, rings::ATTACK, TIMER];
    nested::prepare(inner, vm_tests::guest_programs()?, &programs, folder)?;
    Ok(TestVm::with("guests")?
        .driver(driver)
        .limit(Duration::from_secs(900))
        .share(folder)
        .options(|options| {
            options.machine.cpu = cpu.into();
            options.machine.virtualization = true;
            options.machine.memory = 1536 << 20;
            options.modules.push("fsl-dpaa2-eth".into());
        }))
}

/// The usual machine, with the host's side ready.
fn run(test: impl FnOnce(&mut TestVm) -> Result<()>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.run(|vm| {
        prepare_host(vm)?;
        test(vm)
    })
}

/// The host's interface is 10.0.0.1, and the portals of the containers are out of the
/// way before Linux's own driver spreads portals over its processors.
pub fn prepare_host(vm: &mut TestVm) -> Result<()> {
    vm.bind(&["dprc.2", "dprc.3"])?;
    vm.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    vm.sh("set -e
         for try in $(seq 100); do
             [ -d /sys/bus/fsl-mc/devices/dpni.0/net ] && break
             sleep 0.1
         done
         a=$(ls /sys/bus/fsl-mc/devices/dpni.0/net)
         ip addr add 10.0.0.1/24 dev $a; ip link set $a up")?;
    Ok(())
}

/// Lets a guest run a line that it does not survive; gives the VMM's exit code.
pub fn last_words(vm: &mut TestVm, guest: &str, line: &str) -> Result<i32> {
    if let Ok(printed) = say(vm, guest, line) {
        anyhow::bail!("{guest} survives `{line}`: {printed}");
    }
    let code = vm.sh(&l2(&format!("wait {guest}")))?;
    code.trim().parse().with_context(|| format!("exit code {code:?}"))
}

/// Brings an interface of a guest's up.
fn set_up(vm: &mut TestVm, guest: &str, object: &str, address: &str) -> Result<()> {
    let interface = format!("a=$(ls /sys/bus/fsl-mc/devices/{object}/net)");
    let line = format!("{interface}; ip addr add {address}/24 dev $a; ip link set $a up");
    say(vm, guest, &line).map(drop)
}

/// Waits for an interface's carrier, which comes when the other end is up as well.
fn await_carrier(vm: &mut TestVm, guest: &str, object: &str) -> Result<()> {
    let line = format!(
        "a=$(ls /sys/bus/fsl-mc/devices/{object}/net); for try in $(seq 100); do \
         [ \"$(cat /sys/class/net/$a/carrier)\" = 1 ] && break; sleep 0.1; done; \
         cat /sys/class/net/$a/carrier"
    );
    let carrier = say(vm, guest, &line)?;
    ensure!(carrier.trim() == "1", "{object} of {guest}: no carrier: {carrier}");
    Ok(())
}

/// Both, for an interface whose other end is the host's.
pub fn bring_up(vm: &mut TestVm, guest: &str, object: &str, address: &str) -> Result<()> {
    set_up(vm, guest, object, address)?;
    await_carrier(vm, guest, object)
}

fn ping(address: &str, count: u32) -> String {
    format!("ping -q -c {count} -i 0.01 -W 5 {address}")
}

fn expect_no_loss(vm: &mut TestVm, guest: &str, address: &str, count: u32) -> Result<()> {
    let printed = say(vm, guest, &ping(address, count))?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    Ok(())
}

/// Nothing of a guest's is left in the host's kernel.
fn expect_nothing_left(vm: &mut TestVm) -> Result<()> {
    let lines = vm.sh("grep vfio-irq /proc/interrupts || true")?;
    ensure!(lines.is_empty(), "interrupts are left: {lines}");
    Ok(())
}

fn a_guest_reaches_the_host() -> Result<()> {
    run(|vm| {
        start(vm, "one", "--assign dprc.2")?;
        let bus = say(vm, "one", "ls /sys/bus/fsl-mc/devices")?;
        for object in ["dprc.2", "dpni.1", "dpio.2", "dpmcp.9", "dpbp.2", "dpcon.4"] {
            ensure!(bus.split_whitespace().any(|name| name == object), "no {object}: {bus}");
        }
        ensure!(!bus.contains("dprc.1") && !bus.contains("dpni.0"), "the host's objects: {bus}");
        // The VMM has given up what it does not need (proc_pid_status(5): 2 is a filter).
        let status = vm.sh("cat /proc/$(cat /tmp/l2/one/pid)/status")?;
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            ensure!(status.contains(line), "{line}: {status}");
        }
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "one", "10.0.0.1", 1000)?;
        let printed = vm.sh(&ping("10.0.0.2", 1000))?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        expect_nothing_left(vm)?;
        // Nobody has it any more. Linux's own drivers do not get it: its objects are not
        // those of the portals that they have.
        vm.sh("echo dprc.2 >/sys/bus/fsl-mc/drivers/vfio-fsl-mc/unbind").map(drop)
    })
}

/// Debian stable's kernel, in a guest on a processor without FEAT_S2FWB.
fn older_kernel_and_processor() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stable = vm_tests::artifacts_of(&KernelChoice::parse("debian:6.12", None)?, Driver::Stock)?;
    machine_for(stable, "cortex-a72", Driver::Rust, folder.path())?.run(|vm| {
        prepare_host(vm)?;
        start(vm, "one", "--assign dprc.2")?;
        let release = say(vm, "one", "uname -r")?;
        ensure!(release.trim() == stable.kernel.release(), "{release}");
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "one", "10.0.0.1", 200)?;
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        expect_nothing_left(vm)
    })
}

/// With the stock driver, such a processor cannot share software portals with a guest.
fn stock_driver() -> Result<()> {
    for (cpu, told) in [("cortex-a72", true), ("neoverse-n2", false)] {
        let folder = tempfile::tempdir()?;
        machine(cpu, Driver::Stock, folder.path())?.run(|vm| {
            vm.bind(&["dprc.3"])?;
            // The kernel that is not there is told in any case, so that nothing starts.
            let output = vm.try_sh("fslmc assign dprc.2 --kernel /no/such")?;
            let sentence = "a processor with FEAT_S2FWB";
            ensure!(output.code == 1, "{output:?}");
            ensure!(output.stderr.contains(sentence) == told, "{cpu}: {output:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// However a guest ends, the next one starts at once, in the same container, and the
/// host's side goes on as before.
fn guests_end_and_start_again() -> Result<()> {
    run(|vm| {
        let before = vm.board()?.mc().inventory();
        start(vm, "one", "--assign dprc.2")?;
        bring_up(vm, "one", "dpni.1", "10.0.0.2")?;
        say(vm, "one", "ping -i 0.01 10.0.0.1 >/dev/null &")?;
        thread::sleep(Duration::from_secs(1));
        vm.sh(&l2("kill one"))?;
        expect_nothing_left(vm)?;

        start(vm, "two", "--assign dprc.2 --restart")?;
        bring_up(vm, "two", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "two", "10.0.0.1", 100)?;
        vm.sh(&l2("reboot two"))?;
        bring_up(vm, "two", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "two", "10.0.0.1", 100)?;
        ensure!(last_words(vm, "two", "poweroff -f")? == 0, "the VMM fails");

        start(vm, "three", "--assign dprc.2")?;
        bring_up(vm, "three", "dpni.1", "10.0.0.2")?;
        let code = last_words(vm, "three", "echo c >/proc/sysrq-trigger")?;
        ensure!(code == 3, "a panic ends the VMM with {code}");
        expect_nothing_left(vm)?;

        killed_at_any_time(vm)?;
        let after = vm.board()?.mc().inventory();
        ensure!(after == before, "{before:?}\n{after:?}");
        start(vm, "four", "--assign dprc.2")?;
        bring_up(vm, "four", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "four", "10.0.0.1", 100)
    })
}

/// How often a guest is killed; a hundred times with `FSLMC_SOAK` in the environment.
fn kills() -> u32 {
    if std::env::var_os("FSLMC_SOAK").is_some() { 100 } else { 8 }
}

/// KiB of the kernel's own memory that may be more in the end: caches of each processor fill
/// and empty. A leak of a page in each cycle of a hundred is more.
const SLACK: i64 = 300;

/// The VMM is killed while it starts, while its guest boots, and while that runs: the host's
/// kernel has the same memory, IOMMU mappings and interrupts as before.
fn killed_at_any_time(vm: &mut TestVm) -> Result<()> {
    // The first ones make what stays.
    for tenths in [5, 15, 25] {
        kill_after(vm, tenths)?;
    }
    let before = kernel_memory(vm)?;
    for cycle in 0..kills() {
        kill_after(vm, 1 + cycle % 8 * 4)?;
    }
    expect_nothing_left(vm)?;
    let after = kernel_memory(vm)?;
    let (grown, mapped) = (after.0 - before.0, (before.1, after.1));
    eprintln!("{} guests killed: {grown} KiB more, pages of the IOMMU {mapped:?}", kills());
    ensure!(mapped.0 == mapped.1, "pages of the IOMMU's tables: {mapped:?}");
    ensure!(grown <= SLACK, "{grown} KiB of the kernel's memory are gone: {before:?}, {after:?}");
    Ok(())
}

fn kill_after(vm: &mut TestVm, tenths: u32) -> Result<()> {
    vm.sh(&format!(
        "/tmp/l2/fslmc-vmm --kernel /tmp/l2/Image --initramfs /tmp/l2/initramfs --assign dprc.2 \
             </dev/null >/dev/null 2>&1 & vmm=$!
         sleep {}.{}
         kill -9 $vmm || {{ echo it has ended by itself >&2; exit 1; }}
         wait $vmm || true",
        tenths / 10,
        tenths % 10
    ))
    .map(drop)
}

/// KiB that the kernel has for itself, once it has given back what it can, and pages of the
/// IOMMU's tables.
fn kernel_memory(vm: &mut TestVm) -> Result<(i64, i64)> {
    let printed = vm.sh("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1
         awk '/^(Slab|KernelStack|PageTables|SecPageTables|Percpu):/ { sum += $2 }
              END { print sum }' /proc/meminfo
         sed -n 's/^nr_iommu_pages //p' /proc/vmstat")?;
    let numbers: Vec<i64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    match numbers[..] {
        [memory, pages] => Ok((memory, pages)),
        _ => anyhow::bail!("the kernel does not tell its memory: {printed}"),
    }
}

fn two_guests_reach_each_other() -> Result<()> {
    run(|vm| {
        start(vm, "one", "--assign dprc.2")?;
        start(vm, "two", "--assign dprc.3")?;
        set_up(vm, "one", "dpni.2", "10.0.1.2")?;
        set_up(vm, "two", "dpni.3", "10.0.1.3")?;
        await_carrier(vm, "one", "dpni.2")?;
        await_carrier(vm, "two", "dpni.3")?;
        expect_no_loss(vm, "one", "10.0.1.3", 1000)?;
        expect_no_loss(vm, "two", "10.0.1.2", 100)?;
        for guest in ["one", "two"] {
            ensure!(last_words(vm, guest, "poweroff -f")? == 0, "the VMM of {guest} fails");
        }
        expect_nothing_left(vm)
    })
}

/// What a guest times commands with.
const TIMER: &str = "fslmc-guest";

/// A command leaves its guest once for the VMM, and without pages for portals for each word
/// that goes in or out. Two processors that use a portal each do not disturb each other.
fn a_command_is_one_exit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.run(|vm| {
        prepare_host(vm)?;
        for (option, expected) in [("", 0.9..1.5), ("--no-portal-pages", 15.5..17.5)] {
            // No driver of the guest's has a `dpmcp`.
            let append = "--append 'nomodules iomem=relaxed'";
            start(vm, "one", &format!("{append} --cpus 2 --assign dprc.2 {option}"))?;
            let exits = exits_of_a_command(vm)?;
            eprintln!("{option}: {exits:.2} exits to the VMM");
            ensure!(expected.contains(&exits), "{option}: {exits} exits");
            two_at_once(vm)?;
            ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        }
        expect_nothing_left(vm)
    })
}

/// How often a command of a guest's leaves it for the VMM, on the mean: what more commands add.
fn exits_of_a_command(vm: &mut TestVm) -> Result<f64> {
    let mut exits = Vec::new();
    for count in [MANY, 2 * MANY] {
        let before = exits_to_the_vmm(vm)?;
        say(vm, "one", &format!("{TIMER} mgmt time --count {count} --root dprc.2"))?;
        exits.push(exits_to_the_vmm(vm)? - before);
    }
    Ok((exits[1] - exits[0]) / f64::from(MANY))
}

/// Both get answers to what they ask, and to nothing else: at the container's own portal, and
/// at the last of those of a `dpmcp`.
fn two_at_once(vm: &mut TestVm) -> Result<()> {
    let attack = |portal: &str, seed: u32| {
        format!(
            "{ATTACK} --portal {portal} --container dprc.2 --object dpni.1 --object dpmcp.9 \
             --commands {MANY} --seed {seed} >/tmp/{seed} 2>&1"
        )
    };
    let line = format!(
        "{} & {}; second=$?; wait $!; first=$?; cat /tmp/1 /tmp/2; [ $first$second = 00 ]",
        attack("10000000", 1),
        attack("10060000", 2)
    );
    let printed = say(vm, "one", &line)?;
    ensure!(printed.matches("\"Ok\":").count() == 2, "{printed}");
    Ok(())
}

/// Commands that are timed.
const MANY: u32 = 300;

/// Accesses to devices that have left guests for the VMM, until now.
fn exits_to_the_vmm(vm: &mut TestVm) -> Result<f64> {
    let printed = vm.sh("cd /sys/kernel/debug; [ -d kvm ] || mount -t debugfs debugfs .
         cat /sys/kernel/debug/kvm/mmio_exit_user")?;
    printed.trim().parse().with_context(|| printed.clone())
}

/// How often an object of each kind comes and goes; a hundred times with `FSLMC_SOAK` in the
/// environment.
fn cycles() -> u32 {
    if std::env::var_os("FSLMC_SOAK").is_some() { 100 } else { 5 }
}

/// `fslmc assign` binds the container itself, and gives it back, after a signal too. What is
/// missing it tells before it touches anything. What the host makes and destroys meanwhile
/// comes and goes in the guest.
fn binds_and_hot_plugs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    machine("neoverse-n2", Driver::Rust, folder.path())?.run(|vm| {
        // Loads the modules; dprc.2 stays with the host.
        vm.bind(&["dprc.3"])?;
        let of_host = |driver: Option<&str>| driver == Some("fsl_mc_dprc");
        let wrong = "fslmc assign dprc.2 dprc.9 --kernel /no/such --memory 64G";
        let output = vm.try_sh(wrong)?;
        for part in ["/no/such: No such file", "dprc.9"] {
            ensure!(output.code == 1 && output.stderr.contains(part), "{part}: {output:?}");
        }
        vm.wait_for_device("dprc.2", |device| of_host(device.and_then(|d| d.driver.as_deref())))?;
        vm.sh(&format!("VMM='fslmc assign dprc.2' {}", l2("start one")))?;
        let bus = say(vm, "one", "ls /sys/bus/fsl-mc/devices")?;
        ensure!(bus.contains("dprc.2") && bus.contains("dpni.1"), "{bus}");
        for kind in ["dpbp", "dpcon", "dpni"] {
            for _ in 0..cycles() {
                comes_and_goes(vm, "one", kind)?;
            }
        }
        let after = say(vm, "one", "ls /sys/bus/fsl-mc/devices")?;
        ensure!(bus == after, "{bus}\n{after}");
        let code = vm.sh(&l2("term one"))?;
        ensure!(code.trim() == "143", "SIGTERM ends it with {code}");
        vm.wait_for_device("dprc.2", |device| of_host(device.and_then(|d| d.driver.as_deref())))
    })
}

fn comes_and_goes(vm: &mut TestVm, guest: &str, kind: &str) -> Result<()> {
    let object = mgmt(vm, &format!("create {kind} --in dprc.2 --plugged"))?;
    let object = object.trim();
    await_coming(vm, guest, object)?;
    mgmt(vm, &format!("destroy {object} --in dprc.2"))?;
    await_going(vm, guest, object)
}

/// Waits until a guest's bus has an object.
fn await_coming(vm: &mut TestVm, guest: &str, object: &str) -> Result<()> {
    say(vm, guest, &until("", object)).with_context(|| format!("{object} does not come")).map(drop)
}

/// Waits until a guest's bus has an object no more.
fn await_going(vm: &mut TestVm, guest: &str, object: &str) -> Result<()> {
    say(vm, guest, &until("!", object)).with_context(|| format!("{object} does not go")).map(drop)
}

fn until(wanted: &str, object: &str) -> String {
    let is_so = format!("{wanted} [ -e /sys/bus/fsl-mc/devices/{object} ]");
    format!("for t in $(seq 200); do {is_so} && break; sleep 0.05; done; {is_so}")
}

/// The host takes a software portal away into which the guest stores all the time: the guest lives
/// on, and the other one works.
fn a_portal_goes_while_it_is_used() -> Result<()> {
    run(|vm| {
        let options = format!("--append 'nomodules iomem=relaxed {}' --assign dprc.2", rings::KEPT);
        start(vm, "one", &options)?;
        say(vm, "one", &rings::without_end("dprc.2", "10000000"))?;
        // It has to begin, which no one tells.
        std::thread::sleep(Duration::from_secs(2));
        say(vm, "one", &format!("pidof {}", rings::ATTACK)).context("nobody stores")?;
        mgmt(vm, "destroy dpio.2 --in dprc.2")?;
        await_going(vm, "one", "dpio.2")?;
        // It may have given up already, since a portal that is gone does not recover.
        say(vm, "one", &format!("killall {} || true", rings::ATTACK))?;
        rings::from_within(vm, "one", "dprc.2", "10000000")?;
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        expect_nothing_left(vm)
    })
}

/// Commands of the short run of an attack; `FSLMC_ATTACK` names another number.
const COMMANDS: u64 = 1000;

/// Random and mutated commands from inside a guest, through the container's own portal
/// and through one of a `dpmcp`; then random rings and doorbells of its software portals, and
/// frames in memory that it does not have.
fn a_hostile_guest_reaches_nothing() -> Result<()> {
    let count = rings::steps(COMMANDS);
    // Each leaves the inner guest eight times, and that is slow.
    let patience = Duration::from_secs(60 + count / 10);
    let limit = Duration::from_secs(900) + patience + rings::patience_within();
    let folder = tempfile::tempdir()?;
    let machine = machine("neoverse-n2", Driver::Rust, folder.path())?;
    machine.limit(limit).run(|vm| {
        prepare_host(vm)?;
        let before = view::of(vm)?;
        // No driver of the guest's has a `dpmcp`; the first places of the window are those
        // of the container and the six that it has.
        let options = format!("--append 'nomodules iomem=relaxed {}' --assign dprc.2", rings::KEPT);
        start(vm, "one", &options)?;
        let named = |option: &str, names: &str| -> String {
            names.split_whitespace().map(|name| format!(" --{option} {name}")).collect()
        };
        let own = named("object", "dpni.1 dpio.2 dpmcp.9 dpbp.2 dpcon.4");
        let foreign = named("foreign", "dprc.1 dprc.3 dpni.0 dpni.3 dpio.0 dpmcp.1 dpcon.8");
        let portals = "--portal 10000000 --portal 10060000";
        let attack =
            format!("{ATTACK} {portals} --container dprc.2{own}{foreign} --commands {count}");
        let report = say_long(vm, "one", &attack, patience)?;
        eprintln!("{}", report.lines().next().unwrap_or_default());
        // It has tried; where one is opened for it, it fails.
        let tried = report.contains("\"refused_foreign_opens\":");
        ensure!(tried && !report.contains("\"refused_foreign_opens\":0,"), "{report}");
        let (icid, faults) = (vm.icid("dprc.2")?, rings::Faults::so_far(vm)?);
        rings::from_within(vm, "one", "dprc.2", "10000000")?;
        faults.and_more_are_of(vm, icid)?;
        before.expect_unharmed(&view::of(vm)?, "dprc.2")?;
        // The kernel's portal answers, and the guest that follows has a container that works.
        mgmt(vm, "version")?;
        ensure!(last_words(vm, "one", "poweroff -f")? == 0, "the VMM fails");
        start(vm, "two", "--assign dprc.2")?;
        bring_up(vm, "two", "dpni.1", "10.0.0.2")?;
        expect_no_loss(vm, "two", "10.0.0.1", 100)
    })
}

/// What no guest may change, as the board itself has it.
mod view {
    use anyhow::{Context, Result, anyhow, ensure};
    use board::{Board, mc::Inventory};
    use mc_abi::{Message, ObjectId, Request, Status, Token, Wire, common, dprc};
    use std::collections::{BTreeMap, BTreeSet};
    use vm_tests::TestVm;

    pub struct View {
        inventory: Inventory,
        interrupts: BTreeMap<(ObjectId, u8), Interrupt>,
        /// Whether an object is on; `None` where it is not switched on and off.
        enabled: BTreeMap<ObjectId, Option<bool>>,
    }

    #[derive(Debug, PartialEq)]
    struct Interrupt {
        address: u64,
        value: u32,
        enabled: bool,
        mask: u32,
    }

    pub fn of(vm: &mut TestVm) -> Result<View> {
        let board = vm.board()?;
        let inventory = board.mc().inventory();
        let (mut interrupts, mut enabled) = (BTreeMap::new(), BTreeMap::new());
        for container in &inventory.containers {
            let token = open(&board, container.id)?;
            interrupts.insert((container.id, 0), interrupt(&board, token, 0)?);
            for object in &container.objects {
                let (id, kind) = (object.id.id, object.id.kind);
                let described = ask(&board, token, &dprc::GetObjectDescription { id, kind })?;
                let opened = open(&board, object.id)?;
                for index in 0..described.object.irqs {
                    let set = interrupt(&board, opened, index)?;
                    interrupts.insert((object.id, index), set);
                }
                let is_on = ask(&board, opened, &common::IsEnabled {}).ok();
                enabled.insert(object.id, is_on.map(|reply| reply.enabled));
                exchange(&board, &Message::close(opened))?;
            }
            exchange(&board, &Message::close(token))?;
        }
        Ok(View { inventory, interrupts, enabled })
    }

    fn interrupt(board: &Board, token: Token, index: u8) -> Result<Interrupt> {
        let set = ask(board, token, &common::GetIrq { index })?;
        let enabled = ask(board, token, &common::GetIrqEnable { index })?.enabled;
        let mask = ask(board, token, &common::GetIrqMask { index })?.mask;
        Ok(Interrupt { address: set.address, value: set.value, enabled, mask })
    }

    /// The ITS's doorbell in an address space of VFIO: where Linux maps it
    /// (drivers/iommu/arm/arm-smmu/arm-smmu.c, MSI_IOVA_BASE), and GITS_TRANSLATER's place in
    /// its page.
    const VFIO_DOORBELL: u64 = 0x800_0000 + 0x40;

    impl View {
        /// Everything that is not in the guest's container is as before. The guest may switch
        /// its own objects as it likes, and the host's kernel may have set their interrupts, to
        /// where it sets all.
        pub fn expect_unharmed(&self, now: &Self, container: &str) -> Result<()> {
            ensure!(self.inventory == now.inventory, "{:?}\n{:?}", self.inventory, now.inventory);
            let own = self.objects_of(container)?;
            let doorbell = self.interrupts.values().map(|set| set.address).max();
            let by_host = [Some(0), Some(VFIO_DOORBELL), doorbell];
            for (key, set) in &now.interrupts {
                let before = self.interrupts.get(key);
                let moved = before.map(|set| (set.address, set.value));
                let is_fine = if own.contains(&key.0) {
                    moved == Some((set.address, set.value)) || by_host.contains(&Some(set.address))
                } else {
                    before == Some(set)
                };
                ensure!(is_fine, "{key:?}: {before:x?} is now {set:x?}");
            }
            for (object, is_on) in &now.enabled {
                let before = self.enabled.get(object);
                let is_fine = own.contains(object) || before == Some(is_on);
                ensure!(is_fine, "{object}, on: {before:?} is now {is_on:?}");
            }
            Ok(())
        }

        /// A container and what it holds.
        fn objects_of(&self, name: &str) -> Result<BTreeSet<ObjectId>> {
            let mut all = self.inventory.containers.iter();
            let found = all.find(|container| container.id.to_string() == name);
            let found = found.with_context(|| format!("the MC has no {name}"))?;
            let objects = found.objects.iter().map(|object| object.id);
            Ok(objects.chain([found.id]).collect())
        }
    }

    /// Through the root's portal, past its registers, which are the kernel's.
    fn exchange(board: &Board, message: &Message) -> Result<Message> {
        let answer = board.mc().execute(0, message);
        match answer.header.status() {
            Status::Ok => Ok(answer),
            status => Err(anyhow!("{message:?}: {status}")),
        }
    }

    fn open(board: &Board, object: ObjectId) -> Result<Token> {
        let message = Message::open(object);
        Ok(exchange(board, &message)?.header.token())
    }

    fn ask<R: Request>(board: &Board, token: Token, request: &R) -> Result<R::Reply> {
        let answer = exchange(board, &request.message(token))?;
        R::Reply::decode(&answer.params, R::MAX_VERSION).map_err(|error| anyhow!("{error:?}"))
    }
}
