// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The software portals of the queue and buffer manager (QBMan), as far as a
//! driver looks before the first frame.
//!
//! # What is there
//! The window of 64 MiB that the chip's drivers call the cache-enabled (CE) and
//! cache-inhibited (CI) areas: CE at 0, CI at [`CI_OFFSET`], 64 KiB a portal in
//! each. CI holds the registers: they have their values after reset, keep what
//! is written (bits that do not exist read as zero), and the status register
//! clears the bits that are written as one. A reset of the portal's `dpio`
//! object brings the power-on values back. That is all that the probe of
//! Linux's `fsl-mc-dpio` and the portal set-up of DPDK's `fslmc` bus see.
//!
//! # What is not there
//! The queues: enqueue, dequeue (volatile or static), acquire, release and all
//! other management commands. Nothing consumes what software puts into a ring,
//! so the consumer indices stay where they are, no entry comes, no interrupt
//! status is ever set, and a command waits for an answer forever. The first
//! command of each kind to each portal is traced as a warning.
//!
//! # What is elsewhere
//! The third area of a portal since QBMan 5.0, the memory-backed one (region 2
//! of a `dpio`), is plain memory that the host of the board provides
//! ([`PortalMemory`]); a reset clears it, and nothing else looks at it. Its
//! doorbells are registers of the CI area.
//!
//! # Sources
//! Offsets and reset expectations: Linux `drivers/soc/fsl/dpio/qbman-portal.c`,
//! DPDK `drivers/bus/fslmc/qbman`. Where neither tells, the code says what it
//! chose.

mod registers;
mod unanswered;

use crate::host::PortalMemory;
use parking_lot::Mutex;
use registers::{Registers, Written};
use std::{fmt, sync::Arc};
use unanswered::{Kind, Unanswered};

/// Bytes of the window.
pub const WINDOW_SIZE: u64 = 0x400_0000;
/// Where the registers begin in the window; what is below is the cache-enabled
/// area.
pub const CI_OFFSET: u64 = 0x200_0000;
/// Bytes of the memory-backed area: as many portals as the window has.
pub const MEMORY_SIZE: u64 = 0x400_0000;
/// Bytes from one portal to the next in each area.
pub const PORTAL_STRIDE: u64 = 0x1_0000;

/// Bytes of a ring entry and of a command in the cache-enabled area.
const ENTRY: u64 = 64;

/// What a portal's memory is cleared with, a page at a time.
const ZEROS: [u8; 0x1000] = [0; 0x1000];

/// The software portals of a board. All methods may be called from any thread;
/// portals do not wait for each other.
pub struct Qbman {
    portals: Vec<Mutex<Portal>>,
    memory: Arc<dyn PortalMemory>,
}

impl fmt::Debug for Qbman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qbman").field("portals", &self.portals).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Portal {
    registers: Registers,
    unanswered: Unanswered,
}

/// What an offset in the window stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    portal: u32,
    area: Area,
    /// Offset in the portal's 64 KiB.
    at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    CacheEnabled,
    CacheInhibited,
}

impl Qbman {
    /// Portals at their power-on values, with `memory` behind the memory-backed
    /// area. The window has room for 512; more cannot be addressed.
    pub fn new(portals: u32, memory: Arc<dyn PortalMemory>) -> Self {
        Self { portals: (0..portals).map(|_| Mutex::default()).collect(), memory }
    }

