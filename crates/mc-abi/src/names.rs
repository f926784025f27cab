// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Names on the wire: object types, object ids, resource types, labels, MAC
//! addresses.

use crate::field::{FieldError, Layout, Say};
use core::{fmt, str::FromStr};

/// The families: a line is `Variant(module) = code`. The module's name is the family's on
/// the wire.
macro_rules! families {
    ($( $(#[$doc:meta])* $variant:ident($module:ident) = $code:literal ),* $(,)?) => {
        /// A family of objects. On the wire a string of at most 16 bytes, zero padded.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ObjectType {
            $( $(#[$doc])* $variant, )*
        }

        impl ObjectType {
            /// Every type, in the order of the enum.
            pub const ALL: [Self; [$( $code ),*].len()] = [$( Self::$variant ),*];

            /// The name on the wire and in device names.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($module), )*
                }
            }

            /// The low four bits (from 1 to 16) that tell the family's open (`0x80n`),
            /// create (`0x90n`), destroy (`0x98n`) and version (`0xa0n`) commands apart.
            pub const fn code(self) -> u16 {
                match self {
                    $( Self::$variant => $code, )*
                }
            }
        }

        /// The commands of a family, without those of [`common`](crate::common).
        pub fn commands(kind: ObjectType) -> &'static [crate::CommandInfo] {
            match kind {
                $( ObjectType::$variant => crate::$module::COMMANDS, )*
            }
        }
    };
}

families! {
    /// Resource container.
    Dprc(dprc) = 0x5,
    /// Network interface.
    Dpni(dpni) = 0x1,
    /// Software portal.
    Dpio(dpio) = 0x3,
    /// Buffer pool.
    Dpbp(dpbp) = 0x4,
    /// MC command portal.
    Dpmcp(dpmcp) = 0xb,
    /// Concentrator: a channel of queues.
    Dpcon(dpcon) = 0x8,
    /// Communication interface between two contexts.
    Dpci(dpci) = 0x7,
    /// Ethernet MAC.
    Dpmac(dpmac) = 0xc,
    /// Switch.
    Dpsw(dpsw) = 0x2,
    /// Demultiplexer.
    Dpdmux(dpdmux) = 0x6,
    /// Crypto accelerator interface.
    Dpseci(dpseci) = 0x9,
    /// DMA engine interface.
    Dpdmai(dpdmai) = 0xe,
    /// Compression engine interface.
    Dpdcei(dpdcei) = 0xd,
    /// Real-time clock.
    Dprtc(dprtc) = 0x10,
    /// Programmable I/O processor tile.
    Dpaiop(dpaiop) = 0xa,
    /// Debug interface.
    Dpdbg(dpdbg) = 0xf,
}

impl Default for ObjectType {
    /// The first of the table.
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl ObjectType {
    /// The type of a [code](Self::code).
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no object type or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownName;

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such object name: expected a type and a number, such as dpni.0")
    }
}

impl core::error::Error for UnknownName {}

impl FromStr for ObjectType {
    type Err = UnknownName;

    fn from_str(s: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or(UnknownName)
    }
}

impl Layout for ObjectType {
    type Value = Self;
    const SIZE: usize = 16;

    fn load(bytes: &[u8], _: u8) -> Result<Self, FieldError> {
        let text = Text16::load(bytes)?;
        Self::ALL
            .into_iter()
            .find(|t| t.name().as_bytes() == text.as_bytes())
            .ok_or(FieldError::UnknownObjectType)
    }

    fn store(value: &Self, bytes: &mut [u8], _: u8) {
        Text16::new(value.name()).store(bytes);
    }

    fn sample(next: &mut dyn FnMut() -> u64, _: u8) -> Self {
        Self::ALL[(next() % 16) as usize]
    }
}

/// An object: its family and its number, such as `dpni.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The family.
    pub kind: ObjectType,
    /// The number, unique in the family across all containers.
    pub id: u32,
}

impl ObjectId {
    /// An object's name.
    pub const fn new(kind: ObjectType, id: u32) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.id)
    }
}

impl FromStr for ObjectId {
    type Err = UnknownName;

