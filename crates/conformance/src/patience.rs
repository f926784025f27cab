// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How long a check waits for what has to come. What may take no longer than a rule says
//! is not waited for by these.

use std::sync::OnceLock;
use std::time::Duration;

static FACTOR: OnceLock<u32> = OnceLock::new();

/// Has this process wait so many times as long, for kernels that are slow. The first call
/// counts.
pub fn multiply(factor: u32) {
    let _ = FACTOR.set(factor.max(1));
}

/// How long an interrupt, an object on the bus, or the end of a process may take.
pub fn patience() -> Duration {
    Duration::from_secs(5).saturating_mul(FACTOR.get().copied().unwrap_or(1))
}