    /// Reads `data.len()` bytes at `offset` of the window.
    ///
    /// Registers are four bytes wide; an access of eight reads the register and
    /// the one after it. Everything else, and what no portal answers, is zero
    /// and traced.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Some((place, portal)) = self.locate(offset) else {
            tracing::debug!(offset, "read outside of the software portals");
            return;
        };
        match place.area {
            // The rings and answers live here in direct mode. Nothing ever puts
            // an answer into them.
            Area::CacheEnabled => {}
            Area::CacheInhibited => read_registers(&mut portal.lock(), place, data),
        }
    }

    /// Writes `data` at `offset` of the window. Accesses as for
    /// [`read`](Self::read); what is no register is ignored and traced.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let Some((place, portal)) = self.locate(offset) else {
            tracing::debug!(offset, ?data, "write outside of the software portals");
            return;
        };
        match place.area {
            Area::CacheEnabled => write_entry(&mut portal.lock(), place, data),
            Area::CacheInhibited => write_registers(&mut portal.lock(), place, data),
        }
    }

    /// Puts a portal back to its power-on values, its memory too: what the reset
    /// command of its `dpio` object does. A number that no portal has is traced.
    pub fn reset_portal(&self, portal: u32) {
        match self.portals.get(portal as usize) {
            Some(state) => {
                let mut state = state.lock();
                state.registers = Registers::default();
                self.clear_memory(portal);
            }
            None => tracing::warn!(portal, "reset of a software portal that is not there"),
        }
    }

    fn clear_memory(&self, portal: u32) {
        let start = u64::from(portal) * PORTAL_STRIDE;
        for offset in (start..start + PORTAL_STRIDE).step_by(ZEROS.len()) {
            self.memory.write(offset, &ZEROS);
        }
    }

    fn locate(&self, offset: u64) -> Option<(Place, &Mutex<Portal>)> {
        if offset >= WINDOW_SIZE {
            return None;
        }
        let area = if offset < CI_OFFSET { Area::CacheEnabled } else { Area::CacheInhibited };
        let index = usize::try_from(offset % CI_OFFSET / PORTAL_STRIDE).ok()?;
        let portal = self.portals.get(index)?;
        Some((Place { portal: index as u32, area, at: offset % PORTAL_STRIDE }, portal))
    }
}

fn read_registers(portal: &mut Portal, place: Place, data: &mut [u8]) {
    if !aligned(place, data) {
        tracing::debug!(?place, length = data.len(), "read of a part of a register");
        return;
    }
    for (at, bytes) in (place.at..).step_by(4).zip(data.chunks_exact_mut(4)) {
        match portal.registers.read(at) {
            Some(value) => bytes.copy_from_slice(&value.to_le_bytes()),
            // The upper half of an access of eight bytes means no register.
            None if at != place.at => {}
            None => tracing::debug!(portal = place.portal, at, "read of an unknown register"),
        }
    }
}

fn write_registers(portal: &mut Portal, place: Place, data: &[u8]) {
    if !aligned(place, data) {
        tracing::debug!(?place, ?data, "write to a part of a register");
        return;
    }
    for (at, bytes) in (place.at..).step_by(4).zip(data.chunks_exact(4)) {
        let Some(bytes) = bytes.first_chunk() else { continue };
        let value = u32::from_le_bytes(*bytes);
        match portal.registers.write(at, value) {
            Written::Kept => {}
            Written::Command(kind) => portal.unanswered.note(place.portal, kind),
            Written::Unknown if at != place.at => {}
            Written::Unknown => {
                tracing::debug!(portal = place.portal, at, value, "write to an unknown register");
            }
        }
    }
}

/// A write to the cache-enabled area. In direct mode the store of an entry's
/// first byte, the verb, hands the entry over.
fn write_entry(portal: &mut Portal, place: Place, data: &[u8]) {
    let verb = data.first().copied().unwrap_or(0) & 0x7f;
    if !place.at.is_multiple_of(ENTRY) || verb == 0 {
        return;
    }
    // Layout of direct mode: eight entries in each ring.
    let kind = match place.at {
        0x000..0x200 => Kind::Enqueue,
        0x400..0x600 => Kind::Release,
        0x600 => Kind::Management,
        0x780 => Kind::VolatileDequeue,
        _ => return,
    };
    portal.unanswered.note(place.portal, kind);
}

/// Whether an access covers whole registers: four or eight bytes at a multiple
/// of four.
fn aligned(place: Place, data: &[u8]) -> bool {
    place.at.is_multiple_of(4) && matches!(data.len(), 4 | 8)
}

#[cfg(test)]
mod tests;
