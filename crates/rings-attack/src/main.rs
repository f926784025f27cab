// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Misuses the software portals of a container, by VFIO, or past the kernel of this machine
//! (`iomem=relaxed` and `mem=` on the kernel's command line let it), and prints what came of it
//! as JSON. Exits with 1 where a portal does not recover.
#![forbid(unsafe_code)]

use clap::Parser;
use dprc::{Access, AssignedContainer, Backend, DmaBuffer};
use mc_abi::ObjectId;
use mc_attack::hexadecimal;
use rings_attack::{Attack, MEMORY_SIZE, Options, PastKernel, Report, kernels_memory};
use std::process::ExitCode;

/// Where memory is mapped by VFIO: above 4 GiB, away from everything.
const IOVA: u64 = 0x2_0000_0000;

/// Random rings, doorbells and descriptors on the software portals of a container.
#[derive(Debug, Parser)]
#[command(name = "rings-attack", version)]
struct Command {
    /// Container
    #[arg(long)]
    container: ObjectId,

    /// Number of steps, each of which is some entries and a doorbell, or a store
    #[arg(long, default_value_t = 10_000)]
    steps: u64,

    /// PRNG seed
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Go past the kernel: physical address of the container's command portal
    #[arg(long, value_parser = hexadecimal, requires = "memory")]
    portal: Option<u64>,

    /// Physical address of a mebibyte that the kernel does not use
    #[arg(long, value_parser = hexadecimal, requires = "portal")]
    memory: Option<u64>,
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rings-attack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<Report, Box<dyn std::error::Error>> {
    let mut options = Options { seed: command.seed, spared: Vec::new() };
    match (command.portal, command.memory) {
        (Some(portal), Some(at)) => {
            options.spared = kernels_memory(&std::fs::read_to_string("/proc/iomem")?)?;
            let own = at..at.saturating_add(MEMORY_SIZE as u64);
            if options.spared.iter().any(|used| used.start < own.end && own.start < used.end) {
                return Err(format!("{at:#x}: the kernel uses this memory").into());
            }
            let backend = PastKernel::open(command.container, portal)?;
            let memory = backend.memory(at, MEMORY_SIZE)?;
            attack(&backend, memory, at, command.steps, &options)
        }
        _ => {
            let backend = AssignedContainer::open(&command.container.to_string())?;
            let memory = DmaBuffer::allocate(MEMORY_SIZE)?;
            attack(&backend, memory, IOVA, command.steps, &options)
        }
    }
}

fn attack(
    backend: &dyn Backend,
    memory: DmaBuffer,
    iova: u64,
    steps: u64,
    options: &Options,
) -> Result<Report, Box<dyn std::error::Error>> {
    let memory = backend.map(memory, iova, Access::ReadWrite)?;
    Ok(Attack::new(backend, memory, options).run(steps)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}
