// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A small VMM: boots Linux on KVM with containers of the Management Complex assigned.
#![deny(unsafe_code)]

mod cli;
mod device_tree;
mod error;
#[cfg(target_arch = "aarch64")]
mod guest;
mod layout;

use clap::Parser;
use cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fslmc-vmm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the guest, again after each reset, until it switches itself off.
#[cfg(target_arch = "aarch64")]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    let console = guest::Console::new();
    loop {
        match guest::run(cli, &console)? {
            guest::End::Off => return Ok(ExitCode::SUCCESS),
            guest::End::Reset if cli.no_reboot => return Ok(ExitCode::from(cli::RESET)),
            guest::End::Reset => {}
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    Err(error::Error::Machine { kernel: cli.kernel.clone() })
}
