// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands and answers of the Management Complex (MC), and those that the
//! driver sends itself.
//!
//! A portal holds 64 bytes: a header and seven words of parameters, all
//! little-endian. Header, from the lowest byte: source, hardware flags, status,
//! software flags, token (2 bytes), command id (2 bytes: the number in the upper
//! 12 bits, the version of its layout in the lower 4). Source of the layouts:
//! Linux `include/linux/fsl/mc.h` and `drivers/bus/fsl-mc/fsl-mc-private.h`.

use super::Errno;

/// The name of an object's type, such as `dpni`, padded with zeros.
pub type TypeName = [u8; 16];

/// Bytes of a command, and of an answer.
pub const SIZE: usize = 64;

/// Command numbers that the driver knows.
pub mod number {
    /// Resets an object; a container with version 1 or 2 of its own layout.
    pub const RESET: u16 = 0x005;
    /// Sets the address that an interrupt writes to.
    pub const SET_IRQ: u16 = 0x010;
    /// Opens or shuts the gate of an interrupt.
    pub const SET_IRQ_ENABLE: u16 = 0x012;
    /// Chooses the events of an interrupt.
    pub const SET_IRQ_MASK: u16 = 0x014;
    /// Asks for the events that happened.
    pub const GET_IRQ_STATUS: u16 = 0x016;
    /// Forgets events.
    pub const CLEAR_IRQ_STATUS: u16 = 0x017;
    /// Makes a container below another one.
    pub const DPRC_CREATE_CONTAINER: u16 = 0x151;
    /// Asks how many objects a container has.
    pub const DPRC_GET_OBJECT_COUNT: u16 = 0x159;
    /// Asks for one of them.
    pub const DPRC_GET_OBJECT: u16 = 0x15a;
    /// Asks for a region of an object in the container.
    pub const DPRC_GET_OBJECT_REGION: u16 = 0x15e;
    /// Sets the address that the interrupt of an object in the container
    /// writes to.
    pub const DPRC_SET_OBJECT_IRQ: u16 = 0x15f;
    /// Asks for the version of the firmware.
    pub const GET_VERSION: u16 = 0x831;
    /// Closes an object.
    pub const CLOSE: u16 = 0x800;
    /// Place of a container among the create commands; of old headers.
    pub const DPRC_CREATE: u16 = 0x905;
    /// Asks for the version of the container's commands.
    pub const DPRC_GET_API_VERSION: u16 = 0xa05;
}

/// Events of a container's interrupt.
pub mod event {
    /// An object came into the container.
    pub const OBJECT_ADDED: u32 = 0x01;
    /// An object left the container.
    pub const OBJECT_REMOVED: u32 = 0x02;
    /// A container below was destroyed.
    pub const CONTAINER_DESTROYED: u32 = 0x10;
    /// An object that was open was destroyed.
    pub const OBJECT_DESTROYED: u32 = 0x20;
    /// An object was made in the container.
    pub const OBJECT_CREATED: u32 = 0x40;
    /// What changes the list of objects.
    pub const OBJECTS: u32 =
        OBJECT_ADDED | OBJECT_REMOVED | CONTAINER_DESTROYED | OBJECT_DESTROYED | OBJECT_CREATED;
}

/// State of an object: a driver may bind to it.
pub const STATE_PLUGGED: u32 = 0x2;
/// State of an object: somebody has it open.
pub const STATE_OPEN: u32 = 0x1;

/// Option of a container's reset: leaves the containers below alone.
pub const RESET_NON_RECURSIVE: u32 = 0x1;

/// What the MC says of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0x0,
    /// Handed over, not yet executed.
    Ready = 0x1,
    /// The token is none of this portal's container.
    AuthErr = 0x3,
    /// May not do this.
    NoPrivilege = 0x4,
    /// DMA or I/O error.
    DmaErr = 0x5,
    /// No valid configuration.
    ConfigErr = 0x6,
    /// Timed out.
    Timeout = 0x7,
    /// No resources left.
    NoResource = 0x8,
    /// No memory left.
    NoMemory = 0x9,
    /// Busy.
    Busy = 0xa,
    /// No such command.
    UnsupportedOp = 0xb,
    /// Not in the state that the command needs.
    InvalidState = 0xc,
}

