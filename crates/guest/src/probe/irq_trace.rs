// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How soon after a frame was handed to its software portal the kernel is in the handler of a
//! portal's interrupt, by the kernel's own trace: `fsl_dpaa2_eth` tells of a frame just before
//! the store (`drivers/net/ethernet/freescale/dpaa2/dpaa2-eth-trace.h`, `dpaa2_tx_fd`), and the
//! interrupt's core of each handler that it calls (`irq_handler_entry`).

use rustix::mount::{MountFlags, mount};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Where the kernel shows its trace: `Documentation/trace/ftrace.rst`.
const TRACE: &str = "/sys/kernel/tracing";

/// An event of the kernel's, in `events/SYSTEM/NAME` there.
#[derive(Clone, Copy, PartialEq)]
struct Event {
    system: &'static str,
    name: &'static str,
}

const SENT: Event = Event { system: "dpaa2_eth", name: "dpaa2_tx_fd" };
const HANDLED: Event = Event { system: "irq", name: "irq_handler_entry" };
const EVENTS: [Event; 2] = [SENT, HANDLED];

impl Event {
    fn set(self, file: &str, text: &str) -> io::Result<()> {
        set(&format!("events/{}/{}/{file}", self.system, self.name), text)
    }
}

/// A trace that is being recorded; it ends when dropped.
pub struct IrqTrace(());

impl IrqTrace {
    /// Starts to record frames that are sent, and interrupts of software portals.
    pub fn start() -> io::Result<Self> {
        if !Path::new(TRACE).join("trace").exists() {
            let none = MountFlags::empty();
            mount("tracefs", TRACE, "tracefs", none, None).map_err(|error| {
                io::Error::other(format!("the trace cannot be mounted at {TRACE}: {error}"))
            })?;
        }
        let trace = Self(());
        for (file, text) in [
            ("tracing_on", "0"),
            // One for all processors.
            ("trace_clock", "mono"),
            ("trace", ""),
        ] {
            set(file, text)?;
        }
        HANDLED.set("filter", "name ~ \"dpio.*\"")?;
        for event in EVENTS {
            event.set("enable", "1")?;
        }
        set("tracing_on", "1")?;
        Ok(trace)
    }

    /// From each frame to the first handler after it. A frame that another one follows before
    /// that is none of them.
    pub fn times(self) -> io::Result<Vec<Duration>> {
        set("tracing_on", "0")?;
        Ok(times(&fs::read_to_string(Path::new(TRACE).join("trace"))?))
    }
}

impl Drop for IrqTrace {
    fn drop(&mut self) {
        for event in EVENTS {
            // Of a trace that did not start.
            let _ = event.set("enable", "0");
        }
    }
}

fn set(file: &str, text: &str) -> io::Result<()> {
    let path = Path::new(TRACE).join(file);
    fs::write(&path, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Of lines such as `wake-99 [001] d..1. 12.345678: dpaa2_tx_fd: [eth1] fd: ...`.
fn times(text: &str) -> Vec<Duration> {
    let mut sent = None;
    let mut times = Vec::new();
    for (at, event) in text.lines().filter_map(event) {
        match (event, sent.take()) {
            (SENT, _) => sent = Some(at),
            (_, Some(start)) => times.push(at.saturating_sub(start)),
            (_, None) => {}
        }
    }
    times
}

/// The time of an event, and which it is.
fn event(line: &str) -> Option<(Duration, Event)> {
    let of = |event: Event| Some((line.split_once(&format!(": {}: ", event.name))?.0, event));
    let (before, event) = EVENTS.into_iter().find_map(of)?;
    let (seconds, micros) = before.split_whitespace().next_back()?.split_once('.')?;
    let micros: u64 = micros.parse().ok()?;
    Some((Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros), event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_and_the_first_handler_after_it_are_a_time() {
        let text = "\
# tracer: nop
     <idle>-0       [000] d.h1.     9.900000: irq_handler_entry: irq=50 name=dpio.0
 fslmc-guest-99     [001] ..s2.    10.000100: dpaa2_tx_fd: [eth1] fd: addr=0xff, len=72
     <idle>-0       [000] d.h1.    10.000400: irq_handler_entry: irq=50 name=dpio.0
     <idle>-0       [001] d.h1.    10.000500: irq_handler_entry: irq=51 name=dpio.1
 fslmc-guest-99     [001] ..s2.    11.000000: dpaa2_tx_fd: [eth1] fd: addr=0xff, len=72
 fslmc-guest-99     [001] ..s2.    11.000010: dpaa2_tx_fd: [eth1] fd: addr=0xff, len=72
     <idle>-0       [000] d.h1.    12.000010: irq_handler_entry: irq=50 name=dpio.0
";
        assert_eq!(times(text), [Duration::from_micros(300), Duration::from_secs(1)]);
        assert_eq!(times("# entries-in-buffer/entries-written: 0/0\n"), []);
    }
}
