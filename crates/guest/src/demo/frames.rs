// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames through the container's interfaces, by the example of the library.

use super::report::{Report, expect};
use crate::forward::{Limits, forward};
use crate::wait::wait;
use dprc::AssignedContainer;
use guest_agent::Failure;
use std::time::Duration;

/// So many frames go round, until so many have been forwarded; emulation is slow at times.
const LIMITS: Limits = Limits { frames: 1000, time: Duration::from_secs(60), first: 16 };

/// Frames that wake the program up, one after the other.
const ROUNDS: u64 = 5;
/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Forwards frames, and waits for some.
pub fn show(report: &mut Report, held: &AssignedContainer) -> Result<(), Failure> {
    show_forwarding(report, held)?;
    show_waking(report, held)
}

/// Forwards frames, and holds the figures of both interfaces against each other.
fn show_forwarding(report: &mut Report, held: &AssignedContainer) -> Result<(), Failure> {
    report.step("A program in user space forwards frames between its two interfaces", |report| {
        let figures = forward(held, &LIMITS)?;
        for line in figures.to_string().lines() {
            report.detail(line);
        }
        let [(one, by_one), (other, by_other)] = &figures.interfaces;
        expect(
            "whether all were forwarded",
            &held.name,
            &(figures.frames >= LIMITS.frames),
            &true,
        )?;
        expect("buffers that are lost", &held.name, &figures.lost, &0)?;
        let sent = by_one.sent + by_other.sent;
        expect(
            "frames that were sent",
            &held.name,
            &sent,
            &(figures.frames + LIMITS.first as u64),
        )?;
        let names = [one.object.to_string(), other.object.to_string()];
        expect("frames that it received", &names[1], &by_other.received, &by_one.sent)?;
        expect("frames that it received", &names[0], &by_one.received, &by_other.sent)?;
        report.detail("what one interface sent the other has received, and every buffer is back");
        Ok(())
    })
}

/// Waits for frames by a channel's notifications and a portal's interrupt.
fn show_waking(report: &mut Report, held: &AssignedContainer) -> Result<(), Failure> {
    report.step("A frame wakes it up, by an interrupt of its portal", |report| {
        let woken = wait(held, ROUNDS, PATIENCE)?;
        report.detail(woken.to_string());
        expect("frames", &held.name, &woken.frames, &ROUNDS)?;
        expect("notifications", &held.name, &woken.notifications, &ROUNDS)?;
        expect("interrupts", &held.name, &woken.interrupts, &ROUNDS)
    })
}
