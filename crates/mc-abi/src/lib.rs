// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod words;
#[macro_use]
mod macros;
mod field;
mod message;
mod names;
mod status;

pub mod blocks;
pub mod common;
pub mod dpaiop;
pub mod dpbp;
pub mod dpci;
pub mod dpcon;
pub mod dpdbg;
pub mod dpdcei;
pub mod dpdmai;
pub mod dpdmux;
pub mod dpio;
pub mod dpmac;
pub mod dpmcp;
pub mod dpmng;
pub mod dpni;
pub mod dprc;
pub mod dprtc;
pub mod dpseci;
pub mod dpsw;

pub use field::FieldError;
pub use message::{Header, Message, PARAMS_SIZE, Params, Token};
pub use names::{Label, MacAddr, ObjectId, ObjectType, ResourceType, commands};
pub use status::Status;
pub use words::{InWords, Words};

use core::fmt;

/// A parameter block in its checked form: what a request or a reply says.
pub trait Wire: Sized + fmt::Debug + Clone + PartialEq + InWords {
    /// Reads the fields that `version` of the command has; the others take
    /// their default.
    ///
    /// # Errors
    /// [`FieldError`] names the field whose bytes stand for no value.
    fn decode(params: &Params, version: u8) -> Result<Self, FieldError>;

    /// Writes the fields that `version` has over `params`. Bytes of no field
    /// are left as they are.
    fn encode(&self, params: &mut Params, version: u8);

    /// A value drawn from `next`, a stream of random words: any value that
    /// `version` can carry. For property tests and fuzzers.
    fn sample(next: &mut dyn FnMut() -> u64, version: u8) -> Self;
}

/// A command: its number, its parameters, and what the MC answers.
pub trait Request: Wire {
    /// Command number: the upper 12 bits of the command id.
    const NUMBER: u16;
    /// Name as used in traces and errors, such as `GetAttributes`.
    const NAME: &'static str;
    /// The newest version whose layout this type knows; the oldest is 1 unless
    /// the reference headers never had it.
    const MAX_VERSION: u8;
    /// The parameters of the answer.
    type Reply: Wire;

    /// The message that sends this command with `token`, in its newest version.
    fn message(&self, token: Token) -> Message {
        self.message_version(token, Self::MAX_VERSION)
    }

    /// The message that sends this command in a certain version.
    fn message_version(&self, token: Token, version: u8) -> Message {
        let mut params = Params::ZERO;
        self.encode(&mut params, version);
        Message::command(Self::NUMBER, version, token, params)
    }
}

/// Says fields, one after the other: see [`CommandInfo::request`].
pub type Fields<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&str, &str) -> bool) -> bool;

/// A row of the command table: what exists, for traces, docs and tests.
#[derive(Debug, Clone, Copy)]
pub struct CommandInfo {
    /// Command number (12 bits).
    pub number: u16,
    /// Name of the request type.
    pub name: &'static str,
    /// Newest version known.
    pub max_version: u8,
    /// Checks on a sampled request and reply that decoding undoes encoding.
    pub round_trip: fn(next: &mut dyn FnMut() -> u64, version: u8) -> bool,
    /// The parameters of a sampled request. For property tests and fuzzers.
    pub sample: fn(next: &mut dyn FnMut() -> u64, version: u8) -> Params,
    /// Decodes arbitrary parameters as this command's request and reply. Used
    /// to show that no input panics.
    pub decodes: fn(params: &Params, version: u8),
    /// Writes what parameters say as the answer to this command: its type with all
    /// fields, as `{:?}` does.
    ///
    /// # Errors
    /// [`fmt::Error`] where a field's bytes stand for no value, or `out` fails.
    pub reply_words: fn(params: &Params, version: u8, out: &mut dyn fmt::Write) -> fmt::Result,
    /// Makes the parameters of a request out of words. `fields` is given a function
    /// that takes a field's name and value (`16`, `0x10`, `dpni`, `[1, 2]`) and says
    /// whether there is such a field and it can have that value; what `fields` returns
    /// is returned.
    pub request: fn(version: u8, params: &mut Params, fields: Fields) -> bool,
    /// Holds the request or the reply against bytes from elsewhere.
    #[cfg(test)]
    pub(crate) vector: fn(&tests::vectors::Vector) -> Result<(), std::string::String>,
}

/// Why a message is no command of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The family has no command of this number.
    UnknownCommand {
        /// Command number (12 bits).
        number: u16,
    },
    /// A parameter has no meaning.
    Field {
        /// Name of the command.
        command: &'static str,
        /// What is wrong with which field.
        error: FieldError,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand { number } => write!(f, "unknown command {number:#05x}"),
            Self::Field { command, error } => write!(f, "{command}: {error}"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests;
