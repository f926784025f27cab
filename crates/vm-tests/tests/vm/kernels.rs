// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Debian's kernels other than the board's: stable's and testing's. Each finds the board's
//! objects, its own vfio-fsl-mc takes a container, and the guest's packages run on it.

use crate::{layouts, trial, vfio};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use vm_tests::{Driver, KernelChoice, TestVm, artifacts, artifacts_of, layout};

/// The kernels: a name for the test, and how `--kernel` names it.
const KERNELS: [(&str, &str); 2] = [("stable", "debian:6.12"), ("testing", "debian:testing")];

pub fn trials() -> Vec<Trial> {
    let of_kernel = |(name, version): (&str, &'static str)| {
        let mut trials =
            vec![trial(format!("kernels::{name}::stock_driver_binds"), move || binds(version))];
        // 6.12 puts no dpmac into an IOMMU group, and its module for the packages' file
        // system asks for one that the image lacks: docs/kernels.md.
        if name != "stable" {
            trials.push(trial(format!("kernels::{name}::boots"), move || boots(version)));
            let packages = move || packages_run(version);
            trials.push(trial(format!("kernels::{name}::packages_run"), packages));
        }
        trials
    };
    KERNELS.into_iter().flat_map(of_kernel).collect()
}

fn choice(version: &str) -> Result<KernelChoice> {
    Ok(KernelChoice::parse(version, None)?)
}

fn boots(version: &str) -> Result<()> {
    let kernel = choice(version)?;
    let release = artifacts_of(&kernel, Driver::Stock)?.kernel.release();
    ensure!(release != artifacts()?.kernel.release(), "it is the board's own kernel, {release}");
    if let Some(wanted) =
        version.strip_prefix("debian:").filter(|v| v.starts_with(char::is_numeric))
    {
        ensure!(release.starts_with(wanted), "{version} is {release}");
    }
    layouts::boots_as(layout("default")?, |vm| vm.kernel(kernel))
}

fn binds(version: &str) -> Result<()> {
    vfio::binds_and_unbinds(TestVm::with("default")?.kernel(choice(version)?))
}

fn packages_run(version: &str) -> Result<()> {
    let kernel = choice(version)?;
    let release = artifacts_of(&kernel, Driver::Stock)?.kernel.release();
    TestVm::with("minimal")?.kernel(kernel).with_packages()?.run(|vm| {
        let said =
            vm.sh("uname -r; modprobe dummy; modinfo -F vermagic dummy; iperf3 --version")?;
        let mut lines = said.lines();
        ensure!(lines.next() == Some(release), "{said}");
        let built_for = lines.next().context("no vermagic")?;
        ensure!(built_for.starts_with(release), "{said}");
        ensure!(lines.next().is_some_and(|line| line.starts_with("iperf 3")), "{said}");
        Ok(())
    })
}
