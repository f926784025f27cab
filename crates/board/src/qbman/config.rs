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
use qbman_abi::management::EarlyDrop;

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
    /// Congestion groups.
    pub groups: u32,
    /// Queuing destinations.
    pub destinations: u32,
    /// Order restoration records.
    pub records: u32,
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
            queues: pools.transmit.end(),
            channels: pools.channel8.end().max(pools.channel2.end()),
            pools: pools.bp.end(),
            // Beside those that objects are given, one for each queue: the
            // hardware has further ones for what is sent.
            groups: pools.cg.end() + pools.transmit.end(),
            destinations: pools.qd.end(),
            records: pools.opr.end(),
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
    /// The congestion group that its frames count in.
    pub congestion_group: Option<u32>,
    /// The order restoration record that gives its frames their numbers when
    /// they are dequeued. One queue a record, for the numbers to tell the order.
    pub order: Option<u32>,
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
            congestion_group: None,
            order: None,
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
    /// Whether it gives data notifications. It gives frames in any case.
    pub notifies: bool,
    /// Its data notification. It is sent where software has armed it through a
    /// portal, which may be before or after this.
    pub notification: Option<NotificationConfig>,
}

/// A threshold, and the one at which its effect ends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis {
    /// Where a state is entered.
    pub enter: u32,
    /// Where it is left.
    pub exit: u32,
}

/// Where a pool's state changes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolMessage {
    /// I/O virtual address of 16 bytes.
    pub address: u64,
    /// What the notification carries.
    pub context: u64,
}

/// A buffer pool of some container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// Depleted with fewer buffers than `enter`, no longer with `exit` or more.
    pub depletion: Option<Hysteresis>,
    /// Surplus with more buffers than `enter`, no longer with `exit` or fewer.
    pub surplus: Option<Hysteresis>,
    /// Who is notified of both.
    pub message: Option<PoolMessage>,
}

impl PoolConfig {
    /// A pool without anything special.
    pub fn new(icid: u16) -> Self {
        Self { icid, depletion: None, surplus: None, message: None }
    }
}

/// State changes of a congestion group, written to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryNotification {
    /// I/O virtual address of 16 bytes.
    pub address: u64,
    /// On entry into the congested state.
    pub on_entry: bool,
    /// On exit from it.
    pub on_exit: bool,
}

/// State changes of a congestion group, put into a work queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkQueueNotification {
    /// The channel.
    pub channel: u32,
    /// Its work queue.
    pub priority: u8,
    /// On entry into the congested state.
    pub on_entry: bool,
    /// On exit from it.
    pub on_exit: bool,
}

/// A congestion group of some container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// What the thresholds count.
    pub unit: Unit,
    /// Added to each frame's bytes (overhead accounting length).
    pub overhead: i16,
    /// Congested above this count; `None`: never.
    pub enter: Option<u64>,
    /// No longer congested below this count, or when nothing is left.
    pub exit: u64,
    /// Frames that would bring the count above are dropped.
    pub tail_drop: Option<u64>,
    /// Early drop, by drop priority of the frame.
    pub early_drop: [Option<EarlyDrop>; EarlyDrop::PRIORITIES],
    /// Who is notified in memory. The state is also written when this is set, since
    /// software does not clear the memory (DPDK).
    pub memory: Option<MemoryNotification>,
    /// Who is notified through a channel.
    pub work_queue: Option<WorkQueueNotification>,
    /// What notifications carry.
    pub context: u64,
}

impl GroupConfig {
    /// A group that only counts.
    pub fn new(icid: u16, unit: Unit) -> Self {
        Self {
            icid,
            unit,
            overhead: 0,
            enter: None,
            exit: 0,
            tail_drop: None,
            early_drop: [None; EarlyDrop::PRIORITIES],
            memory: None,
            work_queue: None,
            context: 0,
        }
    }
}

/// Which frames an order restoration takes that come after their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateArrivals {
    /// None.
    Rejected,
    /// Those that are so many numbers late at most.
    Within(u16),
    /// All.
    Accepted,
}

/// An order restoration record of some container (`struct opr_cfg` of DPDK).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderConfig {
    /// Isolation id of the container.
    pub icid: u16,
    /// Numbers that may come before their turn, at most 1024.
    pub window: u16,
    /// A number ahead of the window moves the window instead of being rejected.
    pub auto_advance: bool,
    /// What becomes of numbers behind the window.
    pub late: LateArrivals,
    /// When too many frames wait, the window moves on.
    pub exhaustion_advances: bool,
    /// Frames that would be rejected go through out of order.
    pub loose: bool,
}

impl OrderConfig {
    /// A record that keeps the order strictly.
    pub fn new(icid: u16, window: u16) -> Self {
        Self {
            icid,
            window,
            auto_advance: false,
            late: LateArrivals::Rejected,
            exhaustion_advances: false,
            loose: false,
        }
    }
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
