// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc demo --guest`: a container in the hands of a guest of the board's Linux.

use crate::{
    artifacts::{Artifacts, Driver},
    cli,
    interrupt::Interrupts,
    machine::MachineError,
    nested,
    progress::progress,
    session::{self, Booted, Request, RootChoice},
};
use board::dpl::layouts;
use board_qemu::{SharedDirectory, StopHandle, VmError};
use miette::{IntoDiagnostic, Result, miette};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// What tells the story, in the board.
const SCRIPT: &str = "guest.sh";

/// Memory of the board's Linux, at least: a quarter of it is the guest's.
const MEMORY: u64 = 1536 << 20;

/// Boots the board, and a guest in it. Returns an exit code: 0 only where each step really
/// happened.
///
/// # Errors
/// What kept it from running.
pub fn demo(args: &cli::Demo) -> Result<i32> {
    let kernel = args.machine.kernel.choice()?;
    let driver = args.driver.0.unwrap_or_else(|| Driver::usual(&kernel));
    let artifacts = Artifacts::with_kernel(&kernel, driver, &*progress())?;
    let stop = StopHandle::new();
    let _interrupts = Interrupts::catch(stop.clone()).into_diagnostic()?;
    // Until here a signal ends this process, which would leave the folder behind from now on.
    if !stop.begin() {
        return Err(MachineError::from(VmError::Stopped).into());
    }
    let folder = tempfile::tempdir().into_diagnostic()?;
    nested::prepare_plain(&artifacts, folder.path())?;
    fs::write(folder.path().join(SCRIPT), include_bytes!("guest.sh")).into_diagnostic()?;
    let machine = cli::MachineArgs {
        dpl: Some(layout(folder.path())?),
        virtualization: true,
        memory: args.machine.memory.max(MEMORY),
        ..args.machine.clone()
    };
    let start = Instant::now();
    println!("Booting unmodified Linux on an emulated DPAA2 board with a hypervisor's mode ...");
    let Booted { machine: mut board, set_up, boot } = session::boot(Request {
        machine: &machine,
        driver: Some(driver),
        shared: Some(SharedDirectory { path: folder.path().into(), read_only: false }),
        root: RootChoice::Initial,
        hugepages: 0,
        modules: vec!["fsl-dpaa2-eth".into()],
        new_interfaces: None,
        stop,
        watch: Box::new(|step| {
            tracing::debug!(what = step.what, ok = step.ok, step.detail, "guest")
        }),
    })?;
    println!("Linux {} is up after {:.1} s.\n", board.hello().kernel, boot.as_secs_f32());
    // Their portals are out of the way before Linux spreads those it finds over processors.
    board.bind(&["dprc.2".to_owned(), "dprc.3".to_owned()])?;
    board.load(&["fsl-mc-dpio", "fsl-dpaa2-eth"])?;
    let script = format!("{}/{SCRIPT}", crate::machine::SHARED_PATH);
    let code = super::tell(&mut board, &["sh", &script])?;
    board.power_off()?;
    let since_setup = start.elapsed().saturating_sub(set_up);
    println!("\nThe board is switched off; all of it took {:.1} s.", since_setup.as_secs_f32());
    Ok(code)
}

/// The layout with containers for guests, as a file.
fn layout(folder: &Path) -> Result<PathBuf> {
    let layout = layouts::find("guests").ok_or_else(|| miette!("there is no layout for guests"))?;
    let path = folder.join("guests.dts");
    fs::write(&path, layout.source).into_diagnostic()?;
    Ok(path)
}
