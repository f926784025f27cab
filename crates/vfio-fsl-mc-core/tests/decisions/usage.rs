// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Who has a container open, beside a list of those who have.

use crate::Cases;
use proptest::prelude::*;
use vfio_fsl_mc_core::{region::ObjectKind, usage::Usage, Errno};

/// What happens to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Somebody opens an object, with an address space or without.
    Open(ObjectKind, bool),
    /// The container's interrupt is quiet: its holder has the settings.
    HandOver,
    /// One of those who have such an object open closes it.
    Close(ObjectKind),
    Escape,
    Return,
    /// The interrupt works, or does not.
    Hear(bool),
    /// The tick comes, if one is to come.
    Tick,
    Ask,
    Look,
}

use Event::*;

const EVENTS: [Event; 16] = [
    Open(ObjectKind::Dprc, true),
    Open(ObjectKind::Dpmcp, true),
    Open(ObjectKind::Dpmcp, false),
    Open(ObjectKind::Other, true),
    Open(ObjectKind::Dpio, false),
    HandOver,
    Close(ObjectKind::Dprc),
    Close(ObjectKind::Dpmcp),
    Close(ObjectKind::Dpio),
    Close(ObjectKind::Other),
    Escape,
    Return,
    Hear(true),
    Hear(false),
    Tick,
    Look,
];

/// The same, kept as who has what.
#[derive(Debug, Default)]
struct Model {
    open: Vec<(ObjectKind, bool)>,
    /// Somebody had an address space since nothing was open.
    had_address_space: bool,
    handed_over: bool,
    foreign: usize,
    hears: bool,
    ticks_to_come: usize,
    asked: bool,
}

impl Model {
    fn has(&self, kind: ObjectKind) -> bool {
        self.open.iter().any(|(open, _)| *open == kind)
    }

    /// Whether without a tick nobody would tell the driver of a change.
    fn is_deaf_without_tick(&self) -> bool {
        let commands = self.has(ObjectKind::Dprc) || self.has(ObjectKind::Dpmcp);
        self.open.is_empty() || commands || !self.hears
    }
}

/// What the driver does after each change of a container's use.
fn tick(usage: &mut Usage, model: &mut Model) {
    model.ticks_to_come += usize::from(usage.starts_tick());
}

/// Lets it happen to both, where it can happen, and compares them.
fn happen(usage: &mut Usage, model: &mut Model, event: Event) {
    match event {
        // Once: the driver opens an object for its first file only, and so closes it.
        Open(ObjectKind::Dprc, _) if model.has(ObjectKind::Dprc) => return,
        Open(kind, space) => {
            let before = *usage;
            match usage.opens(kind, space) {
                Ok(()) => {
                    assert_eq!(model.foreign, 0);
                    model.open.push((kind, space));
                    model.had_address_space |= space;
                }
                Err(e) => {
                    assert_eq!((e, model.foreign > 0), (Errno::Busy, true));
                    assert_eq!(*usage, before, "a refusal changes nothing");
                }
            }
            tick(usage, model);
        }
        HandOver if model.has(ObjectKind::Dprc) => {
            usage.is_handed_over();
            model.handed_over = true;
        }
        Close(kind) => {
            let Some(at) = model.open.iter().position(|(open, _)| *open == kind) else {
                return;
            };
            model.open.remove(at);
            assert_eq!(usage.closes(kind), model.open.is_empty());
            model.handed_over &= kind != ObjectKind::Dprc;
            model.asked |= matches!(kind, ObjectKind::Dprc | ObjectKind::Dpmcp);
            model.had_address_space &= !model.open.is_empty();
            tick(usage, model);
        }
        Escape => {
            usage.escapes();
            model.foreign += 1;
        }
        Return if model.foreign > 0 => {
            usage.returns();
            model.foreign -= 1;
        }
        Hear(hears) => {
            usage.hears(hears);
            model.hears = hears;
            tick(usage, model);
        }
        Tick if model.ticks_to_come > 0 => {
            model.ticks_to_come -= 1;
            model.ticks_to_come += usize::from(usage.ticked());
        }
        Ask => {
            usage.ask();
            model.asked = true;
        }
        Look => {
            let asked = std::mem::take(&mut model.asked);
            assert_eq!(usage.takes_question(), asked || model.handed_over);
        }
        HandOver | Return | Tick => return,
    }
    compare(usage, model);
}

