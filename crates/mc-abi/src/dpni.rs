// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Network interfaces. Layouts: `fsl_dpni_cmd.h` of MC 10.40; what version
//! brought which field, from the same header of the releases since 10.2.
//!
//! The family has more than a hundred commands. They are written down by what
//! they are about, one module each, and can be named without the module.

use crate::MacAddr;

pub mod filters;
pub mod frames;
pub mod interface;
pub mod link;
pub mod macsec;
pub mod parser;
pub mod queues;
pub mod tables;
pub mod transmit;

pub use crate::common::Created;
pub use {
    filters::*, frames::*, interface::*, link::*, macsec::*, parser::*, queues::*, tables::*,
    transmit::*,
};

command_groups! {
    /// The interface as a whole.
    Interface(interface),
    /// The connection to the other side.
    Link(link),
    /// How frames lie in buffers and what is done to them.
    Frames(frames),
    /// Which frames are taken in.
    Filters(filters),
    /// Queues and what happens when they fill up.
    Queues(queues),
    /// How what is sent is scheduled and confirmed.
    Transmit(transmit),
    /// How what is received finds its queue.
    Tables(tables),
    /// Programs for the frame parser.
    Parser(parser),
    /// Encryption between Ethernet stations.
    Macsec(macsec),
}

/// `DPNI_OPT_*` (`fsl_dpni.h`): what an interface is created with.
pub mod options {
    /// What is sent is released to a buffer pool, never confirmed.
    pub const TX_FRAME_RELEASE: u32 = 0x0001;
    /// No MAC filter besides the primary address.
    pub const NO_MAC_FILTER: u32 = 0x0002;
    /// Each traffic class has a policer.
    pub const HAS_POLICING: u32 = 0x0004;
    /// All traffic classes share one congestion group.
    pub const SHARED_CONGESTION: u32 = 0x0008;
    /// The tables are ternary: keys have masks.
    pub const HAS_KEY_MASKING: u32 = 0x0010;
    /// No flow steering table.
    pub const NO_FS: u32 = 0x0020;
    /// Order restoration.
    pub const HAS_OPR: u32 = 0x0040;
    /// One order point record a traffic class instead of a queue.
    pub const OPR_PER_TC: u32 = 0x0080;
    /// One sender for all queues of a transmit traffic class.
    pub const SINGLE_SENDER: u32 = 0x0100;
    /// The number of congestion groups is given.
    pub const CUSTOM_CG: u32 = 0x0200;
    /// The number of order point records is given.
    pub const CUSTOM_OPR: u32 = 0x0400;
    /// One flow steering table for all traffic classes.
    pub const SHARED_FS: u32 = 0x1000;

    names!(
        TX_FRAME_RELEASE,
        NO_MAC_FILTER,
        HAS_POLICING,
        SHARED_CONGESTION,
        HAS_KEY_MASKING,
        NO_FS,
        HAS_OPR,
        OPR_PER_TC,
        SINGLE_SENDER,
        CUSTOM_CG,
        CUSTOM_OPR,
        SHARED_FS
    );
}

/// `DPNI_IRQ_EVENT_*`: events of the interface's interrupt, index 0.
pub mod events {
    /// The link went up or down, or changed its rate or options.
    pub const LINK_CHANGED: u32 = 1;
    /// The interface was connected or disconnected.
    pub const ENDPOINT_CHANGED: u32 = 2;

    names!(LINK_CHANGED, ENDPOINT_CHANGED);
}

/// Queue types (`enum dpni_queue_type`).
pub mod queue_type {
    /// What is received.
    pub const RX: u8 = 0;
    /// What is sent.
    pub const TX: u8 = 1;
    /// What has been sent.
    pub const TX_CONFIRM: u8 = 2;
    /// What is received with an error.
    pub const RX_ERR: u8 = 3;
}

/// Bits of [`SetQueue::options`].
pub mod queue_options {
    /// Set the user context.
    pub const USER_CONTEXT: u8 = 0x01;
    /// Set the destination.
    pub const DESTINATION: u8 = 0x02;
    /// Set the flow context.
    pub const FLOW_CONTEXT: u8 = 0x04;
    /// Set whether the destination holds the queue.
    pub const HOLD_ACTIVE: u8 = 0x08;
    /// Put the queue into a congestion group.
    pub const SET_CONGESTION_GROUP: u8 = 0x40;
    /// Take the queue out of its congestion group.
    pub const CLEAR_CONGESTION_GROUP: u8 = 0x80;

    names!(
        USER_CONTEXT,
        DESTINATION,
        FLOW_CONTEXT,
        HOLD_ACTIVE,
        SET_CONGESTION_GROUP,
        CLEAR_CONGESTION_GROUP
    );
}

/// Bits of [`SetBufferLayout::options`]: which settings change.
pub mod layout_options {
    /// Whether a time stamp is passed.
    pub const TIMESTAMP: u16 = 0x001;
    /// Whether the parser's result is passed; not for transmit.
    pub const PARSER_RESULT: u16 = 0x002;
    /// Whether the frame status is passed.
    pub const FRAME_STATUS: u16 = 0x004;
    /// Bytes kept for software.
    pub const PRIVATE_DATA_SIZE: u16 = 0x008;
    /// Alignment of the data.
    pub const DATA_ALIGN: u16 = 0x010;
    /// Room before the data.
    pub const HEAD_ROOM: u16 = 0x020;
    /// Room behind the data.
    pub const TAIL_ROOM: u16 = 0x040;
    /// Whether a value of software is passed.
    pub const SOFTWARE_OPAQUE: u16 = 0x080;
    /// No scatter-gather frames.
    pub const NO_SCATTER_GATHER: u16 = 0x100;

    names!(
        TIMESTAMP,
        PARSER_RESULT,
        FRAME_STATUS,
        PRIVATE_DATA_SIZE,
        DATA_ALIGN,
        HEAD_ROOM,
        TAIL_ROOM,
        SOFTWARE_OPAQUE,
        NO_SCATTER_GATHER
    );
}

impl MacAddr {
    /// All zeros: no address.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether frames to it go to a group of stations.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}
