// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Forwarding frames.

use crate::cli::Forward;
use crate::forward::{Limits, forward};
use dprc::AssignedContainer;
use guest_agent::Failure;
use std::time::Duration;

/// Forwards frames and prints the figures.
pub fn run(options: &Forward) -> Result<(), Failure> {
    let Forward { container, frames, seconds, first } = options;
    let limits = Limits { frames: *frames, time: Duration::from_secs(*seconds), first: *first };
    let held = AssignedContainer::open(container)?;
    println!("{}", forward(&held, &limits)?);
    Ok(())
}