fn compare(usage: &Usage, model: &Model) {
    assert_eq!(usage.is_used(), !model.open.is_empty());
    assert_eq!(usage.is_open(), model.handed_over);
    assert_eq!(
        usage.can_interrupt(),
        !model.open.is_empty() && model.had_address_space
    );
    assert!(model.ticks_to_come <= 1, "two ticks: {model:?}");
    if model.is_deaf_without_tick() {
        assert_eq!(
            model.ticks_to_come, 1,
            "nobody tells of a change: {model:?}"
        );
    }
}

/// A container that was bound just now.
fn bound() -> (Usage, Model) {
    let (mut usage, mut model) = (Usage::default(), Model::default());
    tick(&mut usage, &mut model);
    compare(&usage, &model);
    (usage, model)
}

/// All that can happen in five steps.
#[test]
fn it_is_as_those_say_who_have_it() {
    let mut cases = Cases::one_in_miri(9973);
    for number in 0..EVENTS.len().pow(5) {
        if !cases.take() {
            continue;
        }
        let (mut usage, mut model) = bound();
        let mut rest = number;
        for _ in 0..5 {
            happen(&mut usage, &mut model, EVENTS[rest % EVENTS.len()]);
            rest /= EVENTS.len();
        }
    }
}

#[test]
fn there_is_no_tick_while_only_the_interrupt_can_tell() {
    let (mut usage, mut model) = bound();
    for event in [Open(ObjectKind::Other, true), Hear(true), Tick] {
        happen(&mut usage, &mut model, event);
    }
    assert_eq!(model.ticks_to_come, 0);
    // Who has a portal can disable the interrupt.
    happen(&mut usage, &mut model, Open(ObjectKind::Dpmcp, true));
    assert_eq!(model.ticks_to_come, 1);
    happen(&mut usage, &mut model, Tick);
    assert_eq!(model.ticks_to_come, 1);
    for event in [Close(ObjectKind::Dpmcp), Tick] {
        happen(&mut usage, &mut model, event);
    }
    assert_eq!(model.ticks_to_come, 0);
    happen(&mut usage, &mut model, Close(ObjectKind::Other));
    assert_eq!(model.ticks_to_come, 1);
}

/// A holder that opens the container and closes it before the next look takes the events with it
/// that told of a change.
#[test]
fn after_who_could_acknowledge_objects_are_looked_for() {
    for kind in [ObjectKind::Dprc, ObjectKind::Dpmcp] {
        let (mut usage, mut model) = bound();
        for event in [Open(kind, true), HandOver, Look, Close(kind)] {
            happen(&mut usage, &mut model, event);
        }
        assert!(usage.takes_question());
        assert!(!usage.takes_question());
    }
}

#[test]
fn what_was_asked_is_answered_once() {
    let mut usage = Usage::default();
    assert!(!usage.takes_question());
    usage.ask();
    usage.ask();
    assert!(usage.takes_question());
    assert!(!usage.takes_question());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]
    #[test]
    fn it_is_so_after_many_steps(steps in prop::collection::vec(0..=EVENTS.len(), 0..200)) {
        let (mut usage, mut model) = bound();
        for step in steps {
            let event = EVENTS.get(step).copied().unwrap_or(Ask);
            happen(&mut usage, &mut model, event);
        }
    }

    /// A closing too much, or more openings than there are numbers, does no harm.
    #[test]
    fn nothing_is_counted_below_none(kinds in prop::collection::vec(0_usize..3, 0..20)) {
        let mut usage = Usage::default();
        for kind in kinds {
            usage.closes([ObjectKind::Dprc, ObjectKind::Dpmcp, ObjectKind::Other][kind]);
            usage.returns();
        }
        prop_assert!(!usage.is_used());
        prop_assert_eq!(usage.opens(ObjectKind::Dpmcp, true), Ok(()));
        prop_assert!(usage.can_interrupt());
        prop_assert!(usage.closes(ObjectKind::Dpmcp));
    }
}
