// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Frames: how they lie in buffers, what the hardware checks and computes,
//! how long they may be.

use super::{Answer, Call, State, addressed, link};
use crate::mc::refusal::{Because, Refusal};
use mc_abi::{
    Status,
    blocks::BufferLayout,
    dpni::{self, frames::Command, layout_options as change, queue_type},
};

/// Longest frame that the hardware takes, bytes: what Linux and DPDK set.
const MAX_FRAME_LENGTH: u16 = 10240;
/// The limit after creation. A tool's record of a board shows it; the headers
/// do not say.
const DEFAULT_FRAME_LENGTH: u16 = 1536;
/// Bytes that the hardware keeps for software before its own annotation.
const MAX_PRIVATE_DATA: u16 = 64;
/// Bytes of the hardware's annotation before a frame to be sent. With the 64
/// private bytes that drivers ask for the data starts at 192: both drivers'
/// arithmetic agrees with that, no source states it.
const TX_ANNOTATION: u16 = 128;
/// What Linux wants the data to be aligned to.
const TX_ALIGN: u16 = 64;
/// Types of VLAN tag that can be added.
const CUSTOM_TPIDS: usize = 2;
/// `enum dpni_offload`.
const OFFLOADS: usize = 7;

/// Layouts, offloads, lengths, errors.
#[derive(Debug)]
pub(super) struct Settings {
    /// By queue type: receive, transmit, confirmation.
    layouts: [BufferLayout; 3],
    offloads: [u32; OFFLOADS],
    pub max_length: u16,
    /// What was set for which errors: later ones replace earlier ones.
    pub errors: Vec<dpni::SetErrorsBehavior>,
    /// 0: none.
    pub tpids: [u16; CUSTOM_TPIDS],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            layouts: Default::default(),
            offloads: [0; OFFLOADS],
            max_length: DEFAULT_FRAME_LENGTH,
            errors: Vec::new(),
            tpids: [0; CUSTOM_TPIDS],
        }
    }
}

pub(super) fn handle(state: &mut State, call: &Call, command: &Command) -> Result<Answer, Refusal> {
    let interface = addressed(state, call)?;
    let enabled = interface.enabled;
    let frames = &mut interface.settings.frames;
    match command {
        Command::SetErrorsBehavior(set) => frames.set_errors(set)?,
        Command::GetTxDataOffset(get) => {
            return call.reply(get, dpni::GetTxDataOffsetReply { offset: frames.tx_offset() });
        }
        Command::SetMaxFrameLength(set) => {
            if !(1..=MAX_FRAME_LENGTH).contains(&set.length) {
                return Err(Status::ConfigurationError
                    .because(format!("a frame has 1 to {MAX_FRAME_LENGTH} bytes")));
            }
            frames.max_length = set.length;
            // A demultiplexer may go by it.
            state.tell_peer(link::end(call.object.id));
        }
        Command::GetMaxFrameLength(get) => {
            return call.reply(get, dpni::GetMaxFrameLengthReply { length: frames.max_length });
        }
        Command::GetBufferLayout(get) => {
            let layout = *frames.layout(get.queue_type)?;
            return call.reply(get, dpni::GetBufferLayoutReply { layout });
        }
        // Headers: only while the interface is disabled.
        Command::SetBufferLayout(_) if enabled => {
            return Err(Status::InvalidState.because("the interface is enabled"));
        }
        Command::SetBufferLayout(set) => apply(frames.layout(set.queue_type)?, set)?,
        Command::GetOffload(get) => {
            let config = *frames.offload(get.offload)?;
            return call.reply(get, dpni::GetOffloadReply { config });
        }
        // The headers forbid it while the interface is enabled, but Linux does
        // it then, and boards let it.
        Command::SetOffload(set) => *frames.offload(set.offload)? = set.config,
        Command::AddCustomTpid(add) => frames.add_tpid(add.tpid)?,
        Command::RemoveCustomTpid(remove) => frames.remove_tpid(remove.tpid)?,
        Command::GetCustomTpid(get) => {
            let [tpid1, tpid2] = frames.tpids;
            return call.reply(get, dpni::GetCustomTpidReply { tpid1, tpid2 });
        }
    }
    Ok(Answer::DONE)
}

