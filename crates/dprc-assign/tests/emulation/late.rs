// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Portals whose stores come late and whose loads come from a page, as with KVM's coalesced
//! MMIO and read-only memory: what a guest finds is what it finds where each access is an exit.

use crate::board_host::{BoardHost, PORTALS, Scene, call, open};
use dprc_assign::{Emulation, PORTAL_STRIDE, PortalPage};
use mc_abi::{Message, ObjectType, Request, Status, Token, Wire, dprc};
use mc_attack::{Attacker, Random};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// What all portals show.
type Shown = Arc<Mutex<BTreeMap<u64, [u8; Message::SIZE]>>>;

/// A guest's processors see this of the machine.
struct Machine {
    emulation: Mutex<Emulation<BoardHost>>,
    late: Mutex<VecDeque<(u64, Vec<u8>)>>,
    shown: Shown,
}

impl Machine {
    fn new(mut emulation: Emulation<BoardHost>) -> Self {
        let shown = Arc::clone(&emulation.host().shown);
        Self { emulation: Mutex::new(emulation), late: Mutex::default(), shown }
    }

    /// A store, which only leaves the guest where it may not come late.
    fn store(&self, offset: u64, bytes: &[u8]) {
        let at = offset % PORTAL_STRIDE;
        let may_wait = PortalPage::LATE_STORES.contains(&at)
            && at + bytes.len() as u64 <= PortalPage::LATE_STORES.end;
        if may_wait {
            self.late.lock().unwrap().push_back((offset, bytes.to_vec()));
            return;
        }
        let mut late = self.late.lock().unwrap();
        for (offset, bytes) in late.drain(..) {
            self.emulation.lock().unwrap().store(offset, &bytes);
        }
        drop(late);
        self.emulation.lock().unwrap().store(offset, bytes);
    }

    fn load(&self, slot: u64) -> Message {
        let shown = self.shown.lock().unwrap();
        Message::from_bytes(&shown[&(PORTALS + slot * PORTAL_STRIDE)])
    }

    /// A command in pieces of `size`, the first byte last.
    fn send(&self, slot: u64, message: &Message, size: usize) -> Message {
        for (at, bytes) in message.to_bytes().chunks(size).enumerate().rev() {
            self.store(slot * PORTAL_STRIDE + (at * size) as u64, bytes);
        }
        self.load(slot)
    }
}

/// A scene, a guest in it with a second portal, and its container's token in both.
fn guest(scene: &mut Scene) -> (Emulation<BoardHost>, [Token; 2]) {
    let dpmcp = scene.member(ObjectType::Dpmcp);
    let mut guest = scene.emulation();
    let first = open(&mut guest, 0, scene.guest.object).unwrap();
    let ask = dprc::GetObjectRegion { id: dpmcp.id, index: 0, kind: dpmcp.kind };
    call(&mut guest, 0, first, &ask).unwrap();
    let second = open(&mut guest, 1, scene.guest.object).unwrap();
    (guest, [first, second])
}

#[test]
fn late_stores_and_pages_change_no_answer() {
    let run = |by: &mut dyn FnMut(u64, &Message, usize) -> Message, tokens: [Token; 2]| {
        let mut attacker = Attacker::new(7, Vec::new());
        for token in tokens {
            attacker.remember(token);
        }
        let mut random = Random(3);
        let commands = (0..3000).map(|_| {
            let (slot, message) = (random.below(2) as u64, attacker.message());
            by(slot, &message, random.pick(&[1, 2, 4, 8]))
        });
        commands.collect::<Vec<_>>()
    };
    let mut scene = Scene::new();
    let (mut direct, tokens) = guest(&mut scene);
    let mut send = |slot: u64, message: &Message, size: usize| {
        let base = slot * PORTAL_STRIDE;
        for (at, bytes) in message.to_bytes().chunks(size).enumerate().rev() {
            direct.store(base + (at * size) as u64, bytes);
        }
        let mut answer = [0; Message::SIZE];
        direct.load(base, &mut answer);
        Message::from_bytes(&answer)
    };
    let expected = run(&mut send, tokens);
    let accepted = expected.iter().filter(|answer| answer.header.status() == Status::Ok).count();
    assert!(accepted > 100, "{accepted}");

    let mut scene = Scene::new();
    let (emulation, tokens) = guest(&mut scene);
    let machine = Machine::new(emulation);
    let found = run(&mut |slot, message, size| machine.send(slot, message, size), tokens);
    assert_eq!(found, expected);
}

#[test]
fn two_processors_with_a_portal_each_do_not_disturb_each_other() {
    let mut scene = Scene::new();
    let (emulation, tokens) = guest(&mut scene);
    let objects = [ObjectType::Dpni, ObjectType::Dpio].map(|kind| scene.member(kind));
    let machine = Machine::new(emulation);
    std::thread::scope(|scope| {
        for ((slot, token), object) in (0..).zip(tokens).zip(objects) {
            let machine = &machine;
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    // All words of the command are this processor's own.
                    let set = dprc::SetObjectIrq {
                        id: object.id,
                        index: 0,
                        kind: object.kind,
                        address: 0x808_0040 + (u64::from(round) << 32 | slot << 20),
                        value: round << 1 | slot as u32,
                        user: !round,
                    };
                    let answer = machine.send(slot, &set.message(token), 8);
                    assert_eq!(answer.header.status(), Status::Ok, "{slot}: {round}");
                    let get = dprc::GetObjectIrq { id: object.id, index: 0, kind: object.kind };
                    let answer = machine.send(slot, &get.message(token), 8);
                    let got = dprc::GetObjectIrqReply::decode(&answer.params, 1).unwrap();
                    let expected = (set.address, set.value, set.user);
                    assert_eq!((got.address, got.value, got.user), expected, "{slot}");
                }
            });
        }
    });
}

#[test]
fn a_portal_shows_that_a_command_is_in_progress_and_goes_with_its_object() {
    let mut scene = Scene::new();
    let (mut emulation, [token, _]) = guest(&mut scene);
    let shown = Arc::clone(&emulation.host().shown);
    let (root, second) = (PORTALS, PORTALS + PORTAL_STRIDE);
    let places: Vec<u64> = shown.lock().unwrap().keys().copied().collect();
    assert_eq!(places, [root, second]);

    let history = Arc::clone(&emulation.host().history);
    history.lock().unwrap().clear();
    call(&mut emulation, 0, token, &dprc::GetObjectCount {}).unwrap();
    let statuses: Vec<Status> = history.lock().unwrap().iter().map(|m| m.header.status()).collect();
    // Seven words of parameters on the answer before, then the header.
    let (before, last) = statuses.split_at(7);
    assert!(before.iter().all(|status| *status == Status::Ok), "{statuses:?}");
    assert_eq!(last, [Status::Ready, Status::Ok]);

    emulation.reset();
    assert_eq!(shown.lock().unwrap()[&root], [0; Message::SIZE]);
    let dpmcp = scene.member(ObjectType::Dpmcp);
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpmcp).unwrap();
    emulation.objects_changed().unwrap();
    let places: Vec<u64> = shown.lock().unwrap().keys().copied().collect();
    assert_eq!(places, [root]);
    // Stores that come when the portal is gone go nowhere.
    emulation.store(PORTAL_STRIDE + 8, &[0xff; 8]);
    assert_eq!(shown.lock().unwrap().len(), 1);
}
