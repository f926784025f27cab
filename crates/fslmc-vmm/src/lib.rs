// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A small VMM: boots Linux on KVM with containers of the Management Complex assigned. Its
//! own program and other commands run it by [`main`].
#![deny(unsafe_code)]

mod calls;
pub mod cli;
mod confine;
mod device_tree;
mod error;
mod faults;
#[cfg(target_arch = "aarch64")]
mod guest;
mod host;
mod input;
pub mod keys;
mod late;
mod layout;
mod load;
mod routes;
mod signals;
mod slots;
mod streams;
mod terminal;
mod virtio;

use cli::Cli;
use std::process::ExitCode;

/// Runs a guest to its end and gives the exit code; what goes wrong is told on standard
/// error, by a line that begins with `name`.
#[must_use]
pub fn main(name: &str, cli: &Cli) -> ExitCode {
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            streams::tell(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Takes the containers where asked for, runs the guest, and gives them back. A host that does
/// not have them again is a failure, however well the guest has ended.
#[cfg(target_arch = "aarch64")]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    cli.check().map_err(error::Error::Options)?;
    signals::catch()?;
    let bus = &fsl_mc_linux::bus::SYSFS;
    let files = load::Files::open(&cli.guest);
    let wrong = files.as_ref().err().map_or(&[][..], Vec::as_slice);
    let taken = cli.bind.then(|| host::take(cli, bus, guest::abilities()?, wrong)).transpose()?;
    let files = files.map_err(error::first)?;
    let written = taken.as_ref().map(host::Taken::written).unwrap_or_default();
    let reach = confine::Reach { devices: host::devices(bus, &cli.assign), written };
    let code = guests(cli, files, &reach)?;
    taken.map_or(Ok(()), host::Taken::give_back)?;
    Ok(code)
}

/// Starts the guest, where asked for again after each reset, until it ends. Nothing of it is
/// left then.
#[cfg(target_arch = "aarch64")]
fn guests(
    cli: &Cli,
    mut files: load::Files,
    reach: &confine::Reach,
) -> Result<ExitCode, error::Error> {
    let terminal = terminal::RawTerminal::take();
    confine::confine(reach)?;
    let console = guest::Console::new(terminal);
    loop {
        match guest::run(cli, &mut files, &console)? {
            guest::End::Off => return Ok(ExitCode::SUCCESS),
            guest::End::Signal(number) => return Ok(ExitCode::from(0x80 | number)),
            guest::End::Reset if cli.guest.restart => {}
            guest::End::Reset => return Ok(ExitCode::from(cli::RESET)),
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn run(cli: &Cli) -> Result<ExitCode, error::Error> {
    Err(error::Error::Machine { kernel: cli.guest.kernel.clone() })
}