impl Settings {
    /// How received frames lie in buffers.
    pub fn rx_layout(&self) -> &BufferLayout {
        let [rx, _, _] = &self.layouts;
        rx
    }

    /// Whether the hardware does something for software.
    pub fn offloads(&self, offload: usize) -> bool {
        self.offloads.get(offload).is_some_and(|config| *config != 0)
    }

    fn layout(&mut self, kind: u8) -> Result<&mut BufferLayout, Refusal> {
        self.layouts.get_mut(usize::from(kind)).ok_or_else(|| {
            Status::ConfigurationError.because(format!("there are no queues of type {kind}"))
        })
    }

    fn offload(&mut self, offload: u8) -> Result<&mut u32, Refusal> {
        self.offloads.get_mut(usize::from(offload)).ok_or_else(|| {
            Status::ConfigurationError.because(format!("there is no offload {offload}"))
        })
    }

    /// Where the data of a frame to be sent starts in its buffer, bytes.
    fn tx_offset(&self) -> u16 {
        let layout = self.layouts.get(usize::from(queue_type::TX));
        let private = layout.map_or(0, |layout| layout.private_data_size);
        (private + TX_ANNOTATION).next_multiple_of(TX_ALIGN)
    }

    fn set_errors(&mut self, set: &dpni::SetErrorsBehavior) -> Result<(), Refusal> {
        const MOST_ACTION: u8 = 2;
        if set.action > MOST_ACTION {
            return Err(
                Status::ConfigurationError.because(format!("the action is at most {MOST_ACTION}"))
            );
        }
        for earlier in &mut self.errors {
            earlier.errors &= !set.errors;
        }
        self.errors.retain(|earlier| earlier.errors != 0);
        if set.errors != 0 {
            self.errors.push(set.clone());
        }
        Ok(())
    }

    fn add_tpid(&mut self, tpid: u16) -> Result<(), Refusal> {
        if tpid == 0 || self.tpids.contains(&tpid) {
            return Err(
                Status::ConfigurationError.because(format!("{tpid:#x} is there already, or 0"))
            );
        }
        let free = self.tpids.iter_mut().find(|slot| **slot == 0);
        *free.ok_or_else(|| Status::NoResource.because("there is room for two"))? = tpid;
        Ok(())
    }

    fn remove_tpid(&mut self, tpid: u16) -> Result<(), Refusal> {
        let slot = self.tpids.iter_mut().find(|slot| tpid != 0 && **slot == tpid);
        *slot.ok_or_else(|| {
            Status::ConfigurationError.because(format!("{tpid:#x} is not there"))
        })? = 0;
        Ok(())
    }
}

/// Changes what the command's options name.
fn apply(layout: &mut BufferLayout, command: &dpni::SetBufferLayout) -> Result<(), Refusal> {
    let has = |option| command.options & option != 0;
    let set = &command.layout;
    let misaligned = set.data_align != 0 && !set.data_align.is_power_of_two();
    if has(change::DATA_ALIGN) && misaligned
        || has(change::PRIVATE_DATA_SIZE) && set.private_data_size > MAX_PRIVATE_DATA
    {
        return Err(Status::ConfigurationError.because(format!("the alignment is no power of two, or there are more than {MAX_PRIVATE_DATA} private bytes")));
    }
    let put = |option, target: &mut u16, value| {
        if has(option) {
            *target = value;
        }
    };
    put(change::PRIVATE_DATA_SIZE, &mut layout.private_data_size, set.private_data_size);
    put(change::DATA_ALIGN, &mut layout.data_align, set.data_align);
    put(change::HEAD_ROOM, &mut layout.head_room, set.head_room);
    put(change::TAIL_ROOM, &mut layout.tail_room, set.tail_room);
    let put = |option, target: &mut bool, value| {
        if has(option) {
            *target = value;
        }
    };
    put(change::TIMESTAMP, &mut layout.timestamp, set.timestamp);
    put(change::PARSER_RESULT, &mut layout.parser_result, set.parser_result);
    put(change::FRAME_STATUS, &mut layout.frame_status, set.frame_status);
    put(change::SOFTWARE_OPAQUE, &mut layout.software_opaque, set.software_opaque);
    Ok(())
}
