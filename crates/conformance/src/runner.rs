// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Runs checks, each in a process of its own with a time limit, so that one that
//! hangs or crashes is a failure and the others go on.

use crate::check::{Check, Stop};
use crate::context::{self, Context};
use crate::patience::{multiply, patience};
use fsl_mc_linux::bus::{self, SYSFS};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a process that runs one check; the check's path and the
/// context follow.
pub const CHILD: &str = "--run-one-check";

/// The containers between two checks. What a check has made or moved vanishes or comes back
/// after its end, and the next one is not to take it for something that stays.
pub struct Stage<'a> {
    containers: Vec<&'a str>,
    objects: Vec<Vec<String>>,
}

impl<'a> Stage<'a> {
    /// The containers as they are now.
    pub fn new(context: &'a Context) -> Self {
        let containers: Vec<&str> = context.containers().collect();
        let objects = present(&containers);
        Self { containers, objects }
    }

    /// Waits until the objects are those of before. Where that does not come, those that are
    /// there are the ones of the next check.
    pub fn clear(&mut self) {
        if !bus::wait_until(patience() / 2, || present(&self.containers) == self.objects) {
            self.objects = present(&self.containers);
        }
    }
}

/// The objects of containers; none where the bus does not list them, which the check reports.
fn present(containers: &[&str]) -> Vec<Vec<String>> {
    containers.iter().map(|name| SYSFS.objects(name).unwrap_or_default()).collect()
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Verdict {
    /// The driver keeps the rule.
    Pass,
    /// The check does not apply.
    Skip {
        /// Why.
        reason: String,
    },
    /// The driver breaks the rule.
    Fail {
        /// What the rule wants.
        expected: String,
        /// What came.
        got: String,
    },
}

/// Runs a check in a process of its own; also says how long it took. With
/// `bind_again`, the containers are bound again where Linux's own driver needs it.
pub fn run(check: &Check, context: &Context, bind_again: bool) -> (Verdict, Duration) {
    if bind_again && (check.interrupts || check.spoils) {
        if let Err(error) = bind_all_again(context) {
            let expected = "the containers can be bound again before the check".to_owned();
            return (Verdict::Fail { expected, got: error.to_string() }, Duration::ZERO);
        }
    }
    // What is repeated more often takes longer.
    let limit = check.limit.saturating_mul(context.stress).saturating_mul(context.patience);
    let started = Instant::now();
    let verdict = start(check, context).and_then(|child| follow(limit, child));
    let verdict = verdict.unwrap_or_else(|error| Verdict::Fail {
        expected: "a process for the check".into(),
        got: error.to_string(),
    });
    let took = started.elapsed();
    if bind_again && check.spoils {
        if let Err(error) = bind_all_again(context) {
            let expected = "the containers can be bound again after the check".to_owned();
            return (Verdict::Fail { expected, got: error.to_string() }, took);
        }
    }
    (verdict, took)
}

fn bind_all_again(context: &Context) -> Result<(), bus::Error> {
    context.containers().try_for_each(context::rebind)
}

fn start(check: &Check, context: &Context) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg(CHILD)
        .arg(check.path())
        .arg(serde_json::to_string(context)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What the check starts is killed with it.
        .process_group(0)
        .spawn()
}

fn follow(limit: Duration, mut child: Child) -> io::Result<Verdict> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(io::Error::other("the process has no number")) };
    let watch = pidfd_open(pid, PidfdFlags::empty())?;
    let ended = |patience| ends_within(&watch, patience);
    let in_time = ended(limit)?;
    // Also what it has left behind; there may be nothing.
    let _ = kill_process_group(pid, Signal::KILL);
    if !in_time {
        let buried = ended(2 * patience())?;
        if buried {
            child.wait()?;
        }
        let got = format!(
            "no end after {} s; the process {}",
            limit.as_secs(),
            if buried { "was killed" } else { "cannot be killed" }
        );
        return Ok(Verdict::Fail { expected: "an end in time".into(), got });
    }
    let status = child.wait()?;
    let said = child.stdout.take().map(what_is_there).unwrap_or_default();
    let errors = child.stderr.take().map(what_is_there).unwrap_or_default();
    if let (Some(0), Ok(verdict)) = (status.code(), serde_json::from_slice(&said)) {
        return Ok(verdict);
    }
    let end = match status.signal() {
        Some(signal) => format!("killed by signal {signal}"),
        None => format!("exit code {}", status.code().unwrap_or(-1)),
    };
    let errors = String::from_utf8_lossy(&errors);
    let got = format!("the check's process ended early: {end} {}", errors.trim());
    Ok(Verdict::Fail { expected: "a verdict".into(), got: got.trim_end().to_owned() })
}

fn ends_within(process: &rustix::fd::OwnedFd, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What a pipe holds, without waiting for a writer that may live on.
fn what_is_there<P: Read + rustix::fd::AsFd>(mut pipe: P) -> Vec<u8> {
    let mut all = Vec::new();
    if rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK).is_ok() {
        // It ends at the end or where nothing is there.
        let _ = pipe.read_to_end(&mut all);
    }
    all
}

/// The main function of a process that runs one check.
pub fn child(path: &str, context: &str) -> ExitCode {
    let Some(check) = crate::groups::find(path) else {
        eprintln!("there is no check {path}");
        return ExitCode::from(2);
    };
    let context: Context = match serde_json::from_str(context) {
        Ok(context) => context,
        Err(error) => {
            eprintln!("malformed context: {error}");
            return ExitCode::from(2);
        }
    };
    multiply(context.patience);
    let verdict = match (check.run)(&context) {
        Ok(()) => Verdict::Pass,
        Err(Stop::Skip(reason)) => Verdict::Skip { reason },
        Err(Stop::Fail { expected, got }) => Verdict::Fail { expected, got },
    };
    let text = serde_json::to_vec(&verdict).map_err(io::Error::from);
    match text.and_then(|text| io::stdout().write_all(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the verdict cannot be written: {error}");
            ExitCode::from(2)
        }
    }
}
