// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Sends random and mutated commands to command portals of this machine, past its kernel
//! (`iomem=relaxed` on the kernel's command line lets it), and prints what came of it as
//! JSON. Exits with 1 at an answer that no Management Complex gives, and where an object that
//! is not its own is opened for it.
#![forbid(unsafe_code)]

use clap::Parser;
use dprc::McPortal;
use fsl_mc_linux::Mapping;
use mc_abi::{Message, ObjectId, Status};
use mc_attack::{Attacker, check, hexadecimal, opens};
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

    /// Object of the container, to name in commands; may be repeated
    #[arg(long)]
    object: Vec<ObjectId>,

    /// Object that is not in the container, to name in commands: none may be opened; may be
    /// repeated
    #[arg(long)]
    foreign: Vec<ObjectId>,

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
    let objects = options.object.iter().chain(&options.foreign).chain([&options.container]);
    let mut attacker = Attacker::new(options.seed, objects.copied().collect());
    let mut report = Report::default();
    let start = Instant::now();
    for number in 0..options.commands {
        if number % ROUND == 0 {
            start_round(&mut attacker, &mut portals, options.container)?;
        }
        let at = attacker.random.below(portals.len());
        let message = attacker.message();
        let answer = exchange(&mut portals[at], &message)?;
        let status = check(&message, &answer).map_err(|error| format!("{number}: {error}"))?;
        report
            .count(&message, status, &options.foreign)
            .map_err(|error| format!("{number}: {error}"))?;
        let token = answer.header.token();
        if status == Status::Ok && token != message.header.token() {
            attacker.remember(token);
        }
    }
    Ok(report.json(options.commands, start.elapsed()))
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

/// What came of the commands.
#[derive(Debug, Default)]
struct Report {
    statuses: BTreeMap<String, u64>,
    /// Attempts to open what is not the container's.
    refused_opens: u64,
}

impl Report {
    /// Counts an answer with this status to a command.
    fn count(
        &mut self,
        message: &Message,
        status: Status,
        foreign: &[ObjectId],
    ) -> Result<(), String> {
        *self.statuses.entry(format!("{status:?}")).or_default() += 1;
        match opens(message).filter(|object| foreign.contains(object)) {
            Some(object) if status == Status::Ok => {
                Err(format!("{object}, which is not the container's, is opened: {message:?}"))
            }
            Some(_) => {
                self.refused_opens += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn json(&self, commands: u64, took: Duration) -> String {
        let mut text = format!("{{\"commands\":{commands},\"seconds\":{:.1}", took.as_secs_f64());
        // Writing to a string does not fail.
        let _ = write!(text, ",\"refused_foreign_opens\":{}", self.refused_opens);
        for (status, count) in &self.statuses {
            let _ = write!(text, ",\"{status}\":{count}");
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use mc_abi::ObjectType;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_report_is_json() {
        let statuses = BTreeMap::from([("Ok".to_owned(), 3)]);
        let report = Report { statuses, refused_opens: 2 };
        let text = report.json(3, Duration::from_millis(1500));
        let wanted = "{\"commands\":3,\"seconds\":1.5,\"refused_foreign_opens\":2,\"Ok\":3}";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_is_foreign_may_not_be_opened() {
        let (own, foreign) =
            (ObjectId::new(ObjectType::Dpni, 1), ObjectId::new(ObjectType::Dprc, 1));
        let mut report = Report::default();
        let mut count = |object, status| report.count(&Message::open(object), status, &[foreign]);
        assert_eq!(count(own, Status::Ok), Ok(()));
        assert_eq!(count(own, Status::NoResource), Ok(()));
        assert_eq!(count(foreign, Status::AuthenticationError), Ok(()));
        assert!(count(foreign, Status::Ok).is_err_and(|error| error.starts_with("dprc.1, ")));
        assert_eq!(report.refused_opens, 1);
        // The same number in another command is nobody's.
        let close = Message::close(mc_abi::Token(1));
        assert_eq!(report.count(&close, Status::Ok, &[foreign]), Ok(()));
    }
}
