// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The programs inside the guest, in one binary to keep the image small.
//!
//! As process 1 it is the agent; otherwise the first argument chooses.
#![deny(unsafe_code)]

mod cli;
mod demo;
// The examples of the library, so that they run on the board.
#[path = "../../dprc/examples/forward.rs"]
mod forward;
mod manage;
mod probe;
mod record;
#[path = "../../dprc/examples/wait.rs"]
mod wait;

use clap::Parser;
use cli::{Cli, Program};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        guest_agent::run_as_init();
    }
    fsl_mc_linux::program::run(run)
}

fn run() -> ExitCode {
    let outcome = match Cli::parse().program {
        Program::Demo(options) => return demo::run(&options),
        Program::Assign(options) => return fslmc_vmm::main("fslmc assign", &options.into()),
        Program::Devices { json } => probe::bus::devices(json),
        Program::Bind { container, driver } => probe::bus::bind(&container, &driver),
        Program::Release { container } => probe::bus::release(&container),
        Program::Load { modules } => probe::bus::load(&modules),
        Program::Record { root } => record::run(root),
        Program::Mgmt(mgmt) => probe::mgmt::run(&mgmt),
        Program::Vfio { action } => probe::vfio::run(&action),
        Program::Forward(options) => probe::forward::run(&options),
        Program::Answers(options) => probe::answers::run(&options),
        Program::Wake(options) => probe::wake::run(&options),
        Program::Kvm(options) => probe::kvm::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fslmc-guest: {failure}");
            ExitCode::FAILURE
        }
    }
}
