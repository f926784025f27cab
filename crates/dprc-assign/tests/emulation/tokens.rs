// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a guest holds open of what the Management Complex has for everybody.

use crate::board_host::{BoardHost, Scene, call, make, open, send};
use dprc_assign::{Emulation, MOST_CONTAINER_TOKENS, MOST_TOKENS};
use mc_abi::{Message, ObjectId, ObjectType, Request, Status, Token, common, dpbp, dpni, dprc};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A guest with a second portal.
fn guest(scene: &mut Scene) -> Emulation<BoardHost> {
    let dpmcp = scene.member(ObjectType::Dpmcp);
    let mut guest = scene.emulation();
    let root = open(&mut guest, 0, scene.guest.object).unwrap();
    let ask = dprc::GetObjectRegion { id: dpmcp.id, index: 0, kind: dpmcp.kind };
    call(&mut guest, 0, root, &ask).unwrap();
    send(&mut guest, 0, &Message::close(root));
    guest
}

/// Opens an object until that is refused, through both portals in turns.
fn open_all(guest: &mut Emulation<BoardHost>, object: ObjectId) -> (Vec<Token>, Status) {
    let mut tokens = Vec::new();
    loop {
        match open(guest, tokens.len() as u64 % 2, object) {
            Ok(token) => tokens.push(token),
            Err(status) => return (tokens, status),
        }
    }
}

#[test]
fn a_guest_leaves_tokens_for_others() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = guest(&mut scene);
    let (tokens, status) = open_all(&mut guest, dpio);
    assert_eq!(tokens.len(), MOST_TOKENS);
    // As a Management Complex that has given all of them away.
    let (bare, everything) = (Scene::new(), Message::open(ObjectId::new(ObjectType::Dprc, 1)));
    let answer = (0..=u16::MAX).find_map(|_| {
        let status = bare.board.mc().execute(0, &everything).header.status();
        (status != Status::Ok).then_some(status)
    });
    assert_eq!(Some(status), answer);
    // What is none of the guest's is refused as ever.
    let foreign = scene.foreign(ObjectType::Dpio);
    assert_eq!(open(&mut guest, 0, foreign), Err(Status::AuthenticationError));
    // One that is closed can be opened again, whichever portal it was.
    assert_eq!(send(&mut guest, 1, &Message::close(tokens[1])).header.status(), Status::Ok);
    open(&mut guest, 0, dpio).unwrap();
    assert_eq!(open(&mut guest, 0, dpio), Err(Status::NoResource));
}

#[test]
fn a_guest_holds_few_tokens_of_its_container() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = guest(&mut scene);
    let (tokens, status) = open_all(&mut guest, scene.guest.object);
    assert_eq!((tokens.len(), status), (MOST_CONTAINER_TOKENS, Status::NoResource));
    // Others are others, and count together.
    assert_eq!(open_all(&mut guest, dpio).0.len(), MOST_TOKENS - MOST_CONTAINER_TOKENS);
    send(&mut guest, 1, &Message::close(tokens[1]));
    open(&mut guest, 0, scene.guest.object).unwrap();
    assert_eq!(open(&mut guest, 0, scene.guest.object), Err(Status::NoResource));
}

#[test]
fn an_open_without_an_answer_counts_until_the_end() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = guest(&mut scene);
    // Done, but nobody hears of it.
    guest.host().answer = |_, mut answer| {
        answer.header = answer.header.with_status(Status::Timeout);
        answer
    };
    for _ in 0..3 {
        assert_eq!(open(&mut guest, 0, scene.guest.object), Err(Status::Timeout));
        assert_eq!(open(&mut guest, 0, dpio), Err(Status::Timeout));
    }
    guest.host().answer = |_, answer| answer;
    for _ in 0..2 {
        let tokens = open_all(&mut guest, scene.guest.object).0;
        assert_eq!(tokens.len(), MOST_CONTAINER_TOKENS - 3);
        let tokens = open_all(&mut guest, dpio).0;
        assert_eq!(tokens.len(), MOST_TOKENS - MOST_CONTAINER_TOKENS - 3);
        guest.reset();
    }
}

