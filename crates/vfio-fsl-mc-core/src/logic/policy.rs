// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which commands user space may not send through a portal that the driver
//! writes to on its behalf.
//!
//! # Refused
//! Whatever the version of the layout:
//!
//! | number | command | why |
//! |---|---|---|
//! | 0x800 | CLOSE of the driver's own token, which every portal of the container knows | with it the reset at the last close fails, and the next user finds what this one left |
//! | 0x010 | SET_IRQ of any object | the MC writes a message to the address in it: the host's own setting is lost, and the sender picks what is written where. Interrupts are asked for by `VFIO_DEVICE_SET_IRQS` |
//! | 0x15f | DPRC_SET_OBJ_IRQ | the same for an object in the container |
//! | 0x151 | DPRC_CREATE_CONT | a container below has an isolation id of its own, of the sender's choice: what is moved to it does DMA past the address space that was set up for this container, until the host gives it one |
//! | 0x905 | DPRC_CREATE | has the place of a container among the create commands; a reference header of version 5 names it, none says what it takes |
//!
//! # Allowed, and why
//! - OPEN, RESET, ENABLE, DISABLE, the attribute and version commands, the
//!   configuration of interfaces, queues and pools, CREATE and DESTROY of
//!   objects (0x90n, 0x98n but 0x905): they act on what the container holds. DMA
//!   goes under the container's isolation id whatever they say.
//! - CLOSE of any other token: it is user space that opened it. So does DPDK.
//! - RESET (0x005) of the container: what `VFIO_DEVICE_RESET` does. The stock
//!   driver goes on using its token after one that leaves the containers below
//!   alone; whether the firmware keeps the token through any other is not known.
//! - SET_IRQ_ENABLE, SET_IRQ_MASK, GET and CLEAR_IRQ_STATUS (0x012, 0x014,
//!   0x016, 0x017): DPDK and guests gate the events of their objects with them.
//!   None of them chooses an address. For the container's own interrupt they can
//!   keep the host from noticing new objects, to the sender's own disadvantage.
//! - GET_IRQ and DPRC_GET_OBJ_IRQ (0x011, 0x160): tell an address, set none.
//! - DPRC_ASSIGN and DPRC_UNASSIGN (0x157, 0x158): with its own number the
//!   container plugs and unplugs its objects. Otherwise they reach only
//!   containers below, and those are of the host's making, as
//!   DPRC_CREATE_CONT is refused; a container rules what is below it, with or
//!   without these two. Whoever hands out a container hands out what is below.
//! - DPRC_DESTROY_CONT (0x152), DPRC_SET_RES_QUOTA (0x155), DPRC_SET_LOCKED
//!   (0x16b): concern containers below, as before. 0x152 is, besides, another
//!   command where the token is that of a `dpdbg`.
//! - DPRC_CONNECT and DPRC_DISCONNECT (0x167, 0x168): the firmware lets a
//!   container connect what it holds, and only with the option for it.
//! - DPAIOP_LOAD and DPAIOP_RUN (0x280, 0x281): the program runs under the
//!   isolation id of the container that the tile was made for. The numbers are
//!   those of `dpni` commands too.
//! - Numbers that no reference of today has: the firmware answers that it does
//!   not know them. A header of 2014 has 0x832 to 0x835 for loading the packet
//!   processor and for resetting a portal; today 0x832 asks for the chip.
//!
//! # What this is not
//! The boundary itself: that is the isolation id with the IOMMU, the interrupt
//! controller's check of it, and the container's options in the firmware
//! (spawn, object creation, interrupt configuration). A portal that user space
//! *maps* is written to without the driver, so a container that holds a `dpmcp`,
//! or may create one, has a way around these rules; so they keep from mistakes,
//! and from harm where a container has no command portal but its own. The driver
//! must hold up when its token is gone or a message address was changed.

use super::command::{number, Command, Status};

/// What becomes of a command that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is answered, not sent.
    #[default]
    Strict,
    /// It is sent, and the kernel's log says so.
    Log,
    /// It is sent.
    Off,
}

impl Mode {
    /// The mode of a module parameter: `strict`, `log` or `off`, with or
    /// without a line end.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.trim_ascii_end() {
            b"strict" => Some(Self::Strict),
            b"log" => Some(Self::Log),
            b"off" => Some(Self::Off),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Log => "log",
            Self::Off => "off",
        }
    }
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The driver keeps its token.
    DriverToken,
    /// Interrupts go where the host says.
    InterruptAddress,
    /// DMA goes under the isolation id that the host set up.
    IsolationContext,
}

/// Why a command is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What it is, and what to do instead, for the kernel's log.
    pub reason: &'static str,
}

/// What to do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send it and log why it should not be.
    SendAndLog(Refusal),
    /// Do not send it: see [`answer`].
    Refuse(Refusal),
}

/// The rule that a command breaks, if any. `own_token` says by which token the
/// driver has the container open, and is asked only where the command is one that
/// depends on it.
pub fn judge(command: &Command, own_token: impl FnOnce() -> u16) -> Option<Refusal> {
    let (rule, reason) = match command.number() {
        number::CLOSE if own_token() == command.token() => (
            Rule::DriverToken,
            "closes the driver's own token: close only what was opened",
        ),
        number::SET_IRQ | number::DPRC_SET_OBJECT_IRQ => (
            Rule::InterruptAddress,
            "sets an interrupt's address: use VFIO_DEVICE_SET_IRQS",
        ),
        number::DPRC_CREATE_CONTAINER | number::DPRC_CREATE => (
            Rule::IsolationContext,
            "makes a container with another isolation id: make it on the host",
        ),
        _ => return None,
    };
    Some(Refusal { rule, reason })
}

/// What to do with a command. The mode is asked for only where a rule is broken.
pub fn decide(
    command: &Command,
    own_token: impl FnOnce() -> u16,
    mode: impl FnOnce() -> Mode,
) -> Verdict {
    let Some(refusal) = judge(command, own_token) else {
        return Verdict::Send;
    };
    match mode() {
        Mode::Off => Verdict::Send,
        Mode::Log => Verdict::SendAndLog(refusal),
        Mode::Strict => Verdict::Refuse(refusal),
    }
}

/// What the sender of a refused command reads: its header with the status "no
/// privilege" and no parameters, so that nobody takes the request for an answer.
pub const fn answer(command: &Command) -> Command {
    Command([command.header(), 0, 0, 0, 0, 0, 0, 0]).with_status(Status::NoPrivilege)
}
