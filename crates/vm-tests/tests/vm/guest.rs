// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Words that several tests say to the guest.

use anyhow::{Result, ensure};
use guest_protocol::BusDevice;
use vm_tests::TestVm;

/// The program that answers lines about VFIO.
pub const SESSION: [&str; 3] = ["fslmc-guest", "vfio", "session"];

/// Drives the MC by the management interface; returns what the client prints.
pub fn mgmt(vm: &mut TestVm, words: &str) -> Result<String> {
    Ok(vm.sh(&format!("fslmc-guest mgmt {words}"))?.trim().to_owned())
}

/// The same for what must be refused, with words that the refusal must have.
pub fn mgmt_refused(vm: &mut TestVm, words: &str, expected: &[&str]) -> Result<()> {
    let output = vm.try_sh(&format!("fslmc-guest mgmt {words}"))?;
    ensure!(output.code != 0, "`{words}` is not refused: {}", output.stdout);
    let missing: Vec<_> = expected.iter().filter(|word| !output.stderr.contains(**word)).collect();
    ensure!(missing.is_empty(), "`{words}` is refused without {missing:?}: {}", output.stderr);
    Ok(())
}

/// How often the kernel has seen interrupts of an object.
pub fn interrupts(vm: &mut TestVm, object: &str) -> Result<u64> {
    vm.session(&SESSION, |session| session.request_number(&format!("seen {object}")))
}

/// A condition on a device: whether this driver has it, or none.
pub fn driver(name: Option<&'static str>) -> impl Fn(Option<&BusDevice>) -> bool {
    move |device| device.is_some_and(|device| device.driver.as_deref() == name)
}

/// A condition on a device: whether it is in this container.
pub fn inside(container: &str) -> impl Fn(Option<&BusDevice>) -> bool + '_ {
    move |device| device.is_some_and(|device| device.container.as_deref() == Some(container))
}

/// A condition: the absence of a device.
pub fn gone(device: Option<&BusDevice>) -> bool {
    device.is_none()
}

/// The messages of the kernel's log.
pub fn kernel_log(vm: &mut TestVm) -> Result<Vec<String>> {
    use guest_protocol::{Answer, Ask};
    match vm.ask(Ask::Dmesg { after: None })? {
        Answer::KernelLog(log) => Ok(log.into_iter().map(|message| message.text).collect()),
        other => anyhow::bail!("asked for the kernel's log, got {other:?}"),
    }
}

/// Makes sure that the kernel's log has a line with all these words.
pub fn expect_logged(vm: &mut TestVm, words: &[&str]) -> Result<()> {
    let log = kernel_log(vm)?;
    let found = log.iter().any(|line| words.iter().all(|word| line.contains(word)));
    ensure!(found, "no line of the kernel's log has {words:?}:\n{}", log.join("\n"));
    Ok(())
}
