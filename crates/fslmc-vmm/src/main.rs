// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A small VMM: boots Linux on KVM with containers of the Management Complex assigned.
#![deny(unsafe_code)]

mod cli;
mod device_tree;
mod error;
#[cfg(target_arch = "aarch64")]
mod guest;
mod host;
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

/// Starts the guest, where asked for again after each reset, until it ends.
#[cfg(target_arch = "aarch64")]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    cli.check().map_err(error::Error::Options)?;
    // Goes back to the host when all else is gone.
    let bus = &fsl_mc_linux::bus::SYSFS;
    let _taken = cli.bind.then(|| host::take(cli, bus, guest::abilities()?)).transpose()?;
    let console = guest::Console::new();
    loop {
        match guest::run(cli, &console)? {
            guest::End::Off => return Ok(ExitCode::SUCCESS),
            guest::End::Reset if cli.restart => {}
            guest::End::Reset => return Ok(ExitCode::from(cli::RESET)),
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    Err(error::Error::Machine { kernel: cli.kernel.clone() })
}