/// Rules name interfaces by tokens, which count for no other portal either.
#[test]
fn a_rule_sends_frames_to_no_interface_that_its_portal_has_not_open() {
    let mut scene = Scene::new();
    let dpni = scene.member(ObjectType::Dpni);
    let foreign = scene.foreign(ObjectType::Dpni);
    let foreign = scene.root.open(foreign).unwrap().token;
    // Of the guest's own interface, but the host's.
    let host = scene.root.open(dpni).unwrap().token;
    let mut guest = guest(&mut scene);
    let [own, second] = [0, 1].map(|slot| open(&mut guest, slot, dpni).unwrap());
    let rule = |options, tokens: &[Token]| {
        let mut add = dpni::AddFsEntry { options, key_size: 2, ..Default::default() };
        add.redirect_count = tokens.len() as u8;
        add.redirect_tokens.iter_mut().zip(tokens).for_each(|(place, token)| *place = token.0);
        add
    };
    let (one, many) = (0x08, 0x20);
    let mut ask = |slot, rule: &dpni::AddFsEntry, version| {
        let before = guest.host().commands;
        let message = rule.message_version([own, second][slot as usize], version);
        let status = send(&mut guest, slot, &message).header.status();
        (status, guest.host().commands - before)
    };
    let refused = (Status::ConfigurationError, 0);
    for token in [foreign, host, second, Token::NONE] {
        for (rule, version) in [
            (rule(one, &[token]), 3),
            (rule(one, &[token]), 2),
            (rule(0x10, &[token]), 3),
            (rule(many, &[own, token]), 3),
        ] {
            assert_eq!(ask(0, &rule, version), refused, "{rule:?}");
        }
    }
    // Where a newer version has its tokens, nobody here knows.
    let newer = ask(0, &rule(one, &[own]), dpni::AddFsEntry::MAX_VERSION + 1);
    assert_eq!(newer, (Status::UnsupportedOperation, 0));
    // Its own get to the MC, whatever that says: there is no memory for keys here.
    for rule in [rule(one, &[own]), rule(many, &[own, own]), rule(0, &[foreign])] {
        assert_eq!(ask(0, &rule, 3).1, 1, "{rule:?}");
    }
    assert_eq!(ask(1, &rule(one, &[second]), 3).1, 1);
}

#[test]
fn nothing_stays_open_when_the_guest_starts_again_or_ends() {
    let mut scene = Scene::new();
    let objects = [scene.guest.object, scene.member(ObjectType::Dpni)];
    let mut guest = guest(&mut scene);
    let open_two = |guest: &mut Emulation<BoardHost>| {
        [0, 1].map(|at| open(guest, at, objects[at as usize]).unwrap())
    };
    let before = open_two(&mut guest);
    assert!(before.iter().all(|token| scene.is_open(*token)));
    guest.reset();
    assert!(!before.iter().any(|token| scene.is_open(*token)));

    let [first, second] = open_two(&mut guest);
    let all = [first, second, guest.token()];
    assert!(all.iter().all(|token| scene.is_open(*token)));
    drop(guest);
    assert!(!all.iter().any(|token| scene.is_open(*token)));
}

#[test]
fn the_end_of_a_guest_does_not_wait_for_each_token_where_nobody_answers() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = guest(&mut scene);
    open_all(&mut guest, dpio);
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    guest.host().before = Some(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    guest.host().is_silent = true;
    drop(guest);
    assert!((1..=2).contains(&asked.load(Ordering::Relaxed)), "{asked:?}");
}

/// Uses up tokens until `token` is the next one.
fn come_around(scene: &mut Scene, object: ObjectId, token: Token) {
    for _ in 0..u32::from(u16::MAX) {
        let last = scene.root.open(object).unwrap();
        scene.root.close(last).unwrap();
        if last.token.0 == token.0.wrapping_sub(1) {
            break;
        }
    }
}

