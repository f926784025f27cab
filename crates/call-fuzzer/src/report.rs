// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a run comes to.

use crate::caller::Commands;
use crate::kind::{Kind, Success, errno_name};
use crate::shared::Shared;
use fsl_mc_linux::proc;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The kernel complains.
    Kernel(String),
    /// A call does not return.
    Hang(String),
    /// A worker process ended as none should.
    Died(String),
    /// A call succeeded that must not.
    Wrong(Kind),
    /// A kind of calls never succeeded.
    Never(Kind),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kernel(line) => write!(f, "the kernel says: {line}"),
            Self::Hang(what) => write!(f, "hang: {what}"),
            Self::Died(how) => write!(f, "a worker died: {how}"),
            Self::Wrong(kind) => write!(f, "a call succeeded that must not: {}", kind.name()),
            Self::Never(kind) => write!(f, "no call ever succeeded: {}", kind.name()),
        }
    }
}

/// What a run was asked to do, as far as the verdict goes.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Commands to the MC.
    pub commands: Commands,
    /// Whether the container was unbound and bound.
    pub rebinds: bool,
}

/// A kind that was tried so often must have succeeded.
const TRIED: u64 = 100;
/// In a run of so many calls, every kind must have succeeded.
const LONG_RUN: u64 = 500_000;

/// What the counters alone say is wrong. A short run has no say in a kind that it
/// tried a few times only.
pub fn verdict(shared: &Shared, asked: Asked) -> Vec<Finding> {
    let is_long = shared.calls() >= LONG_RUN;
    let judge = |kind: &Kind| {
        let succeeded = shared.succeeded(*kind) > 0;
        let refusals = shared.refused(*kind);
        let is_known = refusals.iter().any(|(errno, _)| *errno != libc::ENOTTY);
        let refused = refusals.into_iter().map(|(_, count)| count).sum::<u64>();
        let needed = match kind.success() {
            Success::Needed => true,
            Success::NeededWithCommands => asked.commands != Commands::None,
            Success::NeededWhereKnown => is_known && asked.commands != Commands::None,
            Success::NeededWithRebind => asked.rebinds,
            Success::Possible => false,
            Success::Wrong if succeeded => return Some(Finding::Wrong(*kind)),
            Success::Wrong => false,
        };
        let is_judged = is_long || refused >= TRIED;
        (needed && !succeeded && is_judged).then_some(Finding::Never(*kind))
    };
    Kind::ALL.iter().filter_map(judge).collect()
}

/// Calls, successes, time of a call and refusals, one kind a line.
pub fn table(shared: &Shared) -> String {
    let mut text =
        format!("{:<32} {:>10} {:>10} {:>9}  errors\n", "kind", "calls", "succeeded", "microsec.");
    for kind in Kind::ALL {
        let (succeeded, refused) = (shared.succeeded(*kind), shared.refused(*kind));
        let calls = succeeded + refused.iter().map(|(_, count)| count).sum::<u64>();
        let mut refused = refused;
        refused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let errors: Vec<String> = refused
            .iter()
            .map(|(errno, count)| format!("{} {count}", errno_name(*errno)))
            .collect();
        let each = shared.spent(*kind).as_secs_f64() * 1e6 / (calls as f64).max(1.0);
        let _ = writeln!(
            text,
            "{:<32} {calls:>10} {succeeded:>10} {each:>9.1}  {}",
            kind.name(),
            errors.join(", ")
        );
    }
    text
}

/// The same and the rest, as one line of JSON.
pub fn summary(
    shared: &Shared,
    seed: u64,
    elapsed: Duration,
    findings: &[Finding],
    memory: Value,
) -> Value {
    let mut kinds = Map::new();
    for kind in Kind::ALL {
        let errors: Map<String, Value> = shared
            .refused(*kind)
            .into_iter()
            .map(|(errno, count)| (errno_name(errno), count.into()))
            .collect();
        kinds.insert(
            kind.name().into(),
            json!({"succeeded": shared.succeeded(*kind), "errors": errors}),
        );
    }
    let calls = shared.calls();
    json!({
        "seed": seed,
        "calls": calls,
        "seconds": elapsed.as_secs_f64(),
        "calls_per_second": (calls as f64 / elapsed.as_secs_f64().max(0.001)).round(),
        "findings": findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "memory": memory,
        "kinds": kinds,
    })
}

