// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Tables of rules: keys, perhaps with masks, and what to do with frames that
//! match.

use super::key::{Key, MAX_KEY_SIZE};
use std::collections::HashMap;

/// A rule of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<A> {
    /// The key, and zeros past its size.
    pub key: [u8; MAX_KEY_SIZE],
    /// The bits of the key that count; `None`: all.
    pub mask: Option<[u8; MAX_KEY_SIZE]>,
    /// Bytes of the key. A frame whose own key is longer does not match.
    pub size: u8,
    /// Where in a table with masks the rule lies: lower ones match first, and
    /// of equal ones the older.
    pub index: u16,
    /// What matching frames meet.
    pub action: A,
}

/// A table, ready for frames.
#[derive(Debug, Default)]
pub(super) struct Table<A> {
    /// Rules without a mask.
    exact: HashMap<[u8; MAX_KEY_SIZE], (u8, A)>,
    /// Rules with one, in the order in which they are tried.
    masked: Vec<Masked<A>>,
}

const WORDS: usize = MAX_KEY_SIZE / 8;

#[derive(Debug)]
struct Masked<A> {
    value: [u64; WORDS],
    mask: [u64; WORDS],
    size: u8,
    action: A,
}

fn words(bytes: &[u8; MAX_KEY_SIZE]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    }
    words
}

impl<A: Copy> Table<A> {
    pub fn new(rules: &[Rule<A>]) -> Self {
        let mut table = Self { exact: HashMap::new(), masked: Vec::new() };
        let mut ordered: Vec<&Rule<A>> = rules.iter().collect();
        ordered.sort_by_key(|rule| rule.index);
        for rule in ordered {
            match rule.mask {
                None => {
                    table.exact.entry(rule.key).or_insert((rule.size, rule.action));
                }
                Some(mask) => {
                    let (value, mask) = (words(&rule.key), words(&mask));
                    let (size, action) = (rule.size, rule.action);
                    table.masked.push(Masked { value, mask, size, action });
                }
            }
        }
        table
    }

    /// What the first matching rule says.
    pub fn find(&self, key: &Key) -> Option<A> {
        let fits = |size: u8| key.length <= usize::from(size);
        if !self.exact.is_empty()
            && let Some((_, action)) = self.exact.get(&key.bytes).filter(|(size, _)| fits(*size))
        {
            return Some(*action);
        }
        if self.masked.is_empty() {
            return None;
        }
        let key = words(&key.bytes);
        let matching = self.masked.iter().find(|rule| {
            let differs = |((key, value), mask): ((&u64, &u64), &u64)| (key ^ value) & mask != 0;
            fits(rule.size) && !key.iter().zip(&rule.value).zip(&rule.mask).any(differs)
        });
        matching.map(|rule| rule.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(bytes: &[u8]) -> [u8; MAX_KEY_SIZE] {
        let mut key = [0; MAX_KEY_SIZE];
        key[..bytes.len()].copy_from_slice(bytes);
        key
    }

    fn key(bytes: &[u8]) -> Key {
        Key { bytes: padded(bytes), length: bytes.len(), overflowed: false }
    }

    fn rule(bytes: &[u8], mask: Option<&[u8]>, index: u16, action: u32) -> Rule<u32> {
        let size = bytes.len() as u8;
        Rule { key: padded(bytes), mask: mask.map(padded), size, index, action }
    }

    #[test]
    fn exact_rules_match_whole_keys() {
        let table = Table::new(&[rule(&[1, 2], None, 0, 5), rule(&[1, 0], None, 0, 6)]);
        assert_eq!(table.find(&key(&[1, 2])), Some(5));
        assert_eq!(table.find(&key(&[1])), Some(6), "zeros follow");
        assert_eq!(table.find(&key(&[1, 2, 0])), None, "longer than the rule");
        assert_eq!(table.find(&key(&[2, 2])), None);
    }

    #[test]
    fn masked_rules_match_in_the_order_of_their_index() {
        let table = Table::new(&[
            rule(&[0x10, 0], Some(&[0xf0, 0]), 3, 1),
            rule(&[0x12, 0], Some(&[0xff, 0]), 1, 2),
            rule(&[0, 0], Some(&[0, 0]), 9, 3),
        ]);
        assert_eq!(table.find(&key(&[0x12, 7])), Some(2));
        assert_eq!(table.find(&key(&[0x13, 7])), Some(1));
        assert_eq!(table.find(&key(&[0x23, 7])), Some(3));
        assert_eq!(table.find(&key(&[0x23, 7, 0])), None);
    }
}
