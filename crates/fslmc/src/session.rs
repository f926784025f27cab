// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! From the command line to a booted machine, and what a person sees of it.

use crate::{
    agent::Step,
    artifacts::{Artifacts, Driver},
    cli::MachineArgs,
    image,
    machine::{self, Machine, Options},
    progress::progress,
    root::Root,
    trace::{self, Trace},
};
use board::{
    dpl::{Dpc, Dpl, Loader},
    faults::Faults,
};
use board_qemu::{LineHook, SharedDirectory, StopHandle};
use mc_abi::{ObjectId, ObjectType};
use miette::{Result, miette};
use setup::{Packages, Userland};
use std::{
    io::{self, Write},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use wires::CaptureSpec;

/// What a machine is started for.
pub struct Request<'a> {
    /// The machine.
    pub machine: &'a MachineArgs,
    /// Its vfio-fsl-mc; where none is chosen, the usual one, if the kernel has it.
    pub driver: Option<Driver>,
    /// A directory that the guest sees.
    pub shared: Option<SharedDirectory>,
    /// The guest's root file system.
    pub root: RootChoice<'a>,
    /// Huge pages of 2 MiB.
    pub hugepages: u64,
    /// Modules for the image beyond the usual ones.
    pub modules: Vec<String>,
    /// File for the frames of the first two interfaces that the guest makes.
    pub new_interfaces: Option<&'a Path>,
    /// Stops the machine from elsewhere.
    pub stop: StopHandle,
    /// Told each step of the agent.
    pub watch: Box<dyn FnMut(&Step) + Send>,
}

/// Which root file system a guest has.
pub enum RootChoice<'a> {
    /// busybox and the agent.
    Initial,
    /// Debian packages.
    Packages(Userland),
    /// A user's own, in an image or a directory.
    Path(&'a Path),
}

/// A machine that has booted, and how long that took.
pub struct Booted {
    /// The machine.
    pub machine: Machine,
    /// Fetching, unpacking and building what was missing.
    pub set_up: Duration,
    /// From the start of the emulator until the guest took orders.
    pub boot: Duration,
}

/// Sets up what is missing and boots.
///
/// # Errors
/// What is wrong, and where.
pub fn boot(request: Request<'_>) -> Result<Booted> {
    let start = Instant::now();
    let args = request.machine;
    check_hugepages(request.hugepages, args.memory)?;
    let progress = progress();
    let kernel = args.kernel.choice()?;
    let mut driver = request.driver.unwrap_or_else(|| Driver::usual(&kernel));
    let artifacts = Artifacts::with_kernel(&kernel, driver, &*progress)?;
    // Nobody has asked for it.
    if request.driver.is_none() && driver == Driver::Stock && !image::has_stock(&artifacts)? {
        driver = Driver::None;
    }
    let root = match &request.root {
        RootChoice::Initial => None,
        RootChoice::Packages(packages) => {
            Some(Root::of_packages(&artifacts, packages, &*progress)?)
        }
        RootChoice::Path(path) => Some(Root::of_path(&artifacts, path, &*progress)?),
    };
    let (layout, ports) = layouts(&artifacts.packages, args)?;
    let mut faults = Faults::default();
    // What is refused or hangs needs no delay first.
    for rule in args.inject.iter().chain(&args.delay) {
        faults.add(rule.clone());
    }
    captures_without_object(args, &layout);
    let mut captures = args.capture.clone();
    if let Some(file) = request.new_interfaces {
        captures.extend(new_interfaces(file, &layout, &args.capture));
    }
    let (console_file, console_hook) = console(args.console.as_deref());
    let trace = args
        .trace
        .as_deref()
        .map(|file| trace::trace(file, args.trace_filter.clone()))
        .transpose()?;
    let options = Options {
        machine: board_qemu::Machine {
            cpus: args.cpus,
            memory: args.memory,
            cpu: args.cpu.clone(),
            virtualization: args.virtualization,
            ..board_qemu::Machine::default()
        },
        ports,
        containers: args.containers,
        quirks: !args.no_quirks,
        faults,
        tracer: trace.as_ref().map(Trace::tracer),
        trace,
        soc: args.soc.clone(),
        wires: args.wire.clone(),
        captures,
        append: args.append.join(" "),
        shared: request.shared,
        root: root.map(Arc::new),
        hugepages: request.hugepages,
        driver,
        modules: request.modules,
        console_file,
        console_hook,
        stop: request.stop,
        watch: request.watch,
        ..Options::new(layout)
    };
    let set_up = start.elapsed();
    let machine = Machine::start(&artifacts, options)?;
    Ok(Booted { machine, set_up, boot: start.elapsed().saturating_sub(set_up) })
}

