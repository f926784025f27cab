// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Commands on channels.

use super::{answer, results, verbs};
use crate::fields::{Entry, get_u16, get_u64, put_u16, put_u32, put_u64};

/// What a command sets of a channel's data notification (CDAN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelNotification {
    /// The channel.
    pub channel: u16,
    /// Whether the notification is armed; `None` where that stays.
    pub enable: Option<bool>,
    /// What the notification carries; `None` where that stays.
    pub context: Option<u64>,
}

impl ChannelNotification {
    const ENABLE: u8 = 0x1;
    const CONTEXT: u8 = 0x4;

    /// Reads a command.
    pub fn from_bytes(command: &Entry) -> Self {
        let (fields, control) = (command[4], command[5]);
        Self {
            channel: get_u16(command, 2),
            enable: (fields & Self::ENABLE != 0).then_some(control & 1 != 0),
            context: (fields & Self::CONTEXT != 0).then(|| get_u64(command, 8)),
        }
    }

    /// The command's bytes, without a valid bit.
    pub fn to_bytes(&self) -> Entry {
        let mut entry = [0; 64];
        entry[0] = verbs::CHANNEL_CONFIGURE;
        put_u16(&mut entry, 2, self.channel);
        let enable = if self.enable.is_some() { Self::ENABLE } else { 0 };
        let context = if self.context.is_some() { Self::CONTEXT } else { 0 };
        entry[4] = enable | context;
        entry[5] = u8::from(self.enable == Some(true));
        put_u64(&mut entry, 8, self.context.unwrap_or(0));
        entry
    }
}

/// A channel and what is in its work queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel.
    pub channel: u16,
    /// Whether the data notification is armed.
    pub armed: bool,
    /// Work queue that it goes to: channel times eight plus priority.
    pub notification: u16,
    /// What it carries.
    pub context: u64,
    /// How long the work queues are, 24 bits each.
    pub lengths: [u32; 8],
}

impl ChannelState {
    /// The answer's bytes, without a valid bit.
    pub fn to_bytes(&self) -> Entry {
        let mut entry = answer(verbs::CHANNEL_QUERY, results::OK);
        put_u16(&mut entry, 2, self.channel);
        entry[5] = u8::from(self.armed);
        put_u16(&mut entry, 6, self.notification);
        put_u64(&mut entry, 8, self.context);
        for (n, length) in self.lengths.iter().enumerate() {
            put_u32(&mut entry, 32 + 4 * n, length & 0x00ff_ffff);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes put down by hand after `struct qbman_cdan_ctrl_desc`.
    #[test]
    fn channel_notifications_are_read_as_linux_writes_them() {
        let mut bytes = [0; 64];
        bytes[0] = 0x46;
        bytes[2..4].copy_from_slice(&0x402u16.to_le_bytes());
        bytes[4] = 0x5;
        bytes[5] = 1;
        bytes[8..16].copy_from_slice(&0xffff_1111_2222_3333u64.to_le_bytes());
        let command = ChannelNotification::from_bytes(&bytes);
        let expected = ChannelNotification {
            channel: 0x402,
            enable: Some(true),
            context: Some(0xffff_1111_2222_3333),
        };
        assert_eq!(command, expected);
        assert_eq!(command.to_bytes(), bytes);
        bytes[4] = 1;
        bytes[5] = 0;
        let command = ChannelNotification::from_bytes(&bytes);
        assert_eq!((command.enable, command.context), (Some(false), None));
    }

    /// `struct qbman_wqchan_query_rslt`: chid at 2, ctrl 5, cdan_wqid 6,
    /// cdan_ctx 8, wq_len from 32.
    #[test]
    fn channels_are_written_as_dpdk_reads_them() {
        let state = ChannelState {
            channel: 0x0102,
            armed: true,
            notification: 0x0304,
            context: 5,
            lengths: [6, 7, 8, 9, 10, 11, 12, 13],
        };
        let bytes = state.to_bytes();
        assert_eq!(bytes[..9], [0x47, 0xf0, 2, 1, 0, 1, 4, 3, 5]);
        assert_eq!((bytes[32], bytes[36], bytes[60]), (6, 7, 13));
    }
}