impl Status {
    /// The status of a byte, where it stands for one.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x0 => Self::Ok,
            0x1 => Self::Ready,
            0x3 => Self::AuthErr,
            0x4 => Self::NoPrivilege,
            0x5 => Self::DmaErr,
            0x6 => Self::ConfigErr,
            0x7 => Self::Timeout,
            0x8 => Self::NoResource,
            0x9 => Self::NoMemory,
            0xa => Self::Busy,
            0xb => Self::UnsupportedOp,
            0xc => Self::InvalidState,
            _ => return None,
        })
    }

    /// The byte that stands for it.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The error that Linux makes of it (`mc_status_to_error()`), none for
    /// [`Status::Ok`]. [`Status::Ready`] is [`Errno::Busy`]: the command is
    /// still in flight, so there is no answer to judge.
    pub const fn errno(self) -> Option<Errno> {
        Some(match self {
            Self::Ok => return None,
            Self::Ready | Self::Busy => Errno::Busy,
            Self::AuthErr => Errno::Access,
            Self::NoPrivilege => Errno::Perm,
            Self::DmaErr => Errno::Io,
            Self::ConfigErr => Errno::NxIo,
            Self::Timeout => Errno::TimedOut,
            Self::NoResource => Errno::NotAvail,
            Self::NoMemory => Errno::NoMem,
            Self::UnsupportedOp => Errno::NotSupp,
            Self::InvalidState => Errno::NoDev,
        })
    }
}

/// Whether a status byte says that a command is not yet executed.
pub const fn in_flight(status: u8) -> bool {
    status == Status::Ready.byte()
}

/// The status byte of a header.
pub const fn status_of(header: u64) -> u8 {
    (header >> 16) as u8
}

/// The token of a header; in the answer to an open command, the new one.
pub const fn token_of(header: u64) -> u16 {
    (header >> 32) as u16
}

/// What the header of an answer says of its command.
///
/// # Errors
/// [`Status::errno`]; [`Errno::Inval`] for a byte that stands for no status.
pub const fn result_of(header: u64) -> Result<(), Errno> {
    let status = status_of(header);
    if status == Status::Ok.byte() {
        Ok(())
    } else {
        Err(refusal(status))
    }
}

#[cold]
const fn refusal(status: u8) -> Errno {
    match Status::from_byte(status) {
        Some(status) => match status.errno() {
            Some(errno) => errno,
            None => Errno::Inval,
        },
        None => Errno::Inval,
    }
}

/// A command or an answer: the eight words of a portal, in the order of the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command(pub [u64; 8]);

/// What a container says of an object in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// Its type.
    pub kind: TypeName,
    /// Its number, unique in its type.
    pub id: i32,
    /// 0x1957 for all objects.
    pub vendor: u16,
    /// Version of its type.
    pub version_major: u16,
    /// Version of its type.
    pub version_minor: u16,
    /// How many interrupts it has.
    pub irq_count: u8,
    /// How many regions it has.
    pub region_count: u8,
    /// See [`STATE_OPEN`], [`STATE_PLUGGED`].
    pub state: u32,
    /// Bit 0: its memory accesses are not shareable.
    pub flags: u16,
    /// Its name, padded with zeros.
    pub label: [u8; 16],
}

impl Object {
    /// Whether both are about one object, in whatever state.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.kind == other.kind
    }

    /// Whether a driver that knows the one knows the other: all but the name and
    /// the state, which change while an object is in use.
    pub fn is_like(&self, other: &Self) -> bool {
        let rest = |object: &Self| Self {
            state: 0,
            label: [0; 16],
            ..*object
        };
        rest(self) == rest(other)
    }

    /// Whether a driver may bind to it.
    pub const fn is_plugged(&self) -> bool {
        self.state & STATE_PLUGGED != 0
    }
}

impl Command {
    const HIGH_PRIORITY: u64 = 0x80 << 8;
    const NO_INTERRUPT: u64 = 0x01 << 24;

    /// A command without parameters, ready to be executed.
    pub const fn new(number: u16, version: u8, token: u16) -> Self {
        Self([Self::ready(number, version, token), 0, 0, 0, 0, 0, 0, 0])
    }

    const fn ready(number: u16, version: u8, token: u16) -> u64 {
        let id = (number << 4) | (version & 0xf) as u16;
        ((id as u64) << 48) | ((token as u64) << 32) | ((Status::Ready.byte() as u64) << 16)
    }