#[test]
fn a_token_that_is_closed_late_tells_nothing_of_its_object() {
    let mut scene = Scene::new();
    let (dpni, dpio) = (scene.member(ObjectType::Dpni), scene.member(ObjectType::Dpio));
    let mut guest = guest(&mut scene);
    let late = open(&mut guest, 0, dpio).unwrap();
    let never = open(&mut guest, 0, dpio).unwrap();
    // Done, but nobody waits for the answer any more.
    guest.host().answer = |_, mut answer| {
        answer.header = answer.header.with_status(Status::Timeout);
        answer
    };
    assert_eq!(send(&mut guest, 0, &Message::close(late)).header.status(), Status::Timeout);
    guest.host().is_silent = true;
    assert_eq!(send(&mut guest, 0, &Message::close(never)).header.status(), Status::Timeout);
    guest.host().answer = |_, answer| answer;
    guest.host().is_silent = false;
    // Neither stands for anything: the MC may close it at any time, and give its number to the
    // host. What the guest does with it does not get there.
    let commands = guest.host().commands;
    let ask = common::GetIrqMask { index: 0 };
    for token in [late, never] {
        let answer = call(&mut guest, 0, token, &ask).map(drop);
        assert_eq!(answer, Err(Status::AuthenticationError));
        assert_eq!(send(&mut guest, 0, &Message::close(token)).header.status(), Status::Ok);
        let foreign = send(&mut guest, 1, &Message::close(token)).header.status();
        assert_eq!(foreign, Status::AuthenticationError);
    }
    assert_eq!(guest.host().commands, commands);
    // They count: nobody knows whether they are closed.
    assert_eq!(open_all(&mut guest, dpio).0.len(), MOST_TOKENS - 2);
    guest.reset();
    // Nobody has it open, nor is it another one.
    assert_eq!(scene.board.mc().execute(0, &Message::close(never)).header.status(), Status::Ok);
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, []);

    come_around(&mut scene, dpio, late);
    assert_eq!(open(&mut guest, 1, dpni), Ok(late));
    assert!(!guest.is_stale());
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, []);
    assert_eq!(call(&mut guest, 0, late, &ask).map(drop), Err(Status::AuthenticationError));
    call(&mut guest, 1, late, &ask).unwrap();
}

/// The host's own, of the very container, under a number that the guest had: the worst that a
/// close which comes late can lead to.
#[test]
fn a_number_that_the_host_gets_after_a_late_close_is_the_hosts() {
    let mut scene = Scene::new();
    let dpio = scene.member(ObjectType::Dpio);
    let mut guest = guest(&mut scene);
    let late = open(&mut guest, 0, dpio).unwrap();
    guest.host().is_silent = true;
    assert_eq!(send(&mut guest, 0, &Message::close(late)).header.status(), Status::Timeout);
    guest.host().is_silent = false;
    assert_eq!(
        scene.board.mc().execute(scene.portal, &Message::close(late)).header.status(),
        Status::Ok
    );
    come_around(&mut scene, dpio, late);
    let host = scene.root.open(scene.guest.object).unwrap();
    assert_eq!(host.token, late);
    for command in [
        dprc::GetAttributes {}.message(late),
        common::Reset {}.message(late),
        common::Disable {}.message(late),
    ] {
        assert_eq!(send(&mut guest, 0, &command).header.status(), Status::AuthenticationError);
    }
    assert_eq!(send(&mut guest, 0, &Message::close(late)).header.status(), Status::Ok);
    guest.reset();
    drop(guest);
    scene.root.call(host, &dprc::GetAttributes {}).unwrap();
}

#[test]
fn a_token_that_is_given_out_anew_stands_for_one_object_only() {
    let mut scene = Scene::new();
    let dpni = scene.member(ObjectType::Dpni);
    let id = make(&mut scene.root, scene.guest, &dpbp::Create {});
    let dpbp = ObjectId::new(ObjectType::Dpbp, id);
    let mut guest = guest(&mut scene);
    let stale = open(&mut guest, 0, dpbp).unwrap();
    ::dprc::manage::destroy(&mut scene.root, scene.guest, dpbp).unwrap();
    assert_eq!(make(&mut scene.root, scene.guest, &dpbp::Create {}), id);
    come_around(&mut scene, dpbp, stale);
    assert_eq!(open(&mut guest, 1, dpni), Ok(stale));
    let answer = call(&mut guest, 0, stale, &common::GetIrqMask { index: 0 });
    assert_eq!(answer.map(drop), Err(Status::AuthenticationError));
    // That the number was free tells of the object that had it.
    assert!(guest.is_stale());
    guest.objects_changed().unwrap();
    assert_eq!(guest.host().gone, [dpbp]);
    call(&mut guest, 1, stale, &common::GetIrqMask { index: 0 }).unwrap();
}
