// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Each way of going wrong ends with a clear message and leaves no process.

use crate::{
    program::{Running, Unread, fslmc, run, run_unread, wait_gone},
    trial,
};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use std::{path::Path, process::Command, thread, time::Duration};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("failures::the_emulator_is_killed", the_emulator_is_killed),
        trial("failures::qemu_is_killed", qemu_is_killed),
        trial("failures::interrupt_reaches_the_command", interrupt_reaches_the_command),
        trial("failures::termination_ends_the_machine", termination_ends_the_machine),
        trial("failures::too_much_memory", too_much_memory),
        trial("failures::no_place_for_sockets", no_place_for_sockets),
        trial("failures::a_full_disk_under_the_trace", a_full_disk_under_the_trace),
        trial("failures::nobody_reads_what_is_said", nobody_reads_what_is_said),
        trial("failures::a_hanging_mc", a_hanging_mc),
        trial("failures::a_restart_with_a_container_in_use", a_restart_with_a_container_in_use),
        trial("failures::a_restart_under_a_closing_holder", a_restart_under_a_closing_holder),
        trial("failures::a_restart_with_an_unbind_waiting", a_restart_with_an_unbind_waiting),
        trial("failures::the_stock_driver_keeps_a_restart_waiting", a_restart_waits),
    ]
}

/// A machine whose command has begun and goes on for long.
fn busy() -> Result<Running> {
    busy_as(|_| ())
}

fn busy_as(change: impl FnOnce(&mut Command)) -> Result<Running> {
    let mut command = fslmc(&["run", "--", "sh", "-c", "echo started; exec sleep 1000"]);
    change(&mut command);
    let mut running = Running::start(&mut command)?;
    running.wait_for("started")?;
    Ok(running)
}

/// What the killed program left behind goes at the next start, and nothing of a machine
/// that runs.
fn the_emulator_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let left = || Ok::<_, anyhow::Error>(std::fs::read_dir(folder.path())?.count());
    let here = |command: &mut Command| {
        command.env("XDG_RUNTIME_DIR", folder.path());
    };
    let other = busy_as(here)?;
    let running = busy_as(here)?;
    let qemu = running.qemu()?;
    running.signal(Signal::KILL)?;
    drop(running);
    wait_gone(qemu)?;
    ensure!(left()? == 2, "{} directories", left()?);
    let mut command = fslmc(&["run", "--", "true"]);
    here(&mut command);
    let ended = run(&mut command, b"")?;
    ensure!(ended.code() == Some(0), "{ended:?}");
    ensure!(left()? == 1, "{} directories", left()?);
    other.signal(Signal::TERM)?;
    other.wait()?;
    ensure!(left()? == 0, "{} directories", left()?);
    Ok(())
}

fn qemu_is_killed() -> Result<()> {
    let running = busy()?;
    kill_process(running.qemu()?, Signal::KILL)?;
    let ended = running.wait()?;
    ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    ensure!(ended.stderr.to_lowercase().contains("qemu"), "{}", ended.stderr);
    Ok(())
}

fn interrupt_reaches_the_command() -> Result<()> {
    let running = busy()?;
    let qemu = running.qemu()?;
    running.signal(Signal::INT)?;
    let ended = running.wait()?;
    ensure!(ended.code() == Some(130), "{ended:?}");
    wait_gone(qemu)
}

fn termination_ends_the_machine() -> Result<()> {
    let running = busy()?;
    let qemu = running.qemu()?;
    running.signal(Signal::TERM)?;
    let ended = running.wait()?;
    ensure!(ended.code() != Some(0), "{ended:?}");
    wait_gone(qemu)
}

fn too_much_memory() -> Result<()> {
    let ended = run(&mut fslmc(&["run", "--memory", "4000000G", "--", "true"]), b"")?;
    ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    ensure!(ended.stderr.contains("memory"), "{}", ended.stderr);
    Ok(())
}

fn no_place_for_sockets() -> Result<()> {
    let mut command = fslmc(&["run", "--", "true"]);
    command.env("XDG_RUNTIME_DIR", "/proc/no-such").env("TMPDIR", "/proc/no-such");
    let ended = run(&mut command, b"")?;
    ensure!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    ensure!(ended.stderr.contains("/proc/no-such"), "{}", ended.stderr);
    Ok(())
}

