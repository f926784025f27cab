// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc run`: a command, or a shell, on the board.

use crate::{
    agent::Streams,
    artifacts::Driver,
    cli,
    interrupt::Interrupts,
    machine::SHARED_PATH,
    session::{self, Booted, Request, RootChoice},
    terminal::{RawTerminal, Typed, is_in_background},
};
use board::mc::{ContainerInventory, Inventory};
use board_qemu::{SharedDirectory, StopHandle};
use guest_protocol::{Run, Status, Terminal};
use mc_abi::ObjectType;
use miette::{Context, IntoDiagnostic, Result, miette};
use std::{io, path::Path};

/// Linux's driver of network interfaces.
const ETHERNET: &str = "fsl-dpaa2-eth";

/// Boots, runs, and returns the exit code of the command.
///
/// # Errors
/// What kept the command from running.
pub fn run(args: &cli::Run) -> Result<i32> {
    if args.driver.0 == Some(Driver::None) && !args.bind.is_empty() {
        return Err(miette!(
            help = "leave out --driver none, or --bind",
            "--bind needs a vfio-fsl-mc driver, and --driver none loads none"
        ));
    }
    // Before anything is fetched or booted.
    if args.command.is_empty() && is_in_background() {
        return Err(miette!(
            help = "start it in the foreground, or name a command: fslmc run -- COMMAND",
            "a shell in the guest needs the terminal, which is another program's at the moment"
        ));
    }
    let words = args.words()?;
    // A container cannot be bound without: one that the kernel lacks is an error then.
    let driver = match args.driver.0 {
        None if !args.bind.is_empty() => Some(Driver::usual(&args.machine.kernel.choice()?)),
        driver => driver,
    };
    let stop = StopHandle::new();
    let interrupts = Interrupts::catch(stop.clone()).into_diagnostic()?;
    let shared = if args.no_share { None } else { Some(shared(&args.share, args.read_only)?) };
    let cwd = if shared.is_some() { SHARED_PATH } else { "/" };
    let Booted { mut machine, .. } = session::boot(Request {
        machine: &args.machine,
        driver,
        shared,
        root: root(args)?,
        hugepages: args.hugepages,
        modules: args.modules.clone(),
        new_interfaces: None,
        stop: stop.clone(),
        watch: Box::new(|step| {
            tracing::debug!(what = step.what, ok = step.ok, step.detail, "guest")
        }),
    })?;
    // Containers for user space first: the portals that remain are those that
    // the kernel's own driver spreads over the processors.
    // A driver that was asked for is loaded even if it gets nothing yet.
    let wants_driver = matches!(args.driver.0, Some(Driver::Rust | Driver::Stock));
    if wants_driver || !args.bind.is_empty() {
        machine.bind(&args.bind)?;
    }
    if args.modules.iter().any(|module| module.replace('_', "-") == ETHERNET) {
        takes_no_others(&machine.board().mc().inventory(), &args.bind)?;
    }
    machine.load_portals()?;
    for module in &args.modules {
        machine.load(&[module])?;
    }
    let terminal = args.command.is_empty() || is_terminal();
    let raw = if terminal { RawTerminal::enter().into_diagnostic()? } else { None };
    let remote = machine.agent().remote().map_err(|e| machine.explain(e))?;
    interrupts.pass_to(remote, raw.is_some());
    let command = Run {
        argv: words,
        cwd: Some(cwd.into()),
        env: Vec::new(),
        terminal: raw.as_ref().map(|raw| Terminal {
            rows: raw.size().0,
            columns: raw.size().1,
            name: std::env::var("TERM").unwrap_or_else(|_| "vt100".into()),
        }),
    };
    let streams = Streams {
        // Whoever has the terminal types for somebody else.
        stdin: if is_in_background() {
            Box::new(io::empty())
        } else if raw.is_some() {
            // The interrupts' way is closed: keys are the guest's, however little it does.
            Box::new(Typed::new(io::stdin(), move || {
                stop.stop();
            }))
        } else {
            Box::new(io::stdin())
        },
        stdout: Box::new(io::stdout()),
        stderr: Box::new(io::stderr()),
    };
    let exit = machine.agent().run(command, streams, None);
    drop(raw);
    interrupts.command_is_over();
    let exit = exit.map_err(|e| machine.explain(e))?;
    if let Status::NotStarted { reason, .. } = &exit.status {
        eprintln!("fslmc: {reason}");
    }
    machine.power_off()?;
    Ok(exit.code())
}

/// Linux's driver takes the interfaces of child containers, too, and has the root's software
/// portals ask for notifications of channels there. QBMan refuses that to another isolation
/// id, and the kernel's way out of it ends in a panic (`dpaa2_io_service_register` leaves
/// what it has freed in its list).
fn takes_no_others(inventory: &Inventory, bound: &[String]) -> Result<()> {
    let is_left = |container: &&ContainerInventory| {
        let has = |kind| container.objects.iter().any(|o| o.id.kind == kind && o.plugged);
        container.parent.is_some()
            && !bound.contains(&container.id.to_string())
            && has(ObjectType::Dpni)
            && has(ObjectType::Dpcon)
    };
    let Some(container) = inventory.containers.iter().find(is_left) else { return Ok(()) };
    let name = container.id;
    Err(miette!(
        help =
            format!("add --bind {name}, or take a layout without interfaces in child containers"),
        "--module {ETHERNET} takes the interfaces of {name}, too, and would panic the kernel: \
         software portals of one container may not use the channels of another"
    ))
}

fn root(args: &cli::Run) -> Result<RootChoice<'_>> {
    if let Some(path) = &args.root {
        return Ok(RootChoice::Path(path));
    }
    let packages = args.userland.request().into_diagnostic()?;
    Ok(packages.map_or(RootChoice::Initial, RootChoice::Packages))
}

/// A command gets a terminal where both of its ends are one.
fn is_terminal() -> bool {
    use io::IsTerminal;
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

fn shared(path: &Path, read_only: bool) -> Result<SharedDirectory> {
    let path = path
        .canonicalize()
        .into_diagnostic()
        .with_context(|| format!("sharing the directory {}", path.display()))?;
    if path.to_str().is_none() {
        return Err(miette!(
            help = "share a directory above it, or rename it; --no-share shares none",
            "the name of the directory {path:?} is not UTF-8, as QEMU's options must be"
        ));
    }
    if !path.is_dir() {
        return Err(miette!(
            help = "--share takes a directory; --no-share shares none",
            "{} is not a directory",
            path.display()
        ));
    }
    Ok(SharedDirectory { path, read_only })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

    /// It would be another directory's for QEMU.
    #[test]
    fn a_directory_must_have_a_name_in_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"na\xffme"));
        fs::create_dir(&path).unwrap();
        let error = shared(&path, false).unwrap_err().to_string();
        assert!(error.contains(r"na\xFFme") && error.contains("not UTF-8"), "{error}");
        assert!(shared(folder.path(), false).is_ok());
    }
}
