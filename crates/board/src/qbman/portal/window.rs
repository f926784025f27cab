// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A portal's addresses: registers, and rings inside the portal.

use super::{INSIDE, Portal, consumer::Consumer};
use crate::{
    fabric::Pass,
    host::PortalMemory,
    qbman::{CI_OFFSET, PORTAL_STRIDE, PortalCounters, Qbman, WINDOW_SIZE, kicks::Kicks},
};
use qbman_abi::{Rings, registers};

/// A place in the window.
#[derive(Debug, Clone, Copy)]
struct Place {
    cache_inhibited: bool,
    at: u64,
}

impl Qbman {
    /// Reads from the window. What is not there reads as zero; so does a part
    /// of a register.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Some((place, portal)) = self.locate(offset) else {
            tracing::debug!(offset, "read of no software portal");
            return;
        };
        if place.at < INSIDE as u64 {
            portal.inside.read(place.at, data);
        } else {
            portal.read_registers(place, data);
        }
    }

    /// Writes to the window. What that triggers is done when it returns.
    pub fn write(&self, offset: u64, data: &[u8], pass: &mut Pass) {
        let Some((place, portal)) = self.locate(offset) else {
            tracing::debug!(offset, ?data, "write to no software portal");
            return;
        };
        let kicks = if place.at < INSIDE as u64 {
            portal.write_inside(self, place.at, data, pass)
        } else {
            portal.write_registers(self, place, data, pass)
        };
        self.settle(kicks, pass);
    }

    /// What went wrong at a portal; nothing at one that does not exist.
    pub fn portal_counters(&self, number: u32) -> PortalCounters {
        self.portals.get(number as usize).map_or_else(Default::default, Portal::counters)
    }

    fn locate(&self, offset: u64) -> Option<(Place, &Portal)> {
        let portal = self.portals.get((offset % CI_OFFSET / PORTAL_STRIDE) as usize)?;
        let at = offset % PORTAL_STRIDE;
        (offset < WINDOW_SIZE)
            .then_some((Place { cache_inhibited: offset >= CI_OFFSET, at }, portal))
    }
}

impl Portal {
    fn read_registers(&self, place: Place, data: &mut [u8]) {
        if !aligned(place, data) {
            tracing::debug!(?place, length = data.len(), "read of a part of a register");
            return;
        }
        for (at, bytes) in (place.at..).step_by(4).zip(data.chunks_exact_mut(4)) {
            match self.read_register(Place { at, ..place }) {
                Some(value) => bytes.copy_from_slice(&value.to_le_bytes()),
                // The upper half of an access of eight bytes means no register.
                None if at != place.at => {}
                None => tracing::debug!(portal = self.number, at, "read of an unknown register"),
            }
        }
    }

    fn read_register(&self, place: Place) -> Option<u32> {
        if !place.cache_inhibited {
            // The one that drivers of direct mode read here.
            return (place.at == Rings::DIRECT.eqcr_ci).then(|| self.consumer.lock().eqcr_ci());
        }
        if Consumer::has(place.at) {
            return Some(self.consumer.lock().read_register(place.at, self.version));
        }
        self.producer.lock().read_register(place.at)
    }

    fn write_registers(&self, qbman: &Qbman, place: Place, data: &[u8], pass: &mut Pass) -> Kicks {
        let mut kicks = Kicks::NONE;
        if !aligned(place, data) || !place.cache_inhibited {
            tracing::debug!(?place, ?data, "write to a part of a register");
            return kicks;
        }
        for (at, bytes) in (place.at..).step_by(4).zip(data.chunks_exact(4)) {
            let Some(bytes) = bytes.first_chunk() else { continue };
            let value = u32::from_le_bytes(*bytes);
            match self.write_register(qbman, at, value, pass) {
                Some(more) => kicks |= more,
                None if at != place.at => {}
                None => {
                    tracing::debug!(
                        portal = self.number,
                        at,
                        value,
                        "write to an unknown register"
                    );
                }
            }
        }
        kicks
    }

    fn write_register(&self, qbman: &Qbman, at: u64, value: u32, pass: &mut Pass) -> Option<Kicks> {
        if at == registers::CFG {
            let mut consumer = self.consumer.lock();
            consumer.set_config(value);
            self.producer.lock().set_config(value);
            return Some(Kicks::NONE);
        }
        if Consumer::has(at) {
            let mut consumer = self.consumer.lock();
            return Some(consumer.write_register(qbman, self, at, value, pass));
        }
        self.producer.lock().write_register(at, value, &mut self.producer_side(qbman, pass))
    }

    /// A write to the rings inside the portal.
    fn write_inside(&self, qbman: &Qbman, at: u64, data: &[u8], pass: &mut Pass) -> Kicks {
        let mut consumer = self.consumer.lock();
        self.inside.write(at, data);
        consumer.written_inside(qbman, self, at, data.len() as u64, pass)
    }
}

/// Whether an access covers whole registers: four or eight bytes at a multiple
/// of four.
fn aligned(place: Place, data: &[u8]) -> bool {
    place.at.is_multiple_of(4) && matches!(data.len(), 4 | 8)
}
