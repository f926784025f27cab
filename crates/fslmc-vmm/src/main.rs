// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! `fslmc-vmm`, the program; the library says what it does.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    fslmc_vmm::main("fslmc-vmm", &fslmc_vmm::cli::Cli::parse())
}