    /// The words of 64 bytes.
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            if let Ok(bytes) = bytes.try_into() {
                *word = u64::from_le_bytes(bytes);
            }
        }
        Self(words)
    }

    /// The bytes of the words.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The header.
    pub const fn header(&self) -> u64 {
        self.0[0]
    }

    /// The status byte as it stands, which may be none that is known.
    pub const fn status(&self) -> u8 {
        status_of(self.0[0])
    }

    /// The same with another status.
    #[must_use]
    pub const fn with_status(mut self, status: Status) -> Self {
        self.0[0] = (self.0[0] & !(0xff << 16)) | ((status.byte() as u64) << 16);
        self
    }

    /// The command id as it is on the wire: number and version.
    pub const fn command_id(&self) -> u16 {
        (self.0[0] >> 48) as u16
    }

    /// The command number, 12 bits.
    pub const fn number(&self) -> u16 {
        self.command_id() >> 4
    }

    /// The version of the layout, 4 bits.
    pub const fn version(&self) -> u8 {
        (self.command_id() & 0xf) as u8
    }

    /// The token; in the answer to an open command, the new one.
    pub const fn token(&self) -> u16 {
        token_of(self.0[0])
    }

    /// Whether the command has high priority.
    pub const fn high_priority(&self) -> bool {
        self.0[0] & Self::HIGH_PRIORITY != 0
    }

    /// The same with high priority.
    #[must_use]
    pub const fn with_high_priority(mut self) -> Self {
        self.0[0] |= Self::HIGH_PRIORITY;
        self
    }

    /// Whether the end of the command is not to be signalled.
    pub const fn interrupt_disabled(&self) -> bool {
        self.0[0] & Self::NO_INTERRUPT != 0
    }

    /// The same without a signal at its end.
    #[must_use]
    pub const fn with_interrupt_disabled(mut self) -> Self {
        self.0[0] |= Self::NO_INTERRUPT;
        self
    }

    const fn with_word(mut self, word: u64) -> Self {
        self.0[1] = word;
        self
    }
}

/// The number by which the commands of a type's block of 16 are told apart.
const fn family(kind: &TypeName) -> Option<u16> {
    Some(match trimmed(kind) {
        b"dpni" => 0x1,
        b"dpsw" => 0x2,
        b"dpio" => 0x3,
        b"dpbp" => 0x4,
        b"dprc" => 0x5,
        b"dpdmux" => 0x6,
        b"dpci" => 0x7,
        b"dpcon" => 0x8,
        b"dpseci" => 0x9,
        b"dpaiop" => 0xa,
        b"dpmcp" => 0xb,
        b"dpmac" => 0xc,
        b"dpdcei" => 0xd,
        b"dpdmai" => 0xe,
        b"dpdbg" => 0xf,
        b"dprtc" => 0x10,
        _ => return None,
    })
}

/// The bytes before the first zero.
pub(super) const fn trimmed(name: &TypeName) -> &[u8] {
    let mut rest: &[u8] = name;
    let mut length = 0;
    while let Some((first, tail)) = rest.split_first() {
        if *first == 0 {
            break;
        }
        length = name.len().wrapping_sub(tail.len());
        rest = tail;
    }
    match name.split_at_checked(length) {
        Some((text, _)) => text,
        None => name,
    }
}

/// A text as it is on the wire: at most 15 bytes before a zero.
fn text_words(name: &TypeName) -> (u64, u64) {
    let mut clean = [0; 16];
    for (clean, byte) in clean.iter_mut().zip(trimmed(name)).take(15) {
        *clean = *byte;
    }
    let both = u128::from_le_bytes(clean);
    (both as u64, (both >> 64) as u64)
}

/// A text out of two words; what follows its first zero is none of it.
fn text(low: u64, high: u64) -> [u8; 16] {
    let mut text = ((u128::from(high) << 64) | u128::from(low)).to_le_bytes();
    let mut ended = false;
    for byte in &mut text {
        ended |= *byte == 0;
        if ended {
            *byte = 0;
        }
    }
    text
}

