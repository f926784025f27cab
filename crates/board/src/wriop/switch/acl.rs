// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Access control lists: what becomes of frames that come in, by their headers.

use super::tag::{ADDRESSES, Parts};
use crate::wriop::parser::Parsed;

/// Bytes of a key in guest memory (`struct dpsw_prep_acl_entry`): match and mask.
pub const ACL_KEY_SIZE: usize = 66;
/// Bytes of one half without the protocol, which both have at the end.
const HALF: usize = 32;
const WORDS: usize = 5;

/// What a rule does with the frames that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclAction {
    /// They are dropped.
    Drop,
    /// They leave through an interface.
    Redirect(u16),
    /// They go the way of all frames.
    Accept,
    /// They go to the control interface.
    ToControl,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclRule {
    /// What it is compared with.
    pub key: AclKey,
    /// Rules with the lower number are tried first.
    pub precedence: i32,
    /// What it does.
    pub action: AclAction,
}

/// What frames are compared with, and which bits of that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclKey {
    value: [u64; WORDS],
    mask: [u64; WORDS],
}

/// The fields of a frame that lists look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wriop) struct Fields([u64; WORDS]);

impl AclKey {
    /// A key as it lies in guest memory: addresses reversed, numbers
    /// little-endian.
    pub fn parse(bytes: &[u8; ACL_KEY_SIZE]) -> Self {
        let half = |start: usize, protocol: usize| {
            let mut half = [0; WORDS * 8];
            let fields = bytes.get(start..start + HALF).into_iter().flatten();
            let protocol = bytes.get(protocol).into_iter();
            half.iter_mut().zip(fields.chain(protocol)).for_each(|(to, from)| *to = *from);
            words(&half)
        };
        Self { value: half(0, 2 * HALF), mask: half(HALF, 2 * HALF + 1) }
    }

    /// What is compared, in the order of a key in guest memory.
    pub fn value(&self) -> [u8; WORDS * 8] {
        bytes(&self.value)
    }

    /// Which bits of it count.
    pub fn mask(&self) -> [u8; WORDS * 8] {
        bytes(&self.mask)
    }

    /// Whether a frame matches.
    pub(in crate::wriop) fn matches(&self, fields: &Fields) -> bool {
        let differs = |((field, value), mask): ((&u64, &u64), &u64)| (field ^ value) & mask != 0;
        !fields.0.iter().zip(&self.value).zip(&self.mask).any(differs)
    }
}

impl Fields {
    /// Those of a frame of a VLAN, in the layout of a key. `control` is the tag
    /// that it has in the switch.
    pub fn of(frame: &[u8], parts: &Parts, tpid: u16, control: u16, parsed: &Parsed) -> Self {
        const VLAN: u16 = 0xfff;
        const PRIORITY_SHIFT: u32 = 12;
        let mut key = [0; WORDS * 8];
        let mut put = |at: usize, bytes: &[u8]| {
            let slots = key.get_mut(at..).into_iter().flatten();
            slots.zip(bytes).for_each(|(to, from)| *to = *from);
        };
        for (at, address) in [0, 8].into_iter().zip(parts.addresses.chunks_exact(ADDRESSES / 2)) {
            for (index, byte) in address.iter().rev().enumerate() {
                put(at + index, &[*byte]);
            }
        }
        let tpid = parts.tag.map_or(tpid, |(tpid, _)| tpid);
        put(6, &tpid.to_le_bytes());
        put(14, &(control & VLAN).to_le_bytes());
        put(28, &parsed.ethertype.to_le_bytes());
        // Priority and drop eligibility, as the tag has them.
        put(30, &[(control >> PRIORITY_SHIFT) as u8]);
        if let Some(ip) = parsed.ip {
            let byte = |at: usize| frame.get(ip.start + at).copied().unwrap_or(0);
            let class = if ip.v6 { byte(0) << 4 | byte(1) >> 4 } else { byte(1) };
            put(31, &[class >> 2]);
            put(HALF, &[ip.protocol]);
            if !ip.v6 {
                for (at, from) in [(16, 16), (20, 12)] {
                    put(at, &[byte(from + 3), byte(from + 2), byte(from + 1), byte(from)]);
                }
            }
        }
        if let Some(at) = parsed.ports() {
            let byte = |offset: usize| frame.get(at + offset).copied().unwrap_or(0);
            put(24, &[byte(3), byte(2)]);
            put(26, &[byte(1), byte(0)]);
        }
        Self(words(&key))
    }
}

fn words(bytes: &[u8; WORDS * 8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    }
    words
}

fn bytes(words: &[u64; WORDS]) -> [u8; WORDS * 8] {
    let mut bytes = [0; WORDS * 8];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// What the first rule says that matches. The rules are in the order in which
/// they are tried.
pub(in crate::wriop) fn action(rules: &[AclRule], fields: &Fields) -> Option<AclAction> {
    rules.iter().find(|rule| rule.key.matches(fields)).map(|rule| rule.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wriop::parser::parse;

    /// Sets a field of a key and all bits of its mask.
    fn set(key: &mut [u8; ACL_KEY_SIZE], at: usize, bytes: &[u8]) {
        key[at..at + bytes.len()].copy_from_slice(bytes);
        key[at + 32..at + 32 + bytes.len()].fill(0xff);
    }

    fn matches(key: &[u8; ACL_KEY_SIZE], frame: &[u8], control: u16) -> bool {
        let parts = Parts::of(frame, [0x8100, 0, 0]).expect("a frame");
        let parsed = parse(frame, [0; 2]);
        AclKey::parse(key).matches(&Fields::of(frame, &parts, 0x8100, control, &parsed))
    }

    fn udp() -> Vec<u8> {
        let mut frame = Vec::new();
        let link = etherparse::PacketBuilder::ethernet2([2, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2]);
        let udp = link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(0x1234, 0x5678);
        udp.write(&mut frame, b"data").expect("written");
        frame[15] = 0xb8;
        frame
    }

    /// The layout of `dpsw_acl_prepare_entry_cfg`.
    #[test]
    fn each_field_lies_where_software_puts_it() {
        let cases: [(usize, &[u8]); 10] = [
            (0, &[2, 2, 2, 2, 2, 2]),
            (6, &[0x00, 0x81]),
            (8, &[1, 1, 1, 1, 1, 2]),
            (14, &[5, 0]),
            (16, &[2, 0, 0, 10]),
            (20, &[1, 0, 0, 10]),
            (24, &[0x78, 0x56]),
            (26, &[0x34, 0x12]),
            (28, &[0x00, 0x08]),
            (30, &[0x06, 0x2e]),
        ];
        for (at, bytes) in cases {
            let mut key = [0; ACL_KEY_SIZE];
            set(&mut key, at, bytes);
            assert!(matches(&key, &udp(), 0x6005), "field at {at}");
            key[at] ^= 1;
            assert!(!matches(&key, &udp(), 0x6005), "field at {at}");
        }
        let mut key = [0; ACL_KEY_SIZE];
        (key[64], key[65]) = (17, 0xff);
        assert!(matches(&key, &udp(), 5));
        key[64] = 6;
        assert!(!matches(&key, &udp(), 5));
    }

    #[test]
    fn a_rule_without_mask_matches_all() {
        assert!(matches(&[0; ACL_KEY_SIZE], &[0xff; 60], 1));
        let mut key = [0; ACL_KEY_SIZE];
        key[..32].fill(0x77);
        assert!(matches(&key, &[0xff; 60], 1));
    }
}