/// Memory and interrupts that the kernel has in use, after it has dropped what it
/// can do without.
pub fn memory() -> Value {
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
    let kilobytes = |name: &str| proc::meminfo(name).ok().flatten().unwrap_or(0);
    let interrupts = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let areas = std::fs::read_to_string("/proc/vmallocinfo").unwrap_or_default();
    // Areas that are free but for a flush to come, and stacks of threads that ended, are
    // kept as long as there is room.
    let is_kept = |line: &&str| line.contains("unpurged") || line.contains("clone");
    json!({
        "available_kb": kilobytes("MemAvailable"),
        "slab_kb": kilobytes("SUnreclaim"),
        "percpu_kb": kilobytes("Percpu"),
        "vmalloc_areas": areas.lines().filter(|line| !is_kept(line)).count(),
        "io_maps": proc::device_mappings().unwrap_or(0),
        "vfio_interrupts": interrupts.lines().filter(|line| line.contains("vfio")).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(shared: &Shared, kind: Kind, result: i64, times: u64) {
        for _ in 0..times {
            shared.slots[0].start(kind, [0; 6]);
            shared.slots[0].end(kind, result);
        }
    }

    #[test]
    fn a_kind_that_is_only_refused_is_a_finding() {
        let shared = Shared::new().unwrap();
        let asked = Asked { commands: Commands::None, rebinds: false };
        make(shared, Kind::SetIrqsEventFd, -5, TRIED - 1);
        make(shared, Kind::SendCommand, -5, TRIED);
        make(shared, Kind::Unbind, -5, TRIED);
        assert_eq!(verdict(shared, asked), []);
        make(shared, Kind::SetIrqsEventFd, -5, 1);
        assert_eq!(verdict(shared, asked), [Finding::Never(Kind::SetIrqsEventFd)]);
        let asked = Asked { commands: Commands::All, rebinds: true };
        let all = [Kind::SetIrqsEventFd, Kind::SendCommand, Kind::Unbind].map(Finding::Never);
        assert_eq!(verdict(shared, asked), all);
        make(shared, Kind::SetIrqsEventFd, 0, 1);
        assert_eq!(verdict(shared, asked), all[1..]);
    }

    #[test]
    fn a_long_run_must_have_seen_every_kind() {
        let shared = Shared::new().unwrap();
        let asked = Asked { commands: Commands::None, rebinds: false };
        make(shared, Kind::DeviceInfo, 0, LONG_RUN);
        let findings = verdict(shared, asked);
        assert!(findings.contains(&Finding::Never(Kind::Map)));
        assert!(!findings.contains(&Finding::Never(Kind::DeviceInfo)));
        assert!(!findings.contains(&Finding::Never(Kind::SendCommand)));
    }

    #[test]
    fn a_success_of_what_no_driver_knows_is_a_finding() {
        let shared = Shared::new().unwrap();
        let asked = Asked { commands: Commands::All, rebinds: true };
        for kind in Kind::ALL {
            make(shared, *kind, 0, 1);
        }
        assert_eq!(verdict(shared, asked), [Finding::Wrong(Kind::UnknownIoctl)]);
    }

    #[test]
    fn the_table_has_every_kind_and_its_errors() {
        let shared = Shared::new().unwrap();
        shared.slots[0].start(Kind::Map, [0; 6]);
        shared.slots[0].end(Kind::Map, -i64::from(libc::ENODEV));
        let table = table(shared);
        assert_eq!(table.lines().count(), Kind::ALL.len() + 1);
        assert!(
            table.lines().any(|line| line.contains("mmap region") && line.contains("ENODEV 1"))
        );
    }
}
