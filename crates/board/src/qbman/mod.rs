// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The queue and buffer manager (QBMan): frame queues, channels, buffer pools,
//! and the software portals through which drivers reach them.
//!
//! # Three sides
//! - **Software** reads and writes a window of 128 MiB, [`Qbman::read`] and
//!   [`Qbman::write`]: what the chip's drivers call the cache-enabled (CE) area
//!   at 0 and the cache-inhibited (CI) area at [`CI_OFFSET`], 64 KiB a portal in
//!   each. Registers are in CI. Rings and commands are in both, the same ones
//!   (direct mode), or, since QMan 5.0, in a third area that is plain memory
//!   ([`PortalMemory`]), where doorbells in CI trigger them (memory-backed
//!   mode). What is triggered is done when the write returns.
//! - **The Management Complex** says what belongs to whom: the `configure_*`
//!   functions. Until it does, a portal is nobody's and reaches nothing.
//! - **Engines** (network interfaces and others) call [`Qbman::enqueue`],
//!   [`Qbman::dequeue`], [`Qbman::acquire`] and [`Qbman::release`].
//!
//! Engines that have something to do, and interrupts, are collected in the
//! [`Pass`] that every call gets; whoever made the call sees to them when it
//! returns. There is no thread, no clock and no lock of the MC in here; a call
//! never waits for anything but a short lock.
//!
//! # Isolation
//! A portal reaches objects of its own isolation id only. Of others it learns no
//! more than that they are not there: a frame for them is rejected, a command
//! on them answered with an error, and both are counted
//! ([`Qbman::portal_counters`]).
//!
//! # Locks
//! From top to bottom: a portal's consumer side (rings that software fills) ->
//! a portal's producer side (dequeue ring, interrupts) -> order restoration
//! record -> channel -> frame queue -> congestion group -> pool -> SMMU. One of each at most, for no longer than one step. Nobody holds a
//! channel or a queue while a dequeue ring is filled: who makes a queue or a
//! channel ready notes the portals concerned (`kicks.rs`) and fills their
//! rings afterwards.
//!
//! # Sources
//! Linux `drivers/soc/fsl/dpio`, DPDK `drivers/bus/fslmc/qbman`. Where neither
//! tells, the code says what it chose.

mod budget;
mod channel;
mod config;
mod control;
mod engines;
mod flow;
mod group;
mod kicks;
mod memory;
mod order;
mod pool;
mod portal;
mod queue;
mod shared;

pub use config::{
    ChannelConfig, Config, Consumer, DestinationConfig, GroupConfig, Hysteresis, LateArrivals,
    MemoryNotification, NotificationConfig, OrderConfig, PoolConfig, PoolMessage, PortalConfig,
    QueueConfig, TailDrop, Unit, Version, WorkQueueNotification,
};
pub use control::{GroupState, OrderState};
pub use portal::PortalCounters;

use crate::{
    fabric::{Dma, Pass},
    host::PortalMemory,
};
use channel::{Channel, Ready};
use kicks::Kicks;
use order::Record;
use parking_lot::{Mutex, RwLock};
use pool::Pool;
use portal::Portal;
use queue::Queue;
use shared::Shared;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
};

/// Offset of the cache-inhibited area in the window (board:
/// `models/board/baselines/reference.json` of the ledger).
pub const CI_OFFSET: u64 = 0x400_0000;
/// Bytes of a portal in each area, and in the portal memory.
pub const PORTAL_STRIDE: u64 = 0x1_0000;
/// Bytes of the window.
pub const WINDOW_SIZE: u64 = 2 * CI_OFFSET;
/// Bytes of the portal memory: as many portals as the window has.
pub const MEMORY_SIZE: u64 = 0x400_0000;

/// Memory of queues and pools beyond what is kept for each of them.
const SHARED_MEMORY: usize = 512 << 20;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// A frame queue is not in the position to take a frame.
pub use qbman_abi::Rejection;

/// The queue and buffer manager. All methods may be called from any thread.
pub struct Qbman {
    config: Config,
    memory: Arc<dyn PortalMemory>,
    portals: Box<[Portal]>,
    queues: Box<[Mutex<Queue>]>,
    /// Queues that may have frames, for a look without their lock.
    filled: Box<[AtomicBool]>,
    channels: Box<[(Mutex<Channel>, Ready)]>,
    pools: Box<[Mutex<Pool>]>,
    destinations: Box<[RwLock<Option<DestinationConfig>>]>,
    /// Records, and the numbers that their queues give next.
    records: Box<[(Mutex<Record>, AtomicU16)]>,
    shared: Shared,
    /// When a timer of a portal ends, at the earliest.
    deadline: AtomicU64,
}

/// So many of something.
fn all<T>(count: u32, make: impl FnMut(u32) -> T) -> Box<[T]> {
    (0..count).map(make).collect()
}

impl Qbman {
    /// A queue manager after power-on: nothing belongs to anybody.
    ///
    /// `memory` is that of memory-backed portals, [`PORTAL_STRIDE`] bytes each.
    /// `dma` is where answers and notifications to memory go.
    pub fn new(config: Config, memory: Arc<dyn PortalMemory>, dma: Dma) -> Self {
        let portals = config.portals.min(Config::MOST_PORTALS);
        Self {
            config,
            memory,
            portals: all(portals, |number| Portal::new(number, config.version)),
            queues: all(config.queues, |_| Mutex::default()),
            filled: all(config.queues, |_| AtomicBool::default()),
            channels: all(config.channels, |_| Default::default()),
            pools: all(config.pools, |_| Mutex::default()),
            destinations: all(config.destinations, |_| RwLock::default()),
            records: all(config.records, |_| Default::default()),
            shared: Shared::new(SHARED_MEMORY, dma, all(config.groups, |_| Mutex::default())),
            deadline: AtomicU64::new(NEVER),
        }
    }

    /// When [`Qbman::tick`] has something to do, nanoseconds of the board's
    /// clock; `None`: nothing waits.
    pub fn deadline(&self) -> Option<u64> {
        let deadline = self.deadline.load(Ordering::Acquire);
        (deadline != NEVER).then_some(deadline)
    }

    /// Sends the interrupts whose time has come ([`Pass::now`]).
    pub fn tick(&self, pass: &mut Pass) {
        if self.deadline().is_none_or(|deadline| deadline > pass.now()) {
            return;
        }
        // A timer that starts while this runs notes itself again.
        self.deadline.store(NEVER, Ordering::Release);
        for portal in &self.portals {
            portal.tick(self, pass);
        }
        self.settle(Kicks::NONE, pass);
    }

    fn note_deadline(&self, at: u64) {
        self.deadline.fetch_min(at, Ordering::AcqRel);
    }

    /// Nanoseconds of so many units of a portal's hold-off time.
    fn hold_off(&self, units: u32) -> u64 {
        u64::from(units) * 256 * 1_000_000_000 / u64::from(self.config.clock.max(1))
    }

    /// Fills dequeue rings until nobody waits for one.
    fn settle(&self, mut kicks: Kicks, pass: &mut Pass) {
        loop {
            while let Some(link) = self.shared.take_link() {
                kicks |= self.link(link, false);
            }
            let Some(number) = kicks.take() else { break };
            if let Some(portal) = self.portals.get(number as usize) {
                kicks |= portal.fill(self, pass);
            }
        }
    }
}

impl fmt::Debug for Qbman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qbman").field("config", &self.config).finish_non_exhaustive()
    }
}
