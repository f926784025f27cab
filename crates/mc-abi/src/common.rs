// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands that look the same in every family that has them.

use crate::{CommandInfo, FieldError, Params, Wire, blocks::OrderSettings};

impl Wire for () {
    fn decode(_: &Params, _: u8) -> Result<Self, FieldError> {
        Ok(())
    }

    fn encode(&self, _: &mut Params, _: u8) {}

    fn sample(_: &mut dyn FnMut() -> u64, _: u8) -> Self {}
}

/// Whether decoding undoes encoding for a value drawn from `next`.
pub fn round_trips<W: Wire>(next: &mut dyn FnMut() -> u64, version: u8) -> bool {
    let value = W::sample(next, version);
    let mut params = Params::ZERO;
    value.encode(&mut params, version);
    W::decode(&params, version).as_ref() == Ok(&value)
}

/// The tables of `groups`, one after the other; `N` is the sum of their lengths.
pub(crate) const fn join<const N: usize>(groups: &[&[CommandInfo]]) -> [CommandInfo; N] {
    let mut all = [groups[0][0]; N];
    let (mut group, mut row, mut at) = (0, 0, 0);
    while group < groups.len() {
        if row < groups[group].len() {
            all[at] = groups[group][row];
            at += 1;
            row += 1;
        } else {
            group += 1;
            row = 0;
        }
    }
    assert!(at == N);
    all
}

wire! {
    /// The parameters of every open command (`0x80n`): the answer carries the
    /// token in its header.
    pub struct Open {
        /// Number of the object.
        id: u32 @ 0,
    }
}

wire! {
    /// The parameters of every destroy command (`0x98n`).
    pub struct Destroy {
        /// Number of the object.
        id: u32 @ 0,
    }
}

wire! {
    /// The answer to every create command (`0x90n`).
    pub struct Created {
        /// Number of the new object.
        id: u32 @ 0,
    }
}

wire! {
    /// The answer to every version command (`0xa0n`).
    pub struct ApiVersion {
        /// Changes when old clients break.
        major: u16 @ 0,
        /// Changes when the family gains something.
        minor: u16 @ 2,
    }
}

wire! {
    /// An order point record: how a queue's frames are put back into order
    /// (layout `rsp_get_opr`, the same in all families that have records).
    pub struct OrderRestorationReply {
        /// Whether the record is being retired.
        rip: bool @ 8 bits 0..1,
        /// Whether there is a record.
        enable: bool @ 8 bits 1..2,
        /// The settings.
        settings: OrderSettings @ 11,
        /// Next expected sequence number.
        nesn: u16 @ 16,
        /// Next dispensed sequence number.
        ndsn: u16 @ 20,
        /// Tail sequence number of early arrivals.
        ea_tseq: u16 @ 24,
        /// Whether the tail is not the last of its sequence.
        tseq_nlis: bool @ 26 bits 0..1,
        /// Head sequence number of early arrivals.
        ea_hseq: u16 @ 28,
        /// Whether the head is not the last of its sequence.
        hseq_nlis: bool @ 30 bits 0..1,
        /// Head pointer of early arrivals.
        ea_hptr: u16 @ 32,
        /// Tail pointer of early arrivals.
        ea_tptr: u16 @ 36,
        /// Number of the record as software sees it.
        opr_vid: u16 @ 40,
        /// Number of the record in hardware.
        opr_id: u16 @ 44,
    }
}

/// Number of the close command, the same for every family.
pub const CLOSE: u16 = 0x800;
/// First of the open commands; add the family's
/// [code](crate::ObjectType::code).
pub const OPEN: u16 = 0x800;
/// First of the create commands.
pub const CREATE: u16 = 0x900;
/// First of the destroy commands.
pub const DESTROY: u16 = 0x980;
/// First of the version commands.
pub const GET_API_VERSION: u16 = 0xa00;

commands! {
    /// Switches the object on.
    Enable = 0x002, version 1 {} -> ();

    /// Switches the object off.
    Disable = 0x003, version 1 {} -> ();

    /// Puts the object back to its initial state.
    Reset = 0x005, version 1 {} -> ();

    /// Asks whether the object is on.
    IsEnabled = 0x006, version 1 {} -> IsEnabledReply {
        /// Only the lowest bit counts.
        enabled: bool @ 0 bits 0..1,
    };

    /// Sets where an interrupt's message goes.
    SetIrq = 0x010, version 1 {
        /// Data of the message.
        value: u32 @ 0,
        /// Which of the object's interrupts.
        index: u8 @ 4,
        /// I/O virtual address of the message.
        address: u64 @ 8,
        /// A number that software wants back from [`GetIrq`].
        user: u32 @ 16,
    } -> ();

    /// Asks where an interrupt's message goes.
    GetIrq = 0x011, version 1 {
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqReply {
        /// Data of the message.
        value: u32 @ 0,
        /// I/O virtual address of the message.
        address: u64 @ 8,
        /// What [`SetIrq`] was given.
        user: u32 @ 16,
        /// 0: message-signalled.
        kind: u32 @ 20,
    };

    /// Opens or shuts the gate through which an object's interrupt leaves.
    SetIrqEnable = 0x012, version 1 {
        /// A byte in most families, its lowest bit in the headers of `dpbp`,
        /// `dpcon`, `dpni` and `dpsw`; clients send 0 or 1.
        enable: bool @ 0,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> ();

    /// Asks for that gate.
    GetIrqEnable = 0x013, version 1 {
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqEnableReply {
        /// As [`SetIrqEnable::enable`].
        enabled: bool @ 0,
    };

    /// Chooses the events that cause an interrupt. Linux sends version 2 to a
    /// `dprtc`, with the same layout; no reference header has it.
    SetIrqMask = 0x014, version 1 {
        /// One bit an event.
        mask: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> ();

    /// Asks for the chosen events.
    GetIrqMask = 0x015, version 1 {
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqMaskReply {
        /// One bit an event.
        mask: u32 @ 0 named crate::words::EVENTS,
    };

    /// Asks which events happened.
    GetIrqStatus = 0x016, version 1 {
        /// The events asked for; what a family does with it differs.
        status: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> GetIrqStatusReply {
        /// One bit an event.
        status: u32 @ 0 named crate::words::EVENTS,
    };

    /// Forgets events.
    ClearIrqStatus = 0x017, version 1 {
        /// The events to forget.
        status: u32 @ 0 named crate::words::EVENTS,
        /// Which of the object's interrupts.
        index: u8 @ 4,
    } -> ();
}
