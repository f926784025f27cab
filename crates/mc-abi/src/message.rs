// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The 64 byte block and its header.

use crate::{ObjectId, Status, Wire, common};
use core::fmt;

/// Bytes of parameters in a message.
pub const PARAMS_SIZE: usize = 56;

/// The parameter area of a message: seven little-endian words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Params(pub [u8; PARAMS_SIZE]);

impl Params {
    /// All bytes zero.
    pub const ZERO: Self = Self([0; PARAMS_SIZE]);
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.0.chunks(8).enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            for byte in word.iter().rev() {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A handle to an open object, given by its open command and carried by every
/// command to it. Commands that need no object carry 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub u16);

impl Token {
    /// The token of commands that address no object.
    pub const NONE: Self = Self(0);
}

/// The header word: byte 0 source id, 1 hardware flags, 2 status, 3 software
/// flags, 4..6 token, 6..8 command id (number in the upper 12 bits, version in
/// the lower 4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header(pub u64);

impl Header {
    /// Hardware flag: the command has high priority.
    pub const HIGH_PRIORITY: u8 = 0x80;
    /// Software flag: no interrupt at completion.
    pub const INTERRUPT_DISABLED: u8 = 0x01;

    /// The status byte as it stands, which may be none that is known.
    pub const fn status_byte(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The status.
    pub const fn status(self) -> Status {
        Status::from_byte(self.status_byte())
    }

    /// The hardware flags.
    pub const fn hardware_flags(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The software flags.
    pub const fn software_flags(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// The token.
    pub const fn token(self) -> Token {
        Token((self.0 >> 32) as u16)
    }

    /// The command number (12 bits).
    pub const fn number(self) -> u16 {
        (self.0 >> 52) as u16
    }

    /// The command version (4 bits).
    pub const fn version(self) -> u8 {
        ((self.0 >> 48) & 0xf) as u8
    }

    /// This header with another status.
    #[must_use]
    pub const fn with_status(self, status: Status) -> Self {
        Self(self.0 & !(0xff << 16) | (status.byte() as u64) << 16)
    }

    /// This header with another token.
    #[must_use]
    pub const fn with_token(self, token: Token) -> Self {
        Self(self.0 & !(0xffff << 32) | (token.0 as u64) << 32)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("number", &format_args!("{:#05x}", self.number()))
            .field("version", &self.version())
            .field("token", &self.token().0)
            .field("status", &self.status())
            .finish()
    }
}

/// A command or an answer as it lies in a portal: 64 bytes, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The first word.
    pub header: Header,
    /// The other seven.
    pub params: Params,
}

impl Message {
    /// Bytes of a message.
    pub const SIZE: usize = 8 + PARAMS_SIZE;

    /// A command that is ready to be executed, with normal priority flags as
    /// Linux and DPDK send them.
    pub const fn command(number: u16, version: u8, token: Token, params: Params) -> Self {
        let id = ((number & 0xfff) << 4) | (version & 0xf) as u16;
        let header = Header((id as u64) << 48 | (token.0 as u64) << 32);
        Self { header: header.with_status(Status::Ready), params }
    }

    /// The command that opens an object.
    pub fn open(object: ObjectId) -> Self {
        let mut params = Params::ZERO;
        common::Open { id: object.id }.encode(&mut params, 1);
        Self::command(common::OPEN + object.kind.code(), 1, Token::NONE, params)
    }

    /// The command that closes what a token stands for.
    pub const fn close(token: Token) -> Self {
        Self::command(common::CLOSE, 1, token, Params::ZERO)
    }

    /// Reads a message from its bytes. Every block of 64 bytes is one.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let (header, rest) = bytes.split_at(8);
        let mut word = [0; 8];
        word.copy_from_slice(header);
        let mut params = Params::ZERO;
        params.0.copy_from_slice(rest);
        Self { header: Header(u64::from_le_bytes(word)), params }
    }

    /// The bytes of this message.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.header.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.params.0);
        bytes
    }
}
