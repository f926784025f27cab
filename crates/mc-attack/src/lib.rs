// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a guest that means harm says to a Management Complex: random and mutated
//! messages, from a seed. In process it is used on the emulation of portals; as a program
//! it runs in a guest.
#![forbid(unsafe_code)]

use mc_abi::{
    CommandInfo, Message, ObjectId, ObjectType, Params, Status, Token, Wire, common, dpmng, dprc,
};

/// Tokens that are remembered.
const MOST_TOKENS: usize = 64;

/// splitmix64: each run is the same, and a seed is a number.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// Any word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number less than `limit`, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit.max(1) as u64) as usize
    }

    /// Yes, once in so many times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of several, of which there must be one.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// An address as the command lines of attackers have it: hexadecimal digits, perhaps behind
/// "0x".
///
/// # Errors
/// A sentence with what it is instead.
pub fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text:?} is no hexadecimal number"))
}

/// A guest that remembers the tokens that it was given.
#[derive(Debug)]
pub struct Attacker {
    /// Where its choices come from.
    pub random: Random,
    tokens: Vec<Token>,
    objects: Vec<ObjectId>,
}

impl Attacker {
    /// One that names `objects`: its own, others', and some that do not exist.
    pub fn new(seed: u64, mut objects: Vec<ObjectId>) -> Self {
        objects.extend(ObjectType::ALL.map(|kind| ObjectId::new(kind, 0)));
        objects.push(ObjectId::new(ObjectType::Dpni, u32::MAX));
        Self { random: Random(seed), tokens: Vec::new(), objects }
    }

    /// A token that was given to it.
    pub fn remember(&mut self, token: Token) {
        if self.tokens.len() < MOST_TOKENS {
            self.tokens.push(token);
        }
    }

    /// Gives up all tokens.
    pub fn forget(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.tokens)
    }

    /// The next message.
    pub fn message(&mut self) -> Message {
        let mut message = match self.random.below(8) {
            0 => self.open(),
            1 => self.anything(),
            2 => self.of_table(common::COMMANDS),
            3 | 4 => self.of_table(dprc::COMMANDS),
            5 => self.of_table(dpmng::COMMANDS),
            _ => {
                let kind = self.random.pick(&ObjectType::ALL);
                self.of_table(mc_abi::commands(kind))
            }
        };
        if self.random.one_in(3) {
            self.mutate(&mut message);
        }
        message
    }

    fn token(&mut self) -> Token {
        if self.tokens.is_empty() || self.random.one_in(8) {
            return Token(self.random.word() as u16 % 64);
        }
        self.random.pick(&self.tokens)
    }

    fn open(&mut self) -> Message {
        Message::open(self.random.pick(&self.objects))
    }

    fn anything(&mut self) -> Message {
        let mut params = Params::ZERO;
        for word in params.0.chunks_mut(8) {
            word.copy_from_slice(&self.random.word().to_le_bytes());
        }
        let number = self.random.word() as u16 & 0xfff;
        Message::command(number, self.random.word() as u8 & 3, self.token(), params)
    }

    fn of_table(&mut self, table: &'static [CommandInfo]) -> Message {
        let Some(row) = table.get(self.random.below(table.len())) else { return self.open() };
        let version = 1 + self.random.below(row.max_version.into()) as u8;
        let mut params = (row.sample)(&mut || self.random.word(), version);
        // Commands that name objects name some that are there.
        if self.random.one_in(2) {
            let object = self.random.pick(&self.objects);
            for at in [0, 4, 20] {
                params.0[at..at + 4].copy_from_slice(&object.id.to_le_bytes());
            }
            let mut name = [0; 16];
            let text = object.kind.name().as_bytes();
            name[..text.len()].copy_from_slice(text);
            for at in [8, 16, 24] {
                if self.random.one_in(2) {
                    params.0[at..at + 16].copy_from_slice(&name);
                }
            }
        }
        Message::command(row.number, version, self.token(), params)
    }

    fn mutate(&mut self, message: &mut Message) {
        let mut bytes = message.to_bytes();
        for _ in 0..1 + self.random.below(4) {
            let at = self.random.below(bytes.len());
            // The status byte stays: what is not ready is no command.
            if at != 2 {
                bytes[at] ^= 1 << self.random.below(8);
            }
        }
        *message = Message::from_bytes(&bytes);
    }
}

/// The status of an answer that a Management Complex could give.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(message: &Message, answer: &Message) -> Result<Status, String> {
    let status = answer.header.status();
    let wrong = |what: &str| Err(format!("{what}: {message:?} is answered with {answer:?}"));
    if matches!(status, Status::Ready | Status::Other(_)) {
        return wrong("a status that no Management Complex gives");
    }
    let name = |m: &Message| (m.header.number(), m.header.version());
    if name(answer) != name(message) {
        return wrong("another command");
    }
    if status != Status::Ok && answer.params != Params::ZERO {
        return wrong("a refusal that tells something");
    }
    Ok(status)
}

/// The object that a message is to open, whatever else was changed about it.
pub fn opens(message: &Message) -> Option<ObjectId> {
    let kind = ObjectType::from_code(message.header.number().checked_sub(common::OPEN)?)?;
    let open = common::Open::decode(&message.params, message.header.version()).ok()?;
    Some(ObjectId::new(kind, open.id))
}
