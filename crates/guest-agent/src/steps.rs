// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the agent does on the way, for whoever watches.

use crate::failure::Failure;
use guest_protocol::Report;

/// Something that was attempted.
#[derive(Debug, Clone)]
pub struct Step {
    what: String,
    /// Whether it worked.
    pub ok: bool,
    detail: String,
    uptime_ms: u64,
}

impl Step {
    /// Something that worked.
    pub fn done(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, detail: detail.into(), uptime_ms: uptime_ms() }
    }

    /// Something that did not.
    pub fn failed(failure: &Failure) -> Self {
        Self {
            what: failure.what.clone(),
            ok: false,
            detail: format!("{}: {}", failure.place, failure.advice),
            uptime_ms: uptime_ms(),
        }
    }

    /// As a report, of an order if there is one.
    pub fn report(self, id: Option<u64>) -> Report {
        let Self { what, ok, detail, uptime_ms } = self;
        Report::Step { id, what, ok, detail, uptime_ms }
    }
}

/// Time since the kernel started, in milliseconds.
pub fn uptime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let millis = u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000;
    seconds.saturating_mul(1000).saturating_add(millis)
}
