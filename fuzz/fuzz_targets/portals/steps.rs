// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What an input makes happen.

use crate::settings::Configure;
use arbitrary::Arbitrary;

#[derive(Debug, Arbitrary)]
pub enum Step {
    Write {
        portal: bool,
        register: Register,
        value: Value,
        wide: bool,
    },
    Read {
        portal: bool,
        register: Register,
        length: u8,
    },
    Store {
        portal: bool,
        area: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    Load {
        portal: bool,
        cache_inhibited: bool,
        at: u16,
        length: u8,
    },
    /// Commands with some sense in them, and their doorbells.
    Enqueue {
        portal: bool,
        entry: u8,
        head: [u8; 24],
        response: u16,
        length: u16,
    },
    Manage {
        portal: bool,
        verb: u8,
        id: u8,
        queue: bool,
        fields: [u8; 40],
    },
    Dequeue {
        portal: bool,
        verb: u8,
        count: u8,
        source: u16,
        response: u16,
    },
    Release {
        portal: bool,
        pool: u8,
        count: u8,
    },
    Consume {
        portal: bool,
        index: u8,
    },
    Engine {
        what: u8,
        number: u8,
        count: u8,
    },
    Configure {
        what: Configure,
        number: u8,
        gone: bool,
    },
    Reset {
        portal: bool,
    },
    Tick {
        by: u32,
    },
}

#[derive(Debug, Arbitrary)]
pub enum Register {
    Known(u8),
    Any(u16),
}

/// Registers of the cache-inhibited area.
pub const REGISTERS: [u64; 19] = [
    0x800, 0x840, 0x8c0, 0x900, 0x940, 0x980, 0x9c0, 0xa00, 0xa80, 0xac0, 0xb00, 0xb40, 0xc00,
    0xcc0, 0xd00, 0xe00, 0xe40, 0xe80, 0xf40,
];

impl Register {
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Known(n) => REGISTERS[usize::from(n) % REGISTERS.len()] + u64::from(n >> 5) * 4,
            Self::Any(at) => at.into(),
        }
    }
}

#[derive(Debug, Arbitrary)]
pub enum Value {
    Any(u32),
    /// Of a doorbell or an index.
    Small(u8),
    /// Of the configuration: rings in memory or not, array mode or not.
    Modes(u8),
    /// Of the static dequeue command.
    Push(u16),
}

impl Value {
    pub fn bits(&self) -> u32 {
        match *self {
            Self::Any(value) => value,
            Self::Small(value) => 0x100 | u32::from(value),
            Self::Modes(bits) => {
                u32::from(bits & 0xf) << 20
                    | u32::from(bits >> 4 & 1) << 15
                    | u32::from(bits >> 5 & 1) * 3 << 8
                    | u32::from(bits >> 6 & 1) * 3 << 12
            }
            Self::Push(channels) => 1 << 24 | 1 << 29 | 0xbb << 16 | u32::from(channels),
        }
    }
}
