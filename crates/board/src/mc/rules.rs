// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Rules of tables, whose keys and masks commands name by their addresses in
//! guest memory. They are read when the command is executed; afterwards software
//! may reuse the memory.

use super::{State, memory::read};
use crate::mc::refusal::{Because, Refusal};
use crate::wriop::{KeyError, KeyProfile, MAX_KEY_SIZE, Rule};
use mc_abi::{ObjectId, Status};

/// A key and its mask, where a command says that they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyAt {
    pub size: u8,
    pub key: u64,
    /// 0: none.
    pub mask: u64,
}

/// Which keys a table takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyLimits {
    /// Bytes of the longest.
    pub size: u8,
    /// Whether they have masks.
    pub masks: bool,
}

/// A key and its mask. Bytes past the size are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyAndMask {
    size: u8,
    key: [u8; MAX_KEY_SIZE],
    mask: Option<[u8; MAX_KEY_SIZE]>,
}

/// Reads the layout of a key.
///
/// # Errors
/// [`Status::DmaError`], or [`Status::ConfigurationError`] where the layout
/// means nothing.
pub(crate) fn read_profile(
    state: &State,
    owner: ObjectId,
    iova: u64,
) -> Result<KeyProfile, Refusal> {
    let mut bytes = [0; KeyProfile::MAX_SIZE];
    let (header, _) = bytes.split_first_chunk_mut::<8>().ok_or_else(|| {
        Status::ConfigurationError.because("the layout of a key has a header of 8 bytes")
    })?;
    read(state, owner, iova, header)?;
    let meaningless = |error: KeyError| {
        tracing::warn!(%owner, %error, "a command's key is malformed");
        Status::ConfigurationError.because(error.to_string())
    };
    let size = KeyProfile::size(*header).map_err(meaningless)?;
    let rest = bytes.get_mut(8..size).unwrap_or_default();
    read(state, owner, iova.wrapping_add(8), rest)?;
    KeyProfile::parse(bytes.get(..size).unwrap_or_default()).map_err(meaningless)
}

/// Reads a key and its mask. An exact table has no masks: what clients pass for
/// one counts for nothing. A ternary table's rule without a mask compares all
/// bits.
///
/// # Errors
/// [`Status::ConfigurationError`] for a size or address that no key has,
/// [`Status::DmaError`] where memory cannot be read.
pub(crate) fn read_key(
    state: &State,
    owner: ObjectId,
    limits: KeyLimits,
    at: KeyAt,
) -> Result<KeyAndMask, Refusal> {
    if at.size == 0 || at.size > limits.size || at.key == 0 {
        return Err(Status::ConfigurationError
            .because(format!("a key has 1 to {} bytes and an address", limits.size)));
    }
    let bytes = |iova| {
        let mut bytes = [0; MAX_KEY_SIZE];
        let part = bytes.get_mut(..at.size.into()).ok_or_else(|| {
            Status::ConfigurationError.because(format!("a key has at most {MAX_KEY_SIZE} bytes"))
        })?;
        read(state, owner, iova, part).map(|()| bytes)
    };
    let masked = limits.masks && at.mask != 0;
    let mask = if masked { Some(bytes(at.mask)?) } else { None };
    Ok(KeyAndMask { size: at.size, key: bytes(at.key)?, mask })
}

impl KeyAndMask {
    /// A rule with this key.
    pub fn rule<A>(self, index: u16, action: A) -> Rule<A> {
        Rule { key: self.key, mask: self.mask, size: self.size, index, action }
    }

    fn is_of<A>(&self, rule: &Rule<A>) -> bool {
        (self.size, self.key, self.mask) == (rule.size, rule.key, rule.mask)
    }
}

/// Adds a rule, or changes the one of the same key if that is asked for.
///
/// # Errors
/// [`Status::NoResource`] where the table is full.
pub(crate) fn put<A>(
    rules: &mut Vec<Rule<A>>,
    key: KeyAndMask,
    index: u16,
    action: A,
    update: bool,
    most: usize,
) -> Result<(), Refusal> {
    if update && let Some(there) = rules.iter_mut().find(|rule| key.is_of(rule)) {
        there.action = action;
        return Ok(());
    }
    if rules.len() >= most {
        return Err(Status::NoResource.because(format!("the table has room for {most}")));
    }
    rules.push(key.rule(index, action));
    Ok(())
}

/// Removes the rule of a key.
///
/// # Errors
/// [`Status::NoResource`] where there is none.
pub(crate) fn take<A>(rules: &mut Vec<Rule<A>>, key: &KeyAndMask) -> Result<(), Refusal> {
    let at = rules.iter().position(|rule| key.is_of(rule));
    let at = at.ok_or_else(|| Status::NoResource.because("there is no such rule"))?;
    rules.remove(at);
    Ok(())
}
