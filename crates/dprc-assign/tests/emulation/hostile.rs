// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A guest that means harm: random and mutated messages through all of its portals.
//! What is the host's or another container's stays as it was, and every answer is one
//! that a Management Complex could give.

use crate::board_host::{BoardHost, Scene, open};
use dprc_assign::Emulation;
use mc_abi::{
    CommandInfo, Message, ObjectId, ObjectType, Params, Status, Token, Wire, common, dpmcp, dpmng,
    dprc,
};
use std::collections::BTreeSet;

/// Commands of the short run; `DPRC_ASSIGN_SOAK` names another number.
const SHORT: u64 = 60_000;

/// How often what must not change is looked at.
const LOOKS: u64 = 20;

/// splitmix64: each run is the same, and a seed is a number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A guest that remembers the tokens that it was given.
struct Attacker {
    random: Random,
    tokens: Vec<Token>,
    /// Objects of all containers, and some that do not exist.
    objects: Vec<ObjectId>,
}

impl Attacker {
    fn message(&mut self) -> Message {
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
            return Token(self.random.next() as u16 % 64);
        }
        let at = self.random.below(self.tokens.len());
        self.tokens[at]
    }

    fn open(&mut self) -> Message {
        let object = self.random.pick(&self.objects.clone());
        let mut params = Params::ZERO;
        common::Open { id: object.id }.encode(&mut params, 1);
        Message::command(common::OPEN + object.kind.code(), 1, Token::NONE, params)
    }

    fn anything(&mut self) -> Message {
        let mut params = Params::ZERO;
        for word in params.0.chunks_mut(8) {
            word.copy_from_slice(&self.random.next().to_le_bytes());
        }
        let number = self.random.next() as u16 & 0xfff;
        Message::command(number, self.random.next() as u8 & 3, self.token(), params)
    }

    fn of_table(&mut self, table: &'static [CommandInfo]) -> Message {
        let Some(row) = table.get(self.random.below(table.len())) else { return self.open() };
        let version = 1 + self.random.below(row.max_version.into()) as u8;
        let mut params = (row.sample)(&mut || self.random.next(), version);
        // Commands that name objects name some that are there.
        if self.random.one_in(2) {
            let object = self.random.pick(&self.objects.clone());
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

fn soak() -> u64 {
    std::env::var("DPRC_ASSIGN_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(SHORT)
}

#[test]
fn random_and_mutated_commands_reach_nothing_that_is_not_the_guests() {
    let mut scene = Scene::new();
    let dpmcp = scene.member(ObjectType::Dpmcp);
    let mut objects: Vec<ObjectId> = Vec::new();
    for open in [scene.root_open, scene.guest, scene.other] {
        objects.push(open.object);
        objects.extend(scene.list(open).iter().map(|o| ObjectId::new(o.kind, o.id)));
    }
    objects.extend(ObjectType::ALL.map(|kind| ObjectId::new(kind, 0)));
    objects.push(ObjectId::new(ObjectType::Dpni, u32::MAX));
    let members = scene.list(scene.guest).len();
    let before = scene.fingerprint();
    let real = scene.root.call(scene.guest, &dprc::GetAttributes {}).expect("the real ones");
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).expect("its own container");
    map_portal(&mut guest, root, dpmcp);
    let mut attacker = Attacker { random: Random(0x5eed), tokens: vec![root], objects };
    let (mut statuses, mut accepted) = (BTreeSet::new(), 0_u64);
    let count = soak();
    for number in 0..count {
        let slot = attacker.random.below(2) as u64;
        let message = attacker.message();
        let answer = store(&mut guest, &mut attacker.random, slot, &message);
        let status = answer.header.status_byte();
        statuses.insert(status);
        check_answer(&message, &answer, real.icid);
        if status == Status::Ok.byte() {
            accepted += 1;
            let opened = answer.header.token();
            if opened != message.header.token() && attacker.tokens.len() < 64 {
                attacker.tokens.push(opened);
            }
        }
        // Never so many that the host's table of tokens is full.
        if number % 4096 == 4095 {
            guest.reset();
            attacker.tokens.clear();
            attacker.tokens.push(open(&mut guest, 0, scene.guest.object).expect("open again"));
        }
        if number % (count / LOOKS).max(1) == 0 {
            assert_eq!(guest.objects().len(), members);
            assert_eq!(scene.fingerprint(), before, "after {number} commands");
        }
    }
    assert_eq!(scene.fingerprint(), before);
    // The kernel's own portal answers as before, and the emulation's token is open.
    guest.objects_changed();
    assert_eq!(guest.objects().len(), members);
    // It was an attack, not noise: commands were accepted, and refused in many ways.
    assert!(accepted > count / 50, "{accepted} of {count} accepted");
    assert!(statuses.len() >= 5, "{statuses:?}");
}

/// Gets the portal of a `dpmcp` into the guest.
fn map_portal(guest: &mut Emulation<BoardHost>, root: Token, dpmcp: ObjectId) {
    let ask = dprc::GetObjectRegion { id: dpmcp.id, index: 0, kind: dpmcp.kind };
    crate::board_host::call(guest, 0, root, &ask).expect("a portal");
    assert_eq!(dpmcp.kind, dpmcp::COMMANDS.first().map(|_| ObjectType::Dpmcp).expect("commands"));
}

/// In pieces of any size and order, the first byte last.
fn store(
    guest: &mut Emulation<BoardHost>,
    random: &mut Random,
    slot: u64,
    message: &Message,
) -> Message {
    let base = slot * dprc_assign::PORTAL_STRIDE;
    let bytes = message.to_bytes();
    let size = random.pick(&[1, 2, 4, 8, 16, 64]);
    for at in (0..bytes.len() / size).rev() {
        guest.store(base + (at * size) as u64, &bytes[at * size..][..size]);
    }
    let mut answer = [0; Message::SIZE];
    guest.load(base, &mut answer);
    Message::from_bytes(&answer)
}

/// An answer that a Management Complex could give, and that does not tell the host's
/// isolation id.
fn check_answer(message: &Message, answer: &Message, icid: u32) {
    let status = Status::from_byte(answer.header.status_byte());
    assert!(!matches!(status, Status::Ready | Status::Other(_)), "{message:?}: {answer:?}");
    let number = |m: &Message| (m.header.number(), m.header.version());
    assert_eq!(number(answer), number(message));
    if status != Status::Ok {
        assert_eq!(answer.params, Params::ZERO, "{message:?}");
        return;
    }
    if message.header.number() == 0x004 {
        if let Ok(reply) = dprc::GetAttributesReply::decode(&answer.params, 1) {
            let container = reply.options == dprc::option::IRQ_CFG;
            assert!(!container || reply.icid != icid);
        }
    }
}
