// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Sends random and mutated commands to command portals of this machine, past its kernel
//! (`iomem=relaxed` on the kernel's command line lets it), and prints what came of it as
//! JSON. Exits with 1 at an answer that no Management Complex gives.
#![forbid(unsafe_code)]

use clap::Parser;
use dprc::McPortal;
use fsl_mc_linux::Mapping;
use mc_abi::{Message, ObjectId, Status};
use mc_attack::{Attacker, check, hexadecimal};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Commands after which all tokens are given back: the Management Complex has so many.
const ROUND: u64 = 1024;

/// Random and mutated Management Complex commands.
#[derive(Debug, Parser)]
#[command(name = "mc-attack", version)]
struct Options {
    /// Physical address of a command portal; may be repeated
    #[arg(long, required = true, value_parser = hexadecimal)]
    portal: Vec<u64>,

    /// Container of the portals
    #[arg(long)]
    container: ObjectId,

    /// Object to name in commands; may be repeated
    #[arg(long)]
    object: Vec<ObjectId>,

    /// Number of commands
    #[arg(long, default_value_t = 10_000)]
    commands: u64,

    /// PRNG seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mc-attack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String, String> {
    let flags = OFlags::RDWR | OFlags::SYNC | OFlags::CLOEXEC;
    let memory = rustix::fs::open("/dev/mem", flags, Mode::empty())
        .map_err(|errno| format!("/dev/mem: {errno}"))?;
    let portals: Result<Vec<McPortal>, String> = options
        .portal
        .iter()
        .map(|at| {
            let page = rustix::param::page_size();
            let name = format!("/dev/mem at {at:#x}");
            match Mapping::of_device(memory.as_fd(), *at, page, true) {
                Ok(mapping) => Ok(McPortal::new(name, mapping)),
                Err(errno) => Err(format!("{name}: {errno}")),
            }
        })
        .collect();
    let mut portals = portals?;
    let mut objects = options.object.clone();
    objects.push(options.container);
    let mut attacker = Attacker::new(options.seed, objects);
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    let start = Instant::now();
    for number in 0..options.commands {
        if number % ROUND == 0 {
            start_round(&mut attacker, &mut portals, options.container)?;
        }
        let at = attacker.random.below(portals.len());
        let message = attacker.message();
        let answer = exchange(&mut portals[at], &message)?;
        let status = check(&message, &answer).map_err(|error| format!("{number}: {error}"))?;
        *statuses.entry(format!("{status:?}")).or_default() += 1;
        let token = answer.header.token();
        if status == Status::Ok && token != message.header.token() {
            attacker.remember(token);
        }
    }
    Ok(report(options.commands, start.elapsed(), &statuses))
}

/// Closes all through each portal, and opens the container again.
fn start_round(
    attacker: &mut Attacker,
    portals: &mut [McPortal],
    container: ObjectId,
) -> Result<(), String> {
    for token in attacker.forget() {
        for portal in &mut *portals {
            // All but one of them have not opened it.
            exchange(portal, &Message::close(token))?;
        }
    }
    for portal in portals {
        let answer = exchange(portal, &Message::open(container))?;
        if answer.header.status() == Status::Ok {
            attacker.remember(answer.header.token());
        }
    }
    Ok(())
}

fn exchange(portal: &mut McPortal, message: &Message) -> Result<Message, String> {
    portal.exchange(message).map_err(|error| error.to_string())
}

fn report(commands: u64, took: Duration, statuses: &BTreeMap<String, u64>) -> String {
    let mut text = format!("{{\"commands\":{commands},\"seconds\":{:.1}", took.as_secs_f64());
    for (status, count) in statuses {
        // Writing to a string does not fail.
        let _ = write!(text, ",\"{status}\":{count}");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_report_is_json() {
        let statuses = BTreeMap::from([("Ok".to_owned(), 3)]);
        let text = report(3, Duration::from_millis(1500), &statuses);
        assert_eq!(text, "{\"commands\":3,\"seconds\":1.5,\"Ok\":3}");
    }
}
