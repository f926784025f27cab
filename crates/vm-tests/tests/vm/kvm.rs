// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A guest inside the guest that uses a QBMan portal as memory.
//!
//! KVM takes cacheable memory of a device for a slot only where the processor has
//! FEAT_S2FWB and CTR_EL0.DIC, so that no stale line can be seen past a guest's
//! caches (Linux `arch/arm64/kvm/mmu.c`). A Cortex-A72, the processor of LX2160A,
//! has neither, a Neoverse N2 has both.

use crate::trial;
use anyhow::{Context, Result, ensure};
use fslmc::artifacts::Driver;
use libtest_mimic::Trial;
use serde::Deserialize;
use std::time::Duration;
use vm_tests::{TestVm, TestVmBuilder};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("kvm::stock_refuses_without_fwb", stock_refuses_without_fwb),
        trial("kvm::stock_works_with_fwb", stock_works_with_fwb),
        trial("kvm::rust_works_without_fwb", rust_works_without_fwb),
        trial("kvm::rust_works_with_fwb", rust_works_with_fwb),
    ]
}

/// What `fslmc-guest kvm` prints.
#[derive(Debug, Deserialize)]
struct Report {
    /// Whether VFIO knows the guest.
    attached: bool,
    /// What KVM says of cacheable memory of devices.
    cacheable_slots: bool,
    /// How far it came: `slot`, `run`, `guest`, `done`.
    stage: String,
    /// What stopped it.
    error: Option<String>,
    /// What the guest reported.
    words: Vec<u64>,
    /// What it reports when its memory is memory.
    expected: Vec<u64>,
    /// How many bytes the host sees other than the guest wrote them.
    differences: Option<u64>,
}

impl Report {
    /// The guest came to its end and all it did is there.
    fn expect_done(&self) -> Result<()> {
        ensure!(
            self.stage == "done" && self.words == self.expected && self.differences == Some(0),
            "{self:x?}"
        );
        Ok(())
    }

    /// KVM does not take the region for a slot.
    fn expect_no_slot(&self) -> Result<()> {
        let invalid = self.error.as_deref().is_some_and(|error| error.starts_with("EINVAL"));
        ensure!(self.stage == "slot" && invalid, "{self:x?}");
        Ok(())
    }
}

/// A machine whose guest has KVM.
fn test_vm(cpu: &str) -> Result<TestVmBuilder> {
    Ok(TestVm::with("default")?.limit(Duration::from_secs(180)).options(|options| {
        options.machine.cpu = cpu.into();
        options.machine.virtualization = true;
    }))
}

/// Lets a guest of KVM use the memory-backed region of dpio.2.
fn attempt(vm: &mut TestVm, words: &str) -> Result<Report> {
    let output = vm.sh(&format!("fslmc-guest kvm dprc.2 dpio.2 {words}"))?;
    let report: Report = serde_json::from_str(&output).with_context(|| output.clone())?;
    ensure!(report.attached != words.contains("--unattached"), "{report:x?}");
    Ok(report)
}

/// Whether VFIO knows of the guest or not is the same to the driver of the kernel.
fn stock_refuses_without_fwb() -> Result<()> {
    test_vm("cortex-a72")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        for words in ["", "--unattached"] {
            let report = attempt(vm, words)?;
            ensure!(!report.cacheable_slots, "{report:x?}");
            report.expect_no_slot()?;
        }
        Ok(())
    })
}

fn stock_works_with_fwb() -> Result<()> {
    test_vm("neoverse-n2")?.run(|vm| {
        vm.bind(&["dprc.2"])?;
        for words in ["", "--unattached"] {
            let report = attempt(vm, words)?;
            ensure!(report.cacheable_slots, "{report:x?}");
            report.expect_done()?;
        }
        Ok(())
    })
}

/// A guest that VFIO knows of gets the region past the cache; without one the mapping is
/// what the kernel's own driver makes, which KVM refuses.
fn rust_works_without_fwb() -> Result<()> {
    test_vm("cortex-a72")?.driver(Driver::Rust).run(|vm| {
        vm.bind(&["dprc.2"])?;
        let report = attempt(vm, "")?;
        ensure!(!report.cacheable_slots, "{report:x?}");
        report.expect_done()?;
        attempt(vm, "--unattached")?.expect_no_slot()?;
        registers_are_no_memory(vm)
    })
}

fn rust_works_with_fwb() -> Result<()> {
    test_vm("neoverse-n2")?.driver(Driver::Rust).run(|vm| {
        vm.bind(&["dprc.2"])?;
        for words in ["", "--unattached"] {
            let report = attempt(vm, words)?;
            ensure!(report.cacheable_slots, "{report:x?}");
            report.expect_done()?;
        }
        registers_are_no_memory(vm)
    })
}

/// The region of registers stays a device's for a guest too: it can be in a slot, but
/// takes no store without alignment.
fn registers_are_no_memory(vm: &mut TestVm) -> Result<()> {
    let report = attempt(vm, "--region 1")?;
    let fault = report.error.as_deref().is_some_and(|error| error.starts_with("EFAULT"));
    ensure!(report.stage == "run" && fault, "{report:x?}");
    Ok(())
}
