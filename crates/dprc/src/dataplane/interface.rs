// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Network interfaces: what a `dpni` has to be told before frames pass, in the order of
//! Linux's and DPDK's drivers.

use super::{Channel, Dataplane, Pool};
use crate::error::{Error, Result};
use crate::portal::Session;
use crate::qbman::Target;
use mc_abi::blocks::{BufferLayout, Destination};
use mc_abi::common::{Enable, Reset};
use mc_abi::dpni::{
    self, GetAttributes, GetLinkState, GetPrimaryMacAddr, GetQdid, GetQueue, GetStatistics,
    GetTxDataOffset, SetBufferLayout, SetMaxFrameLength, SetMulticastPromisc, SetPools, SetQueue,
    SetTxConfirmationMode, SetUnicastPromisc, layout_options, queue_options, queue_type,
};
use mc_abi::{MacAddr, ObjectId, ObjectType};

/// Most pools of an interface.
const MOST_POOLS: usize = 8;
/// Mode of transmit confirmation: none, sent buffers go back to their pools.
const NO_CONFIRMATION: u8 = 2;
/// Kind of destination: the channel of a `dpcon`.
const TO_DPCON: u8 = 2;
/// All traffic classes of a pool.
const ALL_CLASSES: u8 = 0;

/// Where received frames wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RxDestination {
    /// In each queue, until a dequeue from the queue.
    #[default]
    Queue,
    /// In this channel, at the priority 0.
    Channel(Channel),
}

/// How an interface is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The interface; `None`: the next one.
    pub object: Option<ObjectId>,
    /// Where received frames get their buffers.
    pub pools: Vec<Pool>,
    /// Room before the data of received frames, bytes, behind what the hardware writes.
    pub head_room: u16,
    /// Longest frame that is received, bytes without check sequence.
    pub max_frame_length: u16,
    /// Takes frames to all addresses, not only to its own.
    pub promiscuous: bool,
    /// Where received frames wait.
    pub destination: RxDestination,
    /// Comes with each received frame, in [`DequeueEntry::context`](crate::qbman::DequeueEntry).
    pub context: u64,
}

impl InterfaceConfig {
    /// The next interface with this pool: frames of up to 1514 bytes to all addresses.
    pub fn new(pool: Pool) -> Self {
        Self {
            object: None,
            pools: vec![pool],
            head_room: 64,
            max_frame_length: 1514,
            promiscuous: true,
            destination: RxDestination::Queue,
            context: 0,
        }
    }
}

/// An interface that is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The object.
    pub object: ObjectId,
    /// Its own address.
    pub mac: MacAddr,
    /// Where frames to be sent go: its queuing destination, priority 0.
    pub transmit: Target,
    /// The frame queue behind that, for queries.
    pub transmit_queue: u32,
    /// The frame queues that received frames come out of, of the traffic class 0. Without a
    /// distribution (`dpni::SetRxHashDist`) all come out of the first.
    pub receive_queues: Vec<u32>,
    /// Bytes of a buffer before a frame to be sent.
    pub transmit_offset: u16,
}

impl Interface {
    /// The queue that frames come out of where there is no distribution.
    pub fn receive_queue(&self) -> u32 {
        self.receive_queues.first().copied().unwrap_or_default()
    }
}

/// What an interface has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames received.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Received frames that were dropped by filters.
    pub filtered: u64,
    /// Received frames that were dropped for errors, or want of room in queues.
    pub discarded: u64,
    /// Received frames for which no buffer was left.
    pub no_buffer: u64,
}

