// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which answer a task reads from a portal that it shares.
//!
//! A write sends a command and a read gives its answer: two system calls, between
//! which another task may have sent its own. So a task that wrote reads the
//! answer to its own last command, and one that never did reads the portal as it
//! stands.

use super::command::Command;

/// The key of a slot that is nobody's.
pub const FREE: u64 = 0;

/// The answer to a task's last command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The task, or [`FREE`].
    pub key: u64,
    /// The portal's words after its command.
    pub answer: [u64; 8],
}

impl Slot {
    /// A slot that is nobody's.
    pub const EMPTY: Self = Self {
        key: FREE,
        answer: [0; 8],
    };
}

/// The answer that task `key` is to read; none where it never wrote.
pub fn find(slots: &[Slot], key: u64) -> Option<Command> {
    let slot = slots.iter().find(|slot| slot.key == key && key != FREE)?;
    Some(Command(slot.answer))
}

/// Keeps the answer to the last command of task `key`, in its slot or a free
/// one. False where there is neither: the caller finds room with
/// [`first_stale`] or more slots.
#[must_use]
pub fn insert(slots: &mut [Slot], key: u64, answer: &Command) -> bool {
    if key == FREE {
        return false;
    }
    let own = slots.iter().position(|slot| slot.key == key);
    let at = own.or_else(|| slots.iter().position(|slot| slot.key == FREE));
    match at.and_then(|at| slots.get_mut(at)) {
        Some(slot) => {
            *slot = Slot {
                key,
                answer: answer.0,
            };
            true
        }
        None => false,
    }
}

/// Frees the slot of task `key`. False where it has none.
pub fn remove(slots: &mut [Slot], key: u64) -> bool {
    let slot = slots.iter_mut().find(|slot| slot.key == key && key != FREE);
    match slot {
        Some(slot) => {
            *slot = Slot::EMPTY;
            true
        }
        None => false,
    }
}

/// The first task that has a slot and is not `alive`.
pub fn first_stale(slots: &[Slot], mut alive: impl FnMut(u64) -> bool) -> Option<u64> {
    let keys = slots.iter().map(|slot| slot.key);
    keys.filter(|key| *key != FREE).find(|key| !alive(*key))
}