/// Two halves of a word.
const fn word(low: u32, high: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

/// Asks for the version of the firmware, which concerns no object.
pub const fn get_version() -> Command {
    Command::new(number::GET_VERSION, 1, 0)
}

/// Opens an object; the answer's header has the token.
///
/// # Errors
/// [`Errno::NoDev`] for a type that has no open command.
pub const fn open(kind: &TypeName, id: i32) -> Result<Command, Errno> {
    match family(kind) {
        Some(family) => Ok(Command::new(0x800 | family, 1, 0).with_word(word(id as u32, 0))),
        None => Err(Errno::NoDev),
    }
}

/// Gives a token back.
pub const fn close(token: u16) -> Command {
    Command::new(number::CLOSE, 1, token)
}

/// Resets an object that is no container.
pub const fn reset(token: u16) -> Command {
    Command::new(number::RESET, 1, token)
}

/// Resets a container below that of `token`, or that one. `options`
/// ([`RESET_NON_RECURSIVE`]) are known from version 6.5 of the container's
/// commands on and left out before; `api_version` is major and minor.
pub const fn reset_container(
    token: u16,
    child_id: i32,
    options: u32,
    api_version: (u16, u16),
) -> Command {
    let (major, minor) = api_version;
    if major > 6 || (major == 6 && minor >= 5) {
        Command::new(number::RESET, 2, token).with_word(word(child_id as u32, options))
    } else {
        Command::new(number::RESET, 1, token).with_word(word(child_id as u32, 0))
    }
}

/// Asks for the version of the container's commands.
pub const fn get_api_version() -> Command {
    Command::new(number::DPRC_GET_API_VERSION, 1, 0)
}

/// Major and minor version, out of the answer to [`get_api_version`].
pub const fn api_version(answer: &Command) -> (u16, u16) {
    (answer.0[1] as u16, (answer.0[1] >> 16) as u16)
}

/// Sets where the interrupt `index` of the container writes what.
pub const fn dprc_set_irq(
    token: u16,
    index: u8,
    address: u64,
    value: u32,
    irq_number: i32,
) -> Command {
    let header = Command::ready(number::SET_IRQ, 1, token);
    let first = word(value, index as u32);
    Command([
        header,
        first,
        address,
        word(irq_number as u32, 0),
        0,
        0,
        0,
        0,
    ])
}

/// Sets where the interrupt `index` of an object in the container writes what.
pub fn dprc_set_obj_irq(
    token: u16,
    kind: &TypeName,
    object_id: i32,
    index: u8,
    address: u64,
    value: u32,
    irq_number: i32,
) -> Command {
    let header = Command::ready(number::DPRC_SET_OBJECT_IRQ, 1, token);
    let first = word(value, u32::from(index));
    let third = word(irq_number as u32, object_id as u32);
    let (low, high) = text_words(kind);
    Command([header, first, address, third, low, high, 0, 0])
}

/// Opens or shuts the gate of an interrupt.
pub const fn set_irq_enable(token: u16, index: u8, on: bool) -> Command {
    Command::new(number::SET_IRQ_ENABLE, 1, token).with_word(word(on as u32, index as u32))
}

/// Chooses the events of an interrupt.
pub const fn set_irq_mask(token: u16, index: u8, mask: u32) -> Command {
    Command::new(number::SET_IRQ_MASK, 1, token).with_word(word(mask, index as u32))
}

/// Asks which of the events in `status` happened; see [`irq_status`].
pub const fn get_irq_status(token: u16, index: u8, status: u32) -> Command {
    Command::new(number::GET_IRQ_STATUS, 1, token).with_word(word(status, index as u32))
}

/// The events, out of the answer to [`get_irq_status`].
pub const fn irq_status(answer: &Command) -> u32 {
    answer.0[1] as u32
}

/// Forgets the events in `status`.
pub const fn clear_irq_status(token: u16, index: u8, status: u32) -> Command {
    Command::new(number::CLEAR_IRQ_STATUS, 1, token).with_word(word(status, index as u32))
}

/// Asks how many objects are right in the container; see [`object_count`].
pub const fn get_object_count(token: u16) -> Command {
    Command::new(number::DPRC_GET_OBJECT_COUNT, 1, token)
}

/// The count, out of the answer to [`get_object_count`].
pub const fn object_count(answer: &Command) -> u32 {
    (answer.0[1] >> 32) as u32
}

/// Asks for an object by its place in the container; see [`object`].
pub const fn get_object(token: u16, index: u32) -> Command {
    Command::new(number::DPRC_GET_OBJECT, 1, token).with_word(word(index, 0))
}

/// Asks for a region of an object in the container. The answer's parameters tell one
/// region from another; what they mean depends on the firmware.
pub fn get_object_region(token: u16, kind: &TypeName, object_id: i32, index: u8) -> Command {
    let header = Command::ready(number::DPRC_GET_OBJECT_REGION, 1, token);
    let first = word(object_id as u32, u32::from(index) << 16);
    let (low, high) = text_words(kind);
    Command([header, first, 0, 0, low, high, 0, 0])
}

/// The object, out of the answer to [`get_object`].
pub fn object(answer: &Command) -> Object {
    let [_, first, second, third, kind_low, kind_high, label_low, label_high] = answer.0;
    Object {
        kind: text(kind_low, kind_high),
        id: (first >> 32) as u32 as i32,
        vendor: second as u16,
        irq_count: (second >> 16) as u8,
        region_count: (second >> 24) as u8,
        state: (second >> 32) as u32,
        version_major: third as u16,
        version_minor: (third >> 16) as u16,
        flags: (third >> 32) as u16,
        label: text(label_low, label_high),
    }
}
