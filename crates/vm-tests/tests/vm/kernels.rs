// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Debian's kernels other than the board's: stable's and testing's. Each finds the board's
//! objects, its own vfio-fsl-mc takes a container and gives it to user space, its own
//! network driver moves frames, and the guest's packages run on it.

use crate::{
    conformance, frames,
    guest::{SESSION, driver},
    layouts, trial, vfio,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use vm_tests::{Driver, KernelChoice, TestVm, artifacts, artifacts_of, hosts::hosts, layout_of};

/// The kernels: a name for the test, and how `--kernel` names it.
const KERNELS: [(&str, &str); 2] = [("stable", "debian:6.12"), ("testing", "debian:testing")];

pub fn trials() -> Vec<Trial> {
    let of_kernel = |(name, version): (&str, &'static str)| {
        [
            trial(format!("kernels::{name}::frames_and_packages"), move || works(version)),
            trial(format!("kernels::{name}::stock_driver_binds"), move || binds(version)),
        ]
    };
    let mut all: Vec<_> = KERNELS.into_iter().flat_map(of_kernel).collect();
    if std::env::var_os("FSLMC_SOAK").is_some() {
        all.push(trial("kernels::oldest::driver_in_rust", driver_in_rust));
    }
    all
}

/// The oldest kernel that the driver in Rust is for. What builds it takes minutes to make and
/// 720 MB to keep, for which no daily run has the time.
const OLDEST: &str = "debian:7.2+deb13";

/// It builds, binds, and is as it is on the board's kernel in what the kernel has most of a
/// say in.
fn driver_in_rust() -> Result<()> {
    let kernel = choice(OLDEST)?;
    let vm = TestVm::with("default")?.kernel(kernel.clone()).driver(Driver::Rust);
    vm.run(|vm| {
        vm.bind(&["dprc.2"])?;
        user_space(vm)
    })?;
    conformance::judge_on(kernel, &["info", "irqset", "mmap", "interrupts"])
}

fn choice(version: &str) -> Result<KernelChoice> {
    Ok(KernelChoice::parse(version, None)?)
}

fn binds(version: &str) -> Result<()> {
    vfio::binds_and_unbinds(TestVm::with("default")?.kernel(choice(version)?))
}

/// One boot: the bus, packages, a container in user space, frames.
fn works(version: &str) -> Result<()> {
    let kernel = choice(version)?;
    let artifacts = artifacts_of(&kernel, Driver::Stock)?;
    let release = artifacts.kernel.release();
    ensure!(release != self::artifacts()?.kernel.release(), "it is the board's own, {release}");
    let number = version.strip_prefix("debian:").filter(|v| v.starts_with(char::is_numeric));
    if let Some(wanted) = number {
        ensure!(release.starts_with(wanted), "{version} is {release}");
    }
    let expected = layout_of(&frames::layout("frames.dts"))?;
    frames::machine_of("frames.dts", artifacts, Driver::Stock)?.kernel(kernel).run(|vm| {
        frames::pair(vm)?;
        layouts::same_objects(&expected, &vm.devices()?)?;
        packages(vm, release)?;
        user_space(vm)?;
        let printed = hosts(vm, "host 0 ping -q -c 100 -i 0.01 -W 5 -s 1000 10.0.0.2")?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
        Ok(())
    })
}

fn packages(vm: &mut TestVm, release: &str) -> Result<()> {
    let said = vm.sh("uname -r; modprobe dummy; modinfo -F vermagic dummy; iperf3 --version")?;
    let mut lines = said.lines();
    ensure!(lines.next() == Some(release), "{said}");
    let built_for = lines.next().context("no vermagic")?;
    ensure!(built_for.starts_with(release), "{said}");
    ensure!(lines.next().is_some_and(|line| line.starts_with("iperf 3")), "{said}");
    Ok(())
}

/// The container that is bound is one group, and gives memory, a portal and resets.
fn user_space(vm: &mut TestVm) -> Result<()> {
    vm.wait_for_device("dprc.2", driver(Some("vfio-fsl-mc")))?;
    let devices = vm.devices()?;
    let bound = devices.iter().filter(|d| d.driver.as_deref() == Some("vfio-fsl-mc"));
    let groups: BTreeSet<_> = bound.map(|device| device.iommu_group).collect();
    ensure!(groups.len() == 1, "groups of dprc.2: {groups:?}");
    let pool = devices
        .iter()
        .find(|device| device.kind == "dpbp" && device.container.as_deref() == Some("dprc.2"));
    let pool = &pool.context("dprc.2 has no dpbp")?.name;
    vm.session(&SESSION, |session| {
        session.request("open dprc.2")?;
        session.request("map dprc.2 100000000 10000 both 5a")?;
        session.request("unmap dprc.2 100000000")?;
        let shown = session.request(&format!("show {pool}"))?;
        ensure!(shown.contains("bpid"), "{shown}");
        session.request(&format!("reset {pool}"))?;
        session.request("reset dprc.2").map(drop)
    })
}
