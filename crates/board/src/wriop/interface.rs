// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! One network interface: what the data path reads of it.

use super::{
    config::{Endpoint, InterfaceConfig, ReceiveConfig, TransmitConfig},
    counters::Counters,
    distribution::Distributor,
    filter::{Stations, Vlans},
};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// A network interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub id: u32,
    pub transmit: RwLock<TransmitSide>,
    pub receive: RwLock<ReceiveSide>,
    pub counters: Counters,
    turn: AtomicU8,
}

/// What sending reads.
#[derive(Debug, Default)]
pub(super) struct TransmitSide {
    pub icid: u16,
    pub enabled: bool,
    pub peer: Option<Endpoint>,
    pub config: TransmitConfig,
}

/// What receiving reads.
#[derive(Debug, Default)]
pub(super) struct ReceiveSide {
    pub icid: u16,
    pub enabled: bool,
    pub stations: Stations,
    pub vlans: Vlans,
    pub distributor: Distributor,
    pub config: ReceiveConfig,
}

/// Nobody sends.
const IDLE: u8 = 0;
/// A thread sends.
const BUSY: u8 = 1;
/// A thread sends, and is to look again when it is done.
const AGAIN: u8 = 2;

impl Interface {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            transmit: RwLock::default(),
            receive: RwLock::default(),
            counters: Counters::default(),
            turn: AtomicU8::new(IDLE),
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
        let transmit = TransmitSide { icid, enabled, peer, config: transmit };
        let receive = ReceiveSide { icid, enabled, stations, vlans, distributor, config: receive };
        *self.transmit.write() = transmit;
        *self.receive.write() = receive;
    }

    /// Asks for the right to send: at most one thread has it. Who has it
    /// already looks again before it lets go.
    pub fn take_turn(&self) -> bool {
        self.turn.swap(AGAIN, Ordering::AcqRel) == IDLE
    }

    /// Who has the right starts to look for frames.
    pub fn start_turn(&self) {
        self.turn.store(BUSY, Ordering::Release);
    }

    /// Lets go of the right, unless somebody asked for it meanwhile.
    pub fn end_turn(&self) -> bool {
        self.turn.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets go of the right although there may be frames left.
    pub fn abandon_turn(&self) {
        self.turn.store(IDLE, Ordering::Release);
    }
}