    fn from_str(s: &str) -> Result<Self, UnknownName> {
        let (kind, id) = s.split_once('.').ok_or(UnknownName)?;
        Ok(Self { kind: kind.parse()?, id: id.parse().map_err(|_| UnknownName)? })
    }
}

/// Sixteen bytes of text, ended by the first zero byte or the field's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Text16([u8; 16]);

impl Text16 {
    fn new(text: &str) -> Self {
        let mut bytes = [0; 16];
        let n = text.len().min(16);
        bytes[..n].copy_from_slice(&text.as_bytes()[..n]);
        Self(bytes)
    }

    fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(16);
        &self.0[..end]
    }

    fn load(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut text = [0; 16];
        text.copy_from_slice(bytes.get(..16).ok_or(FieldError::TooShort)?);
        // What follows the terminator is no part of the text.
        let end = text.iter().position(|&b| b == 0).unwrap_or(16);
        text[end..].fill(0);
        Ok(Self(text))
    }

    fn store(&self, bytes: &mut [u8]) {
        if let Some(slot) = bytes.get_mut(..16) {
            slot.copy_from_slice(&self.0);
        }
    }
}

impl fmt::Display for Text16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

macro_rules! text16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(Text16);

        impl $name {
            /// The text's first 16 bytes.
            pub fn new(text: &str) -> Self {
                Self(Text16::new(text))
            }

            /// The bytes before the terminator.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", self.0)
            }
        }

        impl Layout for $name {
            type Value = Self;
            const SIZE: usize = 16;

            fn load(bytes: &[u8], _: u8) -> Result<Self, FieldError> {
                Text16::load(bytes).map(Self)
            }

            fn store(value: &Self, bytes: &mut [u8], _: u8) {
                value.0.store(bytes);
            }

            fn sample(next: &mut dyn FnMut() -> u64, _: u8) -> Self {
                let mut text = [0; 16];
                let length = (next() % 17) as usize;
                text[..length].fill_with(|| b'!' + (next() % 94) as u8);
                Self(Text16(text))
            }
        }
    };
}

text16! {
    /// A name that software gives an object: at most 15 characters and a zero.
    Label
}

text16! {
    /// A type of pooled resource (`mcp`, `swp`, `bp`, `fq`, ...) or of objects
    /// where a command takes either.
    ResourceType
}

/// An Ethernet address, in the order it is written: on the wire reversed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Layout for MacAddr {
    type Value = Self;
    const SIZE: usize = 6;

    fn load(bytes: &[u8], _: u8) -> Result<Self, FieldError> {
        let mut address = [0; 6];
        address.copy_from_slice(bytes.get(..6).ok_or(FieldError::TooShort)?);
        address.reverse();
        Ok(Self(address))
    }

    fn store(value: &Self, bytes: &mut [u8], _: u8) {
        for (slot, byte) in bytes.iter_mut().zip(value.0.iter().rev()) {
            *slot = *byte;
        }
    }

    fn sample(next: &mut dyn FnMut() -> u64, _: u8) -> Self {
        let mut address = [0; 6];
        address.copy_from_slice(&next().to_le_bytes()[..6]);
        Self(address)
    }
}

impl Say for ObjectType {
    fn say(&mut self, text: &str) -> bool {
        text.parse().map(|kind| *self = kind).is_ok()
    }
}

impl Say for Label {
    fn say(&mut self, text: &str) -> bool {
        *self = Self::new(text);
        true
    }
}

impl Say for ResourceType {
    fn say(&mut self, text: &str) -> bool {
        *self = Self::new(text);
        true
    }
}

impl Say for MacAddr {
    fn say(&mut self, text: &str) -> bool {
        let mut bytes = [0; 6];
        let mut slots = bytes.iter_mut();
        let said = text.split(':').all(|byte| match (slots.next(), u8::from_str_radix(byte, 16)) {
            (Some(slot), Ok(byte)) => {
                *slot = byte;
                true
            }
            _ => false,
        });
        let whole = said && slots.next().is_none();
        if whole {
            *self = Self(bytes);
        }
        whole
    }
}
