// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Brings in the sets that are named and tells what is there.
//!
//! `cargo run -p setup --example fetch -- board cross kernel-build [refresh|verify|reinstall]`

use setup::{Cache, PackageSet, Terminal};

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> setup::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| words.iter().any(|word| word == name);
    let sets: Vec<PackageSet> =
        PackageSet::ALL.into_iter().filter(|set| given(set.name())).collect();
    let progress = Terminal::new();
    let cache = Cache::from_env()?;
    if given("verify") {
        cache.verify(&sets, &progress)?;
    }
    let packages = if given("refresh") {
        cache.refresh(&sets, &progress)?
    } else if given("reinstall") {
        cache.reinstall(&sets, &progress)?
    } else {
        cache.ensure(&sets, &progress)?
    };
    for set in &sets {
        println!("{}: {}", set.name(), packages.tree(*set)?.display());
    }
    if sets.contains(&PackageSet::Board) {
        let kernel = packages.kernel()?;
        println!("kernel {}: {}", kernel.release(), kernel.image().display());
        for module in
            kernel.modules(&["vfio-fsl-mc", "vfio_iommu_type1", "virtio-mmio", "fsl-mc-dpio"])?
        {
            println!("  {}: {} bytes", module.name, module.bytes.len());
        }
    }
    Ok(())
}
