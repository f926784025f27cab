// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What software sees in a portal: answers, late ones, none.

use crate::{
    faults::{Action, Faults, Rule},
    host::{ManualClock, SystemClock},
    mc::{Mc, PORTAL_STRIDE, Performer, Record, Tracer, testing::TestMc},
};
use mc_abi::{
    Message, ObjectId, ObjectType, Params, Request, Status, Token, Wire, common, dpmcp, dpmng, dprc,
};
use parking_lot::Mutex;
use std::{
    sync::{Arc, OnceLock, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Portal of the root container.
const ROOT: u64 = 0;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3600);
const NS: Duration = Duration::from_nanos(1);

fn nothing() -> Performer {
    Arc::new(|_| {})
}

fn mc(faults: Faults) -> Arc<Mc> {
    timed(faults, None).0
}

/// An MC and its clock, which stands still.
fn timed(faults: Faults, tracer: Option<Tracer>) -> (Arc<Mc>, Arc<ManualClock>) {
    let bench = TestMc::new();
    (Mc::new(bench.state, faults, tracer, nothing()), bench.clock)
}

/// A tracer, and what it has seen so far: portals in the order of execution.
fn portals_traced() -> (Tracer, Arc<Mutex<Vec<u32>>>) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let tracer = {
        let order = order.clone();
        Arc::new(move |record: &Record| order.lock().push(record.portal))
    };
    (tracer, order)
}

/// Rules for commands of certain numbers, for ever.
fn rules(rules: &[(u16, Action)]) -> Faults {
    let mut faults = Faults::default();
    for &(number, action) in rules {
        faults.add(Rule { kind: None, number: Some(number), action, times: None });
    }
    faults
}

fn get_version() -> Message {
    dpmng::GetVersion {}.message(Token::NONE)
}

fn get_soc_version() -> Message {
    dpmng::GetSocVersion {}.message(Token::NONE)
}

fn open_root() -> Message {
    Message::open(ObjectId::new(ObjectType::Dprc, 1))
}

fn write(mc: &Arc<Mc>, portal: u64, message: &Message) {
    mc.write(portal * PORTAL_STRIDE, &message.to_bytes());
}

fn read(mc: &Mc, portal: u64) -> Message {
    let mut bytes = [0; Message::SIZE];
    mc.read(portal * PORTAL_STRIDE, &mut bytes);
    Message::from_bytes(&bytes)
}

fn status(mc: &Mc, portal: u64) -> Status {
    read(mc, portal).header.status()
}

/// The answer, when it is there.
fn answer(mc: &Mc, portal: u64) -> Message {
    let start = Instant::now();
    while status(mc, portal) == Status::Ready {
        assert!(start.elapsed() < Duration::from_secs(20), "no answer");
        thread::sleep(Duration::from_millis(1));
    }
    read(mc, portal)
}

fn call(mc: &Arc<Mc>, portal: u64, message: &Message) -> Message {
    write(mc, portal, message);
    let answer = read(mc, portal);
    assert_eq!(answer.header.status(), Status::Ok);
    answer
}

/// A portal that a dpmcp of the root container has, and the token of the dpmcp.
fn second_portal(mc: &Arc<Mc>) -> (u64, Token) {
    let root = call(mc, ROOT, &open_root()).header.token();
    let create = dpmcp::Create { portal: dpmcp::PORTAL_FROM_POOL, options: 0 };
    let created = call(mc, ROOT, &create.message(root));
    let created = common::Created::decode(&created.params, 1).expect("it decodes");
    let open = Message::open(ObjectId::new(ObjectType::Dpmcp, created.id));
    let dpmcp = call(mc, ROOT, &open).header.token();
    let answer = call(mc, ROOT, &dpmcp::GetAttributes {}.message(dpmcp));
    let id = dpmcp::GetAttributesReply::decode(&answer.params, 1).expect("it decodes").id;
    let portal = mc.with_state(|state| {
        (0..256).find(|p| state.portals.owner(*p).is_some_and(|owner| owner.dpmcp == Some(id)))
    });
    (portal.expect("a dpmcp has a portal").into(), dpmcp)
}

#[test]
fn a_message_is_handed_over_by_its_first_byte() {
    let mc = mc(Faults::default());
    let bytes = get_version().to_bytes();
    mc.write(8, &bytes[8..]);
    mc.write(4, &bytes[4..8]);
    assert_eq!(read(&mc, ROOT).params, get_version().params, "not handed over yet");
    mc.write(0, &bytes[..4]);
    let version = dpmng::GetVersionReply::decode(&read(&mc, ROOT).params, 1);
    assert_eq!(version.map(|v| (v.major, v.minor)), Ok((10, 39)));
    assert_eq!(status(&mc, ROOT), Status::Ok);
}