/// The trace ends, the machine does not.
fn a_full_disk_under_the_trace() -> Result<()> {
    let ended = run(&mut fslmc(&["run", "--trace=/dev/full", "--", "echo", "done"]), b"")?;
    ensure!(ended.code() == Some(0) && ended.stdout == "done\n", "{ended:?}");
    ensure!(ended.stderr.contains("the trace ends here"), "{}", ended.stderr);
    Ok(())
}

/// Whoever read standard error is gone: the trace and the console go nowhere, and the machine
/// lives on.
fn nobody_reads_what_is_said() -> Result<()> {
    let mut command = fslmc(&["run", "--trace", "--console", "--", "echo", "done"]);
    let ended = run_unread(&mut command, Unread::Errors)?;
    ensure!(ended.code() == Some(0) && ended.stdout == "done\n", "{ended:?}");
    Ok(())
}

/// Linux gives the bus up when the MC does not answer, and boots all the same.
fn a_hanging_mc() -> Result<()> {
    let arguments = ["run", "--inject", "0x831=hang", "--", "ls", "/sys/bus/fsl-mc/devices"];
    let ended = run(&mut fslmc(&arguments), b"")?;
    ensure!(ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.code() == Some(0), "{ended:?}");
    Ok(())
}

/// Linux's bus removes all of its devices when the machine goes down, whatever user space
/// holds: the driver keeps nobody waiting, and the command says how the guest has ended.
fn a_restart_with_a_container_in_use() -> Result<()> {
    restarts_calmly(&[], "reboot -f")
}

/// The holder closes the container when its driver has gone. The command that closes the root
/// container comes after that; meanwhile the machine still runs.
fn a_restart_under_a_closing_holder() -> Result<()> {
    let slow = ["--delay", "dprc.0x800=450ms"];
    restarts_calmly(&slow, "(sleep 0.3; kill $holder) & reboot -f")
}

/// Who unbinds a container that is held waits with its device locked, for which the machine waits.
fn a_restart_with_an_unbind_waiting() -> Result<()> {
    const UNBIND: &str = "echo dprc.2 >/sys/bus/fsl-mc/drivers/vfio-fsl-mc/unbind &
        until dmesg | grep -q 'is to be unbound'; do sleep 0.1; done; reboot -f";
    restarts_calmly(&[], UNBIND)
}

/// A machine restarts with a container in use, without a complaint of the kernel's.
fn restarts_calmly(options: &[&str], restart: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let console = folder.path().join("console");
    let ended = restart_in_use("rust", &console, options, restart)?.wait()?;
    ensure!(ended.code() == Some(1), "{ended:?}");
    // All of it: what the command prints of it has room for the end of a complaint only.
    let said = std::fs::read_to_string(&console)?;
    let complaints = ["Oops", "BUG:", "WARNING:", "Call trace", "blocked for more"];
    let is_calm = !complaints.iter().any(|complaint| said.contains(complaint));
    ensure!(is_calm && said.contains("reboot: Restarting system"), "{said}");
    Ok(())
}

/// Defect 24 of the kernel's own driver.
fn a_restart_waits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let console = folder.path().join("console");
    let mut running = restart_in_use("stock", &console, &[], "reboot -f")?;
    // With the other driver the machine is gone after less than a second.
    thread::sleep(Duration::from_secs(20));
    ensure!(running.is_running()?, "the machine has gone down");
    running.signal(Signal::TERM)?;
    running.wait().map(drop)
}

/// A machine that restarts while a program holds a container.
fn restart_in_use(
    driver: &str,
    console: &Path,
    options: &[&str],
    restart: &str,
) -> Result<Running> {
    const HOLD: &str = "mkfifo /tmp/said
        sleep 1000 | fslmc-guest vfio hold dprc.2 >/tmp/said & holder=$!
        read said </tmp/said; echo \"$said\"";
    let mut command = fslmc(&["run", "--driver", driver, "--bind", "dprc.2"]);
    command.arg(format!("--console={}", console.display()));
    command.args(options).args(["--", "sh", "-c"]);
    command.arg(format!("{HOLD}; {restart}; sleep 1000"));
    let mut running = Running::start(&mut command)?;
    running.wait_for("holding dprc.2")?;
    Ok(running)
}
