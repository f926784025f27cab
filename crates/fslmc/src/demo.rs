// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc demo`: hand a container to user space, step by step.

// The examples of the library.
#[path = "../../dprc/examples/forward.rs"]
mod forward;
mod guest;
mod in_process;
mod report;
#[path = "../../dprc/examples/wait.rs"]
mod wait;

use crate::{
    agent::Streams,
    artifacts::Driver,
    cli,
    interrupt::Interrupts,
    machine::Machine,
    session::{self, Booted, Request, RootChoice},
};
use board_qemu::StopHandle;
use guest_protocol::Run;
use miette::{IntoDiagnostic, Result, miette};
use std::{
    fs::File,
    io,
    path::Path,
    time::{Duration, Instant},
};
use wires::recorded_frames;

/// A set-up that takes longer is reported: it has fetched or built something.
const NOTABLE: Duration = Duration::from_secs(2);

/// Boots and runs the demonstration in the guest, which tells its own story.
/// Returns its exit code: 0 only where each step really happened.
///
/// # Errors
/// What kept it from running.
pub fn demo(args: &cli::Demo) -> Result<i32> {
    if args.in_process {
        check_writable(&args.frames)?;
        return in_process::demo(&args.frames);
    }
    // Before anything is fetched or booted.
    if args.driver.0 == Some(Driver::None) {
        return Err(miette!(
            help = "leave out --driver none",
            "the demonstration hands a container over, which takes a vfio-fsl-mc driver"
        ));
    }
    if args.guest {
        return guest::demo(args);
    }
    check_writable(&args.frames)?;
    let driver = match args.driver.0 {
        Some(driver) => driver,
        None => Driver::usual(&args.machine.kernel.choice()?),
    };
    let stop = StopHandle::new();
    let _interrupts = Interrupts::catch(stop.clone()).into_diagnostic()?;
    let start = Instant::now();
    println!("Booting unmodified Linux on an emulated DPAA2 board ...");
    let Booted { mut machine, set_up, boot } = session::boot(Request {
        machine: &args.machine,
        // Without one there is nothing to demonstrate.
        driver: Some(driver),
        shared: None,
        root: RootChoice::Initial,
        hugepages: 0,
        modules: Vec::new(),
        new_interfaces: Some(&args.frames),
        stop,
        watch: Box::new(|step| {
            tracing::debug!(what = step.what, ok = step.ok, step.detail, "guest")
        }),
    })?;
    let hello = machine.hello();
    if set_up > NOTABLE {
        println!("The set-up took {:.1} s.", set_up.as_secs_f32());
    }
    println!(
        "Linux {} is up with {} processors after {:.1} s.\n",
        hello.kernel,
        hello.cpus,
        boot.as_secs_f32()
    );
    machine.load_portals()?;
    let code = tell(&mut machine, &["fslmc-guest", "demo"])?;
    machine.power_off()?;
    // Whoever reads a pipe has them.
    if code == 0 && args.frames.is_file() {
        println!("{}", what_was_captured(&args.frames)?);
    }
    let since_setup = start.elapsed().saturating_sub(set_up);
    println!("\nThe board is switched off; all of it took {:.1} s.", since_setup.as_secs_f32());
    Ok(code)
}

/// Lets a program in the board tell its story; gives its exit code.
fn tell(machine: &mut Machine, words: &[&str]) -> Result<i32> {
    let command = Run {
        argv: words.iter().map(ToString::to_string).collect(),
        cwd: None,
        env: Vec::new(),
        terminal: None,
    };
    let streams = Streams {
        stdin: Box::new(io::empty()),
        stdout: Box::new(io::stdout()),
        stderr: Box::new(io::stderr()),
    };
    let exit = machine.agent().run(command, streams, None).map_err(|e| machine.explain(e))?;
    Ok(exit.code())
}

/// Makes the file, unless it is a pipe or the like, which opens when it is written to.
fn check_writable(file: &Path) -> Result<()> {
    if file.exists() && !file.is_file() {
        return Ok(());
    }
    File::options().create(true).append(true).open(file).map(drop).map_err(|error| {
        miette!(
            help = "name another file for the frames: --frames FILE",
            "cannot write {}: {error}",
            file.display()
        )
    })
}

/// Where the frames are, in words. A file without any is no demonstration.
fn what_was_captured(file: &Path) -> Result<String> {
    let frames = recorded_frames(file).map_err(|error| miette!("{error}"))?;
    if frames.is_empty() {
        return Err(miette!(
            help = "with --dpl or --capture, the interfaces that it makes may be other ones than \
                    those that are captured",
            "frames were forwarded, but none is in {}",
            file.display()
        ));
    }
    let bytes: usize = frames.iter().map(Vec::len).sum();
    let (count, file) = (frames.len(), file.display());
    Ok(format!("{count} packets ({bytes} bytes), each sent and received, are in {file}."))
}
