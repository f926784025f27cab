// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Random system calls on all that a vfio-fsl-mc driver gives to user space.
//!
//! A supervisor starts worker processes with several threads each; all of them work
//! on one bound container at once. Every choice comes from the seed: a thread makes
//! the same choices again with the same seed, process number and thread number, as
//! far as the kernel gives it the same files. How threads interleave is up to the
//! kernel.
//!
//! The process exits with 0 when all is well, 1 when it cannot start, 3 with a
//! finding; seed and last calls of all threads are on standard error and on the
//! kernel's console then.
#![deny(unsafe_code)]

mod abi;
mod caller;

mod kernel_log;
mod kind;
mod memory;
mod mode_lock;
mod report;
mod shared;
mod steps;
mod supervisor;
mod worker;

use caller::{Commands, Setup};
use clap::Parser;
use fsl_mc_linux::bus::{SYSFS, VFIO_DRIVER};
use fsl_mc_linux::kmsg;
use mc_abi::ObjectId;
use report::Asked;
use shared::{OBJECTS, PROCESSES, Shared, THREADS};
use std::ffi::CString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use supervisor::{Limits, Supervisor};

/// Random system calls on a container that is bound to vfio-fsl-mc.
#[derive(Debug, Parser)]
#[command(name = "vfio-fsl-mc-fuzz", version)]
struct Options {
    /// Container, such as dprc.2
    #[arg(long, default_value = "dprc.2")]
    container: ObjectId,
    /// Approximate number of calls
    #[arg(long, default_value_t = 100_000)]
    calls: u64,
    /// Time limit, in seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// PRNG seed (default: random)
    #[arg(long)]
    seed: Option<u64>,
    /// Number of worker processes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=PROCESSES as i64))]
    processes: u8,
    /// Threads per process
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=THREADS as i64))]
    threads: u8,
    /// Commands to send to the MC
    #[arg(long, value_enum, default_value_t = Commands::Harmless)]
    commands: Commands,
    /// Send no commands: the same as --commands none
    #[arg(long)]
    no_commands: bool,
    /// Rebind the container at this interval, in seconds
    #[arg(long)]
    rebind_every: Option<u64>,
    /// Time limit of a call, in seconds
    #[arg(long, default_value_t = 20)]
    hang: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("vfio-fsl-mc-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let commands = if options.no_commands { Commands::None } else { options.commands };
    let setup = Setup {
        seed: options.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        threads: options.threads.into(),
        processes: options.processes.into(),
        group: group(options.container)?,
        objects: objects(options.container)?,
        commands,
        table: steps::table(commands),
    };
    let shared = Shared::new().map_err(|error| format!("no shared memory: {error}"))?;
    let limits = Limits {
        calls: options.calls,
        time: Duration::from_secs(options.seconds),
        hang: Duration::from_secs(options.hang),
        rebind: options.rebind_every.map(Duration::from_secs),
    };
    let mut supervisor = Supervisor::new(&setup, shared, &options.container.to_string(), limits)
        .map_err(|error| format!("opening the kernel's log, {}: {error}", kmsg::PATH))?;
    let finding = supervisor.run().map_err(|error| format!("starting a process: {error}"))?;
    let elapsed = supervisor.elapsed();
    let mut findings: Vec<_> = finding.into_iter().collect();
    if findings.is_empty() {
        // A run that was cut short has no say in what never succeeded.
        findings = report::verdict(shared, Asked { commands, rebinds: limits.rebind.is_some() });
    }
    print!("{}", report::table(shared));
    for finding in &findings {
        println!("finding: {finding}");
    }
    println!(
        "summary: {}",
        report::summary(shared, setup.seed, elapsed, &findings, report::memory())
    );
    Ok(findings.is_empty())
}

/// `/dev/vfio/N` of the container's group.
fn group(container: ObjectId) -> Result<CString, String> {
    let number = SYSFS
        .group_of(&container.to_string())
        .ok_or_else(|| format!("{container} has no IOMMU group, or is not on the bus"))?;
    let path = format!("/dev/vfio/{number}");
    if !Path::new(&path).exists() {
        return Err(format!("no {path}: bind {container} to {VFIO_DRIVER} first"));
    }
    CString::new(path).map_err(|error| error.to_string())
}

/// The container and what is in it, by name.
fn objects(container: ObjectId) -> Result<Vec<(CString, ObjectId)>, String> {
    let names = SYSFS.objects(&container.to_string()).map_err(|error| error.to_string())?;
    let mut ids: Vec<ObjectId> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort();
    ids.insert(0, container);
    ids.truncate(OBJECTS);
    ids.into_iter()
        .map(|id| Ok((CString::new(id.to_string()).map_err(|error| error.to_string())?, id)))
        .collect()
}
