// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Faults of the guest's processors that pass: memory of a device is not there for a while.
//!
//! The host's driver takes an object that leaves its container away at once, and the guest
//! hears of it later: until its place is memory of the VMM's, KVM_RUN fails with EFAULT for
//! who loads or stores there.
#![cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]

use std::time::{Duration, Instant};

/// How long a processor waits before it tries again.
pub const PAUSE: Duration = Duration::from_millis(5);

/// How long a fault may take to pass. The container is looked at when its interrupt tells of a
/// change, or once a second where it has none, but not while a command of the guest's waits for
/// its answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A processor that was in the guest so long was not at its last fault any more.
const APART: Duration = Duration::from_secs(1);

/// Faults of a processor.
#[derive(Debug, Default)]
pub struct Faults {
    /// When the first came of those without anything else between them.
    first: Option<Instant>,
}

impl Faults {
    /// Something else has come.
    pub fn over(&mut self) {
        self.first = None;
    }

    /// A fault has come `now`, after the processor had entered the guest at `entered`. Says
    /// whether it is worth another try.
    pub fn may_pass(&mut self, entered: Instant, now: Instant) -> bool {
        if now.saturating_duration_since(entered) >= APART {
            self.over();
        }
        now.saturating_duration_since(*self.first.get_or_insert(now)) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_passes_or_ends_the_guest() {
        let mut faults = Faults::default();
        let start = Instant::now();
        let mut nows = (0..10_000).map(|tries| start + tries * PAUSE);
        let mut now = nows.find(|now| !faults.may_pass(*now, *now)).unwrap();
        assert_eq!(now - start, PATIENCE);
        // It stays, and another one has its own time, which may come after anything else or
        // after a while in the guest.
        assert!(!faults.may_pass(now, now));
        faults.over();
        assert!(faults.may_pass(now, now));
        now += PATIENCE;
        assert!(!faults.may_pass(now, now));
        assert!(faults.may_pass(now - APART, now));
    }
}
