// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What the Management Complex programs into the queue manager.
//!
//! Everything that software owns carries an isolation id: a portal reaches what
//! has its own. An object that nobody owns is not configured (`None`), and
//! answers as if it were not there.

use crate::{
    fabric::{Engine, Message},
    soc::Soc,
};

/// How much there is of everything. Objects are numbered from 0; the numbers
/// here are how many numbers there are, not how many objects are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Software portals, at most 128.
    pub portals: u32,
    /// Frame queues.
    pub queues: u32,
    /// Channels.
    pub channels: u32,
    /// Buffer pools.
    pub pools: u32,
    /// Queuing destinations.
    pub destinations: u32,
    /// Which queue manager.
    pub version: Version,
    /// Its clock, Hz. Zero counts as one.
    pub clock: u32,
}

impl Config {
    /// Portals beyond this number do not exist.
    pub const MOST_PORTALS: u32 = 128;
}

/// A chip's queue manager: its tables reach up to the highest number of each
/// pool.
impl From<&Soc> for Config {
    fn from(soc: &Soc) -> Self {
        let pools = &soc.pools;
        Self {
            portals: pools.swp.end(),
            queues: pools.fq.end(),
            channels: pools.channel8.end().max(pools.channel2.end()),
            pools: pools.bp.end(),
            destinations: pools.qd.end(),
            version: if soc.has_memory_backed_portals() { Version::V5 } else { Version::V4 },
            clock: soc.qman_clock,
        }
    }
}

/// A generation of the queue manager, as far as its portals differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// QMan 4.1 (LS2088A, LS1088A): rings are in the portal, an entry's valid
    /// bit hands it over.
    V4,
    /// QMan 5.0 (LX2160A): a portal's configuration may put its rings into
    /// memory; doorbells hand entries over.
    V5,
}

/// A software portal of some container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// The portal's own channel, in which its notifications arrive: the lowest
    /// bit of its static dequeue command.
    pub own_channel: Option<u32>,
    /// Channels of the other bits. The entry for the lowest bit counts where
    /// there is no own channel.
    pub static_channels: [Option<u32>; 16],
    /// Its interrupt.
    pub message: Option<Message>,
}

/// Who takes frames out of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// Nobody: software asks for frames by the queue's number.
    Parked,
    /// A channel serves the queue.
    Channel {
        /// Number of the channel.
        channel: u32,
        /// Its work queue; 0 goes first, 7 last.
        priority: u8,
    },
    /// Like [`Consumer::Parked`], but when there are frames, a notification
    /// with the queue's context goes to a portal's channel. The next one after
    /// software has scheduled the queue again.
    Notify {
        /// Number of the channel.
        channel: u32,
        /// Its work queue.
        priority: u8,
    },
    /// A hardware engine.
    Engine(Engine),
}

/// What a threshold counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Frames.
    Frames,
    /// Bytes of the frames.
    Bytes,
}

/// A limit past which frames are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailDrop {
    /// What is counted.
    pub unit: Unit,
    /// The most that the queue may hold.
    pub threshold: u64,
    /// Added to each frame's bytes (overhead accounting length).
    pub overhead: i16,
}

/// A frame queue of some container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// Another container whose portals may enqueue: that of the other end of a
    /// connected communication interface.
    pub peer: Option<u16>,
    /// Who takes frames out.
    pub consumer: Consumer,
    /// Comes with each dequeued frame.
    pub context: u64,
    /// What engines' frames get as their flow context, where it is set.
    pub flow_context: Option<u64>,
    /// Drop of frames that find the queue full.
    pub tail_drop: Option<TailDrop>,
    /// Whether the queue stays with the portal that it was pushed to until that
    /// portal has consumed its entries: the order of frames is kept whoever
    /// works on them.
    pub hold_active: bool,
    /// Where frames go that this queue rejects, if their sender asked for that.
    pub rejects: Option<u32>,
}

impl QueueConfig {
    /// A queue without anything special.
    pub fn new(icid: u16, consumer: Consumer) -> Self {
        Self {
            icid,
            peer: None,
            consumer,
            context: 0,
            flow_context: None,
            tail_drop: None,
            hold_active: false,
            rejects: None,
        }
    }
}

/// Where a channel's data notification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationConfig {
    /// The portal in whose own channel it arrives.
    pub portal: u32,
    /// Work queue of that channel.
    pub priority: u8,
    /// What it carries.
    pub context: u64,
}

/// A channel of some container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// Work queues, at most 8. Queues of a priority that is not there go to
    /// the last.
    pub priorities: u8,
    /// Whether it gives frames and notifications.
    pub enabled: bool,
    /// Its data notification. It is sent where software has armed it through a
    /// portal, which may be before or after this.
    pub notification: Option<NotificationConfig>,
}

/// A buffer pool of some container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Isolation id of the container.
    pub icid: u16,
}

/// A queuing destination of some container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// Frame queues by priority and bin. A priority or bin that is not there
    /// has its frames rejected.
    pub queues: Vec<Vec<u32>>,
}