/// What the guest has besides huge pages, at least.
const PLAIN_MEMORY: u64 = 256 << 20;

fn check_hugepages(pages: u64, memory: u64) -> Result<()> {
    let taken = pages.saturating_mul(2 << 20);
    if pages == 0 || taken.saturating_add(PLAIN_MEMORY) <= memory {
        return Ok(());
    }
    let wanted = taken.saturating_add(PLAIN_MEMORY).div_ceil(1 << 20);
    Err(miette!(
        help = format!("--memory {wanted}M or more has room for both"),
        "{pages} huge pages take {} MiB, which leaves less than {} of the machine's {} MiB for everything else",
        taken >> 20,
        PLAIN_MEMORY >> 20,
        memory >> 20
    ))
}

fn layouts(packages: &Packages, args: &MachineArgs) -> Result<(Dpl, Option<Dpc>)> {
    let dtc = || dtc(packages);
    let loader = Loader::new(&dtc).for_soc(&args.soc);
    let loaded = machine::layout(&loader, args.dpl.as_deref()).map_err(|e| miette!("{e}"))?;
    for warning in &loaded.warnings.list {
        eprintln!("{warning}");
    }
    let layout = loaded.into_dpl().map_err(|e| miette!("{e}"))?;
    let ports = match &args.dpc {
        None => None,
        Some(file) => {
            let loaded = loader.file(file).map_err(|e| miette!("{e}"))?;
            Some(loaded.into_dpc().map_err(|e| miette!("{e}"))?)
        }
    };
    Ok((layout, ports))
}

/// Captures of the two interfaces that are made first after boot: the MC gives the lowest
/// numbers that are free. Those that a user captures elsewhere stay there.
fn new_interfaces(file: &Path, layout: &Dpl, own: &[CaptureSpec]) -> Vec<CaptureSpec> {
    let interfaces = (0..).map(|number| ObjectId::new(ObjectType::Dpni, number));
    let free = interfaces.filter(|id| layout.objects.iter().all(|other| other.name() != *id));
    let free = free.take(2).filter(|id| own.iter().all(|capture| capture.object != *id));
    free.map(|object| CaptureSpec { object, path: file.into() }).collect()
}

/// An object can be made later, but a number that was meant otherwise is more likely.
fn captures_without_object(args: &MachineArgs, layout: &Dpl) {
    for capture in &args.capture {
        let object = capture.object;
        if !layout.objects.iter().any(|other| other.name() == object) {
            eprintln!(
                "fslmc: warning: --capture {object}: the layout has no {object}; nothing is \
                 captured until one is created"
            );
        }
    }
}

/// The device tree compiler; where it is missing, starting it says so.
pub fn dtc(packages: &Packages) -> Command {
    packages.command("dtc").unwrap_or_else(|_| Command::new("dtc"))
}

fn console(file: Option<&Path>) -> (Option<std::path::PathBuf>, Option<LineHook>) {
    match file {
        Some(file) if file == Path::new("-") => {
            let show = |line: &str| {
                // Its reader may be gone: the machine lives on.
                let _ = writeln!(io::stderr(), "{line}");
            };
            (None, Some(Box::new(show)))
        }
        other => (other.map(Into::into), None),
    }
}
