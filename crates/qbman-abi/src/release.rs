// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The release command: buffers that go into a pool (`struct
//! qbman_release_desc` of Linux).

use crate::fields::{Entry, get_u16, get_u64, put_u16, put_u64};

/// Set in the verb of every release command.
const COMMAND: u8 = 1 << 5;
/// An interrupt is asked for.
const INTERRUPT: u8 = 1 << 6;
const COUNT: u8 = 0x7;

/// A release command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseCommand {
    /// Buffer pool.
    pub pool: u16,
    /// Buffers, of which the first `count` count.
    pub buffers: [u64; ReleaseCommand::MOST],
    /// How many, 1 to 7.
    pub count: u8,
    /// Whether the portal reports the dispatch with an interrupt.
    pub interrupt: bool,
}

impl ReleaseCommand {
    /// Buffers that one command can hold.
    pub const MOST: usize = 7;

    /// Reads a command; `None` where the verb is not that of a release, or it
    /// holds no buffer.
    #[inline]
    pub fn from_bytes(entry: &Entry) -> Option<Self> {
        let count = entry[0] & COUNT;
        if entry[0] & COMMAND == 0 || count == 0 {
            return None;
        }
        let mut buffers = [0; Self::MOST];
        for (n, buffer) in buffers.iter_mut().enumerate() {
            *buffer = get_u64(entry, 8 + 8 * n);
        }
        let interrupt = entry[0] & INTERRUPT != 0;
        Some(Self { pool: get_u16(entry, 2), buffers, count, interrupt })
    }

    /// The command's bytes, with this valid bit (0 or 0x80).
    #[inline]
    pub fn to_bytes(&self, valid: u8) -> Entry {
        let mut entry = [0; 64];
        let interrupt = if self.interrupt { INTERRUPT } else { 0 };
        entry[0] = COMMAND | interrupt | self.count & COUNT | valid;
        put_u16(&mut entry, 2, self.pool);
        for (n, buffer) in self.buffers.iter().enumerate() {
            put_u64(&mut entry, 8 + 8 * n, *buffer);
        }
        entry
    }

    /// The buffers.
    #[inline]
    pub fn buffers(&self) -> &[u64] {
        self.buffers.get(..usize::from(self.count)).unwrap_or(&self.buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes put down by hand after `struct qbman_release_desc`.
    #[test]
    fn fields_are_where_linux_puts_them() {
        let mut bytes = [0; 64];
        bytes[0] = 0x20 | 0x80 | 2;
        bytes[2..4].copy_from_slice(&9u16.to_le_bytes());
        bytes[8..16].copy_from_slice(&0x1000u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&0x2000u64.to_le_bytes());
        let command = ReleaseCommand::from_bytes(&bytes).unwrap();
        assert_eq!((command.pool, command.interrupt), (9, false));
        assert_eq!(command.buffers(), [0x1000, 0x2000]);
        assert_eq!(command.to_bytes(0x80), bytes);
    }

    #[test]
    fn what_holds_no_buffer_is_no_command() {
        assert_eq!(ReleaseCommand::from_bytes(&[0; 64]), None);
        let mut bytes = [0; 64];
        bytes[0] = 0xa0;
        assert_eq!(ReleaseCommand::from_bytes(&bytes), None);
    }
}