impl Dataplane<'_> {
    /// Takes an interface, resets it, sets it up and switches it on.
    ///
    /// # Errors
    /// [`Error::NoObject`], [`Error::Argument`], or the MC's refusal, which names the
    /// command.
    pub fn interface(&mut self, config: &InterfaceConfig) -> Result<Interface> {
        let pools = pools_of(config)?;
        let object = match config.object {
            None => self.take(ObjectType::Dpni)?,
            Some(object) => self.take_this(object)?,
        };
        self.set_up(object, |plane| plane.set_up_interface(object, &pools, config))
    }

    fn set_up_interface(
        &mut self,
        object: ObjectId,
        pools: &SetPools,
        config: &InterfaceConfig,
    ) -> Result<Interface> {
        let mut open = self.mc.session(object)?;
        open.call(&Reset {})?;
        let attributes = open.call(&GetAttributes {})?;
        set_layouts(&mut open, config.head_room)?;
        open.call(&SetMaxFrameLength { length: config.max_frame_length })?;
        open.call(pools)?;
        let all = config.promiscuous;
        open.call(&SetUnicastPromisc { enable: all })?;
        open.call(&SetMulticastPromisc { enable: all })?;
        let mut receive_queues = Vec::new();
        for index in 0..attributes.num_queues {
            receive_queues.push(set_receive_queue(&mut open, index, config)?);
        }
        for channel in 0..attributes.num_channels.max(1) {
            open.call(&SetTxConfirmationMode { channel, mode: NO_CONFIRMATION })?;
        }
        let transmit = GetQueue { queue_type: queue_type::TX, ..GetQueue::default() };
        let transmit = open.call(&transmit)?;
        let id = open.call(&GetQdid { queue_type: queue_type::TX })?.qdid.into();
        let mac = open.call(&GetPrimaryMacAddr {})?.address;
        let transmit_offset = open.call(&GetTxDataOffset {})?.offset;
        open.call(&Enable {})?;
        self.enabled.insert(object);
        open.close()?;
        Ok(Interface {
            object,
            mac,
            transmit: Target::Destination { id, bin: transmit.qdbin, priority: 0 },
            transmit_queue: transmit.fqid,
            receive_queues,
            transmit_offset,
        })
    }

    /// Whether frames can pass the other side of an interface.
    ///
    /// # Errors
    /// The MC's refusal.
    pub fn link_is_up(&mut self, interface: &Interface) -> Result<bool> {
        let mut open = self.mc.session(interface.object)?;
        let up = open.call(&GetLinkState {})?.link.up;
        open.close()?;
        Ok(up)
    }

    /// What an interface has counted since it was made, or reset.
    ///
    /// # Errors
    /// The MC's refusal.
    pub fn counters(&mut self, interface: &Interface) -> Result<Counters> {
        let mut open = self.mc.session(interface.object)?;
        let mut page = |page| open.call(&GetStatistics { page, param: 0 });
        // `union dpni_statistics` (fsl_dpni.h).
        let [received, received_bytes, ..] = page(0)?.counters;
        let [sent, sent_bytes, ..] = page(1)?.counters;
        let [filtered, discarded, no_buffer, ..] = page(2)?.counters;
        open.close()?;
        let (seen, lost) = ((received, received_bytes), (filtered, discarded, no_buffer));
        Ok(Counters {
            received: seen.0,
            received_bytes: seen.1,
            sent,
            sent_bytes,
            filtered: lost.0,
            discarded: lost.1,
            no_buffer: lost.2,
        })
    }

    fn take_this(&mut self, object: ObjectId) -> Result<ObjectId> {
        let is_interface = object.kind == ObjectType::Dpni && self.objects.contains(&object);
        if !is_interface || !self.taken.insert(object) {
            return Err(Error::Argument {
                what: "the interface dpni",
                value: object.id.into(),
                problem: "is not in the container, or taken",
            });
        }
        Ok(object)
    }
}

fn pools_of(config: &InterfaceConfig) -> Result<SetPools> {
    let count = config.pools.len();
    if !(1..=MOST_POOLS).contains(&count) {
        return Err(Error::Argument {
            what: "the number of pools",
            value: count as u64,
            problem: "is none that an interface can have: give 1 to 8",
        });
    }
    let mut request = SetPools { num_pools: count as u8, ..SetPools::default() };
    let places = request.pools.iter_mut().zip(&mut request.buffer_sizes);
    for (pool, (place, size)) in config.pools.iter().zip(places) {
        *place = dpni::Pool { dpbp: pool.object.id, priority_mask: ALL_CLASSES };
        *size = pool.buffer_size;
    }
    Ok(request)
}

/// Received frames have status and parse result in front of them, frames to be sent nothing
/// but the hardware's own room.
fn set_layouts(open: &mut Session<'_>, head_room: u16) -> Result<()> {
    let layout = BufferLayout {
        frame_status: true,
        parser_result: true,
        head_room,
        ..BufferLayout::default()
    };
    open.call(&SetBufferLayout {
        queue_type: queue_type::RX,
        options: layout_options::FRAME_STATUS
            | layout_options::PARSER_RESULT
            | layout_options::PRIVATE_DATA_SIZE
            | layout_options::HEAD_ROOM,
        layout,
    })?;
    for queue_type in [queue_type::TX, queue_type::TX_CONFIRM] {
        let options = layout_options::FRAME_STATUS | layout_options::PRIVATE_DATA_SIZE;
        let layout = BufferLayout { frame_status: true, ..BufferLayout::default() };
        open.call(&SetBufferLayout { queue_type, options, layout })?;
    }
    Ok(())
}

/// Sets a receive queue of the traffic class 0 up; its number in hardware.
fn set_receive_queue(open: &mut Session<'_>, index: u8, config: &InterfaceConfig) -> Result<u32> {
    let destination = match config.destination {
        RxDestination::Queue => Destination::default(),
        RxDestination::Channel(channel) => {
            Destination { id: channel.object.id, priority: 0, kind: TO_DPCON }
        }
    };
    open.call(&SetQueue {
        queue_type: queue_type::RX,
        index,
        options: queue_options::USER_CONTEXT | queue_options::DESTINATION,
        destination,
        user_context: config.context,
        ..SetQueue::default()
    })?;
    let queue = GetQueue { queue_type: queue_type::RX, index, ..GetQueue::default() };
    Ok(open.call(&queue)?.fqid)
}
