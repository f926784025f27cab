// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One network interface: what the data path reads of it.

use super::{
    config::{Endpoint, InterfaceConfig, ReceiveConfig, TransmitConfig},
    counters::Counters,
    distribution::Distributor,
    filter::{Stations, Vlans},
    meter::Meter,
    schedule::Scheduler,
};
use crate::fabric::Engine;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A network interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub id: u32,
    /// Who sends for it.
    pub engine: Engine,
    /// What it is to those that it is connected to.
    pub end: Endpoint,
    /// Somebody looks at its frames.
    pub captured: bool,
    pub transmit: RwLock<TransmitSide>,
    pub receive: RwLock<ReceiveSide>,
    pub counters: Counters,
    /// When it may send again what has to wait for its rate, nanoseconds of the board's clock;
    /// [`NEVER`]: nothing waits.
    pub due: AtomicU64,
    sending: AtomicU8,
}

/// What sending reads.
#[derive(Debug, Default)]
pub(super) struct TransmitSide {
    pub icid: u16,
    pub enabled: bool,
    pub peer: Option<Endpoint>,
    /// The interface's number, where somebody looks at its frames.
    pub captured: Option<u32>,
    pub scheduler: Option<Scheduler>,
    pub config: TransmitConfig,
}

/// What receiving reads.
#[derive(Debug, Default)]
pub(super) struct ReceiveSide {
    pub icid: u16,
    pub enabled: bool,
    pub peer: Option<Endpoint>,
    pub stations: Stations,
    pub vlans: Vlans,
    pub distributor: Distributor,
    /// The meters of the classes.
    pub meters: Vec<Option<Meter>>,
    pub config: ReceiveConfig,
}

/// No time.
pub(super) const NEVER: u64 = u64::MAX;

/// Nobody sends.
const IDLE: u8 = 0;
/// A thread sends.
const BUSY: u8 = 1;
/// A thread sends, and is to look again when it is done.
const AGAIN: u8 = 2;

impl Interface {
    pub fn new(id: u32, captured: bool) -> Self {
        Self { captured, ..Self::of(id, Engine::Interface(id), Endpoint::Interface(id)) }
    }

    /// An interface that is part of another object.
    pub fn of(id: u32, engine: Engine, end: Endpoint) -> Self {
        Self {
            id,
            engine,
            end,
            captured: false,
            transmit: RwLock::default(),
            receive: RwLock::default(),
            counters: Counters::default(),
            due: AtomicU64::new(NEVER),
            sending: AtomicU8::new(IDLE),
        }
    }

    /// Replaces the configuration. Waits for the frames that use the old one.
    pub fn configure(&self, config: InterfaceConfig) {
        let InterfaceConfig { icid, enabled, peer, transmit, mut receive } = config;
        // The order in which they are tried: backups last, and of the others
        // the ones with the smaller buffers first.
        receive.pools.sort_by_key(|pool| (pool.backup, pool.size));
        let stations = Stations::new(&receive.macs);
        let vlans = Vlans::new(&receive);
        let distributor = Distributor::new(&receive);
        let captured = self.captured.then_some(self.id);
        let mut side = self.transmit.write();
        let before = side.scheduler.take();
        let schedule = transmit.schedule.clone();
        let scheduler =
            schedule.map(|schedule| Scheduler::renew(schedule, &transmit.queues, before));
        *side = TransmitSide { icid, enabled, peer, captured, scheduler, config: transmit };
        drop(side);
        let mut side = self.receive.write();
        let before = std::mem::take(&mut side.meters);
        let meters = meters(&receive, before);
        *side = ReceiveSide {
            icid,
            enabled,
            peer,
            stations,
            vlans,
            distributor,
            meters,
            config: receive,
        };
    }

    /// Asks for the right to send: at most one thread has it. Who has it
    /// already looks again before it lets go.
    pub fn claim_sending(&self) -> bool {
        self.sending.swap(AGAIN, Ordering::AcqRel) == IDLE
    }

    /// Who has the right starts to look for frames: for all of those, too, of whoever
    /// asked for it before. Who asks later finds it busy, and is seen by
    /// [`Interface::end_sending`].
    pub fn start_sending(&self) {
        self.sending.swap(BUSY, Ordering::AcqRel);
    }

    /// Lets go of the right, unless somebody asked for it meanwhile.
    pub fn end_sending(&self) -> bool {
        self.sending.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets go of the right although there may be frames left.
    pub fn abandon_sending(&self) {
        self.sending.store(IDLE, Ordering::Release);
    }
}

/// The meters of the classes. What those of before have counted stays, where they
/// are the same.
fn meters(config: &ReceiveConfig, before: Vec<Option<Meter>>) -> Vec<Option<Meter>> {
    let mut before = before.into_iter();
    let meters = config.classes.iter().map(|class| {
        let known = before.next().flatten();
        let wanted = class.policer?.meter?;
        Some(known.filter(|one| *one.config() == wanted).unwrap_or_else(|| Meter::new(wanted)))
    });
    meters.collect()
}
