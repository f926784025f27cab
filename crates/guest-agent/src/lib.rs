// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The first process of the guest: sets the system up, serves the host, switches off.
//!
//! It never ends, since the kernel panics when its first process does: whatever goes
//! wrong is reported on the control port and on the console, then the machine goes off.

#![deny(unsafe_code)]

mod console;
pub mod failure;
mod hugepages;
pub mod modules;
mod orders;
mod ports;
mod program;
mod root;
mod root_files;
mod running;
mod session;
mod shuttle;
mod steps;
pub mod versions;

pub use failure::Failure;
pub use modules::Modules;

use guest_protocol::{Report, VERSION};
use orders::Orders;
use ports::Ports;
use rustix::system::{RebootCommand, reboot};
use session::{End, Session};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use steps::Step;

/// Runs the agent as the first process. Does not return.
pub fn run_as_init() -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(live));
    match outcome {
        Ok(Ok(End::PowerOff)) => {}
        Ok(Ok(End::HostGone)) => console::say("the host has gone; switching off"),
        Ok(Err(failure)) => console::say(&format!("switching off: {failure}")),
        // The panic hook has reported the reason.
        Err(_) => console::say("a defect of the agent; switching off"),
    }
    power_off()
}

fn live() -> Result<End, Failure> {
    let mut steps = Vec::new();
    let prepared = prepare(&mut steps);
    // Without ports only the console gets a report.
    let ports = match Ports::open() {
        Ok(ports) => ports,
        Err(no_ports) => return Err(prepared.err().unwrap_or(no_ports)),
    };
    let (modules, failure) = match prepared {
        Ok(modules) => (modules, None),
        Err(failure) => (Modules::default(), Some(failure)),
    };
    let mut session = Session::new(ports, Orders::new(modules), true);
    session.report(&hello());
    for step in steps {
        session.report(&step.report(None));
    }
    if let Some(failure) = failure {
        session.last_words(&failure);
        return Err(failure);
    }
    let served = catch_unwind(AssertUnwindSafe(|| session.serve())).unwrap_or_else(|_| {
        Err(Failure::new(
            "the agent has stopped at a defect of its own",
            "the agent",
            "The guest's console shows the message; report it",
        ))
    });
    if let Err(failure) = &served {
        session.last_words(failure);
    }
    served
}

fn prepare(steps: &mut Vec<Step>) -> Result<Modules, Failure> {
    root_files::mount_all()?;
    steps.push(Step::done("mount the system's directories", ""));
    // A machine without a name is called "(none)" by every shell.
    let _ = rustix::system::sethostname(b"board");
    let modules = Modules::of_image()?;
    let (loaded, refusal) = modules.load_early();
    steps.push(Step::done("load the early modules", orders::describe(&loaded)));
    refusal?;
    root_files::install_shell()?;
    steps.push(Step::done("install the shell", ""));
    Ok(modules)
}

fn hello() -> Report {
    Report::Hello {
        protocol: VERSION,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        uptime_ms: steps::uptime_ms(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn power_off() -> ! {
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        console::say(&format!("cannot switch off: {error}"));
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
