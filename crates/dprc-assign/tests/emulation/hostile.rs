// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A guest that means harm: random and mutated messages through all of its portals.
//! What is the host's or another container's stays as it was, and every answer is one
//! that a Management Complex could give.

use crate::board_host::{BoardHost, Scene, open};
use dprc_assign::Emulation;
use mc_abi::{Message, ObjectId, ObjectType, Request, Status, Token, Wire, dpmcp, dprc};
use mc_attack::{Attacker, Random, opens};
use std::collections::BTreeSet;

/// Commands of the short run; `DPRC_ASSIGN_SOAK` names another number.
const SHORT: u64 = 60_000;

/// How often what must not change is looked at.
const LOOKS: u64 = 20;

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
    let own: Vec<ObjectId> =
        scene.list(scene.guest).iter().map(|o| ObjectId::new(o.kind, o.id)).collect();
    let members = own.len();
    let before = scene.fingerprint();
    let real = scene.root.call(scene.guest, &dprc::GetAttributes {}).expect("the real ones");
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).expect("its own container");
    map_portal(&mut guest, root, dpmcp);
    let present = objects.clone();
    let mut attacker = Attacker::new(0x5eed, objects);
    attacker.remember(root);
    let (mut statuses, mut accepted, mut refused_opens) = (BTreeSet::new(), 0_u64, 0_u64);
    let count = soak();
    for number in 0..count {
        let slot = attacker.random.below(2) as u64;
        let message = attacker.message();
        let answer = store(&mut guest, &mut attacker.random, slot, &message);
        statuses.insert(answer.header.status_byte());
        let status = check_answer(&message, &answer, real.icid);
        let foreign =
            opens(&message).filter(|object| *object != scene.guest.object && !own.contains(object));
        if let Some(object) = foreign {
            assert_ne!(status, Status::Ok, "{object} is opened by {message:?}");
            refused_opens += u64::from(present.contains(&object));
        }
        if status == Status::Ok {
            accepted += 1;
            let opened = answer.header.token();
            if opened != message.header.token() {
                attacker.remember(opened);
            }
        }
        // Never so many that it may open no more.
        if number % 4096 == 4095 {
            guest.reset();
            attacker.forget();
            attacker.remember(open(&mut guest, 0, scene.guest.object).expect("open again"));
        }
        if number % (count / LOOKS).max(1) == 0 {
            assert_eq!(guest.objects().len(), members);
            assert_eq!(scene.fingerprint(), before, "after {number} commands");
        }
    }
    assert_eq!(scene.fingerprint(), before);
    // The kernel's own portal answers as before, and the emulation's token is open.
    guest.objects_changed().unwrap();
    assert_eq!(guest.objects().len(), members);
    // It was an attack, not noise: commands were accepted, and refused in many ways.
    assert!(accepted > count / 50, "{accepted} of {count} accepted");
    assert!(statuses.len() >= 5, "{statuses:?}");
    // It has tried objects that there are, in other containers.
    assert!(refused_opens > count / 200, "{refused_opens} of {count} open what is foreign");
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
fn check_answer(message: &Message, answer: &Message, icid: u32) -> Status {
    let status = mc_attack::check(message, answer).expect("a possible answer");
    if status == Status::Ok && message.header.number() == dprc::GetAttributes::NUMBER {
        if let Ok(reply) = dprc::GetAttributesReply::decode(&answer.params, 1) {
            let container = reply.options == dprc::option::IRQ_CFG;
            assert!(!container || reply.icid != icid);
        }
    }
    status
}
