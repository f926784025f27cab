// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Sends random and mutated commands to command portals of this machine, past its kernel
//! (`iomem=relaxed` on the kernel's command line lets it), and prints what came of it as
//! JSON. Exits with 1 at an answer that no Management Complex gives.
#![forbid(unsafe_code)]

use clap::Parser;
use fsl_mc_linux::Mapping;
use mc_abi::{Message, ObjectId, Status};
use mc_attack::{Attacker, check};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Commands after which all tokens are given back: the Management Complex has so many.
const ROUND: u64 = 1024;

/// How long a Management Complex may take.
const PATIENCE: Duration = Duration::from_secs(20);

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

    /// Seed of all choices
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
    let portals: Result<Vec<Portal>, String> = options
        .portal
        .iter()
        .map(|at| {
            let page = rustix::param::page_size();
            let mapping = Mapping::of_device(memory.as_fd(), *at, page, true);
            mapping.map(Portal).map_err(|errno| format!("/dev/mem at {at:#x}: {errno}"))
        })
        .collect();
    let portals = portals?;
    let mut objects = options.object.clone();
    objects.push(options.container);
    let mut attacker = Attacker::new(options.seed, objects);
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    let start = Instant::now();
    for number in 0..options.commands {
        if number % ROUND == 0 {
            begin_round(&mut attacker, &portals, options.container)?;
        }
        let at = attacker.random.below(portals.len());
        let message = attacker.message();
        let answer = portals[at].exchange(&message)?;
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
fn begin_round(
    attacker: &mut Attacker,
    portals: &[Portal],
    container: ObjectId,
) -> Result<(), String> {
    for token in attacker.forget() {
        for portal in portals {
            // All but one of them have not opened it.
            portal.exchange(&Message::close(token))?;
        }
    }
    for portal in portals {
        let answer = portal.exchange(&Message::open(container))?;
        if answer.header.status() == Status::Ok {
            attacker.remember(answer.header.token());
        }
    }
    Ok(())
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

struct Portal(Mapping);

impl Portal {
    /// As Linux does: words of 64 bits, the header last.
    fn exchange(&self, message: &Message) -> Result<Message, String> {
        let bytes = message.to_bytes();
        for (word, part) in bytes.chunks_exact(8).enumerate().rev() {
            let mut value = [0; 8];
            value.copy_from_slice(part);
            self.0.store(8 * word, u64::from_le_bytes(value)).ok_or("outside of the portal")?;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.answer().ok_or("outside of the portal")?;
            if answer.header.status() != Status::Ready {
                return Ok(answer);
            }
            if Instant::now() > end {
                return Err(format!("no answer to {message:?}"));
            }
        }
    }

    fn answer(&self) -> Option<Message> {
        let mut bytes = [0; Message::SIZE];
        for (word, part) in bytes.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&self.0.load::<u64>(8 * word)?.to_le_bytes());
        }
        Some(Message::from_bytes(&bytes))
    }
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text:?} is no hexadecimal number"))
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