#[test]
fn stores_past_a_portals_memory_and_past_all_portals_are_lost() {
    let mc = mc(Faults::default());
    for offset in [0x40, 0xfff8, 1024 * PORTAL_STRIDE, u64::MAX - 3] {
        mc.write(offset, &[0xff; 8]);
        let mut bytes = [0xaa; 8];
        mc.read(offset, &mut bytes);
        assert_eq!(bytes, [0; 8], "{offset:#x}");
    }
    mc.write(0x3c, &[0xff; 8]);
    let mut bytes = [0xaa; 8];
    mc.read(0x3c, &mut bytes);
    assert_eq!(bytes, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    mc.write(0, &[]);
    mc.read(0, &mut []);
}

#[test]
fn a_delayed_command_is_answered_at_its_time() {
    let faults = rules(&[(dpmng::GetVersion::NUMBER, Action::Delay(SHORT))]);
    let (mc, clock) = timed(faults, None);
    write(&mc, ROOT, &get_version());
    clock.wait_for_sleepers(1);
    clock.advance(SHORT - NS);
    assert_eq!(read(&mc, ROOT), get_version(), "handed over, and unchanged");
    clock.advance(NS);
    assert_eq!(read(&mc, ROOT), mc.execute(ROOT as u32, &get_version()));
    // Others are not concerned.
    write(&mc, ROOT, &get_soc_version());
    assert_eq!(status(&mc, ROOT), Status::Ok);
}

#[test]
fn delayed_commands_are_executed_in_the_order_of_their_times() {
    let (tracer, order) = portals_traced();
    let ms = Duration::from_millis;
    let faults = rules(&[
        (dpmng::GetVersion::NUMBER, Action::Delay(ms(500))),
        (dpmng::GetSocVersion::NUMBER, Action::Delay(ms(20))),
    ]);
    let (mc, clock) = timed(faults, Some(tracer));
    // Portals that belong to nobody get an answer as well.
    write(&mc, 0, &get_version());
    write(&mc, 1, &get_version());
    write(&mc, 2, &get_soc_version());
    write(&mc, 3, &get_version());
    write(&mc, 4, &get_soc_version());
    clock.wait_for_sleepers(1);
    clock.advance(ms(20));
    assert_eq!(*order.lock(), [2, 4]);
    clock.advance(ms(480));
    assert_eq!(*order.lock(), [2, 4, 0, 1, 3]);
    assert!((0..5).all(|portal| status(&mc, portal) != Status::Ready));
}

#[test]
fn a_refused_command_is_not_executed() {
    let refuse = Action::Status(Status::NoMemory);
    let mc = mc(rules(&[(common::OPEN + ObjectType::Dprc.code(), refuse)]));
    write(&mc, ROOT, &open_root());
    let answer = read(&mc, ROOT);
    assert_eq!(answer.header, open_root().header.with_status(Status::NoMemory));
    assert_eq!(answer.params, Params::ZERO);
    let open = |mc: &Mc| mc.with_state(|state| state.sessions.object(Token(2)).is_some());
    assert!(!open(&mc));
    mc.set_faults(Faults::default());
    assert_eq!(call(&mc, ROOT, &open_root()).header.token(), Token(2), "after the fixture's own");
    assert!(open(&mc));
}

#[test]
fn a_hanging_command_is_never_answered() {
    let (mc, clock) = timed(rules(&[(dpmng::GetVersion::NUMBER, Action::Hang)]), None);
    write(&mc, ROOT, &get_version());
    clock.advance(LONG);
    assert_eq!(read(&mc, ROOT), get_version());
    // The portal is not lost with it.
    call(&mc, ROOT, &get_soc_version());
}

#[test]
fn a_held_command_waits_for_one_that_no_rule_concerns() {
    let (tracer, order) = portals_traced();
    let faults = rules(&[(dpmng::GetVersion::NUMBER, Action::Hold)]);
    let (mc, clock) = timed(faults, Some(tracer));
    for portal in [3, 1] {
        write(&mc, portal, &get_version());
    }
    clock.advance(LONG);
    assert_eq!(read(&mc, 3), get_version(), "handed over, and unchanged");
    write(&mc, 2, &get_soc_version());
    assert_eq!(*order.lock(), [2, 3, 1]);
    assert!((1..4).all(|portal| status(&mc, portal) != Status::Ready));
    // Once. And what is held comes out although the rule has gone.
    write(&mc, 1, &get_version());
    mc.set_faults(Faults::default());
    assert_eq!(status(&mc, 1), Status::Ready);
    write(&mc, 2, &get_soc_version());
    assert_eq!(*order.lock(), [2, 3, 1, 2, 1]);
}

#[test]
fn a_delay_past_all_time_hangs() {
    let faults = rules(&[(dpmng::GetVersion::NUMBER, Action::Delay(Duration::MAX))]);
    let (mc, clock) = timed(faults, None);
    write(&mc, ROOT, &get_version());
    clock.advance(Duration::MAX);
    assert_eq!(status(&mc, ROOT), Status::Ready);
    call(&mc, ROOT, &get_soc_version());
}

#[test]
fn a_rule_applies_as_often_as_it_says_and_to_what_it_says() {
    let mut faults = Faults::default();
    faults.add(Rule {
        kind: Some(ObjectType::Dprc),
        number: None,
        action: Action::Status(Status::Busy),
        times: Some(2),
    });
    faults.add(Rule {
        kind: None,
        number: Some(dprc::GetObjectCount::NUMBER),
        action: Action::Status(Status::Timeout),
        times: Some(1),
    });
    let mc = mc(faults);
    // No token, so no family.
    let root = call(&mc, ROOT, &open_root()).header.token();
    let count = dprc::GetObjectCount {}.message(root);
    let statuses: Vec<_> = (0..4)
        .map(|_| {
            write(&mc, ROOT, &count);
            status(&mc, ROOT)
        })
        .collect();
    assert_eq!(statuses, [Status::Busy, Status::Busy, Status::Timeout, Status::Ok]);
}

#[test]
fn the_answer_to_a_message_that_was_given_up_does_not_replace_the_newer_one() {
    let (tracer, executed) = portals_traced();
    let faults = |delay| rules(&[(dpmng::GetVersion::NUMBER, Action::Delay(delay))]);
    let (mc, clock) = timed(faults(SHORT), Some(tracer));
    write(&mc, ROOT, &get_version());
    let newer = call(&mc, ROOT, &get_soc_version());
    clock.wait_for_sleepers(1);
    clock.advance(SHORT);
    assert_eq!(executed.lock().len(), 2, "it is executed all the same");
    assert_eq!(read(&mc, ROOT), newer);
    // Nor does it end the wait for a newer one that is delayed itself.
    write(&mc, ROOT, &get_version());
    mc.set_faults(faults(LONG));
    write(&mc, ROOT, &get_version());
    clock.wait_for_sleepers(1);
    clock.advance(SHORT);
    assert_eq!(executed.lock().len(), 3);
    assert_eq!(status(&mc, ROOT), Status::Ready);
}

#[test]
fn what_is_written_over_a_pending_message_does_not_change_it() {
    let open = common::OPEN + ObjectType::Dprc.code();
    let (mc, clock) = timed(rules(&[(open, Action::Delay(SHORT))]), None);
    write(&mc, ROOT, &open_root());
    mc.write(8, &[0xff; 8]);
    clock.wait_for_sleepers(1);
    clock.advance(SHORT);
    assert_eq!(read(&mc, ROOT).header.token(), Token(2));
}

#[test]
fn an_mc_that_is_gone_takes_its_thread_along() {
    let mc = mc(rules(&[(dpmng::GetVersion::NUMBER, Action::Delay(LONG))]));
    write(&mc, ROOT, &get_version());
    let delayed = Arc::downgrade(&mc.delayed);
    drop(mc);
    let start = Instant::now();
    while delayed.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the thread holds its queue");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn portals_are_independent() {
    let delay = Action::Delay(Duration::from_millis(2));
    let mut state = TestMc::new().state;
    state.clock = Arc::new(SystemClock::default());
    let mc = Mc::new(state, Faults::default(), None, nothing());
    let (second, _) = second_portal(&mc);
    mc.set_faults(rules(&[(dpmng::GetSocVersion::NUMBER, delay)]));
    let version = mc.execute(0, &get_version());
    let soc = mc.execute(0, &get_soc_version());
    thread::scope(|scope| {
        for portal in [ROOT, second] {
            let mc = &mc;
            let (version, soc) = (&version, &soc);
            scope.spawn(move || {
                for round in 0..60 {
                    let (message, expected) = match round % 3 {
                        0 => (get_soc_version(), soc),
                        _ => (get_version(), version),
                    };
                    write(mc, portal, &message);
                    assert_eq!(answer(mc, portal), *expected);
                }
            });
        }
    });
}

/// A message of its own kind: its token, which this command does not look at,
/// comes back in the answer.
fn numbered(message: Message, number: u16) -> Message {
    Message { header: message.header.with_token(Token(number)), params: message.params }
}

/// Two threads use one portal against the rules: the one is stopped between the
/// execution of its message and the answer until the other has handed over a
/// newer message, which `hangs` or is answered.
fn overtaken(hangs: bool) {
    let (reached, at_answer) = mpsc::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let resumed = Mutex::new(resumed);
    let tracer: Tracer = Arc::new(move |record: &Record| {
        if record.header.token() == Token(1) {
            reached.send(()).expect("the test waits for it");
            resumed.lock().recv().expect("the test says so");
        }
    });
    let hang = rules(&[(dpmng::GetSocVersion::NUMBER, Action::Hang)]);
    let faults = if hangs { hang } else { Faults::default() };
    let (mc, _) = timed(faults, Some(tracer));
    let newer = numbered(get_soc_version(), 2);
    let expected = if hangs { newer } else { mc.execute(ROOT as u32, &newer) };
    thread::scope(|scope| {
        let mc = &mc;
        let older = scope.spawn(move || write(mc, ROOT, &numbered(get_version(), 1)));
        at_answer.recv().expect("the older message is executed");
        write(mc, ROOT, &newer);
        assert_eq!(read(mc, ROOT), expected);
        resume.send(()).expect("the older message's thread waits");
        older.join().expect("it returns");
        assert_eq!(read(mc, ROOT), expected, "the older answer shows instead");
    });
}

#[test]
fn an_answer_that_is_overtaken_does_not_replace_the_newer_one() {
    overtaken(false);
}

#[test]
fn an_answer_that_is_overtaken_does_not_end_the_wait_for_the_newer_one() {
    overtaken(true);
}

/// Two threads that use one portal against the rules get some answer each, and
/// the portal ends with the answer to the last message of either.
#[test]
fn a_portal_shows_the_answer_to_the_newest_message() {
    const ROUNDS: u16 = 500;
    let mc = mc(Faults::default());
    let kinds = [get_version(), get_soc_version()];
    let number = |kind: usize, round| 1 + kind as u16 * ROUNDS + round;
    thread::scope(|scope| {
        for (kind, message) in kinds.into_iter().enumerate() {
            let mc = &mc;
            let messages = (0..ROUNDS).map(move |round| numbered(message, number(kind, round)));
            scope.spawn(move || messages.into_iter().for_each(|m| write(mc, ROOT, &m)));
        }
    });
    let last = read(&mc, ROOT);
    let expected = [0, 1]
        .map(|kind| mc.execute(ROOT as u32, &numbered(kinds[kind], number(kind, ROUNDS - 1))));
    assert!(expected.contains(&last), "{last:?} is none of {expected:?}");
}

#[test]
fn the_portals_interrupt_comes_after_the_answer() {
    let observed = Arc::new(Mutex::new(Vec::new()));
    let looked_at = Arc::new(OnceLock::<(Weak<Mc>, u64)>::new());
    let perform: Performer = {
        let (observed, looked_at) = (observed.clone(), looked_at.clone());
        Arc::new(move |_| {
            if let Some((mc, portal)) = looked_at.get() {
                observed.lock().extend(mc.upgrade().map(|mc| status(&mc, *portal)));
            }
        })
    };
    let mc = Mc::new(TestMc::new().state, Faults::default(), None, perform);
    let (portal, dpmcp) = second_portal(&mc);
    for message in [
        common::SetIrq { value: 1, index: 0, address: 0x1000, user: 0 }.message(dpmcp),
        common::SetIrqMask { mask: u32::MAX, index: 0 }.message(dpmcp),
        common::SetIrqEnable { enable: true, index: 0 }.message(dpmcp),
    ] {
        call(&mc, ROOT, &message);
    }
    looked_at.set((Arc::downgrade(&mc), portal)).expect("it is set once");
    call(&mc, portal, &get_version());
    assert_eq!(*observed.lock(), [Status::Ok]);
    // A command through another portal, and one that is not answered, do not.
    call(&mc, ROOT, &get_version());
    mc.set_faults(rules(&[(dpmng::GetVersion::NUMBER, Action::Hang)]));
    write(&mc, portal, &get_version());
    assert_eq!(observed.lock().len(), 1);
}
